"""config.yaml as text: parsed without trusting it, and changed in one place with every other byte kept.

The rule here: an edit is proposed by position and accepted by meaning. Only a text that parses to the old
document plus exactly the wanted change leaves this module, so a wrong guess about YAML ends in a refusal.
Taking something out is in `config_removal`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from keydeck.engine.errors import ConfigBroken, Refused

BOM: Final = b"\xef\xbb\xbf"

_NEWLINE: Final = re.compile("\r\n|[\n\r]")
_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what YAML 1.1 ends a line at
_BREAKS: Final = "\n\r\x85\u2028\u2029"
_COMMENT: Final = re.compile(f"#[^{_BREAKS}]*")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_HEADER_COMMENT: Final = re.compile(r"[ \t]+#.*")

# The compiled loader recurses in C and takes the process down; beyond this the Python one raises instead.
_SAFE_DEPTH: Final = 500
# Merge keys that merge merge keys grow without bound.
_MAX_MERGED_PAIRS: Final = 10_000

# Besides its own errors PyYAML lets through what its constructors raise: a date with month 13 (ValueError),
# ``!!bool x`` (KeyError), ``!!int ""`` (IndexError), ``!!timestamp x`` (AttributeError), ``!!float 9:9…``.
_CONSTRUCTOR_ERRORS: Final = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError)

# What a parser says may quote the file, and the file holds keys: only these are passed on.
_HARMLESS_PROBLEMS: Final = frozenset(
    {
        "could not find expected ':'",
        "did not find expected '-' indicator",
        "did not find expected ',' or ']'",
        "did not find expected ',' or '}'",
        "did not find expected key",
        "did not find expected node content",
        "but found another document",
        "found character that cannot start any token",
        "found unexpected end of stream",
        "found undefined alias",
        "found unhashable key",
        "mapping values are not allowed here",
        "mapping values are not allowed in this context",
    },
)

Document: TypeAlias = dict[Any, Any]
Names: TypeAlias = Sequence[str | int]


def parse_mapping(data: bytes, path: Path) -> Document:
    """Parse a config.yaml to plain Python values; an empty document is an empty mapping.

    Raises:
        ConfigBroken: not UTF-8, not YAML, or not a mapping.
    """
    return _mapping(decoded(data, path), path)


def composed(data: bytes, path: Path) -> Any:
    """Return the root node of a file, which knows its lines; None for an empty one.

    Raises:
        ConfigBroken: not UTF-8, or not YAML.
    """
    import yaml

    text = decoded(data, path)
    return _guarded(lambda: yaml.compose(text, Loader=_loaders_for(text)[0]), text, path)


def with_word(data: bytes, section: str, key: str, word: str, path: Path) -> bytes:
    """Return the file with ``section: {key: word}`` set and nothing else touched; `word` needs no quotes.

    Raises:
        ConfigBroken: the file is no YAML mapping.
        Refused: its form ties the value to others; the text says what to edit by hand.
    """
    return with_value(data, Setting((section, key), word), path)


def with_value(data: bytes, setting: Setting, path: Path) -> bytes:
    """Return the file with one value set, and nothing else touched.

    Raises:
        ConfigBroken: the file is no YAML mapping.
        Refused: its form ties the value to others; the text says what to edit by hand.
    """
    return edited(data, setting, path, _accepted)


def edited(
    data: bytes, setting: Setting, path: Path, proposals: Callable[[str, Setting, Path], Iterator[str]]
) -> bytes:
    """Return the first of the texts that are proposed for a file.

    Raises:
        ConfigBroken: the file is no YAML mapping.
        Refused: nothing is proposed.
    """
    text = decoded(data, path)
    _mapping(text, path)
    try:
        after = next(proposals(text, setting, path), None)
    except ConfigBroken:  # libyaml takes more than the parser that knows positions
        raise setting.refused("is written in a form that cannot be edited safely") from None
    if after is None:
        raise setting.refused("ties this value to others (anchor, alias or merge), or is of an odd form")
    return data[: len(BOM) if data.startswith(BOM) else 0] + after.encode()


# --- parsing -----------------------------------------------------------------------------------------------


def decoded(data: bytes, path: Path) -> str:
    """Return the text of a file, without a byte order mark.

    Raises:
        ConfigBroken: it is not UTF-8.
    """
    try:
        return data.removeprefix(BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigBroken(path, "not UTF-8", line) from None


def _mapping(text: str, path: Path) -> Document:
    document = _load(_loaders_for(text)[0], text, path)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigBroken(path, "not a mapping at the top level")
    return document


def _load(loader: Any, text: str, path: Path) -> Any:
    import yaml

    return _guarded(lambda: yaml.load(text, Loader=loader), text, path)  # noqa: S506 - derives from a safe one


def _guarded(parse: Callable[[], Any], text: str, path: Path) -> Any:
    """Run a parser and turn every way it can fail into a `ConfigBroken` that quotes nothing."""
    import yaml

    try:
        return parse()
    except yaml.YAMLError as error:
        raise _broken(path, text, error) from None
    except RecursionError:
        raise ConfigBroken(path, "nested too deeply") from None
    except _CONSTRUCTOR_ERRORS:
        raise ConfigBroken(path, "not valid YAML: a value does not fit its type") from None


def _broken(path: Path, text: str, error: Exception) -> ConfigBroken:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        problem = getattr(error, "problem", None)
        said = f": {problem}" if problem in _HARMLESS_PROBLEMS else ""
        return ConfigBroken(path, f"not valid YAML{said}", mark.line + 1)
    control = _CONTROL.search(text)
    if control is None:
        return ConfigBroken(path, "not valid YAML")
    return ConfigBroken(path, "a control character", text.count("\n", 0, control.start()) + 1)


def _loaders_for(text: str) -> tuple[Any, ...]:
    """Return the YAML loaders that may be let loose on a text, the one hermes uses first."""
    fast, plain = _loaders()
    return (fast, plain) if fast and _is_shallow(text, fast) else (plain,)


@cache
def _loaders() -> tuple[Any, Any]:
    import yaml

    fast = getattr(yaml, "CSafeLoader", None)  # absent where PyYAML was built without libyaml
    return fast and _bounded(fast), _bounded(yaml.SafeLoader)


def _bounded(base: Any) -> Any:
    """Return a loader that gives up on merge keys that multiply."""
    import yaml

    class Bounded(base):  # type: ignore[misc]
        def flatten_mapping(self, node: Any) -> None:
            super().flatten_mapping(node)
            if len(node.value) > _MAX_MERGED_PAIRS:
                raise yaml.constructor.ConstructorError(None, None, "too much merged", node.start_mark)

    return Bounded


def _is_shallow(text: str, loader: Any) -> bool:
    """Tell whether the compiled loader can go through `text` without running out of stack."""
    import yaml

    # No nesting is deeper than this cheap bound, which spares most files the second look.
    indents = (len(line) - len(line.lstrip(" \t-?:")) for line in text.splitlines())
    if text.count("[") + text.count("{") + 2 * max(indents, default=0) < _SAFE_DEPTH:
        return True
    depth = 0
    with suppress(yaml.YAMLError):  # the loader will meet it at the same place
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _SAFE_DEPTH:
                return False
    return True


# --- the change and its meaning ----------------------------------------------------------------------------


def _is_that_word(_depth: int, name: str | int, key: Any) -> bool:
    return bool(key.tag.endswith(":str")) and key.value == name


@dataclass(frozen=True, slots=True)
class Setting:
    """The wanted change: what stands at a place, or is to be taken out there."""

    names: tuple[str | int, ...]
    """The names that lead to it, from the top level on, as they are written where they are not there yet."""
    value: Any = None
    """A word that needs no quotes, a number, or a flat mapping of those."""
    is_named: Callable[[int, str | int, Any], bool] = _is_that_word
    """Tells whether a key (its node) is the name at some depth."""

    @property
    def text(self) -> str:
        """The value as it is written."""
        if not isinstance(self.value, dict):
            return str(self.value)
        return f"{{{', '.join(f'{name}: {part}' for name, part in self.value.items())}}}"

    def refused(self, why: str) -> Refused:
        """Return a refusal that says what to do by hand."""
        place = " → ".join(map(str, self.names))
        todo = f"take {place} out" if self.value is None else f"set {place}: {self.text}"
        return Refused(f"config.yaml {why}; {todo} there by hand")


@dataclass(frozen=True, slots=True)
class Splice:
    """A proposal: put `new` in the place of the characters from `start` to `end`."""

    start: int
    end: int
    new: str

    def applied(self, text: str) -> str:
        """Return the text after it."""
        return text[: self.start] + self.new + text[self.end :]


def with_change(document: Any, keys: Sequence[Any], change: Callable[[Document, Any], Document]) -> Document:
    """Return a copy of a document in which the mapping that holds the last of `keys` is changed."""
    here = document or {}
    if len(keys) == 1:
        return change(here, keys[0])
    return {**here, keys[0]: with_change(here.get(keys[0]), keys[1:], change)}


def _accepted(text: str, setting: Setting, path: Path) -> Iterator[str]:
    """Yield the edited texts that every loader reads as the old document with just that change."""
    document, loaders = read_alike(text, path)
    editor = Editor(text, path)
    found = editor.found(setting, document)
    keys = [*(editor.key(key) for key, _ in found), *setting.names[len(found) :]]
    wanted = with_change(document, keys, lambda here, key: {**here, key: setting.value})
    for splice in editor.splices(setting, found):
        after = splice.applied(text)
        if all(reads_as(loader, after, wanted, path) for loader in loaders):
            yield after


def read_alike(text: str, path: Path) -> tuple[Document, list[Any]]:
    """Return the document as hermes reads it, and the loaders that do so; in dark corners they differ."""
    first, *others = _loaders_for(text)
    raw = _load(first, text, path)
    return raw or {}, [first, *(loader for loader in others if reads_as(loader, text, raw, path))]


def reads_as(loader: Any, text: str, wanted: Any, path: Path) -> bool:
    """Tell whether a loader makes this document of a text."""
    try:
        return _same(_load(loader, text, path), wanted)
    except (ConfigBroken, ValueError):  # ValueError: a number with more digits than Python turns into text
        return False


def _same(left: Any, right: Any) -> bool:
    """Compare two documents, types included and NaN equal to itself, in time linear in what is in the file.

    Aliases make a document a graph: plain ``==`` would follow every path through it, or a cycle for ever.
    """
    seen: set[tuple[int, int]] = set()
    open_pairs = [(left, right)]
    while open_pairs:
        one, other = open_pairs.pop()
        if type(one) is not type(other):
            return False
        parts = _paired_parts(one, other)
        if parts is None:
            return False
        if parts and (id(one), id(other)) not in seen:
            seen.add((id(one), id(other)))
            open_pairs.extend(parts)
    return True


def _paired_parts(one: Any, other: Any) -> list[tuple[Any, Any]] | None:
    """Return what is left to compare in two values of one type, or None when they differ already."""
    if isinstance(one, list | tuple):
        return list(zip(one, other, strict=True)) if len(one) == len(other) else None
    if isinstance(one, dict | set):
        mine, theirs = _by_identity(one), _by_identity(other)
        if mine.keys() != theirs.keys():
            return None
        return [(one[mine[k]], other[theirs[k]]) for k in mine] if isinstance(one, dict) else []
    same = repr(one) == repr(other) if isinstance(one, float) else bool(one == other)
    return [] if same else None


def _by_identity(keys: Iterable[Any]) -> dict[tuple[type, str], Any]:
    """Tell 1 from True and find NaN again, which a plain look-up does not."""
    return {(type(key), repr(key)): key for key in keys}


# --- places ------------------------------------------------------------------------------------------------


def _located(text: str, path: Path) -> tuple[Any, list[Any]]:
    """Return the root node and the tokens, with positions. They count characters; libyaml's do otherwise."""
    import yaml

    def parse() -> tuple[Any, list[Any]]:
        loader = yaml.SafeLoader
        return yaml.compose(text, Loader=loader), list(yaml.scan(text, Loader=loader))

    located: tuple[Any, list[Any]] = _guarded(parse, text, path)
    return located


class Editor:
    """Proposes splices for one text."""

    def __init__(self, text: str, path: Path) -> None:
        import yaml

        self._yaml = yaml
        self.text = text
        try:
            self.root, self._tokens = _located(text, path)
        except ConfigBroken:
            # libyaml, and so hermes, takes tabs between words; the parser that knows positions does not.
            self.root, self._tokens = _located(text.replace("\t", " "), path)
        first = _NEWLINE.search(text)
        self.newline = first[0] if first else "\n"

    def found(self, setting: Setting, document: Document) -> list[tuple[Any, Any]]:
        """Return the pairs on the way to the place, from the top level on, as far as there are any.

        Raises:
            Refused: something else than a mapping is on the way, or what is taken from elsewhere.
        """
        pairs: list[tuple[Any, Any]] = []
        node, inside = self.root, document
        for depth, name in enumerate(setting.names):
            pair = self._own(node, depth, setting) if isinstance(node, self._yaml.MappingNode) else None
            is_last = depth == len(setting.names) - 1
            if pair is None:
                if not is_last and name in (inside or {}):
                    raise setting.refused(f"takes {name} from elsewhere (a merge key)")
                return pairs
            if is_last:
                return [*pairs, pair]
            if _is_alias(*pair):
                raise setting.refused(f"takes {name} from elsewhere (an alias)")
            pairs.append(pair)
            node, inside = pair[1], inside.get(self.key(pair[0]), inside)
            if not isinstance(inside, dict | None):
                raise setting.refused("has something else than a mapping there")
        return pairs

    def comments(self) -> list[str]:
        """Return all comments, in order."""
        return [comment for _, comment in self.placed_comments()]

    def placed_comments(self) -> Iterator[tuple[int, str]]:
        """Yield the comments with where they begin: they stand between tokens."""
        place = 0
        for token in self._tokens:
            yield from self._comments_in(place, token.start_mark.index)
            place = max(place, token.end_mark.index)
        yield from self._comments_in(place, len(self.text))

    def _comments_in(self, start: int, end: int) -> Iterator[tuple[int, str]]:
        return ((found.start(), found[0].rstrip()) for found in _COMMENT.finditer(self.text, start, end))

    def last_of(self, mapping: Any, pair: tuple[Any, Any]) -> int:
        """Return where the text of a pair ends, without what follows on its last line."""
        start = pair[0].start_mark.index
        later = (key.start_mark.index for key, _ in mapping.value if key.start_mark.index > start)
        end = next(later, mapping.end_mark.index - bool(mapping.flow_style))
        commas = self._yaml.FlowEntryToken
        written = (each for each in self._tokens if not isinstance(each, commas))
        marks = ((int(each.start_mark.index), int(each.end_mark.index)) for each in written)
        return max(last for first, last in marks if start <= first < last <= end)

    def line_end(self, index: int) -> int:
        """Return where the line after the one that `index` ends in begins."""
        if self.text[index - 1] in _BREAKS:  # a block scalar ends at the start of the next line
            return index
        line_break = _BREAK.search(self.text, index)
        return line_break.end() if line_break else len(self.text)

    def splices(self, setting: Setting, found: Sequence[tuple[Any, Any]]) -> Iterator[Splice]:
        """Yield the ways to set the value, the most natural first; `found` leads to it."""
        missing = setting.names[len(found) :]
        if not isinstance(self.root, self._yaml.MappingNode):
            yield self._at_end(self._lines(missing, setting.text, ""))
        elif not missing:
            yield from self._replaced(*found[-1], setting)
        elif found and not isinstance(found[-1][1], self._yaml.MappingNode):
            yield from self._filled(*found[-1], missing, setting.text)
        else:
            yield from self._added(found[-1][1] if found else self.root, missing, setting.text)

    def key(self, node: Any) -> Any:
        """Return a key as it is read."""
        return self._yaml.constructor.SafeConstructor().construct_object(node, deep=True)

    def _own(self, mapping: Any, depth: int, setting: Setting) -> tuple[Any, Any] | None:
        """Return the last pair of that name, the one that counts, if the mapping has it itself."""
        for key, value in reversed(mapping.value):
            if isinstance(key, self._yaml.ScalarNode) and setting.is_named(depth, setting.names[depth], key):
                return key, value
        return None

    # A value that is there

    def _replaced(self, key: Any, value: Any, setting: Setting) -> Iterator[Splice]:
        start, end, text = value.start_mark.index, value.end_mark.index, setting.text
        if _is_alias(key, value):
            yield from self._alias_replaced(key, text)
        elif not isinstance(value, self._yaml.ScalarNode):
            raise setting.refused("has something else than a word there")
        elif start == end:
            colon = "" if ":" in self.text[key.end_mark.index : start] else ":"
            yield Splice(start, end, f"{colon} {text}")
        elif value.style in ("|", ">"):
            yield Splice(start, end, _in_place_of_block(self.text[start:end], text))
        else:
            quote = value.style or "" if isinstance(setting.value, str) else ""
            yield Splice(start, end, f"{quote}{text}{quote}")

    def _alias_replaced(self, key: Any, word: str) -> Iterator[Splice]:
        for token in self._tokens:
            if isinstance(token, self._yaml.AliasToken) and token.start_mark.index >= key.end_mark.index:
                yield Splice(token.start_mark.index, token.end_mark.index, word)
                return

    def _filled(self, name: Any, section: Any, names: Names, text: str) -> Iterator[Splice]:
        """Put a first pair into a section that is there and null."""
        start, end = section.start_mark.index, section.end_mark.index
        if start == end and not self.root.flow_style:
            indent = " " * (name.start_mark.column + self._step())
            yield self._line_after(start, self._lines(names, text, indent))
        yield Splice(start, end, " " * (start == end) + f"{{{self._flow(names, text)}}}")

    # A pair that is not there

    def _added(self, mapping: Any, names: Names, text: str) -> Iterator[Splice]:
        opening = next(token for token in self._tokens if self._opens(token, mapping))
        written = [token for token in self._tokens if _is_written_in(token, mapping)]
        if isinstance(opening, self._yaml.FlowMappingStartToken):
            return self._added_to_flow(opening.end_mark.index, written[-2], self._flow(names, text))
        lines = self._lines(names, text, " " * opening.start_mark.column)
        return self._added_to_block(mapping, opening.start_mark, written[-1], lines)

    def _opens(self, token: Any, mapping: Any) -> bool:
        openings = (self._yaml.FlowMappingStartToken, self._yaml.BlockMappingStartToken)
        return isinstance(token, openings) and token.start_mark.index >= mapping.start_mark.index

    def _added_to_flow(self, inside: int, last: Any, words: str) -> Iterator[Splice]:
        at = last.end_mark.index
        if at == inside:
            yield Splice(at, at, words)
            return
        yield Splice(at, at, f" {words}" if isinstance(last, self._yaml.FlowEntryToken) else f", {words}")
        yield Splice(inside, inside, f"{words}, ")

    def _added_to_block(self, mapping: Any, first: Any, last: Any, lines: str) -> Iterator[Splice]:
        yield self._at_end(lines) if mapping is self.root else self._line_after(last.end_mark.index, lines)
        line_start = first.index - first.column
        if not self.text[line_start : first.index].strip(" "):
            yield Splice(line_start, line_start, lines)

    def _at_end(self, lines: str) -> Splice:
        """Append to the document: at the end of the text, or before the ``...`` that closes it."""
        ends = (t.start_mark.index for t in self._tokens if isinstance(t, self._yaml.DocumentEndToken))
        return self._line_at(next(ends, len(self.text)), lines)

    def _line_after(self, index: int, lines: str) -> Splice:
        """Insert below the line that `index` ends in."""
        return self._line_at(self.line_end(index), lines)

    def _line_at(self, index: int, lines: str) -> Splice:
        open_line = index > 0 and self.text[index - 1] not in _BREAKS
        return Splice(index, index, self.newline + lines if open_line else lines)

    # How it is written

    def _lines(self, names: Names, text: str, indent: str) -> str:
        key = f"{indent}{self._key(names[0], flow=False)}:"
        if len(names) == 1:
            return f"{key} {text}{self.newline}"
        return f"{key}{self.newline}{self._lines(names[1:], text, indent + ' ' * self._step())}"

    def _flow(self, names: Names, text: str) -> str:
        inner = text if len(names) == 1 else f"{{{self._flow(names[1:], text)}}}"
        return f"{self._key(names[0], flow=True)}: {inner}"

    def _key(self, name: str | int, *, flow: bool) -> str:
        """Write a name on one line, quoted where it must be."""
        options: dict[str, Any] = {"default_flow_style": flow, "allow_unicode": True, "width": 1 << 30}
        dumped: str = self._yaml.safe_dump({name: "x"}, **options).strip()
        return (dumped[1:-1] if flow else dumped).removesuffix(": x")

    def _step(self) -> int:
        """Return the indentation the file itself uses for a mapping within its top level."""
        if not isinstance(self.root, self._yaml.MappingNode):
            return 2
        for key, value in self.root.value:
            if isinstance(value, self._yaml.MappingNode) and value.value and not value.flow_style:
                step = value.value[0][0].start_mark.column - key.start_mark.column
                if step > 0 and not _is_alias(key, value):
                    return int(step)
        return 2


def _is_alias(key: Any, value: Any) -> bool:
    """Tell whether a value is an alias: its node then lies where the anchor is, before its own key."""
    return bool(value.start_mark.index < key.end_mark.index)


def _is_written_in(token: Any, node: Any) -> bool:
    """Tell whether a token is text of a node; those that only mark structure have no width."""
    start, end = token.start_mark.index, token.end_mark.index
    return bool(start < end and node.start_mark.index <= start < node.end_mark.index)


def _in_place_of_block(span: str, word: str) -> str:
    """Replace a literal or folded scalar; the comment on its first line and the line ends after it stay."""
    comment = _HEADER_COMMENT.search(_BREAK.split(span, maxsplit=1)[0])
    return word + (comment[0] if comment else "") + span[len(span.rstrip()) :]
