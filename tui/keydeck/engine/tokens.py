"""What an OAuth token says of itself: when it ends, whose it is, what it may do. Nothing is verified or sent."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from keydeck.engine.secret import Secret
from keydeck.engine.times import parse_time

if TYPE_CHECKING:
    from keydeck.engine.credential import Credential

_JWT_DOTS: Final = 2
_INFERENCE_SCOPE: Final = "inference:invoke"
_ACCOUNT_CLAIMS: Final = ("chatgpt_account_id", "account_id", "organization_id", "org_id", "team_id")
_IDENTITY_CLAIMS: Final = ("email", "preferred_username", "upn")


def claims(secret: Secret | None) -> Mapping[str, Any]:
    """Return a JWT's payload without checking its signature; empty for anything that is no JWT."""
    if secret is None or secret.reveal().count(".") != _JWT_DOTS:
        return {}
    return _payload(secret)


@lru_cache(maxsize=4096)
def _payload(secret: Secret) -> Mapping[str, Any]:
    """Decode once: states are derived at every tick, a token changes at every login.

    Head and signature are nobody's business here, as in hermes (hermes-pool 4.6).
    """
    import base64

    middle = secret.reveal().split(".")[1]
    try:
        text = base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)).decode("utf-8")
        payload: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def identity(secret: Secret | None) -> str | None:
    """Return the name a token carries (hermes-pool 4.6, "Label from a token"), or None."""
    payload = claims(secret)
    names = (payload.get(claim) for claim in _IDENTITY_CLAIMS)
    return next((name.strip() for name in names if isinstance(name, str) and name.strip()), None)


def account_of(row: Credential) -> tuple[str, str] | None:
    """Return whose login a row holds, as account and subject of its token; None where it does not name both.

    The account alone is not enough: members of one workspace share it, and each has limits of his own (FS-27).
    """
    if row.auth_type != "oauth":
        return None
    payload = claims(row.access_token)
    inner = payload.get("https://api.openai.com/auth")
    places = (payload, inner if isinstance(inner, dict) else {})
    accounts = (place.get(claim) for place in places for claim in _ACCOUNT_CLAIMS)
    account = next((text for text in accounts if isinstance(text, str) and text), None)
    subject = payload.get("sub")
    return (account, subject) if account and isinstance(subject, str) and subject else None


def token_expires_at(row: Credential) -> float | None:
    """Return when the login's token ends, in epoch seconds; None for API keys and where nothing tells."""
    if row.auth_type != "oauth":
        return None
    if row.provider == "nous":
        return _nous_end(row)
    told = parse_time(row.expires_at_ms) or parse_time(row.expires_at)
    return told if told is not None else parse_time(claims(row.access_token).get("exp"))


def nous_secret(row: Credential) -> Secret | None:
    """Return the nous secret that may invoke inference, the one that lasts longer (hermes-pool 5.2).

    Whether it has ended is not asked here: that depends on the clock, see `token_expires_at`.
    """
    able = [secret for secret in (row.agent_key, row.access_token) if secret and _may_infer(row, secret)]
    return max(able, key=lambda secret: _nous_end_of(row, secret) or math.inf, default=None)


def _may_infer(row: Credential, secret: Secret) -> bool:
    payload = claims(secret)
    scopes = (row.extra.get("scope"), payload.get("scope"), payload.get("scp"))
    granted = {word for scope in scopes for word in _words(scope)}
    return bool(payload) and _INFERENCE_SCOPE in granted


def _words(scope: Any) -> list[str]:
    if isinstance(scope, str):
        return scope.split()
    return [word for word in scope if isinstance(word, str)] if isinstance(scope, list) else []


def _nous_end(row: Credential) -> float | None:
    secret = nous_secret(row)
    if secret is None:
        return parse_time(row.agent_key_expires_at) or parse_time(row.expires_at)
    return _nous_end_of(row, secret)


def _nous_end_of(row: Credential, secret: Secret) -> float | None:
    stored = row.agent_key_expires_at if secret is row.agent_key else row.expires_at
    return parse_time(claims(secret).get("exp")) or parse_time(stored)
