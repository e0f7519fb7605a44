"""The provider registry, read from ``providers.yaml``: one canonical id for every name a provider goes by."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

CUSTOM_PREFIX: Final = "custom:"


class Provider(NamedTuple):
    """One row of the registry; see the head of ``providers.yaml`` for the fields."""

    id: str
    name: str
    type: str
    login: bool = False
    base_url: str = ""
    base_url_env: str | None = None
    key_envs: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


@functools.cache
def registry() -> Mapping[str, Provider]:
    """Return every known provider by canonical id, in the file's order."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = Path(__file__).with_name("providers.yaml").read_text(encoding="utf-8")
    return MappingProxyType({row["id"]: _provider(row) for row in yaml.load(text, Loader=loader)})  # noqa: S506 - a safe loader


def _provider(row: dict[str, Any]) -> Provider:
    lists = {name: tuple(row.get(name, ())) for name in ("key_envs", "aliases")}
    return Provider(**{**row, **lists})


@functools.cache
def _canonical_ids() -> Mapping[str, str]:
    return {name: row.id for row in registry().values() for name in (row.id, *row.aliases)}


def canonical(name: str) -> str:
    """Return the one id of a provider or pool key; unknown names come back stripped and lower-cased."""
    plain = name.strip().lower()
    return _canonical_ids().get(plain, plain)


def names_of(provider: str) -> tuple[str, ...]:
    """Return every pool key under which rows of this canonical provider may be stored, its own first."""
    known = registry().get(provider)
    return (provider, *known.aliases) if known else (provider,)


def is_custom(provider: str) -> bool:
    """Tell whether this is the pool of an endpoint from config.yaml."""
    return provider.startswith(CUSTOM_PREFIX)


def default_base_url(provider: str) -> str | None:
    """Return the registry's endpoint of a provider, or None where it has none."""
    known = registry().get(provider)
    return known.base_url if known and known.base_url else None


def unknown_provider(provider: str, known: Iterable[str]) -> str:
    """Return what to say of a provider that is none, with the name that was likely meant."""
    import difflib

    close = difflib.get_close_matches(canonical(provider), list(known), n=1)
    return f"unknown provider {provider!r}" + (f"; did you mean {close[0]}?" if close else "")
