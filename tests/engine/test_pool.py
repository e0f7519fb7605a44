from __future__ import annotations

import inspect
import logging
import threading
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from fakes import (
    NOW,
    FailingDisk,
    FakeClock,
    a_home,
    a_jwt,
    a_key,
    a_login,
    a_pool,
    around,
    benched,
    keys,
    load,
    lock_held,
    tree,
    write_down,
    write_store,
)
from keydeck import load_pool
from keydeck.engine import (
    CredentialPool,
    get_custom_provider_pool_key,
    get_pool_strategy,
    list_custom_pool_providers,
)
from keydeck.engine.credential import STATUS_FIELDS, Credential
from keydeck.engine.errors import HomeError, LockBusy, Refused, StoreCorrupt, StoreError
from keydeck.engine.secret import Secret


def stored(home: Path, row_id: str, provider: str = "openrouter") -> dict[str, Any]:
    """Return a row as it is in the file once somebody has written down what the journal tells."""
    write_down(home)
    (row,) = (row for row in load(home)["credential_pool"][provider] if row["id"] == row_id)
    found: dict[str, Any] = row
    return found


def picked(pool: CredentialPool) -> str | None:
    row = pool.select()
    return row.id if row else None


@pytest.fixture
def three(home: Path) -> Path:
    """Return a home with three ready keys."""
    write_store(home, {"openrouter": keys("aaa001", "bbb002", "ccc003")})
    return home


# --- the names (design 5) ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("has_credentials", "has_available", "entries", "current", "peek", "select", "mark_used"),
        *("mark_exhausted_and_rotate", "try_refresh_current", "reset_statuses", "remove_index", "add_entry"),
        *("acquire_lease", "release_lease"),
    ],
)
def test_code_written_for_hermes_pool_finds_its_methods(name: str) -> None:
    """Every method of hermes' first engine is there and documented."""
    method = getattr(CredentialPool, name)
    assert callable(method)
    assert inspect.getdoc(method)


def test_marking_takes_what_hermes_passes() -> None:
    """The keywords of hermes-pool 5.6."""
    parameters = inspect.signature(CredentialPool.mark_exhausted_and_rotate).parameters
    assert set(parameters) >= {"self", "status_code", "error_context", "api_key_hint"}


def test_a_selected_entry_has_what_a_request_needs(three: Path) -> None:
    """`id label provider runtime_api_key runtime_base_url` (the issue)."""
    entry = a_pool(three).select()
    assert entry is not None
    assert (entry.id, entry.label, entry.provider) == ("aaa001", "key-aaa001", "openrouter")
    assert entry.runtime_api_key == "sk-test-aaa001-secret"
    assert entry.runtime_base_url == "https://openrouter.ai/api/v1"


# --- selecting ---------------------------------------------------------------------------------------------


def test_fill_first_takes_the_same_row_until_it_is_out(three: Path) -> None:
    """The first usable row, by the operator's order."""
    pool = a_pool(three)
    assert [picked(pool) for _ in range(3)] == ["aaa001"] * 3
    pool.mark_exhausted_and_rotate(status_code=429)
    assert [picked(pool) for _ in range(3)] == ["bbb002"] * 3


def test_random_takes_every_row(three: Path) -> None:
    """Over many picks each usable row is taken, and no other."""
    (three / "config.yaml").write_text("credential_pool_strategies: {openrouter: random}\n")
    pool = a_pool(three)
    pool.mark_exhausted_and_rotate(status_code=429, api_key_hint="sk-test-bbb002-secret")
    assert {picked(pool) for _ in range(200)} == {"aaa001", "ccc003"}


def test_a_row_with_an_empty_key_is_never_handed_out(home: Path) -> None:
    """Whatever its type: keys and logins without a secret are passed over."""
    write_store(
        home,
        {
            "openrouter": [
                a_key("aaa001", access_token=""),
                a_key("bbb002", access_token=...),
                a_login("ccc003", access_token=""),
                a_key("ddd004", source="env:OPENROUTER_API_KEY", access_token=...),
                a_login("eee005", source="env:X", access_token=...),
            ]
        },
    )
    pool = a_pool(home)
    assert pool.has_credentials()
    assert not pool.has_available()
    assert [pool.select(), pool.peek(), pool.current(), pool.acquire_lease()] == [None] * 4


def test_a_login_whose_token_ended_is_not_selected(home: Path) -> None:
    """Until we can refresh it, it is hermes' to renew; without another row there is none."""
    clock = FakeClock()
    write_store(
        home,
        {"openrouter": [a_login("aaa001", expires_at_ms=(NOW + 60) * 1000), a_key("bbb002", priority=1)]},
    )
    pool = a_pool(home, clock=clock)
    assert picked(pool) == "aaa001"
    clock.forward(60)
    assert picked(pool) == "bbb002"


def test_a_nous_row_needs_an_inference_token(home: Path) -> None:
    """The rules of hermes-pool 5.2: a plain key is never usable, a JWT only with its scope and two minutes left."""
    good = a_jwt(exp=NOW + 3600, scope="openid inference:invoke")
    write_store(
        home,
        {
            "nous": [
                a_key("aaa001"),
                a_login("bbb002", access_token=a_jwt(exp=NOW + 3600, scope="openid"), expires_at_ms=...),
                a_login(
                    "ccc003", access_token=a_jwt(exp=NOW + 100, scope="inference:invoke"), expires_at_ms=...
                ),
                a_login(
                    "ddd004",
                    access_token="opaque",
                    agent_key=good,
                    inference_base_url="https://i/v1",
                    expires_at_ms=...,
                ),
            ]
        },
    )
    entry = a_pool(home, "nous").select()
    assert entry is not None
    assert (entry.id, entry.runtime_api_key, entry.runtime_base_url) == ("ddd004", good, "https://i/v1")


def test_dead_and_broken_rows_are_not_selected(home: Path) -> None:
    """Nor do they stop the others."""
    write_store(
        home,
        {
            "openrouter": [
                a_key("aaa001", last_status="dead"),
                a_key("bbb002", priority="1"),
                7,
                a_key("ccc003", priority=9),
            ]
        },
    )
    pool = a_pool(home)
    assert picked(pool) == "ccc003"
    assert [row.id for row in pool.entries()] == ["aaa001", "ccc003"]


def test_an_empty_pool_answers_every_question(home: Path) -> None:
    """A provider without a row is no error."""
    pool = a_pool(home)
    assert not pool.has_credentials()
    assert pool.entries() == []
    assert [pool.select(), pool.peek(), pool.current(), pool.acquire_lease()] == [None] * 4
    assert pool.mark_exhausted_and_rotate(status_code=429) is None
    assert pool.remove_index(1) is None
    assert pool.try_refresh_current() is None
    pool.mark_used()
    pool.release_lease("nobody")
    assert not home.exists()


def test_peek_changes_nothing(three: Path) -> None:
    """It shows the current row, else what would be taken."""
    pool = a_pool(three)
    first = pool.peek()
    assert first is not None
    assert first.id == "aaa001"
    assert pool.current() is None
    pool.select()
    current = pool.current()
    assert current is not None
    assert pool.peek() == current
    assert current.id == "aaa001"


def test_another_process_changes_are_seen_at_the_next_pick(three: Path) -> None:
    """Keys that come, go, or are benched elsewhere count at once."""
    pool = a_pool(three)
    assert picked(pool) == "aaa001"
    write_store(three, {"openrouter": [a_key("aaa001", **benched()), a_key("zzz009", priority=1)]})
    assert picked(pool) == "zzz009"
    write_store(three, {})
    assert picked(pool) is None
    assert pool.current() is None


def test_a_broken_store_does_not_stop_a_running_agent(three: Path) -> None:
    """Selection goes on with the last good view, and follows the file again when it is mended."""
    pool = a_pool(three)
    (three / "auth.json").write_text("{")
    assert picked(pool) == "aaa001"
    assert len(pool.entries()) == 3
    (three / "auth.json").unlink()
    assert picked(pool) is None
    write_store(three, {"openrouter": keys("ddd004")})
    assert picked(pool) == "ddd004"


def test_selecting_never_writes(three: Path) -> None:
    """A thousand picks under any strategy leave the home as it was; a round tells in the journal where it begins."""
    for strategy in ("fill_first", "random", "least_used", "sticky", "round_robin"):
        (three / "config.yaml").write_text(f"credential_pool_strategies: {{openrouter: {strategy}}}\n")
        before = tree(three)
        pool = a_pool(three, DEEPSEEK_API_KEY="sk-real-0123")
        for _ in range(200):
            assert pool.select() is not None
        after = tree(three)
        assert {name: after[name] for name in before} == before
        assert bool(after.keys() - before.keys()) == (strategy == "round_robin")


# --- marking -----------------------------------------------------------------------------------------------


def test_the_current_row_is_benched_and_the_next_one_taken(three: Path) -> None:
    """All of hermes' six fields, by the clock, in the file."""
    pool = a_pool(three)
    pool.select()
    following = pool.mark_exhausted_and_rotate(
        status_code=429,
        error_context={"reason": " rate_limit ", "message": "slow down, retry after 30 seconds"},
    )
    assert following is not None
    assert following.id == "bbb002"
    row = stored(three, "aaa001")
    assert {name: row[name] for name in STATUS_FIELDS} == {
        "last_status": "exhausted",
        "last_status_at": NOW,
        "last_error_code": 429,
        "last_error_reason": "rate_limit",
        "last_error_message": "slow down, retry after 30 seconds",
        "last_error_reset_at": NOW + 30,
    }
    assert stored(three, "bbb002") == keys("aaa001", "bbb002")[1]


def test_the_failed_key_names_the_row(three: Path) -> None:
    """A late failure of another key than the current one benches that one."""
    pool = a_pool(three)
    pool.select()
    following = pool.mark_exhausted_and_rotate(status_code=402, api_key_hint="sk-test-ccc003-secret")
    assert following is not None
    assert following.id == "aaa001"
    assert stored(three, "ccc003")["last_error_code"] == 402
    assert stored(three, "aaa001")["last_status"] is None


def test_a_key_that_is_in_no_row_marks_nothing(three: Path) -> None:
    """FS-19: the failure of a key long gone benches no healthy one, and the next pick is told."""
    pool = a_pool(three)
    pool.select()
    before = (three / "auth.json").read_bytes()
    following = pool.mark_exhausted_and_rotate(status_code=429, api_key_hint="sk-long-gone")
    assert following is not None
    assert following.id == "aaa001"
    assert (three / "auth.json").read_bytes() == before


def test_without_a_current_row_and_a_hint_nothing_is_marked(three: Path) -> None:
    """A fresh pool that is told of a failure does not blame its first row."""
    before = tree(three)
    assert picked_after_mark(a_pool(three)) == "aaa001"
    assert tree(three) == before


def picked_after_mark(pool: CredentialPool, **rest: Any) -> str | None:
    row = pool.mark_exhausted_and_rotate(status_code=rest.pop("status_code", 429), **rest)
    return row.id if row else None


@pytest.mark.parametrize("reason", ["token_revoked", "invalid_grant", " TOKEN_INVALIDATED "])
def test_a_terminal_failure_ends_a_row(three: Path, reason: str) -> None:
    """A grant that is gone is gone at once, under every status that says so."""
    pool = a_pool(three)
    for row_id, code in (("aaa001", 401), ("bbb002", 403)):
        pool.select()
        pool.mark_exhausted_and_rotate(status_code=code, error_context={"reason": reason})
        assert stored(three, row_id)["last_status"] == "dead"


def test_a_failure_without_a_code_is_a_bench_like_a_throttle(three: Path) -> None:
    """Null is stored as null; nothing says why, so as little as may be is taken from the row."""
    clock = FakeClock()
    pool = a_pool(three, clock=clock)
    pool.select()
    pool.mark_exhausted_and_rotate(status_code=None)
    assert stored(three, "aaa001")["last_error_code"] is None
    clock.forward(59)
    assert picked(pool) == "bbb002"
    clock.forward(1)
    assert picked(pool) == "aaa001"


def test_when_the_last_row_is_out_there_is_none(three: Path) -> None:
    """None is the answer, never an empty key; the soonest comes back by the clock alone."""
    clock = FakeClock()
    pool = a_pool(three, clock=clock)
    for wait in (90, 30, 60):
        pool.select()
        pool.mark_exhausted_and_rotate(status_code=429, error_context={"reset_at": NOW + wait})
    assert pool.select() is None
    assert not pool.has_available()
    clock.forward(30)
    assert picked(pool) == "bbb002"
    clock.forward(60)
    assert picked(pool) == "aaa001"


@pytest.mark.parametrize(
    "context",
    [
        {"reason": 5, "message": ["x"], "reset_at": {}},
        {"reset_at": float("nan")},
        {"reset_at": float("inf")},
        {"message": "", "reason": "  "},
        {"unknown": object()},
    ],
)
def test_any_error_context_is_taken(three: Path, context: dict[str, Any]) -> None:
    """What cannot be understood is left out, and the row is benched by the table."""
    pool = a_pool(three)
    pool.select()
    pool.mark_exhausted_and_rotate(status_code=429, error_context=context)
    row = stored(three, "aaa001")
    assert (row["last_status"], row["last_error_reset_at"]) == ("exhausted", NOW + 60)
    assert row["last_error_reason"] is None
    assert row["last_error_message"] is None


PAD = "word " * 100


@pytest.mark.parametrize(
    "message",
    [
        "Incorrect API key provided: {key}",
        "{key}" * 300,
        "{key} " * 3000,
        "x" * 1990 + "{key}" + "y" * 100_000,
        "x" * 3990 + "{key}" + "y" * 100_000,
        " " * 3990 + "{key}" + "y" * 100,
        "{key}" * 57 + "z" * 10 + "{key}" * 400,
        PAD + "https://host/v1?key={key}&x=1 " + PAD * 50,
    ],
)
def test_a_message_is_stored_without_the_key_and_not_without_end(three: Path, message: str) -> None:
    """Neither the key nor a head of it is stored, wherever a cut falls."""
    secret = "Planted0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0"
    write_store(three, {"openrouter": [a_key("aaa001", access_token=secret), a_key("bbb002")]})
    pool = a_pool(three)
    pool.select()
    pool.mark_exhausted_and_rotate(
        status_code=401, error_context={"message": message.format(key=secret), "reason": f"bad {secret}"}
    )
    row = stored(three, "aaa001")
    assert len(row["last_error_message"]) <= 2000
    text = f"{row['last_error_message']} {row['last_error_reason']}"
    assert "***" in text
    assert secret[:7] not in text


def test_a_bench_rules_at_once_and_is_stored_later_when_the_lock_is_held(
    three: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A mark waits for nobody; the next checkpoint stores both."""
    pool = a_pool(three)
    pool.select()
    with lock_held(three), caplog.at_level(logging.WARNING, "keydeck.pool"):
        started = monotonic()
        assert picked_after_mark(pool) == "bbb002"
        assert monotonic() - started < 0.1
        assert caplog.text == ""
        assert picked(pool) == "bbb002"
        pool.close()  # finds the lock taken
        assert load(three)["credential_pool"]["openrouter"][0]["last_status"] is None
    assert picked_after_mark(pool, status_code=402) == "ccc003"
    assert stored(three, "aaa001")["last_error_code"] == 429
    assert stored(three, "bbb002")["last_error_code"] == 402


def test_a_bench_that_could_not_be_stored_survives_other_changes_of_the_file(three: Path) -> None:
    """It rules over what the file says until it is stored."""
    pool = a_pool(three, disk=(disk := FailingDisk()))
    pool.select()
    disk.on = {"replace"}
    assert picked_after_mark(pool) == "bbb002"
    write_store(three, {"openrouter": keys("aaa001", "bbb002", "ccc003", "ddd004")})
    assert picked(pool) == "bbb002"
    assert len(pool.entries()) == 4
    disk.heal()
    assert picked_after_mark(pool) == "ccc003"
    assert stored(three, "aaa001")["last_status"] == stored(three, "bbb002")["last_status"] == "exhausted"


def test_a_mark_on_a_broken_store_does_not_raise(three: Path) -> None:
    """The agent goes on; the broken file stays as it is."""
    pool = a_pool(three)
    pool.select()
    (three / "auth.json").write_text("{")
    assert picked_after_mark(pool) == "bbb002"
    assert (three / "auth.json").read_text() == "{"


def test_a_mark_of_a_row_that_was_removed_meanwhile_does_not_bring_it_back(three: Path) -> None:
    """Removal wins; the agent gets the next row and no error."""
    pool = a_pool(three)
    pool.select()
    write_store(three, {"openrouter": keys("bbb002", "ccc003")})
    assert picked_after_mark(pool) == "bbb002"
    pool.close()
    assert [row["id"] for row in load(three)["credential_pool"]["openrouter"]] == ["bbb002", "ccc003"]


def test_an_inherited_row_is_benched_in_the_roots_journal(home: Path) -> None:
    """What a profile makes of the root's rows belongs to the root; nothing is written into the profile."""
    write_store(home, {"openrouter": keys("aaa001", "bbb002")})
    worker = home / "profiles" / "worker"
    worker.mkdir(parents=True)
    before = tree(home / "profiles")
    pool = a_pool(home, profile="worker")
    assert picked(pool) == "aaa001"
    assert picked_after_mark(pool) == "bbb002"
    assert picked(pool) == "bbb002"
    pool.mark_used()
    with pytest.raises(Refused):
        pool.remove_index(1)
    assert picked(a_pool(home)) == "bbb002"
    pool.close()
    assert tree(home / "profiles") == before
    assert stored(home, "aaa001")["last_error_code"] == 429
    assert [stored(home, row_id)["request_count"] for row_id in ("aaa001", "bbb002")] == [1, 3]


def test_an_offered_row_is_stored_in_borrowed_form_when_it_is_marked(home: Path) -> None:
    """An agent used it, so its bench must be remembered; its secret must not."""
    write_store(home, {"zai": keys("aaa001")})
    clock = FakeClock()
    pool = a_pool(home, clock=clock, OPENROUTER_API_KEY="sk-or-from-dotenv")
    entry = pool.select()
    assert entry is not None
    assert not entry.stored
    assert picked_after_mark(pool, error_context={"message": "sk-or-from-dotenv is limited"}) is None
    pool.close()
    row = stored(home, entry.id)
    assert row["source"] == "env:OPENROUTER_API_KEY"
    assert row["secret_fingerprint"] == "sha256:4dff6a68f232ad6b"
    assert "access_token" not in row
    assert "sk-or-from-dotenv" not in (home / "auth.json").read_text()
    assert row["last_error_code"] == 429
    assert len(pool.entries()) == 1
    clock.forward(3600)
    assert picked(pool) == entry.id
    assert load(home)["credential_pool"]["zai"] == keys("aaa001")


def test_two_pools_that_mark_the_same_offer_store_one_row(home: Path) -> None:
    """The id is the same everywhere, so the second finds the first one's row."""
    env: dict[str, Any] = {"OPENROUTER_API_KEY": "sk-or-from-dotenv"}
    first, second = a_pool(home, **env), a_pool(home, **env)
    first.select()
    second.select()
    first.mark_exhausted_and_rotate(status_code=429)
    second.mark_exhausted_and_rotate(status_code=402)
    first.close()
    second.close()
    (row,) = load(home)["credential_pool"]["openrouter"]
    assert row["last_error_code"] == 402


def test_a_mark_in_a_pool_that_is_no_list_rules_in_memory(home: Path) -> None:
    """An offered key beside a broken pool cannot be stored; the agent obeys its failure all the same."""
    write_store(home, {"openrouter": {"not": "a list"}})
    before = (home / "auth.json").read_bytes()
    pool = a_pool(home, OPENROUTER_API_KEY="sk-or-from-dotenv")
    assert pool.select() is not None
    assert picked_after_mark(pool) is None
    assert pool.select() is None
    assert (home / "auth.json").read_bytes() == before


# --- other reports -----------------------------------------------------------------------------------------


def test_uses_are_counted_on_the_row_as_it_is_now(three: Path) -> None:
    """The selection's and two more than the file says, not than this process remembers."""
    pool = a_pool(three)
    pool.select()
    pool.mark_used()
    write_store(three, {"openrouter": [a_key("aaa001", request_count=40, label="renamed")]})
    pool.mark_used()
    pool.flush()
    assert stored(three, "aaa001") == a_key("aaa001", request_count=43, label="renamed")


def test_resetting_clears_the_whole_pool_and_says_how_many(three: Path) -> None:
    """Benches in the file and in memory, dead rows too; counts stay."""
    write_store(
        three,
        {
            "openrouter": [
                a_key("aaa001", request_count=5, **benched()),
                a_key("bbb002", last_status="dead"),
                a_key("ccc003", last_status="ok"),
                a_key("ddd004"),
            ]
        },
    )
    pool = a_pool(three)
    assert picked(pool) == "ccc003"
    assert pool.reset_statuses() == 3
    assert picked(pool) == "aaa001"
    assert stored(three, "aaa001") == a_key("aaa001", request_count=5)
    assert pool.reset_statuses() == 0


def test_a_reset_that_fails_leaves_the_benches_in_force(three: Path) -> None:
    """A mark that is not stored yet is not forgotten because the store is busy."""
    pool = a_pool(three, disk=(disk := FailingDisk()))
    pool.select()
    disk.on = {"replace"}
    assert picked_after_mark(pool) == "bbb002"
    (three / "auth.json").write_text("{")
    with pytest.raises(StoreError):
        pool.reset_statuses()
    assert picked(pool) == "bbb002"


def test_rows_are_removed_by_place(three: Path) -> None:
    """1-based, over the readable rows; a place that is none removes nothing."""
    pool = a_pool(three)
    removed = pool.remove_index(2)
    assert removed is not None
    assert removed.id == "bbb002"
    assert [row.id for row in pool.entries()] == ["aaa001", "ccc003"]
    assert [pool.remove_index(place) for place in (0, 3, -1)] == [None, None, None]
    assert len(load(three)["credential_pool"]["openrouter"]) == 2


def test_an_entry_is_added_last_with_an_id_of_its_own(three: Path) -> None:
    """It comes back as it is stored: manual, next priority, the id replaced."""
    pool = a_pool(three)
    entry = Credential(
        id="aaa001", provider="openrouter", label="mine", access_token=Secret("sk-new-0123456789")
    )
    added = pool.add_entry(entry)
    assert added.id != "aaa001"
    assert (added.label, added.priority, added.source) == ("mine", 3, "manual")
    assert stored(three, added.id)["access_token"] == "sk-new-0123456789"
    assert pool.entries()[-1] == added
    with pytest.raises(Refused, match="without a key"):
        pool.add_entry(Credential(id="x", provider="openrouter"))
    with pytest.raises(Refused, match="already there"):
        pool.add_entry(entry)


# --- leases ------------------------------------------------------------------------------------------------


def test_leases_spread_work_over_the_rows(three: Path) -> None:
    """Seven leases on three rows go round (hermes-pool 5.8), and a returned one is taken again."""
    pool = a_pool(three)
    assert [pool.acquire_lease() for _ in range(7)] == ["aaa001", "bbb002", "ccc003"] * 2 + ["aaa001"]
    pool.release_lease("ccc003")
    assert pool.acquire_lease() == "ccc003"
    current = pool.current()
    assert current is not None
    assert current.id == "ccc003"


def test_a_named_lease_is_taken_as_named(three: Path) -> None:
    """Whoever names a row gets it, and it counts."""
    pool = a_pool(three)
    assert pool.acquire_lease("bbb002") == "bbb002"
    assert [pool.acquire_lease() for _ in range(3)] == ["aaa001", "ccc003", "aaa001"]


def test_releasing_more_than_was_taken_is_harmless(three: Path) -> None:
    """A lease given back twice does not make a row look freer than free."""
    pool = a_pool(three)
    pool.acquire_lease("aaa001")
    for _ in range(3):
        pool.release_lease("aaa001")
    assert [pool.acquire_lease() for _ in range(3)] == ["aaa001", "bbb002", "ccc003"]


def test_a_benched_row_is_not_leased(three: Path) -> None:
    """Leases go to usable rows."""
    pool = a_pool(three)
    pool.select()
    pool.mark_exhausted_and_rotate(status_code=429)
    assert [pool.acquire_lease() for _ in range(2)] == ["bbb002", "ccc003"]


# --- threads -----------------------------------------------------------------------------------------------


def test_threads_share_a_pool(three: Path) -> None:
    """Eight threads that pick, lease, mark and read at once raise nothing and lose no bench."""
    pool = a_pool(three)
    errors: list[BaseException] = []
    start = threading.Barrier(8)

    def work(number: int) -> None:
        try:
            start.wait(10)
            for _ in range(50):
                pool.select()
                lease = pool.acquire_lease()
                pool.peek()
                if lease:
                    pool.release_lease(lease)
                pool.entries()
            if number < 2:
                pool.mark_exhausted_and_rotate(
                    status_code=429, api_key_hint=f"sk-test-{['aaa001', 'ccc003'][number]}-secret"
                )
        except BaseException as error:  # noqa: BLE001 - told by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert not pool._leasing._held
    assert picked(pool) == "bbb002"
    assert [stored(three, row_id)["last_status"] for row_id in ("aaa001", "bbb002", "ccc003")] == [
        "exhausted",
        None,
        "exhausted",
    ]


def test_a_thread_that_waits_for_the_lock_stops_no_other(three: Path) -> None:
    """While a mark waits for the store, another thread picks."""
    pool = a_pool(three)
    pool.select()
    with lock_held(three):
        marking = threading.Thread(
            target=pool.mark_exhausted_and_rotate,
            kwargs={"status_code": 429, "api_key_hint": "sk-test-aaa001-secret"},
        )
        marking.start()
        started = monotonic()
        while picked(pool) != "bbb002":
            assert monotonic() - started < 5
        taken = monotonic() - started
        assert taken < 0.9 or not marking.is_alive()
        marking.join(10)
    assert not marking.is_alive()


@pytest.mark.parametrize("report", ["reset_statuses"])
def test_no_report_that_waits_for_the_lock_stops_a_pick(
    three: Path, report: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one thread waits to write, another selects: the pool's own lock is not held meanwhile."""
    pool = a_pool(three)
    pool.select()
    begun, real = threading.Event(), pool._reader.store.transaction

    def begin(**rest: Any) -> Any:
        begun.set()
        return real(**rest)

    monkeypatch.setattr(pool._reader.store, "transaction", begin)
    waiting = threading.Thread(target=getattr(pool, report))
    with lock_held(three):
        waiting.start()
        assert begun.wait(10)
        for _ in range(20):
            assert picked(pool) == "aaa001"
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()


# --- opening -----------------------------------------------------------------------------------------------


def test_a_pool_is_opened_by_any_name_of_its_provider(home: Path) -> None:
    """Aliases and case lead to the same rows."""
    write_store(home, {"fw": keys("aaa001")})
    for name in ("fireworks", "FW", " fireworks-ai "):
        pool = load_pool(name, home=home, around=around(home.parent))
        assert pool.provider == "fireworks"
        assert [row.id for row in pool.entries()] == ["aaa001"]


def test_opening_finds_the_home_as_the_command_line_does(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Argument, variables, profile; `~` included."""
    write_store(home, {"openrouter": keys("aaa001")})
    write_store(home / "profiles" / "worker", {"openrouter": keys("bbb002")})
    monkeypatch.setenv("KEYDECK_HOME", str(home))
    assert [row.id for row in load_pool("openrouter").entries()] == ["aaa001"]
    assert [row.id for row in load_pool("openrouter", profile="worker").entries()] == ["bbb002"]
    with pytest.raises(HomeError, match="nope"):
        load_pool("openrouter", profile="nope")


def test_a_store_that_cannot_be_read_is_an_error_at_opening(home: Path) -> None:
    """An agent that starts is not told that there are no keys (FS-30)."""
    write_store(home).write_text("{")
    with pytest.raises(StoreCorrupt):
        load_pool("openrouter", home=home, around=around(home.parent))


def test_a_broken_config_is_no_error_at_opening(three: Path) -> None:
    """Keys are there, whatever config.yaml says."""
    (three / "config.yaml").write_text("a: [")
    assert (
        picked(load_pool("openrouter", home=three, around=around(three.parent), clock=FakeClock()))
        == "aaa001"
    )


def test_a_pool_prints_no_secret(three: Path) -> None:
    """Its repr names the provider and how many rows it has."""
    assert repr(a_pool(three)) == "CredentialPool('openrouter', 3 rows)"


def test_acts_through_a_pool_wait_like_an_operator(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reset that cannot have the lock is a LockBusy, not a silent no."""
    pool = a_pool(three)
    pool.select()
    pool.mark_exhausted_and_rotate(status_code=429)
    real = pool._reader.store.transaction
    monkeypatch.setattr(pool._reader.store, "transaction", lambda **rest: real(**{**rest, "timeout_s": 0.1}))
    with lock_held(three), pytest.raises(LockBusy):
        pool.reset_statuses()


# --- hermes' helper functions ------------------------------------------------------------------------------


def test_the_pool_of_an_endpoint(home: Path) -> None:
    """By address, and by name where one is given."""
    home.mkdir()
    (home / "config.yaml").write_text(
        "custom_providers:\n  - {name: One, base_url: 'https://m/v1'}\n  - {name: Two, base_url: 'https://m/v1'}\n"
    )
    place = a_home(home)
    assert get_custom_provider_pool_key("https://m/v1/", home=place) == "custom:one"
    assert get_custom_provider_pool_key("https://m/v1", "two", home=place) == "custom:two"
    assert get_custom_provider_pool_key("https://x", home=place) is None
    assert get_custom_provider_pool_key(None, home=place) is None


def test_custom_pools_that_have_rows(home: Path) -> None:
    """Sorted; empty ones and others are not among them."""
    write_store(
        home,
        {
            "custom:b": keys("aaa001"),
            "openrouter": keys("bbb002"),
            "custom:a": keys("ccc003"),
            "custom:c": [],
        },
    )
    assert list_custom_pool_providers(home=a_home(home)) == ["custom:a", "custom:b"]


@pytest.mark.parametrize(
    ("written", "followed"),
    [
        ("round_robin", "round_robin"),
        (" Least_Used ", "least_used"),
        ("sticky", "fill_first"),
        ("quota_aware", "fill_first"),
        ("[1]", "fill_first"),
    ],
)
def test_the_strategy_hermes_follows(home: Path, written: str, followed: str) -> None:
    """What hermes does not know it reads as fill_first, and so does this answer."""
    home.mkdir()
    (home / "config.yaml").write_text(f"credential_pool_strategies:\n  openrouter: {written}\n")
    assert get_pool_strategy("OR", home=a_home(home)) == followed
    assert get_pool_strategy("zai", home=a_home(home)) == "fill_first"


def test_helpers_on_a_broken_config_answer_as_hermes_does(home: Path) -> None:
    """As if there were none."""
    home.mkdir()
    (home / "config.yaml").write_text("a: [")
    assert get_pool_strategy("openrouter", home=a_home(home)) == "fill_first"
    assert get_custom_provider_pool_key("https://m", home=a_home(home)) is None
