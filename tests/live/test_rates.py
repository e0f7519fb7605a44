from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keydeck.engine.totals import Totals
from keydeck.live.rates import per_hour, per_minute, per_minute_by_row, rate, shares

NOW = 1_794_146_520.0
"""On a whole minute, 22 minutes past an hour."""
MINUTE, HOUR = int(NOW // 60), int(NOW // 3600)


def sent(**minutes_ago: dict[int, int]) -> Totals:
    """Return totals of rows: minutes ago → requests."""
    totals = Totals()
    for row, counts in minutes_ago.items():
        for ago, number in counts.items():
            totals._add(NOW - ago * 60, row, number)
    return totals


def test_requests_by_minute_and_by_hour() -> None:
    """Oldest first, the running one last; rows of other pools do not count."""
    totals = sent(a={0: 1, 1: 2, 59: 3, 60: 9}, b={1: 10}, other={1: 100})
    assert per_minute(totals, ["a", "b"], NOW) == (3, *[0] * 57, 12, 1)
    assert per_minute(totals, ["a"], NOW, 3) == (0, 2, 1)
    assert per_minute_by_row(totals, ["a", "b", "c"], NOW, 2) == {"a": (2, 1), "b": (10, 0), "c": (0, 0)}
    assert per_hour(totals, ["a"], NOW, 2) == (12, 3)
    assert len(per_hour(totals, ["a"], NOW)) == 24


def test_a_rate_slides_over_the_running_minute() -> None:
    """It neither drops to nothing at a full minute nor counts a request twice."""
    totals = sent(a={0: 6, 1: 12})
    assert rate(totals, ["a"], NOW) == 6 + 12
    assert rate(totals, ["a"], NOW + 30) == 6 + 6
    assert rate(totals, ["a"], NOW + 59.9) == pytest.approx(6, abs=0.1)
    assert rate(totals, ["a"], NOW + 60) == 6
    assert rate(totals, ["a"], NOW + 120) == 0


def test_shares_of_a_pool() -> None:
    """They sum up to one; none where nothing was sent in the last hour."""
    totals = sent(a={0: 1, 5: 2}, b={30: 1, 61: 50})
    assert shares(totals, ["a", "b", "c"], NOW) == {"a": 0.75, "b": 0.25, "c": 0.0}
    assert shares(totals, ["c"], NOW) == {}


def test_without_history_nothing_was_sent() -> None:
    """Zeros, no error."""
    assert per_minute(Totals(), ["a"], NOW) == (0,) * 60
    assert per_hour(Totals(), [], NOW) == (0,) * 24
    assert rate(Totals(), ["a"], NOW) == 0
    assert shares(Totals(), [], NOW) == {}


def test_a_clock_that_was_set_back_leaves_nothing_in_the_future() -> None:
    """What was counted in minutes to come shows when they are past."""
    totals = sent(a={-30: 5, 0: 1})
    assert sum(per_minute(totals, ["a"], NOW)) == 1
    assert sum(per_minute(totals, ["a"], NOW + 1800)) == 6


@given(st.dictionaries(st.sampled_from("abc"), st.integers(-(10**300), 10**300)), st.floats(0, 1e12))
def test_hostile_counts_are_kept_in_bounds(slot: dict[str, int], now: float) -> None:
    """Nothing is negative, no share above one, no number too large to draw."""
    totals = Totals(minutes={int(now // 60): slot}, hours={int(now // 3600): slot})
    rows = ("a", "b", "c")
    assert all(
        0 <= number <= 3 * 10**15 for number in (*per_minute(totals, rows, now), *per_hour(totals, rows, now))
    )
    assert all(0 <= share <= 1 for share in shares(totals, rows, now).values())
    assert rate(totals, rows, now) >= 0
