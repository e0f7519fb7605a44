"""The command line: each command is a few lines over the engine.

Exit codes: 0 done, 1 refused or failed, 2 usage, 3 not in this version.
"""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import click

from keydeck import __version__
from keydeck.cli.auth import auth
from keydeck.cli.common import Place, store_options
from keydeck.cli.doctor import doctor
from keydeck.engine.errors import KeydeckError


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@store_options
@click.option("--read-only", is_flag=True, help="Show everything, change nothing.")
@click.option("--mask", is_flag=True, help="Start with names hidden.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Signs from ASCII only.")
@click.option("--no-mouse", is_flag=True, help="Leave the mouse to the terminal, for its own selection.")
@click.option("--demo", is_flag=True, help="Open on a temporary home with invented keys that are at work.")
@click.version_option(__version__, prog_name="keydeck")
def keydeck(
    place: Place,
    *,
    read_only: bool,
    mask: bool,
    ascii_only: bool,
    no_mouse: bool,
    demo: bool,
) -> None:
    """See and steer pools of LLM credentials. Without a command: the dashboard."""
    context = click.get_current_context()
    if demo and (place.home or place.profile or context.invoked_subcommand):
        raise click.UsageError("--demo opens the dashboard on a home of its own, and nothing else")
    context.obj = replace(place, read_only=read_only)
    if context.invoked_subcommand is not None:
        if mask or ascii_only or no_mouse:
            raise click.UsageError("--mask, --ascii and --no-mouse are for the dashboard")
        return
    from keydeck.cli.dashboard import open_dashboard, open_demo

    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        raise click.UsageError("the dashboard needs a terminal; `keydeck auth list` prints to a pipe")
    if demo:
        code = open_demo(read_only=read_only, mask=mask, ascii_only=ascii_only, mouse=not no_mouse)
    else:
        code = open_dashboard(
            place.reader(),
            read_only=read_only,
            mask=mask,
            ascii_only=ascii_only,
            mouse=not no_mouse,
            flags=place.flags,
        )
    context.exit(code)


keydeck.add_command(auth)
keydeck.add_command(doctor)


def main() -> None:
    """Run the command; an expected failure is one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a sign that the terminal's encoding lacks is no failure
            stream.reconfigure(errors="replace")
    place = Place()
    try:
        sys.exit(keydeck(prog_name="keydeck", obj=place, standalone_mode=False) or 0)
    except click.Abort:
        click.echo("Aborted!", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output has gone; Python would complain once more while closing.
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the last door: nothing may leave with what a store holds
        sys.exit(_end(place, error))


def _end(place: Place, error: Exception) -> int:
    """Say what went wrong, and return the exit code."""
    from keydeck.cli.last_words import scrubber_of, tell_crash, tell_error, tell_usage

    scrubber = scrubber_of(place, error)
    if isinstance(error, click.ClickException):
        tell_usage(error, scrubber)
        return error.exit_code
    if isinstance(error, KeydeckError):
        tell_error(error, scrubber)
    else:
        tell_crash(error, scrubber)
    return 1
