"""`Secret`: the only type that carries one, and the rules for what can be one."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final, NoReturn

MASK: Final = "***"

# hermes-pool 4.4 lists these; they come from copied example files.
PLACEHOLDERS: Final = frozenset(
    {
        *("changeme", "change_me", "your_api_key", "your_api_key_here", "your-api-key", "your-api-key-here"),
        *("placeholder", "example", "dummy", "null", "none", "undefined", "todo", "xxx", "sk-xxx", "api_key"),
    },
)
_MASKED: Final = re.compile(r"\.{3,}|…|•|●|\*{2,}|^(?:sk-|key-)?[xX]{4,}$|<[^>]*>")
_MINIMUM_LENGTH: Final = 4


class Secret:
    """One key or token. Printing, formatting and pickling never show it; `reveal` is the only door."""

    __slots__ = ("_fingerprint", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._fingerprint: str | None = None

    def reveal(self) -> str:
        """Return the value, for the one moment in which it is used or written."""
        return self._value

    @property
    def fingerprint(self) -> str:
        """One-way name of the value: ``sha256:`` and 16 hex digits (hermes-pool 1.5)."""
        if self._fingerprint is None:
            self._fingerprint = fingerprint(self._value)
        return self._fingerprint

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(("keydeck.Secret", self._value))

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never pickled")


def repr_without(record: tuple[Any, ...], *hidden: str) -> str:
    """Return the repr of a named tuple without the fields that may hold secrets or too much."""
    names = getattr(record, "_fields", ())
    told = (f"{name}={value!r}" for name, value in zip(names, record, strict=True) if name not in hidden)
    return f"{type(record).__name__}({', '.join(told)})"


def fingerprint(value: str) -> str:
    """Return hermes' fingerprint of a secret value (hermes-pool 1.5)."""
    return "sha256:" + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def why_not_a_secret(text: str) -> str | None:
    """Say why `text` cannot be a key, or return None if it can.

    Refuses blanks, placeholders, masks such as ``sk-…``, unresolved ``${VAR}`` references, control
    characters and white space inside (demand 4, "Bad secrets").
    """
    if not text.strip():
        return "it is blank"
    if text.strip().lower() in PLACEHOLDERS:
        return "it is a placeholder"
    if _MASKED.search(text):
        return "it is masked, not the key itself"
    if "${" in text:
        return "it refers to a variable that is not set"
    if text.strip().startswith("op://"):
        return "it names a 1Password item, not the key itself"
    if any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in text):
        return "it has control characters"
    if any(char.isspace() for char in text):
        return "it has white space inside"
    if not text.isascii():
        return "it has characters that no key has"
    if len(text) < _MINIMUM_LENGTH:
        return "it is too short"
    return None
