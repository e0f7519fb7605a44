"""Every screen and dialog as text, at the four sizes. ``KEYDECK_UPDATE=1 pytest tests/frames`` takes the frames anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fakes import NOW
from frames.states import STATES, State
from ui import SIZES, Ui, running

FOLDER = Path(__file__).parent / "golden"


async def frames_of(state: State, home: Path) -> dict[tuple[int, int], list[str]]:
    """Return what is on screen at each size."""
    state.prepare(home)
    options = {"place": "~/.hermes", **state.options}
    async with running(home, (120, 40), env=dict(state.env), **options) as ui:
        await ui.press(*state.keys)
        if state.then is not None:
            await state.then(ui, home)
        await ui.press(*state.more)
        return {size: await _at(ui, size) for size in SIZES}


async def _at(ui: Ui, size: tuple[int, int]) -> list[str]:
    await ui.pilot.resize_terminal(*size)
    await ui.settle()
    before: list[str] = []
    while (lines := ui.lines) != before:  # widgets that follow others take a turn of their own
        before = lines
        await ui.settle()
    return lines


def written(frames: dict[tuple[int, int], list[str]]) -> str:
    """Return frames as they are kept."""
    parts = [f"=== {width}x{height}\n" + "\n".join(lines) + "\n" for (width, height), lines in frames.items()]
    return "".join(parts)


@pytest.mark.parametrize("name", STATES)
async def test_a_state_looks_as_it_did(tmp_path: Path, name: str) -> None:
    """The text on screen is what was looked at and kept, line by line, at every size."""
    frames = await frames_of(STATES[name], tmp_path / "home")
    for (width, height), lines in frames.items():
        assert len(lines) == height
        assert max(map(len, lines)) <= width
    text, kept = written(frames), FOLDER / f"{name}.txt"
    if os.environ.get("KEYDECK_UPDATE") == "1":
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(text, encoding="utf-8")
    assert kept.read_text(encoding="utf-8") == text


def test_no_frame_is_left_over() -> None:
    """Each kept file belongs to a state."""
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(STATES)


def test_the_clock_of_the_frames_is_the_tests() -> None:
    """Frames hold times; they are those of the day at which tests happen."""
    assert "14:43:17" in (FOLDER / "pools.txt").read_text(encoding="utf-8")
    assert NOW == 1_794_146_531.0
