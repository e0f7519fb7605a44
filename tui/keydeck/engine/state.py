"""The judge: from a row and a moment to its state. Pure; how long a bench lasts is told by `cooldown`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from keydeck.engine.claims import PROBE_S, in_flight
from keydeck.engine.cooldown import (
    CLEAR,
    FREE,
    Benches,
    Evidence,
    Standing,
    failed,
    filed_failure,
    standing,
)
from keydeck.engine.cooldown_policy import DEFAULT_POLICY, Policy
from keydeck.engine.credential import STATUS_FIELDS, Credential, Row, VanishedRow
from keydeck.engine.events import START, Status
from keydeck.engine.tokens import token_expires_at

# hermes refuses a nous token with less than this left (hermes-pool 5.1).
_NOUS_MARGIN_S: Final = 120.0
_OUT: Final = ("exhausted", "dead")


class HealthKind(StrEnum):
    """What a row can be (design 4). `PROBING` counts as ready."""

    READY = "ready"
    PROBING = "probing"
    COOLING = "cooling"
    NEEDS_LOGIN = "needs_login"
    PAUSED = "paused"
    NO_SECRET = "no_secret"  # noqa: S105 - a state
    BAD_ROW = "bad_row"


class Health(NamedTuple):
    """A row's state at one moment. Times are epoch seconds."""

    kind: HealthKind
    since: float | None = None
    until: float | None = None
    """When the bench ends, the pause, or the probing; None where time alone brings nothing back."""
    why: str | None = None
    """What keeps the row out, in the operator's words, where a code alone does not say it."""
    is_tried: bool = False
    """Whether a request is under way that tries the row; another one has to wait for its answer."""
    standing: Standing = CLEAR
    """The failure that decides, set while cooling and where a login is needed because of one."""

    @property
    def is_usable(self) -> bool:
        """Whether a request may go to this row now."""
        return self.kind is HealthKind.READY or (self.kind is HealthKind.PROBING and not self.is_tried)

    @property
    def evidence(self) -> Evidence | None:
        """Whose word the state is."""
        return Evidence.OPERATOR if self.kind is HealthKind.PAUSED else self.standing.evidence

    @property
    def streak(self) -> int:
        """The how manieth failure in a row it was."""
        return self.standing.streak

    @property
    def code(self) -> int | None:
        """The HTTP status of the failure that decides."""
        return self.standing.strike.failure.code if self.standing.strike else None

    @property
    def cause(self) -> str | None:
        """The kind of the failure that decides: a `FailureKind`, or a name that only a newer version knows."""
        return self.standing.strike.failure.kind if self.standing.strike else None

    @property
    def scope(self) -> str | None:
        """What the failure concerns: `cooldown.ROW` or `cooldown.ACCOUNT`."""
        return self.standing.strike.failure.scope if self.standing.strike else None

    @property
    def told(self) -> float | None:
        """The end that the provider named, whether we follow it or not."""
        return self.standing.strike.failure.told if self.standing.strike else None


READY: Final = Health(HealthKind.READY)


class RowState(NamedTuple):
    """A row, its state, and when its token ends."""

    row: Row
    health: Health
    token_expires_at: float | None = None

    @property
    def id(self) -> str:
        """The row's id."""
        return self.row.id

    def in_flight(self, now: float) -> int:
        """Return how many leases of this row count at `now` (epoch seconds)."""
        return in_flight(self.row.leases, now) if isinstance(self.row, Credential) else 0

    def limits(self, now: float) -> dict[str, Standing]:
        """Return the models with which no request may go to this row now, usable as it is for others."""
        if not isinstance(self.row, Credential) or not self.row.limits:
            return {}
        return {model: held for model, held in self.row.limits.items() if is_out(held, now)}


def is_out(held: Standing, now: float) -> bool:
    """Tell whether what is held against a row keeps it out at `now` (epoch seconds)."""
    return held.is_terminal or (held.until is not None and now < held.until)


class PoolState(NamedTuple):
    """A pool at one moment, rows in the order they would be tried."""

    provider: str
    rows: tuple[RowState, ...] = ()

    @property
    def usable(self) -> tuple[RowState, ...]:
        """Rows a request may go to now."""
        return tuple(row for row in self.rows if row.health.is_usable)

    @property
    def next_ready_at(self) -> float | None:
        """When the next row is back that cools or is paused for a time; None if there is none."""
        ends = [end for state in self.rows if (end := free_at(state)) is not None]
        return min(ends, default=None)

    def how_many(self, kind: HealthKind) -> int:
        """How many rows are in this state."""
        return sum(state.health.kind is kind for state in self.rows)


def row_state(row: Row, now: float) -> RowState:
    """Return the state of one row at `now` (epoch seconds)."""
    if isinstance(row, Credential):
        ends = token_expires_at(row)
        return RowState(row, _health(row, now, ends), ends)
    if isinstance(row, VanishedRow):
        return RowState(row, Health(HealthKind.NEEDS_LOGIN, since=row.status.at, why=row.reason))
    return RowState(row, Health(HealthKind.BAD_ROW, why=row.reason))


def is_plainly_ready(row: Credential) -> bool:
    """Tell at a glance that a row is ready, stays so, and is in nobody's hands: so are nearly all of a large pool."""
    return bool(
        row.access_token
        and row.auth_type == "api_key"
        and row.standing is None
        and row.last_status is None
        and row.paused is None
        and not row.limits
        and not row.leases
        and row.provider != "nous"
    )


def free_at(state: RowState) -> float | None:
    """Return when the clock alone lets a row that is out work again; None for never, or where it is not out.

    A token of which hermes gets a new one by then is taken for renewed.
    """
    end = None if state.health.is_usable else state.health.until
    while end is not None:
        after = row_state(state.row, end)  # a pause hides a bench, and a bench a token that ends meanwhile
        if after.health.is_usable or awaits_renewal(after):
            return end
        later = after.health.until
        end = later if later is not None and later > end else None
    return None


def awaits_renewal(state: RowState) -> bool:
    """Tell whether all that is wrong with a login is a token that its refresh token renews."""
    row = state.row
    return state.health.kind is HealthKind.NO_SECRET and isinstance(row, Credential) and bool(row.live_secret)


def changes_at(state: RowState) -> float | None:
    """Return when the clock alone gives a row another state; None for never."""
    until, token_ends = state.health.until, state.token_expires_at
    if state.health.kind not in (HealthKind.READY, HealthKind.PROBING) or token_ends is None:
        return until
    ends = token_ends - _margin_s(state.row.provider)
    return ends if until is None else min(until, ends)


def pool_state(provider: str, rows: Sequence[Row], now: float) -> PoolState:
    """Return the state of a pool at `now`; `rows` come in pick order."""
    return PoolState(provider, tuple(row_state(row, now) for row in rows))


def standing_of(row: Credential) -> Standing:
    """Return how a row stands by what is known of it, or else by its own status fields."""
    if row.standing is not None:
        return row.standing
    if row.last_status not in _OUT:
        return CLEAR
    return filed_standing(Status(*(getattr(row, name) for name in STATUS_FIELDS)))


def filed_standing(
    status: Status, policy: Policy = DEFAULT_POLICY, provider: str = "", row_id: str = ""
) -> Standing:
    """Return how a row stands of which nothing is known but what another program wrote into it."""
    benches = _filed_benches(status)
    return standing(benches, policy, provider, row_id) if benches.strikes else CLEAR


@lru_cache(maxsize=4096)
def _filed_benches(status: Status) -> Benches:
    failure = filed_failure(status)
    words = (status.reason, status.message) if status.reason or status.message else None
    return failed(FREE, failure, START, START, words) if failure else FREE


def end_of(status: Status) -> float | None:
    """Return when what is written into a row is over, in epoch seconds; None for never, or where it is nothing."""
    if status.status == "dead" or status.until is not None:
        return None if status.status == "dead" else status.until
    return filed_standing(status).until


def bench_end(row: Credential) -> float | None:
    """Return when the row's last bench ends or ended, in epoch seconds; None where it has none, or no end."""
    return standing_of(row).until


def _health(row: Credential, now: float, token_ends: float | None) -> Health:
    # What the operator said comes first: a row that he took out does not ask him for a login.
    if row.paused is not None and now < row.paused:
        until = row.paused if math.isfinite(row.paused) else None
        return Health(HealthKind.PAUSED, since=row.paused_at, until=until)
    held = standing_of(row)
    if held.is_terminal:
        since, why = _since(row, held), "the provider rejected it"
        return Health(HealthKind.NEEDS_LOGIN, since=since, why=why, standing=held)
    if row.live_secret is None:
        return Health(HealthKind.NO_SECRET, why=_why_no_secret(row))
    if held.until is not None and now < held.until:
        return Health(HealthKind.COOLING, _since(row, held), held.until, standing=held)
    if token_ends is not None and token_ends - _margin_s(row.provider) <= now:
        return _ended(row, token_ends)
    return READY if held.until is None else _probing(row, held, held.until, now)


def _probing(row: Credential, held: Standing, ended: float, now: float) -> Health:
    """Return the state of a row whose cooldown has ended: it is tried, until silence counts as a success."""
    tried = row.probe if row.probe and row.probe.is_live(now) else None
    end = max(ended, tried.at if tried else ended) + PROBE_S
    if now >= end:
        return READY
    return Health(HealthKind.PROBING, since=ended, until=end, is_tried=tried is not None, standing=held)


def _since(row: Credential, held: Standing) -> float | None:
    """Return when the failure was that decides; another program may not have written it down."""
    failure = held.strike.failure if held.strike else None
    return row.last_status_at if failure is None or failure.is_filed else failure.at


def _margin_s(provider: str) -> float:
    return _NOUS_MARGIN_S if provider == "nous" else 0.0


def _ended(row: Credential, token_ends: float) -> Health:
    if row.refresh_token or row.provider == "nous":
        return Health(HealthKind.NO_SECRET, since=token_ends, why="token ended, hermes renews it")
    return Health(HealthKind.NEEDS_LOGIN, since=token_ends, why="token ended and there is no refresh token")


def _why_no_secret(row: Credential) -> str:
    if row.unset:
        return row.unset
    if row.provider == "nous" and (row.access_token or row.agent_key):
        return "not an inference token"
    return "the row holds no key"
