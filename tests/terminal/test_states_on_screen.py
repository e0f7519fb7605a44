"""What the demo shows of its keys, in a terminal, against what the command line says of its home as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keydeck.demo.scene import ENVIRONMENT, FOLDER_PREFIX
from tmux import KEYDECK, Terminal

pytestmark = pytest.mark.terminal

Listing = dict[str, Any]
Wanted = Iterator[tuple[str, ...]]
"""Texts that stand on one line of the screen; one such line is enough."""

_PATIENCE_S = 20.0


def listed(folder: Path) -> Listing:
    """Return what ``keydeck auth list --json`` says of a demo's home."""
    return asked(folder, "list")


def asked(folder: Path, *words: str) -> Listing:
    """Return what an ``auth`` command says of a demo's home as JSON."""
    home = str(folder / ".hermes")
    done = subprocess.run(
        [sys.executable, "-m", "keydeck", "auth", *words, "--json", "--home", home],
        env={
            **ENVIRONMENT,
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    document: Listing = json.loads(done.stdout)
    return document


def keys_of(document: Listing) -> Iterator[dict[str, Any]]:
    for pool in document["pools"]:
        yield from pool["credentials"]


def hour(epoch_s: float) -> str:
    """Return when that is as the screen says it: late in the evening much of it is tomorrow."""
    then = datetime.fromtimestamp(epoch_s, UTC)
    return f"{then:%H:%M:%S}" if then.date() == datetime.now(UTC).date() else f"{then:%a %H:%M}"


# --- what the screen has to say -------------------------------------------------------------------------------


def a_bench(document: Listing) -> Wanted:
    """Benches with the provider's word: the key and its code."""
    for key in keys_of(document):
        if key["health"] == "cooling" and key["evidence"] == "provider" and key["streak"] == 1:
            yield "◐", key["label"], str(key["status_code"])


def a_streak(document: Listing) -> Wanted:
    """Keys that failed several times in a row by the table."""
    for key in keys_of(document):
        if key["health"] == "cooling" and key["evidence"] == "table" and key["streak"] == 4:
            yield "◐", key["label"], str(key["status_code"]), "4th"


def a_probe(document: Listing) -> Wanted:
    """Keys that are tried again, with the request that tries them."""
    for key in keys_of(document):
        if key["health"] == "probing":
            yield "◔", key["label"], "probing, 1 in flight" if key["in_flight"] == 1 else "probing"


def work_in_flight(document: Listing) -> Wanted:
    """Ready keys with work in flight."""
    for key in keys_of(document):
        if key["health"] == "ready" and key["in_flight"]:
            yield key["label"], f", {key['in_flight']} in flight"


def a_pause(document: Listing) -> Wanted:
    """Keys that are paused for a time."""
    for key in keys_of(document):
        if key["health"] == "paused" and key["evidence"] == "operator" and key["until"]:
            end = datetime.fromtimestamp(key["until"], UTC)
            yield "■", key["label"], "paused until ", f"{end:%H:%M}"


def a_forecast(document: Listing) -> Wanted:
    """Pools with no ready key: until when, and how many then."""
    for pool in document["pools"]:
        if pool["ready"] == 0 and pool["forecast"]:
            step = pool["forecast"][0]
            counts = f"0/{pool['total']} ready"
            yield pool["provider"], f"{counts} until {hour(step['at'])}, then {step['ready']}"


# --- the tests ------------------------------------------------------------------------------------------------


@pytest.fixture(params=[(80, 24), (120, 40)], ids=["80x24", "120x40"])
def demo(request: pytest.FixtureRequest, terminal: Terminal, tmp_path: Path) -> Path:
    """Return the folder of a demo that runs in the terminal."""
    terminal.start(f"{KEYDECK} --demo", request.param, TMPDIR=str(tmp_path))
    terminal.sees("custom:together.ai", "● live")
    return next(path for path in tmp_path.iterdir() if path.name.startswith(FOLDER_PREFIX))


def agrees(terminal: Terminal, folder: Path, wanted: Callable[[Listing], Wanted]) -> None:
    """Wait until the screen has a line that says what the JSON says; the demo's agents change both all the time."""
    began, said = time.monotonic(), []
    while time.monotonic() - began < _PATIENCE_S:
        said = list(wanted(listed(folder)))
        if any(all(text in line for text in texts) for texts in said for line in terminal.lines):
            return
    pytest.fail(f"no line says any of {said}:\n{terminal.screen}")


def test_the_screen_says_what_the_json_says(terminal: Terminal, demo: Path) -> None:
    """A bench, a streak, a probe, work in flight, a timed pause and a forecast: each is in both."""
    for wanted in (a_streak, a_probe, work_in_flight, a_bench, a_pause, a_forecast):
        agrees(terminal, demo, wanted)


def test_a_key_in_full_says_what_the_json_says(terminal: Terminal, demo: Path) -> None:
    """Whose word the bench is, how often it failed, and when it ends; that an account is out, or a model."""
    open_key(terminal, "spare")
    terminal.sees("the table: 60s x 2^3", "4th in a row")
    spare = next(key for key in keys_of(listed(demo)) if key["label"] == "spare")
    assert (spare["streak"], spare["evidence"], spare["config_line"]) == (4, "table", None)
    terminal.sees(hour(spare["until"]))
    why = next(row for row in asked(demo, "explain", "openrouter")["rows"] if row["id"] == spare["id"])
    assert (why["reason"], why["until"], why["failure"]["streak"]) == ("cooling", spare["until"], 4)
    terminal.sees("this key", f"cooling until {hour(why['until'])}")
    terminal.escape()
    terminal.sees("hidden")
    terminal.escape()
    open_key(terminal, "codex-login")
    login = next(key for key in keys_of(listed(demo)) if key["label"] == "codex-login")
    told = (login["scope"], login["evidence"], login["until"])
    assert told == ("account", "provider", login["told_until"])
    terminal.sees("the whole account", f"the provider said until {hour(login['until'])}")
    terminal.escape()
    terminal.sees("hidden")
    terminal.escape()
    open_key(terminal, "team-b")
    (limit,) = next(key["limits"] for key in keys_of(listed(demo)) if key["label"].startswith("team-b"))
    terminal.sees("not for", f"{limit['model']} until {hour(limit['until'])}, {limit['status_code']}")


def open_key(terminal: Terminal, label: str) -> None:
    """Find a key by its name and open it."""
    terminal.keys("/")
    terminal.type(label)
    terminal.keys("Enter")
    terminal.until(lambda screen: f"/{label}" in screen.splitlines()[0])
    terminal.keys("Enter")
