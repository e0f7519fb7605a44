from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes import NOW, FakeClock, a_home, a_key, a_pool, a_reader, benched, keys, load, undo_of, write_store
from keydeck.engine.acting import Done
from keydeck.engine.acts import Operator
from keydeck.engine.credential import Credential
from keydeck.engine.errors import Refused
from keydeck.engine.events import Failed, Held, Record, Restored, Seen, Status, decode, encode
from keydeck.engine.failures import FailureKind
from keydeck.engine.file_store import FileStore
from keydeck.engine.state import Health, RowState

POOL = "openrouter"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(home: Path, clock: FakeClock) -> FileStore:
    """Return the store of an agent on a home of three keys."""
    write_store(home, {POOL: keys("aaa001", "bbb002", "ccc003")})
    return a_store(home, clock)


def a_store(home: Path, clock: FakeClock) -> FileStore:
    store = FileStore(a_home(home), clock=clock)
    store.snapshot()
    return store


def fail(store: FileStore, *ids: str, **fields: Any) -> None:
    known = {"ids": ids or ("aaa001",), "provider": POOL, "code": 429, "message": "slow down"}
    store.append(Failed(**{**known, "kind": FailureKind.RATE_LIMIT, **fields}))


def rows(home: Path, clock: FakeClock) -> dict[str, RowState]:
    pool = a_reader(home, clock=clock).read().pool(POOL)
    assert pool is not None
    return {row.id: row for row in pool.at(clock()).rows}


def health(home: Path, clock: FakeClock, row_id: str = "aaa001") -> Health:
    return rows(home, clock)[row_id].health


def limits(home: Path, clock: FakeClock) -> dict[str, dict[str, float | None]]:
    """Return row → model → until when it is out for that."""
    found = {row_id: row.limits(clock()) for row_id, row in rows(home, clock).items()}
    return {
        row_id: {model: held.until for model, held in each.items()} for row_id, each in found.items() if each
    }


def operator(home: Path, clock: FakeClock) -> Operator:
    return Operator(a_reader(home, clock=clock), timeout_s=5)


def undo(home: Path, clock: FakeClock, done: Done) -> Done:
    return operator(home, clock).undo(undo_of(done))


# --- benches of single models ------------------------------------------------------------------------------


def test_a_row_that_is_out_for_models_only_is_reset(home: Path, store: FileStore, clock: FakeClock) -> None:
    """It serves them again, other rows do not, and the note says how many models that are."""
    for row_id, model in (("aaa001", "m1"), ("aaa001", "m2"), ("bbb002", "m1")):
        fail(store, row_id, scope=f"model:{model}")
    assert {row_id: set(found) for row_id, found in limits(home, clock).items()} == {
        "aaa001": {"m1", "m2"},
        "bbb002": {"m1"},
    }
    done = operator(home, clock).reset(POOL, "aaa001")
    assert done.text == "reset key-aaa001 (aaa001)"
    assert done.notes == (
        "that ended the limits of 2 models",
        "a reset is local: it does not give quota back",
    )
    assert set(limits(home, clock)) == {"bbb002"}
    assert operator(home, clock).reset(POOL, "aaa001").text == f"nothing to reset in {POOL}"


def test_a_pool_is_reset_with_the_models_its_rows_are_out_for(
    home: Path, store: FileStore, clock: FakeClock
) -> None:
    """Such rows count as much as benched ones."""
    fail(store, "aaa001", scope="model:m1")
    fail(store, "bbb002")
    done = operator(home, clock).reset(POOL)
    assert (done.text, done.notes[0]) == (f"reset 2 of {POOL}", "that ended the limit of 1 model")
    assert not limits(home, clock)
    assert all(row.health.is_usable for row in rows(home, clock).values())


def test_an_agent_resets_models_too(home: Path, store: FileStore, clock: FakeClock) -> None:
    """`reset_statuses` counts them, and the next request for the model gets the row."""
    fail(store, "aaa001", scope="model:m1")
    pool = a_pool(home, clock=clock)
    picked = pool.select(model="m1")
    assert picked is not None
    assert picked.id != "aaa001"
    assert pool.reset_statuses() == 1
    picked = pool.select(model="m1")
    assert picked is not None
    assert picked.id == "aaa001"
    assert pool.reset_statuses() == 0


def test_rows_with_one_secret_are_reset_together(home: Path, clock: FakeClock) -> None:
    """What one of them is out for, the other is; so is its end, and what the undo gives back."""
    twin = a_key("bbb002", priority=1, access_token="sk-test-aaa001-secret")
    write_store(home, {POOL: [a_key("aaa001"), twin, a_key("ccc003", priority=2)]})
    fail(a_store(home, clock), "aaa001", "bbb002", scope="model:m1")
    before = limits(home, clock)
    assert set(before) == {"aaa001", "bbb002"}
    done = operator(home, clock).reset(POOL, "aaa001")
    assert not limits(home, clock)
    undo(home, clock, done)
    assert limits(home, clock) == before


# --- giving them back --------------------------------------------------------------------------------------

STRIKES: dict[str, list[dict[str, Any]]] = {
    "three in a row": [{}, {}, {}],
    "the provider's word": [{"until": NOW + 700}],
    "of an account": [{"scope": "account", "kind": FailureKind.USAGE_LIMIT}],
    "of two models and the row": [{"scope": "model:m1"}, {"scope": "model:m2"}, {"scope": "model:m2"}, {}],
    "of a model only": [{"scope": "model:m1", "until": NOW + 900}],
    "for good": [{"status": "dead", "code": 401, "kind": FailureKind.REVOKED, "message": None}],
    "refused twice": [{"code": 401, "kind": FailureKind.KEY_REFUSED}] * 2,
}


@pytest.mark.parametrize("whole", [True, False], ids=["pool", "key"])
@pytest.mark.parametrize("failures", STRIKES.values(), ids=STRIKES)
def test_an_undone_reset_gives_back_all_that_was_known(
    home: Path, store: FileStore, clock: FakeClock, failures: list[dict[str, Any]], *, whole: bool
) -> None:
    """Whose word the end is, the how manieth in a row, what it concerns, until when; and the row in the file."""
    for fields in failures:
        fail(store, **fields)
        clock.forward(5)
    assert store.checkpoint()
    before, filed, out_for = health(home, clock), load(home)["credential_pool"], limits(home, clock)
    done = operator(home, clock).reset(POOL, None if whole else "aaa001")
    assert health(home, clock).is_usable
    clock.forward(20)
    undo(home, clock, done)
    after = health(home, clock)
    kept = ("kind", "since", "until", "evidence", "streak", "code", "cause", "scope", "told", "is_usable")
    assert {name: getattr(after, name) for name in kept} == {name: getattr(before, name) for name in kept}
    assert limits(home, clock) == out_for
    assert load(home)["credential_pool"] == filed


def test_a_row_that_only_the_file_knew_gets_its_fields_back(home: Path, clock: FakeClock) -> None:
    """As it was, also a status that says that all is well."""
    found = [a_key("aaa001", **benched(until=NOW + 500)), a_key("bbb002", priority=1, last_status="ok")]
    write_store(home, {POOL: found})
    undo(home, clock, operator(home, clock).reset(POOL))
    assert load(home)["credential_pool"][POOL] == found
    assert health(home, clock).evidence == "file"


@pytest.mark.parametrize("scope", ["row", "model:m1", "model:m2"])
def test_a_failure_since_then_is_not_written_over(
    home: Path, store: FileStore, clock: FakeClock, scope: str
) -> None:
    """The undo is refused, and the row stands as the newer failure says."""
    fail(store, scope="model:m1")
    done = operator(home, clock).reset(POOL, "aaa001")
    clock.forward(5)
    fail(store, scope=scope, message="newer")
    before = health(home, clock), limits(home, clock)
    with pytest.raises(Refused, match="changed meanwhile"):
        undo(home, clock, done)
    assert (health(home, clock), limits(home, clock)) == before


def test_after_an_undone_reset_the_next_failure_goes_on_counting(
    home: Path, store: FileStore, clock: FakeClock
) -> None:
    """What was in a row is in a row; and another reset ends it all."""
    fail(store)
    fail(store)
    undo(home, clock, operator(home, clock).reset(POOL, "aaa001"))
    store.poll()
    fail(store)
    assert health(home, clock).streak == 3
    operator(home, clock).reset(POOL, "aaa001")
    assert health(home, clock).is_usable


def test_an_older_version_benches_by_what_the_file_said() -> None:
    """It does not know the new field, keeps it, and finds the status it always found."""
    held = Held("rate_limit", NOW, 429, None, "slow", None, "row", None, False, (1, 2), (1, 3), 4)
    event = Restored({"aaa001": Seen(status=Status("exhausted", NOW, 429))}, POOL, {"aaa001": (held,)})
    line = encode(Record(NOW, "w", 1, event))
    assert decode(line) == Record(NOW, "w", 1, event)
    assert decode(line.replace(b'"held"', b'"hold"')) == Record(
        NOW, "w", 1, event._replace(held={}, extra={"hold": {"aaa001": [[*held[:9], [1, 2], [1, 3], 4]]}})
    )


def test_rows_that_are_no_credentials_have_nothing_to_reset(home: Path, clock: FakeClock) -> None:
    """A pool with a row that cannot be read is reset around it."""
    write_store(home, {POOL: [a_key("aaa001", **benched()), a_key("bbb002", priority="x")]})
    assert operator(home, clock).reset(POOL).text == f"reset 1 of {POOL}"
    assert isinstance(rows(home, clock)["aaa001"].row, Credential)
