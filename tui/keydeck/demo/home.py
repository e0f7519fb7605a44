"""The demo's home: a temporary folder, deleted at the end, and the agents that keep it busy."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Final

from keydeck.demo.past import write_scene_with_past
from keydeck.demo.scene import FOLDER_PREFIX, around
from keydeck.engine.clock import wall_clock
from keydeck.engine.home import locate_home
from keydeck.engine.snapshot import HomeReader

AGENTS: Final = ("coder", "research", "batch")
_PATIENCE_S: Final = 5.0
_SIGNS: Final = (signal.SIGTERM, signal.SIGHUP)


class Demo:
    """A home that is not real, and its agents."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        surroundings = around(folder)
        home = locate_home(folder / ".hermes", around=surroundings)
        write_scene_with_past(home.path, wall_clock())
        self.reader = HomeReader(home, around=surroundings)
        self._agents: list[subprocess.Popen[bytes]] = []

    def start_agents(self) -> None:
        """Let the agents begin. Each leaves as soon as its standard input ends: with us, however we end."""
        for name in AGENTS:
            with suppress(OSError):  # a demo with fewer agents is a demo all the same
                self._agents.append(_start(self.folder, name))

    def stop_agents(self) -> None:
        """End them, and wait until they have."""
        for agent in self._agents:
            _say_goodbye(agent)
        deadline = monotonic() + _PATIENCE_S
        for agent in self._agents:
            try:
                agent.wait(timeout=max(deadline - monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                agent.kill()
                agent.wait()


@contextmanager
def demo_home() -> Iterator[Demo]:
    """Yield a fresh invented home; its agents end and its folder goes when the block does, by a signal too."""
    with (
        _leaving_in_order(),
        tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX, ignore_cleanup_errors=True) as folder,
    ):
        demo = Demo(Path(folder))
        try:
            yield demo
        finally:
            _ignore_signs()
            demo.stop_agents()


def _start(folder: Path, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own module, no shell
        [sys.executable, "-m", "keydeck.demo.agent", str(folder), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # what the terminal sends is for the dashboard
    )


def _say_goodbye(agent: subprocess.Popen[bytes]) -> None:
    """Tell an agent to end and leave the folder to us."""
    if agent.stdin is not None:
        with suppress(OSError):  # one that is gone already needs no word
            agent.stdin.write(b"\n")
            agent.stdin.close()


@contextmanager
def _leaving_in_order() -> Iterator[None]:
    """Leave by an exception when told to end; the dashboard has its own way while it runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signs = (*_SIGNS, signal.SIGINT)
    before = {sign: signal.getsignal(sign) for sign in signs}
    for sign in _SIGNS:
        signal.signal(sign, _leave)
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _ignore_signs() -> None:
    """Let nothing come between the end and the broom."""
    if threading.current_thread() is threading.main_thread():
        for sign in (*_SIGNS, signal.SIGINT):
            signal.signal(sign, signal.SIG_IGN)
