from __future__ import annotations

from pathlib import Path

import pytest

from fakes import NOW, FakeClock, a_key, a_login, a_reader, benched, keys, tree, write_store
from keydeck.engine.acts import Operator
from keydeck.engine.credential import Credential
from keydeck.engine.errors import ConfigBroken, Refused, StoreCorrupt
from keydeck.engine.snapshot import HomeReader, PoolSnapshot


def pool(reader: HomeReader, provider: str = "openrouter") -> PoolSnapshot:
    found = reader.read().pool(provider)
    assert found is not None
    return found


def labels(reader: HomeReader, provider: str = "openrouter") -> list[str]:
    return [row.label for row in pool(reader, provider).rows]


# --- order -------------------------------------------------------------------------------------------------


def test_pools_keep_the_order_of_the_file(home: Path) -> None:
    """The operator's order, then what the surroundings offer."""
    write_store(home, {"zai": keys("aaa001"), "anthropic": keys("bbb002"), "openrouter": []})
    snapshot = a_reader(home, DEEPSEEK_API_KEY="sk-real-0123").read()
    assert [pool.provider for pool in snapshot.pools] == ["zai", "anthropic", "deepseek"]


def test_rows_are_in_the_order_in_which_they_are_tried(home: Path) -> None:
    """By priority, file order among equals, broken rows last."""
    write_store(
        home,
        {
            "openrouter": [
                a_key("aaa001", "third", priority=5),
                5,
                a_key("bbb002", "first", priority=-1),
                a_key("ccc003", "second", priority=2.5),
                a_key("ddd004", "fourth", priority=5),
            ]
        },
    )
    assert labels(a_reader(home)) == ["first", "second", "third", "fourth", ""]


def test_the_strategy_of_a_pool_is_what_config_says(home: Path) -> None:
    """A known one is followed, an unknown one is shown and read as fill_first."""
    write_store(home, {"openrouter": keys("aaa001", "bbb002"), "zai": keys("ccc003")})
    (home / "config.yaml").write_text(
        "credential_pool_strategies: {openrouter: quota_aware, zai: least_used}\n"
    )
    reader = a_reader(home)
    assert (pool(reader).strategy, pool(reader).knows_strategy, pool(reader).followed_strategy) == (
        "quota_aware",
        False,
        "fill_first",
    )
    assert pool(reader, "zai").followed_strategy == "least_used"
    assert pool(reader).next_pick(pool(reader).at(NOW)) == "aaa001"


# --- troubles ----------------------------------------------------------------------------------------------


def test_the_last_good_view_stays_while_the_store_is_broken(home: Path) -> None:
    """Trouble is told beside the rows of before, with the time of that look, until a good read."""
    path = write_store(home, {"openrouter": keys("aaa001")})
    clock = FakeClock()
    reader = a_reader(home, clock=clock)
    good = reader.read()
    clock.forward(60)
    path.write_text("{")
    broken = reader.read()
    assert isinstance(broken.trouble, StoreCorrupt)
    assert broken.pools == good.pools
    assert broken.read_at == good.read_at == NOW
    write_store(home, {"openrouter": keys("aaa001", "bbb002")})
    mended = reader.read()
    assert mended.trouble is None
    assert mended.read_at == NOW + 60
    assert len(mended.pools[0].rows) == 2


def test_a_store_broken_from_the_start_shows_nothing_and_says_why(home: Path) -> None:
    """No rows, no time, one trouble."""
    write_store(home).write_text("[]")
    snapshot = a_reader(home).read()
    assert (snapshot.pools, snapshot.read_at, snapshot.exists) == ((), 0.0, False)
    assert isinstance(snapshot.trouble, StoreCorrupt)


def test_a_store_that_is_deleted_is_gone(home: Path) -> None:
    """A missing file is no trouble: it is an empty home."""
    path = write_store(home, {"openrouter": keys("aaa001")})
    reader = a_reader(home)
    reader.read()
    path.unlink()
    snapshot = reader.read()
    assert (snapshot.pools, snapshot.trouble, snapshot.exists) == ((), None, False)


def test_a_broken_config_keeps_strategies_and_endpoints_of_before(home: Path) -> None:
    """Nothing is concluded from a config.yaml that cannot be read."""
    write_store(home, {"openrouter": keys("aaa001")})
    config = home / "config.yaml"
    config.write_text(
        "credential_pool_strategies: {openrouter: random}\n"
        "custom_providers: [{name: M, base_url: 'https://m', api_key: sk-lit-0123}]\n"
        "fallback_providers: [{provider: zai, model: m}]\n"
    )
    reader = a_reader(home)
    good = reader.read()
    config.write_text("a: 1\nb: [}\n")
    broken = reader.read()
    assert isinstance(broken.config_trouble, ConfigBroken)
    assert broken.config_trouble.line == 2
    assert (broken.pools, broken.fallback) == (good.pools, good.fallback)
    assert broken.fallback == ("zai",)
    assert broken.trouble is None


def test_a_bad_pool_is_named_and_hides_no_other(home: Path) -> None:
    """A pool whose value is no list is told beside the pools that are."""
    write_store(home, {"zai": "x", "openrouter": keys("aaa001"), "nous": {"a": 1}})
    snapshot = a_reader(home).read()
    assert [pool.provider for pool in snapshot.pools] == ["openrouter"]
    assert set(snapshot.bad_pools) == {"zai", "nous"}


# --- secrets -----------------------------------------------------------------------------------------------


def test_two_rows_of_one_secret_are_duplicates(home: Path) -> None:
    """The later one points at the earlier one of its pool; other pools do not count."""
    twin = {"access_token": "sk-same-0123"}
    write_store(
        home,
        {
            "openrouter": [a_key("aaa001", **twin), a_key("bbb002"), a_key("ccc003", **twin)],
            "zai": [a_key("ddd004", **twin)],
        },
    )
    assert pool(a_reader(home)).twins() == {"ccc003": "aaa001"}
    assert pool(a_reader(home), "zai").twins() == {}


def test_a_key_typed_in_and_offered_is_a_duplicate(home: Path) -> None:
    """The same key as a row and in the environment is one account twice."""
    write_store(home, {"openrouter": [a_key("aaa001", access_token="sk-same-0123")]})
    reader = a_reader(home, OPENROUTER_API_KEY="sk-same-0123")
    offered = pool(reader).rows[1]
    assert pool(reader).twins() == {offered.id: "aaa001"}


def test_every_secret_of_the_home_is_known_to_the_scrubber(home: Path) -> None:
    """Rows, logins however deep, offers, and secrets under unknown names."""
    write_store(
        home,
        {
            "openrouter": [a_key(access_token="planted-row", x_token="planted-extra")],
            "nous": [a_login(agent_key="planted-agent")],
        },
        providers={
            "nous": {"access_token": "planted-login"},
            "openai-codex": {
                "tokens": {"refresh_token": "planted-deep", "deeper": {"id_token": "planted-deeper"}}
            },
        },
    )
    scrubber = a_reader(home, DEEPSEEK_API_KEY="planted-offer").read().scrubber
    text = " ".join(
        f"planted-{place}" for place in ("row", "extra", "agent", "login", "deep", "deeper", "offer")
    )
    assert scrubber.scrub_known(text) == " ".join(["***"] * 7)


def test_a_scrubber_is_kept_until_another_secret_comes(home: Path) -> None:
    """Counts and cooldowns come every second, and gathering what to look for in texts costs more than reading."""
    write_store(home, {"openrouter": [a_key("aaa001", access_token="planted-one")]})
    reader = a_reader(home)
    first = reader.read().scrubber
    write_store(home, {"openrouter": [a_key("aaa001", "renamed", access_token="planted-one")]})
    assert reader.read().scrubber is first
    write_store(home, {"openrouter": [a_key("aaa001", "renamed", access_token="planted-two")]})
    assert reader.read().scrubber.scrub_known("planted-one planted-two") == "planted-one ***"


def test_a_snapshot_prints_no_secret(home: Path) -> None:
    """Its repr may end in a log."""
    write_store(
        home,
        {"openrouter": [a_key(access_token="planted-row", x_token="planted-extra")]},
        providers={"nous": {"access_token": "planted-login"}},
    )
    assert "planted" not in repr(a_reader(home, DEEPSEEK_API_KEY="planted-offer").read())


# --- profiles ----------------------------------------------------------------------------------------------


@pytest.fixture
def worker(home: Path) -> Path:
    """Return the folder of a profile whose root has two pools."""
    write_store(
        home,
        {"openrouter": keys("aaa001", "bbb002"), "zai": [a_key("ccc003", **benched())]},
        active_provider="zai",
        suppressed_sources={"openrouter": ["env:OPENROUTER_API_KEY"]},
    )
    folder = home / "profiles" / "worker"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.usefixtures("worker")
def test_a_profile_shows_the_roots_rows_as_inherited(home: Path) -> None:
    """Provider by provider, as they stand in the root, and nothing is copied."""
    before = tree(home)
    snapshot = a_reader(home, profile="worker").read()
    assert [(pool.provider, pool.is_inherited, len(pool.rows)) for pool in snapshot.pools] == [
        ("openrouter", True, 2),
        ("zai", True, 1),
    ]
    assert snapshot.home.profile == "worker"
    assert not snapshot.exists
    assert tree(home) == before


def test_a_profiles_own_rows_hide_the_roots(home: Path, worker: Path) -> None:
    """For that provider alone; an empty list hides nothing."""
    write_store(worker, {"openrouter": keys("own001"), "zai": []})
    reader = a_reader(home, profile="worker")
    assert [(row.id, row.inherited) for row in pool(reader).rows] == [("own001", False)]
    assert [(row.id, row.inherited) for row in pool(reader, "zai").rows] == [("ccc003", True)]


@pytest.mark.usefixtures("worker")
def test_suppressions_are_not_inherited(home: Path) -> None:
    """What was removed in the root may be wanted in a profile (hermes-pool 1.2)."""
    reader = a_reader(home, profile="worker", OPENROUTER_API_KEY="sk-real-0123")
    assert "OPENROUTER_API_KEY" in labels(reader)
    assert "OPENROUTER_API_KEY" not in labels(a_reader(home, OPENROUTER_API_KEY="sk-real-0123"))


def test_a_broken_root_does_not_hide_the_profile(home: Path, worker: Path) -> None:
    """The root is a fallback: its trouble freezes what it showed, and is not the profile's."""
    write_store(worker, {"nous": [a_login()]})
    reader = a_reader(home, profile="worker")
    assert len(reader.read().pools) == 3
    (home / "auth.json").write_text("{")
    snapshot = reader.read()
    assert len(snapshot.pools) == 3
    assert snapshot.trouble is None


@pytest.mark.usefixtures("worker")
def test_an_inherited_bad_row_is_marked_too(home: Path) -> None:
    """It is the root's to mend."""
    write_store(home, {"openrouter": [a_key(priority="1")]})
    (row,) = pool(a_reader(home, profile="worker")).rows
    assert row.inherited
    assert not isinstance(row, Credential)


def test_the_roots_logins_show_through_too(home: Path, worker: Path) -> None:
    """Provider by provider (hermes-pool 1.2), as inherited offers that are not acted on here, and never printed."""
    codex = {"tokens": {"access_token": "planted-codex-1", "id_token": "planted-codex-2"}}
    write_store(
        home, providers={"openai-codex": codex, "xai-oauth": {"tokens": {"access_token": "xai-root"}}}
    )
    write_store(worker, providers={"xai-oauth": {"tokens": {"access_token": "own-xai-token-1"}}})
    snapshot = a_reader(home, profile="worker").read()
    rows = {pool.provider: pool.rows for pool in snapshot.pools}
    assert [(row.label, row.inherited) for row in rows["openai-codex"]] == [("device_code", True)]
    assert [(row.label, row.inherited) for row in rows["xai-oauth"]] == [("device_code", False)]
    assert snapshot.scrubber.scrub_known("planted-codex-1 planted-codex-2 own-xai-token-1") == "*** *** ***"
    acts = Operator(a_reader(home, profile="worker"))
    with pytest.raises(Refused, match="root profile"):
        acts.remove("openai-codex", rows["openai-codex"][0].id)


# --- watching ----------------------------------------------------------------------------------------------


def test_the_files_that_matter(home: Path, worker: Path) -> None:
    """The store comes first; in a profile the root's store matters too."""
    root, profile = a_reader(home), a_reader(home, profile="worker")
    assert root.watched_files()[0] == home / "auth.json"
    assert profile.watched_files()[0] == worker / "auth.json"
    assert {home / "config.yaml", home / ".env"} < set(root.watched_files())
    assert home / "auth.json" in profile.watched_files()
    assert set(profile.watched_folders()) == {home, worker}


def test_the_folder_behind_a_symlink_is_watched(tmp_path: Path) -> None:
    """The target is replaced there, and the link beside it stays."""
    write_store(tmp_path / "real")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "auth.json").symlink_to(tmp_path / "real" / "auth.json")
    assert set(a_reader(tmp_path / "home").watched_folders()) == {tmp_path / "home", tmp_path / "real"}
