"""How soon what changed is shown: everything at once, counts of requests a few times a second.

Pure: it is told what time it is, in seconds of any clock that only goes forward.
"""

from __future__ import annotations

from typing import Final

from keydeck.engine.credential import Credential, Row
from keydeck.engine.snapshot import HomeSnapshot, PoolSnapshot

COUNTS_EVERY_S: Final = 0.2
"""While agents work their counts move ten times a second: nobody reads that fast."""
_BREATHS: Final = 2
"""After a look this many times its length is waited: a store that is rewritten all day must not keep a core
busy."""
_LONGEST_BREATH_S: Final = 0.05


class Pace:
    """Decides when to look and what may wait."""

    def __init__(self) -> None:
        self._shown_at = float("-inf")
        self._next_look_at = float("-inf")
        self._waits = False

    def looked(self, began: float, ended: float) -> None:
        """Note how long a look took."""
        self._waits = False
        self._next_look_at = ended + min((ended - began) * _BREATHS, _LONGEST_BREATH_S)

    def showed(self, now: float) -> None:
        """Note that a snapshot was shown."""
        self._shown_at = now

    def may_wait(self, shown: HomeSnapshot, found: HomeSnapshot, now: float) -> bool:
        """Tell whether a snapshot may be held back for now: it differs in counts only, and counts were just shown."""
        self._waits = now < self._shown_at + COUNTS_EVERY_S and only_counts(shown, found)
        return self._waits

    def breath(self, now: float) -> float:
        """Return how long to rest before the next look."""
        return max(self._next_look_at - now, 0.0)

    def wait(self, now: float) -> float | None:
        """Return after what time to look even without an event, because something waits to be shown."""
        return max(self._shown_at + COUNTS_EVERY_S - now, 0.0) if self._waits else None


def only_counts(before: HomeSnapshot, after: HomeSnapshot) -> bool:
    """Tell whether nothing but counts of requests differs."""
    if before._replace(pools=(), read_at=0.0) != after._replace(pools=(), read_at=0.0):
        return False
    if len(before.pools) != len(after.pools):
        return False
    return all(
        old is new or _only_counts_of_pool(old, new)
        for old, new in zip(before.pools, after.pools, strict=True)
    )


def _only_counts_of_pool(old: PoolSnapshot, new: PoolSnapshot) -> bool:
    if (old.provider, old.strategy, len(old.rows)) != (new.provider, new.strategy, len(new.rows)):
        return False
    return all(
        was is row or _only_count_of_row(was, row) for was, row in zip(old.rows, new.rows, strict=True)
    )


def _only_count_of_row(was: Row, row: Row) -> bool:
    if not (isinstance(was, Credential) and isinstance(row, Credential)):
        return False
    try:
        return was._replace(request_count=row.request_count) == row
    except RecursionError:  # somebody else's fields may be nested deeper than a comparison can follow
        return False
