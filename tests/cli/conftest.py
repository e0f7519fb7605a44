from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest

from cli.program import Run
from fakes import FakeClock
from keydeck.engine.snapshot import HomeReader


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return the program on the test's home."""
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr("keydeck.cli.common.HomeReader", functools.partial(HomeReader, clock=FakeClock()))
    return Run(home)
