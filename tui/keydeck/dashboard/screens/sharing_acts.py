"""What leaves the screen: pictures, notes, ids. Names stay hidden unless the mask was taken off on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keydeck.dashboard.sharing import (
    portable_svg,
    screenshot_name,
    stamp,
    write_shared,
)
from keydeck.engine.errors import Refused
from keydeck.present.listing import listing
from keydeck.present.note import note

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp

_PICTURES: Final = "screenshots"
_NOTES: Final = "notes"


class SharingActs:
    """Handlers of the sharing actions, on every full screen."""

    _deck: PoolApp

    def selected_place(self) -> tuple[str, str] | None:
        """Return the key that the screen is about, or None."""
        return None

    def do_share_shot(self) -> None:
        """Write a picture of the screen."""
        deck = self._deck
        shows_names = deck.names_shown_on_purpose and not deck.masked

        def write() -> Path:
            svg = portable_svg(deck.picture() if shows_names else _masked_picture(deck))
            return write_shared(deck.state / _PICTURES, screenshot_name(deck.clock()), svg)

        said = "names shown, since you took the mask off" if shows_names else "names hidden"
        # What is told in passing may hold a name, and is no part of the picture anyway.
        deck.toasts.clear()
        deck.call_after_refresh(self._written, "screenshot", write, said)

    def do_share_id(self) -> None:
        """Send the key's id to the clipboard."""
        place = self.selected_place()
        if place is not None:
            shown = self._deck.safe(place[1])
            self._send(shown, f"id {shown}")

    def do_share_note(self) -> None:
        """Send the note to the clipboard."""
        self._send(self._note(), "the note")

    def do_share_note_file(self) -> None:
        """Write the note to a file."""
        deck = self._deck

        def write() -> Path:
            return write_shared(deck.state / _NOTES, f"note-{stamp(deck.clock())}.md", self._note())

        self._written("note", write, "no names in it")

    def do_share_json(self) -> None:
        """Write all pools as JSON."""
        deck = self._deck

        def write() -> Path:
            text = json.dumps(listing(deck.view, deck.clock()), indent=2) + "\n"
            return write_shared(deck.state / _NOTES, f"pools-{stamp(deck.clock())}.json", text)

        self._written("JSON", write, "it holds names, no keys")

    def do_share_diagnostics(self) -> None:
        """Send versions and sizes to the clipboard."""
        self._send(self._deck.diagnostics(), "diagnostics")

    def _note(self) -> str:
        return note(self._deck.view, self._deck.clock())

    def _send(self, text: str, what: str) -> None:
        self._deck.copy_to_clipboard(text)
        self._deck.tell(f"sent {what} to the terminal's clipboard", "information")

    def _written(self, what: str, write: Callable[[], Path], more: str) -> None:
        try:
            path = write()
        except Refused as error:
            self._deck.tell(str(error), "error")
        else:
            self._deck.tell(f"{what} in {self._deck.shown_path(path)} ({more})", "information")


def _masked_picture(deck: PoolApp) -> str:
    """Return a picture without names; what the mask does not reach is left blank: toasts, and what is being typed."""
    blank = list(deck.screen.query("Toast, Input"))
    for widget in blank:
        vars(widget)["BLANK"] = True  # looked at whenever lines are drawn; nothing is drawn anew for it
    try:
        return deck.masked_picture()
    finally:
        for widget in blank:
            del vars(widget)["BLANK"]
