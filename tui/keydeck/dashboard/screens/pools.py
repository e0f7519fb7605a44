"""The pools screen: one pane a pool, a bar above and below, the selected key in full where there is room."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import wrap
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.geometry import Region
from textual.screen import Screen

from keydeck.dashboard.actions import BY_ID, bindings, key_bar
from keydeck.dashboard.dialogs.help import HelpDialog
from keydeck.dashboard.screens.key_acts import KeyActs
from keydeck.dashboard.widgets.key_bar import KeyBar
from keydeck.dashboard.widgets.lines import FixedLines
from keydeck.dashboard.widgets.pool_pane import PaneLook, PoolPane
from keydeck.engine.snapshot import HomeSnapshot
from keydeck.present.card import CARD_LINES, card_line, card_lines
from keydeck.present.empty import empty_lines
from keydeck.present.panes import PaneView, banner, pane_views, status_line
from keydeck.present.rows import Context, KeyRow, longest_label
from keydeck.present.spans import Role, Span, fit_line

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp

TALL_FROM: Final = 32
"""Lines from which panes have frames and the selected key has a card (ux 4.3)."""
CARD_FROM: Final = 14
"""Lines from which the selected key is explained below the pools, be it in one line."""
_BARS: Final = 2
_BANNER_LINES: Final = 2
_TOO_SMALL: Final = (40, 10)


class PoolsScreen(KeyActs, Screen[None]):
    """Home screen. The cursor is a row's id, so it stays on its row whatever order rows take."""

    BINDINGS: ClassVar[list[BindingType]] = list(bindings())

    def __init__(self, deck: PoolApp) -> None:
        super().__init__()
        self._deck = deck
        self._snapshot = deck.snapshot
        self._views: tuple[PaneView, ...] = ()
        self._cursor: tuple[str, str] | None = None
        self._only_problems = False
        self._changes_at: float | None = None
        self._pane_of: dict[str, PoolPane] = {}
        self._banner = FixedLines(id="banner")
        self._status_bar = FixedLines(id="status-bar")
        self._empty = FixedLines(id="empty")
        self._box = VerticalScroll(id="panes")
        self._box.can_focus = False
        self._card = FixedLines(id="key-card")
        self._key_bar = KeyBar()

    # --- building --------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Lay out the bars and an empty list of panes."""
        yield self._banner
        yield self._status_bar
        yield self._empty
        yield self._box
        yield self._card
        yield self._key_bar

    def on_mount(self) -> None:
        """Draw what the app has read already."""
        self.show(self._deck.snapshot)

    def on_resize(self) -> None:
        """Lay out for the new size."""
        self._paint()

    # --- data ------------------------------------------------------------------------------------------

    def show(self, snapshot: HomeSnapshot) -> None:
        """Draw another snapshot."""
        self._snapshot = snapshot
        self._paint()

    def tick(self, now: float) -> None:
        """Move the clocks on screen; rows whose wait is over change their state."""
        if not self.is_mounted:
            return
        if self._changes_at is not None and now >= self._changes_at:
            self._paint()
            return
        for pane in self._panes():
            pane.tick(now)
        self._paint_banner()
        self._paint_card()

    def _paint(self) -> None:
        if not self.is_mounted:
            return
        now = self._deck.clock()
        self._views = pane_views(self._snapshot, now, self._row_context())
        moments = [view.changes_at for view in self._views if view.changes_at is not None]
        self._changes_at = min(moments, default=None)
        self._keep_cursor()
        self._paint_panes(now)
        self._paint_banner()
        self._paint_bars()
        self._paint_empty()
        self._paint_card()

    def _row_context(self) -> Context:
        return Context(
            self._deck.glyphs,
            self._snapshot.scrubber,
            masked=self._deck.masked,
        )

    def _shown(self) -> list[PaneView]:
        return [view for view in self._views if view.has_trouble or not self._only_problems]

    # --- painting --------------------------------------------------------------------------------------

    def _paint_panes(self, now: float) -> None:
        longest = max((longest_label(view.rows) for view in self._views), default=0)
        look = PaneLook(
            self._deck.glyphs, self._is_framed(), longest, cursor_mark=self._deck.needs_cursor_mark
        )
        views = self._shown()
        fresh = {view.provider for view in views} - self._pane_of.keys()
        if list(self._pane_of) != [view.provider for view in views]:
            self._arrange(views, look, now)
        for view in views:
            if view.provider not in fresh:
                self._pane_of[view.provider].show(view, look, now)
        self._point()

    def _arrange(self, views: list[PaneView], look: PaneLook, now: float) -> None:
        """Bring the panes in line with the pools: in their order, those that stay being kept."""
        old, self._pane_of = self._pane_of, {}
        previous: PoolPane | None = None
        for view in views:
            pane = old.pop(view.provider, None)
            if pane is None:
                pane = PoolPane(view, look, now)
                self._mount(pane, previous)
            elif previous is not None:
                self._box.move_child(pane, after=previous)
            elif self._box.children:
                self._box.move_child(pane, before=0)
            self._pane_of[view.provider] = previous = pane
        for gone in old.values():
            gone.remove()

    def _mount(self, pane: PoolPane, previous: PoolPane | None) -> None:
        if previous is not None:
            self._box.mount(pane, after=previous)
        else:
            self._box.mount(pane, before=0 if self._box.children else None)

    def _point(self) -> None:
        for pane in self._panes():
            here = self._cursor is not None and pane.view.provider == self._cursor[0]
            pane.point(self._cursor[1] if here and self._cursor else None, has_focus=here)

    def _paint_banner(self) -> None:
        said = banner(self._snapshot, self._deck.clock())
        self._banner.display = bool(said)
        if said:
            cells, mark = self.size.width, self._deck.glyphs.ellipsis
            parts = wrap(f"! {said}", max(cells - 2, 1), max_lines=_BANNER_LINES, placeholder=f" {mark}")
            self._banner.show(tuple(fit_line((Span(f" {part}", Role.ALERT),), cells, mark) for part in parts))
        self.set_class(self._snapshot.trouble is not None, "-stale")

    def _paint_bars(self) -> None:
        flags = tuple(
            word
            for word, on_ in (
                ("read-only", self._deck.read_only),
                ("problems only", self._only_problems),
                ("masked", self._deck.masked),
            )
            if on_
        )
        line = status_line(
            self._deck.place,
            self._views,
            self.size.width,
            self._deck.glyphs,
            watching="stale" if self._snapshot.trouble else self._deck.watching,
            flags=flags,
        )
        self._status_bar.show((line,))
        keys = key_bar(read_only=self._deck.read_only, ascii_only=self._ascii_only())
        self._key_bar.show_keys(keys, self.size.width)

    def _ascii_only(self) -> bool:
        return self._deck.glyphs.enter.isascii()

    def _paint_empty(self) -> None:
        box = self._empty
        width, height = self.size
        if width < _TOO_SMALL[0] or height < _TOO_SMALL[1]:
            said = f"too small: {width}x{height}, needs {_TOO_SMALL[0]}x{_TOO_SMALL[1]}"
            box.show(((Span(said, Role.COOLING),),))
        elif not self._shown():
            box.show(empty_lines(self._snapshot, self._deck.command_flags, only_problems=self._only_problems))
        else:
            box.show(())
        box.display = box.line_count() > 0

    def _paint_card(self) -> None:
        row = self._selected()
        pool = self._snapshot.pool(self._cursor[0]) if self._cursor else None
        self._card.display = row is not None and pool is not None and self.size.height >= CARD_FROM
        if self._card.display and row is not None and pool is not None:
            now = self._deck.clock()
            write = card_lines if self._has_room_for_card() else card_line
            self._card.show(write(pool, pool.at(now), row, now, self.size.width, self._row_context()))

    def _has_room_for_card(self) -> bool:
        """Whether the whole card fits: always where lines are plenty, else where the pools leave them free."""
        return self.size.height >= TALL_FROM or self._free_lines() >= CARD_LINES

    def _is_framed(self) -> bool:
        """Whether panes have frames: where there are lines for them, unless only doing without makes all fit."""
        free = self._free_lines() - CARD_LINES
        return self.size.height >= TALL_FROM and not 0 <= free < len(self._shown())

    def _free_lines(self) -> int:
        """How many lines the bars and all pools without frames leave free."""
        return self.size.height - _BARS - sum(len(view.rows) + 1 for view in self._shown())

    # --- the cursor ------------------------------------------------------------------------------------

    def _panes(self) -> list[PoolPane]:
        return list(self._pane_of.values())

    def _places(self) -> list[tuple[str, str]]:
        return [(view.provider, row.id) for view in self._shown() for row in view.rows]

    def _selected(self) -> KeyRow | None:
        if self._cursor is None:
            return None
        rows = (row for view in self._views if view.provider == self._cursor[0] for row in view.rows)
        return next((row for row in rows if row.id == self._cursor[1]), None)

    def _keep_cursor(self) -> None:
        """Keep the cursor on its row; if that is gone, on the pool's first row, else on the first of all."""
        places = self._places()
        if self._cursor in places:
            return
        same_pool = (place for place in places if self._cursor and place[0] == self._cursor[0])
        self._cursor = next(same_pool, places[0] if places else None)

    def _move_to(self, place: tuple[str, str]) -> None:
        self._cursor = place
        self._point()
        self._paint_card()
        self._scroll_to_cursor()

    def _move(self, choose: Callable[[int, int], int]) -> None:
        """Move to the place that `choose` makes of (present place, last place)."""
        places = self._places()
        if not places:
            return
        here = places.index(self._cursor) if self._cursor in places else 0
        last = len(places) - 1
        self._move_to(places[min(max(choose(here, last), 0), last)])

    def _scroll_to_cursor(self) -> None:
        box = self._box
        for pane in self._panes():
            if self._cursor is None or pane.view.provider != self._cursor[0]:
                continue
            y = pane.line_of(self._cursor[1]) or 0
            top = pane.virtual_region.y + (0 if y == 1 else y)  # the first row brings its headline along
            height = pane.virtual_region.y + y + 1 - top
            box.scroll_to_region(Region(0, top, 1, height), animate=False, force=True)

    def _page(self) -> int:
        return max(self._box.size.height - 2, 1)

    # --- actions ---------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Refuse what changes files in read-only mode; the key does nothing then."""
        if action == "act" and self._deck.read_only:
            return not BY_ID[str(parameters[0])].dangerous
        return True

    def action_act(self, action_id: str) -> None:
        """Do one action of the table."""
        handler: Callable[[], None] = getattr(self, BY_ID[action_id].handler)
        handler()

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

    def _move_pane(self, step: int) -> None:
        views = [view for view in self._shown() if view.rows]
        if not views:
            return
        names = [view.provider for view in views]
        here = names.index(self._cursor[0]) if self._cursor and self._cursor[0] in names else 0
        view = views[(here + step) % len(views)]
        self._move_to((view.provider, view.rows[0].id))

    def do_view_problems(self) -> None:
        """Show only pools with trouble, or all again."""
        self._only_problems = not self._only_problems
        self._paint()
        self.call_after_refresh(self._scroll_to_cursor)

    def do_view_mask(self) -> None:
        """Hide or show names."""
        self._deck.masked = not self._deck.masked
        self._paint()

    def do_view_back(self) -> None:
        """Leave the problems view."""
        if self._only_problems:
            self.do_view_problems()

    def do_app_reload(self) -> None:
        """Read again now."""
        self._deck.reload()

    def do_app_quit(self) -> None:
        """Leave."""
        self._deck.exit()

    def do_app_help(self) -> None:
        """Open the list of keys."""
        self._deck.push_screen(HelpDialog(self._deck.glyphs, read_only=self._deck.read_only))

    # --- the mouse -------------------------------------------------------------------------------------

    @on(PoolPane.RowChosen)
    def _row_chosen(self, message: PoolPane.RowChosen) -> None:
        message.stop()
        rows = message.pane.view.rows
        row_id = message.row_id or (rows[0].id if rows else None)
        if row_id is not None:
            self._move_to((message.pane.view.provider, row_id))

    @on(PoolPane.StrategyChosen)
    def _strategy_chosen(self, message: PoolPane.StrategyChosen) -> None:
        message.stop()
        rows = message.pane.view.rows
        if rows:
            self._move_to((message.pane.view.provider, rows[0].id))
        self._deck.run_on(self, "pool.strategy")

    @on(KeyBar.Pressed)
    def _key_pressed(self, message: KeyBar.Pressed) -> None:
        message.stop()
        self._deck.run_on(self, message.action_id)
