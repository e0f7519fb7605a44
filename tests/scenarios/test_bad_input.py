"""Bad input, item by item (issue 2, "What it must show" 5): never a traceback, never a changed file.

Every item goes through everything that looks at a home and everything that acts on one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fakes import (
    NOW,
    FakeClock,
    a_key,
    a_login,
    a_pool,
    a_reader,
    around,
    benched,
    keys,
    load,
    lock_held,
    permissions_count,
    tree,
    write_store,
)
from keydeck import load_pool
from keydeck.cli import keydeck
from keydeck.engine.acts import Operator
from keydeck.engine.errors import KeydeckError, LockBusy, StoreError, StoreReadOnly, StoreUnreadable
from keydeck.engine.secret import Secret
from keydeck.engine.snapshot import HomeSnapshot
from keydeck.present.card import card_lines
from keydeck.present.empty import empty_lines
from keydeck.present.glyphs import ASCII, UNICODE
from keydeck.present.listing import list_lines, listing, status_lines, statuses
from keydeck.present.panes import banner, header_line, pane_views, status_line
from keydeck.present.rows import Context, columns, longest_label, row_line
from keydeck.present.spans import Line, plain

NEW = Secret("sk-new-0123456789")


@dataclass
class Looked:
    """What everything that looks at a home saw."""

    snapshot: HomeSnapshot
    drawn: list[str]
    document: dict[str, Any]
    results: list[Result] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Everything that was drawn or printed."""
        return "\n".join([*self.drawn, *(result.output for result in self.results)])

    def health(self) -> list[str]:
        """Return the health of every row, in order."""
        return [row["health"] for pool in self.document["pools"] for row in pool["credentials"]]


def look(home: Path) -> Looked:
    """Read, draw at several widths, list, and run every command that looks; let no error through."""
    snapshot = a_reader(home).read()
    drawn = [plain(line) for line in draw(snapshot)]
    drawn += [*list_lines(snapshot, NOW), *status_lines(statuses(snapshot, NOW), NOW), banner(snapshot, NOW)]
    seen = Looked(snapshot, drawn, json.loads(json.dumps(listing(snapshot, NOW), allow_nan=False)))
    for args in (["list"], ["list", "--json"], ["status"]):
        result = CliRunner().invoke(keydeck, ["--home", str(home), "auth", *args])
        assert result.exception is None or isinstance(result.exception, SystemExit | KeydeckError), args
        seen.results.append(result)
    a_pool(home).select()
    a_pool(home).entries()
    for line in seen.text.splitlines():
        assert not set(line) & {"\x1b", "\x9b", "\x07", "\x00", "\u202e", "\u2066"}, line
    return seen


def draw(snapshot: HomeSnapshot) -> Iterator[Line]:
    """Yield every line that the dashboard would draw, at widths from narrow to wide."""
    for glyphs, masked in ((UNICODE, False), (ASCII, True)):
        context = Context(glyphs, snapshot.scrubber, masked)
        panes = pane_views(snapshot, NOW, context)
        kinds = [kind for pane in panes for kind in pane.kinds]
        for cells in (24, 120):
            yield status_line("~/.hermes", kinds, cells, glyphs, watching="live")
            for pool, pane in zip(snapshot.pools, panes, strict=True):
                yield header_line(pane, NOW, cells, glyphs, has_focus=True)
                at = columns(cells, longest_label(pane.rows))
                for row in pane.rows:
                    yield row_line(row, at, NOW, glyphs)
                    yield from card_lines(pool, pool.at(NOW), row, NOW, cells, context)
    yield from empty_lines(snapshot, "", only_problems=False)


ACTS: dict[str, Callable[[Operator], object]] = {
    "add": lambda acts: acts.add_key("openrouter", NEW),
    "remove": lambda acts: acts.remove("openrouter", "aaa001"),
    "reset": lambda acts: acts.reset("openrouter"),
    "reset one": lambda acts: acts.reset("openrouter", "aaa001"),
}


def refuse_every_act(home: Path, error: type[KeydeckError]) -> None:
    """See every act end in this error, and every byte and every backup stay as it was."""
    before = {path: found for path, found in tree(home).items() if path != "auth.lock"}
    for act in ACTS.values():
        with pytest.raises(error) as raised:
            act(Operator(a_reader(home), timeout_s=0.3))
        assert "\n" not in str(raised.value)
    assert {path: found for path, found in tree(home).items() if path != "auth.lock"} == before


# --- the file as a whole -----------------------------------------------------------------------------------


def test_a_missing_home(home: Path) -> None:
    """It is empty and not a trouble; looking does not make it; the first key does."""
    seen = look(home)
    assert seen.snapshot.trouble is None
    assert f"there is no auth.json in {home} yet" in seen.text
    assert seen.document["pools"] == []
    assert [result.exit_code for result in seen.results] == [0] * 3
    assert not home.exists()
    Operator(a_reader(home)).add_key("openrouter", NEW)
    assert look(home).health() == ["ready"]


WHOLE = json.dumps(
    {"version": 1, "providers": {}, "credential_pool": {"openrouter": keys("aaa001")}}
).encode()
BROKEN: dict[str, tuple[bytes, str]] = {
    "an empty file": (b"", "the file is empty"),
    "only blanks": (b" \n\t\n", "the file is empty"),
    "truncated JSON": (WHOLE[: len(WHOLE) // 2], "not valid JSON (line 1)"),
    "JSON cut in a string": (b'{"credential_pool": {"openrouter": [{"label": "a', "not valid JSON (line 1)"),
    "two documents": (WHOLE + WHOLE, "not valid JSON (line 1)"),
    "a list instead of an object": (b"[" + WHOLE + b"]", "a JSON list where an object should be"),
    "a string": (b'"auth"', "a JSON string where an object should be"),
    "null": (b"null", "a JSON null where an object should be"),
    "NUL bytes": (b"\x00" * 512, "not valid JSON"),
    "UTF-16": (WHOLE.decode().encode("utf-16"), "not valid JSON"),
    "Latin-1": (b'{"x": "\xe9"}', "not valid JSON"),
    "nesting without end": (b'{"a":' * 100_000, "not valid JSON"),
    "a number without end": (b'{"a":' + b"9" * 10_000 + b"}", "not valid JSON"),
    "pools that are a list": (b'{"credential_pool": [1]}', "credential_pool is a JSON list"),
    "a later version": (b'{"version": 2, "credential_pool": {}}', "store version 2 is newer"),
}


@pytest.mark.parametrize(("data", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_no_store(home: Path, data: bytes, reason: str) -> None:
    """One reason everywhere, exit code 1 without output, the last good rows, no act, no byte changed."""
    path = write_store(home, {"openrouter": keys("aaa001")})
    reader = a_reader(home)
    good = reader.read()
    path.write_bytes(data)
    before = tree(home)
    seen = look(home)
    assert isinstance(seen.snapshot.trouble, StoreError)
    assert reason in str(seen.snapshot.trouble)
    assert reason in banner(seen.snapshot, NOW)
    assert seen.document["pools"] == []
    for result in seen.results:
        assert (result.exit_code, result.stdout) == (1, "")
        assert reason in str(result.exception)
    assert reader.read().pools == good.pools
    with pytest.raises(StoreError):
        load_pool("openrouter", home=home, around=around(home.parent))
    refuse_every_act(home, StoreError)
    assert {name: found for name, found in tree(home).items() if name != "auth.lock"} == before


def test_a_byte_order_mark(home: Path) -> None:
    """A store saved with one is read and acted on like any other; the next write leaves it out."""
    path = write_store(home, {"openrouter": keys("aaa001")})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    before = tree(home)
    assert look(home).health() == ["ready"]
    assert tree(home) == before
    Operator(a_reader(home)).add_key("openrouter", NEW)
    assert path.read_bytes().startswith(b"{")
    assert len(load(home)["credential_pool"]["openrouter"]) == 2


def test_an_unreadable_file(home: Path) -> None:
    """Permission denied is told everywhere, and is not an empty store to anybody."""
    path = write_store(home, {"openrouter": keys("aaa001")})
    path.chmod(0)
    before = path.stat()
    with permissions_count():
        seen = look(home)
        assert isinstance(seen.snapshot.trouble, StoreUnreadable)
        assert "permission denied" in banner(seen.snapshot, NOW)
        assert {result.exit_code for result in seen.results} == {1}
        with pytest.raises(StoreUnreadable):
            load_pool("openrouter", home=home, around=around(home.parent))
        for act in ACTS.values():
            with pytest.raises(StoreUnreadable):
                act(Operator(a_reader(home), timeout_s=0.3))
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )
    assert not (home / "keydeck").exists()


def test_a_folder_in_its_place(home: Path) -> None:
    """Told like any other file that cannot be read."""
    (home / "auth.json").mkdir(parents=True)
    assert isinstance(look(home).snapshot.trouble, StoreUnreadable)
    refuse_every_act(home, StoreUnreadable)


def test_a_link_to_itself(home: Path) -> None:
    """A loop is told, and not followed."""
    home.mkdir()
    (home / "auth.json").symlink_to("auth.json")
    assert isinstance(look(home).snapshot.trouble, StoreUnreadable)
    before = sorted(path.name for path in home.iterdir())
    with pytest.raises(StoreError):
        Operator(a_reader(home), timeout_s=0.3).add_key("openrouter", NEW)
    assert {*before, "auth.lock"} >= {path.name for path in home.iterdir()}


def test_a_read_only_folder(home: Path) -> None:
    """Looking is as ever; every act says that it cannot write, and leaves nothing."""
    write_store(home, {"openrouter": keys("aaa001", **benched())})
    home.chmod(0o500)
    with permissions_count():
        seen = look(home)
        assert seen.snapshot.trouble is None
        assert seen.health() == ["cooling"]
        refuse_every_act(home, StoreReadOnly)
        pool = a_pool(home, clock=FakeClock(NOW + 9999))
        assert pool.select() is not None
        assert pool.mark_exhausted_and_rotate(status_code=429) is None
        assert pool.select() is None
    home.chmod(0o700)
    assert list(tree(home)) == ["auth.json"]


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    """Not a folder is told, by acts too."""
    home = tmp_path / "home"
    home.write_text("I am no folder")
    assert look(home).snapshot.trouble is not None
    for act in ACTS.values():
        with pytest.raises(StoreError):
            act(Operator(a_reader(home), timeout_s=0.3))
    assert home.read_text() == "I am no folder"


@pytest.mark.parametrize("act", [ACTS["add"], ACTS["reset one"]], ids=["add", "reset one"])
def test_a_lock_held_by_another_process(home: Path, act: Callable[[Operator], object]) -> None:
    """A word after 300 ms, a clean end at the timeout, nothing changed, and looking never waits."""
    write_store(home, {"openrouter": keys("aaa001", **benched())})
    waited: list[float] = []
    with lock_held(home):
        before = tree(home)
        assert look(home).health() == ["cooling"]
        with pytest.raises(LockBusy, match="nothing was changed"):
            act(Operator(a_reader(home), timeout_s=0.7, on_wait=waited.append))
        assert tree(home) == before
    assert len(waited) == 1
    assert 0.3 <= waited[0] < 0.7
    act(Operator(a_reader(home), timeout_s=5))


# --- rows --------------------------------------------------------------------------------------------------

BAD_ROWS: dict[str, tuple[Any, str]] = {
    "string priority": (a_key("bad001", priority="1"), "its priority is not a number"),
    "null priority": (a_key("bad001", priority=None), "its priority is not a number"),
    "NaN priority": (a_key("bad001", priority=float("nan")), "its priority is not a number"),
    "infinite priority": (a_key("bad001", priority=float("inf")), "its priority is not a number"),
    "endless priority": (a_key("bad001", priority=10**400), "its priority is not a number"),
    "null source": (a_key("bad001", source=None), "its source is not text"),
    "source that is a list": (a_key("bad001", source=["manual"]), "its source is not text"),
    "null auth_type": (a_key("bad001", auth_type=None), "its auth_type is not text"),
    "token that is an object": (a_key("bad001", access_token={"a": 1}), "its access_token is not text"),
    "no object": ("sk-a-bare-key-0123456789", "the row is not an object"),
    "null": (None, "the row is not an object"),
    "a number": (7, "the row is not an object"),
    "a list": ([a_key()], "the row is not an object"),
    "a twin": (a_key("aaa001"), "the id aaa001 is used twice"),
}


@pytest.mark.parametrize(("raw", "reason"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_row_that_is_none(home: Path, raw: Any, reason: str) -> None:
    """It is shown with its reason, hides no other, is never picked, and every act on the others leaves it alone."""
    write_store(
        home, {"openrouter": [a_key("aaa001", **benched()), raw, a_key("ccc003")], "zai": keys("ddd004")}
    )
    before = tree(home)
    seen = look(home)
    assert tree(home) == before
    assert seen.snapshot.trouble is None
    assert sorted(seen.health()) == ["bad_row", "cooling", "ready", "ready"]
    assert reason in seen.text
    assert "sk-a-bare-key" not in seen.text
    assert [result.exit_code for result in seen.results] == [0] * 3
    chosen = a_pool(home).select()
    assert chosen is not None
    assert chosen.id == "ccc003"
    acts = Operator(a_reader(home))
    acts.add_key("openrouter", NEW)
    acts.reset("openrouter", "aaa001")
    acts.remove("openrouter", "ccc003")
    rows = load(home)["credential_pool"]["openrouter"]
    assert repr(rows[1]) == repr(raw)
    assert [row["label"] for row in rows if isinstance(row, dict) and row.get("source") == "manual"][
        -1
    ] == "api-key-3"


@pytest.mark.parametrize("value", [{"aaa": a_key()}, "rows", 7, None, True])
def test_a_pool_that_is_no_list(home: Path, value: Any) -> None:
    """It is named with its reason; other pools are as ever; nothing is written into it."""
    write_store(home, {"openrouter": value, "zai": keys("ddd004")})
    before = tree(home)
    seen = look(home)
    assert seen.health() == ["ready"]
    assert list(seen.snapshot.bad_pools) == ["openrouter"]
    assert "where a list of rows should be" in banner(seen.snapshot, NOW)
    assert "pool openrouter cannot be shown" in seen.text
    with pytest.raises(KeydeckError, match="not a list"):
        Operator(a_reader(home)).add_key("openrouter", NEW)
    assert {path: found for path, found in tree(home).items() if path != "auth.lock"} == before
    Operator(a_reader(home)).add_key("zai", NEW)
    assert load(home)["credential_pool"]["openrouter"] == value


LABELS = {
    "closing markup": "[/x]",
    "markup": "[bold red]loud[/] [@click=app.quit]x[/]",
    "an escape sequence": "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "a new line": "two\nlines\r\nthree",
    "bidi": "\u202egnp.exe\u202c\u2066x\u2069",
    "300 characters": "x" * 300,
    "300 wide characters": "鍵" * 300,
    "a tower of marks": "Z" + "\u0335" * 300,
    "NUL": "a\x00b",
    "a lone surrogate": "a\ud800b",
    "nothing": "",
    "blanks": "   ",
    "a number": 7,
    "an object": {"a": 1},
    "format characters": "%s {0} {key} \\n",
}


@pytest.mark.parametrize("label", LABELS.values(), ids=LABELS)
def test_a_hostile_label(home: Path, label: Any) -> None:
    """Shown inert and cut, on one line, in every place; kept in the file as it is."""
    write_store(home, {"openrouter": [a_key("aaa001", label), a_key("bbb002", "neighbour")]})
    before = tree(home)
    seen = look(home)
    assert tree(home) == before
    assert seen.health() == ["ready", "ready"]
    assert len(seen.results[0].output.splitlines()) == 3
    assert "neighbour" in seen.results[0].output
    assert "x" * 50 not in seen.results[0].output
    Operator(a_reader(home)).add_key("openrouter", NEW)
    assert load(home)["credential_pool"]["openrouter"][0] == json.loads(json.dumps(a_key("aaa001", label)))


SECRET = "Planted0123456789abcdefghijklmnopqrstuvwxyz"
MESSAGES = {
    "at the start": SECRET + "x" * 100_000,
    "in the middle": "x" * 50_000 + SECRET + "x" * 50_000,
    "at the end": "x" * 100_000 + SECRET,
    "everywhere": (SECRET + " ") * 2_300,
    "without a gap": SECRET * 2_400,
    **{
        f"across {cut}": "word " * ((cut - 15) // 5) + SECRET + " word" * 20_000
        for cut in (80, 400, 2000, 4000, 20_000)
    },
    **{
        f"across {cut}, after blanks": " " * (cut - 15) + SECRET + " word" * 20_000
        for cut in (80, 400, 2000, 4000, 20_000)
    },
    **{
        f"across {cut}, after signs": "\x1b" * (cut - 15) + SECRET + "\n" * 90_000
        for cut in (400, 2000, 4000, 20_000)
    },
    "in a key of JSON": '{"' + SECRET + '": ' + "1" * 100_000 + "}",
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_a_message_of_100_000_characters_with_a_secret_in_it(home: Path, message: str) -> None:
    """Neither the secret nor a head of it is drawn, listed or printed, wherever it stands."""
    assert len(message) > 90_000
    write_store(
        home,
        {
            "openrouter": [
                a_key(
                    "aaa001",
                    access_token=SECRET,
                    **benched(401, last_error_message=message, last_error_reason=message),
                )
            ]
        },
    )
    before = tree(home)
    seen = look(home)
    assert tree(home) == before
    assert seen.health() == ["cooling"]
    assert SECRET[:8] not in seen.text
    assert SECRET not in json.dumps(seen.document)
    assert max(map(len, seen.results[0].output.splitlines())) < 1000


def test_a_secret_of_another_row_in_a_message(home: Path) -> None:
    """A provider may echo any key of the home, a login's too."""
    others = ("planted-other-0123", "planted-login-0123", "planted-refresh-01")
    write_store(
        home,
        {
            "openrouter": [a_key("aaa001", **benched(429, last_error_message=" ".join(others)))],
            "zai": [a_key("bbb002", access_token=others[0]), a_login("ccc003", refresh_token=others[2])],
        },
        providers={"openai-codex": {"tokens": {"access_token": others[1]}}},
    )
    text = look(home).text
    assert "planted" not in text
    assert "*** *** ***" in text


# --- times and numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("field_name", ["last_error_reset_at", "last_status_at"])
@pytest.mark.parametrize(
    "way",
    [
        NOW + 60,
        (NOW + 60) * 1000,
        str(NOW + 60),
        "2026-11-08T14:03:11Z",
        "2026-11-08T15:03:11+01:00",
        "2026-11-08T14:03:11",
        "20261108T140311Z",
    ],
)
def test_times_in_every_way_of_writing(home: Path, field_name: str, way: Any) -> None:
    """FS-09: seconds, milliseconds, ISO with a zone and naive name the same instant everywhere."""
    write_store(
        home,
        {
            "openrouter": [
                a_key("aaa001", **{"last_status": "exhausted", "last_error_code": 429, field_name: way})
            ]
        },
    )
    seen = look(home)
    (row,) = seen.document["pools"][0]["credentials"]
    assert row["health"] == "cooling"
    assert row["until" if field_name == "last_error_reset_at" else "since"] == NOW + 60
    assert (
        f"until {'14:03:11 (1m00s' if field_name == 'last_error_reset_at' else '15:03:11 (1h01m'} left)"
        in seen.text
    )


def test_exhausted_without_a_time(home: Path) -> None:
    """FS-16: the bench is over, for the list and for the engine."""
    write_store(home, {"openrouter": [a_key("aaa001", last_status="exhausted", last_error_code=429)]})
    assert look(home).health() == ["ready"]
    assert a_pool(home).select() is not None


NUMBERS = [
    float("nan"),
    float("inf"),
    -float("inf"),
    1e308,
    -1e308,
    10**400,
    -(10**400),
    -1,
    0,
    True,
    "NaN",
    "Infinity",
    [],
    {},
]
FIELDS = [
    "last_status_at",
    "last_error_reset_at",
    "last_error_code",
    "request_count",
    "expires_at_ms",
    "expires_at",
    "agent_key_expires_at",
    "last_refresh",
]


@pytest.mark.parametrize("field_name", FIELDS)
def test_numbers_that_are_none(home: Path, field_name: str) -> None:
    """NaN, infinity and the like in any field: the rows are shown, the JSON is JSON, and acts work."""
    rows = [
        {**a_login(f"row{place:03}", last_status="exhausted"), field_name: number}
        for place, number in enumerate(NUMBERS)
    ]
    write_store(home, {"openrouter": [*rows, a_key("bbb002", priority=1)]})
    before = tree(home)
    seen = look(home)
    assert tree(home) == before
    assert len(seen.health()) == len(NUMBERS) + 1
    assert "bad_row" not in seen.health()
    assert " nan" not in seen.text.lower()
    assert " inf" not in seen.text.lower()
    Operator(a_reader(home)).remove("openrouter", "bbb002")
    assert repr(load(home)["credential_pool"]["openrouter"]) == repr(json.loads(json.dumps(rows)))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_know(home: Path, number: str) -> None:
    """Python writes them, and so hermes may have: the store is read, and they round-trip."""
    home.mkdir()
    (home / "auth.json").write_text(
        f'{{"version": 1, "providers": {{}}, "x": {number}, "credential_pool": {{"openrouter": [{{"id": "aaa001", "access_token": "sk-a-0123456789", "x": {number}}}]}}}}'
    )
    assert look(home).health() == ["ready"]
    Operator(a_reader(home)).add_key("openrouter", NEW)
    assert (home / "auth.json").read_text().count(number) == 2


# --- other files -------------------------------------------------------------------------------------------

OTHERS: dict[str, bytes] = {
    "nothing": b"",
    "not UTF-8": b"\xff\xfe\x00",
    "broken YAML": b"a: [",
    "a list": b"- 1\n- 2\n",
    "NUL bytes": b"\x00" * 100,
    "nesting without end": b"[" * 700,
    "an object as tag": b"!!python/object/apply:os.system ['true']\n",
    "an endless alias": b"a: &a [*a]\n",
}


@pytest.mark.parametrize("name", ["config.yaml", ".env", ".anthropic_oauth.json", "active_profile"])
@pytest.mark.parametrize("data", [*OTHERS.values(), None], ids=[*OTHERS, "unreadable"])
def test_other_files_of_the_home(home: Path, name: str, data: bytes | None) -> None:
    """Whatever stands in them, the rows are shown and the store can be acted on."""
    write_store(home, {"openrouter": keys("aaa001")}, active_provider="anthropic")
    (home / name).write_bytes(data or b"")
    if data is None:
        (home / name).chmod(0)
    before = (home / name).stat()
    with permissions_count():
        seen = look(home)
        assert seen.snapshot.trouble is None
        assert "ready" in seen.health()
        Operator(a_reader(home)).add_key("openrouter", NEW)
    after = (home / name).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
