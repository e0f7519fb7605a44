"""The hour that the demo and the pictures open with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes import NOW, FakeClock
from keydeck.demo.past import HOUR_S, hour_before, write_scene_with_past
from keydeck.demo.scene import around, write_scene
from keydeck.engine.cooldown import ACCOUNT, Evidence
from keydeck.engine.credential import Credential
from keydeck.engine.events import (
    Configured,
    Edited,
    Event,
    Failed,
    Outside,
    Paused,
    Record,
    Removed,
    Succeeded,
    Used,
)
from keydeck.engine.home import locate_home
from keydeck.engine.snapshot import HomeReader
from keydeck.engine.state import HealthKind

STREAK, PROBED, PAUSED = "4411aa", "81ab03", "81ab06"


def demo_reader(home: Path) -> HomeReader:
    surroundings = around(home.parent)
    return HomeReader(locate_home(home, around=surroundings), around=surroundings, clock=FakeClock())


def rows_of(home: Path) -> dict[str, Any]:
    reader = demo_reader(home)
    snapshot = reader.read()
    reader.close()
    assert snapshot.trouble is None
    told = ("label", "priority", "request_count", "last_status", "last_status_at", "last_error_code")
    more = ("last_error_reason", "last_error_message", "last_error_reset_at")
    return {
        row.id: tuple(getattr(row, name) for name in (*told, *more)) if isinstance(row, Credential) else row
        for pool in snapshot.pools
        for row in pool.rows
    }


def told(home: Path) -> list[Record]:
    reader = demo_reader(home)
    records = [record for _, record in reader.store.history()]
    reader.close()
    return records


def events_of(home: Path, kind: type[Event]) -> list[Record]:
    return [record for record in told(home) if type(record.event) is kind]


def test_the_rows_are_those_of_the_scene(home: Path, tmp_path: Path) -> None:
    """With its past told, every key's label, place, count and state is what the frozen scene says, but for three."""
    write_scene_with_past(home, NOW)
    write_scene(tmp_path / "other" / "home", NOW)
    mine, frozen = rows_of(home), rows_of(tmp_path / "other" / "home")
    assert {row_id for row_id in mine if mine[row_id] != frozen.get(row_id)} == {STREAK, PROBED, PAUSED}
    assert frozen.keys() == mine.keys() - {PAUSED}


def test_one_sees_one_of_each(home: Path) -> None:
    """A bench with the provider's word, one of an account, a streak, a probe, work in flight, a limit, a pause."""
    write_scene_with_past(home, NOW)
    reader = demo_reader(home)
    pools = {pool.provider: pool.at(NOW) for pool in reader.read().pools}
    reader.close()
    states = {state.id: state for pool in pools.values() for state in pool.rows}
    streak = states[STREAK].health
    assert (streak.streak, streak.evidence, streak.until) == (4, Evidence.TABLE, NOW + 330)
    account = states["6b0f12"].health
    assert (account.scope, account.evidence) == (ACCOUNT, Evidence.PROVIDER)
    assert (states[PROBED].health.kind, states[PROBED].health.is_tried) == (HealthKind.PROBING, True)
    assert (states[PAUSED].health.kind, states[PAUSED].health.until) == (HealthKind.PAUSED, NOW + 19 * HOUR_S)
    assert [states[row_id].in_flight(NOW) for row_id in ("9c01d2", "5a90ee", "4411a9")] == [2, 1, 0]
    assert list(states["b7740e"].limits(NOW)) == ["claude-opus-5"]
    assert states["b7740e"].health.is_usable


def test_opening_it_finds_nothing_to_tell(home: Path) -> None:
    """Whoever opens the home learns nothing that the journal does not say: no second adoption, nothing outside."""
    write_scene_with_past(home, NOW)
    before = told(home)
    reader = demo_reader(home)
    reader.read()
    assert reader.store.checkpoint()
    reader.close()
    assert told(home) == before


def test_the_hour_holds_what_an_hour_holds(home: Path) -> None:
    """There are requests in nearly every minute, benches, returns, an outside change and acts, all in their order."""
    write_scene_with_past(home, NOW)
    records = told(home)
    assert [record.at for record in records] == sorted(record.at for record in records)
    assert records[0].at == NOW - HOUR_S
    reader = demo_reader(home)
    minutes = reader.store.totals().minutes
    assert len(minutes) >= 58
    assert sum(sum(minute.values()) for minute in minutes.values()) > 600
    for kind, least in (
        (Failed, 5),
        (Succeeded, 2),
        (Outside, 1),
        (Configured, 1),
        (Removed, 1),
        (Edited, 1),
        (Paused, 1),
    ):
        assert len(events_of(home, kind)) >= least, kind
    assert NOW - max(record.at for record in events_of(home, Used)) < 10


def test_a_key_is_paused_for_a_while(home: Path) -> None:
    """One shows how that looks: out until a time, and parked for hermes."""
    write_scene_with_past(home, NOW)
    pool = demo_reader(home).read().pool("custom:together.ai")
    assert pool is not None
    (row,) = (row for row in pool.at(NOW).rows if row.health.kind is HealthKind.PAUSED)
    assert (row.row.label, row.health.until) == ("reserve", NOW + 19 * HOUR_S)
    assert '"last_error_reason": "paused"' in (home / "auth.json").read_text()


def test_a_key_that_is_out_sends_nothing(home: Path) -> None:
    """Between a key's failure and its return no request is counted for it."""
    write_scene_with_past(home, NOW)
    out: set[str] = set()
    for record in told(home):
        match record.event:
            case Failed(ids=ids, scope="row" | "account") | Paused(ids=ids):
                out.update(ids)
            case Succeeded(ids=ids):
                out.difference_update(ids)
            case Outside(id=row_id, what="cleared"):
                out.discard(row_id)
            case Used(counts=counts):
                assert not out & counts.keys(), record


def test_the_same_moment_gives_the_same_hour(home: Path, tmp_path: Path) -> None:
    """Two homes of one moment hold the same records but for what Keydeck itself writes down; another seed does not."""
    others = (tmp_path / "two" / "home", tmp_path / "three" / "home")
    for place, seed in zip((home, *others), (7, 7, 8), strict=True):
        write_scene_with_past(place, NOW, seed)
    names = ("agent-coder", "agent-research", "agent-batch", "operator")
    mine, same, other = (
        [record for record in told(place) if record.writer in names] for place in (home, *others)
    )
    assert mine == same
    assert mine != other


@pytest.mark.parametrize("seed", range(20))
def test_no_seed_takes_more_than_there_is(seed: int, home: Path) -> None:
    """Whatever the seed, no key has sent more in the hour than it ever did."""
    import json

    write_scene(home, NOW)
    pools = json.loads((home / "auth.json").read_text())["credential_pool"]
    sent: dict[str, int] = {}
    for moment in hour_before(pools, NOW, seed):
        if isinstance(moment.event, Used):
            for row_id, number in moment.event.counts.items():
                sent[row_id] = sent.get(row_id, 0) + number
    counts = {row["id"]: row["request_count"] for rows in pools.values() for row in rows}
    assert all(number <= counts[row_id] for row_id, number in sent.items())


def test_no_secret_of_the_demo_is_in_its_journal(home: Path) -> None:
    """Even invented keys stay out of the journal and the checkpoint."""
    write_scene_with_past(home, NOW)
    texts = "".join(path.read_text() for path in (home / "keydeck").iterdir() if path.is_file())
    assert "opens-nothing" not in texts
    assert "demo-refresh" not in texts
