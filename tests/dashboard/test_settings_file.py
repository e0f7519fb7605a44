from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from keydeck.dashboard.actions import ACTIONS, BY_ID, keys_of
from keydeck.dashboard.keymap import checked, key_id, reserved, taken_by, written_key
from keydeck.dashboard.settings import Settings, SettingsFile, default_settings_path
from keydeck.engine.files import Disk

CHOSEN = Settings(
    theme="pool-light",
    density="tall",
    glyphs="ascii",
    times="both",
    mask=True,
    mouse=False,
    token_warning_min=30,
    keymap=MappingProxyType({"key.reset": ("ctrl+x", "slash"), "key.mark": (), "view.filter": ("comma",)}),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "keydeck" / "settings.yaml"


def written(path: Path, text: str) -> SettingsFile:
    """Return the file with this text in it."""
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return SettingsFile(path)


# --- reading -----------------------------------------------------------------------------------------------


def test_without_a_file_everything_is_as_by_default_and_nothing_is_written(path: Path) -> None:
    """A missing file means the defaults, no trouble, and no file or folder made by looking."""
    file = SettingsFile(path)
    assert (file.load(), file.trouble) == (Settings(), None)
    assert not path.parent.exists()


def test_every_setting_is_read_under_its_own_name(path: Path) -> None:
    """All eight keys are read; characters, names and digits are keys, one of them or a list."""
    file = written(
        path,
        "theme: dracula\ndensity: short\nglyphs: ascii\ntimes: until\nmask: on\nmouse: off\n"
        "token_warning_min: 45\nkeymap:\n  key.reset: 7\n  pool.reset: [ctrl+x, F5, '/']\n  view.filter: []\n",
    )
    assert file.load() == Settings(
        theme="dracula",
        density="short",
        glyphs="ascii",
        times="until",
        mask=True,
        mouse=False,
        token_warning_min=45,
        keymap={"key.reset": ("7",), "pool.reset": ("ctrl+x", "f5", "slash"), "view.filter": ()},
    )
    assert file.trouble is None


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ("theme: no-such-theme", 'theme: "no-such-theme" is not a theme'),
        ("theme: 3", "theme: a number is not a theme"),
        ("density: roomy", 'density: "roomy" is not auto or short or tall'),
        ("density: [auto]", "density: a list is not"),
        ("glyphs: emoji", "glyphs:"),
        ("times: {}", "times: a mapping is not"),
        ("mask: 1", "mask: a number is not on or off"),
        ("mouse: never", "mouse:"),
        ("token_warning_min: -1", "token_warning_min:"),
        ("token_warning_min: true", "token_warning_min: yes or no is not minutes"),
        ("token_warning_min: 99999", "token_warning_min:"),
        ("keymap: [x]", "keymap: a list is not a mapping"),
        ("keymap: {key.nothing: x}", 'keymap: there is no action "key.nothing"'),
        ("keymap: {3: x}", "keymap: there is no action a number"),
        ("keymap: {key.reset: hyperspace}", 'keymap: key.reset: "hyperspace" is no key'),
        ("keymap: {key.reset: shift+a}", '"shift+a" is no key'),
        ("keymap: {key.reset: [x, true]}", "yes or no is no key"),
        ("keymap: {key.reset: null}", "keymap: key.reset: that is no key"),
        ("keymap: {app.quit: []}", "keymap: app.quit needs a key"),
        ("keymap: {app.help: []}", "keymap: app.help needs a key"),
        ("keymap: {view.back: []}", "keymap: view.back needs a key"),
    ],
)
def test_what_is_wrong_is_named_and_the_rest_holds(path: Path, bad: str, named: str) -> None:
    """One bad value means the default for it alone, and one line that names file and key."""
    good = "mask: true\n" if bad.startswith(("mouse", "token", "keymap")) else "token_warning_min: 33\n"
    file = written(path, f"{good}{bad}\n")
    loaded = file.load()
    assert loaded == (Settings(mask=True) if "mask" in good else Settings(token_warning_min=33))
    assert file.trouble is not None
    assert file.trouble.startswith("settings.yaml: ")
    assert named in file.trouble
    assert "\n" not in file.trouble


def test_several_troubles_are_one_line(path: Path) -> None:
    """The first trouble is told with the number of the others."""
    file = written(path, "density: 1\ntimes: 2\nglyphs: 3\n")
    file.load()
    assert file.trouble == "settings.yaml: density: a number is not auto or short or tall (and 2 more)"


@pytest.mark.parametrize(
    "key", ["ctrl+i", "ctrl+m", "ctrl+h", "ctrl+[", "ctrl+a", "ctrl+b", "ctrl+c", "ctrl+q"]
)
def test_reserved_keys_are_refused_with_the_reason(path: Path, key: str) -> None:
    """Keys that terminals, multiplexers or the way out need cannot be taken."""
    file = written(path, f'keymap: {{key.reset: "{key}", key.mark: x}}\n')
    assert file.load().keymap == {"key.mark": ("x",)}
    assert f'key.reset: "{key}" cannot be taken: ' in str(file.trouble)


def test_a_clash_with_a_default_names_both_and_drops_the_change(path: Path) -> None:
    """A key that another action of the same screen has already is not taken; the other changes hold."""
    file = written(path, "keymap: {key.mark: r, view.zoom: x}\n")
    assert file.load().keymap == {"view.zoom": ("x",)}
    assert file.trouble == "settings.yaml: keymap: r is key.reset's already: key.mark keeps its own key"


def test_two_actions_may_swap_their_keys(path: Path) -> None:
    """A clash is one only if it is still there when all changes are made."""
    file = written(path, "keymap: {key.mark: r, key.reset: v}\n")
    assert file.load().keymap == {"key.mark": ("r",), "key.reset": ("v",)}
    assert file.trouble is None


def test_a_change_taken_back_takes_those_back_that_needed_it(path: Path) -> None:
    """Where reset cannot have z after all, mark cannot have the r it would have left."""
    file = written(path, "keymap: {key.mark: r, key.reset: z}\n")
    assert file.load().keymap == {}
    assert str(file.trouble).endswith("(and 1 more)")


def test_one_key_may_do_two_things_on_two_screens(path: Path) -> None:
    """Actions that share no screen share keys, as enter does already."""
    one, other = BY_ID["view.filter"], BY_ID["settings.change"]
    assert not one.scope & other.scope
    file = written(path, "keymap: {settings.change: x, view.filter: x}\n")
    assert file.load().keymap == {"settings.change": ("x",), "view.filter": ("x",)}


def test_the_table_itself_has_no_clash_and_no_reserved_key() -> None:
    """What a user may not bind is not bound by us either, and every key has a name that can be written."""
    for action in ACTIONS:
        for key in action.keys:
            assert taken_by(key, action, {}) is None, (action.id, key)
            assert reserved(key, action) is None, (action.id, key)
            assert key_id(key) == key_id(written_key(key)) == key


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"theme: [\n", "line 2: not valid YAML"),
        (b"mask: on\n\ttheme: x\n", "line 2"),
        (b"- a\n- b\n", "not a mapping"),
        (b"\xff\xfe", "line 1: not UTF-8"),
        (b"theme: \x00\n", "control character"),
        (b"[" * 5000, ""),
        (b"#" * (1 << 20) + b"\n", "no settings file"),
    ],
)
def test_a_broken_file_means_the_defaults_and_is_never_overwritten(
    path: Path, content: bytes, said: str
) -> None:
    """No content of the file raises; saving over it is refused with what to do, and leaves it byte for byte."""
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    file = SettingsFile(path)
    assert file.load() == Settings()
    assert said in str(file.trouble)
    refused = str(file.save(CHOSEN))
    assert refused.startswith("not saved: settings.yaml: ")
    assert "mend or delete it first" in refused or "no settings file" in refused
    assert path.read_bytes() == content
    path.unlink()
    assert file.save(CHOSEN) is None
    assert SettingsFile(path).load() == CHOSEN


def test_what_is_no_file_is_left_alone(path: Path) -> None:
    """A folder or a pipe in the file's place hangs nobody up."""
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    file = SettingsFile(path)
    assert file.load() == Settings()
    assert "no settings file" in str(file.trouble)
    assert "no settings file" in str(file.save(CHOSEN))


def test_a_file_that_may_not_be_read_is_trouble_and_stays(path: Path) -> None:
    """A refused read means the defaults, and no write over what could not be seen."""

    class Locked(Disk):
        def open_read(self, path: Path) -> int:
            raise PermissionError(errno.EACCES, "Permission denied")

    written(path, "theme: dracula\n")
    file = SettingsFile(path, disk=Locked())
    assert file.load() == Settings()
    assert file.trouble == "settings.yaml: it cannot be read: permission denied; the defaults are used"
    assert "it cannot be read" in str(file.save(CHOSEN))
    assert path.read_text() == "theme: dracula\n"


# --- writing -----------------------------------------------------------------------------------------------


def test_everything_saved_is_read_back(path: Path) -> None:
    """All settings survive the way through the file, which nobody else may read."""
    file = SettingsFile(path)
    file.load()
    assert file.save(CHOSEN) is None
    again = SettingsFile(path)
    assert (again.load(), again.trouble) == (CHOSEN, None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["settings.yaml"]


def test_keys_are_written_as_people_write_them(path: Path) -> None:
    """A character stands as itself in the file, one key without a list."""
    file = SettingsFile(path)
    file.save(CHOSEN)
    assert yaml.safe_load(path.read_text())["keymap"] == {
        "key.reset": ["ctrl+x", "/"],
        "key.mark": [],
        "view.filter": ",",
    }


def test_only_what_was_changed_is_written(path: Path) -> None:
    """A first change makes a file of one line; saving the same again writes nothing."""
    file = SettingsFile(path)
    settings = replace(file.load(), density="tall")
    file.save(settings)
    assert path.read_text() == "density: tall\n"
    before = path.stat().st_ino
    assert file.save(settings) is None
    assert path.stat().st_ino == before


COMMENTED = """\
# my settings
theme: dracula  # the one I like
weather: sunny   # not ours

keymap:
  key.reset: x   # as in vim
  another.action: [q, w]

# the end
mask: true
"""


def test_comments_and_strange_lines_survive_a_change(path: Path) -> None:
    """A change replaces its own line; its comment, others' keys and all other lines stay."""
    file = written(path, COMMENTED)
    settings = file.load()
    assert 'there is no action "another.action"' in str(file.trouble)
    assert "weather" not in str(file.trouble)
    file.save(replace(settings, theme="nord", mask=False, mouse=False))
    assert (
        path.read_text() == COMMENTED.replace("dracula", "nord").replace("true", "false") + "mouse: false\n"
    )


def test_a_change_of_keys_rewrites_the_keymap_alone(path: Path) -> None:
    """The keymap is written anew in its place, with the actions that another version may know."""
    file = written(path, COMMENTED)
    settings = file.load()
    file.save(replace(settings, keymap={**settings.keymap, "view.zoom": ("X",)}))
    text = path.read_text()
    head, tail = COMMENTED.split("keymap:", maxsplit=1)[0], COMMENTED[COMMENTED.index("\n# the end") :]
    assert text.startswith(head)
    assert text.endswith(tail)
    assert yaml.safe_load(text)["keymap"] == {
        "another.action": ["q", "w"],
        "key.reset": "x",
        "view.zoom": "X",
    }


@pytest.mark.parametrize(
    "text",
    [
        "{theme: nord, x: 1}\n",
        "theme: nord\n...\n",
        "---\ntheme: nord\nx: 1",
        '"theme": nord\nx: 1\n',
        "theme: nord\ntheme: gruvbox\n",
        "theme:\n  nord\n",
        "theme: >\n  nord\n  \nx: 1\n",
        "? theme\n: nord\n",
        "a: &t nord\ntheme: *t\n",
        "theme: nord\r\nx: 1\r\n",
        "\ufefftheme: nord\nx: 1\n",
        "keymap: {key.mark: x}\ntheme: nord\n",
        "keymap:\n- wrong\ntheme: nord\n",
    ],
)
def test_any_form_of_a_file_takes_a_change(path: Path, text: str) -> None:
    """However the file is written, after a change it means the old with that change."""
    file = written(path, text)
    before = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    settings = file.load()
    assert file.save(replace(settings, theme="monokai", keymap={"view.zoom": ("X",)})) is None
    after = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert after == {**before, "theme": "monokai", "keymap": {"view.zoom": "X"}}


def test_two_programs_keep_each_others_changes(path: Path) -> None:
    """What somebody else saved in the meantime is not undone by a save of something else."""
    one, other = SettingsFile(path), SettingsFile(path)
    ours, theirs = one.load(), other.load()
    one.save(replace(ours, theme="nord"))
    other.save(replace(theirs, density="short"))
    assert SettingsFile(path).load() == Settings(theme="nord", density="short")


def test_a_refused_save_says_why_and_is_made_up_for_by_the_next(path: Path) -> None:
    """A full disk refuses with a reason and no trace; the next save holds the earlier change too."""

    class Full(Disk):
        full = True

        def write(self, fd: int, data: bytes) -> int:
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(fd, data)

    disk = Full()
    file = SettingsFile(path, disk=disk)
    settings = replace(file.load(), theme="nord")
    assert file.save(settings) == "not saved: settings.yaml: it cannot be written: no space left on device"
    assert os.listdir(path.parent) == []
    disk.full = False
    assert file.save(replace(settings, density="tall")) is None
    assert SettingsFile(path).load() == Settings(theme="nord", density="tall")


def test_a_linked_file_stays_a_link(path: Path, tmp_path: Path) -> None:
    """Settings kept among dotfiles are written where they are, with their mode."""
    kept = tmp_path / "dotfiles.yaml"
    kept.write_text("theme: nord\n")
    kept.chmod(0o644)
    path.parent.mkdir(parents=True)
    path.symlink_to(kept)
    file = SettingsFile(path)
    file.save(replace(file.load(), theme="dracula"))
    assert path.is_symlink()
    assert kept.read_text() == "theme: dracula\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o644


def test_without_a_path_settings_last_as_long_as_the_program() -> None:
    """A demo reads and writes no settings of the user."""
    file = SettingsFile(None)
    assert (file.load(), file.trouble, file.path) == (Settings(), None, None)
    assert file.save(CHOSEN) is None


def test_the_file_lies_where_the_system_keeps_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The path follows XDG_CONFIG_HOME."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_settings_path() == tmp_path / "keydeck" / "settings.yaml"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYMAPS = st.dictionaries(
    st.sampled_from(sorted(BY_ID)) | st.text(max_size=5),
    st.sampled_from(["r", "z", "v", "j", "down", "ctrl+x", "ctrl+i", "F5", "/", "q"])
    | st.lists(st.sampled_from(["r", "a", "k", "enter", "x", "X", "esc"]), max_size=3)
    | ANYTHING,
    max_size=8,
)


@hypothesis_settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    document=st.dictionaries(
        st.sampled_from([*Settings.__dataclass_fields__, "else"]),
        ANYTHING | st.sampled_from(["auto", "ascii"]),
    ),
    keymap=KEYMAPS,
    tall=st.booleans(),
)
def test_any_document_is_read_and_takes_a_change(
    tmp_path: Path, document: dict[str, Any], keymap: dict[str, Any], tall: bool
) -> None:
    """Whatever YAML holds, loading gives settings without a clash, and a save changes that one thing."""
    path = tmp_path / "settings.yaml"
    whole = {**document, "keymap": keymap}
    path.write_text(yaml.safe_dump(whole, allow_unicode=True), encoding="utf-8")
    before = yaml.safe_load(path.read_text(encoding="utf-8"))
    file = SettingsFile(path)
    loaded = file.load()
    for action in ACTIONS:
        for key in keys_of(action, loaded.keymap):
            assert taken_by(key, action, loaded.keymap) is None
    density = "tall" if tall != (loaded.density == "tall") else "short"
    assert file.save(replace(loaded, density=density)) is None
    after = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert repr(after) == repr({**before, "density": density})


@hypothesis_settings(max_examples=150, deadline=None)
@given(keymap=KEYMAPS)
def test_accepted_keymaps_are_accepted_again(keymap: dict[str, Any]) -> None:
    """What is taken from a file, written as people write it, is taken again without a word."""
    good, _ = checked(keymap)
    said = {name: [written_key(key) for key in keys] for name, keys in good.items()}
    assert checked(said) == (good, [])
