from __future__ import annotations

import errno
from pathlib import Path

import pytest

from fakes import NOW, FailingDisk, FakeClock, a_key, a_reader, benched, keys, write_store
from keydeck.engine.errors import StoreCorrupt
from keydeck.engine.trouble import GAP
from keydeck.present.empty import empty_lines
from keydeck.present.panes import banner, since_text
from keydeck.present.spans import plain


def empty_text(home: Path, *, only_problems: bool = False) -> str:
    return "\n".join(
        plain(line) for line in empty_lines(a_reader(home).read(), "", only_problems=only_problems)
    )


def test_without_trouble_there_is_no_banner(home: Path) -> None:
    """Nor in a home that does not exist yet."""
    assert banner(a_reader(home).read(), NOW) == ""
    write_store(home, {"openrouter": [a_key(), a_key("b", **benched()), 5]})
    assert banner(a_reader(home).read(), NOW) == ""


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "auth.json: the file is empty"),
        ("{\n", "auth.json: not valid JSON (line 2)"),
        ("[]", "auth.json: not a store: a JSON list where an object should be"),
    ],
)
def test_a_corrupt_store_is_told_with_what_is_shown_and_what_to_do(home: Path, data: str, said: str) -> None:
    """Reason, age of the last good copy, writes off, and where the copies are."""
    clock = FakeClock()
    path = write_store(home, {"openrouter": keys("aaa001")})
    reader = a_reader(home, clock=clock)
    reader.read()
    path.write_text(data)
    text = banner(reader.read(), NOW + 65)
    assert (
        text
        == f"{said}. Showing the last good copy, 1m05s old. Writes are off. Mend it or restore a copy from keydeck/backups."
    )


def test_a_store_that_was_never_readable_shows_no_age(home: Path) -> None:
    """There is no last good copy to speak of."""
    write_store(home).write_text("{")
    assert "Nothing could be read yet." in banner(a_reader(home).read(), NOW)
    assert "nothing to show until auth.json can be read" in empty_text(home)


def test_a_newer_store_is_told_without_advice(home: Path) -> None:
    """There is nothing to mend."""
    write_store(home).write_text('{"version": 9}')
    text = banner(a_reader(home).read(), NOW)
    assert "store version 9 is newer" in text
    assert "Writes are off." in text
    assert "Mend" not in text


def test_a_broken_config_is_told_with_its_line(home: Path) -> None:
    """And quotes nothing of it: config.yaml holds keys too."""
    write_store(home, {"openrouter": keys("aaa001")})
    (home / "config.yaml").write_text("api_key: sk-planted-0123\nb: [}\n")
    text = banner(a_reader(home).read(), NOW)
    assert text.startswith("config.yaml: line 2: ")
    assert "planted" not in text


def test_pools_that_cannot_be_shown_are_told(home: Path) -> None:
    """The first by name, the rest as a number; a hostile name is inert."""
    write_store(home, {"zai\x1b[2J": "x", "nous": 5, "gemini": None, "openrouter": keys("aaa001")})
    text = banner(a_reader(home).read(), NOW)
    assert (
        text
        == "auth.json: pool zai and 2 more cannot be shown: its value is a JSON string where a list of rows should be."
    )


def test_the_empty_screen_says_what_is_missing_and_what_to_type(home: Path) -> None:
    """The home, the command that adds a key, and that the screen keeps watching."""
    text = empty_text(home)
    assert f"there is no auth.json in {home} yet" in text
    assert "keydeck auth add openrouter" in text
    assert "keeps watching" in text
    write_store(home)
    assert "there is no pool yet" in empty_text(home)


def test_when_only_problems_are_shown_and_there_is_none(home: Path) -> None:
    """All is well, and the way back."""
    write_store(home, {"openrouter": keys("aaa001")})
    assert empty_text(home, only_problems=True).splitlines() == [
        "every key is ready",
        "esc shows all pools again",
    ]


def test_since_is_a_moment_and_an_age() -> None:
    """Unknown where nobody knows; never in the future."""
    assert since_text(NOW - 60, NOW) == "14:01:11 (1m00s ago)"
    assert since_text(None, NOW) == "unknown"
    assert since_text(NOW + 60, NOW).endswith("(0s ago)")


def test_what_cannot_be_told_now_is_said(home: Path) -> None:
    """Events that wait in memory, with the system's reason; picking goes on."""
    write_store(home, {"openrouter": keys("aaa001")})
    reader = a_reader(home, disk=FailingDisk(errno.ENOSPC, on=("write",)))
    reader.store.count("aaa001")
    snapshot = reader.read()
    assert banner(snapshot, NOW) == ""
    assert not reader.store.flush()
    said = banner(reader.read(), NOW)
    assert said.startswith("the disk is full: benches and counts of this process wait in memory")


def test_a_gap_in_the_history_is_said(home: Path) -> None:
    """Sums are exact, what happened in between is not known; a worse trouble comes first."""
    write_store(home, {"openrouter": keys("aaa001")})
    snapshot = a_reader(home).read()._replace(store_troubles=(GAP,))
    assert "part of the history is missing" in banner(snapshot, NOW)
    assert banner(snapshot._replace(trouble=StoreCorrupt(home, "torn")), NOW).startswith("auth.json")
