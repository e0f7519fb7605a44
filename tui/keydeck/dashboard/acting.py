"""Acts beside the screen: one after the other, in a thread, told when they are done or refused, and undone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from keydeck.engine.acting import Done, Undo
from keydeck.engine.acts import UNDO_OF_REMOVAL_S, Operator
from keydeck.engine.errors import ConfigError, KeydeckError, StoreError
from keydeck.engine.snapshot import HomeReader

if TYPE_CHECKING:
    from keydeck.dashboard.app import PoolApp

Place = tuple[str, str]
"""Provider and credential id: where an act happens."""

Act = Callable[[Operator], Done]

_WAIT: Final = "the lock"


class GaveUp(StoreError):
    """The user would not wait for the lock any longer."""

    def __str__(self) -> str:
        """Return the reason: where the lock is matters no more."""
        return self.reason


class Acting:
    """Runs acts for the app. The screen changes only when the files are read again."""

    def __init__(self, deck: PoolApp, reader: HomeReader) -> None:
        self._deck = deck
        self._reader = reader
        self._undos: list[tuple[Undo, float | None]] = []
        self._turn = asyncio.Lock()
        self._is_waiting = False
        self._gave_up = False
        self.pending: set[Place] = set()
        """Rows whose change is on its way."""

    def start(self, act: Act, about: Iterable[Place] = ()) -> None:
        """Run an act; success and refusal are told in one line each."""
        self._deck.run_worker(self._run(act, frozenset(about)), group="write")

    async def _run(self, act: Act, about: frozenset[Place]) -> None:
        if refused := await self.attempt(act, about):
            self._deck.tell(refused, "error")

    async def attempt(self, act: Act, about: frozenset[Place] = frozenset()) -> str | None:
        """Run an act in a thread, after those before it; return why it was refused, or None when it took."""
        self.pending |= about
        self._deck.repaint()
        try:
            async with self._turn:
                await self._do(act)
        except KeydeckError as error:
            return self._deck.safe(str(error))
        else:
            return None
        finally:
            self.pending -= about
            self._deck.repaint()

    async def _do(self, act: Act) -> None:
        self._gave_up = False
        try:
            done = await asyncio.to_thread(act, Operator(self._reader, on_wait=self._on_wait))
        finally:
            self._is_waiting = False
            self._deck.toasts.take_back(_WAIT)
        said = self._took(done)
        await self._deck.read_again()
        # Behind what was read: the names that are new with it are known by then, where names are hidden.
        self._deck.call_later(self._deck.tell, said, "information")

    def _took(self, done: Done) -> str:
        """Remember how it is undone; return what is to be told, as it may be shown."""
        if done.undo is not None:
            ends = self._deck.clock() + UNDO_OF_REMOVAL_S if done.undo.holds_secret else None
            self._undos.append((done.undo, ends))
        if done.credential_id is not None:
            self._deck.await_key(done.credential_id)
        said = (done.text, *done.notes, *(("u undoes it",) if done.undo is not None else ()))
        return self._deck.safe(". ".join(said))

    # --- undo ------------------------------------------------------------------------------------------

    def undo(self) -> None:
        """Undo the last change of this session, when those that are on their way are done."""
        self._deck.run_worker(self._undo(), group="write")

    async def _undo(self) -> None:
        async with self._turn:
            self.forget_old_undos()
            if not self._undos:
                self._deck.tell("nothing to undo", "information")
                return
            undo, ends = self._undos.pop()
            try:
                await self._do(lambda operator: replace(operator.undo(undo), undo=None))
            except (StoreError, ConfigError) as error:
                self._undos.append((undo, ends))  # a file kept it from being done: it still can be
                self._deck.tell(str(error), "error")
            except KeydeckError as error:
                self._deck.tell(str(error), "error")
            finally:
                self._deck.repaint()

    def next_undo(self) -> Undo | None:
        """Return what would be undone."""
        self.forget_old_undos()
        return self._undos[-1][0] if self._undos else None

    def undo_left_s(self) -> float | None:
        """Return for how long the last change can still be undone, where that ends."""
        self.forget_old_undos()
        ends = self._undos[-1][1] if self._undos else None
        return None if ends is None else ends - self._deck.clock()

    def forget_old_undos(self) -> None:
        """Drop what holds a secret once its minute is over."""
        now = self._deck.clock()
        self._undos = [(undo, ends) for undo, ends in self._undos if ends is None or now < ends]

    # --- a busy lock -----------------------------------------------------------------------------------

    def _on_wait(self, waited_s: float) -> None:
        """Tell, from the act's thread, that it waits for the lock; end the wait when the user gave up."""
        self._is_waiting = True
        if self._gave_up:
            raise GaveUp(self._reader.home.auth_path, "gave up waiting for the lock: nothing was changed")
        said = f"waiting for the lock (held {waited_s:.0f} s), esc gives up"
        self._deck.call_from_thread(self._deck.tell, said, "warning", cause=_WAIT)

    def give_up(self) -> bool:
        """Stop waiting for the lock; return whether anything was waiting."""
        self._gave_up = self._is_waiting
        return self._is_waiting
