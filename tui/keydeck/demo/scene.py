"""The invented pools: what the demo starts from and what the pictures show. Every secret here opens nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from keydeck.engine.credential import CLEAN_STATUS
from keydeck.engine.home import Surroundings

_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_DAY: Final = 86400.0

FOLDER_PREFIX: Final = "keydeck-demo-"
"""How the name of a demo's folder begins."""

ENVIRONMENT: Final = {
    "ANTHROPIC_API_KEY": "sk-demo-anthropic-of-the-environment",
    "OPENROUTER_API_KEY": "sk-demo-openrouter-of-the-environment",
}

CONFIG: Final = """\
# The demo's settings. Changing a strategy touches that one word and nothing else.
credential_pool_strategies:
  anthropic: least_used      # spread over the team's logins
  nous: round_robin
  custom:together.ai: random

fallback_providers:
  - provider: openrouter
    model: qwen/qwen3.6

custom_providers:
  - name: together.ai
    base_url: https://api.together.example/v1
    api_key: sk-demo-together-of-the-config
"""


def around(folder: Path) -> Surroundings:
    """Return surroundings that hold nothing of the user's."""
    return Surroundings(env=dict(ENVIRONMENT), user_home=folder)


def write_scene(home: Path, now: float) -> None:
    """Write auth.json and config.yaml as a busy afternoon would leave them at `now` (epoch seconds)."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    document = {"version": 1, "providers": {}, "credential_pool": _pools(now), "active_provider": "anthropic"}
    _write(home / "auth.json", json.dumps(document, indent=2) + "\n")
    _write(home / "config.yaml", CONFIG)


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _pools(now: float) -> dict[str, list[dict[str, Any]]]:
    return {
        "anthropic": [
            _login(
                "9c01d2", "team-a@corp.com", 0, now, ends=5.2 * _HOUR, count=412, source="manual:claude_code"
            ),
            _login(
                "b7740e", "team-b@corp.com", 1, now, ends=2.67 * _HOUR, count=409, source="manual:hermes_pkce"
            ),
            _key("3f9a1c", "ANTHROPIC_API_KEY", 2, count=1288, source="env:ANTHROPIC_API_KEY", token=None)
            | _benched(
                now, 429, since=18.9 * _MINUTE, wait=_HOUR, said="This request would exceed your rate limit"
            ),
            _login("0d51aa", "old-laptop", 3, now, ends=-_HOUR, count=77)
            | _benched(
                now,
                401,
                since=21 * _MINUTE,
                said="Refresh token was revoked",
                reason="token_revoked",
                dead=True,
            ),
            _key("e2f8c3", "burst-key", 4, count=415),
        ],
        "openrouter": [
            _key("4411a9", "OPENROUTER_API_KEY", 0, count=2210, source="env:OPENROUTER_API_KEY", token=None),
            _key("4411aa", "spare", 1),
            _key("51d0b7", "OLD_OPENROUTER_KEY", 2, count=36, source="env:OLD_OPENROUTER_KEY", token=None),
        ],
        "nous": [
            _login(
                "5a90ee", "device_code", 0, now, ends=4.2 * _MINUTE, count=96, source="manual:device_code"
            ),
            _login("c4d1f0", "portal-2", 1, now, ends=1.04 * _HOUR, count=101)
            | _benched(now, 429, since=35 * _MINUTE, wait=47.75 * _MINUTE, said="Too many requests"),
        ],
        "openai-codex": [
            _login("6b0f12", "codex-login", 0, now, ends=7.2 * _DAY, count=540)
            | _benched(now, 429, since=1.5 * _MINUTE, wait=_HOUR, said="The usage limit has been reached"),
        ],
        "custom:together.ai": [
            _key("81ab02", "together.ai", 0, count=51, source="config:together.ai", token=None),
            _key("81ab03", "together-2", 1, count=48),
            _key("81ab04", "old", 2, count=12)
            | _benched(now, 402, since=1.8 * _HOUR, wait=_DAY, said="Credit balance is too low"),
            _key("81ab05", "half-written", 3) | {"priority": "first"},
        ],
    }


def a_reserve() -> dict[str, Any]:
    """Return a key that nobody uses: the demo's hour ends with it paused."""
    return _key("81ab06", "reserve", 4)


def _key(
    identity: str,
    label: str,
    priority: int,
    *,
    count: int = 0,
    source: str = "manual",
    token: str | None = "",
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": identity,
        "label": label,
        "auth_type": "api_key",
        "priority": priority,
        "source": source,
    }
    if token is not None:
        row["access_token"] = token or f"sk-demo-{identity}-opens-nothing"
    return {**row, **CLEAN_STATUS, "request_count": count}


def _login(
    identity: str,
    label: str,
    priority: int,
    now: float,
    *,
    ends: float,
    count: int,
    source: str = "manual:device_code",
) -> dict[str, Any]:
    import jwt

    claims = {"sub": identity, "scope": "inference:invoke", "exp": int(now + ends)}
    token = jwt.encode(claims, "a demo's signing key opens nothing at all", algorithm="HS256")
    row = _key(identity, label, priority, count=count, source=source, token=token)
    return {**row, "auth_type": "oauth", "refresh_token": f"demo-refresh-{identity}"}


def _benched(
    now: float,
    code: int,
    *,
    since: float,
    said: str,
    wait: float | None = None,
    reason: str | None = None,
    dead: bool = False,
) -> dict[str, Any]:
    return {
        "last_status": "dead" if dead else "exhausted",
        "last_status_at": now - since,
        "last_error_code": code,
        "last_error_reason": reason,
        "last_error_message": said,
        "last_error_reset_at": None if wait is None else now - since + wait,
    }
