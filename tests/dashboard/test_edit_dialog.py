from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from fakes import a_key, keys, load, tree, write_store
from keydeck.dashboard.dialogs.edit import EditDialog
from keydeck.present.glyphs import ASCII
from ui import SIZES, Ui, running


def stored(home: Path, provider: str = "openrouter") -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in load(home)["credential_pool"][provider]}


def order(home: Path, provider: str = "openrouter") -> list[str]:
    return sorted(
        stored(home, provider), key=lambda row_id: float(stored(home, provider)[row_id]["priority"])
    )


async def fill(ui: Ui, field: str, text: str) -> None:
    """Replace what stands in a field by typing."""
    names = {"-": "minus", ".": "full_stop", "/": "slash", ":": "colon"}
    found = ui.app.screen.query_one(field, Input)
    found.focus()
    await ui.press("home", "ctrl+k", *(names.get(char, char) for char in text))


async def changed_by_others(ui: Ui, home: Path, **fields: Any) -> None:
    """Change the first row as another program does, and let the app know."""
    document = load(home)
    document["credential_pool"]["openrouter"][0].update(fields)
    write_store(home, document["credential_pool"])
    ui.app.reload()
    await ui.app.workers.wait_for_complete([w for w in ui.app.workers if w.group == "reload"])
    await ui.settle()


@pytest.mark.parametrize("size", SIZES)
async def test_label_address_and_place_are_saved_and_undone_together(
    home: Path, size: tuple[int, int]
) -> None:
    """The form fits at every size, writes what was typed into it, and one ``u`` takes all of it back."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002", "aaa003")})
    before = stored(home)
    async with running(home, size) as ui:
        await ui.press("e")
        ui.sees("edit key-aaa001", "https://openrouter.ai/api/v1", "place 1 of 3; 1 is tried first")
        ui.sees("╭─ edit", "╰─", "enter save", "esc cancel")
        await fill(ui, "#edit-label", "ci")
        await fill(ui, "#edit-url", "https://other.example/v1")
        await fill(ui, "#edit-place", "3")
        await ui.press("enter")
        assert len(ui.app.screen_stack) == 1
        assert (stored(home)["aaa001"]["label"], stored(home)["aaa001"]["base_url"]) == (
            "ci",
            "https://other.example/v1",
        )
        assert order(home) == ["aaa002", "aaa003", "aaa001"]
        await ui.press("u")
        await ui.until(lambda: stored(home) == before)


async def test_the_place_alone_moves_the_key(home: Path) -> None:
    """A new place is a move; label and address stay as they are."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002", "aaa003")})
    async with running(home, (80, 24)) as ui:
        await ui.press("G", "e")
        ui.sees("place 3 of 3")
        await fill(ui, "#edit-place", "2")
        await ui.press("enter")
        assert order(home) == ["aaa001", "aaa003", "aaa002"]
        assert {row["label"] for row in stored(home).values()} == {"key-aaa001", "key-aaa002", "key-aaa003"}


async def test_a_place_outside_the_pool_is_refused(home: Path) -> None:
    """Neither 0, nor one too many, nor a blank is a place; letters do not get into the field."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    before = tree(home)
    async with running(home, (80, 24)) as ui:
        await ui.press("e")
        for place in ("0", "3", "", "99999", "x"):
            await fill(ui, "#edit-label", "kept")
            await fill(ui, "#edit-place", place)
            await ui.press("enter")
            ui.sees("the place is a number from 1 to 2", "kept")
        await ui.press("escape")
    assert tree(home) == before


async def test_fields_are_left_by_tab_and_arrows(home: Path) -> None:
    """Tab and down go to the next field, shift+tab and up to the one before."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, (80, 24)) as ui:
        await ui.press("e")
        seen = []
        for key in ("tab", "down", "up", "shift+tab"):
            await ui.press(key)
            seen.append(ui.app.screen.focused.id if ui.app.screen.focused else None)
        assert seen == ["edit-url", "edit-place", "edit-url", "edit-label"]


async def test_without_a_change_nothing_is_written(home: Path) -> None:
    """Enter on an untouched form closes it; so does escape on a changed one."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    before = tree(home)
    async with running(home, (80, 24)) as ui:
        await ui.press("e", "enter")
        assert len(ui.app.screen_stack) == 1
        await ui.press("e")
        await fill(ui, "#edit-label", "other")
        await ui.press("escape")
        assert len(ui.app.screen_stack) == 1
    assert tree(home) == before


@pytest.mark.parametrize(
    ("field", "typed", "reason"),
    [
        ("#edit-label", "key-aaa002", "the label key-aaa002 is taken by aaa002"),
        ("#edit-label", "", "the label is blank"),
        ("#edit-url", "example.com", "the base URL must be http(s)://"),
    ],
)
async def test_a_refusal_stays_in_the_form(home: Path, field: str, typed: str, reason: str) -> None:
    """What the engine refuses is said in the form, which keeps all that was typed."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    rows = stored(home)
    async with running(home, (80, 24)) as ui:
        await ui.press("e")
        await fill(ui, "#edit-place", "2")
        await fill(ui, field, typed)
        await ui.press("enter")
        assert isinstance(ui.app.screen, EditDialog)
        ui.sees(reason)
        assert ui.app.screen.query_one(field, Input).value == typed
        assert ui.app.screen.query_one("#edit-place", Input).value == "2"
    assert stored(home) == rows


async def test_a_label_changed_meanwhile_is_told_once(home: Path) -> None:
    """Enter first says what it is called now, and saves the typed label at the second enter."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, (80, 24)) as ui:
        await ui.press("e")
        await fill(ui, "#edit-label", "mine")
        await changed_by_others(ui, home, label="theirs")
        await ui.press("enter")
        ui.sees("the label is now theirs; enter saves yours, esc leaves it", "mine")
        assert stored(home)["aaa001"]["label"] == "theirs"
        await ui.press("enter")
        assert len(ui.app.screen_stack) == 1
        assert stored(home)["aaa001"]["label"] == "mine"


async def test_esc_leaves_what_others_changed(home: Path) -> None:
    """After the warning escape closes the form, and their label stays."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, (80, 24)) as ui:
        await ui.press("e")
        await fill(ui, "#edit-label", "mine")
        await changed_by_others(ui, home, label="theirs")
        await ui.press("enter", "escape")
        assert len(ui.app.screen_stack) == 1
    assert stored(home)["aaa001"]["label"] == "theirs"


async def test_a_field_that_was_left_alone_follows(home: Path) -> None:
    """What others changed in a field that was not touched is told and not written over."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, (80, 24)) as ui:
        await ui.press("e")
        await fill(ui, "#edit-label", "mine")
        await changed_by_others(ui, home, base_url="https://theirs.example/v1")
        await ui.press("enter")
        ui.sees("the base URL is now https://theirs.example/v1; enter saves yours")
        await ui.press("enter")
        row = stored(home)["aaa001"]
        assert (row["label"], row["base_url"]) == ("mine", "https://theirs.example/v1")


async def test_a_key_removed_meanwhile_is_told(home: Path) -> None:
    """If somebody took the row out, saving says so, and no other row is changed."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, (80, 24)) as ui:
        await ui.press("e")
        await fill(ui, "#edit-label", "mine")
        write_store(home, {"openrouter": keys("aaa002")})
        rows = stored(home)
        await ui.press("enter")
        ui.sees("openrouter has no credential aaa001 any more", "mine")
    assert stored(home) == rows


async def test_an_address_from_a_source_is_text(home: Path) -> None:
    """A row of the environment shows where it goes and why that cannot be changed here."""
    row = a_key("env001", "OPENROUTER_API_KEY", source="env:OPENROUTER_API_KEY", access_token=...)
    write_store(home, {"openrouter": [row, a_key("aaa002", priority=1)]})
    async with running(home, (80, 24), env={"OPENROUTER_API_KEY": "sk-env-0123456789"}) as ui:
        await ui.press("g", "e")
        ui.sees("edit OPENROUTER_API_KEY", "it comes from env:OPENROUTER_API_KEY; change it there")
        assert not ui.app.screen.query("#edit-url")
        await fill(ui, "#edit-label", "of-the-shell")
        await ui.press("enter")
        assert stored(home)["env001"]["label"] == "of-the-shell"


async def test_an_order_that_hermes_keeps_is_text(home: Path) -> None:
    """Seeded rows of anthropic have no place of their own; manual ones count only among themselves."""
    rows = [
        a_key("env001", "A", source="env:ANTHROPIC_API_KEY", access_token=...),
        a_key("aaa002", priority=1),
        a_key("aaa003", priority=2),
    ]
    write_store(home, {"anthropic": rows})
    async with running(home, (80, 24), env={"ANTHROPIC_API_KEY": "sk-ant-0123456789"}) as ui:
        await ui.press("G", "e")
        ui.sees("edit A", "hermes orders such keys itself")
        assert not ui.app.screen.query("#edit-place")
        await ui.press("escape", "k", "e")
        ui.sees("edit key-aaa003", "place 2 of 2")


async def test_an_offered_key_says_when_it_is_stored(home: Path) -> None:
    """A key that only the environment offers has nothing to edit yet."""
    write_store(home, {"openrouter": []})
    before = tree(home)
    async with running(home, (80, 24), env={"OPENROUTER_API_KEY": "sk-env-0123456789"}) as ui:
        await ui.press("e")
        ui.sees("it is only offered by env:OPENROUTER_API_KEY", "esc close")
        assert not ui.app.screen.query(Input)
        await ui.press("enter", "escape")
        assert len(ui.app.screen_stack) == 1
    assert tree(home) == before


async def test_a_masked_name_is_not_put_into_the_field(home: Path) -> None:
    """With names masked the form shows the place instead; a blank label stays, a typed one is saved."""
    write_store(home, {"openrouter": [a_key("aaa001", "ann@corp.com"), a_key("aaa002", "bob", priority=1)]})
    async with running(home, (80, 24), masked=True) as ui:
        await ui.press("e")
        ui.sees("edit key 1", "hidden; type to replace it")
        assert "ann@corp.com" not in ui.text
        await changed_by_others(ui, home, label="eve@corp.com")
        await fill(ui, "#edit-place", "2")
        await ui.press("enter")
        ui.sees("the label is now another")
        assert "eve@corp.com" not in ui.text
        await ui.press("enter")
        assert order(home) == ["aaa002", "aaa001"]
        assert stored(home)["aaa001"]["label"] == "eve@corp.com"


async def test_hostile_labels_and_secrets_in_them_are_not_drawn(home: Path) -> None:
    """Title and field show the label clean and scrubbed, and leave it as it is unless it is typed over."""
    secret = "sk-planted-0123456789abcdef"
    label = f"[/x]\x1b[31mred {secret}"
    write_store(
        home, {"openrouter": [a_key("aaa001", label, access_token=secret), a_key("aaa002", priority=1)]}
    )
    async with running(home, (80, 24)) as ui:
        await ui.press("e")
        ui.sees("edit [/x]red ***")
        assert secret not in ui.text and "\x1b" not in ui.text
        await fill(ui, "#edit-place", "2")
        await ui.press("enter")
        assert order(home) == ["aaa002", "aaa001"]
        assert stored(home)["aaa001"]["label"] == label


async def test_the_form_is_ascii_where_that_is_wanted(home: Path) -> None:
    """With --ascii neither the frame nor a refusal draws another character."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, (60, 16), glyphs=ASCII) as ui:
        await ui.press("e")
        await fill(ui, "#edit-url", "x")
        await ui.press("enter")
        ui.sees("+- edit key-aaa001", "the base URL must be http(s)://host/...")
        assert ui.text.isascii(), ui.text
