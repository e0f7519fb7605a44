"""A pool as a pane: title, rows, strategy; and the bars around the panes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from keydeck.engine.credential import Credential
from keydeck.engine.errors import StoreCorrupt, StoreReadOnly, StoreTooNew
from keydeck.engine.forecast import Step, forecast
from keydeck.engine.snapshot import HomeSnapshot, PoolSnapshot
from keydeck.engine.state import HealthKind, PoolState
from keydeck.live.problems import serving_pool
from keydeck.present.evidence import forecast_text
from keydeck.present.glyphs import Glyphs
from keydeck.present.rates import rate_text
from keydeck.present.rows import Context, KeyRow, key_rows, label_text, said_text
from keydeck.present.spans import Line, Role, Span, between, fit_line, line_width
from keydeck.present.text import clean, clock_time, cut_head, duration


@dataclass(frozen=True, slots=True)
class PaneView:
    """Everything a pane draws, but for the clock."""

    provider: str
    name: str
    strategy: str
    rows: tuple[KeyRow, ...]
    ready: int
    back_at: float | None
    """When the next row is back, while none is ready."""
    falls_to: str
    """The pool that serves meanwhile, by the fallback chain."""
    note: str
    changes_at: float | None
    """The next moment at which a row's state changes by the clock alone."""
    kinds: tuple[HealthKind, ...] = ()
    """The states of all rows, shown or not."""
    folded: bool = False
    """Whether the user wants only the headline."""
    written_at: float = 0.0
    """The moment for which it was written."""
    forecast: tuple[Step, ...] = ()
    """How the number of ready rows changes if nothing but time passes."""

    @property
    def total(self) -> int:
        """How many rows the pool has, shown or not."""
        return len(self.kinds)

    @property
    def has_trouble(self) -> bool:
        """Whether any row cannot be used."""
        return self.ready < self.total


def pane_views(snapshot: HomeSnapshot, now: float, context: Context) -> tuple[PaneView, ...]:
    """Return a pane for every pool, as it stands at `now` (epoch seconds)."""
    return PaneWriter().views(snapshot, now, context)


class PaneWriter:
    """Writes the pools of one snapshot after the other out, and those that did not change only once."""

    def __init__(self) -> None:
        self._written: dict[str, tuple[PoolSnapshot, Context, PaneView]] = {}

    def views(self, snapshot: HomeSnapshot, now: float, context: Context) -> tuple[PaneView, ...]:
        """Return a pane for every pool, as it stands at `now` (epoch seconds)."""
        before, self._written = self._written, {}
        for pool in snapshot.pools:
            view = _still(before.get(pool.provider), pool, now, context) or _pane(pool, now, context)
            self._written[pool.provider] = (pool, context, view)
        serving = _Serving(snapshot, now, context)
        return tuple(view if view.ready else serving.beside(view) for _, _, view in self._written.values())


def _still(
    written: tuple[PoolSnapshot, Context, PaneView] | None, pool: PoolSnapshot, now: float, context: Context
) -> PaneView | None:
    """Return the pane of last time, if the pool and the moment make no other one."""
    if written is None:
        return None
    of, by, view = written
    is_due = view.changes_at is not None and now >= view.changes_at
    return view if of is pool and by == context and not is_due and now >= view.written_at else None


class _Serving:
    """Who steps in for pools without a ready key; looked up only where there is one."""

    def __init__(self, snapshot: HomeSnapshot, now: float, context: Context) -> None:
        self._snapshot, self._now, self._context = snapshot, now, context
        self._states: dict[str, PoolState] | None = None

    def beside(self, view: PaneView) -> PaneView:
        """Return the pane with the pool that serves meanwhile."""
        if self._states is None:
            hops = (self._snapshot.pool(hop) for hop in self._snapshot.fallback)
            self._states = {pool.provider: pool.at(self._now) for pool in hops if pool}
        serves = serving_pool(self._snapshot, view.provider, self._states) or ""
        return replace(view, falls_to=label_text(serves, self._context.scrubber))


def _pane(pool: PoolSnapshot, now: float, context: Context) -> PaneView:
    state = pool.at(now)
    ready = len(state.usable)
    return PaneView(
        provider=pool.provider,
        name=label_text(pool.provider, context.scrubber),
        strategy=label_text(pool.strategy, context.scrubber) + ("" if pool.knows_strategy else " (unknown)"),
        rows=key_rows(pool, state, now, context),
        ready=ready,
        back_at=None if ready else state.next_ready_at,
        falls_to="",
        note=_note(pool, ready),
        changes_at=_changes_at(state, now, context.token_warning_s),
        kinds=tuple(row.health.kind for row in state.rows),
        written_at=now,
        forecast=forecast(state, now),
    )


def _note(pool: PoolSnapshot, ready: int) -> str:
    if pool.is_inherited:
        return "from the root profile, read-only"
    if ready and pool.followed_strategy == "random":
        return f"any of {ready}"
    return "no rotation with 1 key" if ready and len(pool.rows) == 1 else ""


def _changes_at(state: PoolState, now: float, warning_s: float) -> float | None:
    moments = [row.health.until for row in state.rows if row.health.until is not None]
    for row in state.rows:
        if row.token_expires_at is not None:
            moments += [row.token_expires_at, row.token_expires_at - warning_s]
        if isinstance(row.row, Credential):
            moments += [lease.until for lease in row.row.leases.values()]
            moments += [held.until for held in row.row.limits.values() if held.until is not None]
    return min((moment for moment in moments if moment > now), default=None)


# --- lines -------------------------------------------------------------------------------------------------


def title(pane: PaneView, now: float, glyphs: Glyphs, rate: float = 0.0) -> Line:
    """Return a pane's headline: name, ready of total and until when, rate, and what helps while none is ready."""
    total = pane.total
    role = Role.READY if pane.ready == total else Role.COOLING if pane.ready else Role.DEAD
    spans = [Span(pane.name, Role.STRONG), Span("  "), Span(f"{pane.ready}/{total} ready", role)]
    if said := forecast_text(pane.forecast, now):
        spans.append(Span(f" {said}", Role.MUTED))
    if probing := pane.kinds.count(HealthKind.PROBING):
        spans.append(Span(f"  {probing} probing", Role.READY))
    if said := rate_text(rate):
        spans.append(Span(f"  {said}", Role.MUTED))
    if pane.falls_to:
        spans.append(Span(f" {glyphs.arrow} {pane.falls_to}", Role.MUTED))
    if pane.note:
        spans.append(Span(f"  {pane.note}", Role.MUTED))
    if hidden := total - len(pane.rows):
        spans.append(Span(f"  {hidden} {'folded' if pane.folded else 'hidden'}", Role.ACCENT))
    return tuple(spans)


def header_line(
    pane: PaneView, now: float, cells: int, glyphs: Glyphs, *, has_focus: bool, rate: float = 0.0
) -> Line:
    """Return the one line that stands for the frame where lines are scarce."""
    head = (Span(glyphs.focus if has_focus else " ", Role.ACCENT), *title(pane, now, glyphs, rate), Span(" "))
    strategy = (Span(f" {pane.strategy}", Role.ACCENT),)
    room = cells - line_width(head) - line_width(strategy)
    if room < 0:
        return between(
            fit_line(head, max(cells - line_width(strategy), 0), glyphs.ellipsis), strategy, cells, ""
        )
    return (*head, Span(glyphs.rule * room, Role.FAINT), *strategy)


def top_line(
    pane: PaneView, now: float, cells: int, glyphs: Glyphs, *, edge: Role, rate: float = 0.0
) -> Line:
    """Return the upper edge of a framed pane, with the title in it."""
    room = cells - 5  # corner, rule, blank before; blank and corner behind
    head = title(pane, now, glyphs, rate)
    if line_width(head) > room:
        head = fit_line(head, max(room, 0), glyphs.ellipsis)
    rest = cells - 5 - line_width(head)
    return (
        Span(f"{glyphs.corners[0]}{glyphs.rule} ", edge),
        *head,
        Span(f" {glyphs.rule * rest}{glyphs.corners[1]}", edge),
    )


def bottom_line(pane: PaneView, cells: int, glyphs: Glyphs, *, edge: Role) -> Line:
    """Return the lower edge of a framed pane, with the strategy in it."""
    words = f" {pane.strategy} {glyphs.menu} "
    rest = cells - 3 - line_width((Span(words),))
    if rest < 0:
        return (Span(glyphs.corners[2] + glyphs.rule * (cells - 2) + glyphs.corners[3], edge),)
    return (
        Span(glyphs.corners[2] + glyphs.rule * rest, edge),
        Span(words, Role.ACCENT),
        Span(f"{glyphs.rule}{glyphs.corners[3]}", edge),
    )


_PLACE_LEAST: Final = 6
_SUMMARY: Final = (
    ((HealthKind.READY, HealthKind.PROBING), "ready", Role.READY),
    ((HealthKind.COOLING,), "cooling", Role.COOLING),
    ((HealthKind.NEEDS_LOGIN,), "log in", Role.DEAD),
    ((HealthKind.PAUSED,), "paused", Role.PAUSED),
    ((HealthKind.NO_SECRET,), "no secret", Role.ABSENT),
    ((HealthKind.BAD_ROW,), "bad", Role.DEAD),
    ((HealthKind.PROBING,), "probing", Role.READY),  # of the ready ones
)


def status_line(
    place: str,
    kinds: Iterable[HealthKind],
    cells: int,
    glyphs: Glyphs,
    *,
    watching: str,
    flags: tuple[str, ...] = (),
    rate: float = 0.0,
) -> Line:
    """Return the bar on top: the store, what is up with all keys, and how fresh the view is.

    Args:
        place: the home as people write it, with its profile.
        kinds: the states of all rows of all pools.
        cells: width of the bar.
        glyphs: the signs to use.
        watching: ``live``, how else changes are noticed, or ``stale``.
        flags: modes that are on, such as ``read-only``.
        rate: requests per minute of all pools.
    """
    badge = Span(" keydeck ", Role.BADGE)
    freshness = {"live": Role.READY, "stale": Role.DEAD}.get(watching, Role.COOLING)
    fresh = (Span(f"{glyphs.live} {watching}", freshness), Span(" "))
    modes = tuple(Span(f" {flag} ", Role.PAUSED) for flag in flags)
    room = cells - line_width((badge, *modes, *fresh)) - 1
    counts: list[Span] = []
    for count in _counts(kinds):
        if line_width((*counts, count)) + 2 <= room:
            counts += [count, Span("  ")]
    pace = Span(f"{rate_text(rate)}  ") if rate_text(rate) else Span("")
    if line_width((*counts, pace)) <= room:
        counts = [pace, *counts] if pace.text else counts
    left = cells - line_width((badge, *modes, *counts, *fresh)) - 2
    # A few letters of a path tell nothing.
    shown = cut_head(clean(place), left, mark=glyphs.ellipsis) if left >= _PLACE_LEAST else ""
    where = (Span(f" {shown} ", Role.MUTED),) if shown else ()
    return between((badge, *modes, *where), (*counts, *fresh), cells, glyphs.ellipsis)


def _counts(kinds: Iterable[HealthKind]) -> list[Span]:
    by_kind = Counter(kinds)
    counts = [(sum(by_kind[kind] for kind in members), word, role) for members, word, role in _SUMMARY]
    return [Span(f"{count} {word}", role) for count, word, role in counts if count or word == "ready"]


def banner(snapshot: HomeSnapshot, now: float) -> str:
    """Return what is wrong with the store, config.yaml or the journal, in one line; empty when all is well."""
    trouble, scrubber = snapshot.trouble, snapshot.scrubber
    if trouble is not None:
        what = said_text(getattr(trouble, "reason", str(trouble)), scrubber)
        if isinstance(trouble, StoreTooNew | StoreReadOnly):
            return f"auth.json: {what}. Writes are off."
        repair = (
            " Mend it or restore a copy from keydeck/backups." if isinstance(trouble, StoreCorrupt) else ""
        )
        age = duration(now - snapshot.read_at) if snapshot.read_at else ""
        shown = f"Showing the last good copy, {age} old." if age else "Nothing could be read yet."
        return f"auth.json: {what}. {shown} Writes are off.{repair}"
    if snapshot.config_trouble is not None:
        what = said_text(snapshot.config_trouble.reason, scrubber)
        return f"config.yaml: {what}. Strategies and endpoints may be stale."
    if snapshot.bad_pools:
        name, reason = next(iter(snapshot.bad_pools.items()))
        more = f" and {len(snapshot.bad_pools) - 1} more" if len(snapshot.bad_pools) > 1 else ""
        shown = f"pool {label_text(name, scrubber)}{more} cannot be shown"
        return f"auth.json: {shown}: {said_text(reason, scrubber)}."
    return "".join(f"{said_text(str(each), scrubber)}." for each in snapshot.store_troubles[:1])


def since_text(epoch_s: float | None, now: float) -> str:
    """Return a point in the past with how long ago it was."""
    if epoch_s is None:
        return "unknown"
    return f"{clock_time(epoch_s, now)} ({duration(now - epoch_s)} ago)"
