"""For benchmarks: homes of any size, code that runs in a process of its own for either program, one table at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fakes import a_key, write_store

HERMES: Final = os.environ.get("KEYDECK_HERMES")
"""The python of an environment with hermes-agent; without it only our own numbers are shown."""
OURS: Final = "from keydeck import load_pool"
THEIRS: Final = "from agent.credential_pool import load_pool"


def a_big_home(home: Path, rows: int, strategy: str = "fill_first") -> Path:
    """Write a pool of this many ready keys, and its strategy."""
    write_store(home, {"openrouter": [a_key(f"{n:06x}", priority=n) for n in range(rows)]})
    (home / "config.yaml").write_text(f"credential_pool_strategies: {{openrouter: {strategy}}}\n")
    return home


def child(code: str, home: Path, python: str = sys.executable, *arguments: str) -> dict[str, Any]:
    """Run code that prints one JSON object in a process of its own."""
    process = start(code, home, python, *arguments)
    said, complaint = process.communicate()
    assert process.returncode == 0, complaint
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    return answer


def in_turn(ours: tuple[str, Path], theirs: tuple[str, Path], runs: int = 3) -> tuple[float, float | None]:
    """Run code of ours and of hermes', each on its home, in turn, and return the best seconds of each.

    A machine that is shared with others is slow for some seconds at a time: the best of a few runs is what it takes.
    """
    own, other = [], []
    for _ in range(runs):
        own.append(float(child(*ours)["s"]))
        if HERMES:
            other.append(float(child(*theirs, HERMES)["s"]))
    return min(own), min(other, default=None)


def start(code: str, home: Path, python: str = sys.executable, *arguments: str) -> subprocess.Popen[str]:
    """Start code in a process of its own that sees nothing but the home."""
    ours = {"PYTHONPATH": os.pathsep.join(sys.path)} if python == sys.executable else {}
    env = {"PATH": os.defpath, "HOME": str(home.parent), "HERMES_HOME": str(home), "LANG": "C.UTF-8", **ours}
    return subprocess.Popen(
        [python, "-c", code, *arguments],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass(slots=True)
class Table:
    """Results beside their targets and beside hermes."""

    lines: list[str] = field(default_factory=list)

    def say(self, what: str, ours: str, target: str = "", theirs: str = "") -> None:
        """Add a line of texts."""
        self.lines.append(f"{what:<58} {ours:>24}   target {target:<22} {theirs}".rstrip())

    def beside(self, what: str, ours: float, target: str, theirs: float | None, note: str = "") -> None:
        """Add a line with seconds of ours and of hermes', and how many times longer it takes."""
        scale, unit = (1e6, "µs") if ours < 1e-3 else (1e3, "ms")
        hermes = f"hermes {theirs * scale:,.1f} {unit} = {theirs / ours:.1f} x ours" if theirs else ""
        self.say(what, f"{ours * scale:,.1f} {unit}", target, f"{hermes} {note}".rstrip())


@contextmanager
def printed(table: Table) -> Iterator[Table]:
    """Print the table once it is full, with the load it was measured under."""
    table.lines.clear()
    yield table
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print("\n\n" + "\n".join(table.lines) + f"\n({os.cpu_count()} cores, load {load})")
