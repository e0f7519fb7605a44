"""A question before something that is not easily put right. Enter is harmless: only ``y`` acts."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from keydeck.dashboard.dialogs.dialog import Dialog
from keydeck.dashboard.widgets.lines import FixedLines
from keydeck.present.spans import Line


class ConfirmDialog(Dialog[bool]):
    """Returns whether to go on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("escape,n,q,enter", "answer(False)", "no"),
    ]

    def __init__(self, title: str, lines: tuple[Line, ...], yes: str, *, ascii_only: bool) -> None:
        super().__init__()
        self._title = title
        self._lines = lines
        self._yes = yes
        self._ascii_only = ascii_only
        self._is_listening = False

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        with VerticalScroll(id="confirm", classes="dialog") as box:
            box.can_focus = False
            box.border_title = self._title
            box.border_subtitle = f"y {self._yes}   esc cancel"
            box.set_class(self._ascii_only, "-ascii")
            yield FixedLines(id="confirm-lines")

    def on_mount(self) -> None:
        """Fill in the lines."""
        self.query_one(FixedLines).show(self._lines)
        # Behind every key that has come already: they go from the app to this dialog, and back for what they do.
        self.app.call_later(self.call_later, self.app.call_later, self._listen)

    def _listen(self) -> None:
        self._is_listening = True

    def action_answer(self, go_on: bool) -> None:
        """Answer; a yes that came in one burst with the key before it was said to a question nobody has seen."""
        if self._is_listening or not go_on:
            self.dismiss(go_on)
