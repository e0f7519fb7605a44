"""What config.yaml says about pools, endpoints and the fallback chain, and the values we write there.

The rule here: whatever is in the file, the answer is a `Config` or a `ConfigBroken` of one line that quotes
none of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from keydeck.engine.cooldown_policy import DEFAULT_POLICY, Policy
from keydeck.engine.errors import ConfigBroken, ConfigReadOnly, Refused
from keydeck.engine.files import Disk, make_dir, read_file, write_whole
from keydeck.engine.home import Home
from keydeck.engine.providers import CUSTOM_PREFIX
from keydeck.engine.secret import Secret

if TYPE_CHECKING:
    from keydeck.engine.config_edit import Document
    from keydeck.engine.cooldown_config import CooldownProblem

# hermes knows the first four and reads any other name as fill_first (hermes-pool 2.2).
KNOWN_STRATEGIES: Final = ("fill_first", "round_robin", "least_used", "random", "sticky")
DEFAULT_STRATEGY: Final = "fill_first"
DEFAULT_HISTORY_MIB: Final = 64
DEFAULT_HISTORY_BYTES: Final = DEFAULT_HISTORY_MIB << 20
DEFAULT_HISTORY_S: Final = 30 * 86400.0
DEFAULT_LEASE_S: Final = 600.0
STRATEGY_SECTION: Final = "credential_pool_strategies"

# Spellings that stand in for a field that is absent, in hermes' order (hermes-pool 2.3).
_ALIASES: Final = (
    ("api_key_env", "key_env"),
    ("apiKey", "api_key"),
    ("baseUrl", "base_url"),
    ("keyEnv", "key_env"),
    ("apiKeyEnv", "key_env"),
)
_URL_FIELDS: Final = ("base_url", "url", "api")

_REFERENCE: Final = re.compile(r"\$\{([^}]+)\}")
_PLACEHOLDER: Final = re.compile(r"\{[^}]+\}")


class CustomEndpoint(NamedTuple):
    """One endpoint the operator added, from either shape of the file (hermes-pool 2.3)."""

    name: str
    pool_key: str
    map_key: str | None
    base_url: str
    api_key: Secret | None
    api_key_unset: str | None
    key_env: str | None
    enabled: bool = True


class FallbackHop(NamedTuple):
    """One place to go when the primary cannot serve (hermes-recovery B.4)."""

    provider: str
    model: str
    base_url: str | None


class ModelEndpoint(NamedTuple):
    """The endpoint written straight into the ``model`` section, with its key (hermes-pool 4.5)."""

    base_url: str
    api_key: Secret


class Config(NamedTuple):
    """The part of config.yaml that concerns pools.

    Args:
        strategies: pool key as written to strategy as written, stripped and lower-cased. A key in another
            case than the pool's is kept and never matches: hermes does the same.
        endpoints: the ``custom_providers`` list, then the ``providers`` map; each pool key once.
        fallback: the chain in order, each hop once.
        model_provider: ``model.provider``, stripped and lower-cased.
        model_endpoint: the ``model`` section, when it is an endpoint of its own with a usable key.
        lookup: (base URL, pool key) of the entries hermes itself searches, in its order.
        history_bytes: how much journal is kept at most, from ``credential_pool.history.mib``.
        history_s: for how long, in seconds, from ``credential_pool.history.days``.
        lease_ttl_s: how long a lease lasts that nobody gives back, from ``credential_pool.leases.ttl_s``.
        leases_at_most: how many leases a row may have at once, from ``credential_pool.leases.at_most``.
        cooldown: the table and what ``credential_pool.cooldown`` changes in it.
        cooldown_problems: the entries there that do not hold, by line.
    """

    strategies: Mapping[str, str] = MappingProxyType({})
    endpoints: tuple[CustomEndpoint, ...] = ()
    fallback: tuple[FallbackHop, ...] = ()
    model_provider: str | None = None
    model_endpoint: ModelEndpoint | None = None
    lookup: tuple[tuple[str, str], ...] = ()
    history_bytes: int = DEFAULT_HISTORY_BYTES
    history_s: float = DEFAULT_HISTORY_S
    lease_ttl_s: float = DEFAULT_LEASE_S
    leases_at_most: int | None = None
    cooldown: Policy = DEFAULT_POLICY
    cooldown_problems: tuple[CooldownProblem, ...] = ()

    def strategy_of(self, pool_key: str) -> str:
        """Return the strategy written for a pool, known or not, else the default."""
        return self.strategies.get(pool_key.strip().lower(), DEFAULT_STRATEGY)


EMPTY_CONFIG: Final = Config()


def custom_pool_key(name: str) -> str:
    """Return the pool key of a custom endpoint's display name (hermes-pool 1.3)."""
    return CUSTOM_PREFIX + name.strip().lower().replace(" ", "-")


def read_config(home: Home, env: Mapping[str, str], disk: Disk | None = None) -> Config:
    """Read a home's config.yaml; a missing file is an empty one.

    Raises:
        ConfigBroken: it cannot be read or is no YAML mapping; nothing may be concluded from it.
    """
    data = _read_bytes(home.config_path, disk or Disk())
    return EMPTY_CONFIG if data is None else parse_config(data, env, home.config_path)


def parse_config(data: bytes, env: Mapping[str, str], path: Path) -> Config:
    """Make sense of the bytes of a config.yaml; `env` is what ``${VAR}`` refers to.

    Raises:
        ConfigBroken: not UTF-8, not YAML, or not a mapping.
    """
    from keydeck.engine.config_edit import parse_mapping

    document = parse_mapping(data, path)
    model = _model_section(document)
    policy, problems = _cooldown(document, data, path)
    return Config(
        strategies=MappingProxyType(dict(_strategies(document.get(STRATEGY_SECTION), env))),
        endpoints=_once_per_pool([*_listed(document, env), *_mapped(document, env)]),
        fallback=_fallback(document, env),
        model_provider=_text(model.get("provider"), env).lower() or None,
        model_endpoint=_model_endpoint(model, env),
        lookup=tuple(_hermes_lookup(document, env)),
        history_bytes=int((_limit(document, "history", "mib") or DEFAULT_HISTORY_MIB) * (1 << 20)),
        history_s=(_limit(document, "history", "days") or DEFAULT_HISTORY_S / 86400) * 86400,
        lease_ttl_s=_limit(document, "leases", "ttl_s") or DEFAULT_LEASE_S,
        leases_at_most=int(most) if (most := _limit(document, "leases", "at_most")) and most >= 1 else None,
        cooldown=policy,
        cooldown_problems=problems,
    )


def _cooldown(document: Document, data: bytes, path: Path) -> tuple[Policy, tuple[CooldownProblem, ...]]:
    section = document.get("credential_pool")
    if not isinstance(section, dict) or section.get("cooldown") is None:
        return DEFAULT_POLICY, ()
    from keydeck.engine.config_edit import composed
    from keydeck.engine.cooldown_config import read_cooldown

    return read_cooldown(composed(data, path))


def _limit(document: Document, section: str, name: str) -> float | None:
    """Return a number of a section of ``credential_pool``; None where there is none above zero."""
    pool = document.get("credential_pool")
    limits = pool.get(section) if isinstance(pool, dict) else None
    value = limits.get(name) if isinstance(limits, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 < value < 1e9 else None


def custom_pool_key_for(config: Config, base_url: str | None, provider_name: str | None = None) -> str | None:
    """Return the custom pool that serves a URL; where a name is given and known, the name decides.

    The answer is hermes' wherever hermes has one (hermes-pool 2.3). Endpoints that only we read come after.
    """
    if not base_url:
        return None
    url = _bare_url(base_url)
    key = custom_pool_key(provider_name) if provider_name else None
    ours = tuple((endpoint.base_url, endpoint.pool_key) for endpoint in config.endpoints)
    for view in (config.lookup, ours):
        if key is not None and any(key == known for _, known in view):
            return key
        if match := next((known for at, known in view if at and at == url), None):
            return match
    return None


def set_strategy(
    home: Home,
    pool_key: str,
    strategy: str,
    *,
    env: Mapping[str, str],
    disk: Disk | None = None,
    before_write: Callable[[Path, bytes], None] | None = None,
) -> bool:
    """Make `strategy` the one written for a pool and change no other byte; say whether anything was written.

    Args:
        home: whose config.yaml; one that is not there is created.
        pool_key: the pool, in any case.
        strategy: one of `KNOWN_STRATEGIES`.
        env: what ``${VAR}`` refers to, and where ``HERMES_MANAGED`` may stand.
        disk: the I/O seam.
        before_write: gets the path and the old bytes of a file that is about to be replaced.

    Raises:
        ConfigReadOnly: a package manager owns the home, or the system refuses.
        ConfigBroken: the file cannot be understood, so it is not touched.
        Refused: no such strategy, no safe place for it, or another writer was faster.
    """
    key = pool_key.strip().lower()
    if strategy not in KNOWN_STRATEGIES or not key:
        raise Refused("that strategy is not known" if key else "no pool is named")

    def edit(data: bytes, path: Path) -> bytes:
        if parse_config(data, env, path).strategies.get(key) == strategy:
            return data
        from keydeck.engine.config_edit import with_word

        return with_word(data, STRATEGY_SECTION, key, strategy, path)

    return change_config(home, edit, env=env, disk=disk, before_write=before_write)


def change_config(
    home: Home,
    edit: Callable[[bytes, Path], bytes],
    *,
    env: Mapping[str, str],
    disk: Disk | None = None,
    before_write: Callable[[Path, bytes], None] | None = None,
) -> bool:
    """Replace config.yaml by what `edit` makes of its bytes, none for a missing file; say whether it was written.

    Raises:
        ConfigReadOnly: a package manager owns the home, or the system refuses.
        Refused: another writer was faster.
    """
    path, disk = home.config_path, disk or Disk()
    check_not_managed(home, env, disk)
    before = _read_bytes(path, disk)
    after = edit(before or b"", path)
    if after == (before or b""):
        return False
    if before is not None and before_write is not None:
        before_write(path, before)
    if _read_bytes(path, disk) != before:
        raise Refused("config.yaml changed meanwhile; try again")
    _write(path, after, disk)
    return True


def check_not_managed(home: Home, env: Mapping[str, str], disk: Disk) -> None:
    """Refuse to write where a package manager would undo it (hermes-pool 1.1); any value counts, even "0"."""
    managed = bool(env.get("HERMES_MANAGED", "").strip())
    try:
        disk.stat(home.path / ".managed")
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise ConfigReadOnly(home.config_path, f"cannot look for .managed: {_reason(error)}") from error
    else:
        managed = True
    if managed:
        raise ConfigReadOnly(home.config_path, "a package manager owns this home; change it there")


def _read_bytes(path: Path, disk: Disk) -> bytes | None:
    """Return the file as it is, or None when there is none."""
    try:
        return read_file(disk, path)[0]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigBroken(path, f"cannot be read: {_reason(error)}") from error


def _write(path: Path, data: bytes, disk: Disk) -> None:
    try:
        make_dir(disk, path.parent)
        write_whole(disk, path, data)
    except OSError as error:
        raise ConfigReadOnly(path, f"cannot be written: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _expanded(text: str, env: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda match: env.get(match[1], match[0]), text)


def _text(value: object, env: Mapping[str, str]) -> str:
    """Return a string value, expanded and stripped; nothing for any other type."""
    return _expanded(value, env).strip() if isinstance(value, str) else ""


def _scalar(value: object, env: Mapping[str, str]) -> str:
    """Return a string or a value of another simple type as text; nothing for null and for nested values."""
    if isinstance(value, str):
        return _text(value, env)
    from datetime import date  # it came with yaml

    if not isinstance(value, int | float | date):
        return ""
    try:
        return str(value)
    except ValueError:  # more digits than Python turns into text
        return ""


def _items(value: object) -> list[Document]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _strategies(section: object, env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key, value in section.items() if isinstance(section, dict) else ():
        # hermes takes every falsy value for "not set" (hermes-pool 2.2).
        if isinstance(key, str) and value:
            if strategy := _scalar(value, env).lower():
                yield key, strategy
            elif not isinstance(value, str):
                yield key, type(value).__name__  # a list or map: never its content, which may be anything


def _bare_url(url: str) -> str:
    return url.strip().rstrip("/")


def _listed(document: Document, env: Mapping[str, str]) -> Iterator[CustomEndpoint]:
    for entry in map(_spelled_out, _items(document.get("custom_providers"))):
        if isinstance(entry.get("name"), str):
            url = next(_urls(entry, env), "")
            yield _endpoint(entry, _text(entry["name"], env), None, url, env)


def _mapped(document: Document, env: Mapping[str, str]) -> Iterator[CustomEndpoint]:
    providers = document.get("providers")
    for key, value in providers.items() if isinstance(providers, dict) else ():
        if not isinstance(value, dict):
            continue
        entry = _spelled_out(value)
        map_key = key if isinstance(key, str) else _scalar(key, env)
        name = _text(entry.get("name"), env) or map_key.strip()
        url = next(filter(_is_url, _urls(entry, env)), "")
        if name and url:
            yield _endpoint(entry, name, map_key, url, env)


def _spelled_out(entry: Document) -> Document:
    entry = dict(entry)
    for alias, name in _ALIASES:
        if alias in entry:
            entry.setdefault(name, entry[alias])
    return entry


def _urls(entry: Document, env: Mapping[str, str]) -> Iterator[str]:
    return (text for name in _URL_FIELDS if (text := _text(entry.get(name), env)))


def _is_url(text: str) -> bool:
    if _PLACEHOLDER.search(text):
        return True
    try:
        parts = urlsplit(text)
    except ValueError:  # an IPv6 address without its closing bracket
        return False
    return bool(parts.scheme and parts.netloc)


def _endpoint(
    entry: Document, name: str, map_key: str | None, url: str, env: Mapping[str, str]
) -> CustomEndpoint:
    # hermes takes a bare number for a key in the list, and drops it in the map.
    api_key, unset = _api_key(entry, env, numbers=map_key is None)
    return CustomEndpoint(
        name=name,
        pool_key=custom_pool_key(name),
        map_key=map_key,
        base_url=_bare_url(url),
        api_key=api_key,
        api_key_unset=unset,
        key_env=_text(entry.get("key_env"), env) or None,
        enabled=entry.get("enabled") is not False,
    )


def _api_key(entry: Document, env: Mapping[str, str], *, numbers: bool) -> tuple[Secret | None, str | None]:
    """Return the literal key, or the variable it waits for; `numbers` says whether one can be a key."""
    value = entry.get("api_key") or ""
    key = _scalar(value, env) if numbers and not isinstance(value, bool) else _text(value, env)
    unset = _unset_in(value, env)
    return (None, unset) if unset or not key else (Secret(key), None)


def _unset_in(value: object, env: Mapping[str, str]) -> str | None:
    """Return the first variable that a value refers to and that is not set."""
    names = _REFERENCE.findall(value) if isinstance(value, str) else ()
    return next((name for name in names if name not in env), None)


def _once_per_pool(endpoints: Iterable[CustomEndpoint]) -> tuple[CustomEndpoint, ...]:
    first: dict[str, CustomEndpoint] = {}
    for endpoint in endpoints:
        first.setdefault(endpoint.pool_key, endpoint)
    return tuple(first.values())


def _hermes_lookup(document: Document, env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what hermes searches: the list if there is one, even an empty one, else the map."""
    listed = document.get("custom_providers")
    if listed is None:
        yield from ((endpoint.base_url, endpoint.pool_key) for endpoint in _mapped(document, env))
    for entry in _items(listed):
        if isinstance(entry.get("name"), str):
            yield _bare_url(_text(entry.get("base_url"), env)), custom_pool_key(_text(entry["name"], env))


def _fallback(document: Document, env: Mapping[str, str]) -> tuple[FallbackHop, ...]:
    hops: dict[tuple[str, str, str], FallbackHop] = {}
    for section in (document.get("fallback_providers"), document.get("fallback_model")):
        for entry in _items([section] if isinstance(section, dict) else section):
            provider, model = (_scalar(entry.get(name) or "", env) for name in ("provider", "model"))
            url = _bare_url(_text(entry.get("base_url"), env))
            if provider and model:
                identity = (provider.lower(), model.lower(), url.lower())
                hops.setdefault(identity, FallbackHop(provider, model, url or None))
    return tuple(hops.values())


def _model_section(document: Document) -> Document:
    """Return the ``model`` map with what stands at the root filled in where it is empty (hermes-pool 2.2)."""
    section = document.get("model")
    model = dict(section) if isinstance(section, dict) else {}
    candidates = (
        ("provider", document.get("provider")),
        ("base_url", document.get("base_url")),
        ("base_url", document.get("api_base")),
        ("base_url", model.get("api_base")),
    )
    for key, value in candidates:
        if value and not model.get(key):
            model[key] = value
    return model


def _model_endpoint(model: Document, env: Mapping[str, str]) -> ModelEndpoint | None:
    base_url = _bare_url(_text(model.get("base_url"), env))
    name = next((name for name in ("api_key", "api") if _text(model.get(name), env)), None)
    # A reference to a variable that is not set is no key; hermes would send it as one.
    if name is None or not base_url or _unset_in(model[name], env):
        return None
    is_custom = _text(model.get("provider"), env).lower() == "custom"
    return ModelEndpoint(base_url, Secret(_text(model[name], env))) if is_custom else None
