from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.strategies import any_event, event_values
from keydeck.engine.events import (
    KINDS,
    Failed,
    Record,
    Unknown,
    Used,
    decode,
    encode,
    name_of,
)

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no fault of what is tested."""

words = st.text(max_size=20)
numbers = st.floats(-1e12, 1e12) | st.integers(-(10**12), 10**12)
wholes = st.integers(-(2**63), 2**63)
records = st.builds(
    Record,
    st.floats(0, 1e12),
    words,
    st.integers(0, 2**53),
    any_event(event_values(words, numbers, wholes, st.none() | words)),
)


@calm
@given(records)
def test_every_event_comes_back_as_it_was_written(record: Record) -> None:
    """Whatever it holds, as one line of ASCII."""
    line = encode(record)
    assert b"\n" not in line
    assert line.isascii()
    assert (told := decode(line)) == record
    assert told
    assert type(told.event) is type(record.event)


@calm
@given(records, st.dictionaries(st.text("xyz", min_size=5), st.integers() | words, max_size=3))
def test_fields_of_a_newer_version_survive_an_older_reader(record: Record, more: dict[str, Any]) -> None:
    """They are kept beside the known ones and written again."""
    import json

    line = json.dumps({**json.loads(encode(record)), **more}).encode()
    read = decode(line)
    assert read is not None
    assert read.event.extra == more
    assert json.loads(encode(read)) == json.loads(line)


def test_an_event_of_a_newer_version_survives_an_older_reader() -> None:
    """It is kept as it is, under its own name."""
    line = b'{"e":"teleport","t":1.0,"w":"abc","s":3,"to":[1,2]}'
    read = decode(line)
    assert read is not None
    assert read.event == Unknown(kind="teleport", extra={"to": [1, 2]})
    assert name_of(read.event) == "teleport"
    assert encode(read) == line


@calm
@given(records)
def test_a_line_is_what_the_usual_encoder_writes(record: Record) -> None:
    """Ours leaves its detours out, and falls back on it where that cannot be had."""
    import json

    told = json.loads(line := encode(record))
    assert line == json.dumps(told, separators=(",", ":")).encode()


@calm
@given(st.binary(max_size=80))
def test_any_bytes_are_a_record_or_none(line: bytes) -> None:
    """Reading never raises."""
    decode(line)


@calm
@given(records, st.data())
def test_a_torn_record_is_none(record: Record, data: st.DataObject) -> None:
    """A head of a line is no record."""
    line = encode(record)
    assert decode(line[: data.draw(st.integers(0, len(line) - 1))]) is None


@pytest.mark.parametrize(
    "line",
    [
        b'{"e":"use","t":1,"w":"a","s":1,"n":{"a":"1"}}',
        b'{"e":"use","t":1,"w":"a","s":1}',
        b'{"e":"use","t":true,"w":"a","s":1,"n":{}}',
        b'{"e":"use","t":NaN,"w":"a","s":1,"n":{}}',
        b'{"e":"fail","t":1,"w":"a","s":1,"i":["a"],"p":"x","g":[1]}',
        b"[]",
        b"\x00\x00\x00",
        b"[" * 100_000,
    ],
)
def test_a_line_of_another_shape_is_none(line: bytes) -> None:
    """Neither a wrong type nor a missing field becomes an event."""
    assert decode(line) is None


def test_what_says_nothing_is_not_written() -> None:
    """Defaults are left out: a use is a short line."""
    assert (
        encode(Record(1.5, "w", 3, Used(counts={"a": 2}))) == b'{"e":"use","t":1.5,"w":"w","s":3,"n":{"a":2}}'
    )
    assert b'"c"' not in encode(Record(1.5, "w", 3, Failed(ids=("a",), provider="p")))


def test_no_two_fields_of_an_event_share_a_name() -> None:
    """A short name means one field within a kind."""
    from keydeck.engine.events import _FIELDS

    for kind, forms in _FIELDS.items():
        names = [name for _, name, _, _ in forms]
        assert len(names) == len(set(names)), kind
        assert not {"e", "t", "w", "s"} & set(names), kind
    assert all("extra" in kind._field_defaults for kind in KINDS.values())
