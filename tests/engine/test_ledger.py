from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes import NOW
from keydeck.engine.checkpoint import Checkpoint, checkpoint_bytes, read_section, section
from keydeck.engine.cooldown import standing, status_of
from keydeck.engine.events import (
    Added,
    Adopted,
    Edited,
    Event,
    Failed,
    Leased,
    Moved,
    Outside,
    Paused,
    Position,
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
)
from keydeck.engine.ledger import FRESH, Facts, Ledger, apply

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no fault of what is tested."""

IDS = ("aaa001", "bbb002", "ccc003")


def told(*events: Event, ledger: Ledger | None = None) -> Ledger:
    """Fold events in, one a hundred bytes, after what a ledger holds already."""
    ledger = ledger or Ledger(position=(1, 0))
    for event in events:
        segment, offset = ledger.position
        seq = ledger.writers.get("w", (0, 0.0))[0] + 1
        ledger = apply(ledger, Record(NOW + offset, "w", seq, event), (segment, offset + 100))
    return ledger


def a_failure(granted: Position | None = None, **fields: Any) -> Failed:
    return Failed(ids=("aaa001",), provider="openrouter", code=429, granted=granted, **fields)


def benched(ledger: Ledger) -> bool:
    return standing(ledger.rows["aaa001"].benches).strike is not None


def in_a_row(ledger: Ledger) -> int:
    return standing(ledger.rows["aaa001"].benches).streak


RESET = Reset(ids=("aaa001",), provider="openrouter")


def test_uses_add_up() -> None:
    """Whoever tells them, in whatever portions."""
    ledger = told(Used(counts={"aaa001": 3, "bbb002": 1}), Used(counts={"aaa001": 4}))
    assert {name: facts.used for name, facts in ledger.rows.items()} == {"aaa001": 7, "bbb002": 1}


def test_a_record_counts_once() -> None:
    """A writer that is not sure whether its record landed may write it again under its number."""
    record = Record(NOW, "w", 1, Used(counts={"aaa001": 3}))
    ledger = apply(apply(Ledger(), record, (1, 0)), record, (2, 50))
    assert ledger.rows["aaa001"].used == 3
    other = apply(ledger, Record(NOW, "x", 1, Used(counts={"aaa001": 3})), (2, 90))
    assert other.rows["aaa001"].used == 6


def test_a_failure_of_a_request_from_before_the_reset_benches_nobody() -> None:
    """Order is decided by position: the grant's against the reset's."""
    reset = told(a_failure(), RESET)
    assert not benched(told(a_failure(granted=(1, 150)), ledger=reset))
    assert benched(told(a_failure(granted=(1, 250)), ledger=reset))
    assert benched(told(a_failure(), ledger=reset))


def test_a_success_ends_earlier_benches_only() -> None:
    """A request that was granted before the failure proves nothing about it."""
    failed = told(a_failure())
    ended = told(Succeeded(ids=("aaa001",), provider="openrouter", granted=(1, 150)), ledger=failed)
    assert not benched(ended)
    assert in_a_row(ended) == 0
    assert benched(told(Succeeded(ids=("aaa001",), provider="openrouter", granted=(1, 90)), ledger=failed))


def test_a_success_with_nothing_to_end_does_not_outdate_what_comes_from_outside() -> None:
    """A bench that another program wrote before the success was told, and that is noticed after it, is taken."""
    proven = told(Succeeded(ids=("aaa001",), provider="openrouter", granted=(1, 5)))
    seen = Seen(status=Status("exhausted", NOW - 9, 402))
    bench = Outside(id="aaa001", provider="openrouter", label="x", what="benched", seen=seen)
    assert benched(told(bench, ledger=proven))


def test_a_success_ends_what_another_program_wrote_also_if_that_is_told_later() -> None:
    """Who told the success knew of that bench, from the file; of a later one nobody knew."""
    proven = told(Succeeded(ids=("aaa001",), provider="openrouter", granted=(1, 5), past=NOW - 9))
    for at, ends in ((NOW - 9, True), (NOW - 8, False)):
        seen = Seen(status=Status("exhausted", at, 402))
        bench = Outside(id="aaa001", provider="openrouter", label="x", what="benched", seen=seen)
        assert benched(told(bench, ledger=proven)) is not ends


def test_a_failure_that_started_before_the_present_bench_adds_no_streak() -> None:
    """Ten requests under way when the first fails are one failure, not ten."""
    first = told(a_failure(granted=(1, 10)))
    assert in_a_row(told(a_failure(granted=(1, 20)), ledger=first)) == 1
    assert in_a_row(told(a_failure(granted=(1, 150)), ledger=first)) == 2


def test_a_removed_row_is_gone_and_keeps_its_facts_for_an_undo() -> None:
    """Late news of it do not bring it back; putting it back does, with every use."""
    gone = told(Used(counts={"aaa001": 2}), Removed(id="aaa001", provider="p", label="x", key="k", gen=4))
    gone = told(Used(counts={"aaa001": 1}), a_failure(), ledger=gone)
    assert "aaa001" not in gone.rows
    assert gone.tombs["aaa001"].gen == 4
    back = told(Added(id="aaa001", provider="p", seen=Seen(2, "x", 5)), ledger=gone)
    assert (back.rows["aaa001"].used, back.rows["aaa001"].priority) == (3, 5)
    assert back.tombs == {}


def test_what_a_row_said_before_anybody_told_of_it_is_kept() -> None:
    """Its count is added to what is known, its bench holds."""
    status = Status("exhausted", NOW - 60, 402)
    ledger = told(Used(counts={"aaa001": 2}), Adopted(rows={"aaa001": Seen(40, "ci", 1, status)}))
    facts = ledger.rows["aaa001"]
    held = status_of(standing(facts.benches))
    assert (facts.used, facts.label, held) == (42, "ci", status)


def test_rows_from_another_home_start_afresh() -> None:
    """What was known of rows that happen to have these ids is forgotten."""
    ledger = told(Used(counts={"aaa001": 2}), Adopted(rows={"aaa001": Seen(40)}, afresh=True))
    assert ledger.rows["aaa001"].used == 40


def test_an_older_bench_from_outside_is_not_taken() -> None:
    """Who had not seen our news must bring something newer; who had is right."""
    known = told(a_failure(), RESET)
    stale = Outside(
        id="aaa001", provider="p", label="x", what="benched", seen=Seen(status=Status("exhausted", NOW - 9))
    )
    assert not benched(told(stale, ledger=known))
    newer = Seen(status=Status("exhausted", NOW + 999))
    assert benched(
        told(Outside(id="aaa001", provider="p", label="x", what="benched", seen=newer), ledger=known)
    )
    had_seen = Outside(id="aaa001", provider="p", label="x", what="benched", seen=stale.seen, past=NOW + 100)
    assert benched(told(had_seen, ledger=known))


def test_a_bench_that_began_after_the_clearing_holds() -> None:
    """Another program cleared the bench it saw, not the one that came after."""
    ledger = told(a_failure(), a_failure(granted=(1, 150)))
    seen = standing(ledger.rows["aaa001"].benches).strike
    assert seen is not None
    assert benched(
        told(Outside(id="aaa001", provider="p", label="x", what="cleared", past=NOW), ledger=ledger)
    )
    cleared = Outside(id="aaa001", provider="p", label="x", what="cleared", past=seen.failure.at)
    assert not benched(told(cleared, ledger=ledger))


def test_pausing_and_letting_go() -> None:
    """For good or until a time."""
    for until, known in ((None, float("inf")), (NOW + 5, NOW + 5)):
        paused = told(Paused(ids=("aaa001",), provider="p", until=until))
        assert paused.rows["aaa001"].paused == known
        assert told(Resumed(ids=("aaa001",), provider="p"), ledger=paused).rows["aaa001"].paused is None


rows = st.sampled_from(IDS)
some_rows = st.lists(rows, min_size=1, max_size=3, unique=True).map(tuple)
grants = st.none() | st.tuples(st.just(1), st.integers(0, 3000))
seens = st.builds(
    Seen,
    st.integers(0, 9),
    st.none() | st.just("x"),
    st.none() | st.integers(0, 5),
    st.builds(
        Status,
        st.sampled_from([None, "exhausted", "dead"]),
        st.floats(NOW - 99, NOW + 99),
        until=st.none() | st.floats(NOW, NOW + 99),
    ),
)


def some(kind: type[Event], /, **values: st.SearchStrategy[Any]) -> st.SearchStrategy[Event]:
    """Return events of one kind; what is not named here is as it is without being told."""
    return st.fixed_dictionaries(values).map(lambda told: kind(**told))


happenings: st.SearchStrategy[Event] = st.one_of(
    some(Used, counts=st.dictionaries(rows, st.integers(1, 5), min_size=1)),
    some(
        Failed,
        ids=some_rows,
        provider=st.just("p"),
        granted=grants,
        code=st.just(429),
        kind=st.none() | st.sampled_from(["rate_limit", "provider", "a kind of tomorrow"]),
        scope=st.sampled_from(["row", "account", "model:m"]),
        message=st.none() | st.just("slow down"),
    ),
    some(Succeeded, ids=some_rows, provider=st.just("p"), granted=grants, model=st.none() | st.just("m")),
    some(Reset, ids=some_rows, provider=st.just("p")),
    some(Restored, rows=st.dictionaries(rows, seens, min_size=1), provider=st.just("p")),
    some(Paused, ids=some_rows, provider=st.just("p"), until=st.none() | st.just(NOW)),
    some(Resumed, ids=some_rows, provider=st.just("p")),
    some(
        Leased,
        ids=some_rows,
        provider=st.just("p"),
        lease=st.sampled_from("xyz"),
        ttl_s=st.sampled_from([3.0, 50.0]),
        most=st.none() | st.integers(1, 3),
    ),
    some(Released, ids=some_rows, provider=st.just("p"), lease=st.sampled_from("xyz")),
    some(Probed, ids=some_rows, provider=st.just("p"), by=st.sampled_from("vw")),
    some(Added, id=rows, provider=st.just("p"), seen=seens),
    some(Removed, id=rows, provider=st.just("p"), label=st.just("x"), gen=st.integers(0, 5)),
    some(Edited, id=rows, provider=st.just("p"), label=st.just("y")),
    some(Moved, order=st.dictionaries(rows, st.integers(0, 9)), provider=st.just("p")),
    some(Adopted, rows=st.dictionaries(rows, seens), afresh=st.booleans()),
    some(
        Outside,
        id=rows,
        provider=st.just("p"),
        label=st.just("z"),
        what=st.sampled_from(
            [
                "added",
                "removed",
                "benched",
                "cleared",
                "used",
                "renamed",
                "came back",
                "restored",
                "lost count",
            ]
        ),
        used=st.integers(0, 3),
        seen=st.none() | seens,
        past=st.none() | st.floats(NOW - 99, NOW + 99),
    ),
    some(Written, gen=st.integers(0, 9)),
    some(Unknown, kind=st.just("teleport")),
)
histories = st.lists(happenings, max_size=25)


def journal_of(events: list[Event]) -> list[tuple[Position, Record]]:
    places = count(1, 100)
    return [((1, next(places)), Record(NOW + seq, "w", seq, event)) for seq, event in enumerate(events, 1)]


def folded(ledger: Ledger, journal: list[tuple[Position, Record]]) -> Ledger:
    for place, record in journal:
        ledger = apply(ledger, record, place)
    return ledger


@calm
@given(histories)
def test_applying_is_pure_and_total(events: list[Event]) -> None:
    """No history raises, and a ledger that was folded on is as it was."""
    ledger = Ledger()
    for place, record in journal_of(events):
        before, kept = ledger, ledger.copy()
        ledger = apply(ledger, record, place)
        assert before == kept


@calm
@given(histories, st.lists(st.integers(0, 25), max_size=4))
def test_the_fold_does_not_depend_on_who_reads_when(events: list[Event], stops: list[int]) -> None:
    """In one go, in portions, or with portions read twice, the end is the same."""
    journal = journal_of(events)
    once, again = folded(Ledger(), journal), Ledger()
    for stop in sorted(stops):
        again = folded(again, journal[:stop])
    assert folded(again, journal) == once


@calm
@given(histories, st.integers(0, 25))
def test_a_checkpoint_and_the_rest_equal_the_whole(events: list[Event], stop: int) -> None:
    """Summed up anywhere, in A or in C, and folded on, nothing is another."""
    journal = journal_of(events)
    half = folded(Ledger(store="s"), journal[:stop])
    whole = folded(half, journal[stop:])
    from_a = read_section({"keydeck": section(half, half.gen)})
    assert from_a == half
    assert from_a is not None
    assert folded(from_a, journal[stop:]) == whole
    assert checkpoint_bytes(Checkpoint(half)) == checkpoint_bytes(Checkpoint(from_a))


def test_what_a_newer_version_knows_of_a_row_survives() -> None:
    """Unknown fields of a row's facts are written again."""
    told_by = section(Ledger(rows={"aaa001": Facts(used=1, extra={"mood": 5})}, store="s"), 3)
    read = read_section({"keydeck": told_by})
    assert read is not None
    assert read.rows["aaa001"].extra == {"mood": 5}


@pytest.mark.parametrize(
    "broken",
    [None, 5, {}, {"v": 99}, {"v": 1, "state": "{", "gen": 1}, {"v": 1, "state": "[]", "pos": "x", "gen": 1}],
)
def test_a_section_that_cannot_be_understood_is_none(broken: Any) -> None:
    """It is not an error: the journal or the rows tell what there is to know."""
    assert read_section({"keydeck": broken}) is None


def test_an_untouched_row_has_no_facts() -> None:
    """What nobody told of is not in the ledger."""
    assert Ledger().rows.get("aaa001", FRESH) == Facts()
