"""A morning at the dashboard as one script: what is there before, the keys that are pressed, what is there after.

Told twice: alone (terminal/test_whole_story.py) and while hermes works on the same pools (interop/…beside_hermes.py).
"""

from __future__ import annotations

import copy
import re
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

from fakes import a_key, as_others_care, load, write_store
from keydeck.engine.credential import CLEAN_STATUS
from tmux import KEYDECK, Terminal, framed

HOUR: Final = 3600.0

STEADY: Final = "openrouter"
"""The pool that gets a new first key."""
TURNING: Final = "deepseek"
"""The pool that gets another strategy, and whose keys are reset, removed and put back."""

_STEADY_KEYS: Final = {"a0a001": "osprey", "a0a002": "heron", "a0a003": "egret"}
_TURNING_KEYS: Final = {
    "d0d001": "avocet",
    "d0d002": "bittern",
    "d0d003": "curlew",
    "d0d004": "dunlin",
    "d0d005": "fulmar",
    "d0d006": "gannet",
}
RESET_ALONE: Final = "d0d002"
RESET_TOGETHER: Final = ("d0d003", "d0d004", "d0d005")
BENCHED: Final = (RESET_ALONE, *RESET_TOGETHER)
REMOVED: Final = "d0d006"
"""Removed, and put back."""

_DIALOGS: Final = ("commands", "add a key", "edit ", "remove", f"{TURNING}: how it picks")

NEW_KEY: Final = "sk-or-v1-planted-new-0123456789abcdef"
TYPED_LABEL: Final = "plover"
NEW_LABEL: Final = "kestrel"
STRATEGY: Final = "round_robin"
URL: Final = "https://openrouter.ai/api/v1"

CONFIG: Final = """\
# written by hand
model: some/model  # keep this one
credential_pool_strategies:  # how pools pick
  openrouter: fill_first
  deepseek: fill_first  # for now
fallback_providers: [a, b]
"""
CONFIG_AFTER: Final = CONFIG.replace("deepseek: fill_first", f"deepseek: {STRATEGY}")
assert CONFIG_AFTER != CONFIG


def planted(row_id: str) -> str:
    """Return the secret of a row that was there before."""
    return f"sk-planted-{row_id}-0123456789abcdef"


LABELS: Final = (*_STEADY_KEYS.values(), *_TURNING_KEYS.values(), TYPED_LABEL, NEW_LABEL)
SECRETS: Final = (NEW_KEY, *(planted(row_id) for row_id in (*_STEADY_KEYS, *_TURNING_KEYS)))


def write_home(home: Path, now: float, pools: dict[str, Any] | None = None, **top: Any) -> None:
    """Write the home as it is in the morning, `now` (epoch seconds); more pools and top-level fields can be given."""
    steady = [_a_row(row_id, label, place) for place, (row_id, label) in enumerate(_STEADY_KEYS.items())]
    turning = [
        _a_row(
            row_id,
            label,
            place,
            base_url="https://api.deepseek.com/v1",
            **(_bench(now) if row_id in BENCHED else {}),
        )
        for place, (row_id, label) in enumerate(_TURNING_KEYS.items())
    ]
    write_store(home, {STEADY: steady, TURNING: turning, **(pools or {})}, **top)
    (home / "config.yaml").write_text(CONFIG)


def _a_row(row_id: str, label: str, place: int, **fields: Any) -> dict[str, Any]:
    return a_key(row_id, label, priority=place, access_token=planted(row_id), **fields)


def _bench(now: float) -> dict[str, Any]:
    return {
        "last_status": "exhausted",
        "last_status_at": now - 60,
        "last_error_code": 429,
        "last_error_reset_at": now + 3 * HOUR,
        "last_error_message": f"too many requests for {planted('d0d002')}",
    }


def after_the_story(before: dict[str, Any], new_id: str) -> dict[str, Any]:
    """Return the store that the acts of the story make of another; rows by id, since their order in the file is free."""
    document = by_id(before)
    steady, turning = document["credential_pool"][STEADY], document["credential_pool"][TURNING]
    for row in steady.values():
        row["priority"] += 1
    new = {"id": new_id, "label": NEW_LABEL, "access_token": NEW_KEY, "priority": 0, "base_url": URL}
    steady[new_id] = {**a_key(), **new}
    for row_id in BENCHED:
        turning[row_id] |= CLEAN_STATUS
    return document


def by_id(document: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a store with a mapping of rows for each pool, without what Keydeck notes and the last change."""
    made = as_others_care(copy.deepcopy(document))
    made.pop("updated_at", None)
    pools = made["credential_pool"]
    for provider, rows in pools.items():
        pools[provider] = {row["id"]: row for row in rows}
        assert len(pools[provider]) == len(rows), "an id is there twice"
    return made


class Story:
    """Tells the story at a dashboard that is open.

    Args:
        terminal: where the dashboard runs.
        home: its home.
        still: what stands around each key that writes; whoever else works on the store can be stopped there.
    """

    def __init__(
        self,
        terminal: Terminal,
        home: Path,
        still: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._terminal = terminal
        self._home = home
        self._still = still
        self.new_id = ""
        """The id that the added key got."""

    def tell(self) -> None:
        """Do everything, up to the picture; the dashboard stays open."""
        self.add()
        self.rename()
        self.make_first()
        self.change_strategy()
        self.reset_one()
        self.reset_three()
        self.remove_and_undo()
        self.filter()
        self.take_picture()

    # --- the acts --------------------------------------------------------------------------------------

    def add(self) -> None:
        """Add a key in three steps."""
        self._opens("a", "step 1 of 3")
        self._terminal.type(STEADY)
        self._terminal.until(lambda screen: TURNING not in dialog_on(screen) and STEADY in dialog_on(screen))
        self._opens("Enter", "step 2 of 3")
        self._terminal.paste(NEW_KEY)
        self._terminal.sees("received, new here")
        self._opens("Enter", "step 3 of 3")
        self._terminal.type(TYPED_LABEL)
        with self._still():
            self._terminal.keys("Enter")
            self.new_id = self._terminal.found(self._added_id)

    def _added_id(self, screen: str) -> str:
        said = f"added{TYPED_LABEL}to{STEADY}as([0-9a-f]{{6}})"
        return next(iter(re.findall(said, self._terminal.toasts(screen))), "")

    def rename(self) -> None:
        """Give it another label."""
        self.go_to(STEADY, TYPED_LABEL, self.new_id)
        self._opens("e", f"edit {TYPED_LABEL}")
        self._terminal.keys("End", "C-u")
        self._terminal.until(lambda screen: TYPED_LABEL not in dialog_on(screen).partition("\n")[2])
        self._terminal.type(NEW_LABEL)
        self._writes("Enter", f"renamed {TYPED_LABEL} to {NEW_LABEL} ({self.new_id})")

    def make_first(self) -> None:
        """Make it the first of its pool."""
        self.go_to(STEADY, NEW_LABEL, self.new_id)
        self._writes("n", f"moved {NEW_LABEL} first ({self.new_id})")
        rows = load(self._home)["credential_pool"][STEADY]
        assert min(rows, key=lambda row: row["priority"])["id"] == self.new_id

    def change_strategy(self) -> None:
        """Have the other pool pick in turns."""
        self.go_to(TURNING, _TURNING_KEYS[RESET_ALONE], RESET_ALONE)
        self._opens("s", f"{TURNING}: how it picks")
        self._terminal.keys("Down")
        self._writes("Enter", f"{TURNING} now picks by {STRATEGY}")

    def reset_one(self) -> None:
        """End the bench of one key."""
        label = _TURNING_KEYS[RESET_ALONE]
        self.go_to(TURNING, label, RESET_ALONE)
        self._writes("r", f"reset {label} ({RESET_ALONE})")
        assert self._status(RESET_ALONE) == (None, None)

    def reset_three(self) -> None:
        """Mark three keys and end their benches together."""
        for count, row_id in enumerate(RESET_TOGETHER, 1):
            self.go_to(TURNING, _TURNING_KEYS[row_id], row_id)
            self._terminal.keys("v")
            self._terminal.sees(f"{count} marked")
        self._writes("r", "reset 3 keys")
        self._terminal.until(lambda screen: "marked" not in screen)
        assert {self._status(row_id) for row_id in RESET_TOGETHER} == {(None, None)}

    def remove_and_undo(self) -> None:
        """Remove a key after the question, and bring it back while that can be done."""
        label = _TURNING_KEYS[REMOVED]
        self.go_to(TURNING, label, REMOVED)
        self._opens("d", f"{TURNING} / {label}", f"id {REMOVED}", "y remove")
        with self._still():
            self._answer(f"removed {label} ({REMOVED}) from {TURNING}")
            assert REMOVED not in {row["id"] for row in load(self._home)["credential_pool"][TURNING]}
        self._terminal.until(lambda screen: re.search(r"undo\w* (1m00s|[45]\ds)", screen))
        self._writes("u", f"put {label} back into {TURNING}")

    def filter(self) -> None:
        """Show one key only."""
        self._opens("/", "state:cool")
        self._terminal.type(f"{NEW_LABEL} pool:{STEADY}")
        self._terminal.until(lambda screen: "1 of " in screen)
        self._terminal.keys("Enter")
        hidden = (*_STEADY_KEYS.values(), *_TURNING_KEYS.values())
        self._terminal.until(
            lambda screen: f"● {NEW_LABEL}" in screen and not any(f"● {label}" in screen for label in hidden)
        )

    def take_picture(self) -> None:
        """Take a picture; nobody asked for the names to be shown."""
        self._terminal.keys("C-s")
        self._terminal.told("screenshot in", ".svg")

    def quit(self) -> int:
        """Leave; return the exit code."""
        self._terminal.keys("q")
        return self._terminal.exit_code()

    # --- parts -----------------------------------------------------------------------------------------

    def go_to(self, provider: str, label: str, row_id: str) -> None:
        """Put the cursor on a key by its name; the key's id, which `y` copies, tells that it is there."""
        self._opens("C-p", "commands, pools and keys")
        self._terminal.type(f"key: {provider} / {label}")
        self._terminal.until(
            lambda screen: f"key: {provider} / {label}" in "".join(dialog_on(screen).splitlines()[2:3])
        )
        self._terminal.keys("Enter")
        self._terminal.until(lambda screen: not dialog_on(screen))
        assert self._id_here() == row_id

    def _id_here(self) -> str:
        """Return the id of the key under the cursor."""
        before = len(self._terminal.copied)
        self._terminal.keys("y")
        self._terminal.until(lambda _: len(self._terminal.copied) > before)
        return self._terminal.copied[-1]

    def _opens(self, key: str, *texts: str) -> None:
        self._terminal.keys(key)
        self._terminal.sees(*texts)

    def _writes(self, key: str, told: str) -> None:
        """Press a key that changes a file, and wait until it is told to be done."""
        with self._still():
            self._terminal.keys(key)
            self._terminal.told(told)

    def _answer(self, told: str) -> None:
        """Say yes, and again when the question changes because of what others did meanwhile."""
        while not self._terminal.says(self._terminal.screen, told):
            self._say_yes(told, dialog_on(self._terminal.screen))

    def _say_yes(self, told: str, asked: str) -> None:
        self._terminal.keys("y")
        self._terminal.until(
            lambda screen: self._terminal.says(screen, told) or dialog_on(screen) not in ("", asked)
        )

    def _status(self, row_id: str) -> tuple[Any, Any]:
        rows = load(self._home)["credential_pool"][TURNING]
        row = next(row for row in rows if row["id"] == row_id)
        return row["last_status"], row["last_error_code"]


def command(home: Path, *options: str) -> str:
    """Return the command line that opens the dashboard on a home."""
    return " ".join([KEYDECK, "--home", shlex.quote(str(home)), *options])


def dialog_on(screen: str) -> str:
    """Return the dialog of the story that is on a screen, empty if none is."""
    found = (framed(screen, title) for title in _DIALOGS)
    return "\n".join(next(filter(None, found), []))
