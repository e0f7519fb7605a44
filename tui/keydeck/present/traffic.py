"""The requests of the last hour as the pools screen draws them: per key, per pool and altogether."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from keydeck.engine.snapshot import HomeSnapshot
from keydeck.engine.totals import MINUTE_S, Totals
from keydeck.live.rates import HOUR, per_minute_by_row
from keydeck.present.glyphs import Glyphs
from keydeck.present.rates import rate_text, share_text, sparkline
from keydeck.present.spans import Role, Span

SPARK_LEAST, SPARK_BEST = 8, 12
"""Cells of a key's chart: as few as still tell something, and five minutes each."""


@dataclass(frozen=True, slots=True)
class KeyTraffic:
    """What one key did in the last hour."""

    minutes: tuple[int, ...] = (0,) * HOUR
    rate: float = 0.0
    """Requests per minute just now."""
    share: float = 0.0
    """Its part of the pool's requests of the hour, 0 to 1."""

    @property
    def sent(self) -> int:
        """Requests of the hour."""
        return sum(self.minutes)


_SILENT: Final = KeyTraffic()


@dataclass(frozen=True, slots=True)
class Traffic:
    """What all keys did in the last hour."""

    keys: Mapping[tuple[str, str], KeyTraffic] = field(default_factory=lambda: MappingProxyType({}))
    """By provider and id; keys that sent nothing are left out."""
    rates: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Requests per minute of each pool."""
    busiest: int = 0
    """The most requests that any key sent in one cell of a chart: all charts have one scale."""

    @property
    def rate(self) -> float:
        """Requests per minute of all pools."""
        return sum(self.rates.values())

    def of(self, provider: str, row_id: str) -> KeyTraffic:
        """Return what a key did."""
        return self.keys.get((provider, row_id), _SILENT)


def traffic(snapshot: HomeSnapshot, totals: Totals, now: float) -> Traffic:
    """Return the requests of the hour before `now` (epoch seconds), by key and pool."""
    ids = {row.id for pool in snapshot.pools for row in pool.rows}
    told = {
        row_id: minutes for row_id, minutes in per_minute_by_row(totals, ids, now).items() if any(minutes)
    }
    missing = 1 - (now % MINUTE_S) / MINUTE_S
    keys: dict[tuple[str, str], KeyTraffic] = {}
    rates: dict[str, float] = {}
    for pool in snapshot.pools:
        mine = {row.id: told[row.id] for row in pool.rows if row.id in told}
        whole = sum(map(sum, mine.values()))
        for row_id, minutes in mine.items():
            rate = minutes[-1] + minutes[-2] * missing
            keys[pool.provider, row_id] = KeyTraffic(minutes, rate, sum(minutes) / whole)
        rates[pool.provider] = sum(keys[pool.provider, row_id].rate for row_id in mine)
    return Traffic(MappingProxyType(keys), MappingProxyType(rates), _busiest(told))


def _busiest(told: Mapping[str, tuple[int, ...]]) -> int:
    each = HOUR // SPARK_BEST
    sums = (sum(minutes[at : at + each]) for minutes in told.values() for at in range(0, HOUR, each))
    return max(sums, default=0)


def chart(key: KeyTraffic, cells: int, busiest: int, glyphs: Glyphs) -> Span:
    """Return a key's last hour in so many cells; faint where nothing was sent."""
    line = sparkline(key.minutes, cells, glyphs, scale=busiest / (HOUR // SPARK_BEST))
    return Span(line, Role.READY if key.sent else Role.FAINT)


def rate_of(key: KeyTraffic) -> str:
    """Return a key's rate, short."""
    return rate_text(key.rate)


def share_of(key: KeyTraffic) -> str:
    """Return a key's part of its pool's requests, short; nothing where it sent none."""
    return share_text(key.share) if key.sent else ""
