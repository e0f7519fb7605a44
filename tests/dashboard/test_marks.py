"""Marked keys: acted on together, named before they go, undone as one, and forgotten with their rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes import NOW, a_key, benched, keys, load, lock_held, tree, write_store
from keydeck.engine.acts import Operator
from keydeck.present.text import width
from ui import Ui, running


def marked(ui: Ui) -> list[str]:
    """Return the labels of the rows that are drawn as marked, in order."""
    return [line.split("✓")[1].split()[1] for line in ui.lines if "✓" in line]


def ids(home: Path, provider: str = "openrouter") -> list[str]:
    return [row["id"] for row in load(home)["credential_pool"][provider]]


def statuses(home: Path, provider: str = "openrouter") -> list[str | None]:
    return [row["last_status"] for row in load(home)["credential_pool"][provider]]


def inside(ui: Ui, corner: str) -> str:
    """Return the text in the box that begins with this corner and title, as one line."""
    top, line = next((y, line) for y, line in enumerate(ui.lines) if corner in line)
    left = line.index(corner)
    right = line.index("╮", left)
    rows = [line[left + 1 : right] for line in ui.lines[top + 1 :]]
    bottom = next(y for y, row in enumerate(rows) if "y remove   esc cancel" in row)
    return " ".join(" ".join(rows[:bottom]).split())


async def told(ui: Ui, text: str) -> None:
    """Wait for a toast with these words; long ones are broken over lines."""
    await ui.until(lambda: all(word in ui.text for word in text.split()))
    await ui.reload()


def four_benched(home: Path) -> None:
    rows = [a_key(f"aaa00{n}", f"key{n}", priority=n, **benched(429, until=NOW + 900)) for n in range(4)]
    write_store(home, {"openrouter": rows, "zai": keys("bbb001")})


async def test_marking_goes_down_and_says_how_many(home: Path) -> None:
    """``v`` marks and moves on, over pools too; again takes the mark away; the bar counts."""
    four_benched(home)
    async with running(home, (80, 24)) as ui:
        await ui.press("v", "v", "G", "v")
        assert marked(ui) == ["key0", "key1", "key-bbb001"]
        assert " 3 marked " in ui.lines[0]
        await ui.press("g", "v")
        assert marked(ui) == ["key1", "key-bbb001"]
        assert ui.cursor == ("openrouter", "aaa001")
        assert " 2 marked " in ui.lines[0]


async def test_marks_follow_their_keys(home: Path) -> None:
    """Through reorder, sort, filter and reload a mark is on the same key, hidden or not."""
    four_benched(home)
    async with running(home, (80, 24)) as ui:
        await ui.press("j", "v")
        assert marked(ui) == ["key1"]
        await ui.press("o", "o", "O")
        assert marked(ui) == ["key1"]
        rows = load(home)["credential_pool"]["openrouter"]
        for row, place in zip(rows, (3, 2, 1, 0), strict=True):
            row["priority"] = place
        write_store(home, {"openrouter": rows, "zai": keys("bbb001")})
        await ui.reload()
        assert marked(ui) == ["key1"]
        await ui.press("minus")
        assert marked(ui) == [] and " 1 marked " in ui.lines[0]
        await ui.press("minus")
        assert marked(ui) == ["key1"]


async def test_marks_vanish_with_their_rows(home: Path) -> None:
    """A row that another program removes takes its mark along, even if the row comes back."""
    four_benched(home)
    everything = load(home)["credential_pool"]
    async with running(home, (80, 24)) as ui:
        await ui.press("v", "v")
        write_store(home, {**everything, "openrouter": everything["openrouter"][1:]})
        await ui.reload()
        assert marked(ui) == ["key1"]
        write_store(home, everything)
        await ui.reload()
        assert marked(ui) == ["key1"]
        assert " 1 marked " in ui.lines[0]


async def test_marked_keys_are_reset_together_and_undone_at_once(home: Path) -> None:
    """``r`` ends the benches of the marked, not that under the cursor; one ``u`` brings all of them back."""
    four_benched(home)
    before = load(home)["credential_pool"]
    async with running(home, (120, 40)) as ui:
        await ui.press("v", "j", "v", "g", "j", "r")
        await told(ui, "reset 2 keys")
        assert statuses(home) == [None, "exhausted", None, "exhausted"]
        assert marked(ui) == []
        ui.sees("openrouter  2/4 ready")
        await ui.press("u")
        await told(ui, "put back 2 keys")
        assert load(home)["credential_pool"] == before
        await ui.press("u")
        await told(ui, "nothing to undo")


async def test_a_key_that_needs_no_reset_is_not_counted(home: Path) -> None:
    """Of a benched and a ready key one was reset, and that is what is told."""
    four_benched(home)
    async with running(home, (120, 40)) as ui:
        await ui.press("v", "G", "v", "r")
        await told(ui, "reset 1 of 2 keys")
        assert statuses(home)[0] is None and statuses(home, "zai") == [None]


@pytest.mark.parametrize("size", [(60, 16), (200, 60)])
async def test_a_removal_of_many_names_all_and_what_stays(home: Path, size: tuple[int, int]) -> None:
    """The question has every label, and for each pool what stays; it fits, enter is harmless, ``y`` removes."""
    rows = [a_key(f"aaa00{n}", f"a long label, number {n}", priority=n) for n in range(7)]
    write_store(home, {"openrouter": rows, "zai": keys("bbb001")})
    before = tree(home)
    async with running(home, size) as ui:
        await ui.press("j", *("v",) * 6, "v")
        await ui.press("d")
        asked = inside(ui, "╭─ remove ─")
        assert "7 keys" in asked
        assert all(f"number {n}" in asked for n in range(1, 7)), ui.text
        assert "zai / key-bbb001" in asked
        assert "openrouter: 1 of its keys stay, 1 of them ready." in asked
        assert "zai: It is the last key: none can serve then." in asked
        assert all(width(line) <= size[0] for line in ui.lines) and len(ui.lines) == size[1]
        await ui.press("enter")
        assert tree(home) == before
        assert " 7 marked " in ui.lines[0]
        await ui.press("d", "y")
        await told(ui, "removed 7 keys")
        assert ids(home) == ["aaa000"] and ids(home, "zai") == []
        await ui.press("u")
        await told(ui, "put back 7 keys")
        rows = load(home)["credential_pool"]["openrouter"]
        assert sorted(row["id"] for row in rows) == [f"aaa00{n}" for n in range(7)]
        assert ids(home, "zai") == ["bbb001"]


async def test_what_failed_is_told_with_its_reason(home: Path) -> None:
    """One of the marked is gone when the act runs: the others go, the toast says so, and ``u`` brings those back."""
    four_benched(home)
    async with running(home, (120, 40)) as ui:
        await ui.press("v", "v", "v", "d")
        everything = load(home)["credential_pool"]
        write_store(home, {**everything, "openrouter": [everything["openrouter"][n] for n in (0, 2, 3)]})
        await ui.press("y")
        await told(ui, "removed 2 of 3 keys. openrouter has no credential aaa001 any more")
        assert ids(home) == ["aaa003"]
        await ui.press("u")
        await told(ui, "put back 2 keys")
        assert sorted(ids(home)) == ["aaa000", "aaa002", "aaa003"]


async def test_when_things_change_it_asks_again(home: Path) -> None:
    """A key that became the last ready one while the question stood: ``y`` asks anew, with the new facts."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002", "aaa003")})
    async with running(home, (80, 24)) as ui:
        await ui.press("v", "v", "d")
        ui.sees("openrouter: 1 of its keys stay, 1 of them ready")
        rows = keys("aaa001", "aaa002", "aaa003")
        rows[2].update(benched(429, until=NOW + 900))
        write_store(home, {"openrouter": rows})
        await ui.app.read_again()
        await ui.settle()
        ui.sees("1 of them ready")
        await ui.press("y")
        ui.sees("openrouter: 1 of its keys stay, 0 of them ready", "It is the last ready key")
        assert "things changed while you read" in ui.text
        assert ids(home) == ["aaa001", "aaa002", "aaa003"]
        await ui.press("y")
        await told(ui, "removed 2 keys")
        assert ids(home) == ["aaa003"]


async def test_a_reset_of_a_pool_asks_again_too(home: Path) -> None:
    """``R`` counts what is out when it is answered, not when it was asked."""
    four_benched(home)
    async with running(home, (80, 24)) as ui:
        await ui.press("R")
        ui.sees("4 of 4 keys are out")
        write_store(home, {"openrouter": [a_key("aaa000"), a_key("aaa001", priority=1, **benched(402))]})
        await ui.app.read_again()
        await ui.settle()
        await ui.press("y")
        ui.sees("1 of 2 keys are out")
        await ui.press("escape")
        assert statuses(home) == [None, "exhausted"]


async def test_a_pool_that_is_gone_leaves_no_empty_question(home: Path) -> None:
    """When the whole pool went while the question stood, the new question says that the key is gone."""
    four_benched(home)
    async with running(home, (80, 24)) as ui:
        await ui.press("G", "d")
        ui.sees("zai / key-bbb001")
        write_store(home, {"openrouter": keys("aaa001")})
        await ui.app.read_again()
        await ui.settle()
        await ui.press("y")
        ui.sees("it is gone: somebody removed it meanwhile")
        await ui.press("escape")
        assert ids(home) == ["aaa001"]


async def test_hidden_marks_are_acted_on_and_named(home: Path) -> None:
    """What a filter hides stays marked; the question names it, so that nothing goes unseen."""
    four_benched(home)
    async with running(home, (80, 24)) as ui:
        await ui.press("v", "v", "slash", *"key3", "enter")
        assert marked(ui) == []
        assert " 2 marked " in ui.lines[0]
        await ui.press("d")
        ui.sees("2 keys", "openrouter / key0, key1")
        await ui.press("escape")
        assert len(ids(home)) == 4


async def test_inherited_keys_among_the_marked_stop_it_before_anything(tmp_path: Path) -> None:
    """A marked key of the root profile is refused with its reason, and the profile's own key stays as well."""
    root = tmp_path / "root"
    write_store(root, {"openrouter": keys("aaa001")})
    write_store(root / "profiles" / "work", {"zai": [a_key("bbb001", **benched())]})
    before = tree(root)
    async with running(root, (120, 40), profile="work") as ui:
        await ui.press("v", "v")
        assert len(marked(ui)) == 2
        for key in ("r", "d"):
            await ui.press(key)
            await told(ui, "openrouter is the root profile's here")
            assert len(ui.app.screen_stack) == 1
    assert tree(root) == before


async def test_giving_up_on_the_lock_ends_it_for_all(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the lock held, escape ends the whole act: not one of the marked is touched or waited for again."""
    four_benched(home)
    before = load(home)
    tried: list[str | None] = []
    reset = Operator.reset

    def counted(operator: Operator, provider: str, credential_id: str | None = None) -> object:
        tried.append(credential_id)
        return reset(operator, provider, credential_id)

    monkeypatch.setattr(Operator, "reset", counted)
    async with running(home, (120, 40)) as ui:
        await ui.press("v", "v", "v")
        with lock_held(home):
            await ui.pilot.press("r")
            await ui.until(lambda: "waiting for the lock" in ui.text)
            await ui.pilot.press("escape")
            await ui.until(lambda: "gave up waiting" in ui.text)
        await ui.settle()
        assert tried == ["aaa000"]
    assert load(home) == before
