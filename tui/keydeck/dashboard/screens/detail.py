"""One key in full: what it is, how it stands, what to do, and what happened to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget

from keydeck.dashboard.actions import DETAIL, bindings
from keydeck.dashboard.screens.key_acts import KeyActs
from keydeck.dashboard.widgets.lines import FixedLines
from keydeck.engine.explanation import RowReason
from keydeck.engine.snapshot import PoolSnapshot
from keydeck.engine.state import PoolState
from keydeck.present.activity import activity_lines
from keydeck.present.detail import fact_lines, identity, situation
from keydeck.present.explain import told, why_facts
from keydeck.present.frame import beside, framed, inner_width
from keydeck.present.rows import KeyRow, key_rows, label_text
from keydeck.present.spans import Line, Role, Span, fit_line
from keydeck.present.text import wrapped

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp

_BESIDE_FROM: Final = 100
"""Cells from which the two boxes stand next to each other."""
_HISTORY_LEAST: Final = 6
_GONE: Final = "this key is gone: somebody removed it. esc goes back, u undoes a removal of yours"
_SCROLLBAR: Final = 1
_AROUND: Final = 3
"""Lines of the bars and of the path. The box itself has its new size only after it was painted for it."""


class DetailScreen(KeyActs):
    """Shows the key of an id, for as long as it is there. The same acts work as on the pools screen."""

    NAME = DETAIL
    BINDINGS: ClassVar[list[BindingType]] = list(bindings(DETAIL))

    def __init__(self, deck: PoolApp, provider: str, row_id: str) -> None:
        super().__init__(deck)
        self._provider = provider
        self._row_id = row_id
        self._row: KeyRow | None = None
        self.why: RowReason | None = None
        """Why the key that is shown is taken or not, as it was painted last."""
        self._path = FixedLines(id="breadcrumb")
        self._facts = FixedLines(id="detail-facts")
        self._box = VerticalScroll(self._facts, id="detail")
        self._box.can_focus = False

    def body(self) -> tuple[Widget, ...]:
        """Lay out where we are and the facts."""
        return (self._path, self._box)

    # --- painting --------------------------------------------------------------------------------------

    def paint_body(self, now: float) -> None:
        """Write the key out."""
        pool = self.pool_here()
        state = pool.at(now) if pool else None
        self._row = self._find(pool, state, now)
        cells, dot = self.size.width, self._deck.glyphs.arrow
        name = self._row.label if self._row else "gone"
        path = (
            Span(f" pools {dot} {label_text(self._provider, self._deck.view.scrubber)} {dot} ", Role.MUTED),
            Span(name, Role.STRONG),
        )
        self._path.show((fit_line(path, cells, self._deck.glyphs.ellipsis),))
        if pool is None or state is None or self._row is None:
            self._facts.show(
                tuple((Span(f" {part}", Role.DEAD),) for part in wrapped(_GONE, max(cells - 2, 1)))
            )
        else:
            self._facts.show(self._boxes(pool, state, self._row, now))

    def _find(self, pool: PoolSnapshot | None, state: PoolState | None, now: float) -> KeyRow | None:
        if pool is None or state is None:
            return None
        rows = key_rows(pool, state, now, self._deck.row_context())
        return next((row for row in rows if row.id == self._row_id), None)

    def _boxes(self, pool: PoolSnapshot, state: PoolState, row: KeyRow, now: float) -> tuple[Line, ...]:
        context, cells = self._deck.row_context(), self.size.width - _SCROLLBAR
        found = next(item for item in state.rows if item.id == row.id)
        left, right = (
            identity(pool, found, context, self._deck.traffic),
            situation(pool, found, row, now, context),
        )
        if cells < _BESIDE_FROM:
            inner = inner_width(cells)
            upper = framed(
                _title("status"), fact_lines(right, inner), cells, context.glyphs, edge=Role.ACCENT
            )
            lower = framed(_title("key"), fact_lines(left, inner), cells, context.glyphs)
            boxes = (*upper, *self._why(pool, state, now, cells), *lower)
            return (*boxes, *self._history(now, cells, len(boxes)))
        half = cells // 2
        one, other = fact_lines(left, inner_width(half)), fact_lines(right, inner_width(cells - half))
        height = max(len(one), len(other)) + 2
        boxes = beside(
            framed(_title("key"), one, half, context.glyphs, height=height),
            framed(_title("status"), other, cells - half, context.glyphs, edge=Role.ACCENT, height=height),
        )
        boxes = (*boxes, *self._why(pool, state, now, cells))
        return (*boxes, *self._history(now, cells, len(boxes)))

    def _why(self, pool: PoolSnapshot, state: PoolState, now: float, cells: int) -> tuple[Line, ...]:
        """Return why the next request gets this key, or another one."""
        context = self._deck.row_context()
        said = told(pool, state, now, context, at_most=self._deck.view.leases_at_most)
        self.why = said.answer.row(self._row_id)
        facts = why_facts(self.why, said) if self.why else []
        return framed(_title("why"), fact_lines(facts, inner_width(cells)), cells, context.glyphs)

    def _history(self, now: float, cells: int, above: int) -> tuple[Line, ...]:
        """Return what happened to this key, in the lines that are left, at least a few."""
        context = self._deck.row_context()
        banner = self._banner.line_count() if self._banner.display else 0
        height = max(self.size.height - banner - _AROUND - above, _HISTORY_LEAST)
        changes = self._deck.activity.of(self._provider, self._row_id)[: height - 2]
        lines = activity_lines(changes, now, inner_width(cells), height - 2, context)
        if not lines:
            lines = ((Span("nothing is known of its past", Role.MUTED),),)
        return framed(_title("history of this key"), lines, cells, context.glyphs, height=height)

    # --- what is selected ------------------------------------------------------------------------------

    def selected_row(self) -> KeyRow | None:
        """Return the key that is shown."""
        return self._row

    def selected_provider(self) -> str | None:
        """Return its pool."""
        return self._provider

    # --- moving ----------------------------------------------------------------------------------------

    def _scroll(self, lines: float) -> None:
        self._box.scroll_relative(y=lines, animate=False)

    def do_move_down(self) -> None:
        """A line down."""
        self._scroll(1)

    def do_move_up(self) -> None:
        """A line up."""
        self._scroll(-1)

    def do_move_page_down(self) -> None:
        """A page down."""
        self._scroll(self._box.size.height - 1)

    def do_move_page_up(self) -> None:
        """A page up."""
        self._scroll(1 - self._box.size.height)

    def do_move_first(self) -> None:
        """To the top."""
        self._box.scroll_home(animate=False)

    def do_move_last(self) -> None:
        """To the end."""
        self._box.scroll_end(animate=False)

    def back(self) -> None:
        """Go back to the pools."""
        self._deck.pop_screen()


def _title(text: str) -> Line:
    return (Span(text, Role.MUTED),)
