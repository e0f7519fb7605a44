"""Who shares a pool, and how it ends: threads, tasks, processes; with a block, with the interpreter, after a fork."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

import keydeck
from fakes import (
    FakeClock,
    a_home,
    a_pool,
    around,
    in_another_process,
    keys,
    load,
    lock_held,
    until,
    write_store,
)
from keydeck import CredentialPool, load_pool
from keydeck.engine import flusher
from keydeck.engine.events import Failed
from keydeck.engine.file_store import FileStore
from keydeck.engine.files import Disk
from keydeck.engine.ready import Ready

POOL = "openrouter"
ROWS = ("aaa001", "bbb002", "ccc003", "ddd004")


@pytest.fixture
def four(home: Path) -> Path:
    """Return a home with four keys of which the least used is taken."""
    write_store(home, {POOL: keys(*ROWS)})
    (home / "config.yaml").write_text("credential_pool_strategies: {openrouter: least_used}\n")
    return home


def open_pool(home: Path) -> CredentialPool:
    return load_pool(POOL, home=home, around=around(home.parent))


def counts(home: Path) -> list[int]:
    """Return what the rows in auth.json say."""
    return [row["request_count"] for row in load(home)["credential_pool"][POOL]]


# --- in one process ----------------------------------------------------------------------------------------


def test_four_threads_with_twenty_selections_each_are_counted_exactly(four: Path) -> None:
    """Eighty requests, each row its fair share."""
    start = threading.Barrier(4)

    def work() -> None:
        start.wait(10)
        for _ in range(20):
            assert pool.select()

    with open_pool(four) as pool:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert counts(four) == [20, 20, 20, 20]


@pytest.mark.parametrize("directly", [True, False], ids=["in the loop", "in threads"])
async def test_fifty_tasks_with_twenty_selections_each_are_counted_exactly(
    four: Path, directly: bool
) -> None:
    """A pool may be used in the event loop itself, which it never keeps waiting, or through threads."""
    flusher.set_enabled(True)

    async def work() -> None:
        for _ in range(20):
            row = pool.select() if directly else await asyncio.to_thread(pool.select)
            assert row
            await asyncio.sleep(0)
            pool.report_success()

    with open_pool(four) as pool:
        await asyncio.gather(*(work() for _ in range(50)))
    assert counts(four) == [250, 250, 250, 250]


def test_pools_of_one_process_share_counts(four: Path) -> None:
    """Two objects on one home are as good as two processes."""
    with open_pool(four) as one, open_pool(four) as other:
        for pool in (one, other) * 6:
            pool.select()
            pool.flush()
    assert counts(four) == [3, 3, 3, 3]


# --- ends --------------------------------------------------------------------------------------------------


def test_uses_that_are_told_are_counted_and_make_nobody_judge_rows_anew(
    four: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many rows' uses are told at once: whoever picks next must not pay for each; a bench beside them is obeyed."""
    judged: list[int] = []
    judge = Ready._judge

    def noting(ready: Ready, place: int, now: float, ticks: float) -> None:
        judged.append(place)
        judge(ready, place, now, ticks)

    monkeypatch.setattr(Ready, "_judge", noting)
    with a_pool(four) as first, a_pool(four) as second:
        for _ in range(3):  # only who knows how a row stood can tell that nothing else is new
            judged.clear()
            assert {row.id for _ in ROWS if (row := first.select())} == set(ROWS)
            first.flush()
            assert second.select()
        assert judged == []
        assert sum(row.request_count for row in second.entries()) == 15
        first.select()
        first.mark_exhausted_and_rotate(status_code=429)
        first.flush()
        benched = [row.id for row in second.entries() if row.last_status]
        assert len(benched) == 1
        assert {row.id for _ in ROWS if (row := second.select())} == {*ROWS} - {*benched}


def test_the_end_of_the_block_tells_and_writes_everything(four: Path) -> None:
    """Also when an error ends it."""
    with pytest.raises(KeyError), open_pool(four) as pool:
        pool.select()
        raise KeyError
    assert counts(four) == [1, 0, 0, 0]


PICKS = """
import os, sys
from keydeck import load_pool
pool = load_pool("openrouter", home=sys.argv[1])
for _ in range(5):
    pool.select()
"""


@pytest.mark.parametrize("end", ["", "sys.exit(0)", "del pool", "pool.close(); pool.select()"])
def test_the_end_of_the_interpreter_tells_and_writes_everything(four: Path, end: str) -> None:
    """Whoever forgets to close loses no count, whether the pool is still there by then, or not, or used again."""
    in_another_process(f"{PICKS}\n{end}", four)
    assert sum(counts(four)) == (6 if "close" in end else 5)


def test_a_forked_child_and_its_parent_each_tell_what_is_theirs(four: Path) -> None:
    """The child goes on with the pool that it was forked with, and both end as programs do."""
    in_another_process(
        PICKS
        + "child = os.fork()\n"
        + "for _ in range(2 if child else 3):\n    pool.select()\n"
        + "if child:\n    assert os.waitpid(child, 0)[1] == 0\n",
        four,
    )
    assert sum(counts(four)) == 5 + 2 + 3


def test_a_child_that_ends_hard_takes_nothing_of_its_parent_along(four: Path) -> None:
    """What the parent had gathered when it forked is the parent's to tell."""
    in_another_process(
        PICKS + "child = os.fork()\nif not child:\n    os._exit(0)\nos.waitpid(child, 0)\n", four
    )
    assert sum(counts(four)) == 5


def test_closing_waits_for_the_thread_that_is_writing_and_writes_what_it_had_not_seen(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads of one process take turns at the lock of the file; nothing is left for the next program to write."""
    write_store(home, {POOL: keys(*ROWS)})
    writing, closing = threading.Event(), threading.Event()

    class Slow(Disk):
        def replace(self, source: Path, target: Path) -> None:
            writing.set()
            assert closing.wait(10)
            super().replace(source, target)

    pool = a_pool(home, disk=Slow())
    pool.select()
    checkpoint = pool._store.checkpoint
    thread = threading.Thread(target=checkpoint)
    thread.start()
    assert writing.wait(10)
    pool.select()

    def begin(**options: float) -> bool:
        closing.set()
        return checkpoint(**options)

    monkeypatch.setattr(pool._store, "checkpoint", begin)
    pool.close()
    thread.join(10)
    assert counts(home) == [2, 0, 0, 0]


# --- a checkpoint elsewhere --------------------------------------------------------------------------------


class Meanwhile(Disk):
    """A disk on which something happens just before auth.json is looked at."""

    happens: Callable[[], object] | None = None

    def stat(self, path: Path | str) -> os.stat_result:
        if Path(path).name == "auth.json" and self.happens:
            happens, self.happens = self.happens, None
            happens()
        return super().stat(path)


def test_a_checkpoint_in_the_middle_of_a_pick_makes_nobody_read_the_file_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is looked at first, then the journal: whatever is seen there was announced before (rule 7)."""
    write_store(home, {POOL: keys(*ROWS)})
    disk, other = Meanwhile(), FileStore(a_home(home), clock=FakeClock())
    other.snapshot()
    pool = a_pool(home, disk=disk)
    pool.select()
    pool.flush()
    assert other.checkpoint()
    pool.select()
    reads: list[int] = []
    monkeypatch.setattr(pool, "_read", lambda: reads.append(1))
    other.append(Failed(ids=("bbb002",), provider=POOL, code=429))
    disk.happens = other.checkpoint
    assert pool.select()
    assert disk.happens is None
    assert load(home)["credential_pool"][POOL][1]["last_error_code"] == 429
    assert reads == []


# --- a lock that somebody keeps ----------------------------------------------------------------------------

ANSWERS = """
import sys
from keydeck import load_pool
with load_pool("openrouter", home=sys.argv[1]) as pool:
    for _ in sys.stdin:
        print(pool.select().id, flush=True)
"""


@contextmanager
def a_process_that_picks(home: Path) -> Iterator[Callable[[], str]]:
    """Start a process that holds a pool, and give a function that has it pick once."""
    env = {"PYTHONPATH": str(Path(keydeck.__file__).parent.parent), "PATH": os.defpath}
    command = [sys.executable, "-c", ANSWERS, str(home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdin
        assert process.stdout
        asks, answers = process.stdin, process.stdout

        def pick() -> str:
            asks.write(b"\n")
            asks.flush()
            return answers.readline().decode().strip()

        yield pick
        asks.close()
        assert process.wait(20) == 0


def test_while_somebody_keeps_the_lock_all_go_on_and_obey_and_the_rows_catch_up_afterwards(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure reported meanwhile rules at the very next pick of another process, with auth.json as it was."""
    flusher.set_enabled(True)
    write_store(home, {POOL: keys(*ROWS)})
    with a_process_that_picks(home) as other_picks, open_pool(home) as pool:
        assert other_picks() == "aaa001"
        pool.select()
        written: list[bool] = []
        checkpoint = pool._store.checkpoint

        def note() -> bool:
            written.append(checkpoint())
            return written[-1]

        monkeypatch.setattr(pool._store, "checkpoint", note)
        with lock_held(home):
            before = (home / "auth.json").read_bytes()
            for failed, following in pairwise(ROWS):
                current = pool.current()
                assert current
                assert current.id == failed
                pool.mark_exhausted_and_rotate(status_code=402)
                assert other_picks() == following
                assert (home / "auth.json").read_bytes() == before
            until(lambda: len(written) > 1)  # the thread tries again and again, and waits for nobody
            assert not any(written)
            assert other_picks() == "ddd004"
            assert (home / "auth.json").read_bytes() == before
        until(lambda: any(written))
        rows = load(home)["credential_pool"][POOL]
        assert [row["last_error_code"] for row in rows] == [402, 402, 402, None]
    assert sum(counts(home)) == 1 + 4 + 3 + 1
