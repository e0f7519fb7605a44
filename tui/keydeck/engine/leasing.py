"""`Leasing`: rows taken for work in flight, by one pool object, beside everybody else's in the journal."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, NamedTuple

from keydeck.engine.claims import in_flight
from keydeck.engine.credential import Credential
from keydeck.engine.events import Leased, Released
from keydeck.engine.picking import Picking
from keydeck.engine.probing import Probing
from keydeck.engine.roster import Roster

# A try is lost to somebody who was faster; after so many the row need not be the one with the fewest leases.
_TRIES: Final = 16


class Terms(NamedTuple):
    """On which terms a row is leased; None: as config.yaml says."""

    ttl_s: float | None = None
    at_most: int | None = None
    session: str | None = None
    model: str | None = None


class Leasing:
    """Claims rows and gives them back. Whoever uses it holds the pool's own lock."""

    def __init__(self, roster: Roster, picking: Picking, probing: Probing) -> None:
        self._roster = roster
        self._picking = picking
        self._probing = probing
        self._held: dict[str, tuple[str, ...]] = {}
        """Lease → the rows it is on."""

    def take(self, terms: Terms, place: int | None = None) -> tuple[str, int] | None:
        """Claim a row: the one of a place, else the one with the fewest leases, as the strategy picks among those.

        Returns:
            The name of the lease, and the place of the row; None where no row may be had now.
        """
        for tries in range(_TRIES + 1):
            self._roster.catch_up()
            chosen, load = self._chosen(terms) if place is None else (place, 0)
            if chosen is None:
                return None
            is_free_choice = place is not None or tries == _TRIES
            name = os.urandom(8).hex()
            if self._claim(name, chosen, terms, self._at_most(terms) if is_free_choice else load + 1):
                if place is not None or self._probing.may_go(chosen):
                    return name, chosen
                self.give_back(name)
                continue
            if is_free_choice:
                return None
        return None

    def _claim(self, name: str, place: int, terms: Terms, most: int | None) -> bool:
        """Tell the claim, and tell whether it holds once all that was told before it is known."""
        roster, row_id = self._roster, self._roster.ready.rows[place].id
        ids = roster.ids_with(place)
        ttl_s = roster.snapshot.lease_ttl_s if terms.ttl_s is None else terms.ttl_s
        is_told = roster.store.claim(
            Leased(ids=ids, provider=roster.provider, lease=name, ttl_s=ttl_s, most=most)
        )
        facts = roster.store.facts(row_id)
        lease = facts.leases.get(name) if facts else None
        self._held[name] = ids
        if (
            lease is None
            or not lease.is_live(roster.clock())
            or not (is_told or self._at_most(terms) is None)
        ):
            self.give_back(name, is_void=lease is None)
            return False
        return True

    def renew(self, name: str, terms: Terms) -> bool:
        """Begin the time of a lease anew; False if it has ended and its row is somebody else's by now."""
        ids = self._held.get(name, ())
        place = self._roster.place_of(ids[0]) if ids else None
        return place is not None and self._claim(name, place, terms, self._at_most(terms))

    def give_back(self, name: str, *, is_void: bool = False) -> None:
        """Give a lease back; one that was given back before is ignored."""
        ids = self._held.pop(name, None)
        if ids and not is_void:
            self._roster.store.claim(Released(ids=ids, provider=self._roster.provider, lease=name))

    def give_back_one_of(self, row_id: str) -> None:
        """Give back the oldest lease that this pool object has on a row."""
        name = next((name for name, ids in self._held.items() if ids[0] == row_id), None)
        if name:
            self.give_back(name)

    def give_all_back(self) -> None:
        """Give back every lease of this pool object."""
        for name in list(self._held):
            self.give_back(name)

    def forget(self) -> None:
        """Have none any more: in a forked child they are the parent's."""
        self._held.clear()

    def _at_most(self, terms: Terms) -> int | None:
        return self._roster.snapshot.leases_at_most if terms.at_most is None else terms.at_most

    def _chosen(self, terms: Terms) -> tuple[int | None, int]:
        """Return the place to claim, and how many leases its row has."""
        ready, now, at_most = self._roster.ready, self._roster.clock(), self._at_most(terms)
        if terms.model is not None:
            ready = ready.for_model(terms.model, self._roster.ticks())
        usable, places = ready.usable, (place for place in ready.leased if ready.is_usable(place))
        loads = {place: load for place in places if (load := in_flight(ready.rows[place].leases, now))}
        most = 0 if len(loads) < len(usable) else min(loads.values(), default=0)
        if terms.session is not None and self._roster.strategy == "sticky":
            most = max(loads.values(), default=0)  # its own row is worth more than a free one
        if at_most is not None:
            most = min(most, at_most - 1)
        full = {place for place, load in loads.items() if load > most}
        if most < 0 or len(full) == len(usable):
            return None, 0
        free = ready.among([place for place in usable if place not in full]) if full else ready
        place = self._picking.pick(terms.session, free)
        return place, 0 if place is None else loads.get(place, 0)


class RowLease:
    """A row taken for work in flight. It ends by itself unless it is renewed; giving it back twice does no harm."""

    def __init__(
        self, credential: Credential, renew: Callable[[float | None], bool], release: Callable[[], None]
    ) -> None:
        self.credential = credential
        self._renew = renew
        self._release = release

    def renew(self, ttl_s: float | None = None) -> bool:
        """Begin its time anew; False if it had ended and the row may not be had once more."""
        return self._renew(ttl_s)

    def release(self) -> None:
        """Give it back."""
        self._release()
