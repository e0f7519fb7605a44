from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual import events

from fakes import NOW, a_key, benched, happened, keys, limited, load, load_whole, tree, write_store
from keydeck.dashboard.actions import ACTIONS
from ui import SIZES, Ui, running


def stored(home: Path, provider: str = "openrouter") -> list[str]:
    rows = load(home)["credential_pool"][provider]
    return [str(row["id"]) for row in sorted(rows, key=lambda row: float(row["priority"]))]


async def told(ui: Ui, text: str) -> None:
    """Wait for a toast with this text; long ones are broken over lines."""
    words = text.split()
    await ui.until(lambda: all(word in ui.text for word in words))
    await ui.reload()


async def test_reset_ends_one_bench_and_u_brings_it_back(home: Path) -> None:
    """``r`` clears the row under the cursor only; ``u`` restores exactly what was there."""
    rows = [a_key("aaa001", **benched(429, until=NOW + 900)), a_key("aaa002", priority=1, **benched(402))]
    write_store(home, {"openrouter": rows})
    async with running(home, (120, 40)) as ui:
        await ui.press("r")
        await told(ui, "reset key-aaa001 (aaa001)")
        assert load(home)["credential_pool"]["openrouter"][0]["last_status"] is None
        assert load(home)["credential_pool"]["openrouter"][1] == rows[1]
        ui.sees("openrouter  1/2 ready")
        await ui.press("u")
        await told(ui, "undid the reset of key-aaa001")
        assert load(home)["credential_pool"]["openrouter"] == rows


async def test_a_pool_is_reset_after_a_question(home: Path) -> None:
    """``R`` asks first: escape and enter leave everything, ``y`` ends every bench."""
    write_store(
        home, {"openrouter": [a_key("aaa001", **benched()), a_key("aaa002", priority=1, **benched())]}
    )
    before = tree(home)
    async with running(home, (80, 24)) as ui:
        for key in ("escape", "enter", "n", "q"):
            await ui.press("R")
            ui.sees("2 of 2 keys are out", "y reset")
            await ui.press(key)
            assert len(ui.app.screen_stack) == 1
        assert tree(home) == before
        await ui.press("R", "y")
        await told(ui, "reset 2 of openrouter")
        ui.sees("openrouter  2/2 ready")


@pytest.mark.parametrize("pressed", [("r",), ("R", "y")], ids="".join)
async def test_a_key_that_is_out_for_a_model_is_reset_and_u_brings_that_back(
    home: Path, pressed: tuple[str, ...]
) -> None:
    """With its pool or alone; the question before and the answer say what it was out for."""
    write_store(home, {"openrouter": keys("aaa001", "bbb002")})
    happened(home, (0, limited("aaa001", "model-one")))
    async with running(home, (120, 40)) as ui:
        assert "not for model-one" in ui.row("key-aaa001")
        await ui.press(pressed[0])
        if len(pressed) > 1:
            ui.sees("0 of 2 keys are out, 1 for some models")
            await ui.press(*pressed[1:])
        await told(ui, "that ended the limit of 1 model")
        assert "not for" not in ui.row("key-aaa001")
        await ui.press("u")
        await told(ui, "undid the reset of")
        assert "not for model-one" in ui.row("key-aaa001")
        ui.sees("out for model-one: 429 rate limit")


@pytest.mark.parametrize("size", SIZES)
async def test_a_removal_names_its_consequences_and_can_be_undone(home: Path, size: tuple[int, int]) -> None:
    """The question fits at every size, enter is harmless, ``y`` removes, ``u`` brings the key back."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    rows = load(home)["credential_pool"]["openrouter"]
    async with running(home, size) as ui:
        await ui.press("j", "d")
        ui.sees("openrouter / key-aaa002", "id aaa002", "1 of its keys stay, 1 of them ready", "y remove")
        await ui.press("enter")
        assert stored(home) == ["aaa001", "aaa002"]
        await ui.press("d", "y")
        await told(ui, "removed key-aaa002")
        assert stored(home) == ["aaa001"]
        await ui.press("u")
        await told(ui, "put key-aaa002 back")
        assert sorted(load(home)["credential_pool"]["openrouter"], key=lambda row: row["id"]) == rows


async def test_a_question_that_nobody_has_seen_is_not_answered_with_yes(home: Path) -> None:
    """A ``y`` that comes in one burst with the ``d`` before it does nothing; the next one removes the key."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, (80, 24)) as ui:
        for key in "dy":
            ui.app.post_message(events.Key(key, key))
        await ui.until(lambda: "y remove" in ui.text)
        await ui.settle()
        assert stored(home) == ["aaa001", "aaa002"]
        await ui.press("y")
        await told(ui, "removed key-aaa001")


async def test_the_last_ready_key_is_named_before_it_goes(home: Path) -> None:
    """Removing it says that nothing stays ready (FS-67)."""
    write_store(home, {"openrouter": [a_key("aaa001"), a_key("aaa002", priority=1, **benched())]})
    async with running(home, (80, 24)) as ui:
        await ui.press("d")
        ui.sees("1 of its keys stay, 0 of them ready", "It is the last ready key of this pool")


async def test_a_removal_hits_the_key_that_was_shown(home: Path) -> None:
    """Rows that change places while the question stands change nothing in it (FS-58)."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002", "aaa003")})
    async with running(home, (80, 24)) as ui:
        await ui.press("j", "d")
        ui.sees("key-aaa002")
        write_store(home, {"openrouter": keys("aaa003", "aaa002", "aaa001")})
        await ui.press("y")
        await told(ui, "removed key-aaa002")
        assert stored(home) == ["aaa003", "aaa001"]


async def test_a_removal_of_what_is_gone_says_so(home: Path) -> None:
    """If somebody removed the row meanwhile nothing else is removed."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, (80, 24)) as ui:
        await ui.press("d")
        write_store(home, {"openrouter": keys("aaa002")})
        await ui.press("y")
        await told(ui, "openrouter has no credential aaa001 any more")
        assert stored(home) == ["aaa002"]


async def test_a_removed_secret_is_dropped_after_a_minute(home: Path) -> None:
    """Within the minute ``u`` works; after it nothing is left to undo."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, (80, 24)) as ui:
        await ui.press("d", "y")
        await told(ui, "removed key-aaa001")
        await ui.tick(59)
        assert ui.app.acting._undos
        await ui.tick(1)
        assert not ui.app.acting._undos
        await ui.press("u")
        await told(ui, "nothing to undo")
        assert stored(home) == ["aaa002"]


async def test_keys_move_and_the_cursor_goes_along(home: Path) -> None:
    """``n`` makes first, ``K`` and ``J`` move by one, and ``u`` moves back."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002", "aaa003")})
    async with running(home, (80, 24)) as ui:
        await ui.press("G", "n")
        await told(ui, "moved key-aaa003 first")
        assert stored(home) == ["aaa003", "aaa001", "aaa002"]
        assert ui.cursor == ("openrouter", "aaa003")
        await ui.press("J")
        await told(ui, "moved key-aaa003 to place 2")
        assert stored(home) == ["aaa001", "aaa003", "aaa002"]
        await ui.press("K")
        await ui.until(lambda: stored(home) == ["aaa003", "aaa001", "aaa002"])
        await ui.settle()
        await ui.press("u")
        await ui.until(lambda: stored(home) == ["aaa001", "aaa003", "aaa002"])


async def test_inherited_keys_refuse_every_act(tmp_path: Path) -> None:
    """The root profile's rows are not changed from a profile, and the reason is told."""
    root = tmp_path / "root"
    write_store(root, {"openrouter": keys("aaa001", "aaa002")})
    (root / "profiles" / "work").mkdir(parents=True)
    before = tree(root)
    async with running(root, (120, 40), profile="work") as ui:
        for key in ("r", "n", "J"):
            await ui.press(key)
            await told(ui, "openrouter is the root profile's here")
    assert tree(root) == before


async def test_an_undo_does_not_touch_what_others_changed(home: Path) -> None:
    """A row that somebody benched again after our reset keeps that bench."""
    write_store(home, {"openrouter": [a_key("aaa001", **benched(429, until=NOW + 900))]})
    async with running(home, (120, 40)) as ui:
        await ui.press("r")
        await told(ui, "reset key-aaa001")
        document = load_whole(home)
        document["credential_pool"]["openrouter"][0].update(benched(402, until=NOW + 50))
        (home / "auth.json").write_text(json.dumps(document))
        await ui.press("u")
        await told(ui, "was changed meanwhile by another program")
        assert load(home)["credential_pool"]["openrouter"][0]["last_error_code"] == 402


def test_every_change_is_marked_dangerous() -> None:
    """What is in the group of changes is refused in read-only mode, and nothing else is."""
    assert {action.id for action in ACTIONS if action.dangerous} == {
        *(action.id for action in ACTIONS if action.group == "change")
    }


SECRET = "sk-planted-0123456789abcdef"


@pytest.mark.parametrize("size", SIZES)
async def test_a_key_is_added_and_shown_nowhere(home: Path, size: tuple[int, int]) -> None:
    """Provider, key and label are asked for at every size; the key is on no frame and in no picture."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, size) as ui:
        await ui.press("a")
        ui.sees("add a key   step 1 of 3", "openrouter")
        await ui.press("enter", *("minus" if char == "-" else char for char in SECRET))
        assert SECRET[3:] not in ui.text and SECRET[3:] not in ui.app.export_screenshot()
        await ui.press("ctrl+c", "ctrl+x")
        assert not ui.app.clipboard
        await ui.press("enter", *"mine", "enter")
        await told(ui, "added mine to openrouter")
        row = load(home)["credential_pool"]["openrouter"][1]
        assert (row["label"], row["access_token"], row["source"]) == ("mine", SECRET, "manual")
        assert ui.cursor == ("openrouter", row["id"])
        await ui.press("u")
        ui.sees("adding mine", "once undone it is gone")
        await ui.press("y")
        await told(ui, "took mine back")
        assert stored(home) == ["aaa001"]


@pytest.mark.parametrize("size", SIZES)
async def test_a_label_is_edited(home: Path, size: tuple[int, int]) -> None:
    """The field starts with the present label; enter writes the new one, ``u`` the old; escape nothing."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, size) as ui:
        await ui.press("e")
        ui.sees("edit key-aaa001", "base URL", "https://openrouter.ai/api/v1")
        await ui.press("escape")
        await ui.press("e", "end", *("backspace",) * 10, *"ci", "enter")
        await told(ui, "renamed key-aaa001 to ci")
        assert load(home)["credential_pool"]["openrouter"][0]["label"] == "ci"
        await ui.press("u")
        await told(ui, "undid the edit of key-aaa001")
        assert load(home)["credential_pool"]["openrouter"][0]["label"] == "key-aaa001"
