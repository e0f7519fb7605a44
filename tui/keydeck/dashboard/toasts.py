"""What is told in passing: one toast a cause, repeats counted, an error stays until it is dismissed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from textual.notifications import SeverityLevel

from keydeck.engine.clock import Clock

_SECONDS: Final[dict[SeverityLevel, float]] = {"information": 3.0, "warning": 6.0, "error": 3600.0}
_MOST: Final = 4
"""More would cover what they are about."""


class Board(Protocol):
    """Where toasts are shown: a Textual app."""

    def notify(self, message: str, *, severity: SeverityLevel, timeout: float | None, markup: bool) -> None:
        """Show one."""

    def clear_notifications(self) -> None:
        """Take all away."""


@dataclass(slots=True)
class _Toast:
    text: str
    severity: SeverityLevel
    ends: float
    count: int = 1


class Toasts:
    """The toasts on screen, by cause."""

    def __init__(self, board: Board, clock: Clock) -> None:
        self._board = board
        self._clock = clock
        self._shown: dict[str, _Toast] = {}

    def tell(self, text: str, severity: SeverityLevel, *, cause: str | None = None) -> None:
        """Show a toast; one that says the same is counted, one of the same named `cause` replaced."""
        self._drop_old()
        toast = _Toast(text, severity, self._clock() + _SECONDS[severity])
        old = self._shown.pop(cause or text, None)
        if old is not None and cause is None:
            toast.count = old.count + 1
        self._shown[cause or text] = toast
        self._make_room()
        self._show()

    def take_back(self, cause: str) -> None:
        """Remove the toast of a cause that is over."""
        if self._shown.pop(cause, None) is not None:
            self._show()

    def dismiss(self) -> bool:
        """Remove the errors, which stay until then; return whether there was one."""
        self._drop_old()
        errors = [cause for cause, toast in self._shown.items() if toast.severity == "error"]
        for cause in errors:
            del self._shown[cause]
        if errors:
            self._show()
        return bool(errors)

    def _make_room(self) -> None:
        """Take the oldest away where there are too many: an error only for errors, the newest never."""
        errors = [cause for cause, toast in self._shown.items() if toast.severity == "error"]
        passing = [cause for cause in self._shown if cause not in errors]
        for oldest in (*errors[:-_MOST], *passing[: -max(_MOST - len(errors), 1)]):
            del self._shown[oldest]

    def clear(self) -> None:
        """Remove what goes by itself."""
        errors = {cause: toast for cause, toast in self._shown.items() if toast.severity == "error"}
        if errors != self._shown:
            self._shown = errors
            self._show()

    def rewrite(self, shown: Callable[[str], str]) -> None:
        """Write those that are there anew, as they may be shown now."""
        self._drop_old()
        for toast in self._shown.values():
            toast.text = shown(toast.text)
        if self._shown:
            self._show()

    def _drop_old(self) -> None:
        now = self._clock()
        self._shown = {cause: toast for cause, toast in self._shown.items() if toast.ends > now}

    def _show(self) -> None:
        now = self._clock()
        self._board.clear_notifications()
        for toast in self._shown.values():
            text = toast.text if toast.count == 1 else f"{toast.text} ({toast.count} times)"
            self._board.notify(
                text, severity=toast.severity, timeout=max(toast.ends - now, 0.1), markup=False
            )
