"""A store that hermes wrote: Keydeck tells the same rows, in the same order, the same ones usable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

import pytest

from fakes import a_key, load, tree, write_store
from interop.hermes import Hermes, Keydeck
from interop.scenes import (
    CODEX_LOGIN,
    HOUR,
    NOUS_LOGIN,
    a_reader_of,
    claude_code_login,
    the_pool,
    told_by_hermes,
    told_by_keydeck,
)
from keydeck.engine.pool import CredentialPool
from keydeck.engine.state import HealthKind

pytestmark = pytest.mark.interop

CONFIG = """\
# what an operator wrote
model: {provider: anthropic}
credential_pool_strategies:
  openrouter: fill_first
  deepseek: quota_aware
custom_providers:
  - name: My LLM
    base_url: https://llm.example.org/v1/
    api_key: sk-literal-in-config
"""
DOTENV = "OPENROUTER_API_KEY=sk-or-from-dotenv\nexport ANTHROPIC_TOKEN='sk-ant-oat-from-dotenv'\n"
PROVIDERS = ("openrouter", "deepseek", "anthropic", "openai-codex", "nous", "custom:my-llm")


@dataclass
class Written:
    """A home that hermes wrote, and what hermes says of each of its pools. The tests only read."""

    home: Path
    user: Path
    hermes: Hermes
    views: dict[str, dict[str, Any]]

    @property
    def deck(self) -> Keydeck:
        return Keydeck(self.home, self.user)


@pytest.fixture(scope="module")
def written(hermes_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    """Have hermes write a store with every kind of row."""
    folder = tmp_path_factory.mktemp("written")
    home, user = folder / "home", folder / "user"
    with Hermes(hermes_python, home, user) as hermes:
        _surroundings(home, user)
        hermes.run("auth", "add", "openrouter", "--api-key", "sk-typed-in-1", "--label", "main")
        for number, label in enumerate(("limited", "refused", "unpaid", "revoked", "ok again"), 2):
            hermes.ask(
                "auth", verb="add", provider="openrouter", label=label, api_key=f"sk-typed-in-{number}"
            )
        hermes.ask("auth", verb="add", provider="My LLM", label="second", api_key="sk-typed-in-7")
        hermes.ask("auth", verb="add", provider="deepseek", label="deep", api_key="sk-typed-in-8")
        own = {"auth_type": "api_key", "label": "own", "api_key": "sk-ant-1"}
        hermes.ask("auth", verb="add", provider="anthropic", **own)
        hermes.ask("load", provider="openrouter")
        for key, code, context in (
            (
                "sk-typed-in-2",
                429,
                {"reason": "rate_limit", "message": "slow", "reset_at": time() + 3 * HOUR},
            ),
            ("sk-typed-in-3", 401, {"reason": "invalid_api_key"}),
            ("sk-typed-in-4", 402, {"message": "no credit left"}),
            ("sk-typed-in-5", 401, {"reason": "token_revoked", "message": "the token was revoked"}),
            ("sk-typed-in-6", 429, {"reset_at": time() - HOUR}),
            ("sk-or-from-dotenv", 429, None),
        ):
            hermes.ask("mark", name="openrouter", code=code, key=key, context=context)
        views = {provider: hermes.ask("load", provider=provider) for provider in PROVIDERS}
        yield Written(home, user, hermes, views)


def _surroundings(home: Path, user: Path) -> None:
    """Leave what hermes seeds from: configuration, variables, logins."""
    write_store(home, providers={"openai-codex": CODEX_LOGIN, "nous": NOUS_LOGIN})
    (home / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (home / ".env").write_text(DOTENV, encoding="utf-8")
    claude_code_login(user)


def test_every_pool_has_the_same_rows_in_the_same_order(written: Written) -> None:
    """Every row that hermes stored is there with each of its fields, secrets included, in hermes' order."""
    snapshot = a_reader_of(written.home).read()
    assert {pool.provider for pool in snapshot.pools} == set(PROVIDERS)
    for provider, view in written.views.items():
        assert view["entries"], provider
        assert told_by_keydeck(the_pool(snapshot, provider)) == told_by_hermes(view), provider


def test_the_same_rows_are_usable_and_the_same_one_is_next(written: Written) -> None:
    """What hermes calls available is what Keydeck calls usable, and both name the same row as the next."""
    reader = a_reader_of(written.home)
    snapshot = reader.read()
    for provider, view in written.views.items():
        pool = the_pool(snapshot, provider)
        state = pool.at(reader.clock())
        assert [row.id for row in state.usable] == view["available"], provider
        assert pool.next_pick(state) == view["following"], provider
    assert len(written.views["openrouter"]["available"]) == 2  # main, and the one whose wait was over
    assert len(written.views["openrouter"]["entries"]) == 7


def test_both_programs_pick_the_same_row(written: Written) -> None:
    """`select` of a pool object gives the id that hermes' own pool object gives."""
    for provider in PROVIDERS:
        chosen = CredentialPool(provider, a_reader_of(written.home)).select()
        assert [chosen.id if chosen else None] == written.hermes.ask("select", name=provider), provider
        assert chosen is not None, provider


def test_the_listing_says_what_hermes_says(written: Written) -> None:
    """`auth list --json` has hermes' rows, and a reason for every row that hermes would not use."""
    pools = written.deck.listing()
    assert set(pools) == set(PROVIDERS)
    for provider, view in written.views.items():
        rows = pools[provider]["credentials"]
        told = [(row["id"], row["label"], row["source"], row["auth_type"], row["priority"]) for row in rows]
        assert told == [
            (row["id"], row["label"], row["source"], row["auth_type"], row["priority"])
            for row in view["entries"]
        ]
        usable = [row["id"] for row in rows if row["health"] in ("ready", "probing")]
        assert usable == view["available"], provider
        assert [row["id"] for row in rows if row["next_pick"]] == [view["following"]], provider
        assert pools[provider]["ready"] == len(view["available"])
    health = {row["label"]: row["health"] for row in pools["openrouter"]["credentials"]}
    assert health == {
        "OPENROUTER_API_KEY": "cooling",
        "main": "ready",
        "limited": "cooling",
        "refused": "cooling",
        "unpaid": "cooling",
        "revoked": "needs_login",
        "ok again": "ready",
    }
    assert pools["deepseek"]["strategy"] == "quota_aware"
    assert written.views["deepseek"]["strategy"] == "fill_first"


def test_the_listing_says_what_hermes_prints(written: Written) -> None:
    """Labels, types and the mark of the next row in hermes' own text are those of our listing."""
    printed = written.hermes.run("auth", "list", "openrouter")
    line = re.compile(r"^  #(\d+)  (.*?)\s+(api_key|oauth)\s+(.*?)( ←)?$", re.MULTILINE)
    rows = written.deck.listing()["openrouter"]["credentials"]
    assert [(int(place), label, bool(mark)) for place, label, _, _, mark in line.findall(printed)] == [
        (place, row["label"], row["next_pick"]) for place, row in enumerate(rows, 1)
    ]
    assert len(rows) == 7


def test_a_borrowed_row_carries_hermes_fingerprint(written: Written) -> None:
    """A key from `.env` is stored by hermes as a fingerprint; ours for the live key is the same one."""
    stored = next(
        row for row in load(written.home)["credential_pool"]["openrouter"] if row["source"].startswith("env:")
    )
    assert "access_token" not in stored
    assert stored["secret_fingerprint"] == "sha256:4dff6a68f232ad6b"
    listed = next(
        row for row in written.deck.listing()["openrouter"]["credentials"] if row["id"] == stored["id"]
    )
    assert listed["fingerprint"] == "sha256:4dff6a68f232ad6b"


def test_reading_hermes_home_changes_nothing(written: Written) -> None:
    """Listing and status leave every file of the home as hermes left it, and add none."""
    before = tree(written.home), tree(written.user)
    written.deck.listing()
    written.deck.run("auth", "list")
    written.deck.run("auth", "status", "--json")
    assert (tree(written.home), tree(written.user)) == before
    assert "auth.json" in before[0]


def test_keys_that_nobody_used_yet_are_offered_as_hermes_will_store_them(
    hermes: Hermes, home: Path, user: Path
) -> None:
    """What the surroundings offer is shown before hermes ever loads a pool: its rows, but for their ids."""
    _surroundings(home, user)
    snapshot = a_reader_of(home).read()
    offering = ("openrouter", "anthropic", "openai-codex", "nous", "custom:my-llm")
    offered = {provider: told_by_keydeck(the_pool(snapshot, provider)) for provider in offering}
    assert {pool.provider for pool in snapshot.pools} == set(offering)
    for provider in offering:
        seeded = told_by_hermes(hermes.ask("load", provider=provider))
        assert _without_ids(offered[provider]) == _without_ids(seeded), provider
        assert seeded, provider


def _without_ids(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "id": None} for row in rows]


def test_a_login_whose_variable_is_gone_is_no_choice_of_ours(hermes: Hermes, home: Path) -> None:
    """Hermes marks an OAuth row without a token as the next one; Keydeck never hands out an empty key."""
    orphan = a_key("0bb001", source="env:ANTHROPIC_TOKEN", auth_type="oauth", access_token=...)
    write_store(home, {"anthropic": [orphan]})
    assert hermes.ask("load", provider="anthropic")["following"] == "0bb001"
    reader = a_reader_of(home)
    pool = the_pool(reader.read(), "anthropic")
    state = pool.at(reader.clock())
    assert [row.health.kind for row in state.rows] == [HealthKind.NO_SECRET]
    assert pool.next_pick(state) is None
