"""`Shortage`: from what is told of rows to what is told of their pool, when few are left that can serve (FS-33).

Nothing of it is stored: whoever reads what happened finds the same. Nothing here reads a clock or a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from keydeck.engine.snapshot import HomeSnapshot, PoolSnapshot
from keydeck.engine.state import HealthKind
from keydeck.live.activity import Change, ChangeKind, Left

_FOREVER: Final = float("inf")


def levels(total: int) -> tuple[int, ...]:
    """Return how few left of so many are worth a line: none of two or more, one of three, half of four."""
    if total < 2:
        return ()
    half = (total // 2,) if total >= 4 else ()
    return (*half, *((1,) if total >= 3 else ()), 0)


def recovered(level: int, total: int) -> int:
    """Return how many of so many must serve until a level is told again: two more, lest one comes and goes."""
    return min(level + 2, total)


class Shortage:
    """Follows the rows of one home by what is told of them."""

    def __init__(self) -> None:
        self._heard: dict[tuple[str, str], tuple[_Row, float]] = {}
        # Provider → the levels that were told and from which it has not recovered.
        self._levels: dict[str, frozenset[int]] = {}

    def told(
        self, changes: Iterable[Change], snapshot: HomeSnapshot, now: float, *, since: float = 0.0
    ) -> tuple[Change, ...]:
        """Return the changes, and behind each by which a pool ran low another one that says so.

        A pool of which it is not known how all its rows stood is not told of.

        Args:
            changes: what happened since the last time, in its order.
            snapshot: the home as it was seen last.
            now: the moment, in epoch seconds.
            since: from when on all that happened is among the changes; of earlier ones nothing is concluded.
        """
        changes = tuple(changes)
        if not changes:
            return changes
        self._heard = {key: heard for key, heard in self._heard.items() if heard[1] >= snapshot.read_at}
        pools = self._pools(changes, snapshot, now)
        found = [each for change in changes for each in (change, *_lower(change, pools, since))]
        for provider, row_id in _before(changes):
            self._heard[provider, row_id] = (pools[provider].rows[row_id], now)
        self._levels |= {provider: pool.told for provider, pool in pools.items()}
        return tuple(found)

    def _pools(self, changes: tuple[Change, ...], snapshot: HomeSnapshot, now: float) -> dict[str, _Pool]:
        """Return how rows stood before these changes; only those that are told of where no more is needed."""
        counted = {change.provider for change in changes if change.kind in _LOSSES}
        counted |= {change.provider for change in changes if self._levels.get(change.provider)}
        rows = {pool.provider: _seen(pool, now) for pool in snapshot.pools if pool.provider in counted}
        for (provider, row_id), row in _before(changes).items():
            rows.setdefault(provider, {})[row_id] = row
        for (provider, row_id), (row, _) in self._heard.items():  # told since the look
            if provider in rows:
                rows[provider][row_id] = row
        return {
            provider: _Pool(known, self._levels.get(provider, frozenset()))
            for provider, known in rows.items()
        }


class _Row(NamedTuple):
    """How a row stands by what was told of it."""

    is_there: bool = True
    out_until: float | None = None
    """The end of its bench, in epoch seconds; None where nothing is wrong with it."""
    is_paused: bool = False
    is_known: bool = True

    @property
    def serves(self) -> bool:
        return self.is_there and self.out_until is None and not self.is_paused


class _Pool:
    """The rows of one pool, and how many of them can serve."""

    def __init__(self, rows: dict[str, _Row], told: frozenset[int]) -> None:
        self.rows = rows
        self.told = told
        self._ready = sum(row.serves for row in rows.values())
        self._total = sum(row.is_there for row in rows.values())
        self._unknown = sum(not row.is_known for row in rows.values())

    @property
    def left(self) -> Left | None:
        """How many serve, of how many; None where that is not known."""
        return None if self._unknown else Left(self._ready, self._total)

    def put(self, row_id: str, row: _Row) -> None:
        """Note how a row stands now."""
        old = self.rows.get(row_id, _ABSENT)
        self.rows[row_id] = row
        self._ready += row.serves - old.serves
        self._total += row.is_there - old.is_there
        self._unknown += old.is_known - row.is_known

    def falls(self, before: Left, after: Left) -> bool:
        """Note where it stands now, and tell whether that is at or below a level that is not told yet."""
        ready, total = after
        self.told = frozenset(level for level in self.told if ready < recovered(level, total))
        reached = frozenset(level for level in levels(total) if ready <= level < before.ready)
        is_new = not reached <= self.told
        self.told |= reached
        return is_new


_ABSENT: Final = _Row(is_there=False)
_OUT: Final = _Row(out_until=_FOREVER)

# How a row stood of which this is the first thing that is told.
_FIRST: Final[Mapping[ChangeKind, _Row]] = {
    ChangeKind.BENCHED: _Row(),
    ChangeKind.DEAD: _Row(),
    ChangeKind.PAUSED: _Row(),
    ChangeKind.LOST_SECRET: _Row(),
    ChangeKind.BROKEN: _Row(),
    ChangeKind.RESET_UNDONE: _Row(),
    ChangeKind.READY: _OUT,
    ChangeKind.RESUMED: _Row(is_paused=True),
    ChangeKind.RESET: _Row(is_known=False),
    ChangeKind.REMOVED: _Row(is_known=False),
    ChangeKind.ADDED: _ABSENT,
    ChangeKind.PUT_BACK: _ABSENT,
    ChangeKind.CAME_BACK: _ABSENT,
}
_BENCHES: Final = frozenset(
    {
        ChangeKind.BENCHED,
        ChangeKind.DEAD,
        ChangeKind.LOST_SECRET,
        ChangeKind.BROKEN,
        ChangeKind.RESET_UNDONE,
    }
)
_LOSSES: Final = _BENCHES | {ChangeKind.PAUSED, ChangeKind.REMOVED}


def _lower(change: Change, pools: Mapping[str, _Pool], since: float) -> Iterator[Change]:
    """Take a change in, and yield that its pool ran low by it."""
    if change.row_id is None or change.kind not in _FIRST:
        return
    pool = pools[change.provider]
    before = pool.left
    for row_id in (change.row_id, *change.twins):
        pool.put(row_id, _after(pool.rows[row_id], change))
    after = pool.left
    if before and after and pool.falls(before, after) and change.at >= since:
        kind = ChangeKind.FEW_LEFT
        yield Change(at=change.at, provider=change.provider, row_id=None, label="", kind=kind, left=after)


def _after(row: _Row, change: Change) -> _Row:
    """Return how a row stands after what is told of it."""
    kind, known = change.kind, row._replace(is_known=True)
    if kind in _BENCHES:
        return known._replace(out_until=_FOREVER if change.until is None else change.until)
    if kind is ChangeKind.PAUSED:
        return known._replace(is_paused=True)
    if kind is ChangeKind.RESUMED:  # the clock may have ended what the pause hid
        is_over = row.out_until is not None and row.out_until <= change.at
        return known._replace(is_paused=False, out_until=None if is_over else row.out_until)
    if kind in (ChangeKind.READY, ChangeKind.RESET):
        return known._replace(out_until=None)
    return known._replace(is_there=kind in (ChangeKind.ADDED, ChangeKind.PUT_BACK))


def _before(changes: Iterable[Change]) -> dict[tuple[str, str], _Row]:
    """Return how the rows stood that are told of, as the first thing that is told of each implies."""
    found: dict[tuple[str, str], _Row] = {}
    for change in changes:
        if change.row_id is not None and change.kind in _FIRST:
            for row_id in (change.row_id, *change.twins):
                found.setdefault((change.provider, row_id), _FIRST[change.kind])
    return found


def _seen(pool: PoolSnapshot, now: float) -> dict[str, _Row]:
    """Return how the rows of a pool stand by what was seen of it."""
    serving = (HealthKind.READY, HealthKind.PROBING)
    return {row.id: _Row() if row.health.kind in serving else _OUT for row in pool.at(now).rows}
