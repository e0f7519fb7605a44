"""Which panes and rows are shown, and in what order. The pool's own order is information and the default."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from keydeck.engine.state import HealthKind
from keydeck.present.finding import Query
from keydeck.present.panes import PaneView
from keydeck.present.rows import KeyRow

_WORST_FIRST: Final = (
    HealthKind.BAD_ROW,
    HealthKind.NEEDS_LOGIN,
    HealthKind.NO_SECRET,
    HealthKind.COOLING,
    HealthKind.PAUSED,
    HealthKind.PROBING,
    HealthKind.READY,
)
OWN_ORDER: Final = "order"
_SORT_BY: Final[dict[str, Callable[[KeyRow], Any]]] = {
    "state": lambda row: _WORST_FIRST.index(row.kind),
    "name": lambda row: row.label.casefold(),
    "requests": lambda row: -row.uses,
    "time left": lambda row: row.until if row.until is not None else math.inf,
}
SORTS: Final = (OWN_ORDER, *_SORT_BY)


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What the user asked to see."""

    query: Query = field(default_factory=Query)
    only_problems: bool = False
    sort: str = OWN_ORDER
    reverse: bool = False
    folded: frozenset[str] = frozenset()
    """Pools of which only the headline shows."""
    zoomed: str | None = None
    """The only pool to show."""

    def next_sort(self) -> Arrangement:
        """Return the arrangement with the next way of sorting."""
        after = (SORTS.index(self.sort) + 1) % len(SORTS)
        return replace(self, sort=SORTS[after], reverse=False)


def arranged(views: tuple[PaneView, ...], wish: Arrangement) -> tuple[PaneView, ...]:
    """Return the panes to show. A pool in which nothing matches is left with its headline."""
    if wish.zoomed is not None:
        views = tuple(view for view in views if view.provider == wish.zoomed)
    if wish.only_problems:
        views = tuple(view for view in views if view.has_trouble)
    return tuple(_pane(view, wish) for view in views)


def _pane(view: PaneView, wish: Arrangement) -> PaneView:
    rows = view.rows
    if wish.query.terms:
        rows = tuple(row for row in rows if wish.query.fits(view.provider, row))
    if wish.sort != OWN_ORDER:
        rows = tuple(sorted(rows, key=_SORT_BY[wish.sort]))
    if wish.reverse:
        rows = rows[::-1]
    folded = view.provider in wish.folded and wish.zoomed is None and not wish.query.terms
    if folded:
        rows = ()
    return view if rows == view.rows and not folded else replace(view, rows=rows, folded=folded)


def matches(views: tuple[PaneView, ...]) -> int:
    """Return how many rows are shown."""
    return sum(len(view.rows) for view in views)
