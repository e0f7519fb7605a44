"""A home in order, and what can go wrong with it: for the tests of the doctor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fakes import FakeClock, a_key, a_login, a_pool, a_reader, keys, write_store
from keydeck.engine.acts import Operator
from keydeck.engine.doctor import Finding, Kind, examine
from keydeck.engine.events import Header, Record, encode
from keydeck.engine.files import Disk

DAY_S = 86400.0
ENV_KEY = "sk-or-of-the-environment"


def now_clock() -> FakeClock:
    """Return a clock that stands at the present: files made now are new."""
    return FakeClock(time.time())


def look(home: Path, disk: Disk | None = None, *, env: dict[str, str] | None = None) -> tuple[Finding, ...]:
    reader = a_reader(home, disk=disk, clock=now_clock(), **(env or {}))
    try:
        return examine(reader)
    finally:
        reader.close()


def kinds(findings: tuple[Finding, ...]) -> list[Kind]:
    return [finding.kind for finding in findings]


def only(findings: tuple[Finding, ...], kind: Kind) -> Finding:
    assert kinds(findings) == [kind], findings
    return findings[0]


def live_in(home: Path) -> Path:
    """Return a home in order: its keys were used, one failed, one was removed; all of it is summed up."""
    write_store(
        home,
        {
            "openrouter": [
                *keys("aaa001", "aaa002"),
                a_key("aaa003", source="env:OPENROUTER_API_KEY", access_token=...),
            ],
            "anthropic": [a_login("bbb001"), a_key("bbb002")],
        },
    )
    home.chmod(0o700)
    (home / "config.yaml").write_text("credential_pool_strategies: {openrouter: least_used}\n")
    (home / ".env").touch(mode=0o600)
    (home / ".env").write_text(f'OPENROUTER_API_KEY="{ENV_KEY}"\n')
    with a_pool(home, clock=now_clock()) as pool:
        for _ in range(5):
            pool.select()
        pool.mark_exhausted_and_rotate(status_code=429)
    reader = a_reader(home, clock=now_clock())
    Operator(reader).remove("anthropic", "bbb002")
    reader.close()
    return home


def document(home: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((home / "auth.json").read_text())
    return told


def put(home: Path, told: dict[str, Any]) -> None:
    (home / "auth.json").write_text(json.dumps(told, indent=2))


def segment(home: Path, number: int = 1) -> Path:
    return home / "keydeck" / f"journal-{number:06d}.jsonl"


def a_dead_process() -> int:
    """Return the number of a process that was."""
    program = subprocess.Popen([sys.executable, "-S", "-c", ""])
    program.wait()
    return program.pid


def store_of(home: Path) -> str:
    return str(document(home)["keydeck"]["store"])


LEFT = "auth.json.tmp.{}.0123456789abcdef0123456789abcdef"


# --- what can go wrong -------------------------------------------------------------------------------------


def rewrite(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def act(home: Path) -> None:
        told = document(home)
        change(told)
        put(home, told)

    return act


def mode(name: str, bits: int) -> Callable[[Path], None]:
    return lambda home: (home / name).chmod(bits)


def a_file(name: str, text: str = "x", *, age_s: float = 0.0, bits: int = 0o600) -> Callable[[Path], None]:
    def act(home: Path) -> None:
        path = home / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(bits)
        os.utime(path, (time.time() - age_s,) * 2)

    return act


def gone(name: str) -> Callable[[Path], None]:
    return lambda home: (home / name).unlink()


def append(line: bytes) -> Callable[[Path], None]:
    def act(home: Path) -> None:
        with segment(home).open("ab") as log:
            log.write(b"\n" + line + b"\n")

    return act


def without(line: bytes) -> Callable[[Path], None]:
    def act(home: Path) -> None:
        path = segment(home)
        path.write_bytes(path.read_bytes().replace(b"\n" + line + b"\n", b""))

    return act


def pools(told: dict[str, Any]) -> Any:
    return told["credential_pool"]


def add_row(pool: str, **row: Any) -> Callable[[Path], None]:
    def act(home: Path) -> None:
        told = document(home)
        pools(told).setdefault(pool, []).append(a_key(**row))
        put(home, told)

    return act


def drop_last(pool: str) -> Callable[[Path], None]:
    def change(told: dict[str, Any]) -> None:
        pools(told)[pool].pop()

    return rewrite(change)


def put_aside(name: str) -> Callable[[Path], None]:
    def act(home: Path) -> None:
        (home / name).rename(home.parent / "aside")

    return act


def put_back(name: str) -> Callable[[Path], None]:
    def act(home: Path) -> None:
        (home.parent / "aside").replace(home / name)

    return act


def overwrite(name: str, data: bytes) -> Callable[[Path], None]:
    def act(home: Path) -> None:
        (home.parent / "aside").write_bytes((home / name).read_bytes())
        (home.parent / "aside").chmod(0o600)
        (home / name).write_bytes(data)

    return act


def strategy(word: str) -> Callable[[Path], None]:
    def act(home: Path) -> None:
        (home / "config.yaml").write_text(f"credential_pool_strategies: {{openrouter: {word}}}\n")

    return act


def paused(*, ago_days: float = 0.0, for_days: float | None = None) -> Callable[[Path], None]:
    """Take a key out some days ago, for good or for so many days from then on."""

    def act(home: Path) -> None:
        clock = FakeClock(time.time() - ago_days * DAY_S)
        reader = a_reader(home, clock=clock)
        until = None if for_days is None else clock() + for_days * DAY_S
        Operator(reader).pause("openrouter", "aaa002", until=until)
        reader.close()

    return act


def resumed(home: Path) -> None:
    """Let it work again."""
    reader = a_reader(home, clock=now_clock())
    Operator(reader).resume("openrouter", "aaa002")
    reader.close()


def a_segment(number: int) -> Callable[[Path], None]:
    def act(home: Path) -> None:
        header = encode(Record(1.0, "w", 0, Header(store=store_of(home))))
        segment(home, number).touch(mode=0o600)
        segment(home, number).write_bytes(b"\n" + header + b"\n")

    return act
