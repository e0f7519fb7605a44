from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.pilot import Pilot

from keydeck.dashboard.widgets.secret_input import MASK_CELLS, SecretInput
from keydeck.engine.secret import Secret

SECRET = "sk-planted-0123456789abcdef"


class Host(App[None]):
    """An app with the field, and bindings that a key must not fall through to."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("k,q,space,1", "stumble", "stumble"),
        Binding("ctrl+a,ctrl+x,ctrl+insert", "screen.copy_text", "copy"),
    ]

    def __init__(self, mask: str = "•") -> None:
        super().__init__()
        self.stumbled = 0
        self.said: list[Message] = []
        self._mask = mask

    def compose(self) -> ComposeResult:
        yield SecretInput(placeholder="paste it", id="secret", mask=self._mask)

    def action_stumble(self) -> None:
        self.stumbled += 1

    def on_secret_input_changed(self, message: SecretInput.Changed) -> None:
        self.said.append(message)

    def on_secret_input_submitted(self, message: SecretInput.Submitted) -> None:
        self.said.append(message)

    @property
    def field(self) -> SecretInput:
        return self.query_one(SecretInput)

    @property
    def line(self) -> str:
        return self.field.render_line(0).text.rstrip()


@asynccontextmanager
async def hosted(mask: str = "•") -> AsyncIterator[tuple[Host, Pilot[None]]]:
    app = Host(mask)
    async with app.run_test(size=(60, 5)) as pilot:
        app.field.focus()
        await pilot.pause()
        yield app, pilot


async def paste(pilot: Pilot[Any], text: str) -> None:
    pilot.app.post_message(events.Paste(text))
    await pilot.pause()


async def typed(pilot: Pilot[None], text: str) -> None:
    await pilot.press(*("minus" if char == "-" else char for char in text))


async def test_what_is_typed_and_pasted_is_taken_once() -> None:
    """The key comes out as a `Secret`, whole and in order, and the field is empty afterwards."""
    async with hosted() as (app, pilot):
        assert app.field.is_empty
        await typed(pilot, SECRET[:5])
        await paste(pilot, SECRET[5:])
        assert not app.field.is_empty
        assert app.field.peek() == Secret(SECRET)
        assert app.field.take() == Secret(SECRET)
        assert app.field.is_empty
        assert not app.field.take()


@pytest.mark.parametrize(
    ("pasted", "taken"),
    [
        (f"  {SECRET}\r\n", SECRET),
        (f"\t{SECRET}\n\n", SECRET),
        ("sk-one\nsk-two", "sk-one\nsk-two"),
        ("sk one", "sk one"),
        ("\n \n", ""),
    ],
)
async def test_a_paste_loses_its_ends_and_nothing_inside(pasted: str, taken: str) -> None:
    """Blank ends of a copied line go; a break inside stays, so that it can be refused instead of hidden."""
    async with hosted() as (app, pilot):
        await paste(pilot, pasted)
        assert app.field.take() == Secret(taken)


async def test_the_mask_does_not_tell_the_length() -> None:
    """One character and a hundred look alike, and nothing entered shows the placeholder."""
    async with hosted() as (app, pilot):
        assert app.line == "paste it"
        seen = set()
        for text in ("x", "y" * 100, SECRET):
            app.field.clear()
            await paste(pilot, text)
            seen.add(app.line)
        assert seen == {"•" * MASK_CELLS}
        app.field.clear()
        assert app.line == "paste it"


async def test_the_mask_can_be_ascii() -> None:
    """With signs that are ASCII the line is ASCII."""
    async with hosted("*") as (app, pilot):
        await paste(pilot, SECRET)
        assert app.line == "*" * MASK_CELLS


async def test_keys_delete_and_clear() -> None:
    """Backspace takes the last character away, ctrl+u all of them, and neither minds an empty field."""
    async with hosted() as (app, pilot):
        await typed(pilot, "abcd")
        await pilot.press("backspace", "backspace")
        assert app.field.peek() == Secret("ab")
        await pilot.press("ctrl+u")
        assert app.field.is_empty
        await pilot.press("backspace", "ctrl+u")
        assert app.field.is_empty
        assert len(app.said) == 7  # four letters, two backspaces, one ctrl+u


async def test_the_focus_shows_without_colours() -> None:
    """In focus one cell is drawn in reverse, whether there is a mask or not; out of focus none is."""
    async with hosted() as (app, pilot):

        def cursors() -> list[str]:
            return [part.text for part in app.field.render_line(0) if part.style and part.style.reverse]

        assert cursors() == ["p"]
        await paste(pilot, SECRET)
        assert cursors() == [" "]
        app.set_focus(None)
        await pilot.pause()
        assert cursors() == []


async def test_printable_keys_end_in_the_field() -> None:
    """No letter of a key runs a command of the screen behind."""
    async with hosted() as (app, pilot):
        await pilot.press("k", "q", "space", "1")
        assert app.stumbled == 0
        assert app.field.peek() == Secret("kq 1")


async def test_the_key_is_in_no_repr_message_picture_or_clipboard() -> None:
    """Attributes, messages, tree and picture hold no part of it, and no key puts it on the clipboard."""
    async with hosted() as (app, pilot):
        await typed(pilot, SECRET)
        await pilot.press("shift+home", "ctrl+a", "ctrl+c", "ctrl+x", "ctrl+insert", "enter")
        await pilot.pause()
        assert isinstance(app.said[-1], SecretInput.Submitted)
        field = app.field
        printed = [repr(field), str(field), repr(vars(field)), repr(app.tree), app.export_screenshot()]
        printed += [repr(message) + repr(vars(message)) for message in app.said]
        assert len(app.said) == len(SECRET) + 1
        assert not [text for text in printed if SECRET[3:] in text or SECRET[:8] in text]
        assert not app.clipboard and not app.screen.get_selected_text()
        assert field.take() == Secret(SECRET)
