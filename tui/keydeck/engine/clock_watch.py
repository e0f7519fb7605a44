"""Whether the wall clock was set back: it is held against the monotonic one (design 3, rule 11)."""

from __future__ import annotations

from typing import Final

from keydeck.engine.clock import Clock, monotonic_of

_STEP_S: Final = 30.0
_TOLD_FOR_S: Final = 600.0


class ClockWatch:
    """Compares the clocks whenever somebody looks. Steps forward are left out: a machine that slept makes them."""

    def __init__(self, clock: Clock) -> None:
        self._wall, self._ticks = clock, monotonic_of(clock)
        self._apart = self._wall() - self._ticks()
        self._set_back_s, self._noticed_at = 0.0, 0.0

    def look(self) -> None:
        """Compare."""
        apart = self._wall() - self._ticks()
        if self._apart - apart >= _STEP_S:
            self._set_back_s, self._noticed_at = self._apart - apart, self._ticks()
        self._apart = apart

    @property
    def set_back_s(self) -> float:
        """How far it was set back in the last ten minutes, in seconds; 0 if it was not."""
        return self._set_back_s if self._ticks() - self._noticed_at < _TOLD_FOR_S else 0.0
