"""hermes' helper functions over the configuration: which pool serves an endpoint, which strategy it follows."""

from __future__ import annotations

from typing import Final

from keydeck.engine.config import EMPTY_CONFIG, Config, custom_pool_key_for
from keydeck.engine.errors import ConfigError
from keydeck.engine.home import Home, locate_home
from keydeck.engine.providers import canonical, is_custom
from keydeck.engine.snapshot import HomeReader

_KNOWN_TO_HERMES: Final = frozenset({"fill_first", "round_robin", "least_used", "random"})


def get_custom_provider_pool_key(
    base_url: str | None, provider_name: str | None = None, *, home: Home | None = None
) -> str | None:
    """Return the ``custom:`` pool key that an endpoint's address, or its name, belongs to (hermes-pool 2.3)."""
    return custom_pool_key_for(_config(home), base_url, provider_name)


def list_custom_pool_providers(*, home: Home | None = None) -> list[str]:
    """Return the custom pool keys that have rows in auth.json, sorted."""
    snapshot = HomeReader(home or locate_home()).store.snapshot()
    return sorted(name for name, rows in snapshot.pools.items() if is_custom(name) and rows)


def get_pool_strategy(provider: str, *, home: Home | None = None) -> str:
    """Return the strategy hermes follows for a provider: its configured one, fill_first if it knows it not."""
    written = _config(home).strategy_of(canonical(provider))
    return written if written in _KNOWN_TO_HERMES else "fill_first"


def _config(home: Home | None) -> Config:
    """Read the configuration; a broken one reads as none, which is what hermes does here."""
    reader = HomeReader(home or locate_home())
    try:
        return reader.config()
    except ConfigError:
        return EMPTY_CONFIG
