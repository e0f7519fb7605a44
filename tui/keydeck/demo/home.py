"""The demo's home: a temporary folder, deleted at the end, and the process that keeps it busy."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keydeck.demo.scene import around, write_scene
from keydeck.engine.clock import wall_clock
from keydeck.engine.home import locate_home
from keydeck.engine.snapshot import HomeReader


@contextmanager
def demo_home() -> Iterator[HomeReader]:
    """Yield a reader of a fresh invented home while invented agents use it."""
    with tempfile.TemporaryDirectory(prefix="keydeck-demo-", ignore_cleanup_errors=True) as folder:
        user = Path(folder)
        surroundings = around(user)
        home = locate_home(user / ".hermes", around=surroundings)
        write_scene(home.path, wall_clock())
        # It leaves as soon as its standard input ends: with us, however we end.
        agents = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-m", "keydeck.demo.agents", str(user)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield HomeReader(home, around=surroundings)
        finally:
            if agents.stdin is not None:
                agents.stdin.close()
            try:
                agents.wait(timeout=5)
            except subprocess.TimeoutExpired:
                agents.kill()
                agents.wait()
