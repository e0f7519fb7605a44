from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import NOW, a_key, benched
from keydeck.engine.config import KNOWN_STRATEGIES
from keydeck.engine.credential import parse_rows
from keydeck.engine.state import PoolState, pool_state
from keydeck.engine.strategies import certain_pick, next_picks


def a_state(*uses: int | None) -> PoolState:
    """Return a pool with a ready row for each count, and a benched one for each None."""
    raws = [
        a_key(f"row{place}", priority=place, request_count=count)
        if count is not None
        else a_key(f"row{place}", priority=place, **benched(until=NOW + 60))
        for place, count in enumerate(uses)
    ]
    return pool_state("openrouter", parse_rows("openrouter", "openrouter", raws), NOW)


def ids(strategy: str, state: PoolState, count: int = 5) -> list[str]:
    return [pick.id.removeprefix("row") for pick in next_picks(strategy, state, count)]


@pytest.mark.parametrize(
    ("strategy", "uses", "picks"),
    [
        ("fill_first", (9, 0, 0), "00000"),
        ("fill_first", (None, 5, 0), "11111"),
        ("round_robin", (9, 0, 0), "01201"),
        ("round_robin", (None, 0, None, 3), "13131"),
        ("least_used", (2, 0, 1), "11201"),
        ("least_used", (3, 3, 3), "01201"),
        ("least_used", (None, 7, 0), "22222"),
        ("random", (0, 0), ""),
        ("sticky", (0, 0), ""),
        ("random", (None, 0), "11111"),
        ("sticky", (0, None), "00000"),
        ("no-such", (0, 0), "00000"),
    ],
)
def test_the_next_picks_follow_the_strategy(strategy: str, uses: tuple[int | None, ...], picks: str) -> None:
    """Only usable rows are picked; nothing is foretold where chance or the session decides among several."""
    assert ids(strategy, a_state(*uses)) == list(picks)


@pytest.mark.parametrize("strategy", KNOWN_STRATEGIES)
def test_a_pool_that_is_out_has_no_picks(strategy: str) -> None:
    """Neither an empty pool nor one without a usable row foretells anything."""
    assert ids(strategy, a_state()) == []
    assert ids(strategy, a_state(None, None)) == []
    assert ids(strategy, a_state(0), 0) == []


@given(
    st.sampled_from(KNOWN_STRATEGIES),
    st.lists(st.one_of(st.none(), st.integers(0, 20)), max_size=6),
    st.integers(1, 12),
)
def test_picks_are_usable_rows_and_agree_with_the_certain_one(
    strategy: str, uses: list[int | None], count: int
) -> None:
    """There are none or as many as asked for, all usable, and the first is the certain pick."""
    state = a_state(*uses)
    picks = next_picks(strategy, state, count)
    assert len(picks) in (0, count)
    assert set(map(id, picks)) <= set(map(id, state.usable))
    if picks:
        assert picks[0] is certain_pick(strategy, state)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6), st.integers(1, 40))
def test_least_used_levels_the_counts(uses: list[int], count: int) -> None:
    """Each pick goes to a row that had the fewest requests at that moment."""
    left = list(uses)
    for pick in next_picks("least_used", a_state(*uses), count):
        place = int(pick.id.removeprefix("row"))
        assert left[place] == min(left)
        left[place] += 1
    assert sum(left) == sum(uses) + count
