"""The strategy of one pool: the list, the present one marked, and what each would pick next."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from keydeck.dashboard.dialogs.dialog import Dialog
from keydeck.dashboard.widgets.line_list import Item, LineList
from keydeck.dashboard.widgets.lines import FixedLines
from keydeck.engine.config import KNOWN_STRATEGIES
from keydeck.engine.snapshot import PoolSnapshot
from keydeck.engine.strategies import next_picks
from keydeck.present.rows import label_text, shown_name
from keydeck.present.spans import Line, Role, Span, fit_line

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp

_MEANING: Final = {
    "fill_first": "the first ready key, in order",
    "round_robin": "one after the other",
    "least_used": "the key with the fewest requests",
    "random": "any ready key",
    "sticky": "one key a session (hermes: fill_first)",
}
_PICKS: Final = 5


class StrategyDialog(Dialog[str | None]):
    """Returns the strategy that was chosen, or None. It writes nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,s", "cancel", "cancel"),
        Binding("enter", "choose", "set"),
        Binding("j,down", "move(1)", "down"),
        Binding("k,up", "move(-1)", "up"),
    ]

    def __init__(self, deck: PoolApp, pool: PoolSnapshot) -> None:
        super().__init__()
        self._deck = deck
        self._pool = pool
        self._obstacle = deck.strategy_obstacle()
        self._showing = deck.row_context()
        sign = f"{self._showing.glyphs.cursor} " if deck.needs_cursor_mark else ""
        self._list = LineList(id="strategy-list", cursor_sign=sign, mark=self._showing.glyphs.ellipsis)
        self._preview = _FittedLines(self._showing.glyphs.ellipsis, id="strategy-preview")

    def compose(self) -> ComposeResult:
        """Lay out the list, what it will write above it, and the next picks below."""
        with VerticalScroll(id="strategy", classes="dialog", can_focus=False) as box:
            box.border_title = Content(f"{self._shown(self._pool.provider)}: how it picks")
            box.border_subtitle = "esc cancel" if self._obstacle else "enter set   esc cancel"
            box.set_class(self._deck.ascii_only, "-ascii")
            yield Static(Content(self._note()), id="strategy-note")
            yield self._list
            yield self._preview
            if not self._pool.knows_strategy:
                written = self._shown(self._pool.strategy)
                unknown = f"{written} in the file is no strategy; hermes reads it as fill_first"
                yield Static(Content(unknown), id="strategy-unknown")

    def on_mount(self) -> None:
        """Start on the present strategy."""
        self._list.show(
            [Item(self._line(name), name) for name in KNOWN_STRATEGIES], self._pool.followed_strategy
        )

    @on(LineList.Moved)
    def _show_preview(self) -> None:
        self._preview.show((self._next_picks(str(self._list.value)),))

    @on(LineList.Chosen)
    def action_choose(self) -> None:
        """Return the choice; without a way to write it, enter does nothing."""
        if self._obstacle is None:
            self.dismiss(str(self._list.value))

    def action_cancel(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)

    def action_move(self, step: int) -> None:
        """Look at another strategy."""
        self._list.move(step)

    # --- texts -----------------------------------------------------------------------------------------

    def _note(self) -> str:
        if self._obstacle:
            return self._shown(self._obstacle)
        whose = " of this profile; the keys are the root's" if self._pool.is_inherited else ""
        return f"writes config.yaml{whose}  credential_pool_strategies.{self._shown(self._pool.provider)}"

    def _shown(self, text: str) -> str:
        return label_text(text, self._showing.scrubber)

    def _line(self, name: str) -> Line:
        chosen = "(*)" if self._deck.ascii_only else "(•)"
        here = chosen if name == self._pool.strategy else "( )"
        return (Span(f"{here} {name:<12} "), Span(_MEANING[name], Role.MUTED))

    def _next_picks(self, strategy: str) -> Line:
        """Return what the next requests would get, by name while that is certain."""
        state = self._pool.at(self._deck.clock())
        ready = len(state.usable)
        if not ready:
            return (Span("no key is ready", Role.COOLING),)
        picks = next_picks(strategy, state, _PICKS)
        if not picks:
            return (Span(f"{'one key a session, ' if strategy == 'sticky' else ''}any of {ready}"),)
        names = {row.id: shown_name(row, place, self._showing) for place, row in enumerate(state.rows, 1)}
        runs = [(names[row_id], len(list(run))) for row_id, run in groupby(pick.id for pick in picks)]
        said = ", ".join(name if times == 1 else f"{name} x{times}" for name, times in runs)
        said = f"{runs[0][0]}, each time" if len(runs) == 1 else said
        return (Span(f"next {_PICKS} picks   ", Role.MUTED), Span(said))


class _FittedLines(FixedLines):
    """Lines that are cut to the width at hand, with a sign that there is more."""

    def __init__(self, mark: str, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._mark = mark

    def line_at(self, y: int) -> tuple[Line, bool]:
        """Return one of the lines as far as it fits."""
        line, has_cursor = super().line_at(y)
        return fit_line(line, self.size.width, self._mark), has_cursor
