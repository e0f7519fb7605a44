"""What an operator can do to a pool. The command line and the dashboard run these very functions.

Every act addresses a row by id, works on a fresh read under the lock, and is believed only after reading again.
"""

from __future__ import annotations

import os
import unicodedata
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from keydeck.engine.backups import back_up
from keydeck.engine.config import KNOWN_STRATEGIES, check_not_managed, custom_pool_key, set_strategy
from keydeck.engine.credential import CLEAN_STATUS, BadRow, Credential, Row, is_manual
from keydeck.engine.discovery import ENV_PREFIX, custom_base_url
from keydeck.engine.dotenv import parse_dotenv, without_variable
from keydeck.engine.errors import ConfigReadOnly, Refused, StoreReadOnly, TargetError
from keydeck.engine.files import read_file, write_whole
from keydeck.engine.providers import CUSTOM_PREFIX, canonical, default_base_url, is_custom, names_of, registry
from keydeck.engine.secret import Secret, why_not_a_secret
from keydeck.engine.snapshot import HomeReader, PoolSnapshot
from keydeck.engine.store import LOCK_TIMEOUT_S, StoreSnapshot, Transaction, WaitNotice, ignore_wait

LONGEST_LABEL: Final = 64
# Logins whose tokens live in the store's own `providers` block; removing the row removes them (hermes-pool 6.4).
_BLOCK_SOURCES: Final = {
    "nous": "device_code",
    "openai-codex": "device_code",
    "xai-oauth": "device_code",
    "minimax-oauth": "oauth",
}
_COPILOT_SOURCES: Final = ("gh_cli", "env:COPILOT_GITHUB_TOKEN", "env:GH_TOKEN", "env:GITHUB_TOKEN")


@dataclass(frozen=True, slots=True)
class Done:
    """An act that took: one line about it, and what the operator should know besides."""

    text: str
    notes: tuple[str, ...] = ()
    credential_id: str | None = None


class Operator:
    """Acts on one home, for the whole of its life the same one."""

    def __init__(
        self, reader: HomeReader, *, timeout_s: float = LOCK_TIMEOUT_S, on_wait: WaitNotice = ignore_wait
    ) -> None:
        self._reader = reader
        self._timeout_s = timeout_s
        self._on_wait = on_wait

    def add_key(
        self, provider: str, secret: Secret, *, label: str | None = None, base_url: str | None = None
    ) -> Done:
        """Add an API key as a manual row, last in its pool.

        Raises:
            Refused: no such provider, no real key, a label or URL that cannot be, or the key is there already.
            StoreError: the store is busy, unreadable or read-only.
        """
        provider = self._known(provider)
        _must_take_keys(provider)
        if reason := why_not_a_secret(secret.reveal()):
            raise Refused(f"that is not a key: {reason}")
        url = _checked_url(base_url) if base_url else self._default_url(provider)
        if label is not None:
            label = checked_label(label)
            if secret.reveal() in label:
                raise Refused("the label contains the key")
        inherited = self._pool(provider).is_inherited
        with self._transaction() as change:
            stored = change.snapshot()
            rows = [row for row in stored.pools.get(provider, ()) if isinstance(row, Credential)]
            _must_be_new(rows, secret, label)
            pool_key = _pool_key(stored, provider)
            row = Credential(
                id=_new_id(stored),
                provider=provider,
                label=label or _default_label(rows),
                priority=max((int(row.priority) for row in rows), default=-1) + 1,
                source="manual",
                access_token=secret,
                base_url=url,
            )
            for name in names_of(provider):
                change.unsuppress(name)
            change.add_row(pool_key, row.to_json())
        self._must_be_there(provider, row.id)
        notes = (f"{provider} in this profile now has a key of its own: the root's no longer show here",)
        return Done(f"added {row.label} to {provider} as {row.id}", notes if inherited else (), row.id)

    def remove(self, provider: str, credential_id: str) -> Done:
        """Take one credential out, and keep it out where its source would bring it back (hermes-pool 6.4).

        Raises:
            TargetError: the row is gone.
            Refused: the row belongs to the root profile, or cannot be read.
            StoreError: the store is busy, unreadable or read-only.
        """
        provider = canonical(provider)
        row = self._row(provider, credential_id)
        notes: list[str] = []
        with self._transaction() as change:
            stored = change.snapshot()
            if row.stored:
                change.remove_row(row.stored_under, row.id)
            if not _has_sibling(stored, row):
                notes += self._shut_the_source(change, row)
        if any(left.id == row.id for left in self._pool(provider).rows):
            raise TargetError(f"{row.label} ({row.id}) came back at once; is a program adding it again?")
        return Done(f"removed {row.label} ({row.id}) from {provider}", tuple(notes), row.id)

    def reset(self, provider: str, credential_id: str | None = None) -> Done:
        """Clear benches and errors of one row, or of a whole pool. What the provider thinks stays as it is.

        Raises:
            TargetError: the row is gone.
            Refused: the rows belong to the root profile, or cannot be read.
            StoreError: the store is busy, unreadable or read-only.
        """
        provider = canonical(provider)
        wanted = self._row(provider, credential_id) if credential_id else None
        if wanted is None and self._pool(provider).is_inherited:
            raise Refused(_inherited(provider))
        count = 0
        with self._transaction() as change:
            rows = change.snapshot().pools.get(provider, ())
            if wanted and wanted.stored and all(row.id != wanted.id for row in rows):
                raise TargetError(f"{wanted.label} ({wanted.id}) is gone: somebody removed it meanwhile")
            for row in rows:
                if (
                    isinstance(row, Credential)
                    and (wanted is None or row.id == wanted.id)
                    and _is_marked(row)
                ):
                    change.update_row(row.stored_under, row.id, CLEAN_STATUS)
                    count += 1
        what = f"{wanted.label} ({wanted.id})" if wanted else f"{count} of {provider}"
        if not count:
            return Done(f"nothing to reset in {provider}")
        note = "a reset is local: it does not give quota back"
        return Done(f"reset {what}", (note,), wanted.id if wanted else None)

    def set_strategy(self, provider: str, strategy: str) -> Done:
        """Choose how a pool picks; changes that one value of config.yaml.

        Raises:
            Refused: no such strategy or provider, or the file's form does not allow a safe edit.
            ConfigError: config.yaml is broken, managed or read-only.
        """
        provider = self._known(provider)
        pool_key = _pool_key(self._reader.store.snapshot(), provider)
        name = strategy.strip().lower()
        if name not in KNOWN_STRATEGIES:
            raise Refused(f"no strategy {strategy!r}; there are {', '.join(KNOWN_STRATEGIES)}")
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
        notes = ("hermes reads sticky as fill_first",) if name == "sticky" else ()
        return Done(f"{provider} {'now picks' if changed else 'already picked'} by {name}", notes)

    def strategy_obstacle(self) -> str | None:
        """Say why no strategy can be written now, or None."""
        home = self._reader.home
        try:
            check_not_managed(home, self._reader.env(), self._reader.disk)
        except ConfigReadOnly as error:
            return error.reason
        if home.path.is_dir() and not os.access(home.path, os.W_OK):
            return f"{home.path} is not writable"
        return None

    # --- parts -----------------------------------------------------------------------------------------

    def _transaction(self) -> AbstractContextManager[Transaction]:
        return self._reader.store.transaction(timeout_s=self._timeout_s, on_wait=self._on_wait)

    def _pool(self, provider: str) -> PoolSnapshot:
        snapshot = self._reader.read()
        if snapshot.trouble:
            raise snapshot.trouble
        return snapshot.pool(provider) or PoolSnapshot(provider)

    def _row(self, provider: str, credential_id: str) -> Credential:
        row = next((row for row in self._pool(provider).rows if row.id == credential_id), None)
        if row is None:
            raise TargetError(f"{provider} has no credential {credential_id} any more")
        return _usable_target(row)

    def _must_be_there(self, provider: str, credential_id: str) -> None:
        if all(row.id != credential_id for row in self._pool(provider).rows):
            raise TargetError(f"the new row {credential_id} is gone again: somebody removed it at once")

    def _known(self, provider: str) -> str:
        """Return the canonical name of a provider that exists, as a built-in, an endpoint or a stored pool."""
        name = canonical(provider)
        known = [*registry(), *self._reader.store.snapshot().pools]
        if name in known or (is_custom(name) and name != CUSTOM_PREFIX):
            return name
        known += [endpoint.pool_key for endpoint in self._reader.config().endpoints]
        if (custom := custom_pool_key(provider)) in known:
            return custom
        import difflib

        close = difflib.get_close_matches(name, known, n=1)
        raise Refused(f"unknown provider {provider!r}" + (f"; did you mean {close[0]}?" if close else ""))

    def _default_url(self, provider: str) -> str | None:
        if not is_custom(provider):
            return default_base_url(provider)
        if url := custom_base_url(self._reader.config(), provider):
            return url
        raise Refused(f"config.yaml has no endpoint {provider}: give its address with --base-url")

    def _shut_the_source(self, change: Transaction, row: Credential) -> list[str]:
        """Keep the row's source from seeding it again; return what would bring it back."""
        if is_manual(row.source) or not row.source.strip():
            return []
        sources = _COPILOT_SOURCES if _is_copilot_login(row) else (row.source,)
        for source in sources:
            change.suppress(row.stored_under, source)
        if _BLOCK_SOURCES.get(row.provider) == row.source:
            change.forget_login(row.provider)
        notes = [f"{', '.join(sources)} stays out until something is added: keydeck auth add {row.provider}"]
        return [*self._clear_file(row), *notes]

    def _clear_file(self, row: Credential) -> list[str]:
        """Take the secret out of the home's own files, after a copy."""
        if row.source.startswith(ENV_PREFIX):
            return self._clear_variable(row.source.removeprefix(ENV_PREFIX))
        if (row.provider, row.source) == ("anthropic", "hermes_pkce"):
            path = self._reader.home.path / ".anthropic_oauth.json"
            try:
                self._keep_copy(path)
                self._reader.disk.unlink(path)
            except FileNotFoundError:
                return []
            except OSError as error:
                raise StoreReadOnly(path, f"cannot be removed: {error.strerror}") from error
            return [f"{path.name} was removed; a copy is in keydeck/backups"]
        return []

    def _clear_variable(self, name: str) -> list[str]:
        path, disk = self._reader.home.env_path, self._reader.disk
        try:
            text = read_file(disk, path)[0].decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            text = ""
        except OSError as error:
            raise StoreReadOnly(path, f"cannot be read: {error.strerror}") from error
        notes = []
        if name in parse_dotenv(text.removeprefix("\ufeff")):
            try:
                self._keep_copy(path)
                write_whole(disk, path, without_variable(text, name).encode("utf-8", "surrogateescape"))
            except OSError as error:
                raise StoreReadOnly(path, f"cannot be written: {error.strerror}") from error
            notes.append(f"{name} was taken out of .env; a copy is in keydeck/backups")
        if self._reader.env().get(name):
            notes.append(f"{name} is still set in the environment; hermes and Keydeck now pass it over")
        return notes

    def _keep_config_copy(self, path: Path, _old: bytes) -> None:
        try:
            self._keep_copy(path)
        except OSError as error:
            raise ConfigReadOnly(path, f"no copy could be made first: {error.strerror}") from error

    def _keep_copy(self, path: Path) -> None:
        back_up(self._reader.disk, path, datetime.fromtimestamp(self._reader.clock(), UTC))


def checked_label(label: str) -> str:
    """Return a label fit to be stored.

    Raises:
        Refused: it is blank, too long, or holds characters that would disturb a list (FS-68).
    """
    label = label.strip()
    if not label:
        raise Refused("the label is blank")
    if len(label) > LONGEST_LABEL:
        raise Refused(f"the label is longer than {LONGEST_LABEL} characters")
    if any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for char in label):
        raise Refused("the label has control characters")
    return label


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.password is None
    except ValueError:
        fits = False
    if not fits or any(char.isspace() or ord(char) < 0x20 for char in url.strip()):
        raise Refused("the base URL must be http(s)://host/… without a password")
    return url.strip().rstrip("/")


def _must_take_keys(provider: str) -> None:
    known = registry().get(provider)
    if known and known.type != "api_key":
        how = f"`hermes auth add {provider}` logs in" if known.login else "it has none"
        raise Refused(f"{known.name} takes no API keys; {how}")


def _must_be_new(rows: list[Credential], secret: Secret, label: str | None) -> None:
    for row in rows:
        if row.access_token == secret or row.fingerprint == secret.fingerprint:
            raise Refused(f"this key is already there as {row.label} ({row.id})")
        if label is not None and row.label.strip().lower() == label.lower():
            raise Refused(f"the label {label} is taken by {row.id}")


def _default_label(rows: list[Credential]) -> str:
    taken = {row.label for row in rows}
    number = len(rows) + 1
    while f"api-key-{number}" in taken:
        number += 1
    return f"api-key-{number}"


def _new_id(stored: StoreSnapshot) -> str:
    taken = {row.id for rows in stored.pools.values() for row in rows}
    while (fresh := os.urandom(3).hex()) in taken:
        pass
    return fresh


def _pool_key(stored: StoreSnapshot, provider: str) -> str:
    """Return the key under which a provider's rows are stored: an alias, if that is where they are."""
    rows = stored.pools.get(provider, ())
    keys = {row.stored_under for row in rows}
    return provider if not keys or provider in keys else rows[0].stored_under


def _usable_target(row: Row) -> Credential:
    if row.inherited:
        raise Refused(_inherited(row.provider))
    if isinstance(row, BadRow):
        raise Refused(f"that row cannot be read ({row.reason}); mend auth.json by hand")
    return row


def _inherited(provider: str) -> str:
    return f"{provider} is the root profile's here; act on it with --profile default"


def _has_sibling(stored: StoreSnapshot, row: Credential) -> bool:
    """Tell whether another row shares the source: suppressing it would silence that one too (FS-57)."""
    rows = stored.pools.get(row.provider, ())
    return any(
        isinstance(other, Credential) and other.source == row.source and other.id != row.id for other in rows
    )


def _is_copilot_login(row: Credential) -> bool:
    return row.provider == "copilot" and row.source in _COPILOT_SOURCES


def _is_marked(row: Credential) -> bool:
    return bool(row.last_status or row.last_status_at or row.last_error_code)
