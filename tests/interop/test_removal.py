"""What was removed here stays out of hermes, what stands beside it stays in; profiles keep to themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fakes import a_key, benched, keys, load, write_store
from interop.conftest import Another
from interop.hermes import Hermes, Keydeck
from interop.scenes import (
    CODEX_LOGIN,
    HOUR,
    MINIMAX_LOGIN,
    NOUS_LOGIN,
    XAI_LOGIN,
    a_reader_of,
    a_token,
    claude_code_login,
    pkce_login,
    qwen_login,
)
from keydeck.engine.clock import wall_clock
from keydeck.engine.pool import CredentialPool

pytestmark = pytest.mark.interop

CUSTOM = """\
custom_providers:
  - {name: My LLM, base_url: "https://llm.example.org/v1", api_key: sk-in-the-config}
"""
MODEL = """\
model: {provider: custom, base_url: https://llm.example.org/v1, api_key: sk-in-the-model, default: m}
"""


def _nothing(_folder: Path) -> None:
    """Leave the user's folder empty."""


@dataclass(frozen=True)
class Origin:
    """Where a row comes from, and everything that makes hermes seed it."""

    provider: str
    source: str
    config: str = ""
    dotenv: str = ""
    env: dict[str, str] = field(default_factory=dict)
    logins: dict[str, Any] = field(default_factory=dict)
    users: Callable[[Path], None] = _nothing
    homes: Callable[[Path], None] = _nothing

    def prepare(self, home: Path, user: Path) -> None:
        write_store(home, providers=self.logins, x_tool={"kept": True})
        (home / "config.yaml").write_text(self.config, encoding="utf-8")
        (home / ".env").write_text(self.dotenv, encoding="utf-8")
        self.users(user)
        self.homes(home)

    def rows(self, hermes: Hermes) -> list[dict[str, Any]]:
        """Return the rows of this source that hermes has after a load."""
        entries = hermes.ask("load", provider=self.provider)["entries"]
        return [row for row in entries if row["source"] == self.source]


ANTHROPIC = "model: {provider: anthropic}\n"
SHELL = Origin("openrouter", "env:OPENROUTER_API_KEY", env={"OPENROUTER_API_KEY": "sk-of-the-shell"})
CONFIG = Origin("custom:my-llm", "config:My LLM", config=CUSTOM)
CLAUDE = Origin("anthropic", "claude_code", config=ANTHROPIC, users=claude_code_login)
ORIGINS = {
    "dotenv": Origin(
        "openrouter", "env:OPENROUTER_API_KEY", dotenv="A=1\nexport OPENROUTER_API_KEY=sk-one\n"
    ),
    "shell": SHELL,
    "config": CONFIG,
    "model": Origin("custom:my-llm", "model_config", config=CUSTOM + MODEL),
    "codex": Origin("openai-codex", "device_code", logins={"openai-codex": CODEX_LOGIN}),
    "nous": Origin("nous", "device_code", logins={"nous": NOUS_LOGIN}),
    "xai": Origin("xai-oauth", "device_code", logins={"xai-oauth": XAI_LOGIN}),
    "minimax": Origin("minimax-oauth", "oauth", logins={"minimax-oauth": MINIMAX_LOGIN}),
    "claude code": CLAUDE,
    "pkce": Origin("anthropic", "hermes_pkce", config=ANTHROPIC, homes=pkce_login),
    "qwen": Origin("qwen-oauth", "qwen-cli", users=qwen_login),
}


@pytest.mark.parametrize("case", ORIGINS)
def test_hermes_does_not_bring_back_what_was_removed_here(
    another: Another, home: Path, user: Path, case: str
) -> None:
    """A row of any origin, stored by hermes and removed by Keydeck, is gone at hermes' next load and the one after."""
    origin = ORIGINS[case]
    origin.prepare(home, user)
    deck = Keydeck(home, user, **origin.env)
    hermes = another(**origin.env)
    (row,) = origin.rows(hermes)
    assert row["runtime_api_key"]
    told = deck.run("auth", "remove", origin.provider, row["id"], "--yes")
    assert "stays out" in told
    assert origin.rows(hermes) == []
    assert origin.rows(hermes) == []
    stored = load(home)
    assert origin.source in stored["suppressed_sources"][origin.provider]
    assert origin.provider not in stored["providers"]
    assert stored["x_tool"] == {"kept": True}
    assert (home / "config.yaml").read_text(encoding="utf-8") == origin.config
    sources = [row["source"] for row in deck.listing().get(origin.provider, {}).get("credentials", [])]
    assert origin.source not in sources
    if case == "model":
        assert sources == ["config:My LLM"]
    if case == "dotenv":
        assert (home / ".env").read_text(encoding="utf-8") == "A=1\n"


@pytest.mark.parametrize("case", ["shell", "config", "claude code"])
def test_an_offer_is_removed_before_hermes_ever_stored_it(
    another: Another, home: Path, user: Path, case: str
) -> None:
    """An offer that Keydeck shows and the operator removes is never seeded by hermes."""
    origin = ORIGINS[case]
    origin.prepare(home, user)
    deck = Keydeck(home, user, **origin.env)
    (offer,) = deck.listing()[origin.provider]["credentials"]
    assert (offer["source"], offer["stored"]) == (origin.source, False)
    deck.run("auth", "remove", origin.provider, offer["id"], "--yes")
    assert origin.rows(another(**origin.env)) == []


@pytest.mark.parametrize("origin", [SHELL, CONFIG, CLAUDE], ids=["shell", "config", "claude code"])
def test_adding_a_key_lets_hermes_seed_again(
    another: Another, home: Path, user: Path, origin: Origin
) -> None:
    """After `keydeck auth add` for the provider the removed source is back in hermes, beside the new key (FS-56)."""
    origin.prepare(home, user)
    deck = Keydeck(home, user, **origin.env)
    hermes = another(**origin.env)
    (row,) = origin.rows(hermes)
    deck.run("auth", "remove", origin.provider, row["id"], "--yes")
    assert origin.rows(hermes) == []
    deck.run("auth", "add", origin.provider, "--label", "ours", "--api-key-stdin", stdin="sk-ours-1")
    assert origin.provider not in load(home)["suppressed_sources"]
    entries = hermes.ask("load", provider=origin.provider)["entries"]
    assert sorted(entry["source"] for entry in entries) == sorted(["manual", origin.source])


def test_what_hermes_removed_stays_out_here(hermes: Hermes, home: Path, user: Path) -> None:
    """A source that `hermes auth remove` suppressed is offered no more, until hermes adds a key."""
    CLAUDE.prepare(home, user)
    deck = Keydeck(home, user)
    assert [row["source"] for row in deck.listing()["anthropic"]["credentials"]] == ["claude_code"]
    hermes.run("auth", "remove", "anthropic", "1")
    assert deck.listing() == {}
    hermes.ask("auth", verb="add", provider="anthropic", auth_type="api_key", label="k", api_key="sk-ant-1")
    assert [row["source"] for row in deck.listing()["anthropic"]["credentials"]] == ["manual", "claude_code"]


# --- siblings ----------------------------------------------------------------------------------------------


def test_of_three_rows_of_one_source_two_remain(hermes: Hermes, home: Path, deck: Keydeck) -> None:
    """Removing one row does not silence the source of its siblings: hermes still has both (FS-57)."""
    rows = [a_key(f"aaa00{place}", source="env:NOPE", access_token=..., priority=place) for place in range(3)]
    write_store(home, {"openrouter": rows})
    deck.run("auth", "remove", "openrouter", "aaa001", "--yes")
    entries = hermes.ask("load", provider="openrouter")["entries"]
    assert [row["id"] for row in entries] == ["aaa000", "aaa002"]
    assert not load(home).get("suppressed_sources")


def test_a_second_account_is_removed_alone(hermes: Hermes, home: Path, deck: Keydeck) -> None:
    """Removing one codex account of several leaves the others, and the login that hermes keeps, in place."""
    accounts = [
        a_key(
            f"bbb00{place}",
            f"team-{place}",
            source="manual:device_code",
            auth_type="oauth",
            access_token=a_token(email=f"team-{place}@example.org"),
            refresh_token=f"refresh-{place}",
            priority=place,
        )
        for place in range(3)
    ]
    write_store(home, {"openai-codex": accounts}, providers={"openai-codex": CODEX_LOGIN})
    assert len(hermes.ask("load", provider="openai-codex")["entries"]) == 4
    deck.run("auth", "remove", "openai-codex", "team-1", "--yes")
    entries = hermes.ask("load", provider="openai-codex")["entries"]
    assert [row["label"] for row in entries] == ["team-0", "team-2", "team@example.org"]
    assert load(home)["providers"]["openai-codex"] == CODEX_LOGIN


def test_a_typed_in_key_goes_and_nothing_else(hermes: Hermes, home: Path, deck: Keydeck) -> None:
    """Removing a manual key suppresses nothing; hermes has the rest, in order, and picks the next."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002", "aaa003")})
    deck.run("auth", "remove", "openrouter", "aaa001", "--yes")
    view = hermes.ask("load", provider="openrouter")
    assert [row["id"] for row in view["entries"]] == ["aaa002", "aaa003"]
    assert view["following"] == "aaa002"
    assert "suppressed_sources" not in load(home)


# --- profiles ----------------------------------------------------------------------------------------------


def root_pools() -> dict[str, list[dict[str, Any]]]:
    """Return two pools, of whose rows one is benched for an hour."""
    out = benched(last_status_at=wall_clock() - 60, until=wall_clock() + HOUR)
    return {
        "openrouter": [a_key("aaa001", "root-1"), a_key("aaa002", "root-2", priority=1, **out)],
        "deepseek": keys("ddd001"),
    }


def test_a_profile_shows_the_roots_rows_and_copies_none(another: Another, home: Path, user: Path) -> None:
    """In a profile both programs see the root's rows; whatever Keydeck writes there, none gets into its file."""
    profile = home / "profiles" / "work"
    profile.mkdir(parents=True)
    root = write_store(home, root_pools()).read_bytes()
    deck = Keydeck(home, user)
    in_profile = ("--profile", "work")
    hermes = another(profile)
    _same_rows(deck, hermes, "openrouter", "deepseek")
    for act in (
        ("remove", "openrouter", "aaa001", "--yes"),
        ("reset", "openrouter"),
        ("reset", "deepseek", "1"),
    ):
        assert "root profile" in deck.refused("auth", *act, *in_profile)
    assert not (profile / "auth.json").exists()
    deck.run("auth", "add", "xai", "--api-key-stdin", "--label", "own", *in_profile, stdin="xai-own-1")
    deck.run("auth", "strategy", "openrouter", "least_used", *in_profile)
    deck.run("auth", "reset", "xai", *in_profile)
    assert list(load(profile)["credential_pool"]) == ["xai"]
    _same_rows(deck, another(profile), "openrouter", "deepseek", "xai")
    deck.run(
        "auth", "add", "openrouter", "--api-key-stdin", "--label", "mine", *in_profile, stdin="sk-mine-1"
    )
    stored = load(profile)["credential_pool"]
    assert {name: [row["label"] for row in rows] for name, rows in stored.items()} == {
        "xai": ["own"],
        "openrouter": ["mine"],
    }
    _same_rows(deck, another(profile), "openrouter", "deepseek", "xai")
    assert (home / "auth.json").read_bytes() == root


def test_a_profile_shows_the_roots_login_and_keeps_it_there(another: Another, home: Path, user: Path) -> None:
    """A login that only the root has is offered in a profile, as hermes seeds it, and is not the profile's to act on."""
    profile = home / "profiles" / "work"
    profile.mkdir(parents=True)
    root = write_store(home, providers={"openai-codex": CODEX_LOGIN}).read_bytes()
    deck = Keydeck(home, user)
    (offer,) = deck.listing("--profile", "work")["openai-codex"]["credentials"]
    assert (offer["inherited"], offer["stored"], offer["health"]) == (True, False, "ready")
    assert "root profile" in deck.refused(
        "auth", "remove", "openai-codex", offer["id"], "--yes", "--profile", "work"
    )
    assert not (profile / "auth.json").exists()
    (row,) = another(profile).ask("load", provider="openai-codex")["entries"]
    assert (row["source"], row["label"]) == (offer["source"], offer["label"])
    (stored,) = deck.listing("--profile", "work")["openai-codex"]["credentials"]
    assert (stored["id"], stored["inherited"]) == (row["id"], False)
    assert (home / "auth.json").read_bytes() == root


def _same_rows(deck: Keydeck, hermes: Hermes, *providers: str) -> None:
    """Require that both programs, in the profile, have the same rows and call the same ones usable."""
    pools = deck.listing("--profile", "work")
    assert set(pools) == set(providers)
    own = load(hermes.home)["credential_pool"] if (hermes.home / "auth.json").exists() else {}
    for provider in providers:
        view, rows = hermes.ask("load", provider=provider), pools[provider]["credentials"]
        assert [row["id"] for row in rows] == [row["id"] for row in view["entries"]]
        assert [row["id"] for row in rows if row["health"] == "ready"] == view["available"]
        assert all(row["inherited"] == (provider not in own) for row in rows)


def test_a_bench_in_a_profile_does_not_copy_the_roots_rows(another: Another, home: Path) -> None:
    """An agent in a profile that benches an inherited row obeys that itself, and writes into neither file."""
    profile = home / "profiles" / "work"
    profile.mkdir(parents=True)
    root = write_store(home, root_pools()).read_bytes()
    pool = CredentialPool("openrouter", a_reader_of(home, profile="work"))
    first = pool.select()
    assert first is not None
    assert (first.id, first.inherited) == ("aaa001", True)
    assert pool.mark_exhausted_and_rotate(status_code=429) is None
    assert not (profile / "auth.json").exists()
    assert (home / "auth.json").read_bytes() == root
    assert another(profile).ask("load", provider="openrouter")["available"] == ["aaa001"]
