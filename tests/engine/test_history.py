from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from fakes import NOW, FailingDisk, FakeClock, a_home, a_reader, keys, write_store
from keydeck.engine.events import START, Used
from keydeck.engine.file_store import FileStore
from keydeck.engine.files import Disk
from keydeck.engine.history import prune, read_history, totals_now
from keydeck.engine.journal import Journal
from keydeck.engine.totals import HOURS_KEPT, MINUTES_KEPT, Totals, read_totals

POOL = "openrouter"


def an_old_home(home: Path, segments: int) -> FileStore:
    """Return a store with so many sealed segments, a minute and ten uses each, and a checkpoint at their end."""
    write_store(home, {POOL: keys("aaa001")})
    clock = FakeClock()
    store = FileStore(a_home(home), clock=clock)
    store.snapshot()
    for _ in range(segments):
        store.count("aaa001", 10)
        store.flush()
        store._books._rotate()
        clock.forward(60)
    store.keep_history(1 << 30, 1e12)
    assert store.checkpoint()
    return store


def uses(folder: Path) -> int:
    return sum(sum(slot.values()) for slot in totals_now(Disk(), folder).minutes.values())


def segments(folder: Path) -> list[int]:
    return sorted(int(path.name[8:14]) for path in folder.glob("journal-*"))


def test_the_journal_tells_what_happened_from_its_beginning(home: Path) -> None:
    """Every use with its time, in order, through all segments."""
    an_old_home(home, 3)
    told = [(record.at, record.event) for _, record in read_history(Disk(), home / "keydeck")]
    assert [(at, event.counts) for at, event in told if isinstance(event, Used)] == [
        (NOW + minute * 60, {"aaa001": 10}) for minute in range(3)
    ]


def test_what_is_too_much_leaves_the_journal_and_stays_as_totals(home: Path) -> None:
    """The oldest segments go first, none that a checkpoint does not cover; per minute nothing is lost."""
    store, folder = an_old_home(home, 5), home / "keydeck"
    assert segments(folder) == [1, 2, 3, 4, 5, 6]
    before = totals_now(Disk(), folder)
    size = sum(path.stat().st_size for path in folder.glob("journal-*"))
    prune(Disk(), folder, store.position(), NOW, kept_bytes=size - 1, kept_s=1e12)
    assert segments(folder) == [2, 3, 4, 5, 6]
    store.keep_history(0, 1e12)
    assert store.checkpoint()
    assert segments(folder) == [6]
    after = totals_now(Disk(), folder)
    assert (after.minutes, after.hours) == (before.minutes, before.hours)
    assert [sum(slot.values()) for slot in after.minutes.values()] == [10] * 5
    late = FileStore(a_home(home), clock=FakeClock())
    late.snapshot()
    facts = late.facts("aaa001")
    assert facts is not None
    assert facts.used == 50


def test_what_follows_a_missing_segment_is_told(home: Path) -> None:
    """Only what the segment itself said is missing, in the history and in the sums."""
    an_old_home(home, 3)
    folder = home / "keydeck"
    Journal(Disk(), folder).path(2).unlink()
    told = [record.at for _, record in read_history(Disk(), folder) if isinstance(record.event, Used)]
    assert told == [NOW, NOW + 120]
    assert uses(folder) == 20


def test_segments_that_are_too_old_leave_the_journal(home: Path) -> None:
    """By the time of their last write."""
    store, folder = an_old_home(home, 3), home / "keydeck"
    os.utime(folder / "journal-000001.jsonl", (NOW - 10, NOW - 10))
    os.utime(folder / "journal-000002.jsonl", (NOW - 1, NOW - 1))
    prune(Disk(), folder, store.position(), NOW, kept_s=5)
    assert segments(folder) == [2, 3, 4]


def test_a_segment_that_no_checkpoint_covers_stays(home: Path) -> None:
    """However much history there is."""
    an_old_home(home, 3)
    prune(Disk(), home / "keydeck", (2, 0), NOW, kept_bytes=0)
    assert segments(home / "keydeck") == [2, 3, 4]


def test_totals_that_cannot_be_written_keep_the_segments(home: Path) -> None:
    """And a second try counts nothing twice."""
    store, folder = an_old_home(home, 3), home / "keydeck"
    disk = FailingDisk(on={"replace"})
    for kind in (disk, FailingDisk(on={"unlink"}), Disk()):
        with suppress(OSError):
            prune(kind, folder, store.position(), NOW, kept_bytes=0)
        assert uses(folder) == 30
    assert segments(folder) == [4]


def test_old_minutes_and_hours_are_forgotten() -> None:
    """A day of minutes and thirty days of hours stay."""
    totals = Totals(
        minutes={int(NOW // 60): {"a": 1}, int(NOW // 60) - MINUTES_KEPT - 1: {"a": 1}},
        hours={int(NOW // 3600): {"a": 1}, int(NOW // 3600) - HOURS_KEPT - 1: {"a": 1}},
    )
    totals.prune(NOW)
    assert (len(totals.minutes), len(totals.hours)) == (1, 1)


def test_totals_that_cannot_be_understood_are_none(home: Path) -> None:
    """They only tell the past."""
    (home / "keydeck").mkdir(parents=True)
    for text in ("", "[]", '{"pos":[1]}', '{"pos":[1,2],"minutes":5,"hours":{}}'):
        (home / "keydeck" / "totals.json").write_text(text)
        totals = read_totals(Disk(), home / "keydeck")
        assert (totals.position, totals.minutes, totals.hours) == (START, {}, {})


def test_long_segments_are_sealed(home: Path) -> None:
    """With the next flush after they have grown too long."""
    from keydeck.engine.journal import SEGMENT_BYTES

    write_store(home, {POOL: keys("aaa001")})
    store = FileStore(a_home(home), clock=FakeClock())
    store.snapshot()
    store.count("aaa001")
    store.flush()
    with (home / "keydeck" / "journal-000001.jsonl").open("ab") as file:
        file.write(b"\n" * SEGMENT_BYTES)
    store.count("aaa001")
    store.flush()
    store.count("aaa001")
    store.flush()
    assert segments(home / "keydeck") == [1, 2]
    facts = store.facts("aaa001")
    assert facts is not None
    assert facts.used == 3


def test_config_says_how_much_is_kept(home: Path) -> None:
    """In MiB and days; what makes no sense is the default."""
    home.mkdir()
    for text, kept in (
        ("{mib: 1, days: 2}", (1 << 20, 172_800.0)),
        ("{mib: -1, days: soon}", (64 << 20, 2_592_000.0)),
        ("[]", (64 << 20, 2_592_000.0)),
    ):
        (home / "config.yaml").write_text(f"credential_pool: {{history: {text}}}\n")
        config = a_reader(home).config()
        assert (config.history_bytes, config.history_s) == kept
