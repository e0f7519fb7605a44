"""What an act would do, said before it is done."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from keydeck.engine.credential import Credential, is_manual
from keydeck.engine.snapshot import HomeSnapshot, PoolSnapshot
from keydeck.engine.state import PoolState
from keydeck.present.rows import Context, label_text, shown_name
from keydeck.present.spans import Line, Role, Span
from keydeck.present.text import cut, width, wrapped

_CELLS: Final = 54
"""What a dialog has for a line in a terminal of 60 cells, beside its scroll bar."""
_NAME_CELLS: Final = 24
_LABEL_CELLS: Final = 40
_ID_CELLS: Final = 12
_MOST_NAMED: Final = 4


def removal_lines(pool: PoolSnapshot, state: PoolState, row_id: str, context: Context) -> tuple[Line, ...]:
    """Return what removing a row means: what brings it back, and what stays."""
    place, found = next(
        ((place, item) for place, item in enumerate(state.rows, 1) if item.id == row_id), (0, None)
    )
    if found is None:
        return ((Span("it is gone: somebody removed it meanwhile", Role.DEAD),),)
    return (
        _headline(pool.provider, shown_name(found, place, context), row_id, context),
        (),
        *((Span(text, Role.MUTED),) for text in _way_back(found.row, context)),
        *_what_stays(state, {row_id}, ""),
    )


def removals_lines(
    snapshot: HomeSnapshot, places: Collection[tuple[str, str]], now: float, context: Context
) -> tuple[Line, ...]:
    """Return what removing several rows means."""
    lines: list[Line] = []
    stays: list[Line] = []
    count = 0
    for pool in snapshot.pools:
        ids = {row_id for provider, row_id in places if provider == pool.provider}
        if not ids:
            continue
        state, name = pool.at(now), _short(label_text(pool.provider, context.scrubber), _NAME_CELLS, context)
        labels = [shown_name(row, place, context) for place, row in enumerate(state.rows, 1) if row.id in ids]
        count += len(labels)
        named = ", ".join(_short(label, _LABEL_CELLS, context) for label in labels)
        lines += [(Span(part),) for part in wrapped(f"{name} / {named}", _CELLS)] if labels else []
        stays += _what_stays(state, ids, f"{name}: ")
    head = (Span(f"{count} keys", Role.STRONG),)
    return (head, *lines, (), *stays, (Span("u brings them back for a minute.", Role.MUTED),))


def pause_lines(
    snapshot: HomeSnapshot, places: Collection[tuple[str, str]], now: float, context: Context
) -> tuple[Line, ...]:
    """Return what pausing rows means: which they are, and whether a pool is left without a ready key."""
    named: list[Line] = []
    warned: list[Line] = []
    for pool in snapshot.pools:
        ids = {row_id for provider, row_id in places if provider == pool.provider}
        state, provider = pool.at(now), label_text(pool.provider, context.scrubber)
        for place, row in enumerate(state.rows, 1):
            if row.id in ids:
                named.append(_headline(pool.provider, shown_name(row, place, context), row.id, context))
        if state.usable and ids.issuperset(row.id for row in state.usable):
            said = f"No key of {_short(provider, _NAME_CELLS, context)} is ready then."
            warned.append((Span(said, Role.DEAD),))
    more = len(named) - _MOST_NAMED
    if more > 0:
        named = [*named[:_MOST_NAMED], (Span(f"and {more} more", Role.MUTED),)]
    way = (Span("Requests under way go on; hermes finds it benched.", Role.MUTED),)
    return (*named, way, *warned)


def _headline(provider: str, label: str, row_id: str, context: Context) -> Line:
    head = f"{_short(label_text(provider, context.scrubber), _NAME_CELLS, context)} / "
    tail = f"  id {_short(label_text(row_id, context.scrubber), _ID_CELLS, context)}"
    room = max(_CELLS - width(head) - width(tail), _ID_CELLS)
    return (Span(head), Span(_short(label, room, context), Role.STRONG), Span(tail, Role.MUTED))


def _short(text: str, cells: int, context: Context) -> str:
    return cut(text, cells, mark=context.glyphs.ellipsis)


def _what_stays(state: PoolState, gone: Collection[str], head: str) -> list[Line]:
    others = [item for item in state.rows if item.id not in gone]
    ready = sum(item.health.is_usable for item in others)
    is_last = not ready and any(item.id in gone and item.health.is_usable for item in state.rows)
    stays = f"{head}{len(others)} of its keys stay, {ready} of them ready."
    lines: list[Line] = [(Span(stays, Role.DEAD if is_last else Role.PLAIN),)]
    if not others:
        lines = [(Span(f"{head}It is the last key: none can serve then.", Role.DEAD),)]
    elif is_last:
        lines.append((Span("It is the last ready key of this pool.", Role.DEAD),))
    return lines


def _way_back(row: object, context: Context) -> list[str]:
    if not isinstance(row, Credential):
        return []
    if is_manual(row.source):
        return ["Its key is nowhere else: u brings it back for a minute."]
    source = label_text(row.source.partition(":")[0] if context.masked else row.source, context.scrubber)
    said = [
        f"It comes from {_short(source, _LABEL_CELLS, context)},",
        "which stays out until something is added to this pool;",
        "u brings both back for a minute.",
    ]
    if row.source.startswith("env:"):
        said.append("A line of .env that sets it goes too, after a copy.")
    return said


def reset_lines(pool: PoolSnapshot, state: PoolState, now: float, context: Context) -> tuple[Line, ...]:
    """Return what resetting a pool means."""
    out = sum(not item.health.is_usable for item in state.rows)
    limited = sum(item.health.is_usable and bool(item.limits(now)) for item in state.rows)
    more = f", {limited} for some models" if limited else ""
    return (
        (
            Span(_short(label_text(pool.provider, context.scrubber), _NAME_CELLS, context), Role.STRONG),
            Span(f"  {out} of {len(state.rows)} keys are out{more}", Role.MUTED),
        ),
        (),
        (Span("Benches and errors end here, and only here: the provider", Role.MUTED),),
        (Span("may still refuse. u brings them back.", Role.MUTED),),
    )
