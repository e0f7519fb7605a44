"""The fold: from events to what is known of each row. Pure; it reads no clock and no file.

Order is decided by position in the journal, never by a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from keydeck.engine.events import (
    START,
    Added,
    Adopted,
    Edited,
    Event,
    Failed,
    Header,
    Moved,
    Outside,
    Paused,
    Position,
    Record,
    Removed,
    Reset,
    Restored,
    Resumed,
    Seen,
    Status,
    Succeeded,
    Used,
    Written,
)

NEVER: Final[Position] = (-1, -1)
READER: Final = 1
"""The version of this fold; a journal that asks for more is read, and never summed up in a checkpoint."""

_CLEAN: Final = Status()


@dataclass(frozen=True, slots=True)
class Bench:
    """Why a row is out: its status fields, the secret that failed, and where in the journal it says so."""

    status: Status
    key: str | None = None
    place: Position = START


class Facts(NamedTuple):
    """What is known of one row. Times are epoch seconds."""

    used: int = 0
    used_at: Position = START
    """Where the last use stands; of uses told together the later one further on."""
    bench: Bench | None = None
    """The last failure that nothing has ended; whether it is over by now is for the clock to say."""
    streak: int = 0
    """Failures in a row, each of a request that was granted after the one before."""
    reset: Position = NEVER
    """Where the last reset stands: failures of requests granted before it count no more."""
    told_at: float = 0.0
    """When its health was last told of."""
    label: str | None = None
    priority: float | None = None
    paused: float | None = None
    """Until when the operator took it out; infinity for good."""
    extra: Mapping[str, Any] = MappingProxyType({})
    """What a newer version keeps about it."""


FRESH: Final = Facts()


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A removed row, in case somebody writes it back."""

    key: str | None
    """Fingerprint of the secret it had."""
    gen: int
    """The generation of auth.json from which it is missing."""
    at: float
    facts: Facts = FRESH
    label: str = ""


@dataclass(slots=True)
class Ledger:
    """All that the events up to `position` tell."""

    position: Position = START
    rows: dict[str, Facts] = field(default_factory=dict)
    tombs: dict[str, Tombstone] = field(default_factory=dict)
    writers: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Writer → its last record that landed, and when that was."""
    gen: int = 0
    """The last generation of auth.json that was told of."""
    store: str | None = None
    min_reader: int = 1

    def copy(self) -> Ledger:
        """Return another ledger that says the same; the facts themselves never change."""
        return replace(self, rows=dict(self.rows), tombs=dict(self.tombs), writers=dict(self.writers))

    def take(self, record: Record, place: Position) -> Iterable[str]:
        """Fold one record in and return the ids of the rows it concerns; a record that landed before says nothing."""
        if record.seq:  # what the journal says of itself has none, and may be said twice
            last, _ = self.writers.get(record.writer, (0, 0.0))
            if record.seq <= last:
                return ()
            self.writers[record.writer] = (record.seq, record.at)
        return self.enact(record.event, record.at, place)

    def enact(self, event: Event, at: float, place: Position) -> Iterable[str]:
        """Fold an event in, whoever tells it."""
        if type(event) is Used:
            segment, offset = place
            for later, (row_id, number) in enumerate(event.counts.items()):
                self.change(row_id, _sent, number, (segment, offset + later))
            return event.counts
        rule = _RULES.get(type(event))
        return rule(self, event, at, place) if rule else ()

    def change(self, row_id: str, rule: Callable[..., Facts], *arguments: Any, **fields: Any) -> None:
        """Apply a rule to one row's facts; a removed row keeps its own, in case it is put back."""
        if row_id in self.tombs:
            tomb = self.tombs[row_id]
            self.tombs[row_id] = replace(tomb, facts=rule(tomb.facts, *arguments, **fields))
        else:
            self.rows[row_id] = rule(self.rows.get(row_id, FRESH), *arguments, **fields)


def apply(ledger: Ledger, record: Record, place: Position) -> Ledger:
    """Return the ledger after a record that stands at `place`, and leave the one before as it is."""
    after = ledger.copy()
    after.take(record, place)
    after.position = max(after.position, place)
    return after


# --- one rule a kind of event ------------------------------------------------------------------------------


def _sent(facts: Facts, number: int, place: Position) -> Facts:
    return facts._replace(used=facts.used + number, used_at=place)


def _failed(ledger: Ledger, event: Failed, at: float, place: Position) -> Iterable[str]:
    bench = Bench(
        Status(event.status, at, event.code, event.reason, event.message, event.until), event.key, place
    )
    for row_id in event.ids:
        ledger.change(row_id, _benched, bench, event.granted or place)
    return event.ids


def _benched(facts: Facts, bench: Bench, granted: Position) -> Facts:
    if granted <= facts.reset:
        return facts
    # A failure that started before the present bench is one more of the same, not another one in a row.
    again = facts.bench is None or granted > facts.bench.place
    streak = facts.streak + 1 if again else facts.streak
    return facts._replace(bench=bench, streak=streak, told_at=bench.status.at or 0.0)


def _succeeded(ledger: Ledger, event: Succeeded, at: float, place: Position) -> Iterable[str]:
    for row_id in event.ids:
        ledger.change(row_id, _proven, at, event.granted or place, event.past)
    return event.ids


def _proven(facts: Facts, at: float, granted: Position, past: float | None) -> Facts:
    if facts.bench is None:  # it is no news of this row's health, but for what it ends
        return facts if past is None else facts._replace(told_at=max(facts.told_at, past))
    return facts if facts.bench.place >= granted else facts._replace(bench=None, streak=0, told_at=at)


def _reset(ledger: Ledger, event: Reset, at: float, place: Position) -> Iterable[str]:
    for row_id in event.ids:
        ledger.change(row_id, _cleared, at, place)
    return event.ids


def _cleared(facts: Facts, at: float, place: Position) -> Facts:
    if facts.bench is not None and facts.bench.place > place:
        return facts
    return facts._replace(bench=None, streak=0, reset=max(facts.reset, place), told_at=at)


def _restored(ledger: Ledger, event: Restored, at: float, place: Position) -> Iterable[str]:
    for row_id, seen in event.rows.items():
        bench = Bench(seen.status, place=place) if seen.status.status else None
        ledger.change(row_id, Facts._replace, bench=bench, told_at=at)
    return event.rows


def _paused(ledger: Ledger, event: Paused, _at: float, _place: Position) -> Iterable[str]:
    until = float("inf") if event.until is None else event.until
    for row_id in event.ids:
        ledger.change(row_id, Facts._replace, paused=until)
    return event.ids


def _resumed(ledger: Ledger, event: Resumed, _at: float, _place: Position) -> Iterable[str]:
    for row_id in event.ids:
        ledger.change(row_id, Facts._replace, paused=None)
    return event.ids


def _added(ledger: Ledger, event: Added, _at: float, place: Position) -> Iterable[str]:
    tomb = ledger.tombs.pop(event.id, None)
    known = tomb.facts if tomb else ledger.rows.get(event.id)
    if known is None:
        ledger.rows[event.id] = met(FRESH, event.seen, place)
    else:  # put back by an undo, or used while it was only offered
        ledger.rows[event.id] = known._replace(label=event.seen.label, priority=event.seen.priority)
    return (event.id,)


def _removed(ledger: Ledger, event: Removed, at: float, _place: Position) -> Iterable[str]:
    if event.id not in ledger.tombs:
        facts = ledger.rows.pop(event.id, FRESH)
        ledger.tombs[event.id] = Tombstone(event.key, event.gen, at, facts, event.label)
    return (event.id,)


def _edited(ledger: Ledger, event: Edited, _at: float, _place: Position) -> Iterable[str]:
    ledger.change(event.id, Facts._replace, label=event.label)
    return (event.id,)


def _moved(ledger: Ledger, event: Moved, _at: float, _place: Position) -> Iterable[str]:
    for row_id, spot in event.order.items():
        ledger.change(row_id, Facts._replace, priority=spot)
    return event.order


def _adopted(ledger: Ledger, event: Adopted, _at: float, place: Position) -> Iterable[str]:
    for row_id, seen in event.rows.items():
        if event.afresh:
            ledger.tombs.pop(row_id, None)
            ledger.rows[row_id] = FRESH
        ledger.change(row_id, met, seen, place)
    return event.rows


def met(facts: Facts, seen: Seen, place: Position) -> Facts:
    """Return the facts of a row that auth.json had before anybody told of it here."""
    facts = facts._replace(used=facts.used + seen.used, label=seen.label, priority=seen.priority)
    is_newer = (seen.status.at or 0.0) >= facts.told_at
    return _accepted(facts, seen.status, place) if is_newer else facts


def _accepted(facts: Facts, status: Status, place: Position) -> Facts:
    """Take another program's bench."""
    if not status.status:
        return facts
    return facts._replace(bench=Bench(status, place=place), told_at=max(facts.told_at, status.at or 0.0))


def _outside(ledger: Ledger, event: Outside, at: float, place: Position) -> Iterable[str]:
    if event.what == "removed":
        ledger.rows.pop(event.id, None)
    elif event.what == "restored" and event.id in ledger.tombs:
        ledger.rows[event.id] = ledger.tombs.pop(event.id).facts
    else:
        ledger.change(event.id, overruled, event, at, place)
    return (event.id,)


def overruled(facts: Facts, event: Outside, at: float, place: Position) -> Facts:
    """Return the facts of a row after what another program made of it."""
    facts = facts._replace(used=facts.used + event.used) if event.used else facts
    if event.what == "added" and event.seen:
        return met(facts, event.seen, place)
    if event.what == "benched" and event.seen:
        # Who had seen all that is known is right; who had not must bring something newer.
        is_newer = event.past == facts.told_at or (event.seen.status.at or 0.0) > facts.told_at
        return _accepted(facts, event.seen.status, place) if is_newer else facts
    if event.what in ("cleared", "ended") and facts.bench and facts.bench.status.at == event.past:
        return _cleared(facts, at, place)
    if event.what == "renamed":
        return facts._replace(label=event.label)
    if event.what == "moved" and event.seen:
        return facts._replace(priority=event.seen.priority)
    return facts


def _written(ledger: Ledger, event: Written, _at: float, _place: Position) -> Iterable[str]:
    ledger.gen = max(ledger.gen, event.gen)
    return ()


def _headed(ledger: Ledger, event: Header, _at: float, _place: Position) -> Iterable[str]:
    ledger.store = ledger.store or event.store
    ledger.min_reader = max(ledger.min_reader, event.min_reader)
    return ()


_RULES: Final[Mapping[type[Event], Callable[[Ledger, Any, float, Position], Iterable[str]]]] = {
    Failed: _failed,
    Succeeded: _succeeded,
    Reset: _reset,
    Restored: _restored,
    Paused: _paused,
    Resumed: _resumed,
    Added: _added,
    Removed: _removed,
    Edited: _edited,
    Moved: _moved,
    Adopted: _adopted,
    Outside: _outside,
    Written: _written,
    Header: _headed,
}
