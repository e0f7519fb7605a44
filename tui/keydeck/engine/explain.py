"""Why each row of a pool would be taken by the next request, or not. Pure; nothing is counted and nothing moves.

Which row is taken is worked out by the very code that `CredentialPool.select` picks with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keydeck.engine.cooldown import Evidence, Standing
from keydeck.engine.credential import Credential, VanishedRow
from keydeck.engine.explanation import Bench, Explanation, Outcome, Reason, RowReason
from keydeck.engine.known import groups
from keydeck.engine.ready import Ready
from keydeck.engine.remedies import remedies
from keydeck.engine.state import HealthKind, PoolState, RowState, free_at
from keydeck.engine.strategies import picker, row_of_session

_OUT: Final = {
    HealthKind.PROBING: Reason.PROBING,
    HealthKind.COOLING: Reason.COOLING,
    HealthKind.PAUSED: Reason.PAUSED,
    HealthKind.NEEDS_LOGIN: Reason.NEEDS_LOGIN,
    HealthKind.NO_SECRET: Reason.NO_SECRET,
    HealthKind.BAD_ROW: Reason.BAD_ROW,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that asks for a row, and what whoever asks knows of earlier ones."""

    strategy: str
    """The one that is followed."""
    session: str | None = None
    model: str | None = None
    last: str | None = None
    """The row that was picked last; by anybody, where the asker has picked none."""
    kept: str | None = None
    """The row that the session has."""
    is_lease: bool = False
    """Whether the row is wanted for work in flight, so that who has the fewest leases comes first."""
    at_most: int | None = None
    """How many leases a row may have; None: any number."""
    own_probe: str | None = None
    """The row that the asker himself tries again after its cooldown: he goes on with it where there is no other."""


def explain(state: PoolState, asked: Asked, now: float, ready: Ready | None = None) -> Explanation:
    """Return what a request would get at `now` (epoch seconds), and why.

    Args:
        state: the pool's rows in the order of trial, as they stand at `now`.
        asked: the request.
        now: the moment.
        ready: the same rows with the counts of the moment; those that `state` names when omitted.
    """
    return _Trial(state, asked, now, ready or _ready(state)).answer()


def _ready(state: PoolState) -> Ready:
    rows = [each.row for each in state.rows if isinstance(each.row, Credential)]
    return Ready(rows, groups(rows))


class _Trial:
    """Goes through the rows of one pool for one request."""

    def __init__(self, state: PoolState, asked: Asked, now: float, ready: Ready) -> None:
        self._state, self._asked, self._now, self._ready = state, asked, now, ready
        self._loads = {each.id: each.in_flight(now) for each in state.rows}
        self._reasons = {each.id: reason for each in state.rows if (reason := self._out(each))}
        free = [each.id for each in state.rows if each.id not in self._reasons]
        self._free = self._least_busy(free) if asked.is_lease else free
        self._spot = {row_id: spot for spot, row_id in enumerate(self._free)}
        self._pick = self._picked() if self._free else self._gone_on_with()
        self._runner_up = self._next_fewest() if asked.strategy == "least_used" else None
        self._reasons |= {row_id: Reason.BUSIER for row_id in free if row_id not in self._spot}

    def answer(self) -> Explanation:
        rows = tuple(self._row(place, each) for place, each in enumerate(self._state.rows, 1))
        asked = self._asked
        return Explanation(
            provider=self._state.provider,
            strategy=asked.strategy,
            at=self._now,
            outcome=self._outcome(),
            rows=rows,
            session=asked.session,
            model=asked.model,
            at_most=asked.at_most,
        )

    def _outcome(self) -> Outcome:
        if not self._ready.rows:
            return Outcome.NOT_CONFIGURED
        if self._pick is not None:
            return Outcome.PICK
        return Outcome.CHANCE if self._free else Outcome.ALL_OUT

    # --- who is out, and who is taken ------------------------------------------------------------------

    def _out(self, found: RowState) -> Reason | None:
        health = found.health
        if isinstance(found.row, VanishedRow):
            return Reason.VANISHED
        if not health.is_usable and health.kind is not HealthKind.COOLING:
            has_ended = health.kind is HealthKind.NO_SECRET and health.since is not None
            return Reason.TOKEN_ENDED if has_ended else _OUT[health.kind]
        if self._limit(found):
            return Reason.MODEL_LIMIT
        if not health.is_usable:
            return Reason.COOLING
        most = self._asked.at_most
        is_full = self._asked.is_lease and most is not None and self._loads[found.id] >= most
        return Reason.AT_CAP if is_full else None

    def _limit(self, found: RowState) -> Standing | None:
        """Return what is against the row for the model that is asked for, and not for others."""
        return found.limits(self._now).get(self._asked.model) if self._asked.model is not None else None

    def _least_busy(self, free: list[str]) -> list[str]:
        if self._asked.session is not None and self._asked.strategy == "sticky":
            return free
        least = min((self._loads[row_id] for row_id in free), default=0)
        return [row_id for row_id in free if self._loads[row_id] == least]

    def _picked(self) -> str | None:
        """Return who of the free ones is taken; None where chance decides."""
        asked, ready = self._asked, self._ready
        if asked.strategy == "random" and len(self._free) > 1:
            return None
        if asked.strategy == "sticky" and asked.session is not None and asked.kept in self._spot:
            return asked.kept
        part = ready.among([ready.place_of[row_id] for row_id in self._free])
        if asked.strategy == "sticky" and asked.session is not None:
            return ready.rows[row_of_session(part, asked.session)].id
        last = ready.place_of.get(asked.last or "")
        return ready.rows[picker(asked.strategy)(part, last)].id

    def _next_fewest(self) -> str | None:
        """Return who would be taken if the one that is were not there."""
        return min((other for other in self._free if other != self._pick), key=self._uses, default=None)

    def _gone_on_with(self) -> str | None:
        """Return the row that the asker tries himself, and goes on with now."""
        own = self._asked.own_probe
        if own is not None:
            self._reasons[own] = Reason.OWN_PROBE
        return own

    # --- why -------------------------------------------------------------------------------------------

    def _row(self, place: int, found: RowState) -> RowReason:
        row, health = found.row, found.health
        reason = self._reasons.get(found.id) or self._among_the_free(found.id)
        bench = self._bench(found, reason)
        until, ready_at = self._ends(found, reason, bench)
        said = RowReason(
            id=found.id,
            place=place,
            reason=reason,
            is_pick=found.id == self._pick,
            is_probe=health.kind is HealthKind.PROBING,
            since=bench.since if bench else health.since,
            until=until,
            ready_at=ready_at,
            bench=bench,
            said=_said(found),
            rival=self._rival(found.id, reason),
            turns=self._turns(found.id) if reason is Reason.LATER_TURN else 0,
            uses=self._uses(found.id),
            in_flight=max(self._loads[found.id], int(health.is_tried)),
            limits=tuple((model, bench_of(held)) for model, held in sorted(found.limits(self._now).items())),
            inherited=row.inherited,
        )
        return said._replace(remedies=remedies(said, row))

    def _among_the_free(self, row_id: str) -> Reason:
        """Return why a row is taken that could be, or why another one is."""
        if len(self._free) == 1:
            return Reason.ONLY_READY
        strategy = self._asked.strategy
        if strategy == "random":
            return Reason.CHANCE
        if row_id == self._pick:
            return self._why_taken(strategy)
        if strategy == "least_used" and self._uses(row_id) == self._uses(self._pick):
            return Reason.SAME_USES
        return _PASSED.get(strategy, Reason.BEHIND)

    def _why_taken(self, strategy: str) -> Reason:
        if strategy == "sticky" and self._asked.session is None:
            return Reason.USED_LAST if self._pick == self._asked.last else Reason.FIRST
        return _TAKEN.get(strategy, Reason.FIRST)

    def _rival(self, row_id: str, reason: Reason) -> str | None:
        if reason is Reason.ITS_TURN:
            return self._asked.last if self._asked.last in self._ready.place_of else None
        if reason is Reason.LATER_TURN:
            return self._free[self._spot[row_id] - 1]
        if reason is Reason.FEWEST_USES:
            return self._runner_up
        return self._pick if reason in _BEHIND_THE_PICK else None

    def _turns(self, row_id: str) -> int:
        return (self._spot[row_id] - self._spot[self._pick or row_id]) % len(self._free)

    def _uses(self, row_id: str | None) -> int:
        place = self._ready.place_of.get(row_id or "")
        return 0 if place is None else self._ready.used(place)

    def _bench(self, found: RowState, reason: Reason) -> Bench | None:
        if reason is Reason.MODEL_LIMIT and (held := self._limit(found)):
            return bench_of(held)
        held = found.health.standing
        return bench_of(held, found.health.since) if held.strike else None

    def _ends(
        self, found: RowState, reason: Reason, bench: Bench | None
    ) -> tuple[float | None, float | None]:
        """Return when the reason ends by itself, and when the row is ready by itself."""
        if reason is Reason.MODEL_LIMIT and bench:
            return bench.until, bench.until
        if reason is Reason.AT_CAP and isinstance(found.row, Credential):
            ends = sorted(each.until for each in found.row.leases.values() if each.is_live(self._now))
            end = ends[len(ends) - (self._asked.at_most or 0)] if self._asked.at_most else None
            return end, end
        return (found.health.until, free_at(found)) if reason.is_out else (None, None)


_TAKEN: Final[Mapping[str, Reason]] = {
    "round_robin": Reason.ITS_TURN,
    "least_used": Reason.FEWEST_USES,
    "sticky": Reason.ITS_SESSION,
}
_PASSED: Final[Mapping[str, Reason]] = {
    "round_robin": Reason.LATER_TURN,
    "least_used": Reason.MORE_USES,
    "sticky": Reason.OTHER_SESSIONS,
}
_BEHIND_THE_PICK: Final = frozenset(
    {Reason.BEHIND, Reason.MORE_USES, Reason.SAME_USES, Reason.OTHER_SESSIONS, Reason.BUSIER}
)


def bench_of(held: Standing, since: float | None = None) -> Bench:
    """Return what is known of a failure that keeps a row out; `since` where the failure itself does not say."""
    failure, rule = (held.strike.failure if held.strike else None), held.rule
    if failure is None:
        return Bench(since, held.until, evidence=held.evidence, streak=held.streak)
    has_line = rule is not None and rule.line > 0 and held.evidence is not Evidence.PROVIDER
    return Bench(
        since=failure.at if since is None and not failure.is_filed else since,
        until=held.until,
        code=failure.code,
        cause=str(failure.kind),
        scope=failure.scope,
        evidence=held.evidence,
        told=failure.told,
        line=rule.line if rule and has_line else None,
        streak=held.streak,
    )


def _said(found: RowState) -> str | None:
    row, health = found.row, found.health
    if health.is_usable or not isinstance(row, Credential):
        return health.why
    told = row.last_error_message or row.last_error_reason
    return (told if health.standing.strike else None) or health.why
