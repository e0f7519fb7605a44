"""``keydeck auth explain``."""

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
from keydeck.present.explain import explain_lines, told
from keydeck.present.explain_form import explanation_form
from keydeck.present.glyphs import ASCII
from keydeck.present.rows import Context, label_text


@click.command("explain")
@click.argument("provider")
@click.option("--session", metavar="NAME", help="For a request of this session (sticky).")
@click.option("--model", metavar="MODEL", help="For a request with this model.")
@click.option("--lease", is_flag=True, help="For work that holds its key: the one with the fewest in flight.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@store_options
def command(
    place: Place, provider: str, session: str | None, model: str | None, *, lease: bool, as_json: bool
) -> None:
    """Tell which key of PROVIDER the next request gets, why each key is taken or not, and what would change it.

    That is what a program gets that starts now; one that runs goes on in its own round. Looking counts nothing.
    """
    reader = place.reader()
    snapshot = good_snapshot(reader)
    pool = pool_of(snapshot, provider)
    tell_bad_pools(only(snapshot, provider))
    context = Context(ASCII, snapshot.scrubber)
    now = reader.clock()
    said = told(
        pool,
        pool.at(now),
        now,
        context,
        session=session,
        model=model,
        lease=lease,
        at_most=snapshot.leases_at_most,
    )
    if as_json:
        home = {"home": str(reader.home.path), "profile": reader.home.profile}
        labels = {row.id: row.label for row in pool.rows}
        print_json({**home, **explanation_form(said.answer, labels, snapshot.scrubber)})
        return
    if pool.rows:
        click.echo("\n".join(explain_lines(said)))
        return
    name = label_text(provider, snapshot.scrubber)
    click.echo(f"{name} has no credential; keydeck auth add {name} adds one")
