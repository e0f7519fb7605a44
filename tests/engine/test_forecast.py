"""The forecast of a pool against what it is judged to be at later moments."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import NOW, a_key, a_login, benched
from keydeck.engine.credential import Row, parse_rows
from keydeck.engine.forecast import Step, forecast
from keydeck.engine.state import awaits_renewal, pool_state, row_state

moments = st.integers(-500, 500).map(lambda ago: NOW + ago)


def pool(*raws: Any) -> tuple[Row, ...]:
    return parse_rows("openrouter", "openrouter", list(raws))


def of(*raws: Any) -> tuple[Step, ...]:
    return forecast(pool_state("openrouter", pool(*raws), NOW), NOW)


def test_rows_that_come_back_together_are_one_step() -> None:
    """Nothing is ready until the two that cool are back; the third follows later."""
    at_five, at_nine = benched(until=NOW + 300), benched(until=NOW + 540)
    steps = of(a_key("a", **at_five), a_key("b", **at_nine), a_key("c", **at_five))
    assert steps == (Step(NOW + 300, 2), Step(NOW + 540, 3))


def test_what_time_does_not_change_is_no_step() -> None:
    """Ready keys, and those that only the operator brings back, take no part."""
    assert of(a_key("a"), a_key("b", last_status="dead"), a_key("c", access_token=...), "no object") == ()


def test_a_token_that_ends_takes_its_row_along() -> None:
    """A login without refresh token is ready until it ends; one that hermes renews goes on."""
    ends = (NOW + 60) * 1000
    steps = of(a_login("a", expires_at_ms=ends, refresh_token=...), a_login("b", expires_at_ms=ends))
    assert steps == (Step(NOW + 60, 1),)


def test_a_bench_that_outlasts_its_token_brings_back_what_can_be_renewed() -> None:
    """A login whose token ends while it cools is not ready after it, unless hermes gets a new token then."""
    bench = {"expires_at_ms": (NOW + 60) * 1000, **benched(until=NOW + 300)}
    assert of(a_login("a", refresh_token=..., **bench)) == ()
    assert of(a_login("a", **bench)) == (Step(NOW + 300, 1),)


def test_a_token_that_ends_while_its_key_is_tried_takes_it_along() -> None:
    """The cooldown is just over, the token ends within the minute in which the row is tried."""
    ends = (NOW + 30) * 1000
    steps = of(a_login("a", expires_at_ms=ends, refresh_token=..., **benched(until=NOW - 5)))
    assert steps == (Step(NOW + 30, 0),)


@st.composite
def rows(draw: st.DrawFn) -> Any:
    bench = draw(st.just({}) | moments.map(lambda until: benched(ago=600, until=until)))
    if draw(st.booleans()):
        return a_key(draw(st.uuids()).hex, **bench)
    renewed = {} if draw(st.booleans()) else {"refresh_token": ...}
    return a_login(
        draw(st.uuids()).hex, **{"expires_at_ms": draw(moments.map(lambda at: at * 1000)), **renewed, **bench}
    )


@given(st.lists(rows(), max_size=6), st.lists(moments, max_size=8))
def test_the_forecast_is_what_will_be_judged(raws: list[Any], later: list[float]) -> None:
    """At every step, just before it, and at any moment between, so many rows are ready or only want a renewal."""
    known = pool(*raws)
    steps = of(*raws)
    assert [step.at for step in steps] == sorted({step.at for step in steps})
    for at in (*(step.at for step in steps), *(step.at - 0.5 for step in steps), *later):
        if at < NOW:
            continue
        told = [step.ready for step in steps if step.at <= at]
        said = told[-1] if told else len(pool_state("openrouter", known, NOW).usable)
        assert said == sum(_is_ready(row, at) for row in known)


def _is_ready(row: Row, at: float) -> bool:
    """Tell whether a row is ready at a moment, or only waits since then for a new token."""
    if row_state(row, at).health.is_usable:
        return True
    return awaits_renewal(row_state(row, at)) and not awaits_renewal(row_state(row, NOW))


@given(st.lists(rows(), max_size=6))
def test_the_first_step_is_when_the_next_row_is_back(raws: list[Any]) -> None:
    """Where none is ready, whoever says when the next one is says the same."""
    known = tuple(row for row in pool(*raws) if not row_state(row, NOW).health.is_usable)
    state = pool_state("openrouter", known, NOW)
    steps = forecast(state, NOW)
    assert state.next_ready_at == (steps[0].at if steps else None)


@pytest.mark.parametrize("rounds", [0, 1])
def test_only_changes_are_steps(rounds: int) -> None:
    """One row that comes back as another one goes leaves the number as it is: that is no step."""
    gone = a_login("a", expires_at_ms=(NOW + 60) * 1000, refresh_token=...)
    back = a_key("b", **benched(until=NOW + 60 + rounds))
    assert len(of(gone, back)) == 2 * rounds
