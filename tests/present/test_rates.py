from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keydeck.present.glyphs import ASCII, UNICODE
from keydeck.present.rates import rate_text, share_text, sparkline
from keydeck.present.text import width


def test_a_chart_goes_from_nothing_to_the_highest() -> None:
    """In blocks, or in signs of ASCII; a little differs from nothing however high the highest is."""
    assert sparkline([0, 1, 50, 100], 4, UNICODE) == "▁▂▅█"
    assert sparkline([0, 1, 50, 100], 4, ASCII) == "_.=#"
    assert sparkline([0, 1, 10**9], 3, UNICODE) == "▁▂█"
    assert sparkline([0, 0], 2, UNICODE) == "▁▁"


def test_many_values_share_cells_and_few_stand_at_the_right() -> None:
    """An even load stays even whatever the width; where there is no value there is a blank."""
    assert sparkline([5] * 60, 12, UNICODE) == "█" * 12
    assert sparkline([5] * 60, 7, UNICODE) == "█" * 7
    assert sparkline([*([0] * 55), *([9] * 5)], 12, UNICODE) == "▁" * 11 + "█"
    assert sparkline([*[0] * 55, 449, *[0] * 4], 12, UNICODE) == "▁" * 11 + "█"
    assert sparkline([3], 3, UNICODE) == "  █"
    assert sparkline([], 4, UNICODE) == "    "
    assert sparkline([1], 0, UNICODE) == sparkline([1], -2, UNICODE) == ""


@given(st.lists(st.integers(-(10**40), 10**40), max_size=100), st.integers(0, 80))
def test_any_values_are_drawn_in_exactly_the_cells_there_are(values: list[int], cells: int) -> None:
    """Negative and huge ones, too."""
    for glyphs in (UNICODE, ASCII):
        chart = sparkline(values, cells, glyphs)
        assert width(chart) == cells
        assert set(chart) <= {*glyphs.bars, " "}


@pytest.mark.parametrize(
    ("per_minute", "text"),
    [
        (0.0, ""),
        (-1.0, ""),
        (math.nan, ""),
        (math.inf, ""),
        (1 / 60, "1/h"),
        (0.09, "5/h"),
        (0.1, "0.1/m"),
        (3.14, "3.1/m"),
        (9.94, "9.9/m"),
        (9.96, "10/m"),
        (1234.4, "1,234/m"),
        (1e15, "1000.0T/m"),
    ],
)
def test_a_rate_is_short(per_minute: float, text: str) -> None:
    """By the minute, below a tenth by the hour; nothing where nothing is sent."""
    assert rate_text(per_minute) == text
    assert len(text) <= 9


def test_a_share_is_short_and_never_hides_a_little() -> None:
    """In percent."""
    assert [share_text(share) for share in (0, 0.001, 0.01, 0.424, 0.999, 1, 7, math.nan)] == [
        *("0%", "<1%", "1%", "42%", "100%", "100%", "100%", "0%"),
    ]


def test_heights_grow_with_values() -> None:
    """Never the other way round."""
    chart = sparkline(range(61), 61, UNICODE)
    assert all(left <= right for left, right in pairwise(chart))
