"""`TextField`: Textual's input without a blinking cursor, into which anything but a key can be pasted."""

from __future__ import annotations

from textual import events
from textual.message import Message
from textual.widgets import Input

from keydeck.engine.redact import Scrubber
from keydeck.present.text import clean


class TextField(Input):
    """One line of plain text. What is pasted becomes one clean line, whatever steers terminals in it."""

    class KeyPasted(Message):
        """What was pasted looks like a key and was not taken: this field would show it."""

    def __init__(
        self,
        value: str = "",
        *,
        placeholder: str = "",
        id: str,  # noqa: A002 - Textual's name
        restrict: str | None = None,
    ) -> None:
        super().__init__(value, placeholder=placeholder, id=id, restrict=restrict, compact=True)
        self.cursor_blink = False  # a blinking cursor costs more than the rest of an idle screen

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        pasted = clean(event.text)
        if Scrubber().scrub(pasted) != pasted:
            self.post_message(self.KeyPasted())
        elif pasted:
            self.replace(pasted, *self.selection)
