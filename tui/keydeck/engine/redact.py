"""Take secrets out of text that came from outside: those we know, however spelled, and what looks like one."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

from keydeck.engine.secret import MASK, Secret

# Shorter values would cut ordinary words out of messages.
_SHORTEST_KNOWN: Final = 6
# With fewer letters and digits than this a secret is looked for only as it is written: bare, it could be a word.
_SHORTEST_BARE: Final = 12
# So many letters and digits of a longer secret are its head, left over where somebody cut a text.
_HEAD: Final = 16

ESCAPE_SEQUENCES: Final = (
    r"\x1b\][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[PX^_][^\x1b\x9c]*(?:\x1b\\|\x9c)?"
)
"""What steers a terminal, sequences whole: what a text is cleaned of before it is drawn."""

_LOWER: Final = bytes(range(256)).lower()
_NOT_TELLING: Final = bytes(code for code in range(256) if code > 127 or not chr(code).isalnum())

# A word may also begin behind an escaped character: %20sk-…, \nsk-…
_BEGIN: Final = r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt]))"
_PREFIX: Final = (
    rf"{_BEGIN}(?:sk|pk|rk|gsk|xai|hf|ghp|gho|ghu|ghs|github_pat|AIza|ya29|nvapi|fw|r8|AKIA)[-_.]?"
)
_TOKEN: Final = rf"{_BEGIN}eyJ[A-Za-z0-9_\-]{{8,2000}}\.[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]*)?"
_SHAPE: Final = re.compile(
    rf"""
    (?P<keep>(?:bearer|basic)(?:\s|%20|\+)+
      | (?:[?&]|%3F|%26)(?:key|api_key|apikey|token|access_token|auth|sig|signature)(?:=|%3D)
      | (?:api[-_ ]?key|token|secret|password|authorization)
        \\*["']?\s*[:=]\s*\\*["']?(?:(?:bearer|basic)\s+)?
      | ://[^/\s:@]*:)
    (?P<value>[^\s"'&,;<>@]{{6,}})
    | {_PREFIX}[A-Za-z0-9_\-]{{12,}}
    | {_TOKEN}
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SURELY_A_KEY: Final = re.compile(rf"(?P<keep>)(?:{_PREFIX}[A-Za-z0-9_\-]{{16,}}|{_TOKEN})", re.IGNORECASE)
_LONG_RUN: Final = re.compile(r"[A-Za-z0-9]{16}")
"""Stands in all of them, and in few names."""
# So often random text changes between digits, capitals and other letters, and no name does.
_CHANGES_LEAST: Final = 8
_CHANGES_PER_SIGN: Final = 0.25
_SHORTEST_TYPED: Final = 20
_OPTION: Final = re.compile(r"-{1,2}(?:[a-z-]+=)?")
_PATH_BEGINS: Final = ("/", "./", "../", "~")
_REST_OF_WORD: Final = re.compile(r"""[^\s"'&,;<>]*""")

_Range = tuple[int, int]


@functools.cache
def _between(text_has: tuple[bool, bool]) -> tuple[re.Pattern[str] | None, ...]:
    """Return what may stand between the characters of a secret: as an address or JSON, and as a terminal, writes it.

    Each alone too, since what looks like an escape may as well be a part of the secret.
    """
    written = (r"%(?:25)*[0-9A-Fa-f]{2}|\\+(?:u[0-9A-Fa-f]{4}|[nrtbf])", ESCAPE_SEQUENCES)
    there = [pattern for pattern, is_there in zip(written, text_has, strict=True) if is_there]
    both = ["|".join(there)] if len(there) > 1 else []
    return (None, *map(re.compile, (*there, *both)))


_Known = tuple[bytes, str]
"""A known secret, bare and as it is."""


class Scrubber:
    """Removes a set of known secrets, and whatever looks like one, from any text."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._secrets = secrets

    def __repr__(self) -> str:
        return "Scrubber(***)"

    @classmethod
    def joining(cls, scrubbers: Sequence[Scrubber]) -> Scrubber:
        """Return one that knows what any of them knows; one after the other they would get in each other's way."""
        different = set(scrubbers)
        if len(different) == 1:
            return different.pop()
        return cls(Secret(value) for one in different for value in one._values)  # noqa: SLF001 - one of us

    def knows_what(self, other: Scrubber) -> bool:
        """Tell whether both know the same secrets."""
        # Gathering walks through every row: not for one that was never given any.
        return other._secrets != () and self._values == other._values

    @functools.cached_property
    def _values(self) -> frozenset[str]:
        """The values; gathered with `prepare`, or when the first text comes."""
        # Of this and what follows from it a pool that opens with a thousand keys waits: no step too many.
        return frozenset(
            [value for secret in self._secrets if len(value := secret.reveal()) >= _SHORTEST_KNOWN]
        )

    @functools.cached_property
    def _bares(self) -> list[bytes]:
        """The bare form of each value, in their order."""
        lines = "\n".join(self._values)
        if lines.count("\n") >= len(self._values):
            lines = "\n".join(value.replace("\n", "") for value in self._values)
        return _bare_lines(lines) if self._values else []

    @functools.cached_property
    def _verbatim(self) -> tuple[str, ...]:
        """Values that are looked for as they are written, with few letters and digits in them."""
        if min(map(len, self._bares), default=_SHORTEST_BARE) >= _SHORTEST_BARE:
            return ()
        known = zip(self._bares, self._values, strict=True)
        few = {value for bare, value in known if len(bare) < _SHORTEST_BARE}
        return tuple(few.union(*(_spellings(value) for value in few if not value.isalnum())))

    @functools.cached_property
    def _heads(self) -> set[bytes]:
        """The first letters and digits of the values; those of `_verbatim` are too short to be found by them."""
        return {bare[:_SHORTEST_BARE] for bare in self._bares}

    @functools.cached_property
    def _by_head(self) -> dict[bytes, list[_Known]]:
        """The values by their heads; made when one of them is found."""
        known: dict[bytes, list[_Known]] = {}
        for each in zip(self._bares, self._values, strict=True):
            known.setdefault(each[0][:_SHORTEST_BARE], []).append(each)
        return known

    @functools.cached_property
    def _shortest(self) -> int:
        """The length from which a text can hold any of them."""
        lengths = [len(bare) for bare in self._bares if len(bare) >= _SHORTEST_BARE]
        return min([_HEAD, *lengths, *map(len, self._verbatim)])

    def prepare(self) -> None:
        """Gather the secrets now, not when the first text comes."""
        self._known_in("")

    def scrub(self, text: str) -> str:
        """Return `text` with every secret replaced by ``***``."""
        return _without(text, [*self._known_in(text), *_shapes_in(text, _SHAPE)])

    def scrub_known(self, text: str) -> str:
        """Return `text` without known secrets and what can only be one: for names, which may look like one."""
        if len(text) < self._shortest:  # as most names are, of which there may be thousands
            return text
        found = self._known_in(text)
        if _LONG_RUN.search(text):
            found += (place for place in _shapes_in(text, _SURELY_A_KEY) if _is_random(text[slice(*place)]))
        return _without(text, found)

    def _known_in(self, text: str) -> list[_Range]:
        found = [place for value in self._verbatim for place in _all_of(value, text)]
        if self._heads:
            for skipped in _between(("%" in text or "\\" in text, "\x1b" in text or "\x9b" in text)):
                found += self._bare_in(text, skipped)
        return found

    def _bare_in(self, text: str, skipped: re.Pattern[str] | None) -> Iterator[_Range]:
        """Yield where known secrets stand, whatever is between their letters and digits, in any case."""
        bare, heads = _bare(skipped.sub("", text) if skipped else text), self._heads
        starts = range(len(bare) - _SHORTEST_BARE + 1)
        found = [start for start in starts if bare[start : start + _SHORTEST_BARE] in heads]
        places = _telling_places(text, skipped) if found else []
        for start in found:
            for known in self._by_head[bare[start : start + _SHORTEST_BARE]]:
                if length := _shared(known[0], bare[start : start + len(known[0])]):
                    yield _spread(text, places[start], places[start + length - 1] + 1, known, length)


KNOWS_NOTHING: Final = Scrubber()


def visible(text: str) -> str:
    """Return a text without what steers a terminal or is not drawn: it may break up what looks like a key."""
    if text.isascii() and text.isprintable():
        return text
    text = re.sub(ESCAPE_SEQUENCES, "", text)
    return "".join(sign for sign in text if sign.isprintable() or sign.isspace())


def keys_among(words: Iterable[str]) -> Iterator[Secret]:
    """Yield what is surely a key among the words of a command, whoever's it is: random, and no path."""
    for word in words:
        option = _OPTION.match(word)
        value = word[option.end() :] if option else word
        if len(value) >= _SHORTEST_TYPED and not value.startswith(_PATH_BEGINS) and _is_random(value):
            yield Secret(value)


def _bare(text: str) -> bytes:
    """Return the ASCII letters and digits of a text in lower case: what escapes and invisible signs leave alone."""
    return text.encode("ascii", "ignore").translate(_LOWER, _NOT_TELLING)


def _bare_lines(text: str) -> list[bytes]:
    """Return the bare form of each line of a text."""
    return text.encode("ascii", "ignore").translate(_LOWER, _NOT_TELLING.replace(b"\n", b"")).split(b"\n")


def _telling_places(text: str, skipped: re.Pattern[str] | None) -> list[int]:
    """Return where in a text the characters of its bare form stand."""
    gone = {place for found in skipped.finditer(text) for place in range(*found.span())} if skipped else ()
    return [
        place for place, char in enumerate(text) if char.isascii() and char.isalnum() and place not in gone
    ]


def _spread(text: str, begin: int, end: int, known: _Known, length: int) -> _Range:
    """Return all that has to go with what was found: the signs around a whole secret, the word that a head begins."""
    whole, value = known
    if length < len(whole):
        return begin, _REST_OF_WORD.match(text, end).end()  # type: ignore[union-attr]  # it matches nothing, too
    begin_of_all = begin - _telling_places(value, None)[0]
    end_of_all = begin_of_all + len(value)
    is_whole = text[max(begin_of_all, 0) : end_of_all] == value
    return (begin_of_all, end_of_all) if is_whole else (begin, end)


def _shared(known: bytes, found: bytes) -> int:
    """Return how much of a known secret is there: all of it, or a head that tells it; else 0."""
    if found == known:
        return len(known)
    pairs = enumerate(zip(known, found, strict=False))
    length = next((place for place, (one, other) in pairs if one != other), min(len(known), len(found)))
    return length if length >= _HEAD else 0


def _all_of(value: str, text: str) -> Iterator[_Range]:
    start = text.find(value)
    while start >= 0:
        yield start, start + len(value)
        start = text.find(value, start + 1)


def _shapes_in(text: str, pattern: re.Pattern[str]) -> Iterator[_Range]:
    for found in pattern.finditer(text):
        yield (found.start() if found["keep"] is None else found.end("keep")), found.end()


def _is_random(word: str) -> bool:
    """Tell whether nobody would call anything that."""
    kinds = ["digit" if sign.isdigit() else "capital" if sign.isupper() else "other" for sign in word]
    changes = sum(one != other for one, other in pairwise(kinds))
    return changes >= max(_CHANGES_LEAST, len(word) * _CHANGES_PER_SIGN)


def _without(text: str, ranges: list[_Range]) -> str:
    """Return a text with a mask for these parts; for one where they overlap or touch."""
    if not ranges:
        return text
    kept: list[str] = []
    end = 0
    for start, stop in sorted(ranges):
        if start > end or not kept:
            kept += [text[end:start], MASK]
        end = max(end, stop)
    return "".join((*kept, text[end:]))


def _spellings(value: str) -> set[str]:
    """Return how else a value gets into texts: in a URL, in Python's quotes, in JSON."""
    import json
    from urllib.parse import quote

    return {quote(value, safe="", errors="replace"), repr(value)[1:-1], json.dumps(value)[1:-1]}
