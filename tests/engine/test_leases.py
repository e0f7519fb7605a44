from __future__ import annotations

import errno
import os
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowd import lease_alone_by_many, lease_for_ever
from fakes import NOW, FailingDisk, FakeClock, a_home, a_pool, a_reader, around, keys, load, tree, write_store
from keydeck import load_pool
from keydeck.engine.checkpoint import Checkpoint, checkpoint_bytes, pruned, read_checkpoint
from keydeck.engine.claims import NO_LEASES, Leases, in_flight, leased, released, without_ended
from keydeck.engine.events import Leased, Released
from keydeck.engine.file_store import FileStore
from keydeck.engine.files import Disk
from keydeck.engine.pool import CredentialPool

POOL = "openrouter"


@pytest.fixture
def three(home: Path) -> Path:
    write_store(home, {POOL: keys("aaa001", "bbb002", "ccc003")})
    return home


def flying(home: Path, clock: FakeClock | None = None) -> dict[str, int]:
    """Return what the dashboard shows as in flight, by row."""
    clock = clock or FakeClock()
    pool = a_reader(home, clock=clock).read().pool(POOL)
    assert pool
    return {state.id: number for state in pool.at(clock()).rows if (number := state.in_flight(clock())) > 0}


def holder(pool: CredentialPool, *, at_most: int | None = None, ttl_s: float | None = None) -> str | None:
    """Take a row and keep it."""
    context = pool.lease(at_most=at_most, ttl_s=ttl_s)
    held = context.__enter__()
    KEPT.append(context)
    return held.credential.id if held else None


KEPT: list[object] = []


# --- the rules ---------------------------------------------------------------------------------------------


def a_claim(name: str, *, ttl_s: float = 60, most: int | None = None) -> Leased:
    return Leased(ids=("a",), provider=POOL, lease=name, ttl_s=ttl_s, most=most)


def test_the_first_claim_wins() -> None:
    """One that comes second is void where it would be one too many, and holds where it is not."""
    first = leased(NO_LEASES, a_claim("x", most=1), NOW)
    assert leased(first, a_claim("y", most=1), NOW + 59) is first
    assert in_flight(leased(first, a_claim("y", most=2), NOW + 59), NOW + 59) == 2
    assert set(leased(first, a_claim("y", most=1), NOW + 60)) == {"y"}


def test_a_claim_on_what_one_holds_renews_it() -> None:
    """As long as it has not ended; afterwards it is a claim like any other."""
    first = leased(NO_LEASES, a_claim("x", most=1), NOW)
    longer = leased(first, a_claim("x", most=1), NOW + 50)
    assert leased(longer, a_claim("y", most=1), NOW + 109) is longer
    taken = leased(longer, a_claim("y", most=1), NOW + 110)
    assert set(leased(taken, a_claim("x", most=1), NOW + 111)) == {"y"}


def test_a_lease_from_a_future_that_a_clock_made_up_holds_nobody_back_for_long() -> None:
    """A clock that was an hour ahead and is set back leaves no row taken for an hour."""
    early = leased(NO_LEASES, a_claim("x", most=1), NOW + 3600)
    assert in_flight(early, NOW) == 0
    assert set(leased(early, a_claim("y", most=1), NOW)) == {"y"}


moves = st.lists(
    st.tuples(st.sampled_from("abcde"), st.booleans(), st.floats(0, 30), st.sampled_from([5.0, 40.0])),
    max_size=30,
)


@settings(deadline=None)
@given(moves, st.integers(1, 3))
def test_there_are_never_more_holders_than_allowed(
    moves: list[tuple[str, bool, float, float]], most: int
) -> None:
    """Whoever claims, renews, gives back or lets it lapse, in any order; forgetting the ended changes nothing."""
    leases: Leases = NO_LEASES
    now = NOW
    for name, gives_back, later, ttl_s in moves:
        now += later
        if gives_back:
            leases = released(leases, Released(ids=("a",), provider=POOL, lease=name))
        else:
            after = leased(leases, a_claim(name, ttl_s=ttl_s, most=most), now)
            assert after == leased(
                without_ended(leases, now), a_claim(name, ttl_s=ttl_s, most=most), now
            ) or (after is leases)
            leases = after
        assert in_flight(leases, now) <= most


def test_a_checkpoint_carries_leases_that_are_live(three: Path) -> None:
    """They are read back as they were; long ended ones are left out."""
    clock = FakeClock()
    pool = a_pool(three, clock=clock)
    assert holder(pool, ttl_s=100) == "aaa001"
    assert holder(pool, ttl_s=5000) == "bbb002"
    books = pool._store._books  # type: ignore[attr-defined]
    for later, left in ((0, {"aaa001", "bbb002"}), (1000, {"bbb002"})):
        clock.forward(later)
        (three / "keydeck" / "checkpoint.json").write_bytes(
            checkpoint_bytes(Checkpoint(pruned(books.ledger, clock())))
        )
        read = read_checkpoint(Disk(), three / "keydeck")
        assert read
        assert {name: facts.leases for name, facts in read.ledger.rows.items() if facts.leases} == {
            name: facts.leases for name, facts in books.ledger.rows.items() if name in left
        }


# --- pools -------------------------------------------------------------------------------------------------


def test_leases_are_seen_everywhere_while_the_block_runs(three: Path) -> None:
    """In another pool's choice and in what is shown; the block gives back, also when it fails."""
    first, second = a_pool(three), a_pool(three)
    with pytest.raises(ZeroDivisionError), first.lease() as one, second.lease() as other:
        assert one and other
        assert (one.credential.id, other.credential.id) == ("aaa001", "bbb002")
        assert flying(three) == {"aaa001": 1, "bbb002": 1}
        with second.lease() as third, second.lease() as fourth:
            assert third and fourth
            assert (third.credential.id, fourth.credential.id) == ("ccc003", "aaa001")
            assert flying(three) == {"aaa001": 2, "bbb002": 1, "ccc003": 1}
        raise ZeroDivisionError
    assert flying(three) == {}


def test_a_lease_is_a_selection(three: Path) -> None:
    """It counts a request, makes the row current, and a failure is that row's."""
    pool = a_pool(three)
    with pool.lease() as held:
        assert held
        current = pool.current()
        assert current and current.id == held.credential.id == "aaa001"
        assert held.credential.runtime_api_key == "sk-test-aaa001-secret"
        following = pool.mark_exhausted_and_rotate(status_code=429)
        assert following and following.id == "bbb002"
    pool.close()
    assert [row["request_count"] for row in load(three)["credential_pool"][POOL]] == [1, 1, 0]


def test_leases_go_by_the_strategy_where_rows_are_equally_free(three: Path) -> None:
    """Round after round under round_robin; a session's own row under sticky."""
    (three / "config.yaml").write_text(f"credential_pool_strategies: {{{POOL}: round_robin}}\n")
    pool, taken = a_pool(three), []
    for _ in range(5):
        with pool.lease() as held:
            assert held
            taken.append(held.credential.id)
    assert taken == ["aaa001", "bbb002", "ccc003", "aaa001", "bbb002"]
    (three / "config.yaml").write_text(f"credential_pool_strategies: {{{POOL}: sticky}}\n")
    pool = a_pool(three)
    own = pool.select(session="mine")
    assert own
    for _ in range(3):
        with pool.lease(session="mine") as one, pool.lease(session="mine") as other:
            assert one and other
            assert {one.credential.id, other.credential.id} == {own.id}


def test_a_row_is_leased_so_often_at_once_as_is_allowed(three: Path) -> None:
    """By argument, or by config.yaml; None is the answer then, and hermes' own names obey it too."""
    pool = a_pool(three)
    assert [holder(pool, at_most=1) for _ in range(4)] == ["aaa001", "bbb002", "ccc003", None]
    assert holder(a_pool(three), at_most=1) is None
    assert holder(pool, at_most=2) == "aaa001"
    pool.close()
    (three / "config.yaml").write_text("credential_pool: {leases: {at_most: 1}}\n")
    pool, other = a_pool(three), a_pool(three)
    assert pool.acquire_lease("bbb002") == "bbb002"
    assert other.acquire_lease("bbb002") is None
    assert [other.acquire_lease() for _ in range(3)] == ["aaa001", "ccc003", None]
    pool.release_lease("bbb002")
    assert other.acquire_lease() == "bbb002"


@pytest.mark.parametrize("at_most", ["0", "-1", "true", "'two'", "[1]", "null", "1e12"])
def test_a_cap_that_is_none_caps_nothing(three: Path, at_most: str) -> None:
    """What is no number above zero is no cap."""
    (three / "config.yaml").write_text(
        f"credential_pool: {{leases: {{at_most: {at_most}, ttl_s: {at_most}}}}}\n"
    )
    pool = a_pool(three)
    assert [holder(pool) for _ in range(4)] == ["aaa001", "bbb002", "ccc003", "aaa001"]


def test_a_lease_ends_by_the_clock_unless_it_is_renewed(three: Path) -> None:
    """After ten minutes, or what config.yaml or the caller says; nothing is written when it does."""
    for said, ttl_s, lasts in (
        ("", None, 600),
        ("credential_pool: {leases: {ttl_s: 30}}\n", None, 30),
        ("credential_pool: {leases: {ttl_s: 30}}\n", 90.0, 90),
    ):
        (three / "config.yaml").write_text(said)
        clock = FakeClock()
        pool = a_pool(three, clock=clock)
        with pool.lease(at_most=1, ttl_s=ttl_s) as held:
            assert held
            clock.forward(lasts - 1)
            assert held.renew()
            clock.forward(lasts - 1)
            assert flying(three, clock) == {"aaa001": 1}
            before = tree(three)
            clock.forward(1)
            assert flying(three, clock) == {}
            assert tree(three) == before


def test_who_comes_too_late_to_renew_has_lost_a_row_that_is_taken(three: Path) -> None:
    """And gets a free one back; giving back what is lost takes nothing from its new holder."""
    clock = FakeClock()
    pool, other = a_pool(three, clock=clock), a_pool(three, clock=clock)
    write_store(three, {POOL: keys("aaa001")})
    with pool.lease(at_most=1, ttl_s=10) as held:
        assert held
        clock.forward(11)
        assert held.renew(20)
        clock.forward(19)
        assert holder(other, at_most=1, ttl_s=500) is None
        clock.forward(1)
        assert holder(other, at_most=1, ttl_s=500) == "aaa001"
        assert not held.renew()
        held.release()
    assert flying(three, clock) == {"aaa001": 1}


def test_whoever_waits_gets_a_row_when_its_lease_ends(three: Path) -> None:
    """By the clock, without the help of its holder."""
    clock = FakeClock()
    write_store(three, {POOL: keys("aaa001")})
    assert holder(a_pool(three, clock=clock), at_most=1, ttl_s=5) == "aaa001"
    pool = CredentialPool(POOL, a_reader(three, clock=clock), sleep=clock.forward)
    with pool.lease(at_most=1, wait=3) as held:
        assert held is None
    with pool.lease(at_most=1, wait=3) as held:
        assert held
    assert clock() == pytest.approx(NOW + 5, abs=0.2)


def test_a_pool_that_closes_gives_its_leases_back(three: Path) -> None:
    """Also those that were taken under hermes' name."""
    pool = a_pool(three)
    assert pool.acquire_lease() == "aaa001"
    assert holder(pool) == "bbb002"
    pool.close()
    assert flying(three) == {}


def test_leases_write_no_rows(three: Path) -> None:
    """A row in auth.json says nothing of them, so nothing is written there but counts in their own time."""
    pool = a_pool(three)
    before = (three / "auth.json").read_bytes()
    for _ in range(5):
        with pool.lease():
            pool._store.tend()  # type: ignore[attr-defined]
    assert (three / "auth.json").read_bytes() == before


def test_rows_with_one_secret_are_leased_as_one(home: Path) -> None:
    """A provider sees one key, whatever rows it is in (hermes-recovery G18)."""
    write_store(home, {POOL: keys("aaa001", "bbb002", access_token="sk-the-same-for-both")})
    pool = a_pool(home)
    assert holder(pool, at_most=1) == "aaa001"
    assert holder(pool, at_most=1) is None
    assert flying(home) == {"aaa001": 1, "bbb002": 1}


def test_what_cannot_be_told_is_held_only_where_nobody_else_must_be_kept_out(three: Path) -> None:
    """On a full disk a lease without a cap goes on in memory; with one there is no lease: nobody else would know."""
    disk = FailingDisk(errno.ENOSPC)
    pool = a_pool(three, disk=disk)
    disk.on = {"write", "open_append"}
    assert [holder(pool) for _ in range(2)] == ["aaa001", "bbb002"]
    assert holder(pool, at_most=1) is None
    disk.heal()
    assert holder(pool, at_most=1) == "ccc003"
    assert flying(three) == {"aaa001": 1, "bbb002": 1, "ccc003": 1}


def test_a_forked_child_does_not_give_its_parents_leases_back(three: Path) -> None:
    """It has none of its own, and closing it releases nothing."""
    pool = a_pool(three)
    assert holder(pool) == "aaa001"
    child = os.fork()
    if not child:  # pragma: no cover - another process
        pool.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert flying(three) == {"aaa001": 1}


def test_two_who_begin_the_journal_at_once_begin_the_same_one(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should another have begun it since we looked, we go on in his: else both would hold the same row."""
    pool, other = a_pool(three), a_pool(three)
    books = pool._store._books  # type: ignore[attr-defined]
    looked = books._join
    begun: list[str | None] = []

    def look() -> bool:
        found: bool = looked()
        if not begun:
            begun.append(holder(other))
        return found

    monkeypatch.setattr(books, "_join", look)
    assert holder(pool) == "bbb002"
    assert begun == ["aaa001"]
    assert [path.name for path in (three / "keydeck").glob("journal-*")] == ["journal-000001.jsonl"]
    assert flying(three) == {"aaa001": 1, "bbb002": 1}


# --- processes ---------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_a_holder_that_is_killed_frees_its_row(home: Path) -> None:
    """Within its time and a second, with nobody's help."""
    write_store(home, {POOL: keys("aaa001")})
    context = get_context("spawn")
    taken = context.Queue()
    child = context.Process(target=lease_for_ever, args=(home, 4.0, taken))
    child.start()
    assert taken.get(timeout=60) == "aaa001"
    child.kill()
    child.join()
    pool = load_pool(POOL, home=home, around=around(home.parent))
    with pool.lease(at_most=1) as held:
        assert held is None
    with pool.lease(at_most=1, wait=5.0) as held:
        assert held
    pool.close()


@pytest.mark.timeout(3600)
def test_eight_processes_never_hold_one_row_together(home: Path) -> None:
    """With a cap of one there is one holder at a time; KEYDECK_LOAD makes it a million times."""
    times = int(os.environ.get("KEYDECK_LOAD", "320")) // 8
    write_store(home, {POOL: keys("aaa001")})
    done = lease_alone_by_many(home, 8, times)
    assert done == [(times, 0)] * 8
    assert load(home)["credential_pool"][POOL][0]["request_count"] == 8 * times
    store = FileStore(a_home(home))
    store.snapshot()
    facts = store.facts("aaa001")
    assert facts and not facts.leases
    store.close()
