from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fakes import FailingDisk, FakeClock, a_home, a_key, write_store
from keydeck.engine.backups import KEEP, back_up, backup_dir
from keydeck.engine.errors import KeydeckError
from keydeck.engine.file_store import FileStore
from keydeck.engine.files import Disk

DAY_S = 86400.0
WHEN = datetime(2026, 11, 8, 14, 2, 11, tzinfo=UTC).timestamp()


def copies(home: Path) -> list[Path]:
    folder = home / "keydeck" / "backups"
    return sorted(folder.iterdir()) if folder.exists() else []


def use(store: FileStore, count: int) -> None:
    with store.transaction() as change:
        change.update_row("openrouter", "aaa001", {"request_count": count})


def test_the_first_write_of_a_process_is_preceded_by_a_copy(home: Path) -> None:
    """The copy is what was there, private, with its time in its name; later writes make none."""
    write_store(home, {"openrouter": [a_key()]})
    before = (home / "auth.json").read_bytes()
    store = FileStore(a_home(home), clock=FakeClock())
    for count in (1, 2, 3):
        use(store, count)
    (copy,) = copies(home)
    assert copy.name == "auth-20261108T140211.000000Z.json"
    assert copy.read_bytes() == before
    assert copy.stat().st_mode & 0o777 == 0o600
    assert backup_dir(home / "auth.json").stat().st_mode & 0o777 == 0o700


def test_looking_and_changing_nothing_make_no_copy(home: Path) -> None:
    """Only a write is preceded by a copy."""
    write_store(home, {"openrouter": [a_key()]})
    store = FileStore(a_home(home), clock=FakeClock())
    store.snapshot()
    use(store, 0)
    assert copies(home) == []


def test_a_store_that_was_not_there_has_no_copy(home: Path) -> None:
    """There is nothing to copy before the very first write, and the second is the same process."""
    store = FileStore(a_home(home), clock=FakeClock())
    with store.transaction() as change:
        change.add_row("openrouter", a_key())
    use(store, 1)
    assert copies(home) == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o666])
def test_a_copy_is_private_even_of_a_public_file(home: Path, mode: int) -> None:
    """A store that others can read is no reason for a copy that others can read."""
    write_store(home, {"openrouter": [a_key()]}).chmod(mode)
    use(FileStore(a_home(home), clock=FakeClock()), 1)
    (copy,) = copies(home)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert (home / "auth.json").stat().st_mode & 0o777 == mode


def test_the_last_five_copies_stay(home: Path) -> None:
    """Older ones of the same file go, and nothing else in the folder."""
    path = write_store(home, {})
    folder = backup_dir(path)
    folder.mkdir(parents=True)
    for name in ("config-20200101T000000.000000Z.yaml", "auth-notes.txt", "other.json"):
        (folder / name).write_text("keep")
    for day in range(8):
        path.write_text(f'{{"day": {day}}}')
        back_up(Disk(), path, WHEN + day * DAY_S)
    kept = [copy for copy in copies(home) if copy.name.startswith("auth-2026")]
    assert len(kept) == KEEP == 5
    assert [copy.read_text() for copy in kept] == [f'{{"day": {day}}}' for day in range(3, 8)]
    assert sum(copy.read_text() == "keep" for copy in copies(home)) == 3


def test_copies_of_one_instant_do_not_replace_each_other(home: Path) -> None:
    """A second copy within the same microsecond gets a number."""
    path = write_store(home, {})
    made = []
    for number in range(3):
        path.write_text(f'{{"n": {number}}}')
        made.append(back_up(Disk(), path, WHEN))
    assert [copy.read_text() for copy in made if copy] == ['{"n": 0}', '{"n": 1}', '{"n": 2}']
    assert len(set(made)) == 3


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"version": 9}'])
def test_a_file_that_cannot_be_understood_is_never_copied(home: Path, data: bytes) -> None:
    """A broken store pushes no good copy out."""
    path = write_store(home, {})
    path.write_bytes(data)
    with pytest.raises(KeydeckError):
        use(FileStore(a_home(home), clock=FakeClock()), 1)
    assert copies(home) == []


def test_an_unreadable_file_is_never_copied(home: Path) -> None:
    """Nor is one that the system will not give."""
    write_store(home, {"openrouter": [a_key()]})
    with pytest.raises(KeydeckError):
        use(FileStore(a_home(home), disk=FailingDisk(on={"read"}), clock=FakeClock()), 1)
    assert copies(home) == []


@pytest.mark.parametrize("call", ["mkdir", "names"])
def test_without_a_copy_nothing_is_written(home: Path, call: str) -> None:
    """A write whose copy cannot be made is not made either."""
    path = write_store(home, {"openrouter": [a_key()]})
    before = path.read_bytes()
    with pytest.raises(KeydeckError):
        use(FileStore(a_home(home), disk=FailingDisk(on={call}), clock=FakeClock()), 1)
    assert path.read_bytes() == before


def test_copies_lie_beside_the_real_file(tmp_path: Path) -> None:
    """Two homes that link to one store share its copies."""
    write_store(tmp_path / "real", {"openrouter": [a_key()]})
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "auth.json").symlink_to(tmp_path / "real" / "auth.json")
    use(FileStore(a_home(tmp_path / "linked"), clock=FakeClock()), 1)
    assert len(copies(tmp_path / "real")) == 1
    assert copies(tmp_path / "linked") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_copy_made_by_root_belongs_to_the_owner_of_the_home(home: Path) -> None:
    """Otherwise they could not restore it."""
    path = write_store(home, {"openrouter": [a_key()]})
    for place in (home, path):
        os.chown(place, 65534, 65534)
    use(FileStore(a_home(home), clock=FakeClock()), 1)
    (copy,) = copies(home)
    assert {
        place.stat().st_uid for place in (path, copy, copy.parent, copy.parent.parent, home / "auth.lock")
    } == {65534}
