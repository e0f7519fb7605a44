"""Which rows of a pool a request may go to, kept by membership: a pick costs the same at 10 and at 10,000 rows.

Waits are measured on the monotonic clock, from the moment a bench is learned of: a clock that is set moves none.
"""

from __future__ import annotations

import bisect
import heapq
import math
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Final

from keydeck.engine.cooldown import Standing
from keydeck.engine.credential import Credential
from keydeck.engine.state import (
    READY,
    HealthKind,
    RowState,
    awaits_renewal,
    changes_at,
    free_at,
    is_plainly_ready,
    row_state,
    standing_of,
)

# A heap of uses grows by an entry a pick; beyond this much slack it is built anew.
_SLACK: Final = 4

Waits = dict[str, tuple[object, float, float]]
"""Row → (which bench, its end on the wall clock, its end on the monotonic clock)."""


class Ready:
    """The rows of one pool by place, which are the order of trial.

    Args:
        rows: the rows as they are known.
        groups: places of rows that are one credential, for uses.
        waits: the waits of the object before this one: benches that are still the same keep their end.
    """

    def __init__(
        self,
        rows: Sequence[Credential],
        groups: Sequence[Sequence[int]] = (),
        waits: Mapping[str, tuple[object, float, float]] | None = None,
    ) -> None:
        self.rows = list(rows)
        self.place_of = {row.id: place for place, row in enumerate(rows)}
        self.usable: list[int] = []
        """Places of the usable rows, in order."""
        self.probing: set[int] = set()
        """Places of the rows that have just cooled: one request at a time tries them."""
        self.leased: set[int] = set()
        """Places of the rows that somebody has, or had, for work in flight."""
        self.waits: Waits = dict(waits or {})
        self.others = 0
        """How many other processes use the pool now."""
        self._first_of = {place: group[0] for group in groups for place in group}
        self._used = [row.request_count for row in rows]
        for group in groups:
            self._used[group[0]] = sum(rows[place].request_count for place in group)
        self._by_use: list[tuple[int, int]] = []
        # Place → model → the monotonic time until when the row is out for it; rarely there is any.
        self._limits: dict[int, dict[str, float]] = {}
        # (monotonic time, place): when the clock gives a row another state. Outdated ones do no harm.
        self._turns: list[tuple[float, int]] = []

    def begin(self, now: float, ticks: float) -> None:
        """Judge every row: `now` is the wall time, `ticks` the monotonic one."""
        self.usable = [
            place
            for place, row in enumerate(self.rows)
            if is_plainly_ready(row) or self._state(place, now, ticks).health.is_usable
        ]
        self._by_use = [(self.used(place), place) for place in self.usable]
        heapq.heapify(self._by_use)

    def used(self, place: int) -> int:
        """Return how many requests went to the credential of a place, as far as can be told."""
        return self._used[self._first_of.get(place, place)]

    def count(self, place: int) -> None:
        """Note one more request, and as many of each of the others who are at work: they choose as we do."""
        self._used[self._first_of.get(place, place)] += 1 + self.others

    def put(self, place: int, row: Credential, used: int, now: float, ticks: float) -> None:
        """Take another view of a row."""
        self.recount(place, row, used)
        self._judge(place, now, ticks)

    def recount(self, place: int, row: Credential, used: int) -> None:
        """Take another view of a row that differs in its uses only."""
        self.rows[place] = row
        first = self._first_of.get(place, place)
        if used < self._used[first] and self.is_usable(place):
            heapq.heappush(self._by_use, (used, place))  # the line only looks for what became more
        self._used[first] = used

    def turn(self, now: float, ticks: float) -> None:
        """Let the clock act: benches end, tokens end."""
        while self._turns and self._turns[0][0] <= ticks:
            _, place = heapq.heappop(self._turns)
            self._judge(place, now, ticks)

    def has_turns(self, ticks: float) -> bool:
        """Tell whether `turn` would do something."""
        return bool(self._turns) and self._turns[0][0] <= ticks

    def back(self, now: float, ticks: float) -> list[tuple[float, int, HealthKind]]:
        """Return when the clock lets each row work again that is out now, its place, and why it is out."""
        self._turns = []  # judged anew, each has one turn, and no outdated one
        states = [self._state(place, now, ticks) for place in range(len(self.rows))]
        out = [(due, place) for due, place in self._turns if not states[place].health.is_usable]
        ends = ((_back_at(states[place], now + (due - ticks)), place) for due, place in out)
        return [(end, place, states[place].health.kind) for end, place in ends if end is not None]

    def least_used(self) -> int:
        """Return the place of the usable row with the fewest requests, the first among equals."""
        if len(self._by_use) > _SLACK * len(self.rows) + 16:
            self._by_use = [(self.used(place), place) for place in self.usable]
            heapq.heapify(self._by_use)
        while True:
            used, place = self._by_use[0]
            if not self.is_usable(place):
                heapq.heappop(self._by_use)
            elif used != (present := self.used(place)):
                heapq.heapreplace(self._by_use, (present, place))
            else:
                return place

    def among(self, places: Sequence[int]) -> Ready:
        """Return the same rows with no others usable than these, given in order; it learns of nothing any more."""
        part = copy(self)
        part.usable = list(places)
        part._by_use = line = [(self.used(place), place) for place in places]  # noqa: SLF001 - one of us
        heapq.heapify(line)
        return part

    def for_model(self, model: str, ticks: float) -> Ready:
        """Return the rows without those that are out for this model (FS-26); itself where there are none."""
        if not self._limits:
            return self
        out = {place for place, limits in self._limits.items() if ticks < limits.get(model, 0.0)}
        return self.among([place for place in self.usable if place not in out]) if out else self

    def after(self, place: int) -> int:
        """Return the usable place that follows in the round."""
        spot = bisect.bisect_right(self.usable, place)
        return self.usable[spot] if spot < len(self.usable) else self.usable[0]

    def states(self, now: float, ticks: float) -> tuple[RowState, ...]:
        """Return every row's state as it is picked by, whatever the wall clock was set to; changes nothing."""
        twin = Ready(self.rows, (), self.waits)
        states = (twin._state(place, now, ticks) for place in range(len(self.rows)))
        return tuple(
            state._replace(health=READY) if self.is_usable(place) and not state.health.is_usable else state
            for place, state in enumerate(states)
        )

    def is_usable(self, place: int) -> bool:
        """Tell whether a request may go to the row of a place."""
        spot = bisect.bisect_left(self.usable, place)
        return spot < len(self.usable) and self.usable[spot] == place

    def _judge(self, place: int, now: float, ticks: float) -> None:
        is_usable, usable = self._state(place, now, ticks).health.is_usable, self.usable
        spot = bisect.bisect_left(usable, place)
        was_usable = spot < len(usable) and usable[spot] == place
        if is_usable and not was_usable:
            usable.insert(spot, place)
            heapq.heappush(self._by_use, (self.used(place), place))
        elif was_usable and not is_usable:
            del usable[spot]

    def _state(self, place: int, now: float, ticks: float) -> RowState:
        """Return a row's state, and note what is particular about it, and when the clock will give it another."""
        state = self._judged(place, now, ticks)
        note = self.probing.add if state.health.kind is HealthKind.PROBING else self.probing.discard
        note(place)
        note = self.leased.add if self.rows[place].leases else self.leased.discard
        note(place)
        return state

    def _judged(self, place: int, now: float, ticks: float) -> RowState:
        row = self.rows[place]
        if row.paused is not None and (paused := self._paused(place, now, ticks)):
            return paused
        row = self.rows[place]
        if row.limits or place in self._limits:
            self._limit(place, row, now, ticks)
        state = row_state(row, now)
        if (held := standing_of(row)).until is not None and state.health.kind is not HealthKind.PAUSED:
            return self._by_wait(row, held, state, now, ticks)
        if (due := changes_at(state)) is not None:
            heapq.heappush(self._turns, (ticks + (due - now), place))
        return state

    def _paused(self, place: int, now: float, ticks: float) -> RowState | None:
        """Return the state of a row whose pause goes on; one whose time is up is as if it had never been paused."""
        row = self.rows[place]
        end = row.paused or 0.0
        state = row_state(row, min(now, math.nextafter(end, 0.0)))
        if not math.isfinite(end):
            return state
        which, name = (row.paused_at, end), f"pause of {row.id}"
        if self.waits.get(name, (None,))[0] != which:
            left = end - now if row.paused_at is None else min(end - now, end - row.paused_at)
            self.waits[name] = (which, end, ticks + left)
        due = self.waits[name][2]
        if ticks < due:
            heapq.heappush(self._turns, (due, place))
            return state
        self.rows[place] = row._replace(paused=None, paused_at=None)
        return None

    def _limit(self, place: int, row: Credential, now: float, ticks: float) -> None:
        """Note for which models a row is out, by the wait that was left when that was learned of."""
        limits: dict[str, float] = {}
        for model, held in row.limits.items():
            if held.is_terminal:
                limits[model] = math.inf
            if held.strike is None or held.until is None:
                continue
            failure, name = held.strike.failure, f"{model} with {row.id}"
            known, _, due = self.waits.get(name, (None, 0.0, 0.0))
            if known != (failure, held.until):
                due = ticks + min(held.until - now, held.until - failure.at)
                self.waits[name] = ((failure, held.until), held.until, due)
            limits[model] = due
        self._limits.pop(place, None)
        if limits:
            self._limits[place] = limits

    def _by_wait(
        self, row: Credential, held: Standing, state: RowState, now: float, ticks: float
    ) -> RowState:
        """Judge a benched row by the wait that was left when its bench was learned of."""
        which = (held.strike and held.strike.failure, held.until)
        known, end, due = self.waits.get(row.id, (None, 0.0, 0.0))
        if known != which:
            if (until := state.health.until) is None:
                return state
            # Should the clock have gone back since it was written down, nobody waits longer than was meant.
            since = state.health.since
            left = until - now if since is None else min(until - now, until - since)
            end, due = until, ticks + left
            self.waits[row.id] = (which, end, due)
        if ticks < due:
            heapq.heappush(self._turns, (due, self.place_of[row.id]))
            return state if state.health.until else row_state(row, min(now, end - 1e-3))
        # By the clock that nobody sets: silence after a bench is measured as the bench was.
        then = max(now, end + (ticks - due))
        state = row_state(row, then)
        if (change := changes_at(state)) is not None:
            heapq.heappush(self._turns, (ticks + (change - then), self.place_of[row.id]))
        return state


def _back_at(state: RowState, turn: float) -> float | None:
    """Return when a row is back that changes at its turn; a pause may hide a bench, and a bench a token that ends."""
    until = state.health.until
    after = row_state(state.row, turn if until is None else max(turn, until))
    return turn if after.health.is_usable or awaits_renewal(after) else free_at(after)
