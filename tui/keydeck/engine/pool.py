"""`CredentialPool`: what an agent holds. It selects, reports, and never waits for a lock to select.

The method names are hermes' own, so that code written for its pool runs on this one (design 5).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from keydeck.engine.clock import Clock, wall_clock
from keydeck.engine.config import Config, custom_pool_key_for
from keydeck.engine.credential import Credential, Row
from keydeck.engine.errors import ConfigError, Refused, StoreError, TargetError
from keydeck.engine.home import Home, Surroundings, locate_home
from keydeck.engine.providers import canonical, is_custom
from keydeck.engine.redact import Scrubber
from keydeck.engine.reset_times import reset_time
from keydeck.engine.snapshot import HomeReader, PoolSnapshot
from keydeck.engine.state import is_terminal, pool_state
from keydeck.engine.store import Transaction
from keydeck.engine.strategies import picker

if TYPE_CHECKING:
    from keydeck.engine.acts import Operator

# Other files than the store are looked at this often at most (design 3).
_LOOK_AROUND_EVERY_S: Final = 0.05
_LONGEST_MESSAGE: Final = 2000
# An agent must not stand still because hermes holds the lock; what could not be stored is stored later.
_MARK_TIMEOUT_S: Final = 1.0
_KNOWN_TO_HERMES: Final = frozenset({"fill_first", "round_robin", "least_used", "random"})


class CredentialPool:
    """The credentials of one provider. Threads may share it."""

    def __init__(self, provider: str, reader: HomeReader) -> None:
        self.provider = provider
        self._reader = reader
        self._guard = threading.RLock()
        self._leases: dict[str, int] = {}
        self._current: str | None = None
        # Marks that are not in the store: it was busy or broken, or the row is the root profile's.
        self._unsent: dict[str, Mapping[str, Any]] = {}
        self._looked_at = monotonic()
        self._snapshot = reader.read()
        self._pool = self._snapshot.pool(provider) or PoolSnapshot(provider)
        self._files = self._stamps()

    def __repr__(self) -> str:
        return f"CredentialPool({self.provider!r}, {len(self._pool.rows)} rows)"

    # --- asking ----------------------------------------------------------------------------------------

    @property
    def strategy(self) -> str:
        """The strategy in config.yaml, as written."""
        return self._pool.strategy

    def entries(self) -> list[Credential]:
        """Return every readable row, in the order they are tried."""
        return [row for row in self._rows() if isinstance(row, Credential)]

    def has_credentials(self) -> bool:
        """Tell whether the pool has any row at all."""
        return bool(self.entries())

    def has_available(self) -> bool:
        """Tell whether a request could be sent now. Changes nothing."""
        return bool(self._usable())

    def current(self) -> Credential | None:
        """Return the row selected last, if it is still there."""
        return self._by_id(self._current)

    def peek(self) -> Credential | None:
        """Return the current row, else what `select` would likely return; changes nothing."""
        return self.current() or next(iter(self._usable()), None)

    # --- using -----------------------------------------------------------------------------------------

    def select(self) -> Credential | None:
        """Return a usable row and make it current; None when there is none now.

        Never writes, never waits for the store's lock, and goes on with the last good view of a broken store.
        """
        with self._guard:
            usable = self._usable()
            chosen = picker(self._pool.followed_strategy)(usable) if usable else None
            self._current = chosen.id if chosen else None
            return chosen

    def mark_used(self) -> None:
        """Count one more request on the current row, in the store.

        Raises:
            Refused: the row belongs to the root profile.
            StoreError: the store is busy or cannot be written.
        """
        row = self.current()
        if row is None:
            return
        if row.inherited:
            raise Refused(
                f"{row.provider} is the root profile's here; its rows are not written from a profile"
            )
        with self._reader.store.transaction() as change:
            here = _fresh(change, row)
            change.update_row(here.stored_under, here.id, {"request_count": here.request_count + 1})

    def mark_exhausted_and_rotate(
        self,
        *,
        status_code: int | None,
        error_context: Mapping[str, Any] | None = None,
        api_key_hint: str | None = None,
    ) -> Credential | None:
        """Bench the row that failed, and select the next one (hermes-pool 5.6).

        Args:
            status_code: the HTTP status of the failure, if there was one.
            error_context: ``reason``, ``message`` and ``reset_at`` as far as they are known.
            api_key_hint: the key the failed request carried. A key that is in no row marks nothing: the
                failure of a key long gone must not bench a healthy one (FS-19).

        The bench rules here at once. If the store is busy or broken it is written with the next failure.
        """
        with self._guard:
            failed = self._by_key(api_key_hint) if api_key_hint else self.current()
            if failed is not None:
                self._unsent[failed.id] = self._failure(status_code, error_context or {})
        self._send()
        return self.select()

    def try_refresh_current(self) -> Credential | None:
        """Return None: Keydeck does not refresh logins yet, so the caller goes on to mark and rotate."""
        return None

    def acquire_lease(self, credential_id: str | None = None) -> str | None:
        """Take a row for work in flight: the one named, else the usable one with the fewest leases.

        Leases of this kind are known to this pool object only.
        """
        with self._guard:
            if credential_id is None:
                usable = self._usable()
                if not usable:
                    return None
                credential_id = min(usable, key=lambda row: self._leases.get(row.id, 0)).id
            self._leases[credential_id] = self._leases.get(credential_id, 0) + 1
            self._current = credential_id
            return credential_id

    def release_lease(self, credential_id: str) -> None:
        """Give one lease back; one that was never taken is ignored."""
        with self._guard:
            left = self._leases.pop(credential_id, 0) - 1
            if left > 0:
                self._leases[credential_id] = left

    # --- changing --------------------------------------------------------------------------------------

    def reset_statuses(self) -> int:
        """Clear every bench and error of the pool; return how many rows had one.

        Raises:
            StoreError: the store is busy or cannot be written.
        """
        marked = sum(
            bool(row.last_status or row.last_status_at or row.last_error_code) for row in self.entries()
        )
        self._operator().reset(self.provider)
        self._unsent.clear()
        self._read()
        return marked

    def remove_index(self, index: int) -> Credential | None:
        """Remove the row at a 1-based place and return it; None when there is no such place.

        Raises:
            Refused: the row belongs to the root profile.
            StoreError: the store is busy or cannot be written.
        """
        rows = self.entries()
        if not 1 <= index <= len(rows):
            return None
        self._operator().remove(self.provider, rows[index - 1].id)
        self._read()
        return rows[index - 1]

    def add_entry(self, entry: Credential) -> Credential:
        """Append a row with the next priority; an id that is taken is replaced by a new one.

        Raises:
            Refused: the key is no key, or is in the pool already.
            StoreError: the store is busy or cannot be written.
        """
        if entry.access_token is None:
            raise Refused("an entry without a key cannot be added")
        done = self._operator().add_key(
            self.provider, entry.access_token, label=entry.label or None, base_url=entry.base_url
        )
        self._read()
        added = self._by_id(done.credential_id)
        if added is None:
            raise Refused(f"the new row {done.credential_id} is gone again")
        return added

    def _operator(self) -> Operator:
        from keydeck.engine.acts import Operator

        return Operator(self._reader)

    # --- parts -----------------------------------------------------------------------------------------

    def _rows(self) -> tuple[Row, ...]:
        """Return the pool's rows as the files have them, under the marks that are not stored yet."""
        self._refresh()
        if not self._unsent:
            return self._pool.rows
        return tuple(
            replace(row, **self._unsent[row.id])
            if isinstance(row, Credential) and row.id in self._unsent
            else row
            for row in self._pool.rows
        )

    def _usable(self) -> list[Credential]:
        states = pool_state(self.provider, self._rows(), self._reader.clock()).usable
        return [state.row for state in states if isinstance(state.row, Credential)]

    def _send(self) -> None:
        """Store the marks that are not stored yet; what cannot be stored goes on ruling in this process."""
        with self._guard:
            rows = [row for row in self.entries() if row.id in self._unsent and not row.inherited]
            marks = {row.id: self._unsent[row.id] for row in rows}
        if not marks:
            return
        try:
            with self._reader.store.transaction(timeout_s=_MARK_TIMEOUT_S) as change:
                for row in rows:
                    try:
                        here = _fresh(change, row)
                        change.update_row(here.stored_under, here.id, marks[row.id])
                    except TargetError:  # removed meanwhile, or its pool is broken: it only rules here
                        del marks[row.id]
        except StoreError as error:
            import logging

            logging.getLogger("keydeck.pool").warning(
                "a cooldown of %s is not stored yet: %s", self.provider, error
            )
            return
        with self._guard:
            for credential_id, fields in marks.items():
                if self._unsent.get(credential_id) is fields:
                    del self._unsent[credential_id]

    def _by_id(self, credential_id: str | None) -> Credential | None:
        return next((row for row in self.entries() if row.id == credential_id), None)

    def _by_key(self, key: str) -> Credential | None:
        return next((row for row in self.entries() if row.runtime_api_key == key), None)

    def _refresh(self) -> None:
        """Read again if a file is another one than before."""
        with self._guard:
            if not (self._reader.store.changed() or self._files_changed()):
                return
            self._read()

    def _read(self) -> None:
        """Read now. An act of ours reads the store too, so that the store itself knows of no change after it."""
        with self._guard:
            self._snapshot = self._reader.read()
            self._pool = self._snapshot.pool(self.provider) or PoolSnapshot(self.provider)

    def _files_changed(self) -> bool:
        now = monotonic()
        if now - self._looked_at < _LOOK_AROUND_EVERY_S:
            return False
        self._looked_at = now
        stamps, self._files = self._files, self._stamps()
        return stamps != self._files

    def _stamps(self) -> tuple[tuple[int, int] | None, ...]:
        stamps: list[tuple[int, int] | None] = []
        for path in self._reader.watched_files()[1:]:
            try:
                status = os.stat(path)
            except OSError:
                stamps.append(None)
            else:
                stamps.append((status.st_mtime_ns, status.st_size))
        return tuple(stamps)

    def _failure(self, code: int | None, context: Mapping[str, Any]) -> dict[str, Any]:
        now = self._reader.clock()
        reason, message = (
            _short(context.get(name), self._snapshot.scrubber) for name in ("reason", "message")
        )
        return {
            "last_status": "dead" if is_terminal(code, reason) else "exhausted",
            "last_status_at": now,
            "last_error_code": code,
            "last_error_reason": reason,
            "last_error_message": message,
            "last_error_reset_at": reset_time(context, now),
        }


def _fresh(change: Transaction, row: Credential) -> Credential:
    """Return the row as the file has it now; an offered one is stored first, since an agent uses it."""
    rows = change.snapshot().pools.get(row.provider, ())
    for here in rows:
        if isinstance(here, Credential) and here.id == row.id:
            return here
    if not row.stored:
        change.add_row(row.stored_under, row.to_json())
    return row


def _short(text: Any, scrubber: Scrubber) -> str | None:
    if not isinstance(text, str) or not text.strip():
        return None
    # Scrubbed before it is cut: a cut inside a secret would leave its head.
    return scrubber.scrub(text.strip())[:_LONGEST_MESSAGE]


def load_pool(
    provider: str,
    *,
    home: str | os.PathLike[str] | None = None,
    profile: str | None = None,
    around: Surroundings | None = None,
    clock: Clock = wall_clock,
) -> CredentialPool:
    """Open the pool of one provider, as the agent sees it.

    Args:
        provider: a provider id or one of its aliases, or ``custom:<name>``.
        home: the folder with auth.json; found as the command line finds it when omitted.
        profile: a named profile of that home.
        around: environment and user folder; the real ones when omitted.
        clock: returns epoch seconds.

    Raises:
        HomeError: the profile does not exist.
        StoreError: auth.json is there and cannot be read.
    """
    reader = HomeReader(locate_home(home, profile, around), around=around, clock=clock)
    pool = CredentialPool(canonical(provider), reader)
    if isinstance(trouble := pool._snapshot.trouble, StoreError):  # noqa: SLF001 - the factory of this class
        raise trouble
    return pool


# --- hermes' helper functions over the configuration -------------------------------------------------------


def get_custom_provider_pool_key(
    base_url: str | None, provider_name: str | None = None, *, home: Home | None = None
) -> str | None:
    """Return the ``custom:`` pool key that an endpoint's address, or its name, belongs to (hermes-pool 2.3)."""
    return custom_pool_key_for(_config(home), base_url, provider_name)


def list_custom_pool_providers(*, home: Home | None = None) -> list[str]:
    """Return the custom pool keys that have rows in auth.json, sorted."""
    snapshot = HomeReader(home or locate_home()).store.snapshot()
    return sorted(name for name, rows in snapshot.pools.items() if is_custom(name) and rows)


def get_pool_strategy(provider: str, *, home: Home | None = None) -> str:
    """Return the strategy hermes follows for a provider: its configured one, fill_first if it knows it not."""
    written = _config(home).strategy_of(canonical(provider))
    return written if written in _KNOWN_TO_HERMES else "fill_first"


def _config(home: Home | None) -> Config:
    """Read the configuration; a broken one reads as none, which is what hermes does here."""
    reader = HomeReader(home or locate_home())
    try:
        return reader.config()
    except ConfigError:
        from keydeck.engine.config import EMPTY_CONFIG

        return EMPTY_CONFIG
