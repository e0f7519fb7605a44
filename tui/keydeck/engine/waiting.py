"""What a pool can do now, and how to wait for a row where it can do nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from keydeck.engine.clock import Clock
from keydeck.engine.ready import Ready
from keydeck.engine.state import HealthKind

ASK_EVERY_S: Final = 0.1
"""Somebody may reset or add a row meanwhile: nobody who waits sleeps longer than this."""


class WaitKind(StrEnum):
    """What a pool can do."""

    NOT_CONFIGURED = "not_configured"
    """It has no row."""
    READY = "ready"
    """A request could be sent now."""
    ALL_OUT = "all_out"
    """It has rows, and no request may go to any of them now."""


class WaitState(NamedTuple):
    """What a pool can do now, and which row is back first."""

    kind: WaitKind
    credential_id: str | None = None
    """The row that could serve now, or that the clock brings back first; None where waiting brings none."""
    until: float | None = None
    """When it is back, in epoch seconds: its bench or pause ends, or what another request tries is answered."""
    health: HealthKind | None = None
    """Why that row is out."""


NOT_CONFIGURED: Final = WaitState(WaitKind.NOT_CONFIGURED)


def soonest_back(ready: Ready, now: float, ticks: float) -> WaitState:
    """Return which of a pool's rows, all of them out, the clock brings back first."""
    back = ready.back(now, ticks)
    if not back:
        return WaitState(WaitKind.ALL_OUT)
    until, place, health = min(back)
    return WaitState(WaitKind.ALL_OUT, ready.rows[place].id, until, health)


def pauses(seconds: float, ticks: Clock, sleep: Callable[[float], None]) -> Iterator[None]:
    """Sleep a little before each item, until so many seconds are over; the last item comes at their end."""
    end = ticks() + seconds
    while (left := end - ticks()) > 0:
        sleep(min(left, ASK_EVERY_S))
        yield
