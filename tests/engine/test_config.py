from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from keydeck.engine import config_edit
from keydeck.engine.config import (
    DEFAULT_STRATEGY,
    EMPTY_CONFIG,
    KNOWN_STRATEGIES,
    STRATEGY_SECTION,
    Config,
    CustomEndpoint,
    FallbackHop,
    ModelEndpoint,
    custom_pool_key,
    custom_pool_key_for,
    parse_config,
    read_config,
    set_strategy,
)
from keydeck.engine.config_edit import parse_mapping, with_word
from keydeck.engine.errors import ConfigBroken, ConfigReadOnly, KeydeckError, Refused
from keydeck.engine.files import Disk
from keydeck.engine.home import Home
from keydeck.engine.secret import Secret

PATH = Path("config.yaml")
S = STRATEGY_SECTION


def parsed(text: str, **env: str) -> Config:
    return parse_config(text.encode(), env, PATH)


def edited(text: str, key: str = "openrouter", strategy: str = "least_used") -> str:
    return with_word(text.encode(), S, key, strategy, PATH).decode()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(path=tmp_path, root=tmp_path, profile="default")


def written(home: Home, text: str) -> Home:
    home.config_path.write_bytes(text.encode())
    return home


class FailingDisk(Disk):
    """Fails one call with one errno."""

    def __init__(self, call: str, number: int) -> None:
        self.call, self.number = call, number

    def __getattribute__(self, name: str) -> Any:
        if name == object.__getattribute__(self, "__dict__").get("call"):
            raise OSError(self.number, os.strerror(self.number))
        return object.__getattribute__(self, name)


# --- reading -----------------------------------------------------------------------------------------------


def test_a_missing_file_is_an_empty_config(home: Home) -> None:
    """No config.yaml means nothing configured."""
    assert read_config(home, {}) == EMPTY_CONFIG


@pytest.mark.parametrize("text", ["", "\n", "# only\n", "---\n", "null\n", "~", "{}", "\ufeff", "---\n...\n"])
def test_an_empty_document_is_an_empty_config(home: Home, text: str) -> None:
    """A file that says nothing is as good as none."""
    assert read_config(written(home, text), {}) == EMPTY_CONFIG


def test_an_unreadable_file_is_broken(home: Home) -> None:
    """What the system refuses to hand out is reported, not taken for empty."""
    written(home, "a: b\n")
    with pytest.raises(ConfigBroken, match=r"config\.yaml: cannot be read: Permission denied$"):
        read_config(home, {}, FailingDisk("open_read", errno.EACCES))


def test_a_folder_in_its_place_is_broken(home: Home) -> None:
    """A directory called config.yaml is an error of one line."""
    home.config_path.mkdir()
    with pytest.raises(ConfigBroken, match="cannot be read"):
        read_config(home, {})


@pytest.mark.parametrize("text", ["[a]", "- a\n- b\n", "word", "5", "[]", "'x'", "2024-01-01"])
def test_a_document_of_another_shape_is_broken(text: str) -> None:
    """Lists and scalars are no configuration."""
    with pytest.raises(ConfigBroken, match="not a mapping at the top level"):
        parsed(text)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"a: b\nc: d: e\n", 2),
        (b"a: b\nc: [1, 2\n", 3),
        (b"a: b\n\xff\xfe: c\n", 2),
        ("a: b\n".encode("utf-16"), 1),
        (b"a: b\nx: \x00\n", 2),
        (b"a: b\nx: \x07\n", 2),
        (b"a:\n\tb: c\n", 2),
        (b"a: *nowhere\n", 1),
        (b"a: 1\n---\nb: 2\n", 2),
        (b"? [a]\n: b\n", 1),
        (b"? {a: b}\n: c\n", 1),
        (b"a: !!python/object:os.system x\n", 1),
        (b"<<: 5\n", 1),
        (b"a: 2024-13-45\n", None),
        (b"a: !!bool word\n", None),
        (b"a: !!int ''\n", None),
        (b"a: !!timestamp x\n", None),
        (b"a: " + b"9" * 5000 + b"\n", None),
        (b"a: !!float " + b"9:" * 400 + b"9\n", None),
        (b"a: " + b"[" * 200_000, None),
        (b"a: " + b"[" * 20_000 + b"]" * 20_000, None),
        (b"a:\n " + b"- " * 200_000 + b"x\n", None),
        (b"{a: " * 100_000, None),
        (b"? " * 100_000 + b"x", None),
    ],
)
def test_broken_input_is_one_line_and_says_where(data: bytes, line: int | None) -> None:
    """Whatever is wrong with the bytes, the error is a `ConfigBroken` of one short line."""
    with pytest.raises(ConfigBroken) as caught:
        parse_config(data, {}, PATH)
    assert caught.value.line == line
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    "text",
    [
        "api_key: sk-planted: x\n",
        "api_key: *sk-planted\n",
        "api_key: !sk-planted x\n",
        "a: &sk-planted 1\nb: &sk-planted\n  - [\n",
        "api_key: 'sk-planted\n",
        "api_key: @sk-planted\n",
        'api_key: "\\sk-planted"\n',
        "%TAG !sk-planted! x\n",
    ],
)
@pytest.mark.parametrize("compiled", [True, False])
def test_an_error_never_quotes_the_file(
    text: str, monkeypatch: pytest.MonkeyPatch, *, compiled: bool
) -> None:
    """A key beside a typo does not end up in the message, with either parser."""
    if not compiled:
        monkeypatch.setattr(config_edit, "_SAFE_DEPTH", -1)
    with pytest.raises(ConfigBroken) as caught:
        parsed(text)
    assert "sk-planted" not in f"{caught.value} {caught.value.__cause__}"
    assert "\n" not in str(caught.value)


def test_the_usual_mistake_is_named() -> None:
    """A colon too many is told in words, with its line."""
    with pytest.raises(ConfigBroken, match=r"line 2: not valid YAML: mapping values are not allowed"):
        parsed("a: b\nc: d: e\n")


def test_aliases_that_multiply_cost_nothing(home: Home) -> None:
    """A bomb of aliases is read, and edited, in the time its bytes deserve."""
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    written(home, "\n".join([*rows, f"{S}:", "  openrouter: *a11", "  zai: random", ""]))
    assert read_config(home, {}).strategies == {"openrouter": "list", "zai": "random"}
    assert set_strategy(home, "zai", "least_used", env={}) is True
    assert b"  zai: least_used\n" in home.config_path.read_bytes()


def test_many_brackets_are_not_taken_for_depth() -> None:
    """A file full of braces that do not nest is left to the fast parser; a deep one is not."""
    flat = "a: '" + "{[" * 5000 + "'\nb:\n" + "- [1, {c: d}]\n" * 2000
    assert len(config_edit._loaders_for(flat)) == 2
    assert len(config_edit._loaders_for(flat + "e: " + "[']'," * 1000)) == 1


def test_merge_keys_that_multiply_are_refused() -> None:
    """A bomb of merge keys is broken input, not an endless one."""
    rows = ["a0: &a0 {x: 1}"]
    rows += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    with pytest.raises(ConfigBroken, match="not valid YAML"):
        parsed("\n".join(rows))


def test_a_document_that_holds_itself_is_read_and_edited() -> None:
    """A cycle of aliases neither hangs the reader nor the check after an edit."""
    text = f"loop: &l [*l, {{in: *l}}]\nmap: &m {{self: *m}}\n{S}: {{zai: *l}}\n"
    assert parsed(text).strategies == {"zai": "list"}
    assert edited(text, "xai") == text.replace("{zai: *l}", "{zai: *l, xai: least_used}")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.one_of(
        st.binary(max_size=60), st.text("-?:,[]{}#&*!|>'\"%@` \t\n\rab~=<$.0", max_size=60).map(str.encode)
    )
)
def test_any_bytes_are_a_config_or_broken(data: bytes) -> None:
    """No input makes the reader or the editor raise anything but the errors it promises."""
    for act in (lambda: parse_config(data, {}, PATH), lambda: with_word(data, S, "zai", "random", PATH)):
        try:
            act()
        except (ConfigBroken, Refused):
            continue


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = [
    "name",
    "base_url",
    "url",
    "api_key",
    "key_env",
    "enabled",
    "provider",
    "model",
    "api",
    "baseUrl",
    "apiKey",
]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.sampled_from(
            [S, "custom_providers", "providers", "fallback_providers", "fallback_model", "model", "provider"]
        ),
        JUNK
        | st.dictionaries(st.sampled_from(FIELDS), JUNK)
        | st.lists(st.dictionaries(st.sampled_from(FIELDS), JUNK), max_size=3)
        | st.dictionaries(st.text(max_size=3), st.dictionaries(st.sampled_from(FIELDS), JUNK), max_size=3),
    ),
)
def test_wrong_types_anywhere_are_tolerated(document: dict[str, Any]) -> None:
    """A document of any shape gives a `Config` whose fields have their types."""
    config = parse_config(yaml.safe_dump(document).encode(), {}, PATH)
    assert all(isinstance(text, str) for pair in config.strategies.items() for text in pair)
    assert all(isinstance(endpoint.name, str) for endpoint in config.endpoints)
    assert all(hop.provider and hop.model for hop in config.fallback)
    custom_pool_key_for(config, "http://a", "b")


@pytest.mark.parametrize("compiled", [True, False])
def test_both_parsers_read_the_same(monkeypatch: pytest.MonkeyPatch, *, compiled: bool) -> None:
    """Where PyYAML has no compiled loader, the other one serves."""
    if not compiled:
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    config_edit._loaders.cache_clear()
    try:
        assert len(config_edit._loaders_for("")) == 1 + compiled
        assert parsed(f"{S}: {{zai: Random}}").strategies == {"zai": "random"}
        assert edited(f"{S}: {{zai: Random}}") == f"{S}: {{zai: Random, openrouter: least_used}}"
    finally:
        config_edit._loaders.cache_clear()


def test_importing_the_module_leaves_yaml_alone() -> None:
    """YAML is 30 ms that a start without config.yaml does not pay."""
    code = "import sys, keydeck.engine.config; sys.exit('yaml' in sys.modules)"
    tui = Path(config_edit.__file__).parents[2]
    assert (
        subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(tui)}, check=False).returncode
        == 0
    )


# --- strategies --------------------------------------------------------------------------------------------


def test_strategies_are_stripped_lowered_and_otherwise_kept() -> None:
    """Known names, unknown names and values of other types all stay visible as text."""
    config = parsed(
        f"{S}:\n  openrouter: ' Round_Robin '\n  zai: quota_aware\n  a: 5\n  b: true\n  c: 1.5\n  d: 2024-01-02\n"
        "  e: [secret]\n  f: {secret: x}\n  custom:my-llm: random\n",
    )
    assert config.strategies == {
        "openrouter": "round_robin",
        "zai": "quota_aware",
        "a": "5",
        "b": "true",
        "c": "1.5",
        "d": "2024-01-02",
        "e": "list",
        "f": "dict",
        "custom:my-llm": "random",
    }
    assert config.strategy_of(" OpenRouter ") == "round_robin"


@pytest.mark.parametrize("value", ["", "~", "0", "false", "''", "'  '", "[]", "{}"])
def test_a_falsy_strategy_is_none(value: str) -> None:
    """What hermes takes for "not set" is not set here either."""
    config = parsed(f"{S}:\n  zai: {value}\n")
    assert config.strategies == {}
    assert config.strategy_of("zai") == DEFAULT_STRATEGY


def test_a_key_in_another_case_does_not_count() -> None:
    """Hermes looks the lower-case pool key up as it is, so ``OpenRouter:`` is nobody's."""
    config = parsed(f"{S}: {{OpenRouter: random, ' zai': random, 5: random, null: random}}")
    assert config.strategy_of("openrouter") == DEFAULT_STRATEGY
    assert config.strategy_of("zai") == DEFAULT_STRATEGY
    assert dict(config.strategies) == {"OpenRouter": "random", " zai": "random"}


@pytest.mark.parametrize("section", ["[a, b]", "random", "5", "~", "[{openrouter: random}]"])
def test_a_section_of_another_shape_is_no_section(section: str) -> None:
    """A list or word where the map should be leaves every pool at the default."""
    assert parsed(f"{S}: {section}\n").strategies == {}


def test_a_number_beyond_printing_is_no_strategy() -> None:
    """An integer that Python will not turn into text is named by its type."""
    assert parsed(f"{S}: {{zai: 0x{'f' * 9000}}}").strategies == {"zai": "int"}


def test_a_variable_is_expanded_and_an_unset_one_stays() -> None:
    """``${VAR}`` is replaced from the environment given; what it does not have stays literal."""
    config = parsed(f"{S}:\n  a: ${{HOW}}\n  b: ${{NOPE}}\n", HOW=" Random")
    assert config.strategies == {"a": "random", "b": "${nope}"}


def test_the_strategies_cannot_be_changed_in_place() -> None:
    """A config is a value; so is its map."""
    with pytest.raises(TypeError):
        parsed(f"{S}: {{zai: random}}").strategies["zai"] = "x"  # type: ignore[index]


# --- endpoints ---------------------------------------------------------------------------------------------

LISTED = """\
custom_providers:
- name: " My LLM "
  base_url: " http://a/v1/ "
  api_key: " sk-planted-a "
- {name: Other, url: http://b/v1, api_key: "${B_KEY}", key_env: B_ENV}
- {name: Third, api: http://c/v1, api_key: "pre-${UNSET}-${C}", apiKeyEnv: C_ENV, enabled: false}
- {name: Numbered, base_url: http://d/v1, api_key: 12345}
- {name: my llm, base_url: http://second/v1, api_key: sk-planted-2}
- {base_url: http://nameless}
- {name: 5, base_url: http://number}
- junk
- null
"""


def test_the_list_shape() -> None:
    """Items of ``custom_providers`` become endpoints; unnamed ones and repeated pool keys do not."""
    config = parsed(LISTED, B_KEY="sk-b", C="x")
    assert config.endpoints == (
        CustomEndpoint("My LLM", "custom:my-llm", None, "http://a/v1", Secret("sk-planted-a"), None, None),
        CustomEndpoint("Other", "custom:other", None, "http://b/v1", Secret("sk-b"), None, "B_ENV"),
        CustomEndpoint("Third", "custom:third", None, "http://c/v1", None, "UNSET", "C_ENV", enabled=False),
        CustomEndpoint("Numbered", "custom:numbered", None, "http://d/v1", Secret("12345"), None, None),
    )


def test_no_secret_shows_in_a_repr() -> None:
    """Printing a config shows no key."""
    config = parsed(LISTED + "model: {provider: custom, base_url: http://a/v1, api_key: sk-planted-m}\n")
    assert config.model_endpoint is not None
    assert "planted" not in repr(config)


MAPPED = """\
providers:
  one: {base_url: http://a/v1/, api_key: sk-a}
  two: {name: " Fancy (x) Y ", baseUrl: "http://b/v1", apiKey: " sk-b ", keyEnv: B_ENV}
  three: {url: nourl, api: "http://c/{region}", api_key: 12345, api_key_env: C_ENV}
  four: {base_url: "${D_URL}", enabled: false, api_key: "${UNSET}"}
  7: {url: http://seven}
  dropped: {base_url: nourl}
  broken: {base_url: "http://["}
  empty: {}
  word: http://x
  nothing:
"""


def test_the_map_shape() -> None:
    """Entries of ``providers`` become endpoints under their display name; those without a URL do not."""
    assert parsed(MAPPED, D_URL="http://d/v1/").endpoints == (
        CustomEndpoint("one", "custom:one", "one", "http://a/v1", Secret("sk-a"), None, None),
        CustomEndpoint(
            "Fancy (x) Y", "custom:fancy-(x)-y", "two", "http://b/v1", Secret("sk-b"), None, "B_ENV"
        ),
        CustomEndpoint("three", "custom:three", "three", "http://c/{region}", None, None, "C_ENV"),
        CustomEndpoint("four", "custom:four", "four", "http://d/v1", None, "UNSET", None, enabled=False),
        CustomEndpoint("7", "custom:7", "7", "http://seven", None, None, None),
    )


def test_both_shapes_are_joined_list_first() -> None:
    """An endpoint in both places is the list's."""
    config = parsed(
        "providers:\n  a: {base_url: http://map, api_key: m}\n  b: {base_url: http://b}\n"
        "custom_providers:\n- {name: A, base_url: http://list, api_key: l}\n",
    )
    assert [(e.pool_key, e.base_url, e.map_key) for e in config.endpoints] == [
        ("custom:a", "http://list", None),
        ("custom:b", "http://b", "b"),
    ]


@pytest.mark.parametrize(
    "junk", ["{x: {name: a, base_url: 'http://a'}}", "word", "5", "~", "[]", "[[], 5, ~]"]
)
def test_an_endpoint_section_of_another_shape_is_empty(junk: str) -> None:
    """A map where the list belongs, or worse, gives no endpoints and no error."""
    assert parsed(f"custom_providers: {junk}\n").endpoints == ()


def test_a_variable_set_to_nothing_is_no_key() -> None:
    """An empty variable leaves no key, and is not reported as unset."""
    (endpoint,) = parsed("providers: {a: {base_url: 'http://a', api_key: '${E}'}}", E="").endpoints
    assert (endpoint.api_key, endpoint.api_key_unset) == (None, None)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("My LLM", "custom:my-llm"),
        (" a  b ", "custom:a--b"),
        ("dup(x) Y", "custom:dup(x)-y"),
        ("", "custom:"),
    ],
)
def test_the_pool_key_of_a_name(name: str, key: str) -> None:
    """Strip, lower-case, each space a hyphen, nothing else."""
    assert custom_pool_key(name) == key


# --- which pool a URL belongs to ---------------------------------------------------------------------------

BOTH = """\
custom_providers:
- {name: A, base_url: http://shared/v1/}
- {name: B, base_url: http://shared/v1}
- {name: a, base_url: http://again/v1}
- {name: Bare}
- {name: Alias, url: http://alias/v1}
providers:
  c: {base_url: http://c/v1}
  d: {base_url: http://shared/v1}
"""


@pytest.mark.parametrize(
    ("url", "name", "key"),
    [
        ("http://shared/v1", None, "custom:a"),
        (" http://shared/v1// ", None, "custom:a"),
        ("http://shared/v1", " b ", "custom:b"),
        ("http://elsewhere", "bare", "custom:bare"),
        ("  ", "b", "custom:b"),
        ("http://again/v1", None, "custom:a"),
        ("HTTP://shared/v1", None, None),
        ("http://elsewhere", "nobody", None),
        ("http://elsewhere", None, None),
        ("", "b", None),
        (None, "b", None),
        ("  ", None, None),
        # hermes does not look at the map while there is a list, so these are answers where it has none …
        ("http://c/v1", None, "custom:c"),
        ("http://elsewhere", "c", "custom:c"),
        ("http://alias/v1", None, "custom:alias"),
        # … and here it has one, by URL, which stands although the name is the map's.
        ("http://shared/v1", "d", "custom:a"),
    ],
)
def test_the_pool_of_a_url(url: str | None, name: str | None, key: str | None) -> None:
    """A known name wins, then the first equal URL; what hermes finds comes before what only we read."""
    assert custom_pool_key_for(parsed(BOTH), url, name) == key


def test_the_map_is_searched_where_there_is_no_list() -> None:
    """Without ``custom_providers`` hermes looks through the map."""
    config = parsed("custom_providers:\nproviders: {a: {base_url: http://a/v1/}}\n")
    assert config.lookup == (("http://a/v1", "custom:a"),)
    assert custom_pool_key_for(config, "http://a/v1") == "custom:a"
    assert custom_pool_key_for(EMPTY_CONFIG, "http://a/v1", "a") is None


# --- fallback and model ------------------------------------------------------------------------------------


def test_the_fallback_chain_is_joined_and_each_hop_is_once() -> None:
    """New list first, then the legacy key; repeats in any case and hops without provider or model go."""
    config = parsed(
        "fallback_providers:\n"
        "- {provider: ' zai ', model: glm, base_url: ' http://u/ '}\n"
        "- {provider: zai, model: glm}\n"
        "- {provider: ZAI, model: GLM, base_url: 'http://U', api_key: sk-planted}\n"
        "- {provider: zai}\n- {model: glm}\n- junk\n- {provider: 0, model: x}\n"
        "- {provider: '${P}', model: 4.5, base_url: 5}\n"
        "fallback_model: {provider: xai, model: grok}\n",
        P="deepseek",
    )
    assert config.fallback == (
        FallbackHop("zai", "glm", "http://u"),
        FallbackHop("zai", "glm", None),
        FallbackHop("deepseek", "4.5", None),
        FallbackHop("xai", "grok", None),
    )


def test_the_legacy_chain_may_be_a_list_and_the_new_one_a_map() -> None:
    """Either key takes either shape; a chain inside ``model`` is not read."""
    config = parsed(
        "fallback_providers: {provider: a, model: b}\nfallback_model: [{provider: c, model: d}, {provider: A, model: B}]\n"
        "model: {fallback_providers: [{provider: e, model: f}]}\n",
    )
    assert config.fallback == (FallbackHop("a", "b", None), FallbackHop("c", "d", None))


@pytest.mark.parametrize(
    ("text", "provider"),
    [
        ("model: {provider: ' ZAI '}", "zai"),
        ("model: glm\nprovider: zai", "zai"),
        ("model: {provider: xai}\nprovider: zai", "xai"),
        ("model: {provider: ''}\nprovider: zai", "zai"),
        ("model: glm", None),
        ("model: [x]", None),
        ("model: {provider: 5}", None),
        ("provider: [zai]", None),
    ],
)
def test_the_model_provider(text: str, provider: str | None) -> None:
    """``model.provider`` counts, else a ``provider`` at the root."""
    assert parsed(text).model_provider == provider


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("model: {provider: Custom, base_url: 'http://a/v1/', api_key: sk-m}", "http://a/v1"),
        ("model: {provider: custom, base_url: http://a/v1, api: sk-m}", "http://a/v1"),
        ("model: {provider: custom, api_base: http://a/v1, api: ' sk-m ', api_key: ''}", "http://a/v1"),
        ("model: {api_key: sk-m}\nprovider: custom\nbase_url: http://a/v1", "http://a/v1"),
        (
            "model: {provider: custom, api_key: '${K}', api_base: http://x}\napi_base: http://a/v1",
            "http://a/v1",
        ),
        ("model: {provider: zai, base_url: http://a/v1, api_key: sk-m}", None),
        ("model: {provider: custom, api_key: sk-m}", None),
        ("model: {provider: custom, base_url: http://a/v1}", None),
        ("model: {provider: custom, base_url: http://a/v1, api_key: 5}", None),
        ("model: {provider: custom, base_url: http://a/v1, api_key: '${UNSET}'}", None),
        ("model: custom", None),
    ],
)
def test_the_model_endpoint(text: str, url: str | None) -> None:
    """A ``custom`` model with a URL and a key that is really there is an endpoint."""
    assert parsed(text, K="sk-m").model_endpoint == (ModelEndpoint(url, Secret("sk-m")) if url else None)


# --- changing one value: the table -------------------------------------------------------------------------

CASES = {
    "block": (f"{S}:\n  openrouter: random\n", f"{S}:\n  openrouter: least_used\n"),
    "flow": (f"{S}: {{openrouter: random}}\n", f"{S}: {{openrouter: least_used}}\n"),
    "json": (f'{{"{S}":{{"openrouter":"random"}}}}', f'{{"{S}":{{"openrouter":"least_used"}}}}'),
    "quoted key": (f"'{S}':\n  \"openrouter\": random\n", f"'{S}':\n  \"openrouter\": least_used\n"),
    "single quotes": (f"{S}:\n  openrouter: 'random'  # c\n", f"{S}:\n  openrouter: 'least_used'  # c\n"),
    "escape": (f'{S}:\n  openrouter: "ra\\x6edom" # x"\n', f'{S}:\n  openrouter: "least_used" # x"\n'),
    "comment": (f"{S}: # s\n  openrouter:   random # r\n", f"{S}: # s\n  openrouter:   least_used # r\n"),
    "other values": (
        f"a: random\n{S}:\n  zai: random\n  openrouter: random\n  xai: random\nb: random",
        f"a: random\n{S}:\n  zai: random\n  openrouter: least_used\n  xai: random\nb: random",
    ),
    "same key elsewhere": (
        f"x: {{{S}: {{openrouter: random}}}}\n{S}: {{openrouter: random}}\n",
        f"x: {{{S}: {{openrouter: random}}}}\n{S}: {{openrouter: least_used}}\n",
    ),
    "crlf": (
        f"a: é\r\n{S}:\r\n  openrouter: random\r\nb: 1\r\n",
        f"a: é\r\n{S}:\r\n  openrouter: least_used\r\nb: 1\r\n",
    ),
    "bom and astral": (
        f"\ufeffa: 😀é\n{S}: {{zai: '😀', openrouter: 'x'}} # 😀\n",
        f"\ufeffa: 😀é\n{S}: {{zai: '😀', openrouter: 'least_used'}} # 😀\n",
    ),
    "tabs": (f"{S}:\t# t\n  openrouter:\trandom\t# t\n", f"{S}:\t# t\n  openrouter:\tleast_used\t# t\n"),
    "directive": (
        f"%YAML 1.1\n---\n{S}: {{openrouter: random}}\n...\n# after\n",
        f"%YAML 1.1\n---\n{S}: {{openrouter: least_used}}\n...\n# after\n",
    ),
    "no final newline": (f"{S}:\n  openrouter: random", f"{S}:\n  openrouter: least_used"),
    "folded": (
        f"{S}:\n  openrouter: >-  # why\n    ran\n    dom\n\n\n  zai: x\n",
        f"{S}:\n  openrouter: least_used  # why\n\n\n  zai: x\n",
    ),
    "literal at the end": (f"{S}:\n  openrouter: |\n    random", f"{S}:\n  openrouter: least_used"),
    "two plain lines": (
        f"{S}:\n  openrouter: quota\n    aware # c\n",
        f"{S}:\n  openrouter: least_used # c\n",
    ),
    "two quoted lines": (
        f"{S}:\n  openrouter: 'quota\n\n    aware' # c\n",
        f"{S}:\n  openrouter: 'least_used' # c\n",
    ),
    "alias": (
        f"x: &a random\ny: *a\n{S}:\n  zai: *a\n  openrouter: *a # c\n  xai: *a\n",
        f"x: &a random\ny: *a\n{S}:\n  zai: *a\n  openrouter: least_used # c\n  xai: *a\n",
    ),
    "alias in flow": (
        f"x: &a r\n{S}: {{openrouter: *a ,b: *a }}\n",
        f"x: &a r\n{S}: {{openrouter: least_used ,b: *a }}\n",
    ),
    "alias of a map": (
        f"x: &a {{b: c}}\n{S}:\n  openrouter: *a\n",
        f"x: &a {{b: c}}\n{S}:\n  openrouter: least_used\n",
    ),
    "unused anchor": (f"{S}:\n  openrouter: &a random\n", f"{S}:\n  openrouter: least_used\n"),
    "used anchor": (f"{S}:\n  openrouter: &a random\nx: *a\n", None),
    "tag": (f"{S}:\n  openrouter: !!str 5 # c\n", f"{S}:\n  openrouter: least_used # c\n"),
    "number": (f"{S}:\n  openrouter: 5\n", f"{S}:\n  openrouter: least_used\n"),
    "null word": (f"{S}:\n  openrouter: ~ # c\n", f"{S}:\n  openrouter: least_used # c\n"),
    "null": (f"{S}:\n  openrouter:\n  zai: x\n", f"{S}:\n  openrouter: least_used\n  zai: x\n"),
    "null, comment": (f"{S}:\n  openrouter: # c\n", f"{S}:\n  openrouter: least_used # c\n"),
    "null in flow": (f"{S}: {{openrouter: , a: b}}\n", f"{S}: {{openrouter: least_used , a: b}}\n"),
    "bare in flow": (f"{S}: {{openrouter}}\n", f"{S}: {{openrouter: least_used}}\n"),
    "twice": (
        f"{S}:\n  openrouter: a\n  openrouter: b\n",
        f"{S}:\n  openrouter: a\n  openrouter: least_used\n",
    ),
    "section twice": (
        f"{S}:\n  openrouter: a\n{S}:\n  openrouter: b\n",
        f"{S}:\n  openrouter: a\n{S}:\n  openrouter: least_used\n",
    ),
    "explicit key": (f"? {S}\n: ? openrouter\n  : random\n", f"? {S}\n: ? openrouter\n  : least_used\n"),
    "own value over a merged one": (
        f"x: &m {{openrouter: a}}\n{S}:\n  <<: *m\n  openrouter: b\n",
        f"x: &m {{openrouter: a}}\n{S}:\n  <<: *m\n  openrouter: least_used\n",
    ),
    "value is a list": (f"{S}:\n  openrouter: [random]\n", None),
    "value is a map": (f"{S}:\n  openrouter:\n    a: b\n", None),
    # The pool is not in the section yet.
    "new": (f"{S}:\n  zai: x\nb: 1\n", f"{S}:\n  zai: x\n  openrouter: least_used\nb: 1\n"),
    "new, other case": (
        f"{S}:\n  OpenRouter: x\n  'openrouter ': y\n",
        f"{S}:\n  OpenRouter: x\n  'openrouter ': y\n  openrouter: least_used\n",
    ),
    "new, deep indent": (
        f"{S}:\n      zai: x # c\n",
        f"{S}:\n      zai: x # c\n      openrouter: least_used\n",
    ),
    "new, comments after": (
        f"{S}:\n  # first\n  zai: x  # z\n  # last\n\n# next\nb: 1\n",
        f"{S}:\n  # first\n  zai: x  # z\n  openrouter: least_used\n  # last\n\n# next\nb: 1\n",
    ),
    "new, no final newline": (f"{S}:\n  zai: x # c", f"{S}:\n  zai: x # c\n  openrouter: least_used\n"),
    "new, crlf": (f"{S}:\r\n  zai: x\r\nb: 1", f"{S}:\r\n  zai: x\r\n  openrouter: least_used\r\nb: 1"),
    "new, last is null": (f"{S}:\n  zai:\nb: 1\n", f"{S}:\n  zai:\n  openrouter: least_used\nb: 1\n"),
    "new, last is an alias": (
        f"x: &a r\n{S}:\n  zai: *a\nb: 1\n",
        f"x: &a r\n{S}:\n  zai: *a\n  openrouter: least_used\nb: 1\n",
    ),
    "new, last is literal": (
        f"{S}:\n  zai: |\n    x\n  # c\nb: 1\n",
        f"{S}:\n  zai: |\n    x\n  openrouter: least_used\n  # c\nb: 1\n",
    ),
    "new, last is kept": (
        f"{S}:\n  zai: |+\n    x\n\nb: 1\n",
        f"{S}:\n  zai: |+\n    x\n\n  openrouter: least_used\nb: 1\n",
    ),
    "new, last is open": (f"{S}:\n  zai: |\n    x", f"{S}:\n  openrouter: least_used\n  zai: |\n    x"),
    "new, last is nested": (
        f"{S}:\n  zai:\n    - a\n    - {{b: c}} # c\nd: e\n",
        f"{S}:\n  zai:\n    - a\n    - {{b: c}} # c\n  openrouter: least_used\nd: e\n",
    ),
    "new beside a merge": (
        f"x: &m {{openrouter: a}}\n{S}:\n  <<: *m\n",
        f"x: &m {{openrouter: a}}\n{S}:\n  <<: *m\n  openrouter: least_used\n",
    ),
    "new in an anchored section": (f"{S}: &s\n  zai: x\n", f"{S}: &s\n  zai: x\n  openrouter: least_used\n"),
    "new in a shared section": (f"{S}: &s\n  zai: x\nb: *s\n", None),
    "new in flow": (f"{S}: {{zai: x}} # c\n", f"{S}: {{zai: x, openrouter: least_used}} # c\n"),
    "new in flow, comma": (f"{S}: {{ zai: x, }}\n", f"{S}: {{ zai: x, openrouter: least_used }}\n"),
    "new in flow, last is null": (f"{S}: {{zai: }}\n", f"{S}: {{openrouter: least_used, zai: }}\n"),
    "new in flow, lines": (
        f"{S}: {{\n  zai: x,  # z\n  xai: y   # x\n}}\n",
        f"{S}: {{\n  zai: x,  # z\n  xai: y, openrouter: least_used   # x\n}}\n",
    ),
    # The section holds nothing.
    "empty map": (f"{S}: {{}} # c\n", f"{S}: {{openrouter: least_used}} # c\n"),
    "empty": (f"{S}: # c\n# d\nb: 1\n", f"{S}: # c\n  openrouter: least_used\n# d\nb: 1\n"),
    "empty at the end": (f"b:\n   c: d\n{S}:", f"b:\n   c: d\n{S}:\n   openrouter: least_used\n"),
    "empty word": (f"{S}: null # c\n", f"{S}: {{openrouter: least_used}} # c\n"),
    "empty in flow": (f"{{a: b, {S}: }}\n", f"{{a: b, {S}: {{openrouter: least_used}} }}\n"),
    "empty and anchored": (f"{S}: &s # c\n", f"{S}: {{openrouter: least_used}} # c\n"),
    "empty and shared": (f"{S}: &s\nb: *s\n", None),
    # There is no section.
    "missing": ("a: b\n", f"a: b\n{S}:\n  openrouter: least_used\n"),
    "missing, no newline": ("a: b # c", f"a: b # c\n{S}:\n  openrouter: least_used\n"),
    "missing, crlf": ("a: b\r\nc: d", f"a: b\r\nc: d\r\n{S}:\r\n  openrouter: least_used\r\n"),
    "missing, cr": ("a: b\rc: d\r", f"a: b\rc: d\r{S}:\r  openrouter: least_used\r"),
    "missing, indent": ("a:\n    b: c\n", f"a:\n    b: c\n{S}:\n    openrouter: least_used\n"),
    "missing, one space": (" a:\n  b: c\n", f" a:\n  b: c\n {S}:\n  openrouter: least_used\n"),
    "missing, comments": ("a: b\n\n# x\n  # y", f"a: b\n\n# x\n  # y\n{S}:\n  openrouter: least_used\n"),
    "missing, document end": (
        "---\na: b\n# c\n...\n# d\n",
        f"---\na: b\n# c\n{S}:\n  openrouter: least_used\n...\n# d\n",
    ),
    "missing, literal": ("a: |\n  x\n\n", f"a: |\n  x\n\n{S}:\n  openrouter: least_used\n"),
    "missing, kept": ("a: |+\n  x\n\n", f"a: |+\n  x\n\n{S}:\n  openrouter: least_used\n"),
    "missing, open literal": ("# c\na: |\n  x", f"# c\n{S}:\n  openrouter: least_used\na: |\n  x"),
    "missing, flow": ("{a: b}\n", f"{{a: b, {S}: {{openrouter: least_used}}}}\n"),
    "missing, empty flow": ("{}", f"{{{S}: {{openrouter: least_used}}}}"),
    "missing, list last": ("a:\n- b\n- c\n", f"a:\n- b\n- c\n{S}:\n  openrouter: least_used\n"),
    "nothing": ("", f"{S}:\n  openrouter: least_used\n"),
    "bom only": ("\ufeff", f"\ufeff{S}:\n  openrouter: least_used\n"),
    "comments only": ("# a\n# b", f"# a\n# b\n{S}:\n  openrouter: least_used\n"),
    "start only": ("---", f"---\n{S}:\n  openrouter: least_used\n"),
    "start and end": ("---\n...\n", f"---\n{S}:\n  openrouter: least_used\n...\n"),
    "null document": ("~\n", None),
    # What cannot be done by touching one place.
    "merged section": (f"x: &m\n  {S}: {{zai: a}}\n<<: *m\n", None),
    "aliased section": (f"x: &m {{zai: a}}\n{S}: *m\n", None),
    "aliased null": (f"x: &m\n{S}: *m\n", None),
    "bom inside": (f"\n\ufeff{S}: {{openrouter: random}}\n", None),
    "key beyond printing": (f"0x{'f' * 9000}: a\n{S}: {{openrouter: random}}\n", None),
    "section is a list": (f"{S}: [openrouter]\n", None),
    "section is a word": (f"{S}: random\n", None),
    "section is an empty list": (f"{S}: []\n", None),
    "section is a set": (f"{S}: !!set {{openrouter}}\n", None),
}


@pytest.mark.parametrize(("before", "after"), CASES.values(), ids=CASES.keys())
def test_exactly_these_bytes_change(before: str, after: str | None) -> None:
    """Every form of the file gives exactly this text, or a refusal that says what to do by hand."""
    if after is not None:
        assert edited(before) == after
        return
    with pytest.raises((Refused, ConfigBroken)) as caught:
        edited(before)
    if isinstance(caught.value, Refused):
        assert str(caught.value).endswith(f"; set {S} → openrouter: least_used there by hand")


@pytest.mark.parametrize(
    ("key", "before", "after"),
    [
        ("custom:my-llm", f"{S}:\n  custom:my-llm: random\n", f"{S}:\n  custom:my-llm: least_used\n"),
        ("custom:my-llm", f"{S}:\n  'custom:my-llm': random\n", f"{S}:\n  'custom:my-llm': least_used\n"),
        ("custom:my-llm", "", f"{S}:\n  custom:my-llm: least_used\n"),
        ("custom:my-llm", f"{S}: {{}}", f"{S}: {{'custom:my-llm': least_used}}"),
        ("custom:a'b: #c", "", f"{S}:\n  'custom:a''b: #c': least_used\n"),
        ("custom:tab\there", "", f'{S}:\n  "custom:tab\\there": least_used\n'),
        ("custom:ключ-😀", "", f"{S}:\n  custom:ключ-😀: least_used\n"),
        ("null", f"{S}:\n  null: random\n", f"{S}:\n  null: random\n  'null': least_used\n"),
        ("1", f"{S}:\n  1: random\n", f"{S}:\n  1: random\n  '1': least_used\n"),
        ("1", f"{S}:\n  1: random\n  '1': random\n", f"{S}:\n  1: random\n  '1': least_used\n"),
        ("<<", "", f"{S}:\n  '<<': least_used\n"),
        ("yes", "", f"{S}:\n  'yes': least_used\n"),
    ],
)
def test_pool_keys_that_need_care(key: str, before: str, after: str) -> None:
    """A key is quoted when YAML would read it as something else, and only the string counts."""
    assert edited(before, key) == after


@pytest.mark.parametrize("key", ["custom:" + "x" * 200, "custom:a\nb", "custom:a\u2028b"])
def test_a_key_that_fits_no_line_is_refused(key: str) -> None:
    """A name too long or broken for one line of YAML is left to the operator."""
    with pytest.raises(Refused):
        edited("a: b\n", key)


BIG = """\
# ── our agents ── do not sort ─────────────────────────────
%(mark)s
_config_version:   33
model:
    default:   "glm-5"      # the "good" one: #1
    provider:  zai
defaults: &defaults
    retries: 0o7
    note: >+
        folded: openrouter: random
          more # not a comment

        %(section)s: {openrouter: random}

    "odd \\u00e9": 'it''s ''quoted'''
custom_providers:
-   {name: "Ключ 😀", base_url: "http://a/v1", api_key: "${A_KEY}"}   # flow
-   <<: *defaults
    name: second
    models: [a,b , "c: d", ]
'%(section)s':      # who picks how
    # openrouter: fill_first
    "zai":         &z   'round_robin'   # anchored
    ? custom:my-llm
    : *z
    openrouter: %(strategy)s      # ← here
    xai:
    OpenRouter: random

list:
- |
  openrouter: random
   indented
-
  - nan: .nan
    inf: -.inf
    when: 2024-01-02 03:04:05.5 +02:00
    bytes: !!binary aGVsbG8=
    set: !!set {a, b}
...
# %(section)s:
#   openrouter: random
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("old", ["random", '"random"', "'random'", "quota_aware"])
def test_a_big_commented_file_keeps_every_other_byte(newline: str, old: str) -> None:
    """Comments, anchors, folded text and odd quoting come through; look-alikes elsewhere are not touched."""

    def text(strategy: str) -> str:
        return "\ufeff" + (BIG % {"mark": "---", "section": S, "strategy": strategy}).replace("\n", newline)

    quote = old[0] if old[0] in "'\"" else ""
    assert edited(text(old)) == text(f"{quote}least_used{quote}")
    assert parsed(edited(text(old))).strategies == {
        "zai": "round_robin",
        "custom:my-llm": "round_robin",
        "openrouter": "least_used",
        "OpenRouter": "random",
    }


# --- changing one value: the property ----------------------------------------------------------------------

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.datetimes()
    | st.binary(max_size=6)
) | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
POOLS = st.sampled_from(["openrouter", "zai", "custom:my-llm", "OpenRouter", "custom:a b", "1"])
STYLES = st.fixed_dictionaries(
    {
        "default_style": st.sampled_from([None, None, "'", '"', "|", ">"]),
        "default_flow_style": st.sampled_from([False, False, True, None]),
        "indent": st.integers(2, 6),
        "width": st.sampled_from([20, 80, 1000]),
        "allow_unicode": st.booleans(),
        "line_break": st.sampled_from(["\n", "\r\n"]),
        "explicit_start": st.booleans(),
        "explicit_end": st.booleans(),
        "sort_keys": st.booleans(),
    },
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    document=st.dictionaries(st.text(max_size=6), VALUES, max_size=4),
    section=st.none()
    | st.dictionaries(POOLS, st.sampled_from(["random", "quota aware", "", "5"]) | st.none(), max_size=4),
    style=STYLES,
    key=st.sampled_from(["openrouter", "zai", "custom:my-llm", "1", "null"]),
    strategy=st.sampled_from(KNOWN_STRATEGIES),
    bom=st.booleans(),
    trimmed=st.booleans(),
)
def test_one_value_changes_and_no_other_byte(
    document: dict[str, Any],
    section: dict[str, Any] | None,
    style: Mapping[str, Any],
    key: str,
    strategy: str,
    *,
    bom: bool,
    trimmed: bool,
) -> None:
    """For any document in any style the result means the old one plus the change, around unchanged bytes."""
    old_word = (section or {}).get(key)
    assume(old_word != strategy)
    if section is not None:
        document = {**document, S: section}
    text = yaml.safe_dump(document, **style)
    text = ("\ufeff" if bom else "") + (text.rstrip("\r\n") if trimmed else text)
    assume(_is_its_own(text, document))

    after = edited(text, key, strategy)

    wanted = {**document, S: {**(section or {}), key: strategy}}
    assert repr(_sorted(parse_mapping(after.encode(), PATH))) == repr(_sorted(wanted))
    start = _common_prefix(text, after)
    end = _common_prefix(text[start:][::-1], after[start:][::-1])
    gone = "".join(
        text[start : len(text) - end].replace("\\", "").split()
    )  # without the folds of a long word
    # Quotes, a tag, or the header of a block scalar go with the old value; without one nothing goes.
    assert len(gone) <= (len(old_word or "null") + 20 if key in (section or {}) else 0)


def _common_prefix(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _is_its_own(text: str, document: object) -> bool:
    """Tell whether the dump says what was dumped: without its last line break a block scalar may not."""
    return repr(_sorted(parse_mapping(text.encode(), PATH))) == repr(_sorted(document))


def _sorted(value: Any) -> Any:
    """Make two equal documents print the same, whatever the order of their keys."""
    if isinstance(value, dict):
        return sorted((repr(key), _sorted(item)) for key, item in value.items())
    return [_sorted(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a: 1", "a: 1.0"),
        ("a: 1", "a: true"),
        ("a: 1", "a: '1'"),
        ("1: a", "true: a"),
        ("a: 0.0", "a: -0.0"),
        ("a: [1, 2]", "a: [1]"),
        ("a: {b: c}", "a: {b: d}"),
        ("a: !!set {b}", "a: !!set {c}"),
        ("a: !!pairs [b: c]", "a: !!pairs [b: d]"),
        ("a: 2024-01-01", "a: 2024-01-02"),
    ],
)
def test_the_check_after_an_edit_sees_types(one: str, other: str) -> None:
    """Values that Python calls equal, or nearly so, are not the same document."""
    left, right = yaml.safe_load(one), yaml.safe_load(other)
    assert config_edit._same(left, yaml.safe_load(one))
    assert not config_edit._same(left, right)


def test_the_check_after_an_edit_knows_nan() -> None:
    """NaN, as value or key, does not make a file uneditable."""
    text = "a: .nan\n.nan: b\n"
    assert edited(text) == f"{text}{S}:\n  openrouter: least_used\n"


# --- writing -----------------------------------------------------------------------------------------------


def test_setting_writes_and_says_so(home: Home) -> None:
    """The change is in the file, readable by the next read, in the pool's canonical key."""
    written(home, f"{S}:\n  openrouter: random # c\n")
    assert set_strategy(home, " OpenRouter ", "sticky", env={}) is True
    assert home.config_path.read_text() == f"{S}:\n  openrouter: sticky # c\n"
    assert read_config(home, {}).strategy_of("openrouter") == "sticky"


@pytest.mark.parametrize("value", ["random", "' RANDOM '", "${HOW}", "!!str random"])
def test_a_value_that_already_says_so_is_not_written(home: Home, value: str) -> None:
    """By hermes' reading the value is there: nothing is written, nobody is called."""
    written(home, f"{S}:\n  openrouter: {value}\n")
    calls: list[Path] = []
    assert not set_strategy(
        home, "openrouter", "random", env={"HOW": "Random"}, before_write=lambda path, _: calls.append(path)
    )
    assert calls == []
    assert home.config_path.read_text() == f"{S}:\n  openrouter: {value}\n"


def test_the_default_can_be_written_out(home: Home) -> None:
    """A pool without a value gets one even if it is what the default would be."""
    assert set_strategy(home, "zai", "fill_first", env={}) is True
    assert home.config_path.read_text() == f"{S}:\n  zai: fill_first\n"


def test_a_missing_file_and_home_are_made_private(tmp_path: Path) -> None:
    """The first setting of a new home creates both, for the owner alone, and has nothing to back up."""
    new = Home(path=tmp_path / "new", root=tmp_path / "new", profile="default")
    assert set_strategy(new, "custom:my-llm", "round_robin", env={}, before_write=_never)
    assert new.config_path.read_bytes() == f"{S}:\n  custom:my-llm: round_robin\n".encode()
    assert new.config_path.stat().st_mode & 0o777 == 0o600


def _never(path: Path, _data: bytes) -> None:
    pytest.fail(f"called for {path}")


def test_mode_and_symlink_stay(home: Home, tmp_path: Path) -> None:
    """The file behind a link is replaced, with its mode; the link stays a link."""
    real = tmp_path / "dotfiles.yaml"
    real.write_text("a: b\n")
    real.chmod(0o640)
    home.config_path.symlink_to(real)
    assert set_strategy(home, "zai", "random", env={})
    assert home.config_path.is_symlink()
    assert real.read_text() == f"a: b\n{S}:\n  zai: random\n"
    assert real.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["config.yaml", "dotfiles.yaml"]


def test_the_caller_gets_the_old_bytes_first(home: Home) -> None:
    """The backup is made from the bytes that are about to go, while they are still there."""
    written(home, "\ufeffa: é\r\n")
    seen: list[tuple[Path, bytes, bool]] = []
    set_strategy(
        home,
        "zai",
        "random",
        env={},
        before_write=lambda path, data: seen.append((path, data, path.read_bytes() == data)),
    )
    assert seen == [(home.config_path, "\ufeffa: é\r\n".encode(), True)]


@pytest.mark.parametrize("strategy", ["", "quota_aware", "Random", "random ", "x: y"])
def test_an_unknown_strategy_is_refused(home: Home, strategy: str) -> None:
    """Only names that an engine follows are written."""
    with pytest.raises(Refused, match="strategy is not known"):
        set_strategy(home, "zai", strategy, env={})
    assert not home.config_path.exists()


def test_a_pool_must_be_named(home: Home) -> None:
    """A blank pool key is nobody's."""
    with pytest.raises(Refused, match="no pool is named"):
        set_strategy(home, "  ", "random", env={})


@pytest.mark.parametrize("value", ["true", "NixOS", "0", "homebrew"])
def test_a_managed_environment_is_read_only(home: Home, value: str) -> None:
    """Any value of HERMES_MANAGED means that a package manager owns the file."""
    with pytest.raises(ConfigReadOnly, match="package manager"):
        set_strategy(home, "zai", "random", env={"HERMES_MANAGED": value})
    assert not home.config_path.exists()


def test_a_managed_home_is_read_only(home: Home) -> None:
    """So does the marker file; a blank variable does not."""
    (home.path / ".managed").touch()
    with pytest.raises(ConfigReadOnly, match="package manager"):
        set_strategy(home, "zai", "random", env={})
    (home.path / ".managed").unlink()
    assert set_strategy(home, "zai", "random", env={"HERMES_MANAGED": " "})


@pytest.mark.parametrize("text", ["a: b: c\n", "[a]\n", "a: \x00\n"])
def test_a_broken_file_is_not_touched(home: Home, text: str) -> None:
    """What cannot be understood is left as it is."""
    written(home, text)
    with pytest.raises(ConfigBroken):
        set_strategy(home, "zai", "random", env={}, before_write=_never)
    assert home.config_path.read_bytes() == text.encode()


def test_a_refused_edit_leaves_the_file(home: Home) -> None:
    """A form that ties the value to others is not written and not backed up."""
    text = f"{S}:\n  zai: &a random\nx: *a\n"
    written(home, text)
    with pytest.raises(Refused, match=r"set credential_pool_strategies → zai: least_used there by hand"):
        set_strategy(home, "zai", "least_used", env={}, before_write=_never)
    assert home.config_path.read_text() == text


def _changed(path: Path, _data: bytes) -> None:
    path.write_text("a: c\n")


def _removed(path: Path, _data: bytes) -> None:
    path.unlink()


@pytest.mark.parametrize("meddle", [_changed, _removed])
def test_a_change_in_between_is_noticed(home: Home, meddle: Callable[[Path, bytes], None]) -> None:
    """Somebody else's write between our read and our write wins."""
    written(home, "a: b\n")
    with pytest.raises(Refused, match="changed meanwhile; try again"):
        set_strategy(home, "zai", "random", env={}, before_write=meddle)
    assert not home.config_path.exists() or home.config_path.read_text() == "a: c\n"


def test_a_file_that_appears_in_between_is_noticed(home: Home) -> None:
    """A file that was not there when we looked is not overwritten."""

    class Late(Disk):
        reads = 0

        def open_read(self, path: Path) -> int:
            self.reads += 1
            if self.reads == 2:
                path.write_text("a: b\n")
            return super().open_read(path)

    with pytest.raises(Refused, match="changed meanwhile"):
        set_strategy(home, "zai", "random", env={}, disk=Late())
    assert home.config_path.read_text() == "a: b\n"


@pytest.mark.parametrize("call", ["open_new", "write", "fsync", "replace"])
def test_a_failing_write_is_read_only_and_leaves_the_file(home: Home, call: str) -> None:
    """Whatever the system refuses, the old file is whole and no temporary is left."""
    written(home, "a: b\n")
    with pytest.raises(ConfigReadOnly, match=r"cannot be written: Read-only file system"):
        set_strategy(home, "zai", "random", env={}, disk=FailingDisk(call, errno.EROFS))
    assert home.config_path.read_text() == "a: b\n"
    assert os.listdir(home.path) == ["config.yaml"]


def test_a_home_that_cannot_be_looked_into_is_read_only(home: Home) -> None:
    """Not knowing whether the home is managed is a reason not to write."""
    with pytest.raises(ConfigReadOnly, match=r"cannot look for \.managed"):
        set_strategy(home, "zai", "random", env={}, disk=FailingDisk("stat", errno.EACCES))


def test_a_home_that_cannot_be_made_is_read_only(tmp_path: Path) -> None:
    """A new home in a place where nothing can be made is told as such."""
    new = Home(path=tmp_path / "new", root=tmp_path / "new", profile="default")
    with pytest.raises(ConfigReadOnly, match="cannot be written: Permission denied"):
        set_strategy(new, "zai", "random", env={}, disk=FailingDisk("mkdir", errno.EACCES))


def test_every_error_is_one_a_caller_may_show() -> None:
    """All that comes out of here descends from `KeydeckError`."""
    assert issubclass(ConfigBroken, KeydeckError)
    assert issubclass(ConfigReadOnly, KeydeckError)
    assert issubclass(Refused, KeydeckError)
