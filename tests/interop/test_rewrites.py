"""What hermes-agent writes back on its own, done by the real program: shuffled priorities, old keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes import keys, load, load_whole, write_store
from interop.conftest import Another
from interop.scenes import a_reader_of
from keydeck.engine.events import Outside
from keydeck.engine.pool import CredentialPool

pytestmark = pytest.mark.interop

POOL = "openrouter"


@pytest.fixture
def three(home: Path) -> Path:
    """Return a home with three keys in which hermes goes round, and which we wrote once."""
    write_store(home, {POOL: keys("aaa001", "aaa002", "aaa003")})
    (home / "config.yaml").write_text("credential_pool_strategies: {openrouter: round_robin}\n")
    with a_pool(home) as pool:
        pool.select()
    return home


def a_pool(home: Path) -> CredentialPool:
    return CredentialPool(POOL, a_reader_of(home))


def sums_up(home: Path) -> None:
    with a_pool(home) as pool:
        pool.select()


def rows(home: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in load(home)["credential_pool"][POOL]}


def priorities(home: Path) -> dict[str, int]:
    return {row_id: row["priority"] for row_id, row in rows(home).items()}


def order(home: Path) -> list[str]:
    return [row.id for row in a_pool(home).entries()]


def told(home: Path) -> list[tuple[str, str]]:
    reader = a_reader_of(home)
    events = (record.event for _, record in reader.store.history())
    return [(event.id, event.what) for event in events if isinstance(event, Outside)]


def test_the_round_of_hermes_is_nobodys_wish(another: Another, three: Path) -> None:
    """It turns at each pick, from a view before ours or after it; our order stays, and nothing is told of it."""
    stale = another()
    stale.ask("load", provider=POOL)
    sums_up(three)
    shuffled = set[tuple[tuple[str, int], ...]]()
    for _ in range(2):
        fresh = another()
        fresh.ask("load", provider=POOL)
        for hermes in (stale, fresh, fresh):
            hermes.ask("select", name=POOL)
            shuffled.add(tuple(priorities(three).items()))
            assert order(three) == ["aaa001", "aaa002", "aaa003"]
        sums_up(three)
    assert len(shuffled) > 1
    assert [what for _, what in told(three) if what != "used"] == []


def test_an_order_set_by_hand_is_taken_and_kept_by_both(another: Another, three: Path) -> None:
    """Where nobody goes round: hermes tries the rows in that order too, after our writing."""
    (three / "config.yaml").write_text("credential_pool_strategies: {openrouter: fill_first}\n")
    document = load_whole(three)
    for row, priority in zip(document["credential_pool"][POOL], (2, 1, 0), strict=True):
        row["priority"] = priority
    write_store(three, pools=document["credential_pool"], keydeck=document["keydeck"])
    sums_up(three)
    hermes = another()
    hermes.ask("load", provider=POOL)
    assert hermes.ask("select", name=POOL) == ["aaa003"]
    assert order(three) == ["aaa003", "aaa002", "aaa001"]
    assert sorted(told(three)) == [("aaa001", "moved"), ("aaa003", "moved")]


def test_an_old_key_that_hermes_writes_back_is_replaced(another: Another, three: Path) -> None:
    """It had loaded the key before we replaced it, and marks another row."""
    hermes = another()
    hermes.ask("load", provider=POOL)
    with a_reader_of(three).store.transaction() as change:
        change.update_row(POOL, "aaa001", {"access_token": "sk-the-new-one"})
    pool = a_pool(three)
    hermes.ask("mark", name=POOL, code=402, key="sk-test-aaa002-secret")
    assert rows(three)["aaa001"]["access_token"] == "sk-test-aaa001-secret"
    assert pool.entries()[0].runtime_api_key == "sk-the-new-one"
    pool.select()
    pool.close()
    assert rows(three)["aaa001"]["access_token"] == "sk-the-new-one"
    assert rows(three)["aaa002"]["last_error_code"] == 402
    assert ("aaa001", "lost secret") in told(three)
