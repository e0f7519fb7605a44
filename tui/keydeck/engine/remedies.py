"""What would change why a row is taken or not, the least drastic first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from keydeck.engine.credential import Credential, Row, is_manual
from keydeck.engine.explanation import Act, Reason, Remedy, RowReason
from keydeck.engine.failures import FailureKind

_ENV: Final = "env:"


def remedies(why: RowReason, row: Row) -> tuple[Remedy, ...]:
    """Return what would change it for this row; empty where nothing has to."""
    found = _BY_REASON.get(why.reason)
    return tuple(found(why, row)) if found else ()


def _wait(why: RowReason) -> Iterator[Remedy]:
    if why.ready_at is not None:
        yield Remedy(Act.WAIT, at=why.ready_at)


def _answer(why: RowReason, _row: Row) -> Iterator[Remedy]:
    yield from _wait(why)


def _bench_ends(why: RowReason, _row: Row) -> Iterator[Remedy]:
    yield from _wait(why)
    if why.reason is Reason.MODEL_LIMIT:
        yield Remedy(Act.OTHER_MODEL)
    if why.bench and why.bench.cause == FailureKind.BILLING:
        yield Remedy(Act.TOP_UP)
    yield Remedy(Act.RESET)


def _pause_ends(why: RowReason, _row: Row) -> Iterator[Remedy]:
    yield from _wait(why)
    yield Remedy(Act.RESUME)


def _login(why: RowReason, row: Row) -> Iterator[Remedy]:
    is_key = isinstance(row, Credential) and row.auth_type == "api_key"
    yield Remedy(Act.NEW_KEY if is_key else Act.LOG_IN)
    if why.bench:
        yield Remedy(Act.RESET)


def _renewal(_why: RowReason, _row: Row) -> Iterator[Remedy]:
    yield Remedy(Act.RENEWAL)
    yield Remedy(Act.LOG_IN)


def _secret(_why: RowReason, row: Row) -> Iterator[Remedy]:
    source = row.source if isinstance(row, Credential) else ""
    if source.startswith(_ENV):
        yield Remedy(Act.SET_VARIABLE, name=source.removeprefix(_ENV))
    yield Remedy(Act.NEW_KEY)


def _mend(_why: RowReason, _row: Row) -> Iterator[Remedy]:
    yield Remedy(Act.MEND_ROW)


def _reminder(_why: RowReason, _row: Row) -> Iterator[Remedy]:
    yield Remedy(Act.LOG_IN)
    yield Remedy(Act.NEW_KEY)
    yield Remedy(Act.DISMISS)


def _order(_why: RowReason, row: Row) -> Iterator[Remedy]:
    if isinstance(row, Credential) and row.stored and _is_movable(row):
        yield Remedy(Act.MAKE_FIRST)
    yield Remedy(Act.SET_STRATEGY)


def _is_movable(row: Credential) -> bool:
    return row.provider != "anthropic" or is_manual(row.source)  # hermes orders the others (hermes-pool 4.6)


def _strategy(_why: RowReason, _row: Row) -> Iterator[Remedy]:
    yield Remedy(Act.SET_STRATEGY)


def _leases(why: RowReason, _row: Row) -> Iterator[Remedy]:
    yield from _wait(why)
    yield Remedy(Act.GIVE_BACK)
    if why.reason is Reason.AT_CAP:
        yield Remedy(Act.RAISE_CAP)


_BY_REASON: Final[Mapping[Reason, Callable[[RowReason, Row], Iterator[Remedy]]]] = {
    Reason.PROBING: _answer,
    Reason.COOLING: _bench_ends,
    Reason.MODEL_LIMIT: _bench_ends,
    Reason.PAUSED: _pause_ends,
    Reason.NEEDS_LOGIN: _login,
    Reason.TOKEN_ENDED: _renewal,
    Reason.NO_SECRET: _secret,
    Reason.BAD_ROW: _mend,
    Reason.VANISHED: _reminder,
    Reason.BEHIND: _order,
    Reason.CHANCE: _strategy,
    Reason.LATER_TURN: _strategy,
    Reason.MORE_USES: _strategy,
    Reason.SAME_USES: _strategy,
    Reason.OTHER_SESSIONS: _strategy,
    Reason.BUSIER: _leases,
    Reason.AT_CAP: _leases,
}
