"""What leaves the journal: requests per minute for a day, per hour for thirty, by row (``keydeck/totals.json``).

Totals hold exactly what was told before their position; the journal after it tells the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from keydeck.engine.events import START, Outside, Position, Record, Used
from keydeck.engine.files import Disk, read_file, write_whole

MINUTE_S: Final = 60
HOUR_S: Final = 3600
MINUTES_KEPT: Final = 24 * 60
HOURS_KEPT: Final = 30 * 24
VERSION: Final = 1

Slots = dict[int, dict[str, int]]
"""Number of the minute or hour since the epoch → row → requests."""


class Totals:
    """Requests by time and row, up to a position."""

    __slots__ = ("hours", "minutes", "position")

    def __init__(
        self, position: Position = START, minutes: Slots | None = None, hours: Slots | None = None
    ) -> None:
        self.position = position
        self.minutes = {} if minutes is None else minutes
        self.hours = {} if hours is None else hours

    def take(self, record: Record) -> None:
        """Add what a record tells."""
        event = record.event
        if isinstance(event, Used):
            for row_id, number in event.counts.items():
                self._add(record.at, row_id, number)
        elif isinstance(event, Outside) and event.used:
            self._add(record.at, event.id, event.used)

    def prune(self, now: float) -> None:
        """Forget what is too old."""
        self.minutes = _since(self.minutes, int(now // MINUTE_S) - MINUTES_KEPT)
        self.hours = _since(self.hours, int(now // HOUR_S) - HOURS_KEPT)

    def _add(self, at: float, row_id: str, number: int) -> None:
        for slots, length in ((self.minutes, MINUTE_S), (self.hours, HOUR_S)):
            slot = slots.setdefault(int(at // length), {})
            slot[row_id] = slot.get(row_id, 0) + number


def folded(totals: Totals, told: Iterable[tuple[Position, Record]], seen: set[tuple[str, int]]) -> Totals:
    """Add records to totals, each writer's numbers once; `seen` remembers them."""
    for _, record in told:
        if record.seq and (record.writer, record.seq) not in seen:
            seen.add((record.writer, record.seq))
            totals.take(record)
    return totals


def totals_path(folder: Path) -> Path:
    """Return where the totals lie."""
    return folder / "totals.json"


def read_totals(disk: Disk, folder: Path) -> Totals:
    """Read the totals; none where they are not there or cannot be understood."""
    try:
        told = json.loads(read_file(disk, totals_path(folder))[0])
        segment, offset = told["pos"]
        return Totals((int(segment), int(offset)), _slots(told["minutes"]), _slots(told["hours"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Totals()


def write_totals(disk: Disk, folder: Path, totals: Totals) -> None:
    """Replace the totals.

    Raises:
        OSError: they are as they were.
    """
    told = {"v": VERSION, "pos": totals.position, "minutes": totals.minutes, "hours": totals.hours}
    write_whole(disk, totals_path(folder), json.dumps(told, separators=(",", ":")).encode("ascii"))


def _since(slots: Slots, first: int) -> Slots:
    return {number: slot for number, slot in slots.items() if number >= first}


def _slots(told: dict[str, dict[str, int]]) -> Slots:
    return {int(number): {row: int(n) for row, n in slot.items()} for number, slot in told.items()}
