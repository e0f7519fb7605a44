"""What is shared reaches the clipboard through any multiplexer, or a private file that replaces no other."""

from __future__ import annotations

import base64
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from fakes import NOW, FailingDisk, a_key, keys, permissions_count, write_store
from keydeck.dashboard.sharing import (
    clipboard_sequence,
    portable_svg,
    screenshot_name,
    send_to_clipboard,
    state_folder,
    write_shared,
)
from keydeck.engine.errors import Refused
from ui import running

HELLO = "\x1b]52;c;aGVsbG8=\x07"


@pytest.fixture(params=[0, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Set a umask for the test; every file must come out the same under each."""
    wanted: int = request.param
    before = os.umask(wanted)
    yield wanted
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- the clipboard -----------------------------------------------------------------------------------------


def test_a_plain_terminal_gets_one_sequence() -> None:
    """Without a multiplexer the text goes out as OSC 52, base64 of UTF-8."""
    assert clipboard_sequence("hello", {"TERM": "xterm-256color"}) == HELLO
    assert clipboard_sequence("ä鍵", {}) == "\x1b]52;c;w6TpjbU=\x07"


def test_tmux_is_asked_and_passed_through() -> None:
    """In tmux the bare sequence is for tmux itself, and one wrapped for the terminal around it, escapes doubled."""
    wrapped = "\x1bPtmux;\x1b\x1b]52;c;aGVsbG8=\x07\x1b\\"
    for term in ("tmux-256color", "screen-256color"):
        env = {"TMUX": "/tmp/tmux-0/default,1,0", "TERM": term}
        assert clipboard_sequence("hello", env) == HELLO + wrapped


def test_screen_gets_only_short_strings() -> None:
    """In GNU screen the sequence goes out in strings it can hold, which add up to the sequence."""
    env = {"STY": "1234.pts-0.host", "TERM": "screen.xterm-256color"}
    assert clipboard_sequence("hello", env) == f"\x1bP{HELLO}\x1b\\"
    long = "0123456789" * 100
    parts = re.findall(r"\x1bP(.*?)\x1b\\", clipboard_sequence(long, env), flags=re.DOTALL)
    assert len(parts) == 6 and max(map(len, parts)) == 240
    assert "".join(parts) == f"\x1b]52;c;{base64.b64encode(long.encode()).decode()}\x07"
    assert clipboard_sequence(long, env) == "".join(f"\x1bP{part}\x1b\\" for part in parts)


@pytest.mark.parametrize(
    "env", [{"TERM": "screen"}, {"STY": "1.x", "TERM": "xterm"}, {"TMUX": "", "STY": "", "TERM": "screen"}]
)
def test_a_name_alone_is_no_multiplexer(env: dict[str, str]) -> None:
    """A TERM of screen without a session, or a session's variable that leaked to another terminal, wraps nothing."""
    assert clipboard_sequence("hello", env) == HELLO


def test_no_text_can_leave_the_sequence() -> None:
    """Escape sequences, ends of strings and half characters in a text are inside the base64, never beside it."""
    hostile = "\x07\x1b\\\x1b]0;evil\x07\ud800"
    for env in ({}, {"TMUX": "x"}, {"STY": "x", "TERM": "screen"}):
        sent = clipboard_sequence(hostile, env)
        assert "evil" not in sent and sent.isascii()
        assert re.fullmatch(r"[A-Za-z0-9+/=]+", re.findall(r"52;c;([^\x07]*)\x07", sent)[0])


async def test_the_driver_gets_the_sequence_and_the_program_keeps_the_text(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent goes out through Textual's driver, and pasting inside the program finds it too."""
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    written: list[str] = []
    async with running(home, (80, 24)) as ui:
        assert ui.app._driver is not None
        monkeypatch.setattr(ui.app._driver, "write", written.append)
        send_to_clipboard(ui.app, "hello", {})
        assert written == [HELLO]
        assert ui.app.clipboard == "hello"
        send_to_clipboard(ui.app, "bye")
        assert written[1:] == [clipboard_sequence("bye", {"TMUX": "x"})]
        assert ui.app.clipboard == "bye"


# --- files -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("umask")
def test_a_shared_file_is_private_and_so_is_its_folder(tmp_path: Path) -> None:
    """File 0600 and every folder that had to be made 0700, whatever the umask."""
    folder = tmp_path / "state" / "keydeck" / "screenshots"
    path = write_shared(folder, "a.svg", "<svg>é</svg>")
    assert path == folder / "a.svg"
    assert path.read_bytes() == "<svg>é</svg>".encode()
    assert mode_of(path) == 0o600
    assert [mode_of(place) for place in (folder, folder.parent, folder.parent.parent)] == [0o700] * 3


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    """What the user set up is not tightened; the file is private all the same."""
    tmp_path.chmod(0o755)
    assert mode_of(write_shared(tmp_path, "a.md", "x")) == 0o600
    assert mode_of(tmp_path) == 0o755


def test_nothing_is_ever_overwritten(tmp_path: Path) -> None:
    """A name that is taken, by a file or by a link to nowhere, gets a number."""
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "a-3.svg").symlink_to(elsewhere)
    written = [write_shared(tmp_path, "a.svg", text) for text in ("one", "two", "three", "four")]
    assert [path.name for path in written] == ["a.svg", "a-2.svg", "a-4.svg", "a-5.svg"]
    assert [path.read_text() for path in written] == ["one", "two", "three", "four"]
    assert not elsewhere.exists()


def test_a_read_only_folder_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """Where nothing can be written nothing is left behind, and the refusal says where and why."""
    tmp_path.chmod(0o500)
    with permissions_count(), pytest.raises(Refused) as refused:
        write_shared(tmp_path, "a.svg", "x")
    tmp_path.chmod(0o700)
    assert str(refused.value) == f"nothing was written to {tmp_path}: permission denied"
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    """A file where the folder should be stays as it is."""
    (tmp_path / "keydeck").write_text("mine")
    with pytest.raises(Refused, match="not a directory"):
        write_shared(tmp_path / "keydeck", "a.svg", "x")
    assert (tmp_path / "keydeck").read_text() == "mine"


@pytest.mark.parametrize("call", ["mkdir", "open_new", "write", "fsync", "close"])
def test_a_failing_disk_is_refused_and_leaves_no_file(tmp_path: Path, call: str) -> None:
    """Whichever system call fails, the answer is a refusal, and no part of a file stays."""
    with pytest.raises(Refused, match="input/output error"):
        write_shared(tmp_path / "new", "a.svg", "x", disk=FailingDisk(on=[call]))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_state_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG_STATE_HOME is followed, and asking makes no folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert state_folder() == tmp_path / "state" / "keydeck"
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_named_by_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name holds the moment as the user's clock shows it."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    assert screenshot_name(NOW) == "keydeck-20261108-230211.svg"
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert screenshot_name(NOW) == "keydeck-20261108-140211.svg"


# --- pictures ----------------------------------------------------------------------------------------------


def elements(svg: str) -> list[ET.Element]:
    """Return all elements of a picture, which has to be well-formed."""
    return list(ET.fromstring(svg).iter())  # noqa: S314 - made by the program itself


async def test_a_portable_picture_fetches_nothing(home: Path) -> None:
    """The picture of a real screen loses its fonts from afar and nothing else; it is well-formed and names no host."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, (80, 24)) as ui:
        raw = ui.app.export_screenshot(title="keydeck")
    assert "cdnjs" in raw and "@font-face" in raw, "Textual's own picture fetches a font"
    svg = portable_svg(raw)
    assert "key-aaa001" in svg and "'DejaVu Sans Mono'" in svg
    assert "Fira" not in svg
    for element in elements(svg):
        styles = element.text or "" if element.tag.endswith("style") else ""
        for text in (styles, *element.attrib.values()):
            assert not re.search(r"https?:|@font-face|@import|url\((?!#)|//", text), text
    assert re.findall("<text.*", svg) == re.findall("<text.*", raw), "only the style sheet differs"


async def test_text_on_screen_that_looks_like_a_style_stays(home: Path) -> None:
    """A label that reads like a font's rule is neither cut out nor lets the cut run on into the picture."""
    labels = ("@font-face{", "}", "</style>")
    write_store(home, {"openrouter": [a_key(f"aaa00{n}", label) for n, label in enumerate(labels)]})
    async with running(home, (80, 24)) as ui:
        raw = ui.app.export_screenshot(title="keydeck")
    svg = portable_svg(raw)
    assert "@font-face{" in svg
    assert len(elements(svg)) == len(elements(raw))
