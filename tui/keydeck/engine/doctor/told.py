"""Whether the journal and its checkpoints can be read, belong together, and are complete (design 3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from keydeck.engine.checkpoint import SECTION, checkpoint_path, read_checkpoint, read_section
from keydeck.engine.doctor.case import Case
from keydeck.engine.doctor.finding import Finding, Kind, Severity, quoted
from keydeck.engine.events import Header, Position, decode
from keydeck.engine.files import read_file
from keydeck.engine.journal import SEGMENT_BYTES, Journal
from keydeck.engine.ledger import READER, Ledger

MUCH_BYTES: Final = 1 << 20
"""So much journal after the last checkpoint is more than writers leave who can write."""
_JOURNAL: Final = "keydeck"


@dataclass(frozen=True, slots=True)
class _Segment:
    """One segment as it was read."""

    number: int
    size: int
    torn: int
    header: Header | None


# --- the journal -------------------------------------------------------------------------------------------


def journal(case: Case) -> Iterator[Finding]:
    """Find segments that cannot be read, are missing, torn, newer than we are, or too many."""
    if case.stat(case.folder) is None:
        return
    log = Journal(case.disk, case.folder)
    try:
        numbers = log.segments()
    except OSError as error:
        yield _unreadable(case, case.called(case.folder), error)
        return
    segments: list[_Segment] = []
    for number in numbers:
        try:
            segments.append(_read(case, log, number))
        except OSError as error:
            yield _unreadable(case, case.called(log.path(number)), error)
    yield from _torn(segments)
    yield from _headless(case, log, segments)
    yield from _missing(case, numbers)
    yield from _newer(segments)
    yield from _large(case, segments)


def _read(case: Case, log: Journal, number: int) -> _Segment:
    data, _ = read_file(case.disk, log.path(number))
    lines = [line for line in data[: data.rfind(b"\n") + 1].split(b"\n") if line]
    first = decode(lines[0]) if lines else None
    header = first.event if first and isinstance(first.event, Header) else None
    return _Segment(number, len(data), sum(not _is_whole(line) for line in lines), header)


def _is_whole(line: bytes) -> bool:
    """Tell whether a line is a record; there may be a million, so only what looks odd is made sense of."""
    looks_whole = line.startswith(b'{"e":') and line.endswith(b"}") and b"\0" not in line
    return looks_whole or decode(line) is not None


def _unreadable(case: Case, name: str, error: OSError) -> Finding:
    said = (error.strerror or type(error).__name__).lower()
    return Finding(
        kind=Kind.JOURNAL_UNREADABLE,
        severity=Severity.PROBLEM,
        subject=name,
        what=f"{name} cannot be read: {said}; counts and cooldowns told there are not known here",
        todo=f"ls -l {quoted(case.folder)}",
    )


def _torn(segments: list[_Segment]) -> Iterator[Finding]:
    torn = sum(segment.torn for segment in segments)
    if torn:
        yield Finding(
            kind=Kind.JOURNAL_TORN,
            severity=Severity.NOTE,
            subject=_JOURNAL,
            what=f"{_number(torn, 'line')} of the journal {'is' if torn == 1 else 'are'} torn: a writer was killed",
            todo="nothing: each stood for the last tenth of a second of one process, at most",
        )


def _headless(case: Case, log: Journal, segments: list[_Segment]) -> Iterator[Finding]:
    for segment in segments:
        if segment.header is None and segment.size:
            name = case.called(log.path(segment.number))
            yield Finding(
                kind=Kind.JOURNAL_HEADLESS,
                severity=Severity.NOTE,
                subject=name,
                what=f"{name} does not say whose journal it is: its first line is lost",
                todo="nothing: the checkpoints say it, too",
            )


def _missing(case: Case, numbers: list[int]) -> Iterator[Finding]:
    missing = sorted(set(range(numbers[0], numbers[-1])) - set(numbers)) if numbers else []
    base = _base(case)
    summed_up = base.position[0] if base else 0
    if summed_up and (not numbers or not numbers[0] <= summed_up <= numbers[-1]):
        missing = sorted({*missing, summed_up})
    if missing:
        named = ", ".join(str(number) for number in missing[:5]) + (" …" if len(missing) > 5 else "")
        yield Finding(
            kind=Kind.JOURNAL_GAP,
            severity=Severity.WARNING,
            subject=_JOURNAL,
            what=f"{_number(len(missing), 'segment')} of the journal {'is' if len(missing) == 1 else 'are'} "
            f"missing ({named}): counts and cooldowns hold, what happened then is not known in detail",
            todo=f"ls -l {quoted(case.folder)}",
        )


def _newer(segments: list[_Segment]) -> Iterator[Finding]:
    newest = max((segment.header.min_reader for segment in segments if segment.header), default=0)
    if newest > READER:
        yield Finding(
            kind=Kind.JOURNAL_NEWER,
            severity=Severity.WARNING,
            subject=_JOURNAL,
            what="a newer Keydeck writes this journal: this one understands part of it and sums up none",
            todo="pip install --upgrade keydeck",
        )


def _large(case: Case, segments: list[_Segment]) -> Iterator[Finding]:
    size, kept = sum(segment.size for segment in segments), case.config.history_bytes
    if size > kept + 2 * SEGMENT_BYTES:
        yield Finding(
            kind=Kind.JOURNAL_LARGE,
            severity=Severity.WARNING,
            subject=_JOURNAL,
            what=f"the journal has {size >> 20} MiB, and config.yaml keeps {kept >> 20} MiB: nobody could shorten it",
            todo=f"ls -ld {quoted(case.folder)}",
        )


# --- the checkpoints ---------------------------------------------------------------------------------------


def checkpoints(case: Case) -> Iterator[Finding]:
    """Find checkpoints that cannot be understood, that are another home's, or that are far behind."""
    yield from _broken(case)
    yield from _copied(case)
    yield from _behind(case)


def _filed(case: Case) -> Ledger | None:
    return read_section(case.document) if case.document is not None else None


def _beside(case: Case) -> Ledger | None:
    found = read_checkpoint(case.disk, case.folder)
    return found.ledger if found else None


def _base(case: Case) -> Ledger | None:
    """Return the checkpoint that is further on."""
    bases = [base for base in (_filed(case), _beside(case)) if base]
    return max(bases, key=lambda base: base.position, default=None)


def _broken(case: Case) -> Iterator[Finding]:
    path = checkpoint_path(case.folder)
    broken = []
    if case.stat(path) is not None and _beside(case) is None:
        broken.append(case.called(path))
    if case.document is not None and SECTION in case.document and _filed(case) is None:
        broken.append(f"the section {SECTION} of auth.json")
    for name in broken:
        yield Finding(
            kind=Kind.CHECKPOINT_BROKEN,
            severity=Severity.WARNING,
            subject=name,
            what=f"{name} cannot be understood: it is passed over",
            todo="nothing: it is written anew with the next change",
        )


def _copied(case: Case) -> Iterator[Finding]:
    """Find an auth.json that belongs to another home than the journal beside it."""
    stores = _stores(case)
    if len(set(stores.values())) > 1:
        names = " and ".join(stores)
        yield Finding(
            kind=Kind.COPIED,
            severity=Severity.WARNING,
            subject=_JOURNAL,
            what=f"{names} are of different homes: one was copied; the rows of auth.json count, as they are",
            todo=f"nothing, if you meant it; else put back the right file: ls -l {quoted(case.folder / 'backups')}",
        )


def _stores(case: Case) -> dict[str, str]:
    """Return whose home each part says it is of."""
    filed, beside, log = _filed(case), _beside(case), Journal(case.disk, case.folder)
    stores = {
        "auth.json": filed.store if filed else None,
        "the checkpoint": beside.store if beside else None,
    }
    try:
        newest = log.segments()[-1:]
        header = _read(case, log, newest[0]).header if newest else None
    except OSError:
        header = None
    stores["the journal"] = header.store if header else None
    return {name: store for name, store in stores.items() if store}


def _behind(case: Case) -> Iterator[Finding]:
    base = _base(case)
    behind = _bytes_after(case, base.position if base else (0, 0))
    if behind > MUCH_BYTES:
        yield Finding(
            kind=Kind.CHECKPOINT_BEHIND,
            severity=Severity.WARNING,
            subject=_JOURNAL,
            what=f"{behind >> 20} MiB of journal are not summed up: opening is slow, and hermes sees old rows",
            todo="the next agent that may write here does it; see that one may: "
            f"ls -ld {quoted(case.real.parent)} {quoted(case.folder)}",
        )


def _bytes_after(case: Case, position: Position) -> int:
    log, total = Journal(case.disk, case.folder), 0
    for number in _numbers(log):
        status = case.stat(log.path(number))
        if status is not None and number >= position[0]:
            total += status.st_size - (position[1] if number == position[0] else 0)
    return total


def _numbers(log: Journal) -> list[int]:
    try:
        return log.segments()
    except OSError:
        return []


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
