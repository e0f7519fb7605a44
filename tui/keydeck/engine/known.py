"""A row as it is known by now: what auth.json says, under what the journal tells of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from keydeck.engine.claims import Probe, is_answered
from keydeck.engine.cooldown import (
    Benches,
    Standing,
    is_limit_of,
    models_out,
    new_secret,
    standing,
    status_of,
)
from keydeck.engine.cooldown_policy import DEFAULT_POLICY, Policy
from keydeck.engine.credential import NOTHING, STATUS_FIELDS, Credential, Row, moved
from keydeck.engine.discovery import in_order
from keydeck.engine.events import START, Status
from keydeck.engine.ledger import Facts
from keydeck.engine.parking import FOR_GOOD, is_parking, pause_of
from keydeck.engine.secret import Secret
from keydeck.engine.state import filed_standing, standing_of

_CLEAN: Final = Status()
_OUT: Final = ("exhausted", "dead")

FactsOf = Callable[[str], Facts | None]


def known_rows(
    provider: str, rows: Sequence[Row], facts_of: FactsOf, policy: Policy = DEFAULT_POLICY
) -> tuple[Row, ...]:
    """Return a pool's rows as they are known, in the order that follows from it."""
    known = [as_known(row, facts_of(row.id), policy) if isinstance(row, Credential) else row for row in rows]
    alone = soles(known)
    for place, row in enumerate(known if alone else ()):
        if isinstance(row, Credential) and row.id in alone:
            known[place] = as_known(row, facts_of(row.id), policy, is_sole=True)
    return in_order(provider, known)


def as_known(
    row: Credential, facts: Facts | None, policy: Policy = DEFAULT_POLICY, *, is_sole: bool = False
) -> Credential:
    """Return one row under what is known of it.

    Args:
        row: as auth.json has it, or as it was known before.
        facts: what the journal tells of it; None: nothing.
        policy: how long failures bench.
        is_sole: whether no other row of its pool could ever serve, see `soles`.
    """
    if facts is None:
        return _as_filed(row, policy)
    if facts.label != row.label or facts.priority != row.priority:
        row = _as_told(row, facts)
    used, paused_at = max(facts.used, 0), facts.paused_at if facts.paused else None
    if facts.benches.strikes:
        benches = _of_present_secret(row, facts.benches)
        held = standing(benches, policy, row.provider, row.id, is_sole=is_sole)
        limits = _limits(row, benches, policy, is_sole=is_sole)
        status, probe = status_of(held), _unanswered(facts)
        return moved(row, *status, used, facts.paused, paused_at, held, limits, probe, facts.leases)
    if row.standing is None and row.last_status not in _OUT:
        before = (row.request_count, row.paused, row.paused_at, row.leases)
        if before == (used, facts.paused, paused_at, facts.leases):
            return row  # nearly all are as the file has them
        return row._replace(request_count=used, paused=facts.paused, paused_at=paused_at, leases=facts.leases)
    return moved(row, *_CLEAN, used, facts.paused, paused_at, None, NOTHING, None, facts.leases)


def _as_told(row: Credential, facts: Facts) -> Credential:
    """Return a row under the name and in the place that the journal tells."""
    told: dict[str, Any] = {}
    if facts.label not in (None, row.label):
        told["label"] = facts.label
    if facts.priority not in (None, row.priority) and row.provider != "anthropic":
        told["priority"] = facts.priority
    return row._replace(**told) if told else row


def _unanswered(facts: Facts) -> Probe | None:
    probe = facts.probe
    return probe if probe and not is_answered(probe, facts.benches.strikes) else None


def _as_filed(row: Credential, policy: Policy) -> Credential:
    """Return a row of which nothing is known but what is written in it, paused if that is what its bench means."""
    if row.last_status not in _OUT:
        return row
    status = Status(*(getattr(row, name) for name in STATUS_FIELDS))
    if is_parking(status):
        clean: dict[str, Any] = dict(zip(STATUS_FIELDS, _CLEAN, strict=True))
        return row._replace(paused=pause_of(status), paused_at=status.at, **clean)
    return row._replace(standing=filed_standing(status, policy, row.provider, row.id))


def _of_present_secret(row: Credential, benches: Benches) -> Benches:
    """Leave out what another key did (FS-06); a login's token changes all the time."""
    secret = row.live_secret if row.auth_type == "api_key" else None
    return benches if secret is None else new_secret(benches, secret.fingerprint)


def _limits(row: Credential, benches: Benches, policy: Policy, *, is_sole: bool) -> dict[str, Standing]:
    """Return how a row stands for the models that are worse off than others."""
    models = models_out(benches)
    if not models:
        return {}
    held = {
        model: standing(benches, policy, row.provider, row.id, is_sole=is_sole, model=model)
        for model in models
    }
    return {model: each for model, each in held.items() if is_limit_of(each, model)}


def soles(rows: Iterable[Row]) -> frozenset[str]:
    """Return the rows that hold the only secret of a pool that could ever serve; none where there are several.

    Whether it cools does not matter, or ends would depend on each other.
    """
    only: Secret | None = None
    found: list[str] = []
    for row in rows:
        if not isinstance(row, Credential) or not (secret := row.live_secret) or not could_serve(row):
            continue
        if only is not None and secret != only:
            return frozenset()
        only = secret
        found.append(row.id)
    return frozenset(found)


def could_serve(row: Credential) -> bool:
    """Tell whether time alone, or nothing, keeps a row from serving."""
    held = row.standing or standing_of(row)
    return not held.is_terminal and row.paused != FOR_GOOD


def used_last(rows: Iterable[Row], facts_of: FactsOf) -> str | None:
    """Return the row that was used last by anybody; None where none ever was."""
    used = ((facts.used_at, row.id) for row in rows if (facts := facts_of(row.id)))
    place, row_id = max(used, default=(START, None))
    return row_id if place > START else None


def groups(rows: Iterable[Row]) -> list[list[int]]:
    """Return the places of rows that hold the same secret: they are one credential (hermes-recovery G18)."""
    by_secret: dict[Secret, list[int]] = {}
    for place, row in enumerate(rows):
        if isinstance(row, Credential) and row.access_token:
            by_secret.setdefault(row.access_token, []).append(place)
    return [places for places in by_secret.values() if len(places) > 1]
