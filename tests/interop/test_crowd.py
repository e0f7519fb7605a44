"""A crowd of our processes and one hermes that loaded its pool before them, and writes back what it knew then."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest

from crowd import a_crowd, check_nothing_is_lost, cooled, rows_at_first
from fakes import a_home, load_whole
from interop.conftest import Another
from interop.hermes import seconds_until
from interop.scenes import a_reader_of
from keydeck.engine.events import Outside
from keydeck.engine.file_store import FileStore
from keydeck.engine.pool import CredentialPool

pytestmark = pytest.mark.interop

WORKERS, OPERATIONS = (int(part) for part in os.environ.get("KEYDECK_LOAD", "4x1000").split("x"))
MARKS = 6
ITS = [f"eeee{number:02x}" for number in range(MARKS + 1)]
"""The rows that hermes benches, one a mark; ours report nothing but successes on them."""


def told_outside(home: Path) -> list[Outside]:
    events = (record.event for _, record in FileStore(a_home(home)).history())
    return [event for event in events if isinstance(event, Outside)]


def wait_for_more(home: Path, is_done: Callable[[], bool]) -> None:
    """Wait until the crowd has told some more."""
    began, before = monotonic(), told_bytes(home)
    more = OPERATIONS * 8
    seconds_until(
        lambda: is_done() or told_bytes(home) > before + more, since=began, within_s=600, what="more is told"
    )


def told_bytes(home: Path) -> int:
    return sum(path.stat().st_size for path in (home / "keydeck").glob("journal-*"))


@pytest.mark.timeout(180 if "KEYDECK_LOAD" not in os.environ else 3600)
def test_a_hermes_in_the_crowd_takes_nothing_away(another: Another, home: Path) -> None:
    """Our counts stay exact, its benches are taken, and what each of its writes spoils is told and healed once."""
    with a_crowd(home, WORKERS, OPERATIONS, *ITS) as (kept, is_done):
        hermes = another()
        hermes.ask("load", provider="openrouter")
        for row_id in ITS[:MARKS]:
            wait_for_more(home, is_done)
            hermes.ask("mark", name="openrouter", code=402, key=f"sk-test-{row_id}-secret")
        assert not is_done()
    with CredentialPool("openrouter", a_reader_of(home)) as pool:
        pool._store.checkpoint()
    outside = told_outside(home)
    hermes.ask("mark", name="openrouter", code=402, key=f"sk-test-{ITS[MARKS]}-secret")
    spoilt = {row["id"]: row for row in load_whole(home)["credential_pool"]["openrouter"]}
    assert {spoilt[cooled(number)]["last_error_code"] for number in range(WORKERS)} == {None}
    assert kept.removed & spoilt.keys()
    pool._store.checkpoint()
    last = told_outside(home)[len(outside) :]
    assert len(last) > WORKERS
    assert max(Counter((event.id, event.what) for event in last).values()) == 1
    pool._store.checkpoint()
    assert told_outside(home)[len(outside) :] == last
    rows = {row["id"]: row for row in load_whole(home)["credential_pool"]["openrouter"]}
    assert rows.keys() == {*rows_at_first(WORKERS), *ITS, *kept.added} - kept.removed
    assert kept.labels.items() <= {row_id: row["label"] for row_id, row in rows.items()}.items()
    assert {rows[cooled(number)]["last_error_code"] for number in range(WORKERS)} == {402}
    assert {rows[row_id]["last_error_code"] for row_id in ITS} == {402}
    check_nothing_is_lost(home, kept, {row_id: row["request_count"] for row_id, row in rows.items()})
    healed = Counter(event.id for event in outside if event.what.startswith("lost"))
    assert max(healed.values(), default=0) <= MARKS
