"""`PoolPane`: one pool, framed or as a bare list under a headline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from textual import events
from textual.errors import NoWidget
from textual.message import Message

from keydeck.dashboard.widgets.lines import LineWidget
from keydeck.present.glyphs import UNICODE, Glyphs
from keydeck.present.panes import PaneView, bottom_line, header_line, top_line
from keydeck.present.rows import Columns, columns, row_line
from keydeck.present.spans import Line, Role, Span
from keydeck.present.traffic import Traffic

_LEFT_BUTTON: Final = 1


@dataclass(frozen=True, slots=True)
class PaneLook:
    """How panes are drawn just now; the same for all of a screen."""

    glyphs: Glyphs = UNICODE
    framed: bool = False
    longest_label: int = 0
    cursor_mark: bool = False
    """Mark the cursor's row by a sign, where no background colour can."""
    wide: bool = False
    """Whether more columns are wanted."""
    times: str = "left"
    """How a countdown is written."""
    marked: frozenset[tuple[str, str]] = frozenset()
    """Rows that were marked for an act, by provider and id."""
    pending: frozenset[tuple[str, str]] = frozenset()
    """Rows whose change is on its way."""
    outside: frozenset[tuple[str, str]] = frozenset()
    """Rows that another program changed just now."""
    traffic: Traffic | None = None
    """What was sent in the last hour, where anything tells."""


class PoolPane(LineWidget):
    """Draws a `PaneView`. The screen owns the cursor and tells where it is."""

    class RowChosen(Message):
        """Somebody clicked a row; twice to open it."""

        def __init__(self, pane: PoolPane, row_id: str | None, *, twice: bool) -> None:
            super().__init__()
            self.pane = pane
            self.row_id = row_id
            self.twice = twice

    class StrategyChosen(Message):
        """Somebody clicked the strategy."""

        def __init__(self, pane: PoolPane) -> None:
            super().__init__()
            self.pane = pane

    def __init__(self, view: PaneView, look: PaneLook, now: float) -> None:
        super().__init__()
        self.view = view
        self._look = look
        self._now = now
        self._cursor: str | None = None
        self._has_focus_mark = False
        self._columns: Columns | None = None
        self._drawn: dict[int, Line] = {}

    # --- what is shown ---------------------------------------------------------------------------------

    def show(self, view: PaneView, look: PaneLook, now: float) -> None:
        """Draw another state of the pool; only what differs is redrawn."""
        old_view, old_look = self.view, self._look
        self.view, self._look, self._now = view, look, now
        if look != old_look:
            self._columns = None
        if len(view.rows) != len(old_view.rows) or look.framed != old_look.framed:
            self._drawn.clear()
            self.refresh(layout=True)
            return
        self._redraw_changed()

    def point(self, row_id: str | None, *, has_focus: bool) -> None:
        """Put the cursor on a row, or take it away; `has_focus` marks the pane it is in."""
        if (row_id, has_focus) == (self._cursor, self._has_focus_mark):
            return
        before, self._cursor = self._cursor, row_id
        if has_focus != self._has_focus_mark:
            self._has_focus_mark = has_focus
            self.refresh()
            return
        for moved in (before, row_id):
            if (y := self.line_of(moved)) is not None:
                self.refresh_line(y)

    def tick(self, now: float) -> None:
        """Move the clock; lines whose text is the same stay as they are."""
        self._now = now
        self._forget_hidden()
        for y in list(self._drawn):
            if y == 0 or (y <= len(self.view.rows) and self.view.rows[y - 1].moves):
                self._redraw_if_changed(y)

    def line_of(self, row_id: str | None) -> int | None:
        """Return the line on which a row stands."""
        places = (place for place, row in enumerate(self.view.rows, 1) if row.id == row_id)
        return next(places, None)

    # --- drawing ---------------------------------------------------------------------------------------

    def line_count(self) -> int:
        """Headline, rows and, when framed, the lower edge."""
        return len(self.view.rows) + (2 if self._look.framed else 1)

    def line_at(self, y: int) -> tuple[Line, bool]:
        """Return one line as it looks now."""
        line, has_cursor = self._line(y)
        self._drawn[y] = line
        return line, has_cursor

    def _line(self, y: int) -> tuple[Line, bool]:
        cells, glyphs, name = self.size.width, self._look.glyphs, self.view.provider
        traffic = self._look.traffic
        rate = traffic.rates.get(name, 0.0) if traffic else 0.0
        edge = Role.ACCENT if self._has_focus_mark else Role.FAINT
        if y == 0:
            if self._look.framed:
                return top_line(self.view, self._now, cells, glyphs, edge=edge, rate=rate), False
            focus = self._has_focus_mark
            return header_line(self.view, self._now, cells, glyphs, has_focus=focus, rate=rate), False
        if y > len(self.view.rows):
            return bottom_line(self.view, cells, glyphs, edge=edge), False
        row = self.view.rows[y - 1]
        has_cursor = row.id == self._cursor
        marked = has_cursor and self._look.cursor_mark
        here = (name, row.id)
        line = row_line(
            row,
            self._layout(),
            self._now,
            glyphs,
            marks_cursor=marked,
            is_marked=here in self._look.marked,
            is_pending=here in self._look.pending,
            is_outside=here in self._look.outside,
            sent=traffic.of(name, row.id) if traffic else None,
            busiest=traffic.busiest if traffic else 0,
        )
        if self._look.framed:
            line = (Span(glyphs.side, edge), *line, Span(glyphs.side, edge))
        return line, has_cursor

    def _layout(self) -> Columns:
        inner = max(self.size.width - (2 if self._look.framed else 0), 0)
        if self._columns is None or self._columns.total != inner:
            self._columns = columns(
                inner,
                self._look.longest_label,
                wide=self._look.wide,
                times=self._look.times,
                traffic=self._look.traffic is not None,
            )
        return self._columns

    def _redraw_changed(self) -> None:
        self._forget_hidden()
        for y in list(self._drawn):
            self._redraw_if_changed(y)

    def _redraw_if_changed(self, y: int) -> None:
        """Redraw a line that is on screen and looks different now."""
        drawn = self._drawn.get(y)
        if drawn is not None and drawn != self._line(y)[0]:
            self.refresh_line(y)

    def _forget_hidden(self) -> None:
        """Have lines that scrolled away drawn anew when they come back, and spend nothing on them until then."""
        if not self.is_attached:  # a beat of the clock may come while the app is leaving
            return
        try:
            here = self.screen.find_widget(self)
        except NoWidget:
            return
        first = here.visible_region.y - here.region.y
        seen = range(first, first + here.visible_region.height)
        for y in [y for y in self._drawn if y not in seen]:
            del self._drawn[y]
            self.refresh_line(y)

    # --- the mouse -------------------------------------------------------------------------------------

    def on_click(self, event: events.Click) -> None:
        """Tell which row, or the strategy, was clicked."""
        if event.button != _LEFT_BUTTON:
            return
        event.stop()
        if self._is_strategy(event.x, event.y):
            self.post_message(self.StrategyChosen(self))
            return
        row = self.view.rows[event.y - 1] if 1 <= event.y <= len(self.view.rows) else None
        self.post_message(self.RowChosen(self, row.id if row else None, twice=event.chain > 1))

    def _is_strategy(self, x: int, y: int) -> bool:
        line = self.line_count() - 1 if self._look.framed else 0
        return y == line and x >= self.size.width - len(self.view.strategy) - 6
