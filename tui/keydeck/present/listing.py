"""Pools as plain text and as JSON, for pipes and scripts.

JSON is built from the fields named here and from nothing else (demand 4, "JSON / status").
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

from keydeck.engine.cooldown import ACCOUNT, ROW, Evidence, Standing
from keydeck.engine.credential import Credential, VanishedRow
from keydeck.engine.discovery import pool_name
from keydeck.engine.forecast import forecast
from keydeck.engine.redact import Scrubber
from keydeck.engine.snapshot import HomeSnapshot, PoolSnapshot
from keydeck.engine.state import HealthKind, PoolState, RowState
from keydeck.present.evidence import (
    flight_text,
    forecast_text,
    in_flight,
    scope_text,
    streak_text,
    whose_word,
)
from keydeck.present.glyphs import ASCII
from keydeck.present.rows import Context, label_text, said_text, source_text, why_text
from keydeck.present.text import clean, clock_time, duration, fit, width

_WORDS: Final = {
    HealthKind.READY: "ready",
    HealthKind.PROBING: "probing",
    HealthKind.COOLING: "cooling",
    HealthKind.NEEDS_LOGIN: "log in again",
    HealthKind.PAUSED: "paused",
    HealthKind.NO_SECRET: "no secret",
    HealthKind.BAD_ROW: "bad row",
}
FORECAST_STEPS: Final = 20
"""So many steps of a pool's forecast are told."""


def listing(snapshot: HomeSnapshot, now: float) -> dict[str, Any]:
    """Return what ``keydeck auth list --json`` prints; times are epoch seconds."""
    return {
        "home": str(snapshot.home.path),
        "profile": snapshot.home.profile,
        "pools": [_pool(snapshot, pool, pool.at(now), now) for pool in snapshot.pools],
    }


def _pool(snapshot: HomeSnapshot, pool: PoolSnapshot, state: PoolState, now: float) -> dict[str, Any]:
    following, twins, scrub = pool.next_pick(state), pool.twins(), snapshot.scrubber.scrub_known
    return {
        "provider": _told(pool.provider, scrub),
        "strategy": _told(pool.strategy, scrub),
        "ready": len(state.usable),
        "total": len(state.rows),
        "next_ready_at": state.next_ready_at,
        "probing": state.how_many(HealthKind.PROBING),
        "in_flight": sum(in_flight(row, now) for row in state.rows),
        "forecast": [step._asdict() for step in forecast(state, now)[:FORECAST_STEPS]],
        "credentials": [_credential(snapshot, row, following, twins, now) for row in state.rows],
    }


def _credential(
    snapshot: HomeSnapshot, state: RowState, following: str | None, twins: Mapping[str, str], now: float
) -> dict[str, Any]:
    row, health = state.row, state.health
    vanished = row if isinstance(row, VanishedRow) else None
    scrub, scrub_name = snapshot.scrubber.scrub, snapshot.scrubber.scrub_known
    if not isinstance(row, Credential):
        row = Credential(
            id=row.id,
            provider=row.provider,
            label=row.label,
            auth_type="",
            source="",
            inherited=row.inherited,
            last_error_code=vanished.status.code if vanished else None,
            last_error_message=vanished.status.message or vanished.status.reason if vanished else None,
        )
    return {
        "id": _told(row.id, scrub_name),
        "label": _told(row.label, scrub_name),
        "auth_type": _told(row.auth_type, scrub_name),
        "source": _told(row.source, scrub_name),
        "stored": row.stored,
        "inherited": row.inherited,
        "priority": row.priority,
        "base_url": _told(row.base_url, scrub) if row.base_url else None,
        "health": health.kind.value,
        "status_code": row.last_error_code,
        "reason": _told(row.last_error_reason, scrub) or _told(health.why, scrub_name),
        "message": _told(row.last_error_message, scrub) or None,
        "since": health.since,
        "until": health.until,
        **_why_out(health.standing, health.evidence, scrub_name),
        "in_flight": in_flight(state, now),
        "limits": [
            {
                "model": _told(model, scrub_name),
                "status_code": held.strike.failure.code if held.strike else None,
                "until": held.until,
                **_why_out(held, held.evidence, scrub_name),
            }
            for model, held in state.limits(now).items()
        ],
        "request_count": row.request_count,
        "token_expires_at": state.token_expires_at,
        "duplicate_of": _told(twins.get(row.id), scrub_name),
        "next_pick": row.id == following,
        "fingerprint": _told(row.fingerprint, scrub_name),
        **({"vanished_at": vanished.vanished_at} if vanished else {}),
    }


def _why_out(held: Standing, evidence: Evidence | None, scrub: Callable[[str], str]) -> dict[str, Any]:
    """Return what is known of what keeps a row out."""
    failure = held.strike.failure if held.strike else None
    return {
        "cause": _told(failure.kind, scrub) if failure else None,
        "evidence": evidence.value if evidence else None,
        "streak": held.streak,
        "scope": failure.scope if failure and failure.scope in (ROW, ACCOUNT) else None,
        "told_until": failure.told if failure else None,
        "config_line": held.rule.line or None if held.rule else None,
    }


def _told(text: str | None, scrub: Callable[[str], str]) -> str | None:
    """Return a text as it is but for secrets; clean only where what it hides among signs would not be found else."""
    if text is None:
        return None
    once = scrub(text)
    shown = clean(once)
    again = once if shown == once else scrub(shown)
    return once if again in (once, shown) else again


def list_lines(snapshot: HomeSnapshot, now: float) -> list[str]:
    """Return what ``keydeck auth list`` prints: a line a pool, a line a credential, and why each is out."""
    context = Context(ASCII, snapshot.scrubber)
    lines: list[str] = []
    for pool in snapshot.pools:
        state = pool.at(now)
        name, strategy = label_text(pool.provider, snapshot.scrubber), _strategy(pool, snapshot.scrubber)
        lines += [f"{name}  {pool_sentence(state, now)}  {strategy}"]
        lines += _table(pool, state, now, context)
        lines.append("")
    return [*lines, *bad_pool_lines(snapshot)]


def bad_pool_lines(snapshot: HomeSnapshot) -> list[str]:
    """Return a line for each pool that is missing from the list, and why."""
    scrubber, bad = snapshot.scrubber, snapshot.bad_pools
    return [
        f"pool {label_text(name, scrubber)} cannot be shown: {said_text(why, scrubber)}"
        for name, why in bad.items()
    ]


def _table(pool: PoolSnapshot, state: PoolState, now: float, context: Context) -> list[str]:
    following, twins = pool.next_pick(state), pool.twins()
    labels = {row.id: label_text(row.row.label, context.scrubber) for row in state.rows}
    widest = min(max((width(label) for label in labels.values()), default=0), 36)
    cell = functools.partial(fit, mark=context.glyphs.ellipsis)
    lines = []
    for place, row in enumerate(state.rows, 1):
        mark = "->" if row.id == following else "  "
        kind, source, count = "", "", 0
        if isinstance(row.row, Credential):
            kind = (
                "key" if row.row.auth_type == "api_key" else label_text(row.row.auth_type, context.scrubber)
            )
            source, count = source_text(row.row, context.scrubber), row.row.request_count
        said = _situation(row, now, context) + _badges(row, labels, twins)
        shown_id = cell(label_text(row.id, context.scrubber), 8)
        lines.append(
            f"  {mark} {place:>2}  {shown_id}  {cell(labels[row.id], widest)}  {cell(kind, 5)}  "
            f"{cell(source, 12)}  {count:>7}  {said}"
        )
    return lines


def _situation(row: RowState, now: float, context: Context) -> str:
    health = row.health
    parts = [_WORDS[health.kind]]
    if health.until is not None:
        parts.append(f"until {clock_time(health.until, now)} ({duration(health.until - now)} left)")
    if health.since is not None and not health.is_usable:
        parts.append(f"since {clock_time(health.since, now)}")
    known = (streak_text(health.streak), whose_word(health), scope_text(health.scope))
    parts += [part for part in (*known, flight_text(in_flight(row, now))) if part]
    for model, held in row.limits(now).items():
        until = f" until {clock_time(held.until, now)}" if held.until is not None else ""
        parts.append(f"not for {label_text(model, context.scrubber)}{until}")
    said = ", ".join(parts)
    why = why_text(row, context)
    return f"{said}: {why}" if why else said


def _badges(row: RowState, labels: Mapping[str, str], twins: Mapping[str, str]) -> str:
    badges = ""
    if elder := twins.get(row.id):
        badges += f" [same key as {labels[elder]}]"
    if row.row.inherited:
        badges += " [inherited]"
    if isinstance(row.row, Credential) and not row.row.stored:
        badges += " [offered]"
    return badges


def pool_sentence(state: PoolState, now: float) -> str:
    """Return a pool in words: ``2 of 5 ready until 14:05:00, then 3, 1 probing``."""
    said = f"{len(state.usable)} of {len(state.rows)} ready"
    if until := forecast_text(forecast(state, now), now):
        said += f" {until}"
    if probing := state.how_many(HealthKind.PROBING):
        said += f", {probing} probing"
    return said


def _strategy(pool: PoolSnapshot, scrubber: Scrubber) -> str:
    known = "" if pool.knows_strategy else " (unknown, read as fill_first)"
    return label_text(pool.strategy, scrubber) + known


# --- status ------------------------------------------------------------------------------------------------


def statuses(snapshot: HomeSnapshot, now: float) -> list[dict[str, Any]]:
    """Return, for each provider, whether it can be used now: the question a model picker asks."""
    scrub, answers = snapshot.scrubber.scrub_known, []
    for pool in snapshot.pools:
        answer = status_of(pool.provider, pool, now)
        told = {name: _told(answer[name], scrub) for name in ("provider", "name")}
        answers.append({**answer, **told})
    return answers


def status_of(provider: str, pool: PoolSnapshot | None, now: float) -> dict[str, Any]:
    """Return one provider's answer; ``absent`` when it has no credential at all.

    `state` is the best that any row can say: ready, cooling, needs_login, paused, no_secret, bad_row or absent.
    """
    state = pool.at(now) if pool else PoolState(provider)
    order = (
        HealthKind.COOLING,
        HealthKind.PAUSED,
        HealthKind.NEEDS_LOGIN,
        HealthKind.NO_SECRET,
        HealthKind.BAD_ROW,
    )
    best = "ready" if state.usable else next((kind.value for kind in order if state.how_many(kind)), "absent")
    return {
        "provider": provider,
        "name": pool_name(provider),
        "usable": bool(state.usable),
        "state": best,
        "ready": len(state.usable),
        "total": len(state.rows),
        "next_ready_at": state.next_ready_at,
    }


def status_lines(answers: list[dict[str, Any]], now: float) -> list[str]:
    """Return what ``keydeck auth status`` prints."""
    widest = max((width(clean(answer["provider"])) for answer in answers), default=0)
    lines = []
    for answer in answers:
        said = f"{answer['state'].replace('_', ' ')}, {answer['ready']} of {answer['total']} ready"
        if answer["state"] == "absent":
            said = "absent, no credential"
        if answer["next_ready_at"] is not None:
            said += f", next back in {duration(answer['next_ready_at'] - now)}"
        lines.append(f"{fit(clean(answer['provider']), widest)}  {said}")
    return lines
