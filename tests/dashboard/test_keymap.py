from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from textual.widgets import Input

from fakes import a_key, write_store
from keydeck.dashboard.actions import ACTIONS, BY_ID, bindings
from keydeck.dashboard.dialogs.help import HelpDialog
from keydeck.dashboard.dialogs.keymap import KeyDialog, KeymapDialog
from keydeck.dashboard.keymap import DEFAULT_KEYS, textual_keymap, with_keys
from keydeck.dashboard.settings import SettingsFile
from ui import SIZES, Ui, running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "settings.yaml"


@asynccontextmanager
async def dashboard(
    home: Path, path: Path, text: str = "", size: tuple[int, int] = (80, 24), **options: Any
) -> AsyncIterator[Ui]:
    """Run the dashboard with these settings."""
    path.parent.mkdir(exist_ok=True)
    if text:
        path.write_text(text, encoding="utf-8")
    write_store(home, {"openrouter": [a_key("aaa001", "work")], "nous": [a_key("bbb001", "spare")]})
    async with running(home, size, settings_file=SettingsFile(path), state=path.parent, **options) as ui:
        yield ui


async def open_at(ui: Ui, search: str) -> Ui:
    """Open the list of keys on the first action that is found so."""
    await ui.press("4", "G", "enter")
    assert isinstance(ui.app.screen, KeymapDialog)
    ui.app.screen.query_one(Input).value = search
    await ui.settle()
    return ui


def kept(path: Path) -> Any:
    """Return the keymap in the file."""
    return yaml.safe_load(path.read_text(encoding="utf-8")).get("keymap")


async def test_a_new_key_works_at_once_and_the_old_one_no_more(home: Path, path: Path) -> None:
    """Mask on X: X hides names, m does nothing, and bar, help and file say so."""
    async with dashboard(home, path) as ui:
        await open_at(ui, "mask")
        await ui.press("enter")
        ui.sees("press the new key for mask", "esc keeps m", "backspace leaves it without")
        await ui.press("X")
        assert isinstance(ui.app.screen, KeymapDialog)
        row = next(line for line in ui.lines if "X" in line and "mask" in line)
        assert "was m" in row
        await ui.press("escape")
        assert "X mask" in " ".join(ui.lines[-1].split())
        await ui.press("escape", "m")
        assert not ui.app.masked
        await ui.press("X")
        assert ui.app.masked
        assert kept(path) == {"view.mask": "X"}
        await ui.press("question_mark", *"hide")
        assert isinstance(ui.app.screen, HelpDialog)
        assert "X" in ui.line("hide names, mails")


async def test_changed_keys_are_there_at_the_next_start(home: Path, path: Path) -> None:
    """Characters, names and several keys of one action all come from the file; no key is none."""
    text = "keymap:\n  view.mask: ','\n  pane.next: [f5, '.']\n  app.reload: []\n"
    async with dashboard(home, path, text) as ui:
        await ui.press("comma")
        assert ui.app.masked
        await ui.press("m")
        assert ui.app.masked
        assert ui.cursor == ("openrouter", "aaa001")
        await ui.press("f5")
        assert ui.cursor == ("nous", "bbb001")
        await ui.press("full_stop")
        assert ui.cursor == ("openrouter", "aaa001")
        await ui.press("tab")
        assert ui.cursor == ("openrouter", "aaa001")
        write_store(home, {"openrouter": [a_key("aaa001", "renamed")]})
        await ui.press("ctrl+r")
        assert not [worker for worker in ui.app.workers if worker.group == "reload"]


async def test_two_actions_change_places(home: Path, path: Path) -> None:
    """Down and up swapped do each other's work, with all their keys."""
    text = "keymap: {move.down: [k, up], move.up: [j, down]}\n"
    async with dashboard(home, path, text) as ui:
        for key, there in [("k", "nous"), ("j", "openrouter"), ("up", "nous"), ("down", "openrouter")]:
            await ui.press(key)
            assert ui.cursor is not None
            assert ui.cursor[0] == there, key


async def test_a_command_without_a_key_can_get_one(home: Path, path: Path) -> None:
    """What only the palette could run runs by its new key."""
    assert not BY_ID["share.note_file"].keys
    async with dashboard(home, path) as ui:
        await open_at(ui, "note to file")
        assert "no key" in ui.line("the same note as a file")
        await ui.press("enter", "N", "escape", "escape")
        assert kept(path) == {"share.note_file": "N"}
        before = set(path.parent.rglob("*"))
        await ui.press("N")
        await ui.until(lambda: set(path.parent.rglob("*")) != before)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("d", "d is taken by remove"),
        ("slash", "/ is taken by filter"),
        ("enter", "⏎ is taken by open"),
        ("ctrl+a", "ctrl+a cannot be taken: screen takes it for itself"),
        ("ctrl+i", "ctrl+i cannot be taken: terminals send it for tab"),
        ("ctrl+c", "ctrl+c cannot be taken: it tells how to quit"),
    ],
)
async def test_a_key_that_cannot_be_had_is_refused_by_name(
    home: Path, path: Path, key: str, said: str
) -> None:
    """The question stays open and says who has the key; nothing is written."""
    async with dashboard(home, path) as ui:
        await open_at(ui, "strategy")
        await ui.press("enter", key)
        assert isinstance(ui.app.screen, KeyDialog)
        ui.sees(said)
        await ui.press("escape")
        assert isinstance(ui.app.screen, KeymapDialog)
        assert not path.exists()


async def test_keys_of_other_screens_are_free(home: Path, path: Path) -> None:
    """What works on another screen only does not stand in the way."""
    async with dashboard(home, path) as ui:
        await open_at(ui, "settings.default")
        await ui.press("enter", "d")
        assert kept(path) == {"settings.default": "d"}


async def test_backspace_leaves_an_action_without_a_key(home: Path, path: Path) -> None:
    """The key is free then, and the action is still in help and palette."""
    async with dashboard(home, path) as ui:
        await open_at(ui, "hide names")
        await ui.press("enter", "backspace")
        assert "no key" in ui.line("hide names, mails")
        assert "was m" in ui.line("hide names, mails")
        assert kept(path) == {"view.mask": []}
        await ui.press("escape", "escape", "m")
        assert not ui.app.masked
        await ui.press("question_mark", *"hide", "enter")
        assert ui.app.masked


@pytest.mark.parametrize("action", ["quit", "help", "back"])
async def test_the_ways_out_keep_a_key(home: Path, path: Path, action: str) -> None:
    """Quit, help and back take another key, but never none."""
    async with dashboard(home, path) as ui:
        await open_at(ui, {"quit": "app.quit", "help": "app.help", "back": "view.back"}[action])
        await ui.press("enter")
        assert "backspace" not in ui.text
        await ui.press("backspace")
        ui.sees(f"{action} needs a key")
        await ui.press("escape")
        assert not path.exists()


async def test_del_restores_one(home: Path, path: Path) -> None:
    """The action under the cursor has its own keys again; the other changes stay."""
    async with dashboard(home, path, "keymap: {view.mask: X, view.zoom: Z}\n") as ui:
        await open_at(ui, "changed")
        assert sum("was " in line for line in ui.lines) == 2
        await ui.press("down", "delete")
        assert list(kept(path)) == ["view.zoom"]
        assert sum("was " in line for line in ui.lines) == 1


async def test_keys_that_others_have_now_are_not_taken_from_them(home: Path, path: Path) -> None:
    """Restoring an action whose key was given away says who has it."""
    async with dashboard(home, path, "keymap: {view.mask: X, view.zoom: m}\n") as ui:
        await open_at(ui, "view.mask")
        await ui.press("delete")
        ui.sees("m is taken by zoom")
        assert kept(path) == {"view.mask": "X", "view.zoom": "m"}


async def test_a_click_asks_for_the_key(home: Path, path: Path) -> None:
    """The mouse does not close the list either."""
    async with dashboard(home, path) as ui:
        await open_at(ui, "freeze")
        y = next(y for y, line in enumerate(ui.lines) if "freeze" in line and "clocks" in line)
        await ui.pilot.click(offset=(30, y))
        await ui.settle()
        assert isinstance(ui.app.screen, KeyDialog)
        await ui.press("escape")
        assert isinstance(ui.app.screen, KeymapDialog)


async def test_the_list_stays_on_its_action(home: Path, path: Path) -> None:
    """After a change the cursor is where it was, and the search as it was typed."""
    async with dashboard(home, path) as ui:
        await open_at(ui, "")
        await ui.press(*["down"] * 12)
        screen = ui.app.screen
        assert isinstance(screen, KeymapDialog)
        here = screen._list.value
        await ui.press("enter", "f9")
        assert screen._list.value == here
        assert kept(path) == {here: "f9"}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("glyphs", ["unicode", "ascii"])
async def test_the_dialogs_fit_every_size(home: Path, path: Path, size: tuple[int, int], glyphs: str) -> None:
    """List and question stand within the screen with their hints, in ASCII where that is asked for."""
    text = f"glyphs: {glyphs}\nkeymap: {{view.mask: X}}\n"
    async with dashboard(home, path, text, size) as ui:
        await open_at(ui, "")
        ui.sees("enter change   del restore   esc close", "next line")
        assert max(map(len, ui.lines)) <= size[0]
        assert ui.text.isascii() == (glyphs == "ascii")
        await ui.press("end", *["pagedown"] * 5)
        ui.sees("leave")
        await ui.press("enter", "ctrl+a")
        ui.sees("ctrl+a cannot be taken: screen takes it for itself", "esc keeps q ctrl+q")
        assert max(map(len, ui.lines)) <= size[0]
        assert ui.text.isascii() == (glyphs == "ascii")


async def test_keys_are_drawn_as_data(home: Path, path: Path) -> None:
    """A bracket is a key like others, in the list, the question and the bar."""
    async with dashboard(home, path, "keymap: {view.mask: '['}\n") as ui:
        await ui.press("left_square_bracket")
        assert ui.app.masked
        await ui.press("4")
        assert "[ mask" in " ".join(ui.lines[-1].split())
        await open_at(ui, "hide names")
        assert "[ " in ui.line("hide names, mails")
        await ui.press("enter")
        ui.sees("a key for mask", "esc keeps [   backspace")


def test_every_action_is_bound_once_on_each_screen() -> None:
    """Each action of a screen has a binding with its id, so that a keymap can reach it; none share a key."""
    for screen in ("pools", "detail", "settings"):
        bound = bindings(screen)
        assert {binding.id for binding in bound} == {
            action.id for action in ACTIONS if screen in action.scope
        }
        keys = [key for binding in bound for key in binding.key.split(",")]
        assert len(keys) == len(set(keys))


def test_a_keymap_holds_only_what_differs() -> None:
    """Giving an action its own keys takes it out; no key becomes a key of nobody for Textual."""
    mask = BY_ID["view.mask"]
    keymap = with_keys(DEFAULT_KEYS, mask, ("x", "y"))
    assert keymap == {"view.mask": ("x", "y")}
    assert textual_keymap(keymap) == {"view.mask": "x,y"}
    assert with_keys(keymap, mask, mask.keys) == {}
    nobody = textual_keymap(with_keys(keymap, mask, ()))["view.mask"]
    assert nobody
    assert nobody not in {key for action in ACTIONS for key in action.keys}
