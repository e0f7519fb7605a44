"""What one process does of a fuzz test: a chunk of random stores, or one home full of planted secrets."""

from __future__ import annotations

import asyncio
import base64
import gc
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

from click import Context

from cli.program import Run
from fakes import NOW, FakeClock
from fuzz.garden import PLAIN_POOLS, SHAPES, SPELLINGS, Bed, Garden, Search, changed_stores, garden_bed
from fuzz.strategies import RandomStore, drawn, is_whole
from fuzz.walk import QUICK, THOROUGH, Sight, arrive, do, look, must_be_harmless, settled, walk
from keydeck import load_pool
from keydeck.cli.auth import auth
from keydeck.cli.auth_refresh import NOT_YET
from keydeck.dashboard.acting import Act
from keydeck.dashboard.app import PoolApp
from keydeck.engine import redact
from keydeck.engine.credential import Credential
from keydeck.engine.home import Surroundings
from keydeck.engine.providers import registry
from keydeck.engine.secret import Secret
from ui import SIZES, Ui, running

R = TypeVar("R")

PROCESSES: Final = 2
A_CHUNK: Final = 50
VISITS_A_STORE: Final = 2
COMMANDS: Final = tuple(auth.list_commands(Context(auth)))


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
    gc.collect()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return asyncio.run(work)
    finally:
        gc.enable()


# --- random stores -----------------------------------------------------------------------------------------

# Of fifty stores: together with the other chunks every screen and dialog is drawn with a hundred or more.
_DUE: Final = {
    **dict.fromkeys(("detail", "strategy", "edit", "add", "pause", "remove", "cooldowns"), 5),
    **dict.fromkeys(("palette", "help", "theme", "keymap", "settings", "events"), 5),
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
_NEED_A_KEY: Final = frozenset({"detail", "edit", "pause", "remove", "strategy", "reset pool", "acts"})
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


def search_unguarded_bed(seed: int, number: int, rows: int, folder: str) -> tuple[int, Search]:
    """Walk a home full of secrets as `search_bed` does, with a program that takes none out of any text."""
    with patch.object(redact, "_without", lambda text, _ranges: text):
        return search_bed(seed, number, rows, folder)


def search_bed(seed: int, number: int, rows: int, folder: str) -> tuple[int, Search]:
    """Walk a home full of secrets; return how many there were, and what came up where."""
    garden = Garden(seed * 1000 + number)
    bed, search = garden_bed(garden, number, rows), Search(garden)
    home = Path(folder) / f"bed-{number}" / "home"
    bed.store().write(home)
    with _logs_to(search):
        _report_failures(bed, home)
        _run(_search_bed(bed, search, home))
    for path in sorted((home.parent / "state").rglob("*")):
        if path.is_file():
            (search.picture if path.suffix == ".svg" else partial(search.text, path.suffix))(path.read_text())
    search_commands(home, search, bed)
    _search_journal(home / "keydeck", search)
    return len(garden.planted), search


def _search_journal(folder: Path, search: Search) -> None:
    """Search what is written down beside the store.

    Rows and pools go by their ids and names there, whatever these may be; a label is searched for its own row's keys.
    """
    for path in sorted(folder.glob("*.json*")):
        lines = Search(search.garden)
        lines.text("journal", path.read_text(errors="replace"))
        search.looked[f"journal {path.suffix}"] += 1
        for leak in lines.found:
            if not re.match(r"id,|bad row|twin's id|an endpoint's name|.*pool", leak):
                search.found.setdefault(leak, set()).add(f"journal {path.suffix}")


def _report_failures(bed: Bed, home: Path) -> None:
    """Have an agent pick keys and report failures in words that quote the secrets of the home, each spelled in a way."""
    secrets = [str(row[name]) for row in bed.pools["keepers"] for name in ("access_token",)]
    spelled = [spell(secret) for secret, spell in zip(secrets * 9, SPELLINGS.values(), strict=False)]
    shaped = [shape(bed.garden.plain("failure")) for shape in SHAPES.values()]
    told = iter([*spelled, *shaped] * 4)
    for provider in ("keepers", *PLAIN_POOLS[:4]):
        around = Surroundings(env={}, user_home=home.parent)
        with load_pool(provider, home=home, around=around, clock=FakeClock(NOW - 30)) as pool:
            for number in range(12):
                pool.select()
                said = {"message": next(told), "reason": next(told)}
                pool.mark_exhausted_and_rotate(status_code=(429, 401, 402)[number % 3], error_context=said)
            pool.flush()


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
    chosen = bed.number % len(SIZES)
    async with running(home, SIZES[chosen]) as ui:
        ui.app.tick()
        with _writes_to(ui, search):
            await _search_rows(ui, search, turn=chosen, details=True)
            await _search_places(ui, search)
            for turn, size in enumerate(SIZES):
                await ui.pilot.resize_terminal(*size)
                await _search_rows(ui, search, turn=turn, details=False)
            await _search_changes(ui, search, bed, home)
            await ui.pilot.resize_terminal(*SIZES[chosen])
            await _search_acts(ui, search)
        _search_reprs(ui, search)
    bed.store().write(home)


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


async def _search_rows(ui: Ui, search: Search, *, turn: int, details: bool) -> None:
    """Put the cursor on some rows, on others every turn; if wanted, open the dialogs about a few, and copy their ids."""
    rows = [(pool.provider, row.id) for pool in ui.app.snapshot.pools for row in pool.rows]
    for number, place in enumerate(rows):
        has_odd_pool = place[0] not in PLAIN_POOLS and place[0] not in registry()
        is_looked_into = details and (has_odd_pool or number % 25 == 0)
        if number % len(SIZES) != turn and not is_looked_into:
            continue
        ui.app.show_pool(*place)
        await settled(ui)
        _see(ui, search)
        if is_looked_into:
            await do(ui, "share.id")
            visits = ["detail", "strategy", "edit", "pause", "remove", *(["add"] if has_odd_pool else [])]
            _see(ui, search, *[sight async for sight in walk(ui, visits)])
            ui.app.clear_notifications()


async def _search_places(ui: Ui, search: Search) -> None:
    async for sight in walk(ui, [name for name in THOROUGH if name != "acts"]):
        _see(ui, search, sight)
    # Once more with names shown on purpose.
    await do(ui, "view.mask")
    await do(ui, "view.mask")
    _see(ui, search, *[sight async for sight in walk(ui, ["told"])])


async def _search_changes(ui: Ui, search: Search, bed: Bed, home: Path) -> None:
    """Look at what is told of changes: of names, states, pools and strategies, and of files that broke."""
    for store in changed_stores(bed):
        store.write(home)
        await arrive(ui, ui.app._reader.read())
        _see(ui, search, *[sight async for sight in walk(ui, ["detail"])])
    _see(ui, search, *[sight async for sight in walk(ui, ["told"])])


async def _search_acts(ui: Ui, search: Search) -> None:
    """Look at what is told of acts on keys whose secret the store keeps: done, undone and, of more keys, refused."""
    rows = [
        row
        for pool in ui.app.snapshot.pools
        for row in pool.rows
        if isinstance(row, Credential) and row.stored
    ]
    kept = [row for row in rows if row.source == "manual" and row.provider in PLAIN_POOLS[:4]]
    ui.app.show_pool(kept[-1].provider, kept[-1].id)
    _see(ui, search, *[sight async for sight in walk(ui, ["acts"])])
    for row in kept[:: len(kept) // 2]:
        for act in _refused_acts(row, rows):
            ui.app.act(act)
            await settled(ui)
            _see(ui, search)
            ui.app.toasts.dismiss()


def _refused_acts(row: Credential, rows: list[Credential]) -> list[Act]:
    """Return acts that are refused with a text that names a key."""
    other = next(other for other in rows if other.provider == row.provider and other.id != row.id)
    secret = other.access_token or Secret("")
    return [
        lambda operator: operator.edit(row.provider, row.id, label=other.label[:64]),
        lambda operator: operator.edit(row.provider, row.id, base_url=f"https://u:{secret.reveal()}@host"),
        lambda operator: operator.remove(row.provider, f"{row.id} "),
        lambda operator: operator.add_key(row.provider, secret),
        lambda operator: operator.move(row.provider, f"{other.id} ", 0),
    ]


def _search_reprs(ui: Ui, search: Search) -> None:
    app = ui.app
    things = [app, app.screen, app.acting, app._reader, app._reader.store, app.view.scrubber, app.settings]
    things += [app._pools, *app._pools.walk_children(), *app.activity.newest(2000), *app.acting._undos]
    for thing in things:
        search.text("repr", repr(thing))


# --- commands ----------------------------------------------------------------------------------------------


def search_commands(home: Path, search: Search, bed: Bed) -> None:
    """Run every command, also where it refuses or is used wrongly, and search all they print."""
    run = Run(home)
    for args in (["list"], ["status"]):
        _search_output(run, search, *args)
        _search_output(run, search, *args, "--json")
    for provider, rows in bed.pools.items():
        for args in (
            ["list"],
            ["list", "--json"],
            ["status"],
            ["status", "--json"],
            ["strategy"],
            ["explain"],
            ["cooldown"],
            ["cooldown", "429"],
            ["cooldown", "429", "0", "--preview"],
        ):
            _search_output(run, search, args[0], provider, *args[1:])
        for asked in (["--json"], ["--session", "a", "--model", "b", "--lease"]):
            _search_output(run, search, "explain", provider, *asked)
        if isinstance(rows, list):
            for place, row in enumerate(rows[:3], 1):
                _search_acts_of(run, search, provider, str(place), row)
    for args in (["doctor"], ["doctor", "--json"], ["doctor", "--fix"]):
        result = run(*args)
        search.text(" ".join(args[:2]), result.stdout)
        search.text("doctor, errors", result.stderr)
    for args in (
        ["--json"],
        ["--requests"],
        ["--provider", "openrouter"],
        ["--provider", "keepers", "--json"],
    ):
        _search_output(run, search, "events", "--since", "2000-01-01", *args)
    _search_typed(run, search, bed)
    _search_broken(run, search, bed)


def _search_acts_of(run: Run, search: Search, provider: str, target: str, row: dict[str, Any]) -> None:
    """Search what acts on a key tell, done or refused: a refusal names the key meant, or the one in the way."""
    for args in (
        ["reset", target],
        ["pause", target, "--until", "2h"],
        ["resume", target],
        ["refresh", target],
        ["remove", f"{target}00", "--yes"],
        ["edit", target, "--base-url", "nowhere"],
        ["edit", target, "--base-url", "https://there.example"],
        ["rename", target, str(row["label"])[:60]],
        ["move", target, "first"],
        ["strategy", "no-strategy"],
        ["cooldown", "429", "5m", "--key", target],
        ["cooldown"],
        ["add", "--api-key-stdin"],
    ):
        _search_output(run, search, args[0], provider, *args[1:], stdin=str(row.get("access_token")))
    _search_output(run, search, "remove", provider, target, stdin="n\n", terminal=True)


def _search_typed(run: Run, search: Search, bed: Bed) -> None:
    """Search what is said of keys that were typed where they do not belong."""
    typed = [
        str(row["access_token"]) for row in bed.pools["openrouter"][: len(SHAPES)] if "access_token" in row
    ]
    typed += [f"sk-{bed.garden.plain('typed')}", bed.garden.plain("typed, of no known look")]
    for secret in typed:
        for args in (
            ["remove", "openrouter", secret, "--yes"],
            ["status", secret],
            ["explain", secret],
            ["cooldown", secret],
            ["cooldown", "openrouter", secret],
            ["list", "openrouter", secret],
            ["list", f"--{secret}"],
            ["move", "openrouter", "1", secret],
            ["strategy", "openrouter", secret],
            ["add", secret, "--api-key", secret],
            ["add", "openrouter", f"--api-key={secret}", "--label", secret],
            [secret],
        ):
            _search_output(run, search, *args)


def _search_broken(run: Run, search: Search, bed: Bed) -> None:
    """Search what is said of files that cannot be read, and of a fault of ours."""
    for store in changed_stores(bed):
        store.write(run.home)
        for args in (
            ["list"],
            ["list", "--json"],
            ["status"],
            ["strategy", "openrouter"],
            ["explain", "zai"],
            ["cooldown"],
        ):
            _search_output(run, search, *args)
    said = " and ".join(str(row.get("access_token")) for row in bed.pools["openrouter"])
    with patch("keydeck.cli.auth_list.good_snapshot", side_effect=RuntimeError(said)):
        search.text("crash", run.crashed("auth", "list"))
    (report,) = (Path(os.environ["XDG_STATE_HOME"]) / "keydeck" / "crashes").iterdir()
    search.text("crash", report.read_text())
    report.unlink()


def _search_output(run: Run, search: Search, *args: str, **rest: Any) -> None:
    result = run("auth", *args, **rest)
    name = f"auth {args[0]}" if args[0] in COMMANDS else "auth"
    assert result.exit_code in (0, 1, 2, NOT_YET)
    search.text(f"{name} --json" if "--json" in args else name, result.stdout)
    search.text(f"{name}, errors", result.stderr)
