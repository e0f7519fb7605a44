from __future__ import annotations

import json
from typing import Any

import pytest

from cli.program import Run
from fakes import NOW, FakeClock, a_key, a_pool, benched, happened, keys, tree, write_store
from keydeck.engine.events import Failed

COOLING = "cooling until 14:05:00 (2m49s left): 429 rate limit, found in the file (hermes)"


@pytest.fixture
def two(run: Run) -> Run:
    """Return the program on a home with a benched key and a ready one; it is 14:02:11."""
    rows = keys("aaa001", "aaa002")
    rows[0].update(benched(429, until=NOW + 169))
    write_store(run.home, {"openrouter": rows})
    return run


def explained(run: Run, *args: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run.done("auth", "explain", *args, "--json"))
    return document


def test_a_line_for_the_pool_and_one_for_each_key(two: Run) -> None:
    """Who is next, why each key is or is not, and what would change it; looking writes nothing."""
    before = tree(two.home)
    assert two.done("auth", "explain", "openrouter").splitlines() == [
        "openrouter  fill_first  the next request goes to key-aaa002",
        f"      1  aaa001    key-aaa001  {COOLING}; wait 2m49s, or keydeck auth reset openrouter aaa001",
        "  ->  2  aaa002    key-aaa002  the only ready key",
    ]
    assert explained(two, "openrouter")["pick"] == "aaa002"
    assert tree(two.home) == before


def test_the_json_names_the_home_and_what_was_asked(two: Run) -> None:
    """For a session, a model and a lease; a provider goes by any of its names."""
    document = explained(two, "OpenRouter", "--session", "chat 1", "--model", "some/model", "--lease")
    assert (document["home"], document["profile"]) == (str(two.home), "default")
    assert (document["provider"], document["session"], document["model"]) == (
        "openrouter",
        "chat 1",
        "some/model",
    )
    assert [row["reason"] for row in document["rows"]] == ["cooling", "only_ready"]


def test_a_program_that_starts_now_gets_the_row_that_is_named(run: Run) -> None:
    """Under every strategy without chance, after others have picked."""
    write_store(run.home, {"openrouter": keys("aaa001", "aaa002", "aaa003")})
    for strategy in ("fill_first", "round_robin", "least_used", "sticky"):
        run.done("auth", "strategy", "openrouter", strategy)
        for session in (None, "a", "b"):
            asked = ("--session", session) if session else ()
            named = explained(run, "openrouter", *asked)["pick"]
            with a_pool(run.home, clock=FakeClock()) as pool:
                row = pool.select(session=session)
                assert row is not None
                assert row.id == named


def test_the_cap_of_leases_is_that_of_config_yaml(two: Run) -> None:
    """What is in flight is told against it."""
    (two.home / "config.yaml").write_text("credential_pool: {leases: {at_most: 4}}\n")
    with a_pool(two.home, clock=FakeClock()) as pool, pool.lease():
        assert "the only ready key, 1 in flight of 4" in two.done("auth", "explain", "openrouter")
        assert explained(two, "openrouter")["leases_at_most"] == 4


def test_a_pool_without_keys_says_how_to_add_one(two: Run) -> None:
    """That is an answer, and no failure."""
    said = "zai has no credential; keydeck auth add zai adds one\n"
    assert two.done("auth", "explain", "zai") == said
    assert explained(two, "zai")["outcome"] == "not_configured"


def test_an_unknown_provider_is_refused_with_what_was_meant(two: Run) -> None:
    """With exit code 1, and the name that comes closest."""
    assert two.refused("auth", "explain", "opnrouter") == (
        "unknown provider 'opnrouter'; did you mean openrouter?"
    )


def test_a_file_that_cannot_be_read_is_no_answer(two: Run) -> None:
    """A pool that is not known is not called empty."""
    (two.home / "auth.json").write_text("{")
    assert "auth.json" in two.refused("auth", "explain", "openrouter")


def test_a_row_that_cannot_be_read_has_its_line(run: Run) -> None:
    """It hides nothing but itself."""
    write_store(run.home, {"openrouter": [a_key("aaa001"), a_key("aaa002", priority="x")]})
    assert [row["reason"] for row in explained(run, "openrouter")["rows"]] == ["only_ready", "bad_row"]
    assert "mend this row in auth.json by hand" in run.done("auth", "explain", "openrouter")


def test_the_list_and_the_explanation_call_a_thing_by_one_name(run: Run) -> None:
    """What keeps a key out is under the same names, with the same values, in both; of models as well."""
    names = ("since", "until", "status_code", "cause", "evidence", "streak", "told_until", "config_line")
    write_store(run.home, {"openrouter": keys("aaa001", "bbb002", "ccc003", "ddd004")})
    (run.home / "config.yaml").write_text("credential_pool:\n  cooldown:\n    402: 2h\n")
    failures: dict[str, dict[str, Any]] = {
        "aaa001": {"code": 429, "until": NOW + 500},
        "bbb002": {"code": 429, "until": NOW + 15 * 86400},
        "ccc003": {"code": 402},
        "ddd004": {"code": 429, "kind": "rate_limit", "scope": "model:m1"},
    }
    told = ((0, Failed(ids=(row_id,), provider="openrouter", **each)) for row_id, each in failures.items())
    happened(run.home, *told)
    listed = json.loads(run.done("auth", "list", "openrouter", "--json"))["pools"][0]["credentials"]
    why = {row["id"]: row for row in explained(run, "openrouter")["rows"]}
    assert [row["told_until"] for row in listed[:3]] == [NOW + 500, NOW + 15 * 86400, None]
    assert listed[2]["config_line"] == 3
    for row in listed[:3]:
        failure = why[row["id"]]["failure"]
        assert {name: failure[name] for name in names} == {name: row[name] for name in names}
    (limit,), (other,) = listed[3]["limits"], why["ddd004"]["limits"]
    shared = limit.keys() & other.keys()
    assert {"model", "until", "told_until", "streak", "status_code"} <= shared
    assert {name: limit[name] for name in shared - {"scope"}} == {
        name: other[name] for name in shared - {"scope"}
    }
