"""``keydeck auth cooldown``."""

from __future__ import annotations

import click

from keydeck.cli.common import (
    Place,
    find_row,
    operator,
    pool_of,
    print_json,
    store_options,
    tell,
)
from keydeck.engine.cooldown_edit import Entry, change_of, entry_of
from keydeck.engine.cooldown_policy import Change
from keydeck.engine.snapshot import HomeReader, HomeSnapshot
from keydeck.live.policy_today import Today
from keydeck.present.glyphs import UNICODE
from keydeck.present.policy import (
    override_lines,
    policy_json,
    policy_rows,
    preview_json,
    preview_lines,
    rule_text,
    source_text,
)
from keydeck.present.rows import Context

_EVERYWHERE = "all"
_DEFAULT = "default"


@click.command("cooldown")
@click.argument("provider", default=_EVERYWHERE)
@click.argument("failure", metavar="[STATUS|KIND]", required=False)
@click.argument("wait", required=False)
@click.option("--grows", metavar="TIMES", help="So many times longer with each failure in a row, 1 to 100.")
@click.option("--cap", metavar="WAIT", help="Never longer than this.")
@click.option("--sole-cap", metavar="WAIT", help="The cap for the only usable key of a pool.")
@click.option("--terminal-after", metavar="N", help="After so many in a row it needs a login; 0 never.")
@click.option(
    "--key", "target", metavar="TARGET", help="For one key of PROVIDER only: its id, label or place."
)
@click.option("--preview", is_flag=True, help="Change nothing; say what it would have done today.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the table, or the preview.")
@store_options
def command(
    place: Place,
    provider: str,
    failure: str | None,
    wait: str | None,
    *,
    target: str | None,
    preview: bool,
    as_json: bool,
    **options: str | None,
) -> None:
    """Show how long failures bench, for PROVIDER or all, or set the WAIT after a status or kind.

    WAIT is like 90s, 5m, 1h or 2d, 0 for no bench, or `default`: as without an entry. What is not named stays as
    it is. It is written into config.yaml, under credential_pool.cooldown, and obeyed at once by all that run.
    """
    reader = place.reader()
    snapshot = _good(reader)
    named = {name: text for name, text in (("wait", wait), *options.items()) if text is not None}
    whose = _entry(reader, snapshot, provider, target, failure)
    if failure is None:
        _list(reader, snapshot, whose, as_json=as_json)
        return
    if not named:
        raise click.UsageError("say how long: 5m, 1h, 0 for no bench, or default; or --cap, --grows …")
    change = _wanted(snapshot, whose, named)
    if preview:
        _preview(reader, snapshot, whose, change, as_json=as_json)
        return
    act = operator(place, reader)
    tell(reader, act.clear_cooldown(whose) if change is None else act.set_cooldown(whose, change))


def _good(reader: HomeReader) -> HomeSnapshot:
    """Return the home as it is now, or raise what is wrong with its files."""
    snapshot = reader.read()
    if trouble := snapshot.trouble or snapshot.config_trouble:
        raise trouble  # the defaults would not be the policy in effect
    return snapshot


def _entry(
    reader: HomeReader, snapshot: HomeSnapshot, provider: str, target: str | None, failure: str | None
) -> Entry:
    """Return the entry that is meant; without a failure one that only says whose."""
    name, row_id = "", ""
    if provider.strip().lower() != _EVERYWHERE:
        name = pool_of(snapshot, provider).provider
        row_id = find_row(reader, provider, target).id if target else ""
    elif target:
        raise click.UsageError("--key needs the provider of the key")
    return Entry("", name, row_id) if failure is None else entry_of(failure, provider=name, row_id=row_id)


def _wanted(snapshot: HomeSnapshot, entry: Entry, named: dict[str, str]) -> Change | None:
    if named.get("wait", "").strip().lower() == _DEFAULT:
        if len(named) > 1:
            raise click.UsageError("default takes the whole entry out: name nothing besides")
        return None
    return change_of(named, entry.change(snapshot.policy))


def _list(reader: HomeReader, snapshot: HomeSnapshot, whose: Entry, *, as_json: bool) -> None:
    if as_json:
        home = {"home": str(reader.home.path), "profile": reader.home.profile}
        print_json({**home, **policy_json(snapshot, whose.provider, whose.row_id)})
        return
    rows = policy_rows(snapshot.policy, whose.provider, whose.row_id)
    cells = [(row.title, rule_text(row.rule), source_text(row)) for row in rows]
    first, second = (max(len(cell[column]) for cell in cells) for column in (0, 1))
    for title, rule, source in cells:
        click.echo(f"{title:<{first}}  {rule:<{second}}  {source}")
    if not whose.row_id:
        context = Context(UNICODE, snapshot.scrubber)
        for line in override_lines(snapshot.policy, snapshot, whose.provider, context):
            click.echo(line)
    for line_number, text in snapshot.policy_problems:
        click.echo(f"keydeck: config.yaml line {line_number}: {text}", err=True)


def _preview(
    reader: HomeReader, snapshot: HomeSnapshot, entry: Entry, change: Change | None, *, as_json: bool
) -> None:
    now = reader.clock()
    found = Today.read(reader, now).preview(snapshot, entry.put(snapshot.policy, change), now)
    if as_json:
        print_json(preview_json(found))
        return
    for line in preview_lines(found, now, Context(UNICODE, snapshot.scrubber)):
        click.echo(line)
