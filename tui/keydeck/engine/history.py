"""How much of the journal is kept, and reading it from its beginning: for people, never for a pick."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from keydeck.engine.config import DEFAULT_HISTORY_BYTES, DEFAULT_HISTORY_S
from keydeck.engine.events import Position
from keydeck.engine.files import Disk
from keydeck.engine.journal import Journal, Placed, SegmentMissing
from keydeck.engine.totals import Totals, folded, read_totals, write_totals


def read_history(disk: Disk, folder: Path, start: Position | None = None) -> Iterator[Placed]:
    """Yield every record that is still there, from `start` on or from the first one.

    Raises:
        OSError: it cannot be read.
    """
    journal = Journal(disk, folder)
    place = start or (0, 0)
    try:
        while segments := [number for number in journal.segments() if number >= place[0]]:
            if not journal.go_to(place if segments[0] == place[0] else (segments[0], 0)):
                return
            try:
                for part in journal.parts():
                    yield from part
            except SegmentMissing:  # pruned meanwhile, or taken away: go on with what is there behind it
                place = (journal.position[0], 0)
            else:
                return
    finally:
        journal.leave()


def totals_now(disk: Disk, folder: Path) -> Totals:
    """Return the totals, those of the journal that is still there included."""
    totals = read_totals(disk, folder)
    return folded(totals, read_history(disk, folder, totals.position), set())


def prune(
    disk: Disk,
    folder: Path,
    until: Position,
    now: float,
    *,
    kept_bytes: int = DEFAULT_HISTORY_BYTES,
    kept_s: float = DEFAULT_HISTORY_S,
) -> None:
    """Remove the oldest sealed segments that lie before a checkpoint and beyond what is kept; keep their totals.

    Args:
        disk: the I/O seam.
        folder: where the journal lies.
        until: the position of the checkpoint.
        now: epoch seconds.
        kept_bytes: how many bytes of journal are kept.
        kept_s: for how many seconds.

    Raises:
        OSError: nothing was removed that is not in the totals.
    """
    journal = Journal(disk, folder)
    states = [(number, disk.stat(journal.path(number))) for number in journal.segments()]
    size = sum(state.st_size for _, state in states)
    last = 0
    for number, state in states:
        too_old = now - state.st_mtime > kept_s
        if number >= until[0] or not (size > kept_bytes or too_old):
            break
        size, last = size - state.st_size, number
    if last:
        _sum_up(disk, folder, last, now)
        journal.remove_before(last + 1)


def _sum_up(disk: Disk, folder: Path, last: int, now: float) -> None:
    """Add the segments up to `last` to the totals."""
    totals = read_totals(disk, folder)
    told = read_history(disk, folder, totals.position)
    folded(totals, ((place, record) for place, record in told if place[0] <= last), set())
    totals.position = (last + 1, 0)
    totals.prune(now)
    write_totals(disk, folder, totals)
