"""The journal: append-only segments beside auth.json, ``keydeck/journal-NNNNNN.jsonl``.

A record is one write of a line with a line end on either side, so that a torn one spoils only itself. Whoever
appends must read up to its own record: what lies behind a segment's seal is void (design 3, rules 1 to 3).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from keydeck.engine.events import Header, Position, Record, Sealed, decode, encode
from keydeck.engine.files import Disk, make_dir, make_file

SEGMENT_BYTES: Final = 4 << 20
_NAME: Final = re.compile(r"journal-(\d{6,})\.jsonl")

Placed = tuple[Position, Record]


class Journal:
    """One process's view of the journal: which segment it is in, and how far it has read."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self.folder = folder
        self.position: Position = (0, 0)
        """Up to where `tail` has read."""
        self.gap = False
        """Whether a segment was missing: something happened that is not known here in detail."""
        self._disk = disk
        self._fd: int | None = None
        self._links = 1
        self._may_append = False
        self._refusal = 0
        self._looked_at = -1

    def path(self, segment: int) -> Path:
        """Return where a segment lies."""
        return self.folder / f"journal-{segment:06d}.jsonl"

    def segments(self) -> list[int]:
        """Return the numbers of the segments that are there, in order.

        Raises:
            OSError: the folder cannot be listed.
        """
        try:
            names = self._disk.names(self.folder)
        except FileNotFoundError:
            return []
        return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))

    # --- reading ---------------------------------------------------------------------------------------

    def go_to(self, position: Position) -> bool:
        """Read on from a position; False, and nothing is open, if its segment is not there."""
        self.leave()
        self.position = position
        self._fd = self._open(position[0])
        return self._fd is not None

    def __del__(self) -> None:
        with suppress(OSError):
            self.leave()

    def leave(self) -> None:
        """Close the segment."""
        if self._fd is not None:
            self._disk.close(self._fd)
        self._fd, self._looked_at = None, -1

    @property
    def is_open(self) -> bool:
        """Whether there is a segment to read and to append to."""
        return self._fd is not None

    def changed(self) -> bool:
        """Tell whether there is something to read; cheap enough to be asked before every pick."""
        if self._fd is None:
            return False
        status = os.fstat(self._fd)
        return status.st_size != self._looked_at or status.st_nlink == 0

    def is_unlinked(self) -> bool:
        """Tell whether the open segment had no name any more when it was read last."""
        return self._fd is not None and self._links == 0

    def is_lost(self) -> bool:
        """Tell whether the open segment is no longer the file of its name: somebody removed or replaced it."""
        if self._fd is None:
            return False
        try:
            there, ours = self._disk.stat(self.path(self.position[0])), self._disk.fstat(self._fd)
        except OSError:
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def tail(self) -> list[Placed]:
        """Read what was appended since the last time, through any seals, and go on behind it.

        Raises:
            OSError: it cannot be read; the position is as it was.
            SegmentMissing: a seal leads to a segment that is not there.
        """
        found: list[Placed] = []
        for part in self.parts():
            found += part
        return found

    def parts(self) -> Iterator[list[Placed]]:
        """Yield what `tail` returns, a segment at a time.

        Raises:
            OSError: it cannot be read; the position is as it was.
            SegmentMissing: a seal leads to a segment that is not there.
        """
        while self._fd is not None:
            found: list[Placed] = []
            sealed = self._read(found)
            yield found
            if sealed is None:
                break
            self._follow(sealed)

    def skip_to_end(self) -> Position:
        """Go behind everything that was told, without knowing it."""
        self.tail()
        return self.position

    def _read(self, found: list[Placed]) -> Sealed | None:
        """Read the open segment to its last whole line, or to its seal."""
        fd, (segment, start) = self._must_be_open(), self.position
        status = self._disk.fstat(fd)
        size, self._links = status.st_size, status.st_nlink
        data = self._disk.read_at(fd, max(size - start, 0), start)
        self._looked_at = size if size <= start else start + len(data)
        end = data.rfind(b"\n") + 1
        place = start
        for line in data[:end].split(b"\n")[:-1]:
            record = decode(line) if line else None
            if record is not None:
                if type(record.event) is Sealed:
                    return record.event
                found.append(((segment, place), record))
            place += len(line) + 1
        self.position = (segment, start + end)
        return None

    def _follow(self, sealed: Sealed) -> None:
        following = self._open(sealed.next)
        self.leave()
        self._fd, self.position = following, (sealed.next, 0)
        if following is None:
            self.gap = True
            raise SegmentMissing

    def _open(self, segment: int) -> int | None:
        try:
            fd, self._may_append = self._disk.open_append(self.path(segment)), True
        except FileNotFoundError:
            return None
        except OSError as error:  # what may not be written can be read
            fd, self._may_append = self._disk.open_read(self.path(segment)), False
            self._refusal = error.errno or errno.EACCES
        return fd

    # --- writing ---------------------------------------------------------------------------------------

    def begin(self, segment: int, header: Record) -> None:
        """Make a segment, unless it is there, and go to its start.

        Raises:
            OSError: it cannot be made or opened.
        """
        make_dir(self._disk, self.folder)
        self._make(segment, header)
        if not self.go_to((segment, 0)):
            raise FileNotFoundError(self.path(segment))

    def write(self, record: Record) -> Position | None:
        """Append a record to the open segment, and go on behind it if nobody told anything meanwhile.

        Returns:
            Where it stands; None if it counts only once `tail` has shown it.

        Raises:
            OSError: it may have been written in part or not at all.
        """
        length = self._append(record)
        status, (segment, start) = os.fstat(self._must_be_open()), self.position
        if status.st_size != start + length or not status.st_nlink:
            return None
        self._looked_at, self.position = status.st_size, (segment, status.st_size)
        return segment, start + 1

    def _append(self, record: Record) -> int:
        """Append a record as a line of its own, and return how many bytes that took."""
        if not self._may_append:
            self.go_to(self.position)  # perhaps it may be written by now
        if self._refusal and not self._may_append:
            raise OSError(self._refusal, os.strerror(self._refusal))
        line = b"\n" + encode(record) + b"\n"
        if self._disk.write(self._must_be_open(), line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(line)

    def rotate(self, header: Record) -> None:
        """Seal the open segment, which must have been read to its end, and let the next one follow.

        Raises:
            OSError: nothing is sealed, or it is not known whether it is; `tail` will show.
        """
        following = self.position[0] + 1
        self._make(following, header)
        self._append(Record(header.at, header.writer, 0, Sealed(next=following)))

    def store_of(self) -> str | None:
        """Return whose journal the open segment says it is; None where its header was lost."""
        head = self._disk.read_at(self._must_be_open(), 4096, 0)
        records = (decode(line) for line in head.split(b"\n") if line)
        return next(
            (record.event.store for record in records if record and type(record.event) is Header), None
        )

    def sync(self) -> None:
        """Push what was appended to the device."""
        if self._fd is not None:
            self._disk.fsync(self._fd)

    def remove_before(self, segment: int) -> None:
        """Remove the segments below a number."""
        for number in self.segments():
            if number < segment:
                self._disk.unlink(self.path(number))

    def _must_be_open(self) -> int:
        if self._fd is None:
            raise FileNotFoundError(self.folder)
        return self._fd

    def _make(self, segment: int, header: Record) -> None:
        """Make a segment with its header; one that is there already is as good, whoever made it."""
        path = self.path(segment)
        try:
            make_file(self._disk, path)
        except FileExistsError:
            if self._disk.stat(path).st_size:
                return
        fd = self._disk.open_append(path)
        try:
            self._disk.write(fd, b"\n" + encode(header) + b"\n")
            self._disk.fsync(fd)
        finally:
            self._disk.close(fd)
        self._disk.sync_dir(self.folder)


class SegmentMissing(Exception):
    """The journal goes on in a segment that is not there: only a checkpoint can tell what it said."""


def header(store: str, writer: str, at: float, min_reader: int) -> Record:
    """Return the record that begins a segment of this store."""
    return Record(at, writer, 0, Header(store=store, min_reader=min_reader))
