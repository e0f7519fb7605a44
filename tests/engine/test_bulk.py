"""One act on several rows: told as one, undone as one, and honest about what did not take."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from fakes import NOW, a_key, a_reader, benched, keys, load, lock_held, tree, undo_of, write_store
from keydeck.engine.acting import Done
from keydeck.engine.acts import Operator
from keydeck.engine.bulk import Act, each
from keydeck.engine.errors import KeydeckError, LockBusy, TargetError


def removing(*ids: str) -> list[Act]:
    return [partial(lambda row_id, operator: operator.remove("openrouter", row_id), row_id) for row_id in ids]


def resetting(*ids: str) -> list[Act]:
    return [partial(lambda row_id, operator: operator.reset("openrouter", row_id), row_id) for row_id in ids]


def ids(home: Path) -> list[str]:
    return [row["id"] for row in load(home)["credential_pool"]["openrouter"]]


@pytest.fixture
def operator(home: Path) -> Operator:
    write_store(home, {"openrouter": keys("aaa001", "aaa002", "aaa003", "aaa004")})
    return Operator(a_reader(home), timeout_s=0.1)


def test_all_are_done_told_and_undone_as_one(home: Path, operator: Operator) -> None:
    """Three removals are one line and one undo, which brings rows and secrets back to their places."""
    before = load(home)["credential_pool"]
    done = each(operator, removing("aaa001", "aaa003", "aaa004"), "removed")
    assert done.text == "removed 3 keys"
    assert ids(home) == ["aaa002"]
    assert undo_of(done).holds_secret
    back = operator.undo(undo_of(done))
    assert back.text == "put back 3 keys"
    rows = load(home)["credential_pool"]["openrouter"]
    assert sorted(rows, key=lambda row: float(row["priority"])) == before["openrouter"]


def test_one_that_fails_does_not_keep_the_others(home: Path, operator: Operator) -> None:
    """A row that is gone is told by its reason; the count says how many took; only those are undone."""
    done = each(operator, removing("aaa001", "gone", "aaa003"), "removed")
    assert done.text == "removed 2 of 3 keys"
    assert done.notes[0] == "openrouter has no credential gone any more"
    assert ids(home) == ["aaa002", "aaa004"]
    assert operator.undo(undo_of(done)).text == "put back 2 keys"
    assert set(ids(home)) == {"aaa001", "aaa002", "aaa003", "aaa004"}


def test_when_nothing_took_the_first_reason_is_the_error(home: Path, operator: Operator) -> None:
    """Not one removed: that is no success with a footnote but the error itself."""
    before = tree(home)
    with pytest.raises(TargetError, match="no credential gone"):
        each(operator, removing("gone", "gone too"), "removed")
    assert {name: found for name, found in tree(home).items() if name != "auth.lock"} == before


def test_what_needed_nothing_is_not_counted(home: Path) -> None:
    """Resetting keys of which only one is benched says one, and never claims the others."""
    rows = [a_key("aaa001"), a_key("aaa002", priority=1, **benched(429, until=NOW + 900))]
    write_store(home, {"openrouter": rows})
    operator = Operator(a_reader(home))
    done = each(operator, resetting("aaa001", "aaa002"), "reset")
    assert done.text == "reset 1 of 2 keys"
    assert "nothing to reset in openrouter" in done.notes
    assert load(home)["credential_pool"]["openrouter"][1]["last_status"] is None
    operator.undo(undo_of(done))
    assert load(home)["credential_pool"]["openrouter"] == rows
    nothing = each(operator, resetting("aaa001"), "reset")
    assert nothing.text == "reset none of 1 keys"
    assert nothing.undo is None


def test_notes_are_told_once(home: Path) -> None:
    """What every act would remark stands there once."""
    rows = [a_key(f"aaa00{place}", priority=place, **benched(429)) for place in range(3)]
    write_store(home, {"openrouter": rows})
    done = each(Operator(a_reader(home)), resetting("aaa000", "aaa001", "aaa002"), "reset")
    assert done.text == "reset 3 keys"
    assert done.notes == ("a reset is local: it does not give quota back",)


def test_undo_tells_what_would_not_go_back(home: Path, operator: Operator) -> None:
    """A row that somebody put there meanwhile stays; the others come back, and both are told."""
    done = each(operator, removing("aaa001", "aaa002"), "removed")
    document = load(home)["credential_pool"]["openrouter"]
    write_store(home, {"openrouter": [*document, a_key("aaa002", "another")]})
    back = operator.undo(undo_of(done))
    assert back.text == "put back 1 of 2 keys"
    assert any("is there again already" in note for note in back.notes)
    assert load(home)["credential_pool"]["openrouter"][2]["label"] == "another"


def test_a_store_that_cannot_be_written_ends_it_at_once(home: Path, operator: Operator) -> None:
    """With the lock held elsewhere the first act waits and fails, and the others do not wait as well."""
    tried: list[str] = []

    def trying(row_id: str, operator: Operator) -> Done:
        tried.append(row_id)
        return operator.remove("openrouter", row_id)

    acts: list[Act] = [partial(trying, row_id) for row_id in ("aaa001", "aaa002", "aaa003")]
    before = load(home)
    with lock_held(home), pytest.raises(LockBusy):
        each(operator, acts, "removed")
    assert tried == ["aaa001"]
    assert load(home) == before


def test_what_was_done_before_the_store_went_bad_is_kept(home: Path, operator: Operator) -> None:
    """The first removal took, the second found the lock held: one of three, and that one can be undone."""
    lock = lock_held(home)

    def then_held(operator: Operator) -> Done:
        lock.__enter__()
        return operator.remove("openrouter", "aaa002")

    try:
        done = each(operator, [*removing("aaa001"), then_held, *removing("aaa003")], "removed")
    finally:
        lock.__exit__(None, None, None)
    assert done.text == "removed 1 of 3 keys"
    assert "held the lock" in done.notes[0]
    assert ids(home) == ["aaa002", "aaa003", "aaa004"]
    operator.undo(undo_of(done))
    assert set(ids(home)) == {"aaa001", "aaa002", "aaa003", "aaa004"}


def test_it_is_a_keydeck_error_whichever_it_was() -> None:
    """Callers catch one kind."""
    assert issubclass(TargetError, KeydeckError) and issubclass(LockBusy, KeydeckError)
