"""What a failure says about the key: from status, reason and message to one kind. Pure, and a table of data.

The body beats the status: providers send a spent balance as 429 and their own trouble as 403. The first sign
that fits decides, so what is certain stands above what is likely (hermes-recovery A.2, A.3, H).
"""

from __future__ import annotations

from collections.abc import Container
from enum import StrEnum
from typing import Final, NamedTuple


class FailureKind(StrEnum):
    """Whose fault a failure is, and what would heal it."""

    RATE_LIMIT = "rate_limit"
    """Too fast; a short wait heals it."""
    USAGE_LIMIT = "usage_limit"
    """What a plan or a window allows is used up; its end heals it."""
    BILLING = "billing"
    """No money, or the account does not pay for this."""
    KEY_REFUSED = "key_refused"
    """The provider does not take the API key."""
    LOGIN_REFUSED = "login_refused"
    """The provider does not take the token of a login; a new token may heal it."""
    REVOKED = "revoked"
    """The grant is gone: only the operator can help."""
    FORBIDDEN = "forbidden"
    """No, and nothing said why."""
    ENTITLEMENT = "entitlement"
    """Not for this account, region, model or address; every key like it would hear the same."""
    PROVIDER = "provider"
    """The provider's or an upstream's own trouble."""
    REQUEST = "request"
    """The request is at fault."""
    UNKNOWN = "unknown"


class _Sign(NamedTuple):
    """What gives a kind away: all that is set must hold. Words are lower case, any of them is enough."""

    kind: FailureKind
    words: tuple[str, ...] = ()
    reasons: frozenset[str] = frozenset()
    """Whole reasons; one of these is as good as the words."""
    also: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    codes: Container[int | None] | None = None
    """With these statuses only; None among them is no status at all."""

    def fits(self, code: int | None, reason: str, text: str) -> bool:
        if self.codes is not None and code not in self.codes:
            return False
        if reason not in self.reasons and not _has(text, self.words):
            return False
        return (not self.also or _has(text, self.also)) and not _has(text, self.unless)


def _has(text: str, words: tuple[str, ...]) -> bool:
    return any(word in text for word in words)


def _codes(*codes: int | None) -> frozenset[int | None]:
    return frozenset(codes)


TERMINAL_REASONS: Final = frozenset(
    {
        *("token_invalidated", "token_revoked", "invalid_token"),
        *("invalid_grant", "unauthorized_client", "refresh_token_reused"),
    },
)
"""Reasons after which no waiting and no refresh helps (hermes-pool 5.6)."""

_NONE: Final = None
# A new token heals these, whatever else is said (hermes-recovery A.3).
_STALE_TOKEN: Final = ("[wke=unauthenticated:", "oauth2 access token could not be validated")
_COMES_BACK: Final = (
    *("try again", "retry", "resets at", "reset at", "resets in", "reset in", "wait"),
    *("requests remaining", "periodic", "window", "per minute", "perminute", "per day", "perday"),
)
# A limit of the model, not of the key.
_TOO_LONG: Final = ("context", "max_tokens", "token limit")
_PAGE: Final = ("<!doctype html", "<html", "<head>")
_TOO_FAST: Final = (
    *("rate limit", "rate_limit", "ratelimit", "too many requests", "throttled", "throttling"),
    *("requests per minute", "tokens per minute", "requests per second", "please retry after"),
    *("rate increased too quickly", "too many concurrent requests", "servicequotaexceeded"),
)
_WINDOW: Final = (
    *("usage_limit", "usage limit", "gousagelimit", "session limit", "weekly limit", "monthly limit"),
    *("daily limit", "hour limit", "plan limit", "requests per day", "tokens per day", "perday", "per day"),
)

_SIGNS: Final = (
    # The request's own fault, in any words (FS-25: a quota of the caller's users is not the key's).
    _Sign(
        FailureKind.REQUEST,
        ("insufficient_user_quota", "user quota", "user's quota", "user balance", "user's balance"),
    ),
    _Sign(
        FailureKind.REQUEST,
        (
            *("content_policy", "content policy", "content_filter", "content filter", "safety system"),
            *("guardrail", "data policy", "moderation"),
        ),
        codes=_codes(_NONE, 400, 403, 404, 422, 451),
    ),
    # A grant that is gone is gone under every status: a token endpoint says so with 400.
    _Sign(FailureKind.LOGIN_REFUSED, _STALE_TOKEN, codes=_codes(_NONE, 401, 403)),
    _Sign(
        FailureKind.REVOKED,
        (
            *("token_invalidated", "token_revoked", "refresh_token_reused", "invalid_grant"),
            *("been revoked", "token revoked", "been invalidated"),
        ),
        reasons=TERMINAL_REASONS,
        codes=_codes(_NONE, 400, 401, 403),
    ),
    # Money, under every status.
    _Sign(
        FailureKind.BILLING,
        (
            *("insufficient_quota", "insufficient credits", "insufficient_credits", "insufficient balance"),
            *("insufficient_balance", "insufficient funds", "credit balance", "credits exhausted"),
            *("credits have been exhausted", "no usable credits", "no_usable_credits", "top up your credits"),
            *("payment required", "payment_required", "billing hard limit", "billing_hard_limit"),
            *("billing_not_active", "account is deactivated", "plan does not include", "out of extra usage"),
            *("out of funds", "balance_depleted", "model_not_supported_on_free_tier"),
            *("not available on the free tier", "personal-team-blocked:spending-limit"),
        ),
    ),
    # Gemini says this of its limits a minute and a day, too; then it also says when to come back.
    _Sign(
        FailureKind.BILLING,
        ("exceeded your current quota",),
        unless=(*_COMES_BACK, "resource_exhausted"),
    ),
    _Sign(FailureKind.BILLING, ("key limit exceeded", "spending limit"), codes=_codes(402, 403)),
    # Not for this account, region or model: another key of the same kind would hear the same.
    _Sign(
        FailureKind.ENTITLEMENT,
        (
            *("do not have an active grok subscription", "not currently allowed for this org"),
            *("currently not allowed for this org", "unsupported_country", "country, region"),
            *("not available in your country", "not available in your region", "user location is not"),
            *("not have access to model", "not have access to the model", "not allowed to use model"),
            *("model_not_allowed", "not authorized to access model"),
        ),
        codes=_codes(_NONE, 401, 403),
    ),
    _Sign(FailureKind.ENTITLEMENT, _PAGE, codes=_codes(403)),
    _Sign(
        FailureKind.ENTITLEMENT,
        ("out of available resources", "does not have permission"),
        also=("grok",),
        codes=_codes(_NONE, 401, 403),
    ),
    # The provider's own trouble, sent as whatever.
    _Sign(
        FailureKind.PROVIDER,
        (
            *("overloaded", "overloaded_error", "at capacity", "over capacity", "temporarily unavailable"),
            *("server error", "server_error", "internal error", "internal_error", "bad gateway"),
            *("service unavailable", "service_unavailable", "gateway timeout", "upstream"),
            *("provider returned error", "timed out", "timeout", "connection reset", "connection refused"),
            *("connection error", "temporarily overloaded"),
        ),
        codes=_codes(_NONE, 403, 408, 429),
        unless=_WINDOW,
    ),
    # A limit with an end, or just too fast.
    _Sign(
        FailureKind.USAGE_LIMIT,
        _WINDOW,
        codes=_codes(400, 403, 429),
        unless=("per minute", "perminute"),
    ),
    _Sign(FailureKind.RATE_LIMIT, _TOO_FAST, codes=_codes(_NONE, 400, 403, 429)),
    _Sign(
        FailureKind.USAGE_LIMIT,
        (*_WINDOW, "quota", "limit exceeded"),
        also=_COMES_BACK,
        unless=_TOO_LONG,
        codes=_codes(_NONE, 402),
    ),
    _Sign(
        FailureKind.BILLING,
        (*_WINDOW, "quota", "limit exceeded"),
        unless=_TOO_LONG,
        codes=_codes(_NONE, 402),
    ),
    _Sign(
        FailureKind.RATE_LIMIT,
        ("resource_exhausted", "try again in"),
        codes=_codes(_NONE, 400, 429),
    ),
    # The key itself, where the status does not say so.
    _Sign(
        FailureKind.KEY_REFUSED,
        (
            *("invalid api key", "invalid_api_key", "api_key_invalid", "api key not valid"),
            *("incorrect api key", "api key expired", "no api key", "missing api key"),
        ),
        codes=_codes(_NONE, 400, 401, 403),
    ),
    _Sign(
        FailureKind.KEY_REFUSED,
        (
            *("authentication", "unauthorized", "unauthenticated", "invalid token", "token expired"),
            "access denied",
        ),
        codes=_codes(_NONE),
    ),
    _Sign(FailureKind.FORBIDDEN, ("forbidden",), codes=_codes(_NONE)),
)

BY_STATUS: Final = {
    401: FailureKind.KEY_REFUSED,
    402: FailureKind.BILLING,
    403: FailureKind.FORBIDDEN,
    408: FailureKind.PROVIDER,
    429: FailureKind.RATE_LIMIT,
}
"""What a status means when the body adds nothing."""

# Longer texts are pages: what they say, they say at the beginning.
_LONGEST_TEXT: Final = 4000


def classify(code: int | None, reason: str | None, message: str | None, *, is_login: bool) -> FailureKind:
    """Return what kind of failure this is.

    Args:
        code: the HTTP status, if there was an answer.
        reason: the body's code or type.
        message: what the body or the exception says.
        is_login: whether the credential is a login (OAuth) and not an API key.
    """
    plain = (reason or "").strip().lower()
    text = f"{plain}\n{(message or '')[:_LONGEST_TEXT].lower()}"
    found = next((sign.kind for sign in _SIGNS if sign.fits(code, plain, text)), None)
    kind = found or usual_kind(code)
    return FailureKind.LOGIN_REFUSED if is_login and kind is FailureKind.KEY_REFUSED else kind


def usual_kind(code: int | None) -> FailureKind:
    """Return what a status says when the body adds nothing."""
    if code is None:
        return FailureKind.UNKNOWN
    if code in BY_STATUS:
        return BY_STATUS[code]
    if 400 <= code < 500:
        return FailureKind.REQUEST
    return FailureKind.PROVIDER if 500 <= code < 600 else FailureKind.UNKNOWN
