"""Other programs change auth.json while ours run: their facts hold, by their own rules, and are told once."""

from __future__ import annotations

import json
import shutil
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fakes import (
    NOW,
    FakeClock,
    a_home,
    a_key,
    a_pool,
    a_reader,
    benched,
    keys,
    load,
    load_whole,
    tree,
    write_store,
)
from keydeck.engine.acts import Operator
from keydeck.engine.events import Outside
from keydeck.engine.file_store import FileStore
from keydeck.engine.pool import CredentialPool

POOL = "openrouter"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home that we wrote once: a stranger's change is one by who had seen that."""
    path = tmp_path / "home"
    write_store(path, {POOL: keys("aaa001", "bbb002")})
    with a_pool(path) as pool:
        pool.select()
    return path


def stranger(home: Path, place: int = 0, **fields: Any) -> None:
    """Write fields of a row as another program does."""
    document = load_whole(home)
    document["credential_pool"][POOL][place].update(fields)
    (home / "auth.json").write_text(json.dumps(document))


def outside(home: Path) -> list[tuple[str, str]]:
    with_all = FileStore(a_home(home), clock=FakeClock()).history()
    return [
        (record.event.id, record.event.what) for _, record in with_all if isinstance(record.event, Outside)
    ]


def picked(pool: CredentialPool) -> str:
    row = pool.select()
    return row.id if row else ""


class TestABenchThatHermesWrote:
    """It lasts as long as hermes says (hermes-pool 5.1), for every process of ours, before and after it is told."""

    @pytest.mark.parametrize(
        ("code", "until", "wait_s"),
        [
            (401, None, 300),
            (429, None, 3600),
            (402, None, 3600),
            (None, None, 3600),
            (503, None, 3600),
            (401, NOW + 900, 900),
            (429, NOW + 60, 60),
        ],
    )
    def test_it_ends_when_hermes_would_end_it(
        self, home: Path, code: int | None, until: float | None, wait_s: float
    ) -> None:
        """A second before it is out, a second after it is back."""
        clock = FakeClock()
        running, teller = a_pool(home, clock=clock), a_pool(home, clock=clock)
        assert picked(running) == "aaa001"
        stranger(home, **benched(code, ago=0, until=until))
        assert picked(running) == "bbb002"
        teller.select()
        teller.close()
        assert outside(home) == [("aaa001", "benched")]
        clock.forward(wait_s - 1)
        assert picked(running) == picked(a_pool(home, clock=clock)) == "bbb002"
        clock.forward(2)
        assert (picked(running), picked(a_pool(home, clock=clock))) == (
            "aaa001",
            "bbb002",
        )  # one tries it first
        clock.forward(60)
        assert picked(running) == picked(a_pool(home, clock=clock)) == "aaa001"

    def test_a_dead_row_stays_out_until_somebody_knows_better(self, home: Path) -> None:
        """No time ends it; the operator's reset does, and a later failure of ours is another bench."""
        clock = FakeClock()
        pool = a_pool(home, clock=clock)
        stranger(home, **benched(401, ago=0, last_status="dead", last_error_reason="token_revoked"))
        clock.forward(10 * 86400)
        assert picked(pool) == picked(a_pool(home, clock=clock)) == "bbb002"
        Operator(a_reader(home, clock=clock)).reset(POOL, "aaa001")
        assert picked(pool) == "aaa001"
        pool.mark_exhausted_and_rotate(status_code=429)
        clock.forward(59)
        assert picked(pool) == "bbb002"
        clock.forward(2)
        assert picked(pool) == "aaa001"

    def test_a_request_that_goes_through_ends_it(self, home: Path) -> None:
        """Granted after the bench was seen: that is to know better."""
        pool = a_pool(home)
        stranger(home, **benched(429, ago=0))
        assert picked(pool) == "bbb002"
        pool.acquire_lease("aaa001")
        pool.report_success("sk-test-aaa001-secret")
        assert picked(pool) == "aaa001"
        pool.close()
        assert load(home)["credential_pool"][POOL][0]["last_status"] is None

    def test_one_that_is_over_and_cleared_by_hermes_is_no_reset(self, home: Path) -> None:
        """Hermes clears what has ended at its next look: told as ended, and nobody's failures are forgiven by it."""
        clock = FakeClock()
        stranger(home, **benched(401, ago=0))
        with a_pool(home, clock=clock) as pool:
            pool.select()
        clock.forward(301)
        stranger(home, last_status="ok", last_status_at=None, last_error_code=None)
        with a_pool(home, clock=clock) as pool:
            assert picked(pool) == "aaa001"
        assert outside(home) == [("aaa001", "benched"), ("aaa001", "ended")]


class TestToldOnce:
    """However many see it."""

    def test_many_that_sum_up_at_once_tell_a_change_once(self, home: Path) -> None:
        """Each had read it, and all try at the same moment."""
        pools = [a_pool(home) for _ in range(6)]
        stranger(home, label="theirs", request_count=9, **benched(429, ago=0))
        for pool in pools:
            assert [row.label for row in pool.entries()] == ["theirs", "key-bbb002"]
            pool.select()
        start, failed = threading.Barrier(len(pools)), Counter[int]()

        def sum_up(number: int) -> None:
            start.wait(10)
            while not (pools[number].flush() and pools[number]._store.checkpoint()):
                failed[number] += 1
                assert failed[number] < 10_000

        threads = [threading.Thread(target=sum_up, args=(number,)) for number in range(len(pools))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert sorted(outside(home)) == [("aaa001", "benched"), ("aaa001", "renamed"), ("aaa001", "used")]
        for pool in pools:
            assert [row.request_count for row in pool.entries()] == [9, 6]
            assert pool._store.checkpoint()
        assert len(outside(home)) == 3

    def test_dashboards_see_it_and_tell_nothing(self, home: Path) -> None:
        """Looking writes nothing; the first program that has something to tell tells this too."""
        first, second = a_reader(home), a_reader(home)
        stranger(home, label="theirs")
        before = tree(home)
        for reader in (first, second):
            assert reader.read().pools[0].rows[0].label == "theirs"
            reader.close()
        assert tree(home) == before
        with a_pool(home) as pool:
            pool.select()
        assert outside(home) == [("aaa001", "renamed")]

    def test_who_only_looked_does_not_begin_a_journal_again(self, home: Path) -> None:
        """That is for somebody with something to tell."""
        reader = a_reader(home)
        reader.read()
        shutil.rmtree(home / "keydeck")
        before = tree(home)
        reader.read()
        reader.store.flush()
        reader.close()
        assert tree(home) == before

    def test_a_row_that_another_program_added_or_removed(self, home: Path) -> None:
        """It is usable at once, gone at once, and each is told once by two that sum up."""
        pool, other = a_pool(home), a_pool(home)
        document = load_whole(home)
        del document["credential_pool"][POOL][0]
        document["credential_pool"][POOL].append(a_key("ccc003", priority=-1))
        (home / "auth.json").write_text(json.dumps(document))
        assert picked(pool) == picked(other) == "ccc003"
        pool.close()
        other.close()
        assert sorted(outside(home)) == [("aaa001", "removed"), ("ccc003", "added")]
        assert [row["request_count"] for row in load(home)["credential_pool"][POOL]] == [0, 2]
