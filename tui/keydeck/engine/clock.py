"""The one place that reads the clock. Everything else is given a `Clock`."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Returns the wall time as epoch seconds."""

wall_clock: Clock = time.time


def monotonic_of(clock: Clock) -> Clock:
    """Return what measures waits beside a wall clock: nobody sets it (design 3, rule 11)."""
    if clock is wall_clock:
        return time.monotonic
    beside: Clock = getattr(clock, "monotonic", clock)
    return beside
