from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from fakes import FailingDisk, FakeClock, a_home, keys, tree, write_store
from keydeck.engine import follower
from keydeck.engine.events import Event, Failed, Header, Record, Sealed, Used, encode
from keydeck.engine.file_store import FileStore
from keydeck.engine.files import Disk
from keydeck.engine.follower import Block, Follower


def fail(number: int) -> Event:
    return Failed(ids=("aaa001",), provider="openrouter", code=429, message=f"no {number}")


def use(number: int = 1) -> Event:
    return Used(counts={"aaa001": number})


def segment(
    folder: Path, number: int, events: Iterable[Event], *, first: int = 1, sealed: bool = True
) -> None:
    """Write a segment whose events were told a second apart by one writer, beginning with number `first`."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [Record(float(first), "w", 0, Header(store="s"))]
    records += [Record(float(seq), "w", seq, event) for seq, event in enumerate(events, first)]
    records += [Record(0.0, "w", 0, Sealed(next=number + 1))] if sealed else []
    data = b"".join(b"\n" + encode(record) + b"\n" for record in records)
    (folder / f"journal-{number:06d}.jsonl").write_bytes(data)


def append(folder: Path, number: int, seq: int, event: Event) -> None:
    with (folder / f"journal-{number:06d}.jsonl").open("ab") as file:
        file.write(b"\n" + encode(Record(float(seq), "w", seq, event)) + b"\n")


def seqs(blocks: Iterable[Block]) -> list[list[int]]:
    return [[record.seq for _, record in block.records if record.seq] for block in blocks]


def past(journal: Follower, *, uses_since: float = 0.0, most_bytes: int = 1 << 30) -> list[Block]:
    return list(journal.look_back(uses_since=uses_since, most_bytes=most_bytes))


@pytest.fixture
def folder(home: Path) -> Path:
    return home / "keydeck"


def test_the_past_comes_newest_block_first(folder: Path) -> None:
    """A block a segment where they are short; each in order, and nothing twice."""
    segment(folder, 1, [fail(1), fail(2)])
    segment(folder, 2, [fail(3)], first=3)
    segment(folder, 3, [fail(4), fail(5)], first=4, sealed=False)
    journal = Follower(Disk(), folder)
    assert seqs(past(journal)) == [[4, 5], [3], [1, 2]]
    assert journal.read_on() == []


def test_a_long_segment_is_read_in_pieces_and_no_line_is_cut(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the size of a piece: one that is shorter than a line grows; records say where they stand."""
    segment(folder, 1, map(fail, range(1, 41)), sealed=False)
    whole = past(Follower(Disk(), folder))[0].records
    for size in (1, 7, 64, 150, 1000):
        monkeypatch.setattr(follower, "BLOCK_BYTES", size)
        blocks = past(Follower(Disk(), folder))
        assert [placed for block in reversed(blocks) for placed in block.records] == whole
        assert len(blocks) > 1 or size == 1000


def test_no_more_is_looked_through_than_wanted(folder: Path) -> None:
    """The newest segments fill the measure; the oldest are never opened."""
    for number in range(1, 6):
        segment(folder, number, [fail(number)] * 50, first=number * 100, sealed=number < 5)
    disk = FailingDisk()
    size = (folder / "journal-000005.jsonl").stat().st_size
    assert len(past(Follower(disk, folder), most_bytes=size + 1)) == 2
    read = disk.calls.count("open_read")
    past(Follower(disk, folder))
    assert disk.calls.count("open_read") - read > read


def test_uses_before_the_time_they_are_wanted_for_are_left_out(folder: Path) -> None:
    """Behind the first block that is older as a whole: one wrong clock does not hide the rest."""
    segment(folder, 1, [use(), fail(1), use()])
    segment(folder, 2, [use(), fail(2)], first=1000)
    segment(folder, 3, [use()], first=2000, sealed=False)
    assert seqs(past(Follower(Disk(), folder), uses_since=1001)) == [[2000], [1000, 1001], [1, 2, 3]]
    assert seqs(past(Follower(Disk(), folder), uses_since=1002)) == [[2000], [1000, 1001], [2]]


def test_what_stands_behind_a_seal_is_void(folder: Path) -> None:
    """In the past as in what comes: whoever wrote it tells it again in the next segment."""
    segment(folder, 1, [fail(1)], sealed=False)
    journal = Follower(Disk(), folder)
    assert seqs(past(journal)) == [[1]]
    segment(folder, 1, [fail(1)])
    append(folder, 1, 2, fail(2))
    segment(folder, 2, [fail(3)], first=3, sealed=False)
    assert seqs(journal.read_on()) == [[3]]
    assert seqs(past(Follower(Disk(), folder))) == [[3], [1]]


def test_it_goes_on_where_the_past_ended(folder: Path) -> None:
    """A torn line is waited for; nothing is told twice, through a rotation as well."""
    segment(folder, 1, [fail(1)], sealed=False)
    path = folder / "journal-000001.jsonl"
    line = b"\n" + encode(Record(2.0, "w", 2, fail(2))) + b"\n"
    path.write_bytes(path.read_bytes() + line[:20])
    journal = Follower(Disk(), folder)
    assert seqs(past(journal)) == [[1]]
    assert journal.read_on() == []
    with path.open("ab") as file:
        file.write(line[20:])
    assert seqs(journal.read_on()) == [[2]]
    with path.open("ab") as file:
        file.write(b"\n" + encode(Record(0.0, "w", 0, Sealed(next=2))) + b"\n")
    segment(folder, 2, [fail(3)], first=3, sealed=False)
    (block,) = journal.read_on()
    assert (seqs([block]), block.after_gap) == ([[3]], False)
    assert journal.read_on() == []


def test_a_segment_made_ahead_of_its_seal_is_not_mistaken_for_the_end(folder: Path) -> None:
    """Others still write to the one before: that is the one to follow."""
    segment(folder, 1, [fail(1)], sealed=False)
    segment(folder, 2, [], sealed=False)
    journal = Follower(Disk(), folder)
    assert seqs(past(journal)) == [[1]]
    append(folder, 1, 2, fail(2))
    assert seqs(journal.read_on()) == [[2]]


def test_a_missing_segment_is_a_gap(folder: Path) -> None:
    """The records after it say so, in the past and in what comes."""
    segment(folder, 1, [fail(1)])
    segment(folder, 3, [fail(3)], first=3, sealed=False)
    blocks = past(Follower(Disk(), folder))
    assert [(block.after_gap, *seqs([block])) for block in blocks] == [(True, [3]), (False, [1])]
    (folder / "journal-000003.jsonl").unlink()
    journal = Follower(Disk(), folder)
    assert seqs(past(journal)) == [[1]]
    assert journal.read_on() == []
    segment(folder, 3, [fail(3)], first=3, sealed=False)
    (block,) = (block for block in journal.read_on() if seqs([block]) != [[]])
    assert block.after_gap


def test_a_folder_that_was_taken_away_is_followed_where_it_begins_again(folder: Path) -> None:
    """Removed, or moved aside; what was between is a gap."""
    for take_away in (shutil.rmtree, lambda there: there.rename(there.with_name("aside"))):
        segment(folder, 1, [fail(1)], sealed=False)
        journal = Follower(Disk(), folder)
        past(journal)
        take_away(folder)
        assert journal.read_on() == []
        segment(folder, 2, [fail(2)], first=2, sealed=False)
        (block,) = journal.read_on()
        assert (seqs([block]), block.after_gap) == ([[2]], True)
        assert journal.read_on() == []
        shutil.rmtree(folder)


def test_a_journal_that_begins_later_is_followed_from_its_beginning(folder: Path) -> None:
    """Nothing is missing then."""
    journal = Follower(Disk(), folder)
    assert past(journal) == []
    assert journal.read_on() == []
    segment(folder, 1, [fail(1)], sealed=False)
    (block,) = journal.read_on()
    assert (seqs([block]), block.after_gap) == ([[1]], False)


def test_following_writes_nothing_and_an_unreadable_journal_says_nothing(folder: Path) -> None:
    """Bytes and times stay; an error of the disk is waited out."""
    segment(folder, 1, [fail(1)], sealed=False)
    before = tree(folder)
    disk = FailingDisk()
    journal = Follower(disk, folder)
    past(journal)
    journal.read_on()
    assert tree(folder) == before
    append(folder, 1, 2, fail(2))
    disk.on = {"read_at"}
    assert journal.read_on() == []
    disk.heal()
    assert seqs(journal.read_on()) == [[2]]
    journal.close()


def test_a_store_is_followed_while_it_is_written(home: Path) -> None:
    """What the store itself tells comes, however often its journal is sealed meanwhile."""
    write_store(home, {"openrouter": keys("aaa001")})
    store = FileStore(a_home(home), clock=FakeClock())
    store.snapshot()
    journal = store.follow()
    past(journal)
    told = []
    for number in range(5):
        store.append(fail(number))
        store._books._rotate()
        told += [record.event for block in journal.read_on() for _, record in block.records if record.seq]
    assert told == [fail(number) for number in range(5)]
    store.close()
