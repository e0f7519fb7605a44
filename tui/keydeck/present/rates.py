"""How many requests, in little room: a small chart, a rate, a share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from keydeck.present.glyphs import Glyphs
from keydeck.present.text import grouped

_NEVER: Final = 0.05
"""So few requests an hour are none."""
_MOST: Final = 10**18


def sparkline(values: Sequence[int], cells: int, glyphs: Glyphs, *, scale: float = 0.0) -> str:
    """Return a chart of exactly `cells` cells, its highest value as high as it gets; blank where there is no value.

    With a `scale` that is as high as it gets instead: charts with the same one can be compared.

    Neighbours share a cell where there are more values than cells; each value has its own where there are fewer, at
    the right, since the newest is last.
    """
    shown = _shared_out([min(max(value, 0), _MOST) for value in values], cells)
    highest = max([*shown, scale])
    chart = "".join(glyphs.bars[_height(value, highest, len(glyphs.bars) - 1)] for value in shown)
    return chart.rjust(max(cells, 0))


def _height(value: float, highest: float, top: int) -> int:
    """Return 0 for nothing alone: a little is told from it, however high the highest is."""
    return min(max(math.ceil(value * top / highest), 1), top) if value else 0


def _shared_out(values: Sequence[int], cells: int) -> list[float]:
    """Return a mean for each cell, or the values where there is room for all."""
    if cells < 1:
        return []
    if len(values) <= cells:
        return [float(value) for value in values]
    bounds = [place * len(values) // cells for place in range(cells + 1)]
    return [sum(values[low:high]) / (high - low) for low, high in pairwise(bounds)]


def rate_text(per_minute: float) -> str:
    """Return a rate in nine characters at most: ``3.1/m``, ``120/m``, below 0.1/m ``5/h``; nothing for none."""
    if not math.isfinite(per_minute) or per_minute * 60 < _NEVER:
        return ""
    if per_minute < 0.1:
        return f"{max(round(per_minute * 60), 1)}/h"
    return f"{per_minute:.1f}/m" if per_minute < 9.95 else f"{grouped(round(per_minute))}/m"


def share_text(share: float) -> str:
    """Return a share of 0 to 1 in at most four characters; what is not nothing is not told as nothing."""
    if not share > 0:
        return "0%"
    return "<1%" if share < 0.01 else f"{round(min(share, 1.0) * 100)}%"
