"""One key in full: the facts of its state, the acts that work there, what happens when it goes, and the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.program import Run, run_now
from fakes import NOW, a_key, a_login, benched, keys, load, tree, write_store
from keydeck.dashboard.screens.detail import DetailScreen
from keydeck.present.explain_form import row_form
from keydeck.present.text import width
from ui import Ui, running

DEAD = {"last_status": "dead", "last_status_at": NOW - 60, "last_error_code": 401}


def order(home: Path) -> list[str]:
    rows = load(home)["credential_pool"]["openrouter"]
    return [row["id"] for row in sorted(rows, key=lambda row: float(row["priority"]))]


async def told(ui: Ui, text: str) -> None:
    await ui.until(lambda: all(word in ui.text for word in text.split()))
    await ui.settle()


async def test_every_state_has_its_facts(home: Path) -> None:
    """Opened one by one, a key in each state says how it stands, why, and what helps; escape returns to its row."""
    rows = [
        a_key("aaa001", "fine", request_count=1288),
        a_key(
            "aaa002", "cool", priority=1, **benched(429, ago=600, until=NOW + 840, last_error_message="slow")
        ),
        a_key("aaa003", "dead", priority=2, **DEAD),
        a_key("aaa004", "unset", priority=3, source="env:MY_KEY", access_token=...),
        a_login("log001", "login", priority=4, expires_at_ms=(NOW + 250) * 1000),
        a_login("log002", "over", priority=5, expires_at_ms=(NOW - 60) * 1000),
        a_key("aaa007", "half", priority="x"),
    ]
    write_store(home, {"openrouter": rows})
    said = {
        "fine": ("● ready", "the next request goes here", "stored here, fingerprint", "1,288, rank 1 of 6"),
        "cool": (
            "◐ cooling",
            "429 rate limit: slow",
            "14:16:11, in 14m00s",
            "found in the file (hermes)",
            "the next request goes to fine",
        ),
        "dead": ("▲ log in again", "401 key refused", "14:01:11 (1m00s ago)", "press a for a new key"),
        "unset": (
            "○ no secret: MY_KEY unset",
            "env:MY_KEY",
            "not here",
            "set the variable where the agent runs",
        ),
        "login": ("△ ready", "ends 14:06:21, in 4m10s", "oauth login", "ready, but fine comes first"),
        "over": ("○ token ended, hermes renews it", "ended 14:01:11 (1m00s ago)"),
        "half": ("? ", "priority", "mend this row in auth.json by hand", "aaa007"),
    }
    async with running(home, (120, 40)) as ui:
        await ui.press("g")
        while said:
            row = ui.app._pools.selected_row()
            assert row is not None
            cursor = ui.cursor
            await ui.press("enter")
            ui.sees(f"pools → openrouter → {row.label}", "history of this key", *said.pop(row.label))
            await ui.press("escape")
            assert ui.cursor == cursor
            await ui.press("j")


async def test_the_acts_work_there(home: Path) -> None:
    """Move, edit, reset, remove and undo act on the key that is shown, which stays in view, and write what they say."""
    rows = keys("aaa001", "aaa002", "aaa003")
    rows[1].update(benched(429, until=NOW + 900))
    write_store(home, {"openrouter": rows})
    async with running(home, (120, 40)) as ui:
        await ui.press("j", "enter")
        ui.sees("◐ cooling", "2 of 3")
        await ui.press("r")
        await told(ui, "reset key-aaa002")
        ui.sees("● ready", "2 of 3")
        assert load(home)["credential_pool"]["openrouter"][1]["last_status"] is None
        await ui.press("n")
        ui.sees("1 of 3", "the next request goes here")
        assert order(home) == ["aaa002", "aaa001", "aaa003"]
        await ui.press("J")
        assert order(home) == ["aaa001", "aaa002", "aaa003"]
        await ui.press("J")
        assert order(home) == ["aaa001", "aaa003", "aaa002"]
        await ui.press("K")
        assert order(home) == ["aaa001", "aaa002", "aaa003"]
        await ui.press("e", "end", *("backspace",) * 10, *"ci", "enter")
        await told(ui, "renamed key-aaa002 to ci")
        ui.sees("pools → openrouter → ci")
        await ui.press("d")
        ui.sees("openrouter / ci", "id aaa002")
        await ui.press("y")
        ui.sees("this key is gone", "esc goes back, u undoes a removal of yours")
        assert order(home) == ["aaa001", "aaa003"]
        await ui.press("u")
        await told(ui, "put ci back")
        ui.sees("pools → openrouter → ci", "● ready")
        assert sorted(order(home)) == ["aaa001", "aaa002", "aaa003"]
        await ui.press("y")
        assert ui.app.clipboard == "aaa002"
        await ui.press("escape")
        assert ui.cursor == ("openrouter", "aaa002")


@pytest.mark.parametrize("size", [(60, 16), (120, 40)])
async def test_a_key_that_vanishes_says_so_and_nothing_acts_on_it(home: Path, size: tuple[int, int]) -> None:
    """Whoever removed it, the screen says that it is gone and how to leave; no act hits another key or fails."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002"), "zai": keys("bbb001")})
    async with running(home, size) as ui:
        await ui.press("G", "enter")
        write_store(home, {"openrouter": keys("aaa001", "aaa002")})
        await ui.reload()
        assert "esc goes back, u undoes a removal of yours" in " ".join(ui.text.split())
        before = tree(home)
        await ui.press("r", "d", "e", "n", "K", "J", "R", "s", "y")
        assert len(ui.app.screen_stack) == 2
        assert tree(home) == before
        await ui.press("escape")
        assert len(ui.app.screen_stack) == 1
        assert ui.cursor is not None and ui.cursor[0] == "openrouter"


async def test_the_way_back_is_to_the_same_row_and_scroll(home: Path) -> None:
    """After a look at a key far down the list stands where it stood, scrolled as it was."""
    rows = [a_key(f"a{place:05d}", f"row-{place:03d}", priority=place) for place in range(60)]
    write_store(home, {"openrouter": rows})
    async with running(home, (80, 24)) as ui:
        await ui.press("pagedown", "pagedown", "k", "k", "k")
        before, cursor = ui.lines, ui.cursor
        await ui.press("enter", "J")
        await ui.settle()
        await ui.press("K")
        await told(ui, "moved")
        await ui.tick(10)
        await ui.press("escape")
        assert ui.cursor == cursor
        assert [line[:40] for line in ui.lines[1:18]] == [line[:40] for line in before[1:18]]


async def test_it_follows_the_clock_the_file_and_the_label(home: Path) -> None:
    """The countdown runs, a change by another program shows, and the history tells it."""
    write_store(home, {"openrouter": [a_key("aaa001", "one", **benched(429, until=NOW + 90))]})
    async with running(home, (120, 40)) as ui:
        await ui.press("enter")
        ui.sees("in 1m30s")
        await ui.tick(30)
        ui.sees("in 1m00s")
        write_store(home, {"openrouter": [a_key("aaa001", "uno", **DEAD)]})
        await ui.reload()
        ui.sees("pools → openrouter → uno", "▲ log in again")
        history = ui.text.partition("history of this key")[2]
        assert "log in again" in history and "429" in history


async def test_why_a_key_is_taken_or_not_is_what_the_command_says(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key by key the same facts as ``keydeck auth explain --json``, in words, and live."""
    run = run_now(home, monkeypatch)
    rows = keys("aaa001", "aaa002", "aaa003", "aaa004")
    rows[1].update(benched(429, until=NOW + 169))
    rows[3]["priority"] = "x"
    write_store(home, {"openrouter": rows})
    said = {
        "aaa001": ("the next request goes here", "the first ready key (fill_first)"),
        "aaa002": ("cooling until 14:05:00 (2m49s left)", "changes it  wait 2m49s, or press r"),
        "aaa003": (
            "the next request goes to key-aaa001",
            "but key-aaa001 comes first",
            "press n, or press s",
        ),
        "aaa004": ("changes it  mend this row in auth.json by hand",),
    }
    async with running(home, (120, 40)) as ui:
        await ui.press("g")
        for row in explained(run):
            await ui.press("enter")
            screen = ui.app.screen
            assert isinstance(screen, DetailScreen) and screen.why is not None
            assert row_form(screen.why, row["label"], ui.app.view.scrubber) == row
            ui.sees(*said[row["id"]])
            await ui.press("escape", "j")
        await ui.press("g", "j", "enter")
        await ui.tick(100)
        ui.sees("wait 1m09s, or press r")
        await ui.tick(70)
        ui.sees("but key-aaa001 comes first")


def explained(run: Run) -> list[dict[str, Any]]:
    """Return the rows that the command line explains at the moment of the tests."""
    rows: list[dict[str, Any]] = json.loads(run.done("auth", "explain", "openrouter", "--json"))["rows"]
    return rows


async def test_a_small_terminal_scrolls_to_the_rest(home: Path) -> None:
    """At 60x16 the facts are longer than the screen: the moving keys reach the end and the top."""
    write_store(home, {"openrouter": [a_key("aaa001", "one", **benched(429, until=NOW + 90))]})
    async with running(home, (60, 16)) as ui:
        await ui.press("enter")
        assert "history of this key" not in ui.text
        for down, up in (("G", "g"), ("pagedown", "pageup")):
            top = ui.lines
            await ui.press(down, down)
            ui.sees("history of this key")
            await ui.press(up, up)
            assert ui.lines == top
        second = ui.lines[3][:50]
        await ui.press("j")
        assert ui.lines[2][:50] == second
        await ui.press("k")
        assert ui.lines == top


@pytest.mark.parametrize("size", [(60, 16), (120, 40)])
async def test_hostile_rows_in_full(home: Path, size: tuple[int, int]) -> None:
    """Whatever stands in a row, its facts are text, within the terminal, and without the secret in them."""
    secret = "sk-planted-0123456789abcdef"
    hostile = f"\x1b]0;t\x07[/x]\u202e{secret} " + "x" * 300
    row = a_key(
        f"id{hostile}",
        hostile,
        access_token=secret,
        base_url=hostile,
        source=f"manual:{hostile}",
        auth_type=hostile,
        **benched(429, last_error_message=hostile),
    )
    write_store(home, {f"custom:{hostile}": [row]})
    async with running(home, size) as ui:
        await ui.press("enter")
        assert len(ui.app.screen_stack) == 2
        seen = ui.text
        for _ in range(8):
            await ui.pilot.press("pagedown")
            seen += "\n" + ui.text
        assert "[/x]" in seen
        assert secret[3:] not in seen
        assert not any(ord(char) < 0x20 or char in "\u202e\x7f" for char in seen.replace("\n", ""))
        assert all(width(line) <= size[0] for line in seen.splitlines())


@pytest.mark.parametrize("where", [(), ("enter",)], ids=["pools", "detail"])
async def test_acts_on_a_row_that_cannot_be_read_say_so_at_once(home: Path, where: tuple[str, ...]) -> None:
    """No question is asked first: each act ends in the reason and what helps, and the file stays."""
    write_store(home, {"openrouter": [a_key("aaa001", "half", priority="first")]})
    before = tree(home)
    async with running(home, (120, 40)) as ui:
        await ui.press(*where)
        depth = len(ui.app.screen_stack)
        for key in ("d", "e", "r", "n", "K", "J"):
            await ui.press(key)
            await ui.until(lambda: "that row cannot be read" in ui.text)
            ui.sees("mend auth.json by hand")
            assert len(ui.app.screen_stack) == depth
            await ui.press("escape")
            assert "that row cannot be read" not in ui.text
    assert tree(home) == before


async def test_inherited_keys_say_where_to_act(tmp_path: Path) -> None:
    """A key of the root profile is shown with whose it is, and acts are refused with that reason."""
    root = tmp_path / "root"
    write_store(root, {"openrouter": keys("aaa001", "aaa002")})
    (root / "profiles" / "work").mkdir(parents=True)
    before = tree(root)
    async with running(root, (120, 40), profile="work") as ui:
        await ui.press("enter")
        ui.sees("profile     the root profile's; acts need")
        await ui.press("r", "d", "n")
        await told(ui, "openrouter is the root profile's here; act on it with --profile default")
        assert len(ui.app.screen_stack) == 2
    assert tree(root) == before
