from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fakes import a_key, keys, load, tree, write_store
from tmux import KEYDECK, Terminal

pytestmark = pytest.mark.terminal


def dashboard(home: Path, *options: str) -> str:
    return " ".join([KEYDECK, "--home", shlex.quote(str(home)), *options])


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_the_demo_opens_and_moves(terminal: Terminal, size: tuple[int, int], tmp_path: Path) -> None:
    """The demo shows five pools, its counts move by themselves, and it leaves nothing behind."""
    terminal.start(f"{KEYDECK} --demo", size, TMPDIR=str(tmp_path))
    terminal.sees("anthropic", "openrouter", "nous", "openai-codex", "custom:together.ai", "half-written")
    counts = set(re.findall(r"\d[\d,]*", terminal.screen))
    terminal.until(lambda screen: set(re.findall(r"\d[\d,]*", screen)) - counts)
    terminal.until(lambda screen: len(re.findall("◐", screen)) != 4)
    terminal.keys("q")
    assert terminal.exit_code() == 0
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("keydeck-demo-")]


def test_a_change_by_somebody_else_is_on_screen_at_once(terminal: Terminal, home: Path) -> None:
    """A file that is replaced shows within a second, without a key being pressed."""
    write_store(home, {"openrouter": keys("aaa001")})
    terminal.start(dashboard(home))
    terminal.sees("openrouter  1/1 ready", "● live")
    other = home.parent / "other"
    for number in range(3):
        write_store(other, {"openrouter": keys(*(f"aaa00{n}" for n in range(number + 2)))})
        (other / "auth.json").replace(home / "auth.json")
        terminal.sees(f"openrouter  {number + 2}/{number + 2} ready", seconds=1.0)


def test_looking_leaves_the_home_as_it_was(terminal: Terminal, home: Path) -> None:
    """Opening, scrolling, both dialogs, cancelling and quitting change no byte and make no file (FS-48)."""
    write_store(
        home, {"openrouter": keys("aaa001", "aaa002"), "deepseek": [a_key("b", source="env:NOWHERE")]}
    )
    (home / "config.yaml").write_text("# mine\ncredential_pool_strategies: {openrouter: random}\n")
    before = tree(home)
    terminal.start(dashboard(home))
    terminal.sees("openrouter  2/2 ready")
    terminal.keys("j", "G", "g", "Tab", "s")
    terminal.sees("how it picks")
    terminal.keys("j", "Escape")
    terminal.until(lambda screen: "how it picks" not in screen)
    terminal.keys("?")
    terminal.sees("╭─ keys")
    terminal.keys("Escape")
    terminal.until(lambda screen: "╭─ keys" not in screen)
    terminal.keys("q")
    assert terminal.exit_code() == 0
    assert tree(home) == before


def test_every_size_holds_and_resizing_draws_anew(terminal: Terminal, home: Path) -> None:
    """From 60x16 to 200x60 and back the panes fit and nothing breaks."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    terminal.start(dashboard(home), (60, 16))
    terminal.sees("openrouter  2/2 ready", "? help")
    for size in ((200, 60), (120, 40), (80, 24), (60, 16), (30, 8), (120, 40)):
        terminal.resize(*size)
        wanted = "too small" if size[0] < 40 else "openrouter  2/2 ready"
        terminal.sees(wanted)
        if size[1] >= 32:
            terminal.sees("╭─ openrouter")
    terminal.keys("q")
    assert terminal.exit_code() == 0


def test_states_are_told_apart_without_colours(terminal: Terminal, home: Path) -> None:
    """With NO_COLOR only greys reach the terminal, and sign, word and cursor are still there."""
    rows = [
        a_key("aaa001", "one"),
        a_key("aaa002", "two", last_status="dead", last_error_code=401, priority=1),
    ]
    write_store(home, {"openrouter": rows})
    terminal.start(dashboard(home), NO_COLOR="1")
    terminal.sees("● one", "▲ two", "log in again", "›")
    terminal.keys("q")
    assert terminal.exit_code() == 0
    colours = set(re.findall(rb"[34]8;2;(\d+);(\d+);(\d+)", terminal.stream))
    assert colours
    assert all(len(set(colour)) == 1 for colour in colours)


def test_hostile_text_and_secrets_never_reach_the_terminal(terminal: Terminal, home: Path) -> None:
    """No escape sequence of a label and no secret of the store is in anything the program writes."""
    secrets = [f"sk-planted-{n:04d}-0123456789" for n in range(20)]
    rows = [
        a_key(
            f"a{n:05d}",
            f"[/x]\x1b]0;owned{n}\x07 {secret}" if n % 2 else f"row {n}",
            access_token=secret,
            priority=n,
            last_status="exhausted",
            last_error_code=429,
            last_error_message=f"\x1b[31mkey {secret} hit",
            last_error_reset_at=4_000_000_000,
        )
        for n, secret in enumerate(secrets)
    ]
    write_store(home, {"openrouter": rows})
    terminal.start(dashboard(home), (200, 60))
    terminal.sees("[/x] ***", "row 18")
    terminal.keys(*["j"] * 19, "?")
    terminal.sees("╭─ keys")
    terminal.keys("Escape")
    terminal.until(lambda screen: "╭─ keys" not in screen)
    terminal.keys("s")
    terminal.sees("how it picks")
    terminal.keys("Escape")
    terminal.until(lambda screen: "how it picks" not in screen)
    terminal.keys("q")
    assert terminal.exit_code() == 0
    assert b"\x1b]0;owned" not in terminal.stream
    assert not [secret for secret in secrets if secret[3:].encode() in terminal.stream]


def test_a_broken_file_is_told_and_mended_live(terminal: Terminal, home: Path) -> None:
    """A truncated store shows the banner over the last good rows, and its repair takes it away."""
    path = write_store(home, {"openrouter": keys("aaa001")})
    good = path.read_bytes()
    terminal.start(dashboard(home), (120, 40))
    terminal.sees("openrouter  1/1 ready")
    path.write_bytes(good[: len(good) // 2])
    terminal.sees("not valid JSON", "Writes are off", "openrouter  1/1 ready", seconds=3)
    path.write_bytes(good)
    terminal.until(lambda screen: "not valid JSON" not in screen, 4)


def test_a_home_that_comes_later_is_noticed(terminal: Terminal, home: Path) -> None:
    """Without a home the screen says so and keeps watching; its first key shows by itself."""
    terminal.start(dashboard(home))
    terminal.sees("there is no auth.json")
    write_store(home, {"openrouter": keys("aaa001")})
    terminal.sees("openrouter  1/1 ready", "● live", seconds=5)


def test_the_key_is_asked_for_without_an_echo(terminal: Terminal, home: Path) -> None:
    """``auth add`` on a terminal asks for the key, shows none of it, and stores it."""
    secret = "sk-typed-0123456789"
    terminal.start(f"{KEYDECK} auth add openrouter --label typed --home {shlex.quote(str(home))}")
    terminal.sees("API key")
    terminal.type(secret)
    terminal.keys("Enter")
    assert terminal.exit_code() == 0
    assert secret.encode() not in terminal.stream
    assert load(home)["credential_pool"]["openrouter"][0]["access_token"] == secret


def test_a_strategy_is_set_from_the_dashboard(terminal: Terminal, home: Path) -> None:
    """``s``, a line down and enter write the next strategy, and the pane shows it without a reload."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    (home / "config.yaml").write_text("# mine\n")
    terminal.start(dashboard(home))
    terminal.sees("openrouter  2/2 ready")
    terminal.keys("s")
    terminal.sees("how it picks")
    terminal.keys("Down", "Enter")
    terminal.until(lambda screen: re.search(r"openrouter +2/2 ready ─+ round_robin", screen))
    assert (home / "config.yaml").read_text().startswith("# mine\n")


def test_without_a_terminal_the_dashboard_refuses(home: Path) -> None:
    """Into a pipe ``keydeck`` says what to use instead, with exit code 2 and no escape code (FS-69)."""
    done = subprocess.run(
        [sys.executable, "-m", "keydeck", "--home", str(home)],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
        cwd=tempfile.gettempdir(),
        env={"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 2
    assert b"needs a terminal" in done.stderr and b"\x1b" not in done.stdout + done.stderr


def test_a_polite_kill_leaves_the_terminal_in_order(terminal: Terminal, tmp_path: Path) -> None:
    """On SIGTERM the demo restores the screen, deletes its folder, and says so by its exit code."""
    terminal.start(f"{KEYDECK} --demo", TMPDIR=str(tmp_path))
    terminal.sees("anthropic", "half-written")
    folder = next(path for path in tmp_path.iterdir() if path.name.startswith("keydeck-demo-"))
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.exit_code() == 143
    assert terminal.stream.rstrip().count(b"\x1b[?1049l") == 1
    assert not folder.exists()
