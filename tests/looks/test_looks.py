"""Colours and lines, as pictures: ``KEYDECK_UPDATE=1 pytest -m looks`` takes them anew; look at them before keeping them.

They hold for the versions in ``constraints.txt`` beside this file and are compared under these only.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from frames.states import STATES, State, with_settings
from keydeck.dashboard.sharing import portable_svg
from ui import running

pytestmark = pytest.mark.looks

FOLDER = Path(__file__).parent / "pictures"

LOOKS: dict[str, tuple[State, tuple[int, int]]] = {
    "dashboard-dark": (STATES["pools"], (120, 40)),
    "dashboard-light": (
        State(("j", "v", "j", "j", "j"), options=with_settings(theme="pool-light")),
        (120, 40),
    ),
    "dashboard-mono": (State(("j", "v", "j", "j", "j"), options=with_settings(theme="pool-mono")), (120, 40)),
    "dashboard-wide": (STATES["pools"], (200, 60)),
    "dashboard-narrow": (STATES["pools"], (80, 24)),
    "dashboard-ansi": (State(("j",), options=with_settings(theme="ansi-dark")), (80, 24)),
    "history": (STATES["pools-with-past"], (120, 40)),
    "history-narrow": (STATES["pools-with-past"], (80, 24)),
    "events": (STATES["events-scrolled"], (120, 40)),
    "banner": (STATES["pools-broken-store"], (80, 24)),
    "detail": (STATES["detail-cooling"], (120, 40)),
    "help": (STATES["help"], (80, 24)),
    "palette": (STATES["palette-searched"], (80, 24)),
    "remove": (STATES["remove-last-ready"], (80, 24)),
    "strategy": (STATES["strategy"], (80, 24)),
    "add-key": (STATES["add-key-bad"], (80, 24)),
    "settings": (STATES["settings"], (80, 24)),
}


async def picture(state: State, size: tuple[int, int], home: Path) -> str:
    """Return a state as SVG without what differs from run to run."""
    state.prepare(home)
    options: dict[str, Any] = {"place": "~/.hermes", **state.options}
    async with running(home, size, env=dict(state.env), **options) as ui:
        await ui.press(*state.keys)
        if state.then is not None:
            await state.then(ui, home)
        svg = portable_svg(ui.app.export_screenshot(title="keydeck"))
    return re.sub(r"terminal-\d+", "terminal", svg)


@pytest.mark.parametrize("name", LOOKS)
async def test_a_picture_is_as_it_was(tmp_path: Path, name: str) -> None:
    """Every colour and sign of the picture is what was looked at and kept; the new one lies beside it if not."""
    state, size = LOOKS[name]
    svg, kept = await picture(state, size, tmp_path / "home"), FOLDER / f"{name}.svg"
    if os.environ.get("KEYDECK_UPDATE") == "1":
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(svg, encoding="utf-8")
    same = kept.read_text(encoding="utf-8") == svg
    if not same:
        (tmp_path / f"{name}.svg").write_text(svg, encoding="utf-8")
    assert same, f"{name} looks different: compare {kept} with {tmp_path / name}.svg"


def test_no_picture_is_left_over() -> None:
    """Each kept picture belongs to a look."""
    assert {path.stem for path in FOLDER.glob("*.svg")} == set(LOOKS)
