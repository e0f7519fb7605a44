"""What is said when a command ends badly: nothing of it is a secret of the home, or a key that somebody typed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise

import click

from keydeck.cli.common import Place
from keydeck.engine.errors import KeydeckError
from keydeck.engine.redact import Scrubber, keys_among
from keydeck.engine.secret import Secret
from keydeck.present.rows import label_text, said_text


def tell_error(error: KeydeckError, scrubber: Scrubber) -> None:
    """Print an expected failure: one line on standard error."""
    click.echo(f"keydeck: {label_text(str(error), scrubber)}", err=True)


def tell_usage(error: click.ClickException, scrubber: Scrubber) -> None:
    """Print what is wrong with a command line, as click does, which would quote the words as they were typed."""
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        error.show()  # all of it is our own
        return
    told = click.ClickException(said_text(error.format_message(), scrubber))
    if isinstance(error, click.UsageError):
        told = click.UsageError(told.message, error.ctx)
    told.show()


def tell_crash(error: Exception, scrubber: Scrubber) -> None:
    """Report a fault of ours without values and secrets: Python's own report would quote what a store holds."""
    from keydeck.dashboard.crash import crash_report, short_report, write_crash_report
    from keydeck.dashboard.sharing import state_folder
    from keydeck.engine.clock import wall_clock

    now = wall_clock()
    report = crash_report(error, scrubber, now=now)
    click.echo(short_report(report, write_crash_report(state_folder(), report, now)), err=True)


def scrubber_of(place: Place, error: Exception) -> Scrubber:
    """Return what knows the secrets of the home, before and after, and the keys that were typed."""
    words = sys.argv[1:]
    typed = Scrubber([*keys_among(words), *map(Secret, _told_keys(words))])
    try:
        reader = place.readers[-1] if place.readers else _named_in(place, error).reader()
        before = reader.scrubber
        reader.read()
    except Exception:  # noqa: BLE001 - who tells of a failure must not fail
        return typed
    return Scrubber.joining((before, reader.scrubber, typed))


def _told_keys(words: Sequence[str]) -> list[str]:
    """Return what was given as ``--api-key``."""
    behind = [value for flag, value in pairwise(words) if flag == "--api-key"]
    return behind + [word.partition("=")[2] for word in words if word.startswith("--api-key=")]


def _named_in(place: Place, error: Exception) -> Place:
    """Return the home that a command line names which click refused: nobody has looked for it yet."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    while context is not None:
        place = place.within(context.params.get("home"), context.params.get("profile"))
        context = context.parent
    return place
