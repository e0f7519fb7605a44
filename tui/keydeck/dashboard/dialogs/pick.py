"""A list to choose from, narrowed by typing: help, commands and themes are made of it.

Textual's own palette is not used: its fuzzy search takes exponential time on some labels, and labels
come from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Input

from keydeck.dashboard.dialogs.dialog import Dialog
from keydeck.dashboard.widgets.line_list import Item, LineList
from keydeck.dashboard.widgets.text_field import TextField
from keydeck.present.glyphs import Glyphs
from keydeck.present.spans import Line, Role, Span

V = TypeVar("V")

_MOST: int = 200
"""Nobody reads on; typing another letter is faster."""


@dataclass(frozen=True, slots=True)
class Choice(Generic[V]):
    """Something that can be chosen, or with no value a remark."""

    line: Line
    words: str
    """What a search looks at."""
    value: V | None = None
    group: str = ""


class PickDialog(Dialog[V | None]):
    """Returns the value that was chosen, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "cancel"),
        Binding("enter", "choose", "choose", priority=True),
        Binding("down,ctrl+n", "move(1)", "down", priority=True),
        Binding("up,ctrl+p", "move(-1)", "up", priority=True),
        Binding("pagedown", "page(1)", "page down", priority=True),
        Binding("pageup", "page(-1)", "page up", priority=True),
    ]

    TITLE_TEXT: ClassVar[str] = ""
    HINT: ClassVar[str] = "type to search   enter choose   esc close"

    def __init__(self, glyphs: Glyphs, *, marks_cursor: bool) -> None:
        super().__init__()
        self._glyphs = glyphs
        sign = f"{glyphs.cursor} " if marks_cursor else ""
        self._list = LineList(id="pick-list", cursor_sign=sign, mark=glyphs.ellipsis)

    def choices(self) -> Sequence[Choice[V]]:
        """Return everything there is to choose from."""
        raise NotImplementedError

    def start(self) -> V | None:
        """Return where the cursor stands at first."""
        return None

    def looked_at(self, value: V) -> None:
        """Take note that the cursor is on this value."""

    def compose(self) -> ComposeResult:
        """Lay out the search field and the list."""
        with Vertical(id="pick", classes="dialog") as box:
            box.border_title = self.TITLE_TEXT
            box.border_subtitle = self.HINT
            box.set_class(self._glyphs.cursor.isascii(), "-ascii")
            yield TextField(id="pick-search", placeholder="type to search")
            with VerticalScroll(id="pick-box") as scroll:
                scroll.can_focus = False
                yield self._list

    def on_mount(self) -> None:
        """Show everything."""
        self.query_one(Input).focus()
        self._fill("")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._fill(event.value)

    def _fill(self, text: str) -> None:
        words = text.casefold().split()
        found = [
            choice for choice in self.choices() if all(word in choice.words.casefold() for word in words)
        ]
        if words:
            found.sort(key=lambda choice: not choice.words.casefold().startswith(words[0]))
        items: list[Item] = []
        group = None
        for choice in found[:_MOST]:
            heading = f"{choice.group:<8}" if choice.group != group or words else " " * 8
            group = choice.group
            head = (Span(heading, Role.MUTED),) if choice.group else ()
            items.append(Item((*head, *choice.line), choice.value))
        if not items:
            items.append(Item((Span("nothing matches", Role.MUTED),)))
        self._list.show(items, self._list.value if words else self.start())

    @on(LineList.Moved)
    def _moved(self, message: LineList.Moved) -> None:
        message.stop()
        self.looked_at(message.value)  # type: ignore[arg-type]  # the list holds our own values

    @on(LineList.Chosen)
    def _clicked(self, message: LineList.Chosen) -> None:
        message.stop()
        self.dismiss(message.value)  # type: ignore[arg-type]  # the list holds our own values

    def action_choose(self) -> None:
        """Return what the cursor is on."""
        if self._list.value is not None:
            self.dismiss(self._list.value)  # type: ignore[arg-type]  # the list holds our own values

    def action_cancel(self) -> None:
        """Choose nothing."""
        self.dismiss(None)

    def action_move(self, step: int) -> None:
        """Move the cursor."""
        self._list.move(step)

    def action_page(self, direction: int) -> None:
        """Move the cursor by a page."""
        self._list.page(direction)
