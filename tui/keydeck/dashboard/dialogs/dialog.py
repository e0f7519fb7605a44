"""What every dialog is: a screen over the others that lays out with what is behind it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Final, TypeVar

from textual.app import App
from textual.screen import ModalScreen, Screen

from keydeck.dashboard.widgets.lines import ROLE_STYLES

V = TypeVar("V")


_ROUNDS: Final = 8
"""So often a layout may follow from another one."""
_LONGEST_S: Final = 0.5
"""After so many seconds frames are sent whatever is missing: a widget may go without a word."""


def hold_until_laid_out(screen: Screen[Any]) -> None:
    """Send nothing to the terminal until a screen has its new size: half a layout would flicker."""
    _Hold(screen.app).wait(_ROUNDS)


class _Hold:
    """Keeps frames back until nothing follows any more from a new size, on the screen in front and those behind."""

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._hold = ExitStack()
        self._hold.enter_context(app.batch_update())
        self._is_over = False
        app.set_timer(_LONGEST_S, self._release)

    def wait(self, rounds: int) -> None:
        """Let everything go through its messages, lay out what they ask for, and again."""
        waiting = 1

        def done() -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                self._lay_out(rounds)

        for screen in self._app.screen_stack:
            for node in (self._app, *screen.walk_children(with_self=True)):
                waiting += node.call_later(done)
        done()

    def _lay_out(self, rounds: int) -> None:
        if self._is_over:
            return
        # Textual lays nothing out while frames are kept back, and sends one for each layout after that.
        wanting = [screen for screen in self._app.screen_stack if screen._layout_required]  # noqa: SLF001
        for screen in wanting:
            screen._layout_required = False  # noqa: SLF001
            screen._refresh_layout()  # noqa: SLF001
        if wanting and rounds:
            self.wait(rounds - 1)
        else:
            self._release()

    def _release(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._hold.close()
            self._app.screen.refresh()


class Dialog(ModalScreen[V]):
    """Asks one thing. Only the screen in front hears of a new size, so it tells those behind."""

    COMPONENT_CLASSES = ROLE_STYLES

    def on_resize(self) -> None:
        """Lay out anew, everything at once."""
        hold_until_laid_out(self)
        for screen in self.app.screen_stack[:-1]:
            repaint = getattr(screen, "repaint", None)
            if repaint is not None:
                repaint()
