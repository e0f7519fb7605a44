"""One entry of ``credential_pool.cooldown`` in config.yaml, written in place.

An entry that says the same stays as it is written; of one that is a mapping only the fields that differ change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from keydeck.engine.config import change_config, parse_config
from keydeck.engine.config_edit import Setting, composed, with_value
from keydeck.engine.config_removal import without_value
from keydeck.engine.cooldown_config import (
    SECTION,
    CooldownWrong,
    check_change,
    plain_entry,
    plain_name,
    read_field,
)
from keydeck.engine.cooldown_policy import Change, Changes, Policy
from keydeck.engine.errors import Refused
from keydeck.engine.files import Disk
from keydeck.engine.home import Home

_PROVIDERS: Final = "providers"
_KEYS: Final = "keys"
_NOTHING: Final = Change()


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a rule of the operator stands: for all, for one provider, or for one row."""

    name: str
    """A kind of failure, or the digits of a status."""
    provider: str = ""
    row_id: str = ""

    @property
    def level(self) -> tuple[str, ...]:
        """The names of the sub-section; none for all."""
        if self.row_id:
            return (_KEYS, self.row_id)
        return (_PROVIDERS, self.provider) if self.provider else ()

    @property
    def names(self) -> tuple[str | int, ...]:
        """The names that lead to it in config.yaml."""
        return (*SECTION, *self.level, int(self.name) if self.name.isdecimal() else self.name)

    def changes(self, policy: Policy) -> Changes:
        """Return what a policy changes on this level."""
        if self.row_id:
            return policy.keys.get(self.row_id, {})
        return policy.providers.get(self.provider, {}) if self.provider else policy.everywhere

    def change(self, policy: Policy) -> Change | None:
        """Return what a policy says here, without the line where it does; None for nothing."""
        found = self.changes(policy).get(self.name)
        return found._replace(line=0) if found else None

    def shadowed_by(self, policy: Policy) -> set[str]:
        """Return the providers whose entry of the same name counts instead of this one."""
        if self.level:
            return set()
        return {provider for provider, changes in policy.providers.items() if self.name in changes}

    def put(self, policy: Policy, change: Change | None) -> Policy:
        """Return the policy with another change here, or with none."""
        changes = {name: each for name, each in self.changes(policy).items() if name != self.name}
        if change is not None:
            changes[self.name] = change._replace(line=change.line or 1)
        if self.row_id:
            return policy._replace(keys={**policy.keys, self.row_id: changes})
        if self.provider:
            return policy._replace(providers={**policy.providers, self.provider: changes})
        return policy._replace(everywhere=changes)


def entry_of(name: str, *, provider: str = "", row_id: str = "") -> Entry:
    """Return the entry of a status or kind as the operator names it.

    Raises:
        Refused: it is neither.
    """
    try:
        return Entry(plain_entry(name), plain_name(_PROVIDERS, provider) if provider else "", row_id)
    except CooldownWrong as wrong:
        raise Refused(str(wrong)) from None


def change_of(texts: Mapping[str, str], base: Change | None = None) -> Change:
    """Return a change from what the operator wrote of its fields; blank: as without it; not named: as in `base`.

    Raises:
        Refused: one makes no sense.
    """
    change = base or _NOTHING
    try:
        for name, text in texts.items():
            blank = {name if name in ("grows", "terminal_after") else f"{name}_s": None}
            change = change._replace(**(read_field(name, text.strip()) if text.strip() else blank))
        check_change(_fields(change))
    except CooldownWrong as wrong:
        raise Refused(str(wrong)) from None
    return change


def field_texts(change: Change | None) -> dict[str, str]:
    """Return the fields of a change as people write them; those that it leaves alone are not there."""
    return {name: str(value) for name, value in _fields(change).items()} if change else {}


def entry_text(entry: Entry, change: Change | None) -> str:
    """Return what an entry says in words: ``openrouter waits 5m after 429``."""
    whose = entry.row_id or entry.provider
    after = f"after {entry.name}"
    if change is None:
        return f"{whose + ' waits' if whose else 'a wait'} {after} as without an entry"
    said = dict(_fields(change))
    wait = said.pop("wait", None)
    more = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in said.items())
    first = "" if wait is None else "no wait" if wait == 0 else f"wait {wait}"
    return f"{whose + ': ' if whose else ''}{', '.join(filter(None, (first, more)))} {after}"


def write_cooldown(
    home: Home,
    entry: Entry,
    change: Change | None,
    *,
    env: Mapping[str, str],
    disk: Disk | None = None,
    before_write: Callable[[Path, bytes], None] | None = None,
) -> bool:
    """Make config.yaml say this of an entry, or with None nothing; say whether anything was written.

    Raises:
        ConfigReadOnly: a package manager owns the home, or the system refuses.
        ConfigBroken: the file cannot be understood, so it is not touched.
        Refused: the change makes no sense, there is no safe place for it, or another writer was faster.
    """
    if change is not None:
        _check(change)

    def edit(data: bytes, path: Path) -> bytes:
        return with_entry(data, entry, change, path)

    return change_config(home, edit, env=env, disk=disk, before_write=before_write)


def with_entry(data: bytes, entry: Entry, change: Change | None, path: Path) -> bytes:
    """Return a config.yaml that says this of an entry, with every comment and everything else as it was.

    Raises:
        ConfigBroken: the file cannot be understood.
        Refused: there is no safe place for it.
    """
    wanted = _fields(change) if change is not None else {}
    if _said(data, entry, path) == wanted:
        return data
    after = _edited(data, entry, wanted, path)
    if _said(after, entry, path) != wanted:
        raise Refused(f"config.yaml says more than once what {entry.name} costs; change it there by hand")
    return after


def _said(data: bytes, entry: Entry, path: Path) -> dict[str, Any]:
    found = entry.change(parse_config(data, {}, path).cooldown)
    return _fields(found) if found else {}


def _edited(data: bytes, entry: Entry, wanted: dict[str, Any], path: Path) -> bytes:
    place = Setting(entry.names, None, _names_of(entry))
    if not wanted:
        return without_value(data, place, path) if _written(data, entry) is not None else data
    written = _written(data, entry)
    if written is None or written.id != "mapping":
        value = wanted["wait"] if wanted.keys() == {"wait"} else wanted
        return with_value(data, replace(place, value=value), path)
    said = _said(data, entry, path)
    for name in [name for name in wanted if wanted[name] != said.get(name)]:
        data = with_value(data, replace(place, names=(*entry.names, name), value=wanted[name]), path)
    for key in [key.value for key, _ in written.value if _plain_field(key.value) not in wanted]:
        data = without_value(data, replace(place, names=(*entry.names, key)), path)
    return data


def _written(data: bytes, entry: Entry) -> Any:
    """Return the node of an entry as it is written; None where there is none."""
    node, is_named = composed(data, Path()), _names_of(entry)
    for depth, name in enumerate(entry.names):
        pairs = node.value if node is not None and node.id == "mapping" else []
        named = [value for key, value in pairs if key.id == "scalar" and is_named(depth, name, key)]
        if not named:
            return None
        node = named[-1]
    return node


def _names_of(entry: Entry) -> Callable[[int, str | int, Any], bool]:
    """Return what tells whether a key of config.yaml is a name, in any of the spellings that are read."""

    def is_named(depth: int, name: str | int, key: Any) -> bool:
        written, below = key.value.strip(), depth - len(SECTION)
        if below < 0:
            return bool(key.value == name and key.tag.endswith(":str"))
        if entry.level and below < len(entry.level):
            return bool((plain_name(entry.level[0], written) if below else written) == name)
        return _plain_field(written) == str(name)

    return is_named


def _plain_field(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def _check(change: Change) -> None:
    try:
        check_change(_fields(change))
    except CooldownWrong as wrong:
        raise Refused(str(wrong)) from None


# --- as it is written --------------------------------------------------------------------------------------


def _fields(change: Change) -> dict[str, Any]:
    """Return the fields of a change as they are written, in the order in which people say them."""
    told: dict[str, Any] = {
        "wait": None if change.wait_s is None else wait_text(change.wait_s),
        "grows": None if change.grows is None else _number(change.grows),
        "cap": None if change.cap_s is None else wait_text(change.cap_s),
        "sole_cap": None if change.sole_cap_s is None else wait_text(change.sole_cap_s),
        "terminal_after": change.terminal_after,
    }
    return {name: value for name, value in told.items() if value is not None}


_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"))


def wait_text(seconds: float) -> str | int:
    """Return a wait as config.yaml has it: ``5m``, ``90s``, ``1.5s``, 0; to the millisecond."""
    whole = round(seconds)
    if abs(seconds - whole) >= 0.0005:
        return f"{seconds:.3f}".rstrip("0") + "s"
    if not whole:
        return 0
    return next((f"{whole // size}{unit}" for size, unit in _UNITS if whole % size == 0), f"{whole}s")


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else round(value, 3)
