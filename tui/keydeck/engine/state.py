"""From a row and a moment to its state. Pure: the only module that knows how long a bench lasts.

The rules are hermes' own (hermes-pool 5.1, 5.4), so that both programs call the same rows usable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from keydeck.engine.credential import BadRow, Credential, Row
from keydeck.engine.events import Status
from keydeck.engine.tokens import token_expires_at

# hermes-pool 5.1.
_WAIT_S: Final = {401: 300.0, 429: 3600.0}
_WAIT_OTHERWISE_S: Final = 3600.0
_TERMINAL_REASONS: Final = frozenset(
    {
        *("token_invalidated", "token_revoked", "invalid_token"),
        *("invalid_grant", "unauthorized_client", "refresh_token_reused"),
    },
)
_UNAUTHORIZED: Final = 401
# hermes refuses a nous token with less than this left (hermes-pool 5.1).
_NOUS_MARGIN_S: Final = 120.0


class HealthKind(StrEnum):
    """What a row can be (design 4). `PROBING` counts as ready."""

    READY = "ready"
    PROBING = "probing"
    COOLING = "cooling"
    NEEDS_LOGIN = "needs_login"
    PAUSED = "paused"
    NO_SECRET = "no_secret"  # noqa: S105 - a state
    BAD_ROW = "bad_row"


@dataclass(frozen=True, slots=True)
class Health:
    """A row's state at one moment. Times are epoch seconds."""

    kind: HealthKind
    since: float | None = None
    until: float | None = None
    """When the bench ends, or a pause that does; set only while cooling or paused."""
    why: str | None = None
    """What keeps the row out, in the operator's words, where a code alone does not say it."""

    @property
    def is_usable(self) -> bool:
        """Whether a request may go to this row now."""
        return self.kind in (HealthKind.READY, HealthKind.PROBING)


READY: Final = Health(HealthKind.READY)


@dataclass(frozen=True, slots=True)
class RowState:
    """A row, its state, and when its token ends."""

    row: Row
    health: Health
    token_expires_at: float | None = None

    @property
    def id(self) -> str:
        """The row's id."""
        return self.row.id


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool at one moment, rows in the order they would be tried."""

    provider: str
    rows: tuple[RowState, ...] = field(default=())

    @property
    def usable(self) -> tuple[RowState, ...]:
        """Rows a request may go to now."""
        return tuple(row for row in self.rows if row.health.is_usable)

    @property
    def next_ready_at(self) -> float | None:
        """When the next row is back that cools or is paused for a time; None if there is none."""
        ends = [end for state in self.rows if (end := free_at(state)) is not None]
        return min(ends, default=None)

    def count(self, kind: HealthKind) -> int:
        """How many rows are in this state."""
        return sum(state.health.kind is kind for state in self.rows)


def cooldown_s(code: int | None) -> float:
    """Return how long a bench for this HTTP status lasts, in seconds, when the provider named no end."""
    return _WAIT_S.get(code or 0, _WAIT_OTHERWISE_S)


def is_terminal(code: int | None, reason: str | None) -> bool:
    """Tell whether this failure means that waiting will not help (hermes-pool 5.6)."""
    return code == _UNAUTHORIZED and (reason or "").strip().lower() in _TERMINAL_REASONS


def cooldown_end(row: Credential) -> float | None:
    """Return when the bench ends, in epoch seconds; None when the file names neither an end nor a start.

    A bench without any time is over: hermes hands such a row out, and an endless bench helps nobody (FS-16).
    """
    return _end(row.last_error_reset_at, row.last_status_at, row.last_error_code)


def end_of(status: Status) -> float | None:
    """Return when a bench of this status ends, by the same rule."""
    return _end(status.until, status.at, status.code)


def _end(told: float | None, since: float | None, code: int | None) -> float | None:
    if told is not None:
        return told
    return None if since is None else since + cooldown_s(code)


def row_state(row: Row, now: float) -> RowState:
    """Return the state of one row at `now` (epoch seconds)."""
    if isinstance(row, BadRow):
        return RowState(row, Health(HealthKind.BAD_ROW, why=row.reason))
    ends = token_expires_at(row)
    return RowState(row, _health(row, now, ends), ends)


def free_at(state: RowState) -> float | None:
    """Return when the clock alone lets a row that is out work again; None for never, or where it is not out."""
    end, row = state.health.until, state.row
    if end is None or state.health.kind is not HealthKind.PAUSED:
        return end
    after = row_state(row, end).health  # what the pause hides may last longer
    return end if after.is_usable else after.until


def changes_at(state: RowState) -> float | None:
    """Return when the clock alone gives a row another state; None for never."""
    if state.health.until is not None:
        return state.health.until
    if not state.health.is_usable or state.token_expires_at is None:
        return None
    return state.token_expires_at - _margin_s(state.row.provider)


def pool_state(provider: str, rows: Sequence[Row], now: float) -> PoolState:
    """Return the state of a pool at `now`; `rows` come in pick order."""
    return PoolState(provider, tuple(row_state(row, now) for row in rows))


def _health(row: Credential, now: float, token_ends: float | None) -> Health:
    if row.paused is not None and now < row.paused:
        until = row.paused if math.isfinite(row.paused) else None
        return Health(HealthKind.PAUSED, since=row.paused_at, until=until)
    if row.last_status == "dead":
        why = "the provider rejected it"
        return Health(HealthKind.NEEDS_LOGIN, since=row.last_status_at, why=why)
    if not row.live_secret:
        return Health(HealthKind.NO_SECRET, why=_why_no_secret(row))
    if row.last_status == "exhausted":
        end = cooldown_end(row)
        if end is not None and now < end:
            return Health(HealthKind.COOLING, since=row.last_status_at, until=end)
    if token_ends is not None and token_ends - _margin_s(row.provider) <= now:
        return _ended(row, token_ends)
    return READY


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
