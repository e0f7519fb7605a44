"""A crash report tells what went wrong and where, holds nothing of the store, and is nobody else's to read."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import keydeck
from fakes import NOW, a_key, a_reader, permissions_count, write_store
from keydeck.dashboard.crash import MOST_LINES, crash_report, short_report, write_crash_report
from keydeck.engine.redact import Scrubber
from keydeck.engine.secret import Secret

KNOWN = "Known-planted-key.0123456789"
"""A key of the store that looks like none."""
UNKNOWN = "sk-proj-planted0123456789abcdef"
"""A key nobody knows that looks like one."""
LOCAL = "Local-planted-value-31337"
"""A value that is neither: only a local variable ever holds it."""
PEM = "-----BEGIN KEY-----\nPlantedLineOne\nPlantedLineTwo\n-----END KEY-----"
PLANTED = ("planted", "Planted", "31337", "0123456789")

SCRUBBER = Scrubber(map(Secret, (KNOWN, PEM)))


def caught(act: Callable[[], object]) -> BaseException:
    """Return what a call raises, with its traceback, after a frame whose local variables hold secrets."""
    held = {"key": KNOWN, "other": UNKNOWN, "third": LOCAL}
    try:
        act()
    except BaseException as error:  # noqa: BLE001 - any kind may end the program
        assert held
        return error
    raise AssertionError("nothing was raised")


def report(error: BaseException, scrubber: Scrubber = SCRUBBER) -> str:
    return crash_report(error, scrubber, version="1.2.3", now=NOW)


def is_clean(text: str) -> bool:
    """Check that nothing planted is left; say what is."""
    left = [word for word in PLANTED if word in text]
    assert not left, f"{left} in\n{text}"
    assert all(char.isprintable() or char == "\n" for char in text)
    return True


def raiser(error: BaseException, cause: BaseException | None = None) -> Callable[[], object]:
    def act() -> object:
        raise error from cause

    return act


def test_a_report_names_error_place_and_versions() -> None:
    """Its head tells when it was and what was running; then comes Python's own traceback, oldest call first."""
    lines = report(caught(raiser(ValueError("too small")))).splitlines()
    assert lines[0] == "keydeck 1.2.3 stopped at 2026-11-08 14:02:11 UTC"
    assert lines[1].startswith("python 3.") and ", textual 8." in lines[1] and lines[1].endswith(sys.platform)
    assert lines[2:4] == ["", "Traceback (most recent call last):"]
    assert lines[4].startswith("  File ") and lines[4].endswith(", in caught")
    assert lines[5:7] == ["    act()", lines[6]] and lines[6].endswith(", in act")
    assert lines[-1] == "ValueError: too small"


def test_the_version_is_keydecks_own_unless_told() -> None:
    """A report names the running version without being told."""
    assert crash_report(ValueError(), SCRUBBER, now=NOW).startswith(f"keydeck {keydeck.__version__} stopped")


MESSAGES = [
    f"with {KNOWN} inside",
    f"with {UNKNOWN} inside",
    f"GET https://host.example/v1?key={UNKNOWN}&x=1",
    f"GET https://host.example/v1?n={KNOWN}",
    "GET https://user:planted-word@host.example/",
    "Authorization: Bearer planted.0123456789",
    f"first\nsecond {KNOWN}\n  third {UNKNOWN}",
    f"\x1b]0;{KNOWN}\x07\x1b[31m{UNKNOWN}\x1b[0m",
    f"{KNOWN[:9]}\x1b[0m{KNOWN[9:]}",
    f"{KNOWN[:9]}\u200b{KNOWN[9:]}",
    f"label {KNOWN}\u202e reversed",
    f"read {PEM} of the account",
    "x" * 1990 + KNOWN,
    "x" * 490 + KNOWN,
]


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("kind", [RuntimeError, OSError, SystemExit])
def test_no_secret_in_a_message_survives(message: str, kind: type[BaseException]) -> None:
    """Keys, known or only looking like one, go from messages and URLs, also where something breaks them up."""
    text = report(caught(raiser(kind(message))))
    assert kind.__name__ in text
    assert is_clean(text)


def test_no_secret_in_causes_contexts_and_notes_survives() -> None:
    """What led to an error, directly or on the way, is told before it; none of it holds a key."""
    cause = caught(raiser(ValueError(f"cause {KNOWN}"), OSError(f"root {UNKNOWN}")))
    cause.add_note(f"note {KNOWN}\nmore {UNKNOWN}\n{PEM}")

    def act() -> None:
        try:
            raise cause
        except ValueError:
            raise RuntimeError(f"last {UNKNOWN}")  # noqa: B904 - the context is what is tested

    text = report(caught(act))
    order = ["OSError: root ***", "direct cause", "ValueError: cause ***", "note ***", "more ***"]
    order += ["During handling", "RuntimeError: last ***"]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)
    assert is_clean(text)


def test_a_context_that_was_put_aside_is_not_told() -> None:
    """``raise … from None`` holds for reports too."""

    def act() -> None:
        try:
            int("inner")
        except ValueError:
            raise RuntimeError("outer") from None

    text = report(caught(act))
    assert "RuntimeError: outer" in text and "inner" not in text and "During handling" not in text


def test_every_exception_of_a_group_is_told_without_secrets() -> None:
    """A group's exceptions stand below it, indented, each with its own causes and notes, clean."""
    leaf = caught(raiser(ValueError(f"leaf {KNOWN}"), KeyError(UNKNOWN)))
    leaf.add_note(f"{PEM}")
    assert isinstance(leaf, ValueError)
    nested = ExceptionGroup(f"nested {KNOWN}", [leaf, OSError(f"other {UNKNOWN}")])
    text = report(caught(raiser(ExceptionGroup(f"group {UNKNOWN}", [nested]))))
    assert "ExceptionGroup: group *** (1 sub-exception)\n  ---- 1 of 1 ----" in text
    assert "  ExceptionGroup: nested *** (2 sub-exceptions)\n    ---- 1 of 2 ----" in text
    assert "    ValueError: leaf ***\n" in text and "    OSError: other ***\n" in text
    assert "KeyError: '***'" in text
    assert is_clean(text)


def test_local_variables_are_never_told() -> None:
    """A frame's values stay out, known or not; its names are in the quoted source alone."""
    text = report(caught(lambda: 1 // len("")))
    assert "ZeroDivisionError" in text and "in caught" in text
    assert LOCAL not in text and "held =" not in text
    assert is_clean(text)


def test_a_label_from_the_store_is_told_without_the_secret_in_it(home: Path) -> None:
    """The secrets of a real home are known: a label or message with one of them in it is harmless."""
    write_store(home, {"openrouter": [a_key("aaa001", f"my {KNOWN}", access_token=KNOWN)]})
    snapshot = a_reader(home).read()
    label = snapshot.pools[0].rows[0].label
    assert KNOWN in label
    assert "LookupError: no my *** here" in report(LookupError(f"no {label} here"), snapshot.scrubber)


def test_the_users_folder_is_written_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of the user's own folder, often a person's name, is ``~``; a longer name beside it stays whole."""
    monkeypatch.setenv("HOME", "/home/ann")
    text = report(ValueError("/home/ann, '/home/ann/.hermes' and /home/anna"))
    assert text.endswith("ValueError: ~, '~/.hermes' and /home/anna\n")
    monkeypatch.setenv("HOME", "/")
    assert report(ValueError("/srv/a")).endswith("ValueError: /srv/a\n")


def test_indents_stay() -> None:
    """Cleaning a line leaves its indent, so that the traceback can be read; an endless one is cut."""
    text = report(ValueError("a\n    b\n" + " " * 10_000 + "c"))
    assert text.endswith("ValueError: a\n    b\n" + " " * 80 + "c\n")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("\n".join(f"line {n}" for n in range(100_000)) + "\nthe end"),
        ValueError("x" * 1_000_000 + "\nthe end"),
        ExceptionGroup("the end", [ValueError("y" * 5000) for _ in range(5000)]),
    ],
    ids=["lines", "width", "group"],
)
def test_a_report_is_small(error: Exception) -> None:
    """However much an error has to say, the report stays short; what stands at the end is kept."""
    text = report(caught(raiser(error)))
    assert len(text) < 250_000 and text.count("\n") <= MOST_LINES + 5
    assert "the end" in text and "Traceback" in text


def test_a_deep_recursion_can_be_told() -> None:
    """A thousand frames and a long chain of causes are shortened."""

    def deeper(depth: int) -> int:
        return deeper(depth + 1) + 1

    text = report(caught(lambda: deeper(0)))
    assert "RecursionError" in text and "more times]" in text
    error: Exception = ValueError("first")
    for number in range(3000):
        error = caught(raiser(RuntimeError(f"link {number}"), error))  # type: ignore[assignment]
    text = report(error)
    assert "(what came before is left out)" in text and "RuntimeError: link 2999" in text


def test_an_error_that_cannot_be_told_is_named_at_least() -> None:
    """Neither a message that fails, nor a nest without end, nor a broken scrubber keeps a report from being made."""

    class SpitefulError(Exception):
        def __str__(self) -> str:
            raise ValueError(KNOWN)

    spiteful = caught(raiser(SpitefulError(UNKNOWN)))
    spiteful.add_note("a note")
    text = report(spiteful)
    assert "SpitefulError: <exception str() failed>" in text and "a note" in text
    nest: Exception = ValueError(KNOWN)
    for _ in range(5000):
        nest = ExceptionGroup("nest", [nest])
    assert is_clean(report(nest)) and "ExceptionGroup" in report(nest)

    broken = Scrubber(Secret(str(1 // zero)) for zero in [0])
    text = report(spiteful, broken)
    assert text.splitlines()[3:] == ["SpitefulError (its traceback cannot be told)"]


SOME_TEXT = st.lists(
    st.one_of(st.text(max_size=8), st.sampled_from([KNOWN, UNKNOWN, PEM, "\n", "\r", "\x1b[2J", "\u2028"])),
    max_size=6,
).map(" ".join)


@given(SOME_TEXT, SOME_TEXT, SOME_TEXT)
def test_whatever_an_error_says_its_report_is_clean(message: str, cause: str, noted: str) -> None:
    """Any message, cause and note make a report without a key and without a character that steers a terminal."""
    error = RuntimeError(message)
    error.add_note(noted)
    error.__cause__ = ExceptionGroup(f"group {cause}", [ValueError(cause)])
    assert is_clean(report(error))


# --- the file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0, 0o022, 0o077], ids=oct)
def test_a_report_is_private(tmp_path: Path, umask: int) -> None:
    """File 0600 and folders 0700 whatever the umask; a second report of the second gets a number."""
    before = os.umask(umask)
    try:
        paths = [write_crash_report(tmp_path / "state" / "keydeck", text, NOW) for text in ("one\n", "two\n")]
    finally:
        os.umask(before)
    folder = tmp_path / "state" / "keydeck" / "crashes"
    assert paths == [folder / "crash-20261108-140211.txt", folder / "crash-20261108-140211-2.txt"]
    assert [path.read_text() for path in paths if path] == ["one\n", "two\n"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in paths if path] == [0o600, 0o600]
    assert [stat.S_IMODE(place.stat().st_mode) for place in (folder, folder.parent)] == [0o700, 0o700]


@pytest.mark.parametrize("now", [NOW, float("nan"), 1e300])
def test_where_no_report_can_be_written_there_is_none(tmp_path: Path, now: float) -> None:
    """A read-only folder, or a clock gone mad, loses the file and nothing else."""
    tmp_path.chmod(0o500)
    with permissions_count():
        assert write_crash_report(tmp_path, "text", now) is None
    tmp_path.chmod(0o700)
    assert list(tmp_path.iterdir()) == []
    assert "stopped at" in crash_report(ValueError(), SCRUBBER, now=now)


def test_the_terminal_gets_the_end_and_the_place() -> None:
    """On leaving, the last lines are shown and where the whole report is, or that there is none."""
    whole = "".join(f"line {n}\n" for n in range(50))
    short = short_report(whole, Path("/state/keydeck/crashes/crash-1.txt")).splitlines()
    assert short[0] == "… 20 lines before" and short[1] == "line 20" and short[30] == "line 49"
    assert short[31:] == ["", "the report is in /state/keydeck/crashes/crash-1.txt"]
    assert short_report("a\nb\n", None) == "a\nb\n\nthe report could not be written to a file"
