"""``keydeck auth status``."""

from __future__ import annotations

import click

from keydeck.cli.common import (
    Place,
    good_snapshot,
    only,
    pool_of,
    print_json,
    store_options,
    tell_bad_pools,
)
from keydeck.present.listing import status_lines, statuses


@click.command("status")
@click.argument("provider", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@store_options
def command(place: Place, provider: str | None, *, as_json: bool) -> None:
    """Tell which providers can be used now."""
    reader = place.reader()
    now = reader.clock()
    snapshot = good_snapshot(reader)
    if provider is None:
        answers = statuses(snapshot, now)
    else:
        snapshot = only(snapshot, provider)
        pool = pool_of(snapshot, provider)
        answers = statuses(snapshot._replace(pools=(pool,)), now)
    tell_bad_pools(snapshot)
    if as_json:
        print_json({"home": str(reader.home.path), "profile": reader.home.profile, "providers": answers})
        return
    click.echo(
        "\n".join(status_lines(answers, now)) or "no provider has a credential; keydeck auth add adds one"
    )
