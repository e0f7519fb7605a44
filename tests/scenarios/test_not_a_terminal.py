"""Piped output is for programs (demand 2.8, FS-69). Here the real program runs in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from time import time
from typing import Any

import pytest

import keydeck
from fakes import a_key, keys, write_store

HOPEFUL = {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "TERM": "xterm-256color", "COLORTERM": "truecolor"}


def run(home: Path, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the program with pipes on all sides and an environment that asks for colour."""
    source = str(Path(keydeck.__file__).parent.parent)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "PYTHONPATH": source,
        "TZ": "UTC",
        **HOPEFUL,
    }
    command = [sys.executable, "-m", "keydeck", "--home", str(home), *args]
    return subprocess.run(
        command, input=stdin, env=env, capture_output=True, text=True, timeout=20, check=False
    )


class TestFS69NotATerminal:
    """Plain text or JSON, no escape codes, a useful exit code."""

    @pytest.mark.parametrize(
        "args", [["list"], ["list", "--json"], ["status"], ["status", "--json"], ["strategy", "openrouter"]]
    )
    def test_fs_69_looking_is_plain_and_ends_with_0(self, home: Path, args: list[str]) -> None:
        """Nothing on standard error, and no escape code although the environment asks for colour."""
        bench: dict[str, Any] = {"last_status": "exhausted", "last_status_at": time(), "last_error_code": 429}
        write_store(home, {"openrouter": [a_key("aaa001", "\x1b[31mred"), a_key("bbb002", **bench)]})
        done = run(home, "auth", *args)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("\n")
        assert "\x1b" not in done.stdout
        if "--json" in args:
            assert json.loads(done.stdout)["home"] == str(home)

    def test_fs_69_acts_answer_in_one_line(self, home: Path) -> None:
        """An act through a pipe needs no terminal and asks nothing."""
        added = run(
            home,
            "auth",
            "add",
            "openrouter",
            "--label",
            "mine",
            "--api-key-stdin",
            stdin="sk-new-0123456789\n",
        )
        assert (added.returncode, added.stdout.count("\n"), added.stderr) == (0, 1, "")
        removed = run(home, "auth", "remove", "openrouter", "mine", "--yes")
        assert (removed.returncode, removed.stdout.count("\n"), removed.stderr) == (0, 1, "")

    def test_fs_69_a_refusal_is_one_line_and_1(self, home: Path) -> None:
        """No traceback, nothing on standard output."""
        write_store(home, {"openrouter": keys("aaa001")})
        for args in (
            ["remove", "openrouter", "nobody", "--yes"],
            ["add", "opnrouter", "--api-key-stdin"],
            ["list", "--profile", "nope"],
        ):
            done = run(home, "auth", *args, stdin="sk-new-0123456789")
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr.startswith("keydeck: ")
            assert done.stderr.count("\n") == 1
            assert "\x1b" not in done.stderr

    def test_fs_69_a_broken_store_is_1(self, home: Path) -> None:
        """A script can tell "no key" from "cannot tell"."""
        write_store(home).write_text("{")
        for args in (["list", "--json"], ["status", "--json"]):
            done = run(home, "auth", *args)
            assert (done.returncode, done.stdout) == (1, "")
            assert "not valid JSON" in done.stderr

    def test_fs_69_the_dashboard_does_not_open_into_a_pipe(self, home: Path) -> None:
        """Usage, exit code 2, and the command that prints instead."""
        done = run(home)
        assert (done.returncode, done.stdout) == (2, "")
        assert "keydeck auth list" in done.stderr
        assert "\x1b" not in done.stderr

    def test_fs_69_a_reader_that_leaves_early_is_no_traceback(self, home: Path) -> None:
        """`keydeck auth list | head -1`."""
        write_store(home, {"openrouter": keys(*(f"row{n:04}" for n in range(2000)))})
        source = str(Path(keydeck.__file__).parent.parent)
        env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PYTHONPATH": source}
        command = [sys.executable, "-m", "keydeck", "--home", str(home), "auth", "list"]
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
            assert program.stdout is not None
            assert program.stderr is not None
            assert program.stdout.read(10)
            program.stdout.close()
            told = program.stderr.read()
            program.wait(20)
        assert b"Traceback" not in told
        assert b"BrokenPipe" not in told
