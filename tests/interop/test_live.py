"""While the dashboard runs, whatever hermes does to the home is on screen within a second, no key pressed."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, time
from typing import Final

import pytest
from textual.pilot import Pilot

from fakes import tree
from interop.hermes import Hermes
from interop.scenes import HOUR, a_reader_of
from keydeck.dashboard.app import PoolApp
from tmux import KEYDECK, Terminal
from ui import frame

pytestmark = pytest.mark.interop

WITHIN_S: Final = 1.0

Screen = list[str]
Step = tuple[str, Callable[[Hermes], object], Callable[[Screen], bool]]
"""What happens, how hermes does it, and how the screen looks afterwards."""


def _line(screen: Screen, label: str) -> str:
    """Return the line of one key in its pane; nothing while it is not on screen."""
    found = [line for line in screen if re.search(rf"[●◐▲○■◔] {label}\b", line)]
    return found[0] if found else ""


def _add(hermes: Hermes, label: str) -> None:
    hermes.ask("auth", verb="add", provider="openrouter", label=label, api_key=f"sk-of-{label}")
    hermes.ask("load", provider="openrouter")


def _mark(hermes: Hermes, label: str, code: int, reason: str, **context: float) -> None:
    error = {"reason": reason, **context}
    hermes.ask("mark", name="openrouter", code=code, key=f"sk-of-{label}", context=error)


STEPS: tuple[Step, ...] = (
    (
        "adds a key",
        lambda hermes: hermes.ask(
            "auth", verb="add", provider="openrouter", label="gamma", api_key="sk-of-gamma"
        ),
        lambda screen: "ready" in _line(screen, "gamma") and "3/3 ready" in "".join(screen),
    ),
    (
        "benches one for three hours",
        lambda hermes: _mark(hermes, "alpha", 429, "rate_limit", reset_at=time() + 3 * HOUR),
        lambda screen: bool(re.search(r"(2h59m|3h00m) +429", _line(screen, "alpha"))),
    ),
    (
        "calls one dead",
        lambda hermes: _mark(hermes, "beta", 401, "token_revoked"),
        lambda screen: "log in again" in _line(screen, "beta") and "1/3 ready" in "".join(screen),
    ),
    (
        "resets all",
        lambda hermes: hermes.ask("auth", verb="reset", provider="openrouter"),
        lambda screen: all("ready" in _line(screen, label) for label in ("alpha", "beta", "gamma")),
    ),
    (
        "removes one",
        lambda hermes: hermes.ask("auth", verb="remove", provider="openrouter", target="gamma"),
        lambda screen: not _line(screen, "gamma") and "2/2 ready" in "".join(screen),
    ),
    (
        "changes the strategy",
        lambda hermes: hermes.ask("config", key="credential_pool_strategies.openrouter", value="round_robin"),
        lambda screen: any("round_robin" in line for line in screen),
    ),
    (
        "takes a turn",
        lambda hermes: (hermes.ask("load", provider="openrouter"), hermes.ask("select", name="openrouter")),
        lambda screen: "▸" in _line(screen, "beta") and "▸" not in _line(screen, "alpha"),
    ),
)


@pytest.fixture
def latencies(
    capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> Iterator[dict[str, float]]:
    """Return where a test notes its latencies; they are printed for all to see."""
    noted: dict[str, float] = {}
    yield noted
    told = ", ".join(f"{what} {seconds * 1000:.0f} ms" for what, seconds in noted.items())
    with capsys.disabled():
        print(f"\n{request.node.name}: on screen after hermes {told}")


@pytest.fixture
def begun(hermes: Hermes) -> Hermes:
    """Return a hermes that has two keys, and holds its pool as a running agent does."""
    for label in ("alpha", "beta"):
        _add(hermes, label)
    return hermes


# --- without a terminal ------------------------------------------------------------------------------------


async def _seconds_until_shown(
    app: PoolApp, pilot: Pilot[None], shown: Callable[[Screen], bool], since: float
) -> float:
    while not shown(frame(app)):
        assert monotonic() - since < WITHIN_S, "\n".join(frame(app))
        await pilot.pause(0.005)
    return monotonic() - since


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_every_act_of_hermes_is_on_screen_within_a_second(
    begun: Hermes, home: Path, latencies: dict[str, float], size: tuple[int, int]
) -> None:
    """Add, bench, death, reset, removal, strategy and turn each show within 1 s of hermes' call, untouched."""
    app = PoolApp(a_reader_of(home))
    async with app.run_test(size=size) as pilot:
        since = monotonic()
        await _seconds_until_shown(app, pilot, lambda screen: "ready" in _line(screen, "alpha"), since)
        for what, act, shown in STEPS:
            assert not shown(frame(app)), f"there before hermes {what}"
            await asyncio.to_thread(act, begun)
            latencies[what] = await _seconds_until_shown(app, pilot, shown, monotonic())
        assert app.watching == "live"
    assert len(latencies) == len(STEPS)


async def test_the_first_key_of_an_empty_home_is_on_screen_within_a_second(
    hermes: Hermes, home: Path, latencies: dict[str, float]
) -> None:
    """A dashboard that was opened on an empty home shows the store as soon as hermes makes it."""
    app = PoolApp(a_reader_of(home))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert not _line(frame(app), "alpha")
        await asyncio.to_thread(_add, hermes, "alpha")
        latencies["makes the store"] = await _seconds_until_shown(
            app, pilot, lambda screen: "ready" in _line(screen, "alpha"), monotonic()
        )


async def test_a_dashboard_that_watches_writes_nothing(begun: Hermes, home: Path) -> None:
    """Following hermes through all its acts, the dashboard leaves every file as hermes wrote it."""
    app = PoolApp(a_reader_of(home))
    async with app.run_test(size=(120, 40)) as pilot:
        for _, act, shown in STEPS:
            await asyncio.to_thread(act, begun)
            written = tree(home)
            await _seconds_until_shown(app, pilot, shown, monotonic())
            assert tree(home) == written
    assert tree(home) == written
    assert not (home / "keydeck").exists()


# --- in a terminal -----------------------------------------------------------------------------------------


@pytest.fixture
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """Return a terminal; without tmux the test is skipped, or fails where everything has to run."""
    if shutil.which("tmux") is None:
        if os.environ.get("KEYDECK_REQUIRE_ALL") == "1":
            pytest.fail("tmux is not installed")
        pytest.skip("tmux is not installed")
    opened = Terminal(tmp_path_factory.mktemp("terminal"))
    yield opened
    opened.close()


@pytest.mark.terminal
def test_every_act_of_hermes_reaches_the_terminal_within_a_second(
    begun: Hermes, home: Path, latencies: dict[str, float], terminal: Terminal
) -> None:
    """The same acts beside `python -m keydeck` in tmux: each is on the terminal's screen within 1 s."""
    terminal.start(f"{KEYDECK} --home {shlex.quote(str(home))}", (120, 40))
    terminal.until(lambda screen: "ready" in _line(screen.splitlines(), "alpha") and "● live" in screen)
    for what, act, shown in STEPS:
        assert not shown(terminal.screen.splitlines()), f"there before hermes {what}"
        act(begun)
        latencies[what] = terminal.until(_on_lines(shown), WITHIN_S)
    terminal.keys("q")
    assert terminal.exit_code() == 0
    assert len(latencies) == len(STEPS)


def _on_lines(shown: Callable[[Screen], bool]) -> Callable[[str], bool]:
    return lambda screen: shown(screen.splitlines())
