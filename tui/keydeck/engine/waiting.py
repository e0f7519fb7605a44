"""Waiting for a row: how long to sleep before asking again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from keydeck.engine.clock import Clock

ASK_EVERY_S: Final = 0.1
"""Somebody may reset or add a row meanwhile: nobody who waits sleeps longer than this."""


def pauses(seconds: float, ticks: Clock, sleep: Callable[[float], None]) -> Iterator[None]:
    """Sleep a little before each item, until so many seconds are over; the last item comes at their end."""
    end = ticks() + seconds
    while (left := end - ticks()) > 0:
        sleep(min(left, ASK_EVERY_S))
        yield
