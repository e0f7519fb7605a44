"""One credential as a line: the parts that stay, and the parts that move with the clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from keydeck.engine.credential import Credential
from keydeck.engine.redact import Scrubber
from keydeck.engine.snapshot import PoolSnapshot
from keydeck.engine.state import HealthKind, PoolState, RowState
from keydeck.present.glyphs import Glyphs
from keydeck.present.spans import Line, Role, Span, cell, fit_line
from keydeck.present.text import LONGEST, clean, clock_time, cut, duration, grouped, width

TOKEN_WARNING_S: Final = 600.0
"""A token that ends sooner than this is worth a warning."""

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


@dataclass(frozen=True, slots=True)
class Context:
    """What rows of one snapshot share when they are written out."""

    glyphs: Glyphs
    scrubber: Scrubber
    masked: bool = False


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

    @property
    def moves(self) -> bool:
        """Whether the line changes with the clock alone."""
        return self.until is not None or self.token_ends is not None


def key_row(state: RowState, name: str, *, is_next: bool, twin: str | None, context: Context) -> KeyRow:
    """Return a row's texts.

    Args:
        state: the row and its state.
        name: what the row is called.
        is_next: whether the next request surely goes there.
        twin: what an earlier row with the same secret is called.
        context: what the rows of one snapshot share.
    """
    row, health = state.row, state.health
    if not isinstance(row, Credential):
        return KeyRow(row.id, health.kind, name, "", "", "", clean(health.why or ""), "", is_next=False)
    return KeyRow(
        id=row.id,
        kind=health.kind,
        label=name,
        type="key" if row.auth_type == "api_key" else clean(row.auth_type),
        source=source_text(row),
        requests=grouped(row.request_count),
        word=_word(state, twin, context),
        detail=why_text(state, context) if health.kind in _EXPLAINED else "",
        is_next=is_next,
        since=health.since,
        until=health.until,
        token_ends=state.token_expires_at,
    )


def key_rows(pool: PoolSnapshot, state: PoolState, context: Context) -> tuple[KeyRow, ...]:
    """Return the rows of a pool at the moment of `state`."""
    following, twins = pool.next_pick(state), pool.twins()
    names = {row.id: shown_name(row, place, context) for place, row in enumerate(state.rows, 1)}
    return tuple(
        key_row(
            row,
            names[row.id],
            is_next=row.id == following,
            twin=names.get(twins[row.id]) if row.id in twins else None,
            context=context,
        )
        for row in state.rows
    )


def shown_name(state: RowState, place: int, context: Context) -> str:
    """Return what a row is called: its label, or while names are masked its 1-based place."""
    return (
        f"key {place}" if context.masked else label_text(state.row.label, context.scrubber) or clean(state.id)
    )


def label_text(label: str, scrubber: Scrubber) -> str:
    """Return a label as it may be shown: clean, and without a secret in it."""
    # Once more when clean: what was broken up by characters that are not drawn is whole again.
    return scrubber.scrub_known(clean(scrubber.scrub_known(label)))


def source_text(row: Credential) -> str:
    """Return where a row comes from, in a word."""
    source = clean(row.source)
    if source.startswith(("env:", "config:")):
        return source.partition(":")[0]
    return source.removeprefix("manual:") or "manual"


def why_text(state: RowState, context: Context) -> str:
    """Return why a row is out, in the provider's words where there are any; empty while it is usable."""
    row, health = state.row, state.health
    if health.is_usable:
        return ""
    if not isinstance(row, Credential):
        return clean(row.reason)
    # The name of a variable, or a provider's sentence, may name the account: not while names are masked.
    hidden = context.masked and health.kind is HealthKind.NO_SECRET
    parts = ["its source is not here" if hidden else health.why] if health.why else []
    if health.kind in _EXPLAINED:
        code = _CODE_WORDS.get(row.last_error_code or 0, "")
        said = "" if context.masked else row.last_error_message or row.last_error_reason or ""
        told = [f"{row.last_error_code} {code}".strip() if row.last_error_code else "", said]
        parts = told if any(told) else parts
    # Scrubbed before it is cut, since a cut inside a secret would leave its head; and once more when clean.
    text = context.scrubber.scrub(": ".join(part for part in parts if part))
    return cut(context.scrubber.scrub(clean(text[: 2 * LONGEST])), 400, mark=context.glyphs.ellipsis)


def _word(state: RowState, twin: str | None, context: Context) -> str:
    row, health = state.row, state.health
    if health.kind is HealthKind.COOLING:
        code = row.last_error_code if isinstance(row, Credential) else None
        return "" if code is None else str(code)
    if health.kind is HealthKind.NEEDS_LOGIN:
        return "log in again"
    if health.kind is HealthKind.PAUSED:
        return "paused"
    if health.kind is HealthKind.NO_SECRET:
        why = clean(health.why or "")
        if why.startswith("token"):
            return why
        return "no secret" if context.masked else f"no secret: {why}"
    if twin:
        return f"{health.kind.value}, same key as {twin}"
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
    token: int
    id: int
    detail: int
    total: int


PREFIX: Final = 4
"""Next-pick mark, cursor, glyph, blank."""
_STATUS_LEAST, _STATUS_BEST = 22, 38
_LABEL_LEAST, _LABEL_BEST = 12, 36
_LABEL_USUAL: Final = 18
_LABEL_AIR: Final = 4
_DETAIL_LEAST, _DETAIL_GAP = 24, 2
# What is worth more is given room first (ux 2.15 read backwards).
_OPTIONAL: Final = (("requests", 8), ("type", 6), ("token", 9), ("source", 12), ("id", 8))


def columns(total: int, longest_label: int) -> Columns:
    """Share out a line of `total` cells; every pane of a screen uses the same answer."""
    label = min(max(longest_label, _LABEL_LEAST), _LABEL_USUAL)
    used = PREFIX + label + 1 + _STATUS_LEAST
    widths = dict.fromkeys((name for name, _ in _OPTIONAL), 0)
    for name, cells in _OPTIONAL:
        if used + cells <= total:
            widths[name] = cells
            used += cells
    status = min(_STATUS_BEST, _STATUS_LEAST + max(total - used, 0))
    used += status - _STATUS_LEAST
    more = min(max(longest_label + _LABEL_AIR, label), _LABEL_BEST, label + max(total - used, 0)) - label
    used += more
    detail = total - used - _DETAIL_GAP
    return Columns(
        label=max(label + more, 0) if used <= total else max(label - (used - total), 1),
        status=status,
        detail=detail if detail >= _DETAIL_LEAST else 0,
        total=total,
        **widths,
    )


def row_line(row: KeyRow, at: Columns, now: float, glyphs: Glyphs, *, marks_cursor: bool = False) -> Line:
    """Return a row as one line of exactly ``at.total`` cells."""
    mark = glyphs.ellipsis
    spans = [
        Span(glyphs.next_pick if row.is_next else " ", Role.ACCENT),
        Span(glyphs.cursor if marks_cursor else " ", Role.ACCENT),
        Span(row_glyph(row, now, glyphs), row_role(row, now)),
        Span(" "),
        cell(row.label, at.label, Role.STRONG if row.is_next else Role.PLAIN, mark),
        Span(" "),
    ]
    if at.type:
        spans.append(cell(row.type, at.type, Role.MUTED, mark))
    if at.source:
        spans += [cell(row.source, at.source - 1, Role.MUTED, mark), Span(" ")]
    spans += status_cell(row, now, at.status, glyphs)
    if at.requests:
        spans.append(cell(row.requests, at.requests, Role.PLAIN, mark, right=True))
    if at.token:
        spans.append(cell(token_text(row, now), at.token, _token_role(row, now), mark, right=True))
    if at.id:
        spans += [Span("  "), cell(clean(row.id), at.id - 2, Role.MUTED, mark)]
    if at.detail:
        spans += [Span(" " * _DETAIL_GAP), cell(row.detail, at.detail, Role.MUTED, mark)]
    return fit_line(tuple(spans), at.total, mark)


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


def status_cell(row: KeyRow, now: float, cells: int, glyphs: Glyphs) -> list[Span]:
    """Return the status: a bar with a countdown while cooling, else words."""
    if row.kind is HealthKind.COOLING and row.until is not None:
        return _countdown(row, now, cells, glyphs)
    word = row.word
    if row.kind is HealthKind.READY and _token_warns(row, now):
        word = f"ready {glyphs.dot} token ends"
    if row.kind is HealthKind.PAUSED and row.until is not None:
        word = f"paused until {clock_time(row.until, now)}"
    return [cell(word, cells, row_role(row, now), glyphs.ellipsis)]


def _countdown(row: KeyRow, now: float, cells: int, glyphs: Glyphs) -> list[Span]:
    until = row.until or now
    time_cells, code_cells = 8, 4
    bar_cells = min(cells - time_cells - code_cells, 12)
    share = 0.0
    if row.since is not None and until > row.since:
        share = min(max((now - row.since) / (until - row.since), 0.0), 1.0)
    halves = int(share * bar_cells * 2)
    done, half = divmod(halves, 2)
    tip = glyphs.half if half and glyphs.half else ""
    left = bar_cells - done - len(tip)
    rest = cells - bar_cells - time_cells - code_cells
    return [
        Span(glyphs.done * done + tip, Role.COOLING),
        Span(glyphs.left * left, Role.FAINT),
        cell(duration(until - now), time_cells, Role.COOLING, glyphs.ellipsis, right=True),
        Span(" "),
        cell(row.word, code_cells - 1, Role.MUTED, glyphs.ellipsis),
        Span(" " * max(rest, 0)),
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
    return row.token_ends is not None and row.token_ends - now <= TOKEN_WARNING_S


def longest_label(rows: tuple[KeyRow, ...]) -> int:
    """Return the widest label in cells."""
    return max((width(row.label) for row in rows), default=0)
