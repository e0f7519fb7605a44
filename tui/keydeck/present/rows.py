"""One credential as a line: the parts that stay, and the parts that move with the clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keydeck.engine.credential import Credential
from keydeck.engine.known import groups
from keydeck.engine.redact import Scrubber
from keydeck.engine.snapshot import HomeSnapshot, PoolSnapshot
from keydeck.engine.state import HealthKind, PoolState, RowState
from keydeck.live.problems import TOKEN_WARNING_S
from keydeck.present.evidence import flight_text, in_flight, ordinal, scope_text, streak_text
from keydeck.present.glyphs import Glyphs
from keydeck.present.spans import Line, Role, Span, cell, fit_line
from keydeck.present.text import clock_time, cut, duration, grouped, legible, width
from keydeck.present.traffic import SPARK_BEST, SPARK_LEAST, KeyTraffic, chart, rate_of, share_of

_KIND_ROLE: Final = {
    HealthKind.READY: Role.READY,
    HealthKind.PROBING: Role.READY,
    HealthKind.COOLING: Role.COOLING,
    HealthKind.NEEDS_LOGIN: Role.DEAD,
    HealthKind.PAUSED: Role.PAUSED,
    HealthKind.NO_SECRET: Role.ABSENT,
    HealthKind.BAD_ROW: Role.DEAD,
}
# States whose words do not fit into the status; the others say all there is to say.
_EXPLAINED: Final = (HealthKind.COOLING, HealthKind.NEEDS_LOGIN)
_CODE_WORDS: Final = {
    401: "key refused",
    402: "payment required",
    403: "forbidden",
    404: "not found",
    408: "timed out",
    429: "rate limit",
    500: "provider error",
    502: "bad gateway",
    503: "provider overloaded",
    529: "provider overloaded",
}


_SHORTEST_NAME: Final = 3
"""Shorter labels would take letters out of words."""


@dataclass(frozen=True, slots=True)
class Context:
    """What rows of one snapshot share when they are written out."""

    glyphs: Glyphs
    scrubber: Scrubber
    masked: bool = False
    token_warning_s: float = TOKEN_WARNING_S


@dataclass(frozen=True, slots=True)
class ModelLimit:
    """A model that a key does not serve now; None for `until` where time does not heal that."""

    model: str
    until: float | None


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One row of a pane. Texts are clean; times are epoch seconds and become text when drawn."""

    id: str
    kind: HealthKind
    label: str
    type: str
    source: str
    requests: str
    word: str
    """The status in words; while cooling, the code behind the countdown."""
    detail: str
    is_next: bool
    since: float | None = None
    until: float | None = None
    token_ends: float | None = None
    token_warns_at: float | None = None
    """From when on the row warns that its token ends."""
    code: int | None = None
    uses: int = 0
    """Requests sent with its secret, by whichever row they were counted."""
    shown_id: str = ""
    twins: tuple[str, ...] = ()
    """What the other rows with its secret are called."""
    streak: int = 0
    """The how manieth failure in a row keeps it out."""
    scope: str | None = None
    """What that failure concerns."""
    in_flight: int = 0
    """How many leases hold it."""
    limits: tuple[ModelLimit, ...] = ()
    """The models that it does not serve now."""

    @property
    def moves(self) -> bool:
        """Whether the line changes with the clock alone."""
        return self.until is not None or self.token_ends is not None


def key_row(
    state: RowState,
    name: str,
    now: float,
    *,
    is_next: bool,
    twins: tuple[str, ...],
    uses: int,
    context: Context,
) -> KeyRow:
    """Return a row's texts.

    Args:
        state: the row and its state.
        now: the moment of that state, in epoch seconds.
        name: what the row is called.
        is_next: whether the next request surely goes there.
        twins: what the other rows with the same secret are called.
        uses: requests sent with its secret.
        context: what the rows of one snapshot share.
    """
    row, health = state.row, state.health
    if not isinstance(row, Credential):
        why = said_text(health.why or "", context.scrubber)
        shown_id = label_text(row.id, context.scrubber)
        return KeyRow(
            row.id,
            health.kind,
            name,
            *("", "", ""),
            why,
            "",
            is_next=False,
            since=health.since,
            shown_id=shown_id,
        )
    return KeyRow(
        id=row.id,
        kind=health.kind,
        label=name,
        type="key" if row.auth_type == "api_key" else label_text(row.auth_type, context.scrubber),
        source=source_text(row, context.scrubber),
        requests=grouped(uses),
        word=_word(state, twins, context),
        detail=why_text(state, context) if health.kind in _EXPLAINED else "",
        is_next=is_next,
        since=health.since,
        until=health.until,
        token_ends=state.token_expires_at,
        token_warns_at=None
        if state.token_expires_at is None
        else state.token_expires_at - context.token_warning_s,
        code=None if health.is_usable else row.last_error_code,
        uses=uses,
        shown_id=label_text(row.id, context.scrubber),
        twins=twins,
        streak=health.streak,
        scope=health.scope,
        in_flight=in_flight(state, now),
        limits=tuple(
            ModelLimit(label_text(model, context.scrubber), held.until)
            for model, held in state.limits(now).items()
        ),
    )


def key_rows(pool: PoolSnapshot, state: PoolState, now: float, context: Context) -> tuple[KeyRow, ...]:
    """Return the rows of a pool at `now` (epoch seconds), the moment of `state`."""
    following, uses = pool.next_pick(state), pool.uses()
    names = {row.id: shown_name(row, place, context) for place, row in enumerate(state.rows, 1)}
    twins = _twins(pool, names)
    return tuple(
        key_row(
            row,
            names[row.id],
            now,
            is_next=row.id == following,
            twins=twins.get(place, ()),
            uses=uses[row.id],
            context=context,
        )
        for place, row in enumerate(state.rows)
    )


def _twins(pool: PoolSnapshot, names: Mapping[str, str]) -> dict[int, tuple[str, ...]]:
    """Return place → what the other rows with the same secret are called."""
    return {
        place: tuple(names[pool.rows[other].id] for other in group if other != place)
        for group in groups(pool.rows)
        for place in group
    }


def shown_name(state: RowState, place: int, context: Context) -> str:
    """Return what a row is called: its label, or while names are masked its 1-based place."""
    return (
        f"key {place}"
        if context.masked
        else label_text(state.row.label, context.scrubber) or label_text(state.id, context.scrubber)
    )


def label_text(label: str, scrubber: Scrubber) -> str:
    """Return a name as it may be shown: clean, and without a secret in it."""
    return legible(label, scrubber.scrub_known)


def said_text(text: str, scrubber: Scrubber) -> str:
    """Return a sentence or an address as it may be shown: clean, and without what looks like a secret."""
    return legible(text, scrubber.scrub)


def without_names(text: str, snapshot: HomeSnapshot) -> str:
    """Return a sentence without the labels and variables of the store's rows: for one that is told while masked."""
    rows = [row for pool in snapshot.pools for row in pool.rows]
    names = {label_text(row.label, snapshot.scrubber) for row in rows}
    sources = {row.source.partition(":")[2] for row in rows if isinstance(row, Credential)}
    names |= {label_text(source, snapshot.scrubber) for source in sources}
    for name in sorted((name for name in names if len(name) >= _SHORTEST_NAME), key=len, reverse=True):
        text = re.sub(_as_word(name), "key", text)
    return text


def _as_word(name: str) -> str:
    """Return the pattern of a name that is not a piece of a longer word: the label "old" is not in "cooldown"."""
    before = r"(?<![A-Za-z0-9])" if name[0].isascii() and name[0].isalnum() else ""
    after = r"(?![A-Za-z0-9])" if name[-1].isascii() and name[-1].isalnum() else ""
    return f"{before}{re.escape(name)}{after}"


def source_text(row: Credential, scrubber: Scrubber) -> str:
    """Return where a row comes from, in a word."""
    source = label_text(row.source, scrubber)
    if source.startswith(("env:", "config:")):
        return source.partition(":")[0]
    return source.removeprefix("manual:") or "manual"


def why_text(state: RowState, context: Context) -> str:
    """Return why a row is out, in the provider's words where there are any; empty while it is usable."""
    row, health = state.row, state.health
    if health.is_usable:
        return ""
    if not isinstance(row, Credential):
        return said_text(row.reason, context.scrubber)
    # The name of a variable, or a provider's sentence, may name the account: not while names are masked.
    hidden = context.masked and health.kind is HealthKind.NO_SECRET
    parts = ["its source is not here" if hidden else health.why] if health.why else []
    if health.kind in _EXPLAINED:
        code = _CODE_WORDS.get(row.last_error_code or 0, "")
        said = "" if context.masked else row.last_error_message or row.last_error_reason or ""
        told = [f"{row.last_error_code} {code}".strip() if row.last_error_code else "", said]
        parts = told if any(told) else parts
    text = said_text(": ".join(part for part in parts if part), context.scrubber)
    return cut(text, 400, mark=context.glyphs.ellipsis)


def _word(state: RowState, twins: tuple[str, ...], context: Context) -> str:
    row, health = state.row, state.health
    if health.kind is HealthKind.COOLING:
        code = row.last_error_code if isinstance(row, Credential) else None
        return "" if code is None else str(code)
    if health.kind is HealthKind.NEEDS_LOGIN:
        return "log in again"
    if health.kind is HealthKind.PAUSED:
        return "paused"
    if health.kind is HealthKind.NO_SECRET:
        why = label_text(health.why or "", context.scrubber)
        if health.since is not None:  # a token that ended, not a variable's name
            return why
        return "no secret" if context.masked else f"no secret: {why}"
    if twins:
        return f"{health.kind.value}, same key as {twins[0]}"
    return health.kind.value


# --- lines -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths of a pane's columns in cells; 0 is a column that did not fit."""

    label: int
    type: int
    source: int
    status: int
    requests: int
    spark: int
    rate: int
    share: int
    token: int
    id: int
    detail: int
    total: int
    times: str = "left"
    """How a countdown is written: ``left``, ``until`` or ``both``."""


PREFIX: Final = 4
"""Next-pick mark, cursor, glyph, blank."""
_STATUS_LEAST, _STATUS_BEST = 22, 38
_STATUS_WIDE: Final = 13
"""Without the bar: there is more to see when many columns are wanted."""
_LABEL_LEAST, _LABEL_BEST = 12, 36
_LABEL_USUAL: Final = 18
_LABEL_AIR: Final = 4
_DETAIL_LEAST, _DETAIL_GAP = 24, 2
# What is worth more is given room first (ux 2.15 read backwards).
_OPTIONAL: Final = (
    *(("requests", 8), ("spark", SPARK_LEAST + 1), ("type", 6), ("token", 9), ("rate", 8)),
    *(("source", 12), ("spark", SPARK_BEST - SPARK_LEAST), ("words", 6), ("share", 6), ("id", 8)),
)
_OF_TRAFFIC: Final = frozenset({"spark", "rate", "words", "share"})
"""``words``: so much more of the status, which a chart and rates leave less room for."""


def columns(
    total: int, longest_label: int, *, wide: bool = False, times: str = "left", traffic: bool = False
) -> Columns:
    """Share out a line of `total` cells; every pane of a screen uses the same answer.

    Args:
        total: cells of a line.
        longest_label: cells of the longest label.
        wide: whether bars and long labels give way to more columns.
        times: how a countdown is written.
        traffic: whether it is known how many requests each key sent when.
    """
    least = _STATUS_WIDE if wide else _STATUS_LEAST
    label = min(max(longest_label, _LABEL_LEAST), _LABEL_LEAST if wide else _LABEL_USUAL)
    used = PREFIX + label + 1 + least
    widths = dict.fromkeys((name for name, _ in _OPTIONAL), 0)
    for name, cells in _OPTIONAL:
        if used + cells <= total and (traffic or name not in _OF_TRAFFIC):
            widths[name] += cells
            used += cells
    least += widths.pop("words")
    status = min(_STATUS_BEST, least + max(total - used, 0))
    used += status - least
    more = min(max(longest_label + _LABEL_AIR, label), _LABEL_BEST, label + max(total - used, 0)) - label
    used += more
    detail = total - used - _DETAIL_GAP
    return Columns(
        label=max(label + more, 0) if used <= total else max(label - (used - total), 1),
        status=status,
        detail=detail if detail >= _DETAIL_LEAST else 0,
        total=total,
        times=times,
        **widths,
    )


def row_line(
    row: KeyRow,
    at: Columns,
    now: float,
    glyphs: Glyphs,
    *,
    marks_cursor: bool = False,
    is_marked: bool = False,
    is_pending: bool = False,
    is_outside: bool = False,
    sent: KeyTraffic | None = None,
    busiest: int = 0,
) -> Line:
    """Return a row as one line of exactly ``at.total`` cells."""
    mark = glyphs.ellipsis
    here = (glyphs.marked_here if marks_cursor else glyphs.marked) if is_marked else glyphs.cursor
    sign = (
        Span(glyphs.pending, Role.ACCENT)
        if is_pending
        else Span(row_glyph(row, now, glyphs), row_role(row, now))
    )
    spans = [
        Span(glyphs.next_pick if row.is_next else " ", Role.ACCENT),
        Span(here if is_marked or marks_cursor else " ", Role.ACCENT),
        sign,
        Span(" "),
        *_label_cells(row, at.label, glyphs, is_outside=is_outside),
        Span(" "),
    ]
    if at.type:
        spans.append(cell(row.type, at.type, Role.MUTED, mark))
    if at.source:
        spans += [cell(row.source, at.source - 1, Role.MUTED, mark), Span(" ")]
    spans += status_cell(row, now, at.status, glyphs, times=at.times)
    if at.requests:
        spans.append(cell(row.requests, at.requests, Role.PLAIN, mark, right=True))
    if sent is not None:
        spans += _traffic_cells(row, sent, busiest, at, glyphs)
    if at.token:
        spans.append(cell(token_text(row, now), at.token, _token_role(row, now), mark, right=True))
    if at.id:
        spans += [Span("  "), cell(row.shown_id, at.id - 2, Role.MUTED, mark)]
    if at.detail:
        spans += [Span(" " * _DETAIL_GAP), cell(row.detail, at.detail, Role.MUTED, mark)]
    return fit_line(tuple(spans), at.total, mark)


def _label_cells(row: KeyRow, cells: int, glyphs: Glyphs, *, is_outside: bool) -> list[Span]:
    """Return a row's name, and the signs of what is special about it behind that."""
    badges = (glyphs.twin if row.twins else "") + (glyphs.outside if is_outside else "")
    room = cells - len(badges) - 1 if badges else cells
    if room < _SHORTEST_NAME:
        room, badges = cells, ""
    role = Role.STRONG if row.is_next else Role.PLAIN
    if not badges:
        return [cell(row.label, room, role, glyphs.ellipsis)]
    name = cut(row.label, room, mark=glyphs.ellipsis)
    gap = cells - width(name) - len(badges) - 1
    return [Span(name, role), Span(f" {badges}", Role.COOLING), Span(" " * gap)]


def _traffic_cells(row: KeyRow, sent: KeyTraffic, busiest: int, at: Columns, glyphs: Glyphs) -> list[Span]:
    if not row.type:  # a row that cannot be read sends nothing
        return [Span(" " * (at.spark + at.rate + at.share))]
    spans: list[Span] = []
    if at.spark:
        spans += [Span(" "), chart(sent, at.spark - 1, busiest, glyphs)]
    if at.rate:
        spans.append(cell(rate_of(sent), at.rate, Role.MUTED, glyphs.ellipsis, right=True))
    if at.share:
        spans.append(cell(share_of(sent), at.share, Role.MUTED, glyphs.ellipsis, right=True))
    return spans


def row_glyph(row: KeyRow, now: float, glyphs: Glyphs) -> str:
    """Return the sign of a row's state."""
    if row.kind is HealthKind.READY and _token_warns(row, now):
        return glyphs.token_ends
    return glyphs.health[row.kind]


def row_role(row: KeyRow, now: float) -> Role:
    """Return the role of a row's state."""
    if row.kind is HealthKind.READY and _token_warns(row, now):
        return Role.COOLING
    return _KIND_ROLE[row.kind]


def status_cell(row: KeyRow, now: float, cells: int, glyphs: Glyphs, *, times: str = "left") -> list[Span]:
    """Return the status: a bar with a countdown while cooling, else words."""
    if row.kind is HealthKind.COOLING and row.until is not None:
        return _countdown(row, now, cells, glyphs, times)
    word = row.word
    if row.kind is HealthKind.READY and _token_warns(row, now):
        word = f"ready {glyphs.dot} token ends"
    if row.kind is HealthKind.PAUSED and row.until is not None:
        word = pause_text(row.until, now)
    if more := _besides(row, now):
        word = _with_more(word.partition(",")[0], more, cells)
        if width(word) > cells and row.kind is HealthKind.READY:
            word = _with_more(row.kind.value, more, cells)
    return [cell(word, cells, row_role(row, now), glyphs.ellipsis)]


_Forms = tuple[str, ...]
"""One thing in several lengths, the longest first."""


def _besides(row: KeyRow, now: float) -> list[_Forms]:
    """Return what there is to say of a row besides its state, the most important first."""
    said: list[_Forms] = []
    if row.in_flight:
        said.append((flight_text(row.in_flight),))
    if row.kind is HealthKind.PROBING and row.until is not None:
        said.append((f"one at a time until {clock_time(row.until, now)}", "one at a time"))
    if row.limits:
        said.append(_limit_forms(row.limits, now))
    if said and row.twins:
        said.append((f"same key as {row.twins[0]}",))
    return said


def _limit_forms(limits: tuple[ModelLimit, ...], now: float) -> _Forms:
    limit, *others = limits
    if others:
        return (f"not for {len(limits)} models",)
    until = "" if limit.until is None else f" until {clock_time(limit.until, now)}"
    return tuple(dict.fromkeys((f"not for {limit.model}{until}", f"not for {limit.model}")))


def _with_more(word: str, more: list[_Forms], cells: int) -> str:
    """Return a state with as much of what else there is as fits, and the beginning of it at least."""
    said = word
    for forms in more:
        room = cells - width(said) - 2
        if fitting := next((form for form in forms if width(form) <= room), None):
            said += f", {fitting}"
    return said if said != word else f"{word}, {more[0][-1]}"


def pause_text(until: float | None, now: float) -> str:
    """Return a pause in words, its end to the minute."""
    if until is None:
        return "paused"
    end = clock_time(until, now)
    return f"paused until {end[: -len(':00')] if end.count(':') > 1 else end}"


_TIME_CELLS, _CODE_CELLS, _BAR_BEST = 8, 4, 12


def _countdown(row: KeyRow, now: float, cells: int, glyphs: Glyphs, times: str) -> list[Span]:
    until = row.until or now
    moment, left = clock_time(until, now), duration(until - now)
    room = max(cells - _TIME_CELLS - _CODE_CELLS, 0)
    tail = _tail(row, room)
    bar = min(room - len(tail), _BAR_BEST)
    head = _bar(row, until, now, bar, glyphs)
    if times == "both" and room > _TIME_CELLS:
        head = [cell(moment, bar, Role.MUTED, glyphs.ellipsis)]
    said = moment if times == "until" else left
    return [
        *head,
        cell(said, _TIME_CELLS, Role.COOLING, glyphs.ellipsis, right=True),
        Span(" "),
        cell(row.word, _CODE_CELLS - 1, Role.MUTED, glyphs.ellipsis),
        cell(tail, room - bar, Role.MUTED, glyphs.ellipsis),
    ]


_BAR_LEAST, _BAR_GOOD = 4, 8


def _tail(row: KeyRow, room: int) -> str:
    """Return what is said behind the code beside a bar; how often it failed even beside a short one."""
    parts = [streak_text(row.streak), flight_text(row.in_flight), scope_text(row.scope)]
    said = [part for part in parts if part]
    for count in range(len(said), 0, -1):
        tail = f" {', '.join(said[:count])}"
        if len(tail) <= room - _BAR_GOOD:
            return tail
    forms = (f" {streak_text(row.streak)}", f" {ordinal(row.streak)}") if row.streak > 1 else ()
    return next((form for form in forms if len(form) <= room - _BAR_LEAST), "")


def _bar(row: KeyRow, until: float, now: float, cells: int, glyphs: Glyphs) -> list[Span]:
    """Return how much of the bench is over; a bar of a few cells would only be in the way."""
    if cells < 4:
        return [Span(" " * cells)]
    share = 0.0
    if row.since is not None and until > row.since:
        share = min(max((now - row.since) / (until - row.since), 0.0), 1.0)
    done, half = divmod(int(share * cells * 2), 2)
    tip = glyphs.half if half and glyphs.half else ""
    return [
        Span(glyphs.done * done + tip, Role.COOLING),
        Span(glyphs.left * (cells - done - len(tip)), Role.FAINT),
    ]


def token_text(row: KeyRow, now: float) -> str:
    """Return how long a login's token lasts; a dash for API keys."""
    if row.token_ends is None:
        return "-" if row.type == "key" else ""
    return "ended" if row.token_ends <= now else duration(row.token_ends - now)


def _token_role(row: KeyRow, now: float) -> Role:
    if row.token_ends is None or row.kind is not HealthKind.READY:
        return Role.MUTED
    return Role.COOLING if _token_warns(row, now) else Role.MUTED


def _token_warns(row: KeyRow, now: float) -> bool:
    return row.token_warns_at is not None and row.token_warns_at <= now


def longest_label(rows: tuple[KeyRow, ...]) -> int:
    """Return the widest label in cells."""
    return max((width(row.label) for row in rows), default=0)
