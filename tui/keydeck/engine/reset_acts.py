"""Ending benches and errors, of whole rows and of single models, and giving them back as they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from keydeck.engine.acting import Acting, Done, Undo, inherited_text, stored_row
from keydeck.engine.cooldown import Benches, Strike, models_out
from keydeck.engine.credential import CLEAN_STATUS, Credential, Row
from keydeck.engine.errors import Refused, TargetError
from keydeck.engine.events import Held, Reset, Restored, Seen, Status
from keydeck.engine.known import groups
from keydeck.engine.providers import canonical
from keydeck.engine.store import StoreSnapshot

_LOCAL: Final = "a reset is local: it does not give quota back"
_OUT: Final = ("exhausted", "dead")


class _Cleared(NamedTuple):
    """A row before its reset, under the lock."""

    row: Credential
    ids: tuple[str, ...]
    """Its own id, and those of the rows with the same secret."""
    strikes: Mapping[str, tuple[Strike, ...]]
    """What was known of each of these that kept it out, or does so for a model."""

    @property
    def models(self) -> tuple[str, ...]:
        """The models for which it was out."""
        return models_out(Benches(self.strikes[self.row.id]))

    @property
    def marks(self) -> dict[str, Any]:
        """The status fields it had."""
        return {name: getattr(self.row, name) for name in CLEAN_STATUS}

    @property
    def is_out(self) -> bool:
        """Whether these say that it was out: acts that change this tell of it."""
        return self.row.last_status in _OUT


class ResetActs(Acting):
    """Acts on benches and errors."""

    def reset(self, provider: str, credential_id: str | None = None) -> Done:
        """Clear benches and errors of one row, or of a whole pool. What the provider thinks stays as it is.

        Benches of single models end, too.

        Raises:
            TargetError: the row is gone.
            Refused: the rows belong to the root profile, or cannot be read.
            StoreError: the store is busy, unreadable or read-only.
        """
        provider = canonical(provider)
        wanted = self._row(provider, credential_id) if credential_id else None
        if wanted is None and self._pool(provider).is_inherited:
            raise Refused(inherited_text(provider))
        with self._transaction() as change:
            stored = change.snapshot()
            rows = [row for row in stored.pools.get(provider, ()) if isinstance(row, Credential)]
            chosen = rows if wanted is None else _there(stored, wanted)
            cleared = [each for row, ids in _with_twins(chosen, rows) if (each := self._marked(row, ids))]
            for each in cleared:
                change.update_row(each.row.stored_under, each.row.id, CLEAN_STATUS)
                if not each.is_out:  # the row says nothing of the models it is out for
                    change.tell(Reset(ids=each.ids, provider=provider))
        if not cleared:
            return Done(f"nothing to reset in {provider}")
        self._must_be_cleared(provider, cleared)
        what = f"{wanted.label} ({wanted.id})" if wanted else f"{len(cleared)} of {provider}"
        models = {model for each in cleared for model in each.models}
        notes = (_models_text(len(models)), _LOCAL) if models else (_LOCAL,)
        undo = Undo(f"reset of {what}", lambda operator: operator.unreset(cleared, f"reset of {what}"))
        return Done(f"reset {what}", notes, wanted.id if wanted else None, undo)

    def unreset(self, cleared: Sequence[_Cleared], what: str) -> Done:
        """Undo a reset: give the rows back what kept them out, if nothing else does by now."""
        told = set[str]()
        with self._transaction() as change:
            stored = change.snapshot()
            for each in cleared:
                here = stored_row(stored, each.row)
                if any(getattr(here, name) is not None for name in CLEAN_STATUS) or self._strikes(here.id):
                    raise Refused(
                        f"{here.label} was changed meanwhile by another program; nothing was undone"
                    )
                if not (each.is_out and each.strikes[here.id]):
                    change.update_row(here.stored_under, here.id, each.marks)
                if each.strikes[here.id] and here.id not in told:
                    change.tell(_restored(each))
                    told |= set(each.ids)
        return Done(f"undid the {what}", (), cleared[0].row.id if len(cleared) == 1 else None)

    # --- parts -----------------------------------------------------------------------------------------

    def _marked(self, row: Credential, ids: tuple[str, ...]) -> _Cleared | None:
        """Return a row as it is before its reset; None where there is nothing to be cleared."""
        found = _Cleared(row, ids, {row_id: self._strikes(row_id) for row_id in ids})
        return found if is_marked(row) or found.models else None

    def _strikes(self, row_id: str) -> tuple[Strike, ...]:
        """Return the failures of a row that nothing has ended by now."""
        facts = self._reader.store.facts(row_id)
        return facts.benches.strikes if facts else ()

    def _must_be_cleared(self, provider: str, cleared: Sequence[_Cleared]) -> None:
        """Read again, and see that no bench is there that was; a new one may be."""
        there = {row.id: row for row in self._pool(provider).rows}
        for each in cleared:
            row, now = each.row, there.get(each.row.id)
            was = {strike.place for strike in each.strikes[row.id]}
            is_same = isinstance(now, Credential) and now.last_status_at == row.last_status_at
            if (is_same and is_marked(now)) or any(strike.place in was for strike in self._strikes(row.id)):
                raise TargetError(
                    f"the bench of {row.label} ({row.id}) came back at once; is a program writing it?"
                )


def is_marked(row: Row | None) -> bool:
    """Tell whether a row carries a status or an error, or a bench of a model, that a reset would clear."""
    if not isinstance(row, Credential):
        return False
    return bool(row.last_status or row.last_status_at or row.last_error_code or row.limits)


def _there(stored: StoreSnapshot, row: Credential) -> list[Credential]:
    """Return a row as the store has it now; nothing where it is only offered."""
    return [stored_row(stored, row)] if row.stored else []


def _with_twins(
    chosen: Sequence[Credential], rows: Sequence[Credential]
) -> Iterator[tuple[Credential, tuple[str, ...]]]:
    """Yield rows of a pool, each with the ids of all that hold its secret, its own first."""
    same = {place: group for group in groups(rows) for place in group}
    places = {row.id: place for place, row in enumerate(rows)}
    for row in chosen:
        ids = (rows[place].id for place in same.get(places[row.id], ()))
        yield row, tuple(dict.fromkeys((row.id, *ids)))


def _restored(cleared: _Cleared) -> Restored:
    """Return what gives a row and those with its secret back what kept them out."""
    seen = Seen(status=Status(*cleared.marks.values()))
    return Restored(
        rows=dict.fromkeys(cleared.ids, seen),
        provider=cleared.row.provider,
        held={row_id: tuple(map(_held, strikes)) for row_id, strikes in cleared.strikes.items()},
    )


def _held(strike: Strike) -> Held:
    failure, (reason, message) = strike.failure, strike.words or (None, None)
    return Held(
        str(failure.kind),
        failure.at,
        failure.code,
        reason,
        message,
        failure.told,
        failure.scope,
        failure.key,
        failure.is_filed,
        strike.granted,
        strike.place,
        strike.number,
    )


def _models_text(number: int) -> str:
    return f"that ended the limit{'' if number == 1 else 's'} of {number} model{'' if number == 1 else 's'}"
