"""Walk a running dashboard: every screen, dialog, size, order and mode, and what each looks like on the way."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from rich.cells import cell_len
from textual import events
from textual.keys import _character_to_key
from textual.screen import ModalScreen, Screen
from textual.worker import WorkerCancelled

from keydeck.dashboard.app import PoolApp
from keydeck.dashboard.dialogs.keymap import KeymapDialog
from keydeck.dashboard.messages import SnapshotArrived
from keydeck.dashboard.screens.deck import DeckScreen
from keydeck.engine.snapshot import HomeSnapshot
from ui import Ui

_ROUNDS: Final = 60
_STEPS: Final = 4
_QUIET_TURNS: Final = 3
_POOLS_SEEN: Final = 8

# What Textual itself writes between texts: colours, cursor places, lines cleared.
_OWN_SEQUENCES: Final = re.compile(r"\x1b\[[0-9;]*[mHJK]|\x1b\[\?25[lh]|\x1b\[\?2026[lh]")


@dataclass(frozen=True, slots=True)
class Sight:
    """One frame."""

    screen: str
    """Which screen or dialog it is."""
    size: tuple[int, int]
    lines: tuple[str, ...]
    """The text of every line, in its full width."""
    stream: str
    """What a terminal would be sent for it."""
    links: tuple[str, ...] = ()
    """Whatever could be clicked or followed in it; Keydeck makes no such thing."""

    @property
    def where(self) -> str:
        """Which screen it is, and how large."""
        return f"{self.screen} {self.size[0]}x{self.size[1]}"

    @property
    def text(self) -> str:
        """The whole frame."""
        return "\n".join(self.lines)


def look(ui: Ui) -> Sight:
    """Return the frame that is on screen now."""
    app = ui.app
    update: Any = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    lines = [[segment for strip in strips for segment in strip] for strips in update.strips]
    styles = {segment.style for line in lines for segment in line if segment.style is not None}
    links = [str(style.link) for style in styles if style.link]
    links += [str(style.meta) for style in styles if style._meta and "@click" in style.meta]
    return Sight(
        type(app.screen).__name__,
        (app.size.width, app.size.height),
        tuple("".join(segment.text for segment in line) for line in lines),
        update.render_segments(app.console),
        tuple(links),
    )


def must_be_harmless(sight: Sight) -> None:
    """Fail if anything in a frame would steer a terminal, leave its line, or do something when clicked."""
    width, height = sight.size
    assert len(sight.lines) == height, f"{len(sight.lines)} lines in {sight.where}"
    for line in sight.lines:
        assert line.isprintable(), f"{line!r} in {sight.where}"
        assert cell_len(line) == width, f"{cell_len(line)} cells: {line!r} in {sight.where}"
    assert not sight.links, f"{sight.links} in {sight.where}"
    rest = _OWN_SEQUENCES.sub("", sight.stream).replace("\n", "")
    assert rest.isprintable(), f"{[char for char in rest if not char.isprintable()]} sent for {sight.where}"


# --- driving -----------------------------------------------------------------------------------------------


async def settled(ui: Ui) -> None:
    """Wait until everything on screen has dealt with what it was sent; an app that crashed raises its error here."""
    app = ui.app
    running = [worker for worker in app.workers if worker.group in ("write", "reload", "past", "io")]
    for worker in running:
        with suppress(WorkerCancelled):  # its dialog was closed
            await worker.wait()
    for _ in range(_ROUNDS):
        await _until_quiet(app)
        # Every widget answers: none is in the middle of something.
        await ui.pilot._wait_for_screen()
        app.screen._on_timer_update()
        if not _messages(app):
            return


async def _until_quiet(app: PoolApp) -> None:
    """Let the widgets work off their messages, and those that come of them."""
    quiet = 0
    while quiet < _QUIET_TURNS:
        await asyncio.sleep(0)
        if app._exception is not None:
            raise app._exception
        quiet = 0 if _messages(app) else quiet + 1


def _messages(app: PoolApp) -> int:
    """Return how many messages wait for somebody on screen."""
    return sum(pump.message_queue_size for pump in (app, *app.screen.walk_children(with_self=True)))


async def until(ui: Ui, true: Callable[[], object]) -> None:
    """Let the app work until something is true."""
    for _ in range(_ROUNDS):
        await settled(ui)
        if true():
            return
    raise AssertionError(f"never came true; the screen:\n{ui.text}")


async def strike(ui: Ui, *keys: str) -> None:
    """Press keys, by name or character, as `Pilot.press` does but without its waits for an idle processor."""
    for key in keys:
        name, character = (_character_to_key(key), key) if len(key) == 1 else (key, None)
        ui.app.post_message(events.Key(name, character))
        await settled(ui)


async def arrive(ui: Ui, snapshot: HomeSnapshot) -> None:
    """Have the dashboard show what was read."""
    ui.app.post_message(SnapshotArrived(snapshot, "live"))
    await settled(ui)
    assert ui.app.view is snapshot


async def do(ui: Ui, action: str) -> None:
    """Run one action of the table on the screen that is shown."""
    assert isinstance(ui.app.screen, DeckScreen), ui.app.screen
    ui.app.screen.action_act(action)
    await settled(ui)


async def leave(ui: Ui) -> None:
    """Close the topmost dialog by escape, once for each of its steps."""
    top = ui.app.screen
    assert isinstance(top, ModalScreen), top
    for _ in range(_STEPS):
        await strike(ui, "escape")
        if ui.app.screen is not top:
            return
    raise AssertionError(f"{top} stays")


async def _back(ui: Ui) -> None:
    """Leave a full screen by escape, which may put away other things first."""
    for _ in range(_STEPS):
        if ui.app.screen is not ui.app._pools:
            await do(ui, "view.back")


async def to_pools(ui: Ui) -> None:
    """Go back to the pools, with everything on them shown."""
    ui.app.clear_notifications()
    while isinstance(ui.app.screen, ModalScreen):
        await leave(ui)
    await do(ui, "go.pools")
    await until(ui, lambda: isinstance(ui.app.screen, DeckScreen))
    while len(ui.app.screen_stack) > 1:
        ui.app.pop_screen()
        await settled(ui)
    await until(ui, lambda: ui.app.screen is ui.app._pools)


# --- visits ------------------------------------------------------------------------------------------------

Visit = Callable[[Ui], AsyncIterator[Sight]]
"""Starts and ends on the pools, and shows frames on the way; none of a dialog that cannot be opened here."""


def _dialog(action: str, *moves: str) -> Visit:
    """Return a visit of the dialog that an action opens, with these keys pressed in it."""

    async def visit(ui: Ui) -> AsyncIterator[Sight]:
        await do(ui, action)
        yield look(ui)
        if not isinstance(ui.app.screen, ModalScreen):
            return
        for move in moves:
            await strike(ui, move)
            yield look(ui)
        await leave(ui)

    return visit


def _toggled(*actions: str) -> Visit:
    """Return a visit of what these actions make of the pools; the last of them brings the first look back."""

    async def visit(ui: Ui) -> AsyncIterator[Sight]:
        for action in actions:
            await do(ui, action)
            yield look(ui)

    return visit


async def _detail(ui: Ui) -> AsyncIterator[Sight]:
    await do(ui, "view.open")
    yield look(ui)
    if ui.app.screen is not ui.app._pools:
        await do(ui, "move.last")
        yield look(ui)
        await _back(ui)


async def _settings(ui: Ui) -> AsyncIterator[Sight]:
    await do(ui, "go.settings")
    await until(ui, lambda: type(ui.app.screen).__name__ == "SettingsScreen")
    yield look(ui)
    await to_pools(ui)


async def _cooldowns(ui: Ui) -> AsyncIterator[Sight]:
    """Look at how long failures bench, of pool after pool, and into the dialog that changes a wait."""
    await do(ui, "go.cooldowns")
    await until(ui, lambda: type(ui.app.screen).__name__ == "PolicyScreen")
    for _ in range(_POOLS_SEEN):
        yield look(ui)
        await do(ui, "policy.next")
    await do(ui, "policy.change")
    yield look(ui)
    if isinstance(ui.app.screen, ModalScreen):
        for keys in ("5m", ("tab",), "2"):
            await strike(ui, *keys)
            yield look(ui)
        await leave(ui)
    await to_pools(ui)


async def _events(ui: Ui) -> AsyncIterator[Sight]:
    await do(ui, "go.events")
    assert type(ui.app.screen).__name__ == "EventsScreen"
    yield look(ui)
    for move in (*["move.down"] * 6, "move.last", "share.id", "view.mask", "view.mask"):
        await do(ui, move)
        yield look(ui)
    await to_pools(ui)


async def _keymap(ui: Ui) -> AsyncIterator[Sight]:
    ui.app.push_screen(KeymapDialog(ui.app))
    await settled(ui)
    yield look(ui)
    await strike(ui, "enter")
    await until(ui, lambda: type(ui.app.screen).__name__ == "KeyDialog")
    yield look(ui)
    await leave(ui)
    await leave(ui)


def _filter(*typed: str) -> Visit:
    async def visit(ui: Ui) -> AsyncIterator[Sight]:
        await do(ui, "view.filter")
        for keys in typed:
            await strike(ui, *keys)
            yield look(ui)
        await strike(ui, "enter")
        await until(ui, lambda: not ui.app._pools._filter.display)
        yield look(ui)
        await do(ui, "view.back")
        ui.app._pools._filter.clear()
        await settled(ui)

    return visit


async def _added(ui: Ui) -> AsyncIterator[Sight]:
    """Go through the steps of adding a key to the pool under the cursor, and leave before the last."""
    await do(ui, "key.add")
    yield look(ui)
    for keys in (("enter",), "sk-typed-0123456789", ("enter",)):
        await strike(ui, *keys)
        yield look(ui)
    await leave(ui)


async def _marked(ui: Ui) -> AsyncIterator[Sight]:
    for _ in range(3):
        await do(ui, "key.mark")
    yield look(ui)
    async for sight in _dialog("key.remove")(ui):
        yield sight
    ui.app._pools._marks = frozenset()
    ui.app.repaint()


async def _told(ui: Ui) -> AsyncIterator[Sight]:
    shared = ("share.id", "share.note", "share.diagnostics", "share.shot", "share.json", "share.note_file")
    for action in ("app.undo", *shared):
        await do(ui, action)
        yield look(ui)
    await _without_toasts(ui)


async def _held(ui: Ui) -> AsyncIterator[Sight]:
    await do(ui, "view.freeze")
    yield look(ui)
    await later(ui, 3700)
    yield look(ui)
    await later(ui, -3700)
    await do(ui, "view.freeze")


async def _acts(ui: Ui) -> AsyncIterator[Sight]:
    """Do what can be done to the key and its pool, and take it back; each is done or refused in a toast."""
    for action in ("key.down", "key.first", "key.reset", "app.undo", "key.remove"):
        await do(ui, action)
        yield look(ui)
    if isinstance(ui.app.screen, ModalScreen):
        top = ui.app.screen
        await strike(ui, "y")
        await until(ui, lambda: ui.app.screen is not top)
        yield look(ui)
        await do(ui, "app.undo")
    await do(ui, "pool.strategy")
    if isinstance(ui.app.screen, ModalScreen):
        top = ui.app.screen
        await strike(ui, "down", "enter")
        await settled(ui)
        if ui.app.screen is top:  # it says why nothing can be set
            await leave(ui)
    yield look(ui)
    await _without_toasts(ui)


async def later(ui: Ui, seconds: float) -> None:
    """Move the clock, and have the app notice."""
    ui.clock.forward(seconds)
    ui.app.tick()
    await settled(ui)


async def _without_toasts(ui: Ui) -> None:
    ui.app.toasts.dismiss()
    ui.app.clear_notifications()
    await settled(ui)


QUICK: Final[dict[str, Visit]] = {
    "detail": _detail,
    "strategy": _dialog("pool.strategy"),
    "edit": _dialog("key.edit"),
    "add": _dialog("key.add"),
    "pause": _dialog("key.pause"),
    "remove": _dialog("key.remove"),
    "reset pool": _dialog("pool.reset"),
    "palette": _dialog("app.palette"),
    "help": _dialog("app.help"),
    "theme": _dialog("app.theme"),
    "keymap": _keymap,
    "settings": _settings,
    "cooldowns": _cooldowns,
    "events": _events,
    "filter": _filter("a"),
    "folded": _toggled("view.fold_all", "view.fold_all"),
    "zoom": _toggled("view.zoom", "view.zoom"),
    "wide": _toggled("view.wide", "view.wide"),
    "sorted": _toggled("view.sort", "view.sort", "view.reverse", "view.sort", "view.sort", "view.sort"),
    "problems": _toggled("view.problems", "view.problems"),
    "masked": _toggled("view.mask", "view.mask"),
    "last": _toggled("move.last", "pane.next", "pane.right", "move.first"),
    "held": _held,
    "acts": _acts,
}
"""Every place there is but for the pools themselves, looked at in passing."""

THOROUGH: Final[dict[str, Visit]] = {
    **QUICK,
    "strategy": _dialog("pool.strategy", "down"),
    "edit": _dialog("key.edit", "tab", "tab"),
    "add": _added,
    "remove marked": _marked,
    "palette": _dialog("app.palette", "k", "e", "y", "end", "pagedown", "pagedown"),
    "help": _dialog("app.help", "pagedown", "pagedown", "pagedown"),
    "theme": _dialog("app.theme", "down"),
    "filter": _filter("a -", "state:", "c"),
    "folded": _toggled(
        "view.fold_all", "view.open", "view.fold", "view.fold", "view.fold_all", "view.fold_all"
    ),
    "told": _told,
}
"""The same places with a look into their corners."""


async def walk(ui: Ui, visits: Iterable[str], within: Mapping[str, Visit] = THOROUGH) -> AsyncIterator[Sight]:
    """Yield every frame of these visits, which have to start on the pools."""
    for name in visits:
        async for sight in within[name](ui):
            yield sight
        assert ui.app.screen is ui.app._pools, f"{name} ended on {ui.app.screen}"


def every_screen() -> set[str]:
    """Return the names of all screens and dialogs of the dashboard."""
    found: list[type[Screen[Any]]] = []
    todo: list[type[Screen[Any]]] = [Screen]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        found += [kind] if kind.__module__.startswith("keydeck.") else []
    bases = {base for kind in found for base in kind.__mro__[1:]}
    return {kind.__name__ for kind in found if kind not in bases}
