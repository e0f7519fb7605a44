"""Reading, listing, selecting and watching leave no trace (issue 2, "What it must show" 3; FS-48).

The dashboard's part of it is under tests/dashboard.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fakes import (
    NOW,
    FakeClock,
    a_jwt,
    a_key,
    a_login,
    a_pool,
    a_reader,
    around,
    benched,
    in_another_process,
    permissions_count,
    write_store,
)
from keydeck import load_pool
from keydeck.cli import keydeck
from keydeck.engine.errors import StoreError
from keydeck.engine.lookout import Lookout
from keydeck.engine.pool_config import get_pool_strategy, list_custom_pool_providers
from keydeck.live.watch import Readable, Watch
from keydeck.present.glyphs import UNICODE
from keydeck.present.listing import list_lines, listing, statuses
from keydeck.present.panes import pane_views
from keydeck.present.rows import Context

VARIABLES: dict[str, Any] = {
    "OPENROUTER_API_KEY": "sk-or-0123456789",
    "DEEPSEEK_API_KEY": "sk-ds-0123456789",
    "ANTHROPIC_TOKEN": "sk-ant-oat01-0123",
    "GH_TOKEN": "gho_0123456789",
    "GLM_API_KEY": "sk-glm-0123456789",
    "MINE_KEY": "sk-mine-0123456789",
}
PROVIDERS = (
    "openrouter",
    "anthropic",
    "nous",
    "openai-codex",
    "copilot",
    "zai",
    "custom:mine",
    "custom:gone",
    "deepseek",
    "gemini",
)


def exact(folder: Path) -> dict[str, tuple[int, int, int, int, bytes]]:
    """Return everything below a folder, itself included: mode, inode, change times and content."""
    found = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (status.st_mode, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, content)
    return found


@pytest.fixture
def lived_in(home: Path) -> Path:
    """Return a home with rows of every source, a stale one of each, logins, a profile and settings."""
    write_store(
        home,
        {
            "openrouter": [
                a_key("aaa001"),
                a_key("aaa002", source="env:OPENROUTER_API_KEY", access_token="sk-raw-in-an-old-file"),
                a_key("aaa003", last_status="dead", last_status_at=NOW - 90_000),
                a_key("aaa004", **benched(429, ago=7200)),
                a_key("", "no id"),
                a_key("aaa006", priority="1"),
            ],
            "anthropic": [
                a_login("bbb001", source="claude_code", priority=7),
                a_login("bbb002", source="hermes_pkce", priority=0),
                a_key("bbb003", access_token="sk-ant-oat01-x", priority=9),
            ],
            "nous": [
                a_login(
                    "ccc001", source="device_code", access_token=a_jwt(exp=NOW - 5, scope="inference:invoke")
                )
            ],
            "openai-codex": [a_login("ddd001", source="device_code", access_token="older")],
            "copilot": [a_key("eee001", source="gh_cli", access_token=...)],
            "custom:mine": [
                a_key("fff001", source="config:Mine", access_token="sk-raw"),
                a_key("fff002", source="env:MINE_KEY", access_token=...),
            ],
            "custom:gone": [
                a_key("ggg001", source="config:Gone", access_token=...),
                a_key("ggg002", source="credctl"),
            ],
            "zai": [],
            "broken": {"not": "a list"},
        },
        providers={
            "openai-codex": {"tokens": {"access_token": "newer", "refresh_token": "r"}},
            "nous": {"portal_base_url": "https://x"},
        },
        suppressed_sources={"deepseek": ["env:DEEPSEEK_API_KEY"]},
        x_tool={"keep": 1},
    )
    (home / ".env").write_text("GLM_API_KEY=sk-glm-from-file\nOTHER=op://vault/item\n")
    (home / "config.yaml").write_text(
        "# mine\ncredential_pool_strategies: {openrouter: quota_aware, zai: random}\n"
        "custom_providers:\n  - {name: Mine, base_url: 'https://m/v1', api_key: sk-literal-0123, key_env: MINE_KEY}\n"
        "  - {name: New, base_url: 'https://n/v1', api_key: sk-new-0123456}\n"
    )
    (home / ".anthropic_oauth.json").write_text(
        json.dumps({"accessToken": "t", "refreshToken": "r", "expiresAt": 1})
    )
    for tool, content in (
        (
            ".claude/.credentials.json",
            {"claudeAiOauth": {"accessToken": "c", "refreshToken": "r", "expiresAt": 1}},
        ),
        (".qwen/oauth_creds.json", {"access_token": "q", "refresh_token": "r", "expiry_date": 1}),
    ):
        path = home.parent / "user" / tool
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    write_store(home / "profiles" / "worker", {"zai": [a_key("hhh001")]})
    return home


def read_and_draw(home: Path, **env: Any) -> None:
    """Read the home several times and draw all that can be drawn of it."""
    for profile in (None, "worker"):
        reader = a_reader(home, profile=profile, **env)
        for _ in range(3):
            snapshot = reader.read()
            assert snapshot.trouble is None
            assert len(snapshot.pools) >= 6
            assert json.dumps(listing(snapshot, NOW))
            assert list_lines(snapshot, NOW)
            assert statuses(snapshot, NOW)
            assert pane_views(snapshot, NOW, Context(UNICODE, snapshot.scrubber))


def open_pools(home: Path, **env: Any) -> None:
    """Open every pool as an agent does and ask it everything that changes nothing."""
    usable = 0
    for profile in (None, "worker"):
        for provider in PROVIDERS:
            opened = load_pool(
                provider, home=home, profile=profile, around=around(home.parent, **env), clock=FakeClock()
            )
            for pool in (opened, a_pool(home, provider, profile=profile, **env)):
                usable += pool.select() is not None
                pool.has_credentials()
                pool.has_available()
                pool.entries()
                pool.peek()
                pool.current()
                pool.try_refresh_current()
    assert usable > 5
    place = a_reader(home, **env).home
    assert get_pool_strategy("zai", home=place) == "random"
    assert "custom:mine" in list_custom_pool_providers(home=place)


def list_from_the_command_line(home: Path, **env: Any) -> None:
    """Run every command that only looks."""
    for args in (
        ["list"],
        ["list", "--json"],
        ["list", "openrouter"],
        ["list", "minimax"],
        ["status"],
        ["status", "--json"],
        ["status", "zai"],
        ["strategy", "openrouter"],
        ["list", "--profile", "worker"],
        ["events"],
        ["events", "--json", "--requests", "--profile", "worker"],
    ):
        result = CliRunner().invoke(keydeck, ["--home", str(home), "auth", *args], env=env)
        assert result.exit_code == 0, result.output


LOOKS: dict[str, Callable[..., None]] = {
    "read and draw": read_and_draw,
    "open pools": open_pools,
    "command line": list_from_the_command_line,
}


class TestFS48LookingDoesNotWrite:
    """Whatever only looks leaves bytes, times, modes and the list of files as they were."""

    @pytest.mark.parametrize("env", [VARIABLES, {}], ids=["with the variables", "without any"])
    @pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
    def test_fs_48_a_home_that_is_in_use(
        self, lived_in: Path, look: Callable[..., None], env: dict[str, Any]
    ) -> None:
        """Stale rows are not pruned, offers not stored, raw secrets not stripped, dead rows not dropped."""
        before = exact(lived_in.parent)
        look(lived_in, **env)
        assert exact(lived_in.parent) == before

    def test_fs_48_the_two_environments_one_after_the_other(self, lived_in: Path) -> None:
        """A shell without the variables costs no row: what the other shell sees afterwards is what it saw before."""
        first = listing(a_reader(lived_in, **VARIABLES).read(), NOW)
        read_and_draw(lived_in)
        open_pools(lived_in)
        assert listing(a_reader(lived_in, **VARIABLES).read(), NOW) == first

    def test_fs_48_a_process_of_its_own(self, lived_in: Path) -> None:
        """The whole program, started as a user starts it."""
        code = "import sys; from keydeck.cli import main; sys.argv = ['keydeck', *sys.argv[1:]]; main()"
        before = exact(lived_in.parent)
        for args in (["list"], ["list", "--json"], ["status"]):
            assert in_another_process(code, "--home", lived_in, "auth", *args, **VARIABLES)
        assert exact(lived_in.parent) == before

    def test_fs_48_a_home_that_is_not_there(self, home: Path) -> None:
        """Nothing comes into being by being looked for."""
        before = exact(home.parent)
        assert a_reader(home, **VARIABLES).read().pools
        assert a_pool(home, **VARIABLES).select() is not None
        result = CliRunner().invoke(keydeck, ["--home", str(home), "auth", "list"], env=VARIABLES)
        assert "offered" in result.output
        assert exact(home.parent) == before

    @pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"version": 2}', b"\xef\xbb\xbf{}"])
    def test_fs_48_a_store_that_cannot_be_used(self, lived_in: Path, data: bytes) -> None:
        """No copy is made, nothing is mended: the file is evidence."""
        (lived_in / "auth.json").write_bytes(data)
        before = exact(lived_in.parent)
        a_reader(lived_in, **VARIABLES).read()
        a_pool(lived_in, **VARIABLES).select()
        for args in (["list"], ["status", "--json"]):
            CliRunner().invoke(keydeck, ["--home", str(lived_in), "auth", *args])
        assert exact(lived_in.parent) == before

    def test_fs_48_a_home_that_could_not_be_written_anyway(self, lived_in: Path) -> None:
        """Looking works without the right to write, so it cannot have written."""
        lived_in.chmod(0o500)
        with permissions_count():
            read_and_draw(lived_in, **VARIABLES)
            open_pools(lived_in, **VARIABLES)
        lived_in.chmod(0o700)

    async def test_fs_48_watching(self, lived_in: Path) -> None:
        """A watcher that starts, looks, reads after a foreign change and stops leaves no trace of its own."""
        looks: asyncio.Queue[bool] = asyncio.Queue()

        async def told(_source: Readable, _folders: list[Path], stop: asyncio.Event) -> AsyncIterator[bool]:
            while not stop.is_set():
                yield await looks.get()

        watch = Watch(Lookout(a_reader(lived_in, **VARIABLES)), events=told)
        os.utime(lived_in / "config.yaml", (1, 1))
        before = exact(lived_in.parent)
        snapshots = watch.snapshots()
        snapshot = await asyncio.wait_for(anext(snapshots), 5)
        assert snapshot.pools
        waiting = asyncio.ensure_future(anext(snapshots))
        for _ in range(5):
            looks.put_nowait(True)
        os.utime(lived_in / "auth.json", (2, 2))
        looks.put_nowait(True)
        await asyncio.wait_for(waiting, 5)
        watch.stop()
        after = exact(lived_in.parent)
        assert set(after) == set(before)
        changed = {path for path in after if after[path] != before[path]}
        assert changed == {str(lived_in / "auth.json")}
        assert after[str(lived_in / "auth.json")][4] == before[str(lived_in / "auth.json")][4]

    def test_fs_48_an_opening_that_fails(self, home: Path) -> None:
        """An agent that cannot open its pool leaves the store alone too."""
        write_store(home).write_text("{")
        before = exact(home.parent)
        with pytest.raises(StoreError):
            load_pool("openrouter", home=home, around=around(home.parent))
        assert exact(home.parent) == before
