"""``keydeck auth move``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import click

from keydeck.cli.common import Place, find_row, operator, store_options, tell

_PLACES: Final[dict[str, Callable[[int, int], int]]] = {
    "first": lambda _here, _last: 0,
    "last": lambda _here, last: last,
    "up": lambda here, _last: here - 1,
    "down": lambda here, _last: here + 1,
}


@click.command("move")
@click.argument("provider")
@click.argument("target")
@click.argument("place_in_pool", metavar="first|last|up|down|N")
@store_options
def command(place: Place, provider: str, target: str, place_in_pool: str) -> None:
    """Put the credential that TARGET names at another place of its pool; N counts from 1."""
    word = place_in_pool.strip().lower()
    if word not in _PLACES and not (word.isascii() and word.isdigit() and int(word)):
        raise click.UsageError(f"{place_in_pool!r} is no place: first, last, up, down, or a number from 1")
    reader = place.reader()
    row = find_row(reader, provider, target)
    wanted = _PLACES.get(word) or int(word) - 1
    tell(reader, operator(place, reader).move(row.provider, row.id, wanted))
