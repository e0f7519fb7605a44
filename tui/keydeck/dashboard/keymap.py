"""The user's own keys: which keys there are, which are taken, and what holds when a settings file says too much."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from types import MappingProxyType
from typing import Any, Final

# How Textual names a character's key is known only to Textual; its version is pinned.
from textual.keys import Keys, _character_to_key

from keydeck.dashboard.actions import ACTIONS, BY_ID, Action, Keymap, character_of, key_name, keys_of, no_key
from keydeck.present.text import clean, cut

ALWAYS_WITH_A_KEY: Final = frozenset({"app.quit", "app.help", "view.back"})
"""Without these nobody finds the way out."""

DEFAULT_KEYS: Final[Keymap] = MappingProxyType({})

_RESERVED: Final = {
    "ctrl+i": "terminals send it for tab",
    "ctrl+m": "terminals send it for enter",
    "ctrl+h": "terminals send it for backspace",
    "ctrl+left_square_bracket": "terminals send it for esc",
    "ctrl+a": "screen takes it for itself",
    "ctrl+b": "tmux takes it for itself",
    "ctrl+c": "it tells how to quit",
    "ctrl+q": "it always quits",
}
_SHORT_NAMES: Final = {
    "esc": "escape",
    "return": "enter",
    "del": "delete",
    "ins": "insert",
    "pgup": "pageup",
    "pgdn": "pagedown",
}
_MODIFIERS: Final = re.compile(r"(?:ctrl\+|alt\+|shift\+|super\+)*")
_NAMED: Final = frozenset(key.value for key in Keys if re.fullmatch(r"[a-z]{2,}|f\d+", key.value))
_LONGEST: Final = 32


# --- keys --------------------------------------------------------------------------------------------------


def key_id(written: str) -> str | None:
    """Return a key's name as Textual gives it, for a character or a name; None if there is no such key."""
    if len(written) == 1:
        return _character_id(written)
    lowered = written.lower()
    base = _MODIFIERS.sub("", lowered, count=1)
    modifiers = lowered.removesuffix(base) if base else ""
    if (name := _SHORT_NAMES.get(base, base)) in _NAMED:
        return modifiers + name
    found = _character_id(character_of(base) or "")
    # With shift a character is another character, and is written as that one.
    return modifiers + found if found and modifiers != "shift+" else None


def written_key(key: str) -> str:
    """Return a key as people write it into a file: a character as itself."""
    return character_of(key) or key


def _character_id(character: str) -> str | None:
    if character == " ":
        return "space"
    fine = character.isprintable() and character and clean(character) == character
    return _character_to_key(character) if fine else None


def reserved(key: str, action: Action) -> str | None:
    """Say why an action cannot have this key whatever else is bound, or None."""
    if key == "ctrl+q" and action.id == "app.quit":
        return None
    return _RESERVED.get(key)


# --- clashes -----------------------------------------------------------------------------------------------


def taken_by(key: str, action: Action, keymap: Keymap) -> Action | None:
    """Return another action that has this key on a screen where `action` works too."""
    others = (other for other in ACTIONS if other is not action and other.scope & action.scope)
    return next((other for other in others if key in keys_of(other, keymap)), None)


def with_keys(keymap: Keymap, action: Action, keys: tuple[str, ...]) -> Keymap:
    """Return a keymap in which an action has these keys; its own ones leave no trace."""
    rest = {name: others for name, others in keymap.items() if name != action.id}
    return MappingProxyType(rest if keys == action.keys else {**rest, action.id: keys})


def textual_keymap(keymap: Keymap) -> dict[str, str]:
    """Return a keymap as Textual wants it: an empty text would change nothing, so no key is a key that nobody has."""
    return {name: ",".join(keys) or no_key(name) for name, keys in keymap.items()}


# --- what a file says --------------------------------------------------------------------------------------


def checked(said: Mapping[Any, Any]) -> tuple[Keymap, list[str]]:
    """Return the keys a file asks for, as far as they can be had, and what is wrong with the rest."""
    good: dict[str, tuple[str, ...]] = {}
    troubles: list[str] = []
    for name, keys in said.items():
        read = _checked_keys(name, keys)
        if isinstance(read, str):
            troubles.append(read)
        elif read != BY_ID[name].keys:
            good[name] = read
    troubles += _drop_clashes(good)
    return MappingProxyType(good), troubles


def _checked_keys(name: Any, said: Any) -> tuple[str, ...] | str:
    """Return the keys of one entry, or what is wrong with it."""
    action = BY_ID.get(name) if isinstance(name, str) else None
    if action is None:
        return f"keymap: there is no action {told(name)}"
    found: list[str] = []
    for one in said if isinstance(said, list) else [said]:
        written = (
            str(one) if type(one) is int and 0 <= one <= 9 else one
        )  # YAML has numbers where keys are digits
        key = key_id(written) if isinstance(written, str) else None
        if key is None:
            return f"keymap: {name}: {told(one)} is no key"
        if why := reserved(key, action):
            return f"keymap: {name}: {told(one)} cannot be taken: {why}"
        found.append(key)
    if not found and name in ALWAYS_WITH_A_KEY:
        return f"keymap: {name} needs a key"
    return tuple(dict.fromkeys(found))


def _drop_clashes(keymap: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """Take back changes until no key does two things on one screen; yield what was taken back and why."""
    while clash := next(_clashes(keymap), None):
        one, other, key = clash
        # Of two changes the later goes; a default never gives way.
        loser = max((name for name in (one.id, other.id) if name in keymap), key=list(keymap).index)
        winner = other.id if loser == one.id else one.id
        del keymap[loser]
        yield f"keymap: {key_name(key, ascii_only=True)} is {winner}'s already: {loser} keeps its own key"


def _clashes(keymap: Keymap) -> Iterator[tuple[Action, Action, str]]:
    for one, other in combinations(ACTIONS, 2):
        if one.scope & other.scope:
            for key in keys_of(one, keymap):
                if key in keys_of(other, keymap):
                    yield one, other, key


def told(said: Any) -> str:
    """Return a value of a file as a message may hold it: short, or only its kind."""
    if isinstance(said, str):
        return f'"{cut(clean(said), _LONGEST, mark="...")}"'
    kinds = {bool: "yes or no", int: "a number", float: "a number", list: "a list", dict: "a mapping"}
    return kinds.get(type(said), "that")
