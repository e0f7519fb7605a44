"""`Requests`: what one request did to rows. What fails alike on several rows is the request's fault, not theirs."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Final

CHARGED_AT_MOST: Final = 2
"""The same failure of one request is charged to so many rows."""
_REQUESTS_KEPT: Final = 256


class _Request:
    __slots__ = ("charged", "credentials", "tried")

    def __init__(self) -> None:
        self.tried: set[str] = set()
        self.credentials = 0
        """How many of them; rows with one secret are one."""
        self.charged: dict[Hashable, list[str]] = {}


class Requests:
    """The requests of one pool object that failed of late. Whoever uses it holds the pool's own lock."""

    def __init__(self) -> None:
        self._known: dict[str, _Request] = {}

    def charges(self, request_id: str, failure: Hashable, ids: Collection[str]) -> bool:
        """Note a failure on a row and those with its secret, and tell whether they are to blame for it."""
        request = self._known[request_id] = self._known.pop(request_id, _Request())
        if len(self._known) > _REQUESTS_KEPT:
            del self._known[next(iter(self._known))]
        request.credentials += request.tried.isdisjoint(ids)
        request.tried.update(ids)
        charged = request.charged.setdefault(failure, [])
        if not any(row_id in charged for row_id in ids):
            if len(charged) >= CHARGED_AT_MOST:
                return False
            charged.append(next(iter(ids)))
        return True

    def has_rotated(self, request_id: str | None) -> bool:
        """Tell whether a request failed on more than one credential."""
        request = self._known.get(request_id or "")
        return request is not None and request.credentials > 1

    def tried(self, request_id: str | None) -> Collection[str]:
        """Return the rows on which a request failed."""
        request = self._known.get(request_id or "")
        return request.tried if request else ()
