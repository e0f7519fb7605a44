"""Every action of the table, one by one: told, reachable, refused where it must be, and true to its word.

What an action does to the files is read back by another process. An action without an entry in `EFFECTS` fails.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from unittest.mock import patch

import pytest
from textual import events
from textual.widgets import Input

import keydeck
from fakes import NOW, a_key, benched, keys, tree, write_store
from keydeck.dashboard.actions import ACTIONS, DETAIL, EVENTS, POLICY, POOLS, SETTINGS, Action, key_name
from keydeck.dashboard.dialogs.palette import Found, PaletteDialog
from keydeck.dashboard.screens.deck import DeckScreen
from keydeck.engine.config import parse_config
from ui import Ui, running

SCREENS: Final = (POOLS, DETAIL, EVENTS, SETTINGS, POLICY)
RESERVED: Final = frozenset(
    {"ctrl+i", "ctrl+m", "ctrl+h", "ctrl+left_square_bracket", "ctrl+[", "ctrl+a", "ctrl+b"}
)
TALL: Final = (130, 120)
"""A terminal in which the longest list shows whole."""
SMALL: Final = (60, 16)
FAILED_AT: Final = max(NOW, time.time())
FAR: Final = FAILED_AT + 7 * 86400
"""A bench that other processes, with clocks of their own, find in place too."""


def start(home: Path) -> None:
    """Write the store from which every effect starts."""
    rows = [
        a_key("aaa001", "one"),
        a_key("aaa002", "two", priority=1, **benched(429, until=FAR, last_status_at=FAILED_AT)),
        a_key("aaa003", "three", priority=2, **benched(402, until=FAR, last_status_at=FAILED_AT)),
    ]
    write_store(home, {"openrouter": rows, "zai": keys("bbb001")})
    (home / "config.yaml").write_text(
        "credential_pool_strategies:\n  openrouter: fill_first\n"
        "credential_pool:\n  cooldown:\n    providers:\n      openrouter: {rate_limit: 90s}\n"
    )


# --- what the dangerous ones do ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """The pool openrouter as another process lists it."""

    rows: tuple[tuple[str, str], ...] = (("one", "ready"), ("two", "cooling"), ("three", "cooling"))
    """Label and health, in order."""
    strategy: str = "fill_first"
    urls: tuple[str, ...] = ("https://openrouter.ai/api/v1",) * 3
    waits: tuple[tuple[str, float], ...] = (("rate_limit", 90.0),)
    """What config.yaml says of cooldowns for it."""


def seen_by_another_process(home: Path) -> Seen:
    command = [sys.executable, "-m", "keydeck", "--home", str(home), "auth", "list", "--json"]
    source = str(Path(keydeck.__file__).parent.parent)
    done = subprocess.run(
        command,
        env={"PYTHONPATH": source, "HOME": str(home.parent)},
        capture_output=True,
        check=True,
        timeout=20,
    )
    pools = {pool["provider"]: pool for pool in json.loads(done.stdout)["pools"]}
    assert [row["label"] for row in pools["zai"]["credentials"]] == ["key-bbb001"]
    rows = pools["openrouter"]["credentials"]
    return Seen(
        tuple((row["label"], row["health"]) for row in rows),
        pools["openrouter"]["strategy"],
        tuple(row["base_url"] for row in rows),
        waits_of(home),
    )


def waits_of(home: Path) -> tuple[tuple[str, float], ...]:
    told = parse_config((home / "config.yaml").read_bytes(), {}, home / "config.yaml").cooldown
    changes = told.providers.get("openrouter", {})
    return tuple((name, change.wait_s or 0.0) for name, change in changes.items())


ONE, TWO, THREE = Seen().rows
READY_TWO: Final = ("two", "ready")
READY_THREE: Final = ("three", "ready")
NEW_KEY: Final = "sk0123456789abcdefNEW"

Stage = tuple[Sequence[str], Seen]
"""Keys to press, and what another process sees then."""

EFFECTS: Final[dict[str, tuple[Stage, ...]]] = {
    "key.mark": (
        (("j", "v"), Seen()),
        (("r",), replace(Seen(), rows=(ONE, READY_TWO, THREE))),
    ),
    "key.add": (
        (
            ("a", "enter", *NEW_KEY, "enter", *"new", "enter"),
            Seen((ONE, TWO, THREE, ("new", "ready")), urls=("https://openrouter.ai/api/v1",) * 4),
        ),
    ),
    "key.edit": (
        (
            ("e", "end", *("backspace",) * 3, *"uno", "enter"),
            replace(Seen(), rows=(("uno", "ready"), TWO, THREE)),
        ),
    ),
    "key.reset": ((("j", "r"), replace(Seen(), rows=(ONE, READY_TWO, THREE))),),
    "key.remove": (
        (("j", "d"), Seen()),
        (("y",), Seen((ONE, THREE), urls=Seen().urls[:2])),
    ),
    "key.pause": (
        (("space",), Seen()),
        (("enter",), replace(Seen(), rows=(("one", "paused"), TWO, THREE))),
        (("space",), Seen()),
    ),
    "key.first": ((("G", "k", "n"), replace(Seen(), rows=(THREE, ONE, TWO))),),
    "key.up": ((("G", "k", "K"), replace(Seen(), rows=(ONE, THREE, TWO))),),
    "key.down": ((("J",), replace(Seen(), rows=(TWO, ONE, THREE))),),
    "pool.strategy": ((("s", "j", "enter"), replace(Seen(), strategy="round_robin")),),
    "pool.reset": (
        (("R",), Seen()),
        (("y",), replace(Seen(), rows=(ONE, READY_TWO, READY_THREE))),
    ),
    "policy.change": (
        (
            ("C", "enter", "end", *("backspace",) * 3, *"5m", "enter"),
            replace(Seen(), waits=(("rate_limit", 300.0),)),
        ),
    ),
    "policy.default": ((("C", "r"), replace(Seen(), waits=())),),
    "app.undo": (
        (("j", "n"), replace(Seen(), rows=(TWO, ONE, THREE))),
        (("u",), Seen()),
    ),
}


# --- walking through the program ---------------------------------------------------------------------------


@dataclass
class Walk:
    """What a walk through all screens found."""

    helps: dict[str, str] = field(default_factory=dict)
    """Help as drawn, by screen."""
    palettes: dict[str, str] = field(default_factory=dict)
    bars: dict[str, str] = field(default_factory=dict)
    ran: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """What a key ran, by screen and key."""
    offers: dict[str, dict[str, Found]] = field(default_factory=dict)
    """What the palette returns for an action, by screen and action."""
    chosen: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """What choosing it in the palette ran, by screen and action."""
    asked: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """What a click in the bar or a choice in the help ran, by screen and action."""


def first_screen(action: Action) -> str:
    return next(name for name in SCREENS if name in action.scope)


async def go(ui: Ui, screen: str) -> DeckScreen:
    """From the pools go to a screen, with the cursor on a key."""
    for key in {POOLS: (), DETAIL: ("enter",), EVENTS: ("2",), SETTINGS: ("4",), POLICY: ("C",)}[screen]:
        await hit(ui, key)
    found = ui.app.screen
    assert isinstance(found, DeckScreen) and screen == found.NAME
    return found


async def go_home(ui: Ui) -> None:
    """Close whatever is open and stand on the pools as they were at first."""
    for _ in range(8):
        if getattr(ui.app.screen, "NAME", "") == POOLS:
            break
        await hit(ui, "1" if getattr(ui.app.screen, "NAME", "") in (EVENTS, SETTINGS) else "escape")
    for key in ("escape", "escape", "g"):
        await hit(ui, key)
    assert getattr(ui.app.screen, "NAME", "") == POOLS


async def walked(home: Path, *, read_only: bool) -> Walk:
    """Walk through all screens, with handlers that only say that they were called."""
    walk = Walk()
    start(home)
    before = tree(home)
    async with running(home, TALL, read_only=read_only) as ui:
        for name in SCREENS:
            await go(ui, name)
            await look(ui, walk, name)
            await go_home(ui)
        await ui.pilot.resize_terminal(*SMALL)
        for name in SCREENS:
            await run_all(ui, walk, await go(ui, name))
            await go_home(ui)
    assert tree(home) == before
    return walk


async def look(ui: Ui, walk: Walk, screen: str) -> None:
    """Read bar, help and palette."""
    walk.bars[screen] = ui.lines[-1]
    for key, texts in (("question_mark", walk.helps), ("ctrl+p", walk.palettes)):
        await ui.press(key)
        texts[screen] = ui.text
        if isinstance(ui.app.screen, PaletteDialog):
            found = (choice.value for choice in ui.app.screen.choices())
            walk.offers[screen] = {one.name: one for one in found if one and one.kind == "action"}
        await hit(ui, "escape")


async def run_all(ui: Ui, walk: Walk, here: DeckScreen) -> None:
    """Press every key, choose every command, and ask for every action as bar and help do."""
    called: list[str] = []

    def recorder(action: Action) -> Callable[[], None]:
        return lambda: called.append(action.id)

    actions = [action for action in ACTIONS if here.NAME in action.scope]
    # ctrl+q is Textual's own as well, from anywhere: it leaves without asking the screen.
    ui.app.exit = lambda *_: called.append("app.quit")  # type: ignore[method-assign]
    for action in actions:
        setattr(here, action.handler, recorder(action))
    for action in actions:
        for key in action.keys:
            await hit(ui, key)
            walk.ran[here.NAME, key] = take(called)
        if action.keys:
            here._follow(walk.offers[here.NAME].get(action.id))  # as the palette does with what was chosen
        else:
            await choose(ui, here, action)
        walk.chosen[here.NAME, action.id] = take(called)
        here.run_action_here(action.id)
        walk.asked[here.NAME, action.id] = take(called)
    for action in actions:
        delattr(here, action.handler)
    del ui.app.exit


def take(called: list[str]) -> list[str]:
    """Empty a list and return what was in it."""
    taken = list(called)
    called.clear()
    return taken


async def hit(ui: Ui, key: str) -> None:
    """Press a key as the terminal reports it, and go on as soon as all of it is done: there are hundreds."""
    driver = ui.app._driver
    assert driver is not None
    driver.send_message(events.Key(key, None))
    for _ in range(3):  # from the app to the screen, and on to what is in it
        await ui.pilot._wait_for_screen()


async def choose(ui: Ui, here: DeckScreen, action: Action) -> None:
    """Open the palette, find an action by its words, and take it if it is there."""
    type(here).do_app_palette(here)
    while not ui.app.screen.query(Input):
        assert await ui.pilot._wait_for_screen()
    ui.app.screen.query_one(Input).value = f"{action.command} {action.help}"
    await hit(ui, "enter")
    if ui.app.screen is not here:
        await hit(ui, "escape")
    assert ui.app.screen is here


async def pressed(home: Path, actions: Iterable[Action], *, read_only: bool) -> dict[str, bool]:
    """Do these actions for real, each on a screen of its own; return for each whether the home was touched."""
    start(home)
    touched = {}
    async with running(home, SMALL, read_only=read_only) as ui:
        with patch.object(ui.app, "exit"):
            for action in actions:
                before = tree(home)
                here = await go(ui, first_screen(action))
                if action.keys:
                    await hit(ui, action.keys[0])
                else:
                    here.run_action_here(action.id)
                await ui.app.workers.wait_for_complete()
                await go_home(ui)
                touched[action.id] = tree(home) != before
    return touched


@dataclass(frozen=True)
class Walks:
    """What the walks found; made once, since every test of this module looks into it."""

    usual: Walk
    read_only: Walk
    touched: dict[str, bool]
    touched_read_only: dict[str, bool]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Walks:
    def home() -> Path:
        return tmp_path_factory.mktemp("walk") / "home"

    async def walks() -> Walks:
        harmless = [action for action in ACTIONS if not action.dangerous]
        dangerous = [action for action in ACTIONS if action.dangerous]
        return Walks(
            await walked(home(), read_only=False),
            await walked(home(), read_only=True),
            await pressed(home(), harmless, read_only=False),
            await pressed(home(), dangerous, read_only=True),
        )

    return asyncio.run(walks())


# --- the tests ---------------------------------------------------------------------------------------------


def lists(text: str, action: Action, name: str) -> bool:
    """Tell whether a list names an action by these words, with its key before or behind them."""
    key = key_name(action.keys[0]) if action.keys else ""
    lines = [line for line in text.splitlines() if name in line]
    return any(key in line.replace(name, "").split() or not key for line in lines)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
async def test_every_action_is_told_reachable_and_does_what_it_says(
    home: Path, found: Walks, action: Action
) -> None:
    """It has a key or a command, help and a palette entry, runs, and changes files only as it says, if it may."""
    assert action.help and action.text and action.group
    assert not RESERVED & set(action.keys)
    assert action.dangerous is (action.group == "change") is (action.id in EFFECTS)
    for screen in sorted(action.scope):
        usual, refused = [action.id], [] if action.dangerous else [action.id]
        for key in action.keys:
            assert found.usual.ran[screen, key] == usual, (screen, key)
            assert found.read_only.ran[screen, key] == refused, (screen, key)
        for walk, ran in ((found.usual, usual), (found.read_only, refused)):
            assert walk.chosen[screen, action.id] == ran
            assert walk.asked[screen, action.id] == ran
            assert lists(walk.helps[screen], action, action.help[:36]) is bool(ran)
            assert lists(walk.palettes[screen], action, f" {action.command} ") is bool(ran)
            on_bar = bool(action.bar) and screen in action.bar_on
            assert (f" {action.text} " in f"{walk.bars[screen]} ") is (on_bar and bool(ran))
    if action.dangerous:
        assert found.touched_read_only[action.id] is False
        await does_what_it_says(home, action)
    else:
        assert found.touched[action.id] is False


async def does_what_it_says(home: Path, action: Action) -> None:
    """Press the keys of its effect and have another process tell what became of the files."""
    start(home)
    async with running(home, (80, 24)) as ui:
        for presses, expected in EFFECTS[action.id]:
            await ui.press(*presses)
            assert seen_by_another_process(home) == expected, ui.text
    assert action.keys[0] in [key for presses, _ in EFFECTS[action.id] for key in presses]
    assert any(expected != Seen() for _, expected in EFFECTS[action.id])


def test_what_every_effect_starts_from(home: Path) -> None:
    """Before anything is pressed another process sees the store as the table has it."""
    start(home)
    assert seen_by_another_process(home) == Seen()


@pytest.mark.parametrize("screen", SCREENS)
def test_no_key_does_two_things(screen: str) -> None:
    """On each screen a key belongs to one action; on the settings too, where some have other meanings."""
    taken = Counter(key for action in ACTIONS if screen in action.scope for key in action.keys)
    assert taken and set(taken.values()) == {1}


def test_no_action_is_there_twice_or_nowhere() -> None:
    """Ids and commands are unique, every action has a screen, and every effect belongs to an action."""
    assert (
        len({action.id for action in ACTIONS}) == len({action.command for action in ACTIONS}) == len(ACTIONS)
    )
    assert all(action.scope and action.scope <= set(SCREENS) for action in ACTIONS)
    assert set(EFFECTS) <= {action.id for action in ACTIONS}
