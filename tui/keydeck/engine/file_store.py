"""The store that hermes uses: auth.json with its flock, and our journal beside it (hermes-pool 1.8, 1.9; design 3).

Only this module knows that rows live in a file. It differs from hermes on purpose in two ways: what cannot be
read is an error and never an empty store, and a write changes the fields concerned of the rows concerned.
"""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final

from keydeck.engine import flusher
from keydeck.engine.auth_document import FORMAT_VERSION, DocumentTransaction, parse_document, snapshot_of
from keydeck.engine.backups import back_up, has_recent
from keydeck.engine.books import Books, News
from keydeck.engine.checkpoint import (
    SECTION,
    Checkpoint,
    checkpoint_bytes,
    checkpoint_path,
    pruned,
    read_checkpoint,
    read_section,
    section,
    section_gen,
)
from keydeck.engine.clock import Clock, wall_clock
from keydeck.engine.config import DEFAULT_HISTORY_BYTES, DEFAULT_HISTORY_S
from keydeck.engine.credential import Credential
from keydeck.engine.errors import StoreError, StoreReadOnly, StoreUnreadable
from keydeck.engine.events import (
    Adopted,
    Announced,
    Event,
    Outside,
    Position,
    Record,
    Seen,
    Signature,
    Written,
)
from keydeck.engine.files import Disk, make_dir, read_open, write_whole
from keydeck.engine.history import prune, read_history, totals_now
from keydeck.engine.home import Home
from keydeck.engine.journal import Journal, Placed
from keydeck.engine.ledger import FRESH, READER, Facts, Ledger, met, overruled
from keydeck.engine.locks import hold_lock
from keydeck.engine.store import (
    EMPTY_STORE,
    LOCK_TIMEOUT_S,
    StoreSnapshot,
    Transaction,
    WaitNotice,
    ignore_wait,
)
from keydeck.engine.strangers import RawRow, act_events, outside_events, project, raw_rows, seen_of, stamp
from keydeck.engine.totals import Totals

FOLDER: Final = "keydeck"
CHECKPOINT_EVERY_BYTES: Final = 64 << 10
"""After so much journal C is written, so that opening stays cheap."""
ORDER_EVERY_S: Final = 60.0
"""Priorities that hermes shuffles are put back this often at most (design 3, rule 10)."""
HEALTH_AFTER_S: Final = 0.5
"""So long after a change of health the rows are written, so that hermes obeys it."""
USES_AFTER_S: Final = 30.0
_CHANGES_KEPT: Final = 256

Stamp = tuple[Signature, int]
"""A file's signature, and when its inode last changed."""


class FileStore:
    """The store of one home, in its auth.json. Threads may share it."""

    def __init__(
        self, home: Home, *, path: Path | None = None, disk: Disk | None = None, clock: Clock = wall_clock
    ) -> None:
        self._home = home
        self._path = path or home.auth_path
        self._disk = disk or Disk()
        self._clock = clock
        self._guard = threading.RLock()
        self._summing_up = threading.Lock()
        self._folder = Path(os.path.realpath(self._path)).parent / FOLDER
        self._books = Books(self._disk, Journal(self._disk, self._folder), clock)
        self._is_open = False
        self._version = self._shown = 0
        self._changes: deque[tuple[int, frozenset[str] | None]] = deque(maxlen=_CHANGES_KEPT)
        # The file as it was last parsed, kept open so that no other gets its inode.
        self._seen: Stamp | None = None
        self._noticed: Stamp | None = None
        self._held: int | None = None
        self._as_good: set[Signature] = set()
        # What strangers did in that file and nobody has told in the journal yet.
        self._met: Mapping[str, Seen] = {}
        self._met_afresh = False
        self._outside: dict[str, list[Outside]] = {}
        self._foreign: str | None = None
        self._offers: dict[str, Credential] = {}
        self._backed_up = False
        self._ordered_at = 0.0
        self._history_kept = (DEFAULT_HISTORY_BYTES, DEFAULT_HISTORY_S)
        self._happened = 0
        """How often this process had something to tell."""
        self._tended = False
        # Since when something is told that is not in the rows yet, on the monotonic clock.
        self._health_since: float | None = None
        self._uses_since: float | None = None
        flusher.follow_forks(self)

    def __del__(self) -> None:
        if self.__dict__.get("_held") is not None:
            self._hold(None)

    @property
    def home(self) -> Home:
        """The home this store belongs to."""
        return self._home

    @property
    def path(self) -> Path:
        """The file, as named."""
        return self._path

    # --- reading ---------------------------------------------------------------------------------------

    def snapshot(self) -> StoreSnapshot:
        """Read the file without a lock: it is only ever replaced whole.

        Raises:
            StoreError: unreadable, corrupt, or of a newer version.
        """
        with self._guard:
            self._seen = self._noticed = self._stamp()
            self._as_good = set()
            document, self._seen = self._read(hold=True)
            self._noticed = self._seen
            self._as_good = {self._seen[0]} if self._seen else set()
            filed = read_section(document) if document else None
            self._open(filed)
            self._judge(document, filed)
            self._shown = self._version
            if document is None:
                return EMPTY_STORE
            return snapshot_of(document, self._hidden())

    def changed(self) -> bool:
        """Tell whether something is known that `snapshot` last did not show."""
        return self.poll() != self._shown

    def poll(self) -> int:
        """Learn what others told and whether the file is another one; see `Store.poll`."""
        with self._guard:
            now = self._stamp()  # first: by the time a file is seen, what announces it is in the journal
            if self._is_open and self._books.has_news():
                self._books.catch_up()
                self._absorb()
            if now != self._seen:
                self._compare(now)
            return self._version

    def changed_since(self, seen: int) -> frozenset[str] | None:
        """Return the rows that changed since, or None where everything may have."""
        with self._guard:
            missed: set[str] = set()
            for version, rows in reversed(self._changes):
                if version <= seen:
                    return frozenset(missed)
                if rows is None:
                    return None
                missed |= rows
            return None if self._version > seen else frozenset()

    def facts(self, row_id: str) -> Facts | None:
        """Return what is known of a row, by the journal and by what strangers did since."""
        with self._guard:
            facts, waiting = self._books.facts(row_id), self._books.pending(row_id)
            place = self._books.ledger.position
            if (facts or waiting) and row_id in self._met:
                facts = met(facts or FRESH, self._met[row_id], place)
            for event in self._outside.get(row_id, ()):
                if event.what == "restored" and row_id in self._books.ledger.tombs:
                    facts = self._books.ledger.tombs[row_id].facts
                facts = overruled(facts or FRESH, event, self._clock(), place)
            return (facts or FRESH)._replace(used=(facts or FRESH).used + waiting) if waiting else facts

    def position(self) -> Position:
        """Return up to where the journal is known."""
        return self._books.ledger.position

    def history(self, start: Position | None = None) -> Iterator[Placed]:
        """Yield what happened, from a position or the beginning of what is kept; see `history.read_history`."""
        return read_history(self._disk, self._folder, start)

    def totals(self) -> Totals:
        """Return requests per minute and per hour, by row."""
        return totals_now(self._disk, self._folder)

    def keep_history(self, size: int, seconds: float) -> None:
        """Keep so many bytes of journal, for so long."""
        self._history_kept = (size, seconds)

    # --- telling ---------------------------------------------------------------------------------------

    def count(self, row_id: str, number: int = 1) -> None:
        """Gather uses of a row; they are told in batches."""
        with self._guard:
            self._happened += 1
            hurry = self._books.count(row_id, number)
        if hurry or not self._tended:
            self._uses_since = self._uses_since or monotonic()
            self._wake(hurry=hurry)

    def append(self, event: Event) -> None:
        """Tell an event at once."""
        with self._guard:
            self._happened += 1
            self._books.tell([event])
            self._absorb()
        self._health_since = self._health_since or monotonic()
        if not self._tended:
            self._wake()

    def flush(self) -> bool:
        """Tell everything that waits."""
        with self._guard:
            waited = self._books.has_unsent
            told = self._books.flush()
            self._absorb()
            if waited:
                self._uses_since = self._uses_since or monotonic()
        return told

    def tend(self) -> bool:
        """Tell what waits, and write the rows where that is due; False when nothing is left to do."""
        self.flush()
        if self._is_due():
            self.checkpoint()
        with self._guard:
            self._tended = self._books.has_unsent or self._is_behind()
            return self._tended

    def close(self) -> None:
        """Tell what waits, sum it up where the lock is free, and let go of the files."""
        if not self._is_open:
            return
        if self.flush() and self._is_behind():
            self.checkpoint()
        flusher.forget(self)
        with self._guard:
            self._books.journal.leave()
            self._hold(None)
            self._is_open, self._tended, self._seen = False, False, None
            self._bump(None)  # whoever goes on opens it again

    def after_fork(self) -> None:
        """Be a writer of its own in a child; what the parent gathered is the parent's to tell."""
        self._guard, self._summing_up = threading.RLock(), threading.Lock()
        self._books.renew()
        self._health_since = self._uses_since = None
        self._is_open, self._tended, self._seen = False, False, None
        self._bump(None)

    def _wake(self, *, hurry: bool = False) -> None:
        self._tended = True
        flusher.wake(self, hurry=hurry)

    def _is_behind(self) -> bool:
        return self._health_since is not None or self._uses_since is not None or self._books.journal.is_lost()

    def _is_due(self) -> bool:
        """Tell whether it is time to write the rows, or C alone."""
        now = monotonic()
        return (
            (self._health_since is not None and now - self._health_since >= HEALTH_AFTER_S)
            or (self._uses_since is not None and now - self._uses_since >= USES_AFTER_S)
            or self._books.bytes_since_checkpoint() >= CHECKPOINT_EVERY_BYTES
            or self._books.journal.is_lost()
        )

    @property
    def trouble(self) -> OSError | None:
        """Why events wait in memory, if they do."""
        return self._books.trouble

    @property
    def has_gap(self) -> bool:
        """Whether part of what happened is known as a sum only, because a segment was missing."""
        return self._books.journal.gap

    # --- writing ---------------------------------------------------------------------------------------

    @contextmanager
    def transaction(
        self, *, timeout_s: float = LOCK_TIMEOUT_S, on_wait: WaitNotice = ignore_wait
    ) -> Iterator[Transaction]:
        """Change the file under hermes' lock; see `Store.transaction`.

        Raises:
            LockBusy: somebody else kept the lock.
            StoreError: the file cannot be read or written; it is as it was.
        """
        with self._locked(timeout_s=timeout_s, on_wait=on_wait):
            document, stamped = self._read()
            work = _Work(document or {}, stamped)
            self._prepare(work)
            before = {row.id: RawRow(row.id, row.provider, dict(row.raw)) for row in raw_rows(work.document)}
            changes = DocumentTransaction(work.document, exists=document is not None)
            yield changes
            if changes.dirty:
                work.events += act_events(before, work.document, self._next_gen(work))
                self._commit(work, is_act=True)

    def adopt(self, row: Credential) -> None:
        """Store a row with the next checkpoint that was only offered until somebody used it."""
        with self._guard:
            self._offers[row.id] = row

    def checkpoint(self) -> bool:
        """Write what is known into the rows, if the lock is free; see `Store.checkpoint`."""
        try:
            # Threads of one process take turns: who closes must not give up because of the background thread.
            with self._summing_up, self._locked(timeout_s=0, on_wait=ignore_wait):
                return self._checkpoint()
        except (StoreError, OSError):
            return False

    def _checkpoint(self) -> bool:
        document, stamped = self._read()
        work = _Work(document or {}, stamped)
        with self._guard:
            if not self.flush():
                return False  # what is summed up must be told
            if not (self._books.journal.is_open or self._books.has_news() or self._offers):
                return True
            self._prepare(work)
            if self._books.ledger.min_reader > READER:
                return True  # a newer version sums up what this one understands in part only
        before = {row.id: RawRow(row.id, row.provider, dict(row.raw)) for row in raw_rows(work.document)}
        offers = list(self._offers.values())
        for row in offers:
            _store_offer(work.document, row)
        work.events += act_events(before, work.document, self._next_gen(work))
        if document is None and not offers:
            self._write_checkpoint(work)
        elif work.is_healed or work.events or work.filed is None:
            self._commit(work, is_act=bool(offers))
        else:
            self._write_checkpoint(work)
        for row in offers:
            self._offers.pop(row.id, None)
        with suppress(OSError):  # too much history harms nobody
            size, seconds = self._history_kept
            until, now = self._books.summed_up_at, self._clock()
            prune(self._disk, self._folder, until, now, kept_bytes=size, kept_s=seconds)
        return True

    def _prepare(self, work: _Work) -> None:
        """Under the lock: know everything, see what strangers did, and put the rows right."""
        with self._guard:
            work.filed = read_section(work.document)
            self._open(work.filed)
            self._books.catch_up()
            if self._books.journal.is_lost():
                self._begin_again(work)
            self._absorb()
            work.checkpoint = read_checkpoint(self._disk, self._folder, work.filed)
            now = self._clock()
            proj = work.checkpoint.proj if work.checkpoint else 0
            work.events = outside_events(work.document, self._books.ledger, work.filed, proj=proj, now=now)
            work.ledger, work.happened = self._books.ledger.copy(), self._happened
        after = work.ledger.copy()
        for event in work.events:
            after.enact(event, now, after.position)
        work.puts_order = now - self._ordered_at >= ORDER_EVERY_S
        work.is_healed = project(work.document, after, order=work.puts_order)

    def _begin_again(self, work: _Work) -> None:
        """Go on in a new segment, or in that of whoever was first, when the journal was taken away."""
        beside = read_checkpoint(self._disk, self._folder)
        if beside and beside.ledger.position[0] > self._books.ledger.position[0]:
            self._books.open(work.filed)
            return
        with suppress(OSError):
            self._books.begin_again()
            proj = max(section_gen(work.document), beside.proj if beside else 0)
            self._put_checkpoint(Checkpoint(pruned(self._books.ledger, self._clock()), proj))

    def _next_gen(self, work: _Work) -> int:
        proj = work.checkpoint.proj if work.checkpoint else 0
        return max(section_gen(work.document), proj, work.ledger.gen) + 1

    def _commit(self, work: _Work, *, is_act: bool) -> None:
        """Write A and C, each after what it relies on (design 3, "Checkpoint")."""
        with self._guard:
            self._books.be_somebodys()
            work.ledger.store = self._books.ledger.store
        gen, now = self._next_gen(work), self._clock()
        # Told after the rename by a writer of their own: who starts from A has them already.
        writer = f"{self._books.writer}-{gen}"
        records = [
            Record(now, writer, seq, event) for seq, event in enumerate([*work.events, Written(gen=gen)], 1)
        ]
        ledger = pruned(work.ledger, now)
        for record in records:
            ledger.take(record, ledger.position)
        project(work.document, ledger, order=work.puts_order)
        stamp(work.document, gen)
        work.document[SECTION] = section(ledger, gen)
        if work.puts_order:
            self._ordered_at = now
        renamed = False

        def write_rows(_: os.stat_result) -> None:
            nonlocal renamed
            self._write(work, announce=not is_act)
            renamed = True
            with self._guard:
                self._books.send_records(records)
                self._absorb()

        try:
            extra = work.checkpoint.extra if work.checkpoint else {}
            self._put_checkpoint(Checkpoint(ledger, gen, extra), write_rows)
        except OSError as error:
            if not renamed:
                raise StoreReadOnly(self._path, _reason(error)) from error
        self._is_written(work)

    def _write_checkpoint(self, work: _Work) -> None:
        """Write C alone."""
        proj = max(section_gen(work.document), work.checkpoint.proj if work.checkpoint else 0)
        extra = work.checkpoint.extra if work.checkpoint else {}
        self._put_checkpoint(Checkpoint(pruned(work.ledger, self._clock()), proj, extra))
        self._is_written(work)

    def _put_checkpoint(
        self, checkpoint: Checkpoint, before_rename: Callable[[os.stat_result], None] | None = None
    ) -> None:
        make_dir(self._disk, self._folder)
        self._books.sync()
        data = checkpoint_bytes(checkpoint)
        write_whole(self._disk, checkpoint_path(self._folder), data, before_rename=before_rename)

    def _write(self, work: _Work, *, announce: bool) -> None:
        document, now = work.document, datetime.fromtimestamp(self._clock(), UTC)
        document["version"] = FORMAT_VERSION
        document["providers"] = document.get("providers") or {}  # hermes wants an object (hermes-pool 1.8)
        document["updated_at"] = now.isoformat(timespec="microseconds")
        data = (json.dumps(document, indent=2) + "\n").encode("ascii")

        def tell(made: os.stat_result) -> None:
            prev = work.stamped[0] if work.stamped else None
            with self._guard:
                self._books.tell([Announced(prev=prev, sig=_signature(made)[0])])
                self._absorb()

        if not (self._backed_up or (announce and has_recent(self._disk, self._path, now))):
            back_up(self._disk, self._path, now)
            self._backed_up = True
        write_whole(self._disk, self._path, data, before_rename=tell if announce else None)

    def _is_written(self, work: _Work) -> None:
        """Note what a checkpoint tells by now."""
        with self._guard:
            self._books.summed_up_at = work.ledger.position
            if self._happened == work.happened:
                self._health_since = self._uses_since = None

    @contextmanager
    def _locked(self, *, timeout_s: float, on_wait: WaitNotice) -> Iterator[None]:
        """Hold every lock of the file, never while the process's own one is held (design 3, rule 15)."""
        try:
            make_dir(self._disk, self._path.parent)
        except OSError as error:
            raise StoreReadOnly(self._path, _reason(error)) from error
        with ExitStack() as held:
            for lock in self._locks():
                held.enter_context(hold_lock(self._disk, lock, timeout_s=timeout_s, on_wait=on_wait))
            yield

    def _locks(self) -> list[Path]:
        """Where to lock, in order: beside the name (hermes' place), then beside the target of a symlink."""
        beside_name = self._path.with_suffix(".lock")
        beside_target = Path(os.path.realpath(self._path)).with_suffix(".lock")
        same = os.path.realpath(beside_name) == os.path.realpath(beside_target)
        return [beside_name] if same else [beside_name, beside_target]

    # --- parts -----------------------------------------------------------------------------------------

    def _open(self, filed: Ledger | None) -> None:
        """Start from C or A; again if A was written by somebody who could not tell of it."""
        if not self._is_open or (filed and filed.gen > self._books.ledger.gen and self._is_ours(filed)):
            self._books.open(filed)
            self._is_open = True
        elif self._books.has_news():
            self._books.catch_up()
        if filed and not self._is_ours(filed) and filed.store != self._foreign:
            # An auth.json from another home: its rows are the truth, what was known is about others.
            self._foreign = filed.store
            self._books.forget()
        self._absorb()

    def _is_ours(self, filed: Ledger) -> bool:
        return None in (filed.store, self._books.ledger.store) or filed.store == self._books.ledger.store

    def _judge(self, document: Mapping[str, Any] | None, filed: Ledger | None) -> None:
        """Remember what strangers did in this file, until somebody tells it in the journal."""
        self._met, self._met_afresh, self._outside = {}, False, {}
        if document is None:
            return
        ledger, proj = self._books.ledger, 0
        if filed and filed.gen < ledger.gen and (beside := read_checkpoint(self._disk, self._folder)):
            proj = beside.proj
        for event in outside_events(document, ledger, filed, proj=proj, now=self._clock()):
            if isinstance(event, Adopted):
                self._met, self._met_afresh = dict(event.rows), event.afresh
                if event.afresh:
                    self._met = {row.id: seen_of(row.raw) for row in raw_rows(document)}
            elif isinstance(event, Outside):
                self._outside.setdefault(event.id, []).append(event)
        if self._outside and self._happened:  # who only looks heals nothing
            self._health_since = self._health_since or monotonic()

    def _hidden(self) -> frozenset[str]:
        """Return the ids of rows that are in the file and were removed."""
        tombs = self._books.ledger.tombs
        back = {
            name for name, events in self._outside.items() if any(each.what == "restored" for each in events)
        }
        return frozenset(tombs.keys() - back) if not self._met_afresh else frozenset()

    def _absorb(self) -> None:
        """Take over what the books learned."""
        news: News = self._books.news()
        for event in news.announced:
            if event.prev in self._as_good and event.sig:
                self._as_good.add(event.sig)
        if news.written and not self._books.has_unsent:
            self._health_since = self._uses_since = None
        if news.settled:
            self._met = {name: seen for name, seen in self._met.items() if name not in news.settled}
            for name in news.settled:
                self._outside.pop(name, None)
        if news.everything:
            self._bump(None)
        elif news.rows:
            self._bump(frozenset(news.rows))

    def _bump(self, rows: frozenset[str] | None) -> None:
        self._version += 1
        self._changes.append((self._version, rows))

    def _compare(self, now: Stamp | None) -> None:
        """Meet another file than the one that was parsed: one that was announced says nothing new."""
        if now and now[0] in self._as_good:
            self._seen = self._noticed = now
        elif now != self._noticed:
            self._noticed = now
            self._bump(None)

    def _stamp(self) -> Stamp | None:
        try:
            return _signature(self._disk.stat(self._path))
        except OSError:
            return None

    def _read(self, *, hold: bool = False) -> tuple[dict[str, Any] | None, Stamp | None]:
        try:
            fd = self._disk.open_read(self._path)
            try:
                data, status = read_open(self._disk, fd)
            except OSError:
                self._disk.close(fd)
                raise
            if hold:
                self._hold(fd)
            else:
                self._disk.close(fd)
        except FileNotFoundError:
            return None, None
        except OSError as error:
            raise StoreUnreadable(self._path, _reason(error, self._owner())) from error
        return parse_document(self._path, data), _signature(status)

    def _hold(self, fd: int | None) -> None:
        held, self._held = self._held, fd
        if held is not None:
            with suppress(OSError):
                self._disk.close(held)

    def _owner(self) -> str | None:
        try:
            uid = self._disk.stat(self._path).st_uid
        except OSError:
            return None
        return None if uid == os.geteuid() else _user_name(uid)


class _Work:
    """What a writer holds under the lock: the document, and what is known while it changes it."""

    def __init__(self, document: dict[str, Any], stamped: Stamp | None) -> None:
        self.document = document
        self.stamped = stamped
        self.ledger = Ledger()
        self.filed: Ledger | None = None
        self.checkpoint: Checkpoint | None = None
        self.events: list[Event] = []
        self.happened = 0
        self.puts_order = False
        self.is_healed = False


def _store_offer(document: dict[str, Any], row: Credential) -> None:
    """Put a row into the document that was only offered until somebody used it."""
    if all(known.id != row.id for known in raw_rows(document)):
        pools = document.setdefault("credential_pool", {})
        rows = pools.setdefault(row.stored_under, []) if isinstance(pools, dict) else None
        if isinstance(rows, list):
            rows.append(row.to_json())


def _signature(status: os.stat_result) -> Stamp:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns), status.st_ctime_ns


def _reason(error: OSError, owner: str | None = None) -> str:
    said = (error.strerror or type(error).__name__).lower()
    return f"{said} (owner {owner})" if owner else said


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
