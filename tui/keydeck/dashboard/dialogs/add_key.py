"""Add a key: for which provider, the key itself, its label. The key is never shown and never returned as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from keydeck.dashboard.widgets.secret_input import SecretInput
from keydeck.engine.secret import Secret, why_not_a_secret
from keydeck.present.text import clean


@dataclass(frozen=True, slots=True)
class NewKey:
    """What was entered."""

    provider: str
    secret: Secret
    label: str | None


class AddKeyDialog(ModalScreen[NewKey | None]):
    """Asks field by field: provider, key, label. Returns the key, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "cancel")]

    def __init__(self, provider: str, *, ascii_only: bool) -> None:
        super().__init__()
        self._provider = provider
        self._ascii_only = ascii_only

    def compose(self) -> ComposeResult:
        """Lay out the three fields."""
        with Vertical(id="add-key", classes="dialog") as box:
            box.border_title = "add a key"
            box.border_subtitle = "enter next   esc cancel"
            box.set_class(self._ascii_only, "-ascii")
            yield Static("provider, by its id or name", classes="field-name")
            yield Input(clean(self._provider), id="add-provider", compact=True)
            yield Static("API key, never shown (logins come later: hermes auth add)", classes="field-name")
            yield SecretInput(placeholder="paste or type it", id="add-secret")
            yield Static("label, or nothing for api-key-N", classes="field-name")
            yield Input(id="add-label", compact=True)
            yield Static("", id="add-problem")

    def on_mount(self) -> None:
        """Start in the key, which is what is missing."""
        for field in self.query(Input):
            field.cursor_blink = False
        self.query_one("#add-secret" if self._provider else "#add-provider", Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go to the next field, or return from the last one."""
        event.stop()
        if event.input.id != "add-label":
            self.screen.focus_next()
            return
        field = self.query_one(SecretInput)
        if reason := why_not_a_secret(field.value.strip()):
            self._complain(f"that is not a key: {reason}", field)
            return
        provider = self.query_one("#add-provider", Input)
        if not provider.value.strip():
            self._complain("for which provider?", provider)
            return
        label = self.query_one("#add-label", Input).value.strip() or None
        self.dismiss(NewKey(provider.value.strip(), field.take(), label))

    def action_cancel(self) -> None:
        """Forget what was typed."""
        self.query_one(SecretInput).value = ""
        self.dismiss(None)

    def _complain(self, reason: str, field: Input) -> None:
        self.query_one("#add-problem", Static).update(Content(reason))
        field.focus()
