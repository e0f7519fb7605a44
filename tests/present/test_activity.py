from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import NOW, a_key, a_reader, benched, write_store
from keydeck.engine.redact import Scrubber
from keydeck.engine.secret import Secret
from keydeck.live.activity import Activity, Change, ChangeKind, Left, Return, compare, known_before
from keydeck.present.activity import activity_lines, key_name, settled
from keydeck.present.glyphs import ASCII, UNICODE, Glyphs
from keydeck.present.rows import Context
from keydeck.present.spans import Line, Role, line_width, plain

SECRET = "Planted0123456789abcdefghijklmnopqrstuvwxyz"
HOSTILE = [
    "plain",
    "",
    "x" * 300,
    "[/x] [bold]",
    "\x1b[31mred\x1b]0;title\x07",
    "two\nlines\r\t",
    "\u202eevil\u200b",
    "鍵" * 40,
    "🔑 é" * 9,
    "\ud800",
]


def a_change(kind: ChangeKind = ChangeKind.BENCHED, **fields: Any) -> Change:
    return Change(
        **{
            "at": NOW - 60,
            "provider": "anthropic",
            "row_id": "aaa001",
            "label": "burst-key",
            "kind": kind,
            **fields,
        }
    )


def shown(*changes: Change, cells: int = 118, glyphs: Glyphs = UNICODE, masked: bool = False) -> list[str]:
    """Return the text of these changes, as they are drawn in a wide strip."""
    lines = activity_lines(changes, NOW, cells, 99, Context(glyphs, Scrubber([Secret(SECRET)]), masked))
    return [plain(line).rstrip() for line in lines]


def inert(line: Line) -> bool:
    text = plain(line)
    return text.isprintable() and not {"\x1b", "\u202e", "\u200b"} & set(text)


# --- what is said ------------------------------------------------------------------------------------------

SAID: dict[str, tuple[Change, str, str]] = {
    "added": (a_change(ChangeKind.ADDED), "· | added", "· | added"),
    "removed": (a_change(ChangeKind.REMOVED), "· | removed", "· | removed"),
    "renamed": (
        a_change(ChangeKind.RENAMED, detail="old-laptop"),
        "· | renamed from old-laptop",
        "· | renamed",
    ),
    "another key": (a_change(ChangeKind.SECRET_CHANGED, detail=Return.NEW_KEY), "· | new key", "· | new key"),
    "benched": (
        a_change(code=429, message="slow down", until=NOW + 840),
        "◐ | 429 rate limit: slow down, cooling until 14:16:11",
        "◐ | 429 rate limit, cooling until 14:16:11",
    ),
    "benched without a code": (
        a_change(until=NOW + 840),
        "◐ | benched, cooling until 14:16:11",
        "◐ | benched, cooling until 14:16:11",
    ),
    "benched for days": (
        a_change(code=402, until=NOW + 86400),
        "◐ | 402 payment required, cooling until Mon 14:02",
        "◐ | 402 payment required, cooling until Mon 14:02",
    ),
    "refused and not benched": (
        a_change(ChangeKind.REFUSED, code=503, message="try later"),
        "· | not benched: 503 provider overloaded: try later",
        "· | not benched: 503 provider overloaded",
    ),
    "refused with a key that is not here": (
        a_change(ChangeKind.REFUSED, row_id=None, label="", code=402),
        "· | a key that is not here: 402 payment required",
        "· | a key that is not here: 402 payment required",
    ),
    "out for one model": (
        a_change(ChangeKind.REFUSED, code=429, detail="vendor/m1", until=NOW + 60),
        "· | out for vendor/m1: 429 rate limit, cooling until 14:03:11",
        "· | out for one model: 429 rate limit, cooling until 14:03:11",
    ),
    "refused": (
        a_change(
            ChangeKind.DEAD, code=401, message="Refresh token was revoked", detail="the provider rejected it"
        ),
        "▲ | log in again: Refresh token was revoked",
        "▲ | log in again: the provider rejected it",
    ),
    "paused": (
        a_change(ChangeKind.PAUSED, until=NOW + 840),
        "■ | paused until 14:16:11",
        "■ | paused until 14:16:11",
    ),
    "without its variable": (
        a_change(ChangeKind.LOST_SECRET, detail="ANN_API_KEY unset"),
        "○ | no secret: ANN_API_KEY unset",
        "○ | no secret",
    ),
    "token ended": (
        a_change(ChangeKind.LOST_SECRET, detail="token ended, hermes renews it"),
        "○ | token ended, hermes renews it",
        "○ | no secret",
    ),
    "broken": (
        a_change(ChangeKind.BROKEN, detail="its priority is not a number"),
        "? | cannot be read: its priority is not a number",
        "? | cannot be read: its priority is not a number",
    ),
    "back by the clock": (
        a_change(ChangeKind.READY, detail=Return.COOLDOWN_OVER),
        "● | cooldown over",
        "● | cooldown over",
    ),
    "strategy": (
        a_change(ChangeKind.STRATEGY, row_id=None, label="", detail="random"),
        "· | now picks by random",
        "· | now picks by random",
    ),
    "another wait": (
        a_change(ChangeKind.COOLDOWN, row_id=None, label="", detail="rate_limit"),
        "· | another wait after rate limit",
        "· | another wait after rate limit",
    ),
    "reset": (a_change(ChangeKind.RESET), "● | reset", "● | reset"),
    "a reset that was undone": (
        a_change(ChangeKind.RESET_UNDONE, code=429, message="slow down", until=NOW + 840),
        "◐ | reset undone: 429 rate limit: slow down, cooling until 14:16:11",
        "◐ | reset undone: 429 rate limit, cooling until 14:16:11",
    ),
    "resumed": (a_change(ChangeKind.RESUMED), "● | resumed", "● | resumed"),
    "moved": (a_change(ChangeKind.MOVED, detail="first"), "· | moved first", "· | moved first"),
    "order": (a_change(ChangeKind.MOVED, row_id=None), "· | order changed", "· | order changed"),
    "back with an undo": (
        a_change(ChangeKind.ADDED, detail=Return.UNDONE),
        "· | added: its removal is undone",
        "· | added: its removal is undone",
    ),
    "met": (
        a_change(ChangeKind.ADOPTED, row_id=None, count=3),
        "· | 3 keys met for the first time",
        "· | 3 keys met for the first time",
    ),
    "met afresh": (
        a_change(ChangeKind.ADOPTED, row_id=None, detail=Return.AFRESH),
        "· | 1 key of another home",
        "· | 1 key of another home",
    ),
    "stored": (
        a_change(ChangeKind.ADOPTED),
        "· | stored: an agent uses it",
        "· | stored: an agent uses it",
    ),
    "a success": (
        a_change(ChangeKind.READY, detail=Return.PROVEN),
        "● | a request went through",
        "● | a request went through",
    ),
    "cleared by another program": (
        a_change(ChangeKind.READY, detail=Return.CLEARED, is_outside=True),
        "● | changed outside: cooldown cleared",
        "● | changed outside: cooldown cleared",
    ),
    "added by another program": (
        a_change(ChangeKind.ADDED, is_outside=True),
        "· | changed outside: added",
        "· | changed outside: added",
    ),
    "renamed by another program": (
        a_change(ChangeKind.RENAMED, detail="old-laptop", is_outside=True),
        "· | changed outside: renamed from old-laptop",
        "· | changed outside: renamed",
    ),
    "benched by another program": (
        a_change(code=429, is_outside=True),
        "◐ | 429 rate limit",
        "◐ | 429 rate limit",
    ),
    "healed": (
        a_change(ChangeKind.HEALED, detail="cooldown, count", is_outside=True),
        "· | changed outside: lost cooldown, count, put back",
        "· | changed outside: lost something, put back",
    ),
    "came back": (
        a_change(ChangeKind.CAME_BACK, is_outside=True),
        "· | changed outside: came back after its removal, removed again",
        "· | changed outside: came back after its removal, removed again",
    ),
    "from a backup": (
        a_change(ChangeKind.PUT_BACK, is_outside=True),
        "· | changed outside: back with an older copy of the store",
        "· | changed outside: back with an older copy of the store",
    ),
    "something new": (
        a_change(ChangeKind.OUTSIDE, detail="recoloured", is_outside=True),
        "· | changed outside: recoloured",
        "· | changed outside",
    ),
    "requests": (
        a_change(ChangeKind.REQUESTS, row_id=None, count=1234),
        "· | 1,234 requests",
        "· | 1,234 requests",
    ),
    "few left": (
        a_change(ChangeKind.FEW_LEFT, row_id=None, left=Left(1, 1500)),
        "△ | 1 of 1,500 left",
        "△ | 1 of 1,500 left",
    ),
    "none left": (
        a_change(ChangeKind.FEW_LEFT, row_id=None, left=Left(0, 15)),
        "△ | none of 15 left",
        "△ | none of 15 left",
    ),
    "gap": (
        a_change(ChangeKind.GAP, row_id=None),
        "· | what happened just before is not known: part of the journal is missing",
        "· | what happened just before is not known: part of the journal is missing",
    ),
    "counted": (
        a_change(code=429, count=3, until=NOW + 840),
        "◐ | 429 rate limit, cooling until 14:16:11 ×3",
        "◐ | 429 rate limit, cooling until 14:16:11 ×3",
    ),
}


@pytest.mark.parametrize(("change", "open_text", "masked_text"), SAID.values(), ids=SAID)
def test_what_a_line_says(change: Change, open_text: str, masked_text: str) -> None:
    """Time, sign, name and words; masked, the same without names, sentences and variables."""
    pool = change.row_id is None
    for text, name, masked in ((open_text, "burst-key", False), (masked_text, "key", True)):
        sign, words = text.split(" | ")
        named = "anthropic" if pool else f"anthropic / {name}"
        assert shown(change, masked=masked) == [f"14:01:11  {sign} {named}  {words}"]


def test_every_kind_of_change_has_a_line() -> None:
    """Also with nothing known besides the kind."""
    assert {change.kind for change, _, _ in SAID.values()} == set(ChangeKind)
    for kind in ChangeKind:
        (line,) = shown(a_change(kind))
        assert len(line.split("  ")) == 3, line


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        (ChangeKind.BENCHED, Role.COOLING),
        (ChangeKind.DEAD, Role.DEAD),
        (ChangeKind.LOST_SECRET, Role.ABSENT),
        (ChangeKind.READY, Role.READY),
        (ChangeKind.ADDED, Role.ACCENT),
    ],
)
def test_the_sign_has_the_colour_of_the_state(kind: ChangeKind, role: Role) -> None:
    """The name is plain, time and words step back."""
    (line,) = activity_lines([a_change(kind)], NOW, 100, 1, Context(UNICODE, Scrubber()))
    assert [span.role for span in line if span.text.strip()] == [Role.MUTED, role, Role.PLAIN, Role.MUTED]


def test_only_so_many_lines_as_asked_for() -> None:
    """In the order given, which is newest first; an empty strip says so once."""
    changes = [a_change(at=NOW - number, label=f"k{number}") for number in range(5)]
    context = Context(UNICODE, Scrubber())
    lines = [plain(line) for line in activity_lines(changes, NOW, 100, 3, context)]
    assert [line.split()[4] for line in lines] == ["k0", "k1", "k2"]
    assert activity_lines(changes, NOW, 100, 0, context) == activity_lines([], NOW, 100, 0, context) == ()
    (nothing,) = activity_lines([], NOW, 100, 3, context)
    assert plain(nothing).strip() == "nothing has changed yet"


def test_names_stand_in_a_column() -> None:
    """As wide as the longest of those shown, so that the words begin below each other."""
    lines = shown(a_change(ChangeKind.ADDED), a_change(ChangeKind.ADDED, label="a-much-longer-label"))
    assert len({line.index("added") for line in lines}) == 1


def test_older_days_are_named() -> None:
    """The hour today, the day within a week, the date before; short ones where there is little room."""
    changes = [a_change(ChangeKind.ADDED, at=NOW - days * 86400) for days in (0, 2, 30)]
    assert [line[:10].rstrip() for line in shown(*changes)] == ["14:02:11", "Fri 14:02", "2026-10-09"]
    assert [line[:5].rstrip() for line in shown(*changes, cells=60)] == ["14:02", "Fri", "10-09"]


def test_a_narrow_strip_keeps_the_end_of_a_bench() -> None:
    """The provider's sentence gives way first, then words, then seconds, at last the end."""
    change = a_change(code=429, message="This request would exceed your limit", until=NOW + 840)
    name = "anthropic / burst-key"
    assert [shown(change, cells=cells)[0] for cells in (110, 100, 80, 60, 40)] == [
        f"14:01:11  ◐ {name}  429 rate limit: This request would exceed your lim…, cooling until 14:16:11",
        f"14:01:11  ◐ {name}  429 rate limit: This request would excee…, cooling until 14:16:11",
        f"14:01:11  ◐ {name}  429 rate limit, cooling until 14:16:11",
        f"14:01 ◐ {name} 429 rate limit, until 14:16",
        "14:01 ◐ anthrop… / burs… 429 rate limit",
    ]
    assert shown(replace(change, count=12), cells=100)[0].endswith("cooling until 14:16:11 ×12")


# --- widths ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("masked", [False, True])
def test_every_line_is_exactly_as_wide_as_the_strip(glyphs: Glyphs, masked: bool) -> None:
    """Each kind, with hostile texts in every place, at each width; nothing in it steers a terminal."""
    context = Context(glyphs, Scrubber([Secret(SECRET)]), masked)
    changes = [
        a_change(
            kind, provider=provider, label=text, message=text, detail=text, until=until, count=count, code=429
        )
        for kind in ChangeKind
        for text in HOSTILE
        for provider in ("p", "custom:鍵.example\x1b[2J" * 3)
        for until, count in ((None, 1), (NOW + 840, 120))
    ]
    for cells in (1, 2, 9, 20, 33, 40, 58, 60, 69, 70, 80, 118, 200):
        lines = activity_lines(changes, NOW, cells, 9999, context)
        assert len(lines) == len(changes)
        assert {line_width(line) for line in lines} == {cells}
        assert all(map(inert, lines))


@pytest.mark.parametrize("moment", [0.0, -1.0, 1e300, -1e300, math.inf, -math.inf, math.nan])
def test_impossible_times_are_drawn_as_something(moment: float) -> None:
    """Nobody can say when that is, and the line keeps its width."""
    for cells in (40, 118):
        context = Context(UNICODE, Scrubber())
        (line,) = activity_lines([a_change(at=moment, until=moment)], NOW, cells, 1, context)
        assert line_width(line) == cells


@given(
    st.lists(
        st.builds(
            a_change,
            st.sampled_from(ChangeKind),
            at=st.floats(),
            label=st.text(max_size=30),
            row_id=st.none() | st.text(max_size=5),
            message=st.none() | st.text(max_size=50),
            detail=st.none() | st.text(max_size=30),
            until=st.none() | st.floats(),
            code=st.none() | st.integers(0, 10**30),
            count=st.integers(0, 10**9),
        ),
        max_size=3,
    ),
    st.integers(1, 130),
)
@settings(max_examples=150, deadline=None)
def test_any_changes_at_any_width(changes: list[Change], cells: int) -> None:
    """Kept or raw, they fill their lines exactly and are inert."""
    scrubber = Scrubber([Secret(SECRET)])
    for kept in (changes, settled(changes, scrubber, Scrubber())):
        lines = activity_lines(kept, NOW, cells, 9, Context(UNICODE, scrubber))
        assert {line_width(line) for line in lines} == {cells}
        assert all(map(inert, lines))


def test_with_ascii_signs_an_ascii_store_is_drawn_in_ascii() -> None:
    """Signs, cuts and counts."""
    changes = [
        a_change(
            kind, label="x" * 90, message="word " * 90, detail="y" * 90, until=NOW + 9, count=3, code=429
        )
        for kind in ChangeKind
    ]
    for cells in (30, 60, 118):
        assert [line for line in shown(*changes, cells=cells, glyphs=ASCII) if not line.isascii()] == []
    assert shown(a_change(count=3), glyphs=ASCII)[0].endswith("benched x3")


@pytest.mark.parametrize(
    ("cells", "name"),
    [
        (99, "custom:together.ai / together-2"),
        (31, "custom:together.ai / together-2"),
        (30, "custom:together.… / together-2"),
        (21, "custom:… / together-2"),
        (18, "custom:… / togeth…"),
        (5, "cust…"),
        (0, ""),
    ],
)
def test_of_a_long_name_the_provider_gives_way_first(cells: int, name: str) -> None:
    """Down to a few letters; then the label is cut as well."""
    assert key_name("custom:together.ai", "together-2", cells, "…") == name


# --- secrets and names -------------------------------------------------------------------------------------

SPLIT = f"{SECRET[:20]}\x1b[0m{SECRET[20:]}"
PLANTED = {
    "alone": SECRET,
    "in a sentence": f"key {SECRET} is limited",
    "broken up by signs that are not drawn": "\u200b".join(SECRET),
    "with a sequence inside": SPLIT,
    "in a URL": f"https://h/v1?key={SECRET}",
    "in a long one": "word " * 900 + SECRET + " word" * 900,
    "broken up across the cut": "\u200b" * 3960 + "\u200b".join(SECRET) + "\u200b" * 400,
    "across the end of what is cleaned": "x " * 990 + "\u200b".join(SECRET) + " y" * 500,
    "broken up by a sequence across the cut": " y" * 1960
    + f"{SECRET[:20]}\x1b]0; {'a title ' * 99}\x07{SECRET[20:]}",
    "across the cut": "x" * 3980 + SECRET + "y" * 900,
}


@pytest.mark.parametrize("text", PLANTED.values(), ids=PLANTED)
@pytest.mark.parametrize("kept", [False, True])
def test_a_secret_in_any_text_is_never_drawn(text: str, kept: bool) -> None:
    """Not whole and not its head; kept changes hold none, even after every row that knew it is gone."""
    scrubber = Scrubber([Secret(SECRET)])
    changes: tuple[Change, ...] = tuple(
        a_change(
            kind,
            label=text,
            detail=text,
            message=text,
            until=NOW + 9,
            code=429,
        )
        for kind in ChangeKind
    )
    if kept:
        changes = settled(changes, Scrubber(), scrubber)
        scrubber = Scrubber()
    lines = [plain(line) for line in activity_lines(changes, NOW, 3000, 99, Context(UNICODE, scrubber))]
    assert len(lines) == len(ChangeKind)
    assert not [line for line in lines if SECRET[:9] in line]
    if kept:
        assert SECRET[:9] not in repr(changes)


@pytest.mark.parametrize("kept", [False, True])
def test_a_secret_that_cleaning_changes_is_never_drawn(kept: bool) -> None:
    """It is found as it stands, before tabs and lines become blanks."""
    scrubber = Scrubber([Secret("planted\twith\ntabs-0123")])
    change = a_change(label="my planted\twith\ntabs-0123", message="bad planted\twith\ntabs-0123", code=429)
    changes = settled([change], scrubber) if kept else (change,)
    (line,) = activity_lines(changes, NOW, 100, 1, Context(UNICODE, scrubber))
    assert "anthropic / my ***  429 rate limit: bad ***" in plain(line)


def test_kept_changes_are_short_and_say_the_same() -> None:
    """Labels and sentences are clean and cut; what was harmless is untouched."""
    (kept,) = settled([a_change(label="\x1b[1mburst-key\n", message="slow down. " * 900)], Scrubber())
    assert kept.label == "burst-key"
    assert (
        kept.message is not None
        and kept.message.startswith("slow down. slow down.")
        and len(kept.message) <= 400
    )
    harmless = a_change(ChangeKind.RENAMED, detail="old", message=None)
    assert settled([harmless], Scrubber()) == (harmless,)
    assert settled([harmless]) == (harmless,)
    assert settled([a_change(label="\u200b", row_id="aaa001")], Scrubber())[0].label == "aaa001"


def test_a_removed_keys_last_words_stay_without_its_secret(home: Path) -> None:
    """From file to strip: the key was pasted into the label, quoted by the provider, and removed."""
    row = a_key(
        "aaa001", f"my {SECRET}", access_token=SECRET, **benched(ago=5, last_error_message=f"bad key {SPLIT}")
    )
    write_store(home, {"openrouter": [row, a_key("bbb002")]})
    before = a_reader(home).read()
    write_store(home, {"openrouter": [a_key("bbb002")]})
    after = a_reader(home).read()
    ring = Activity()
    ring.extend(settled(known_before(before, NOW), before.scrubber))
    ring.extend(settled(compare(before, after, NOW), before.scrubber, after.scrubber))
    context = Context(UNICODE, after.scrubber)
    drawn = [plain(line).rstrip() for line in activity_lines(ring.newest(9), NOW, 160, 9, context)]
    assert [line.split("  ")[1:] for line in drawn] == [
        ["· openrouter / my ***", "removed"],
        ["◐ openrouter / my ***", "429 rate limit: bad key ***, cooling until 15:02:06"],
    ]


@pytest.mark.parametrize("kind", ChangeKind)
def test_masking_hides_labels_sentences_variables_and_ids(kind: ChangeKind) -> None:
    """Whatever happened: of an account only the provider's name, the code and times are drawn."""
    names = {"label": "zoe@corp", "message": "zoe@corp is limited", "row_id": "zoe001"}
    theirs = kind in (ChangeKind.RENAMED, ChangeKind.LOST_SECRET)
    change = a_change(kind, code=429, until=NOW + 9, detail="ZOE_KEY" if theirs else "a reason", **names)
    (line,) = shown(change, masked=True)
    assert "anthropic / key " in line
    assert "zoe" not in line.lower()
    assert "zoe@corp" in shown(change)[0]
