"""What a failure costs, and what ends it: the table, the operator's word, and what hermes reads (demand 2.1 to 2.3)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fakes import (
    NOW,
    FakeClock,
    a_home,
    a_jwt,
    a_key,
    a_login,
    a_pool,
    a_reader,
    benched,
    keys,
    load,
    write_down,
    write_store,
)
from keydeck.engine.acts import Operator
from keydeck.engine.cooldown import Evidence
from keydeck.engine.credential import Credential
from keydeck.engine.events import Failed
from keydeck.engine.file_store import FileStore
from keydeck.engine.pool import CredentialPool
from keydeck.engine.ready import Ready
from keydeck.engine.state import Health, HealthKind, RowState
from keydeck.present.panes import banner

POOL = "openrouter"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


@pytest.fixture
def two(home: Path) -> Path:
    """Return a home with two ready keys."""
    write_store(home, {POOL: keys("aaa001", "bbb002")})
    return home


def configured(home: Path, text: str) -> None:
    """Write ``credential_pool.cooldown`` with these lines."""
    lines = "\n".join(f"    {line}" for line in text.splitlines())
    (home / "config.yaml").write_text(f"credential_pool:\n  cooldown:\n{lines}\n")
    stamp = os.stat(home / "config.yaml").st_mtime_ns + 1_000_000
    os.utime(home / "config.yaml", ns=(stamp, stamp))


def picked(pool: CredentialPool) -> str:
    row = pool.select()
    return row.id if row else ""


def fail(pool: CredentialPool, code: int | None = 429, key: str = "aaa001", **context: Any) -> str:
    """Report that a request with a key failed, and return the row that goes on."""
    row = pool.mark_exhausted_and_rotate(
        status_code=code, error_context=context, api_key_hint=f"sk-test-{key}-secret"
    )
    return row.id if row else ""


def state(home: Path, row_id: str = "aaa001", at: float = NOW, provider: str = POOL) -> RowState:
    pool = a_reader(home).read().pool(provider)
    assert pool is not None
    return next(row for row in pool.at(at).rows if row.id == row_id)


def health(home: Path, row_id: str = "aaa001", at: float = NOW) -> Health:
    return state(home, row_id, at).health


def left(home: Path, row_id: str = "aaa001", at: float = NOW) -> float | None:
    """Return how long a row is out still."""
    until = health(home, row_id, at).until
    return None if until is None else until - at


def written(home: Path, clock: FakeClock | None = None) -> list[tuple[str | None, float | None]]:
    """Return status and end of every row as hermes reads them."""
    reader = a_reader(home, clock=clock)
    reader.read()
    assert reader.store.checkpoint()
    reader.close()
    rows = load(home)["credential_pool"][POOL]
    return [(row["last_status"], row["last_error_reset_at"]) for row in rows]


class TestFS06ANewSecretStartsClean:
    """A key is not to blame for what the one before it did."""

    def test_fs_06_a_new_key_in_a_benched_row_is_ready_for_us_and_for_hermes(self, two: Path) -> None:
        """The bench went with the old key; the count stays."""
        with a_pool(two) as pool:
            pool.select()
            fail(pool, 402)
        document = load(two)["credential_pool"]
        document[POOL][0]["access_token"] = "sk-test-fresh-secret"
        write_store(two, document)
        assert health(two).kind is HealthKind.READY
        with a_pool(two) as pool:
            assert picked(pool) == "aaa001"
        assert written(two)[0] == (None, None)
        assert load(two)["credential_pool"][POOL][0]["request_count"] == 2


class TestFS07ASuccessEndsACooldown:
    """Where it started after the failure; one that was under way proves nothing."""

    def test_fs_07_a_success_that_started_after_the_failure_ends_it(self, two: Path) -> None:
        """At the next pick, in every process."""
        with a_pool(two) as pool, a_pool(two) as other:
            pool.select()
            fail(pool, 402)
            pool.acquire_lease("aaa001")
            pool.report_success("sk-test-aaa001-secret")
            assert picked(pool) == picked(other) == "aaa001"

    def test_fs_07_one_that_was_under_way_before_ends_nothing(self, two: Path) -> None:
        """Another process was granted the row before the first one failed."""
        with a_pool(two) as pool, a_pool(two) as other:
            assert picked(other) == picked(pool) == "aaa001"
            fail(pool, 402)
            other.report_success("sk-test-aaa001-secret")
            assert picked(pool) == picked(other) == "bbb002"


class TestFS08AnEpilogueIsNoSuccess:
    """Ending a turn, releasing a lease or closing a pool says nothing of the key."""

    def test_fs_08_only_a_success_clears(self, two: Path) -> None:
        """Whatever else is called after the failure."""
        with a_pool(two) as pool:
            pool.acquire_lease("aaa001")
            fail(pool, 402)
            pool.release_lease("aaa001")
            pool.mark_used()
            pool.flush()
        assert left(two) == HOUR


class TestFS10TheLaterDeadlineWins:
    """No failure shortens a bench."""

    @pytest.mark.parametrize(("first", "then"), [({"reset_at": NOW + 90}, {}), ({}, {"reset_at": NOW + 1})])
    def test_fs_10_a_shorter_one_does_not_shorten(
        self, two: Path, first: dict[str, Any], then: dict[str, Any]
    ) -> None:
        """Two requests that were under way together: one without a hint, one with."""
        with a_pool(two) as pool, a_pool(two) as other:
            pool.select()
            other.select()
            fail(pool, 429, **first)
            fail(other, 429, **then)
        assert left(two) == (90 if first else 60)


class TestFS11ZeroIsNoBench:
    """The operator's zero is a value, not the absence of one."""

    def test_fs_11_a_status_with_zero_benches_nobody_and_is_told_all_the_same(self, two: Path) -> None:
        """The row goes on, hermes never sees it out, the journal has the failure."""
        configured(two, "429: 0")
        with a_pool(two) as pool:
            pool.select()
            assert fail(pool, 429) == "aaa001"
            assert fail(pool, 429, reset_at=NOW + 900) == "aaa001"
        assert health(two).kind is HealthKind.READY
        assert written(two)[0] == (None, None)
        told = [record.event for _, record in FileStore(a_home(two)).history()]
        assert sum(isinstance(event, Failed) for event in told) == 2

    @pytest.mark.parametrize(
        ("code", "said"), [(503, "overloaded"), (400, "bad"), (429, "upstream is overloaded"), (408, "")]
    )
    def test_what_is_not_the_keys_fault_benches_nobody(self, two: Path, code: int, said: str) -> None:
        """A provider's own trouble and a bad request leave the row, and the request stays with it."""
        with a_pool(two) as pool:
            pool.select()
            assert fail(pool, code, message=said) == "aaa001"
            assert picked(pool) == "aaa001"
        assert written(two)[0] == (None, None)


class TestFS12StreaksEnd:
    """A quiet hour or a success starts afresh, and refused attempts add nothing."""

    def test_fs_12_a_throttle_an_hour_finds_the_first_wait_each_time(self, two: Path) -> None:
        """Also where nobody reports a success."""
        clock = FakeClock()
        with a_pool(two, clock=clock) as pool:
            for _ in range(5):
                pool.select()
                fail(pool, 429)
                assert left(two, at=clock()) == MINUTE
                clock.forward(HOUR)

    def test_fs_12_requests_under_way_when_the_first_fails_are_one_failure(self, two: Path) -> None:
        """Ten of them do not lock the key for hours."""
        pools = [a_pool(two) for _ in range(10)]
        for pool in pools:
            pool.select()
        for pool in pools:
            fail(pool, 429)
        assert health(two).streak == 1
        assert left(two) == MINUTE
        for pool in pools:
            pool.close()


class TestFS13StreaksGrow:
    """Expiry, retry, fail: each wait is longer than the last."""

    def test_fs_13_four_in_a_row(self, two: Path) -> None:
        """1, 2, 4 and 8 minutes, and the number is known: 4th in a row."""
        clock, waits = FakeClock(), []
        with a_pool(two, clock=clock) as pool:
            for _ in range(4):
                assert picked(pool) == "aaa001"
                fail(pool, 429)
                waits.append(left(two, at=clock()))
                clock.forward(waits[-1] or 0)
        assert waits == [60, 120, 240, 480]
        assert health(two, at=clock() - 1).streak == 4

    def test_fs_13_the_streak_survives_a_restart_and_a_checkpoint(self, two: Path) -> None:
        """It is in the sum of the journal, not in a process."""
        clock = FakeClock()
        for wait in (60, 120, 240):
            with a_pool(two, clock=clock) as pool:
                pool.select()
                fail(pool, 429)
            write_down(two)
            assert left(two, at=clock()) == wait
            clock.forward(wait)

    def test_a_refused_key_needs_the_operator_the_second_time(self, two: Path) -> None:
        """Five minutes first; no time ends the second refusal, and hermes reads it as dead."""
        clock = FakeClock()
        with a_pool(two, clock=clock) as pool:
            pool.select()
            fail(pool, 401)
            assert left(two) == 300
            clock.forward(300)
            pool.select()
            fail(pool, 401)
        assert health(two, at=NOW + 30 * DAY).kind is HealthKind.NEEDS_LOGIN
        assert written(two, clock)[0] == ("dead", None)


class TestFS14ATopUpDuringA402:
    """The operator knows better than the table."""

    def test_fs_14_a_reset_makes_it_usable_at_once_and_ends_the_streak(self, two: Path) -> None:
        """In the pool that runs; the next failure starts with the first wait again."""
        clock = FakeClock()
        with a_pool(two, clock=clock) as pool:
            pool.select()
            fail(pool, 402)
            assert left(two) == HOUR
            Operator(a_reader(two, clock=clock)).reset(POOL, "aaa001")
            assert picked(pool) == "aaa001"
            fail(pool, 402)
            assert left(two) == HOUR

    def test_fs_14_the_wait_for_a_402_is_the_operators_to_set(self, two: Path) -> None:
        """Per status; the evidence names the line of config.yaml."""
        configured(two, "402: 2m")
        with a_pool(two) as pool:
            pool.select()
            fail(pool, 402)
        found = health(two)
        assert left(two) == 120
        assert found.evidence is Evidence.OPERATOR
        assert found.standing.rule is not None
        assert found.standing.rule.line == 3


class TestFS26OneModelsLimit:
    """A limit of one model is no limit of the key."""

    SAID = "Rate limit reached for vendor/m1: too many tokens per minute"

    def test_fs_26_the_key_serves_other_models(self, two: Path) -> None:
        """Benched for one, usable for the other, both shown; hermes, who knows no models, keeps it."""
        with a_pool(two) as pool:
            pool.select()
            pool.mark_exhausted_and_rotate(
                status_code=429,
                error_context={"message": self.SAID},
                api_key_hint="sk-test-aaa001-secret",
                model="vendor/m1",
            )
            assert picked(pool) == "aaa001"
            assert [must(pool.select(model=f"vendor/m{n}")).id for n in (1, 2)] == ["bbb002", "aaa001"]
        found = state(two)
        assert found.health.is_usable
        assert [(model, held.until) for model, held in found.limits(NOW).items()] == [("vendor/m1", NOW + 60)]
        assert found.limits(NOW + 60) == {}
        assert written(two)[0] == (None, None)
        ready = Ready([row.row for row in (found, state(two, "bbb002"))])  # type: ignore[misc]
        ready.begin(NOW, 0.0)
        assert ready.for_model("vendor/m1", 59.9).usable == [1]
        assert ready.for_model("vendor/m1", 60.0).usable == [0, 1]
        assert ready.for_model("vendor/m2", 0.0) is ready

    def test_fs_26_a_limit_that_names_no_model_is_the_keys(self, two: Path) -> None:
        """The caller's word for the model alone makes none of it."""
        with a_pool(two) as pool:
            pool.select()
            pool.mark_exhausted_and_rotate(
                status_code=429,
                error_context={"message": "too many requests"},
                api_key_hint="sk-test-aaa001-secret",
                model="vendor/m1",
            )
            assert picked(pool) == "bbb002"


class TestFS27OneAccountsLimit:
    """Two logins of one person share a plan; two members of a workspace do not."""

    @pytest.mark.parametrize(("subject", "goes_on"), [("user-1", False), ("user-2", True)])
    def test_fs_27_a_plan_limit_benches_the_account(self, home: Path, subject: str, goes_on: bool) -> None:
        """By account and subject of the token, never by the account alone."""
        auth = {"https://api.openai.com/auth": {"chatgpt_account_id": "acc"}}
        logins = [
            a_login(f"log00{place}", access_token=a_jwt(sub=who, exp=NOW + DAY, **auth), priority=place)
            for place, who in enumerate(("user-1", subject))
        ]
        write_store(home, {"openai-codex": logins})
        with a_pool(home, "openai-codex") as pool:
            assert picked(pool) == "log000"
            row = pool.mark_exhausted_and_rotate(
                status_code=429,
                error_context={"reason": "usage_limit_reached", "reset_at": NOW + HOUR},
                api_key_hint=logins[0]["access_token"],
            )
        assert (row is not None) is goes_on
        other = state(home, "log001", provider="openai-codex").health
        assert other.is_usable is goes_on
        assert other.scope == (None if goes_on else "account")


class TestFS28TheOnlyKey:
    """A self-refusal helps nobody: a throttle of the only key is short, an empty purse is not."""

    def test_fs_28_a_throttle_rests_a_minute_however_often(self, home: Path) -> None:
        """The list, the pool and what hermes reads name the same time."""
        write_store(home, {POOL: keys("aaa001")})
        clock = FakeClock()
        with a_pool(home, clock=clock) as pool:
            for _ in range(4):
                assert picked(pool) == "aaa001"
                fail(pool, 429)
                assert left(home, at=clock()) == MINUTE
                assert written(home, clock) == [("exhausted", clock() + MINUTE)]
                clock.forward(MINUTE)
            pool.select()
            fail(pool, 402)
            assert left(home, at=clock()) == HOUR

    def test_fs_28_it_is_alone_also_when_the_others_are_dead(self, two: Path) -> None:
        """And no longer when one that could serve comes: the long wait holds then, at once."""
        write_store(two, {POOL: [*keys("aaa001"), a_key("bbb002", last_status="dead")]})
        clock = FakeClock()
        with a_pool(two, clock=clock) as pool:
            for wait in (60, 60):
                assert picked(pool) == "aaa001"
                fail(pool, 429)
                assert left(two, at=clock()) == wait
                clock.forward(wait)
            pool.select()
            fail(pool, 429)
            assert left(two, at=clock()) == 60
            Operator(a_reader(two, clock=clock)).reset(POOL, "bbb002")
            assert left(two, at=clock()) == 240
            clock.forward(60)
            assert picked(pool) == "bbb002"


class TestFS29AResetTimeThatConcernsTheBill:
    """A date weeks ahead is no throttle: policy decides, and both dates can be seen."""

    def test_fs_29_the_table_decides_and_the_providers_date_is_kept(self, home: Path) -> None:
        """Told in 15 days; benched for an hour."""
        write_store(home, {POOL: keys("aaa001")})
        with a_pool(home) as pool:
            pool.select()
            fail(pool, 429, reason="usage_limit_reached", reset_at=NOW + 15 * DAY)
        found = health(home)
        assert (found.until, found.told, found.evidence) == (NOW + HOUR, NOW + 15 * DAY, Evidence.TABLE)
        assert written(home) == [("exhausted", NOW + HOUR)]

    def test_fs_29_also_where_hermes_wrote_it(self, home: Path) -> None:
        """What we know better it learns with the next checkpoint."""
        write_store(home, {POOL: [a_key(**benched(429, ago=0, until=NOW + 15 * DAY))]})
        assert left(home) == HOUR
        with a_pool(home) as pool:
            pool.acquire_lease("aaa001")
        assert written(home) == [("exhausted", NOW + HOUR)]


class TestAPolicyThatIsChanged:
    """``credential_pool.cooldown`` is obeyed by pools that run, and by benches that run."""

    def test_it_reaches_a_running_pool_without_a_restart(self, two: Path) -> None:
        """Longer, shorter, and gone again; hermes learns it too."""
        clock = FakeClock()
        with a_pool(two, clock=clock) as pool:
            pool.select()
            fail(pool, 402)
            assert picked(pool) == "bbb002"
            configured(two, "402: 10m")
            clock.forward(599)
            looked(pool)
            assert picked(pool) == "bbb002"
            clock.forward(1)
            assert picked(pool) == "aaa001"
            pool.flush()
            configured(two, "billing: 3h")
            looked(pool)
            assert picked(pool) == "bbb002"
            pool._store.checkpoint()
            assert load(two)["credential_pool"][POOL][0]["last_error_reset_at"] == NOW + 3 * HOUR

    def test_it_is_read_per_key_and_per_provider(self, two: Path) -> None:
        """The key's own entry wins."""
        configured(two, "429: 10s\nproviders:\n  openrouter:\n    429: 20s\nkeys:\n  bbb002:\n    429: 30s")
        with a_pool(two) as pool:
            for row_id in ("aaa001", "bbb002"):
                pool.select()
                fail(pool, 429, key=row_id)
        assert (left(two), left(two, "bbb002")) == (20, 30)

    def test_an_entry_that_makes_no_sense_is_told_with_its_line_and_the_others_hold(self, two: Path) -> None:
        """In the banner, without quoting what stands there."""
        configured(two, "402: 2m\nbiling: 5m\n429: soon")
        snapshot = a_reader(two).read()
        said = banner(snapshot, NOW)
        assert said.startswith("config.yaml line 4: no such kind of failure; did you mean billing?")
        assert "1 more" in said
        assert "soon" not in said
        with a_pool(two) as pool:
            pool.select()
            fail(pool, 402)
        assert left(two) == 120

    def test_a_broken_config_keeps_the_last_good_policy(self, two: Path) -> None:
        """A half-saved file shortens and lengthens nothing."""
        configured(two, "402: 2m")
        with a_pool(two) as pool:
            (two / "config.yaml").write_text("credential_pool: [")
            looked(pool)
            pool.select()
            fail(pool, 402)
            (row,) = [row for row in pool.entries() if row.id == "aaa001"]
            assert row.last_error_reset_at == NOW + 120


def must(row: Credential | None) -> Credential:
    assert row is not None
    return row


def looked(pool: CredentialPool) -> None:
    """Let a pool look at the other files, as it does every 50 ms."""
    pool._roster._looked_at -= 1.0
