"""Taking keys out for a while, and letting them work again."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from keydeck.engine.acting import Acting, Done, Undo, stored_row
from keydeck.engine.credential import Credential
from keydeck.engine.errors import Refused
from keydeck.engine.events import Paused, Resumed
from keydeck.engine.parking import FOR_GOOD
from keydeck.engine.providers import canonical


class PauseActs(Acting):
    """Acts on pauses; they are told in the journal, and written into the row for hermes."""

    def pause(self, provider: str, credential_id: str, *, until: float | None = None) -> Done:
        """Take one credential out, for good or until a time (epoch seconds); what is under way goes on.

        hermes finds it benched until then. A row that is only offered is stored.

        Raises:
            TargetError: the row is gone.
            Refused: the time is over, or the row belongs to the root profile or cannot be read.
            StoreError: the store is busy, unreadable or read-only.
        """
        now, end = self._reader.clock(), FOR_GOOD if until is None else until
        if not end > now:
            raise Refused("that time is over already")
        row, said = self._row(canonical(provider), credential_id), _pause_text(end, now)
        before = self._set_pause(row, end)
        if before == end:
            return Done(f"{row.label} ({row.id}) is {said} already")
        undo = Undo(f"pause of {row.label}", lambda operator: operator.take_pause_back(row, before, end))
        return Done(f"{said}: {row.label} ({row.id})", self._pause_notes(row), row.id, undo)

    def resume(self, provider: str, credential_id: str) -> Done:
        """Let a paused credential work again, with the bench or error it had.

        Raises:
            TargetError: the row is gone.
            Refused: the row belongs to the root profile, or cannot be read.
            StoreError: the store is busy, unreadable or read-only.
        """
        row = self._row(canonical(provider), credential_id)
        before = self._set_pause(row, None)
        if before is None:
            return Done(f"{row.label} ({row.id}) is not paused")
        undo = Undo(f"resuming {row.label}", lambda operator: operator.take_pause_back(row, before, None))
        notes = ("it is still out: what happened to it before goes on",)
        is_out = self._is_out(row.provider, row.id)
        return Done(f"resumed {row.label} ({row.id})", notes if is_out else (), row.id, undo)

    def take_pause_back(self, row: Credential, former: float | None, left: float | None) -> Done:
        """Undo a pause or its end: give a row the pause it had, if it still has the one that was `left`."""
        if former is not None and former <= self._reader.clock():
            raise Refused(f"the pause of {row.label} would be over by now; nothing was undone")
        self._set_pause(row, former, seen=(left,))
        return Done(
            f"{row.label} works again" if former is None else f"{row.label} is paused again", (), row.id
        )

    def _set_pause(
        self, row: Credential, until: float | None, *, seen: tuple[float | None] | None = None
    ) -> float | None:
        """Pause a row until a time, or None: let it work; return the pause it had.

        Args:
            row: whose pause.
            until: its end in epoch seconds, infinity for none.
            seen: the only pause that may be replaced, where not every one may.
        """
        with self._transaction() as change:
            if row.stored:
                row = stored_row(change.snapshot(), row)
            before = self._pause_of(row)
            if seen is not None and (before,) != seen:
                raise Refused(f"{row.label} was paused or resumed meanwhile; nothing was undone")
            if before == until:
                return before
            if not row.stored:
                change.add_row(row.stored_under or row.provider, row.to_json())
            known: dict[str, Any] = {"ids": (row.id,), "provider": row.provider}
            end = None if until == FOR_GOOD else until
            change.tell(Resumed(**known) if until is None else Paused(**known, until=end))
        self._must_hold(row.provider, row.id, {"paused": until})
        return before

    def _pause_of(self, row: Credential) -> float | None:
        """Return until when a row is paused by now."""
        facts = self._reader.store.facts(row.id)
        until = facts.paused if facts else None
        return until if until is not None and until > self._reader.clock() else None

    def _pause_notes(self, row: Credential) -> tuple[str, ...]:
        """Return what a pause does not do, and what it leaves behind."""
        pool = self._pool(row.provider)
        twins = [other for other in pool.rows if isinstance(other, Credential) and other.id != row.id]
        same = [other.label for other in twins if row.access_token and other.access_token == row.access_token]
        notes = [f"{', '.join(same)} has the same key and goes on"] if same else []
        if not pool.at(self._reader.clock()).usable:
            notes.append(f"no key of {row.provider} is ready now")
        return tuple(notes)


def _pause_text(until: float, now: float) -> str:
    """Return a pause in words, its end in local time."""
    if not math.isfinite(until):
        return "paused"
    try:
        then, today = datetime.fromtimestamp(until), datetime.fromtimestamp(now)
    except (ValueError, OverflowError, OSError):
        return "paused"
    return (
        f"paused until {then:%H:%M}" if then.date() == today.date() else f"paused until {then:%Y-%m-%d %H:%M}"
    )
