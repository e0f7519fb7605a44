from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from clinic import live_in


@pytest.fixture
def lived_in(home: Path) -> Path:
    """Return a home in order."""
    return live_in(home)


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """Let files be made as on most machines."""
    before = os.umask(0o022)
    yield
    os.umask(before)
