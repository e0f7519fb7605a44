"""`Watch`: a new snapshot whenever a file of the home changes, however it was changed.

Folders are watched, not files: a replaced file is another file (ux 6.4). A look at the files' stamps every two
seconds catches what no event tells; where that happens, events are not to be trusted and looks come more often.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol

from keydeck.engine.snapshot import HomeSnapshot

DEBOUNCE_MS: Final = 200
STEP_MS: Final = 20
NET_MS: Final = 2000
"""How often stamps are looked at where events are told."""
POLL_MS: Final = 500
"""How often where they are not."""

_MISSED_TO_DISTRUST: Final = 2
"""So many changes in a row that only a look found, and events are not waited for any more."""


class Readable(Protocol):
    """What can be watched: a `HomeReader`."""

    def read(self) -> HomeSnapshot:
        """Look at everything now."""

    def watched_files(self) -> tuple[Path, ...]:
        """Return the files that matter."""

    def watched_folders(self) -> tuple[Path, ...]:
        """Return the folders in which they are replaced."""


Events = Callable[[Readable, list[Path], asyncio.Event], AsyncIterator[bool]]
"""Yields True after a change in the folders and False after a while without one, until the stop."""

Stamps = tuple[tuple[int, int, int, int] | None, ...]


class Watch:
    """Follows one home until `stop`."""

    def __init__(self, source: Readable, *, events: Events | None = None) -> None:
        self._source = source
        self._events = events or _file_events
        self._stop = asyncio.Event()
        self._seen = self._stamps()
        self._missed = 0
        self.how = "live"
        """``live`` while events come, ``polling`` where the files must be looked at."""
        self._told = self.how

    def stop(self) -> None:
        """End `snapshots` soon."""
        self._stop.set()

    async def snapshots(self) -> AsyncIterator[HomeSnapshot]:
        """Yield a snapshot after every change, of the files or of `how`, since this object was made."""
        # Loading it takes a tenth of a second: keys pressed meanwhile need not wait, nor a change be missed later.
        await asyncio.to_thread(import_module, "watchfiles")
        while not self._stop.is_set():
            async for told in self._wake_ups():
                self._missed = 0 if told else self._missed
                stamps = self._stamps()
                if (stamps, self.how) == (self._seen, self._told):
                    continue
                self._missed += not told and stamps != self._seen
                self._told = self.how
                self._seen = stamps  # taken before reading: a change meanwhile shows at the next look
                yield await asyncio.to_thread(self._source.read)

    async def _wake_ups(self) -> AsyncIterator[bool]:
        """Yield True for an event and False for a look; end when another way of watching is due."""
        wanted = self._source.watched_folders()
        folders = [folder for folder in wanted if folder.is_dir()]
        identities = _identities(folders)
        trusted = len(folders) == len(wanted) and self._missed < _MISSED_TO_DISTRUST
        self.how = "live" if trusted else "polling"
        yield True  # whatever happened before is no fault of the events
        events = self._events(self._source, folders, self._stop) if trusted else _beats(self._stop)
        while True:
            try:
                told = await anext(events)
            except StopAsyncIteration:
                return
            except OSError:  # a folder that may not be watched can still be looked at
                self.how, trusted, events = "polling", False, _beats(self._stop)
                continue
            yield told
            now_there = [folder for folder in wanted if folder.is_dir()]
            if _identities(now_there) != identities or (trusted and self._missed >= _MISSED_TO_DISTRUST):
                return

    def _stamps(self) -> Stamps:
        return tuple(_stamp(path) for path in self._source.watched_files())


async def _file_events(source: Readable, folders: list[Path], stop: asyncio.Event) -> AsyncIterator[bool]:
    from watchfiles import awatch

    names = _names(source.watched_files())
    async for changes in awatch(
        *folders,
        watch_filter=lambda _change, path: os.path.basename(path) in names,
        debounce=DEBOUNCE_MS,
        step=STEP_MS,
        rust_timeout=NET_MS,
        yield_on_timeout=True,
        recursive=False,
        stop_event=stop,
    ):
        yield bool(changes)


def _names(files: tuple[Path, ...]) -> set[str]:
    return {path.name for path in files} | {os.path.basename(os.path.realpath(path)) for path in files}


async def _beats(stop: asyncio.Event) -> AsyncIterator[bool]:
    while not stop.is_set():
        try:
            await asyncio.wait_for(stop.wait(), POLL_MS / 1000)
        except TimeoutError:
            yield False


def _stamp(path: Path) -> tuple[int, int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    # The change time tells of a changed mode too: a file that became readable has to be read.
    return (status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns)


def _identities(folders: list[Path]) -> list[tuple[int, int]]:
    found = []
    for folder in folders:
        try:
            status = os.stat(folder)
        except OSError:
            continue
        found.append((status.st_dev, status.st_ino))
    return found
