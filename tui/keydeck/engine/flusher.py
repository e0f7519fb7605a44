"""The one thread of a process that tells what its stores have gathered, and what happens at exit and after a fork.

The thread starts with the first thing that waits to be told, and rests while nothing waits.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from typing import Final, Protocol

BEAT_S: Final = 0.08
"""How long uses may wait to be told: a kill costs a tenth of a second of them at most, waking up included."""


class Tended(Protocol):
    """A store, as far as this module knows it."""

    def tend(self) -> bool:
        """Do what is due; False when nothing is left to do."""

    def close(self) -> None:
        """Do everything that is left."""


class Forkable(Protocol):
    """What must change in a forked child."""

    def after_fork(self) -> None:
        """Let go of what is the parent's."""


class _Flusher:
    """The stores with something left to do, and the thread that tends them."""

    def __init__(self) -> None:
        self.enabled = True
        self.stores: set[Tended] = set()
        self._wanted = threading.Condition()
        self._thread: threading.Thread | None = None
        self._hurry = False

    def add(self, store: Tended, *, hurry: bool) -> None:
        with self._wanted:
            self.stores.add(store)
            self._hurry = self._hurry or hurry
            if self._thread is None and self.enabled:
                _at_end_of_child()
                self._thread = threading.Thread(target=self._run, name="keydeck-flusher", daemon=True)
                self._thread.start()
            self._wanted.notify()

    def remove(self, store: Tended) -> None:
        with self._wanted:
            self.stores.discard(store)

    def finish(self) -> None:
        """Do everything that is left, now: the process ends."""
        for store in list(self.stores):
            store.close()

    def _run(self) -> None:
        while True:
            with self._wanted:
                self._wanted.wait_for(lambda: self.stores)
                self._wanted.wait_for(lambda: self._hurry, BEAT_S)
                self._hurry = False
                stores = list(self.stores)
            for store in stores:
                if not self._tend(store):
                    self.remove(store)

    @staticmethod
    def _tend(store: Tended) -> bool:
        """Tend one store; whatever happens to it, the others go on."""
        try:
            return store.tend()
        except Exception:  # a thread that ends would tell nothing any more, and nobody would notice
            import logging

            logging.getLogger("keydeck.flusher").exception("what waits could not be told")
            return False


_flusher = _Flusher()
_forkables: weakref.WeakSet[Forkable] = weakref.WeakSet()


def wake(store: Tended, *, hurry: bool = False) -> None:
    """Have a store tended within `BEAT_S`, or at once."""
    _flusher.add(store, hurry=hurry)


def forget(store: Tended) -> None:
    """Tend a store no longer: it has closed."""
    _flusher.remove(store)


def follow_forks(what: Forkable) -> None:
    """Tell it when it finds itself in a forked child."""
    _forkables.add(what)


def set_enabled(enabled: bool) -> None:
    """Let the thread run, or leave everything to whoever closes; for tests and embedders with a loop of their own."""
    _flusher.enabled = enabled


def _at_end_of_child() -> None:
    """Finish in a child of multiprocessing, which ends without the interpreter's own exit handlers."""
    if "multiprocessing.process" in sys.modules:
        from multiprocessing import parent_process, util

        if parent_process() is not None:
            util.Finalize(None, _finish, exitpriority=100)


def _finish() -> None:
    _flusher.finish()


def _after_fork() -> None:
    global _flusher  # noqa: PLW0603 - the child has no thread, and the parent's lock may be held for ever
    enabled = _flusher.enabled
    _flusher = _Flusher()
    _flusher.enabled = enabled
    for each in list(_forkables):
        each.after_fork()


atexit.register(_finish)
os.register_at_fork(after_in_child=_after_fork)
