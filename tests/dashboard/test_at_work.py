from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes import NOW, FakeClock, a_home, a_key, a_pool, keys, load_whole, tree, write_down, write_store
from keydeck.engine.credential import CLEAN_STATUS
from keydeck.engine.file_store import FileStore
from keydeck.engine.pool import CredentialPool
from ui import Ui, running


@pytest.fixture
def store(home: Path) -> Path:
    write_store(home, {"openrouter": keys("aaa001", "aaa002"), "zai": keys("bbb001")})
    return home


def requests(home: Path, number: int, clock: FakeClock) -> CredentialPool:
    """Have an agent send requests with the first key of openrouter."""
    pool = a_pool(home, clock=clock)
    for _ in range(number):
        pool.select()
    pool._store.flush()
    return pool


async def test_what_an_agent_does_is_on_screen(store: Path) -> None:
    """Its requests and its cooldown, while auth.json stays as it was."""
    before = (store / "auth.json").read_bytes()
    async with running(store, watch=True) as ui:
        pool = requests(store, 7, ui.clock)
        await ui.until(lambda: " 7 " in ui.row("key-aaa001"))
        pool.mark_exhausted_and_rotate(status_code=429)
        pool._store.flush()
        await ui.until(lambda: "429" in ui.row("key-aaa001"))
        await ui.until(lambda: any("429 rate limit" in line for line in ui.lines))
    assert (store / "auth.json").read_bytes() == before


async def test_the_last_hour_shows_as_soon_as_something_is_told(store: Path) -> None:
    """No chart without a journal; with one a chart for every key and the rate of the pool, from the next second on."""
    async with running(store, watch=True) as ui:
        assert "▁" not in ui.text
        pool = requests(store, 30, ui.clock)
        await ui.until(lambda: " 30 " in ui.row("key-aaa001"))
        await ui.tick()
        ui.sees("30/m")
        assert "▁▁█" in ui.row("key-aaa001")
        assert "100%" in ui.row("key-aaa001")
        assert "▁▁▁" in ui.row("key-bbb001")
        pool._store.close()


async def test_a_row_changed_outside_is_marked_for_a_while(store: Path) -> None:
    """Another program clears a cooldown: the row has a sign, the strip says who did it; later the sign is gone."""
    clock = FakeClock(NOW - 100)
    requests(store, 1, clock).mark_exhausted_and_rotate(status_code=402)
    write_down(store)
    document = load_whole(store)
    for row in document["credential_pool"]["openrouter"]:
        row.update(CLEAN_STATUS)
    (store / "auth.json").write_text(json.dumps(document))
    checkpointer = FileStore(a_home(store), clock=FakeClock(NOW - 5))
    checkpointer.snapshot()
    assert checkpointer.checkpoint()
    checkpointer.close()
    async with running(store) as ui:
        ui.sees("changed outside")
        assert "Δ" in ui.row("key-aaa001")
        await ui.tick(600)
        assert "Δ" not in ui.row("key-aaa001")


async def test_acts_are_told_once(store: Path) -> None:
    """A rename of ours is one line of the strip, although journal and file both tell of it; undo is another."""
    async with running(store, watch=True) as ui:
        await ui.press("e", "end", *("backspace",) * 3, *"uno", "enter")
        await ui.until(lambda: "key-aaauno" in ui.row("key-a"))
        await ui.tick()
        assert _told(ui, "renamed") == 1
        await ui.press("u")
        await ui.until(lambda: _told(ui, "renamed") == 2)
        await ui.tick()
        assert _told(ui, "renamed") == 2


def _told(ui: Ui, word: str) -> int:
    return sum(change.kind == word for change in ui.app.activity.newest(100))


async def test_looking_at_agents_at_work_writes_nothing(store: Path) -> None:
    """Opening, following, all screens and leaving: no checkpoint, no segment, no lock of the dashboard's."""
    agent = requests(store, 5, FakeClock())
    agent.mark_exhausted_and_rotate(status_code=429)
    agent._store.flush()
    before = tree(store)
    async with running(store, watch=True) as ui:
        await ui.press("2", "j", "enter", "escape", "4", "1", "j", "enter", "escape")
        await ui.tick(60)
        await ui.press("ctrl+r")
    assert tree(store) == before


async def test_duplicates_are_signed(home: Path) -> None:
    """Two rows with one secret: a sign on each, one count, and the detail says so."""
    twins = [
        a_key("aaa001", "one", access_token="sk-the-same-0123", request_count=3),
        a_key("aaa002", "two", access_token="sk-the-same-0123", priority=1),
    ]
    write_store(home, {"openrouter": twins})
    async with running(home) as ui:
        assert all("≡" in ui.row(f" {label} ") for label in ("one", "two"))
        assert " 3 " in ui.row(" two ")
        await ui.press("enter")
        ui.sees("same key", "one key, counted and benched")
