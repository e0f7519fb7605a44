"""What can be done to the key and the pool under the cursor. Each act goes by id, whatever moves meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from keydeck.dashboard.acting import Act, Place
from keydeck.dashboard.dialogs.add_key import AddKeyDialog
from keydeck.dashboard.dialogs.confirm import ConfirmDialog
from keydeck.dashboard.dialogs.edit import EditDialog
from keydeck.dashboard.dialogs.pause import PauseDialog, Until
from keydeck.dashboard.dialogs.strategy import StrategyDialog
from keydeck.dashboard.screens.deck import DeckScreen
from keydeck.engine.acting import Done, inherited_text
from keydeck.engine.acts import Operator
from keydeck.engine.bulk import each
from keydeck.engine.credential import BadRow, Credential, Row, VanishedRow
from keydeck.engine.snapshot import PoolSnapshot
from keydeck.engine.state import HealthKind
from keydeck.present.consequences import pause_lines, removal_lines, removals_lines, reset_lines
from keydeck.present.rows import KeyRow
from keydeck.present.spans import Line


class KeyActs(DeckScreen):
    """Handlers of the changing actions; a screen that knows of a selected key mixes them in."""

    _marks: frozenset[Place] = frozenset()

    def selected_row(self) -> KeyRow | None:
        """Return the selected key as it is drawn."""
        raise NotImplementedError

    def selected_provider(self) -> str | None:
        """Return the pool that is selected."""
        raise NotImplementedError

    def provider_here(self) -> str:
        """Return the provider of the selected pool."""
        return self.selected_provider() or ""

    def pool_here(self) -> PoolSnapshot | None:
        """Return the selected pool."""
        provider = self.selected_provider()
        return self._deck.view.pool(provider) if provider else None

    def selected_place(self) -> Place | None:
        """Return the selected key."""
        row, provider = self.selected_row(), self.selected_provider()
        return (provider, row.id) if row is not None and provider else None

    # --- one key ---------------------------------------------------------------------------------------

    def do_key_add(self) -> None:
        """Open the form that adds a key, at the selected pool."""
        self._deck.push_screen(AddKeyDialog(self._deck, self.selected_provider() or ""))

    def do_key_edit(self) -> None:
        """Open the form for label, address and place of the key that was shown."""
        row = self._own_row()
        if row is not None:
            self._deck.push_screen(EditDialog(self._deck, row))

    def do_key_first(self) -> None:
        """Make the key the first of its pool."""
        self._move_key(0)

    def do_key_up(self) -> None:
        """Move the key up."""
        self._move_key(_up)

    def do_key_down(self) -> None:
        """Move the key down."""
        self._move_key(_down)

    def _move_key(self, place: int | Callable[[int, int], int]) -> None:
        row = self._own_row()
        if row is not None:
            here = (row.provider, row.id)
            self._deck.act(lambda operator: operator.move(*here, place), [here])

    def _own_row(self) -> Credential | None:
        """Return the selected row if it is this profile's to change; say why if it is not."""
        place = self.selected_place()
        row = self._row_at(place) if place else None
        if row is None or not self._are_own(((row.provider, row.id),)):
            return None
        return row if isinstance(row, Credential) else None

    # --- one key or all marked -------------------------------------------------------------------------

    def _acted_on(self) -> tuple[Place, ...]:
        """Return the marked keys in order of the store, else the selected one."""
        if not self._marks:
            place = self.selected_place()
            return (place,) if place else ()
        rows = ((pool.provider, row.id) for pool in self._deck.view.pools for row in pool.rows)
        return tuple(place for place in rows if place in self._marks)

    def do_key_reset(self) -> None:
        """End the bench of the key, or of all marked."""
        places = self._acted_on()
        if places and self._are_own(places):
            self._act_on(places, lambda operator, place: operator.reset(*place), "reset")

    def do_key_pause(self) -> None:
        """Let the keys work again if all of them are paused, else ask for how long to take out the others."""
        places = self._acted_on()
        if not places or not self._are_own(places):
            return
        working = tuple(place for place in places if not self._is_paused(place))
        if not working:
            self._act_on(places, lambda operator, place: operator.resume(*place), "resumed")
            return

        def chosen(until: Until | None) -> None:
            if until is not None:
                end = until(self._deck.clock())
                act = partial(_paused_until, end)
                self._act_on(working, act, "paused")

        now, context = self._deck.clock(), self._deck.row_context()
        said = pause_lines(self._deck.snapshot, working, now, context)
        self._deck.push_screen(PauseDialog(self._deck, said), chosen)

    def _is_paused(self, place: Place) -> bool:
        pool = self._deck.snapshot.pool(place[0])
        rows = pool.at(self._deck.clock()).rows if pool else ()
        return any(row.id == place[1] and row.health.kind is HealthKind.PAUSED for row in rows)

    def do_key_remove(self) -> None:
        """Ask, naming the consequences, and remove what was shown, whatever moved meanwhile (FS-58)."""
        places = self._acted_on()
        if len(places) == 1 and isinstance(self._row_at(places[0]), VanishedRow):
            self._act_on(places, lambda operator, place: operator.remove(*place), "dismissed")
        elif places and self._are_own(places):
            self._ask(
                "remove",
                lambda: self._removal_lines(places),
                lambda: self._act_on(places, lambda operator, place: operator.remove(*place), "removed"),
            )

    def _are_own(self, places: tuple[Place, ...]) -> bool:
        """Tell whether all of these are this profile's to change; say which are not before anything is asked."""
        for provider, _ in places:
            pool = self._deck.view.pool(provider)
            if pool is not None and pool.is_inherited:
                self._deck.tell(inherited_text(provider), "error")
                return False
        row = self._row_at(places[0]) if len(places) == 1 else None
        if isinstance(row, VanishedRow):
            self._deck.tell(f"it is {row.reason}; d takes this line away", "error")
            return False
        if isinstance(row, BadRow):
            self._deck.tell(f"that row cannot be read ({row.reason}); mend auth.json by hand", "error")
            return False
        return True

    def _row_at(self, place: Place) -> Row | None:
        pool = self._deck.view.pool(place[0])
        return next((row for row in pool.rows if row.id == place[1]), None) if pool else None

    def _act_on(self, places: tuple[Place, ...], act: Callable[[Operator, Place], Done], what: str) -> None:
        """Run one act on each of these rows; the marks have served then."""
        acts: list[Act] = [partial(_with_place, act, place) for place in places]
        self._marks = frozenset()
        self._deck.act(acts[0] if len(acts) == 1 else lambda operator: each(operator, acts, what), places)

    def _removal_lines(self, places: tuple[Place, ...]) -> tuple[Line, ...]:
        now, context = self._deck.clock(), self._deck.row_context()
        if len(places) == 1:
            provider, row_id = places[0]
            pool = self._deck.snapshot.pool(provider) or PoolSnapshot(provider)
            return removal_lines(pool, pool.at(now), row_id, context)
        return removals_lines(self._deck.snapshot, places, now, context)

    # --- the pool --------------------------------------------------------------------------------------

    def do_pool_strategy(self) -> None:
        """Ask how the pool shall pick, and write the answer."""
        pool = self.pool_here()
        if pool is None:
            return
        provider = pool.provider

        def chosen(strategy: str | None) -> None:
            if strategy is not None:
                self._deck.act(lambda operator: operator.set_strategy(provider, strategy))

        self._deck.push_screen(StrategyDialog(self._deck, pool), chosen)

    def do_pool_reset(self) -> None:
        """Ask, and end every bench of the pool."""
        pool = self.pool_here()
        if pool is None or not self._are_own(tuple((pool.provider, row.id) for row in pool.rows)):
            return
        provider, rows = pool.provider, [(pool.provider, row.id) for row in pool.rows]
        self._ask(
            "reset",
            lambda: self._reset_lines(provider),
            lambda: self._deck.act(lambda operator: operator.reset(provider), rows),
        )

    def _reset_lines(self, provider: str) -> tuple[Line, ...]:
        pool = self._deck.snapshot.pool(provider) or PoolSnapshot(provider)
        now = self._deck.clock()
        return reset_lines(pool, pool.at(now), now, self._deck.row_context())

    def _ask(self, verb: str, lines: Callable[[], tuple[Line, ...]], act: Callable[[], None]) -> None:
        """Ask before an act; ask again if what was said is not true any more."""
        said = lines()

        def answered(go_on: bool | None) -> None:
            if go_on and lines() != said:
                self._deck.tell("things changed while you read: please look again", "warning")
                self._ask(verb, lines, act)
            elif go_on:
                act()

        self._deck.push_screen(ConfirmDialog(verb, said, verb, ascii_only=self._deck.ascii_only), answered)


def _with_place(act: Callable[[Operator, Place], Done], place: Place, operator: Operator) -> Done:
    return act(operator, place)


def _paused_until(end: float | None, operator: Operator, place: Place) -> Done:
    return operator.pause(*place, until=end)


def _up(here: int, _last: int) -> int:
    return here - 1


def _down(here: int, _last: int) -> int:
    return here + 1
