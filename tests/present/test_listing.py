from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fakes import NOW, a_key, a_login, a_reader, benched, keys, write_store
from keydeck.present.listing import list_lines, listing, status_lines, status_of, statuses

POOL_FIELDS = [
    *("provider", "strategy", "ready", "total", "next_ready_at", "probing", "in_flight", "forecast"),
    "credentials",
]
FIELDS = [
    *("id", "label", "auth_type", "source", "stored", "inherited", "priority", "base_url", "health"),
    *("status_code", "reason", "message", "since", "until", "cause", "evidence", "streak", "scope"),
    *("told_until", "config_line", "in_flight", "limits", "request_count", "token_expires_at"),
    *("duplicate_of", "next_pick", "fingerprint"),
]


def listed(home: Path, **env: Any) -> dict[str, Any]:
    snapshot = a_reader(home, **env).read()
    document: dict[str, Any] = json.loads(json.dumps(listing(snapshot, NOW), allow_nan=False))
    return document


def lines(home: Path, **env: Any) -> list[str]:
    return list_lines(a_reader(home, **env).read(), NOW)


@pytest.fixture
def mixed(home: Path) -> Path:
    """Return a home with a pool of which two of five rows are ready."""
    write_store(
        home,
        {
            "openrouter": [
                a_key("aaa001", "ok-key", request_count=412),
                a_key(
                    "bbb002",
                    "cooling",
                    **benched(
                        429,
                        ago=60,
                        until=NOW + 840,
                        last_error_message="slow down",
                        last_error_reason="rate_limit",
                    ),
                ),
                a_key(
                    "ccc003",
                    "dead",
                    last_status="dead",
                    last_status_at=NOW - 3600,
                    last_error_code=401,
                    last_error_reason="token_revoked",
                ),
                a_key(
                    "ddd004",
                    "unset",
                    source="env:OPENROUTER_API_KEY",
                    access_token=...,
                    secret_fingerprint="sha256:4dff6a68f232ad6b",
                ),
                a_key("eee005", "spare", access_token="sk-test-aaa001-secret"),
            ]
        },
    )
    return home


# --- JSON --------------------------------------------------------------------------------------------------


def test_the_json_has_exactly_the_fields_of_the_issue(mixed: Path) -> None:
    """Home, profile, pools; each pool and each credential with the named fields in the named order."""
    document = listed(mixed)
    assert list(document) == ["home", "profile", "pools"]
    assert (document["home"], document["profile"]) == (str(mixed), "default")
    (pool,) = document["pools"]
    assert list(pool) == POOL_FIELDS
    assert [list(row) for row in pool["credentials"]] == [FIELDS] * 5


def test_what_the_json_says_of_each_state(mixed: Path) -> None:
    """Health, times as epoch seconds, reasons, the next pick, duplicates and fingerprints."""
    (pool,) = listed(mixed)["pools"]
    assert (pool["provider"], pool["strategy"], pool["ready"], pool["total"], pool["next_ready_at"]) == (
        "openrouter",
        "fill_first",
        2,
        5,
        NOW + 840,
    )
    ok, cooling, dead, unset, spare = pool["credentials"]
    assert [row["health"] for row in pool["credentials"]] == [
        "ready",
        "cooling",
        "needs_login",
        "no_secret",
        "ready",
    ]
    assert [row["next_pick"] for row in pool["credentials"]] == [True, False, False, False, False]
    assert (ok["request_count"], ok["since"], ok["until"], ok["duplicate_of"]) == (412, None, None, None)
    assert (cooling["status_code"], cooling["reason"], cooling["message"]) == (429, "rate_limit", "slow down")
    assert (cooling["since"], cooling["until"]) == (NOW - 60, NOW + 840)
    assert (dead["since"], dead["until"], dead["reason"]) == (NOW - 3600, None, "token_revoked")
    assert unset["reason"] == "OPENROUTER_API_KEY unset"
    assert unset["fingerprint"] == "sha256:4dff6a68f232ad6b"
    assert (spare["duplicate_of"], spare["stored"], spare["inherited"]) == ("aaa001", True, False)


def test_the_json_holds_no_secret_and_no_unknown_field(home: Path) -> None:
    """It is built from an allow-list: a field of tomorrow, secret or not, is not in it."""
    planted = (
        "planted-access-01",
        "planted-refresh-02",
        "planted-agent-03",
        "planted-extra-04",
        "planted-note-05",
    )
    row = a_login(
        "aaa001",
        f"my {planted[0]}",
        access_token=planted[0],
        refresh_token=planted[1],
        agent_key=planted[2],
        x_token=planted[3],
        x_note=planted[4],
        base_url=f"https://h/{planted[1]}",
        last_status="exhausted",
        last_status_at=NOW,
        last_error_message=f"{planted[0]} {planted[1]} {planted[2]} {planted[3]}",
        last_error_reason=planted[2],
    )
    write_store(home, {"openrouter": [row]}, providers={"nous": {"access_token": "planted-login-06"}})
    text = json.dumps(listed(home))
    assert "planted" not in text
    assert text.count("***") >= 7


def test_rows_that_cannot_be_read_are_listed_with_their_reason(home: Path) -> None:
    """In the same fields, so that nothing that reads the JSON breaks."""
    write_store(home, {"openrouter": [a_key("aaa001", "mine", priority="1"), 5]})
    (pool,) = listed(home)["pools"]
    assert [(row["health"], row["reason"]) for row in pool["credentials"]] == [
        ("bad_row", "its priority is not a number"),
        ("bad_row", "the row is not an object"),
    ]
    assert [list(row) for row in pool["credentials"]] == [FIELDS] * 2
    assert pool["credentials"][0]["label"] == "mine"
    assert (pool["ready"], pool["total"]) == (0, 2)


def test_offered_and_inherited_rows_say_so(home: Path) -> None:
    """`stored` is false for an offer, `inherited` true for the root's."""
    write_store(home, {"openrouter": keys("aaa001")})
    (home / "profiles" / "worker").mkdir(parents=True)
    document = listed(home, profile="worker", DEEPSEEK_API_KEY="sk-real-0123")
    assert document["profile"] == "worker"
    rows = {pool["provider"]: pool["credentials"][0] for pool in document["pools"]}
    assert (rows["openrouter"]["inherited"], rows["openrouter"]["stored"]) == (True, True)
    assert (rows["deepseek"]["inherited"], rows["deepseek"]["stored"]) == (False, False)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -float("inf"), 1e308, 10**400, -5, "soon", [], {}, True]
)
def test_the_json_is_json_whatever_numbers_a_row_holds(home: Path, value: Any) -> None:
    """NaN and infinity, which no other reader takes, are never printed."""
    names = (
        "last_status_at",
        "last_error_reset_at",
        "last_error_code",
        "request_count",
        "expires_at_ms",
        "priority",
    )
    rows = [
        a_login(f"row{n:03}", **{"last_status": "exhausted", name: value}) for n, name in enumerate(names)
    ]
    write_store(home, {"openrouter": rows})
    (pool,) = listed(home)["pools"]
    assert pool["total"] == len(names)


# --- text --------------------------------------------------------------------------------------------------


def test_the_list_says_why_since_and_until_for_every_row_that_is_out(mixed: Path) -> None:
    """A pool's sentence, and for each row what a person asks; a dead row never looks healthy."""
    head, ok, cooling, dead, unset, spare, blank = lines(mixed)
    assert head == "openrouter  2 of 5 ready until 14:16:11, then 3  fill_first"
    assert ok.startswith("  ->  1  aaa001")
    assert "ready" in ok
    assert "412" in ok
    assert (
        "cooling, until 14:16:11 (14m00s left), since 14:01:11, found in the file (hermes): 429 rate limit: slow down"
        in cooling
    )
    assert "log in again, since 13:02:11, found in the file (hermes): " in dead
    assert "401 key refused" in dead
    assert "token_revoked" in dead
    assert "ready" not in dead
    assert "no secret: OPENROUTER_API_KEY unset" in unset
    assert "[same key as ok-key]" in spare
    assert blank == ""
    assert not [line for line in (cooling, dead, unset, spare) if "->" in line]


def test_columns_line_up(mixed: Path) -> None:
    """Whatever the labels, the states stand below each other."""
    write_store(
        mixed, {"openrouter": [a_key("aaa001", "鍵鍵"), a_key("bbb002", "x" * 99), a_key("ccc003", "é")]}
    )
    from keydeck.present.text import width

    starts = {width(line[: line.index("ready")]) for line in lines(mixed)[1:4]}
    assert len(starts) == 1


def test_an_ascii_store_is_listed_in_ascii(home: Path) -> None:
    """A list goes into pipes and old terminals: no sign of ours needs more, also where something is cut."""
    write_store(
        home,
        {
            "openrouter": [
                a_key("aaa001", "x" * 90),
                a_key("bbb002", **benched(429, last_error_message="word " * 400)),
            ]
        },
    )
    text = "\n".join(lines(home))
    assert text.isascii()
    assert "x" * 20 in text


@pytest.mark.parametrize(
    "field", ["id", "label", "source", "auth_type", "last_error_message", "last_error_reason"]
)
def test_nothing_in_a_row_steers_the_terminal(home: Path, field: str) -> None:
    """Escape sequences, new lines and bidi signs are gone from every column."""
    hostile = "\x1b[2J\x1b]0;t\x07a\nb\rc\u202ed\x9b31m\x00"
    write_store(
        home, {"openrouter": [a_key(**{"row_id": "aaa001", **benched(429), field: hostile}), a_key("bbb002")]}
    )
    for line in lines(home):
        assert not set(line) & {"\x1b", "\n", "\r", "\x07", "\u202e", "\x9b", "\x00"}
    assert len(lines(home)) == 4


def test_nothing_in_the_names_of_pools_steers_the_terminal(home: Path) -> None:
    """Nor in a strategy, or in the name of a pool that cannot be shown."""
    write_store(home, {"a\x1b[2J\nb": keys("aaa001"), "c\x1b[2J": "no list"})
    (home / "config.yaml").write_text('credential_pool_strategies: {"a\\e[2J\\nb": "x\\e[2J"}\n')
    for line in lines(home):
        assert not set(line) & {"\x1b", "\n"}


def test_pools_that_cannot_be_shown_are_named(home: Path) -> None:
    """With the reason, after the others."""
    write_store(home, {"zai": "x", "openrouter": keys("aaa001")})
    assert (
        lines(home)[-1]
        == "pool zai cannot be shown: its value is a JSON string where a list of rows should be"
    )


def test_offers_and_inherited_rows_are_badged(home: Path) -> None:
    """Where a row comes from matters before one acts on it."""
    write_store(home, {"openrouter": keys("aaa001")})
    (home / "profiles" / "worker").mkdir(parents=True)
    text = "\n".join(lines(home, profile="worker", DEEPSEEK_API_KEY="sk-real-0123"))
    assert "[inherited]" in text
    assert "[offered]" in text


def test_an_unknown_strategy_is_shown_as_such(home: Path) -> None:
    """With what is made of it."""
    write_store(home, {"openrouter": keys("aaa001")})
    (home / "config.yaml").write_text("credential_pool_strategies: {openrouter: quota_aware}\n")
    assert lines(home)[0].endswith("quota_aware (unknown, read as fill_first)")


# --- status ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raws", "state", "usable"),
    [
        ([a_key(), a_key("b", **benched())], "ready", True),
        ([a_key(**benched()), a_key("b", last_status="dead")], "cooling", False),
        ([a_key(last_status="dead"), a_key("b", access_token=...)], "needs_login", False),
        ([a_key(access_token=...), 5], "no_secret", False),
        ([5], "bad_row", False),
    ],
)
def test_a_provider_is_as_well_as_its_best_row(home: Path, raws: list[Any], state: str, usable: bool) -> None:
    """The answer to a model picker: can it be used now, and if not, what is the matter."""
    write_store(home, {"openrouter": raws})
    (answer,) = statuses(a_reader(home).read(), NOW)
    assert (answer["provider"], answer["name"], answer["state"], answer["usable"]) == (
        "openrouter",
        "OpenRouter",
        state,
        usable,
    )
    assert list(answer) == ["provider", "name", "usable", "state", "ready", "total", "next_ready_at"]


def test_a_provider_without_a_row_is_absent() -> None:
    """Which is not the same as all cooling."""
    answer = status_of("zai", None, NOW)
    assert (answer["state"], answer["usable"], answer["total"]) == ("absent", False, 0)
    assert status_lines([answer], NOW) == ["zai  absent, no credential"]


def test_status_lines(home: Path) -> None:
    """One a provider, the names padded, with the wait."""
    write_store(home, {"openrouter": [a_key(**benched(until=NOW + 840))], "zai": keys("aaa001")})
    assert status_lines(statuses(a_reader(home).read(), NOW), NOW) == [
        "openrouter  cooling, 0 of 1 ready, next back in 14m00s",
        "zai         ready, 1 of 1 ready",
    ]
