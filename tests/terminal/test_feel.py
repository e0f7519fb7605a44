from __future__ import annotations

import base64
import os
import re
import shlex
import signal
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from fakes import a_key, a_login, keys, load, write_store
from keydeck.engine.clock import wall_clock
from tmux import KEYDECK, Terminal, framed

pytestmark = pytest.mark.terminal

POOL = "openrouter"
MOUSE = (b"\x1b[?1000h", b"\x1b[?1003h", b"\x1b[?1006h")
KEY = "sk-or-v1-pasted-0123456789abcdef"

Step = tuple[str, str]
"""A key, and what is on screen when it has done its work."""

ADD_KEY: tuple[Step, ...] = (("a", "step 1 of 3"), ("Enter", "step 2 of 3"))
ADD_LABEL: tuple[Step, ...] = (*ADD_KEY, (KEY, "received, new here"), ("Enter", "step 3 of 3"))
KEYMAP: tuple[Step, ...] = (("4", "mask names"), ("G", "which key does what"), ("Enter", "─ keymap"))
DIALOGS: dict[str, tuple[Step, ...]] = {
    "keys": (("?", "enter run"),),
    "commands": (("C-p", "enter go"),),
    "theme": (("T", "enter keep"),),
    f"{POOL}: how it picks": (("s", "one after the other"),),
    "add a key   step 1": ADD_KEY[:1],
    "add a key   step 2": ADD_KEY,
    "add a key   step 3": ADD_LABEL,
    "edit heron": (("e", "enter save"),),
    "remove": (("d", "y remove"),),
    "reset": (("R", "y reset"),),
    "keymap": KEYMAP,
    "a key for": (*KEYMAP, ("Enter", "press the new key")),
}
"""Every dialog by the beginning of its title, and the way there from the pools."""


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    """Return the variables that give the program folders of its own for settings and for what it leaves behind."""
    return {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "config")}


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Return where the settings are kept."""
    return tmp_path / "config" / "keydeck" / "settings.yaml"


def dashboard(home: Path, *options: str) -> str:
    return " ".join([KEYDECK, "--home", shlex.quote(str(home)), *options])


def a_still_store(home: Path) -> None:
    """Write a store of which nothing on screen moves with the clock."""
    write_store(
        home,
        {
            POOL: [a_key("aaa001", "heron"), a_key("aaa002", "egret", priority=1)],
            "deepseek": [a_key("bbb001", "curlew"), a_key("bbb002", "dunlin", priority=1)],
        },
    )


def opened(
    terminal: Terminal, home: Path, env: Mapping[str, str], *options: str, size: tuple[int, int] = (80, 24)
) -> str:
    """Open the dashboard on the still store and return its screen."""
    if not (home / "auth.json").exists():
        a_still_store(home)
    terminal.start(dashboard(home, *options), size, **env)
    terminal.sees("deepseek", "live", "help")
    return terminal.screen


def go(terminal: Terminal, *steps: Step) -> None:
    """Press keys, each when the one before has done its work; what is no key's name is typed."""
    for key, seen in steps:
        if key == "Escape":
            terminal.escape()
        else:
            terminal.keys(key)
        terminal.sees(seen)


def close_all(terminal: Terminal) -> None:
    """Close what is open, one thing at a time, until there are only the pools."""
    while not is_at_the_pools(before := terminal.screen):
        terminal.escape()
        terminal.until(lambda screen, before=before: screen != before)  # type: ignore[misc]


def leave(terminal: Terminal) -> None:
    """Close what is open, and quit."""
    close_all(terminal)
    terminal.keys("q")
    assert terminal.exit_code() == 0


def is_at_the_pools(screen: str) -> bool:
    return "heron" in screen and "curlew" in screen and not any(dialog(screen, title) for title in DIALOGS)


def dialog(screen: str, title: str) -> list[str]:
    """Return the lines of a dialog, in whatever signs it is drawn; nothing if it is not there or not whole."""
    return framed(screen, title) or framed(screen, title, corners="++++", side="|", rule="-")


def ids_copied(terminal: Terminal) -> str:
    """Return the id of the key under the cursor, as `y` sends it."""
    before = len(terminal.copied)
    terminal.keys("y")
    terminal.until(lambda _: len(terminal.copied) > before)
    return terminal.copied[-1]


# --- paste -------------------------------------------------------------------------------------------------


def test_every_field_takes_a_paste(terminal: Terminal, home: Path, folders: dict[str, str]) -> None:
    """A pasted line lands in each field without its line end, which neither submits nor runs anything."""
    opened(terminal, home, folders)
    go(terminal, ("/", "state:cool"))
    terminal.paste("heron\n")
    terminal.sees("1 of 4", " / heron")
    terminal.escape()
    terminal.sees("curlew")
    for title, text, found in (
        ("keys", "a picture of the screen\r\n", "names hidden"),
        ("commands", "curlew\n", "key: deepseek / curlew"),
        ("theme", "pool-mono\n", "pool-mono"),
    ):
        go(terminal, *DIALOGS[title])
        terminal.paste(text)
        terminal.until(lambda screen, title=title: len(framed(screen, title)) == 4)  # type: ignore[misc]
        dialog = framed(terminal.screen, title)
        assert text.strip() in dialog[1] and found in dialog[2]
        terminal.escape()
        terminal.until(is_at_the_pools)
    go(terminal, *KEYMAP)
    terminal.paste("app.undo\n")
    terminal.until(lambda screen: len(framed(screen, "keymap")) == 4)
    leave(terminal)


def test_a_pasted_key_is_added_as_it_is(terminal: Terminal, home: Path, folders: dict[str, str]) -> None:
    """Provider, key, label and address can all be pasted; the key's line end is no part of it and adds nothing."""
    opened(terminal, home, folders)
    go(terminal, ("a", "step 1 of 3"))
    terminal.paste(f"{POOL}\n")
    terminal.until(lambda screen: "deepseek" not in "".join(framed(screen, "add a key")))
    go(terminal, ("Enter", "step 2 of 3"))
    terminal.paste(f"{KEY}\n")
    terminal.sees("received, new here", "step 2 of 3")
    go(terminal, ("Enter", "step 3 of 3"))
    terminal.paste("pasted label\n")
    terminal.sees("pasted label", "step 3 of 3")
    terminal.keys("Tab")
    terminal.settled()
    terminal.paste("https://example.org/v1\n")
    terminal.sees("https://example.org/v1", "step 3 of 3")
    terminal.keys("Enter")
    terminal.told("added pasted label")
    row = load(home)["credential_pool"][POOL][2]
    wanted = {"label": "pasted label", "access_token": KEY, "base_url": "https://example.org/v1"}
    assert {name: row[name] for name in wanted} == wanted
    leave(terminal)
    assert KEY[3:].encode() not in terminal.stream


def test_an_edit_can_be_pasted(terminal: Terminal, home: Path, folders: dict[str, str]) -> None:
    """Label and address are replaced by what is pasted, and the address is that of the row that was opened."""
    opened(terminal, home, folders)
    go(terminal, ("e", "edit heron"))
    terminal.paste("pasted\n")
    terminal.sees(" pasted ")
    terminal.keys("Tab")
    terminal.settled()
    terminal.paste("https://example.org/v2\n")
    terminal.sees("https://example.org/v2")
    terminal.keys("Enter")
    terminal.told("renamed heron to pasted")
    row = load(home)["credential_pool"][POOL][0]
    assert (row["label"], row["base_url"]) == ("pasted", "https://example.org/v2")


def test_a_paste_outside_a_field_does_nothing(
    terminal: Terminal, home: Path, folders: dict[str, str]
) -> None:
    """Letters that arrive as a paste are no commands: nothing is removed, reset or closed by them."""
    before = opened(terminal, home, folders)
    terminal.paste("dy\nRyqq\n")
    assert ids_copied(terminal) == "aaa001"
    assert terminal.lines[:10] == before.splitlines()[:10]
    assert len(load(home)["credential_pool"][POOL]) == 2
    leave(terminal)


def test_a_key_pasted_into_a_search_is_not_shown(
    terminal: Terminal, home: Path, folders: dict[str, str]
) -> None:
    """What looks like a key is taken by the key's own field only; filter, search and label stay empty."""
    opened(terminal, home, folders)
    go(terminal, ("/", "state:cool"))
    terminal.paste(f"{KEY}\n")
    terminal.sees("that looks like a key")
    terminal.escape()
    terminal.until(lambda screen: "that looks like a key" not in screen)
    for title in ("keys", "commands", "edit heron"):
        go(terminal, *DIALOGS[title])
        terminal.paste(KEY)
        terminal.type("zz")
        terminal.sees("zz")
        terminal.escape()
        terminal.until(is_at_the_pools)
    leave(terminal)
    assert KEY[3:].encode() not in terminal.stream


def test_a_burst_of_keys_goes_where_it_was_meant(
    terminal: Terminal, home: Path, folders: dict[str, str]
) -> None:
    """A filter whose letters arrive together with its slash is a filter: d, y and q remove nothing and do not quit."""
    opened(terminal, home, folders)
    terminal.type("/dyq")
    terminal.sees(" / dyq", "no match for dyq")
    assert len(load(home)["credential_pool"][POOL]) == 2
    terminal.escape()
    terminal.sees("heron")
    leave(terminal)


def test_a_yes_in_one_burst_with_its_question_is_none(
    terminal: Terminal, home: Path, folders: dict[str, str]
) -> None:
    """A key that is removed was named on screen first: a ``y`` that comes together with the ``d`` removes nothing."""
    opened(terminal, home, folders)
    terminal.type("dy")
    terminal.sees("y remove")
    assert len(load(home)["credential_pool"][POOL]) == 2
    terminal.type("y")
    terminal.sees("removed heron")
    leave(terminal)


# --- suspend, signals, crash -------------------------------------------------------------------------------


def test_suspended_it_comes_back_and_goes_on(terminal: Terminal, home: Path, folders: dict[str, str]) -> None:
    """After ctrl+z and fg the screen is drawn anew, with what others did meanwhile; clocks and acts go on."""
    bench = {"last_status": "exhausted", "last_status_at": wall_clock(), "last_error_code": 429}
    bench["last_error_reset_at"] = wall_clock() + 1800
    write_store(home, {POOL: [a_key("aaa001", "heron", **bench)]})
    terminal.start("sh -i", (80, 24), PS1="ready$ ", **folders)
    terminal.sees("ready$")
    terminal.type(dashboard(home))
    terminal.keys("Enter")
    terminal.sees("heron", "● live")
    terminal.keys("C-z")
    terminal.sees("Stopped", "ready$")
    assert "heron" not in terminal.screen and {"echo", "icanon"} <= terminal.tty
    write_store(home, {POOL: [a_key("aaa001", "heron", **bench), a_key("aaa002", "egret", priority=1)]})
    terminal.type("fg")
    terminal.keys("Enter")
    terminal.sees("heron", "egret", "1/2 ready")
    left = time_left(terminal.screen)
    terminal.until(lambda screen: time_left(screen) != left)
    terminal.keys("r")
    terminal.told("reset heron (aaa001)")
    assert load(home)["credential_pool"][POOL][0]["last_status"] is None
    terminal.keys("q")
    terminal.sees("ready$")
    terminal.type("echo code=$?")
    terminal.keys("Enter")
    terminal.sees("code=0")
    assert {"echo", "icanon"} <= terminal.tty


def time_left(screen: str) -> list[str]:
    return re.findall(r"\d+m\d\ds +429", screen)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP], ids=lambda sign: sign.name)
def test_a_signal_leaves_the_terminal_in_order(
    terminal: Terminal, home: Path, folders: dict[str, str], sign: signal.Signals
) -> None:
    """On SIGTERM and SIGHUP, a dialog open, all modes are taken back and the exit code says which it was."""
    opened(terminal, home, folders)
    go(terminal, *ADD_KEY)
    os.kill(terminal.pid, sign)
    assert terminal.exit_code() == 128 + sign
    the_terminal_is_in_order(terminal)


def the_terminal_is_in_order(terminal: Terminal) -> None:
    """Check that every mode that was switched on is off again, in the terminal and in its driver."""
    stream = terminal.stream
    assert stream.count(b"\x1b[?1049h") == stream.count(b"\x1b[?1049l") == 1
    for mode in (b"1000", b"1003", b"1004", b"1006", b"1049", b"2004"):
        assert 0 <= stream.rfind(b"\x1b[?%bh" % mode) < stream.rfind(b"\x1b[?%bl" % mode), mode
    assert stream.rfind(b"\x1b[?25l") < stream.rfind(b"\x1b[?25h")
    assert {"echo", "icanon", "isig"} <= terminal.tty


CRASHING = """
import os, sys
from keydeck.cli import main
from keydeck.dashboard.screens.pools import PoolsScreen

def do_view_sort(self):
    planted = os.environ["PLANTED_LOCAL"]
    raise RuntimeError("cannot sort " + os.environ["PLANTED_KNOWN"] + " " + os.environ["PLANTED_LOOK"])

PoolsScreen.do_view_sort = do_view_sort
main()
"""


def test_a_crash_is_told_without_secrets(
    terminal: Terminal, home: Path, tmp_path: Path, folders: dict[str, str]
) -> None:
    """A handler that raises ends the program with a code, a scrubbed traceback and a private report."""
    planted = {
        "PLANTED_LOCAL": "local-planted-31337",
        "PLANTED_KNOWN": "sk-test-aaa001-secret",
        "PLANTED_LOOK": "sk-proj-looks-like-0123456789abcdef",
    }
    a_still_store(home)
    program = tmp_path / "crashing.py"
    program.write_text(CRASHING)
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(program))} --home {shlex.quote(str(home))}"
    terminal.start(command, (120, 40), **folders, **planted)
    terminal.sees("curlew", "● live")
    terminal.keys("o")
    assert terminal.exit_code() not in (0, 2)
    terminal.sees("RuntimeError", "do_view_sort", "the report is in")
    the_terminal_is_in_order(terminal)
    (report,) = (path for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert report.parent.name == "crashes" and stat.S_IMODE(report.stat().st_mode) == 0o600
    assert report.name in "".join(terminal.screen.split())
    assert "RuntimeError" in report.read_text()
    for secret in planted.values():
        assert secret.encode() not in terminal.stream + report.read_bytes()


# --- the mouse ---------------------------------------------------------------------------------------------


def test_the_mouse_is_left_to_the_terminal_on_demand(
    terminal: Terminal, home: Path, folders: dict[str, str]
) -> None:
    """With --no-mouse nothing asks the terminal for the mouse."""
    opened(terminal, home, folders, "--no-mouse")
    leave(terminal)
    assert b"\x1b[?1049h" in terminal.stream
    assert not [mode for mode in MOUSE if mode in terminal.stream]


def test_the_mouse_points_scrolls_and_opens(terminal: Terminal, home: Path, folders: dict[str, str]) -> None:
    """A click selects, a double click opens, the wheel scrolls, the strategy and the bar's keys can be clicked."""
    many = [a_key(f"c{n:05d}", f"wader-{n:02d}", priority=n) for n in range(30)]
    write_store(home, {POOL: keys("aaa001", "aaa002"), "deepseek": many})
    opened(terminal, home, folders)
    assert all(mode in terminal.stream for mode in MOUSE)
    terminal.click("wader-03")
    terminal.until(lambda _: ids_copied(terminal) == "c00003")
    terminal.wheel("wader-03", down=True)
    terminal.until(lambda screen: "key-aaa001" not in screen)
    assert ids_copied(terminal) == "c00003"
    terminal.wheel("wader-03", down=False)
    terminal.sees("key-aaa001")
    terminal.click("fill_first")
    terminal.sees(f"─ {POOL}: how it picks")
    terminal.escape()
    terminal.until(lambda screen: "how it picks" not in screen)
    terminal.click("help")
    terminal.sees("enter run")
    terminal.type("strategy")
    terminal.until(lambda screen: len(framed(screen, "keys")) == 4)
    terminal.click("how this pool picks")
    terminal.sees(f"─ {POOL}: how it picks")
    terminal.escape()
    terminal.until(lambda screen: "how it picks" not in screen)
    terminal.click("wader-01")
    terminal.click("wader-01")
    terminal.sees("pools → deepseek → wader-01")
    terminal.keys("q")
    assert terminal.exit_code() == 0


# --- without colours, without Unicode ----------------------------------------------------------------------

STATES = {
    "is-ready": "ready",
    "is-ending": "ready · token ends",
    "is-cooling": "429",
    "is-dead": "log in again",
    "is-ended": "log in again",
    "is-unset": "no secret",
    "is-broken": "its priority is not a number",
}
"""The label of a row in each state, and its word."""
SIGNS = {
    "unicode": dict(zip(STATES, "●△◐▲▲○?", strict=True)),
    "ascii": dict(zip(STATES, "+^~!!-?", strict=True)),
}


def every_state(home: Path) -> None:
    """Write a store with a row in each state that there is."""
    now = wall_clock()
    bench = {"last_status": "exhausted", "last_status_at": now - 60, "last_error_code": 429}
    dead = {"last_status": "dead", "last_status_at": now - 60, "last_error_code": 401}
    rows: list[Any] = [
        a_key("aaa001", "is-ready"),
        a_login("aaa002", "is-ending", expires_at_ms=int((now + 500) * 1000), priority=1),
        a_key("aaa003", "is-cooling", priority=2, last_error_reset_at=now + 1800, **bench),
        a_key("aaa004", "is-dead", priority=3, **dead),
        a_login("aaa005", "is-ended", expires_at_ms=int((now - 500) * 1000), refresh_token=..., priority=4),
        a_key("aaa006", "is-unset", source="env:NOWHERE", access_token=..., priority=5),
        {"id": "aaa007", "label": "is-broken", "priority": "x", "access_token": 7},
    ]
    write_store(home, {POOL: rows})


def said_of(screen: str, label: str) -> tuple[str, str]:
    """Return the sign and the words of a row."""
    line = next(line for line in screen.splitlines() if re.search(rf"\S {label} ", line))
    before, _, after = line.partition(f" {label} ")
    return before[-1], " ".join(after.split())


@pytest.mark.parametrize(
    ("signs", "options", "env"),
    [("unicode", "", {"NO_COLOR": "1"}), ("ascii", "--ascii", {}), ("ascii", "--ascii", {"NO_COLOR": "1"})],
    ids=["no-color", "ascii", "both"],
)
def test_every_state_is_told_by_sign_and_word(
    terminal: Terminal, home: Path, folders: dict[str, str], signs: str, options: str, env: dict[str, str]
) -> None:
    """Without colours and without Unicode each state keeps a sign and a word of its own, and the cursor a sign."""
    every_state(home)
    terminal.start(dashboard(home, options), (100, 30), **folders, **env)
    terminal.sees(*STATES)
    said = {label: said_of(terminal.screen, label) for label in STATES}
    assert {label: sign for label, (sign, _) in said.items()} == SIGNS[signs]
    for label, word in STATES.items():
        assert (word if signs == "unicode" else word.replace("·", "-")) in said[label][1], said
    assert len({(sign, words) for sign, words in said.values()}) == len(STATES)
    terminal.keys("j", "j")
    pointer = "›" if signs == "unicode" else "*"
    terminal.until(lambda screen: f"{pointer}{SIGNS[signs]['is-cooling']} is-cooling" in screen)
    terminal.keys("q")
    assert terminal.exit_code() == 0


ESCAPES = re.compile(
    rb"\x1b(?:\][^\x07\x1b]*(?:\x07|\x1b\\)|P[^\x1b]*\x1b\\|\[[0-?]*[ -/]*[@-~]|[ -/]*[0-~])"
)


def test_ascii_means_every_byte(terminal: Terminal, home: Path, folders: dict[str, str]) -> None:
    """With --ascii all that is drawn of an ASCII store is ASCII: screens, dialogs, toasts, banner, every size."""
    opened(terminal, home, folders, "--ascii", size=(60, 16))
    for steps in DIALOGS.values():
        go(terminal, *((key, seen.replace("─", "-")) for key, seen in steps))
        close_all(terminal)
    terminal.resize(100, 34)
    go(terminal, ("Enter", "pools -> openrouter -> heron"), ("Escape", "curlew"))
    go(terminal, ("v", "1 marked"), ("r", "nothing to reset"), ("y", "sent id"), ("K", "moved egret first"))
    go(terminal, ("/", "state:cool"), ("nosuchkey", "no match"), ("Enter", "nosuchkey"), ("Escape", "heron"))
    go(terminal, ("z", "zoom"), ("Escape", "curlew"), ("_", "2/2 ready"), ("_", "heron"), ("!", "problems"))
    go(
        terminal,
        ("Escape", "heron"),
        ("o", "by "),
        ("p", "frozen"),
        ("p", "live"),
        ("w", "heron"),
        ("w", "heron"),
    )
    go(terminal, ("m", "masked"))
    for size, seen in (((200, 60), "needs attention"), ((60, 16), "openrouter"), ((30, 8), "too small")):
        terminal.resize(*size)
        terminal.sees(seen)
    terminal.resize(100, 34)
    (home / "auth.json").write_text("{")
    terminal.sees("not valid JSON")
    terminal.keys("r")
    terminal.keys("q")
    assert terminal.exit_code() == 0
    drawn = ESCAPES.sub(b"", terminal.stream)
    strange = sorted(set(drawn.decode()) - set(map(chr, range(128))))
    assert not strange, [(char, drawn.decode().index(char)) for char in strange]
    assert b"heron" in drawn and b"\x1b" not in drawn


# --- sizes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(60, 16), (80, 24)], ids=["60x16", "80x24"])
def test_every_dialog_is_whole(
    terminal: Terminal, home: Path, folders: dict[str, str], size: tuple[int, int]
) -> None:
    """No dialog leaves a small terminal: four corners, two sides, title and the keys that answer it."""
    opened(terminal, home, folders, size=size)
    for title, steps in DIALOGS.items():
        go(terminal, *steps)
        terminal.until(lambda screen, title=title: framed(screen, title))  # type: ignore[misc]
        assert "esc" in framed(terminal.screen, title)[-1], title
        close_all(terminal)
    leave(terminal)


STORM = (
    *((200, 60), (60, 16), (120, 40), (30, 8), (81, 25)),
    *((160, 32), (40, 10), (99, 31), (300, 80), (1, 1)),
)


@pytest.mark.parametrize("title", ["", "commands", "add a key   step 2"], ids=["pools", "commands", "add"])
def test_a_storm_of_sizes_ends_as_it_began(
    terminal: Terminal, home: Path, folders: dict[str, str], title: str
) -> None:
    """Ten sizes in a row, a dialog open or not, and back: the screen is the same again and the program well."""
    opened(terminal, home, folders)
    go(terminal, *DIALOGS.get(title, ()))
    before = terminal.settled()
    for size in STORM:
        terminal.resize(*size)
    terminal.resize(80, 24)
    terminal.until(lambda screen: screen == before)
    leave(terminal)


# --- sharing -----------------------------------------------------------------------------------------------


def test_what_is_shared_is_said_to_be_sent(terminal: Terminal, home: Path, folders: dict[str, str]) -> None:
    """Both y and Y say "sent" and reach the clipboard by both ways out of tmux; the note holds no name."""
    opened(terminal, home, {**folders, "TMUX": "/tmp/tmux-0/default,1,0"})
    terminal.take_clipboards()
    terminal.keys("y")
    assert "copied" not in terminal.told("sent id aaa001 to the terminal's clipboard")
    assert passed_through(terminal.stream) == ["aaa001"]
    terminal.until(lambda _: terminal.clipboard == "aaa001")
    terminal.keys("n", "Y")
    terminal.told("sent the note to the terminal's clipboard")
    terminal.until(lambda _: len(passed_through(terminal.stream)) == 2)
    note = passed_through(terminal.stream)[1]
    assert POOL in note and not [name for name in ("heron", "egret", "curlew") if name in note]
    leave(terminal)


def passed_through(stream: bytes) -> list[str]:
    """Return the texts that were sent to the clipboard of the terminal around tmux."""
    found = re.findall(rb"\x1bPtmux;\x1b\x1b\]52;c;([A-Za-z0-9+/=]+)\x07\x1b\\", stream)
    return [base64.b64decode(text).decode() for text in found]


def test_a_picture_hides_names_also_in_toasts(
    terminal: Terminal, home: Path, tmp_path: Path, folders: dict[str, str]
) -> None:
    """A picture taken while a toast names a key shows no name; the one taken with names on purpose shows them."""
    opened(terminal, home, folders)
    terminal.keys("J")
    terminal.told("moved heron last (aaa001)")
    terminal.keys("C-s")
    terminal.told("names hidden")
    assert "heron" in terminal.screen
    terminal.keys("m", "m")
    terminal.sees("egret")
    terminal.keys("C-s")
    terminal.told("names shown")
    terminal.keys("q")
    assert terminal.exit_code() == 0
    masked, shown = sorted((tmp_path / "state").rglob("*.svg"), key=lambda path: path.stat().st_mtime_ns)
    assert "heron" in shown.read_text() and "heron" not in masked.read_text() and POOL in masked.read_text()


# --- look and settings -------------------------------------------------------------------------------------


def test_a_theme_is_seen_at_once_and_kept(
    terminal: Terminal, home: Path, folders: dict[str, str], settings: Path
) -> None:
    """The list shows a theme while the cursor is on it; esc brings the old one back, enter keeps the new for good."""
    opened(terminal, home, folders)
    before = terminal.drawn
    go(terminal, *DIALOGS["theme"])
    first = colours(terminal.drawn)
    terminal.type("pool-light")
    terminal.until(lambda _: not colours(terminal.drawn) & first)
    terminal.escape()
    terminal.until(lambda _: terminal.drawn == before)
    assert not settings.exists()
    go(terminal, *DIALOGS["theme"])
    terminal.type("pool-light")
    terminal.until(lambda _: not colours(terminal.drawn) & first)
    terminal.keys("Enter")
    terminal.until(is_at_the_pools)
    kept = terminal.drawn
    leave(terminal)
    assert yaml.safe_load(settings.read_text()) == {"theme": "pool-light"}
    opened(terminal, home, folders)
    terminal.until(lambda _: terminal.drawn == kept)


def colours(drawn: str) -> set[str]:
    """Return the background colours on a screen."""
    return set(re.findall(r"48;2;\d+;\d+;\d+", drawn))


def test_settings_hold_in_the_next_start(
    terminal: Terminal, home: Path, folders: dict[str, str], settings: Path
) -> None:
    """Glyphs, mask and mouse that were changed on their screen are in the user's file, and hold when it opens again."""
    opened(terminal, home, folders)
    go(terminal, ("4", "mask names"), ("j", "frames around pools"), ("j", "ascii draws"), ("Enter", "* live"))
    go(terminal, ("j", "of a bench"), ("j", "hidden at every start"), ("Enter", "masked"))
    go(terminal, ("j", "from the next start on"), ("Enter", "mouse          off"))
    terminal.keys("q")
    assert terminal.exit_code() == 0
    assert yaml.safe_load(settings.read_text()) == {"glyphs": "ascii", "mask": True, "mouse": False}
    assert stat.S_IMODE(settings.stat().st_mode) & 0o077 == 0 or settings.stat().st_uid == os.getuid()
    terminal.start(dashboard(home), (80, 24), **folders)
    terminal.until(lambda screen: "+ key 1" in screen and "masked" in screen)
    assert "heron" not in terminal.screen
    assert not [mode for mode in MOUSE if mode in terminal.stream]
    terminal.keys("q")
    assert terminal.exit_code() == 0


def test_a_key_of_ones_own_holds_in_the_next_start(
    terminal: Terminal, home: Path, folders: dict[str, str], settings: Path
) -> None:
    """An action moved to another key obeys that one at once and in the next start, and the old key no more."""
    opened(terminal, home, folders)
    go(terminal, *KEYMAP)
    terminal.type("view.mask")
    terminal.until(lambda screen: len(framed(screen, "keymap")) == 4)
    go(terminal, ("Enter", "press the new key"), ("x", "was m"))
    close_all(terminal)
    for _ in range(2):
        go(terminal, ("x", "masked"), ("x", "heron"))
        terminal.keys("m")
        assert ids_copied(terminal) == "aaa001"
        assert "masked" not in terminal.screen and "heron" in terminal.screen
        leave(terminal)
        opened(terminal, home, folders)
    assert yaml.safe_load(settings.read_text()) == {"keymap": {"view.mask": "x"}}
    leave(terminal)
