from __future__ import annotations

import json
import os
import random
from collections import Counter
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from fakes import a_home, a_pool, around, keys, load_whole, write_store
from keydeck import load_pool
from keydeck.engine.acts import Operator
from keydeck.engine.errors import LockBusy, Refused, TargetError
from keydeck.engine.pool import CredentialPool
from keydeck.engine.secret import Secret
from keydeck.engine.snapshot import HomeReader

STEADY = [f"{n:06x}" for n in range(1, 9)]
"""Rows that nobody removes: what the workers kept of them must be there."""


class Worker:
    """Selects, reports and acts on one home, and keeps what it did."""

    def __init__(self, home: Path, number: int) -> None:
        self.number = number
        self.dice = random.Random(number)  # noqa: S311 - which act comes next
        self.pool = load_pool("openrouter", home=home, around=around(home.parent))
        self.operator = Operator(HomeReader(a_home(home), around=around(home.parent)), timeout_s=0.2)
        self.uses: Counter[str] = Counter()
        self.added: list[str] = []
        self.removed: list[str] = []
        self.acts: Counter[str] = Counter()

    def run(self, operations: int) -> dict[str, Any]:
        with self.pool:
            for _ in range(operations):
                if self.dice.random() < 0.97:
                    self.request()
                else:
                    self.act(self.dice.choice(("add", "remove", "rename", "move", "reset")))
        return {"uses": self.uses, "added": self.added, "removed": self.removed, "acts": self.acts}

    def request(self) -> None:
        row = self.pool.select()
        if row is not None:
            self.uses[row.id] += 1
            if self.dice.random() < 0.02:
                self.pool.mark_exhausted_and_rotate(status_code=429, error_context={"reset_at": 0})
                current = self.pool.current()
                self.uses[current.id if current else ""] += 1

    def act(self, what: str) -> None:
        for _ in range(200):
            try:
                getattr(self, what)()
            except LockBusy:
                continue
            except (TargetError, Refused):
                return  # somebody else was faster with this row
            self.acts[what] += 1
            return
        raise AssertionError(f"no lock in 200 tries to {what}")

    def add(self) -> None:
        secret = Secret(f"sk-new-{self.number}-{len(self.added)}-{self.dice.random()}")
        done = self.operator.add_key("openrouter", secret, label=f"w{self.number}-{len(self.added)}")
        self.added.append(str(done.credential_id))

    def remove(self) -> None:
        mine = [row_id for row_id in self.added if row_id not in self.removed]
        if mine:
            self.operator.remove("openrouter", mine[0])
            self.removed.append(mine[0])

    def rename(self) -> None:
        self.operator.edit(
            "openrouter", STEADY[self.number], label=f"row of {self.number}, {self.acts['rename']}"
        )

    def move(self) -> None:
        self.operator.move("openrouter", self.dice.choice(STEADY), self.dice.randrange(8))

    def reset(self) -> None:
        self.operator.reset("openrouter", STEADY[self.number])


def work(home: Path, number: int, operations: int) -> dict[str, Any]:
    return Worker(home, number).run(operations)


@pytest.mark.timeout(300)
def test_processes_that_use_report_and_act_at_once_lose_nothing(home: Path) -> None:
    """Counts equal what the workers kept; every rename, removal and added row holds, and a bench at the end too."""
    workers, operations = (int(part) for part in os.environ.get("KEYDECK_LOAD", "4x400").split("x"))
    write_store(home, {"openrouter": keys(*STEADY)})
    (home / "config.yaml").write_text("credential_pool_strategies: {openrouter: random}\n")
    with get_context("spawn").Pool(workers) as pool:
        told = pool.starmap(work, [(home, number, operations) for number in range(workers)])
    uses = sum((each["uses"] for each in told), Counter[str]())
    added = {row_id for each in told for row_id in each["added"]}
    removed = {row_id for each in told for row_id in each["removed"]}
    acts = sum((each["acts"] for each in told), Counter[str]())
    assert min(acts[name] for name in ("add", "remove", "rename", "move", "reset")) > 0
    last = a_pool(home)
    shown = {row.id: row for row in last.entries()}
    assert shown.keys() == {*STEADY, *(added - removed)}
    assert {row_id: row.request_count for row_id, row in shown.items()} == {
        row_id: uses[row_id] for row_id in shown
    }
    for number, each in enumerate(told):
        if each["acts"]["rename"]:
            assert shown[STEADY[number]].label == f"row of {number}, {each['acts']['rename'] - 1}"
    last.close()
    assert a_reader_of(home).store.checkpoint()  # whoever closed while another wrote left it to the next one
    rows = {row["id"]: row for row in load_whole(home)["credential_pool"]["openrouter"]}
    assert {row_id: row["request_count"] for row_id, row in rows.items()} == {
        row_id: uses[row_id] for row_id in rows
    }
    assert json.dumps(load_whole(home)).count("sk-test-") == len(STEADY)


def test_a_failure_in_one_process_is_obeyed_by_the_next_pick_of_every_other(home: Path) -> None:
    """With no write of auth.json in between, and by pools that have not told anything yet too."""
    write_store(home, {"openrouter": keys("aaa001", "bbb002")})
    before = (home / "auth.json").read_bytes()
    first, second, third = (CredentialPool("openrouter", a_reader_of(home)) for _ in range(3))
    assert [str(pool.select().id) for pool in (first, second) if pool] == ["aaa001", "aaa001"]  # type: ignore[union-attr]
    first.mark_exhausted_and_rotate(status_code=429)
    assert [pool.select().id for pool in (second, third)] == ["bbb002", "bbb002"]  # type: ignore[union-attr]
    assert (home / "auth.json").read_bytes() == before


def a_reader_of(home: Path) -> HomeReader:
    return HomeReader(a_home(home), around=around(home.parent))
