from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from crowd import ACTS, a_crowd, check_nothing_is_lost, cooled, rows_at_first
from fakes import a_home, a_pool, around, keys, load_whole, write_store
from keydeck.engine.pool import CredentialPool
from keydeck.engine.snapshot import HomeReader

WORKERS, OPERATIONS = (int(part) for part in os.environ.get("KEYDECK_LOAD", "8x2000").split("x"))
"""How many processes do how much here; the full size is KEYDECK_LOAD=8x10000 and takes some minutes."""


@pytest.mark.timeout(180 if "KEYDECK_LOAD" not in os.environ else 3600)
def test_processes_that_use_report_and_act_at_once_lose_nothing(home: Path) -> None:
    """Counts equal what the workers kept, of removed rows too; every cooldown, rename, removal and added row holds."""
    with a_crowd(home, WORKERS, OPERATIONS) as (kept, _):
        pass
    assert kept.acts["add"] == kept.acts["remove"] == len(kept.added) == len(kept.removed)
    assert min(kept.acts[name] for name in ACTS) >= min(60, WORKERS * OPERATIONS // 250)
    with a_pool(home) as last:
        shown = {row.id: row for row in last.entries()}
    assert shown.keys() == {*rows_at_first(WORKERS), *kept.added} - kept.removed
    assert kept.labels.items() <= {row_id: row.label for row_id, row in shown.items()}.items()
    for row in (shown[cooled(number)] for number in range(WORKERS)):
        assert row.last_error_code == 402
        assert (row.last_error_reset_at or 0) > time.time() + 3600
    check_nothing_is_lost(home, kept, {row_id: row.request_count for row_id, row in shown.items()})
    rows = {row["id"]: row for row in load_whole(home)["credential_pool"]["openrouter"]}
    assert {row_id: row["request_count"] for row_id, row in rows.items()} == {
        row_id: row.request_count for row_id, row in shown.items()
    }
    assert {rows[cooled(number)]["last_error_code"] for number in range(WORKERS)} == {402}


def test_a_failure_in_one_process_is_obeyed_by_the_next_pick_of_every_other(home: Path) -> None:
    """With no write of auth.json in between, and by pools that have not told anything yet too."""
    write_store(home, {"openrouter": keys("aaa001", "bbb002")})
    before = (home / "auth.json").read_bytes()
    first, second, third = (CredentialPool("openrouter", a_reader_of(home)) for _ in range(3))
    assert [str(pool.select().id) for pool in (first, second) if pool] == ["aaa001", "aaa001"]  # type: ignore[union-attr]
    first.mark_exhausted_and_rotate(status_code=429)
    assert [pool.select().id for pool in (second, third)] == ["bbb002", "bbb002"]  # type: ignore[union-attr]
    assert (home / "auth.json").read_bytes() == before


def a_reader_of(home: Path) -> HomeReader:
    return HomeReader(a_home(home), around=around(home.parent))
