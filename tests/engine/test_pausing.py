from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes import (
    NOW,
    FailingDisk,
    FakeClock,
    a_key,
    a_pool,
    a_reader,
    benched,
    keys,
    load,
    load_whole,
    lock_held,
    tree,
    write_store,
)
from keydeck.engine.acting import Done
from keydeck.engine.acts import Operator
from keydeck.engine.credential import STATUS_FIELDS
from keydeck.engine.errors import LockBusy, Refused, StoreReadOnly, TargetError
from keydeck.engine.events import Outside, Paused, Resumed, Status
from keydeck.engine.ledger import Ledger
from keydeck.engine.parking import FAR_AHEAD_S, FOR_GOOD, is_parking, parking
from keydeck.engine.pool import CredentialPool
from keydeck.engine.state import Health, HealthKind

POOL = "openrouter"
PARKED = parking(NOW, FOR_GOOD)


def operator(home: Path, **rest: Any) -> Operator:
    return Operator(a_reader(home, **rest), timeout_s=5)


def status(home: Path, row_id: str = "aaa001") -> Status:
    rows = {row["id"]: row for row in load(home)["credential_pool"][POOL]}
    return Status(*(rows[row_id][name] for name in STATUS_FIELDS))


def health(home: Path, row_id: str = "aaa001", at: float = NOW) -> Health:
    pool = a_reader(home).read().pool(POOL)
    assert pool is not None
    return next(row.health for row in pool.at(at).rows if row.id == row_id)


def picked(pool: CredentialPool) -> str | None:
    row = pool.select()
    return row.id if row else None


def undo(home: Path, done: Done, **rest: Any) -> Done:
    assert done.undo is not None
    return operator(home, **rest).undo(done.undo)


def told(home: Path) -> list[object]:
    events = (record.event for _, record in a_reader(home).store.history())
    return [event for event in events if isinstance(event, Paused | Resumed | Outside)]


@pytest.fixture
def two(home: Path) -> Path:
    """Return a home with two ready keys."""
    write_store(home, {POOL: keys("aaa001", "aaa002")})
    return home


def summed_up(home: Path, clock: FakeClock | None = None) -> None:
    """Write what is known into the rows, as the next program that runs would."""
    store = a_reader(home, clock=clock).store
    store.snapshot()
    assert store.checkpoint()
    store.close()


class TestPause:
    """An operator takes a key out, and lets it work again."""

    def test_a_running_pool_obeys_at_its_next_pick(self, two: Path) -> None:
        """The paused key is passed over from the next select on, and taken again after its resume."""
        with a_pool(two) as pool:
            assert picked(pool) == "aaa001"
            done = operator(two).pause(POOL, "aaa001")
            assert done.text == "paused: key-aaa001 (aaa001)"
            assert picked(pool) == "aaa002"
            assert operator(two).resume(POOL, "aaa001").text == "resumed key-aaa001 (aaa001)"
            assert picked(pool) == "aaa001"

    def test_it_is_written_for_hermes_as_a_bench_that_says_so(self, two: Path) -> None:
        """The row is parked far ahead, or until its time, with a reason; a resume leaves it as it was."""
        before = load(two)["credential_pool"]
        operator(two).pause(POOL, "aaa001")
        parked = status(two)
        assert (parked.status, parked.at, parked.code, parked.reason) == ("exhausted", NOW, None, "paused")
        assert parked.until == FAR_AHEAD_S
        assert health(two) == Health(HealthKind.PAUSED, since=NOW)
        operator(two).pause(POOL, "aaa001", until=NOW + 600)
        assert status(two).until == NOW + 600
        assert health(two) == Health(HealthKind.PAUSED, since=NOW, until=NOW + 600)
        operator(two).resume(POOL, "aaa001")
        assert load(two)["credential_pool"] == before

    def test_a_timed_pause_ends_by_the_clock(self, two: Path) -> None:
        """A pool picks the key again at that time, without anybody telling anything; the row is well again."""
        clock = FakeClock()
        with a_pool(two, clock=clock) as pool:
            operator(two, clock=clock).pause(POOL, "aaa001", until=NOW + 60)
            clock.forward(59)
            assert picked(pool) == "aaa002"
            clock.forward(1)
            assert picked(pool) == "aaa001"
        assert health(two, at=NOW + 60).kind is HealthKind.READY
        summed_up(two, clock)
        assert status(two) == Status()
        assert "z" not in load_whole(two)["keydeck"]["state"]

    def test_setting_the_clock_moves_no_pause(self, two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A wall clock that jumps an hour ahead ends no pause of a running pool, one that goes back adds nothing."""
        clock, ticks = FakeClock(), FakeClock(0)
        with a_pool(two, clock=clock) as pool:
            pool._roster.ticks = ticks
            operator(two, clock=clock).pause(POOL, "aaa001", until=NOW + 60)
            assert picked(pool) == "aaa002"
            clock.forward(3600)
            pool._read()
            assert picked(pool) == "aaa002"
            clock.forward(-7200)
            ticks.forward(60)
            assert picked(pool) == "aaa001"

    def test_a_cooldown_goes_on_under_a_pause(self, home: Path) -> None:
        """It is back after a resume, and keeps the key out when it lasts longer than the pause; hermes learns the end of both."""
        write_store(home, {POOL: [a_key("aaa001", **benched(429, ago=60, last_error_message="slow down"))]})
        bench = status(home)
        operator(home).pause(POOL, "aaa001", until=NOW + 600)
        assert status(home).until == NOW - 60 + 3600
        assert health(home).kind is HealthKind.PAUSED
        after = health(home, at=NOW + 600)
        assert (after.kind, after.since, after.until) == (HealthKind.COOLING, NOW - 60, NOW + 3540)
        pool = a_reader(home).read().pool(POOL)
        assert pool is not None
        assert pool.at(NOW).next_ready_at == NOW + 3540
        done = operator(home).resume(POOL, "aaa001")
        assert done.notes == ("it is still out: what happened to it before goes on",)
        assert status(home) == bench
        assert health(home).kind is HealthKind.COOLING

    def test_a_failure_under_way_is_noted_under_the_pause(self, two: Path) -> None:
        """A request that was sent before the pause fails after it: the key is benched once it is resumed."""
        with a_pool(two) as pool:
            assert picked(pool) == "aaa001"
            operator(two).pause(POOL, "aaa001")
            pool.mark_exhausted_and_rotate(status_code=429)
        assert health(two).kind is HealthKind.PAUSED
        assert is_parking(status(two))
        operator(two).resume(POOL, "aaa001")
        assert health(two).kind is HealthKind.COOLING
        assert status(two).code == 429

    def test_a_dead_key_stays_dead_for_hermes(self, home: Path) -> None:
        """Hermes passes dead rows over anyway: they are left as they are, and are paused here."""
        write_store(home, {POOL: [a_key("aaa001", **{**benched(401), "last_status": "dead"})]})
        operator(home).pause(POOL, "aaa001")
        assert status(home).status == "dead"
        assert health(home).kind is HealthKind.PAUSED
        assert health(home, at=FOR_GOOD).kind is HealthKind.NEEDS_LOGIN

    def test_a_reset_ends_what_is_under_the_pause_and_not_the_pause(self, home: Path) -> None:
        """Its undo brings back the bench, not the words that were written for hermes."""
        write_store(home, {POOL: [a_key("aaa001", **benched(402))]})
        bench = status(home)
        operator(home).pause(POOL, "aaa001")
        done = operator(home).reset(POOL, "aaa001")
        assert health(home).kind is HealthKind.PAUSED
        assert status(home) == PARKED
        undo(home, done)
        operator(home).resume(POOL, "aaa001")
        assert status(home) == bench

    def test_a_paused_key_that_is_removed_and_put_back_is_paused(self, two: Path) -> None:
        """The undo of a removal brings the pause back with the key."""
        operator(two).pause(POOL, "aaa001")
        undo(two, operator(two).remove(POOL, "aaa001"))
        assert health(two).kind is HealthKind.PAUSED
        assert status(two) == PARKED

    def test_both_are_undone(self, two: Path) -> None:
        """The undo of a pause lets the key work, that of a longer pause brings the shorter one back, that of a resume pauses."""
        first = operator(two).pause(POOL, "aaa001", until=NOW + 60)
        longer = operator(two).pause(POOL, "aaa001")
        undo(two, longer)
        assert health(two).until == NOW + 60
        assert undo(two, first).text == "key-aaa001 works again"
        assert health(two).kind is HealthKind.READY
        operator(two).pause(POOL, "aaa001")
        assert undo(two, operator(two).resume(POOL, "aaa001")).text == "key-aaa001 is paused again"
        assert health(two) == Health(HealthKind.PAUSED, since=NOW)

    def test_an_undo_does_not_undo_what_somebody_else_did(self, two: Path) -> None:
        """Who paused the key anew meanwhile keeps that; a pause that would be over is not brought back."""
        done = operator(two).pause(POOL, "aaa001", until=NOW + 60)
        resumed = operator(two).resume(POOL, "aaa001")
        operator(two).pause(POOL, "aaa001")
        with pytest.raises(Refused, match="paused or resumed meanwhile"):
            undo(two, done)
        with pytest.raises(Refused, match="would be over by now"):
            undo(two, resumed, clock=FakeClock(NOW + 61))
        assert health(two) == Health(HealthKind.PAUSED, since=NOW)

    def test_what_is_so_already_is_not_done_again(self, two: Path) -> None:
        """A pause until the same time, and a resume of a key that is not paused, write nothing."""
        operator(two).pause(POOL, "aaa001", until=NOW + 600)
        before = tree(two)
        assert operator(two).pause(POOL, "aaa001", until=NOW + 600).credential_id is None
        assert operator(two).resume(POOL, "aaa002").text == "key-aaa002 (aaa002) is not paused"
        assert tree(two) == before

    def test_it_says_what_it_leaves_behind(self, home: Path) -> None:
        """That the same key goes on under another label, and that no key of the pool is ready any more."""
        write_store(home, {POOL: [a_key("aaa001"), a_key("aaa002", access_token="sk-test-aaa001-secret")]})
        assert operator(home).pause(POOL, "aaa001").notes == ("key-aaa002 has the same key and goes on",)
        assert "no key of openrouter is ready now" in operator(home).pause(POOL, "aaa002").notes

    def test_an_offered_key_is_stored_with_its_pause(self, home: Path) -> None:
        """A key of the environment that no agent used yet is stored without its secret, and parked."""
        write_store(home, {})
        env: Any = {"OPENROUTER_API_KEY": "sk-or-of-the-environment"}
        pool = a_reader(home, **env).read().pool(POOL)
        assert pool is not None
        operator(home, **env).pause(POOL, pool.rows[0].id)
        (row,) = load(home)["credential_pool"][POOL]
        assert row["last_error_reason"] == "paused"
        assert "sk-or-of" not in (home / "auth.json").read_text()
        with a_pool(home, **env) as agent:
            assert agent.select() is None


class TestRefusals:
    """Nothing is changed, and why is said."""

    def test_a_time_that_is_over(self, two: Path) -> None:
        """A pause until now or before is refused."""
        with pytest.raises(Refused, match="over already"):
            operator(two).pause(POOL, "aaa001", until=NOW)

    def test_a_key_that_is_gone(self, two: Path) -> None:
        """It is addressed by id: whatever took its place is not paused."""
        with pytest.raises(TargetError):
            operator(two).pause(POOL, "bbb001")

    def test_a_busy_lock_and_a_full_disk(self, two: Path) -> None:
        """Both are told as for every other act; nothing is paused."""
        with lock_held(two), pytest.raises(LockBusy):
            Operator(a_reader(two), timeout_s=0).pause(POOL, "aaa001")
        with pytest.raises(StoreReadOnly):
            operator(two, disk=FailingDisk(28, on=("write",))).pause(POOL, "aaa001")
        assert health(two).kind is HealthKind.READY

    def test_a_key_of_the_root_profile(self, home: Path) -> None:
        """It shows through in a profile, and is paused where it belongs."""
        write_store(home, {POOL: keys("aaa001")})
        with pytest.raises(Refused, match="--profile default"):
            operator(home / "profiles" / "work", profile=None).pause(POOL, "aaa001")


class TestStrangers:
    """Another program writes over a parked row."""

    def test_a_reset_of_hermes_frees_it_until_the_next_checkpoint(self, two: Path) -> None:
        """It is parked again and told once as healed; our own pools never picked it."""
        operator(two).pause(POOL, "aaa001")
        clear(two)
        with a_pool(two) as pool:
            assert picked(pool) == "aaa002"
        assert status(two) == PARKED
        with a_pool(two) as pool:
            assert picked(pool) == "aaa002"
        healed = [event.what for event in told(two) if isinstance(event, Outside)]
        assert healed == ["lost pause"]

    def test_such_a_reset_ends_the_bench_under_the_pause(self, home: Path) -> None:
        """Hermes' operator meant it: after the resume the key is ready."""
        write_store(home, {POOL: [a_key("aaa001", **benched(402)), a_key("aaa002", priority=1)]})
        operator(home).pause(POOL, "aaa001")
        clear(home)
        summed_up(home)
        assert is_parking(status(home))
        operator(home).resume(POOL, "aaa001")
        assert health(home).kind is HealthKind.READY

    def test_what_hermes_clears_when_the_pause_is_over_stays_cleared(self, two: Path) -> None:
        """The end of the time is no loss: nothing is healed and nothing parked again."""
        clock = FakeClock()
        operator(two, clock=clock).pause(POOL, "aaa001", until=NOW + 60)
        clock.forward(61)
        clear(two)
        summed_up(two, clock)
        assert status(two) == Status()
        assert not [event for event in told(two) if isinstance(event, Outside)]

    def test_a_failure_that_hermes_notes_is_kept_under_the_pause(self, two: Path) -> None:
        """Its request was under way: the row is parked again, and the bench counts after the resume."""
        operator(two).pause(POOL, "aaa001")
        document = load_whole(two)
        document["credential_pool"][POOL][0].update(benched(429, ago=-5))
        rewrite(two, document)
        summed_up(two)
        assert is_parking(status(two))
        operator(two).resume(POOL, "aaa001")
        assert status(two).code == 429

    def test_words_of_a_pause_that_is_over_are_no_bench(self, two: Path) -> None:
        """A hermes that loaded the row while it was parked writes that back after the resume: it is healed."""
        operator(two).pause(POOL, "aaa001")
        stale = load_whole(two)["credential_pool"]
        operator(two).resume(POOL, "aaa001")
        rewrite(two, {**load_whole(two), "credential_pool": stale})
        summed_up(two)
        assert status(two) == Status()
        assert health(two).kind is HealthKind.READY

    def test_a_parked_row_that_is_met_for_the_first_time_is_paused(self, home: Path) -> None:
        """A store that lost all that we knew still says which keys are paused, and until when."""
        fields: Any = dict(zip(STATUS_FIELDS, parking(NOW - 9, NOW + 600), strict=True))
        write_store(home, {POOL: [a_key("aaa001", **fields), a_key("aaa002", priority=1)]})
        paused = Health(HealthKind.PAUSED, since=NOW - 9, until=NOW + 600)
        assert health(home) == paused
        with a_pool(home) as pool:
            assert picked(pool) == "aaa002"
        assert health(home) == paused
        operator(home).resume(POOL, "aaa001")
        assert status(home) == Status()


def clear(home: Path) -> None:
    """Clear the first row, as a reset of hermes does it that loaded the file as it is."""
    document = load_whole(home)
    document["credential_pool"][POOL][0].update(dict.fromkeys(STATUS_FIELDS))
    rewrite(home, document)


def rewrite(home: Path, document: dict[str, Any]) -> None:
    pools = document.pop("credential_pool")
    write_store(home, pools, **document)


def test_an_ended_pause_is_dropped_and_another_one_kept() -> None:
    """What is summed up holds no pause that the clock has ended."""
    from keydeck.engine.checkpoint import pruned
    from keydeck.engine.ledger import FRESH

    rows = {
        "a": FRESH._replace(paused=NOW, paused_at=1.0),
        "b": FRESH._replace(paused=NOW + 1, paused_at=1.0),
    }
    assert pruned(Ledger(rows=rows), NOW).rows == {"a": FRESH, "b": rows["b"]}
