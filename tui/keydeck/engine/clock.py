"""The one place that reads the clock. Everything else is given a `Clock`."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Returns the wall time as epoch seconds."""

wall_clock: Clock = time.time
