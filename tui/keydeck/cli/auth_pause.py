"""``keydeck auth pause``."""

from __future__ import annotations

import click

from keydeck.cli.common import Place, find_row, operator, store_options, tell
from keydeck.cli.moments import Moment, in_the_future


@click.command("pause")
@click.argument("provider")
@click.argument("target")
@click.option(
    "--until",
    callback=in_the_future,
    metavar="TIME",
    help="Until when: 14:05, in 30s, 15m, 2h, 3d, or an ISO time; for good if omitted.",
)
@store_options
def command(place: Place, provider: str, target: str, until: Moment | None) -> None:
    """Take one credential out; requests that are under way go on, and hermes finds it benched."""
    reader = place.reader()
    act = operator(place, reader)
    row = find_row(reader, provider, target)
    end = until(reader.clock()) if until else None
    tell(reader, act.pause(row.provider, row.id, until=end))
