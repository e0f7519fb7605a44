"""A pool that loses one key after the other is seen to run low, wherever somebody looks (demand 2.3)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.program import run_now
from fakes import a_pool, keys, write_store
from keydeck.engine.pool import CredentialPool
from ui import Ui, running

POOL = "openrouter"
IDS = tuple(f"key{number:03}" for number in range(15))
LEFT = ["7 of 15 left", "1 of 15 left", "none of 15 left"]


@pytest.fixture
def agent(home: Path) -> Iterator[CredentialPool]:
    """Return a pool of fifteen keys in an agent."""
    write_store(home, {POOL: keys(*IDS)})
    pool = a_pool(home)
    yield pool
    pool.close()


def lose(pool: CredentialPool, number: int) -> None:
    """Let the provider reject so many keys for good, one by one."""
    for _ in range(number):
        assert pool.select()
        pool.mark_exhausted_and_rotate(
            status_code=401, error_context={"message": "key revoked", "reason": "token_revoked"}
        )


def lefts(text: str) -> list[str]:
    return [" ".join(line.split()[-4:]) for line in text.splitlines() if line.rstrip().endswith(" left")]


def strip(ui: Ui) -> str:
    """Return what is on screen without the sides of boxes."""
    return ui.text.replace("│", "")


class TestFS33PartialLossIsVisible:
    """Fifteen keys are lost one by one: the pool's line counts, each step is told, and so are the thresholds."""

    def test_fs_33_the_events_tell_each_step_and_each_threshold(
        self, home: Path, agent: CredentialPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """At half, at one and at none, right behind the key that made it so; by command and as JSON."""
        run = run_now(home, monkeypatch)
        lose(agent, 14)
        lines = run.done("auth", "events").splitlines()
        assert sum("log in again" in line for line in lines) == 14
        assert lefts("\n".join(lines)) == LEFT[:2]
        assert lines[-1].endswith(f"^ {POOL:23}  1 of 15 left")
        assert "key-key013" in lines[-2]
        told = json.loads(run.done("auth", "events", "--json"))["events"]
        few: list[dict[str, Any]] = [event for event in told if event["kind"] == "few_left"]
        assert [(event["left"], event["total"], event["id"]) for event in few] == [
            (7, 15, None),
            (1, 15, None),
        ]
        lose(agent, 1)
        assert lefts(run.done("auth", "events")) == LEFT

    async def test_fs_33_the_dashboard_tells_it_as_it_happens_and_later(
        self, home: Path, agent: CredentialPool
    ) -> None:
        """On the strip and among the events, once each; of who starts it later the past says the same."""
        told = [*reversed(LEFT), LEFT[-1]]  # and the newest one explained below them
        lose(agent, 7)
        async with running(home, (120, 40)) as ui:
            ui.sees("8/15 ready")
            lose(agent, 1)
            await ui.tick()
            await ui.reload()
            ui.sees("7/15 ready")
            assert lefts(strip(ui)) == LEFT[:1]
            lose(agent, 7)
            await ui.tick()
            await ui.reload()
            ui.sees("0/15 ready")
            await ui.press("2")
            assert lefts(strip(ui)) == told
        async with running(home, (120, 40)) as ui:
            await ui.press("2")
            assert lefts(strip(ui)) == told
            ui.sees("so few of its keys can serve")
