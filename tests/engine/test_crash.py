"""A process ends hard at each system call in turn: the home opens, and what was confirmed is there."""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic, time
from typing import Any

import pytest

from crowd import uses_told
from fakes import SYSTEM_CALLS, FakeClock, a_home, a_key, a_pool, around, keys, load, write_store
from keydeck.engine import flusher
from keydeck.engine.credential import Credential
from keydeck.engine.events import Failed
from keydeck.engine.file_store import FileStore
from keydeck.engine.files import Disk
from keydeck.engine.pool import CredentialPool
from keydeck.engine.snapshot import HomeReader

POOL = "openrouter"
EVERY = int(os.environ.get("KEYDECK_CRASH_EVERY", "5"))
"""Every how many calls a process ends here; 1 tries each and takes a minute."""
KILLS = int(os.environ.get("KEYDECK_KILLS", "30"))
"""How many children are killed at random moments; 500 take a minute or two where nothing else runs."""


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


# --- kills at random moments -------------------------------------------------------------------------------


class Doomed:
    """A child that picks, fails, acts and sums up until it is killed, and tells each step by a pipe."""

    def __init__(self, home: Path, pipe: int, number: int, dice: random.Random) -> None:
        flusher.set_enabled(True)
        self.pool = CredentialPool(POOL, HomeReader(a_home(home), around=around(home.parent)))
        self.pipe, self.number, self.dice = pipe, number, dice

    def run(self) -> None:
        steps = (self.fail, self.rename, self.add_or_remove, self.sum_up)
        turn = 0
        while True:
            turn += 1
            if self.dice.random() > 0.01:
                self.use()
            else:
                self.dice.choice(steps)(turn)

    def say(self, *words: object) -> None:
        os.write(self.pipe, (" ".join(map(str, words)) + "\n").encode())

    def use(self) -> None:
        if row := self.pool.select():  # else all of them failed within a moment
            self.say("used", row.id, monotonic())

    def fail(self, turn: int) -> None:
        row = self.pool.current()
        if row:
            name = f"{self.number}.{turn}"
            self.say("begin", "fail", row.id, name)
            over = {"message": name, "reset_at": time() + 0.001}
            following = self.pool.mark_exhausted_and_rotate(status_code=429, error_context=over)
            self.say("done", "fail", row.id, name)
            if following:
                self.say("used", following.id, monotonic())

    def rename(self, turn: int) -> None:
        self.act("rename", "aaa001", f"{self.number}.{turn}")

    def add_or_remove(self, turn: int) -> None:
        added = [row.id for row in self.pool.entries() if row.id.startswith("n")]
        if len(added) < 6:
            self.act("add", f"n{self.number}-{turn}")
        else:
            self.act("remove", added[0])

    def act(self, what: str, row_id: str, label: str = "") -> None:
        self.say("begin", what, row_id, label)
        with self.pool._store.transaction() as change:
            if what == "add":
                change.add_row(POOL, a_key(row_id, priority=9))
            elif what == "remove":
                change.remove_row(POOL, row_id)
            else:
                change.update_row(POOL, row_id, {"label": label})
        self.say("done", what, row_id, label)

    def sum_up(self, turn: int) -> None:
        self.say("begin", "sum_up", "-")
        self.pool._store.checkpoint()
        self.say("done", "sum_up", "-")


@dataclass
class Known:
    """What must be so, by what the killed ones told; `open` is the step of which nobody knows whether it took."""

    rows: set[str] = field(default_factory=lambda: {"aaa001", "bbb002", "ccc003"})
    label: str = "key-aaa001"
    failed: dict[str, str] = field(default_factory=dict)
    uses: int = 0
    missing_s: list[float] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    died_in: Counter[str] = field(default_factory=Counter)

    def take(self, lines: list[str]) -> list[float]:
        """Follow what one of them told; return when it sent its requests."""
        used = []
        for word, *rest in (line.split() for line in lines):
            if word == "used":
                used.append(float(rest[1]))
            elif word == "begin":
                self.open = rest
            else:
                self.open = []
                self._enact(*rest)
        return used

    def _enact(self, what: str, row_id: str, name: str = "") -> None:
        if what == "add":
            self.rows.add(row_id)
        elif what == "remove":
            self.rows.discard(row_id)
        elif what == "rename":
            self.label = name
        elif what == "fail":
            self.failed[row_id] = name

    def check(self, home: Path, used: list[float], killed_at: float) -> None:
        """Open the home afresh: all that was told is there, and of the rest at most what was under way."""
        with a_pool(home) as pool:
            rows = {row.id: row for row in pool.entries()}
        told = {row.id: row.last_error_message for row in rows.values() if row.last_error_message}
        if self.open:
            self.died_in[self.open[0]] += 1
            self._settle(rows, told)
        assert rows.keys() == self.rows
        assert rows["aaa001"].label == self.label
        assert told.items() >= {name: said for name, said in self.failed.items() if name in rows}.items()
        assert all(row.runtime_api_key == f"sk-test-{row.id}-secret" for row in rows.values())
        there, gone = uses_told(home)
        counted = sum(there.values()) + sum(gone.values())
        missing = self.uses + len(used) - counted
        assert -1 <= missing <= len(used)  # one may be counted by the thread before it was said
        self.missing_s.append(killed_at - used[-missing] if missing > 0 else 0.0)
        self.uses = counted

    def _settle(self, rows: Mapping[str, Credential], told: Mapping[str, str]) -> None:
        what, row_id, *name = self.open
        took = {
            "add": row_id in rows,
            "remove": row_id not in rows,
            "rename": [rows["aaa001"].label] == name,
            "fail": [told.get(row_id)] == name,
        }
        if took.get(what):
            self._enact(what, row_id, *name)
        self.open = []


def lines_until_killed(reading: int, child: int, dice: random.Random) -> tuple[list[str], float]:
    """Read what a child tells, kill it at a moment that the dice choose, and return all that it told, and when."""
    steps, lines, said = dice.randrange(1, 6), dice.randrange(1, 1000), b""
    by_step = dice.random() < 0.5
    while (said.count(b"begin") < steps) if by_step else (said.count(b"\n") < lines):
        more = os.read(reading, 1 << 16)
        assert more, "it ended by itself"
        said += more
    for _ in range(dice.randrange(1 << dice.randrange(18))):
        pass
    killed_at = monotonic()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(reading, 1 << 16):
        said += more
    return said.decode().split("\n")[:-1], killed_at


@pytest.mark.timeout(60 + KILLS * 2)
def test_kills_at_any_moment_lose_nothing_that_was_told(home: Path) -> None:
    """Child after child works on one home and is killed: it opens, with every act and failure that was confirmed.

    No use counts twice. What is missing of uses are those since the last beat of the thread that tells them.
    """
    seed = int(os.environ.get("KEYDECK_SEED", "0")) or int.from_bytes(os.urandom(3))
    print(f"KEYDECK_SEED={seed}")
    dice = random.Random(seed)  # noqa: S311 - when to kill
    write_store(home, {POOL: keys("aaa001", "bbb002", "ccc003")})
    (home / "config.yaml").write_text(f"credential_pool_strategies: {{{POOL}: round_robin}}\n")
    with a_pool(home) as pool:
        pool.entries()
    known = Known()
    for number in range(KILLS):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                Doomed(home, writing, number, random.Random(dice.random())).run()  # noqa: S311
            finally:
                os._exit(1)
        os.close(writing)
        dice.random()
        lines, killed_at = lines_until_killed(reading, child, dice)
        os.close(reading)
        known.check(home, known.take(lines), killed_at)
    worst = sorted(known.missing_s, reverse=True)
    print(f"{KILLS} kills, {known.uses:,} uses told, ended within {dict(known.died_in)}")
    print(
        f"missing uses: of the last {[round(each * 1000) for each in worst[:5]]} ms, median {median(worst) * 1000:.0f}"
    )
    assert known.uses > KILLS
