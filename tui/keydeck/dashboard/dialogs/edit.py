"""Edit one key: its label, where its requests go, and its place in the pool."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from keydeck.dashboard.acting import Act
from keydeck.dashboard.dialogs.form import FormDialog
from keydeck.dashboard.widgets.text_field import TextField
from keydeck.engine.acting import Done, Undo, inherited_text
from keydeck.engine.acts import Operator
from keydeck.engine.credential import Credential, is_manual
from keydeck.engine.errors import KeydeckError
from keydeck.engine.state import READY, RowState
from keydeck.present.new_key import usual_url
from keydeck.present.rows import label_text, shown_name

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp


@dataclass(frozen=True, slots=True)
class Edited:
    """What was typed; None is unchanged. `place` is 0-based."""

    label: str | None = None
    base_url: str | None = None
    place: int | None = None


class EditDialog(FormDialog):
    """Shows what can be changed as fields and the rest as text, and makes the changes itself."""

    def __init__(self, deck: PoolApp, row: Credential) -> None:
        super().__init__(deck)
        self._row = row
        """The row as the user knows it: as it was opened, or as a conflict told."""
        self._obstacle = self._why_fixed()
        self._line = _line_of(deck, row)
        self._place = next((spot for spot, other in enumerate(self._line) if other.id == row.id), 0)

    # --- building --------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Lay out a field for all that can be changed."""
        with VerticalScroll(id="edit", classes="dialog", can_focus=False) as box:
            box.border_title = Content(f"edit {self._shown_name()}")
            box.border_subtitle = (
                "esc close" if self._obstacle else "enter save   tab next field   esc cancel"
            )
            box.set_class(self._ascii_only, "-ascii")
            if self._obstacle:
                yield Static(Content(self._obstacle), classes="obstacle")
            yield from self._compose_label()
            yield from self._compose_url()
            yield from self._compose_place()
            yield self._says

    def _compose_label(self) -> ComposeResult:
        yield Static("label", classes="field-name")
        if self._obstacle:
            yield Static(Content(self._shown_name()), classes="fixed")
        else:
            # A name that is hidden is not put into a field either; a blank leaves it as it is.
            hidden = "hidden; type to replace it" if self._showing.masked else ""
            yield TextField(self._shown("#edit-label"), placeholder=hidden, id="edit-label")

    def _compose_url(self) -> ComposeResult:
        yield Static("base URL", classes="field-name")
        if not self._obstacle and is_manual(self._row.source):
            usual = self._legible(usual_url(self._deck.snapshot, self._row.provider) or "")
            yield TextField(self._shown("#edit-url"), placeholder=usual, id="edit-url")
            return
        reason = "" if self._obstacle else f"\nit comes from {self._source()}; change it there"
        url = self._shown("#edit-url") or "the provider's"
        yield Static(Content.assemble(url, (reason, "$muted")), classes="fixed")

    def _compose_place(self) -> ComposeResult:
        total = len(self._line)
        if self._obstacle or (total == 1 and not self._is_ordered_by_hermes()):
            return
        if self._is_ordered_by_hermes():
            yield Static("place", classes="field-name")
            yield Static("hermes orders such keys itself", classes="fixed")
        else:
            yield Static(f"place {self._place + 1} of {total}; 1 is tried first", classes="field-name")
            yield TextField(self._shown("#edit-place"), id="edit-place", restrict=r"\d{0,5}")

    def on_mount(self) -> None:
        """Start in the label."""
        for field in self.query("#edit-label"):
            field.focus()

    # --- saving ----------------------------------------------------------------------------------------

    @on(Input.Submitted)
    def _save(self, event: Input.Submitted) -> None:
        event.stop()
        if self._is_busy or self._tell_conflict():
            return
        edited = self._edited()
        if edited is None:
            self.say(f"the place is a number from 1 to {len(self._line)}", "bad")
        elif edited == Edited():
            self.action_back()
        else:
            self.submit(_act(self._row, edited), "saving")

    def _tell_conflict(self) -> bool:
        """Say once what somebody else changed meanwhile; a field that was left alone follows."""
        now = self._row_now()
        if now is None or (now.label, now.base_url) == (self._row.label, self._row.base_url):
            return False
        untouched = self._typed("#edit-label") is None, self._typed("#edit-url") is None
        was, self._row = self._row, now
        said = []
        if now.label != was.label:
            said.append(f"the label is now {'another' if self._showing.masked else self._shown_name()}")
            self._fill("#edit-label", only_if=untouched[0])
        if now.base_url != was.base_url:
            said.append(f"the base URL is now {self._shown('#edit-url') or 'blank'}")
            self._fill("#edit-url", only_if=untouched[1])
        self.say(f"{' and '.join(said)}; enter saves yours, esc leaves it", "bad")
        return True

    def _row_now(self) -> Credential | None:
        pool = self._deck.snapshot.pool(self._row.provider)
        rows = (row for row in pool.rows if row.id == self._row.id) if pool else iter(())
        row = next(rows, None)
        return row if isinstance(row, Credential) else None

    def _edited(self) -> Edited | None:
        """Return what differs; None where the place is no place."""
        place = self._typed("#edit-place")
        if place is not None and not (place.isdecimal() and 1 <= int(place) <= len(self._line)):
            return None
        return Edited(
            label=self._typed("#edit-label"),
            base_url=self._typed("#edit-url"),
            place=None if place is None else int(place) - 1,
        )

    def _typed(self, field: str) -> str | None:
        """Return what stands in a field, or None if it is what was put there."""
        values = [found.value.strip() for found in self.query(field).results(Input)]
        return values[0] if values and values[0] != self._shown(field) else None

    def _fill(self, field: str, *, only_if: bool) -> None:
        for found in self.query(field).results(Input):
            if only_if:
                found.value = self._shown(field)

    def _shown(self, field: str) -> str:
        """Return what a field holds while nobody typed into it."""
        if field == "#edit-place":
            return str(self._place + 1)
        if field == "#edit-label" and self._showing.masked:
            return ""
        text = self._row.base_url or "" if field == "#edit-url" else self._row.label
        return self._legible(text)

    # --- texts -----------------------------------------------------------------------------------------

    def _shown_name(self) -> str:
        pool = self._deck.snapshot.pool(self._row.provider)
        places = [place for place, row in enumerate(pool.rows, 1) if row.id == self._row.id] if pool else []
        return shown_name(RowState(self._row, READY), places[0] if places else 1, self._showing)

    def _legible(self, text: str) -> str:
        return label_text(text, self._showing.scrubber)

    def _source(self) -> str:
        source = self._row.source
        return self._legible(source.partition(":")[0] if self._showing.masked else source)

    def _why_fixed(self) -> str | None:
        """Say why nothing of this row can be changed here, or None."""
        if self._row.inherited:
            return self._legible(inherited_text(self._row.provider))
        if not self._row.stored:
            return f"it is only offered by {self._source()}; it is stored when an agent uses it"
        return None

    def _is_ordered_by_hermes(self) -> bool:
        return all(other.id != self._row.id for other in self._line)


def _line_of(deck: PoolApp, row: Credential) -> list[Credential]:
    """Return the rows among which this one can have a place, in their order."""
    pool = deck.snapshot.pool(row.provider)
    rows = [other for other in pool.rows if isinstance(other, Credential) and other.stored] if pool else []
    if row.provider == "anthropic":
        rows = [other for other in rows if is_manual(other.source)]
    return sorted(rows, key=lambda other: other.priority)


# --- the act -----------------------------------------------------------------------------------------------


def _act(seen: Credential, edited: Edited) -> Act:
    """Return the act that makes these changes to a row that is as it was seen."""
    provider, row_id = seen.provider, seen.id

    def act(operator: Operator) -> Done:
        if edited.label is None and edited.base_url is None and edited.place is not None:
            return operator.move(provider, row_id, edited.place)
        done = operator.edit(provider, row_id, label=edited.label, base_url=edited.base_url, seen=seen)
        if edited.place is None:
            return done
        try:
            return _both(done, operator.move(provider, row_id, edited.place))
        except KeydeckError as error:
            return replace(done, notes=(*done.notes, f"it kept its place: {error}"))

    return act


def _both(edit: Done, move: Done) -> Done:
    """Return two acts as one, to be undone together."""
    undos = [undo for undo in (move.undo, edit.undo) if undo is not None]

    def undo_all(operator: Operator) -> Done:
        return [operator.undo(undo) for undo in undos][-1]

    undo = Undo(undos[-1].text, undo_all) if undos else None
    return Done(f"{edit.text}. {move.text}", (*edit.notes, *move.notes), edit.credential_id, undo)
