from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes import NOW
from keydeck.demo.scene import write_scene
from ui import frame, running

STEPS = ((80, 24), (200, 60), (60, 16), (120, 40), (159, 50), (160, 50), (100, 31), (100, 32))


@pytest.mark.parametrize(
    "keys",
    [
        (),
        ("enter",),
        ("question_mark",),
        ("d",),
        ("s",),
        ("a",),
        ("e",),
        ("ctrl+p",),
        ("slash", "a"),
        ("4",),
        ("T",),
    ],
    ids=lambda keys: "+".join(keys) or "pools",
)
async def test_no_half_laid_out_frame_is_sent_while_the_terminal_changes(
    home: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...]
) -> None:
    """After a new size whatever is sent is the final frame at once: bars, panes and dialogs together."""
    write_scene(home, NOW)
    async with running(home, (120, 40)) as ui:
        await ui.press(*keys)
        sent: list[list[str]] = []
        display = ui.app._display

        def record(screen: Any, renderable: Any) -> None:
            if renderable is not None and not ui.app._batch_count:
                sent.append(frame(ui.app))
            display(screen, renderable)

        monkeypatch.setattr(ui.app, "_display", record)
        for size in STEPS:
            sent.clear()
            await ui.pilot.resize_terminal(*size)
            await ui.settle()
            new = [lines for lines in sent if len(lines) == size[1]]
            assert new, size
            assert all(lines == new[-1] for lines in new), size
            assert len(new[-1][0]) >= size[0] - 1 or keys, size
