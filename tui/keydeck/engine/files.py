"""The I/O seam: every system call on a store's files goes through a `Disk`, so that a test can fail any one.

The rule here: a file is replaced whole or not at all, keeps its owner and mode, and leaves no temporary behind.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_DIR = 0o700

# A rename can be refused for a moment while somebody else has the file open (Windows; FS-46).
REPLACE_TRIES = 5
REPLACE_PAUSE_S = 0.05

_CANNOT_RENAME_OVER = frozenset({errno.EBUSY, errno.EXDEV, errno.ETXTBSY})


class Disk:
    """The system calls themselves, one method each; a test overrides the one it wants to fail."""

    def open_read(self, path: Path) -> int:
        """Open for reading."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def open_new(self, path: Path) -> int:
        """Create for writing, 0600; fail if it exists or is a link."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        return os.open(path, flags, PRIVATE_FILE)

    def open_existing(self, path: Path) -> int:
        """Open a file that is there for writing, without emptying it."""
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC)

    def open_append(self, path: Path) -> int:
        """Open a file that is there for reading and for appending to its end."""
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        """Read up to `size` bytes from an offset."""
        return os.pread(fd, size, offset)

    def read(self, fd: int, size: int) -> bytes:
        """Read up to `size` bytes."""
        return os.read(fd, size)

    def write(self, fd: int, data: bytes) -> int:
        """Write and return how many bytes were taken."""
        return os.write(fd, data)

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file to `size` bytes."""
        os.ftruncate(fd, size)

    def fsync(self, fd: int) -> None:
        """Push the file's content to the device."""
        os.fsync(fd)

    def close(self, fd: int) -> None:
        """Close the descriptor."""
        os.close(fd)

    def fstat(self, fd: int) -> os.stat_result:
        """Stat an open file."""
        return os.fstat(fd)

    def stat(self, path: Path | str) -> os.stat_result:
        """Stat a path, following links."""
        return os.stat(path)

    def chmod(self, fd: int, mode: int) -> None:
        """Set the mode of an open file."""
        os.fchmod(fd, mode)

    def chown(self, fd: int, uid: int, gid: int) -> None:
        """Set owner and group of an open file."""
        os.fchown(fd, uid, gid)

    def replace(self, source: Path, target: Path) -> None:
        """Rename over the target in one step."""
        os.replace(source, target)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        os.unlink(path)

    def mkdir(self, path: Path) -> None:
        """Make one folder, 0700; fail if it exists."""
        os.mkdir(path, PRIVATE_DIR)

    def chown_path(self, path: Path, uid: int, gid: int) -> None:
        """Set owner and group of a path."""
        os.chown(path, uid, gid)

    def names(self, path: Path) -> list[str]:
        """List a folder."""
        return os.listdir(path)

    def sync_dir(self, path: Path) -> None:
        """Push a folder's entries to the device; quietly nothing where folders cannot be synced."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with suppress(OSError):  # some file systems answer EINVAL; the rename itself has happened
                os.fsync(fd)
        finally:
            os.close(fd)

    def pause(self, seconds: float) -> None:
        """Wait before another try."""
        time.sleep(seconds)


def read_file(disk: Disk, path: Path) -> tuple[bytes, os.stat_result]:
    """Read a whole file and the stat that belongs to exactly that content.

    Raises:
        OSError: as the system says; `FileNotFoundError` when there is none.
    """
    fd = disk.open_read(path)
    try:
        return read_open(disk, fd)
    finally:
        disk.close(fd)


def read_open(disk: Disk, fd: int) -> tuple[bytes, os.stat_result]:
    """Read an open file from where it stands to its end, and the stat that belongs to it.

    Raises:
        OSError: as the system says.
    """
    status = disk.fstat(fd)
    parts: list[bytes] = []
    while part := disk.read(fd, max(status.st_size + 1, 65536)):
        parts.append(part)
    return b"".join(parts), status


def make_dir(disk: Disk, path: Path) -> None:
    """Make a folder and what is missing above it: 0700, owned like the folder it lies in.

    Raises:
        OSError: as the system says.
    """
    if os.path.isdir(path):
        return
    make_dir(disk, path.parent)
    try:
        disk.mkdir(path)
    except FileExistsError:
        return
    around = disk.stat(path.parent)
    if _must_hand_over(disk.stat(path), around):
        disk.chown_path(path, around.st_uid, around.st_gid)


def write_whole(
    disk: Disk, path: Path, data: bytes, *, before_rename: Callable[[os.stat_result], None] | None = None
) -> None:
    """Replace `path` by `data`: temporary 0600, fsync, rename, fsync of the folder.

    A symlink stays one: its target is replaced. Owner and mode of an existing file are kept; a new one is 0600.
    A file that cannot be renamed over (a bind mount) is written in place; the caller has made its backup.

    Args:
        disk: the I/O seam.
        path: the file to replace.
        data: its new content.
        before_rename: told of the new file while it is still a temporary one; what it raises stops the act.

    Raises:
        OSError: nothing was changed, unless it came from the in-place write of a bind-mounted file.
    """
    real = Path(os.path.realpath(path))
    existing = _stat_or_none(disk, real)
    temporary = real.with_name(f"{real.name}.tmp.{os.getpid()}.{os.urandom(16).hex()}")
    try:
        fd = disk.open_new(temporary)
        try:
            _write_all(disk, fd, data)
            if existing is not None:
                _wear(disk, fd, existing)
            else:
                _hand_over(disk, fd, real.parent)
            disk.fsync(fd)
            made = disk.fstat(fd)
        finally:
            disk.close(fd)
        if before_rename:
            before_rename(made)
        try:
            _replace(disk, temporary, real)
        except OSError as error:
            if error.errno not in _CANNOT_RENAME_OVER or existing is None:
                raise
            _overwrite(disk, real, data)
    finally:
        with suppress(FileNotFoundError):
            disk.unlink(temporary)
    disk.sync_dir(real.parent)


def make_file(disk: Disk, path: Path) -> None:
    """Make an empty file, 0600, owned like its folder.

    Raises:
        OSError: as the system says; `FileExistsError` when it is there already.
    """
    fd = disk.open_new(path)
    try:
        _hand_over(disk, fd, path.parent)
    finally:
        disk.close(fd)


def write_new(disk: Disk, path: Path, data: bytes) -> None:
    """Create a file that must not exist yet, 0600, and sync it.

    Raises:
        OSError: as the system says; no partial file is left.
    """
    fd = disk.open_new(path)
    try:
        try:
            _write_all(disk, fd, data)
            _hand_over(disk, fd, path.parent)
            disk.fsync(fd)
        finally:
            disk.close(fd)
    except OSError:
        with suppress(OSError):
            disk.unlink(path)
        raise


def _stat_or_none(disk: Disk, path: Path) -> os.stat_result | None:
    try:
        return disk.stat(path)
    except FileNotFoundError:
        return None


def _write_all(disk: Disk, fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[disk.write(fd, bytes(rest)) :]


def _wear(disk: Disk, fd: int, existing: os.stat_result) -> None:
    """Give the new file the old one's owner and mode."""
    made = disk.fstat(fd)
    if (made.st_uid, made.st_gid) != (existing.st_uid, existing.st_gid):
        disk.chown(fd, existing.st_uid, existing.st_gid)
    disk.chmod(fd, existing.st_mode & 0o7777)


def _must_hand_over(made: os.stat_result, folder: os.stat_result) -> bool:
    return os.geteuid() == 0 and (made.st_uid, made.st_gid) != (folder.st_uid, folder.st_gid)


def _hand_over(disk: Disk, fd: int, folder: Path) -> None:
    """What root makes in somebody's home belongs to that somebody, who could not open it otherwise (FS-44)."""
    around = disk.stat(folder)
    if _must_hand_over(disk.fstat(fd), around):
        disk.chown(fd, around.st_uid, around.st_gid)


def _replace(disk: Disk, source: Path, target: Path) -> None:
    for left in range(REPLACE_TRIES - 1, -1, -1):
        try:
            disk.replace(source, target)
        except PermissionError:
            if not left:
                raise
            disk.pause(REPLACE_PAUSE_S)
        else:
            return


def _overwrite(disk: Disk, path: Path, data: bytes) -> None:
    fd = disk.open_existing(path)
    try:
        _write_all(disk, fd, data)
        disk.truncate(fd, len(data))
        disk.fsync(fd)
    finally:
        disk.close(fd)
