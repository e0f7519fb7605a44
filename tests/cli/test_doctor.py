"""``keydeck doctor``: its lines, its JSON, its exit codes, and that looking leaves no trace."""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path

import pytest

from cli.program import Run
from clinic import LEFT, a_file, add_row, append, live_in
from fakes import FakeClock, keys, lock_held, permissions_count, write_store
from fuzz.strategies import drawn
from keydeck.engine.snapshot import HomeReader

Exact = dict[str, tuple[int, int, int, int, bytes]]


@pytest.fixture
def ran(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return the program on a home in order, at the present."""
    clock = functools.partial(HomeReader, clock=FakeClock(time.time()))
    monkeypatch.setattr("keydeck.cli.common.HomeReader", clock)
    live_in(home)
    for path in (home, *home.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o077)
    return run


def exact(folder: Path) -> Exact:
    """Return everything below a folder, itself included: mode, inode, change times and content."""
    found = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (status.st_mode, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, content)
    return found


def make_ill(home: Path) -> None:
    """Let a few things go wrong: two that are safe to mend, one that is not, and one that is only a note."""
    (home / "auth.json").chmod(0o644)
    a_file(LEFT.format(1), "sk-left-behind", age_s=90)(home)
    add_row("openrouter", row_id="aaa009", access_token="sk-test-aaa001-secret", priority=9)(home)
    append(b"torn")(home)


def test_a_home_in_order(ran: Run) -> None:
    """Nothing wrong is one line and exit code 0."""
    assert ran.done("doctor") == "nothing is wrong\n"


def test_a_finding_is_two_lines(ran: Run, home: Path) -> None:
    """What is wrong stands beside its severity, and below it a command that means the same home."""
    make_ill(home)
    result = ran("doctor")
    assert result.exit_code == 1
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0] == "problem  auth.json is open to others: mode 0644"
    assert lines[1] == f"         chmod go-rwx {home / 'auth.json'}"
    assert lines[2].startswith(f"problem  {LEFT.format(1)} was left by a writer")
    assert lines[4].startswith("warning  key-aaa009 (aaa009) of openrouter holds the same key as key-aaa001")
    assert lines[5] == f"         keydeck auth remove openrouter aaa009 --home {home}"
    assert lines[6].startswith("note     1 line of the journal is torn")
    assert lines[8:] == [f"2 problems, 1 warning, 1 note; keydeck doctor --fix --home {home} does 2 of them"]


def test_json_has_the_same_in_stable_words(ran: Run, home: Path) -> None:
    """Each finding has its severity, kind, subject, what, do, and whether it is safe to fix."""
    make_ill(home)
    result = ran("doctor", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told.keys() == {"home", "profile", "findings"}
    assert (told["home"], told["profile"]) == (str(home), "default")
    assert {tuple(each) for each in told["findings"]} == {
        ("severity", "kind", "subject", "what", "do", "safe_to_fix")
    }
    assert [(each["severity"], each["kind"], each["safe_to_fix"]) for each in told["findings"]] == [
        ("problem", "mode", True),
        ("problem", "leftover", True),
        ("warning", "duplicate", False),
        ("note", "journal_torn", False),
    ]


def test_notes_alone_are_no_fault(ran: Run, home: Path) -> None:
    """A torn line, or a lock that somebody holds, is told; the exit code stays 0."""
    append(b"torn")(home)
    with lock_held(home):
        told = ran.done("doctor")
    assert told.startswith("note     auth.lock is held right now by ")
    assert told.endswith("2 notes\n")


def test_fix_does_what_is_safe_and_looks_again(ran: Run, home: Path) -> None:
    """Each thing done is a line; what is left is told as before, and decides the exit code."""
    make_ill(home)
    result = ran("doctor", "--fix")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[:2] == [f"closed to others: {home / 'auth.json'}", f"removed: {home / LEFT.format(1)}"]
    assert lines[2].startswith("warning  key-aaa009 (aaa009)")
    assert lines[-1] == "1 warning, 1 note"
    assert (home / "auth.json").stat().st_mode & 0o777 == 0o600
    assert "aaa009" in (home / "auth.json").read_text()


def test_fix_of_everything_ends_well(ran: Run, home: Path) -> None:
    """Where all that was wrong could be mended, the exit code is 0."""
    (home / ".env").chmod(0o644)
    told = json.loads(ran.done("doctor", "--fix", "--json"))
    assert told["findings"] == []
    assert told["fixed"] == [{"path": str(home / ".env"), "what": "closed to others", "refused": None}]
    assert ran.done("doctor", "--fix") == "nothing is wrong\n"


def test_fix_under_a_lock_is_refused(ran: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody else holds the lock nothing is touched, and one line says so."""
    from keydeck.engine import doctor

    monkeypatch.setattr(doctor, "mend", functools.partial(doctor.mend, timeout_s=0.05))
    make_ill(home)
    with lock_held(home):
        assert "auth.lock" in ran.refused("doctor", "--fix")
    assert (home / LEFT.format(1)).exists()


def test_read_only_fixes_nothing(ran: Run, home: Path) -> None:
    """--read-only and --fix together are refused before anything is read."""
    make_ill(home)
    before = exact(home)
    assert ran.refused("--read-only", "doctor", "--fix") == "--read-only: nothing is changed"
    assert exact(home) == before


def test_a_wrong_word_is_wrong_usage(ran: Run) -> None:
    """An option it does not have ends with exit code 2."""
    assert ran("doctor", "--mend").exit_code == 2


def test_the_help_names_the_exit_codes(ran: Run) -> None:
    """Scripts can rely on what the help says."""
    told = " ".join(ran.done("doctor", "--help").split())
    for words in ("0: nothing is wrong", "1: something is", "2: wrong usage", "Looking changes nothing"):
        assert words in told


@pytest.mark.parametrize("ill", [False, True])
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_looking_writes_nothing_at_all(ill: bool, more: tuple[str, ...], ran: Run, home: Path) -> None:
    """Content, mode, change times and inodes of the whole home are as before, and nothing is new."""
    if ill:
        make_ill(home)
    before = exact(home)
    ran("doctor", *more)
    assert exact(home) == before


def test_looking_at_a_home_of_hermes_alone_writes_nothing(home: Path, run: Run) -> None:
    """A home that Keydeck never wrote in gets neither a lock nor a folder."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    home.chmod(0o700)
    before = exact(home)
    run("doctor")
    assert exact(home) == before


def test_looking_at_a_broken_home_writes_nothing(ran: Run, home: Path) -> None:
    """Nor does it where next to nothing can be read."""
    (home / "auth.json").write_text("{")
    (home / "keydeck" / "journal-000001.jsonl").chmod(0)
    before = exact(home)
    with permissions_count():
        assert ran("doctor").exit_code == 1
    assert exact(home) == before


HOSTILE = "\x1b]0;pwn\x07\u202e[red]evil\r\n'; touch pwned #"


def test_hostile_names_stay_on_their_line(ran: Run, home: Path) -> None:
    """A label or a file name with escapes, line ends and markup adds no line and steers no terminal."""
    add_row("openrouter", row_id="aaa009", label=HOSTILE, access_token="sk-test-aaa001-secret", priority=9)(
        home
    )
    a_file(f"x{HOSTILE}.tmp.1.0123456789".replace("\r\n", ""), age_s=90)(home)
    told = ran("doctor").stdout
    assert len(told.splitlines()) == 5
    assert not [char for char in told.replace("\n", "") if not char.isprintable()]
    assert "[red]evil" in told
    for each in json.loads(ran("doctor", "--json").stdout)["findings"]:
        assert all(str(value).isprintable() for value in each.values())


def test_no_secret_is_told(ran: Run, home: Path) -> None:
    """Neither in lines nor in JSON stands a key, even where one is a label, an id, a pool or a variable."""
    secret = "sk-test-aaa001-secret"
    add_row("openrouter", row_id=secret, label=secret, access_token=secret, priority=9)(home)
    add_row(secret, row_id="ddd001", label=secret, access_token=secret)(home)
    add_row("openrouter", row_id="aaa010", label="x", source=f"env:{secret}", access_token=..., priority=9)(
        home
    )
    for more in ((), ("--json",)):
        told = ran("doctor", *more).stdout
        assert secret not in told
        assert "of openrouter" in told


def test_whatever_a_store_holds_is_examined(home: Path, run: Run) -> None:
    """Any JSON, strings, times and YAML end in a report of printable lines, and leave the files as they were."""
    for number, store in enumerate(drawn(150, 4)):
        store.write(home)
        before = exact(home)
        result = run("doctor")
        assert result.exit_code in (0, 1), number
        assert result.stderr == "", (number, result.stderr)
        assert not [char for char in result.stdout.replace("\n", "") if not char.isprintable()], number
        assert json.loads(run("doctor", "--json").stdout)["home"] == str(home)
        assert exact(home) == before, number


def test_a_profile_is_examined_as_one(home: Path, run: Run) -> None:
    """--profile looks at that profile's files."""
    write_store(home, {"openrouter": keys("aaa001")})
    write_store(home / "profiles" / "work", {"openrouter": keys("bbb001")}).chmod(0o644)
    told = json.loads(run("doctor", "--profile", "work", "--json").stdout)
    assert told["profile"] == "work"
    assert str(home / "profiles" / "work" / "auth.json") in [
        each["do"].rpartition(" ")[2] for each in told["findings"]
    ]
