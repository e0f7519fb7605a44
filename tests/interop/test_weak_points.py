"""Where hermes-agent 0.19.0 goes wrong (hermes-recovery G): it does so here, and our pool on the same rows does not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fakes import a_key, benched, keys, load_whole, write_store
from interop.hermes import Hermes
from interop.scenes import HOUR, a_reader_of, a_token
from keydeck.engine.pool import CredentialPool
from keydeck.engine.state import HealthKind, PoolState

pytestmark = pytest.mark.interop

POOL = "openrouter"
CODEX = "openai-codex"
NOW = 1_794_146_531.0


def our_pool(home: Path, provider: str = POOL, **env: str) -> CredentialPool:
    return CredentialPool(provider, a_reader_of(home, **env))


def state_of(home: Path, provider: str = POOL) -> PoolState:
    reader = a_reader_of(home)
    pool = reader.read().pool(provider)
    assert pool is not None
    return pool.at(reader.clock())


def rows_of(home: Path, provider: str = POOL) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in load_whole(home)["credential_pool"][provider]}


def strategy(home: Path, name: str) -> None:
    (home / "config.yaml").write_text(f"credential_pool_strategies: {{{POOL}: {name}}}\n", encoding="utf-8")


def a_login(row_id: str, source: str, token: str, **fields: Any) -> dict[str, Any]:
    """Return a row of a Codex login."""
    return a_key(row_id, auth_type="oauth", source=source, access_token=token, base_url=..., **fields)


# --- G1: an old copy in memory takes another process's cooldown away --------------------------------------------


def test_g1_hermes_picks_and_frees_a_key_that_another_process_benched(hermes: Hermes, home: Path) -> None:
    """A loaded, B benches the first key for a day, A selects: it picks that key and writes it back as well."""
    write_store(home, {POOL: keys("aaa001", "bbb002")})
    strategy(home, "round_robin")
    for name in ("A", "B"):
        hermes.ask("load", provider=POOL, name=name)
    hermes.ask("mark", name="B", code=429, key="sk-test-aaa001-secret", context={"reset_at": 4_000_000_000})
    assert hermes.ask("select", name="A") == ["aaa001"]
    assert rows_of(home)["aaa001"]["last_status"] is None


def test_g1_ours_obey_it_and_keep_it(home: Path) -> None:
    """The same with two of our pools: A never picks it, and the file goes on saying so."""
    write_store(home, {POOL: keys("aaa001", "bbb002")})
    strategy(home, "round_robin")
    with our_pool(home) as one, our_pool(home) as other:
        one.entries()
        until = one._reader.clock() + 24 * HOUR
        other.mark_exhausted_and_rotate(
            status_code=429, api_key_hint="sk-test-aaa001-secret", error_context={"reset_at": until}
        )
        assert {row.id for row in (one.select() for _ in range(4)) if row} == {"bbb002"}
    assert rows_of(home)["aaa001"]["last_status"] == "exhausted"
    assert rows_of(home)["aaa001"]["last_error_reset_at"] == pytest.approx(until)


# --- G2: the wrong key is benched -------------------------------------------------------------------------------


def test_g2_hermes_benches_whichever_key_was_picked_last(hermes: Hermes, home: Path) -> None:
    """The first one's request fails and the second one's key pays, or a key of a pool that handed out nothing."""
    write_store(home, {POOL: keys("aaa001", "bbb002")})
    strategy(home, "round_robin")
    hermes.ask("load", provider=POOL)
    assert hermes.ask("select", name=POOL, times=2) == ["aaa001", "bbb002"]
    hermes.ask("mark", name=POOL, code=429)
    assert {row_id for row_id, row in rows_of(home).items() if row["last_status"]} == {"bbb002"}
    hermes.ask("reset", name=POOL)
    hermes.ask("load", provider=POOL, name="fresh")
    hermes.ask("mark", name="fresh", code=429)
    assert [row["last_status"] for row in rows_of(home).values()].count("exhausted") == 1


def test_g2_ours_benches_the_key_of_the_request_that_failed(home: Path) -> None:
    """Each thread is charged for what it was handed; one that was handed nothing is charged for nothing."""
    write_store(home, {POOL: keys("aaa001", "bbb002", "ccc003")})
    strategy(home, "round_robin")
    with our_pool(home) as pool, ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        failing = one.submit(pool.select).result()
        fine = other.submit(pool.select).result()
        assert failing
        assert fine
        one.submit(pool.mark_exhausted_and_rotate, status_code=429).result()
        out = {row.id for row in pool.entries() if row.last_status}
        assert out == {failing.id} != {fine.id}
        pool.mark_exhausted_and_rotate(status_code=429)  # by a thread that was handed nothing
        assert {row.id for row in pool.entries() if row.last_status} == out


# --- G3: counts are lost -----------------------------------------------------------------------------------------


def test_g3_nine_pools_of_hermes_use_one_key_nine_times(hermes: Hermes, home: Path) -> None:
    """Each of nine that are opened one after the other takes the first key, and the file counts nothing."""
    write_store(home, {POOL: keys("aaa001", "bbb002", "ccc003")})
    strategy(home, "least_used")
    picked = []
    for number in range(9):
        hermes.ask("load", provider=POOL, name=f"pool {number}")
        picked += hermes.ask("select", name=f"pool {number}")
    assert picked == ["aaa001"] * 9
    assert {row["request_count"] for row in rows_of(home).values()} == {0}


def test_g3_nine_of_ours_use_each_key_three_times(home: Path) -> None:
    """And the file, which hermes reads, says so."""
    write_store(home, {POOL: keys("aaa001", "bbb002", "ccc003")})
    strategy(home, "least_used")
    for _ in range(9):
        with our_pool(home) as pool:
            assert pool.select()
    assert {row_id: row["request_count"] for row_id, row in rows_of(home).items()} == dict.fromkeys(
        ("aaa001", "bbb002", "ccc003"), 3
    )


# --- G10, G11: a login that is rejected --------------------------------------------------------------------------


def two_logins(home: Path, **fields: Any) -> None:
    """Write a manual login whose token is over, before the login of hermes itself, which is fine."""
    fine = a_token(email="fine@example.org")
    over = a_login("aaa001", "manual:device_code", a_token(exp=NOW - HOUR), refresh_token="revoked", **fields)
    own = a_login("bbb002", "device_code", fine, refresh_token="good", priority=1)
    login = {"tokens": {"access_token": fine, "refresh_token": "good"}, "auth_mode": "chatgpt"}
    write_store(home, {CODEX: [over, own]}, providers={CODEX: login})


def test_g10_hermes_throws_the_healthy_login_away_for_a_dead_one(hermes: Hermes, home: Path) -> None:
    """The provider rejects the manual login's token: the other one is deleted, the rejected one stays unmarked."""
    two_logins(home)
    hermes.ask("reject_refresh", code="invalid_grant")
    hermes.ask("load", provider=CODEX)
    hermes.ask("select", name=CODEX)
    left = rows_of(home, CODEX)
    assert "bbb002" not in left
    assert left["aaa001"]["last_status"] is None


def test_g10_ours_acts_on_the_rejected_login_alone(home: Path) -> None:
    """It needs a new login and stays so; the healthy one is picked and stays in the file."""
    two_logins(home)
    with our_pool(home, CODEX) as pool:
        rejected = pool.entries()[0]
        assert rejected.access_token
        following = pool.mark_exhausted_and_rotate(
            status_code=400,
            error_context={"reason": "invalid_grant", "message": "the refresh token was revoked"},
            api_key_hint=rejected.access_token.reveal(),
        )
        assert following
        assert following.id == "bbb002"
        assert {row.id for row in (pool.select() for _ in range(4)) if row} == {"bbb002"}
    assert rows_of(home, CODEX).keys() == {"aaa001", "bbb002"}
    assert [row.health.kind for row in state_of(home, CODEX).rows] == [
        HealthKind.NEEDS_LOGIN,
        HealthKind.READY,
    ]


def test_g11_hermes_gives_a_rejected_login_a_countdown(hermes: Hermes, home: Path) -> None:
    """The same row alone, of xAI's kind of error: it is out for an hour with no code, as if waiting would help."""
    two_logins(home)
    hermes.ask("reject_refresh", code="refresh_failed")
    hermes.ask("load", provider=CODEX)
    hermes.ask("select", name=CODEX)
    row = rows_of(home, CODEX)["aaa001"]
    assert (row["last_status"], row["last_error_code"]) == ("exhausted", None)


def test_g11_ours_says_that_a_login_is_needed_without_a_countdown(home: Path) -> None:
    """No time heals it: it has no end, and a later look says the same."""
    two_logins(home)
    with our_pool(home, CODEX) as pool:
        rejected = pool.entries()[0]
        assert rejected.access_token
        pool.mark_exhausted_and_rotate(
            status_code=401,
            error_context={"reason": "invalid_grant"},
            api_key_hint=rejected.access_token.reveal(),
        )
    reader = a_reader_of(home)
    found = reader.read().pool(CODEX)
    assert found is not None
    for later in (0.0, HOUR, 30 * 24 * HOUR):
        health = found.at(reader.clock() + later).rows[0].health
        assert (health.kind, health.until) == (HealthKind.NEEDS_LOGIN, None)


# --- G18: one secret in two rows ---------------------------------------------------------------------------------


def test_g18_hermes_rotates_to_the_same_secret(hermes: Hermes, home: Path) -> None:
    """A copy of the benched key is what comes next."""
    write_store(
        home, {POOL: [a_key("aaa001"), a_key("bbb002", access_token="sk-test-aaa001-secret", priority=1)]}
    )
    hermes.ask("load", provider=POOL)
    hermes.ask("select", name=POOL)
    assert hermes.ask("mark", name=POOL, code=429) == "bbb002"


def test_g18_ours_benches_both_rows(home: Path) -> None:
    """They are one credential: what is left is another secret, or nothing."""
    write_store(
        home,
        {
            POOL: [
                a_key("aaa001"),
                a_key("bbb002", access_token="sk-test-aaa001-secret", priority=1),
                a_key("ccc003", priority=2),
            ]
        },
    )
    with our_pool(home) as pool:
        pool.select()
        following = pool.mark_exhausted_and_rotate(status_code=429)
        assert following
        assert following.id == "ccc003"
        assert pool.mark_exhausted_and_rotate(status_code=429) is None


# --- G20: a dead token is handed out -----------------------------------------------------------------------------


def test_g20_hermes_hands_out_a_dead_codex_token(hermes: Hermes, home: Path) -> None:
    """With nothing but a dead row its token is what a run gets."""
    dead = a_login("aaa001", "manual:device_code", a_token(), **benched(401, last_status="dead"))
    write_store(home, {CODEX: [dead]})
    assert hermes.ask("codex_token") == dead["access_token"]


def test_g20_ours_hands_out_nothing(home: Path) -> None:
    """And says that somebody must log in."""
    dead = a_login("aaa001", "manual:device_code", a_token(), **benched(401, last_status="dead"))
    write_store(home, {CODEX: [dead]})
    with our_pool(home, CODEX) as pool:
        assert pool.select() is None
        assert not pool.has_available()
    assert [row.health.kind for row in state_of(home, CODEX).rows] == [HealthKind.NEEDS_LOGIN]
