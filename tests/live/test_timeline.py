from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from fakes import NOW, FakeClock, a_home, a_reader, keys, write_store
from keydeck.engine.acts import Operator
from keydeck.engine.books import Books
from keydeck.engine.events import (
    Added,
    Adopted,
    Configured,
    Edited,
    Event,
    Failed,
    Held,
    Leased,
    Moved,
    Outside,
    Paused,
    Probed,
    Record,
    Released,
    Removed,
    Reset,
    Restored,
    Resumed,
    Seen,
    Status,
    Succeeded,
    Unknown,
    Used,
    Written,
    encode,
)
from keydeck.engine.file_store import FileStore
from keydeck.engine.files import Disk
from keydeck.engine.journal import Journal
from keydeck.engine.secret import Secret
from keydeck.live.activity import Change, ChangeKind, Return
from keydeck.live.timeline import Timeline

POOL = "openrouter"
OUT = Status("exhausted", NOW, 429, None, "slow down", NOW + 60)
LIMIT = Held("rate_limit", NOW, 429, None, None, NOW + 900, "model:m1", None, False, (1, 2), (1, 3), 1)


def a_store(home: Path, clock: FakeClock | None = None, *ids: str) -> FileStore:
    """Return an open store whose pool has these rows, three unless said."""
    write_store(home, {POOL: keys(*(ids or ("aaa001", "bbb002", "ccc003")))})
    store = FileStore(a_home(home), clock=clock or FakeClock())
    store.snapshot()
    return store


def a_timeline(home: Path, store: FileStore, **options: Any) -> Timeline:
    timeline = Timeline(store, **options)
    timeline.meet(a_reader(home).read())
    return timeline


def told(changes: Iterable[Change]) -> list[tuple[str, str | None, Any]]:
    return [(change.kind.value, change.row_id, change.detail) for change in changes]


def tell(home: Path, *events: Event, **options: Any) -> tuple[Change, ...]:
    """Return what is told when these events are appended after the timeline has begun."""
    store = a_store(home)
    timeline = a_timeline(home, store, **options)
    timeline.catch_up(NOW)
    for event in events:
        store.append(event)
    return timeline.catch_up(NOW + 1)


def failed(row: str = "aaa001", *twins: str, **fields: Any) -> Failed:
    return Failed(ids=(row, *twins), provider=POOL, **{"code": 429, "message": "slow down", **fields})


def outside(what: str, row: str = "aaa001", **fields: Any) -> Outside:
    return Outside(id=row, provider=POOL, label=f"key-{row}", what=what, **fields)


# --- one rule a kind of event ------------------------------------------------------------------------------

CASES: dict[str, tuple[list[Event], list[tuple[str, str | None, Any]]]] = {
    "a failure": ([failed()], [("benched", "aaa001", None)]),
    "a failure for good": ([failed(status="dead", code=401)], [("dead", "aaa001", None)]),
    "a failure that is not the key's fault": (
        [failed(code=503, kind="provider")],
        [("refused", "aaa001", None)],
    ),
    "a limit of one model": (
        [failed(kind="rate_limit", scope="model:m1")],
        [("refused", "aaa001", "m1")],
    ),
    "a failure that ends sooner than the one before": (
        [failed(until=NOW + 900), failed(until=NOW + 60)],
        [("benched", "aaa001", None), ("refused", "aaa001", None)],
    ),
    "a failure of two rows with one secret": ([failed("aaa001", "bbb002")], [("benched", "aaa001", None)]),
    "one failure after the other": (
        [failed(), failed()],
        [("benched", "aaa001", None), ("benched", "aaa001", None)],
    ),
    "a failure of a request from before the reset": (
        [Reset(ids=("aaa001",), provider=POOL), failed(granted=(0, 0))],
        [("reset", "aaa001", None)],
    ),
    "a success that ends a bench": (
        [failed(), Succeeded(ids=("aaa001",), provider=POOL)],
        [("benched", "aaa001", None), ("ready", "aaa001", Return.PROVEN)],
    ),
    "a success of a request from before the bench": (
        [failed(), Succeeded(ids=("aaa001",), provider=POOL, granted=(0, 0))],
        [("benched", "aaa001", None)],
    ),
    "a move of a row that the files alone place": (
        [
            Moved(order={"aaa001": 1.0, "bbb002": 2.0}, provider=POOL),
            Moved(order={"ccc003": 0.0}, provider=POOL),
            Written(gen=1),
        ],
        [("moved", "ccc003", "first")],
    ),
    "moves that nobody can tell from each other": (
        [Moved(order={"xxx001": 1.0, "xxx002": 2.0}, provider=POOL), Written(gen=1)],
        [("moved", None, None)],
    ),
    "two successes": (
        [failed(), *[Succeeded(ids=("aaa001",), provider=POOL)] * 2],
        [("benched", "aaa001", None), ("ready", "aaa001", Return.PROVEN)],
    ),
    "a reset": ([Reset(ids=("aaa001",), provider=POOL)], [("reset", "aaa001", None)]),
    "a reset of rows with one secret": (
        [Reset(ids=("aaa001", "bbb002"), provider=POOL), Reset(ids=("bbb002", "aaa001"), provider=POOL)],
        [("reset", "aaa001", None)],
    ),
    "a reset that is undone": (
        [Restored(rows={"aaa001": Seen(status=OUT)}, provider=POOL)],
        [("reset_undone", "aaa001", None)],
    ),
    "a reset of a row that was out for a model that is undone": (
        [Restored(rows={"aaa001": Seen()}, provider=POOL, held={"aaa001": (LIMIT,)})],
        [("refused", "aaa001", "m1")],
    ),
    "a reset of streak and models that is undone": (
        [
            Restored(
                rows={"aaa001": Seen(status=OUT)},
                provider=POOL,
                held={"aaa001": (LIMIT, LIMIT._replace(scope="row", until=None))},
            )
        ],
        [("reset_undone", "aaa001", None), ("refused", "aaa001", "m1")],
    ),
    "a pause and its end": (
        [Paused(ids=("aaa001", "bbb002"), provider=POOL), Resumed(ids=("aaa001",), provider=POOL)],
        [("paused", "aaa001", None), ("paused", "bbb002", None), ("resumed", "aaa001", None)],
    ),
    "added": ([Added(id="ddd004", provider=POOL, seen=Seen(label="new"))], [("added", "ddd004", None)]),
    "removed": (
        [
            Removed(id="aaa001", provider=POOL, label="gone"),
            Removed(id="aaa001", provider=POOL, label="gone"),
        ],
        [("removed", "aaa001", None)],
    ),
    "removed and put back": (
        [
            Removed(id="aaa001", provider=POOL, label="gone"),
            Added(id="aaa001", provider=POOL, seen=Seen(label="gone")),
        ],
        [("removed", "aaa001", None), ("added", "aaa001", Return.UNDONE)],
    ),
    "renamed twice": (
        [Edited(id="aaa001", provider=POOL, label="one"), Edited(id="aaa001", provider=POOL, label="two")],
        [("renamed", "aaa001", None), ("renamed", "aaa001", "one")],
    ),
    "another strategy": (
        [Configured(provider=POOL, strategy="random")],
        [("strategy", None, "random")],
    ),
    "another wait": (
        [Configured(provider=POOL, cooldown="429")],
        [("cooldown", None, "429")],
    ),
    "rows met": (
        [Adopted(rows={"aaa001": Seen(), "bbb002": Seen()})],
        [("adopted", None, None)],
    ),
    "rows of another home": (
        [Adopted(rows={"aaa001": Seen()}, afresh=True)],
        [("adopted", None, Return.AFRESH)],
    ),
    "benched outside": ([outside("benched", seen=Seen(status=OUT))], [("benched", "aaa001", None)]),
    "an older bench from outside": (
        [failed(), outside("benched", seen=Seen(status=OUT._replace(at=NOW - 9)), past=1.0)],
        [("benched", "aaa001", None)],
    ),
    "cleared outside": (
        [failed(), outside("cleared", past=NOW)],
        [("benched", "aaa001", None), ("ready", "aaa001", Return.CLEARED)],
    ),
    "a bench cleared outside that is another one by now": (
        [failed(), outside("cleared", past=1.0)],
        [("benched", "aaa001", None)],
    ),
    "ended and counted outside": ([outside("ended"), outside("used", used=3)], []),
    "added, renamed, removed outside": (
        [outside("added", "ddd004", seen=Seen()), outside("renamed"), outside("removed")],
        [("added", "ddd004", None), ("renamed", "aaa001", None), ("removed", "aaa001", None)],
    ),
    "healed": ([outside("lost cooldown, count")], [("healed", "aaa001", "cooldown, count")]),
    "came back": ([outside("came back")], [("came_back", "aaa001", None)]),
    "from a backup": ([outside("restored")], [("put_back", "aaa001", None)]),
    "something a newer version calls by a name": (
        [outside("recoloured"), Unknown(kind="new")],
        [("outside", "aaa001", "recoloured")],
    ),
    "uses": ([Used(counts={"aaa001": 5})], []),
    "about no row": ([Reset(ids=(), provider=POOL), Succeeded(ids=(), provider=POOL)], []),
    "a key that is not here": ([Failed(ids=(), provider=POOL, code=402)], [("refused", None, None)]),
    "work in flight": (
        [
            Leased(ids=("aaa001",), provider=POOL, lease="one", ttl_s=60.0),
            Released(ids=("aaa001",), provider=POOL, lease="one"),
        ],
        [],
    ),
    "a probe": ([Probed(ids=("aaa001",), provider=POOL, by="me")], []),
}


def test_a_success_after_the_clock_had_ended_the_bench_is_no_news(home: Path) -> None:
    """The end of the bench was told; who goes through then was well already."""
    clock = FakeClock()
    store = a_store(home, clock)
    timeline = a_timeline(home, store, tells_time=True)
    timeline.catch_up(NOW)
    store.append(failed(until=NOW + 5))
    clock.forward(6)
    store.append(Succeeded(ids=("aaa001",), provider=POOL))
    changes = timeline.catch_up(NOW + 6)
    assert told(changes) == [("benched", "aaa001", None), ("ready", "aaa001", Return.COOLDOWN_OVER)]


@pytest.mark.parametrize(("events", "expected"), CASES.values(), ids=CASES)
def test_what_is_told_of_an_event(
    home: Path, events: list[Event], expected: list[tuple[str, str | None, Any]]
) -> None:
    """What had an effect is told once, and nothing else is."""
    changes = tell(home, *events)
    assert told(changes) == expected
    assert all(change.provider == POOL for change in changes)


def test_a_bench_carries_what_the_provider_said(home: Path) -> None:
    """Code, words, end, who told it, and the rows with the same secret; the label is as in the store."""
    (change,) = tell(home, failed("aaa001", "bbb002", until=NOW + 840))
    assert change == Change(
        at=NOW,
        provider=POOL,
        row_id="aaa001",
        label="key-aaa001",
        kind=ChangeKind.BENCHED,
        code=429,
        message="slow down",
        until=NOW + 840,
        by=change.by,
        is_ours=True,
        twins=("bbb002",),
    )
    assert len(change.by) == 6


def test_who_did_it_is_told(home: Path) -> None:
    """An act of another process has that one's name, whatever the generation; what nobody of ours did is outside."""
    store = a_store(home)
    timeline = a_timeline(home, store)
    timeline.catch_up(NOW)
    other = a_reader(home)
    Operator(other).edit(POOL, "aaa001", label="new")
    store.append(outside("came back"))
    renamed, returned = (change for change in timeline.catch_up(NOW) if change.kind is not ChangeKind.ADOPTED)
    assert renamed.by == other.store.writer[:6] != store.writer[:6]
    assert (renamed.is_ours, renamed.is_outside) == (False, False)
    assert (returned.is_ours, returned.is_outside) == (True, True)
    theirs = a_timeline(home, other.store)  # type: ignore[arg-type]
    assert [each.is_ours for each in theirs.catch_up(NOW) if each.kind is ChangeKind.RENAMED] == [True]


def test_hermes_bench_is_told_at_its_own_time(home: Path) -> None:
    """Unless that cannot be: a day before it was noticed, or after."""
    times = ((NOW - 40, NOW - 40), (NOW + 40, NOW), (NOW - 90_000, NOW), (None, NOW))
    for number, (at, expected) in enumerate(times):
        (change,) = tell(
            home / str(number), outside("benched", seen=Seen(status=OUT._replace(at=at)), past=0.0)
        )
        assert change.at == expected


# --- acts of the operator ----------------------------------------------------------------------------------

ACTS: dict[str, tuple[Callable[[Operator], object], list[tuple[str, str | None, Any]]]] = {
    "first": (lambda act: act.move(POOL, "ccc003", 0), [("moved", "ccc003", "first")]),
    "to another place": (lambda act: act.move(POOL, "aaa001", 2), [("moved", "aaa001", "to place 3")]),
    "rename": (lambda act: act.edit(POOL, "aaa001", label="new"), [("renamed", "aaa001", "key-aaa001")]),
    "remove": (lambda act: act.remove(POOL, "bbb002"), [("removed", "bbb002", None)]),
    "strategy": (lambda act: act.set_strategy(POOL, "random"), [("strategy", None, "random")]),
}


@pytest.mark.parametrize(("act", "expected"), ACTS.values(), ids=ACTS)
def test_an_act_of_the_operator_is_one_change(
    home: Path, act: Callable[[Operator], object], expected: list[tuple[str, str | None, Any]]
) -> None:
    """Also where several rows make room for one."""
    timeline = a_timeline(home, a_store(home))
    timeline.catch_up(NOW)
    act(Operator(a_reader(home)))
    changes = timeline.catch_up(NOW)
    assert told(change for change in changes if change.kind is not ChangeKind.ADOPTED) == expected


def test_a_key_that_is_added_has_its_label(home: Path) -> None:
    """By what the journal says, before anybody looks at the file."""
    store = a_store(home)
    timeline = a_timeline(home, store)
    timeline.catch_up(NOW)
    done = Operator(a_reader(home)).add_key(POOL, Secret("sk-new-0123456789"), label="fresh")
    (change,) = (change for change in timeline.catch_up(NOW) if change.kind is ChangeKind.ADDED)
    assert (change.row_id, change.label) == (done.credential_id, "fresh")


def test_an_offered_key_that_an_agent_uses_is_told_as_stored(home: Path) -> None:
    """It was on the screen before: it is not told as added."""
    write_store(home, {})
    reader = a_reader(home, OPENROUTER_API_KEY="sk-or-0123456789")
    (row,) = reader.read().pools[0].rows
    timeline = Timeline(reader.store)
    timeline.meet(reader.read())
    timeline.catch_up(NOW)
    reader.store.adopt(row)  # type: ignore[arg-type]
    reader.store.count(row.id)
    assert reader.store.checkpoint()
    timeline.meet(reader.read())
    assert told(timeline.catch_up(NOW)) == [("adopted", row.id, None)]


# --- the past ----------------------------------------------------------------------------------------------


def test_the_past_is_told_first_and_then_only_what_is_new(home: Path) -> None:
    """Also by a process that was not there."""
    clock = FakeClock()
    store = a_store(home, clock)
    store.append(failed(until=NOW + 30))
    clock.forward(10)
    store.append(Configured(provider=POOL, strategy="random"))
    timeline = a_timeline(home, FileStore(a_home(home), clock=clock))
    changes = timeline.catch_up(clock())
    assert told(changes) == [("benched", "aaa001", None), ("strategy", None, "random")]
    assert [change.at for change in changes] == [NOW, NOW + 10]
    assert not any(change.is_ours for change in changes)
    assert timeline.catch_up(clock()) == ()
    store.append(failed("bbb002"))
    assert told(timeline.catch_up(clock())) == [("benched", "bbb002", None)]


def test_benches_that_the_clock_ended_are_told_in_the_past(home: Path) -> None:
    """Between what happened before and after; not where something else had ended them."""
    clock = FakeClock()
    store = a_store(home, clock)
    for row, seconds in (("aaa001", 30), ("bbb002", 20), ("ccc003", 9000)):
        store.append(failed(row, until=NOW + seconds))
    store.append(Reset(ids=("bbb002",), provider=POOL))
    clock.forward(60)
    store.append(Configured(provider=POOL, strategy="random"))
    timeline = a_timeline(home, store)
    assert told(timeline.catch_up(clock()))[3:] == [
        ("reset", "bbb002", None),
        ("ready", "aaa001", Return.COOLDOWN_OVER),
        ("strategy", None, "random"),
    ]
    clock.forward(10_000)
    store.append(Configured(provider=POOL, strategy="sticky"))
    # Who compares looks is told of the clock by those.
    assert told(timeline.catch_up(clock())) == [("strategy", None, "sticky")]


def test_benches_that_the_clock_ends_later_are_told_to_who_wants_them(home: Path) -> None:
    """At the moment they ended."""
    store = a_store(home)
    timeline = a_timeline(home, store, tells_time=True)
    timeline.catch_up(NOW)
    store.append(failed(until=NOW + 30))
    assert told(timeline.catch_up(NOW + 29)) == [("benched", "aaa001", None)]
    (change,) = timeline.catch_up(NOW + 31)
    assert (change.at, change.detail, change.code) == (NOW + 30, Return.COOLDOWN_OVER, 429)


def test_the_end_of_a_bench_is_told_once(home: Path) -> None:
    """Whatever is told of the row while it waits to be tried, the cooldown ended only once."""
    clock = FakeClock()
    store = a_store(home, clock)
    timeline = a_timeline(home, store, tells_time=True)
    timeline.catch_up(NOW)
    store.append(failed(until=NOW + 30))
    timeline.catch_up(NOW + 31)
    clock.now = NOW + 40
    store.append(Edited(id="aaa001", provider=POOL, label="new"))
    assert told(timeline.catch_up(NOW + 41)) == [("renamed", "aaa001", None)]


def test_the_past_is_bounded_by_time_and_number(home: Path) -> None:
    """A day and the newest two thousand, unless another measure is given."""
    clock = FakeClock(NOW - 90_000)
    store = a_store(home, clock)
    store.append(Configured(provider=POOL, strategy="old"))
    clock.now = NOW
    for number in range(20):
        store.append(Configured(provider=POOL, strategy=f"s{number}"))
    assert a_timeline(home, store).catch_up(NOW)[0].detail == "s0"
    assert len(a_timeline(home, store, past_s=1e9).catch_up(NOW)) == 21
    newest = a_timeline(home, store, most=3).catch_up(NOW)
    assert [change.detail for change in newest] == ["s17", "s18", "s19"]
    assert a_timeline(home, store, most=0).catch_up(NOW) == ()


def test_work_in_flight_does_not_crowd_out_what_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much was in flight since, and however few changes are wanted, what happened before is told."""
    monkeypatch.setattr("keydeck.engine.follower.BLOCK_BYTES", 1000)
    clock = FakeClock(NOW - 7200)
    store = a_store(home, clock)
    store.append(Configured(provider=POOL, strategy="random"))
    for number in range(40):
        clock.forward(1)
        store.append(Leased(ids=("aaa001",), provider=POOL, lease=str(number), ttl_s=60.0))
    (change,) = a_timeline(home, store, most=3, rates_s=60.0).catch_up(NOW)
    assert (change.kind, change.detail) == (ChangeKind.STRATEGY, "random")


def test_a_row_is_called_as_it_was_called_then(home: Path) -> None:
    """As far as the journal says; of a removed row the removal tells it."""
    store = a_store(home)
    store.append(failed("ddd004"))
    store.append(failed("aaa001"))
    store.append(Edited(id="aaa001", provider=POOL, label="second"))
    store.append(failed("aaa001"))
    store.append(Removed(id="ddd004", provider=POOL, label="gone"))
    labels = [change.label for change in a_timeline(home, store).catch_up(NOW)]
    assert labels == ["gone", "key-aaa001", "second", "second", "gone"]


def test_a_record_that_was_written_twice_is_told_once(home: Path) -> None:
    """A writer tells again what it did not see land."""
    store = a_store(home)
    store.append(failed())
    record = Record(NOW, store.writer, 1, failed())
    with (home / "keydeck" / "journal-000001.jsonl").open("ab") as file:
        file.write(b"\n" + encode(record) + b"\n")
    assert told(a_timeline(home, store).catch_up(NOW)) == [("benched", "aaa001", None)]


def test_a_gap_in_the_history_is_told(home: Path) -> None:
    """Where a segment is missing, before what came after it."""
    store = a_store(home)
    for number in range(3):
        store.append(Configured(provider=POOL, strategy=f"s{number}"))
        store._books._rotate()
    (home / "keydeck" / "journal-000002.jsonl").unlink()
    changes = a_timeline(home, store).catch_up(NOW)
    assert [change.detail or change.kind.value for change in changes] == ["s0", "gap", "s2"]


def test_without_a_journal_there_is_nothing_to_tell(home: Path) -> None:
    """Until one begins: that is followed from its beginning."""
    store = a_store(home)
    timeline = a_timeline(home, store)
    assert (timeline.catch_up(NOW), timeline.has_journal) == ((), False)
    store.append(failed())
    assert told(timeline.catch_up(NOW)) == [("benched", "aaa001", None)]
    assert timeline.has_journal


# --- requests ----------------------------------------------------------------------------------------------


def test_requests_are_told_by_minute_and_pool_once_the_minute_is_over(home: Path) -> None:
    """Never one by one; those that another program counted are among them."""
    clock = FakeClock(NOW - NOW % 60)
    start = clock.now
    store = a_store(home, clock)
    timeline = a_timeline(home, store, tells_requests=True)
    timeline.catch_up(clock())
    for _ in range(3):
        store.count("aaa001", 2)
        store.count("bbb002")
        store.flush()
    store.append(outside("used", used=10))
    assert timeline.catch_up(clock()) == ()
    clock.forward(59)
    store.count("aaa001")
    store.flush()
    assert timeline.catch_up(clock()) == ()
    clock.forward(1)
    (change,) = timeline.catch_up(clock())
    assert (change.at, change.kind, change.provider, change.row_id) == (
        start,
        ChangeKind.REQUESTS,
        POOL,
        None,
    )
    assert change.count == 20
    assert timeline.catch_up(clock()) == ()


def test_requests_are_counted_for_rates_in_any_case(home: Path) -> None:
    """From the past hour on."""
    clock = FakeClock(NOW - 1800)
    store = a_store(home, clock)
    store.count("aaa001", 7)
    store.flush()
    timeline = a_timeline(home, store)
    timeline.catch_up(NOW)
    store.count("bbb002", 2)
    store.flush()
    timeline.catch_up(NOW)
    assert timeline.totals.minutes == {int((NOW - 1800) // 60): {"aaa001": 7, "bbb002": 2}}


def test_moves_of_two_writers_are_two_changes(home: Path) -> None:
    """And one that broke off is told with the next thing that happens later."""
    store, other = a_store(home), Books(Disk(), Journal(Disk(), home / "keydeck"), FakeClock(NOW + 9))
    timeline = a_timeline(home, store)
    timeline.catch_up(NOW)
    store.append(Moved(order={"aaa001": 2.0}, provider=POOL))
    assert timeline.catch_up(NOW) == ()
    other.open(None)
    other.tell([Configured(provider=POOL, strategy="random")])
    assert told(timeline.catch_up(NOW)) == [("moved", "aaa001", "to place 3"), ("strategy", None, "random")]
    other.journal.leave()


def test_uses_of_the_past_that_were_written_twice_count_once(home: Path) -> None:
    """Also where the second copy stands in another segment, and comes again later."""
    store = a_store(home, FakeClock(NOW - 600))
    store.count("aaa001", 5)
    store.flush()
    copy = b"\n" + encode(Record(NOW - 600, store.writer, 1, Used(counts={"aaa001": 5}))) + b"\n"
    store._books._rotate()
    journal = home / "keydeck" / "journal-000002.jsonl"
    journal.write_bytes(journal.read_bytes() + copy)
    timeline = a_timeline(home, FileStore(a_home(home), clock=FakeClock()), tells_requests=True)
    (change,) = timeline.catch_up(NOW)
    assert (change.count, timeline.totals.hours) == (5, {int((NOW - 600) // 3600): {"aaa001": 5}})
    journal.write_bytes(journal.read_bytes() + copy)
    assert timeline.catch_up(NOW + 60) == ()
    assert sum(timeline.totals.minutes[int((NOW - 600) // 60)].values()) == 5


def test_a_gap_behind_which_only_requests_stand_is_told_with_what_comes(home: Path) -> None:
    """Requests alone are not told, and nothing is lost with them."""
    store = a_store(home)
    store.append(Configured(provider=POOL, strategy="one"))
    store._books._rotate()
    store._books._rotate()
    store.count("aaa001")
    store.flush()
    (home / "keydeck" / "journal-000002.jsonl").unlink()
    third = home / "keydeck" / "journal-000003.jsonl"
    third.write_bytes(b"\n".join(line for line in third.read_bytes().split(b"\n") if b'"head"' not in line))
    timeline = a_timeline(home, FileStore(a_home(home), clock=FakeClock()))
    assert [change.detail for change in timeline.catch_up(NOW)] == ["one"]
    with third.open("ab") as file:
        file.write(b"\n" + encode(Record(NOW, "w", 1, failed())) + b"\n")
    assert [change.kind.value for change in timeline.catch_up(NOW)] == ["gap", "benched"]
