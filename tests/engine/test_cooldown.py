from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fakes import NOW
from keydeck.engine.cooldown import (
    ACCOUNT,
    FREE,
    NEVER,
    QUIET_S,
    ROW,
    Benches,
    Evidence,
    Failure,
    aged,
    failed,
    filed_failure,
    model_scope,
    models_out,
    new_secret,
    reset,
    standing,
    streak,
    succeeded,
)
from keydeck.engine.cooldown_form import benches_form, read_benches
from keydeck.engine.cooldown_policy import (
    DEFAULT_POLICY,
    LONGEST_WAIT_S,
    TABLE,
    Change,
    Policy,
    Rotates,
    Rule,
)
from keydeck.engine.events import Position, Status
from keydeck.engine.failures import FailureKind
from keydeck.engine.times import LONGEST_TOLD_S

RATE, USAGE, BILLING = FailureKind.RATE_LIMIT, FailureKind.USAGE_LIMIT, FailureKind.BILLING
KEY, LOGIN, REVOKED = FailureKind.KEY_REFUSED, FailureKind.LOGIN_REFUSED, FailureKind.REVOKED
CODES = {RATE: 429, USAGE: 429, BILLING: 402, KEY: 401, FailureKind.PROVIDER: 503, FailureKind.REQUEST: 400}

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def a_failure(kind: str = RATE, at: float = 0.0, **fields: Any) -> Failure:
    """Return a failure `at` seconds after NOW."""
    if (told := fields.pop("told", None)) is not None:
        fields["told"] = NOW + told
    return Failure(kind, NOW + at, fields.pop("code", CODES.get(FailureKind(kind))), **fields)


def after(*failures: Failure, benches: Benches = FREE, since: int = 0) -> Benches:
    """Let requests fail one after the other: each is granted after the one before has failed."""
    for place, failure in enumerate(failures, start=since + 1):
        benches = failed(benches, failure, (1, 100 * place - 50), (1, 100 * place))
    return benches


def left(benches: Benches, policy: Policy = DEFAULT_POLICY, **asked: Any) -> float | None:
    """Return the end in seconds after NOW."""
    until = standing(benches, policy, "openrouter", "aaa001", **asked).until
    return None if until is None else until - NOW


def policy(**changes: float | Change) -> Policy:
    """Return the table with changes everywhere; ``s429`` is the status."""
    made = {
        name.removeprefix("s"): change if isinstance(change, Change) else Change(wait_s=change, line=7)
        for name, change in changes.items()
    }
    return Policy(MappingProxyType(made))


# --- the table ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "waits"),
    [
        (RATE, [60, 120, 240, 480, 960, 1920, 3600, 3600]),
        (USAGE, [3600, 3600]),
        (BILLING, [3600, 7200, 14_400, 28_800, 57_600, 86_400, 86_400]),
        (FailureKind.FORBIDDEN, [300, 300]),
        (FailureKind.ENTITLEMENT, [0, 0]),
        (FailureKind.PROVIDER, [0, 0]),
        (FailureKind.REQUEST, [0, 0]),
    ],
)
def test_the_table_of_waits(kind: FailureKind, waits: list[float]) -> None:
    """Design 4, first to nth in a row."""
    assert [TABLE[kind].wait(number) for number in range(1, len(waits) + 1)] == waits


def test_every_kind_has_a_rule() -> None:
    """Also how the request goes on is told for each."""
    assert set(TABLE) == set(FailureKind)
    assert {kind for kind, rule in TABLE.items() if rule.rotates is Rotates.NO} == {
        FailureKind.PROVIDER,
        FailureKind.REQUEST,
    }
    assert TABLE[FailureKind.FORBIDDEN].rotates is Rotates.ONCE


def test_a_growth_without_end_is_capped() -> None:
    """Whatever is configured and however often it fails, no wait is longer than thirty days."""
    assert Rule(HOUR, grows=100.0, cap_s=1e300).wait(10_000) == LONGEST_WAIT_S


# --- what one failure costs --------------------------------------------------------------------------------


def test_without_a_word_of_the_provider_the_table_decides() -> None:
    """A throttle costs a minute, and that is where the end comes from."""
    held = standing(after(a_failure()))
    assert (held.until, held.evidence, held.streak) == (NOW + 60, Evidence.TABLE, 1)
    assert not held.is_terminal


def test_the_provider_s_own_time_wins_over_the_table() -> None:
    """A shorter and a longer one."""
    for told in (5, 2 * HOUR):
        held = standing(after(a_failure(told=told)))
        assert (held.until, held.evidence) == (NOW + told, Evidence.PROVIDER)


@pytest.mark.parametrize("told", [0, -5, LONGEST_TOLD_S + 1, 15 * DAY])
def test_an_end_that_makes_no_sense_is_shown_and_not_obeyed(told: float) -> None:
    """FS-29: a date 15 days ahead locks nobody out; the table decides and what was told is kept to be seen."""
    held = standing(after(a_failure(USAGE, told=told)))
    assert (held.until, held.evidence) == (NOW + HOUR, Evidence.TABLE)
    assert held.strike
    assert held.strike.failure.told == NOW + told


def test_a_failure_that_another_program_filed_says_so() -> None:
    """Whatever its end: we did not see the answer ourselves."""
    for told in (None, 30):
        held = standing(after(a_failure(is_filed=True, told=told)))
        assert (held.until, held.evidence) == (NOW + (told or HOUR), Evidence.FILE)


def test_what_another_program_filed_keeps_its_rule_for_the_length() -> None:
    """Five minutes after a 401, an hour after anything else, the end it named, and no row of failures (hermes-pool 5.1)."""
    for kind, code, wait in ((KEY, 401, 300), (RATE, 429, HOUR), (FailureKind.PROVIDER, 503, HOUR)):
        filed = a_failure(kind, code=code, is_filed=True)
        held = standing(after(filed, filed._replace(at=NOW + 400)), is_sole=True)
        assert (held.until, held.is_terminal, held.streak) == (NOW + 400 + wait, False, 1)
    assert standing(after(a_failure(is_filed=True, told=15 * DAY))).until == NOW + HOUR
    ours = after(a_failure(KEY, is_filed=True), a_failure(KEY, at=400))
    assert not standing(ours).is_terminal


def test_the_operators_word_holds_for_what_another_program_filed() -> None:
    """Zero is no bench, whoever wrote it down."""
    filed = after(a_failure(is_filed=True))
    assert standing(filed, policy(s429=0.0)).until is None
    assert left(filed, policy(s429=7.0)) == 7


def test_what_a_row_says_is_read_as_a_failure() -> None:
    """Dead, or benched with a time at all; a row without either benches nobody (FS-16)."""
    known = Status("exhausted", NOW, 429, "r", "m", NOW + 5)
    assert filed_failure(known) == a_failure(is_filed=True, told=5)
    assert filed_failure(known._replace(at=None)) == a_failure(is_filed=True, at=5, told=5)
    assert filed_failure(Status("exhausted", None, 429)) is None
    assert filed_failure(Status()) is None
    assert standing(after(must(filed_failure(Status("dead", None, 401))))).is_terminal
    revoked = must(filed_failure(Status("exhausted", NOW, 403, "token_revoked")))
    assert not standing(after(revoked)).is_terminal


def must(failure: Failure | None) -> Failure:
    assert failure is not None
    return failure


def test_a_bench_without_any_time_is_over() -> None:
    """FS-16: hermes hands such a row out, and an endless bench helps nobody."""
    held = standing(failed(FREE, Failure(RATE, 0.0, 429), None, (1, 100)))
    assert held.until is not None
    assert held.until < NOW


def test_waits_get_longer_by_chance_and_never_shorter() -> None:
    """The caller draws; the same number gives the same end."""
    benches = after(a_failure(told=HOUR))
    ends = [left(benches, chance=chance) for chance in (0.0, 0.5, 0.999)]
    assert ends == sorted(ends, key=lambda end: end or 0)
    assert ends[0] == HOUR
    assert ends[2] is not None
    assert HOUR < ends[2] <= HOUR + 30


# --- what several cost -------------------------------------------------------------------------------------


def test_the_later_deadline_wins() -> None:
    """FS-10: a shorter new hint does not shorten, a slow one without a hint lengthens."""
    one_left = after(a_failure(told=1))
    assert left(failed(one_left, a_failure(), (1, 10), (1, 200))) == 60
    hour_left = after(a_failure(told=HOUR))
    assert left(failed(hour_left, a_failure(told=5), (1, 10), (1, 200))) == HOUR


def test_a_streak_grows_to_its_cap() -> None:
    """FS-13: expiry, retry, failure, four times; the wait doubles and the streak is told."""
    at, benches = 0.0, FREE
    for number, wait in enumerate((60, 120, 240, 480), start=1):
        benches = failed(benches, a_failure(at=at), (1, 100 * number - 50), (1, 100 * number))
        assert left(benches) == at + wait
        assert streak(benches) == number
        at += wait
    assert standing(benches).streak == 4


def test_a_throttle_an_hour_is_no_streak() -> None:
    """FS-12: with a success after each, and without any: so long apart they are not in a row."""
    apart = after(*(a_failure(at=HOUR * number) for number in range(5)))
    assert left(apart) == 4 * HOUR + 60
    proven = FREE
    for number in range(5):
        proven = after(a_failure(at=90.0 * number), benches=proven, since=2 * number)
        proven = succeeded(proven, None, (1, 200 * number + 200)) if number < 4 else proven
    assert left(proven) == 4 * 90 + 60


def test_many_requests_under_way_are_one_failure() -> None:
    """FS-12: what was granted before the present bench adds nothing to the streak."""
    benches = FREE
    for number in range(30):
        benches = failed(benches, a_failure(at=number), (1, 10), (1, 100 + number))
    assert streak(benches) == 1
    assert left(benches) == 29 + 60


def test_a_failure_after_a_long_silence_starts_afresh() -> None:
    """Half an hour, or twice the last wait: the silence after a bench of an hour is two hours."""
    assert streak(after(a_failure(), a_failure(at=QUIET_S - 1))) == 2
    assert streak(after(a_failure(), a_failure(at=QUIET_S))) == 1
    assert streak(after(a_failure(BILLING), a_failure(BILLING, at=2 * HOUR - 1))) == 2
    assert streak(after(a_failure(BILLING), a_failure(BILLING, at=2 * HOUR))) == 1
    assert streak(after(a_failure()), now=NOW + QUIET_S) == 0
    assert streak(after(a_failure()), now=NOW + QUIET_S - 1) == 1


def test_kinds_are_counted_apart() -> None:
    """A throttle is no step towards an empty account."""
    benches = after(a_failure(), a_failure(BILLING), a_failure(at=60))
    assert streak(benches) == 2
    assert left(benches) == HOUR


def test_a_very_long_streak_is_kept_in_little_room() -> None:
    """The count goes on, and the row stays small."""
    benches = FREE
    for number in range(1, 101):
        benches = failed(
            benches, a_failure(BILLING, at=number * HOUR), (1, 100 * number - 50), (1, 100 * number)
        )
    assert streak(benches) == 100
    assert len(benches.strikes) <= 8
    assert left(benches) == 100 * HOUR + DAY


def test_what_is_summed_up_was_judged_by_one_rule() -> None:
    """Eight short failures do not swallow a long one with another status."""
    rules = policy(provider=10.0, s529=HOUR)
    benches = after(a_failure(FailureKind.PROVIDER, code=529))
    for number in range(1, 20):
        again = a_failure(FailureKind.PROVIDER, at=number, code=503)
        benches = after(again, benches=benches, since=number)
    assert left(benches, rules) == HOUR
    assert len(benches.strikes) == 8


def test_a_thousand_models_take_little_room() -> None:
    """And push out nothing that concerns the row itself."""
    benches = after(a_failure(REVOKED))
    for number in range(1000):
        benches = failed(benches, a_failure(scope=model_scope(f"m{number}")), None, (1, 1000 + number))
    assert len(benches.strikes) <= 65
    assert standing(benches).is_terminal


# --- what ends it ------------------------------------------------------------------------------------------


def test_a_success_that_started_after_the_failure_ends_it() -> None:
    """FS-07, FS-08: by position; what was granted before the failure proves nothing."""
    benches = after(a_failure(), a_failure())
    assert succeeded(benches, (1, 50), (1, 300)).strikes == benches.strikes
    assert streak(succeeded(benches, (1, 150), (1, 300))) == 1
    assert standing(succeeded(benches, (1, 250), (1, 300))).until is None


def test_a_reset_ends_everything_older_and_only_something_newer_benches_again() -> None:
    """FS-03, FS-14: also what was on its way at the reset counts no more."""
    cleared = reset(after(a_failure(BILLING), a_failure(REVOKED)), (1, 300))
    assert standing(cleared).until is None
    assert not standing(cleared).is_terminal
    assert failed(cleared, a_failure(), (1, 290), (1, 400)) == cleared
    assert left(failed(cleared, a_failure(), (1, 310), (1, 400))) == 60


def test_who_knew_the_journal_up_to_a_line_did_not_know_the_line() -> None:
    """A grant at the place of a reset is older than the reset, one at the place of a failure proves nothing of it."""
    cleared = reset(FREE, (1, 300))
    assert failed(cleared, a_failure(), (1, 300), (1, 400)) == cleared
    benches = after(a_failure())
    assert succeeded(benches, (1, 100), (1, 200)).strikes == benches.strikes
    assert succeeded(benches, (1, 101), (1, 200)).strikes == ()


def test_a_new_secret_starts_clean() -> None:
    """FS-06: what another secret did is not its fault; what is known of no secret stays."""
    benches = after(a_failure(KEY, key="old"), a_failure(KEY, key="old"), a_failure())
    assert standing(benches).is_terminal
    assert left(new_secret(benches, "new")) == 60
    assert new_secret(benches, "old") == benches
    late = failed(new_secret(benches, "new"), a_failure(KEY, key="old"), (1, 10), (1, 400))
    assert left(new_secret(late, "new")) == 60


def test_what_is_too_old_for_any_policy_is_forgotten() -> None:
    """But never a refusal: time does not heal it."""
    benches = after(a_failure(), a_failure(REVOKED))
    kept = aged(benches, NOW + LONGEST_WAIT_S)
    assert [strike.failure.kind for strike in kept.strikes] == [REVOKED]
    assert aged(benches, NOW + LONGEST_WAIT_S - 1) is benches


# --- scopes ------------------------------------------------------------------------------------------------


def test_a_bench_for_one_model_leaves_the_others() -> None:
    """FS-26: out for M1, ready for M2, both told; a success with M2 says nothing of M1."""
    benches = after(a_failure(scope=model_scope("M1")))
    assert left(benches, model="M1") == 60
    assert left(benches, model="M2") is None
    assert left(benches) is None
    assert models_out(benches) == ("M1",)
    assert models_out(succeeded(benches, (1, 200), (1, 200), model="M2")) == ("M1",)
    assert models_out(succeeded(benches, (1, 200), (1, 200))) == ("M1",)
    assert models_out(succeeded(benches, (1, 200), (1, 200), model="M1")) == ()


def test_a_bench_of_the_account_is_one_of_the_row() -> None:
    """FS-27: whatever model is asked for, until a request goes through."""
    benches = after(a_failure(USAGE, scope=ACCOUNT))
    assert left(benches) == left(benches, model="M1") == HOUR
    assert left(succeeded(benches, (1, 200), (1, 200), model="M1")) is None


# --- what waiting does not heal ----------------------------------------------------------------------------


def test_a_key_that_is_refused_twice_needs_the_operator() -> None:
    """Five minutes after the first, however long ago; a success in between makes it the first again."""
    first = after(a_failure(KEY))
    assert (left(first), standing(first).is_terminal) == (300, False)
    again = standing(after(a_failure(KEY, at=9 * DAY), benches=first, since=1))
    assert (again.until, again.is_terminal, again.streak) == (None, True, 2)
    proven = succeeded(first, (1, 150), (1, 150))
    assert not standing(after(a_failure(KEY, at=400), benches=proven, since=1)).is_terminal


def test_a_revoked_grant_needs_the_operator_at_once() -> None:
    """FS-54: no countdown, whatever else benches the row longer, and a success alone would end it."""
    held = standing(after(a_failure(BILLING), a_failure(REVOKED), a_failure(USAGE, told=5 * DAY)))
    assert (held.until, held.is_terminal) == (None, True)
    assert held.strike
    assert held.strike.failure.kind == REVOKED


def test_requests_under_way_do_not_refuse_a_key_twice() -> None:
    """Two requests granted before the first refusal are one refusal."""
    benches = failed(after(a_failure(KEY)), a_failure(KEY), (1, 60), (1, 200))
    assert not standing(benches).is_terminal


# --- the only row ------------------------------------------------------------------------------------------


def test_the_only_usable_row_rests_a_minute_at_most() -> None:
    """FS-28: of a throttle; an empty account rests as long as any, and the provider's word holds."""
    throttled = after(*(a_failure(at=300.0 * number) for number in range(5)))
    assert left(throttled, is_sole=True) == 1200 + 60
    assert left(throttled) == 1200 + 960
    assert left(after(a_failure(BILLING)), is_sole=True) == HOUR
    assert left(after(a_failure(told=300)), is_sole=True) == 300


# --- policies ----------------------------------------------------------------------------------------------


def test_a_changed_policy_is_obeyed_by_benches_that_are_running() -> None:
    """No end is stored; and the bench says that the operator's line decides."""
    benches = after(a_failure())
    held = standing(benches, policy(s429=10.0))
    assert (held.until, held.evidence) == (NOW + 10, Evidence.OPERATOR)
    assert held.rule
    assert held.rule.line == 7
    assert left(benches) == 60


def test_zero_means_do_not_bench() -> None:
    """FS-11: also where the provider names an end; the failure is kept, for a policy that benches again."""
    benches = after(a_failure(told=HOUR))
    assert standing(benches, policy(s429=0.0)).until is None
    assert streak(benches, policy(s429=0.0)) == 0
    assert len(benches.strikes) == 1
    assert left(benches) == HOUR
    assert not standing(after(a_failure(REVOKED, code=401)), policy(s401=0.0)).is_terminal


def test_the_most_specific_policy_wins() -> None:
    """The row's over the provider's over the one for all; what it leaves open comes from the wider one."""
    levels = Policy(
        MappingProxyType({"429": Change(wait_s=10.0, cap_s=15.0)}),
        MappingProxyType({"openrouter": MappingProxyType({"rate_limit": Change(wait_s=20.0)})}),
        MappingProxyType({"aaa001": MappingProxyType({"429": Change(grows=3.0)})}),
    )
    assert levels.rule(RATE, 429, "groq", "bbb002").wait_s == 10
    assert levels.rule(RATE, 429, "openrouter", "bbb002").wait_s == 20
    own = levels.rule(RATE, 429, "openrouter", "aaa001")
    assert (own.wait_s, own.grows, own.cap_s) == (20, 3, 20)
    assert levels.rule(BILLING, 402, "openrouter", "aaa001") == TABLE[BILLING]


def test_a_status_wins_over_a_kind_unless_the_body_said_more() -> None:
    """529 is a case of provider trouble; a spent balance in a 429 is no case of 429."""
    changed = policy(provider=10.0, s529=20.0, s429=30.0, billing=40.0, s401=50.0, login_refused=60.0)
    assert changed.rule(FailureKind.PROVIDER, 503).wait_s == 10
    assert changed.rule(FailureKind.PROVIDER, 529).wait_s == 20
    assert changed.rule(BILLING, 429).wait_s == 40
    assert changed.rule(USAGE, 429).wait_s == 30
    assert changed.rule(LOGIN, 401).wait_s == 50
    assert changed.rule("a kind of tomorrow", None) == TABLE[FailureKind.UNKNOWN]


def test_a_longer_wait_lifts_caps_it_does_not_name() -> None:
    """Who wants two hours gets two hours, also for the only row."""
    changed = policy(s429=2 * HOUR)
    assert left(after(a_failure()), changed) == 2 * HOUR
    assert left(after(a_failure()), changed, is_sole=True) == 2 * HOUR


def test_after_how_many_refusals_a_row_is_out_can_be_set() -> None:
    """Three, or never."""
    twice = after(a_failure(KEY), a_failure(KEY, at=400))
    assert not standing(twice, policy(s401=Change(terminal_after=3))).is_terminal
    assert left(twice, policy(s401=Change(terminal_after=0))) == 700


# --- properties --------------------------------------------------------------------------------------------

KINDS = (RATE, USAGE, BILLING, KEY, REVOKED, FailureKind.PROVIDER)
SCOPES = (ROW, ROW, ACCOUNT, model_scope("M1"))


@dataclass(frozen=True)
class Happened:
    """One thing that happens to a row: its effect, and where it stands."""

    act: Callable[[Benches], Benches]
    place: Position


@st.composite
def failures(draw: st.DrawFn) -> Failure:
    kind = draw(st.sampled_from(KINDS))
    at = NOW + draw(st.floats(0, 40 * DAY))
    told = draw(st.none() | st.floats(-DAY, 10 * DAY))
    return Failure(
        kind,
        at,
        CODES.get(kind),
        None if told is None else at + told,
        draw(st.sampled_from(SCOPES)),
        draw(st.sampled_from((None, "k1", "k2"))),
        draw(st.booleans()),
    )


@st.composite
def histories(draw: st.DrawFn, most: int = 8) -> list[Happened]:
    """Draw what happened to one row, in the order of the journal; few enough to be kept one by one."""
    happened = []
    for number in range(1, draw(st.integers(0, most)) + 1):
        place = (1, 100 * number)
        granted = (1, draw(st.integers(0, 100 * number)))
        what = draw(st.sampled_from(("failed", "failed", "failed", "succeeded", "reset")))
        if what == "failed":
            failure = draw(failures())
            act = partial(failed, failure=failure, granted=granted, place=place)
            happened.append(Happened(act, place))
        elif what == "succeeded":
            model = draw(st.sampled_from((None, "M1", "M2")))
            happened.append(Happened(partial(succeeded, granted=granted, place=place, model=model), place))
        else:
            happened.append(Happened(partial(reset, place=place), place))
    return happened


def folded(happened: list[Happened]) -> Benches:
    benches = FREE
    for each in happened:
        benches = each.act(benches)
    return benches


LATER: Position = (1, 10_000)
POLICIES = st.sampled_from(
    (DEFAULT_POLICY, policy(s429=0.0), policy(s402=Change(terminal_after=1)), policy(provider=30.0))
)
MODELS = st.sampled_from((None, "M1", "M2"))


@given(histories(), failures(), st.integers(0, 10_000), POLICIES, MODELS, st.booleans())
def test_no_failure_brings_an_end_forward(
    happened: list[Happened],
    failure: Failure,
    granted: int,
    rules: Policy,
    model: str | None,
    is_sole: bool,
) -> None:
    """Later wins: one more failure leaves the end where it was or moves it back, and heals nothing."""
    before = folded(happened)
    then = failed(before, failure, (1, granted), LATER)
    old, new = (standing(each, rules, model=model, is_sole=is_sole) for each in (before, then))
    assert new.is_terminal >= old.is_terminal
    assert new.is_terminal or (new.until or 0.0) >= (old.until or 0.0)


@given(st.lists(failures(), min_size=9, max_size=30), st.sampled_from((*KINDS, None)), POLICIES)
def test_no_failure_brings_an_end_forward_however_many_there_are(
    several: list[Failure], kind: str | None, rules: Policy
) -> None:
    """Also when so many stand that the oldest are summed up, granted one after the other."""
    benches, end, was_terminal = FREE, 0.0, False
    for number, failure in enumerate(several, start=1):
        if kind:
            failure = failure._replace(kind=kind, code=CODES.get(FailureKind(kind)), scope=ROW)  # noqa: PLW2901
        benches = failed(benches, failure, (1, 100 * number - 50), (1, 100 * number))
        held = standing(benches, rules)
        assert held.is_terminal >= was_terminal
        assert held.is_terminal or (held.until or 0.0) >= end
        was_terminal, end = held.is_terminal, held.until or end


@given(histories(), st.lists(failures(), max_size=3), st.integers(0, 9_000))
def test_after_a_reset_nothing_older_counts(
    happened: list[Happened], late: list[Failure], granted: int
) -> None:
    """Whatever there was, and whatever is reported later of requests from before it."""
    cleared = reset(folded(happened), (1, 9_000))
    assert cleared.strikes == ()
    then = cleared
    for number, failure in enumerate(late):
        then = failed(then, failure, (1, granted), (1, 10_000 + number))
    assert then == cleared


@given(histories(), st.integers(0, 1_000))
def test_a_success_ends_only_what_failed_before_it_started(happened: list[Happened], granted: int) -> None:
    """All of that, of the row and its account, and nothing else."""
    before = folded(happened)
    then = succeeded(before, (1, granted), LATER)
    assert then.strikes == tuple(
        strike
        for strike in before.strikes
        if strike.place >= (1, granted) or strike.failure.scope == model_scope("M1")
    )


@given(histories(), failures(), POLICIES, st.floats(0, 1, exclude_max=True))
def test_never_early(happened: list[Happened], failure: Failure, rules: Policy, chance: float) -> None:
    """Not before the end that the provider told, where it is sane, nor before the first wait of the table."""
    benches = failed(folded(happened), failure, LATER, LATER)
    held = standing(benches, rules, model="M1", chance=chance)
    rule = rules.rule(failure.kind, failure.code)
    assume(rule.wait_s and not held.is_terminal and not failure.is_filed)
    is_sane = failure.told is not None and 0 < failure.told - failure.at <= LONGEST_TOLD_S
    least = failure.told if is_sane else failure.at + rule.wait_s
    assert held.until is not None
    assert least is not None
    assert held.until >= least


@given(failures(), st.lists(st.tuples(failures(), st.integers(0, 100)), max_size=20), st.integers(1, 6))
def test_a_streak_grows_by_no_attempt_from_before_the_bench(
    kind: Failure, late: list[tuple[Failure, int]], number: int
) -> None:
    """However many there were, and after however many in a row."""
    like = kind._replace(kind=BILLING, code=402, scope=ROW, told=None, at=NOW, is_filed=False)
    benches = after(*(like._replace(at=NOW + 60 * each) for each in range(number)))
    for each, (failure, ago) in enumerate(late):
        same = failure._replace(kind=BILLING, code=402, scope=ROW)
        benches = failed(benches, same, (1, 100 * number - ago), (1, 1_000 + each))
    assert streak(benches) == number


@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(happened: list[Happened], random: Any) -> None:
    """The same facts at the same positions give the same state, up to the number that is kept one by one."""
    shuffled = list(happened)
    random.shuffle(shuffled)
    assert folded(shuffled) == folded(happened)


@given(histories())
def test_what_is_told_twice_counts_once(happened: list[Happened]) -> None:
    """A checkpoint that holds part of the journal is folded over again without harm."""
    assert folded([*happened, *happened]) == folded(happened)


@given(histories(most=20))
def test_benches_come_back_from_a_checkpoint_as_they_were(happened: list[Happened]) -> None:
    """Through JSON, whatever happened."""
    benches = folded(happened)
    assert read_benches(json.loads(json.dumps(benches_form(benches)))) == benches


def test_nothing_to_tell_takes_no_room() -> None:
    """A row without a failure has an empty form."""
    assert benches_form(FREE) == {}
    assert read_benches({}) is FREE


def test_what_a_newer_version_keeps_survives() -> None:
    """Unknown fields of the row and of a failure, and kinds with a name of tomorrow."""
    form = {
        "f": [{"k": "spun_out", "t": NOW, "@": [1, 100], "new": [1]}],
        "r": [1, 5],
        "p": {"row": [1, 2]},
        "later": {"a": 1},
    }
    benches = read_benches(form)
    assert json.loads(json.dumps(benches_form(benches))) == form
    assert standing(benches).until == NOW + 60
    again = failed(benches, a_failure(), None, (1, 200))
    assert json.loads(json.dumps(benches_form(again)))["later"] == {"a": 1}
    assert benches.reset > NEVER
