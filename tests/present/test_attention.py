from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes import NOW, a_key, a_login, a_reader, benched, happened, keys, write_store
from keydeck.engine.events import Failed, Probed
from keydeck.engine.snapshot import HomeSnapshot
from keydeck.live.problems import Problem, ProblemKind, problems
from keydeck.present.attention import attention_lines
from keydeck.present.glyphs import ASCII, UNICODE, Glyphs
from keydeck.present.panes import pane_views, title
from keydeck.present.rows import Context
from keydeck.present.spans import Line, Role, line_width, plain

SECRET = "planted0123456789abcdefghijklmnopqrstuvwxyz"
DEAD: dict[str, Any] = {"last_status": "dead", "last_status_at": NOW - 600, "last_error_code": 401}
OUT: dict[str, Any] = benched(429, ago=89, until=NOW + 3511)
ENDING = (NOW + 250) * 1000
CHAIN = "fallback_providers: [{provider: openrouter, model: m}]\n"


def look(home: Path, pools: dict[str, Any], config: str = CHAIN) -> HomeSnapshot:
    write_store(home, pools)
    (home / "config.yaml").write_text(config)
    return a_reader(home).read()


def listed(
    snapshot: HomeSnapshot,
    cells: int = 100,
    *,
    glyphs: Glyphs = UNICODE,
    masked: bool = False,
    now: float = NOW,
) -> list[str]:
    """Return the text of the list."""
    context = Context(glyphs, snapshot.scrubber, masked)
    return [
        plain(line).rstrip()
        for line in attention_lines(problems(snapshot, now), snapshot, now, cells, context)
    ]


def everything(home: Path) -> HomeSnapshot:
    """Return a home with every problem but those of the whole store."""
    pools = {
        "openai-codex": [a_login("aaa001", "codex-login", **OUT)],
        "anthropic": [
            a_key("bbb001", "burst-key"),
            a_login("bbb002", "old-laptop", **DEAD),
            a_login("bbb003", "device", refresh_token=..., expires_at_ms=ENDING),
        ],
        "openrouter": [
            *keys("ccc001"),
            a_key("ccc002", "OLD_KEY", source="env:OLD_KEY", access_token=...),
            a_key("ccc003", "half-written", priority="1"),
            a_key("ccc004", "twin", access_token="sk-test-ccc001-secret"),
            a_key("ccc005", "far-twin", access_token="sk-test-bbb001-secret"),
        ],
        "zai": [
            a_key("ddd001", access_token="sk-4-0123", **benched()),
            a_key("ddd002", access_token="sk-5-0123", **benched(402)),
        ],
        "gemini": [a_login("eee001", access_token="oauth-6", expires_at_ms=1000)],
        "xai": "no list",
    }
    return look(home, pools)


# --- what is said ------------------------------------------------------------------------------------------


def test_what_each_line_says(home: Path) -> None:
    """Sign, pool or key, and what is wrong with it, in the order of urgency."""
    assert listed(everything(home)) == [
        "! xai  cannot be shown: its value is a JSON string where a list of rows should be",
        "! openai-codex  no key ready, 429, back in 58m31s → openrouter serves",
        "! anthropic / old-laptop  log in again",
        "! zai  no key ready, back in 59m00s → openrouter serves",
        "! zai  together: look at the provider, not the keys",
        "  anthropic / device  token ends in 4m10s",
        "  openrouter / OLD_KEY  no secret: OLD_KEY unset",
        "  openrouter / twin  same key as key-ccc001",
        "  openrouter / far-twin  same key as anthropic / burst-key",
        "  openrouter / half-written  bad row: its priority is not a number",
        "  gemini  token ended, hermes renews it → openrouter serves",
    ]


def test_what_each_line_says_while_names_are_masked(home: Path) -> None:
    """Keys go by their places; no variable is named."""
    assert listed(everything(home), masked=True)[2:10] == [
        "! anthropic / key 2  log in again",
        "! zai  no key ready, back in 59m00s → openrouter serves",
        "! zai  together: look at the provider, not the keys",
        "  anthropic / key 3  token ends in 4m10s",
        "  openrouter / key 2  no secret",
        "  openrouter / key 3  same key as key 1",
        "  openrouter / key 4  same key as anthropic / key 1",
        "  openrouter / key 5  bad row: its priority is not a number",
    ]


def test_every_kind_of_problem_has_a_line(home: Path) -> None:
    """Also one that the snapshot knows nothing of any more: nobody is named for it but the key."""
    snapshot = look(home, {"openrouter": keys("aaa001")})
    for kind in ProblemKind:
        for masked, name in ((False, "gone / gone01"), (True, "gone / key")):
            found = [Problem(rank=1, kind=kind, provider="gone", row_id="gone01")]
            (line,) = attention_lines(found, snapshot, NOW, 80, Context(UNICODE, snapshot.scrubber, masked))
            assert line_width(line) == 80
            assert plain(line).startswith("! ")
            assert name in plain(line) or kind in HOMES
            assert len(plain(line).split()) > 2


HOMES = {ProblemKind.NOTHING_SERVES, ProblemKind.STORE, ProblemKind.CONFIG}
"""Kinds of problem that are nobody's pool."""


@pytest.mark.parametrize(
    ("cells", "line"),
    [
        (70, "! openai-codex  no key ready, 429, back in 58m31s → openrouter serves"),
        (69, "! openai-codex  no key ready, 429, back in 58m31s → openrouter serves"),
        (68, "! openai-codex  no key ready, 429, back in 58m31s → openrouter"),
        (60, "! openai-codex  429, back in 58m31s → openrouter"),
        (40, "! openai-codex  back in 58m31s"),
        (25, "! openai…  back in 58m31s"),
    ],
)
def test_a_pool_that_is_out_says_less_in_less_room(home: Path, cells: int, line: str) -> None:
    """When it is back stays longest."""
    snapshot = look(home, {"openai-codex": [a_login(**OUT)], "openrouter": keys("ccc001")})
    assert listed(snapshot, cells) == [line]


def tried(home: Path, *others: dict[str, Any]) -> HomeSnapshot:
    """Return a home whose first key has just cooled, and a request tries it since then."""
    write_store(home, {"zai": [a_key("aaa001"), *others]})
    (home / "config.yaml").write_text("")
    cooled = Failed(ids=("aaa001",), provider="zai", code=429, until=NOW - 20)
    happened(home, (90, cooled), (6, Probed(ids=("aaa001",), provider="zai", by="w-1")))
    return a_reader(home).read()


def test_a_key_that_is_being_tried_may_be_back_at_any_moment(home: Path) -> None:
    """The time is the last one for it, and the one that the pool's line has."""
    snapshot = tried(home, a_key("aaa002", priority=1, **OUT))
    assert listed(snapshot) == [
        "! nothing can serve  zai is being tried",
        "! zai  no key ready, 429, being tried, back in 54s at most",
    ]
    assert listed(snapshot, 40)[1] == "! zai  being tried"
    (pane,) = pane_views(snapshot, NOW, Context(UNICODE, snapshot.scrubber))
    assert plain(title(pane, NOW, UNICODE)) == "zai  0/2 ready until 14:03:05, then 1  1 probing"


def test_what_the_list_calls_back_is_a_step_of_the_pools_line(home: Path) -> None:
    """A login whose token ends while it cools is not back with its cooldown, unless hermes renews it."""
    cooling = {"expires_at_ms": (NOW + 60) * 1000, **OUT}
    snapshot = look(home, {"zai": [a_login(refresh_token=..., **cooling)]}, "")
    assert listed(snapshot)[1] == "! zai  no key ready, 429"
    snapshot = look(home, {"zai": [a_login(**cooling)]}, "")
    assert listed(snapshot)[1] == "! zai  no key ready, 429, back in 58m31s"
    (pane,) = pane_views(snapshot, NOW, Context(UNICODE, snapshot.scrubber))
    assert plain(title(pane, NOW, UNICODE)).startswith("zai  0/1 ready until 15:00:42, then 1")


def test_the_wait_is_counted_down(home: Path) -> None:
    """From the same snapshot, at another moment."""
    snapshot = look(home, {"openai-codex": [a_login(**OUT)], "openrouter": keys("ccc001")})
    assert "back in 31s" in listed(snapshot, now=NOW + 3480)[0]
    assert listed(look(home, {"zai": [a_key(**OUT)]}), now=NOW + 3511) == ["nothing: every pool can serve"]


def test_when_nothing_can_serve(home: Path) -> None:
    """The pool that is back first; where waiting helps nobody, what does."""
    snapshot = look(home, {"openai-codex": [a_login(**OUT)], "zai": [a_key(**DEAD)]})
    assert listed(snapshot)[:2] == [
        "! nothing can serve  next openai-codex in 58m31s",
        "! openai-codex  no key ready, 429, back in 58m31s",
    ]
    assert listed(look(home, {"zai": [a_key(**DEAD)]})) == [
        "! nothing can serve  log in again or press a to add a key",
        "! zai  no key ready",
        "! zai / key-aaa001  log in again",
    ]


def test_when_nothing_needs_attention(home: Path) -> None:
    """One quiet line; a home without pools does not boast."""
    snapshot = look(home, {"openrouter": keys("ccc001")})
    (line,) = attention_lines((), snapshot, NOW, 60, Context(UNICODE, snapshot.scrubber))
    assert plain(line) == f"{'nothing: every pool can serve':60}"
    assert line[0].role is Role.MUTED
    assert listed(look(home, {})) == ["nothing: there is no pool yet"]


def test_trouble_with_the_files(home: Path) -> None:
    """What is wrong with them, and how old the rows are."""
    write_store(home, {"openrouter": keys("aaa001")})
    reader = a_reader(home)
    reader.read()
    (home / "auth.json").write_text('{\n"a": [}')
    (home / "config.yaml").write_text("a: [")
    snapshot = reader.read()
    store, config = listed(snapshot, 120)
    assert store == "! auth.json  not valid JSON (line 2), shown as of 14:02:11"
    assert config.startswith("  config.yaml  line ")
    assert listed(snapshot, 50)[0] == "! auth.json  not valid JSON (line 2)"


def test_the_sign_says_how_alarming_it_is(home: Path) -> None:
    """What time heals is less so; the third rank has none."""
    snapshot = everything(home)
    lines = attention_lines(problems(snapshot, NOW), snapshot, NOW, 100, Context(UNICODE, snapshot.scrubber))
    roles = [line[0].role if line[0].text.strip() else None for line in lines]
    assert roles == [Role.DEAD, Role.COOLING, Role.DEAD, Role.COOLING, Role.COOLING, *[None] * 6]
    dead = look(home, {"zai": [a_key(**DEAD)], "openrouter": keys("ccc001")})
    lines = attention_lines(problems(dead, NOW), dead, NOW, 100, Context(UNICODE, dead.scrubber))
    assert [line[0].role for line in lines] == [Role.DEAD, Role.DEAD]


# --- widths, signs, secrets ---------------------------------------------------------------------------------


def inert(line: Line) -> bool:
    return plain(line).isprintable()


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("masked", [False, True])
def test_every_line_is_exactly_as_wide_as_the_bar(home: Path, glyphs: Glyphs, masked: bool) -> None:
    """At each width from 1 to 200 cells."""
    snapshot = everything(home)
    found = problems(snapshot, NOW)
    assert len(found) == 11
    for cells in range(1, 201):
        for some in (found, ()):
            lines = attention_lines(some, snapshot, NOW, cells, Context(glyphs, snapshot.scrubber, masked))
            assert len(lines) == max(len(some), 1)
            assert {line_width(line) for line in lines} == {cells}
            assert all(map(inert, lines))
            assert glyphs is UNICODE or all(plain(line).isascii() for line in lines)


@pytest.mark.parametrize(
    "text", [SECRET, f"my {SECRET}", "\u200b".join(SECRET), f"{SECRET[:20]}\x1b[0m{SECRET[20:]}"]
)
def test_a_secret_in_any_name_is_never_drawn(home: Path, text: str) -> None:
    """In labels, ids, sources and pool names, which are in lower case; whole or in part."""
    pools = {
        "openrouter": [
            a_key("aaa001", text, access_token=SECRET, **DEAD, last_error_message=text),
            a_key(text, "", access_token=SECRET),
            a_key("bbb002", text, access_token=..., source=f"env:{text}"),
            a_key("ccc003", text, priority="1"),
        ],
        text: [a_key("ddd004", text, **OUT), "no object"],
        f"{text}x": "no list",
    }
    snapshot = look(home, pools)
    lines = listed(snapshot, 400)
    assert len(lines) > 5
    assert any("***" in line for line in lines)
    assert not [line for line in lines if SECRET[:9] in line]


@pytest.mark.parametrize("moment", [math.nan, math.inf, -math.inf, 1e300, -1e300, NOW - 1])
@pytest.mark.parametrize("kind", [ProblemKind.NOTHING_SERVES, ProblemKind.POOL_OUT, ProblemKind.TOKEN_ENDS])
def test_a_wait_that_nobody_can_believe_is_not_told(home: Path, kind: ProblemKind, moment: float) -> None:
    """The line says what it can say without."""
    snapshot = look(home, {"openrouter": keys("ccc001")})
    found = [Problem(rank=2, kind=kind, provider="openrouter", row_id=None, until=moment)]
    (line,) = attention_lines(found, snapshot, NOW, 80, Context(UNICODE, snapshot.scrubber))
    assert not [said for said in ("back in", "next", "ends in") if said in plain(line)]
    assert len(plain(line).split()) > 3
    (line,) = attention_lines(
        [replace(found[0], until=NOW + 9)], snapshot, NOW, 80, Context(UNICODE, snapshot.scrubber)
    )
    assert "in 9s" in plain(line)


@given(
    st.lists(
        st.builds(
            Problem,
            rank=st.integers(1, 3),
            kind=st.sampled_from(ProblemKind),
            provider=st.sampled_from(["openrouter", "gone"]) | st.text(max_size=9),
            row_id=st.sampled_from([None, "ccc001", "ccc003", "gone"]),
            since=st.none() | st.floats(),
            until=st.none() | st.floats(),
            code=st.none() | st.integers(0, 10**30),
            other=st.sampled_from([None, "anthropic", "gone"]),
            other_row=st.sampled_from([None, "bbb001", "gone"]),
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 130),
    st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_any_problems_at_any_width(
    shared: HomeSnapshot, found: list[Problem], cells: int, masked: bool
) -> None:
    """Also such as do not belong to the snapshot, with impossible times."""
    lines = attention_lines(found, shared, NOW, cells, Context(UNICODE, shared.scrubber, masked))
    assert [line_width(line) for line in lines] == [cells] * len(found)
    assert all(map(inert, lines))


@pytest.fixture
def shared(home: Path) -> HomeSnapshot:
    return everything(home)
