"""The settings: each row says what it is, what it can be and who decided it. A change holds and is kept at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import on
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget

from keydeck.dashboard.actions import ACTIONS, SETTINGS, bindings
from keydeck.dashboard.dialogs.confirm import ConfirmDialog
from keydeck.dashboard.dialogs.keymap import KeymapDialog
from keydeck.dashboard.keymap import DEFAULT_KEYS
from keydeck.dashboard.screens.listing import ListingScreen
from keydeck.dashboard.settings import DENSITIES, GLYPH_SETS, TIMES, Settings
from keydeck.dashboard.widgets.line_list import Item, LineList
from keydeck.dashboard.widgets.lines import FixedLines
from keydeck.engine.acts import UNDO_OF_REMOVAL_S
from keydeck.present.policy import entries
from keydeck.present.spans import Line, Role, Span, cell, fit_line
from keydeck.present.text import clean, cut_head, wrapped

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp

_TITLE_CELLS: Final = 16
_VALUE_CELLS: Final = 16
_NOTE_LINES: Final = 2
_FRAME_FROM: Final = 24
"""Lines from which the list has a frame."""
_WIDEST: Final = 100
_SCROLLBAR: Final = 1
_CURSOR: Final = 2


@dataclass(frozen=True, slots=True)
class _Setting:
    """One row that can be changed. Its name is the field of `Settings`."""

    group: str
    name: str
    title: str
    about: str
    choices: tuple[Any, ...] = ()


_SETTINGS: Final = (
    _Setting("look", "theme", "theme", "enter or T opens the list; each is seen while the cursor is on it"),
    _Setting(
        "look",
        "density",
        "density",
        "frames around pools: auto where lines allow, short never, tall always",
        DENSITIES,
    ),
    _Setting(
        "look",
        "glyphs",
        "glyphs",
        "ascii draws signs that every font, CJK terminal and screen reader has",
        GLYPH_SETS,
    ),
    _Setting("look", "times", "times", "of a bench: the time left, when it ends, or both", TIMES),
    _Setting("look", "mask", "mask names", "labels, mails and messages hidden at every start", (False, True)),
    _Setting(
        "look",
        "mouse",
        "mouse",
        "from the next start on; off leaves it to the terminal, to select text",
        (True, False),
    ),
    _Setting(
        "watching",
        "token_warning_min",
        "token warning",
        "so long before a login's token ends its row says so; 0 never",
        (0, 5, 10, 30, 60),
    ),
    _Setting("changing things", "cooldowns", "cooldowns", "how long a key is benched after which failure"),
    _Setting("keys", "keymap", "keymap", "which key does what"),
)
_BY_NAME: Final = {setting.name: setting for setting in _SETTINGS}
_LISTS: Final = ("keymap", "cooldowns")
"""What has a list of its own."""
_GROUPS: Final = ("look", "watching", "changing things", "keys")


class _SettingsList(LineList):
    """A list whose cursor may get another sign: the set of signs is one of the settings."""

    def point_with(self, sign: str) -> None:
        """Show the cursor by this sign."""
        if sign != self._cursor_sign:
            self._cursor_sign = sign
            self.refresh()


class SettingsScreen(ListingScreen):
    """One row a setting; enter goes to the next value, or to the list that has it."""

    NAME = SETTINGS
    _list: _SettingsList
    BINDINGS: ClassVar[list[BindingType]] = list(bindings(SETTINGS))

    def __init__(self, deck: PoolApp) -> None:
        super().__init__(deck)
        self._list = _SettingsList(id="settings-list")
        self._box = VerticalScroll(self._list, id="settings")
        self._box.can_focus = False
        self._remark = FixedLines(id="settings-note")

    def body(self) -> tuple[Widget, ...]:
        """Lay out the list, with what is to be said about a row below it."""
        return (self._box, self._remark)

    # --- painting --------------------------------------------------------------------------------------

    def paint_body(self, now: float) -> None:
        """Write the settings out."""
        deck = self._deck
        self._paint_frame()
        self._list.point_with(f"{deck.glyphs.cursor} " if deck.needs_cursor_mark else "  ")
        self.show_items(tuple(self._items()))
        self._paint_note()

    def _paint_frame(self) -> None:
        self._box.set_class(self._is_framed(), "-framed")
        self._box.set_class(self._deck.ascii_only, "-ascii")
        self._box.border_title = Content("settings")

    def _items(self) -> list[Item]:
        items = [*self._place()]
        for group in _GROUPS:
            items.append(Item((Span(group, Role.STRONG),)))
            rows = [setting for setting in _SETTINGS if setting.group == group]
            items += [Item(self._fitted(self._row(setting)), setting.name) for setting in rows]
            items += [Item(self._fitted(self._fact(*fact))) for fact in self._facts(group)]
        return items

    def _place(self) -> list[Item]:
        """Return where the settings are kept, and what is wrong there."""
        file = self._deck.settings_file
        if file.path is None:
            return [Item((Span("kept until you leave", Role.MUTED),))]
        cells, mark = self._cells(), self._deck.glyphs.ellipsis
        place = Item((Span(cut_head(clean(self._deck.shown_path(file.path)), cells, mark=mark), Role.MUTED),))
        said = wrapped(self._deck.safe(file.trouble), cells) if file.trouble else []
        return [place, *(Item((Span(line, Role.COOLING),)) for line in said)]

    def _cells(self) -> int:
        """Return how many cells a line of the list has, beside its cursor."""
        edges = 4 if self._is_framed() else 2
        return max(min(self.size.width, _WIDEST) - edges - _SCROLLBAR - _CURSOR, 1)

    def _is_framed(self) -> bool:
        return self.size.height >= _FRAME_FROM

    def _fitted(self, line: Line) -> Line:
        return fit_line(line, self._cells(), self._deck.glyphs.ellipsis)

    def _row(self, setting: _Setting) -> Line:
        mark = self._deck.glyphs.ellipsis
        value = self._value(setting.name)
        changed = value != _default(setting.name)
        return (
            cell(f" {setting.title}", _TITLE_CELLS, Role.PLAIN, mark),
            cell(_text(setting.name, value), _VALUE_CELLS, Role.ACCENT if changed else Role.PLAIN, mark),
            *self._beside(setting, value),
        )

    def _value(self, name: str) -> Any:
        """Return what holds now: what the command line says, else what was chosen."""
        if name in self._deck.flags:
            return {"mask": True, "mouse": False, "glyphs": "ascii" if self._deck.ascii_only else "unicode"}[
                name
            ]
        if name == "cooldowns":
            return entries(self._deck.view.policy)
        return getattr(self._deck.settings, name)

    def _beside(self, setting: _Setting, value: Any) -> Line:
        """Return what a row can be, or who decided it."""
        if flag := self._deck.flags.get(setting.name):
            return (Span(f"set by {flag}", Role.MUTED),)
        if setting.name in _LISTS:
            return (Span("enter opens the list", Role.MUTED),)
        if setting.name == "theme":
            return (Span(f"{len(self._deck.available_themes)} themes, with preview", Role.MUTED),)
        parts: list[Span] = []
        for choice in setting.choices:
            parts.append(Span(f" {self._deck.glyphs.dot} " if parts else "", Role.FAINT))
            parts.append(Span(_short(choice), Role.STRONG if choice == value else Role.MUTED))
        return tuple(parts)

    def _facts(self, group: str) -> Sequence[tuple[str, str, str]]:
        """Return what belongs to a group and is not decided here."""
        deck = self._deck
        if group == "watching":
            return (("files", deck.watching, "how changes are seen"),)
        if group == "changing things":
            return (
                ("read-only", "on" if deck.read_only else "off", "only by --read-only"),
                ("undo window", f"{UNDO_OF_REMOVAL_S:.0f} s", "for a removed secret"),
            )
        return ()

    def _fact(self, title: str, value: str, about: str) -> Line:
        mark = self._deck.glyphs.ellipsis
        title_cell = cell(f" {title}", _TITLE_CELLS, Role.MUTED, mark)
        return (title_cell, cell(value, _VALUE_CELLS, Role.MUTED, mark), Span(about, Role.MUTED))

    def _paint_note(self) -> None:
        cells, mark = self.size.width, self._deck.glyphs.ellipsis
        lines = wrapped(self._said(), max(cells - 4, 1))[:_NOTE_LINES]
        lines += [""] * (_NOTE_LINES - len(lines))
        self._remark.show(tuple(fit_line((Span(f"  {line}", Role.MUTED),), cells, mark) for line in lines))

    def _said(self) -> str:
        setting = self._selected()
        if setting is None:
            return ""
        if flag := self._deck.flags.get(setting.name):
            return f"{setting.about}. {flag} decides it until you start without"
        default = _default(setting.name)
        return (
            setting.about
            if setting.name in _LISTS
            else f"{setting.about}. {_text(setting.name, default)} is the default"
        )

    def _selected(self) -> _Setting | None:
        return _BY_NAME.get(str(self._list.value))

    # --- changing --------------------------------------------------------------------------------------

    def do_settings_change(self) -> None:
        """Go to the next value of the row, or open its list."""
        self._step(1)

    def do_settings_previous(self) -> None:
        """Go to the value before."""
        self._step(-1)

    def do_settings_default(self) -> None:
        """Give the row its first value again."""
        setting = self._selected()
        if setting is None:
            return
        if setting.name == "cooldowns":
            self._deck.tell("enter opens the list: r there takes one entry out", "information")
        elif setting.name == "keymap":
            self._restore_all_keys()
        else:
            self._set(setting, getattr(Settings(), setting.name))

    def _step(self, by: int) -> None:
        setting = self._selected()
        if setting is None:
            return
        if setting.name == "theme":
            self.do_app_theme()
        elif setting.name == "cooldowns":
            self.do_go_cooldowns()
        elif setting.name == "keymap":
            self._deck.push_screen(KeymapDialog(self._deck))
        else:
            self._set(setting, _next(setting.choices, getattr(self._deck.settings, setting.name), by))

    def _set(self, setting: _Setting, value: Any) -> None:
        deck = self._deck
        if flag := deck.flags.get(setting.name):
            deck.tell(f"{setting.title} is set by {flag}: start without it to change it here", "warning")
            return
        if setting.name == "mask":
            deck.masked = value
            deck.names_shown_on_purpose = False
        deck.change(replace(deck.settings, **{setting.name: value}))

    def _restore_all_keys(self) -> None:
        deck = self._deck
        changed = len(deck.settings.keymap)
        if not changed:
            deck.tell("all keys are as at first", "information")
            return

        def answered(go_on: bool | None) -> None:
            if go_on:
                deck.change(replace(deck.settings, keymap=DEFAULT_KEYS))

        lines = ((Span(f"{changed} changed {'key' if changed == 1 else 'keys'} will be as at first."),),)
        deck.push_screen(
            ConfirmDialog("restore all keys", lines, "restore", ascii_only=deck.ascii_only), answered
        )

    # --- moving ----------------------------------------------------------------------------------------

    def do_move_down(self) -> None:
        """Next setting."""
        self._list.move(1)

    def do_move_up(self) -> None:
        """Previous setting."""
        self._list.move(-1)

    def do_move_first(self) -> None:
        """First setting."""
        self._list.move(-len(_SETTINGS))

    def do_move_last(self) -> None:
        """Last setting."""
        self._list.move(len(_SETTINGS))

    def do_move_page_down(self) -> None:
        """A page down."""
        self._list.page(1)

    def do_move_page_up(self) -> None:
        """A page up."""
        self._list.page(-1)

    def back(self) -> None:
        """Return to the pools."""
        self.do_go_pools()

    @on(LineList.Moved)
    def _moved(self, message: LineList.Moved) -> None:
        message.stop()
        self._paint_note()

    @on(LineList.Chosen)
    def _clicked(self, message: LineList.Chosen) -> None:
        message.stop()
        self.do_settings_change()


def _default(name: str) -> Any:
    return 0 if name == "cooldowns" else getattr(Settings(), name)


def _short(value: Any) -> str:
    """Return a value as its row's choices have it."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _text(name: str, value: Any) -> str:
    if name == "cooldowns":
        return f"{value} changed" if value else "as usual"
    if name == "keymap":
        return f"{len(value)} of {len(ACTIONS)} changed"
    return f"{value} min" if name == "token_warning_min" else _short(value)


def _next(choices: tuple[Any, ...], value: Any, by: int) -> Any:
    """Return the choice after or before a value, going round; a number of somebody's own stands between two."""
    if value in choices:
        return choices[(choices.index(value) + by) % len(choices)]
    above = [choice for choice in choices if choice > value]
    below = [choice for choice in choices if choice < value]
    return (above or choices)[0] if by > 0 else (below or choices)[-1]
