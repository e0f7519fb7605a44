"""`explain` says what `select` does, and every reason with its facts."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import NOW, FakeClock, a_key, a_login, a_pool, a_reader, benched, keys, tree, write_store
from keydeck.engine.acts import Operator
from keydeck.engine.config import KNOWN_STRATEGIES
from keydeck.engine.cooldown import Evidence
from keydeck.engine.explanation import Act, Explanation, Outcome, Reason, RowReason
from keydeck.engine.pool import CredentialPool
from keydeck.engine.waiting import WaitKind

MODEL = "some/model"
PER_MODEL = {"message": f"rate limit reached for {MODEL}"}


def why(home: Path, row_id: str = "aaa001", now: float = NOW, **asked: Any) -> RowReason:
    """Return why a row of the home would be taken or not."""
    found = explained(home, now, **asked).row(row_id)
    assert found is not None
    return found


def explained(home: Path, now: float = NOW, **asked: Any) -> Explanation:
    reader = a_reader(home, clock=FakeClock(now))
    pool = reader.read().pool("openrouter")
    reader.close()
    assert pool is not None
    return pool.explain(pool.at(now), now, **asked)


def follow(home: Path, strategy: str, more: str = "") -> None:
    (home / "config.yaml").write_text(f"credential_pool_strategies: {{openrouter: {strategy}}}\n{more}")


def acts(found: RowReason) -> list[Act]:
    return [remedy.act for remedy in found.remedies]


# --- it says what is done ----------------------------------------------------------------------------------


def some_row(place: int) -> st.SearchStrategy[dict[str, Any]]:
    row_id = f"row{place}"
    state = st.sampled_from(
        [
            *({}, {}, {}),
            benched(429, ago=60, until=NOW + 200),
            benched(402, ago=60),
            benched(429, ago=9000),
            {"last_status": "dead", "last_status_at": NOW - 60, "last_error_code": 401},
            {"source": "env:NOT_SET", "access_token": ...},
            {"access_token": "sk-test-the-same-secret"},
            {"priority": "no number"},
        ]
    )
    return st.builds(
        lambda fields, uses: a_key(row_id, **{"priority": place, "request_count": uses, **fields}),
        state,
        st.integers(0, 4),
    )


ROWS = st.integers(0, 5).flatmap(lambda count: st.tuples(*(some_row(place) for place in range(count))))
STRATEGIES = st.sampled_from([*KNOWN_STRATEGIES, "no-such"])
SESSIONS = st.sampled_from([None, None, "one", "two", "three"])
SOME_ROW = st.integers(0, 4).map(lambda place: f"row{place}")
STEPS = st.one_of(
    st.tuples(st.just("select"), SESSIONS, st.booleans()),
    st.tuples(st.just("lease"), SESSIONS, st.booleans()),
    st.tuples(st.just("fail"), st.sampled_from([429, 402, 401, 403, 500]), st.booleans()),
    st.tuples(st.just("succeed"), st.none(), st.booleans()),
    st.tuples(st.just("reset"), SOME_ROW, st.none()),
    st.tuples(st.just("pause"), SOME_ROW, st.sampled_from([None, 120.0])),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 70.0, 400.0, 4000.0]), st.none()),
    st.tuples(st.just("strategy"), STRATEGIES, st.none()),
    st.tuples(st.just("another"), st.none(), st.none()),
)


def agrees(said: Explanation, taken: str | None) -> bool:
    if said.outcome is Outcome.PICK:
        return said.pick == taken is not None
    if said.outcome is Outcome.CHANCE:
        return said.pick is None and len(said.among) > 1 and taken in said.among
    return said.pick is None and taken is None and not said.among


class Agent:
    """A pool that is asked what it would do before it does anything."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = FakeClock()
        self.pool = a_pool(home, clock=self.clock)
        self.held: list[Any] = []

    def step(self, what: str, one: Any, other: Any) -> None:
        if what == "wait":
            self.clock.forward(one)
        elif what == "strategy":
            follow(self.home, one)
            self.pool._roster.read()
        elif what == "another":  # whoever starts now must say the same as a look at the files
            self.pool.flush()
            self.pool = a_pool(self.home, clock=self.clock)
        elif what == "fail":
            context = PER_MODEL if other else {}
            self.pool.mark_exhausted_and_rotate(status_code=one, error_context=context, model=MODEL)
        elif what == "succeed":
            self.pool.report_success()
        elif what in ("reset", "pause"):
            self.act(what, one, other)
        else:
            self.take(what, one, MODEL if other else None)

    def act(self, what: str, row_id: str, until: float | None) -> None:
        reader = a_reader(self.home, clock=self.clock)
        pool = reader.read().pool("openrouter")
        if pool and any(row.id == row_id for row in self.pool.entries()):
            operator = Operator(reader)
            if what == "reset":
                operator.reset("openrouter", row_id)
            else:
                operator.pause("openrouter", row_id, until=until and self.clock() + until)
        reader.close()

    def take(self, what: str, session: str | None, model: str | None) -> None:
        pool, lease = self.pool, what == "lease"
        said = pool.explain(session=session, model=model, lease=lease)
        assert pool.explain(session=session, model=model, lease=lease) == said
        if session is model is None and not lease:
            self.waits_alike(said)
        if lease:
            holder = pool.lease(session=session, model=model)
            self.held.append(holder)
            row = holder.__enter__()
            assert agrees(said, row.credential.id if row else None)
        else:
            taken = pool.select(session=session, model=model)
            assert agrees(said, taken.id if taken else None), (said, taken)

    def waits_alike(self, said: Explanation) -> None:
        """See that what waits for a row waits for the one that is named here, until the same moment."""
        waits = self.pool.wait_state()
        kinds = {Outcome.PICK: WaitKind.READY, Outcome.CHANCE: WaitKind.READY}
        assert waits.kind == kinds.get(said.outcome, said.outcome)
        if waits.kind is WaitKind.ALL_OUT:
            soonest = said.soonest
            assert (waits.credential_id, waits.until) == (
                (soonest.id, pytest.approx(soonest.ready_at)) if soonest else (None, None)
            )


@settings(max_examples=400, deadline=None)
@given(ROWS, STRATEGIES, st.lists(STEPS, max_size=10))
def test_it_says_what_the_next_pick_does(
    rows: tuple[dict[str, Any], ...], strategy: str, steps: list[tuple[str, Any, Any]]
) -> None:
    """Whatever happened before: the row it names is taken, one of those among which chance decides, or none."""
    with TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        write_store(home, {"openrouter": list(rows)})
        follow(home, strategy)
        agent = Agent(home)
        for step in [*steps, ("select", None, False), ("another", None, None), ("select", "one", True)]:
            agent.step(*step)


@settings(max_examples=60, deadline=None)
@given(ROWS, STRATEGIES, SESSIONS, st.lists(SESSIONS, max_size=5), st.booleans())
def test_a_look_at_the_files_says_what_whoever_starts_now_gets(
    rows: tuple[dict[str, Any], ...],
    strategy: str,
    session: str | None,
    before: list[str | None],
    names_model: bool,
) -> None:
    """The answer without a pool is that of a pool that has just been opened; it marks the same row as the next one."""
    model = MODEL if names_model else None
    with TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        write_store(home, {"openrouter": list(rows)})
        follow(home, strategy)
        with a_pool(home) as earlier:
            for each in before:
                earlier.select(session=each)
            earlier.mark_exhausted_and_rotate(status_code=429, error_context=PER_MODEL, model=MODEL)
        snapshot = a_reader(home).read().pool("openrouter")
        if snapshot is None:
            return
        said = snapshot.explain(snapshot.at(NOW), NOW, session=session, model=model)
        pool = a_pool(home)
        assert pool.explain(session=session, model=model) == said
        taken = pool.select(session=session, model=model)
        assert agrees(said, taken.id if taken else None)
        mark = snapshot.next_pick(snapshot.at(NOW))
        is_certain = said.outcome is Outcome.PICK and strategy != "sticky"
        if session is None and model is None and is_certain:
            assert mark == said.pick


@pytest.mark.parametrize("strategy", [name for name in KNOWN_STRATEGIES if name != "random"])
def test_asking_moves_nothing(tmp_path: Path, strategy: str) -> None:
    """A pool that is asked before each pick picks the same as one that is not; asking alone writes and counts nothing."""
    picks = []
    for name, asks in (("one", 3), ("other", 0)):
        home = tmp_path / name
        write_store(home, {"openrouter": keys("aaa001", "aaa002", "aaa003")})
        follow(home, strategy)
        before, pool = tree(home), a_pool(home)
        for _ in range(asks):
            pool.explain(session="a")
        assert tree(home) == before
        taken = []
        for turn in range(12):
            session = "ab"[turn % 2] if turn % 3 else None
            for _ in range(asks):
                pool.explain(session="b")
                pool.explain()
            row = pool.select(session=session)
            taken.append(row and row.id)
        picks.append(taken)
        assert sum(row.request_count for row in pool.entries()) == 12
    assert picks[0] == picks[1]


# --- why a row is taken, or another one --------------------------------------------------------------------


@pytest.fixture
def three(home: Path) -> Path:
    write_store(
        home,
        {
            "openrouter": [
                a_key("aaa001", "team-a", request_count=412),
                a_key("aaa002", "team-b", priority=1, request_count=36),
                a_key("aaa003", "ci", priority=2, request_count=36),
            ]
        },
    )
    return home


@pytest.mark.parametrize(
    ("strategy", "reasons", "rivals"),
    [
        ("fill_first", ("first", "behind", "behind"), (None, "aaa001", "aaa001")),
        ("no-such", ("first", "behind", "behind"), (None, "aaa001", "aaa001")),
        ("least_used", ("more_uses", "fewest_uses", "same_uses"), ("aaa002", "aaa003", "aaa002")),
        ("round_robin", ("its_turn", "later_turn", "later_turn"), (None, "aaa001", "aaa002")),
        ("random", ("chance", "chance", "chance"), (None, None, None)),
        ("sticky", ("first", "other_sessions", "other_sessions"), (None, "aaa001", "aaa001")),
    ],
)
def test_ready_rows_say_how_the_strategy_orders_them(
    three: Path, strategy: str, reasons: tuple[str, ...], rivals: tuple[str | None, ...]
) -> None:
    """Each by its own rule, with the row it is compared with."""
    follow(three, strategy)
    said = explained(three)
    assert tuple(row.reason.value for row in said.rows) == reasons
    assert tuple(row.rival for row in said.rows) == rivals
    assert [row.uses for row in said.rows] == [412, 36, 36]
    assert [row.turns for row in said.rows] == ([0, 1, 2] if strategy == "round_robin" else [0, 0, 0])
    assert said.strategy == ("fill_first" if strategy == "no-such" else strategy)


def test_the_turn_is_behind_the_row_that_was_used_last(three: Path) -> None:
    """Whoever starts now begins there, and the row that was just used has its turn last."""
    follow(three, "round_robin")
    with a_pool(three) as pool:
        pool.select()
        pool.select()
    said = explained(three)
    assert said.pick == "aaa003"
    assert [(row.reason, row.rival, row.turns) for row in said.rows] == [
        (Reason.LATER_TURN, "aaa003", 1),
        (Reason.LATER_TURN, "aaa001", 2),
        (Reason.ITS_TURN, "aaa002", 0),
    ]


def test_a_session_has_its_own_row(three: Path) -> None:
    """The answer with a session is about that session; requests without one stay where they were."""
    follow(three, "sticky")
    pool = a_pool(three)
    row = pool.select(session="a")
    assert row is not None
    said = pool.explain(session="a")
    assert (said.pick, said.session) == (row.id, "a")
    assert {each.reason for each in said.rows} == {Reason.ITS_SESSION, Reason.OTHER_SESSIONS}
    pool.flush()
    assert why(three, row.id).reason is Reason.USED_LAST


def test_a_session_that_moved_stays_where_it_went(three: Path) -> None:
    """In the pool that moved it; whoever starts now gives it the row that it had."""
    follow(three, "sticky")
    clock = FakeClock()
    pool = a_pool(three, clock=clock)
    first = pool.select(session="a")
    assert first is not None
    pool.mark_exhausted_and_rotate(status_code=429, credential_id=first.id)
    second = pool.select(session="a")
    assert second is not None and second.id != first.id
    clock.forward(3600)
    assert pool.explain(session="a").pick == second.id
    assert a_pool(three, clock=clock).explain(session="a").pick == first.id


def test_who_tries_a_row_goes_on_with_it_and_others_wait(home: Path) -> None:
    """After its cooldown, where there is no other row: to others it is out until the answer comes."""
    write_store(home, {"openrouter": keys("aaa001")})
    clock = FakeClock()
    pool, other = a_pool(home, clock=clock), a_pool(home, clock=clock)
    pool.select()
    pool.mark_exhausted_and_rotate(status_code=429)
    clock.forward(60)
    assert other.explain().rows[0].is_probe
    assert pool.select() is not None
    clock.forward(20)
    said = pool.explain()
    assert (said.pick, said.rows[0].reason) == ("aaa001", Reason.OWN_PROBE)
    found = other.explain()
    assert (found.outcome, found.rows[0].reason) == (Outcome.ALL_OUT, Reason.PROBING)
    assert (found.rows[0].ready_at, found.rows[0].in_flight) == (NOW + 120, 1)
    assert acts(found.rows[0]) == [Act.WAIT]
    assert (other.select(), pool.select() is not None) == (None, True)


def test_the_only_ready_row_says_so(home: Path) -> None:
    """Whatever the strategy is: nothing else could be taken."""
    write_store(home, {"openrouter": [a_key("aaa001"), a_key("aaa002", priority=1, **benched(429))]})
    for strategy in KNOWN_STRATEGIES:
        follow(home, strategy)
        assert why(home).reason is Reason.ONLY_READY
        assert why(home).is_pick
        assert not why(home).remedies


def test_what_would_put_a_ready_row_in_front(three: Path) -> None:
    """Under fill_first its place; else the strategy."""
    assert acts(why(three, "aaa002")) == [Act.MAKE_FIRST, Act.SET_STRATEGY]
    follow(three, "least_used")
    assert acts(why(three)) == [Act.SET_STRATEGY]


# --- why a row is out --------------------------------------------------------------------------------------


def test_a_bench_names_its_failure_and_whose_word_the_end_is(home: Path) -> None:
    """Told by the provider, from the table, from the file, from a line of config.yaml; and how manieth it was."""
    write_store(
        home, {"openrouter": [*keys("aaa001", "aaa002"), a_key("aaa003", priority=2, **benched(429))]}
    )
    with a_pool(home) as pool:
        pool.select()
        pool.mark_exhausted_and_rotate(status_code=429, error_context={"reset_at": NOW + 500})
        pool.select()
        pool.mark_exhausted_and_rotate(status_code=402)
    told, table, filed = (explained(home).rows[place] for place in range(3))
    assert (told.reason, told.until, told.ready_at, told.since) == (Reason.COOLING, NOW + 500, NOW + 500, NOW)
    assert told.bench is not None and table.bench is not None and filed.bench is not None
    assert (told.bench.evidence, told.bench.code, told.bench.told) == (Evidence.PROVIDER, 429, NOW + 500)
    assert (told.bench.cause, told.bench.scope, told.bench.streak) == ("rate_limit", "row", 1)
    assert (table.bench.evidence, table.bench.code, table.until) == (Evidence.TABLE, 402, NOW + 3600)
    assert (filed.bench.evidence, filed.since) == (Evidence.FILE, NOW - 60)
    assert acts(told) == [Act.WAIT, Act.RESET]
    assert told.remedies[0].at == NOW + 500
    assert acts(table) == [Act.WAIT, Act.TOP_UP, Act.RESET]
    follow(home, "fill_first", "credential_pool:\n  cooldown:\n    402: 2h\n")
    ruled = explained(home).rows[1]
    assert ruled.bench is not None
    assert (ruled.bench.evidence, ruled.bench.line, ruled.until) == (Evidence.OPERATOR, 4, NOW + 7200)


def test_all_out_names_the_row_that_is_back_first(home: Path) -> None:
    """The soonest that waiting alone brings back, pauses included; a login does not come back by itself."""
    write_store(
        home,
        {
            "openrouter": [
                a_key("aaa001", last_status="dead", last_status_at=NOW - 9, last_error_code=401),
                a_key("aaa002", priority=1, **benched(429, until=NOW + 900)),
                a_key("aaa003", priority=2),
            ]
        },
    )
    Operator(a_reader(home)).pause("openrouter", "aaa003", until=NOW + 300)
    said = explained(home)
    assert said.outcome is Outcome.ALL_OUT
    assert said.soonest is not None
    assert (said.soonest.id, said.soonest.ready_at) == ("aaa003", NOW + 300)
    assert said.rows[0].ready_at is None
    write_store(home, {"openrouter": []})
    assert a_pool(home).explain().outcome is Outcome.NOT_CONFIGURED
    assert a_pool(home).explain().soonest is None


def test_a_pause_hides_a_bench_and_says_when_that_ends(home: Path) -> None:
    """The pause ends first, the row is ready when both are over; a pause for good ends with a resume only."""
    write_store(home, {"openrouter": [a_key("aaa001", **benched(429, until=NOW + 900))]})
    operator = Operator(a_reader(home))
    operator.pause("openrouter", "aaa001", until=NOW + 300)
    found = why(home)
    assert (found.reason, found.until, found.ready_at) == (Reason.PAUSED, NOW + 300, NOW + 900)
    assert a_pool(home).wait_state().until == NOW + 900
    assert acts(found) == [Act.WAIT, Act.RESUME]
    operator.pause("openrouter", "aaa001")
    found = why(home)
    assert (found.until, found.ready_at, acts(found)) == (None, None, [Act.RESUME])
    assert not math.isinf(found.until or 0.0)


OUT: list[tuple[dict[str, Any], Reason, list[Act]]] = [
    (a_key(last_status="dead", last_error_code=401), Reason.NEEDS_LOGIN, [Act.NEW_KEY, Act.RESET]),
    (a_login("aaa001", last_status="dead", last_error_code=401), Reason.NEEDS_LOGIN, [Act.LOG_IN, Act.RESET]),
    (
        a_login("aaa001", refresh_token=..., expires_at_ms=(NOW - 5) * 1000),
        Reason.NEEDS_LOGIN,
        [Act.LOG_IN],
    ),
    (a_login("aaa001", expires_at_ms=(NOW - 5) * 1000), Reason.TOKEN_ENDED, [Act.RENEWAL, Act.LOG_IN]),
    (a_key(source="env:MY_KEY", access_token=...), Reason.NO_SECRET, [Act.SET_VARIABLE, Act.NEW_KEY]),
    (a_key(access_token=""), Reason.NO_SECRET, [Act.NEW_KEY]),
    (a_key(priority="first"), Reason.BAD_ROW, [Act.MEND_ROW]),
]


@pytest.mark.parametrize(("row", "reason", "wanted"), OUT, ids=str)
def test_what_waiting_does_not_heal_says_what_does(
    home: Path, row: dict[str, Any], reason: Reason, wanted: list[Act]
) -> None:
    """A new key, a login, a variable, a hand in the file; and no moment at which it would be ready by itself."""
    write_store(home, {"openrouter": [row]})
    found = why(home, explained(home).rows[0].id)
    assert (found.reason, acts(found), found.ready_at) == (reason, wanted, None)
    if reason is Reason.NO_SECRET and wanted[0] is Act.SET_VARIABLE:
        assert (found.said, found.remedies[0].name) == ("MY_KEY unset", "MY_KEY")


def test_a_model_that_waiting_does_not_bring_back_is_passed_over(home: Path) -> None:
    """Where config.yaml says so of a limit: by the pick as by its explanation, and until a reset."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    follow(home, "fill_first", "credential_pool: {cooldown: {429: {terminal_after: 1}}}\n")
    with a_pool(home) as pool:
        pool.select()
        pool.mark_exhausted_and_rotate(status_code=429, error_context=PER_MODEL, model=MODEL)
        found = pool.explain(model=MODEL).rows[0]
        assert (found.reason, found.ready_at) == (Reason.MODEL_LIMIT, None)
        taken = pool.select(model=MODEL)
        assert taken is not None and taken.id == "aaa002"
        assert pool.explain().pick == "aaa001"


def test_leases_are_told_and_of_weight_for_leases_only(home: Path) -> None:
    """A request goes to the first row all the same; a lease goes to the free one, and to none above the cap."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    follow(home, "fill_first", "credential_pool: {leases: {at_most: 1}}\n")
    pool = a_pool(home)
    with pool.lease(ttl_s=90) as one:
        assert one is not None
        for said in (pool.explain(), explained(home, at_most=1)):
            assert said.pick == "aaa001"
            assert [row.in_flight for row in said.rows] == [1, 0]
            assert said.at_most == 1
        said = pool.explain(lease=True)
        assert said.pick == "aaa002"
        assert (said.rows[0].reason, said.rows[0].ready_at) == (Reason.AT_CAP, NOW + 90)
        assert acts(said.rows[0]) == [Act.WAIT, Act.GIVE_BACK, Act.RAISE_CAP]
        with pool.lease() as other:
            assert other is not None
            said = pool.explain(lease=True)
            assert said.outcome is Outcome.ALL_OUT
            assert said.soonest is not None and said.soonest.id == "aaa001"
    follow(home, "fill_first")
    pool = a_pool(home)
    with pool.lease():
        said = pool.explain(lease=True)
        assert (said.pick, said.rows[0].reason, said.rows[0].rival) == ("aaa002", Reason.BUSIER, "aaa002")


CHANGES: list[tuple[str, Callable[[Operator, CredentialPool], object]]] = [
    ("reset", lambda operator, _pool: operator.reset("openrouter", "aaa001")),
    ("pause", lambda operator, _pool: operator.pause("openrouter", "aaa002")),
    ("strategy", lambda operator, _pool: operator.set_strategy("openrouter", "random")),
]


@pytest.mark.parametrize(("name", "change"), CHANGES)
def test_a_running_pool_answers_for_the_moment(
    home: Path,
    name: str,
    change: Callable[[Operator, CredentialPool], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What others did meanwhile is in the next answer."""
    monkeypatch.setattr("keydeck.engine.roster._LOOK_AROUND_EVERY_S", 0.0)
    write_store(home, {"openrouter": [a_key("aaa001", **benched(429)), *keys("aaa002", "aaa003")]})
    pool = a_pool(home)
    assert pool.explain().pick == "aaa002"
    change(Operator(a_reader(home)), pool)
    wanted = {"reset": "aaa001", "pause": "aaa003", "strategy": None}
    assert pool.explain().pick == wanted[name]
