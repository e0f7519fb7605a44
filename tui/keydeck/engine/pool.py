"""`CredentialPool`: what an agent holds. It selects, reports, and never waits for a lock to select.

The method names are hermes' own, so that code written for its pool runs on this one (design 5).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self

from keydeck.engine.clock import Clock, monotonic_of, wall_clock
from keydeck.engine.config import Config, custom_pool_key_for
from keydeck.engine.credential import Credential
from keydeck.engine.errors import ConfigError, Refused, StoreError
from keydeck.engine.events import START, Failed, Position, Succeeded
from keydeck.engine.failures import FailureKind, classify
from keydeck.engine.flusher import follow_forks
from keydeck.engine.home import Home, Surroundings, locate_home
from keydeck.engine.known import as_known, groups, known_rows, soles
from keydeck.engine.providers import canonical, is_custom
from keydeck.engine.ready import Ready
from keydeck.engine.redact import visible
from keydeck.engine.reset_times import reset_time
from keydeck.engine.secret import Secret
from keydeck.engine.snapshot import HomeReader, PoolSnapshot
from keydeck.engine.strategies import GO_ON, picker

if TYPE_CHECKING:
    from keydeck.engine.acts import Operator

# Other files than the store are looked at this often at most (design 3).
_LOOK_AROUND_EVERY_S: Final = 0.05
_LONGEST_MESSAGE: Final = 2000
_TEXTS_KEPT: Final = 64
_KNOWN_TO_HERMES: Final = frozenset({"fill_first", "round_robin", "least_used", "random"})


class CredentialPool:
    """The credentials of one provider. Threads may share it; as a context manager it closes itself."""

    def __init__(self, provider: str, reader: HomeReader) -> None:
        self.provider = provider
        self._reader = reader
        self._ticks = monotonic_of(reader.clock)
        self._guard = threading.RLock()
        self._leases: dict[str, int] = {}
        self._current: str | None = None
        # Row → up to where the journal was known when it was picked last: what a failure is dated by.
        self._granted: dict[str, Position] = {}
        # Offered rows that were used: they are stored with the next checkpoint.
        self._adopted: set[str] = set()
        self._last: int | None = None
        self._seen = 0
        self._ready = Ready(())
        self._looked_at = monotonic()
        self._read()
        self._files = self._stamps()
        follow_forks(self)

    def __repr__(self) -> str:
        return f"CredentialPool({self.provider!r}, {len(self._pool.rows)} rows)"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Tell what waits to be told, and let go of the store's files; a pool that is used again opens them again."""
        self.flush()
        self._reader.close()

    def flush(self) -> bool:
        """Tell what waits to be told; False if something still waits."""
        return self._store.flush()

    def after_fork(self) -> None:
        """Let go of locks that may be held for ever in the child."""
        self._guard = threading.RLock()

    # --- asking ----------------------------------------------------------------------------------------

    @property
    def strategy(self) -> str:
        """The strategy in config.yaml, as written."""
        return self._pool.strategy

    def entries(self) -> list[Credential]:
        """Return every readable row, in the order they are tried."""
        with self._guard:
            self._catch_up()
            known = known_rows(self.provider, self._ready.rows, self._store.facts, self._snapshot.policy)
            return [row for row in known if isinstance(row, Credential)]

    def has_credentials(self) -> bool:
        """Tell whether the pool has any row at all."""
        with self._guard:
            self._catch_up()
            return bool(self._ready.rows)

    def has_available(self) -> bool:
        """Tell whether a request could be sent now. Changes nothing."""
        with self._guard:
            self._catch_up()
            return bool(self._ready.usable)

    def current(self) -> Credential | None:
        """Return the row selected last, if it is still there."""
        with self._guard:
            self._catch_up()
            place = self._ready.place_of.get(self._current or "")
            return None if place is None else self._ready.rows[place]

    def peek(self) -> Credential | None:
        """Return the current row, else what `select` would likely return; changes nothing."""
        with self._guard:
            current, usable = self.current(), self._ready.usable
            return current or (self._ready.rows[usable[0]] if usable else None)

    # --- using -----------------------------------------------------------------------------------------

    def select(self) -> Credential | None:
        """Return a usable row, make it current and count its first request; None when there is none now.

        Never waits for a lock of the store nor writes its rows, and goes on with the last good view of a broken
        one.
        """
        with self._guard:
            self._catch_up()
            if not self._ready.usable:
                self._current = None
                return None
            place = self._pick(self._ready, self._last)
            self._grant(place)
            return self._ready.rows[place]

    def mark_used(self) -> None:
        """Count one more request that was sent with the current row."""
        with self._guard:
            self._catch_up()
            place = self._ready.place_of.get(self._current or "")
            if place is not None:
                self._grant(place)

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

        Every other process obeys from its next selection on; the row in the store says it within a second.
        """
        with self._guard:
            # As the pool was when the request was sent: what others did since is not what failed.
            place = self._place_of_key(api_key_hint) if api_key_hint else self._current_place()
            if place is not None:
                self._adopt(self._ready.rows[place])
                self._store.append(self._failure(place, status_code, error_context or {}))
        return self.select()

    def report_success(self, api_key_hint: str | None = None) -> None:
        """Say that a request went through: it ends a bench that began before the request was granted."""
        with self._guard:
            place = self._place_of_key(api_key_hint) if api_key_hint else self._current_place()
            # A bench that is not known here yet was told after the grant: this success does not end it.
            if place is not None and self._ready.rows[place].standing:
                self._tell_success(self._ready.rows[place])

    def _tell_success(self, row: Credential) -> None:
        facts, granted = self._store.facts(row.id), self._granted.get(row.id)
        strikes = facts.benches.strikes if facts else ()
        if strikes and (granted is None or strikes[0].place < granted):
            ids, past = self._ids_with(row), row.last_status_at
            self._store.append(Succeeded(ids=ids, provider=self.provider, granted=granted, past=past))

    def try_refresh_current(self) -> Credential | None:
        """Return None: Keydeck does not refresh logins yet, so the caller goes on to mark and rotate."""
        return None

    def acquire_lease(self, credential_id: str | None = None) -> str | None:
        """Take a row for work in flight: the one named, else the usable one with the fewest leases.

        Leases of this kind are known to this pool object only.
        """
        with self._guard:
            self._catch_up()
            if credential_id is None:
                if not self._ready.usable:
                    return None
                place = min(
                    self._ready.usable, key=lambda place: self._leases.get(self._ready.rows[place].id, 0)
                )
                self._grant(place)
                credential_id = self._ready.rows[place].id
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

    def _catch_up(self) -> None:
        """Learn what changed: the clock, other processes, the files."""
        if self._store.poll() != self._seen:
            self._take_news()
        if self._is_inherited and self._reader.store.changed():
            self._read()
        if monotonic() - self._looked_at >= _LOOK_AROUND_EVERY_S:
            self._look_around()
        ticks = self._ticks()
        if self._ready.has_turns(ticks):
            self._ready.turn(self._reader.clock(), ticks)

    def _take_news(self) -> None:
        changed = self._store.changed_since(self._seen)
        if changed is None:
            self._read()
            return
        self._seen = self._store.poll()
        now, ticks, policy = self._reader.clock(), self._ticks(), self._snapshot.policy
        for row_id in changed:
            place = self._ready.place_of.get(row_id)
            if place is not None:
                row, facts = self._ready.rows[place], self._store.facts(row_id)
                row = as_known(row, facts, policy, is_sole=row_id in self._alone)
                self._ready.put(place, row, self._uses_with(place, row), now, ticks)
        if soles(self._ready.rows) != self._alone:
            self._read()

    def _read(self) -> None:
        """Read everything now."""
        with self._guard:
            current = self._current_row()
            self._snapshot = self._reader.read()
            self._pool = self._snapshot.pool(self.provider) or PoolSnapshot(self.provider)
            self._store = self._reader.store_of(self._pool.rows)
            self._is_inherited = self._pool.is_inherited
            self._seen = self._store.poll()
            # Providers say the same again and again: texts that were found without any of these rows' secrets.
            self._harmless_texts: set[str] = set()
            strategy = self._pool.followed_strategy
            self._pick = picker(strategy)
            rows = [row for row in self._pool.rows if isinstance(row, Credential)]
            self._groups = {row: group for group in map(tuple, groups(rows)) for row in group}
            self._by_secret: dict[Secret, int] | None = None
            self._alone = soles(rows)
            self._ready = Ready(rows, list(self._groups.values()), self._ready.waits)
            self._ready.begin(self._reader.clock(), self._ticks())
            self._last = self._ready.place_of.get(current.id) if current else None
            if current is None and strategy in GO_ON:
                self._last = self._place_used_last()

    def _place_used_last(self) -> int | None:
        """Return the place of the row that was used last by anybody."""
        used = ((self._store.facts(row.id), place) for place, row in enumerate(self._ready.rows))
        latest = max(((facts.used_at, place) for facts, place in used if facts), default=None)
        return latest[1] if latest and latest[0] > START else None

    def _grant(self, place: int) -> None:
        row = self._ready.rows[place]
        self._current, self._last = row.id, place
        self._granted[row.id] = self._store.position()
        self._adopt(row)
        self._ready.count(place)
        self._store.count(row.id)

    def _adopt(self, row: Credential) -> None:
        """Have a row stored that was only offered until now: an agent uses it."""
        if not row.stored and row.id not in self._adopted:
            self._adopted.add(row.id)
            self._store.adopt(row)

    def _current_place(self) -> int | None:
        return self._ready.place_of.get(self._current or "")

    def _current_row(self) -> Credential | None:
        place = self._current_place()
        return None if place is None else self._ready.rows[place]

    def _by_id(self, credential_id: str | None) -> Credential | None:
        return next((row for row in self.entries() if row.id == credential_id), None)

    def _place_of_key(self, key: str) -> int | None:
        if self._by_secret is None:
            secrets = ((row.live_secret, place) for place, row in enumerate(self._ready.rows))
            self._by_secret = {secret: place for secret, place in reversed(list(secrets)) if secret}
        return self._by_secret.get(Secret(key))

    def _ids_with(self, row: Credential) -> tuple[str, ...]:
        """Return the ids of all rows that hold this row's secret, its own first (hermes-recovery G18)."""
        group = self._groups.get(self._ready.place_of[row.id], ())
        return (
            row.id,
            *(self._ready.rows[place].id for place in group if self._ready.rows[place].id != row.id),
        )

    def _uses_with(self, place: int, row: Credential) -> int:
        twins = (twin for twin in self._groups.get(place, ()) if twin != place)
        return row.request_count + sum(self._ready.rows[twin].request_count for twin in twins)

    def _look_around(self) -> None:
        """Read again if another file than the store changed: what the environment or config.yaml says."""
        self._looked_at = monotonic()
        stamps, self._files = self._files, self._stamps()
        if stamps != self._files:
            self._read()

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

    def _failure(self, place: int, code: int | None, context: Mapping[str, Any]) -> Failed:
        row = self._ready.rows[place]
        reason, message = (self._harmless(context.get(name)) for name in ("reason", "message"))
        secret = row.live_secret
        kind = classify(code, reason, message, is_login=row.auth_type == "oauth")
        return Failed(
            ids=self._ids_with(row),
            provider=self.provider,
            status="dead" if kind is FailureKind.REVOKED else "exhausted",
            code=code,
            reason=reason,
            message=message,
            until=reset_time(context, self._reader.clock()),
            key=secret.fingerprint if secret else None,
            granted=self._granted.get(row.id),
            kind=kind,
        )

    def _harmless(self, text: Any) -> str | None:
        """Return what a provider said without secrets, and not too long."""
        if not isinstance(text, str) or not (text := text.strip()):
            return None
        if text in self._harmless_texts:
            return text
        # Scrubbed before it is cut: a cut inside a secret would leave its head.
        scrubbed = self._snapshot.scrubber.scrub(visible(text))[:_LONGEST_MESSAGE]
        if scrubbed == text and len(self._harmless_texts) < _TEXTS_KEPT:
            self._harmless_texts.add(text)
        return scrubbed


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
