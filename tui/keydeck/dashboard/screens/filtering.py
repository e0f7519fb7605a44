"""The filter of a screen: typed at its foot, obeyed with every letter, told how much it lets through."""

from __future__ import annotations

from textual import on

from keydeck.dashboard.screens.deck import DeckScreen
from keydeck.dashboard.widgets.filter_bar import FilterBar
from keydeck.present.finding import BadQuery, Query, parse_query


class Filtering(DeckScreen):
    """Handlers of the filter; a screen with one mixes them in and says what is filtered."""

    _filter: FilterBar

    def query_now(self) -> Query:
        """Return what is looked for."""
        raise NotImplementedError

    def look_for(self, query: Query) -> None:
        """Show only what fits."""
        raise NotImplementedError

    def found(self) -> tuple[int, int]:
        """Return how many lines fit, and out of how many."""
        raise NotImplementedError

    def filter_flag(self) -> str:
        """Return what the bar says of the filter: hidden it would be a trap."""
        query = self.query_now()
        if not query.terms:
            return ""
        return "filter on" if self._deck.masked else f"/{self._deck.safe(query.text)}"

    def do_view_filter(self) -> None:
        """Type a filter."""
        self._filter.open()
        self.repaint()
        self._say_matches()

    def clear_filter(self) -> None:
        """Show everything again."""
        self._filter.clear()
        self.look_for(Query())

    @on(FilterBar.Typed)
    def _filter_typed(self, message: FilterBar.Typed) -> None:
        message.stop()
        try:
            query = parse_query(message.text)
        except BadQuery as why:
            self._filter.say(str(why), wrong=True)
            return
        if query != self.query_now():
            self.look_for(query)
        self._say_matches()

    def _say_matches(self) -> None:
        found, total = self.found()
        text = self.query_now().text
        said = f"{found} of {total}" if found or not text else f"no match for {text}, esc clears"
        self._filter.say(said, wrong=False)

    @on(FilterBar.Closed)
    def _typing_over(self, message: FilterBar.Closed) -> None:
        message.stop()
        self._filter.display = False
        self._deck.screen.set_focus(None)
        if message.keep:
            self.repaint()
        else:
            self.clear_filter()
