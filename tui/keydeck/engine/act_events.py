"""What an act of ours made of the rows, as events: from the rows before and after, whatever the act was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from keydeck.engine.credential import row_fingerprint
from keydeck.engine.events import Added, Edited, Event, Moved, Removed, Reset, Restored, Used
from keydeck.engine.raw_rows import RawRow, raw_rows, seen_of


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
