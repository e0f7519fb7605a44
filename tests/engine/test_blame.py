from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fakes import FakeClock, a_pool, keys, load, write_down, write_store
from keydeck.engine.blame import _REQUESTS_KEPT, Requests
from keydeck.engine.grants import Grants
from keydeck.engine.pool import CredentialPool

POOL = "openrouter"
T = TypeVar("T")


@pytest.fixture
def three(home: Path) -> Path:
    write_store(home, {POOL: keys("aaa001", "bbb002", "ccc003")})
    return home


@pytest.fixture
def turns(three: Path) -> Path:
    (three / "config.yaml").write_text(f"credential_pool_strategies: {{{POOL}: round_robin}}\n")
    return three


def picked(pool: CredentialPool) -> str | None:
    row = pool.select()
    return row.id if row else None


def out(home: Path) -> list[str]:
    """Return the benched rows."""
    write_down(home)
    return [row["id"] for row in load(home)["credential_pool"][POOL] if row["last_status"]]


def elsewhere(function: Callable[[], T]) -> T:
    """Call the function in a thread of its own and return what it did."""
    found: list[T] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join(30)
    return found[0]


# --- whose grant -------------------------------------------------------------------------------------------


def test_a_failure_is_that_of_this_threads_own_grant(turns: Path) -> None:
    """Whatever other threads were handed since."""
    pool = a_pool(turns)
    assert picked(pool) == "aaa001"
    assert elsewhere(lambda: picked(pool)) == "bbb002"
    pool.mark_exhausted_and_rotate(status_code=429)
    assert out(turns) == ["aaa001"]


@pytest.mark.parametrize("code", [401, 402, 429, None])
def test_a_thread_without_a_grant_punishes_nobody(turns: Path, code: int | None) -> None:
    """Nothing is marked where it cannot be known whose request failed; the next row is handed out all the same."""
    pool = a_pool(turns)
    assert picked(pool) == "aaa001"
    following = elsewhere(lambda: pool.mark_exhausted_and_rotate(status_code=code))
    assert following is not None
    elsewhere(pool.report_success)
    assert out(turns) == []


def test_a_thread_that_was_told_that_there_is_none_has_no_grant(three: Path) -> None:
    """What it was handed before is not what fails now."""
    clock = FakeClock()
    pool = a_pool(three, clock=clock)
    for name in ("bbb002", "ccc003"):
        pool.report_failure(status_code=402, credential_id=name)
    assert picked(pool) == "aaa001"
    assert pool.mark_exhausted_and_rotate(status_code=402) is None
    clock.forward(86400)
    assert elsewhere(lambda: picked(pool)) is not None
    pool.mark_exhausted_and_rotate(status_code=429)
    assert out(three) == ["aaa001", "bbb002", "ccc003"]
    assert {row["last_error_code"] for row in load(three)["credential_pool"][POOL]} == {402}


async def test_each_task_has_its_own_grant(turns: Path) -> None:
    """Tasks that select and fail beside each other bench their own rows; a task may report what its parent was handed."""
    pool, go_on = a_pool(turns), asyncio.Event()

    async def work(fails: bool) -> str | None:
        row = picked(pool)
        await go_on.wait()
        if fails:
            pool.report_failure(status_code=429)
        return row

    tasks = [asyncio.create_task(work(fails)) for fails in (False, True, False)]
    await asyncio.sleep(0)
    go_on.set()
    assert [await task for task in tasks] == ["aaa001", "bbb002", "ccc003"]
    assert out(turns) == ["bbb002"]
    assert picked(pool) == "aaa001"
    await asyncio.to_thread(pool.report_failure, status_code=429)
    assert out(turns) == ["aaa001", "bbb002"]


def test_a_grant_can_be_named_from_anywhere(turns: Path) -> None:
    """A report in another thread names it, and it is dated as that one was."""
    pool = a_pool(turns)
    assert picked(pool) == "aaa001"
    grant = pool.last_grant()
    assert grant is not None
    assert grant.credential_id == "aaa001"
    assert elsewhere(pool.last_grant) is None
    assert picked(pool) == "bbb002"
    elsewhere(lambda: pool.report_failure(status_code=429, grant=grant))
    assert out(turns) == ["aaa001"]
    elsewhere(lambda: pool.report_success(grant=grant))  # granted before the bench: it ends none
    assert out(turns) == ["aaa001"]


def test_a_row_can_be_named(turns: Path) -> None:
    """By its id; an id that is gone marks nothing, and one whose key is another one by now neither."""
    pool = a_pool(turns)
    assert picked(pool) == "aaa001"
    pool.mark_exhausted_and_rotate(status_code=429, credential_id="ccc003")
    pool.mark_exhausted_and_rotate(status_code=429, credential_id="nobody")
    pool.mark_exhausted_and_rotate(
        status_code=429, credential_id="bbb002", api_key_hint="sk-test-aaa001-secret"
    )
    assert out(turns) == ["ccc003"]
    pool.report_success(credential_id="ccc003")
    assert {picked(pool) for _ in range(3)} == {"aaa001", "bbb002", "ccc003"}


def test_a_failure_is_dated_by_its_own_grant(turns: Path) -> None:
    """A request from before a reset benches nothing after it, whoever was handed the row since."""
    pool = a_pool(turns)
    assert picked(pool) == "aaa001"
    pool.report_failure(status_code=429)
    assert pool.reset_statuses() == 1
    assert [elsewhere(lambda: picked(pool)) for _ in range(3)] == ["bbb002", "ccc003", "aaa001"]
    pool.report_failure(status_code=429)
    assert out(turns) == []


def test_a_thread_remembers_grants_of_several_pools(home: Path) -> None:
    """Each pool's own; of very many the first ones are forgotten, so that memory is bounded."""
    write_store(home, {POOL: keys("aaa001"), "zai": keys("bbb002")})
    one, other = a_pool(home), a_pool(home, "zai")
    assert (picked(one), picked(other)) == ("aaa001", "bbb002")
    assert [grant.credential_id for pool in (one, other) if (grant := pool.last_grant())] == [
        "aaa001",
        "bbb002",
    ]
    many = [Grants() for _ in range(100)]
    for grants in many:
        grants.add("x", (1, 1))
    assert [grants.own() is not None for grants in many] == [False] * 68 + [True] * 32
    assert one.last_grant() is None


def test_the_next_row_after_a_failure_is_of_the_same_session(three: Path) -> None:
    """So that a session has one row to go on with, and not the pool's own."""
    (three / "config.yaml").write_text(f"credential_pool_strategies: {{{POOL}: sticky}}\n")
    pool = a_pool(three)
    sessions = [f"session {n}" for n in range(20)]
    for session in sessions:
        row = pool.select(session=session)
        assert row
        following = pool.mark_exhausted_and_rotate(status_code=429)
        again = pool.select(session=session)
        assert following and again
        assert following.id == again.id
        pool.reset_statuses()


# --- one request on several rows ---------------------------------------------------------------------------


def fails_on(pool: CredentialPool, request_id: str | None, codes: list[int]) -> list[str | None]:
    """Try one request until the codes are used up or there is no row left; return the rows it was tried on."""
    row, tried = pool.select(), list[str | None]()
    for code in codes:
        if row is None:
            break
        tried.append(row.id)
        row = pool.mark_exhausted_and_rotate(status_code=code, request_id=request_id)
    return [*tried, row.id if row else None]


def test_what_fails_alike_on_two_rows_is_charged_to_no_third(home: Path) -> None:
    """It is tried on with rows it has not failed on, until there is none; the next request is charged again."""
    write_store(home, {POOL: keys("aaa001", "bbb002", "ccc003", "ddd004")})
    pool = a_pool(home)
    assert fails_on(pool, "r1", [429] * 9) == ["aaa001", "bbb002", "ccc003", "ddd004", None]
    assert out(home) == ["aaa001", "bbb002"]
    assert fails_on(pool, "r2", [429]) == ["ccc003", "ddd004"]
    assert out(home) == ["aaa001", "bbb002", "ccc003"]


def test_different_failures_of_one_request_are_charged_each(three: Path) -> None:
    """One key is out of money, one is throttled, one is refused."""
    assert fails_on(a_pool(three), "r1", [402, 429, 401]) == ["aaa001", "bbb002", "ccc003", None]
    assert out(three) == ["aaa001", "bbb002", "ccc003"]


def test_what_another_key_may_not_cure_is_tried_with_one_other_at_most(three: Path) -> None:
    """A plain 403 (design 4): the request gets one more row, and after that none; other requests go on."""
    pool = a_pool(three)
    assert fails_on(pool, "r1", [403, 403]) == ["aaa001", "bbb002", None]
    assert picked(pool) == "ccc003"


def test_without_a_request_id_every_row_is_charged(three: Path) -> None:
    """Nobody can tell then that it was one request."""
    assert fails_on(a_pool(three), None, [429] * 3) == ["aaa001", "bbb002", "ccc003", None]
    assert out(three) == ["aaa001", "bbb002", "ccc003"]


def test_the_same_row_may_fail_twice_for_one_request(three: Path) -> None:
    """A retry with the same key is no other row."""
    pool = a_pool(three)
    for _ in range(3):
        pool.report_failure(status_code=429, credential_id="aaa001", request_id="r1")
    pool.report_failure(status_code=429, credential_id="bbb002", request_id="r1")
    pool.report_failure(status_code=429, credential_id="ccc003", request_id="r1")
    assert out(three) == ["aaa001", "bbb002"]


def test_rows_with_one_secret_are_one_row_to_a_request(home: Path) -> None:
    """A provider saw one key fail, not two."""
    same: dict[str, Any] = {"access_token": "sk-the-same-for-both"}
    rows = [*keys("aaa001", "bbb002", **same), *keys("ccc003", "ddd004")]
    write_store(home, {POOL: [{**row, "priority": place} for place, row in enumerate(rows)]})
    pool = a_pool(home)
    for name in ("aaa001", "bbb002", "ccc003", "ddd004"):
        pool.report_failure(status_code=429, credential_id=name, request_id="r1")
    assert out(home) == ["aaa001", "bbb002", "ccc003"]


def test_only_so_many_requests_are_remembered() -> None:
    """The ones that failed last."""
    requests = Requests()
    for number in range(_REQUESTS_KEPT + 10):
        assert requests.charges(str(number), 429, ["a"])
    assert not requests.tried("9")
    assert requests.tried("10")
    assert not requests.tried(None)
