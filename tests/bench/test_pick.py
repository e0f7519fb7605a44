"""Picking, reporting and opening, printed: ``pytest -m bench -s tests/bench/test_pick.py``."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import pytest

from fakes import a_key, write_store
from keydeck import load_pool
from keydeck.engine import flusher
from keydeck.engine.file_store import FileStore
from keydeck.engine.home import locate_home

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

STRATEGIES = ("fill_first", "round_robin", "least_used", "random", "sticky")
MICRO = 1e6


def a_big_home(home: Path, rows: int, strategy: str = "fill_first") -> Path:
    write_store(home, {"openrouter": [a_key(f"{n:06x}", priority=n) for n in range(rows)]})
    (home / "config.yaml").write_text(f"credential_pool_strategies: {{openrouter: {strategy}}}\n")
    return home


def each(do: Callable[[], object], times: int) -> float:
    """Return the median of the time that one call takes, in seconds."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        do()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


@pytest.mark.parametrize("rows", [10, 1000, 10_000])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_pick(home: Path, strategy: str, rows: int) -> None:
    """Selecting, with the background thread running."""
    flusher.set_enabled(True)
    with load_pool("openrouter", home=a_big_home(home, rows, strategy)) as pool:
        print(f"\nselect, {strategy}, {rows} rows: {each(pool.select, 20_000) * MICRO:.1f} µs")


@pytest.mark.parametrize("rows", [10, 1000])
def test_a_failure(home: Path, rows: int) -> None:
    """Reporting a failure and getting the next row."""
    flusher.set_enabled(True)
    with load_pool("openrouter", home=a_big_home(home, rows)) as pool:
        context = {"reason": "rate_limit", "message": "slow down"}

        def fail() -> None:
            pool.select()
            pool.mark_exhausted_and_rotate(status_code=429, error_context=context)

        print(f"\nfailure and next row, {rows} rows: {each(fail, min(rows - 1, 900)) * MICRO:.1f} µs")


def test_opening(home: Path) -> None:
    """Opening a pool of 1,000 rows, of which each has facts, after 90 KiB of journal."""
    flusher.set_enabled(False)
    a_big_home(home, 1000, "least_used")
    with load_pool("openrouter", home=home) as pool:
        for _ in range(3000):
            pool.select()
    store = FileStore(locate_home(home))
    store.snapshot()
    while store._books.bytes_since_checkpoint() < 90 << 10:
        store.count("000001")
        store.flush()
    store._books.journal.leave()
    print(f"\nopen, 1,000 rows: {each(lambda: load_pool('openrouter', home=home), 15) * 1000:.1f} ms")


def _work(home: Path, picks: int) -> int:
    with load_pool("openrouter", home=home) as pool:
        for _ in range(picks):
            pool.select()
    return picks


def test_eight_processes(home: Path) -> None:
    """Picks of eight processes together, and whether all are counted."""
    a_big_home(home, 10, "least_used")
    began = time.perf_counter()
    with get_context("spawn").Pool(8) as workers:
        done = sum(workers.starmap(_work, [(home, 40_000)] * 8))
    spent = time.perf_counter() - began
    with load_pool("openrouter", home=home) as pool:
        counted = sum(row.request_count for row in pool.entries())
    print(f"\n8 processes on {os.cpu_count()} cores: {done / spent:,.0f} picks/s, {done - counted} lost")
