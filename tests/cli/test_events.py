from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.program import Run
from fakes import (
    NOW,
    FakeClock,
    a_home,
    a_key,
    in_another_process,
    keys,
    permissions_count,
    tree,
    write_store,
)
from keydeck.engine.events import Configured, Event, Failed, Outside, Removed, Reset
from keydeck.engine.file_store import FileStore
from keydeck.engine.files import Disk

POOL = "openrouter"
EVENT = [
    *("kind", "at", "time", "provider", "id", "label", "code", "message", "until", "until_time", "detail"),
    *("count", "left", "total", "same_key", "by", "outside"),
]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(home: Path, clock: FakeClock) -> Iterator[FileStore]:
    """Return the store of an agent on a home of two pools."""
    write_store(home, {POOL: [a_key("aaa001", "burst"), *keys("bbb002")], "zai": keys("ccc003")})
    store = FileStore(a_home(home), clock=clock)
    store.snapshot()
    yield store
    store._books.journal.leave()


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let these things happen, one a wait of ``--follow``; then the operator presses ctrl+c."""

    def happen(*steps: Callable[[], object]) -> None:
        left = list(steps)

        def pause(_disk: Disk, _seconds: float) -> None:
            if not left:
                raise KeyboardInterrupt
            left.pop(0)()

        monkeypatch.setattr(Disk, "pause", pause)

    return happen


def failed(row: str = "aaa001", provider: str = POOL, **fields: Any) -> Failed:
    return Failed(ids=(row,), provider=provider, **{"code": 429, "message": "slow down", **fields})


def tell(store: FileStore, *events: Event) -> tuple[Event, ...]:
    for event in events:
        store.append(event)
    return events


def at(store: FileStore, clock: FakeClock, moment: float, *events: Event) -> None:
    clock.now = moment
    tell(store, *events)


@pytest.fixture
def lived(store: FileStore, clock: FakeClock) -> FileStore:
    """Let things happen two days ago, three hours ago, and now."""
    at(store, clock, NOW - 2 * 86400, Configured(provider=POOL, strategy="random"))
    at(
        store,
        clock,
        NOW - 3 * 3600,
        failed(until=NOW - 2 * 3600),
        failed("ccc003", "zai", code=402, until=NOW + 60),
    )
    at(store, clock, NOW, Reset(ids=("ccc003",), provider="zai"))
    return store


# --- lines -------------------------------------------------------------------------------------------------


def test_the_journal_is_printed_oldest_first(run: Run, lived: FileStore) -> None:
    """When, by whom, of which key, and what: the last 24 hours, what the clock did between."""
    by = lived.writer[:6]
    assert run.done("auth", "events").splitlines() == [
        f"11:02:11  {by}   ~ {POOL} / burst  429 rate limit: slow down, cooling until 12:02:11",
        f"11:02:11  {by}   ~ zai / key-ccc003    402 payment required: slow down, cooling until 14:03:11",
        f"12:02:11           + {POOL} / burst  cooldown over",
        f"14:02:11  {by}   + zai / key-ccc003    reset",
    ]


@pytest.mark.usefixtures("lived")
@pytest.mark.parametrize(
    ("since", "first", "count"),
    [
        ("3d", "2026-11-06 14:02:11", 5),
        ("1w", "2026-11-06 14:02:11", 5),
        ("2026-11-06", "2026-11-06 14:02:11", 5),
        ("2026-11-08T11:02:11Z", "11:02:11", 4),
        ("2026-11-08T13:30:00+01:00", "14:02:11", 1),
        ("121m", "12:02:11", 2),
        ("1H", "14:02:11", 1),
        ("30s", "14:02:11", 1),
    ],
)
def test_since_says_from_when_on(run: Run, since: str, first: str, count: int) -> None:
    """So long ago, or an ISO time; with the date where it was not today."""
    lines = run.done("auth", "events", "--since", since).splitlines()
    assert (lines[0][: len(first)], len(lines)) == (first, count)


@pytest.mark.usefixtures("lived")
@pytest.mark.parametrize("since", ["yesterday", "", "-1h", "2h30m", "99999-01-01", "٣h"])
def test_what_is_no_time_is_wrong_usage(run: Run, since: str) -> None:
    """With the forms that are understood."""
    result = run("auth", "events", f"--since={since}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "say 30s, 15m, 2h or 3d" in result.stderr


@pytest.mark.usefixtures("lived")
def test_one_pool_alone(run: Run) -> None:
    """By any of its names; a provider that nobody knows is refused, one without events has none."""
    assert all("zai" in line for line in run.done("auth", "events", "--provider", "zai").splitlines())
    assert run.done("auth", "events", "--provider", "z.ai") == run.done("auth", "events", "--provider", "zai")
    assert "nothing happened since 2026-11-07 14:02:11" in run.done("auth", "events", "--provider", "nous")
    assert "nobody" in run.refused("auth", "events", "--provider", "nobody")


def test_a_pool_that_is_gone_has_its_past(run: Run, lived: FileStore) -> None:
    """The journal still tells of it."""
    lived.append(Removed(id="eee005", provider="custom:gone", label="last"))
    for name in ("gone", "custom:gone"):
        assert "custom:gone / last  removed" in run.done("auth", "events", "--provider", name)


def test_requests_are_told_to_who_asks_for_them(run: Run, store: FileStore, clock: FakeClock) -> None:
    """A line a minute and pool, never one a request."""
    clock.now = NOW - 600
    for _ in range(20):
        store.count("aaa001", 3)
        store.flush()
        clock.forward(3)
    assert "nothing happened" in run.done("auth", "events")
    lines = run.done("auth", "events", "--requests").splitlines()
    assert [line.split("  ")[0] for line in lines] == ["13:52:00", "13:53:00"]
    assert sum(int(line.rpartition(f"{POOL}  ")[2].split()[0]) for line in lines) == 60


def test_requests_of_the_minute_that_runs_are_told_to_who_does_not_wait(
    run: Run, store: FileStore, meanwhile: Callable[..., None]
) -> None:
    """Who follows is told of the whole minute when it is over, once."""
    store.count("aaa001", 3)
    store.flush()
    assert run.done("auth", "events", "--requests").split("  ")[-1] == "3 requests\n"
    meanwhile(lambda: store.append(failed()))
    assert "requests" not in run("auth", "events", "--requests", "--follow").stdout


def test_what_another_program_did_is_told_as_outside(run: Run, store: FileStore) -> None:
    """By nobody we know."""
    store.append(failed())
    store.append(Outside(id="aaa001", provider=POOL, label="burst", what="cleared", past=NOW))
    assert run.done("auth", "events").splitlines()[-1] == (
        f"14:02:11  outside  + {POOL} / burst  changed outside: cooldown cleared"
    )


def test_without_a_journal_that_is_said(run: Run, home: Path) -> None:
    """It is no failure; as JSON there are no events."""
    write_store(home, {POOL: keys("aaa001")})
    assert run.done("auth", "events") == (
        f"no journal in {home} yet: it begins with the first request or change\n"
    )
    assert json.loads(run.done("auth", "events", "--json"))["events"] == []
    assert not (home / "keydeck").exists()


def test_an_unreadable_store_is_refused(run: Run, lived: FileStore) -> None:
    """Without it nobody knows which texts are secret."""
    lived.path.write_text("{")
    assert "auth.json" in run.refused("auth", "events")


def test_a_profile_has_the_events_of_what_shows_through(run: Run, lived: FileStore, home: Path) -> None:
    """Not those of pools that it has itself."""
    write_store(home / "profiles" / "work", {"zai": keys("ddd004")})
    lines = run.done("auth", "events", "--profile", "work").splitlines()
    assert [line.split("  ")[-1] for line in lines] == [
        "429 rate limit: slow down, cooling until 12:02:11",
        "cooldown over",
    ]
    assert lived.path.exists()


# --- JSON --------------------------------------------------------------------------------------------------


def test_json_is_one_document_of_exactly_these_fields(run: Run, lived: FileStore) -> None:
    """Times as epoch seconds and as ISO 8601 in UTC."""
    document = json.loads(run.done("auth", "events", "--json", "--since", "1d"))
    assert list(document) == ["home", "profile", "since", "events"]
    assert (document["home"], document["profile"], document["since"]) == (
        str(run.home),
        "default",
        NOW - 86400,
    )
    assert all(list(event) == EVENT for event in document["events"])
    assert [event["kind"] for event in document["events"]] == ["benched", "benched", "ready", "reset"]
    assert document["events"][0] == {
        "kind": "benched",
        "at": NOW - 10800,
        "time": "2026-11-08T11:02:11.000+00:00",
        "provider": POOL,
        "id": "aaa001",
        "label": "burst",
        "code": 429,
        "message": "slow down",
        "until": NOW - 7200,
        "until_time": "2026-11-08T12:02:11.000+00:00",
        "detail": None,
        "count": 1,
        "left": None,
        "total": None,
        "same_key": [],
        "by": lived.writer[:6],
        "outside": False,
    }


# --- following ---------------------------------------------------------------------------------------------


def test_follow_goes_on_with_what_comes(run: Run, store: FileStore, meanwhile: Callable[..., None]) -> None:
    """Line by line, through a rotation, until ctrl+c, which is a good end."""
    store.append(failed("bbb002"))
    meanwhile(
        lambda: None,
        lambda: store.append(failed(message="first")),
        store._books._rotate,
        lambda: store.append(failed("ccc003", "zai")),
        lambda: store.append(Reset(ids=("aaa001",), provider=POOL)),
    )
    lines = run.done("auth", "events", "--follow", "--provider", POOL).splitlines()
    names = [line.partition(" / ")[2].split("  ")[0] for line in lines]
    assert names == ["key-bbb002", "burst", "", "burst"]
    assert "429 rate limit: first, cooling until" in lines[1]
    assert lines[2].endswith("none of 2 left")
    assert lines[3].endswith("reset")


def test_follow_as_json_is_an_object_a_line(
    run: Run, store: FileStore, meanwhile: Callable[..., None]
) -> None:
    """Of the past and of what comes."""
    store.append(failed())
    meanwhile(lambda: store.append(Reset(ids=("aaa001",), provider=POOL)))
    told = [json.loads(line) for line in run.done("auth", "events", "--follow", "--json").splitlines()]
    assert [event["kind"] for event in told] == ["benched", "reset"]


def test_follow_waits_for_a_journal(run: Run, store: FileStore, meanwhile: Callable[..., None]) -> None:
    """That there is none yet is said beside what is printed."""
    meanwhile(lambda: store.append(failed()))
    result = run("auth", "events", "--follow")
    assert (result.exit_code, result.stdout.count("\n")) == (0, 1)
    assert "no journal in" in result.stderr


def test_follow_knows_keys_that_come_later(
    run: Run, store: FileStore, home: Path, meanwhile: Callable[..., None]
) -> None:
    """By name; and a secret in a message before and after its key is gone."""
    secret = "correct-horse-battery-staple"
    store.append(failed())
    rows = [a_key("aaa001", "burst"), a_key("ddd004", "late", access_token=secret)]
    meanwhile(
        lambda: write_store(home, {POOL: rows}),
        lambda: store.append(failed("ddd004", message=f"no {secret}")),
        lambda: [write_store(home, {POOL: rows[:1]}), *tell(store, failed(message=f"was {secret}"))],
    )
    text = run.done("auth", "events", "--follow")
    assert f"{POOL} / late" in text
    assert secret not in text
    assert "no ***" in text and "was ***" in text


# --- manners -----------------------------------------------------------------------------------------------


def test_looking_at_events_writes_nothing(
    run: Run, lived: FileStore, home: Path, meanwhile: Callable[..., None]
) -> None:
    """Bytes, times and the list of files stay, with every option and without the right to write."""
    assert lived.home.path == home
    before = tree(home)
    meanwhile()
    for args in ([], ["--json"], ["--since", "9w"], ["--requests"], ["--follow"], ["--provider", "zai"]):
        run.done("auth", "events", *args)
    assert tree(home) == before
    (home / "keydeck").chmod(0o500)
    home.chmod(0o500)
    with permissions_count():
        assert run.done("auth", "events").count("\n") == 4
    home.chmod(0o700)
    (home / "keydeck").chmod(0o700)


def test_a_reader_that_has_gone_is_no_noise(lived: FileStore, home: Path) -> None:
    """As with ``| head``: the program ends without a word."""
    code = (
        "import os, sys, subprocess\n"
        "run = 'import sys; from keydeck.cli import main; sys.argv = [\"keydeck\", *sys.argv[1:]]; main()'\n"
        "with subprocess.Popen([sys.executable, '-c', run, '--home', sys.argv[1], 'auth', 'events', '--since',"
        " '2026-01-01', '--follow'], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as keydeck:\n"
        "    keydeck.stdout.readline(); keydeck.stdout.close()\n"
        "    store = open(sys.argv[2], 'ab')\n"
        "    line = sys.argv[3].encode()\n"
        "    for number in range(10, 200):\n"
        "        if keydeck.poll() is not None: break\n"
        "        store.write(b'\\n' + line.replace(b'NUMBER', str(number).encode()) + b'\\n'); store.flush()\n"
        "        try: keydeck.wait(0.1)\n"
        "        except subprocess.TimeoutExpired: pass\n"
        "    print(keydeck.wait(5), keydeck.stderr.read())\n"
    )
    line = f'{{"e":"config","t":{NOW},"w":"other","s":NUMBER,"provider":"zai","strategy":"random","p":"zai"}}'
    journal = home / "keydeck" / "journal-000001.jsonl"
    assert lived.position() > (0, 0)
    assert in_another_process(code, home, journal, line).split(maxsplit=1) == ["1", "b''\n"]


def test_help_says_what_there_is(run: Run) -> None:
    """Every option, and how far back it goes by itself."""
    text = run.done("auth", "events", "--help")
    for word in (
        "--since",
        "24h",
        "--provider",
        "--requests",
        "--json",
        "--follow",
        "ctrl+c",
        "oldest first",
    ):
        assert word in text
    assert "events" in run.done("auth", "--help")
