"""`Roster`: the rows of one provider as one pool object knows them now, and how it learns of changes.

Whoever uses it holds the pool's own lock; nothing here waits for another process.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from time import monotonic
from typing import Final

from keydeck.engine.clock import monotonic_of
from keydeck.engine.credential import Credential, with_uses
from keydeck.engine.known import as_known, could_serve, groups, known_rows, soles
from keydeck.engine.ledger import Facts
from keydeck.engine.ready import Ready
from keydeck.engine.secret import Secret
from keydeck.engine.snapshot import HomeReader, PoolSnapshot
from keydeck.engine.state import PoolState, row_state
from keydeck.engine.strategies import BY_USES
from keydeck.engine.tokens import account_of

# Other files than the store are looked at this often at most (design 3).
_LOOK_AROUND_EVERY_S: Final = 0.05
# All that is known of a row but its uses.
_HEALTH: Final = slice(Facts._fields.index("benches"), None)


class Roster:
    """The rows of one provider, by place: their place in the order of trial."""

    def __init__(self, provider: str, reader: HomeReader) -> None:
        self.provider = provider
        self.clock, self.ticks = reader.clock, monotonic_of(reader.clock)
        self.ready = Ready(())
        self._reader = reader
        self._looked_at = monotonic()
        self.read()
        self._files = self._stamps()

    # --- learning --------------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Learn what changed: the clock, other processes, the files."""
        if (version := self.store.poll()) != self._seen:
            self._take_news(version)
        if self._is_inherited and self._reader.store.changed():
            self.read()
        if monotonic() - self._looked_at >= _LOOK_AROUND_EVERY_S:
            self._look_around()
        ticks = self.ticks()
        if self.ready.has_turns(ticks):
            self.ready.turn(self.clock(), ticks)

    def read(self) -> None:
        """Read everything now."""
        self.snapshot = self._reader.read()
        self.pool = self.snapshot.pool(self.provider) or PoolSnapshot(self.provider)
        self.strategy = self.pool.followed_strategy
        self.store = self._reader.store_of(self.pool.rows)
        self._is_inherited = self.pool.is_inherited
        self._seen = self.store.poll()
        rows = [row for row in self.pool.rows if isinstance(row, Credential)]
        self._groups = {row: group for group in map(tuple, groups(rows)) for row in group}
        self._alone = soles(rows)
        self._by_secret: dict[Secret, int] | None = None
        # By what each row that was told of was judged.
        self._facts: dict[str, Facts | None] = {}
        self.ready = Ready(rows, list(self._groups.values()), self.ready.waits)
        self.ready.begin(self.clock(), self.ticks())

    def _take_news(self, version: int) -> None:
        changed = self.store.changed_since(self._seen)
        if changed is None:
            self.read()
            return
        self._seen = version
        now, ticks, policy = self.clock(), self.ticks(), self.snapshot.policy
        if self.strategy in BY_USES:
            self.ready.others = self.store.others_at_work()
        may_be_alone = False
        for row_id in changed:
            place = self.ready.place_of.get(row_id)
            if place is None:
                continue
            before, facts = self.ready.rows[place], self.store.facts(row_id)
            told, self._facts[row_id] = self._facts.get(row_id), facts
            if told and facts and told.benches is facts.benches and told[_HEALTH] == facts[_HEALTH]:
                # Most of what is told: of many rows at once, each was used.
                row = with_uses(before, facts.used)
                self.ready.recount(place, row, self._uses_with(place, row))
                continue
            row = as_known(before, facts, policy, is_sole=row_id in self._alone)
            may_be_alone = may_be_alone or could_serve(row) != could_serve(before)
            self.ready.put(place, row, self._uses_with(place, row), now, ticks)
        if may_be_alone and soles(self.ready.rows) != self._alone:
            self.read()

    def _uses_with(self, place: int, row: Credential) -> int:
        """Return the requests with a row's secret, those included that others are likely not to have told yet."""
        others, used = self.ready.others, row.request_count
        if not others and place not in self._groups:
            return used
        twins = [self.ready.rows[twin] for twin in self._groups.get(place, ()) if twin != place]
        untold = sum(self.store.untold_uses(each.id) for each in (row, *twins))
        return sum((each.request_count for each in twins), used) + untold * others

    def _look_around(self) -> None:
        """Read again if another file than the store changed: what the environment or config.yaml says."""
        self._looked_at = monotonic()
        stamps, self._files = self._files, self._stamps()
        if stamps != self._files:
            self.read()

    def _stamps(self) -> tuple[tuple[int, int] | None, ...]:
        stamps: list[tuple[int, int] | None] = []
        for path in self._reader.watched_files()[1:]:
            try:
                status = os.stat(path)
            except OSError:
                stamps.append(None)
            else:
                stamps.append((status.st_mtime_ns, status.st_size))
        return tuple(stamps)

    # --- asking ----------------------------------------------------------------------------------------

    def known(self) -> list[Credential]:
        """Return every readable row, in the order they are tried."""
        known = known_rows(self.provider, self.ready.rows, self.store.facts, self.snapshot.policy)
        return [row for row in known if isinstance(row, Credential)]

    def state(self, now: float) -> PoolState:
        """Return every row's state as it is picked by, those that cannot be read included."""
        states = {state.id: state for state in self.ready.states(now, self.ticks())}
        return PoolState(
            self.provider, tuple(states.get(row.id) or row_state(row, now) for row in self.pool.rows)
        )

    def place_of(self, row_id: str | None) -> int | None:
        """Return where a row stands; None if it is not there."""
        return self.ready.place_of.get(row_id or "")

    def row(self, row_id: str | None) -> Credential | None:
        """Return a row by its id."""
        place = self.place_of(row_id)
        return None if place is None else self.ready.rows[place]

    def place_of_key(self, key: str) -> int | None:
        """Return where the first row with this secret stands."""
        if self._by_secret is None:
            secrets = ((row.live_secret, place) for place, row in enumerate(self.ready.rows))
            self._by_secret = {secret: place for secret, place in reversed(list(secrets)) if secret}
        return self._by_secret.get(Secret(key))

    def has_key(self, place: int, key: str) -> bool:
        """Tell whether the row of a place holds this secret."""
        return self.ready.rows[place].live_secret == Secret(key)

    def without(self, ids: Collection[str]) -> Ready | None:
        """Return the rows with none of these usable; None where none of them is."""
        places = {self.ready.place_of.get(row_id, -1) for row_id in ids}
        if not any(place >= 0 and self.ready.is_usable(place) for place in places):
            return None
        return self.ready.among([place for place in self.ready.usable if place not in places])

    def ids_with(self, place: int) -> tuple[str, ...]:
        """Return the ids of all rows that hold the secret of a place, its own first (hermes-recovery G18)."""
        row_id = self.ready.rows[place].id
        if place not in self._groups:
            return (row_id,)
        return (row_id, *(self.ready.rows[twin].id for twin in self._groups[place] if twin != place))

    def ids_of_account(self, place: int) -> tuple[str, ...]:
        """Return the ids of all rows whose tokens name a place's account and subject, its own first (FS-27)."""
        whose = account_of(self.ready.rows[place])
        others = (row.id for row in self.ready.rows if whose and account_of(row) == whose)
        return tuple(dict.fromkeys((*self.ids_with(place), *others)))
