"""The one place that reads the clock. Everything else is given a `Clock`."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Returns the wall time as epoch seconds."""

wall_clock: Clock = time.time

_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def monotonic_of(clock: Clock) -> Clock:
    """Return what measures waits beside a wall clock: nobody sets it, and it goes on while the machine sleeps."""
    if clock is wall_clock:
        return _since_boot
    beside: Clock = getattr(clock, "monotonic", clock)
    return beside


def _since_boot() -> float:
    """Return seconds that only go forward, sleep included where the system counts it (design 3, rule 11)."""
    return time.clock_gettime(_BOOTTIME) if _BOOTTIME is not None else time.monotonic()
