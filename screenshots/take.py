"""Take the pictures of the README: the running app, synthetic data, a clock that stands still.

``python screenshots/take.py`` writes them; ``python screenshots/take.py --check`` says which would differ.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from pathlib import Path

# Textual reads these when it is imported.
os.environ["TEXTUAL_ANIMATIONS"] = "none"
os.environ["COLORTERM"] = "truecolor"
os.environ["TZ"] = "UTC"
os.environ.pop("NO_COLOR", None)
time.tzset()

from keydeck.dashboard.app import PoolApp
from keydeck.dashboard.sharing import portable_svg
from keydeck.demo.past import write_scene_with_past
from keydeck.demo.scene import around
from keydeck.engine.home import locate_home
from keydeck.engine.snapshot import HomeReader

FOLDER = Path(__file__).parent
NOW = 1_794_146_531.0
PICTURES: dict[str, tuple[tuple[int, int], tuple[str, ...]]] = {
    "dashboard-120x40": ((120, 40), ("j", "j", "j", "j")),
    "dashboard-80x24": ((80, 24), ("j", "j", "j", "j")),
    "dashboard-200x60": ((200, 60), ("j", "j", "j", "j")),
    "events-120x40": ((120, 40), ("2", "j", "j", "j")),
    "detail-120x40": ((120, 40), ("j", "j", "j", "j", "enter")),
    "strategy-120x40": ((120, 40), ("s", "j")),
    "add-key-80x24": ((80, 24), ("a", "enter", *"sk-demo-")),
    "commands-80x24": ((80, 24), ("ctrl+p", *"open")),
    "help-80x24": ((80, 24), ("question_mark",)),
    "problems-masked-80x24": ((80, 24), ("exclamation_mark", "m")),
    "settings-80x24": ((80, 24), ("4",)),
}


async def take(size: tuple[int, int], keys: tuple[str, ...]) -> str:
    """Return the screen as SVG after these keys."""
    with tempfile.TemporaryDirectory() as folder:
        user = Path(folder)
        write_scene_with_past(user / ".hermes", NOW)
        surroundings = around(user)
        home = locate_home(user / ".hermes", around=surroundings)
        reader = HomeReader(home, around=surroundings, clock=lambda: NOW)
        app = PoolApp(reader, clock=lambda: NOW, watch=False, state=user / "state")
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await app.workers.wait_for_complete([one for one in app.workers if one.group == "past"])
            for key in keys:
                await pilot.press(key)
            await pilot.pause()
            return portable(app.export_screenshot(title="keydeck"))


def portable(svg: str) -> str:
    """Make a picture the same on every run and machine: no font from afar, no random names."""
    return re.sub(r"terminal-\d+", "terminal", portable_svg(svg))


def main() -> int:
    """Write or check every picture."""
    check, wrong = "--check" in sys.argv, []
    for name, (size, keys) in PICTURES.items():
        path = FOLDER / f"{name}.svg"
        svg = asyncio.run(take(size, keys))
        if check and (not path.exists() or path.read_text(encoding="utf-8") != svg):
            wrong.append(path.name)
        elif not check:
            path.write_text(svg, encoding="utf-8")
    if wrong:
        sys.stderr.write(
            f"these pictures show another program: {', '.join(wrong)}; run screenshots/take.py\n"
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
