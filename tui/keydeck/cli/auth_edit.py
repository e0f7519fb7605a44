"""``keydeck auth edit``."""

from __future__ import annotations

import click

from keydeck.cli.common import Place, find_row, operator, store_options, tell


@click.command("edit")
@click.argument("provider")
@click.argument("target")
@click.option("--label", help="Another name.")
@click.option("--base-url", metavar="URL", help="Another address for its requests.")
@store_options
def command(place: Place, provider: str, target: str, label: str | None, base_url: str | None) -> None:
    """Change label or base URL of the credential that TARGET names."""
    if label is None and base_url is None:
        raise click.UsageError("say what to change: --label, --base-url, or both")
    reader = place.reader()
    row = find_row(reader, provider, target)
    tell(reader, operator(place, reader).edit(row.provider, row.id, label=label, base_url=base_url))
