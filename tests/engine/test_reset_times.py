from __future__ import annotations

import math
import os
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import NOW
from keydeck.engine.reset_times import parse_time, reset_time, wait_in_message

INSTANT = 1_794_146_531.0
MOST_SECONDS = 253402300799.0


@pytest.mark.parametrize(
    "value",
    [
        1_794_146_531,
        1_794_146_531.0,
        "1794146531",
        " 1794146531 ",
        "1794146531.0",
        1_794_146_531_000,
        "1794146531000",
        "2026-11-08T14:02:11Z",
        "2026-11-08T14:02:11+00:00",
        "2026-11-08T14:02:11.000000+00:00",
        "2026-11-08T15:02:11+01:00",
        "2026-11-08 14:02:11Z",
        "20261108T140211Z",
    ],
)
def test_every_way_of_writing_an_instant_names_the_same_one(value: Any) -> None:
    """Seconds, milliseconds, either as text, and ISO 8601 in every form agree."""
    assert parse_time(value) == INSTANT


def test_a_date_alone_is_its_midnight() -> None:
    """A date without a time is local midnight."""
    assert parse_time("2026-11-08") == INSTANT - (14 * 3600 + 2 * 60 + 11)


@pytest.mark.parametrize(("zone", "hours"), [("UTC", 0), ("America/New_York", 5), ("Asia/Tokyo", -9)])
def test_a_naive_time_is_local_time(monkeypatch: pytest.MonkeyPatch, zone: str, hours: int) -> None:
    """ISO without a zone is read in the machine's own, as hermes reads it."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    assert parse_time("2026-11-08T14:02:11") == INSTANT + hours * 3600
    assert os.environ["TZ"] == zone


@pytest.mark.parametrize(
    "value",
    [
        *(None, "", "   ", 0, -1, -0.5, 0.0, "0", "-5", True, False, [], {}, [INSTANT], b"1794146531"),
        *(math.nan, math.inf, -math.inf, "nan", "inf", "-inf", "infinity", "NaN"),
        *(10**400, -(10**400), "1e999", 1e300, 1e16, "99999999999999999999"),
        *(
            "soon",
            "14:02:11",
            "Sun, 08 Nov 2026 14:02:11 GMT",
            "2026-13-45T00:00:00Z",
            "0001-01-01T00:00:00+23:59",
        ),
        *("2026-11-08T14:02:11Z trailing", "\x00", "1,794,146,531"),
    ],
)
def test_what_names_no_point_in_time_is_none(value: Any) -> None:
    """Nothing, zero, negative, infinite, unreadable: no time, and never an error."""
    assert parse_time(value) is None


@given(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.datetimes().map(str)
    | st.lists(st.integers(), max_size=2)
)
def test_whatever_is_given_the_answer_is_a_drawable_time_or_none(value: Any) -> None:
    """Any JSON value gives a finite, positive time that `datetime` can show, or None."""
    told = parse_time(value)
    assert told is None or 0 < told <= MOST_SECONDS


@given(st.floats(1.0, 1e12))
def test_seconds_are_kept_as_they_are(seconds: float) -> None:
    """Up to 1e12 a number is seconds, unless it lies beyond what can be shown."""
    assert parse_time(seconds) == (seconds if seconds <= MOST_SECONDS else None)


def test_the_border_between_seconds_and_milliseconds() -> None:
    """Just above 1e12 a number is milliseconds."""
    assert parse_time(1e12 + 1) == pytest.approx(1e9, abs=1)
    assert parse_time(1e12) is None


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ('{"quotaResetDelay":"12.5s"}', 12.5),
        ("quotaResetDelay: 800ms", 0.8),
        ("QUOTARESETDELAY = '3s'", 3.0),
        ("please retry after 30 seconds", 30.0),
        ("Retry after 7s", 7.0),
        ("retry 5 secs", 5.0),
        ("RETRY AFTER 1.5 sec.", 1.5),
        ("Resets in 4hr 5min", 14700.0),
        ("reset in 2 hr", 7200.0),
        ("It resets in 45min", 2700.0),
        ("quotaResetDelay 1s, retry after 30 seconds", 1.0),
    ],
)
def test_waits_in_sentences_that_hermes_recognises(message: str, seconds: float) -> None:
    """The table of hermes-pool 5.3, first hit first."""
    assert wait_in_message(message) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "retry in 30 seconds",
        "try again in 20s",
        "resets in 45s",
        "retry after 2 minutes",
        "retry after 30",
        "rate limit reached",
    ],
)
def test_sentences_hermes_does_not_recognise_name_no_wait(message: str) -> None:
    """What hermes passes over is passed over here: both bench a key for the same time."""
    assert wait_in_message(message) is None


@pytest.mark.parametrize("name", ["reset_at", "resets_at", "retry_until"])
def test_an_absolute_reset_time_comes_before_the_message(name: str) -> None:
    """A named time decides, in any of hermes' fields and formats."""
    context = {name: "2026-11-08T15:02:11Z", "message": "retry after 30 seconds"}
    assert reset_time(context, NOW) == NOW + 3600


def test_a_wait_in_the_message_counts_from_now() -> None:
    """Without a named time the message's wait is added to the clock."""
    assert reset_time({"message": "retry after 30 seconds", "reset_at": "soon"}, NOW) == NOW + 30


@pytest.mark.parametrize(
    "context", [{}, {"message": None}, {"message": 7}, {"reset_at": math.nan}, {"message": "no"}]
)
def test_no_hint_is_no_time(context: dict[str, Any]) -> None:
    """A context without a usable hint gives None."""
    assert reset_time(context, NOW) is None
