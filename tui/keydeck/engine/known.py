"""A row as it is known by now: what auth.json says, under what the journal tells of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from keydeck.engine.credential import STATUS_FIELDS, Credential, Row, with_changes
from keydeck.engine.discovery import in_order
from keydeck.engine.events import Status
from keydeck.engine.ledger import Facts
from keydeck.engine.secret import Secret

_CLEAN: Final = Status()

FactsOf = Callable[[str], Facts | None]


def known_rows(provider: str, rows: Sequence[Row], facts_of: FactsOf) -> tuple[Row, ...]:
    """Return a pool's rows as they are known, in the order that follows from it."""
    known = [as_known(row, facts_of(row.id)) if isinstance(row, Credential) else row for row in rows]
    return in_order(provider, known)


def as_known(row: Credential, facts: Facts | None) -> Credential:
    """Return one row under what is known of it."""
    if facts is None:
        return row
    told: dict[str, Any] = {"request_count": max(facts.used, 0)}
    status = _status(row, facts)
    if status is not None:
        told.update(zip(STATUS_FIELDS, status, strict=True))
    if facts.label is not None:
        told["label"] = facts.label
    if facts.priority is not None and row.provider != "anthropic":
        told["priority"] = facts.priority
    changed = {name: value for name, value in told.items() if getattr(row, name) != value}
    return with_changes(row, changed) if changed else row


def groups(rows: Iterable[Row]) -> list[list[int]]:
    """Return the places of rows that hold the same secret: they are one credential (hermes-recovery G18)."""
    by_secret: dict[Secret, list[int]] = {}
    for place, row in enumerate(rows):
        if isinstance(row, Credential) and row.access_token:
            by_secret.setdefault(row.access_token, []).append(place)
    return [places for places in by_secret.values() if len(places) > 1]


def _status(row: Credential, facts: Facts) -> Status | None:
    """Return the status that holds; None where the row's own says as much."""
    bench = facts.bench
    if bench is None:
        return _CLEAN if row.last_status in ("exhausted", "dead") else None
    # A new key is not to blame for what the old one did (FS-06); a login's token changes all the time.
    if (
        bench.key
        and row.auth_type == "api_key"
        and row.live_secret
        and row.live_secret.fingerprint != bench.key
    ):
        return _CLEAN
    return bench.status
