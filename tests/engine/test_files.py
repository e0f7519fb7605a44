from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fakes import FailingDisk
from keydeck.engine.files import REPLACE_TRIES, Disk, make_dir, read_file, write_new, write_whole

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
NOBODY = 65534


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_new_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    """A file that was not there is 0600."""
    before = os.umask(0)
    try:
        write_whole(Disk(), tmp_path / "f", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "f").read_bytes() == b"new"
    assert mode_of(tmp_path / "f") == 0o600


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o400])
def test_the_mode_of_an_existing_file_is_kept(tmp_path: Path, mode: int) -> None:
    """What the operator set stays set."""
    path = tmp_path / "f"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_whole(Disk(), path, b"new")
    assert (path.read_bytes(), mode_of(path)) == (b"new", mode)


@needs_root
def test_the_owner_of_an_existing_file_is_kept(tmp_path: Path) -> None:
    """Root writing into somebody's home leaves them their file."""
    path = tmp_path / "f"
    path.write_bytes(b"old")
    os.chown(path, NOBODY, NOBODY)
    write_whole(Disk(), path, b"new")
    status = path.stat()
    assert (path.read_bytes(), status.st_uid, status.st_gid, mode_of(path)) == (b"new", NOBODY, NOBODY, 0o644)


@needs_root
def test_what_root_makes_new_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    """A first write as root makes folders and files that their owner can use."""
    os.chown(tmp_path, NOBODY, NOBODY)
    make_dir(Disk(), tmp_path / "a" / "b")
    write_whole(Disk(), tmp_path / "a" / "f", b"new")
    write_new(Disk(), tmp_path / "a" / "b" / "g", b"new")
    for path in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "f", tmp_path / "a" / "b" / "g"):
        assert path.stat().st_uid == NOBODY
    assert mode_of(tmp_path / "a") == 0o700


def test_a_symlink_stays_one_and_its_target_is_replaced(tmp_path: Path) -> None:
    """Links over links included; the temporary file lies beside the target."""
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "f"
    target.write_bytes(b"old")
    (tmp_path / "link").symlink_to("middle")
    (tmp_path / "middle").symlink_to(target)
    write_whole(Disk(), tmp_path / "link", b"new")
    assert os.readlink(tmp_path / "link") == "middle"
    assert os.readlink(tmp_path / "middle") == str(target)
    assert target.read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["f"]


def test_a_dangling_link_gets_its_target(tmp_path: Path) -> None:
    """A link into nothing is written through, not replaced."""
    (tmp_path / "link").symlink_to(tmp_path / "later")
    write_whole(Disk(), tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "later").read_bytes() == b"new"


def test_the_order_of_a_write(tmp_path: Path) -> None:
    """Everything is on the device before the rename, and the folder after it."""
    (tmp_path / "f").write_bytes(b"old")
    disk = FailingDisk()
    write_whole(disk, tmp_path / "f", b"new")
    assert [call for call in disk.calls if call in ("write", "fsync", "replace", "sync_dir")] == [
        "write",
        "fsync",
        "replace",
        "sync_dir",
    ]


class ByteByByte(Disk):
    """A disk that takes one byte at a time."""

    def write(self, fd: int, data: bytes) -> int:
        """Take the first byte only."""
        return os.write(fd, data[:1])

    def read(self, fd: int, size: int) -> bytes:
        """Give one byte only."""
        return os.read(fd, 1)


def test_short_writes_and_reads_are_carried_on(tmp_path: Path) -> None:
    """A system that takes or gives less than asked loses nothing."""
    write_whole(ByteByByte(), tmp_path / "f", b"0123456789")
    assert read_file(ByteByByte(), tmp_path / "f")[0] == b"0123456789"


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EXDEV, errno.ETXTBSY])
@pytest.mark.parametrize("new", [b"longer than what was there", b"x"])
def test_a_file_that_cannot_be_renamed_over_is_written_in_place(
    tmp_path: Path, code: int, new: bytes
) -> None:
    """A bind-mounted file keeps its inode and has exactly the new content, longer or shorter."""
    path = tmp_path / "f"
    path.write_bytes(b"old content")
    before = path.stat().st_ino
    write_whole(FailingDisk(code, on={"replace"}), path, new)
    assert (path.read_bytes(), path.stat().st_ino) == (new, before)
    assert [left.name for left in tmp_path.iterdir()] == ["f"]


def test_a_new_file_that_cannot_be_renamed_to_is_an_error(tmp_path: Path) -> None:
    """Where nothing is there is nothing to write in place."""
    with pytest.raises(OSError, match="busy"):
        write_whole(FailingDisk(errno.EBUSY, on={"replace"}), tmp_path / "f", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_refused_rename_is_tried_again_for_a_moment(tmp_path: Path) -> None:
    """Somebody else's open handle delays a write and does not lose it."""
    (tmp_path / "f").write_bytes(b"old")
    dry = FailingDisk()
    write_whole(dry, tmp_path / "f", b"old")
    first = dry.calls.index("replace") + 1
    disk = FailingDisk(errno.EACCES, at={first, first + 1})
    write_whole(disk, tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"new"
    assert disk.calls.count("replace") == 3
    assert disk.paused_s > 0


def test_a_rename_refused_for_good_gives_up_after_some_tries(tmp_path: Path) -> None:
    """The old file stays, nothing is left over, and the wait was bounded."""
    (tmp_path / "f").write_bytes(b"old")
    disk = FailingDisk(errno.EACCES, on={"replace"})
    with pytest.raises(PermissionError):
        write_whole(disk, tmp_path / "f", b"new")
    assert disk.calls.count("replace") == REPLACE_TRIES
    assert disk.paused_s < 1
    assert (tmp_path / "f").read_bytes() == b"old"
    assert [left.name for left in tmp_path.iterdir()] == ["f"]


def test_a_new_file_never_replaces_one(tmp_path: Path) -> None:
    """`write_new` fails where something is, a link into nothing included."""
    (tmp_path / "f").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("f", "link"):
        with pytest.raises(FileExistsError):
            write_new(Disk(), tmp_path / name, b"new")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("call", ["write", "fsync", "close", "stat", "fstat"])
def test_a_new_file_that_could_not_be_written_is_not_left_in_part(tmp_path: Path, call: str) -> None:
    """Half a file is no file."""
    with pytest.raises(OSError, match="space"):
        write_new(FailingDisk(errno.ENOSPC, on={call}), tmp_path / "f", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_file_and_its_stat_belong_together(tmp_path: Path) -> None:
    """The stat is of the very file that was read."""
    (tmp_path / "f").write_bytes(b"content")
    data, status = read_file(Disk(), tmp_path / "f")
    assert (data, status.st_ino, status.st_size) == (b"content", (tmp_path / "f").stat().st_ino, 7)
    with pytest.raises(FileNotFoundError):
        read_file(Disk(), tmp_path / "g")
    with pytest.raises(IsADirectoryError):
        read_file(Disk(), tmp_path)
