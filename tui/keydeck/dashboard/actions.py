"""Every action of the dashboard, in one table.

Bindings, key bar, help, palette, read-only mode, the keymap and the README's list of keys derive from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from textual.binding import Binding
from textual.keys import REPLACED_KEYS, key_to_character

POOLS: Final = "pools"
DETAIL: Final = "detail"
EVENTS: Final = "events"
SETTINGS: Final = "settings"
POLICY: Final = "policy"
EVERYWHERE: Final = frozenset({POOLS, DETAIL, EVENTS, SETTINGS, POLICY})
_ON_POOLS: Final = frozenset({POOLS})
_ON_LISTS: Final = frozenset({POOLS, EVENTS})
_ON_KEYS: Final = frozenset({POOLS, DETAIL})
_ON_POLICY: Final = frozenset({POLICY})

_KEY_NAMES: Final = {
    "question_mark": "?",
    "exclamation_mark": "!",
    "slash": "/",
    "colon": ":",
    "minus": "-",
    "underscore": "_",
    "enter": "⏎",
    "escape": "esc",
    "shift+tab": "⇧tab",
    "pagedown": "pgdn",
    "pageup": "pgup",
    "down": "↓",
    "up": "↑",
    "left": "←",
    "right": "→",
}
_ASCII_KEY_NAMES: Final = {
    "enter": "enter",
    "shift+tab": "s-tab",
    "down": "down",
    "up": "up",
    "left": "left",
    "right": "right",
}


# What other programs call it.
_ALSO: Final = {
    "key.remove": "delete",
    "key.edit": "rename change label address",
    "key.pause": "disable enable off on resume hold stop",
    "key.reset": "cooldown bench clear exhausted",
    "pool.reset": "cooldown benches clear",
    "key.first": "priority prefer top order",
    "key.up": "priority order",
    "key.down": "priority order",
    "key.mark": "select",
    "key.add": "new create",
    "pool.strategy": "rotation balance",
    "view.open": "detail inspect why",
    "view.filter": "search find",
    "view.mask": "privacy names anonymous",
    "view.freeze": "stop hold",
    "app.theme": "color colour dark light",
    "app.quit": "exit leave close",
    "go.events": "history timeline journal activity log",
    "view.follow": "newest tail",
    "go.cooldowns": "policy wait bench how long config 429",
    "go.settings": "preferences options keymap rebind config",
    "share.shot": "picture svg export",
    "share.id": "clipboard",
    "share.note": "clipboard incident",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing the user can do.

    `id` is also the name of its handler: ``pool.strategy`` is ``do_pool_strategy`` on a screen of its scope.
    """

    id: str
    keys: tuple[str, ...]
    """None: it is a command of the palette only."""
    text: str
    """Two words at most, for the key bar."""
    help: str
    group: str
    scope: frozenset[str] = EVERYWHERE
    """The screens on which it works."""
    bar: int = 0
    """Place in the key bar; 0 is not there."""
    bar_on: frozenset[str] = EVERYWHERE
    """The screens whose key bar has room for it."""
    dangerous: bool = False
    """Changes a file: gone in read-only mode."""

    @property
    def words(self) -> str:
        """What a search for it looks at, other programs' words for it included."""
        return f"{self.command} {self.help} {_ALSO.get(self.id, '')}"

    @property
    def handler(self) -> str:
        """Name of the method that does it."""
        return "do_" + self.id.replace(".", "_")

    @property
    def command(self) -> str:
        """What it is called in the palette: ``change: reset pool``."""
        return f"{self.group}: {self.text}"


def key_name(key: str, *, ascii_only: bool = False) -> str:
    """Return a key as people write it."""
    names = {**_KEY_NAMES, **_ASCII_KEY_NAMES} if ascii_only else _KEY_NAMES
    if key in names:
        return names[key]
    modifiers, plus, base = key.rpartition("+")
    return modifiers + plus + (names.get(base) or character_of(base) or base)


def character_of(key: str) -> str | None:
    """Return the character that a key types, where it types one that can be seen."""
    character = key_to_character(REPLACED_KEYS.get(key, key)) if key else None
    return character if character and character.isprintable() and character != " " else None


def _move(action_id: str, keys: tuple[str, ...], text: str, help_text: str) -> Action:
    return Action(id=action_id, keys=keys, text=text, help=help_text, group="move", scope=_ON_POOLS)


def _look(
    action_id: str,
    keys: tuple[str, ...],
    text: str,
    help_text: str,
    *,
    bar: int = 0,
    scope: frozenset[str] = _ON_POOLS,
) -> Action:
    return Action(id=action_id, keys=keys, text=text, help=help_text, group="look", scope=scope, bar=bar)


def _change(
    action_id: str, keys: tuple[str, ...], text: str, help_text: str, *, bar: int = 0, pools: bool = False
) -> Action:
    return Action(
        id=action_id,
        keys=keys,
        text=text,
        help=help_text,
        group="change",
        scope=_ON_POOLS if pools else _ON_KEYS,
        bar=bar,
        dangerous=True,
    )


def _anywhere(
    action_id: str, keys: tuple[str, ...], text: str, help_text: str, group: str, *, bar: int = 0
) -> Action:
    return Action(id=action_id, keys=keys, text=text, help=help_text, group=group, bar=bar)


def _wait(action_id: str, keys: tuple[str, ...], text: str, help_text: str, *, bar: int) -> Action:
    return Action(
        id=action_id,
        keys=keys,
        text=text,
        help=help_text,
        group="change",
        scope=_ON_POLICY,
        bar=bar,
        dangerous=True,
    )


def _setting(action_id: str, keys: tuple[str, ...], text: str, help_text: str, *, bar: int = 0) -> Action:
    scope = frozenset({SETTINGS})
    return Action(id=action_id, keys=keys, text=text, help=help_text, group="app", scope=scope, bar=bar)


ACTIONS: Final[tuple[Action, ...]] = (
    Action(
        id="move.down",
        keys=("j", "down"),
        text="down",
        help="next line",
        group="move",
    ),
    Action(id="move.up", keys=("k", "up"), text="up", help="previous line", group="move"),
    Action(id="move.first", keys=("g", "home"), text="first", help="first line", group="move"),
    Action(id="move.last", keys=("G", "end"), text="last", help="last line", group="move"),
    Action(
        id="move.page_down", keys=("ctrl+d", "pagedown"), text="page down", help="a page down", group="move"
    ),
    Action(id="move.page_up", keys=("ctrl+u", "pageup"), text="page up", help="a page up", group="move"),
    _move("pane.next", ("tab",), "next pool", "next pool"),
    _move("pane.previous", ("shift+tab",), "last pool", "previous pool"),
    _move("pane.left", ("h", "left"), "left", "the pool to the left, or the previous one"),
    _move("pane.right", ("l", "right"), "right", "the pool to the right, or the next one"),
    _look(
        "view.open",
        ("enter",),
        "open",
        "everything about this key; a folded pool opens",
        bar=2,
        scope=_ON_LISTS,
    ),
    _look(
        "view.filter",
        ("slash",),
        "filter",
        "show only what matches: words, state: pool: code:",
        bar=3,
        scope=_ON_LISTS,
    ),
    _look(
        "view.follow",
        ("f",),
        "follow",
        "go to the newest event and along with it, or stay",
        bar=4,
        scope=frozenset({EVENTS}),
    ),
    _look("view.problems", ("exclamation_mark",), "problems", "only pools with a key that is out", bar=8),
    _look("view.sort", ("o",), "sort", "sort by state, name, requests, time left, or as the pool does"),
    _look("view.reverse", ("O",), "reverse", "the other way round"),
    _look("view.fold", ("minus",), "fold", "only the headline of this pool, or all of it again"),
    _look("view.fold_all", ("underscore",), "fold all", "only headlines, or everything again"),
    _look("view.zoom", ("z",), "zoom", "only this pool, or all again"),
    _look("view.wide", ("w",), "wide", "more columns, or the usual ones"),
    _look("view.freeze", ("p",), "freeze", "hold what is shown; clocks go on", scope=_ON_LISTS),
    _look(
        "policy.next",
        ("tab", "l", "right"),
        "whose",
        "the waits of the next provider, or those of all",
        bar=5,
        scope=_ON_POLICY,
    ),
    _look(
        "policy.previous",
        ("shift+tab", "h", "left"),
        "whose before",
        "the waits of the provider before",
        scope=_ON_POLICY,
    ),
    Action(
        id="view.back",
        keys=("escape",),
        text="back",
        help="close, clear or go back, one at a time",
        group="look",
        bar=2,
        bar_on=frozenset({DETAIL, EVENTS, SETTINGS, POLICY}),
    ),
    _look("view.mask", ("m",), "mask", "hide names, mails and messages", bar=10, scope=EVERYWHERE),
    _change("key.mark", ("v",), "mark", "mark this key: space, r, d act on all marked", pools=True),
    _change("key.add", ("a",), "add", "add a key to this pool, or to another", bar=5),
    _change("key.edit", ("e",), "edit", "this key's label, base URL and place"),
    _change("key.reset", ("r",), "reset", "end this key's bench here, or those of all marked", bar=6),
    _change("key.remove", ("d",), "remove", "remove this key, or all marked, after a question", bar=7),
    _change("key.pause", ("space",), "pause", "take this key out, or let it work again"),
    _change("key.first", ("n",), "use next", "make this key the first of its pool"),
    _change("key.up", ("K",), "move up", "one place up in its pool"),
    _change("key.down", ("J",), "move down", "one place down in its pool"),
    _change("pool.strategy", ("s",), "strategy", "how this pool picks its next key", bar=4),
    _change("pool.reset", ("R",), "reset pool", "end every bench of this pool, after a question"),
    _wait("policy.change", ("enter", "space"), "set wait", "another wait after such a failure", bar=3),
    _wait("policy.default", ("r",), "usual wait", "as without an entry of its own in config.yaml", bar=4),
    Action(
        id="app.undo",
        keys=("u",),
        text="undo",
        help="undo the last change",
        group="change",
        dangerous=True,
    ),
    _anywhere(
        "share.shot",
        ("ctrl+s",),
        "screenshot",
        "a picture of the screen; names hidden unless you took the mask off",
        "share",
    ),
    Action(
        id="share.id",
        keys=("y",),
        text="copy id",
        help="this key's id to the terminal's clipboard",
        group="share",
        scope=_ON_KEYS | {EVENTS},
    ),
    _anywhere("share.note", ("Y",), "copy note", "what is wrong, without names, for a chat", "share"),
    _anywhere("share.note_file", (), "note to file", "the same note as a file", "share"),
    _anywhere("share.json", (), "export JSON", "all pools as keydeck auth list --json prints them", "share"),
    _anywhere("share.diagnostics", (), "copy diagnostics", "versions and sizes, for a bug report", "share"),
    _anywhere("go.pools", ("1",), "pools", "the pools", "go"),
    Action(
        id="go.events",
        keys=("2",),
        text="events",
        help="what happened, newest first",
        group="go",
        bar=9,
        bar_on=frozenset({POOLS, DETAIL}),
    ),
    _anywhere("go.cooldowns", ("C",), "cooldowns", "how long failures bench, for all or one provider", "go"),
    _anywhere("go.settings", ("4",), "settings", "look, keys and other settings", "go"),
    _anywhere("app.palette", ("ctrl+p", "colon"), "commands", "find any command, pool or key", "go"),
    _setting(
        "settings.change", ("enter", "space", "l", "right"), "change", "the next value, or the list", bar=3
    ),
    _setting("settings.previous", ("h", "left"), "previous", "the value before"),
    _setting("settings.default", ("r",), "default", "this setting as it was at first", bar=4),
    _anywhere("app.theme", ("T",), "theme", "choose colours, seen at once", "app"),
    _anywhere("app.reload", ("ctrl+r",), "reload", "read the files again now", "app"),
    _anywhere("app.suspend", ("ctrl+z",), "suspend", "back to the shell; fg returns", "app"),
    _anywhere(
        "app.help", ("question_mark", "f1"), "help", "what works here, to read or to run", "app", bar=1
    ),
    _anywhere("app.quit", ("q", "ctrl+q"), "quit", "leave", "app", bar=11),
)

BY_ID: Final = {action.id: action for action in ACTIONS}
GROUPS: Final = ("move", "look", "change", "share", "go", "app")

Keymap = Mapping[str, tuple[str, ...]]
"""Action id → keys, for the actions whose keys the user changed."""


def keys_of(action: Action, keymap: Keymap) -> tuple[str, ...]:
    """Return the keys that run an action now."""
    return keymap.get(action.id, action.keys)


def key_text(action: Action, keymap: Keymap, *, ascii_only: bool = False) -> str:
    """Return an action's first key as people write it; empty if it has none."""
    keys = keys_of(action, keymap)
    return key_name(keys[0], ascii_only=ascii_only) if keys else ""


def bindings(screen: str) -> list[Binding]:
    """Return a binding for every action of a screen; its id lets a keymap change the keys."""
    return [
        Binding(
            ",".join(action.keys) or no_key(action.id),
            f"act('{action.id}')",
            action.text,
            show=False,
            id=action.id,
        )
        for action in actions_on(screen, read_only=False)
    ]


def no_key(action_id: str) -> str:
    """Return the name of a key that cannot be pressed; Textual would drop all bindings that share one."""
    return f"<{action_id}>"


def actions_on(screen: str, *, read_only: bool) -> tuple[Action, ...]:
    """Return what can be done on a screen."""
    return tuple(
        action for action in ACTIONS if screen in action.scope and not (read_only and action.dangerous)
    )


def key_bar(
    screen: str, keymap: Keymap, *, read_only: bool, ascii_only: bool
) -> tuple[tuple[str, str, str], ...]:
    """Return what the bottom line shows: (id, key, text), in a fixed order."""
    shown = sorted(
        (
            action
            for action in actions_on(screen, read_only=read_only)
            if action.bar and screen in action.bar_on
        ),
        key=lambda action: action.bar,
    )
    return tuple(
        (action.id, key_text(action, keymap, ascii_only=ascii_only), action.text) for action in shown
    )
