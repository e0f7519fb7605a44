"""What lies around a store: providers, variables, `.env`, endpoints and strategies, read as hermes reads them."""

from __future__ import annotations

import base64
import json
import os
from itertools import product
from pathlib import Path
from time import time
from typing import Any, Final

import pytest

from fakes import a_home, a_key, write_store
from interop.conftest import Another
from interop.hermes import Hermes, Keydeck
from interop.scenes import (
    HOUR,
    a_reader_of,
    a_token,
    claude_code_login,
    the_pool,
    told_by_hermes,
    told_by_keydeck,
)
from keydeck.engine.dotenv import read_dotenv
from keydeck.engine.files import Disk
from keydeck.engine.home import Surroundings, locate_home
from keydeck.engine.pool_config import (
    get_custom_provider_pool_key,
    get_pool_strategy,
    list_custom_pool_providers,
)
from keydeck.engine.providers import Provider, canonical, names_of, registry
from keydeck.engine.snapshot import HomeSnapshot

pytestmark = pytest.mark.interop

# Loading these, hermes would ask a network or another command (hermes-pool 4.2, 4.3).
_ASK_A_NETWORK: Final = frozenset({"zai", "copilot"})


def _keyed() -> list[Provider]:
    """Return the providers that take keys from variables and that can be loaded here."""
    return [known for known in registry().values() if known.key_envs and known.id not in _ASK_A_NETWORK]


def _without_ids(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "id": None} for row in rows]


def _rows(snapshot: HomeSnapshot, provider: str) -> list[dict[str, Any]]:
    return told_by_keydeck(the_pool(snapshot, provider))


# --- providers ---------------------------------------------------------------------------------------------


def test_the_registry_is_hermes_registry(hermes: Hermes) -> None:
    """Every provider hermes knows is known here: name, kind, address, variables in order; and none besides."""
    theirs = hermes.ask("registry")
    assert {canonical(name) for name in theirs} | {"openrouter"} == set(registry())
    assert len(theirs) == 44
    for name, known in theirs.items():
        ours = registry()[canonical(name)]
        assert ours.name == known["name"], name
        assert ours.type == known["auth_type"], name
        assert ours.base_url == known["inference_base_url"], name
        assert (ours.base_url_env or "") == known["base_url_env_var"], name
        assert sorted(ours.key_envs) == sorted(known["api_key_env_vars"]), name
        if name != "anthropic":  # whose variables are seeded in another order than the registry's
            assert list(ours.key_envs) == list(known["api_key_env_vars"]), name


def test_the_same_providers_have_logins(hermes: Hermes) -> None:
    """The providers whose default is a login are the same ones."""
    assert sorted(known.id for known in registry().values() if known.login) == hermes.ask("logins")


def test_every_alias_is_one_of_hermes(hermes: Hermes) -> None:
    """Each other name of a provider means the same provider to hermes, or is a registry key of its own there."""
    known = hermes.ask("registry")
    aliases = [(alias, row.id) for row in registry().values() for alias in row.aliases]
    runtime = [(alias, provider) for alias, provider in aliases if alias not in known]
    assert hermes.ask("meant", names=[alias for alias, _ in runtime]) == [provider for _, provider in runtime]
    folded = {alias for alias, _ in aliases} & set(known)
    assert folded == {"deep-infra", "deepinfra-ai", "fireworks-ai", "fw", "novita-ai", "novitaai", "solar"}


def test_rows_that_hermes_stored_under_an_alias_are_in_the_provider_pool(
    hermes: Hermes, home: Path, deck: Keydeck
) -> None:
    """Keys added to `fw` and to `fireworks`, two pools for hermes, are one pool here; an add goes to its own."""
    hermes.ask("auth", verb="add", provider="fw", label="short", api_key="fw-key-number-1")
    hermes.ask("auth", verb="add", provider="fireworks", label="long", api_key="fw-key-number-2")
    pool = the_pool(a_reader_of(home).read(), "fireworks")
    assert sorted(row.label for row in pool.rows) == ["long", "short"]
    deck.run("auth", "add", "fw", "--label", "ours", "--api-key-stdin", stdin="fw-key-number-3")
    labels = {name: _labels(hermes, name) for name in names_of("fireworks")}
    assert labels == {"fireworks": ["long", "ours"], "fw": ["short"], "fireworks-ai": []}


def _labels(hermes: Hermes, provider: str) -> list[str]:
    return [row["label"] for row in hermes.ask("load", provider=provider)["entries"]]


# --- variables ---------------------------------------------------------------------------------------------


def test_every_variable_offers_the_row_that_hermes_seeds(hermes: Hermes, home: Path) -> None:
    """With all variables in `.env`, each provider's offers are hermes' rows: source, label, address, order."""
    names = dict.fromkeys(name for known in _keyed() for name in known.key_envs)
    values = {name: f"key-of-{name.lower()}" for name in names}
    values["ANTHROPIC_TOKEN"] = "sk-ant-oat-of-anthropic"
    values["KIMI_API_KEY"] = "sk-kimi-of-kimi"
    _write_dotenv(home, values)
    snapshot = a_reader_of(home).read()
    for known in _keyed():
        theirs = told_by_hermes(hermes.ask("load", provider=known.id))
        assert _without_ids(_rows(snapshot, known.id)) == _without_ids(theirs), known.id
        assert len(theirs) == len(known.key_envs), known.id


def test_addresses_from_variables_are_taken_alike(another: Another, home: Path) -> None:
    """A provider's address variable moves its rows, `.env` before the process; openrouter's stays."""
    moved = [known for known in _keyed() if known.base_url_env]
    values = {known.key_envs[0]: f"key-of-{known.id}" for known in (*moved, registry()["openrouter"])}
    addresses = {str(known.base_url_env): f"https://{known.id}.example.org/v1/" for known in moved}
    process = {**addresses, "OPENROUTER_BASE_URL": "https://elsewhere.example.org", **values}
    _write_dotenv(home, {"OPENAI_BASE_URL": "https://dotenv.example.org/", "XAI_API_KEY": "key-of-dotenv"})
    hermes = another(**process)
    snapshot = a_reader_of(home, **process).read()
    for known in (*moved, registry()["openrouter"]):
        theirs = told_by_hermes(hermes.ask("load", provider=known.id))
        assert _without_ids(_rows(snapshot, known.id)) == _without_ids(theirs), known.id
    (xai,) = _rows(snapshot, "xai")
    assert (xai["access_token"], xai["runtime_base_url"]) == ("key-of-dotenv", "https://xai.example.org/v1")
    (openai,) = _rows(snapshot, "openai-api")
    assert openai["runtime_base_url"] == "https://dotenv.example.org"


DOTENV = b"""\
\xef\xbb\xbf# a comment
FIRST=one
  SPACED  =  two words
export EXPORTED=three
export   WIDE=four
export\tTABBED=five
INLINE=six # not a comment
HASH=#seven
 # indented comment
SINGLE='it is'
DOUBLE="say \\"hi\\" to c:\\\\d \\n"
SINGLE_ESCAPES='a\\"b\\\\c'
HALF="unbalanced
MIXED="mixed'
EMPTY=
QUOTED_EMPTY=""
ONE_QUOTE="
REFERENCE=${FIRST}
AGAIN=old
AGAIN=new
EQUALS=a=b==
no equals sign here
UMLAUT=schl\xc3\xbcssel
BROKEN=\xff\xfe
GLM_API_KEY=not-split-inside-a-longer-name
OPENAI_API_KEY=gluedXAI_API_KEY=apart
DEEPSEEK_API_KEY=one two OPENROUTER_API_KEY=inside
OPENAI_BASE_URL=https://proxy.example.org/?XAI_API_KEY=part-of-the-address
export NVIDIA_API_KEY=exportedGEMINI_API_KEY=kept
TEXT=see OPENAI_API_KEY=there
FEED=a\x0cb
VERTICAL=a\x0bVT=b
NEXT_LINE=a\xc2\x85NEL=b
PARAGRAPH=a\xe2\x80\xa9PS=b
CARRIAGE=a\rRETURN=b\r
WINDOWS=crlf\r
LAST=no newline"""


def test_a_nasty_dotenv_is_read_alike(hermes: Hermes, home: Path) -> None:
    """Every line of a `.env` with quotes, escapes, glued and broken lines gives the variable hermes reads."""
    home.mkdir(exist_ok=True)
    (home / ".env").write_bytes(DOTENV)
    theirs = hermes.ask("dotenv")
    assert read_dotenv(home / ".env", Disk()) == theirs
    assert theirs["DOUBLE"] == 'say "hi" to c:\\d \\n'
    assert theirs["XAI_API_KEY"] == "apart"
    assert theirs["WINDOWS"] == "crlf"
    assert len(theirs) > 30


@pytest.mark.parametrize(
    ("line", "exported"),
    [
        ('XAI_API_KEY="  sk-padded-in-quotes  "', None),
        ("XAI_API_KEY=sk-inline # comment", None),
        ('XAI_API_KEY="   "', "sk-from-the-shell"),
        ("XAI_API_KEY=", "sk-from-the-shell"),
        ("XAI_API_KEY=op://Vault/Item/field", "sk-resolved-already"),
        ("XAI_API_KEY=sk-dotenv-wins", "sk-from-the-shell"),
        ("# nothing", " sk-padded-in-the-shell "),
    ],
)
def test_one_variable_from_two_places_gives_the_same_key(
    another: Another, home: Path, line: str, exported: str | None
) -> None:
    """Between `.env` and the process, both programs take the same value, or ours says why it is no key."""
    home.mkdir(exist_ok=True)
    (home / ".env").write_text(line + "\n", encoding="utf-8")
    process = {"XAI_API_KEY": exported} if exported else {}
    (theirs,) = another(**process).ask("load", provider="xai")["entries"]
    reader = a_reader_of(home, **process)
    (ours,) = the_pool(reader.read(), "xai").rows
    if any(char.isspace() for char in theirs["runtime_api_key"]):
        assert reader.read().pools[0].at(reader.clock()).usable == ()
    else:
        (told,) = told_by_keydeck(reader.read().pools[0])
        assert told["runtime_api_key"] == theirs["runtime_api_key"]
    assert ours.id == theirs["id"]


def _write_dotenv(home: Path, values: dict[str, str]) -> None:
    home.mkdir(exist_ok=True)
    (home / ".env").write_text("".join(f"{name}={value}\n" for name, value in values.items()), "utf-8")


# --- logins ------------------------------------------------------------------------------------------------

_OAT: Final = "sk-ant-oat-1"
CHOICES: Final[dict[str, tuple[dict[str, Any], str, dict[str, str], bool]]] = {
    "nothing": ({}, "", {}, False),
    "active provider": ({"active_provider": " Anthropic "}, "", {}, True),
    "model": ({}, "model: {provider: ' Anthropic '}\n", {}, True),
    "provider at the root": ({}, "provider: anthropic\n", {}, True),
    "a typed-in key": ({"credential_pool": {"anthropic": [a_key("aaa001")]}}, "", {}, True),
    "another's key": ({"credential_pool": {"openrouter": [a_key("aaa001")]}}, "", {}, False),
    "token": ({}, "", {"ANTHROPIC_TOKEN": _OAT}, True),
    "claude's token": ({}, "", {"CLAUDE_CODE_OAUTH_TOKEN": _OAT}, False),
    "key": ({}, "", {"ANTHROPIC_API_KEY": "sk-ant-api-1"}, False),
    "key and model": ({}, "model: {provider: anthropic}\n", {"ANTHROPIC_API_KEY": "sk-ant-api-1"}, False),
    "key and token": ({}, "", {"ANTHROPIC_API_KEY": "sk-ant-api-1", "ANTHROPIC_TOKEN": _OAT}, True),
}
"""What the store, config.yaml and the process say, and whether Claude Code's login is taken then."""


@pytest.mark.parametrize("case", CHOICES)
def test_claude_codes_login_is_offered_when_hermes_would_take_it(
    another: Another, home: Path, user: Path, case: str
) -> None:
    """Only where the operator chose anthropic, and not beside an API key alone (hermes-pool 4.4)."""
    top, config, process, taken = CHOICES[case]
    write_store(home, **top)
    (home / "config.yaml").write_text(config, encoding="utf-8")
    claude_code_login(user)
    pool = a_reader_of(home, **process).read().pool("anthropic")
    ours = told_by_keydeck(pool) if pool else []
    theirs = told_by_hermes(another(**process).ask("load", provider="anthropic"))
    told = ("source", "label", "auth_type", "runtime_api_key", "expires_at_ms", "refresh_token")
    assert [[row[name] for name in told] for row in ours] == [[row[name] for name in told] for row in theirs]
    assert ("claude_code" in [row["source"] for row in ours]) == taken


def _nous_rows() -> list[dict[str, Any]]:
    def token(left: float, **claims: Any) -> str:
        return a_token(exp=time() + left, **{"scope": "inference:invoke", **claims})

    agent_keys = {
        "none": None,
        "a minute": token(60),
        "an hour": token(HOUR),
        "ended": token(-HOUR),
        "other scope": token(HOUR, scope="profile"),
        "listed scope": token(HOUR, scope=None, scp=["x", "inference:invoke"]),
        "no token": "plain-key",
    }
    access_tokens = {"none": "", "two hours": token(2 * HOUR), "ended": token(-HOUR), "no token": "plain"}
    return [
        a_key(f"{one}/{two}", priority=place, auth_type="oauth", agent_key=agent_key, access_token=access)
        for place, ((one, agent_key), (two, access)) in enumerate(
            product(agent_keys.items(), access_tokens.items())
        )
    ]


def test_the_same_nous_rows_have_a_token_for_inference(hermes: Hermes, home: Path) -> None:
    """A nous row is usable exactly if hermes finds a token in it: one with the scope, and two minutes left."""
    # Where both tokens of a row are good, hermes sends the first and Keydeck the one that lasts longer.
    write_store(home, {"nous": _nous_rows()})
    entries = hermes.ask("load", provider="nous")["entries"]
    reader = a_reader_of(home)
    usable = {row.id for row in the_pool(reader.read(), "nous").at(reader.clock()).usable}
    assert usable == {row["id"] for row in entries if row["runtime_api_key"]}
    assert len(usable) == 7 + 2 * 3


def test_logins_are_named_alike(hermes: Hermes, home: Path) -> None:
    """A login's label is the identity in its token, whatever surrounds that, or else where it came from."""
    payloads: tuple[Any, ...] = (
        *({"email": " a@example.org "}, {"email": " ", "upn": "u"}, {"preferred_username": "p", "upn": "u"}),
        *({"email": 5}, [1], {}, {"email": "e", "exp": "soon", "aud": 5, "sub": 7}),
    )
    tokens = [_token_around(payload) for payload in payloads]
    tokens += [_token_around({"email": "bare"}, head="junk"), _token_around({"email": "one"}, tail="x")]
    tokens += ["a.b", "a.!!.c", _token_around({"email": "four"}) + ".more", "no-token"]
    theirs, ours = [], []
    for token in tokens:
        login = {"tokens": {"access_token": token, "refresh_token": "r"}}
        write_store(home, providers={"openai-codex": login})
        ours += [row.label for row in the_pool(a_reader_of(home).read(), "openai-codex").rows]
        theirs += [row["label"] for row in hermes.ask("load", provider="openai-codex")["entries"]]
    assert ours == theirs
    assert {"a@example.org", "u", "p", "e", "bare", "one", "device_code"} == set(ours)


def _token_around(payload: Any, head: str = "eyJhbGciOiJub25lIn0", tail: str = "c2ln") -> str:
    middle = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
    return f"{head}.{middle}.{tail}"


# --- homes -------------------------------------------------------------------------------------------------


def test_the_same_folders_are_home_and_root(hermes: Hermes, user: Path, tmp_path: Path) -> None:
    """Every value of HERMES_HOME means the same home, and the same root below which its profiles lie."""
    native, other = user / ".hermes", tmp_path / "other"
    for folder in (native / "profiles" / "work", native / "sub", other / "profiles" / "work"):
        folder.mkdir(parents=True)
    links = {"native": native, "work": native / "profiles" / "work", "elsewhere": other / "profiles" / "work"}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    homes = [native, native / "profiles" / "work", native / "sub", other, other / "profiles" / "work"]
    homes += [tmp_path / "native" / "profiles" / "work", *(tmp_path / name for name in links)]
    values = [*map(str, homes), f"{other}/", f"{other}/../other/profiles/work", ""]
    ours = [locate_home(around=Surroundings({"HERMES_HOME": value}, user)) for value in values]
    theirs = hermes.ask("roots", homes=values)
    assert [[os.path.realpath(home.path), os.path.realpath(home.root)] for home in ours] == [
        [os.path.realpath(path) for path in pair] for pair in theirs
    ]
    assert [home.inherits for home in ours].count(True) == 6


# --- config.yaml -------------------------------------------------------------------------------------------

LISTED = """\
custom_providers:
  - {name: My LLM, base_url: "https://llm.example.org/v1/", api_key: sk-listed-1}
  - {name: " Twin ", base_url: https://llm.example.org/v1, api_key: sk-listed-2}
  - {name: Dup(x) Y, url: https://url.example.org, api_key: sk-listed-3}
  - {name: MY LLM, base_url: https://late.example.org, api_key: sk-listed-4}
  - {base_url: https://nameless.example.org, api_key: sk-listed-5}
  - {name: 7, base_url: https://seven.example.org, api_key: sk-listed-6}
  - {name: Keyless, base_url: https://keyless.example.org}
  - no entry
"""
MAPPED = """\
providers:
  short: {name: Long Name, api: https://long.example.org/v1/, api_key: sk-mapped-1}
  camel: {baseUrl: https://camel.example.org, apiKey: sk-mapped-2}
  Bare Key: {url: https://bare.example.org, api_key: sk-mapped-3}
  broken: {url: not an address, api_key: sk-mapped-4}
  templated: {url: "https://{region}.example.org", api_key: sk-mapped-5}
"""
MODEL = """\
model: {provider: custom, base_url: https://llm.example.org/v1, api_key: sk-model-1, default: m}
"""
CONFIGS = {
    "list": LISTED,
    "map": MAPPED,
    "both": LISTED + MAPPED,
    "list and model": LISTED + MODEL,
    "empty list": "custom_providers: []\n" + MAPPED,
    "map for a list": "custom_providers: {a: {name: A, base_url: https://a.example.org}}\n",
    "none": "",
}
URLS = (
    *("https://llm.example.org/v1", " https://llm.example.org/v1/ ", "https://LLM.example.org/v1", ""),
    *("https://url.example.org", "https://late.example.org", "https://nameless.example.org"),
    *("https://long.example.org/v1", "https://camel.example.org", "https://bare.example.org"),
    *("not an address", "https://{region}.example.org", "https://nobody.example.org"),
)
NAMES = (None, "My LLM", "twin", "Twin ", "Long Name", "short", "nobody", "")


@pytest.mark.parametrize("config", CONFIGS)
def test_addresses_lead_to_the_same_custom_pools(hermes: Hermes, home: Path, config: str) -> None:
    """Wherever hermes finds a custom pool for an address or a name, Keydeck finds that one."""
    # Where hermes finds none, ours may be one that only Keydeck reads: from a map beside a list, or by `url`.
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(CONFIGS[config], encoding="utf-8")
    questions = [(url, name) for url in URLS for name in NAMES]
    theirs = hermes.ask("pool_keys", questions=questions)
    ours = [get_custom_provider_pool_key(url, name, home=a_home(home)) for url, name in questions]
    found = [(question, key) for question, key in zip(questions, theirs, strict=True) if key]
    mine = dict(zip(questions, ours, strict=True))
    assert [(question, mine[question]) for question, _ in found] == found
    if config in ("list", "map", "both"):
        assert found
    if config in ("map", "none", "map for a list"):
        assert ours == theirs


@pytest.mark.parametrize("config", ["list", "map", "list and model"])
def test_endpoints_offer_the_rows_that_hermes_seeds(hermes: Hermes, home: Path, config: str) -> None:
    """Each custom pool that hermes seeds from config.yaml is offered with the same rows before that."""
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(CONFIGS[config], encoding="utf-8")
    snapshot = a_reader_of(home).read()
    pools = [pool.provider for pool in snapshot.pools]
    theirs = {pool: told_by_hermes(hermes.ask("load", provider=pool)) for pool in pools}
    for pool in pools:
        ours = _rows(snapshot, pool)
        if (
            pool == "custom:dup(x)-y"
        ):  # hermes seeds it without its address, which it does not read from `url`
            assert theirs[pool][0]["runtime_base_url"] is None
            ours[0]["runtime_base_url"] = None
        assert _without_ids(ours) == _without_ids(theirs[pool]), pool
    assert hermes.ask("custom_pools") == sorted(pools)
    assert list_custom_pool_providers(home=a_home(home)) == sorted(pools)
    assert len(pools) >= 3


def test_only_stored_custom_pools_are_listed(hermes: Hermes, home: Path) -> None:
    """Both programs' list of custom pools has the stored ones with rows, sorted, and no others."""
    rows = [a_key("aaa001")]
    write_store(home, {"custom:b": rows, "openrouter": rows, "custom:a": rows, "custom:empty": []})
    assert hermes.ask("custom_pools") == ["custom:a", "custom:b"]
    assert list_custom_pool_providers(home=a_home(home)) == ["custom:a", "custom:b"]


STRATEGIES = """\
credential_pool_strategies:
  openrouter: round_robin
  deepseek: " Random "
  gemini: quota_aware
  xai: LEAST_USED
  nvidia: ""
  minimax: null
  stepfun: 7
  arcee: [round_robin]
  gmi: {a: b}
  kilocode: true
  OpenAI-API: random
  upstage: sticky
  custom:my-llm: least_used
  "custom:My LLM": random
  xiaomi: "${STRATEGY}"
"""


def test_strategies_are_read_alike(another: Another, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known names are followed in any case and spacing; whatever else stands there is fill_first to both."""
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(STRATEGIES, encoding="utf-8")
    providers = ["openrouter", "deepseek", "gemini", "xai", "nvidia", "minimax", "stepfun", "arcee", "gmi"]
    providers += ["kilocode", "openai-api", "upstage", "custom:my-llm", "custom:my llm", "xiaomi", "novita"]
    monkeypatch.setenv("STRATEGY", "random")
    theirs = another(STRATEGY="random").ask("strategies", providers=providers)
    assert [get_pool_strategy(provider, home=a_home(home)) for provider in providers] == theirs
    assert sorted(set(theirs)) == ["fill_first", "least_used", "random", "round_robin"]
    assert theirs.count("fill_first") == 11


@pytest.mark.parametrize(
    "section",
    ["credential_pool_strategies: round_robin\n", "credential_pool_strategies: [a]\n", "[]\n", "x: [\n", ""],
)
def test_a_section_of_another_shape_is_fill_first(hermes: Hermes, home: Path, section: str) -> None:
    """Strategies that are no mapping, and a file that is no mapping or no YAML, leave the default to both."""
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(section, encoding="utf-8")
    assert hermes.ask("strategies", providers=["openrouter"]) == ["fill_first"]
    assert get_pool_strategy("openrouter", home=a_home(home)) == "fill_first"
