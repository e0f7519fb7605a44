"""The events screen: what happened to all keys, newest first, and the chosen event explained (ux 4.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual import on
from textual.binding import BindingType
from textual.widget import Widget

from keydeck.dashboard.actions import EVENTS, bindings
from keydeck.dashboard.screens.filtering import Filtering
from keydeck.dashboard.widgets.event_list import EventList
from keydeck.dashboard.widgets.filter_bar import FilterBar
from keydeck.dashboard.widgets.lines import FixedLines
from keydeck.live.activity import Change
from keydeck.present.activity import activity_lines, change_name
from keydeck.present.detail import fact_lines
from keydeck.present.event_card import event_facts, event_row
from keydeck.present.finding import Query
from keydeck.present.frame import framed, inner_width
from keydeck.present.spans import Line, Role, Span
from keydeck.present.text import width

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp

_BARS: Final = 2
_FRAME: Final = 2
_CARD_FROM: Final = 20
"""Lines from which the chosen event is explained in a frame of its own; below, in the two most telling lines."""
_CARD_SHARE: Final = 0.37
_CARD_MOST: Final = 9
_SHORT_CARD: Final = 2
_NAMES_SHARE: Final = 2 / 5


class EventsScreen(Filtering):
    """The cursor is an event's number, so it stays on its event whatever is told meanwhile.

    On the newest event it follows: it goes along with what is told.
    """

    NAME = EVENTS
    BINDINGS: ClassVar[list[BindingType]] = list(bindings(EVENTS))

    def __init__(self, deck: PoolApp) -> None:
        super().__init__(deck)
        self._query = Query()
        self._follows = True
        self._cursor = 0
        self._top = 0
        """The number of the event in the first line, while it does not follow."""
        self._shown: tuple[tuple[int, Change], ...] = ()
        self._all: tuple[tuple[int, Change], ...] = ()
        self._happened: int | None = None
        self._found_for: tuple[object, ...] | None = None
        """What the shown events were found for: anew only when that is another."""
        self._list = EventList()
        self._card = FixedLines(id="event-card")
        self._filter = FilterBar()
        self._longest_name = 0

    def body(self) -> tuple[Widget, ...]:
        """Lay out the timeline with the chosen event below it."""
        return (self._list, self._card, self._filter)

    # --- painting --------------------------------------------------------------------------------------

    def paint_body(self, now: float) -> None:
        """Draw the timeline and the event under the cursor."""
        self._find(now)
        place = self._keep_place()
        card = self._card_lines(now, place)
        self._card.show(card)
        self._card.display = bool(card)
        cells, height = self.size.width, self._list_height(len(card))
        window, first = self._window(place, height - _FRAME)
        context = self._deck.row_context()
        lines = activity_lines(
            (change for _, change in window),
            now,
            inner_width(cells),
            height - _FRAME,
            context,
            name_cells=min(self._longest_name, int(inner_width(cells) * _NAMES_SHARE)),
        )
        if not self._shown and self._query.terms:
            lines = ((Span(f"no match for {self.filter_flag()}, esc clears", Role.MUTED),),)
        boxed = framed(self._title(place), lines, cells, context.glyphs, edge=Role.ACCENT, height=height)
        cursor = place - first + 1 if self._shown else None
        self._list.show_box(boxed, cursor, mark=context.glyphs.cursor if self._deck.needs_cursor_mark else "")

    def _find(self, now: float) -> None:
        """Keep the events that the filter lets through, newest first, each with its number."""
        deck, context = self._deck, self._deck.row_context()
        if self._happened is None or not (deck.is_frozen or self._happened == deck.happened):
            self._all, self._happened = deck.activity.numbered(), deck.happened
        if self._found_for == (self._happened, self._query, context):
            return
        self._found_for = (self._happened, self._query, context)
        self._shown = tuple(
            (number, change)
            for number, change in self._all
            if not self._query.terms or self._query.fits(change.provider, event_row(change, now, context))
        )
        names = (change_name(change, context) for _, change in self._shown)
        self._longest_name = max(map(width, names), default=0)

    def _keep_place(self) -> int:
        """Return the place of the event under the cursor; of its newer neighbour where it is not shown any more."""
        if self._follows or not self._shown:
            self._cursor = self._top = self._shown[0][0] if self._shown else 0
            return 0
        places = (place for place, (number, _) in enumerate(self._shown) if number <= self._cursor)
        place = next(places, len(self._shown) - 1)
        self._cursor = self._shown[place][0]
        return place

    def _window(self, place: int, height: int) -> tuple[tuple[tuple[int, Change], ...], int]:
        """Return the events in view, and the place of the first of them."""
        height = max(height, 1)
        tops = (spot for spot, (number, _) in enumerate(self._shown) if number <= self._top)
        first = min(next(tops, 0), max(len(self._shown) - height, 0))
        first = min(max(first, place - height + 1), place)
        if self._shown:
            self._top = self._shown[first][0]
        return self._shown[first : first + height], first

    def _title(self, place: int) -> Line:
        total, shown = len(self._deck.activity), len(self._shown)
        parts = [f"{place + 1} of {shown}" if shown else "", f"{total} in all" if shown != total else ""]
        follows = "follows" if self._follows else ""
        said = f" {self._deck.glyphs.dot} ".join(part for part in (*parts, follows) if part)
        return (Span("events", Role.STRONG), Span(f"  {said}" if said else "", Role.MUTED))

    def _card_lines(self, now: float, place: int) -> tuple[Line, ...]:
        if not self._shown:
            return ()
        context, cells = self._deck.row_context(), self.size.width
        facts = event_facts(self._shown[place][1], self._deck.view, now, context)
        if self.size.height < _CARD_FROM:
            telling = [fact for fact in facts if fact[0] in ("what", "do", "meaning")]
            return fact_lines(telling, cells)[:_SHORT_CARD]
        most = min(int((self.size.height - _BARS) * _CARD_SHARE), _CARD_MOST) - _FRAME
        lines = fact_lines(facts, inner_width(cells))[:most]
        return framed(
            (Span("selected event", Role.MUTED),), lines, cells, context.glyphs, height=most + _FRAME
        )

    def _list_height(self, card: int) -> int:
        lent = self._banner.line_count() if self._banner.display else 0
        return max(self.size.height - _BARS - card - lent - self._filter.display, _FRAME + 1)

    def flags(self) -> tuple[str, ...]:
        """Return the filter: hidden it would be a trap."""
        return (self.filter_flag(),)

    # --- moving ----------------------------------------------------------------------------------------

    def _move(self, step: int) -> None:
        """Move the cursor over so many events; on the newest one it follows from then on."""
        if not self._shown:
            return
        places = [number for number, _ in self._shown]
        here = places.index(self._cursor) if self._cursor in places else 0
        place = min(max(here + step, 0), len(places) - 1)
        self._cursor = places[place]
        self._follows = place == 0 and step <= 0
        self.repaint()

    def _page(self) -> int:
        return max(self._list.line_count() - _FRAME - 1, 1)

    def do_move_down(self) -> None:
        """The next older event."""
        self._move(1)

    def do_move_up(self) -> None:
        """The next newer event."""
        self._move(-1)

    def do_move_first(self) -> None:
        """The newest event."""
        self._move(-len(self._shown))

    def do_move_last(self) -> None:
        """The oldest event."""
        self._move(len(self._shown))

    def do_move_page_down(self) -> None:
        """A page of older events."""
        self._move(self._page())

    def do_move_page_up(self) -> None:
        """A page of newer events."""
        self._move(-self._page())

    def do_view_follow(self) -> None:
        """Go to the newest event and along with what is told, or stay here."""
        self._follows = not self._follows
        self.repaint()

    def do_view_freeze(self) -> None:
        """Hold what is shown, or let it go on."""
        self._deck.freeze()

    @on(EventList.Clicked)
    def _clicked(self, message: EventList.Clicked) -> None:
        message.stop()
        here = next((place for place, (number, _) in enumerate(self._shown) if number <= self._top), 0)
        self._move_to(here + message.y - 1)
        if message.twice:
            self.do_view_open()

    @on(EventList.Scrolled)
    def _scrolled(self, message: EventList.Scrolled) -> None:
        message.stop()
        self._move(message.lines)

    def _move_to(self, place: int) -> None:
        if 0 <= place < len(self._shown):
            self._cursor, self._follows = self._shown[place][0], place == 0
            self.repaint()

    # --- what is selected ------------------------------------------------------------------------------

    def _selected(self) -> Change | None:
        return next((change for number, change in self._shown if number == self._cursor), None)

    def selected_place(self) -> tuple[str, str] | None:
        """Return the key of the event under the cursor."""
        change = self._selected()
        return (change.provider, change.row_id) if change and change.row_id is not None else None

    def do_view_open(self) -> None:
        """Go to the key or pool that the event is about."""
        change = self._selected()
        if change is not None and not self._deck.show_key(change.provider, change.row_id):
            self._deck.tell("this key is gone", "information")

    def back(self) -> None:
        """Clear the filter, else go back to the pools."""
        if self._query.terms:
            self.clear_filter()
        else:
            self._deck.switch_mode("pools")

    # --- filter ----------------------------------------------------------------------------------------

    def query_now(self) -> Query:
        """Return what is looked for."""
        return self._query

    def look_for(self, query: Query) -> None:
        """Show only the events that fit."""
        self._query = query
        self.repaint()

    def found(self) -> tuple[int, int]:
        """Return how many events fit, and out of how many."""
        return len(self._shown), len(self._deck.activity)
