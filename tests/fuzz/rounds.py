"""What one process does of a fuzz test: a chunk of random stores, or one home full of planted secrets."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import logging
import os
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, TypeVar
from unittest.mock import patch

from click.testing import Result

from cli.program import Run
from fuzz.garden import Bed, Garden, Search, changed_stores, garden_bed
from fuzz.strategies import RandomStore, drawn, is_whole
from fuzz.walk import QUICK, THOROUGH, Sight, arrive, do, look, must_be_harmless, settled, walk
from keydeck.dashboard.acting import Act
from keydeck.dashboard.app import PoolApp
from keydeck.engine.acts import Done, Operator
from keydeck.engine.credential import Credential
from keydeck.engine.secret import Secret
from ui import SIZES, Ui, running

R = TypeVar("R")

PROCESSES: Final = 2
A_CHUNK: Final = 50
VISITS_A_STORE: Final = 2


class Crew:
    """Processes that work while the tests wait for them."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool
        self._asked: dict[object, Future[Any]] = {}

    def ask(self, name: object, work: Callable[..., R], *args: Any) -> None:
        """Have something done; its result is had under this name."""
        self._asked[name] = self._pool.submit(work, *args)

    def result(self, name: object) -> Any:
        """Wait for what was asked under this name; raise what went wrong with it."""
        return self._asked[name].result()

    def __contains__(self, name: object) -> bool:
        return name in self._asked


@contextmanager
def crew(folder: Path) -> Iterator[Crew]:
    """Start the processes; what nobody waited for is left undone in the end."""
    with ProcessPoolExecutor(PROCESSES, get_context("spawn"), _away_from_everybody, (str(folder),)) as pool:
        yield Crew(pool)
        pool.shutdown(cancel_futures=True)


def _away_from_everybody(folder: str) -> None:
    """Keep the process away from the user's own home, keys and time zone, as conftest.py keeps the tests."""
    for name in [name for name in os.environ if name.endswith(("_API_KEY", "_TOKEN"))]:
        del os.environ[name]
    user = Path(folder) / f"user-{os.getpid()}"
    os.environ.update(HOME=str(user), XDG_STATE_HOME=str(user / "state"), TZ="UTC")
    time.tzset()


def _run(work: Coroutine[Any, Any, R]) -> R:
    """Run it with every warning an error, and without the collector, which would take half of the time."""
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return asyncio.run(work)
    finally:
        gc.enable()
        gc.collect()


# --- random stores -----------------------------------------------------------------------------------------

# Of fifty stores: together with the other chunks every screen and dialog is drawn with a hundred or more.
_DUE: Final = {
    **dict.fromkeys(("detail", "strategy", "edit", "add", "remove"), 5),
    **dict.fromkeys(("palette", "help", "theme", "keymap", "settings"), 5),
    **dict.fromkeys(
        (
            "reset pool",
            "filter",
            "folded",
            "zoom",
            "wide",
            "sorted",
            "problems",
            "masked",
            "last",
            "held",
            "acts",
        ),
        1,
    ),
}
_NEED_A_KEY: Final = frozenset({"detail", "edit", "remove", "strategy", "reset pool", "acts"})
_SIZES: Final = (SIZES[0], SIZES[1], SIZES[2], SIZES[0], SIZES[1], SIZES[3])


def show_stores(seed: int, chunk: int, folder: str) -> Counter[str]:
    """Show `A_CHUNK` random stores; return how many of them each screen and dialog was drawn with."""
    stores = drawn(A_CHUNK, seed * 1000 + chunk)
    return _run(_show_stores(stores, Path(folder) / f"chunk-{chunk}" / "home", chunk))


async def _show_stores(stores: list[RandomStore], home: Path, chunk: int) -> Counter[str]:
    seen: Counter[str] = Counter()
    due = Counter(_DUE)
    async with running(home, _SIZES[chunk % len(_SIZES)]) as ui:
        # In two parts, since the whole screen changes its style between a good file and a bad one.
        for number, store in enumerate(sorted(stores, key=is_whole)):
            if number % 10 == 9:
                await ui.pilot.resize_terminal(*_SIZES[(chunk + number // 10) % len(_SIZES)])
            try:
                seen.update(await _show(ui, home, store, due))
            except BaseException as error:
                raise AssertionError(f"chunk {chunk}: {store}") from error
    assert not +due, f"never seen: {+due}"
    return seen


async def _show(ui: Ui, home: Path, store: RandomStore, due: Counter[str]) -> set[str]:
    """Show a store on the pools screen and on some of those where more are due; return the screens it was on."""
    store.write(home)
    await arrive(ui, ui.app._reader.read())
    seen = [look(ui)]
    for _ in range(VISITS_A_STORE):
        open_to = {name: left for name, left in due.items() if _has_key(ui) or name not in _NEED_A_KEY}
        visit = max(open_to, key=lambda name: open_to[name])
        if due[visit] > 0:
            due[visit] -= 1
            seen += [sight async for sight in walk(ui, [visit], QUICK)]
    for sight in seen:
        must_be_harmless(sight)
    assert (ui.app.title, ui.app.sub_title) == ("keydeck", "")
    return {sight.screen for sight in seen}


def _has_key(ui: Ui) -> bool:
    """Tell whether the cursor is on a key that can be acted on."""
    pool, place = ui.app._pools.pool_here(), ui.app._pools.selected_place()
    rows = [row for row in pool.rows if place and row.id == place[1]] if pool else []
    return any(isinstance(row, Credential) and not row.inherited for row in rows)


# --- planted secrets ---------------------------------------------------------------------------------------


def search_bed(seed: int, number: int, rows: int, folder: str) -> tuple[int, Search]:
    """Walk a home full of secrets; return how many there were, and what came up where."""
    garden = Garden(seed * 1000 + number)
    bed, search = garden_bed(garden, number, rows), Search(garden)
    home = Path(folder) / f"bed-{number}" / "home"
    bed.store().write(home)
    with _logs_to(search):
        _run(_search_bed(bed, search, home))
    for path in sorted((home.parent / "state").rglob("*")):
        if path.is_file():
            (search.picture if path.suffix == ".svg" else partial(search.text, path.suffix))(path.read_text())
    search_commands(home, search, bed)
    return len(garden.planted), search


@contextmanager
def _logs_to(search: Search) -> Iterator[None]:
    """Search all that is logged, by the standard library or by Textual."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            search.text("log", self.format(record))

    def log(
        _app: object, _group: object, _verbosity: object, _caller: object, *objects: Any, **more: Any
    ) -> None:
        search.text("log", " ".join(map(str, objects)) + repr(more))

    root, listener, level = logging.getLogger(), Listener(), logging.getLogger().level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    try:
        with patch.object(PoolApp, "_log", log):
            yield
    finally:
        root.removeHandler(listener)
        root.setLevel(level)


async def _search_bed(bed: Bed, search: Search, home: Path) -> None:
    for turn, size in enumerate(SIZES):
        async with running(home, size) as ui:
            ui.app.tick()
            with _writes_to(ui, search):
                await _search_rows(ui, search, details=turn == bed.number % 4)
                if turn == bed.number % 4:
                    await _search_places(ui, search)
                    await _search_changes(ui, search, bed, home)
            _search_reprs(ui, search)


@contextmanager
def _writes_to(ui: Ui, search: Search) -> Iterator[None]:
    """Search what is sent to the terminal beside the frames: the clipboard, the pointer's shape, and nothing else."""

    def write(data: str) -> None:
        if copied := re.fullmatch(r"\x1b\]52;c;([A-Za-z0-9+/=]*)\a", data):
            search.text("clipboard", base64.b64decode(copied[1]).decode())
        else:
            assert re.fullmatch(r"\x1b\]22;[a-z-]+\a", data), f"{data!r} was sent"

    assert ui.app._driver is not None
    with patch.object(ui.app._driver, "write", write):
        yield


def _see(ui: Ui, search: Search, *sights: Sight) -> None:
    for sight in sights or (look(ui),):
        search.text(sight.where, sight.text)
    search.text("clipboard", ui.app.clipboard)
    search.text("title", f"{ui.app.title} {ui.app.sub_title} {ui.app.screen.title}")
    for toast in ui.app._notifications:
        search.text("toast", f"{toast.title} {toast.message}")


async def _search_rows(ui: Ui, search: Search, *, details: bool) -> None:
    """Look at every row of every pool with the cursor on it; if wanted, at some in detail, and copy their ids."""
    rows = [(pool.provider, row.id) for pool in ui.app.snapshot.pools for row in pool.rows]
    for number, place in enumerate(rows):
        ui.app.show_pool(*place)
        await settled(ui)
        _see(ui, search)
        if details and number % 6 == 0:
            await do(ui, "share.id")
            _see(ui, search, *[sight async for sight in walk(ui, ["detail"])])
            ui.app.clear_notifications()


async def _search_places(ui: Ui, search: Search) -> None:
    async for sight in walk(ui, THOROUGH):
        _see(ui, search, sight)
    # Once more with names shown on purpose, and hidden.
    for _ in range(2):
        await do(ui, "view.mask")
        _see(ui, search, *[sight async for sight in walk(ui, ["told", "last", "wide"])])


async def _search_changes(ui: Ui, search: Search, bed: Bed, home: Path) -> None:
    """Look at what is told of changes: of names, states, pools and strategies, of broken files, and after an act."""
    for store in changed_stores(bed):
        store.write(home)
        await arrive(ui, ui.app._reader.read())
        for size in SIZES[2:]:
            await ui.pilot.resize_terminal(*size)
            _see(ui, search, *[sight async for sight in walk(ui, ["detail", "last"])])
        _see(ui, search, *[sight async for sight in walk(ui, ["told"])])
    bed.store().write(home)
    await arrive(ui, ui.app._reader.read())
    for provider in list(bed.pools)[bed.number % 4 : 4]:
        ui.app.show_pool(provider, None)
        _see(ui, search, *[sight async for sight in walk(ui, ["acts"])])
        for sight in await _refused(ui):
            _see(ui, search, sight)
    bed.store().write(home)


async def _refused(ui: Ui) -> list[Sight]:
    """Ask for what is refused by an error that names the key, and return how that is told."""
    pool, row = ui.app._pools.pool_here(), ui.app._pools.selected_row()
    if pool is None or row is None:
        return []
    here, seen = (pool.provider, row.id), []
    acts: list[Act] = [
        lambda operator: operator.edit(*here, base_url="no address"),
        lambda operator: operator.edit(*here, label=" "),
        lambda operator: operator.remove(here[0], f"{here[1]}x"),
        lambda operator: operator.reset(pool.rows[-1].provider, pool.rows[-1].id),
        *[
            partial(_rename, here=here, label=other.label)
            for other in pool.rows
            if isinstance(other, Credential) and other.id != row.id
        ][:3],
        *[
            partial(_add_again, provider=here[0], secret=other.access_token)
            for other in pool.rows
            if isinstance(other, Credential) and other.access_token
        ][:3],
    ]
    for act in acts:
        ui.app.act(act)
        await settled(ui)
        seen.append(look(ui))
        ui.app.toasts.dismiss()
    return seen


def _rename(operator: Operator, here: tuple[str, str], label: str) -> Done:
    return operator.edit(*here, label=label)


def _add_again(operator: Operator, provider: str, secret: Secret) -> Done:
    return operator.add_key(provider, secret)


def _search_reprs(ui: Ui, search: Search) -> None:
    app = ui.app
    things = [app, app.screen, app.acting, app._reader, app._reader.store, app.view.scrubber, app.settings]
    things += [app._pools, *app._pools.walk_children(), *app.activity.newest(2000), *app.acting._undos]
    for thing in things:
        search.text("repr", repr(thing))


# --- commands ----------------------------------------------------------------------------------------------


def search_commands(home: Path, search: Search, bed: Bed) -> None:
    """Run every command that looks, and acts that are refused, and search all they print."""
    run = Run(home)
    listed = json.loads(run("auth", "list", "--json").stdout)
    for args in (["list"], ["list", "--json"], ["status"], ["status", "--json"]):
        _search_output(run("auth", *args), search, " ".join(args))
    for args in (["doctor"], ["doctor", "--json"]):
        _search_output(run(*args), search, " ".join(args))
    for pool in listed["pools"]:
        rows = bed.pools.get(pool["provider"], [])
        if not isinstance(rows, list) or len(rows) < 2:
            continue
        for args in (["list"], ["status"], ["strategy"]):
            _search_output(run("auth", *args, pool["provider"]), search, args[0])
        for place, row in enumerate(rows[:5], 1):
            # What is refused names the key that was meant, or the one that is in the way.
            for args in (
                ["remove", pool["provider"], str(place + 100), "--yes"],
                ["edit", pool["provider"], str(place), "--base-url", "nowhere"],
                ["edit", pool["provider"], str(place), "--base-url", "https://there.example"],
                ["move", pool["provider"], str(place), "first"],
                ["add", pool["provider"], "--api-key-stdin"],
            ):
                _search_output(run("auth", *args, stdin=str(row.get("access_token"))), search, args[0])
    for args in (["events"], ["events", "--json"], ["events", "--requests", "--since", "2000-01-01"]):
        _search_output(run("auth", *args), search, " ".join(args))


def _search_output(result: Result, search: Search, name: str) -> None:
    search.text(f"auth {name}", result.stdout)
    search.text(f"auth {name}, errors", result.stderr)
