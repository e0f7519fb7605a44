"""Rows that cannot be read, that go by one id, that hold one secret, or that somebody may have forgotten."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from keydeck.engine.credential import Credential
from keydeck.engine.doctor.case import Case
from keydeck.engine.doctor.finding import Finding, Kind, Severity, edited
from keydeck.engine.raw_rows import RawRow, raw_rows
from keydeck.engine.secret import Secret

DAY_S: Final = 86400.0
LONG_PAUSE_S: Final = 7 * DAY_S
"""A key that has been paused for good for so long may be forgotten."""
FAR_END_S: Final = 30 * DAY_S
"""So may one whose pause ends no sooner."""


def bad_rows(case: Case) -> Iterator[Finding]:
    """Find rows that cannot be read; hermes stops at the first of them (hermes-pool 8.2)."""
    told_elsewhere = {f"the id {row_id} is used twice" for row_id in _by_id(case)}
    for pool in case.snapshot.pools:
        for row in pool.rows:
            if isinstance(row, Credential) or row.reason in told_elsewhere:
                continue
            yield Finding(
                kind=Kind.BAD_ROW,
                severity=Severity.PROBLEM,
                subject=case.row_subject(row),
                what=f"the row {case.row_name(row)} cannot be used: {case.name(row.reason)}",
                todo=edited(case.real),
            )


def same_ids(case: Case) -> Iterator[Finding]:
    """Find rows that go by one id: counts, cooldowns and acts of one hit the other."""
    for row_id, rows in _by_id(case).items():
        if len(rows) > 1:
            shown = case.name(row_id)
            where = ", ".join(dict.fromkeys(case.name(row.provider) for row in rows))
            yield Finding(
                kind=Kind.SAME_ID,
                severity=Severity.PROBLEM,
                subject=shown,
                what=f"{len(rows)} rows have the id {shown} ({where}): what befalls one befalls the other",
                todo=f"give one of them another id, six of 0-9 and a-f: {edited(case.real)}",
            )


def _by_id(case: Case) -> dict[str, list[RawRow]]:
    found: dict[str, list[RawRow]] = {}
    for row in raw_rows(case.document or {}):
        found.setdefault(row.id, []).append(row)
    return found


def same_secrets(case: Case) -> Iterator[Finding]:
    """Find rows that hold the secret of another, in their pool or in two pools."""
    first: dict[Secret, Credential] = {}
    for pool in case.snapshot.pools:
        for row in pool.rows:
            if not isinstance(row, Credential) or not row.access_token:
                continue
            elder = first.setdefault(row.access_token, row)
            if elder is not row and not _by_design(elder, row):
                yield _same(case, elder, row)


def _same(case: Case, elder: Credential, row: Credential) -> Finding:
    within = elder.provider == row.provider
    outcome = "they count as one" if within else "a cooldown in one pool is not known in the other"
    return Finding(
        kind=Kind.DUPLICATE if within else Kind.SHARED_SECRET,
        severity=Severity.WARNING,
        subject=case.row_subject(row),
        what=f"{case.row_name(row)} holds the same key as {case.row_name(elder)}: {outcome}",
        todo=case.command("auth", "remove", row.provider, row.id),
    )


def _by_design(elder: Credential, row: Credential) -> bool:
    """Tell whether two pools read one variable, as some providers' do."""
    return elder.provider != row.provider and elder.source == row.source and row.source.startswith("env:")


def long_pauses(case: Case) -> Iterator[Finding]:
    """Find rows that were taken out long ago, or for long: that may be as somebody wants it."""
    for pool in case.snapshot.pools:
        for row in pool.rows:
            if not isinstance(row, Credential) or row.inherited or not (said := _pause(row, case.now)):
                continue
            yield Finding(
                kind=Kind.PAUSED_LONG,
                severity=Severity.NOTE,
                subject=case.row_subject(row),
                what=f"{case.row_name(row)} is {said}",
                todo=case.command("auth", "resume", row.provider, row.id),
            )


def _pause(row: Credential, now: float) -> str | None:
    """Return in words how long a row has been paused or will be; None where that is not long."""
    if row.paused is None or row.paused <= now:
        return None
    if math.isfinite(row.paused):
        left_s = row.paused - now
        return f"paused for another {left_s / DAY_S:.0f} days" if left_s >= FAR_END_S else None
    if not row.paused_at:  # its journal is gone, and the row does not say
        return "paused for good, since nobody knows when"
    ago_s = now - row.paused_at
    return f"paused for good, for {ago_s / DAY_S:.0f} days by now" if ago_s >= LONG_PAUSE_S else None
