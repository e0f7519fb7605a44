"""Every single system call of a write fails once, and every time the store is whole.

The calls are counted by running each write once on a disk that only listens.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes import FailingDisk, FakeClock, a_home, a_key, keys, load, tree, write_store
from keydeck.engine.errors import KeydeckError, StoreError
from keydeck.engine.file_store import FileStore


def add_a_row(store: FileStore) -> None:
    with store.transaction(timeout_s=1) as change:
        change.add_row("openrouter", a_key("new001"))


@dataclass(frozen=True)
class Situation:
    """A home before a write, and the ids that are in it."""

    name: str
    prepare: Callable[[Path], None]
    ids: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


def _stored(home: Path) -> None:
    write_store(home, {"openrouter": keys("aaa001", "bbb002")}, x_tool={"keep": 1})


def _linked(home: Path) -> None:
    _stored(home.parent / "real")
    home.mkdir()
    (home / "auth.json").symlink_to(home.parent / "real" / "auth.json")


def _many_backups(home: Path) -> None:
    _stored(home)
    folder = home / "keydeck" / "backups"
    folder.mkdir(parents=True)
    for number in range(6):
        (folder / f"auth-20200101T00000{number}.000000Z.json").write_text("{}")


ORDINARY = Situation("a store", _stored, ("aaa001", "bbb002"))
SITUATIONS = (
    Situation("no home yet", lambda _home: None, ()),
    ORDINARY,
    Situation("a linked store", _linked, ("aaa001", "bbb002")),
    Situation("backups to prune", _many_backups, ("aaa001", "bbb002")),
)


def calls_of_a_write(situation: Situation) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        situation.prepare(home)
        disk = FailingDisk()
        store = FileStore(a_home(home), disk=disk, clock=FakeClock())
        add_a_row(store)
        return list(disk.calls)  # without those that end the store


def every_failure() -> Iterator[object]:
    """Yield every call of every situation with EIO, and those of an ordinary write with other errors too."""
    for situation in SITUATIONS:
        codes = (errno.EIO, errno.ENOSPC, errno.EACCES) if situation is ORDINARY else (errno.EIO,)
        for number, name in enumerate(calls_of_a_write(situation), 1):
            for code in codes:
                label = f"{situation}-{number:02}-{name}-{errno.errorcode[code]}"
                yield pytest.param(situation, number, name, code, id=label)


def ids_in(home: Path) -> tuple[str, ...]:
    if not (home / "auth.json").exists():
        return ()
    return tuple(row["id"] for row in load(home)["credential_pool"]["openrouter"])


def open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


@pytest.mark.parametrize(("situation", "number", "name", "code"), list(every_failure()))
def test_whichever_call_fails_the_store_is_whole(
    home: Path, situation: Situation, number: int, name: str, code: int
) -> None:
    """Old or new in full, no temporary file, no open file, a typed error if any, and the next write succeeds."""
    situation.prepare(home)
    disk = FailingDisk(code, at={number})
    store = FileStore(a_home(home), disk=disk, clock=FakeClock())
    before, descriptors = tree(home.parent), open_files()
    error: KeydeckError | None = None
    try:
        add_a_row(store)
    except KeydeckError as raised:
        error = raised.with_traceback(None)  # it would keep the store of this test open

    assert disk.calls[number - 1] == name, "the call that was to fail was another one"
    old, new = situation.ids, (*situation.ids, "new001")
    assert ids_in(home) in ((old, new) if error else (new,))
    if ids_in(home) == old and situation.ids:
        assert {path: found for path, found in tree(home.parent).items() if path.endswith("auth.json")} == {
            path: found for path, found in before.items() if path.endswith("auth.json")
        }
    assert not [path for path in tree(home.parent) if ".tmp." in path]
    store.close()  # until then it keeps the journal open
    assert open_files() == descriptors
    assert error is None or isinstance(error, StoreError)
    assert error is None or "\n" not in str(error)

    disk.heal()
    if ids_in(home) == old:
        add_a_row(store)
    with FileStore(a_home(home), clock=FakeClock()).transaction(timeout_s=1) as change:
        change.update_row("openrouter", "new001", {"label": "another process"})
    assert ids_in(home) == new


def test_enough_calls_were_tried() -> None:
    """The list of calls is that of a real write, with its lock, backup, temporary file and rename."""
    calls = calls_of_a_write(ORDINARY)
    # The lock file, the backup, both temporary files, and the first segment of the journal.
    assert calls.count("open_new") == 5
    for name in (
        "open_read",
        "read",
        "write",
        "fsync",
        "chmod",
        "close",
        "replace",
        "sync_dir",
        "mkdir",
        "names",
    ):
        assert name in calls
    assert calls.index("mkdir") < calls.index("replace")
    assert "unlink" in calls_of_a_write(SITUATIONS[3])


@pytest.mark.parametrize("call", ["open_read", "fstat", "read"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EACCES, errno.EMFILE])
def test_reading_that_fails_is_a_typed_error_and_no_more(home: Path, call: str, code: int) -> None:
    """A snapshot on a failing disk raises a StoreError and changes nothing."""
    _stored(home)
    before, descriptors = tree(home), open_files()
    store = FileStore(a_home(home), disk=FailingDisk(code, on={call}), clock=FakeClock())
    with pytest.raises(StoreError):
        store.snapshot()
    assert (tree(home), open_files()) == (before, descriptors)


# --- bind mounts -------------------------------------------------------------------------------------------


def test_a_bind_mounted_store_is_backed_up_and_then_written_in_place(home: Path) -> None:
    """EBUSY on the rename: the old content is in a backup, the new one in the same inode."""
    _stored(home)
    old, inode = (home / "auth.json").read_bytes(), (home / "auth.json").stat().st_ino
    add_a_row(FileStore(a_home(home), disk=FailingDisk(errno.EBUSY, on={"replace"}), clock=FakeClock()))
    assert ids_in(home) == ("aaa001", "bbb002", "new001")
    assert (home / "auth.json").stat().st_ino == inode
    (copy,) = (home / "keydeck" / "backups").iterdir()
    assert copy.read_bytes() == old
    assert not [path for path in tree(home) if ".tmp." in path]


@pytest.mark.parametrize("call", ["open_existing", "truncate"])
def test_a_write_in_place_that_fails_leaves_a_backup_to_go_back_to(home: Path, call: str) -> None:
    """A bind mount cannot be written atomically; whatever happens there, the old content is kept aside."""
    _stored(home)
    old = (home / "auth.json").read_bytes()

    class Mounted(FailingDisk):
        def replace(self, source: Path, target: Path) -> None:
            raise OSError(errno.EBUSY, "busy")

    with pytest.raises(StoreError):
        add_a_row(FileStore(a_home(home), disk=Mounted(errno.ENOSPC, on={call}), clock=FakeClock()))
    (copy,) = (home / "keydeck" / "backups").iterdir()
    assert copy.read_bytes() == old
    assert json.loads(copy.read_bytes())["x_tool"] == {"keep": 1}
    assert not [path for path in tree(home) if ".tmp." in path]
