"""What other programs did to the rows since we wrote them last.

hermes writes back whole rows from the snapshot it once loaded (hermes-pool 8.1). The stamp tells which: a row
with the present generation was changed by somebody who saw it, one with an older generation is out of date.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any, NamedTuple

from keydeck.engine.checkpoint import SECTION
from keydeck.engine.cooldown import standing, status_of
from keydeck.engine.credential import row_fingerprint
from keydeck.engine.events import Adopted, Event, Outside, Seen, Status
from keydeck.engine.ledger import Facts, Ledger
from keydeck.engine.left import Left, read_left
from keydeck.engine.memory import LOST, Memory
from keydeck.engine.parking import is_parking
from keydeck.engine.projection import ORDERED_BY_HERMES, STAMP, STAMP_FIELD, UNSTAMPED
from keydeck.engine.raw_rows import CLEAN, RawRow, is_login, mark_of, raw_rows, seen_of
from keydeck.engine.rounds import shuffled
from keydeck.engine.state import end_of


def outside_events(
    document: Mapping[str, Any],
    ledger: Ledger,
    filed: Ledger | None,
    *,
    proj: int,
    now: float,
    memory: Memory,
) -> list[Event]:
    """Tell what other programs made of the rows since we wrote them.

    Args:
        document: auth.json as it is.
        ledger: what is known by now.
        filed: what we wrote into the rows last: the file's own section; None if we never did.
        proj: the last generation of the file that is known to have been written.
        now: epoch seconds.
        memory: what this process knows besides.
    """
    rows = {row.id: row for row in raw_rows(document)}
    if filed is None and ledger.gen:
        filed = Ledger(rows=ledger.rows, store=ledger.store)  # a copy from before we ever wrote it
    if filed is None or (ledger.store and filed.store not in (None, ledger.store)):
        return _first_meeting(rows, ledger, afresh=filed is not None)
    left, numbered = read_left(document.get(SECTION)), shuffled(document, memory.rounds)
    judge = _Judge(
        ledger,
        filed,
        left,
        numbered,
        memory,
        stamped=f"{STAMP}{filed.gen}",
        is_old_copy=filed.gen < proj,
        now=now,
    )
    changed = (row for row in rows.values() if not judge.is_as_written(row))
    events: list[Event] = [event for row in changed for event in judge.of(row)]
    gone = filed.rows.keys() - rows.keys() - ledger.tombs.keys()
    events += [_removed(name, filed.rows[name], left) for name in sorted(gone) if name in ledger.rows]
    return events


def _removed(row_id: str, before: Facts, left: Left) -> Outside:
    """Tell of a row that is gone; of one that needed a login, so that it is not forgotten (FS-55)."""
    label, provider = before.label or row_id, left.dead.get(row_id, "")
    status = left.status.get(row_id)
    seen = Seen(before.used, before.label, None, status) if provider and status else None
    return Outside(id=row_id, provider=provider, label=label, what="removed", seen=seen)


def old_secrets(document: Mapping[str, Any], left: Left) -> tuple[str, ...]:
    """Return the labels of rows in which we left an older secret, not knowing the newer one."""
    had_others = filter(left.had_others, left.keys)
    lying = {name: keys.lies for name in had_others if (keys := left.keys_of(name)) and keys.lies}
    rows = raw_rows(document) if lying else ()
    return tuple(row.label for row in rows if row.id in lying and mark_of(row.raw) == lying[row.id])


def _first_meeting(rows: Mapping[str, RawRow], ledger: Ledger, *, afresh: bool) -> list[Event]:
    known = {name: seen_of(row.raw) for name, row in rows.items() if afresh or name not in ledger.tombs}
    if afresh:
        known = {name: _with_what_followed(seen, ledger.rows.get(name)) for name, seen in known.items()}
    return [Adopted(rows=known, afresh=afresh)] if known else []


def _with_what_followed(seen: Seen, since: Facts | None) -> Seen:
    """Return a row of another home with what was told of it since it is here."""
    if since is None:
        return seen
    status = status_of(standing(since.benches)) if since.benches.strikes else seen.status
    return seen._replace(used=seen.used + since.used, status=status)


class _Judge(NamedTuple):
    """What the rows of a file are held against."""

    ledger: Ledger
    filed: Ledger
    left: Left
    numbered: Container[str]
    """The pool keys whose order may be hermes' round."""
    memory: Memory
    stamped: str
    """What a row says that nobody has written since we did."""
    is_old_copy: bool
    """Whether the operator put an older file in place."""
    now: float

    def of(self, row: RawRow) -> Iterator[Outside]:
        """Tell what somebody made of a row."""
        before = self.filed.rows.get(row.id)
        if row.id in self.ledger.tombs:
            yield from self._returned(row)
        elif before is None:
            told = self.ledger.rows.get(row.id)
            if told is None or told.priority is None:  # else an act told of it, by who could not write A
                yield _outside(row, "added", seen=seen_of(row.raw))
        elif self.is_old_copy:
            yield from self._put_back(row, self.ledger.rows.get(row.id, before))
        else:
            yield from self._changed(row, before)

    # --- a row that was removed ------------------------------------------------------------------------

    def _returned(self, row: RawRow) -> Iterator[Outside]:
        """Judge a row that was removed: an old copy was put in place, another secret came, or a stale writer."""
        tomb, key = self.ledger.tombs[row.id], row_fingerprint(row.raw)
        put_back = self.is_old_copy and tomb.gen > self.filed.gen
        if put_back or (key and tomb.key and key != tomb.key):
            yield _outside(row, "restored")
            yield from self._put_back(row, tomb.facts)
        else:
            yield _outside(row, "came back")

    def _put_back(self, row: RawRow, present: Facts) -> Iterator[Outside]:
        """Accept names and order of a copy that the operator put in place; counts and benches are known better."""
        seen = seen_of(row.raw)
        if seen.label not in (None, present.label):
            yield _outside(row, "renamed")
        if seen.priority not in (None, present.priority) and row.pool_key not in self.numbered:
            yield _outside(row, "moved", seen=seen)

    # --- a row that was changed ------------------------------------------------------------------------

    def is_as_written(self, row: RawRow) -> bool:
        """Tell at a glance that nobody touched a row that was well: so are nearly all, at every reading."""
        before, reads = self.filed.rows.get(row.id), row.raw.get
        return bool(
            before
            and reads(STAMP_FIELD) == self.stamped
            and not self.is_old_copy
            and row.id not in self.ledger.tombs
            and reads("last_status") is None
            and row.id not in self.left.status
            and reads("request_count") == before.used
            and reads("label") == before.label
            and reads("priority") == self._place_written(row, before)
            and not self._has_other_secret(row)
        )

    def _changed(self, row: RawRow, before: Facts) -> Iterator[Outside]:
        """Tell what is accepted of a row, one by one, and all that is lost in one."""
        seen, current, lost = seen_of(row.raw), self._is_current(row, before), []
        for part in (self._health, self._uses, self._label, self._place, self._secret):
            for verdict in part(row, seen, before, current):
                if isinstance(verdict, str):
                    lost.append(verdict)
                else:
                    yield verdict
        if lost:
            yield _outside(row, f"lost {', '.join(lost)}")

    def _is_current(self, row: RawRow, before: Facts) -> bool:
        """Tell whether whoever wrote this row had seen what we wrote last."""
        present = row.raw.get(STAMP_FIELD)
        if row.provider in UNSTAMPED or (isinstance(present, str) and not present.startswith(STAMP)):
            return seen_of(row.raw).used >= before.used
        return bool(present == self.stamped)

    # Each of these yields what is accepted, and the name of what is lost.

    def _health(self, row: RawRow, seen: Seen, before: Facts, current: bool) -> Iterator[Outside | str]:
        wrote = self.left.status.get(row.id, CLEAN)
        if seen.status == wrote:
            return
        if is_parking(seen.status):  # from before a resume, or another pause
            yield "resume" if before.paused is None else "pause"
        elif is_parking(wrote) and not seen.status.status:
            yield from self._freed(row, before, current)
        elif seen.status.status:
            is_newer = (seen.status.at or 0.0) > before.told_at
            if current or is_newer:
                past = before.told_at if current else None
                yield _outside(row, "benched", seen=seen, past=past)
            else:
                yield "cooldown" if wrote.status else "reset"
        elif current:
            yield self._ended(row, wrote)
        else:
            yield "cooldown"

    def _freed(self, row: RawRow, before: Facts, current: bool) -> Iterator[Outside | str]:
        """Judge a paused row that is free in the file. A reset of hermes ends the bench under the pause, no more."""
        if before.paused is None or before.paused <= self.now:
            return
        yield "pause"
        if current and before.benches.strikes:
            yield _outside(row, "cleared", past=before.told_at)

    def _ended(self, row: RawRow, bench: Status) -> Outside:
        end = end_of(bench)
        is_over = end is not None and end <= self.now
        return _outside(row, "ended" if is_over else "cleared", past=bench.at)

    def _uses(self, row: RawRow, seen: Seen, before: Facts, current: bool) -> Iterator[Outside | str]:
        if current and seen.used > before.used:
            yield _outside(row, "used", used=seen.used - before.used)
        elif seen.used != before.used:
            yield "count"

    def _label(self, row: RawRow, seen: Seen, before: Facts, current: bool) -> Iterator[Outside | str]:
        if before.label is not None and seen.label != before.label:
            yield _outside(row, "renamed") if current else "label"

    def _place(self, row: RawRow, seen: Seen, before: Facts, current: bool) -> Iterator[Outside | str]:
        wrote = self._place_written(row, before)
        if None in (seen.priority, wrote) or seen.priority == wrote or row.pool_key in self.numbered:
            return
        if row.provider not in ORDERED_BY_HERMES:
            yield _outside(row, "moved", seen=seen) if current else "place"

    def _secret(self, row: RawRow, _seen: Seen, _before: Facts, current: bool) -> Iterator[Outside | str]:
        """Judge a secret that is not the one we left there.

        One that we never saw is newer, whoever wrote it: hermes renews logins. One that the row had before is
        older; of a login always, of a key unless somebody who had seen the newer put it there.
        """
        keys, mark = self.left.keys_of(row.id), mark_of(row.raw)
        if keys is None or mark in (None, keys.present):
            return
        if mark == keys.lies or (mark in keys.past and (is_login(row.raw) or not current)):
            if self.memory.knows(row.id, keys.present):
                yield _outside(row, LOST)
            elif mark != keys.lies:
                yield _outside(row, "old secret")
        elif is_login(row.raw):
            yield _outside(row, "new secret")

    def _has_other_secret(self, row: RawRow) -> bool:
        """Tell whether a login, or a key that was replaced before, is another one than it should be."""
        if not (self.left.had_others(row.id) or is_login(row.raw)):
            return False
        keys = self.left.keys_of(row.id)
        return keys is not None and keys.present != mark_of(row.raw)

    def _place_written(self, row: RawRow, before: Facts) -> float | None:
        return self.left.order.get(row.id, before.priority)


def _outside(row: RawRow, what: str, **more: Any) -> Outside:
    return Outside(id=row.id, provider=row.provider, label=row.label, what=what, **more)
