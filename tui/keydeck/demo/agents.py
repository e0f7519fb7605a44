"""The demo's agents: a process that writes into a home, through transactions, what working agents would.

Run as ``python -m keydeck.demo.agents FOLDER``; it ends when its standard input does.
"""

from __future__ import annotations

import random
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from keydeck.demo.scene import around
from keydeck.engine.clock import Clock, wall_clock
from keydeck.engine.credential import CLEAN_STATUS, Credential
from keydeck.engine.errors import KeydeckError
from keydeck.engine.home import locate_home
from keydeck.engine.snapshot import HomeReader, PoolSnapshot

BEAT_S: Final = 0.6
_THROTTLED_EVERY: Final = 7
_WAITS_S: Final = (9.0, 14.0, 21.0, 33.0)
_DIES_AT, _COMES_BACK_AT = 30, 62
"""Beats at which burst-key is revoked, and at which somebody resets it."""
_VICTIM: Final = ("anthropic", "e2f8c3")


class Agents:
    """Acts once a beat; the sequence is the same for the same seed."""

    def __init__(self, reader: HomeReader, clock: Clock = wall_clock, seed: int = 7) -> None:
        self._reader = reader
        self._clock = clock
        self._dice = random.Random(seed)  # noqa: S311 - a demo, no secret
        self._beat = 0

    def act(self) -> None:
        """Do what happens at this beat."""
        self._beat += 1
        if self._beat == _DIES_AT:
            self._write(
                *_VICTIM, self._failure(401, None, "token_revoked", "API key was revoked by its owner")
            )
        elif self._beat == _COMES_BACK_AT:
            self._write(*_VICTIM, dict(CLEAN_STATUS))
        elif self._beat % _THROTTLED_EVERY == 0:
            self._throttle()
        else:
            self._request()

    def _request(self) -> None:
        """Send a few requests with a ready key: its count grows."""
        for row in self._ready():
            self._write(row.provider, row.id, {"request_count": row.request_count + self._dice.randint(1, 3)})

    def _throttle(self) -> None:
        """Hit a rate limit: the key rests for a few seconds."""
        for row in self._ready():
            wait = self._dice.choice(_WAITS_S)
            self._write(
                row.provider, row.id, self._failure(429, wait, "rate_limit", "Too many requests, slow down")
            )

    def _ready(self) -> Iterator[Credential]:
        """Yield one ready stored key of some pool, if there is one."""
        pools = [pool for pool in self._reader.read().pools if self._usable(pool)]
        if pools:
            yield self._dice.choice(self._usable(self._dice.choice(pools)))

    def _usable(self, pool: PoolSnapshot) -> list[Credential]:
        states = pool.at(self._clock()).usable
        return [state.row for state in states if isinstance(state.row, Credential) and state.row.stored]

    def _failure(self, code: int, wait_s: float | None, reason: str, said: str) -> dict[str, object]:
        now = self._clock()
        return {
            "last_status": "exhausted" if wait_s is not None else "dead",
            "last_status_at": now,
            "last_error_code": code,
            "last_error_reason": reason,
            "last_error_message": said,
            "last_error_reset_at": None if wait_s is None else now + wait_s,
        }

    def _write(self, provider: str, credential_id: str, fields: dict[str, object]) -> None:
        try:
            with self._reader.store.transaction() as change:
                change.update_row(provider, credential_id, fields)
        except KeydeckError as error:  # the user removed the row or holds the lock: the next beat goes on
            print(f"keydeck demo: {error}", file=sys.stderr)  # noqa: T201 - its only way to speak


def main() -> None:
    """Act until standard input ends."""
    user = Path(sys.argv[1])
    surroundings = around(user)
    agents = Agents(HomeReader(locate_home(user / ".hermes", around=surroundings), around=surroundings))
    while not select.select([sys.stdin], [], [], BEAT_S)[0]:
        agents.act()


if __name__ == "__main__":
    main()
