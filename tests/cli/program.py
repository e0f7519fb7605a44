"""The program as a shell starts it, run in this process on the test's home with a clock that stands still."""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from fakes import FakeClock
from keydeck import cli
from keydeck.engine.snapshot import HomeReader


class _Program(click.Command):
    """The whole of ``keydeck``: with what `main` makes of errors."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **__: Any) -> Any:
        """Run `main` with these arguments."""
        sys.argv = ["keydeck", *(args or ())]
        cli.main()


class _Terminal(io.BytesIO):
    """Standard input that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


class Run:
    """Runs the program on one home."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *args: str, stdin: str | bytes = "", terminal: bool = False) -> Result:
        """Run it with these arguments and this standard input, which is a terminal if asked."""
        result = self._ended(args, stdin, terminal=terminal)
        assert "Traceback" not in result.output
        return result

    def crashed(self, *args: str) -> str:
        """Run it, see it end by a fault of its own, and return what it printed."""
        result = self._ended(args, "", terminal=False)
        assert result.exit_code == 1
        assert "the report is in" in result.stderr
        return result.output

    def _ended(self, args: Sequence[str], stdin: str | bytes, *, terminal: bool) -> Result:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        where = () if "--home" in args else ("--home", str(self.home))
        result = CliRunner().invoke(
            _Program("keydeck"), [*where, *args], input=_Terminal(data) if terminal else data
        )
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "\x1b" not in result.output
        return result

    def done(self, *args: str, **rest: Any) -> str:
        """Run it, see it end well and quietly, and return what it printed."""
        result = self(*args, **rest)
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        return result.stdout

    def refused(self, *args: str, **rest: Any) -> str:
        """Run it, see it refuse with one line on standard error and nothing else, and return that line."""
        result = self(*args, **rest)
        assert (result.exit_code, result.stdout) == (1, ""), result.output
        assert result.stderr.startswith("keydeck: ")
        assert result.stderr.endswith("\n")
        assert result.stderr.count("\n") == 1
        return result.stderr.removeprefix("keydeck: ").rstrip("\n")


def run_now(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return the program on this home, with a clock that stands still at `fakes.NOW`."""
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr("keydeck.cli.common.HomeReader", functools.partial(HomeReader, clock=FakeClock()))
    return Run(home)
