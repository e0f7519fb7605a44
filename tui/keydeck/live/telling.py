"""From a record of the journal to what people are told of it: one rule a kind of event.

An event that had no effect is not told. Nothing here reads a clock or a file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from keydeck.engine.cooldown import CLEAR, Standing, is_limit_of, model_of, models_out, status_of
from keydeck.engine.events import (
    Added,
    Adopted,
    Configured,
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
    Status,
    Succeeded,
)
from keydeck.engine.ledger import FRESH, Facts
from keydeck.live.activity import Change, ChangeKind, Return
from keydeck.live.memory import Memory, ids_of

_SHORT_ID: Final = 6
# A move is told within so many seconds, or it broke off.
_MOVE_S: Final = 5.0
# A row's own time of a failure is told if it is no older than this; hermes may have been alone for a night.
_OLD_S: Final = 86400.0
_CODES: Final = range(1, 10_000)


@dataclass(slots=True)
class Teller:
    """Tells records in their order. Texts stay as they are: hostile, and perhaps with a secret in them."""

    writer: str = ""
    """The name under which this process tells."""
    memory: Memory = field(default_factory=Memory)
    _moves: list[_Told] = field(default_factory=list)
    _reset: tuple[str, frozenset[str]] | None = None

    def tell(self, place: Position, record: Record) -> Iterator[Change]:
        """Yield what a record tells that was not met before."""
        event, memory = record.event, self.memory
        if self._moves and not _goes_on(self._moves[-1].record, record):
            yield from self._moved()
        rule = _RULES.get(type(event))
        if rule is None and not isinstance(event, Moved | Reset):
            return
        ids = ids_of(event)
        before = {row_id: memory.facts(row_id) for row_id in ids}
        places = {row_id: memory.place_of(row_id) for row_id in ids}
        gone = frozenset(memory.ledger.tombs.keys() & set(ids))
        memory.enact(event, record.at, place)
        told = _Told(memory, self.writer, record, event, before, places, gone)
        if isinstance(event, Moved):
            self._moves.append(told)
        elif isinstance(event, Reset):
            yield from self._was_reset(told)
        elif rule:
            yield from rule(told)

    def ended(self, until: float) -> Iterator[Change]:
        """Yield the benches and pauses that the clock ended by then."""
        found = [
            self._by_clock(
                end, row_id, ChangeKind.READY, detail=Return.COOLDOWN_OVER, code=_code(strike.failure.code)
            )
            for end, row_id, strike in self.memory.ended(until)
        ]
        found += [
            self._by_clock(end, row_id, ChangeKind.RESUMED, detail=Return.PAUSE_OVER)
            for end, row_id in self.memory.pauses_ended(until)
        ]
        yield from sorted(found, key=lambda change: change.at)

    def _by_clock(self, at: float, row_id: str, kind: ChangeKind, **more: Any) -> Change:
        provider, label = self.memory.provider_of(row_id), self.memory.label_of(row_id)
        return Change(at=at, provider=provider, row_id=row_id, label=label, kind=kind, **more)

    def _was_reset(self, told: _Told) -> Iterator[Change]:
        # Rows with the same secret are told one by one, each with the others.
        reset = (told.record.writer, frozenset(told.ids))
        if told.ids and reset != self._reset:
            yield told.first(ChangeKind.RESET)
        self._reset = reset

    def _moved(self) -> Iterator[Change]:
        """Yield the gathered moves as one: that of the row that went furthest; the others made room."""
        moves, self._moves = self._moves, []
        places = {row_id: place for told in moves for row_id, place in told.event.order.items()}
        before = {row_id: place for told in reversed(moves) for row_id, place in told.places.items()}
        ways = {row_id: abs(places[row_id] - old) for row_id, old in before.items() if old is not None}
        row_id = max(ways, key=ways.__getitem__) if len(ways) == len(places) > 0 else None
        if len(places) == 1:
            (row_id,) = places
        if places:
            detail = None if row_id is None else _place(places[row_id])
            provider = moves[0].event.provider
            yield moves[0].change(ChangeKind.MOVED, row_id, provider=provider, detail=detail)


@dataclass(frozen=True, slots=True)
class _Told:
    """A record that is being told, and what was known before it."""

    memory: Memory
    writer: str
    record: Record
    event: Any
    before: Mapping[str, Facts]
    places: Mapping[str, float | None]
    removed_before: frozenset[str]

    @property
    def ids(self) -> tuple[str, ...]:
        """The rows it is about."""
        return tuple(self.before)

    def change(self, kind: ChangeKind, row_id: str | None, **more: Any) -> Change:
        """Return a change of one row, or of a pool if `more` names it."""
        # An act is told by a writer of its own, named after the process and the generation it wrote.
        writer = self.record.writer.partition("-")[0]
        known: dict[str, Any] = {
            "at": self.record.at,
            "provider": "" if row_id is None else self.memory.provider_of(row_id),
            "label": "" if row_id is None else self.memory.label_of(row_id),
            "by": writer[:_SHORT_ID],
            "is_ours": bool(writer) and writer == self.writer,
            "is_outside": isinstance(self.event, Outside),
        }
        return Change(row_id=row_id, kind=kind, **{**known, **more})

    def first(self, kind: ChangeKind, **more: Any) -> Change:
        """Return a change of a row and of those that hold the same secret."""
        return self.change(kind, self.ids[0], twins=self.ids[1:], **more)

    def out(self, held: Standing, **more: Any) -> Change:
        """Return how a row, and those with the same secret, went out."""
        status = status_of(held)
        known = {
            "code": _code(status.code),
            "message": status.message or status.reason,
            "until": _finite(held.until),
            "since": status.at,
        }
        kind = ChangeKind.DEAD if held.is_terminal else ChangeKind.BENCHED
        return self.first(kind, **{**known, **more})

    def refused(self) -> Change:
        """Return a failure that keeps the row out of nothing, or out of one model."""
        event: Failed = self.event
        model = model_of(event.scope)
        until = self.memory.standing(self.ids[0], model=model).until if model else None
        return self.first(
            ChangeKind.REFUSED,
            code=_code(event.code),
            message=event.message or event.reason,
            detail=model,
            until=_finite(until),
        )

    def held(self) -> Standing:
        """Return how the row that it names stands."""
        return self.memory.standing(self.ids[0]) if self.ids else CLEAR

    def held_before(self) -> Standing:
        """Return how that row stood before."""
        return self.memory.standing(self.ids[0], self.before[self.ids[0]]) if self.ids else CLEAR

    def new_bench(self) -> Standing | None:
        """Return how it stands if another failure than before decides."""
        held, before = self.held(), self.held_before()
        is_new = held.strike and (before.strike is None or held.strike.place != before.strike.place)
        return held if is_new else None

    def renamed(self) -> Change:
        """Return how a row got another label; where that may not be repeated, only that it did."""
        old = self.before[self.ids[0]].label
        new = self.event.label or old or ""
        return self.change(ChangeKind.RENAMED, self.ids[0], label=new, detail=old if old != new else None)


# --- one rule a kind of event ------------------------------------------------------------------------------


def _failed(told: _Told) -> Iterator[Change]:
    if bench := told.new_bench():
        yield told.out(bench)
    elif not told.ids:
        event: Failed = told.event
        words = event.message or event.reason
        yield told.change(
            ChangeKind.REFUSED, None, provider=event.provider, code=_code(event.code), message=words
        )
    elif told.memory.facts(told.ids[0]).benches is not told.before[told.ids[0]].benches:
        yield told.refused()


def _succeeded(told: _Told) -> Iterator[Change]:
    """Tell of a success that ended a bench; of one that the clock had ended it says nothing new."""
    if not told.ids:
        return
    before = told.before[told.ids[0]]
    held = told.held_before()
    was_over = not held.is_terminal and held.until is not None and held.until <= told.record.at
    if before is FRESH or (held.strike and not told.held().strike and not was_over):
        yield told.first(ChangeKind.READY, detail=Return.PROVEN)


def _unreset(told: _Told) -> Iterator[Change]:
    if (held := told.held()).strike:
        yield replace(told.out(held), kind=ChangeKind.RESET_UNDONE)
    for model in models_out(told.memory.facts(told.ids[0]).benches) if told.ids else ():
        held = told.memory.standing(told.ids[0], model=model)
        if is_limit_of(held, model):
            yield replace(told.out(held), kind=ChangeKind.REFUSED, detail=model)


def _paused(told: _Told) -> Iterator[Change]:
    for row_id in told.ids:
        yield told.change(ChangeKind.PAUSED, row_id, until=told.event.until)


def _resumed(told: _Told) -> Iterator[Change]:
    for row_id in told.ids:
        yield told.change(ChangeKind.RESUMED, row_id)


def _added(told: _Told) -> Iterator[Change]:
    row_id, offered = told.event.id, told.memory.offered
    kind = ChangeKind.ADOPTED if row_id in offered else ChangeKind.ADDED
    offered.discard(row_id)
    yield told.change(kind, row_id, detail=Return.UNDONE if told.removed_before else None)


def _removed(told: _Told) -> Iterator[Change]:
    if not told.removed_before:
        yield told.change(ChangeKind.REMOVED, told.event.id, label=told.event.label)


def _edited(told: _Told) -> Iterator[Change]:
    yield told.renamed()


def _configured(told: _Told) -> Iterator[Change]:
    event = told.event
    if event.cooldown:
        yield told.change(ChangeKind.COOLDOWN, None, provider=event.provider, detail=event.cooldown)
    if event.strategy:
        yield told.change(ChangeKind.STRATEGY, None, provider=event.provider, detail=event.strategy)


def _adopted(told: _Told) -> Iterator[Change]:
    counts: dict[str, int] = {}
    for row_id in told.ids:
        provider = told.memory.provider_of(row_id)
        counts[provider] = counts.get(provider, 0) + 1
    detail = Return.AFRESH if told.event.afresh else None
    for provider, count in counts.items():
        yield told.change(ChangeKind.ADOPTED, None, provider=provider, count=count, detail=detail)


_OUTSIDE: Final[Mapping[str, ChangeKind]] = {
    "added": ChangeKind.ADDED,
    "removed": ChangeKind.REMOVED,
    "came back": ChangeKind.CAME_BACK,
    "restored": ChangeKind.PUT_BACK,
}


def _outside(told: _Told) -> Iterator[Change]:
    row_id, what = told.event.id, told.event.what
    label = told.memory.label_of(row_id) or told.event.label
    if what == "benched":
        if bench := told.new_bench():
            yield told.out(bench, at=_when(status_of(bench), told.record.at))
    elif what == "cleared":
        if not (told.held_before().strike and told.held().strike):
            yield told.change(ChangeKind.READY, row_id, detail=Return.CLEARED)
    elif what == "renamed":
        yield told.renamed()
    elif what.startswith("lost "):
        yield told.change(ChangeKind.HEALED, row_id, detail=what.removeprefix("lost "))
    elif what in _OUTSIDE:
        yield told.change(_OUTSIDE[what], row_id, label=label)
    elif what not in ("ended", "used", "reminded"):  # the clock and the counts tell these
        yield told.change(ChangeKind.OUTSIDE, row_id, label=label, detail=what)


_RULES: Final[Mapping[type[Event], Callable[[_Told], Iterator[Change]]]] = {
    Failed: _failed,
    Succeeded: _succeeded,
    Restored: _unreset,
    Paused: _paused,
    Resumed: _resumed,
    Added: _added,
    Removed: _removed,
    Edited: _edited,
    Configured: _configured,
    Adopted: _adopted,
    Outside: _outside,
}


def _goes_on(move: Record, record: Record) -> bool:
    """Tell whether more of a move may come: others tell things meanwhile."""
    if record.writer == move.writer or isinstance(record.event, Moved):
        return record.writer == move.writer and isinstance(record.event, Moved)
    return abs(record.at - move.at) <= _MOVE_S


def _code(code: int | None) -> int | None:
    return code if code in _CODES else None


def _finite(end: float | None) -> float | None:
    return end if end is not None and math.isfinite(end) else None


def _when(status: Status, told_at: float) -> float:
    """Return when a failure was that another program wrote down, if that is likely."""
    return status.at if status.at is not None and told_at - _OLD_S <= status.at <= told_at else told_at


def _place(priority: float) -> str:
    return "first" if priority <= 0 else f"to place {int(min(priority, 1e6)) + 1}"
