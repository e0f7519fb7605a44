"""Whatever is wrong with the home while agents run: no pick is wrong, nothing told is lost, and a banner says so."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fakes import (
    NOW,
    FailingDisk,
    FakeClock,
    SteppingClock,
    a_home,
    a_pool,
    a_reader,
    keys,
    load_whole,
    permissions_count,
    tree,
    write_down,
    write_store,
)
from keydeck.engine.acts import Operator
from keydeck.engine.errors import StoreReadOnly
from keydeck.engine.events import Header, Reset
from keydeck.engine.file_store import FileStore
from keydeck.engine.journal import header
from keydeck.engine.ledger import READER
from keydeck.engine.pool import CredentialPool
from keydeck.engine.snapshot import HomeReader
from keydeck.engine.store import Store

POOL = "openrouter"
NOBODY = 65534


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home with three ready keys."""
    path = tmp_path / "home"
    write_store(path, {POOL: keys("aaa001", "bbb002", "ccc003")})
    return path


def kinds(store: Store) -> list[str]:
    """Return the kinds of a store's troubles; each is fit for a banner."""
    found = store.troubles()
    for each in found:
        assert str(each) == each.text
        assert each.text == each.text.strip()
        assert "\n" not in each.text
        assert "sk-" not in each.text
        assert len(each.text) < 160
    return [each.kind.value for each in found]


def text_of(store: Store, kind: str) -> str:
    return next(each.text for each in store.troubles() if each.kind == kind)


def picked(pool: CredentialPool) -> str:
    row = pool.select()
    return row.id if row else ""


def fails(pool: CredentialPool, code: int = 429) -> str:
    """Report a failure of the row that was picked last, and return the next one."""
    following = pool.mark_exhausted_and_rotate(status_code=code)
    return following.id if following else ""


def at_work(pool: CredentialPool) -> None:
    """Pick and fail as if nothing were wrong: the next row is taken each time."""
    assert picked(pool) == "aaa001"
    assert fails(pool) == "bbb002"
    assert picked(pool) == "bbb002"
    assert fails(pool) == "ccc003"


def all_is_told(home: Path, pool: CredentialPool) -> None:
    """Assert that the work above is in the file, once, and obeyed by who comes later."""
    assert kinds(pool._store) in ([], ["gap"])
    late = a_pool(home)
    assert [(row.request_count, row.last_error_code) for row in late.entries()] == [
        (1, 429),
        (2, 429),
        (1, None),
    ]
    assert picked(late) == "ccc003"
    pool.close()
    rows = load_whole(home)["credential_pool"][POOL]
    assert [row["last_error_code"] for row in rows] == [429, 429, None]
    assert not [name for name in tree(home) if ".tmp." in name]


@contextmanager
def mode(path: Path, bits: int) -> Iterator[None]:
    before = path.stat().st_mode & 0o777
    path.chmod(bits)
    try:
        with permissions_count():
            yield
    finally:
        path.chmod(before)


class TestAReadOnlyHome:
    """Nothing can be written in it, not even a lock."""

    def test_picks_and_failures_go_on_and_are_told_once_it_can_be_written(self, home: Path) -> None:
        """By its permissions; the file is as it was meanwhile, and an operator's act is refused."""
        before = tree(home)
        with mode(home, 0o500):
            pool = a_pool(home)
            at_work(pool)
            assert not pool.flush()
            assert not pool._store.checkpoint()
            assert kinds(pool._store) == ["untold", "rows_unwritten"]
            assert "is not ours" in text_of(pool._store, "untold")
            assert "(cannot lock: permission denied)" in text_of(pool._store, "rows_unwritten")
            with pytest.raises(StoreReadOnly):
                Operator(a_reader(home)).edit(POOL, "aaa001", label="other")
        assert {name: found for name, found in tree(home).items() if name != "."} == before
        assert pool.flush()
        assert pool._store.checkpoint()
        all_is_told(home, pool)

    def test_a_file_system_that_is_read_only_is_named(self, home: Path) -> None:
        """So that nobody looks for a mode to change."""
        writing = {"open_new", "open_existing", "open_append", "mkdir", "write", "replace", "unlink"}
        disk = FailingDisk(errno.EROFS, on=writing)
        pool = a_pool(home, disk=disk)
        at_work(pool)
        assert not pool.flush()
        assert "read-only file system" in text_of(pool._store, "untold")
        disk.heal()
        assert pool.flush()
        all_is_told(home, pool)

    def test_who_only_looks_sees_no_trouble_where_there_is_none(self, home: Path) -> None:
        """Looking writes nothing, so it needs nothing."""
        with mode(home, 0o500):
            reader = a_reader(home)
            assert reader.read().trouble is None
            assert kinds(reader.store) == []


class TestAJournalFolderThatIsNotOurs:
    """It belongs to somebody else, who may read it alone, or may be read."""

    @pytest.mark.parametrize("bits", [0o700, 0o755], ids=["closed", "to be read"])
    def test_picks_go_on_by_what_can_be_known(self, home: Path, bits: int) -> None:
        """Others' benches are obeyed where they can be read; ours rule here until they can be told."""
        other = a_pool(home)
        assert picked(other) == "aaa001"
        fails(other)
        folder = home / "keydeck"
        paths = [folder, *folder.iterdir()]
        shutil.chown(folder, NOBODY, NOBODY)
        for path in paths[1:]:
            shutil.chown(path, NOBODY, NOBODY)
            path.chmod(bits & 0o666)
        with mode(folder, bits):
            pool = a_pool(home)
            is_open = bits == 0o755
            assert kinds(pool._store) == ([] if is_open else ["unread"])
            assert picked(pool) == ("bbb002" if is_open else "aaa001")
            following = fails(pool)
            assert following == ("ccc003" if is_open else "bbb002")
            assert not pool.flush()
            assert not pool._store.checkpoint()
            assert kinds(pool._store)[0] == "untold"
            assert f"{folder} is not ours" in text_of(pool._store, "untold")
        for path in paths:
            shutil.chown(path, 0, 0)
        assert pool.flush()
        assert pool._store.checkpoint()
        assert kinds(pool._store) == []
        assert picked(a_pool(home)) == following

    def test_who_only_looks_sees_the_trouble_come_and_go(self, home: Path) -> None:
        """A dashboard tells nothing, and yet its banner must end."""
        pool = a_pool(home)
        picked(pool)
        pool.flush()
        reader = a_reader(home)
        with mode(home / "keydeck", 0):
            reader.read()
            assert kinds(reader.store) == ["unread"]
        assert kinds(reader.store) == []
        reader.read()
        assert kinds(reader.store) == []


class TestAFullDisk:
    """Bytes cannot be written, names can; or neither can."""

    @pytest.mark.parametrize("calls", [{"write"}, {"write", "open_new", "mkdir", "fsync"}])
    def test_picks_and_failures_go_on_and_are_told_when_there_is_room(
        self, home: Path, calls: set[str]
    ) -> None:
        """Nothing is summed up meanwhile, and no temporary file is left."""
        disk = FailingDisk(errno.ENOSPC, on=calls)
        pool = a_pool(home, disk=disk)
        before = (home / "auth.json").read_bytes()
        at_work(pool)
        for _ in range(3):
            assert not pool.flush()
            assert not pool._store.checkpoint()
        assert kinds(pool._store)[0] == "untold"
        assert "the disk is full" in text_of(pool._store, "untold")
        assert (home / "auth.json").read_bytes() == before
        assert not [name for name in tree(home) if ".tmp." in name]
        disk.heal()
        assert pool.flush()
        assert pool._store.checkpoint()
        all_is_told(home, pool)

    def test_a_disk_that_fills_up_once_the_journal_is_there(self, home: Path) -> None:
        """The last line is torn; the next ones are told whole, each use once."""
        disk = FailingDisk(errno.ENOSPC)
        pool = a_pool(home, disk=disk)
        assert picked(pool) == "aaa001"
        assert pool.flush()
        disk.on = {"write", "open_new"}
        assert fails(pool) == "bbb002"
        assert picked(pool) == "bbb002"
        assert fails(pool) == "ccc003"
        assert not pool.flush()
        assert kinds(pool._store) == ["untold"]
        assert picked(a_pool(home)) == "aaa001"  # what is not told is not known elsewhere
        disk.heal()
        assert pool.flush()
        all_is_told(home, pool)

    def test_rows_that_cannot_be_written_are_told_of_though_the_journal_can(self, home: Path) -> None:
        """Other programs of ours obey all the same."""
        disk = FailingDisk(errno.ENOSPC)
        pool = a_pool(home, disk=disk)
        at_work(pool)
        assert pool.flush()
        disk.on = {"open_new"}
        assert not pool._store.checkpoint()
        assert kinds(pool._store) == ["rows_unwritten"]
        assert "no space left on device" in text_of(pool._store, "rows_unwritten")
        assert picked(a_pool(home)) == "ccc003"
        disk.heal()
        assert pool._store.checkpoint()
        assert kinds(pool._store) == []


class TestAClockThatIsSetBackAnHour:
    """Order is by position in the journal, length by the clock that nobody sets."""

    def test_no_bench_moves_and_what_came_later_counts_as_later(self, home: Path) -> None:
        """A reset at an earlier time ends the bench, and a failure at an earlier time than the reset benches."""
        clock = SteppingClock()
        pool, other = a_pool(home, clock=clock), a_pool(home, clock=clock)
        assert picked(pool) == "aaa001"
        assert fails(pool) == "bbb002"
        clock.now -= 3600
        assert picked(pool) == picked(other) == "bbb002"
        pool._store.append(Reset(ids=("aaa001",), provider=POOL))
        assert picked(pool) == picked(other) == "aaa001"
        clock.now -= 3600
        assert fails(other) == "bbb002"
        assert picked(pool) == "bbb002"
        assert pool.flush()
        assert pool._store.checkpoint()
        assert picked(a_pool(home, clock=clock)) == "bbb002"

    def test_it_is_told_for_ten_minutes(self, home: Path) -> None:
        """With its length; a clock that goes forward is no trouble: the machine slept."""
        clock = SteppingClock()
        store = FileStore(a_home(home), clock=clock)
        store.snapshot()
        clock.now += 3600
        assert kinds(store) == []
        clock.now -= 3600
        assert kinds(store) == ["clock_set_back"]
        assert "set back 60 min" in text_of(store, "clock_set_back")
        clock.forward(590)
        assert kinds(store) == ["clock_set_back"]
        clock.forward(11)
        assert kinds(store) == []


class TestAJournalFolderThatIsTakenAway:
    """Removed, or replaced by a copy of itself, while agents run."""

    @pytest.mark.parametrize("is_copied", [False, True], ids=["deleted", "copied"])
    def test_every_pick_goes_on_from_memory_and_from_what_is_begun_again(
        self, home: Path, is_copied: bool
    ) -> None:
        """Whoever ran then knows it all; the banner says so until somebody has begun again, and the gap after."""
        pool, other, looking = a_pool(home), a_pool(home), a_reader(home)
        at_work(pool)
        assert pool.flush()
        assert picked(other) == "ccc003"
        other.flush()
        looking.read()
        if is_copied:
            shutil.copytree(home / "keydeck", home / "copy")
        shutil.rmtree(home / "keydeck")
        if is_copied:
            (home / "copy").rename(home / "keydeck")
        for store in (pool._store, other._store, looking.store):
            assert kinds(store) == ["journal_gone"]
        assert picked(pool) == picked(other) == "ccc003"
        pool.flush()
        assert pool._store.checkpoint()
        other.flush()
        for each in (pool, other):
            assert picked(each) == "ccc003"
            assert each.flush()
        looking.read()
        for store in (pool._store, other._store, looking.store):
            assert kinds(store) == ["gap"]
        rows = looking.read().pools[0].rows
        assert [getattr(row, "request_count", None) for row in rows] == [1, 2, 6]
        assert picked(a_pool(home)) == "ccc003"


class TestAnAuthJsonThatIsRestored:
    """The operator put yesterday's copy in place while agents run."""

    def test_its_rows_win_and_benches_and_counts_stay(self, home: Path) -> None:
        """The removed key is back, the benched one stays out, and a banner says so until it is summed up."""
        pool = a_pool(home)
        assert picked(pool) == "aaa001"
        pool.flush()
        assert pool._store.checkpoint()
        copy = (home / "auth.json").read_bytes()
        assert fails(pool) == "bbb002"
        Operator(a_reader(home)).remove(POOL, "bbb002")
        assert picked(pool) == "ccc003"
        pool.flush()
        assert pool._store.checkpoint()
        (home / "auth.json").write_bytes(copy)
        looking = a_reader(home)
        looking.read()
        assert kinds(looking.store) == ["old_copy"]
        assert picked(pool) == "bbb002"
        assert kinds(pool._store) == ["old_copy"]
        pool.flush()
        assert pool._store.checkpoint()
        looking.store.poll()
        for store in (pool._store, looking.store):
            assert kinds(store) == []
        rows = load_whole(home)["credential_pool"][POOL]
        assert [(row["id"], row["last_error_code"], row["request_count"]) for row in rows] == [
            ("aaa001", 429, 1),
            ("bbb002", None, 2),
            ("ccc003", None, 1),
        ]


class TestOthers:
    """What else a banner must say."""

    def test_a_newer_version_at_work(self, home: Path) -> None:
        """Who is older goes on, and says that it is."""
        pool = a_pool(home)
        at_work(pool)
        pool.flush()
        store = FileStore(a_home(home), clock=FakeClock())
        store.snapshot()
        newer = header("x", "new", NOW, min_reader=READER + 1)
        assert isinstance(newer.event, Header)
        store._books.journal.write(newer)
        assert picked(pool) == "ccc003"
        assert kinds(pool._store) == ["newer_version"]

    def test_an_older_key_that_came_back(self, home: Path) -> None:
        """By its row's name; it ends when the row has another key."""
        write_down(home)
        with a_pool(home) as pool:
            pool.select()
        loaded = load_whole(home)["credential_pool"]
        replace_key(home, "sk-the-new-one")
        document = load_whole(home)
        document["credential_pool"] = loaded
        (home / "auth.json").write_text(json.dumps(document))
        write_down(home)
        store = HomeReader(a_home(home), clock=FakeClock()).store
        store.snapshot()
        assert kinds(store) == ["old_secret"]
        assert "into key-aaa001:" in text_of(store, "old_secret")
        replace_key(home, "sk-newer-still")
        store.snapshot()
        assert kinds(store) == []


def replace_key(home: Path, key: str) -> Any:
    with FileStore(a_home(home), clock=FakeClock()).transaction() as change:
        change.update_row(POOL, "aaa001", {"access_token": key})
