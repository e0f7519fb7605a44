"""The application: holds the snapshot and the clock, watches the files, and runs acts beside the screen."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from rich.text import Text
from textual import __version__ as textual_version
from textual import events
from textual.app import App
from textual.binding import BindingType
from textual.notifications import SeverityLevel
from textual.screen import Screen

from keydeck.dashboard.acting import Act, Acting, Place
from keydeck.dashboard.crash import crash_report, short_report, write_crash_report
from keydeck.dashboard.keymap import textual_keymap
from keydeck.dashboard.messages import SnapshotArrived
from keydeck.dashboard.screens.deck import DeckScreen
from keydeck.dashboard.screens.detail import DetailScreen
from keydeck.dashboard.screens.events import EventsScreen
from keydeck.dashboard.screens.policy import PolicyScreen
from keydeck.dashboard.screens.pools import PoolsScreen
from keydeck.dashboard.screens.settings import SettingsScreen
from keydeck.dashboard.settings import Settings, SettingsFile
from keydeck.dashboard.sharing import send_to_clipboard, state_folder
from keydeck.dashboard.stylesheets import stylesheets
from keydeck.dashboard.themes import POOL_DARK, THEMES, variable_defaults
from keydeck.dashboard.toasts import Toasts
from keydeck.engine.acts import Operator
from keydeck.engine.clock import Clock, wall_clock
from keydeck.engine.lookout import Lookout
from keydeck.engine.redact import Scrubber
from keydeck.engine.snapshot import HomeReader, HomeSnapshot
from keydeck.live.activity import RING, Activity, Change, known_before
from keydeck.live.chronicle import Chronicle
from keydeck.live.policy_today import Today
from keydeck.live.watch import Watch
from keydeck.present.activity import settled
from keydeck.present.glyphs import ASCII, UNICODE, Glyphs
from keydeck.present.note import Surface, diagnostics
from keydeck.present.rows import Context, label_text, said_text, without_names
from keydeck.present.traffic import Traffic, traffic

DEFAULT_MODE = "pools"
"""Where the app starts."""
OUTSIDE_SHOWS_S = 600.0
"""So long a row that another program changed has a sign."""


class PoolApp(App[None]):
    """Keydeck on screen."""

    TITLE = "keydeck"
    DEFAULT_MODE = DEFAULT_MODE  # Textual's own cannot be switched back to
    ENABLE_COMMAND_PALETTE = False  # ours is a dialog like the others: see dialogs/pick.py
    CSS_PATH: ClassVar = stylesheets()
    BINDINGS: ClassVar[list[BindingType]] = []
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (160, "-wide")]  # noqa: RUF012 - Textual's way
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012 - Textual's way

    def __init__(
        self,
        reader: HomeReader,
        *,
        clock: Clock = wall_clock,
        read_only: bool = False,
        glyphs: Glyphs | None = None,
        masked: bool = False,
        watch: bool = True,
        place: str | None = None,
        settings_file: SettingsFile | None = None,
        state: Path | None = None,
    ) -> None:
        super().__init__()
        for theme in THEMES:
            self.register_theme(theme)
        self.clock = clock
        self.read_only = read_only
        self.settings_file = settings_file or SettingsFile(None)
        self.settings: Settings = self.settings_file.load()
        self.flags: Mapping[str, str] = MappingProxyType(
            {
                name: flag
                for name, flag, given in (
                    ("glyphs", "--ascii", glyphs is not None),
                    ("mask", "--mask", masked),
                )
                if given
            }
        )
        """Settings that the command line decides, with the flag that does."""
        self.glyphs = glyphs or UNICODE
        self.masked = masked or self.settings.mask
        self.names_shown_on_purpose = False
        """Whether the user took the mask off: only then a picture shows names."""
        self.state = state or state_folder()
        self.when_ready: Callable[[], None] | None = None
        """Called once the first picture is on screen."""
        self.watching = "live"
        self.toasts = Toasts(self, clock)
        self.acting = Acting(self, reader)
        self._reader = reader
        self._lookout = Lookout(reader)
        self.snapshot: HomeSnapshot = self._lookout.read()
        """What the files say now."""
        self._watch = Watch(self._lookout, since=self.snapshot) if watch else None
        self.view = self.snapshot
        """What the screens show: the same, but for a frozen view."""
        self.is_frozen = False
        self.happened = 0
        """Another number whenever there is another `activity`, or more of it."""
        self.activity = Activity()
        self.activity.extend(settled(known_before(self.snapshot, clock()), self.snapshot.scrubber))
        """What the rows tell of the past, until the journal is read."""
        self._chronicle = Chronicle(reader)
        self._since_start: list[Change] | None = []
        """What happened while the past was being read."""
        self.traffic: Traffic | None = None
        """The requests of the last hour, once a journal tells of any."""
        self.command_flags = ""
        """What a suggested command needs to mean this store."""
        self.place = place or _place(reader)
        self._pools = PoolsScreen(self)
        self.add_mode(DEFAULT_MODE, self.get_default_screen)
        self._apply(self.settings)

    @property
    def needs_cursor_mark(self) -> bool:
        """Whether the cursor's row must be told by a sign: no colours, or signs wanted instead of them."""
        return self.no_color or self.ascii_only

    @property
    def ascii_only(self) -> bool:
        """Whether only ASCII may be drawn."""
        return self.glyphs.cursor.isascii()

    def row_context(self) -> Context:
        """Return what all rows share when they are written out."""
        return Context(
            self.glyphs,
            self.view.scrubber,
            masked=self.masked,
            token_warning_s=self.settings.token_warning_min * 60.0,
        )

    # --- life ------------------------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[None]:
        """Start on the pools."""
        return self._pools

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Lend our own colour names to themes that lack them."""
        return variable_defaults(self.current_theme)

    def on_mount(self) -> None:
        """Start the clock on a whole second, and watch the files."""
        self.call_after_refresh(_collect_from_now_on)
        for sign in (signal.SIGTERM, signal.SIGHUP):
            # Leave as `q` does, so that the terminal and a demo's folder are left in order.
            asyncio.get_running_loop().add_signal_handler(sign, self.exit, None, 128 + sign)
        self.add_mode("events", lambda: EventsScreen(self))
        self.add_mode("settings", lambda: SettingsScreen(self))
        if self.settings_file.trouble:
            self.tell(self.settings_file.trouble, "error")
        self.set_timer(1 - self.clock() % 1, self._start_ticking)
        self.call_after_refresh(self._start_watching)
        self.call_after_refresh(self._start_reading_the_past)

    def on_ready(self) -> None:
        """Let begin what would have delayed the first picture."""
        if self.when_ready is not None:
            self.when_ready()

    def _start_watching(self) -> None:
        """Follow the files from the moment on in which the watch was made: nothing is lost until this begins."""
        if self._watch is not None:
            self.run_worker(self._follow(self._watch), group="watch", exclusive=True, exit_on_error=True)

    def _start_reading_the_past(self) -> None:
        self.run_worker(self._read_the_past(), group="past", exit_on_error=True)

    async def _read_the_past(self) -> None:
        """Put what the journals tell of the time before now below what happened since."""
        snapshot, now = self.snapshot, self.clock()
        changes = await asyncio.to_thread(self._chronicle.begin, snapshot, now)
        since, self._since_start = self._since_start or [], None
        self.activity = Activity()
        self.activity.extend((*settled(changes, snapshot.scrubber), *since))
        self.happened += 1
        self._note_traffic(now)
        self.repaint()

    def _start_ticking(self) -> None:
        self.tick()
        self.set_interval(1.0, self.tick)

    def tick(self) -> None:
        """Move the clocks on screen."""
        now = self.clock()
        self.acting.forget_old_undos()
        is_news = self._note(self._chronicle.beat(self.snapshot, now), self.snapshot.scrubber)
        self._note_traffic(now)
        for screen in self._deck_screens():
            if is_news:
                screen.repaint()
            else:
                screen.tick(now)

    async def on_unmount(self) -> None:
        """Let the watcher go at once."""
        if self._watch is not None:
            self._watch.stop()
        self._chronicle.close()

    def _deck_screens(self) -> list[DeckScreen]:
        """Return the screens that are drawn now: the topmost full one, below any dialogs."""
        full = [screen for screen in self.screen_stack if isinstance(screen, DeckScreen)]
        return full[-1:]

    # --- settings --------------------------------------------------------------------------------------

    def change(self, settings: Settings) -> None:
        """Live by other settings from now on, and keep them."""
        self._apply(settings)
        if refused := self.settings_file.save(settings):
            self.tell(refused, "error")
        self.repaint()

    def _apply(self, settings: Settings) -> None:
        self.settings = settings
        self.theme = settings.theme if settings.theme in self.available_themes else POOL_DARK.name
        if "glyphs" not in self.flags:
            self.glyphs = ASCII if settings.glyphs == "ascii" else UNICODE
        self.set_class(self.ascii_only, "-ascii")
        self.set_keymap(textual_keymap(settings.keymap))

    def repaint(self) -> None:
        """Draw everything that is on screen anew."""
        for screen in self._deck_screens():
            screen.repaint()

    def show_pool(self, provider: str, row_id: str | None) -> None:
        """Go to a pool or one of its keys, wherever we are."""
        self.switch_mode(DEFAULT_MODE)
        while isinstance(self.screen, DetailScreen | PolicyScreen):
            self.pop_screen()
        self._pools.show_place(provider, row_id)

    def show_key(self, provider: str, row_id: str | None) -> bool:
        """Go to a key in full, or to a pool where no key is named; False if it is gone."""
        pool = self.view.pool(provider)
        if pool is None or (row_id is not None and all(row.id != row_id for row in pool.rows)):
            return False
        self.show_pool(provider, row_id)
        if row_id is not None:
            self.push_screen(DetailScreen(self, provider, row_id))
        return True

    def show_policy(self, provider: str) -> None:
        """Go to how long failures bench, for a provider or for all."""
        self.push_screen(PolicyScreen(self, provider))

    # --- pictures --------------------------------------------------------------------------------------

    def picture(self) -> str:
        """Return the screen as SVG."""
        return self.export_screenshot(title="keydeck")

    def masked_picture(self) -> str:
        """Return the screen as SVG with names hidden, whatever it shows; nothing of that reaches the terminal."""
        before, self.masked = self.masked, True
        self.repaint()
        try:
            return self.picture()
        finally:
            self.masked = before
            self.repaint()

    def diagnostics(self) -> str:
        """Return what a report of a fault needs to say."""
        surface = Surface(
            textual=textual_version,
            terminal=os.environ.get("TERM", ""),
            size=(self.size.width, self.size.height),
            colours=self.console.color_system,
            watching=self.watching,
            read_only=self.read_only,
        )
        return diagnostics(self.snapshot, self.clock(), surface)

    def shown_path(self, path: Path) -> str:
        """Return a path as people write it."""
        return _short(str(path), str(self._reader.around.user_home))

    # --- data ------------------------------------------------------------------------------------------

    async def _follow(self, watch: Watch) -> None:
        async for snapshot in watch.snapshots():
            self.post_message(SnapshotArrived(snapshot, watch.how))

    def on_snapshot_arrived(self, message: SnapshotArrived) -> None:
        """Show what was read, unless the view is held."""
        before, after, now = self.snapshot, message.snapshot, self.clock()
        if before is after and self.watching == message.watching:
            return
        # What the clock did comes first, or a return would be told twice. Both looks' secrets are taken out of both:
        # the journal may tell of a key that only the new look knows.
        self._note(self._chronicle.beat(before, now), before.scrubber, after.scrubber)
        self._note(self._chronicle.look(before, after, now), before.scrubber, after.scrubber)
        self.snapshot = message.snapshot
        self.watching = message.watching
        self.catch_up()

    def catch_up(self) -> None:
        """Show the newest, unless the view is frozen or a dialog is open: rows keep their places then."""
        if not self.is_frozen and isinstance(self.screen, DeckScreen):
            self.view = self.snapshot
        self.repaint()

    def _note(self, changes: tuple[Change, ...], *scrubbers: Scrubber) -> bool:
        """Remember what happened; tell whether anything did."""
        told = settled(changes, *scrubbers)
        self.activity.extend(told)
        self.happened += bool(told)
        if self._since_start is not None:
            self._since_start.extend(told)
        return bool(told)

    def changed_outside(self) -> frozenset[tuple[str, str]]:
        """Return the rows, by provider and id, that another program changed in the last minutes."""
        since = self.clock() - OUTSIDE_SHOWS_S
        recent = takewhile(lambda change: change.at >= since, self.activity.newest(RING))
        return frozenset(
            (change.provider, change.row_id)
            for change in recent
            if change.is_outside and change.row_id is not None
        )

    def _note_traffic(self, now: float) -> None:
        """Count the requests of the last hour anew, if any were ever told; the same object while nothing differs."""
        totals = self._chronicle.totals
        if self._since_start is None and (totals.minutes or totals.hours):
            counted = traffic(self.view, totals, now)
            self.traffic = self.traffic if counted == self.traffic else counted

    def freeze(self) -> None:
        """Hold the view, or let it go."""
        self.is_frozen = not self.is_frozen
        self.catch_up()

    def changes_held(self) -> int:
        """Return how many rows differ between what is shown and what is."""
        if self.view is self.snapshot:
            return 0
        shown = {(pool.provider, row.id): row for pool in self.view.pools for row in pool.rows}
        now = {(pool.provider, row.id): row for pool in self.snapshot.pools for row in pool.rows}
        return sum(shown.get(place) != now.get(place) for place in shown.keys() | now.keys())

    def reload(self) -> None:
        """Read again now, whatever the watcher thinks."""
        self.run_worker(self.read_again(), group="reload", exclusive=True)

    async def read_again(self) -> None:
        """Read in a thread and show what was read."""
        snapshot = await asyncio.to_thread(self._lookout.read)
        self.post_message(SnapshotArrived(snapshot, self.watching))

    # --- acts ------------------------------------------------------------------------------------------

    def strategy_obstacle(self) -> str | None:
        """Say why no strategy can be written now, or None."""
        if self.snapshot.trouble is not None:
            return "auth.json cannot be read: writes are off"
        if self.snapshot.config_trouble is not None:
            reason = said_text(self.snapshot.config_trouble.reason, self.snapshot.scrubber)
            return f"config.yaml cannot be changed: {reason}"
        return Operator(self._reader).strategy_obstacle()

    async def on_event(self, event: events.Event) -> None:
        """Run a letter's action before the next key is looked at: in a burst, ``/dy`` is a filter and no removal."""
        if isinstance(event, events.Key) and not event.is_forwarded and self._are_letters_commands():
            for priority in (True, False):
                if await self._check_bindings(event.key, priority=priority):
                    return
        await super().on_event(event)

    def _are_letters_commands(self) -> bool:
        return isinstance(self.screen, DeckScreen) and self.screen.focused is None

    def action_help_quit(self) -> None:
        """Say on ctrl+c, which other programs quit by, how to quit here."""
        self.tell("q quits", "information")

    def read_today(self) -> Today:
        """Read what happened to the keys today; slow, to be called in a thread."""
        return Today.read(self._reader, self.clock())

    def act(self, act: Act, about: Iterable[Place] = ()) -> None:
        """Run an act beside the screen; success and refusal are told in one line each."""
        self.acting.start(act, about)

    async def attempt(self, act: Act) -> str | None:
        """Run an act for a dialog; return why it was refused, or None when it took."""
        return await self.acting.attempt(act)

    def await_key(self, row_id: str) -> None:
        """Have the cursor go to a key that was added or put back, once it is read."""
        self._pools.await_key(row_id)

    def copy_to_clipboard(self, text: str) -> None:
        """Send text to the terminal's clipboard, through tmux too."""
        send_to_clipboard(self, text)

    def tell(self, said: str, severity: SeverityLevel, *, cause: str | None = None) -> None:
        """Show a toast."""
        self.toasts.tell(self.safe(said), severity, cause=cause)

    def safe(self, text: str) -> str:
        """Return text as it may be shown: clean, without a known secret, and without names while they are hidden."""
        shown = label_text(text, self.snapshot.scrubber)
        return without_names(shown, self.snapshot) if self.masked else shown

    # --- the worst -------------------------------------------------------------------------------------

    def _fatal_error(self) -> None:
        """Leave with a traceback that holds no local variables and no known secret (ux T3)."""
        self.bell()
        error = self._exception or sys.exc_info()[1] or RuntimeError("keydeck stopped")
        now = self.clock()
        report = crash_report(error, self.snapshot.scrubber, now=now)
        kept = write_crash_report(self.state, report, now)
        self._exit_renderables[:] = [Text(short_report(report, kept))]
        self._close_messages_no_wait()


def _collect_from_now_on() -> None:
    """Let garbage be looked for, now that something is on screen (see `open_dashboard`)."""
    # What start-up made lives as long as the program: no need to walk it at every reload.
    gc.freeze()
    gc.enable()


def _place(reader: HomeReader) -> str:
    """Return the home as people write it, with its profile."""
    home = reader.home
    short = _short(str(home.path), str(reader.around.user_home))
    return short if home.profile == "default" else f"{short} ({home.profile})"


def _short(path: str, user: str) -> str:
    return "~" + path.removeprefix(user) if path == user or path.startswith(user + "/") else path
