"""``keydeck auth rename``."""

from __future__ import annotations

import click

from keydeck.cli.common import Place, find_row, operator, store_options, tell


@click.command("rename")
@click.argument("provider")
@click.argument("target")
@click.argument("label")
@store_options
def command(place: Place, provider: str, target: str, label: str) -> None:
    """Give the credential that TARGET names another LABEL."""
    reader = place.reader()
    row = find_row(reader, provider, target)
    tell(reader, operator(place, reader).edit(row.provider, row.id, label=label))
