"""What hermes writes and finds in these tests, and how one pool is told in the same words by both programs."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Final

from fakes import a_home, around
from keydeck.engine.credential import Credential
from keydeck.engine.snapshot import HomeReader, HomeSnapshot, PoolSnapshot

HOUR: Final = 3600.0
LATER: Final = 4_102_444_800
"""2100-01-01, for tokens that shall not end."""

_PLAIN_FIELDS: Final = (
    *("id", "label", "auth_type", "priority", "source", "request_count"),
    *("last_status", "last_status_at", "last_error_code", "last_error_reason", "last_error_message"),
    *("last_error_reset_at", "expires_at", "expires_at_ms", "last_refresh", "inference_base_url"),
    *("agent_key_expires_at", "runtime_api_key", "runtime_base_url"),
)
_SECRET_FIELDS: Final = ("access_token", "refresh_token", "agent_key")


def a_reader_of(home: Path, *, profile: str | None = None, **env: str) -> HomeReader:
    """Return a reader of a home among these variables, with the user's folder that hermes has too."""
    return HomeReader(a_home(home, profile=profile), around=around(home.parent, **env))


def the_pool(snapshot: HomeSnapshot, provider: str) -> PoolSnapshot:
    """Return a pool that must be there."""
    pool = snapshot.pool(provider)
    assert pool is not None, [pool.provider for pool in snapshot.pools]
    return pool


def told_by_hermes(view: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a pool's rows as hermes has them, secrets included.

    Claude's logins have no address in hermes, which sends them to a built-in one; Keydeck's callers have none
    built in, so it names the registry's.
    """
    rows = []
    for entry in view["entries"]:
        row = {name: entry[name] or None for name in (*_PLAIN_FIELDS, *_SECRET_FIELDS)}
        if row["source"] in ("claude_code", "hermes_pkce"):
            assert row["runtime_base_url"] is None
            row["runtime_base_url"] = "https://api.anthropic.com"
        rows.append(row)
    return rows


def told_by_keydeck(pool: PoolSnapshot) -> list[dict[str, Any]]:
    """Return a pool's rows as Keydeck has them, secrets included."""
    return [_told(row) for row in pool.rows if isinstance(row, Credential)]


def _told(row: Credential) -> dict[str, Any]:
    secrets = {name: getattr(row, name) for name in _SECRET_FIELDS}
    return {
        **{name: getattr(row, name) or None for name in _PLAIN_FIELDS},
        **{name: secret.reveal() if secret else None for name, secret in secrets.items()},
    }


def a_token(**claims: Any) -> str:
    """Return a token that looks like a JWT and lasts; nobody signed it."""

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none'})}.{part({'exp': LATER, **claims})}.c2lnbmVk"


CODEX_LOGIN: Final = {
    "tokens": {"access_token": a_token(email="team@example.org"), "refresh_token": "codex-refresh-1"},
    "last_refresh": "2026-11-01T00:00:00Z",
    "auth_mode": "chatgpt",
}
NOUS_LOGIN: Final = {
    "portal_base_url": "https://portal.nousresearch.com",
    "inference_base_url": "https://inference-api.nousresearch.com/v1",
    "client_id": "hermes-cli",
    "scope": "inference:invoke",
    "token_type": "Bearer",
    "access_token": a_token(scope="inference:invoke", sub="nous-user"),
    "refresh_token": "nous-refresh-1",
    "expires_at": "2099-12-31T00:00:00+00:00",
    "label": "nous-team",
}
XAI_LOGIN: Final = {
    "tokens": {"access_token": a_token(email="grok@example.org"), "refresh_token": "xai-refresh-1"},
    "last_refresh": "2026-11-01T00:00:00Z",
    "auth_mode": "oauth_device_code",
}
MINIMAX_LOGIN: Final = {
    "provider": "minimax-oauth",
    "inference_base_url": "https://api.minimax.io/anthropic/",
    "access_token": "minimax-access-token-1",
    "refresh_token": "minimax-refresh-1",
    "expires_at": "2099-12-31T00:00:00+00:00",
}


def claude_code_login(user: Path) -> None:
    """Leave the login of Claude Code in the user's folder."""
    login = {
        "accessToken": "sk-ant-oat-claude-code-1",
        "refreshToken": "sk-ant-ort-1",
        "expiresAt": LATER * 1000,
    }
    path = user / ".claude" / ".credentials.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"claudeAiOauth": login}), encoding="utf-8")


def qwen_login(user: Path) -> None:
    """Leave the login of the Qwen CLI in the user's folder."""
    login = {
        "access_token": "qwen-access-token-1",
        "refresh_token": "qwen-refresh-1",
        "token_type": "Bearer",
        "resource_url": "portal.qwen.ai",
        "expiry_date": LATER * 1000,
    }
    path = user / ".qwen" / "oauth_creds.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(login), encoding="utf-8")


def pkce_login(home: Path) -> None:
    """Leave hermes' own Anthropic login in the home."""
    login = {"accessToken": "sk-ant-oat-hermes-1", "refreshToken": "sk-ant-ort-2", "expiresAt": LATER * 1000}
    home.mkdir(parents=True, exist_ok=True)
    (home / ".anthropic_oauth.json").write_text(json.dumps(login), encoding="utf-8")
