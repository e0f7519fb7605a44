"""What is known of how keys stand, in rows, card, detail, list, JSON and note: the same facts everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import NOW, FakeClock, a_home, a_key, a_login, a_reader, benched, happened, keys, write_store
from keydeck.engine.cooldown import Evidence, Failure, Standing, Strike, model_scope
from keydeck.engine.cooldown_policy import TABLE, Rule
from keydeck.engine.events import Event, Failed, Leased, Paused, Probed, Released
from keydeck.engine.failures import FailureKind
from keydeck.engine.file_store import FileStore
from keydeck.engine.snapshot import HomeSnapshot, PoolSnapshot
from keydeck.engine.state import Health, HealthKind
from keydeck.present.card import card_lines
from keydeck.present.detail import fact_lines, situation
from keydeck.present.evidence import evidence_text, ordinal, streak_text, whose_word
from keydeck.present.glyphs import ASCII, UNICODE
from keydeck.present.listing import list_lines, listing
from keydeck.present.note import note
from keydeck.present.panes import PaneWriter, pane_views, status_line, title
from keydeck.present.rows import Context, columns, row_line
from keydeck.present.spans import line_width, plain

POOL = "openrouter"


def tell(home: Path, *told: tuple[float, Event]) -> HomeSnapshot:
    """Tell events at moments before `NOW`, and return the home at `NOW`."""
    write_store(home, {POOL: keys("aaa001", "bbb002", "ccc003")})
    happened(home, *told)
    return a_reader(home).read()


def fails(row: str = "aaa001", **fields: Any) -> Failed:
    return Failed(ids=(row,), provider=POOL, **{"code": 429, "message": "slow down", **fields})


def leased(row: str, name: str, ttl_s: float = 60.0) -> Leased:
    return Leased(ids=(row,), provider=POOL, lease=name, ttl_s=ttl_s)


FOUR_TIMES = ((600, fails()), (530, fails()), (400, fails()), (150, fails()))
ACCOUNT = (30, fails("bbb002", until=NOW + 900, scope="account", kind="usage_limit"))
LIMIT = (30, fails("ccc003", until=NOW + 340, scope=model_scope("opus"), kind="rate_limit"))
BUSY = ((9, leased("ccc003", "one")), (5, leased("ccc003", "two")))
COOLED = (90, fails("bbb002", until=NOW - 20))
TRIED = (6, Probed(ids=("bbb002",), provider=POOL, by="me"))


def row(snapshot: HomeSnapshot, row_id: str, cells: int = 120, now: float = NOW, **how: Any) -> str:
    (pane,) = pane_views(snapshot, now, Context(how.pop("glyphs", UNICODE), snapshot.scrubber))
    found = next(each for each in pane.rows if each.id == row_id)
    line = row_line(found, columns(cells, 10, **how), now, UNICODE)
    assert line_width(line) == cells
    return plain(line)


def card(snapshot: HomeSnapshot, row_id: str) -> str:
    pool, context = snapshot.pools[0], Context(UNICODE, snapshot.scrubber)
    state = pool.at(NOW)
    shown = next(each for each in pane_views(snapshot, NOW, context)[0].rows if each.id == row_id)
    return "\n".join(plain(line) for line in card_lines(pool, state, shown, NOW, 160, context))


def facts(snapshot: HomeSnapshot, row_id: str) -> str:
    pool: PoolSnapshot = snapshot.pools[0]
    context, state = Context(UNICODE, snapshot.scrubber), pool.at(NOW)
    found = next(each for each in state.rows if each.id == row_id)
    shown = next(each for each in pane_views(snapshot, NOW, context)[0].rows if each.id == row_id)
    return "\n".join(plain(line) for line in fact_lines(situation(pool, found, shown, NOW, context), 120))


def as_json(snapshot: HomeSnapshot, row_id: str) -> dict[str, Any]:
    (pool,) = json.loads(json.dumps(listing(snapshot, NOW), allow_nan=False))["pools"]
    found: dict[str, Any] = next(each for each in pool["credentials"] if each["id"] == row_id)
    return found


def in_list(snapshot: HomeSnapshot, row_id: str) -> str:
    return next(line for line in list_lines(snapshot, NOW) if f" {row_id} " in line)


# --- how often it failed -------------------------------------------------------------------------------------


def test_a_streak_is_told_everywhere(home: Path) -> None:
    """The fourth failure in a row, and the table that made eight minutes of it."""
    snapshot = tell(home, *FOUR_TIMES)
    assert "429 4th in a row" in row(snapshot, "aaa001")
    assert "429 4th " in row(snapshot, "aaa001", 70)
    assert "4th in a row; the table: 60s x 2^3" in card(snapshot, "aaa001")
    assert "streak      4th in a row" in facts(snapshot, "aaa001")
    assert "evidence    the table: 60s x 2^3" in facts(snapshot, "aaa001")
    assert "since 13:59:41, 4th in a row, the table: 60s x 2^3: 429" in in_list(snapshot, "aaa001")
    assert "4th in a row" in note(snapshot, NOW)
    told = as_json(snapshot, "aaa001")
    assert (told["streak"], told["evidence"], told["until"]) == (4, "table", NOW + 330)
    assert (told["cause"], told["scope"], told["told_until"], told["config_line"]) == (
        "rate_limit",
        "row",
        None,
        None,
    )


def test_a_first_failure_is_no_streak(home: Path) -> None:
    """Nothing in a row is told of one failure."""
    snapshot = tell(home, (30, fails()))
    assert "in a row" not in row(snapshot, "aaa001") + card(snapshot, "aaa001") + facts(snapshot, "aaa001")
    assert as_json(snapshot, "aaa001")["streak"] == 1


@pytest.mark.parametrize("times", ["left", "until", "both"])
@pytest.mark.parametrize("wide", [False, True])
def test_a_streak_takes_no_cell_from_others(home: Path, times: str, *, wide: bool) -> None:
    """However wide the screen, the line is exactly that wide and the time left stays whole."""
    snapshot = tell(home, *FOUR_TIMES, *BUSY, ACCOUNT)
    for cells in range(40, 221):
        line = row(snapshot, "aaa001", cells, wide=wide, times=times)
        assert ("5m30s" if times != "until" else "14:07:41") in line
        row(snapshot, "bbb002", cells, wide=wide, times=times)
        row(snapshot, "ccc003", cells, wide=wide, times=times)


@given(st.integers(2, 10**6))
def test_streaks_read_as_people_count(number: int) -> None:
    """21st and 22nd, but 11th and 112th."""
    said = ordinal(number)
    ends = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    assert said == f"{number}{'th' if number // 10 % 10 == 1 else ends}"
    assert streak_text(number) == f"{said} in a row"


# --- whose word it is ----------------------------------------------------------------------------------------

NOON = NOW + 600


def health(
    rule: Rule, streak: int = 1, *, told: float | None = None, evidence: Evidence, lasts_s: float
) -> Health:
    failure = Failure(FailureKind.RATE_LIMIT, NOW, 429, told)
    held = Standing(
        until=NOW + lasts_s,
        evidence=evidence,
        strike=Strike(failure, (1, 1), (1, 2)),
        streak=streak,
        rule=rule,
    )
    return Health(HealthKind.COOLING, since=NOW, until=held.until, standing=held)


THROTTLE, BILL = TABLE[FailureKind.RATE_LIMIT], TABLE[FailureKind.BILLING]
OURS = Rule(120.0, grows=3, cap_s=600.0, line=12)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (health(THROTTLE, evidence=Evidence.TABLE, lasts_s=60), "the table: 60s"),
        (health(THROTTLE, 4, evidence=Evidence.TABLE, lasts_s=500), "the table: 60s x 2^3"),
        (health(THROTTLE, 9, evidence=Evidence.TABLE, lasts_s=3600), "the table: 60s x 2^8, at most 1h00m"),
        (
            health(THROTTLE, 4, evidence=Evidence.TABLE, lasts_s=60),
            "the table: 60s x 2^3, at most 1m00s for the only key",
        ),
        (health(BILL, 2, evidence=Evidence.TABLE, lasts_s=7200), "the table: 1h00m x 2^1"),
        (health(OURS, 2, evidence=Evidence.OPERATOR, lasts_s=360), "config.yaml line 12: 2m00s x 3^1"),
        (
            health(THROTTLE, told=NOON, evidence=Evidence.PROVIDER, lasts_s=600),
            "the provider said until 14:12:11",
        ),
        (
            health(THROTTLE, told=NOW + 40 * 86400, evidence=Evidence.TABLE, lasts_s=60),
            "the table: 60s; the provider said 2026-12-18, which is not followed",
        ),
        (health(THROTTLE, told=NOON, evidence=Evidence.FILE, lasts_s=600), "found in the file (hermes)"),
        (
            health(THROTTLE, evidence=Evidence.FILE, lasts_s=3600),
            "found in the file (hermes), without an end: 429 rests 1h00m",
        ),
    ],
)
def test_whose_word_an_end_is(known: Health, said: str) -> None:
    """The provider's, the table's, config.yaml's with its line, or what another program wrote."""
    assert evidence_text(known, NOW) == said
    assert whose_word(known) in (said.partition(";")[0].partition(", without")[0], "the provider said so")


def test_a_refusal_that_time_does_not_heal_says_after_how_many(home: Path) -> None:
    """The second 401 in a row of an API key needs another key."""
    snapshot = tell(home, (400, fails(code=401, message="no")), (60, fails(code=401, message="no")))
    assert as_json(snapshot, "aaa001")["health"] == "needs_login"
    assert "evidence    the table: waiting does not help after 2 in a row" in facts(snapshot, "aaa001")


def test_a_pause_is_the_operators_word(home: Path) -> None:
    """In the detail, and as JSON."""
    snapshot = tell(home, (5, Paused(ids=("aaa001",), provider=POOL, until=NOW + 900)))
    assert "evidence    the operator said so" in facts(snapshot, "aaa001")
    assert as_json(snapshot, "aaa001")["evidence"] == "operator"


def test_a_line_of_the_config_is_named(home: Path) -> None:
    """Where config.yaml says how long, its line is told."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.yaml").write_text("credential_pool:\n  cooldown:\n    429: 10m\n")
    snapshot = tell(home, (30, fails()))
    told = as_json(snapshot, "aaa001")
    assert (told["evidence"], told["config_line"], told["until"]) == ("operator", 3, NOW + 570)
    assert "config.yaml line 3: 10m00s" in facts(snapshot, "aaa001")


# --- what it concerns ----------------------------------------------------------------------------------------


def test_a_bench_of_an_account_says_so(home: Path) -> None:
    """In card, detail, list and JSON, and in a row that is wide enough."""
    snapshot = tell(home, ACCOUNT)
    assert "the whole account" in card(snapshot, "bbb002")
    assert "concerns    the whole account" in facts(snapshot, "bbb002")
    assert "the whole account" in in_list(snapshot, "bbb002")
    assert "the whole account" in row(snapshot, "bbb002", 200)
    assert as_json(snapshot, "bbb002")["scope"] == "account"


def test_a_limit_of_one_model_leaves_the_key_ready(home: Path) -> None:
    """It is ready, but not for that model, until then."""
    snapshot = tell(home, LIMIT)
    assert "ready, not for opus until 14:07:51" in row(snapshot, "ccc003")
    assert "ready, not for opus " in row(snapshot, "ccc003", 70)
    assert "not for opus until 14:07:51" in card(snapshot, "ccc003")
    assert "not for     opus until 14:07:51, 429" in facts(snapshot, "ccc003")
    assert "not for opus until 14:07:51" in in_list(snapshot, "ccc003")
    told = as_json(snapshot, "ccc003")
    assert told["health"] == "ready"
    (limit,) = told["limits"]
    assert (limit["model"], limit["until"], limit["status_code"]) == ("opus", NOW + 340, 429)
    assert (limit["evidence"], limit["streak"]) == ("provider", 1)


def test_several_models_are_counted(home: Path) -> None:
    """A row has no room for their names; the detail has."""
    other = (20, fails("ccc003", until=NOW + 99, scope=model_scope("haiku"), kind="rate_limit"))
    snapshot = tell(home, LIMIT, other)
    assert "ready, not for 2 models" in row(snapshot, "ccc003")
    assert "haiku until 14:03:50" in facts(snapshot, "ccc003")


def test_a_hostile_name_of_a_model_is_harmless(home: Path) -> None:
    """What a journal says of a model is cleaned like all text of others."""
    evil = "o\x1b[31mpus\n[/x]"
    snapshot = tell(home, (30, fails("ccc003", until=NOW + 340, scope=model_scope(evil), kind="rate_limit")))
    for said in (row(snapshot, "ccc003"), card(snapshot, "ccc003"), facts(snapshot, "ccc003")):
        assert "\x1b" not in said
        assert "not for" in said


# --- work in flight, and probing -----------------------------------------------------------------------------


def test_work_in_flight_is_counted(home: Path) -> None:
    """Two leases that count; what was given back or ran out does not."""
    ended = (
        (99, leased("ccc003", "old")),
        (20, leased("ccc003", "back")),
        (18, Released(ids=("ccc003",), provider=POOL, lease="back")),
    )
    snapshot = tell(home, *ended, *BUSY)
    assert "ready, 2 in flight" in row(snapshot, "ccc003", 70)
    assert "2 in flight" in card(snapshot, "ccc003")
    assert "in flight   2, given back by 14:03:06 at the latest" in facts(snapshot, "ccc003")
    assert "ready, 2 in flight" in in_list(snapshot, "ccc003")
    assert as_json(snapshot, "ccc003")["in_flight"] == 2


def test_work_in_flight_comes_before_a_token_that_ends(home: Path) -> None:
    """Where there is no room for both, the sign says that the token ends."""
    write_store(home, {POOL: [a_login("aaa001", expires_at_ms=(NOW + 300) * 1000)]})
    store = FileStore(a_home(home), clock=FakeClock())
    store.snapshot()
    store.append(leased("aaa001", "one"))
    store.close()
    snapshot = a_reader(home).read()
    assert "ready · token ends, 1 in flight" in row(snapshot, "aaa001")
    assert "ready, 1 in flight " in row(snapshot, "aaa001", 60)
    assert "△" in row(snapshot, "aaa001", 60)


def test_leases_that_run_out_leave_the_screen_by_the_clock(home: Path) -> None:
    """Nothing is told when a lease ends: the pane is written anew at that moment."""
    snapshot, writer = tell(home, *BUSY), PaneWriter()
    context = Context(UNICODE, snapshot.scrubber)

    def at(now: float) -> int:
        (pane,) = writer.views(snapshot, now, context)
        return next(each.in_flight for each in pane.rows if each.id == "ccc003")

    assert [at(NOW), at(NOW + 50), at(NOW + 52), at(NOW + 56)] == [2, 2, 1, 0]


def test_limits_that_end_leave_the_screen_by_the_clock(home: Path) -> None:
    """At its end the model is served again."""
    snapshot, writer = tell(home, LIMIT), PaneWriter()
    context = Context(UNICODE, snapshot.scrubber)
    first, later = (writer.views(snapshot, now, context)[0].rows for now in (NOW, NOW + 340))
    assert [len(rows[0].limits) for rows in (first[2:], later[2:])] == [1, 0]


def test_a_key_that_cooled_waits_for_its_probe(home: Path) -> None:
    """One request at a time, until a minute after its cooldown."""
    snapshot = tell(home, COOLED)
    assert "◔ key-bbb002" in row(snapshot, "bbb002")
    assert "probing, one at a time until 14:02:51" in row(snapshot, "bbb002")
    assert "probing: the next request tries it; one at a time until 14:02:51" in card(snapshot, "bbb002")
    assert "state       ◔ probing" in facts(snapshot, "bbb002")
    told = as_json(snapshot, "bbb002")
    assert (told["health"], told["in_flight"], told["until"]) == ("probing", 0, NOW + 40)


def test_a_date_that_was_followed_stays_so_while_the_key_is_tried(home: Path) -> None:
    """The end that hermes wrote has come; nothing says that it was not followed."""
    write_store(home, {POOL: [a_key("aaa001", **benched(until=NOW - 20))]})
    known = facts(a_reader(home).read(), "aaa001")
    assert "probing" in known
    assert "evidence    found in the file (hermes)\n" in f"{known}\n"


def test_a_key_that_is_tried_says_so(home: Path) -> None:
    """Somebody's request is under way; others wait for its answer."""
    snapshot = tell(home, COOLED, TRIED)
    assert "probing, 1 in flight" in row(snapshot, "bbb002", 70)
    assert "probing: a request tries it; one at a time until 14:03:05" in card(snapshot, "bbb002")
    assert "in flight   1, to try the key" in facts(snapshot, "bbb002")
    assert as_json(snapshot, "bbb002")["in_flight"] == 1
    (pool,) = listing(snapshot, NOW)["pools"]
    assert (pool["probing"], pool["in_flight"], pool["ready"]) == (1, 1, 2)
    assert "2 of 3 ready until 14:03:05, then 3, 1 probing" in list_lines(snapshot, NOW)[0]


# --- the pool ------------------------------------------------------------------------------------------------


def test_a_pool_says_what_time_brings(home: Path) -> None:
    """Nothing is ready until the first two are back; the JSON has every step."""
    write_store(
        home,
        {
            POOL: [
                a_key(row_id, **benched(until=NOW + after))
                for row_id, after in (("a", 300), ("b", 300), ("c", 900))
            ]
        },
    )
    snapshot = a_reader(home).read()
    (pane,) = pane_views(snapshot, NOW, Context(ASCII, snapshot.scrubber))
    assert plain(title(pane, NOW, ASCII)) == "openrouter  0/3 ready until 14:07:11, then 2"
    (pool,) = listing(snapshot, NOW)["pools"]
    assert pool["forecast"] == [{"at": NOW + 300, "ready": 2}, {"at": NOW + 900, "ready": 3}]
    assert "2 ready then" in note(snapshot, NOW)


def test_a_pool_says_how_many_are_probing(home: Path) -> None:
    """Beside how many are ready."""
    snapshot = tell(home, COOLED, TRIED)
    (pane,) = pane_views(snapshot, NOW, Context(ASCII, snapshot.scrubber))
    assert plain(title(pane, NOW, ASCII)) == "openrouter  2/3 ready until 14:03:05, then 3  1 probing"
    bar = status_line("~", pane.kinds, 80, ASCII, watching="live", ready=pane.ready)
    assert "2 ready  1 probing" in plain(bar)
