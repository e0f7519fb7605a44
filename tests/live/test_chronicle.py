from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes import NOW, FakeClock, a_key, a_reader, around, benched, keys, load_whole, write_store
from keydeck.engine.acts import Operator
from keydeck.engine.credential import CLEAN_STATUS
from keydeck.engine.home import Surroundings
from keydeck.engine.pool import CredentialPool
from keydeck.engine.snapshot import HomeReader, HomeSnapshot
from keydeck.live.activity import Change, ChangeKind, Return
from keydeck.live.chronicle import Chronicle
from keydeck.present.activity import settled

POOL = "openrouter"

Told = list[tuple[str, str | None, Any]]


class Dashboard:
    """What a dashboard does with a chronicle, without the dashboard."""

    def __init__(self, home: Path, clock: FakeClock, *, profile: str | None = None) -> None:
        self.clock = clock
        self.reader = a_reader(home, clock=clock, profile=profile)
        self.snapshot: HomeSnapshot = self.reader.read()
        self.chronicle = Chronicle(self.reader)
        self.told: list[Change] = list(self.chronicle.begin(self.snapshot, clock()))

    def look(self) -> Told:
        """See what the files say by now."""
        now, before = self.clock(), self.snapshot
        self.snapshot = self.reader.read()
        changes = [
            *self.chronicle.beat(before, now),
            *self.chronicle.look(before, self.snapshot, now),
        ]
        self.told += changes
        return said(changes)

    def beat(self) -> Told:
        """See what the journal and the clock tell by now."""
        changes = self.chronicle.beat(self.snapshot, self.clock())
        self.told += changes
        return said(changes)


def said(changes: Any) -> Told:
    return [(change.kind.value, change.row_id, change.detail) for change in changes]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def agent(home: Path, clock: FakeClock) -> CredentialPool:
    """Return a pool of an agent on a home of three keys, on which a journal has begun."""
    write_store(home, {POOL: keys("aaa001", "bbb002", "ccc003")})
    pool = CredentialPool(POOL, a_reader(home, clock=clock))
    pool.select()
    pool.flush()
    assert pool._reader.store.checkpoint()
    return pool


def fail(pool: CredentialPool) -> None:
    pool.select()
    pool.mark_exhausted_and_rotate(status_code=429, error_context={"message": "slow down"})


def checkpoint(pool: CredentialPool) -> None:
    assert pool._reader.store.checkpoint()


def strangely(home: Path, change: Callable[[dict[str, Any]], object], row: int = 0) -> None:
    """Change a row as hermes does: read, change, write the file back whole."""
    document = load_whole(home)
    change(document["credential_pool"][POOL][row])
    path = home / "auth.json"
    path.write_text(json.dumps(document, indent=2))


# --- once --------------------------------------------------------------------------------------------------


def test_a_failure_is_told_by_the_journal_and_not_again_by_the_rows(
    home: Path, agent: CredentialPool, clock: FakeClock
) -> None:
    """Whether the rows are read before it is in them or after."""
    dashboard = Dashboard(home, clock)
    fail(agent)
    assert dashboard.beat() == [("benched", "aaa001", None)]
    assert dashboard.look() == []
    checkpoint(agent)
    assert dashboard.look() == dashboard.beat() == []
    (change,) = (change for change in dashboard.told if change.kind is ChangeKind.BENCHED)
    assert change.by == agent._store.writer[:6]


def test_the_end_of_a_bench_is_told_once(home: Path, agent: CredentialPool, clock: FakeClock) -> None:
    """By the clock while somebody looks; by the journal to who comes later."""
    fail(agent)
    dashboard = Dashboard(home, clock)
    assert said(dashboard.told) == [("benched", "aaa001", None)]
    clock.forward(4000)
    assert dashboard.look() == [("ready", "aaa001", Return.COOLDOWN_OVER)]
    assert dashboard.look() == dashboard.beat() == []
    assert said(Dashboard(home, clock).told) == [
        ("benched", "aaa001", None),
        ("ready", "aaa001", Return.COOLDOWN_OVER),
    ]


ACTS: dict[str, tuple[Callable[[Operator], object], Told]] = {
    "reset": (lambda act: act.reset(POOL, "aaa001"), [("reset", "aaa001", None)]),
    "rename": (lambda act: act.edit(POOL, "bbb002", label="new"), [("renamed", "bbb002", "key-bbb002")]),
    "remove": (lambda act: act.remove(POOL, "bbb002"), [("removed", "bbb002", None)]),
    "move": (lambda act: act.move(POOL, "ccc003", 0), [("moved", "ccc003", "first")]),
    "strategy": (lambda act: act.set_strategy(POOL, "random"), [("strategy", None, "random")]),
}


@pytest.mark.parametrize(("act", "expected"), ACTS.values(), ids=ACTS)
@pytest.mark.parametrize("looks_first", [False, True])
def test_an_act_is_told_once_whatever_is_read_first(
    home: Path,
    agent: CredentialPool,
    clock: FakeClock,
    act: Callable[[Operator], object],
    expected: Told,
    *,
    looks_first: bool,
) -> None:
    """The journal, or the rows: who renames the file tells of it only then."""
    fail(agent)
    checkpoint(agent)
    dashboard = Dashboard(home, clock)
    act(Operator(a_reader(home, clock=clock)))
    clock.forward(1)
    if looks_first:
        with pytest.MonkeyPatch.context() as deaf:
            deaf.setattr(dashboard.chronicle._journals.own._follower, "read_on", list)
            first = dashboard.look()
        # An order is told by the journal alone: strategies move it all day.
        assert (len(first), [kind for kind, _, _ in first]) == (
            1,
            [expected[0][0].replace("reset", "ready")],
        ) or (expected[0][0] == "moved")
        after = dashboard.beat()
        assert after == (expected if expected[0][0] == "moved" else [])
    else:
        assert dashboard.beat() == expected
        assert dashboard.look() == []
    assert dashboard.look() == dashboard.beat() == []


def test_an_act_done_twice_is_told_twice(home: Path, agent: CredentialPool, clock: FakeClock) -> None:
    """Renamed there and back, benched and reset, again and again."""
    dashboard = Dashboard(home, clock)
    for label in ("new", "old", "new"):
        Operator(a_reader(home, clock=clock)).edit(POOL, "bbb002", label=label)
        assert [kind for kind, _, _ in dashboard.look()] == ["renamed"]
    for _ in range(2):
        clock.forward(5)
        fail(agent)
        assert [kind for kind, _, _ in dashboard.look()] == ["benched"]
        Operator(a_reader(home, clock=clock)).reset(POOL, "aaa001")
        assert [kind for kind, _, _ in dashboard.look()] == ["reset"]


# --- what other programs do ---------------------------------------------------------------------------------


def test_what_another_program_does_is_told_at_once_and_not_again_when_it_is_journalled(
    home: Path, agent: CredentialPool, clock: FakeClock
) -> None:
    """While nobody of ours writes, the rows are all there is; the next checkpoint tells it once more, to others."""
    dashboard = Dashboard(home, clock)
    clock.forward(5)
    strangely(home, lambda row: row.update(benched(402, ago=-3)))
    assert dashboard.look() == [("benched", "aaa001", None)]
    strangely(home, lambda row: row.update(label="theirs"))
    assert dashboard.look() == [("renamed", "aaa001", "key-aaa001")]
    assert [change.is_outside for change in dashboard.told] == [True, True]
    checkpoint(agent)
    assert dashboard.beat() == []
    assert dashboard.look() == []
    late = Dashboard(home, clock)
    outside = [change for change in late.told if change.is_outside]
    assert [(change.kind.value, change.at) for change in outside] == [
        ("benched", NOW + 3),
        ("renamed", NOW + 5),
    ]


def test_another_failure_of_a_key_that_is_out_is_told(
    home: Path, agent: CredentialPool, clock: FakeClock
) -> None:
    """By whoever meets it: that the key is out was told before, and this is another thing."""
    fail(agent)
    checkpoint(agent)
    dashboard = Dashboard(home, clock)
    clock.forward(5)
    strangely(home, lambda row: row.update(benched(402, ago=-3)))
    assert dashboard.look() == [("benched", "aaa001", None)]
    assert [change.code for change in dashboard.told if change.code] == [429, 402]


def test_a_look_asks_the_journal_first(home: Path, agent: CredentialPool, clock: FakeClock) -> None:
    """So that who did it is told, and not only that it was done."""
    dashboard = Dashboard(home, clock)
    fail(agent)
    before, after = dashboard.snapshot, dashboard.reader.read()
    (change,) = dashboard.chronicle.look(before, after, clock())
    assert change.by == agent._store.writer[:6]


def test_what_was_healed_is_told(home: Path, agent: CredentialPool, clock: FakeClock) -> None:
    """A stale copy that another program wrote back changed nothing for anybody; the journal tells that it was tried."""
    stale = load_whole(home)
    fail(agent)
    checkpoint(agent)
    dashboard = Dashboard(home, clock)
    (home / "auth.json").write_text(
        json.dumps({**load_whole(home), "credential_pool": stale["credential_pool"]}, indent=2)
    )
    assert dashboard.look() == []
    checkpoint(agent)
    assert dashboard.look() == [("healed", "aaa001", "cooldown, count"), ("healed", "bbb002", "count")]
    assert dashboard.look() == dashboard.beat() == []


def test_two_dashboards_tell_the_same_and_each_tells_it_once(
    home: Path, agent: CredentialPool, clock: FakeClock
) -> None:
    """Neither writes: what the one notices is nothing new to the other."""
    first, second = Dashboard(home, clock), Dashboard(home, clock)
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    fail(agent)
    strangely(home, lambda row: row.update(label="theirs"), row=1)
    for _ in range(3):
        first.look()
        second.beat()
        second.look()
    assert said(first.told) == said(second.told)
    assert sorted(said(first.told)) == [("benched", "aaa001", None), ("renamed", "bbb002", "key-bbb002")]
    checkpoint(agent)
    for dashboard in (first, second, first):
        assert dashboard.look() == dashboard.beat() == []
    assert before.keys() <= {path for path in home.rglob("*") if path.is_file()}


def test_what_only_looks_can_tell_is_told_beside_a_journal(
    home: Path, agent: CredentialPool, clock: FakeClock
) -> None:
    """A strategy written by hand, a variable, another secret."""
    dashboard = Dashboard(home, clock)
    (home / "config.yaml").write_text("credential_pool_strategies: {openrouter: random}\n")
    assert dashboard.look() == [("strategy", None, "random")]
    dashboard.reader.around = around(home.parent, OPENROUTER_API_KEY="sk-or-0123456789")
    ((kind, row, _),) = dashboard.look()
    assert kind == "added"
    dashboard.reader.around = Surroundings(env={}, user_home=home.parent / "user")
    assert dashboard.look() == [("removed", row, None)]
    strangely(home, lambda raw: raw.update(access_token="sk-other-0123456789"))
    assert dashboard.look() == [("secret_changed", "aaa001", Return.NEW_KEY)]
    Operator(a_reader(home, clock=clock)).set_strategy(POOL, "fill_first")
    assert dashboard.look() == [("strategy", None, "fill_first")]
    (home / "config.yaml").write_text("credential_pool_strategies: {openrouter: random}\n")
    assert dashboard.look() == [("strategy", None, "random")]
    assert agent.has_credentials()


def test_a_name_that_quotes_its_key_is_told_without_it_when_the_key_is_gone(
    home: Path, clock: FakeClock
) -> None:
    """Removed, looked at, and put back before the next look: nobody who shows it knows that key then."""
    secret = "sk-or-v1-0123456789abcdef0123456789abcdef"
    write_store(home, {POOL: [a_key("aaa001", f"key {secret} of ci", access_token=secret), *keys("bbb002")]})
    dashboard, operator = Dashboard(home, clock), Operator(a_reader(home, clock=clock))
    removed = operator.remove(POOL, "aaa001")
    dashboard.look()
    assert removed.undo
    operator.undo(removed.undo)
    assert dashboard.beat() == [("added", "aaa001", Return.UNDONE)]
    (told,) = settled(dashboard.told[-1:], dashboard.snapshot.scrubber)
    assert told.label == "key *** of ci"


# --- homes without a journal -------------------------------------------------------------------------------


def test_without_a_journal_the_rows_tell(home: Path, clock: FakeClock) -> None:
    """What they remember of the past first, and then what two looks tell, however often it comes and goes."""
    write_store(home, {POOL: [a_key("aaa001", **benched(ago=60, until=NOW + 840)), *keys("bbb002")]})
    dashboard = Dashboard(home, clock)
    assert not dashboard.chronicle.has_journal
    assert said(dashboard.told) == [("benched", "aaa001", None)]
    for _ in range(2):
        write_store(home, {POOL: keys("aaa001", "bbb002", label="same")})
        assert ("ready", "aaa001", Return.CLEARED) in dashboard.look()
        clock.forward(10)
        again = benched(ago=NOW - clock() + 2, until=clock() + 600)
        write_store(home, {POOL: [a_key("aaa001", "same", **again), *keys("bbb002", label="same")]})
        assert dashboard.look() == [("benched", "aaa001", None)]
    assert not any(change.is_outside for change in dashboard.told), "nobody knows who did it"


STRANGE: dict[str, tuple[Callable[[list[dict[str, Any]]], object], tuple[str, str]]] = {
    "cleared": (lambda rows: rows[0].update(CLEAN_STATUS), ("ready", "aaa001")),
    "removed": (lambda rows: rows.pop(1), ("removed", "bbb002")),
    "added": (lambda rows: rows.append(a_key("ddd004")), ("added", "ddd004")),
}


@pytest.mark.parametrize(("change", "expected"), STRANGE.values(), ids=STRANGE)
def test_what_nobody_of_ours_did_is_told_as_done_outside(
    home: Path,
    agent: CredentialPool,
    clock: FakeClock,
    change: Callable[[list[dict[str, Any]]], object],
    expected: tuple[str, str],
) -> None:
    """Before the journal says so; the operator's acts and those of our agents are not."""
    fail(agent)
    checkpoint(agent)
    dashboard = Dashboard(home, clock)
    document = load_whole(home)
    change(document["credential_pool"][POOL])
    (home / "auth.json").write_text(json.dumps(document, indent=2))
    dashboard.look()
    last = dashboard.told[-1]
    assert (last.kind.value, last.row_id, last.is_outside) == (*expected, True)
    Operator(a_reader(home, clock=clock)).edit(POOL, "ccc003", label="ours")
    dashboard.look()
    assert [(each.kind.value, each.is_outside) for each in dashboard.told[-1:]] == [("renamed", False)]


def test_totals_are_there_once_it_has_begun(home: Path, agent: CredentialPool, clock: FakeClock) -> None:
    """Of the pool's own journal, or of the root's where its rows show through; a thread fills them before."""
    (home / "profiles" / "work").mkdir(parents=True)
    assert agent.has_credentials()
    for profile in (None, "work"):
        reader = a_reader(home, clock=clock, profile=profile)
        snapshot = reader.read()
        chronicle = Chronicle(reader)
        (pool,) = snapshot.pools
        assert not chronicle.totals_of(pool).minutes
        chronicle.begin(snapshot, clock())
        assert chronicle.totals_of(pool).minutes == {int(NOW // 60): {"aaa001": 1}}
        chronicle.close()


def test_rows_that_the_journal_does_not_tell_of_tell_their_past_themselves(
    home: Path, agent: CredentialPool, clock: FakeClock
) -> None:
    """A bench from before the journal stands beside those it tells; of how many were left then nobody knows."""
    fail(agent)
    checkpoint(agent)
    strangely(home, lambda row: row.update(benched(402, ago=10, until=NOW + 9000)), row=2)
    assert said(Dashboard(home, clock).told) == [
        ("benched", "ccc003", None),
        ("benched", "aaa001", None),
        ("few_left", None, None),
    ]


def test_without_a_journal_nothing_is_concluded_of_the_past(home: Path, clock: FakeClock) -> None:
    """Two of three are out by now, but who knows what else happened; what comes is told."""
    rows = keys("aaa001", "bbb002", "ccc003")
    write_store(home, {POOL: [{**rows[0], **benched(402, until=NOW + 9000)}, *rows[1:]]})
    dashboard = Dashboard(home, clock)
    strangely(home, lambda row: row.update(benched(429, ago=0, until=NOW + 900)), row=1)
    dashboard.look()
    told = [("benched", "aaa001", None), ("benched", "bbb002", None), ("few_left", None, None)]
    assert said(dashboard.told) == told
    assert said(Dashboard(home, clock).told) == told[:2]


def test_before_it_has_begun_only_the_rows_tell(home: Path, agent: CredentialPool, clock: FakeClock) -> None:
    """The past is read in a thread: nothing waits for it, and nothing is told twice afterwards."""
    reader = a_reader(home, clock=clock)
    before = reader.read()
    chronicle = Chronicle(reader)
    fail(agent)
    after = reader.read()
    assert said(chronicle.beat(before, clock())) == []
    assert said(chronicle.look(before, after, clock())) == [("benched", "aaa001", None)]
    assert said(chronicle.begin(after, clock())) == []
    chronicle.close()


def test_rows_that_show_through_from_the_root_have_its_journal(home: Path, clock: FakeClock) -> None:
    """And pools that the profile has itself do not."""
    write_store(home, {POOL: keys("aaa001"), "zai": keys("bbb002")})
    write_store(home / "profiles" / "work", {"zai": keys("ccc003")})
    dashboard = Dashboard(home, clock, profile="work")
    for provider in (POOL, "zai"):
        fail(CredentialPool(provider, a_reader(home, clock=clock)))
    assert dashboard.look() == [("benched", "aaa001", None)]
    fail(CredentialPool("zai", a_reader(home, clock=clock, profile="work")))
    assert dashboard.look() == [("benched", "ccc003", None)]
    assert dashboard.chronicle.has_journal


def test_a_reader_knows_its_stores(home: Path) -> None:
    """Its own, and the root's where that may show through."""
    write_store(home)
    assert len(HomeReader(a_reader(home).home).stores) == 1
