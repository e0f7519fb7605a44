"""Everything about one key, as named facts: what it is, how it stands, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from keydeck.engine.cooldown import Standing
from keydeck.engine.credential import Credential, VanishedRow, is_owned
from keydeck.engine.snapshot import PoolSnapshot
from keydeck.engine.state import HealthKind, RowState, row_state
from keydeck.present.card import advice
from keydeck.present.evidence import evidence_text, in_flight, scope_text, streak_text
from keydeck.present.panes import since_text
from keydeck.present.rows import (
    Context,
    KeyRow,
    label_text,
    row_glyph,
    row_role,
    said_text,
    status_cell,
    why_text,
)
from keydeck.present.spans import Line, Role, Span, line_width, plain
from keydeck.present.text import clock_time, duration, grouped, wrapped
from keydeck.present.traffic import SPARK_BEST, Traffic, chart, rate_of, share_of

Fact = tuple[str, Line]
"""A name and its value; a value may take several lines when it is written out."""

_NAME_CELLS: Final = 12


def identity(
    pool: PoolSnapshot, found: RowState, context: Context, sent: Traffic | None = None
) -> list[Fact]:
    """Return what a key is and, where `sent` is known, how much it was used in the last hour."""
    row = found.row
    if not isinstance(row, Credential):
        facts = [("id", _name(row.id, context)), ("pool", _name(pool.provider, context))]
        return [*facts, *_vanished(row, context)] if isinstance(row, VanishedRow) else facts
    place = [item.id for item in pool.rows].index(row.id) + 1
    kind = "API key" if row.auth_type == "api_key" else f"{label_text(row.auth_type, context.scrubber)} login"
    source = row.source.partition(":")[0] if context.masked else row.source
    url = (
        "hidden"
        if context.masked
        else said_text(row.base_url or "", context.scrubber) or "the provider's own"
    )
    facts = [
        ("id", _name(row.id, context)),
        ("type", _plain(kind)),
        ("source", _name(source, context)),
        ("place", _plain(f"{place} of {len(pool.rows)}")),
        ("base url", _plain(url)),
        ("key", _plain(_key_text(row))),
        ("requests", _plain(_requests(pool, row))),
    ]
    if sent is not None:
        facts.append(("last hour", _last_hour(pool.provider, row.id, sent, context)))
    if names := _twin_names(pool, row, context):
        facts.append(("same key", _plain(f"as {' and '.join(names)}: one key, counted and benched together")))
    if row.inherited:
        facts.append(("profile", _plain("the root profile's; acts need --profile default")))
    return facts


def _vanished(row: VanishedRow, context: Context) -> list[Fact]:
    """Return why a key needed a login that is in no file any more."""
    status = row.status
    said = "" if context.masked else said_text(status.message or status.reason or "", context.scrubber)
    why = " ".join(part for part in (str(status.code or ""), said) if part)
    return [("rejected", _plain(why))] if why else []


def _key_text(row: Credential) -> str:
    secret = row.live_secret
    if not secret:
        return "not here"
    stored = row.stored and is_owned(row.provider, row.source)
    short = secret.fingerprint.partition(":")[2][:8]
    return f"{'stored here' if stored else 'used where it is, not stored'}, fingerprint {short}"


def _requests(pool: PoolSnapshot, row: Credential) -> str:
    uses = pool.uses()
    ranks = sorted((uses[other.id] for other in pool.rows if isinstance(other, Credential)), reverse=True)
    rank = ranks.index(uses[row.id]) + 1
    return f"{grouped(uses[row.id])}, rank {rank} of {len(ranks)}"


def _last_hour(provider: str, row_id: str, sent: Traffic, context: Context) -> Line:
    key = sent.of(provider, row_id)
    if not key.sent:
        return _plain("nothing sent")
    said = f"{grouped(key.sent)} sent, {share_of(key)} of picks"
    pace = f", {rate_of(key)}" if rate_of(key) else ""
    return (chart(key, SPARK_BEST, sent.busiest, context.glyphs), Span(f"  {said}{pace}"))


def _twin_names(pool: PoolSnapshot, row: Credential, context: Context) -> list[str]:
    """Return what the other rows with the same secret are called."""
    if not row.access_token:
        return []
    return [
        f"key {place}" if context.masked else label_text(other.label or other.id, context.scrubber)
        for place, other in enumerate(pool.rows, 1)
        if isinstance(other, Credential) and other.id != row.id and other.access_token == row.access_token
    ]


def situation(pool: PoolSnapshot, found: RowState, row: KeyRow, now: float, context: Context) -> list[Fact]:
    """Return how a key stands, and why."""
    health = found.health
    sign = Span(f"{row_glyph(row, now, context.glyphs)} ", row_role(row, now))
    word = "cooling" if health.kind is HealthKind.COOLING else row.word
    facts: list[Fact] = [("state", (sign, Span(word, row_role(row, now))))]
    why = why_text(found, context)
    if why and why != word:
        facts.append(("why", _plain(why)))
    if health.since is not None:
        facts.append(("since", _plain(since_text(health.since, now))))
    if health.until is not None:
        left = f"{clock_time(health.until, now)}, in {duration(health.until - now)}"
        is_cooling = health.kind is HealthKind.COOLING
        facts.append(("free again" if is_cooling else "until", _plain(left)))
    if health.kind is HealthKind.COOLING and health.until is not None:
        facts.append(("", tuple(status_cell(row, now, 34, context.glyphs))))
    facts += _held(found, now, context)
    facts += _in_flight(found, now)
    facts += _under_a_pause(found, now, context)
    if found.token_expires_at is not None:
        facts.append(("token", _plain(_token(found.token_expires_at, now))))
    if said := advice(pool, found, context):
        facts.append(("do", (Span(said, Role.ACCENT),)))
    return facts


def _under_a_pause(found: RowState, now: float, context: Context) -> list[Fact]:
    """Return what would keep a paused key out besides."""
    row = found.row
    if found.health.kind is not HealthKind.PAUSED or not isinstance(row, Credential):
        return []
    beneath = row_state(row._replace(paused=None), now)
    health, why = beneath.health, why_text(beneath, context)
    if health.is_usable:
        return []
    said = health.kind.value.replace("_", " ")
    if health.until is not None:
        said += f" until {clock_time(health.until, now)}"
    return [("under it", _plain(f"{said}: {why}" if why else said))]


def _held(found: RowState, now: float, context: Context) -> list[Fact]:
    """Return what is known of why a key is out, or is for some models."""
    health = found.health
    facts = []
    if said := streak_text(health.streak):
        facts.append(("streak", _plain(said)))
    if health.evidence is not None:
        facts.append(("evidence", _plain(evidence_text(health, now))))
    if said := scope_text(health.scope):
        facts.append(("concerns", _plain(said)))
    for model, held in found.limits(now).items():
        name = label_text(model, context.scrubber)
        facts.append(("not for", _plain(f"{name} {_limit(held, now)}")))
    return facts


def _limit(held: Standing, now: float) -> str:
    """Return until when, and why, a model is not served."""
    failure = held.strike.failure if held.strike else None
    said = "" if held.until is None else f"until {clock_time(held.until, now)}"
    parts = [said, str(failure.code) if failure and failure.code else "", streak_text(held.streak)]
    return ", ".join(part for part in parts if part)


def _in_flight(found: RowState, now: float) -> list[Fact]:
    """Return how much work holds a key, and when the last of it ends at the latest."""
    count = in_flight(found, now)
    if not count or not isinstance(found.row, Credential):
        return []
    ends = [lease.until for lease in found.row.leases.values() if lease.is_live(now)]
    last = f", given back by {clock_time(max(ends), now)} at the latest" if ends else ", to try the key"
    return [("in flight", _plain(f"{grouped(count)}{last}"))]


def _token(ends: float, now: float) -> str:
    if ends <= now:
        return f"ended {since_text(ends, now)}"
    return f"ends {clock_time(ends, now)}, in {duration(ends - now)}"


def _name(text: str, context: Context) -> Line:
    return _plain(label_text(text, context.scrubber))


def _plain(text: str) -> Line:
    return (Span(text),)


def fact_lines(facts: Iterable[Fact], cells: int) -> tuple[Line, ...]:
    """Return facts in two columns, long values on several lines; no line is wider than `cells`."""
    lines: list[Line] = []
    for name, value in facts:
        head = Span(f"{name:<{_NAME_CELLS}}", Role.MUTED)
        room = cells - _NAME_CELLS
        if len(value) > 1 and line_width(value) <= room:
            lines.append((head, *value))
            continue
        for part in wrapped(plain(value), room):
            lines.append((head, Span(part, value[-1].role)))
            head = Span(" " * _NAME_CELLS)
    return tuple(lines)
