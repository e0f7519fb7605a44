"""`Timeline`: what a store's journal tells, first of the past and then as it comes; requests by minute as well.

Order is the journal's own. Nothing here reads the clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from keydeck.engine.events import Leased, Outside, Probed, Record, Released, Used
from keydeck.engine.follower import LOOK_BACK_BYTES, Block, newest
from keydeck.engine.snapshot import HomeReader, HomeSnapshot
from keydeck.engine.store import Store
from keydeck.engine.totals import MINUTE_S, Totals
from keydeck.live.activity import Change, ChangeKind
from keydeck.live.memory import Memory
from keydeck.live.telling import Teller

PAST_S: Final = 86400.0
"""So far back the past is told, in seconds."""
MOST: Final = 2000
"""So many changes of the past are told."""
RATES_S: Final = 3600.0
"""So far back requests are counted at least: what a line of the last hour needs."""
_PRUNE_EVERY_S: Final = 600.0
_OF_REQUESTS: Final = frozenset({Used, Leased, Released, Probed})
"""What each request may leave: too much to be told one by one, and keys show it as long as it matters."""


class Timeline:
    """Follows one store. Changes carry the store's own texts: `present.activity.settled` makes them fit to show.

    Args:
        store: whose journal.
        past_s: how far back the past is told, in seconds.
        most: how many changes of the past are told, the newest ones; None for all.
        most_bytes: how much journal is looked through for them at most.
        tells_time: whether benches that the clock ends after the first `catch_up` are told as well; where looks
            are compared, `live.activity.elapsed` tells those.
        tells_requests: whether requests are told, one change a minute and pool.
        rates_s: how far back requests are counted at least, in seconds; reading those takes longest.
    """

    def __init__(
        self,
        store: Store,
        *,
        past_s: float = PAST_S,
        most: int | None = MOST,
        most_bytes: int = LOOK_BACK_BYTES,
        tells_time: bool = False,
        tells_requests: bool = False,
        rates_s: float = RATES_S,
    ) -> None:
        self.totals = Totals()
        """Requests by minute and hour, of the last `rates_s` at least."""
        self.has_journal = False
        """Whether anything was ever told."""
        self._follower = store.follow()
        self._teller = Teller(store.writer)
        self._memory = self._teller.memory
        self._past_s, self._most, self._most_bytes = past_s, most, most_bytes
        self._rates_s = max(rates_s, past_s) if tells_requests else rates_s
        self._tells_time = tells_time
        self._requests = _Requests(self._memory) if tells_requests else None
        self._began_at: float | None = None
        self._met: HomeSnapshot | None = None
        self._pruned_at = 0.0
        self._gap = False

    def close(self) -> None:
        """Let go of the journal."""
        self._follower.close()

    def meet(self, snapshot: HomeSnapshot) -> None:
        """Learn what rows are called, for what the journal does not say; to be done before `catch_up`."""
        if snapshot is not self._met:
            self._met = snapshot
            self._memory.meet(snapshot)

    def catch_up(self, now: float) -> tuple[Change, ...]:
        """Return what was told since the last time; of the past, the first time.

        Where nothing was told this costs three calls of the system; a journal that cannot be read says nothing.
        `now` is in epoch seconds.
        """
        if self._began_at is None:
            self._began_at = now
            return self._past(now)
        changes = list(self._tell(self._follower.read_on(), now if self._tells_time else self._began_at))
        if self._tells_time:
            changes += self._teller.ended(now)
        changes += self._counted(now)
        return tuple(changes)

    def rest(self, now: float) -> tuple[Change, ...]:
        """Return the requests of the minute that runs, for who does not come back when it is over."""
        return tuple(self._requests.over(now + MINUTE_S)) if self._requests else ()

    # --- the past --------------------------------------------------------------------------------------

    def _past(self, now: float) -> tuple[Change, ...]:
        counted = _Backwards()
        blocks = self._blocks(now, counted)
        self._memory.hear(record for block in blocks for _, record in block.records)
        changes = [*self._tell(blocks, now), *self._teller.ended(now), *self._counted(now)]
        self._memory.keep_places()
        self._memory.have_met(counted.highest)
        recent = [change for change in changes if change.at >= now - self._past_s]
        return tuple(recent if self._most is None else recent[max(len(recent) - self._most, 0) :])

    def _blocks(self, now: float, counted: _Backwards) -> list[Block]:
        """Return as much of the journal as there is to tell of, oldest first; uses are counted and left out."""
        uses_since = now - self._rates_s
        blocks: list[Block] = []
        told = 0
        try:
            for block in self._follower.look_back(uses_since=uses_since, most_bytes=self._most_bytes):
                told_at = newest(block.records, now)
                blocks.append(self._without_uses(block, counted))
                told += len(blocks[-1].records)
                enough = self._most is not None and told > self._most and told_at < uses_since
                if enough or told_at < min(now - self._past_s, uses_since):
                    break
        except OSError:
            pass
        blocks.reverse()
        return blocks

    def _without_uses(self, block: Block, counted: _Backwards) -> Block:
        """Count a block's uses at once: a busy day has more of them than memory should hold."""
        self.has_journal = self.has_journal or bool(block.records)
        others = []
        for placed in reversed(block.records):
            _, record = placed
            is_new = counted.is_new(record)
            if type(record.event) not in _OF_REQUESTS:
                others.append(placed)
            elif is_new:
                self._count(record)
        others.reverse()
        return Block(others, block.after_gap)

    # --- telling ---------------------------------------------------------------------------------------

    def _tell(self, blocks: Iterable[Block], clock: float) -> Iterator[Change]:
        """Tell records in order, and between them what the clock did up to `clock`."""
        for block in blocks:
            self.has_journal = self.has_journal or bool(block.records)
            self._gap = self._gap or block.after_gap
            if self._gap and block.records:
                self._gap = False
                at = block.records[0][1].at
                yield Change(at=at, provider="", row_id=None, label="", kind=ChangeKind.GAP)
            for place, record in block.records:
                if not self._memory.is_new(record):
                    continue
                if record.at >= self._memory.next_end:
                    yield from self._teller.ended(min(record.at, clock))
                self._count(record)
                if self._requests and record.at >= self._requests.due_at:
                    yield from self._requests.over(record.at)
                if type(record.event) not in _OF_REQUESTS:
                    yield from self._teller.tell(place, record)

    def _count(self, record: Record) -> None:
        event = record.event
        if isinstance(event, Used) or (isinstance(event, Outside) and event.used):
            self.totals.take(record)
            if self._requests:
                self._requests.take(record)

    def _counted(self, now: float) -> Iterator[Change]:
        """Yield the requests of minutes that are over by then."""
        if now - self._pruned_at > _PRUNE_EVERY_S:
            self.totals.prune(now)
            self._pruned_at = now
        return self._requests.over(now) if self._requests else iter(())


class Timelines:
    """The journals of a home: its own, and where rows of the root show through, of those the root's."""

    def __init__(self, reader: HomeReader, **options: Any) -> None:
        self.own, *self._roots = (Timeline(store, **options) for store in reader.stores)

    @property
    def has_journal(self) -> bool:
        """Whether anything was ever told."""
        return any(timeline.has_journal for timeline in (self.own, *self._roots))

    @property
    def root_totals(self) -> Totals:
        """Requests of the root's rows."""
        return self._roots[0].totals if self._roots else Totals()

    def close(self) -> None:
        """Let go of the journals."""
        for timeline in (self.own, *self._roots):
            timeline.close()

    def catch_up(self, snapshot: HomeSnapshot, now: float) -> tuple[Change, ...]:
        """Return what was told since the last time; `snapshot` says what rows are called."""
        for timeline in (self.own, *self._roots):
            timeline.meet(snapshot)
        return self._together(snapshot, lambda timeline: timeline.catch_up(now))

    def rest(self, snapshot: HomeSnapshot, now: float) -> tuple[Change, ...]:
        """Return the requests of the minute that runs, for who does not come back when it is over."""
        return self._together(snapshot, lambda timeline: timeline.rest(now))

    def _together(
        self, snapshot: HomeSnapshot, ask: Callable[[Timeline], tuple[Change, ...]]
    ) -> tuple[Change, ...]:
        told = ask(self.own)
        shining = {pool.provider for pool in snapshot.pools if pool.is_inherited}
        for timeline in self._roots:
            told += tuple(change for change in ask(timeline) if change.provider in shining)
        return tuple(sorted(told, key=lambda change: change.at)) if self._roots else told


class _Backwards:
    """Which records were met, going from the newest to the oldest: each writer's numbers fall."""

    def __init__(self) -> None:
        self.highest: dict[str, tuple[int, float]] = {}
        """Of each writer the last number, and when that was."""
        self._lowest: dict[str, int] = {}

    def is_new(self, record: Record) -> bool:
        """Tell whether a record was not met yet, and remember it."""
        lowest = self._lowest.get(record.writer)
        if not record.seq or (lowest is not None and record.seq >= lowest):
            return False
        if lowest is None:
            self.highest[record.writer] = (record.seq, record.at)
        self._lowest[record.writer] = record.seq
        return True


class _Requests:
    """Requests of the minutes that are not over yet."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._minutes = Totals()
        self.due_at = math.inf
        """When the first of them is over."""

    def take(self, record: Record) -> None:
        """Count what a record tells of requests."""
        self._minutes.take(record)
        self.due_at = min(self.due_at, (record.at // MINUTE_S + 1) * MINUTE_S)

    def over(self, now: float) -> Iterator[Change]:
        """Yield a change a minute and pool, of the minutes before the one that runs."""
        minutes, running = self._minutes.minutes, int(now // MINUTE_S)
        past = sorted(minute for minute in minutes if minute < running)
        coming = (minute for minute in minutes if minute >= running)
        self.due_at = min(((minute + 1) * MINUTE_S for minute in coming), default=math.inf)
        for minute in past:
            pools: dict[str, int] = {}
            for row_id, number in minutes.pop(minute).items():
                provider = self._memory.provider_of(row_id)
                pools[provider] = pools.get(provider, 0) + number
            for provider, number in pools.items():
                if number > 0:
                    at = float(minute * MINUTE_S)
                    kind = ChangeKind.REQUESTS
                    yield Change(at=at, provider=provider, row_id=None, label="", kind=kind, count=number)
