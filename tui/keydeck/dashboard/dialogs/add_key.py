"""Add a key in three steps: for which provider, the key itself, its label. The key is never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import ContentSwitcher, Input, Static

from keydeck.dashboard.dialogs.form import FormDialog
from keydeck.dashboard.widgets.line_list import Item, LineList
from keydeck.dashboard.widgets.lines import FixedLines
from keydeck.dashboard.widgets.secret_input import SecretInput
from keydeck.dashboard.widgets.text_field import TextField
from keydeck.engine.checks import LONGEST_LABEL
from keydeck.engine.providers import registry
from keydeck.engine.secret import Secret
from keydeck.present.new_key import Choice, about_key, choices, matching, usual_label, usual_url
from keydeck.present.rows import label_text
from keydeck.present.spans import Line, Role, Span
from keydeck.present.text import cut, fit, width

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp

_NAME_CELLS: Final = 22
_HINTS: Final = {
    1: "enter next   esc cancel",
    2: "enter next   esc back",
    3: "enter add   tab base URL   esc back",
}
_PASTE_IT: Final = "paste or type it; it is never shown"
_REPLACE_IT: Final = "key received, type to replace it"


class AddKeyDialog(FormDialog):
    """Asks step by step, and adds the key itself. Going back and forth loses nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pagedown", "page(1)", "page down"),
        Binding("pageup", "page(-1)", "page up"),
    ]

    def __init__(self, deck: PoolApp, provider: str) -> None:
        super().__init__(deck)
        self._first = provider
        self._choices = choices(deck.snapshot)
        sign = f"{self._showing.glyphs.cursor} " if deck.needs_cursor_mark else ""
        self._list = LineList(id="add-choices", cursor_sign=sign, mark=self._showing.glyphs.ellipsis)
        self._provider = ""
        self._step = 1
        self._says_at = {step: Static("", classes="says") for step in _HINTS}
        self._says = self._says_at[1]
        self._key = Secret("")
        """The key, once its field was left."""

    # --- building --------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Lay out the three steps, of which one shows, above the line that says what is wrong."""
        with Vertical(id="add-key", classes="dialog") as box:
            box.set_class(self._ascii_only, "-ascii")
            with ContentSwitcher(initial="add-step-1"):
                yield from self._compose_provider()
                yield from self._compose_key()
                yield from self._compose_label()

    def _compose_provider(self) -> ComposeResult:
        with Vertical(id="add-step-1"):
            yield TextField(placeholder=f"type to find one of {len(self._choices)}", id="add-provider")
            with VerticalScroll(id="add-list", can_focus=False):
                yield self._list
            yield self._says_at[1]

    def _compose_key(self) -> ComposeResult:
        with VerticalScroll(id="add-step-2", can_focus=False):
            yield FixedLines(id="add-method")
            yield Static("key", classes="field-name")
            yield SecretInput(placeholder=_PASTE_IT, id="add-secret", mask="*" if self._ascii_only else "•")
            yield self._says_at[2]
            note = "It goes to auth.json and nowhere else: no screen, log or clipboard ever gets it."
            yield Static(note, classes="field-name")

    def _compose_label(self) -> ComposeResult:
        with VerticalScroll(id="add-step-3", can_focus=False):
            yield FixedLines(id="add-summary")
            yield Static("label", classes="field-name")
            yield TextField(id="add-label")
            yield Static("base URL", classes="field-name")
            yield TextField(id="add-url")
            yield self._says_at[3]

    def on_mount(self) -> None:
        """Start in the list, on the provider that was under the cursor."""
        self._fill("")
        self._go_to(1)

    # --- going on and back -----------------------------------------------------------------------------

    def _go_to(self, step: int) -> None:
        self._step = step
        self._says = self._says_at[step]
        self.query_one(ContentSwitcher).current = f"add-step-{step}"
        box = self.query_one("#add-key")
        box.border_title = f"add a key   step {step} of 3"
        box.border_subtitle = _HINTS[step]
        (self._show_provider, self._show_key, self._show_label)[step - 1]()

    def _show_provider(self) -> None:
        self.query_one("#add-provider").focus()
        self._say_choice()

    def _show_key(self) -> None:
        self.query_one("#add-method", FixedLines).show(self._method())
        field = self.query_one(SecretInput)
        field.ask(_REPLACE_IT if self._key else _PASTE_IT)
        field.focus()
        self._judge()

    def _show_label(self) -> None:
        received = (Span("key       ", Role.MUTED), Span("received"))
        self.query_one("#add-summary", FixedLines).show((self._for_whom(), received))
        self.query_one("#add-label", Input).placeholder = usual_label(self._deck.snapshot, self._provider)
        url = usual_url(self._deck.snapshot, self._provider)
        self.query_one("#add-url", Input).placeholder = (
            label_text(url, self._showing.scrubber) if url else "https://host/v1"
        )
        self.query_one("#add-label").focus()
        self.say("")

    def action_back(self) -> None:
        """Go back one step; leave from the first."""
        if self._is_busy or self._step == 1:
            super().action_back()
        else:
            self._keep_key()
            self._go_to(self._step - 1)

    def action_previous(self) -> None:
        """One line up, one field up, or one step back."""
        if self._step == 1:
            self._list.move(-1)
        elif self._step == 3 and self.query_one("#add-url").has_focus:
            self.query_one("#add-label").focus()
        elif not self._is_busy:
            self.action_back()

    def action_next(self) -> None:
        """One line down, one field down, or one step on."""
        if self._step == 1:
            self._list.move(1)
        elif self._step == 2:
            self._leave_key()
        else:
            self.query_one("#add-url").focus()

    def action_page(self, way: int) -> None:
        """A page of the list."""
        if self._step == 1:
            self._list.page(way)

    def forget(self) -> None:
        """Drop the key."""
        self._key = Secret("")
        self.query_one(SecretInput).clear()

    # --- step 1: the provider --------------------------------------------------------------------------

    @on(Input.Changed, "#add-provider")
    def _filter(self, event: Input.Changed) -> None:
        event.stop()
        self._fill(event.value)

    def _fill(self, typed: str) -> None:
        """List what matches, with the likeliest under the cursor."""
        listed = matching(self._choices, typed)
        cells = min(max((width(choice.name) for choice in listed), default=0), _NAME_CELLS)
        start = next((choice for choice in listed if choice.provider == self._first), None)
        items = [Item(self._line(choice, cells), choice) for choice in listed]
        self._list.show(items, None if typed.strip() else start)
        self._say_choice()

    def _line(self, choice: Choice, cells: int) -> Line:
        name = fit(choice.name, cells, mark=self._showing.glyphs.ellipsis)
        return (Span(f"{name}  "), Span(choice.says, Role.MUTED))

    @on(LineList.Moved)
    def _say_choice(self) -> None:
        choice = self._choice()
        if self._step == 1:
            self.say((choice.refusal or choice.note) if choice else "no provider of that name")

    def _choice(self) -> Choice | None:
        value = self._list.value
        return value if isinstance(value, Choice) else None

    @on(Input.Submitted, "#add-provider")
    @on(LineList.Chosen)
    def _leave_provider(self) -> None:
        choice = self._choice()
        if choice is None or choice.refusal:
            self.say(choice.refusal if choice else "no provider of that name", "bad")
            return
        self._provider = choice.provider
        self._go_to(2)

    # --- step 2: the key -------------------------------------------------------------------------------

    def _method(self) -> tuple[Line, ...]:
        known = registry().get(self._provider)
        login = (
            f", coming: hermes auth add {known.id}" if known and known.login else ": none for this provider"
        )
        key = Span("(*) API key" if self._ascii_only else "(•) API key", Role.STRONG)
        return (
            self._for_whom(),
            (Span("method    ", Role.MUTED), key),
            (Span(f"          ( ) OAuth{login}", Role.MUTED),),
        )

    def _for_whom(self) -> Line:
        shown = label_text(self._provider, self._showing.scrubber)
        name = cut(shown, LONGEST_LABEL, mark=self._showing.glyphs.ellipsis)
        return (Span("provider  ", Role.MUTED), Span(name))

    @on(SecretInput.Changed)
    def _judge(self) -> bool:
        """Say what is to be said of the key that is there; return whether it can be added."""
        field = self.query_one(SecretInput)
        if field.is_empty and not self._key:
            self.say("")
            return False
        secret = self._key if field.is_empty else field.peek()
        verdict = about_key(secret, self._provider, self._deck.snapshot, self._showing)
        self.say(verdict.said, "good" if verdict.is_fit else "bad")
        return verdict.is_fit

    @on(SecretInput.Submitted)
    def _leave_key(self) -> None:
        if self._judge():
            self._keep_key()
            self._go_to(3)
        elif self.query_one(SecretInput).is_empty and not self._key:
            self.say("paste or type the key", "bad")

    def _keep_key(self) -> None:
        """Take what is in the field out of it."""
        field = self.query_one(SecretInput)
        if not field.is_empty:
            self._key = field.take()

    # --- step 3: the label, and off --------------------------------------------------------------------

    @on(Input.Submitted, "#add-label")
    def _leave_label(self, event: Input.Submitted) -> None:
        event.stop()
        url = self.query_one("#add-url", Input)
        if url.value.strip() or usual_url(self._deck.snapshot, self._provider):
            self._add()
        else:
            url.focus()
            self.say("where do its requests go? leave it blank if config.yaml says")

    @on(Input.Submitted, "#add-url")
    def _leave_url(self, event: Input.Submitted) -> None:
        event.stop()
        self._add()

    def _add(self) -> None:
        provider, secret = self._provider, self._key
        label, url = (
            self.query_one(f"#add-{name}", Input).value.strip() or None for name in ("label", "url")
        )
        self.submit(lambda operator: operator.add_key(provider, secret, label=label, base_url=url), "adding")
