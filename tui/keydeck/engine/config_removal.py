"""Taking one value out of config.yaml: with every other byte kept, and every comment.

As in `config_edit`, a removal is proposed by position and accepted by meaning.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keydeck.engine.config_edit import (
    Document,
    Editor,
    Setting,
    Splice,
    edited,
    read_alike,
    reads_as,
    with_change,
)

Pair = tuple[Any, Any]


def without_value(data: bytes, setting: Setting, path: Path) -> bytes:
    """Return the file without what stands at a place, nor what led to it alone; comments stay.

    Raises:
        ConfigBroken: the file is no YAML mapping.
        Refused: its form ties the value to others, or it is not there; the text says what to edit by hand.
    """
    return edited(data, setting, path, _accepted)


def _accepted(text: str, setting: Setting, path: Path) -> Iterator[str]:
    """Yield the texts that every loader reads as the old document without the value, and that keep its comments."""
    document, loaders = read_alike(text, path)
    editor = Editor(text, path)
    found = editor.found(setting, document)
    if len(found) < len(setting.names):
        return
    keys = [editor.key(key) for key, _ in found]
    comments = editor.comments()
    for depth, splice in _proposed(editor, found):
        after = splice.applied(text)
        wanted = _without(document, keys[: depth + 1])
        is_right = all(any(reads_as(loader, after, each, path) for each in wanted) for loader in loaders)
        if is_right and Editor(after, path).comments() == comments:
            yield after


def _without(document: Document, keys: list[Any]) -> tuple[Document | None, ...]:
    """Return the document without the last of `keys`; a mapping that is left empty may be null as well."""

    def taken(here: Document, key: Any) -> Document:
        return {name: value for name, value in here.items() if name != key}

    left = with_change(document, keys, taken)
    inside: Any = left
    for key in keys[:-1]:
        inside = inside[key]
    if inside:
        return (left,)
    if len(keys) == 1:
        return (left, None)
    return (left, with_change(document, keys[:-1], lambda here, key: {**here, key: None}))


def _proposed(editor: Editor, found: list[Pair]) -> Iterator[tuple[int, Splice]]:
    """Yield removals with how far down they begin: of all that leads to the value alone, then of less of it."""
    first = len(found) - 1
    while first > 0 and len(found[first - 1][1].value) == 1:
        first -= 1
    for depth in range(first, len(found)):
        mapping = found[depth - 1][1] if depth else editor.root
        out = _out_of_flow if mapping.flow_style else _out_of_block
        yield from ((depth, splice) for splice in out(editor, mapping, found[depth]))
    yield from ((depth, splice) for splice in _remarks_left(editor, mapping, found[-1]))


def _out_of_block(editor: Editor, mapping: Any, pair: Pair) -> Iterator[Splice]:
    """Take the lines of a pair."""
    if lines := _lines_of(editor, mapping, pair):
        yield Splice(*lines, "")


def _remarks_left(editor: Editor, mapping: Any, pair: Pair) -> Iterator[Splice]:
    """Take the lines of a pair and leave what was said on them, in lines of its own."""
    if lines := _lines_of(editor, mapping, pair):
        head, end = lines
        said = (each for at, each in editor.placed_comments() if head <= at < end)
        indent = " " * pair[0].start_mark.column
        yield Splice(head, end, "".join(f"{indent}{each}{editor.newline}" for each in said))


def _lines_of(editor: Editor, mapping: Any, pair: Pair) -> tuple[int, int] | None:
    """Return where the lines of a pair begin and end; None where they hold something else, too."""
    start = pair[0].start_mark.index
    head = start - pair[0].start_mark.column
    if mapping.flow_style or editor.text[head:start].strip(" "):
        return None
    return head, editor.line_end(editor.last_of(mapping, pair))


def _out_of_flow(editor: Editor, mapping: Any, pair: Pair) -> Iterator[Splice]:
    """Take a pair and the comma that goes with it."""
    place = next(spot for spot, (key, _) in enumerate(mapping.value) if key is pair[0])
    start, end = pair[0].start_mark.index, editor.last_of(mapping, pair)
    if place + 1 < len(mapping.value):
        yield Splice(start, mapping.value[place + 1][0].start_mark.index, "")
    elif place:
        yield Splice(editor.last_of(mapping, mapping.value[place - 1]), end, "")
    yield Splice(start, end, "")
