"""The demo's provider: what it answers to a request with a key. No network; the same seed answers the same."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

WINDOW_S: Final = 60.0
SHORTEST_WAIT_S: Final = 6.0
"""A rate limit never ends sooner than this, so that one can see it."""

_LIMITS: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {"anthropic": (7, 15), "openai-codex": (8, 14), "openrouter": (14, 26), "nous": (5, 9)}
)
_LIMIT_OTHERWISE: Final = (9, 16)
_LEFT_AT_FIRST: Final = (2, 5)
_CREDIT_ENDS: Final = 1 / 60
"""How many requests of a custom endpoint find its credit used up."""
_TOP_UP_S: Final = (75, 150)
REVOKED: Final = "e2f8c3"
REVOKED_AFTER: Final = 14
"""After so many requests with it, burst-key is revoked once; somebody who resets it has made a new one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back: an HTTP status and, of a refusal, its reason and words."""

    status: int = 200
    reason: str | None = None
    message: str | None = None
    reset_at: float | None = None
    """When to come back, in epoch seconds."""

    @property
    def is_good(self) -> bool:
        """Whether the request went through."""
        return self.status == 200

    @property
    def context(self) -> dict[str, object]:
        """What an agent reports of a refusal."""
        return {"reason": self.reason, "message": self.message, "reset_at": self.reset_at}


class Provider:
    """Counts the requests of each key and refuses some."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._dice = random.Random(seed)  # noqa: S311 - a demo, no secret
        self._window: dict[str, tuple[int, int]] = {}
        self._sent: dict[str, int] = {}

    def answer(self, pool: str, key: str, now: float) -> Answer:
        """Return what a request with this key gets at `now` (epoch seconds)."""
        self._sent[key] = self._sent.get(key, 0) + 1
        if key == REVOKED and self._sent[key] == REVOKED_AFTER:
            return Answer(401, "token_revoked", "API key was revoked by its owner")
        if pool.startswith("custom:") and self._dice.random() < _CREDIT_ENDS:
            return Answer(402, "billing", "Credit balance is too low", now + self._dice.randint(*_TOP_UP_S))
        return self._within_limit(pool, key, now)

    def _within_limit(self, pool: str, key: str, now: float) -> Answer:
        dice = random.Random(f"{self._seed} {key}")  # noqa: S311 - the same for the same key
        offset = dice.uniform(0, WINDOW_S)  # keys do not all come back at once
        window = int((now + offset) // WINDOW_S)
        dice.seed(f"{self._seed} {key} {window}")
        limit = dice.randint(*_LIMITS.get(pool, _LIMIT_OTHERWISE))
        # Others have used the key before us: so there is something to see soon.
        number, used = self._window.get(key, (window, limit - dice.randint(*_LEFT_AT_FIRST)))
        used = used + 1 if number == window else 1
        self._window[key] = (window, used)
        if used <= limit:
            return Answer()
        ends = max((window + 1) * WINDOW_S - offset, now + SHORTEST_WAIT_S)
        return Answer(429, "rate_limit", "Too many requests, slow down", ends)
