"""What was told and is not in the rows of auth.json yet, and when it is time to write it there."""

from __future__ import annotations

from time import monotonic
from typing import Final

HEALTH_AFTER_S: Final = 0.5
"""So long after a change of health the rows are written, so that hermes obeys it."""
USES_AFTER_S: Final = 30.0
RETRY_AFTER_S: Final = 2.0
"""So long after a try that failed, or found the lock taken, there is no other."""


class Arrears:
    """Since when the rows are behind, on the monotonic clock."""

    def __init__(self) -> None:
        self.happened = 0
        """How often this process had something to tell."""
        self._health_since: float | None = None
        self._uses_since: float | None = None
        self._not_before = 0.0

    def put_off(self) -> None:
        """Note that the rows cannot be written now."""
        self._not_before = monotonic() + RETRY_AFTER_S

    @property
    def are_put_off(self) -> bool:
        """Whether it is too early to try again."""
        return monotonic() < self._not_before

    def owe_health(self) -> None:
        """Note that a row is in another state than it says."""
        self._health_since = self._health_since or monotonic()

    def owe_uses(self) -> None:
        """Note that a row was used more than it says."""
        self._uses_since = self._uses_since or monotonic()

    def settle(self) -> None:
        """Note that the rows say it all."""
        self._health_since = self._uses_since = None

    @property
    def exist(self) -> bool:
        """Whether anything is owed."""
        return self._health_since is not None or self._uses_since is not None

    @property
    def are_due(self) -> bool:
        """Whether it is time to write the rows."""
        now = monotonic()
        return (self._health_since is not None and now - self._health_since >= HEALTH_AFTER_S) or (
            self._uses_since is not None and now - self._uses_since >= USES_AFTER_S
        )
