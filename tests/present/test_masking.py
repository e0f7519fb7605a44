"""Names and messages are hidden on demand, secrets always."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes import NOW, a_key, a_login, a_reader, benched, write_store
from keydeck.engine.snapshot import HomeSnapshot
from keydeck.present.card import card_lines
from keydeck.present.glyphs import UNICODE
from keydeck.present.listing import list_lines, listing
from keydeck.present.panes import pane_views
from keydeck.present.rows import Context, columns, longest_label, row_line, without_names
from keydeck.present.spans import plain

SECRET = "Planted0123456789abcdefghijklmnopqrstuvwxyz"


def everything_drawn(snapshot: HomeSnapshot, *, masked: bool) -> Iterator[str]:
    """Yield all text of rows and cards at a width where every column is there."""
    context = Context(UNICODE, snapshot.scrubber, masked)
    panes = {pane.provider: pane for pane in pane_views(snapshot, NOW, context)}
    for pool in snapshot.pools:
        pane = panes[pool.provider]
        at = columns(400, longest_label(pane.rows))
        for row in pane.rows:
            yield plain(row_line(row, at, NOW, UNICODE))
            yield from map(plain, card_lines(pool, pool.at(NOW), row, NOW, 400, context))


def test_masking_hides_names_messages_and_addresses(home: Path) -> None:
    """Rows go by their place; nothing of a label, a sentence or an address is drawn."""
    write_store(
        home,
        {
            "openrouter": [
                a_key("aaa001", "ann@corp.example", base_url="https://ann.example/v1"),
                a_key(
                    "bbb002",
                    "bob@corp.example",
                    **benched(
                        429,
                        last_error_message="account ann@corp.example is limited",
                        last_error_reason="bob-limit",
                    ),
                ),
                a_key(
                    "ccc003", "carl@corp.example", last_status="dead", last_error_message="carl was revoked"
                ),
                a_key("ddd004", "dora@corp.example", access_token="sk-test-aaa001-secret"),
                a_key("eee005", "eve@corp.example", priority="1"),
                a_login("fff006", "finn@corp.example", source="env:FINN_TOKEN", access_token=...),
            ]
        },
    )
    snapshot = a_reader(home).read()
    masked = "\n".join(everything_drawn(snapshot, masked=True)).lower()
    for name in ("ann", "bob", "carl", "dora", "eve@", "finn@", "corp", "example"):
        assert name not in masked
    for place in range(1, 7):
        assert f"key {place}" in masked
    assert "same key as key 1" in masked
    assert "429 rate limit" in masked
    shown = "\n".join(everything_drawn(snapshot, masked=False))
    assert "ann@corp.example is limited" in shown
    assert "same key as ann@corp.example" in shown


AWKWARD = {
    "alone": "{key}",
    "in a sentence": "Incorrect API key provided: {key}. Try again.",
    "at the start of a long one": "{key}" + "x" * 25_000,
    "across the cut of the detail": "word " * 78 + "{key}" + " word" * 5_000,
    "across two thousand": "x" * (2000 - 20) + "{key}" + "y" * 25_000,
    "across four thousand": "x" * (4000 - 20) + "{key}" + "y" * 25_000,
    "across twenty thousand": " " * (20_000 - 50) + "{key}" + " y" * 5_000,
    "across any cut, after blanks": " \n" * 9_970 + "{key}" + "y" * 9_000,
    "over and over": "{key}" * 600,
    "over and over, apart": "{key} " * 600,
    "at the end of a long one": "x" * 25_000 + "{key}",
    "with a sequence inside that is not drawn": "{split}",
    "broken up by signs that are not drawn": "{broken}",
    "in a URL": "GET https://host/v1?key={key}&x=1 failed",
    "in a header": "Authorization: Bearer {key}",
}


@pytest.mark.parametrize("message", AWKWARD.values(), ids=AWKWARD)
@pytest.mark.parametrize("status", ["exhausted", "dead"])
def test_a_secret_in_a_message_is_never_drawn(home: Path, message: str, status: str) -> None:
    """Not whole, and not its head: wherever it stands in a message of any length."""
    text = message.format(
        key=SECRET, broken="\u200b".join(SECRET), split=f"{SECRET[:20]}\x1b[0m{SECRET[20:]}"
    )
    write_store(
        home,
        {
            "openrouter": [
                a_key(
                    "aaa001",
                    access_token=SECRET,
                    **benched(401, last_error_message=text, last_error_reason=text),
                ),
                a_key("bbb002"),
            ]
        },
    )
    rows = json.loads((home / "auth.json").read_text())
    rows["credential_pool"]["openrouter"][0]["last_status"] = status
    (home / "auth.json").write_text(json.dumps(rows))
    snapshot = a_reader(home).read()
    drawn = [*everything_drawn(snapshot, masked=False), *list_lines(snapshot, NOW)]
    assert len(drawn) > 10
    assert not [line for line in drawn if SECRET[:9] in line]
    assert SECRET not in json.dumps(listing(snapshot, NOW))


@pytest.mark.parametrize(
    "label",
    [SECRET, f"my {SECRET}", "\u200b".join(SECRET), f"{SECRET[:20]}\x1b[0m{SECRET[20:]}", f"\n{SECRET}\n"],
)
def test_a_secret_in_a_label_is_never_drawn(home: Path, label: str) -> None:
    """Somebody pasted the key into the wrong field."""
    write_store(home, {"openrouter": [a_key("aaa001", label, access_token=SECRET)]})
    snapshot = a_reader(home).read()
    drawn = [*everything_drawn(snapshot, masked=False), *list_lines(snapshot, NOW)]
    assert any("***" in line for line in drawn)
    assert not [line for line in drawn if SECRET[:9] in line]
    assert SECRET not in json.dumps(listing(snapshot, NOW))


def test_a_secret_in_an_address_is_never_drawn(home: Path) -> None:
    """A key in the query, or a password in the host part."""
    write_store(
        home,
        {
            "openrouter": [
                a_key("aaa001", access_token=SECRET, base_url=f"https://h/v1?key={SECRET}"),
                a_key("bbb002", base_url="https://u:hunter2222@h/"),
            ]
        },
    )
    snapshot = a_reader(home).read()
    drawn = "\n".join(
        [
            *everything_drawn(snapshot, masked=False),
            *list_lines(snapshot, NOW),
            json.dumps(listing(snapshot, NOW)),
        ]
    )
    assert SECRET not in drawn
    assert "hunter2222" not in drawn
    assert "https://h/v1?key=***" in drawn


def test_a_long_message_is_drawn_in_good_time(home: Path) -> None:
    """A thousand rows that each hold a long message that looks like tokens are drawn without a stall."""
    hostile = "eyJaaaaaaaa-" * 8_000
    write_store(
        home,
        {
            "openrouter": [
                a_key(f"r{n:05}", access_token=f"sk-{n:05}-x", **benched(429, last_error_message=hostile))
                for n in range(3)
            ]
        },
    )
    snapshot = a_reader(home).read()
    assert len(list_lines(snapshot, NOW)) == 5


def test_a_sentence_told_while_masked_holds_no_name(home: Path) -> None:
    """Labels and variables of the store are replaced; ids and the rest stay."""
    rows = [a_key("aaa001", "ana@example.com"), a_key("bbb002", "env row", source="env:ANAS_KEY")]
    write_store(home, {"openrouter": rows})
    snapshot = a_reader(home).read()
    told = "removed ana@example.com (aaa001) from openrouter. ANAS_KEY is still set in .env"
    assert without_names(told, snapshot) == "removed key (aaa001) from openrouter. key is still set in .env"


def test_a_name_inside_a_longer_word_is_no_name(home: Path) -> None:
    """A key called "old" does not make gaps in "cooldowns"; beside a sign, and where words have no spaces, it is hidden."""
    write_store(home, {"openrouter": [a_key("aaa001", "old"), a_key("bbb002", "東京鍵")]})
    told = "the other cooldowns hold: old, (old) and 予備東京鍵"
    assert without_names(told, a_reader(home).read()) == "the other cooldowns hold: key, (key) and 予備key"
