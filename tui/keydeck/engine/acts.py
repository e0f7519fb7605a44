"""What an operator can do to a pool. The command line and the dashboard run these very functions.

Every act addresses a row by id, works on a fresh read under the lock, and is believed only after reading again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from keydeck.engine.acting import Done, Undo, pool_key_of, stored_row
from keydeck.engine.checks import checked_label, checked_url, default_label, must_be_new, must_take_keys
from keydeck.engine.config_acts import ConfigActs
from keydeck.engine.credential import Credential, VanishedRow, is_manual
from keydeck.engine.discovery import custom_base_url
from keydeck.engine.errors import Refused, TargetError
from keydeck.engine.events import Dismissed, Outside, Seen
from keydeck.engine.pause_acts import PauseActs
from keydeck.engine.providers import (
    canonical,
    default_base_url,
    is_custom,
    names_of,
)
from keydeck.engine.reset_acts import ResetActs
from keydeck.engine.secret import Secret, why_not_a_secret
from keydeck.engine.sources import Shut, shut_source
from keydeck.engine.store import StoreSnapshot

UNDO_OF_REMOVAL_S: Final = 60.0
"""How long a removed secret may wait in memory for an undo, in seconds."""


# Strategies that do not care which row stands first.
_UNORDERED: Final = frozenset({"least_used", "random"})


class Operator(ResetActs, PauseActs, ConfigActs):
    """Acts on one home, for the whole of its life the same one."""

    def add_key(
        self, provider: str, secret: Secret, *, label: str | None = None, base_url: str | None = None
    ) -> Done:
        """Add an API key as a manual row, last in its pool.

        Raises:
            Refused: no such provider, no real key, a label or URL that cannot be, or the key is there already.
            StoreError: the store is busy, unreadable or read-only.
        """
        provider = self._known(provider)
        must_take_keys(provider)
        if reason := why_not_a_secret(secret.reveal()):
            raise Refused(f"that is not a key: {reason}")
        url = checked_url(base_url) if base_url else self._default_url(provider)
        if label is not None:
            label = checked_label(label)
            if secret.reveal() in label:
                raise Refused("the label contains the key")
        inherited = self._pool(provider).is_inherited
        with self._transaction() as change:
            stored = change.snapshot()
            rows = [row for row in stored.pools.get(provider, ()) if isinstance(row, Credential)]
            must_be_new(rows, secret, label)
            pool_key = pool_key_of(stored, provider)
            row = Credential(
                id=_new_id(stored),
                provider=provider,
                label=label or default_label(rows),
                priority=max((int(row.priority) for row in rows), default=-1) + 1,
                source="manual",
                access_token=secret,
                base_url=url,
            )
            for name in names_of(provider):
                change.unsuppress(name)
            change.add_row(pool_key, row.to_json())
        self._must_be_there(provider, row.id)
        notes = (f"{provider} in this profile now has a key of its own: the root's no longer show here",)
        undo = Undo(
            f"adding {row.label}", lambda operator: operator.take_back(row), holds_secret=True, takes_key=True
        )
        return Done(f"added {row.label} to {provider} as {row.id}", notes if inherited else (), row.id, undo)

    def remove(self, provider: str, credential_id: str) -> Done:
        """Take one credential out, and keep it out where its source would bring it back (hermes-pool 6.4).

        Raises:
            TargetError: the row is gone.
            Refused: the row belongs to the root profile, or cannot be read.
            StoreError: the store is busy, unreadable or read-only.
        """
        provider = canonical(provider)
        if gone := self._vanished(provider, credential_id):
            return self._dismiss(gone)
        row = self._row(provider, credential_id)
        shut = Shut()
        with self._transaction() as change:
            stored = change.snapshot()
            if row.stored:
                row = stored_row(stored, row)
                change.remove_row(row.stored_under, row.id)
            if not _has_sibling(stored, row):
                shut = shut_source(self._reader, change, row)
        if any(left.id == row.id for left in self._pool(provider).rows):
            raise TargetError(f"{row.label} ({row.id}) came back at once; is a program adding it again?")
        undo = Undo(
            f"removal of {row.label}", lambda operator: operator.put_back(row, shut), holds_secret=True
        )
        return Done(f"removed {row.label} ({row.id}) from {provider}", shut.notes, row.id, undo)

    def edit(
        self,
        provider: str,
        credential_id: str,
        *,
        label: str | None = None,
        base_url: str | None = None,
        seen: Credential | None = None,
    ) -> Done:
        """Give a stored row another label, another endpoint, or both.

        Args:
            provider: whose pool.
            credential_id: which row.
            label: the new label, None as it is.
            base_url: the new address, None as it is.
            seen: the row as the operator knew it; if another program gave it other ones meanwhile, nothing is done.

        Raises:
            TargetError: the row is gone.
            Refused: the label or address cannot be, or the row is not stored, takes them from its source, or is
                not as it was seen.
            StoreError: the store is busy, unreadable or read-only.
        """
        provider = canonical(provider)
        row = self._row(provider, credential_id)
        _must_be_stored(row)
        fields: dict[str, Any] = {}
        if label is not None:
            fields["label"] = checked_label(label)
        if base_url is not None:
            if not is_manual(row.source):
                raise Refused(f"{row.label} takes its address from {row.source}; change it there")
            fields["base_url"] = checked_url(base_url)
        with self._transaction() as change:
            stored = change.snapshot()
            here = stored_row(stored, row)
            _must_be_as_seen(here, seen)
            fields = {name: value for name, value in fields.items() if getattr(here, name) != value}
            if "label" in fields:
                _must_be_free(stored, here, fields["label"])
            change.update_row(here.stored_under, here.id, fields)
        if not fields:
            return Done(f"{row.label} ({row.id}) is as you want it already", (), row.id)
        self._must_hold(provider, row.id, fields)
        before = {name: getattr(here, name) for name in fields}
        undo = Undo(
            f"edit of {here.label}",
            lambda op: op.write_back([(here, before)], fields, f"edit of {here.label}"),
        )
        said = f"renamed {here.label} to {fields['label']}" if "label" in fields else f"changed {here.label}"
        return Done(f"{said} ({row.id})", (), row.id, undo)

    def move(self, provider: str, credential_id: str, place: int | Callable[[int, int], int]) -> Done:
        """Put a stored row at another place of its pool; the others keep their order.

        Args:
            provider: whose pool.
            credential_id: which row.
            place: the new 0-based place, or what makes it out of (present place, last place).

        Raises:
            TargetError: the row is gone.
            Refused: the row is not stored, or its provider orders such rows itself.
            StoreError: the store is busy, unreadable or read-only.
        """
        provider = canonical(provider)
        row = self._row(provider, credential_id)
        _must_be_stored(row)
        _must_be_movable(row)
        with self._transaction() as change:
            line = _line_of(change.snapshot(), row)
            here = next(spot for spot, other in enumerate(line) if other.id == row.id)
            wanted = place if isinstance(place, int) else place(here, len(line) - 1)
            there = min(max(wanted, 0), len(line) - 1)
            line.insert(there, line.pop(here))
            moved = [(other, spot) for spot, other in enumerate(line) if other.priority != spot]
            for other, spot in moved:
                change.update_row(other.stored_under, other.id, {"priority": spot})
        if here == there:
            return Done(f"{row.label} ({row.id}) stands there already", (), row.id)
        self._must_hold(provider, row.id, {"priority": there})
        strategy = self._pool(provider).followed_strategy
        notes: list[str] = []
        if strategy in _UNORDERED:
            notes.append(f"{provider} picks by {strategy}: the order matters little")
        if there == 0 and self._is_out(provider, credential_id):
            notes.append("it is out now: others are taken until it is back")
        undo = Undo(f"move of {row.label}", lambda operator: operator.move(provider, credential_id, here))
        where = "first" if there == 0 else "last" if there == len(line) - 1 else f"to place {there + 1}"
        return Done(f"moved {row.label} {where} ({row.id})", tuple(notes), row.id, undo)

    def undo(self, undo: Undo) -> Done:
        """Apply an inverse, if what it would change still looks as it was left.

        Raises:
            Refused: somebody changed it meanwhile; nothing was undone.
            TargetError: the row is gone.
            StoreError: the store is busy, unreadable or read-only.
        """
        return undo.run(self)

    def take_back(self, row: Credential) -> Done:
        """Undo an addition."""
        with self._transaction() as change:
            here = stored_row(change.snapshot(), row)
            if here.access_token != row.access_token:
                raise Refused(f"{row.label} has another key by now; nothing was undone")
            change.remove_row(here.stored_under, here.id)
        return Done(f"took {row.label} back out of {row.provider}", (), row.id)

    def put_back(self, row: Credential, shut: Shut) -> Done:
        """Undo a removal: the row with its secret, and the source it came from."""
        with self._transaction() as change:
            if any(other.id == row.id for other in change.snapshot().pools.get(row.provider, ())):
                raise Refused(f"{row.label} is there again already")
            for reopen in shut.reopen:
                reopen(change)
            if row.stored:
                change.add_row(row.stored_under, row.to_json())
        if row.stored:
            self._must_be_there(row.provider, row.id)
        return Done(f"put {row.label} back into {row.provider}", (), row.id)

    def remind(self, row: VanishedRow) -> Done:
        """Undo a dismissal."""
        with self._transaction() as change:
            there = (other.id for rows in change.snapshot().pools.values() for other in rows)
            if row.id in there:
                raise Refused(f"{row.label} is there again already")
            change.tell(
                Outside(
                    id=row.id,
                    provider=row.provider,
                    label=row.label,
                    what="reminded",
                    seen=Seen(status=row.status),
                    past=row.vanished_at,
                )
            )
        self._must_be_there(row.provider, row.id)
        return Done(f"{row.label} is listed again: {row.reason}", (), row.id)

    def write_back(
        self, rows: list[tuple[Credential, dict[str, Any]]], left: Mapping[str, Any], what: str
    ) -> Done:
        """Undo a change of fields: give each row its former values, if it still holds what we `left`."""
        with self._transaction() as change:
            stored = change.snapshot()
            for row, former in rows:
                here = stored_row(stored, row)
                if any(getattr(here, name) != left[name] for name in former):
                    raise Refused(
                        f"{here.label} was changed meanwhile by another program; nothing was undone"
                    )
                change.update_row(here.stored_under, here.id, former)
        return Done(f"undid the {what}", (), rows[0][0].id if len(rows) == 1 else None)

    # --- parts -----------------------------------------------------------------------------------------

    def _vanished(self, provider: str, credential_id: str) -> VanishedRow | None:
        rows = (row for row in self._pool(provider).rows if row.id == credential_id)
        return next((row for row in rows if isinstance(row, VanishedRow) and not row.inherited), None)

    def _dismiss(self, row: VanishedRow) -> Done:
        """Stop telling of a row that another program removed."""
        with self._transaction() as change:
            change.tell(Dismissed(id=row.id, provider=row.provider))
        if self._vanished(row.provider, row.id):
            raise TargetError(f"{row.label} ({row.id}) came back at once; is a program adding it again?")
        undo = Undo(f"dismissal of {row.label}", lambda operator: operator.remind(row))
        return Done(f"dismissed {row.label} ({row.id}): {row.provider} has it no more", (), row.id, undo)

    def _must_be_there(self, provider: str, credential_id: str) -> None:
        if all(row.id != credential_id for row in self._pool(provider).rows):
            raise TargetError(f"the new row {credential_id} is gone again: somebody removed it at once")

    def _default_url(self, provider: str) -> str | None:
        if not is_custom(provider):
            return default_base_url(provider)
        if url := custom_base_url(self._reader.config(), provider):
            return url
        raise Refused(f"config.yaml has no endpoint {provider}: it needs a base URL (--base-url)")


def _new_id(stored: StoreSnapshot) -> str:
    taken = {row.id for rows in stored.pools.values() for row in rows} | stored.retired
    while (fresh := os.urandom(3).hex()) in taken:
        pass
    return fresh


def _must_be_stored(row: Credential) -> None:
    if not row.stored:
        raise Refused(f"{row.label} is only offered by {row.source}; it is stored when an agent uses it")


def _must_be_as_seen(here: Credential, seen: Credential | None) -> None:
    if seen is not None and here.label != seen.label:
        raise Refused(f"somebody else renamed it to {here.label} meanwhile; nothing was changed")
    if seen is not None and here.base_url != seen.base_url:
        raise Refused("somebody else changed its base URL meanwhile; nothing was changed")


def _must_be_free(stored: StoreSnapshot, row: Credential, label: str) -> None:
    for other in stored.pools.get(row.provider, ()):
        if other.id != row.id and other.label.strip().lower() == label.lower():
            raise Refused(f"the label {label} is taken by {other.id}")


def _must_be_movable(row: Credential) -> None:
    # hermes renumbers these on every load, by where they come from (hermes-pool 4.6).
    if row.provider == "anthropic" and not is_manual(row.source):
        raise Refused(f"hermes itself orders {row.source} among the keys of anthropic")


def _line_of(stored: StoreSnapshot, row: Credential) -> list[Credential]:
    """Return the rows among which this one has its place, in their order."""
    rows = [other for other in stored.pools.get(row.provider, ()) if isinstance(other, Credential)]
    if row.provider == "anthropic":
        rows = [other for other in rows if is_manual(other.source)]
    line = sorted(rows, key=lambda other: other.priority)
    if all(other.id != row.id for other in line):
        raise TargetError(f"{row.label} ({row.id}) is gone: somebody removed it meanwhile")
    return line


def _has_sibling(stored: StoreSnapshot, row: Credential) -> bool:
    """Tell whether another row shares the source: suppressing it would silence that one too (FS-57)."""
    rows = stored.pools.get(row.provider, ())
    return any(
        isinstance(other, Credential) and other.source == row.source and other.id != row.id for other in rows
    )
