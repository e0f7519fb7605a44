"""Which folder holds the store: the home, its root and its profile (hermes-pool 1.1, 1.2)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from keydeck.engine.errors import HomeError
from keydeck.engine.secret import repr_without

ROOT_PROFILE = "default"
_PROFILE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Surroundings(NamedTuple):
    """What lies around a home: the environment and the user's own folder. Tests and the demo bring their own."""

    env: Mapping[str, str]
    user_home: Path

    def __repr__(self) -> str:
        return repr_without(self, "env")

    @classmethod
    def real(cls) -> Surroundings:
        """The process environment and the user's home folder, as they are now."""
        return cls(env=dict(os.environ), user_home=Path.home())


class Home(NamedTuple):
    """One hermes home. `root` differs from `path` only in a named profile."""

    path: Path
    root: Path
    profile: str

    @property
    def auth_path(self) -> Path:
        """The store, as named: it may be a symlink."""
        return self.path / "auth.json"

    @property
    def config_path(self) -> Path:
        """Engine and agent settings."""
        return self.path / "config.yaml"

    @property
    def env_path(self) -> Path:
        """Variables that hermes reads before the process environment."""
        return self.path / ".env"

    @property
    def inherits(self) -> bool:
        """Whether rows of the root show through (hermes-pool 1.2)."""
        return self.path != self.root


def locate_home(
    home: str | os.PathLike[str] | None = None,
    profile: str | None = None,
    around: Surroundings | None = None,
) -> Home:
    """Find the home: explicit, ``KEYDECK_HOME``, ``HERMES_HOME``, hermes' active profile, ``~/.hermes``.

    Args:
        home: a folder named by the operator; ``~`` is expanded.
        profile: the name of a profile below that home's root; ``default`` is the root itself.
        around: environment and user folder; the real ones when omitted.

    Raises:
        HomeError: the profile does not exist. A home that does not exist is no error: it may come.
    """
    around = around or Surroundings.real()
    native = around.user_home / ".hermes"
    path = _explicit(home, around)
    if path is None:
        path = native if profile else _active_profile(native)
    root = _root_of(path, native)
    if profile:
        path = root if profile == ROOT_PROFILE else root / "profiles" / profile
        if path != root and not (_PROFILE_NAME.fullmatch(profile) and path.is_dir()):
            raise HomeError(f"profile {profile!r} does not exist in {root / 'profiles'}")
    return Home(path=path, root=root, profile=ROOT_PROFILE if path == root else path.name)


def _explicit(home: str | os.PathLike[str] | None, around: Surroundings) -> Path | None:
    if home is not None:
        return _absolute(Path(home).expanduser())
    if ours := around.env.get("KEYDECK_HOME", "").strip():
        return _absolute(Path(ours).expanduser())
    # hermes takes its own variable verbatim, without expanding ~ (hermes-pool 1.1).
    if theirs := around.env.get("HERMES_HOME", "").strip():
        return _absolute(Path(theirs))
    return None


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def _active_profile(native: Path) -> Path:
    try:
        name = (native / "active_profile").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return native
    chosen = native / "profiles" / name
    names_one = name != ROOT_PROFILE and _PROFILE_NAME.fullmatch(name)
    return chosen if names_one and chosen.is_dir() else native


def _root_of(path: Path, native: Path) -> Path:
    resolved = Path(os.path.realpath(path))
    if resolved == Path(os.path.realpath(native)) or Path(os.path.realpath(native)) in resolved.parents:
        return path if resolved == Path(os.path.realpath(native)) else native
    return path.parent.parent if path.parent.name == "profiles" else path
