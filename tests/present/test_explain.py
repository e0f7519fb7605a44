"""Why a key is taken or not, in words and as JSON: every reason has its sentence, and nothing of a store gets through."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fakes import NOW, FakeClock, a_key, a_login, a_pool, a_reader, benched, keys, write_store
from keydeck.engine.acts import Operator
from keydeck.engine.explanation import Act, Reason
from keydeck.present.explain import _SAYS as SENTENCES
from keydeck.present.explain import COMMANDS, KEYS, Told, explain_lines, remedies_text, told, why_facts
from keydeck.present.explain_form import explanation_form
from keydeck.present.glyphs import UNICODE
from keydeck.present.rows import Context
from keydeck.present.spans import plain

SECRET = "sk-planted-0123456789abcdef"
FIELDS = [
    *("provider", "strategy", "session", "model", "at", "outcome", "pick", "among", "soonest", "ready_at"),
    *("leases_at_most", "rows"),
]
ROW_FIELDS = [
    *(
        "id",
        "label",
        "place",
        "reason",
        "next_pick",
        "out",
        "probing",
        "since",
        "until",
        "ready_at",
        "failure",
    ),
    *("said", "compared_with", "turns", "requests", "in_flight", "limits", "would_change", "inherited"),
]
FAILURE_FIELDS = [
    *("since", "until", "status_code", "cause", "scope", "evidence", "told_until", "config_line"),
    "streak",
]


def asked(home: Path, now: float = NOW, *, masked: bool = False, **about: Any) -> Told:
    snapshot = a_reader(home, clock=FakeClock(now)).read()
    pool = snapshot.pool("openrouter")
    assert pool is not None
    return told(pool, pool.at(now), now, Context(UNICODE, snapshot.scrubber, masked), **about)


def sentences(said: Told) -> dict[str, str]:
    """Return what is said of each key, by id; the pool's own goes by its provider."""
    head, *lines = explain_lines(said)
    return {said.answer.provider: head, **{line[9:17].strip(): line for line in lines}}


def form(said: Told) -> dict[str, Any]:
    labels = {state.id: state.row.label for state in said.states.values()}
    document = explanation_form(said.answer, labels, said.context.scrubber)
    read: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
    return read


def test_every_reason_and_every_act_has_words() -> None:
    """In the sentences, among the commands, and among the keys of the dashboard."""
    assert set(SENTENCES) == set(Reason)
    assert set(COMMANDS) == set(KEYS) == set(Act)


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        (
            "fill_first",
            (
                "the first ready key (fill_first)",
                "ready, but team-a comes first (fill_first); keydeck auth move openrouter aaa002 first, or ",
            ),
        ),
        (
            "least_used",
            ("ready, used 412 against 36 (least_used)", "used least, 36 against 36 of ci (least_used)"),
        ),
        ("round_robin", ("its turn is first (round_robin)", "ready, its turn is after team-a (round_robin)")),
        ("random", ("ready, one of 3 by chance (random)", "ready, one of 3 by chance (random)")),
        ("sticky", ("the first ready key (sticky)", "ready, for other sessions (sticky)")),
    ],
)
def test_ready_keys_say_how_they_are_ordered(home: Path, strategy: str, said: tuple[str, str]) -> None:
    """With the strategy, the other key, and the numbers that decide."""
    rows = keys("aaa001", "aaa002", "aaa003")
    for row, label, uses in zip(rows, ("team-a", "team-b", "ci"), (412, 36, 36), strict=True):
        row.update(label=label, request_count=uses)
    write_store(home, {"openrouter": rows})
    (home / "config.yaml").write_text(f"credential_pool_strategies: {{openrouter: {strategy}}}\n")
    found = sentences(asked(home))
    assert said[0] in found["aaa001"]
    assert said[1] in found["aaa002"]
    if strategy == "least_used":
        assert "used 36 like team-b, which comes first" in found["aaa003"]
    after = (
        "to any of 3" if strategy == "random" else f"to {'team-b' if strategy == 'least_used' else 'team-a'}"
    )
    assert found["openrouter"] == f"openrouter  {strategy}  the next request goes {after}"


def test_keys_that_are_out_say_why_until_when_and_what_helps(home: Path) -> None:
    """The provider's words, how manieth, whose word; and the command, or the key to press."""
    write_store(
        home,
        {
            "openrouter": [
                a_key("aaa001", "limit", **benched(429, until=NOW + 169, last_error_message="slow down")),
                a_key("aaa002", "broke", priority=1),
                a_key("aaa003", "revoked", priority=2, last_status="dead", last_error_code=401),
                a_login("aaa004", "over", priority=3, expires_at_ms=(NOW - 5) * 1000),
                a_key("aaa005", "unset", priority=4, source="env:MY_KEY", access_token=...),
                a_key("aaa006", "half", priority="first"),
                a_key("aaa007", "away", priority=6),
            ]
        },
    )
    with a_pool(home) as pool:
        for _ in range(2):
            pool.mark_exhausted_and_rotate(status_code=402, api_key_hint="sk-test-aaa002-secret")
    Operator(a_reader(home)).pause("openrouter", "aaa007", until=NOW + 60)
    said = asked(home)
    found = sentences(said)
    assert found["openrouter"].endswith("every key is out; away is back first, 14:03:11 (1m00s left)")
    assert "cooling until 14:05:00 (2m49s left): 429 rate limit: slow down" in found["aaa001"]
    assert found["aaa001"].endswith("; wait 2m49s, or keydeck auth reset openrouter aaa001")
    assert "402 payment required, 2nd in a row, the table: 1h00m x 2^1" in found["aaa002"]
    assert found["aaa002"].endswith("; wait 2h00m, or top up, then keydeck auth reset openrouter aaa002")
    assert "log in again: 401 key refused; keydeck auth add openrouter, or" in found["aaa003"]
    assert "token ended, hermes renews it; hermes renews it, or hermes auth add openrouter" in found["aaa004"]
    assert "no secret: MY_KEY unset; set MY_KEY where the agent runs" in found["aaa005"]
    assert found["aaa006"].endswith("; mend this row in auth.json by hand")
    assert "paused until 14:03:11 (1m00s left); wait 1m00s, or keydeck auth resume" in found["aaa007"]
    first = said.answer.rows[0]
    assert remedies_text(first, said, KEYS) == "wait 2m49s, or press r"
    facts = {name: plain(value) for name, value in why_facts(first, said)}
    assert list(facts) == ["next", "this key", "changes it"]
    assert facts["this key"].startswith("cooling until 14:05:00")


def test_a_model_that_is_limited_is_named(home: Path) -> None:
    """Asked for, it keeps the key out; else the key says so besides."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    with a_pool(home) as pool:
        pool.select()
        context = {"message": "limit reached for some/model"}
        pool.mark_exhausted_and_rotate(status_code=429, error_context=context, model="some/model")
    found = sentences(asked(home, model="some/model"))
    assert (
        found["openrouter"] == "openrouter  fill_first  model some/model  the next request goes to key-aaa002"
    )
    assert "not for some/model until 14:03:11 (1m00s left): 429, the table: 60s" in found["aaa001"]
    assert "ask for another model, or keydeck auth reset" in found["aaa001"]
    assert "the only ready key" in found["aaa002"]
    assert "(fill_first), not for some/model until 14:03:11" in sentences(asked(home))["aaa001"]


def test_leases_and_probes_are_told(home: Path) -> None:
    """How many are in flight and how many may be; who has just cooled is tried by one request at a time."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    clock = FakeClock()
    with a_pool(home, clock=clock) as pool, pool.lease() as held:
        assert held is not None
        assert "(fill_first), 1 in flight of 2" in sentences(asked(home, at_most=2))["aaa001"]
        found = sentences(asked(home, lease=True, at_most=1))
        assert "1 in flight of 1, no more at once; wait 10m00s, or end what is in flight" in found["aaa001"]
        assert "ready, 1 in flight against 0" in sentences(asked(home, lease=True))["aaa001"]
    with a_pool(home, clock=clock) as pool:
        pool.mark_exhausted_and_rotate(status_code=429, api_key_hint="sk-test-aaa001-secret")
        clock.forward(70)
        assert "tried by one request at a time" in sentences(asked(home, clock()))["aaa001"]
        assert pool.select() is not None
        found = sentences(asked(home, clock()))
        assert "probing: another request tries it until" in found["aaa001"]
        assert found["openrouter"].endswith("the next request goes to key-aaa002")


def test_the_json_has_these_fields_and_no_others(home: Path) -> None:
    """In this order, for a pool, its rows and their failures; numbers are numbers, and absent is null."""
    write_store(home, {"openrouter": [a_key("aaa001", **benched(429, until=NOW + 60)), a_key("aaa002")]})
    document = form(asked(home, session="a", model="b", at_most=3))
    assert list(document) == FIELDS
    assert (document["session"], document["model"], document["leases_at_most"]) == ("a", "b", 3)
    assert (document["outcome"], document["pick"], document["ready_at"]) == ("pick", "aaa002", None)
    cooling, ready = document["rows"]
    assert list(cooling) == list(ready) == ROW_FIELDS
    assert list(cooling["failure"]) == FAILURE_FIELDS
    assert cooling["failure"]["evidence"] == "file"
    assert cooling["would_change"] == [
        {"act": "wait", "at": NOW + 60, "name": None},
        {"act": "reset", "at": None, "name": None},
    ]
    assert (ready["reason"], ready["next_pick"], ready["failure"]) == ("only_ready", True, None)


def test_nothing_of_a_masked_key_is_told(home: Path) -> None:
    """Keys have places, variables and the provider's sentences no names."""
    write_store(
        home,
        {
            "openrouter": [
                a_key("aaa001", "boss@corp.com", **benched(429, last_error_message="limit of boss@corp.com")),
                a_key("aaa002", "boss-2", priority=1, source="env:BOSS_KEY", access_token=...),
                a_key("aaa003", "boss-3", priority=2),
                a_key("aaa004", "boss-4", priority=3),
            ]
        },
    )
    said = asked(home, masked=True)
    written = "\n".join(
        "\n".join(plain(value) for _, value in why_facts(why, said)) for why in said.answer.rows
    )
    assert "boss" not in written.lower()
    assert "key 3 comes first" in written
    assert "set its variable where the agent runs" in written


@pytest.mark.parametrize("hostile", ["\x1b[31mred", "a\nb\tc", "\u202eevil\u2066", "[/x][bold]", "x" * 300])
def test_hostile_text_is_inert_and_no_secret_is_told(home: Path, hostile: str) -> None:
    """Whichever field it stands in, of the store or of the question, in words as in JSON."""
    text = f"{hostile} {SECRET}"
    row = a_key(
        f"id-{SECRET}",
        text,
        access_token=SECRET,
        **benched(429, last_error_message=text, last_error_reason=text),
    )
    unset = a_key("aaa002", text, priority=1, source=f"env:{text}", access_token=...)
    write_store(home, {"openrouter": [row, unset, a_key("aaa003", text, priority="x")]})
    for masked in (False, True):
        said = asked(home, masked=masked, session=text, model=text)
        lines = [
            *explain_lines(said),
            *(plain(fact) for why in said.answer.rows for _, fact in why_facts(why, said)),
        ]
        assert all(line.isprintable() for line in lines)
        assert SECRET[3:] not in "\n".join(lines)
        assert SECRET[3:] not in json.dumps(form(said))


def test_inherited_keys_say_where_to_act(tmp_path: Path) -> None:
    """What is the root profile's is changed there."""
    root = tmp_path / "root"
    write_store(root, {"openrouter": [a_key("aaa001", **benched(429))]})
    (root / "profiles" / "work").mkdir(parents=True)
    snapshot = a_reader(root, profile="work").read()
    pool = snapshot.pool("openrouter")
    assert pool is not None
    said = told(pool, pool.at(NOW), NOW, Context(UNICODE, snapshot.scrubber))
    assert explain_lines(said)[1].endswith("keydeck auth reset openrouter aaa001, with --profile default")
