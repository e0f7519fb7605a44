"""What is told in passing, how long it stays, a lock that others hold, and the minute in which a removal can be undone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from textual.notifications import SeverityLevel

from fakes import NOW, FakeClock, a_key, benched, keys, load, load_whole, lock_held, tree, write_store
from keydeck.dashboard.toasts import Toasts
from keydeck.engine.acting import Done
from keydeck.engine.acts import Operator
from keydeck.engine.errors import StoreReadOnly
from ui import Ui, running


@dataclass
class FakeBoard:
    """Shows toasts nowhere and remembers what was on the board last."""

    shown: list[tuple[str, SeverityLevel, float]] = field(default_factory=list)
    markups: set[bool] = field(default_factory=set)

    def notify(self, message: str, *, severity: SeverityLevel, timeout: float | None, markup: bool) -> None:
        """Put one up."""
        assert timeout is not None
        self.shown.append((message, severity, timeout))
        self.markups.add(markup)

    def clear_notifications(self) -> None:
        """Take all down."""
        self.shown.clear()

    @property
    def texts(self) -> list[str]:
        return [text for text, _, _ in self.shown]


@pytest.fixture
def board() -> FakeBoard:
    return FakeBoard()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def toasts(board: FakeBoard, clock: FakeClock) -> Toasts:
    return Toasts(board, clock)


# --- the toasts alone --------------------------------------------------------------------------------------


def test_how_long_each_stays(board: FakeBoard, toasts: Toasts) -> None:
    """A success three seconds, a warning six, an error until it is put away; none is read as markup."""
    toasts.tell("done", "information")
    toasts.tell("mind", "warning")
    toasts.tell("no", "error")
    assert [(text, seconds) for text, _, seconds in board.shown] == [
        ("done", 3.0),
        ("mind", 6.0),
        ("no", 3600.0),
    ]
    assert board.markups == {False}


def test_the_same_again_is_counted(board: FakeBoard, toasts: Toasts, clock: FakeClock) -> None:
    """One toast a cause: repeats raise its count and begin its time anew, between others too."""
    toasts.tell("no", "error")
    toasts.tell("other", "error")
    clock.forward(2)
    toasts.tell("no", "error")
    assert board.texts == ["other", "no (2 times)"]
    toasts.tell("no", "error")
    assert board.texts == ["other", "no (3 times)"]


def test_a_named_cause_is_replaced_and_taken_back(board: FakeBoard, toasts: Toasts) -> None:
    """What changes while it lasts is one toast with the newest words, and it goes when its cause does."""
    toasts.tell("waiting 1 s", "warning", cause="lock")
    toasts.tell("waiting 2 s", "warning", cause="lock")
    assert board.texts == ["waiting 2 s"]
    toasts.take_back("lock")
    assert board.texts == []
    toasts.take_back("lock")


def test_what_is_over_does_not_come_back(board: FakeBoard, toasts: Toasts, clock: FakeClock) -> None:
    """A later toast brings only those along that still have time; a repeat after the end counts from one."""
    toasts.tell("done", "information")
    clock.forward(3)
    toasts.tell("next", "information")
    assert board.texts == ["next"]
    toasts.tell("done", "information")
    assert board.texts == ["next", "done"]
    clock.forward(1)
    toasts.tell("more", "information")
    assert [seconds for _, _, seconds in board.shown] == [2.0, 2.0, 3.0]


def test_dismissing_takes_the_errors(board: FakeBoard, toasts: Toasts, clock: FakeClock) -> None:
    """Errors go and it is told whether there was one; what leaves by itself stays its time."""
    assert toasts.dismiss() is False
    toasts.tell("done", "information")
    assert toasts.dismiss() is False
    toasts.tell("no", "error")
    toasts.tell("neither", "error")
    clock.forward(1)
    assert toasts.dismiss() is True
    assert board.texts == ["done"]
    assert toasts.dismiss() is False


def test_an_error_is_not_pushed_out_by_what_passes(board: FakeBoard, toasts: Toasts) -> None:
    """However much is told, an error stays until it is put away, and the newest is always there."""
    toasts.tell("no", "error")
    for number in range(9):
        toasts.tell(f"done {number}", "information")
        assert board.texts[0] == "no"
        assert board.texts[-1] == f"done {number}"
        assert len(board.texts) <= 4
    for number in range(9):
        toasts.tell(f"no {number}", "error")
    assert board.texts[-4:] == [f"no {number}" for number in range(5, 9)]
    assert "no 4" not in board.texts
    toasts.tell("done", "information")
    assert board.texts[-1] == "done" and len(board.texts) == 5


def test_clearing_leaves_the_errors(board: FakeBoard, toasts: Toasts) -> None:
    """What would go by itself goes now; an error stays for whoever has to read it."""
    toasts.tell("done", "information")
    toasts.tell("no", "error")
    toasts.clear()
    assert board.texts == ["no"]


def test_what_is_there_can_be_written_anew(board: FakeBoard, toasts: Toasts, clock: FakeClock) -> None:
    """Other words, the same time left and the same counts."""
    toasts.tell("boss is gone", "error")
    toasts.tell("boss is gone", "error")
    toasts.tell("reset boss", "information")
    clock.forward(1)
    toasts.rewrite(lambda text: text.replace("boss", "key"))
    assert board.shown == [("key is gone (2 times)", "error", 3599.0), ("reset key", "information", 2.0)]
    clock.forward(2)
    toasts.rewrite(str)
    assert board.texts == ["key is gone (2 times)"]


# --- on screen ---------------------------------------------------------------------------------------------


async def test_nothing_that_is_told_names_a_key_while_names_are_masked(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Done, undone, renamed or refused: with names masked no toast has an old or a new name in it."""
    rows = [a_key("aaa001", "boss@corp.example", **benched()), a_key("aaa002", "second-name", priority=1)]
    write_store(home, {"openrouter": rows})
    async with running(home, (120, 40)) as ui:
        told: list[str] = []
        notify = ui.app.notify

        def noting(message: str, **rest: Any) -> None:
            told.append(message)
            notify(message, **rest)

        monkeypatch.setattr(ui.app, "notify", noting)
        await ui.press("r")
        assert "boss@corp.example" in told[-1]
        ui.app.tell("boss@corp.example is broken", "error")
        await ui.press("m")
        await ui.until(lambda: "boss" not in ui.text)
        ui.sees("is broken")
        told.clear()
        for pressed in (
            ("d", "y"),
            ("u",),
            ("n",),
            ("u",),
            ("v", "v", "d", "y"),
            ("u",),
            ("e", *"chief", "enter"),
            ("u",),
        ):
            await ui.press(*pressed)
            await ui.settle()
            assert told, pressed
            assert "boss" not in ui.text and "second-name" not in ui.text and "chief" not in ui.text, pressed
        said = "\n".join(told)
        assert not any(name in said for name in ("boss", "second-name", "chief"))
        assert "put key back" in said and "renamed key to key" in said


async def test_an_error_stays_until_escape_which_then_does_only_that(home: Path) -> None:
    """Minutes later it is there; the first escape puts it away and the filter stays, the second clears that."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, (120, 40)) as ui:
        await ui.press("slash", "a", "enter")
        ui.app.tell("it did not work", "error")
        ui.app.tell("it did not work", "error")
        await ui.until(lambda: "it did not work (2 times)" in ui.text)
        await ui.tick(600)
        ui.sees("it did not work (2 times)")
        await ui.press("escape")
        await ui.until(lambda: "it did not work" not in ui.text)
        assert "/a" in ui.lines[0]
        await ui.press("escape")
        assert "/a " not in ui.lines[0]


async def test_hostile_text_in_a_toast(home: Path) -> None:
    """Markup, escapes and known secrets are inert or gone."""
    secret = "sk-planted-0123456789abcdef"
    write_store(home, {"openrouter": [a_key("aaa001", access_token=secret)]})
    async with running(home, (120, 40)) as ui:
        ui.app.tell(f"[bold]x[/y] \x1b[31mred\nline {secret}", "error")
        await ui.until(lambda: "[bold]x[/y] red line ***" in ui.text)
        assert secret[3:] not in ui.text


# --- a busy lock -------------------------------------------------------------------------------------------


async def test_a_busy_lock_is_told_and_escape_gives_up(home: Path) -> None:
    """After 300 ms it says since when it waits, the row shows that a change is on its way, and escape ends it all."""
    write_store(home, {"openrouter": [a_key("aaa001", "one", **benched(429, until=NOW + 900))]})
    before = load(home)
    async with running(home, (120, 40)) as ui:
        with lock_held(home):
            await ui.pilot.press("r")
            assert "… one" in ui.row(" one ") and "◐ one" not in ui.text
            await ui.until(
                lambda: re.search(r"waiting for the lock \(held \d s\), esc gives up", ui.text) is not None
            )
            await ui.pilot.press("escape")
            await ui.until(lambda: "gave up waiting for the lock: nothing was changed" in ui.text)
        await ui.settle()
        assert "(held" not in ui.text
        assert "◐ one" in ui.text and "… one" not in ui.text
        assert load(home) == before
        assert str(home) not in ui.text.partition("gave up")[2]
        await ui.press("escape")
        assert "gave up" not in ui.text


async def test_a_lock_that_comes_free_lets_the_act_through(home: Path) -> None:
    """Nobody gave up: the act is done as soon as the other program lets go, and the notice goes."""
    write_store(home, {"openrouter": [a_key("aaa001", "one", **benched(429, until=NOW + 900))]})
    async with running(home, (120, 40)) as ui:
        with lock_held(home):
            await ui.pilot.press("r")
            await ui.until(lambda: "waiting for the lock" in ui.text)
            assert load(home)["credential_pool"]["openrouter"][0]["last_status"] == "exhausted"
        await ui.until(lambda: "reset one (aaa001)" in ui.text)
        await ui.settle()
        assert "waiting for the lock" not in ui.text
        assert load(home)["credential_pool"]["openrouter"][0]["last_status"] is None


async def test_one_act_waits_for_the_other(home: Path) -> None:
    """Two acts in a row are done in their order, the second after the first got the lock."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002", "aaa003")})
    async with running(home, (120, 40)) as ui:
        with lock_held(home):
            await ui.pilot.press("J", "J")
            await ui.until(lambda: "waiting for the lock" in ui.text)
        await ui.until(lambda: "moved key-aaa001 last" in ui.text)
        await ui.settle()
        rows = load(home)["credential_pool"]["openrouter"]
        assert [row["id"] for row in sorted(rows, key=lambda row: row["priority"])] == [
            "aaa002",
            "aaa003",
            "aaa001",
        ]


# --- undo --------------------------------------------------------------------------------------------------


def order(home: Path) -> list[str]:
    rows = load(home)["credential_pool"]["openrouter"]
    return [row["id"] for row in sorted(rows, key=lambda row: row["priority"])]


async def test_the_minute_counts_down_in_the_bar(home: Path) -> None:
    """After a removal the bar says how long it can be undone; the clock alone moves it, and it ends."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, (120, 40)) as ui:
        await ui.press("d", "y")
        await ui.until(lambda: "removed key-aaa001" in ui.text)
        await ui.tick(2)
        assert " undo 58s " in ui.lines[0]
        await ui.tick(57)
        assert " undo 1s " in ui.lines[0]
        await ui.tick(1)
        assert " undo " not in ui.lines[0]
        await ui.press("u")
        await ui.until(lambda: "nothing to undo" in ui.text)
    assert order(home) == ["aaa002"]


async def test_undo_goes_back_step_by_step(home: Path) -> None:
    """Each ``u`` takes back the last change that is left; what holds no secret has no minute."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002", "aaa003")})
    async with running(home, (120, 40)) as ui:
        await ui.press("d", "y")
        await ui.until(lambda: "removed key-aaa001" in ui.text)
        await ui.reload()
        await ui.press("J")
        await ui.until(lambda: order(home) == ["aaa003", "aaa002"])
        await ui.settle()
        assert " undo " not in ui.lines[0]
        await ui.press("u")
        assert order(home) == ["aaa002", "aaa003"]
        assert " undo 1m00s " in ui.lines[0]
        await ui.press("u")
        assert sorted(order(home)) == ["aaa001", "aaa002", "aaa003"]
        assert " undo " not in ui.lines[0]


async def test_an_undo_that_could_not_write_can_be_tried_again(home: Path) -> None:
    """While another program holds the lock escape gives up the undo, not the removed key."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, (120, 40)) as ui:
        await ui.press("d", "y")
        await ui.until(lambda: "removed key-aaa001" in ui.text)
        with lock_held(home):
            await ui.pilot.press("u")
            await ui.until(lambda: "waiting for the lock" in ui.text)
            await ui.pilot.press("escape")
            await ui.until(lambda: "gave up waiting" in ui.text)
        await ui.settle()
        assert " undo 1m00s " in ui.lines[0]
        await ui.press("u")
        await ui.until(lambda: "put key-aaa001 back" in ui.text)
        assert sorted(order(home)) == ["aaa001", "aaa002"]


async def test_an_undo_waits_for_the_act_that_is_on_its_way(home: Path) -> None:
    """``u`` pressed while a change still waits for the lock undoes that change, not the one before."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002", "aaa003")})
    async with running(home, (120, 40)) as ui:
        await ui.press("J")
        await ui.until(lambda: order(home) == ["aaa002", "aaa001", "aaa003"])
        await ui.reload()
        with lock_held(home):
            await ui.pilot.press("J")
            await ui.until(lambda: "waiting for the lock" in ui.text)
            await ui.pilot.press("u")
        await ui.settle()
        assert order(home) == ["aaa002", "aaa001", "aaa003"]
        await ui.press("u")
        assert order(home) == ["aaa001", "aaa002", "aaa003"]


@pytest.mark.parametrize(
    ("undo", "again"),
    [("changed", False), ("unwritable", True)],
)
async def test_what_is_left_to_undo_after_a_refusal(
    home: Path, monkeypatch: pytest.MonkeyPatch, undo: str, again: bool
) -> None:
    """A conflict is not tried for ever; a file that cannot be written is no reason to forget."""
    write_store(home, {"openrouter": [a_key("aaa001", "one", **benched(429, until=NOW + 900))]})
    async with running(home, (120, 40)) as ui:
        await ui.press("r")
        await ui.until(lambda: "reset one" in ui.text)
        if undo == "changed":
            document = load_whole(home)
            document["credential_pool"]["openrouter"][0].update(benched(402, ago=-1))
            (home / "auth.json").write_text(json.dumps(document))
        else:
            fail_once(monkeypatch, StoreReadOnly(home / "auth.json", "the disk is full"))
        await ui.press("u")
        await ui.until(lambda: "was changed meanwhile" in ui.text or "the disk is full" in ui.text)
        await ui.press("escape", "u")
        await ui.until(lambda: ("undid the reset" if again else "nothing to undo") in ui.text)


def fail_once(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let the next undo end in this error, as a failing disk would."""
    real: Callable[..., Done] = Operator.undo
    left = [error]

    def failing(operator: Operator, undo: object) -> Done:
        if left:
            raise left.pop()
        return real(operator, undo)

    monkeypatch.setattr(Operator, "undo", failing)


# --- nothing selected --------------------------------------------------------------------------------------


async def test_acts_on_an_empty_screen_do_nothing(home: Path) -> None:
    """Where no key is, no key acts, opens or fails."""
    async with running(home, (80, 24)) as ui:
        for key in (
            "r",
            "d",
            "e",
            "n",
            "K",
            "J",
            "s",
            "R",
            "u",
            "v",
            "y",
            "enter",
            "minus",
            "z",
            "o",
            "h",
            "l",
        ):
            await ui.pilot.press(key)
            assert len(ui.app.screen_stack) == 1, key
        await ui.settle()
        ui.sees("there is no auth.json")
    assert not home.exists()


async def test_success_is_told_after_the_file_says_so(home: Path) -> None:
    """When the toast is up the file holds what it says."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    before = tree(home)
    async with running(home, (120, 40)) as ui:
        told: list[tuple[str, list[str]]] = []
        tell = ui.app.tell

        def noting(said: str, *args: object, **rest: object) -> None:
            told.append((said, order(home)))
            tell(said, *args, **rest)  # type: ignore[arg-type]

        ui.app.tell = noting  # type: ignore[method-assign]
        await act_and_wait(ui, "j", "n")
        assert told == [("moved key-aaa002 first (aaa002). u undoes it", ["aaa002", "aaa001"])]
    assert tree(home) != before


async def act_and_wait(ui: Ui, *pressed: str) -> None:
    await ui.press(*pressed)
    await ui.settle()
