"""Dead keys: one honest state without a countdown, through restarts, and a reminder when hermes drops them.

FS-54 and FS-55 of the collected demand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fakes import NOW, FakeClock, a_key, a_pool, a_reader, benched, keys, load_whole, tree, write_store
from keydeck.engine.acts import Operator
from keydeck.engine.credential import Row, VanishedRow
from keydeck.engine.errors import Refused
from keydeck.engine.events import Outside
from keydeck.engine.secret import Secret
from keydeck.engine.state import Health, HealthKind
from ui import running

POOL = "openrouter"
DAY = 86400.0
REVOKED = {"last_error_reason": "token_revoked", "last_error_message": "it was revoked"}
GONE = "removed by hermes after 24 h, log in again"


def dead(ago: float = DAY + 60) -> dict[str, Any]:
    return {**benched(401, ago=ago, **REVOKED), "last_status": "dead"}


def health(home: Path, row_id: str = "aaa001", at: float = NOW) -> Health:
    pool = a_reader(home).read().pool(POOL)
    assert pool is not None
    return next(row.health for row in pool.at(at).rows if row.id == row_id)


def rows(home: Path, provider: str = POOL) -> list[Row]:
    pool = a_reader(home).read().pool(provider)
    return list(pool.rows) if pool else []


def vanished(home: Path) -> list[str]:
    return [row.id for row in rows(home) if isinstance(row, VanishedRow)]


def sums_up(home: Path, clock: FakeClock | None = None) -> None:
    """Write what is known into the rows, as the next program that runs would."""
    with a_pool(home, clock=clock) as pool:
        pool.select()


def drop(home: Path, row_id: str = "aaa001") -> None:
    """Take a row out of the file, as another program does that has read it as it is."""
    document = load_whole(home)
    pool = document["credential_pool"][POOL]
    document["credential_pool"][POOL] = [row for row in pool if row["id"] != row_id]
    (home / "auth.json").write_text(json.dumps(document))


@pytest.fixture
def pruned(home: Path) -> Path:
    """Return a home from which hermes dropped a key that had been dead for a day."""
    write_store(home, {POOL: [a_key("aaa001", "old-login", **dead()), a_key("aaa002", priority=1)]})
    sums_up(home)
    drop(home)
    return home


class TestRevoked:
    """FS-54."""

    def test_it_is_dead_at_once_and_stays_so(self, home: Path) -> None:
        """One 401 that says revoked, no countdown, the same in another process and after any time."""
        write_store(home, {POOL: keys("aaa001", "aaa002")})
        with a_pool(home) as pool:
            assert pool.select()
            following = pool.mark_exhausted_and_rotate(
                status_code=401, error_context={"reason": "token_revoked"}
            )
            assert following is not None
            assert following.id == "aaa002"
        for moment in (NOW, NOW + 3600, NOW + 30 * DAY):
            state = health(home, at=moment)
            assert (state.kind, state.until) == (HealthKind.NEEDS_LOGIN, None)
        with a_pool(home, clock=FakeClock(NOW + 30 * DAY)) as pool:
            chosen = pool.select()
            assert chosen is not None
            assert chosen.id == "aaa002"


class TestPruned:
    """FS-55."""

    def test_a_reminder_is_left(self, pruned: Path) -> None:
        """Who only looks sees it before anybody told of it, and it is there for every process after that."""
        before = tree(pruned)
        assert health(pruned) == Health(HealthKind.NEEDS_LOGIN, since=NOW - DAY - 60, why=GONE)
        assert tree(pruned) == before
        sums_up(pruned)
        sums_up(pruned, FakeClock(NOW + 90 * DAY))
        (left,) = (row for row in rows(pruned) if isinstance(row, VanishedRow))
        assert (left.provider, left.label, left.vanished_at) == (POOL, "old-login", NOW)
        assert left.status.message == "it was revoked"
        told = [record.event for _, record in a_reader(pruned).store.history()]
        assert [event.what for event in told if isinstance(event, Outside)] == ["removed"]

    def test_no_secret_is_kept_of_it(self, pruned: Path) -> None:
        """Neither the journal nor a checkpoint holds what the key was."""
        sums_up(pruned)
        files = [path for path in pruned.rglob("*") if path.is_file() and "backups" not in path.parts]
        assert files
        assert not [path for path in files if b"sk-test-aaa001" in path.read_bytes()]

    def test_no_pool_picks_it(self, pruned: Path) -> None:
        """It is a reminder, and no row of the pool."""
        with a_pool(pruned) as pool:
            assert [row.id for row in pool.entries()] == ["aaa002"]

    def test_it_is_there_even_when_it_was_the_last_one(self, home: Path) -> None:
        """A pool that hermes emptied is shown with what it had."""
        write_store(home, {POOL: [a_key("aaa001", **dead())]})
        Operator(a_reader(home)).edit(POOL, "aaa001", label="old-login")
        drop(home)
        assert vanished(home) == ["aaa001"]

    def test_a_key_that_was_well_leaves_none(self, home: Path) -> None:
        """What another program removes otherwise was its operator's wish; ours too leaves nothing."""
        write_store(home, {POOL: [*keys("aaa001", "aaa002"), a_key("aaa003", priority=2, **dead(60))]})
        sums_up(home)
        drop(home)
        Operator(a_reader(home)).remove(POOL, "aaa003")
        assert [row.id for row in rows(home)] == ["aaa002"]

    def test_one_that_was_dropped_earlier_is_not_laid_at_hermes_door(self, home: Path) -> None:
        """Before its day is over it was somebody else."""
        write_store(home, {POOL: [a_key("aaa001", **dead(60))]})
        Operator(a_reader(home)).edit(POOL, "aaa001", label="old-login")
        drop(home)
        assert health(home).why == "removed by another program, log in again"

    @pytest.mark.parametrize("again", ["our label", "their label", "id"])
    def test_it_is_lifted_when_the_key_is_there_again(self, pruned: Path, again: str) -> None:
        """By us or another program under its label, or under its id."""
        sums_up(pruned)
        if again == "our label":
            Operator(a_reader(pruned)).add_key(POOL, Secret("sk-new-0123456789"), label="old-login")
        else:
            document = load_whole(pruned)
            row = a_key("aaa001", "another") if again == "id" else a_key("bbb001", "old-login")
            document["credential_pool"][POOL].append(row)
            (pruned / "auth.json").write_text(json.dumps(document))
        assert vanished(pruned) == []
        sums_up(pruned)
        assert vanished(pruned) == []
        assert len(rows(pruned)) == 2

    def test_it_is_dismissed_and_brought_back(self, pruned: Path) -> None:
        """Removing it takes the reminder away for everybody, and the undo brings it back as it was."""
        operator = Operator(a_reader(pruned))
        (before,) = (row for row in rows(pruned) if isinstance(row, VanishedRow))
        done = operator.remove(POOL, "aaa001")
        assert done.text == "dismissed old-login (aaa001): openrouter has it no more"
        sums_up(pruned)
        assert vanished(pruned) == []
        assert done.undo is not None
        operator.undo(done.undo)
        sums_up(pruned)
        assert [row for row in rows(pruned) if isinstance(row, VanishedRow)] == [before]

    def test_nothing_else_can_be_done_to_it(self, pruned: Path) -> None:
        """Resetting, renaming, moving or pausing it is refused, and says what it is."""
        operator = Operator(a_reader(pruned))
        for act in (operator.reset, operator.pause, operator.resume):
            with pytest.raises(Refused, match="removed by hermes after 24 h"):
                act(POOL, "aaa001")
        with pytest.raises(Refused, match="removed by hermes"):
            operator.edit(POOL, "aaa001", label="x")


class TestShown:
    """On screen."""

    async def test_the_dashboard_has_it(self, pruned: Path) -> None:
        """As a line of its pool, in what needs attention and in full; ``d`` dismisses it, ``u`` brings it back."""
        async with running(pruned, (200, 60)) as ui:
            ui.sees("openrouter  1/2 ready", "1 log in", "▲ old-login")
            assert "removed by hermes after 24 h, log in…" in ui.row("▲ old-login")
            ui.sees("openrouter / old-login  removed, log in again")
            await ui.press("j", "space")
            await ui.until(lambda: "it is removed by hermes after 24 h" in ui.text)
            assert len(ui.app.screen_stack) == 1
            await ui.press("enter")
            ui.sees("401 it was revoked", "log in again or press a for a new key; d takes this line away")
            await ui.press("escape", "d")
            await ui.until(lambda: "dismissed old-login" in ui.text)
            assert vanished(pruned) == []
            await ui.press("u")
            await ui.until(lambda: "is listed again" in ui.text)
            assert vanished(pruned) == ["aaa001"]
