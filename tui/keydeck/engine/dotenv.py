"""Read a home's ``.env`` as hermes does: no inline comments, no expansion (hermes-pool 2.5)."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from keydeck.engine.files import Disk, read_file
from keydeck.engine.providers import registry

# Lines as Python reads them from a file: a form feed or U+2028 ends none.
_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_STRUCTURED: Final = re.compile(r"://|[?&\s]")


def read_dotenv(path: Path, disk: Disk) -> dict[str, str]:
    """Return the variables of a ``.env`` file; empty when there is none or it cannot be read."""
    try:
        data, _ = read_file(disk, path)
    except OSError:
        return {}
    return parse_dotenv(data.decode("utf-8-sig", "replace"))


def parse_dotenv(text: str) -> dict[str, str]:
    """Return the variables of ``.env`` text; the last of several settings of one name wins."""
    return dict(pair for line in _LINE.findall(text) for pair in _settings(line))


def _settings(line: str) -> Iterator[tuple[str, str]]:
    line = line.strip()
    if line.startswith("#"):
        return
    for part in _split_glued(line):
        name, equals, value = part.removeprefix("export ").partition("=")
        if equals and name.strip():
            yield name.strip(), _unquoted(value.strip())


def _split_glued(line: str) -> list[str]:
    """Split ``A_KEY=xB_KEY=y`` where both names are known: a missing newline glued two settings."""
    starts = [found.start() for found in _known_names().finditer(line)]
    if len(starts) < 2 or starts[0] != 0:
        return [line]
    parts = [line[start:end] for start, end in zip(starts, [*starts[1:], len(line)], strict=True)]
    # An address or a sentence may hold a name and "=" of its own: hermes leaves such a line whole.
    return [line] if any(_STRUCTURED.search(part) for part in parts[:-1]) else parts


@functools.cache
def _known_names() -> re.Pattern[str]:
    names = {
        name
        for provider in registry().values()
        for name in (*provider.key_envs, provider.base_url_env)
        if name is not None
    }
    return re.compile("(?:" + "|".join(sorted(names, key=len, reverse=True)) + ")=")


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != value[-1] or value[0] not in "\"'":
        return value
    inner = value[1:-1]
    return re.sub(r'\\(["\\])', r"\1", inner) if value[0] == '"' else inner


def without_variable(text: str, name: str) -> str:
    """Return ``.env`` text without the lines that set `name`; every other byte stays."""
    kept = []
    for line in _LINE.findall(text):
        names = [found for found, _ in _settings(line.removeprefix("\ufeff"))]
        if name not in names:
            kept.append(line)
        elif len(names) > 1:
            glued = _split_glued(line.strip())
            kept += [f"{part}\n" for part in glued if part.partition("=")[0] != name]
    return "".join(kept)


def lines_setting(text: str, name: str) -> str:
    """Return the lines of ``.env`` text that set `name`, to put them back some day."""
    lines = _LINE.findall(text.removeprefix("\ufeff"))
    setting = [line for line in lines if name in [found for found, _ in _settings(line)]]
    return "".join(line if line.endswith(("\n", "\r")) else f"{line}\n" for line in setting)


def effective_env(dotenv: Mapping[str, str], process: Mapping[str, str]) -> dict[str, str]:
    """Merge as hermes looks up: ``.env`` first, trimmed, unless it is blank or only names a 1Password item."""
    rules = {
        name: bare
        for name, value in dotenv.items()
        if (bare := value.strip()) and not (bare.startswith("op://") and process.get(name))
    }
    return {**process, **rules}
