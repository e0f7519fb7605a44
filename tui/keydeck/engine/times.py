"""A point in time and a wait as files and providers write them. Pure: nothing here reads the clock or draws a number.

One parser for every field, so that seconds, milliseconds and ISO agree (FS-09).
"""

from __future__ import annotations

import math
from typing import Any, Final

# Above this a number is milliseconds: as seconds it would lie 31,000 years ahead (hermes-pool 5.3).
_MILLISECONDS_FROM: Final = 1e12
# The last second `datetime` can show; a time beyond it could be neither drawn nor compared.
_LAST_SECOND: Final = 253402300799.0

LONGEST_TOLD_S: Final = 8 * 86400.0
"""A wait beyond this is no throttle: a slip of the provider, or a date that concerns the bill (design 4)."""
_SPREAD: Final = 0.1
_LONGEST_SPREAD_S: Final = 30.0


def parse_time(value: Any) -> float | None:
    """Return epoch seconds, or None for anything that names no point in time.

    Args:
        value: seconds, milliseconds (above 1e12), either as text, or ISO 8601; naive ISO is local time.
    """
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, float | int):
        return from_number(value)
    if isinstance(value, str):
        return _from_text(value.strip())
    return None


def from_number(value: float) -> float | None:
    """Return epoch seconds from seconds or milliseconds; None for what is no date."""
    try:
        seconds = float(value)
    except OverflowError:
        return None
    if not 0 < seconds < math.inf:
        return None
    if seconds > _MILLISECONDS_FROM:
        seconds /= 1000
    return seconds if seconds <= _LAST_SECOND else None


def _from_text(text: str) -> float | None:
    if not text:
        return None
    try:
        return from_number(float(text))
    except ValueError:
        pass
    from datetime import datetime  # most times are numbers

    try:
        return from_number(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        return None


def sane(told: float | None, at: float) -> float | None:
    """Return the told end of a wait that begins at `at`, if it lies ahead and within `LONGEST_TOLD_S`."""
    return told if told is not None and 0 < told - at <= LONGEST_TOLD_S else None


def jittered(wait_s: float, chance: float) -> float:
    """Return a wait made up to a tenth or half a minute longer, never shorter: not all come back at once.

    Args:
        wait_s: seconds.
        chance: a random number in [0, 1); it is drawn by the caller.
    """
    if not chance:
        return wait_s
    return wait_s + min(wait_s * _SPREAD, _LONGEST_SPREAD_S) * min(max(chance, 0.0), 1.0)
