from __future__ import annotations

from pathlib import Path

import pytest

from fakes import NOW, a_key, a_reader, benched, write_store
from keydeck.engine.snapshot import HomeSnapshot
from keydeck.engine.state import pool_state
from keydeck.present.detail import fact_lines, identity
from keydeck.present.glyphs import ASCII, UNICODE, Glyphs
from keydeck.present.panes import PaneView, pane_views
from keydeck.present.rows import Context, columns, row_line
from keydeck.present.spans import line_width, plain

SAME = "sk-the-very-same-key"


@pytest.fixture
def snapshot(home: Path) -> HomeSnapshot:
    rows = [
        a_key("aaa001", "first", access_token=SAME, request_count=30),
        a_key("aaa002", "second", access_token=SAME, priority=1, request_count=12),
        a_key("aaa003", "lone", priority=2, **benched(429, until=NOW + 100)),
    ]
    write_store(home, {"openrouter": rows})
    return a_reader(home).read()


def view(snapshot: HomeSnapshot, *, masked: bool = False) -> PaneView:
    return pane_views(snapshot, NOW, Context(UNICODE, snapshot.scrubber, masked=masked))[0]


@pytest.mark.parametrize(("glyphs", "sign"), [(UNICODE, "≡"), (ASCII, "&")])
def test_rows_with_one_secret_have_a_sign(snapshot: HomeSnapshot, glyphs: Glyphs, sign: str) -> None:
    """Behind the name of each of them, and of no other."""
    at = columns(80, 12)
    lines = [plain(row_line(row, at, NOW, glyphs)) for row in view(snapshot).rows]
    assert [f" {sign}" in line for line in lines] == [True, True, False]
    assert all(line_width(row_line(row, at, NOW, glyphs)) == 80 for row in view(snapshot).rows)


def test_their_requests_are_counted_together(snapshot: HomeSnapshot) -> None:
    """One credential, one count: what was sent with either of them."""
    assert [row.requests for row in view(snapshot).rows] == ["42", "42", "0"]
    assert view(snapshot).rows[1].word == "ready, same key as first"


def test_the_detail_names_the_others(snapshot: HomeSnapshot) -> None:
    """And says what it means; while names are hidden by their places."""
    (pool,) = snapshot.pools
    state = pool_state(pool.provider, pool.rows, NOW)

    def facts(masked: bool, place: int) -> str:
        context = Context(UNICODE, snapshot.scrubber, masked=masked)
        return "\n".join(plain(line) for line in fact_lines(identity(pool, state.rows[place], context), 100))

    assert "same key    as second: one key, counted and benched together" in facts(False, 0)
    assert "requests    42, rank 1 of 3" in facts(False, 1)
    assert "as key 1: one key" in facts(True, 1)
    assert "same key" not in facts(False, 2)


@pytest.mark.parametrize("cells", [3, 8, 40])
def test_a_row_changed_outside_has_a_sign(snapshot: HomeSnapshot, cells: int) -> None:
    """The sign stands where there is room for it beside a name, and takes no cell from other columns."""
    row = view(snapshot).rows[0]
    at = columns(26 + cells, 3)
    line = row_line(row, at, NOW, UNICODE, is_outside=True)
    assert line_width(line) == 26 + cells
    assert ("≡Δ" in plain(line)) is (at.label > 5)
