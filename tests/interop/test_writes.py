"""What Keydeck writes: hermes loads and uses it, and nothing that was there before is lost."""

from __future__ import annotations

import copy
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes import NOW, a_key, load, write_store
from interop.conftest import Another
from interop.hermes import Hermes, Keydeck
from interop.scenes import CODEX_LOGIN, a_reader_of, the_pool, told_by_hermes
from keydeck.engine.acts import Operator
from keydeck.engine.credential import CLEAN_STATUS, Credential
from keydeck.engine.pool import CredentialPool
from keydeck.engine.secret import Secret
from keydeck.engine.snapshot import HomeReader

pytestmark = pytest.mark.interop


# --- a key added here --------------------------------------------------------------------------------------


def _by_command(deck: Keydeck, _reader: HomeReader, provider: str, key: str) -> None:
    deck.run("auth", "add", provider, "--label", "ours", "--api-key-stdin", stdin=f"{key}\n")


def _by_operator(_deck: Keydeck, reader: HomeReader, provider: str, key: str) -> None:
    Operator(reader).add_key(provider, Secret(key), label="ours")


def _by_pool(_deck: Keydeck, reader: HomeReader, provider: str, key: str) -> None:
    entry = Credential(id="anything", provider=provider, label="ours", access_token=Secret(key))
    CredentialPool(provider, reader).add_entry(entry)


Add = Callable[[Keydeck, HomeReader, str, str], None]


@pytest.mark.parametrize(
    ("add", "provider"),
    [
        (_by_command, "openrouter"),
        (_by_command, "custom:my-llm"),
        (_by_operator, "anthropic"),
        (_by_pool, "openrouter"),
    ],
)
def test_a_key_added_here_is_selected_by_hermes_and_keeps_its_secret(
    hermes: Hermes, another: Another, home: Path, deck: Keydeck, provider: str, add: Add
) -> None:
    """Hermes picks the key, benches it and so rewrites the pool, and still has its secret (FS-71)."""
    config = "custom_providers: [{name: My LLM, base_url: https://llm.example.org}]\n"
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(config, encoding="utf-8")
    add(deck, a_reader_of(home), provider, "sk-added-here-1")
    (row,) = hermes.ask("load", provider=provider)["entries"]
    assert (row["label"], row["source"], row["auth_type"]) == ("ours", "manual", "api_key")
    assert hermes.ask("select", name=provider) == [row["id"]]
    hermes.ask("mark", name=provider, code=429, key="sk-added-here-1", context={"reason": "rate_limit"})
    hermes.ask("auth", verb="add", provider=provider, auth_type="api_key", label="theirs", api_key="sk-2")
    first, second = load(home)["credential_pool"][provider]
    assert (first["access_token"], first["last_status"]) == ("sk-added-here-1", "exhausted")
    assert (second["label"], second["priority"]) == ("theirs", first["priority"] + 1)
    theirs = another().ask("load", provider=provider)
    assert [entry["runtime_api_key"] for entry in theirs["entries"]] == ["sk-added-here-1", "sk-2"]
    assert theirs["available"] == [second["id"]]
    assert [entry["runtime_base_url"] for entry in theirs["entries"]] == [first["base_url"]] * 2


def test_hermes_prints_what_we_wrote(hermes: Hermes, home: Path, deck: Keydeck) -> None:
    """After adds, a removal, a bench and a reset by Keydeck, hermes' own list shows the pool that is left."""
    for label in ("one", "two", "three"):
        deck.run("auth", "add", "openrouter", "--label", label, "--api-key-stdin", stdin=f"sk-key-{label}")
    deck.run("auth", "remove", "openrouter", "two", "--yes")
    pool = CredentialPool("openrouter", a_reader_of(home))
    pool.mark_exhausted_and_rotate(status_code=429, api_key_hint="sk-key-one")
    pool.close()
    printed = hermes.run("auth", "list")
    assert printed.splitlines()[0] == "openrouter (2 credentials):"
    assert "#1  one" in printed
    assert "rate-limited (429)" in printed
    assert "#2  three                api_key manual ←" in printed
    deck.run("auth", "reset", "openrouter", "one")
    assert "#1  one                  api_key manual ←" in hermes.run("auth", "list", "openrouter")


def test_a_store_that_keydeck_made_is_a_store_to_hermes(hermes: Hermes, home: Path, deck: Keydeck) -> None:
    """The first add in an empty home makes a file that hermes reads, adds to, and finds of its own kind."""
    deck.run("auth", "add", "deepseek", "--api-key-stdin", stdin="sk-first-of-all")
    made = load(home)
    assert made["version"] == 1
    assert made["providers"] == {}
    assert stat.S_IMODE((home / "auth.json").stat().st_mode) == 0o600
    hermes.ask("auth", verb="add", provider="deepseek", label="second", api_key="sk-second")
    kept = load(home)
    assert kept["credential_pool"]["deepseek"][0] == made["credential_pool"]["deepseek"][0]
    assert set(kept) == set(made)


# --- what was there stays ----------------------------------------------------------------------------------

POOLS = {
    "openrouter": [
        a_key("aaa001", "first", x_note={"deep": [1, 2.5, None, "ü"]}, x_flag=False),
        a_key("aaa002", "resting", priority=1, last_status="resting", last_status_at=NOW, x_note="kept"),
        a_key("aaa003", "dead", priority=2, last_status="dead", last_status_at=4e9, last_error_code=401),
        a_key(
            "aaa004", "cooling", priority=3, last_status="exhausted", last_status_at=4e9, last_error_code=429
        ),
        a_key("aaa005", "tokenless", priority=4, access_token=...),
        a_key("aaa006", "borrowed", priority=5, source="env:NOPE", access_token=..., secret_source="vault"),
    ],
    "some-plugin": [a_key("bbb001", "plugged in", source="manual:plugin", x_region="eu")],
    "custom:forgotten": [a_key("ccc001", "no endpoint", auth_type="sso")],
    "openai-codex": [],
}
TOP: dict[str, Any] = {
    "providers": {"openai-codex": CODEX_LOGIN, "spotify": {"auth_type": "oauth_pkce", "x": [1]}},
    "active_provider": "openai-codex",
    "suppressed_sources": {"deepseek": ["env:DEEPSEEK_API_KEY"], "xai": ["env:XAI_API_KEY"]},
    "x_tool": {"nested": {"list": [1, "two", None, True], "number": 1e20}},
    "x_null": None,
    "zzz": "ü\u2028",
}


def _add(reader: HomeReader) -> None:
    Operator(reader).add_key("openrouter", Secret("sk-brand-new"), label="new")


def _reset(reader: HomeReader) -> None:
    Operator(reader).reset("openrouter", "aaa004")


def _remove(reader: HomeReader) -> None:
    Operator(reader).remove("openrouter", "aaa003")


def _mark(reader: HomeReader) -> None:
    with CredentialPool("openrouter", reader) as pool:
        pool.mark_exhausted_and_rotate(status_code=429, api_key_hint="sk-test-aaa001-secret")


def _use(reader: HomeReader) -> None:
    with CredentialPool("openrouter", reader) as pool:
        pool.select()
        pool.mark_used()


Document = dict[str, Any]


def _added(pools: Document, now: Document) -> None:
    pools["openrouter"].append(now["openrouter"][-1])
    assert now["openrouter"][-1]["label"] == "new"


def _without_status(pools: Document, _now: Document) -> None:
    pools["openrouter"][3].update(CLEAN_STATUS)


def _removed(pools: Document, _now: Document) -> None:
    del pools["openrouter"][2]


def _marked(pools: Document, now: Document) -> None:
    since = now["openrouter"][0]["last_status_at"]
    assert isinstance(since, float)
    end = {"last_error_code": 429, "last_error_reset_at": since + 60}
    pools["openrouter"][0].update(last_status="exhausted", last_status_at=since, **end)
    picked = [place for place, row in enumerate(now["openrouter"]) if row != pools["openrouter"][place]]
    assert len(picked) == 1  # the row that the caller was given for its next request
    pools["openrouter"][picked[0]]["request_count"] += 1


def _used(pools: Document, _now: Document) -> None:
    pools["openrouter"][0]["request_count"] = 2


@pytest.mark.parametrize(
    ("act", "difference"),
    [
        (_add, _added),
        (_reset, _without_status),
        (_remove, _removed),
        (_mark, _marked),
        (_use, _used),
    ],
    ids=["add", "reset", "remove", "mark", "use"],
)
def test_every_write_leaves_all_the_rest_as_it_was(
    hermes: Hermes,
    home: Path,
    act: Callable[[HomeReader], None],
    difference: Callable[[Document, Document], None],
) -> None:
    """An act changes its own fields of its own row; all else, known or not, stays, and means the same to hermes (FS-47)."""
    write_store(home, POOLS, **TOP)
    before = {provider: _meaning(hermes, provider) for provider in ("some-plugin", "openrouter")}
    written = load(home)
    assert written["credential_pool"] == POOLS
    expected = copy.deepcopy(written)
    act(a_reader_of(home))
    now = load(home)
    difference(expected["credential_pool"], now["credential_pool"])
    assert {**now, "updated_at": None} == {**expected, "updated_at": None}
    assert list(now) == [*expected, *(["updated_at"] if "updated_at" not in expected else [])]
    assert now["credential_pool"] != written["credential_pool"]
    after = {provider: _meaning(hermes, provider) for provider in ("some-plugin", "openrouter")}
    touched = {"aaa001", "aaa003", "aaa004", *(("aaa002",) if act is _mark else ())}
    for provider, rows in before.items():
        same = {row_id: row for row_id, row in rows.items() if row_id not in touched}
        assert {row_id: after[provider][row_id] for row_id in same} == same
        assert len(same) == 1 if provider == "some-plugin" else len(same) == 3 - (act is _mark)
    assert load(home)["x_tool"] == TOP["x_tool"]


def _meaning(hermes: Hermes, provider: str) -> dict[str, Any]:
    return {row["id"]: row for row in told_by_hermes(hermes.ask("load", provider=provider))}


def test_a_row_that_only_we_know_more_about_survives_hermes_other_writes(
    hermes: Hermes, home: Path, deck: Keydeck
) -> None:
    """Fields unknown to hermes stay where it writes another provider, and where Keydeck wrote in between."""
    write_store(home, POOLS, **TOP)
    hermes.ask("auth", verb="add", provider="deepseek", label="theirs", api_key="sk-theirs")
    deck.run("auth", "add", "deepseek", "--label", "ours", "--api-key-stdin", stdin="sk-ours-1")
    now = load(home)
    assert now["credential_pool"]["openrouter"] == POOLS["openrouter"]
    assert [row["label"] for row in now["credential_pool"]["deepseek"]] == ["theirs", "ours"]
    assert {name: now[name] for name in ("x_tool", "x_null", "zzz")} == {
        name: TOP[name] for name in ("x_tool", "x_null", "zzz")
    }


def test_a_secret_that_should_not_be_stored_is_in_no_row_of_ours(hermes: Hermes, home: Path) -> None:
    """An offered key from the environment, once an agent uses it here, is stored as hermes would store it."""
    variables = {"OPENROUTER_API_KEY": "sk-or-from-dotenv"}
    pool = CredentialPool("openrouter", a_reader_of(home, **variables))
    pool.select()
    pool.mark_exhausted_and_rotate(status_code=429)
    pool.close()
    (ours,) = load(home)["credential_pool"]["openrouter"]
    assert "sk-or-from-dotenv" not in (home / "auth.json").read_text(encoding="utf-8")
    assert ours["secret_fingerprint"] == "sha256:4dff6a68f232ad6b"
    before = (home / "auth.json").read_bytes()
    assert hermes.ask("load", provider="openrouter")["entries"][0]["id"] == ours["id"]
    assert (home / "auth.json").read_bytes() == before  # nothing in it that hermes would put right


def test_a_file_after_our_write_needs_no_repair_by_hermes(hermes: Hermes, home: Path, deck: Keydeck) -> None:
    """Loading every pool after our writes, hermes writes nothing: rows are whole, clean and in its form."""
    variables = "OPENROUTER_API_KEY=sk-or-from-dotenv\n"
    home.mkdir(exist_ok=True)
    (home / ".env").write_text(variables, encoding="utf-8")
    hermes.ask("load", provider="openrouter")
    for provider in ("openrouter", "anthropic", "deepseek", "custom:x"):
        url = ["--base-url", "https://x.example.org"] if provider.startswith("custom:") else []
        deck.run("auth", "add", provider, *url, "--api-key-stdin", stdin=f"sk-of-{provider}")
    deck.run("auth", "reset", "openrouter")
    before = (home / "auth.json").read_bytes()
    for provider in ("openrouter", "anthropic", "deepseek", "custom:x"):
        assert hermes.ask("load", provider=provider)["entries"], provider
    assert (home / "auth.json").read_bytes() == before
    assert len(the_pool(a_reader_of(home).read(), "openrouter").rows) == 2
