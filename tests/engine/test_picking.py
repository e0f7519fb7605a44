from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from crowd import picks_of_many
from fakes import FakeClock, a_key, a_pool, a_reader, benched, keys, load, write_store
from keydeck.engine.acts import Operator
from keydeck.engine.credential import Credential, parse_rows
from keydeck.engine.picking import SESSIONS_KEPT
from keydeck.engine.pool import CredentialPool
from keydeck.engine.ready import Ready
from keydeck.engine.strategies import row_of_session

EIGHT = [f"aaa{n:03}" for n in range(8)]
SESSIONS = [f"session {n}" for n in range(50)]


def a_home_with(home: Path, strategy: str, *ids: str) -> Path:
    write_store(home, {"openrouter": keys(*ids)})
    follow(home, strategy)
    return home


def follow(home: Path, strategy: str) -> None:
    (home / "config.yaml").write_text(f"credential_pool_strategies: {{openrouter: {strategy}}}\n")


def picked(pool: CredentialPool, session: str | None = None) -> str:
    row = pool.select(session=session)
    assert row is not None
    return row.id


def total(taken: list[dict[str | None, Counter[str]]]) -> Counter[str]:
    return sum((rows for worker in taken for rows in worker.values()), Counter())


# --- sessions ----------------------------------------------------------------------------------------------


def test_a_session_keeps_its_row(home: Path) -> None:
    """Whatever other sessions do meanwhile, in every pool of the home, and after a restart."""
    a_home_with(home, "sticky", *EIGHT)
    first, second = a_pool(home), a_pool(home)
    rows = {session: picked(first, session) for session in SESSIONS}
    assert len(set(rows.values())) > 4
    for _ in range(3):
        assert {session: picked(second, session) for session in SESSIONS} == rows
        assert {session: picked(first, session) for session in reversed(SESSIONS)} == rows


def test_a_session_moves_while_its_row_is_out_and_no_other_does(home: Path) -> None:
    """Those of the benched row get another each; they stay there, for its prompt cache is the warm one by then."""
    a_home_with(home, "sticky", *EIGHT)
    clock = FakeClock()
    pool = a_pool(home, clock=clock)
    rows = {session: picked(pool, session) for session in SESSIONS}
    out = rows[SESSIONS[0]]
    pool.mark_exhausted_and_rotate(status_code=429, api_key_hint=f"sk-test-{out}-secret")
    moved = {session: picked(pool, session) for session in SESSIONS}
    assert out not in moved.values()
    assert {session for session in SESSIONS if moved[session] != rows[session]} == {
        session for session in SESSIONS if rows[session] == out
    }
    clock.forward(2 * 86400)
    assert {session: picked(pool, session) for session in SESSIONS} == moved
    assert {session: picked(a_pool(home, clock=clock), session) for session in SESSIONS} == rows


def test_a_row_that_comes_takes_its_share_of_the_sessions_and_moves_no_other() -> None:
    """A session leaves its row only for the new one."""
    rows = [
        row for row in parse_rows("openrouter", "openrouter", keys(*EIGHT)) if isinstance(row, Credential)
    ]
    few, all_of_them = Ready(rows[:7]), Ready(rows)
    few.begin(0, 0)
    all_of_them.begin(0, 0)
    before = {session: row_of_session(few, session) for session in map(str, range(800))}
    after = {session: row_of_session(all_of_them, session) for session in before}
    moved = {session for session in before if before[session] != after[session]}
    assert {after[session] for session in moved} == {7}
    assert 60 < len(moved) < 140


def test_a_pool_remembers_only_so_many_sessions(home: Path) -> None:
    """Memory is bounded; who speaks keeps its place, who was quiet longest is worked out anew."""
    a_home_with(home, "sticky", "aaa001", "bbb002")
    pool = a_pool(home)
    for n in range(SESSIONS_KEPT + 500):
        picked(pool, f"s{n}")
        picked(pool, "talkative")
    known = pool._picking._row_of
    assert len(known) == SESSIONS_KEPT
    assert "talkative" in known
    assert "s0" not in known


def test_sticky_without_a_session_stays_with_its_own_row(home: Path) -> None:
    """While that is ready; what sessions do beside it changes nothing."""
    a_home_with(home, "sticky", *EIGHT)
    pool = a_pool(home)
    own = picked(pool)
    for session in SESSIONS:
        picked(pool, session)
        assert picked(pool) == own
    pool.mark_exhausted_and_rotate(status_code=429, api_key_hint=f"sk-test-{own}-secret")
    other = picked(pool)
    assert other != own
    assert [picked(pool) for _ in range(5)] == [other] * 5


@pytest.mark.parametrize("strategy", ["fill_first", "round_robin", "least_used"])
def test_a_session_means_nothing_to_other_strategies(home: Path, strategy: str) -> None:
    """They pick as they do without one."""
    a_home_with(home, strategy, "aaa001", "bbb002", "ccc003")
    with_one, without = a_pool(home), a_pool(home.with_name("other"))
    a_home_with(home.with_name("other"), strategy, "aaa001", "bbb002", "ccc003")
    assert [picked(with_one, "a") for _ in range(7)] == [picked(without) for _ in range(7)]


# --- several processes -------------------------------------------------------------------------------------


def test_round_robins_begin_one_after_the_other(home: Path) -> None:
    """Eight pools that are all open before the first one picks do not all send their first requests to one row."""
    a_home_with(home, "round_robin", *EIGHT)
    pools = [a_pool(home) for _ in EIGHT]
    for turn in range(3):
        assert [picked(pool) for pool in pools] == EIGHT[turn:] + EIGHT[:turn]


@pytest.mark.timeout(120)
def test_round_robins_of_eight_processes_share_evenly(home: Path) -> None:
    """80,000 picks: no row gets eight more than another; the counts are on disk, and the next pool goes on from them."""
    a_home_with(home, "round_robin", *EIGHT, "bbb001", "bbb002", "bbb003")
    taken = total(picks_of_many(home, 8, 10_000))
    print(taken)
    assert taken.total() == 80_000
    assert max(taken.values()) - min(taken.values()) <= 8
    rows = load(home)["credential_pool"]["openrouter"]
    assert {row["id"]: row["request_count"] for row in rows} == taken
    follow(home, "least_used")
    with a_pool(home) as pool:
        assert picked(pool) == min(taken, key=lambda row_id: (taken[row_id], row_id))


@pytest.mark.timeout(120)
def test_least_used_of_eight_processes_levels_the_counts(home: Path) -> None:
    """No row is off its share by one in a hundred, also after all of them were started again."""
    a_home_with(home, "least_used", *EIGHT)
    for done in (40_000, 80_000):
        assert total(picks_of_many(home, 8, 5000)).total() == 40_000
        counts = [row["request_count"] for row in load(home)["credential_pool"]["openrouter"]]
        print(counts)
        assert sum(counts) == done
        share = done / len(counts)
        assert max(abs(count - share) for count in counts) <= 0.01 * share


@pytest.mark.timeout(120)
def test_sessions_of_eight_processes_stay_and_are_spread(home: Path) -> None:
    """Each of 50 sessions stays with one row in all processes, and no row has more than twice its share."""
    a_home_with(home, "sticky", *EIGHT[:5])
    taken = picks_of_many(home, 8, 2000, SESSIONS)
    for session in SESSIONS:
        rows = sum((worker[session] for worker in taken), Counter[str]())
        assert rows.most_common(1)[0][1] >= 0.99 * rows.total()
    spread = total(taken)
    assert max(spread.values()) <= 2 * spread.total() / 5


# --- a strategy that changes, a wait -----------------------------------------------------------------------


def test_a_strategy_that_changes_reaches_a_running_pool(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its next look at config.yaml, and goes on from the row that was picked last."""
    monkeypatch.setattr("keydeck.engine.roster._LOOK_AROUND_EVERY_S", 0.0)
    a_home_with(home, "fill_first", "aaa001", "bbb002", "ccc003")
    pool = a_pool(home)
    assert [picked(pool) for _ in range(3)] == ["aaa001"] * 3
    Operator(a_reader(home)).set_strategy("openrouter", "round_robin")
    assert [picked(pool) for _ in range(4)] == ["bbb002", "ccc003", "aaa001", "bbb002"]
    Operator(a_reader(home)).set_strategy("openrouter", "sticky")
    assert [picked(pool) for _ in range(3)] == ["bbb002"] * 3
    Operator(a_reader(home)).set_strategy("openrouter", "least_used")
    assert [picked(pool) for _ in range(2)] == ["ccc003"] * 2


def test_whoever_waits_gets_the_row_as_soon_as_it_is_back(home: Path) -> None:
    """It sleeps in short naps without the pool's lock, so that others go on, and takes what another one freed."""
    clock, naps = FakeClock(), list[float]()
    write_store(home, {"openrouter": [a_key("aaa001", **benched(until=clock() + 3))]})

    def nap(seconds: float) -> None:
        assert not pool._guard._is_owned()  # type: ignore[attr-defined]
        naps.append(seconds)
        clock.forward(seconds)

    pool = CredentialPool("openrouter", a_reader(home, clock=clock), sleep=nap)
    assert pool.select() is None
    assert pool.select(wait=2) is None
    assert sum(naps) == pytest.approx(2)
    row = pool.select(wait=60)
    assert row is not None
    assert sum(naps) == pytest.approx(3, abs=0.2)
    assert max(naps) <= 0.25


def test_whoever_waits_takes_what_the_operator_frees(home: Path) -> None:
    """A reset from outside ends the wait; a row that is ready is taken without any."""
    clock, naps = FakeClock(), list[float]()
    write_store(home, {"openrouter": [a_key("aaa001", **benched(until=clock() + 3000))]})

    def nap(seconds: float) -> None:
        naps.append(seconds)
        clock.forward(seconds)
        if len(naps) == 3:
            Operator(a_reader(home, clock=clock)).reset("openrouter")

    pool = CredentialPool("openrouter", a_reader(home, clock=clock), sleep=nap)
    for _ in range(2):
        row = pool.select(wait=60)
        assert row is not None
    assert len(naps) == 3
