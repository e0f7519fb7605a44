from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from fakes import NOW
from fuzz.strategies import any_event, event_values, hostile_texts
from keydeck.engine.events import Record, decode, encode
from keydeck.engine.follower import Block
from keydeck.engine.redact import Scrubber
from keydeck.engine.secret import Secret
from keydeck.engine.store import Store
from keydeck.live.activity import Activity, Change, ChangeKind
from keydeck.live.rates import per_minute, rate, shares
from keydeck.live.timeline import Timeline
from keydeck.present.activity import activity_lines, change_name, change_text, settled, who_text
from keydeck.present.events import event_json, event_line, moment_text, name_width
from keydeck.present.glyphs import ASCII, UNICODE
from keydeck.present.rates import rate_text, sparkline
from keydeck.present.rows import Context
from keydeck.present.spans import line_width, plain

SECRET = "kd-planted-0123456789abcdef"
SCRUBBER = Scrubber([Secret(SECRET)])
CELLS = 80

words = st.sampled_from(
    [SECRET, f"no {SECRET}.", f"{SECRET[:9]}\u200b{SECRET[9:]}", f"\x1b[1m{SECRET}", "a", "b"]
)
words |= hostile_texts
numbers = st.floats(NOW - 9000, NOW + 9000) | st.sampled_from([0, -1, 10**299, -1e299, 1e18, 5e-324, NOW])
wholes = st.integers(-3, 600) | st.sampled_from([10**40, -(10**40), 2**63])
states = st.sampled_from(["exhausted", "dead", "odd", None])
events = any_event(event_values(words, numbers, wholes, states))
records = st.builds(Record, numbers, words, st.integers(1, 9) | wholes, events)


class Told:
    """A store that only its journal is asked of, which says these records: half of the past, half of what comes."""

    def __init__(self, said: list[Record]) -> None:
        read = [record for record in (decode(encode(record)) for record in said) if record]
        placed = [((1, place), record) for place, record in enumerate(read)]
        half = len(placed) // 2
        self.writer = "w"
        self._past, self._coming = placed[:half], placed[half:]

    def follow(self) -> Told:
        return self

    def look_back(self, **_: Any) -> Iterator[Block]:
        return iter([Block(self._past, after_gap=True)] if self._past else [])

    def read_on(self) -> list[Block]:
        told, self._coming = self._coming, []
        return [Block(told)] if told else []


def heard(said: list[Record]) -> tuple[tuple[Change, ...], Timeline]:
    """Return what is told of these records, and by whom."""
    timeline = Timeline(
        cast("Store", Told(said)), past_s=1e300, most=None, tells_time=True, tells_requests=True
    )
    return (*timeline.catch_up(NOW), *timeline.catch_up(NOW + 60), *timeline.catch_up(NOW + 9000)), timeline


def must_be_inert(text: str) -> None:
    assert text.isprintable(), ascii(text)
    assert SECRET not in text


@given(st.lists(records, max_size=12))
def test_whatever_stands_in_a_journal_is_printed_harmlessly_and_without_secrets(said: list[Record]) -> None:
    """By whoever it was written: on the strip, as lines, as JSON; no sequence, no markup, no number breaks them."""
    changes = settled(heard(said)[0], SCRUBBER)
    ring = Activity()
    ring.extend(changes)
    for glyphs in (UNICODE, ASCII):
        for masked in (False, True):
            context = Context(glyphs, SCRUBBER, masked)
            for line in activity_lines(ring.newest(99), NOW, CELLS, 99, context):
                must_be_inert(plain(line))
                assert line_width(line) == CELLS
    context = Context(ASCII, SCRUBBER)
    cells = name_width(changes, context)
    for change in changes:
        must_be_inert(event_line(change, NOW, cells, context))
        must_be_inert(change_text(change, NOW, context) + change_name(change, context) + who_text(change))
        told = event_json(change, SCRUBBER)
        texts = json.loads(json.dumps(told, allow_nan=False))
        for text in (*texts.values(), *texts["same_key"]):
            must_be_inert(str(text))


@given(st.lists(records, max_size=12))
def test_whatever_stands_in_a_journal_can_be_counted(said: list[Record]) -> None:
    """Rates and charts of it are numbers that can be drawn."""
    _, timeline = heard(said)
    rows = {row for slot in timeline.totals.minutes.values() for row in slot}
    minutes = per_minute(timeline.totals, rows, NOW)
    assert len(sparkline(minutes, 12, ASCII)) == 12
    must_be_inert(rate_text(rate(timeline.totals, rows, NOW)))
    assert all(0 <= share <= 1 for share in shares(timeline.totals, rows, NOW).values())


def test_a_moment_has_its_date_unless_it_is_today() -> None:
    """Also tomorrow; what is no time is some day."""
    assert [moment_text(at, NOW) for at in (NOW, NOW - 86400, NOW + 86400, 1e299)] == [
        "14:02:11",
        "2026-11-07 14:02:11",
        "2026-11-09 14:02:11",
        "some day",
    ]


def test_who_did_it() -> None:
    """This process, another program, or a writer by its short name; nobody where two looks told it."""
    change = Change(at=NOW, provider="zai", row_id="a", label="x", kind=ChangeKind.ADDED)
    assert who_text(change) == ""
    for fields_of_it, who in (
        ({"by": "abc123"}, "abc123"),
        ({"by": "abc123", "is_ours": True}, "here"),
        ({"by": "abc123", "is_ours": True, "is_outside": True}, "outside"),
    ):
        told = cast("dict[str, Any]", fields_of_it)
        assert (
            who_text(Change(at=NOW, provider="zai", row_id="a", label="x", kind=ChangeKind.ADDED, **told))
            == who
        )
