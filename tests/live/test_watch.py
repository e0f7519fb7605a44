from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from fakes import NOW, a_pool, a_reader, keys, tree, write_store
from keydeck.engine.credential import Credential
from keydeck.engine.journal import header
from keydeck.engine.lookout import Lookout
from keydeck.engine.pool import CredentialPool
from keydeck.engine.snapshot import HomeSnapshot
from keydeck.live.watch import Watch


class Shown:
    """What a watch showed, newest last."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.snapshots: list[HomeSnapshot] = []
        self._came = asyncio.Event()

    async def follow(self) -> None:
        async for snapshot in self.watch.snapshots():
            self.snapshots.append(snapshot)
            self._came.set()

    async def until(self, wanted: int, *, benched: bool = False) -> None:
        """Wait until the counts of all keys sum up to this; with `benched`, until a key is out."""
        async with asyncio.timeout(5):
            while not any(_uses(each) == wanted and (not benched or _out(each)) for each in self.snapshots):
                self._came.clear()
                await self._came.wait()


def _rows(snapshot: HomeSnapshot) -> list[Credential]:
    return [row for pool in snapshot.pools for row in pool.rows if isinstance(row, Credential)]


def _uses(snapshot: HomeSnapshot) -> int:
    return sum(row.request_count for row in _rows(snapshot))


def _out(snapshot: HomeSnapshot) -> bool:
    return any(row.last_status == "exhausted" for row in _rows(snapshot))


@asynccontextmanager
async def shown(home: Path) -> AsyncIterator[Shown]:
    """Watch a home with the system's own events for the block; everything shown was told, none only looked for."""
    found = Shown(Watch(Lookout(a_reader(home))))
    task = asyncio.create_task(found.follow())
    try:
        yield found
        assert found.watch.how == "live"
    finally:
        found.watch.stop()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def uses(home: Path, number: int) -> CredentialPool:
    """Have an agent send requests."""
    pool = a_pool(home)
    for _ in range(number):
        pool.select()
    pool._store.flush()
    return pool


@pytest.fixture
def store(home: Path) -> Path:
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    return home


async def test_the_first_thing_an_agent_tells_is_shown(store: Path) -> None:
    """The journal's folder was not there when the watching began; what follows in it is shown too."""
    async with shown(store) as seen:
        uses(store, 3)
        await seen.until(3)
        uses(store, 4)
        await seen.until(7)


async def test_a_bench_is_shown(store: Path) -> None:
    """A failure that was told in the journal, with auth.json untouched."""
    uses(store, 1)
    before = (store / "auth.json").read_bytes()
    async with shown(store) as seen:
        pool = a_pool(store)
        pool.select()
        pool.mark_exhausted_and_rotate(status_code=429)
        pool._store.flush()
        await seen.until(3, benched=True)
    assert (store / "auth.json").read_bytes() == before


async def test_the_journal_is_followed_into_its_next_segment(store: Path) -> None:
    """What is told behind the seal is shown like the rest."""
    uses(store, 1)
    async with shown(store) as seen:
        pool = a_pool(store)
        pool.select()
        pool._store.flush()
        await seen.until(2)
        pool._store._books.journal.rotate(header("", "writer", NOW, 1))  # type: ignore[attr-defined]
        uses(store, 5)
        await seen.until(7)


async def test_a_journal_that_is_taken_away_and_begun_again_is_followed(store: Path) -> None:
    """An agent that had it open writes all it knows anew, into another folder of the same name."""
    agent = uses(store, 2)
    async with shown(store) as seen:
        uses(store, 1)
        await seen.until(3)
        shutil.rmtree(store / "keydeck")
        agent.select()
        agent._store.flush()
        assert agent._store.checkpoint()
        await seen.until(4)
        agent.select()
        agent._store.flush()
        await seen.until(5)


async def test_watching_agents_at_work_writes_nothing(store: Path) -> None:
    """Nothing beside what the agents write themselves: no checkpoint, no segment, no lock."""
    uses(store, 1)
    async with shown(store) as seen:
        uses(store, 3)
        await seen.until(4)
        before = tree(store)
        await asyncio.to_thread(seen.watch._source.look)
    assert tree(store) == before
