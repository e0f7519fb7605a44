from __future__ import annotations

import os
from pathlib import Path

import pytest

from fakes import FakeClock, a_home, a_key, a_pool, a_reader, benched, keys, load_whole, tree, write_store
from keydeck.engine.credential import Credential
from keydeck.engine.file_store import FileStore
from keydeck.engine.lookout import Lookout
from keydeck.engine.snapshot import HomeReader, HomeSnapshot


@pytest.fixture
def two_pools(home: Path) -> Path:
    write_store(home, {"openrouter": keys("aaa001", "aaa002"), "deepseek": keys("bbb001")})
    return home


def row(snapshot: HomeSnapshot, row_id: str) -> Credential:
    found = next(row for pool in snapshot.pools for row in pool.rows if row.id == row_id)
    assert isinstance(found, Credential)
    return found


def a_failure(home: Path) -> None:
    """Have an agent's request with the first key of openrouter fail."""
    pool = a_pool(home)
    pool.select()
    pool.mark_exhausted_and_rotate(status_code=429)
    pool._store.flush()


class Counted(HomeReader):
    """A reader that counts how often everything was read."""

    times = 0

    def read_with_rows(self):  # type: ignore[no-untyped-def]
        self.times += 1
        return super().read_with_rows()


def counted(home: Path) -> Counted:
    plain = a_reader(home)
    return Counted(plain.home, around=plain.around, clock=FakeClock())


def test_the_same_object_while_nothing_changes(two_pools: Path) -> None:
    """Who looks again is told by identity that there is nothing new, and nothing is parsed for it."""
    reader = counted(two_pools)
    lookout = Lookout(reader)
    first = lookout.look()
    lookout.look()
    read = reader.times
    assert lookout.look() is lookout.look()
    assert all(one is other for one, other in zip(lookout.look().pools, first.pools, strict=True))
    assert reader.times == read


def test_what_an_agent_tells_is_seen_without_parsing(two_pools: Path) -> None:
    """A use and a failure in the journal change that row; other rows and pools stay the same objects."""
    reader = counted(two_pools)
    lookout = Lookout(reader)
    lookout.look()
    before = lookout.look()
    a_failure(two_pools)
    lookout.look()  # the journal is new
    before = lookout.look()
    read = reader.times
    a_failure(two_pools)
    after = lookout.look()
    assert reader.times == read
    assert row(after, "aaa002").request_count == row(before, "aaa002").request_count + 1
    assert [row(after, name).last_status for name in ("aaa001", "aaa002")] == ["exhausted", "exhausted"]
    assert row(after, "aaa001") is row(before, "aaa001")
    assert row(after, "aaa002") is not row(before, "aaa002")
    assert after.pool("deepseek") is before.pool("deepseek")


def test_a_look_says_what_reading_everything_says(two_pools: Path) -> None:
    """Whatever happened, the rows are those that a fresh reader finds."""
    lookout = Lookout(a_reader(two_pools))
    for _ in range(3):
        lookout.look()
        a_failure(two_pools)
        assert [pool.rows for pool in lookout.look().pools] == [
            pool.rows for pool in a_reader(two_pools).read().pools
        ]


def test_a_checkpoint_of_somebody_else_is_not_parsed(two_pools: Path) -> None:
    """The rows on disk then say what the journal said before: the very same snapshot goes on."""
    reader = counted(two_pools)
    lookout = Lookout(reader)
    a_failure(two_pools)
    lookout.look()
    before, read = lookout.look(), reader.times
    store = FileStore(a_home(two_pools), clock=FakeClock())
    store.snapshot()
    assert store.checkpoint()
    assert "keydeck" in load_whole(two_pools)
    assert [pool.rows for pool in lookout.look().pools] == [pool.rows for pool in before.pools]
    store.close()
    assert reader.times == read


def test_a_replaced_store_keeps_the_rows_that_are_as_they_were(two_pools: Path) -> None:
    """One label changed by another program: one row and its pool are other objects."""
    lookout = Lookout(a_reader(two_pools))
    before = lookout.look()
    write_store(
        two_pools,
        {"openrouter": [a_key("aaa001"), a_key("aaa002", "new", priority=1)], "deepseek": keys("bbb001")},
    )
    after = lookout.look()
    assert row(after, "aaa002").label == "new"
    assert row(after, "aaa001") is row(before, "aaa001")
    assert after.pool("deepseek") is before.pool("deepseek")


def test_other_files_and_rights_are_looked_at_too(two_pools: Path) -> None:
    """A changed config.yaml is read; so is a store that may be read again."""
    lookout = Lookout(a_reader(two_pools))
    before = lookout.look()
    (two_pools / "config.yaml").write_text("credential_pool_strategies: {openrouter: random}\n")
    after = lookout.look()
    found = after.pool("openrouter")
    assert found is not None
    assert found.strategy == "random"
    assert found.rows == before.pools[0].rows
    os.chmod(two_pools / "auth.json", 0o640)
    assert lookout.look() is not after


def test_trouble_comes_and_goes(two_pools: Path) -> None:
    """What breaks is told with the last good rows, and what heals is seen."""
    lookout = Lookout(a_reader(two_pools))
    before = lookout.look()
    good = (two_pools / "auth.json").read_bytes()
    (two_pools / "auth.json").write_text("{")
    broken = lookout.look()
    assert broken.trouble is not None
    assert broken.pools == before.pools
    assert lookout.look().trouble is not None
    (two_pools / "auth.json").write_bytes(good)
    assert lookout.look().trouble is None


def test_rows_that_end_up_with_one_id_are_both_followed(home: Path) -> None:
    """A hand-made file may name two rows alike: neither takes the other's place."""
    twins = [a_key("aaa001", access_token="sk-one-0001"), a_key("aaa001", access_token="sk-two-0002")]
    write_store(home, {"openrouter": twins})
    lookout = Lookout(a_reader(home))
    a_failure(home)
    lookout.look()
    a_failure(home)
    assert lookout.look().pools[0].rows == a_reader(home).read().pools[0].rows


def test_a_profile_follows_the_roots_journal(home: Path) -> None:
    """Rows that show through from the root are benched here as soon as they are there."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    (home / "profiles" / "work").mkdir(parents=True)
    lookout = Lookout(a_reader(home, profile="work"))
    lookout.look()
    a_failure(home)
    lookout.look()
    a_failure(home)
    assert all(row.last_status == "exhausted" for row in lookout.look().pools[0].rows)  # type: ignore[union-attr]
    assert {folder.name for folder in lookout.journal_folders()} == {"keydeck"}
    assert len(set(lookout.journal_folders())) == 2


def test_following_writes_nothing(home: Path) -> None:
    """Neither looks at a quiet home, nor at one in which agents work, nor the end of it."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002", **benched())})
    a_failure(home)
    before = tree(home)
    lookout = Lookout(a_reader(home))
    for _ in range(3):
        lookout.look()
    lookout.reader.close()
    assert tree(home) == before
