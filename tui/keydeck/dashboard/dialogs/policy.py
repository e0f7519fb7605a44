"""Another wait after one kind of failure: what it would have done today is seen before it is saved."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from keydeck.dashboard.dialogs.form import FormDialog
from keydeck.dashboard.widgets.lines import FixedLines
from keydeck.dashboard.widgets.text_field import TextField
from keydeck.engine.cooldown_edit import Entry, change_of, entry_of, field_texts
from keydeck.engine.cooldown_policy import Change
from keydeck.engine.errors import Refused
from keydeck.live.policy_today import Today
from keydeck.present.policy import PolicyRow, preview_lines, rule_fields
from keydeck.present.rows import label_text
from keydeck.present.spans import Role, Span
from keydeck.present.text import wrapped

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp

_FIELDS: Final = (("wait", "wait, 0 none"), ("grows", "times longer"), ("cap", "at most"))
_PREVIEW_LINES: Final = 5
_EDGES: Final = 4
_WIDTH: Final = 68
_NARROW_WIDTH: Final = 74
_NARROW: Final = 100
"""How wide the dialog is, and below how many cells it is wider."""


class PolicyDialog(FormDialog):
    """Asks for a wait, how it grows and its cap; blank fields are as without the entry. It saves by itself."""

    def __init__(self, deck: PoolApp, row: PolicyRow | None, provider: str) -> None:
        super().__init__(deck)
        self._row = row
        self._provider = provider
        self._before = row.entry.change(deck.snapshot.policy) if row else None
        self._had = field_texts(self._before)
        self._obstacle = deck.strategy_obstacle()
        self._today: Today | None = None
        self._preview = FixedLines(id="policy-preview")
        self._said: list[str] = []
        self._asked: tuple[Entry, Change | None] | None = None
        self._is_judging = False

    # --- building --------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Lay out the fields, and below them what would be otherwise."""
        with VerticalScroll(id="policy-dialog", classes="dialog", can_focus=False) as box:
            box.border_title = Content(f"wait after {self._title()}")
            box.border_subtitle = (
                "esc close" if self._obstacle else "enter save   tab next field   esc cancel"
            )
            box.set_class(self._ascii_only, "-ascii")
            yield Static(Content(self._note()), id="policy-note")
            if self._obstacle is None:
                with Horizontal(id="policy-fields"):
                    yield from self._compose_fields()
                yield self._preview
            yield self._says

    def _compose_fields(self) -> ComposeResult:
        if self._row is None:
            with Vertical(classes="policy-field"):
                yield Static("status", classes="field-name")
                yield TextField(id="policy-status", restrict=r"\d{0,3}")
        usual = rule_fields(self._row.rule) if self._row else {}
        for name, title in _FIELDS:
            with Vertical(classes="policy-field"):
                yield Static(title, classes="field-name")
                yield TextField(self._had.get(name, ""), placeholder=usual.get(name, ""), id=f"policy-{name}")

    def on_mount(self) -> None:
        """Start in the first field, and read today meanwhile."""
        for field in self.query(TextField):
            field.focus()
            break
        if self._obstacle is None:
            self._look()

    # --- what it would do ------------------------------------------------------------------------------

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._look()

    def _look(self) -> None:
        """Show what is wrong with the fields, or what they would do."""
        try:
            self._asked = self._wanted()
        except Refused as wrong:
            self._asked = None
            self._show([])
            self.say(str(wrong) if self._is_begun() else "")
            return
        self.say("")
        if not self._is_judging:
            self._is_judging = True
            self.run_worker(self._judge, group="io")  # type: ignore[arg-type]

    async def _judge(self) -> None:
        """Show what was asked last, one after the other: a busy day takes a while, and nobody waits for the rest."""
        judged = None
        while (asked := self._asked) is not None and asked is not judged:
            lines = await self._judged(*asked)
            judged = asked
            if asked is self._asked:
                self._show(lines)
        self._is_judging = False

    async def _judged(self, entry: Entry, change: Change | None) -> list[str]:
        """Return what a change would do today; read and judged in a thread."""
        deck = self._deck
        if change == self._before:
            return ["as it is"]
        if self._today is None:
            self._today = await asyncio.to_thread(deck.read_today)
        snapshot, now = deck.snapshot, deck.clock()
        policy = entry.put(snapshot.policy, change)
        found = await asyncio.to_thread(self._today.preview, snapshot, policy, now)
        return preview_lines(found, now, deck.row_context())

    def on_resize(self) -> None:
        """Break the lines anew."""
        super().on_resize()
        self._show(self._said)

    def _show(self, lines: list[str]) -> None:
        self._said = lines
        wide = self.size.width
        cells = max(min(wide, _NARROW_WIDTH if wide < _NARROW else _WIDTH) - _EDGES, 20)
        parts = [part for line in lines for part in wrapped(line, cells)]
        if len(parts) > _PREVIEW_LINES:
            more = len(parts) - _PREVIEW_LINES + 1
            parts = [*parts[: _PREVIEW_LINES - 1], f"and {more} more lines"]
        self._preview.show(tuple((Span(part, Role.PLAIN),) for part in parts))

    # --- saving ----------------------------------------------------------------------------------------

    @on(Input.Submitted)
    def _save(self, event: Input.Submitted) -> None:
        event.stop()
        try:
            entry, change = self._wanted()
        except Refused as wrong:
            self.say(str(wrong), "bad")
            return
        if change == self._before:
            self.action_back()
        elif change is None:
            self.submit(lambda operator: operator.clear_cooldown(entry), "saving")
        else:
            self.submit(lambda operator: operator.set_cooldown(entry, change), "saving")

    def _wanted(self) -> tuple[Entry, Change | None]:
        """Return what the fields say; None where they say nothing.

        Raises:
            Refused: they make no sense.
        """
        texts = {name: self._text(f"#policy-{name}") for name, _ in _FIELDS}
        entry = (
            self._row.entry if self._row else entry_of(self._text("#policy-status"), provider=self._provider)
        )
        others = {name: text for name, text in self._had.items() if name not in texts}
        if not any(texts.values()) and not others:
            if self._before is None and self._is_begun():
                raise Refused("how long? 90s, 5m, 1h, or 0 for no bench")
            return entry, None
        return entry, change_of(texts, self._before)

    def _is_begun(self) -> bool:
        return self._row is None and bool(self._text("#policy-status"))

    def _text(self, field: str) -> str:
        return self.query_one(field, Input).value.strip()

    # --- texts -----------------------------------------------------------------------------------------

    def _title(self) -> str:
        what = self._row.title if self._row else "a status"
        return f"{what}, {self._legible(self._provider)}" if self._provider else f"{what}, everywhere"

    def _note(self) -> str:
        if self._obstacle:
            return self._legible(self._obstacle)
        names = self._row.entry.names if self._row else Entry("status", self._provider).names
        return f"config.yaml: {self._legible('.'.join(map(str, names)))}"

    def _legible(self, text: str) -> str:
        return label_text(text, self._showing.scrubber)
