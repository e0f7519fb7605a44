"""Read points in time as files and providers write them. Pure: nothing here reads the clock.

Rules: hermes-pool 5.3. One parser for every field, so that seconds, milliseconds and ISO agree (FS-09).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

# Above this a number is milliseconds: as seconds it would lie 31,000 years ahead (hermes-pool 5.3).
_MILLISECONDS_FROM: Final = 1e12
# The last second `datetime` can show; a time beyond it could be neither drawn nor compared.
_LAST_SECOND: Final = 253402300799.0

_NUMBER: Final = r"(\d+(?:\.\d+)?)"
_MESSAGE_WAITS: Final = (
    (re.compile(rf"quotaResetDelay[\s:\"'=]*{_NUMBER}(ms|s)", re.IGNORECASE), (1.0,)),
    (re.compile(rf"retry\s+(?:after\s+)?{_NUMBER}\s*(?:seconds?|secs?|s)\b", re.IGNORECASE), (1.0,)),
    (re.compile(rf"resets?\s+in\s+{_NUMBER}\s*hr\s*{_NUMBER}\s*min", re.IGNORECASE), (3600.0, 60.0)),
    (re.compile(rf"resets?\s+in\s+{_NUMBER}\s*hr", re.IGNORECASE), (3600.0,)),
    (re.compile(rf"resets?\s+in\s+{_NUMBER}\s*min", re.IGNORECASE), (60.0,)),
)


def parse_time(value: Any) -> float | None:
    """Return epoch seconds, or None for anything that names no point in time.

    Args:
        value: seconds, milliseconds (above 1e12), either as text, or ISO 8601; naive ISO is local time.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return _from_number(value)
    if isinstance(value, str):
        return _from_text(value.strip())
    return None


def _from_number(value: float) -> float | None:
    try:
        seconds = float(value)
    except OverflowError:
        return None
    if not math.isfinite(seconds) or seconds <= 0:
        return None
    if seconds > _MILLISECONDS_FROM:
        seconds /= 1000
    return seconds if seconds <= _LAST_SECOND else None


def _from_text(text: str) -> float | None:
    if not text:
        return None
    try:
        return _from_number(float(text))
    except ValueError:
        pass
    try:
        return _from_number(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        return None


def wait_in_message(message: str) -> float | None:
    """Return the seconds a provider's sentence asks to wait, by hermes' patterns, or None."""
    for pattern, units in _MESSAGE_WAITS:
        if found := pattern.search(message):
            if units == (1.0,) and found.lastindex == 2:
                return float(found[1]) * (0.001 if found[2].lower() == "ms" else 1.0)
            return sum(float(part) * unit for part, unit in zip(found.groups(), units, strict=True))
    return None


def reset_time(context: Mapping[str, Any], now: float) -> float | None:
    """Return when a provider says the key is back, in epoch seconds.

    Args:
        context: what the caller knows of the error: ``reset_at``, ``resets_at``, ``retry_until`` or ``message``.
        now: epoch seconds, the base of relative hints.
    """
    absolute = context.get("reset_at") or context.get("resets_at") or context.get("retry_until")
    if (told := parse_time(absolute)) is not None:
        return told
    message = context.get("message")
    wait = wait_in_message(message) if isinstance(message, str) else None
    return None if wait is None else now + wait
