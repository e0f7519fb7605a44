"""``keydeck auth remove``."""

from __future__ import annotations

import sys

import click

from keydeck.cli.common import Place, find_row, operator, store_options, tell
from keydeck.engine.credential import VanishedRow
from keydeck.engine.errors import Refused
from keydeck.present.rows import label_text


@click.command("remove")
@click.argument("provider")
@click.argument("target")
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_options
def command(place: Place, provider: str, target: str, *, yes: bool) -> None:
    """Remove the credential that TARGET names: an id, a label, or its place in the list.

    One that another program removed already is only dismissed from the list.
    """
    reader = place.reader()
    act = operator(place, reader)
    row = find_row(reader, provider, target)
    if not (yes or isinstance(row, VanishedRow)):  # of that one nothing but a line goes
        if not sys.stdin.isatty():
            raise Refused("nobody here to confirm the removal; say --yes")
        question = f"Remove {row.label} ({row.id}) from {row.provider}?"
        click.confirm(label_text(question, reader.scrubber), abort=True, err=True)
    tell(reader, act.remove(row.provider, row.id))
