"""How many requests were sent, when, and with which keys. Pure; numbers come from `engine.totals.Totals`.

A list of minutes or hours is oldest first, and its last place is the one that runs. What a clock that was set back
left in the future does not count.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from keydeck.engine.totals import HOUR_S, MINUTE_S, Slots, Totals

HOUR: Final = 60
DAY: Final = 24
_MOST: Final = 10**15
"""More than this in one minute was not sent by anybody."""


def per_minute(totals: Totals, rows: Collection[str], now: float, minutes: int = HOUR) -> tuple[int, ...]:
    """Return the requests of these rows together, minute by minute."""
    return _together(totals.minutes, set(rows), int(now // MINUTE_S), minutes)


def per_hour(totals: Totals, rows: Collection[str], now: float, hours: int = DAY) -> tuple[int, ...]:
    """Return the requests of these rows together, hour by hour."""
    return _together(totals.hours, set(rows), int(now // HOUR_S), hours)


def per_minute_by_row(
    totals: Totals, rows: Collection[str], now: float, minutes: int = HOUR
) -> dict[str, tuple[int, ...]]:
    """Return each row's requests, minute by minute; all at once, since a pool may have thousands of rows."""
    found = {row: [0] * minutes for row in rows}
    last = int(now // MINUTE_S)
    for place, number in enumerate(range(last - minutes + 1, last + 1)):
        for row, count in totals.minutes.get(number, _NONE).items():
            if row in found:
                found[row][place] = _sane(count)
    return {row: tuple(counts) for row, counts in found.items()}


def rate(totals: Totals, rows: Collection[str], now: float) -> float:
    """Return requests per minute just now: of the running minute, and of the last one what is missing of that."""
    last, running = per_minute(totals, rows, now, 2)
    return running + last * (1 - (now % MINUTE_S) / MINUTE_S)


def shares(totals: Totals, rows: Collection[str], now: float, minutes: int = HOUR) -> dict[str, float]:
    """Return which part of these rows' requests went to each, 0 to 1; nothing where none was sent."""
    sums = {row: sum(counts) for row, counts in per_minute_by_row(totals, rows, now, minutes).items()}
    whole = sum(sums.values())
    return {row: number / whole for row, number in sums.items()} if whole else {}


_NONE: Final[Mapping[str, int]] = {}


def _together(slots: Slots, rows: set[str], last: int, length: int) -> tuple[int, ...]:
    return tuple(
        sum(_sane(count) for row, count in slots.get(number, _NONE).items() if row in rows)
        for number in range(last - length + 1, last + 1)
    )


def _sane(count: int) -> int:
    return min(max(count, 0), _MOST)
