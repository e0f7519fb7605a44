"""Benches end by the clock, and every reader of the file agrees on when (demand 2.1, 2.8)."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from fakes import NOW, FakeClock, a_key, a_pool, a_reader, benched, load, tree, write_store
from keydeck.present.glyphs import UNICODE
from keydeck.present.listing import list_lines, listing
from keydeck.present.panes import pane_views, title
from keydeck.present.rows import Context, columns, row_line
from keydeck.present.spans import plain


def drawn(home: Path, now: float) -> list[str]:
    """Return the lines of the only pool at a moment, from one read of the files."""
    snapshot = a_reader(home).read()
    (pane,) = pane_views(snapshot, now, Context(UNICODE, snapshot.scrubber))
    return [plain(row_line(row, columns(100, 12), now, UNICODE)) for row in pane.rows]


class TestFS05ExpiryNeedsNoRestart:
    """A cooldown that ended twenty minutes ago keeps nobody out."""

    def test_fs_05_the_next_selection_takes_the_row(self, home: Path) -> None:
        """A pool that was opened during the bench selects the row after it, with no event and no write."""
        write_store(home, {"openrouter": [a_key("aaa001", **benched(429, ago=60, until=NOW + 60))]})
        clock = FakeClock()
        pool = a_pool(home, clock=clock)
        before = tree(home)
        assert pool.select() is None
        clock.forward(60 + 20 * 60)
        chosen = pool.select()
        assert chosen is not None
        assert chosen.id == "aaa001"
        assert tree(home) == before

    def test_fs_05_the_row_shows_ready_and_no_countdown_below_zero(self, home: Path) -> None:
        """The same snapshot draws the row ready from its end on; at the end itself nothing negative is shown."""
        write_store(home, {"openrouter": [a_key("aaa001", **benched(429, ago=60, until=NOW + 60))]})
        (cooling,) = drawn(home, NOW + 59.5)
        assert "1s 429" in cooling
        for later, sign, word in ((60, "◔", "probing"), (60 + 20 * 60, "●", "ready"), (10**9, "●", "ready")):
            (line,) = drawn(home, NOW + later)
            assert f"{sign} key-aaa001" in line
            assert f" {word}" in line
            assert "429" not in line
            assert "0s" not in line


class TestFS09MillisecondsAndIso:
    """One instant, written in every way a file may hold it, is one instant to every reader."""

    WAYS: tuple[Any, ...] = (
        NOW + 900,
        (NOW + 900) * 1000,
        "2026-11-08T14:17:11Z",
        "2026-11-08T15:17:11+01:00",
        "2026-11-08T14:17:11",
        str(NOW + 900),
    )

    def test_fs_09_availability_display_and_json_agree(self, home: Path) -> None:
        """Before the instant all rows are out until it; from the instant on all are ready."""
        write_store(
            home,
            {
                "openrouter": [
                    a_key(f"row{n:03}", **benched(429, until=way)) for n, way in enumerate(self.WAYS)
                ]
            },
        )
        snapshot = a_reader(home).read()
        (pool,) = listing(snapshot, NOW)["pools"]
        assert [row["until"] for row in pool["credentials"]] == [NOW + 900] * len(self.WAYS)
        assert pool["next_ready_at"] == NOW + 900
        assert sum("15m00s" in line for line in drawn(home, NOW)) == len(self.WAYS)
        clock = FakeClock(NOW + 899)
        agent = a_pool(home, clock=clock)
        assert agent.select() is None
        clock.forward(1)
        assert agent.select() is not None
        assert len(snapshot.pools[0].at(NOW + 900).usable) == len(self.WAYS)

    def test_fs_09_the_start_of_a_bench_may_be_written_in_any_way_too(self, home: Path) -> None:
        """`last_status_at` as seconds, milliseconds or ISO gives the same end."""
        starts = (NOW - 600, (NOW - 600) * 1000, "2026-11-08T13:52:11Z", "2026-11-08T13:52:11")
        write_store(
            home,
            {
                "openrouter": [
                    a_key(f"row{n:03}", last_status="exhausted", last_status_at=at)
                    for n, at in enumerate(starts)
                ]
            },
        )
        (pool,) = listing(a_reader(home).read(), NOW)["pools"]
        assert [(row["since"], row["until"]) for row in pool["credentials"]] == [(NOW - 600, NOW + 3000)] * 4

    def test_fs_09_a_naive_time_is_the_machines_own(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As in hermes, and the same in list, engine and JSON."""
        monkeypatch.setenv("TZ", "America/New_York")
        time.tzset()
        write_store(home, {"openrouter": [a_key(**benched(429, until="2026-11-08T09:17:11"))]})
        (pool,) = listing(a_reader(home).read(), NOW)["pools"]
        assert pool["next_ready_at"] == NOW + 900

    def test_fs_09_the_file_keeps_its_own_way_of_writing(self, home: Path) -> None:
        """Reading converts; writing another field of the row does not rewrite the time."""
        write_store(home, {"openrouter": [a_key("aaa001", **benched(429, until="2026-11-08T14:17:11Z"))]})
        pool = a_pool(home, clock=FakeClock(NOW + 900))
        pool.select()
        pool.mark_used()
        pool.close()
        (row,) = load(home)["credential_pool"]["openrouter"]
        assert (row["last_error_reset_at"], row["request_count"]) == ("2026-11-08T14:17:11Z", 2)


class TestFS16ExhaustedWithoutATime:
    """One rule, the same in list and engine: a bench that names no time is over."""

    @pytest.mark.parametrize("at", [None, ..., "", 0, -5, "soon", float("nan"), float("inf"), True, []])
    def test_fs_16_such_a_row_is_ready_everywhere(self, home: Path, at: Any) -> None:
        """Listed as ready and selected; never a crash, never an endless bench."""
        write_store(
            home,
            {
                "openrouter": [
                    a_key("aaa001", last_status="exhausted", last_status_at=at, last_error_code=429)
                ]
            },
        )
        snapshot = a_reader(home).read()
        (pool,) = json.loads(json.dumps(listing(snapshot, NOW), allow_nan=False))["pools"]
        assert (pool["credentials"][0]["health"], pool["ready"]) == ("ready", 1)
        assert " ready" in list_lines(snapshot, NOW)[1]
        chosen = a_pool(home).select()
        assert chosen is not None
        assert chosen.id == "aaa001"


class TestFS62TheClockDrivesTheCountdown:
    """What is drawn is computed from the deadline at the moment of drawing."""

    def test_fs_62_thirty_seconds_later_there_are_thirty_fewer(self, home: Path) -> None:
        """Ninety seconds become sixty with no file event, in the row and the list, from one snapshot; when it ends stays what it is."""
        write_store(home, {"openrouter": [a_key("aaa001", **benched(429, ago=0, until=NOW + 90))]})
        snapshot = a_reader(home).read()
        context = Context(UNICODE, snapshot.scrubber)
        (pane,) = pane_views(snapshot, NOW, context)
        seen = []
        for passed in (0, 30, 89, 90):
            line = plain(row_line(pane.rows[0], columns(100, 12), NOW + passed, UNICODE))
            seen.append(next(word for word in line.split() if word.endswith("s") and word[0].isdigit()))
            head = plain(title(pane, NOW + passed, UNICODE))
            assert head == "openrouter  0/1 ready until 14:03:41, then 1"
        assert seen == ["1m30s", "1m00s", "1s", "0s"]
        head, line, *_ = list_lines(snapshot, NOW + 30)
        assert "0 of 1 ready until 14:03:41, then 1" in head
        assert "until 14:03:41 (1m00s left)" in line

    def test_fs_62_the_bar_grows_with_the_elapsed_share(self, home: Path) -> None:
        """Empty at the start, half in the middle, full at the end, and never longer or shorter than its column."""
        write_store(home, {"openrouter": [a_key("aaa001", **benched(429, ago=0, until=NOW + 120))]})
        lines = [drawn(home, NOW + passed)[0] for passed in (0, 60, 119.9)]
        assert [line.count("━") for line in lines] == [0, 6, 11]
        assert len({len(line) for line in lines}) == 1
