"""``keydeck auth refresh``: announced, and honest that it is not there yet."""

from __future__ import annotations

from typing import Final

import click

from keydeck.cli.common import Place, find_row, store_options

NOT_YET: Final = 3
"""Exit code of a command that is announced for a later version."""


@click.command("refresh")
@click.argument("provider")
@click.argument("target")
@store_options
def command(place: Place, provider: str, target: str) -> None:
    """Renew a login's token: comes with a later version; ends with code 3 and changes nothing."""
    find_row(place.reader(), provider, target)
    click.echo(
        "keydeck: not yet: this version renews no tokens; hermes does when it uses the login", err=True
    )
    click.get_current_context().exit(NOT_YET)
