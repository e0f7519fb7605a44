"""Changing what config.yaml says of pools: how they pick, and how long failures bench."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from keydeck.engine.acting import Acting, Done, Undo, pool_key_of
from keydeck.engine.backups import back_up
from keydeck.engine.config import KNOWN_STRATEGIES, check_not_managed, set_strategy
from keydeck.engine.errors import ConfigReadOnly, Refused
from keydeck.engine.events import Configured

if TYPE_CHECKING:
    from keydeck.engine.cooldown_edit import Entry
    from keydeck.engine.cooldown_policy import Change


class ConfigActs(Acting):
    """Acts on config.yaml; other processes are told to look at once."""

    def set_strategy(self, provider: str, strategy: str) -> Done:
        """Choose how a pool picks; changes that one value of config.yaml.

        Raises:
            Refused: no such strategy or provider, or the file's form does not allow a safe edit.
            ConfigError: config.yaml is broken, managed or read-only.
        """
        provider = self._known(provider)
        pool_key = pool_key_of(self._reader.store.snapshot(), provider)
        name, before = strategy.strip().lower(), self._reader.config().strategy_of(pool_key)
        if name not in KNOWN_STRATEGIES:
            raise Refused(f"no strategy {strategy!r}; there are {', '.join(KNOWN_STRATEGIES)}")
        if name == before:
            return Done(f"{provider} picks by {name} already")
        changed = set_strategy(
            self._reader.home,
            pool_key,
            name,
            env=self._reader.env(),
            disk=self._reader.disk,
            before_write=self._keep_config_copy,
        )
        if self._reader.config().strategy_of(pool_key) != name:
            raise Refused("config.yaml did not keep the change; is another program writing it?")
        if changed:
            self._reader.store.append(Configured(provider=provider, strategy=name))
        notes = ("hermes reads sticky as fill_first",) if name == "sticky" else ()
        undo = Undo(f"strategy of {provider}", lambda operator: operator.set_strategy(provider, before))
        can_undo = changed and before in KNOWN_STRATEGIES
        said = f"{provider} {'now picks' if changed else 'already picked'} by {name}"
        return Done(said, notes, undo=undo if can_undo else None)

    def set_cooldown(self, entry: Entry, change: Change) -> Done:
        """Choose how long one kind of failure benches; changes that one entry of config.yaml.

        Raises:
            Refused: no such provider, it makes no sense, or the file's form does not allow a safe edit.
            ConfigError: config.yaml is broken, managed or read-only.
        """
        return self._put_cooldown(entry, change)

    def clear_cooldown(self, entry: Entry) -> Done:
        """Let a kind of failure cost again what it costs without this entry of config.yaml.

        Raises:
            Refused: no such provider, or the file's form does not allow a safe edit.
            ConfigError: config.yaml is broken, managed or read-only.
        """
        return self._put_cooldown(entry, None)

    def _put_cooldown(self, entry: Entry, change: Change | None) -> Done:
        from keydeck.engine.cooldown_edit import entry_text, write_cooldown

        if entry.provider:
            entry = replace(entry, provider=self._known(entry.provider))
        before, what = entry.change(self._reader.config().cooldown), entry_text(entry, change)
        changed = write_cooldown(
            self._reader.home,
            entry,
            change,
            env=self._reader.env(),
            disk=self._reader.disk,
            before_write=self._keep_config_copy,
        )
        if not changed:
            return Done(f"{what} already")
        left = entry.change(self._reader.config().cooldown)
        self._reader.store.append(Configured(provider=entry.provider, cooldown=entry.name))
        undo = Undo(
            f"wait after {entry.name}", lambda operator: operator.take_cooldown_back(entry, before, left)
        )
        own = sorted(entry.shadowed_by(self._reader.config().cooldown))
        has = "has an entry of its own" if len(own) == 1 else "have entries of their own"
        return Done(what, (f"{', '.join(own)} {has}",) if own else (), undo=undo)

    def take_cooldown_back(self, entry: Entry, former: Change | None, left: Change | None) -> Done:
        """Undo a change of a wait: give an entry what it said, if it still says what was `left`."""
        if entry.change(self._reader.config().cooldown) != left:
            raise Refused(f"the wait after {entry.name} was changed meanwhile; nothing was undone")
        return self._put_cooldown(entry, former)

    def strategy_obstacle(self) -> str | None:
        """Say why nothing can be written into config.yaml now, or None."""
        home = self._reader.home
        try:
            check_not_managed(home, self._reader.env(), self._reader.disk)
        except ConfigReadOnly as error:
            return error.reason
        if home.path.is_dir() and not os.access(home.path, os.W_OK):
            return f"{home.path} is not writable"
        return None

    def _keep_config_copy(self, path: Path, _old: bytes) -> None:
        try:
            back_up(self._reader.disk, path, self._reader.clock())
        except OSError as error:
            raise ConfigReadOnly(path, f"no copy could be made first: {error.strerror}") from error
