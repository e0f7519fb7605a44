"""One look at a home: every pool with its rows, strategy and troubles. What the screens and commands show.

A snapshot is immutable and holds no clock: `PoolSnapshot.at` turns it into states for a moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from keydeck.engine.clock import Clock, wall_clock
from keydeck.engine.config import (
    DEFAULT_LEASE_S,
    DEFAULT_STRATEGY,
    EMPTY_CONFIG,
    KNOWN_STRATEGIES,
    Config,
    custom_pool_key_for,
    read_config,
)
from keydeck.engine.cooldown_policy import DEFAULT_POLICY, Policy
from keydeck.engine.credential import Credential, Row, VanishedRow, is_secret_key, secrets_of
from keydeck.engine.discovery import Scene, discover, overlay
from keydeck.engine.dotenv import effective_env, read_dotenv
from keydeck.engine.errors import ConfigError, KeydeckError, StoreError
from keydeck.engine.file_store import FOLDER, FileStore
from keydeck.engine.files import Disk
from keydeck.engine.home import Home, Surroundings
from keydeck.engine.known import groups, known_rows, used_last
from keydeck.engine.ledger import Vanished
from keydeck.engine.providers import canonical, names_of
from keydeck.engine.redact import KNOWS_NOTHING, Scrubber
from keydeck.engine.secret import Secret, repr_without
from keydeck.engine.state import PoolState, pool_state
from keydeck.engine.store import EMPTY_STORE, Store, StoreSnapshot
from keydeck.engine.strategies import GO_ON, certain_pick
from keydeck.engine.trouble import Trouble, gravest_first, policy_trouble

if TYPE_CHECKING:
    from keydeck.engine.cooldown_config import CooldownProblem
    from keydeck.engine.explanation import Explanation


class PoolSnapshot(NamedTuple):
    """One provider's rows, in the order they are tried."""

    provider: str
    strategy: str = DEFAULT_STRATEGY
    """As written in config.yaml; `knows_strategy` tells whether anybody follows it."""
    rows: tuple[Row, ...] = ()
    used_last: str | None = None
    """The row that was used last by anybody, where the strategy goes on from it."""

    @property
    def knows_strategy(self) -> bool:
        """Whether the strategy is one Keydeck knows; hermes reads any other as fill_first."""
        return self.strategy in KNOWN_STRATEGIES

    @property
    def followed_strategy(self) -> str:
        """The strategy that is really followed."""
        return self.strategy if self.knows_strategy else DEFAULT_STRATEGY

    @property
    def is_inherited(self) -> bool:
        """Whether these are the root profile's rows."""
        return any(row.inherited for row in self.rows)

    def twins(self) -> dict[str, str]:
        """Return row id → id of an earlier row that holds the same secret."""
        first: dict[Secret, str] = {}
        elders = {
            row.id: first.setdefault(row.access_token, row.id)
            for row in self.rows
            if isinstance(row, Credential) and row.access_token
        }
        return {row_id: elder for row_id, elder in elders.items() if elder != row_id}

    def uses(self) -> dict[str, int]:
        """Return row id → requests sent with its secret, by whichever row they were counted."""
        own = [row.request_count if isinstance(row, Credential) else 0 for row in self.rows]
        shared = {place: sum(own[each] for each in group) for group in groups(self.rows) for place in group}
        return {row.id: shared.get(place, own[place]) for place, row in enumerate(self.rows)}

    def at(self, now: float) -> PoolState:
        """Return every row's state at `now` (epoch seconds)."""
        return pool_state(self.provider, self.rows, now)

    def next_pick(self, state: PoolState) -> str | None:
        """Return the id of the row that the next request of whoever starts now surely gets, or None."""
        pick = certain_pick(self.followed_strategy, state, last=self.used_last, uses=self.uses)
        return pick.id if pick else None

    def explain(
        self,
        state: PoolState,
        now: float,
        *,
        session: str | None = None,
        model: str | None = None,
        lease: bool = False,
        at_most: int | None = None,
    ) -> Explanation:
        """Return what the next request of whoever starts now would get, and why.

        Args:
            state: the rows at that moment.
            now: the moment, in epoch seconds.
            session: what the request belongs to.
            model: the model that it asks for.
            lease: whether it takes the row for work in flight.
            at_most: how many leases a row may have.
        """
        from keydeck.engine.explain import Asked, explain

        asked = Asked(self.followed_strategy, session, model, self.used_last, None, lease, at_most)
        return explain(state, asked, now)


class HomeSnapshot(NamedTuple):
    """Everything Keydeck knows of a home at one moment."""

    home: Home
    pools: tuple[PoolSnapshot, ...] = ()
    read_at: float = 0.0
    """When the rows were read, in epoch seconds; old while `trouble` lasts."""
    exists: bool = False
    """Whether there is an auth.json."""
    trouble: KeydeckError | None = None
    """Why auth.json cannot be used now; the rows are the last good ones then."""
    config_trouble: ConfigError | None = None
    bad_pools: Mapping[str, str] = MappingProxyType({})
    store_troubles: tuple[Trouble, ...] = ()
    """What else is wrong with the store, the gravest first; the rows are right all the same."""
    policy: Policy = DEFAULT_POLICY
    """How long failures bench."""
    policy_problems: tuple[CooldownProblem, ...] = ()
    """Entries of ``credential_pool.cooldown`` in config.yaml that do not hold, by line."""
    lease_ttl_s: float = DEFAULT_LEASE_S
    leases_at_most: int | None = None
    """How many leases a row may have at once; None: any number."""
    fallback: tuple[str, ...] = ()
    """Pool keys of the fallback chain, in order."""
    scrubber: Scrubber = KNOWS_NOTHING

    def __repr__(self) -> str:
        return repr_without(self, "scrubber")

    def pool(self, provider: str) -> PoolSnapshot | None:
        """Return one provider's pool, or None."""
        return next((pool for pool in self.pools if pool.provider == provider), None)


HERMES_KEEPS_DEAD_S: Final = 86400.0
NO_POOLS: Final[Mapping[str, tuple[Row, ...]]] = MappingProxyType({})


class HomeReader:
    """Reads a home again and again; keeps the last good view when something breaks. Never writes."""

    def __init__(
        self,
        home: Home,
        *,
        around: Surroundings | None = None,
        disk: Disk | None = None,
        clock: Clock = wall_clock,
        store: Store | None = None,
    ) -> None:
        self.home = home
        self.disk = disk or Disk()
        self.clock = clock
        self.store: Store = store or FileStore(home, disk=self.disk, clock=clock)
        self.around = around or Surroundings.real()
        self._root: Store | None = (
            FileStore(home, path=home.root / "auth.json", disk=self.disk, clock=clock)
            if home.inherits
            else None
        )
        self._good = EMPTY_STORE
        self._good_root = EMPTY_STORE
        self._good_config = EMPTY_CONFIG
        self._read_at = 0.0
        self.scrubber = Scrubber()
        """Knows the secrets of the last read."""

    def env(self) -> dict[str, str]:
        """Return the environment as hermes looks it up: the home's ``.env`` first."""
        return effective_env(read_dotenv(self.home.env_path, self.disk), self.around.env)

    def config(self) -> Config:
        """Read config.yaml.

        Raises:
            ConfigBroken: it cannot be read or understood.
        """
        return read_config(self.home, self.env(), self.disk)

    def read(self) -> HomeSnapshot:
        """Look at everything now; troubles are told in the snapshot, never raised."""
        return self.read_with_rows()[0]

    def read_with_rows(self) -> tuple[HomeSnapshot, Mapping[str, tuple[Row, ...]]]:
        """Return what `read` does, and the rows before anything the journal tells of them, by provider."""
        env = self.env()
        config, config_trouble = self._read_config(env)  # first: the store must know who shuffles its rows
        stored, trouble = self._read_store()
        root = self._read_root()
        scene = Scene(
            self.home,
            self.around,
            env,
            stored,
            config,
            config_is_known=config_trouble is None,
            disk=self.disk,
            root=root,
        )
        offers = discover(scene)
        lists = _overlaid(scene, _with_inherited(stored, root), offers)
        vanished = self._vanished(lists)
        pools = tuple(
            self._pool(provider, config, rows, tuple(vanished.get(provider, ())))
            for provider, rows in {**dict.fromkeys(vanished, ()), **lists}.items()
            if rows or provider in vanished
        )
        scrubber = Scrubber(_Secrets(pools, {**root.logins, **stored.logins}))
        if not scrubber.knows_what(self.scrubber):  # most changes leave all secrets as they are
            self.scrubber = scrubber
        snapshot = HomeSnapshot(
            home=self.home,
            pools=pools,
            read_at=self._read_at,
            exists=stored.exists,
            trouble=trouble,
            config_trouble=config_trouble,
            bad_pools=stored.bad_pools,
            store_troubles=self.store_troubles(),
            policy=config.cooldown,
            policy_problems=config.cooldown_problems,
            lease_ttl_s=config.lease_ttl_s,
            leases_at_most=config.leases_at_most,
            fallback=_chain(config),
            scrubber=self.scrubber,
        )
        return snapshot, lists

    def store_troubles(self) -> tuple[Trouble, ...]:
        """Return what is wrong with the stores now, the gravest first."""
        problems = policy_trouble(self._good_config.cooldown_problems)
        return gravest_first(problems, *(trouble for store in self.stores for trouble in store.troubles()))

    def watched_files(self) -> tuple[Path, ...]:
        """Return the files whose change makes a new snapshot worth while."""
        user = self.around.user_home
        return (
            self.home.auth_path,
            self.home.config_path,
            self.home.env_path,
            self.home.path / ".anthropic_oauth.json",
            *([self.home.root / "auth.json"] if self.home.inherits else []),
            user / ".claude" / ".credentials.json",
            user / ".qwen" / "oauth_creds.json",
        )

    def watched_folders(self) -> tuple[Path, ...]:
        """Return the folders in which the stores and config.yaml are replaced, behind any symlink too."""
        files = (self.home.auth_path, self.home.config_path, self.home.root / "auth.json")
        folders = {path.parent for path in files} | {Path(os.path.realpath(path)).parent for path in files}
        return tuple(sorted(folders))

    def journal_folders(self) -> tuple[Path, ...]:
        """Return the folders in which the journals grow; they come with the first thing that is told."""
        stores = [self.home.auth_path, *([self.home.root / "auth.json"] if self.home.inherits else [])]
        return tuple(Path(os.path.realpath(path)).parent / FOLDER for path in stores)

    def _read_store(self) -> tuple[StoreSnapshot, StoreError | None]:
        try:
            self._good = self.store.snapshot()
        except StoreError as error:
            return self._good, error
        self._read_at = self.clock()
        return self._good, None

    def _read_root(self) -> StoreSnapshot:
        """Read what shows through from the root; it is a fallback, so its troubles only freeze it."""
        if self._root is None:
            return EMPTY_STORE
        try:
            self._good_root = self._root.snapshot()
        except StoreError:
            return self._good_root
        return self._good_root

    def _read_config(self, env: Mapping[str, str]) -> tuple[Config, ConfigError | None]:
        try:
            self._good_config = read_config(self.home, env, self.disk)
            self.store.keep_history(self._good_config.history_bytes, self._good_config.history_s)
            for store in self.stores:
                store.keep_policy(self._good_config.cooldown)
            self.store.keep_strategies(self._good_config.strategies)
        except ConfigError as error:
            return self._good_config, error
        return self._good_config, None

    def _pool(
        self, provider: str, config: Config, rows: tuple[Row, ...], vanished: tuple[Row, ...]
    ) -> PoolSnapshot:
        strategy, facts_of = _strategy(config, provider, rows), self.store_of(rows).facts
        known = known_rows(provider, rows, facts_of, config.cooldown)
        last = used_last(known, facts_of) if strategy in GO_ON else None
        return PoolSnapshot(provider, strategy, (*known, *vanished), last)

    def _vanished(self, lists: Mapping[str, tuple[Row, ...]]) -> dict[str, list[VanishedRow]]:
        """Return what the operator still has to be told of, by provider."""
        found: dict[str, list[VanishedRow]] = {}
        for store in self.stores:
            for row_id, gone in store.vanished().items():
                rows = lists.get(gone.provider, ())
                if self.store_of(rows) is store and all(row.id != row_id for row in rows):
                    row = _vanished_row(row_id, gone, inherited=store is self._root)
                    found.setdefault(gone.provider, []).append(row)
        return found

    @property
    def stores(self) -> tuple[Store, ...]:
        """The home's own store, and the root's where rows may show through from it."""
        return (self.store, self._root) if self._root else (self.store,)

    def store_of(self, rows: Sequence[Row]) -> Store:
        """Return the store that these rows of one pool belong to: the root's, where they are inherited."""
        return self._root if self._root and any(row.inherited for row in rows) else self.store

    def close(self) -> None:
        """Let go of the stores' files, after telling what waits."""
        self.store.close()
        if self._root:
            self._root.close()


def _vanished_row(row_id: str, gone: Vanished, *, inherited: bool) -> VanishedRow:
    since, why = gone.status.at, "removed by another program"
    # hermes drops a dead key that was typed in when it has been dead for a day (hermes-pool 5.4).
    if since is not None and gone.at - since > HERMES_KEEPS_DEAD_S:
        why = "removed by hermes after 24 h"
    return VanishedRow(
        id=row_id,
        provider=gone.provider,
        label=gone.label,
        reason=f"{why}, log in again",
        inherited=inherited,
        status=gone.status,
        vanished_at=gone.at,
    )


def _overlaid(
    scene: Scene, stored: Mapping[str, tuple[Row, ...]], offers: Mapping[str, list[Credential]]
) -> dict[str, tuple[Row, ...]]:
    return {
        provider: overlay(scene, provider, stored.get(provider, ()), offers.get(provider, []))
        for provider in dict.fromkeys((*stored, *offers))  # the file's order, which is the operator's
    }


def _with_inherited(own: StoreSnapshot, root: StoreSnapshot) -> Mapping[str, tuple[Row, ...]]:
    """Let the root's rows show through where the profile has none (hermes-pool 1.2)."""
    shining = {
        provider: tuple(row._replace(inherited=True) for row in rows)
        for provider, rows in root.pools.items()
        if not own.pools.get(provider)
    }
    return {**own.pools, **shining}


def _chain(config: Config) -> tuple[str, ...]:
    """Return the pools of the fallback chain; hermes calls every custom endpoint ``custom`` (recovery B.3)."""
    return tuple(
        (custom_pool_key_for(config, hop.base_url) if hop.provider == "custom" else None)
        or canonical(hop.provider)
        for hop in config.fallback
    )


def _strategy(config: Config, provider: str, rows: tuple[Row, ...]) -> str:
    """Return what config.yaml says under the pool key that hermes uses for these rows (hermes-pool 2.2)."""
    keys = dict.fromkeys([*(row.stored_under for row in rows), *names_of(provider)])
    written = (config.strategies[key] for key in keys if key in config.strategies)
    return next(written, DEFAULT_STRATEGY)


class _Secrets:
    """Every secret of a home, gathered only when somebody walks through them."""

    __slots__ = ("_logins", "_pools")

    def __init__(self, pools: tuple[PoolSnapshot, ...], logins: Mapping[str, Mapping[str, Any]]) -> None:
        self._pools, self._logins = pools, logins

    def __iter__(self) -> Iterator[Secret]:
        for pool in self._pools:
            yield from secrets_of(pool.rows)
        blocks: list[Mapping[str, Any]] = list(self._logins.values())
        while blocks:
            for key, value in blocks.pop().items():
                if isinstance(value, dict):
                    blocks.append(value)
                elif isinstance(value, str) and is_secret_key(key):
                    yield Secret(value)
