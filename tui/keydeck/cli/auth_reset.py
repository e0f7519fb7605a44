"""``keydeck auth reset``."""

from __future__ import annotations

import click

from keydeck.cli.common import Place, find_pool, find_row, operator, store_options, tell


@click.command("reset")
@click.argument("provider")
@click.argument("target", required=False)
@store_options
def command(place: Place, provider: str, target: str | None) -> None:
    """Clear cooldowns and errors of one credential, or of the whole pool."""
    reader = place.reader()
    row = find_row(reader, provider, target) if target else None
    name = row.provider if row else find_pool(reader, provider).provider
    tell(reader, operator(place, reader).reset(name, row.id if row else None))
