from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes import NOW, a_key, a_reader, keys, write_store
from keydeck.engine.snapshot import HomeSnapshot
from keydeck.live.activity import Change, ChangeKind, Left, Return
from keydeck.live.shortage import Shortage, levels

POOL = "openrouter"
IDS = ("aaa001", "bbb002", "ccc003", "ddd004")
LATER = NOW + 3600


def a_snapshot(home: Path, *ids: str, **fields: Any) -> HomeSnapshot:
    """Return a look at a pool of four ready keys, or of these."""
    write_store(home, {POOL: keys(*(ids or IDS), **fields)})
    return a_reader(home).read()


def a_change(row_id: str | None, kind: ChangeKind = ChangeKind.BENCHED, **fields: Any) -> Change:
    given = {"at": NOW, "provider": POOL, "row_id": row_id, "label": "", "kind": kind, **fields}
    return Change(**given)


def benched(*ids: str) -> list[Change]:
    return [a_change(row_id, until=LATER) for row_id in ids]


def ready(*ids: str) -> list[Change]:
    return [a_change(row_id, ChangeKind.READY, detail=Return.COOLDOWN_OVER) for row_id in ids]


def lefts(changes: tuple[Change, ...]) -> list[Left]:
    return [change.left for change in changes if change.left]


def out(home: Path, *ids: str) -> HomeSnapshot:
    """Return a look at the pool of four in which these are out."""
    rows = [
        a_key(row_id, priority=place, **({"last_status": "dead"} if row_id in ids else {}))
        for place, row_id in enumerate(IDS)
    ]
    write_store(home, {POOL: rows})
    return a_reader(home).read()


@pytest.mark.parametrize(
    ("total", "expected"),
    [(0, ()), (1, ()), (2, (0,)), (3, (1, 0)), (4, (2, 1, 0)), (5, (2, 1, 0)), (15, (7, 1, 0))],
)
def test_levels(total: int, expected: tuple[int, ...]) -> None:
    """Half, one and none, each where it is another one; of a single key there is nothing to say."""
    assert levels(total) == expected


def test_it_is_told_behind_the_change_at_half_at_one_and_at_none(home: Path) -> None:
    """At the time of the change, of the pool as a whole; steps between say nothing."""
    told = Shortage().told(benched(*IDS), out(home, *IDS), NOW)
    assert [(change.row_id, change.left) for change in told] == [
        ("aaa001", None),
        ("bbb002", None),
        (None, Left(2, 4)),
        ("ccc003", None),
        (None, Left(1, 4)),
        ("ddd004", None),
        (None, Left(0, 4)),
    ]
    assert {(change.at, change.provider) for change in told} == {(NOW, POOL)}


@pytest.mark.parametrize("at_once", [True, False])
def test_it_is_told_once_and_again_after_it_has_recovered(home: Path, *, at_once: bool) -> None:
    """One key that comes and goes is told once, and so is another bench of one that is out; whoever reads when.

    Also where the last look at the rows is older than what was told.
    """
    snapshot = a_snapshot(home)
    comes_and_goes = [*ready("ccc003"), *benched("ccc003"), *benched("ccc003")]
    changes = [*benched("aaa001", "bbb002", "ccc003"), *comes_and_goes, *comes_and_goes]
    changes += [*ready("aaa001", "bbb002"), *benched("aaa001", "bbb002"), *benched("ddd004")]
    changes += [*ready(*IDS), *benched("aaa001", "bbb002")]
    shortage = Shortage()
    if at_once:
        told = shortage.told(changes, snapshot, NOW)
    else:
        told = tuple(each for change in changes for each in shortage.told([change], snapshot, NOW + 1))
    assert lefts(told) == [(2, 4), (1, 4), (1, 4), (0, 4), (2, 4)]


def test_rows_that_nothing_is_told_of_are_as_they_were_seen(home: Path) -> None:
    """Two have been dead for weeks: the third to go leaves one."""
    assert lefts(Shortage().told(benched("ccc003"), out(home, "aaa001", "bbb002", "ccc003"), NOW)) == [(1, 4)]


def test_a_newer_look_counts_more_than_what_was_told_before_it(home: Path) -> None:
    """What nobody told, such as a token that ended, does not make the count wrong for good."""
    shortage = Shortage()
    shortage.told(benched("aaa001"), a_snapshot(home), NOW - 60)
    assert lefts(shortage.told(benched("bbb002"), out(home, "bbb002"), NOW)) == []


@pytest.mark.parametrize(
    "kind",
    [ChangeKind.DEAD, ChangeKind.PAUSED, ChangeKind.LOST_SECRET, ChangeKind.BROKEN, ChangeKind.RESET_UNDONE],
)
def test_whatever_takes_a_row_out_counts(home: Path, kind: ChangeKind) -> None:
    """Not only benches."""
    changes = [a_change(row_id, kind) for row_id in IDS[:3]]
    assert lefts(Shortage().told(changes, out(home, *IDS[:3]), NOW)) == [(2, 4), (1, 4)]


@pytest.mark.parametrize(
    "back",
    [
        ready("bbb002"),
        [a_change("bbb002", ChangeKind.RESET)],
        [a_change("bbb002", ChangeKind.PAUSED), a_change("bbb002", ChangeKind.RESUMED, at=LATER)],
        [a_change("eee005", ChangeKind.ADDED)],
    ],
    ids=["ready", "reset", "a pause that the bench did not outlast", "another key"],
)
def test_whatever_brings_one_back_counts(home: Path, back: list[Change]) -> None:
    """After it one is not the last."""
    changes = [*benched("aaa001", "bbb002"), *back, *benched("ccc003")]
    there = ("eee005",) if back[0].kind is ChangeKind.ADDED else ()
    told = Shortage().told(changes, a_snapshot(home, *IDS, *there), NOW)
    assert lefts(told) == [(2, 4)]


def test_a_bench_that_outlasts_the_pause_over_it_goes_on(home: Path) -> None:
    """Resuming such a row brings nothing back."""
    pause = [a_change("bbb002", ChangeKind.PAUSED), a_change("bbb002", ChangeKind.RESUMED, at=NOW + 60)]
    changes = [*benched("aaa001", "bbb002"), *pause, *benched("ccc003")]
    assert lefts(Shortage().told(changes, a_snapshot(home), NOW)) == [(2, 4), (1, 4)]


def test_rows_with_one_secret_go_together(home: Path) -> None:
    """Two levels are crossed by one change; it is told once, with what is left."""
    change = a_change("bbb002", until=LATER, twins=("ccc003",))
    assert lefts(Shortage().told([*benched("aaa001"), change], a_snapshot(home), NOW)) == [(1, 4)]


def test_a_removal_of_one_that_served_counts(home: Path) -> None:
    """Of fewer rows then; the removal of one that was out changes nothing."""
    served = [*ready("aaa001"), *benched("ccc003"), a_change("aaa001", ChangeKind.REMOVED)]
    was_out = [*benched("aaa001"), a_change("aaa001", ChangeKind.REMOVED)]
    snapshot = a_snapshot(home, *IDS[1:])
    assert lefts(Shortage().told([*served, *benched("bbb002")], snapshot, NOW)) == [(1, 3)]
    assert lefts(Shortage().told([*benched("ddd004"), *was_out], snapshot, NOW)) == [(2, 4)]
    two_left = [*benched("bbb002"), *ready("aaa001", "ccc003"), *benched("ddd004")]
    removed = a_change("aaa001", ChangeKind.REMOVED)
    assert lefts(Shortage().told([*two_left, removed], snapshot, NOW)) == [(1, 4), (2, 4), (1, 3)]


def test_where_it_is_not_known_how_a_row_stood_nothing_is_said(home: Path) -> None:
    """A key was removed of which the journal tells nothing else; after that all is known."""
    gone = [a_change("eee005", ChangeKind.REMOVED)]
    snapshot = a_snapshot(home)
    assert lefts(Shortage().told([*benched("aaa001", "bbb002", "ccc003"), *gone], snapshot, NOW)) == []
    assert lefts(Shortage().told([*gone, *benched("aaa001", "bbb002")], snapshot, NOW)) == [(2, 4)]


def test_pools_are_counted_apart_and_what_says_nothing_of_health_passes(home: Path) -> None:
    """Each pool has its own rows, though ids may be the same."""
    others = [
        a_change(None, ChangeKind.STRATEGY),
        a_change("aaa001", ChangeKind.RENAMED),
        a_change("aaa001", ChangeKind.REFUSED),
        a_change("aaa001", provider="zai"),
    ]
    changes = [*others, *benched("bbb002", "ccc003")]
    told = Shortage().told(changes, a_snapshot(home), NOW)
    assert [change for change in told if not change.left] == changes
    assert lefts(told) == [(2, 4)]
