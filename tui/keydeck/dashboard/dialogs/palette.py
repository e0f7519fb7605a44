"""The palette: every command, pool, key and theme by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keydeck.dashboard.actions import actions_on, key_text
from keydeck.dashboard.dialogs.pick import Choice, PickDialog
from keydeck.present.panes import PaneView
from keydeck.present.rows import row_glyph, row_role
from keydeck.present.spans import Role, Span, cell

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp

_NAME_CELLS = 34


@dataclass(frozen=True, slots=True)
class Found:
    """What was chosen: an action or a theme by its name, or a pool, or a key of it."""

    kind: str
    """``action``, ``theme``, ``pool`` or ``key``."""
    name: str
    """The action's id, the theme's name or the provider."""
    row_id: str | None = None


class PaletteDialog(PickDialog[Found]):
    """Returns where to go or what to do, or None."""

    TITLE_TEXT = "commands, pools and keys"
    HINT = "type to search   enter go   esc close"

    def __init__(self, deck: PoolApp, screen: str, views: Sequence[PaneView]) -> None:
        super().__init__(deck.glyphs, marks_cursor=deck.needs_cursor_mark)
        self._deck = deck
        self._of = screen
        self._known = (*self._commands(), *self._places(views), *self._themes())

    def choices(self) -> Sequence[Choice[Found]]:
        """Return all there is."""
        return self._known

    def _commands(self) -> list[Choice[Found]]:
        deck = self._deck
        choices = []
        # Nobody looks up how to move; the rest stands in the table's order.
        offered = actions_on(self._of, read_only=deck.read_only)
        for action in sorted(offered, key=lambda action: action.group == "move"):
            key = key_text(action, deck.settings.keymap, ascii_only=deck.ascii_only)
            line = (
                cell(action.command, _NAME_CELLS - 8, Role.PLAIN, deck.glyphs.ellipsis),
                Span(f"{key:<7} ", Role.ACCENT),
                Span(action.help, Role.MUTED),
            )
            found = Found("action", action.id)
            choices.append(Choice(line, action.words, found))
        return choices

    def _places(self, views: Sequence[PaneView]) -> list[Choice[Found]]:
        mark, now = self._deck.glyphs.ellipsis, self._deck.clock()
        choices: list[Choice[Found]] = []
        for view in views:
            name = cell(f"pool: {view.name}", _NAME_CELLS, Role.STRONG, mark)
            state = Span(f"{view.ready}/{view.total} ready", Role.MUTED)
            choices.append(Choice((name, state), f"pool: {view.name}", Found("pool", view.provider)))
            for row in view.rows:
                sign = Span(f"{row_glyph(row, now, self._glyphs)} ", row_role(row, now))
                label = cell(f"key: {view.name} / {row.label}", _NAME_CELLS * 2 - 2, Role.PLAIN, mark)
                words = f"key: {view.name} / {row.label} {row.id}"
                choices.append(Choice((sign, label), words, Found("key", view.provider, row.id)))
        return choices

    def _themes(self) -> list[Choice[Found]]:
        return [
            Choice((Span(f"theme: {name}"),), f"theme: {name}", Found("theme", name))
            for name in sorted(self._deck.available_themes)
        ]
