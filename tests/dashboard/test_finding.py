"""Filter, sort, problems, fold, zoom and columns: at once, undone one at a time, and the cursor stays on its key."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from fakes import NOW, a_key, benched, keys, tree, write_store
from keydeck.demo.scene import write_scene
from keydeck.present.text import width
from ui import Ui, running


def shown(ui: Ui) -> list[str]:
    """Return the labels of the rows on screen, in order."""
    return [row.label for view in ui.app._pools._shown for row in view.rows]


def place(ui: Ui) -> object:
    """Return where the cursor is."""
    return ui.cursor


async def type_filter(ui: Ui, text: str) -> None:
    """Open the filter and put a text into it as a paste does."""
    await ui.press("slash")
    ui.app.screen.query_one("#filter-field", Input).value = text
    await ui.settle()


def some_pools(home: Path) -> None:
    rows = [
        a_key("aaa001", "delta", request_count=5),
        a_key("aaa002", "bravo", priority=1, request_count=9, **benched(429, until=NOW + 900)),
        a_key("aaa003", "alpha", priority=2, last_status="dead", last_status_at=NOW - 9, last_error_code=401),
        a_key("aaa004", "charlie", priority=3, request_count=7, **benched(402, until=NOW + 60)),
    ]
    write_store(home, {"openrouter": rows, "zai": keys("bbb001", "bbb002"), "deepseek": keys("ccc001")})


# --- the filter --------------------------------------------------------------------------------------------


async def test_typing_filters_at_once_and_enter_keeps_it(home: Path) -> None:
    """Each letter narrows the rows, the line says how many match, and the kept pattern stays in the bar."""
    some_pools(home)
    async with running(home, (80, 24)) as ui:
        await ui.press("slash")
        ui.sees(" / ", "7 of 7")
        await ui.press("h")
        assert shown(ui) == ["alpha", "charlie"]
        await ui.press("a", "r")
        assert shown(ui) == ["charlie"]
        ui.sees(
            "1 of 7",
            "/har",
            "openrouter  1/4 ready until 14:03:11, then 2  3 hidden",
            "zai  2/2 ready  2 hidden",
        )
        await ui.press("enter")
        assert "1 of 7" not in ui.text
        assert "/har" in ui.lines[0]
        assert shown(ui) == ["charlie"]
        await ui.press("j", "s")
        ui.sees("openrouter: how it picks")


async def test_escape_clears_the_filter_while_typing_and_after(home: Path) -> None:
    """In the field or out of it, escape brings all rows back and the pattern leaves the bar."""
    some_pools(home)
    async with running(home, (80, 24)) as ui:
        for kept in ((), ("enter",)):
            await type_filter(ui, "alpha")
            await ui.press(*kept)
            assert shown(ui) == ["alpha"]
            await ui.press("escape")
            assert len(shown(ui)) == 7
            assert "alpha" not in ui.lines[0]
            assert not any(line.startswith(" / ") for line in ui.lines)


async def test_the_grammar_works_in_the_field(home: Path) -> None:
    """States, pools, codes and inverted terms do on screen what they do alone."""
    some_pools(home)
    async with running(home, (80, 24)) as ui:
        await type_filter(ui, "state:cool,dead !code:402")
        assert shown(ui) == ["bravo", "alpha"]
        ui.app.screen.query_one("#filter-field", Input).value = "!pool:openrouter"
        await ui.settle()
        assert shown(ui) == ["key-bbb001", "key-bbb002", "key-ccc001"]


async def test_a_bad_pattern_is_told_and_the_old_result_stays(home: Path) -> None:
    """While a term is half typed the rows are those of the last good pattern; enter keeps nothing bad."""
    some_pools(home)
    async with running(home, (120, 40)) as ui:
        await type_filter(ui, "code:429")
        assert shown(ui) == ["bravo"]
        ui.app.screen.query_one("#filter-field", Input).value = "code:429 state:x"
        await ui.settle()
        ui.sees("code:429 state:x", "no state x: ready probing cooling")
        assert ui.app.screen.query_one("#filter-bar").has_class("-wrong")
        assert shown(ui) == ["bravo"]
        await ui.press("enter")
        ui.sees("no state x")
        ui.app.screen.query_one("#filter-field", Input).value = "code:429 state:cool"
        await ui.settle()
        ui.sees("1 of 7")
        assert not ui.app.screen.query_one("#filter-bar").has_class("-wrong")
        await ui.press("enter")
        assert "/code:429 state:cool" in ui.lines[0]


@pytest.mark.parametrize("size", [(60, 16), (120, 40)])
async def test_what_is_typed_stays_in_sight(home: Path, size: tuple[int, int]) -> None:
    """However long the message beside it, the end of the pattern can be read; nothing leaves the terminal."""
    some_pools(home)
    async with running(home, size) as ui:
        await type_filter(ui, "state:nonsense")
        line = next(line for line in ui.lines if line.startswith(" / "))
        assert "state:nonsense" in line
        assert "no state nonsense" in line
        ui.app.screen.query_one("#filter-field", Input).value = "z" * 90
        await ui.settle()
        line = next(line for line in ui.lines if line.startswith(" / "))
        assert "zzzzzzzzzz" in line.partition("no match")[0]
        assert all(width(line) <= size[0] for line in ui.lines) and len(ui.lines) == size[1]


async def test_no_match_says_how_to_get_back(home: Path) -> None:
    """When nothing fits every pool is left with its headline, and the line says what escape does."""
    some_pools(home)
    async with running(home, (80, 24)) as ui:
        await type_filter(ui, "nothing-like-it")
        assert shown(ui) == []
        ui.sees(
            "no match for nothing-like-it, esc clears",
            "openrouter  1/4 ready until 14:03:11, then 2  4 hidden",
        )
        await ui.press("escape")
        assert ui.cursor == ("openrouter", "aaa001")


async def test_a_pattern_is_not_in_the_bar_while_names_are_masked(home: Path) -> None:
    """What was looked for may be a name: with names masked the bar only says that a filter is on."""
    some_pools(home)
    async with running(home, (120, 40)) as ui:
        await type_filter(ui, "charlie")
        await ui.press("enter")
        assert "/charlie" in ui.lines[0]
        await ui.press("m")
        assert "charlie" not in ui.text
        assert "filter on" in ui.lines[0]


@pytest.mark.parametrize("size", [(60, 16), (120, 40)])
async def test_a_hostile_pattern_stays_text(home: Path, size: tuple[int, int]) -> None:
    """Escape sequences and markup in what was pasted reach neither the bar nor the field as such."""
    some_pools(home)
    async with running(home, size) as ui:
        await type_filter(ui, "a\x1b]0;owned\x07b[/x]\u202ec\x1b[31m")
        await ui.press("enter")
        assert not any(ord(char) < 0x20 or char in "\u202e\x7f" for char in ui.text.replace("\n", ""))
        assert "ab[/x]" in ui.lines[0] or size[0] == 60
        assert all(width(line) <= size[0] for line in ui.lines)


async def test_the_filter_holds_for_what_arrives(home: Path) -> None:
    """Rows that come to fit appear, those that no longer fit go, and the counts are of the new store."""
    some_pools(home)
    async with running(home, (80, 24)) as ui:
        await type_filter(ui, "state:cool")
        await ui.press("enter")
        assert shown(ui) == ["bravo", "charlie"]
        write_store(home, {"openrouter": keys("aaa002"), "zai": [a_key("bbb001", "late", **benched())]})
        await ui.reload()
        assert shown(ui) == ["late"]
        ui.sees("openrouter  1/1 ready", "1 hidden")


# --- order -------------------------------------------------------------------------------------------------


async def test_sorting_goes_through_the_columns_and_says_so(home: Path) -> None:
    """``o`` takes the next column, ``O`` turns it round, the bar names it, and at last comes the pool's own order."""
    some_pools(home)
    async with running(home, (120, 40)) as ui:
        own = ["delta", "bravo", "alpha", "charlie"]
        orders = {
            "by state ▾": ["alpha", "bravo", "charlie", "delta"],
            "by name ▾": ["alpha", "bravo", "charlie", "delta"],
            "by requests ▾": ["bravo", "charlie", "delta", "alpha"],
            "by time left ▾": ["charlie", "bravo", "delta", "alpha"],
        }
        for said, order in orders.items():
            await ui.press("o")
            assert said in ui.lines[0]
            assert shown(ui)[:4] == order
        await ui.press("O")
        assert "reversed" in ui.lines[0]
        assert shown(ui)[:4] == ["alpha", "delta", "bravo", "charlie"]
        await ui.press("o")
        assert shown(ui)[:4] == own
        assert "by " not in ui.lines[0] and "reversed" not in ui.lines[0]


async def test_the_cursor_follows_its_key_through_everything(home: Path) -> None:
    """Sorted, reversed, filtered, reordered by another program: the cursor and the facts are of the same key."""
    some_pools(home)
    async with running(home, (120, 40)) as ui:
        await ui.press("j")
        for keys_pressed in (
            ("o",),
            ("O",),
            ("o",),
            ("o",),
            ("o",),
            ("o",),
            ("exclamation_mark",),
            ("z",),
            ("w",),
        ):
            await ui.press(*keys_pressed)
            assert ui.cursor == ("openrouter", "aaa002")
            ui.sees("╭─ bravo")
        await type_filter(ui, "bravo")
        assert ui.cursor == ("openrouter", "aaa002")
        await ui.press("escape", "escape", "escape")
        rows = [
            a_key("aaa004", "charlie"),
            a_key("aaa002", "bravo", priority=1),
            a_key("aaa001", "delta", priority=2),
        ]
        write_store(home, {"zai": keys("bbb001"), "openrouter": rows})
        await ui.reload()
        assert ui.cursor == ("openrouter", "aaa002")
        ui.sees("╭─ bravo")


async def test_the_cursor_stays_in_sight_in_a_long_list(home: Path) -> None:
    """Wherever a sort or a reload moves the key under the cursor, it is on screen."""
    rows = [
        a_key(f"a{place:05d}", f"row-{place:03d}", priority=place, request_count=place) for place in range(90)
    ]
    write_store(home, {"openrouter": rows})
    async with running(home, (80, 24)) as ui:
        await ui.press("j", "j")
        assert ui.cursor == ("openrouter", "a00002")
        await ui.press("o", "o", "o")  # most requests first: to the far end
        assert "by requests" in ui.lines[0]
        assert any(line.startswith("  ● row-002") for line in ui.lines)
        assert not any(line.startswith("▸ ● row-000") for line in ui.lines) or "row-002" in ui.text
        await ui.press("O")
        assert any("● row-002" in line for line in ui.lines)


# --- problems, fold, zoom, columns -------------------------------------------------------------------------


async def test_zoom_leaves_one_pool_and_lets_go(home: Path) -> None:
    """``z`` shows only the pool under the cursor and says so; again, or escape, shows all."""
    some_pools(home)
    async with running(home, (80, 24)) as ui:
        for back in ("z", "escape"):
            await ui.press("g", "tab", "z")
            assert shown(ui) == ["key-bbb001", "key-bbb002"]
            assert "zoom zai" in ui.lines[0]
            assert [view.provider for view in ui.app._pools._shown] == ["zai"]
            assert "openrouter  1/4" not in ui.text
            await ui.press(back)
            assert len(shown(ui)) == 7
            assert ui.cursor == ("zai", "bbb001")


async def test_a_zoomed_pool_that_goes_away_takes_the_zoom_along(home: Path) -> None:
    """When another program removes the pool, the others are there: never an empty screen that says nothing is."""
    some_pools(home)
    async with running(home, (80, 24)) as ui:
        await ui.press("tab", "z")
        write_store(home, {"openrouter": keys("aaa001")})
        await ui.reload()
        ui.sees("openrouter  1/1 ready")
        assert "zoom zai" not in ui.lines[0]
        assert "there is no pool" not in ui.text


async def test_folding_one_pool_and_all(home: Path) -> None:
    """``-`` leaves the headline with what it hides; the cursor stays there; enter or ``-`` opens it; ``_`` all."""
    some_pools(home)
    async with running(home, (80, 24)) as ui:
        await ui.press("j", "minus")
        ui.sees("openrouter  1/4 ready until 14:03:11, then 2  4 folded")
        assert shown(ui) == ["key-bbb001", "key-bbb002", "key-ccc001"]
        assert place(ui) == ("openrouter", None)
        await ui.press("j")
        assert place(ui) == ("zai", "bbb001")
        await ui.press("k", "enter")
        assert len(shown(ui)) == 7
        assert place(ui) == ("openrouter", "aaa001")
        await ui.press("underscore")
        assert shown(ui) == []
        await ui.press("j", "j")
        assert place(ui) == ("deepseek", None)
        await ui.press("underscore")
        assert len(shown(ui)) == 7
        assert place(ui) == ("deepseek", "ccc001")


async def test_on_a_folded_headline_no_key_is_meant(home: Path) -> None:
    """Acts of a key do nothing there, neither to the file nor to the program; those of the pool work."""
    some_pools(home)
    before = tree(home)
    async with running(home, (80, 24)) as ui:
        await ui.press("minus", "r", "n", "K", "J", "e", "d", "v", "y")
        assert len(ui.app.screen_stack) == 1
        assert tree(home) == before
        await ui.press("s")
        ui.sees("openrouter: how it picks")


async def test_only_problems(home: Path) -> None:
    """``!`` leaves the pools with trouble; ``!`` again brings the rest back; the cursor goes to what is out."""
    some_pools(home)
    async with running(home, (80, 24)) as ui:
        await ui.press("G", "exclamation_mark")
        assert [view.provider for view in ui.app._pools._shown] == ["openrouter"]
        assert ui.cursor == ("openrouter", "aaa004")
        await ui.press("exclamation_mark")
        assert len(ui.app._pools._shown) == 3


async def test_more_columns(home: Path) -> None:
    """``w`` trades bars and air for columns: at 80 cells the id and the source come into view, and go again."""
    some_pools(home)
    async with running(home, (80, 24)) as ui:
        assert "aaa002" not in ui.line("◐ bravo")
        await ui.press("w")
        assert "aaa002" in ui.line("◐ bravo")
        assert "15m00s 429" in ui.line("◐ bravo")
        await ui.press("w")
        assert "aaa002" not in ui.line("◐ bravo")


async def test_escape_takes_back_one_thing_at_a_time(home: Path) -> None:
    """Filter, zoom, problems, marks, freeze: five escapes, in that order; a sixth does nothing."""
    some_pools(home)
    async with running(home, (200, 60)) as ui:
        await ui.press("exclamation_mark", "v", "z", "p")
        await type_filter(ui, "a")
        await ui.press("enter")
        flags = ["/a", "zoom openrouter", "problems only", "1 marked", "frozen"]
        while flags:
            assert all(f" {flag} " in ui.lines[0] for flag in flags), ui.lines[0]
            await ui.press("escape")
            gone = flags.pop(0)
            assert f" {gone} " not in ui.lines[0]
        await ui.press("escape")
        assert ui.app.is_running and len(shown(ui)) == 7


async def test_looking_about_writes_nothing(home: Path) -> None:
    """Finding, ordering, folding and marking leave every file as it was."""
    write_scene(home, NOW)
    before = tree(home)
    async with running(home, (80, 24)) as ui:
        await ui.press(
            "slash", "a", "enter", "o", "O", "minus", "underscore", "underscore", "z", "w", "p", "v"
        )
        await ui.press(*("escape",) * 6)
    assert tree(home) == before


async def test_a_hostile_pool_name_in_the_bar(home: Path) -> None:
    """A zoomed pool is named as its headline names it: inert, and without a secret."""
    secret = "sk-planted-0123456789abcdef"
    name = f"custom:\x1b[31mx\u202e{secret}"
    write_store(home, {name: [a_key("aaa001", access_token=secret)], "zai": keys("bbb001")})
    async with running(home, (120, 40)) as ui:
        await ui.press("z")
        assert "zoom custom:x***" in ui.lines[0]
        assert secret[3:] not in ui.text
        assert "\x1b" not in ui.text and "\u202e" not in ui.text
