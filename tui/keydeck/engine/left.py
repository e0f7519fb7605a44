"""What our last writing of auth.json left in its rows that the ledger does not say: ``keydeck.left`` in the file.

It is written with the rows, in one step, so that it is always about exactly the rows beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

FIELD: Final = "left"
_dump = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Left:
    """Only what differs is told; most files have nothing of it."""

    order: Mapping[str, float] = field(default_factory=dict)
    """Row → the priority that hermes gave it, where ours was not put back yet."""
    ordered_at: float = 0.0
    """When priorities were put right last, in epoch seconds."""


NOTHING_LEFT: Final = Left()


def read_left(section: Any) -> Left:
    """Return what was left, from our section of auth.json; nothing where it cannot be understood."""
    try:
        told = json.loads(section[FIELD])
        order = {str(name): float(spot) for name, spot in told["order"].items()}
        return Left(order, float(told["at"]))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return NOTHING_LEFT


def left_form(left: Left) -> str:
    """Return it as one string: as an object it would be spread over a line for every row."""
    return _dump({"order": left.order, "at": left.ordered_at})
