"""What happened, for a terminal line by line and for scripts: ``keydeck auth events``.

Changes come from `present.activity.settled`: short, clean, and without a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from keydeck.engine.redact import Scrubber
from keydeck.live.activity import Change
from keydeck.present.activity import change_name, change_sign, change_text, who_text
from keydeck.present.rows import Context, label_text
from keydeck.present.text import fit, width

_WHO: Final = 7
"""Cells of a writer's short id, or of ``outside``."""
_NAME_MOST: Final = 44


def name_width(changes: Iterable[Change], context: Context) -> int:
    """Return how many cells names get, so that the words of these changes stand below each other."""
    return min(max((width(change_name(change, context)) for change in changes), default=0), _NAME_MOST)


def event_line(change: Change, now: float, name_cells: int, context: Context) -> str:
    """Return a change as one line: when, by whom, its sign, of what, and the sentence in full length."""
    name = change_name(change, context)
    cells = max(name_cells, width(name))
    sign, _ = change_sign(change.kind, context.glyphs)
    when, who = moment_text(change.at, now), fit(who_text(change), _WHO, mark=context.glyphs.ellipsis)
    return f"{when}  {who}  {sign} {fit(name, cells)}  {change_text(change, now, context)}"


def event_json(change: Change, scrubber: Scrubber) -> dict[str, Any]:
    """Return what ``--json`` prints of a change: times as epoch seconds, and as ISO 8601 in UTC."""
    row_id = None if change.row_id is None else label_text(change.row_id, scrubber)
    return {
        "kind": change.kind.value,
        "at": change.at,
        "time": _iso(change.at),
        "provider": label_text(change.provider, scrubber) or None,
        "id": row_id,
        "label": None if row_id is None else change.label,
        "code": change.code,
        "message": change.message,
        "until": change.until,
        "until_time": None if change.until is None else _iso(change.until),
        "detail": change.detail,
        "count": change.count,
        "left": change.left.ready if change.left else None,
        "total": change.left.total if change.left else None,
        "same_key": [label_text(twin, scrubber) for twin in change.twins],
        "by": change.by or None,
        "outside": change.is_outside,
    }


def moment_text(epoch_s: float, now: float) -> str:
    """Return a point in local time: the hour today, with its date on any other day."""
    then, today = _moment(datetime.fromtimestamp, epoch_s), _moment(datetime.fromtimestamp, now)
    if then is None:
        return "some day"
    return f"{then:%H:%M:%S}" if today and then.date() == today.date() else f"{then:%Y-%m-%d %H:%M:%S}"


def _iso(epoch_s: float) -> str | None:
    moment = _moment(lambda when: datetime.fromtimestamp(when, UTC), epoch_s)
    return moment.isoformat(timespec="milliseconds") if moment else None


def _moment(make: Callable[[float], datetime], epoch_s: float) -> datetime | None:
    try:
        return make(epoch_s)
    except (ValueError, OverflowError, OSError):  # a number that is no time
        return None
