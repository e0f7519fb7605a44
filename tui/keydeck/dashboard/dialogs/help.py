"""Help: every action that works here, to read or to run, and what the signs mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from keydeck.dashboard.actions import GROUPS, actions_on, key_text
from keydeck.dashboard.dialogs.pick import Choice, PickDialog
from keydeck.engine.state import HealthKind
from keydeck.present.glyphs import Glyphs
from keydeck.present.spans import Role, Span

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp

_SIGNS: Final = (
    (HealthKind.READY, Role.READY, "ready, picked normally"),
    (HealthKind.COOLING, Role.COOLING, "cooling: benched until the countdown ends"),
    (HealthKind.NEEDS_LOGIN, Role.DEAD, "log in again: waiting does not help"),
    (HealthKind.NO_SECRET, Role.ABSENT, "no secret: its variable or login is gone"),
    (HealthKind.BAD_ROW, Role.DEAD, "a row that cannot be read"),
)
_KEY_CELLS: Final = 8


class HelpDialog(PickDialog[str]):
    """Returns the id of the action to run, or None."""

    TITLE_TEXT = "keys"
    HINT = "type to search   enter run   esc close"

    def __init__(self, deck: PoolApp, screen: str) -> None:
        super().__init__(deck.glyphs, marks_cursor=deck.needs_cursor_mark)
        self._deck = deck
        self._of = screen

    def choices(self) -> Sequence[Choice[str]]:
        """Return the actions by group, then the signs."""
        return (*self._actions(), *_legend(self._glyphs))

    def _actions(self) -> list[Choice[str]]:
        deck = self._deck
        found = sorted(
            actions_on(self._of, read_only=deck.read_only), key=lambda action: GROUPS.index(action.group)
        )
        choices = []
        for action in found:
            key = key_text(action, deck.settings.keymap, ascii_only=deck.ascii_only)
            line = (Span(f"{key:<{_KEY_CELLS}} ", Role.ACCENT), Span(action.help))
            words = f"{key} {action.words}"
            choices.append(Choice(line, words, action.id, action.group))
        return choices


def _legend(glyphs: Glyphs) -> list[Choice[str]]:
    rows = [(glyphs.health[kind], role, text) for kind, role, text in _SIGNS]
    rows += [
        (glyphs.token_ends, Role.COOLING, "ready, its token ends soon"),
        (glyphs.next_pick, Role.ACCENT, "the next request goes here"),
        (glyphs.marked, Role.ACCENT, "marked with v; with the cursor on it " + glyphs.marked_here),
        (glyphs.twin, Role.COOLING, "another row holds the same key: they are one"),
        (glyphs.outside, Role.COOLING, "another program changed it just now"),
        (glyphs.pending, Role.ACCENT, "a change of this row is on its way"),
    ]
    columns = "columns: label, type, source, state, requests, last hour, rate, share of picks, token life, id"
    legend: list[Choice[str]] = [
        Choice((Span(f"{sign:<{_KEY_CELLS}} ", role), Span(text)), f"signs {text}", group="signs")
        for sign, role, text in rows
    ]
    return [*legend, Choice((Span(columns, Role.MUTED),), columns, group="columns")]
