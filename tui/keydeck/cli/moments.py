"""A moment as people name it on the command line: how far away, a time of day, or an ISO time."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import click

Moment = Callable[[float], float]
"""Returns the moment in epoch seconds, given the present."""

_LENGTHS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AWAY: Final = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_OF_DAY: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)


def in_the_past(_context: click.Context, _option: click.Parameter, value: str) -> Moment:
    """Read a moment that lies behind: ``2h`` is two hours ago, ``14:05`` was last at that time.

    Raises:
        BadParameter: it is no time.
    """
    return _moment(value, -1)


def in_the_future(_context: click.Context, _option: click.Parameter, value: str | None) -> Moment | None:
    """Read a moment that lies ahead: ``2h`` is in two hours, ``14:05`` is next at that time.

    Raises:
        BadParameter: it is no time.
    """
    return None if value is None else _moment(value, 1)


def _moment(value: str, way: int) -> Moment:
    text = value.strip().lower()
    if away := _AWAY.fullmatch(text):
        seconds = way * int(away[1]) * _LENGTHS[away[2]]
        return lambda now: now + seconds
    if of_day := _OF_DAY.fullmatch(text):
        hour, minute = int(of_day[1]), int(of_day[2])
        return lambda now: _at(now, hour, minute, way)
    try:
        moment = datetime.fromisoformat(value.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(
            f"{value!r} is no time: say 30s, 15m, 2h or 3d, 14:05, or one like 2026-11-08T14:00"
        ) from None
    return lambda _now: moment


def _at(now: float, hour: int, minute: int, way: int) -> float:
    """Return when it is that time of the day next, or was last, by the local clock."""
    today = datetime.fromtimestamp(now)
    found = today.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if (found.timestamp() - now) * way <= 0:
        found += timedelta(days=way)
    return found.timestamp()
