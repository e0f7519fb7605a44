"""`Reports`: from what a caller says of a request to the event that tells it, without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from keydeck.engine.blame import Requests
from keydeck.engine.cooldown import ACCOUNT
from keydeck.engine.events import START, Failed, Position, Succeeded
from keydeck.engine.failures import classify
from keydeck.engine.redact import Scrubber, visible
from keydeck.engine.reset_times import reset_time
from keydeck.engine.roster import Roster
from keydeck.engine.secret import Secret
from keydeck.engine.verdict import Verdict, Verdicts

_LONGEST_MESSAGE: Final = 2000
_TEXTS_KEPT: Final = 64


class Report(NamedTuple):
    """What a caller says of a request that failed."""

    code: int | None
    """The HTTP status, if there was an answer."""
    context: Mapping[str, Any]
    """What else the answer said."""
    model: str | None = None
    """Which model was asked for; a limit of it keeps the row for others (FS-26)."""
    request_id: str | None = None
    """Names the request: what fails alike on several rows is its own fault, and is told of no more."""


class Reports:
    """Tells what became of requests. Whoever uses it holds the pool's own lock."""

    def __init__(self, roster: Roster) -> None:
        self.requests = Requests()
        self._roster = roster
        # Providers say the same again and again: texts that were found without any of these rows' secrets.
        self._harmless: set[str] = set()
        self._scrubber = roster.snapshot.scrubber
        self._scrubber.prepare()  # not when a provider has just refused a request
        self._verdicts = Verdicts()

    def failed(self, place: int, granted: Position | None, report: Report) -> Verdict:
        """Tell that the provider refused a request with the row of a place, and return what that means.

        Args:
            place: of the row.
            granted: up to where the journal was known when the row was handed out.
            report: what the caller says of it.
        """
        roster, row = self._roster, self._roster.ready.rows[place]
        reason, message = self._texts(report)
        secret = row.live_secret
        verdict = self._verdicts.of(row, report.code, reason, message, report.model)
        ids = roster.ids_of_account(place) if verdict.scope == ACCOUNT else roster.ids_with(place)
        if report.request_id and not self.requests.charges(
            report.request_id, (report.code, verdict.kind), ids
        ):
            return verdict
        key = None if secret is None else secret.fingerprint
        until = reset_time(report.context, roster.clock())
        code, kind, scope = report.code, verdict.kind, verdict.scope
        roster.store.append(
            Failed(
                ids, roster.provider, verdict.status, code, reason, message, until, key, granted, kind, scope
            )
        )
        return verdict

    def unmatched(self, report: Report, key: str | None) -> None:
        """Tell that a request failed with a key or row that is not here: nobody is charged, somebody may wonder."""
        # The scrubber of the pool does not know that key.
        its_own = Scrubber([Secret(key)] if key else [])
        reason, message = (text and its_own.scrub(text) for text in self._texts(report))
        kind = classify(report.code, reason, message, is_login=False)
        self._roster.store.append(
            Failed(
                ids=(),
                provider=self._roster.provider,
                kind=kind,
                code=report.code,
                reason=reason,
                message=message,
            )
        )

    def succeeded(self, place: int, granted: Position | None, model: str | None = None) -> None:
        """Tell that a request went through, where that ends a bench that began before it was granted."""
        roster, row = self._roster, self._roster.ready.rows[place]
        # A bench that is not known here yet was told after the grant: this success does not end it.
        if row.standing is None:
            return
        facts = roster.store.facts(row.id)
        strikes = facts.benches.strikes if facts else ()
        if strikes and place in roster.ready.probing and all(strike.failure.is_filed for strike in strikes):
            # Another program's bench has no place of its own until it is told of; that it was over is why this
            # request was sent.
            segment, offset = strikes[-1].place
            granted = max(granted or START, (segment, offset + 1))
        if not strikes or (granted is not None and strikes[0].place >= granted):
            return
        event = Succeeded(
            ids=roster.ids_with(place),
            provider=roster.provider,
            granted=granted,
            past=row.last_status_at,
            model=model,
        )
        roster.store.append(event)

    def _texts(self, report: Report) -> tuple[str | None, str | None]:
        """Return reason and message without secrets, and not too long."""
        scrubber, context = self._roster.snapshot.scrubber, report.context
        if scrubber is not self._scrubber:
            self._harmless, self._scrubber = set(), scrubber
        return self._clean(context.get("reason")), self._clean(context.get("message"))

    def _clean(self, text: Any) -> str | None:
        if not isinstance(text, str) or not (text := text.strip()):
            return None
        if text in self._harmless:
            return text
        # Scrubbed before it is cut: a cut inside a secret would leave its head.
        scrubbed = self._scrubber.scrub(visible(text))[:_LONGEST_MESSAGE]
        if scrubbed == text and len(self._harmless) < _TEXTS_KEPT:
            self._harmless.add(text)
        return scrubbed
