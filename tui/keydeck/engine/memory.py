"""What one process remembers of a store that no file says: the strategies it read, and the newest secrets it saw.

Secrets stay in memory; files and events know only their marks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from keydeck.engine.credential import SECRET_FIELDS, Credential
from keydeck.engine.events import Event, Outside
from keydeck.engine.left import Left
from keydeck.engine.raw_rows import mark_of, raw_rows
from keydeck.engine.rounds import Rounds
from keydeck.engine.store import StoreSnapshot

# What belongs to a token and goes with it.
_TOKEN_FIELDS: Final = (
    *SECRET_FIELDS,
    *("expires_at", "expires_at_ms", "last_refresh", "agent_key_expires_at"),
)
LOST: Final = "lost secret"
"""What an event calls an older secret that is replaced by the newer one."""


class Memory:
    """What is known besides; it grows with what is read."""

    def __init__(self) -> None:
        self.rounds = Rounds()
        """In which pools hermes goes round."""
        self._rows: Mapping[str, Credential] = {}

    def learn(self, snapshot: StoreSnapshot) -> None:
        """Remember the rows as they were read last, older secrets replaced."""
        rows = (row for rows in snapshot.pools.values() for row in rows)
        self._rows = {row.id: row for row in rows if isinstance(row, Credential)}

    def knows(self, row_id: str, mark: str) -> bool:
        """Tell whether the secrets of this mark can be put back into a row."""
        return self._tokens(row_id, mark) is not None

    def put_back(self, document: Mapping[str, Any], left: Left, events: Iterable[Event]) -> bool:
        """Write newer secrets into the rows in which these events found an older one; tell whether there was one."""
        lost = {event.id for event in events if isinstance(event, Outside) and event.what == LOST}
        for row in raw_rows(document) if lost else ():
            keys = left.keys_of(row.id) if row.id in lost else None
            if keys and (tokens := self._tokens(row.id, keys.present)):
                row.raw.update(tokens)
        return bool(lost)

    def _tokens(self, row_id: str, mark: str) -> dict[str, Any] | None:
        row = self._rows.get(row_id)
        raw = row.to_json() if row else {}
        return {name: raw[name] for name in _TOKEN_FIELDS if name in raw} if mark_of(raw) == mark else None
