from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fakes import NOW, FailingDisk, a_jwt, a_key, a_login, a_reader, in_another_process, tree, write_store
from keydeck.engine.credential import Credential
from keydeck.engine.secret import fingerprint
from keydeck.engine.state import HealthKind

KEY = "sk-real-0123456789"


def rows(home: Path, provider: str, **env: Any) -> dict[str, Credential]:
    """Return a pool's rows by source, as they would be used."""
    pool = a_reader(home, **env).read().pool(provider)
    found = [row for row in pool.rows if isinstance(row, Credential)] if pool else []
    by_source = {row.source: row for row in found}
    assert len(by_source) == len(found)
    return by_source


def order(home: Path, provider: str, **env: Any) -> list[str]:
    pool = a_reader(home, **env).read().pool(provider)
    return [row.source for row in pool.rows if isinstance(row, Credential)] if pool else []


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def dotenv(home: Path, text: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / ".env").write_text(text)


def config(home: Path, text: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.yaml").write_text(text)


# --- the environment ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "provider", "url"),
    [
        ({"OPENROUTER_API_KEY": KEY}, "openrouter", "https://openrouter.ai/api/v1"),
        (
            {"OPENROUTER_API_KEY": KEY, "OPENROUTER_BASE_URL": "https://x"},
            "openrouter",
            "https://openrouter.ai/api/v1",
        ),
        ({"DEEPSEEK_API_KEY": KEY}, "deepseek", "https://api.deepseek.com/v1"),
        ({"DEEPSEEK_API_KEY": KEY, "DEEPSEEK_BASE_URL": " https://x/v1/ "}, "deepseek", "https://x/v1"),
        ({"HF_TOKEN": KEY}, "huggingface", "https://router.huggingface.co/v1"),
        ({"KIMI_API_KEY": KEY}, "kimi-coding", "https://api.moonshot.ai/v1"),
        ({"KIMI_API_KEY": "sk-kimi-0123456789"}, "kimi-coding", "https://api.kimi.com/coding"),
        ({"KIMI_API_KEY": "sk-kimi-0123456789", "KIMI_BASE_URL": "https://x"}, "kimi-coding", "https://x"),
        ({"GLM_API_KEY": KEY}, "zai", "https://api.z.ai/api/paas/v4"),
        ({"GLM_API_KEY": KEY, "GLM_BASE_URL": "https://x"}, "zai", "https://x"),
        ({"AZURE_FOUNDRY_API_KEY": KEY}, "azure-foundry", None),
        ({"FIREWORKS_API_KEY": KEY}, "fireworks", "https://api.fireworks.ai/inference/v1"),
    ],
)
def test_a_variable_offers_a_key_with_its_address(
    home: Path, env: dict[str, str], provider: str, url: str | None
) -> None:
    """The offer is named after the variable, and its requests go where the provider's or the override says."""
    name, value = next(iter(env.items()))
    (row,) = rows(home, provider, **env).values()
    assert (row.source, row.label, row.auth_type) == (f"env:{name}", name, "api_key")
    assert (row.runtime_api_key, row.runtime_base_url) == (value, url)
    assert not row.stored


def test_several_variables_of_a_provider_are_offered_in_hermes_order(home: Path) -> None:
    """Priorities follow the registry's order."""
    env = {"Z_AI_API_KEY": KEY + "3", "GLM_API_KEY": KEY + "1", "ZAI_API_KEY": KEY + "2"}
    assert order(home, "zai", **env) == ["env:GLM_API_KEY", "env:ZAI_API_KEY", "env:Z_AI_API_KEY"]
    assert [row.priority for row in rows(home, "zai", **env).values()] == [0, 1, 2]


def test_one_variable_may_serve_two_providers(home: Path) -> None:
    """DASHSCOPE_API_KEY is offered to both, each with its own address; aliases make no third pool."""
    snapshot = a_reader(home, DASHSCOPE_API_KEY=KEY, DEEPINFRA_API_KEY=KEY).read()
    assert [pool.provider for pool in snapshot.pools] == ["alibaba", "alibaba-coding-plan", "deepinfra"]


@pytest.mark.parametrize(
    "provider_env", ["OPENAI_CODEX_API_KEY", "NOUS_API_KEY", "AWS_SECRET_ACCESS_KEY", "PATH"]
)
def test_other_variables_offer_nothing(home: Path, provider_env: str) -> None:
    """Logins and cloud providers are not seeded from the environment."""
    env: dict[str, Any] = {provider_env: KEY}
    assert a_reader(home, **env).read().pools == ()


@pytest.mark.parametrize(
    "value",
    [
        "   ",
        "changeme",
        "none",
        "sk-...",
        "sk-or-…",
        "****",
        "<your-key>",
        "${OTHER}",
        "a b c d",
        "sk-\x1b[2J-x",
        "x",
        "op://vault/item/field name",
    ],
)
def test_what_cannot_be_a_key_is_not_offered(home: Path, value: str) -> None:
    """Placeholders, masks, blanks, references and control characters make no row."""
    assert rows(home, "openrouter", OPENROUTER_API_KEY=value) == {}


def test_a_stored_row_says_why_its_variable_is_no_key(home: Path) -> None:
    """The row stays, without a secret, and names the variable and its fault; the value is not shown."""
    write_store(home, {"openrouter": [a_key(source="env:OPENROUTER_API_KEY", access_token=...)]})
    pool = a_reader(home, OPENROUTER_API_KEY="sk-…planted").read().pool("openrouter")
    assert pool is not None
    (state,) = pool.at(NOW).rows
    assert state.health.kind is HealthKind.NO_SECRET
    assert state.health.why == "OPENROUTER_API_KEY: it is masked, not the key itself"


def test_the_dotenv_file_beats_the_shell(home: Path) -> None:
    """As in hermes, the home's file wins where both set a variable."""
    dotenv(home, f"OPENROUTER_API_KEY={KEY}file\n")
    assert (
        rows(home, "openrouter", OPENROUTER_API_KEY=KEY + "shell")["env:OPENROUTER_API_KEY"].runtime_api_key
        == KEY + "file"
    )
    assert rows(home, "openrouter")["env:OPENROUTER_API_KEY"].runtime_api_key == KEY + "file"


def test_a_1password_reference_gives_way_to_the_shell(home: Path) -> None:
    """Hermes' own start-up put the real value into the environment."""
    dotenv(home, "OPENROUTER_API_KEY=op://vault/openrouter/key\n")
    assert rows(home, "openrouter", OPENROUTER_API_KEY=KEY)["env:OPENROUTER_API_KEY"].runtime_api_key == KEY


def test_a_1password_reference_alone_is_no_key(home: Path) -> None:
    """Where to look is not what is there: it would be sent to the provider as if it were the key."""
    dotenv(home, "OPENROUTER_API_KEY=op://vault/openrouter/key\n")
    assert rows(home, "openrouter") == {}


def test_nothing_is_probed_for_zai_and_what_hermes_found_is_used(home: Path) -> None:
    """The endpoint that hermes detected for this very key is taken; for another key it is not."""
    found = {
        "base_url": "https://open.bigmodel.cn/api/paas/v4",
        "key_hash": fingerprint(KEY).removeprefix("sha256:"),
    }
    write_store(home, providers={"zai": {"detected_endpoint": found}})
    assert rows(home, "zai", GLM_API_KEY=KEY)["env:GLM_API_KEY"].base_url == found["base_url"]
    assert (
        rows(home, "zai", GLM_API_KEY=KEY + "x")["env:GLM_API_KEY"].base_url == "https://api.z.ai/api/paas/v4"
    )


# --- offers and stored rows --------------------------------------------------------------------------------


def test_an_offer_lends_its_secret_to_the_stored_row_of_its_source(home: Path) -> None:
    """The row keeps its id, label, priority and history; there is no second one."""
    stored = a_key(
        "aaa001", "mine", source="env:OPENROUTER_API_KEY", access_token=..., priority=7, request_count=9
    )
    write_store(home, {"openrouter": [stored]})
    (row,) = rows(home, "openrouter", OPENROUTER_API_KEY=KEY).values()
    assert (row.id, row.label, row.priority, row.request_count) == ("aaa001", "mine", 7, 9)
    assert row.runtime_api_key == KEY
    assert row.stored


def test_a_changed_variable_is_the_key_that_is_used(home: Path) -> None:
    """What an old file holds for a borrowed row gives way to its live source."""
    write_store(home, {"openrouter": [a_key(source="env:OPENROUTER_API_KEY", access_token="sk-old-0123")]})
    assert rows(home, "openrouter", OPENROUTER_API_KEY=KEY)["env:OPENROUTER_API_KEY"].runtime_api_key == KEY


def test_a_stored_row_without_its_source_stays_and_says_so(home: Path) -> None:
    """Nothing is pruned because a variable is not set *here* (design 7.7)."""
    borrowed: dict[str, Any] = {"access_token": ..., "secret_fingerprint": "sha256:4dff6a68f232ad6b"}
    write_store(
        home,
        {
            "openrouter": [a_key("aaa001", source="env:OPENROUTER_API_KEY", **borrowed)],
            "custom:gone": [a_key("bbb002", source="config:Gone", **borrowed)],
            "custom:old": [a_key("ccc003", source="env:OLD_KEY", **borrowed)],
            "anthropic": [a_login("ddd004", source="claude_code", **borrowed)],
            "zai": [a_key("eee005", source="env:GLM_API_KEY", **borrowed)],
        },
        suppressed_sources={"zai": ["env:GLM_API_KEY"]},
    )
    snapshot = a_reader(home, GLM_API_KEY=KEY).read()
    said = {state.id: state.health for pool in snapshot.pools for state in pool.at(NOW).rows}
    assert {row_id: health.kind for row_id, health in said.items()} == dict.fromkeys(
        ("aaa001", "bbb002", "ccc003", "ddd004", "eee005"), HealthKind.NO_SECRET
    )
    assert {row_id: health.why for row_id, health in said.items()} == {
        "aaa001": "OPENROUTER_API_KEY unset",
        "bbb002": "not in config.yaml",
        "ccc003": "OLD_KEY unset",
        "ddd004": "claude_code not found",
        "eee005": "env:GLM_API_KEY was removed here",
    }


def test_a_suppressed_source_is_not_offered(home: Path) -> None:
    """What the operator removed stays out, under whatever alias it was written down."""
    write_store(home, suppressed_sources={"fw": ["env:FIREWORKS_API_KEY"], "openrouter": ["env:OTHER"]})
    assert rows(home, "fireworks", FIREWORKS_API_KEY=KEY) == {}
    assert list(rows(home, "openrouter", OPENROUTER_API_KEY=KEY)) == ["env:OPENROUTER_API_KEY"]


def test_offers_come_after_the_stored_rows(home: Path) -> None:
    """An offer is tried last, until somebody stores and orders it."""
    write_store(home, {"openrouter": [a_key("aaa001", priority=5), a_key("bbb002", priority=-1)]})
    assert order(home, "openrouter", OPENROUTER_API_KEY=KEY) == ["manual", "manual", "env:OPENROUTER_API_KEY"]
    pool = a_reader(home, OPENROUTER_API_KEY=KEY).read().pool("openrouter")
    assert pool is not None
    assert [row.id for row in pool.rows][:2] == ["bbb002", "aaa001"]


def test_every_process_derives_the_same_id_for_an_offer(home: Path) -> None:
    """The id comes from provider and source alone: two processes, and a changed value, agree on it."""
    code = (
        "import sys; from keydeck import load_pool;"
        "print(*[row.id for row in load_pool('openrouter', home=sys.argv[1]).entries()])"
    )
    here = rows(home, "openrouter", OPENROUTER_API_KEY=KEY)["env:OPENROUTER_API_KEY"].id
    there = in_another_process(code, home, OPENROUTER_API_KEY=KEY + "-another").split()
    assert there == [here]
    assert len(here) == 6
    assert (
        rows(home, "alibaba", DASHSCOPE_API_KEY=KEY)["env:DASHSCOPE_API_KEY"].id
        != rows(home, "alibaba-coding-plan", DASHSCOPE_API_KEY=KEY)["env:DASHSCOPE_API_KEY"].id
    )


def test_discovery_writes_nothing(home: Path) -> None:
    """Offers of every kind leave every file as it was."""
    dotenv(home, f"GLM_API_KEY={KEY}\n")
    config(home, f"custom_providers:\n  - {{name: Mine, base_url: 'https://m', api_key: {KEY}}}\n")
    write_store(home, {"openrouter": [a_key(source="env:OPENROUTER_API_KEY")]})
    before = tree(home.parent)
    assert len(a_reader(home, OPENROUTER_API_KEY=KEY, GH_TOKEN="gho_012345678901").read().pools) == 4
    assert tree(home.parent) == before


# --- anthropic (hermes-pool 4.3, 4.4, 4.6) -----------------------------------------------------------------

CLAUDE = {
    "claudeAiOauth": {
        "accessToken": "sk-ant-oat01-claude",
        "refreshToken": "r",
        "expiresAt": (NOW + 60) * 1000,
    }
}
PKCE = {"accessToken": "sk-ant-oat01-pkce", "refreshToken": "r", "expiresAt": (NOW + 60) * 1000}


def with_logins(home: Path) -> None:
    write_json(home / ".anthropic_oauth.json", PKCE)
    write_json(home.parent / "user" / ".claude" / ".credentials.json", CLAUDE)


CHOSEN: Mapping[str, tuple[dict[str, Any], str, dict[str, str]]] = {
    "active provider": ({"active_provider": "anthropic"}, "", {}),
    "model provider": ({}, "model: {provider: anthropic}\n", {}),
    "root provider": ({}, "provider: anthropic\n", {}),
    "a manual row": ({"credential_pool": {"anthropic": [a_key()]}}, "", {}),
    "a manual login": ({"credential_pool": {"anthropic": [a_login(source="manual:hermes_pkce")]}}, "", {}),
    "a device login": ({"credential_pool": {"anthropic": [a_login(source="device_code")]}}, "", {}),
    "a pkce row": ({"credential_pool": {"anthropic": [a_login(source="hermes_pkce")]}}, "", {}),
    "a token variable": ({}, "", {"ANTHROPIC_TOKEN": "sk-ant-oat01-env"}),
}


@pytest.mark.parametrize(("store", "settings", "env"), CHOSEN.values(), ids=CHOSEN)
def test_logins_are_offered_once_anthropic_was_chosen(
    home: Path, store: dict[str, Any], settings: str, env: dict[str, str]
) -> None:
    """Each sign that the user chose anthropic opens both logins."""
    write_store(home, **store)
    config(home, settings)
    with_logins(home)
    found = rows(home, "anthropic", **env)
    assert found["claude_code"].runtime_api_key == "sk-ant-oat01-claude"
    assert found["hermes_pkce"].runtime_api_key == "sk-ant-oat01-pkce"
    assert found["claude_code"].auth_type == "oauth"
    assert found["claude_code"].expires_at_ms == (NOW + 60) * 1000
    assert found["claude_code"].refresh_token is not None


@pytest.mark.parametrize(
    ("store", "env"),
    [
        ({}, {}),
        ({"active_provider": "nous"}, {}),
        ({}, {"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-env"}),
        ({}, {"ANTHROPIC_TOKEN": "changeme"}),
        ({"credential_pool": {"anthropic": [a_key(source="env:ANTHROPIC_TOKEN", access_token=...)]}}, {}),
        ({"credential_pool": {"anthropic": [a_login(source="claude_code", access_token=...)]}}, {}),
        ({"credential_pool": {"openrouter": [a_key()]}}, {}),
    ],
)
def test_logins_of_other_tools_are_left_alone_otherwise(
    home: Path, store: dict[str, Any], env: dict[str, str]
) -> None:
    """Somebody who only has Claude Code installed did not give its login to hermes."""
    write_store(home, **store)
    with_logins(home)
    found = rows(home, "anthropic", **env)
    assert not [
        row for row in found.values() if row.source in ("claude_code", "hermes_pkce") and row.access_token
    ]


def test_an_api_key_alone_means_no_login_is_wanted(home: Path) -> None:
    """ANTHROPIC_API_KEY without a token variable seeds the key and no login (hermes-pool 4.3)."""
    write_store(home, active_provider="anthropic")
    with_logins(home)
    assert list(rows(home, "anthropic", ANTHROPIC_API_KEY="sk-ant-api03-x")) == ["env:ANTHROPIC_API_KEY"]
    both = rows(home, "anthropic", ANTHROPIC_API_KEY="sk-ant-api03-x", ANTHROPIC_TOKEN="sk-ant-oat01-x")
    assert {"claude_code", "hermes_pkce"} < set(both)


def test_only_login_tokens_are_logins(home: Path) -> None:
    """A token that starts sk-ant-oat is OAuth, any other a key."""
    found = rows(home, "anthropic", ANTHROPIC_TOKEN="sk-ant-oat01-x", ANTHROPIC_API_KEY="sk-ant-api03-x")
    assert {source: row.auth_type for source, row in found.items()} == {
        "env:ANTHROPIC_TOKEN": "oauth",
        "env:ANTHROPIC_API_KEY": "api_key",
    }


def test_anthropic_has_an_order_of_its_own(home: Path) -> None:
    """Manual rows by priority, then tokens, logins and the API key by hermes' rank, whatever their priorities."""
    write_store(
        home,
        {
            "anthropic": [
                a_login("aaa001", source="claude_code", priority=0, access_token=...),
                a_key("bbb002", source="env:ANTHROPIC_API_KEY", priority=1, access_token=...),
                a_key("ccc003", priority=9),
                a_key("ddd004", source="manual:hermes_pkce", priority=8),
            ]
        },
    )
    with_logins(home)
    env = {
        "ANTHROPIC_TOKEN": "sk-ant-oat01-a",
        "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-b",
        "ANTHROPIC_API_KEY": "sk-ant-api03-c",
    }
    assert order(home, "anthropic", **env) == [
        "manual:hermes_pkce",
        "manual",
        "env:ANTHROPIC_TOKEN",
        "env:CLAUDE_CODE_OAUTH_TOKEN",
        "hermes_pkce",
        "claude_code",
        "env:ANTHROPIC_API_KEY",
    ]


# --- other logins ------------------------------------------------------------------------------------------


def test_a_nous_login_brings_all_its_fields(home: Path) -> None:
    """Tokens, expiry, addresses and the extras that hermes copies."""
    agent = a_jwt(exp=NOW + 3600, scope="inference:invoke")
    block = {
        "access_token": a_jwt(email="a@corp.example"),
        "refresh_token": "r",
        "agent_key": agent,
        "agent_key_expires_at": "2026-11-08T15:02:11Z",
        "expires_at": "2026-11-08T16:02:11Z",
        "inference_base_url": "https://inference.example/v1",
        "scope": "openid",
        "tls": {"insecure": False, "ca_bundle": None},
        "token_type": "Bearer",
        "client_id": None,
    }
    write_store(home, providers={"nous": block})
    (row,) = rows(home, "nous").values()
    assert (row.source, row.label, row.auth_type) == ("device_code", "a@corp.example", "oauth")
    assert row.runtime_api_key == agent
    assert row.runtime_base_url == "https://inference.example/v1"
    assert (row.agent_key_expires_at, row.expires_at) == (block["agent_key_expires_at"], block["expires_at"])
    assert dict(row.extra) == {"scope": "openid", "tls": block["tls"], "token_type": "Bearer"}


@pytest.mark.parametrize("provider", ["openai-codex", "xai-oauth"])
def test_device_logins(home: Path, provider: str) -> None:
    """Their tokens lie one level down; the label is the block's, the token's identity, or the source."""
    block = {
        "tokens": {"access_token": a_jwt(email="a@b.c"), "refresh_token": "r"},
        "last_refresh": "2026-11-08T14:00:00Z",
    }
    write_store(home, providers={provider: block})
    (row,) = rows(home, provider).values()
    assert (row.source, row.label, row.auth_type) == ("device_code", "a@b.c", "oauth")
    assert row.last_refresh == "2026-11-08T14:00:00Z"
    assert row.refresh_token is not None
    assert row.base_url
    write_store(home, providers={provider: {**block, "label": "work"}})
    assert rows(home, provider)["device_code"].label == "work"
    write_store(home, providers={provider: {"tokens": {"access_token": "opaque"}}})
    assert rows(home, provider)["device_code"].label == "device_code"


def test_a_minimax_login(home: Path) -> None:
    """Its ISO expiry becomes milliseconds, its address loses the slash."""
    block = {
        "access_token": "t",
        "refresh_token": "r",
        "expires_at": "2026-11-08T15:02:11Z",
        "inference_base_url": "https://m/anthropic/",
    }
    write_store(home, providers={"minimax-oauth": block})
    (row,) = rows(home, "minimax-oauth").values()
    assert (row.source, row.expires_at_ms, row.base_url) == (
        "oauth",
        (NOW + 3600) * 1000,
        "https://m/anthropic",
    )


def test_a_qwen_login_of_the_other_tool(home: Path) -> None:
    """Its label is the file it was read from."""
    path = home.parent / "user" / ".qwen" / "oauth_creds.json"
    write_json(path, {"access_token": "t", "refresh_token": "r", "expiry_date": (NOW + 60) * 1000})
    (row,) = rows(home, "qwen-oauth").values()
    assert (row.source, row.label, row.expires_at_ms) == ("qwen-cli", str(path), (NOW + 60) * 1000)


@pytest.mark.parametrize(
    "block",
    [
        {},
        {"tokens": []},
        {"tokens": {"access_token": ""}},
        {"tokens": {"access_token": 5}},
        {"access_token": None},
    ],
)
def test_a_login_block_without_a_token_offers_nothing(home: Path, block: dict[str, Any]) -> None:
    """Logged out is not there."""
    names = ("nous", "openai-codex", "xai-oauth", "minimax-oauth")
    write_store(home, providers=dict.fromkeys(names, block))
    assert a_reader(home).read().pools == ()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '"x"', '{"claudeAiOauth": []}', "[" * 100_000, "\x00"]
)
def test_files_of_other_tools_may_hold_anything(home: Path, text: str) -> None:
    """What cannot be understood offers nothing and breaks nothing."""
    write_store(home, {"openrouter": [a_key()]}, active_provider="anthropic")
    for path in (
        home / ".anthropic_oauth.json",
        home.parent / "user" / ".claude" / ".credentials.json",
        home.parent / "user" / ".qwen" / "oauth_creds.json",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    snapshot = a_reader(home).read()
    assert [pool.provider for pool in snapshot.pools] == ["openrouter"]
    assert snapshot.trouble is None


def test_a_login_is_lent_to_its_stored_row(home: Path) -> None:
    """A newer token in the block wins over the one in the pool: hermes renews it there."""
    write_store(
        home,
        {"openai-codex": [a_login("aaa001", source="device_code", access_token="old", expires_at_ms=...)]},
        providers={"openai-codex": {"tokens": {"access_token": "new", "refresh_token": "r2"}}},
    )
    (row,) = rows(home, "openai-codex").values()
    assert (row.id, row.runtime_api_key) == ("aaa001", "new")
    assert row.refresh_token is not None
    assert row.refresh_token.reveal() == "r2"


def test_copilot_runs_nothing_and_offers_its_variables(home: Path) -> None:
    """`gh auth token` is not run; one GH_TOKEN is one offer."""
    assert list(rows(home, "copilot", GH_TOKEN="gho_0123456789")) == ["env:GH_TOKEN"]
    write_store(home, {"copilot": [a_key(source="gh_cli", access_token=...)]})
    found = rows(home, "copilot", GH_TOKEN="gho_0123456789")
    assert found["gh_cli"].runtime_api_key == "gho_0123456789"
    assert rows(home, "copilot")["gh_cli"].runtime_api_key == ""
    assert rows(home, "copilot", GH_TOKEN="ghp_0123456789")["gh_cli"].runtime_api_key == ""


# --- custom endpoints --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "env", "pool", "source", "key"),
    [
        (
            "custom_providers: [{name: My LLM, base_url: 'https://m/v1/', api_key: sk-lit-0123}]",
            {},
            "custom:my-llm",
            "config:My LLM",
            "sk-lit-0123",
        ),
        (
            "custom_providers: [{name: M, url: 'https://m/v1', api_key: '${MY}'}]",
            {"MY": KEY},
            "custom:m",
            "config:M",
            KEY,
        ),
        (
            "custom_providers: [{name: M, base_url: 'https://m/v1', key_env: MY}]",
            {"MY": KEY},
            "custom:m",
            "env:MY",
            KEY,
        ),
        (
            "providers: {m: {name: M, api: 'https://m/v1', api_key: sk-lit-0123}}",
            {},
            "custom:m",
            "config:M",
            "sk-lit-0123",
        ),
        ("providers: {m: {baseUrl: 'https://m/v1', apiKeyEnv: MY}}", {"MY": KEY}, "custom:m", "env:MY", KEY),
    ],
)
def test_endpoints_of_both_shapes_are_offered(
    home: Path, settings: str, env: dict[str, str], pool: str, source: str, key: str
) -> None:
    """A literal key, a reference and a named variable each make a row of the endpoint's own pool."""
    config(home, settings)
    (row,) = rows(home, pool, **env).values()
    assert (row.source, row.runtime_api_key, row.runtime_base_url) == (source, key, "https://m/v1")


@pytest.mark.parametrize(
    "settings",
    [
        "custom_providers: [{name: M, base_url: 'https://m', api_key: '${MY}'}]",
        "custom_providers: [{name: M, base_url: 'https://m', key_env: MY}]",
        "custom_providers: [{name: M, base_url: 'https://m', api_key: none}]",
        "custom_providers: [{name: M, base_url: 'https://m', api_key: sk-lit-0123, enabled: false}]",
        "custom_providers: {m: {base_url: 'https://m', api_key: sk-lit-0123}}",
        "custom_providers: [{name: M, base_url: 'https://m'}]",
    ],
)
def test_endpoints_without_a_key_are_not_offered(home: Path, settings: str) -> None:
    """An unset variable, a placeholder, a disabled endpoint and a wrong shape make no row."""
    config(home, settings)
    assert a_reader(home).read().pools == ()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ("custom_providers: [{name: M, base_url: 'https://m', api_key: '${MY}'}]", "MY unset"),
        (
            "custom_providers: [{name: M, base_url: 'https://m', api_key: x12345, enabled: false}]",
            "disabled in config.yaml",
        ),
        ("custom_providers: []", "not in config.yaml"),
        ("a: [", "config.yaml cannot be read"),
    ],
)
def test_a_stored_row_of_an_endpoint_says_what_became_of_it(home: Path, settings: str, why: str) -> None:
    """The row stays and names the reason; a broken config concludes nothing."""
    write_store(home, {"custom:m": [a_key(source="config:M", access_token=...)]})
    config(home, settings)
    pool = a_reader(home).read().pool("custom:m")
    assert pool is not None
    assert [state.health.why for state in pool.at(NOW).rows] == [why]


def test_the_endpoint_in_the_model_section(home: Path) -> None:
    """Its key joins the pool whose address it has."""
    config(
        home,
        "custom_providers: [{name: M, base_url: 'https://m/v1'}]\n"
        f"model: {{provider: custom, base_url: 'https://m/v1/', api_key: {KEY}}}\n",
    )
    (row,) = rows(home, "custom:m").values()
    assert (row.source, row.label, row.runtime_api_key) == ("model_config", "model_config", KEY)


def test_a_suppressed_endpoint_stays_out(home: Path) -> None:
    """Removing a config row keeps it out although config.yaml still has it."""
    config(home, f"custom_providers: [{{name: M, base_url: 'https://m', api_key: {KEY}}}]")
    write_store(home, suppressed_sources={"custom:m": ["config:M"]})
    assert rows(home, "custom:m") == {}


def test_a_file_that_cannot_be_read_offers_nothing(home: Path) -> None:
    """Troubles of other files are no troubles of the pool."""
    write_store(home, active_provider="anthropic")
    with_logins(home)
    reader = a_reader(home, disk=FailingDisk(on={"read"}))
    assert reader.read().pools == ()
