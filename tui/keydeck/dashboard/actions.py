"""Every action of the dashboard, in one table: bindings, key bar, help and read-only mode derive from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from textual.binding import Binding

_KEY_NAMES: Final = {
    "question_mark": "?",
    "exclamation_mark": "!",
    "enter": "⏎",
    "escape": "esc",
    "shift+tab": "⇧tab",
    "pagedown": "pgdn",
    "pageup": "pgup",
    "down": "↓",
    "up": "↑",
}
_ASCII_KEY_NAMES: Final = {"enter": "enter", "shift+tab": "s-tab", "down": "down", "up": "up"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing the user can do.

    `id` is also the name of its handler: ``pool.strategy`` is ``do_pool_strategy`` on the screen or the app.
    """

    id: str
    keys: tuple[str, ...]
    text: str
    """Two words at most, for the key bar."""
    help: str
    group: str
    bar: int = 0
    """Place in the key bar; 0 is not there."""
    dangerous: bool = False
    """Changes a file: gone in read-only mode."""

    @property
    def handler(self) -> str:
        """Name of the method that does it."""
        return "do_" + self.id.replace(".", "_")

    def key_text(self, *, ascii_only: bool = False) -> str:
        """Return its first key as people write it."""
        key = self.keys[0]
        names = {**_KEY_NAMES, **_ASCII_KEY_NAMES} if ascii_only else _KEY_NAMES
        return names.get(key, key)


ACTIONS: Final[tuple[Action, ...]] = (
    Action(id="move.down", keys=("j", "down"), text="down", help="next key", group="move"),
    Action(id="move.up", keys=("k", "up"), text="up", help="previous key", group="move"),
    Action(id="move.first", keys=("g", "home"), text="first", help="first key", group="move"),
    Action(id="move.last", keys=("G", "end"), text="last", help="last key", group="move"),
    Action(
        id="move.page_down", keys=("ctrl+d", "pagedown"), text="page down", help="a page down", group="move"
    ),
    Action(id="move.page_up", keys=("ctrl+u", "pageup"), text="page up", help="a page up", group="move"),
    Action(id="pane.next", keys=("tab", "l", "right"), text="next pool", help="next pool", group="move"),
    Action(
        id="pane.previous",
        keys=("shift+tab", "h", "left"),
        text="last pool",
        help="previous pool",
        group="move",
    ),
    Action(
        id="pool.strategy",
        keys=("s",),
        text="strategy",
        help="how this pool picks its next key",
        group="change",
        bar=2,
        dangerous=True,
    ),
    Action(
        id="key.add",
        keys=("a",),
        text="add",
        help="add a key to this pool, or to another",
        group="change",
        bar=2,
        dangerous=True,
    ),
    Action(
        id="key.edit",
        keys=("e",),
        text="edit",
        help="this key's label and base URL",
        group="change",
        dangerous=True,
    ),
    Action(
        id="key.reset",
        keys=("r",),
        text="reset",
        help="end this key's bench here",
        group="change",
        bar=3,
        dangerous=True,
    ),
    Action(
        id="key.remove",
        keys=("d",),
        text="remove",
        help="remove this key, after a question",
        group="change",
        bar=4,
        dangerous=True,
    ),
    Action(
        id="key.first",
        keys=("n",),
        text="use next",
        help="make this key the first of its pool",
        group="change",
        dangerous=True,
    ),
    Action(
        id="key.up",
        keys=("K",),
        text="move up",
        help="one place up in its pool",
        group="change",
        dangerous=True,
    ),
    Action(
        id="key.down",
        keys=("J",),
        text="move down",
        help="one place down in its pool",
        group="change",
        dangerous=True,
    ),
    Action(
        id="pool.reset",
        keys=("R",),
        text="reset pool",
        help="end every bench of this pool",
        group="change",
        dangerous=True,
    ),
    Action(
        id="app.undo", keys=("u",), text="undo", help="undo the last change", group="change", dangerous=True
    ),
    Action(
        id="view.problems",
        keys=("exclamation_mark",),
        text="problems",
        help="only pools with a key that is out",
        group="look",
        bar=5,
    ),
    Action(
        id="view.mask", keys=("m",), text="mask", help="hide names, mails and messages", group="look", bar=6
    ),
    Action(
        id="view.back", keys=("escape",), text="back", help="close, or show all pools again", group="look"
    ),
    Action(id="app.reload", keys=("ctrl+r",), text="reload", help="read the files again now", group="app"),
    Action(id="app.help", keys=("question_mark", "f1"), text="help", help="this list", group="app", bar=1),
    Action(id="app.quit", keys=("q", "ctrl+q"), text="quit", help="leave", group="app", bar=9),
)

BY_ID: Final = {action.id: action for action in ACTIONS}
GROUPS: Final = ("move", "look", "change", "app")


def bindings() -> list[Binding]:
    """Return a binding for every action; its id lets a keymap change the keys."""
    return [
        Binding(",".join(action.keys), f"act('{action.id}')", action.text, show=False, id=action.id)
        for action in ACTIONS
    ]


def key_bar(*, read_only: bool, ascii_only: bool) -> tuple[tuple[str, str, str], ...]:
    """Return what the bottom line shows: (id, key, text), in a fixed order."""
    shown = sorted((action for action in ACTIONS if action.bar), key=lambda action: action.bar)
    return tuple(
        (action.id, action.key_text(ascii_only=ascii_only), action.text)
        for action in shown
        if not (read_only and action.dangerous)
    )
