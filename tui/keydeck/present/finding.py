"""The filter language: words that must occur, and ``state:`` ``pool:`` ``code:`` ``type:`` ``source:`` terms.

A leading ``!`` turns a term round. Pure text against rows; what a row is called on screen is what is searched.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Final

from keydeck.engine.state import HealthKind
from keydeck.present.rows import KeyRow

_STATE_WORDS: Final = {
    HealthKind.READY: ("ready", "ok", "usable"),
    HealthKind.PROBING: ("probing",),
    HealthKind.COOLING: ("cooling", "exhausted", "benched"),
    HealthKind.NEEDS_LOGIN: ("login", "dead", "auth", "needs_login"),
    HealthKind.PAUSED: ("paused", "off"),
    HealthKind.NO_SECRET: ("no_secret", "nosecret", "unset", "missing"),
    HealthKind.BAD_ROW: ("bad", "bad_row", "unreadable"),
}
STATE_NAMES: Final = tuple(words[0] for words in _STATE_WORDS.values())


class BadQuery(ValueError):
    """What was typed is no filter (yet); its text says why."""


@dataclass(frozen=True, slots=True)
class Term:
    """One condition of a filter."""

    field: str
    """``word``, ``state``, ``pool``, ``code``, ``type`` or ``source``."""
    values: tuple[str, ...]
    """One of them has to fit."""
    inverted: bool = False

    def fits(self, provider: str, row: KeyRow) -> bool:
        """Tell whether a row of that pool meets the condition."""
        return _FITS[self.field](self.values, provider, row) is not self.inverted


@dataclass(frozen=True, slots=True)
class Query:
    """A filter; every term has to fit. Without terms everything does."""

    text: str = ""
    terms: tuple[Term, ...] = ()

    def fits(self, provider: str, row: KeyRow) -> bool:
        """Tell whether a row is shown."""
        return all(term.fits(provider, row) for term in self.terms)


def parse_query(text: str) -> Query:
    """Return the filter that was typed.

    Raises:
        BadQuery: a quote is open, a field has no value, or there is no such state or code.
    """
    try:
        words = shlex.split(text, posix=True)
    except ValueError:
        raise BadQuery("a quote is not closed") from None
    return Query(text.strip(), tuple(_term(word) for word in words))


def _term(word: str) -> Term:
    inverted = len(word) > 1 and word.startswith("!")
    plain = (word[1:] if inverted else word).casefold()
    field, colon, rest = plain.partition(":")
    if not colon or field not in _FITS or field == "word":
        return Term("word", (plain,), inverted)
    values = tuple(value for value in rest.split(",") if value)
    if not values:
        raise BadQuery(f"{field}: needs a value")
    if field == "state":
        values = tuple(_state(value) for value in values)
    if field == "code" and not all(value.isdecimal() for value in values):
        raise BadQuery("code: takes numbers, as in code:429")
    return Term(field, values, inverted)


def _state(word: str) -> str:
    """Return the state that a word, or the beginning of one, means."""
    for kind, names in _STATE_WORDS.items():
        if any(name.startswith(word) for name in names):
            return kind.value
    raise BadQuery(f"no state {word}: {' '.join(STATE_NAMES)}")


def _has_word(values: tuple[str, ...], provider: str, row: KeyRow) -> bool:
    state = _STATE_WORDS[row.kind][0]
    shown = (
        row.label,
        row.id,
        row.source,
        row.type,
        provider,
        state,
        row.word,
        str(row.code or ""),
        row.detail,
    )
    heap = "\n".join(shown).casefold()
    return any(value in heap for value in values)


def _in_state(values: tuple[str, ...], _provider: str, row: KeyRow) -> bool:
    return row.kind.value in values


def _in_pool(values: tuple[str, ...], provider: str, _row: KeyRow) -> bool:
    return any(value in provider.casefold() for value in values)


def _has_code(values: tuple[str, ...], _provider: str, row: KeyRow) -> bool:
    return str(row.code) in values if row.code is not None else False


def _has_type(values: tuple[str, ...], _provider: str, row: KeyRow) -> bool:
    return any(row.type.casefold().startswith(value) for value in values)


def _has_source(values: tuple[str, ...], _provider: str, row: KeyRow) -> bool:
    return any(value in row.source.casefold() for value in values)


_FITS: Final = {
    "word": _has_word,
    "state": _in_state,
    "pool": _in_pool,
    "code": _has_code,
    "type": _has_type,
    "source": _has_source,
}
