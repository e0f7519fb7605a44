"""``keydeck auth resume``."""

from __future__ import annotations

import click

from keydeck.cli.common import Place, find_row, operator, store_options, tell


@click.command("resume")
@click.argument("provider")
@click.argument("target")
@store_options
def command(place: Place, provider: str, target: str) -> None:
    """Let a paused credential work again, with the bench or error that it had."""
    reader = place.reader()
    act = operator(place, reader)
    row = find_row(reader, provider, target)
    tell(reader, act.resume(row.provider, row.id))
