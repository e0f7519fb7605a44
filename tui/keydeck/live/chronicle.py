"""`Chronicle`: all that a dashboard tells of a home, from its journals and from comparing looks, and nothing twice.

The rule: the journal tells first. Looks at the files tell what no journal does: a strategy or variable changed by
hand, a new secret, the clock, and what other programs do while nobody of ours writes. Where one of the two has told
last how a thing stands, the other does not tell that again; whichever reads first, each change is told once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from keydeck.engine.snapshot import HomeReader, HomeSnapshot, PoolSnapshot
from keydeck.engine.totals import Totals
from keydeck.live.activity import Change, ChangeKind, Return, compare, elapsed, known_before
from keydeck.live.shortage import Shortage
from keydeck.live.timeline import Timelines

_JOURNAL: Final = "journal"
_LOOKS: Final = "looks"

_Thing = tuple[str, str, str | None]
"""What is in some state: an aspect, a provider, and a row."""


class Chronicle:
    """Tells what happens in one home. `begin` may run in a thread; nothing else is to be called in another one.

    Changes carry the store's own texts: `present.activity.settled` makes them fit to show.
    """

    def __init__(self, reader: HomeReader) -> None:
        self._stores = reader.stores
        self._journals = Timelines(reader)
        self._shortage = Shortage()
        self._has_begun = False
        self._beat_at = reader.clock()
        # How each thing stands, and who told.
        self._told: dict[_Thing, tuple[Any, str]] = {}

    @property
    def totals(self) -> Totals:
        """Requests by minute and hour, of the last hour at least; none until `begin` has read them."""
        return self._journals.own.totals if self._has_begun else Totals()

    def totals_of(self, pool: PoolSnapshot) -> Totals:
        """Return the totals that tell of a pool: the root's, where its rows show through from there."""
        return self._journals.root_totals if pool.is_inherited and self._has_begun else self.totals

    @property
    def has_journal(self) -> bool:
        """Whether anything was ever told in a journal."""
        return self._journals.has_journal

    def close(self) -> None:
        """Let go of the journals."""
        self._journals.close()

    def begin(self, snapshot: HomeSnapshot, now: float) -> tuple[Change, ...]:
        """Return the past, oldest first: what the journals tell, and the marks of rows that they do not tell of."""
        changes = list(self._from_journals(snapshot, now))
        # Of the time before it nobody knows what else there was but what rows still say.
        since = min((change.at for change in changes), default=math.inf)
        changes += (
            change for change in known_before(snapshot, now) if _thing("health", change) not in self._told
        )
        changes.sort(key=lambda change: change.at)
        told = self._shortage.told(changes, snapshot, now, since=since)
        self._has_begun = True
        return told

    def look(self, before: HomeSnapshot, after: HomeSnapshot, now: float) -> tuple[Change, ...]:
        """Return what is new with another look at the home, what the journals tell by now first."""
        changes = list(self._from_journals(after, now)) if self._has_begun else []
        seen = self._once(compare(before, after, now), _LOOKS)
        strange = {(event.id, event.what) for store in self._stores for event in store.untold()}
        changes += (replace(change, is_outside=(change.row_id, _what(change)) in strange) for change in seen)
        return self._with_shortage(changes, after, now)

    def beat(self, snapshot: HomeSnapshot, now: float) -> tuple[Change, ...]:
        """Return what the journals tell by now, and what the clock did; cheap enough for every second."""
        changes = list(self._from_journals(snapshot, now)) if self._has_begun else []
        since, self._beat_at = self._beat_at, now
        changes += self._once(elapsed(snapshot, since, now), _LOOKS)
        return self._with_shortage(changes, snapshot, now)

    # --- parts -----------------------------------------------------------------------------------------

    def _with_shortage(self, changes: list[Change], snapshot: HomeSnapshot, now: float) -> tuple[Change, ...]:
        return self._shortage.told(changes, snapshot, now) if self._has_begun else tuple(changes)

    def _from_journals(self, snapshot: HomeSnapshot, now: float) -> Iterator[Change]:
        told = self._journals.catch_up(snapshot, now)
        return self._once((change for change in told if not _is_bookkeeping(change)), _JOURNAL)

    def _once(self, changes: Iterable[Change], source: str) -> Iterator[Change]:
        """Yield the changes of which the other source has not told already."""
        for change in changes:
            things = _things(change)
            if any(
                self._told.get(thing, (None, source)) == (state, _other(source)) for thing, state in things
            ):
                continue
            self._told.update((thing, (state, source)) for thing, state in things)
            yield change


def _is_bookkeeping(change: Change) -> bool:
    """Tell whether a journal only began to know rows that the operator knew."""
    return change.kind is ChangeKind.ADOPTED and change.row_id is None and change.detail is None


def _what(change: Change) -> str | None:
    """Return what the journal calls a change that another program may have made (`events.Outside`)."""
    if change.kind is ChangeKind.READY:
        return "cleared" if change.detail == Return.CLEARED else None
    return _STRANGE.get(change.kind)


_STRANGE: Final = {
    ChangeKind.ADDED: "added",
    ChangeKind.REMOVED: "removed",
    ChangeKind.RENAMED: "renamed",
    ChangeKind.BENCHED: "benched",
    ChangeKind.DEAD: "benched",
}


def _other(source: str) -> str:
    return _LOOKS if source == _JOURNAL else _JOURNAL


def _things(change: Change) -> list[tuple[_Thing, Any]]:
    """Return what a change says of how things stand; nothing where only one source can tell of it."""
    state = _state(change)
    if state is None:
        return []
    aspect, value = state
    rows = (change.row_id, *change.twins)
    return [((aspect, change.provider, row), value) for row in rows]


def _thing(aspect: str, change: Change) -> _Thing:
    return (aspect, change.provider, change.row_id)


def _state(change: Change) -> tuple[str, Any] | None:
    match change.kind:
        case ChangeKind.BENCHED | ChangeKind.DEAD | ChangeKind.RESET_UNDONE:
            return "health", ("out", change.since)
        case ChangeKind.READY if change.detail == Return.COOLDOWN_OVER:
            return "health", "over"
        case ChangeKind.READY | ChangeKind.RESET | ChangeKind.RESUMED:
            return "health", "in"
        case ChangeKind.PAUSED | ChangeKind.LOST_SECRET | ChangeKind.BROKEN:
            return "health", change.kind
        case ChangeKind.RENAMED:
            return "label", change.label
        case ChangeKind.ADDED | ChangeKind.PUT_BACK:
            return "there", True
        case ChangeKind.REMOVED | ChangeKind.CAME_BACK:
            return "there", False
        case ChangeKind.STRATEGY:
            return "strategy", change.detail
    return None
