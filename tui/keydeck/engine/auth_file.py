"""The file auth.json itself: read whole, replaced whole, under the lock that hermes takes (hermes-pool 1.8, 1.9)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from keydeck.engine.auth_document import FORMAT_VERSION, parse_document
from keydeck.engine.backups import back_up, has_recent
from keydeck.engine.errors import StoreReadOnly, StoreUnreadable
from keydeck.engine.events import Signature
from keydeck.engine.files import Disk, make_dir, read_open, write_whole
from keydeck.engine.locks import hold_lock, lock_paths
from keydeck.engine.store import WaitNotice

Stamp = tuple[Signature, int]
"""A file's signature, and when its inode last changed."""


class AuthFile:
    """One auth.json. Reading takes no lock; `write` belongs inside `locked`."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self.path = path
        self._name = str(path)  # asked for at every pick, and a path spells itself anew each time
        self._disk = disk
        self._backed_up = False
        # The file as it was last parsed, kept open so that no other gets its inode.
        self._held: int | None = None

    def __del__(self) -> None:
        if self.__dict__.get("_held") is not None:
            self.let_go()

    @property
    def real_folder(self) -> Path:
        """The folder in which the file really lies, behind any symlink."""
        return Path(os.path.realpath(self.path)).parent

    # --- reading ---------------------------------------------------------------------------------------

    def stamp(self) -> Stamp | None:
        """Return what tells this content from any other; None where there is no file."""
        try:
            return _stamp(self._disk.stat(self._name))
        except OSError:
            return None

    def read(self, *, hold: bool = False) -> tuple[dict[str, Any] | None, Stamp | None]:
        """Parse the file, and keep it open if asked; None twice where there is none.

        Raises:
            StoreError: it cannot be read or understood.
        """
        try:
            fd = self._disk.open_read(self.path)
            try:
                data, status = read_open(self._disk, fd)
            except OSError:
                self._disk.close(fd)
                raise
            if hold:
                self._hold(fd)
            else:
                self._disk.close(fd)
        except FileNotFoundError:
            return None, None
        except OSError as error:
            raise StoreUnreadable(self.path, _reason(error, self._owner())) from error
        return parse_document(self.path, data), _stamp(status)

    def let_go(self) -> None:
        """Close the file that is kept open."""
        self._hold(None)

    def _hold(self, fd: int | None) -> None:
        held, self._held = self._held, fd
        if held is not None:
            with suppress(OSError):
                self._disk.close(held)

    def _owner(self) -> str | None:
        try:
            uid = self._disk.stat(self.path).st_uid
        except OSError:
            return None
        return None if uid == os.geteuid() else _user_name(uid)

    # --- writing ---------------------------------------------------------------------------------------

    @contextmanager
    def locked(self, *, timeout_s: float, on_wait: WaitNotice) -> Iterator[None]:
        """Hold every lock of the file for the block.

        Raises:
            LockBusy: somebody else kept one.
            StoreReadOnly: there is no place for a lock file.
        """
        try:
            make_dir(self._disk, self.path.parent)
        except OSError as error:
            raise self.read_only(error) from error
        with ExitStack() as held:
            for lock in lock_paths(self.path):
                held.enter_context(hold_lock(self._disk, lock, timeout_s=timeout_s, on_wait=on_wait))
            yield

    def write(
        self, document: dict[str, Any], now: float, *, announce: Callable[[Signature], None] | None = None
    ) -> None:
        """Replace the file by a document, after a backup where there is no recent one.

        Args:
            document: what it will say; its envelope is filled in.
            now: epoch seconds.
            announce: told of the new file while the old one is still there; for a write that says nothing new.

        Raises:
            OSError: the file is as it was.
        """
        from datetime import UTC, datetime  # who only reads needs none

        document["version"] = FORMAT_VERSION
        document["providers"] = document.get("providers") or {}  # hermes wants an object (hermes-pool 1.8)
        document["updated_at"] = datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds")
        data = (json.dumps(document, indent=2) + "\n").encode("ascii")
        if not (self._backed_up or (announce and has_recent(self._disk, self.path, now))):
            back_up(self._disk, self.path, now)
            self._backed_up = True

        def tell(made: os.stat_result) -> None:
            if announce:
                announce(_stamp(made)[0])

        write_whole(self._disk, self.path, data, before_rename=tell)

    def read_only(self, error: OSError) -> StoreReadOnly:
        """Return the error that says why the file cannot be written."""
        return StoreReadOnly(self.path, _reason(error))


def _stamp(status: os.stat_result) -> Stamp:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns), status.st_ctime_ns


def _reason(error: OSError, owner: str | None = None) -> str:
    said = (error.strerror or type(error).__name__).lower()
    return f"{said} (owner {owner})" if owner else said


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
