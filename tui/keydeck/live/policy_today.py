"""`Today`: what happened to a home's keys since midnight, read once, to see what another policy would make of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from keydeck.engine.cooldown_policy import Policy
from keydeck.engine.cooldown_preview import Policies, Preview, Shift, Tally, shifts, tallies
from keydeck.engine.events import Position, Record
from keydeck.engine.follower import newest
from keydeck.engine.snapshot import HomeReader, HomeSnapshot, PoolSnapshot
from keydeck.engine.store import Store

BEFORE_S: Final = 86400.0
"""So long before midnight is read as well: a bench of then may still stand, and a failure be the second in a row."""
MOST_BYTES: Final = 64 << 20

Told = list[tuple[Position, Record]]


def midnight(now: float) -> float:
    """Return when the day of a moment began, by the local clock; epoch seconds."""
    return datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


@dataclass(frozen=True, slots=True)
class Today:
    """The journals of a home since midnight. Reading and judging may take a while: do both in a thread."""

    reader: HomeReader
    since: float
    told: dict[int, Told] = field(default_factory=dict)

    @classmethod
    def read(cls, reader: HomeReader, now: float) -> Today:
        """Read what happened by now; what cannot be read did not happen."""
        since = midnight(now)
        return cls(reader, since, {id(store): _told(store, since - BEFORE_S) for store in reader.stores})

    def preview(self, snapshot: HomeSnapshot, policy: Policy, now: float) -> Preview:
        """Return what changes with another policy than the snapshot's."""
        policies = Policies(snapshot.policy, policy)
        found: list[Tally] = []
        for store in self.reader.stores:
            pools = {pool.provider: pool.rows for pool in snapshot.pools if self._is_in(pool, store)}
            found += tallies(self.told.get(id(store), []), pools, policies, self.since, now)
        return Preview(self.since, tuple(found), tuple(self._shifts(snapshot, policies, now)))

    def _shifts(self, snapshot: HomeSnapshot, policies: Policies, now: float) -> Iterator[Shift]:
        for pool in snapshot.pools:
            facts_of = self.reader.store_of(pool.rows).facts
            yield from shifts(pool.provider, pool.rows, facts_of, policies, now)

    def _is_in(self, pool: PoolSnapshot, store: Store) -> bool:
        return self.reader.store_of(pool.rows) is store


def _told(store: Store, since: float) -> Told:
    """Return what a journal tells since a time, but for uses, in order."""
    follower, blocks = store.follow(), list[Told]()
    try:
        for block in follower.look_back(uses_since=math.inf, most_bytes=MOST_BYTES):
            blocks.append(block.records)
            if newest(block.records, since) < since:
                break
    except OSError:
        pass
    finally:
        follower.close()
    return [placed for records in reversed(blocks) for placed in records]
