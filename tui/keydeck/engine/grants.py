"""`Grants`: which row was handed out last, and up to where the journal was known then: what a failure is dated by."""

from __future__ import annotations

from typing import NamedTuple

from keydeck.engine.events import Position


class Grant(NamedTuple):
    """A row that was handed out for a request: what a report is about."""

    credential_id: str
    place: Position
    """Up to where the journal was known when it was handed out."""


class Grants:
    """What one pool object has handed out. Whoever uses it holds the pool's own lock."""

    def __init__(self) -> None:
        self.current: str | None = None
        """The row handed out last; None if there was none to hand out."""
        self._of_row: dict[str, Position] = {}

    def add(self, row_id: str, place: Position) -> None:
        """Remember that a row was handed out now."""
        self.current = row_id
        self._of_row[row_id] = place

    def of_row(self, row_id: str) -> Position | None:
        """Return when a row was handed out last, as a place in the journal."""
        return self._of_row.get(row_id)
