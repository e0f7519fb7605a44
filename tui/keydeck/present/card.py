"""The selected credential in full: what it is, why it is out, since and until when, and what helps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from keydeck.engine.credential import Credential, Row, VanishedRow
from keydeck.engine.snapshot import PoolSnapshot
from keydeck.engine.state import Health, HealthKind, PoolState, RowState
from keydeck.present.evidence import flight_text, scope_text, streak_text, whose_word
from keydeck.present.frame import framed
from keydeck.present.glyphs import Glyphs
from keydeck.present.panes import since_text
from keydeck.present.rows import (
    Context,
    KeyRow,
    label_text,
    pause_text,
    row_glyph,
    row_role,
    said_text,
    why_text,
)
from keydeck.present.spans import Line, Role, Span, fit_line
from keydeck.present.text import clock_time, duration

CARD_LINES: Final = 6


def card_lines(
    pool: PoolSnapshot, state: PoolState, row: KeyRow, now: float, cells: int, context: Context
) -> tuple[Line, ...]:
    """Return a framed card of six lines about one row, each exactly `cells` wide."""
    glyphs = context.glyphs
    found = next((item for item in state.rows if item.id == row.id), None)
    if found is None:
        return ()
    inner = (
        (Span(_origin(pool, found, context), Role.MUTED),),
        (_sign(row, now, glyphs), Span(_situation(pool, state, found, row, now))),
        (Span("  " + _more(found, row, now, context), Role.MUTED),),
        _advice_line(pool, found, context),
    )
    return framed((Span(row.label, Role.STRONG),), inner, cells, glyphs)


def card_line(
    pool: PoolSnapshot, state: PoolState, row: KeyRow, now: float, cells: int, context: Context
) -> tuple[Line, ...]:
    """Return the card in one line, for terminals without room for more: situation, reason, advice."""
    found = next((item for item in state.rows if item.id == row.id), None)
    if found is None:
        return ()
    more, helps = _more(found, row, now, context), advice(pool, found, context)
    line = (
        Span(" "),
        _sign(row, now, context.glyphs),
        Span(_brief(pool, state, found, row, now)),
        *((Span("  do ", Role.ACCENT), Span(f"{helps} ")) if helps else ()),
        Span(f": {more}", Role.MUTED),
    )
    return (fit_line(line, cells, context.glyphs.ellipsis),)


def _brief(pool: PoolSnapshot, state: PoolState, found: RowState, row: KeyRow, now: float) -> str:
    health = found.health
    if health.is_usable or health.kind is HealthKind.PROBING:
        return _situation(pool, state, found, row, now)
    said = "cooling" if health.kind is HealthKind.COOLING else row.word
    if health.until is not None:
        said += f" until {clock_time(health.until, now)}"
    return said if health.since is None else f"{said}, since {clock_time(health.since, now)}"


def _sign(row: KeyRow, now: float, glyphs: Glyphs) -> Span:
    return Span(f"{row_glyph(row, now, glyphs)} ", row_role(row, now))


def _more(found: RowState, row: KeyRow, now: float, context: Context) -> str:
    """Return the provider's words; where the situation has said everything, what is known besides."""
    why = why_text(found, context)
    return why if why and why not in row.word else _facts(row, now)


def _origin(pool: PoolSnapshot, found: RowState, context: Context) -> str:
    row, name = found.row, label_text(pool.provider, context.scrubber)
    if not isinstance(row, Credential):
        return f"{name}, id {label_text(row.id, context.scrubber)}"
    kind = "API key" if row.auth_type == "api_key" else f"{label_text(row.auth_type, context.scrubber)} login"
    source = label_text(row.source.partition(":")[0] if context.masked else row.source, context.scrubber)
    place = [item.id for item in pool.rows].index(row.id) + 1
    parts = [
        name,
        f"id {label_text(row.id, context.scrubber)}",
        f"{kind} from {source}",
        f"place {place} of {len(pool.rows)}",
    ]
    if not row.stored:
        parts.append("offered, not stored yet")
    if row.inherited:
        parts.append("the root profile's")
    if row.base_url and not context.masked:
        parts.append(said_text(row.base_url, context.scrubber))
    return f" {context.glyphs.dot} ".join(parts)


def _situation(pool: PoolSnapshot, state: PoolState, found: RowState, row: KeyRow, now: float) -> str:
    health = found.health
    if health.kind is HealthKind.COOLING and health.until is not None:
        ends = f"{clock_time(health.until, now)}, {duration(health.until - now)} left"
        known = (streak_text(health.streak), whose_word(health), scope_text(health.scope))
        since = f"since {since_text(health.since, now)}"
        parts = (f"cooling until {ends}", *known, flight_text(row.in_flight), since)
        return "; ".join(part for part in parts if part)
    if health.is_usable or health.kind is HealthKind.PROBING:
        return "; ".join((_turn(pool, state, row, health, now), *_besides(row, now)))
    since = f", since {since_text(health.since, now)}" if health.since is not None else ""
    word = pause_text(health.until, now) if health.kind is HealthKind.PAUSED else row.word
    return f"{word}{since}"


def _turn(pool: PoolSnapshot, state: PoolState, row: KeyRow, health: Health, now: float) -> str:
    """Return when a ready key serves."""
    if health.kind is HealthKind.PROBING:
        until = f" until {clock_time(health.until, now)}" if health.until is not None else ""
        tried = "a request tries it" if health.is_tried else "the next request tries it"
        return f"probing: {tried}; one at a time{until}, or until one goes through"
    following = pool.next_pick(state)
    if following == row.id:
        return "ready; the next request goes here"
    if following is None:
        return f"ready; the next request goes to any of {len(state.usable)}"
    return "ready; waits for its turn"


def _besides(row: KeyRow, now: float) -> Iterator[str]:
    if row.in_flight:
        yield flight_text(row.in_flight)
    for limit in row.limits:
        yield f"not for {limit.model}" + (f" until {clock_time(limit.until, now)}" if limit.until else "")


def _facts(row: KeyRow, now: float) -> str:
    facts = f"{row.requests} requests"
    if row.token_ends is not None:
        facts += f"; its token lasts {duration(row.token_ends - now)}"
    return facts


def _advice_line(pool: PoolSnapshot, found: RowState, context: Context) -> Line:
    helps = advice(pool, found, context)
    return (Span("  do  ", Role.ACCENT), Span(helps)) if helps else ()


def advice(pool: PoolSnapshot, found: RowState, context: Context) -> str:
    """Return the least drastic act that helps, empty where there is none; keys are the dashboard's."""
    row, kind = found.row, found.health.kind
    if row.inherited:
        return "act on it with --profile default" if not found.health.is_usable else ""
    if kind is HealthKind.COOLING:
        return _before_a_reset(row)
    if isinstance(row, VanishedRow):
        return "log in again or press a for a new key; d takes this line away"
    if kind is HealthKind.NEEDS_LOGIN:
        if isinstance(row, Credential) and row.auth_type == "api_key":
            return "press a for a new key, then d on this one; waiting does not help"
        name = label_text(pool.provider, context.scrubber)
        return f"log in again: hermes auth add {name}; waiting does not help"
    if kind is HealthKind.PAUSED:
        return "space lets it work again"
    if kind is HealthKind.BAD_ROW:
        return "mend this row in auth.json by hand; the others are not affected"
    if kind is HealthKind.NO_SECRET:
        if found.health.why and found.health.why.startswith("token"):
            return "nothing; if it stays so, log in again with hermes"
        return "set the variable where the agent runs, or press d to remove the row"
    return ""


def _before_a_reset(row: Row) -> str:
    code = row.last_error_code if isinstance(row, Credential) else None
    if code == 402:
        return "top up, then press r"
    if code == 401:
        return "check that the key is valid, then press r"
    return "wait, or press r once the provider has lifted it"
