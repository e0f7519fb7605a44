from __future__ import annotations

import json
from typing import Any

import pytest

from cli.program import Run
from fakes import NOW, FakeClock, a_key, a_pool, a_reader, benched, keys, load, tree, write_store
from keydeck.engine.acts import Operator


@pytest.fixture
def two(run: Run) -> Run:
    """Return the program on a home with two keys; it is 14:02:11 on 8 November."""
    write_store(run.home, {"openrouter": keys("aaa001", "aaa002")})
    return run


def listed(run: Run, place: int = 0) -> dict[str, Any]:
    pools = json.loads(run.done("auth", "list", "--json"))["pools"]
    found: dict[str, Any] = pools[0]["credentials"][place]
    return found


def test_a_key_is_paused_and_resumed(two: Run) -> None:
    """By label, id or place; one line says so, the list shows it, and the row is as before in the end."""
    before = load(two.home)["credential_pool"]
    assert two.done("auth", "pause", "openrouter", "key-aaa001") == "paused: key-aaa001 (aaa001)\n"
    assert "paused, since 14:02:11" in two.done("auth", "list")
    assert (listed(two)["health"], listed(two)["until"]) == ("paused", None)
    assert two.done("auth", "resume", "openrouter", "1") == "resumed key-aaa001 (aaa001)\n"
    assert listed(two)["health"] == "ready"
    assert load(two.home)["credential_pool"] == before


@pytest.mark.parametrize(
    ("until", "seconds", "said"),
    [
        ("2h", 7200, "paused until 16:02"),
        ("90s", 90, "paused until 14:03"),
        ("14:05", 169, "paused until 14:05"),
        ("14:02", 86400 - 11, "paused until 2026-11-09 14:02"),
        ("2026-11-08T15:00", 3469, "paused until 15:00"),
        ("2026-11-09", 35869, "paused until 2026-11-09 00:00"),
        ("3d", 3 * 86400, "paused until 2026-11-11 14:02"),
    ],
)
def test_a_pause_has_an_end(two: Run, until: str, seconds: float, said: str) -> None:
    """In so long, at the next such time of day, or at an ISO time; the list counts down to it."""
    assert two.done("auth", "pause", "openrouter", "1", "--until", until) == f"{said}: key-aaa001 (aaa001)\n"
    assert listed(two)["until"] == NOW + seconds
    assert "paused, until " in two.done("auth", "list")


def test_no_end_is_wrong_usage_and_a_past_one_is_refused(two: Run) -> None:
    """Either way nothing is paused."""
    before = tree(two.home)
    result = two("auth", "pause", "openrouter", "1", "--until", "soon")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "14:05" in result.stderr
    refused = two.refused("auth", "pause", "openrouter", "1", "--until", "2026-11-08T14:00")
    assert refused == "that time is over already"
    assert tree(two.home) == before


def test_what_is_under_a_pause_is_told(run: Run) -> None:
    """The list gives the code of the bench that goes on, and a resume says that the key is still out."""
    write_store(run.home, {"openrouter": [a_key("aaa001", **benched(402)), a_key("aaa002", priority=1)]})
    run.done("auth", "pause", "openrouter", "1")
    assert (listed(run)["health"], listed(run)["status_code"]) == ("paused", 402)
    assert "still out" in run.done("auth", "resume", "openrouter", "1")


def test_the_last_ready_key_is_named(run: Run) -> None:
    """Who pauses it is told that none is left (FS-67)."""
    write_store(run.home, {"openrouter": keys("aaa001")})
    assert "no key of openrouter is ready now" in run.done("auth", "pause", "openrouter", "1")
    assert json.loads(run.done("auth", "status", "openrouter", "--json"))["providers"][0]["state"] == "paused"


def test_nothing_is_paused_in_read_only(two: Run) -> None:
    """As for every other act."""
    assert "--read-only" in two.refused("--read-only", "auth", "pause", "openrouter", "1")
    assert listed(two)["health"] == "ready"


def test_events_tell_of_both(two: Run) -> None:
    """The journal has who paused what until when, and the resume."""
    two.done("auth", "pause", "openrouter", "1", "--until", "15m")
    two.done("auth", "resume", "openrouter", "1")
    lines = [" ".join(line.split()[2:]) for line in two.done("auth", "events").splitlines()]
    assert lines[1:] == [
        "= openrouter / key-aaa001 paused until 14:17:11",
        "+ openrouter / key-aaa001 resumed",
    ]


def test_events_tell_of_a_pause_that_the_clock_ended(two: Run) -> None:
    """Once, at its time; a cooldown that ended meanwhile is told neither before nor after it."""
    an_hour_ago = FakeClock(NOW - 3600)
    with a_pool(two.home, clock=an_hour_ago) as pool:
        assert pool.select()
        pool.mark_exhausted_and_rotate(status_code=429, error_context={"reset_at": NOW - 3000})
    Operator(a_reader(two.home, clock=an_hour_ago)).pause("openrouter", "aaa001", until=NOW - 1800)
    lines = [" ".join(line.split()) for line in two.done("auth", "events").splitlines() if "aaa001" in line]
    assert [line.partition("key-aaa001 ")[2] for line in lines] == [
        "429 rate limit, cooling until 13:12:11",
        "paused until 13:32:11",
        "pause over",
    ]
    assert lines[-1].startswith("13:32:11")


def test_refresh_is_announced_and_not_pretended(two: Run) -> None:
    """One line on standard error and an exit code of its own; nothing is changed."""
    before = tree(two.home)
    result = two("auth", "refresh", "openrouter", "1")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == (
        "keydeck: not yet: this version renews no tokens; hermes does when it uses the login\n"
    )
    assert tree(two.home) == before
    assert "no credential 'nobody'" in two.refused("auth", "refresh", "openrouter", "nobody")
