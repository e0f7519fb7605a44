"""The rows of auth.json as they lie there, and what matters of each. No secret goes further than from here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

from keydeck.engine.credential import SECRET_FIELDS, STATUS_FIELDS, is_secret_key, row_id
from keydeck.engine.events import Seen, Status
from keydeck.engine.providers import canonical
from keydeck.engine.redact import Scrubber, visible
from keydeck.engine.secret import Secret, repr_without
from keydeck.engine.times import parse_time

CLEAN: Final = Status()
_LONGEST_MESSAGE: Final = 2000
_LONG_LABEL: Final = 12
# Enough to tell a row's few secrets from each other, and few enough for thousands of rows.
_MARK_DIGITS: Final = 8


class RawRow(NamedTuple):
    """A row of the file with the names it goes by."""

    id: str
    provider: str
    pool_key: str
    """The key of its pool in the file: an alias of the provider, or the same."""
    raw: dict[str, Any]

    def __repr__(self) -> str:
        return repr_without(self, "raw")

    @property
    def label(self) -> str:
        """Its label, for whoever reads of it."""
        return _label(self.raw) or self.id


def raw_rows(document: Mapping[str, Any]) -> Iterator[RawRow]:
    """Yield every row of a document that is an object with an id of its own."""
    pools = document.get("credential_pool")
    for pool_key, raws in pools.items() if isinstance(pools, dict) else ():
        provider = canonical(pool_key)
        for raw in raws if isinstance(raws, list) else ():
            if isinstance(raw, dict):
                yield RawRow(row_id(pool_key, raw), provider, pool_key, raw)


def seen_of(raw: Mapping[str, Any]) -> Seen:
    """Return what matters of a raw row."""
    used, priority = raw.get("request_count"), raw.get("priority")
    return Seen(
        used if type(used) is int and used > 0 else 0,
        _label(raw),
        priority if type(priority) in (int, float) else None,
        status_of(raw),
    )


def mark_of(raw: Mapping[str, Any]) -> str | None:
    """Return a short one-way name of all secrets of a raw row together; None where it holds none."""
    access, refresh, agent = map(raw.get, SECRET_FIELDS)
    if not (access or refresh or agent):
        return None
    told = f"{access or ''}\0{refresh or ''}\0{agent or ''}"
    return sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:_MARK_DIGITS]


def is_login(raw: Mapping[str, Any]) -> bool:
    """Tell whether a raw row's secret is renewed all the time."""
    return bool(raw.get("refresh_token") or raw.get("agent_key"))


def status_of(raw: Mapping[str, Any]) -> Status:
    """Return a raw row's status fields; the clean status for one that was never out or is well again."""
    if raw.get("last_status") not in ("exhausted", "dead"):
        return CLEAN
    status, at, code, reason, message, until = (raw.get(name) for name in STATUS_FIELDS)
    scrub = _scrubber(raw).scrub
    return Status(
        str(status),
        parse_time(at),
        code if type(code) is int else None,
        scrub(visible(reason)) if isinstance(reason, str) else None,
        scrub(visible(message))[:_LONGEST_MESSAGE] if isinstance(message, str) else None,
        parse_time(until),
    )


def _label(raw: Mapping[str, Any]) -> str | None:
    """Return the label, unless it repeats a secret: the journal holds none."""
    label = raw.get("label")
    if not isinstance(label, str) or any(value in label for value in _secrets(raw)):
        return None
    # Shorter ones have no room for a secret that is spelled in another way.
    return label if len(label) < _LONG_LABEL or _scrubber(raw).scrub_known(label) == label else None


def _scrubber(raw: Mapping[str, Any]) -> Scrubber:
    return Scrubber([Secret(value) for value in _secrets(raw)])


def _secrets(raw: Mapping[str, Any]) -> list[str]:
    return [
        value
        for name, value in raw.items()
        if isinstance(value, str) and value and (name in SECRET_FIELDS or is_secret_key(name))
    ]
