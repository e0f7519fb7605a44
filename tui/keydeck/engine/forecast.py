"""How many rows of a pool will be ready when, if nothing but time passes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from keydeck.engine.state import PoolState, RowState, awaits_renewal, changes_at, row_state

# A row turns a few times at most: a pause ends, then a bench under it, then its probing, then its token.
_MOST_TURNS: Final = 8


class Step(NamedTuple):
    """From `at` on (epoch seconds), so many rows are ready."""

    at: float
    ready: int


def forecast(state: PoolState, now: float) -> tuple[Step, ...]:
    """Return the steps by which the number of ready rows changes after `now`, the moment of `state`.

    Each step is what `pool_state` would say at its time; but a token of which hermes gets a new one when it ends
    is taken for renewed.
    """
    turns: dict[float, int] = {}
    for row in state.rows:
        for at, more in _turns(row, now):
            turns[at] = turns.get(at, 0) + more
    steps, ready = [], len(state.usable)
    for at in sorted(at for at, more in turns.items() if more):
        ready += turns[at]
        steps.append(Step(at, ready))
    return tuple(steps)


def _turns(row: RowState, now: float) -> Iterator[tuple[float, int]]:
    """Yield when the clock makes a row ready (1) or not ready (-1)."""
    is_ready = row.health.is_usable
    for _ in range(_MOST_TURNS):
        at = changes_at(row)
        if at is None or at <= now:
            return
        now, row = at, row_state(row.row, at)
        if awaits_renewal(row):
            if not is_ready:
                yield at, 1
            return
        if row.health.is_usable is not is_ready:
            is_ready = not is_ready
            yield at, 1 if is_ready else -1
