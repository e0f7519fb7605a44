"""What narrows and orders the pools screen: filter, problems, sort, fold, zoom, columns, freeze, marks."""

from __future__ import annotations

from dataclasses import replace

from keydeck.dashboard.screens.filtering import Filtering
from keydeck.dashboard.widgets.pane_stack import PaneStack, Spot
from keydeck.engine.state import HealthKind
from keydeck.present.arranging import OWN_ORDER, Arrangement, matches
from keydeck.present.finding import Query
from keydeck.present.panes import PaneView

USABLE = frozenset({HealthKind.READY, HealthKind.PROBING})


class FindingActs(Filtering):
    """Handlers of the looking actions; the pools screen mixes them in."""

    _wish: Arrangement
    _views: tuple[PaneView, ...]
    _shown: tuple[PaneView, ...]
    _cursor: Spot | None
    _marks: frozenset[tuple[str, str]]
    _wide: bool
    _stack: PaneStack

    def do_move_down(self) -> None:
        """Next row."""
        raise NotImplementedError

    def flags(self) -> tuple[str, ...]:
        """Return what is asked for and would be a trap if it were hidden."""
        wish = self._wish
        arrow = self._deck.glyphs.menu
        return (
            self.filter_flag(),
            "problems only" if wish.only_problems else "",
            f"zoom {self._name_of(wish.zoomed)}" if wish.zoomed is not None else "",
            f"by {wish.sort} {arrow}" if wish.sort != OWN_ORDER else "",
            "reversed" if wish.reverse else "",
            f"{len(self._marks)} marked" if self._marks else "",
        )

    def _name_of(self, provider: str) -> str:
        return next((view.name for view in self._views if view.provider == provider), "")

    def _look_for(self, wish: Arrangement) -> None:
        self._wish = wish
        self.repaint()
        self._deck.call_after_refresh(self._stack.reveal, self._cursor)

    # --- filter ----------------------------------------------------------------------------------------

    def query_now(self) -> Query:
        """Return what is looked for."""
        return self._wish.query

    def look_for(self, query: Query) -> None:
        """Show only the rows that fit."""
        self._look_for(replace(self._wish, query=query))

    def found(self) -> tuple[int, int]:
        """Return how many rows fit, and out of how many."""
        return matches(self._shown), sum(view.total for view in self._views)

    # --- narrowing and ordering ------------------------------------------------------------------------

    def do_view_problems(self) -> None:
        """Show only pools with trouble, or all again."""
        self._look_for(replace(self._wish, only_problems=not self._wish.only_problems))
        if self._wish.only_problems:
            self.go_to_trouble()

    def go_to_trouble(self) -> None:
        """Put the cursor on the first key that is out, unless it is on one."""
        rows = [(view.provider, row) for view in self._shown for row in view.rows]
        bad = [(provider, row.id) for provider, row in rows if row.kind not in USABLE]
        if bad and self._cursor not in bad:
            self.move_to(bad[0])

    def move_to(self, spot: Spot) -> None:
        """Put the cursor there."""
        raise NotImplementedError

    def do_view_sort(self) -> None:
        """Sort the rows of each pool by the next column."""
        self._look_for(self._wish.next_sort())

    def do_view_reverse(self) -> None:
        """Turn the order round."""
        self._look_for(replace(self._wish, reverse=not self._wish.reverse))

    def do_view_fold(self) -> None:
        """Leave only the headline of this pool, or unfold it."""
        if self._cursor is not None:
            here = frozenset({self._cursor[0]})
            self._look_for(replace(self._wish, folded=self._wish.folded ^ here))

    def do_view_fold_all(self) -> None:
        """Leave only headlines, or unfold all."""
        everything = frozenset(view.provider for view in self._views)
        folded = frozenset[str]() if everything <= self._wish.folded else everything
        self._look_for(replace(self._wish, folded=folded))

    def do_view_zoom(self) -> None:
        """Show only this pool, or all again."""
        here = self._cursor[0] if self._cursor and self._wish.zoomed is None else None
        self._look_for(replace(self._wish, zoomed=here))

    def do_view_wide(self) -> None:
        """Show more columns, or the usual ones."""
        self._wide = not self._wide
        self._look_for(self._wish)

    def do_view_freeze(self) -> None:
        """Hold what is shown, or let it go on."""
        self._deck.freeze()

    def do_key_mark(self) -> None:
        """Mark the key or take its mark away, and go on to the next."""
        if self._cursor is not None and self._cursor[1] is not None:
            self._marks ^= {(self._cursor[0], self._cursor[1])}
            self.repaint()
            self.do_move_down()

    def back(self) -> None:
        """Take back one thing: the filter, the zoom, the problems view, the marks, the freeze."""
        wish = self._wish
        if wish.query.terms:
            self.clear_filter()
        elif wish.zoomed is not None:
            self._look_for(replace(wish, zoomed=None))
        elif wish.only_problems:
            self._look_for(replace(wish, only_problems=False))
        elif self._marks:
            self._marks = frozenset()
            self.repaint()
        elif self._deck.is_frozen:
            self._deck.freeze()
