"""`SecretInput`: takes a key and never gives it out again, neither to the screen nor to the clipboard."""

from __future__ import annotations

from textual.widgets import Input

from keydeck.engine.secret import Secret


class SecretInput(Input):
    """A password field whose copy and cut do nothing: Textual's own copies the plain value (ux T5)."""

    def __init__(self, *, placeholder: str, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(placeholder=placeholder, password=True, id=id)
        self.cursor_blink = False  # a blinking cursor costs more than the rest of an idle screen

    def take(self) -> Secret:
        """Return what was typed or pasted, and empty the field."""
        secret = Secret(self.value.strip())
        self.value = ""
        return secret

    def action_copy(self) -> None:
        """Copy nothing."""

    def action_cut(self) -> None:
        """Cut nothing."""
