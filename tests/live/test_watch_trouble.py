from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from fakes import a_reader, keys, write_store
from keydeck.engine.lookout import Lookout
from keydeck.live.watch import Readable, Watch


async def forbidden(_source: Readable, _folders: list[Path], _stop: asyncio.Event) -> AsyncIterator[bool]:
    """Refuse as the system does where a folder may not be watched."""
    raise PermissionError(13, "Permission denied")
    yield True


async def test_a_folder_that_may_not_be_watched_is_looked_at(home: Path) -> None:
    """Where the system refuses to tell of events the files are polled, and the view says so."""
    write_store(home, {"openrouter": keys("aaa001")})
    watch = Watch(Lookout(a_reader(home)), events=forbidden)
    snapshots = watch.snapshots()
    first = await asyncio.wait_for(anext(snapshots), 5)
    assert watch.how == "polling"
    assert len(first.pools[0].rows) == 1
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    second = await asyncio.wait_for(anext(snapshots), 5)
    assert len(second.pools[0].rows) == 2
    watch.stop()


async def test_a_changed_mode_is_a_change(home: Path) -> None:
    """A file that may be read again is read again, although its content is the same."""
    path = write_store(home, {"openrouter": keys("aaa001")})
    watch = Watch(Lookout(a_reader(home)), events=forbidden)
    snapshots = watch.snapshots()
    await asyncio.wait_for(anext(snapshots), 5)
    os.chmod(path, 0o640)
    again = await asyncio.wait_for(anext(snapshots), 5)
    assert again.pools[0].rows
    watch.stop()
