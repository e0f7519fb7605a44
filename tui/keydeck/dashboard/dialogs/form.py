"""`FormDialog`: a dialog that does what was entered itself, and keeps all of it when that is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from keydeck.dashboard.acting import Act
from keydeck.dashboard.dialogs.dialog import Dialog
from keydeck.dashboard.widgets.text_field import TextField

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp


class FormDialog(Dialog[None]):
    """Base of the forms. Its last line says what is wrong, or what goes on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "back"),
        Binding("up,shift+tab", "previous", "previous field"),
        Binding("down,tab", "next", "next field"),
    ]

    def __init__(self, deck: PoolApp) -> None:
        super().__init__()
        self._deck = deck
        self._showing = deck.row_context()
        self._ascii_only = deck.ascii_only
        self._is_busy = False
        self._says = Static("", classes="says")

    def action_back(self) -> None:
        """Leave without a change; while an act waits for the lock, give up waiting."""
        if self._is_busy:
            self._deck.acting.give_up()
            return
        self.forget()
        self.dismiss(None)

    def action_previous(self) -> None:
        """Go to the field above."""
        self.focus_previous()

    def action_next(self) -> None:
        """Go to the field below."""
        self.focus_next()

    def forget(self) -> None:
        """Drop what must not outlive the dialog."""

    def say(self, text: str, manner: str = "") -> None:
        """Show one line below the fields; `manner` is ``good``, ``bad`` or nothing."""
        self._says.set_classes(f"says -{manner}" if manner else "says")
        self._says.update(Content(text.replace("…", "...") if self._ascii_only else text))
        if text:
            self._says.scroll_visible(animate=False)

    @on(TextField.KeyPasted)
    def _refuse_key(self) -> None:
        self.say("that looks like a key: only the field for the key takes one", "bad")

    def submit(self, act: Act, doing: str) -> None:
        """Run an act; close when it took, else stay and say why it did not."""
        if not self._is_busy:
            self._is_busy = True
            self.say(f"{doing} …")
            self.run_worker(self._attempt(act), group="write")

    async def _attempt(self, act: Act) -> None:
        refused = await self._deck.attempt(act)
        self._is_busy = False
        if refused is None:
            self.forget()
            self.dismiss(None)
        else:
            self.say(refused, "bad")
