from __future__ import annotations

from pathlib import Path

import pytest

from cli.program import Run, run_now


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return the program on the test's home."""
    return run_now(home, monkeypatch)
