"""1,000 random stores through every screen and dialog: no crash, and nothing that a terminal would obey."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from fakes import keys, write_store
from fuzz.rounds import A_CHUNK, Crew, crew, show_stores
from fuzz.strategies import RandomStore, drawn, is_whole
from fuzz.walk import every_screen
from tmux import KEYDECK, Terminal

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


# --- in a terminal -----------------------------------------------------------------------------------------

IN_A_TERMINAL = 40
# Colours, the cursor's place and look, lines cleared, modes set and asked for, the pointer's shape.
KNOWN_SEQUENCES = re.compile(
    r"\x1b\[[0-9;]*[mHJK]|\x1b\[\?[0-9;]+\$?[hlp]|\x1b\]22;[a-z-]*\x07|\x1b\[[<>=]?[0-9;]*u|\x1b\[[0-9;]*t"
)
DIALOGS = (
    ("?", "╭─ keys"),
    ("s", "how it picks"),
    ("a", "step 1 of 3"),
    (":", "╭─ commands"),
    ("T", "╭─ theme"),
)


@pytest.mark.terminal
@pytest.mark.timeout(300)
@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
def test_random_stores_send_no_sequence_to_a_terminal(
    terminal: Terminal, home: Path, seed: int, size: tuple[int, int]
) -> None:
    """While stores come and go the program sends what Textual needs and nothing else: no title, no stray control."""
    print(f"KEYDECK_FUZZ_SEED={seed} repeats this")
    write_store(home)
    terminal.start(
        f"{KEYDECK} --home {shlex.quote(str(home))}", size, XDG_STATE_HOME=str(home.parent / "state")
    )
    terminal.sees("there is no pool yet", "live")
    stores = filter(is_whole, drawn(IN_A_TERMINAL * 2, seed))
    for number, store in enumerate(islice(stores, IN_A_TERMINAL)):
        with_a_mark(store, f"shown-{number}").write(home)
        terminal.sees(f"shown-{number} ")
        key, title = DIALOGS[number % len(DIALOGS)]
        terminal.keys("g", key)
        terminal.sees(title)
        terminal.keys("Escape")
        terminal.until(lambda screen, title=title: title not in screen)  # type: ignore[misc]
        terminal.keys(*["j"] * (number % 5 + 1))
    assert number == IN_A_TERMINAL - 1
    terminal.keys("q")
    assert terminal.exit_code() == 0
    rest = KNOWN_SEQUENCES.sub("", terminal.stream.decode())
    for found in re.finditer(r"[^\r\n -~\xa0-\U0010ffff]", rest):
        pytest.fail(f"sent: {rest[max(found.start() - 60, 0) : found.end() + 60]!r}")


def with_a_mark(store: RandomStore, mark: str) -> RandomStore:
    """Return a store that can be read, with a pool of this name above all others."""
    document = json.loads(store.auth or b"")
    pools = {mark: keys("aaa001"), **document["credential_pool"]}
    sections = {
        name: value
        for name in ("providers", "suppressed_sources")
        if isinstance(value := document.get(name), dict)
    }
    return replace(store, auth=json.dumps({**sections, "credential_pool": pools}).encode())
