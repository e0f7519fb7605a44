"""Rows, variables and their names, as the doctor tells of them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from clinic import (
    ENV_KEY,
    a_file,
    add_row,
    append,
    document,
    kinds,
    look,
    now_clock,
    only,
    pools,
    put,
    rewrite,
    strategy,
)
from fakes import a_key, a_reader, write_store
from keydeck.engine.doctor import Kind, Severity, examine
from keydeck.engine.doctor.finding import quoted
from keydeck.engine.secret import fingerprint

# --- rows and variables ------------------------------------------------------------------------------------


def test_one_variable_for_two_providers_is_no_fault(home: Path) -> None:
    """Providers that read one variable by design share its key; nobody has to mend that."""
    row: dict[str, Any] = {"source": "env:DASHSCOPE_API_KEY", "access_token": ...}
    write_store(home, {"alibaba": [a_key("aaa001", **row)], "alibaba-coding-plan": [a_key("aaa002", **row)]})
    home.chmod(0o700)
    assert look(home, env={"DASHSCOPE_API_KEY": "sk-both-0123456789"}) == ()


def test_a_suppressed_source_is_not_missed(lived_in: Path) -> None:
    """A row whose source the operator removed here is not told to lack its variable."""
    told = document(lived_in)
    told["suppressed_sources"] = {"openrouter": ["env:OPENROUTER_API_KEY"]}
    put(lived_in, told)
    (lived_in / ".env").write_text("")
    assert look(lived_in) == ()


@pytest.mark.parametrize(
    ("dotenv", "process", "differs"),
    [
        ("OPENROUTER_API_KEY='sk-or-one-0123'", "sk-or-one-0123", False),
        ('export OPENROUTER_API_KEY="sk-or-one-0123"', "sk-or-two-0123", True),
        ("OPENROUTER_API_KEY=", "sk-or-two-0123", False),
        ("OPENROUTER_API_KEY=op://vault/item", "sk-or-two-0123", False),
        ("# OPENROUTER_API_KEY=sk-or-one-0123", "sk-or-two-0123", False),
        ("OPENROUTER_API_KEY=sk-or-one-0123", " sk-or-one-0123 ", False),
        ("UNRELATED=one", "sk-or-two-0123", False),
    ],
)
def test_quotes_and_references_are_read_as_hermes_reads_them(
    dotenv: str, process: str, *, differs: bool, lived_in: Path
) -> None:
    """Two spellings of one value are one value, a blank counts for nothing, and a 1Password name yields."""
    (lived_in / ".env").write_text(dotenv + "\n")
    assert (Kind.ENV_DIFFERS in kinds(look(lived_in, env={"OPENROUTER_API_KEY": process}))) is differs


def test_a_fingerprint_that_is_the_variables_is_no_finding(lived_in: Path) -> None:
    """A row as hermes stores it, with the fingerprint of its variable, is in order."""
    rewrite(lambda told: pools(told)["openrouter"][2].update(secret_fingerprint=fingerprint(ENV_KEY)))(
        lived_in
    )
    assert look(lived_in) == ()


def test_the_newest_good_backup_is_offered(lived_in: Path) -> None:
    """For a corrupt store the command takes the newest copy that can be read."""
    a_file("keydeck/backups/auth-29990101T000000.000000Z.json", '{"version": 1, "credential_pool": {}}')(
        lived_in
    )
    a_file("keydeck/backups/auth-29990102T000000.000000Z.json", "{")(lived_in)
    (lived_in / "auth.json").write_text("{")
    (lived_in / "auth.json").chmod(0o600)
    found = only(look(lived_in), Kind.STORE_CORRUPT)
    good = lived_in / "keydeck" / "backups" / "auth-29990101T000000.000000Z.json"
    assert found.todo == f"cp {good} {lived_in / 'auth.json'}"


def test_the_worst_comes_first(lived_in: Path) -> None:
    """Problems stand before warnings, and those before notes."""
    append(b"torn")(lived_in)
    strategy("quota_aware")(lived_in)
    (lived_in / "auth.json").chmod(0o644)
    assert [each.severity for each in look(lived_in)] == [Severity.PROBLEM, Severity.WARNING, Severity.NOTE]


def test_a_command_means_this_home(lived_in: Path) -> None:
    """Flags that the operator gave stand in every command of ours."""
    add_row("openrouter", row_id="aaa009", access_token="sk-test-aaa001-secret")(lived_in)
    reader = a_reader(lived_in, clock=now_clock())
    (found,) = examine(reader, flags=" --home /srv/x")
    assert found.todo == "keydeck auth remove openrouter aaa009 --home /srv/x"


# --- hostile names -----------------------------------------------------------------------------------------

HOSTILE = "\x1b[2Jevil'; touch pwned #\n[bold]"


def test_hostile_names_are_quoted(lived_in: Path) -> None:
    """A label, an id or a file name that is a trap does nothing in a shell it is pasted into."""
    add_row("openrouter", row_id=HOSTILE, label=HOSTILE, access_token="sk-test-aaa001-secret")(lived_in)
    name = HOSTILE.replace("\n", "")
    a_file(f"{name}.tmp.1.0123456789", age_s=90)(lived_in)
    for found in look(lived_in):
        words = found.todo.partition(" ")[2]
        said = subprocess.run(
            ["bash", "-c", f"printf %s {words}"], capture_output=True, check=True, cwd=lived_in
        )
        assert b"\x1b[2Jevil'; touch pwned #" in said.stdout
        assert not (lived_in / "pwned").exists()
        assert "\x1b" not in found.todo
        assert "\n" not in found.todo


def test_a_secret_in_a_label_is_not_repeated(lived_in: Path) -> None:
    """A label that is a key, its own or another's, is told without it."""
    secret = "sk-test-aaa001-secret"
    add_row("openrouter", row_id="aaa009", label=f"the {secret}", access_token=secret)(lived_in)
    found = look(lived_in)
    assert secret not in repr(found)
    assert kinds(found) == [Kind.DUPLICATE]


@pytest.mark.parametrize(
    "word", ["plain", "with blank", "it's", "tab\there", "\u202e", "naïve", "$(id)", "", "-n"]
)
def test_quoted_words_survive_a_shell(word: str) -> None:
    """What is quoted comes out of a shell as it was."""
    said = subprocess.run(["bash", "-c", f"printf %s {quoted(word)}"], capture_output=True, check=True)
    assert said.stdout == word.encode()
    assert quoted(word).isprintable()
