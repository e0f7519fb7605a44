"""Several stores on one home, in any order of telling, reading, rotating and summing up, come to know the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes import FakeClock, a_home, keys, write_store
from keydeck.engine.events import Event, Failed, Paused, Reset, Succeeded
from keydeck.engine.file_store import FileStore
from keydeck.engine.ledger import Ledger

ROWS = ("aaa001", "bbb002", "ccc003")
NEWER = b'\n{"e":"teleport","t":1.0,"w":"newer","s":%d,"to":[1,2]}\n'

told = st.tuples(st.sampled_from(("use", "fail", "succeed", "reset", "pause")), st.sampled_from(ROWS))
kept = st.tuples(st.sampled_from(("read", "flush", "rotate", "sum up", "newer", "open anew")), st.none())
steps = st.lists(st.tuples(st.integers(0, 2), told | told | kept), max_size=25)


def a_store(home: Path) -> FileStore:
    store = FileStore(a_home(home), clock=FakeClock())
    store.snapshot()
    return store


def event_of(store: FileStore, what: str, row_id: str) -> Event:
    ids = (row_id,)
    if what == "fail":
        return Failed(ids=ids, provider="openrouter", code=429, granted=store.position())
    if what == "succeed":
        return Succeeded(ids=ids, provider="openrouter", granted=store.position())
    return (
        Reset(ids=ids, provider="openrouter") if what == "reset" else Paused(ids=ids, provider="openrouter")
    )


class Several:
    """Three stores of one home; each step is done by one of them."""

    def __init__(self, home: Path) -> None:
        write_store(home, {"openrouter": keys(*ROWS)})
        self.home = home
        self.stores = [a_store(home) for _ in range(3)]
        self.uses = self.newer = 0

    def do(self, who: int, what: str, row_id: str | None) -> None:
        store = self.stores[who]
        if row_id and what == "use":
            store.count(row_id)
            self.uses += 1
        elif row_id:
            store.append(event_of(store, what, row_id))
        else:
            self.keep(who, what)

    def keep(self, who: int, what: str) -> None:
        store = self.stores[who]
        if what == "read":
            store.poll()
        elif what == "rotate" and store.flush() and store._books.journal.is_open:
            store._books._rotate()
        elif what == "sum up":
            store.checkpoint()
        elif what == "newer":
            self.tell_newer()
        elif what == "open anew":
            store.close()
            self.stores[who] = a_store(self.home)
        else:
            store.flush()

    def tell_newer(self) -> None:
        segments = sorted((self.home / "keydeck").glob("journal-*"))
        if segments:
            self.newer += 1
            with segments[-1].open("ab") as segment:
                segment.write(NEWER % self.newer)

    def ends(self) -> list[Ledger]:
        """Let all tell what they have and read to the end, and return what each knows, a fresh one too."""
        for store in self.stores:
            store.flush()
        stores = [*self.stores, a_store(self.home)]
        for store in stores:
            store.poll()
        return [store._books.ledger for store in stores]

    def close(self) -> None:
        for store in self.stores:
            store.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_what_is_known_does_not_depend_on_who_reads_when(
    done: list[tuple[int, tuple[str, str | None]]],
) -> None:
    """In the end all know the same of every row, no use is lost or counted twice, and a newer version's lines stay."""
    with tempfile.TemporaryDirectory() as folder:
        several = Several(Path(folder) / "home")
        for who, (what, row_id) in done:
            several.do(who, what, row_id)
        first, *others = several.ends()
        for other in others:
            assert (other.position, other.rows, other.tombs) == (first.position, first.rows, first.tombs)
        assert sum(facts.used for facts in first.rows.values()) == several.uses
        journal = b"".join(path.read_bytes() for path in (several.home / "keydeck").glob("journal-*"))
        assert journal.count(b'"teleport"') == several.newer
        several.close()
