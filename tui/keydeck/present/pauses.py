"""For how long a key may be taken out: what the dashboard offers, and when each would end, by the local clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from keydeck.present.text import clock_time

_MORNING: Final = 9
_MONDAY: Final = 0


def _never(_now: float) -> None:
    return None


def _in(seconds: float) -> Callable[[float], float]:
    return lambda now: now + seconds


def tomorrow(now: float) -> float:
    """Return nine in the morning of the next day, in epoch seconds."""
    return _morning(now, 1)


def next_monday(now: float) -> float:
    """Return nine in the morning of the Monday that comes, in epoch seconds."""
    ahead = (_MONDAY - datetime.fromtimestamp(now).weekday()) % 7
    return _morning(now, ahead or 7)


def _morning(now: float, days: int) -> float:
    day = datetime.fromtimestamp(now) + timedelta(days=days)
    return day.replace(hour=_MORNING, minute=0, second=0, microsecond=0).timestamp()


PAUSES: Final[tuple[tuple[str, Callable[[float], float | None]], ...]] = (
    ("until it is resumed", _never),
    ("15 minutes", _in(900)),
    ("1 hour", _in(3600)),
    ("4 hours", _in(4 * 3600)),
    ("until tomorrow", tomorrow),
    ("until Monday", next_monday),
)
"""What is said, and from the present the end of the pause in epoch seconds; None for none."""


def end_text(until: float | None, now: float) -> str:
    """Return when such a pause would end."""
    return "" if until is None else f"until {clock_time(until, now)}"
