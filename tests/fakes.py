"""Builders for tests: rows, stores, homes and a clock that stands still."""

from __future__ import annotations

import base64
import ctypes
import errno
import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Container, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import keydeck
from keydeck.engine.acting import Done, Undo
from keydeck.engine.credential import CLEAN_STATUS
from keydeck.engine.events import Event, Failed
from keydeck.engine.file_store import FileStore
from keydeck.engine.files import Disk
from keydeck.engine.home import Home, Surroundings, locate_home
from keydeck.engine.pool import CredentialPool
from keydeck.engine.snapshot import HomeReader

T = TypeVar("T")

NOW = 1_794_146_531.0
"""2026-11-08 14:02:11 UTC, the moment at which tests happen unless they say otherwise."""


class FakeClock:
    """A clock that moves only when told."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds


def until(condition: Callable[[], object], within_s: float = 20.0) -> None:
    """Let others go on until something is so."""
    deadline = monotonic() + within_s
    while not condition():
        assert monotonic() < deadline, "it never came to be"
        os.sched_yield()


class SteppingClock(FakeClock):
    """A wall clock that can be set, beside one that cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.ticks = 5.0

    def monotonic(self) -> float:
        return self.ticks

    def forward(self, seconds: float) -> None:
        super().forward(seconds)
        self.ticks += seconds


def a_key(row_id: str = "aaa001", label: str | None = None, **fields: Any) -> dict[str, Any]:
    """Return a raw row: a ready manual API key unless `fields` say otherwise."""
    row = {
        "id": row_id,
        "label": label if label is not None else f"key-{row_id}",
        "auth_type": "api_key",
        "priority": 0,
        "source": "manual",
        "access_token": f"sk-test-{row_id}-secret",
        **CLEAN_STATUS,
        "base_url": "https://openrouter.ai/api/v1",
        "request_count": 0,
    }
    return {name: value for name, value in {**row, **fields}.items() if value is not ...}


def keys(*ids: str, **fields: Any) -> list[dict[str, Any]]:
    """Return ready keys with these ids, in this order."""
    return [a_key(row_id, priority=place, **fields) for place, row_id in enumerate(ids)]


def benched(code: int | None = 429, *, ago: float = 60.0, until: Any = None, **fields: Any) -> dict[str, Any]:
    """Return the status fields of a row that failed `ago` seconds before `NOW`."""
    return {
        "last_status": "exhausted",
        "last_status_at": NOW - ago,
        "last_error_code": code,
        "last_error_reset_at": until,
        **fields,
    }


def write_store(home: Path, pools: Mapping[str, Any] | None = None, **top: Any) -> Path:
    """Write an auth.json with these pools and return its path."""
    home.mkdir(parents=True, exist_ok=True)
    document = {"version": 1, "providers": {}, "credential_pool": dict(pools or {}), **top}
    path = home / "auth.json"
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def load_whole(home: Path) -> dict[str, Any]:
    """Return the document of a home's auth.json, Keydeck's own section and stamps included."""
    document: dict[str, Any] = json.loads((home / "auth.json").read_text(encoding="utf-8"))
    return document


def load(home: Path) -> dict[str, Any]:
    """Return the document of a home's auth.json as others care for it: without Keydeck's section and stamps."""
    return as_others_care(load_whole(home))


def as_others_care(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document without Keydeck's section and stamps."""
    document.pop("keydeck", None)
    pools = [rows for rows in document.get("credential_pool", {}).values() if isinstance(rows, list)]
    for row in (row for rows in pools for row in rows):
        if isinstance(row, dict) and str(row.get("agent_key_id", "")).startswith("kd:"):
            del row["agent_key_id"]
    return document


def write_down(home: Path) -> None:
    """Write what the journal tells into the rows, as the next program that runs would."""
    store = FileStore(a_home(home), clock=FakeClock())
    store.snapshot()
    assert store.checkpoint()
    store.close()


def around(tmp_path: Path, **env: str) -> Surroundings:
    """Return surroundings that hold nothing but these variables."""
    return Surroundings(env=env, user_home=tmp_path / "user")


def a_home(path: Path, *, profile: str | None = None, **env: str) -> Home:
    """Return the home at this path."""
    return locate_home(path, profile, around(path.parent, **env))


def a_reader(
    path: Path,
    *,
    profile: str | None = None,
    disk: Disk | None = None,
    clock: FakeClock | None = None,
    **env: str,
) -> HomeReader:
    """Return a reader of the home at this path, with a standing clock and only these variables."""
    return HomeReader(
        a_home(path, profile=profile, **env),
        around=around(path.parent, **env),
        disk=disk,
        clock=clock or FakeClock(),
    )


def tree(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return every file below a folder with its mode, change time and content: equal means untouched."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            found[str(path.relative_to(folder))] = (status.st_mode, status.st_mtime_ns, path.read_bytes())
        else:
            found[str(path.relative_to(folder))] = (path.stat().st_mode, 0, b"")
    return found


# --- logins, pools, other processes, and a world that fails ---------------------------------------------------


def a_jwt(**claims: Any) -> str:
    """Return an unsigned JWT with these claims."""
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join((*coded, "c2lnbmF0dXJl"))


def a_login(row_id: str = "log001", label: str | None = None, **fields: Any) -> dict[str, Any]:
    """Return a raw OAuth row whose token has an hour left."""
    login = {
        "auth_type": "oauth",
        "source": "manual:device_code",
        "access_token": f"oauth-access-{row_id}",
        "refresh_token": f"oauth-refresh-{row_id}",
        "expires_at_ms": int((NOW + 3600) * 1000),
    }
    return a_key(row_id, label, **{**login, **fields})


def a_pool(
    path: Path,
    provider: str = "openrouter",
    *,
    profile: str | None = None,
    disk: Disk | None = None,
    clock: FakeClock | None = None,
    **env: str,
) -> CredentialPool:
    """Return a pool of the home at this path, as an agent holds it."""
    return CredentialPool(provider, a_reader(path, profile=profile, disk=disk, clock=clock, **env))


def happened(home: Path, *told: tuple[float, Event]) -> None:
    """Let an agent tell these events, each so many seconds before `NOW`."""
    clock = FakeClock()
    store = FileStore(a_home(home), clock=clock)
    store.snapshot()
    for ago_s, event in told:
        clock.now = NOW - ago_s
        store.append(event)
    store.close()


def limited(row_id: str, model: str, provider: str = "openrouter") -> Failed:
    """Return what is told when a row is out for one model."""
    scope = f"model:{model}"
    return Failed(ids=(row_id,), provider=provider, code=429, kind="rate_limit", scope=scope)


def undo_of(done: Done) -> Undo:
    """Return how an act is undone that can be."""
    assert done.undo is not None
    return done.undo


SYSTEM_CALLS = tuple(name for name in vars(Disk) if not name.startswith("_") and name != "pause")
"""Every call of the I/O seam that reaches the system."""


class FailingDisk(Disk):
    """A disk on which chosen calls fail, and which remembers all that was asked of it.

    Args:
        code: the errno of a failure.
        at: 1-based numbers of the calls that fail, counted over all of them.
        on: names of the calls that always fail.
    """

    def __init__(self, code: int = errno.EIO, *, at: Container[int] = (), on: Container[str] = ()) -> None:
        self.code = code
        self.at = at
        self.on = on
        self.calls: list[str] = []
        self.paused_s = 0.0

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return functools.partial(self._call, name, found) if name in SYSTEM_CALLS else found

    def pause(self, seconds: float) -> None:
        """Remember the wait instead of waiting."""
        self.paused_s += seconds

    def heal(self) -> None:
        """Let everything succeed from now on."""
        self.at = self.on = ()

    def _call(self, name: str, real: Callable[..., Any], *args: Any) -> Any:
        self.calls.append(name)
        if len(self.calls) in self.at or name in self.on:
            if name == "close":
                real(*args)  # Linux gives the descriptor back even where close reports an error
            raise OSError(self.code, os.strerror(self.code))
        return real(*args)


_HOLD = (
    "import fcntl, sys; lock = open(sys.argv[1], 'a+'); fcntl.flock(lock, fcntl.LOCK_EX);"
    "print('held', flush=True); sys.stdin.read()"
)


@contextmanager
def lock_held(home: Path) -> Iterator[None]:
    """Hold a home's lock from another process for the block, with the call that hermes uses."""
    command = [sys.executable, "-S", "-E", "-c", _HOLD, str(home / "auth.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"held\n"
            yield
        finally:
            holder.stdin.close()


def in_another_process(code: str, *args: str | Path, **env: str) -> str:
    """Run Python code that can import keydeck in a process of its own and return what it printed."""
    source = Path(keydeck.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        env={"PYTHONPATH": str(source), "PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **env},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


_OVERRIDES = 0b110
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: what lets root read and write everything."""


@contextmanager
def permissions_count() -> Iterator[None]:
    """Make file modes count for this thread, even as root, for the block; access(2) alone does not notice."""
    before = _powers()
    _set_powers([before[0] & ~_OVERRIDES, *before[1:]])
    try:
        yield
    finally:
        _set_powers(before)


def without_powers(function: Callable[[], T]) -> T:
    """Call the function in a thread for which file modes count in every way, even as root."""

    def give_up() -> None:
        effective, permitted, *rest = _powers()
        _set_powers([effective & ~_OVERRIDES, permitted & ~_OVERRIDES, *rest])

    with ThreadPoolExecutor(1, initializer=give_up) as threads:
        return threads.submit(function).result()


def _powers() -> list[int]:
    """Return this thread's capabilities: effective, permitted and inheritable, low words first; none if not root."""
    words = (ctypes.c_uint32 * 6)()
    if os.geteuid() == 0:
        assert ctypes.CDLL(None).capget(_header(), words) == 0
    return list(words)


def _set_powers(words: list[int]) -> None:
    if os.geteuid() == 0:
        assert ctypes.CDLL(None).capset(_header(), (ctypes.c_uint32 * 6)(*words)) == 0


def _header() -> ctypes.Array[ctypes.c_uint32]:
    return (ctypes.c_uint32 * 2)(0x20080522, 0)
