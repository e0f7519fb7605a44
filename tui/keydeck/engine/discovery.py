"""What the surroundings offer: keys in the environment, logins of other tools, endpoints in config.yaml.

Nothing here writes, calls a network or runs a command. An offer is an overlay in memory: it lends its secret to
the stored row of the same source, or stands for itself until somebody uses it (design 3, hermes-pool 4).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from keydeck.engine.config import Config
from keydeck.engine.credential import Credential, Row, derived_id, is_manual, is_owned
from keydeck.engine.files import Disk, read_file
from keydeck.engine.home import Home, Surroundings
from keydeck.engine.providers import CUSTOM_PREFIX, Provider, default_base_url, is_custom, registry
from keydeck.engine.secret import Secret, fingerprint, repr_without, why_not_a_secret
from keydeck.engine.store import EMPTY_STORE, StoreSnapshot
from keydeck.engine.times import parse_time
from keydeck.engine.tokens import identity

ENV_PREFIX: Final = "env:"
CONFIG_PREFIX: Final = "config:"

# Extra fields of a nous login that hermes copies into its row (hermes-pool 1.4).
_NOUS_EXTRAS: Final = (
    *("token_type", "scope", "client_id", "portal_base_url", "obtained_at", "expires_in"),
    *("agent_key_id", "agent_key_expires_in", "agent_key_reused", "agent_key_obtained_at", "tls"),
)
_ANTHROPIC_RANK: Final = {
    "env:ANTHROPIC_TOKEN": 0,
    "env:CLAUDE_CODE_OAUTH_TOKEN": 1,
    "hermes_pkce": 2,
    "claude_code": 3,
    "env:ANTHROPIC_API_KEY": 4,
}
_UNRANKED: Final = 5
_SHORT_SOURCES_THAT_CHOOSE: Final = frozenset({"device_code", "loopback_pkce", "hermes_pkce"})


class Scene(NamedTuple):
    """Everything discovery looks at, read once."""

    home: Home
    around: Surroundings
    env: Mapping[str, str]
    """`.env` over the process environment."""
    store: StoreSnapshot
    config: Config
    config_is_known: bool = True
    disk: Disk = Disk()
    root: StoreSnapshot = EMPTY_STORE
    """The root's store, in a profile: its logins show through, provider by provider (hermes-pool 1.2)."""

    def __repr__(self) -> str:
        return repr_without(self, "env")

    def login(self, provider: str) -> Mapping[str, Any]:
        """Return a provider's login block, the home's own before the root's."""
        return self.store.logins.get(provider) or self.root.logins.get(provider, {})

    def is_inherited(self, provider: str) -> bool:
        """Tell whether that block is the root's."""
        return not self.store.logins.get(provider) and provider in self.root.logins


def discover(scene: Scene) -> dict[str, list[Credential]]:
    """Return every offer by provider, less what the operator suppressed.

    An offer whose value cannot be a key has no secret, and says why in `unset`.
    """
    offers: dict[str, list[Credential]] = {}
    for offer in (*_from_environment(scene), *_from_logins(scene), *_from_config(scene)):
        if offer.source not in scene.store.suppressed.get(offer.provider, ()):
            offers.setdefault(offer.provider, []).append(offer)
    return offers


def overlay(scene: Scene, provider: str, rows: tuple[Row, ...], offers: list[Credential]) -> tuple[Row, ...]:
    """Return the pool as it would be used: stored rows with borrowed secrets lent, then the unused offers.

    The order is the order in which rows are tried.
    """
    by_source = {offer.source: offer for offer in reversed(offers)}
    lent = [_lend(scene, row, by_source) if isinstance(row, Credential) else row for row in rows]
    stored_sources = {row.source for row in rows if isinstance(row, Credential)}
    last = max((row.priority for row in rows if isinstance(row, Credential)), default=-1)
    fresh = [offer for offer in offers if offer.live_secret and offer.source not in stored_sources]
    offered = [offer._replace(priority=last + 1 + place) for place, offer in enumerate(fresh)]
    return in_order(provider, (*lent, *offered))


def in_order(provider: str, rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return rows in the order in which they are tried."""
    return tuple(sorted(rows, key=_anthropic_rank if provider == "anthropic" else _rank))


def _rank(row: Row) -> tuple[float, ...]:
    """Order of trial: by priority, file order among equals."""
    return (0, row.priority) if isinstance(row, Credential) else (2,)


def _anthropic_rank(row: Row) -> tuple[float, ...]:
    """Order of trial where the source counts, too (4.6)."""
    if not isinstance(row, Credential) or is_manual(row.source):
        return _rank(row)
    return (1, _ANTHROPIC_RANK.get(row.source, _UNRANKED), row.priority)


def _lend(scene: Scene, row: Credential, offers: Mapping[str, Credential]) -> Credential:
    offer = offers.get(row.source)
    if offer is None:
        return row if row.live_secret else row._replace(unset=_why_unset(scene, row))
    if not offer.live_secret and not is_owned(row.provider, row.source):
        return row._replace(unset=offer.unset)
    lent = ("access_token", "refresh_token", "agent_key", "base_url", "inference_base_url")
    ends = ("expires_at", "expires_at_ms", "agent_key_expires_at", "last_refresh")
    newer = {name: getattr(offer, name) for name in (*lent, *ends) if getattr(offer, name) is not None}
    return row._replace(**newer)


def _why_unset(scene: Scene, row: Credential) -> str | None:
    if is_owned(row.provider, row.source):
        return None
    if row.source in scene.store.suppressed.get(row.provider, ()):
        return f"{row.source} was removed here"
    if row.source.startswith(ENV_PREFIX):
        return f"{row.source.removeprefix(ENV_PREFIX)} unset"
    if row.source.startswith(CONFIG_PREFIX) or row.source == "model_config":
        return _why_not_in_config(scene, row)
    return f"{row.source} not found"


def _why_not_in_config(scene: Scene, row: Credential) -> str:
    if not scene.config_is_known:
        return "config.yaml cannot be read"
    name = row.source.removeprefix(CONFIG_PREFIX)
    off = any(endpoint.name == name and not endpoint.enabled for endpoint in scene.config.endpoints)
    return "disabled in config.yaml" if off else "not in config.yaml"


def _offer(provider: str, source: str, label: str, value: str | None, **fields: Any) -> Credential:
    """Build an offer; every process derives the same id for it."""
    secret, unset = None, None
    if value is not None:
        refusal = why_not_a_secret(value)
        secret, unset = (None, f"{label}: {refusal}") if refusal else (Secret(value), None)
    return Credential(
        id=derived_id(provider, source),
        provider=provider,
        source=source,
        label=label,
        access_token=secret,
        unset=fields.pop("unset", unset),
        stored_under=provider,
        stored=False,
        **fields,
    )


# --- the environment ---------------------------------------------------------------------------------------


def _from_environment(scene: Scene) -> Iterator[Credential]:
    for provider in registry().values():
        if provider.type != "api_key":
            continue
        for name in provider.key_envs:
            if value := scene.env.get(name):
                oauth = provider.id == "anthropic" and value.startswith("sk-ant-oat")
                yield _offer(
                    provider.id,
                    ENV_PREFIX + name,
                    name,
                    value,
                    auth_type="oauth" if oauth else "api_key",
                    base_url=_base_url(scene, provider, value),
                )


def _base_url(scene: Scene, provider: Provider, key: str) -> str | None:
    chosen = scene.env.get(provider.base_url_env or "", "").strip().rstrip("/")
    if chosen:
        return chosen
    if provider.id == "kimi-coding" and key.startswith("sk-kimi-"):
        return "https://api.kimi.com/coding"
    if provider.id == "zai":
        return _zai_endpoint(scene, key) or provider.base_url
    return provider.base_url or None


def _zai_endpoint(scene: Scene, key: str) -> str | None:
    """Return what hermes once found by probing for this key; we never probe (design 7.5)."""
    found = scene.login("zai").get("detected_endpoint")
    if not isinstance(found, dict) or found.get("key_hash") != fingerprint(key).removeprefix("sha256:"):
        return None
    url = found.get("base_url")
    return url if isinstance(url, str) else None


# --- logins ------------------------------------------------------------------------------------------------


def _from_logins(scene: Scene) -> Iterator[Credential]:
    yield from _anthropic(scene)
    yield from _nous(scene)
    for provider in ("openai-codex", "xai-oauth"):
        yield from _device_login(scene, provider)
    yield from _minimax(scene)
    yield from _qwen(scene)
    yield from _copilot(scene)


def _anthropic(scene: Scene) -> Iterator[Credential]:
    env = scene.env
    key_only = env.get("ANTHROPIC_API_KEY") and not (
        env.get("ANTHROPIC_TOKEN") or env.get("CLAUDE_CODE_OAUTH_TOKEN")
    )
    if key_only or not _anthropic_was_chosen(scene):
        return
    claude = _json_file(scene.disk, scene.around.user_home / ".claude" / ".credentials.json")
    places = {
        "hermes_pkce": _json_file(scene.disk, scene.home.path / ".anthropic_oauth.json"),
        "claude_code": claude.get("claudeAiOauth"),
    }
    for source, block in places.items():
        if isinstance(block, dict) and (token := _text(block, "accessToken")):
            yield _login(
                "anthropic",
                source,
                token,
                refresh_token=_text(block, "refreshToken"),
                expires_at_ms=_milliseconds(block.get("expiresAt")),
                base_url=default_base_url("anthropic"),
            )


def _anthropic_was_chosen(scene: Scene) -> bool:
    """Hermes takes Claude Code's login only when the user chose anthropic somewhere (hermes-pool 4.4)."""
    active = (scene.store.active_provider or "").strip().lower()
    if "anthropic" in (active, scene.config.model_provider):
        return True
    names = ("ANTHROPIC_TOKEN", "ANTHROPIC_API_KEY")
    if any(not why_not_a_secret(scene.around.env.get(name, "")) for name in names):
        return True
    rows = scene.store.pools.get("anthropic", ())
    return any(isinstance(row, Credential) and _chooses(scene, row) for row in rows)


def _chooses(scene: Scene, row: Credential) -> bool:
    if row.source.startswith(ENV_PREFIX):
        return bool(scene.env.get(row.source.removeprefix(ENV_PREFIX)))
    return is_manual(row.source) or row.source in _SHORT_SOURCES_THAT_CHOOSE


def _nous(scene: Scene) -> Iterator[Credential]:
    block = scene.login("nous")
    token, agent_key = _text(block, "access_token"), _text(block, "agent_key")
    if token or agent_key:
        yield _login(
            "nous",
            "device_code",
            token,
            label=_text(block, "label"),
            refresh_token=_text(block, "refresh_token"),
            agent_key=Secret(agent_key) if agent_key else None,
            agent_key_expires_at=_text(block, "agent_key_expires_at"),
            expires_at=_text(block, "expires_at"),
            inference_base_url=_text(block, "inference_base_url"),
            base_url=_text(block, "inference_base_url") or default_base_url("nous"),
            extra={name: block[name] for name in _NOUS_EXTRAS if block.get(name) is not None},
            inherited=scene.is_inherited("nous"),
        )


def _device_login(scene: Scene, provider: str) -> Iterator[Credential]:
    block = scene.login(provider)
    tokens = block.get("tokens")
    if isinstance(tokens, dict) and (token := _text(tokens, "access_token")):
        yield _login(
            provider,
            "device_code",
            token,
            label=_text(block, "label"),
            refresh_token=_text(tokens, "refresh_token"),
            last_refresh=_text(block, "last_refresh"),
            base_url=default_base_url(provider),
            inherited=scene.is_inherited(provider),
        )


def _minimax(scene: Scene) -> Iterator[Credential]:
    block = scene.login("minimax-oauth")
    if token := _text(block, "access_token"):
        ends = parse_time(block.get("expires_at"))
        yield _login(
            "minimax-oauth",
            "oauth",
            token,
            label=_text(block, "label"),
            refresh_token=_text(block, "refresh_token"),
            expires_at_ms=None if ends is None else ends * 1000,
            base_url=(_text(block, "inference_base_url") or default_base_url("minimax-oauth") or "").rstrip(
                "/"
            ),
            inherited=scene.is_inherited("minimax-oauth"),
        )


def _qwen(scene: Scene) -> Iterator[Credential]:
    path = scene.around.user_home / ".qwen" / "oauth_creds.json"
    block = _json_file(scene.disk, path)
    if token := _text(block, "access_token"):
        yield _login(
            "qwen-oauth",
            "qwen-cli",
            token,
            label=str(path),
            refresh_token=_text(block, "refresh_token"),
            expires_at_ms=_milliseconds(block.get("expiry_date")),
            base_url=default_base_url("qwen-oauth"),
        )


def _copilot(scene: Scene) -> Iterator[Credential]:
    """Lend GH_TOKEN to a stored ``gh_cli`` row; as an offer of its own it already is ``env:GH_TOKEN``.

    hermes would also run ``gh auth token``: we run nothing (design 7.5).
    """
    value = scene.env.get("GH_TOKEN", "")
    stored = (row.source for row in scene.store.pools.get("copilot", ()) if isinstance(row, Credential))
    if "gh_cli" in stored and value and not value.startswith("ghp_"):
        yield _offer("copilot", "gh_cli", "GH_TOKEN", value, base_url=default_base_url("copilot"))


def _login(
    provider: str, source: str, token: str | None, *, label: str | None = None, **fields: Any
) -> Credential:
    refresh = fields.pop("refresh_token", None)
    secret = Secret(token) if token else None
    offer = _offer(provider, source, label or identity(secret) or source, None, auth_type="oauth", **fields)
    return offer._replace(access_token=secret, refresh_token=Secret(refresh) if refresh else None)


# --- config.yaml -------------------------------------------------------------------------------------------


def _from_config(scene: Scene) -> Iterator[Credential]:
    for endpoint in scene.config.endpoints:
        if not endpoint.enabled:
            continue
        source = CONFIG_PREFIX + endpoint.name
        value = endpoint.api_key.reveal() if endpoint.api_key else None
        unset = f"{endpoint.api_key_unset} unset" if endpoint.api_key_unset else None
        if value or unset:
            given = {} if unset is None else {"unset": unset}
            yield _offer(endpoint.pool_key, source, endpoint.name, value, base_url=endpoint.base_url, **given)
        if endpoint.key_env and (named := scene.env.get(endpoint.key_env)):
            source = ENV_PREFIX + endpoint.key_env
            yield _offer(endpoint.pool_key, source, endpoint.key_env, named, base_url=endpoint.base_url)
    yield from _model_endpoint(scene)


def _model_endpoint(scene: Scene) -> Iterator[Credential]:
    model = scene.config.model_endpoint
    if model is None:
        return
    for endpoint in scene.config.endpoints:
        if endpoint.base_url == model.base_url:
            key = model.api_key.reveal()
            yield _offer(endpoint.pool_key, "model_config", "model_config", key, base_url=model.base_url)
            return


def custom_base_url(config: Config, provider: str) -> str | None:
    """Return the URL of a custom pool's endpoint, or None where config.yaml has none."""
    urls = (endpoint.base_url for endpoint in config.endpoints if endpoint.pool_key == provider)
    return next(urls, None) if is_custom(provider) else None


def pool_name(provider: str) -> str:
    """Return what people call a provider."""
    known = registry().get(provider)
    return known.name if known else provider.removeprefix(CUSTOM_PREFIX)


# --- files of other tools ----------------------------------------------------------------------------------


def _json_file(disk: Disk, path: Path) -> Mapping[str, Any]:
    """Read another tool's JSON object; anything else offers nothing."""
    try:
        value = json.loads(read_file(disk, path)[0])
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(block: Mapping[str, Any], key: str) -> str | None:
    value = block.get(key)
    return value if isinstance(value, str) and value else None


def _milliseconds(value: Any) -> float | None:
    seconds = parse_time(value)
    return None if seconds is None else seconds * 1000
