"""The numbered rules of design 3, each by a case that goes wrong without it."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from fakes import (
    NOW,
    FailingDisk,
    FakeClock,
    a_home,
    a_key,
    a_pool,
    benched,
    in_another_process,
    keys,
    load,
    load_whole,
    lock_held,
    permissions_count,
    write_store,
)
from keydeck.engine import flusher
from keydeck.engine.acts import Operator
from keydeck.engine.events import Event, Failed, Header, Outside, Record, Sealed, decode, encode
from keydeck.engine.file_store import FileStore
from keydeck.engine.files import Disk
from keydeck.engine.journal import Journal
from keydeck.engine.locks import hold_lock
from keydeck.engine.pool import CredentialPool
from keydeck.engine.snapshot import HomeReader

POOL = "openrouter"


def a_store(home: Path, disk: Disk | None = None, clock: FakeClock | None = None) -> FileStore:
    """Return a store that has read the home."""
    store = FileStore(a_home(home), disk=disk, clock=clock or FakeClock())
    store.snapshot()
    return store


def use(store: FileStore, row_id: str = "aaa001", number: int = 1) -> None:
    store.count(row_id, number)
    store.flush()


def fail(store: FileStore, row_id: str = "aaa001", **fields: Any) -> None:
    store.append(Failed(ids=(row_id,), provider=POOL, code=429, **fields))


def used(store: FileStore, row_id: str = "aaa001") -> int:
    store.poll()
    facts = store.facts(row_id)
    return facts.used if facts else 0


def is_benched(store: FileStore, row_id: str = "aaa001") -> bool:
    store.poll()
    facts = store.facts(row_id)
    return bool(facts and facts.bench)


def segment(home: Path, number: int = 1) -> Path:
    return home / "keydeck" / f"journal-{number:06d}.jsonl"


def journal(home: Path) -> list[Record]:
    """Return every record in every segment, void ones too."""
    lines = (
        line
        for path in sorted((home / "keydeck").glob("journal-*"))
        for line in path.read_bytes().split(b"\n")
    )
    return [record for line in lines if (record := decode(line))]


def outside(home: Path) -> list[tuple[str, str]]:
    return [(event.id, event.what) for _, _, _, event in journal(home) if isinstance(event, Outside)]


def rewrite(home: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as hermes does: they replace those of the file, everything else stays."""
    document = load_whole(home)
    document["credential_pool"][POOL] = rows
    (home / "auth.json").write_text(json.dumps(document, indent=2))


def rows_of(home: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = load_whole(home)["credential_pool"][POOL]
    return rows


@pytest.fixture
def two(home: Path) -> Path:
    """Return a home with two ready keys."""
    write_store(home, {POOL: keys("aaa001", "bbb002")})
    return home


# --- 1 to 3: the journal -----------------------------------------------------------------------------------


def test_rule_1_what_is_appended_behind_a_seal_is_told_again(two: Path) -> None:
    """A writer that had not read the seal goes on in the next segment, and its uses count once."""
    first, second = a_store(two), a_store(two)
    use(first)
    use(second)
    first._books._rotate()
    use(second, number=5)
    assert segment(two, 2).read_bytes().count(b'"e":"use"') == 1
    assert [used(store) for store in (first, second, a_store(two))] == [7, 7, 7]


def test_rule_2_a_reader_follows_seals_and_not_numbers(two: Path) -> None:
    """A segment that nobody's seal leads to, left by a writer that was killed while rotating, is not read."""
    first = a_store(two)
    use(first)
    segment(two, 2).write_bytes(b"")
    use(first)
    late = a_store(two)
    assert used(late) == 2
    assert late.position()[0] == 1
    first._books._rotate()
    use(first)
    assert (used(late), late.position()[0]) == (3, 2)
    heads = [record.event for record in journal(two) if isinstance(record.event, Header)]
    assert len({head.store for head in heads}) == 1
    assert len(heads) == 2


def test_rule_2_the_next_segment_is_there_before_the_seal(two: Path) -> None:
    """Where the next segment cannot be made the present one is not sealed."""
    disk = FailingDisk(errno.ENOSPC)
    store = a_store(two, disk)
    use(store)
    disk.on = {"open_new"}
    store._books._rotate()
    disk.heal()
    assert not [record for record in journal(two) if isinstance(record.event, Sealed)]
    use(store)
    assert used(a_store(two)) == 2


def test_rule_3_torn_lines_holes_and_unknown_ones_are_passed_over(two: Path) -> None:
    """Each spoils itself only, and a line that is still being written is read when it is whole."""
    store, reader = a_store(two), a_store(two)
    use(store)
    with segment(two).open("ab") as file:
        file.write(b'\n{"e":"use","t":1,"w":"torn","s":1,"n":{"aaa001":100}')
    use(store)
    with segment(two).open("ab") as file:
        file.write(b"\n" + b"\x00" * 100 + b'\n\n{"e":"teleport","t":1,"w":"x","s":1}\n[]\n')
    use(store)
    assert used(reader) == 3
    line = encode(Record(NOW, "y", 1, store_event := Failed(ids=("bbb002",), provider=POOL)))
    with segment(two).open("ab", buffering=0) as file:
        file.write(b"\n" + line[:20])
        assert not is_benched(reader, "bbb002")
        file.write(line[20:] + b"\n")
    assert isinstance(store_event, Event)
    assert is_benched(reader, "bbb002")


def test_rule_3_a_missing_segment_leaves_the_state_exact_and_the_history_with_a_gap(two: Path) -> None:
    """A reader that slept while its segment was pruned starts again from the checkpoint, and says so."""
    sleeper, store = a_store(two), a_store(two)
    use(store)
    sleeper.poll()
    for _ in range(2):
        store._books._rotate()
        use(store, number=3)
    assert store.checkpoint()
    store._books.journal.remove_before(3)
    assert not segment(two, 2).exists()
    assert not sleeper.has_gap
    assert used(sleeper) == 7
    assert sleeper.has_gap
    use(store)
    assert used(sleeper) == 8


def test_rule_3_the_parsed_file_is_kept_open_so_that_no_other_gets_its_inode(two: Path) -> None:
    """Until another one is parsed."""
    store = a_store(two)
    inode = (two / "auth.json").stat().st_ino
    (two / "auth.json").unlink()
    held = [
        os.stat(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}") or True
        if _is_open(fd)
    ]
    assert inode in [status.st_ino for status in held]
    store.close()


def _is_open(fd: str) -> bool:
    try:
        os.fstat(int(fd))
    except OSError:
        return False
    return True


# --- 4 to 7: telling, and summing up -----------------------------------------------------------------------


def test_rule_4_uses_that_did_not_land_are_told_again_and_once(two: Path) -> None:
    """A write that fails, in part, or after it has landed: each use counts once."""

    class Odd(Disk):
        how = "whole"

        def write(self, fd: int, data: bytes) -> int:
            if self.how == "part":
                return super().write(fd, data[:30])
            taken = super().write(fd, data)
            if self.how == "landed":
                raise OSError(errno.EIO, "input/output error")
            return taken

    disk = Odd()
    store = a_store(two, disk)
    use(store)
    for how in ("part", "landed", "part"):
        disk.how = how
        use(store, number=10)
        disk.how = "whole"
        store.flush()
    assert not store._books.has_unsent
    assert [used(each) for each in (store, a_store(two))] == [31, 31]


def test_rule_4_what_a_new_base_proves_lost_is_told_again(two: Path) -> None:
    """The journal is gone and somebody who had not read our last uses began again: they are not lost."""
    first, second = a_store(two), a_store(two)
    use(first)
    used(second)
    use(first, number=4)  # second does not know of these
    shutil.rmtree(two / "keydeck")
    second._books.journal._looked_at = os.fstat(second._books.journal._fd or 0).st_size
    second._books.journal.position = (1, second._books.journal._looked_at)
    assert second.checkpoint()
    assert used(first) == 5
    first.flush()
    assert [used(each) for each in (second, a_store(two))] == [5, 5]


KILLED = """
import os, signal, sys, time
from keydeck import load_pool
pool = load_pool("openrouter", home=sys.argv[1])
for _ in range(10):
    pool.select()
time.sleep(0.5)
pool.mark_exhausted_and_rotate(status_code=429)
os.kill(os.getpid(), signal.SIGKILL) if os.fork() == 0 else os.wait()
os._exit(0)
"""


def test_rule_5_a_kill_loses_no_acknowledged_failure_and_a_tenth_of_a_second_of_uses(two: Path) -> None:
    """Uses are told by the thread in the background, failures before the call returns."""
    in_another_process(KILLED, two)
    store = a_store(two)
    assert is_benched(store)
    assert used(store) == 10
    assert used(store, "bbb002") in (0, 1)


def test_rule_6_a_checkpoint_never_forgets_what_a_later_one_knew(two: Path) -> None:
    """Who takes the lock with an old view reads on first: the position only grows."""
    first, second = a_store(two), a_store(two)
    use(first)
    assert first.checkpoint()
    before = json.loads((two / "keydeck" / "checkpoint.json").read_text())["pos"]
    use(first, number=6)
    second._books.journal._looked_at = 0  # it has looked at nothing since it opened
    assert second.checkpoint()
    after = json.loads((two / "keydeck" / "checkpoint.json").read_text())
    assert after["pos"] > before
    assert after["rows"]["aaa001"]["n"] == 7
    assert load(two)["credential_pool"][POOL][0]["request_count"] == 7


def test_rule_7_an_announced_file_is_not_parsed_again(two: Path) -> None:
    """A checkpoint elsewhere changes no row that the journal had not told of; another's write is read."""
    pool, other = a_pool(two), a_store(two)
    pool.select()
    pool.flush()
    assert other.checkpoint()
    reads: list[int] = []
    real = pool._read
    pool._read = lambda: reads.append(1) or real()  # type: ignore[method-assign, func-returns-value]
    for _ in range(3):
        use(other, "bbb002")
        assert other.checkpoint()
        assert pool.select() is not None
    assert reads == []
    assert pool._store.changed_since(0) != frozenset()
    rewrite(two, [*rows_of(two), a_key("ccc003", priority=9)])
    pool.select()
    assert reads == [1]
    assert len(pool.entries()) == 3


# --- 8 to 10: strangers ------------------------------------------------------------------------------------


@pytest.fixture
def stale(two: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows as hermes had loaded them before a bench, a rename and some uses were written."""
    store = a_store(two)
    use(store, number=3)
    assert store.checkpoint()
    loaded = rows_of(two)
    use(store, number=4)
    fail(store)
    Operator(HomeReader(a_home(two), clock=FakeClock())).edit(POOL, "aaa001", label="renamed")
    assert store.checkpoint()
    yield loaded
    store.close()


def test_rule_8_a_stale_rewrite_is_healed_once_and_told_once(two: Path, stale: list[dict[str, Any]]) -> None:
    """Its lost counts, bench and name come back with the next checkpoint; pools never obeyed it."""
    rewrite(two, stale)
    first, second = a_store(two), a_store(two)
    assert is_benched(first)
    assert used(first) == 7
    assert [row.label for row in a_pool(two).entries()] == ["renamed", "key-bbb002"]
    assert first.checkpoint()
    assert second.checkpoint()
    assert outside(two) == [("aaa001", "lost cooldown, count, label")]
    row = load(two)["credential_pool"][POOL][0]
    assert (row["last_error_code"], row["request_count"], row["label"]) == (429, 7, "renamed")


def test_rule_8_a_stale_writers_newer_facts_are_taken(two: Path, stale: list[dict[str, Any]]) -> None:
    """It benched another row meanwhile: that holds, what it did not know of holds too."""
    stale[1].update(benched(402, ago=-5))
    rewrite(two, stale)
    store = a_store(two)
    assert is_benched(store)
    assert is_benched(store, "bbb002")
    assert store.checkpoint()
    assert outside(two) == [("aaa001", "lost cooldown, count, label"), ("bbb002", "benched")]
    assert [row["last_error_code"] for row in rows_of(two)] == [429, 402]


@pytest.mark.usefixtures("stale")
def test_rule_8_who_had_seen_our_last_writing_is_obeyed(two: Path) -> None:
    """Another program's reset, count and name under the present stamp are accepted as they are."""
    rows = rows_of(two)
    rows[0].update(
        last_status=None, last_status_at=None, last_error_code=None, request_count=9, label="theirs"
    )
    rewrite(two, rows)
    store = a_store(two)
    assert not is_benched(store)
    assert store.checkpoint()
    assert outside(two) == [("aaa001", "cleared"), ("aaa001", "used"), ("aaa001", "renamed")]
    row = load(two)["credential_pool"][POOL][0]
    assert (row["last_error_code"], row["request_count"], row["label"]) == (None, 9, "theirs")
    assert used(a_store(two)) == 9


def test_rule_8_rows_that_cannot_carry_a_stamp_are_judged_by_their_counts(home: Path) -> None:
    """A nous row that comes back with fewer requests was written by somebody out of date."""
    write_store(home, {"nous": [a_key("aaa001", agent_key_id="theirs")]})
    store = a_store(home)
    use(store, number=5)
    fail(store)
    assert store.checkpoint()
    document = load_whole(home)
    assert document["credential_pool"]["nous"][0]["agent_key_id"] == "theirs"
    document["credential_pool"]["nous"] = [a_key("aaa001", agent_key_id="theirs")]
    (home / "auth.json").write_text(json.dumps(document))
    late = a_store(home)
    assert is_benched(late)
    assert late.checkpoint()
    assert outside(home) == [("aaa001", "lost cooldown, count")]


def test_rule_9_a_removed_row_that_comes_back_is_removed_again(two: Path) -> None:
    """By a stale writer, with the same secret; it is told once, and no pool picks it meanwhile."""
    loaded = rows_of(two)
    Operator(HomeReader(a_home(two), clock=FakeClock())).remove(POOL, "aaa001")
    rewrite(two, loaded)
    assert [row.id for row in a_pool(two).entries()] == ["bbb002"]
    for store in (a_store(two), a_store(two)):
        assert store.checkpoint()
    assert [row["id"] for row in rows_of(two)] == ["bbb002"]
    assert outside(two).count(("aaa001", "came back")) == 1


def test_rule_9_another_secret_under_a_removed_id_is_another_key(two: Path) -> None:
    """Ids are short; a row that only shares one with a removed row stays."""
    Operator(HomeReader(a_home(two), clock=FakeClock())).remove(POOL, "aaa001")
    rewrite(two, [a_key("aaa001", access_token="sk-quite-another"), *rows_of(two)])
    assert [row.id for row in a_pool(two).entries()] == ["aaa001", "bbb002"]
    assert a_store(two).checkpoint()
    assert [row["id"] for row in rows_of(two)] == ["aaa001", "bbb002"]


def test_rule_9_a_restored_copy_of_the_file_lifts_the_tombstones_made_since(two: Path) -> None:
    """The operator put an older auth.json in place: its rows and names win, counts and benches stay ours."""
    store = a_store(two)
    use(store, number=2)
    assert store.checkpoint()
    copy = (two / "auth.json").read_bytes()
    operator = Operator(HomeReader(a_home(two), clock=FakeClock()))
    operator.remove(POOL, "aaa001")
    operator.edit(POOL, "bbb002", label="renamed since")
    use(store, "bbb002", 5)
    (two / "auth.json").write_bytes(copy)
    pool = a_pool(two)
    assert [(row.id, row.label, row.request_count) for row in pool.entries()] == [
        ("aaa001", "key-aaa001", 2),
        ("bbb002", "key-bbb002", 5),
    ]
    assert a_store(two).checkpoint()
    assert [row["id"] for row in rows_of(two)] == ["aaa001", "bbb002"]
    assert [row["request_count"] for row in rows_of(two)] == [2, 5]


def test_rule_9_a_copy_from_before_keydeck_is_an_old_copy_too(two: Path) -> None:
    """It has no section at all; no use counts twice."""
    copy = (two / "auth.json").read_bytes()
    store = a_store(two)
    use(store, number=3)
    fail(store)
    assert store.checkpoint()
    (two / "auth.json").write_bytes(copy)
    late = a_store(two)
    assert (used(late), is_benched(late)) == (3, True)
    assert late.checkpoint()
    assert rows_of(two)[0]["request_count"] == 3


def test_rule_10_the_operators_order_survives_hermes_round_robin(two: Path) -> None:
    """We go on in our order, and write it back once a minute at most."""
    clock = FakeClock()
    store = a_store(two, clock=clock)
    use(store)
    assert store.checkpoint()
    for minute in range(2):
        rows = rows_of(two)
        rows[0]["priority"], rows[1]["priority"] = 1, 0
        rewrite(two, rows)
        assert [row.id for row in a_pool(two).entries()] == ["aaa001", "bbb002"]
        use(store)
        assert store.checkpoint()
        assert [row["priority"] for row in rows_of(two)] == [1, 0]
        clock.forward(61)
        use(store)
        assert store.checkpoint()
        assert [row["priority"] for row in rows_of(two)] == [0, 1], minute


# --- 11 and 12: time and forks -----------------------------------------------------------------------------


class SteppingClock(FakeClock):
    """A wall clock that can be set, beside one that cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.ticks = 5.0

    def monotonic(self) -> float:
        return self.ticks

    def forward(self, seconds: float) -> None:
        super().forward(seconds)
        self.ticks += seconds


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_rule_11_a_clock_that_is_set_moves_no_bench(two: Path, step: float) -> None:
    """Ten minutes are ten minutes, whatever the wall clock says in between, after a new reading too."""
    clock = SteppingClock()
    pool = a_pool(two, clock=clock)
    pool.select()
    pool.mark_exhausted_and_rotate(status_code=429, error_context={"reset_at": NOW + 600})
    clock.now += step
    pool._read()
    for passed, expected in ((0, "bbb002"), (590, "bbb002"), (11, "aaa001")):
        clock.forward(passed)
        row = pool.select()
        assert row is not None
        assert row.id == expected


def test_rule_11_a_bench_learned_of_after_the_clock_went_back_lasts_no_longer_than_was_meant(
    two: Path,
) -> None:
    """The wait was ten minutes; an hour backwards does not make it seventy."""
    clock = SteppingClock()
    a_pool(two, clock=clock).mark_exhausted_and_rotate(
        status_code=429, error_context={"reset_at": NOW + 600}, api_key_hint="sk-test-aaa001-secret"
    )
    clock.now -= 3600
    pool = a_pool(two, clock=clock)
    clock.forward(601)
    row = pool.select()
    assert row is not None
    assert row.id == "aaa001"


def test_rule_12_a_forked_child_tells_only_its_own(two: Path) -> None:
    """What the parent had gathered is told by the parent alone; both are counted."""
    pool = a_pool(two)
    for _ in range(3):
        pool.select()
    writer = pool._store._books.writer  # type: ignore[attr-defined]
    child = os.fork()
    if child == 0:
        pool.select()
        fine = pool._store._books.writer != writer and pool.flush()  # type: ignore[attr-defined]
        os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
    pool.flush()
    assert used(a_store(two)) == 4


def _child(home: Path) -> None:
    flusher.set_enabled(True)
    pool = a_pool(home)
    for _ in range(5):
        pool.select()


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_rule_12_children_of_multiprocessing_tell_what_they_have_before_they_end(
    two: Path, method: str
) -> None:
    """They end without the interpreter's exit handlers."""
    context: Any = multiprocessing.get_context(method)
    child = context.Process(target=_child, args=(two,))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    assert used(a_store(two)) == 5


def test_rule_12_a_lock_that_is_held_is_not_kept_by_a_child(home: Path) -> None:
    """The parent is killed while its child lives on: the lock is free."""
    home.mkdir()
    path = home / "auth.lock"
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        with hold_lock(Disk(), path, timeout_s=1, on_wait=lambda _: None):
            child = os.fork()
            if child == 0:
                os.write(writing, b"%d " % os.getpid())
                threading.Event().wait(10)
                os._exit(0)
            threading.Event().wait(0.05)
            os.kill(os.getpid(), 9)
    os.waitpid(parent, 0)
    child = int(os.read(reading, 20))
    try:
        with hold_lock(Disk(), path, timeout_s=0.5, on_wait=lambda _: None):
            pass
    finally:
        os.kill(child, 9)
        os.close(reading)
        os.close(writing)


def test_rule_12_the_thread_starts_with_the_first_use_and_tells_it(two: Path) -> None:
    """Looking starts none."""
    flusher.set_enabled(True)
    pool = a_pool(two)
    pool.entries()
    assert flusher._flusher._thread is None
    pool.select()
    assert flusher._flusher._thread is not None
    late, began = a_store(two), monotonic()
    while used(late) != 1:
        assert monotonic() - began < 5
    pool.close()


# --- 13 to 15: trouble, versions, locks --------------------------------------------------------------------


@pytest.mark.parametrize("call", ["write", "open_append", "mkdir"])
def test_rule_13_selection_and_failures_go_on_in_memory_and_are_told_later(two: Path, call: str) -> None:
    """A full disk or a folder that may not be written is no trouble for picking; nothing is lost."""
    disk = FailingDisk(errno.ENOSPC, on={call})
    pool = a_pool(two, disk=disk)
    pool.select()
    following = pool.mark_exhausted_and_rotate(status_code=429)
    assert following is not None
    assert following.id == "bbb002"
    assert not pool.flush()
    assert not pool._store.checkpoint()
    assert isinstance(pool._store.trouble, OSError)
    assert "keydeck" not in load_whole(two)
    disk.heal()
    assert pool.flush()
    assert pool._store.trouble is None
    store = a_store(two)
    assert (used(store), used(store, "bbb002"), is_benched(store)) == (1, 1, True)


def test_rule_13_a_journal_that_is_deleted_begins_again_from_memory(two: Path) -> None:
    """With the next number; running readers follow, and nothing that was known is lost."""
    first, second = a_store(two), a_store(two)
    use(first, number=3)
    fail(first, "bbb002")
    used(second)
    shutil.rmtree(two / "keydeck")
    assert first.checkpoint()
    assert [path.name for path in sorted((two / "keydeck").glob("journal-*"))] == ["journal-000002.jsonl"]
    use(first)
    for store in (second, a_store(two)):
        assert (used(store), is_benched(store, "bbb002")) == (4, True)
    use(second)
    assert used(first) == 5


def test_rule_13_a_journal_that_is_replaced_by_its_copy_begins_again(two: Path) -> None:
    """What was told into the file that has no name any more is not lost."""
    first, second = a_store(two), a_store(two)
    use(first, number=3)
    assert used(second) == 3
    shutil.copytree(two / "keydeck", two / "copy")
    shutil.rmtree(two / "keydeck")
    (two / "copy").rename(two / "keydeck")
    use(first)
    assert used(second) == 4
    first.tend()
    use(first)
    assert [used(store) for store in (second, a_store(two))] == [5, 5]


def test_rule_13_a_journal_that_may_only_be_read_is_read(two: Path) -> None:
    """Its folder and files belong to somebody else: others' benches are obeyed, ours rule here until it can be told."""
    other = a_store(two)
    use(other)
    for path in ((two / "keydeck"), segment(two)):
        path.chmod(0o500 if path.is_dir() else 0o400)
    with permissions_count():
        pool = a_pool(two)
        fail(other)
        assert [row.id for _ in range(2) if (row := pool.select())] == ["bbb002"] * 2
        assert pool.mark_exhausted_and_rotate(status_code=429) is None
        assert not pool.flush()
        assert not pool._store.checkpoint()
    for path in (segment(two), (two / "keydeck")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    assert pool.flush()
    assert (used(other, "bbb002"), is_benched(other, "bbb002")) == (2, True)


def test_rule_13_a_section_without_a_journal_is_enough(two: Path) -> None:
    """The folder was not copied along: the rows are the truth, and the next segment has a number of its own."""
    store = a_store(two)
    use(store, number=3)
    fail(store)
    assert store.checkpoint()
    store.close()
    shutil.rmtree(two / "keydeck")
    late = a_store(two)
    assert (used(late), is_benched(late)) == (3, True)
    use(late)
    assert used(a_store(two)) == 4
    assert segment(two, 2).exists()


def test_rule_13_the_journal_of_another_store_is_not_folded_over_these_rows(
    two: Path, tmp_path: Path
) -> None:
    """An auth.json from another home: its rows say what there is, and no use counts twice."""
    other = tmp_path / "other"
    write_store(other, {POOL: keys("aaa001")})
    for home, number in ((two, 3), (other, 50)):
        store = a_store(home)
        use(store, number=number)
        assert store.checkpoint()
        store.close()
    running = a_store(two)
    shutil.copy(other / "auth.json", two / "auth.json")
    running.snapshot()
    assert running.facts("aaa001") is None  # as the row says
    assert [row.request_count for row in a_pool(two).entries()] == [50]
    assert running.checkpoint()
    use(running)
    assert [used(store) for store in (running, a_store(two))] == [51, 51]


def test_rule_13_a_journal_that_is_not_this_sections_is_begun_at_its_end(two: Path, tmp_path: Path) -> None:
    """There is not even a checkpoint to tell whose it is: what it says is about other rows."""
    other = tmp_path / "other"
    write_store(other, {POOL: keys("aaa001")})
    stranger, store = a_store(other), a_store(two)
    use(stranger, number=50)
    assert stranger.checkpoint()
    for _ in range(40):
        use(store)
    store.close()
    (two / "keydeck" / "checkpoint.json").unlink()
    shutil.copy(other / "auth.json", two / "auth.json")
    assert [row.request_count for row in a_pool(two).entries()] == [50]
    late = a_store(two)
    use(late)
    assert late.checkpoint()
    assert [used(each) for each in (late, a_store(two))] == [51, 51]


def test_rule_14_who_is_older_than_the_journal_folds_what_it_knows_and_sums_up_nothing(two: Path) -> None:
    """The checkpoint is left to the newer version."""
    store = a_store(two)
    use(store)
    assert store.checkpoint()
    head = Record(NOW, "new", 0, Header(store=store._books.ledger.store or "", min_reader=2))
    with segment(two).open("ab") as file:
        file.write(b"\n" + encode(head) + b'\n\n{"e":"teleport","t":1,"w":"new","s":1}\n')
    before = (two / "keydeck" / "checkpoint.json").read_bytes(), (two / "auth.json").read_bytes()
    use(store, number=5)
    assert used(store) == 6
    store.checkpoint()
    assert ((two / "keydeck" / "checkpoint.json").read_bytes(), (two / "auth.json").read_bytes()) == before


def test_rule_15_a_pick_waits_for_nobody_who_holds_the_lock(two: Path) -> None:
    """Another program holds it for as long as it likes: picks and reports take no notice, and it all lands later."""
    pool = a_pool(two)
    pool.select()
    with lock_held(two):
        began = monotonic()
        for _ in range(200):
            pool.select()
        pool.mark_exhausted_and_rotate(status_code=429)
        assert (monotonic() - began) / 201 < 0.001
        began = monotonic()
        assert not pool._store.checkpoint()
        assert monotonic() - began < 1
        late = a_pool(two).select()
        assert late is not None
        assert late.id == "bbb002"
    pool.close()
    assert rows_of(two)[0]["last_error_code"] == 429


def test_rule_15_inside_a_transaction_other_threads_pick(two: Path) -> None:
    """The lock of the process is free while that of the file is held."""
    reader = HomeReader(a_home(two), clock=FakeClock())
    pool, picked = CredentialPool(POOL, reader), []
    with reader.store.transaction() as change:
        change.update_row(POOL, "aaa001", {"label": "mine"})
        thread = threading.Thread(target=lambda: picked.append(pool.select()))
        thread.start()
        thread.join(5)
        assert len(picked) == 1


def open_below(folder: Path) -> list[str]:
    links = (Path("/proc/self/fd") / fd for fd in os.listdir("/proc/self/fd"))
    return [
        target
        for link in links
        if link.is_symlink() and (target := os.readlink(link)).startswith(str(folder))
    ]


def test_a_store_that_is_closed_holds_no_file(two: Path) -> None:
    """Neither the segment nor the parsed file; used again it opens them again."""
    store = a_store(two)
    use(store)
    assert len(open_below(two)) == 2
    store.close()
    assert open_below(two) == []
    assert Journal(Disk(), two / "keydeck").segments() == [1]
    store.snapshot()
    use(store)
    assert used(store) == 2
