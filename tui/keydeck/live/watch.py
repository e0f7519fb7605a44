"""`Watch`: a new snapshot whenever a file of the home or its journal changes, however it was changed.

Folders are watched, not files: a replaced file is another file (ux 6.4). A look every two seconds catches what no
event tells; where that happens, events are not to be trusted and looks come more often.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol

from keydeck.engine.snapshot import HomeSnapshot
from keydeck.live.pace import Pace

DEBOUNCE_MS: Final = 60
STEP_MS: Final = 15
NET_MS: Final = 2000
"""How often is looked where events are told."""
POLL_MS: Final = 500
"""How often where they are not."""

_MISSED_TO_DISTRUST: Final = 2
"""So many changes in a row that only a look found, and events are not waited for any more."""
_SEGMENT: Final = "journal-"


class Readable(Protocol):
    """What can be watched: a `Lookout`."""

    def look(self) -> HomeSnapshot:
        """Return what is there now; the same object if nothing changed."""

    def watched_files(self) -> tuple[Path, ...]:
        """Return the files that matter."""

    def watched_folders(self) -> tuple[Path, ...]:
        """Return the folders in which they are replaced."""

    def journal_folders(self) -> tuple[Path, ...]:
        """Return the folders in which journals grow, there or not."""


Events = Callable[[Readable, list[Path], asyncio.Event], AsyncIterator[bool]]
"""Yields True after a change in the folders and False after a while without one, until the stop."""


class Watch:
    """Follows one home until `stop`.

    Args:
        source: what to look at.
        events: what tells of changes; the system, unless it is said otherwise.
        since: the snapshot that is known already; what is there now when omitted.
    """

    def __init__(
        self, source: Readable, *, events: Events | None = None, since: HomeSnapshot | None = None
    ) -> None:
        self._source = source
        self._events = events or _file_events
        self._stop = asyncio.Event()
        self._shown = since or source.look()
        self._pace = Pace()
        self._missed = 0
        self.how = "live"
        """``live`` while events come, ``polling`` where the files must be looked at."""
        self._told = self.how

    def stop(self) -> None:
        """End `snapshots` soon."""
        self._stop.set()

    async def snapshots(self) -> AsyncIterator[HomeSnapshot]:
        """Yield a snapshot after every change, of the files or of `how`, since the one that was known.

        Where only requests were counted, that is told a few times a second; everything else at once.
        """
        # Loading it takes a tenth of a second: keys pressed meanwhile need not wait, nor a change be missed later.
        await asyncio.to_thread(import_module, "watchfiles")
        now = asyncio.get_running_loop().time
        while not self._stop.is_set():
            async for told in self._wake_ups():
                began = now()
                found = await asyncio.to_thread(self._source.look)
                self._missed = 0 if told else self._missed
                self._pace.looked(began, now())
                if found is self._shown and self.how == self._told:
                    continue
                if self.how == self._told and self._pace.may_wait(self._shown, found, now()):
                    continue
                self._missed += told is False and found is not self._shown
                self._told, self._shown = self.how, found
                self._pace.showed(now())
                yield found

    async def _wake_ups(self) -> AsyncIterator[bool | None]:
        """Yield True for an event, False for a look, None where something waits to be shown.

        It ends when another way of watching is due.
        """
        wanted, journals = self._source.watched_folders(), self._source.journal_folders()
        folders = [folder for folder in (*wanted, *journals) if folder.is_dir()]
        identities = _identities(folders)
        trusted = all(folder in folders for folder in wanted) and self._missed < _MISSED_TO_DISTRUST
        self.how = "live" if trusted else "polling"
        events = self._events(self._source, folders, self._stop) if trusted else _beats(self._stop)
        following: asyncio.Future[bool] | None = asyncio.ensure_future(anext(events))
        try:
            await asyncio.sleep(0)  # the events begin
            yield True  # whatever happened before is no fault of theirs
            while True:
                following = following or asyncio.ensure_future(anext(events))
                await self._rest(following)
                if not following.done():
                    yield None
                    continue
                try:
                    told = following.result()
                except StopAsyncIteration:
                    return
                except OSError:  # a folder that may not be watched can still be looked at
                    self.how, trusted, events = "polling", False, _beats(self._stop)
                    continue
                finally:
                    following = None
                yield told
                now_there = [folder for folder in (*wanted, *journals) if folder.is_dir()]
                if _identities(now_there) != identities or (trusted and self._missed >= _MISSED_TO_DISTRUST):
                    return
        finally:
            if following is not None:
                following.cancel()

    async def _rest(self, following: asyncio.Future[bool]) -> None:
        """Wait for an event, or until it is time to show what waits; never look without a breath in between."""
        now = asyncio.get_running_loop().time()
        if (breath := self._pace.breath(now)) > 0:
            await asyncio.sleep(breath)
        await asyncio.wait({following}, timeout=self._pace.wait(asyncio.get_running_loop().time()))


async def _file_events(source: Readable, folders: list[Path], stop: asyncio.Event) -> AsyncIterator[bool]:
    from watchfiles import awatch

    journals = source.journal_folders()
    names = _names((*source.watched_files(), *journals))
    inside = {str(folder) for folder in journals}

    def matters(_change: object, path: str) -> bool:
        folder, name = os.path.split(path)
        return name.startswith(_SEGMENT) if folder in inside else name in names

    async for changes in awatch(
        *folders,
        watch_filter=matters,
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


def _identities(folders: list[Path]) -> list[tuple[int, int]]:
    found = []
    for folder in folders:
        try:
            status = os.stat(folder)
        except OSError:
            continue
        found.append((status.st_dev, status.st_ino))
    return found
