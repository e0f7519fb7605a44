"""What leaves the screen: pictures, notes, ids and JSON, in private files or to the clipboard, and no name unasked."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from fakes import NOW, a_key, benched, keys, permissions_count, tree, write_store
from keydeck.present.listing import listing
from ui import Ui, running

SECRET = "sk-planted-0123456789abcdef"
NAME = "boss@corp.example"


def a_store(home: Path) -> None:
    rows = [
        a_key("aaa001", NAME, access_token=SECRET),
        a_key(
            "aaa002",
            "second-name",
            priority=1,
            **benched(429, until=NOW + 900, last_error_message=f"limit of {NAME}"),
        ),
    ]
    write_store(home, {"openrouter": rows, "zai": keys("bbb001")})


def files(home: Path) -> list[Path]:
    """Return what was written to the state folder, oldest first."""
    found = [path for path in (home.parent / "state").rglob("*") if path.is_file()]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))


async def written(ui: Ui, home: Path, *pressed: str) -> Path:
    """Press keys and wait for the one new file."""
    before = set(files(home))
    await ui.press(*pressed)
    await ui.until(lambda: len(files(home)) == len(before) + 1)
    await ui.settle()
    (new,) = set(files(home)) - before
    assert stat.S_IMODE(new.stat().st_mode) == 0o600
    assert stat.S_IMODE(new.parent.stat().st_mode) == 0o700
    return new


def text_of(svg: str) -> str:
    """Return a picture's text as it is read, blanks and entities resolved."""
    from html import unescape
    from re import findall

    return unescape("".join(findall(r"<text[^>]*>([^<]*)</text>", svg))).replace("\xa0", " ")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what would be written to the terminal."""
    from textual.app import App

    found: list[str] = []
    display = App._display

    def record(app: App[Any], screen: Any, renderable: Any) -> None:
        if renderable is not None and not app._batch_count:
            found.append(renderable.render_segments(app.console))
        display(app, screen, renderable)

    monkeypatch.setattr(App, "_display", record)
    return found


# --- pictures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(60, 16), (200, 60)])
async def test_a_picture_hides_the_names_that_the_screen_shows(
    home: Path, sent: list[str], size: tuple[int, int]
) -> None:
    """The file has no name in it, the screen shows them as before, and no hidden frame was ever sent."""
    a_store(home)
    before = tree(home)
    async with running(home, size) as ui:
        shown = ui.text
        sent.clear()
        picture = await written(ui, home, "ctrl+s")
        svg = picture.read_text()
        assert picture.suffix == ".svg" and picture.parent.name == "screenshots"
        assert "boss" not in svg and "second-name" not in svg and SECRET[3:] not in svg
        assert "key 1" in text_of(svg) and "openrouter" in text_of(svg)
        assert NAME[:12] in ui.text and "key 1 " not in ui.text
        assert ui.lines[:3] == shown.splitlines()[:3]
        assert sent and not any("key 1 " in part for part in sent)
        await ui.press("m")
        assert any("key 1 " in part for part in sent)
    assert tree(home) == before


async def test_names_show_only_after_the_mask_was_taken_off_on_purpose(home: Path) -> None:
    """``m`` and ``m`` again is a decision: then pictures show names, until it is on again; the toast says which."""
    a_store(home)
    async with running(home, (120, 40)) as ui:
        await written(ui, home, "ctrl+s")
        await ui.until(lambda: "names hidden" in ui.text)
        await ui.press("m")
        assert "key 1" in text_of((await written(ui, home, "ctrl+s")).read_text())
        await ui.press("m")
        shown = text_of((await written(ui, home, "ctrl+s")).read_text())
        assert NAME in shown and SECRET[3:] not in shown
        await ui.until(lambda: "names shown" in ui.text)
        await ui.press("m")
        assert "boss" not in (await written(ui, home, "ctrl+s")).read_text()


async def test_names_in_passing_are_not_in_a_picture(home: Path) -> None:
    """Neither what a toast said just before nor what is being typed into the filter is in it."""
    a_store(home)
    async with running(home, (120, 40)) as ui:
        await ui.press("j", "r")
        await ui.until(lambda: "reset second-name" in ui.text)
        assert "second-name" not in (await written(ui, home, "ctrl+s")).read_text()
        ui.app.tell(f"{NAME} is broken", "error")
        assert "boss" not in (await written(ui, home, "ctrl+s")).read_text()
        ui.sees(f"{NAME} is broken")
        await ui.press("escape", "slash")
        ui.app.screen.query_one("#filter-field", Input).value = "boss"
        await ui.settle()
        assert "boss" not in (await written(ui, home, "ctrl+s")).read_text()
        assert " / boss" in ui.text


@pytest.mark.parametrize("opens", ["enter", "4"])
async def test_every_screen_gives_a_picture_without_names(home: Path, opens: str) -> None:
    """A key in full and the settings are masked in their pictures too."""
    a_store(home)
    async with running(home, (120, 40)) as ui:
        await ui.press("j", opens)
        svg = (await written(ui, home, "ctrl+s")).read_text()
        assert "boss" not in svg and "second-name" not in svg and SECRET[3:] not in svg
        assert ("key 2" in text_of(svg)) is (opens == "enter")


async def test_pictures_never_replace_each_other(home: Path) -> None:
    """Two in the same second are two files, each named by the clock."""
    a_store(home)
    async with running(home, (80, 24)) as ui:
        one = await written(ui, home, "ctrl+s")
        other = await written(ui, home, "ctrl+s")
        assert (one.name, other.name) == ("keydeck-20261108-140211.svg", "keydeck-20261108-140211-2.svg")


async def test_a_folder_that_takes_nothing_is_told(home: Path) -> None:
    """Where nothing can be written the toast says why, and the screen goes on."""
    a_store(home)
    (home.parent / "state").mkdir(mode=0o500)
    async with running(home, (120, 40)) as ui:
        with permissions_count():
            await ui.press("ctrl+s")
            await ui.until(lambda: "nothing was written" in ui.text)
        assert files(home) == []
        await ui.press("escape")
        assert "nothing was written" not in ui.text


# --- notes, ids, JSON, diagnostics -------------------------------------------------------------------------


async def test_the_id_and_the_note_are_sent(home: Path) -> None:
    """``y`` sends the id of the key under the cursor, ``Y`` the state of all pools without a name; both say "sent"."""
    a_store(home)
    before = tree(home)
    async with running(home, (120, 40)) as ui:
        await ui.press("j", "y")
        assert ui.app.clipboard == "aaa002"
        await ui.until(lambda: "sent id aaa002" in ui.text)
        await ui.press("Y")
        note = ui.app.clipboard
        await ui.until(lambda: "sent the note" in ui.text)
        assert "copied" not in ui.text
        assert "**Credential pools**" in note and "openrouter: 1 of 2 ready" in note
        assert "429 rate limit" in note and "15m00s left" in note and "next pick key 1" in note
        assert "boss" not in note and "second-name" not in note and SECRET[3:] not in note
        assert "\x1b" not in note
    assert tree(home) == before
    assert files(home) == []


async def test_a_hostile_id_is_sent_inert(home: Path) -> None:
    """Neither escapes nor a secret in an id reach the clipboard."""
    write_store(home, {"openrouter": [a_key(f"a\x1b]0;t\x07b{SECRET}", access_token=SECRET)]})
    async with running(home, (120, 40)) as ui:
        await ui.press("y")
        assert ui.app.clipboard == "ab***"


async def run_command(ui: Ui, text: str) -> None:
    """Choose a command that has no key."""
    await ui.press("ctrl+p")
    ui.app.screen.query_one(Input).value = text
    await ui.settle()
    await ui.press("enter")
    await ui.settle()


async def test_note_json_and_diagnostics(home: Path) -> None:
    """The note as a file is what ``Y`` sends; JSON is what the command line prints; diagnostics hold no name."""
    a_store(home)
    before = tree(home)
    async with running(home, (120, 40)) as ui:
        await ui.press("Y")
        note = ui.app.clipboard
        await run_command(ui, "share: note to file")
        (path,) = files(home)
        assert path.read_text() == note and path.suffix == ".md"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        await run_command(ui, "share: export JSON")
        (exported,) = set(files(home)) - {path}
        document = json.loads(exported.read_text())
        assert document == listing(ui.app.snapshot, NOW)
        assert stat.S_IMODE(exported.stat().st_mode) == 0o600
        labels = [row["label"] for pool in document["pools"] for row in pool["credentials"]]
        assert labels == [NAME, "second-name", "key-bbb001"]
        assert SECRET[3:] not in exported.read_text()
        await run_command(ui, "share: copy diagnostics")
        said = ui.app.clipboard
        await ui.until(lambda: "sent diagnostics" in ui.text)
        assert "keydeck " in said and "120x40" in said and "pools 2, rows 3" in said
        assert "boss" not in said and "second-name" not in said and SECRET[3:] not in said
        assert os.environ["HOME"] not in said and str(home) not in said
    assert tree(home) == before


async def test_sharing_works_in_read_only_mode(home: Path) -> None:
    """It changes nothing of hermes: pictures, ids and notes leave a read-only dashboard too."""
    a_store(home)
    before = tree(home)
    async with running(home, (120, 40), read_only=True) as ui:
        await ui.press("y")
        assert ui.app.clipboard == "aaa001"
        await written(ui, home, "ctrl+s")
    assert tree(home) == before


async def test_nothing_is_sent_where_no_key_is(home: Path) -> None:
    """On an empty screen ``y`` sends nothing; the note says that there is no pool."""
    async with running(home, (120, 40)) as ui:
        await ui.press("y")
        assert ui.app.clipboard == ""
        await ui.press("Y")
        assert "no pool" in ui.app.clipboard
