"""The pools screen: one pane a pool, what is wrong and what happened beside them, the selected key in full."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from keydeck.dashboard.actions import POOLS, bindings
from keydeck.dashboard.screens.deck import TOO_SMALL
from keydeck.dashboard.screens.detail import DetailScreen
from keydeck.dashboard.screens.finding_acts import FindingActs
from keydeck.dashboard.screens.key_acts import KeyActs
from keydeck.dashboard.widgets.filter_bar import FilterBar
from keydeck.dashboard.widgets.lines import FixedLines
from keydeck.dashboard.widgets.pane_stack import PaneStack, Spot
from keydeck.dashboard.widgets.pool_pane import PaneLook, PoolPane
from keydeck.engine.state import HealthKind
from keydeck.live.problems import Problem, problems
from keydeck.present.activity import activity_lines
from keydeck.present.arranging import Arrangement, arranged
from keydeck.present.attention import attention_lines
from keydeck.present.card import CARD_LINES, card_line, card_lines
from keydeck.present.detail import fact_lines, identity, situation
from keydeck.present.empty import empty_lines
from keydeck.present.explain import told, turn_facts
from keydeck.present.frame import framed, inner_width
from keydeck.present.panes import PaneView, PaneWriter
from keydeck.present.rows import Context, KeyRow, longest_label
from keydeck.present.spans import Line, Role, Span
from keydeck.present.traffic import Traffic

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp

TALL_FROM: Final = 32
"""Lines from which panes have frames and the selected key has a card (ux 4.3)."""
CARD_FROM: Final = 14
"""Lines from which the selected key is explained below the pools, be it in one line."""
WIDE_FROM: Final = 160
"""Cells from which there are two columns and a side bar."""
SIDE_CELLS: Final = 62
_BARS: Final = 2
_ACTIVITY_LEAST: Final = 4
_ACTIVITY_AT_LEAST_BESIDE: Final = 10
"""Lines of activity where the selected key needs none: the pools scroll above it."""
_ATTENTION_MOST: Final = 12


class PoolsScreen(FindingActs, KeyActs):
    """Home screen. The cursor is a row's id, so it stays on its row whatever order rows take."""

    NAME = POOLS
    BINDINGS: ClassVar[list[BindingType]] = list(bindings(POOLS))

    def __init__(self, deck: PoolApp) -> None:
        super().__init__(deck)
        self._writer = PaneWriter()
        self._drawn_traffic: Traffic | None = None
        self._views: tuple[PaneView, ...] = ()
        self._shown: tuple[PaneView, ...] = ()
        self._problems: tuple[Problem, ...] | None = None
        """What is wrong, once somebody wants to know."""
        self._wish = Arrangement()
        self._cursor: Spot | None = None
        self._spot = self._spot_in_pool = 0
        """Where the cursor was, among all rows and in its pool: for when its row is gone."""
        self._awaited: str | None = None
        self._marks: frozenset[tuple[str, str]] = frozenset()
        self._wide = False
        self._built_for: tuple[object, Context] | None = None
        self._changes_at: float | None = None
        self._empty = FixedLines(id="empty")
        self._stack = PaneStack()
        self._attention = FixedLines(id="attention")
        self._facts = FixedLines(id="facts")
        self._activity = FixedLines(id="activity")
        self._card = FixedLines(id="key-card")
        self._filter = FilterBar()

    def body(self) -> tuple[Widget, ...]:
        """Lay out an empty list of panes and what stands beside and below it."""
        left = Vertical(self._stack, self._activity, id="left")
        side = Vertical(self._attention, self._facts, id="side")
        return (self._empty, Horizontal(left, side, id="middle"), self._card, self._filter)

    def on_resize(self) -> None:
        """Keep the cursor in sight; what else there is to do all screens share."""
        self._stack.reveal_once_laid_out(self._cursor)

    # --- painting --------------------------------------------------------------------------------------

    def paint_body(self, now: float) -> None:
        """Draw the pools and everything around them."""
        self._build(now)
        self._keep_zoom()
        self._shown = arranged(self._views, self._wish)
        self._keep_cursor()
        self._keep_marks()
        self.set_class(self._has_side(), "-side")
        self._show_stack(now)
        self._stack.point(self._cursor)
        self._paint_empty()
        self._paint_around(now)

    def _show_stack(self, now: float) -> None:
        self._drawn_traffic = self._deck.traffic
        self._stack.show(self._shown, self._look(), now, columns=2 if self._has_side() else 1)

    def tick_body(self, now: float) -> None:
        """Move the clocks; rows whose wait is over change their state."""
        if self._changes_at is not None and now >= self._changes_at:
            self.paint_body(now)
            return
        if self._drawn_traffic is not self._deck.traffic:
            self._show_stack(now)
        self._stack.tick(now)
        self._paint_selected(now)
        if self._has_side():
            self._paint_attention(now)

    def _build(self, now: float) -> None:
        """Write the pools out, unless nothing but the clock moved and no row changes by it."""
        context = self._deck.row_context()
        same = self._built_for is not None and self._built_for[0] is self._deck.view
        if same and self._built_for == (self._deck.view, context) and not self._is_due(now):
            return
        self._views = self._writer.views(self._deck.view, now, context)
        moments = [view.changes_at for view in self._views if view.changes_at is not None]
        self._changes_at = min(moments, default=None)
        self._problems = None
        self._built_for = (self._deck.view, context)

    def _is_due(self, now: float) -> bool:
        return self._changes_at is not None and now >= self._changes_at

    def _look(self) -> PaneLook:
        return PaneLook(
            self._deck.glyphs,
            self._is_framed(),
            max((longest_label(view.rows) for view in self._shown), default=0),
            cursor_mark=self._deck.needs_cursor_mark,
            wide=self._wide,
            times=self._deck.settings.times,
            marked=self._marks,
            pending=frozenset(self._deck.acting.pending),
            traffic=self._deck.traffic,
            outside=self._deck.changed_outside(),
        )

    def _paint_empty(self) -> None:
        box = self._empty
        width, height = self.size
        fits = width >= TOO_SMALL[0] and height >= TOO_SMALL[1]
        lines = () if self._shown or not fits else self._empty_lines()
        box.show(lines)
        box.display = bool(lines)

    def _empty_lines(self) -> tuple[Line, ...]:
        return empty_lines(self._deck.view, self._deck.command_flags, only_problems=self._wish.only_problems)

    def _paint_around(self, now: float) -> None:
        """Draw what stands beside and below the pools."""
        self._paint_selected(now)
        if self._has_side():
            self._paint_attention(now)
        self._activity.show(self._activity_box(now))
        self._activity.display = self._activity.line_count() > 0

    def _paint_selected(self, now: float) -> None:
        """Draw the selected key, beside the pools or below them."""
        if self._has_side():
            self._card.show(())
            self._facts.show(self._facts_box(now, self._deck.row_context()))
        else:
            self._card.show(self._card_for(now))
        self._card.display = self._card.line_count() > 0

    def _card_for(self, now: float) -> tuple[Line, ...]:
        row, pool = self.selected_row(), self.pool_here()
        if row is None or pool is None or self.size.height < CARD_FROM:
            return ()
        write = card_lines if self._has_room_for_card() else card_line
        return write(pool, pool.at(now), row, now, self.size.width, self._deck.row_context())

    def _activity_box(self, now: float) -> tuple[Line, ...]:
        """Return what happened in the lines that the pools leave free; none where those are few."""
        cells = self.size.width - (SIDE_CELLS if self._has_side() else 0)
        used = self._stack.lines_needed(framed=self._is_framed()) + self._card.line_count()
        height = self.size.height - _BARS - self._lines_lent() - used
        if self._has_side():
            height = max(height, _ACTIVITY_AT_LEAST_BESIDE)
        if self.size.height < TALL_FROM or height < _ACTIVITY_LEAST or not self._shown:
            return ()
        context, count = self._deck.row_context(), height - 2
        changes = self._deck.activity.newest(count)
        lines = activity_lines(changes, now, inner_width(cells), count, context)
        return framed((Span("activity", Role.MUTED),), lines, cells, context.glyphs, height=height)

    def _lines_lent(self) -> int:
        """How many lines the banner takes, and the field for a filter."""
        banner = self._banner.line_count() if self._banner.display else 0
        return banner + self._filter.display

    def _paint_attention(self, now: float) -> None:
        """Draw what is wrong."""
        context, cells = self._deck.row_context(), inner_width(SIDE_CELLS)
        if self._problems is None:
            self._problems = problems(self._deck.view, now, token_warning_s=context.token_warning_s)
        wrong = attention_lines(self._problems[:_ATTENTION_MOST], self._deck.view, now, cells, context)
        title = (Span("needs attention", Role.MUTED),)
        self._attention.show(framed(title, wrong, SIDE_CELLS, context.glyphs))

    def _facts_box(self, now: float, context: Context) -> tuple[Line, ...]:
        row, pool = self.selected_row(), self.pool_here()
        if row is None or pool is None:
            return ()
        state = pool.at(now)
        found = next(item for item in state.rows if item.id == row.id)
        said = told(pool, state, now, context, at_most=self._deck.view.leases_at_most)
        why = said.answer.row(row.id)
        facts = (
            *situation(pool, found, row, now, context),
            *(turn_facts(why, said) if why else ()),
            *identity(pool, found, context, self._deck.traffic),
        )
        lines = fact_lines(facts, inner_width(SIDE_CELLS))
        return framed((Span(row.label, Role.STRONG),), lines, SIDE_CELLS, context.glyphs)

    def _has_side(self) -> bool:
        return self.size.width >= WIDE_FROM and self.size.height >= TALL_FROM and not self._wide

    def _has_room_for_card(self) -> bool:
        """Whether the whole card fits: always where lines are plenty, else where the pools leave them free."""
        return self.size.height >= TALL_FROM or self._free_lines() >= CARD_LINES

    def _is_framed(self) -> bool:
        """Whether panes have frames: where there are lines for them, unless only doing without makes all fit."""
        density = self._deck.settings.density
        if density != "auto":
            return density == "tall"
        free = self._free_lines() - CARD_LINES
        return self.size.height >= TALL_FROM and (self._has_side() or not 0 <= free < len(self._shown))

    def _free_lines(self) -> int:
        """How many lines the bars and all pools without frames leave free."""
        return self.size.height - _BARS - sum(len(view.rows) + 1 for view in self._shown)

    def kinds(self, now: float) -> Iterable[HealthKind]:
        """Return the states of all rows, as they are drawn."""
        return [kind for view in self._views for kind in view.kinds]

    # --- the cursor ------------------------------------------------------------------------------------

    def _places(self) -> list[Spot]:
        """Return where the cursor can be, as it is read: rows, and headlines of pools that are folded."""
        return [place for pane in self._stack.panes() for place in _places_in(pane.view)]

    def _keep_cursor(self) -> None:
        """Keep the cursor on its row; if that is gone, on the row that took its place, first of all in its pool."""
        places = [place for view in self._shown for place in _places_in(view)]
        self._cursor = self._new_key(places) or self._cursor
        if self._cursor not in places:
            same_pool = [place for place in places if self._cursor and place[0] == self._cursor[0]]
            spot = self._spot_in_pool if same_pool else self._spot
            left = same_pool or places
            self._cursor = left[min(spot, len(left) - 1)] if left else None
        if self._cursor is not None:
            self._spot = places.index(self._cursor)
            self._spot_in_pool = self._spot - next(
                spot for spot, place in enumerate(places) if place[0] == self._cursor[0]
            )

    def _new_key(self, places: list[Spot]) -> Spot | None:
        """Return where the key is that was just added or put back, once it is there."""
        found = next((place for place in places if place[1] and place[1] == self._awaited), None)
        self._awaited = None if found else self._awaited
        return found

    def await_key(self, row_id: str) -> None:
        """Put the cursor on a key that is not there yet as soon as it is."""
        if all(row.id != row_id for pool in self._deck.view.pools for row in pool.rows):
            self._awaited = row_id

    def _keep_zoom(self) -> None:
        """Show all pools again when the one that was shown alone is gone."""
        if self._wish.zoomed not in (None, *(view.provider for view in self._views)):
            self._wish = replace(self._wish, zoomed=None)

    def _keep_marks(self) -> None:
        """Forget marks of rows that are gone."""
        if self._marks:
            here = {(pool.provider, row.id) for pool in self._deck.view.pools for row in pool.rows}
            self._marks &= here

    def selected_row(self) -> KeyRow | None:
        """Return the row under the cursor."""
        if self._cursor is None:
            return None
        rows = (row for view in self._shown if view.provider == self._cursor[0] for row in view.rows)
        return next((row for row in rows if row.id == self._cursor[1]), None)

    def selected_provider(self) -> str | None:
        """Return the pool under the cursor."""
        return self._cursor[0] if self._cursor else None

    def move_to(self, spot: Spot) -> None:
        """Put the cursor there."""
        self._cursor, self._awaited = spot, None
        self._keep_cursor()
        self._stack.point(spot)
        self._paint_selected(self._deck.clock())
        self._stack.reveal(spot)

    def _move(self, choose: Callable[[int, int], int]) -> None:
        """Move to the place that `choose` makes of (present place, last place)."""
        places = self._places()
        if not places:
            return
        here = places.index(self._cursor) if self._cursor in places else 0
        last = len(places) - 1
        self.move_to(places[min(max(choose(here, last), 0), last)])

    def _page(self) -> int:
        return max(self._stack.size.height - 2, 1)

    def do_move_down(self) -> None:
        """Next row, over pane borders."""
        self._move(lambda here, _: here + 1)

    def do_move_up(self) -> None:
        """Previous row."""
        self._move(lambda here, _: here - 1)

    def do_move_first(self) -> None:
        """First row of all."""
        self._move(lambda _here, _last: 0)

    def do_move_last(self) -> None:
        """Last row of all."""
        self._move(lambda _, last: last)

    def do_move_page_down(self) -> None:
        """A page down."""
        self._move(lambda here, _: here + self._page())

    def do_move_page_up(self) -> None:
        """A page up."""
        self._move(lambda here, _: here - self._page())

    def do_pane_next(self) -> None:
        """First row of the next pool."""
        self._move_pane(1)

    def do_pane_previous(self) -> None:
        """First row of the previous pool."""
        self._move_pane(-1)

    def do_pane_right(self) -> None:
        """The pool at the right, else the next one."""
        self._move_beside(1)

    def do_pane_left(self) -> None:
        """The pool at the left, else the previous one."""
        self._move_beside(-1)

    def _move_beside(self, step: int) -> None:
        beside = self._stack.beside(self._cursor[0], step) if self._cursor else None
        if beside is None:
            self._move_pane(step)
        else:
            self._enter_pool(beside)

    def _move_pane(self, step: int) -> None:
        names = list(dict.fromkeys(place[0] for place in self._places()))
        if not names:
            return
        here = names.index(self._cursor[0]) if self._cursor and self._cursor[0] in names else 0
        self._enter_pool(names[(here + step) % len(names)])

    def _enter_pool(self, provider: str) -> None:
        first = next((place for place in self._places() if place[0] == provider), None)
        if first is not None:
            self.move_to(first)

    def show_place(self, provider: str, row_id: str | None) -> None:
        """Bring a pool or a key on screen, whatever was hidden, and put the cursor there."""
        self._wish = replace(
            Arrangement(sort=self._wish.sort, reverse=self._wish.reverse),
            folded=self._wish.folded - {provider},
        )
        self._filter.clear()
        self.repaint()
        view = next((view for view in self._shown if view.provider == provider), None)
        if view is None:
            return
        ids = [row.id for row in view.rows]
        spot = (provider, row_id if row_id in ids else ids[0] if ids else None)
        self.move_to(spot)
        self.call_after_refresh(self._stack.reveal, spot)

    # --- opening ---------------------------------------------------------------------------------------

    def do_view_open(self) -> None:
        """Show everything about the key, or what is folded."""
        if self._cursor is not None and self._cursor[1] is None:
            self.do_view_fold()
        elif self._cursor is not None and self._cursor[1] is not None:
            self._deck.push_screen(DetailScreen(self._deck, self._cursor[0], self._cursor[1]))

    # --- the mouse -------------------------------------------------------------------------------------

    @on(PoolPane.RowChosen)
    def _row_chosen(self, message: PoolPane.RowChosen) -> None:
        message.stop()
        view = message.pane.view
        row_id = message.row_id or (view.rows[0].id if view.rows else None)
        if row_id is not None or view.folded:
            self.move_to((view.provider, row_id))
            if message.twice:
                self.do_view_open()

    @on(PoolPane.StrategyChosen)
    def _strategy_chosen(self, message: PoolPane.StrategyChosen) -> None:
        message.stop()
        self._enter_pool(message.pane.view.provider)
        self.run_action_here("pool.strategy")


def _places_in(view: PaneView) -> list[Spot]:
    """Return where the cursor can be in a pane: its rows, and the headline of one that is folded."""
    return [(view.provider, None)] if view.folded else [(view.provider, row.id) for row in view.rows]
