"""Why this key, and why not that one (demand 2.1 to 2.4, 3.2): what users reconstructed from logs, told by the engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes import NOW, FakeClock, a_jwt, a_key, a_login, a_pool, a_reader, benched, keys, write_store
from keydeck.engine.acts import Operator
from keydeck.engine.cooldown import Evidence
from keydeck.engine.explanation import Bench, Explanation, Outcome, Reason, RowReason
from keydeck.engine.pool import CredentialPool
from keydeck.present.explain import explain_lines, told
from keydeck.present.glyphs import ASCII
from keydeck.present.listing import list_lines
from keydeck.present.rows import Context

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
POOL = "openrouter"
MODEL = "some/model"


def why(said: Explanation, row_id: str = "aaa001") -> RowReason:
    found = said.row(row_id)
    assert found is not None
    return found


def bench(said: Explanation, row_id: str = "aaa001") -> Bench:
    found = why(said, row_id).bench
    assert found is not None
    return found


def lines(home: Path, clock: FakeClock, provider: str = POOL) -> list[str]:
    """Return what the command line says."""
    snapshot = a_reader(home, clock=clock).read()
    pool = snapshot.pool(provider)
    assert pool is not None
    return explain_lines(told(pool, pool.at(clock()), clock(), Context(ASCII, snapshot.scrubber)))


def fail(pool: CredentialPool, code: int = 429, key: str = "aaa001", **context: object) -> None:
    pool.mark_exhausted_and_rotate(
        status_code=code, error_context=context, api_key_hint=f"sk-test-{key}-secret"
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pool(home: Path, clock: FakeClock) -> Iterator[CredentialPool]:
    """Return a pool of two keys."""
    write_store(home, {POOL: keys("aaa001", "bbb002")})
    with a_pool(home, clock=clock) as opened:
        yield opened


def test_why_this_key_is_a_trace_of_the_choice(home: Path, clock: FakeClock) -> None:
    """Skipped A, which cools for twelve minutes; skipped B, which is paused; took C: in the order of trial (demand 3.2)."""
    rows = [a_key("aaa001", "A", **benched(until=NOW + 720)), a_key("bbb002", "B", priority=1)]
    write_store(home, {POOL: [*rows, a_key("ccc003", "C", priority=2), a_key("ddd004", "D", priority=3)]})
    Operator(a_reader(home, clock=clock)).pause(POOL, "bbb002")
    pool = a_pool(home, clock=clock)
    said = pool.explain()
    assert [(row.id, row.reason) for row in said.rows] == [
        ("aaa001", Reason.COOLING),
        ("bbb002", Reason.PAUSED),
        ("ccc003", Reason.FIRST),
        ("ddd004", Reason.BEHIND),
    ]
    taken = pool.select()
    assert taken is not None
    assert taken.id == said.pick == "ccc003"
    head, *rest = lines(home, clock)
    assert head.endswith("the next request goes to C")
    words = ("(12m00s left)", "paused until it is resumed", "the first ready key", "but C comes first")
    assert all(word in line for word, line in zip(words, rest, strict=True))


class TestFS05ExpiryNeedsNoRestart:
    """A cooldown that has ended keeps nobody out, and no explanation says that it does."""

    def test_fs_05_the_row_is_taken_again(self, pool: CredentialPool, clock: FakeClock) -> None:
        """Right behind the bench one request tries it; twenty minutes later it is a ready row like any other."""
        fail(pool)
        clock.forward(MINUTE)
        assert (pool.explain().pick, why(pool.explain()).is_probe) == ("aaa001", True)
        clock.forward(20 * MINUTE)
        assert (pool.explain().pick, why(pool.explain()).is_probe) == ("aaa001", False)
        assert why(pool.explain()).ready_at is None


class TestFS10LaterDeadlineWins:
    """Two failures with different ends."""

    def test_fs_10_the_later_end_is_the_one_that_is_told(self, pool: CredentialPool) -> None:
        """With whose word it is: a shorter word of the provider does not shorten the bench."""
        other = CredentialPool(POOL, pool._reader)
        for each, until in ((pool, NOW + 600), (other, NOW + 30)):
            fail(each, reset_at=until)
        said = pool.explain()
        assert (why(said).until, bench(said).evidence) == (NOW + 600, Evidence.PROVIDER)


class TestFS13StreakGrows:
    """A provider that is down for hours."""

    def test_fs_13_the_fourth_in_a_row_is_told(
        self, home: Path, pool: CredentialPool, clock: FakeClock
    ) -> None:
        """In the facts, and in the words beside how the wait came about."""
        for wait in (60, 120, 240, 0):
            fail(pool)
            clock.forward(wait)
            if wait:
                row = pool.select()
                assert row is not None and row.id == "aaa001"
        said = pool.explain()
        assert (bench(said).streak, bench(said).evidence) == (4, Evidence.TABLE)
        assert why(said).ready_at == clock() + 480
        assert "4th in a row, the table: 60s x 2^3" in lines(home, clock)[1]


class TestFS16NoTimestamp:
    """A row that is exhausted, and nobody wrote when."""

    def test_fs_16_one_rule_everywhere(self, home: Path, clock: FakeClock) -> None:
        """List, selection and explanation agree: such a bench is over."""
        write_store(home, {POOL: [a_key("aaa001", last_status="exhausted", last_error_code=429)]})
        pool = a_pool(home, clock=clock)
        assert pool.explain().pick == "aaa001"
        assert "ready" in "\n".join(list_lines(a_reader(home, clock=clock).read(), NOW))
        assert pool.select() is not None


class TestFS26OneModelsLimit:
    """A key is limited on one model only."""

    def test_fs_26_out_for_one_model_and_ready_for_others(self, pool: CredentialPool) -> None:
        """Both are told: asked for that model the key is passed over, asked for another it is taken."""
        pool.select()
        context = {"message": f"rate limit for {MODEL}"}
        pool.mark_exhausted_and_rotate(status_code=429, error_context=context, model=MODEL)
        said = pool.explain(model=MODEL)
        assert (said.pick, why(said).reason) == ("bbb002", Reason.MODEL_LIMIT)
        assert bench(said).scope == f"model:{MODEL}"
        for other in (pool.explain(), pool.explain(model="another/model")):
            assert other.pick == "aaa001"
            assert [model for model, _ in why(other).limits] == [MODEL]


class TestFS27OneAccountsLimit:
    """Two logins of one person share a plan; two members of a workspace do not."""

    @pytest.mark.parametrize(("subject", "is_out"), [("user-1", True), ("user-2", False)])
    def test_fs_27_the_scope_is_told(self, home: Path, clock: FakeClock, subject: str, is_out: bool) -> None:
        """A row that never failed itself says that its account did."""
        auth = {"https://api.openai.com/auth": {"chatgpt_account_id": "acc"}}
        logins = [
            a_login(f"log00{place}", access_token=a_jwt(sub=who, exp=NOW + DAY, **auth), priority=place)
            for place, who in enumerate(("user-1", subject))
        ]
        write_store(home, {"openai-codex": logins})
        with a_pool(home, "openai-codex", clock=clock) as pool:
            pool.select()
            pool.mark_exhausted_and_rotate(
                status_code=429, error_context={"reason": "usage_limit_reached", "reset_at": NOW + HOUR}
            )
            said = pool.explain()
        assert bench(said, "log000").scope == "account"
        assert (said.outcome is Outcome.ALL_OUT) is is_out
        assert ("the whole account" in lines(home, clock, "openai-codex")[2]) is is_out


class TestFS28TheOnlyKey:
    """A throttle of the only key of a pool."""

    def test_fs_28_the_time_that_is_shown_is_the_time_it_is_back(self, home: Path, clock: FakeClock) -> None:
        """Explanation, what waits, and the selection agree to the second."""
        write_store(home, {POOL: keys("aaa001")})
        with a_pool(home, clock=clock) as pool:
            pool.select()
            fail(pool)
            soonest = pool.explain().soonest
            assert soonest is not None
            assert soonest.ready_at == pool.wait_state().until == NOW + MINUTE
            clock.forward(MINUTE - 1)
            assert pool.select() is None
            clock.forward(1)
            assert pool.select() is not None


class TestFS29TheBillsDate:
    """The provider names a day two weeks ahead."""

    def test_fs_29_the_providers_date_is_told_beside_ours(self, home: Path, clock: FakeClock) -> None:
        """We do not follow it, and the operator sees both."""
        write_store(home, {POOL: keys("aaa001")})
        with a_pool(home, clock=clock) as pool:
            pool.select()
            fail(pool, 429, reason="usage_limit_reached", reset_at=NOW + 15 * DAY)
            said = pool.explain()
        assert (bench(said).told, bench(said).evidence) == (NOW + 15 * DAY, Evidence.TABLE)
        assert why(said).until == NOW + HOUR
        assert "the provider said 2026-11-23, which is not followed" in lines(home, clock)[1]


class TestFS30AllAreCooling:
    """A process starts while its only key cools."""

    def test_fs_30_configured_and_out_is_not_without_a_key(self, home: Path, clock: FakeClock) -> None:
        """The answer says which: all out and the soonest at a time, or nothing configured."""
        write_store(home, {POOL: [a_key("aaa001", **benched(until=NOW + 90))]})
        said = a_pool(home, clock=clock).explain()
        assert said.outcome is Outcome.ALL_OUT
        assert said.soonest is not None
        assert (said.soonest.id, said.soonest.ready_at) == ("aaa001", NOW + 90)
        assert a_pool(home, "zai", clock=clock).explain().outcome is Outcome.NOT_CONFIGURED


class TestFS38ParallelWorkers:
    """Workers that want idle keys at the same instant."""

    def test_fs_38_who_is_busy_says_so(self, pool: CredentialPool) -> None:
        """The second worker's key is another one, and the first key tells why not it."""
        with pool.lease() as held:
            assert held is not None
            said = pool.explain(lease=True)
            assert (said.pick, why(said).reason, why(said).in_flight) == ("bbb002", Reason.BUSIER, 1)
        assert pool.explain(lease=True).pick == "aaa001"


class TestFS39StrategyChanged:
    """The operator changes the strategy of a running engine."""

    def test_fs_39_the_explanation_follows_as_the_selection_does(
        self, pool: CredentialPool, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """From the same moment on; an unknown strategy is told as the one that is followed."""
        monkeypatch.setattr("keydeck.engine.roster._LOOK_AROUND_EVERY_S", 0.0)
        taken = pool.select()
        assert taken is not None and taken.id == pool.explain().pick == "aaa001"
        Operator(a_reader(home)).set_strategy(POOL, "round_robin")
        said = pool.explain()
        assert (said.strategy, said.pick, why(said, "bbb002").rival) == ("round_robin", "bbb002", "aaa001")
        taken = pool.select()
        assert taken is not None and taken.id == "bbb002"
        (home / "config.yaml").write_text("credential_pool_strategies: {openrouter: quota_aware}\n")
        assert pool.explain().strategy == "fill_first"
