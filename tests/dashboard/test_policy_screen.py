from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fakes import NOW, FakeClock, a_key, a_reader, tree, write_store
from keydeck.dashboard.dialogs.policy import PolicyDialog
from keydeck.dashboard.screens.policy import PolicyScreen
from keydeck.dashboard.screens.pools import PoolsScreen
from keydeck.dashboard.screens.settings import SettingsScreen
from keydeck.engine.cooldown_policy import Policy
from keydeck.engine.cooldown_preview import Preview
from keydeck.engine.events import Failed
from keydeck.engine.snapshot import HomeReader, HomeSnapshot
from keydeck.live.policy_today import Today
from ui import Ui, running

CONFIG = """\
credential_pool:
  cooldown:
    429: 90s   # ours
    500: soon
    providers:
      openrouter: {billing: {wait: 2h, sole_cap: 3h}}
    keys:
      aaa002: {503: 10s}
"""


@asynccontextmanager
async def cooldowns(
    home: Path, *keys: str, config: str = CONFIG, size: tuple[int, int] = (110, 30), **options: Any
) -> AsyncIterator[Ui]:
    """Run the dashboard on a home whose first key failed 20 seconds ago, at 14:01:51, and go to the cooldowns."""
    write_store(
        home,
        {
            "openrouter": [a_key("aaa001", "ci"), a_key("aaa002", "spare", priority=1)],
            "zai": [a_key("bbb001", "z")],
        },
    )
    (home / "config.yaml").write_text(config)
    reader = a_reader(home, clock=FakeClock(NOW - 20))
    reader.read()
    reader.store.append(Failed(ids=("aaa001",), provider="openrouter", code=429))
    reader.close()
    async with running(home, size, **options) as ui:
        await ui.press(*(keys or ("C",)))
        assert isinstance(ui.app.screen, PolicyScreen)
        yield ui


def config(home: Path) -> str:
    return (home / "config.yaml").read_text()


def cells(ui: Ui, title: str) -> list[str]:
    """Return the cells of the line with this title."""
    line = next(line for line in ui.lines if line.strip().startswith(title))
    return [cell.strip() for cell in line.split("  ") if cell.strip()][1:]


async def test_the_table_says_what_holds_and_from_where(home: Path) -> None:
    """Of the selected pool: kinds, statuses with an entry, what single keys have, and what does not hold."""
    async with cooldowns(home) as ui:
        ui.sees("cooldowns → openrouter")
        assert cells(ui, "rate limit") == ["1m, ×2 up to 1h", "default"]
        assert cells(ui, "429") == ["90s, ×2 up to 1h", "config.yaml line 3, everywhere", "1m, ×2 up to 1h"]
        assert cells(ui, "billing") == ["2h, ×2 up to 1d", "config.yaml line 6", "1h, ×2 up to 1d"]
        assert cells(ui, "request") == ["none", "default"]
        ui.sees("spare: 503 10s, config.yaml line 8", "config.yaml line 4: a wait is seconds")
        ui.sees("429: too many requests")


async def test_whose_waits_are_shown_goes_round(home: Path) -> None:
    """Tab goes on to the next provider and to all, shift+tab back."""
    async with cooldowns(home) as ui:
        for key, whose in (
            ("tab", "zai"),
            ("l", "everywhere"),
            ("right", "openrouter"),
            ("shift+tab", "everywhere"),
        ):
            await ui.press(key)
            ui.sees(f"cooldowns → {whose} ")
        assert cells(ui, "429")[1] == "config.yaml line 3"
        assert cells(ui, "billing")[1] == "default"


async def test_ways_in_and_out(home: Path) -> None:
    """From the settings it shows those of all, esc goes back to where it was opened, 1 to the pools."""
    async with cooldowns(home, "4", "C") as ui:
        ui.sees("cooldowns → everywhere")
        await ui.press("escape")
        assert isinstance(ui.app.screen, SettingsScreen)
        assert "3 changed" in ui.line(" cooldowns  ")
        await ui.press("G", "k", "enter", "C")
        assert isinstance(ui.app.screen, PolicyScreen)
        await ui.press("1")
        assert isinstance(ui.app.screen, PoolsScreen)
        await ui.press("4")
        assert isinstance(ui.app.screen, SettingsScreen)


async def test_a_wait_is_previewed_saved_and_undone(home: Path) -> None:
    """What it would change is seen while typing, nothing is written before enter, and u gives the bytes back."""
    async with cooldowns(home, "4", "C") as ui:
        before = tree(home)
        await ui.press("j", "enter")
        assert isinstance(ui.app.screen, PolicyDialog)
        ui.sees("wait after 429, everywhere", "credential_pool.cooldown.429", "as it is")
        await ui.press("end", "backspace", "backspace", "backspace", "0")
        ui.sees("ci: back now instead of 14:03:21", "openrouter today: 1 bench, 1 fewer; out for 20s → 0s")
        assert tree(home) == before
        await ui.press("enter")
        assert config(home) == CONFIG.replace("90s", "0")
        assert cells(ui, "429")[0] == "none"
        ui.sees("no wait after 429")
        await ui.press("u")
        assert config(home) == CONFIG
        assert cells(ui, "429")[0] == "90s, ×2 up to 1h"


async def test_a_longer_wait_and_its_growth(home: Path) -> None:
    """All three fields are written; what is longer and who is out for longer is seen before."""
    async with cooldowns(home) as ui:
        await ui.press("j", "enter", *"5m", "tab", *"3", "tab", *"2h")
        ui.sees("ci: 14:06:51 instead of 14:03:21")
        await ui.press("enter")
        assert (
            "openrouter: {billing: {wait: 2h, sole_cap: 3h}, 429: {wait: 5m, grows: 3, cap: 2h}}"
            in config(home)
        )
        assert cells(ui, "429")[:2] == ["5m, ×3 up to 2h", "config.yaml line 6"]


async def test_fields_that_have_no_place_here_stay(home: Path) -> None:
    """A cap for the only key, written by hand, outlives a change of the wait."""
    async with cooldowns(home) as ui:
        await ui.press("j", "j", "j", "enter")
        ui.sees("wait after billing")
        await ui.press("end", "backspace", "backspace", *"3h", "enter")
        assert "openrouter: {billing: {wait: 3h, sole_cap: 3h}}" in config(home)


async def test_blank_fields_take_the_entry_out(home: Path) -> None:
    """As r does; where there is none, r says so and nothing is written."""
    async with cooldowns(home, "4", "C") as ui:
        await ui.press("j", "enter", "end", *("backspace",) * 3, "enter")
        assert config(home) == CONFIG.replace("429: 90s   # ours", "# ours")
        await ui.press("u")
        assert "    429: 90s\n" in config(home)
        before = tree(home)
        await ui.press("g", "r")
        ui.sees("no entry rate limit for everywhere")
        assert tree(home) == before


async def test_a_status_of_its_own(home: Path) -> None:
    """The last line takes a status; what is none is said, and nothing is saved."""
    async with cooldowns(home) as ui:
        before = tree(home)
        await ui.press("G", "enter", *"52")
        ui.sees("a status is a number from 400 to 599")
        await ui.press("9")
        ui.sees("how long?")
        await ui.press("enter")
        assert isinstance(ui.app.screen, PolicyDialog)
        assert tree(home) == before
        await ui.press("tab", *"1m", "enter")
        assert "529: 1m" in config(home)
        assert cells(ui, "529") == ["1m", "config.yaml line 6", "none"]


@pytest.mark.parametrize(
    ("typed", "says"),
    [("soon", "a wait is seconds, or like 90s"), ("40d", "up to 30d"), ("2h", "cap is below wait")],
)
async def test_what_makes_no_sense_is_said_and_kept(home: Path, typed: str, says: str) -> None:
    """The fields stay as they were typed, and the file as it was."""
    text = CONFIG.replace("429: 90s ", "429: {wait: 90s, cap: 1h} ")
    async with cooldowns(home, "4", "C", config=text) as ui:
        before = tree(home)
        await ui.press("j", "enter", "end", *("backspace",) * 3, *typed, "enter")
        ui.sees(typed, says)
        assert isinstance(ui.app.screen, PolicyDialog)
        await ui.press("escape")
        assert tree(home) == before


async def test_read_only_shows_and_changes_nothing(home: Path) -> None:
    """The table is there, every way to change it is refused, and the home stays byte-identical."""
    async with cooldowns(home, read_only=True) as ui:
        before = tree(home)
        assert cells(ui, "billing")[0] == "2h, ×2 up to 1d"
        assert "another status" not in ui.text
        await ui.press("j", "j", "j", "enter", "r", "space")
        ui.sees("read-only: nothing is changed")
        assert isinstance(ui.app.screen, PolicyScreen)
        assert tree(home) == before


async def test_a_managed_home_says_why_not(home: Path) -> None:
    """The dialog names the obstacle and has no field."""
    async with cooldowns(home) as ui:
        (home / ".managed").touch()
        before = tree(home)
        await ui.press("enter")
        ui.sees("a package manager owns this home")
        await ui.press("enter", "escape")
        assert tree(home) == before


async def test_a_refusal_keeps_the_dialog(home: Path) -> None:
    """What somebody made of the file meanwhile is refused with what to do by hand."""
    async with cooldowns(home, "4", "C") as ui:
        await ui.press("j", "enter", "end", *("backspace",) * 3, *"5m")
        theirs = "x: &x {429: 1}\ncredential_pool: {cooldown: *x}\n"
        (home / "config.yaml").write_text(theirs)
        await ui.press("enter")
        ui.sees("by hand")
        assert isinstance(ui.app.screen, PolicyDialog)
        assert config(home) == theirs


async def test_a_change_by_somebody_else_is_shown(home: Path) -> None:
    """The table follows the file, with the cursor where it was."""
    async with cooldowns(home) as ui:
        await ui.press("j", "j", "j")
        (home / "config.yaml").write_text(CONFIG.replace("2h", "4h"))
        await ui.reload()
        assert cells(ui, "billing")[0] == "4h, ×2 up to 1d"
        ui.sees("402, or a balance")


async def test_names_are_hidden_where_they_are_masked(home: Path) -> None:
    """Keys go by their ids, in the table and in the preview."""
    async with cooldowns(home, "m", "C") as ui:
        ui.sees("aaa002: 503 10s")
        assert "spare" not in ui.text
        await ui.press("j", "enter", "0")
        ui.sees("aaa001: back now")


async def test_only_what_was_typed_last_is_judged(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a busy day is read, keys go on to work; one reading and one judgement at a time serve them all."""
    go_on, judged = threading.Event(), list[float | None]()
    read, preview = Today.read, Today.preview

    def slow(reader: HomeReader, now: float) -> Today:
        assert go_on.wait(20)
        return read(reader, now)

    def noted(today: Today, snapshot: HomeSnapshot, policy: Policy, now: float) -> Preview:
        judged.append(policy.everywhere["429"].wait_s)
        return preview(today, snapshot, policy, now)

    monkeypatch.setattr(Today, "read", slow)
    monkeypatch.setattr(Today, "preview", noted)
    async with cooldowns(home, "4", "C") as ui:
        await ui.press("j", "enter")
        await ui.pilot.press("end", "backspace", "backspace", "backspace", *"12")
        await ui.pilot.press(*"0s")
        ui.sees("120s")
        assert judged == []
        go_on.set()
        await ui.settle()
        assert judged[-1] == 120
        assert len(judged) <= 2
        ui.sees("ci: 14:03:51 instead of 14:03:21")
