"""Owners, places and locks, as the doctor sees them."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from clinic import (
    kinds,
    look,
    only,
    segment,
)
from fakes import keys, lock_held, permissions_count, without_powers, write_store
from keydeck.engine.doctor import Finding, Kind, Severity
from keydeck.engine.files import Disk

# --- owners, places, locks ---------------------------------------------------------------------------------


class AnotherOwner(Disk):
    """Says that some files belong to somebody else."""

    def __init__(self, names: tuple[str, ...], uid: int = 12345) -> None:
        self.names_of_theirs = names
        self.uid = uid

    def stat(self, path: Path | str) -> os.stat_result:
        status = super().stat(path)
        return self._theirs(status) if Path(path).name in self.names_of_theirs else status

    def _theirs(self, status: os.stat_result) -> os.stat_result:
        told = list(status)
        told[4] = self.uid
        return os.stat_result(told)


def test_a_file_of_another_user(lived_in: Path) -> None:
    """A file that does not belong to the home's owner is told with the command that hands it over."""
    found = only(look(lived_in, AnotherOwner(("auth.json",))), Kind.OWNER)
    assert found.what.startswith("auth.json belongs to 12345, the home to ")
    assert found.todo.startswith("sudo chown ")
    assert found.todo.endswith(f" {lived_in / 'auth.json'}")
    assert not found.is_safe_to_fix


def test_a_journal_of_another_user_is_one_finding(lived_in: Path) -> None:
    """Several foreign files in the journal's folder are one line with one command."""
    found = only(look(lived_in, AnotherOwner(("journal-000001.jsonl", "checkpoint.json"))), Kind.OWNER)
    assert found.what.startswith("2 files in keydeck belong to 12345")
    assert "chown -R" in found.todo


def test_a_home_that_may_not_be_written(lived_in: Path) -> None:
    """A home, or a journal folder, in which nothing can be made is told."""

    def looking() -> tuple[Finding, ...]:
        return look(lived_in)

    lived_in.chmod(0o500)
    assert only(without_powers(looking), Kind.READ_ONLY).subject == str(lived_in)
    lived_in.chmod(0o700)
    (lived_in / "keydeck").chmod(0o500)
    assert only(without_powers(looking), Kind.READ_ONLY).subject == "keydeck"
    (lived_in / "keydeck").chmod(0o700)
    assert look(lived_in) == ()


def test_a_store_that_may_not_be_read(lived_in: Path) -> None:
    """An auth.json without read permission is told as what it is, never as an empty one."""
    (lived_in / "auth.json").chmod(0o200)
    with permissions_count():
        found = look(lived_in)
    assert kinds(found)[0] is Kind.STORE_UNREADABLE
    assert "permission denied" in found[0].what


def test_a_dotenv_that_may_not_be_read(lived_in: Path) -> None:
    """A .env without read permission is told, beside the rows that miss their keys."""
    (lived_in / ".env").chmod(0o200)
    with permissions_count():
        assert {Kind.ENV_UNREADABLE, Kind.ENV_GONE} == set(kinds(look(lived_in)))


def test_a_journal_that_may_not_be_read(lived_in: Path) -> None:
    """A segment without read permission is told once."""
    segment(lived_in).chmod(0o200)
    with permissions_count():
        found = look(lived_in)
    assert kinds(found) == [Kind.JOURNAL_UNREADABLE]
    assert "journal-000001.jsonl cannot be read: permission denied" in found[0].what


def test_a_linked_store_is_worth_a_note_and_a_dangling_one_more(lived_in: Path, tmp_path: Path) -> None:
    """A link is told with its target; where that is missing it is a problem."""
    (tmp_path / "real").mkdir()
    (lived_in / "auth.json").rename(tmp_path / "real" / "auth.json")
    (lived_in / "keydeck").rename(tmp_path / "real" / "keydeck")
    (lived_in / "auth.json").symlink_to(tmp_path / "real" / "auth.json")
    found = only(look(lived_in), Kind.SYMLINK)
    assert found.severity is Severity.NOTE
    assert str(tmp_path / "real" / "auth.json") in found.what
    (tmp_path / "real" / "auth.json").rename(tmp_path / "elsewhere")
    broken = next(each for each in look(lived_in) if each.kind is Kind.SYMLINK)
    assert broken.severity is Severity.PROBLEM


class Elsewhere(Disk):
    """Reads other files in place of the system's tables."""

    def __init__(self, tables: dict[str, Path]) -> None:
        self.tables = tables

    def open_read(self, path: Path) -> int:
        return super().open_read(self.tables.get(str(path), path))


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("/dev/sda / ext4 rw 0 0\nserver:/x {home} nfs4 rw 0 0\n", "nfs4"),
        ("/dev/sda / ext4 rw 0 0\n//server/x {parent} cifs rw 0 0\n", "cifs"),
        ("sshfs#x {home} fuse.sshfs rw 0 0\n", "fuse.sshfs"),
        ("server:/x {parent} nfs rw 0 0\n/dev/sdb {home} ext4 rw 0 0\n", None),
        ("/dev/sdb {home} fuseblk rw 0 0\n", None),
        ("server:/x {home}-not nfs rw 0 0\n", None),
        ("nonsense\n", None),
    ],
)
def test_a_home_on_another_machines_disk(
    table: str, kind: str | None, lived_in: Path, tmp_path: Path
) -> None:
    """Only where the home's own mount is a network's is there a warning that locks may not hold."""
    mounts = tmp_path / "mounts"
    mounts.write_text(table.format(home=lived_in, parent=lived_in.parent))
    found = look(lived_in, Elsewhere({"/proc/mounts": mounts}))
    if kind is None:
        assert found == ()
    else:
        assert f"the home lies on {kind} " in only(found, Kind.NETWORK_FS).what


def test_a_mount_point_with_a_blank(tmp_path: Path) -> None:
    """Blanks in the mount table are understood."""
    home = tmp_path / "my home"
    write_store(home, {"openrouter": keys("aaa001")})
    home.chmod(0o700)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/x {str(home).replace(' ', chr(92) + '040')} nfs rw 0 0\n")
    assert kinds(look(home, Elsewhere({"/proc/mounts": mounts}))) == [Kind.NETWORK_FS]


def test_a_lock_that_is_held_now(lived_in: Path) -> None:
    """Who holds the lock is told by name and number, without waiting; nothing is told once it is free."""
    with lock_held(lived_in):
        found = only(look(lived_in), Kind.LOCK_HELD)
    assert found.severity is Severity.NOTE
    assert found.what.startswith("auth.lock is held right now by ")
    assert look(lived_in) == ()


def test_whose_lock_it_is(lived_in: Path, tmp_path: Path) -> None:
    """The name comes from the system's table of locks; where that says nothing, so do we."""
    inode = (lived_in / "auth.lock").stat().st_ino
    table, name = tmp_path / "locks", tmp_path / "comm"
    table.write_text(f"1: FLOCK  ADVISORY  WRITE 4321 fe:00:{inode} 0 EOF\n")
    name.write_text("hermes\n")
    tables = {"/proc/locks": table, "/proc/4321/comm": name}
    with lock_held(lived_in):
        assert "by hermes (process 4321)" in only(look(lived_in, Elsewhere(tables)), Kind.LOCK_HELD).what
        table.write_text("")
        assert "by another program" in only(look(lived_in, Elsewhere(tables)), Kind.LOCK_HELD).what


def test_a_file_system_without_locks(lived_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system refuses to lock at all, that is a problem of its own."""

    def refuse(_fd: int, _how: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    only(look(lived_in), Kind.NO_LOCKS)
