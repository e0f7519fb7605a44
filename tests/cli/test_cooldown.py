from __future__ import annotations

import json
from typing import Any

import pytest

from cli.program import Run
from fakes import NOW, FakeClock, a_key, a_reader, tree, write_store
from keydeck.engine.events import Failed

CONFIG = """\
credential_pool:
  cooldown:
    429: 90s   # ours
    providers:
      openrouter: {billing: 2h}
    keys:
      aaa001: {503: 10s}
    500: soon
"""


@pytest.fixture
def two(run: Run) -> Run:
    """Return the program on a home whose first key failed 20 seconds ago, at 14:01:51."""
    write_store(run.home, {"openrouter": [a_key("aaa001", "ci"), a_key("aaa002", "spare", priority=1)]})
    (run.home / "config.yaml").write_text(CONFIG)
    clock = FakeClock(NOW - 20)
    reader = a_reader(run.home, clock=clock)
    reader.read()
    reader.store.append(Failed(ids=("aaa001",), provider="openrouter", code=429))
    reader.store.flush()
    return run


def config(run: Run) -> str:
    return (run.home / "config.yaml").read_text()


def rows(said: str) -> dict[str, list[str]]:
    """Return the cells of the table by kind or status."""
    lines = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in said.splitlines()]
    return {cells[0]: cells[1:] for cells in lines}


def test_the_policy_in_effect_is_listed(two: Run) -> None:
    """Each kind and each status with an entry: what it costs, and from where; what does not hold goes to stderr."""
    result = two("auth", "cooldown")
    assert result.exit_code == 0
    found = rows(result.stdout)
    assert found["rate limit"] == ["1m, ×2 up to 1h", "default"]
    assert found["429"] == ["90s, ×2 up to 1h", "config.yaml line 3"]
    assert found["key refused"] == ["5m, then log in", "default"]
    assert found["request"] == ["none", "default"]
    assert "ci: 503 10s, config.yaml line 7" in result.stdout
    assert (
        result.stderr
        == "keydeck: config.yaml line 8: a wait is seconds, or like 90s, 5m, 1h, 2d, up to 30d, or 0 for no bench\n"
    )


def test_of_a_provider_and_of_a_key(two: Run) -> None:
    """What comes from above says so."""
    found = rows(two("auth", "cooldown", "or").stdout)
    assert found["billing"] == ["2h, ×2 up to 1d", "config.yaml line 5"]
    assert found["429"][1] == "config.yaml line 3, from above"
    found = rows(two("auth", "cooldown", "openrouter", "--key", "ci").stdout)
    assert found["503"] == ["10s", "config.yaml line 7"]
    assert found["billing"][1] == "config.yaml line 5, from above"


def test_as_json(two: Run) -> None:
    """Seconds, lines, and what does not hold."""
    told = json.loads(two("auth", "cooldown", "openrouter", "--json").stdout)
    assert (told["provider"], told["id"]) == ("openrouter", None)
    by_name = {each["status"] or each["kind"]: each for each in told["cooldown"]}
    assert by_name["billing"] == {
        "kind": "billing",
        "status": None,
        "wait_s": 7200.0,
        "grows": 2,
        "cap_s": 86400.0,
        "sole_cap_s": 2592000.0,
        "terminal_after": 0,
        "rotates": "yes",
        "line": 5,
        "own": True,
    }
    assert (by_name[429]["wait_s"], by_name[429]["own"]) == (90.0, False)
    assert [each["line"] for each in told["problems"]] == [8]


@pytest.mark.parametrize(
    ("words", "line", "said"),
    [
        (("all", "429", "5m"), "    429: 5m   # ours\n", "wait 5m after 429"),
        (("all", "429", "0"), "    429: 0   # ours\n", "no wait after 429"),
        (
            ("all", "429", "--cap", "2h", "--grows", "3"),
            "    429: {wait: 90s, grows: 3, cap: 2h}   # ours\n",
            "wait 90s, grows 3, cap 2h after 429",
        ),
        (
            ("openrouter", "rate-limit", "5m"),
            "      openrouter: {billing: 2h, rate_limit: 5m}\n",
            "openrouter: wait 5m after rate_limit",
        ),
        (
            ("openrouter", "429", "5m", "--key", "ci"),
            "      aaa001: {503: 10s, 429: 5m}\n",
            "aaa001: wait 5m after 429",
        ),
        (
            ("openrouter", "key_refused", "--terminal-after", "0"),
            "      openrouter: {billing: 2h, key_refused: {terminal_after: 0}}\n",
            "openrouter: terminal after 0 after key_refused",
        ),
    ],
)
def test_a_wait_is_set(two: Run, words: tuple[str, ...], line: str, said: str) -> None:
    """One line of config.yaml changes, one line on standard output says so."""
    before = config(two)
    assert two.done("auth", "cooldown", *words) == said + "\n"
    assert line in config(two)
    assert len(set(config(two).splitlines()) - set(before.splitlines())) == 1


def test_an_entry_is_taken_out(two: Run) -> None:
    """`default` lets it cost again what it costs without; the remark stays."""
    assert two.done("auth", "cooldown", "all", "429", "default") == "a wait after 429 as without an entry\n"
    assert config(two) == CONFIG.replace("    429: 90s   # ours\n", "    # ours\n")


def test_a_preview_changes_nothing(two: Run) -> None:
    """It says what would be otherwise now and today, as text and for scripts, and leaves the home byte-identical."""
    before = tree(two.home)
    assert two.done("auth", "cooldown", "all", "429", "0", "--preview") == (
        "ci: back now instead of 14:03:21\nopenrouter today: 1 bench, 1 fewer; out for 20s → 0s\n"
    )
    told = json.loads(two.done("auth", "cooldown", "all", "429", "10m", "--preview", "--json"))
    (pool,) = told["pools"]
    assert (pool["provider"], pool["benches"], pool["longer"], pool["before_s"]) == ("openrouter", 1, 1, 20.0)
    (row,) = told["rows"]
    assert (row["id"], row["before"]["until"], row["after"]["until"]) == ("aaa001", NOW + 70, NOW + 580)
    same = two.done("auth", "cooldown", "openrouter", "402", "3h", "--preview")
    assert same == "today: nothing would have been otherwise\n"
    assert tree(two.home) == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("all", "200", "5m"), "a status is a number from 400 to 599"),
        (("all", "rate_limt", "5m"), "did you mean rate_limit?"),
        (("all", "429", "soon"), "a wait is seconds, or like 90s"),
        (("all", "429", "5m", "--cap", "1m"), "cap is below wait"),
        (("nowhere", "429", "5m"), "nowhere"),
        (("openrouter", "429", "5m", "--key", "zzz"), "zzz"),
    ],
)
def test_what_makes_no_sense_is_refused(two: Run, words: tuple[str, ...], says: str) -> None:
    """With one line, exit code 1, and the home as it was."""
    before = tree(two.home)
    assert says in two.refused("auth", "cooldown", *words)
    assert tree(two.home) == before


@pytest.mark.parametrize(
    "words", [("all", "429"), ("all", "429", "5m", "--key", "ci"), ("all", "429", "default", "--cap", "1h")]
)
def test_what_is_not_said_in_full_is_wrong_usage(two: Run, words: tuple[str, ...]) -> None:
    """Exit code 2, and the home as it was."""
    before = tree(two.home)
    assert two("auth", "cooldown", *words).exit_code == 2
    assert tree(two.home) == before


def test_read_only_and_a_broken_config_are_refused(two: Run) -> None:
    """Nothing is written, and no defaults are shown for what nobody can read."""
    before = tree(two.home)
    assert "read-only" in two.refused("--read-only", "auth", "cooldown", "all", "429", "5m")
    assert tree(two.home) == before
    (two.home / "config.yaml").write_text("a: [\n")
    for words in ((), ("all", "429", "5m"), ("all", "429", "5m", "--preview")):
        assert "not valid YAML" in two.refused("auth", "cooldown", *words)


def test_names_of_keys_are_data(run: Run) -> None:
    """A label that holds a key is not printed with it."""
    secret = "sk-or-v1-0123456789abcdef"
    write_store(run.home, {"openrouter": [a_key("aaa001", f"x {secret}", access_token=secret)]})
    (run.home / "config.yaml").write_text("credential_pool: {cooldown: {keys: {aaa001: {429: 0}}}}\n")
    said: Any = run.done("auth", "cooldown")
    assert "429 none" in said
    assert secret not in said
