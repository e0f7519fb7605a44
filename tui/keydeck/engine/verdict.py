"""What a failure becomes: its kind, what it concerns, and whether the request may go on with another row.

Providers say the same again and again: what was judged once is remembered.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from keydeck.engine.cooldown import ACCOUNT, ROW, model_scope
from keydeck.engine.cooldown_policy import TABLE, Rotates
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
        self._known: dict[tuple[int | None, str | None, str | None, bool, str | None], Verdict] = {}

    def of(
        self,
        row: Credential,
        code: int | None,
        reason: str | None,
        message: str | None,
        model: str | None = None,
    ) -> Verdict:
        """Return what a failure of a request with this row means.

        Args:
            row: with which it was sent.
            code: the HTTP status, if there was an answer.
            reason: the body's code or type.
            message: what the body or the exception says.
            model: which model was asked for; None where the caller does not say.
        """
        said = (code, reason, message, row.auth_type == "oauth", model)
        verdict = self._known.get(said)
        if verdict is None:
            if len(self._known) >= _KEPT:
                del self._known[next(iter(self._known))]
            verdict = self._known[said] = _verdict(*said)
        is_of_plan = verdict.kind is FailureKind.USAGE_LIMIT and verdict.scope == ROW
        return verdict._replace(scope=ACCOUNT) if is_of_plan and account_of(row) else verdict


def _verdict(
    code: int | None, reason: str | None, message: str | None, is_login: bool, model: str | None
) -> Verdict:
    """Judge what was said, whatever the row."""
    kind = classify(code, reason, message, is_login=is_login)
    text = f"{reason or ''} {message or ''}".lower()
    is_of_model = kind in _LIMITS and model and _names_model(text, model.lower())
    return Verdict(kind, model_scope(model) if is_of_model and model else ROW, TABLE[kind].rotates)


def _names_model(text: str, model: str) -> bool:
    """Tell whether an answer limits one model: it names it, or says that the limit is one of a model."""
    return model in text or model.rpartition("/")[2] in text or any(words in text for words in _PER_MODEL)
