from __future__ import annotations

from pathlib import Path

import pytest

from fakes import NOW, a_key, a_reader, benched, keys, load, tree, write_store
from keydeck.engine.acts import Operator
from keydeck.engine.state import HealthKind
from ui import SIZES, Ui, running


def kinds(home: Path, provider: str = "openrouter") -> list[HealthKind]:
    pool = a_reader(home).read().pool(provider)
    assert pool is not None
    return [row.health.kind for row in pool.at(NOW).rows]


async def told(ui: Ui, text: str) -> None:
    await ui.until(lambda: text in ui.text)


@pytest.mark.parametrize("size", SIZES)
async def test_space_asks_for_how_long_and_pauses(home: Path, size: tuple[int, int]) -> None:
    """The list fits at every size; enter takes the key out, the row and the bar say so, space lets it work again."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, size) as ui:
        await ui.press("space")
        ui.sees("openrouter / key-aaa001", "until it is resumed", "15 minutes", "enter pause")
        await ui.press("enter")
        await told(ui, "paused: key-aaa001")
        assert kinds(home) == [HealthKind.PAUSED, HealthKind.READY]
        ui.sees("openrouter  1/2 ready", "1 paused")
        assert "■" in ui.row("key-aaa001")
        await ui.press("space")
        await told(ui, "resumed key-aaa001")
        assert kinds(home) == [HealthKind.READY, HealthKind.READY]


async def test_a_pause_can_have_an_end(home: Path) -> None:
    """The row says until when; at that time it is ready on screen, with nobody telling anything."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home) as ui:
        await ui.press("space")
        ui.sees("until 14:17:11", "until 15:02:11", "until Mon 09:00")
        await ui.press("j", "enter")
        await told(ui, "paused until 14:17: key-aaa001")
        assert "paused until 14:17" in ui.row("key-aaa001")
        await ui.press("enter")
        ui.sees("14:17:11, in 15m00s", "space lets it work again")
        await ui.press("escape")
        await ui.tick(900)
        assert "ready" in ui.row("key-aaa001")
        ui.sees("pause over")


async def test_it_is_undone(home: Path) -> None:
    """``u`` takes a pause back, and another one the resume."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home) as ui:
        await ui.press("space", "enter")
        await told(ui, "paused: key-aaa001")
        await ui.press("u")
        await told(ui, "key-aaa001 works again")
        assert kinds(home) == [HealthKind.READY]


async def test_nothing_is_paused_by_looking_at_the_list(home: Path) -> None:
    """esc, q and a second space leave everything as it is."""
    write_store(home, {"openrouter": keys("aaa001")})
    before = tree(home)
    async with running(home, (80, 24)) as ui:
        for key in ("escape", "q", "space"):
            await ui.press("space")
            ui.sees("enter pause")
            await ui.press(key)
            assert len(ui.app.screen_stack) == 1
    assert tree(home) == before


async def test_the_last_ready_key_is_named_before_it_is_taken_out(home: Path) -> None:
    """The question says that none is ready then, and afterwards the pool says why (FS-67)."""
    write_store(home, {"openrouter": [a_key("aaa001"), a_key("aaa002", priority=1, **benched())]})
    async with running(home, (120, 40)) as ui:
        await ui.press("space")
        ui.sees("No key of openrouter is ready then")
        await ui.press("escape", "j", "space")
        assert "is ready then" not in ui.text


async def test_a_pool_that_is_all_paused_needs_attention(home: Path) -> None:
    """It is told as somebody's wish, with the way out, and with the time where it has one."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002"), "zai": keys("bbb001")})
    operator = Operator(a_reader(home))
    operator.pause("openrouter", "aaa001")
    async with running(home, (200, 60)) as ui:
        assert "openrouter  every key" not in ui.text
        operator.pause("openrouter", "aaa002")
        await ui.reload()
        ui.sees("openrouter  every key is paused: space resumes")
        operator.pause("openrouter", "aaa002", until=NOW + 600)
        await ui.reload()
        ui.sees("openrouter  paused, back in 10m00s")


async def test_marked_keys_are_paused_together(home: Path) -> None:
    """Those that are paused already stay as they are; when all are, space lets all of them work again."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002", "aaa003")})
    Operator(a_reader(home)).pause("openrouter", "aaa002", until=NOW + 60)
    async with running(home) as ui:
        await ui.press("v", "v", "v", "space")
        ui.sees("openrouter / key-aaa001", "openrouter / key-aaa003")
        assert "key-aaa002  id" not in ui.text
        await ui.press("enter")
        await told(ui, "paused 2 keys")
        assert kinds(home) == [HealthKind.PAUSED] * 3
        await ui.press("g", "v", "v", "v", "space")
        await told(ui, "resumed 3 keys")
        assert kinds(home) == [HealthKind.READY] * 3
        await ui.press("u")
        await told(ui, "put back 3 keys")
        assert kinds(home) == [HealthKind.PAUSED] * 3


async def test_what_goes_on_under_a_pause_is_told_in_the_detail(home: Path) -> None:
    """The bench that the key had, and when that is over."""
    write_store(home, {"openrouter": [a_key("aaa001", **benched(402, last_error_message="no credit"))]})
    Operator(a_reader(home)).pause("openrouter", "aaa001")
    async with running(home, (120, 40)) as ui:
        await ui.press("enter")
        ui.sees("under it", "cooling until 15:01:11: 402 payment", "no credit")
        await ui.press("space")
        await told(ui, "it is still out")
        assert kinds(home) == [HealthKind.COOLING]


async def test_read_only_pauses_nothing(home: Path) -> None:
    """Space does nothing there, and no list opens."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, (80, 24), read_only=True) as ui:
        await ui.press("space")
        assert len(ui.app.screen_stack) == 1
    assert load(home)["credential_pool"]["openrouter"][0]["last_status"] is None


async def test_a_key_of_the_root_profile_is_not_paused_here(home: Path) -> None:
    """It says where to act before anything is asked."""
    write_store(home, {"openrouter": keys("aaa001")})
    (home / "profiles" / "work").mkdir(parents=True)
    async with running(home, (80, 24), profile="work") as ui:
        await ui.press("space")
        await told(ui, "here; act on it with --profile")
