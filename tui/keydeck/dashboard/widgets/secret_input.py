"""`SecretInput`: takes a key and gives it out once, as a `Secret`: not to the screen, a message or the clipboard."""

from __future__ import annotations

from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from keydeck.engine.secret import Secret

MASK_CELLS: Final = 24
"""How wide the mask is, whatever was entered: its width must not tell the key's length (demand 4)."""


class SecretInput(Widget, can_focus=True):
    """A line that can be typed and pasted into. There is no text in it to select, copy or cut (ux T5)."""

    class Changed(Message):
        """Somebody typed, pasted or deleted; what is in the field now has to be asked for."""

        def __init__(self, field: SecretInput) -> None:
            super().__init__()
            self.field = field

        @property
        def control(self) -> SecretInput:
            """The field."""
            return self.field

    class Submitted(Message):
        """Enter was pressed."""

        def __init__(self, field: SecretInput) -> None:
            super().__init__()
            self.field = field

        @property
        def control(self) -> SecretInput:
            """The field."""
            return self.field

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("backspace", "delete_last", "delete the last character", show=False),
        Binding("ctrl+u", "clear", "clear", show=False),
        Binding("enter", "submit", "go on", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"secret-input--placeholder", "secret-input--cursor"}
    DEFAULT_CSS = """
    SecretInput { height: 1; }
    SecretInput > .secret-input--cursor { text-style: reverse; }
    """

    def __init__(self, *, placeholder: str, id: str, mask: str = "•") -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._placeholder = placeholder
        self._mask = mask
        # A `Secret` even while it is typed, so that nothing that prints this widget's attributes shows it.
        self._held = Secret("")

    @property
    def is_empty(self) -> bool:
        """Whether nothing is entered."""
        return not self._held

    def peek(self) -> Secret:
        """Return what is entered so far, and keep it."""
        return Secret(self._held.reveal().strip())

    def take(self) -> Secret:
        """Return what is entered, and empty the field."""
        secret = self.peek()
        self.clear()
        return secret

    def clear(self) -> None:
        """Forget what is entered."""
        self._held = Secret("")
        self.refresh()

    def ask(self, placeholder: str) -> None:
        """Say something else while nothing is entered."""
        self._placeholder = placeholder
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw the mask or the placeholder, and where the next character goes while in focus."""
        style = self.rich_style
        if self.is_empty:
            text, look = self._placeholder, style + self._component("placeholder")
        else:
            text, look = self._mask * MASK_CELLS, style
        if not self.has_focus:
            parts = [Segment(text, look)]
        elif self.is_empty:
            parts = [Segment(text[:1] or " ", style + self._component("cursor")), Segment(text[1:], look)]
        else:
            parts = [Segment(text, look), Segment(" ", style + self._component("cursor"))]
        return Strip(parts).adjust_cell_length(self.size.width, style)

    def _component(self, name: str) -> Style:
        return self.get_component_rich_style(f"secret-input--{name}", partial=True)

    # --- input -----------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """Take a character."""
        if event.is_printable and event.character is not None:
            event.stop()
            event.prevent_default()
            self._enter(self._held.reveal() + event.character)

    def on_paste(self, event: events.Paste) -> None:
        """Take a pasted text whole: what a line break or a blank inside means is for others to judge."""
        event.stop()
        event.prevent_default()
        if pasted := event.text.strip():
            self._enter(self._held.reveal() + pasted)

    def on_focus(self) -> None:
        """Show the cursor."""
        self.refresh()

    def on_blur(self) -> None:
        """Hide the cursor."""
        self.refresh()

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Tell that printable keys end here."""
        return character is not None and character.isprintable()

    def action_delete_last(self) -> None:
        """Delete the last character."""
        if not self.is_empty:
            self._enter(self._held.reveal()[:-1])

    def action_clear(self) -> None:
        """Delete everything."""
        if not self.is_empty:
            self._enter("")

    def action_submit(self) -> None:
        """Go on."""
        self.post_message(self.Submitted(self))

    def _enter(self, text: str) -> None:
        self._held = Secret(text)
        self.refresh()
        self.post_message(self.Changed(self))
