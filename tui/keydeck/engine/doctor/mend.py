"""Do what is safe: close files to others and remove what killed writers left. No row is touched."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from keydeck.engine.doctor.access import OPEN_TO_OTHERS
from keydeck.engine.doctor.finding import Finding, Kind
from keydeck.engine.files import Disk
from keydeck.engine.locks import hold_lock, lock_paths
from keydeck.engine.snapshot import HomeReader
from keydeck.engine.store import LOCK_TIMEOUT_S, WaitNotice, ignore_wait


@dataclass(frozen=True, slots=True)
class Mended:
    """One thing that was done, or why it was not."""

    path: Path
    what: str
    refused: str | None = None


def mend(
    reader: HomeReader,
    findings: Sequence[Finding],
    *,
    on_wait: WaitNotice = ignore_wait,
    timeout_s: float = LOCK_TIMEOUT_S,
) -> tuple[Mended, ...]:
    """Do what is safe about these findings, under the store's lock; tell each thing that was done or refused.

    Raises:
        LockBusy: somebody else kept the lock.
        StoreReadOnly: the lock cannot be taken.
    """
    safe = [finding for finding in findings if finding.is_safe_to_fix]
    if not safe:
        return ()
    with ExitStack() as held:
        for lock in lock_paths(reader.home.auth_path):
            held.enter_context(hold_lock(reader.disk, lock, timeout_s=timeout_s, on_wait=on_wait))
        owner = reader.disk.stat(reader.home.path).st_uid
        return tuple(_mended(reader.disk, safe, owner))


def _mended(disk: Disk, safe: Sequence[Finding], owner: int) -> Iterator[Mended]:
    for finding in safe:
        for path in finding.paths:
            what = "closed to others" if finding.kind is Kind.MODE else "removed"
            try:
                done = _close(disk, path, owner) if finding.kind is Kind.MODE else _remove(disk, path)
            except OSError as error:
                yield Mended(path, what, (error.strerror or type(error).__name__).lower())
            else:
                if done:
                    yield Mended(path, what)


def _close(disk: Disk, path: Path, owner: int) -> bool:
    """Take everybody else's permissions from a file of the home's owner; False if it is not that any more."""
    fd = disk.open_read(path)
    try:
        status = disk.fstat(fd)
        kind = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
        # Looked at again once it is open: a link may have taken its place, and we may be root.
        if not kind or status.st_uid != owner:
            raise PermissionError(1, "it belongs to another user")
        disk.chmod(fd, stat.S_IMODE(status.st_mode) & ~OPEN_TO_OTHERS)
    finally:
        disk.close(fd)
    return True


def _remove(disk: Disk, path: Path) -> bool:
    """Remove a file; False if somebody else was first."""
    if not os.path.lexists(path):
        return False
    disk.unlink(path)
    return True
