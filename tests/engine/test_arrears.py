"""When the rows are written: soon after a change of health, later for uses, and not at once again after a try failed."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from fakes import FailingDisk, FakeClock, a_home, keys, load_whole, write_store
from keydeck.engine.arrears import HEALTH_AFTER_S, RETRY_AFTER_S, USES_AFTER_S
from keydeck.engine.events import Failed
from keydeck.engine.file_store import FileStore


class Ticks:
    """A monotonic clock that moves only when told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    """Return the clock by which arrears are due."""
    found = Ticks()
    monkeypatch.setattr("keydeck.engine.arrears.monotonic", found)
    return found


@pytest.fixture
def disk() -> FailingDisk:
    """Return a disk that works."""
    return FailingDisk(errno.ENOSPC)


@pytest.fixture
def store(home: Path, disk: FailingDisk) -> FileStore:
    """Return a store with one key that has read its home."""
    write_store(home, {"openrouter": keys("aaa001")})
    made = FileStore(a_home(home), disk=disk, clock=FakeClock())
    made.snapshot()
    return made


def written(home: Path) -> bool:
    return "keydeck" in load_whole(home)


def test_health_is_written_after_half_a_second_and_uses_after_thirty(
    home: Path, store: FileStore, ticks: Ticks
) -> None:
    """Nothing is written before that, and nothing is left to do after it."""
    store.count("aaa001")
    assert store.tend()
    ticks.now += USES_AFTER_S - 0.1
    assert store.tend()
    assert not written(home)
    ticks.now += 0.2
    assert not store.tend()
    before = load_whole(home)
    assert before["credential_pool"]["openrouter"][0]["request_count"] == 1
    store.append(Failed(ids=("aaa001",), provider="openrouter", code=429))
    ticks.now += HEALTH_AFTER_S - 0.1
    assert store.tend()
    assert load_whole(home) == before
    ticks.now += 0.2
    assert not store.tend()
    assert load_whole(home)["credential_pool"]["openrouter"][0]["last_error_code"] == 429


def test_a_try_that_failed_is_not_repeated_ten_times_a_second(
    home: Path, store: FileStore, ticks: Ticks, disk: FailingDisk
) -> None:
    """The rows are read once for it, and again after two seconds; then it takes."""
    store.append(Failed(ids=("aaa001",), provider="openrouter", code=429))
    disk.on = {"open_new"}
    ticks.now += HEALTH_AFTER_S
    assert store.tend()
    tried = disk.calls.count("open_new")
    assert tried
    for _ in range(19):
        ticks.now += RETRY_AFTER_S / 20
        assert store.tend()
    assert disk.calls.count("open_new") == tried
    disk.heal()
    ticks.now += RETRY_AFTER_S / 10
    assert not store.tend()
    assert written(home)
