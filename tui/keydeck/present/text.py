"""Text for a terminal: hostile strings made harmless, widths measured, durations written.

Everything from a store passes through `clean` once, here, before anything draws it.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Final

from keydeck.engine.redact import ESCAPE_SEQUENCES

ELLIPSIS: Final = "…"
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400
_FOREVER: Final = 1e12
# Categories that draw nothing of their own or steer the terminal: controls, bidi and joiners, surrogates,
# private use, unassigned, line and paragraph separators.
_INERT: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn", "Me"})
_HOSTILE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Whole escape sequences go, not only their first byte: what they leave behind would read as noise.
_ESCAPES: Final = re.compile(ESCAPE_SEQUENCES)
# Beyond this nobody reads on, and cleaning would cost time on every draw.
LONGEST: Final = 2000
# Of a secret that nobody knows, a shorter head than this does not look like one.
_HEAD: Final = 20
_LONGEST_HEAD: Final = 300


@lru_cache(maxsize=8192)
def clean(text: str) -> str:
    """Return `text` on one line, without escape sequences, control, bidi or invisible characters, composed.

    White space of any kind becomes one blank; the result is at most 2,000 characters.
    """
    if text.isascii() and text.isprintable() and len(text) <= LONGEST:
        return text.strip()
    was_cut = len(text) > LONGEST * 2
    text = _ESCAPES.sub("", text[: LONGEST * 2])
    spaced = "".join(" " if char.isspace() else char for char in text)
    plain = "".join(char for char in spaced if unicodedata.category(char) not in _HOSTILE)
    whole = _few_marks(unicodedata.normalize("NFC", " ".join(plain.split())))
    if was_cut or len(whole) > LONGEST:
        # A secret that invisible characters hide from the scrubber may lie across the cut: its head goes, too.
        whole = whole[:LONGEST][:-_LONGEST_HEAD]
    return whole.rstrip()


def legible(text: str, *scrubs: Callable[[str], str]) -> str:
    """Return `text` clean, and without what any of `scrubs` takes out of it."""
    text = _scrubbed(text, scrubs)
    shown = clean(text)
    if shown == text:
        return shown
    is_cut = len(text) > LONGEST * 2 or len(shown) >= LONGEST
    # Once more: what is broken up by characters that are not drawn looks like a secret only now.
    shown = _scrubbed(shown, scrubs)
    return shown[:-_HEAD].rstrip() if is_cut else shown


def _scrubbed(text: str, scrubs: tuple[Callable[[str], str], ...]) -> str:
    for scrub in scrubs:
        text = scrub(text)
    return text


def _few_marks(text: str) -> str:
    """Drop combining marks that pile up: more than two on one letter reach into other lines."""
    kept: list[str] = []
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        if marks <= 2:
            kept.append(char)
    return "".join(kept)


def width(text: str) -> int:
    """Return how many terminal cells `text` takes."""
    if text.isascii():
        return len(text)
    return sum(map(_char_width, text))


@lru_cache(maxsize=4096)
def _char_width(char: str) -> int:
    if unicodedata.category(char) in _INERT:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, cells: int, *, mark: str = ELLIPSIS) -> str:
    """Return `text` in at most `cells` cells; what is missing shows as an ellipsis."""
    if width(text) <= cells:
        return text
    if cells < 1:
        return ""
    kept, used = [], width(mark)
    for char in text:
        used += _char_width(char)
        if used > cells:
            break
        kept.append(char)
    return "".join(kept).rstrip() + mark


def cut_head(text: str, cells: int, *, mark: str = ELLIPSIS) -> str:
    """Return the end of `text` in at most `cells` cells: of a path, the part that tells it from others."""
    return cut(text[::-1], cells, mark=mark[::-1])[::-1]


def fit(text: str, cells: int, *, right: bool = False, mark: str = ELLIPSIS) -> str:
    """Return `text` in exactly `cells` cells, padded left or right."""
    text = cut(text, cells, mark=mark)
    gap = " " * (cells - width(text))
    return gap + text if right else text + gap


def wrapped(text: str, cells: int) -> list[str]:
    """Return `text` in lines of at most `cells` cells, broken between words where it can be; at least one line."""
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if width(longer) <= cells:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while cells > 1 and width(line) > cells:
            head = _head(line, cells)
            lines.append(head)
            line = line[len(head) :]
    return [*lines, line]


def _head(text: str, cells: int) -> str:
    """Return as much of the beginning as fits, at least one character."""
    used = 0
    for place, char in enumerate(text):
        used += _char_width(char)
        if used > cells and place:
            return text[:place]
    return text


def duration(seconds: float) -> str:
    """Return a wait as people say it: ``58s``, ``41m07s``, ``22h10m``, ``3d04h``. Never below zero, rounded up."""
    whole = max(0, math.ceil(min(seconds, _FOREVER))) if seconds == seconds else 0  # noqa: PLR0124 - no number
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02d}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02d}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02d}h"


def clock_time(epoch_s: float, now: float) -> str:
    """Return a point in local time: the hour today, with its day within a week, with its date beyond."""
    try:
        then, today = datetime.fromtimestamp(epoch_s), datetime.fromtimestamp(now)
    except (ValueError, OverflowError, OSError):
        return "some day"
    if then.date() == today.date():
        return f"{then:%H:%M:%S}"
    return f"{then:%a %H:%M}" if abs(epoch_s - now) < 6 * _DAY else f"{then:%Y-%m-%d}"


def grouped(number: int) -> str:
    """Return a count in at most seven characters: with commas, or from a million on with a letter."""
    if number < 10**6:
        return f"{number:,}"
    for size, letter in ((10**12, "T"), (10**9, "G"), (10**6, "M")):
        if number >= size:
            return f"{number / size:.1f}{letter}" if number < size * 9999 else "many"
    return "many"
