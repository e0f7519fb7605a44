"""Boxes: always exactly as wide and as high as asked, whatever stands in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keydeck.present.frame import beside, framed, inner_width
from keydeck.present.glyphs import ASCII, UNICODE, Glyphs
from keydeck.present.spans import Line, Role, Span, line_width, plain
from keydeck.present.text import clean, width

_TEXTS = st.text(max_size=40).map(clean) | st.sampled_from(("鍵" * 30, "x" * 200, "", "e\u0301" * 9))
_LINES = st.lists(_TEXTS.map(Span), max_size=3).map(tuple)
_GLYPHS = st.sampled_from((UNICODE, ASCII))


@given(_LINES, st.lists(_LINES, max_size=5), st.integers(4, 120), _GLYPHS, st.none() | st.integers(2, 12))
def test_every_line_has_the_width(
    title: Line, body: list[Line], cells: int, glyphs: Glyphs, height: int | None
) -> None:
    """Titles and lines of any length are cut or padded to the box, and the box has the height that was asked."""
    box = framed(title, body, cells, glyphs, height=height)
    assert len(box) == (len(body) + 2 if height is None else height)
    assert [line_width(line) for line in box] == [cells] * len(box)
    texts = [plain(line) for line in box]
    assert [text[0] for text in texts] == [
        glyphs.corners[0],
        *[glyphs.side] * (len(box) - 2),
        glyphs.corners[2],
    ]
    assert [text[-1] for text in texts] == [
        glyphs.corners[1],
        *[glyphs.side] * (len(box) - 2),
        glyphs.corners[3],
    ]


def test_a_box_as_people_see_it() -> None:
    """Title in the upper edge, a blank beside the text, and empty lines up to the height."""
    box = framed(
        (Span("key", Role.STRONG),), [(Span("one"),), (Span("a longer one"),)], 14, UNICODE, height=5
    )
    assert [plain(line) for line in box] == [
        "╭─ key ──────╮",
        "│ one        │",
        "│ a longer…  │",
        "│            │",
        "╰────────────╯",
    ]


def test_what_is_too_much_is_left_out() -> None:
    """A box of four lines shows the first two of many."""
    body = [(Span(str(number)),) for number in range(9)]
    assert [plain(line)[2] for line in framed((), body, 9, ASCII, height=4)[1:-1]] == ["0", "1"]


def test_a_long_title_is_cut_and_the_corner_stays() -> None:
    """The upper edge ends in its corner however long the title is."""
    top = plain(framed((Span("n" * 50),), (), 20, UNICODE)[0])
    assert width(top) == 20
    assert top.startswith("╭─ nnn") and top.endswith("╮")


@pytest.mark.parametrize("cells", [0, 1, 4, 5, 80])
def test_the_inner_width(cells: int) -> None:
    """Both edges and a blank beside each are taken off; never below nothing."""
    assert inner_width(cells) == max(cells - 4, 0)


def test_two_boxes_stand_beside_each_other() -> None:
    """Line by line, left then right; boxes of different heights are a mistake."""
    one = framed((), [(Span("a"),)], 6, ASCII)
    other = framed((), [(Span("b"),)], 7, ASCII)
    assert [plain(line) for line in beside(one, other)] == [
        plain(left) + plain(right) for left, right in zip(one, other, strict=True)
    ]
    with pytest.raises(ValueError, match=r"longer|shorter"):
        beside(one, framed((), [], 7, ASCII))
