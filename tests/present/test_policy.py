from __future__ import annotations

from pathlib import Path

import pytest

from fakes import NOW
from keydeck.engine.config import parse_config
from keydeck.engine.cooldown_edit import Entry
from keydeck.engine.cooldown_policy import DEFAULT_POLICY, TABLE, Policy, Rule
from keydeck.engine.cooldown_preview import Preview, Shift, Tally
from keydeck.engine.credential import Credential
from keydeck.engine.failures import FailureKind
from keydeck.engine.redact import Scrubber
from keydeck.engine.secret import Secret
from keydeck.engine.state import READY, Health, HealthKind, RowState
from keydeck.present.glyphs import ASCII, UNICODE
from keydeck.present.policy import (
    ABOUT,
    entries,
    policy_rows,
    preview_json,
    preview_lines,
    rule_text,
    source_text,
)
from keydeck.present.rows import Context

SECRET = "sk-or-v1-0123456789abcdef"
CONTEXT = Context(UNICODE, Scrubber([Secret(SECRET)]))
COOLING = Health(HealthKind.COOLING, until=NOW + 169)


def policy(*lines: str) -> Policy:
    text = "credential_pool:\n  cooldown:\n" + "".join(f"    {line}\n" for line in lines)
    return parse_config(text.encode(), {}, Path("config.yaml")).cooldown


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (TABLE[FailureKind.RATE_LIMIT], "1m, ×2 up to 1h"),
        (TABLE[FailureKind.USAGE_LIMIT], "1h"),
        (TABLE[FailureKind.KEY_REFUSED], "5m, then log in"),
        (TABLE[FailureKind.REVOKED], "log in at once"),
        (TABLE[FailureKind.REQUEST], "none"),
        (Rule(90, grows=1.5), "90s, ×1.5"),
        (Rule(60, terminal_after=5), "1m, after 5 log in"),
        (Rule(0, terminal_after=1), "none"),
    ],
)
def test_a_rule_in_words(rule: Rule, text: str) -> None:
    """How long, how it grows and where that ends."""
    assert rule_text(rule) == text


def test_every_kind_is_explained() -> None:
    """The table knows what each is about, and the defaults have no status of their own."""
    assert set(ABOUT) == set(FailureKind)
    rows = policy_rows(DEFAULT_POLICY)
    assert [row.entry.name for row in rows] == [kind.value for kind in FailureKind]
    assert {source_text(row) for row in rows} == {"default"}
    assert all(row.about and not row.is_own for row in rows)
    assert entries(DEFAULT_POLICY) == 0


def test_a_status_stands_behind_its_kind() -> None:
    """For the level that is looked at and those above; whose entry it is can be seen."""
    found = policy("429: 90s", "providers:", "  zai: {503: 5s}", "keys:", "  aaa001: {402: 1m}")
    rows = policy_rows(found, "zai")
    names = [row.entry.name for row in rows]
    assert names[names.index("429") - 1] == "rate_limit"
    assert names[names.index("503") - 1] == "provider"
    assert "402" not in names
    sources = {row.entry.name: source_text(row) for row in rows}
    assert sources["429"] == "config.yaml line 3, from above"
    assert sources["503"] == "config.yaml line 5"
    assert rows[names.index("429")].entry == Entry("429", "zai")
    assert rows[names.index("503")].about == "the status alone, before provider"
    assert "503" not in [row.entry.name for row in policy_rows(found)]
    assert entries(found) == 3


def shift(before: Health, after: Health, label: str = "ci") -> Shift:
    row = Credential(id="aaa001", provider="openrouter", label=label)
    return Shift("openrouter", RowState(row, before), RowState(row, after))


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (shift(COOLING, READY), "ci: back now instead of 14:05:00"),
        (shift(READY, COOLING), "ci: out again until 14:05:00"),
        (shift(COOLING, Health(HealthKind.COOLING, until=NOW + 3469)), "ci: 15:00:00 instead of 14:05:00"),
        (shift(COOLING, Health(HealthKind.NEEDS_LOGIN)), "ci: a new login instead of 14:05:00"),
        (shift(Health(HealthKind.NEEDS_LOGIN), READY), "ci: back now instead of a new login"),
        (shift(COOLING, READY, f"x {SECRET}"), "x "),
    ],
)
def test_what_becomes_of_a_key(found: Shift, text: str) -> None:
    """When it is back under the other policy, and when it would have been; a secret in a label is not told."""
    (line,) = preview_lines(Preview(NOW, shifts=(found,)), NOW, CONTEXT)
    assert line.startswith(text)
    assert SECRET not in line


def test_what_became_of_a_day() -> None:
    """By pool: how many benches, which of them would be otherwise, and for how long keys were out."""
    tally = Tally("zai", 7, shorter=3, longer=1, gone=2, new=4, before_s=7200, after_s=60)
    same = Tally("nous", 3, before_s=60, after_s=60)
    preview = Preview(NOW, (tally, same))
    assert preview_lines(preview, NOW, CONTEXT) == [
        "zai today: 7 benches, 3 shorter, 1 longer, 2 fewer, 4 more; out for 2h00m → 1m00s"
    ]
    (line,) = preview_lines(preview, NOW, Context(ASCII, Scrubber()))
    assert line.isascii()
    assert [pool["provider"] for pool in preview_json(preview)["pools"]] == ["zai", "nous"]


def test_nothing_otherwise_is_said() -> None:
    """A change without any effect on today says so."""
    assert preview_lines(Preview(NOW), NOW, CONTEXT) == ["today: nothing would have been otherwise"]


def test_names_are_hidden_where_they_are_masked() -> None:
    """The id stands for the key."""
    (line,) = preview_lines(
        Preview(NOW, shifts=(shift(COOLING, READY),)), NOW, Context(UNICODE, Scrubber(), masked=True)
    )
    assert line == "aaa001: back now instead of 14:05:00"


def test_the_readme_shows_what_holds() -> None:
    """Its example of config.yaml has an entry on each line, and every one of them makes sense."""
    readme = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")
    example = next(each for each in readme.split("```") if each.startswith("yaml") and "cooldown:" in each)
    told = parse_config(example.removeprefix("yaml").encode(), {}, Path("config.yaml"))
    assert told.cooldown_problems == ()
    assert entries(told.cooldown) == 5
