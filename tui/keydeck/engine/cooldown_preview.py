"""What another policy would have made of failures that happened, and makes of those that stand. Pure.

The same failures are judged twice. That other waits would have led to other requests nobody can tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from keydeck.engine.cooldown import FREE, Benches, standing
from keydeck.engine.cooldown_policy import Policy
from keydeck.engine.credential import Row
from keydeck.engine.events import Event, Failed, Outside, Position, Record, Used
from keydeck.engine.known import FactsOf, groups, known_rows, soles
from keydeck.engine.ledger import Ledger
from keydeck.engine.state import RowState, pool_state

_AN_END: Final = 0.5
"""Ends that are closer than this, in seconds, are the same."""


class Policies(NamedTuple):
    """The policy that holds, and the one that is thought of."""

    now: Policy
    then: Policy


@dataclass(frozen=True, slots=True)
class Tally:
    """The benches of one pool, as they were and as they would have been."""

    provider: str
    benches: int = 0
    """So many failures benched a key."""
    shorter: int = 0
    longer: int = 0
    gone: int = 0
    """So many would have benched nobody."""
    new: int = 0
    """So many that benched nobody would have."""
    before_s: float = 0.0
    """For so long keys were out, added up."""
    after_s: float = 0.0

    @property
    def differs(self) -> bool:
        """Whether anything would have been otherwise."""
        return bool(self.shorter or self.longer or self.gone or self.new)


@dataclass(frozen=True, slots=True)
class Shift:
    """A row whose present state becomes another one."""

    provider: str
    before: RowState
    after: RowState


@dataclass(frozen=True, slots=True)
class Preview:
    """What changes with a policy."""

    since: float
    """From when on the benches are counted, in epoch seconds."""
    tallies: tuple[Tally, ...] = ()
    shifts: tuple[Shift, ...] = ()


# --- what happened -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Lane:
    """One row while the past goes by: until when it is out, under each policy."""

    provider: str
    at: float
    ends: tuple[float, float] = (0.0, 0.0)
    benches: Benches = FREE
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0])
    counts: list[int] = field(default_factory=lambda: [0, 0, 0, 0, 0])

    def pass_to(self, at: float) -> None:
        """Let time go by."""
        for which, end in enumerate(self.ends):
            self.sums[which] += max(0.0, min(end, at) - self.at)
        self.at = max(self.at, at)

    def count(self, at: float) -> None:
        """Count a failure that has just been."""
        was, would = self.ends
        self.counts[0] += was > at
        if was > at and would > at:
            self.counts[1] += would < was - _AN_END
            self.counts[2] += would > was + _AN_END
        else:
            self.counts[3] += was > at
            self.counts[4] += would > at


def tallies(
    told: Iterable[tuple[Position, Record]],
    pools: Mapping[str, Sequence[Row]],
    policies: Policies,
    since: float,
    now: float,
) -> tuple[Tally, ...]:
    """Return how the benches between two times (epoch seconds) would have been, by pool.

    Args:
        told: what happened, in order; what was before `since` counts for what stood then.
        pools: the rows of each provider.
        policies: the policy that holds, and another one.
        since: from when on benches are counted.
        now: until when.
    """
    alone = {row_id for rows in pools.values() for row_id in soles(rows)}
    skipped, homes = _twins(pools), {row.id: provider for provider, rows in pools.items() for row in rows}
    ledger, lanes = Ledger(), dict[str, _Lane]()
    for place, record in told:
        for row_id in ledger.take(record, place):
            if row_id in skipped or isinstance(record.event, Used):
                continue
            provider = str(homes.get(row_id) or getattr(record.event, "provider", ""))
            lane = lanes.setdefault(row_id, _Lane(provider, since))
            lane.pass_to(record.at)
            benches = _benches_of(ledger, row_id)
            changed, lane.benches = benches is not lane.benches, benches
            lane.ends = _ends(lane, row_id, policies, is_sole=row_id in alone)
            if changed and record.at >= since and _is_failure(record.event):
                lane.count(record.at)
    for lane in lanes.values():
        lane.pass_to(now)
    return tuple(_summed(lanes.values(), pools))


def _twins(pools: Mapping[str, Sequence[Row]]) -> set[str]:
    """Return the rows that hold the secret of an earlier one: their benches are the same benches."""
    return {rows[place].id for rows in pools.values() for group in groups(rows) for place in group[1:]}


def _is_failure(event: Event) -> bool:
    return isinstance(event, Failed) or (isinstance(event, Outside) and event.what == "benched")


def _benches_of(ledger: Ledger, row_id: str) -> Benches:
    if facts := ledger.rows.get(row_id):
        return facts.benches
    tomb = ledger.tombs.get(row_id)
    return tomb.facts.benches if tomb else FREE


def _ends(lane: _Lane, row_id: str, policies: Policies, *, is_sole: bool) -> tuple[float, float]:
    held = [standing(lane.benches, each, lane.provider, row_id, is_sole=is_sole) for each in policies]
    now, then = (math.inf if each.is_terminal else each.until or 0.0 for each in held)
    return now, then


def _summed(lanes: Iterable[_Lane], pools: Mapping[str, Sequence[Row]]) -> Iterator[Tally]:
    by_provider: dict[str, list[_Lane]] = {provider: [] for provider in pools}
    for lane in lanes:
        by_provider.setdefault(lane.provider, []).append(lane)
    for provider, found in by_provider.items():
        counts = [sum(numbers) for numbers in zip(*(lane.counts for lane in found), strict=True)]
        if any(counts):
            sums = (sum(lane.sums[which] for lane in found) for which in (0, 1))
            yield Tally(provider, *counts, *sums)


# --- what stands -------------------------------------------------------------------------------------------


def shifts(
    provider: str, rows: Sequence[Row], facts_of: FactsOf, policies: Policies, now: float
) -> tuple[Shift, ...]:
    """Return the rows of a pool whose state becomes another one, in the pool's order.

    Args:
        provider: whose pool.
        rows: its rows, as they are in the file or as they are known.
        facts_of: what is known of each.
        policies: the policy that holds, and another one.
        now: epoch seconds.
    """
    before, after = (
        pool_state(provider, known_rows(provider, rows, facts_of, each), now).rows for each in policies
    )
    others = {state.id: state for state in after}
    pairs = ((state, others[state.id]) for state in before)
    return tuple(Shift(provider, one, other) for one, other in pairs if not _is_same(one, other))


def _is_same(one: RowState, other: RowState) -> bool:
    before, after = one.health, other.health
    if before.is_usable and after.is_usable:  # also where one of them would be tried first
        return True
    return (before.kind, before.until) == (after.kind, after.until)
