from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes import FailingDisk, FakeClock, a_home, a_key, a_login, keys, load, load_whole, tree, write_store
from keydeck.engine.auth_document import parse_document
from keydeck.engine.credential import BadRow, Credential
from keydeck.engine.errors import StoreCorrupt, StoreTooNew, StoreUnreadable, TargetError
from keydeck.engine.file_store import FileStore
from keydeck.engine.files import Disk
from keydeck.engine.store import EMPTY_STORE

PATH = Path("auth.json")


def a_store(home: Path, disk: Disk | None = None) -> FileStore:
    return FileStore(a_home(home), disk=disk, clock=FakeClock())


# --- reading -----------------------------------------------------------------------------------------------


def test_a_home_without_a_store_is_empty_and_stays_untouched(home: Path) -> None:
    """Reading where nothing is makes nothing."""
    assert a_store(home).snapshot() is EMPTY_STORE
    assert not home.exists()


def test_pools_are_by_canonical_provider_and_rows_remember_where_they_lie(home: Path) -> None:
    """Rows under an alias belong to the one pool, and are written where they are."""
    write_store(
        home, {"fw": [a_key("aaa001")], "fireworks": [a_key("bbb002")], "fireworks-ai": [a_key("ccc003")]}
    )
    rows = a_store(home).snapshot().pools["fireworks"]
    assert [(row.id, row.stored_under) for row in rows] == [
        ("aaa001", "fw"),
        ("bbb002", "fireworks"),
        ("ccc003", "fireworks-ai"),
    ]


def test_everything_else_a_reader_needs_is_there(home: Path) -> None:
    """Logins, the active provider and suppressions are read; what is of no use there is passed over."""
    write_store(
        home,
        {"openrouter": keys("aaa001"), "nous": "broken"},
        providers={"nous": {"access_token": "x"}, "odd": []},
        active_provider="nous",
        suppressed_sources={"fw": ["env:A"], "fireworks": ["env:B", 7], "zai": "env:C"},
    )
    stored = a_store(home).snapshot()
    assert stored.exists
    assert stored.logins == {"nous": {"access_token": "x"}}
    assert stored.active_provider == "nous"
    assert stored.suppressed == {"fireworks": frozenset({"env:A", "env:B"})}
    assert stored.bad_pools == {"nous": "its value is a JSON string where a list of rows should be"}
    assert list(stored.pools) == ["openrouter"]


def test_a_snapshot_prints_no_login(home: Path) -> None:
    """The OAuth blocks hold raw tokens: their snapshot does not print them."""
    write_store(home, {"openrouter": [a_key()]}, providers={"nous": {"access_token": "planted-token"}})
    assert "planted-token" not in repr(a_store(home).snapshot())
    assert "sk-test" not in repr(a_store(home).snapshot())


def test_a_snapshot_cannot_be_changed(home: Path) -> None:
    """What was read stays what was read."""
    write_store(home, {"openrouter": [a_key()]})
    assert isinstance(a_store(home).snapshot().pools, MappingProxyType)


@pytest.mark.parametrize(
    ("data", "error", "reason"),
    [
        (b"", StoreCorrupt, "empty"),
        (b"  \n ", StoreCorrupt, "empty"),
        (b"\xef\xbb\xbf", StoreCorrupt, "not valid JSON"),
        (b"{", StoreCorrupt, r"not valid JSON \(line 1\)"),
        (b'{"version": 1,\n"credential_pool": {', StoreCorrupt, r"line 2"),
        (b"\xff\xfe{}", StoreCorrupt, "not valid JSON"),
        (b"[" * 100_000, StoreCorrupt, "not valid JSON"),
        (b"[]", StoreCorrupt, "a JSON list where an object should be"),
        (b"null", StoreCorrupt, "a JSON null"),
        (b"7", StoreCorrupt, "a JSON number"),
        (b'"x"', StoreCorrupt, "a JSON string"),
        (b'{"credential_pool": []}', StoreCorrupt, "credential_pool is a JSON list"),
        (b'{"providers": "x"}', StoreCorrupt, "providers is a JSON string"),
        (b'{"suppressed_sources": 1}', StoreCorrupt, "suppressed_sources is a JSON number"),
        (b'{"version": 2}', StoreTooNew, "version 2 is newer"),
        (b'{"version": 1.5}', StoreTooNew, "version 1.5 is newer"),
        (b'{"version": 1e999}', StoreTooNew, "version inf is newer"),
    ],
)
def test_what_is_no_store_is_an_error_and_never_empty(
    data: bytes, error: type[Exception], reason: str
) -> None:
    """Each kind of damage has its type and says what it is; nothing of it is read as an empty store."""
    with pytest.raises(error, match=reason):
        parse_document(PATH, data)


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b'{"providers": {}}',
        b'{"credential_pool": null, "providers": null, "suppressed_sources": null}',
        b"\xef\xbb\xbf{}",
        b'{"version": 0}',
        b'{"version": "1"}',
        b'{"version": null}',
    ],
)
def test_what_can_be_understood_is_read(data: bytes) -> None:
    """Absent and null sections are none, a BOM is harmless, an older version is read."""
    assert isinstance(parse_document(PATH, data), dict)


def test_a_parse_error_carries_nothing_of_the_file() -> None:
    """The file holds keys: no error, cause or context of one quotes it."""
    with pytest.raises(StoreCorrupt) as caught:
        parse_document(PATH, b'{"credential_pool": {"openrouter": [{"access_token": "sk-planted-1234"')
    error: BaseException | None = caught.value
    assert caught.value.line == 1
    while error is not None:
        assert "sk-planted" not in f"{error!r} {vars(error)}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_document_or_a_store_error(data: bytes) -> None:
    """Nothing else ever comes out of parsing."""
    try:
        document = parse_document(PATH, data)
    except (StoreCorrupt, StoreTooNew):
        return
    assert isinstance(document, dict)


@pytest.mark.parametrize("call", ["open_read", "fstat", "read"])
def test_an_unreadable_file_is_an_error(home: Path, call: str) -> None:
    """A failing read says what the system said."""
    write_store(home, {"openrouter": [a_key()]})
    with pytest.raises(StoreUnreadable, match="input/output error"):
        a_store(home, FailingDisk(on={call})).snapshot()


# --- noticing changes --------------------------------------------------------------------------------------


def test_a_replaced_file_is_noticed_once(home: Path) -> None:
    """`changed` is true from a replacement until the next snapshot."""
    write_store(home, {"openrouter": [a_key()]})
    store = a_store(home)
    assert store.changed()
    store.snapshot()
    assert not store.changed()
    with a_store(home).transaction() as change:
        change.update_row("openrouter", "aaa001", {"request_count": 1})
    assert store.changed()
    store.snapshot()
    assert not store.changed()


def test_appearing_and_vanishing_are_changes(home: Path) -> None:
    """A store that comes or goes is noticed."""
    store = a_store(home)
    store.snapshot()
    assert not store.changed()
    write_store(home)
    assert store.changed()
    store.snapshot()
    (home / "auth.json").unlink()
    assert store.changed()


def test_a_broken_file_is_read_again_only_when_it_changed(home: Path) -> None:
    """A store that cannot be parsed does not look new at every question."""
    path = write_store(home)
    path.write_text("{")
    store = a_store(home)
    with pytest.raises(StoreCorrupt):
        store.snapshot()
    assert not store.changed()
    path.write_text("{ ")
    assert store.changed()


# --- transactions ------------------------------------------------------------------------------------------


def test_a_change_touches_the_named_fields_of_the_named_row_alone(home: Path) -> None:
    """Everything else in the document, known or not, is as it was."""
    write_store(
        home,
        {
            "openrouter": [a_key("aaa001", x_note={"a": [1]}), a_key("bbb002")],
            "later": {"not": "a list"},
            "odd": [5, None],
        },
        providers={"nous": {"access_token": "x"}},
        x_tool=[{"keep": True}],
        suppressed_sources={"zai": ["env:Z"]},
    )
    before = load(home)
    with a_store(home).transaction() as change:
        change.update_row("openrouter", "bbb002", {"label": "renamed", "x_new": 1})
    after = load(home)
    assert after["credential_pool"]["openrouter"][1] == {**a_key("bbb002"), "label": "renamed", "x_new": 1}
    after["credential_pool"]["openrouter"][1] = before["credential_pool"]["openrouter"][1]
    assert after.pop("updated_at") == "2026-11-08T14:02:11.000000+00:00"
    assert after == before


def test_a_write_is_as_hermes_writes(home: Path) -> None:
    """Version 1, a providers object, ASCII, two blanks of indent, one newline at the end."""
    write_store(home, {"openrouter": [a_key(label="schlüssel")]}, version=0, providers=None)
    text = (home / "auth.json").read_text()
    with a_store(home).transaction() as change:
        change.update_row("openrouter", "aaa001", {"request_count": 3})
    written = (home / "auth.json").read_bytes()
    document = load_whole(home)
    assert document["version"] == 1
    assert document["providers"] == {}
    assert written == (json.dumps(document, indent=2) + "\n").encode("ascii")
    assert written.endswith(b"}\n")
    assert b"schl\\u00fcssel" in written
    assert text != written.decode()


def test_the_first_write_makes_the_home(home: Path) -> None:
    """A missing folder is made private, and the store in it."""
    with a_store(home / "deep").transaction() as change:
        assert change.snapshot() == EMPTY_STORE
        change.add_row("openrouter", a_key())
        assert [row.id for row in change.snapshot().pools["openrouter"]] == ["aaa001"]
    assert (home / "deep").stat().st_mode & 0o777 == 0o700
    assert (home / "deep" / "auth.json").stat().st_mode & 0o777 == 0o600
    assert load(home / "deep")["credential_pool"] == {"openrouter": [a_key()]}


def test_a_section_that_is_null_is_an_empty_one(home: Path) -> None:
    """Null sections are read as none, so they can be written to as well."""
    home.mkdir()
    (home / "auth.json").write_text('{"credential_pool": null, "suppressed_sources": null}')
    with a_store(home).transaction() as change:
        change.add_row("openrouter", a_key())
        change.suppress("openrouter", "env:A")
    document = load(home)
    assert document["credential_pool"] == {"openrouter": [a_key()]}
    assert document["suppressed_sources"] == {"openrouter": ["env:A"]}


@pytest.mark.parametrize("fields", [{}, {"request_count": 0}, {"label": "key-aaa001", "last_status": None}])
def test_a_transaction_that_changes_nothing_writes_nothing(home: Path, fields: Mapping[str, Any]) -> None:
    """Setting what is already there leaves the file alone."""
    write_store(home, {"openrouter": [a_key()]})
    before = (home / "auth.json").stat()
    with a_store(home).transaction() as change:
        change.update_row("openrouter", "aaa001", fields)
    after = (home / "auth.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert sorted(tree(home)) == ["auth.json", "auth.lock"]


def test_a_field_that_is_absent_is_not_the_same_as_null(home: Path) -> None:
    """Writing null into a row that lacks the field is a change: hermes always emits the six status fields."""
    write_store(home, {"openrouter": [a_key(last_status=...)]})
    with a_store(home).transaction() as change:
        change.update_row("openrouter", "aaa001", {"last_status": None})
    assert load(home)["credential_pool"]["openrouter"][0]["last_status"] is None


def test_an_error_inside_a_transaction_leaves_the_file_alone(home: Path) -> None:
    """A change that was begun and not ended is not made."""
    write_store(home, {"openrouter": [a_key()]})
    before = (home / "auth.json").read_bytes()

    def begin_and_fail() -> None:
        with a_store(home).transaction() as change:
            change.remove_row("openrouter", "aaa001")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        begin_and_fail()
    assert (home / "auth.json").read_bytes() == before
    with a_store(home).transaction(timeout_s=0.2) as change:
        change.remove_row("openrouter", "aaa001")


def test_rows_are_added_last_and_removed_by_id(home: Path) -> None:
    """Neither disturbs its neighbours; an emptied pool stays as an empty list."""
    write_store(home, {"openrouter": keys("aaa001", "bbb002")})
    with a_store(home).transaction() as change:
        change.add_row("openrouter", a_key("ccc003"))
        change.add_row("zai", a_key("ddd004"))
        change.remove_row("openrouter", "bbb002")
        change.remove_row("zai", "ddd004")
    pools = load(home)["credential_pool"]
    assert [row["id"] for row in pools["openrouter"]] == ["aaa001", "ccc003"]
    assert pools["zai"] == []


def test_a_row_without_an_id_can_be_changed_and_removed(home: Path) -> None:
    """It answers to the id that a snapshot gave it, also after it was used meanwhile."""
    write_store(home, {"openrouter": [a_key("", "first"), a_key("", "second")]})
    row = a_store(home).snapshot().pools["openrouter"][1]
    assert isinstance(row, Credential)
    with a_store(home).transaction() as change:
        change.update_row("openrouter", row.id, {"request_count": 7})
    with a_store(home).transaction() as change:
        change.remove_row("openrouter", row.id)
    assert [raw["label"] for raw in load(home)["credential_pool"]["openrouter"]] == ["first"]


@pytest.mark.parametrize("pool_key", ["openrouter", "nobody", "broken"])
def test_a_row_that_is_gone_is_an_error_that_changes_nothing(home: Path, pool_key: str) -> None:
    """Acting on a row somebody removed, or on a pool that is no list, is refused."""
    write_store(home, {"openrouter": keys("aaa001"), "broken": {"x": 1}})
    before = (home / "auth.json").read_bytes()
    store = a_store(home)
    with pytest.raises(TargetError), store.transaction() as change:
        change.update_row(pool_key, "zzz999", {"label": "x"})
    with pytest.raises(TargetError), store.transaction() as change:
        change.remove_row(pool_key, "zzz999")
    assert (home / "auth.json").read_bytes() == before


def test_a_pool_that_is_no_list_takes_no_row(home: Path) -> None:
    """What cannot be understood is not overwritten."""
    write_store(home, {"broken": {"x": 1}})
    with pytest.raises(TargetError, match="not a list"), a_store(home).transaction() as change:
        change.add_row("broken", a_key())
    assert load(home)["credential_pool"]["broken"] == {"x": 1}


def test_suppressions_and_logins(home: Path) -> None:
    """Sources are suppressed once, and lifted by pool; a login block is forgotten whole."""
    write_store(home, providers={"nous": {"access_token": "x"}, "zai": {}})
    with a_store(home).transaction() as change:
        change.suppress("openrouter", "env:A")
        change.suppress("openrouter", "env:A")
        change.suppress("openrouter", "env:B")
        change.suppress("zai", "env:Z")
        change.forget_login("nous")
        change.forget_login("nobody")
    document = load(home)
    assert document["suppressed_sources"] == {"openrouter": ["env:A", "env:B"], "zai": ["env:Z"]}
    assert document["providers"] == {"zai": {}}
    with a_store(home).transaction() as change:
        change.unsuppress("openrouter")
        change.unsuppress("nobody")
    assert load(home)["suppressed_sources"] == {"zai": ["env:Z"]}


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"version": 2, "credential_pool": {}}', b'{"credential_pool": []}']
)
def test_a_file_that_cannot_be_understood_is_never_written(home: Path, data: bytes) -> None:
    """A write on a broken store is refused, and makes no backup of it either."""
    home.mkdir()
    (home / "auth.json").write_bytes(data)
    with pytest.raises((StoreCorrupt, StoreTooNew)), a_store(home).transaction() as change:
        change.add_row("openrouter", a_key())
    assert (home / "auth.json").read_bytes() == data
    assert sorted(tree(home)) == ["auth.json", "auth.lock"]


NAMES = st.sampled_from(["label", "request_count", "x_note", "last_status", "priority"])
VALUES = st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)


@given(
    st.dictionaries(NAMES, VALUES, max_size=3),
    st.dictionaries(st.text(max_size=4), st.none() | st.integers() | st.text(max_size=4), max_size=3),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_an_update_is_an_update_of_the_raw_row(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any], extra: dict[str, Any]
) -> None:
    """Whatever else a row and the document hold, they differ afterwards in exactly the given fields."""
    home = tmp_path_factory.mktemp("home")
    raw = {**extra, "id": "aaa001"}
    write_store(home, {"openrouter": [raw]}, x=extra)
    with a_store(home).transaction() as change:
        change.update_row("openrouter", "aaa001", fields)
    document = load(home)
    assert document["credential_pool"]["openrouter"] == [{**raw, **fields}]
    assert document["x"] == extra


def test_what_a_transaction_sees_is_the_file_of_that_moment(home: Path) -> None:
    """It reads again under the lock, however old the last snapshot is."""
    write_store(home, {"openrouter": keys("aaa001")})
    store = a_store(home)
    store.snapshot()
    write_store(home, {"openrouter": [a_key("bbb002"), a_login("log001"), "bad"]})
    with store.transaction() as change:
        rows = change.snapshot().pools["openrouter"]
    assert [row.id for row in rows][:2] == ["bbb002", "log001"]
    assert isinstance(rows[2], BadRow)
