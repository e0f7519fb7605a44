from __future__ import annotations

import pytest

from fakes import a_key
from keydeck.engine.credential import Row, parse_rows
from keydeck.engine.errors import TargetError
from keydeck.engine.targets import resolve_target


def rows(*named: tuple[str, str]) -> tuple[Row, ...]:
    return parse_rows("openrouter", "openrouter", [a_key(row_id, label) for row_id, label in named])


TEAM = rows(("aaa001", "team"), ("bbb002", "Spare"), ("ccc003", "1"), ("ddd004", "aaa001"))


@pytest.mark.parametrize(
    ("target", "row_id"),
    [
        ("bbb002", "bbb002"),
        ("  bbb002 ", "bbb002"),
        ("aaa001", "aaa001"),
        ("team", "aaa001"),
        ("SPARE", "bbb002"),
        (" spare ", "bbb002"),
        ("1", "ccc003"),
        ("2", "bbb002"),
        ("04", "ddd004"),
    ],
)
def test_id_comes_before_label_and_label_before_place(target: str, row_id: str) -> None:
    """An exact id wins, then a label in any case, then a 1-based place."""
    assert resolve_target(TEAM, target).id == row_id


@pytest.mark.parametrize("target", ["BBB002", "0", "5", "-1", "+1", "#1", "1.0", "²", "１", "nobody"])
def test_what_names_no_row_is_an_error(target: str) -> None:
    """Ids are case-sensitive, places plain digits within the list; anything else names nobody."""
    with pytest.raises(TargetError, match="no credential"):
        resolve_target(TEAM, target)


@pytest.mark.parametrize("target", ["", "   "])
def test_a_blank_target_is_an_error(target: str) -> None:
    """Nothing named is nothing found, not the first row."""
    with pytest.raises(TargetError, match="no credential was named"):
        resolve_target(TEAM, target)


def test_an_ambiguous_label_is_an_error_that_lists_the_ids() -> None:
    """Two rows of one label are told apart by the ids in the message."""
    with pytest.raises(TargetError, match="'dup' names 2 credentials; use one of the ids aaa001, ccc003"):
        resolve_target(rows(("aaa001", "dup"), ("bbb002", "x"), ("ccc003", "DUP")), "dup")


def test_a_huge_number_is_an_error_and_no_crash() -> None:
    """More digits than an index can have name nobody."""
    with pytest.raises(TargetError):
        resolve_target(TEAM, "9" * 5000)
