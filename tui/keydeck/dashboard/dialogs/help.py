"""Help: every action that works here, from the action table, and what the signs mean."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from keydeck.dashboard.actions import ACTIONS, GROUPS
from keydeck.dashboard.widgets.lines import FixedLines
from keydeck.engine.state import HealthKind
from keydeck.present.glyphs import Glyphs
from keydeck.present.spans import Line, Role, Span

_LEGEND: tuple[tuple[HealthKind, Role, str], ...] = (
    (HealthKind.READY, Role.READY, "ready, picked normally"),
    (HealthKind.COOLING, Role.COOLING, "cooling: benched until the countdown ends"),
    (HealthKind.NEEDS_LOGIN, Role.DEAD, "log in again: waiting does not help"),
    (HealthKind.NO_SECRET, Role.ABSENT, "no secret: its variable or login is gone"),
    (HealthKind.BAD_ROW, Role.DEAD, "a row that cannot be read"),
)


_COLUMNS: tuple[Line, ...] = (
    (Span("columns ", Role.MUTED), Span("label, type, source, state, requests, token life, id")),
)


class HelpDialog(ModalScreen[None]):
    """Shows the keys; any of the closing keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,enter", "close", "close"),
        Binding("j,down", "scroll(1)", "down"),
        Binding("k,up", "scroll(-1)", "up"),
    ]

    def __init__(self, glyphs: Glyphs, *, read_only: bool) -> None:
        super().__init__()
        self._glyphs = glyphs
        self._read_only = read_only

    def compose(self) -> ComposeResult:
        """Lay out the list."""
        with VerticalScroll(id="help", classes="dialog") as box:
            box.can_focus = False
            box.border_title = "keys"
            box.border_subtitle = "esc closes"
            yield FixedLines(id="help-lines")

    def on_mount(self) -> None:
        """Fill in the lines."""
        self.query_one("#help").set_class(self._glyphs.enter.isascii(), "-ascii")
        self.query_one(FixedLines).show((*self._keys(), (), *self._signs(), (), *_COLUMNS))

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)

    def action_scroll(self, lines: int) -> None:
        """Scroll where the terminal is low."""
        self.query_one("#help", VerticalScroll).scroll_relative(y=lines, animate=False)

    def _keys(self) -> list[Line]:
        ascii_only = self._glyphs.enter.isascii()
        lines: list[Line] = []
        for group in GROUPS:
            heading = group
            for action in ACTIONS:
                if action.group != group or (self._read_only and action.dangerous):
                    continue
                keys = f"{action.key_text(ascii_only=ascii_only):<9}"
                lines.append((Span(f"{heading:<8}", Role.MUTED), Span(keys, Role.ACCENT), Span(action.help)))
                heading = ""
        return lines

    def _signs(self) -> list[Line]:
        lines: list[Line] = [
            (Span("signs   ", Role.MUTED), Span(f"{self._glyphs.health[kind]:<9}", role), Span(text))
            if kind is HealthKind.READY
            else (Span("        "), Span(f"{self._glyphs.health[kind]:<9}", role), Span(text))
            for kind, role, text in _LEGEND
        ]
        ends = (
            Span("        "),
            Span(f"{self._glyphs.token_ends:<9}", Role.COOLING),
            Span("ready, its token ends soon"),
        )
        following = (
            Span("        "),
            Span(f"{self._glyphs.next_pick:<9}", Role.ACCENT),
            Span("the next request goes here"),
        )
        return [lines[0], ends, *lines[1:], following]
