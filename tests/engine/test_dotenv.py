from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import FailingDisk
from keydeck.engine.dotenv import effective_env, parse_dotenv, read_dotenv, without_variable
from keydeck.engine.files import Disk


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A=1", {"A": "1"}),
        ("A=1\nB=2\n", {"A": "1", "B": "2"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("  A  =  1  ", {"A": "1"}),
        ("export A=1", {"A": "1"}),
        ("export   A = 1", {"A": "1"}),
        ("exportA=1", {"exportA": "1"}),
        ("# A=1\n  # B=2", {}),
        ("A=1 # no comment", {"A": "1 # no comment"}),
        ("A=#1", {"A": "#1"}),
        ("A='1'", {"A": "1"}),
        ('A="1"', {"A": "1"}),
        ("A='1\"", {"A": "'1\""}),
        ('A="', {"A": '"'}),
        ("A=''", {"A": ""}),
        (r'A="a\"b\\c"', {"A": r"a\"b\c".replace('\\"', '"')}),
        (r"A='a\'b'", {"A": r"a\'b"}),
        ('A="a\\nb"', {"A": "a\\nb"}),
        ("A=${HOME}", {"A": "${HOME}"}),
        ("A=b=c", {"A": "b=c"}),
        ("A=", {"A": ""}),
        ("A=1\nA=2", {"A": "2"}),
        ("=1\nno equals\n\n", {}),
    ],
)
def test_lines_are_read_as_hermes_reads_them(text: str, found: dict[str, str]) -> None:
    """The rules of hermes-pool 2.5: no inline comments, no expansion, matching quotes removed."""
    assert parse_dotenv(text) == found


def test_settings_glued_together_are_split_where_both_names_are_known() -> None:
    """A missing newline does not make one key out of two."""
    assert parse_dotenv("XAI_API_KEY=abcDEEPSEEK_API_KEY=def") == {
        "XAI_API_KEY": "abc",
        "DEEPSEEK_API_KEY": "def",
    }
    assert parse_dotenv("XAI_API_KEY=abcMY_KEY=def") == {"XAI_API_KEY": "abcMY_KEY=def"}


@pytest.mark.parametrize("data", [b"\xef\xbb\xbfA=1\n", b"A=1\n"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path, data: bytes) -> None:
    """A file saved with a BOM reads like one without."""
    (tmp_path / ".env").write_bytes(data)
    assert read_dotenv(tmp_path / ".env", Disk()) == {"A": "1"}


def test_a_file_that_is_missing_or_unreadable_sets_nothing(tmp_path: Path) -> None:
    """`.env` is optional, and its troubles are nobody else's."""
    assert read_dotenv(tmp_path / ".env", Disk()) == {}
    (tmp_path / ".env").write_bytes(b"A=1")
    assert read_dotenv(tmp_path / ".env", FailingDisk(on={"open_read"})) == {}
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe\nB=2")
    assert read_dotenv(tmp_path / ".env", Disk())["B"] == "2"


@given(st.text(max_size=80))
def test_any_text_is_read_without_an_error(text: str) -> None:
    """Names and values are stripped text, whatever the file holds."""
    for name, value in parse_dotenv(text).items():
        assert name == name.strip() != ""
        assert isinstance(value, str)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("A=1\nKEY=x\nB=2\n", "A=1\nB=2\n"),
        ("export KEY=x\nB=2", "B=2"),
        ("KEY=x\nA=1\nKEY=y\n", "A=1\n"),
        ("  KEY = 'x'  \r\nA=1\r\n", "A=1\r\n"),
        ("# KEY=x\nKEYS=1\n", "# KEY=x\nKEYS=1\n"),
        ("\ufeffKEY=x\nA=1\n", "A=1\n"),
        ("", ""),
    ],
)
def test_a_variable_is_taken_out_and_every_other_byte_stays(text: str, left: str) -> None:
    """Every line that defines it goes, and nothing else."""
    assert without_variable(text, "KEY") == left


def test_of_two_glued_settings_one_is_taken_out() -> None:
    """Its neighbour on the line keeps its value."""
    text = "A=1\nXAI_API_KEY=abcDEEPSEEK_API_KEY=def\n"
    left = without_variable(text, "XAI_API_KEY")
    assert parse_dotenv(left) == {"A": "1", "DEEPSEEK_API_KEY": "def"}


@given(
    st.lists(
        st.sampled_from(["A=1", "KEY=x", "export KEY=y", "# note", "", "B=KEY=z", " KEY= 'q'"]), max_size=8
    )
)
def test_what_is_left_is_what_was_there_without_it(lines: list[str]) -> None:
    """Reading before and after differs in that variable alone."""
    text = "\n".join(lines)
    before = parse_dotenv(text)
    before.pop("KEY", None)
    assert parse_dotenv(without_variable(text, "KEY")) == before


@pytest.mark.parametrize(
    ("dotenv", "process", "value"),
    [
        ({"K": "file"}, {"K": "shell"}, "file"),
        ({"K": "file"}, {}, "file"),
        ({}, {"K": "shell"}, "shell"),
        ({"K": ""}, {"K": "shell"}, "shell"),
        ({"K": "op://vault/item"}, {"K": "shell"}, "shell"),
        ({"K": "op://vault/item"}, {"K": ""}, "op://vault/item"),
        ({"K": "op://vault/item"}, {}, "op://vault/item"),
    ],
)
def test_the_file_beats_the_shell_unless_it_is_empty_or_only_names_an_item(
    dotenv: dict[str, str], process: dict[str, str], value: str
) -> None:
    """Hermes' order of lookup (hermes-pool 4.2)."""
    assert effective_env(dotenv, process)["K"] == value
