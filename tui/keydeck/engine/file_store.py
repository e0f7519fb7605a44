"""The store that hermes uses: auth.json with its flock, and our journal beside it (hermes-pool 1.8, 1.9; design 3).

Only this module and those below it know that rows live in a file. Reading, following and telling is here,
writing under the lock in `writer`. It differs from hermes on purpose in two ways: what cannot be read is an error
and never an empty store, and a write changes the fields concerned of the rows concerned.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from keydeck.engine import flusher
from keydeck.engine.arrears import Arrears
from keydeck.engine.auth_document import snapshot_of
from keydeck.engine.auth_file import AuthFile, Stamp
from keydeck.engine.checkpoint import read_section
from keydeck.engine.clock import Clock, wall_clock
from keydeck.engine.cooldown_policy import Policy
from keydeck.engine.credential import Credential
from keydeck.engine.events import Event, Outside, Position
from keydeck.engine.files import Disk
from keydeck.engine.follower import Follower
from keydeck.engine.history import read_history, totals_now
from keydeck.engine.home import Home
from keydeck.engine.journal import Placed
from keydeck.engine.ledger import Facts, Vanished
from keydeck.engine.standing import Standing
from keydeck.engine.store import (
    EMPTY_STORE,
    LOCK_TIMEOUT_S,
    StoreSnapshot,
    Transaction,
    WaitNotice,
    ignore_wait,
)
from keydeck.engine.totals import Totals
from keydeck.engine.trouble import Trouble, gravest_first, rows_unwritten
from keydeck.engine.writer import Writer

FOLDER: Final = "keydeck"
CHECKPOINT_EVERY_BYTES: Final = 64 << 10
"""After so much journal C is written, so that opening stays cheap."""

LAST_WAIT_S: Final = 0.5
"""Who closes waits this long for the lock: of several that end at once the last one must not leave it to nobody."""
_TRIES: Final = 5


class FileStore:
    """The store of one home, in its auth.json. Threads may share it."""

    def __init__(
        self, home: Home, *, path: Path | None = None, disk: Disk | None = None, clock: Clock = wall_clock
    ) -> None:
        self._home = home
        self._path = path or home.auth_path
        self._disk = disk = disk or Disk()
        self._file = AuthFile(disk, self._path)
        self._folder = self._file.real_folder / FOLDER
        self._arrears = Arrears()
        self._standing = Standing(disk, self._folder, clock, self._arrears)
        self._guard, self._books = self._standing.guard, self._standing.books
        self._writer = Writer(disk, self._file, self._folder, clock, self._standing, self._arrears)
        self._summing_up = threading.Lock()
        self._shown = 0
        # The file that was parsed last or says the same, and the last other one that was noticed.
        self._seen: Stamp | None = None
        self._noticed: Stamp | None = None
        self._tended = False
        flusher.follow_forks(self)

    @property
    def home(self) -> Home:
        """The home this store belongs to."""
        return self._home

    @property
    def path(self) -> Path:
        """The file, as named."""
        return self._path

    @property
    def writer(self) -> str:
        """The name under which this process tells."""
        return self._books.writer

    # --- reading ---------------------------------------------------------------------------------------

    def snapshot(self) -> StoreSnapshot:
        """Read the file without a lock: it is only ever replaced whole.

        Raises:
            StoreError: unreadable, corrupt, or of a newer version.
        """
        with self._guard:
            for _ in range(_TRIES):
                document = self._read()
                if not self._standing.is_old_copy or self._file.stamp() == self._seen:
                    break  # else it is no copy that was restored: it was replaced while we read
            self._shown = self._standing.version
            if document is None:
                return EMPTY_STORE
            snapshot = snapshot_of(document, self._standing.hidden())
            self._standing.memory.learn(snapshot)
            return snapshot

    def _read(self) -> Mapping[str, Any] | None:
        self._seen = self._noticed = self._file.stamp()
        self._standing.expect(None)
        document, self._seen = self._file.read(hold=True)
        self._noticed = self._seen
        self._standing.expect(self._seen[0] if self._seen else None)
        filed = read_section(document) if document else None
        self._standing.open(filed)
        self._standing.judge(document, filed)
        return document

    def changed(self) -> bool:
        """Tell whether something is known that `snapshot` last did not show."""
        return self.poll() != self._shown

    def poll(self) -> int:
        """Learn what others told and whether the file is another one; see `Store.poll`."""
        with self._guard:
            now = self._file.stamp()  # first: by the time a file is seen, what announces it is in the journal
            standing = self._standing
            if standing.is_open and self._books.has_news():
                self._books.catch_up()
                standing.absorb()
            if now != self._seen:
                self._compare(now)
            return standing.version

    def _compare(self, now: Stamp | None) -> None:
        """Meet another file than the one that was parsed: one that was announced says nothing new."""
        if now and self._standing.expects(now[0]):
            self._seen = self._noticed = now
        elif now != self._noticed:
            self._noticed = now
            self._standing.bump(None)

    def changed_since(self, seen: int) -> AbstractSet[str] | None:
        """Return the rows that changed since, or None where everything may have."""
        with self._guard:
            return self._standing.changed_since(seen)

    def facts(self, row_id: str) -> Facts | None:
        """Return what is known of a row, by the journal and by what strangers did since."""
        with self._guard:
            return self._standing.facts(row_id)

    def untold_uses(self, row_id: str) -> int:
        """Return how many uses of a row this process counted and has not told."""
        return self._books.pending(row_id)

    def others_at_work(self) -> int:
        """Return how many other processes told something within the last second."""
        with self._guard:
            return self._books.others_at_work()

    def vanished(self) -> Mapping[str, Vanished]:
        """Return the rows that needed a login when another program removed them, by id."""
        with self._guard:
            return self._standing.vanished()

    def position(self) -> Position:
        """Return up to where the journal is known."""
        return self._books.ledger.position

    def history(self, start: Position | None = None) -> Iterator[Placed]:
        """Yield what happened, from a position or the beginning of what is kept; see `history.read_history`."""
        return read_history(self._disk, self._folder, start)

    def follow(self) -> Follower:
        """Return a reader of what happens, with a descriptor of its own."""
        return Follower(self._disk, self._folder)

    def untold(self) -> tuple[Outside, ...]:
        """Return what other programs did in the file as it was read, as far as no journal tells it."""
        with self._guard:
            return self._standing.untold()

    def totals(self) -> Totals:
        """Return requests per minute and per hour, by row."""
        return totals_now(self._disk, self._folder)

    def troubles(self) -> tuple[Trouble, ...]:
        """Return what is wrong with the store now, the gravest first."""
        with self._guard:
            unwritten = self._writer.trouble
            return gravest_first(*self._standing.troubles(), rows_unwritten(unwritten) if unwritten else None)

    # --- telling ---------------------------------------------------------------------------------------

    def count(self, row_id: str, number: int = 1) -> None:
        """Gather uses of a row; they are told in batches."""
        with self._guard:
            self._arrears.happened += 1
            hurry = self._books.count(row_id, number)
        if hurry or not self._tended:
            self._arrears.owe_uses()
            self._wake(hurry=hurry)

    def append(self, event: Event) -> None:
        """Tell an event at once."""
        with self._guard:
            self._arrears.happened += 1
            self._books.tell([event])
            self._standing.absorb()
        self._arrears.owe_health()
        if not self._tended:
            self._wake()

    def claim(self, event: Event) -> bool:
        """Tell a claim at once; False if it cannot be told now. The rows say nothing of it."""
        with self._guard:
            self._arrears.happened += 1
            self._books.tell([event])
            self._standing.absorb()
            is_told = self._books.is_told
        self._arrears.owe_uses()
        if not self._tended:
            self._wake()
        return is_told

    def flush(self) -> bool:
        """Tell everything that waits."""
        with self._guard:
            return self._standing.flush()

    def _wake(self, *, hurry: bool = False) -> None:
        self._tended = True
        flusher.wake(self, hurry=hurry)

    # --- writing ---------------------------------------------------------------------------------------

    def transaction(
        self, *, timeout_s: float = LOCK_TIMEOUT_S, on_wait: WaitNotice = ignore_wait
    ) -> AbstractContextManager[Transaction]:
        """Change the file under hermes' lock; see `Store.transaction`.

        Raises:
            LockBusy: somebody else kept the lock.
            StoreError: the file cannot be read or written; it is as it was.
        """
        return self._writer.transaction(timeout_s=timeout_s, on_wait=on_wait)

    def adopt(self, row: Credential) -> None:
        """Store a row with the next checkpoint that was only offered until somebody used it."""
        with self._guard:
            self._writer.offers[row.id] = row

    def checkpoint(self, *, timeout_s: float = 0.0) -> bool:
        """Write what is known into the rows, if the lock is free within so many seconds; see `Store.checkpoint`."""
        # Threads of one process take turns: who closes must not give up because of the background thread.
        with self._summing_up:
            return self._writer.checkpoint(timeout_s=timeout_s)

    def keep_history(self, size: int, seconds: float) -> None:
        """Keep so many bytes of journal, for so long."""
        self._writer.history_kept = (size, seconds)

    def keep_strategies(self, strategies: Mapping[str, str]) -> None:
        """Note in which pools hermes goes round; see `rounds.Rounds`."""
        self._standing.memory.rounds.learn(strategies)

    def keep_policy(self, policy: Policy) -> None:
        """Note how long failures bench; who tells anything writes the rows anew when that changes."""
        if policy != self._writer.policy:
            self._writer.policy = policy
            if self._arrears.happened:
                self._arrears.owe_health()
                self._tended = False

    # --- living ----------------------------------------------------------------------------------------

    def tend(self) -> bool:
        """Tell what waits, and write the rows where that is due; False when nothing is left to do."""
        self.flush()
        if self._is_due() and not self.checkpoint():
            self._arrears.put_off()
        with self._guard:
            self._tended = self._books.has_unsent or self._is_behind()
            return self._tended

    def _is_due(self) -> bool:
        """Tell whether it is time to write the rows, or C alone."""
        return not self._arrears.are_put_off and (
            self._arrears.are_due
            or self._books.bytes_since_checkpoint() >= CHECKPOINT_EVERY_BYTES
            or self._must_begin_again()
        )

    def _is_behind(self) -> bool:
        return self._arrears.exist or self._must_begin_again()

    def _must_begin_again(self) -> bool:
        """Tell whether the journal was taken away under a writer; who only looked leaves it to one."""
        return self._arrears.happened > 0 and self._books.journal.is_lost()

    def close(self) -> None:
        """Tell what waits, sum it up where the lock is free in time, and let go of the files."""
        if not self._standing.is_open:
            return
        if self.flush() and self._is_behind():
            self.checkpoint(timeout_s=LAST_WAIT_S)
        flusher.forget(self)
        with self._guard:
            self._standing.leave()
            self._file.let_go()
            self._tended, self._seen = False, None
            self._standing.bump(None)  # whoever goes on opens it again

    def after_fork(self) -> None:
        """Be a writer of its own in a child; what the parent gathered is the parent's to tell."""
        self._standing.renew()
        self._guard, self._summing_up = self._standing.guard, threading.Lock()
        self._tended, self._seen = False, None
