"""What an act would do, said before it is done."""

from __future__ import annotations

from keydeck.engine.credential import Credential, is_manual
from keydeck.engine.snapshot import PoolSnapshot
from keydeck.engine.state import PoolState
from keydeck.present.rows import Context, KeyRow
from keydeck.present.spans import Line, Role, Span
from keydeck.present.text import clean


def removal_lines(pool: PoolSnapshot, state: PoolState, row: KeyRow, context: Context) -> tuple[Line, ...]:
    """Return what removing a row means: what brings it back, and what stays."""
    found = next((item.row for item in state.rows if item.id == row.id), None)
    others = [item for item in state.rows if item.id != row.id]
    ready = sum(item.health.is_usable for item in others)
    was_ready = any(item.id == row.id and item.health.is_usable for item in state.rows)
    lines: list[Line] = [
        (
            Span(f"{clean(pool.provider)} / "),
            Span(row.label, Role.STRONG),
            Span(f"  id {clean(row.id)}", Role.MUTED),
        ),
        (),
        *((Span(text, Role.MUTED),) for text in _way_back(found, context)),
    ]
    stays = f"{len(others)} of its keys stay, {ready} of them ready."
    lines.append((Span(stays, Role.DEAD if was_ready and not ready else Role.PLAIN),))
    if was_ready and not ready:
        lines.append((Span("It is the last ready key of this pool.", Role.DEAD),))
    return tuple(lines)


def _way_back(row: object, context: Context) -> list[str]:
    if not isinstance(row, Credential):
        return []
    if is_manual(row.source):
        return ["Its key is nowhere else: u brings it back for a minute."]
    source = clean(row.source.partition(":")[0] if context.masked else row.source)
    said = [
        f"It comes from {source},",
        "which stays out until something is added to this pool;",
        "u brings both back for a minute.",
    ]
    if row.source.startswith("env:"):
        said.append("A line of .env that sets it goes too, after a copy.")
    return said


def reset_lines(pool: PoolSnapshot, state: PoolState) -> tuple[Line, ...]:
    """Return what resetting a pool means."""
    out = sum(not item.health.is_usable for item in state.rows)
    return (
        (
            Span(clean(pool.provider), Role.STRONG),
            Span(f"  {out} of {len(state.rows)} keys are out", Role.MUTED),
        ),
        (),
        (Span("Benches and errors end here, and only here: the provider", Role.MUTED),),
        (Span("may still refuse. u brings them back.", Role.MUTED),),
    )
