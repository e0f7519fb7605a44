"""`PaneStack`: the panes of all pools, in one column or in two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.geometry import Region

from keydeck.dashboard.widgets.pool_pane import PaneLook, PoolPane
from keydeck.present.panes import PaneView

Spot = tuple[str, str | None]
"""Where the cursor is: a pool, and one of its rows or, with none, its headline."""


class PaneStack(VerticalScroll):
    """Keeps a pane for every pool it is shown, and moves them as little as possible."""

    can_focus = False

    def __init__(self) -> None:
        super().__init__(id="panes")
        self._columns = (Vertical(classes="pane-column"), Vertical(classes="pane-column"))
        self._packed: list[list[str]] = [[], []]
        self._count = 1
        self._pane_of: dict[str, PoolPane] = {}
        self._to_reveal: Spot | None = None

    def compose(self) -> ComposeResult:
        """Lay out the columns."""
        with Horizontal(id="pane-columns"):
            yield from self._columns

    def panes(self) -> Iterator[PoolPane]:
        """Yield the panes as they are read: down the first column, then down the second."""
        for column in self._packed:
            for provider in column:
                yield self._pane_of[provider]

    def show(self, views: Sequence[PaneView], look: PaneLook, now: float, *, columns: int) -> None:
        """Draw these pools, in one or two columns."""
        packed = self._pack(views, columns)
        known = set(self._pane_of)
        self._columns[1].display = bool(packed[1])
        if packed != self._packed:
            self._rebuild(packed, {view.provider: view for view in views}, look, now)
        for view in views:
            if view.provider in known:
                self._pane_of[view.provider].show(view, look, now)

    def _pack(self, views: Sequence[PaneView], columns: int) -> list[list[str]]:
        """Share the pools out: each to the shorter column; anew only when the pools are others (ux 4.2)."""
        names = [view.provider for view in views]
        if columns == 1:
            self._count = 1
            return [names, []]
        if self._count == columns and sorted(names) == sorted(name for part in self._packed for name in part):
            return self._packed
        self._count = columns
        packed: list[list[str]] = [[], []]
        heights = [0, 0]
        for view in views:
            lower = 0 if heights[0] <= heights[1] else 1
            packed[lower].append(view.provider)
            heights[lower] += len(view.rows) + 2
        return packed

    def _rebuild(
        self, packed: list[list[str]], views: dict[str, PaneView], look: PaneLook, now: float
    ) -> None:
        """Bring the panes in line with the columns; those that stay in theirs are kept."""
        old, self._pane_of = self._pane_of, {}
        was_in = {name: place for place, part in enumerate(self._packed) for name in part}
        with self.app.batch_update():
            for place, part in enumerate(packed):
                previous: PoolPane | None = None
                for name in part:
                    pane = old.pop(name) if was_in.get(name) == place else None
                    previous = self._place(self._columns[place], pane, previous, views[name], look, now)
                    self._pane_of[name] = previous
            for gone in old.values():
                gone.remove()
        self._packed = packed

    def _place(
        self,
        column: Vertical,
        pane: PoolPane | None,
        previous: PoolPane | None,
        view: PaneView,
        look: PaneLook,
        now: float,
    ) -> PoolPane:
        """Put a pane behind the previous one, making it where there is none."""
        if pane is not None:
            pane.show(view, look, now)
            if previous is not None:
                column.move_child(pane, after=previous)
            else:
                column.move_child(pane, before=0)
            return pane
        pane = PoolPane(view, look, now)
        if previous is not None:
            column.mount(pane, after=previous)
        else:
            column.mount(pane, before=0 if column.children else None)
        return pane

    def lines_needed(self, *, framed: bool) -> int:
        """Return how many lines the longer column takes."""
        extra = 2 if framed else 1
        return max(sum(len(self._pane_of[name].view.rows) + extra for name in part) for part in self._packed)

    def point(self, spot: Spot | None) -> None:
        """Put the cursor there."""
        for pane in self.panes():
            here = spot is not None and pane.view.provider == spot[0]
            pane.point(spot[1] if here and spot else None, has_focus=here)

    def tick(self, now: float) -> None:
        """Move the clocks."""
        for pane in self.panes():
            pane.tick(now)

    def reveal(self, spot: Spot | None) -> None:
        """Scroll until the cursor is in view; the first row of a pool brings its headline along."""
        pane = self._pane_of.get(spot[0]) if spot else None
        if pane is None or spot is None:
            return
        y = pane.line_of(spot[1]) or 0
        top = pane.virtual_region.y + (0 if y == 1 else y)
        height = pane.virtual_region.y + y + 1 - top
        self.scroll_to_region(Region(0, top, 1, height), animate=False, force=True)

    def reveal_once_laid_out(self, spot: Spot | None) -> None:
        """Bring the cursor into view as soon as there is a new size."""
        self._to_reveal = spot

    def on_resize(self) -> None:
        """Bring into view what was asked for."""
        spot, self._to_reveal = self._to_reveal, None
        self.reveal(spot)

    def beside(self, provider: str, step: int) -> str | None:
        """Return the pool to the left or right of one, at about the same height; None where there is none."""
        column = next((place for place, part in enumerate(self._packed) if provider in part), 0)
        other = column + step
        if self._count == 1 or not 0 <= other < len(self._packed) or not self._packed[other]:
            return None
        height = self._pane_of[provider].virtual_region.y
        return min(self._packed[other], key=lambda name: abs(self._pane_of[name].virtual_region.y - height))
