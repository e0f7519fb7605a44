"""`Grants`: which row was handed out to whom, and up to where the journal was known then: what a failure is dated by.

Each thread and each asyncio task remembers its own last grant, so that nobody is punished for another's request.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from itertools import count
from types import MappingProxyType
from typing import Final, NamedTuple

from keydeck.engine.events import Position

# Of so many pools a thread remembers its last grant.
_POOLS_KEPT: Final = 32
_pools = count()


class Grant(NamedTuple):
    """A row that was handed out for a request: what a report is about, wherever it is made."""

    credential_id: str
    place: Position
    """Up to where the journal was known when it was handed out."""
    session: str | None = None


# A context of its own is what threads and tasks have in common. A task begins with what its parent had: the request
# that it reports may be one that was granted there.
_own: ContextVar[Mapping[int, Grant]] = ContextVar("keydeck_grants", default=MappingProxyType({}))


class Grants:
    """What one pool object has handed out. Whoever uses it holds the pool's own lock."""

    def __init__(self) -> None:
        self._pool = next(_pools)
        self._last: str | None = None
        self._of_row: dict[str, Position] = {}

    def add(self, row_id: str, place: Position, session: str | None = None) -> None:
        """Remember that a row was handed out now, to this thread or task."""
        self._last = row_id
        self._of_row[row_id] = place
        own = {**_own.get(), self._pool: Grant(row_id, place, session)}
        if len(own) > _POOLS_KEPT:
            del own[next(iter(own))]
        _own.set(own)

    def drop(self) -> None:
        """Forget the last grant of this thread or task: it was told that there is none."""
        self._last = None
        if self._pool in (own := _own.get()):
            _own.set({pool: grant for pool, grant in own.items() if pool != self._pool})

    def own(self) -> Grant | None:
        """Return what this thread or task was handed last."""
        return _own.get().get(self._pool)

    def current(self) -> str | None:
        """Return the row that this thread or task was handed last, else anybody's last."""
        own = self.own()
        return own.credential_id if own else self._last

    def of_row(self, row_id: str) -> Position | None:
        """Return when a row was handed out last, as a place in the journal: to this thread if it has the row."""
        own = self.own()
        return own.place if own and own.credential_id == row_id else self._of_row.get(row_id)
