"""What may be loaded with what. Each question is asked in a process of its own: `sys.modules` answers."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import keydeck
from fakes import in_another_process, keys, write_store

LOADED = """
import dataclasses, enum, importlib, json, os, pathlib, re, sys, threading, typing
for modules in sys.argv[1:]:
    sys.stdout.flush()
    if os.fork() == 0:
        for name in modules.split():
            importlib.import_module(name)
        print(modules, *sys.modules, sep=",")
        sys.stdout.flush()
        os._exit(0)
    if os.wait()[1]:
        sys.exit(f"{modules} cannot be imported")
"""


def loaded_with(*wanted: str) -> dict[str, set[str]]:
    """Return, for each blank-separated group of modules, what importing it in a new process loads.

    Of others' packages the top-level name is returned, of ours every module.
    """
    found = {}
    for line in in_another_process(LOADED, *wanted).splitlines():
        modules, *names = line.split(",")
        found[modules] = {name if name.startswith("keydeck") else name.partition(".")[0] for name in names}
    return found


@functools.cache
def lower() -> dict[str, set[str]]:
    """Return what each module below the dashboard loads, asked once."""
    return loaded_with(*LOWER)


def modules_of(package: str) -> Iterator[str]:
    """Yield a package's modules, itself included."""
    yield package
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        yield module.name


LOWER = [name for package in ("engine", "live", "present") for name in modules_of(f"keydeck.{package}")]


def test_the_modules_below_the_dashboard_were_found() -> None:
    """The list that the next tests go through is that of the real tree."""
    assert {
        "keydeck.engine.pool",
        "keydeck.engine.config_edit",
        "keydeck.live.watch",
        "keydeck.present.rows",
    } < set(LOWER)
    assert len(LOWER) > 30


@pytest.mark.parametrize("module", LOWER)
def test_no_module_below_the_dashboard_knows_a_screen(module: str) -> None:
    """Importing it alone loads neither Textual nor Rich, nor anything of ours above it."""
    loaded = lower()[module]
    assert module in loaded
    assert not {"textual", "rich"} & loaded
    layers = ["keydeck.engine", "keydeck.live", "keydeck.present", "keydeck.dashboard", "keydeck.cli"]
    own = next(place for place, layer in enumerate(layers) if module.startswith(layer))
    above = tuple(f"{layer}" for layer in (*layers[own + 1 :], "keydeck.demo"))
    assert not [name for name in loaded if name.startswith(above)]


@pytest.mark.parametrize(
    "module",
    [
        "keydeck",
        "keydeck.engine",
        "keydeck.engine.pool",
        "keydeck.engine.acts",
        "keydeck.engine.file_store",
        "keydeck.engine.discovery",
    ],
)
def test_importing_the_engine_loads_nothing_heavy(module: str) -> None:
    """An agent that imports the engine pays for none of the libraries that only some acts need."""
    heavy = {"yaml", "filelock", "jwt", "textual", "rich", "click", "httpx", "watchfiles"}
    assert not heavy & loaded_with(module)[module]


def test_importing_keydeck_loads_nothing_of_ours() -> None:
    """`import keydeck` costs nothing until something is used."""
    assert not [name for name in loaded_with("keydeck")["keydeck"] if name.startswith("keydeck.")]


def test_the_package_offers_what_it_says() -> None:
    """The lazy names are there, others are not, and the version is a string."""
    from keydeck import engine

    assert keydeck.load_pool is engine.load_pool
    assert keydeck.CredentialPool is engine.CredentialPool
    assert keydeck.__version__
    assert all(hasattr(keydeck, name) for name in keydeck.__all__)
    assert all(hasattr(engine, name) for name in engine.__all__)
    with pytest.raises(AttributeError, match="no_such_thing"):
        keydeck.no_such_thing  # noqa: B018 - the access is the test


def test_a_command_does_not_load_the_dashboard() -> None:
    """Listing in a script does not pay for Textual."""
    commands = [
        f"keydeck.cli keydeck.cli.auth_{name}"
        for name in ("list", "add", "remove", "reset", "strategy", "status", "explain")
    ]
    for loaded in loaded_with(*commands).values():
        assert "click" in loaded
        assert not {"textual", "rich", "watchfiles", "httpx"} & loaded


LOOK = """
import sys
from keydeck import load_pool
pool = load_pool("openrouter", home=sys.argv[1])
pool.select(); pool.entries(); pool.peek()
print(*sys.modules)
"""


def test_a_pick_takes_no_lock_and_decodes_no_token(home: Path) -> None:
    """Opening a pool of keys and selecting loads neither filelock nor jwt."""
    write_store(home, {"openrouter": keys("aaa001")})
    loaded = set(in_another_process(LOOK, home).split())
    assert "keydeck.engine.pool" in loaded
    assert not {"filelock", "jwt", "click", "textual"} & loaded


FAILURES = """
import sys
from keydeck import load_pool
pool = load_pool("openrouter", home=sys.argv[1])
pool.select()
for context in (
    {"reason": "rate_limit", "message": "Rate limit exceeded: free-models-per-min", "reset_at": 1e9},
    {"message": "Please try again in 20s.", "headers": {"x-ratelimit-reset": "30"}},
):
    before = set(sys.modules)
    pool.mark_exhausted_and_rotate(status_code=429, error_context=context)
    print("loaded:", *sorted(set(sys.modules) - before))
"""


def test_a_failure_loads_nothing(home: Path) -> None:
    """Not even the first one of a process: whoever reports it has a request to send again."""
    write_store(home, {"openrouter": keys("aaa001", "bbb002", "ccc003")})
    assert in_another_process(FAILURES, home).splitlines() == ["loaded:", "loaded:"]
