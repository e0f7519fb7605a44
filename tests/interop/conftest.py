from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from interop.hermes import Hermes, Keydeck

HERMES_VERSION = "0.19.0"

Another = Callable[..., Hermes]


@pytest.fixture(scope="session")
def hermes_python() -> Path:
    """Return hermes' interpreter; without one these tests are skipped, or fail where all are required."""
    named = os.environ.get("KEYDECK_HERMES")
    if not named:
        why = "KEYDECK_HERMES does not name the python of a hermes-agent"
        if os.environ.get("KEYDECK_REQUIRE_ALL") == "1":
            pytest.fail(why)
        pytest.skip(why)
    asked = "import importlib.metadata as m; print(m.version('hermes-agent'))"
    found = subprocess.run([named, "-I", "-c", asked], capture_output=True, text=True, check=True).stdout
    assert found.strip() == HERMES_VERSION, f"these tests are about hermes-agent {HERMES_VERSION}"
    return Path(named)


@pytest.fixture(autouse=True)
def _hermes_is_here(hermes_python: Path) -> None:
    """Let no test of this folder run, and pass, without hermes."""


@pytest.fixture
def user(home: Path) -> Path:
    """Return the folder that is the user's own, where other tools keep their logins."""
    folder = home.parent / "user"
    folder.mkdir()
    return folder


@pytest.fixture
def another(hermes_python: Path, home: Path, user: Path) -> Iterator[Another]:
    """Return how to start one more hermes, by default on the test's home; variables can be given."""
    with ExitStack() as running:

        def start(at: Path = home, **env: str) -> Hermes:
            return running.enter_context(Hermes(hermes_python, at, user, **env))

        yield start


@pytest.fixture
def hermes(another: Another) -> Hermes:
    """Return the real hermes on the test's home."""
    return another()


@pytest.fixture
def deck(home: Path, user: Path) -> Keydeck:
    """Return Keydeck's command line on the test's home."""
    return Keydeck(home, user)
