"""A key that is paused here is passed over by the real hermes, whatever hermes does to its row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes import a_key, keys, load, write_store
from interop.conftest import Another
from interop.hermes import Hermes
from interop.scenes import a_reader_of
from keydeck.engine.acts import Operator
from keydeck.engine.events import Outside
from keydeck.engine.pool import CredentialPool

pytestmark = pytest.mark.interop

POOL = "openrouter"


@pytest.fixture
def two(home: Path) -> Path:
    """Return a home with two keys, the first of them paused."""
    write_store(home, {POOL: keys("aaa001", "aaa002")})
    Operator(a_reader_of(home)).pause(POOL, "aaa001")
    return home


def row(home: Path, place: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = load(home)["credential_pool"][POOL][place]
    return found


def sums_up(home: Path) -> None:
    with CredentialPool(POOL, a_reader_of(home)) as pool:
        chosen = pool.select()
        assert chosen is None or chosen.id != "aaa001"


def healed(home: Path) -> list[str]:
    events = (record.event for _, record in a_reader_of(home).store.history())
    return [event.what for event in events if isinstance(event, Outside) and event.what.startswith("lost")]


def test_hermes_passes_over_a_paused_key(hermes: Hermes, two: Path) -> None:
    """It selects the other one as often as it is asked, and none where all are paused; its list says why."""
    hermes.ask("load", provider=POOL)
    assert hermes.ask("select", name=POOL, times=3) == ["aaa002"] * 3
    assert "paused" in hermes.run("auth", "list", POOL)
    Operator(a_reader_of(two)).pause(POOL, "aaa002")
    hermes.ask("load", provider=POOL)
    assert hermes.ask("select", name=POOL) == [None]


def test_a_timed_pause_ends_for_hermes_too(hermes: Hermes, home: Path) -> None:
    """Its own clock frees the row at that time, without us."""
    write_store(home, {POOL: keys("aaa001", "aaa002")})
    reader = a_reader_of(home)
    end = reader.clock() + 600
    Operator(reader).pause(POOL, "aaa001", until=end)
    hermes.ask("load", provider=POOL)
    assert hermes.ask("select", name=POOL) == ["aaa002"]
    hermes.ask("clock", now=end + 1)
    assert hermes.ask("select", name=POOL) == ["aaa001"]


def test_a_reset_of_hermes_is_followed_by_parking_again(another: Another, two: Path) -> None:
    """What it freed is parked at our next checkpoint, told once, and passed over again; after that nothing is written."""
    another().run("auth", "reset", POOL)
    assert row(two)["last_status"] is None
    sums_up(two)
    assert row(two)["last_error_reason"] == "paused"
    hermes = another()
    hermes.ask("load", provider=POOL)
    assert hermes.ask("select", name=POOL) == ["aaa002"]
    sums_up(two)
    assert healed(two) == ["lost pause"]


def test_after_a_resume_hermes_uses_the_key_again(another: Another, two: Path) -> None:
    """The row is as it was before the pause."""
    Operator(a_reader_of(two)).resume(POOL, "aaa001")
    hermes = another()
    hermes.ask("load", provider=POOL)
    assert hermes.ask("select", name=POOL) == ["aaa001"]


def test_a_hermes_that_knows_of_no_pause_cannot_end_it(another: Another, home: Path) -> None:
    """It loaded the rows before, and writes them all back when another key fails: the pause holds, and its failure counts."""
    write_store(home, {POOL: [*keys("aaa001", "aaa002"), a_key("aaa003", priority=2)]})
    stale = another()
    stale.ask("load", provider=POOL)
    Operator(a_reader_of(home)).pause(POOL, "aaa001")
    stale.ask("mark", name=POOL, code=429, key="sk-test-aaa002-secret")
    assert row(home)["last_status"] is None
    sums_up(home)
    assert row(home)["last_error_reason"] == "paused"
    assert row(home, 1)["last_error_code"] == 429
    assert healed(home) == ["lost pause"]


def test_a_cooldown_of_hermes_is_there_again_after_a_pause(another: Another, home: Path) -> None:
    """The bench that hermes wrote before the pause comes back intact with the resume."""
    write_store(home, {POOL: keys("aaa001", "aaa002")})
    first = another()
    first.ask("load", provider=POOL)
    first.ask("mark", name=POOL, code=429, key="sk-test-aaa001-secret", context={"message": "slow down"})
    before = row(home)
    operator = Operator(a_reader_of(home))
    operator.pause(POOL, "aaa001")
    assert row(home)["last_error_reason"] == "paused"
    operator.resume(POOL, "aaa001")
    assert row(home) == before
