"""What needs somebody, worst first: which pools cannot serve, and which keys will not heal by waiting (ux 4.6).

Pure: from a snapshot and a moment to a ranked list. Texts are written elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from keydeck.engine.credential import Credential
from keydeck.engine.secret import Secret
from keydeck.engine.snapshot import HomeSnapshot
from keydeck.engine.state import HealthKind, PoolState, RowState, awaits_renewal

TOKEN_WARNING_S: Final = 600.0
"""A token that nobody can renew is worth a line when it ends sooner than this."""
TOGETHER_S: Final = 60.0
"""Keys benched within this time of each other fell together."""


class ProblemKind(StrEnum):
    """Why somebody should look."""

    NOTHING_SERVES = "nothing_serves"
    STORE = "store"
    POOL_OUT = "pool_out"
    ALL_PAUSED = "all_paused"
    """No key of the pool is ready, and somebody wanted that."""
    TOGETHER = "together"
    BAD_POOL = "bad_pool"
    NEEDS_LOGIN = "needs_login"
    RENEWING = "renewing"
    """No key of the pool is ready, but hermes renews a token when the next request comes."""
    TOKEN_ENDS = "token_ends"  # noqa: S105 - a problem
    DUPLICATE = "duplicate"
    NO_SECRET = "no_secret"  # noqa: S105 - a problem
    BAD_ROW = "bad_row"
    CONFIG = "config"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One line of the list. Names are as in the store."""

    rank: int
    """1: nothing works; 2: somebody has to act; 3: good to know."""
    kind: ProblemKind
    provider: str = ""
    """The pool concerned; of `NOTHING_SERVES` the one that is back first. Empty where the home is meant."""
    row_id: str | None = None
    since: float | None = None
    until: float | None = None
    """When it heals or, of a token, breaks. Epoch seconds."""
    code: int | None = None
    """Of a pool: the status that all its cooling keys share."""
    other: str | None = None
    """The pool that serves meanwhile, or the one that holds the same secret."""
    other_row: str | None = None
    is_tried: bool = False
    """Whether a request tries a key of the pool just now: `until` is when the next one may, at the latest."""


def problems(
    snapshot: HomeSnapshot, now: float, *, token_warning_s: float = TOKEN_WARNING_S
) -> tuple[Problem, ...]:
    """Return what needs attention at `now` (epoch seconds), by rank, then in the store's order.

    A key is named once at most, with its highest rank.
    """
    states = {pool.provider: pool.at(now) for pool in snapshot.pools if pool.rows}
    elders = _elders(snapshot)
    found = [*_of_home(snapshot, states)]
    for provider, state in states.items():
        found += _of_pool(snapshot, state, states)
        for row in state.rows:
            problem = _of_row(provider, row, elders.get((provider, row.id)), now, token_warning_s)
            if problem is not None:
                found.append(problem)
    return tuple(sorted(found, key=lambda problem: problem.rank))


def serving_pool(snapshot: HomeSnapshot, provider: str, states: Mapping[str, PoolState]) -> str | None:
    """Return the first hop of the fallback chain, other than this pool, that can serve."""
    for hop in snapshot.fallback:
        state = states.get(hop)
        if hop != provider and state is not None and state.usable:
            return hop
    return None


# --- the home ----------------------------------------------------------------------------------------------


def _of_home(snapshot: HomeSnapshot, states: Mapping[str, PoolState]) -> Iterator[Problem]:
    if states and not any(state.usable or _renews_any(state) for state in states.values()):
        backs = [(until, name) for name, state in states.items() if (until := _back_at(state)) is not None]
        until, first = min(backs, default=(None, ""))
        is_tried = bool(first) and _is_tried(states[first])
        kind = ProblemKind.NOTHING_SERVES
        yield Problem(rank=1, kind=kind, provider=first, until=until, is_tried=is_tried)
    if snapshot.trouble is not None:
        yield Problem(rank=1, kind=ProblemKind.STORE, since=snapshot.read_at or None)
    for name in snapshot.bad_pools:
        yield Problem(rank=2, kind=ProblemKind.BAD_POOL, provider=name)
    if snapshot.config_trouble is not None:
        yield Problem(rank=3, kind=ProblemKind.CONFIG)


# --- a pool ------------------------------------------------------------------------------------------------


def _of_pool(snapshot: HomeSnapshot, state: PoolState, states: Mapping[str, PoolState]) -> Iterator[Problem]:
    if state.usable:
        return
    serves = serving_pool(snapshot, state.provider, states)
    if _renews_any(state):
        yield Problem(rank=3, kind=ProblemKind.RENEWING, provider=state.provider, other=serves)
        return
    back_at, code = _back_at(state), _shared_code(state)
    if state.how_many(HealthKind.PAUSED) == len(state.rows):
        kind = ProblemKind.ALL_PAUSED
        yield Problem(rank=2, kind=kind, provider=state.provider, until=back_at, other=serves)
        return
    yield Problem(
        rank=2,
        kind=ProblemKind.POOL_OUT,
        provider=state.provider,
        until=back_at,
        code=code,
        other=serves,
        is_tried=_is_tried(state),
    )
    if _fell_together(state):
        kind = ProblemKind.TOGETHER
        yield Problem(rank=2, kind=kind, provider=state.provider, until=back_at, code=code)


def _back_at(state: PoolState) -> float | None:
    end = state.next_ready_at
    return end if end is not None and math.isfinite(end) else None


def _is_tried(state: PoolState) -> bool:
    """Tell whether a request is under way that may bring a key back at any moment."""
    return any(row.health.is_tried for row in state.rows)


def _cooling(state: PoolState) -> list[RowState]:
    return [row for row in state.rows if row.health.kind is HealthKind.COOLING]


def _shared_code(state: PoolState) -> int | None:
    codes = {row.row.last_error_code for row in _cooling(state) if isinstance(row.row, Credential)}
    return codes.pop() if len(codes) == 1 else None


def _fell_together(state: PoolState) -> bool:
    """Tell whether all keys that waiting would bring back were benched at one time, and are more than one."""
    times = [row.health.since for row in _cooling(state)]
    known = [time for time in times if time is not None and math.isfinite(time)]
    return len(known) == len(times) > 1 and max(known) - min(known) <= TOGETHER_S


# --- a key -------------------------------------------------------------------------------------------------


def _of_row(
    provider: str, state: RowState, elder: tuple[str, str] | None, now: float, warning_s: float
) -> Problem | None:
    health, row = state.health, state.row
    if health.kind is HealthKind.NEEDS_LOGIN:
        return Problem(
            rank=2, kind=ProblemKind.NEEDS_LOGIN, provider=provider, row_id=row.id, since=health.since
        )
    if _token_ends(state, now, warning_s):
        return _minor(ProblemKind.TOKEN_ENDS, provider, row.id, until=state.token_expires_at)
    if elder is not None:
        return _minor(ProblemKind.DUPLICATE, provider, row.id, other=elder[0], other_row=elder[1])
    if health.kind is HealthKind.NO_SECRET and not awaits_renewal(state):
        return _minor(ProblemKind.NO_SECRET, provider, row.id)
    if health.kind is HealthKind.BAD_ROW:
        return _minor(ProblemKind.BAD_ROW, provider, row.id)
    return None


def _minor(
    kind: ProblemKind,
    provider: str,
    row_id: str,
    *,
    until: float | None = None,
    other: str | None = None,
    other_row: str | None = None,
) -> Problem:
    return Problem(
        rank=3, kind=kind, provider=provider, row_id=row_id, until=until, other=other, other_row=other_row
    )


def _token_ends(state: RowState, now: float, warning_s: float) -> bool:
    ends = state.token_expires_at
    if ends is None or not state.health.is_usable or not isinstance(state.row, Credential):
        return False
    return not state.row.refresh_token and ends - now <= warning_s


def _renews_any(state: PoolState) -> bool:
    return any(awaits_renewal(row) for row in state.rows)


def _elders(snapshot: HomeSnapshot) -> dict[tuple[str, str], tuple[str, str]]:
    """Return (provider, id) → (provider, id) of an earlier row with the same secret, in any pool."""
    first: dict[Secret, Credential] = {}
    found = {}
    for pool in snapshot.pools:
        for row in pool.rows:
            if not isinstance(row, Credential) or not row.access_token:
                continue
            elder = first.setdefault(row.access_token, row)
            if elder is not row and not _same_variable(elder, row):
                found[pool.provider, row.id] = (elder.provider, elder.id)
    return found


def _same_variable(elder: Credential, row: Credential) -> bool:
    """Tell whether two pools read one variable, as some providers' do by design: nobody has to mend that."""
    return elder.provider != row.provider and elder.source == row.source and row.source.startswith("env:")
