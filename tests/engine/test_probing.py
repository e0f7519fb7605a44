from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from crowd import probe_of_many
from fakes import (
    NOW,
    FakeClock,
    SteppingClock,
    a_key,
    a_login,
    a_pool,
    a_reader,
    benched,
    keys,
    tree,
    write_store,
)
from keydeck.engine.checkpoint import read_checkpoint
from keydeck.engine.events import Probed
from keydeck.engine.files import Disk
from keydeck.engine.pool import CredentialPool
from keydeck.engine.state import HealthKind, PoolState
from keydeck.engine.waiting import WaitKind, WaitState

POOL = "openrouter"
T = TypeVar("T")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def two(home: Path) -> Path:
    """Return a home whose first row comes back in a minute."""
    first, second = keys("aaa001", "bbb002")
    write_store(home, {POOL: [{**first, **benched(until=NOW + 60)}, second]})
    return home


@pytest.fixture
def one(home: Path) -> Path:
    """Return a home whose only row comes back in a minute."""
    write_store(home, {POOL: [a_key("aaa001", **benched(until=NOW + 60))]})
    return home


def picked(pool: CredentialPool) -> str | None:
    row = pool.select()
    return row.id if row else None


def elsewhere(function: Callable[[], T]) -> T:
    found: list[T] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join(30)
    return found[0]


def state_of(home: Path, clock: FakeClock) -> PoolState:
    pool = a_reader(home, clock=clock).read().pool(POOL)
    assert pool is not None
    return pool.at(clock())


def test_one_request_tries_a_row_and_the_others_use_what_is_ready(two: Path, clock: FakeClock) -> None:
    """Whoever asks first, in whatever pool or thread; everybody sees that one row is probing."""
    pools = [a_pool(two, clock=clock) for _ in range(3)]
    assert [picked(pool) for pool in pools] == ["bbb002"] * 3
    clock.forward(60)
    assert state_of(two, clock).how_many(HealthKind.PROBING) == 1
    assert [state.id for state in state_of(two, clock).usable] == ["aaa001", "bbb002"]
    assert [picked(pool) for pool in pools] == ["aaa001", "bbb002", "bbb002"]
    assert elsewhere(lambda: picked(pools[0])) == "bbb002"
    assert [state.id for state in state_of(two, clock).usable] == ["bbb002"]
    assert state_of(two, clock).how_many(HealthKind.PROBING) == 1


def test_a_success_opens_the_row_for_all(two: Path, clock: FakeClock) -> None:
    """At their next selection."""
    first, other = a_pool(two, clock=clock), a_pool(two, clock=clock)
    clock.forward(60)
    assert (picked(first), picked(other)) == ("aaa001", "bbb002")
    first.report_success()
    assert [picked(pool) for pool in (other, first, other)] == ["aaa001"] * 3
    assert state_of(two, clock).how_many(HealthKind.READY) == 2


def test_a_failure_benches_it_anew_and_the_next_cooldown_is_tried_anew(two: Path, clock: FakeClock) -> None:
    """Again by one, and by another one if that is first."""
    first, other = a_pool(two, clock=clock), a_pool(two, clock=clock)
    clock.forward(60)
    assert (picked(first), picked(other)) == ("aaa001", "bbb002")
    first.report_failure(status_code=429, error_context={"reset_at": clock() + 30})
    assert state_of(two, clock).how_many(HealthKind.COOLING) == 1
    clock.forward(31)
    assert (picked(other), picked(first)) == ("aaa001", "bbb002")


def test_a_minute_of_silence_counts_as_a_success(two: Path, clock: FakeClock) -> None:
    """After the request that tried it, or after the cooldown where there was none; nothing is written for that."""
    first, other = a_pool(two, clock=clock), a_pool(two, clock=clock)
    clock.forward(119)
    assert (picked(first), picked(other)) == ("aaa001", "bbb002")
    clock.forward(59)
    assert picked(other) == "bbb002"
    before = tree(two)
    clock.forward(1)
    assert (picked(other), picked(first)) == ("aaa001", "aaa001")
    assert tree(two) == before
    assert state_of(two, clock).how_many(HealthKind.READY) == 2


def test_a_row_that_nobody_tried_is_ready_after_a_minute(two: Path, clock: FakeClock) -> None:
    """A cooldown of yesterday slows nobody down today."""
    pools = [a_pool(two, clock=clock) for _ in range(3)]
    clock.forward(120)
    before = tree(two)
    assert [picked(pool) for pool in pools] == ["aaa001"] * 3
    assert tree(two) == before


def test_a_pool_of_one_row_works_again_for_those_who_only_select(one: Path, clock: FakeClock) -> None:
    """Who tries it goes on with it, sending one request after the other; others go on a minute later."""
    first, other = a_pool(one, clock=clock), a_pool(one, clock=clock)
    assert other.wait_state() == WaitState(WaitKind.ALL_OUT, "aaa001", NOW + 60, HealthKind.COOLING)
    clock.forward(60)
    assert other.has_available()
    assert [picked(first) for _ in range(3)] == ["aaa001"] * 3
    assert first.has_available()
    assert first.wait_state() == WaitState(WaitKind.READY, "aaa001")
    assert picked(other) is None
    assert not other.has_available()
    assert not elsewhere(first.has_available)
    assert elsewhere(lambda: picked(first)) is None
    assert other.wait_state() == WaitState(WaitKind.ALL_OUT, "aaa001", NOW + 120, HealthKind.PROBING)
    clock.forward(60)
    assert [picked(other), elsewhere(lambda: picked(first)), picked(first)] == ["aaa001"] * 3


def test_whoever_waits_gets_a_row_when_its_probe_is_over(one: Path, clock: FakeClock) -> None:
    """A minute later at the latest."""
    clock.forward(60)
    assert picked(a_pool(one, clock=clock)) == "aaa001"
    pool = CredentialPool(POOL, a_reader(one, clock=clock), sleep=clock.forward)
    assert pool.select(wait=59) is None
    assert pool.select(wait=2) is not None


def test_a_probe_is_claimed_in_the_journal_and_writes_no_row(two: Path, clock: FakeClock) -> None:
    """By one event; a pool that opens later obeys it, from a checkpoint as well."""
    clock.forward(60)
    before = (two / "auth.json").read_bytes()
    pool = a_pool(two, clock=clock)
    assert picked(pool) == "aaa001"
    assert (two / "auth.json").read_bytes() == before
    told = [record.event for _, record in pool._store.history() if isinstance(record.event, Probed)]
    assert [event.ids for event in told] == [("aaa001",)]
    pool.close()
    checkpoint = read_checkpoint(Disk(), two / "keydeck")
    assert checkpoint
    assert checkpoint.ledger.rows["aaa001"].probe
    assert picked(a_pool(two, clock=clock)) == "bbb002"


def test_a_lease_of_a_row_that_has_just_cooled_tries_it(two: Path, clock: FakeClock) -> None:
    """So that of two who lease only one gets it."""
    first, other = a_pool(two, clock=clock), a_pool(two, clock=clock)
    clock.forward(60)
    with first.lease() as one, other.lease() as two_:
        assert one and two_
        assert (one.credential.id, two_.credential.id) == ("aaa001", "bbb002")
        assert picked(other) == "bbb002"


def test_rows_with_one_secret_are_tried_as_one(home: Path, clock: FakeClock) -> None:
    """The provider sees one key."""
    rows = keys("aaa001", "bbb002", access_token="sk-the-same-for-both", **benched(until=NOW + 60))
    write_store(home, {POOL: [*rows, a_key("ccc003", priority=5)]})
    pool, other = a_pool(home, clock=clock), a_pool(home, clock=clock)
    pool.report_failure(status_code=429, error_context={"reset_at": NOW + 60}, credential_id="aaa001")
    clock.forward(61)
    assert (picked(pool), picked(other)) == ("aaa001", "ccc003")


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_setting_the_clock_makes_no_row_probe_for_hours(two: Path, step: float) -> None:
    """An hour forth or back, a minute of silence is a minute."""
    clock = SteppingClock()
    pool = a_pool(two, clock=clock)
    assert picked(pool) == "bbb002"
    clock.now += step
    clock.forward(60)
    assert picked(pool) == "aaa001"
    clock.forward(61)
    assert elsewhere(lambda: picked(pool)) == "aaa001"


def test_wait_state_of_a_pool_without_rows_and_of_one_that_waiting_does_not_help(home: Path) -> None:
    """Not configured is not all out; a row that needs the operator has no time."""
    write_store(home, {})
    assert a_pool(home).wait_state() == WaitState(WaitKind.NOT_CONFIGURED)
    write_store(home, {POOL: [a_key("aaa001", last_status="dead")]})
    assert a_pool(home).wait_state() == WaitState(WaitKind.ALL_OUT)
    write_store(home, {POOL: keys("aaa001")})
    assert a_pool(home).wait_state() == WaitState(WaitKind.READY, "aaa001")


def test_wait_state_names_the_row_that_is_back_first(home: Path, clock: FakeClock) -> None:
    """Also after a bench was made longer, by the time that the row shows."""
    write_store(home, {POOL: keys("aaa001", "bbb002", "ccc003")})
    pool = a_pool(home, clock=clock)
    for name, wait in (("aaa001", 90), ("bbb002", 30), ("ccc003", 60)):
        pool.report_failure(status_code=429, credential_id=name, error_context={"reset_at": NOW + wait})
    state = pool.wait_state()
    assert (state.credential_id, state.health) == ("bbb002", HealthKind.COOLING)
    pool.report_failure(status_code=429, credential_id="bbb002", error_context={"reset_at": NOW + 500})
    state = pool.wait_state()
    assert state.credential_id == "ccc003"
    assert state.until == state_of(home, clock).next_ready_at
    assert state.until is not None
    clock.now = state.until
    assert picked(pool) == "ccc003"


def test_wait_state_waits_for_no_login_that_cannot_serve_by_then(home: Path, clock: FakeClock) -> None:
    """Its token ends before its bench does, and nothing renews it: another row is back first."""
    login = a_login("log001", refresh_token=None, expires_at_ms=int((NOW + 20) * 1000))
    write_store(home, {"openai-codex": [login, a_login("log002", priority=1)]})
    pool = a_pool(home, "openai-codex", clock=clock)
    for name, wait in (("log001", 30), ("log002", 90)):
        pool.report_failure(status_code=429, credential_id=name, error_context={"reset_at": NOW + wait})
    assert pool.wait_state() == WaitState(WaitKind.ALL_OUT, "log002", NOW + 90, HealthKind.COOLING)


@pytest.mark.timeout(120)
def test_of_eight_processes_one_tries_the_row(home: Path) -> None:
    """All of them ask at the same instant."""
    write_store(home, {POOL: [*keys("aaa001", "bbb002")]})
    taken = probe_of_many(home, 8)
    assert sorted(taken) == ["aaa001", *["bbb002"] * 7]


def test_nobody_tries_a_login_whose_token_has_ended(home: Path, clock: FakeClock) -> None:
    """Its cooldown is over, nobody has asked for it yet, and its token ends."""
    login = a_login("log001", expires_at_ms=(NOW + 80) * 1000, refresh_token=..., **benched(until=NOW + 60))
    write_store(home, {POOL: [login]})
    pool = a_pool(home, clock=clock)
    clock.forward(61)
    assert pool.has_available()
    clock.forward(24)
    assert picked(pool) is None
