from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import keydeck
from cli.program import Run
from fakes import (
    a_key,
    a_reader,
    benched,
    happened,
    keys,
    limited,
    load,
    lock_held,
    permissions_count,
    tree,
    write_store,
)
from keydeck.cli.common import Place, operator
from keydeck.engine.credential import STATUS_FIELDS
from keydeck.engine.snapshot import HomeReader

KEY = "sk-new-0123456789"


def rows(run: Run, provider: str = "openrouter") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = load(run.home)["credential_pool"].get(provider, [])
    return found


# --- add ---------------------------------------------------------------------------------------------------


def test_a_key_is_added_from_standard_input(run: Run) -> None:
    """White space around it goes; the answer names label and id; the key is printed nowhere."""
    text = run.done("auth", "add", "openrouter", "--label", "mine", "--api-key-stdin", stdin=f"  {KEY}\n")
    (row,) = rows(run)
    assert text == f"added mine to openrouter as {row['id']}\n"
    assert (row["access_token"], row["source"], row["label"]) == (KEY, "manual", "mine")


def test_a_key_is_asked_for_without_an_echo(run: Run) -> None:
    """On a terminal it is prompted for on standard error, and what is typed is not shown."""
    result = run("auth", "add", "openrouter", stdin=f"{KEY}\n", terminal=True)
    assert result.exit_code == 0
    assert "API key" in result.stderr
    assert KEY not in result.output
    assert rows(run)[0]["access_token"] == KEY


def test_a_key_on_the_command_line_is_taken_with_a_warning(run: Run) -> None:
    """Parity with hermes; the warning says who can see it."""
    result = run("auth", "add", "openrouter", "--api-key", KEY)
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1
    assert "other users" in result.stderr
    assert KEY not in result.output
    assert rows(run)[0]["access_token"] == KEY


def test_without_a_terminal_a_key_is_not_asked_for(run: Run) -> None:
    """A script is told how to pass it."""
    assert "--api-key-stdin" in run.refused("auth", "add", "openrouter", stdin=f"{KEY}\n")
    assert not run.home.exists()


def test_two_ways_of_giving_a_key_exclude_each_other(run: Run) -> None:
    """A usage error, exit code 2."""
    result = run("auth", "add", "openrouter", "--api-key", KEY, "--api-key-stdin", stdin=KEY)
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr
    assert KEY not in result.output
    assert not run.home.exists()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "blank"),
        ("\n", "blank"),
        ("sk-…", "masked"),
        ("sk-or-v1-abc...f00", "masked"),
        ("changeme", "placeholder"),
        ("sk a b", "white space"),
        ("sk-a\nsk-b", "control"),
        ("sk-\x1b[2J-abc", "control"),
        ("${KEY}", "variable"),
    ],
)
def test_what_is_no_key_is_refused(run: Run, value: str, said: str) -> None:
    """With its reason, without a quote of it, and without making a home."""
    error = run.refused("auth", "add", "openrouter", "--api-key-stdin", stdin=value)
    assert said in error
    assert not value.strip() or value.strip() not in error
    assert not run.home.exists()


@pytest.mark.parametrize("data", [b"\xff\xfe\x00s\x00k", b"sk-\xe9\xe9\xe9\xe9", b"\x80" * 100])
def test_bytes_that_are_no_text_are_no_key(run: Run, data: bytes) -> None:
    """A file in another encoding on standard input is one line, not a traceback."""
    assert "not a key" in run.refused("auth", "add", "openrouter", "--api-key-stdin", stdin=data)


def test_a_byte_order_mark_before_a_key_is_no_part_of_it(run: Run) -> None:
    """Some editors and shells put one there."""
    run.done("auth", "add", "openrouter", "--api-key-stdin", stdin=b"\xef\xbb\xbf" + KEY.encode())
    assert rows(run)[0]["access_token"] == KEY


@pytest.mark.parametrize(
    ("name", "suggested"), [("openruter", "openrouter"), ("antropic", "anthropic"), ("deepseak", "deepseek")]
)
def test_an_unknown_provider_gets_a_suggestion(run: Run, name: str, suggested: str) -> None:
    """One line: what was not understood, and what was perhaps meant."""
    assert run.refused("auth", "add", name, "--api-key-stdin", stdin=KEY) == (
        f"unknown provider '{name}'; did you mean {suggested}?"
    )


def test_a_hostile_provider_name_is_shown_inert(run: Run) -> None:
    """Control characters of an argument do not reach the terminal."""
    assert "unknown provider" in run.refused("auth", "add", "\x1b[2Jx\ny", "--api-key-stdin", stdin=KEY)


def test_a_key_or_label_that_is_there_is_refused(run: Run) -> None:
    """The line names the row that has it."""
    write_store(run.home, {"openrouter": [a_key("aaa001", "mine", access_token=KEY)]})
    before = tree(run.home)
    assert (
        run.refused("auth", "add", "or", "--api-key-stdin", stdin=KEY)
        == "this key is already there as mine (aaa001)"
    )
    error = run.refused("auth", "add", "or", "--label", "MINE", "--api-key-stdin", stdin="sk-other-0123456")
    assert "taken by aaa001" in error
    assert {name: found for name, found in tree(run.home).items() if name != "auth.lock"} == before


@pytest.mark.parametrize("label", ["a\nb", "a\x1b[31m", "x" * 300, " ", "a\u202eb", f"prod {KEY}"])
def test_a_label_that_would_disturb_a_list_is_refused(run: Run, label: str) -> None:
    """FS-68 on input, and a label that holds the key itself."""
    error = run.refused("auth", "add", "openrouter", "--label", label, "--api-key-stdin", stdin=KEY)
    assert "label" in error
    assert KEY not in error
    assert not run.home.exists()


def test_an_endpoint_gets_a_key_with_an_address(run: Run) -> None:
    """`--base-url` where config.yaml has none."""
    assert "--base-url" in run.refused("auth", "add", "custom:mine", "--api-key-stdin", stdin=KEY)
    run.done("auth", "add", "custom:mine", "--base-url", "https://m/v1/", "--api-key-stdin", stdin=KEY)
    assert rows(run, "custom:mine")[0]["base_url"] == "https://m/v1"
    assert "base URL" in run.refused(
        "auth", "add", "custom:mine", "--base-url", "ftp://x", "--api-key-stdin", stdin="sk-other-0123456"
    )


def test_a_login_provider_says_how_to_log_in(run: Run) -> None:
    """A key there would never be used."""
    assert "hermes auth add nous" in run.refused("auth", "add", "nous", "--api-key-stdin", stdin=KEY)


# --- remove ------------------------------------------------------------------------------------------------


def test_a_removal_asks_by_label_and_does_it(run: Run) -> None:
    """The question names label, id and provider; `y` removes."""
    write_store(run.home, {"openrouter": keys("aaa001", "bbb002")})
    result = run("auth", "remove", "openrouter", "2", stdin="y\n", terminal=True)
    assert result.exit_code == 0
    assert "Remove key-bbb002 (bbb002) from openrouter?" in result.stderr
    assert result.stdout.endswith("removed key-bbb002 (bbb002) from openrouter\n")
    assert [row["id"] for row in rows(run)] == ["aaa001"]


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_without_a_yes_nothing_is_removed(run: Run, answer: str) -> None:
    """No, enter, and the end of input all leave the row; exit code 1."""
    write_store(run.home, {"openrouter": keys("aaa001")})
    before = tree(run.home)
    assert run("auth", "remove", "openrouter", "aaa001", stdin=answer, terminal=True).exit_code == 1
    assert tree(run.home) == before


def test_a_script_says_yes_beforehand(run: Run) -> None:
    """Without a terminal and without `--yes` nobody could have confirmed."""
    write_store(run.home, {"openrouter": keys("aaa001")})
    assert "--yes" in run.refused("auth", "remove", "openrouter", "aaa001", stdin="y\n")
    assert len(rows(run)) == 1
    assert (
        run.done("auth", "remove", "openrouter", "KEY-AAA001", "--yes")
        == "removed key-aaa001 (aaa001) from openrouter\n"
    )
    assert rows(run) == []


def test_removing_tells_what_would_bring_it_back(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notes below the line: where it was cleared, where it is still set, what lifts the suppression."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    write_store(
        run.home, {"openrouter": [a_key("aaa001", source="env:OPENROUTER_API_KEY", access_token=...)]}
    )
    (run.home / ".env").write_text(f"OPENROUTER_API_KEY={KEY}\n")
    lines = run.done("auth", "remove", "openrouter", "aaa001", "--yes").splitlines()
    assert lines[0] == "removed key-aaa001 (aaa001) from openrouter"
    assert all(line.startswith("  ") for line in lines[1:])
    text = "\n".join(lines)
    assert "taken out of .env" in text
    assert "still set in the environment" in text
    assert "keydeck auth add openrouter" in text
    assert KEY not in text


@pytest.mark.parametrize("command", ["remove", "reset"])
def test_an_ambiguous_label_is_refused_with_the_ids(run: Run, command: str) -> None:
    """Nothing is guessed."""
    write_store(
        run.home, {"openrouter": [a_key("aaa001", "dup", **benched()), a_key("bbb002", "Dup", **benched())]}
    )
    before = tree(run.home)
    yes = ["--yes"] if command == "remove" else []
    assert run.refused("auth", command, "openrouter", "dup", *yes) == (
        "'dup' names 2 credentials; use one of the ids aaa001, bbb002"
    )
    assert tree(run.home) == before


@pytest.mark.parametrize("command", ["remove", "reset"])
@pytest.mark.parametrize("target", ["nobody", "0", "9", "9" * 5000, "\x1b[2J"])
def test_a_target_that_is_nobody_is_refused(run: Run, command: str, target: str) -> None:
    """The line says where ids and labels are listed."""
    write_store(run.home, {"openrouter": keys("aaa001")})
    yes = ["--yes"] if command == "remove" else []
    error = run.refused("auth", command, "openrouter", target, *yes)
    assert "no credential" in error
    assert len(rows(run)) == 1


# --- reset -------------------------------------------------------------------------------------------------


def test_a_reset_of_one_row_says_what_it_is_and_is_not(run: Run) -> None:
    """By id, label or place; the quota stays the provider's."""
    write_store(run.home, {"openrouter": [a_key("aaa001", **benched()), a_key("bbb002", **benched())]})
    text = run.done("auth", "reset", "openrouter", "key-bbb002")
    assert text.splitlines() == [
        "reset key-bbb002 (bbb002)",
        "  a reset is local: it does not give quota back",
    ]
    first, second = rows(run)
    assert first["last_status"] == "exhausted"
    assert [second[name] for name in STATUS_FIELDS] == [None] * 6


def test_a_reset_of_a_pool(run: Run) -> None:
    """All rows that had something; a second one finds nothing, and an absent provider has nothing."""
    write_store(
        run.home,
        {"openrouter": [a_key("aaa001", **benched()), a_key("bbb002", last_status="dead"), a_key("c")]},
    )
    assert run.done("auth", "reset", "OR").startswith("reset 2 of openrouter\n")
    assert run.done("auth", "reset", "openrouter") == "nothing to reset in openrouter\n"
    assert run.done("auth", "reset", "zai") == "nothing to reset in zai\n"


def test_a_reset_ends_the_limits_of_models(run: Run) -> None:
    """A row that is only out for a model has something to reset, and it is said."""
    write_store(run.home, {"openrouter": keys("aaa001", "bbb002")})
    happened(run.home, (0, limited("bbb002", "m1")))
    assert run.done("auth", "reset", "openrouter").splitlines() == [
        "reset 1 of openrouter",
        "  that ended the limit of 1 model",
        "  a reset is local: it does not give quota back",
    ]
    assert run.done("auth", "reset", "openrouter") == "nothing to reset in openrouter\n"


def test_inherited_rows_are_refused(run: Run) -> None:
    """With the way to reach them."""
    write_store(run.home, {"openrouter": [a_key("aaa001", **benched())]})
    (run.home / "profiles" / "worker").mkdir(parents=True)
    before = tree(run.home)
    for args in (
        ["reset", "openrouter"],
        ["reset", "openrouter", "1"],
        ["remove", "openrouter", "1", "--yes"],
    ):
        assert "--profile default" in run.refused("auth", *args, "--profile", "worker")
    assert tree(run.home) == before


# --- strategy ----------------------------------------------------------------------------------------------


def test_a_strategy_is_shown_and_set(run: Run) -> None:
    """One word when asked, one line when set, one value in the file."""
    write_store(run.home, {"openrouter": keys("aaa001")})
    (run.home / "config.yaml").write_text("# mine\na: 1\n")
    assert run.done("auth", "strategy", "openrouter") == "fill_first\n"
    assert (
        run.done("auth", "strategy", "openrouter", "round_robin") == "openrouter now picks by round_robin\n"
    )
    assert run.done("auth", "strategy", "or") == "round_robin\n"
    text = (run.home / "config.yaml").read_text()
    assert text.startswith("# mine\na: 1\n")
    assert "openrouter: round_robin" in text


def test_sticky_is_shown_with_what_hermes_makes_of_it(run: Run) -> None:
    """When it is set, and whenever it is looked up."""
    note = "hermes reads it as fill_first"
    assert note in run.done("auth", "strategy", "openrouter", "sticky").replace("sticky as", "it as")
    assert run.done("auth", "strategy", "openrouter") == f"sticky\n  {note}\n"


def test_a_strategy_that_does_not_exist_is_refused(run: Run) -> None:
    """With those that do; the file is not made."""
    error = run.refused("auth", "strategy", "openrouter", "quota_aware")
    assert "fill_first, round_robin, least_used, random, sticky" in error
    assert not run.home.exists()


def test_an_unknown_strategy_of_the_file_is_shown_as_such(run: Run) -> None:
    """And stays."""
    write_store(run.home, {"openrouter": keys("aaa001")})
    (run.home / "config.yaml").write_text("credential_pool_strategies: {openrouter: quota_aware}\n")
    before = tree(run.home)
    assert "unknown, read as fill_first" in run.done("auth", "strategy", "openrouter")
    assert tree(run.home) == before


@pytest.mark.parametrize("args", [["strategy", "openrouter", "random"], ["strategy", "openrouter"]])
def test_a_broken_config_is_not_written_and_not_guessed(run: Run, args: list[str]) -> None:
    """The line in the file is told, by the question too, and nothing of the file is quoted."""
    write_store(run.home, {"openrouter": keys("aaa001")})
    (run.home / "config.yaml").write_text("api_key: sk-planted-0123\nb: [}\n")
    before = tree(run.home)
    error = run.refused("auth", *args)
    assert "line 2" in error
    assert "planted" not in error
    assert tree(run.home) == before


# --- all of them -------------------------------------------------------------------------------------------

ACTS = [
    ["add", "openrouter", "--api-key-stdin"],
    ["remove", "openrouter", "aaa001", "--yes"],
    ["reset", "openrouter"],
    ["reset", "openrouter", "aaa001"],
]


@pytest.mark.parametrize("act", ACTS, ids=" ".join)
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"version": 9}'])
def test_no_command_writes_over_a_store_it_cannot_read(run: Run, act: list[str], data: bytes) -> None:
    """One line, exit code 1, the bytes as they were."""
    run.home.mkdir()
    (run.home / "auth.json").write_bytes(data)
    assert str(run.home / "auth.json") in run.refused("auth", *act, stdin=KEY)
    assert (run.home / "auth.json").read_bytes() == data
    assert not [path for path in tree(run.home) if path not in ("auth.json", "auth.lock")]


@pytest.mark.parametrize("act", [*ACTS, ["strategy", "openrouter", "random"]], ids=" ".join)
def test_a_home_that_cannot_be_written_is_one_line(run: Run, act: list[str]) -> None:
    """A read-only folder: permission denied, and everything as it was."""
    write_store(run.home, {"openrouter": [a_key("aaa001", **benched())]})
    run.home.chmod(0o500)
    before = tree(run.home)
    with permissions_count():
        assert "permission denied" in run.refused("auth", *act, stdin=KEY).lower()
    assert tree(run.home) == before
    run.home.chmod(0o700)


@pytest.mark.parametrize("act", ACTS[:2], ids=" ".join)
def test_a_lock_that_is_held_is_told_while_waiting_and_when_giving_up(
    run: Run, act: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A word after 0.3 s, and a clean end at the timeout: exit code 1, nothing changed."""
    write_store(run.home, {"openrouter": [a_key("aaa001", **benched())]})
    monkeypatch.setattr("keydeck.cli.common.Operator", _hurried)
    with lock_held(run.home):
        before = tree(run.home)
        result = run("auth", *act, stdin=KEY)
        assert tree(run.home) == before
    assert (result.exit_code, result.stdout) == (1, "")
    waiting, gave_up = result.stderr.splitlines()
    assert waiting.startswith("keydeck: waiting for the lock")
    assert "nothing was changed" in gave_up


def _hurried(reader: HomeReader, **rest: Any) -> Any:
    from keydeck.engine.acts import Operator

    return Operator(reader, timeout_s=0.7, **rest)


@pytest.mark.parametrize("act", [*ACTS, ["strategy", "openrouter", "random"]], ids=" ".join)
def test_read_only_refuses_every_act(run: Run, act: list[str]) -> None:
    """What the operator asked for comes first: nothing is changed, and looking works."""
    write_store(run.home, {"openrouter": [a_key("aaa001", **benched())]})
    before = tree(run.home)
    assert "--read-only" in run.refused("--read-only", "auth", *act, stdin=KEY)
    assert "cooling" in run.done("--read-only", "auth", "list")
    assert tree(run.home) == before


def test_waiting_for_the_lock_is_told_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """However long it takes."""
    acts = operator(Place(), a_reader(home))
    for waited_s in (0.3, 1.3, 2.3):
        acts._on_wait(waited_s)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("waiting for the lock") == captured.err.count("\n") == 1


@pytest.mark.parametrize(
    "args",
    [
        ["auth", "bogus"],
        ["auth", "list", "a", "b"],
        ["auth", "add"],
        ["auth", "remove", "openrouter"],
        ["auth", "list", "--nope"],
        ["bogus"],
        ["--nope"],
        [],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(run: Run, args: list[str]) -> None:
    """With what is wrong on standard error, and nothing on standard output."""
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


def test_the_dashboard_needs_a_terminal(run: Run) -> None:
    """Piped, the program says what prints to a pipe instead."""
    result = run()
    assert result.exit_code == 2
    assert "keydeck auth list" in result.stderr


@pytest.mark.parametrize("command", ["list", "add", "remove", "reset", "strategy", "status"])
def test_every_command_explains_itself(run: Run, command: str) -> None:
    """`--help` says what it does and which options it takes."""
    text = run.done("auth", command, "--help")
    assert "Usage: " in text
    assert "--home" in text
    assert command in run.done("auth", "--help")


def test_the_version(run: Run) -> None:
    """The one of the package."""
    assert run.done("--version") == f"keydeck, version {keydeck.__version__}\n"


@pytest.mark.terminal
def test_a_key_typed_at_the_prompt_does_not_show(home: Path) -> None:
    """In a real pseudo-terminal: the prompt appears, what is typed does not, and the key is stored."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "PYTHONPATH": str(Path(keydeck.__file__).parent.parent)}
    command = [sys.executable, "-m", "keydeck", "--home", str(home), "auth", "add", "openrouter"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
    ) as program:
        os.close(theirs)
        seen = b""
        while b"API key" not in seen:
            seen += os.read(ours, 1024)
        os.write(ours, KEY.encode() + b"\n")
        try:
            while part := os.read(ours, 1024):
                seen += part
        except OSError:
            pass  # the other side is closed: the program has ended
        assert program.wait(20) == 0
    os.close(ours)
    assert KEY.encode() not in seen
    assert b"added api-key-1 to openrouter" in seen
    assert load(home)["credential_pool"]["openrouter"][0]["access_token"] == KEY


# --- rename, move, edit ------------------------------------------------------------------------------------


def test_rename_says_from_what_to_what(run: Run) -> None:
    """The label changes, and the line names both."""
    write_store(run.home, {"openrouter": keys("aaa001", "aaa002")})
    assert run.done("auth", "rename", "openrouter", "aaa001", "ci") == "renamed key-aaa001 to ci (aaa001)\n"
    assert rows(run)[0]["label"] == "ci"


@pytest.mark.parametrize(
    ("place", "order"),
    [
        ("first", ["aaa002", "aaa001", "aaa003"]),
        ("up", ["aaa002", "aaa001", "aaa003"]),
        ("down", ["aaa001", "aaa003", "aaa002"]),
        ("last", ["aaa001", "aaa003", "aaa002"]),
        ("1", ["aaa002", "aaa001", "aaa003"]),
        ("2", ["aaa001", "aaa002", "aaa003"]),
    ],
)
def test_move_takes_words_and_numbers(run: Run, place: str, order: list[str]) -> None:
    """They say where to; the other rows keep their order."""
    write_store(run.home, {"openrouter": keys("aaa001", "aaa002", "aaa003")})
    run.done("auth", "move", "openrouter", "aaa002", place)
    assert [row["id"] for row in sorted(rows(run), key=lambda row: int(row["priority"]))] == order


@pytest.mark.parametrize("place", ["0", "-1", "top", "1.5", "٣"])
def test_a_place_that_is_none_is_wrong_usage(run: Run, place: str) -> None:
    """It is refused with exit code 2 and changes nothing."""
    write_store(run.home, {"openrouter": keys("aaa001", "aaa002")})
    before = tree(run.home)
    assert run("auth", "move", "openrouter", "aaa001", "--", place).exit_code == 2
    assert tree(run.home) == before


def test_edit_changes_label_and_address(run: Run) -> None:
    """Both at once or one of them; neither is wrong usage."""
    write_store(run.home, {"openrouter": keys("aaa001")})
    run.done("auth", "edit", "openrouter", "1", "--label", "x", "--base-url", "https://example.org/")
    assert (rows(run)[0]["label"], rows(run)[0]["base_url"]) == ("x", "https://example.org")
    assert run("auth", "edit", "openrouter", "1").exit_code == 2
