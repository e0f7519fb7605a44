"""`CredentialPool`: what an agent holds. It selects, reports, and never waits for a lock to select.

The method names are hermes' own, so that code written for its pool runs on this one (design 5). What the pool
knows of its rows is in `roster`, how it chooses in `picking`, what it tells of requests in `reports`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from keydeck.engine.clock import Clock, wall_clock
from keydeck.engine.cooldown_policy import Rotates
from keydeck.engine.credential import Credential
from keydeck.engine.errors import Refused, StoreError
from keydeck.engine.events import Position
from keydeck.engine.flusher import follow_forks
from keydeck.engine.grants import Grant, Grants
from keydeck.engine.home import Surroundings, locate_home
from keydeck.engine.leasing import Leasing, RowLease, Terms
from keydeck.engine.picking import Picking
from keydeck.engine.probing import Probing
from keydeck.engine.providers import canonical
from keydeck.engine.ready import Ready
from keydeck.engine.reports import Report, Reports
from keydeck.engine.roster import Roster
from keydeck.engine.snapshot import HomeReader
from keydeck.engine.store import Store
from keydeck.engine.verdict import Verdict
from keydeck.engine.waiting import NOT_CONFIGURED, WaitKind, WaitState, pauses, soonest_back

if TYPE_CHECKING:
    from keydeck.engine.acts import Operator
    from keydeck.engine.explanation import Explanation

# Each try is lost to somebody who probes the row by then: so many rows at once have just cooled at most.
_TRIES: Final = 64


class CredentialPool:
    """The credentials of one provider. Threads may share it; as a context manager it closes itself."""

    def __init__(
        self, provider: str, reader: HomeReader, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.provider = provider
        self._reader = reader
        self._sleep = sleep
        self._guard = threading.RLock()
        self._roster = Roster(provider, reader)
        self._picking = Picking(self._roster)
        self._grants = Grants()
        self._reports = Reports(self._roster)
        self._probing = Probing(self._roster)
        self._leasing = Leasing(self._roster, self._picking, self._probing)
        # Offered rows that were used: they are stored with the next checkpoint.
        self._adopted: set[str] = set()
        follow_forks(self)

    def __repr__(self) -> str:
        return f"CredentialPool({self.provider!r}, {len(self._roster.pool.rows)} rows)"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give leases back, tell what waits to be told, and let go of the store's files.

        A pool that is used again opens them again.
        """
        with self._guard:
            self._leasing.give_all_back()
        self.flush()
        self._reader.close()

    def flush(self) -> bool:
        """Tell what waits to be told; False if something still waits."""
        return self._store.flush()

    def after_fork(self) -> None:
        """Let go of locks that may be held for ever in the child, and of leases, which are the parent's."""
        self._guard = threading.RLock()
        self._leasing.forget()
        self._probing.forget()

    # --- asking ----------------------------------------------------------------------------------------

    @property
    def strategy(self) -> str:
        """The strategy in config.yaml, as written."""
        return self._roster.pool.strategy

    def entries(self) -> list[Credential]:
        """Return every readable row, in the order they are tried."""
        with self._guard:
            self._roster.catch_up()
            return self._roster.known()

    def has_credentials(self) -> bool:
        """Tell whether the pool has any row at all."""
        with self._guard:
            self._roster.catch_up()
            return bool(self._roster.ready.rows)

    def has_available(self) -> bool:
        """Tell whether a request could be sent now. Changes nothing."""
        with self._guard:
            self._roster.catch_up()
            return bool(self._roster.ready.usable) or self._own_probe() is not None

    def wait_state(self) -> WaitState:
        """Tell whether there is nothing to select from, a row to select, or which row is back first, and when."""
        with self._guard:
            self._roster.catch_up()
            ready = self._roster.ready
            if not ready.rows:
                return NOT_CONFIGURED
            place = ready.usable[0] if ready.usable else self._own_probe()
            if place is not None:
                return WaitState(WaitKind.READY, ready.rows[place].id)
            return soonest_back(ready, self._roster.clock(), self._roster.ticks())

    def current(self) -> Credential | None:
        """Return the row selected last, if it is still there."""
        with self._guard:
            self._roster.catch_up()
            return self._roster.row(self._grants.current())

    def peek(self) -> Credential | None:
        """Return the current row, else what `select` would likely return; changes nothing."""
        with self._guard:
            current, ready = self.current(), self._roster.ready
            return current or (ready.rows[ready.usable[0]] if ready.usable else None)

    def explain(
        self, *, session: str | None = None, model: str | None = None, lease: bool = False
    ) -> Explanation:
        """Return which row `select` would return now, and why each one would be or not; counts and moves nothing.

        Args:
            session: as in `select`.
            model: as in `select`.
            lease: ask for `lease` instead.
        """
        from keydeck.engine.explain import explain

        with self._guard:
            self._roster.catch_up()
            now = self._roster.clock()
            own = None if lease else self._own_probe()
            asked = self._picking.asked(session, model, lease=lease, own_probe=own)
            return explain(self._roster.state(now), asked, now, self._roster.ready)

    # --- using -----------------------------------------------------------------------------------------

    def select(
        self, *, session: str | None = None, model: str | None = None, wait: float | None = None
    ) -> Credential | None:
        """Return a usable row, make it current and count its first request; None when there is none now.

        Never waits for a lock of the store nor writes its rows, and goes on with the last good view of a broken
        one.

        Args:
            session: what the request belongs to. Under ``sticky`` a session keeps its row while that is usable, in
                every process, so that the provider's prompt cache goes on serving it.
            model: the model that will be asked for.
            wait: wait so many seconds for a row, should there be none; the calling thread sleeps meanwhile.
        """
        row = self._select(session, model)
        return row if row or wait is None else self._select_within(wait, session, model)

    def _select(
        self, session: str | None, model: str | None, request_id: str | None = None
    ) -> Credential | None:
        with self._guard:
            self._roster.catch_up()
            place = self._place(session, model, request_id)
            if place is None:
                self._grants.drop()
                return None
            row = self._grant(place, session)
            if self._picking.begins_round:
                self._store.flush()  # told at once, so that whoever begins next to us begins at the next row
            return row

    def _place(self, session: str | None, model: str | None, request_id: str | None) -> int | None:
        """Return the place of the row that comes next; None if there is none now."""
        tried = self._reports.requests.tried(request_id) if request_id else ()
        for _ in range(_TRIES):
            among = self._among(model, tried) if tried or model is not None else None
            place = self._picking.pick(session, among)
            if place is None:
                break
            if self._probing.may_go(place):
                return place
            self._roster.catch_up()  # somebody else was faster, and has it to himself for now
        own = self._own_probe()
        return own if own is not None and self._roster.ready.rows[own].id not in tried else None

    def _among(self, model: str | None, tried: Collection[str]) -> Ready | None:
        """Return the rows with those usable that the request may go to; None for all that are."""
        among = self._roster.without(tried) if tried else None
        return (
            among if model is None else (among or self._roster.ready).for_model(model, self._roster.ticks())
        )

    def _own_probe(self) -> int | None:
        """Return the place of the row that this thread or task tries again, if it does."""
        own = self._grants.own()
        return self._probing.goes_on(own.credential_id) if own else None

    def _select_within(self, seconds: float, session: str | None, model: str | None) -> Credential | None:
        for _ in pauses(seconds, self._roster.ticks, self._sleep):
            if row := self._select(session, model):
                return row
        return None

    def _grant(self, place: int, session: str | None = None, *, requests: int = 1) -> Credential:
        ready, store = self._roster.ready, self._store
        row = ready.rows[place]
        self._grants.add(row.id, store.position(), session)
        self._adopt(row)
        if requests:
            ready.count(place)
            store.count(row.id)
        return row

    def _adopt(self, row: Credential) -> None:
        """Have a row stored that was only offered until now: an agent uses it."""
        if not row.stored and row.id not in self._adopted:
            self._adopted.add(row.id)
            self._store.adopt(row)

    # --- reporting -------------------------------------------------------------------------------------

    def last_grant(self) -> Grant | None:
        """Return what this thread or asyncio task was handed last: a report from elsewhere can name it."""
        with self._guard:
            return self._grants.own()

    def mark_used(self) -> None:
        """Count one more request that was sent with the current row."""
        with self._guard:
            self._roster.catch_up()
            place = self._roster.place_of(self._grants.current())
            if place is not None:
                own = self._grants.own()
                self._grant(place, own.session if own else None)

    def mark_exhausted_and_rotate(
        self,
        *,
        status_code: int | None,
        error_context: Mapping[str, Any] | None = None,
        api_key_hint: str | None = None,
        credential_id: str | None = None,
        request_id: str | None = None,
        model: str | None = None,
    ) -> Credential | None:
        """Bench the row that failed, and select the next one (hermes-pool 5.6).

        Without a hint and an id it is the row that this thread or asyncio task was handed last; where it was
        handed none, nothing is marked: the grant of another one must not be punished. Where the row is not to
        blame, the request or the provider being at fault, it is returned itself.

        Args:
            status_code: the HTTP status of the failure, if there was one.
            error_context: ``reason``, ``message`` and ``reset_at`` as far as they are known.
            api_key_hint: the key the failed request carried. A key that is in no row marks nothing: the
                failure of a key long gone must not bench a healthy one (FS-19).
            credential_id: the row that the failed request was granted.
            request_id: names the request while it is tried with one row after the other. What fails alike on two
                rows is charged to no third, and the next one is a row that it has not failed on.
            model: the model that was asked for; what limits only that keeps the row for others (FS-26).

        Every other process obeys from its next selection on; the row in the store says it within a second.
        """
        own = self._grants.own()
        failed = self._report(
            Report(status_code, error_context or {}, model, request_id), api_key_hint, credential_id, None
        )
        if failed and failed[1].rotates is Rotates.NO:
            return failed[0]
        if failed and failed[1].rotates is Rotates.ONCE and self._reports.requests.has_rotated(request_id):
            return None
        return self._select(own.session if own else None, model, request_id)

    def report_failure(
        self,
        *,
        status_code: int | None,
        error_context: Mapping[str, Any] | None = None,
        api_key_hint: str | None = None,
        credential_id: str | None = None,
        grant: Grant | None = None,
        request_id: str | None = None,
        model: str | None = None,
    ) -> None:
        """Bench the row that failed; see `mark_exhausted_and_rotate`. A `grant` names it most exactly."""
        report = Report(status_code, error_context or {}, model, request_id)
        self._report(report, api_key_hint, credential_id, grant)

    def report_success(
        self,
        api_key_hint: str | None = None,
        *,
        credential_id: str | None = None,
        grant: Grant | None = None,
        model: str | None = None,
    ) -> None:
        """Say that a request went through: it ends a bench that began before the request was granted."""
        with self._guard:
            place, granted = self._blamed(api_key_hint, credential_id, grant)
            if place is not None:
                self._reports.succeeded(place, granted, model)

    def _report(
        self, report: Report, key: str | None, row_id: str | None, grant: Grant | None
    ) -> tuple[Credential, Verdict] | None:
        """Tell a failure; return the row that it is about and what it means, None where that cannot be known."""
        with self._guard:
            # As the pool was when the request was sent: what others did since is not what failed.
            place, granted = self._blamed(key, row_id, grant)
            if place is None:
                if key or row_id or grant:
                    self._reports.unmatched(report, key)
                return None
            row = self._roster.ready.rows[place]
            self._adopt(row)
            return row, self._reports.failed(place, granted, report)

    def _blamed(
        self, key: str | None, row_id: str | None, grant: Grant | None
    ) -> tuple[int | None, Position | None]:
        """Return the place of the row that a report is about, and when its request was granted."""
        roster = self._roster
        if grant is None and not (key or row_id):
            grant = self._grants.own()
        if grant is not None:
            return roster.place_of(grant.credential_id), grant.place
        place = roster.place_of(row_id) if row_id else roster.place_of_key(key or "")
        if place is None or (row_id and key and not roster.has_key(place, key)):
            return None, None  # a row that is gone, or whose key is another one by now
        return place, self._grants.of_row(roster.ready.rows[place].id)

    def try_refresh_current(self) -> Credential | None:
        """Return None: Keydeck does not refresh logins yet, so the caller goes on to mark and rotate."""
        return None

    # --- leasing ---------------------------------------------------------------------------------------

    @contextmanager
    def lease(
        self,
        *,
        session: str | None = None,
        model: str | None = None,
        ttl_s: float | None = None,
        at_most: int | None = None,
        wait: float | None = None,
    ) -> Iterator[RowLease | None]:
        """Select a row and hold it while the block runs; every process sees that it is in flight.

        Of the usable rows it is one with the fewest leases, by the strategy. Who dies gives it back after `ttl_s`.

        Args:
            session: as in `select`.
            model: as in `select`.
            ttl_s: for so many seconds, unless it is renewed; else as config.yaml says, or ten minutes.
            at_most: so many leases a row at once, in all processes; else as config.yaml says, or any number.
            wait: as in `select`.
        """
        held = self._lease_within(Terms(ttl_s, at_most, session, model), wait)
        try:
            yield held
        finally:
            if held:
                held.release()

    def acquire_lease(self, credential_id: str | None = None) -> str | None:
        """Take a row for work in flight: the one named, else as `lease` does. None where none may be had."""
        held = self._leased(Terms(), credential_id)
        return held.credential.id if held else None

    def release_lease(self, credential_id: str) -> None:
        """Give one lease of this pool object back; one that was never taken is ignored."""
        with self._guard:
            self._leasing.give_back_one_of(credential_id)

    def _lease_within(self, terms: Terms, wait: float | None) -> RowLease | None:
        held = self._leased(terms)
        for _ in pauses(wait or 0.0, self._roster.ticks, self._sleep) if held is None else ():
            if held := self._leased(terms):
                break
        return held

    def _leased(self, terms: Terms, row_id: str | None = None) -> RowLease | None:
        with self._guard:
            self._roster.catch_up()
            named = self._roster.place_of(row_id)
            if row_id is not None and named is None:
                return None
            taken = self._leasing.take(terms, named)
            if taken is None:
                return None
            name, place = taken
            row = self._grant(place, terms.session, requests=1 if row_id is None else 0)
            return RowLease(row, partial(self._renew, name, terms), partial(self._give_back, name))

    def _renew(self, name: str, terms: Terms, ttl_s: float | None) -> bool:
        with self._guard:
            self._roster.catch_up()
            return self._leasing.renew(name, terms if ttl_s is None else terms._replace(ttl_s=ttl_s))

    def _give_back(self, name: str) -> None:
        with self._guard:
            self._leasing.give_back(name)

    # --- changing --------------------------------------------------------------------------------------

    def reset_statuses(self) -> int:
        """Clear every bench and error of the pool, those of single models too; return how many rows had one.

        Raises:
            StoreError: the store is busy or cannot be written.
        """
        from keydeck.engine.reset_acts import is_marked

        marked = sum(map(is_marked, self.entries()))
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
        added = self._roster.row(done.credential_id)
        if added is None:
            raise Refused(f"the new row {done.credential_id} is gone again")
        return added

    def _operator(self) -> Operator:
        from keydeck.engine.acts import Operator

        return Operator(self._reader)

    def _read(self) -> None:
        with self._guard:
            self._roster.read()

    @property
    def _store(self) -> Store:
        return self._roster.store


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
    if isinstance(trouble := pool._roster.snapshot.trouble, StoreError):  # noqa: SLF001 - the factory of this class
        raise trouble
    return pool
