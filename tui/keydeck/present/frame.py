"""Boxes of text: a title in the upper edge, lines inside, each exactly as wide as asked."""

from __future__ import annotations

from collections.abc import Iterable

from keydeck.present.glyphs import Glyphs
from keydeck.present.spans import Line, Role, Span, fit_line, line_width


def inner_width(cells: int) -> int:
    """Return how wide the lines of a box of `cells` may be."""
    return max(cells - 4, 0)


def framed(
    title: Line,
    body: Iterable[Line],
    cells: int,
    glyphs: Glyphs,
    *,
    edge: Role = Role.FAINT,
    height: int | None = None,
) -> tuple[Line, ...]:
    """Return a box.

    Args:
        title: what stands in the upper edge.
        body: the lines inside; longer ones are cut.
        cells: width of the whole box.
        glyphs: the signs to use.
        edge: role of the frame.
        height: lines of the whole box; empty lines fill it, what is too much is left out.
    """
    lines = list(body)
    if height is not None:
        room = max(height - 2, 0)
        lines = [*lines[:room], *[()] * (room - len(lines))]
    side = Span(glyphs.side, edge)
    inner = inner_width(cells)
    inside = ((side, Span(" "), *fit_line(line, inner, glyphs.ellipsis), Span(" "), side) for line in lines)
    bottom = Span(glyphs.corners[2] + glyphs.rule * max(cells - 2, 0) + glyphs.corners[3], edge)
    return (_top(title, cells, glyphs, edge), *inside, (bottom,))


def _top(title: Line, cells: int, glyphs: Glyphs, edge: Role) -> Line:
    head = (Span(f"{glyphs.corners[0]}{glyphs.rule} ", edge), *title, Span(" "))
    rest = max(cells - 1 - line_width(head), 0)
    line = fit_line((*head, Span(glyphs.rule * rest, edge)), max(cells - 1, 0), glyphs.rule)
    return (*line, Span(glyphs.corners[1], edge))


def beside(left: tuple[Line, ...], right: tuple[Line, ...]) -> tuple[Line, ...]:
    """Return two boxes of the same height next to each other."""
    return tuple((*one, *other) for one, other in zip(left, right, strict=True))
