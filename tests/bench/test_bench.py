"""Measurements beside hermes-agent 0.19.0, printed: ``pytest -m bench -s``. They assert nothing about time.

KEYDECK_HERMES names the python of an environment with hermes-agent; without it only our own numbers are shown.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench_screen import Screen
from fakes import a_key, write_store
from keydeck.engine.pool import CredentialPool, load_pool

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

HERMES = os.environ.get("KEYDECK_HERMES")
RUNS = 7
_RESULTS: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Print all results together at the end."""
    _RESULTS.clear()
    yield
    print("\n\n" + "\n".join(_RESULTS))


def say(what: str, ours: str, target: str, theirs: str = "") -> None:
    _RESULTS.append(f"{what:<58} {ours:>24}   target {target:<22} {theirs}")


def big_home(home: Path, rows: int, *, pools: int = 1, cooling: int = 0) -> Path:
    """Write a store of this many rows; every `cooling`-th of them is benched for an hour from now."""
    now = time.time()
    lists: dict[str, list[dict[str, Any]]] = {}
    for number in range(rows):
        fields: dict[str, Any] = {"request_count": number}
        if cooling and number % cooling == 0:
            fields |= {"last_status": "exhausted", "last_status_at": now - 60, "last_error_code": 429}
        name = "openrouter" if pools == 1 else f"pool-{number % pools:02d}"
        lists.setdefault(name, []).append(
            a_key(f"{number:06x}", f"key-{number:04d}", priority=number, **fields)
        )
    write_store(home, lists)
    (home / "config.yaml").write_text("credential_pool_strategies:\n  openrouter: fill_first\n")
    return home


def child(code: str, home: Path, python: str = sys.executable) -> dict[str, Any]:
    """Run code that prints one JSON object, in a process of its own."""
    ours = {"PYTHONPATH": os.pathsep.join(sys.path)} if python == sys.executable else {}
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home.parent),
        "HERMES_HOME": str(home),
        "LANG": "C.UTF-8",
        **ours,
    }
    done = subprocess.run(
        [python, "-c", code], env=env, capture_output=True, check=True, stdin=subprocess.DEVNULL
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def median(measure: Callable[[], float], runs: int = RUNS) -> float:
    return statistics.median(measure() for _ in range(runs))


def ratio(ours: float, theirs: float) -> str:
    return f"hermes {theirs * 1000:.0f} ms = {theirs / ours:.1f} x ours"


IMPORT = """
import json, os, time
def rss():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
began = time.perf_counter()
import {module}
spent = time.perf_counter() - began
print(json.dumps({{"s": spent, "mb": rss()}}))
"""


def test_import(home: Path) -> None:
    """Importing the engine, beside hermes' pool module."""
    home.mkdir()
    bare = median(lambda: float(child(IMPORT.format(module="json"), home)["mb"]))
    spent = median(lambda: float(child(IMPORT.format(module="keydeck.engine"), home)["s"]))
    memory = median(lambda: float(child(IMPORT.format(module="keydeck.engine"), home)["mb"])) - bare
    theirs = ""
    if HERMES:
        other = IMPORT.format(module="agent.credential_pool")
        theirs = ratio(spent, median(lambda: float(child(other, home, HERMES or "")["s"])))
    say("import keydeck.engine", f"{spent * 1000:.0f} ms, +{memory:.0f} MB", "60 ms, 15 MB", theirs)


OPEN = """
import json, time, yaml
{setup}
load_pool("openrouter")
spent = []
for _ in range(9):
    began = time.perf_counter()
    pool = load_pool("openrouter")
    spent.append(time.perf_counter() - began)
print(json.dumps({{"s": sorted(spent)[4], "rows": len(pool.entries())}}))
"""


def test_open_a_pool(home: Path) -> None:
    """Opening a pool of 1,000 rows with yaml loaded."""
    big_home(home, 1000)
    answer = child(OPEN.format(setup="from keydeck import load_pool"), home)
    assert answer["rows"] == 1000
    theirs = ""
    if HERMES:
        other = child(OPEN.format(setup="from agent.credential_pool import load_pool"), home, HERMES)
        theirs = ratio(answer["s"], other["s"])
    say("open a pool of 1,000 rows", f"{answer['s'] * 1000:.1f} ms", "20 ms", theirs)


def process_time(command: list[str], home: Path) -> float:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home.parent), "HERMES_HOME": str(home), "LANG": "C.UTF-8"}
    if command[0] == sys.executable:
        env["PYTHONPATH"] = os.pathsep.join(sys.path)
    began = time.perf_counter()
    done = subprocess.run(command, env=env, capture_output=True, check=True, stdin=subprocess.DEVNULL)
    spent = time.perf_counter() - began
    assert done.stdout.count(b"key-") == 1000
    return spent


def test_auth_list(home: Path) -> None:
    """The whole process of ``auth list`` with 1,000 rows."""
    big_home(home, 1000)
    ours = median(lambda: process_time([sys.executable, "-m", "keydeck", "auth", "list", "openrouter"], home))
    theirs = ""
    if HERMES:
        hermes = str(Path(HERMES).parent / "hermes")
        theirs = ratio(ours, median(lambda: process_time([hermes, "auth", "list", "openrouter"], home), 3))
    say("keydeck auth list, 1,000 rows, whole process", f"{ours * 1000:.0f} ms", "200 ms", theirs)


@pytest.mark.parametrize("rows", [20, 200, 1000])
def test_first_paint(home: Path, rows: int) -> None:
    """From exec to the first row on screen, at 120x40."""
    big_home(home, rows, pools=12)

    def measure() -> float:
        screen = Screen(home)
        painted = screen.until(b"key-0000") - screen.began
        screen.close()
        return painted

    say(f"first paint, {rows} rows in 12 pools", f"{median(measure, 5) * 1000:.0f} ms", "800 ms")


def test_change_to_pixels(home: Path) -> None:
    """From the rename by another process to the new text in the terminal's stream, 1,000 rows."""
    big_home(home, 1000, pools=12)
    document = json.loads((home / "auth.json").read_text())
    screen = Screen(home)
    screen.until(b"key-0000")
    screen.read(1.5)
    waits = []
    for number in range(30):
        label = f"seen-{number:04d}"
        document["credential_pool"]["pool-00"][0]["label"] = label
        other = home / "auth.json.tmp.bench"
        other.write_text(json.dumps(document, indent=2))
        began = time.perf_counter()
        other.replace(home / "auth.json")
        waits.append(screen.until(label.encode()) - began)
        screen.read(0.15 + 0.03 * (number % 5))
    screen.close()
    waits.sort()
    p95 = waits[int(len(waits) * 0.95) - 1]
    say(
        "change by another process to pixels, 1,000 rows",
        f"{statistics.median(waits) * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms",
        "p95 100 ms",
    )


def test_lease_to_pixels(home: Path) -> None:
    """From a lease taken in another process to "in flight" in the terminal's stream, 200 rows."""
    big_home(home, 200, pools=12)
    screen = Screen(home)
    screen.until(b"key-0000")
    screen.read(1.5)
    waits = []
    with load_pool("pool-00", home=home) as pool:
        for number in range(30):
            began = time.perf_counter()
            with pool.lease():
                waits.append(screen.until(b"in flight") - began)
                screen.read(0.15)
            screen.read(0.15 + 0.03 * (number % 5))
        began = screen.cpu()
        leases = _leases_for(8.0, pool, screen)
        spent = (screen.cpu() - began) / 8.0
    screen.close()
    say("lease by another process to pixels, 200 rows", told(sorted(waits)), "100 ms")
    say(f"  {leases / 8.0:.0f} leases/s", f"{spent * 100:.1f} % of a core", "-")


def _leases_for(seconds: float, pool: CredentialPool, screen: Screen) -> int:
    """Take one lease after the other while the screen is read; return how many."""
    ends, taken = time.perf_counter() + seconds, 0
    while time.perf_counter() < ends:
        with pool.lease():
            screen.read(0.02)
        taken += 1
    return taken


@contextmanager
def updates(home: Path, *, every_s: float = 1.0) -> Iterator[None]:
    """Have another process' kind of update arrive each second: one row's count and label, the whole file anew."""
    document, stop = json.loads((home / "auth.json").read_text()), threading.Event()
    row = next(iter(document["credential_pool"].values()))[-1]

    def write() -> None:
        while not stop.wait(every_s):
            row["request_count"] += 1
            other = home / "auth.json.tmp.bench"
            other.write_text(json.dumps(document, indent=2))
            other.replace(home / "auth.json")

    thread = threading.Thread(target=write)
    thread.start()
    yield
    stop.set()
    thread.join()


def waits_for(screen: Screen, keys: list[bytes]) -> list[float]:
    """Return how long each key took to its first byte on screen, sorted, in seconds."""
    waits = []
    for key in keys:
        began = screen.press(key)
        while not screen.read(0.001):
            pass
        waits.append(time.perf_counter() - began)
        screen.read(0.07)
    return sorted(waits)


def told(waits: list[float]) -> str:
    """Return median, 95th percentile and the worst of sorted seconds."""
    p95 = waits[max(int(len(waits) * 0.95) - 1, 0)]
    return f"{statistics.median(waits) * 1000:.0f}, p95 {p95 * 1000:.0f}, max {waits[-1] * 1000:.0f} ms"


@pytest.mark.parametrize("size", [(120, 40), (200, 60)])
def test_key_to_pixels(home: Path, size: tuple[int, int]) -> None:
    """From a cursor key to the next frame while countdowns run and an update arrives each second, 1,000 rows."""
    big_home(home, 1000, pools=12, cooling=5)
    screen = Screen(home, size)
    screen.until(b"key-0000")
    screen.read(2.2)
    with updates(home):
        waits = waits_for(screen, [b"j"] * 100)
    screen.close()
    say(f"key to pixels, 1,000 rows, {size[0]}x{size[1]}, an update a second", told(waits), "p95 40 ms")


def test_ten_thousand_rows(home: Path) -> None:
    """100 pools and 10,000 rows: how long keys take that move, page, jump and type a filter."""
    big_home(home, 10_000, pools=100, cooling=50)
    screen = Screen(home)
    painted = screen.until(b"key-0000") - screen.began
    screen.read(4)
    moves = waits_for(screen, [b"j"] * 20 + [b"\x1b[6~"] * 10 + [b"G", b"g"] * 5 + [b"\t"] * 10)
    screen.press(b"/")
    screen.read(0.3)
    typed = waits_for(screen, [char.to_bytes() for char in b"state:cool key-00"])
    screen.close()
    say("10,000 rows in 100 pools: first paint", f"{painted * 1000:.0f} ms", "-")
    say("  scroll", told(moves), "no stall")
    say("  type a filter", told(typed), "no stall")


@pytest.mark.parametrize(("rows", "size"), [(200, (120, 40)), (1000, (120, 40)), (1000, (200, 60))])
def test_tick(home: Path, rows: int, size: tuple[int, int]) -> None:
    """Processor time and bytes of one second of countdowns: 12 panes, one row in five cooling."""
    big_home(home, rows, pools=12, cooling=5)
    screen = Screen(home, size)
    screen.until(b"key-0000")
    screen.read(3)
    seconds = 12.0
    began = screen.cpu()
    said = screen.read(seconds)
    spent = screen.cpu() - began
    say(
        f"one tick, 12 panes, {rows} rows, {size[0]}x{size[1]}",
        f"{spent / seconds * 1000:.1f} ms, {len(said) / seconds / 1000:.1f} KB",
        "50 ms, 15 KB (2 % at 200)",
    )
    say(f"  memory, {rows} rows", f"{screen.rss():.0f} MB", "100 MB at 2,000")
    screen.close()


def test_idle(home: Path) -> None:
    """Nothing cooling: processor time and bytes a second."""
    big_home(home, 1000, pools=12)
    screen = Screen(home)
    screen.until(b"key-0000")
    screen.read(3)
    seconds = 12.0
    began = screen.cpu()
    said = screen.read(seconds)
    spent = (screen.cpu() - began) / seconds
    screen.close()
    say(
        "idle, 1,000 rows, nothing cooling",
        f"{spent * 100:.2f} %, {len(said) / seconds:.0f} B/s",
        "1 %, 0 B/s",
    )
