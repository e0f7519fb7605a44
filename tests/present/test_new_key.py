from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes import a_key, a_login, a_reader, write_store
from keydeck.engine.providers import registry
from keydeck.engine.secret import Secret
from keydeck.engine.snapshot import HomeSnapshot
from keydeck.present.glyphs import UNICODE
from keydeck.present.new_key import about_key, choices, matching, usual_label, usual_url
from keydeck.present.rows import Context

SECRET = "sk-planted-0123456789abcdef"


def a_snapshot(home: Path, pools: dict[str, Any], **env: Any) -> HomeSnapshot:
    write_store(home, pools)
    return a_reader(home, **env).read()


def context(snapshot: HomeSnapshot, *, masked: bool = False) -> Context:
    return Context(UNICODE, snapshot.scrubber, masked=masked)


def test_pools_come_first_and_every_provider_once(home: Path) -> None:
    """The choices are the pools in their order, then the rest of the registry in its own."""
    snapshot = a_snapshot(home, {"gemini": [a_key("g1")], "claude": [a_key("c1"), a_key("c2", priority=1)]})
    listed = [choice.provider for choice in choices(snapshot)]
    assert listed[:2] == ["gemini", "anthropic"]
    assert listed[2:] == [name for name in registry() if name not in ("gemini", "anthropic")]
    assert [choice.says for choice in choices(snapshot)[:2]] == ["1 key here", "2 keys here"]


def test_only_providers_with_api_keys_take_one(home: Path) -> None:
    """Every other choice carries the reason, and the login where there is one."""
    found = {choice.provider: choice for choice in choices(a_snapshot(home, {"nous": [a_login("l1")]}))}
    assert {name for name, choice in found.items() if choice.refusal} == {
        name for name, known in registry().items() if known.type != "api_key"
    }
    assert found["nous"].says == "login only: hermes auth add nous"
    assert found["bedrock"].says == "takes no keys"


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("", "gemini"),
        ("claude", "anthropic"),
        ("CLAUDE ", "anthropic"),
        ("qwen cl", "alibaba"),
        ("grok", "xai"),
        ("gro", "xai"),
        ("moonshot", "kimi-coding"),
        ("openai", "openai-api"),
        ("my box", "custom:my-box"),
        ("custom:box", "custom:box"),
        ("custom:", None),
        ("x" * 80, None),
    ],
)
def test_what_is_typed_finds_the_likeliest(home: Path, typed: str, first: str | None) -> None:
    """Exact names win over beginnings and beginnings over the rest; what nobody knows is an endpoint's name."""
    found = matching(choices(a_snapshot(home, {"gemini": [a_key("g1")]})), typed)
    assert (found[0].provider if found else None) == first


def test_a_key_is_found_wherever_it_is_held(home: Path) -> None:
    """Stored here it is refused; offered here or held elsewhere it is a note, also where only its mark is kept."""
    pools: dict[str, Any] = {
        "openrouter": [a_key("o1", "mine", access_token=SECRET)],
        "gemini": [a_key("g1", "other")],
        "deepseek": [a_key("d1", "env-row", source="env:DEEPSEEK_API_KEY", access_token=...)],
    }
    pools["deepseek"][0]["secret_fingerprint"] = Secret(SECRET + "-old").fingerprint
    snapshot = a_snapshot(home, pools, GEMINI_API_KEY=SECRET + "-env")
    here = context(snapshot)
    assert not about_key(Secret(SECRET), "openrouter", snapshot, here).is_fit
    assert "already as mine" in about_key(Secret(SECRET), "openrouter", snapshot, here).said
    note = about_key(Secret(SECRET), "xai", snapshot, here)
    assert note.is_fit and note.said == "received; it is also mine in openrouter"
    hidden = about_key(Secret(SECRET), "xai", snapshot, context(snapshot, masked=True))
    assert hidden.said == "received; it is also key 1 in openrouter"
    offered = about_key(Secret(SECRET + "-env"), "gemini", snapshot, here)
    assert offered.is_fit and offered.said.startswith("received; it is also ")
    marked = about_key(Secret(SECRET + "-old"), "xai", snapshot, here)
    assert marked.said == "received; it is also env-row in deepseek"
    new = about_key(Secret(SECRET + "-new"), "openrouter", snapshot, here)
    assert new.is_fit and new.said == "received, new here"


def test_blanks_have_the_usual_values(home: Path) -> None:
    """Label and address are those that the engine would give; an endpoint's comes from its offered row."""
    pools = {"openrouter": [a_key("o1"), a_key("o2", "api-key-3", priority=1)], "custom:none": [a_key("n1")]}
    (home / "config.yaml").parent.mkdir(parents=True, exist_ok=True)
    (home / "config.yaml").write_text(
        "custom_providers:\n  - {name: box, base_url: 'https://box.example/v1', api_key: sk-box-0123456789}\n"
    )
    snapshot = a_snapshot(home, pools)
    assert usual_label(snapshot, "openrouter") == "api-key-4"
    assert usual_label(snapshot, "xai") == "api-key-1"
    assert usual_url(snapshot, "openrouter") == "https://openrouter.ai/api/v1"
    assert usual_url(snapshot, "custom:box") == "https://box.example/v1"
    assert usual_url(snapshot, "custom:none") is None
    assert usual_url(snapshot, "azure-foundry") is None
