"""Both programs on one file at the same time: the lock is one lock, and nobody's rows are lost."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest

from fakes import a_key, keys, load, write_store
from interop.conftest import Another
from interop.hermes import Hermes, Keydeck, seconds_until
from interop.scenes import a_reader_of
from keydeck.engine.acts import Operator
from keydeck.engine.errors import LockBusy
from keydeck.engine.pool import CredentialPool
from keydeck.engine.secret import Secret

pytestmark = pytest.mark.interop

ADDERS = 10


def test_twenty_adds_at_once_lose_no_row(hermes: Hermes, another: Another, home: Path, deck: Keydeck) -> None:
    """Ten processes of each program add a key together: every row is there, every id once, no two of ours alike."""
    # All twenty come to a lock that is held against them, and start from the moment at which it is let go.
    write_store(home, {"openrouter": keys("aaa001")})
    hermes.ask("hold")
    with ExitStack() as running:
        command = ("auth", "add", "openrouter", "--api-key-stdin", "--label")
        ours = [running.enter_context(deck.start(*command, f"ours-{number}")) for number in range(ADDERS)]
        theirs = [another() for _ in range(ADDERS)]
        for number, (adder, process) in enumerate(zip(theirs, ours, strict=True)):
            label, key = f"theirs-{number}", f"sk-theirs-{number}"
            adder.send("auth", verb="add", provider="openrouter", label=label, api_key=key)
            assert process.stdin is not None
            process.stdin.write(f"sk-of-ours-{number}")
            process.stdin.close()
        for adder, process in zip(theirs, ours, strict=True):
            _must_come_to_the_lock(adder)
            assert process.stderr is not None
            assert "waiting for the lock" in process.stderr.readline()
        assert len(load(home)["credential_pool"]["openrouter"]) == 1
        hermes.ask("release")
        for adder, process in zip(theirs, ours, strict=True):
            adder.answer()
            assert process.wait(30) == 0, process.stderr and process.stderr.read()
    rows = load(home)["credential_pool"]["openrouter"]
    labels = [f"{whose}-{number}" for whose in ("ours", "theirs") for number in range(ADDERS)]
    assert sorted(row["label"] for row in rows) == sorted(["key-aaa001", *labels])
    assert len({row["id"] for row in rows}) == 2 * ADDERS + 1
    assert len({row["access_token"] for row in rows}) == 2 * ADDERS + 1
    # hermes' rows share priorities: it picks from what it loaded before it waited. Ours are picked under the lock.
    mine = [row["priority"] for row in rows if row["label"].startswith("ours-")]
    assert len(set(mine)) == ADDERS
    assert len(hermes.ask("load", provider="openrouter")["available"]) == 2 * ADDERS + 1
    assert list(home.glob("auth.json?*")) == []


def test_acts_of_both_on_one_pool_all_take(another: Another, home: Path) -> None:
    """Our add outlives a write by a hermes that loaded before it, and our bench made afterwards stands beside its own."""
    # What hermes has seen it may write back as it was (hermes-pool 8.1): a bench of ours before its mark could go.
    write_store(home, {"openrouter": keys("aaa001", "aaa002", "aaa003")})
    hermes = another()
    hermes.ask("load", provider="openrouter")
    Operator(a_reader_of(home)).add_key("openrouter", Secret("sk-ours-1"), label="ours")
    hermes.ask("mark", name="openrouter", code=429, key="sk-test-aaa001-secret")
    with CredentialPool("openrouter", a_reader_of(home)) as pool:
        pool.mark_exhausted_and_rotate(status_code=402, api_key_hint="sk-test-aaa002-secret")
    rows = {row["label"]: row for row in load(home)["credential_pool"]["openrouter"]}
    assert [rows[f"key-aaa00{number}"]["last_error_code"] for number in (1, 2, 3)] == [429, 402, None]
    assert rows["ours"]["access_token"] == "sk-ours-1"
    fresh = another().ask("load", provider="openrouter")["available"]
    assert fresh == ["aaa003", rows["ours"]["id"]]


def test_what_a_stale_hermes_writes_back_is_healed_and_its_own_facts_are_taken(
    another: Another, home: Path
) -> None:
    """It loaded first and marks later: our counts stay exact, our bench, name and removal hold, its mark counts too."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002", "aaa003", "aaa004")})
    with CredentialPool("openrouter", a_reader_of(home)) as pool:
        pool.select()
    hermes = another()
    hermes.ask("load", provider="openrouter")
    pool = CredentialPool("openrouter", a_reader_of(home))
    for _ in range(5):
        pool.select()
    pool.mark_exhausted_and_rotate(status_code=429, api_key_hint="sk-test-aaa002-secret")
    pool.flush()
    acts = Operator(a_reader_of(home))
    acts.edit("openrouter", "aaa001", label="renamed")
    acts.remove("openrouter", "aaa004")
    hermes.ask("mark", name="openrouter", code=402, key="sk-test-aaa003-secret")
    spoilt = {row["id"]: row for row in load(home)["credential_pool"]["openrouter"]}
    assert (spoilt["aaa001"]["label"], spoilt["aaa002"]["last_error_code"]) == ("key-aaa001", None)
    assert "aaa004" in spoilt
    for seen in (pool.entries(), CredentialPool("openrouter", a_reader_of(home)).entries()):
        told = [(row.id, row.label, row.last_error_code, row.request_count) for row in seen]
        assert told == [
            ("aaa001", "renamed", None, 7),
            ("aaa002", "key-aaa002", 429, 0),
            ("aaa003", "key-aaa003", 402, 0),
        ]
    pool.close()
    healed = {row["id"]: row for row in load(home)["credential_pool"]["openrouter"]}
    assert [(row["label"], row["last_error_code"], row["request_count"]) for row in healed.values()] == [
        ("renamed", None, 7),
        ("key-aaa002", 429, 0),
        ("key-aaa003", 402, 0),
    ]
    said = b"".join(path.read_bytes() for path in (home / "keydeck").glob("journal-*"))
    assert [said.count(what) for what in (b'"lost ', b'"came back"', b'"benched"')] == [2, 1, 1]
    assert another().ask("load", provider="openrouter")["available"] == ["aaa001"]


# --- the lock ----------------------------------------------------------------------------------------------


def test_hermes_waits_while_keydeck_writes(hermes: Hermes, home: Path) -> None:
    """Within our transaction hermes' add stands at the lock; afterwards both rows are in the file."""
    write_store(home, {"openrouter": keys("aaa001")})
    hermes.ask("load", provider="deepseek")
    store = a_reader_of(home).store
    with store.transaction() as change:
        began = monotonic()
        hermes.send("auth", verb="add", provider="deepseek", label="theirs", api_key="sk-theirs")
        seconds_until(
            lambda: _is_at_the_lock(hermes), since=began, within_s=10, what="hermes opens auth.lock"
        )
        # It polls every 50 ms; six times in a row it must find the lock held.
        assert not hermes.has_answered(within_s=0.3)
        assert "deepseek" not in load(home)["credential_pool"]
        change.add_row("openrouter", a_key("aaa002", "ours", priority=1))
    hermes.answer()
    pools = load(home)["credential_pool"]
    assert [row["label"] for row in pools["openrouter"]] == ["key-aaa001", "ours"]
    assert [row["label"] for row in pools["deepseek"]] == ["theirs"]


def _must_come_to_the_lock(hermes: Hermes) -> None:
    began = monotonic()
    seconds_until(lambda: _is_at_the_lock(hermes), since=began, within_s=20, what="hermes opens auth.lock")


def _is_at_the_lock(hermes: Hermes) -> bool:
    folder = Path("/proc") / str(hermes.pid) / "fd"
    links = (_target(link) for link in folder.iterdir())
    return any(target == str(hermes.home / "auth.lock") for target in links)


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:  # closed since it was listed
        return ""


def test_keydeck_waits_and_says_so_while_hermes_holds_the_lock(
    hermes: Hermes, home: Path, deck: Keydeck
) -> None:
    """Our add tells that it waits, changes nothing meanwhile, and goes on when hermes lets go."""
    write_store(home, {"openrouter": keys("aaa001")})
    before = (home / "auth.json").read_bytes()
    hermes.ask("hold")
    with deck.start("auth", "add", "openrouter", "--label", "ours", "--api-key-stdin") as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write("sk-ours-1")
        process.stdin.close()
        assert process.stderr.readline() == "keydeck: waiting for the lock, another process holds it …\n"
        assert process.poll() is None
        assert (home / "auth.json").read_bytes() == before
        hermes.ask("release")
        assert process.wait(30) == 0, process.stderr.read()
    labels = [row["label"] for row in load(home)["credential_pool"]["openrouter"]]
    assert labels == ["key-aaa001", "ours"]


def test_keydeck_gives_up_without_a_change_when_hermes_keeps_the_lock(hermes: Hermes, home: Path) -> None:
    """Waiting ends in `LockBusy` that names the lock file; the store is as it was, and readable all the time."""
    write_store(home, {"openrouter": keys("aaa001")})
    before = (home / "auth.json").read_bytes()
    hermes.ask("hold")
    reader, waits = a_reader_of(home), list[float]()
    with pytest.raises(LockBusy) as busy:
        Operator(reader, timeout_s=0.4, on_wait=waits.append).add_key("openrouter", Secret("sk-ours-1"))
    assert busy.value.path == home / "auth.lock"
    assert len(waits) == 1
    assert [pool.provider for pool in reader.read().pools] == ["openrouter"]
    assert (home / "auth.json").read_bytes() == before
    hermes.ask("release")
    Operator(reader, timeout_s=0.4).add_key("openrouter", Secret("sk-ours-1"))
    assert len(load(home)["credential_pool"]["openrouter"]) == 2


def test_the_lock_file_stays_the_same_one(hermes: Hermes, home: Path, deck: Keydeck) -> None:
    """Whoever made `auth.lock`, the other takes that very file and leaves it in place."""
    deck.run("auth", "add", "openrouter", "--label", "ours", "--api-key-stdin", stdin="sk-ours-1")
    made = (home / "auth.lock").stat()
    hermes.ask("auth", verb="add", provider="openrouter", label="theirs", api_key="sk-theirs-1")
    deck.run("auth", "remove", "openrouter", "ours", "--yes")
    now = (home / "auth.lock").stat()
    assert (now.st_ino, now.st_size, now.st_uid) == (made.st_ino, 0, made.st_uid)
    (home / "auth.lock").unlink()
    hermes.ask("auth", verb="add", provider="openrouter", label="again", api_key="sk-theirs-2")
    theirs = (home / "auth.lock").stat()
    deck.run("auth", "add", "openrouter", "--label", "ours", "--api-key-stdin", stdin="sk-ours-2")
    assert (home / "auth.lock").stat().st_ino == theirs.st_ino
    assert len(load(home)["credential_pool"]["openrouter"]) == 3


def test_both_take_the_lock_of_a_linked_store(hermes: Hermes, home: Path, tmp_path: Path) -> None:
    """Where auth.json is a link, both lock beside the name, the link stays one, and its target is written."""
    target = write_store(tmp_path / "elsewhere", {"openrouter": keys("aaa001")})
    home.mkdir(exist_ok=True)
    (home / "auth.json").symlink_to(target)
    hermes.ask("hold")
    with pytest.raises(LockBusy):
        Operator(a_reader_of(home), timeout_s=0.1).add_key("openrouter", Secret("sk-ours-1"), label="ours")
    hermes.ask("release")
    Operator(a_reader_of(home)).add_key("openrouter", Secret("sk-ours-1"), label="ours")
    hermes.ask("auth", verb="add", provider="openrouter", label="theirs", api_key="sk-theirs-1")
    assert (home / "auth.json").is_symlink()
    labels = [row["label"] for row in load(target.parent)["credential_pool"]["openrouter"]]
    assert labels == ["key-aaa001", "ours", "theirs"]
