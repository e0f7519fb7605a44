from __future__ import annotations

from pathlib import Path

import pytest

import keydeck.cli
from cli.program import Run
from fakes import a_key, keys, write_store
from keydeck.cli import main

PLANTED = "sk-proj-Zx81kQ0v7Tb2Lm93RfYw64Nc"


def test_a_fault_outside_the_screen_is_reported_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The code is 1; the report is scrubbed, on standard error in short and in a file for the user only."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def fail(**_: object) -> None:
        held = f"a local {PLANTED}"
        raise RuntimeError(f"cannot go on with {PLANTED}" if held else "")

    monkeypatch.setattr(keydeck.cli, "keydeck", fail)
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr().err
    (kept,) = (tmp_path / "keydeck" / "crashes").iterdir()
    assert left.value.code == 1
    assert "RuntimeError: cannot go on with ***" in said and str(kept) in said.replace("\n", "")
    assert PLANTED[8:] not in said + kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600


KEY = "sk-proj-Zx81kQ0v7Tb2Lm93RfYw64Nc"
OF_NO_LOOK = "9f86d081884c7d659a2feaa0c55ad015"


@pytest.mark.parametrize("key", [KEY, OF_NO_LOOK])
@pytest.mark.parametrize(
    "words",
    [
        ("status", "{}"),
        ("remove", "openrouter", "{}", "--yes"),
        ("list", "openrouter", "{}"),
        ("list", "--{}"),
        ("move", "openrouter", "1", "{}"),
        ("strategy", "openrouter", "{}"),
        ("add", "nowhere", "--api-key", "{}", "{}"),
        ("{}",),
    ],
    ids=" ".join,
)
def test_a_key_typed_where_it_does_not_belong_is_not_said_again(
    home: Path, words: tuple[str, ...], key: str
) -> None:
    """Refusals and usage errors quote what was typed, but for what is a key, whoever's it is."""
    write_store(home, {"openrouter": keys("aaa001")})
    said = Run(home)("auth", *(word.format(key) for word in words))
    assert said.exit_code in (1, 2)
    assert "***" in said.stderr or "nowhere" in said.stderr
    assert key[8:] not in said.output


def test_names_and_paths_are_said_again(home: Path) -> None:
    """What was typed and is no key stands in the refusal."""
    write_store(home, {"openrouter": keys("aaa001")})
    assert "team-alpha-production-2024" in Run(home).refused(
        "auth", "remove", "openrouter", "team-alpha-production-2024"
    )
    assert "/nowhere/at/all" in Run(home).refused(
        "--home", "/nowhere/at/all", "--profile", "none", "auth", "list"
    )


def test_refusals_hold_no_key_of_the_home(home: Path) -> None:
    """A name that quotes a key of the home, in an address or in JSON, is told without it, on either stream."""
    secret = "AIza" + "q7Wz" * 8
    rows = [
        a_key("aaa001", f"x%20{secret}", access_token=secret),
        a_key("aaa002", source=f"env:{secret.upper()}"),
    ]
    write_store(home, {"openrouter": rows, f"{secret.upper()}": {"rows": 1}})
    (home / "config.yaml").write_text(f"credential_pool_strategies: {{openrouter: 'x{secret}x'}}\n")
    run = Run(home)
    for words in (
        ["list"],
        ["list", "--json"],
        ["status", "--json"],
        ["status", secret],
        ["strategy", "openrouter"],
        ["edit", "openrouter", "2", "--base-url", "https://there.example"],
        ["add", "openrouter", "--api-key-stdin"],
    ):
        said = run("auth", *words, stdin=secret)
        assert secret[:14].lower() not in said.output.lower(), words


def test_a_strategy_nobody_knows_is_not_shown_while_the_keys_are_unknown(home: Path) -> None:
    """While auth.json cannot be read, nobody can tell whether the word in config.yaml is a key: it is not printed."""
    home.mkdir()
    (home / "auth.json").write_text("{")
    (home / "config.yaml").write_text("credential_pool_strategies: {openrouter: some-word, nous: random}\n")
    run = Run(home)
    assert "some-word" not in run.refused("auth", "strategy", "openrouter")
    assert run.done("auth", "strategy", "nous") == "random\n"
