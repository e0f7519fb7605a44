"""The fold: from events to what is known of each row. Pure; it reads no clock and no file.

Order is decided by position in the journal, never by a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from keydeck.engine.claims import NO_LEASES, Leases, Probe, leased, probed, released
from keydeck.engine.cooldown import (
    FREE,
    Benches,
    Failure,
    Strike,
    failed,
    filed_failure,
    reset,
    succeeded,
)
from keydeck.engine.events import (
    START,
    Added,
    Adopted,
    Dismissed,
    Edited,
    Event,
    Failed,
    Header,
    Held,
    Leased,
    Moved,
    Outside,
    Paused,
    Position,
    Probed,
    Record,
    Released,
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
from keydeck.engine.failures import FailureKind, classify
from keydeck.engine.parking import FOR_GOOD, is_parking, pause_of

READER: Final = 2
"""The version of this fold; a journal that asks for more is read, and never summed up in a checkpoint."""


class Facts(NamedTuple):
    """What is known of one row. Times are epoch seconds."""

    used: int = 0
    used_at: Position = START
    """Where the last use stands; of uses told together the later one further on."""
    benches: Benches = FREE
    """The failures that nothing has ended; `cooldown.standing` says what they cost, and until when."""
    told_at: float = 0.0
    """When its health was last told of."""
    label: str | None = None
    priority: float | None = None
    paused: float | None = None
    """Until when the operator took it out; infinity for good. One that is over says nothing any more."""
    paused_at: float = 0.0
    """When that was."""
    leases: Leases = NO_LEASES
    """Who has it for work in flight; which of them still count is for the clock to say."""
    probe: Probe | None = None
    """The last request that tried it again after a cooldown."""
    extra: Mapping[str, Any] = MappingProxyType({})
    """What a newer version keeps about it."""

    def used_more(self, number: int) -> Facts:
        """Return the same after so many more uses."""
        return Facts._make((self.used + number, *self[1:]))


FRESH: Final = Facts()


class Tombstone(NamedTuple):
    """A removed row, in case somebody writes it back."""

    key: str | None
    """Fingerprint of the secret it had."""
    gen: int
    """The generation of auth.json from which it is missing."""
    at: float
    facts: Facts = FRESH
    label: str = ""


class Vanished(NamedTuple):
    """A row that needed a login when another program removed it, until the operator dismisses it (FS-55)."""

    provider: str
    label: str
    at: float
    """When it was missed first."""
    status: Status
    """Why it needed a login."""


class Ledger:
    """All that the events up to `position` tell."""

    __slots__ = ("gen", "min_reader", "position", "rows", "store", "tombs", "vanished", "writers")

    def __init__(
        self,
        position: Position = START,
        rows: dict[str, Facts] | None = None,
        tombs: dict[str, Tombstone] | None = None,
        vanished: dict[str, Vanished] | None = None,
        writers: dict[str, tuple[int, float]] | None = None,
        gen: int = 0,
        store: str | None = None,
        min_reader: int = READER,
    ) -> None:
        self.position = position
        self.rows = {} if rows is None else rows
        self.tombs = {} if tombs is None else tombs
        self.vanished = {} if vanished is None else vanished
        self.writers = {} if writers is None else writers
        """Writer → its last record that landed, and when that was."""
        self.gen = gen
        """The last generation of auth.json that was told of."""
        self.store = store
        self.min_reader = min_reader

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ledger) and all(
            getattr(self, name) == getattr(other, name) for name in Ledger.__slots__
        )

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Ledger({', '.join(f'{name}={getattr(self, name)!r}' for name in Ledger.__slots__)})"

    def copy(self) -> Ledger:
        """Return another ledger that says the same; the facts themselves never change."""
        return Ledger(
            self.position,
            dict(self.rows),
            dict(self.tombs),
            dict(self.vanished),
            dict(self.writers),
            self.gen,
            self.store,
            self.min_reader,
        )

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
            self.tombs[row_id] = tomb._replace(facts=rule(tomb.facts, *arguments, **fields))
        else:
            self.rows[row_id] = rule(self.rows.get(row_id, FRESH), *arguments, **fields)


def without_past_pauses(ledger: Ledger, now: float) -> Ledger:
    """Return another ledger without the pauses that are over at `now` (epoch seconds)."""
    kept = ledger.copy()
    for row_id, facts in ledger.rows.items():
        if facts.paused is not None and facts.paused <= now:
            kept.rows[row_id] = facts._replace(paused=None, paused_at=0.0)
    return kept


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
    kind = event.kind or _kind_of(event)
    failure = Failure(kind, at, event.code, event.until, event.scope, event.key)
    words = (event.reason, event.message) if event.reason or event.message else None
    for row_id in event.ids:
        ledger.change(row_id, _struck, failure, event.granted or place, place, words)
    return event.ids


def _kind_of(event: Failed) -> str:
    """Return what kind of failure an older version told of."""
    if event.status == "dead":
        return FailureKind.REVOKED
    return classify(event.code, event.reason, event.message, is_login=False)


def _words(reason: str | None, message: str | None) -> tuple[str | None, str | None] | None:
    return (reason, message) if reason or message else None


def _struck(
    facts: Facts,
    failure: Failure,
    granted: Position,
    place: Position,
    words: tuple[str | None, str | None] | None,
) -> Facts:
    benches = failed(facts.benches, failure, granted, place, words)
    if benches is facts.benches:
        return facts
    # By name it takes several times as long.
    return Facts._make((*facts[:2], benches, failure.at, *facts[4:]))


def _succeeded(ledger: Ledger, event: Succeeded, at: float, place: Position) -> Iterable[str]:
    for row_id in event.ids:
        ledger.change(row_id, _proven, event, at, place)
    return event.ids


def _proven(facts: Facts, event: Succeeded, at: float, place: Position) -> Facts:
    if not facts.benches.strikes:  # it is no news of this row's health, but for what it ends
        return facts if event.past is None else facts._replace(told_at=max(facts.told_at, event.past))
    left = succeeded(facts.benches, event.granted or place, place, event.model).strikes
    return facts if left == facts.benches.strikes else facts._replace(benches=_with(facts, left), told_at=at)


def _with(facts: Facts, strikes: tuple[Strike, ...]) -> Benches:
    return facts.benches._replace(strikes=strikes)


def _reset(ledger: Ledger, event: Reset, at: float, place: Position) -> Iterable[str]:
    for row_id in event.ids:
        ledger.change(row_id, _cleared, at, place)
    return event.ids


def _cleared(facts: Facts, at: float, place: Position) -> Facts:
    return facts._replace(benches=reset(facts.benches, place), told_at=at)


def _restored(ledger: Ledger, event: Restored, at: float, place: Position) -> Iterable[str]:
    for row_id, seen in event.rows.items():
        if row_id in event.held:
            ledger.change(row_id, _held_again, tuple(map(_strike, event.held[row_id])), at)
        else:
            ledger.change(row_id, _as_before, seen.status, at, place)
    return event.rows


def _held_again(facts: Facts, strikes: tuple[Strike, ...], at: float) -> Facts:
    return facts._replace(benches=_with(facts, strikes), told_at=at)


def _strike(held: Held) -> Strike:
    failure = Failure(held.kind, held.at, held.code, held.until, held.scope, held.key, held.is_filed)
    return Strike(failure, held.granted, held.place, held.number, _words(held.reason, held.message))


def _as_before(facts: Facts, status: Status, at: float, place: Position) -> Facts:
    failure = filed_failure(status)
    benches = _with(facts, ())
    if failure:
        benches = failed(benches, failure, None, place, _words(status.reason, status.message))
    return facts._replace(benches=benches, told_at=at)


def _paused(ledger: Ledger, event: Paused, at: float, _place: Position) -> Iterable[str]:
    until = FOR_GOOD if event.until is None else event.until
    for row_id in event.ids:
        ledger.change(row_id, Facts._replace, paused=until, paused_at=at)
    return event.ids


def _resumed(ledger: Ledger, event: Resumed, _at: float, _place: Position) -> Iterable[str]:
    for row_id in event.ids:
        ledger.change(row_id, Facts._replace, paused=None, paused_at=0.0)
    return event.ids


def _dismissed(ledger: Ledger, event: Dismissed, _at: float, _place: Position) -> Iterable[str]:
    ledger.vanished.pop(event.id, None)
    return (event.id,)


def miss(vanished: dict[str, Vanished], event: Outside, at: float) -> None:
    """Note a row that needed a login and is gone; forget one that is there again, or another of its name."""
    seen = event.seen
    if event.what in ("removed", "reminded"):
        if event.provider and seen and seen.status.status == "dead":
            since = at if event.past is None else event.past
            vanished[event.id] = Vanished(event.provider, event.label, since, seen.status)
    elif event.what in ("added", "restored"):
        lift(vanished, event.id, event.provider, event.label)


def lift(vanished: dict[str, Vanished], row_id: str, provider: str, label: str | None) -> None:
    """Forget a row that is there again, by its id or under its label."""
    again = [name for name, row in vanished.items() if (row.provider, row.label) == (provider, label)]
    for name in (row_id, *again):
        vanished.pop(name, None)


def _leased(ledger: Ledger, event: Leased, at: float, _place: Position) -> Iterable[str]:
    for row_id in event.ids:
        ledger.change(row_id, _with_lease, event, at)
    return event.ids


def _with_lease(facts: Facts, event: Leased, at: float) -> Facts:
    return facts._replace(leases=leased(facts.leases, event, at))


def _released(ledger: Ledger, event: Released, _at: float, _place: Position) -> Iterable[str]:
    for row_id in event.ids:
        ledger.change(row_id, _without_lease, event)
    return event.ids


def _without_lease(facts: Facts, event: Released) -> Facts:
    return facts._replace(leases=released(facts.leases, event))


def _probed(ledger: Ledger, event: Probed, at: float, place: Position) -> Iterable[str]:
    for row_id in event.ids:
        ledger.change(row_id, _with_probe, event, at, place)
    return event.ids


def _with_probe(facts: Facts, event: Probed, at: float, place: Position) -> Facts:
    return facts._replace(probe=probed(facts.probe, facts.benches.strikes, event, at, place))


def _added(ledger: Ledger, event: Added, _at: float, place: Position) -> Iterable[str]:
    lift(ledger.vanished, event.id, event.provider, event.seen.label)
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
        ledger.vanished.pop(row_id, None)
        ledger.change(row_id, met, seen, place)
    return event.rows


def met(facts: Facts, seen: Seen, place: Position) -> Facts:
    """Return the facts of a row that auth.json had before anybody told of it here."""
    used = facts.used + seen.used
    facts = Facts._make((used, *facts[1:4], seen.label, seen.priority, *facts[6:]))
    # What a success or a reset has ended by its time is not new, even where it was told before the row was met.
    is_newer = not facts.told_at or (seen.status.at or 0.0) > facts.told_at
    return _accepted(facts, seen.status, place) if is_newer else facts


def _accepted(facts: Facts, status: Status, place: Position) -> Facts:
    """Take another program's bench."""
    if is_parking(status):  # another home's, or one whose journal is gone: the pause is all that is known
        return facts._replace(paused=pause_of(status), paused_at=status.at or 0.0)
    failure = filed_failure(status)
    if failure is None:
        return facts
    benches = failed(facts.benches, failure, None, place, _words(status.reason, status.message))
    return facts._replace(benches=benches, told_at=max(facts.told_at, status.at or 0.0))


def _outside(ledger: Ledger, event: Outside, at: float, place: Position) -> Iterable[str]:
    miss(ledger.vanished, event, at)
    if event.what in ("removed", "reminded"):
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
    if event.what == "cleared":
        return _cleared_outside(facts, event.past, at, place)
    if event.what == "renamed":
        return facts._replace(label=event.label)
    if event.what == "moved" and event.seen:
        return facts._replace(priority=event.seen.priority)
    return facts


def _cleared_outside(facts: Facts, past: float | None, at: float, place: Position) -> Facts:
    """End what another program saw when it cleared a row: the failures up to the one that stood there."""
    strikes = facts.benches.strikes
    left = tuple(strike for strike in strikes if past is not None and strike.failure.at > past)
    if len(left) == len(strikes):
        return facts
    return facts._replace(benches=_with(facts, left), told_at=at) if left else _cleared(facts, at, place)


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
    Dismissed: _dismissed,
    Leased: _leased,
    Released: _released,
    Probed: _probed,
    Added: _added,
    Removed: _removed,
    Edited: _edited,
    Moved: _moved,
    Adopted: _adopted,
    Outside: _outside,
    Written: _written,
    Header: _headed,
}
