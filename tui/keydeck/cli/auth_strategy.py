"""``keydeck auth strategy``."""

from __future__ import annotations

import click

from keydeck.cli.common import Place, operator, store_options, tell
from keydeck.engine.config import KNOWN_STRATEGIES
from keydeck.engine.providers import canonical
from keydeck.present.rows import label_text


@click.command("strategy")
@click.argument("provider")
@click.argument("name", required=False)
@store_options
def command(place: Place, provider: str, name: str | None) -> None:
    """Show how PROVIDER picks its next key, or set it to NAME."""
    reader = place.reader()
    if name is not None:
        tell(reader, operator(place, reader).set_strategy(provider, name))
        return
    snapshot = reader.read()
    if snapshot.config_trouble is not None:
        raise snapshot.config_trouble
    pool = snapshot.pool(canonical(provider)) or snapshot.pool(f"custom:{canonical(provider)}")
    written = pool.strategy if pool else reader.config().strategy_of(canonical(provider))
    if written not in KNOWN_STRATEGIES and snapshot.trouble is not None:
        raise snapshot.trouble  # whether that quotes a key cannot be told while nobody knows the keys
    click.echo(label_text(written, snapshot.scrubber))
    if written == "sticky":
        click.echo("  hermes reads it as fill_first")
    if written not in KNOWN_STRATEGIES:
        click.echo(f"  unknown, read as fill_first; there are {', '.join(KNOWN_STRATEGIES)}")
