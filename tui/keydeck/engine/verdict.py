"""What a failure becomes: its kind, what it concerns, and whether the request may go on with another row.

Providers say the same again and again: what was judged once is remembered.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from keydeck.engine.cooldown import ACCOUNT, ROW, model_scope
from keydeck.engine.cooldown_policy import Policy, Rotates
from keydeck.engine.credential import Credential
from keydeck.engine.failures import FailureKind, classify
from keydeck.engine.tokens import account_of

_KEPT: Final = 256
_LIMITS: Final = frozenset({FailureKind.RATE_LIMIT, FailureKind.USAGE_LIMIT})
# So a provider calls a limit that holds for one model only (FS-26).
_PER_MODEL: Final = ("permodel", "per model", "per-model", "per_model", "model_rate_limit", "for this model")


class Verdict(NamedTuple):
    """What one failure means."""

    kind: FailureKind
    scope: str = ROW
    """`cooldown.ROW`, `cooldown.ACCOUNT`, or what `cooldown.model_scope` returns."""
    rotates: Rotates = Rotates.YES

    @property
    def status(self) -> str:
        """What versions read that know no kinds."""
        return "dead" if self.kind is FailureKind.REVOKED else "exhausted"


class Verdicts:
    """Judges the failures of one pool."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[int | None, str | None, str | None, bool], FailureKind] = {}

    def of(
        self,
        row: Credential,
        code: int | None,
        reason: str | None,
        message: str | None,
        *,
        policy: Policy,
        model: str | None = None,
    ) -> Verdict:
        """Return what a failure of a request with this row means.

        Args:
            row: with which it was sent.
            code: the HTTP status, if there was an answer.
            reason: the body's code or type.
            message: what the body or the exception says.
            policy: the rules of the moment.
            model: which model was asked for; None where the caller does not say.
        """
        kind = self.kind(code, reason, message, is_login=row.auth_type == "oauth")
        rule = policy.rule(kind, code, row.provider, row.id)
        return Verdict(kind, _scope(row, kind, reason, message, model), rule.rotates)

    def kind(
        self, code: int | None, reason: str | None, message: str | None, *, is_login: bool
    ) -> FailureKind:
        """Return what kind of failure this is."""
        asked = (code, reason, message, is_login)
        kind = self._kinds.get(asked)
        if kind is None:
            if len(self._kinds) >= _KEPT:
                del self._kinds[next(iter(self._kinds))]
            kind = self._kinds[asked] = classify(code, reason, message, is_login=is_login)
        return kind


def _scope(
    row: Credential, kind: FailureKind, reason: str | None, message: str | None, model: str | None
) -> str:
    if kind not in _LIMITS:
        return ROW
    if model and _names_model(f"{reason or ''} {message or ''}".lower(), model.lower()):
        return model_scope(model)
    return ACCOUNT if kind is FailureKind.USAGE_LIMIT and account_of(row) else ROW


def _names_model(text: str, model: str) -> bool:
    """Tell whether an answer limits one model: it names it, or says that the limit is one of a model."""
    return model in text or model.rpartition("/")[2] in text or any(words in text for words in _PER_MODEL)
