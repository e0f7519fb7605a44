"""A crash in writing: the traceback without local variables, without secrets, small, for nobody but the user.

Nothing here may fail: who writes a report has already failed once.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from traceback import TracebackException
from typing import Final

from keydeck import __version__
from keydeck.dashboard.sharing import stamp, write_shared
from keydeck.engine.errors import Refused
from keydeck.engine.redact import Scrubber
from keydeck.present.text import clean, cut

CRASHES: Final = "crashes"
"""The folder of the reports, in the user's state folder."""
MOST_LINES: Final = 400
_FIRST_LINES: Final = 100
_SHORT_LINES: Final = 30
_LONGEST_LINE: Final = 500
_MOST_LINKS: Final = 20
_MOST_LEAVES: Final = 15
_DEEPEST: Final = 10
_DEEPEST_INDENT: Final = 80

_CAUSED: Final = "The above exception was the direct cause of the following exception:"
_DURING: Final = "During handling of the above exception, another exception occurred:"


def crash_report(error: BaseException, scrubber: Scrubber, *, now: float, version: str = __version__) -> str:
    """Return an exception with its causes as text: no values, no escape sequences, no secrets, no home's path."""
    from textual import __version__ as textual

    system = f"python {platform.python_version()}, textual {textual}, {sys.platform}"
    head = [f"keydeck {version} stopped at {_moment(now)}", system, ""]
    try:
        told = TracebackException.from_exception(error, compact=True)
        lines = [_harmless(line, scrubber) for line in _capped(list(_chain(told, scrubber)))]
    except Exception:  # noqa: BLE001 - an error that cannot be told must not take the way out with it
        lines = [f"{clean(type(error).__name__)} (its traceback cannot be told)"]
    return "\n".join((*head, *lines)) + "\n"


def short_report(report: str, path: Path | None) -> str:
    """Return the end of a report for the terminal, and where all of it is."""
    lines = report.splitlines()
    before = [f"… {len(lines) - _SHORT_LINES} lines before"] if len(lines) > _SHORT_LINES else []
    where = f"the report is in {path}" if path else "the report could not be written to a file"
    return "\n".join((*before, *lines[-_SHORT_LINES:], "", where))


def write_crash_report(folder: Path, text: str, now: float) -> Path | None:
    """Write a report, 0600, to ``crashes`` in the user's state folder; None where that cannot be done."""
    try:
        return write_shared(folder / CRASHES, f"crash-{stamp(now)}.txt", text)
    except (Refused, OSError, OverflowError, ValueError):
        return None


# --- the traceback -----------------------------------------------------------------------------------------


def _chain(told: TracebackException, scrubber: Scrubber, depth: int = 0) -> Iterator[str]:
    """Yield the lines of an exception after those of what led to it, oldest first."""
    links: list[tuple[TracebackException, str]] = []
    link: TracebackException | None = told
    joint = ""
    while link is not None and len(links) < _MOST_LINKS:
        links.append((link, joint))
        link, joint = _before(link)
    if link is not None:
        yield "(what came before is left out)"
    for item, said in reversed(links):
        yield from _one(item, scrubber, depth)
        if said:
            yield from ("", said, "")


def _before(told: TracebackException) -> tuple[TracebackException | None, str]:
    if told.__cause__ is not None:
        return told.__cause__, _CAUSED
    return (None, "") if told.__suppress_context__ else (told.__context__, _DURING)


def _one(told: TracebackException, scrubber: Scrubber, depth: int) -> Iterator[str]:
    if told.stack:
        yield "Traceback (most recent call last):"
    for frame in told.stack.format():
        yield from frame.splitlines()
    # Scrubbed in one piece, before it is broken into lines: a key may have several.
    yield from scrubber.scrub("".join(told.format_exception_only())).splitlines()
    leaves = told.exceptions or []
    if leaves and depth >= _DEEPEST:
        yield f"(its {len(leaves)} exceptions are left out)"
        return
    for number, leaf in enumerate(leaves[:_MOST_LEAVES], 1):
        yield f"  ---- {number} of {len(leaves)} ----"
        yield from (f"  {line}" for line in _chain(leaf, scrubber, depth + 1))


def _harmless(line: str, scrubber: Scrubber) -> str:
    """Return a line without secrets and without anything that steers a terminal; its indent stays."""
    said = line.lstrip(" ")
    indent = " " * min(len(line) - len(said), _DEEPEST_INDENT)
    # Scrubbed when clean, since what invisible characters broke up is whole then, and before it is cut.
    text = scrubber.scrub(clean(said))
    return indent + _without_home(cut(text, _LONGEST_LINE))


def _without_home(text: str) -> str:
    """Write the user's own folder as ``~``: reports get published, and its name is often a person's."""
    user = os.path.expanduser("~")
    return re.sub(rf"{re.escape(user)}(?![\w.-])", "~", text) if len(user) > 1 else text


def _capped(lines: list[str]) -> list[str]:
    """Keep the first lines and, since what matters stands at the end, most of the last."""
    left_out = len(lines) - MOST_LINES
    if left_out <= 0:
        return lines
    last = MOST_LINES - _FIRST_LINES
    return [*lines[:_FIRST_LINES], f"… {left_out} lines left out", *lines[-last:]]


def _moment(now: float) -> str:
    try:
        return f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return "an unknown time"
