from __future__ import annotations

import math
import os
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import NOW
from keydeck.engine.reset_times import duration, reset_time, spoken_wait, wait_in_message
from keydeck.engine.times import LONGEST_TOLD_S, jittered, parse_time, sane

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


# --- what hermes passes over (hermes-recovery G14) ---------------------------------------------------------

IN_AN_HOUR = "Sun, 08 Nov 2026 15:02:11 GMT"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("33s", 33.0), ("6m0s", 360.0), ("1h2m3.5s", 3723.5), ("7.66s", 7.66), ("17ms", 0.017)),
        *(("90s", 90.0), ("5m", 300.0), ("1h", 3600.0), ("2d", 172_800.0), ("1m26.4S", 86.4)),
        *((" 2 days, 3 hours and 5 min. ", 183_900.0), ("1.5 hrs", 5400.0), ("0s", 0.0)),
    ],
)
def test_a_wait_as_programs_write_it(text: str, seconds: float) -> None:
    """Units from milliseconds to days, one or several."""
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "90", "s", "5 months", "5mm", "1h x", "h1", "-5s", "1" * 90 + "s", "3,5s 1"]
)
def test_what_is_no_wait_is_none(text: str) -> None:
    """A bare number, another unit, or anything beside the parts."""
    assert duration(text) is None


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached: Limit 30000, Used 29000. Please try again in 7.66s. Visit us.", 7.66),
        ("Please try again in 6m0s.", 360.0),
        ("try again in 1h2m3.5s", 3723.5),
        ("retry in 30 seconds", 30.0),
        ("resets in 45s", 45.0),
        ("resets in 3 hours", 10_800.0),
        ("retry after 2 minutes", 120.0),
        ("retry after 30", 30.0),
        ("Your limit resets in 2 days 4h 30m.", 189_000.0),
        ("available again in 2 days, 3 hours and 5 min", 183_900.0),
        ('{"retryDelay": "33s"}', 33.0),
        ('{"resets_in_seconds": 120}', 120.0),
        ("retry-after-ms: 1500", 1.5),
        ("Resets in 4hr 5min", 14_700.0),
    ],
)
def test_waits_in_sentences_that_hermes_passes_over(message: str, seconds: float) -> None:
    """Whatever the words and units; what hermes reads means the same here."""
    assert spoken_wait(message) == pytest.approx(seconds)
    assert reset_time({"message": message}, NOW) == pytest.approx(NOW + seconds)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "rate limit reached for 30 requests per 1 m",
        "retry after 3 failed attempts",
        "wait",
        "in 20s",
        "resets in " + "9" * 400 + "hr",
    ],
)
def test_sentences_that_name_no_wait(message: str) -> None:
    """A number that belongs to something else is no wait."""
    assert reset_time({"message": message}, NOW) is None


@pytest.mark.parametrize(
    ("context", "wait"),
    [
        ({"reset_at": 30}, 30),
        ({"reset_at": "30"}, 30),
        ({"reset_at": "6m0s"}, 360),
        ({"reset_at": IN_AN_HOUR}, 3600),
        ({"retry_after": 12}, 12),
        ({"retry_after": "12.5"}, 12.5),
        ({"headers": {"x-ratelimit-reset": "30"}}, 30),
        ({"headers": {"X-RateLimit-Reset": str(int((NOW + 60) * 1000))}}, 60),
        ({"headers": {"Retry-After": IN_AN_HOUR}}, 3600),
        ({"headers": {"retry-after-ms": "1500", "retry-after": "2"}}, 1.5),
        ({"body": {"error": {"resets_in_seconds": 90}}}, 90),
        ({"error": {"details": [{"@type": "RetryInfo", "retryDelay": "33s"}]}}, 33),
        ({"error": {"message": "try again in 20s"}}, 20),
        ({"headers": {"anthropic-ratelimit-tokens-reset": "2026-11-08T15:02:11Z"}}, 3600),
        ({"message": "resets at 2026-11-08T15:02:11Z."}, 3600),
    ],
)
def test_ways_of_saying_come_back_that_hermes_passes_over(context: dict[str, Any], wait: float) -> None:
    """Fields and headers of the answer, flat or nested, as the providers send them."""
    assert reset_time(context, NOW) == pytest.approx(NOW + wait)


def test_a_limit_that_has_something_left_is_not_waited_for() -> None:
    """Of several limits those count that are used up, the last of them decides."""
    headers = {
        "x-ratelimit-reset-requests": "1d",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-tokens": "6m0s",
        "x-ratelimit-remaining-tokens": "0",
        "anthropic-ratelimit-unified-7d-reset": NOW + 9999,
        "anthropic-ratelimit-unified-7d-status": "allowed_warning",
        "x-codex-secondary-reset-at": NOW + 9999,
        "x-codex-secondary-used-percent": "40",
        "x-codex-primary-reset-at": NOW + 300,
        "x-codex-primary-used-percent": "100",
    }
    assert reset_time({"headers": headers}, NOW) == NOW + 360


NO_WAITS: tuple[Any, ...] = (math.inf, math.nan, "inf", -3, 1e11, 0, True, {}, [3], "soon", None)
NO_HEADERS: tuple[Any, ...] = (None, [], "x", {3: 4}, {"retry-after": "Sun, 99 Nov 2026"})


@pytest.mark.parametrize(
    "context",
    [
        *({"retry_after": value} for value in NO_WAITS),
        *({"headers": value} for value in NO_HEADERS),
        {"reset_at": {"retryDelay": "33s"}},
        {"error": {"details": [None, 3, "x"]}},
    ],
)
def test_a_field_that_makes_no_sense_is_passed_over(context: dict[str, Any]) -> None:
    """It never raises: this runs while a failure is being handled."""
    assert reset_time(context, NOW) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["reset_at", "headers", "error", "details", "retry-after", "retryDelay", "message"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    ).filter(lambda value: isinstance(value, dict))
)
def test_whatever_the_answer_holds_the_end_can_be_drawn(context: dict[str, Any]) -> None:
    """Any JSON gives a finite time that `datetime` can show, or None."""
    told = reset_time(context, NOW)
    assert told is None or 0 < told <= MOST_SECONDS


def test_only_an_end_ahead_and_within_eight_days_is_sane() -> None:
    """What lies behind, at the moment itself, or months ahead is no throttle (FS-29)."""
    assert sane(NOW + 5, NOW) == NOW + 5
    assert sane(NOW + LONGEST_TOLD_S, NOW) == NOW + LONGEST_TOLD_S
    assert [sane(told, NOW) for told in (None, NOW, NOW - 1, NOW + LONGEST_TOLD_S + 1)] == [None] * 4


@given(st.floats(0, LONGEST_TOLD_S), st.floats(0, 1, exclude_max=True))
def test_jitter_only_lengthens(wait: float, chance: float) -> None:
    """By a tenth at most, and by half a minute at most."""
    assert wait <= jittered(wait, chance) <= wait + min(wait / 10, 30) + 1e-9
    assert jittered(wait, 0) == wait
