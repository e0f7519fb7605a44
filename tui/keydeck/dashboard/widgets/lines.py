"""`LineWidget`: draws lines of spans through the line API, and redraws only the lines that changed."""

from __future__ import annotations

from typing import Final

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from keydeck.present.spans import Line, Role

ROLE_STYLES: Final = {f"span--{role}" for role in Role} | {"span--cursor"}
"""Component classes of every screen on which lines are drawn: roles look the same in all its widgets, and the style
sheets are asked once a screen instead of once a widget."""


class LineWidget(Widget):
    """Base of everything that shows text: `line_at` says what stands where, roles say how it looks.

    Store text is drawn as data: spans become segments directly, no markup parser sees them.
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self._styles_of: dict[tuple[Role, bool], Style] = {}

    def line_at(self, y: int) -> tuple[Line, bool]:
        """Return the line `y`, and whether the cursor is on it."""
        raise NotImplementedError

    def line_count(self) -> int:
        """Return how many lines there are to draw."""
        return 1

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        if not 0 <= y < self.line_count():
            return Strip.blank(self.size.width, self.rich_style)
        line, has_cursor = self.line_at(y)
        strip = Strip(
            [part for span in line for part in _segments(span.text, self._style(span.role, has_cursor))]
        )
        # Our own width tables and the terminal's may differ by a cell for exotic signs.
        return strip.adjust_cell_length(self.size.width, self._style(Role.PLAIN, has_cursor))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Take as many lines as there are."""
        return self.line_count()

    def refresh_line(self, y: int) -> None:
        """Redraw one line."""
        self.refresh(Region(0, y, self.size.width, 1))

    def notify_style_update(self) -> None:
        """Forget resolved styles: theme or classes changed."""
        self._styles_of.clear()
        super().notify_style_update()

    def _style(self, role: Role, has_cursor: bool) -> Style:
        known = self._styles_of.get((role, has_cursor))
        if known is None:
            known = self.rich_style + self.screen.get_component_rich_style(f"span--{role}", partial=True)
            if has_cursor:
                known += self.screen.get_component_rich_style("span--cursor", partial=True)
            self._styles_of[(role, has_cursor)] = known
        return known


def _segments(text: str, style: Style) -> list[Segment]:
    """Return a span's segments; leading blanks apart, since SVG viewers drop them from the head of a text."""
    body = text.lstrip(" ")
    blanks = len(text) - len(body)
    parts = [Segment(" " * blanks, style)] if blanks else []
    return [*parts, Segment(body, style)] if body else parts


class FixedLines(LineWidget):
    """A few lines that are handed over whole."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self._lines: tuple[Line, ...] = ()

    def show(self, lines: tuple[Line, ...]) -> None:
        """Draw these lines; nothing happens when they are the ones on screen."""
        if lines == self._lines:
            return
        old, self._lines = self._lines, lines
        if len(old) != len(lines):
            self.refresh(layout=True)
            return
        for y, (before, after) in enumerate(zip(old, lines, strict=True)):
            if before != after:
                self.refresh_line(y)

    def line_at(self, y: int) -> tuple[Line, bool]:
        """Return one of the lines."""
        return self._lines[y], False

    def line_count(self) -> int:
        """Return how many lines were handed over."""
        return len(self._lines)
