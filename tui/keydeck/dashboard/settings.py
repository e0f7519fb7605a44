"""How the dashboard looks and which keys it obeys: the user's own choices, kept apart from what agents read."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from keydeck.dashboard.actions import BY_ID
from keydeck.dashboard.keymap import checked, told, written_key
from keydeck.dashboard.themes import known_themes
from keydeck.engine.config_edit import parse_mapping
from keydeck.engine.errors import ConfigBroken, Refused
from keydeck.engine.files import Disk, make_dir, read_file, write_whole

DENSITIES: Final = ("auto", "short", "tall")
GLYPH_SETS: Final = ("unicode", "ascii")
TIMES: Final = ("left", "until", "both")
LONGEST_WARNING_MIN: Final = 7 * 24 * 60

_MOST_BYTES: Final = 1 << 20
"""What is larger was not written for us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user chose; replaced as a whole when something changes."""

    theme: str = "pool-dark"
    density: str = "auto"
    """``auto``, ``short`` (no frames) or ``tall`` (frames)."""
    glyphs: str = "unicode"
    """``unicode`` or ``ascii``."""
    times: str = "left"
    """How a countdown is written: ``left``, ``until`` or ``both``."""
    mask: bool = False
    """Whether names are hidden from the start."""
    mouse: bool = True
    token_warning_min: int = 10
    """How long before a login's token ends its row warns, in minutes."""
    keymap: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Action id → keys, for the actions whose keys were changed."""


def default_settings_path() -> Path:
    """Return the user's own settings file: ``~/.config/keydeck/settings.yaml`` on Linux."""
    from platformdirs import user_config_path

    return user_config_path("keydeck", appauthor=False) / "settings.yaml"


class SettingsFile:
    """The settings on disk. Reading never fails and never writes; saving touches only what was changed here.

    Lines that stay the same keep their comments; those of the keymap go when a key is changed, and all of them
    when the file is written in a form that cannot be edited line by line. Of two programs that save at the same
    time the later wins.
    """

    def __init__(self, path: Path | None, *, disk: Disk | None = None) -> None:
        """Read and write at `path`; with None everything lasts as long as the program."""
        self.path = path
        self.trouble: str | None = None
        """What was wrong with the file when it was last read or written, in one line."""
        self._disk = disk or Disk()
        self._known = Settings()

    def load(self) -> Settings:
        """Return what the file says, with the default for all that it does not say or says wrong."""
        try:
            settings, troubles = _understood(_parsed(self._read(), self.path))
        except Refused as error:
            settings, troubles = Settings(), [f"{error}; the defaults are used"]
        self._note(troubles)
        self._known = settings
        return settings

    def save(self, settings: Settings) -> str | None:
        """Write what changed since the last reading or saving; return why that was refused, or None."""
        try:
            if self.path is not None:
                self._write(settings, self.path)
        except Refused as error:
            return f"not saved: {self._name}: {error}"
        self._known = settings
        return None

    def _note(self, troubles: Sequence[str]) -> None:
        more = f" (and {len(troubles) - 1} more)" if len(troubles) > 1 else ""
        self.trouble = f"{self._name}: {troubles[0]}{more}" if troubles else None

    @property
    def _name(self) -> str:
        return "settings" if self.path is None else self.path.name

    def _read(self) -> bytes:
        """Return the file's content; a file that is not there is empty.

        Raises:
            Refused: it is there and cannot be read.
        """
        if self.path is None:
            return b""
        try:
            status = self._disk.stat(self.path)
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
                raise Refused("it is no settings file")
            return read_file(self._disk, self.path)[0]
        except FileNotFoundError:
            return b""
        except (OSError, ValueError) as error:
            raise Refused(f"it cannot be read: {_reason(error)}") from error

    def _write(self, settings: Settings, path: Path) -> None:
        data = self._read()
        try:
            document = _parsed(data, path)
        except Refused as error:
            raise Refused(f"{error}: mend or delete it first") from error
        wanted = _with_changes(document, self._known, settings)
        if wanted == document:
            return
        try:
            make_dir(self._disk, path.parent)
            write_whole(self._disk, path, _edited(data.decode("utf-8-sig"), document, wanted).encode())
        except OSError as error:
            raise Refused(f"it cannot be written: {_reason(error)}") from error
        self._note(_understood(wanted)[1])


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or "it failed").lower()


# --- what a file says --------------------------------------------------------------------------------------


def _is_number(said: Any) -> bool:
    return type(said) is int and 0 <= said <= LONGEST_WARNING_MIN


def _one_of(*names: str) -> tuple[Callable[[Any], bool], str]:
    return lambda said: said in names, " or ".join(names)


_IS_SWITCH: Final[tuple[Callable[[Any], bool], str]] = (lambda said: isinstance(said, bool), "on or off")
# What a value has to be, and how that is said.
_RULES: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "theme": (lambda said: isinstance(said, str) and said in known_themes(), "a theme; T lists them"),
    "density": _one_of(*DENSITIES),
    "glyphs": _one_of(*GLYPH_SETS),
    "times": _one_of(*TIMES),
    "mask": _IS_SWITCH,
    "mouse": _IS_SWITCH,
    "token_warning_min": (_is_number, f"minutes from 0 to {LONGEST_WARNING_MIN}"),
    "keymap": (lambda said: isinstance(said, dict | None), "a mapping of actions to keys"),
}


def _parsed(data: bytes, path: Path | None) -> dict[Any, Any]:
    try:
        return parse_mapping(data, path or Path())
    except ConfigBroken as error:
        raise Refused(error.reason) from None


def _understood(document: Mapping[Any, Any]) -> tuple[Settings, list[str]]:
    """Return what holds of a file, and what is wrong with the rest."""
    found: dict[str, Any] = {}
    troubles = []
    for name, (fits, wanted) in _RULES.items():
        if name not in document:
            continue
        if fits(document[name]):
            found[name] = document[name]
        else:
            troubles.append(f"{name}: {told(document[name])} is not {wanted}")
    found["keymap"], clashes = checked(found.get("keymap") or {})
    return Settings(**found), [*troubles, *clashes]


# --- what a file shall say ---------------------------------------------------------------------------------


def _with_changes(document: Mapping[Any, Any], known: Settings, settings: Settings) -> dict[Any, Any]:
    wanted = dict(document)
    for each in fields(Settings):
        before, now = getattr(known, each.name), getattr(settings, each.name)
        if before == now:
            continue
        wanted[each.name] = _written_keymap(document.get("keymap"), now) if each.name == "keymap" else now
    return wanted


def _written_keymap(old: Any, keymap: Mapping[str, tuple[str, ...]]) -> dict[Any, Any]:
    """Return a keymap as people write it; actions of another version of ours stay in it."""
    strange = {name: keys for name, keys in old.items() if name not in BY_ID} if isinstance(old, dict) else {}
    ours: dict[str, Any] = {}
    for name, keys in keymap.items():
        written = [written_key(key) for key in keys]
        ours[name] = written[0] if len(written) == 1 else written
    return {**strange, **ours}


def _edited(text: str, document: Mapping[Any, Any], wanted: Mapping[Any, Any]) -> str:
    """Return the text with the pairs that changed put in place or, where it does not mean that, all written anew.

    Raises:
        Refused: no text was found that means what is wanted.
    """
    new = text
    for name, value in wanted.items():
        if name not in document or document[name] is not value:
            new = _with_pair(new, str(name), _dumped({name: value}))
    try:
        meaning = _dumped(wanted)
        return next(written for written in (new, meaning) if _meaning(written) == meaning)
    except (StopIteration, RecursionError, ValueError):
        raise Refused("it is of an odd form: change it by hand") from None


def _meaning(text: str) -> str | None:
    """Return what a text says in the one form we write ourselves; None if it says nothing."""
    try:
        return _dumped(parse_mapping(text.encode(), Path()))
    except ConfigBroken:
        return None


def _with_pair(text: str, name: str, pair: str) -> str:
    """Put a pair in the place of the lines that hold it, or at the end."""
    block = re.compile(
        rf"^{name}[ \t]*:(?P<rest>.*)\n?(?P<more>(?:(?:[ \t]+\S.*|-.*)(?:\n|\Z))*)", re.MULTILINE
    )
    found = block.search(text)
    if found is None:
        return text + ("\n" if text and not text.endswith("\n") else "") + pair
    comment = re.search(r"[ \t]+#.*$", found["rest"])
    if comment and pair.count("\n") == 1:
        pair = pair.rstrip("\n") + comment[0] + "\n"
    return text[: found.start()] + pair + text[found.end() :]


def _dumped(document: Mapping[Any, Any]) -> str:
    import yaml

    dumped: str = yaml.safe_dump(
        dict(document), sort_keys=False, allow_unicode=True, default_flow_style=False
    )
    return dumped
