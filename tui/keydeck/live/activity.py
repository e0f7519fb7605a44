"""What happened to the keys of a home: the changes that people are told of, and those that two looks at it tell.

`compare` tells what somebody did, `elapsed` what the clock alone did. When a new look arrives both are due, with
the same `now`: ``elapsed(before, last, now)``, then ``compare(before, after, now)``. Nothing here reads the clock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice
from operator import attrgetter
from typing import Any, Final, NamedTuple

from keydeck.engine.credential import Credential, Row, VanishedRow
from keydeck.engine.snapshot import HomeSnapshot, PoolSnapshot
from keydeck.engine.state import Health, HealthKind, bench_end, row_state
from keydeck.engine.tokens import token_expires_at

RING: Final = 2000
"""So many changes are kept (ux 4.6)."""
FOLD_S: Final = 2.0
"""The same change within so many seconds is one with a count."""
# hermes marks a row and then may wait for the lock: a mark can be older than the look before it by this much.
_LATE_S: Final = 30.0


class ChangeKind(StrEnum):
    """What can happen to a key or a pool. Two looks tell those up to `STRATEGY`, the journal nearly all."""

    ADDED = "added"
    REMOVED = "removed"
    RENAMED = "renamed"
    SECRET_CHANGED = "secret_changed"  # noqa: S105 - a change
    BENCHED = "benched"
    DEAD = "dead"
    """It needs a login or a new key."""
    PAUSED = "paused"
    LOST_SECRET = "lost_secret"  # noqa: S105 - a change
    BROKEN = "broken"
    """Its row cannot be read any more."""
    READY = "ready"
    STRATEGY = "strategy"
    REFUSED = "refused"
    """A request failed, and the key goes on: with all, or with other models than the `detail`. Of a whole pool: it
    was sent with a key that is not there."""
    COOLDOWN = "cooldown"
    """How long a kind of failure benches is another: the `detail` says which; without a provider, in all pools."""
    RESET = "reset"
    RESET_UNDONE = "reset_undone"
    RESUMED = "resumed"
    MOVED = "moved"
    ADOPTED = "adopted"
    """Met for the first time, a pool's rows together; or one that was only offered, and is stored by now."""
    HEALED = "healed"
    """Another program wrote an old copy back, and what it lost is put right: the `detail`."""
    CAME_BACK = "came_back"
    """Another program wrote it back after its removal, and it is removed again."""
    PUT_BACK = "put_back"
    """It is there again with a copy of the store that was put in place."""
    OUTSIDE = "outside"
    """Another program did something that only a newer version has a word for: the `detail`."""
    REQUESTS = "requests"
    """`count` requests were sent with keys of the pool in the minute that began at `at`."""
    FEW_LEFT = "few_left"
    """By what was told just before, only so many keys of the pool serve as `left` says: `shortage.Shortage`."""
    GAP = "gap"
    """What happened before is not known: part of the journal is missing."""


class Return(StrEnum):
    """How a key came back, or what is new about its secret: the `detail` of such a change."""

    COOLDOWN_OVER = "cooldown over"
    CLEARED = "cleared"
    KEY_BACK = "its key is back"
    NEW_KEY = "new key"
    TOKEN_RENEWED = "token renewed"  # noqa: S105 - words
    MENDED = "its row is mended"
    PROVEN = "a request went through"
    UNDONE = "its removal is undone"
    AFRESH = "rows of another home"
    PAUSE_OVER = "pause over"


class Left(NamedTuple):
    """How many keys of a pool serve, of how many."""

    ready: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that happened. Texts are as in the store: hostile, and perhaps with a secret in them."""

    at: float
    """Epoch seconds."""
    provider: str
    row_id: str | None = field(repr=False)  # it names the row for good, so nothing may be taken out of it
    """None where the whole pool is meant."""
    label: str
    kind: ChangeKind
    code: int | None = None
    message: str | None = None
    """The provider's words."""
    until: float | None = None
    detail: str | None = None
    """The old label, the new strategy or place, why there is no secret, or a `Return`."""
    count: int = 1
    by: str = ""
    """Which writer told it, in short; empty where two looks did."""
    is_ours: bool = False
    """Whether this process told it."""
    is_outside: bool = False
    """Whether another program did it to auth.json: who told it only noticed."""
    twins: tuple[str, ...] = field(default=(), repr=False)
    """The other rows it is true of, since they hold the same secret."""
    left: Left | None = None
    """How many keys serve after it; of `FEW_LEFT` only."""
    since: float | None = field(default=None, compare=False)
    """When the provider said no, as the row has it: what makes one failure another than the last."""


# --- what somebody did -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Gap:
    """The time between two looks."""

    earliest: float
    now: float
    was_blind: bool
    """Nobody could read the store at the first look: what shows up was there before."""

    def within(self, moment: float | None) -> float:
        """Return the moment if it lies between the looks, else the present."""
        return moment if moment is not None and self.earliest <= moment <= self.now else self.now


def compare(before: HomeSnapshot, after: HomeSnapshot, now: float) -> tuple[Change, ...]:
    """Return what changed between two looks, oldest first. Rows are matched by provider and id.

    Both looks are judged at `now` (epoch seconds), so that what the clock did is not told here.
    """
    old, new = ({pool.provider: pool for pool in look.pools} for look in (before, after))
    gap = _Gap(before.read_at - _LATE_S, now, was_blind=before.trouble is not None and not before.read_at)
    found = [
        change
        for provider in dict.fromkeys((*old, *new))
        for change in _pool_changes(old.get(provider), new.get(provider), gap)
    ]
    return _in_time(found)


def _pool_changes(old: PoolSnapshot | None, new: PoolSnapshot | None, gap: _Gap) -> Iterator[Change]:
    if old is new:
        return
    if old and new and old.strategy != new.strategy:
        yield _strategy_changed(new, gap.now)
    for was, row in _pairs(old, new):
        if row is None:
            if was is not None:
                yield _change(was, ChangeKind.REMOVED, gap.now)
        elif was is None:
            yield from _told_of(row, gap.now) if gap.was_blind else (_change(row, ChangeKind.ADDED, gap.now),)
        else:
            yield from _row_changes(was, row, gap)


def _strategy_changed(pool: PoolSnapshot, now: float) -> Change:
    kind = ChangeKind.STRATEGY
    return Change(at=now, provider=pool.provider, row_id=None, label="", kind=kind, detail=pool.strategy)


def _pairs(old: PoolSnapshot | None, new: PoolSnapshot | None) -> Iterator[tuple[Row | None, Row | None]]:
    """Yield every row before and after; None where it was not, or is not any more."""
    # Of one that vanished a reminder is left: for what happened it is not there.
    were, are = (
        {row.id: row for row in pool.rows if not isinstance(row, VanishedRow)} if pool else {}
        for pool in (old, new)
    )
    gone = {identity: row for identity, row in were.items() if identity not in are}
    offers = _offers(gone.values())
    for identity, row in are.items():
        was = were.get(identity)
        if was is None and isinstance(row, Credential) and row.stored and row.source in offers:
            was = gone.pop(offers.pop(row.source))
        yield was, row
    for row in gone.values():
        yield row, None


def _offers(rows: Iterable[Row]) -> dict[str, str]:
    """Return source → id of rows that were only offered: stored under another id they are the same keys."""
    return {row.source: row.id for row in rows if isinstance(row, Credential) and not row.stored}


# Most rows differ in counts or places only, if at all, and there may be thousands. Foreign fields are left out
# because they may be nested deeper than a comparison can follow; only nous rows are judged by them.
_QUIET: Final = frozenset(
    {"request_count", "priority", "base_url", "inference_base_url", "last_refresh", "extra", "stored_under"}
)
_telling: Final[Callable[[Credential], tuple[Any, ...]]] = attrgetter(
    *(name for name in Credential._fields if name not in _QUIET)
)


def _same(old: Row, new: Row) -> bool:
    if old is new:
        return True
    if not (isinstance(old, Credential) and isinstance(new, Credential)) or new.provider == "nous":
        return False
    return _telling(old) == _telling(new)


def _row_changes(old: Row, new: Row, gap: _Gap) -> Iterator[Change]:
    if _same(old, new):
        return
    was, turned = row_state(old, gap.now).health, row_state(new, gap.now).health
    came_back = turned.is_usable and not was.is_usable
    if isinstance(old, Credential) and isinstance(new, Credential):
        if old.label != new.label:
            yield _change(new, ChangeKind.RENAMED, gap.now, detail=old.label)
        if not came_back and _has_new_secret(old, new):
            yield _change(new, ChangeKind.SECRET_CHANGED, gap.now, detail=_new_secret(new))
    if was.kind is HealthKind.PAUSED and turned.kind is not HealthKind.PAUSED:
        yield _change(new, ChangeKind.RESUMED, gap.now)  # what was wrong before is no news
    elif came_back:
        yield _change(new, ChangeKind.READY, gap.now, detail=_how_back(old, new, was))
    elif turned.is_usable:
        yield from _bench_unseen(old, new, gap)
    elif turned.kind is not was.kind or _mark(old, was) != _mark(new, turned):
        yield _out(new, turned, gap)


def _has_new_secret(old: Credential, new: Credential) -> bool:
    there, here = old.live_secret, new.live_secret
    return bool(there and here) and there != here


def _new_secret(row: Credential) -> Return:
    return Return.TOKEN_RENEWED if row.auth_type == "oauth" else Return.NEW_KEY


def _how_back(old: Row, new: Row, was: Health) -> Return:
    if not (isinstance(old, Credential) and isinstance(new, Credential)):
        return Return.MENDED
    if not old.live_secret:
        return Return.KEY_BACK
    if was.kind is HealthKind.NO_SECRET or _has_new_secret(old, new):
        return _new_secret(new)
    return Return.CLEARED


def _bench_unseen(old: Row, new: Row, gap: _Gap) -> Iterator[Change]:
    """Yield a bench that began and ended while nobody looked."""
    if not (isinstance(old, Credential) and isinstance(new, Credential)):
        return
    began = _finite(new.last_status_at)
    if began is not None and began != _finite(old.last_status_at) and gap.earliest <= began:
        yield from _told_of(new, gap.now)


def _mark(row: Row, health: Health) -> tuple[float | int | None, ...]:
    """Return what makes one failure another than the last; other states do not repeat."""
    if not isinstance(row, Credential) or health.kind not in (HealthKind.COOLING, HealthKind.NEEDS_LOGIN):
        return ()
    return (_finite(health.since), _finite(health.until), row.last_error_code)


_LOSS: Final[Mapping[HealthKind, ChangeKind]] = {
    HealthKind.COOLING: ChangeKind.BENCHED,
    HealthKind.NEEDS_LOGIN: ChangeKind.DEAD,
    HealthKind.PAUSED: ChangeKind.PAUSED,
    HealthKind.NO_SECRET: ChangeKind.LOST_SECRET,
    HealthKind.BAD_ROW: ChangeKind.BROKEN,
}


def _out(row: Row, health: Health, gap: _Gap) -> Change:
    """Return how a row went out, at the row's own time where that is likely."""
    kind = _LOSS[health.kind]
    if kind is ChangeKind.BENCHED and isinstance(row, Credential):
        return _benched(row, gap.within(_finite(health.since)))
    if kind is ChangeKind.DEAD and isinstance(row, Credential):
        return _died(row, gap.within(_finite(health.since)), health.why)
    return _change(row, kind, gap.now, detail=health.why, until=_finite(health.until))


# --- what the clock did, and what rows remember -------------------------------------------------------------


def elapsed(snapshot: HomeSnapshot, since: float, now: float) -> tuple[Change, ...]:
    """Return what the clock alone did after `since` up to `now`: benches that ended, tokens nobody can renew."""
    return _in_time(
        change
        for pool in snapshot.pools
        for row in pool.rows
        if isinstance(row, Credential) and (change := _clock_did(row, since, now))
    )


def _clock_did(row: Credential, since: float, now: float) -> Change | None:
    if row.paused is not None and since < row.paused <= now:
        return _change(row, ChangeKind.RESUMED, row.paused, detail=Return.PAUSE_OVER)
    if row.last_status == "exhausted":
        end = bench_end(row)
        if end is not None and since < end <= now and row_state(row, now).health.is_usable:
            return _over(row, end)
    if row.auth_type == "oauth" and not row.refresh_token and row.last_status != "dead":
        end = token_expires_at(row)
        if end is not None and since < end <= now:
            health = row_state(row, now).health
            return _died(row, end, health.why) if health.kind is HealthKind.NEEDS_LOGIN else None
    return None


def known_before(snapshot: HomeSnapshot, now: float) -> tuple[Change, ...]:
    """Return what the rows themselves tell of the past, oldest first, so that a strip does not start empty."""
    return _in_time(change for pool in snapshot.pools for row in pool.rows for change in _told_of(row, now))


def _told_of(row: Row, now: float) -> Iterator[Change]:
    """Yield what a row's own marks tell."""
    if not isinstance(row, Credential):
        return
    began = _finite(row.last_status_at)
    if began is None or not 0 < began <= now:
        return
    if row.last_status == "dead":
        yield _died(row, began, row_state(row, now).health.why)
    elif row.last_status == "exhausted":
        yield _benched(row, began)
        end = _finite(bench_end(row))
        if end is not None and began <= end <= now and row_state(row, now).health.is_usable:
            yield _over(row, end)


def _change(row: Row, kind: ChangeKind, at: float, **more: Any) -> Change:
    return Change(at=at, provider=row.provider, row_id=row.id, label=row.label, kind=kind, **more)


def _benched(row: Credential, at: float) -> Change:
    end = _finite(bench_end(row))
    code, said = row.last_error_code, row.last_error_message or row.last_error_reason
    since = _finite(row.last_status_at)
    return _change(row, ChangeKind.BENCHED, at, code=code, message=said, until=end, since=since)


def _died(row: Credential, at: float, why: str | None) -> Change:
    if row.last_status != "dead":  # what the provider said last is about something else
        return _change(row, ChangeKind.DEAD, at, detail=why)
    code, said = row.last_error_code, row.last_error_message or row.last_error_reason
    since = _finite(row.last_status_at)
    return _change(row, ChangeKind.DEAD, at, code=code, message=said, detail=why, since=since)


def _over(row: Credential, at: float) -> Change:
    return _change(row, ChangeKind.READY, at, code=row.last_error_code, detail=Return.COOLDOWN_OVER)


def _finite(moment: float | None) -> float | None:
    return moment if moment is not None and math.isfinite(moment) else None


def _in_time(changes: Iterable[Change]) -> tuple[Change, ...]:
    return tuple(sorted(changes, key=lambda change: change.at))


# --- the ring ----------------------------------------------------------------------------------------------

_Likeness = tuple[str, str | None, ChangeKind, int | None, str | None, Left | None]


class Activity:
    """The newest changes in the order they were told; the oldest make room."""

    def __init__(self, limit: int = RING) -> None:
        self._limit = max(limit, 1)
        self._changes: deque[Change] = deque()
        self._dropped = 0
        # How many changes, dropped ones included, were told before the last one of each likeness.
        self._places: dict[_Likeness, int] = {}

    def __len__(self) -> int:
        return len(self._changes)

    def extend(self, changes: Iterable[Change]) -> None:
        """Append changes, oldest first; one like an earlier one of the last two seconds only raises its count."""
        for change in changes:
            place = self._places.get(_likeness(change))
            if place is None or not self._fold(place - self._dropped, change):
                self._append(change)

    def newest(self, count: int) -> tuple[Change, ...]:
        """Return at most `count` changes, the newest first."""
        return tuple(islice(reversed(self._changes), max(count, 0)))

    def numbered(self) -> tuple[tuple[int, Change], ...]:
        """Return all changes with the number that each keeps for as long as it is there, the newest first."""
        last = self._dropped + len(self._changes)
        return tuple(zip(range(last, self._dropped, -1), reversed(self._changes), strict=True))

    def of(self, provider: str, row_id: str | None) -> tuple[Change, ...]:
        """Return the changes of one row, the newest first; of the pool itself where the id is None."""
        return tuple(
            change
            for change in reversed(self._changes)
            if change.provider == provider and (change.row_id == row_id or row_id in change.twins)
        )

    def _fold(self, place: int, change: Change) -> bool:
        first = self._changes[place]
        if not abs(change.at - first.at) <= FOLD_S:
            return False
        self._changes[place] = replace(change, at=first.at, count=first.count + change.count)
        return True

    def _append(self, change: Change) -> None:
        self._places[_likeness(change)] = self._dropped + len(self._changes)
        self._changes.append(change)
        if len(self._changes) > self._limit:
            oldest = _likeness(self._changes.popleft())
            if self._places[oldest] == self._dropped:
                del self._places[oldest]
            self._dropped += 1


def _likeness(change: Change) -> _Likeness:
    return (change.provider, change.row_id, change.kind, change.code, change.detail, change.left)
