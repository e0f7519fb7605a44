"""One thing that is wrong with a home. Texts may repeat labels of the store: whoever shows them cleans them."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Severity(StrEnum):
    """How much it matters: it does not work or leaks, somebody should act, good to know."""

    PROBLEM = "problem"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """The place in a list, the worst first."""
        return list(Severity).index(self)


class Kind(StrEnum):
    """What can be wrong; the words are stable, scripts may rely on them."""

    STORE_CORRUPT = "store_corrupt"
    STORE_TOO_NEW = "store_too_new"
    STORE_UNREADABLE = "store_unreadable"
    NO_STORE = "no_store"
    BAD_POOL = "bad_pool"
    CONFIG_BROKEN = "config_broken"
    UNKNOWN_STRATEGY = "unknown_strategy"
    COOLDOWN_ENTRY = "cooldown_entry"
    READ_ONLY = "read_only"
    MODE = "mode"
    OWNER = "owner"
    SYMLINK = "symlink"
    NETWORK_FS = "network_fs"
    NO_LOCKS = "no_locks"
    LOCK_HELD = "lock_held"
    LEFTOVER = "leftover"
    CORRUPT_COPY = "corrupt_copy"
    BACKUPS_MANY = "backups_many"
    BACKUP_OLD = "backup_old"
    BACKUP_SECRET = "backup_secret"  # noqa: S105 - a kind
    BAD_ROW = "bad_row"
    SAME_ID = "same_id"
    DUPLICATE = "duplicate"
    SHARED_SECRET = "shared_secret"  # noqa: S105 - a kind
    PAUSED_LONG = "paused_long"
    ENV_UNREADABLE = "env_unreadable"
    ENV_DIFFERS = "env_differs"
    ENV_GONE = "env_gone"
    ENV_UNUSABLE = "env_unusable"
    ENV_CHANGED = "env_changed"
    BORROWED_SECRET = "borrowed_secret"  # noqa: S105 - a kind
    JOURNAL_UNREADABLE = "journal_unreadable"
    JOURNAL_TORN = "journal_torn"
    JOURNAL_HEADLESS = "journal_headless"
    JOURNAL_GAP = "journal_gap"
    JOURNAL_NEWER = "journal_newer"
    JOURNAL_LARGE = "journal_large"
    COPIED = "copied"
    CHECKPOINT_BROKEN = "checkpoint_broken"
    CHECKPOINT_BEHIND = "checkpoint_behind"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong with what, and what to do about it: a line each."""

    kind: Kind
    severity: Severity
    subject: str
    """A file by its place in the home, a row as provider/id, a variable, or a pool."""
    what: str
    todo: str
    """A command to paste, or what to do in words."""
    paths: tuple[Path, ...] = ()
    """The files concerned, where `mend` can do it."""

    @property
    def is_safe_to_fix(self) -> bool:
        """Whether `mend` does it: nothing is lost by it."""
        return bool(self.paths) and self.kind in (Kind.MODE, Kind.LEFTOVER)


def quoted(word: str | Path) -> str:
    """Return a word as a shell takes it, in printable characters whatever it holds."""
    text = str(word)
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(_escaped(byte) for byte in _bytes(text)) + "'"


def _bytes(text: str) -> bytes:
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:  # half a character, which JSON can hold and no file name can
        return text.encode("utf-8", "replace")


def edited(path: Path) -> str:
    """Return the command that opens a file to be mended by hand."""
    return f'"${{EDITOR:-vi}}" {quoted(path)}'


def _escaped(byte: int) -> str:
    char = chr(byte)
    return char if 0x20 <= byte < 0x7F and char not in "'\\" else f"\\x{byte:02x}"
