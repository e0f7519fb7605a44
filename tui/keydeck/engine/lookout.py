"""`Lookout`: looks at a home again and again, at the cost of what changed since the last time. Never writes."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from keydeck.engine.cooldown_policy import Policy
from keydeck.engine.credential import Credential, Row
from keydeck.engine.discovery import in_order
from keydeck.engine.known import FactsOf, as_known, known_rows, soles
from keydeck.engine.snapshot import HomeReader, HomeSnapshot, PoolSnapshot
from keydeck.engine.store import Store

Stamps = tuple[tuple[int, ...] | None, ...]

_NOBODY: Final[AbstractSet[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class _Look:
    """What the last look saw, so that the next one need not go through all of it."""

    snapshot: HomeSnapshot
    stamps: Stamps
    versions: tuple[int, ...]
    """Up to what each store had told."""
    stored: Mapping[str, tuple[Row, ...]]
    """The rows before anything the journal tells of them, by provider."""
    ids: Mapping[str, frozenset[str]]


class Lookout:
    """Follows one home. Rows and pools that are as they were are the same objects in the next snapshot.

    Threads may share it; they look one after the other.
    """

    def __init__(self, reader: HomeReader) -> None:
        self.reader = reader
        self._turn = threading.Lock()
        self._last: _Look | None = None

    def read(self) -> HomeSnapshot:
        """Read everything anew."""
        with self._turn:
            return self._read()

    def look(self) -> HomeSnapshot:
        """Return what `read` would; the very same object as last time if nothing changed."""
        with self._turn:
            last = self._last
            if last is None or self._stamps() != last.stamps:
                return self._read()
            stores = self.reader.stores
            versions = tuple(store.poll() for store in stores)
            changed = [store.changed_since(seen) for store, seen in zip(stores, last.versions, strict=True)]
            known = dict(zip(map(id, stores), changed, strict=True))
            if None in changed:
                return self._read()
            snapshot = self._told(last, {name: rows or _NOBODY for name, rows in known.items()})
            self._last = replace(last, snapshot=snapshot, versions=versions)
            return snapshot

    def watched_files(self) -> tuple[Path, ...]:
        """Return the files whose change makes a look worth while, but for the journals."""
        return self.reader.watched_files()

    def watched_folders(self) -> tuple[Path, ...]:
        """Return the folders in which they are replaced."""
        return self.reader.watched_folders()

    def journal_folders(self) -> tuple[Path, ...]:
        """Return the folders in which the journals grow; they come with the first thing that is told."""
        return self.reader.journal_folders()

    # --- everything ------------------------------------------------------------------------------------

    def _read(self) -> HomeSnapshot:
        stores = self.reader.stores
        stamps, before = self._stamps(), [store.poll() for store in stores]
        read, stored = self.reader.read_with_rows()
        versions = tuple(map(_version_shown, stores, before))
        were = {pool.provider: pool for pool in self._last.snapshot.pools} if self._last else {}
        snapshot = read._replace(
            pools=tuple(_as_before(were.get(pool.provider), pool) for pool in read.pools)
        )
        ids = {provider: frozenset(row.id for row in rows) for provider, rows in stored.items()}
        self._last = _Look(snapshot, stamps, versions, stored, ids)
        return snapshot

    def _stamps(self) -> Stamps:
        """Return what tells that a file is another one; of the stores, which know that themselves, who may read."""
        home = self.reader.home
        stores = {home.auth_path, home.root / "auth.json"}
        return tuple(self._stamp(path, rights_only=path in stores) for path in self.watched_files())

    def _stamp(self, path: Path, *, rights_only: bool) -> tuple[int, ...] | None:
        try:
            status = self.reader.disk.stat(path)
        except OSError:
            return None
        if rights_only:
            return (status.st_mode, status.st_uid, status.st_gid)
        # The change time tells of a changed mode too: a file that became readable has to be read.
        return (status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns)

    # --- what the journals tell ------------------------------------------------------------------------

    def _told(self, last: _Look, changed: Mapping[int, AbstractSet[str]]) -> HomeSnapshot:
        """Return the last snapshot with what became known of these rows, by store, since."""
        before, troubles = last.snapshot, self.reader.store_troubles()
        pools = before.pools
        if any(changed.values()):
            pools = tuple(self._pool(pool, last, changed) for pool in pools)
        if _are(pools, before.pools) and troubles == before.store_troubles:
            return before
        read_at = self.reader.clock() if before.trouble is None else before.read_at
        return before._replace(pools=pools, read_at=read_at, store_troubles=troubles)

    def _pool(self, pool: PoolSnapshot, last: _Look, changed: Mapping[int, AbstractSet[str]]) -> PoolSnapshot:
        store = self.reader.store_of(pool.rows)
        rows = changed[id(store)] & last.ids[pool.provider]
        policy = last.snapshot.policy
        return _known_again(pool, last.stored[pool.provider], rows, store.facts, policy) if rows else pool


def _version_shown(store: Store, before: int) -> int:
    """Return the version that a store's snapshot showed, given one from before it was taken."""
    now = store.poll()
    return before if store.changed() else now  # what came in between is looked at once more


def _known_again(
    pool: PoolSnapshot,
    stored: tuple[Row, ...],
    changed: AbstractSet[str],
    facts_of: FactsOf,
    policy: Policy,
) -> PoolSnapshot:
    """Return a pool after something became known of some of its rows."""
    were, alone = {row.id: row for row in pool.rows}, soles(pool.rows)
    rows = [
        as_known(row, facts_of(row.id), policy, is_sole=row.id in alone)
        if row.id in changed and isinstance(row, Credential)
        else were.get(row.id, row)
        for row in stored
    ]
    if len(were) < len(stored) or soles(rows) != alone:  # an id twice, or another one is alone by now
        rows = list(known_rows(pool.provider, stored, facts_of, policy))
    return _as_before(pool, pool._replace(rows=in_order(pool.provider, rows)))


def _as_before(old: PoolSnapshot | None, new: PoolSnapshot) -> PoolSnapshot:
    """Return the old pool if it says the same, else the new one with the old rows that do."""
    if old is None:
        return new
    were = {row.id: row for row in old.rows}
    rows = tuple(_row_as_before(were.get(row.id), row) for row in new.rows)
    return old if old.strategy == new.strategy and _are(rows, old.rows) else new._replace(rows=rows)


def _row_as_before(old: Row | None, new: Row) -> Row:
    try:
        return old if old is not None and old == new else new
    except RecursionError:  # somebody else's fields may be nested deeper than a comparison can follow
        return new


def _are(some: tuple[object, ...], others: tuple[object, ...]) -> bool:
    """Tell whether these are the same objects."""
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))
