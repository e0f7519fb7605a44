"""Setting a strategy: one value of config.yaml changes, and hermes reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop.conftest import Another
from interop.hermes import Hermes, Keydeck

pytestmark = pytest.mark.interop

CONFIG = """\
# Every kind of YAML that people write      \u2190 with blanks at the end   \u0020
%(above)s
model: &main   # an anchor
    provider: "custom"     # odd indentation, odd quotes
    default: 'it''s a model'
    "base_url":   https://llm.example.org/v1
fallback_model:
    <<: *main
    model: other
agent:
  system_prompt: >-
    Folded text # which holds no comment
    credential_pool_strategies: {openrouter: fill_first}

    and a second paragraph.
  notes: |
    credential_pool_strategies:
      openrouter: least_used
  lists: [a, "b", {c: d}, [1, 2.50, 0x1F, ~, yes]]
"credential_pool_strategies":   # how pools pick
   # the one that matters
   openrouter: %(openrouter)s
   'custom:my-llm':    %(custom)s
   deepseek: &pick  random   # shared
   gemini: *pick
custom_providers:
- name: My LLM
  base_url: https://llm.example.org/v1
  api_key: ${MY_KEY}
unicode: "\\u00fc \u00fc \U0001f600"
# the end, without a newline"""

WRITTEN = {
    "plain": "fill_first",
    "plain with comment": "fill_first     # first come",
    "single quotes": "'fill_first'  # quoted",
    "double quotes": '"fill_first"',
    "blanks in quotes": '"  Fill_First "',
    "alias": "*main_pick",
    "folded": ">-\n      fill_first",
    "null": "~",
    "number": "7",
}
"""How the value of openrouter may stand there, and what it is next."""


def _config(openrouter: str, custom: str = "least_used") -> str:
    above = "x-picks: [&main_pick least_used]\n" if openrouter.startswith("*") else ""
    return CONFIG % {"openrouter": openrouter, "custom": custom, "above": above}


def _round_robin(written: str) -> str:
    """Return what has to stand there afterwards: the word in the same quotes, the comment where it was."""
    quote = written[0] if written[0] in "'\"" else ""
    value, mark, comment = written.partition("#")
    blanks = value[len(value.rstrip()) :] if mark else ""
    return f"{quote}round_robin{quote}{blanks}{mark}{comment}"


@pytest.mark.parametrize(
    ("case", "newline"), [*((case, "\n") for case in WRITTEN), ("folded", "\r\n"), ("double quotes", "\r\n")]
)
def test_one_value_changes_and_no_other_byte(
    hermes: Hermes, another: Another, home: Path, deck: Keydeck, case: str, newline: str
) -> None:
    """The value of openrouter becomes round_robin in its quotes; hermes reads that, and all else as before."""
    path, written = home / "config.yaml", WRITTEN[case]
    path.write_bytes(_config(written).replace("\n", newline).encode())
    before = hermes.ask("settings")
    deck.run("auth", "strategy", "openrouter", "round_robin")
    here, there = f"   openrouter: {written}\n", f"   openrouter: {_round_robin(written)}\n"
    expected = _config(written).replace(here, there)
    assert expected.count(there) == 1
    assert path.read_bytes().decode() == expected.replace("\n", newline)
    after = another()
    now = after.ask("settings")
    assert now["credential_pool_strategies"].pop("openrouter") == "round_robin"
    before["credential_pool_strategies"].pop("openrouter")
    assert now == before
    assert after.ask("strategies", providers=["openrouter", "gemini"]) == ["round_robin", "random"]
    assert after.ask("load", provider="openrouter")["strategy"] == "round_robin"


def test_a_custom_pool_gets_its_strategy(hermes: Hermes, home: Path, deck: Keydeck) -> None:
    """The pool of an endpoint, named as the operator names it, is set under the key that hermes looks up."""
    path = home / "config.yaml"
    path.write_text(_config("fill_first"), encoding="utf-8")
    deck.run("auth", "strategy", "my llm", "round_robin")
    assert path.read_text(encoding="utf-8") == _config("fill_first", custom="round_robin")
    assert hermes.ask("strategies", providers=["custom:my-llm", "openrouter"]) == [
        "round_robin",
        "fill_first",
    ]


ADDED = {
    "no file": (None, "credential_pool_strategies:\n  openrouter: round_robin\n"),
    "empty file": ("", "credential_pool_strategies:\n  openrouter: round_robin\n"),
    "only a comment": ("# mine\n", "# mine\ncredential_pool_strategies:\n  openrouter: round_robin\n"),
    "no section": (
        "model:\n    default: m  # four blanks\n",
        "model:\n    default: m  # four blanks\ncredential_pool_strategies:\n    openrouter: round_robin\n",
    ),
    "no pair": (
        "credential_pool_strategies:\n   xai: random  # here\n\nmodel: m\n",
        "credential_pool_strategies:\n   xai: random  # here\n   openrouter: round_robin\n\nmodel: m\n",
    ),
    "flow": (
        "credential_pool_strategies: {xai: random}  # one line\n",
        "credential_pool_strategies: {xai: random, openrouter: round_robin}  # one line\n",
    ),
    "null section": (
        "credential_pool_strategies:\nmodel: m\n",
        "credential_pool_strategies:\n  openrouter: round_robin\nmodel: m\n",
    ),
}
"""A file without the value, and the same file with it."""


@pytest.mark.parametrize("case", ADDED)
def test_a_missing_value_is_added_and_read_by_hermes(
    hermes: Hermes, home: Path, deck: Keydeck, case: str
) -> None:
    """A key or section that is not there is put in, in the file's own indentation; hermes follows it."""
    before, after = ADDED[case]
    path = home / "config.yaml"
    if before is not None:
        path.write_text(before, encoding="utf-8")
    deck.run("auth", "strategy", "openrouter", "round_robin")
    assert path.read_text(encoding="utf-8") == after
    assert hermes.ask("load", provider="openrouter")["strategy"] == "round_robin"


def test_hermes_writes_a_strategy_and_keydeck_reads_it(hermes: Hermes, home: Path, deck: Keydeck) -> None:
    """`hermes config set` changes the file its own way; our command shows the new value."""
    (home / "config.yaml").write_text(_config("fill_first"), encoding="utf-8")
    hermes.run("config", "set", "credential_pool_strategies.openrouter", "least_used")
    assert deck.run("auth", "strategy", "openrouter") == "least_used\n"


def test_hermes_follows_what_was_set_here(hermes: Hermes, deck: Keydeck) -> None:
    """With round_robin set here, hermes' next loads take turns; with fill_first again, they stop."""
    for number in (1, 2, 3):
        hermes.ask("auth", verb="add", provider="openrouter", label=f"k{number}", api_key=f"sk-k-{number}")
    deck.run("auth", "strategy", "openrouter", "round_robin")
    ids = [row["id"] for row in hermes.ask("load", provider="openrouter")["entries"]]
    assert hermes.ask("select", name="openrouter", times=4) == [*ids, ids[0]]
    deck.run("auth", "strategy", "openrouter", "fill_first")
    (first, *_) = hermes.ask("load", provider="openrouter")["available"]
    assert hermes.ask("select", name="openrouter", times=3) == [first] * 3
