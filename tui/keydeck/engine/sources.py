"""Where a row's secret comes from, and how to keep it out after a removal (hermes-pool 6.4), and let it in again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keydeck.engine.backups import back_up
from keydeck.engine.credential import Credential, is_manual
from keydeck.engine.discovery import ENV_PREFIX
from keydeck.engine.dotenv import lines_setting, parse_dotenv, without_variable
from keydeck.engine.errors import StoreReadOnly
from keydeck.engine.files import read_file, write_new, write_whole
from keydeck.engine.secret import Secret
from keydeck.engine.snapshot import HomeReader
from keydeck.engine.store import Transaction

# Logins whose tokens live in the store's own `providers` block; removing the row removes them.
_BLOCK_SOURCES: Final = {
    "nous": "device_code",
    "openai-codex": "device_code",
    "xai-oauth": "device_code",
    "minimax-oauth": "oauth",
}
_COPILOT_SOURCES: Final = ("gh_cli", "env:COPILOT_GITHUB_TOKEN", "env:GH_TOKEN", "env:GITHUB_TOKEN")

Reopen = Callable[[Transaction], None]
"""Puts back one thing that was shut; secrets wait in it as `Secret`."""


@dataclass(frozen=True, slots=True)
class Shut:
    """A source that seeds no more: what the operator should know, and how to undo it."""

    notes: tuple[str, ...] = ()
    reopen: tuple[Reopen, ...] = field(default=(), repr=False)


def shut_source(reader: HomeReader, change: Transaction, row: Credential) -> Shut:
    """Keep the row's source from seeding it again.

    Raises:
        StoreReadOnly: a file of the home that holds the secret cannot be changed.
    """
    if is_manual(row.source) or not row.source.strip():
        return Shut()
    is_copilot = row.provider == "copilot" and row.source in _COPILOT_SOURCES
    sources = _COPILOT_SOURCES if is_copilot else (row.source,)
    pool_key = row.stored_under
    for source in sources:
        change.suppress(pool_key, source)

    def lift(later: Transaction) -> None:
        for source in sources:
            later.unsuppress(pool_key, source)

    note = f"{', '.join(sources)} stays out until something is added: keydeck auth add {row.provider}"
    cleared = _clear(reader, change, row)
    return Shut((*cleared.notes, note), (lift, *cleared.reopen))


def _clear(reader: HomeReader, change: Transaction, row: Credential) -> Shut:
    """Take the secret out of the home's own files, after a copy."""
    if _BLOCK_SOURCES.get(row.provider) == row.source:
        return _clear_login(change, row.provider)
    if row.source.startswith(ENV_PREFIX):
        return _clear_variable(reader, row.source.removeprefix(ENV_PREFIX))
    if (row.provider, row.source) == ("anthropic", "hermes_pkce"):
        return _clear_file(reader, reader.home.path / ".anthropic_oauth.json")
    return Shut()


def _clear_login(change: Transaction, provider: str) -> Shut:
    block = change.forget_login(provider)
    if block is None:
        return Shut()
    kept = Secret(json.dumps(dict(block)))
    return Shut(reopen=(lambda later: later.put_login(provider, json.loads(kept.reveal())),))


def _clear_file(reader: HomeReader, path: Path) -> Shut:
    disk = reader.disk
    try:
        kept = Secret(read_file(disk, path)[0].decode("latin-1"))
        back_up(disk, path, reader.clock())
        disk.unlink(path)
    except FileNotFoundError:
        return Shut()
    except OSError as error:
        raise StoreReadOnly(path, f"cannot be removed: {error.strerror}") from error

    def put_back(_later: Transaction) -> None:
        try:
            write_new(disk, path, kept.reveal().encode("latin-1"))
        except OSError as error:
            raise StoreReadOnly(path, f"cannot be written: {error.strerror}") from error

    return Shut((f"{path.name} was removed; a copy is in keydeck/backups",), (put_back,))


def _clear_variable(reader: HomeReader, name: str) -> Shut:
    path, disk = reader.home.env_path, reader.disk
    text = _env_text(reader)
    notes: list[str] = []
    reopen: tuple[Reopen, ...] = ()
    if name in parse_dotenv(text.removeprefix("\ufeff")):
        kept = Secret(lines_setting(text, name))
        try:
            back_up(disk, path, reader.clock())
        except OSError as error:
            raise StoreReadOnly(path, f"no copy could be made: {error.strerror}") from error
        _write_env(reader, without_variable(text, name))
        notes.append(f"{name} was taken out of .env; a copy is in keydeck/backups")

        def put_back(_later: Transaction) -> None:
            now = _env_text(reader)
            if name not in parse_dotenv(now.removeprefix("\ufeff")):
                _write_env(reader, now + ("" if not now or now.endswith("\n") else "\n") + kept.reveal())

        reopen = (put_back,)
    if reader.env().get(name):
        notes.append(f"{name} is still set in the environment; hermes and Keydeck now pass it over")
    return Shut(tuple(notes), reopen)


def _env_text(reader: HomeReader) -> str:
    path = reader.home.env_path
    try:
        return read_file(reader.disk, path)[0].decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise StoreReadOnly(path, f"cannot be read: {error.strerror}") from error


def _write_env(reader: HomeReader, text: str) -> None:
    path = reader.home.env_path
    try:
        write_whole(reader.disk, path, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise StoreReadOnly(path, f"cannot be written: {error.strerror}") from error
