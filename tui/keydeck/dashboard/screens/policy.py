"""How long failures bench, kind by kind, for all or for one provider: what holds, since where, and another wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual import on
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget

from keydeck.dashboard.actions import BY_ID, POLICY, bindings, key_text
from keydeck.dashboard.dialogs.policy import PolicyDialog
from keydeck.dashboard.screens.listing import ListingScreen
from keydeck.dashboard.widgets.line_list import Item, LineList
from keydeck.dashboard.widgets.lines import FixedLines
from keydeck.engine.cooldown_edit import Entry
from keydeck.present.policy import (
    PolicyRow,
    default_text,
    override_lines,
    policy_rows,
    rule_text,
    source_text,
)
from keydeck.present.rows import label_text, said_text
from keydeck.present.spans import Line, Role, Span, cell, fit_line, trimmed
from keydeck.present.text import wrapped

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp

ANOTHER: Final = "+"
"""The line that asks for a status."""
_TITLE_CELLS: Final = 17
_RULE_CELLS: Final = 22
_SOURCE_CELLS: Final = 34
_NOTE_LINES: Final = 2
_WIDE_ENOUGH: Final = 80
"""Cells from which a line of config.yaml is called so in full."""
_WIDE: Final = 100
"""Cells from which the defaults stand beside what holds."""
_SCROLLBAR: Final = 1
_CURSOR: Final = 2
_WIDEST: Final = 120


class PolicyScreen(ListingScreen):
    """One line a kind of failure, behind it the statuses that have an entry; enter changes what the cursor is on."""

    NAME = POLICY
    BINDINGS: ClassVar[list[BindingType]] = list(bindings(POLICY))

    def __init__(self, deck: PoolApp, provider: str = "") -> None:
        super().__init__(deck)
        self._provider = provider
        self._rows: dict[str, PolicyRow] = {}
        self._path = FixedLines(id="breadcrumb")
        self._list = LineList(
            id="policy-list",
            cursor_sign=f"{deck.glyphs.cursor} " if deck.needs_cursor_mark else "  ",
            mark=deck.glyphs.ellipsis,
        )
        self._box = VerticalScroll(self._list, id="policy")
        self._box.can_focus = False
        self._box.set_class(deck.ascii_only, "-ascii")
        self._remark = FixedLines(id="settings-note")

    def body(self) -> tuple[Widget, ...]:
        """Lay out whose waits these are, the list, and what is to be said about a line below it."""
        return (self._path, self._box, self._remark)

    # --- painting --------------------------------------------------------------------------------------

    def paint_body(self, now: float) -> None:
        """Write the policy out."""
        self._paint_path()
        self.show_items(tuple(self._items()))
        self._paint_note()

    def _paint_path(self) -> None:
        deck = self._deck
        path = (
            Span(f" cooldowns {deck.glyphs.arrow} ", Role.MUTED),
            Span(self._whose() or "everywhere", Role.STRONG),
            Span(f"   {self._hint()}", Role.MUTED),
        )
        self._path.show((fit_line(path, self.size.width, deck.glyphs.ellipsis),))

    def _hint(self) -> str:
        deck = self._deck
        key = key_text(BY_ID["policy.next"], deck.settings.keymap, ascii_only=deck.ascii_only)
        return f"{key}: another provider, or all" if key else ""

    def _items(self) -> list[Item]:
        view = self._deck.view
        rows = policy_rows(view.policy, self._provider)
        self._rows = {row.entry.name: row for row in rows}
        items = [Item(self._fitted(self._heading()))]
        items += [Item(self._fitted(self._line(row)), row.entry.name) for row in rows]
        if not self._deck.read_only:
            another = (Span(" another status", Role.MUTED),)
            items.append(Item(self._fitted(another), ANOTHER))
        said = list(override_lines(view.policy, view, self._provider, self._deck.row_context()))
        items += [Item(self._fitted((Span(f" {text}", Role.MUTED),))) for text in said]
        return [*items, *self._problems()]

    def _problems(self) -> list[Item]:
        """Return what config.yaml says there and does not hold."""
        view = self._deck.view
        told = [
            f"config.yaml line {line}: {said_text(text, view.scrubber)}"
            for line, text in view.policy_problems
        ]
        lines = [part for text in told for part in wrapped(text, self._cells() - 1)]
        return [Item(self._fitted((Span(f" {line}", Role.COOLING),))) for line in lines]

    def _heading(self) -> Line:
        cells = ((" after", _TITLE_CELLS), ("wait", _RULE_CELLS), ("from", _SOURCE_CELLS))
        mark = self._deck.glyphs.ellipsis
        line = tuple(cell(text, width, Role.MUTED, mark) for text, width in cells)
        return (*line, Span("usually", Role.MUTED)) if self._has_usual() else line

    def _line(self, row: PolicyRow) -> Line:
        mark = self._deck.glyphs.ellipsis
        indent = "   " if row.entry.name.isdecimal() else " "
        role = Role.ACCENT if row.is_own else Role.PLAIN if row.rule.wait_s else Role.MUTED
        usual = default_text(row, self._times()) if row.rule.line and self._has_usual() else ""
        is_narrow = self.size.width < _WIDE_ENOUGH
        source = source_text(row, "all" if is_narrow else "everywhere")
        source = source.removeprefix("config.yaml ") if is_narrow else source
        return (
            cell(f"{indent}{row.title}", _TITLE_CELLS, Role.PLAIN, mark),
            cell(rule_text(row.rule, self._times()), _RULE_CELLS, role, mark),
            cell(source, _SOURCE_CELLS, Role.MUTED, mark),
            Span(usual, Role.MUTED),
        )

    def _times(self) -> str:
        return "x" if self._deck.ascii_only else "×"

    def _has_usual(self) -> bool:
        return self.size.width >= _WIDE

    def _cells(self) -> int:
        return max(min(self.size.width, _WIDEST) - 2 - _SCROLLBAR - _CURSOR, 1)

    def _fitted(self, line: Line) -> Line:
        return fit_line(trimmed(line), self._cells(), self._deck.glyphs.ellipsis)

    def _paint_note(self) -> None:
        cells, mark = self.size.width, self._deck.glyphs.ellipsis
        lines = wrapped(self._said(), max(cells - 4, 1))[:_NOTE_LINES]
        lines += [""] * (_NOTE_LINES - len(lines))
        self._remark.show(tuple(fit_line((Span(f"  {line}", Role.MUTED),), cells, mark) for line in lines))

    def _said(self) -> str:
        row = self._selected()
        if row is None:
            return "a wait of its own for a status, before its kind" if self._list.value == ANOTHER else ""
        usual = f". {default_text(row, self._times())} is the default" if row.rule.line else ""
        return f"{row.about}. The provider's own time wins{usual}"

    def _selected(self) -> PolicyRow | None:
        return self._rows.get(str(self._list.value))

    def _whose(self) -> str:
        return label_text(self._provider, self._deck.view.scrubber)

    # --- changing --------------------------------------------------------------------------------------

    def do_policy_change(self) -> None:
        """Ask for another wait."""
        row = self._selected()
        if row is not None or self._list.value == ANOTHER:
            self._deck.push_screen(PolicyDialog(self._deck, row, self._provider))

    def do_policy_default(self) -> None:
        """Take the entry out of config.yaml, if this level has one."""
        row = self._selected()
        if row is None:
            return
        if row.is_own:
            entry: Entry = row.entry
            self._deck.act(lambda operator: operator.clear_cooldown(entry))
        else:
            whose = self._whose() or "everywhere"
            self._deck.tell(f"config.yaml has no entry {row.title} for {whose}", "information")

    def do_policy_next(self) -> None:
        """Show the waits of the next provider."""
        self._turn(1)

    def do_policy_previous(self) -> None:
        """Show the waits of the provider before."""
        self._turn(-1)

    def _turn(self, step: int) -> None:
        named = (*(pool.provider for pool in self._deck.view.pools), *self._deck.view.policy.providers)
        places = tuple(dict.fromkeys(("", *named, self._provider)))
        self._provider = places[(places.index(self._provider) + step) % len(places)]
        self.repaint()

    # --- moving ----------------------------------------------------------------------------------------

    def do_move_down(self) -> None:
        """Next line."""
        self._list.move(1)

    def do_move_up(self) -> None:
        """Previous line."""
        self._list.move(-1)

    def do_move_first(self) -> None:
        """First line."""
        self._list.move(-len(self._shown))

    def do_move_last(self) -> None:
        """Last line."""
        self._list.move(len(self._shown))

    def do_move_page_down(self) -> None:
        """A page down."""
        self._list.page(1)

    def do_move_page_up(self) -> None:
        """A page up."""
        self._list.page(-1)

    def provider_here(self) -> str:
        """Return whose waits are shown."""
        return self._provider

    def do_go_cooldowns(self) -> None:
        """Stay: they are shown."""

    def do_go_pools(self) -> None:
        """Leave for the pools."""
        self._deck.pop_screen()
        super().do_go_pools()

    def back(self) -> None:
        """Go back to where this was opened."""
        self._deck.pop_screen()

    @on(LineList.Moved)
    def _moved(self, message: LineList.Moved) -> None:
        message.stop()
        self._paint_note()

    @on(LineList.Chosen)
    def _clicked(self, message: LineList.Chosen) -> None:
        message.stop()
        self.action_act("policy.change")
