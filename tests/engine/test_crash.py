"""A process ends hard at each system call in turn: the home opens, and what was confirmed is there."""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fakes import SYSTEM_CALLS, FakeClock, a_home, a_key, a_pool, keys, load, write_store
from keydeck.engine.events import Failed
from keydeck.engine.file_store import FileStore
from keydeck.engine.files import Disk

POOL = "openrouter"
EVERY = int(os.environ.get("KEYDECK_CRASH_EVERY", "5"))
"""Every how many calls a process ends here; 1 tries each and takes a minute."""
KILLS = int(os.environ.get("KEYDECK_KILLS", "40"))


class CrashingDisk(Disk):
    """A disk at whose n-th call the process ends, before or in the middle of the call.

    Args:
        at: the number of the call; 0 for never.
        drops: whether what was written and not synced is lost, as when the power fails.
    """

    def __init__(self, at: int = 0, *, drops: bool = False) -> None:
        self.at = at
        self.drops = drops
        self.calls: list[str] = []
        self.synced: dict[int, int] = {}

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return functools.partial(self._call, name, found) if name in SYSTEM_CALLS else found

    def _call(self, name: str, real: Callable[..., Any], *args: Any) -> Any:
        self.calls.append(name)
        if len(self.calls) == self.at:
            self._end(name, args)
        answer = real(*args)
        if name in ("open_new", "open_append"):
            self.synced[answer] = os.fstat(answer).st_size
        elif name == "fsync":
            self.synced[args[0]] = os.fstat(args[0]).st_size
        elif name == "close":
            self.synced.pop(args[0], None)
        return answer

    def _end(self, name: str, args: tuple[Any, ...]) -> None:
        if name == "write" and not self.drops:
            os.write(args[0], args[1][: len(args[1]) // 2])
        if self.drops:
            for fd, size in self.synced.items():
                with suppress(OSError):
                    os.ftruncate(fd, min(size, os.fstat(fd).st_size))
        os._exit(0)


def live(home: Path, disk: Disk, confirm: Callable[[str], None]) -> None:
    """Use, fail, sum up, act, rotate; confirm each step once it has returned."""
    store = FileStore(a_home(home), disk=disk, clock=FakeClock())
    store.snapshot()
    confirm("opened")
    for number in range(3):
        store.count("aaa001")
        store.flush()
        confirm(f"used {number}")
    store.append(Failed(ids=("bbb002",), provider=POOL, code=429))
    confirm("failed")
    store.checkpoint()
    confirm("summed up")
    with store.transaction() as change:
        change.add_row(POOL, a_key("ccc003", priority=5))
        change.remove_row(POOL, "ddd004")
        change.update_row(POOL, "aaa001", {"label": "renamed"})
    confirm("acted")
    store._books._rotate()
    store.count("aaa001", 2)
    store.flush()
    confirm("used after the rotation")
    store.append(Failed(ids=("ccc003",), provider=POOL, code=402))
    confirm("failed again")
    store.checkpoint()
    confirm("summed up again")
    os._exit(0)


def all_calls() -> list[str]:
    """Return the calls of a life that nothing ends."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        write_store(home, {POOL: keys("aaa001", "bbb002", "ddd004")})
        disk, path = CrashingDisk(), Path(folder) / "calls"

        def write_calls(step: str) -> None:
            if step == "summed up again":
                path.write_text(json.dumps(disk.calls))

        _in_child(lambda: live(home, disk, write_calls))
        calls: list[str] = json.loads(path.read_text())
        return calls


def _in_child(life: Callable[[], None]) -> None:
    child = os.fork()
    if child == 0:
        try:
            life()
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def lives(drops: bool) -> Iterator[tuple[int, str, set[str], Path]]:
    """Yield, for each call, its number and name, the steps that were confirmed before it, and the home it left."""
    for at, name in list(enumerate(all_calls(), 1))[drops::EVERY]:
        folder = Path(tempfile.mkdtemp())
        home = folder / "home"
        write_store(home, {POOL: keys("aaa001", "bbb002", "ddd004")})
        reading, writing = os.pipe()
        disk = CrashingDisk(at, drops=drops)
        _in_child(functools.partial(live, home, disk, functools.partial(_confirm, writing)))
        os.close(writing)
        with os.fdopen(reading) as told:
            yield at, name, set(told.read().splitlines()), home
        shutil.rmtree(folder)


def _confirm(pipe: int, step: str) -> None:
    os.write(pipe, f"{step}\n".encode())


@pytest.mark.timeout(240)
@pytest.mark.parametrize("drops", [False, True], ids=["killed", "power lost"])
def test_whichever_call_a_process_ends_at_nothing_confirmed_is_lost(drops: bool) -> None:
    """Rows, secrets and acts are there; no use counts twice; a kill loses nothing that was told."""
    tried = 0
    for at, name, confirmed, home in lives(drops):
        where = f"ended at call {at}, {name}, after {sorted(confirmed)}"
        for look in ("at once", "after the next checkpoint"):
            check(home, confirmed, drops=drops, where=f"{where}; {look}")
            store = FileStore(a_home(home), clock=FakeClock())
            store.snapshot()
            assert store.checkpoint(), where
            store.close()
        assert not list(home.rglob("*.jsonl.tmp*"))
        tried += 1
    assert tried * EVERY > 100


def check(home: Path, confirmed: set[str], *, drops: bool, where: str) -> None:
    pool = a_pool(home)
    rows = {row.id: row for row in pool.entries()}
    acted = "acted" in confirmed
    assert rows.keys() >= {"aaa001", "bbb002"}, where
    assert not acted or rows.keys() == {"aaa001", "bbb002", "ccc003"}, where
    assert not acted or rows["aaa001"].label == "renamed", where
    assert all(row.runtime_api_key == f"sk-test-{row.id}-secret" for row in rows.values()), where
    steps = [f"used {number}" for number in range(3)]
    least = sum(step in confirmed for step in steps) + 2 * ("used after the rotation" in confirmed)
    most = 5 if "acted" in confirmed else 3
    used = rows["aaa001"].request_count
    assert used <= most, where
    assert drops or used >= least, where
    if not drops or "summed up" in confirmed:
        assert "failed" not in confirmed or rows["bbb002"].last_error_code == 429, where
    if not drops:
        assert "failed again" not in confirmed or rows["ccc003"].last_error_code == 402, where
    if "summed up again" in confirmed:
        assert used == 5, where
    assert set(load(home)["credential_pool"]) == {POOL}, where
    pool.close()


def work_until_killed(home: Path, pipe: int, seed: int) -> None:
    """Pick, tell and act for ever; say what was done after each step."""
    dice = random.Random(seed)  # noqa: S311 - which step comes next
    pool, number = a_pool(home), 0
    store = pool._store
    while True:
        number += 1
        step = dice.choice(("use", "use", "use", "fail", "sum up", "act"))
        if step == "use":
            row = pool.select()
            pool.flush()
            step = f"use {row.id}" if row else "nothing"
        elif step == "fail":
            pool.mark_exhausted_and_rotate(status_code=429, error_context={"reset_at": 0})
        elif step == "sum up":
            store.checkpoint()
        else:
            with store.transaction() as change:
                change.add_row(POOL, a_key(step := f"{seed % 1000:03d}{number:03d}", priority=number))
            step = f"add {step}"
        os.write(pipe, f"{step}\n".encode())


@pytest.mark.timeout(240)
def test_kills_at_any_moment_lose_nothing_that_was_told(home: Path) -> None:
    """Child after child works on one home and is killed: every told use and every added row is there."""
    seed = int(os.environ.get("KEYDECK_SEED", "0")) or int.from_bytes(os.urandom(3))
    print(f"KEYDECK_SEED={seed}")
    dice = random.Random(seed)  # noqa: S311 - when to kill
    write_store(home, {POOL: keys("aaa001", "bbb002")})
    told: list[str] = []
    for _ in range(KILLS):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            work_until_killed(home, writing, dice.randrange(1 << 20))
        os.close(writing)
        dice.random()
        with os.fdopen(reading) as steps:
            told += [steps.readline().strip() for _ in range(dice.randrange(1, 12))]
            for _ in range(dice.randrange(20_000)):
                pass
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            told += [line.strip() for line in steps]
    rows = {row.id: row for row in a_pool(home).entries()}
    added = {step.split()[1] for step in told if step.startswith("add")}
    assert added <= rows.keys()
    assert len(rows.keys() - added - {"aaa001", "bbb002"}) <= KILLS  # done, and killed before it was said
    assert all(row.runtime_api_key == f"sk-test-{row.id}-secret" for row in rows.values())
    uses = sum(step.startswith("use") for step in told)
    counted = sum(row.request_count for row in rows.values())
    rotated = sum(step == "fail" for step in told)
    assert uses <= counted <= uses + rotated + KILLS
