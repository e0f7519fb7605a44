from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import NOW, a_home, a_key, a_login, a_reader, around, benched, keys, write_store
from keydeck.engine.credential import BadRow, Credential, Row
from keydeck.engine.secret import Secret
from keydeck.engine.snapshot import HomeSnapshot, PoolSnapshot
from keydeck.live.problems import Problem, ProblemKind, problems, serving_pool

DEAD: dict[str, Any] = {"last_status": "dead", "last_status_at": NOW - 600, "last_error_code": 401}


def look(home: Path, pools: dict[str, Any], chain: str = "") -> HomeSnapshot:
    """Return a snapshot of these pools under a fallback chain of these providers."""
    write_store(home, pools)
    hops = ", ".join(f"{{provider: {name}, model: m}}" for name in chain.split())
    (home / "config.yaml").write_text(f"fallback_providers: [{hops}]\n")
    return a_reader(home).read()


def told(found: tuple[Problem, ...]) -> list[tuple[int, str, str, str | None]]:
    return [(problem.rank, problem.kind.value, problem.provider, problem.row_id) for problem in found]


def bench_of(*agos: float, **fields: Any) -> list[dict[str, Any]]:
    """Return rows that were benched so many seconds ago."""
    return [
        a_key(
            f"row{place:03}", access_token=f"sk-{place}-0123", **benched(ago=ago, until=NOW + 900), **fields
        )
        for place, ago in enumerate(agos)
    ]


A_WEEK = (NOW + 7 * 86400) * 1000
ENDING = (NOW + 250) * 1000
ROWS: dict[str, tuple[dict[str, Any], str | None]] = {
    "ready": (a_key(), None),
    "cooling": (a_key(**benched()), None),
    "needs a login": (a_login(**DEAD), "2 needs_login"),
    "key refused": (a_key(**DEAD), "2 needs_login"),
    "token ended for good": (a_login(refresh_token=..., expires_at_ms=1000), "2 needs_login"),
    "token ended, renewed by hermes": (a_login(expires_at_ms=1000), None),
    "token ends, renewed by hermes": (a_login(expires_at_ms=ENDING), None),
    "token ends for good": (a_login(refresh_token=..., expires_at_ms=ENDING), "3 token_ends"),
    "token ends for good, cooling": (a_login(refresh_token=..., expires_at_ms=ENDING, **benched()), None),
    "token lasts": (a_login(refresh_token=..., expires_at_ms=A_WEEK), None),
    "no secret": (a_key(source="env:OPENROUTER_API_KEY", access_token=...), "3 no_secret"),
    "bad row": (a_key(priority="1"), "3 bad_row"),
    "same key as the first": (a_key(access_token="sk-test-zzz009-secret"), "3 duplicate"),
    "same key, refused": (a_key(access_token="sk-test-zzz009-secret", **DEAD), "2 needs_login"),
}


@pytest.mark.parametrize(("row", "expected"), ROWS.values(), ids=ROWS)
def test_what_a_key_is_named_for(home: Path, row: dict[str, Any], expected: str | None) -> None:
    """Once at most, for the worst that is wrong with it; waiting alone is no reason."""
    found = problems(look(home, {"openrouter": [a_key("zzz009"), row]}), NOW)
    assert [f"{problem.rank} {problem.kind}" for problem in found] == ([expected] if expected else [])
    assert {(problem.provider, problem.row_id) for problem in found} <= {("openrouter", row["id"])}


def test_a_pool_without_a_ready_key_names_its_return_and_who_serves(home: Path) -> None:
    """The first key back, the status they share, and the first hop of the chain that can serve."""
    pools = {
        "openai-codex": [
            a_key("aaa001", **benched(429, ago=5000, until=NOW + 900)),
            a_key("aaa002", access_token="sk-2-0123", **benched(429, ago=60, until=NOW + 840)),
        ],
        "zai": [a_key("bbb001", access_token="sk-3-0123", **benched())],
        "gemini": keys("ccc001"),
        "openrouter": keys("ddd001"),
    }
    found = problems(look(home, pools, "openai-codex zai gemini openrouter"), NOW)
    assert told(found) == [(2, "pool_out", "openai-codex", None), (2, "pool_out", "zai", None)]
    assert (found[0].until, found[0].code, found[0].other) == (NOW + 840, 429, "gemini")
    assert found[1].until == NOW - 60 + 3600


@pytest.mark.parametrize("chain", ["", "zai", "openai-codex"])
def test_nobody_serves_where_the_chain_has_no_ready_pool(home: Path, chain: str) -> None:
    """A ready pool that is no hop gets no requests of this one."""
    pools = {"openai-codex": [a_key(**benched())], "zai": [a_key(**DEAD)], "gemini": keys("ccc001")}
    snapshot = look(home, pools, chain)
    (out, *_) = problems(snapshot, NOW)
    assert (out.kind, out.other) == (ProblemKind.POOL_OUT, None)
    states = {pool.provider: pool.at(NOW) for pool in snapshot.pools}
    assert serving_pool(snapshot, "openai-codex", states) is None


def test_a_pool_does_not_stand_in_for_itself(home: Path) -> None:
    """Asked about a ready hop, the next one serves."""
    snapshot = look(home, {"gemini": keys("ccc001"), "openrouter": keys("ddd001")}, "gemini openrouter")
    states = {pool.provider: pool.at(NOW) for pool in snapshot.pools}
    assert serving_pool(snapshot, "gemini", states) == "openrouter"
    assert serving_pool(snapshot, "openrouter", states) == "gemini"


def test_codes_that_differ_are_not_told(home: Path) -> None:
    """One status for several reasons would mislead; a refused key has no say in it."""
    rows = [
        a_key("a", **benched(429)),
        a_key("b", access_token="sk-2-0123", **benched(402)),
        a_key("c", access_token="sk-3-0123", **DEAD),
    ]
    out = next(p for p in problems(look(home, {"zai": rows}), NOW) if p.kind is ProblemKind.POOL_OUT)
    assert out.code is None
    out = next(
        p for p in problems(look(home, {"zai": [rows[0], rows[2]]}), NOW) if p.kind is ProblemKind.POOL_OUT
    )
    assert out.code == 429


def test_nothing_serves_where_no_pool_has_a_ready_key(home: Path) -> None:
    """First of all, with the pool that is back first; then each pool and key."""
    pools = {
        "zai": [a_key("aaa001", **DEAD)],
        "gemini": [a_key("bbb001", access_token="sk-2-0123", **benched(until=NOW + 99))],
        "openrouter": [a_key("ccc001", access_token="sk-3-0123", **benched(until=NOW + 50))],
    }
    found = problems(look(home, pools), NOW)
    assert told(found) == [
        (1, "nothing_serves", "openrouter", None),
        (2, "pool_out", "zai", None),
        (2, "needs_login", "zai", "aaa001"),
        (2, "pool_out", "gemini", None),
        (2, "pool_out", "openrouter", None),
    ]
    assert found[0].until == NOW + 50


def test_one_ready_key_anywhere_serves(home: Path) -> None:
    """Then no line of the first rank; without any pool there is nothing to say."""
    pools = {"zai": [a_key(**benched())], "gemini": keys("ccc001")}
    assert [problem.rank for problem in problems(look(home, pools), NOW)] == [2]
    assert problems(look(home, {}), NOW) == ()


def test_a_login_that_only_waits_for_its_renewal_alarms_nobody(home: Path) -> None:
    """Hermes renews it with the next request: good to know, and no reason to say that nothing serves."""
    found = problems(look(home, {"openai-codex": [a_login(expires_at_ms=(NOW - 60) * 1000)]}), NOW)
    assert told(found) == [(3, "renewing", "openai-codex", None)]


@pytest.mark.parametrize(
    ("agos", "together"),
    [((10, 70), True), ((10, 71), False), ((10,), False), ((10, 40, 60), True), ((10, 40, 600), False)],
)
def test_keys_that_fell_together(home: Path, agos: tuple[float, ...], together: bool) -> None:
    """All of them within a minute, and more than one: not the keys are at fault."""
    found = problems(look(home, {"zai": bench_of(*agos), "gemini": keys("ccc001")}), NOW)
    expected = [ProblemKind.POOL_OUT] + [ProblemKind.TOGETHER] * together
    assert [problem.kind for problem in found] == expected
    assert {problem.rank for problem in found} == {2}


def test_one_ready_key_is_against_falling_together(home: Path) -> None:
    """A refused one or one without a secret is not: it had fallen before."""
    rest = {"gemini": keys("ccc001")}
    out = bench_of(10, 20)
    assert problems(look(home, {"zai": [*out, a_key("zzz009")], **rest}), NOW) == ()
    found = problems(look(home, {"zai": [*out, a_key("zzz009", **DEAD)], **rest}), NOW)
    assert [problem.kind.value for problem in found] == ["pool_out", "together", "needs_login"]


def test_the_same_secret_in_two_pools(home: Path) -> None:
    """The later row is named, with the earlier one; a variable that two providers read by design is not."""
    shared = "sk-shared-0123"
    pools = {
        "zai": [a_key("aaa001", access_token=shared)],
        "gemini": [
            a_key("bbb001"),
            a_key("bbb002", access_token=shared),
            a_key("bbb003", access_token=shared),
        ],
    }
    found = problems(look(home, pools), NOW)
    assert [(p.provider, p.row_id, p.other, p.other_row) for p in found] == [
        ("gemini", "bbb002", "zai", "aaa001"),
        ("gemini", "bbb003", "zai", "aaa001"),
    ]
    write_store(home, {})
    reader = a_reader(home)
    reader.around = around(home.parent, DASHSCOPE_API_KEY="sk-dash-0123")
    snapshot = reader.read()
    assert len(snapshot.pools) == 2
    assert problems(snapshot, NOW) == ()


def test_trouble_with_the_files(home: Path) -> None:
    """A broken store comes first, with the age of what is shown; a broken pool or config.yaml after."""
    write_store(home, {"openrouter": keys("aaa001"), "zai": "no list"})
    (home / "config.yaml").write_text("a: [")
    reader = a_reader(home)
    snapshot = reader.read()
    assert told(problems(snapshot, NOW)) == [(2, "bad_pool", "zai", None), (3, "config", "", None)]
    (home / "auth.json").write_text("{")
    (store, *_) = problems(reader.read(), NOW + 60)
    assert (store.rank, store.kind, store.since) == (1, ProblemKind.STORE, NOW)
    (store, *_) = problems(a_reader(home).read(), NOW)
    assert (store.kind, store.since) == (ProblemKind.STORE, None)


def test_ranks_come_first_and_the_stores_order_next(home: Path) -> None:
    """Within a rank, pools and keys stand as in the store."""
    pools = {
        "zai": [a_key("aaa001", priority="1"), a_key("aaa002", **DEAD), a_key("aaa003")],
        "gemini": [
            a_key("bbb001", access_token=...),
            a_key("bbb002", access_token="sk-2-0123", **DEAD),
            *keys("bbb003"),
        ],
    }
    found = problems(look(home, pools), NOW)
    assert told(found) == [
        (2, "needs_login", "zai", "aaa002"),
        (2, "needs_login", "gemini", "bbb002"),
        (3, "bad_row", "zai", "aaa001"),
        (3, "no_secret", "gemini", "bbb001"),
    ]


@pytest.mark.parametrize(("warning_s", "count"), [(249, 0), (250, 1), (3600, 1)])
def test_when_a_tokens_end_is_worth_a_line(home: Path, warning_s: float, count: int) -> None:
    """From the time on that the settings name."""
    rows = [a_key("zzz009"), a_login(refresh_token=..., expires_at_ms=ENDING)]
    found = problems(look(home, {"nous": [], "openrouter": rows}), NOW, token_warning_s=warning_s)
    assert [(problem.kind, problem.until) for problem in found] == [
        (ProblemKind.TOKEN_ENDS, NOW + 250)
    ] * count


def test_an_end_that_never_comes_is_no_end() -> None:
    """No reader lets it through; a row built by hand that is benched for ever names no return."""
    row = Credential(
        id="a",
        provider="p",
        access_token=Secret("sk-0123"),
        last_status="exhausted",
        last_error_reset_at=math.inf,
    )
    snapshot = HomeSnapshot(a_home(Path("nowhere")), (PoolSnapshot("p", rows=(row,)),))
    assert told(problems(snapshot, NOW)) == [(1, "nothing_serves", "", None), (2, "pool_out", "p", None)]
    assert [problem.until for problem in problems(snapshot, NOW)] == [None, None]


TIMES = st.sampled_from([None, NOW - 5, NOW + 5, 0.0, 1e300, -1e300, math.inf, -math.inf, math.nan])
CREDENTIALS = st.builds(
    Credential,
    id=st.sampled_from("abc"),
    provider=st.just("p"),
    auth_type=st.sampled_from(["api_key", "oauth"]),
    access_token=st.sampled_from([None, Secret("sk-one-0123"), Secret("")]),
    refresh_token=st.sampled_from([None, Secret("sk-two-0123")]),
    last_status=st.sampled_from([None, "exhausted", "dead"]),
    last_status_at=TIMES,
    last_error_code=st.sampled_from([None, 429, 10**300]),
    last_error_reset_at=TIMES,
    expires_at_ms=TIMES,
)
BAD_ROWS = st.builds(BadRow, id=st.sampled_from("abc"), provider=st.just("p"), reason=st.just("odd"))


@given(
    st.lists(st.lists(CREDENTIALS | BAD_ROWS, max_size=3), max_size=3), st.sampled_from([0.0, math.nan, NOW])
)
@settings(max_examples=200, deadline=None)
def test_nothing_in_a_store_makes_ranking_fail(pools: list[list[Row]], read_at: float) -> None:
    """Whatever the rows hold: by rank, each key once, and a pool that can serve is never called out."""
    listed = tuple(PoolSnapshot(f"p{place}", rows=tuple(rows)) for place, rows in enumerate(pools))
    snapshot = HomeSnapshot(a_home(Path("nowhere")), listed, read_at=read_at, fallback=("p0", "p1"))
    found = problems(snapshot, NOW)
    assert [problem.rank for problem in found] == sorted(problem.rank for problem in found)
    usable = {pool.provider for pool in listed if pool.at(NOW).usable}
    out = {p.provider for p in found if p.kind in (ProblemKind.POOL_OUT, ProblemKind.RENEWING)}
    assert out == {pool.provider for pool in listed if pool.rows} - usable
    assert not (usable and any(problem.kind is ProblemKind.NOTHING_SERVES for problem in found))
    assert all(problem.until is None or math.isfinite(problem.until) for problem in found)
    rows_named = [(p.provider, p.row_id) for p in found if p.row_id is not None]
    assert len(rows_named) <= sum(len(pool.rows) for pool in listed)
