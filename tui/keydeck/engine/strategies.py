"""How a pool chooses among its usable rows, and when the next choice is certain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from keydeck.engine.credential import Credential
from keydeck.engine.state import PoolState, RowState

Picker = Callable[[Sequence[Credential]], Credential]
"""Takes the usable rows in order, at least one, and returns the one to use."""


def first(rows: Sequence[Credential]) -> Credential:
    """Take the first usable row."""
    return rows[0]


def any_of(rows: Sequence[Credential]) -> Credential:
    """Take any usable row with equal chance."""
    import random

    return random.choice(rows)  # noqa: S311 - spreads load; nobody gains by guessing it


# Round robin, least used and sticky need counts that are exact across processes; until the store keeps them,
# a pool set to one of these takes the first usable row.
PICKERS: Final[dict[str, Picker]] = {"fill_first": first, "random": any_of}


def picker(strategy: str) -> Picker:
    """Return how to pick under a strategy; an unknown one is read as fill_first, as hermes does."""
    return PICKERS.get(strategy, first)


def certain_pick(strategy: str, state: PoolState) -> RowState | None:
    """Return the row that the agent's next request will surely get, or None where chance decides."""
    usable = state.usable
    if not usable or (strategy == "random" and len(usable) > 1):
        return None
    if strategy == "least_used":
        return min(usable, key=_uses)
    return usable[0]


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
