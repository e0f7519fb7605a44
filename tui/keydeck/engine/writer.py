"""`Writer`: what happens under the lock. An act of the operator, and a checkpoint, each from top to bottom.

Both begin with `_prepare`: know everything, see what strangers did, put the rows right. Both end with A, C, or
both written, each after what it relies on (design 3, "Checkpoint").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from keydeck.engine.act_events import act_events
from keydeck.engine.arrears import Arrears
from keydeck.engine.auth_document import DocumentTransaction
from keydeck.engine.auth_file import AuthFile, Stamp
from keydeck.engine.checkpoint import (
    SECTION,
    Checkpoint,
    checkpoint_bytes,
    checkpoint_path,
    is_too_new,
    pruned,
    read_checkpoint,
    read_section,
    section,
    section_gen,
)
from keydeck.engine.clock import Clock
from keydeck.engine.config import DEFAULT_HISTORY_BYTES, DEFAULT_HISTORY_S
from keydeck.engine.cooldown_policy import DEFAULT_POLICY
from keydeck.engine.credential import Credential
from keydeck.engine.errors import LockBusy, StoreError
from keydeck.engine.events import Announced, Event, Outside, Record, Signature, Status, Used, Written
from keydeck.engine.files import Disk, make_dir, write_whole
from keydeck.engine.history import prune
from keydeck.engine.ledger import READER, Ledger, without_past_pauses
from keydeck.engine.left import NOTHING_LEFT, Keys, Left, read_left
from keydeck.engine.projection import Terms, is_out_of_place, project, stamp, unpark
from keydeck.engine.raw_rows import RawRow, mark_of, raw_rows, seen_of
from keydeck.engine.rounds import shuffled
from keydeck.engine.standing import Standing
from keydeck.engine.store import Transaction, WaitNotice, ignore_wait
from keydeck.engine.strangers import outside_events

ORDER_EVERY_S: Final = 60.0
"""Priorities that hermes shuffles are put back this often at most (design 3, rule 10)."""


_OUT: Final = ("exhausted", "dead")


class _Work:
    """What a writer holds under the lock: the document, and what is known while it changes it."""

    def __init__(self, document: dict[str, Any], stamped: Stamp | None, *, exists: bool) -> None:
        self.document = document
        self.stamped = stamped
        self.exists = exists
        self.filed: Ledger | None = None
        self.checkpoint: Checkpoint | None = None
        self.ledger = Ledger()
        self.events: list[Event] = []
        """What strangers did, and what is done now: told once it is written."""
        self.before: Mapping[str, RawRow] = {}
        """The rows before they are changed on purpose."""
        self.happened = 0
        self.is_newers = False
        """Whether a newer version sums up, what this one understands in part only (rule 14)."""
        self.left = NOTHING_LEFT
        self.spared: frozenset[str] = frozenset()
        """The pool keys whose order is left as hermes shuffled it."""
        self.terms = Terms()
        self.is_healed = False
        self.renews = False
        """Whether a newer secret was put back, which no journal tells."""

    @property
    def proj(self) -> int:
        """The last generation of auth.json that C knows of."""
        return self.checkpoint.proj if self.checkpoint else 0

    @property
    def next_gen(self) -> int:
        """The generation that is written now."""
        return max(section_gen(self.document), self.proj, self.ledger.gen) + 1


class Writer:
    """Writes one store. The locks of the file are taken here, and never while `standing.guard` is held (rule 15)."""

    def __init__(
        self,
        disk: Disk,
        file: AuthFile,
        folder: Path,
        clock: Clock,
        standing: Standing,
        arrears: Arrears,
    ) -> None:
        self.history_kept = (DEFAULT_HISTORY_BYTES, DEFAULT_HISTORY_S)
        self.policy = DEFAULT_POLICY
        """How long failures bench."""
        self.offers: dict[str, Credential] = {}
        """Rows to be stored with the next checkpoint."""
        self.trouble: str | None = None
        """Why the last checkpoint could not be written, if it could not."""
        self._disk, self._file, self._folder, self._clock = disk, file, folder, clock
        self._standing, self._books, self._arrears = standing, standing.books, arrears

    @contextmanager
    def transaction(self, *, timeout_s: float, on_wait: WaitNotice) -> Iterator[Transaction]:
        """Change rows under the lock; see `Store.transaction`.

        Raises:
            LockBusy: somebody else kept the lock.
            StoreError: the file cannot be read or written; it is as it was.
        """
        with self._file.locked(timeout_s=timeout_s, on_wait=on_wait):
            work = self._begin()
            self._prepare(work, is_act=True)
            retired = frozenset(work.ledger.tombs)
            changes = DocumentTransaction(work.document, exists=work.exists, retired=retired)
            yield changes
            if changes.dirty:
                work.events += [*act_events(work.before, work.document, work.next_gen), *changes.told]
                if work.is_newers:
                    self._write_rows(work)
                else:
                    self._commit(work, is_act=True)

    def checkpoint(self, *, timeout_s: float = 0.0) -> bool:
        """Write what is known into the rows, if the lock is free within so many seconds; see `Store.checkpoint`."""
        try:
            with self._file.locked(timeout_s=timeout_s, on_wait=ignore_wait):
                is_done = self._sum_up()
        except LockBusy:
            return False
        except StoreError as error:
            self.trouble = error.reason
            return False
        except OSError as error:
            self.trouble = self._file.read_only(error).reason
            return False
        self.trouble = None if is_done else self.trouble
        return is_done

    def _sum_up(self) -> bool:
        work = self._begin()
        with self._standing.guard:
            if not self._standing.flush():
                return False  # what is summed up must be told
            if not (self._books.journal.is_open or self._books.has_news() or self.offers):
                return True
        self._prepare(work)
        if work.is_newers:
            self._settle(work)  # that version will do it
            return True
        offers = list(self.offers.values())
        for row in offers:
            _store_offer(work.document, row)
        work.events += act_events(work.before, work.document, work.next_gen)
        if offers or (work.exists and (work.is_healed or work.events or work.filed is None)):
            self._commit(work, is_act=bool(offers))
        else:
            self._write_checkpoint(work)
        for row in offers:
            self.offers.pop(row.id, None)
        with suppress(OSError):  # too much history harms nobody
            size, seconds = self.history_kept
            until, now = self._books.summed_up_at, self._clock()
            prune(self._disk, self._folder, until, now, kept_bytes=size, kept_s=seconds)
        return True

    # --- before a change -------------------------------------------------------------------------------

    def _begin(self) -> _Work:
        document, stamped = self._file.read()
        return _Work(document or {}, stamped, exists=document is not None)

    def _prepare(self, work: _Work, *, is_act: bool = False) -> None:
        """Know everything, see what strangers did, and put the rows right."""
        self._catch_up(work)
        if not work.is_newers:
            self._put_right(work, is_act=is_act)
        work.before = {row.id: row._replace(raw=dict(row.raw)) for row in raw_rows(work.document)}

    def _catch_up(self, work: _Work) -> None:
        with self._standing.guard:
            work.filed = read_section(work.document)
            work.left = read_left(work.document.get(SECTION))
            self._standing.open(work.filed)
            self._books.catch_up()
            work.is_newers = self._is_newers(work)
            if self._books.journal.is_lost() and not work.is_newers:
                self._begin_again(work)
            self._standing.absorb()
            work.checkpoint = read_checkpoint(self._disk, self._folder, work.filed)
            work.ledger, work.happened = self._books.ledger.copy(), self._arrears.happened

    def _is_newers(self, work: _Work) -> bool:
        understood = self._books.ledger.min_reader <= READER
        if understood and work.filed:
            return False
        return not understood or is_too_new(work.document, self._disk, self._folder)

    def _put_right(self, work: _Work, *, is_act: bool) -> None:
        now = self._clock()
        work.events = outside_events(
            work.document,
            work.ledger,
            work.filed,
            proj=work.proj,
            now=now,
            memory=self._standing.memory,
        )
        after = without_past_pauses(work.ledger, now)
        for event in work.events:
            after.enact(event, now, after.position)
        if 0 <= now - work.left.ordered_at < ORDER_EVERY_S:
            work.spared = shuffled(work.document, self._standing.memory.rounds)
        # An act sees benches that are over, too: a reset ends the streak that they are part of.
        work.terms = Terms(self.policy, 0.0 if is_act else now)
        work.is_healed = project(work.document, after, work.terms, spared=work.spared)
        unpark(work.document, after, work.terms)  # `_fill_in` parks them again
        work.renews = self._standing.memory.put_back(work.document, work.left, work.events)

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

    # --- writing ---------------------------------------------------------------------------------------

    def _commit(self, work: _Work, *, is_act: bool) -> None:
        """Write A and C: C is whole on disk before A is renamed, and renamed after it."""
        with self._standing.guard:
            self._books.be_somebodys()
            work.ledger.store = self._books.ledger.store
        gen, now = work.next_gen, self._clock()
        # Told after the rename by a writer of their own: who starts from A has them already.
        writer = f"{self._books.writer}-{gen}"
        records = [
            Record(now, writer, seq, event) for seq, event in enumerate([*work.events, Written(gen=gen)], 1)
        ]
        ledger = _fill_in(work, records, gen, now)
        renamed = False

        def write_rows() -> None:
            nonlocal renamed
            says_nothing_new = not (is_act or work.renews)
            self._file.write(
                work.document, now, announce=self._announcing(work) if says_nothing_new else None
            )
            renamed = True
            with self._standing.guard:
                self._books.send_records(records)
                self._standing.absorb()

        try:
            extra = work.checkpoint.extra if work.checkpoint else {}
            self._put_checkpoint(Checkpoint(ledger, gen, extra), write_rows)
        except OSError as error:
            if not renamed:
                raise self._file.read_only(error) from error
        self._settle(work)

    def _announcing(self, work: _Work) -> Callable[[Signature], None]:
        """Return what tells that the file which is about to follow says nothing new (rule 7)."""
        prev = work.stamped[0] if work.stamped else None

        def announce(signature: Signature) -> None:
            with self._standing.guard:
                self._books.tell([Announced(prev=prev, sig=signature)])
                self._standing.absorb()

        return announce

    def _write_rows(self, work: _Work) -> None:
        """Write what an act changed and nothing that is summed up: to the newer version it is a stranger's."""
        try:
            self._file.write(work.document, self._clock())
        except OSError as error:
            raise self._file.read_only(error) from error
        with self._standing.guard:
            self._books.tell(event for event in work.events if not isinstance(event, Used))
            self._standing.absorb()

    def _write_checkpoint(self, work: _Work) -> None:
        """Write C alone."""
        proj = max(section_gen(work.document), work.proj)
        extra = work.checkpoint.extra if work.checkpoint else {}
        self._put_checkpoint(Checkpoint(pruned(work.ledger, self._clock()), proj, extra))
        self._settle(work)

    def _put_checkpoint(
        self, checkpoint: Checkpoint, before_rename: Callable[[], None] | None = None
    ) -> None:
        make_dir(self._disk, self._folder)
        self._books.sync()
        data = checkpoint_bytes(checkpoint)
        rows = (lambda _: before_rename()) if before_rename else None
        write_whole(self._disk, checkpoint_path(self._folder), data, before_rename=rows)

    def _settle(self, work: _Work) -> None:
        """Note what a checkpoint tells by now."""
        with self._standing.guard:
            self._books.summed_up_at = work.ledger.position
            if self._arrears.happened == work.happened:
                self._arrears.settle()


def _fill_in(work: _Work, records: list[Record], gen: int, now: float) -> Ledger:
    """Make the document what it will be in the file, and return what is known by then."""
    ledger = pruned(work.ledger, now)
    for record in records:
        ledger.take(record, ledger.position)
    project(work.document, ledger, work.terms, spared=work.spared)
    stamp(work.document, gen)
    left = _left(work, ledger, now)
    work.document[SECTION] = section(ledger, gen, left, present=work.document.get(SECTION))
    return ledger


def _left(work: _Work, ledger: Ledger, now: float) -> Left:
    """Return what the rows will say otherwise than the ledger, and which secrets they have."""
    before, at = work.left, work.left.ordered_at if work.spared else now
    old = {event.id for event in work.events if isinstance(event, Outside) and event.what == "old secret"}
    order, keys = dict[str, float](), dict[str, str | list[Any]]()
    status, dead = dict[str, Status](), dict[str, str]()
    for row in raw_rows(work.document):
        if row.raw.get("last_status") in _OUT and row.id in ledger.rows:
            status[row.id] = seen_of(row.raw).status
            if status[row.id].status == "dead":
                dead[row.id] = row.provider
        if (mark := mark_of(row.raw)) is not None:
            keys[row.id] = _keys(before.keys_of(row.id), mark, is_old=row.id in old).form()
        facts = ledger.rows.get(row.id)
        if facts and row.pool_key in work.spared:
            there = seen_of(row.raw)
            if there.priority is not None and is_out_of_place(row, there, facts):
                order[row.id] = there.priority
    return Left(order, at, keys, status, dead)


def _keys(before: Keys | None, mark: str, *, is_old: bool) -> Keys:
    """Return which secrets a row has and had, once it is written with one of this mark."""
    if before is None:
        return Keys(mark)
    if is_old or mark == before.lies:
        return before._replace(lies=mark)
    return before.follow(mark)


def _store_offer(document: dict[str, Any], row: Credential) -> None:
    """Put a row into the document that was only offered until somebody used it."""
    if all(known.id != row.id for known in raw_rows(document)):
        pools = document.setdefault("credential_pool", {})
        rows = pools.setdefault(row.stored_under, []) if isinstance(pools, dict) else None
        if isinstance(rows, list):
            rows.append(row.to_json())
