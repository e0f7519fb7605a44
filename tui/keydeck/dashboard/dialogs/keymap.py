"""The keys of all actions, to change: a list that stays open, and a question that takes the next key pressed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from keydeck.dashboard.actions import ACTIONS, BY_ID, GROUPS, Action, key_name, keys_of
from keydeck.dashboard.dialogs.dialog import Dialog
from keydeck.dashboard.dialogs.pick import Choice, PickDialog
from keydeck.dashboard.keymap import ALWAYS_WITH_A_KEY, key_id, reserved, taken_by, with_keys
from keydeck.dashboard.widgets.line_list import LineList
from keydeck.dashboard.widgets.lines import FixedLines
from keydeck.present.spans import Line, Role, Span, cell
from keydeck.present.text import wrapped

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp

_KEYS_CELLS: Final = 14
_TEXT_CELLS: Final = 16
_LINE_CELLS: Final = 52
"""So many cells a line of the question has on the narrowest terminal."""


class KeymapDialog(PickDialog[str]):
    """Changes keys until it is closed; it returns nothing."""

    TITLE_TEXT = "keymap"
    HINT = "enter change   del restore   esc close"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("delete", "restore", "restore", priority=True)]

    def __init__(self, deck: PoolApp) -> None:
        super().__init__(deck.glyphs, marks_cursor=deck.needs_cursor_mark)
        self._deck = deck

    def choices(self) -> Sequence[Choice[str]]:
        """Return all actions with their keys, by group."""
        return [self._choice(action) for action in sorted(ACTIONS, key=lambda each: GROUPS.index(each.group))]

    def start(self) -> str | None:
        """Stay on the action whose key was changed."""
        return None if self._list.value is None else str(self._list.value)

    def _choice(self, action: Action) -> Choice[str]:
        deck, mark = self._deck, self._glyphs.ellipsis
        keymap = deck.settings.keymap
        keys = written(keys_of(action, keymap), ascii_only=deck.ascii_only)
        changed = action.id in keymap
        was = f"was {written(action.keys, ascii_only=deck.ascii_only)}  " if changed else ""
        line: Line = (
            cell(keys, _KEYS_CELLS, Role.ACCENT if changed else Role.STRONG, mark),
            Span(" "),
            cell(action.text, _TEXT_CELLS, Role.PLAIN, mark),
            Span(was, Role.COOLING),
            Span(action.help, Role.MUTED),
        )
        words = f"{keys} {action.text} {action.help} {action.id} {'changed' if changed else ''}"
        return Choice(line, words, action.id, action.group)

    @on(LineList.Chosen)
    def _asked(self, message: LineList.Chosen) -> None:
        message.stop()
        message.prevent_default()  # choosing does not close this list
        self.action_choose()

    def action_choose(self) -> None:
        """Ask for the new key."""
        action = self._action()
        if action is not None:
            self.app.push_screen(KeyDialog(self._deck, action), lambda keys: self._give(action, keys))

    def action_restore(self) -> None:
        """Give the action its own keys again, unless others have them now."""
        action = self._action()
        if action is None or action.id not in self._deck.settings.keymap:
            return
        refusals = (refusal(key, action, self._deck) for key in action.keys)
        if refused := next((why for why in refusals if why), None):
            self._deck.tell(refused, "warning")
        else:
            self._give(action, action.keys)

    def _action(self) -> Action | None:
        return BY_ID.get(str(self._list.value))

    def _give(self, action: Action, keys: tuple[str, ...] | None) -> None:
        if keys is None:
            return
        settings = self._deck.settings
        self._deck.change(replace(settings, keymap=with_keys(settings.keymap, action, keys)))
        self._fill(self.query_one(Input).value)


class KeyDialog(Dialog[tuple[str, ...] | None]):
    """Takes the next key; returns the action's keys from now on, or None to leave them."""

    def __init__(self, deck: PoolApp, action: Action) -> None:
        super().__init__()
        self._deck = deck
        self._about = action
        self._now = written(keys_of(action, deck.settings.keymap), ascii_only=deck.ascii_only)

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        with Vertical(id="key-dialog", classes="dialog") as box:
            box.border_title = Content(f"a key for {self._about.text}")
            box.border_subtitle = Content(self._ways_out())
            box.set_class(self._deck.ascii_only, "-ascii")
            yield FixedLines(id="key-lines")

    def on_mount(self) -> None:
        """Ask."""
        self._say("")

    def on_key(self, event: events.Key) -> None:
        """Take the key, whatever it does elsewhere."""
        event.stop()
        event.prevent_default()
        if event.key == "escape":
            self.dismiss(None)
        elif event.key == "backspace":
            self._take_away()
        elif refused := refusal(event.key, self._about, self._deck):
            self._say(refused)
        else:
            self.dismiss((str(key_id(event.key)),))

    def _take_away(self) -> None:
        if self._about.id in ALWAYS_WITH_A_KEY:
            self._say(f"{self._about.text} needs a key")
        else:
            self.dismiss(())

    def _ways_out(self) -> str:
        keeps = f"esc keeps {self._now}"
        return keeps if self._about.id in ALWAYS_WITH_A_KEY else f"{keeps}   backspace leaves it without"

    def _say(self, trouble: str) -> None:
        lines = [(Span(line, Role.MUTED),) for line in wrapped(self._about.help, _LINE_CELLS)]
        asked = f"press the new key for {self._about.text}"
        said = wrapped(trouble, _LINE_CELLS) if trouble else [""]
        self.query_one(FixedLines).show(
            (*lines, (), (Span(asked, Role.STRONG),), *((Span(line, Role.COOLING),) for line in said))
        )


def refusal(key: str, action: Action, deck: PoolApp) -> str | None:
    """Say why an action cannot have a key, or None."""
    known = key_id(key)
    if known is None:
        return "that key has no name to keep it by"
    name = key_name(known, ascii_only=deck.ascii_only)
    if why := reserved(known, action):
        return f"{name} cannot be taken: {why}"
    taken = taken_by(known, action, deck.settings.keymap)
    return f"{name} is taken by {taken.text}" if taken else None


def written(keys: tuple[str, ...], *, ascii_only: bool) -> str:
    """Return keys as people write them."""
    return " ".join(key_name(key, ascii_only=ascii_only) for key in keys) or "no key"
