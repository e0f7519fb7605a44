"""The demo's home with its agents as processes: they work, obey, and are gone afterwards, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import keydeck
from fakes import FakeClock, until
from keydeck.demo import home as demo_module
from keydeck.demo.agent import ROLES
from keydeck.demo.home import AGENTS, Demo, demo_home
from keydeck.demo.scene import FOLDER_PREFIX
from keydeck.engine.acts import Operator
from keydeck.engine.events import Used

SOURCE = str(Path(keydeck.__file__).parent.parent)
HOST = """
import select, sys
from keydeck.demo.home import demo_home
with demo_home() as demo:
    demo.start_agents()
    print(demo.folder, flush=True)
    # A signal that comes just before a read is not noticed until it returns.
    while not select.select([sys.stdin], [], [], 0.1)[0]:
        pass
    asked = sys.stdin.readline()
    if asked == "crash\\n":
        raise RuntimeError("a fault")
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let demo folders be made below the test's own, by agents that find the package."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", SOURCE)
    return tmp_path


def agents_of(folder: Path | str) -> list[int]:
    """Return the processes that work in a demo's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                told = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"keydeck.demo.agent" in told and str(folder).encode() in told:
                found.append(int(entry.name))
    return found


def uses_since(demo: Demo, moment: float) -> dict[str, int]:
    sent: dict[str, int] = {}
    for _, record in demo.reader.store.history():
        if isinstance(record.event, Used) and record.at > moment:
            for row_id, number in record.event.counts.items():
                sent[row_id] = sent.get(row_id, 0) + number
    return sent


def host() -> tuple[subprocess.Popen[str], Path]:
    """Start a program that holds a demo, and return it with the demo's folder once the agents run."""
    program = subprocess.Popen(
        [sys.executable, "-c", HOST],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    folder = Path(program.stdout.readline().strip())
    until(lambda: len(agents_of(folder)) == len(AGENTS))
    return program, folder


def test_every_agent_has_a_role() -> None:
    """The names that the home starts are those that the agents know."""
    assert set(AGENTS) == set(ROLES)


def test_agents_work_obey_and_leave(temporary: Path) -> None:
    """The counts of several writers rise; a removed key gets nothing more; at the end nobody and nothing is left."""
    with demo_home() as demo:
        began = FakeClock(time.time())()
        demo.start_agents()
        until(lambda: len(uses_since(demo, began)) >= 3)
        writers = {
            record.writer
            for _, record in demo.reader.store.history()
            if isinstance(record.event, Used) and record.at > began
        }
        assert len(writers) >= 2
        Operator(demo.reader).remove("openrouter", "4411a9")
        removed = time.time()
        until(lambda: uses_since(demo, removed).get("4411aa"))
        later = time.time()
        until(lambda: sum(uses_since(demo, later).values()) >= 4)
        assert "4411a9" not in uses_since(demo, later)
        folder = demo.folder
        demo.reader.close()
    assert not agents_of(folder)
    assert not list(temporary.iterdir())


def test_agents_start_when_told_and_not_before() -> None:
    """Opening the demo's home starts no process: the first picture comes first."""
    with demo_home() as demo:
        assert not agents_of(demo.folder)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("leave", 0),
        ("crash", 1),
        (signal.SIGTERM, 128 + signal.SIGTERM),
        (signal.SIGHUP, 128 + signal.SIGHUP),
        (signal.SIGINT, -signal.SIGINT),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_nothing_is_left_however_it_ends(end: str | signal.Signals, code: int) -> None:
    """After a good end, a fault, ctrl+c, a polite kill, a lost terminal and a hard kill no process and no folder is left."""
    program, folder = host()
    if isinstance(end, str):
        assert program.stdin is not None
        program.stdin.write(f"{end}\n")
        program.stdin.flush()
    else:
        program.send_signal(end)
    program.wait(timeout=20)
    assert program.returncode == code
    until(lambda: not agents_of(folder))
    until(lambda: not folder.exists())
    program.communicate()


def test_an_agent_that_does_not_listen_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stuck agent does not keep the dashboard from closing for good."""

    def deaf(_folder: Path, _name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-S", "-c", "import signal; signal.pause()"], stdin=subprocess.PIPE
        )

    monkeypatch.setattr(demo_module, "_start", deaf)
    monkeypatch.setattr(demo_module, "_PATIENCE_S", 0.2)
    with demo_home() as demo:
        demo.start_agents()
        processes = demo._agents
    assert [process.returncode for process in processes] == [-signal.SIGKILL] * len(AGENTS)


def test_signals_mean_afterwards_what_they_meant_before() -> None:
    """Whoever opens a demo inside a program of their own gets their handlers back."""
    before = [signal.getsignal(sign) for sign in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]
    with demo_home():
        pass
    assert [signal.getsignal(sign) for sign in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)] == before


def test_an_agent_says_nothing() -> None:
    """An agent prints nothing at all, whatever happens to its home: no key can be in it."""
    with demo_home() as demo:
        began = time.time()
        command = [sys.executable, "-m", "keydeck.demo.agent", str(demo.folder), "coder"]
        agent = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        until(lambda: uses_since(demo, began))
        (demo.folder / ".hermes" / "auth.json").write_text('{"access_token": "sk-demo-broken')
        broken = time.time()
        until(lambda: uses_since(demo, broken))
        told, _ = agent.communicate(b"\n", timeout=20)
        assert told == b""
        assert agent.returncode == 0
        assert (demo.folder / ".hermes").exists()  # the others still work there
        demo.reader.close()


def test_the_folder_and_what_is_in_it_is_private() -> None:
    """Nobody else can look into a demo."""
    with demo_home() as demo:
        assert demo.folder.name.startswith(FOLDER_PREFIX)
        modes = {path: path.stat().st_mode & 0o077 for path in (demo.folder, *demo.folder.rglob("*"))}
        assert not any(modes.values()), modes
        assert os.environ["HOME"] != str(demo.folder)
