from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keydeck.engine.failures import BY_STATUS, TERMINAL_REASONS, FailureKind, classify, usual_kind

RATE, USAGE, BILLING = FailureKind.RATE_LIMIT, FailureKind.USAGE_LIMIT, FailureKind.BILLING
KEY, LOGIN, REVOKED = FailureKind.KEY_REFUSED, FailureKind.LOGIN_REFUSED, FailureKind.REVOKED
FORBIDDEN, ENTITLEMENT = FailureKind.FORBIDDEN, FailureKind.ENTITLEMENT
PROVIDER, REQUEST, UNKNOWN = FailureKind.PROVIDER, FailureKind.REQUEST, FailureKind.UNKNOWN


def kind(code: int | None, reason: str | None = None, message: str | None = None) -> FailureKind:
    return classify(code, reason, message, is_login=False)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *((429, RATE), (402, BILLING), (401, KEY), (403, FORBIDDEN), (None, UNKNOWN), (418, REQUEST)),
        *((status, PROVIDER) for status in (408, 500, 502, 503, 504, 529)),
        *((status, REQUEST) for status in (400, 404, 413, 422)),
        *((status, UNKNOWN) for status in (0, 200, 302, 999, -1)),
    ],
)
def test_without_a_body_the_status_decides(code: int | None, expected: FailureKind) -> None:
    """The middle column of design 4."""
    assert kind(code) is expected
    assert kind(code, "", "   ") is expected


@pytest.mark.parametrize(
    ("code", "reason", "message", "expected"),
    [
        # Money hides in other statuses (G15).
        (429, "insufficient_quota", "You exceeded your current quota, please check your plan.", BILLING),
        (429, None, "You exceeded your current quota, please check your plan and billing details.", BILLING),
        (400, None, "You're out of extra usage. Add more at the settings page.", BILLING),
        (403, "personal-team-blocked:spending-limit", "Your team has used all its grok credits", BILLING),
        (403, None, "Key limit exceeded (total limit).", BILLING),
        (404, "model_not_supported_on_free_tier", "", BILLING),
        (None, None, "Insufficient credits to run this request", BILLING),
        (500, "balance_depleted", "", BILLING),
        # Gemini uses the same words for its limits a minute.
        (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota. Please retry in 33.4s.", RATE),
        # What a plan allows (FS-23).
        (429, None, "session usage limit reached, upgrade for more", USAGE),
        (429, "usage_limit_reached", "The usage limit has been reached", USAGE),
        (429, "GoUsageLimitError", "", USAGE),
        (429, None, "Rate limit reached for requests per day (RPD). Try again in 7m12s.", USAGE),
        (402, None, "Usage limit reached. Try again in 5 minutes.", USAGE),
        (None, None, "weekly limit reached, resets in 3 days", USAGE),
        (None, None, "quota used", BILLING),
        (429, None, "Rate limit reached: tokens per minute, see usage limits per minute", RATE),
        # Another's overload, sent as 429 or 403 (FS-21, FS-22, G16).
        (429, None, "upstream model provider temporarily unavailable", PROVIDER),
        (429, None, "Provider returned error", PROVIDER),
        (429, None, "The service may be temporarily overloaded, please try again later", PROVIDER),
        (403, None, "Internal server error", PROVIDER),
        (403, "server_error", None, PROVIDER),
        (None, None, "Request timed out.", PROVIDER),
        (None, "APIConnectionError", "Connection error.", PROVIDER),
        # Not for this account, region, model (G6).
        (
            403,
            "unsupported_country_region_territory",
            "Country, region, or territory not supported",
            ENTITLEMENT,
        ),
        (403, None, "<!DOCTYPE html><html><title>Just a moment...</title>", ENTITLEMENT),
        (403, None, "OAuth authentication is currently not allowed for this organization.", ENTITLEMENT),
        (403, None, "Your project does not have access to model gpt-x", ENTITLEMENT),
        (401, None, "You do not have an active Grok subscription", ENTITLEMENT),
        (403, None, "The caller does not have permission to use grok-4", ENTITLEMENT),
        (403, None, "does not have permission: grok [WKE=unauthenticated:bad-token]", LOGIN),
        # The grant is gone, whatever the status (FS-54, G28).
        (401, "token_revoked", "", REVOKED),
        (403, "token_revoked", None, REVOKED),
        (400, "invalid_grant", "refresh token not found", REVOKED),
        (401, None, "The token has been revoked", REVOKED),
        (401, " Token_Invalidated ", None, REVOKED),
        # The request's own fault (FS-25).
        (403, "insufficient_user_quota", "user quota is not enough", REQUEST),
        (429, None, "The user's quota is used up, please recharge: quota exceeded", REQUEST),
        (403, None, "Your input was flagged by moderation", REQUEST),
        (404, None, "No endpoints found matching your data policy", REQUEST),
        (400, "invalid_request_error", "max_tokens is too large", REQUEST),
        # The key, under another status or none.
        (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", KEY),
        (403, None, "Incorrect API key provided", KEY),
        (None, None, "Unauthorized", KEY),
        (None, None, "403 Forbidden", FORBIDDEN),
        (400, None, "Request rate increased too quickly", RATE),
        (None, "ThrottlingException", None, RATE),
        (None, None, "Error: something else", UNKNOWN),
        (None, None, "context window limit exceeded", UNKNOWN),
    ],
)
def test_the_body_beats_the_status(
    code: int | None, reason: str | None, message: str | None, expected: FailureKind
) -> None:
    """What the provider says in words is more certain than the number it chose."""
    assert kind(code, reason, message) is expected


@pytest.mark.parametrize("reason", sorted(TERMINAL_REASONS))
def test_reasons_that_nothing_heals(reason: str) -> None:
    """Under 401, and where a token endpoint says them under 400."""
    assert kind(401, reason) is REVOKED
    assert kind(400, reason) is REVOKED


def test_a_refused_login_is_no_refused_key() -> None:
    """Another token may heal a login; a revoked one is revoked for both."""
    assert classify(401, None, None, is_login=True) is LOGIN
    assert classify(None, None, "unauthorized", is_login=True) is LOGIN
    assert classify(401, "token_revoked", None, is_login=True) is REVOKED
    assert classify(429, None, None, is_login=True) is RATE


def test_every_kind_has_a_status_or_words_that_lead_to_it() -> None:
    """No kind is declared and never told."""
    told = {kind(code) for code in (None, 400, 401, 402, 403, 429, 500)}
    told |= {kind(403, None, "<html>"), kind(429, None, "usage limit"), kind(401, "token_revoked")}
    assert told | {classify(401, None, None, is_login=True)} == set(FailureKind)
    assert set(BY_STATUS.values()) < set(FailureKind)


def test_the_end_of_a_long_page_is_not_read() -> None:
    """A page may hold any word; what it has to say stands at its beginning."""
    assert kind(403, None, "x" * 5000 + "insufficient credits") is FORBIDDEN
    assert kind(403, None, "insufficient credits" + "x" * 5000) is BILLING


@given(
    st.none() | st.integers(),
    st.none() | st.text(max_size=40),
    st.none() | st.text(max_size=80),
    st.booleans(),
)
def test_whatever_is_told_is_some_kind(
    code: int | None, reason: str | None, message: str | None, is_login: bool
) -> None:
    """Any status and any text; a login is never called an API key."""
    found = classify(code, reason, message, is_login=is_login)
    assert found in FailureKind
    assert not (is_login and found is KEY)
    assert usual_kind(code) in FailureKind
