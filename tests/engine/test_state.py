from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fakes import NOW, a_jwt, a_key, a_login, benched
from keydeck.engine.claims import Lease
from keydeck.engine.config import KNOWN_STRATEGIES
from keydeck.engine.cooldown import CLEAR, Evidence, Standing
from keydeck.engine.credential import Credential, Row, parse_rows
from keydeck.engine.ready import Ready
from keydeck.engine.secret import Secret
from keydeck.engine.state import (
    READY,
    Health,
    HealthKind,
    PoolState,
    RowState,
    changes_at,
    is_plainly_ready,
    pool_state,
    row_state,
)
from keydeck.engine.strategies import PICKERS, certain_pick, picker


def state_of(raw: Any, now: float = NOW, provider: str = "openrouter") -> RowState:
    (row,) = parse_rows(provider, provider, [raw])
    return row_state(row, now)


def kind_of(raw: Any, now: float = NOW, provider: str = "openrouter") -> HealthKind:
    return state_of(raw, now, provider).health.kind


def pool_of(raws: Sequence[Any], now: float = NOW) -> PoolState:
    rows: tuple[Row, ...] = parse_rows("openrouter", "openrouter", raws)
    return pool_state("openrouter", rows, now)


ANY_ROW = st.builds(
    Credential,
    id=st.just("aaa001"),
    provider=st.sampled_from(["openrouter", "nous", "anthropic"]),
    auth_type=st.sampled_from(["api_key", "oauth", "other"]),
    access_token=st.sampled_from([None, Secret(""), Secret("sk-test-secret"), Secret(a_jwt(exp=NOW + 60))]),
    refresh_token=st.sampled_from([None, Secret("refresh")]),
    last_status=st.sampled_from([None, "ok", "exhausted", "dead"]),
    last_status_at=st.sampled_from([None, NOW - 10]),
    last_error_reset_at=st.sampled_from([None, NOW + 10]),
    expires_at_ms=st.sampled_from([None, (NOW + 30) * 1000]),
    paused=st.sampled_from([None, NOW - 5, NOW + 5, math.inf]),
    standing=st.sampled_from([None, CLEAR, Standing(NOW + 20), Standing(is_terminal=True)]),
    limits=st.sampled_from([{}, {"a-model": Standing(NOW + 20)}]),
    leases=st.sampled_from([{}, {"somebody": Lease(NOW, 60.0)}]),
)


@given(ANY_ROW, st.floats(NOW - 1e6, NOW + 1e6))
@example(Credential(id="aaa001", provider="openrouter", access_token=Secret("sk-test-secret")), NOW)
def test_what_is_ready_at_a_glance_is_ready_for_good(row: Credential, now: float) -> None:
    """A longer look comes to the same, finds no time at which that changes, and nobody at work with it."""
    state = row_state(row, now)
    if is_plainly_ready(row):
        assert state.health == READY
        assert changes_at(state) is None
        assert not state.in_flight(now)
        assert not state.limits(now)
    elif row.auth_type == "api_key" and row == Credential(
        row.id, "openrouter", access_token=row.access_token
    ):
        assert state.health != READY


# --- benches -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "wait_s"),
    [
        (401, 300),
        (429, 3600),
        (402, 3600),
        (403, 3600),
        (404, 3600),
        (500, 3600),
        (503, 3600),
        (529, 3600),
        (None, 3600),
    ],
)
def test_how_long_a_bench_lasts_without_a_time_from_the_provider(code: int | None, wait_s: int) -> None:
    """401 benches for five minutes, everything else for an hour (hermes-pool 5.1)."""
    assert kind_of(a_key(**benched(code, ago=wait_s - 1))) is HealthKind.COOLING
    assert kind_of(a_key(**benched(code, ago=wait_s))) is HealthKind.PROBING
    assert kind_of(a_key(**benched(code, ago=wait_s + 59))) is HealthKind.PROBING
    assert kind_of(a_key(**benched(code, ago=wait_s + 60))) is HealthKind.READY


def test_the_providers_own_time_wins() -> None:
    """A reset time in the row decides, later or earlier than the table's."""
    assert kind_of(a_key(**benched(429, ago=60, until=NOW + 1))) is HealthKind.COOLING
    assert kind_of(a_key(**benched(429, ago=60, until=NOW - 1))) is HealthKind.PROBING
    assert state_of(a_key(**benched(429, ago=5000, until=NOW + 9000))).health.until == NOW + 9000


def test_a_cooling_row_says_since_when_and_until_when() -> None:
    """Since is the failure, until the end of the bench."""
    health = state_of(a_key(**benched(429, ago=60))).health
    assert (health.since, health.until) == (NOW - 60, NOW + 3540)
    assert not health.is_usable


@given(st.floats(-1e9, 1e9), st.floats(0, 1e6))
def test_a_row_is_cooling_exactly_until_its_end(offset: float, later: float) -> None:
    """Before the end it is out, from the end on it is in, and it never cools again by itself."""
    end = NOW + offset
    row = a_key(**benched(429, ago=60, until=end if end > 0 else None))
    if end > 0:
        assert (kind_of(row) is HealthKind.COOLING) is (end > NOW)
    if kind_of(row) is HealthKind.READY:
        assert kind_of(row, NOW + later) is HealthKind.READY


@pytest.mark.parametrize("status", [None, "ok", "a status of tomorrow", ""])
def test_any_other_status_is_ready(status: str | None) -> None:
    """What hermes treats like ok is ready, whatever times stand beside it."""
    assert (
        kind_of(a_key(last_status=status, last_status_at=NOW, last_error_reset_at=NOW + 999))
        is HealthKind.READY
    )


def test_a_dead_row_needs_a_login_for_ever() -> None:
    """Time heals no dead row, and its end is never shown."""
    row = a_key(last_status="dead", last_status_at=NOW - 60, last_error_reset_at=NOW - 30)
    for now in (NOW, NOW + 1e8):
        health = state_of(row, now).health
        assert (health.kind, health.until) == (HealthKind.NEEDS_LOGIN, None)
        assert health.since == NOW - 60
        assert health.why


# --- what the operator said --------------------------------------------------------------------------------


def paused(raw: Any, until: float, now: float = NOW) -> Health:
    (row,) = parse_rows("openrouter", "openrouter", [raw])
    assert isinstance(row, Credential)
    return row_state(row._replace(paused=until), now).health


def test_a_pause_comes_before_whatever_else_a_row_is() -> None:
    """Ready, cooling, dead or without a key: the operator took it out, and that is what it says."""
    for raw in (a_key(), a_key(**benched(429, ago=60)), a_key(last_status="dead"), a_key(access_token=...)):
        health = paused(raw, NOW + 60)
        assert (health.kind, health.until, health.evidence) == (
            HealthKind.PAUSED,
            NOW + 60,
            Evidence.OPERATOR,
        )
        assert not health.is_usable
        assert paused(raw, float("inf"), NOW + 1e9).until is None


def test_after_a_pause_a_row_is_what_it_was() -> None:
    """At its end, not before, a bench that is longer still runs."""
    assert paused(a_key(), NOW + 60, NOW + 60).kind is HealthKind.READY
    cooling = paused(a_key(**benched(429, ago=0)), NOW + 60, NOW + 60)
    assert (cooling.kind, cooling.until) == (HealthKind.COOLING, NOW + 3600)


def test_a_bench_says_why_and_whose_word_it_is() -> None:
    """Code, kind of failure, scope, streak, the end that was told, and that a file says so."""
    health = state_of(a_key(**benched(402, ago=60, until=NOW + 9))).health
    assert (health.code, health.cause, health.scope, health.streak) == (402, "billing", "row", 1)
    assert (health.told, health.evidence) == (NOW + 9, Evidence.FILE)


# --- secrets and tokens ------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [..., "", None])
def test_a_row_without_a_key_has_no_secret(token: Any) -> None:
    """Whatever its type and status, a row without a key cannot be used and says so."""
    for row in (
        a_key(access_token=token),
        a_login(access_token=token),
        a_key(access_token=token, **benched()),
    ):
        health = state_of(row).health
        assert health.kind is HealthKind.NO_SECRET
        assert health.why


def test_a_login_whose_token_ended_is_hermes_to_renew() -> None:
    """With a refresh token the row waits for hermes; the reason is said in these words."""
    ended = a_login(expires_at_ms=(NOW - 1) * 1000)
    health = state_of(ended).health
    assert (health.kind, health.why) == (HealthKind.NO_SECRET, "token ended, hermes renews it")
    assert health.since == NOW - 1
    assert kind_of(a_login(expires_at_ms=(NOW + 1) * 1000)) is HealthKind.READY


def test_a_login_without_a_refresh_token_needs_a_login_when_its_token_ended() -> None:
    """Nobody can renew it."""
    ended = a_login(expires_at_ms=(NOW - 1) * 1000, refresh_token=...)
    assert kind_of(ended) is HealthKind.NEEDS_LOGIN


def test_a_cooling_login_whose_token_ended_is_cooling_first() -> None:
    """Of two reasons the one with a time is shown."""
    assert kind_of(a_login(expires_at_ms=(NOW - 1) * 1000, **benched())) is HealthKind.COOLING


def test_a_nous_token_is_refused_two_minutes_before_its_end() -> None:
    """Hermes does not send a nous token with less than 120 s left, and neither do we."""

    def nous(left: float) -> HealthKind:
        token = a_jwt(exp=NOW + left, scope="inference:invoke")
        return kind_of(a_login(access_token=token, expires_at_ms=...), provider="nous")

    assert nous(121) is HealthKind.READY
    assert nous(120) is HealthKind.NO_SECRET
    assert nous(-5) is HealthKind.NO_SECRET


def test_a_plain_key_in_nous_is_no_inference_token() -> None:
    """A row that holds a key nous would refuse says so."""
    assert state_of(a_key(), provider="nous").health.why == "not an inference token"


def test_a_bad_row_says_what_is_bad() -> None:
    """Its reason is its state."""
    health = state_of(a_key(priority="1")).health
    assert (health.kind, health.why) == (HealthKind.BAD_ROW, "its priority is not a number")


# --- pools -------------------------------------------------------------------------------------------------


def test_a_pool_counts_what_it_shows() -> None:
    """Ready and total are counted over the very rows."""
    pool = pool_of(
        [
            a_key("a"),
            a_key("b", **benched(429, ago=60, until=NOW + 840)),
            a_key("c", last_status="dead"),
            a_key("d"),
            5,
        ]
    )
    assert [state.id for state in pool.usable] == ["a", "d"]
    assert len(pool.rows) == 5
    assert pool.next_ready_at == NOW + 840
    assert (
        pool.how_many(HealthKind.COOLING)
        == pool.how_many(HealthKind.NEEDS_LOGIN)
        == pool.how_many(HealthKind.BAD_ROW)
        == 1
    )


def test_the_next_to_come_back_is_the_soonest_of_the_cooling() -> None:
    """Dead and broken rows do not come back."""
    assert (
        pool_of([a_key("a", **benched(until=NOW + 90)), a_key("b", **benched(until=NOW + 30))]).next_ready_at
        == NOW + 30
    )
    assert pool_of([a_key("a"), a_key("b", last_status="dead")]).next_ready_at is None
    assert pool_of([]).next_ready_at is None


# --- picking -----------------------------------------------------------------------------------------------

THREE = [a_key("a", request_count=5), a_key("b", request_count=2), a_key("c", request_count=2)]


@pytest.mark.parametrize(
    ("strategy", "row_id"), [("fill_first", "a"), ("round_robin", "a"), ("least_used", "b")]
)
def test_the_next_pick_is_shown_where_it_is_certain(strategy: str, row_id: str) -> None:
    """The mark is on the row that the strategy takes from the files as they are."""
    pick = certain_pick(strategy, pool_of(THREE))
    assert pick is not None
    assert pick.id == row_id


def test_round_robin_goes_on_from_the_row_that_was_used_last() -> None:
    """To the next usable one; from the beginning where that row is the last one, or gone."""
    rows = pool_of([*THREE[:1], a_key("b", **benched()), *THREE[2:]])
    for last, pick in (("a", "c"), ("b", "c"), ("c", "a"), ("gone", "a"), (None, "a")):
        found = certain_pick("round_robin", rows, last=last)
        assert found is not None
        assert found.id == pick


def test_no_pick_is_certain_under_random_or_without_a_usable_row() -> None:
    """Chance, sessions and emptiness mark nothing."""
    assert certain_pick("random", pool_of(THREE)) is None
    assert certain_pick("sticky", pool_of(THREE)) is None
    assert certain_pick("fill_first", pool_of([a_key(**benched())])) is None


def test_each_strategy_picks_by_its_rule() -> None:
    """First, any, next in the round, fewest uses, the same again; any other name is read as fill_first."""
    rows = [row for row in parse_rows("openrouter", "openrouter", THREE) if isinstance(row, Credential)]
    ready = Ready(rows)
    ready.begin(NOW, NOW)
    assert picker("fill_first")(ready, 2) == picker("quota_aware")(ready, 2) == 0
    assert {picker("random")(ready, None) for _ in range(200)} == {0, 1, 2}
    assert [picker("round_robin")(ready, last) for last in (None, 0, 1, 2)] == [0, 1, 2, 0]
    assert [picker("sticky")(ready, last) for last in (None, 2)] == [0, 2]
    picked = []
    for _ in range(4):
        picked.append(picker("least_used")(ready, None))
        ready.count(picked[-1])
    assert picked == [1, 2, 1, 2]
    assert set(PICKERS) == set(KNOWN_STRATEGIES)
