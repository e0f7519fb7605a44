"""The application: holds the snapshot and the clock, watches the files, and runs acts beside the screen."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual.app import App
from textual.binding import BindingType
from textual.notifications import SeverityLevel
from textual.screen import Screen

from keydeck.dashboard.actions import BY_ID
from keydeck.dashboard.messages import SnapshotArrived
from keydeck.dashboard.screens.pools import PoolsScreen
from keydeck.dashboard.stylesheets import stylesheets
from keydeck.dashboard.themes import POOL_DARK
from keydeck.engine.acts import UNDO_OF_REMOVAL_S, Done, Operator, Undo
from keydeck.engine.clock import Clock, wall_clock
from keydeck.engine.errors import KeydeckError
from keydeck.engine.snapshot import HomeReader, HomeSnapshot
from keydeck.live.watch import Watch
from keydeck.present.glyphs import UNICODE, Glyphs
from keydeck.present.text import clean


class PoolApp(App[None]):
    """Keydeck on screen."""

    TITLE = "keydeck"
    ENABLE_COMMAND_PALETTE = False
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
        glyphs: Glyphs = UNICODE,
        masked: bool = False,
        watch: bool = True,
        place: str | None = None,
    ) -> None:
        super().__init__()
        self.register_theme(POOL_DARK)
        self.theme = POOL_DARK.name
        self.clock = clock
        self.read_only = read_only
        self.glyphs = glyphs
        self.masked = masked
        self.watching = "live"
        self._undos: list[tuple[Undo, float | None]] = []
        self._reader = reader
        self._watch = Watch(reader) if watch else None
        self.snapshot: HomeSnapshot = reader.read()
        self.command_flags = ""
        """What a suggested command needs to mean this store."""
        self.place = place or _place(reader)
        self._pools = PoolsScreen(self)

    @property
    def needs_cursor_mark(self) -> bool:
        """Whether the cursor's row must be told by a sign: no colours, or signs wanted instead of them."""
        return self.no_color or self.glyphs.cursor.isascii()

    # --- life ------------------------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[None]:
        """Start on the pools."""
        return self._pools

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Lend our own colour names to themes that lack them."""
        return dict(POOL_DARK.variables)

    def on_mount(self) -> None:
        """Start the clock on a whole second, and watch the files."""
        # What start-up made lives as long as the program: no need to walk it at every reload.
        self.call_after_refresh(gc.freeze)
        for sign in (signal.SIGTERM, signal.SIGHUP):
            # Leave as `q` does, so that the terminal and a demo's folder are left in order.
            asyncio.get_running_loop().add_signal_handler(sign, self.exit, None, 128 + sign)
        self.set_timer(1 - self.clock() % 1, self._start_ticking)
        if self._watch is not None:
            self.run_worker(self._follow(self._watch), group="watch", exclusive=True, exit_on_error=True)

    def _start_ticking(self) -> None:
        self.tick()
        self.set_interval(1.0, self.tick)

    def tick(self) -> None:
        """Move the clocks on screen."""
        self._forget_old_undos()
        self._pools.tick(self.clock())

    async def on_unmount(self) -> None:
        """Let the watcher go at once."""
        if self._watch is not None:
            self._watch.stop()

    # --- data ------------------------------------------------------------------------------------------

    async def _follow(self, watch: Watch) -> None:
        async for snapshot in watch.snapshots():
            self.post_message(SnapshotArrived(snapshot, watch.how))

    def on_snapshot_arrived(self, message: SnapshotArrived) -> None:
        """Show what was read."""
        self.snapshot = message.snapshot
        self.watching = message.watching
        self._pools.show(message.snapshot)

    def reload(self) -> None:
        """Read again now, whatever the watcher thinks."""
        self.run_worker(self._reload(), group="reload", exclusive=True)

    async def _reload(self) -> None:
        snapshot = await asyncio.to_thread(self._reader.read)
        self.post_message(SnapshotArrived(snapshot, self.watching))

    # --- acts ------------------------------------------------------------------------------------------

    def run_on(self, screen: Screen[None], action_id: str) -> None:
        """Run an action that was clicked, under the same rules as its key."""
        if BY_ID[action_id].dangerous and self.read_only:
            return
        if screen is self.screen:
            self._pools.action_act(action_id)

    def strategy_obstacle(self) -> str | None:
        """Say why no strategy can be written now, or None."""
        if self.snapshot.trouble is not None:
            return "auth.json cannot be read: writes are off"
        if self.snapshot.config_trouble is not None:
            return clean(f"config.yaml cannot be changed: {self.snapshot.config_trouble.reason}")
        return Operator(self._reader).strategy_obstacle()

    def action_help_quit(self) -> None:
        """Say on ctrl+c, which other programs quit by, how to quit here."""
        self.tell("q quits", "information")

    def act(self, act: Callable[[Operator], Done]) -> None:
        """Run an act in a thread, beside the screen; success and refusal are told in one line each."""
        operator = Operator(self._reader, on_wait=self._tell_wait)

        def run() -> None:
            try:
                done = act(operator)
            except KeydeckError as error:
                self.call_from_thread(self.tell, str(error), "error")
            else:
                self.call_from_thread(self._took, done)

        self.run_worker(run, thread=True, group="write")

    def _took(self, done: Done) -> None:
        if done.undo is not None:
            ends = self.clock() + UNDO_OF_REMOVAL_S if done.undo.holds_secret else None
            self._undos.append((done.undo, ends))
        self.tell(". ".join((done.text, *done.notes)), "information")

    def undo(self) -> None:
        """Undo the last change of this session."""
        self._forget_old_undos()
        if not self._undos:
            self.tell("nothing to undo", "information")
            return
        last, _ = self._undos.pop()
        self.act(lambda operator: replace(operator.undo(last), undo=None))

    def _forget_old_undos(self) -> None:
        """Drop what holds a secret once its minute is over."""
        now = self.clock()
        self._undos = [(undo, ends) for undo, ends in self._undos if ends is None or now < ends]

    def _tell_wait(self, waited_s: float) -> None:
        self.call_from_thread(self.tell, f"waiting for the lock (held {waited_s:.0f} s)", "warning")

    def tell(self, said: str, severity: SeverityLevel) -> None:
        """Show a toast; an error stays longer."""
        seconds = 3.0 if severity == "information" else 10.0
        self.notify(
            clean(self.snapshot.scrubber.scrub_known(said)), severity=severity, timeout=seconds, markup=False
        )

    # --- the worst -------------------------------------------------------------------------------------

    def _fatal_error(self) -> None:
        """Leave with a traceback that holds no local variables and no known secret (ux T3)."""
        self.bell()
        error = self._exception or sys.exc_info()[1]
        lines = "".join(traceback.format_exception(error)).splitlines() if error else ["keydeck stopped"]
        # `clean` takes escape sequences out of whatever an error quotes; the indent is ours.
        kept = [" " * (len(line) - len(line.lstrip(" "))) + clean(line) for line in lines]
        self._exit_renderables.append(Text(self.snapshot.scrubber.scrub("\n".join(kept))))
        self._close_messages_no_wait()


def _place(reader: HomeReader) -> str:
    """Return the home as people write it, with its profile."""
    home = reader.home
    path, user = str(home.path), str(reader.around.user_home)
    short = "~" + path.removeprefix(user) if path == user or path.startswith(user + "/") else path
    return short if home.profile == "default" else f"{short} ({home.profile})"
