from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes import NOW, a_key, a_reader, benched, keys, write_store
from keydeck.engine.claims import Lease, Probe
from keydeck.engine.credential import Credential
from keydeck.engine.snapshot import HomeSnapshot
from keydeck.live.pace import COUNTS_EVERY_S, Pace, only_counts


@pytest.fixture
def snapshot(home: Path) -> HomeSnapshot:
    write_store(home, {"openrouter": [*keys("aaa001", "aaa002"), a_key("bad001", priority="x")]})
    return a_reader(home).read()


def changed(snapshot: HomeSnapshot, place: int = 0, **fields: Any) -> HomeSnapshot:
    (pool,) = snapshot.pools
    rows = list(pool.rows)
    row = rows[place]
    assert isinstance(row, Credential)
    rows[place] = row._replace(**fields)
    return snapshot._replace(pools=(pool._replace(rows=tuple(rows)),), read_at=NOW + 5)


def test_counts_shown_a_moment_ago_wait(snapshot: HomeSnapshot) -> None:
    """The first count after a quiet time is shown at once, the next ones a few times a second."""
    pace = Pace()
    more = changed(snapshot, request_count=1)
    assert not pace.may_wait(snapshot, more, 100.0)
    assert pace.wait(100.0) is None
    pace.showed(100.0)
    assert pace.may_wait(more, changed(snapshot, request_count=2), 100.05)
    assert pace.wait(100.05) == pytest.approx(COUNTS_EVERY_S - 0.05)
    assert not pace.may_wait(more, changed(snapshot, request_count=3), 100.0 + COUNTS_EVERY_S)


@pytest.mark.parametrize(
    "fields",
    [
        benched(),
        {"label": "new"},
        {"priority": 7},
        {"request_count": 9, "last_status": "dead"},
        {"request_count": 9, "leases": {"one": Lease(NOW, 60.0)}},
        {"request_count": 9, "probe": Probe("me", NOW, (1, 2))},
    ],
)
def test_everything_else_is_shown_at_once(snapshot: HomeSnapshot, fields: dict[str, Any]) -> None:
    """A bench does not wait for the next round of counts, even with a count beside it."""
    pace = Pace()
    pace.showed(100.0)
    assert not pace.may_wait(snapshot, changed(snapshot, **fields), 100.01)


def test_what_differs_besides_rows_is_no_count(snapshot: HomeSnapshot) -> None:
    """Pools, strategies and the rows there are."""
    (pool,) = snapshot.pools
    assert only_counts(snapshot, changed(snapshot, request_count=3))
    assert not only_counts(snapshot, snapshot._replace(pools=()))
    assert not only_counts(snapshot, snapshot._replace(pools=(pool._replace(strategy="random"),)))
    assert not only_counts(snapshot, snapshot._replace(pools=(pool._replace(rows=pool.rows[:-1]),)))
    assert not only_counts(snapshot, snapshot._replace(exists=False))


def test_a_long_look_is_followed_by_a_rest() -> None:
    """A store that is rewritten all day must not keep a core busy; a short look costs no wait that anybody notices."""
    pace = Pace()
    pace.looked(100.0, 100.020)
    assert pace.breath(100.020) == pytest.approx(0.040)
    pace.looked(200.0, 201.0)
    assert pace.breath(201.0) == pytest.approx(0.05)
    assert pace.breath(202.0) == 0.0
