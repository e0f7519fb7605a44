from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keydeck.engine.config import EMPTY_CONFIG, Config, parse_config
from keydeck.engine.cooldown_policy import DEFAULT_POLICY, TABLE, Change, Rule
from keydeck.engine.failures import FailureKind

PATH = Path("config.yaml")
HEAD = "credential_pool:\n  cooldown:\n"
RATE, BILLING, KEY = FailureKind.RATE_LIMIT, FailureKind.BILLING, FailureKind.KEY_REFUSED


def config(*entries: str) -> Config:
    """Read a config.yaml whose third line is the first entry."""
    return parse_config((HEAD + "".join(f"    {entry}\n" for entry in entries)).encode(), {}, PATH)


def rule(found: Config, code: int, kind: FailureKind = RATE, provider: str = "", row_id: str = "") -> Rule:
    return found.cooldown.rule(kind, code, provider, row_id)


@pytest.mark.parametrize(
    "text", ["", "credential_pool:\n", HEAD, "credential_pool: {cooldown: {}}\n", "credential_pool: 3\n"]
)
def test_nothing_said_is_the_table(text: str) -> None:
    """No section, an empty one, or something else where it would stand."""
    found = parse_config(text.encode(), {}, PATH)
    assert found.cooldown == DEFAULT_POLICY == EMPTY_CONFIG.cooldown
    assert found.cooldown_problems == ()


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        *(("90", 90), ("90s", 90), ("5m", 300), ("1h", 3600), ("2d", 172_800), ("0", 0), ("0s", 0)),
        *(("'90'", 90), ('"1h30m"', 5400), ("12.5", 12.5), ("500ms", 0.5), ("30d", 2_592_000)),
    ],
)
def test_ways_to_write_a_wait(written: str, seconds: float) -> None:
    """A number of seconds, or a number with its unit."""
    found = config(f"429: {written}")
    assert found.cooldown_problems == ()
    assert rule(found, 429).wait_s == seconds


def test_statuses_kinds_providers_and_keys() -> None:
    """Each by its own name; a provider's alias is the provider, and the id of a key is taken as it is written."""
    found = config(
        "429: 90s",
        "billing: {wait: 2h, cap: 1d, grows: 3, sole_cap: 4h, terminal_after: 5}",
        "providers:",
        "  google: {rate-limit: 10s}",
        "  'custom:Lab Box': {429: 5s}",
        "keys:",
        "  012345: {429: 0, KEY_REFUSED: {terminal_after: 0}}",
    )
    assert found.cooldown_problems == ()
    assert rule(found, 402, BILLING) == Rule(7200, 3, 86_400, 14_400, 5, line=4)
    assert rule(found, 429, provider="gemini").wait_s == 10
    assert rule(found, 429, provider="custom:lab box").wait_s == 5
    assert rule(found, 429, provider="gemini", row_id="012345").wait_s == 0
    assert rule(found, 401, KEY, row_id="012345").terminal_after == 0
    assert (rule(found, 429).wait_s, rule(found, 429).line) == (90, 3)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("billling: 2h", "no such kind of failure; did you mean billing?"),
        ("provder: 2h", "did you mean provider?"),
        ("zzz: 2h", "there are rate_limit, usage_limit"),
        ("999: 1", "a status is a number from 400 to 599"),
        ("42: 1", "a status is a number from 400 to 599"),
        *(
            (f"429: {value}", "a wait is seconds, or like 90s")
            for value in ("-3", "soon", "40d", ".inf", "no")
        ),
        *((f"429: {value}", "or 0 for no bench") for value in ("1:30", "''", "1e3", "5 months")),
        ("429:", "a wait is seconds"),
        ("429: [1]", "a wait is seconds"),
        ("429: {wait: {a: 1}}", "a wait is seconds"),
        ("429: {cap: 0}", "for no bench set wait to 0"),
        ("429: {wiat: 3}", "did you mean wait?"),
        ("429: {grows: 0.5}", "grows is a number from 1 to 100"),
        ("429: {terminal_after: 1.5}", "a whole number"),
        ("429: {cap: 10s, wait: 30s}", "cap is below wait"),
        ("429: {wait: 2m, sole_cap: 1m}", "sole_cap is below wait"),
        ("providers: 3", "providers is a mapping"),
        ("keys: {aaa001: 90s}", "this is a mapping"),
        ("<<: {429: 3}", "write them out"),
    ],
)
def test_an_entry_that_makes_no_sense_is_named_and_the_others_hold(entry: str, says: str) -> None:
    """With its line and what would be right; the default applies in its place."""
    found = config("402: 2h", entry, "401: 10m")
    assert [(problem.line, says in problem.text) for problem in found.cooldown_problems] == [(4, True)]
    assert rule(found, 402, BILLING).wait_s == 7200
    assert rule(found, 401, KEY).wait_s == 600
    assert rule(found, 429).grows == TABLE[RATE].grows


def test_a_section_that_is_no_mapping_or_comes_from_elsewhere_is_named() -> None:
    """The table applies, and the rest of config.yaml holds."""
    text = "credential_pool_strategies: {groq: random}\ncredential_pool:\n  cooldown: never\n"
    found = parse_config(text.encode(), {}, PATH)
    assert found.cooldown == DEFAULT_POLICY
    assert [problem.line for problem in found.cooldown_problems] == [3]
    assert found.strategy_of("groq") == "random"
    merged = b"a: &a {cooldown: {429: 3}}\ncredential_pool:\n  <<: *a\n"
    found = parse_config(merged, {}, PATH)
    assert found.cooldown == DEFAULT_POLICY
    assert "write it out" in found.cooldown_problems[0].text


def test_an_alias_is_followed() -> None:
    """One set of entries for two providers, as YAML has it."""
    found = config("providers:", "  groq: &same {429: 5s}", "  openrouter: *same")
    assert rule(found, 429, provider="openrouter").wait_s == 5
    assert found.cooldown_problems == ()


def test_of_two_entries_for_one_status_the_last_counts() -> None:
    """As everywhere in YAML; and so it does when it makes no sense."""
    assert rule(config("429: 5s", '"429": 7s'), 429).wait_s == 7
    assert rule(config("429: 5s", '"429": x'), 429) == TABLE[RATE]


def test_no_problem_quotes_what_is_written() -> None:
    """A key that was pasted into the wrong place stays there."""
    secret = "sk-or-v1-0123456789abcdef"
    found = config(
        f"{secret}: 1", f"429: {secret}", f"402: {{{secret}: 1}}", f"providers: {{{secret}: {secret}}}"
    )
    assert len(found.cooldown_problems) == 4
    assert "0123456789" not in repr(found.cooldown_problems)


ENTRY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from((429, 402, "rate_limit", "wait", "cap", "providers", "keys", "x", 1.5, None)),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(ENTRY)
def test_whatever_stands_there_the_policy_can_be_used(entry: object) -> None:
    """Never an error, never a wait below zero or beyond thirty days, and every problem has a line."""
    import yaml

    text = yaml.safe_dump({"credential_pool": {"cooldown": entry}})
    found = parse_config(text.encode(), {}, PATH)
    for kind in FailureKind:
        for code in (None, 401, 402, 429, 503):
            assert 0 <= found.cooldown.rule(kind, code, "x", "x").wait(50) <= 30 * 86_400
    assert all(1 <= problem.line <= text.count("\n") + 1 for problem in found.cooldown_problems)
    assert Change().applied(TABLE[RATE]) == TABLE[RATE]
