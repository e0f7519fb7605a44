"""Drives the real hermes-agent: its command line, and a process of its own that answers questions (`probe.py`).

hermes sees nothing of this machine: an empty environment, a scratch home, a scratch user folder, no network.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, Final, Self

import keydeck

ANSWER_WITHIN_S: Final = 30.0
_PROBE: Final = Path(__file__).with_name("probe.py")
# Nothing listens there: whatever wants to go out fails at once.
_NO_NETWORK: Final = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")


class HermesFailed(AssertionError):
    """Hermes raised, or ended with another code than 0."""


def bare_env(user: Path, **more: str) -> dict[str, str]:
    """Return an environment that holds nothing but what every program needs."""
    return {"PATH": os.defpath, "HOME": str(user), "LANG": "C.UTF-8", "TZ": "UTC", **more}


class Hermes:
    """One hermes on one home. It starts with the first question and ends with the block."""

    def __init__(self, python: Path, home: Path, user: Path, **env: str) -> None:
        self.home = home
        self._python = python
        self._env = {
            **bare_env(user, HERMES_HOME=str(home), **_NO_NETWORK),
            "PATH": f"{python.parent}{os.pathsep}{os.defpath}",
            **env,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._pending = b""
        home.mkdir(parents=True, exist_ok=True)
        user.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process that answers."""
        return self._running().pid

    def ask(self, do: str, **arguments: Any) -> Any:
        """Run one command of the probe and return its answer."""
        self.send(do, **arguments)
        return self.answer()

    def send(self, do: str, **arguments: Any) -> None:
        """Run one command without waiting for it."""
        stdin = self._running().stdin
        assert stdin is not None
        stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        stdin.flush()

    def answer(self, within_s: float = ANSWER_WITHIN_S) -> Any:
        """Return the answer to the oldest command that is still unanswered."""
        deadline = monotonic() + within_s
        while b"\n" not in self._pending:
            if not self.has_answered(deadline - monotonic()):
                raise HermesFailed(f"no answer within {within_s} s")
            if not (more := os.read(self._stdout(), 1 << 16)):
                raise HermesFailed(f"hermes' process has ended: {self._said()}")
            self._pending += more
        line, _, self._pending = self._pending.partition(b"\n")
        answer = json.loads(line)
        if "failed" in answer:
            raise HermesFailed(answer["failed"])
        return answer["done"]

    def has_answered(self, within_s: float = 0.0) -> bool:
        """Tell whether an answer, or the end, came within that time."""
        if b"\n" in self._pending:
            return True
        ready, _, _ = select.select([self._stdout()], [], [], max(within_s, 0.0))
        return bool(ready)

    def run(self, *arguments: str) -> str:
        """Run hermes' own command and return what it printed."""
        done = subprocess.run(
            [self._python.with_name("hermes"), *arguments],
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_WITHIN_S,
            check=False,
        )
        if done.returncode:
            raise HermesFailed(f"hermes {arguments}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def close(self) -> None:
        """End the process."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(ANSWER_WITHIN_S)
        self._process.stdout.close()
        self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            with self._log().open("ab") as log:
                self._process = subprocess.Popen(
                    [self._python, _PROBE],
                    env=self._env,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                )
        return self._process

    def _stdout(self) -> int:
        stdout = self._running().stdout
        assert stdout is not None
        return stdout.fileno()

    def _log(self) -> Path:
        return self.home.with_name(f"{self.home.name}-hermes.log")

    def _said(self) -> str:
        return self._log().read_text(encoding="utf-8", errors="replace")[-2000:]


class Keydeck:
    """Our own command line in a process of its own, on one home and with as bare an environment."""

    def __init__(self, home: Path, user: Path, **env: str) -> None:
        source_root = str(Path(keydeck.__file__).parent.parent)
        self.env = bare_env(user, PYTHONPATH=source_root, **env)
        self.command = (sys.executable, "-m", "keydeck", "--home", str(home))

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Run a command and return what it printed; any other exit code than 0 fails the test."""
        done = self._done(arguments, stdin)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def refused(self, *arguments: str, stdin: str = "") -> str:
        """Run a command that must be refused, in one line and with exit code 1; return that line."""
        done = self._done(arguments, stdin)
        assert (done.returncode, done.stdout) == (1, ""), (arguments, done.stdout, done.stderr)
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr

    def _done(self, arguments: tuple[str, ...], stdin: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *arguments],
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=ANSWER_WITHIN_S,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command; the caller talks to it."""
        return subprocess.Popen(
            [*self.command, *arguments],
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def listing(self, *more: str) -> dict[str, dict[str, Any]]:
        """Return the pools of `auth list --json` by provider."""
        listed = json.loads(self.run("auth", "list", "--json", *more))
        return {pool["provider"]: pool for pool in listed["pools"]}


def seconds_until(condition: Callable[[], bool], *, since: float, within_s: float, what: str) -> float:
    """Look until the condition holds; return how many seconds after `since` (monotonic) that was."""
    while not condition():
        assert monotonic() - since <= within_s, f"not within {within_s} s: {what}"
    return monotonic() - since
