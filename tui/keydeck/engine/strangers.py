"""What other programs did to the rows since we wrote them last, and the rows as they should be.

hermes writes back whole rows from the snapshot it once loaded (hermes-pool 8.1). The stamp tells which: a row
with the present generation was changed by somebody who saw it, one with an older generation is out of date.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from keydeck.engine.credential import SECRET_FIELDS, STATUS_FIELDS, row_fingerprint, row_id
from keydeck.engine.events import (
    Added,
    Adopted,
    Edited,
    Event,
    Moved,
    Outside,
    Removed,
    Reset,
    Restored,
    Seen,
    Status,
    Used,
)
from keydeck.engine.ledger import Facts, Ledger
from keydeck.engine.providers import canonical
from keydeck.engine.redact import Scrubber
from keydeck.engine.reset_times import parse_time
from keydeck.engine.secret import Secret
from keydeck.engine.state import end_of

STAMP_FIELD: Final = "agent_key_id"
"""A field that hermes keeps and uses for nous alone."""
_STAMP: Final = "kd:"
_UNSTAMPED: Final = frozenset({"nous"})
# hermes puts these in an order of its own at every load (hermes-pool 4.6).
_ORDERED_BY_HERMES: Final = frozenset({"anthropic"})
_CLEAN: Final = Status()
_LONGEST_MESSAGE: Final = 2000


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row of the file with the names it goes by."""

    id: str
    provider: str
    raw: dict[str, Any] = field(repr=False)

    @property
    def label(self) -> str:
        """Its label, for whoever reads of it."""
        return _label(self.raw) or self.id


def raw_rows(document: Mapping[str, Any]) -> Iterator[RawRow]:
    """Yield every row of a document that is an object with an id of its own."""
    pools = document.get("credential_pool")
    for pool_key, raws in pools.items() if isinstance(pools, dict) else ():
        provider = canonical(pool_key)
        for raw in raws if isinstance(raws, list) else ():
            if isinstance(raw, dict):
                yield RawRow(row_id(pool_key, raw), provider, raw)


def seen_of(raw: Mapping[str, Any]) -> Seen:
    """Return what matters of a raw row."""
    used, priority = raw.get("request_count"), raw.get("priority")
    return Seen(
        used if type(used) is int and used > 0 else 0,
        _label(raw),
        priority if type(priority) in (int, float) else None,
        status_of(raw),
    )


def status_of(raw: Mapping[str, Any]) -> Status:
    """Return a raw row's status fields; the clean status for one that was never out or is well again."""
    if raw.get("last_status") not in ("exhausted", "dead"):
        return _CLEAN
    status, at, code, reason, message, until = (raw.get(name) for name in STATUS_FIELDS)
    scrub = Scrubber([Secret(value) for value in _secrets(raw)]).scrub
    return Status(
        str(status),
        parse_time(at),
        code if type(code) is int else None,
        scrub(reason) if isinstance(reason, str) else None,
        scrub(message)[:_LONGEST_MESSAGE] if isinstance(message, str) else None,
        parse_time(until),
    )


def _label(raw: Mapping[str, Any]) -> str | None:
    """Return the label, unless it repeats a secret: the journal holds none."""
    label = raw.get("label")
    if not isinstance(label, str) or any(value in label for value in _secrets(raw)):
        return None
    return label


def _secrets(raw: Mapping[str, Any]) -> list[str]:
    values = (raw.get(name) for name in SECRET_FIELDS)
    return [value for value in values if isinstance(value, str) and value]


# --- what strangers did ------------------------------------------------------------------------------------


def outside_events(
    document: Mapping[str, Any], ledger: Ledger, filed: Ledger | None, *, proj: int, now: float
) -> list[Event]:
    """Tell what other programs made of the rows since we wrote them.

    Args:
        document: auth.json as it is.
        ledger: what is known by now.
        filed: what we wrote into the rows last: the file's own section; None if we never did.
        proj: the last generation of the file that is known to have been written.
        now: epoch seconds.
    """
    rows = {row.id: row for row in raw_rows(document)}
    if filed is None and ledger.gen:
        filed = Ledger(rows=ledger.rows, store=ledger.store)  # a copy from before we ever wrote it
    if filed is None or (ledger.store and filed.store not in (None, ledger.store)):
        return _first_meeting(rows, ledger, afresh=filed is not None)
    old_copy = filed.gen < proj
    events: list[Event] = []
    for row in rows.values():
        before = filed.rows.get(row.id)
        if row.id in ledger.tombs:
            events += _returned(row, ledger, filed.gen if old_copy else None)
        elif before is None:
            events.append(_outside(row, "added", seen=seen_of(row.raw)))
        elif not old_copy and _is_as_written(row, before, filed.gen):
            continue
        elif old_copy:
            events += _put_back(row, ledger.rows.get(row.id, before))
        else:
            events += _changed(row, before, current=is_current(row, filed.gen, before), now=now)
    gone = filed.rows.keys() - rows.keys() - ledger.tombs.keys()
    events += [
        Outside(id=name, provider="", label=filed.rows[name].label or name, what="removed")
        for name in sorted(gone)
        if name in ledger.rows
    ]
    return events


def _outside(row: RawRow, what: str, **more: Any) -> Outside:
    return Outside(id=row.id, provider=row.provider, label=row.label, what=what, **more)


def is_current(row: RawRow, gen: int, before: Facts) -> bool:
    """Tell whether whoever wrote this row had seen what we wrote last."""
    stamp = row.raw.get(STAMP_FIELD)
    if row.provider in _UNSTAMPED or (isinstance(stamp, str) and not stamp.startswith(_STAMP)):
        return seen_of(row.raw).used >= before.used
    return bool(stamp == f"{_STAMP}{gen}")


def _is_as_written(row: RawRow, before: Facts, gen: int) -> bool:
    """Tell at a glance that nobody touched a row that was well: so are nearly all, at every reading."""
    reads = row.raw.get
    return bool(
        reads(STAMP_FIELD) == f"{_STAMP}{gen}"
        and reads("last_status") is None
        and before.bench is None
        and reads("request_count") == before.used
        and reads("label") == before.label
    )


def _first_meeting(rows: Mapping[str, RawRow], ledger: Ledger, *, afresh: bool) -> list[Event]:
    known = {name: seen_of(row.raw) for name, row in rows.items() if afresh or name not in ledger.tombs}
    if afresh:
        known = {name: _with_what_followed(seen, ledger.rows.get(name)) for name, seen in known.items()}
    return [Adopted(rows=known, afresh=afresh)] if known else []


def _with_what_followed(seen: Seen, since: Facts | None) -> Seen:
    """Return a row of another home with what was told of it since it is here."""
    if since is None:
        return seen
    status = since.bench.status if since.bench else seen.status
    return seen._replace(used=seen.used + since.used, status=status)


def _returned(row: RawRow, ledger: Ledger, restored_gen: int | None) -> Iterator[Outside]:
    """Judge a row that was removed: an old copy was put in place, another secret came, or a stale writer."""
    tomb, key = ledger.tombs[row.id], row_fingerprint(row.raw)
    put_back = restored_gen is not None and tomb.gen > restored_gen
    if put_back or (key and tomb.key and key != tomb.key):
        yield _outside(row, "restored")
    else:
        yield _outside(row, "came back")


def _put_back(row: RawRow, present: Facts) -> Iterator[Event]:
    """Accept names and order of a copy that the operator put in place; counts and benches are known better."""
    seen = seen_of(row.raw)
    if seen.label not in (None, present.label):
        yield _outside(row, "renamed")
    if seen.priority not in (None, present.priority):
        yield Moved(order={row.id: seen.priority or 0}, provider=row.provider)


def _changed(row: RawRow, before: Facts, *, current: bool, now: float) -> Iterator[Outside]:
    seen = seen_of(row.raw)
    wrote = before.bench.status if before.bench else _CLEAN
    lost = []
    if seen.status != wrote:
        what = _verdict(seen.status, wrote, before.told_at, current=current, now=now)
        if what == "lost":
            lost.append("cooldown" if wrote.status else "reset")
        elif what == "benched":
            yield _outside(row, what, seen=seen, past=before.told_at if current else None)
        else:
            yield _outside(row, what, past=wrote.at)
    if current and seen.used > before.used:
        yield _outside(row, "used", count=seen.used - before.used)
    elif seen.used != before.used:
        lost.append("count")
    if before.label is not None and seen.label != before.label:
        if current:
            yield _outside(row, "renamed")
        else:
            lost.append("label")
    if lost:
        yield _outside(row, f"lost {', '.join(lost)}")


def _verdict(theirs: Status, ours: Status, told_at: float, *, current: bool, now: float) -> str:
    if theirs.status:
        return "benched" if current or (theirs.at or 0.0) > told_at else "lost"
    if not current:
        return "lost"
    end = end_of(ours)
    return "cleared" if end is None or end > now else "ended"


# --- what an act of ours did -------------------------------------------------------------------------------


def act_events(old: Mapping[str, RawRow], after: Mapping[str, Any], gen: int) -> list[Event]:
    """Tell what we made of these rows in a file that will be written as generation `gen`."""
    new = {row.id: row for row in raw_rows(after)}
    events: list[Event] = []
    for name, row in old.items():
        if name not in new:
            key = row_fingerprint(row.raw)
            events.append(Removed(id=name, provider=row.provider, label=row.label, key=key, gen=gen))
        elif new[name].raw != row.raw:
            events += _edited(row, new[name], new.values())
    events += [
        Added(id=name, provider=row.provider, seen=seen_of(row.raw))
        for name, row in new.items()
        if name not in old
    ]
    return events


def _edited(old: RawRow, new: RawRow, rows: Iterable[RawRow]) -> Iterator[Event]:
    before, after = seen_of(old.raw), seen_of(new.raw)
    if after.status != before.status:
        ids = (new.id, *twins_of(new, rows))
        if after.status.status:
            yield Restored(rows=dict.fromkeys(ids, after), provider=new.provider)
        else:
            yield Reset(ids=ids, provider=new.provider)
    if after.used != before.used:
        yield Used(counts={new.id: after.used - before.used})
    if after.priority != before.priority and after.priority is not None:
        yield Moved(order={new.id: after.priority}, provider=new.provider)
    if after.label != before.label:
        yield Edited(id=new.id, provider=new.provider, label=after.label)


def twins_of(row: RawRow, rows: Iterable[RawRow]) -> tuple[str, ...]:
    """Return the ids of the other rows of the pool that hold the same secret (hermes-recovery G18)."""
    key = row_fingerprint(row.raw)
    others = (other for other in rows if other.provider == row.provider and other.id != row.id)
    return tuple(other.id for other in others if key and row_fingerprint(other.raw) == key)


# --- the rows as they should be ----------------------------------------------------------------------------


def project(document: dict[str, Any], ledger: Ledger, *, order: bool) -> bool:
    """Write into the rows what is known of them, take removed ones out, and tell whether anything differed.

    Args:
        document: auth.json, changed in place.
        ledger: what is known.
        order: whether priorities that somebody shuffled are put back too (design 3, rule 10).
    """
    changed = _bury(document, ledger)
    for row in raw_rows(document):
        facts = ledger.rows.get(row.id)
        if facts is not None and (wanted := _wanted(row, facts, order=order)):
            row.raw.update(wanted)
            changed = True
    return changed


def stamp(document: Mapping[str, Any], gen: int) -> None:
    """Write the generation into every row that can carry it."""
    for row in raw_rows(document):
        present = row.raw.get(STAMP_FIELD)
        ours = present is None or (isinstance(present, str) and present.startswith(_STAMP))
        if ours and row.provider not in _UNSTAMPED:
            row.raw[STAMP_FIELD] = f"{_STAMP}{gen}"


def _bury(document: Mapping[str, Any], ledger: Ledger) -> bool:
    buried = [row for row in raw_rows(document) if row.id in ledger.tombs]
    for row in buried:
        for raws in document["credential_pool"].values():
            if isinstance(raws, list):
                raws[:] = [raw for raw in raws if raw is not row.raw]
    return bool(buried)


def _wanted(row: RawRow, facts: Facts, *, order: bool) -> dict[str, Any]:
    """Return the fields that say something else than is known."""
    seen, status = seen_of(row.raw), facts.bench.status if facts.bench else _CLEAN
    wanted: dict[str, Any] = {}
    if seen.used != facts.used:
        wanted["request_count"] = facts.used
    if seen.status != status:
        wanted.update(zip(STATUS_FIELDS, status, strict=True))
    if facts.label not in (None, seen.label):
        wanted["label"] = facts.label
    if order and facts.priority not in (None, seen.priority) and row.provider not in _ORDERED_BY_HERMES:
        wanted["priority"] = facts.priority
    return wanted
