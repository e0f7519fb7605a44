from __future__ import annotations

from pathlib import Path

import pytest

from fakes import NOW, a_key, a_reader, benched, write_store
from keydeck.engine.snapshot import HomeSnapshot
from keydeck.engine.state import HealthKind
from keydeck.live.activity import Change, ChangeKind
from keydeck.present.detail import fact_lines
from keydeck.present.event_card import event_facts, event_row
from keydeck.present.finding import parse_query
from keydeck.present.glyphs import UNICODE
from keydeck.present.rows import Context
from keydeck.present.spans import plain

SECRET = "sk-test-aaa001-secret"


@pytest.fixture
def snapshot(home: Path) -> HomeSnapshot:
    out = a_key("aaa002", "tired", priority=1, **benched(429, until=NOW + 600))
    write_store(home, {"openrouter": [a_key("aaa001", "spare"), out], "zai": [a_key("bbb001", **benched())]})
    return a_reader(home).read()


def a_change(**fields: object) -> Change:
    told = {"at": NOW - 60, "provider": "openrouter", "row_id": "aaa002", "label": "tired", "code": 429}
    return Change(**{**told, "kind": ChangeKind.BENCHED, "message": "slow down", **fields})  # type: ignore[arg-type]


def said(change: Change, snapshot: HomeSnapshot, *, masked: bool = False) -> dict[str, str]:
    context = Context(UNICODE, snapshot.scrubber, masked=masked)
    return {
        name: "".join(span.text for span in value)
        for name, value in event_facts(change, snapshot, NOW, context)
    }


def test_a_bench_is_explained(snapshot: HomeSnapshot) -> None:
    """What happened and what that means, how the key stands now, what to do, and who serves meanwhile."""
    facts = said(a_change(until=NOW + 600, by="a1b2c3"), snapshot)
    assert facts["event"] == "◐ openrouter / tired  14:01:11, 1m00s ago, told by a1b2c3"
    assert facts["what"] == "429 rate limit: slow down, cooling until 14:12:11"
    assert "passes it over" in facts["meaning"]
    assert facts["now"] == "cooling, 10m00s left"
    assert facts["do"].startswith("⏎ opens the key: wait, or press r")
    assert facts["pool"] == "1 of 2 ready, next pick spare"


def test_what_is_over_needs_nothing(snapshot: HomeSnapshot) -> None:
    """A key that is ready again, one that is gone, and a pool as a whole."""
    over = said(a_change(row_id="aaa001", label="spare"), snapshot)
    assert over["now"] == "ready"
    assert "do" not in over
    assert said(a_change(row_id="zzz999"), snapshot)["now"] == "this key is gone"
    whole = said(a_change(row_id=None, label="", kind=ChangeKind.STRATEGY, detail="random"), snapshot)
    assert {"now", "do"}.isdisjoint(whole)
    assert said(a_change(provider="gone"), snapshot).keys().isdisjoint({"pool", "now"})


def test_a_pool_in_which_nothing_is_ready(snapshot: HomeSnapshot) -> None:
    """Nothing steps in where there is no fallback chain."""
    assert (
        said(a_change(provider="zai", row_id="bbb001"), snapshot)["pool"] == "0 of 1 ready, nothing steps in"
    )


def test_names_are_hidden_with_the_rest(snapshot: HomeSnapshot) -> None:
    """Neither names nor messages while masked; a secret in a message never."""
    facts = "\n".join(said(a_change(message=f"bad {SECRET}"), snapshot, masked=True).values())
    assert "tired" not in facts
    assert "spare" not in facts
    for masked in (False, True):
        assert SECRET not in "\n".join(
            said(a_change(message=f"bad {SECRET}"), snapshot, masked=masked).values()
        )


@pytest.mark.parametrize("kind", list(ChangeKind))
def test_every_kind_is_explained(snapshot: HomeSnapshot, kind: ChangeKind) -> None:
    """No kind of event is left without a word, at any width."""
    facts = event_facts(a_change(kind=kind), snapshot, NOW, Context(UNICODE, snapshot.scrubber))
    for cells in (20, 56, 116):
        assert all(len(plain(line)) <= cells for line in fact_lines(facts, cells))


@pytest.mark.parametrize(
    ("typed", "fits"),
    [
        ("tired", True),
        ("slow", True),
        ("state:cool", True),
        ("state:dead", False),
        ("code:429 pool:open", True),
        ("code:402", False),
        ("!tired", False),
        ("source:a1b2", True),
        ("aaa002", True),
    ],
)
def test_events_are_found_as_keys_are(snapshot: HomeSnapshot, typed: str, fits: bool) -> None:
    """The same filter language: words, state, pool and code; the source is who told it."""
    change = a_change(by="a1b2c3")
    row = event_row(change, NOW, Context(UNICODE, snapshot.scrubber))
    assert row.kind is HealthKind.COOLING
    assert parse_query(typed).fits(change.provider, row) is fits
