"""The demo's last hour: what agents, providers and people would have left in the journal by now.

The same moment and seed give the same hour. The rows end as `write_scene` writes them.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from keydeck.demo.scene import a_reserve, around, write_scene
from keydeck.engine.books import Books
from keydeck.engine.cooldown import ACCOUNT, ROW, model_scope
from keydeck.engine.credential import CLEAN_STATUS, STATUS_FIELDS
from keydeck.engine.events import (
    Configured,
    Edited,
    Event,
    Failed,
    Leased,
    Outside,
    Paused,
    Probed,
    Removed,
    Succeeded,
    Used,
)
from keydeck.engine.failures import FailureKind
from keydeck.engine.file_store import FOLDER, FileStore
from keydeck.engine.files import Disk
from keydeck.engine.home import locate_home
from keydeck.engine.journal import Journal
from keydeck.engine.secret import Secret

HOUR_S: Final = 3600.0
SEED: Final = 7

_MINUTE_S: Final = 60.0
_STEP_S: Final = 30.0
_STORE: Final = "d0d0cafe00000007"
_OPERATOR: Final = "operator"

Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class _Traffic:
    """Who sends how much through a pool, and how its rows share it."""

    agent: str
    provider: str
    per_minute: float
    rows: tuple[str, ...]
    strategy: str


@dataclass(frozen=True, slots=True)
class _Outage:
    """A row that was out, between two moments that lie so many seconds before now."""

    provider: str
    row_id: str
    label: str
    began_ago_s: float
    ended_ago_s: float
    code: int
    message: str
    ended_by: str
    """``success`` after its wait, ``outside``: another program cleared it, ``wait``: it failed again; ``probe``."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One event of the past, when it was told, and by whom."""

    at: float
    writer: str
    event: Event


_TRAFFIC: Final = (
    _Traffic("agent-coder", "anthropic", 5.0, ("9c01d2", "b7740e", "e2f8c3", "3f9a1c"), "least_used"),
    _Traffic("agent-coder", "openai-codex", 2.5, ("6b0f12",), "fill_first"),
    _Traffic("agent-research", "openrouter", 8.0, ("4411a9",), "fill_first"),
    _Traffic("agent-research", "nous", 1.6, ("5a90ee", "c4d1f0"), "round_robin"),
    _Traffic("agent-batch", "custom:together.ai", 1.0, ("81ab02", "81ab03"), "random"),
)

_OUTAGES: Final = (
    _Outage("anthropic", "e2f8c3", "burst-key", 2820, 2724, 429, "Too many requests, slow down", "success"),
    _Outage(
        "custom:together.ai", "81ab03", "together-2", 2280, 1560, 402, "Credit balance is too low", "outside"
    ),
    _Outage("anthropic", "e2f8c3", "burst-key", 744, 660, 429, "Too many requests, slow down", "success"),
    *(
        _Outage("openrouter", "4411aa", "spare", began, ended, 429, "Too many requests", "wait")
        for began, ended in (
            (600, 540),
            (530, 410),
            (400, 160),
            (150, -330),
        )  # each wait twice the one before
    ),
    _Outage("custom:together.ai", "81ab03", "together-2", 95, 20, 429, "Too many requests", "probe"),
)
_PROBED_AGO_S: Final = 6.0
_IN_FLIGHT: Final = (("anthropic", "9c01d2", 9.0), ("anthropic", "9c01d2", 4.0), ("nous", "5a90ee", 3.0))
"""Whose work was begun so many seconds ago and is under way."""
_LEASE_S: Final = 30.0
_LIMITED: Final = ("anthropic", "b7740e", "claude-opus-5", 200.0, 340.0)
"""Which key is out for which model, since and for how long yet."""
_PAUSED: Final = ("custom:together.ai", "81ab06", 1320.0, 19 * HOUR_S)
"""Which key is paused, since so many seconds, and for so many more."""

_OF_ACCOUNT: Final = "The usage limit has been reached"
"""What a provider says of a whole account."""
_RENAMED: Final = ("openrouter", "4411aa", "api-key-2", "spare")
_REMOVED: Final = ("openrouter", "4411ab", "trial-key", "sk-demo-4411ab-opens-nothing")


def write_scene_with_past(home: Path, now: float, seed: int = SEED) -> None:
    """Write the scene of `now` (epoch seconds) and, beside it, a journal of the hour before."""
    write_scene(home, now)
    path = home / "auth.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    past = hour_before(document["credential_pool"], now, seed)
    document["credential_pool"]["custom:together.ai"].append(a_reserve())
    document["credential_pool"] = _an_hour_ago(document["credential_pool"], past, now)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    clock = _PastClock(now - HOUR_S)
    disk = Disk()
    store = FileStore(locate_home(home, around=around(home.parent)), disk=disk, clock=clock)
    books = Books(disk, Journal(disk, home / FOLDER), clock)
    books.ledger.store, books.writer = _STORE, _OPERATOR
    books.begin_segment()
    store.checkpoint()  # adopts the rows as they were
    books.open(None)
    for moment in past:
        clock.now, books.writer = moment.at, moment.writer
        books.tell([moment.event])
    books.journal.leave()
    clock.now = now
    store.checkpoint()
    store.close()


def hour_before(pools: Rows, now: float, seed: int = SEED) -> tuple[Moment, ...]:
    """Return what happened in the hour before `now`, oldest first, that led to these rows."""
    moments = [*_outages(pools, now), *_acts(now), *_requests(pools, now, random.Random(seed))]  # noqa: S311
    moments += _just_now(now)
    return tuple(sorted(moments, key=lambda moment: moment.at))


class _PastClock:
    """Stands where it is put."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def _an_hour_ago(pools: Rows, past: Sequence[Moment], now: float) -> Rows:
    """Return the rows as they were before all that happened."""
    sent: dict[str, int] = {}
    for moment in past:
        if isinstance(moment.event, Used):
            for row_id, number in moment.event.counts.items():
                sent[row_id] = sent.get(row_id, 0) + number
    before = {
        provider: [_row_before(row, sent.get(row["id"], 0), now) for row in rows]
        for provider, rows in pools.items()
    }
    provider, row_id, label, _ = _RENAMED
    before[provider] = [row | {"label": label} if row["id"] == row_id else row for row in before[provider]]
    return before


def _row_before(row: dict[str, Any], sent: int, now: float) -> dict[str, Any]:
    counted = row | {"request_count": row["request_count"] - sent}
    return {**counted, **CLEAN_STATUS} if _fell_lately(row, now) else counted


def _fell_lately(row: Mapping[str, Any], now: float) -> bool:
    return bool(row["last_status"] and now - row["last_status_at"] < HOUR_S)


# --- what happened -----------------------------------------------------------------------------------------


def _outages(pools: Rows, now: float) -> Iterator[Moment]:
    agents = {traffic.provider: traffic.agent for traffic in _TRAFFIC}
    for provider, rows in pools.items():
        for row in rows:
            if _fell_lately(row, now):
                yield Moment(row["last_status_at"], agents[provider], _failure(provider, row))
    for outage in _OUTAGES:
        agent, until = agents[outage.provider], now - outage.ended_ago_s
        began = now - outage.began_ago_s
        yield Moment(began, agent, _passing_failure(outage, until))
        if outage.ended_by == "success":
            ids = (outage.row_id,)
            yield Moment(until + 2, agent, Succeeded(ids=ids, provider=outage.provider))
        elif outage.ended_by == "probe":
            probed = Probed(ids=(outage.row_id,), provider=outage.provider, by="d0d0cafe00000001")
            yield Moment(now - _PROBED_AGO_S, agent, probed)
        elif outage.ended_by == "outside":
            yield Moment(until, _OPERATOR, _cleared_outside(outage, began))


def _failure(provider: str, row: Mapping[str, Any]) -> Failed:
    """Return the failure that left a row as it is."""
    status, _, code, reason, message, until = (row[name] for name in STATUS_FIELDS)
    return Failed(
        ids=(row["id"],),
        provider=provider,
        status=status,
        code=code,
        reason=reason,
        message=message,
        until=until,
        scope=ACCOUNT if message == _OF_ACCOUNT else ROW,
    )


def _passing_failure(outage: _Outage, until: float) -> Failed:
    named = until if outage.ended_by in ("success", "probe") else None
    return Failed(
        ids=(outage.row_id,),
        provider=outage.provider,
        code=outage.code,
        message=outage.message,
        until=named,
    )


def _cleared_outside(outage: _Outage, began: float) -> Outside:
    return Outside(id=outage.row_id, provider=outage.provider, label=outage.label, what="cleared", past=began)


def _acts(now: float) -> Iterator[Moment]:
    provider, row_id, _, label = _RENAMED
    renamed = Edited(id=row_id, provider=provider, label=label)
    provider, row_id, label, secret = _REMOVED
    gone = Removed(id=row_id, provider=provider, label=label, key=Secret(secret).fingerprint)
    strategy = Configured(provider="nous", strategy="round_robin")
    provider, row_id, paused_ago_s, left_s = _PAUSED
    paused = Paused(ids=(row_id,), provider=provider, until=now + left_s)
    for ago_s, event in ((2940, strategy), (2460, gone), (2412, renamed), (paused_ago_s, paused)):
        yield Moment(now - ago_s, _OPERATOR, event)


def _just_now(now: float) -> Iterator[Moment]:
    """Return what is under way: work, and a limit of one model."""
    for number, (provider, row_id, ago_s) in enumerate(_IN_FLIGHT):
        lease = Leased(ids=(row_id,), provider=provider, lease=f"d0d0cafe0000001{number}", ttl_s=_LEASE_S)
        yield Moment(now - ago_s, "agent-coder", lease)
    provider, row_id, model, ago_s, left_s = _LIMITED
    limited = Failed(
        ids=(row_id,),
        provider=provider,
        code=429,
        message=f"This organization has reached its limit for {model}",
        until=now + left_s,
        kind=FailureKind.RATE_LIMIT,
        scope=model_scope(model),
    )
    yield Moment(now - ago_s, "agent-coder", limited)


# --- requests ----------------------------------------------------------------------------------------------


def _requests(pools: Rows, now: float, dice: random.Random) -> Iterator[Moment]:
    out = _times_out(pools, now)
    for place, traffic in enumerate(_TRAFFIC):
        sent: dict[str, int] = {}
        for step in reversed(range(int(HOUR_S // _STEP_S))):
            ago_s = step * _STEP_S + 4 + place  # the newest are a few seconds old
            ready = [row for row in traffic.rows if not _is_out(out.get(row, ()), ago_s)]
            counts: dict[str, int] = {}
            for _ in range(_number(traffic, ago_s, dice) if ready else 0):
                row = _pick(traffic, ready, sent, dice)
                counts[row] = counts.get(row, 0) + 1
                sent[row] = sent.get(row, 0) + 1
            if counts:
                yield Moment(now - ago_s, traffic.agent, Used(counts=counts))


def _times_out(pools: Rows, now: float) -> dict[str, list[tuple[float, float]]]:
    """Return row → when it was out, in seconds before now."""
    out: dict[str, list[tuple[float, float]]] = {}
    for rows in pools.values():
        for row in rows:
            if _fell_lately(row, now):
                out.setdefault(row["id"], []).append((now - row["last_status_at"], -1.0))
    for outage in _OUTAGES:
        ended_ago_s = -1.0 if outage.ended_by == "probe" else outage.ended_ago_s
        out.setdefault(outage.row_id, []).append((outage.began_ago_s, ended_ago_s))
    return out


def _is_out(times: Sequence[tuple[float, float]], ago_s: float) -> bool:
    return any(end <= ago_s <= began for began, end in times)


def _number(traffic: _Traffic, ago_s: float, dice: random.Random) -> int:
    """Return how many requests a step has: in waves of a quarter of an hour, never two the same."""
    wave = 1 + 0.6 * math.sin(ago_s / (15 * _MINUTE_S) * 2 * math.pi + len(traffic.provider))
    return int(traffic.per_minute * wave * _STEP_S / _MINUTE_S * (0.6 + 0.8 * dice.random()) + dice.random())


def _pick(traffic: _Traffic, ready: Sequence[str], sent: Mapping[str, int], dice: random.Random) -> str:
    if traffic.strategy == "random":
        return dice.choice(ready)
    if traffic.strategy == "fill_first":
        return ready[0]
    return min(ready, key=lambda row: sent.get(row, 0))
