"""The rows of auth.json as they should be: what is known of each, written into the fields that hermes reads.

Each carries the generation it was written with, so that a row from an older one is known when it comes back.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Final, NamedTuple

from keydeck.engine.cooldown import CLEAR, Benches, Standing, filed_failure, new_secret, standing, status_of
from keydeck.engine.cooldown_policy import DEFAULT_POLICY, Policy
from keydeck.engine.credential import STATUS_FIELDS
from keydeck.engine.events import Seen, Status
from keydeck.engine.ledger import FRESH, Facts, Ledger
from keydeck.engine.parking import FOR_GOOD, parking
from keydeck.engine.raw_rows import CLEAN, RawRow, raw_rows, seen_of
from keydeck.engine.secret import fingerprint

STAMP_FIELD: Final = "agent_key_id"
"""A field that hermes keeps and uses for nous alone."""
STAMP: Final = "kd:"
UNSTAMPED: Final = frozenset({"nous"})
# hermes puts these in an order of its own at every load (hermes-pool 4.6).
ORDERED_BY_HERMES: Final = frozenset({"anthropic"})


class Terms(NamedTuple):
    """By which rules rows are written."""

    policy: Policy = DEFAULT_POLICY
    now: float = 0.0
    """Epoch seconds: what ended before is not written again into a row that is well."""


DEFAULT_TERMS: Final = Terms()


def project(
    document: dict[str, Any], ledger: Ledger, terms: Terms = DEFAULT_TERMS, *, spared: Container[str] = ()
) -> bool:
    """Write into the rows what is known of them, take removed ones out, and tell whether anything differed.

    Args:
        document: auth.json, changed in place.
        ledger: what is known.
        terms: how long failures bench, and what time it is.
        spared: the pool keys whose order is left as it is (design 3, rule 10).
    """
    changed = _bury(document, ledger)
    rows = list(raw_rows(document))
    alone = _soles(rows, ledger, terms.policy)
    for row in rows:
        facts = ledger.rows.get(row.id)
        if facts is None:
            continue
        status = _parked(facts, _standing(row, facts, terms.policy, is_sole=row.id in alone))
        if wanted := _wanted(row, facts, status, terms.now, order=row.pool_key not in spared):
            row.raw.update(wanted)
            changed = True
    return changed


def unpark(document: Mapping[str, Any], ledger: Ledger, terms: Terms) -> None:
    """Write into paused rows what is known of them besides: who acts on a row means that."""
    paused = {name: facts for name, facts in ledger.rows.items() if facts.paused is not None}
    rows = list(raw_rows(document)) if paused else []
    alone = _soles(rows, ledger, terms.policy)
    for row in rows:
        if facts := paused.get(row.id):
            status = status_of(_standing(row, facts, terms.policy, is_sole=row.id in alone))
            row.raw.update(zip(STATUS_FIELDS, status, strict=True))


def stamp(document: Mapping[str, Any], gen: int) -> None:
    """Write the generation into every row that can carry it."""
    for row in raw_rows(document):
        present = row.raw.get(STAMP_FIELD)
        ours = present is None or (isinstance(present, str) and present.startswith(STAMP))
        if ours and row.provider not in UNSTAMPED:
            row.raw[STAMP_FIELD] = f"{STAMP}{gen}"


def is_out_of_place(row: RawRow, seen: Seen, facts: Facts) -> bool:
    """Tell whether a row has another priority than is known, in a pool whose order is ours to keep."""
    return facts.priority not in (None, seen.priority) and row.provider not in ORDERED_BY_HERMES


def _bury(document: Mapping[str, Any], ledger: Ledger) -> bool:
    buried = [row for row in raw_rows(document) if row.id in ledger.tombs]
    for row in buried:
        for raws in document["credential_pool"].values():
            if isinstance(raws, list):
                raws[:] = [raw for raw in raws if raw is not row.raw]
    return bool(buried)


def _standing(row: RawRow, facts: Facts, policy: Policy, *, is_sole: bool) -> Standing:
    if not facts.benches.strikes:
        return CLEAR
    benches = _of_present_secret(row, facts.benches)
    return standing(benches, policy, row.provider, row.id, is_sole=is_sole)


def _parked(facts: Facts, held: Standing) -> Status:
    """Return what hermes should read of a row's health; pauses that are over are left out before.

    It leaves dead rows alone anyway. Of any other that is paused it learns when both pause and bench are over.
    """
    if facts.paused is None or held.is_terminal:
        return status_of(held)
    return parking(facts.paused_at, max(facts.paused, held.until or 0.0))


def _of_present_secret(row: RawRow, benches: Benches) -> Benches:
    """Leave out what another key did (FS-06); a borrowed key is not in the file, a login's changes all the time."""
    token = row.raw.get("access_token")
    if row.raw.get("auth_type", "api_key") != "api_key" or not isinstance(token, str) or not token:
        return benches
    return new_secret(benches, fingerprint(token))


def _soles(rows: list[RawRow], ledger: Ledger, policy: Policy) -> frozenset[str]:
    """Return the benched rows that have the only secret of their pool, as far as the file shows."""
    benched = {row.provider for row in rows if ledger.rows.get(row.id, FRESH).benches.strikes}
    secrets: dict[str, set[str]] = {}
    for row in rows if benched else ():
        if row.provider in benched and _could_serve(row, ledger.rows.get(row.id, FRESH), policy):
            token = row.raw.get("access_token")
            secrets.setdefault(row.provider, set()).add(token if isinstance(token, str) and token else row.id)
    return frozenset(row.id for row in rows if len(secrets.get(row.provider, ())) == 1)


def _could_serve(row: RawRow, facts: Facts, policy: Policy) -> bool:
    return facts.paused != FOR_GOOD and not _standing(row, facts, policy, is_sole=False).is_terminal


def _wanted(row: RawRow, facts: Facts, status: Status, now: float, *, order: bool) -> dict[str, Any]:
    """Return the fields that say something else than is known."""
    seen = seen_of(row.raw)
    is_over = status.until is not None and status.until <= now and not seen.status.status
    is_none = status == CLEAN and filed_failure(seen.status) is None  # a bench that says no time (FS-16)
    wanted: dict[str, Any] = {}
    if seen.used != facts.used:
        wanted["request_count"] = facts.used
    if seen.status != status and not (is_over or is_none):
        wanted.update(zip(STATUS_FIELDS, status, strict=True))
    if facts.label not in (None, seen.label):
        wanted["label"] = facts.label
    if order and is_out_of_place(row, seen, facts):
        wanted["priority"] = facts.priority
    return wanted
