"""The strategy of one pool: the list, the present one marked, and what hermes makes of each."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from keydeck.engine.config import KNOWN_STRATEGIES
from keydeck.engine.snapshot import PoolSnapshot
from keydeck.present.text import clean

_MEANING: Final = {
    "fill_first": "the first ready key, in order",
    "round_robin": "one after the other",
    "least_used": "the key with the fewest requests",
    "random": "any ready key",
    "sticky": "one key a session (hermes: fill_first)",
}


class StrategyDialog(ModalScreen[str | None]):
    """Returns the strategy that was chosen, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,s", "cancel", "cancel"),
        Binding("j", "down", "down"),
        Binding("k", "up", "up"),
    ]

    def __init__(self, pool: PoolSnapshot, obstacle: str | None, *, ascii_only: bool) -> None:
        super().__init__()
        self._ascii_only = ascii_only
        self._pool = pool
        self._obstacle = obstacle

    def compose(self) -> ComposeResult:
        """Lay out the list with what it will write above it."""
        with Vertical(id="strategy", classes="dialog") as box:
            box.border_title = Content(f"{clean(self._pool.provider)}: how it picks")
            box.border_subtitle = "esc cancel" if self._obstacle else "enter set   esc cancel"
            where = f"config.yaml  credential_pool_strategies.{clean(self._pool.provider)}"
            yield Static(Content(self._obstacle or f"writes {where}"), id="strategy-note")
            yield OptionList(*(self._option(name) for name in KNOWN_STRATEGIES), id="strategy-list")
            if not self._pool.knows_strategy:
                unknown = (
                    f"{clean(self._pool.strategy)} in the file is no strategy; hermes reads it as fill_first"
                )
                yield Static(Content(unknown), id="strategy-unknown")

    def on_mount(self) -> None:
        """Start on the present strategy."""
        self.query_one("#strategy").set_class(self._ascii_only, "-ascii")
        options = self.query_one(OptionList)
        options.highlighted = KNOWN_STRATEGIES.index(self._pool.followed_strategy)
        options.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Return the choice; without a way to write it, enter does nothing."""
        event.stop()
        if self._obstacle is None:
            self.dismiss(event.option.id)

    def action_cancel(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)

    def action_down(self) -> None:
        """Next line."""
        self.query_one(OptionList).action_cursor_down()

    def action_up(self) -> None:
        """Previous line."""
        self.query_one(OptionList).action_cursor_up()

    def _option(self, name: str) -> Option:
        mark = "(*)" if self._ascii_only else "(•)"
        here = mark if name == self._pool.strategy else "( )"
        return Option(Content(f"{here} {name:<12} {_MEANING[name]}"), id=name)
