"""A full screen that is one list, drawn anew only when a line of it is another."""

from __future__ import annotations

from keydeck.dashboard.screens.deck import DeckScreen
from keydeck.dashboard.widgets.line_list import Item, LineList


class ListingScreen(DeckScreen):
    """A screen of this kind has a list, and nothing on it moves with the clock."""

    _list: LineList
    _shown: tuple[Item, ...] = ()

    def show_items(self, items: tuple[Item, ...]) -> None:
        """Show these lines, with the cursor on the one it was on."""
        if items != self._shown:
            self._shown = items
            self._list.show(items, self._list.value)

    def tick_body(self, now: float) -> None:
        """Stay: nothing here moves with the clock."""
