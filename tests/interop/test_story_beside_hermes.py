"""The story of a morning while hermes works on the very same pools: every act of both is in the file afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

import story
from fakes import load
from interop.conftest import Another
from interop.hermes import Hermes, Keydeck
from keydeck.engine.clock import wall_clock
from story import STEADY, TURNING, Story
from terminal.conftest import terminal  # noqa: F401 - a fixture
from tmux import Terminal

pytestmark = [pytest.mark.interop, pytest.mark.terminal]

ELSEWHERE = "gemini"
"""A pool in the same file that the story does not touch."""
MOST_ADDED = 8
CODES = (429, 402, 500)
PATIENCE_S = 60.0

Row = dict[str, Any]


class AtWork:
    """Something that goes on in a thread, round after round, until it is left; a failure in it fails the test."""

    def __init__(self, one_round: Callable[[int], None]) -> None:
        self._one_round = one_round
        self._turn = threading.Condition()
        self._when: Callable[[], bool] | None = None
        self._is_held = False
        self._is_over = False
        self._failure: BaseException | None = None
        self.rounds = 0
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join(PATIENCE_S)
        assert self._failure is None, self._failure
        assert not self._thread.is_alive()

    @contextmanager
    def held(self, when: Callable[[], bool]) -> Iterator[None]:
        """Let whole rounds happen until this is true after one of them; hold the work there for the block."""
        with self._turn:
            self._when = when
            assert self._turn.wait_for(lambda: self._is_held or self._failure, PATIENCE_S), "never came true"
            assert self._failure is None, self._failure
        try:
            yield
        finally:
            with self._turn:
                self._when, self._is_held = None, False
                self._turn.notify_all()

    def _work(self) -> None:
        try:
            while not self._is_over:
                when = self._when  # before the round, since it shall be a whole one
                self._one_round(self.rounds)
                self.rounds += 1
                if when is not None and when():
                    self._hold()
        except BaseException as error:  # noqa: BLE001 - told where it is waited for
            with self._turn:
                self._failure = error
                self._turn.notify_all()

    def _hold(self) -> None:
        with self._turn:
            self._is_held = True
            self._turn.notify_all()
            self._turn.wait_for(lambda: not self._is_held)


class Guest:
    """A hermes that adds, marks and picks in the pools of the story, and remembers what it did to whom."""

    def __init__(self, hermes: Hermes) -> None:
        self._hermes = hermes
        self.added: dict[str, list[str]] = {STEADY: [], TURNING: []}
        """Pool → labels."""
        self.marked: dict[tuple[str, str], int] = {}
        """Pool and key → the code it was last marked with."""
        self.picked: set[str] = set()

    def a_round(self, number: int) -> None:
        """Do a little in each pool. Every pool is loaded first: hermes would write back old copies (hermes-pool 8.1)."""
        for provider, labels in self.added.items():
            if len(labels) < MOST_ADDED:
                label = f"theirs-{len(labels)}"
                self._add(provider, label)
                labels.append(label)
            self._hermes.ask("load", provider=provider)
            # Now one, now two: with two ready keys, two picks a round would end where they began.
            self.picked |= set(self._hermes.ask("select", name=provider, times=1 + number % 2))
            self._mark(provider, labels[number % len(labels)], CODES[number % len(CODES)])

    def _add(self, provider: str, label: str) -> None:
        self._hermes.ask("auth", verb="add", provider=provider, label=label, api_key=secret(provider, label))

    def _mark(self, provider: str, label: str, code: int) -> None:
        key, later = secret(provider, label), wall_clock() + story.HOUR
        context = {"reason": "of-hermes", "reset_at": later}
        self._hermes.ask("mark", name=provider, code=code, key=key, context=context)
        self.marked[provider, key] = code


def secret(provider: str, label: str) -> str:
    """Return the key that hermes adds under a label."""
    return f"sk-hermes-{provider}-{label}-0123456789"


def busy_elsewhere(hermes: Hermes) -> Callable[[int], None]:
    """Return rounds of a hermes that adds, benches, picks and resets in another pool, and is held by nobody."""

    def a_round(number: int) -> None:
        label = f"busy-{number % MOST_ADDED}"
        key = secret(ELSEWHERE, label)
        if number < MOST_ADDED:
            hermes.ask("auth", verb="add", provider=ELSEWHERE, label=label, api_key=key)
        hermes.ask("load", provider=ELSEWHERE)
        hermes.ask("mark", name=ELSEWHERE, code=429, key=key)
        hermes.ask("select", name=ELSEWHERE)
        hermes.ask("auth", verb="reset", provider=ELSEWHERE)

    return a_round


def places(home: Path) -> list[str]:
    """Return the ids of the pool that hermes turns, in the order in which it picks."""
    rows = load(home)["credential_pool"][TURNING]
    return [row["id"] for row in sorted(rows, key=lambda row: row["priority"])]


def have_moved(before: list[str], now: list[str]) -> bool:
    """Tell whether the rows that were there before have another order now."""
    return [row_id for row_id in now if row_id in before] != before


@pytest.mark.timeout(120)
def test_every_act_of_both_is_in_the_file(
    terminal: Terminal,  # noqa: F811 - pytest's way
    another: Another,
    home: Path,
    deck: Keydeck,
    tmp_path: Path,
) -> None:
    """Ours went to the ids that the cursor was on although rows moved; hermes' rows and marks are all there."""
    story.write_home(home, wall_clock())
    guest, moved = Guest(another()), list[bool]()

    @contextmanager
    def still() -> Iterator[None]:
        aimed, turns = places(home), (home / "config.yaml").read_text() == story.CONFIG_AFTER
        with at_work.held(lambda: not turns or have_moved(aimed, places(home))):
            moved.append(have_moved(aimed, places(home)))
            yield

    told = Story(terminal, home, still)
    state = tmp_path / "state"
    with AtWork(guest.a_round) as at_work, AtWork(busy_elsewhere(another())) as elsewhere:
        terminal.start(story.command(home), (120, 40), XDG_STATE_HOME=str(state))
        terminal.sees(STEADY, "● live")
        told.tell()
        assert told.quit() == 0
        assert elsewhere.rounds > MOST_ADDED
    # Once hermes picked in turns, no row stood where the cursor had been put on it.
    assert moved.count(True) >= 4
    ours_hold(load(home), told.new_id)
    theirs_hold(load(home), guest)
    assert (home / "config.yaml").read_text() == story.CONFIG_AFTER
    both_read_the_same(another(), deck, load(home), told.new_id)
    nothing_leaked(terminal.stream, state)


def ours_hold(document: dict[str, Any], new_id: str) -> None:
    """Check each act of the story by id."""
    steady, turning = (story.by_id(document)["credential_pool"][name] for name in (STEADY, TURNING))
    assert min(steady.values(), key=lambda row: row["priority"])["id"] == new_id
    assert (steady[new_id]["label"], steady[new_id]["access_token"]) == (story.NEW_LABEL, story.NEW_KEY)
    for row_id in (*story.BENCHED, story.REMOVED):
        assert turning[row_id]["last_status"] in (None, "ok"), turning[row_id]
        assert turning[row_id]["last_error_code"] is None
        assert turning[row_id]["access_token"] == story.planted(row_id)


def theirs_hold(document: dict[str, Any], guest: Guest) -> None:
    """Check that all rows that hermes added are there once, marked as it marked them last."""
    for provider, labels in guest.added.items():
        rows: list[Row] = document["credential_pool"][provider]
        theirs = {row["access_token"]: row for row in rows if row["label"].startswith("theirs-")}
        assert len(labels) == MOST_ADDED
        assert sorted(row["label"] for row in rows if row["label"].startswith("theirs-")) == labels
        assert sorted(theirs) == sorted(secret(provider, label) for label in labels)
        for key, row in theirs.items():
            assert (row["last_status"], row["last_error_code"]) == ("exhausted", guest.marked[provider, key])
            assert row["last_error_reason"] == "of-hermes"
    assert len(document["credential_pool"][ELSEWHERE]) == MOST_ADDED
    assert len(guest.picked) > 3


def both_read_the_same(hermes: Hermes, deck: Keydeck, document: dict[str, Any], new_id: str) -> None:
    """Check that hermes and our command line read every row of the file, and agree on who is usable."""
    listed = deck.listing()
    for provider in (STEADY, TURNING):
        view = hermes.ask("load", provider=provider)
        ids = {row["id"] for row in document["credential_pool"][provider]}
        assert {entry["id"] for entry in view["entries"]} == ids
        ours = {row["id"]: row["health"] for row in listed[provider]["credentials"]}
        assert {row_id for row_id, state in ours.items() if state == "ready"} == set(view["available"])
    steady = hermes.ask("look", name=STEADY)
    assert steady["following"] == new_id
    assert hermes.ask("look", name=TURNING)["strategy"] == story.STRATEGY


def nothing_leaked(stream: bytes, state: Path) -> None:
    """Check that no key of either program is in the terminal's stream or in the picture, and no label in the latter."""
    (picture,) = (path.read_bytes() for path in state.rglob("*.svg"))
    theirs = [secret(name, "theirs-0") for name in (STEADY, TURNING)]
    secrets = (*story.SECRETS, *theirs, secret(ELSEWHERE, "busy-0"))
    assert b"theirs-0" in stream
    assert not [one for one in secrets for written in (stream, picture) if one[3:].encode() in written]
    assert not [label for label in (*story.LABELS, "theirs-", "busy-") if label.encode() in picture]
