"""Following what happens: back into the past a block at a time, then on with what comes; for people.

A follower has its own descriptor and writes nothing, so that it may live beside the store, in another thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from keydeck.engine.events import Position, Sealed, decode
from keydeck.engine.files import Disk
from keydeck.engine.journal import Journal, Placed, SegmentMissing

BLOCK_BYTES: Final = 256 << 10
LOOK_BACK_BYTES: Final = 16 << 20
"""So much of the journal is looked through at most, unless somebody wants more."""
_USES: Final = b'{"e":"use",'
"""How nearly all lines begin; where nobody wants them, they need not be read."""


class Block(NamedTuple):
    """Records that follow each other, in order."""

    records: list[Placed]
    after_gap: bool = False
    """Whether what happened just before them is not known: part of the journal is missing there."""


def newest(records: Sequence[Placed], otherwise: float) -> float:
    """Return when the newest of these records was told; one alone may be of a clock that was wrong."""
    return max((record.at for _, record in records if record.seq), default=otherwise)


class Follower:
    """A reader of one journal, wherever it goes on. Not for several threads at a time."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._journal = Journal(disk, folder)
        self._gap = False

    def close(self) -> None:
        """Let go of the file."""
        self._journal.leave()

    # --- the past --------------------------------------------------------------------------------------

    def look_back(self, *, uses_since: float, most_bytes: int = LOOK_BACK_BYTES) -> Iterator[Block]:
        """Return what is there by now, the newest block first; `read_on` goes on behind it.

        Args:
            uses_since: epoch seconds; older uses may be left out, which is ten times as fast.
            most_bytes: how much is looked through at most.

        Raises:
            OSError: it cannot be read.
        """
        segments = self._journal.segments()
        if self._is_ahead(segments):
            segments.pop()
        end = self._end_of(segments[-1]) if segments else 0
        if segments:
            self._journal.go_to((segments[-1], end))
        return self._back(segments, end, uses_since, most_bytes)

    def _is_ahead(self, segments: Sequence[int]) -> bool:
        """Tell whether the last segment waits, with nothing told in it, for the seal that will lead to it."""
        if len(segments) < 2 or segments[-2] != segments[-1] - 1:
            return False
        last = self._read(segments[-1], 0, BLOCK_BYTES)
        has_told = any(record.seq for _, record in self._records((0, 0), last))
        return not has_told and self._seal_of(segments[-2]) is None

    def _end_of(self, segment: int) -> int:
        """Return where a segment's last whole line ends; of one that is sealed, where its seal begins."""
        tail, data = self._tail_of(segment)
        seal = self._seal_of(segment)
        return tail + data.rfind(b"\n") + 1 if seal is None else seal

    def _seal_of(self, segment: int) -> int | None:
        place, data = self._tail_of(segment)
        for line in data.split(b"\n"):
            if b'"seal"' in line and (record := decode(line)) and type(record.event) is Sealed:
                return place
            place += len(line) + 1
        return None

    def _tail_of(self, segment: int) -> tuple[int, bytes]:
        """Return the last part of a segment, and where it begins."""
        size = self._disk.stat(self._journal.path(segment)).st_size
        begin = max(size - BLOCK_BYTES, 0)
        return begin, self._read(segment, begin, size)

    def _back(self, segments: Sequence[int], end: int, uses_since: float, most_bytes: int) -> Iterator[Block]:
        with_uses, left = True, most_bytes
        for place, segment in reversed(list(enumerate(segments))):
            try:
                high = end if end >= 0 else self._disk.stat(self._journal.path(segment)).st_size
                for low, data in self._pieces(segment, high):
                    records = self._records((segment, low), data, with_uses=with_uses)
                    is_first = low == 0 and place > 0 and segments[place - 1] != segment - 1
                    yield Block(records, after_gap=is_first)
                    with_uses = with_uses and newest(records, uses_since) >= uses_since
                    left -= len(data)
                    if left <= 0:
                        return
            except FileNotFoundError:  # pruned meanwhile
                return
            end = -1

    def _pieces(self, segment: int, high: int) -> Iterator[tuple[int, bytes]]:
        """Yield whole lines of a segment below `high`, the last ones first, each piece with where it begins."""
        step = BLOCK_BYTES
        while high > 0:
            low = max(high - step, 0)
            data = self._read(segment, low, high)
            begin = data.find(b"\n") + 1 if low else 0
            if low and begin in (0, len(data)):  # a line that is longer than the piece
                step *= 2
                continue
            yield low + begin, data[begin:]
            high, step = low + begin, BLOCK_BYTES

    def _read(self, segment: int, low: int, high: int) -> bytes:
        fd = self._disk.open_read(self._journal.path(segment))
        try:
            return self._disk.read_at(fd, high - low, low)
        finally:
            self._disk.close(fd)

    def _records(self, start: Position, data: bytes, *, with_uses: bool = True) -> list[Placed]:
        found: list[Placed] = []
        segment, place = start
        for line in data.split(b"\n"):
            if line and (with_uses or not line.startswith(_USES)) and (record := decode(line)):
                if type(record.event) is Sealed:  # what follows is void
                    break
                found.append(((segment, place), record))
            place += len(line) + 1
        return found

    # --- what comes ------------------------------------------------------------------------------------

    def read_on(self) -> list[Block]:
        """Return what was told since the last time; nothing while it cannot be read."""
        blocks: list[Block] = []
        try:
            if self._journal.is_open and not (self._journal.changed() or self._journal.is_lost()):
                return blocks
            if not self._journal.is_open and not self._join():
                return blocks
            self._read_to_end(blocks)
            while (not self._journal.is_open or self._journal.is_lost()) and self._join():
                self._read_to_end(blocks)
        except OSError:
            pass
        return blocks

    def _read_to_end(self, blocks: list[Block]) -> None:
        records: list[Placed] = []
        after_gap, self._gap = self._gap, False
        try:
            for part in self._journal.parts():
                records += part
        except SegmentMissing:
            self._gap = True
        if records:
            blocks.append(Block(records, after_gap))
        else:
            self._gap = self._gap or after_gap

    def _join(self) -> bool:
        """Go to where the journal goes on; False where it does not."""
        segment, _ = self._journal.position
        ahead = next((number for number in self._journal.segments() if number >= segment), None)
        if ahead is None:
            return False
        self._gap = self._gap or segment > 0
        return self._journal.go_to((ahead, 0))
