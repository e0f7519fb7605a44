from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keydeck.engine import flusher

# Textual reads these when it is imported.
os.environ["TEXTUAL_ANIMATIONS"] = "none"
os.environ.setdefault("COLORTERM", "truecolor")


@pytest.fixture(autouse=True)
def nobodys_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Keep every test away from the user's own home, keys and time zone."""
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_TOKEN")) or name.startswith(
            ("HERMES_", "KEYDECK_HOME", "ANTHROPIC_")
        ):
            monkeypatch.delenv(name)
    user = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.setenv("XDG_STATE_HOME", str(user / "state"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(autouse=True)
def nothing_in_the_background() -> Iterator[None]:
    """Tell what waits only when a test flushes or closes; tests of the thread itself let it run."""
    flusher._flusher = flusher._Flusher()  # what a test leaves open is nobody's to finish
    flusher.set_enabled(False)
    yield
    flusher._flusher.stores.clear()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the path of a home that does not exist yet."""
    return tmp_path / "home"
