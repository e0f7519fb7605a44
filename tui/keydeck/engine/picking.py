"""`Picking`: which row comes next, by the strategy of the moment and what one pool object picked before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keydeck.engine.known import used_last
from keydeck.engine.ready import Ready
from keydeck.engine.roster import Roster
from keydeck.engine.strategies import GO_ON, picker, row_of_session

if TYPE_CHECKING:
    from keydeck.engine.explain import Asked

SESSIONS_KEPT: Final = 4096
"""Of so many sessions a pool object remembers the row; the one that was quiet longest is worked out anew."""


class Picking:
    """Chooses among a roster's usable rows. Whoever uses it holds the pool's own lock."""

    def __init__(self, roster: Roster) -> None:
        self.begins_round = False
        """Whether the row that was picked last is the first one of this pool's round."""
        self._roster = roster
        self._last: str | None = None
        self._strategy = ""
        self._pick = picker(self._strategy)
        self._row_of: dict[str, str] = {}

    def pick(self, session: str | None = None, among: Ready | None = None) -> int | None:
        """Return the place of the row that comes next, and go on from it; None if none is usable.

        Args:
            session: what the request belongs to.
            among: the roster's rows with fewer of them usable, if some must not be taken now.
        """
        roster = self._roster
        ready = among or roster.ready
        if not ready.usable:
            return None
        self.begins_round = False
        if roster.strategy != self._strategy:
            self._follow(roster.strategy)
        if session is not None and self._strategy == "sticky":
            return self._of_session(session, ready)
        place = self._pick(ready, roster.place_of(self._last))
        self._last = ready.rows[place].id
        return place

    def _of_session(self, session: str, ready: Ready) -> int:
        """Return the row that the session has, as long as it is usable: its provider knows the prompts there."""
        place = ready.place_of.get(self._row_of.pop(session, ""))
        if place is None or not ready.is_usable(place):
            place = row_of_session(ready, session)
        self._row_of[session] = ready.rows[place].id  # put last, as the one that spoke last
        if len(self._row_of) > SESSIONS_KEPT:
            del self._row_of[next(iter(self._row_of))]
        return place

    def _follow(self, strategy: str) -> None:
        self._strategy, self._pick = strategy, picker(strategy)
        if self._last is None and strategy in GO_ON:
            self._last, self.begins_round = self._used_last(), strategy == "round_robin"

    def _used_last(self) -> str | None:
        return used_last(self._roster.ready.rows, self._roster.store.facts)

    def asked(self, session: str | None, model: str | None, *, lease: bool, own_probe: int | None) -> Asked:
        """Return what a request would ask for now, with what is remembered of earlier ones; changes nothing."""
        from keydeck.engine.explain import Asked

        strategy, last = self._roster.strategy, self._last
        if last is None and strategy in GO_ON and strategy != self._strategy:
            last = self._used_last()
        kept = self._row_of.get(session) if session is not None else None
        at_most = self._roster.snapshot.leases_at_most
        tried = None if own_probe is None else self._roster.ready.rows[own_probe].id
        return Asked(strategy, session, model, last, kept, lease, at_most, tried)
