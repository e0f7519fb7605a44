"""What every dialog is: a screen over the others that lays out with what is behind it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

from textual.screen import ModalScreen, Screen

from keydeck.dashboard.widgets.lines import ROLE_STYLES

V = TypeVar("V")


def hold_until_laid_out(screen: Screen[Any]) -> None:
    """Send nothing to the terminal until a screen has its new size: half a layout would flicker."""
    hold = ExitStack()
    hold.enter_context(screen.app.batch_update())
    release: Callable[[], object] = hold.close
    for one in screen.app.screen_stack:  # each has messages of its own to go through first
        release = partial(one.call_later, one.call_later, release)
    release()


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
