"""Edit one key: its label, and where its requests go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from keydeck.engine.credential import Credential
from keydeck.present.text import clean


@dataclass(frozen=True, slots=True)
class Edited:
    """What was typed; None is unchanged."""

    label: str | None
    base_url: str | None


class EditDialog(ModalScreen[Edited | None]):
    """Returns what to change, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "cancel")]

    def __init__(self, row: Credential, *, ascii_only: bool) -> None:
        super().__init__()
        self._row = row
        self._ascii_only = ascii_only

    def compose(self) -> ComposeResult:
        """Lay out the two fields."""
        with Vertical(id="edit", classes="dialog") as box:
            box.border_title = Content(f"edit {clean(self._row.label)}")
            box.border_subtitle = "enter save   tab next field   esc cancel"
            box.set_class(self._ascii_only, "-ascii")
            yield Static("label", classes="field-name")
            yield Input(clean(self._row.label), id="edit-label", compact=True)
            yield Static("base URL", classes="field-name")
            yield Input(clean(self._row.base_url or ""), id="edit-url", compact=True)

    def on_mount(self) -> None:
        """Start in the label."""
        for field in self.query(Input):
            field.cursor_blink = False
        self.query_one("#edit-label", Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Return what differs."""
        event.stop()
        label, url = self.query_one("#edit-label", Input).value, self.query_one("#edit-url", Input).value
        self.dismiss(
            Edited(
                label=None if label == clean(self._row.label) else label,
                base_url=None if url == clean(self._row.base_url or "") else url,
            )
        )

    def action_cancel(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)
