"""Text with a meaning: a `Span` says what it is, and the screen's theme decides how that looks."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from keydeck.present.text import cut, fit, width


class Role(StrEnum):
    """What a piece of text is. Each has one rule in ``styles/base.tcss``."""

    PLAIN = "plain"
    STRONG = "strong"
    MUTED = "muted"
    FAINT = "faint"
    ACCENT = "accent"
    KEY = "key"
    READY = "ready"
    COOLING = "cooling"
    DEAD = "dead"
    PAUSED = "paused"
    ABSENT = "absent"
    BADGE = "badge"
    ALERT = "alert"


class Span(NamedTuple):
    """A piece of one line."""

    text: str
    role: Role = Role.PLAIN


Line = tuple[Span, ...]


def line_width(line: Line) -> int:
    """Return how many cells a line takes."""
    return sum(width(span.text) for span in line)


def fit_line(line: Line, cells: int, mark: str) -> Line:
    """Return the line in exactly `cells` cells: cut with `mark`, or padded."""
    kept: list[Span] = []
    left = cells
    for span in line:
        taken = width(span.text)
        if taken > left:
            kept.append(Span(cut(span.text, left, mark=mark), span.role))
            left -= width(kept[-1].text)
            break
        kept.append(span)
        left -= taken
    if left > 0:
        kept.append(Span(" " * left))
    return tuple(kept)


def trimmed(line: Line) -> Line:
    """Return the line without blanks at its end: what is not there need not be cut."""
    kept = list(line)
    while kept and not (text := kept[-1].text.rstrip(" ")):
        kept.pop()
    return (*kept[:-1], Span(text, kept[-1].role)) if kept else ()


def between(left: Line, right: Line, cells: int, mark: str) -> Line:
    """Return `left` and `right` at the two ends of a line; the left one gives way."""
    room = cells - line_width(right)
    if room < 1:
        return fit_line(right, cells, mark)
    return (*fit_line(left, room, mark), *right)


def cell(text: str, cells: int, role: Role, mark: str, *, right: bool = False) -> Span:
    """Return a table cell of a fixed width."""
    return Span(fit(text, cells, right=right, mark=mark), role)


def plain(line: Line) -> str:
    """Return the line's text."""
    return "".join(span.text for span in line)
