"""Which row the operator means: an exact id, then a label, then a 1-based place (hermes-pool 5.8)."""

from __future__ import annotations

from collections.abc import Sequence

from keydeck.engine.credential import Row
from keydeck.engine.errors import TargetError


def resolve_target(rows: Sequence[Row], target: str) -> Row:
    """Return the one row that `target` names.

    Raises:
        TargetError: nothing answers to it, or several labels do; the text lists them.
    """
    wanted = target.strip()
    if not wanted:
        raise TargetError("no credential was named")
    if by_id := [row for row in rows if row.id == wanted]:
        return _only(by_id, wanted)
    if by_label := [row for row in rows if row.label.strip().lower() == wanted.lower()]:
        return _only(by_label, wanted)
    if wanted.isascii() and wanted.isdigit() and len(wanted) < 10 and 1 <= int(wanted) <= len(rows):
        return rows[int(wanted) - 1]
    raise TargetError(f"no credential {wanted!r} here; `keydeck auth list` shows ids and labels")


def _only(found: list[Row], wanted: str) -> Row:
    if len(found) > 1:
        ids = ", ".join(row.id for row in found)
        raise TargetError(f"{wanted!r} names {len(found)} credentials; use one of the ids {ids}")
    return found[0]
