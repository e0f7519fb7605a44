"""The document in auth.json: parse it, show it, change it row by row (hermes-pool 1.3, 1.8)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from keydeck.engine.credential import Row, parse_rows, row_id
from keydeck.engine.errors import StoreCorrupt, StoreTooNew, TargetError
from keydeck.engine.events import Event
from keydeck.engine.providers import canonical
from keydeck.engine.store import EMPTY_STORE, StoreSnapshot

FORMAT_VERSION: Final = 1


class DocumentTransaction:
    """The raw document under the lock; `dirty` once something in it was changed."""

    def __init__(
        self, document: dict[str, Any], *, exists: bool, retired: frozenset[str] = frozenset()
    ) -> None:
        self.document = document
        self._retired = retired
        self.dirty = False
        self._exists = exists
        self.told: list[Event] = []
        """Events that are told along with what is written."""

    def snapshot(self) -> StoreSnapshot:
        """Return the document as it is now, parsed."""
        seen = snapshot_of(self.document) if self._exists or self.dirty else EMPTY_STORE
        return seen._replace(retired=self._retired)

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

    def tell(self, event: Event) -> None:
        """Tell an event together with what is written."""
        self.told.append(event)
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


def snapshot_of(document: Mapping[str, Any], hidden: Collection[str] = ()) -> StoreSnapshot:
    """Return a document's content, without the rows of these ids."""
    pools: dict[str, tuple[Row, ...]] = {}
    bad: dict[str, str] = {}
    for pool_key, raws in (document.get("credential_pool") or {}).items():
        provider = canonical(pool_key)
        if isinstance(raws, list):
            rows = parse_rows(provider, pool_key, raws)
            shown = tuple(row for row in rows if row.id not in hidden) if hidden else rows
            pools[provider] = pools.get(provider, ()) + shown
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


def _json_name(value: Any) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")
