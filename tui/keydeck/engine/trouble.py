"""What can be wrong with a store while picks go on, each as one line for a banner (design 3, rule 13)."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from keydeck.engine.cooldown_config import CooldownProblem


class TroubleKind(StrEnum):
    """The gravest first."""

    UNTOLD = "untold"
    """What happens here cannot be written into the journal and waits in memory."""
    UNREAD = "unread"
    """What others tell cannot be read."""
    ROWS_UNWRITTEN = "rows_unwritten"
    """auth.json cannot be written: hermes does not learn of benches and counts."""
    JOURNAL_GONE = "journal_gone"
    """The journal was removed or replaced; who writes next begins it again from memory."""
    NEWER_VERSION = "newer_version"
    """A newer Keydeck sums this home up."""
    OLD_SECRET = "old_secret"  # noqa: S105 - a kind of trouble
    """A stale program wrote an older secret back, and nobody here knows the newer one."""
    OLD_COPY = "old_copy"
    """auth.json was restored from a copy."""
    POLICY = "policy"
    """An entry of ``credential_pool.cooldown`` in config.yaml does not hold."""
    CLOCK_SET_BACK = "clock_set_back"
    """The clock was set back a little while ago."""
    GAP = "gap"
    """Part of the history is known as a sum only."""


_ORDER: Final = {kind: place for place, kind in enumerate(TroubleKind)}


class Trouble(NamedTuple):
    """One of them; the text says what it means and what helps. It may hold labels from the file."""

    kind: TroubleKind
    text: str

    def __str__(self) -> str:
        return self.text


def gravest_first(*found: Trouble | None) -> tuple[Trouble, ...]:
    """Return those that are some, in order."""
    return tuple(sorted((each for each in found if each), key=lambda each: _ORDER[each.kind]))


def untold(error: OSError, folder: Path) -> Trouble:
    """Return the trouble of a journal that cannot be written."""
    why, help_ = _explained(error, folder)
    return Trouble(TroubleKind.UNTOLD, f"{why}: benches and counts of this process wait in memory; {help_}")


def unread(error: OSError, folder: Path) -> Trouble:
    """Return the trouble of a journal that cannot be read."""
    why, help_ = _explained(error, folder)
    return Trouble(TroubleKind.UNREAD, f"{why}: what other programs report is not seen; {help_}")


def rows_unwritten(reason: str) -> Trouble:
    """Return the trouble of an auth.json that cannot be written."""
    text = f"auth.json cannot be written ({reason}): hermes does not see new benches and counts"
    return Trouble(TroubleKind.ROWS_UNWRITTEN, text)


JOURNAL_GONE: Final = Trouble(
    TroubleKind.JOURNAL_GONE,
    "the journal in keydeck/ was taken away: it begins again from memory with the next request",
)
NEWER_VERSION: Final = Trouble(
    TroubleKind.NEWER_VERSION, "a newer keydeck works on this home and sums up: update this one"
)
OLD_COPY: Final = Trouble(
    TroubleKind.OLD_COPY,
    "auth.json is an older copy: its keys and names are taken, counts and benches are kept",
)
GAP: Final = Trouble(
    TroubleKind.GAP, "part of the history is missing: counts and benches are exact all the same"
)


def old_secret(labels: tuple[str, ...]) -> Trouble:
    """Return the trouble of rows in which an older secret lies."""
    named = f"{labels[0]} and {len(labels) - 1} more" if len(labels) > 1 else labels[0]
    text = f"another program put an older key back into {named}: enter the newer one, or log in again"
    return Trouble(TroubleKind.OLD_SECRET, text)


def policy_trouble(problems: Sequence[CooldownProblem]) -> Trouble | None:
    """Return the trouble of a policy with entries that do not hold; the first is named, with what would be right."""
    if not problems:
        return None
    line, text = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Trouble(TroubleKind.POLICY, f"config.yaml line {line}: {text}{more}; the other cooldowns hold")


def clock_set_back(seconds: float) -> Trouble:
    """Return the trouble of a clock that goes behind."""
    minutes = max(round(seconds / 60), 1)
    text = f"the clock was set back {minutes} min: benches keep their length, times in the history jump"
    return Trouble(TroubleKind.CLOCK_SET_BACK, text)


def _explained(error: OSError, folder: Path) -> tuple[str, str]:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full", "free some space"
    if error.errno == errno.EROFS:
        return "the home is on a read-only file system", "mount it for writing"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{folder} is not ours", f"give it to uid {os.geteuid()}"
    return (error.strerror or type(error).__name__).lower(), f"look at {folder}"
