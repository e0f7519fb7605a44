"""What the commands share: which store is meant, and how an act is told."""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import click

from keydeck.engine.acting import Done
from keydeck.engine.acts import Operator
from keydeck.engine.credential import Row
from keydeck.engine.errors import Refused
from keydeck.engine.home import Surroundings, locate_home
from keydeck.engine.providers import canonical, is_custom, registry, unknown_provider
from keydeck.engine.snapshot import HomeReader, HomeSnapshot, PoolSnapshot
from keydeck.engine.store import WaitNotice
from keydeck.engine.targets import resolve_target
from keydeck.present.rows import label_text, said_text

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Place:
    """Which store the operator means."""

    home: str | None = None
    profile: str | None = None
    read_only: bool = False
    readers: list[HomeReader] = field(default_factory=list, repr=False, compare=False)
    """Every reader that a command asked for; whoever tells how it ended learns the secrets from them."""

    def within(self, home: str | None, profile: str | None) -> Place:
        """Return the place that these words mean, or where they are silent this one."""
        return replace(self, home=home or self.home, profile=profile or self.profile)

    @property
    def flags(self) -> str:
        """What has to be said in a command to mean the same store."""
        named = (("--home", self.home), ("--profile", self.profile))
        return "".join(f" {flag} {shlex.quote(value)}" for flag, value in named if value)

    def reader(self) -> HomeReader:
        """Return a reader of that home."""
        around = Surroundings.real()
        self.readers.append(HomeReader(locate_home(self.home, self.profile, around), around=around))
        return self.readers[-1]


def store_options(command: F) -> F:
    """Add ``--home`` and ``--profile`` to a command; the inner one of a command line wins."""

    @functools.wraps(command)
    def wrapped(context: click.Context, home: str | None, profile: str | None, **rest: Any) -> Any:
        outer = context.obj if isinstance(context.obj, Place) else Place()
        return command(outer.within(home, profile), **rest)

    options = click.option(
        "--home", metavar="FOLDER", help="The folder with auth.json [KEYDECK_HOME, HERMES_HOME]."
    )
    profile = click.option("--profile", metavar="NAME", help="A profile of that home.")
    decorated: Any = options(profile(click.pass_context(wrapped)))  # type: ignore[arg-type]
    return decorated  # type: ignore[no-any-return]


def good_snapshot(reader: HomeReader) -> HomeSnapshot:
    """Return the home as it is now.

    Raises:
        StoreError: auth.json cannot be read; a list of nothing would be a lie.
    """
    snapshot = reader.read()
    if snapshot.trouble is not None:
        raise snapshot.trouble
    if snapshot.config_trouble is not None:
        click.echo(f"keydeck: {said_text(str(snapshot.config_trouble), snapshot.scrubber)}", err=True)
    return snapshot


def find_row(reader: HomeReader, provider: str, target: str) -> Row:
    """Return the row that an id, label or place names.

    Raises:
        TargetError: none, or more than one.
    """
    return resolve_target(find_pool(reader, provider).rows, target)


def tell_bad_pools(snapshot: HomeSnapshot) -> None:
    """Say on standard error which pools are missing from the answer."""
    from keydeck.present.listing import bad_pool_lines

    for line in bad_pool_lines(snapshot):
        click.echo(f"keydeck: {line}", err=True)


def only(snapshot: HomeSnapshot, provider: str) -> HomeSnapshot:
    """Return the snapshot with one provider's pool, readable or not, and no other."""
    pool, name = pool_of(snapshot, provider), canonical(provider)
    bad = {key: why for key, why in snapshot.bad_pools.items() if canonical(key) in (name, f"custom:{name}")}
    return snapshot._replace(pools=(pool,) if pool.rows else (), bad_pools=bad)


def find_pool(reader: HomeReader, provider: str) -> PoolSnapshot:
    """Return a provider's pool; an empty one if it has no row."""
    return pool_of(good_snapshot(reader), provider)


def pool_of(snapshot: HomeSnapshot, provider: str) -> PoolSnapshot:
    """Return a provider's pool, an endpoint's by its name too; an empty one if it has no row.

    Raises:
        Refused: there is no such provider.
    """
    name = canonical(provider)
    found = snapshot.pool(name) or snapshot.pool(f"custom:{name}")
    known = {*registry(), *map(canonical, snapshot.bad_pools)}
    if found is None and not ({name, f"custom:{name}"} & known or is_custom(name)):
        raise Refused(unknown_provider(provider, [*known, *(pool.provider for pool in snapshot.pools)]))
    return found or PoolSnapshot(name)


def operator(place: Place, reader: HomeReader) -> Operator:
    """Return an operator that tells on standard error when it waits for the lock.

    Raises:
        Refused: the command line says ``--read-only``.
    """
    if place.read_only:
        raise Refused("--read-only: nothing is changed")
    return Operator(reader, on_wait=waiting_notice())


def waiting_notice() -> WaitNotice:
    """Return what says on standard error, once, that an act waits for the lock."""
    told: list[float] = []

    def waiting(waited_s: float) -> None:
        if not told:
            click.echo("keydeck: waiting for the lock, another process holds it …", err=True)
        told.append(waited_s)

    return waiting


def tell(reader: HomeReader, done: Done) -> None:
    """Print what an act did: one line, and notes below it; a secret that stands in a label is not repeated."""
    for indent, line in (("", done.text), *(("  ", note) for note in done.notes)):
        click.echo(indent + label_text(line, reader.scrubber))


def print_json(value: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2))
