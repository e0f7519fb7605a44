"""config.yaml as text: parsed without trusting it, and changed by one word with every other byte kept.

The rule here: an edit is proposed by position and accepted by meaning. Only a text that parses to the old
document plus exactly the wanted change leaves this module, so a wrong guess about YAML ends in a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from keydeck.engine.errors import ConfigBroken, Refused

BOM: Final = b"\xef\xbb\xbf"

_NEWLINE: Final = re.compile("\r\n|[\n\r]")
_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what YAML 1.1 ends a line at
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


def parse_mapping(data: bytes, path: Path) -> Document:
    """Parse a config.yaml to plain Python values; an empty document is an empty mapping.

    Raises:
        ConfigBroken: not UTF-8, not YAML, or not a mapping.
    """
    return _mapping(_decoded(data, path), path)


def composed(data: bytes, path: Path) -> Any:
    """Return the root node of a file, which knows its lines; None for an empty one.

    Raises:
        ConfigBroken: not UTF-8, or not YAML.
    """
    import yaml

    text = _decoded(data, path)
    return _guarded(lambda: yaml.compose(text, Loader=_loaders_for(text)[0]), text, path)


def with_word(data: bytes, section: str, key: str, word: str, path: Path) -> bytes:
    """Return the file with ``section: {key: word}`` set and nothing else touched; `word` needs no quotes.

    Raises:
        ConfigBroken: the file is no YAML mapping.
        Refused: its form ties the value to others; the text says what to edit by hand.
    """
    text = _decoded(data, path)
    _mapping(text, path)
    setting = _Setting(section, key, word)
    try:
        after = next(_accepted(text, setting, path), None)
    except ConfigBroken:  # libyaml takes more than the parser that knows positions
        raise setting.refused("is written in a form that cannot be edited safely") from None
    if after is None:
        raise setting.refused("ties this value to others (anchor, alias or merge), or is of an odd form")
    return data[: len(BOM) if data.startswith(BOM) else 0] + after.encode()


# --- parsing -----------------------------------------------------------------------------------------------


def _decoded(data: bytes, path: Path) -> str:
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


@dataclass(frozen=True, slots=True)
class _Setting:
    """The wanted change."""

    section: str
    key: str
    word: str

    @property
    def pair(self) -> Document:
        return {self.key: self.word}

    def applied(self, document: Document) -> Document:
        return {**document, self.section: {**(document.get(self.section) or {}), **self.pair}}

    def refused(self, why: str) -> Refused:
        return Refused(f"config.yaml {why}; set {self.section} → {self.key}: {self.word} there by hand")


@dataclass(frozen=True, slots=True)
class _Splice:
    """A proposal: put `new` in the place of the characters from `start` to `end`."""

    start: int
    end: int
    new: str

    def applied(self, text: str) -> str:
        return text[: self.start] + self.new + text[self.end :]


def _accepted(text: str, setting: _Setting, path: Path) -> Iterator[str]:
    """Yield the edited texts that every loader reads as the old document with just that change."""
    document, loaders = _read_alike(text, path)
    if not isinstance(document.get(setting.section), dict | None):
        raise setting.refused("has something else than a mapping there")
    for splice in _Editor(text, path).splices(setting, document):
        after = splice.applied(text)
        if all(_reads_as(loader, after, setting.applied(document), path) for loader in loaders):
            yield after


def _read_alike(text: str, path: Path) -> tuple[Document, list[Any]]:
    """Return the document as hermes reads it, and the loaders that do so; in dark corners they differ."""
    first, *others = _loaders_for(text)
    raw = _load(first, text, path)
    return raw or {}, [first, *(loader for loader in others if _reads_as(loader, text, raw, path))]


def _reads_as(loader: Any, text: str, wanted: Any, path: Path) -> bool:
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


class _Editor:
    """Proposes splices for one text."""

    def __init__(self, text: str, path: Path) -> None:
        import yaml

        self._yaml = yaml
        self._text = text
        try:
            self._root, self._tokens = _located(text, path)
        except ConfigBroken:
            # libyaml, and so hermes, takes tabs between words; the parser that knows positions does not.
            self._root, self._tokens = _located(text.replace("\t", " "), path)
        first = _NEWLINE.search(text)
        self._newline = first[0] if first else "\n"

    def splices(self, setting: _Setting, document: Document) -> Iterator[_Splice]:
        """Yield the ways to make the change, the most natural first."""
        new_section = {setting.section: setting.pair}
        if not isinstance(self._root, self._yaml.MappingNode):
            yield self._at_end(self._lines(new_section, ""))
            return
        found = self._own(self._root, setting.section)
        if found is None:
            if setting.section in document:
                raise setting.refused(f"takes {setting.section} from elsewhere (a merge key)")
            yield from self._added(self._root, new_section)
            return
        name, section = found
        if _is_alias(name, section):
            raise setting.refused(f"takes {setting.section} from elsewhere (an alias)")
        if not isinstance(section, self._yaml.MappingNode):
            yield from self._filled(name, section, setting)
        elif (found := self._own(section, setting.key)) is None:
            yield from self._added(section, setting.pair)
        else:
            yield from self._replaced(*found, setting)

    def _own(self, mapping: Any, name: str) -> tuple[Any, Any] | None:
        """Return the last pair of that name, the one that counts, if the mapping has it itself."""
        for key, value in reversed(mapping.value):
            if isinstance(key, self._yaml.ScalarNode) and key.tag.endswith(":str") and key.value == name:
                return key, value
        return None

    # A value that is there

    def _replaced(self, key: Any, value: Any, setting: _Setting) -> Iterator[_Splice]:
        start, end = value.start_mark.index, value.end_mark.index
        if _is_alias(key, value):
            yield from self._alias_replaced(key, setting.word)
        elif not isinstance(value, self._yaml.ScalarNode):
            raise setting.refused("has something else than a word there")
        elif start == end:
            colon = "" if ":" in self._text[key.end_mark.index : start] else ":"
            yield _Splice(start, end, f"{colon} {setting.word}")
        elif value.style in ("|", ">"):
            yield _Splice(start, end, _in_place_of_block(self._text[start:end], setting.word))
        else:
            quote = value.style or ""
            yield _Splice(start, end, f"{quote}{setting.word}{quote}")

    def _alias_replaced(self, key: Any, word: str) -> Iterator[_Splice]:
        for token in self._tokens:
            if isinstance(token, self._yaml.AliasToken) and token.start_mark.index >= key.end_mark.index:
                yield _Splice(token.start_mark.index, token.end_mark.index, word)
                return

    def _filled(self, name: Any, section: Any, setting: _Setting) -> Iterator[_Splice]:
        """Put a first pair into a section that is there and null."""
        start, end = section.start_mark.index, section.end_mark.index
        if start == end and not self._root.flow_style:
            indent = " " * (name.start_mark.column + self._step())
            yield self._line_after(start, self._lines(setting.pair, indent))
        yield _Splice(start, end, " " * (start == end) + f"{{{self._flow(setting.pair)}}}")

    # A pair that is not there

    def _added(self, mapping: Any, pair: Document) -> Iterator[_Splice]:
        opening = next(token for token in self._tokens if self._opens(token, mapping))
        written = [token for token in self._tokens if _is_written_in(token, mapping)]
        if isinstance(opening, self._yaml.FlowMappingStartToken):
            return self._added_to_flow(opening.end_mark.index, written[-2], pair)
        return self._added_to_block(mapping, opening.start_mark, written[-1], pair)

    def _opens(self, token: Any, mapping: Any) -> bool:
        openings = (self._yaml.FlowMappingStartToken, self._yaml.BlockMappingStartToken)
        return isinstance(token, openings) and token.start_mark.index >= mapping.start_mark.index

    def _added_to_flow(self, inside: int, last: Any, pair: Document) -> Iterator[_Splice]:
        words, at = self._flow(pair), last.end_mark.index
        if at == inside:
            yield _Splice(at, at, words)
            return
        yield _Splice(at, at, f" {words}" if isinstance(last, self._yaml.FlowEntryToken) else f", {words}")
        yield _Splice(inside, inside, f"{words}, ")

    def _added_to_block(self, mapping: Any, first: Any, last: Any, pair: Document) -> Iterator[_Splice]:
        lines = self._lines(pair, " " * first.column)
        yield self._at_end(lines) if mapping is self._root else self._line_after(last.end_mark.index, lines)
        line_start = first.index - first.column
        if not self._text[line_start : first.index].strip(" "):
            yield _Splice(line_start, line_start, lines)

    def _at_end(self, lines: str) -> _Splice:
        """Append to the document: at the end of the text, or before the ``...`` that closes it."""
        ends = (t.start_mark.index for t in self._tokens if isinstance(t, self._yaml.DocumentEndToken))
        return self._line_at(next(ends, len(self._text)), lines)

    def _line_after(self, index: int, lines: str) -> _Splice:
        """Insert below the line that `index` ends in; a block scalar ends at the start of the next one."""
        if self._text[index - 1] in "\n\r\x85\u2028\u2029":
            return self._line_at(index, lines)
        line_break = _BREAK.search(self._text, index)
        return self._line_at(line_break.end() if line_break else len(self._text), lines)

    def _line_at(self, index: int, lines: str) -> _Splice:
        open_line = index > 0 and self._text[index - 1] not in "\n\r\x85\u2028\u2029"
        return _Splice(index, index, self._newline + lines if open_line else lines)

    # How it is written

    def _lines(self, pair: Document, indent: str) -> str:
        step = " " * self._step()
        for key, value in pair.items():
            if isinstance(value, dict):
                return f"{indent}{key}:{self._newline}{self._lines(value, indent + step)}"
        return f"{indent}{self._dumped(pair, flow=False)}{self._newline}"

    def _flow(self, pair: Document) -> str:
        return self._dumped(pair, flow=True)[1:-1]

    def _dumped(self, pair: Document, *, flow: bool) -> str:
        """Write a pair on one line, quoted where it must be."""
        options: dict[str, Any] = {"default_flow_style": flow, "allow_unicode": True, "width": 1 << 30}
        dumped: str = self._yaml.safe_dump(pair, **options)
        return dumped.strip()

    def _step(self) -> int:
        """Return the indentation the file itself uses for a mapping within its top level."""
        if not isinstance(self._root, self._yaml.MappingNode):
            return 2
        for key, value in self._root.value:
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
