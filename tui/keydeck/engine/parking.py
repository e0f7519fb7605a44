"""How a paused row is written for hermes, which knows no pauses: as a long bench that says so.

Such a status is never a bench of its own: whoever meets one meets a pause.
"""

from __future__ import annotations

from typing import Final

from keydeck.engine.events import Status

FOR_GOOD: Final = float("inf")
"""The end of a pause that only a resume ends."""
FAR_AHEAD_S: Final = 4_102_444_800.0
"""2100-01-01: until when a row that is paused for good is parked, in epoch seconds."""
_STATUS: Final = "exhausted"
_REASON: Final = "paused"
_MESSAGE: Final = "paused in Keydeck: keydeck auth resume lets it work again"


def parking(at: float, until: float) -> Status:
    """Return the status of a row that was paused at a time and rests until another, in epoch seconds."""
    return Status(_STATUS, at, None, _REASON, _MESSAGE, min(until, FAR_AHEAD_S))


def is_parking(status: Status) -> bool:
    """Tell whether a status is a pause that was written for hermes."""
    return (status.status, status.code, status.reason, status.message) == (_STATUS, None, _REASON, _MESSAGE)


def pause_of(status: Status) -> float:
    """Return until when a row with such a status is paused."""
    return FOR_GOOD if status.until is None or status.until >= FAR_AHEAD_S else status.until
