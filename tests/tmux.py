"""A terminal for tests: the program runs in tmux."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shlex
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

KEYDECK = f"{shlex.quote(sys.executable)} -m keydeck"


_TMUX = ("tmux", "-L", "keydeck-tests", "-f", "/dev/null")
"""A server of the tests' own, without anybody's settings."""

_COPIED = re.compile(rb"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07")
_TOAST = re.compile(r"▌ (\S.*)$")
_PATIENCE_S = 5.0
_SAME_LOOKS = 15
_BESIDE_TOASTS = 2
"""Cells from the text of a toast to the edge of the screen."""
_LEFT, _WHEEL_UP, _WHEEL_DOWN = 0, 64, 65
"""Buttons of a mouse, as terminals number them."""


class Terminal:
    """A program in tmux: keys go in, the screen comes out."""

    def __init__(self, folder: Path) -> None:
        self._name = ""
        self._folder = folder
        self._width = 0

    def start(self, command: str, size: tuple[int, int] = (80, 24), **env: str) -> None:
        """Run a command; its exit code lands in `exit_code`, all its output in `stream`. The one before it ends."""
        for left in (self._pid, self._code, self._stream):
            left.unlink(missing_ok=True)
        self._width = size[0]
        variables = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "LANG": "C.UTF-8", "TZ": "UTC"}
        variables |= {"PYTHONPATH": os.pathsep.join(sys.path), "COLORTERM": "truecolor", **env}
        words = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
        script = self._folder / "run.sh"
        program = self._folder / "program.sh"
        program.write_text(
            f"echo $$ > {shlex.quote(str(self._pid))}\nexec env -i TERM=$TERM {words} {command}\n"
        )
        code = shlex.quote(str(self._code))
        script.write_text(f"sh {shlex.quote(str(program))}\necho $? > {code}\n")
        before, self._name = self._name, f"keydeck-test-{uuid.uuid4().hex[:8]}"
        self._open(f"sh {shlex.quote(str(script))}; cat", size)
        self._tmux("pipe-pane", f"cat > {shlex.quote(str(self._stream))}")
        self._end(before)

    def _open(self, command: str, size: tuple[int, int]) -> None:
        """Open a session; a server that is just leaving, since its last one ended, is waited for."""
        began = time.monotonic()
        while True:
            try:
                self._tmux("new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), command)
            except subprocess.CalledProcessError:
                if time.monotonic() - began > _PATIENCE_S:
                    raise
                self._pause()
            else:
                return

    def keys(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)

    def send(self, sequence: bytes) -> None:
        """Send bytes as they are, as a terminal sends what is no key."""
        self._tmux("send-keys", "-H", *(f"{byte:02x}" for byte in sequence))

    def escape(self) -> None:
        """Press escape as terminals with the newer protocol do: what comes next cannot be taken for a part of it."""
        self.send(b"\x1b[27u")

    def paste(self, text: str) -> None:
        """Paste as terminals do: line ends as returns, and in brackets if the program asked for them."""
        self._run(["load-buffer", "-b", self._name, "-"], text)
        self._tmux("paste-buffer", "-p", "-d", "-b", self._name)

    def click(self, text: str) -> None:
        """Press and let go the mouse on the first cell of a text that is on screen."""
        x, y = self.place(text)
        self.send(f"\x1b[<{_LEFT};{x + 1};{y + 1}M\x1b[<{_LEFT};{x + 1};{y + 1}m".encode())

    def wheel(self, text: str, *, down: bool) -> None:
        """Turn the wheel by one notch over a text that is on screen."""
        x, y = self.place(text)
        self.send(f"\x1b[<{_WHEEL_DOWN if down else _WHEEL_UP};{x + 1};{y + 1}M".encode())

    def place(self, text: str) -> tuple[int, int]:
        """Return the cell, counted from 0, in which a text on screen begins."""
        found = [(line.index(text), y) for y, line in enumerate(self.lines) if text in line]
        assert found, f"{text!r} is not on the screen:\n{self.screen}"
        return found[0]

    def resize(self, width: int, height: int) -> None:
        self._width = width
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    @property
    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    @property
    def lines(self) -> list[str]:
        return self.screen.splitlines()

    @property
    def drawn(self) -> str:
        """The screen with its colours, as escape sequences."""
        return self._tmux("capture-pane", "-p", "-e")

    @property
    def stream(self) -> bytes:
        return self._stream.read_bytes()

    @property
    def copied(self) -> list[str]:
        """What the program sent to the clipboard so far, in bare sequences."""
        return [base64.b64decode(found).decode() for found in _COPIED.findall(self.stream)]

    def until(self, true: Callable[[str], object], seconds: float = 15.0) -> float:
        """Wait until the screen is as wanted; return how long that took."""
        began = time.monotonic()
        while not true(self.screen):
            assert time.monotonic() - began < seconds, f"never came true; the screen:\n{self.screen}"
            self._pause()
        return time.monotonic() - began

    def sees(self, *texts: str, seconds: float = 15.0) -> float:
        return self.until(lambda screen: all(text in screen for text in texts), seconds)

    @property
    def tty(self) -> set[str]:
        """The settings of the terminal's driver that are on, such as ``echo`` and ``icanon``."""
        device = self._tmux("display-message", "-p", "#{pane_tty}").strip()
        said = subprocess.run(["stty", "-a", "-F", device], check=True, capture_output=True, text=True).stdout
        return set(said.replace(";", " ").split())

    def take_clipboards(self) -> None:
        """Have tmux take what programs send to the clipboard, as its user can have it do."""
        self._run(["set-option", "-s", "set-clipboard", "on"])

    @property
    def clipboard(self) -> str:
        """What tmux took last, empty if nothing."""
        with contextlib.suppress(subprocess.CalledProcessError):
            return self._run(["show-buffer"])
        return ""

    def told(self, *texts: str, seconds: float = 15.0) -> str:
        """Wait until toasts say these texts; return all they said then, without blanks, since toasts break lines."""
        return self.found(lambda screen: self._told_on(screen, texts), seconds)

    def _told_on(self, screen: str, texts: tuple[str, ...]) -> str:
        return self.toasts(screen) if all(self.says(screen, text) for text in texts) else ""

    def found(self, find: Callable[[str], str], seconds: float = 15.0) -> str:
        """Wait until something is found on the screen; return it."""
        found: list[str] = []

        def is_there(screen: str) -> bool:
            found[:] = [find(screen)]
            return bool(found[0])

        self.until(is_there, seconds)
        return found[0]

    def says(self, screen: str, text: str) -> bool:
        """Tell whether a toast on a screen says this; blanks do not count."""
        return "".join(text.split()) in self.toasts(screen)

    def toasts(self, screen: str) -> str:
        """Return what the toasts on a screen say, without blanks."""
        lines = (line[: self._width - _BESIDE_TOASTS] for line in screen.splitlines())
        said = (_TOAST.search(line) for line in lines)
        return "".join("".join(found[1].split()) for found in said if found)

    def settled(self) -> str:
        """Return the screen once it looks the same over and over: what was pressed is drawn."""
        looks: list[str] = []

        def is_still(_: str) -> bool:
            looks.append(self.drawn)
            return len(looks) >= _SAME_LOOKS and len(set(looks[-_SAME_LOOKS:])) == 1

        self.until(is_still)
        return self.screen

    def exit_code(self, seconds: float = 15.0) -> int:
        began = time.monotonic()
        while not (self._code.exists() and self._code.read_text().strip()):
            assert time.monotonic() - began < seconds, f"did not end; the screen:\n{self.screen}"
            self._pause()
        return int(self._code.read_text())

    def close(self) -> None:
        self._end(self._name)

    @staticmethod
    def _end(name: str) -> None:
        if name:
            subprocess.run([*_TMUX, "kill-session", "-t", name], check=False, capture_output=True)

    @property
    def pid(self) -> int:
        """The process of the program itself."""
        return int(self._pid.read_text())

    @property
    def _pid(self) -> Path:
        return self._folder / "pid"

    @property
    def _code(self) -> Path:
        return self._folder / "exit-code"

    @property
    def _stream(self) -> Path:
        return self._folder / "stream"

    @staticmethod
    def _pause() -> None:
        """Leave the processor to the program; the loops around this wait for what it does, not for time."""
        threading.Event().wait(0.01)

    def _tmux(self, command: str, *arguments: str) -> str:
        target = ["-s", self._name] if command == "new-session" else ["-t", self._name]
        return self._run([command, *target, *arguments])

    @staticmethod
    def _run(command: list[str], given: str = "") -> str:
        done = subprocess.run(
            [*_TMUX, *command], input=given, check=True, capture_output=True, text=True, timeout=10
        )
        return done.stdout


def framed(screen: str, title: str, *, corners: str = "╭╮╰╯", side: str = "│", rule: str = "─") -> list[str]:
    """Return the lines of the frame whose title begins so, edges and all; nothing if it is not there or not whole."""
    lines = screen.splitlines()
    wanted = f"{corners[0]}{rule} {title}"
    top = next((y for y, line in enumerate(lines) if wanted in line), None)
    if top is None:
        return []
    left = lines[top].index(wanted)
    right = lines[top].find(corners[1], left + len(wanted))
    for bottom, line in enumerate(lines[top + 1 :], top + 1):
        edges = line[left : left + 1], line[right : right + 1]
        if edges == (corners[2], corners[3]):
            return [line[left : right + 1] for line in lines[top : bottom + 1]]
        if edges != (side, side):
            break
    return []
