"""The cooldown algebra: from failures, successes and resets to when a row is back. Pure: no clock, no file, no dice.

No end is ever stored. What is kept is who failed when and what the provider said; `standing` derives the end
from that and the policy of the moment, so that a changed policy is obeyed by benches that are already running.
Order is decided by position in the journal, never by a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from keydeck.engine.cooldown_policy import DEFAULT_POLICY, LONGEST_WAIT_S, Policy, Rule, filed_wait
from keydeck.engine.events import NO_EXTRA, Position, Status
from keydeck.engine.failures import FailureKind, classify
from keydeck.engine.times import LONGEST_TOLD_S, jittered, sane

_CLEAN: Final = Status()
NEVER: Final[Position] = (-1, -1)
ROW: Final = "row"
ACCOUNT: Final = "account"
_MODEL: Final = "model:"
_OF_ALL_MODELS: Final = frozenset({ROW, ACCOUNT})

QUIET_S: Final = 1800.0
"""Two failures further apart than this, and than twice the first one's wait, are not in a row. Half an hour, so
that a throttle an hour finds the base cooldown each time, even where nobody reports success (FS-12)."""
# Of one kind and scope; and of all models, should somebody ask for a thousand.
_STRIKES_KEPT: Final = 8
_MODEL_STRIKES_KEPT: Final = 64
_WORDS_KEPT: Final = 2
_KEPT_S: Final = LONGEST_WAIT_S


def model_scope(model: str) -> str:
    """Return the scope of a bench that concerns one model only (FS-26)."""
    return _MODEL + model


def model_of(scope: str) -> str | None:
    """Return the model that a scope is about; None where it is another one."""
    return scope.removeprefix(_MODEL) if scope.startswith(_MODEL) else None


# --- what is kept ------------------------------------------------------------------------------------------


class Failure(NamedTuple):
    """One failure as it is told. Times are epoch seconds."""

    kind: str
    """A `FailureKind`, or a name that only a newer version knows."""
    at: float
    code: int | None = None
    told: float | None = None
    """The end that the provider named, sane or not."""
    scope: str = ROW
    """`ROW`, `ACCOUNT`, or what `model_scope` returns."""
    key: str | None = None
    """Fingerprint of the secret that failed."""
    is_filed: bool = False
    """Whether another program wrote it into auth.json."""


class Strike(NamedTuple):
    """A failure that nothing has ended yet."""

    failure: Failure
    granted: Position
    """Up to where the journal was known when its request was granted."""
    place: Position
    number: int = 1
    """How many in a row it stands for, once there are too many to keep."""
    words: tuple[str | None, str | None] | None = None
    """Reason and message of the answer; of the last two of a kind only."""
    extra: Mapping[str, Any] = NO_EXTRA


class Benches(NamedTuple):
    """All that keeps one row out, by position; nothing in it is an end."""

    strikes: tuple[Strike, ...] = ()
    reset: Position = NEVER
    """Failures of requests granted up to here count no more."""
    proven: Mapping[str, Position] = MappingProxyType({})
    """Scope → the latest grant of a request that went through: what failed before it is over."""
    extra: Mapping[str, Any] = NO_EXTRA
    """What a newer version keeps besides."""


FREE: Final = Benches()


def filed_failure(status: Status) -> Failure | None:
    """Return what another program wrote into the status fields of a row; None where it benches nobody.

    A bench without any time is over: hermes hands such a row out, and an endless bench helps nobody (FS-16).
    """
    if status.status == "dead":
        return Failure(FailureKind.REVOKED, status.at or 0.0, status.code, status.until, is_filed=True)
    at = status.at if status.at is not None and status.at > 0 else status.until
    if status.status != "exhausted" or at is None:
        return None
    kind = classify(status.code, status.reason, status.message, is_login=False)
    if kind is FailureKind.REVOKED:  # who wrote it does not call it dead
        kind = FailureKind.LOGIN_REFUSED
    return Failure(kind, at, status.code, status.until, is_filed=True)


# --- what happens ------------------------------------------------------------------------------------------


def failed(
    benches: Benches,
    failure: Failure,
    granted: Position | None,
    place: Position,
    words: tuple[str | None, str | None] | None = None,
) -> Benches:
    """Take a failure that stands at `place`, of a request granted at `granted` (None: just now)."""
    granted = place if granted is None else granted
    if granted <= benches.reset:
        return benches
    if benches.proven and place < benches.proven.get(_proof(failure.scope), NEVER):
        return benches
    if not benches.strikes:
        strike = Strike(failure, granted, place, 1, words)
        return Benches((strike,), benches.reset, benches.proven, benches.extra)
    if any(strike.place == place and strike.failure == failure for strike in benches.strikes):
        return benches
    strikes = [*benches.strikes, Strike(failure, granted, place, words=words)]
    if place <= benches.strikes[-1].place:  # told in another order than it stands
        strikes.sort(key=_order)
    strikes = _terse(strikes, failure)
    if len(strikes) <= _STRIKES_KEPT:
        return benches._replace(strikes=tuple(strikes))
    return benches._replace(strikes=_bounded(strikes, failure))


def succeeded(
    benches: Benches, granted: Position | None, place: Position, model: str | None = None
) -> Benches:
    """Take a success: it ends what failed before its request was granted, of other models nothing."""
    granted = place if granted is None else granted
    scopes = {ROW} if model is None else {ROW, model_scope(model)}
    proven = {scope: max(benches.proven.get(scope, NEVER), granted) for scope in scopes}
    left = (
        strike
        for strike in benches.strikes
        if strike.place >= granted or _proof(strike.failure.scope) not in scopes
    )
    return benches._replace(strikes=tuple(left), proven=MappingProxyType({**benches.proven, **proven}))


def reset(benches: Benches, place: Position) -> Benches:
    """Take the operator's reset: everything older is over, also what is reported later."""
    mark = max(benches.reset, place)
    left = tuple(strike for strike in benches.strikes if strike.granted > mark)
    return benches._replace(strikes=left, reset=mark)


def new_secret(benches: Benches, key: str | None) -> Benches:
    """Return what is left for a row that now holds the secret with this fingerprint (FS-06)."""
    for strike in benches.strikes:
        if strike.failure.key not in (None, key):
            break
    else:
        return benches  # as nearly always
    left = tuple(strike for strike in benches.strikes if strike.failure.key in (None, key))
    return benches._replace(strikes=left)


def aged(benches: Benches, now: float) -> Benches:
    """Forget what no policy could bench for any more; a refusal that time does not heal stays."""
    left = tuple(
        strike
        for strike in benches.strikes
        if strike.failure.kind in _UNHEALED or now - strike.failure.at < _KEPT_S
    )
    return benches if len(left) == len(benches.strikes) else benches._replace(strikes=left)


_UNHEALED: Final = frozenset({FailureKind.KEY_REFUSED, FailureKind.LOGIN_REFUSED, FailureKind.REVOKED})


def _proof(scope: str) -> str:
    """Return the scope whose successes end failures of this one: who is served, his account is not out."""
    return ROW if scope == ACCOUNT else scope


def _order(strike: Strike) -> tuple[Any, ...]:
    failure = strike.failure
    return strike.place, strike.granted, failure.scope, failure.kind, failure.at, failure.told or 0.0


def _terse(strikes: list[Strike], newest: Failure) -> list[Strike]:
    """Keep of a kind what was said last: providers repeat themselves, at length."""
    if sum(each.words is not None for each in strikes) <= _WORDS_KEPT:
        return strikes
    alike = [
        place
        for place, each in enumerate(strikes)
        if each.failure.scope == newest.scope and each.failure.kind == newest.kind
    ]
    for place in alike[:-_WORDS_KEPT]:
        if strikes[place].words:
            strikes[place] = strikes[place]._replace(words=None)
    return strikes


def _bounded(strikes: list[Strike], newest: Failure) -> tuple[Strike, ...]:
    """Sum the two oldest of a kind up in one, once there are more than are kept; no end gets earlier by it."""
    lane = [each for each in strikes if _lane(each.failure) == _lane(newest)]
    if len(lane) <= _STRIKES_KEPT:
        of_models = [each for each in strikes if each.failure.scope.startswith(_MODEL)]
        dropped = of_models[0] if len(of_models) > _MODEL_STRIKES_KEPT else None
        return tuple(each for each in strikes if each is not dropped)
    first = next((each for each in lane if _twin(each, lane)), lane[0])
    second = _twin(first, lane) or lane[1]
    return tuple(_summed(first, second) if each is second else each for each in strikes if each is not first)


def _lane(failure: Failure) -> tuple[object, ...]:
    return failure.scope, failure.kind, failure.is_filed, _is_followed(failure)


def _is_followed(failure: Failure) -> bool:
    """Tell whether the end that was named is the one that counts."""
    if failure.is_filed:
        return failure.told is not None and failure.told - failure.at <= LONGEST_TOLD_S
    return sane(failure.told, failure.at) is not None


def _twin(strike: Strike, lane: list[Strike]) -> Strike | None:
    """Return the next one that is judged by the same rule and of the same secret."""
    mine = strike.failure.code, strike.failure.key
    later = lane[lane.index(strike) + 1 :]
    return next((each for each in later if (each.failure.code, each.failure.key) == mine), None)


def _summed(first: Strike, second: Strike) -> Strike:
    one, other = first.failure, second.failure
    is_next = second.granted > first.place
    return second._replace(
        failure=other._replace(
            at=max(one.at, other.at),
            told=max((told for told in (one.told, other.told) if told is not None), default=None),
        ),
        number=first.number + second.number if is_next else max(first.number, second.number),
        extra={**first.extra, **second.extra},
    )


# --- what follows ------------------------------------------------------------------------------------------


class Evidence(StrEnum):
    """Whose word an end is."""

    PROVIDER = "provider"
    """The provider named it."""
    TABLE = "table"
    """The defaults say so."""
    FILE = "file"
    """Another program wrote the failure into auth.json."""
    OPERATOR = "operator"
    """config.yaml says so, see `Rule.line`; or the operator paused the row."""


class Standing(NamedTuple):
    """How a row stands, whatever the time is: whoever asks compares `until` with his clock."""

    until: float | None = None
    """When the last of its benches ends, in epoch seconds; None: it has none, or waiting does not help."""
    is_terminal: bool = False
    """Whether only the operator helps: it needs a login or another key."""
    evidence: Evidence | None = None
    strike: Strike | None = None
    """The failure that decides."""
    streak: int = 0
    """The how manieth in a row it was."""
    rule: Rule | None = None


CLEAR: Final = Standing()


def status_of(held: Standing) -> Status:
    """Return the six status fields that tell hermes the same; it would guess at an end that is not written.

    What another program wrote and we go by stays as it was.
    """
    strike = held.strike
    if strike is None:
        return _CLEAN
    failure = strike.failure
    reason, message = strike.words or (None, None)
    at = None if failure.is_filed and failure.at in (failure.told, 0.0) else failure.at
    is_theirs = failure.is_filed and failure.told is None and not (held.rule and held.rule.line)
    until = failure.told if held.is_terminal or is_theirs else held.until
    return Status("dead" if held.is_terminal else "exhausted", at, failure.code, reason, message, until)


def standing(
    benches: Benches,
    policy: Policy = DEFAULT_POLICY,
    provider: str = "",
    row_id: str = "",
    *,
    is_sole: bool = False,
    model: str | None = None,
    chance: float = 0.0,
) -> Standing:
    """Return how a row stands for a request with `model`: of all that is against it the latest end.

    Args:
        benches: what is known of the row.
        policy: the rules of the moment.
        provider: the canonical id of its pool.
        row_id: the row.
        is_sole: whether no other row of the pool could ever serve.
        model: which model the request asks for; benches of other models do not count, with None none does.
        chance: a random number in [0, 1) that makes waits a little longer; the same for one row and bench.
    """
    if not benches.strikes:
        return CLEAR
    judged = _judged(benches, policy, provider, row_id, model)
    if len(judged) == 1:
        return _alone(judged[0], is_sole=is_sole, chance=chance) or CLEAR
    against = [held for each in judged if (held := _alone(each, is_sole=is_sole, chance=chance))]
    return max(against, key=_weight, default=CLEAR)


def streak(
    benches: Benches,
    policy: Policy = DEFAULT_POLICY,
    provider: str = "",
    row_id: str = "",
    *,
    model: str | None = None,
    now: float | None = None,
) -> int:
    """Return how many failures in a row there were, of the kind that failed most; those that bench only.

    Args:
        benches: what is known of the row.
        policy: the rules of the moment.
        provider: the canonical id of its pool.
        row_id: the row.
        model: as in `standing`.
        now: when given, a streak after which it has been quiet is over.
    """
    counts = (
        each.streak
        for each in _judged(benches, policy, provider, row_id, model)
        if each.rule.wait_s and (now is None or not _is_quiet(each, now))
    )
    return max(counts, default=0)


def models_out(benches: Benches) -> tuple[str, ...]:
    """Return the models with a failure of their own that nothing has ended, each once, in order."""
    models = set()
    for strike in benches.strikes:
        if (scope := strike.failure.scope) not in _OF_ALL_MODELS and (model := model_of(scope)):
            models.add(model)
    return tuple(sorted(models)) if models else ()


def is_limit_of(held: Standing, model: str) -> bool:
    """Tell whether what decides concerns this model only."""
    return held.strike is not None and held.strike.failure.scope == model_scope(model)


class _Judged(NamedTuple):
    """A strike, the rule for it, and the how manieth in a row it is."""

    strike: Strike
    rule: Rule
    streak: int


def _judged(benches: Benches, policy: Policy, provider: str, row_id: str, model: str | None) -> list[_Judged]:
    scopes = _OF_ALL_MODELS if model is None else {ROW, ACCOUNT, model_scope(model)}
    judged: list[_Judged] = []
    lanes: dict[tuple[str, str], list[tuple[Strike, Rule]]] = {}
    for strike in benches.strikes:
        failure = strike.failure
        if failure.scope not in scopes:
            continue
        rule = policy.rule(failure.kind, failure.code, provider, row_id)
        if failure.is_filed:  # who wrote it never tells of a success: nobody knows of a row of them
            judged.append(_Judged(strike, rule, 1))
        elif len(benches.strikes) == 1:  # as most often: nothing to count
            judged.append(_Judged(strike, rule, strike.number))
        else:
            lanes.setdefault((failure.scope, failure.kind), []).append((strike, rule))
    for lane in lanes.values():
        judged += _counted(lane)
    return judged


def _counted(lane: Iterable[tuple[Strike, Rule]]) -> Iterator[_Judged]:
    """Count failures of one kind: each is in a row with the one before if it was granted after that failed."""
    last: _Judged | None = None
    count = 0
    for strike, rule in lane:
        if last is not None and strike.granted <= last.strike.place:
            count += strike.number - 1  # one more of the same
            yield _Judged(strike, rule, count)
            continue
        if last is not None and _is_quiet(last, strike.failure.at):
            count = 0
        count += strike.number
        last = _Judged(strike, rule, count)
        yield last


def _is_quiet(last: _Judged, now: float) -> bool:
    """Tell whether what fails now starts afresh. Where time does not heal, no silence does."""
    if last.rule.terminal_after:
        return False
    at, told = last.strike.failure.at, sane(last.strike.failure.told, last.strike.failure.at)
    wait = last.rule.wait(last.streak) if told is None else told - at
    return now - at >= max(QUIET_S, 2 * wait)


def _alone(judged: _Judged, *, is_sole: bool, chance: float) -> Standing | None:
    """Return how a row would stand if this failure were all that is against it; None where it benches nobody."""
    strike, rule, count = judged
    failure = strike.failure
    if failure.is_filed and not rule.line:
        end = _filed_end(failure)
        return Standing(end, end is None, Evidence.FILE, strike, count, rule)
    if not rule.wait_s:
        return None
    at, told = failure.at, sane(failure.told, failure.at)
    evidence = _evidence(failure, rule, is_told=told is not None)
    until, is_terminal = None, 0 < rule.terminal_after <= count
    if not is_terminal:
        wait = rule.wait(count, is_sole=is_sole) if told is None else told - at
        until = max(told or 0.0, at + jittered(wait, chance))  # the sum alone may round down
    return Standing(until, is_terminal, evidence, strike, count, rule)


def _filed_end(failure: Failure) -> float | None:
    """Keep another program's rule for how long: both call the same rows usable (hermes-pool 5.1). None: for good."""
    if failure.kind == FailureKind.REVOKED:
        return None
    if failure.told is not None and _is_followed(failure):
        return failure.told
    # Nothing was named, or a date so far ahead that it concerns the bill (FS-29).
    return failure.at + filed_wait(failure.code)


def _weight(held: Standing) -> tuple[bool, float, Position]:
    """Return what makes one failure decide among several: the latest end, and of equals the last failure."""
    return held.is_terminal, held.until or 0.0, held.strike.place if held.strike else NEVER


def _evidence(failure: Failure, rule: Rule, *, is_told: bool) -> Evidence:
    if failure.is_filed:
        return Evidence.FILE
    if is_told:
        return Evidence.PROVIDER
    return Evidence.OPERATOR if rule.line else Evidence.TABLE
