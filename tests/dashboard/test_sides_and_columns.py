"""The four sizes and what is between them: side bar, two columns, moving beside, resizing, and the mouse."""

from __future__ import annotations

from itertools import chain, pairwise, permutations
from pathlib import Path
from typing import Any

import pytest
from textual import events

from fakes import NOW, a_key, benched, keys, tree, write_store
from keydeck.dashboard.widgets.pool_pane import PoolPane
from keydeck.demo.scene import write_scene
from keydeck.present.text import width
from ui import SIZES, Ui, running


def fits(ui: Ui, size: tuple[int, int]) -> bool:
    """Tell whether the frame is exactly as large as the terminal."""
    return len(ui.lines) == size[1] and all(width(line) <= size[0] for line in ui.lines)


async def resize(ui: Ui, *size: int) -> None:
    await ui.pilot.resize_terminal(*size)
    await ui.settle()


def panes(ui: Ui) -> list[list[str]]:
    """Return the pools of each column, from top to bottom, where they are drawn."""
    columns: dict[int, list[tuple[int, str]]] = {}
    for pane in ui.app._pools._stack.query(PoolPane):
        columns.setdefault(pane.region.x, []).append((pane.region.y, pane.view.provider))
    return [[name for _, name in sorted(columns[x])] for x in sorted(columns)]


# --- side bar and columns ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "side"),
    [
        ((60, 16), False),
        ((80, 24), False),
        ((120, 40), False),
        ((159, 60), False),
        ((160, 32), True),
        ((200, 60), True),
    ],
)
async def test_the_side_bar_stands_only_where_there_is_room(
    home: Path, size: tuple[int, int], side: bool
) -> None:
    """From 160 cells on there are two columns, what needs attention and the selected key beside them."""
    write_scene(home, NOW)
    async with running(home, size) as ui:
        assert ("needs attention" in ui.text) is side
        assert len(panes(ui)) == (2 if side else 1)
        assert fits(ui, size)
        assert len([*chain(*panes(ui))]) == 5


async def test_a_wide_but_low_terminal_has_no_side_bar(home: Path) -> None:
    """Below 32 lines there is one column and no bar, however wide it is."""
    write_scene(home, NOW)
    async with running(home, (200, 31)) as ui:
        assert "needs attention" not in ui.text
        assert len(panes(ui)) == 1
        assert fits(ui, (200, 31))


async def test_pools_are_shared_out_to_the_shorter_column(home: Path) -> None:
    """Each pool in the store's order goes to the column that is shorter by then; anew only for other pools."""
    pools = {
        name: keys(*(f"{name[:3]}{n:03d}" for n in range(count)))
        for name, count in (("openrouter", 6), ("zai", 2), ("deepseek", 2), ("nous", 1))
    }
    write_store(home, pools)
    async with running(home, (200, 60)) as ui:
        assert panes(ui) == [["openrouter"], ["zai", "deepseek", "nous"]] or panes(ui) == [
            ["openrouter", "nous"],
            ["zai", "deepseek"],
        ]
        packed = panes(ui)
        write_store(home, {**pools, "zai": keys(*(f"zai{n:03d}" for n in range(9)))})
        await ui.reload()
        assert panes(ui) == packed
        write_store(home, {**pools, "gemini": keys("gem001")})
        await ui.reload()
        assert sorted([*chain(*panes(ui))]) == sorted([*pools, "gemini"])


async def test_the_side_bar_explains_the_key_under_the_cursor(home: Path) -> None:
    """It names what is wrong, soonest trouble first, and follows the cursor; ``w`` gives its room to the rows."""
    write_scene(home, NOW)
    async with running(home, (200, 60)) as ui:
        ui.sees("needs attention", "╭─ team-a@corp.com")
        for _ in range(15):
            await ui.pilot.press(*(() if ui.cursor == ("openai-codex", "6b0f12") else ("j",)))
        ui.sees("╭─ codex-login", "cooling", "free again")
        await ui.press("w")
        assert "needs attention" not in ui.text and len(panes(ui)) == 1
        await ui.press("w")
        ui.sees("needs attention")


async def test_left_and_right_go_to_the_pool_beside(home: Path) -> None:
    """``h`` and ``l`` change the column, to the pool at about the same height; at the edge they go on in order."""
    write_scene(home, NOW)
    async with running(home, (200, 60)) as ui:
        left, right = panes(ui)
        assert ui.cursor is not None and ui.cursor[0] == left[0]
        await ui.press("l")
        assert ui.cursor[0] == right[0]
        await ui.press("h")
        assert ui.cursor[0] == left[0]
        await ui.press("right")
        assert ui.cursor[0] == right[0]
        await ui.press("left")
        assert ui.cursor[0] == left[0]
        await ui.press("h")
        assert ui.cursor[0] == right[-1]


async def test_left_and_right_in_one_column_are_previous_and_next(home: Path) -> None:
    """Without a column beside, they go through the pools like tab."""
    write_scene(home, NOW)
    async with running(home, (80, 24)) as ui:
        (names,) = panes(ui)
        await ui.press("l", "l")
        assert ui.cursor is not None and ui.cursor[0] == names[2]
        await ui.press("h")
        assert ui.cursor[0] == names[1]


async def test_down_goes_through_the_first_column_then_the_second(home: Path) -> None:
    """Rows are read as they stand: every row once, down the left column and then down the right."""
    write_scene(home, NOW)
    async with running(home, (200, 60)) as ui:
        order = [*chain(*panes(ui))]
        seen = [ui.cursor]
        for _ in range(14):
            await ui.pilot.press("j")
            seen.append(ui.cursor)
        assert len(set(seen)) == 15
        assert list(dict.fromkeys(place[0] for place in seen if place)) == order


# --- resizing ----------------------------------------------------------------------------------------------


async def test_every_change_of_size_keeps_cursor_and_marks(home: Path) -> None:
    """Between all four sizes, there and back: the same key is under the cursor and in sight, the same are marked."""
    write_scene(home, NOW)
    path = [SIZES[place] for place in (0, 1, 0, 2, 0, 3, 1, 2, 1, 3, 2, 3, 0)]
    assert set(pairwise(path)) == set(permutations(SIZES, 2))
    async with running(home, SIZES[0]) as ui:
        await ui.press("v", "G", "k", "v", "k")
        cursor = ui.cursor
        assert cursor == ("custom:together.ai", "81ab03") or cursor is not None
        for after in path[1:]:
            await resize(ui, *after)
            assert fits(ui, after), after
            assert ui.cursor == cursor
            assert " 2 marked " in ui.lines[0]
            assert sum(line.count("✓") for line in ui.lines) in (1, 2)


async def test_the_cursor_is_in_sight_after_every_change_of_size(home: Path) -> None:
    """A terminal that shrinks scrolls to the key under the cursor."""
    rows = [a_key(f"a{place:05d}", f"row-{place:03d}", priority=place) for place in range(70)]
    write_store(home, {"openrouter": rows})
    async with running(home, (200, 60)) as ui:
        for _ in range(3):
            await ui.press("pagedown")
        label = f"row-{int(str(ui.cursor and ui.cursor[1])[1:]):03d}"
        for size in (*SIZES, *SIZES[::-1]):
            await resize(ui, *size)
            assert any(f"● {label}" in line for line in ui.lines), (size, label, ui.text)


async def test_every_screen_and_dialog_takes_every_size(home: Path) -> None:
    """Whatever is open stays open and within the terminal, from 200x60 to smaller than anything fits."""
    write_scene(home, NOW)
    async with running(home, (80, 24)) as ui:
        for opens in ("enter", "question_mark", "d", "a", "slash", "4"):
            await ui.press(opens)
            screen = ui.app.screen
            for size in ((200, 60), (40, 10), (1, 1), (80, 24)):
                await ui.pilot.resize_terminal(*size)
                await ui.pilot.pause()
                assert fits(ui, size), (opens, size)
                assert ui.app.screen is screen, opens
            await ui.press("escape")


@pytest.mark.parametrize("size", [(39, 24), (80, 9), (12, 4)])
async def test_too_small_shows_what_is_needed_and_nothing_else(home: Path, size: tuple[int, int]) -> None:
    """Under 40x10 only the two bars and the size that is needed are there; growing brings everything back."""
    write_scene(home, NOW)
    async with running(home, (80, 24)) as ui:
        await ui.press("j")
        cursor = ui.cursor
        await resize(ui, *size)
        said = " ".join(" ".join(ui.lines[1:-1]).split())
        assert f"too small: {size[0]}x{size[1]}, needs 40x10".startswith(said) and said
        if size[1] > 5:
            assert said.endswith("40x10")
        await ui.press("enter")
        assert "team" not in ui.text and "state" not in ui.text
        await ui.press("escape")
        await resize(ui, 80, 24)
        ui.sees("anthropic  3/5 ready", "team-a@corp.com")
        assert "too small" not in ui.text
        assert ui.cursor == cursor


async def test_the_smallest_size_that_fits(home: Path) -> None:
    """At 40x10 pools and rows are there, with label and state."""
    write_scene(home, NOW)
    async with running(home, (40, 10)) as ui:
        assert "too small" not in ui.text
        assert "ready" in ui.row("● team-a") and fits(ui, (40, 10))


# --- the mouse ---------------------------------------------------------------------------------------------


async def click(ui: Ui, text: str, *, times: int = 1) -> None:
    """Click on the first place where a text stands."""
    y = next(y for y, line in enumerate(ui.lines) if text in line)
    await ui.pilot.click(offset=(ui.lines[y].index(text), y), times=times)
    await ui.settle()


@pytest.mark.parametrize("size", [(60, 16), (200, 60)])
async def test_a_click_selects_and_a_double_click_opens(home: Path, size: tuple[int, int]) -> None:
    """One click puts the cursor on the key, two open it, escape comes back to it."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002"), "zai": keys("bbb001", "bbb002")})
    async with running(home, size) as ui:
        await click(ui, "key-bbb002")
        assert ui.cursor == ("zai", "bbb002")
        assert len(ui.app.screen_stack) == 1
        await click(ui, "key-aaa002", times=2)
        ui.sees("pools → openrouter → key-aaa002")
        await ui.press("escape")
        assert ui.cursor == ("openrouter", "aaa002")


@pytest.mark.parametrize("size", [(60, 16), (200, 60)])
async def test_a_click_on_the_strategy_opens_its_list(home: Path, size: tuple[int, int]) -> None:
    """The word in the headline or in the lower edge is a button, of the pool in which it stands."""
    write_store(home, {"openrouter": keys("aaa001"), "zai": keys("bbb001")})
    (home / "config.yaml").write_text("credential_pool_strategies: {zai: least_used}\n")
    async with running(home, size) as ui:
        await click(ui, "least_used")
        ui.sees("zai: how it picks", "(•) least_used")
        await ui.press("escape")
        assert ui.cursor == ("zai", "bbb001")


async def test_a_click_on_a_headline_selects_its_pool(home: Path) -> None:
    """The headline takes the cursor to the pool's first key; that of a folded pool, twice, opens it."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002"), "zai": keys("bbb001")})
    async with running(home, (80, 24)) as ui:
        await click(ui, "zai  1/1")
        assert ui.cursor == ("zai", "bbb001")
        await ui.press("minus", "g")
        await click(ui, "zai  1/1")
        assert ui.cursor is not None and ui.cursor[1] is None
        await click(ui, "zai  1/1", times=2)
        ui.sees("key-bbb001")


async def test_a_click_on_the_bar_does_what_its_key_does(home: Path) -> None:
    """Every key of the bar is a button; beyond the last nothing happens; read-only has no dangerous ones."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, (120, 40)) as ui:
        for text, opens in (
            ("? help", "╭─ keys"),
            ("/ filter", " / "),
            ("s strategy", "how it picks"),
            ("d remove", "╭─ remove"),
        ):
            y = len(ui.lines) - 1
            await ui.pilot.click(offset=(ui.lines[y].index(text), y))
            await ui.settle()
            ui.sees(opens)
            await ui.press("escape")
        await ui.pilot.click(offset=(118, 39))
        assert len(ui.app.screen_stack) == 1


async def test_the_other_buttons_do_nothing(home: Path) -> None:
    """A right click, which terminals use themselves, neither selects nor opens."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, (80, 24)) as ui:
        await ui.pilot.click(offset=(10, 3), button=3)
        await ui.settle()
        assert ui.cursor == ("openrouter", "aaa001")


async def test_the_wheel_scrolls_and_leaves_the_cursor(home: Path) -> None:
    """Rows come into view under the wheel; the cursor stays on its key, and a key press brings it back into view."""
    rows = [a_key(f"a{place:05d}", f"row-{place:03d}", priority=place) for place in range(60)]
    write_store(home, {"openrouter": rows})
    async with running(home, (80, 24)) as ui:
        stack = ui.app._pools._stack
        for _ in range(4):
            at: Any = {"x": 10, "y": 5, "screen_x": 10, "screen_y": 6}
            stack.post_message(
                events.MouseScrollDown(
                    stack, delta_x=0, delta_y=1, button=0, shift=False, meta=False, ctrl=False, **at
                )
            )
        await ui.settle()
        assert "row-000" not in ui.text
        assert ui.cursor == ("openrouter", "a00000")
        await ui.press("j")
        assert ui.cursor == ("openrouter", "a00001")
        ui.sees("row-001")


async def test_clicks_on_what_has_just_gone_do_nothing(home: Path) -> None:
    """Below the last row, beside the panes and on an empty screen a click is harmless."""
    write_store(home, {"openrouter": keys("aaa001")})
    before = tree(home)
    async with running(home, (200, 60)) as ui:
        for spot in ((3, 40), (190, 3), (190, 50), (0, 0), (150, 58)):
            await ui.pilot.click(offset=spot, times=2)
            await ui.settle()
        await ui.press("escape")
        assert ui.cursor == ("openrouter", "aaa001")
    assert tree(home) == before


async def test_marks_and_states_in_the_second_column(home: Path) -> None:
    """A row at the right is marked, moves and is told as one at the left is."""
    rows = [a_key("bbb001", "late", **benched(429, until=NOW + 90))]
    write_store(home, {"openrouter": keys("aaa001", "aaa002"), "zai": rows})
    async with running(home, (200, 60)) as ui:
        await ui.press("l", "v")
        assert "✓◐ late" in ui.text
        assert "1m30s" in ui.row("✓◐ late")
        await ui.tick(30)
        assert "1m00s" in ui.row("✓◐ late")
