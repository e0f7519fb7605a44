"""One of the demo's agents: a process that works through pools as any agent would, with a provider that is not there.

Run as ``python -m keydeck.demo.agent FOLDER NAME``; it ends when its standard input does.
"""

from __future__ import annotations

import os
import random
import select
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from keydeck.demo.provider import Provider
from keydeck.demo.scene import FOLDER_PREFIX, around
from keydeck.engine.clock import Clock, wall_clock
from keydeck.engine.errors import KeydeckError
from keydeck.engine.pool import CredentialPool, load_pool

_TRIES: Final = 3
"""So many keys of one pool are tried for one request."""
_SWEEPS: Final = 5
_LONG: Final = 0.5
"""How many answers take a while to be read; the key is in flight until then."""
_LONG_S: Final = (3.0, 9.0)


@dataclass(frozen=True, slots=True)
class Role:
    """What an agent does: through which pools, the preferred one first, and how often."""

    pools: tuple[str, ...]
    pause_s: float
    seed: int


ROLES: Final[Mapping[str, Role]] = MappingProxyType(
    {
        "coder": Role(("anthropic", "openai-codex", "openrouter"), 0.9, 11),
        "research": Role(("openrouter", "nous"), 1.0, 22),
        "batch": Role(("custom:together.ai", "anthropic"), 1.6, 33),
    }
)
_LOYALTY: Final = 0.8
"""How many of its requests an agent sends through the pool it prefers."""


class Agent:
    """Sends a request whenever it is told to work."""

    def __init__(self, folder: Path, role: Role, clock: Clock = wall_clock) -> None:
        self._folder = folder
        self._role = role
        self._clock = clock
        self._dice = random.Random(role.seed)  # noqa: S311 - a demo, no secret
        self._provider = Provider(role.seed)
        self._pools: dict[str, CredentialPool] = {}
        self._patience = random.Random(role.seed)  # noqa: S311 - the answers are those without it
        self._reading: list[tuple[float, CredentialPool, str]] = []
        """Answers that are still being read: until when, and the key's lease."""

    def work(self) -> bool:
        """Send one request: through the next pool where one cannot serve. False if none can."""
        self._finish_reading()
        return any(self._request(pool) for pool in self._in_order())

    def pause_s(self) -> float:
        """Return how long to wait before the next request."""
        return self._role.pause_s * self._dice.uniform(0.6, 1.4)

    def close(self) -> None:
        """Tell what waits to be told."""
        for pool in self._pools.values():
            pool.close()

    def _in_order(self) -> Iterator[CredentialPool]:
        first, *others = self._role.pools
        order = [first, *others] if self._dice.random() < _LOYALTY else [*others, first]
        for name in order:
            if (pool := self._pool(name)) is not None:
                yield pool

    def _pool(self, name: str) -> CredentialPool | None:
        if name not in self._pools:
            surroundings, home = around(self._folder), self._folder / ".hermes"
            try:
                self._pools[name] = load_pool(name, home=home, around=surroundings, clock=self._clock)
            except KeydeckError:  # the user broke the file: perhaps it is well at the next request
                return None
        return self._pools[name]

    def _request(self, pool: CredentialPool) -> bool:
        entry = pool.select()
        for _ in range(_TRIES):
            if entry is None:
                return False
            key = entry.runtime_api_key
            answer = self._provider.answer(pool.provider, entry.id, self._clock())
            if answer.is_good:
                pool.report_success(key)
                self._read(pool, entry.id)
                return True
            entry = pool.mark_exhausted_and_rotate(
                status_code=answer.status, error_context=answer.context, api_key_hint=key
            )
        return False

    def _read(self, pool: CredentialPool, row_id: str) -> None:
        """Begin to read an answer, which may take a while."""
        takes_s = self._patience.uniform(*_LONG_S)
        if self._patience.random() < _LONG and pool.acquire_lease(row_id) is not None:
            self._reading.append((self._clock() + takes_s, pool, row_id))

    def _finish_reading(self) -> None:
        now = self._clock()
        for _, pool, row_id in (read for read in self._reading if read[0] <= now):
            pool.release_lease(row_id)
        self._reading = [read for read in self._reading if read[0] > now]


def main() -> None:
    """Work until standard input says so, or ends because the dashboard was killed."""
    folder, agent = Path(sys.argv[1]), Agent(Path(sys.argv[1]), ROLES[sys.argv[2]])
    while not select.select([sys.stdin], [], [], agent.pause_s())[0]:
        agent.work()
    if not os.read(sys.stdin.fileno(), 1):
        sweep(folder)
    # Nothing is worth telling any more: whoever waits for us waits to delete the folder.
    os._exit(0)


def sweep(folder: Path) -> None:
    """Delete a demo's folder that nobody else will: its dashboard was killed."""
    for _ in range(_SWEEPS):  # another agent may still be writing
        if folder.name.startswith(FOLDER_PREFIX) and folder.exists():
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
