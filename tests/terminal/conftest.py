from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tmux import Terminal


@pytest.fixture
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """Return a terminal; without tmux the test is skipped, or fails where everything has to run."""
    if shutil.which("tmux") is None:
        if os.environ.get("KEYDECK_REQUIRE_ALL"):
            pytest.fail("tmux is not installed")
        pytest.skip("tmux is not installed")
    opened = Terminal(tmp_path_factory.mktemp("terminal"))
    yield opened
    opened.close()
