"""One agent of the demo, in this process and with a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes import FakeClock, load
from keydeck.demo.agent import ROLES, Agent, Role, sweep
from keydeck.demo.past import write_scene_with_past
from keydeck.demo.scene import FOLDER_PREFIX, around
from keydeck.engine.acts import Operator
from keydeck.engine.events import Failed, Record, Succeeded, Used
from keydeck.engine.home import locate_home
from keydeck.engine.snapshot import HomeReader, PoolSnapshot
from keydeck.engine.state import HealthKind


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a demo's folder with its home."""
    made = tmp_path / f"{FOLDER_PREFIX}test"
    write_scene_with_past(made / ".hermes", FakeClock()())
    return made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def reader(folder: Path, clock: FakeClock) -> Iterator[HomeReader]:
    surroundings = around(folder)
    opened = HomeReader(
        locate_home(folder / ".hermes", around=surroundings), around=surroundings, clock=clock
    )
    yield opened
    opened.close()


def work(agent: Agent, clock: FakeClock, requests: int, *, pause_s: float = 1.0) -> None:
    for _ in range(requests):
        agent.work()
        clock.forward(pause_s)
    agent.close()


def pool_of(reader: HomeReader, name: str) -> PoolSnapshot:
    pool = reader.read().pool(name)
    assert pool is not None
    return pool


def counts(reader: HomeReader, name: str) -> dict[str, int]:
    return {row.label: row.request_count for row in pool_of(reader, name).rows}  # type: ignore[union-attr]


def told_since(reader: HomeReader, moment: float) -> list[Record]:
    return [record for _, record in reader.store.history() if record.at >= moment and record.seq]


def test_requests_are_counted_and_refusals_bench(folder: Path, clock: FakeClock, reader: HomeReader) -> None:
    """Two minutes of work leave uses, cooldowns with an end, and returns in the journal."""
    began = clock()
    work(Agent(folder, ROLES["coder"], clock), clock, 160)
    records = told_since(reader, began)
    kinds = {type(record.event) for record in records}
    assert {Used, Failed, Succeeded} <= kinds
    refusals = [record.event for record in records if isinstance(record.event, Failed)]
    assert {refusal.code for refusal in refusals} == {401, 429}
    assert all(refusal.until for refusal in refusals if refusal.code == 429)
    states = pool_of(reader, "anthropic").at(clock())
    assert "burst-key" in [
        state.row.label for state in states.rows if state.health.kind is HealthKind.NEEDS_LOGIN
    ]


def test_long_answers_are_in_flight(folder: Path, clock: FakeClock, reader: HomeReader) -> None:
    """While an agent reads an answer its key is in flight, for everybody; when it has read it, no more."""
    agent, seen = Agent(folder, Role(("anthropic",), 1.0, 11), clock), []
    clock.forward(60.0)  # what was in flight before is over
    for _ in range(16):
        agent.work()
        seen.append(in_flight(reader, clock))
        clock.forward(1.0)
    assert max(seen) >= 2
    clock.forward(20.0)  # the longest answer takes less than that, the lease of one longer
    agent.work()
    assert in_flight(reader, clock) <= 1
    agent.close()


def in_flight(reader: HomeReader, clock: FakeClock) -> int:
    return sum(row.in_flight(clock()) for row in pool_of(reader, "anthropic").at(clock()).rows)


def test_a_key_that_is_out_is_left_alone(folder: Path, clock: FakeClock, reader: HomeReader) -> None:
    """No request is counted for a key while its cooldown runs."""
    before = counts(reader, "anthropic")["ANTHROPIC_API_KEY"]
    work(Agent(folder, ROLES["coder"], clock), clock, 60)
    assert counts(reader, "anthropic")["ANTHROPIC_API_KEY"] == before


def test_a_removed_key_gets_no_further_request(folder: Path, clock: FakeClock, reader: HomeReader) -> None:
    """After the operator removed a key, the agent's next requests go to the others."""
    agent = Agent(folder, Role(("anthropic",), 1.0, 11), clock)
    work(agent, clock, 6)
    operator = Operator(reader)
    operator.remove("anthropic", "9c01d2")
    before = counts(reader, "anthropic")
    work(agent, clock, 12)
    after = counts(reader, "anthropic")
    assert "team-a@corp.com" not in after
    assert sum(after.values()) > sum(before.values())
    ids = [row["id"] for row in load(folder / ".hermes")["credential_pool"]["anthropic"]]
    assert "9c01d2" not in ids


def test_another_strategy_is_followed_at_the_next_request(
    folder: Path, clock: FakeClock, reader: HomeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set from least_used to fill_first, the pool's first key gets all that follows."""
    monkeypatch.setattr("keydeck.engine.roster._LOOK_AROUND_EVERY_S", 0.0)
    agent = Agent(folder, Role(("anthropic",), 1.0, 11), clock)
    work(agent, clock, 3)
    Operator(reader).set_strategy("anthropic", "fill_first")
    before = counts(reader, "anthropic")
    work(agent, clock, 4)
    after = counts(reader, "anthropic")
    assert after["team-a@corp.com"] == before["team-a@corp.com"] + 4


def test_a_reset_key_works_again(folder: Path, clock: FakeClock, reader: HomeReader) -> None:
    """A key in the middle of its cooldown serves at once after a reset."""
    agent = Agent(folder, Role(("openai-codex",), 1.0, 11), clock)
    assert not agent.work()
    Operator(reader).reset("openai-codex", "6b0f12")
    assert agent.work()
    agent.close()


def test_a_broken_store_is_waited_out(folder: Path, clock: FakeClock) -> None:
    """An agent that meets a file it cannot read goes on once the file is well."""
    path = folder / ".hermes" / "auth.json"
    good = path.read_bytes()
    path.write_bytes(b"{")
    agent = Agent(folder, Role(("openrouter",), 1.0, 11), clock)
    assert not agent.work()
    path.write_bytes(good)
    assert agent.work()
    agent.close()


def test_the_pause_is_the_roles_own() -> None:
    """Agents pause about as long as their role says, never twice the same."""
    agent = Agent(Path("nowhere"), ROLES["batch"])
    pauses = [agent.pause_s() for _ in range(50)]
    assert len(set(pauses)) > 40
    assert all(0.5 * ROLES["batch"].pause_s < pause < 1.5 * ROLES["batch"].pause_s for pause in pauses)


def test_all_together_are_calm_enough_to_read() -> None:
    """All agents together send a few requests a second."""
    assert 1.5 < sum(1 / role.pause_s for role in ROLES.values()) < 4


def test_only_a_demos_folder_is_swept(tmp_path: Path) -> None:
    """The broom takes a folder with a demo's name, and leaves any other."""
    demo, other = tmp_path / f"{FOLDER_PREFIX}gone", tmp_path / "mine"
    for each in (demo, other):
        (each / ".hermes").mkdir(parents=True)
        sweep(each)
    assert not demo.exists()
    assert (other / ".hermes").exists()
