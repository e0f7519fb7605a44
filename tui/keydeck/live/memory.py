"""`Memory`: what a reader of the journal knows between two records: names, places, benches and when they end.

It is a ledger of what was read, under what the files say of the rows. Nothing here reads a clock or a file.
"""

from __future__ import annotations

import heapq
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from keydeck.engine.cooldown import CLEAR, Standing, Strike, standing
from keydeck.engine.cooldown_policy import DEFAULT_POLICY
from keydeck.engine.credential import Credential
from keydeck.engine.events import (
    Added,
    Adopted,
    Edited,
    Event,
    Failed,
    Moved,
    Outside,
    Paused,
    Position,
    Record,
    Removed,
    Reset,
    Restored,
    Resumed,
    Succeeded,
)
from keydeck.engine.ledger import FRESH, Facts, Ledger
from keydeck.engine.snapshot import HomeSnapshot

_WRITERS_KEPT: Final = 4096


class Memory:
    """What is known of rows by now."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.offered: set[str] = set()
        """Rows that were not stored when they were met."""
        self._names: dict[str, str] = {}
        self._hints: dict[str, str] = {}
        self._providers: dict[str, str] = {}
        self._places: dict[str, float] = {}
        self._places_now: dict[str, float] = {}
        self._tells_past = True
        self._policy = DEFAULT_POLICY
        self._ends: list[tuple[float, str, Position]] = []
        self._pauses: list[tuple[float, str]] = []

    # --- learning --------------------------------------------------------------------------------------

    def meet(self, snapshot: HomeSnapshot) -> None:
        """Learn what rows are called and whose they are, for what no event says."""
        self._policy = snapshot.policy
        for pool in snapshot.pools:
            for row in pool.rows:
                self._providers.setdefault(row.id, pool.provider)
                # Without secrets: who takes them out of what is told later may not know a removed row's any more.
                self._names[row.id] = snapshot.scrubber.scrub_known(row.label)
                if not isinstance(row, Credential):
                    continue
                self._places_now.setdefault(row.id, row.priority)
                if not row.stored:
                    self.offered.add(row.id)
        if not self._tells_past:
            self.keep_places()

    def keep_places(self) -> None:
        """Take the places that were met for those from which rows move from now on."""
        self._tells_past = False
        self._places = {**self._places_now, **self._places}

    def hear(self, records: Iterable[Record]) -> None:
        """Learn names ahead of telling these records: a row may fail before anything says what it is called."""
        for record in records:
            event = record.event
            if isinstance(event, Removed | Outside):
                self._hints.setdefault(event.id, event.label)
                if event.provider:
                    self._providers.setdefault(event.id, event.provider)

    def is_new(self, record: Record) -> bool:
        """Tell whether a record was not met yet, and remember it; one that was written twice counts once."""
        if not record.seq:
            return False  # what the journal says of itself
        writers = self.ledger.writers
        last, _ = writers.get(record.writer, (0, 0.0))
        if record.seq <= last:
            return False
        writers[record.writer] = (record.seq, record.at)
        if len(writers) > _WRITERS_KEPT:
            del writers[next(iter(writers))]
        return True

    def have_met(self, writers: Mapping[str, tuple[int, float]]) -> None:
        """Take these as the last records that were met of their writers, where they are further on."""
        known = self.ledger.writers
        further = {name: last for name, last in writers.items() if last > known.get(name, (0, 0.0))}
        known.update(further)

    def enact(self, event: Event, at: float, place: Position) -> None:
        """Fold an event in."""
        ids = ids_of(event)
        if provider := getattr(event, "provider", ""):
            self._providers.update(dict.fromkeys(ids, provider))
        before = {row_id: self.facts(row_id).paused for row_id in ids}
        known = {row_id: self._end(row_id) for row_id in ids}
        self.ledger.enact(event, at, place)
        for row_id, was in before.items():
            until = self.facts(row_id).paused
            if until is not None and until != was:
                heapq.heappush(self._pauses, (until, row_id))
        if isinstance(event, Moved):
            self._places.update(event.order)
        for row_id in ids:
            end = self._end(row_id)
            if end is not None and end != known[row_id]:
                heapq.heappush(self._ends, end)

    def _end(self, row_id: str) -> tuple[float, str, Position] | None:
        """Return when a row's bench is over by the clock, over or not, and which one it is."""
        held = self.standing(row_id)
        return (held.until, row_id, held.strike.place) if held.strike and held.until is not None else None

    # --- asking ----------------------------------------------------------------------------------------

    def facts(self, row_id: str) -> Facts:
        """Return what was told of a row, removed or not."""
        tomb = self.ledger.tombs.get(row_id)
        return tomb.facts if tomb else self.ledger.rows.get(row_id, FRESH)

    def standing(self, row_id: str, facts: Facts | None = None, model: str | None = None) -> Standing:
        """Return how a row stands by what was told of it, or by other facts of it, under the present policy."""
        benches = (facts or self.facts(row_id)).benches
        if not benches.strikes:
            return CLEAR
        return standing(benches, self._policy, self.provider_of(row_id), row_id, model=model)

    def provider_of(self, row_id: str) -> str:
        """Return whose row it is; empty where nobody said."""
        return self._providers.get(row_id, "")

    def label_of(self, row_id: str) -> str:
        """Return what a row was called by now, or else is called today; empty where nobody said."""
        tomb = self.ledger.tombs.get(row_id)
        known = (self.facts(row_id).label, tomb.label if tomb else None, self._names.get(row_id))
        return next((label for label in known if label), None) or self._hints.get(row_id, "")

    def place_of(self, row_id: str) -> float | None:
        """Return the priority from which a row would move."""
        told = self.facts(row_id).priority
        return self._places.get(row_id) if told is None else told

    @property
    def next_end(self) -> float:
        """When the next bench or pause is over by the clock, perhaps; infinity where none is running."""
        return min(heap[0][0] if heap else math.inf for heap in (self._ends, self._pauses))

    def ended(self, until: float) -> Iterator[tuple[float, str, Strike]]:
        """Yield the benches that the clock ended by then and nothing else had ended: when, whose, and why."""
        while self._ends and self._ends[0][0] <= until:
            end, row_id, place = heapq.heappop(self._ends)
            held, paused = self.standing(row_id), self.facts(row_id).paused
            is_paused = paused is not None and paused > end
            if held.strike and not is_paused and held.strike.place == place and held.until == end:
                yield end, row_id, held.strike

    def pauses_ended(self, until: float) -> Iterator[tuple[float, str]]:
        """Yield the pauses that the clock ended by then and nobody had: when, and of which row."""
        while self._pauses and self._pauses[0][0] <= min(until, sys.float_info.max):
            end, row_id = heapq.heappop(self._pauses)
            if self.facts(row_id).paused == end:
                yield end, row_id


def ids_of(event: Event) -> tuple[str, ...]:
    """Return the rows that an event is about, the one that it names first."""
    match event:
        case Failed() | Succeeded() | Reset() | Paused() | Resumed():
            return tuple(dict.fromkeys(event.ids))
        case Restored() | Adopted():
            return tuple(event.rows)
        case Moved():
            return tuple(event.order)
        case Added() | Removed() | Edited() | Outside():
            return (event.id,)
    return ()
