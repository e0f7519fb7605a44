"""1,000 random stores through every screen and dialog: no crash, and nothing that a terminal would obey."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from fuzz.rounds import A_CHUNK, Crew, crew, show_stores
from fuzz.walk import every_screen

STORES = 1000
CHUNKS = range(STORES // A_CHUNK)
DIALOGS_SEE = 100
"""So many of the stores are seen by every screen and dialog; the pools see all."""


@pytest.fixture(scope="module")
def seed() -> int:
    """Return what the stores are made of: always the same in CI, else another every time."""
    given = os.environ.get("KEYDECK_FUZZ_SEED") or ("1" if os.environ.get("CI") else "")
    return int(given) if given else random.SystemRandom().randrange(10**6)


@pytest.fixture(scope="module")
def shown(seed: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """Return processes at work on all chunks."""
    folder = tmp_path_factory.mktemp("stores")
    with crew(folder) as started:
        for chunk in CHUNKS:
            started.ask(chunk, show_stores, seed, chunk, str(folder))
        yield started


@pytest.mark.timeout(600)
@pytest.mark.parametrize("chunk", CHUNKS)
def test_random_stores_are_shown_and_steer_nothing(shown: Crew, seed: int, chunk: int) -> None:
    """Any JSON, strings, times and YAML are drawn, whole and inert, at every size, in every screen and dialog."""
    print(f"KEYDECK_FUZZ_SEED={seed} repeats this")
    seen: Counter[str] = shown.result(chunk)
    assert seen["PoolsScreen"] == A_CHUNK
    assert seen.keys() == every_screen()
    few = {name: count for name, count in seen.items() if count < DIALOGS_SEE // len(CHUNKS)}
    assert not few
