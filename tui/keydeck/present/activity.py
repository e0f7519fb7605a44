"""The activity strip: what happened to the keys, newest first, one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from keydeck.engine.credential import Credential
from keydeck.engine.redact import Scrubber
from keydeck.engine.state import Health, HealthKind, RowState
from keydeck.live.activity import Change, ChangeKind, Return
from keydeck.present.glyphs import Glyphs
from keydeck.present.rows import Context, label_text, said_text, why_text
from keydeck.present.spans import Line, Role, Span, cell, fit_line
from keydeck.present.text import LONGEST, clock_time, cut, grouped, width

_NARROW_BELOW: Final = 70
"""Cells under which times give up their seconds."""
_NAME_BEST: Final = 44
_PROVIDER_LEAST: Final = 8
_MORE_LEAST: Final = 14
"""Fewer cells of a provider's sentence than this tell nothing."""
_MESSAGE_LONGEST: Final = 400


def settled(changes: Iterable[Change], *scrubbers: Scrubber) -> tuple[Change, ...]:
    """Return changes that may be kept: short, clean, and without a secret that any of these scrubbers knows.

    To be done at once, with those of both looks: a later scrubber does not know a key that is gone by then.
    """
    told = tuple(changes)
    if not told:
        return ()
    scrubber = Scrubber.joining(scrubbers)
    return tuple(_settled(change, scrubber) for change in told)


def _settled(change: Change, scrubber: Scrubber) -> Change:
    return replace(
        change,
        provider=scrubber.scrub_known(change.provider),
        label=label_text(change.label, scrubber) or label_text(change.row_id or "", scrubber),
        detail=None if change.detail is None else label_text(change.detail, scrubber),
        message=None if change.message is None else _said(change.message, scrubber),
        by=label_text(change.by, scrubber),
    )


def _said(message: str, scrubber: Scrubber) -> str:
    return cut(said_text(message, scrubber), _MESSAGE_LONGEST)


# --- lines -------------------------------------------------------------------------------------------------


def activity_lines(
    changes: Iterable[Change], now: float, cells: int, count: int, context: Context, *, name_cells: int = 0
) -> tuple[Line, ...]:
    """Return at most `count` lines, each exactly `cells` wide; `changes` come newest first.

    Names get `name_cells` at least, so that columns stay where they are while a longer list is scrolled.
    """
    shown = tuple(islice(changes, max(count, 0)))
    mark = context.glyphs.ellipsis
    if not shown:
        nothing = fit_line((Span("nothing has changed yet", Role.MUTED),), cells, mark)
        return (nothing,) * min(max(count, 0), 1)
    times = [_time(change.at, now, narrow=cells < _NARROW_BELOW) for change in shown]
    names = [_names(change, context) for change in shown]
    at = _columns(cells, max(map(width, times)), max(name_cells, *(_name_width(*name) for name in names)))
    return tuple(
        _line(change, time, key_name(*name, at.name, mark), now, at, context)
        for change, time, name in zip(shown, times, names, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Columns:
    """Widths in cells; `gap` lies between time, sign, name and words."""

    total: int
    time: int
    name: int
    words: int
    gap: int

    @property
    def is_narrow(self) -> bool:
        """Whether times are short."""
        return self.total < _NARROW_BELOW


def _columns(cells: int, time: int, longest_name: int) -> _Columns:
    narrow = cells < _NARROW_BELOW
    gap = 1 if narrow else 2
    name = min(longest_name, cells * 2 // 5, _NAME_BEST)
    words = cells - time - gap - 2 - name - gap
    return _Columns(cells, time, name, max(words, 0), gap)


def _line(change: Change, time: str, name: str, now: float, at: _Columns, context: Context) -> Line:
    mark = context.glyphs.ellipsis
    sign, role = change_sign(change.kind, context.glyphs)
    spans = (
        cell(time, at.time, Role.MUTED, mark),
        Span(" " * at.gap),
        Span(sign, role),
        Span(" "),
        cell(name, at.name, Role.PLAIN, mark),
        Span(" " * at.gap),
        Span(_words(change, now, at, context), Role.MUTED),
    )
    return fit_line(spans, at.total, mark)


_STATE: Final[Mapping[ChangeKind, tuple[HealthKind, Role]]] = {
    ChangeKind.BENCHED: (HealthKind.COOLING, Role.COOLING),
    ChangeKind.DEAD: (HealthKind.NEEDS_LOGIN, Role.DEAD),
    ChangeKind.PAUSED: (HealthKind.PAUSED, Role.PAUSED),
    ChangeKind.LOST_SECRET: (HealthKind.NO_SECRET, Role.ABSENT),
    ChangeKind.BROKEN: (HealthKind.BAD_ROW, Role.DEAD),
    ChangeKind.READY: (HealthKind.READY, Role.READY),
    ChangeKind.RESET: (HealthKind.READY, Role.READY),
    ChangeKind.RESUMED: (HealthKind.READY, Role.READY),
    ChangeKind.RESET_UNDONE: (HealthKind.COOLING, Role.COOLING),
}


def change_sign(kind: ChangeKind, glyphs: Glyphs) -> tuple[str, Role]:
    """Return the sign of the state that came about, or of a warning; what changed no state has a dot."""
    if kind is ChangeKind.FEW_LEFT:
        return glyphs.token_ends, Role.COOLING
    if kind not in _STATE:
        return glyphs.dot, Role.ACCENT
    state, role = _STATE[kind]
    return glyphs.health[state], role


def _time(moment: float, now: float, *, narrow: bool) -> str:
    """Return when it was; in few cells the minute today, the day this week, the date before."""
    text = clock_time(moment, now)
    if not narrow:
        return text
    day, _, rest = text.partition(" ")
    if rest:
        return day
    return text[:5] if ":" in text else text[5:]


# --- names -------------------------------------------------------------------------------------------------


def change_name(change: Change, context: Context) -> str:
    """Return what a change is about, in full length: ``provider / label``, or a pool alone."""
    return " / ".join(part for part in _names(change, context) if part)


def _names(change: Change, context: Context) -> tuple[str, str]:
    provider = label_text(change.provider, context.scrubber)
    if change.row_id is None:
        return provider or ("all pools" if change.kind is ChangeKind.COOLDOWN else "journal"), ""
    name = label_text(change.label, context.scrubber) or label_text(change.row_id, context.scrubber)
    name = "key" if context.masked else name
    return (provider, name) if provider else (name, "")


def who_text(change: Change) -> str:
    """Return who did it, as far as that is known: this process, a writer's short id, or another program."""
    return "outside" if change.is_outside else "here" if change.is_ours else change.by


def _name_width(provider: str, label: str) -> int:
    return width(provider) + (width(label) + 3 if label else 0)


def key_name(provider: str, label: str, cells: int, mark: str) -> str:
    """Return ``provider / label`` in at most `cells` cells; the provider gives way first."""
    if not label:
        return cut(provider, cells, mark=mark)
    room = max(cells - width(label) - 3, min(width(provider), _PROVIDER_LEAST))
    return cut(f"{cut(provider, room, mark=mark)} / {label}", cells, mark=mark)


# --- words -------------------------------------------------------------------------------------------------


def change_text(change: Change, now: float, context: Context) -> str:
    """Return what happened as one sentence in full length."""
    end = _ends(change, now, narrow=False)[0]
    return f"{_SAYS[change.kind](change, now, context)}{end}{_times(change, context.glyphs)}"


def _words(change: Change, now: float, at: _Columns, context: Context) -> str:
    """Return what happened in as many cells as there are: of a bench its end stays, and the sentence gives way."""
    mark = context.glyphs.ellipsis
    body = _SAYS[change.kind](change, now, context)
    head = body.partition(": ")[0]
    tails = [f"{end}{_times(change, context.glyphs)}" for end in _ends(change, now, narrow=at.is_narrow)]
    tail = next((tail for tail in tails if width(head) + width(tail) <= at.words), "")
    room = at.words - width(tail)
    if width(body) > room and width(head) + _MORE_LEAST > room:
        body = head
    return cut(body, room, mark=mark) + tail


def _ends(change: Change, now: float, *, narrow: bool) -> tuple[str, ...]:
    """Return how the end of a bench or pause is told, the longest form first."""
    if change.until is None or change.kind not in _HAS_END:
        return ("",)
    end = _time(change.until, now, narrow=narrow)
    if change.kind is ChangeKind.PAUSED:
        return (f" until {end}", "")
    return (f", cooling until {end}", f", until {end}", "")


def _times(change: Change, glyphs: Glyphs) -> str:
    if change.count < 2 or change.kind in _COUNTS:
        return ""
    return f" {'x' if glyphs.ellipsis.isascii() else '×'}{grouped(change.count)}"


_HAS_END: Final = (ChangeKind.BENCHED, ChangeKind.REFUSED, ChangeKind.RESET_UNDONE, ChangeKind.PAUSED)
_COUNTS: Final = (ChangeKind.REQUESTS, ChangeKind.ADOPTED)
_OUTSIDE: Final = "changed outside"


def _benched(change: Change, _now: float, context: Context) -> str:
    return _why(change, HealthKind.COOLING, context) or "benched"


def _refused(change: Change, _now: float, context: Context) -> str:
    why = _why(replace(change, detail=None), HealthKind.COOLING, context) or "refused"
    if change.row_id is None:
        return f"a key that is not here: {why}"
    if not change.detail:
        return f"not benched: {why}"
    return f"out for {'one model' if context.masked else _detail(change, context)}: {why}"


def _dead(change: Change, _now: float, context: Context) -> str:
    why = _why(replace(change, code=None), HealthKind.NEEDS_LOGIN, context)
    return f"log in again: {why}" if why else "log in again"


def _lost_secret(change: Change, _now: float, context: Context) -> str:
    why = "" if context.masked else _why(change, HealthKind.NO_SECRET, context)
    return why if why.startswith("token ended") else f"no secret: {why}" if why else "no secret"


def _broken(change: Change, _now: float, context: Context) -> str:
    return f"cannot be read: {_detail(change, context)}"


def _renamed(change: Change, _now: float, context: Context) -> str:
    said = "renamed" if context.masked or not change.detail else f"renamed from {_detail(change, context)}"
    return _by_whom(said, change)


def _strategy(change: Change, _now: float, context: Context) -> str:
    return f"now picks by {_detail(change, context)}"


def _cooldown(change: Change, _now: float, context: Context) -> str:
    return f"another wait after {_detail(change, context).replace('_', ' ')}"


def _came_back(change: Change, _now: float, context: Context) -> str:
    if change.is_outside and change.detail == Return.CLEARED:
        return f"{_OUTSIDE}: cooldown cleared"
    return _detail(change, context) or "ready"


def _there(change: Change, _now: float, context: Context) -> str:
    said = change.kind.value
    return _by_whom(f"{said}: {_detail(change, context)}" if change.detail else said, change)


def _reset_undone(change: Change, now: float, context: Context) -> str:
    return f"reset undone: {_benched(change, now, context)}"


def _moved(change: Change, _now: float, context: Context) -> str:
    return f"moved {_detail(change, context)}" if change.detail else "order changed"


def _adopted(change: Change, _now: float, _context: Context) -> str:
    if change.row_id is not None:
        return "stored: an agent uses it"
    number = f"{grouped(change.count)} {'key' if change.count == 1 else 'keys'}"
    return (
        f"{number} of another home" if change.detail == Return.AFRESH else f"{number} met for the first time"
    )


def _healed(change: Change, _now: float, context: Context) -> str:
    lost = "" if context.masked else _detail(change, context)
    return f"{_OUTSIDE}: lost {lost or 'something'}, put back"


def _back_and_removed(_change: Change, _now: float, _context: Context) -> str:
    return f"{_OUTSIDE}: came back after its removal, removed again"


def _put_back(_change: Change, _now: float, _context: Context) -> str:
    return f"{_OUTSIDE}: back with an older copy of the store"


def _outside(change: Change, _now: float, context: Context) -> str:
    return _OUTSIDE if context.masked or not change.detail else f"{_OUTSIDE}: {_detail(change, context)}"


def _requests(change: Change, _now: float, _context: Context) -> str:
    return f"{grouped(change.count)} {'request' if change.count == 1 else 'requests'}"


def _few_left(change: Change, _now: float, _context: Context) -> str:
    ready, total = change.left or (0, 0)
    return f"{grouped(ready) if ready else 'none'} of {grouped(total)} left"


def _gap(_change: Change, _now: float, _context: Context) -> str:
    return "what happened just before is not known: part of the journal is missing"


def _by_whom(said: str, change: Change) -> str:
    return f"{_OUTSIDE}: {said}" if change.is_outside else said


def _resumed(change: Change, _now: float, context: Context) -> str:
    return _detail(change, context) or change.kind.value


def _plain(change: Change, _now: float, _context: Context) -> str:
    return change.kind.value


_SAYS: Final[Mapping[ChangeKind, Callable[[Change, float, Context], str]]] = {
    ChangeKind.ADDED: _there,
    ChangeKind.REMOVED: _there,
    ChangeKind.RENAMED: _renamed,
    ChangeKind.SECRET_CHANGED: _came_back,
    ChangeKind.BENCHED: _benched,
    ChangeKind.REFUSED: _refused,
    ChangeKind.DEAD: _dead,
    ChangeKind.PAUSED: _plain,
    ChangeKind.LOST_SECRET: _lost_secret,
    ChangeKind.BROKEN: _broken,
    ChangeKind.READY: _came_back,
    ChangeKind.STRATEGY: _strategy,
    ChangeKind.COOLDOWN: _cooldown,
    ChangeKind.RESET: _plain,
    ChangeKind.RESET_UNDONE: _reset_undone,
    ChangeKind.RESUMED: _resumed,
    ChangeKind.MOVED: _moved,
    ChangeKind.ADOPTED: _adopted,
    ChangeKind.HEALED: _healed,
    ChangeKind.CAME_BACK: _back_and_removed,
    ChangeKind.PUT_BACK: _put_back,
    ChangeKind.OUTSIDE: _outside,
    ChangeKind.REQUESTS: _requests,
    ChangeKind.FEW_LEFT: _few_left,
    ChangeKind.GAP: _gap,
}


def _detail(change: Change, context: Context) -> str:
    return label_text(change.detail or "", context.scrubber)


def _why(change: Change, kind: HealthKind, context: Context) -> str:
    """Return the reason as a row of that state gives it, cleaned, scrubbed and masked as there."""
    said = change.message or ""
    row = Credential(
        id=change.row_id or "",
        provider=change.provider,
        last_error_code=change.code,
        last_error_message=said if len(said) < LONGEST else _said(said, context.scrubber),
    )
    why = None if change.detail is None else _detail(change, context)
    return why_text(RowState(row, Health(kind, why=why)), context)
