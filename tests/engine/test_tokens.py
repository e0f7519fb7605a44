from __future__ import annotations

from typing import Any

import pytest

from fakes import NOW, a_jwt, a_key, a_login
from keydeck.engine.credential import Credential, parse_rows
from keydeck.engine.secret import Secret
from keydeck.engine.tokens import claims, identity, nous_secret, token_expires_at

INFERENCE = "inference:invoke"


def row(raw: dict[str, Any], provider: str = "openai-codex") -> Credential:
    (parsed,) = parse_rows(provider, provider, [raw])
    assert isinstance(parsed, Credential)
    return parsed


@pytest.mark.parametrize(
    "token",
    [
        None,
        "",
        "sk-no-jwt",
        "a.b.c",
        "..",
        "a.b",
        "a.b.c.d",
        "eyJh.eyJi.x",
        "ä.ö.ü",
        "a." + "e30" * 9000 + ".c",
    ],
)
def test_what_is_no_jwt_claims_nothing(token: str | None) -> None:
    """Anything that is not a JWT has no claims, and never an error."""
    assert claims(Secret(token) if token is not None else None) == {}


def test_a_jwt_whose_payload_is_no_object_claims_nothing() -> None:
    """A payload that is a list is no payload."""
    head, _, tail = a_jwt().split(".")
    assert claims(Secret(f"{head}.W10.{tail}")) == {}


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        ({"email": "a@corp.example"}, "a@corp.example"),
        ({"email": "  ", "preferred_username": "ann"}, "ann"),
        ({"email": 5, "upn": " ann@upn "}, "ann@upn"),
        ({"preferred_username": "ann", "upn": "other"}, "ann"),
        ({"sub": "123"}, None),
        ({}, None),
    ],
)
def test_a_login_is_named_by_the_first_identity_its_token_carries(
    payload: dict[str, Any], name: str | None
) -> None:
    """Mail, then user name, then principal name; blanks are passed over."""
    assert identity(Secret(a_jwt(**payload))) == name


def test_an_api_key_has_no_end() -> None:
    """Only logins end."""
    assert token_expires_at(row(a_key(expires_at_ms=NOW * 1000, access_token=a_jwt(exp=NOW)))) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"expires_at_ms": (NOW + 60) * 1000},
        {"expires_at_ms": NOW + 60},
        {"expires_at_ms": ..., "expires_at": "2026-11-08T14:03:11Z"},
        {"expires_at_ms": ..., "access_token": a_jwt(exp=NOW + 60)},
        {"expires_at_ms": 0, "expires_at": "", "access_token": a_jwt(exp=NOW + 60)},
        {"expires_at_ms": ..., "access_token": a_jwt(exp=str(NOW + 60))},
    ],
)
def test_a_login_ends_when_the_first_thing_that_tells_says_so(fields: dict[str, Any]) -> None:
    """Stored milliseconds, then the stored ISO time, then the token's own claim."""
    assert token_expires_at(row(a_login(**fields))) == NOW + 60


def test_a_login_of_which_nothing_tells_the_end_has_none() -> None:
    """No end is unknown, not now."""
    assert token_expires_at(row(a_login(expires_at_ms=...))) is None
    assert token_expires_at(row(a_login(expires_at_ms=..., access_token=a_jwt(exp="never")))) is None


# --- nous (hermes-pool 5.2) --------------------------------------------------------------------------------


def nous(**fields: Any) -> Credential:
    blank = {"access_token": ..., "refresh_token": ..., "expires_at_ms": ...}
    return row(a_login(source="device_code", **{**blank, **fields}), "nous")


def test_a_plain_key_in_nous_is_never_usable() -> None:
    """Only a JWT with the inference scope can be sent to nous."""
    assert nous_secret(nous(access_token="sk-plain")) is None
    assert nous_secret(row(a_key(), "nous")) is None


@pytest.mark.parametrize(
    "scope",
    [
        {"scope": INFERENCE},
        {"scope": f"openid {INFERENCE} profile"},
        {"scp": [INFERENCE, "openid"]},
        {"scp": INFERENCE},
    ],
)
def test_the_scope_may_stand_in_the_token(scope: dict[str, Any]) -> None:
    """The scope is found in either claim, as words or as a list."""
    token = a_jwt(exp=NOW + 3600, **scope)
    found = nous_secret(nous(access_token=token))
    assert found is not None
    assert found.reveal() == token


def test_the_scope_may_stand_in_the_row() -> None:
    """The row's own scope counts too."""
    token = a_jwt(exp=NOW + 3600)
    assert nous_secret(nous(access_token=token, scope=f"a {INFERENCE}")) == Secret(token)
    assert nous_secret(nous(access_token=token, scope="a inference:invoked")) is None
    assert nous_secret(nous(access_token=token)) is None


def test_of_two_nous_tokens_the_one_that_lasts_longer_is_used() -> None:
    """An agent key that has ended does not hide a good access token, nor the other way round."""
    long, short = (a_jwt(exp=NOW + left, scope=INFERENCE) for left in (7200, -60))
    assert nous_secret(nous(agent_key=short, access_token=long)) == Secret(long)
    assert nous_secret(nous(agent_key=long, access_token=short)) == Secret(long)
    assert token_expires_at(nous(agent_key=short, access_token=long)) == NOW + 7200


def test_the_stored_end_of_a_nous_token_counts_where_it_has_no_claim() -> None:
    """Without `exp` the expiry in the row decides, that of the very token."""
    token = a_jwt(scope=INFERENCE)
    ends = {"agent_key_expires_at": "2026-11-08T15:02:11Z", "expires_at": "2026-11-08T16:02:11Z"}
    assert token_expires_at(nous(agent_key=token, **ends)) == NOW + 3600
    assert token_expires_at(nous(access_token=token, **ends)) == NOW + 7200
