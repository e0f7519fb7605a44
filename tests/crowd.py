"""Processes that select, report and act on one home at once, and what they kept of it to compare with."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from fakes import a_home, a_pool, around, keys, write_store
from keydeck import load_pool
from keydeck.engine import flusher
from keydeck.engine.acts import Operator
from keydeck.engine.errors import LockBusy
from keydeck.engine.file_store import FileStore
from keydeck.engine.pool import CredentialPool
from keydeck.engine.secret import Secret
from keydeck.engine.snapshot import HomeReader

ACTS = ("add", "remove", "rename", "move", "reset")


@dataclass
class Kept:
    """What one worker did, or several together."""

    uses: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    added: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    labels: dict[str, str] = field(default_factory=dict)
    busy: int = 0
    """How often the lock was somebody else's for too long, and the act was tried again."""

    def take(self, other: Kept) -> None:
        """Add what another worker kept."""
        self.uses += other.uses
        self.acts += other.acts
        self.added |= other.added
        self.removed |= other.removed
        self.labels |= other.labels
        self.busy += other.busy


def steady(number: int) -> str:
    """Return the row that nobody removes and that one worker renames and resets."""
    return f"aaaa{number:02x}"


def cooled(number: int) -> str:
    """Return the row that one worker benches for hours, once."""
    return f"cccc{number:02x}"


def removable(number: int) -> list[str]:
    """Return the rows that a worker can remove from the start."""
    return [f"dd{number:02x}{n:02x}" for n in range(3)]


def rows_at_first(workers: int) -> list[str]:
    """Return the rows of the home before anybody works on it."""
    numbers = range(workers)
    return [
        *map(steady, numbers),
        *map(cooled, numbers),
        *(row_id for number in numbers for row_id in removable(number)),
    ]


class Worker:
    """Selects, reports and acts, and keeps what it did."""

    def __init__(self, home: Path, number: int) -> None:
        self.number = number
        self.dice = random.Random(number)  # noqa: S311 - which act comes next
        self.pool = load_pool("openrouter", home=home, around=around(home.parent))
        self.operator = Operator(HomeReader(a_home(home), around=around(home.parent)), timeout_s=0.2)
        self.mine = removable(number)
        self.kept = Kept()

    def run(self, operations: int) -> Kept:
        """Do so many things, of which 97 in a hundred are requests; remove as many rows as it adds."""
        kept = self.kept
        with self.pool:
            for turn in range(operations):
                if turn == operations // 2:
                    self.cool()
                if self.dice.random() < 0.97:
                    self.request()
                else:
                    self.act(self.dice.choice(ACTS))
            while len(kept.removed) != len(kept.added):
                self.act("remove" if len(kept.removed) < len(kept.added) else "add")
        return kept

    def request(self) -> None:
        row = self.pool.select()
        if row is None:
            return
        self.kept.uses[row.id] += 1
        if row.id.startswith(("cccc", "eeee")) or self.dice.random() > 0.02:
            self.pool.report_success()
        else:
            self.fail({"reset_at": time.time() + 0.01}, code=429)

    def cool(self) -> None:
        """Bench a row; whoever was granted it before and reports a success later must not end that."""
        key = f"sk-test-{cooled(self.number)}-secret"
        self.fail({"reset_at": time.time() + 7200}, code=402, key=key)

    def fail(self, context: dict[str, float], *, code: int, key: str | None = None) -> None:
        following = self.pool.mark_exhausted_and_rotate(
            status_code=code, error_context=context, api_key_hint=key
        )
        if following:
            self.kept.uses[following.id] += 1

    def act(self, what: str) -> None:
        what = "add" if what == "remove" and not self.mine else what
        for _ in range(500):
            try:
                getattr(self, what)()
            except LockBusy:
                self.kept.busy += 1
                continue
            self.kept.acts[what] += 1
            return
        raise AssertionError(f"no lock in 500 tries to {what}")

    def add(self) -> None:
        name = f"{self.number}-{len(self.kept.added)}"
        secret = Secret(f"sk-new-{name}-{self.dice.random()}")
        row_id = self.operator.add_key("openrouter", secret, label=f"new {name}").credential_id
        assert row_id
        self.kept.added.add(row_id)
        self.mine.append(row_id)

    def remove(self) -> None:
        chosen = self.dice.choice(self.mine)
        self.operator.remove("openrouter", chosen)
        self.mine.remove(chosen)
        self.kept.removed.add(chosen)

    def rename(self) -> None:
        row_id, label = steady(self.number), f"row of {self.number}, {self.kept.acts['rename']}"
        self.operator.edit("openrouter", row_id, label=label)
        self.kept.labels[row_id] = label

    def move(self) -> None:
        self.operator.move("openrouter", steady(self.number), self.dice.randrange(8))

    def reset(self) -> None:
        self.operator.reset("openrouter", steady(self.number))


def work(home: Path, number: int, operations: int) -> Kept:
    """Be one of the crowd."""
    return Worker(home, number).run(operations)


def five_uses(home: Path) -> None:
    """Be a process that uses a pool and ends without closing it."""
    flusher.set_enabled(True)
    pool = a_pool(home)
    for _ in range(5):
        pool.select()


@contextmanager
def a_crowd(
    home: Path, workers: int, operations: int, *more: str
) -> Iterator[tuple[Kept, Callable[[], bool]]]:
    """Let processes work on a new home while the block runs; afterwards they are done, and it is known what they did.

    The block is given what they will have kept, and how to ask whether all of them are done.

    Args:
        home: it is made here.
        workers: how many processes.
        operations: how much each does.
        more: ids of rows that are there besides theirs; on ``eeee..`` none of them reports a failure.
    """
    write_store(home, {"openrouter": keys(*rows_at_first(workers), *more)})
    (home / "config.yaml").write_text("credential_pool_strategies: {openrouter: random}\n")
    kept = Kept()
    with get_context("spawn").Pool(workers) as pool:
        running = pool.starmap_async(work, [(home, number, operations) for number in range(workers)])
        yield kept, running.ready
        for one in running.get():
            kept.take(one)
    print(f"{kept.uses.total():,} uses, {dict(kept.acts)}, lock busy {kept.busy} times")


def uses_told(home: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Return the uses that the journal tells of, by row: of rows that are there, and of removed ones."""
    store = FileStore(a_home(home))
    store.snapshot()
    ledger = store._books.ledger
    store.close()
    there = {row_id: facts.used for row_id, facts in ledger.rows.items()}
    return there, {row_id: tomb.facts.used for row_id, tomb in ledger.tombs.items()}


def check_nothing_is_lost(home: Path, kept: Kept, shown: dict[str, int]) -> None:
    """Compare what the workers kept with the counts that are shown, and with those that the journal tells of."""
    assert shown == {row_id: kept.uses[row_id] for row_id in shown}
    there, gone = uses_told(home)
    assert {**there, **gone} == {row_id: kept.uses[row_id] for row_id in (*there, *gone)}
    assert sum(there.values()) + sum(gone.values()) == kept.uses.total()


# --- who only picks ----------------------------------------------------------------------------------------


def pick_many(home: Path, picks: int, sessions: Sequence[str] = ()) -> dict[str | None, Counter[str]]:
    """Be a process that picks and reports, for its sessions in turn; return its picks by session and row."""
    flusher.set_enabled(True)
    taken: dict[str | None, Counter[str]] = {}
    with load_pool("openrouter", home=home, around=around(home.parent)) as pool:
        for turn in range(picks):
            session = sessions[turn % len(sessions)] if sessions else None
            row = pool.select(session=session)
            assert row
            taken.setdefault(session, Counter())[row.id] += 1
            pool.report_success()
    return taken


def picks_of_many(
    home: Path, workers: int, picks: int, sessions: Sequence[str] = ()
) -> list[dict[str | None, Counter[str]]]:
    """Let processes pick at once, and return what each did."""
    with get_context("spawn").Pool(workers) as pool:
        return pool.starmap(pick_many, [(home, picks, sessions)] * workers)


# --- who leases --------------------------------------------------------------------------------------------


def lease_one(home: Path, start: Barrier, held: Barrier, taken: Queue[str | None]) -> None:
    """Be a process that leases a row at the same instant as others, and fails while it holds it."""
    with suppress(ZeroDivisionError), load_pool("openrouter", home=home, around=around(home.parent)) as pool:
        start.wait(30)
        with pool.lease() as lease:
            taken.put(lease.credential.id if lease else None)
            held.wait(30)
            raise ZeroDivisionError


def lease_for_ever(home: Path, ttl_s: float, taken: Queue[str | None]) -> None:
    """Be a process that holds a row until it is killed."""
    pool = load_pool("openrouter", home=home, around=around(home.parent))
    with pool.lease(at_most=1, ttl_s=ttl_s) as lease:
        taken.put(lease.credential.id if lease else None)
        signal.pause()


def lease_alone(home: Path, times: int) -> tuple[int, int]:
    """Be a process that holds the only row again and again; return how often, and how often it was not alone."""
    reader = HomeReader(a_home(home), around=around(home.parent))
    witness, done, others = home.parent / "witness", 0, 0
    with CredentialPool("openrouter", reader, sleep=lambda _: os.sched_yield()) as pool:
        while done < times:
            with pool.lease(at_most=1, wait=30) as lease:
                if lease is None:
                    continue
                try:
                    os.close(os.open(witness, os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    others += 1
                else:
                    witness.unlink()
                done += 1
    return done, others


def lease_alone_by_many(home: Path, workers: int, times: int) -> list[tuple[int, int]]:
    """Let processes hold the only row in turn."""
    with get_context("spawn").Pool(workers) as pool:
        return pool.starmap(lease_alone, [(home, times)] * workers)


# --- who tries a row that has just cooled ------------------------------------------------------------------


def pick_one(home: Path, start: Barrier, taken: Queue[str | None]) -> None:
    """Be a process that selects once, at the same instant as others."""
    with load_pool("openrouter", home=home, around=around(home.parent)) as pool:
        start.wait(60)
        row = pool.select()
        taken.put(row.id if row else None)


def probe_of_many(home: Path, workers: int) -> list[str]:
    """Let processes select at once, just after the cooldown of a row has ended; return what they got."""
    context = get_context("spawn")
    start, taken = context.Barrier(workers + 1), context.Queue()
    crowd = [context.Process(target=pick_one, args=(home, start, taken)) for _ in range(workers)]
    for process in crowd:
        process.start()
    with load_pool("openrouter", home=home, around=around(home.parent)) as pool:
        ended = {"reset_at": time.time() + 0.001}
        pool.report_failure(status_code=429, credential_id="aaa001", error_context=ended)
    start.wait(60)
    found = [taken.get(timeout=60) or "" for _ in crowd]
    for process in crowd:
        process.join(60)
    return found
