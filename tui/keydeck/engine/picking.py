"""`Picking`: which row comes next, by the strategy of the moment and what one pool object picked before."""

from __future__ import annotations

from keydeck.engine.events import START
from keydeck.engine.roster import Roster
from keydeck.engine.strategies import GO_ON, picker


class Picking:
    """Chooses among a roster's usable rows. Whoever uses it holds the pool's own lock."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._last: str | None = None
        self._strategy = ""
        self._pick = picker(self._strategy)

    def pick(self) -> int | None:
        """Return the place of the row that comes next, and go on from it; None if none is usable."""
        roster = self._roster
        if not roster.ready.usable:
            return None
        if roster.strategy != self._strategy:
            self._follow(roster.strategy)
        place = self._pick(roster.ready, roster.place_of(self._last))
        self._last = roster.ready.rows[place].id
        return place

    def _follow(self, strategy: str) -> None:
        self._strategy, self._pick = strategy, picker(strategy)
        if self._last is None and strategy in GO_ON:
            self._last = self._used_last()

    def _used_last(self) -> str | None:
        """Return the row that was used last by anybody."""
        rows, store = self._roster.ready.rows, self._roster.store
        used = ((facts.used_at, row.id) for row in rows if (facts := store.facts(row.id)))
        place, row_id = max(used, default=(START, None))
        return row_id if place > START else None
