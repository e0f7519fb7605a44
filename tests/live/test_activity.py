from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import NOW, FakeClock, a_home, a_key, a_login, a_reader, around, benched, keys, write_store
from keydeck.engine.credential import BadRow, Credential, Row, parse_rows
from keydeck.engine.errors import StoreCorrupt
from keydeck.engine.secret import Secret
from keydeck.engine.snapshot import HomeSnapshot, PoolSnapshot
from keydeck.engine.state import RowState, row_state
from keydeck.live.activity import (
    Activity,
    Change,
    ChangeKind,
    Return,
    compare,
    elapsed,
    known_before,
)

THEN = NOW - 10
"""When the first of two looks was taken."""
DEAD: dict[str, Any] = {"last_status": "dead", "last_status_at": NOW - 4, "last_error_code": 401}
GONE_VARIABLE: dict[str, Any] = {"source": "env:OPENROUTER_API_KEY", "access_token": ...}


def look(home: Path, rows: Any, at: float = NOW, *, env: str = "") -> HomeSnapshot:
    """Return what a reader sees at a moment when a pool has these rows."""
    write_store(home, {"openrouter": rows})
    variables = {"OPENROUTER_API_KEY": env} if env else {}
    reader = a_reader(home, clock=FakeClock(at))
    reader.around = around(home.parent, **variables)
    return reader.read()


def of(*rows: Row, strategy: str = "fill_first", read_at: float = THEN) -> HomeSnapshot:
    """Return a snapshot of one pool with these rows, past any reading of files."""
    pool = PoolSnapshot("openrouter", strategy, rows)
    return HomeSnapshot(a_home(Path("nowhere")), (pool,), read_at=read_at)


def told(changes: tuple[Change, ...]) -> list[tuple[str, Any]]:
    return [(change.kind.value, change.detail) for change in changes]


# --- comparing ---------------------------------------------------------------------------------------------

CASES: dict[str, tuple[Any, Any, list[tuple[str, Any]]]] = {
    "nothing": (a_key(), a_key(), []),
    "one more request": (a_key(request_count=1), a_key(request_count=2), []),
    "another place": (a_key(priority=0), a_key(priority=7), []),
    "a field that is not ours": (a_key(), a_key(note="x"), []),
    "added": (None, a_key(), [("added", None)]),
    "added while benched": (None, a_key(**benched()), [("added", None)]),
    "removed": (a_key(), None, [("removed", None)]),
    "renamed": (a_key(label="old"), a_key(label="new"), [("renamed", "old")]),
    "another key": (a_key(), a_key(access_token="sk-other-0123"), [("secret_changed", "new key")]),
    "a renewed login": (a_login(), a_login(access_token="oauth-2"), [("secret_changed", "token renewed")]),
    "benched": (a_key(), a_key(**benched(ago=3)), [("benched", None)]),
    "benched once more": (a_key(**benched(ago=600)), a_key(**benched(ago=3)), [("benched", None)]),
    "benched for another reason": (a_key(**benched()), a_key(**benched(402)), [("benched", None)]),
    "still benched": (a_key(**benched()), a_key(**benched()), []),
    "refused for good": (a_key(**benched()), a_key(**DEAD), [("dead", "the provider rejected it")]),
    "still refused": (a_key(**DEAD), a_key(**DEAD), []),
    "refused once more": (
        a_key(**DEAD),
        a_key(**{**DEAD, "last_status_at": NOW - 1}),
        [("dead", "the provider rejected it")],
    ),
    "cleared": (a_key(**benched()), a_key(), [("ready", Return.CLEARED)]),
    "cleared after a refusal": (a_key(**DEAD), a_key(), [("ready", Return.CLEARED)]),
    "logged in again": (
        a_login(**DEAD),
        a_login(access_token="oauth-access-2"),
        [("ready", Return.TOKEN_RENEWED)],
    ),
    "another key after a refusal": (
        a_key(**DEAD),
        a_key(access_token="sk-other-0123"),
        [("ready", Return.NEW_KEY)],
    ),
    "another key, still benched": (
        a_key(**benched()),
        a_key(access_token="sk-other-0123", **benched()),
        [("secret_changed", "new key")],
    ),
    "without its variable": (a_key(), a_key(**GONE_VARIABLE), [("lost_secret", "OPENROUTER_API_KEY unset")]),
    "with its key again": (
        a_key(access_token=...),
        a_key(),
        [("ready", Return.KEY_BACK)],
    ),
    "an ended token renewed": (
        a_login(expires_at_ms=(NOW - 60) * 1000),
        a_login(access_token="oauth-access-2"),
        [("ready", Return.TOKEN_RENEWED)],
    ),
    "broken": (a_key(), a_key(priority="1"), [("broken", "its priority is not a number")]),
    "mended": (a_key(priority="1"), a_key(), [("ready", Return.MENDED)]),
    "renamed and benched at once": (
        a_key(label="old"),
        a_key(label="new", **benched(ago=3)),
        [("benched", None), ("renamed", "old")],
    ),
    "a bench nobody saw": (
        a_key(),
        a_key(**benched(ago=8, until=NOW - 2)),
        [("benched", None), ("ready", Return.COOLDOWN_OVER)],
    ),
    "a bench that was over at both looks": (
        a_key(label="old", **benched(ago=8, until=NOW - 2)),
        a_key(label="new", **benched(ago=8, until=NOW - 2)),
        [("renamed", "old")],
    ),
    "an old bench that came back with a copy": (a_key(), a_key(**benched(ago=9000, until=NOW - 5000)), []),
    "no object": (a_key(), "no object", [("removed", None), ("added", None)]),
}


@pytest.mark.parametrize(("before", "after", "expected"), CASES.values(), ids=CASES)
def test_what_is_told_of_a_row(home: Path, before: Any, after: Any, expected: list[tuple[str, Any]]) -> None:
    """Each thing that can happen to a row is told once, and nothing else is."""
    first = look(home, [a_key("zzz009"), *([before] if before else [])], THEN)
    second = look(home, [a_key("zzz009"), *([after] if after else [])])
    changes = compare(first, second, NOW)
    assert sorted(told(changes)) == sorted(expected)
    assert [change.at for change in changes] == sorted(change.at for change in changes)
    assert all(change.provider == "openrouter" and change.row_id != "zzz009" for change in changes)
    assert compare(second, second, NOW) == compare(first, first, NOW) == ()


def test_a_bench_carries_what_the_provider_said(home: Path) -> None:
    """Code, words, end and the row's own time; the label is as in the store."""
    after = a_key(label="\x1b[1mwork", **benched(429, ago=3, until=NOW + 840, last_error_message="slow down"))
    (change,) = compare(look(home, [a_key(label="\x1b[1mwork")], THEN), look(home, [after]), NOW)
    assert change == Change(
        at=NOW - 3,
        provider="openrouter",
        row_id="aaa001",
        label="\x1b[1mwork",
        kind=ChangeKind.BENCHED,
        code=429,
        message="slow down",
        until=NOW + 840,
    )


@pytest.mark.parametrize(
    ("began", "at"),
    [(NOW, NOW), (NOW - 3, NOW - 3), (THEN - 20, THEN - 20), (THEN - 3600, NOW), (NOW + 5, NOW), (None, NOW)],
)
def test_a_bench_is_told_at_its_own_time_where_that_is_likely(
    home: Path, began: float | None, at: float
) -> None:
    """A mark is written a little late at most; one from long ago, or from the future, is told now."""
    after = a_key(
        last_status="exhausted", last_status_at=began, last_error_code=429, last_error_reset_at=NOW + 9e4
    )
    (change,) = compare(look(home, [a_key()], THEN), look(home, [after]), NOW)
    assert (change.kind, change.at) == (ChangeKind.BENCHED, at)


def test_a_refusal_is_told_with_its_reason_and_a_tokens_end_without(home: Path) -> None:
    """What the provider said earlier about something else is not said about a token that ended."""
    words: dict[str, Any] = {"last_error_message": "revoked", "last_error_code": 401}
    rows = [
        a_key("aaa001", **{**DEAD, **words}),
        a_login("bbb002", refresh_token=..., expires_at_ms=(NOW - 2) * 1000, **words),
    ]
    first, second = compare(look(home, [a_key("aaa001"), a_login("bbb002")], THEN), look(home, rows), NOW)
    assert (first.row_id, first.kind, first.code, first.message) == ("aaa001", "dead", 401, "revoked")
    assert (second.row_id, second.kind, second.code, second.message) == ("bbb002", "dead", None, None)
    assert (first.at, second.at) == (NOW - 4, NOW - 2)
    assert second.detail == "token ended and there is no refresh token"


def test_the_strategy_is_a_change_of_the_pool(home: Path) -> None:
    """It names no row, and no row is told to have changed with it."""
    before = look(home, keys("aaa001", "aaa002"), THEN)
    (home / "config.yaml").write_text("credential_pool_strategies: {openrouter: random}\n")
    (change,) = compare(before, look(home, keys("aaa001", "aaa002")), NOW)
    assert (change.row_id, change.kind, change.detail, change.at) == (None, "strategy", "random", NOW)


def test_whole_pools_come_and_go(home: Path) -> None:
    """Every row of them is told, under its own provider."""
    write_store(home, {"zai": keys("aaa001", "aaa002")})
    before = a_reader(home, clock=FakeClock(THEN)).read()
    write_store(home, {"gemini": keys("aaa001")})
    changes = compare(before, a_reader(home).read(), NOW)
    assert sorted((change.provider, change.row_id, change.kind.value) for change in changes) == [
        ("gemini", "aaa001", "added"),
        ("zai", "aaa001", "removed"),
        ("zai", "aaa002", "removed"),
    ]


def test_an_offer_that_is_stored_under_another_id_is_the_same_key(home: Path) -> None:
    """The agent used a variable's key for the first time: nothing was added or removed."""
    env = "sk-or-of-the-environment"
    before = look(home, keys("aaa001"), THEN, env=env)
    stored = a_key("5eeded", "OPENROUTER_API_KEY", source="env:OPENROUTER_API_KEY", access_token=...)
    after = look(home, [*keys("aaa001"), stored], env=env)
    assert [len(snapshot.pools[0].rows) for snapshot in (before, after)] == [2, 2]
    assert compare(before, after, NOW) == ()
    benched_row = look(home, [*keys("aaa001"), {**stored, **benched(ago=2)}], env=env)
    assert told(compare(before, benched_row, NOW)) == [("benched", None)]


def test_rows_that_nobody_could_read_before_are_not_new(home: Path) -> None:
    """A store that was broken from the start and is mended tells what its rows remember."""
    home.mkdir()
    (home / "auth.json").write_text("{")
    reader = a_reader(home)
    before = reader.read()
    assert isinstance(before.trouble, StoreCorrupt)
    after = look(home, [a_key("aaa001"), a_key("bbb002", **benched(ago=60))])
    assert [(change.row_id, change.kind) for change in compare(before, after, NOW)] == [("bbb002", "benched")]
    unread = before._replace(pools=after.pools)  # as a profile has them that reads the root's
    assert compare(unread, unread, NOW) == compare(unread, after, NOW) == ()


def test_trouble_is_no_change(home: Path) -> None:
    """While a store cannot be read its last good rows stay, and nothing is told."""
    write_store(home, {"openrouter": [a_key("aaa001", **benched()), a_key("bbb002")]})
    reader = a_reader(home)
    before = reader.read()
    (home / "auth.json").write_text("{")
    after = reader.read()
    assert after.trouble is not None
    assert compare(before, after, NOW) == compare(after, before, NOW) == ()


def test_unchanged_rows_are_not_judged(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With thousands of rows only those whose marks differ cost anything."""
    rows = [a_key(f"r{n:04}", access_token=f"sk-{n:04}-x") for n in range(50)]
    before = look(home, rows, THEN)
    rows[7].update(benched(ago=1))
    after = look(home, [{**row, "request_count": 5, "priority": 3} for row in rows])
    judged = []

    def judge(row: Row, now: float) -> RowState:
        judged.append(row.id)
        return row_state(row, now)

    monkeypatch.setattr("keydeck.live.activity.row_state", judge)
    assert told(compare(before, after, NOW)) == [("benched", None)]
    assert set(judged) == {"r0007"}


def test_fields_nested_deeper_than_a_comparison_can_follow() -> None:
    """They are not ours and are never compared."""

    def deep() -> dict[str, Any]:
        nest: dict[str, Any] = {}
        for _ in range(20_000):
            nest = {"x": nest}
        return nest

    rows = [
        Credential(id="a", provider="openrouter", access_token=Secret("sk-0123"), extra=deep()) for _ in "12"
    ]
    assert compare(of(rows[0]), of(rows[1]), NOW) == ()
    assert told(compare(of(rows[0]), of(rows[1]._replace(label="x")), NOW)) == [("renamed", "")]


@pytest.mark.parametrize("moment", [math.nan, math.inf, -math.inf, 1e300, -1e300])
def test_times_that_no_reader_lets_through_are_no_news_either(moment: float) -> None:
    """A row built by hand is equal to itself, and its impossible time is not believed."""
    fields: dict[str, Any] = {"id": "a", "provider": "openrouter", "access_token": Secret("sk-0123")}
    end: dict[str, Any] = {"last_status": "exhausted", "last_error_reset_at": NOW + 60}
    rows = [Credential(**fields, label=label, last_status_at=moment * 1.0, **end) for label in ("old", "new")]
    assert told(compare(of(rows[0]), of(rows[1]), NOW)) == [("renamed", "old")]
    (change,) = compare(of(Credential(**fields, label="old")), of(rows[0]), NOW)
    assert (change.kind, change.at) == (ChangeKind.BENCHED, NOW)
    assert known_before(of(rows[0]), NOW) == ()


# --- the clock ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "now", "count"),
    [
        (NOW, NOW + 59, 0),
        (NOW, NOW + 60, 1),
        (NOW + 60, NOW + 61, 0),
        (NOW, NOW + 1e6, 1),
        (NOW + 99, NOW, 0),
    ],
)
def test_a_bench_ends_once(home: Path, since: float, now: float, count: int) -> None:
    """In the span that holds its end and in no other, at its own time."""
    snapshot = look(home, [a_key("aaa001", **benched(until=NOW + 60)), a_key("bbb002")])
    changes = elapsed(snapshot, since, now)
    assert [(change.row_id, change.at, *told((change,))) for change in changes] == [
        ("aaa001", NOW + 60, ("ready", Return.COOLDOWN_OVER))
    ][:count]


def test_a_bench_that_ends_is_no_return_where_the_row_stays_out(home: Path) -> None:
    """Its variable is gone, or its token has ended meanwhile."""
    rows = [
        a_key("aaa001", **benched(until=NOW + 60), **GONE_VARIABLE),
        a_login("bbb002", expires_at_ms=(NOW + 30) * 1000, **benched(until=NOW + 60)),
        a_key("ccc003", **benched(until=NOW + 60)),
    ]
    assert [change.row_id for change in elapsed(look(home, rows), NOW, NOW + 60)] == ["ccc003"]


def test_a_token_that_nobody_can_renew_ends(home: Path) -> None:
    """With a refresh token its end is routine and not told."""
    rows = [
        a_login("aaa001", refresh_token=..., expires_at_ms=(NOW + 60) * 1000),
        a_login("bbb002", expires_at_ms=(NOW + 60) * 1000),
        a_login("ccc003", refresh_token=..., expires_at_ms=(NOW + 60) * 1000, **DEAD),
    ]
    (change,) = elapsed(look(home, rows), NOW, NOW + 60)
    assert (change.row_id, change.kind, change.at) == ("aaa001", ChangeKind.DEAD, NOW + 60)
    assert elapsed(look(home, rows), NOW + 60, NOW + 99) == ()


@pytest.mark.parametrize("cleared", [True, False])
def test_clock_and_comparison_together_tell_a_return_once(home: Path, cleared: bool) -> None:
    """Whether or not the agent takes the mark off after the end, and before anybody's next beat."""
    before = look(home, [a_key(**benched(ago=60, until=NOW + 5))], NOW)
    after = look(
        home, [a_key(**({} if cleared else benched(ago=60, until=NOW + 5)), request_count=1)], NOW + 6
    )
    changes = [*elapsed(before, NOW, NOW + 6), *compare(before, after, NOW + 6)]
    changes += elapsed(after, NOW + 6, NOW + 7)
    assert told(tuple(changes)) == [("ready", Return.COOLDOWN_OVER)]


# --- what rows remember ------------------------------------------------------------------------------------


def test_rows_tell_their_past_oldest_first(home: Path) -> None:
    """Benches with code, words and end, the end itself where it is over, and refusals; nothing from the future."""
    rows = [
        a_key("aaa001", **benched(429, ago=60, until=NOW + 60, last_error_message="slow down")),
        a_key("bbb002", last_status="dead", last_status_at=NOW - 600, last_error_code=401),
        a_key("ccc003", **benched(402, ago=300, until=NOW - 30)),
        a_key("ddd004"),
        a_key("eee005", **benched(ago=-60)),
        a_key("fff006", last_status="exhausted", last_error_reset_at=NOW + 60),
        a_key("ggg007", last_status="ok", last_status_at=NOW - 5),
        a_key("hhh008", priority="1"),
    ]
    changes = known_before(look(home, rows), NOW)
    assert [(change.at, change.row_id, change.kind.value, change.code) for change in changes] == [
        (NOW - 600, "bbb002", "dead", 401),
        (NOW - 300, "ccc003", "benched", 402),
        (NOW - 60, "aaa001", "benched", 429),
        (NOW - 30, "ccc003", "ready", 402),
    ]
    assert (changes[2].message, changes[2].until) == ("slow down", NOW + 60)


# --- hostile rows ------------------------------------------------------------------------------------------

TIMES = st.one_of(
    st.none(),
    st.sampled_from([NOW, NOW - 5, NOW + 5, THEN, 0.0, -1.0, 1e300, -1e300, math.inf, -math.inf, math.nan]),
    st.floats(NOW - 60, NOW + 60),
)
SECRETS = st.one_of(st.none(), st.sampled_from([Secret("sk-one-0123"), Secret("a.b.c"), Secret("")]))
ROW_IDS = st.sampled_from(["a", "b", "c", ""])
CREDENTIALS = st.builds(
    Credential,
    id=ROW_IDS,
    provider=st.sampled_from(["openrouter", "nous"]),
    label=st.text(max_size=3),
    auth_type=st.sampled_from(["api_key", "oauth", "?"]),
    source=st.sampled_from(["manual", "env:X", "device_code"]),
    access_token=SECRETS,
    refresh_token=SECRETS,
    agent_key=SECRETS,
    last_status=st.sampled_from([None, "exhausted", "dead", "ok", "\x00"]),
    last_status_at=TIMES,
    last_error_code=st.sampled_from([None, 0, 401, 429, 10**300]),
    last_error_message=st.none() | st.text(max_size=3),
    last_error_reset_at=TIMES,
    expires_at=st.none() | st.text(max_size=3),
    expires_at_ms=st.one_of(TIMES, st.just((NOW + 1) * 1000)),
    request_count=st.integers(0, 3),
    extra=st.sampled_from([{}, {"scope": [1]}, {"scope": {"x": []}}]),
    stored=st.booleans(),
    unset=st.none() | st.text(max_size=3),
)
BAD_ROWS = st.builds(BadRow, id=ROW_IDS, provider=st.just("openrouter"), reason=st.text(max_size=3))
ODD_JSON = st.dictionaries(
    st.sampled_from(
        ["id", "label", "priority", "last_status", "last_status_at", "last_error_code", "expires_at"]
    ),
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=3), st.just([])),
)
PARSED = st.lists(ODD_JSON, max_size=3).map(lambda raws: parse_rows("openrouter", "openrouter", raws))
ROWS = st.one_of(st.lists(CREDENTIALS | BAD_ROWS, max_size=4).map(tuple), PARSED)
SNAPSHOTS = st.builds(
    lambda rows, strategy, read_at: of(*rows, strategy=strategy, read_at=read_at),
    ROWS,
    st.sampled_from(["fill_first", "random", "\x1b"]),
    st.sampled_from([0.0, THEN, NOW, math.inf, math.nan]),
)


def again(snapshot: HomeSnapshot) -> HomeSnapshot:
    """Return an equal snapshot made of other objects, as the next reading of the same file gives."""

    def fresh(moment: float | None) -> float | None:
        return None if moment is None else float(str(moment))

    def copy(row: Row) -> Row:
        if not isinstance(row, Credential):
            return row._replace()
        began, end = fresh(row.last_status_at), fresh(row.last_error_reset_at)
        return row._replace(last_status_at=began, last_error_reset_at=end)

    pools = tuple(pool._replace(rows=tuple(map(copy, pool.rows))) for pool in snapshot.pools)
    return snapshot._replace(pools=pools)


@given(SNAPSHOTS, SNAPSHOTS)
@settings(max_examples=300, deadline=None)
def test_nothing_in_a_store_makes_a_comparison_fail(before: HomeSnapshot, after: HomeSnapshot) -> None:
    """Whatever the rows hold: changes are of rows that are there, in order; and what is equal has none."""
    assert compare(before, before, NOW) == compare(before, again(before), NOW) == ()
    known = {row.id for snapshot in (before, after) for pool in snapshot.pools for row in pool.rows}
    for changes in (
        compare(before, after, NOW),
        elapsed(after, THEN, NOW),
        known_before(after, NOW),
    ):
        assert {change.row_id for change in changes} <= known | {None}
        assert [change.at for change in changes] == sorted(change.at for change in changes)
        assert all(change.at <= NOW for change in changes)
        ring = Activity()
        ring.extend((*changes, *changes))
        assert sum(change.count for change in ring.newest(99)) == 2 * len(changes)
    arrived = {row.id for row in after.pools[0].rows} - {row.id for row in before.pools[0].rows}
    added = {change.row_id for change in compare(before, after, NOW) if change.kind is ChangeKind.ADDED}
    assert added <= arrived


# --- the ring ----------------------------------------------------------------------------------------------


def a_change(at: float = NOW, row_id: str | None = "a", **fields: Any) -> Change:
    return Change(
        **{"at": at, "provider": "p", "row_id": row_id, "label": "l", "kind": ChangeKind.BENCHED, **fields}
    )


def test_a_change_is_found_under_every_row_that_holds_the_same_secret() -> None:
    """What happened to one of them happened to all."""
    ring = Activity()
    change = Change(
        at=NOW, provider="zai", row_id="a", label="x", kind=ChangeKind.BENCHED, code=429, twins=("b",)
    )
    ring.extend([change])
    assert ring.of("zai", "a") == ring.of("zai", "b") == (change,)
    assert ring.of("zai", "c") == ring.of("other", "b") == ()


def test_the_newest_come_first_and_the_oldest_make_room() -> None:
    """The order is that in which they were told, whatever their clocks say."""
    ring = Activity(limit=3)
    assert len(ring) == 0 and ring.newest(5) == ()
    ring.extend(a_change(NOW - number * 60, str(number)) for number in range(5))
    assert len(ring) == 3
    assert [change.row_id for change in ring.newest(9)] == ["4", "3", "2"]
    assert [change.row_id for change in ring.newest(1)] == ["4"]
    assert ring.newest(0) == ring.newest(-1) == ()


def test_the_changes_of_one_row() -> None:
    """Those of its pool and id only, newest first; a pool's own are under no id."""
    ring = Activity()
    ring.extend(
        [
            a_change(NOW, "a"),
            a_change(NOW + 9, "b"),
            a_change(NOW + 18, "a"),
            a_change(provider="q"),
            a_change(row_id=None),
        ]
    )
    assert [change.at for change in ring.of("p", "a")] == [NOW + 18, NOW]
    assert len(ring.of("p", None)) == len(ring.of("q", "a")) == 1
    assert ring.of("p", "z") == ()


@pytest.mark.parametrize(
    ("second", "lines"),
    [
        (a_change(NOW + 2), 1),
        (a_change(NOW - 2), 1),
        (a_change(NOW + 1, until=NOW + 99), 1),
        (a_change(NOW + 2.1), 2),
        (a_change(NOW + 1, "b"), 2),
        (a_change(NOW + 1, provider="q"), 2),
        (a_change(NOW + 1, kind=ChangeKind.READY), 2),
        (a_change(NOW + 1, code=429), 2),
        (a_change(NOW + 1, detail="x"), 2),
    ],
)
def test_the_same_within_two_seconds_is_one_with_a_count(second: Change, lines: int) -> None:
    """Same pool, row, kind, code and detail, also with others between; the newest says until when."""
    ring = Activity()
    ring.extend([a_change(), a_change(NOW, "other"), second])
    assert len(ring) == lines + 1
    if lines == 1:
        folded = ring.newest(2)[1]
        assert (folded.count, folded.at, folded.until) == (2, NOW, second.until)


def test_a_storm_folds_by_twos_of_seconds_and_forgets_what_was_dropped() -> None:
    """Counting starts anew after two seconds, and after the first one has made room."""
    ring = Activity()
    ring.extend(a_change(NOW + tenth / 10) for tenth in range(50))
    assert [change.count for change in ring.newest(9)] == [8, 21, 21]
    small = Activity(limit=1)
    small.extend([a_change(NOW, "a"), a_change(NOW, "b"), a_change(NOW, "a"), a_change(NOW, "a")])
    assert [(change.row_id, change.count) for change in small.newest(9)] == [("a", 2)]


def test_the_ring_holds_two_thousand() -> None:
    """As the settings say."""
    ring = Activity()
    ring.extend(a_change(NOW + number * 5) for number in range(2500))
    assert len(ring) == 2000
    assert ring.newest(1)[0].at == NOW + 2499 * 5
