from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from fakes import NOW, a_key, a_reader, benched, write_store
from keydeck.cli.dashboard import open_dashboard
from keydeck.dashboard.app import PoolApp
from keydeck.dashboard.dialogs.keymap import KeymapDialog
from keydeck.dashboard.dialogs.theme import ThemeDialog
from keydeck.dashboard.screens.pools import PoolsScreen
from keydeck.dashboard.screens.settings import SettingsScreen
from keydeck.dashboard.settings import Settings, SettingsFile
from keydeck.present.glyphs import ASCII
from ui import SIZES, Ui, running

ROWS = ("theme", "density", "glyphs", "times", "mask names", "mouse", "token warning", "cooldowns", "keymap")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "settings.yaml"


@asynccontextmanager
async def settings_open(
    home: Path, path: Path, size: tuple[int, int] = (80, 24), **options: Any
) -> AsyncIterator[Ui]:
    """Run the dashboard with this settings file, and go to the settings."""
    write_store(home, {"openrouter": [a_key("aaa001", "work"), a_key("aaa002", "old", **benched())]})
    async with running(home, size, settings_file=SettingsFile(path), state=path.parent, **options) as ui:
        await ui.press("4")
        assert isinstance(ui.app.screen, SettingsScreen)
        yield ui


def kept(path: Path) -> dict[str, Any]:
    """Return what the file says."""
    said: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return said


async def at(ui: Ui, title: str) -> Ui:
    """Put the cursor on a setting."""
    return await ui.press("g", *["j"] * ROWS.index(title))


def value(ui: Ui, title: str) -> str:
    """Return the value in a setting's row."""
    line = next(line for line in ui.lines if f" {title} " in line)
    return line.split(title, 1)[1].strip(" │|").split("  ")[0]


async def test_the_screen_says_what_there_is_to_set(home: Path, path: Path) -> None:
    """Groups, values, choices, facts, the file's path and how many keys were changed are on it."""
    path.parent.mkdir()
    path.write_text("keymap: {key.reset: x, key.mark: []}\n")
    async with settings_open(home, path) as ui:
        ui.sees("look", "watching", "changing things", "keys", "settings.yaml")
        assert [value(ui, title) for title in ROWS[:-2]] == [
            "pool-dark",
            "auto",
            "unicode",
            "left",
            "off",
            "on",
            "10 min",
        ]
        assert "auto · short · tall" in ui.line(" density ")
        assert "24 themes" in ui.line(" theme ")
        assert "2 of " in ui.line(" keymap ")
        assert "enter opens the list" in ui.line(" keymap ")
        assert "off" in ui.line("read-only")
        assert "60 s" in ui.line("undo window")


CHANGES = [
    ("density", "density", ["short", "tall", "auto"]),
    ("glyphs", "glyphs", ["ascii", "unicode"]),
    ("times", "times", ["until", "both", "left"]),
    ("mask names", "mask", [True, False]),
    ("mouse", "mouse", [False, True]),
    ("token warning", "token_warning_min", [30, 60, 0, 5, 10]),
]


@pytest.mark.parametrize(("title", "name", "values"), CHANGES)
async def test_enter_goes_through_the_values_and_keeps_each(
    home: Path, path: Path, title: str, name: str, values: list[Any]
) -> None:
    """Each press shows the next value, lives by it and writes it, the first one again after the last."""
    async with settings_open(home, path) as ui:
        await at(ui, title)
        before = getattr(ui.app.settings, name)
        for wanted in values:
            await ui.press("enter")
            shown = {True: "on", False: "off"}.get(wanted) if isinstance(wanted, bool) else str(wanted)
            assert value(ui, title).split()[0] == shown
            assert getattr(ui.app.settings, name) == wanted
            assert kept(path) == {name: wanted}
        assert values[-1] == before
        await ui.press("left")
        assert getattr(ui.app.settings, name) == values[-2]
        await ui.press("l")
        assert getattr(ui.app.settings, name) == before


async def test_a_number_of_ones_own_stands_between_two(home: Path, path: Path) -> None:
    """From a value that the file alone can give, the steps lead to its neighbours."""
    path.parent.mkdir()
    path.write_text("token_warning_min: 12\n")
    async with settings_open(home, path) as ui:
        await at(ui, "token warning")
        assert value(ui, "token warning") == "12 min"
        await ui.press("left")
        assert ui.app.settings.token_warning_min == 10
        path.write_text("token_warning_min: 12\n")
    async with settings_open(home, path) as ui:
        await at(ui, "token warning")
        await ui.press("enter")
        assert ui.app.settings.token_warning_min == 30


async def test_r_restores_one_default(home: Path, path: Path) -> None:
    """The row under the cursor is as at first again; the others stay."""
    path.parent.mkdir()
    path.write_text("density: tall\ntimes: both\n")
    async with settings_open(home, path) as ui:
        await at(ui, "times")
        await ui.press("r")
        assert (value(ui, "times"), value(ui, "density")) == ("left", "tall")
        assert kept(path) == {"density": "tall", "times": "left"}


async def test_changes_hold_at_once_on_the_pools(home: Path, path: Path) -> None:
    """Frames, the form of times, signs and hidden names follow the settings without a restart."""
    async with settings_open(home, path, (100, 24)) as ui:
        await at(ui, "density")
        await ui.press("enter", "enter")
        await at(ui, "times")
        await ui.press("enter", "escape")
        assert isinstance(ui.app.screen, PoolsScreen)
        assert any(line.startswith("╭─ openrouter") for line in ui.lines)
        ui.sees("15:01:11", "work")
        await ui.press("4")
        await at(ui, "glyphs")
        await ui.press("enter")
        assert ui.text.isascii()
        await at(ui, "mask names")
        await ui.press("enter", "escape")
        assert ui.text.isascii()
        assert "work" not in ui.text
        assert "masked" in ui.lines[0]


async def test_the_token_warning_is_lived_by(home: Path, path: Path) -> None:
    """A row warns of its token's end as many minutes before as was set."""
    login = a_key(
        "aaa003",
        "login",
        auth_type="oauth",
        expires_at_ms=int((NOW + 20 * 60) * 1000),
        refresh_token="refresh-aaa003-secret",
    )
    async with settings_open(home, path) as ui:
        write_store(home, {"anthropic": [login]})
        await ui.reload()
        assert ui.app.row_context().token_warning_s == 600
        await at(ui, "token warning")
        await ui.press("1")
        assert "token ends" not in ui.text
        await ui.press("4", "enter", "escape")
        assert ui.app.row_context().token_warning_s == 1800
        ui.sees("token ends")


@pytest.mark.parametrize(
    ("title", "flag", "options", "text", "shown"),
    [
        ("glyphs", "--ascii", {"glyphs": ASCII}, "glyphs: unicode\n", "ascii"),
        ("mask names", "--mask", {"masked": True}, "mask: false\n", "on"),
        ("mouse", "--no-mouse", {}, "mouse: true\n", "off"),
    ],
)
async def test_flags_beat_the_file(
    home: Path, path: Path, title: str, flag: str, options: dict[str, Any], text: str, shown: str
) -> None:
    """A row that the command line decided says so, shows what holds, and neither changes nor is written."""
    path.parent.mkdir()
    path.write_text(text)
    async with settings_open(home, path, **options) as ui:
        if flag == "--no-mouse":
            ui.app.flags = {**ui.app.flags, "mouse": flag}
            ui.app.repaint()
        await at(ui, title)
        assert f"set by {flag}" in ui.line(f" {title} ")
        assert value(ui, title) == shown
        before = ui.app.settings
        await ui.press("enter")
        ui.sees(f"{title} is set by {flag}")
        await ui.press("r")
        assert ui.app.settings == before
        assert path.read_text() == text


async def test_a_mask_turned_on_hides_names_now_and_in_pictures(home: Path, path: Path) -> None:
    """Who turns the mask on means now too, whatever was shown on purpose before."""
    async with settings_open(home, path) as ui:
        await ui.press("m", "m")
        assert (ui.app.masked, ui.app.names_shown_on_purpose) == (False, True)
        await at(ui, "mask names")
        await ui.press("enter")
        assert (ui.app.masked, ui.app.names_shown_on_purpose) == (True, False)
        await ui.press("enter")
        assert (ui.app.masked, ui.app.names_shown_on_purpose) == (False, False)


async def test_the_theme_is_chosen_from_its_list(home: Path, path: Path) -> None:
    """Enter opens the themes; moving shows one, esc takes it back, enter keeps it."""
    async with settings_open(home, path) as ui:
        await ui.press("g", "enter")
        assert isinstance(ui.app.screen, ThemeDialog)
        await ui.press("down")
        assert ui.app.theme == "pool-light"
        await ui.press("escape")
        assert ui.app.theme == "pool-dark"
        assert not path.exists()
        await ui.press("enter", "down", "enter")
        assert ui.app.theme == "pool-light"
        assert kept(path) == {"theme": "pool-light"}
        assert value(ui, "theme") == "pool-light"


async def test_keys_move_over_the_settings_and_esc_leaves(home: Path, path: Path) -> None:
    """The usual keys move between settings only, and esc goes back to the pools."""
    async with settings_open(home, path, (60, 16)) as ui:
        screen = ui.app.screen
        assert isinstance(screen, SettingsScreen)
        for pressed, name in [
            ("j", "density"),
            ("down", "glyphs"),
            ("k", "density"),
            ("G", "keymap"),
            ("up", "cooldowns"),
            ("g", "theme"),
            ("ctrl+d", "keymap"),
            ("ctrl+u", "theme"),
            ("end", "keymap"),
            ("j", "keymap"),
        ]:
            await ui.press(pressed)
            assert screen._list.value == name, pressed
        await ui.press("escape")
        assert isinstance(ui.app.screen, PoolsScreen)


async def test_the_cursor_stays_when_the_store_changes(home: Path, path: Path) -> None:
    """New data and ticks of the clock leave the settings as they are, undrawn."""
    async with settings_open(home, path) as ui:
        await at(ui, "times")
        screen = ui.app.screen
        assert isinstance(screen, SettingsScreen)
        shown = screen._shown
        write_store(home, {"nous": [a_key("bbb001")]})
        await ui.reload()
        await ui.tick()
        assert screen._shown is shown
        assert screen._list.value == "times"


async def test_a_click_changes_what_is_clicked(home: Path, path: Path) -> None:
    """The mouse does what enter does."""
    async with settings_open(home, path) as ui:
        y = next(y for y, line in enumerate(ui.lines) if " times " in line)
        await ui.pilot.click(offset=(6, y))
        await ui.settle()
        assert kept(path) == {"times": "until"}


async def test_trouble_of_the_file_is_on_the_screen_until_it_is_mended(home: Path, path: Path) -> None:
    """What is wrong in the file is said when the program starts and here, and goes with the next good save."""
    path.parent.mkdir()
    path.write_text("density: roomy\n")
    async with settings_open(home, path) as ui:
        said = 'settings.yaml: density: "roomy" is not auto or short or tall'
        assert any(said in line for line in ui.lines[:8])
        assert "not auto or short or tall" in " ".join(ui.lines[8:])
        await at(ui, "density")
        await ui.press("enter")
        assert kept(path) == {"density": "short"}
        assert said not in "\n".join(ui.lines[:8])


async def test_a_broken_file_is_left_alone_and_the_change_holds_for_now(home: Path, path: Path) -> None:
    """Nothing is written over a broken file; the user is told, and the program lives by the change."""
    path.parent.mkdir()
    path.write_text("theme: [\n")
    async with settings_open(home, path, (120, 40)) as ui:
        await at(ui, "times")
        await ui.press("enter")
        ui.sees("not saved: settings.yaml:", "mend or delete")
        assert ui.app.settings == Settings(times="until")
        assert path.read_text() == "theme: [\n"


async def test_settings_change_in_read_only_mode_too(home: Path, path: Path) -> None:
    """Read-only protects the keys, not the look: the row says on, and settings are kept."""
    async with settings_open(home, path, read_only=True) as ui:
        assert " on " in ui.line("only by --read-only")
        await at(ui, "times")
        await ui.press("enter")
        assert kept(path) == {"times": "until"}


async def test_without_a_file_the_screen_says_how_long_changes_last(home: Path, path: Path) -> None:
    """A demo keeps its settings until it is left."""
    write_store(home, {"openrouter": [a_key()]})
    async with running(home, (80, 24), state=path.parent) as ui:
        await ui.press("4")
        ui.sees("kept until you leave")


async def test_keymap_opens_its_list_and_r_restores_all_keys_after_a_question(home: Path, path: Path) -> None:
    """All keys go back at once only when y is pressed."""
    path.parent.mkdir()
    path.write_text("keymap: {key.reset: x}\n")
    async with settings_open(home, path) as ui:
        await ui.press("G", "enter")
        assert isinstance(ui.app.screen, KeymapDialog)
        await ui.press("escape", "r")
        ui.sees("1 changed key will be as at first.")
        await ui.press("enter")
        assert kept(path) == {"keymap": {"key.reset": "x"}}
        await ui.press("r", "y")
        assert kept(path) == {"keymap": {}}
        assert "0 of " in ui.line(" keymap ")
        await ui.press("r")
        ui.sees("all keys are as at first")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("glyphs", ["unicode", "ascii"])
async def test_every_row_and_note_fits_every_size(
    home: Path, path: Path, size: tuple[int, int], glyphs: str
) -> None:
    """No line is longer than the screen, no choice is cut, each note is whole, and ASCII is ASCII."""
    path.parent.mkdir()
    path.write_text(f"glyphs: {glyphs}\n")
    async with settings_open(home, path, size) as ui:
        mark = "~" if glyphs == "ascii" else "…"
        await ui.press("g")
        for title in ROWS:
            row = ui.line(f" {title} ")
            assert mark not in row.replace("~/", "")
            screen = ui.app.screen
            assert isinstance(screen, SettingsScreen)
            assert screen._said() in " ".join(ui.text.split()), title
            assert max(map(len, ui.lines)) <= size[0]
            assert len(ui.lines) == size[1]
            assert "help" in ui.lines[-1]
            assert ui.text.isascii() == (glyphs == "ascii")
            assert not ui.app.screen.show_vertical_scrollbar
            await ui.press("j")


@pytest.mark.parametrize(
    ("text", "mouse_flag", "mouse", "flags"),
    [
        ("mouse: false\n", True, False, {}),
        ("mouse: true\n", False, False, {"mouse": "--no-mouse"}),
        ("theme: nord\n", True, True, {}),
    ],
)
def test_the_program_starts_with_the_users_settings_unless_flags_say_otherwise(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    mouse_flag: bool,
    mouse: bool,
    flags: dict[str, str],
) -> None:
    """The command reads the user's own file; the mouse is on only if neither file nor flag forbids it."""
    started: list[tuple[PoolApp, bool]] = []
    monkeypatch.setattr(PoolApp, "run", lambda app, mouse: started.append((app, mouse)))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "keydeck").mkdir()
    (tmp_path / "keydeck" / "settings.yaml").write_text(text)
    write_store(home, {"openrouter": [a_key()]})
    options: dict[str, Any] = {"read_only": False, "mask": False, "ascii_only": False, "mouse": mouse_flag}
    open_dashboard(a_reader(home), **options)
    open_dashboard(a_reader(home), **options, is_demo=True)
    (app, with_mouse), (demo, _) = started
    assert app.settings == SettingsFile(tmp_path / "keydeck" / "settings.yaml").load()
    assert (with_mouse, dict(app.flags)) == (mouse, flags)
    assert demo.settings == Settings()
    assert demo.settings_file.path is None


async def test_paths_are_data(home: Path, tmp_path: Path) -> None:
    """A folder's name is drawn as it is, without control characters, and never as markup."""
    path = tmp_path / "[red]a[b]\x1b[31m" / "settings.yaml"
    path.parent.mkdir()
    path.write_text("density: '[b]x\\n'\n")
    async with settings_open(home, path, (200, 60)) as ui:
        ui.sees("[red]a[b]/settings.yaml", '"[b]x')
        assert "\x1b" not in ui.text
