"""What a store promises, whatever it is made of. Pools, the command line and the dashboard know only this.

- `Store.snapshot` never waits for a lock and never writes. It raises a `StoreError` rather than call
  something unreadable empty.
- `Store.transaction` is the only way to change anything: it holds the lock, reads again, and applies changes
  to exactly the rows and fields that were named.
- `Store.poll` is cheap enough to be asked before every pick; it raises nothing and waits for nobody.
- `Store.count` and `Store.append` tell what happened to rows. They neither raise nor wait: what cannot be told now
  rules in this process at once and is told later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from keydeck.engine.cooldown_policy import Policy
from keydeck.engine.credential import Credential, Row
from keydeck.engine.events import Event, Outside, Position, Record
from keydeck.engine.follower import Follower
from keydeck.engine.home import Home
from keydeck.engine.ledger import Facts, Vanished
from keydeck.engine.secret import repr_without
from keydeck.engine.totals import Totals
from keydeck.engine.trouble import Trouble

LOCK_TIMEOUT_S: Final = 15.0
"""How long hermes and we wait for the lock, in seconds (hermes-pool 1.9)."""

WaitNotice = Callable[[float], None]
"""Called with the seconds waited so far, first after 0.3 s, then about once a second."""


def ignore_wait(_waited_s: float) -> None:
    """Tell nobody about waiting."""


class StoreSnapshot(NamedTuple):
    """What was in the store at one moment. Pools are by canonical provider."""

    pools: Mapping[str, tuple[Row, ...]] = MappingProxyType({})
    bad_pools: Mapping[str, str] = MappingProxyType({})
    """Pool keys whose value is no list of rows, and why they are not shown."""
    logins: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    """The ``providers`` blocks (hermes-pool 1.6). They hold raw tokens: never print them."""
    active_provider: str | None = None
    suppressed: Mapping[str, frozenset[str]] = MappingProxyType({})
    """Sources the operator removed, by canonical provider."""
    retired: frozenset[str] = frozenset()
    """Ids of removed rows: a new row must not take one (design 3, rule 9)."""
    exists: bool = False
    """False while nobody has written the store yet."""

    def __repr__(self) -> str:
        return repr_without(self, "logins")


EMPTY_STORE: Final = StoreSnapshot()


class Transaction(Protocol):
    """Changes to a store, gathered under its lock and written together. Rows are addressed by id."""

    def snapshot(self) -> StoreSnapshot:
        """Return the store as it is under the lock, with the changes made so far."""

    def update_row(self, pool_key: str, row_id: str, fields: Mapping[str, Any]) -> None:
        """Set exactly these fields of one stored row.

        Raises:
            TargetError: the row is gone.
        """

    def add_row(self, pool_key: str, row: Mapping[str, Any]) -> None:
        """Append one row to a pool."""

    def remove_row(self, pool_key: str, row_id: str) -> None:
        """Take one row out.

        Raises:
            TargetError: the row is gone.
        """

    def tell(self, event: Event) -> None:
        """Tell an event together with what is written."""

    def suppress(self, pool_key: str, source: str) -> None:
        """Remember that the operator does not want this source (hermes-pool 1.7)."""

    def unsuppress(self, pool_key: str, source: str | None = None) -> None:
        """Lift one suppression of a pool, or all of them."""

    def forget_login(self, provider: str) -> Mapping[str, Any] | None:
        """Drop a provider's OAuth block; return it if there was one."""

    def put_login(self, provider: str, block: Mapping[str, Any]) -> None:
        """Put an OAuth block back, unless there is a newer one."""


class Store(Protocol):
    """Where the pools of one home live."""

    @property
    def home(self) -> Home:
        """The home this store belongs to, for its whole life."""

    @property
    def writer(self) -> str:
        """The name under which this process tells."""

    def snapshot(self) -> StoreSnapshot:
        """Read the store.

        Raises:
            StoreError: it cannot be read or understood.
        """

    def changed(self) -> bool:
        """Tell whether the store differs from what `snapshot` last saw."""

    def poll(self) -> int:
        """Learn what others told, and return a number that is another one whenever something changed."""

    def changed_since(self, seen: int) -> AbstractSet[str] | None:
        """Return the ids of the rows of which something new is known since `poll` returned `seen`.

        None: the rows themselves may be others; take a `snapshot`.
        """

    def facts(self, row_id: str) -> Facts | None:
        """Return what is known of a row: counts, bench, the operator's label and place. None: as the row says."""

    def untold_uses(self, row_id: str) -> int:
        """Return how many uses of a row this process counted and has not told; `facts` has them already."""

    def others_at_work(self) -> int:
        """Return how many other processes told something within the last second."""

    def vanished(self) -> Mapping[str, Vanished]:
        """Return the rows that needed a login when another program removed them, by id, until they are dismissed."""

    def position(self) -> Position:
        """Return up to where events are known: what a grant is dated by."""

    def count(self, row_id: str, number: int = 1) -> None:
        """Count requests sent with a row. They are told within a tenth of a second, or when closing."""

    def append(self, event: Event) -> None:
        """Tell an event at once."""

    def claim(self, event: Event) -> bool:
        """Tell a claim at once; False if it cannot be told now, and rules in this process alone."""

    def history(self, start: Position | None = None) -> Iterator[tuple[Position, Record]]:
        """Yield what happened, from a position or the beginning of what is kept."""

    def follow(self) -> Follower:
        """Return a reader of what happens, for people: back into the past and on with what comes."""

    def untold(self) -> tuple[Outside, ...]:
        """Return what other programs did to rows by the last `snapshot`, as far as nobody has told it yet."""

    def totals(self) -> Totals:
        """Return requests per minute and per hour, by row."""

    def keep_history(self, size: int, seconds: float) -> None:
        """Keep so many bytes of what happened, for so many seconds."""

    def troubles(self) -> tuple[Trouble, ...]:
        """Return what is wrong with the store now, the gravest first, each in a line for the operator.

        Picks go on meanwhile. What makes the store unreadable is raised by `snapshot`.
        """

    def keep_strategies(self, strategies: Mapping[str, str]) -> None:
        """Note how hermes chooses, by pool key: one that goes round shuffles the rows without meaning it."""

    def keep_policy(self, policy: Policy) -> None:
        """Note how long failures bench: what hermes reads in the rows follows from it."""

    def flush(self) -> bool:
        """Tell everything that waits; False if something still does."""

    def adopt(self, row: Credential) -> None:
        """Store a row with the next checkpoint that was only offered until somebody used it."""

    def checkpoint(self) -> bool:
        """Write what is known into the rows, where nobody else is writing; tell whether that is done."""

    def close(self) -> None:
        """Tell what waits, write a checkpoint if one is due, and let go of every file."""

    def transaction(
        self, *, timeout_s: float = LOCK_TIMEOUT_S, on_wait: WaitNotice = ignore_wait
    ) -> AbstractContextManager[Transaction]:
        """Lock, read again, collect changes, write them in one step when the block ends without an error.

        Raises:
            LockBusy: the lock was not free within `timeout_s` seconds; nothing was changed.
            StoreError: the store cannot be read or written; nothing was changed.
        """
