"""What can be done to the key and the pool under the cursor. Each act goes by id, whatever moves meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from keydeck.dashboard.dialogs.add_key import AddKeyDialog, NewKey
from keydeck.dashboard.dialogs.confirm import ConfirmDialog
from keydeck.dashboard.dialogs.edit import EditDialog, Edited
from keydeck.dashboard.dialogs.strategy import StrategyDialog
from keydeck.engine.acts import Done, Operator
from keydeck.engine.credential import Credential
from keydeck.engine.snapshot import HomeSnapshot, PoolSnapshot
from keydeck.present.consequences import removal_lines, reset_lines
from keydeck.present.rows import Context, KeyRow
from keydeck.present.spans import Line

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp


class KeyActs:
    """Handlers of the changing actions; a screen with a cursor mixes them in."""

    _deck: PoolApp
    _snapshot: HomeSnapshot
    _cursor: tuple[str, str] | None

    def _selected(self) -> KeyRow | None:
        raise NotImplementedError

    def _row_context(self) -> Context:
        raise NotImplementedError

    def _ascii_only(self) -> bool:
        raise NotImplementedError

    def do_pool_strategy(self) -> None:
        """Ask how the pool under the cursor shall pick, and write the answer."""
        pool = self._snapshot.pool(self._cursor[0]) if self._cursor else None
        if pool is None:
            return
        provider = pool.provider

        def chosen(strategy: str | None) -> None:
            if strategy is not None:
                self._deck.act(lambda operator: operator.set_strategy(provider, strategy))

        self._deck.push_screen(self._strategy_dialog(pool), chosen)

    def do_key_add(self) -> None:
        """Ask for a key and add it."""

        def entered(new: NewKey | None) -> None:
            if new is not None:
                self._deck.act(lambda operator: operator.add_key(new.provider, new.secret, label=new.label))

        provider = self._cursor[0] if self._cursor else ""
        self._deck.push_screen(AddKeyDialog(provider, ascii_only=self._ascii_only()), entered)

    def do_key_edit(self) -> None:
        """Ask for another label or address of the key that was shown."""
        pool = self._pool_here()
        row = (
            next((row for row in pool.rows if self._cursor and row.id == self._cursor[1]), None)
            if pool
            else None
        )
        if not isinstance(row, Credential):
            return

        def edited(change: Edited | None) -> None:
            if change is not None:
                self._deck.act(
                    lambda operator: operator.edit(
                        row.provider, row.id, label=change.label, base_url=change.base_url
                    )
                )

        self._deck.push_screen(EditDialog(row, ascii_only=self._ascii_only()), edited)

    def do_key_reset(self) -> None:
        """End one bench."""
        self._act_on_key(lambda operator, provider, row_id: operator.reset(provider, row_id))

    def do_key_first(self) -> None:
        """Make the key the first of its pool."""
        self._act_on_key(lambda operator, provider, row_id: operator.move(provider, row_id, 0))

    def do_key_up(self) -> None:
        """Move the key up."""
        self._act_on_key(lambda operator, provider, row_id: operator.move(provider, row_id, _up))

    def do_key_down(self) -> None:
        """Move the key down."""
        self._act_on_key(lambda operator, provider, row_id: operator.move(provider, row_id, _down))

    def do_key_remove(self) -> None:
        """Ask, naming the consequences, and remove the key that was shown, whatever moved meanwhile (FS-58)."""
        row, pool = self._selected(), self._pool_here()
        if row is None or pool is None:
            return
        lines = removal_lines(pool, pool.at(self._deck.clock()), row, self._row_context())
        provider, row_id = pool.provider, row.id
        self._ask("remove", lines, lambda operator: operator.remove(provider, row_id))

    def do_pool_reset(self) -> None:
        """Ask, and end every bench of the pool."""
        if pool := self._pool_here():
            provider = pool.provider
            lines = reset_lines(pool, pool.at(self._deck.clock()))
            self._ask("reset", lines, lambda operator: operator.reset(provider))

    def do_app_undo(self) -> None:
        """Undo the last change."""
        self._deck.undo()

    def _pool_here(self) -> PoolSnapshot | None:
        return self._snapshot.pool(self._cursor[0]) if self._cursor else None

    def _act_on_key(self, act: Callable[[Operator, str, str], Done]) -> None:
        if self._cursor is not None:
            provider, row_id = self._cursor
            self._deck.act(lambda operator: act(operator, provider, row_id))

    def _ask(self, verb: str, lines: tuple[Line, ...], act: Callable[[Operator], Done]) -> None:
        def answered(go_on: bool | None) -> None:
            if go_on:
                self._deck.act(act)

        self._deck.push_screen(ConfirmDialog(verb, lines, verb, ascii_only=self._ascii_only()), answered)

    def _strategy_dialog(self, pool: PoolSnapshot) -> StrategyDialog:
        return StrategyDialog(pool, self._deck.strategy_obstacle(), ascii_only=self._ascii_only())


def _up(here: int, _last: int) -> int:
    return here - 1


def _down(here: int, _last: int) -> int:
    return here + 1
