"""Where keys come from, where they go, and which store is meant (demand 2.7)."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from fakes import a_key, a_login, a_pool, a_reader, benched, keys, load, tree, write_store
from keydeck.engine.acts import Operator
from keydeck.engine.credential import Credential
from keydeck.engine.errors import Refused, TargetError
from keydeck.engine.pool import CredentialPool
from keydeck.engine.pool_config import get_custom_provider_pool_key
from keydeck.engine.secret import Secret
from keydeck.engine.targets import resolve_target

KEY = "sk-env-0123456789"
ENV: dict[str, Any] = {"OPENROUTER_API_KEY": KEY}


def sources(home: Path, provider: str = "openrouter", **env: Any) -> list[str]:
    pool = a_reader(home, **env).read().pool(provider)
    return [getattr(row, "source", "") for row in pool.rows] if pool else []


class TestFS56EnvKeyRemoved:
    """A key from the environment that was removed stays out."""

    def test_fs_56_it_does_not_come_back_with_the_next_load(self, home: Path) -> None:
        """Stored or only offered, in `.env` or exported: every later view is without it, and it is said why."""
        write_store(
            home,
            {
                "openrouter": [
                    a_key("aaa001"),
                    a_key("bbb002", source="env:OPENROUTER_API_KEY", access_token=...),
                ]
            },
        )
        (home / ".env").write_text(f"OPENROUTER_API_KEY={KEY}\nOTHER=1\n")
        done = Operator(a_reader(home, **ENV)).remove("openrouter", "bbb002")
        assert sources(home, **ENV) == ["manual"]
        assert sources(home) == ["manual"]
        assert a_pool(home, **ENV).entries()[0].id == "aaa001"
        assert (home / ".env").read_text() == "OTHER=1\n"
        text = " ".join(done.notes)
        assert "still set in the environment" in text
        assert "keydeck auth add openrouter" in text

    def test_fs_56_an_offer_is_removed_the_same_way(self, home: Path) -> None:
        """Although there was no row to take out."""
        reader = a_reader(home, **ENV)
        (offer,) = reader.read().pools[0].rows
        Operator(reader).remove("openrouter", offer.id)
        assert sources(home, **ENV) == []
        assert load(home)["suppressed_sources"] == {"openrouter": ["env:OPENROUTER_API_KEY"]}

    def test_fs_56_adding_a_key_lifts_it(self, home: Path) -> None:
        """The operator wants keys of this provider again."""
        reader = a_reader(home, **ENV)
        (offer,) = reader.read().pools[0].rows
        Operator(reader).remove("openrouter", offer.id)
        Operator(reader).add_key("openrouter", Secret("sk-new-0123456789"))
        assert sources(home, **ENV) == ["manual", "env:OPENROUTER_API_KEY"]


class TestFS57SiblingRemoval:
    """Removing one of several rows of a source removes that one."""

    @pytest.mark.parametrize(
        ("provider", "source"),
        [
            ("openai-codex", "manual:device_code"),
            ("openai-codex", "device_code"),
            ("anthropic", "claude_code"),
            ("openrouter", "manual"),
        ],
    )
    def test_fs_57_two_of_three_remain_and_the_source_is_not_silenced(
        self, home: Path, provider: str, source: str
    ) -> None:
        """Nothing is suppressed and no login block is dropped while a sibling lives of it."""
        block = {"openai-codex": {"tokens": {"access_token": "t"}}}
        write_store(
            home,
            {provider: [a_login(row_id, source=source) for row_id in ("aaa001", "bbb002", "ccc003")]},
            providers=block,
        )
        Operator(a_reader(home)).remove(provider, "bbb002")
        document = load(home)
        assert [row["id"] for row in document["credential_pool"][provider]] == ["aaa001", "ccc003"]
        assert not document.get("suppressed_sources")
        assert document["providers"] == block
        shown = a_reader(home).read().pool(provider)
        assert shown is not None
        assert [row.id for row in shown.rows if isinstance(row, Credential) and row.stored] == [
            "aaa001",
            "ccc003",
        ]

    def test_fs_57_the_last_of_them_silences_the_source(self, home: Path) -> None:
        """Otherwise it would come back."""
        write_store(
            home,
            {"openai-codex": [a_login("aaa001", source="device_code")]},
            providers={"openai-codex": {"tokens": {"access_token": "t"}}},
        )
        Operator(a_reader(home)).remove("openai-codex", "aaa001")
        assert load(home)["suppressed_sources"] == {"openai-codex": ["device_code"]}
        assert load(home)["providers"] == {}
        assert sources(home, "openai-codex") == []


class TestFS58RowNumbersMove:
    """What is acted on is the row that was seen, wherever it has moved to."""

    def test_fs_58_the_row_that_was_second_when_drawn_is_the_one_removed(self, home: Path) -> None:
        """Hermes' round robin shuffles priorities between the look and the key press."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002", "ccc003")})
        reader = a_reader(home)
        pool = reader.read().pool("openrouter")
        assert pool is not None
        seen = resolve_target(pool.rows, "2")
        write_store(home, {"openrouter": keys("bbb002", "ccc003", "aaa001")})
        done = Operator(reader).remove("openrouter", seen.id)
        assert "key-bbb002" in done.text
        assert [row["id"] for row in load(home)["credential_pool"]["openrouter"]] == ["ccc003", "aaa001"]

    @pytest.mark.parametrize("act", ["remove", "reset"])
    def test_fs_58_a_row_that_is_gone_is_told_and_no_other_is_touched(self, home: Path, act: str) -> None:
        """Its place is somebody else's now."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002", "ccc003", **benched())})
        reader = a_reader(home)
        pool = reader.read().pool("openrouter")
        assert pool is not None
        seen = resolve_target(pool.rows, "2")
        write_store(home, {"openrouter": keys("aaa001", "ccc003", **benched())})
        before = tree(home)
        with pytest.raises(TargetError, match="bbb002"):
            getattr(Operator(reader), act)("openrouter", seen.id)
        assert {path: found for path, found in tree(home).items() if path != "auth.lock"} == before


def uses(pool: CredentialPool, key: str) -> bool:
    """Select until the pool hands out this key: other files than the store are looked at every 50 ms at most."""
    deadline = monotonic() + 5
    while monotonic() < deadline:
        row = pool.select()
        if row is not None and row.runtime_api_key == key:
            return True
    return False


class TestFS59ConfigKeyChanged:
    """A key replaced in config.yaml is the key that is used."""

    def config(self, home: Path, key: str) -> None:
        """Write an endpoint with this key."""
        home.mkdir(exist_ok=True)
        (home / "config.yaml").write_text(
            f"custom_providers: [{{name: Mine, base_url: 'https://m/v1', api_key: '{key}'}}]\n"
        )

    def test_fs_59_a_running_pool_takes_the_new_one(self, home: Path) -> None:
        """With a stored row of before and without; the row keeps its id and history."""
        self.config(home, "sk-old-0123456789")
        stored = a_key(
            "aaa001",
            source="config:Mine",
            access_token=...,
            request_count=7,
            secret_fingerprint="sha256:0000000000000000",
        )
        for pools in ({}, {"custom:mine": [stored]}):
            write_store(home, pools)
            self.config(home, "sk-old-0123456789")
            pool = a_pool(home, "custom:mine")
            assert uses(pool, "sk-old-0123456789")
            self.config(home, "sk-new-0123456789")
            assert uses(pool, "sk-new-0123456789")
            assert len(pool.entries()) == 1
        assert pool.entries()[0].id == "aaa001"
        assert pool.entries()[0].request_count > 7

    @pytest.mark.parametrize("placeholder", ["none", "changeme", "sk-...", "${UNSET}"])
    def test_fs_59_a_placeholder_blocks_nobody(self, home: Path, placeholder: str) -> None:
        """A row whose key is none is passed over, and says why; the pool's other key is used."""
        self.config(home, placeholder)
        write_store(
            home,
            {
                "custom:mine": [
                    a_key("aaa001", source="config:Mine", access_token=...),
                    a_key("bbb002", priority=1),
                ]
            },
        )
        pool = a_pool(home, "custom:mine")
        chosen = pool.select()
        assert chosen is not None
        assert chosen.id == "bbb002"
        assert pool.entries()[0].unset


class TestFS60SameUrlTwoNames:
    """A pool is its name, not its address."""

    CONFIG = """\
custom_providers:
  - {name: Team A, base_url: 'https://gateway/v1', api_key: sk-a-0123456789}
  - {name: Team B, base_url: 'https://gateway/v1', api_key: sk-b-0123456789}
"""

    def test_fs_60_each_name_uses_its_own_key(self, home: Path) -> None:
        """Two pools, two keys, one address."""
        home.mkdir()
        (home / "config.yaml").write_text(self.CONFIG)
        for name, key in (("custom:team-a", "sk-a-0123456789"), ("custom:team-b", "sk-b-0123456789")):
            (entry,) = a_pool(home, name).entries()
            assert (entry.runtime_api_key, entry.runtime_base_url) == (key, "https://gateway/v1")

    def test_fs_60_a_name_decides_where_an_address_cannot(self, home: Path) -> None:
        """The lookup that hermes' code uses finds the second too."""
        home.mkdir()
        (home / "config.yaml").write_text(self.CONFIG)
        place = a_reader(home).home
        assert get_custom_provider_pool_key("https://gateway/v1", "Team B", home=place) == "custom:team-b"
        assert get_custom_provider_pool_key("https://gateway/v1", home=place) == "custom:team-a"

    def test_fs_60_a_key_added_to_one_is_not_the_others(self, home: Path) -> None:
        """It lands in the pool that was named."""
        home.mkdir()
        (home / "config.yaml").write_text(self.CONFIG)
        Operator(a_reader(home)).add_key("team b", Secret("sk-c-0123456789"))
        assert list(load(home)["credential_pool"]) == ["custom:team-b"]
        assert len(a_pool(home, "custom:team-a").entries()) == 1


class TestFS61ProfileSelected:
    """What is done in a profile is done to that profile."""

    @pytest.fixture
    def worker(self, home: Path) -> Path:
        """Return the folder of a profile below a root with two keys."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002")})
        folder = home / "profiles" / "worker"
        folder.mkdir(parents=True)
        return folder

    def test_fs_61_an_added_key_lands_in_the_profile_alone(self, home: Path, worker: Path) -> None:
        """The root is untouched and none of its rows is copied; the profile now has its own."""
        before = (home / "auth.json").read_bytes(), (home / "auth.json").stat().st_mtime_ns
        done = Operator(a_reader(home, profile="worker")).add_key("openrouter", Secret("sk-new-0123456789"))
        assert [row["access_token"] for row in load(worker)["credential_pool"]["openrouter"]] == [
            "sk-new-0123456789"
        ]
        assert ((home / "auth.json").read_bytes(), (home / "auth.json").stat().st_mtime_ns) == before
        assert any("the root's no longer show here" in note for note in done.notes)
        assert [row.id for row in a_pool(home, profile="worker").entries()] == [done.credential_id]
        assert [row.id for row in a_pool(home).entries()] == ["aaa001", "bbb002"]

    def test_fs_61_the_active_profile_is_the_one_that_is_meant(self, tmp_path: Path) -> None:
        """Chosen in hermes, obeyed here."""
        from fakes import around
        from keydeck.engine.home import locate_home
        from keydeck.engine.snapshot import HomeReader

        root = tmp_path / "user" / ".hermes"
        write_store(root, {"openrouter": keys("aaa001")})
        (root / "profiles" / "worker").mkdir(parents=True)
        (root / "active_profile").write_text("worker")
        surroundings = around(tmp_path)
        before = (root / "auth.json").read_bytes()
        reader = HomeReader(locate_home(around=surroundings), around=surroundings)
        Operator(reader).add_key("openrouter", Secret("sk-new-0123456789"))
        assert (root / "auth.json").read_bytes() == before
        assert len(load(root / "profiles" / "worker")["credential_pool"]["openrouter"]) == 1

    @pytest.mark.usefixtures("worker")
    def test_fs_61_an_empty_profile_stays_empty(self, home: Path) -> None:
        """Looking, selecting, failing and being refused in it make no file there: it happens to the root's rows."""
        before = tree(home / "profiles")
        pool = a_pool(home, profile="worker")
        assert pool.select() is not None
        pool.mark_exhausted_and_rotate(status_code=429)
        assert pool.select() is not None
        acts = Operator(a_reader(home, profile="worker"))
        with pytest.raises(Refused, match="root profile"):
            acts.remove("openrouter", "aaa001")
        with pytest.raises(Refused, match="root profile"):
            acts.reset("openrouter")
        assert tree(home / "profiles") == before

    def test_fs_61_other_pools_of_the_root_still_show_through(self, home: Path, worker: Path) -> None:
        """A key of one's own for one provider hides nothing else."""
        write_store(home, {"openrouter": keys("aaa001"), "zai": keys("ccc003")})
        Operator(a_reader(home, profile="worker")).add_key("openrouter", Secret("sk-new-0123456789"))
        assert list(load(worker)["credential_pool"]) == ["openrouter"]
        assert a_pool(home, "zai", profile="worker").select() is not None
