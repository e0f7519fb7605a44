"""The real hermes agent works on a pool of ours, given to it in place of its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import filelock
import pytest

import keydeck
from fakes import keys, load_whole, write_store
from interop.hermes import bare_env
from interop.loopback import ANSWER, a_provider
from interop.scenes import a_reader_of
from keydeck.engine.state import HealthKind

pytestmark = pytest.mark.interop

POOL = "deepseek"
SECRETS = ("sk-test-aaa001-secret", "sk-test-bbb002-secret")


def test_an_agent_whose_first_key_is_limited_finishes_on_the_second(
    hermes_python: Path, home: Path, user: Path, tmp_path: Path
) -> None:
    """It sends the first key twice, as it does, benches it in our pool, and goes on with the second."""
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    # The engine's one library that hermes does not bring along.
    (libraries / "filelock").symlink_to(Path(filelock.__file__).parent)
    with a_provider(SECRETS[0]) as provider:
        write_store(home, {POOL: keys("aaa001", "bbb002", base_url=provider.url)})
        source = Path(keydeck.__file__).parent.parent
        done = subprocess.run(
            [hermes_python, Path(__file__).with_name("agent_run.py"), POOL],
            env=bare_env(user, HERMES_HOME=str(home), PYTHONPATH=f"{source}:{libraries}"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert json.loads(done.stdout) == {"kept": True, "said": ANSWER, "current": "bbb002"}
        assert provider.keys == [SECRETS[0], SECRETS[0], SECRETS[1]]
    reader = a_reader_of(home)
    found = reader.read().pool(POOL)
    assert found is not None
    states = found.at(reader.clock()).rows
    assert [state.health.kind for state in states] == [HealthKind.COOLING, HealthKind.READY]
    benched, following = load_whole(home)["credential_pool"][POOL]
    assert (benched["last_status"], benched["last_error_code"]) == ("exhausted", 429)
    assert [row["request_count"] for row in (benched, following)] == [1, 1]
