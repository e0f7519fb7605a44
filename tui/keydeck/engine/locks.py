"""The lock that hermes takes: flock on a file beside the store, which is never removed (hermes-pool 1.9)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Final

from keydeck.engine.errors import LockBusy, StoreReadOnly
from keydeck.engine.files import Disk, make_file
from keydeck.engine.store import WaitNotice

NOTICE_AFTER_S: Final = 0.3
NOTICE_EVERY_S: Final = 1.0
POLL_S: Final = 0.05


def lock_paths(path: Path) -> list[Path]:
    """Return where to lock a store, in order: beside its name (hermes' place), then beside a link's target."""
    beside_name = path.with_suffix(".lock")
    beside_target = Path(os.path.realpath(path)).with_suffix(".lock")
    same = os.path.realpath(beside_name) == os.path.realpath(beside_target)
    return [beside_name] if same else [beside_name, beside_target]


@contextmanager
def hold_lock(disk: Disk, path: Path, *, timeout_s: float, on_wait: WaitNotice) -> Iterator[None]:
    """Hold the lock file for the block, waiting up to `timeout_s` seconds for it.

    Args:
        disk: the I/O seam.
        path: the lock file; it is created and left in place.
        timeout_s: how long to wait, in seconds.
        on_wait: told how long we have waited, from 0.3 s on. It may raise to give up.

    Raises:
        LockBusy: somebody else held it all that time.
        StoreReadOnly: the lock file cannot be opened, or this file system has no locks.
    """
    import filelock

    with suppress(OSError):
        # Made by us first, so that a lock file made by root belongs to the home's owner; filelock reports
        # what is wrong with the path. It is never removed: others may hold that very file by now.
        make_file(disk, path)
    # A soft lock would lock out nobody but ourselves: refuse it (design 3, rule 15).
    lock = filelock.FileLock(path, mode=0o600, thread_local=False, fallback_to_soft=False)
    started = monotonic()
    slice_s = NOTICE_AFTER_S
    while True:
        left = timeout_s - (monotonic() - started)
        try:
            lock.acquire(timeout=max(0.0, min(slice_s, left)), poll_interval=POLL_S)
            break
        except filelock.Timeout:
            waited = monotonic() - started
            if waited >= timeout_s:
                raise LockBusy(path, waited) from None
            on_wait(waited)
            slice_s = NOTICE_EVERY_S
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or "this file system has no locks"
            raise StoreReadOnly(path, f"cannot lock: {reason.lower()}") from error
    try:
        if slice_s == NOTICE_EVERY_S:
            on_wait(monotonic() - started)  # who gave up since the last notice wants it no more
        yield
    finally:
        lock.release()
