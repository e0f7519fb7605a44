from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.message import Message
from textual.message_pump import MessagePump
from textual.messages import Layout, Update

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
    await must_be_steady(home, monkeypatch, keys, STEPS)


@pytest.mark.parametrize("keys", [("s",), ("d",)], ids="".join)
async def test_widgets_that_hear_late_of_a_new_size_are_waited_for(
    home: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...]
) -> None:
    """On a busy machine one message in ten is late: still no half of a layout is sent, in front or behind."""
    handle, chance = MessagePump._dispatch_message, random.Random(2)  # noqa: S311 - nobody has to guess it

    async def late(pump: MessagePump, message: Message) -> None:
        if isinstance(message, LATE) and chance.random() < 0.1:
            await asyncio.sleep(0.03)
        await handle(pump, message)

    monkeypatch.setattr(MessagePump, "_dispatch_message", late)
    await must_be_steady(home, monkeypatch, keys, STEPS[:6])


LATE = (events.Resize, events.Show, events.Hide, events.Mount, events.Callback, Layout, Update)


async def must_be_steady(
    home: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...], steps: Sequence[tuple[int, int]]
) -> None:
    """Change the size step by step, and see that all that is sent after each is the final frame."""
    write_scene(home, NOW)
    # A busy machine must not cut it short.
    monkeypatch.setattr("keydeck.dashboard.dialogs.dialog._LONGEST_S", 60.0)
    async with running(home, (120, 40)) as ui:
        await ui.press(*keys)
        sent: list[list[str]] = []
        display = ui.app._display

        def record(screen: Any, renderable: Any) -> None:
            if renderable is not None and not ui.app._batch_count:
                sent.append(frame(ui.app))
            display(screen, renderable)

        monkeypatch.setattr(ui.app, "_display", record)
        for size in steps:
            sent.clear()
            await ui.pilot.resize_terminal(*size)
            await ui.until(lambda height=size[1]: any(len(lines) == height for lines in sent))  # type: ignore[misc]
            await ui.settle()
            await ui.settle()  # what may follow
            new = [lines for lines in sent if len(lines) == size[1]]
            assert [odd for lines in new for odd in unlike(lines, new[-1])] == [], size
            assert len(new[-1][0]) >= size[0] - 1 or keys, size


def unlike(lines: list[str], final: list[str]) -> list[tuple[str, str]]:
    """Return the lines of a frame that are not those of the final one, each beside what it became."""
    return [(line, last) for line, last in zip(lines, final, strict=True) if line != last]
