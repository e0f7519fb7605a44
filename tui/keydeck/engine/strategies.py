"""How a pool chooses among its usable rows, and when the next choice is certain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from itertools import dropwhile, islice
from typing import Final

from keydeck.engine.credential import Credential
from keydeck.engine.ready import Ready
from keydeck.engine.state import PoolState, RowState

Picker = Callable[[Ready, int | None], int]
"""Takes the rows, at least one of them usable, and the place picked last; returns the place to pick."""


def first(ready: Ready, _last: int | None) -> int:
    """Take the first usable row."""
    return ready.usable[0]


def any_of(ready: Ready, _last: int | None) -> int:
    """Take any usable row with equal chance."""
    import random

    return random.choice(ready.usable)  # noqa: S311 - spreads load; nobody gains by guessing it


def next_in_round(ready: Ready, last: int | None) -> int:
    """Take the usable row that follows the one picked last."""
    return ready.usable[0] if last is None else ready.after(last)


def fewest_uses(ready: Ready, _last: int | None) -> int:
    """Take the usable row with the fewest requests in all processes."""
    return ready.least_used()


def same_again(ready: Ready, last: int | None) -> int:
    """Stay with the row picked last while it is usable."""
    return last if last is not None and ready.is_usable(last) else ready.usable[0]


def row_of_session(ready: Ready, session: str) -> int:
    """Return the usable row that a session gets in every process, and that few sessions leave when rows change.

    Of all rows the one whose hash together with the session is the highest: a row that goes moves its own
    sessions only, and one that comes takes a fair share of all.
    """
    spoken = blake2b(session.encode("utf-8", "surrogatepass"), digest_size=32).digest()

    def height(place: int) -> bytes:
        return blake2b(
            ready.rows[place].id.encode("utf-8", "surrogatepass"), key=spoken, digest_size=8
        ).digest()

    return max(ready.usable, key=height)


PICKERS: Final[dict[str, Picker]] = {
    "fill_first": first,
    "random": any_of,
    "round_robin": next_in_round,
    "least_used": fewest_uses,
    "sticky": same_again,
}


GO_ON: Final = frozenset({"round_robin", "sticky"})
"""The strategies that go on from the row that was picked last."""
BY_USES: Final = frozenset({"least_used"})
"""The strategies that are wrong where they do not know what other processes do just now."""


def picker(strategy: str) -> Picker:
    """Return how to pick under a strategy; an unknown one is read as fill_first, as hermes does."""
    return PICKERS.get(strategy, first)


def certain_pick(
    strategy: str,
    state: PoolState,
    *,
    last: str | None = None,
    uses: Callable[[], Mapping[str, int]] | None = None,
) -> RowState | None:
    """Return the row that the agent's next request will surely get; None where chance or the session decides.

    Args:
        strategy: the one that is followed.
        state: the pool's rows.
        last: the row that was used last by anybody.
        uses: returns row id → requests sent with its secret; asked only where they count.
    """
    usable = state.usable
    if not usable or (strategy in ("random", "sticky") and len(usable) > 1):
        return None
    if strategy == "least_used":
        counts = uses() if uses else {}
        return min(usable, key=lambda found: counts.get(found.id, _uses(found)))
    if strategy == "round_robin":
        return _next_of(state, last) or usable[0]
    return usable[0]


def _next_of(state: PoolState, last: str | None) -> RowState | None:
    """Return the first usable row behind another one."""
    behind = dropwhile(lambda found: found.id != last, state.rows)
    return next((found for found in islice(behind, 1, None) if found.health.is_usable), None)


def next_picks(strategy: str, state: PoolState, count: int) -> tuple[RowState, ...]:
    """Return the rows that the next `count` requests would get if nothing changed meanwhile.

    Empty where no row is usable, and where chance or the session decides among several.
    """
    usable = state.usable
    if not usable or (strategy in ("random", "sticky") and len(usable) > 1):
        return ()
    if strategy == "round_robin":
        return tuple(usable[turn % len(usable)] for turn in range(count))
    if strategy == "least_used":
        return _by_uses(usable, count)
    return (usable[0],) * count


def _by_uses(usable: Sequence[RowState], count: int) -> tuple[RowState, ...]:
    """Pick by the fewest uses, each pick being one more; of equals the first."""
    import heapq

    line = [(_uses(state), place) for place, state in enumerate(usable)]
    heapq.heapify(line)
    picks = []
    for _ in range(count):
        uses, place = line[0]
        picks.append(usable[place])
        heapq.heapreplace(line, (uses + 1, place))
    return tuple(picks)


def _uses(state: RowState) -> int:
    return state.row.request_count if isinstance(state.row, Credential) else 0
