from __future__ import annotations

from pathlib import Path

import pytest

from fakes import NOW, a_key, a_reader, keys, write_store
from keydeck.engine.snapshot import HomeSnapshot
from keydeck.engine.state import pool_state
from keydeck.engine.totals import Totals
from keydeck.present.detail import fact_lines, identity
from keydeck.present.glyphs import ASCII, UNICODE
from keydeck.present.panes import header_line, pane_views, status_line, top_line
from keydeck.present.rows import Context, columns, row_line
from keydeck.present.spans import Role, line_width, plain
from keydeck.present.traffic import KeyTraffic, Traffic, chart, traffic

MINUTE = int(NOW // 60)


@pytest.fixture
def snapshot(home: Path) -> HomeSnapshot:
    write_store(
        home,
        {"openrouter": keys("aaa001", "aaa002"), "zai": [*keys("bbb001"), a_key("bad001", priority="x")]},
    )
    return a_reader(home).read()


@pytest.fixture
def totals() -> Totals:
    """Thirty requests a minute with the first key and ten with the second, of which one half hour is over."""
    minutes = {MINUTE - 59 + place: {"aaa001": 30, "aaa002": 10} for place in range(30)}
    return Totals(minutes={**minutes, MINUTE - 1: {"bbb001": 4}, MINUTE: {"bbb001": 1}})


def test_each_key_and_pool(snapshot: HomeSnapshot, totals: Totals) -> None:
    """Requests by minute, the part of the pool's picks, and the rate just now: the running minute and what it lacks."""
    counted = traffic(snapshot, totals, NOW)
    first, third = counted.of("openrouter", "aaa001"), counted.of("zai", "bbb001")
    assert (first.sent, first.share, first.rate) == (900, 0.75, 0.0)
    assert third.share == 1.0
    assert third.rate == pytest.approx(1 + 4 * (1 - NOW % 60 / 60))
    assert counted.rates["openrouter"] == 0.0
    assert counted.rate == counted.rates["zai"] == third.rate
    assert counted.of("zai", "nobody").sent == 0
    assert traffic(snapshot, totals, NOW) == counted


def test_nothing_was_sent(snapshot: HomeSnapshot) -> None:
    """No rate, no share, and a faint chart."""
    counted = traffic(snapshot, Totals(), NOW)
    assert (counted.rate, dict(counted.keys), counted.busiest) == (0.0, {}, 0)
    assert chart(counted.of("zai", "bbb001"), 8, counted.busiest, UNICODE).role is Role.FAINT


@pytest.mark.parametrize("cells", [8, 12])
def test_all_charts_have_one_scale(cells: int) -> None:
    """A key that sends little is drawn low beside one that sends much, whatever the width."""
    much, little = KeyTraffic((50,) * 60), KeyTraffic((5,) * 60)
    assert chart(much, cells, 250, UNICODE).text == "█" * cells
    assert chart(little, cells, 250, UNICODE).text == "▂" * cells
    bursts = KeyTraffic(tuple(70 if place % 10 < 7 else 0 for place in range(60)))
    assert len(chart(bursts, cells, 1, ASCII).text) == cells


@pytest.mark.parametrize("total", range(20, 201, 9))
@pytest.mark.parametrize("wide", [False, True])
def test_lines_are_as_wide_as_they_have_to_be(
    snapshot: HomeSnapshot, totals: Totals, total: int, wide: bool
) -> None:
    """With all columns of the hour or without, for every row and headline."""
    counted, context = traffic(snapshot, totals, NOW), Context(UNICODE, snapshot.scrubber)
    at = columns(total, 12, wide=wide, traffic=True)
    for view in pane_views(snapshot, NOW, context):
        rate = counted.rates[view.provider]
        assert line_width(top_line(view, NOW, total, UNICODE, edge=Role.FAINT, rate=rate)) == total
        assert line_width(header_line(view, NOW, total, UNICODE, has_focus=True, rate=rate)) == total
        for row in view.rows:
            sent = counted.of(view.provider, row.id)
            line = row_line(row, at, NOW, UNICODE, sent=sent, busiest=counted.busiest, is_outside=True)
            assert line_width(line) == total
        line = status_line("~", view.kinds, total, UNICODE, watching="live", rate=123.0)
        assert line_width(line) == total


def test_what_there_is_room_for() -> None:
    """The chart is there at 80 cells, its rate at 100, the share of picks at 118; none of them without a journal."""
    narrow, normal, wide = (columns(total, 18, traffic=True) for total in (80, 100, 118))
    assert (narrow.spark, narrow.rate, narrow.share) == (9, 0, 0)
    assert (normal.spark, normal.rate) == (9, 8)
    assert (wide.spark, wide.rate, wide.share) == (13, 8, 6)
    silent = columns(200, 18)
    assert (silent.spark, silent.rate, silent.share) == (0, 0, 0)


def test_a_row_and_a_headline_say_it(snapshot: HomeSnapshot) -> None:
    """Chart, rate and share stand in the row, the pool's rate behind its keys, all pools' rate in the bar on top."""
    minutes = {MINUTE - place: {"aaa001": 6} for place in range(60)}
    counted, context = traffic(snapshot, Totals(minutes=minutes), NOW), Context(UNICODE, snapshot.scrubber)
    view = pane_views(snapshot, NOW, context)[0]
    sent = counted.of("openrouter", "aaa001")
    line = row_line(
        view.rows[0], columns(120, 12, traffic=True), NOW, UNICODE, sent=sent, busiest=counted.busiest
    )
    rate = f"{6 + 6 * (1 - NOW % 60 / 60):.0f}/m"
    assert f"████████████   {rate}  100%" in plain(line).replace("    ", "   ")
    assert rate in plain(header_line(view, NOW, 80, UNICODE, has_focus=False, rate=counted.rate))
    assert plain(status_line("~", view.kinds, 80, UNICODE, watching="live", rate=counted.rate)).index(
        rate
    ) < plain(status_line("~", view.kinds, 80, UNICODE, watching="live", rate=counted.rate)).index("2 ready")


def test_the_detail_says_it(snapshot: HomeSnapshot, totals: Totals) -> None:
    """What was sent in the last hour and which part of the pool's picks that was; or that nothing was."""
    counted, context = traffic(snapshot, totals, NOW), Context(UNICODE, snapshot.scrubber)
    (pool, other) = snapshot.pools
    state = pool_state(pool.provider, pool.rows, NOW)
    said = [plain(line) for line in fact_lines(identity(pool, state.rows[0], context, counted), 70)]
    assert any(line.startswith("last hour") and "900 sent, 75% of picks" in line for line in said)
    state = pool_state(other.provider, other.rows, NOW)
    said = [plain(line) for line in fact_lines(identity(other, state.rows[0], context, Traffic()), 70)]
    assert "last hour   nothing sent" in said
    said = [plain(line) for line in fact_lines(identity(other, state.rows[0], context), 70)]
    assert not any(line.startswith("last hour") for line in said)
