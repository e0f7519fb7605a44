from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.program import Run
from fakes import NOW, a_key, benched, in_another_process, keys, permissions_count, tree, write_store
from keydeck.cli import keydeck
from keydeck.engine.errors import Refused

POOL = [
    *("provider", "strategy", "ready", "total", "next_ready_at", "probing", "in_flight", "forecast"),
    "credentials",
]
CREDENTIAL = [
    *("id", "label", "auth_type", "source", "stored", "inherited", "priority", "base_url", "health"),
    *("status_code", "reason", "message", "since", "until", "cause", "evidence", "streak", "scope"),
    *("told_until", "config_line", "in_flight", "limits", "request_count", "token_expires_at"),
    *("duplicate_of", "next_pick", "fingerprint"),
]


@pytest.fixture
def mixed(home: Path) -> Path:
    """Write a pool of which two of five rows are ready, and one other."""
    return write_store(
        home,
        {
            "openrouter": [
                a_key("aaa001", "ok-key"),
                a_key(
                    "bbb002",
                    "cooling",
                    **benched(429, ago=60, until=NOW + 840, last_error_message="slow down"),
                ),
                a_key(
                    "ccc003", "revoked", last_status="dead", last_status_at=NOW - 3600, last_error_code=401
                ),
                a_key("ddd004", "unset", source="env:OPENROUTER_API_KEY", access_token=...),
                a_key("eee005", "spare"),
            ],
            "zai": keys("fff006"),
        },
    )


@pytest.mark.usefixtures("mixed")
def test_the_list_tells_every_row_that_is_out(run: Run) -> None:
    """Why, since when, until when; a pool says how many are ready and when the next one is back."""
    text = run.done("auth", "list")
    assert "2 of 5 ready until 14:16:11, then 3" in text
    assert "cooling, until 14:16:11 (14m00s left), since 14:01:11, found in the file" in text
    assert ": 429 rate limit: slow down" in text
    assert "log in again, since 13:02:11, found in the file (hermes): " in text
    assert "no secret: OPENROUTER_API_KEY unset" in text
    (dead,) = (line for line in text.splitlines() if "revoked" in line)
    assert "ready" not in dead
    assert "zai  1 of 1 ready" in text


@pytest.mark.usefixtures("mixed")
def test_the_list_as_json_is_exactly_what_the_issue_says(run: Run) -> None:
    """One document of exactly these fields, times as epoch seconds."""
    document = json.loads(run.done("auth", "list", "--json"))
    assert list(document) == ["home", "profile", "pools"]
    assert (document["home"], document["profile"]) == (str(run.home), "default")
    pool, other = document["pools"]
    assert list(pool) == POOL
    assert (pool["ready"], pool["total"], pool["next_ready_at"]) == (2, 5, NOW + 840)
    assert [list(row) for row in pool["credentials"]] == [CREDENTIAL] * 5
    assert [row["health"] for row in pool["credentials"]] == [
        "ready",
        "cooling",
        "needs_login",
        "no_secret",
        "ready",
    ]
    assert [row["next_pick"] for row in pool["credentials"]] == [True, False, False, False, False]
    assert other["provider"] == "zai"


@pytest.mark.usefixtures("mixed")
def test_one_provider_is_listed_by_any_of_its_names(run: Run) -> None:
    """Only that pool, in text and in JSON."""
    for name in ("openrouter", "OR", "open-router"):
        assert "zai" not in run.done("auth", "list", name)
        assert [
            pool["provider"] for pool in json.loads(run.done("auth", "list", name, "--json"))["pools"]
        ] == ["openrouter"]


def test_an_endpoint_is_listed_by_its_name(run: Run) -> None:
    """With or without the prefix that its pool has in the file."""
    write_store(run.home, {"custom:my-llm": keys("aaa001")})
    assert run.done("auth", "list", "my-llm") == run.done("auth", "list", "custom:my-llm")


def test_an_empty_list_says_what_adds_a_key(run: Run) -> None:
    """A missing home, an empty store, and a provider without a row."""
    assert run.done("auth", "list") == f"no credential in {run.home}; keydeck auth add PROVIDER adds one\n"
    assert run.done("auth", "list", "zai") == "zai has no credential; keydeck auth add PROVIDER adds one\n"
    assert json.loads(run.done("auth", "list", "--json"))["pools"] == []
    assert not run.home.exists()


def test_a_pool_that_cannot_be_shown_is_told_and_not_called_empty(run: Run) -> None:
    """In the whole list, when it is asked for by name, and beside the JSON."""
    write_store(run.home, {"zai": "x", "openrouter": keys("aaa001")})
    said = "pool zai cannot be shown: its value is a JSON string where a list of rows should be"
    assert said in run.done("auth", "list")
    assert said in run.done("auth", "list", "zai")
    assert "zai" not in run.done("auth", "list", "openrouter")
    result = run("auth", "list", "--json")
    assert [pool["provider"] for pool in json.loads(result.stdout)["pools"]] == ["openrouter"]
    assert said in result.stderr
    for args in (["status"], ["status", "zai"], ["status", "zai", "--json"]):
        assert said in run("auth", *args).stderr


@pytest.mark.usefixtures("mixed")
def test_looking_changes_nothing(run: Run) -> None:
    """Lists and states leave the home as it was, file for file and byte for byte."""
    before = tree(run.home)
    for args in (
        ["list"],
        ["list", "--json"],
        ["list", "openrouter"],
        ["status"],
        ["status", "zai", "--json"],
        ["strategy", "zai"],
    ):
        run.done("auth", *args)
    assert tree(run.home) == before


def test_status_is_one_answer_a_provider(run: Run, mixed: Path) -> None:
    """Usable or not, in text and as JSON."""
    write_store(mixed.parent, {"openrouter": [a_key(**benched(until=NOW + 840))], "zai": keys("aaa001")})
    assert run.done("auth", "status").splitlines() == [
        "openrouter  cooling, 0 of 1 ready, next back in 14m00s",
        "zai         ready, 1 of 1 ready",
    ]
    document = json.loads(run.done("auth", "status", "openrouter", "--json"))
    assert list(document) == ["home", "profile", "providers"]
    assert document["providers"] == [
        {
            "provider": "openrouter",
            "name": "OpenRouter",
            "usable": False,
            "state": "cooling",
            "ready": 0,
            "total": 1,
            "next_ready_at": NOW + 840,
        }
    ]


def test_status_of_nothing(run: Run) -> None:
    """An empty home, and a provider that is absent."""
    assert run.done("auth", "status") == "no provider has a credential; keydeck auth add adds one\n"
    assert run.done("auth", "status", "zai") == "zai  absent, no credential\n"


def test_a_profile_is_listed_with_what_it_inherits(run: Run) -> None:
    """`--profile` may stand before or behind the command; an unknown one is refused."""
    write_store(run.home, {"openrouter": keys("aaa001")})
    (run.home / "profiles" / "worker").mkdir(parents=True)
    assert "[inherited]" in run.done("auth", "list", "--profile", "worker")
    assert "[inherited]" in run.done("--profile", "worker", "auth", "list")
    assert json.loads(run.done("auth", "list", "--json", "--profile", "worker"))["profile"] == "worker"
    assert "profile 'nope' does not exist" in run.refused("auth", "list", "--profile", "nope")


def test_the_home_of_the_environment_is_listed(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """KEYDECK_HOME before HERMES_HOME, `--home` before both; the inner option wins."""
    for name in ("ours", "theirs", "named"):
        write_store(tmp_path / name, {"openrouter": [a_key("aaa001", name)]})
    monkeypatch.setenv("HERMES_HOME", str(tmp_path / "theirs"))
    assert "theirs" in run.done("auth", "list", "--home", "")
    monkeypatch.setenv("KEYDECK_HOME", str(tmp_path / "ours"))
    assert "ours" in run.done("auth", "list", "--home", "")
    assert "named" in run.done("auth", "list", "--home", str(tmp_path / "named"))


# --- troubles ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [["list"], ["list", "--json"], ["list", "zai"], ["status"], ["status", "zai", "--json"]]
)
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b'{"credential_pool": {"openr', "not valid JSON (line 1)"),
        (b"[]", "a JSON list where an object should be"),
        (b'{"version": 2}', "newer"),
    ],
)
def test_a_store_that_cannot_be_read_is_never_listed_as_empty(
    run: Run, command: list[str], data: bytes, said: str
) -> None:
    """One line that names the file and the reason, exit code 1, nothing on standard output, nothing changed."""
    run.home.mkdir()
    (run.home / "auth.json").write_bytes(data)
    before = tree(run.home)
    error = run.refused("auth", *command)
    assert str(run.home / "auth.json") in error
    assert said in error
    assert tree(run.home) == before


def test_an_unreadable_store_is_told(run: Run, mixed: Path) -> None:
    """With what the system says."""
    mixed.chmod(0)
    with permissions_count():
        assert "permission denied" in run.refused("auth", "list")


@pytest.mark.parametrize(
    "command",
    [["list"], ["list", "openrouter"], ["list", "--json"], ["status"], ["reset", "openrouter", "aaa001"]],
)
@pytest.mark.usefixtures("mixed")
def test_a_broken_config_is_one_line_beside_the_answer(run: Run, command: list[str]) -> None:
    """The rows are there; the line is said once, and quotes nothing of the file."""
    (run.home / "config.yaml").write_text("api_key: sk-planted-0123\nb: [}\n")
    result = run("auth", *command)
    assert result.exit_code == 0
    assert result.stdout
    assert result.stderr.count("\n") == 1
    assert "line 2" in result.stderr
    assert "planted" not in result.output


@pytest.mark.parametrize(
    "rows",
    [
        [
            a_key("aaa001", "[/x] [bold]"),
            a_key("bbb002", "\x1b[31mred\x1b[0m"),
            a_key("ccc003", "two\nlines"),
        ],
        [a_key("ddd004", "\u202eevil"), a_key("eee005", "x" * 300), a_key("fff006", "\ud800 lone")],
        [a_key("\x1b[2J", "id"), a_key("g", **benched(429, last_error_message="\x1b]0;x\x07 y" * 9999))],
        [5, None, a_key(priority="1"), a_key("h", source=None)],
        [a_key("i", **benched(until=float("nan"))), a_key("j", **benched(until=float("inf")))],
        [
            a_key("k", **benched(until=10**400)),
            a_key("l", priority=10**400),
            a_key("m", request_count=10**400),
        ],
    ],
    ids=["markup", "bidi", "escapes", "bad rows", "nan", "huge"],
)
def test_hostile_rows_are_listed_line_by_line(run: Run, rows: list[Any]) -> None:
    """A line a row, inert, and JSON that parses."""
    write_store(run.home, {"openrouter": rows})
    text = run.done("auth", "list")
    assert len(text.splitlines()) == len(rows) + 1
    assert "\u202e" not in text
    (pool,) = json.loads(run.done("auth", "list", "--json"))["pools"]
    assert len(pool["credentials"]) == len(rows)
    run.done("auth", "status")


LISTING = "import sys; from keydeck.cli import main; sys.argv = ['keydeck', *sys.argv[1:]]; main()"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_that_cannot_show_a_label_gets_what_it_can(home: Path, encoding: str) -> None:
    """A label that the output's encoding has no sign for is no traceback."""
    write_store(home, {"openrouter": [a_key("aaa001", "schlüssel 鍵 🔑")]})
    text = in_another_process(LISTING, "--home", home, "auth", "list", PYTHONIOENCODING=encoding)
    assert "aaa001" in text
    assert "1 of 1 ready" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["--demo", "auth", "list"],
        ["--demo", "--home", "somewhere"],
        ["--mask", "auth", "list"],
        ["--ascii", "auth", "status"],
    ],
)
def test_options_of_the_dashboard_do_not_pass_silently(arguments: list[str]) -> None:
    """A flag that would mean nothing here is wrong usage."""
    done = CliRunner().invoke(keydeck, arguments)
    assert done.exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["add", "openrouter", "--api-key", "sk-new-0123456789"],
        ["remove", "openrouter", "aaa001", "--yes"],
        ["reset", "openrouter"],
        ["strategy", "openrouter", "random"],
    ],
)
def test_read_only_holds_for_every_command_that_changes(home: Path, arguments: list[str]) -> None:
    """With --read-only before the command nothing is changed, and the reason is said."""
    write_store(home, {"openrouter": keys("aaa001", **benched())})
    before = tree(home)
    done = CliRunner().invoke(keydeck, ["--read-only", "--home", str(home), "auth", *arguments])
    assert isinstance(done.exception, Refused)
    assert "--read-only" in str(done.exception)
    assert tree(home) == before
