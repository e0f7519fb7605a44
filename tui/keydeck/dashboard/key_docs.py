"""The README's list of keys, made of the table of actions: ``python -m keydeck.dashboard.key_docs README.md``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from keydeck.dashboard.actions import (
    ACTIONS,
    DETAIL,
    EVENTS,
    GROUPS,
    POLICY,
    POOLS,
    SETTINGS,
    Action,
    key_name,
)

BEGIN: Final = "<!-- keys: made by keydeck.dashboard.key_docs -->"
END: Final = "<!-- end of keys -->"
_ONLY_ON: Final = {
    DETAIL: "one key in full",
    EVENTS: "the events",
    SETTINGS: "the settings",
    POLICY: "the cooldowns",
}


def keys_table() -> str:
    """Return every action as a Markdown table, by group."""
    lines = ["| key | does |", "| --- | --- |"]
    for group in GROUPS:
        lines += [_line(action) for action in ACTIONS if action.group == group]
    return "\n".join(lines) + "\n"


def _line(action: Action) -> str:
    keys = " ".join(f"`{key_name(key)}`" for key in action.keys) or f"command *{action.command}*"
    elsewhere = " and ".join(_ONLY_ON[name] for name in sorted(action.scope - {POOLS}))
    where = "" if POOLS in action.scope else f", in {elsewhere}"
    return f"| {keys} | {action.help}{where} |"


def with_keys(text: str) -> str:
    """Return a document with the table between its two marks brought up to date.

    Raises:
        ValueError: a mark is missing.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{BEGIN!r} and {END!r} have to be in the document")
    return f"{head}{begin}\n{keys_table()}{end}{tail}"


def main() -> None:
    """Bring a document up to date."""
    path = Path(sys.argv[1])
    path.write_text(with_keys(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
