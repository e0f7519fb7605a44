from __future__ import annotations

from pathlib import Path

import pytest

from keydeck.dashboard.actions import ACTIONS
from keydeck.dashboard.key_docs import keys_table, with_keys

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_lists_every_action_as_the_table_has_it() -> None:
    """The README's keys are made of the table; `python -m keydeck.dashboard.key_docs README.md` brings them up to date."""
    text = README.read_text(encoding="utf-8")
    assert with_keys(text) == text
    for action in ACTIONS:
        assert action.help in keys_table()


def test_a_document_without_marks_is_refused() -> None:
    """Nothing is written over a document that has no place for the keys."""
    with pytest.raises(ValueError, match="have to be in the document"):
        with_keys("# A document\n")
