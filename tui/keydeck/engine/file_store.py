"""The store that hermes uses: auth.json with its flock (hermes-pool 1.8, 1.9; design 3).

Only this module knows that rows live in a file. It differs from hermes on purpose in two ways: what cannot be
read is an error and never an empty store, and a write changes the fields concerned of the rows concerned.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from keydeck.engine.backups import back_up
from keydeck.engine.clock import Clock, wall_clock
from keydeck.engine.credential import Row, parse_rows, row_id
from keydeck.engine.errors import (
    StoreCorrupt,
    StoreReadOnly,
    StoreTooNew,
    StoreUnreadable,
    TargetError,
)
from keydeck.engine.files import Disk, make_dir, read_file, write_whole
from keydeck.engine.home import Home
from keydeck.engine.locks import hold_lock
from keydeck.engine.providers import canonical
from keydeck.engine.store import (
    EMPTY_STORE,
    LOCK_TIMEOUT_S,
    StoreSnapshot,
    Transaction,
    WaitNotice,
    ignore_wait,
)

FORMAT_VERSION: Final = 1

Signature = tuple[int, int, int, int]
"""Device, inode, size and change time: differs after every replacement."""


class FileStore:
    """The store of one home, in its auth.json."""

    def __init__(
        self, home: Home, *, path: Path | None = None, disk: Disk | None = None, clock: Clock = wall_clock
    ) -> None:
        self._home = home
        self._path = path or home.auth_path
        self._disk = disk or Disk()
        self._clock = clock
        self._seen: Signature | None = None
        self._backed_up = False

    @property
    def home(self) -> Home:
        """The home this store belongs to."""
        return self._home

    @property
    def path(self) -> Path:
        """The file, as named."""
        return self._path

    def snapshot(self) -> StoreSnapshot:
        """Read the file without a lock: it is only ever replaced whole.

        Raises:
            StoreError: unreadable, corrupt, or of a newer version.
        """
        self._seen = self._signature()
        document, self._seen = self._read()
        return EMPTY_STORE if document is None else _snapshot(document)

    def changed(self) -> bool:
        """Tell whether the file is another one than `snapshot` last saw."""
        return self._signature() != self._seen

    @contextmanager
    def transaction(
        self, *, timeout_s: float = LOCK_TIMEOUT_S, on_wait: WaitNotice = ignore_wait
    ) -> Iterator[Transaction]:
        """Change the file under hermes' lock; see `Store.transaction`.

        Raises:
            LockBusy: somebody else kept the lock.
            StoreError: the file cannot be read or written; it is as it was.
        """
        try:
            make_dir(self._disk, self._path.parent)
        except OSError as error:
            raise StoreReadOnly(self._path, _reason(error)) from error
        with ExitStack() as held:
            for lock in self._locks():
                held.enter_context(hold_lock(self._disk, lock, timeout_s=timeout_s, on_wait=on_wait))
            document, _ = self._read()
            changes = _FileTransaction(document or {}, exists=document is not None)
            yield changes
            if changes.dirty:
                self._write(changes.document)

    def _locks(self) -> list[Path]:
        """Where to lock, in order: beside the name (hermes' place), then beside the target of a symlink."""
        beside_name = self._path.with_suffix(".lock")
        beside_target = Path(os.path.realpath(self._path)).with_suffix(".lock")
        same = os.path.realpath(beside_name) == os.path.realpath(beside_target)
        return [beside_name] if same else [beside_name, beside_target]

    def _signature(self) -> Signature | None:
        try:
            status = self._disk.stat(self._path)
        except OSError:
            return None
        return _signature(status)

    def _read(self) -> tuple[dict[str, Any] | None, Signature | None]:
        try:
            data, status = read_file(self._disk, self._path)
        except FileNotFoundError:
            return None, None
        except OSError as error:
            raise StoreUnreadable(self._path, _reason(error, self._owner())) from error
        return parse_document(self._path, data), _signature(status)

    def _owner(self) -> str | None:
        try:
            uid = self._disk.stat(self._path).st_uid
        except OSError:
            return None
        return None if uid == os.geteuid() else _user_name(uid)

    def _write(self, document: dict[str, Any]) -> None:
        now = datetime.fromtimestamp(self._clock(), UTC)
        document["version"] = FORMAT_VERSION
        document["providers"] = document.get("providers") or {}  # hermes wants an object (hermes-pool 1.8)
        document["updated_at"] = now.isoformat(timespec="microseconds")
        data = (json.dumps(document, indent=2) + "\n").encode("ascii")
        try:
            if not self._backed_up:
                back_up(self._disk, self._path, now)
                self._backed_up = True
            write_whole(self._disk, self._path, data)
        except OSError as error:
            raise StoreReadOnly(self._path, _reason(error)) from error


class _FileTransaction:
    """The raw document under the lock; `dirty` once something in it was changed."""

    def __init__(self, document: dict[str, Any], *, exists: bool) -> None:
        self.document = document
        self.dirty = False
        self._exists = exists

    def snapshot(self) -> StoreSnapshot:
        """Return the document as it is now, parsed."""
        return _snapshot(self.document) if self._exists or self.dirty else EMPTY_STORE

    def update_row(self, pool_key: str, row_id: str, fields: Mapping[str, Any]) -> None:
        """Set these fields of one row."""
        rows = self._rows(pool_key)
        row = rows[self._find(pool_key, rows, row_id)]
        if any(name not in row or row[name] != value for name, value in fields.items()):
            row.update(fields)
            self.dirty = True

    def add_row(self, pool_key: str, row: Mapping[str, Any]) -> None:
        """Append one row."""
        self._section("credential_pool").setdefault(pool_key, [])
        self._rows(pool_key).append(dict(row))
        self.dirty = True

    def remove_row(self, pool_key: str, row_id: str) -> None:
        """Take one row out; the pool stays, if need be as an empty list."""
        rows = self._rows(pool_key)
        del rows[self._find(pool_key, rows, row_id)]
        self.dirty = True

    def suppress(self, pool_key: str, source: str) -> None:
        """Add a suppressed source."""
        sources = self._section("suppressed_sources").setdefault(pool_key, [])
        if isinstance(sources, list) and source not in sources:
            sources.append(source)
            self.dirty = True

    def unsuppress(self, pool_key: str, source: str | None = None) -> None:
        """Lift one of a pool's suppressions, or all."""
        suppressed = self.document.get("suppressed_sources")
        if not isinstance(suppressed, dict) or pool_key not in suppressed:
            return
        listed = suppressed[pool_key]
        left = [kept for kept in listed if kept != source] if source and isinstance(listed, list) else []
        self.dirty = self.dirty or left != listed
        suppressed[pool_key] = left
        if not left:
            del suppressed[pool_key]

    def forget_login(self, provider: str) -> Mapping[str, Any] | None:
        """Drop an OAuth block."""
        logins = self.document.get("providers")
        if not isinstance(logins, dict) or logins.get(provider) is None:
            return None
        self.dirty = True
        block = logins.pop(provider)
        return block if isinstance(block, dict) else None

    def put_login(self, provider: str, block: Mapping[str, Any]) -> None:
        """Put an OAuth block back."""
        if self._section("providers").get(provider) is None:
            self._section("providers")[provider] = dict(block)
            self.dirty = True

    def _section(self, name: str) -> dict[str, Any]:
        if self.document.get(name) is None:
            self.document[name] = {}
        section = self.document[name]
        if not isinstance(section, dict):
            raise TargetError(f"{name} in the store is not an object; mend it by hand first")
        return section

    def _rows(self, pool_key: str) -> list[Any]:
        pools = self._section("credential_pool")
        if pool_key not in pools:
            raise TargetError(f"there is no pool {pool_key} in the store any more")
        rows = pools[pool_key]
        if not isinstance(rows, list):
            raise TargetError(f"the pool {pool_key} in the store is not a list; mend it by hand first")
        return rows

    @staticmethod
    def _find(pool_key: str, rows: list[Any], wanted: str) -> int:
        found = (
            position
            for position, raw in enumerate(rows)
            if isinstance(raw, dict) and row_id(pool_key, raw) == wanted
        )
        position = next(found, None)
        if position is None:
            raise TargetError(f"the row {wanted} of {pool_key} is gone: somebody removed it meanwhile")
        return position


def parse_document(path: Path, data: bytes) -> dict[str, Any]:
    """Parse the bytes of an auth.json into its raw document.

    Raises:
        StoreCorrupt: no JSON, or not the shape of a store.
        StoreTooNew: its version is above ours.
    """
    if not data.strip():
        raise StoreCorrupt(path, "the file is empty")
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise StoreCorrupt(path, f"not valid JSON (line {error.lineno})", error.lineno) from None
    except (UnicodeDecodeError, RecursionError, ValueError):
        # A chained error would carry the file's content in its attributes.
        raise StoreCorrupt(path, "not valid JSON") from None
    if not isinstance(document, dict):
        raise StoreCorrupt(path, f"not a store: a JSON {_json_name(document)} where an object should be")
    version = document.get("version", FORMAT_VERSION)
    if isinstance(version, int | float) and version > FORMAT_VERSION:
        raise StoreTooNew(
            path, f"store version {version} is newer than this Keydeck (it knows {FORMAT_VERSION})"
        )
    for section in ("providers", "credential_pool", "suppressed_sources"):
        if not isinstance(document.get(section, {}), dict | None):
            raise StoreCorrupt(path, f"not a store: {section} is a JSON {_json_name(document[section])}")
    return document


def _snapshot(document: Mapping[str, Any]) -> StoreSnapshot:
    pools: dict[str, tuple[Row, ...]] = {}
    bad: dict[str, str] = {}
    for pool_key, raws in (document.get("credential_pool") or {}).items():
        provider = canonical(pool_key)
        if isinstance(raws, list):
            pools[provider] = pools.get(provider, ()) + parse_rows(provider, pool_key, raws)
        else:
            bad[pool_key] = f"its value is a JSON {_json_name(raws)} where a list of rows should be"
    active = document.get("active_provider")
    return StoreSnapshot(
        pools=MappingProxyType(pools),
        bad_pools=MappingProxyType(bad),
        logins=MappingProxyType(
            {
                name: block
                for name, block in (document.get("providers") or {}).items()
                if isinstance(block, dict)
            }
        ),
        active_provider=active if isinstance(active, str) else None,
        suppressed=MappingProxyType(_suppressed(document.get("suppressed_sources") or {})),
        exists=True,
    )


def _suppressed(section: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    sources: dict[str, frozenset[str]] = {}
    for pool_key, listed in section.items():
        if isinstance(listed, list):
            provider = canonical(pool_key)
            texts = frozenset(source for source in listed if isinstance(source, str))
            sources[provider] = sources.get(provider, frozenset()) | texts
    return sources


def _signature(status: os.stat_result) -> Signature:
    return (status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns)


def _json_name(value: Any) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")


def _reason(error: OSError, owner: str | None = None) -> str:
    said = (error.strerror or type(error).__name__).lower()
    return f"{said} (owner {owner})" if owner else said


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
