"""Picking, leasing and blaming as users need them (demand 2.1, 2.2, 2.3, 2.4)."""

from __future__ import annotations

import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from crowd import lease_one
from fakes import FakeClock, a_key, a_pool, a_reader, benched, keys, load, write_down, write_store
from keydeck.engine.acts import Operator
from keydeck.engine.events import Failed, Reset
from keydeck.engine.pool import CredentialPool
from keydeck.engine.state import HealthKind, PoolState

POOL = "openrouter"


def state_of(home: Path, clock: FakeClock) -> PoolState:
    pool = a_reader(home, clock=clock).read().pool(POOL)
    assert pool is not None
    return pool.at(clock())


class TestFS02ResetOneNotAll:
    """Three keys cool with different deadlines; the second has recovered and is reset."""

    def test_fs_02_only_the_second_changes(self, home: Path) -> None:
        """The others keep their deadlines, in a running pool and in the file, and the event names one row."""
        clock = FakeClock()
        ends = [clock() + wait for wait in (600, 1200, 1800)]
        names = ("aaa001", "bbb002", "ccc003")
        write_store(
            home,
            {POOL: [a_key(name, priority=n, **benched(until=ends[n])) for n, name in enumerate(names)]},
        )
        pool = a_pool(home, clock=clock)
        assert pool.select() is None
        Operator(a_reader(home, clock=clock)).reset(POOL, "bbb002")
        row = pool.select()
        assert row is not None
        assert row.id == "bbb002"
        assert [state.health.until for state in state_of(home, clock).rows] == [ends[0], None, ends[2]]
        stored = load(home)["credential_pool"][POOL]
        assert [row["last_error_reset_at"] for row in stored] == [ends[0], None, ends[2]]
        resets = [record.event for _, record in pool._store.history() if isinstance(record.event, Reset)]
        assert [event.ids for event in resets] == [("bbb002",)]


class TestFS19UnknownKeyHint:
    """A fresh pool is told of the failure of a key that is in no row any more."""

    @pytest.mark.parametrize("hint", [{"api_key_hint": "sk-long-gone"}, {"credential_id": "zzz999"}, {}])
    def test_fs_19_nothing_is_marked(self, home: Path, hint: dict[str, str]) -> None:
        """By key, by id or without either: no healthy key is benched, and the next one is handed out."""
        path = write_store(home, {POOL: keys("aaa001", "bbb002")})
        before = path.read_bytes()
        pool = a_pool(home)
        row = pool.mark_exhausted_and_rotate(status_code=402, **hint)  # type: ignore[arg-type]
        assert row is not None
        assert row.id == "aaa001"
        assert path.read_bytes() == before

    @pytest.mark.parametrize("hint", [{"api_key_hint": "sk-long-gone"}, {"credential_id": "zzz999"}])
    def test_fs_19_somebody_is_told(self, home: Path, hint: dict[str, str]) -> None:
        """The journal says that a failure of a key that is not here was reported, and not which key it was."""
        write_store(home, {POOL: keys("aaa001")})
        pool = a_pool(home)
        pool.report_failure(status_code=402, error_context={"message": "sk-long-gone is spent"}, **hint)  # type: ignore[arg-type]
        (told,) = [record.event for _, record in pool._store.history() if isinstance(record.event, Failed)]
        assert (told.ids, told.code, told.key) == ((), 402, None)
        assert ("sk-long-gone" in (told.message or "")) == ("api_key_hint" not in hint)


class TestFS17LateFailureFromAnOldClient:
    """The pool has gone on from A to B; a client that still holds A is refused."""

    def test_fs_17_the_key_it_holds_is_marked(self, home: Path) -> None:
        """A pays, also a second time; B stays untouched and is handed out."""
        write_store(home, {POOL: keys("aaa001", "bbb002", "ccc003")})
        pool = a_pool(home)
        first = pool.select()
        assert first is not None
        pool.mark_exhausted_and_rotate(status_code=429)
        for _ in range(2):
            following = pool.mark_exhausted_and_rotate(status_code=429, api_key_hint=first.runtime_api_key)
            assert following is not None
            assert following.id == "bbb002"
        assert [row.id for row in pool.entries() if row.last_status] == ["aaa001"]


class TestFS18FallbackErrorStaysWithTheFallback:
    """A run has failed over from one provider to another, which refuses it as well."""

    def test_fs_18_the_first_pool_is_not_charged(self, home: Path) -> None:
        """Reported to the wrong pool, by the key or by whoever asked neither pool, it marks nobody there."""
        write_store(home, {POOL: keys("aaa001"), "deepseek": keys("ddd001")})
        primary, fallback = a_pool(home), CredentialPool("deepseek", a_reader(home))
        row = fallback.select()
        assert row is not None
        primary.report_failure(status_code=429, api_key_hint=row.runtime_api_key)
        primary.report_failure(status_code=429)
        assert [each.last_status for each in primary.entries()] == [None]
        fallback.mark_exhausted_and_rotate(status_code=429)
        assert [each.last_status for each in fallback.entries()] == ["exhausted"]
        assert [each.last_status for each in primary.entries()] == [None]


class TestFS33PartialLossIsVisible:
    """Fifteen keys are refused one by one over weeks."""

    def test_fs_33_each_step_is_counted_and_told(self, home: Path) -> None:
        """The pool's state says how many are left, and the journal tells of each loss."""
        names = [f"aaa{n:03}" for n in range(15)]
        write_store(home, {POOL: keys(*names)})
        clock = FakeClock()
        pool = a_pool(home, clock=clock)
        for lost, name in enumerate(names[:12], 1):
            context = {"reason": "token_revoked"}
            pool.report_failure(status_code=401, error_context=context, credential_id=name)
            state = state_of(home, clock)
            assert len(state.usable) == 15 - lost
            assert state.how_many(HealthKind.NEEDS_LOGIN) == lost
            clock.forward(86400)
        told = [record.event for _, record in pool._store.history() if isinstance(record.event, Failed)]
        assert [event.ids for event in told] == [(name,) for name in names[:12]]


class TestFS34AllDisabledCanStillRecover:
    """Every key is out; a check goes on all the same."""

    @pytest.mark.parametrize(("code", "reason"), [(429, None), (401, "token_revoked")])
    def test_fs_34_a_check_names_a_key_whatever_its_state(
        self, home: Path, code: int, reason: str | None
    ) -> None:
        """It is leased by its id, and a success that is reported for it brings it back."""
        write_store(home, {POOL: keys("aaa001", "bbb002")})
        pool = a_pool(home)
        for name in ("aaa001", "bbb002"):
            pool.report_failure(status_code=code, error_context={"reason": reason}, credential_id=name)
        assert pool.select() is None
        assert pool.acquire_lease() is None
        assert pool.acquire_lease("bbb002") == "bbb002"
        assert next(row for row in pool.entries() if row.id == "bbb002").runtime_api_key
        pool.report_success(credential_id="bbb002")
        pool.release_lease("bbb002")
        row = pool.select()
        assert row is not None
        assert row.id == "bbb002"
        write_down(home)
        assert load(home)["credential_pool"][POOL][1]["last_status"] is None


class TestFS38ParallelWorkers:
    """Three workers and three idle keys, at the same instant."""

    @pytest.mark.timeout(120)
    def test_fs_38_each_gets_another_key_and_gives_it_back(self, home: Path) -> None:
        """Three different rows; all of them are free again although every worker failed."""
        write_store(home, {POOL: keys("aaa001", "bbb002", "ccc003")})
        context = get_context("spawn")
        start, held, taken = context.Barrier(3), context.Barrier(3), context.Queue()
        workers = [context.Process(target=lease_one, args=(home, start, held, taken)) for _ in range(3)]
        for worker in workers:
            worker.start()
        assert {taken.get(timeout=60) for _ in workers} == {"aaa001", "bbb002", "ccc003"}
        for worker in workers:
            worker.join(60)
            assert worker.exitcode == 0
        clock = FakeClock(time.time())
        assert [state.in_flight(clock()) for state in state_of(home, clock).rows] == [0, 0, 0]
