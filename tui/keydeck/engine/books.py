"""`Books`: what this process knows of a store from its journal, and what it has yet to tell.

Uses are gathered and told in batches; whatever changes health is told at once. Nothing is dropped before it was
seen in the journal under the number it was told with, so that nothing counts twice (design 3, rules 4 and 13).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from typing import Final

from keydeck.engine.checkpoint import Checkpoint, is_sum, kept_s, kept_writers, read_checkpoint
from keydeck.engine.clock import Clock
from keydeck.engine.events import START, Adopted, Announced, Event, Outside, Position, Record, Used, Written
from keydeck.engine.files import Disk
from keydeck.engine.journal import SEGMENT_BYTES, Journal, SegmentMissing, header
from keydeck.engine.ledger import READER, Facts, Ledger

BATCH_ROWS: Final = 256
"""With uses of so many different rows gathered, they are told without waiting longer."""
_LONGEST_QUEUE: Final = 4096
_TRIES: Final = 8
_AT_WORK_S: Final = 1.0
_MANY_WRITERS: Final = 256
_SETTLING: Final = frozenset({Outside, Adopted})
_UNTOLD: Final = 1 << 62
"""The offset at which what is not told yet would stand: behind everything."""


class News:
    """What was folded in since somebody asked."""

    written = False
    """Whether auth.json was written with all that was known."""
    everything = False
    """Whether the ledger was read anew, so that any row may have changed."""

    def __init__(self) -> None:
        self.rows: set[str] = set()
        self.announced: list[Announced] = []
        self.settled: set[str] = set()
        """Rows of which it was told what strangers had made of them."""


class Books:
    """The ledger of one store in one process. Whoever uses it holds the process's own lock on the store."""

    def __init__(self, disk: Disk, journal: Journal, clock: Clock) -> None:
        self.ledger = Ledger()
        self.journal = journal
        self.trouble: OSError | None = None
        """Why events wait, if they do: a full disk, a folder that may not be written."""
        self._disk = disk
        self._clock = clock
        self._news = News()
        self._many_writers = _MANY_WRITERS
        self.summed_up_at: Position = START
        """Up to where a checkpoint is known to tell it all."""
        self.renew()

    def renew(self) -> None:
        """Be another writer from now on, with nothing to tell: in a forked child the parent tells its own."""
        self.writer = os.urandom(6).hex()
        self._seq = 0
        self._pending: dict[str, int] = {}
        self._queue: deque[Record] = deque()
        self._told: deque[Record] = deque(maxlen=_LONGEST_QUEUE)
        self._view: Ledger | None = None

    # --- opening ---------------------------------------------------------------------------------------

    def open(self, filed: Ledger | None) -> Checkpoint | None:
        """Start from the checkpoint that is further on, and fold what the journal says after it.

        Args:
            filed: the section of auth.json, if there is one.

        Returns:
            The checkpoint beside the journal, if there is one.
        """
        checkpoint = read_checkpoint(self._disk, self.journal.folder, filed)
        beside = checkpoint.ledger if checkpoint else None
        ours = [base for base in (beside, filed) if base and base.store == (beside or base).store]
        self._start(max(ours, key=lambda base: base.position, default=None))
        self.ledger.gen = max([self.ledger.gen, *(base.gen for base in ours)])
        self.summed_up_at = max((base.position for base in ours), default=START)
        self._news.everything = True
        self._give_back()
        return checkpoint

    def _start(self, base: Ledger | None) -> None:
        self.journal.leave()
        self.ledger = base.copy() if base else Ledger()
        try:
            if self._join() and base and self.journal.store_of() not in (None, base.store):
                # Somebody else's journal: the rows are the truth, start at its end (design 3, rule 13).
                self.ledger = Ledger(position=self.journal.skip_to_end(), store=self.journal.store_of())
            self._fold()
        except SegmentMissing:  # the journal ends here, and goes on in a new segment
            pass
        except OSError as error:
            self.trouble = error

    def forget(self) -> None:
        """Begin at the end of the journal: what was told so far is about other rows."""
        known = self.ledger
        self.ledger = Ledger(
            known.position,
            writers=known.writers,
            gen=known.gen,
            store=known.store,
            min_reader=known.min_reader,
        )
        self._news.everything = True
        self._view = None

    def _give_back(self) -> None:
        """Queue again what the new base proves lost."""
        lost = [record for record in self._told if not (self._has_landed(record) or self._is_late(record))]
        self._told.clear()
        self._queue.extendleft(reversed(lost))
        self._view = None

    # --- following -------------------------------------------------------------------------------------

    def has_news(self) -> bool:
        """Tell whether somebody told something; asked before every pick."""
        try:
            return self.journal.changed() if self.journal.is_open else self._ahead() is not None
        except OSError as error:
            self.trouble = error
            return False

    def catch_up(self) -> None:
        """Fold what was told since the last time."""
        try:
            self._fold()
            if self.journal.is_unlinked():
                self._follow_elsewhere()
        except SegmentMissing:
            self.open(None)
        except OSError as error:
            self.trouble = error
        self._drop_landed()
        self._view = None

    def _fold(self) -> None:
        if self.journal.is_open or self._join():
            try:
                for part in self.journal.parts():
                    for place, record in part:
                        self._take(record, place)
            finally:
                self.ledger.position = self.journal.position
            if len(self.ledger.writers) > self._many_writers:
                self.ledger.writers = kept_writers(self.ledger.writers, self._clock())
                self._many_writers = max(_MANY_WRITERS, 2 * len(self.ledger.writers))

    def _follow_elsewhere(self) -> None:
        """Go to where somebody has begun again, once the sum of what was before is there."""
        beside = read_checkpoint(self._disk, self.journal.folder)
        if beside and beside.ledger.position[0] > self.ledger.position[0]:
            self.journal.gap = True  # what was told before is gone
            self.open(None)

    def _take(self, record: Record, place: Position) -> None:
        rows, event, news = self.ledger.take(record, place), record.event, self._news
        news.rows.update(rows)
        if type(event) in _SETTLING:
            news.settled.update(rows)
        elif type(event) is Announced:
            news.announced.append(event)
        elif type(event) is Written:
            news.written = True

    def news(self) -> News:
        """Return what came in since this was last called."""
        news, self._news = self._news, News()
        return news

    def facts(self, row_id: str) -> Facts | None:
        """Return what is known of a row, what this process has yet to tell included."""
        ledger = self._with_queue() if self._queue else self.ledger
        return ledger.rows.get(row_id)

    def pending(self, row_id: str) -> int:
        """Return how many uses of a row are gathered and not told."""
        return self._pending.get(row_id, 0)

    def others_at_work(self) -> int:
        """Return how many other writers told something within the last second."""
        since, own = self._clock() - _AT_WORK_S, self.writer
        told = self.ledger.writers.items()
        # A checkpoint is made by a writer that has a name of its own.
        return sum(at > since and writer != own and not is_sum(writer) for writer, (_, at) in told)

    def bytes_since_checkpoint(self) -> int:
        """Return how much journal somebody who opens the store would have to fold."""
        (segment, offset), (past, before) = self.ledger.position, self.summed_up_at
        return offset - before if segment == past else offset

    def _with_queue(self) -> Ledger:
        """Return the ledger as it will be: a bench that cannot be written rules here all the same."""
        if self._view is None:
            self._view = self.ledger.copy()
            for record in self._queue:
                self._news.rows.update(self._view.take(record, (self.ledger.position[0], _UNTOLD)))
        return self._view

    # --- telling ---------------------------------------------------------------------------------------

    def count(self, row_id: str, number: int = 1) -> bool:
        """Gather uses of a row; True if so many are gathered that they should be told now."""
        # Taken out and put last: the batch tells which row was used last.
        self._pending[row_id] = self._pending.pop(row_id, 0) + number
        return len(self._pending) >= BATCH_ROWS

    def tell(self, events: Iterable[Event]) -> None:
        """Write events into the journal; what cannot be written waits and rules in this process."""
        for event in events:
            self._enqueue(event)
        self._send()
        if self._queue:
            self._with_queue()

    def flush(self) -> bool:
        """Write everything that waits, gathered uses too; tell whether nothing waits any more."""
        self._send()
        if self._pending and not self._queue:
            self._enqueue(Used(counts=self._pending))
            self._pending = {}
            self._send()
        if self.journal.position[1] > SEGMENT_BYTES and not self._queue:
            self._rotate()
        return not (self._queue or self._pending)

    @property
    def is_told(self) -> bool:
        """Whether every event is in the journal; uses may wait."""
        return not self._queue

    @property
    def has_unsent(self) -> bool:
        """Whether something waits."""
        return bool(self._queue or self._pending)

    def _enqueue(self, event: Event) -> None:
        if len(self._queue) >= _LONGEST_QUEUE:
            del self._queue[1]  # the first one may hold uses, and may have landed
        self._seq += 1
        self._queue.append(Record(self._clock(), self.writer, self._seq, event))
        self._view = None

    def _send(self) -> None:
        tries = 0
        while self._queue and tries < _TRIES:
            record = self._queue[0]
            if is_sum(record.writer) and self._is_late(record):
                self._queue.popleft()
                self._news.everything = True  # the checkpoint itself tells it
                continue
            try:
                if not self.journal.is_open and not self._join():
                    self._begin_first()
                self._write(record)
            except OSError as error:
                self.trouble = error
                return
            # Behind a seal it is void: `catch_up` has gone on to the next segment, where it is told again.
            tries += bool(self._queue) and self._queue[0] is record
        self.trouble = self.trouble if self._queue else None

    def _write(self, record: Record) -> None:
        """Append a record, and fold what is in the journal up to it.

        Raises:
            OSError: it may have been written in part or not at all.
        """
        place = self.journal.write(record)
        if place is None:
            self.catch_up()
            return
        self._take(record, place)
        self.ledger.position = self.journal.position
        self._drop_landed()
        self._view = None

    def send_records(self, records: Iterable[Record]) -> None:
        """Write records of another writer of this process, in their order."""
        self._queue.extend(records)
        self._send()

    def _drop_landed(self) -> None:
        while self._queue and self._has_landed(self._queue[0]):
            self._told.append(self._queue.popleft())

    def _has_landed(self, record: Record) -> bool:
        last, _ = self.ledger.writers.get(record.writer, (0, 0.0))
        return record.seq <= last

    def _is_late(self, record: Record) -> bool:
        """Tell whether a record is so old that somebody may have forgotten whether it has landed."""
        return self._clock() - record.at > kept_s(record.writer) / 2

    # --- segments --------------------------------------------------------------------------------------

    def _join(self) -> bool:
        """Open the segment in which the ledger ends, or the first one after it."""
        segment, _ = self.ledger.position
        if (ahead := self._ahead()) is None:
            return False
        self.journal.gap = self.journal.gap or (segment > 0 and ahead != segment)
        return self.journal.go_to(self.ledger.position if ahead == segment else (ahead, 0))

    def _ahead(self) -> int | None:
        segment, _ = self.ledger.position
        return next((number for number in self.journal.segments() if number >= segment), None)

    def be_somebodys(self) -> None:
        """Make sure that there is a journal, and an id of the store, before anything refers to them."""
        try:
            if not self.journal.is_open and not self._join():
                self._begin_first()
                self.catch_up()
            if self.ledger.store is None:  # its maker has not written the header yet: the first one counts
                self._write(header(os.urandom(8).hex(), self.writer, self._clock(), READER))
        except OSError as error:
            self.trouble = error
        self.ledger.store = self.ledger.store or os.urandom(8).hex()

    def begin_again(self) -> None:
        """Leave a journal that was taken away, and begin the next segment with all that is known.

        Raises:
            OSError: it cannot be made.
        """
        self.catch_up()
        self.begin_segment()
        self.journal.gap = True
        self.catch_up()

    def sync(self) -> None:
        """Push what was told to the device."""
        self.journal.sync()

    def _begin_first(self) -> None:
        """Begin the segment that follows what is known, or go to it: somebody may have begun it a moment ago."""
        self.begin_segment(self.ledger.position[0] + 1)

    def begin_segment(self, number: int | None = None) -> None:
        """Begin a segment, with a number that was never used unless one is named.

        Raises:
            OSError: it cannot be made.
        """
        number = number or max([self.ledger.position[0], *self.journal.segments()]) + 1
        store = self.ledger.store or os.urandom(8).hex()
        self.journal.begin(number, header(store, self.writer, self._clock(), self.ledger.min_reader))

    def _rotate(self) -> None:
        store = self.ledger.store or os.urandom(8).hex()
        try:
            self.journal.rotate(header(store, self.writer, self._clock(), self.ledger.min_reader))
        except OSError as error:
            self.trouble = error
        self.catch_up()
