"""What every full screen shares: the bars, the banner, the table of actions, and what works everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from textwrap import wrap
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget

from keydeck.dashboard.actions import BY_ID, actions_on, key_bar
from keydeck.dashboard.dialogs.confirm import ConfirmDialog
from keydeck.dashboard.dialogs.dialog import hold_until_laid_out
from keydeck.dashboard.dialogs.help import HelpDialog
from keydeck.dashboard.dialogs.palette import Found, PaletteDialog
from keydeck.dashboard.dialogs.theme import ThemeDialog
from keydeck.dashboard.screens.sharing_acts import SharingActs
from keydeck.dashboard.widgets.key_bar import KeyBar
from keydeck.dashboard.widgets.lines import ROLE_STYLES, FixedLines
from keydeck.engine.state import HealthKind
from keydeck.present.panes import banner, pane_views, status_line
from keydeck.present.spans import Line, Role, Span, fit_line
from keydeck.present.text import duration, wrapped

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp

_BANNER_LINES: Final = 2
_BARS: Final = 2
TOO_SMALL: Final = (40, 10)
_BLIND: Final = frozenset({"app.quit", "app.suspend", "view.back"})
"""What may be done where nothing can be seen."""


class DeckScreen(SharingActs, Screen[None]):
    """A full screen between the two bars. Subclasses say what stands there and draw it in `paint_body`."""

    COMPONENT_CLASSES = ROLE_STYLES
    AUTO_FOCUS = ""  # letters are commands here; a field takes the keyboard only when asked for
    NAME: ClassVar[str]
    """The screen's name in the table of actions."""

    def __init__(self, deck: PoolApp) -> None:
        super().__init__()
        self._deck = deck
        self._banner = FixedLines(id="banner")
        self._status_bar = FixedLines(id="status-bar")
        self._too_small = FixedLines(id="too-small")
        self._key_bar = KeyBar()
        self._body: tuple[Widget, ...] = ()

    # --- building --------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Lay out the bars with the body between them."""
        self._body = self.body()
        yield self._banner
        yield self._status_bar
        yield self._too_small
        yield from self._body
        yield self._key_bar

    def body(self) -> tuple[Widget, ...]:
        """Return what stands between the bars."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Draw what the app has read already."""
        self.repaint()

    def on_resize(self) -> None:
        """Lay out for the new size."""
        hold_until_laid_out(self)
        self.repaint()

    def on_screen_resume(self) -> None:
        """Show what happened while another screen or a dialog was in front."""
        self._deck.catch_up()

    # --- painting --------------------------------------------------------------------------------------

    def repaint(self) -> None:
        """Draw everything anew; what looks the same is not sent to the terminal."""
        if not self.is_mounted:
            return
        self.set_class(self._deck.view.trouble is not None, "-stale")
        self._paint_banner()  # first: the body goes by what is left
        self.paint_body(self._deck.clock())
        self._paint_bars()
        self._paint_too_small()

    def tick(self, now: float) -> None:
        """Move the clocks on screen."""
        if self.is_mounted:
            self.tick_body(now)
            self._paint_banner()
            self._paint_bars()

    def paint_body(self, now: float) -> None:
        """Draw what stands between the bars."""
        raise NotImplementedError

    def tick_body(self, now: float) -> None:
        """Move the clocks between the bars."""
        self.paint_body(now)

    def _paint_banner(self) -> None:
        said = self._deck.safe(banner(self._deck.view, self._deck.clock()))
        self._banner.display = bool(said)
        if said:
            cells, mark = self.size.width, self._deck.glyphs.ellipsis
            parts = wrap(f"! {said}", max(cells - 2, 1), max_lines=_BANNER_LINES, placeholder=f" {mark}")
            self._banner.show(tuple(fit_line((Span(f" {part}", Role.ALERT),), cells, mark) for part in parts))

    def _paint_bars(self) -> None:
        deck = self._deck
        kinds, ready = self.tally(deck.clock())
        line = status_line(
            deck.place,
            kinds,
            self.size.width,
            deck.glyphs,
            watching="stale" if deck.view.trouble else deck.watching,
            flags=tuple(flag for flag in (*self.flags(), *self._deck_flags()) if flag),
            rate=deck.traffic.rate if deck.traffic else 0.0,
            ready=ready,
        )
        self._status_bar.show((line,))
        keys = key_bar(self.NAME, deck.settings.keymap, read_only=deck.read_only, ascii_only=deck.ascii_only)
        self._key_bar.show_keys(keys, self.size.width)

    def tally(self, now: float) -> tuple[Iterable[HealthKind], int]:
        """Return the states of all rows, and to how many of them a request may go."""
        states = [row.health for pool in self._deck.view.pools for row in pool.at(now).rows]
        return [state.kind for state in states], sum(state.is_usable for state in states)

    def flags(self) -> tuple[str, ...]:
        """Return the modes of this screen that are on."""
        return ()

    def _deck_flags(self) -> tuple[str, ...]:
        deck = self._deck
        left = deck.acting.undo_left_s()
        held = deck.changes_held()
        return (
            f"frozen +{held}" if held else "frozen" if deck.is_frozen else "",
            "" if left is None else f"undo {duration(left)}",
            "masked" if deck.masked else "",
            "read-only" if deck.read_only else "",
        )

    def is_too_small(self) -> bool:
        """Tell whether there is no room to show what keys do."""
        return self.size.width < TOO_SMALL[0] or self.size.height < TOO_SMALL[1]

    def _paint_too_small(self) -> None:
        width, height = self.size
        small = self.is_too_small()
        said = f"too small: {width}x{height}, needs {TOO_SMALL[0]}x{TOO_SMALL[1]}"
        parts = wrapped(said, max(width, 1))[: max(height - _BARS, 1)]
        lines = tuple((Span(part, Role.COOLING),) for part in parts)
        self._too_small.show(lines if small else ())
        self._too_small.display = small
        for widget in self._body:
            widget.visible = not small

    # --- actions ---------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Refuse everything but leaving where nothing can be seen of it."""
        return action != "act" or not self.is_too_small() or parameters[0] in _BLIND

    def action_act(self, action_id: str) -> None:
        """Do one action of the table; in read-only mode none that changes a file."""
        if self._deck.read_only and BY_ID[action_id].dangerous:
            self._deck.tell("read-only: nothing is changed", "warning")
            return
        handler: Callable[[], None] = getattr(self, BY_ID[action_id].handler)
        handler()

    def run_action_here(self, action_id: str | None) -> None:
        """Do what was chosen from help, the palette or the bar, under the same rules as its key."""
        if action_id in {action.id for action in actions_on(self.NAME, read_only=self._deck.read_only)}:
            self.action_act(str(action_id))

    def do_app_help(self) -> None:
        """Open the list of what works here."""
        self._deck.push_screen(HelpDialog(self._deck, self.NAME), self.run_action_here)

    def do_app_palette(self) -> None:
        """Open the list of everything that can be gone to or done."""
        views = pane_views(self._deck.view, self._deck.clock(), self._deck.row_context())
        self._deck.push_screen(PaletteDialog(self._deck, self.NAME, views), self._follow)

    def _follow(self, found: Found | None) -> None:
        if found is None:
            return
        if found.kind == "action":
            self.run_action_here(found.name)
        elif found.kind == "theme":
            self._deck.change(replace(self._deck.settings, theme=found.name))
        else:
            self._deck.show_pool(found.name, found.row_id)

    def do_app_theme(self) -> None:
        """Choose a theme, seen at once."""

        def chosen(theme: str | None) -> None:
            if theme is not None:
                self._deck.change(replace(self._deck.settings, theme=theme))

        self._deck.push_screen(ThemeDialog(self._deck), chosen)

    def do_app_undo(self) -> None:
        """Undo the last change; ask first where that takes a key away that is nowhere else."""
        undo = self._deck.acting.next_undo()
        if undo is None or not undo.takes_key:
            self._deck.acting.undo()
            return

        def answered(go_on: bool | None) -> None:
            if go_on:
                self._deck.acting.undo()

        lines: tuple[Line, ...] = (
            (Span(self._deck.safe(undo.text), Role.STRONG),),
            (Span("The key is nowhere else: once undone it is gone.", Role.MUTED),),
        )
        self._deck.push_screen(
            ConfirmDialog("undo", lines, "undo", ascii_only=self._deck.ascii_only), answered
        )

    def do_app_reload(self) -> None:
        """Read again now."""
        self._deck.reload()

    def do_app_suspend(self) -> None:
        """Go to the background; the shell's fg returns."""
        self._deck.action_suspend_process()

    def do_app_quit(self) -> None:
        """Leave."""
        self._deck.exit()

    def do_go_pools(self) -> None:
        """Show the pools, or the key that was looked at."""
        self._deck.switch_mode("pools")

    def do_go_events(self) -> None:
        """Show what happened."""
        self._deck.switch_mode("events")

    def do_go_settings(self) -> None:
        """Show the settings."""
        self._deck.switch_mode("settings")

    def do_go_cooldowns(self) -> None:
        """Show how long failures bench."""
        self._deck.show_policy(self.provider_here())

    def provider_here(self) -> str:
        """Return the provider that is looked at; empty where none is."""
        return ""

    def do_view_mask(self) -> None:
        """Hide or show names."""
        self._deck.masked = not self._deck.masked
        self._deck.names_shown_on_purpose = not self._deck.masked
        self._deck.toasts.rewrite(self._deck.safe)
        self._deck.repaint()

    def do_view_back(self) -> None:
        """Give up waiting, put away an error, or leave this view: one at a time."""
        if not (self._deck.acting.give_up() or self._deck.toasts.dismiss()):
            self.back()

    def back(self) -> None:
        """Leave this view."""

    @on(KeyBar.Pressed)
    def _key_pressed(self, message: KeyBar.Pressed) -> None:
        message.stop()
        if self is self._deck.screen:
            self.run_action_here(message.action_id)
