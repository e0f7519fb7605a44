"""``keydeck auth list``."""

from __future__ import annotations

import click

from keydeck.cli.common import Place, good_snapshot, only, print_json, store_options, tell_bad_pools
from keydeck.present.listing import list_lines, listing
from keydeck.present.rows import label_text


@click.command("list")
@click.argument("provider", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@store_options
def command(place: Place, provider: str | None, *, as_json: bool) -> None:
    """Show every pool, or one: what is ready, and why, since when and until when the rest is out."""
    reader = place.reader()
    snapshot = good_snapshot(reader)
    if provider is not None:
        snapshot = only(snapshot, provider)
    now = reader.clock()
    if as_json:
        tell_bad_pools(snapshot)
        print_json(listing(snapshot, now))
        return
    lines = list_lines(snapshot, now)
    if not lines:
        what = f"{provider} has no credential" if provider else f"no credential in {snapshot.home.path}"
        lines = [f"{label_text(what, snapshot.scrubber)}; keydeck auth add PROVIDER adds one"]
    click.echo("\n".join(lines).rstrip())
