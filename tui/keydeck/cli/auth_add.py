"""``keydeck auth add``."""

from __future__ import annotations

import sys

import click

from keydeck.cli.common import Place, operator, store_options, tell
from keydeck.engine.errors import Refused
from keydeck.engine.secret import Secret


@click.command("add")
@click.argument("provider")
@click.option("--label", help="Its name in lists [api-key-N].")
@click.option("--base-url", metavar="URL", help="Where its requests go, if not where the provider's go.")
@click.option("--api-key-stdin", is_flag=True, help="Read the key from standard input.")
@click.option("--api-key", metavar="KEY", help="The key itself. Other users of this machine can see it.")
@store_options
def command(
    place: Place,
    provider: str,
    label: str | None,
    base_url: str | None,
    *,
    api_key_stdin: bool,
    api_key: str | None,
) -> None:
    """Add an API key to PROVIDER. It is asked for without an echo."""
    reader = place.reader()
    act = operator(place, reader)
    secret = _secret(api_key, from_stdin=api_key_stdin)
    tell(reader, act.add_key(provider, secret, label=label, base_url=base_url))


def _secret(given: str | None, *, from_stdin: bool) -> Secret:
    if given is not None and from_stdin:
        raise click.UsageError("--api-key and --api-key-stdin exclude each other")
    if given is not None:
        click.echo("keydeck: --api-key shows the key to other users and to your shell's history", err=True)
        return Secret(given.strip())
    if from_stdin:
        # Bytes that are no text are refused as a key is, not as a traceback.
        return Secret(sys.stdin.buffer.read().decode("utf-8-sig", "replace").strip())
    if not sys.stdin.isatty():
        raise Refused("no terminal to ask for the key; pipe it in with --api-key-stdin")
    return Secret(str(click.prompt("API key", hide_input=True, err=True)).strip())
