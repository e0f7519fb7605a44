"""What was left lying about: temporary files of killed writers, copies, backups (hermes-pool 1.1, 1.8, 1.9)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from keydeck.engine.backups import KEEP, backup_dir
from keydeck.engine.doctor.case import Case
from keydeck.engine.doctor.finding import Finding, Kind, Severity, quoted
from keydeck.engine.raw_rows import raw_rows
from keydeck.engine.secret import fingerprint

LEFT_AFTER_S: Final = 60.0
"""A temporary file older than this was left; no write takes so long."""
OLD_S: Final = 30 * 86400.0
_SETTLED_S: Final = 86400.0
# What hermes and we name the temporary file of an atomic write: the file, the writer, and chance. Of .env and
# config.yaml hermes names no writer.
_TEMPORARY: Final = re.compile(
    r".+\.tmp\.(?P<writer>\d{1,10})\.[0-9a-f]{8,}"
    r"|\.{1,2}(?:auth|env|config|anthropic_oauth|nous_auth)_[a-z0-9_]{8}\.tmp"
)
_BACKUP: Final = re.compile(r"(.+)-\d{8}T\d{6}\.\d{6}Z(?:-\d+)?(\..+)?")
_CORRUPT: Final = re.compile(r"auth\.json\.corrupt|config\.yaml\.corrupt\..*")


# --- leftovers ---------------------------------------------------------------------------------------------


def leftovers(case: Case) -> Iterator[Finding]:
    """Find temporary files of writers that were killed: they may hold every secret, and nobody removes them."""
    beside = (case.home.path, case.real.parent, case.home.root / "shared")
    folders = (*beside, case.folder, backup_dir(case.home.auth_path))
    for folder in dict.fromkeys(folders):
        for name in case.names(folder):
            path = folder / name
            if (found := _TEMPORARY.fullmatch(name)) and _was_left(case, path, found["writer"]):
                yield Finding(
                    kind=Kind.LEFTOVER,
                    severity=Severity.PROBLEM,
                    subject=case.called(path),
                    what=f"{case.called(path)} was left by a writer that was killed; it may hold keys",
                    todo=f"rm {quoted(path)}",
                    paths=(path,),
                )


def _was_left(case: Case, path: Path, writer: str | None) -> bool:
    status = case.stat(path)
    if status is None or os.path.islink(path) or not os.path.isfile(path):
        return False
    is_orphan = writer is not None and not _is_alive(int(writer))
    return is_orphan or case.now - status.st_mtime > LEFT_AFTER_S


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # somebody else's
    return True


def corrupt_copies(case: Case) -> Iterator[Finding]:
    """Find what hermes set aside because it could not read it: nobody looks at it again, and it may hold keys."""
    for name in case.names(case.home.path):
        path = case.home.path / name
        if _CORRUPT.fullmatch(name) and (status := case.stat(path)):
            yield Finding(
                kind=Kind.CORRUPT_COPY,
                severity=Severity.WARNING,
                subject=name,
                what=f"{name} was set aside by hermes on {_day(status.st_mtime)} because it could not be read; "
                "it may hold keys",
                todo=f"rm {quoted(path)}",
            )


def _day(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d}"


# --- backups -----------------------------------------------------------------------------------------------


def backups(case: Case) -> Iterator[Finding]:
    """Find backups that are many, that are old, or that hold keys which the store has no more."""
    folder = backup_dir(case.home.auth_path)
    by_file: dict[str, list[Path]] = {}
    for name in case.names(folder):
        if found := _BACKUP.fullmatch(name):
            by_file.setdefault(f"{found[1]}{found[2] or ''}", []).append(folder / name)
    for file, copies in by_file.items():
        yield from _too_many(case, folder, file, copies)
        yield from _old(case, copies)
    yield from _gone_secrets(case, [copy for copies in by_file.values() for copy in copies])


def _too_many(case: Case, folder: Path, file: str, copies: list[Path]) -> Iterator[Finding]:
    if len(copies) > KEEP:
        surplus = " ".join(quoted(copy) for copy in copies[:-KEEP])
        yield Finding(
            kind=Kind.BACKUPS_MANY,
            severity=Severity.WARNING,
            subject=case.called(folder),
            what=f"there are {len(copies)} backups of {file}; {KEEP} are kept",
            todo=f"rm {surplus}",
        )


def _old(case: Case, copies: list[Path]) -> Iterator[Finding]:
    for copy in copies:
        status = case.stat(copy)
        if status is not None and case.now - status.st_mtime > OLD_S:
            days = int((case.now - status.st_mtime) // 86400)
            yield Finding(
                kind=Kind.BACKUP_OLD,
                severity=Severity.NOTE,
                subject=case.called(copy),
                what=f"{case.called(copy)} is {days} days old",
                todo=f"rm {quoted(copy)}",
            )


def _gone_secrets(case: Case, copies: list[Path]) -> Iterator[Finding]:
    """Find keys in copies that are no longer needed to undo something, and that the store has no more."""
    if case.document is None:
        return
    present = _fingerprints(case.document)
    for copy in copies:
        status, data = case.stat(copy), case.read(copy)
        if copy.suffix != ".json" or status is None or data is None:
            continue
        if case.now - status.st_mtime > _SETTLED_S and (gone := _fingerprints_in(data) - present):
            count = f"{len(gone)} keys" if len(gone) > 1 else "a key"
            yield Finding(
                kind=Kind.BACKUP_SECRET,
                severity=Severity.NOTE,
                subject=case.called(copy),
                what=f"{case.called(copy)} holds {count} that auth.json has no more",
                todo=f"rm {quoted(copy)}",
            )


def _fingerprints_in(data: bytes) -> set[str]:
    try:
        document = json.loads(data)
    except ValueError:
        return set()
    return _fingerprints(document) if isinstance(document, dict) else set()


def _fingerprints(document: Mapping[str, Any]) -> set[str]:
    """Return the fingerprints of all keys in the rows of a document; tokens of logins change all the time."""
    values = (
        row.raw.get("access_token") for row in raw_rows(document) if row.raw.get("auth_type") != "oauth"
    )
    return {fingerprint(value) for value in values if isinstance(value, str) and value}
