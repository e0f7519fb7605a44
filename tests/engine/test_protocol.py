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

from crowd import five_uses
from fakes import (
    NOW,
    FailingDisk,
    FakeClock,
    SteppingClock,
    a_home,
    a_key,
    a_login,
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
from keydeck.engine import file_store, flusher
from keydeck.engine.acts import Operator
from keydeck.engine.checkpoint import SUMS_KEPT_S
from keydeck.engine.events import Event, Failed, Header, Outside, Record, Sealed, decode, encode
from keydeck.engine.file_store import FileStore
from keydeck.engine.files import Disk
from keydeck.engine.journal import Journal
from keydeck.engine.ledger import READER
from keydeck.engine.locks import hold_lock
from keydeck.engine.pool import CredentialPool
from keydeck.engine.secret import Secret
from keydeck.engine.snapshot import HomeReader
from keydeck.engine.store import Store

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
    return bool(facts and facts.benches.strikes)


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


def troubles(store: Store) -> list[str]:
    return [each.kind.value for each in store.troubles()]


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


def test_rule_1_what_others_told_before_the_own_record_is_folded_with_it(two: Path) -> None:
    """Who tells a failure knows from then on what stood before it, too."""
    first, second = a_store(two), a_store(two)
    fail(first, "aaa001")
    fail(second, "bbb002")
    assert [is_benched(second, row_id) for row_id in ("aaa001", "bbb002")] == [True, True]


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
    assert sleeper.troubles() == ()
    for _ in range(2):
        store._books._rotate()
        use(store, number=3)
    assert store.checkpoint()
    store._books.journal.remove_before(3)
    assert not segment(two, 2).exists()
    assert used(sleeper) == 7
    assert troubles(sleeper) == ["gap"]
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
import os, signal, sys
from keydeck import load_pool
pool = load_pool("openrouter", home=sys.argv[1])
for _ in range(10):
    pool.select()
while pool._store._books.has_unsent:
    os.sched_yield()
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
    first = a_store(two)
    use(first)
    assert first.checkpoint()
    second = a_store(two)
    before = json.loads((two / "keydeck" / "checkpoint.json").read_text())["pos"]
    use(first, number=6)
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
    real = pool._roster.read
    pool._roster.read = lambda: reads.append(1) or real()  # type: ignore[method-assign, func-returns-value]
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


def with_key(home: Path, **fields: Any) -> None:
    """Give the first row other fields, as an act of ours."""
    with FileStore(a_home(home), clock=FakeClock()).transaction() as change:
        change.update_row(POOL, rows_of(home)[0]["id"], fields)


def nowhere_but_in_the_row(home: Path, *secrets: str) -> bool:
    """Tell whether none of these is in our files, nor in our section."""
    files = [path for path in (home / "keydeck").glob("*") if path.is_file()]
    told = [json.dumps(load_whole(home)["keydeck"]), *(path.read_text() for path in files)]
    return not any(secret in each for secret in secrets for each in told)


def key_used(pool: CredentialPool) -> str:
    row = pool.select()
    return row.runtime_api_key if row else ""


@pytest.fixture
def replaced(two: Path) -> list[dict[str, Any]]:
    """Return the rows as hermes had loaded them before we gave the first one another key."""
    sum_up(two)
    loaded = rows_of(two)
    with_key(two, access_token="sk-the-new-one")
    return loaded


def test_rule_8_an_old_key_that_comes_back_is_replaced_by_the_newer(
    two: Path, replaced: list[dict[str, Any]]
) -> None:
    """By whoever still knows it, whose pools never use the old one; it is told once, and no file of ours holds it."""
    pool, other = a_pool(two), a_pool(two)
    assert key_used(pool) == "sk-the-new-one"
    rewrite(two, replaced)
    assert key_used(pool) == key_used(other) == "sk-the-new-one"
    for each in (pool, other):
        assert each.flush()
        assert each._store.checkpoint()
    assert rows_of(two)[0]["access_token"] == "sk-the-new-one"
    assert outside(two) == [("aaa001", "lost secret")]
    assert nowhere_but_in_the_row(two, "sk-the-new-one", "sk-test-aaa001-secret")


def test_rule_8_an_old_key_that_nobody_can_replace_is_named_once(
    two: Path, replaced: list[dict[str, Any]]
) -> None:
    """It stays, as the file is all there is; who knows the newer one puts it back when it comes along."""
    running = a_pool(two)
    rewrite(two, replaced)
    for _ in range(2):
        sum_up(two)
        assert rows_of(two)[0]["access_token"] == "sk-test-aaa001-secret"
    assert outside(two) == [("aaa001", "old secret")]
    assert key_used(running) == "sk-the-new-one"
    running.close()
    assert rows_of(two)[0]["access_token"] == "sk-the-new-one"
    sum_up(two)
    assert outside(two) == [("aaa001", "old secret"), ("aaa001", "lost secret")]


@pytest.mark.usefixtures("replaced")
def test_rule_8_an_old_key_that_somebody_put_back_on_purpose_stays(two: Path) -> None:
    """Whoever wrote it had seen the newer one."""
    pool = a_pool(two)
    assert key_used(pool) == "sk-the-new-one"
    rows = rows_of(two)
    rows[0]["access_token"] = "sk-test-aaa001-secret"
    rewrite(two, rows)
    assert key_used(pool) == "sk-test-aaa001-secret"
    pool.close()
    assert rows_of(two)[0]["access_token"] == "sk-test-aaa001-secret"
    assert outside(two) == []


def a_pair(number: int) -> dict[str, Any]:
    return {
        "access_token": f"oauth-access-{number}",
        "refresh_token": f"oauth-refresh-{number}",
        "expires_at_ms": int((NOW + 3600 + number) * 1000),
    }


def pair_in(home: Path) -> int:
    (row,) = rows_of(home)
    assert row["refresh_token"].removeprefix("oauth-refresh-") == row["access_token"].removeprefix(
        "oauth-access-"
    )
    number = int(row["access_token"][-1])
    assert row["expires_at_ms"] == a_pair(number)["expires_at_ms"]
    return number


def test_rule_8_a_login_that_hermes_renewed_is_never_renewed_backwards(home: Path) -> None:
    """By who had seen our last writing or not: a pair we never saw is newer, one it had before is older."""
    write_store(home, {POOL: [a_login("log001", **a_pair(1))]})
    sum_up(home)
    loaded = rows_of(home)  # stamped, and soon out of date
    pool = a_pool(home)
    for number, base in ((2, rows_of(home)), (3, loaded)):
        rewrite(home, [{**base[0], **a_pair(number)}])
        assert key_used(pool) == f"oauth-access-{number}"
        assert pool.flush()
        assert pool._store.checkpoint()
        assert pair_in(home) == number
    for number in (1, 2):
        rewrite(home, [{**loaded[0], **a_pair(number)}])
        assert key_used(pool) == "oauth-access-3"
        assert pool.flush()
        assert pool._store.checkpoint()
        assert pair_in(home) == 3
    told = [what for _, what in outside(home)]
    assert told.count("new secret") == 2
    assert told.count("lost secret") == 2
    assert nowhere_but_in_the_row(
        home, *(f"oauth-{kind}-{n}" for kind in ("access", "refresh") for n in (1, 2, 3))
    )


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


def test_rule_9_a_removal_whose_writer_was_killed_before_it_told_holds(
    two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was written and nothing else: whoever comes next knows the tombstone from there."""
    sum_up(two)
    assert a_store(two).checkpoint()  # C alone: nothing is told between it and the removal
    loaded = rows_of(two)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("keydeck.engine.books.Books.send_records", killed)
        Operator(HomeReader(a_home(two), clock=FakeClock())).remove(POOL, "aaa001")
    assert [row["id"] for row in rows_of(two)] == ["bbb002"]
    rewrite(two, loaded)
    assert order_seen(two) == ["bbb002"]
    sum_up(two)
    assert [row["id"] for row in rows_of(two)] == ["bbb002"]
    assert outside(two) == [("aaa001", "came back")]


def test_rule_9_a_new_row_never_takes_the_id_of_a_removed_one(
    two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be taken for that one, with its counts and benches."""
    operator = Operator(HomeReader(a_home(two), clock=FakeClock()))
    done = operator.add_key(POOL, Secret("sk-short-lived-0123"))
    operator.remove(POOL, str(done.credential_id))
    offers, real = iter([str(done.credential_id), "fffff1"]), os.urandom
    monkeypatch.setattr(
        "keydeck.engine.acts.os.urandom", lambda n: bytes.fromhex(next(offers)) if n == 3 else real(n)
    )
    assert operator.add_key(POOL, Secret("sk-another-0123")).credential_id == "fffff1"


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


def test_rule_9_a_file_that_was_replaced_while_it_was_read_is_no_restored_copy(two: Path) -> None:
    """Somebody removes a row between a reader's look at the file and its look at the journal: it is removed."""
    sum_up(two)

    class Slow(Disk):
        act = staticmethod(lambda: None)

        def open_read(self, path: Path) -> int:
            fd = super().open_read(path)
            if path.name == "auth.json":
                act, self.act = self.act, staticmethod(lambda: None)
                act()
            return fd

    disk = Slow()
    store = a_store(two, disk)
    operator = Operator(HomeReader(a_home(two), clock=FakeClock()))
    disk.act = lambda: operator.remove(POOL, "aaa001")  # type: ignore[assignment]
    assert [row.id for row in store.snapshot().pools[POOL]] == ["bbb002"]
    assert store.troubles() == ()


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


@pytest.fixture
def round_robin(two: Path) -> Path:
    """Return a home with two keys that was written once, and whose pool hermes goes round in."""
    (two / "config.yaml").write_text("credential_pool_strategies: {openrouter: round_robin}\n")
    with a_pool(two) as pool:
        pool.select()
    return two


def with_priorities(home: Path, *priorities: float) -> None:
    rows = rows_of(home)
    for row, priority in zip(rows, priorities, strict=True):
        row["priority"] = priority
    rewrite(home, rows)


def order_in(home: Path) -> list[float]:
    return [row["priority"] for row in rows_of(home)]


def order_seen(home: Path) -> list[str]:
    return [row.id for row in a_pool(home).entries()]


def sum_up(home: Path, clock: FakeClock | None = None) -> None:
    """Sum up as a program does that knows config.yaml."""
    reader = HomeReader(a_home(home), clock=clock or FakeClock())
    reader.read()
    use(reader.store, "bbb002")  # type: ignore[arg-type]
    assert reader.store.checkpoint()
    reader.close()


def test_rule_10_the_operators_order_survives_hermes_round_robin(round_robin: Path) -> None:
    """We go on in our order, write it back once a minute at most, whoever does it, and tell nothing of it."""
    clock = FakeClock()
    for minute in range(2):
        with_priorities(round_robin, 1, 0)
        assert order_seen(round_robin) == ["aaa001", "bbb002"]
        for _ in range(2):
            sum_up(round_robin, clock)
            assert order_in(round_robin) == [1, 0]
        clock.forward(61)
        sum_up(round_robin, clock)
        assert order_in(round_robin) == [0, 1], minute
    assert outside(round_robin) == []


@pytest.mark.parametrize("strategy", ["fill_first", "least_used"])
def test_rule_10_an_order_that_somebody_set_by_hand_is_obeyed(two: Path, strategy: str) -> None:
    """Where nobody goes round: at the next pick, in every process, told once and never reverted."""
    (two / "config.yaml").write_text(f"credential_pool_strategies: {{openrouter: {strategy}}}\n")
    with a_pool(two) as pool:
        pool.select()
    running = a_pool(two)
    with_priorities(two, 1, 0)
    assert [row.id for row in running.entries()] == order_seen(two) == ["bbb002", "aaa001"]
    clock = FakeClock()
    for _ in range(2):
        clock.forward(61)
        sum_up(two, clock)
        assert order_in(two) == [1, 0]
    assert outside(two) == [("aaa001", "moved"), ("bbb002", "moved")]
    assert order_seen(two) == ["bbb002", "aaa001"]


def test_rule_10_numbers_that_no_round_leaves_are_somebodys_wish(round_robin: Path) -> None:
    """Even in a pool in which hermes goes round."""
    with_priorities(round_robin, 50, 1)
    assert order_seen(round_robin) == ["bbb002", "aaa001"]
    sum_up(round_robin)
    assert order_in(round_robin) == [50, 1]
    assert outside(round_robin) == [("aaa001", "moved")]


def test_rule_10_what_a_round_left_is_no_wish_once_the_strategy_is_another(round_robin: Path) -> None:
    """It was written with our stamp and not put back yet: the operator's order is."""
    with_priorities(round_robin, 1, 0)
    sum_up(round_robin)
    (round_robin / "config.yaml").write_text("credential_pool_strategies: {openrouter: fill_first}\n")
    assert order_seen(round_robin) == ["aaa001", "bbb002"]
    sum_up(round_robin)
    assert order_in(round_robin) == [0, 1]
    assert outside(round_robin) == []


def test_rule_10_an_old_order_that_comes_back_is_lost_and_put_right_at_once(two: Path) -> None:
    """A stale writer had not seen the operator's move, in a pool in which nobody goes round."""
    sum_up(two)
    loaded = rows_of(two)
    Operator(HomeReader(a_home(two), clock=FakeClock())).move(POOL, "bbb002", 0)
    order = order_in(two)
    rewrite(two, loaded)
    assert order_seen(two) == ["bbb002", "aaa001"]
    sum_up(two)
    assert order_in(two) == order
    assert outside(two) == [("aaa001", "lost place"), ("bbb002", "lost place")]


# --- 11 and 12: time and forks -----------------------------------------------------------------------------


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


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_rule_12_children_of_multiprocessing_tell_what_they_have_before_they_end(
    two: Path, method: str
) -> None:
    """They end without the interpreter's exit handlers."""
    context: Any = multiprocessing.get_context(method)
    child = context.Process(target=five_uses, args=(two,))
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


def test_rule_13_whoever_is_first_names_the_store_for_all(two: Path) -> None:
    """A segment is seen before its header is in it: two names would make each take the other's rows for a stranger's."""
    (two / "keydeck").mkdir()
    segment(two).touch()
    quick = a_store(two)
    use(quick, number=3)
    assert quick.checkpoint()
    with segment(two).open("ab") as file:  # who made the segment comes to write its header
        file.write(b"\n" + encode(Record(NOW, "slow", 0, Header(store="another"))) + b"\n")
    slow = a_store(two)
    for _ in range(3):
        for store in (slow, quick):
            use(store)
            assert store.checkpoint()
    assert [used(store) for store in (slow, quick, a_store(two))] == [9, 9, 9]


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
    assert "untold" in troubles(pool._store)
    assert "keydeck" not in load_whole(two)
    disk.heal()
    assert pool.flush()
    assert troubles(pool._store) == []
    store = a_store(two)
    assert (used(store), used(store, "bbb002"), is_benched(store)) == (1, 1, True)


class FullOnceWritten(FailingDisk):
    """A disk that is full from the moment on in which auth.json is replaced."""

    def replace(self, source: Path, target: Path) -> None:
        """Replace a file, and be full."""
        super().replace(source, target)
        if target.name == "auth.json":
            self.on = {"write"}


def test_rule_13_what_a_checkpoint_could_not_tell_at_once_counts_once(two: Path) -> None:
    """It is in the checkpoint itself: told later, when nobody knows any more that it was, it would count twice."""
    clock, disk = SteppingClock(), FullOnceWritten(errno.ENOSPC)
    first = a_store(two, clock=clock)
    use(first, "bbb002")
    assert first.checkpoint()
    rows = rows_of(two)
    rows[0]["request_count"] += 5
    rewrite(two, rows)
    full = a_store(two, disk, clock)
    use(full, "bbb002")
    assert full.checkpoint()
    assert rows_of(two)[0]["request_count"] == 5
    assert "untold" in troubles(full)
    for seconds in (SUMS_KEPT_S / 2 + 1, SUMS_KEPT_S):
        clock.forward(seconds)
        other = a_store(two, clock=clock)
        use(other, "bbb002")
        assert other.checkpoint()
    disk.heal()
    assert full.flush()
    stores = (full, other, a_store(two, clock=clock))
    full.snapshot()
    assert [(used(store), used(store, "bbb002")) for store in stores] == [(5, 4)] * 3


def test_checkpoint_after_checkpoint_leaves_nothing_behind(two: Path) -> None:
    """Each tells as a writer of its own, and is remembered for a minute, in the file and by who goes on running."""
    clock = SteppingClock()
    store = a_store(two, clock=clock)
    for _ in range(400):
        fail(store, until=clock() + 1)
        assert store.checkpoint()
        clock.forward(1.0)
    assert len(load_whole(two)["keydeck"]["writers"]) <= SUMS_KEPT_S + 1
    assert len(store._books.ledger.writers) <= 2 * 256


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


def test_rule_13_what_is_told_into_a_journal_that_was_taken_away_is_told_in_the_new_one(two: Path) -> None:
    """At once, although who tells it has not looked since."""
    first, second = a_store(two), a_store(two)
    use(first)
    use(second)
    shutil.rmtree(two / "keydeck")
    assert first.checkpoint()
    use(second)
    assert used(a_store(two)) == 3


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
    head = Record(NOW, "new", 0, Header(store=store._books.ledger.store or "", min_reader=READER + 1))
    with segment(two).open("ab") as file:
        file.write(b"\n" + encode(head) + b'\n\n{"e":"teleport","t":1,"w":"new","s":1}\n')
    before = (two / "keydeck" / "checkpoint.json").read_bytes(), (two / "auth.json").read_bytes()
    use(store, number=5)
    assert used(store) == 6
    store.checkpoint()
    assert ((two / "keydeck" / "checkpoint.json").read_bytes(), (two / "auth.json").read_bytes()) == before


@pytest.fixture
def newers(two: Path) -> Path:
    """Return a home that a newer version summed up last; one row is out."""
    store = a_store(two)
    use(store, number=3)
    fail(store, "bbb002")
    assert store.checkpoint()
    head = Record(NOW, "new", 0, Header(store=store._books.ledger.store or "", min_reader=READER + 1))
    with segment(two).open("ab") as file:
        file.write(b"\n" + encode(head) + b"\n")
    return two


def summed_up(home: Path) -> tuple[bytes, Any]:
    return (home / "keydeck" / "checkpoint.json").read_bytes(), load_whole(home)["keydeck"]


def test_rule_14_an_act_of_an_older_version_takes_and_destroys_nothing(
    newers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are as the operator wants them, what the newer summed up is as it was, and the newer accepts it all."""
    before = summed_up(newers)
    operator = Operator(HomeReader(a_home(newers), clock=FakeClock()))
    operator.edit(POOL, "aaa001", label="renamed")
    operator.reset(POOL, "bbb002")
    added = str(operator.add_key(POOL, Secret("sk-new-0123456789")).credential_id)
    operator.add_key(POOL, Secret("sk-gone-0123456789"), label="gone")
    gone = rows_of(newers)[-1]
    operator.remove(POOL, gone["id"])
    late = a_store(newers)
    use(late, number=4)
    late.close()
    assert summed_up(newers) == before
    assert [row["label"] for row in rows_of(newers)] == ["renamed", "key-bbb002", "api-key-3"]

    monkeypatch.setattr("keydeck.engine.writer.READER", READER + 1)
    rewrite(newers, [*rows_of(newers), gone])  # a stale writer
    newer = a_store(newers)
    assert newer.checkpoint()
    assert summed_up(newers) != before
    rows = {row["id"]: row for row in rows_of(newers)}
    assert rows.keys() == {"aaa001", "bbb002", added}
    assert (rows["aaa001"]["label"], rows["aaa001"]["request_count"]) == ("renamed", 7)
    assert rows["bbb002"]["last_status"] is None
    assert outside(newers).count((gone["id"], "came back")) == 1


@pytest.mark.parametrize("where", ["A", "C"])
def test_rule_14_what_a_newer_version_wrote_in_a_form_of_its_own_stays(two: Path, where: str) -> None:
    """Whether it is A or C that cannot be understood: rows are written, neither of these is."""
    sum_up(two)
    if where == "A":
        document = load_whole(two)
        document["keydeck"] = {"v": 2, "all": "different"}
        (two / "auth.json").write_text(json.dumps(document))
    (two / "keydeck" / "checkpoint.json").write_text('{"v": 2, "all": "different"}')
    if where == "C":
        document = load_whole(two)
        del document["keydeck"]
        (two / "auth.json").write_text(json.dumps(document))
    Operator(HomeReader(a_home(two), clock=FakeClock())).edit(POOL, "aaa001", label="renamed")
    sum_up(two)
    assert rows_of(two)[0]["label"] == "renamed"
    assert load_whole(two).get("keydeck", {}).get("v") in (None, 2)
    assert (two / "keydeck" / "checkpoint.json").read_text() == '{"v": 2, "all": "different"}'


def test_rule_14_who_opens_later_knows_that_a_newer_version_is_at_work(
    newers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the checkpoint, or from the next segment, whoever made that: the old header is not read again."""
    monkeypatch.setattr("keydeck.engine.writer.READER", READER + 1)
    assert a_store(newers).checkpoint()
    monkeypatch.undo()
    store = a_store(newers)
    assert store._books.ledger.min_reader == READER + 1
    store._books._rotate()
    heads = [record.event for record in journal(newers) if isinstance(record.event, Header)]
    assert [head.min_reader for head in heads] == [READER, READER + 1, READER + 1]


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


def test_who_closes_waits_a_moment_for_the_lock(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several that end at once the last one writes the rows, even if another is writing when it comes."""
    monkeypatch.setattr(file_store, "LAST_WAIT_S", 30.0)
    pool = a_pool(two)
    assert pool._store.checkpoint()  # what locks is loaded by now
    assert pool.select()
    closing = threading.Thread(target=pool.close)
    with lock_held(two):
        closing.start()
        ends = monotonic() + 10
        while (looker := a_store(two)).snapshot() and used(looker) != 1:
            assert monotonic() < ends, "what it told never came"
    closing.join()
    assert load(two)["credential_pool"]["openrouter"][0]["request_count"] == 1


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
