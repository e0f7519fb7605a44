"""The rows of auth.json as they should be: what is known of each, written into the fields that hermes reads.

Each carries the generation it was written with, so that a row from an older one is known when it comes back.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Final

from keydeck.engine.credential import STATUS_FIELDS
from keydeck.engine.events import Seen, Status
from keydeck.engine.ledger import Facts, Ledger
from keydeck.engine.parking import parking
from keydeck.engine.raw_rows import CLEAN, RawRow, raw_rows, seen_of
from keydeck.engine.state import end_of

STAMP_FIELD: Final = "agent_key_id"
"""A field that hermes keeps and uses for nous alone."""
STAMP: Final = "kd:"
UNSTAMPED: Final = frozenset({"nous"})
# hermes puts these in an order of its own at every load (hermes-pool 4.6).
ORDERED_BY_HERMES: Final = frozenset({"anthropic"})


def project(document: dict[str, Any], ledger: Ledger, *, spared: Container[str] = ()) -> bool:
    """Write into the rows what is known of them, take removed ones out, and tell whether anything differed.

    Args:
        document: auth.json, changed in place.
        ledger: what is known.
        spared: the pool keys whose order is left as it is (design 3, rule 10).
    """
    changed = _bury(document, ledger)
    for row in raw_rows(document):
        facts = ledger.rows.get(row.id)
        if facts is not None and (wanted := _wanted(row, facts, order=row.pool_key not in spared)):
            row.raw.update(wanted)
            changed = True
    return changed


def written_status(facts: Facts) -> Status:
    """Return the status that a row with these facts has in auth.json, whatever the time."""
    status = facts.bench.status if facts.bench else CLEAN
    # hermes leaves a dead row alone anyway. Of any other it learns one end: when both pause and bench are over.
    if facts.paused is None or status.status == "dead":
        return status
    return parking(facts.paused_at, max(facts.paused, end_of(status) or 0.0))


def unpark(document: Mapping[str, Any], ledger: Ledger) -> None:
    """Write into paused rows what is known of them besides: who acts on a row means that."""
    for row in raw_rows(document):
        facts = ledger.rows.get(row.id)
        if facts is not None and facts.paused is not None:
            row.raw.update(zip(STATUS_FIELDS, facts.bench.status if facts.bench else CLEAN, strict=True))


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


def _wanted(row: RawRow, facts: Facts, *, order: bool) -> dict[str, Any]:
    """Return the fields that say something else than is known."""
    seen, status = seen_of(row.raw), written_status(facts)
    wanted: dict[str, Any] = {}
    if seen.used != facts.used:
        wanted["request_count"] = facts.used
    if seen.status != status:
        wanted.update(zip(STATUS_FIELDS, status, strict=True))
    if facts.label not in (None, seen.label):
        wanted["label"] = facts.label
    if order and is_out_of_place(row, seen, facts):
        wanted["priority"] = facts.priority
    return wanted
