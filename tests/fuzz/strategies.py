"""Stores that nobody would write: any JSON, rows that are half right, any strings, any times, odd YAML."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from fakes import NOW, a_jwt, a_key, a_login
from keydeck.engine.events import KINDS, NO_EXTRA, Event, Held, Outside, Seen, Status, fields_of

HOSTILE: Final = (
    *(
        "\x1b]0;owned\x07",
        "\x1b[2J\x1b[H",
        "\x1b[31m",
        "\x1b[?1049l",
        "\x1bPq#0\x1b\\",
        "\x9b31m",
        "\x9d0;t\x9c",
    ),
    *("\x1b", "\x00", "\x07", "\x08", "\x7f", "\x85", "\r\n", "\n", "\t", "\x0b\x0c", "\u2028", "\u2029"),
    *("\u202e", "\u2066", "\u2069", "\u200b", "\u200d", "\ufeff", "\u00ad", "\u180e", "\u061c"),
    *(
        "[/x]",
        "[bold red]",
        "[/]",
        "[@click=app.quit]x[/]",
        "[link=http://x]y[/link]",
        "[",
        "]",
        "\\[",
        "$text",
    ),
    *("</text></svg><script>", "&amp;", "<b>", "]]>", "{0}", "%s%n", "../../etc/passwd", "~", "|", "`", "*_"),
    *(
        "鍵🔑",
        "👩\u200d👩\u200d👧",
        "e\u0301",
        "Z" + "\u0335" * 30,
        "\u0600",
        "ﷺ",
        "ａｂ",
        "ß",
        "İ",
        "\ud800",
        "\ue000",
    ),
    *("!", ":", "state:", " " * 50, "x" * 300, "a b " * 80, "-", "None", "0", "\N{NO-BREAK SPACE}", "\u3000"),
)
"""Pieces of text that something could stumble over."""

_PLAIN: Final = (
    "team-a@corp.example",
    "OPENROUTER_API_KEY",
    "api-key-1",
    "spare",
    "429 Too Many Requests",
    "eu",
)
_PROVIDERS: Final = (
    "openrouter",
    "anthropic",
    "nous",
    "openai-codex",
    "custom:together.ai",
    "copilot",
    "zai",
)
_SOURCES: Final = (
    *("manual", "manual:device_code", "env:OPENROUTER_API_KEY", "config:together", "device_code"),
    *("hermes_pkce", "claude_code", "gh_cli", "model_config", "qwen-cli", ""),
)
_ODD_TIMES: Final[tuple[object, ...]] = (
    *(0, -1, 1, -1e18, 1e18, 10**400, -(10**400), 1e308, 5e-324, 253402300799, 253402300800, 253402300799000),
    *(float("nan"), float("inf"), float("-inf"), True, False, None, [], {}, "", "nan", "inf", "-1", "1e999"),
    *(
        "2026-11-08T14:03:00Z",
        "2026-11-08",
        "9999-12-31T23:59:59+14:00",
        "0001-01-01T00:00:00",
        "tomorrow",
        2**63,
    ),
)

hostile_texts = st.lists(
    st.sampled_from(HOSTILE) | st.sampled_from(_PLAIN) | st.text(max_size=6), max_size=3
).map("".join)
texts = st.sampled_from(_PLAIN) | hostile_texts
times = st.sampled_from(_ODD_TIMES) | st.floats(-4e5, 4e5).map(lambda offset: NOW + offset)
numbers = (
    st.sampled_from((0, 1, -1, 7, 429, 10**12, 10**400, -0.5, 1e300, 1e301, float("nan"), True))
    | st.integers()
)
scalars: st.SearchStrategy[Any] = st.none() | st.booleans() | numbers | texts
anything: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def mostly(
    common: st.SearchStrategy[Any], rare: st.SearchStrategy[Any], one_in: int
) -> st.SearchStrategy[Any]:
    """Return the common values, but for one in so many."""
    return st.integers(1, one_in).flatmap(lambda number: rare if number == one_in else common)


@dataclass(frozen=True, slots=True)
class RandomStore:
    """The files of one home; None is a file that is not there."""

    auth: bytes | None
    config: bytes | None = None
    env: bytes | None = None

    def write(self, home: Path) -> None:
        """Make the home hold these files and no other of theirs."""
        home.mkdir(parents=True, exist_ok=True)
        for name, data in (("auth.json", self.auth), ("config.yaml", self.config), (".env", self.env)):
            path = home / name
            if data is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(data)


# --- rows --------------------------------------------------------------------------------------------------

_TOKENS: Final = (
    *("sk-test-0123456789abcdef", "oauth-access-1", a_jwt(exp=NOW + 300, scope="inference:invoke")),
    *(a_jwt(exp=1e400, email="\x1b[31m@x"), a_jwt(exp="soon"), "a.b.c", "…", "", "sk-ant-oat-0123456789"),
)
_status = st.sampled_from(("ok", "exhausted", "exhausted", "exhausted", "dead", "paused", None))
_codes = st.sampled_from((401, 402, 403, 429, 429, 500, 0, None)) | numbers
_FIELDS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "id": texts,
    "label": texts,
    "auth_type": st.sampled_from(("api_key", "oauth", "oauth")) | texts,
    "priority": st.integers(-3, 9) | numbers,
    "source": st.sampled_from(_SOURCES) | texts,
    "access_token": st.sampled_from(_TOKENS) | texts | st.none(),
    "refresh_token": st.sampled_from(_TOKENS) | texts,
    "agent_key": st.sampled_from(_TOKENS),
    "last_status": _status,
    "last_status_at": times,
    "last_error_code": _codes,
    "last_error_reason": texts,
    "last_error_message": texts,
    "last_error_reset_at": times,
    "base_url": texts,
    "inference_base_url": texts,
    "expires_at": times,
    "expires_at_ms": times.map(lambda time: time * 1000 if isinstance(time, float) else time),
    "agent_key_expires_at": times,
    "last_refresh": times,
    "request_count": st.integers(0, 10**7) | numbers,
    "scope": texts,
    "secret_fingerprint": texts,
}


@st.composite
def half_right_rows(draw: st.DrawFn) -> Any:
    """Draw a row as hermes writes them with some fields as nobody would."""
    number = draw(st.integers(0, 30))
    row = (a_login if number % 3 == 0 else a_key)(f"aaa{number:03d}")
    for name in draw(st.lists(st.sampled_from(sorted(_FIELDS)), max_size=8)):
        row[name] = draw(_FIELDS[name])
    if draw(st.integers(0, 9)) == 0:
        row[draw(st.sampled_from(sorted(_FIELDS)))] = draw(anything)
    return row


rows = mostly(half_right_rows(), anything, 8)
pools = mostly(st.lists(rows, min_size=1, max_size=5), anything, 10)
pool_keys = mostly(st.sampled_from(_PROVIDERS), texts, 3)


# --- files -------------------------------------------------------------------------------------------------

_logins = st.dictionaries(
    st.sampled_from(("nous", "openai-codex", "minimax-oauth", "zai", "xai-oauth")),
    st.fixed_dictionaries(
        {},
        optional={
            "access_token": st.sampled_from(_TOKENS),
            "tokens": st.fixed_dictionaries({"access_token": st.sampled_from(_TOKENS)}) | anything,
            "label": texts,
            "agent_key": st.sampled_from(_TOKENS),
            "expires_at": times,
            "detected_endpoint": anything,
        },
    ),
    max_size=2,
)


@st.composite
def half_right_documents(draw: st.DrawFn) -> Any:
    """Draw a document whose shape is a store's and whose parts are half right."""
    document: dict[str, Any] = {
        "version": 1,
        "providers": draw(_logins),
        "credential_pool": draw(st.dictionaries(pool_keys, pools, min_size=1, max_size=4)),
    }
    if draw(st.integers(0, 9)) == 0:
        name = draw(st.sampled_from(("version", "providers", "active_provider", "updated_at")))
        document[name] = draw(scalars if name == "version" else anything)
    if draw(st.booleans()):
        document["suppressed_sources"] = draw(
            st.dictionaries(pool_keys, st.lists(st.sampled_from(_SOURCES)) | anything, max_size=2)
        )
    return document


def _as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


_broken_files = st.sampled_from(
    (
        b"",
        b" \n",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"version": 99}',
        b"[" * 20_000,
        b'{"credential_pool": []}',
    )
)
_whole = half_right_documents().map(_as_json)
_no_stores = st.one_of(
    anything.map(_as_json),
    _broken_files,
    st.none(),
    st.tuples(_whole, st.integers(1, 200)).map(lambda cut: cut[0][: -cut[1]]),
)
auth_files = mostly(_whole, _no_stores, 12)

_strategy_words = st.sampled_from(("fill_first", "round_robin", "least_used", "random", "sticky")) | texts
_config_documents = st.fixed_dictionaries(
    {},
    optional={
        "credential_pool_strategies": st.dictionaries(pool_keys, _strategy_words | anything, max_size=3),
        "custom_providers": st.lists(
            st.fixed_dictionaries(
                {"name": texts},
                optional={"base_url": texts, "api_key": st.sampled_from(_TOKENS) | texts, "key_env": texts},
            ),
            max_size=2,
        )
        | anything,
        "providers": st.dictionaries(texts, anything, max_size=2),
        "fallback_providers": st.lists(
            st.fixed_dictionaries({"provider": pool_keys, "model": texts}, optional={"base_url": texts}),
            max_size=3,
        )
        | anything,
        "model": st.fixed_dictionaries(
            {}, optional={"provider": pool_keys, "base_url": texts, "api_key": texts}
        )
        | anything,
    },
)
# JSON is YAML, but for what YAML reads otherwise: that is odd enough.
_odd_configs = st.one_of(
    hostile_texts.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(
        (
            b"",
            b"- 1",
            b"a: [",
            b"x: &a [*a]",
            b"? ? ?",
            b"\xff",
            b"a: !!python/object:os.system x",
            b"---\n---",
        )
    ),
)
config_files = mostly(st.none() | _config_documents.map(_as_json), _odd_configs, 6)
_env_lines = st.tuples(
    st.sampled_from(("OPENROUTER_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "export X", "")), texts
).map("=".join)
env_files = st.none() | st.lists(_env_lines, max_size=3).map(
    lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass")
)

stores = st.builds(RandomStore, auth_files, config_files, env_files)


def is_whole(store: RandomStore) -> bool:
    """Tell whether its auth.json is JSON of a store's shape, whatever stands in it."""
    try:
        document = json.loads(store.auth or b"")
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and isinstance(document.get("credential_pool"), dict)


def drawn(count: int, seeded: int) -> list[RandomStore]:
    """Return so many different stores, the same for the same seed."""
    found: dict[RandomStore, None] = {}
    for turn in range(20):
        # Some come twice.
        found.update(dict.fromkeys(_drawn(count + count // 4, seeded * 20 + turn)))
        if len(found) >= count:
            break
    return list(found)[:count]


def _drawn(count: int, seeded: int) -> list[RandomStore]:
    found: list[RandomStore] = []

    @seed(seeded)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(stores)
    def collect(store: RandomStore) -> None:
        found.append(store)

    collect()
    return found


# --- events ------------------------------------------------------------------------------------------------


def event_values(
    words: st.SearchStrategy[str],
    numbers: st.SearchStrategy[float],
    wholes: st.SearchStrategy[int],
    states: st.SearchStrategy[str | None],
) -> dict[str, st.SearchStrategy[Any]]:
    """Return what each type of field of an event may hold: these words, numbers, and states of rows."""
    places = st.tuples(wholes, wholes)
    word, number, whole = st.none() | words, st.none() | numbers, st.none() | wholes
    seens = st.builds(
        Seen, wholes, word, number, st.builds(Status, states, number, whole, word, word, number)
    )
    helds = st.builds(
        Held,
        *(words, numbers, whole, word, word, number),
        *(
            st.sampled_from(["row", "account", "model:m"]) | words,
            word,
            st.booleans(),
            places,
            places,
            wholes,
        ),
    )
    return {
        "str": words,
        "str | None": word,
        "int": wholes,
        "int | None": whole,
        "float": numbers,
        "float | None": number,
        "bool": st.booleans(),
        "tuple[str, ...]": st.lists(words, max_size=4).map(tuple),
        "Position | None": st.none() | places,
        "Signature | None": st.none() | st.tuples(wholes, wholes, wholes, wholes),
        "Mapping[str, int]": st.dictionaries(words, wholes, max_size=3),
        "Mapping[str, float]": st.dictionaries(words, numbers, max_size=3),
        "Seen": seens,
        "Seen | None": st.none() | seens,
        "Mapping[str, Seen]": st.dictionaries(words, seens, max_size=3),
        "Mapping[str, tuple[Held, ...]]": st.dictionaries(
            words, st.lists(helds, max_size=3).map(tuple), max_size=3
        ),
    }


def events_of(kind: type[Event], values: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Event]:
    """Return events of one kind; another program did one of the things it can do, or anything."""
    told = {name: values[spelled] for name, spelled in fields_of(kind).items()}
    if kind is Outside:
        told["what"] = st.sampled_from(_DOINGS) | values["str"]
    return st.builds(kind, **told, extra=st.just(NO_EXTRA))


def any_event(values: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Event]:
    """Return events of every kind."""
    return st.one_of(*(events_of(kind, values) for kind in KINDS.values()))


_DOINGS: Final = (
    *("added", "removed", "benched", "cleared", "ended", "used", "renamed", "lost count", "came back"),
    "restored",
)
