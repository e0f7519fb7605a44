"""`EventList`: the lines of the timeline that are in view, one of them under the cursor."""

from __future__ import annotations

from typing import Final

from textual import events
from textual.message import Message

from keydeck.dashboard.widgets.lines import FixedLines
from keydeck.present.spans import Line, Role, Span

_WHEEL: Final = 3


class EventList(FixedLines):
    """Draws a box of lines; the screen owns the cursor and decides what is in view."""

    class Clicked(Message):
        """Somebody clicked a line of the box; twice to open it."""

        def __init__(self, y: int, *, twice: bool) -> None:
            super().__init__()
            self.y = y
            self.twice = twice

    class Scrolled(Message):
        """The wheel was turned: so many lines down."""

        def __init__(self, lines: int) -> None:
            super().__init__()
            self.lines = lines

    def __init__(self) -> None:
        super().__init__(id="event-list")
        self._cursor_y: int | None = None

    def show_box(self, lines: tuple[Line, ...], cursor: int | None, *, mark: str = "") -> None:
        """Draw this box with the cursor on a line of it, shown by a sign too where there is one."""
        before, self._cursor_y = self._cursor_y, cursor
        if mark and cursor is not None:
            edge, _, *rest = lines[cursor]
            lines = (*lines[:cursor], (edge, Span(mark, Role.ACCENT), *rest), *lines[cursor + 1 :])
        self.show(lines)
        for moved in {before, cursor} if before != cursor else ():
            if moved is not None:
                self.refresh_line(moved)

    def line_at(self, y: int) -> tuple[Line, bool]:
        """Return a line, and whether the cursor is on it."""
        line, _ = super().line_at(y)
        return line, y == self._cursor_y

    def on_click(self, event: events.Click) -> None:
        """Tell which line was clicked."""
        event.stop()
        self.post_message(self.Clicked(event.y, twice=event.chain > 1))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Go on to what is older."""
        event.stop()
        self.post_message(self.Scrolled(_WHEEL))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Go back to what is newer."""
        event.stop()
        self.post_message(self.Scrolled(-_WHEEL))
