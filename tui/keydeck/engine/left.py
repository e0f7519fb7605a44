"""What our last writing of auth.json left in its rows that the ledger does not say: ``keydeck.left`` in the file.

It is written with the rows, in one step, so that it is always about exactly the rows beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from keydeck.engine.events import Status

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
FIELD: Final = "left"
_PAST_KEPT: Final = 6
_dump = json.JSONEncoder(separators=(",", ":")).encode


class Keys(NamedTuple):
    """Which secrets a row has and had, by their marks (`raw_rows.mark_of`)."""

    present: str
    past: tuple[str, ...] = ()
    """The ones before, the last of them first."""
    lies: str | None = None
    """An older one that lies in the row, because nobody who wrote since knew the present one."""

    def follow(self, mark: str) -> Keys:
        """Return the keys once the row has a secret of this mark."""
        past = tuple(each for each in (self.present, *self.past) if each != mark)
        return Keys(mark, past[:_PAST_KEPT])

    def form(self) -> str | list[Any]:
        """Return it in short: most rows never had another secret."""
        return [self.present, self.lies, *self.past] if self.past or self.lies else self.present


class Left(NamedTuple):
    """Of the order only what differs is told; most files have nothing of it."""

    order: Mapping[str, float] = _NOTHING
    """Row → the priority that hermes gave it, where ours was not put back yet."""
    ordered_at: float = 0.0
    """When priorities were put right last, in epoch seconds."""
    keys: Mapping[str, str | list[Any]] = _NOTHING
    """Row → the form of its `Keys`."""
    status: Mapping[str, Status] = _NOTHING
    """Row → the status that was written into it, where it was not clean."""
    dead: Mapping[str, str] = _NOTHING
    """Row → its provider, of those that need a login: should one be missing, nothing else says whose it was."""

    def had_others(self, row_id: str) -> bool:
        """Tell whether a row is known to have had other secrets."""
        return type(self.keys.get(row_id)) is list

    def keys_of(self, row_id: str) -> Keys | None:
        """Return which secrets a row has and had, as far as we wrote it."""
        form = self.keys.get(row_id)
        if isinstance(form, str):
            return Keys(form)
        if not isinstance(form, list) or not form:
            return None
        present, lies, *past = form
        return Keys(present, tuple(past), lies)


NOTHING_LEFT: Final = Left()


def read_left(section: Any) -> Left:
    """Return what was left, from our section of auth.json; nothing where it cannot be understood."""
    try:
        told = json.loads(section[FIELD])
        order = {name: float(spot) for name, spot in told["order"].items()}
        status = {name: Status(*form) for name, form in told.get("status", {}).items()}
        dead = {name: str(provider) for name, provider in told.get("dead", {}).items()}
        return Left(order, float(told["at"]), dict(told["keys"]), status, dead)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return NOTHING_LEFT


def left_form(left: Left) -> str:
    """Return it as one string: as an object it would be spread over a line for every row."""
    tables = {"order": left.order, "keys": left.keys, "status": left.status}
    told = {"at": left.ordered_at, **{name: dict(table) for name, table in tables.items()}}
    return _dump({**told, "dead": dict(left.dead)} if left.dead else told)
