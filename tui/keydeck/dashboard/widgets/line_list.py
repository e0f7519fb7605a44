"""`LineList`: lines of which one is chosen, with headings between them that cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.containers import VerticalScroll
from textual.geometry import Region
from textual.message import Message

from keydeck.dashboard.widgets.lines import LineWidget
from keydeck.present.spans import Line, Role, Span, fit_line
from keydeck.present.text import ELLIPSIS


@dataclass(frozen=True, slots=True)
class Item:
    """One line; without a value it is a heading or a remark."""

    line: Line
    value: object | None = None


class LineList(LineWidget):
    """Shows items with a cursor on one that can be chosen; stands in a `VerticalScroll` and keeps it in view."""

    class Chosen(Message):
        """An item was clicked."""

        def __init__(self, value: object) -> None:
            super().__init__()
            self.value = value

    class Moved(Message):
        """The cursor went to another item."""

        def __init__(self, value: object) -> None:
            super().__init__()
            self.value = value

    def __init__(
        self,
        *,
        id: str | None = None,  # noqa: A002 - Textual's name
        cursor_sign: str = "",
        mark: str = ELLIPSIS,
    ) -> None:
        super().__init__(id=id)
        self._mark = mark
        self._items: tuple[Item, ...] = ()
        self._cursor: int | None = None
        self._cursor_sign = cursor_sign

    @property
    def value(self) -> object | None:
        """What the cursor is on, or None."""
        return None if self._cursor is None else self._items[self._cursor].value

    def show(self, items: Sequence[Item], on: object | None = None) -> None:
        """Show these items, with the cursor on the value `on`, else on the first that can be chosen."""
        old = len(self._items)
        self._items = tuple(items)
        places = self._places()
        wanted = (place for place in places if on is not None and self._items[place].value == on)
        self._cursor = next(wanted, places[0] if places else None)
        self.refresh(layout=old != len(self._items))
        self.call_after_refresh(self._reveal)
        if self.value is not None:
            self.post_message(self.Moved(self.value))

    def move(self, step: int) -> None:
        """Move the cursor over so many items; it stops at the ends."""
        places = self._places()
        if self._cursor is None or not places:
            return
        place = places.index(self._cursor) + step
        self._go(places[min(max(place, 0), len(places) - 1)])

    def page(self, direction: int) -> None:
        """Move the cursor by what is in view."""
        box = self.parent
        height = box.size.height if isinstance(box, VerticalScroll) else 10
        self.move(direction * max(height - 1, 1))

    def line_count(self) -> int:
        """Return how many lines there are."""
        return len(self._items)

    def line_at(self, y: int) -> tuple[Line, bool]:
        """Return a line, and whether the cursor is on it."""
        has_cursor = y == self._cursor
        sign = self._cursor_sign if has_cursor else " " * len(self._cursor_sign)
        line = (Span(sign, Role.ACCENT), *self._items[y].line)
        return fit_line(line, self.size.width, self._mark), has_cursor

    def on_click(self, event: events.Click) -> None:
        """Choose what is clicked."""
        event.stop()
        if 0 <= event.y < len(self._items) and self._items[event.y].value is not None:
            self._go(event.y)
            self.post_message(self.Chosen(self._items[event.y].value))

    def _places(self) -> list[int]:
        return [place for place, item in enumerate(self._items) if item.value is not None]

    def _go(self, place: int) -> None:
        before, self._cursor = self._cursor, place
        if before is not None:
            self.refresh_line(before)
        self.refresh_line(place)
        self._reveal()
        self.post_message(self.Moved(self._items[place].value))

    def _reveal(self) -> None:
        box = self.parent
        if not isinstance(box, VerticalScroll) or self._cursor is None:
            return
        # At the first item its heading comes along, at the last one the remarks below it.
        places = self._places()
        top = 0 if self._cursor == places[0] else self._cursor
        end = len(self._items) if self._cursor == places[-1] else self._cursor + 1
        height = min(end - top, box.size.height)
        top = end - height if self._cursor == places[-1] and self._cursor >= end - height else top
        box.scroll_to_region(Region(0, top, 1, max(height, 1)), animate=False, force=True)
