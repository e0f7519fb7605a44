"""Drive the dashboard in tests: keys in, text out. ``await ui.press("s")`` and ``assert ui.sees("round_robin")``."""

from __future__ import annotations

import functools
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from fakes import FakeClock, around
from keydeck.dashboard.app import PoolApp
from keydeck.engine.home import locate_home
from keydeck.engine.snapshot import HomeReader

SIZES = ((60, 16), (80, 24), (120, 40), (200, 60))


class Ui:
    """A running dashboard."""

    def __init__(self, app: PoolApp, pilot: Pilot[None], clock: FakeClock) -> None:
        self.app = app
        self.pilot = pilot
        self.clock = clock

    async def press(self, *keys: str) -> Ui:
        await self.pilot.press(*keys)
        await self.settle()
        return self

    async def settle(self) -> None:
        if waiting := [worker for worker in self.app.workers if worker.group in ("write", "past", "io")]:
            await self.app.workers.wait_for_complete(waiting)
        await self.pilot.pause()
        await self.pilot.pause()

    async def tick(self, seconds: float = 1.0) -> None:
        """Move the clock on and let the screen know."""
        self.clock.forward(seconds)
        self.app.tick()
        await self.pilot.pause()

    async def reload(self) -> None:
        await self.press("ctrl+r")
        await self.app.workers.wait_for_complete([w for w in self.app.workers if w.group == "reload"])
        await self.settle()

    async def until(self, true: Callable[[], bool], seconds: float = 5.0) -> float:
        """Wait until something is true; return how long that took."""
        began = time.monotonic()
        while not true():
            assert time.monotonic() - began < seconds, f"never came true; the screen:\n{self.text}"
            await self.pilot.pause(0.01)
        return time.monotonic() - began

    @property
    def lines(self) -> list[str]:
        return frame(self.app)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def sees(self, *texts: str) -> bool:
        missing = [text for text in texts if text not in self.text]
        assert not missing, f"{missing} not in\n{self.text}"
        return True

    def line(self, text: str) -> str:
        """Return the one line that holds `text`."""
        found = [line for line in self.lines if text in line]
        assert len(found) == 1, f"{text!r} is on {len(found)} lines of\n{self.text}"
        return found[0]

    def row(self, label: str) -> str:
        """Return the first line that holds `label`: its row in the pools, not what happened to it."""
        return next(line for line in self.lines if label in line)

    @property
    def cursor(self) -> tuple[str, str | None] | None:
        return self.app._pools._cursor


def frame(app: PoolApp) -> list[str]:
    """Return the text on screen, dialogs included."""
    rendered: Any = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    return ["".join(segment.text for segment in strip).rstrip() for strip in rendered.strips]


def _stay(notify: Callable[..., None], message: str, **how: Any) -> None:
    notify(message, **{**how, "timeout": 3600.0})


@asynccontextmanager
async def running(
    home: Path, size: tuple[int, int] = (120, 40), *, env: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[Ui]:
    """Run the dashboard on a home; it watches nothing unless ``watch=True``."""
    clock = FakeClock()
    profile = options.pop("profile", None)
    surroundings = around(home.parent, **(env or {}))
    located = locate_home(home, profile, surroundings)
    reader = options.pop("reader", None) or HomeReader(located, around=surroundings, clock=clock)
    app = PoolApp(reader, clock=clock, **{"watch": False, "state": home.parent / "state", **options})
    # Toasts go by the clock of the machine: on a slow one they would be gone before the test looks.
    vars(app)["notify"] = functools.partial(_stay, app.notify)
    try:
        async with app.run_test(size=size, notifications=True) as pilot:
            ui = Ui(app, pilot, clock)
            await ui.until(lambda: app._since_start is None, seconds=30.0)  # the past has been read
            await ui.settle()
            yield ui
    finally:
        gc.unfreeze()  # a program ends with its app, the tests go on
