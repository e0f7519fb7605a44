"""`Probing`: of all processes one request at a time tries a row again after its cooldown, until one succeeds.

A row is tried by whoever claims that first in the journal. A minute of silence counts as a success, so that
callers who never report one go on.
"""

from __future__ import annotations

import os

from keydeck.engine.events import Probed
from keydeck.engine.roster import Roster


class Probing:
    """Claims rows that have just cooled, for one pool object. Whoever uses it holds the pool's own lock."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._mine: dict[str, str] = {}
        """Row → the name of the claim that this pool object made last."""

    def may_go(self, place: int) -> bool:
        """Tell whether a request may go to a usable row; one that has just cooled is claimed for it."""
        ready = self._roster.ready
        return place not in ready.probing or self._claim(place)

    def _claim(self, place: int) -> bool:
        roster, row_id = self._roster, self._roster.ready.rows[place].id
        name = os.urandom(8).hex()
        roster.store.claim(Probed(ids=roster.ids_with(place), provider=roster.provider, by=name))
        facts = roster.store.facts(row_id)
        if facts is None or facts.probe is None or facts.probe.by != name:
            return False
        self._mine[row_id] = name
        return True

    def goes_on(self, row_id: str | None) -> int | None:
        """Return the place of a row that this pool object tries now, None if that is over or it is somebody else's.

        Who asks for a row again without a failure to report has had its answer.
        """
        place = self._roster.place_of(row_id)
        if place is None or place not in self._roster.ready.probing:
            return None
        probe = self._roster.ready.rows[place].probe
        return place if probe and probe.by == self._mine.get(row_id or "") else None

    def forget(self) -> None:
        """Try nothing any more: in a forked child it is the parent that does."""
        self._mine.clear()
