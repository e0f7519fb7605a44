from __future__ import annotations

import re

import pytest

from keydeck.engine.providers import CUSTOM_PREFIX, canonical, default_base_url, is_custom, names_of, registry

# Every row of hermes-pool 3: id, type letter, OAuth add, base URL, base-URL variable, key variables in order.
TABLE = """
openrouter K no https://openrouter.ai/api/v1 - OPENROUTER_API_KEY
nous D yes https://inference-api.nousresearch.com/v1 - -
openai-codex X yes https://chatgpt.com/backend-api/codex - -
openai-api K no https://api.openai.com/v1 OPENAI_BASE_URL OPENAI_API_KEY
xai-oauth X yes https://api.x.ai/v1 - -
qwen-oauth X yes https://portal.qwen.ai/v1 - -
lmstudio K no http://127.0.0.1:1234/v1 LM_BASE_URL LM_API_KEY
copilot K no https://api.githubcopilot.com COPILOT_API_BASE_URL COPILOT_GITHUB_TOKEN,GH_TOKEN,GITHUB_TOKEN
copilot-acp P no acp://copilot COPILOT_ACP_BASE_URL -
gemini K no https://generativelanguage.googleapis.com/v1beta GEMINI_BASE_URL GOOGLE_API_KEY,GEMINI_API_KEY
zai K no https://api.z.ai/api/paas/v4 GLM_BASE_URL GLM_API_KEY,ZAI_API_KEY,Z_AI_API_KEY
kimi-coding K no https://api.moonshot.ai/v1 KIMI_BASE_URL KIMI_API_KEY,KIMI_CODING_API_KEY
kimi-coding-cn K no https://api.moonshot.cn/v1 - KIMI_CN_API_KEY
stepfun K no https://api.stepfun.ai/step_plan/v1 STEPFUN_BASE_URL STEPFUN_API_KEY
arcee K no https://api.arcee.ai/api/v1 ARCEE_BASE_URL ARCEEAI_API_KEY
gmi K no https://api.gmi-serving.com/v1 GMI_BASE_URL GMI_API_KEY
minimax K no https://api.minimax.io/anthropic MINIMAX_BASE_URL MINIMAX_API_KEY
minimax-oauth M yes https://api.minimax.io/anthropic - -
anthropic K yes https://api.anthropic.com ANTHROPIC_BASE_URL ANTHROPIC_TOKEN,CLAUDE_CODE_OAUTH_TOKEN,ANTHROPIC_API_KEY
alibaba K no https://dashscope-intl.aliyuncs.com/compatible-mode/v1 DASHSCOPE_BASE_URL DASHSCOPE_API_KEY
alibaba-coding-plan K no https://coding-intl.dashscope.aliyuncs.com/v1 ALIBABA_CODING_PLAN_BASE_URL ALIBABA_CODING_PLAN_API_KEY,DASHSCOPE_API_KEY
minimax-cn K no https://api.minimaxi.com/anthropic MINIMAX_CN_BASE_URL MINIMAX_CN_API_KEY
deepseek K no https://api.deepseek.com/v1 DEEPSEEK_BASE_URL DEEPSEEK_API_KEY
xai K no https://api.x.ai/v1 XAI_BASE_URL XAI_API_KEY
nvidia K no https://integrate.api.nvidia.com/v1 NVIDIA_BASE_URL NVIDIA_API_KEY
opencode-zen K no https://opencode.ai/zen/v1 OPENCODE_ZEN_BASE_URL OPENCODE_ZEN_API_KEY
opencode-go K no https://opencode.ai/zen/go/v1 OPENCODE_GO_BASE_URL OPENCODE_GO_API_KEY
kilocode K no https://api.kilo.ai/api/gateway KILOCODE_BASE_URL KILOCODE_API_KEY
huggingface K no https://router.huggingface.co/v1 HF_BASE_URL HF_TOKEN
xiaomi K no https://api.xiaomimimo.com/v1 XIAOMI_BASE_URL XIAOMI_API_KEY
tencent-tokenhub K no https://tokenhub.tencentmaas.com/v1 TOKENHUB_BASE_URL TOKENHUB_API_KEY
ollama-cloud K no https://ollama.com/v1 OLLAMA_BASE_URL OLLAMA_API_KEY
bedrock A no https://bedrock-runtime.us-east-1.amazonaws.com BEDROCK_BASE_URL -
azure-foundry K no - AZURE_FOUNDRY_BASE_URL AZURE_FOUNDRY_API_KEY
deepinfra K no https://api.deepinfra.com/v1/openai DEEPINFRA_BASE_URL DEEPINFRA_API_KEY
fireworks K no https://api.fireworks.ai/inference/v1 - FIREWORKS_API_KEY
novita K no https://api.novita.ai/openai/v1 NOVITA_BASE_URL NOVITA_API_KEY
upstage K no https://api.upstage.ai/v1 UPSTAGE_BASE_URL UPSTAGE_API_KEY
"""
ROWS = [line.split() for line in TABLE.splitlines() if line]
TYPES = {
    "K": "api_key",
    "D": "oauth_device_code",
    "X": "oauth_external",
    "M": "oauth_minimax",
    "P": "external_process",
    "A": "aws_sdk",
}


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_the_registry_has_hermes_row(row: list[str]) -> None:
    """Type, login, URL and variables of every provider are those of hermes-pool 3."""
    provider = registry()[row[0]]
    assert provider.type == TYPES[row[1]]
    assert provider.login is (row[2] == "yes")
    assert provider.base_url == row[3].removeprefix("-")
    assert provider.base_url_env == (None if row[4] == "-" else row[4])
    assert provider.key_envs == (() if row[5] == "-" else tuple(row[5].split(",")))
    assert provider.name


def test_the_registry_has_nothing_else() -> None:
    """What hermes does not know is not offered."""
    assert list(registry()) == [row[0] for row in ROWS]


@pytest.mark.parametrize(
    ("alias", "provider"),
    [
        ("or", "openrouter"),
        ("open-router", "openrouter"),
        ("grok-oauth", "xai-oauth"),
        ("x-ai-oauth", "xai-oauth"),
        ("xai-grok-oauth", "xai-oauth"),
        ("fw", "fireworks"),
        ("fireworks-ai", "fireworks"),
        ("deep-infra", "deepinfra"),
        ("deepinfra-ai", "deepinfra"),
        ("novitaai", "novita"),
        ("solar", "upstage"),
        ("glm", "zai"),
        ("z.ai", "zai"),
        ("google", "gemini"),
        ("grok", "xai"),
        ("moonshot", "kimi-coding"),
        ("claude", "anthropic"),
        ("github", "copilot"),
        ("hf", "huggingface"),
        ("aws", "bedrock"),
        ("  OpenRouter ", "openrouter"),
        ("FW", "fireworks"),
    ],
)
def test_every_name_of_a_provider_is_folded_to_one(alias: str, provider: str) -> None:
    """Aliases, case and blanks do not make another pool."""
    assert canonical(alias) == provider


def test_no_name_means_two_providers() -> None:
    """Ids and aliases are all different, lower-case and free of blanks."""
    names = [name for provider in registry().values() for name in names_of(provider.id)]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z0-9.-]+", name) for name in names)


@pytest.mark.parametrize(
    ("name", "plain"), [("  Custom:My-LLM ", "custom:my-llm"), ("whatever", "whatever"), ("", "")]
)
def test_other_names_come_back_stripped_and_lower_case(name: str, plain: str) -> None:
    """Unknown names and custom pools are kept, as hermes looks them up."""
    assert canonical(name) == plain
    assert names_of(plain) == (plain,)
    assert default_base_url(plain) is None


def test_the_names_under_which_rows_may_lie() -> None:
    """The provider's own first."""
    assert names_of("fireworks") == ("fireworks", "fireworks-ai", "fw")
    assert is_custom(CUSTOM_PREFIX + "x")
    assert not is_custom("openrouter")
    assert default_base_url("azure-foundry") is None
