"""`Reports`: from what a caller says of a request to the event that tells it, without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from keydeck.engine.blame import Requests
from keydeck.engine.events import Failed, Position, Succeeded
from keydeck.engine.failures import FailureKind, classify
from keydeck.engine.redact import Scrubber, visible
from keydeck.engine.reset_times import reset_time
from keydeck.engine.roster import Roster

_LONGEST_MESSAGE: Final = 2000
_TEXTS_KEPT: Final = 64


class Reports:
    """Tells what became of requests. Whoever uses it holds the pool's own lock."""

    def __init__(self, roster: Roster) -> None:
        self.requests = Requests()
        self._roster = roster
        # Providers say the same again and again: texts that were found without any of these rows' secrets.
        self._harmless: set[str] = set()
        self._scrubber = roster.snapshot.scrubber

    def failed(
        self,
        place: int,
        granted: Position | None,
        code: int | None,
        context: Mapping[str, Any],
        request_id: str | None = None,
    ) -> None:
        """Tell that the provider refused a request with the row of a place, unless it is the request's own fault."""
        roster, row = self._roster, self._roster.ready.rows[place]
        scrubber = roster.snapshot.scrubber
        reason, message = (self._clean(context.get(name), scrubber) for name in ("reason", "message"))
        secret = row.live_secret
        kind = classify(code, reason, message, is_login=row.auth_type == "oauth")
        ids = roster.ids_with(place)
        if request_id and not self.requests.charges(request_id, (code, kind), ids):
            return
        event = Failed(
            ids=ids,
            provider=roster.provider,
            status="dead" if kind is FailureKind.REVOKED else "exhausted",
            code=code,
            reason=reason,
            message=message,
            until=reset_time(context, roster.clock()),
            key=secret.fingerprint if secret else None,
            granted=granted,
            kind=kind,
        )
        roster.store.append(event)

    def succeeded(self, place: int, granted: Position | None) -> None:
        """Tell that a request went through, where that ends a bench that began before it was granted."""
        roster, row = self._roster, self._roster.ready.rows[place]
        # A bench that is not known here yet was told after the grant: this success does not end it.
        if not row.standing:
            return
        facts = roster.store.facts(row.id)
        strikes = facts.benches.strikes if facts else ()
        if strikes and (granted is None or strikes[0].place < granted):
            ids, past = roster.ids_with(place), row.last_status_at
            roster.store.append(Succeeded(ids=ids, provider=roster.provider, granted=granted, past=past))

    def _clean(self, text: Any, scrubber: Scrubber) -> str | None:
        """Return what a provider said without secrets, and not too long."""
        if not isinstance(text, str) or not (text := text.strip()):
            return None
        if scrubber is not self._scrubber:
            self._harmless, self._scrubber = set(), scrubber
        if text in self._harmless:
            return text
        # Scrubbed before it is cut: a cut inside a secret would leave its head.
        scrubbed = scrubber.scrub(visible(text))[:_LONGEST_MESSAGE]
        if scrubbed == text and len(self._harmless) < _TEXTS_KEPT:
            self._harmless.add(text)
        return scrubbed
