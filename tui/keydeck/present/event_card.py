"""One event explained: what it means, how things stand by now, and the least drastic act that helps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from keydeck.engine.snapshot import HomeSnapshot, PoolSnapshot
from keydeck.engine.state import HealthKind, PoolState, RowState
from keydeck.live.activity import Change, ChangeKind
from keydeck.live.problems import serving_pool
from keydeck.present.activity import change_name, change_sign, change_text, who_text
from keydeck.present.card import advice
from keydeck.present.detail import Fact
from keydeck.present.rows import Context, KeyRow, label_text, pause_text, shown_name
from keydeck.present.spans import Role, Span
from keydeck.present.text import clock_time, duration

_HEALTH: Final[Mapping[ChangeKind, HealthKind]] = {
    ChangeKind.BENCHED: HealthKind.COOLING,
    ChangeKind.RESET_UNDONE: HealthKind.COOLING,
    ChangeKind.DEAD: HealthKind.NEEDS_LOGIN,
    ChangeKind.PAUSED: HealthKind.PAUSED,
    ChangeKind.LOST_SECRET: HealthKind.NO_SECRET,
    ChangeKind.BROKEN: HealthKind.BAD_ROW,
}
_MEANING: Final[Mapping[ChangeKind, str]] = {
    ChangeKind.BENCHED: "the provider refused it; every agent passes it over until its cooldown ends",
    ChangeKind.REFUSED: "a request failed; nothing speaks against the next one with this key",
    ChangeKind.DEAD: "the provider no longer accepts it; waiting does not help",
    ChangeKind.PAUSED: "somebody took it out; nobody uses it until its time or a resume",
    ChangeKind.LOST_SECRET: "its variable or login is gone here; the row stays",
    ChangeKind.BROKEN: "its row in auth.json cannot be understood; the others are not affected",
    ChangeKind.READY: "it is picked again",
    ChangeKind.RESET: "somebody ended its cooldown; it is picked again",
    ChangeKind.RESET_UNDONE: "the reset was taken back, and the cooldown holds again",
    ChangeKind.RESUMED: "it is picked again",
    ChangeKind.ADDED: "a new key: it takes its turn from now on",
    ChangeKind.REMOVED: "nobody picks it any more",
    ChangeKind.RENAMED: "only its name is another one",
    ChangeKind.SECRET_CHANGED: "what was wrong with the old secret does not count for the new one",
    ChangeKind.STRATEGY: "from the next request on",
    ChangeKind.COOLDOWN: "config.yaml says otherwise how long such a failure benches; benches that run follow it",
    ChangeKind.MOVED: "the order in which keys are tried is another one",
    ChangeKind.ADOPTED: "it was offered by the surroundings, and is stored since somebody used it",
    ChangeKind.HEALED: "another program wrote an old copy of auth.json; what it lost is put right",
    ChangeKind.CAME_BACK: "another program wrote a removed key back; it is removed again",
    ChangeKind.PUT_BACK: "a copy of auth.json was put in place; what it holds counts",
    ChangeKind.OUTSIDE: "another program changed auth.json; that counts",
    ChangeKind.FEW_LEFT: "so few of its keys can serve; it is told at half, at one, and at none",
    ChangeKind.GAP: "a part of the journal is missing; counts and cooldowns are exact all the same",
}


def event_row(change: Change, now: float, context: Context) -> KeyRow:
    """Return an event as the row that a filter looks at: its words, state, code and who told it."""
    kind = _HEALTH.get(change.kind, HealthKind.READY)
    name, said, who = change_name(change, context), change_text(change, now, context), who_text(change)
    return KeyRow(change.row_id or "", kind, name, "", who, "", said, "", is_next=False, code=change.code)


def event_facts(change: Change, snapshot: HomeSnapshot, now: float, context: Context) -> list[Fact]:
    """Return what happened, what it means, what to do, and how the pool stands now."""
    sign, role = change_sign(change.kind, context.glyphs)
    ago = f"{clock_time(change.at, now)}, {duration(now - change.at)} ago"
    who = who_text(change)
    when = f"  {ago}{f', told by {who}' if who else ''}"
    name = Span(change_name(change, context), Role.STRONG)
    facts: list[Fact] = [
        ("event", (Span(f"{sign} ", role), name, Span(when, Role.MUTED))),
        ("what", (Span(change_text(change, now, context)),)),
    ]
    if meaning := _MEANING.get(change.kind):
        facts.append(("meaning", (Span(meaning),)))
    pool = snapshot.pool(change.provider)
    if pool is not None:
        state = pool.at(now)
        facts += _of_key(change, pool, state, now, context)
        facts.append(("pool", (Span(_impact(snapshot, pool, state, now, context)),)))
    return facts


def _of_key(change: Change, pool: PoolSnapshot, state: PoolState, now: float, context: Context) -> list[Fact]:
    if change.row_id is None:
        return []
    found = next((row for row in state.rows if row.id == change.row_id), None)
    if found is None:
        return [("now", (Span("this key is gone"),))]
    facts: list[Fact] = [("now", (Span(_now(found, now)),))]
    if said := advice(pool, found, context):
        facts.append(("do", (Span(f"{context.glyphs.enter} opens the key: {said}", Role.ACCENT),)))
    return facts


def _now(found: RowState, now: float) -> str:
    health = found.health
    if health.kind is HealthKind.COOLING and health.until is not None:
        return f"cooling, {duration(health.until - now)} left"
    if health.kind is HealthKind.PAUSED:
        return pause_text(health.until, now)
    return health.kind.value.replace("_", " ")


def _impact(
    snapshot: HomeSnapshot, pool: PoolSnapshot, state: PoolState, now: float, context: Context
) -> str:
    ready, total = len(state.usable), len(state.rows)
    said = f"{ready} of {total} ready"
    if not ready:
        hops = (snapshot.pool(hop) for hop in snapshot.fallback)
        serves = serving_pool(snapshot, pool.provider, {hop.provider: hop.at(now) for hop in hops if hop})
        return (
            f"{said}, {label_text(serves, context.scrubber)} serves"
            if serves
            else f"{said}, nothing steps in"
        )
    following = pool.next_pick(state)
    place, row = next(
        ((place, row) for place, row in enumerate(state.rows, 1) if row.id == following), (0, None)
    )
    return said if row is None else f"{said}, next pick {shown_name(row, place, context)}"
