"""For how long keys are taken out: a list, and above it what that leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from keydeck.dashboard.dialogs.dialog import Dialog
from keydeck.dashboard.widgets.line_list import Item, LineList
from keydeck.dashboard.widgets.lines import FixedLines
from keydeck.present.pauses import PAUSES, end_text
from keydeck.present.spans import Line, Role, Span

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp

Until = Callable[[float], float | None]
"""Returns when a pause ends, given the present; None for never."""

_WORDS_CELLS: Final = 22


class PauseDialog(Dialog[Until | None]):
    """Returns how long the pause was chosen to be, or None. It writes nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,space", "cancel", "cancel"),
        Binding("enter", "choose", "pause"),
        Binding("j,down", "move(1)", "down"),
        Binding("k,up", "move(-1)", "up"),
    ]

    def __init__(self, deck: PoolApp, said: tuple[Line, ...]) -> None:
        super().__init__()
        self._deck = deck
        self._said = said
        sign = f"{deck.glyphs.cursor} " if deck.needs_cursor_mark else ""
        self._list = LineList(id="pause-list", cursor_sign=sign, mark=deck.glyphs.ellipsis)

    def compose(self) -> ComposeResult:
        """Lay out what it is about, and the list."""
        with VerticalScroll(id="pause", classes="dialog", can_focus=False) as box:
            box.border_title = "pause"
            box.border_subtitle = "enter pause   esc cancel"
            box.set_class(self._deck.ascii_only, "-ascii")
            yield FixedLines(id="pause-lines")
            yield self._list

    def on_mount(self) -> None:
        """Start on the pause that only space ends."""
        self.query_one(FixedLines).show((*self._said, ()))
        now = self._deck.clock()
        lines = ((words, end_text(until(now), now)) for words, until in PAUSES)
        items = [
            Item((Span(f"{words:<{_WORDS_CELLS}}"), Span(end, Role.MUTED)), until)
            for (words, end), (_, until) in zip(lines, PAUSES, strict=True)
        ]
        self._list.show(items)

    @on(LineList.Chosen)
    def action_choose(self) -> None:
        """Return the choice."""
        self.dismiss(cast("Until", self._list.value))

    def action_cancel(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)

    def action_move(self, step: int) -> None:
        """Look at another length."""
        self._list.move(step)
