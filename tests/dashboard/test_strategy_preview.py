from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes import NOW, a_key, benched, keys, tree, write_store
from keydeck.present.glyphs import ASCII
from ui import SIZES, running

STRATEGIES = ("fill_first", "round_robin", "least_used", "random", "sticky")

THREE_OF_FOUR = [
    a_key("aaa001", "team-a", request_count=10),
    a_key("aaa002", "team-b", priority=1, request_count=9),
    a_key("aaa003", "benched", priority=2, **benched(until=NOW + 900)),
    a_key("aaa004", "burst-key", priority=3, request_count=10),
]


async def previews(home: Path, size: tuple[int, int] = (80, 24), **options: Any) -> dict[str, str]:
    """Return what stands in the preview of each strategy, by going through the list."""
    found = {}
    async with running(home, size, **options) as ui:
        await ui.press("s")
        for name in STRATEGIES:
            lines = [
                line for line in ui.lines if any(sign in line for sign in ("next 5", "any of", "no key is"))
            ]
            assert len(lines) == 1, ui.text
            found[name] = lines[0][lines[0].index("│") :].strip(" │|…╮╯").strip()
            assert f") {name}" in ui.text
            await ui.press("j")
        await ui.press("escape")
    return found


async def test_the_next_picks_of_each_strategy_are_named(home: Path) -> None:
    """Only ready keys are named, in the order they would serve; where chance decides their number is."""
    write_store(home, {"openrouter": THREE_OF_FOUR})
    before = tree(home)
    assert await previews(home) == {
        "fill_first": "next 5 picks   team-a, each time",
        "round_robin": "next 5 picks   team-a, team-b, burst-key, team-a, team-b",
        "least_used": "next 5 picks   team-b, team-a, team-b, burst-key, team-a",
        "random": "any of 3",
        "sticky": "one key a session, any of 3",
    }
    assert tree(home) == before


async def test_masked_names_stay_masked(home: Path) -> None:
    """With names masked the preview says places."""
    write_store(home, {"openrouter": THREE_OF_FOUR})
    found = await previews(home, masked=True)
    assert found["round_robin"] == "next 5 picks   key 1, key 2, key 4, key 1, key 2"


async def test_with_no_ready_key_there_is_no_pick(home: Path) -> None:
    """A pool that is out says so under every strategy."""
    write_store(home, {"openrouter": [a_key("aaa001", **benched(until=NOW + 900))]})
    assert set((await previews(home)).values()) == {"no key is ready"}


async def test_a_sole_ready_key_is_certain_under_every_strategy(home: Path) -> None:
    """With one ready key neither chance nor session decides anything."""
    write_store(home, {"openrouter": [a_key("aaa001", "only"), a_key("aaa002", priority=1, **benched())]})
    assert set((await previews(home)).values()) == {"next 5 picks   only, each time"}


async def test_repeats_are_counted(home: Path) -> None:
    """The same key several times in a row is written once."""
    rows = [a_key("aaa001", "new"), a_key("aaa002", "old", priority=1, request_count=3)]
    write_store(home, {"openrouter": rows})
    assert (await previews(home))["least_used"] == "next 5 picks   new x4, old"


@pytest.mark.parametrize("size", SIZES)
async def test_long_and_hostile_names_are_cut_inside_the_frame(home: Path, size: tuple[int, int]) -> None:
    """Names that do not fit end in a sign within the dialog's frame, and steer nothing."""
    rows = [a_key(f"aaa00{n}", f"[/b]\x1b[31m{n}" + "x" * 60, priority=n) for n in range(3)]
    write_store(home, {"openrouter": rows})
    async with running(home, size) as ui:
        await ui.press("s", "j")
        line = ui.line("next 5 picks   [/b]0xxx")
        assert line[line.index("next") :].rstrip(" │").endswith("…") or "…│" in line.replace(" ", "")
        assert "\x1b" not in ui.text
        ui.sees(": how it picks", "╰─", "enter set")


async def test_the_preview_follows_the_clock(home: Path) -> None:
    """A key whose bench ended while the dialog was open is among the picks when the cursor moves."""
    rows = [a_key("aaa001", "back", **benched(until=NOW + 5)), a_key("aaa002", "there", priority=1)]
    write_store(home, {"openrouter": rows})
    async with running(home, (80, 24)) as ui:
        await ui.press("s")
        ui.sees("next 5 picks   there, each time")
        await ui.tick(6)
        await ui.press("j")
        ui.sees("next 5 picks   back, there, back, there, back")


async def test_nothing_is_written_before_enter(home: Path) -> None:
    """Looking at all strategies leaves every file alone; enter writes the one under the cursor."""
    write_store(home, {"openrouter": THREE_OF_FOUR})
    before = tree(home)
    async with running(home, (80, 24)) as ui:
        await ui.press("s", *["j"] * 4, *["k"] * 4)
        assert tree(home) == before
        await ui.press("j", "enter")
        assert "round_robin" in (home / "config.yaml").read_text()


async def test_a_click_looks_and_sets(home: Path) -> None:
    """A click on a strategy is as good as moving there and pressing enter."""
    write_store(home, {"openrouter": THREE_OF_FOUR})
    async with running(home, (80, 24)) as ui:
        await ui.press("s")
        y = next(y for y, line in enumerate(ui.lines) if ") random" in line)
        await ui.pilot.click(offset=(ui.lines[y].index("random"), y))
        await ui.settle()
        assert len(ui.app.screen_stack) == 1
        assert "random" in (home / "config.yaml").read_text()


async def test_an_obstacle_is_said_and_enter_does_nothing(home: Path) -> None:
    """In a managed home the preview still works, and nothing can be set."""
    write_store(home, {"openrouter": THREE_OF_FOUR})
    (home / ".managed").touch()
    before = tree(home)
    async with running(home, (80, 24)) as ui:
        await ui.press("s", "j")
        ui.sees("package manager", "next 5 picks   team-a, team-b")
        await ui.press("enter")
        ui.sees("package manager")
    assert tree(home) == before


async def test_an_inherited_pool_says_whose_file_is_written(tmp_path: Path) -> None:
    """The root's keys are picked from by this profile's own strategy."""
    root = tmp_path / "root"
    write_store(root, {"openrouter": keys("aaa001", "aaa002")})
    (root / "profiles" / "work").mkdir(parents=True)
    async with running(root, (80, 24), profile="work") as ui:
        await ui.press("s")
        ui.sees("of this profile; the keys are the root's")


async def test_the_dialog_is_ascii_where_that_is_wanted(home: Path) -> None:
    """With --ascii every strategy is shown without another character, the cursor as a sign."""
    write_store(home, {"openrouter": THREE_OF_FOUR})
    async with running(home, (60, 16), glyphs=ASCII) as ui:
        await ui.press("s")
        ui.sees("* (*) fill_first", "+- openrouter: how it picks")
        for _ in STRATEGIES:
            assert ui.text.isascii(), ui.text
            await ui.press("j")
