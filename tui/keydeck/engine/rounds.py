"""hermes' round robin: at every pick it numbers a pool's rows anew, 0 to n - 1 (hermes-pool 5.5).

That is its way of remembering whose turn it is, and no wish of the operator's (design 3, rule 10).
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Final

ROUND_ROBIN: Final = "round_robin"


class Rounds(Container[str]):
    """The pool keys in which hermes may be going round; every one until somebody has read config.yaml.

    A pool that was one stays one: a hermes that runs goes by the strategy it was started with.
    """

    def __init__(self) -> None:
        self._pools: set[str] | None = None

    def learn(self, strategies: Mapping[str, str]) -> None:
        """Take note of config.yaml: pool key to strategy."""
        found = {key for key, strategy in strategies.items() if strategy == ROUND_ROBIN}
        self._pools = found | (self._pools or set())

    def __contains__(self, pool_key: object) -> bool:
        return self._pools is None or str(pool_key).strip().lower() in self._pools


def shuffled(document: Mapping[str, Any], rounds: Container[str]) -> frozenset[str]:
    """Return the pool keys whose priorities are what a round of hermes leaves: 0 to n - 1, each once.

    An operator who swaps two rows by hand in such a pool cannot be told from hermes.
    """
    pools = document.get("credential_pool")
    return frozenset(
        key
        for key, rows in (pools.items() if isinstance(pools, dict) else ())
        if key in rounds and isinstance(rows, list) and _is_numbered(rows)
    )


def _is_numbered(rows: list[Any]) -> bool:
    found = [row.get("priority") for row in rows if isinstance(row, dict)]
    numbers = [each for each in found if type(each) is int]
    return sorted(numbers) == list(range(len(found)))
