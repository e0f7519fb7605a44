"""One truth across processes: resets, benches and counts hold whoever writes with an older view (demand 2.1, 2.4)."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fakes import (
    NOW,
    FakeClock,
    a_key,
    a_pool,
    a_reader,
    benched,
    in_another_process,
    keys,
    load,
    load_whole,
    write_down,
    write_store,
)
from keydeck.engine.acts import Operator
from keydeck.engine.credential import CLEAN_STATUS
from keydeck.engine.pool import CredentialPool
from keydeck.engine.secret import Secret


def strategy(home: Path, name: str) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(
        f"credential_pool_strategies: {{openrouter: {name}, anthropic: {name}}}\n"
    )


def picked(pool: CredentialPool) -> str:
    row = pool.select()
    return row.id if row else ""


def counts(home: Path) -> list[int]:
    write_down(home)
    return [row["request_count"] for row in load(home)["credential_pool"]["openrouter"]]


SHOW = """
import json, sys
from keydeck import load_pool
from keydeck.engine.credential import STATUS_FIELDS
row = load_pool("openrouter", home=sys.argv[1]).entries()[0]
print(json.dumps([getattr(row, name) for name in STATUS_FIELDS]))
"""


class TestFS01ResetSurvivesTheMerge:
    """A reset is in the file, and another process sees a clean row."""

    def test_fs_01_a_new_process_shows_nothing_of_the_bench(self, home: Path) -> None:
        """No status, time, code, reason, message or reset time, in the file and through a new pool."""
        bench = benched(429, until=NOW + 3 * 86400, last_error_reason="x", last_error_message="y")
        write_store(home, {"openrouter": [a_key("aaa001", **bench)]})
        pool = a_pool(home)
        assert pool.select() is None
        Operator(a_reader(home)).reset("openrouter", "aaa001")
        assert json.loads(in_another_process(SHOW, home)) == [None] * 6
        (row,) = load(home)["credential_pool"]["openrouter"]
        assert {name: row[name] for name in CLEAN_STATUS} == dict(CLEAN_STATUS)
        assert picked(pool) == "aaa001"
        pool.close()
        write_down(home)
        assert json.loads(in_another_process(SHOW, home)) == [None] * 6


class TestFS03AStaleWriterMustNotUndoAReset:
    """Who holds a view from before the reset does not bring the cooldown back; a newer failure does."""

    def test_fs_03_a_write_for_another_reason_keeps_the_reset(self, home: Path) -> None:
        """The stale pool benches another row and sums up."""
        write_store(
            home, {"openrouter": [a_key("aaa001", **benched(until=NOW + 900)), a_key("bbb002", priority=1)]}
        )
        stale = a_pool(home)
        assert picked(stale) == "bbb002"
        Operator(a_reader(home)).reset("openrouter", "aaa001")
        stale.mark_exhausted_and_rotate(status_code=402)
        stale.close()
        rows = load(home)["credential_pool"]["openrouter"]
        assert [row["last_error_code"] for row in rows] == [None, 402]

    def test_fs_03_a_rewrite_by_another_program_keeps_the_reset(self, home: Path) -> None:
        """Whole rows from before the reset come back into the file; nobody obeys them, and they are healed."""
        write_store(home, {"openrouter": [a_key("aaa001", **benched(until=NOW + 900))]})
        a_pool(home).mark_exhausted_and_rotate(status_code=429, api_key_hint="sk-test-aaa001-secret")
        write_down(home)
        loaded = load_whole(home)["credential_pool"]
        Operator(a_reader(home)).reset("openrouter", "aaa001")
        (home / "auth.json").write_text(json.dumps({**load_whole(home), "credential_pool": loaded}))
        assert picked(a_pool(home)) == "aaa001"
        write_down(home)
        assert load(home)["credential_pool"]["openrouter"][0]["last_status"] is None

    def test_fs_03_a_late_failure_from_before_the_reset_benches_nobody(self, home: Path) -> None:
        """A request that was granted before the operator's reset fails after it; one granted after it counts."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002")})
        pool, other = a_pool(home), a_pool(home)
        pool.select()
        other.mark_exhausted_and_rotate(status_code=429, api_key_hint="sk-test-aaa001-secret")
        Operator(a_reader(home)).reset("openrouter")
        pool.mark_exhausted_and_rotate(status_code=429)
        assert picked(a_pool(home)) == "aaa001"
        pool.select()
        pool.mark_exhausted_and_rotate(status_code=429)
        assert picked(a_pool(home)) == "bbb002"


class TestFS04AStaleWriterMustNotEraseACooldown:
    """A view from before the bench, written back, does not make the row healthy."""

    def test_fs_04_the_bench_stays_on_disk_and_in_force(self, home: Path) -> None:
        """Whether the stale writer is a pool of ours or writes whole rows."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002", "ccc003")})
        first, second = a_pool(home), a_pool(home)
        first.select()
        write_down(home)
        loaded = load_whole(home)["credential_pool"]
        second.mark_exhausted_and_rotate(status_code=429, api_key_hint="sk-test-aaa001-secret")
        first.mark_exhausted_and_rotate(status_code=402, api_key_hint="sk-test-bbb002-secret")
        write_down(home)
        assert [row["last_error_code"] for row in load(home)["credential_pool"]["openrouter"]] == [
            429,
            402,
            None,
        ]
        (home / "auth.json").write_text(json.dumps({**load_whole(home), "credential_pool": loaded}))
        assert [picked(pool) for pool in (first, second, a_pool(home))] == ["ccc003"] * 3
        write_down(home)
        assert [row["last_error_code"] for row in load(home)["credential_pool"]["openrouter"]] == [
            429,
            402,
            None,
        ]


class TestFS20EnvVariableKeepsWinning:
    """The key of the environment is out: the pool's choice is used, and the pool's choice is blamed."""

    def test_fs_20_the_second_row_is_used_and_blamed(self, home: Path) -> None:
        """Whatever the environment still says."""
        write_store(home, {"openrouter": [a_key("bbb002", priority=5)]})
        pool = a_pool(home, OPENROUTER_API_KEY="sk-or-in-the-environment")
        pool.mark_exhausted_and_rotate(status_code=429, api_key_hint="sk-or-in-the-environment")
        assert picked(pool) == "bbb002"
        assert pool.mark_exhausted_and_rotate(status_code=402) is None
        pool.close()
        told = {row["source"]: row["last_error_code"] for row in load(home)["credential_pool"]["openrouter"]}
        assert told == {"manual": 402, "env:OPENROUTER_API_KEY": 429}


class TestFS35LeastUsedAcrossProcesses:
    """Uses count, so that the next process goes on where the last one stopped."""

    def test_fs_35_each_selection_by_a_new_pool_takes_the_other_key(self, home: Path) -> None:
        """Ten each, on disk."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002")})
        strategy(home, "least_used")
        taken: Counter[str] = Counter()
        for _ in range(20):
            with a_pool(home) as pool:
                taken[picked(pool)] += 1
        assert taken == {"aaa001": 10, "bbb002": 10}
        assert [row["request_count"] for row in load(home)["credential_pool"]["openrouter"]] == [10, 10]

    def test_fs_35_pools_that_live_side_by_side_share_the_counts(self, home: Path) -> None:
        """What one has told the other minds."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002")})
        strategy(home, "least_used")
        first, second = a_pool(home), a_pool(home)
        for _ in range(4):
            first.select()
            first.flush()
        assert {picked(second), picked(second)} == {"aaa001", "bbb002"}


class TestFS36CountsUnderOtherStrategies:
    """Every strategy counts, so that another one can go on from real counts."""

    @pytest.mark.parametrize("name", ["fill_first", "round_robin", "least_used", "random", "sticky"])
    def test_fs_36_a_hundred_selections_are_a_hundred_uses(self, home: Path, name: str) -> None:
        """In memory at once, on disk after closing."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002")})
        strategy(home, name)
        with a_pool(home) as pool:
            for _ in range(100):
                pool.select()
            assert sum(row.request_count for row in pool.entries()) == 100
        assert sum(row["request_count"] for row in load(home)["credential_pool"]["openrouter"]) == 100

    def test_fs_36_least_used_starts_from_what_fill_first_counted(self, home: Path) -> None:
        """Nothing starts from zero."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002")})
        with a_pool(home) as pool:
            for _ in range(100):
                pool.select()
        strategy(home, "least_used")
        with a_pool(home) as pool:
            assert {picked(pool) for _ in range(100)} == {"bbb002"}
        assert counts(home) == [100, 100]


class TestFS37RoundRobinSurvivesReload:
    """A new pool goes on with the row after the one used last."""

    def test_fs_37_select_and_reload_cycle(self, home: Path) -> None:
        """Two manual rows and a discovered one, each in turn, six times over."""
        write_store(home, {"anthropic": keys("aaa001", "bbb002")})
        strategy(home, "round_robin")
        taken = []
        for _ in range(9):
            with a_pool(home, "anthropic", ANTHROPIC_API_KEY="sk-ant-api-0123456789") as pool:
                taken.append(picked(pool))
        third = taken[2]
        assert third not in ("aaa001", "bbb002", "")
        assert taken == ["aaa001", "bbb002", third] * 3


def rewritten_by_another_program(home: Path, loaded: list[dict[str, Any]]) -> None:
    """Write rows as hermes does: those it had loaded replace the file's, rows it never saw stay behind them."""
    document = load_whole(home)
    known = {row["id"] for row in loaded}
    unseen = [row for row in document["credential_pool"]["openrouter"] if row["id"] not in known]
    document["credential_pool"]["openrouter"] = [*loaded, *unseen]
    (home / "auth.json").write_text(json.dumps(document))


class TestFS40ConcurrentAddBesideAnotherProgram:
    """A loaded [1, 2], B adds 3, A saves: [1, 2, 3]."""

    def test_fs_40_a_rewrite_of_older_rows_keeps_the_added_one(self, home: Path) -> None:
        """With its uses, in the file and for every pool."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002")})
        write_down(home)
        loaded = load_whole(home)["credential_pool"]["openrouter"]
        pool = a_pool(home)
        added = str(
            Operator(a_reader(home)).add_key("openrouter", Secret("sk-third-0123456789")).credential_id
        )
        pool.acquire_lease(added)
        pool.mark_used()
        pool.close()
        rewritten_by_another_program(home, loaded)
        assert [row.id for row in a_pool(home).entries()] == ["aaa001", "bbb002", added]
        assert counts(home) == [0, 0, 1]


class TestFS41RemovalBeatsMergeBesideAnotherProgram:
    """A loaded [1, 2], B removes 2, A saves: 2 stays removed."""

    def test_fs_41_a_rewrite_of_older_rows_does_not_bring_it_back(self, home: Path) -> None:
        """No pool picks it for a moment, and the next program that sums up takes it out again."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002")})
        write_down(home)
        loaded = load_whole(home)["credential_pool"]["openrouter"]
        running = a_pool(home)
        Operator(a_reader(home)).remove("openrouter", "bbb002")
        rewritten_by_another_program(home, loaded)
        for pool in (running, a_pool(home)):
            assert [row.id for row in pool.entries()] == ["aaa001"]
        assert picked(running) == "aaa001"
        running.close()
        assert counts(home) == [1]


class TestTheSeedsThreadCase:
    """Four threads that select twenty times each."""

    def test_each_of_eighty_selections_is_counted_and_shared_out(self, home: Path) -> None:
        """Under least_used each of four keys gets twenty; the file says so."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002", "ccc003", "ddd004")})
        strategy(home, "least_used")
        pool, taken = a_pool(home), Counter[str]()
        start, guard = threading.Barrier(4), threading.Lock()

        def work() -> None:
            start.wait(10)
            for _ in range(20):
                row = picked(pool)
                with guard:
                    taken[row] += 1

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert set(taken.values()) == {20}
        pool.close()
        assert [row["request_count"] for row in load(home)["credential_pool"]["openrouter"]] == [20] * 4


class TestG18SameSecretInTwoRows:
    """Two rows with one secret are one credential: for benches and for uses."""

    def test_benching_one_does_not_rotate_to_the_same_secret(self, home: Path) -> None:
        """A manual copy of the environment's key is benched with it, and says so in the file."""
        write_store(
            home,
            {"openrouter": [a_key("aaa001", access_token="sk-or-twin-0123"), a_key("ccc003", priority=9)]},
        )
        pool = a_pool(home, OPENROUTER_API_KEY="sk-or-twin-0123")
        assert len(pool.entries()) == 3
        following = pool.mark_exhausted_and_rotate(status_code=429, api_key_hint="sk-or-twin-0123")
        assert following is not None
        assert following.id == "ccc003"
        pool.close()
        told = {row["id"]: row["last_error_code"] for row in load(home)["credential_pool"]["openrouter"]}
        assert told["aaa001"] == 429
        assert told["ccc003"] is None

    def test_uses_of_one_are_uses_of_both(self, home: Path) -> None:
        """Under least_used the pair does not get twice its share, and a snapshot tells the sum."""
        twins = [
            a_key(row_id, priority=n, access_token="sk-twin-0123")
            for n, row_id in enumerate(("aaa001", "bbb002"))
        ]
        write_store(home, {"openrouter": [*twins, a_key("ccc003", priority=9)]})
        strategy(home, "least_used")
        pool = a_pool(home)
        taken = Counter(picked(pool) for _ in range(20))
        assert taken["ccc003"] == 10
        snapshot = a_reader(home, clock=FakeClock()).read()
        assert snapshot.pools[0].uses() == {"aaa001": 0, "bbb002": 0, "ccc003": 0}
        pool.flush()
        assert a_reader(home).read().pools[0].uses() == {"aaa001": 10, "bbb002": 10, "ccc003": 10}

    def test_a_reset_of_one_resets_both(self, home: Path) -> None:
        """Otherwise the twin would keep the secret out, or in."""
        write_store(
            home,
            {"openrouter": [a_key(row_id, access_token="sk-twin-0123") for row_id in ("aaa001", "bbb002")]},
        )
        pool = a_pool(home)
        assert pool.mark_exhausted_and_rotate(status_code=429, api_key_hint="sk-twin-0123") is None
        Operator(a_reader(home)).reset("openrouter", "aaa001")
        assert [row.last_status for row in pool.entries()] == [None, None]
        assert [row["last_status"] for row in load(home)["credential_pool"]["openrouter"]] == [None, None]
