"""One key as facts: right for every state, masked where names are, and never wider than its box."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import NOW, a_key, a_login, a_reader, benched, write_store
from keydeck.present.detail import fact_lines, identity, situation
from keydeck.present.glyphs import UNICODE
from keydeck.present.rows import Context, key_rows
from keydeck.present.spans import Span, line_width, plain
from keydeck.present.text import clean

SECRET = "sk-planted-0123456789abcdef"
WITHOUT_END = "found in the file (hermes), without an end: {} rests {}"


def facts(
    home: Path, row: Any, *others: dict[str, Any], now: float = NOW, masked: bool = False, **env: Any
) -> dict[str, str]:
    """Return all facts of the first row of a pool, by name; the bar goes by ``bar``."""
    provider = row.pop("provider", "openrouter") if isinstance(row, dict) else "openrouter"
    write_store(home, {provider: [row, *others]})
    snapshot = a_reader(home, **env).read()
    context = Context(UNICODE, snapshot.scrubber, masked)
    pool = snapshot.pool(provider)
    assert pool is not None
    wanted = row.get("id", "") if isinstance(row, dict) else ""
    state = pool.at(now)
    shown = next((one for one in key_rows(pool, state, NOW, context) if one.id == wanted), None)
    shown = shown or key_rows(pool, state, NOW, context)[0]
    found = next(one for one in state.rows if one.id == shown.id)
    both = [*situation(pool, found, shown, now, context), *identity(pool, found, context)]
    return {name or "bar": plain(value) for name, value in both}


def test_a_ready_key(home: Path) -> None:
    """What it is and where it stands; nothing to do."""
    assert facts(home, a_key("aaa001", "one", request_count=1288), a_key("aaa002", priority=1)) == {
        "state": "● ready",
        "id": "aaa001",
        "type": "API key",
        "source": "manual",
        "place": "1 of 2",
        "base url": "https://openrouter.ai/api/v1",
        "key": facts(home, a_key("aaa001"))["key"],
        "requests": "1,288, rank 1 of 2",
    }
    assert facts(home, a_key("aaa001"))["key"].startswith("stored here, fingerprint ")


def test_a_key_behind_another(home: Path) -> None:
    """It has its place; requests tie in rank."""
    found = facts(home, a_key("aaa002", priority=1), a_key("aaa001", priority=0))
    assert found["place"] == "2 of 2"
    assert found["requests"] == "0, rank 1 of 2"


def test_a_cooling_key(home: Path) -> None:
    """Why, since when, until when with the time left, and on what evidence."""
    row = a_key("aaa001", **benched(429, ago=600, until=NOW + 840, last_error_message="slow down"))
    found = facts(home, row)
    assert found["state"] == "◐ cooling"
    assert found["why"] == "429 rate limit: slow down"
    assert found["since"] == "13:52:11 (10m00s ago)"
    assert found["free again"] == "14:16:11, in 14m00s"
    assert "━" in found["bar"] and "14m00s 429" in found["bar"]
    assert found["evidence"] == "found in the file (hermes)"
    assert found["do"] == "wait, or press r once the provider has lifted it"


def test_a_bench_without_an_end_says_what_it_was_taken_for(home: Path) -> None:
    """Where the file names no end the evidence is the code and how long that rests."""
    assert facts(home, a_key("aaa001", **benched(401)))["evidence"] == WITHOUT_END.format(401, "5m00s")
    nothing = facts(home, a_key("aaa001", **benched(None)))
    assert nothing["evidence"] == WITHOUT_END.format("a failure", "1h00m")


def test_a_dead_key(home: Path) -> None:
    """There is no countdown: what helps is another key, or for a login to log in again."""
    dead: dict[str, Any] = {"last_status": "dead", "last_status_at": NOW - 60, "last_error_code": 401}
    found = facts(home, a_key("aaa001", **dead))
    assert found["state"] == "▲ log in again"
    assert found["why"] == "401 key refused"
    assert found["since"] == "14:01:11 (1m00s ago)"
    assert "free again" not in found
    assert found["evidence"] == "found in the file (hermes)"
    assert "press a for a new key" in found["do"]
    login = facts(home, a_login("log001", **dead) | {"provider": "anthropic"})
    assert login["type"] == "oauth login"
    assert "hermes auth add anthropic" in login["do"]


def test_a_key_without_its_secret(home: Path) -> None:
    """The variable is named, the key is not here, and the advice is to set it or to remove the row."""
    found = facts(home, a_key("aaa001", source="env:MY_KEY", access_token=...))
    assert found["state"] == "○ no secret: MY_KEY unset"
    assert found["key"] == "not here"
    assert found["source"] == "env:MY_KEY"
    assert "set the variable" in found["do"]


def test_a_key_of_the_environment_is_used_where_it_is(home: Path) -> None:
    """Its secret is not in the store, and that is said."""
    row = a_key("aaa001", source="env:OPENROUTER_API_KEY", access_token=...)
    assert "used where it is, not stored" in facts(home, row, OPENROUTER_API_KEY="sk-or-0123456789")["key"]


def test_a_token_says_when_it_ends(home: Path) -> None:
    """A login's token has its end and the time left, and after it since when it is over."""
    row = a_login("log001", expires_at_ms=(NOW + 250) * 1000)
    assert facts(home, dict(row))["token"] == "ends 14:06:21, in 4m10s"
    over = facts(home, dict(row), now=NOW + 300)
    assert over["token"] == "ended 14:06:21 (50s ago)"
    assert over["state"] == "○ token ended, hermes renews it"


def test_a_bad_row(home: Path) -> None:
    """Only what can be said of it: id, pool, why it cannot be read, and that it is to be mended by hand."""
    found = facts(home, a_key("aaa001", priority="first"))
    assert found["state"].startswith("? ")
    assert "priority" in found["state"]
    assert "by hand" in found["do"]
    assert (found["id"], found["pool"]) == ("aaa001", "openrouter")
    assert "key" not in found


def test_a_row_that_is_no_object(home: Path) -> None:
    """Even a string among the rows has its facts."""
    found = facts(home, "no object")
    assert found["state"].startswith("? ")
    assert "do" in found


def test_nothing_of_a_masked_key_is_told(home: Path) -> None:
    """With names masked there is no address, no variable and no sentence of the provider."""
    row = a_key(
        "aaa001",
        "boss@corp.com",
        base_url="https://boss.example/v1",
        **benched(429, last_error_message="limit of boss@corp.com"),
    )
    said = "\n".join(facts(home, dict(row), masked=True).values())
    assert "boss" not in said.lower()
    assert "429" in said
    shown = facts(home, dict(row))
    assert "boss" in shown["base url"] and "boss" in shown["why"]
    unset = a_key("aaa001", "boss@corp.com", source="env:BOSS_KEY", access_token=...)
    assert "boss" not in "\n".join(facts(home, unset, masked=True).values()).lower()


def test_no_fact_holds_a_secret(home: Path) -> None:
    """A secret in a label, an address, an id or a message is taken out of every fact."""
    row = a_key(
        f"id-{SECRET}",
        f"mine {SECRET}",
        access_token=SECRET,
        auth_type=f"x{SECRET}",
        base_url=f"https://x.example/?key={SECRET}",
        **benched(429, last_error_message=f"{SECRET} is limited"),
    )
    said = "\n".join(facts(home, row).values())
    assert SECRET[3:] not in said
    assert "***" in said


@pytest.mark.parametrize("hostile", ["\x1b[31mred", "a\nb\tc", "\u202eevil\u2066", "[/x][bold]", "x" * 300])
def test_hostile_text_is_inert(home: Path, hostile: str) -> None:
    """Nothing of the store steers a terminal, whichever field it stands in."""
    row = a_key(
        f"id{hostile}",
        hostile,
        auth_type=hostile,
        source=f"manual:{hostile}",
        base_url=hostile,
        **benched(429, last_error_message=hostile),
    )
    for value in facts(home, row).values():
        assert value.isprintable()
        assert clean(value) == " ".join(value.split())


_VALUES = st.lists(st.text(max_size=200).map(lambda text: Span(clean(text))), min_size=1, max_size=3).map(
    tuple
)


@given(st.lists(st.tuples(st.sampled_from(("", "id", "base url")), _VALUES), max_size=6), st.integers(20, 90))
def test_long_facts_take_several_lines(written: list[tuple[str, tuple[Span, ...]]], cells: int) -> None:
    """No line is wider than the box, no text is lost, and each fact starts with its name."""
    lines = fact_lines(written, cells)
    assert all(line_width(line) <= cells for line in lines)
    assert [line[0].text.strip() for line in lines if line[0].text.strip()] == [
        name for name, _ in written if name
    ]
    squeezed = "".join("".join(plain(line[1:]) for line in lines).split())
    assert squeezed == "".join("".join(plain(value) for _, value in written).split())
