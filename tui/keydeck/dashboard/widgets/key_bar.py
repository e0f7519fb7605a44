"""`KeyBar`: the keys that work here, in the bottom line; each can be clicked."""

from __future__ import annotations

from textual import events
from textual.message import Message

from keydeck.dashboard.widgets.lines import FixedLines
from keydeck.present.spans import Line, Role, Span, line_width


class KeyBar(FixedLines):
    """Shows ``key text`` pairs and says which one was clicked."""

    class Pressed(Message):
        """A key of the bar was clicked."""

        def __init__(self, action_id: str) -> None:
            super().__init__()
            self.action_id = action_id

    def __init__(self) -> None:
        super().__init__(id="key-bar")
        self._ends: list[tuple[int, str]] = []

    def show_keys(self, keys: tuple[tuple[str, str, str], ...], cells: int) -> None:
        """Show these (action id, key, text) triples, as many as fit whole into `cells`."""
        line: Line = (Span(" "),)
        self._ends = []
        for action_id, key, text in (item for item in keys if item[1]):
            longer = (*line, Span(key, Role.KEY), Span(f" {text}", Role.MUTED))
            if line_width(longer) <= cells:
                line = (*longer, Span("  "))
                self._ends.append((line_width(line), action_id))
        self.show((line,))

    def on_click(self, event: events.Click) -> None:
        """Find the key under the mouse."""
        event.stop()
        for end, action_id in self._ends:
            if event.x < end:
                self.post_message(self.Pressed(action_id))
                return
