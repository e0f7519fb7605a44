"""What the doctor does when it is told to mend."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from clinic import (
    LEFT,
    a_file,
    add_row,
    kinds,
    now_clock,
    segment,
)
from fakes import a_reader, lock_held
from keydeck.engine.doctor import Kind, examine, mend
from keydeck.engine.errors import LockBusy
from keydeck.engine.files import Disk

# --- mending -----------------------------------------------------------------------------------------------


@pytest.fixture
def ill(lived_in: Path) -> Path:
    """Return a home with open files and leftovers, and with things that nobody but the operator may mend."""
    (lived_in / "auth.json").chmod(0o644)
    (lived_in / ".env").chmod(0o666)
    lived_in.chmod(0o755)
    for path in (lived_in / "keydeck").iterdir():
        path.chmod(0o755 if path.is_dir() else 0o640)
    a_file(LEFT.format(1), "sk-left-here", age_s=90)(lived_in)
    a_file("auth.json.corrupt")(lived_in)
    add_row("openrouter", row_id="aaa009", access_token="sk-test-aaa001-secret", priority=9)(lived_in)
    return lived_in


def test_mending_does_what_is_safe_and_nothing_else(ill: Path) -> None:
    """Files are closed, leftovers removed; rows, copies and contents are as they were."""
    before = (ill / "auth.json").read_bytes()
    journal = segment(ill).read_bytes()
    reader = a_reader(ill, clock=now_clock())
    done = mend(reader, examine(reader))
    assert not [each for each in done if each.refused]
    assert {each.path.name for each in done} >= {"auth.json", ".env", "home", LEFT.format(1)}
    assert set(kinds(examine(reader))) == {Kind.CORRUPT_COPY, Kind.DUPLICATE}
    assert (ill / "auth.json").read_bytes() == before
    assert segment(ill).read_bytes() == journal
    assert not [
        path for path in (ill, *ill.rglob("*")) if path.name != "config.yaml" and path.stat().st_mode & 0o077
    ]


def test_owners_own_permissions_stay(lived_in: Path) -> None:
    """A file that its owner made read-only stays that."""
    (lived_in / "auth.json").chmod(0o444)
    reader = a_reader(lived_in, clock=now_clock())
    mend(reader, examine(reader))
    assert (lived_in / "auth.json").stat().st_mode & 0o777 == 0o400


def test_mending_waits_for_the_lock_and_gives_up(ill: Path) -> None:
    """Under somebody else's lock nothing is touched."""
    reader = a_reader(ill, clock=now_clock())
    findings = examine(reader)
    with lock_held(ill), pytest.raises(LockBusy):
        mend(reader, findings, timeout_s=0.05)
    assert (ill / "auth.json").stat().st_mode & 0o777 == 0o644
    assert (ill / LEFT.format(1)).exists()


def test_the_lock_is_held_while_mending(ill: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else can write while files are changed."""
    reader = a_reader(ill, clock=now_clock())
    findings = examine(reader)
    held: list[bool] = []

    def unlink(_self: Disk, path: Path) -> None:
        with (ill / "auth.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(True)
        os.unlink(path)

    monkeypatch.setattr(Disk, "unlink", unlink)
    mend(reader, findings)
    assert held == [True]


def test_nothing_to_mend_takes_no_lock(home: Path) -> None:
    """A home in order, or none at all, is not even locked."""
    reader = a_reader(home, clock=now_clock())
    assert mend(reader, examine(reader)) == ()
    assert not home.exists()


def test_a_link_that_took_a_files_place_is_refused(lived_in: Path) -> None:
    """Who runs it as root does not close a stranger's file: what is open is looked at again."""
    (lived_in / "auth.json").chmod(0o644)
    reader = a_reader(lived_in, disk=StrangersFile(), clock=now_clock())
    (done,) = mend(reader, examine(reader))
    assert done.refused == "it belongs to another user"
    assert (lived_in / "auth.json").stat().st_mode & 0o777 == 0o644


class StrangersFile(Disk):
    """Opens files that turn out to be somebody else's."""

    def fstat(self, fd: int) -> os.stat_result:
        told = list(super().fstat(fd))
        told[4] = 54321
        return os.stat_result(told)


def test_a_failure_is_told_and_the_rest_is_done(ill: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be removed is told with the reason; the other files are mended all the same."""

    def unlink(_self: Disk, _path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Disk, "unlink", unlink)
    reader = a_reader(ill, clock=now_clock())
    done = mend(reader, examine(reader))
    assert [each.refused for each in done if each.what == "removed"] == ["read-only file system"]
    assert (ill / "auth.json").stat().st_mode & 0o777 == 0o600
