"""`Standing`: how the rows of a store stand, as one process knows it from the journal and from auth.json.

What strangers did in the file rules here at once; whoever writes next tells it in the journal.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from pathlib import Path
from typing import Any, Final

from keydeck.engine.arrears import Arrears
from keydeck.engine.books import Books
from keydeck.engine.checkpoint import SECTION, read_checkpoint
from keydeck.engine.clock import Clock
from keydeck.engine.clock_watch import ClockWatch
from keydeck.engine.events import START, Adopted, Event, Outside, Position, Seen, Signature
from keydeck.engine.files import Disk
from keydeck.engine.journal import Journal
from keydeck.engine.ledger import FRESH, READER, Facts, Ledger, Vanished, met, miss, overruled
from keydeck.engine.left import read_left
from keydeck.engine.memory import Memory
from keydeck.engine.raw_rows import raw_rows, seen_of
from keydeck.engine.strangers import old_secrets, outside_events
from keydeck.engine.trouble import (
    GAP,
    JOURNAL_GONE,
    NEWER_VERSION,
    OLD_COPY,
    Trouble,
    clock_set_back,
    gravest_first,
    old_secret,
    unread,
    untold,
)

_CHANGES_KEPT: Final = 256


class Standing:
    """What is known of a store's rows. Whoever uses it holds `guard`."""

    def __init__(self, disk: Disk, folder: Path, clock: Clock, arrears: Arrears) -> None:
        self.guard = threading.RLock()
        self.books = Books(disk, Journal(disk, folder), clock)
        self.memory = Memory()
        self.is_open = False
        self.version = 0
        """Another number whenever something changed."""
        self._disk, self._folder, self._clock = disk, folder, clock
        self._arrears = arrears
        # Which rows each of the last changes of `version` concerned; None: any may have changed.
        self._changes: deque[AbstractSet[str] | None] = deque(maxlen=_CHANGES_KEPT)
        self._as_good: set[Signature] = set()
        # What strangers did in the file that was parsed last and nobody has told in the journal yet.
        self._met: Mapping[str, Seen] = {}
        self._met_afresh = False
        self._met_at: Position = START
        self._outside: dict[str, list[Outside]] = {}
        self._foreign: str | None = None
        self.is_old_copy = False
        """Whether the file that was parsed last is an older one that somebody put in place."""
        self._old_secrets: tuple[str, ...] = ()
        self._clock_watch = ClockWatch(clock)

    def leave(self) -> None:
        """Close the journal; `open` starts again."""
        self.books.journal.leave()
        self.is_open = False

    def renew(self) -> None:
        """Be a writer of its own in a forked child."""
        self.guard = threading.RLock()
        self.books.renew()
        self._arrears.settle()
        self.is_open = False
        self.bump(None)

    # --- following the journal -------------------------------------------------------------------------

    def open(self, filed: Ledger | None) -> None:
        """Start from C or A; again if A was written by somebody who could not tell of it."""
        if not self.is_open or (filed and filed.gen > self.books.ledger.gen and self._is_ours(filed)):
            was_lost = self.books.journal.is_lost()
            self.books.open(filed)
            self.books.journal.gap |= was_lost
            self.is_open = True
        elif self.books.has_news():
            self.books.catch_up()
        if filed and not self._is_ours(filed) and filed.store != self._foreign:
            # An auth.json from another home: its rows are the truth, what was known is about others.
            self._foreign = filed.store
            self.books.forget()
        self.absorb()

    def _is_ours(self, filed: Ledger) -> bool:
        return None in (filed.store, self.books.ledger.store) or filed.store == self.books.ledger.store

    def absorb(self) -> None:
        """Take over what the books learned."""
        news = self.books.news()
        for event in news.announced:
            if event.prev in self._as_good and event.sig:
                self._as_good.add(event.sig)
        if news.written:
            self.is_old_copy = False
            if not self.books.has_unsent:
                self._arrears.settle()
        if news.settled:
            self._met = {name: seen for name, seen in self._met.items() if name not in news.settled}
            for name in news.settled:
                self._outside.pop(name, None)
        if news.everything:
            self.bump(None)
        elif news.rows:
            self.bump(news.rows)

    def flush(self) -> bool:
        """Tell everything that waits; False if something still does."""
        self._clock_watch.look()
        waited = self.books.has_unsent
        told = self.books.flush()
        self.absorb()
        if waited:
            self._arrears.owe_uses()
        return told

    # --- following the file ----------------------------------------------------------------------------

    def expect(self, signature: Signature | None) -> None:
        """Take a file of this signature for the one that was parsed, and every one that is announced to follow it."""
        self._as_good = {signature} if signature else set()

    def expects(self, signature: Signature) -> bool:
        """Tell whether a file says nothing new to who knows the journal."""
        return signature in self._as_good

    def judge(self, document: Mapping[str, Any] | None, filed: Ledger | None) -> None:
        """Remember what strangers did in this file, until somebody tells it; mend secrets in the document."""
        self._met, self._met_afresh, self._outside = {}, False, {}
        segment, offset = self.books.ledger.position
        self._met_at = (segment, offset - 1)  # who is granted a row from now on knows of it
        self.is_old_copy, self._old_secrets = False, ()
        if document is None:
            return
        left = read_left(document.get(SECTION))
        self._old_secrets = old_secrets(document, left)
        events = self._outside_events(document, filed)
        for event in events:
            if isinstance(event, Adopted):
                self._met, self._met_afresh = dict(event.rows), event.afresh
                if event.afresh:
                    self._met = {row.id: seen_of(row.raw) for row in raw_rows(document)}
            elif isinstance(event, Outside):
                self._outside.setdefault(event.id, []).append(event)
        if self._outside:
            self.memory.put_back(document, left, events)
            if self._arrears.happened:  # who only looks heals nothing
                self._arrears.owe_health()

    def _outside_events(self, document: Mapping[str, Any], filed: Ledger | None) -> list[Event]:
        ledger, proj = self.books.ledger, 0
        is_older = (filed.gen if filed else 0) < ledger.gen
        if is_older and (beside := read_checkpoint(self._disk, self._folder)):
            proj = beside.proj
            self.is_old_copy = (filed.gen if filed else 0) < proj and (not filed or self._is_ours(filed))
        return outside_events(document, ledger, filed, proj=proj, now=self._clock(), memory=self.memory)

    def untold(self) -> tuple[Outside, ...]:
        """Return what other programs did in the file as it was read, as far as no journal tells it."""
        return tuple(event for events in self._outside.values() for event in events)

    def vanished(self) -> dict[str, Vanished]:
        """Return the rows that needed a login when another program removed them, by id."""
        found = {} if self._met_afresh else dict(self.books.ledger.vanished)
        for event in self.untold():
            miss(found, event, self._clock())
        return found

    def hidden(self) -> frozenset[str]:
        """Return the ids of rows that are in the file and were removed."""
        back = {
            name for name, events in self._outside.items() if any(each.what == "restored" for each in events)
        }
        return frozenset(self.books.ledger.tombs.keys() - back) if not self._met_afresh else frozenset()

    # --- asking ----------------------------------------------------------------------------------------

    def facts(self, row_id: str) -> Facts | None:
        """Return what is known of a row, by the journal and by what strangers did since."""
        ledger = self.books.ledger
        if not (self._met or self._outside or self.books.has_unsent):
            return ledger.rows.get(row_id)
        facts, waiting = self.books.facts(row_id), self.books.pending(row_id)
        if (facts or waiting) and row_id in self._met:
            facts = met(facts or FRESH, self._met[row_id], self._met_at)
        for event in self._outside.get(row_id, ()):
            if event.what == "restored" and row_id in ledger.tombs:
                facts = ledger.tombs[row_id].facts
            facts = overruled(facts or FRESH, event, self._clock(), self._met_at)
        return (facts or FRESH).used_more(waiting) if waiting else facts

    def troubles(self) -> tuple[Trouble, ...]:
        """Return what is wrong with the journal, the clock, and the rows that were read."""
        self._clock_watch.look()
        back_s = self._clock_watch.set_back_s
        return gravest_first(
            self._journal_trouble(),
            JOURNAL_GONE if self.books.journal.is_lost() else None,
            NEWER_VERSION if self.books.ledger.min_reader > READER else None,
            old_secret(self._old_secrets) if self._old_secrets else None,
            OLD_COPY if self.is_old_copy else None,
            clock_set_back(back_s) if back_s else None,
            GAP if self.books.journal.gap else None,
        )

    def _journal_trouble(self) -> Trouble | None:
        if self.books.has_unsent:
            return untold(self.books.trouble, self._folder) if self.books.trouble else None
        self.books.trouble = None  # nobody who only looks would ever see that it is over
        if self.is_open and self.books.has_news():
            self.books.catch_up()
            self.absorb()
        return unread(self.books.trouble, self._folder) if self.books.trouble else None

    def changed_since(self, seen: int) -> AbstractSet[str] | None:
        """Return the rows that changed since `version` was `seen`, or None where everything may have."""
        missed = self.version - seen
        if missed == 1:
            return self._changes[-1]
        if missed > len(self._changes):
            return None
        changes = list(islice(reversed(self._changes), missed))
        return None if None in changes else frozenset().union(*filter(None, changes))

    def bump(self, rows: AbstractSet[str] | None) -> None:
        """Note that these rows changed, or that everything may have."""
        self.version += 1
        self._changes.append(rows)
