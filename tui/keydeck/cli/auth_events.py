"""``keydeck auth events``: what the journal tells, of the past and as it comes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import click

from keydeck.cli.common import Place, good_snapshot, pool_of, print_json, store_options
from keydeck.cli.moments import Moment, in_the_past
from keydeck.engine.providers import canonical
from keydeck.engine.redact import Scrubber
from keydeck.engine.snapshot import HomeReader, HomeSnapshot
from keydeck.live.activity import Change, ChangeKind
from keydeck.live.shortage import Shortage
from keydeck.live.timeline import Timelines
from keydeck.present.activity import settled
from keydeck.present.events import event_json, event_line, moment_text, name_width
from keydeck.present.glyphs import ASCII
from keydeck.present.rows import Context
from keydeck.present.text import clean

LOOK_EVERY_S: Final = 0.25
"""How often ``--follow`` looks, in seconds; a look costs a few calls of the system."""
_DAY: Final = "24h"
_ALL_BYTES: Final = 1 << 62


@click.command("events")
@click.option(
    "--since",
    callback=in_the_past,
    default=_DAY,
    metavar="TIME",
    help="From when on: 30s, 15m, 2h, 3d ago, 14:05, or an ISO time [24h].",
)
@click.option("--provider", metavar="PROVIDER", help="Of this pool only.")
@click.option("--requests", is_flag=True, help="Requests too, a line for each minute and pool.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --follow an object a line.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until ctrl+c.")
@store_options
def command(
    place: Place,
    since: Moment,
    provider: str | None,
    *,
    requests: bool,
    as_json: bool,
    follow: bool,
) -> None:
    """Print what happened to the keys, oldest first: who was benched and came back, who changed what.

    It comes from the journal beside auth.json, which Keydeck's own programs write; what other programs did is told
    as outside. Looking writes nothing.
    """
    reader = place.reader()
    snapshot = good_snapshot(reader)
    now = reader.clock()
    start = min(since(now), now)
    journals = Timelines(
        reader,
        past_s=now - start,
        most=None,
        most_bytes=_ALL_BYTES,
        rates_s=0.0,
        tells_time=True,
        tells_requests=requests,
    )
    events = _Events(reader, snapshot, journals, provider)
    past = events.news(now) if follow else events.past(now)
    if as_json and not follow:
        home = reader.home
        told = {"home": str(home.path), "profile": home.profile, "since": start}
        print_json({**told, "events": [event_json(change, events.scrubber) for change in past]})
        return
    printer = events.json_printer() if as_json else events.line_printer(past)
    printer(past)
    if not (past or as_json):
        click.echo(events.why_nothing(start, now), err=follow)
    if follow:
        _go_on(events, printer)


Printer = Callable[[Iterable[Change]], None]


def _go_on(events: _Events, tell: Printer) -> None:
    """Print what comes, until the operator has seen enough."""
    try:
        for changes in events.coming():
            tell(changes)
    except KeyboardInterrupt:
        pass


class _Events:
    """What is told of one home, fit to be printed."""

    def __init__(
        self, reader: HomeReader, snapshot: HomeSnapshot, journals: Timelines, provider: str | None
    ) -> None:
        self._reader = reader
        self._snapshot = snapshot
        self._journals = journals
        self._shortage = Shortage()
        # Of this look and the one before: what was told may name a key that is gone by now.
        self._scrubbers: tuple[Scrubber, ...] = (snapshot.scrubber,)
        self._stamps = self._look()
        self._wanted = _names(provider)
        is_known = self._wanted & {pool.provider for pool in snapshot.pools}
        self._unknown = None if is_known else provider

    def past(self, now: float) -> tuple[Change, ...]:
        """Return all that was told, with the requests of the minute that runs.

        Raises:
            Refused: no provider is called as wanted, and nothing was ever told of one.
        """
        told = self._journals.catch_up(self._snapshot, now)
        return self._fit(told + self._journals.rest(self._snapshot, now), now)

    def news(self, now: float) -> tuple[Change, ...]:
        """Return what was told since the last time.

        Raises:
            Refused: no provider is called as wanted, and nothing was ever told of one.
        """
        return self._fit(self._journals.catch_up(self._snapshot, now), now)

    def _fit(self, told: tuple[Change, ...], now: float) -> tuple[Change, ...]:
        """Return what is wanted of it, fit to be printed."""
        told = self._shortage.told(told, self._snapshot, now)
        if self._wanted:
            told = tuple(
                each for each in told if each.provider in self._wanted or each.kind is ChangeKind.GAP
            )
        if self._unknown is not None and not told:
            pool_of(self._snapshot, self._unknown)
        self._unknown = None
        return settled(told, *self._scrubbers)

    def coming(self) -> Iterator[tuple[Change, ...]]:
        """Yield what is told from now on, look by look."""
        while True:
            self._reader.disk.pause(LOOK_EVERY_S)
            if (stamps := self._look()) != self._stamps:
                self._stamps, self._snapshot = stamps, self._reader.read()
                self._scrubbers = (self._scrubbers[-1], self._snapshot.scrubber)
            yield self.news(self._reader.clock())

    @property
    def scrubber(self) -> Scrubber:
        """Knows the secrets of the last look."""
        return self._snapshot.scrubber

    def json_printer(self) -> Printer:
        """Return what prints changes as an object a line."""

        def tell(changes: Iterable[Change]) -> None:
            for change in changes:
                click.echo(json.dumps(event_json(change, self.scrubber)))

        return tell

    def line_printer(self, past: Iterable[Change]) -> Printer:
        """Return what prints changes as lines, names as wide as these need."""
        cells = name_width(past, self._context())

        def tell(changes: Iterable[Change]) -> None:
            for change in changes:
                click.echo(event_line(change, self._reader.clock(), cells, self._context()))

        return tell

    def why_nothing(self, start: float, now: float) -> str:
        """Say why there is nothing to print."""
        if self._journals.has_journal:
            return f"nothing happened since {moment_text(start, now)}; --since goes further back"
        return f"no journal in {clean(str(self._reader.home.path))} yet: it begins with the first request or change"

    def _context(self) -> Context:
        return Context(ASCII, self.scrubber)

    def _look(self) -> tuple[tuple[int, int] | None, ...]:
        """Return the stamps of the files that say what keys are called and which secrets must not be told."""
        return tuple(_stamp(path) for path in self._reader.watched_files())


def _names(provider: str | None) -> frozenset[str]:
    name = canonical(provider) if provider is not None else ""
    return frozenset((name, f"custom:{name}")) if name else frozenset()


def _stamp(path: os.PathLike[str]) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
