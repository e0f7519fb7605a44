"""Palette and help: found by typing, run by enter, and everything they lead to comes back by escape."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from fakes import NOW, a_key, benched, keys, tree, write_store
from keydeck.demo.scene import write_scene
from keydeck.present.glyphs import ASCII
from keydeck.present.text import width
from ui import Ui, running

CORNERS = ("╭─ commands", "╭─ keys")


async def find(ui: Ui, text: str) -> None:
    """Put a text into the field that is open."""
    ui.app.screen.query_one(Input).value = text
    await ui.settle()


def listed(ui: Ui) -> list[str]:
    """Return the lines of the list as they are drawn, without the frame."""
    found = ((y, line, corner) for y, line in enumerate(ui.lines) for corner in CORNERS if corner in line)
    top, line, corner = next(found)
    left = line.index(corner)
    right = line.index("╮", left)
    rows = [line.ljust(right)[left + 1 : right].strip() for line in ui.lines[top + 2 :]]
    return rows[: next(y for y, line in enumerate(ui.lines[top + 2 :]) if line[left : left + 1] == "╰")]


async def test_the_palette_goes_to_pools_and_keys(home: Path) -> None:
    """A pool or a key, found by any part of its name or by its id, is under the cursor and in sight after enter."""
    write_scene(home, NOW)
    async with running(home, (80, 24)) as ui:
        for typed, place in (
            ("key: nous portal", ("nous", "c4d1f0")),
            ("81ab03", ("custom:together.ai", "81ab03")),
            ("pool: openrouter", ("openrouter", "4411a9")),
        ):
            await ui.press("ctrl+p")
            await find(ui, typed)
            await ui.press("enter")
            assert len(ui.app.screen_stack) == 1
            assert ui.cursor is not None and ui.cursor[0] == place[0]
            assert ui.cursor == place or typed.startswith("pool:")
            row = ui.app._pools.selected_row()
            assert row is not None
            assert row.label[:12] in ui.text


async def test_the_palette_shows_what_was_hidden(home: Path) -> None:
    """Going to a key undoes what hides it: filter, zoom, problems view and fold, but not the order."""
    write_store(home, {"openrouter": [a_key("aaa001", **benched())], "zai": keys("bbb001", "bbb002")})
    async with running(home, (120, 40)) as ui:
        await ui.press("G", "minus", "g", "o", "exclamation_mark", "z", "slash", *"aaa", "enter")
        assert "key-bbb002" not in ui.text
        await ui.press("ctrl+p")
        await find(ui, "key-bbb002")
        await ui.press("enter")
        assert ui.cursor == ("zai", "bbb002")
        ui.sees("key-bbb002", "by state")
        assert all(flag not in ui.lines[0] for flag in ("/aaa", "zoom", "problems"))


@pytest.mark.parametrize("where", ["enter", "4"])
async def test_the_palette_leads_out_of_other_screens(home: Path, where: str) -> None:
    """From a key in full and from the settings it goes to the pools, on the key that was chosen."""
    write_store(home, {"openrouter": keys("aaa001"), "zai": keys("bbb001", "bbb002")})
    async with running(home, (120, 40)) as ui:
        await ui.press(where, "ctrl+p")
        await find(ui, "key: zai bbb002")
        await ui.press("enter")
        assert ui.app.screen is ui.app._pools
        assert ui.cursor == ("zai", "bbb002")
        ui.sees("zai  2/2 ready")


async def test_typing_narrows_and_every_word_counts(home: Path) -> None:
    """All words have to be there, in any order and case; what begins with the first comes first; none is told."""
    write_scene(home, NOW)
    before = tree(home)
    async with running(home, (120, 40)) as ui:
        await ui.press("colon")
        ui.sees("╭─ commands, pools and keys", "type to search   enter go   esc close")
        await find(ui, "POOL RESET")
        assert [line.partition("  ")[0] for line in listed(ui)] == ["change: reset pool"]
        await find(ui, "theme: pool")
        assert listed(ui) == ["theme: pool-dark", "theme: pool-light", "theme: pool-mono"]
        await find(ui, "nothing at all like this")
        assert listed(ui) == ["nothing matches"]
        await ui.press("enter")
        ui.sees("nothing matches")
        await ui.press("escape")
        assert len(ui.app.screen_stack) == 1
    assert tree(home) == before


async def test_a_theme_from_the_palette_and_from_its_list(home: Path) -> None:
    """The palette sets a theme by name; the list shows each at once, escape brings the old one back, enter keeps."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, (80, 24)) as ui:
        assert ui.app.theme == "pool-dark"
        await ui.press("ctrl+p")
        await find(ui, "theme: nord")
        await ui.press("enter")
        assert ui.app.theme == "nord"
        await ui.press("T")
        await find(ui, "pool-mono")
        assert ui.app.theme == "pool-mono"
        await ui.press("escape")
        assert ui.app.theme == "nord" == ui.app.settings.theme
        await ui.press("T")
        await find(ui, "pool-light")
        await ui.press("enter")
        assert ui.app.theme == "pool-light" == ui.app.settings.theme


async def test_help_finds_and_runs(home: Path) -> None:
    """Typing narrows the help too; enter runs what the cursor is on, as its key would; the rest only reads."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, (80, 24)) as ui:
        await ui.press("f1")
        ui.sees("╭─ keys", "next line")
        await find(ui, "picks its next")
        assert [line.split()[:2] for line in listed(ui)] == [["change", "s"]]
        await ui.press("enter")
        ui.sees("openrouter: how it picks")
        await ui.press("escape", "question_mark")
        await find(ui, "signs ready")
        assert any("ready, picked normally" in line for line in listed(ui))
        await ui.press("enter")
        ui.sees("╭─ keys")
        await ui.press("escape")
        assert len(ui.app.screen_stack) == 1


async def test_the_list_moves_scrolls_and_takes_the_mouse(home: Path) -> None:
    """Arrows and pages move and stop at the ends, the cursor stays in view, and a click chooses."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, (80, 24)) as ui:
        await ui.press("question_mark")
        top = ui.lines
        await ui.press("down", "down", "up", "up", "up", "pageup")
        assert ui.lines == top
        await ui.press(*("pagedown",) * 6)
        ui.sees("leave")
        await ui.press(*("pageup",) * 6)
        assert "next line" in ui.text
        y = next(y for y, line in enumerate(ui.lines) if "last line" in line)
        await ui.pilot.click(offset=(30, y))
        await ui.settle()
        assert len(ui.app.screen_stack) == 1
        assert ui.cursor == ("openrouter", "aaa002")


@pytest.mark.parametrize("size", [(60, 16), (120, 40)])
async def test_lists_fit_and_names_stay_text(home: Path, size: tuple[int, int]) -> None:
    """With hostile and endless names palette and help stay in the terminal, and names are inert and masked."""
    secret = "sk-planted-0123456789abcdef"
    labels = ["[/x]", "a\x1b]0;t\x07b", "\u202eabc", "x" * 300, "鍵" * 40, f"mine {secret}", "boss@corp.com"]
    rows = [
        a_key(f"aaa{n:03d}", label, priority=n, access_token=secret + str(n))
        for n, label in enumerate(labels)
    ]
    rows[5]["access_token"] = secret
    write_store(home, {"openrouter": rows})
    async with running(home, size) as ui:
        for masked in (False, True):
            await ui.press("ctrl+p")
            await find(ui, "key:")
            assert len([line for line in listed(ui) if "key: openrouter / " in line]) == len(labels)
            assert all(width(line) <= size[0] for line in ui.lines) and len(ui.lines) == size[1]
            assert not any(ord(char) < 0x20 or char in "\u202e\x7f" for char in ui.text.replace("\n", ""))
            inside = "\n".join(listed(ui))
            assert secret[3:] not in inside
            assert ("boss" in inside) is not masked
            await ui.press("escape", "m")


async def test_a_thousand_keys_are_found(home: Path) -> None:
    """The list ends somewhere, but typing finds what lies beyond, and nothing takes long."""
    rows = [a_key(f"a{place:05d}", f"row-{place:04d}", priority=place) for place in range(1000)]
    write_store(home, {"openrouter": rows})
    async with running(home, (80, 24)) as ui:
        await ui.press("ctrl+p")
        await find(ui, "row-0987")
        assert len(listed(ui)) == 1
        await ui.press("enter")
        assert ui.cursor == ("openrouter", "a00987")
        ui.sees("row-0987")


async def test_lists_in_ascii(home: Path) -> None:
    """With --ascii help and palette have no other sign."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, (80, 24), glyphs=ASCII) as ui:
        for key in ("question_mark", "ctrl+p", "T"):
            await ui.press(key)
            assert ui.text.isascii(), sorted({char for char in ui.text if not char.isascii()})
            await ui.press(*("pagedown",) * 4)
            assert ui.text.isascii()
            await ui.press("escape")
