"""Copies made before the first write of a process: 0600, named by time, the last five of each file."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from keydeck.engine.files import Disk, make_dir, read_file, write_new

KEEP: Final = 5
_DAY_S: Final = 86400.0


def backup_dir(path: Path) -> Path:
    """Return the folder that holds the backups of a file: beside the real file, whatever links lead to it."""
    return Path(os.path.realpath(path)).parent / "keydeck" / "backups"


def back_up(disk: Disk, path: Path, now: float) -> Path | None:
    """Copy `path` aside and drop the oldest copies; None when there is nothing to copy.

    Args:
        disk: the I/O seam.
        path: the file about to be written.
        now: the time in the copy's name, in epoch seconds; a second copy within it gets a number.

    Raises:
        OSError: the copy could not be made; nothing must be written then.
    """
    try:
        data, _ = read_file(disk, path)
    except FileNotFoundError:
        return None
    folder = backup_dir(path)
    make_dir(disk, folder)
    copy = _write(disk, folder, f"{path.stem}-{_stamp(now)}", path.suffix, data)
    _prune(disk, folder, path)
    return copy


def has_recent(disk: Disk, path: Path, now: float) -> bool:
    """Tell whether a copy of `path` was made within the day before `now` (epoch seconds)."""
    try:
        names = disk.names(backup_dir(path))
    except OSError:
        return False
    day = f"{path.stem}-{_stamp(now - _DAY_S)}"
    return any(name.startswith(f"{path.stem}-") and name > day for name in names)


def _stamp(now: float) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%S.%fZ}"


def _write(disk: Disk, folder: Path, stem: str, suffix: str, data: bytes) -> Path:
    number = 0
    while True:
        copy = folder / (f"{stem}-{number}{suffix}" if number else f"{stem}{suffix}")
        try:
            write_new(disk, copy, data)
        except FileExistsError:
            number += 1
        else:
            return copy


def _prune(disk: Disk, folder: Path, path: Path) -> None:
    mine = sorted(
        name for name in disk.names(folder) if name.startswith(f"{path.stem}-") and name.endswith(path.suffix)
    )
    for name in mine[:-KEEP]:
        with suppress(OSError):  # a copy too many harms nobody
            disk.unlink(folder / name)
