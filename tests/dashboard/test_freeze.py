"""A frozen view: data and order stand, clocks go on, and what is held back is counted and shown in the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes import NOW, a_key, benched, keys, load, write_store
from ui import Ui, running


def labels(ui: Ui) -> list[str]:
    """Return the labels of the rows on screen, in order."""
    return [row.label for view in ui.app._pools._shown for row in view.rows]


def a_store(home: Path) -> None:
    rows = [
        a_key("aaa001", "one"),
        a_key("aaa002", "two", priority=1, **benched(429, until=NOW + 90)),
        a_key("aaa003", "three", priority=2),
    ]
    write_store(home, {"openrouter": rows})


def another_store(home: Path) -> None:
    """Reorder the rows, bench one, end the bench of another, and add a pool."""
    rows = [
        a_key("aaa003", "three", **benched(402)),
        a_key("aaa002", "two", priority=1),
        a_key("aaa001", "one", priority=2),
    ]
    write_store(home, {"zai": keys("bbb001"), "openrouter": rows})


async def test_data_and_order_are_held_and_the_changes_counted(home: Path) -> None:
    """While frozen nothing moves but the count in the bar; letting go shows it all at once."""
    a_store(home)
    async with running(home, (120, 40)) as ui:
        await ui.press("j", "p")
        assert " frozen " in ui.lines[0]
        before = [line for line in ui.lines[1:] if "│" in line or "╭" in line]
        another_store(home)
        await ui.reload()
        assert " frozen +4 " in ui.lines[0]
        assert [line for line in ui.lines[1:] if "│" in line or "╭" in line][:4] == before[:4]
        assert labels(ui) == ["one", "two", "three"]
        assert "3 ready" not in ui.lines[0] and "2 ready  1 cooling" in ui.lines[0]
        await ui.press("p")
        assert "frozen" not in ui.lines[0].partition("home")[0]
        assert labels(ui) == ["key-bbb001", "three", "two", "one"]
        assert ui.cursor == ("openrouter", "aaa002")


async def test_escape_lets_go_as_well(home: Path) -> None:
    """Escape ends the freeze when nothing else is left to take back."""
    a_store(home)
    async with running(home, (120, 40)) as ui:
        await ui.press("p")
        another_store(home)
        await ui.reload()
        await ui.press("escape")
        assert labels(ui) == ["key-bbb001", "three", "two", "one"]


async def test_clocks_go_on(home: Path) -> None:
    """A frozen countdown runs to its end, and the row is tried then: that is the clock's doing, not the file's."""
    a_store(home)
    async with running(home, (120, 40)) as ui:
        await ui.press("p")
        assert "1m30s 429" in ui.line("◐ two")
        await ui.tick(30)
        assert "1m00s 429" in ui.line("◐ two")
        await ui.tick(60)
        assert "probing" in ui.line("◔ two")
        assert "frozen +" not in ui.lines[0]


async def test_what_went_back_is_no_change(home: Path) -> None:
    """Rows that are again as they are shown are not counted, and a reload that brings nothing counts nothing."""
    a_store(home)
    good = load(home)["credential_pool"]
    async with running(home, (120, 40)) as ui:
        await ui.press("p")
        another_store(home)
        await ui.reload()
        assert " frozen +4 " in ui.lines[0]
        write_store(home, good)
        await ui.reload()
        assert " frozen " in ui.lines[0]


async def test_acts_work_on_what_is_meant(home: Path) -> None:
    """An act in a frozen view goes by id to the newest file; the view shows it when it is let go."""
    a_store(home)
    async with running(home, (120, 40)) as ui:
        await ui.press("j", "p")
        document = load(home)["credential_pool"]["openrouter"]
        write_store(home, {"openrouter": document[::-1]})
        await ui.press("r")
        await ui.until(lambda: "reset two (aaa002)" in ui.text)
        await ui.settle()
        rows = {row["id"]: row["last_status"] for row in load(home)["credential_pool"]["openrouter"]}
        assert rows == {"aaa001": None, "aaa002": None, "aaa003": None}
        assert "◐ two" in ui.text
        await ui.press("p")
        assert "● two" in ui.text


@pytest.mark.parametrize(
    ("opens", "title"),
    [
        ("d", "╭─ remove"),
        ("s", "how it picks"),
        ("question_mark", "╭─ keys"),
        ("ctrl+p", "╭─ commands"),
        ("a", "add a key"),
    ],
)
async def test_a_dialog_holds_the_rows_behind_it(home: Path, opens: str, title: str) -> None:
    """Under an open question rows keep their places and states; when it closes they catch up."""
    a_store(home)
    async with running(home, (120, 40)) as ui:
        await ui.press(opens)
        ui.sees(title)
        another_store(home)
        await ui.app.read_again()
        await ui.settle()
        assert labels(ui) == ["one", "two", "three"]
        ui.sees(title)
        await ui.press("escape")
        assert labels(ui) == ["key-bbb001", "three", "two", "one"]


async def test_clocks_go_on_behind_a_dialog(home: Path) -> None:
    """The countdown behind a small question goes down, and ends."""
    a_store(home)
    async with running(home, (120, 40)) as ui:
        await ui.press("d")
        assert "1m30s 429" in ui.line("◐ two")
        await ui.tick(31)
        assert "59s 429" in ui.line("◐ two")


async def test_the_detail_is_held_too(home: Path) -> None:
    """Frozen is frozen on every screen: the key in full shows the held state, with its clock running."""
    a_store(home)
    async with running(home, (120, 40)) as ui:
        await ui.press("j", "p", "enter")
        another_store(home)
        await ui.reload()
        assert " frozen +4 " in ui.lines[0]
        ui.sees("◐ cooling", "14:03:41, in 1m30s")
        await ui.tick(10)
        ui.sees("in 1m20s")
        await ui.press("escape", "p", "enter")
        ui.sees("● ready")
