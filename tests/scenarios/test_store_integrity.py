"""The store loses nothing and destroys nothing (demand 2.5)."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import tempfile
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import Any

import pytest

from fakes import (
    NOW,
    FailingDisk,
    FakeClock,
    a_home,
    a_key,
    a_login,
    a_pool,
    a_reader,
    benched,
    in_another_process,
    keys,
    load,
    lock_held,
    tree,
    write_down,
    write_store,
)
from keydeck.engine.acts import Operator
from keydeck.engine.credential import borrowed_form, is_owned
from keydeck.engine.errors import (
    KeydeckError,
    LockBusy,
    StoreCorrupt,
    StoreReadOnly,
    StoreUnreadable,
)
from keydeck.engine.file_store import FileStore
from keydeck.engine.lookout import Lookout
from keydeck.engine.secret import Secret
from keydeck.live.watch import Readable, Watch
from keydeck.present.panes import banner

NEW = Secret("sk-new-0123456789")

ACT = """
import sys
from keydeck.engine import HomeReader, Secret, locate_home
from keydeck.engine.acts import Operator
act, home, *rest = sys.argv[1:]
operator = Operator(HomeReader(locate_home(home)))
if act == "add":
    for label in rest:
        operator.add_key("openrouter", Secret(f"sk-{label}-0123456789"), label=label)
else:
    operator.remove("openrouter", *rest)
"""


def ids(home: Path) -> list[str]:
    return [row["id"] for row in load(home)["credential_pool"]["openrouter"]]


def labels(home: Path) -> list[str]:
    return [row["label"] for row in load(home)["credential_pool"]["openrouter"]]


class TestFS40ConcurrentAdd:
    """Who loaded two keys and saves does not drop the third that somebody added meanwhile."""

    def test_fs_40_a_rotation_keeps_what_another_process_added(self, home: Path) -> None:
        """A pool from before the add marks, counts and resets; all three rows are there, each as it should be."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002")})
        pool = a_pool(home)
        pool.select()
        in_another_process(ACT, "add", home, "third")
        pool.mark_exhausted_and_rotate(status_code=429)
        pool.mark_used()
        pool.close()
        assert labels(home) == ["key-aaa001", "key-bbb002", "third"]
        first, second, third = load(home)["credential_pool"]["openrouter"]
        assert (first["last_error_code"], second["request_count"]) == (429, 2)
        assert third["access_token"] == "sk-third-0123456789"
        assert third["priority"] == 2
        pool.reset_statuses()
        assert len(ids(home)) == 3

    def test_fs_40_many_writers_lose_nothing(self, home: Path) -> None:
        """Three processes add while two pools mark: every row and every mark is there."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002")})
        added = [[f"new-{process}-{n}" for n in range(4)] for process in range(3)]
        threads = [
            threading.Thread(target=in_another_process, args=(ACT, "add", home, *some)) for some in added
        ]
        for thread in threads:
            thread.start()
        for key in ("aaa001", "bbb002"):
            a_pool(home).mark_exhausted_and_rotate(status_code=429, api_key_hint=f"sk-test-{key}-secret")
        for thread in threads:
            thread.join(30)
        write_down(home)
        rows = load(home)["credential_pool"]["openrouter"]
        assert {row["label"] for row in rows} == {"key-aaa001", "key-bbb002", *chain(*added)}
        assert len({row["id"] for row in rows}) == len({row["priority"] for row in rows}) == len(rows) == 14
        assert [row["last_status"] for row in rows].count("exhausted") == 2


class TestFS41RemovalBeatsMerge:
    """What somebody removed stays removed, whoever saves afterwards with an older view."""

    def test_fs_41_a_stale_pool_does_not_bring_a_row_back(self, home: Path) -> None:
        """Marking, counting and adding by who still remembers the row leave it out."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002")})
        pool = a_pool(home)
        pool.select()
        in_another_process(ACT, "remove", home, "bbb002")
        pool.mark_exhausted_and_rotate(status_code=429)
        pool.mark_used()
        Operator(a_reader(home)).add_key("openrouter", NEW)
        assert "bbb002" not in ids(home)
        assert len(ids(home)) == 2

    def test_fs_41_a_failure_of_the_removed_row_itself_does_not_bring_it_back(self, home: Path) -> None:
        """Its late 429 marks nobody, and changes nothing in auth.json."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002")})
        pool = a_pool(home)
        pool.select()
        in_another_process(ACT, "remove", home, "aaa001")
        before = (home / "auth.json").read_bytes()
        following = pool.mark_exhausted_and_rotate(status_code=429, api_key_hint="sk-test-aaa001-secret")
        assert following is not None
        assert following.id == "bbb002"
        assert (home / "auth.json").read_bytes() == before
        pool.close()
        assert ids(home) == ["bbb002"]
        assert load(home)["credential_pool"]["openrouter"][0]["last_status"] is None


class TestFS42ReadErrorIsNotEmptiness:
    """A file that cannot be read is not an empty one, and nothing is saved over it."""

    @pytest.mark.parametrize("code", [errno.EMFILE, errno.EACCES, errno.EIO, errno.ENFILE, errno.ENOMEM])
    @pytest.mark.parametrize("call", ["open_read", "read", "fstat"])
    def test_fs_42_the_error_is_shown_and_writes_are_blocked_until_a_good_read(
        self, home: Path, code: int, call: str
    ) -> None:
        """Last good rows, the reason, an untouched file; then all works again."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002")})
        before = (home / "auth.json").read_bytes()
        disk = FailingDisk(code)
        reader = a_reader(home, disk=disk)
        good = reader.read()
        disk.on = {call}
        broken = reader.read()
        assert isinstance(broken.trouble, StoreUnreadable)
        assert os.strerror(code).lower() in str(broken.trouble)
        assert broken.pools == good.pools
        assert "Writes are off." in banner(broken, NOW)
        acts: list[Callable[[], object]] = [
            lambda: Operator(reader).add_key("openrouter", NEW),
            lambda: Operator(reader).reset("openrouter"),
            lambda: Operator(reader).remove("openrouter", "aaa001"),
        ]
        for act in acts:
            with pytest.raises(StoreUnreadable):
                act()
        assert (home / "auth.json").read_bytes() == before
        assert not [path for path in tree(home) if "backups" in path]
        disk.heal()
        assert reader.read().trouble is None
        Operator(reader).add_key("openrouter", NEW)
        assert len(ids(home)) == 3

    def test_fs_42_a_running_pool_goes_on_and_keeps_its_benches_in_memory(self, home: Path) -> None:
        """No error reaches the agent, and no empty store the file."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002")})
        disk = FailingDisk(errno.EMFILE)
        pool = a_pool(home, disk=disk)
        pool.select()
        before = (home / "auth.json").read_bytes()
        disk.on = {"open_read"}
        following = pool.mark_exhausted_and_rotate(status_code=429)
        assert following is not None
        assert following.id == "bbb002"
        assert (home / "auth.json").read_bytes() == before
        disk.heal()
        pool.mark_exhausted_and_rotate(status_code=402)
        pool.close()
        assert [row["last_error_code"] for row in load(home)["credential_pool"]["openrouter"]] == [429, 402]


class TestFS43CorruptFile:
    """A truncated store is told, kept, and never written over."""

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
    def test_fs_43_the_last_good_view_stays_and_writes_are_refused(self, home: Path, share: float) -> None:
        """Wherever the file was cut off."""
        path = write_store(home, {"openrouter": keys("aaa001", "bbb002")})
        reader = a_reader(home)
        good = reader.read()
        whole = path.read_bytes()
        path.write_bytes(whole[: int((len(whole) - 2) * share)])
        cut = path.read_bytes()
        broken = reader.read()
        assert isinstance(broken.trouble, StoreCorrupt)
        assert str(path) in str(broken.trouble)
        assert broken.pools == good.pools
        text = banner(broken, NOW + 60)
        assert "Showing the last good copy, 1m00s old." in text
        assert "Writes are off." in text
        assert "keydeck/backups" in text
        with pytest.raises(StoreCorrupt):
            Operator(reader).add_key("openrouter", NEW)
        assert path.read_bytes() == cut
        assert not (home / "auth.json.corrupt").exists()

    def test_fs_43_a_backup_of_before_can_be_put_back(self, home: Path) -> None:
        """The copy of the first write is private, whole, and a store again once it is restored."""
        path = write_store(home, {"openrouter": keys("aaa001")})
        reader = a_reader(home)
        Operator(reader).add_key("openrouter", NEW)
        (copy,) = (home / "keydeck" / "backups").iterdir()
        assert copy.stat().st_mode & 0o777 == 0o600
        path.write_text("{")
        assert reader.read().trouble is not None
        path.write_bytes(copy.read_bytes())
        mended = reader.read()
        assert mended.trouble is None
        assert [row.id for row in mended.pools[0].rows] == ["aaa001"]
        Operator(reader).add_key("openrouter", NEW)
        assert len(ids(home)) == 2


@pytest.fixture
def shared() -> Iterator[Path]:
    """Return a folder that another user can reach."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: S103 - that user must get in
        yield Path(folder)


def as_nobody(function: Callable[[], str]) -> str:
    """Run the function in a child process without root's rights, and return its answer."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads: the child only answers
        child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(writing, function().encode())
        except BaseException as error:  # noqa: BLE001 - the parent must hear of it
            os.write(writing, f"CRASHED {error!r}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave a file that others cannot read")
class TestFS44RootWroteIt:
    """A store that root left behind is told as such to its user, and root leaves no such store."""

    def test_fs_44_the_user_is_told_who_owns_it(self, shared: Path) -> None:
        """Cannot read, owner root; nothing is shown as empty and nothing is written."""
        home = shared / "home"
        write_store(home, {"openrouter": keys("aaa001")}, providers={"nous": {"access_token": "x"}})
        home.chmod(0o777)
        before = tree(home)

        def look_and_act() -> str:
            reader = a_reader(home)
            told = [banner(reader.read(), NOW)]
            try:
                Operator(reader).add_key("openrouter", NEW)
            except KeydeckError as error:
                told.append(str(error))
            return "\n".join(told)

        text = as_nobody(look_and_act)
        assert text.count("permission denied (owner root)") == 2
        assert "CRASHED" not in text
        assert {path: found for path, found in tree(home).items() if path != "auth.lock"} == before

    def test_fs_44_root_keeps_the_owner(self, shared: Path) -> None:
        """A write as root, the first or a later one, leaves everything to the user of the home."""
        home = shared / "home"
        write_store(home, {"openrouter": keys("aaa001")})
        for path in (home, home / "auth.json"):
            os.chown(path, 65534, 65534)
        home.chmod(0o700)
        Operator(a_reader(home)).add_key("openrouter", NEW)
        assert {path.stat().st_uid for path in (home, *home.rglob("*"))} == {65534}
        assert (home / "auth.json").stat().st_mode & 0o777 == 0o600
        answer = as_nobody(
            lambda: Operator(a_reader(home)).add_key("openrouter", Secret("sk-user-0123456789")).text
        )
        assert answer.startswith("added api-key-3")
        assert len(ids(home)) == 3


class TestFS45SymlinkedStore:
    """Two homes that link to one file write it as one."""

    @pytest.fixture
    def homes(self, tmp_path: Path) -> list[Path]:
        """Return two homes, each with a link to the same store."""
        write_store(
            tmp_path / "real", {"openrouter": keys("aaa001")}, providers={"nous": {"access_token": "x"}}
        )
        made = [tmp_path / "one", tmp_path / "two"]
        for home in made:
            home.mkdir()
            (home / "auth.json").symlink_to("../real/auth.json")
        return made

    def test_fs_45_both_write_and_nothing_is_lost(self, homes: list[Path], tmp_path: Path) -> None:
        """Two processes at once; the links are links, the logins are there, and no temporary file is anywhere."""
        added = [[f"{home.name}-{n}" for n in range(4)] for home in homes]
        threads = [
            threading.Thread(target=in_another_process, args=(ACT, "add", home, *some))
            for home, some in zip(homes, added, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert set(labels(tmp_path / "real")) == {"key-aaa001", *chain(*added)}
        assert load(tmp_path / "real")["providers"] == {"nous": {"access_token": "x"}}
        for home in homes:
            assert os.readlink(home / "auth.json") == "../real/auth.json"
        assert not [path for path in tree(tmp_path) if ".tmp." in path]

    def test_fs_45_the_lock_follows_the_real_path(self, homes: list[Path], tmp_path: Path) -> None:
        """Who holds the lock of the real folder, or of one's own, keeps the other home from writing."""
        for held in (tmp_path / "real", homes[1]):
            with lock_held(held), pytest.raises(LockBusy):
                Operator(a_reader(homes[1]), timeout_s=0.2).add_key("openrouter", NEW)
        Operator(a_reader(homes[1]), timeout_s=5).add_key("openrouter", NEW)
        assert len(ids(homes[0])) == 2


class TestFS46ReplaceRefused:
    """A rename that is refused, as on Windows while somebody has the file open, loses no edit."""

    def refusing(self, home: Path, times: int, act: Callable[[FileStore], None]) -> FailingDisk:
        """Return a disk that refuses the first `times` renames of the act."""
        dry = FailingDisk()
        copy = home.with_name("dry")
        write_store(copy, load(home)["credential_pool"])
        act(FileStore(a_home(copy), disk=dry, clock=FakeClock()))
        first = dry.calls.index("replace") + 1
        return FailingDisk(errno.EACCES, at=range(first, first + times))

    def test_fs_46_a_passing_refusal_is_waited_out(self, home: Path) -> None:
        """Some tries later the write is there, and the caller never knew."""
        write_store(home, {"openrouter": keys("aaa001")})

        def use(store: FileStore) -> None:
            with store.transaction() as change:
                change.update_row("openrouter", "aaa001", {"label": "edited"})

        disk = self.refusing(home, 3, use)
        use(FileStore(a_home(home), disk=disk, clock=FakeClock()))
        assert labels(home) == ["edited"]
        assert disk.calls.count("replace") == 5  # the checkpoint beside it is replaced too
        assert 0 < disk.paused_s < 1

    def test_fs_46_a_lasting_refusal_is_a_clear_error_and_can_be_tried_again(self, home: Path) -> None:
        """Bounded tries, the old file, no leftovers; the same act succeeds once the other has let go."""
        write_store(home, {"openrouter": keys("aaa001")})
        before = (home / "auth.json").read_bytes()
        disk = FailingDisk(errno.EACCES, on={"replace"})
        operator = Operator(a_reader(home, disk=disk))
        with pytest.raises(StoreReadOnly, match="permission denied"):
            operator.add_key("openrouter", NEW, label="mine")
        assert 1 < disk.calls.count("replace") <= 10
        assert disk.paused_s < 2
        assert (home / "auth.json").read_bytes() == before
        assert not [path for path in tree(home) if ".tmp." in path]
        disk.heal()
        operator.add_key("openrouter", NEW, label="mine")
        assert labels(home) == ["key-aaa001", "mine"]


class TestFS47UnknownContentRoundTrips:
    """What we do not know is kept exactly as it was."""

    def strange(self) -> dict[str, Any]:
        """Return pools with every strangeness that a later hermes or another tool may write."""
        return {
            "openrouter": [
                a_key(
                    "aaa001",
                    x_tool={"nested": [1, None, {"a": "ü"}]},
                    model_cooldowns={"m": 1.5},
                    failure_reason="billing",
                ),
                a_key("bbb002", last_status="dead", last_status_at="2026-01-01T00:00:00Z"),
                a_key(
                    "ccc003",
                    access_token=...,
                    source="env:GONE",
                    secret_fingerprint="sha256:4dff6a68f232ad6b",
                ),
                a_key("ddd004", last_status="resting", status_cleared_at=5),
                a_key("eee005", source="vault:x", access_token="sk-in-an-old-file"),
                a_login("fff006", tls={"insecure": True, "ca_bundle": None}, agent_key_reused=False),
                "not a row",
                None,
                {"id": "ggg007"},
                {"no": "id"},
            ],
            "a provider of tomorrow": [a_key("zzz001", priority="first")],
            "no list": {"x": 1},
            "empty": [],
        }

    def test_fs_47_renaming_one_label_changes_one_label(self, home: Path) -> None:
        """Top level, providers, pools, rows, fields and statuses are equal after parsing, to the order of keys."""
        write_store(
            home,
            self.strange(),
            providers={"spotify": {"access_token": "s", "scope": "x"}, "odd": 5},
            x_tool={"keep": [True]},
            suppressed_sources={"later": ["env:Z"], "odd": "text"},
            active_provider=None,
        )
        before = load(home)
        with FileStore(a_home(home), clock=FakeClock()).transaction() as change:
            change.update_row("openrouter", "aaa001", {"label": "renamed"})
        after = load(home)
        assert after["credential_pool"]["openrouter"][0].pop("label") == "renamed"
        before["credential_pool"]["openrouter"][0].pop("label")
        assert after.pop("updated_at")
        assert json.dumps(after) == json.dumps(before)

    def test_fs_47_every_act_of_ours_leaves_the_rest_alone(self, home: Path) -> None:
        """Adding, marking, counting, resetting one row and removing one row touch those rows only."""
        write_store(home, self.strange(), x_tool={"keep": [True]})
        before = load(home)
        pool = a_pool(home)
        operator = Operator(a_reader(home))
        added = operator.add_key("openrouter", NEW).credential_id
        pool.mark_exhausted_and_rotate(status_code=429, api_key_hint="sk-test-aaa001-secret")
        operator.reset("openrouter", "aaa001")
        operator.remove("openrouter", str(added))
        after = load(home)
        assert after.pop("updated_at")
        assert after == before


class TestFS49ReplaceByRenameIsSeen:
    """A watcher sees replaced files, with events and without."""

    async def test_fs_49_two_replacements_within_50_ms(self, home: Path) -> None:
        """The last of two renames in a row is shown, told by an event and not by the two-second look."""
        write_store(home, {"openrouter": [a_key("aaa001", "before")]})
        async with following(Watch(Lookout(a_reader(home)))) as seen:
            await seen.until_events_come(home)
            for round_ in range(2):
                replace_with(home, f"first-{round_}")
                replace_with(home, f"second-{round_}")
                await seen.label(f"second-{round_}")
                assert seen.watch.how == "live"
                assert seen.watch._missed == 0

    async def test_fs_49_without_events_looks_find_it(self, home: Path) -> None:
        """Where the system tells nothing, every replacement is still seen, and the watcher says that it polls."""
        write_store(home, {"openrouter": [a_key("aaa001", "before")]})
        looks: asyncio.Queue[bool] = asyncio.Queue()

        async def silent(_source: Readable, _folders: list[Path], stop: asyncio.Event) -> AsyncIterator[bool]:
            while not stop.is_set():
                yield await looks.get()

        async with following(Watch(Lookout(a_reader(home)), events=silent)) as seen:
            for number in range(4):
                replace_with(home, f"round-{number}")
                looks.put_nowait(False)
                await seen.label(f"round-{number}")
            assert seen.watch.how == "polling"

    async def test_fs_49_a_store_that_comes_later_is_seen(self, home: Path) -> None:
        """Neither the folder nor the file was there when the watching began."""
        async with following(Watch(Lookout(a_reader(home)))) as seen:
            write_store(home, {"openrouter": [a_key("aaa001", "new")]})
            await seen.label("new")

    async def test_fs_49_an_event_without_a_change_reads_nothing(self, home: Path) -> None:
        """No loop of watching, loading and writing: what is told and finds nothing yields nothing."""
        write_store(home, {"openrouter": [a_key("aaa001", "before", **benched())]})
        before = tree(home)
        told, go_on = asyncio.Event(), asyncio.Event()

        async def busy(_source: Readable, _folders: list[Path], stop: asyncio.Event) -> AsyncIterator[bool]:
            for _ in range(20):
                yield True
            told.set()
            await go_on.wait()
            yield True
            await stop.wait()

        async with following(Watch(Lookout(a_reader(home)), events=busy)) as seen:
            await asyncio.wait_for(told.wait(), 5)
            assert seen.labels.empty()
            assert tree(home) == before
            replace_with(home, "after")
            go_on.set()
            await seen.label("after")


class Seen:
    """What a watcher showed: the label of the first row of each snapshot."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.labels: asyncio.Queue[str] = asyncio.Queue()

    async def follow(self) -> None:
        """Collect labels until the watcher stops."""
        async for snapshot in self.watch.snapshots():
            if snapshot.pools:
                self.labels.put_nowait(snapshot.pools[0].rows[0].label)

    async def label(self, wanted: str) -> None:
        """Wait until a snapshot shows this label; fail after five seconds."""
        async with asyncio.timeout(5):
            while await self.labels.get() != wanted:
                pass

    async def until_events_come(self, home: Path) -> None:
        """Replace the store until the system is known to tell of it: watching takes a moment to begin."""
        async with asyncio.timeout(10):
            for number in count():
                replace_with(home, f"warm-up-{number}")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.labels.get(), 0.4)
                    if number:
                        return


@asynccontextmanager
async def following(watch: Watch) -> AsyncIterator[Seen]:
    """Follow a watcher in a task of its own for the block."""
    seen = Seen(watch)
    task = asyncio.create_task(seen.follow())
    try:
        yield seen
    finally:
        watch.stop()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def replace_with(home: Path, label: str) -> None:
    """Replace the store by a rename, as hermes does."""
    temporary = home / f"auth.json.tmp.{label}"
    document = {"version": 1, "providers": {}, "credential_pool": {"openrouter": [a_key("aaa001", label)]}}
    temporary.write_text(json.dumps(document))
    os.replace(temporary, home / "auth.json")


class TestFS71AddedKeysKeepTheirSecret:
    """A key added here is one whose secret hermes keeps."""

    def test_fs_71_the_source_is_manual_and_the_token_survives_hermes_rules(self, home: Path) -> None:
        """Hermes strips the secret of every row it does not take for owned (hermes-pool 1.5); ours is owned."""
        for provider in ("openrouter", "anthropic", "custom:mine", "zai"):
            Operator(a_reader(home)).add_key(
                provider, Secret(f"sk-{provider[:3]}-0123456789"), base_url="https://m/v1"
            )
            (row,) = load(home)["credential_pool"][provider]
            assert row["source"] == "manual"
            rewritten = row if is_owned(provider, row["source"]) else borrowed_form(row)
            assert rewritten["access_token"] == f"sk-{provider[:3]}-0123456789"

    def test_fs_71_pools_of_an_agent_add_manual_rows_too(self, home: Path) -> None:
        """Whatever source the agent's own entry named."""
        from keydeck.engine.credential import Credential

        entry = Credential(id="x", provider="openrouter", source="credctl", label="mine", access_token=NEW)
        a_pool(home).add_entry(entry)
        (row,) = load(home)["credential_pool"]["openrouter"]
        assert (row["source"], row["access_token"]) == ("manual", NEW.reveal())
