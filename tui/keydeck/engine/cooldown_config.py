"""``credential_pool.cooldown`` of config.yaml: read with its line numbers, entry by entry.

What makes no sense is named, with what would, and quoted never: anything may stand there, a key too. The
other entries hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from keydeck.engine.cooldown_policy import LONGEST_WAIT_S, Change, Policy
from keydeck.engine.failures import FailureKind
from keydeck.engine.reset_times import duration

SECTION: Final = ("credential_pool", "cooldown")
KINDS: Final = tuple(kind.value for kind in FailureKind)

_EVERYWHERE: Final = ("", "")
_LEVELS: Final = ("providers", "keys")
_FIELDS: Final = ("wait", "cap", "grows", "sole_cap", "terminal_after")
_STATUSES: Final = range(400, 600)
_FASTEST_GROWTH: Final = 100.0
_A_WAIT: Final = "seconds, or like 90s, 5m, 1h, 2d, up to 30d"


class CooldownProblem(NamedTuple):
    """An entry that does not hold: its line, counted from 1, and what would be right."""

    line: int
    text: str


class CooldownWrong(Exception):
    """What would be right in the place of a value."""


def read_cooldown(root: Any) -> tuple[Policy, tuple[CooldownProblem, ...]]:
    """Return the policy that a YAML document (its root node) asks for, and the entries that do not hold."""
    reader = _Reader()
    section, line = _section(root)
    if section is None:
        reader.told(line, "cooldown cannot be taken from elsewhere (<<): write it out")
    elif not _is_null(section):
        reader.read(section, line)
    return reader.policy(), tuple(reader.problems)


def _section(root: Any) -> tuple[Any, int]:
    node, line = root, 1
    for name in SECTION:
        found = None
        for key, value in _pairs(node):
            if key.value == name:
                found, line = value, key.start_mark.line + 1
        node = found
    return node, line


def _pairs(node: Any) -> list[tuple[Any, Any]]:
    pairs = node.value if node is not None and node.id == "mapping" else []
    return list(pairs)


def _is_null(node: Any) -> bool:
    return bool(node.tag.endswith(":null"))


@dataclass(slots=True)
class _Reader:
    """Collects what holds and what does not."""

    levels: dict[tuple[str, str], dict[str, Change]] = field(default_factory=dict)
    problems: list[CooldownProblem] = field(default_factory=list)

    def told(self, line: int, text: str) -> None:
        self.problems.append(CooldownProblem(line, text))

    def policy(self) -> Policy:
        def of(level: str) -> MappingProxyType[str, MappingProxyType[str, Change]]:
            named = {name: changes for (kind, name), changes in self.levels.items() if kind == level}
            return MappingProxyType({name: MappingProxyType(each) for name, each in named.items() if each})

        everywhere = MappingProxyType(self.levels.get(_EVERYWHERE, {}))
        return Policy(everywhere, of("providers"), of("keys"))

    def read(self, section: Any, line: int) -> None:
        for key, value, at in self._entries(section, line, "cooldown"):
            if key in _LEVELS:
                self._named(key, value, at)
            else:
                self._entry(_EVERYWHERE, key, value, at)

    def _named(self, level: str, section: Any, line: int) -> None:
        """Read one of the sub-sections: a mapping of statuses and kinds for each name."""
        for name, changes, at in self._entries(section, line, level):
            for key, value, there in self._entries(changes, at, "this"):
                self._entry((level, plain_name(level, name)), key, value, there)

    def _entries(self, node: Any, line: int, what: str) -> Iterator[tuple[str, Any, int]]:
        """Yield key, value and line of a mapping's entries."""
        if node.id != "mapping":
            if not _is_null(node):
                self.told(line, f"{what} is a mapping: a status or kind, and how long to wait, on each line")
            return
        for key, value in _pairs(node):
            at = key.start_mark.line + 1
            if key.id != "scalar":
                self.told(at, "a name is wanted here")
            elif key.tag.endswith(":merge"):
                self.told(at, "entries cannot be merged in (<<): write them out")
            else:
                yield key.value.strip(), value, at

    def _entry(self, level: tuple[str, str], key: str, value: Any, line: int) -> None:
        changes = self.levels.setdefault(level, {})
        try:
            name = _status_or_kind(key, (*KINDS, *_LEVELS) if level == _EVERYWHERE else KINDS)
        except CooldownWrong as wrong:
            self.told(line, str(wrong))
            return
        changes.pop(name, None)  # of two with one name the last counts, for YAML too
        change = self._change(value, line)
        if change != Change(line=line):
            changes[name] = change

    def _change(self, value: Any, line: int) -> Change:
        parts: Any = [("wait", value, line)]
        if value.id == "mapping":
            parts = self._entries(value, line, "this")
        change = Change(line=line)
        for name, part, at in parts:
            try:
                wanted = change._replace(**_field(name, part))
                _check_caps(wanted)
            except CooldownWrong as wrong:
                self.told(at, str(wrong))
            else:
                change = wanted
        return change


def plain_name(level: str, name: str) -> str:
    """Return the name of a sub-section, a provider's or a row's, as a policy has it."""
    from keydeck.engine.providers import canonical

    return canonical(name) if level == "providers" else name


def plain_entry(name: str) -> str:
    """Return a status or kind as a policy has it, in whichever spelling.

    Raises:
        CooldownWrong: it is neither.
    """
    return _status_or_kind(name.strip(), KINDS)


def check_change(fields: Mapping[str, object]) -> None:
    """See that the fields of an entry, as they are written, make sense.

    Raises:
        CooldownWrong: one does not, or there is none.
    """
    if not fields:
        raise CooldownWrong("nothing is to change")
    change = Change()
    for name, value in fields.items():
        change = change._replace(**read_field(name, str(value)))
    _check_caps(change)


def _status_or_kind(key: str, known: tuple[str, ...]) -> str:
    if key.isdecimal() and key.isascii():
        if len(key) == 3 and int(key) in _STATUSES:
            return key
        raise CooldownWrong("a status is a number from 400 to 599")
    kind = key.lower().replace("-", "_")
    if kind in KINDS:
        return kind
    raise CooldownWrong(f"no such kind of failure{_nearest(kind, known)}")


def _nearest(word: str, known: tuple[str, ...]) -> str:
    import difflib

    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"


def _field(name: str, node: Any) -> dict[str, Any]:
    """Return one value of a change by the name of its field."""
    return read_field(name, node.value.strip() if node.id == "scalar" and not _is_null(node) else "")


def read_field(name: str, text: str) -> dict[str, Any]:
    """Return one field of a `Change` from what is written: ``wait``, ``5m``.

    Raises:
        CooldownWrong: it makes no sense.
    """
    plain = name.lower().replace("-", "_")
    if plain not in _FIELDS:
        raise CooldownWrong(f"no such setting{_nearest(plain, _FIELDS)}")
    if plain == "grows":
        return {"grows": _number(text, 1.0, _FASTEST_GROWTH, "grows is a number from 1 to 100")}
    if plain == "terminal_after":
        number = _number(text, 0, 100, said := "terminal_after is a whole number, 0 for never")
        if number != int(number):
            raise CooldownWrong(said)
        return {plain: int(number)}
    seconds = _seconds(text, plain)
    return {f"{plain}_s": seconds}


def _seconds(text: str, name: str) -> float:
    wait = duration(text) if text and text[-1:].isalpha() else _plain_number(text)
    if name == "wait":
        if wait is None or not 0 <= wait <= LONGEST_WAIT_S:
            raise CooldownWrong(f"a wait is {_A_WAIT}, or 0 for no bench")
        return wait
    if wait is None or not 0 < wait <= LONGEST_WAIT_S:
        raise CooldownWrong(f"{name} is {_A_WAIT}; for no bench set wait to 0")
    return wait


def _number(text: str, least: float, most: float, right: str) -> float:
    number = _plain_number(text)
    if number is None or not least <= number <= most:
        raise CooldownWrong(right)
    return number


def _plain_number(text: str) -> float | None:
    digits = text.replace(".", "", 1)
    return float(text) if digits.isdecimal() and digits.isascii() and len(digits) < 16 else None


def _check_caps(change: Change) -> None:
    if change.wait_s is None:
        return
    for name, cap in (("cap", change.cap_s), ("sole_cap", change.sole_cap_s)):
        if cap is not None and cap < change.wait_s:
            raise CooldownWrong(f"{name} is below wait: no wait would be that short")
