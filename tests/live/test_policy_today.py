from __future__ import annotations

from pathlib import Path

from fakes import NOW, FakeClock, a_reader, keys, write_store
from keydeck.engine.cooldown_edit import entry_of
from keydeck.engine.cooldown_policy import DEFAULT_POLICY, Change
from keydeck.engine.cooldown_preview import Preview, Tally
from keydeck.engine.events import Failed, Used
from keydeck.engine.snapshot import HomeReader
from keydeck.engine.state import HealthKind
from keydeck.live.policy_today import Today, midnight

POOL = "openrouter"
NONE = entry_of("429").put(DEFAULT_POLICY, Change(wait_s=0))
DAY = midnight(NOW)


def told(home: Path, *failures: float) -> HomeReader:
    """Return a reader of a home in whose journal a key failed at these times."""
    write_store(home, {POOL: keys("aaa001", "aaa002")})
    clock = FakeClock()
    reader = a_reader(home, clock=clock)
    reader.read()
    for at in failures:
        clock.now = at
        reader.store.count("aaa002")
        reader.store.append(Failed(ids=("aaa001",), provider=POOL, code=429))
        reader.store.append(Used(counts={"aaa002": 1}))
    clock.now = NOW
    return reader


def preview(reader: HomeReader) -> Preview:
    snapshot = reader.read()
    return Today.read(reader, NOW).preview(snapshot, NONE, NOW)


def test_the_day_is_read_from_the_journal(home: Path) -> None:
    """Failures since midnight are counted, those of yesterday are not, and what stands now is compared."""
    found = preview(told(home, DAY - 50_000, DAY + 3600, NOW - 20))
    assert found.since == DAY
    assert found.tallies == (Tally(POOL, 2, gone=2, before_s=80.0),)
    (shift,) = found.shifts
    assert (shift.before.id, shift.before.health.until) == ("aaa001", NOW + 40)
    assert shift.after.health.kind is HealthKind.READY


def test_a_home_without_a_journal_has_no_past(home: Path) -> None:
    """Nothing is counted, and looking makes no journal."""
    write_store(home, {POOL: keys("aaa001")})
    reader = a_reader(home)
    assert preview(reader) == Preview(DAY)
    assert not (home / "keydeck").exists()


def test_rows_of_the_root_are_counted_by_its_journal(home: Path) -> None:
    """A profile that shows them previews its own policy on what happened to them there."""
    reader = told(home, NOW - 20)
    reader.close()
    (home / "profiles" / "work").mkdir(parents=True)
    write_store(home / "profiles" / "work")
    found = preview(a_reader(home, profile="work"))
    assert [tally.provider for tally in found.tallies] == [POOL]
    assert [shift.before.id for shift in found.shifts] == ["aaa001"]
