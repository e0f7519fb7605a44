from __future__ import annotations

from pathlib import Path

import pytest

from fakes import a_reader, keys, tree, undo_of, write_store
from keydeck.engine.acts import Operator
from keydeck.engine.cooldown_edit import Entry, entry_of
from keydeck.engine.cooldown_policy import Change
from keydeck.engine.errors import ConfigBroken, ConfigReadOnly, Refused
from keydeck.engine.events import Configured
from keydeck.engine.snapshot import HomeReader

FIVE = Change(wait_s=300)
OURS = "# ours\ncredential_pool:\n  cooldown:\n    429: 90s  # why\n"


def start(home: Path, config: str = OURS) -> HomeReader:
    write_store(home, {"openrouter": keys("aaa001")})
    (home / "config.yaml").write_text(config)
    return a_reader(home)


def told(reader: HomeReader) -> list[tuple[str, str]]:
    """Return what the journal tells of config.yaml: whose, and which entry."""
    records = [record for _, record in reader.store.history()]
    return [
        (each.event.provider, each.event.cooldown) for each in records if isinstance(each.event, Configured)
    ]


def test_a_wait_is_set_told_and_undone(home: Path) -> None:
    """One entry changes, the journal tells other processes, a copy is kept, and the undo gives back every byte."""
    reader = start(home)
    operator = Operator(reader)
    done = operator.set_cooldown(entry_of("429"), FIVE)
    assert done.text == "wait 5m after 429"
    assert (home / "config.yaml").read_text() == OURS.replace("90s", "5m")
    assert told(reader) == [("", "429")]
    assert len(list((home / "keydeck" / "backups").iterdir())) == 1
    operator.undo(undo_of(done))
    assert (home / "config.yaml").read_text() == OURS
    assert told(reader) == [("", "429")] * 2


def test_a_new_entry_is_undone_by_taking_it_out(home: Path) -> None:
    """Nothing of it stays in the file; the provider may be named as people do."""
    reader = start(home)
    operator = Operator(reader)
    done = operator.set_cooldown(entry_of("rate-limit", provider="or"), FIVE)
    assert "      openrouter:\n        rate_limit: 5m\n" in (home / "config.yaml").read_text()
    assert told(reader) == [("openrouter", "rate_limit")]
    assert undo_of(done).text == "wait after rate_limit"
    operator.undo(undo_of(done))
    assert (home / "config.yaml").read_text() == OURS


def test_an_entry_for_all_says_who_has_one_of_its_own(home: Path) -> None:
    """The more specific one counts there, and the operator should know."""
    text = OURS + "    providers:\n      zai: {429: 1m}\n      openrouter: {429: 2m}\n      nous: {500: 1m}\n"
    operator = Operator(start(home, text))
    assert operator.set_cooldown(entry_of("429"), FIVE).notes == (
        "openrouter, zai have entries of their own",
    )
    assert operator.set_cooldown(entry_of("500"), FIVE).notes == ("nous has an entry of its own",)
    assert operator.set_cooldown(entry_of("429", provider="zai"), FIVE).notes == ()


def test_an_entry_is_cleared_and_put_back(home: Path) -> None:
    """What it said comes back with the undo, in the form in which we write it."""
    operator = Operator(start(home))
    done = operator.clear_cooldown(entry_of("429"))
    assert done.text == "a wait after 429 as without an entry"
    assert "429" not in (home / "config.yaml").read_text()
    operator.undo(undo_of(done))
    assert operator.set_cooldown(entry_of("429"), Change(wait_s=90)).text == "wait 90s after 429 already"


def test_what_says_so_already_is_neither_written_nor_told(home: Path) -> None:
    """The file keeps its bytes, and nothing is there to undo."""
    reader = start(home)
    before = tree(home)
    done = Operator(reader).set_cooldown(entry_of("429"), Change(wait_s=90))
    assert done.undo is None
    assert Operator(reader).clear_cooldown(entry_of("503")).undo is None
    assert tree(home) == before


def test_an_undo_leaves_alone_what_somebody_changed_since(home: Path) -> None:
    """The file stays as the other one left it."""
    operator = Operator(start(home))
    done = operator.set_cooldown(entry_of("429"), FIVE)
    theirs = OURS.replace("90s", "7m")
    (home / "config.yaml").write_text(theirs)
    with pytest.raises(Refused, match="changed meanwhile"):
        operator.undo(undo_of(done))
    assert (home / "config.yaml").read_text() == theirs


@pytest.mark.parametrize(
    ("config", "entry", "error"),
    [
        ("a: [\n", entry_of("429"), ConfigBroken),
        (OURS, entry_of("429", provider="nowhere"), Refused),
        ("x: &x {429: 1}\ncredential_pool: {cooldown: *x}\n", entry_of("429"), Refused),
    ],
    ids=["broken", "no such provider", "an alias"],
)
def test_what_cannot_be_written_is_refused(
    home: Path, config: str, entry: Entry, error: type[Exception]
) -> None:
    """Nothing in the home changes then."""
    operator = Operator(start(home, config))
    before = tree(home)
    with pytest.raises(error):
        operator.set_cooldown(entry, FIVE)
    assert tree(home) == before


def test_a_managed_home_is_refused(home: Path) -> None:
    """A package manager would undo it."""
    start(home)
    with pytest.raises(ConfigReadOnly, match="package manager"):
        Operator(a_reader(home, HERMES_MANAGED="1")).clear_cooldown(entry_of("429"))
