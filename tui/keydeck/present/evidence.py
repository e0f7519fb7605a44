"""What is known of how a key stands, in words: whose word an end is, how often it failed, what it is out for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from keydeck.engine.cooldown import ACCOUNT, Evidence, Standing
from keydeck.engine.cooldown_policy import Rule
from keydeck.engine.forecast import Step
from keydeck.engine.state import Health, HealthKind, RowState
from keydeck.present.text import clock_time, duration

_TEENS: Final = (11, 12, 13)
_ENDINGS: Final = {1: "st", 2: "nd", 3: "rd"}
# An end may be so much later than its rule says: waits are made a little longer at random.
_JITTER: Final = 0.9
# What is to be doubled and doubled again is easier to count in seconds.
_IN_SECONDS: Final = 90.0


def ordinal(number: int) -> str:
    """Return a number as a place in a row: 1st, 2nd, 3rd, 4th."""
    ending = "th" if number % 100 in _TEENS else _ENDINGS.get(number % 10, "th")
    return f"{number}{ending}"


def streak_text(streak: int) -> str:
    """Return the how manieth failure in a row it was; nothing for the first one."""
    return f"{ordinal(streak)} in a row" if streak > 1 else ""


def scope_text(scope: str | None) -> str:
    """Return what a failure concerns, where that is more than its row."""
    return "the whole account" if scope == ACCOUNT else ""


def in_flight(state: RowState, now: float) -> int:
    """Return how many requests are known to be under way: those that hold a lease, or the one that tries the row."""
    return max(state.in_flight(now), int(state.health.is_tried))


def flight_text(count: int) -> str:
    """Return how much work is in flight; nothing for none."""
    return f"{count} in flight" if count else ""


def forecast_text(steps: Sequence[Step], now: float) -> str:
    """Return how long the number of ready rows stays as it is: ``until 14:05:00, then 2``. Nothing for ever."""
    return f"until {clock_time(steps[0].at, now)}, then {steps[0].ready}" if steps else ""


def whose_word(health: Health) -> str:
    """Return whose word a bench is, in a few words; nothing where there is none."""
    match health.evidence:
        case Evidence.PROVIDER:
            return "the provider said so"
        case Evidence.TABLE:
            return f"the table: {_wait(health.standing)}"
        case Evidence.OPERATOR if health.standing.rule is not None:
            return f"config.yaml line {health.standing.rule.line}: {_wait(health.standing)}"
        case Evidence.FILE:
            return "found in the file (hermes)"
    return ""


def evidence_text(health: Health, now: float) -> str:
    """Return all there is to say of whose word a state is."""
    if health.kind is HealthKind.PAUSED:
        return "the operator said so"
    said = whose_word(health)
    if health.evidence is Evidence.PROVIDER and health.until is not None:
        said = f"the provider said until {clock_time(health.told or health.until, now)}"
    if health.evidence is Evidence.FILE and health.until is not None and health.told is None:
        said += f", without an end: {health.code or 'a failure'} rests {duration(_lasts(health.standing))}"
    return said + _other_date(health, now)


def _other_date(health: Health, now: float) -> str:
    """Return the date that the provider named, where it is not followed."""
    told = health.told
    if told is None or health.evidence is Evidence.PROVIDER or told == health.until:
        return ""
    return f"; the provider said {clock_time(told, now)}, which is not followed"


def _wait(standing: Standing) -> str:
    """Return how a rule comes to its wait: ``60s x 2^3``, and what caps it."""
    rule = standing.rule
    if rule is None:
        return "no rule"
    if standing.is_terminal:
        after = f" after {rule.terminal_after} in a row" if rule.terminal_after > 1 else ""
        return f"waiting does not help{after}"
    said, grown = _first_wait(rule.wait_s), rule.wait_s
    if rule.grows != 1 and standing.streak > 1:
        said += f" x {rule.grows:g}^{standing.streak - 1}"
        grown = rule.wait_s * rule.grows ** min(standing.streak - 1, 64)
    return said + _cap(rule, grown, _lasts(standing))


def _first_wait(seconds: float) -> str:
    return f"{seconds:.0f}s" if seconds <= _IN_SECONDS else duration(seconds)


def _cap(rule: Rule, grown: float, lasts: float) -> str:
    if lasts < min(grown, rule.cap_s) * _JITTER:
        return f", at most {duration(rule.sole_cap_s)} for the only key"
    return f", at most {duration(rule.cap_s)}" if grown > rule.cap_s else ""


def _lasts(standing: Standing) -> float:
    """Return how long a bench is in seconds, from its failure to its end."""
    if standing.strike is None or standing.until is None:
        return 0.0
    return standing.until - standing.strike.failure.at
