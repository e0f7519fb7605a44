from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import NOW, a_jwt, a_key, a_login
from keydeck.engine.credential import (
    CLEAN_STATUS,
    STATUS_FIELDS,
    BadRow,
    Credential,
    borrowed_form,
    is_manual,
    is_owned,
    is_secret_key,
    parse_rows,
    row_fingerprint,
    row_id,
    secrets_of,
)
from keydeck.engine.secret import Secret, fingerprint


def parsed(raw: Any, provider: str = "openrouter") -> Credential:
    (row,) = parse_rows(provider, provider, [raw])
    assert isinstance(row, Credential), row
    return row


def refused(raw: Any, provider: str = "openrouter") -> BadRow:
    (row,) = parse_rows(provider, provider, [raw])
    assert isinstance(row, BadRow), row
    return row


# --- round trip ---------------------------------------------------------------------------------------------

TEXT = st.text(max_size=12)
SOME_TEXT = st.text(min_size=1, max_size=12)
SECONDS = st.floats(1, 4e9)
WHOLE = st.integers(0, 10**9)
OWNED_SOURCES = st.sampled_from(["manual", "manual:device_code", "manual:x", "Manual", ""])
SCALARS = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | SECONDS | TEXT
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)

OWN: dict[str, st.SearchStrategy[Any]] = {
    "id": SOME_TEXT,
    "label": SOME_TEXT,
    "auth_type": st.sampled_from(["api_key", "oauth", "kerberos"]),
    "priority": st.integers(-5, 1000) | st.floats(-5, 1000),
    "source": OWNED_SOURCES,
    **{name: st.none() for name in STATUS_FIELDS},
    "last_status": st.sampled_from([None, "ok", "exhausted", "dead", "a status of tomorrow"]),
    "last_status_at": st.none() | SECONDS,
    "last_error_code": st.none() | st.integers(0, 999),
    "last_error_reason": st.none() | TEXT,
    "last_error_message": st.none() | TEXT,
    "last_error_reset_at": st.none() | SECONDS,
    "request_count": WHOLE,
}
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "access_token": SOME_TEXT,
    "refresh_token": SOME_TEXT,
    "agent_key": SOME_TEXT,
    "base_url": TEXT,
    "inference_base_url": TEXT,
    "expires_at": TEXT,
    "expires_at_ms": WHOLE,
    "last_refresh": TEXT,
    "agent_key_expires_at": TEXT,
    # hermes' round-trip extras (hermes-pool 1.4)
    **dict.fromkeys(("token_type", "scope", "client_id", "portal_base_url", "obtained_at"), TEXT),
    **dict.fromkeys(("expires_in", "agent_key_expires_in"), WHOLE),
    **dict.fromkeys(("agent_key_id", "agent_key_obtained_at", "secret_source", "secret_fingerprint"), TEXT),
    "agent_key_reused": st.booleans(),
    "tls": st.fixed_dictionaries({"insecure": st.booleans(), "ca_bundle": st.none() | TEXT}),
    # fields that nobody knows
    "x_note": JSON,
    "x_token": TEXT,
    "model_cooldowns": st.dictionaries(TEXT, SECONDS, max_size=2),
}
ROWS = st.fixed_dictionaries(OWN, optional=OPTIONAL)


@given(ROWS)
@settings(max_examples=150)
def test_an_owned_row_keeps_every_field(raw: dict[str, Any]) -> None:
    """Parsing and writing an owned row gives the very same row, unknown fields and secrets included."""
    assert parsed(raw).to_json() == raw


@given(ROWS)
def test_what_was_written_parses_to_the_same_credential(raw: dict[str, Any]) -> None:
    """Writing and parsing again changes nothing in the credential either."""
    row = parsed(raw)
    assert parsed(json.loads(json.dumps(row.to_json()))) == row


@given(ROWS)
def test_no_secret_of_a_row_is_in_its_repr(raw: dict[str, Any]) -> None:
    """Printing a credential shows none of its secrets."""
    planted = {
        name: f"planted-{name}-5e1f" for name in ("access_token", "refresh_token", "agent_key", "x_token")
    }
    shown = repr(parsed({**raw, **planted}))
    assert not [secret for secret in planted.values() if secret in shown]


@given(ROWS, st.sampled_from(["env:OPENROUTER_API_KEY", "config:Mine", "claude_code", "gh_cli", "vault:x"]))
def test_a_borrowed_row_is_written_without_any_secret(raw: dict[str, Any], source: str) -> None:
    """Of a borrowed row every field is written but the secret-looking ones, and a fingerprint."""
    planted = {
        name: f"planted-{name}-5e1f" for name in ("access_token", "refresh_token", "agent_key", "x_token")
    }
    row = {**raw, **planted, "source": source}
    written = parsed(row).to_json()
    assert written["secret_fingerprint"] == fingerprint(planted["agent_key"])
    assert "planted-" not in json.dumps(written)
    rest = {name: value for name, value in row.items() if not is_secret_key(name)}
    assert {**written, "secret_fingerprint": None} == {**rest, "secret_fingerprint": None}


def test_the_fields_are_written_in_hermes_order() -> None:
    """Rows that hermes and we wrote differ in nothing, order included."""
    row = a_login(agent_key="k", expires_at="2027-01-01T00:00:00Z", inference_base_url="https://i")
    ours = list(parsed(row).to_json())
    hermes = [
        "id",
        "label",
        "auth_type",
        "priority",
        "source",
        "access_token",
        "refresh_token",
        *STATUS_FIELDS,
    ]
    assert ours[: len(hermes)] == hermes
    assert ours[-1] == "request_count"


def test_absent_fields_are_read_as_hermes_defaults() -> None:
    """A row with a key alone is a manual API key of priority 0, named after its source."""
    row = parsed({"access_token": "sk-a"})
    assert (row.auth_type, row.priority, row.source, row.label) == ("api_key", 0, "manual", "manual")
    assert (row.request_count, row.last_status, row.base_url) == (0, None, None)


def test_an_unknown_status_survives() -> None:
    """A status of a later hermes is kept."""
    assert parsed(a_key(last_status="resting")).to_json()["last_status"] == "resting"


def test_an_anthropic_login_token_makes_the_row_a_login() -> None:
    """For anthropic, a token that starts sk-ant-oat is OAuth whatever the row says (hermes-pool 1.4)."""
    row = a_key(access_token="sk-ant-oat01-x")
    assert parsed(row, "anthropic").auth_type == "oauth"
    assert parsed(row, "openrouter").auth_type == "api_key"


@pytest.mark.parametrize(
    ("field", "value", "read"),
    [
        ("last_status_at", "2026-11-08T14:02:11Z", NOW),
        ("last_status_at", str(NOW), NOW),
        ("last_error_reset_at", NOW * 1000, NOW),
        ("last_error_reset_at", float("nan"), None),
        ("last_status_at", [], None),
        ("last_error_code", "429", None),
        ("last_error_code", 429.0, 429),
        ("last_error_code", float("inf"), None),
        ("request_count", -3, 0),
        ("request_count", None, 0),
        ("request_count", True, 0),
        ("request_count", 1e308, 0),
        ("last_error_message", {"text": "x"}, None),
        ("last_status", 7, None),
        ("base_url", 5, None),
        ("expires_at_ms", "soon", None),
        ("expires_at_ms", float("nan"), None),
    ],
)
def test_a_value_that_is_only_shown_is_read_tolerantly(field: str, value: Any, read: Any) -> None:
    """An odd value in a field that decides nothing is read as well as can be, and the row stays usable."""
    assert getattr(parsed(a_key(**{field: value})), field) == read


# --- bad rows ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("a string", "not an object"),
        (None, "not an object"),
        ([a_key()], "not an object"),
        (7, "not an object"),
        (a_key(priority="1"), "priority is not a number"),
        (a_key(priority=None), "priority is not a number"),
        (a_key(priority=True), "priority is not a number"),
        (a_key(priority=float("nan")), "priority is not a number"),
        (a_key(priority=float("inf")), "priority is not a number"),
        (a_key(priority=10**400), "priority is not a number"),
        (a_key(source=None), "source is not text"),
        (a_key(source=3), "source is not text"),
        (a_key(auth_type=None), "auth_type is not text"),
        (a_key(access_token=["sk-planted"]), "access_token is not text"),
    ],
)
def test_a_row_that_leaves_no_decision_possible_is_a_bad_row_with_its_reason(raw: Any, reason: str) -> None:
    """What hermes crashes on is one bad row here, and the reason says which field it is."""
    row = refused(raw)
    assert reason in row.reason
    assert "sk-planted" not in row.reason


def test_a_bad_row_hides_nothing_but_itself() -> None:
    """Rows before and after a bad one are read as ever."""
    rows = parse_rows(
        "openrouter", "openrouter", [a_key("aaa001"), a_key("bbb002", priority="1"), 5, a_key("ccc003")]
    )
    assert [type(row) for row in rows] == [Credential, BadRow, BadRow, Credential]
    assert [row.id for row in rows][::3] == ["aaa001", "ccc003"]
    assert rows[1].id == "bbb002"
    assert rows[1].label == "key-bbb002"


def test_the_second_row_of_an_id_is_bad_and_answers_to_another() -> None:
    """Two rows of one id cannot both be acted on: the later one is shown as bad, under an id of its own."""
    first, second = parse_rows("openrouter", "openrouter", [a_key("aaa001"), a_key("aaa001", "twin")])
    assert isinstance(first, Credential)
    assert isinstance(second, BadRow)
    assert "aaa001 is used twice" in second.reason
    assert second.id != "aaa001"


def test_a_row_without_an_id_answers_to_the_same_derived_id_after_it_was_used() -> None:
    """The id of an id-less row does not move with its counts, status or priority."""
    raw = a_key("", "no id")
    used = {**raw, "request_count": 9, "priority": 4, "last_status": "exhausted", "last_status_at": NOW}
    derived = row_id("openrouter", raw)
    assert derived == row_id("openrouter", used)
    assert derived != row_id("openrouter", {**raw, "access_token": "sk-other"})
    assert derived != row_id("nous", raw)
    assert len(derived) == 6
    assert parsed(raw).id == derived


@given(st.lists(JSON | ROWS, max_size=6))
def test_any_json_parses_row_by_row(raws: list[Any]) -> None:
    """Whatever stands in a pool, there is one row for each, each with an id."""
    rows = parse_rows("openrouter", "openrouter", raws)
    assert len(rows) == len(raws)
    assert all(row.id for row in rows)


# --- owned and borrowed ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "source", "owned"),
    [
        ("openrouter", "", True),
        ("openrouter", "  ", True),
        ("openrouter", "manual", True),
        ("openrouter", " Manual ", True),
        ("openrouter", "manual:anything", True),
        ("openrouter", "MANUAL:Tag", True),
        ("openrouter", "manually", False),
        ("anthropic", "hermes_pkce", True),
        ("anthropic", "Hermes_PKCE", True),
        ("minimax-oauth", "oauth", True),
        ("nous", "device_code", True),
        ("openai-codex", "device_code", True),
        ("xai-oauth", "device_code", True),
        ("openrouter", "device_code", False),
        ("anthropic", "device_code", False),
        ("nous", "oauth", False),
        ("anthropic", "claude_code", False),
        ("qwen-oauth", "qwen-cli", False),
        ("copilot", "gh_cli", False),
        ("openrouter", "env:OPENROUTER_API_KEY", False),
        ("custom:mine", "config:Mine", False),
        ("custom:mine", "model_config", False),
        ("openrouter", "vault:x", False),
    ],
)
def test_which_rows_keep_their_secret(provider: str, source: str, owned: bool) -> None:
    """Exactly the sources of hermes-pool 1.5 are owned."""
    assert is_owned(provider, source) is owned


def test_only_typed_in_rows_are_manual() -> None:
    """Manual is manual with or without a tag; an empty source is nobody's."""
    assert [is_manual(source) for source in ("manual", "Manual:x", "", "env:X", "manually")] == [
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    "key",
    [
        *("access_token", "refresh_token", "agent_key", "api_key", "apikey", "api_token", "auth_token"),
        *("authorization", "bearer_token", "client_secret", "credential", "credentials", "id_token"),
        *(
            "oauth_token",
            "private_key",
            "secret_key",
            "session_token",
            "password",
            "secret",
            "token",
            "tokens",
        ),
        *("openai_api_key", "x_access_token", "my_password", "db_secret", "some_token", "ssh_key"),
        *("accessToken", "refreshToken", "apiKey", "x-api-key", "my.api.key", "API_KEY", "Client-Secret"),
    ],
)
def test_names_of_secrets_are_recognised(key: str) -> None:
    """Every name of hermes-pool 1.5, in camelCase, with dashes or dots too, holds a secret."""
    assert is_secret_key(key)


@pytest.mark.parametrize(
    "key",
    [
        *("secret_fingerprint", "secret_source", "token_type", "scope", "client_id", "agent_key_id"),
        *("agent_key_expires_at", "agent_key_expires_in", "agent_key_reused", "agent_key_obtained_at"),
        *("expires_at", "expires_at_ms", "expires_in", "last_refresh", *STATUS_FIELDS),
        *("id", "label", "auth_type", "priority", "source", "base_url", "request_count", "tls"),
        *("tokenType", "agentKeyId", "monkey", "keyboard", "tokens_used", "secretary", "key"),
    ],
)
def test_names_of_other_things_are_not(key: str) -> None:
    """Fields that only speak of a secret, and names that only sound like one, are kept."""
    assert not is_secret_key(key)


@pytest.mark.parametrize(
    ("row", "value"),
    [
        ({"agent_key": "A", "access_token": "B", "refresh_token": "C"}, "A"),
        ({"agent_key": "", "access_token": "B", "refresh_token": "C"}, "B"),
        ({"access_token": None, "refresh_token": "C", "api_key": "D"}, "C"),
        ({"api_key": "D", "token": "E"}, "D"),
        ({"token": "E", "secret": "F"}, "E"),
        ({"secret": "F", "password": "G"}, "F"),
        ({"note": "x", "db_password": "G"}, "G"),
        ({"access_token": "B", "secret_fingerprint": "sha256:old"}, "B"),
    ],
)
def test_the_fingerprint_is_of_the_first_secret_in_hermes_order(row: dict[str, Any], value: str) -> None:
    """The fingerprint is taken of the field that hermes takes it of."""
    assert row_fingerprint(row) == fingerprint(value)


def test_without_a_secret_a_stored_fingerprint_stays() -> None:
    """A fingerprint in hermes' form is kept; anything else there is none."""
    assert row_fingerprint({"secret_fingerprint": "sha256:4dff6a68f232ad6b"}) == "sha256:4dff6a68f232ad6b"
    assert row_fingerprint({"secret_fingerprint": "md5:1"}) is None
    assert row_fingerprint({"label": "x"}) is None


def test_the_borrowed_form_of_hermes_own_example() -> None:
    """The row of hermes-pool 1.5 is written as hermes wrote it: its secret gone, its fingerprint there."""
    raw = a_key(source="env:OPENROUTER_API_KEY", access_token="sk-or-from-dotenv", secret_source="bitwarden")
    form = borrowed_form(raw)
    assert "access_token" not in form
    assert form["secret_fingerprint"] == "sha256:4dff6a68f232ad6b"
    assert form["secret_source"] == "bitwarden"
    assert borrowed_form(form) == form


def test_a_credential_knows_the_fingerprint_of_what_it_holds_or_held() -> None:
    """The fingerprint is of the live secret, else the stored one."""
    stored = a_key(source="env:X", access_token=..., secret_fingerprint="sha256:4dff6a68f232ad6b")
    assert parsed(a_key(access_token="sk-or-from-dotenv")).fingerprint == "sha256:4dff6a68f232ad6b"
    assert parsed(stored).fingerprint == "sha256:4dff6a68f232ad6b"
    assert parsed(a_key(access_token=...)).fingerprint is None


# --- use ---------------------------------------------------------------------------------------------------


def test_what_an_agent_uses_is_plain_text() -> None:
    """`runtime_api_key` reveals the key, and is empty where there is none."""
    assert parsed(a_key(access_token="sk-live")).runtime_api_key == "sk-live"
    assert parsed(a_key(access_token="")).runtime_api_key == ""
    assert parsed(a_key(access_token=...)).runtime_api_key == ""


def test_the_address_of_a_row() -> None:
    """Requests go to the row's base URL; nous has one of its own for inference."""
    row = a_login(inference_base_url="https://inference", base_url="https://base")
    assert parsed(row, "nous").runtime_base_url == "https://inference"
    assert parsed({**row, "inference_base_url": ""}, "nous").runtime_base_url == "https://base"
    assert parsed(row, "openrouter").runtime_base_url == "https://base"


def test_every_secret_of_a_row_is_known_for_scrubbing() -> None:
    """Tokens and secret-looking unknown fields alike."""
    row = parsed(a_login(agent_key="AGENT-KEY", id_token="ID-TOKEN", note="harmless", x_secret=""))
    assert {secret.reveal() for secret in secrets_of([row])} == {
        "oauth-access-log001",
        "oauth-refresh-log001",
        "AGENT-KEY",
        "ID-TOKEN",
    }
    assert isinstance(row.extra["id_token"], Secret)
    assert row.extra["note"] == "harmless"


def test_a_clean_status_is_six_nulls() -> None:
    """Clearing a row nulls exactly hermes' six status fields."""
    assert dict(CLEAN_STATUS) == dict.fromkeys(STATUS_FIELDS)
    assert len(STATUS_FIELDS) == 6
    with pytest.raises(TypeError):
        CLEAN_STATUS["last_status"] = "ok"  # type: ignore[index]


def test_a_nested_secret_of_an_unknown_field_does_not_show() -> None:
    """An object under a secret-looking name is kept as found, and no repr prints it."""
    token = a_jwt(sub="x")
    raw = a_key(tokens={"access_token": token})
    row = parsed(raw)
    assert row.to_json() == raw
    assert token not in repr(row)


def test_each_field_of_a_row_is_read_into_its_own() -> None:
    """Every field that the file may have says another thing, and is found under its own name."""
    texts = ("label", "auth_type", "source", "access_token", "refresh_token", "agent_key", "last_status")
    more = ("last_error_reason", "last_error_message", "base_url", "inference_base_url", "expires_at")
    raw: dict[str, Any] = {
        name: f"the {name}" for name in (*texts, *more, "agent_key_expires_at", "last_refresh")
    }
    numbers = ("priority", "last_status_at", "last_error_code", "last_error_reset_at", "expires_at_ms")
    raw |= {name: 100 + place for place, name in enumerate((*numbers, "request_count"))}
    (row,) = parse_rows("openrouter", "its-key", [{"id": "aaa001", **raw, "foreign": 1}], inherited=True)
    assert isinstance(row, Credential)
    told = {
        name: value.reveal() if isinstance(value, Secret) else value for name, value in row._asdict().items()
    }
    assert {name: told[name] for name in raw} == raw
    beside = {"id": "aaa001", "provider": "openrouter", "stored_under": "its-key", "extra": {"foreign": 1}}
    untouched = Credential(**beside, inherited=True)._asdict()  # type: ignore[arg-type]
    assert {name: told[name] for name in told.keys() - raw} == {
        name: untouched[name] for name in told.keys() - raw
    }
