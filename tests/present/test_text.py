from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from fakes import NOW
from keydeck.present.text import ELLIPSIS, LONGEST, clean, clock_time, cut, duration, fit, grouped, width

ANY = st.text(max_size=60) | st.text(
    st.sampled_from(
        "a \t\n\r\x00\x1b[]0;31mK\\\x07\x9b\x9d\u200b\u202e\u2066\ufeff\u0301e鍵🔑é\ud800\ue000\u2028"
    ),
    max_size=40,
)
HOSTILE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


# --- cleaning ----------------------------------------------------------------------------------------------


@given(ANY)
@example("e\u200b\u0301")
@example("\x1b\x1b[0m[31m")
@example("x" * (LONGEST - 1) + " y")
def test_clean_text_is_one_inert_line(text: str) -> None:
    """Nothing in it steers a terminal, breaks a line, or changes when it is cleaned again."""
    cleaned = clean(text)
    assert not [char for char in cleaned if unicodedata.category(char) in HOSTILE]
    assert not {"\n", "\r", "\t", "\x1b", "\x9b"} & set(cleaned)
    assert cleaned == cleaned.strip()
    assert len(cleaned) <= LONGEST
    assert clean(cleaned) == cleaned
    assert unicodedata.is_normalized("NFC", cleaned)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("  team-a@corp.example ", "team-a@corp.example"),
        ("two\nlines\r\n", "two lines"),
        ("tab\there", "tab here"),
        ("[/x] [bold]loud[/bold]", "[/x] [bold]loud[/bold]"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x1b]0;title\x07label", "label"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("bell\x07", "bell"),
        ("null\x00byte", "nullbyte"),
        ("\u202eevil\u202c", "evil"),
        ("\u2066isolate\u2069", "isolate"),
        ("zero\u200bwidth\u200d", "zerowidth"),
        ("\ufeffbom", "bom"),
        ("line\u2028sep", "line sep"),
        ("e\u0301", "é"),
        ("lone\ud800", "lone"),
        ("private\ue000", "private"),
        ("鍵🔑", "鍵🔑"),
        ("", ""),
        ("\x1b\x1b\x1b", ""),
    ],
)
def test_what_is_left_of_a_text(text: str, shown: str) -> None:
    """Words stay, markup is text, and everything that steers is gone, whole sequences at once."""
    assert clean(text) == shown


def test_marks_that_pile_up_are_cut_down() -> None:
    """Two marks a letter; a tower of them would reach into other lines."""
    assert len(clean("Z" + "\u0335\u0336\u0337\u0338" * 20 + "a")) <= 4


@pytest.mark.parametrize(
    "text", ["x" * 100_000, "x " * 50_000, "\x1b" * 100_000, "鍵" * 100_000, "\u0301" * 100_000]
)
def test_a_long_text_is_cut(text: str) -> None:
    """Nobody reads on, and drawing must not take time."""
    assert len(clean(text)) <= LONGEST


# --- widths ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("", 0),
        ("abc", 3),
        ("é", 1),
        ("e\u0301", 1),
        ("鍵", 2),
        ("🔑", 2),
        ("…", 1),
        ("●◔◐▲■○△▸›━╸─╭╮╰╯│▌▾→·⏎", 22),
        ("ｱ", 1),
        ("Ａ", 2),
    ],
)
def test_widths(text: str, cells: int) -> None:
    """Marks take none, wide characters two, our signs one."""
    assert width(text) == cells


@given(st.text(st.characters(categories=("Lu", "Ll", "Nd", "Pd", "Po", "Zs")), max_size=20).map(clean))
@example("鍵かぎカギ열쇠 ✓ é 🔑 ●◐▲")
def test_widths_are_those_that_the_screen_library_counts(text: str) -> None:
    """Letters, digits, our signs and CJK take as many cells as Textual thinks: lines end where it draws."""
    assert width(text) == cell_len(text)


@given(ANY.map(clean), st.integers(0, 30), st.sampled_from([ELLIPSIS, "~", ""]), st.booleans())
def test_a_fitted_text_is_exactly_as_wide_as_asked(text: str, cells: int, mark: str, right: bool) -> None:
    """Cut or padded, left or right, with wide characters too."""
    assert width(fit(text, cells, right=right, mark=mark)) == cells
    assert width(cut(text, cells, mark=mark)) <= cells


@pytest.mark.parametrize(
    ("text", "cells", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("abcdef", 1, "…"),
        ("abcdef", 0, ""),
        ("鍵鍵鍵", 5, "鍵鍵…"),
        ("鍵鍵鍵", 4, "鍵…"),
        ("ab cdef", 4, "ab…"),
        ("", 0, ""),
    ],
)
def test_what_is_cut_ends_in_an_ellipsis(text: str, cells: int, shown: str) -> None:
    """Never half a wide character, no blank before the mark."""
    assert cut(text, cells) == shown


def test_padding_goes_to_the_named_side() -> None:
    """Numbers to the right, words to the left."""
    assert fit("ab", 4) == "ab  "
    assert fit("ab", 4, right=True) == "  ab"


# --- numbers and times -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (-5, "0s"),
        (0.2, "1s"),
        (58, "58s"),
        (59.5, "1m00s"),
        (60, "1m00s"),
        (41 * 60 + 7, "41m07s"),
        (3599, "59m59s"),
        (3600, "1h00m"),
        (22 * 3600 + 10 * 60 + 59, "22h10m"),
        (86399, "23h59m"),
        (86400, "1d00h"),
        (3 * 86400 + 4 * 3600, "3d04h"),
        (8 * 86400, "8d00h"),
    ],
)
def test_waits_are_written_as_people_say_them(seconds: float, text: str) -> None:
    """The forms of ux 2.13: rounded up, never below zero."""
    assert duration(seconds) == text


@given(st.floats(0, 86400 * 99), st.floats(0, 86400 * 9))
def test_a_countdown_never_goes_up(seconds: float, later: float) -> None:
    """Less time left is never written as more."""

    def read(text: str) -> int:
        units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
        total, number = 0, ""
        for char in text:
            if char in units:
                total, number = total + int(number) * units[char], ""
            else:
                number += char
        return total

    assert read(duration(seconds)) <= read(duration(seconds + later))
    assert width(duration(seconds)) <= 6


@pytest.mark.parametrize(
    ("offset", "text"),
    [
        (0, "14:02:11"),
        (60, "14:03:11"),
        (-7200, "12:02:11"),
        (86400, "Mon 14:02"),
        (-86400, "Sat 14:02"),
        (10 * 86400, "2026-11-18"),
        (1e13, "some day"),
        (float("nan"), "some day"),
        (float("inf"), "some day"),
    ],
)
def test_points_in_time_are_as_exact_as_they_are_near(offset: float, text: str) -> None:
    """The hour today, the day within a week, the date beyond, and never an error."""
    assert clock_time(NOW + offset, NOW) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1,000"),
        (999_999, "999,999"),
        (1_000_000, "1.0M"),
        (2_500_000_000, "2.5G"),
        (7 * 10**12, "7.0T"),
        (10**30, "many"),
    ],
)
def test_counts(number: int, text: str) -> None:
    """Commas below a million, letters from there on."""
    assert grouped(number) == text


@given(st.integers(0, 10**40))
def test_a_count_fits_its_column(number: int) -> None:
    """Seven cells are enough for any count."""
    assert width(grouped(number)) <= 7
