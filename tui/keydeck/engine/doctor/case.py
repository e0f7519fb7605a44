"""What the checks share: the home as it was read once, and how files and rows are called."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keydeck.engine.auth_document import parse_document
from keydeck.engine.config import EMPTY_CONFIG, Config
from keydeck.engine.credential import Row
from keydeck.engine.doctor.finding import quoted
from keydeck.engine.errors import ConfigError, StoreError
from keydeck.engine.file_store import FOLDER
from keydeck.engine.files import Disk, read_file
from keydeck.engine.home import Home
from keydeck.engine.snapshot import HomeReader, HomeSnapshot


@dataclass(frozen=True, slots=True)
class Case:
    """A home under examination."""

    reader: HomeReader
    snapshot: HomeSnapshot
    document: Mapping[str, Any] | None = field(repr=False)
    """auth.json as it is; None where it is not there or cannot be understood."""
    config: Config = field(repr=False)
    now: float
    flags: str
    real: Path
    """auth.json behind any link."""
    folder: Path
    """Where the journal lies."""

    @property
    def home(self) -> Home:
        """The home."""
        return self.reader.home

    @property
    def disk(self) -> Disk:
        """The I/O seam."""
        return self.reader.disk

    # --- files -----------------------------------------------------------------------------------------

    def stat(self, path: Path) -> os.stat_result | None:
        """Stat a path, following links; None where that is not possible."""
        try:
            return self.disk.stat(path)
        except OSError:
            return None

    def names(self, folder: Path) -> list[str]:
        """List a folder in order; nothing where that is not possible."""
        try:
            return sorted(self.disk.names(folder))
        except OSError:
            return []

    def read(self, path: Path) -> bytes | None:
        """Read a file; None where that is not possible."""
        try:
            return read_file(self.disk, path)[0]
        except OSError:
            return None

    def own_files(self, folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
        """Yield the files and folders below a folder of ours; links are somebody else's."""
        for name in self.names(folder):
            path = folder / name
            status = None if os.path.islink(path) else self.stat(path)
            if status is not None:
                yield path, status
                if stat.S_ISDIR(status.st_mode):
                    yield from self.own_files(path)

    def called(self, path: Path) -> str:
        """Return how a file is called: by its place in the home, if it is there."""
        for folder in (self.home.path, self.real.parent):
            if path != folder and path.is_relative_to(folder):
                return str(path.relative_to(folder))
        return str(path)

    # --- rows ------------------------------------------------------------------------------------------

    def name(self, text: str) -> str:
        """Return a name of the store without a secret in it."""
        return self.snapshot.scrubber.scrub_known(text)

    def row_name(self, row: Row) -> str:
        """Return what a row is called in a sentence."""
        return f"{self.name(row.label)} ({self.name(row.id)}) of {self.name(row.provider)}"

    def row_subject(self, row: Row) -> str:
        """Return which row is meant, for scripts."""
        return f"{self.name(row.provider)}/{self.name(row.id)}"

    def command(self, *words: str) -> str:
        """Return a command of ours that means this home."""
        return "keydeck " + " ".join(quoted(self.name(word)) for word in words) + self.flags


def open_case(reader: HomeReader, flags: str) -> Case:
    """Read a home for its examination."""
    snapshot = reader.read()
    real = Path(os.path.realpath(reader.home.auth_path))
    return Case(
        reader=reader,
        snapshot=snapshot,
        document=_document(reader),
        config=_config(reader),
        now=reader.clock(),
        flags=flags,
        real=real,
        folder=real.parent / FOLDER,
    )


def _document(reader: HomeReader) -> Mapping[str, Any] | None:
    path = reader.home.auth_path
    try:
        return parse_document(path, read_file(reader.disk, path)[0])
    except (OSError, StoreError):
        return None


def _config(reader: HomeReader) -> Config:
    try:
        return reader.config()
    except ConfigError:
        return EMPTY_CONFIG
