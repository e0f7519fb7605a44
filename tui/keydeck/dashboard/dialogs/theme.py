"""The themes, each seen at once while the cursor is on it; esc brings the old one back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keydeck.dashboard.dialogs.pick import Choice, PickDialog
from keydeck.dashboard.themes import OWN_THEMES
from keydeck.present.spans import Role, Span

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp


class ThemeDialog(PickDialog[str]):
    """Returns the theme that was chosen, or None; until then it only shows."""

    TITLE_TEXT = "theme"
    HINT = "enter keep   esc as before"

    def __init__(self, deck: PoolApp) -> None:
        super().__init__(deck.glyphs, marks_cursor=deck.needs_cursor_mark)
        self._deck = deck
        self._before = deck.theme

    def choices(self) -> Sequence[Choice[str]]:
        """Return our own themes, then Textual's."""
        others = sorted(set(self._deck.available_themes) - set(OWN_THEMES))
        return [
            Choice((Span(name, Role.STRONG if name in OWN_THEMES else Role.PLAIN),), name, name)
            for name in (*OWN_THEMES, *others)
        ]

    def start(self) -> str | None:
        """Start on the present theme."""
        return self._before

    def looked_at(self, value: str) -> None:
        """Show it."""
        self._deck.theme = value

    def action_cancel(self) -> None:
        """Bring the old theme back."""
        self._deck.theme = self._before
        self.dismiss(None)
