"""`FilterBar`: the line in which a filter is typed; it says at once what it makes of it."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input

from keydeck.dashboard.widgets.lines import FixedLines
from keydeck.dashboard.widgets.text_field import TextField
from keydeck.present.spans import Role, Span, line_width
from keydeck.present.text import clean


class FilterBar(Horizontal):
    """Shown while a filter is typed. Enter keeps it, escape clears it."""

    class Typed(Message):
        """The text changed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Closed(Message):
        """Typing is over."""

        def __init__(self, *, keep: bool) -> None:
            super().__init__()
            self.keep = keep

    BINDINGS = [Binding("escape", "close", "clear", show=False)]  # noqa: RUF012 - Textual's way

    def __init__(self) -> None:
        super().__init__(id="filter-bar")
        self._field = TextField(id="filter-field", placeholder="words  state:cool  pool:x  code:429  !not")
        self._said = FixedLines(id="filter-said")

    def compose(self) -> ComposeResult:
        """Lay out the sign, the field and what is said about it."""
        sign = FixedLines(id="filter-sign")
        sign.show(((Span(" /", Role.ACCENT),),))
        yield sign
        yield self._field
        yield self._said

    def open(self) -> None:
        """Take the keyboard."""
        self.display = True
        self.screen.set_focus(self._field)  # at once: the next key is text

    def clear(self) -> None:
        """Empty the field."""
        self._field.value = ""

    def say(self, text: str, *, wrong: bool) -> None:
        """Say how many match, or what is wrong with the filter."""
        self.set_class(wrong, "-wrong")
        line = (Span(f" {clean(text)} ", Role.DEAD if wrong else Role.MUTED),)
        self._said.show((line,))
        self._said.styles.width = line_width(line)
        self._said.styles.max_width = "60%"  # what is typed has to stay in sight

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Typed(event.value))

    @on(TextField.KeyPasted)
    def _refuse_key(self) -> None:
        self.say("that looks like a key: it would show here", wrong=True)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if not self.has_class("-wrong"):  # else there is nothing to keep
            self.post_message(self.Closed(keep=True))

    def action_close(self) -> None:
        """Clear the filter."""
        self.post_message(self.Closed(keep=False))
