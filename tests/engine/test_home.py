from __future__ import annotations

import os
from pathlib import Path

import pytest

from fakes import around
from keydeck.engine.errors import HomeError
from keydeck.engine.home import Home, Surroundings, locate_home


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """Return the user's folder, with hermes' own home in it."""
    folder = tmp_path / "user"
    (folder / ".hermes").mkdir(parents=True)
    return folder


def a_profile(root: Path, name: str) -> Path:
    path = root / "profiles" / name
    path.mkdir(parents=True)
    return path


# --- precedence --------------------------------------------------------------------------------------------


def test_the_folder_named_by_the_operator_wins(tmp_path: Path) -> None:
    """An explicit home comes before both variables."""
    surroundings = around(tmp_path, KEYDECK_HOME=str(tmp_path / "ours"), HERMES_HOME=str(tmp_path / "theirs"))
    assert locate_home(tmp_path / "named", None, surroundings).path == tmp_path / "named"


def test_our_variable_comes_before_hermes_own(tmp_path: Path, user: Path) -> None:
    """KEYDECK_HOME, then HERMES_HOME, then the default home."""
    ours, theirs = str(tmp_path / "ours"), str(tmp_path / "theirs")
    assert locate_home(None, None, around(tmp_path, KEYDECK_HOME=ours, HERMES_HOME=theirs)).path == Path(ours)
    assert locate_home(None, None, around(tmp_path, HERMES_HOME=theirs)).path == Path(theirs)
    assert locate_home(None, None, around(tmp_path)).path == user / ".hermes"


@pytest.mark.parametrize("blank", ["", "   "])
def test_a_blank_variable_is_not_set(tmp_path: Path, user: Path, blank: str) -> None:
    """Blanks name no folder."""
    surroundings = around(tmp_path, KEYDECK_HOME=blank, HERMES_HOME=blank)
    assert locate_home(None, None, surroundings).path == user / ".hermes"


def test_variables_are_stripped(tmp_path: Path) -> None:
    """White space around a path is none of it."""
    assert locate_home(None, None, around(tmp_path, HERMES_HOME=f"  {tmp_path}/h ")).path == tmp_path / "h"


def test_a_tilde_is_expanded_for_ours_and_taken_verbatim_for_hermes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hermes does not expand its variable, so the folder it would use is a relative one called ~."""
    monkeypatch.chdir(tmp_path)
    real = Path(os.environ["HOME"])
    assert locate_home("~/h", None, around(tmp_path)).path == real / "h"
    assert locate_home(None, None, around(tmp_path, KEYDECK_HOME="~/h")).path == real / "h"
    assert locate_home(None, None, around(tmp_path, HERMES_HOME="~/h")).path == tmp_path / "~" / "h"


def test_a_relative_home_is_bound_to_the_folder_of_the_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One store for the life of an operation, wherever the process goes afterwards."""
    monkeypatch.chdir(tmp_path)
    home = locate_home("h", None, around(tmp_path))
    monkeypatch.chdir("/")
    assert home.auth_path == tmp_path / "h" / "auth.json"


def test_a_home_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    """It may come."""
    home = locate_home(tmp_path / "nowhere", None, around(tmp_path))
    assert home == Home(tmp_path / "nowhere", tmp_path / "nowhere", "default")
    assert not home.inherits


def test_the_files_of_a_home(tmp_path: Path) -> None:
    """Store, settings and variables lie where hermes has them."""
    home = locate_home(tmp_path, None, around(tmp_path))
    assert (home.auth_path, home.config_path, home.env_path) == (
        tmp_path / "auth.json",
        tmp_path / "config.yaml",
        tmp_path / ".env",
    )


def test_surroundings_do_not_print_the_environment(tmp_path: Path) -> None:
    """The environment holds keys."""
    assert "sk-planted" not in repr(around(tmp_path, OPENROUTER_API_KEY="sk-planted"))
    assert Surroundings.real().env["HOME"] == os.environ["HOME"]


# --- profiles ----------------------------------------------------------------------------------------------


def test_the_active_profile_is_opened_when_nothing_else_is_named(tmp_path: Path, user: Path) -> None:
    """Hermes' sticky profile is ours too."""
    worker = a_profile(user / ".hermes", "worker")
    (user / ".hermes" / "active_profile").write_text("worker\n")
    home = locate_home(None, None, around(tmp_path))
    assert home == Home(worker, user / ".hermes", "worker")
    assert home.inherits


@pytest.mark.parametrize("content", [b"default", b"", b"  \n", b"gone", b"\xff\xfe", b"../..", b"a\nb", b"/"])
def test_an_active_profile_that_is_none_means_the_root(tmp_path: Path, user: Path, content: bytes) -> None:
    """The default profile, an absent one and an unreadable name all open the root."""
    (user / ".hermes" / "active_profile").write_bytes(content)
    home = locate_home(None, None, around(tmp_path))
    assert home == Home(user / ".hermes", user / ".hermes", "default")


def test_an_explicit_home_or_variable_outranks_the_active_profile(tmp_path: Path, user: Path) -> None:
    """What is named is opened."""
    a_profile(user / ".hermes", "worker")
    (user / ".hermes" / "active_profile").write_text("worker")
    assert locate_home(user / ".hermes", None, around(tmp_path)).profile == "default"
    assert locate_home(None, None, around(tmp_path, HERMES_HOME=str(user / ".hermes"))).profile == "default"


def test_a_named_profile_is_below_the_home_that_was_named(tmp_path: Path) -> None:
    """`--home H --profile P` is H/profiles/P."""
    worker = a_profile(tmp_path / "h", "worker")
    assert locate_home(tmp_path / "h", "worker", around(tmp_path)) == Home(worker, tmp_path / "h", "worker")


def test_a_named_profile_outranks_the_active_one(tmp_path: Path, user: Path) -> None:
    """`--profile` beats the sticky name, and `default` is the root itself."""
    root = user / ".hermes"
    a_profile(root, "worker")
    other = a_profile(root, "other")
    (root / "active_profile").write_text("worker")
    assert locate_home(None, "other", around(tmp_path)) == Home(other, root, "other")
    assert locate_home(None, "default", around(tmp_path)) == Home(root, root, "default")


def test_a_profile_named_from_within_a_profile_is_its_sibling(tmp_path: Path, user: Path) -> None:
    """The root is found from a profile's own folder."""
    root = user / ".hermes"
    worker, other = a_profile(root, "worker"), a_profile(root, "other")
    assert locate_home(worker, None, around(tmp_path)) == Home(worker, root, "worker")
    assert locate_home(worker, "other", around(tmp_path)) == Home(other, root, "other")
    assert locate_home(worker, "default", around(tmp_path)) == Home(root, root, "default")


def test_an_unknown_profile_is_an_error_that_says_where_it_was_looked_for(tmp_path: Path, user: Path) -> None:
    """A profile is never made by naming it."""
    with pytest.raises(HomeError, match=r"profile 'nope' does not exist in .*profiles"):
        locate_home(None, "nope", around(tmp_path))
    assert not (user / ".hermes" / "profiles").exists()


@pytest.mark.parametrize("name", ["../..", "..", ".", "/", "a/b", "Worker", "x" * 65, "worker\n"])
def test_a_name_that_is_no_profile_name_opens_no_folder(tmp_path: Path, user: Path, name: str) -> None:
    """A name that leads out of the profiles folder, or that hermes would refuse, is an unknown profile."""
    root = user / ".hermes"
    a_profile(root, "worker")
    (root / "profiles" / "a" / "b").mkdir(parents=True)
    (root / "profiles" / "Worker").mkdir(exist_ok=True)
    with pytest.raises(HomeError):
        locate_home(None, name, around(tmp_path))


# --- the root (hermes-pool 1.2) -----------------------------------------------------------------------------


def test_a_folder_inside_the_native_home_has_that_as_its_root(tmp_path: Path, user: Path) -> None:
    """Even one that is no profile."""
    other = user / ".hermes" / "other"
    other.mkdir()
    home = locate_home(other, None, around(tmp_path))
    assert home.root == user / ".hermes"
    assert home.inherits


def test_a_folder_elsewhere_below_profiles_has_its_grandparent_as_root(tmp_path: Path) -> None:
    """`X/profiles/P` belongs to X."""
    worker = a_profile(tmp_path / "x", "worker")
    assert locate_home(worker, None, around(tmp_path)).root == tmp_path / "x"


def test_the_native_home_through_a_symlink_is_its_own_root(tmp_path: Path, user: Path) -> None:
    """A link to the native home inherits nothing from itself."""
    link = tmp_path / "link"
    link.symlink_to(user / ".hermes")
    home = locate_home(link, None, around(tmp_path))
    assert home == Home(link, link, "default")
    assert not home.inherits
