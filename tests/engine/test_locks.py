from __future__ import annotations

import errno
import inspect
import os
import threading
from pathlib import Path

import pytest

from fakes import (
    FailingDisk,
    FakeClock,
    a_home,
    a_key,
    a_reader,
    keys,
    load,
    lock_held,
    permissions_count,
    tree,
    write_store,
)
from keydeck.engine.acts import Operator
from keydeck.engine.errors import LockBusy, StoreReadOnly
from keydeck.engine.file_store import FileStore
from keydeck.engine.files import Disk
from keydeck.engine.locks import NOTICE_AFTER_S, hold_lock
from keydeck.engine.store import LOCK_TIMEOUT_S, Store, ignore_wait


def use(store: FileStore, timeout_s: float = 5.0) -> None:
    with store.transaction(timeout_s=timeout_s) as change:
        change.update_row("openrouter", "aaa001", {"request_count": 1})


@pytest.fixture
def store(home: Path) -> FileStore:
    write_store(home, {"openrouter": [a_key()]})
    return FileStore(a_home(home), clock=FakeClock())


def test_a_lock_held_elsewhere_is_an_error_after_the_timeout(home: Path, store: FileStore) -> None:
    """The text says that another process has it and that nothing was changed, and so it is."""
    with lock_held(home):
        before = tree(home)
        with pytest.raises(
            LockBusy, match=r"another process has held the lock for .* nothing was changed"
        ) as caught:
            use(store, timeout_s=0.2)
        assert 0.2 <= caught.value.waited_s < 2
        assert tree(home) == before
    use(store)
    assert load(home)["credential_pool"]["openrouter"][0]["request_count"] == 1


def test_waiting_is_told_from_300_ms_on(home: Path, store: FileStore) -> None:
    """Whoever asked is told how long we have waited, and not before 0.3 s."""
    waited: list[float] = []
    with lock_held(home), pytest.raises(LockBusy), store.transaction(timeout_s=0.8, on_wait=waited.append):
        pass
    assert len(waited) == 1
    assert NOTICE_AFTER_S == 0.3
    assert NOTICE_AFTER_S <= waited[0] < 0.8


def test_a_short_wait_is_not_worth_a_word(home: Path, store: FileStore) -> None:
    """Below 0.3 s nobody is told."""
    waited: list[float] = []
    with lock_held(home), pytest.raises(LockBusy), store.transaction(timeout_s=0.1, on_wait=waited.append):
        pass
    assert waited == []


def test_whoever_is_told_may_give_up(home: Path, store: FileStore) -> None:
    """An error from the notice ends the wait and comes through, and the lock is not left behind."""

    def give_up(_waited_s: float) -> None:
        raise InterruptedError

    with lock_held(home), pytest.raises(InterruptedError), store.transaction(timeout_s=10, on_wait=give_up):
        pass
    use(store, timeout_s=0.2)


def test_whoever_gave_up_meanwhile_gets_a_late_lock_no_more(home: Path, store: FileStore) -> None:
    """The holder lets go after the user gave up and before the next notice: nothing is changed."""
    holder = lock_held(home)
    holder.__enter__()
    notices: list[float] = []

    def let_go_then_give_up(waited_s: float) -> None:
        notices.append(waited_s)
        if len(notices) > 1:
            raise InterruptedError
        holder.__exit__(None, None, None)

    before = load(home)
    with (
        pytest.raises(InterruptedError),
        store.transaction(timeout_s=10, on_wait=let_go_then_give_up) as change,
    ):
        change.update_row("openrouter", "aaa001", {"request_count": 2})
    assert load(home) == before
    use(store, timeout_s=0.2)


def test_a_lock_that_comes_free_is_taken(home: Path, store: FileStore) -> None:
    """The holder lets go while we wait: the write happens."""
    holder = lock_held(home)
    holder.__enter__()
    freed = threading.Event()

    def let_go(_waited_s: float) -> None:
        if not freed.is_set():
            freed.set()
            holder.__exit__(None, None, None)

    with store.transaction(timeout_s=10, on_wait=let_go) as change:
        change.update_row("openrouter", "aaa001", {"request_count": 2})
    assert freed.is_set()
    assert load(home)["credential_pool"]["openrouter"][0]["request_count"] == 2


def test_fifteen_seconds_is_the_default_everywhere() -> None:
    """Hermes and we give up after the same time."""
    assert LOCK_TIMEOUT_S == 15.0
    for function in (FileStore.transaction, Store.transaction, Operator.__init__):
        assert inspect.signature(function).parameters["timeout_s"].default == 15.0


@pytest.mark.usefixtures("store")
def test_the_operator_passes_its_timeout_and_notice_on(home: Path) -> None:
    """An act that cannot have the lock tells its caller and ends as it was asked to."""
    waited: list[float] = []
    operator = Operator(a_reader(home), timeout_s=0.7, on_wait=waited.append)
    with lock_held(home), pytest.raises(LockBusy):
        operator.reset("openrouter")
    assert waited
    assert not [path for path in tree(home) if "backups" in path]


def test_the_lock_file_stays_private_and_empty(home: Path, store: FileStore) -> None:
    """It is made once, 0600, and never removed, so that hermes and we lock the same inode."""
    use(store)
    made = (home / "auth.lock").stat()
    assert (made.st_mode & 0o777, made.st_size) == (0o600, 0)
    with FileStore(a_home(home)).transaction() as change:
        change.update_row("openrouter", "aaa001", {"request_count": 5})
    assert (home / "auth.lock").stat().st_ino == made.st_ino


def test_a_lock_file_of_hermes_is_used_as_it_is(home: Path, store: FileStore) -> None:
    """Its mode and content are none of our business."""
    (home / "auth.lock").write_bytes(b"x")
    (home / "auth.lock").chmod(0o644)
    use(store)
    status = (home / "auth.lock").stat()
    assert (status.st_mode & 0o777, (home / "auth.lock").read_bytes()) == (0o644, b"x")


def test_a_reader_does_not_wait(home: Path, store: FileStore) -> None:
    """A snapshot is taken while somebody else holds the lock."""
    with lock_held(home):
        assert [row.id for row in store.snapshot().pools["openrouter"]] == ["aaa001"]


def test_a_lock_through_a_symlink_locks_both_places(tmp_path: Path) -> None:
    """Hermes locks beside the name, another home beside its own: both are held."""
    write_store(tmp_path / "real", {"openrouter": [a_key()]})
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "auth.json").symlink_to(tmp_path / "real" / "auth.json")
    store = FileStore(a_home(tmp_path / "linked"), clock=FakeClock())
    for place in ("linked", "real"):
        with lock_held(tmp_path / place), pytest.raises(LockBusy):
            use(store, timeout_s=0.1)
    use(store)
    assert load(tmp_path / "real")["credential_pool"]["openrouter"][0]["request_count"] == 1


def test_threads_of_one_process_exclude_each_other(home: Path) -> None:
    """Sixteen threads that each add one to a count add sixteen."""
    write_store(home, {"openrouter": [a_key()]})
    store = FileStore(a_home(home), clock=FakeClock())
    errors: list[BaseException] = []

    def add_one() -> None:
        try:
            with store.transaction(timeout_s=20) as change:
                (row,) = change.snapshot().pools["openrouter"]
                change.update_row(
                    "openrouter", row.id, {"request_count": getattr(row, "request_count", 0) + 1}
                )
        except BaseException as error:  # noqa: BLE001 - told by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=add_one) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert errors == []
    assert load(home)["credential_pool"]["openrouter"][0]["request_count"] == 16


@pytest.mark.parametrize("what", ["folder", "unreadable"])
def test_a_lock_file_that_cannot_be_opened_makes_the_store_read_only(
    home: Path, store: FileStore, what: str
) -> None:
    """Without the lock nothing is written, and the text says that locking failed."""
    lock = home / "auth.lock"
    if what == "folder":
        lock.mkdir()
    else:
        lock.write_bytes(b"")
        lock.chmod(0)
    before = (home / "auth.json").read_bytes()
    with permissions_count(), pytest.raises(StoreReadOnly, match="cannot lock"):
        use(store)
    assert (home / "auth.json").read_bytes() == before


def test_a_file_system_without_locks_is_read_only(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A soft lock would lock out nobody but ourselves: it is refused, and leaves nothing behind."""
    import fcntl

    def unsupported(_fd: int, _how: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    write_store(home, {"openrouter": keys("aaa001")})
    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.raises(StoreReadOnly, match="cannot lock"):
        use(FileStore(a_home(home), clock=FakeClock()))
    assert sorted(tree(home)) == ["auth.json", "auth.lock"]


def test_a_lock_file_that_cannot_be_made_private_first_is_still_taken(home: Path) -> None:
    """Making it ourselves is a courtesy to its owner, not a condition."""
    home.mkdir()
    with hold_lock(FailingDisk(on={"open_new"}), home / "auth.lock", timeout_s=1, on_wait=ignore_wait):
        assert (home / "auth.lock").exists()
    with hold_lock(Disk(), home / "auth.lock", timeout_s=1, on_wait=ignore_wait):
        pass
