from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from fakes import NOW
from keydeck.engine.cooldown_edit import entry_of
from keydeck.engine.cooldown_policy import DEFAULT_POLICY, Change, Policy
from keydeck.engine.cooldown_preview import Policies, Shift, Tally, shifts, tallies
from keydeck.engine.credential import Credential
from keydeck.engine.events import Event, Failed, Position, Record, Reset, Succeeded, Used
from keydeck.engine.known import FactsOf
from keydeck.engine.ledger import Ledger
from keydeck.engine.secret import Secret
from keydeck.engine.state import HealthKind

POOL = "openrouter"
SINCE = NOW - 36_000
FIVE = entry_of("429").put(DEFAULT_POLICY, Change(wait_s=300))
NONE = entry_of("429").put(DEFAULT_POLICY, Change(wait_s=0))
USAGE = entry_of("request").put(DEFAULT_POLICY, Change(wait_s=60))


def row(row_id: str, secret: str | None = None) -> Credential:
    return Credential(id=row_id, provider=POOL, access_token=Secret(secret or f"sk-{row_id}"))


ROWS = (row("aaa001"), row("aaa002"))


def throttled(row_id: str = "aaa001", code: int = 429) -> Failed:
    return Failed(ids=(row_id,), provider=POOL, code=code)


def placed(*events: tuple[float, Event]) -> list[tuple[Position, Record]]:
    """Return events, each so many seconds after `SINCE`, as a journal tells them."""
    return [
        ((1, number * 100), Record(SINCE + at, "w", number, event))
        for number, (at, event) in enumerate(events, 1)
    ]


def tally(
    told: list[tuple[Position, Record]],
    then: Policy,
    rows: Sequence[Credential] = ROWS,
    now: Policy = DEFAULT_POLICY,
) -> Tally:
    found = tallies(told, {POOL: rows}, Policies(now, then), SINCE, NOW)
    return found[0] if found else Tally(POOL)


def test_a_longer_wait() -> None:
    """Each bench of the day is longer, and the time the key was out is added up under both."""
    told = placed((0, throttled()), (7200, throttled()), (7300, Used({"aaa001": 3})))
    assert tally(told, FIVE) == Tally(POOL, 2, longer=2, before_s=120.0, after_s=600.0)


def test_a_shorter_wait_and_none_at_all() -> None:
    """What got shorter and what would be no bench is told apart."""
    told = placed((0, throttled()), (7200, throttled()))
    assert tally(told, DEFAULT_POLICY, now=FIVE) == Tally(POOL, 2, shorter=2, before_s=600.0, after_s=120.0)
    assert tally(told, NONE) == Tally(POOL, 2, gone=2, before_s=120.0, after_s=0.0)


def test_benches_that_would_be_new() -> None:
    """A failure that benched nobody counts where the other policy benches for it."""
    told = placed((0, throttled(code=400)))
    assert tally(told, USAGE) == Tally(POOL, 0, new=1, before_s=0.0, after_s=60.0)


def test_streaks_grow_under_both() -> None:
    """The second in a row waits twice as long, and one bench runs into the next without counting twice."""
    told = placed((0, throttled()), (61, throttled()))
    found = tally(told, FIVE)
    assert (found.benches, found.longer) == (2, 2)
    assert found.before_s == 60 + 120
    assert found.after_s == 61 + 600


def test_what_ended_a_bench_ends_it_under_both() -> None:
    """A success and a reset bring the key back; nobody can tell what would have come without them."""
    told = placed(
        (0, throttled()),
        (30, Reset(ids=("aaa001",), provider=POOL)),
        (600, throttled()),
        (640, Succeeded(ids=("aaa001",), provider=POOL)),
    )
    found = tally(told, FIVE)
    assert (found.before_s, found.after_s) == (70.0, 70.0)


def test_what_was_before_the_day_counts_for_its_own_day() -> None:
    """A bench from yesterday takes time of today and is no bench of today; the next one is the second in a row."""
    told = placed((-30, throttled()), (40, throttled()))
    assert tally(told, FIVE) == Tally(POOL, 1, longer=1, before_s=30 + 120, after_s=40 + 600)


def test_the_day_ends_now() -> None:
    """A bench that still runs, and a login that is needed, count until now."""
    told = placed((35_990, throttled()), (0, Failed(ids=("aaa002",), provider=POOL, status="dead", code=401)))
    assert tally(told, FIVE).before_s == 10 + 36_000


def test_one_secret_in_two_rows_is_benched_once() -> None:
    """Twins are one credential for counts and times."""
    same = (row("aaa001", "sk-same"), row("aaa002", "sk-same"), row("aaa003"))
    told = placed((0, Failed(ids=("aaa001", "aaa002"), provider=POOL, code=429)))
    assert tally(told, FIVE, same) == Tally(POOL, 1, longer=1, before_s=60.0, after_s=300.0)


def test_a_pool_without_failures_is_not_listed() -> None:
    """Nor is a day on which nothing happened."""
    assert (
        tallies(placed((0, Used({"aaa001": 1}))), {POOL: ROWS}, Policies(DEFAULT_POLICY, FIVE), SINCE, NOW)
        == ()
    )


def test_a_key_that_is_gone_counts_for_its_pool() -> None:
    """What it was benched for happened all the same."""
    assert tally(placed((0, throttled("gone01"))), FIVE).benches == 1


CODES = st.sampled_from([429, 402, 401, 403, 400, 503])
EVENTS = st.one_of(
    st.builds(throttled, st.sampled_from(["aaa001", "aaa002"]), CODES),
    st.just(Reset(ids=("aaa001",), provider=POOL)),
    st.just(Succeeded(ids=("aaa002",), provider=POOL)),
)


@given(st.lists(st.tuples(st.floats(0, 35_000), EVENTS), max_size=12))
def test_the_same_policy_changes_nothing(events: list[tuple[float, Event]]) -> None:
    """Whatever happened, a day judged twice alike differs nowhere, and no key is out for longer than the day."""
    told = placed(*sorted(events, key=lambda each: each[0]))
    for found in tallies(told, {POOL: ROWS}, Policies(DEFAULT_POLICY, DEFAULT_POLICY), SINCE, NOW):
        assert not found.differs
        assert found.before_s == found.after_s <= 2 * (NOW - SINCE)


# --- what stands -------------------------------------------------------------------------------------------


def standing_now(then: Policy, *events: tuple[float, Event]) -> tuple[Shift, ...]:
    """Return the shifts after events that were so many seconds ago."""
    ledger = Ledger()
    for place, record in placed(*((NOW - SINCE - ago, event) for ago, event in events)):
        ledger.take(record, place)
    facts_of: FactsOf = ledger.rows.get
    return shifts(POOL, ROWS, facts_of, Policies(DEFAULT_POLICY, then), NOW)


def test_a_key_that_would_be_back_now() -> None:
    """Its state turns from cooling to ready; the other key is not listed."""
    (shift,) = standing_now(NONE, (20, throttled()))
    assert (shift.before.id, shift.before.health.until) == ("aaa001", NOW + 40)
    assert shift.after.health.kind is HealthKind.READY


def test_a_key_that_would_be_out_again_or_for_longer() -> None:
    """Ends are derived: a bench that is over may stand under another policy."""
    again, longer = standing_now(FIVE, (100, throttled()), (20, throttled("aaa002")))
    assert again.before.health.is_usable
    assert again.after.health.until == NOW + 200
    assert (longer.before.health.until, longer.after.health.until) == (NOW + 40, NOW + 280)


def test_a_key_that_stays_as_it_is_is_not_listed() -> None:
    """Another kind of failure keeps it out, or nothing does."""
    assert standing_now(FIVE, (20, throttled(code=402))) == ()
