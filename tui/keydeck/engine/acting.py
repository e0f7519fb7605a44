"""What every act of an operator is made of: a fresh read under the lock, and a second one that believes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from keydeck.engine.config import custom_pool_key
from keydeck.engine.credential import BadRow, Credential, Row, VanishedRow
from keydeck.engine.errors import Refused, TargetError
from keydeck.engine.providers import CUSTOM_PREFIX, canonical, is_custom, registry, unknown_provider
from keydeck.engine.snapshot import HomeReader, PoolSnapshot
from keydeck.engine.store import LOCK_TIMEOUT_S, StoreSnapshot, Transaction, WaitNotice, ignore_wait


@dataclass(frozen=True, slots=True)
class Undo:
    """The inverse of an act. Nothing of it is stored; secrets wait in it as `Secret`."""

    text: str = field(repr=False)
    """What would be undone: ``removal of spare``; of any length and look, like the labels in it."""
    run: Callable[[Any], Done] = field(repr=False)
    """Takes the `Operator` that undoes it."""
    holds_secret: bool = False
    """Whether it has to be dropped after `UNDO_OF_REMOVAL_S`."""
    takes_key: bool = False
    """Whether it takes a key away that is nowhere else."""


@dataclass(frozen=True, slots=True)
class Done:
    """An act that took: one line about it, what the operator should know besides, and its inverse."""

    text: str
    notes: tuple[str, ...] = ()
    credential_id: str | None = None
    undo: Undo | None = field(default=None, repr=False, compare=False)


class Acting:
    """Acts on one home, for the whole of its life the same one."""

    def __init__(
        self, reader: HomeReader, *, timeout_s: float = LOCK_TIMEOUT_S, on_wait: WaitNotice = ignore_wait
    ) -> None:
        self._reader = reader
        self._timeout_s = timeout_s
        self._on_wait = on_wait

    def _transaction(self) -> AbstractContextManager[Transaction]:
        return self._reader.store.transaction(timeout_s=self._timeout_s, on_wait=self._on_wait)

    def _pool(self, provider: str) -> PoolSnapshot:
        snapshot = self._reader.read()
        if snapshot.trouble:
            raise snapshot.trouble
        return snapshot.pool(provider) or PoolSnapshot(provider)

    def _row(self, provider: str, credential_id: str) -> Credential:
        row = next((row for row in self._pool(provider).rows if row.id == credential_id), None)
        if row is None:
            raise TargetError(f"{provider} has no credential {credential_id} any more")
        return usable_target(row)

    def _known(self, provider: str) -> str:
        """Return the canonical name of a provider that exists, as a built-in, an endpoint or a stored pool."""
        name = canonical(provider)
        known = [*registry(), *self._reader.store.snapshot().pools]
        if name in known or (is_custom(name) and name != CUSTOM_PREFIX):
            return name
        known += [endpoint.pool_key for endpoint in self._reader.config().endpoints]
        if (custom := custom_pool_key(provider)) in known:
            return custom
        raise Refused(unknown_provider(provider, known))

    def _must_hold(self, provider: str, credential_id: str, fields: Mapping[str, Any]) -> None:
        """Read again, and see that a row has what was written."""
        row = next((row for row in self._pool(provider).rows if row.id == credential_id), None)
        if not isinstance(row, Credential) or any(getattr(row, name) != fields[name] for name in fields):
            raise TargetError(f"{credential_id} was changed back at once; is another program writing it?")

    def _is_out(self, provider: str, credential_id: str) -> bool:
        state = self._pool(provider).at(self._reader.clock())
        return any(row.id == credential_id and not row.health.is_usable for row in state.rows)


def usable_target(row: Row) -> Credential:
    """Return a row that may be acted on; refuse one of the root profile's, or one that cannot be read."""
    if row.inherited:
        raise Refused(inherited_text(row.provider))
    if isinstance(row, VanishedRow):
        raise Refused(f"{row.label} is {row.reason}; removing it here only takes the line away")
    if isinstance(row, BadRow):
        raise Refused(f"that row cannot be read ({row.reason}); mend auth.json by hand")
    return row


def inherited_text(provider: str) -> str:
    """Return why a pool that shows through from the root profile cannot be changed here."""
    return f"{provider} is the root profile's here; act on it with --profile default"


def stored_row(stored: StoreSnapshot, row: Credential) -> Credential:
    """Return a row as the store has it now, secrets and all."""
    for here in stored.pools.get(row.provider, ()):
        if here.id == row.id and isinstance(here, Credential):
            return here
    raise TargetError(f"{row.label} ({row.id}) is gone: somebody removed it meanwhile")


def pool_key_of(stored: StoreSnapshot, provider: str) -> str:
    """Return the key under which a provider's rows are stored: an alias, if that is where they are."""
    rows = stored.pools.get(provider, ())
    keys = {row.stored_under for row in rows}
    return provider if not keys or provider in keys else rows[0].stored_under
