"""Rows, panes, bars and cards at every width: always exactly that wide, whatever the store holds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes import NOW, a_key, a_login, a_reader, benched, keys, write_store
from keydeck.engine.snapshot import HomeSnapshot
from keydeck.present.card import CARD_LINES, card_lines
from keydeck.present.empty import empty_lines
from keydeck.present.glyphs import ASCII, UNICODE, Glyphs
from keydeck.present.panes import bottom_line, header_line, pane_views, status_line, title, top_line
from keydeck.present.rows import Context, columns, longest_label, row_line
from keydeck.present.spans import Line, Role, Span, between, fit_line, line_width, plain

WIDTHS = range(20, 221)
LABELS = [
    "a",
    "team-a@corp.example",
    "x" * 300,
    "[/x]",
    "\x1b[31mred",
    "two\nlines",
    "\u202eevil",
    "鍵" * 40,
    "🔑 key",
    "é" * 20,
    "",
]


def every_state() -> list[Any]:
    """Return raw rows in every state a file can bring about."""
    return [
        a_key("aaa001", LABELS[1], request_count=412),
        a_key("bbb002", LABELS[2], **benched(429, ago=600, until=NOW + 840, last_error_message="slow down")),
        a_key("ccc003", LABELS[3], **benched(402, until=NOW + 3 * 86400)),
        a_key("ddd004", LABELS[4], last_status="dead", last_status_at=NOW - 99, last_error_code=401),
        a_key("eee005", LABELS[5], source="env:OPENROUTER_API_KEY", access_token=...),
        a_login("fff006", LABELS[6], expires_at_ms=(NOW + 300) * 1000),
        a_login("ggg007", LABELS[7], expires_at_ms=(NOW - 300) * 1000),
        a_key("hhh008", LABELS[8], priority="1"),
        a_key("iii009", LABELS[9], access_token="sk-test-aaa001-secret"),
        a_key("jjj010", LABELS[10], **benched(None, ago=60), request_count=10**20),
        a_login("kkk011", source="manual:" + "s" * 50, expires_at_ms=(NOW + 30 * 86400) * 1000),
        "no object",
        a_key("\x1b[2J鍵\n", "hostile id"),
        a_key("bad\x1b[2J鍵\n", "hostile id", priority="1"),
        a_key("lll013", auth_type="\x1b[31mkerberos" * 9),
    ]


@pytest.fixture
def snapshot(home: Path) -> HomeSnapshot:
    """Return a home with every state in one pool, an empty-ish one, and a strange one."""
    write_store(
        home, {"openrouter": every_state(), "zai": [a_key(**benched())], "tomorrow\x1b[2J鍵": keys("zzz001")}
    )
    (home / "config.yaml").write_text(
        "credential_pool_strategies: {openrouter: random, zai: 'quota_aware 鍵鍵鍵'}\nfallback_providers: [{provider: tomorrow, model: m}]\n"
    )
    return a_reader(home).read()


def both(snapshot: HomeSnapshot) -> list[Context]:
    return [
        Context(glyphs, snapshot.scrubber, masked) for glyphs in (UNICODE, ASCII) for masked in (False, True)
    ]


def inert(line: Line) -> bool:
    return not {char for span in line for char in span.text} & {"\x1b", "\n", "\r", "\t", "\u202e", "\x00"}


# --- rows --------------------------------------------------------------------------------------------------


def test_every_row_is_exactly_as_wide_as_its_pane(snapshot: HomeSnapshot) -> None:
    """Each state, both sets of signs, masked or not, at each width from 20 to 220 cells."""
    seen = 0
    for context in both(snapshot):
        for pane in pane_views(snapshot, NOW, context):
            for cells in WIDTHS:
                at = columns(cells, longest_label(pane.rows))
                for row in pane.rows:
                    for cursor in (False, True):
                        line = row_line(row, at, NOW, context.glyphs, marks_cursor=cursor)
                        assert line_width(line) == cells, (cells, row, plain(line))
                        assert inert(line)
                        seen += 1
    assert seen > 20_000


@pytest.mark.parametrize("offset", [-1e9, -3600, 0, 839, 840, 1e5, 1e9])
def test_a_row_keeps_its_width_as_time_passes(snapshot: HomeSnapshot, offset: float) -> None:
    """Countdowns and token lives never push a column, long after and long before."""
    context = Context(UNICODE, snapshot.scrubber)
    (pane, *_) = pane_views(snapshot, NOW, context)
    for cells in (40, 80, 120, 200):
        at = columns(cells, longest_label(pane.rows))
        assert {line_width(row_line(row, at, NOW + offset, UNICODE)) for row in pane.rows} == {cells}


@given(st.integers(0, 400), st.integers(0, 400))
def test_columns_never_exceed_the_line(total: int, longest: int) -> None:
    """What is given to columns is there to give, from 45 cells on; below, the label gives way."""
    at = columns(total, longest)
    used = 4 + at.label + 1 + at.status + at.type + at.source + at.requests + at.token + at.id
    assert at.total == total
    assert at.label >= 1
    if total >= 45:
        assert used + (at.detail + 2 if at.detail else 0) <= total


def test_which_columns_there_are() -> None:
    """Few on a narrow line, all on a wide one."""

    def there(cells: int) -> set[str]:
        at = columns(cells, 18)
        return {name for name in ("type", "source", "requests", "token", "id", "detail") if getattr(at, name)}

    assert there(44) == set()
    assert {"type", "requests"} <= there(80)
    assert there(200) == {"type", "source", "requests", "token", "id", "detail"}


def test_what_a_row_says_at_80_cells(home: Path) -> None:
    """Mark, label, type, bar with countdown and code, requests."""
    write_store(
        home,
        {
            "openrouter": [
                a_key("aaa001", "first", request_count=1234),
                a_key("bbb002", "second", **benched(429, ago=60, until=NOW + 60)),
            ]
        },
    )
    snapshot = a_reader(home).read()
    (pane,) = pane_views(snapshot, NOW, Context(UNICODE, snapshot.scrubber))
    first, second = (plain(row_line(row, columns(80, 12), NOW, UNICODE)) for row in pane.rows)
    assert first.startswith("▸ ● first")
    assert " ready " in first
    assert "1,234" in first
    assert second.startswith("  ◐ second")
    assert "━━━━━" in second
    assert "1m00s 429" in second
    assert "▸" not in second


# --- panes and bars ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_frames_and_bars_are_exactly_as_wide_as_the_screen(snapshot: HomeSnapshot, glyphs: Glyphs) -> None:
    """Titles, edges, headers and the status bar at each width."""
    context = Context(glyphs, snapshot.scrubber)
    panes = pane_views(snapshot, NOW, context)
    assert len(panes) == 3
    for cells in WIDTHS:
        for pane in panes:
            lines = [
                header_line(pane, NOW, cells, glyphs, has_focus=True),
                header_line(pane, NOW, cells, glyphs, has_focus=False),
                top_line(pane, NOW, cells, glyphs, edge=Role.FAINT),
                bottom_line(pane, cells, glyphs, edge=Role.FAINT),
            ]
            assert [line_width(line) for line in lines] == [cells] * 4, (cells, pane.provider)
            assert all(map(inert, lines))
        kinds = [kind for pane in panes for kind in pane.kinds]
        for place, flags in (("~/.hermes", ()), ("/a/very/long/path/" * 5, ("read-only", "masked"))):
            bar = status_line(place, kinds, cells, glyphs, watching="live", flags=flags)
            assert line_width(bar) == cells
            assert inert(bar)


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_a_card_is_six_lines_of_exactly_the_width(snapshot: HomeSnapshot, glyphs: Glyphs) -> None:
    """Of every row, masked or not, at each width."""
    for masked in (False, True):
        context = Context(glyphs, snapshot.scrubber, masked)
        panes = {pane.provider: pane for pane in pane_views(snapshot, NOW, context)}
        for pool in snapshot.pools:
            for row in panes[pool.provider].rows:
                for cells in range(20, 221, 7):
                    lines = card_lines(pool, pool.at(NOW), row, NOW, cells, context)
                    assert len(lines) == CARD_LINES
                    assert [line_width(line) for line in lines] == [cells] * CARD_LINES
                    assert all(map(inert, lines))


def test_a_card_of_a_row_that_is_gone_is_empty(snapshot: HomeSnapshot) -> None:
    """The store changed between two frames."""
    context = Context(UNICODE, snapshot.scrubber)
    (pane, *_) = pane_views(snapshot, NOW, context)
    gone = dataclasses.replace(pane.rows[0], id="gone")
    pool = snapshot.pools[0]
    assert card_lines(pool, pool.at(NOW), gone, NOW, 80, context) == ()


@given(
    st.lists(st.builds(Span, st.text("ab 鍵é", max_size=8)), max_size=5),
    st.lists(st.builds(Span, st.text("ab 鍵é", max_size=8)), max_size=3),
    st.integers(0, 30),
)
def test_lines_are_cut_and_padded_to_the_cell(left: list[Span], right: list[Span], cells: int) -> None:
    """`fit_line` and `between` give exactly the width, wide characters at the cut too."""
    assert line_width(fit_line(tuple(left), cells, "…")) == cells
    assert line_width(between(tuple(left), tuple(right), cells, "…")) == cells


@given(st.lists(st.sampled_from(LABELS), min_size=1, max_size=4), st.integers(20, 220))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=25,
    deadline=None,
)
def test_any_labels_at_any_width(
    tmp_path_factory: pytest.TempPathFactory, labels: list[str], cells: int
) -> None:
    """Hostile labels beside each other do not move a column."""
    home = tmp_path_factory.mktemp("home")
    write_store(
        home,
        {
            "openrouter": [
                a_key(f"row{n:03}", label, access_token=f"sk-{n}-01234") for n, label in enumerate(labels)
            ]
        },
    )
    snapshot = a_reader(home).read()
    (pane,) = pane_views(snapshot, NOW, Context(UNICODE, snapshot.scrubber))
    at = columns(cells, longest_label(pane.rows))
    assert {line_width(row_line(row, at, NOW, UNICODE)) for row in pane.rows} == {cells}


# --- ASCII -------------------------------------------------------------------------------------------------


def test_the_ascii_signs_are_ascii() -> None:
    """Every sign of the set, one cell each where a column counts on it."""
    for name in (field.name for field in dataclasses.fields(Glyphs)):
        value = getattr(ASCII, name)
        for sign in value.values() if name == "health" else [value]:
            assert sign.isascii(), name
    assert set(ASCII.health) == set(UNICODE.health)
    for glyphs in (ASCII, UNICODE):
        assert {len(sign) for sign in glyphs.health.values()} == {1}
        assert len(set(glyphs.health.values())) == len(glyphs.health)
        assert [
            len(getattr(glyphs, name)) for name in ("next_pick", "cursor", "token_ends", "done", "left")
        ] == [1] * 5
        assert len(glyphs.corners) == 4


def test_with_ascii_signs_an_ascii_store_is_drawn_in_ascii(home: Path) -> None:
    """Rows, frames, bars, cards and the empty screen, also where something is cut."""
    write_store(
        home,
        {
            "openrouter": [
                a_key("aaa001", "x" * 90),
                a_key("bbb002", **benched(429, until=NOW + 840, last_error_message="word " * 500)),
                a_key("ccc003", last_status="dead"),
                a_login("ddd004", expires_at_ms=(NOW + 60) * 1000),
                a_key("eee005", access_token=...),
                a_key("fff006", priority="1"),
            ]
        },
    )
    snapshot = a_reader(home).read()
    context = Context(ASCII, snapshot.scrubber)
    (pane,) = pane_views(snapshot, NOW, context)
    pool = snapshot.pools[0]
    for cells in (20, 40, 80, 120, 220):
        at = columns(cells, longest_label(pane.rows))
        lines = [row_line(row, at, NOW, ASCII, marks_cursor=True) for row in pane.rows]
        lines += [
            header_line(pane, NOW, cells, ASCII, has_focus=True),
            bottom_line(pane, cells, ASCII, edge=Role.FAINT),
        ]
        lines += [
            top_line(pane, NOW, cells, ASCII, edge=Role.FAINT),
            status_line("~/.h", pane.kinds, cells, ASCII, watching="live"),
        ]
        for row in pane.rows:
            lines += card_lines(pool, pool.at(NOW), row, NOW, cells, context)
        lines += empty_lines(snapshot, "", only_problems=True)
        assert [plain(line) for line in lines if not plain(line).isascii()] == []


# --- what panes say ----------------------------------------------------------------------------------------


def test_a_pane_title_counts_what_its_rows_show(snapshot: HomeSnapshot) -> None:
    """FS-64 at the level of text: header, rows and engine agree."""
    context = Context(UNICODE, snapshot.scrubber)
    for pool, pane in zip(snapshot.pools, pane_views(snapshot, NOW, context), strict=True):
        ready = len(pool.at(NOW).usable)
        assert pane.ready == ready == sum(row.kind.value in ("ready", "probing") for row in pane.rows)
        assert f"{ready}/{len(pool.rows)} ready" in plain(title(pane, NOW, UNICODE))
        assert pane.has_trouble is (ready < len(pool.rows))


def test_a_pool_without_a_ready_key_says_when_and_who_serves_meanwhile(home: Path) -> None:
    """The next one back, and the first hop of the chain that can."""
    write_store(
        home,
        {
            "openrouter": [a_key(**benched(until=NOW + 840))],
            "zai": [a_key(last_status="dead")],
            "gemini": keys("ggg001"),
        },
    )
    (home / "config.yaml").write_text(
        "fallback_providers: [{provider: zai, model: a}, {provider: gemini, model: b}]\n"
    )
    snapshot = a_reader(home).read()
    first, second, third = pane_views(snapshot, NOW, Context(UNICODE, snapshot.scrubber))
    assert plain(title(first, NOW, UNICODE)) == "openrouter  0/1 ready until 14:16:11, then 1 → gemini"
    assert plain(title(second, NOW, UNICODE)) == "zai  0/1 ready → gemini"
    assert "→" not in plain(title(third, NOW, UNICODE))


def test_an_unknown_strategy_is_marked(snapshot: HomeSnapshot) -> None:
    """It is shown as written, with a word about it."""
    panes = {pane.provider: pane for pane in pane_views(snapshot, NOW, Context(UNICODE, snapshot.scrubber))}
    assert panes["zai"].strategy == "quota_aware 鍵鍵鍵 (unknown)"
    assert panes["openrouter"].strategy == "random"
    assert "any of" in panes["openrouter"].note


def test_the_next_change_by_the_clock_is_known(home: Path) -> None:
    """The end of the bench, or the warning before a token's end, whichever comes first."""
    write_store(
        home,
        {
            "openrouter": [a_key("aaa001", **benched(until=NOW + 840))],
            "zai": [a_login(expires_at_ms=(NOW + 700) * 1000)],
            "gemini": keys("ggg001"),
        },
    )
    snapshot = a_reader(home).read()
    assert [pane.changes_at for pane in pane_views(snapshot, NOW, Context(UNICODE, snapshot.scrubber))] == [
        NOW + 840,
        NOW + 100,
        None,
    ]
