"""Picking, reporting, opening and summing up beside hermes-agent 0.19.0: ``pytest -m bench -s tests/bench/test_pick.py``.

Nothing is asserted about time. Each measurement runs in a process of its own, as an agent would; of what is compared with
hermes the best of a few runs counts.
"""

from __future__ import annotations

import fcntl
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bench_runs import HERMES, OURS, THEIRS, Table, a_big_home, child, in_turn, printed, start
from keydeck import load_pool
from keydeck.engine.file_store import FileStore
from keydeck.engine.home import locate_home
from keydeck.engine.journal import SEGMENT_BYTES

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

STRATEGIES = ("fill_first", "round_robin", "least_used", "random", "sticky")
PICKS = 20_000
HISTORY_BYTES = 64 << 20
MICRO = 1e6
WALL, BUSY, OWN = "time.perf_counter", "time.process_time", "time.thread_time"
"""On a busy machine the second tells what the first would be on one that is not, and the third of one thread alone."""
_TABLE = Table()


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[Table]:
    """Print all results together at the end."""
    with printed(_TABLE):
        yield _TABLE


MEASURE = """
import json, statistics, sys, time, yaml
{load}

def each(do, times, most_s=20.0, clock=time.perf_counter):
    spent, until = [], time.perf_counter() + most_s
    while len(spent) < times and time.perf_counter() < until:
        began = clock()
        do()
        spent.append(clock() - began)
    return spent

pool = load_pool("openrouter")
report = getattr(pool, "report_success", None)  # hermes has nothing to say of a success
{code}
print(json.dumps({{"s": statistics.median(spent), "worst": max(spent)}}))
"""

PICK = """
def pick():
    pool.select()
    if report:
        report()

pool.select()
spent = each(pick, {times}, {most_s}, clock={clock})
"""
FAIL = """
spent, until = [], time.perf_counter() + 8
while len(spent) < {times} and time.perf_counter() < until:
    if not pool.select():
        pool.reset_statuses()
        assert pool.select()
    context = {{"reason": "rate_limit", "message": "slow down", "reset_at": time.time() + 3600}}
    began = {clock}()
    pool.mark_exhausted_and_rotate(status_code=429, error_context=context)
    spent.append({clock}() - began)
"""
"""Whenever all rows are out they are reset, which is not measured."""


def both(
    home: Path, rows: int, code: str, strategy: str = "fill_first", runs: int = 3
) -> tuple[float, float | None]:
    """Return the median seconds of ours and of hermes', each on a home of its own, of the best run."""
    here = a_big_home(home, rows, strategy)
    there = a_big_home(home.with_name("hermes"), rows, strategy)
    ours, theirs = MEASURE.format(load=OURS, code=code), MEASURE.format(load=THEIRS, code=code)
    return in_turn((ours, here), (theirs, there), runs=runs)


@pytest.mark.parametrize("rows", [2, 10, 1000, 10_000])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_pick(home: Path, table: Table, strategy: str, rows: int) -> None:
    """Selecting and reporting, with the background thread running; hermes has neither sticky nor a report."""
    code = PICK.format(times=PICKS, most_s=1.0, clock=WALL)
    ours, theirs = both(home, rows, code, strategy)
    theirs = theirs if strategy != "sticky" else None
    note = "<- where hermes looks at a few rows and at no file" if theirs and theirs <= ours else ""
    target = "10 µs" if rows <= 10 else "2 x that at 10"
    what = f"select and report, {strategy}, {rows:,} rows"
    table.beside(what, ours, target, theirs, note)


@pytest.mark.parametrize("rows", [10, 1000])
def test_a_failure(home: Path, table: Table, rows: int) -> None:
    """Reporting a failure and getting the next row."""
    ours, theirs = both(home, rows, FAIL.format(times=400, clock=WALL), runs=5)
    table.beside(f"a failure and the next row, {rows:,} rows", ours, "60 µs", theirs)


# --- several processes -------------------------------------------------------------------------------------

WORK = """
import json, sys, time, yaml
{load}
pool = load_pool("openrouter")
for _ in range({warm}):
    pool.select()
print("warm", flush=True)
sys.stdin.readline()
until, picks = time.perf_counter() + {seconds}, 0
began, busy = time.perf_counter(), time.process_time()
while time.perf_counter() < until:
    for _ in range({batch}):
        pool.select()
    picks += {batch}
spent, busy = time.perf_counter() - began, time.process_time() - busy
if hasattr(pool, "close"):
    pool.close()
print(json.dumps({{"picks": picks, "rate": picks / spent, "busy": busy}}))
"""


class Crowd(NamedTuple):
    """What eight processes did together."""

    rate: float
    """Picks a second."""
    undisturbed: float
    """The same with every core theirs: picks by the processor time that they took."""
    picks: int


def crowd(home: Path, load: str, python: str, *, warm: int, batch: int) -> Crowd:
    """Let eight processes pick for two seconds from a common start, once all are warm."""
    code = WORK.format(load=load, warm=warm, batch=batch, seconds=2.0)
    workers = [start(code, home, python) for _ in range(8)]
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == "warm\n"
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("\n")
        worker.stdin.flush()
    said = [json.loads(worker.communicate()[0]) for worker in workers]
    rate, busy, picks = (sum(each[name] for each in said) for name in ("rate", "busy", "picks"))
    return Crowd(rate, picks / busy * (os.cpu_count() or 1), picks + 8 * warm)


@pytest.mark.parametrize("strategy", ["fill_first", "least_used"])
def test_eight_processes(home: Path, table: Table, strategy: str) -> None:
    """Picks of eight processes together once all are warm, and how many of them are not in the file at the end."""
    ours = crowd(a_big_home(home, 10, strategy), OURS, sys.executable, warm=2000, batch=100)
    lost = f"{ours.picks - counted(home):,} of {ours.picks:,} lost"
    theirs = ""
    if HERMES:
        there = a_big_home(home.with_name("hermes"), 10, strategy)
        other = crowd(there, THEIRS, HERMES, warm=2, batch=1)
        share = (
            f", {1 - counted(there) / other.picks:.0%} lost" if strategy == "least_used" else ", uncounted"
        )
        theirs = f"hermes {other.rate:,.0f}/s ({other.undisturbed:,.0f}){share}"
    what = f"8 processes on {os.cpu_count()} cores, {strategy} (undisturbed)"
    told = f"{ours.rate:,.0f}/s ({ours.undisturbed:,.0f})"
    table.say(what, told, "100,000/s, 0 lost", f"{lost}; {theirs}")


def counted(home: Path) -> int:
    """Return the requests that auth.json tells of."""
    document = json.loads((home / "auth.json").read_text())
    return sum(row["request_count"] for row in document["credential_pool"]["openrouter"])


SPOIL = """
import time, yaml
from keydeck import load_pool
from keydeck.engine import flusher
flusher.set_enabled(False)
pool = load_pool("openrouter")
print("warm", flush=True)
while True:
    pool.select()
    pool.mark_exhausted_and_rotate(status_code=429, error_context={"reset_at": time.time() + 5})
    pool._store.checkpoint()
"""


WORST = """
spent, until = [], time.perf_counter() + 4
pool.select()
worst = busiest = 0.0
while (began := time.perf_counter()) < until:
    busy = time.thread_time()
    pool.select()
    busiest = max(busiest, time.thread_time() - busy)
    worst = max(worst, time.perf_counter() - began)
spent = [worst, busiest]
"""


def test_picks_while_others_write(home: Path, table: Table) -> None:
    """The worst pick while another process benches a row and writes a checkpoint of 1,000 rows, again and again.

    Of the time on the wall a busy machine takes its part: the processor time is what the pick itself needed.
    """
    code = MEASURE.format(load=OURS, code=WORST).replace('"s": statistics.median(spent)', '"busy": spent[1]')
    a_big_home(home, 1000)
    with load_pool("openrouter", home=home) as pool:
        pool.select()
    alone = child(code, home)
    writer = start(SPOIL, home)
    assert writer.stdout
    assert writer.stdout.readline() == "warm\n"
    beside = child(code, home)
    writer.kill()
    writer.communicate()
    for what, told in (("beside checkpoints of 1,000 rows", beside), ("with nobody else at work", alone)):
        spent = f"{told['worst'] * 1000:.1f} ms ({told['busy'] * 1000:.1f} busy)"
        table.say(f"the worst pick in 4 s {what}", spent, "20 ms")


def test_picks_while_the_lock_is_held(home: Path, table: Table) -> None:
    """Selecting, reporting and failing while somebody keeps auth.lock."""
    a_big_home(home, 1000)
    with (home / "auth.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = {
            (what, clock): child(
                MEASURE.format(load=OURS, code=code.format(times=times, most_s=3.0, clock=clock)), home
            )
            for what, code, times in (
                ("select and report", PICK, PICKS),
                ("a failure and the next row", FAIL, 400),
            )
            for clock in (WALL, OWN)
        }
    for what in dict.fromkeys(what for what, _ in told):
        waited, busy = told[what, WALL], told[what, OWN]
        worst = f"worst {waited['worst'] * MICRO:,.0f} ({busy['worst'] * MICRO:,.0f} busy)"
        table.say(f"{what}, auth.lock held", f"{waited['s'] * MICRO:.1f} µs, {worst}", "1 ms")


def test_how_soon_others_know(home: Path, table: Table) -> None:
    """The pick of another pool that folds in a failure which was just reported, and obeys it."""
    a_big_home(home, 1000)
    with load_pool("openrouter", home=home) as first, load_pool("openrouter", home=home) as second:
        spent = []
        for _ in range(300):
            failed = first.current() or first.select()
            first.mark_exhausted_and_rotate(status_code=429)
            began = time.perf_counter()
            obeyed = second.select()
            spent.append(time.perf_counter() - began)
            assert failed
            assert obeyed
            assert obeyed.id != failed.id
    table.say(
        "the pick that learns of another's failure", f"{statistics.median(spent) * MICRO:.1f} µs", "at once"
    )


# --- opening and summing up --------------------------------------------------------------------------------


OPEN = """
spent = each(lambda: load_pool("openrouter"), 15, clock={clock})
"""


def fill_history(home: Path, size: int) -> None:
    """Tell uses of all rows until the journal is that long, and sum it up as whoever runs does."""
    store = FileStore(locate_home(home))
    ids = [row.id for row in store.snapshot().pools["openrouter"]]
    told = 0
    while told < size:
        for batch in range(0, len(ids), 250):
            for row_id in ids[batch : batch + 250]:
                store.count(row_id)
            store.flush()
        if store._books.bytes_since_checkpoint() >= SEGMENT_BYTES // 4:
            told = sum(path.stat().st_size for path in (home / "keydeck").glob("journal-*"))
    store.checkpoint()
    store.close()


@pytest.mark.parametrize("history", [0, HISTORY_BYTES])
def test_opening(home: Path, table: Table, history: int) -> None:
    """Opening a pool of 1,000 rows, each of them used, with yaml loaded."""
    a_big_home(home, 1000)
    fill_history(home, history or 1)
    fill_history(home, 1)
    for clock, what in ((WALL, ""), (BUSY, ", processor time")):
        code = OPEN.format(clock=clock)
        mine, other = MEASURE.format(load=OURS, code=code), MEASURE.format(load=THEIRS, code=code)
        ours, theirs = in_turn((mine, home), (other, home))
        table.beside(f"open 1,000 rows, {history >> 20} MiB of history{what}", ours, "20 ms", theirs)


SUM_UP = """
from keydeck.engine import flusher
flusher.set_enabled(False)

def change_and_write():
    {change}
    began = {clock}()
    assert pool._store.checkpoint()
    return {clock}() - began

spent = [change_and_write() for _ in range(15)]
"""
THEIR_WRITE = """
spent = each(pool._persist, 15, clock={clock})
"""


def test_summing_up(home: Path, table: Table) -> None:
    """A checkpoint of 1,000 rows: of counts alone, and with the rows; beside hermes' write of its rows."""
    a_big_home(home, 1000)
    fill_history(home, 1)
    counts = "pool.select()"
    health = 'pool.select(); pool.mark_exhausted_and_rotate(status_code=429, error_context={"reset_at": 0})'
    there = a_big_home(home.with_name("hermes"), 1000)
    for clock, how in ((WALL, ""), (BUSY, ", processor time")):
        write, theirs = THEIR_WRITE.format(clock=clock), None
        if HERMES:
            theirs = child(MEASURE.format(load=THEIRS, code=write), there, HERMES)["s"]
        for what, change in (("a use", counts), ("a failure", health)):
            code = SUM_UP.format(change=change, clock=clock)
            ours = child(MEASURE.format(load=OURS, code=code), home)["s"]
            table.beside(f"checkpoint of 1,000 rows after {what}{how}", ours, "-", theirs)


IMPORT = """
import json, os, time
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
before, began = resident(), {clock}()
import {module}
print(json.dumps({{"s": {clock}() - began, "mb": (resident() - before) / 1e6}}))
"""


def test_import(home: Path, table: Table) -> None:
    """Importing the engine, beside hermes' pool module."""
    home.mkdir()
    for clock, how in ((WALL, ""), (BUSY, ", processor time")):
        code = IMPORT.format(module="keydeck.engine", clock=clock)
        memory = child(code, home)["mb"]
        other = IMPORT.format(module="agent.credential_pool", clock=clock)
        ours, theirs = in_turn((code, home), (other, home), runs=7)
        table.beside(f"import keydeck.engine, +{memory:.0f} MB{how}", ours, "60 ms, 15 MB", theirs)
