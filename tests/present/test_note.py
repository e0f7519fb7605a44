"""What leaves the machine holds no names: the note for an incident channel, and the program's account of itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import keydeck
from fakes import NOW, a_key, a_login, a_reader, benched, keys, write_store
from keydeck.engine.errors import KeydeckError, LockBusy, StoreReadOnly, StoreUnreadable
from keydeck.engine.snapshot import HomeSnapshot
from keydeck.present.listing import list_lines
from keydeck.present.note import MOST_POOLS, MOST_ROWS, Surface, diagnostics, note

HEAD = f"**Credential pools**, 2026-11-08 14:02:11 UTC+00:00, keydeck {keydeck.__version__}"
SURFACE = Surface("8.2.8", (120, 40), "truecolor", "xterm-256color", "live", read_only=False)


def noted(home: Path) -> list[str]:
    """Return the note's lines for a home."""
    return note(a_reader(home).read(), NOW).splitlines()


def inline_tokens(text: str) -> set[str]:
    """Return what a Markdown reader makes of a text, block by block and word by word."""
    tokens = MarkdownIt("commonmark").parse(text)
    return {item.type for token in tokens for item in (token, *(token.children or []))}


# What a note is made of; a link, a picture, raw HTML or a heading is not among it.
OWN_TOKENS = {
    *("paragraph_open", "paragraph_close", "inline", "text", "softbreak", "code_inline"),
    *("strong_open", "strong_close", "bullet_list_open", "bullet_list_close"),
    *("list_item_open", "list_item_close"),
}


def test_a_note_says_what_is_out_and_why(home: Path) -> None:
    """A pool has a line, a key that is out has one with its reason and times, whole pools share one."""
    write_store(
        home,
        {
            "anthropic": [
                a_key("aaa001", request_count=9),
                a_key("bbb002", request_count=3),
                a_key("3f9a1c", **benched(429, ago=60, until=NOW + 2467)),
                a_key("ddd004", last_status="dead", last_status_at=NOW - 90_000, last_error_code=401),
                a_key("eee005", access_token=""),
            ],
            "openrouter": keys("abc001", "abc002"),
            "nous": [a_key("fff001", priority="1")],
        },
    )
    (home / "config.yaml").write_text("credential_pool_strategies: {anthropic: least_used}\n")
    until = "14:43:18 UTC+00:00 (41m07s left)"
    assert noted(home) == [
        HEAD,
        "",
        "- anthropic: 2 of 5 ready, least_used, next pick key 2",
        f"  - key 3 (id 3f9a1c): cooling, 429 rate limit, until {until}, since 14:01:11 UTC+00:00",
        "  - key 4 (id ddd004): log in again, 401 key refused, since 2026-11-07 13:02:11 UTC+00:00",
        "  - key 5 (id eee005): no secret",
        "- nous: 0 of 1 ready, fill_first, none comes back by itself",
        "  - key 1 (id fff001): bad row",
        "- all ready: openrouter (2)",
    ]


def test_an_empty_pool_says_when_it_is_back_and_who_serves_meanwhile(home: Path) -> None:
    """A pool without a ready key names its next return and the pool that requests fall to."""
    write_store(
        home,
        {"anthropic": keys("aaa001", **benched(429, until=NOW + 60)), "openrouter": keys("bbb001", "bbb002")},
    )
    (home / "config.yaml").write_text(
        "fallback_providers: [{provider: openrouter, model: m}]\n"
        "credential_pool_strategies: {openrouter: random}\n"
    )
    lines = noted(home)
    assert (
        "- anthropic: 0 of 1 ready, fill_first, next back 14:03:11 UTC+00:00 (1m00s left), "
        "1 ready then, requests fall to openrouter" in lines
    )


def test_where_chance_decides_no_key_is_named(home: Path) -> None:
    """Under random the next pick is any of those that are ready."""
    write_store(
        home, {"openrouter": [*keys("aaa001", "aaa002"), a_key("aaa003", **benched(402), priority=9)]}
    )
    (home / "config.yaml").write_text("credential_pool_strategies: {openrouter: random}\n")
    assert "- openrouter: 2 of 3 ready, random, next pick any of 2" in noted(home)


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("Asia/Kolkata", "until 19:33:11 UTC+05:30"),
        ("America/St_Johns", "until 10:33:11 UTC-03:30"),
        ("UTC", "until 14:03:11 UTC+00:00"),
        ("Pacific/Kiritimati", "until 04:03:11 UTC+14:00"),
    ],
)
def test_times_carry_their_offset(home: Path, monkeypatch: pytest.MonkeyPatch, zone: str, said: str) -> None:
    """Whoever reads a time elsewhere can tell which moment it is."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    write_store(home, {"openrouter": [a_key("aaa001", **benched(429, until=NOW + 60))]})
    assert said in "\n".join(noted(home))


def test_a_time_that_no_calendar_holds_is_some_day(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last second of the calendar, a zone east of it, is told without a crash."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    write_store(
        home, {"openrouter": [a_key("aaa001", **benched(429, until=253402300799, last_status_at=None))]}
    )
    assert "until some day" in "\n".join(noted(home))


TROUBLES: list[tuple[type[KeydeckError], str]] = [
    (StoreUnreadable, "cannot be read"),
    (StoreReadOnly, "cannot be written"),
]


@pytest.mark.parametrize(("kind", "said"), TROUBLES)
def test_trouble_is_told_in_words_of_our_own(
    home: Path, kind: type[StoreUnreadable | StoreReadOnly], said: str
) -> None:
    """A system's reason may name a user or a path: the kind of trouble is told, not the reason."""
    trouble = kind(home / "auth.json", "Permission denied; it belongs to boris")
    text = note(HomeSnapshot(a_reader(home).home, trouble=trouble, read_at=NOW - 180), NOW)
    assert f"- trouble: auth.json {said}; this shows the last good copy, 3m00s old\n" in text
    assert "boris" not in text and str(home) not in text


def test_a_held_lock_and_a_store_never_read_are_told(home: Path) -> None:
    """Before a first good read the note says that it shows nothing."""
    trouble = LockBusy(home / "auth.json", 4.0)
    text = note(HomeSnapshot(a_reader(home).home, trouble=trouble), NOW)
    assert "- trouble: auth.json is locked; this shows nothing\n- no pool\n" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"version": 1,\n "credential_pool": [}', "- trouble: auth.json is damaged in line 2; this shows"),
        ('{"version": 99, "credential_pool": {}}', "- trouble: auth.json was written by a newer version;"),
        ('{"version": 1, "credential_pool": {"boris@x.example": 7}}', "that cannot be shown: 1"),
        (None, "- there is no auth.json"),
    ],
)
def test_a_store_in_trouble_says_so(home: Path, content: str | None, said: str) -> None:
    """Damage, a newer version, a pool that is no list and a missing file each have their line."""
    home.mkdir()
    if content is not None:
        (home / "auth.json").write_text(content)
    text = "\n".join(noted(home))
    assert said in text and "boris@" not in text and str(home) not in text


def test_a_broken_config_is_told(home: Path) -> None:
    """Strategies that may be stale are announced as such."""
    write_store(home, {"openrouter": keys("aaa001")})
    (home / "config.yaml").write_text("a: [boris\n")
    assert "- trouble: config.yaml cannot be understood; strategies may be stale" in noted(home)


HOSTILE_NAMES = [
    "custom:<img src=https://evil.example/x.png>",
    "custom:[click](https://evil.example)",
    "custom:`</code><script>alert(1)</script>`",
    "custom:a\n\n# heading\n- item",
    "custom:rocket",
    "@everyone",
    "#1",
    "**bold**",
    "www.evil.example",
    "https://evil.example/",
    "custom:``` ```",
    "\x1b]52;c;ZXZpbA==\x07custom:",
    "a|b",
    "&lt;b&gt;",
    "\\",
    "`",
    "_x_",
    "custom:\u202eevil",
    "x" * 5000,
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("out", [True, False])
def test_a_pool_name_is_never_markup(home: Path, name: str, out: bool) -> None:
    """Links, HTML, headings, mentions, line breaks and escape sequences in a name are plain code in the note."""
    bench = benched(429) if out else {}
    write_store(home, {name: [a_key("aaa001", **bench)]})
    text = note(a_reader(home).read(), NOW)
    line = text.splitlines()[2]
    assert line.startswith(("- `", "- all ready: `")), line
    assert line.count("`") == 2
    assert len(text.splitlines()) == (4 if out else 3)
    assert all(char.isprintable() or char == "\n" for char in text)
    assert max(map(len, text.splitlines())) < 200
    assert "code_inline" in inline_tokens(text) <= OWN_TOKENS


def test_names_are_stripped_of_secrets_and_mails(home: Path) -> None:
    """A known key, one that looks like it, and a mail address are masked even in a pool's name."""
    write_store(
        home,
        {
            "custom:the-known-secret-value": [a_key("aaa001", access_token="the-known-secret-value")],
            "custom:sk-proj-abcdefghijklmnop": [a_key("aaa002", **benched(429))],
            "custom:boris.smith@corp.example/v1": [a_key("aaa003", **benched(429))],
            "custom:the-known\u200b-secret-value": [a_key("aaa004", **benched(429))],
            "custom:sk-proj-\u200babc-\u200bdefghi": [a_key("aaa005", **benched(429))],
        },
    )
    text = "\n".join(noted(home))
    assert text.count("`custom:***`") == 4 and "`custom:***/v1`" in text
    for gone in ("known", "abcdefghij", "defghi", "boris", "corp"):
        assert gone not in text


def test_an_unknown_strategy_is_not_quoted(home: Path) -> None:
    """What somebody wrote instead of a strategy could be anything."""
    write_store(home, {"openrouter": [a_key("aaa001", **benched(429))]})
    (home / "config.yaml").write_text("credential_pool_strategies: {openrouter: '<b>boris@corp'}\n")
    text = "\n".join(noted(home))
    assert "1 ready, unknown strategy," in text and "boris" not in text


@pytest.mark.parametrize("row_id", ["boris@corp.example", "<b>", "boris", "a" * 64, "sk-planted-key-000001"])
def test_an_id_of_another_shape_is_left_out(home: Path, row_id: str) -> None:
    """Only ids as hermes gives them are shown; others may be names."""
    write_store(home, {"openrouter": [a_key(row_id, **benched(429))]})
    text = "\n".join(noted(home))
    assert "  - key 1: cooling" in text and row_id not in text


def test_an_id_that_is_a_secret_is_left_out(home: Path) -> None:
    """An id that equals a key of the store is not shown, whatever its shape."""
    write_store(
        home, {"openrouter": [a_key("abc123", **benched(429)), a_key("abc124", access_token="abc123")]}
    )
    assert "abc123" not in "\n".join(noted(home))


def test_a_row_with_a_twins_id_and_a_variable_is_not_quoted(home: Path) -> None:
    """Neither the id that a bad row repeats nor the name of an unset variable is told, whatever it is called."""
    write_store(
        home,
        {
            "openrouter": [
                a_key("boris@corp.example"),
                a_key("boris@corp.example"),
                a_key("aaa003", source="env:token_of_boris", access_token=...),
            ]
        },
    )
    text = "\n".join(noted(home))
    assert "(id aaa003): no secret\n" in text and text.endswith(": bad row") and "boris" not in text


def test_a_token_that_hermes_renews_is_told_apart_from_a_missing_one(home: Path) -> None:
    """A login whose token has ended says since when."""
    login = a_login("aaa001", expires_at_ms=int((NOW - 60) * 1000))
    write_store(home, {"openai-codex": [login]})
    said = "key 1 (id aaa001): no secret, token ended, since 14:01:11 UTC+00:00"
    assert f"  - {said}" in noted(home)


def test_a_large_store_makes_a_short_note(home: Path) -> None:
    """Pools and rows beyond what fits a clipboard are counted, not listed; no state gets lost in the counts."""
    rows = [*(a_key(f"{n:06x}", **benched(429)) for n in range(50)), a_key("aaaaaa", access_token="")]
    pools: dict[str, Any] = {f"custom:pool-{n}": rows for n in range(100)}
    write_store(home, {**pools, **{f"custom:whole-{n}": keys("aaa001") for n in range(50)}})
    lines = noted(home)
    assert lines.count(f"  - and {51 - MOST_ROWS} more: {50 - MOST_ROWS} cooling, 1 no secret") == MOST_POOLS
    assert f"- {100 - MOST_POOLS} more pools have keys that are out" in lines
    assert lines[-1].endswith(" and 20 more")
    assert len("\n".join(lines)) < 60_000


def test_a_known_secret_among_the_notes_own_words_is_masked(home: Path) -> None:
    """Even a key that reads like a word of ours, or like a provider, does not stand in the note."""
    rows = [
        a_key("aaa001", access_token="cooling", **benched(429)),
        a_key("aaa002", access_token="openrouter"),
    ]
    write_store(home, {"openrouter": rows})
    text = "\n".join(noted(home))
    assert "- `***`: 1 of 2 ready" in text and "key 1 (id aaa001): ***, 429 rate limit" in text
    assert "cooling" not in text and "openrouter" not in text


# --- any store ---------------------------------------------------------------------------------------------

MARK = "Qz7planted"
"""Stands in everything that must not leave; no word of a note and no id holds it."""

HARMFUL = st.sampled_from(
    [
        "\n# ",
        "`",
        "```",
        "<b>",
        "[x](http://e.example)",
        "|",
        "\x1b[31m",
        "\u202e",
        "\u200b",
        "@here ",
        "*",
        "\\",
    ]
)
PLANTED = st.lists(st.one_of(HARMFUL, st.text(max_size=6), st.just(MARK)), max_size=5).map(
    lambda parts: "".join([*parts, MARK, "@corp.example", *parts])
)
JSON_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), PLANTED, st.lists(PLANTED, max_size=2)
)
ROW = st.fixed_dictionaries(
    {"label": PLANTED, "access_token": st.one_of(st.just(""), PLANTED)},
    optional={
        "id": st.one_of(PLANTED, st.from_regex(r"\A[0-9a-f]{6}\Z")),
        "source": st.one_of(
            st.just("manual"), PLANTED, PLANTED.map("env:".__add__), PLANTED.map("config:".__add__)
        ),
        "auth_type": st.one_of(st.just("oauth"), PLANTED),
        "priority": st.one_of(st.integers(0, 9), PLANTED),
        "base_url": PLANTED,
        "inference_base_url": PLANTED,
        "refresh_token": PLANTED,
        "last_status": st.one_of(st.sampled_from(["ok", "exhausted", "dead"]), PLANTED),
        "last_status_at": st.one_of(st.floats(NOW - 9e4, NOW), JSON_VALUES),
        "last_error_code": st.one_of(st.sampled_from([401, 402, 429, 500]), JSON_VALUES),
        "last_error_reason": PLANTED,
        "last_error_message": PLANTED,
        "last_error_reset_at": st.one_of(st.floats(NOW, NOW + 9e5), JSON_VALUES),
        "expires_at_ms": st.one_of(st.integers(0, 10**14), JSON_VALUES),
        "expires_at": PLANTED,
        "secret_source": PLANTED,
        "notes": PLANTED,
    },
)
NAMES = st.one_of(
    st.sampled_from(["anthropic", "openrouter", "openai-codex", "nous"]),
    st.lists(st.one_of(HARMFUL, st.text(max_size=8)), max_size=4).map(
        lambda parts: "custom:" + "".join(parts)
    ),
)
STORES = st.dictionaries(
    NAMES, st.lists(st.one_of(ROW, ROW, ROW, JSON_VALUES), min_size=1, max_size=4), max_size=4
)


@given(pools=STORES, strategy=PLANTED)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=120,
    deadline=None,
)
def test_no_store_gets_a_name_into_a_note(
    tmp_path_factory: pytest.TempPathFactory, pools: dict[str, Any], strategy: str
) -> None:
    """Whatever a store holds, no label, mail, sentence, address, variable or secret of it leaves, and no markup."""
    home = tmp_path_factory.mktemp("home")
    sure = [a_key("abc001", f"{MARK} label", **benched(429, last_error_message=f"{MARK} said"))]
    write_store(home, {"sure": sure, **pools}, **{MARK: MARK})
    (home / "config.yaml").write_text(f"credential_pool_strategies: {{sure: {strategy!a}}}\n", "utf-8")
    snapshot = a_reader(home, OPENROUTER_API_KEY=MARK + "-value").read()
    assert MARK in "\n".join(list_lines(snapshot, NOW)), "the store holds what must not leave"
    for text in (note(snapshot, NOW), diagnostics(snapshot, NOW, SURFACE)):
        assert MARK.lower() not in text.lower().replace("*", "")
        assert "corp.example" not in text and str(home) not in text
        assert all(char.isprintable() or char == "\n" for char in text)
        assert inline_tokens(text) <= OWN_TOKENS
    lines = note(snapshot, NOW).splitlines()
    assert lines[:2] == [HEAD, ""] and len(lines) > 3
    assert all(line.startswith(("- ", "  - ")) for line in lines[2:])


# --- the program itself ------------------------------------------------------------------------------------


def test_diagnostics_name_program_terminal_and_counts(home: Path) -> None:
    """A report of a fault tells versions, terminal, how many pools and rows in which state, and modes."""
    write_store(home, {"openrouter": [*keys("aaa001", "aaa002"), a_key("aaa003", **benched(429))]})
    lines = diagnostics(a_reader(home).read(), NOW, SURFACE).splitlines()
    assert (
        lines[0].startswith(f"- keydeck {keydeck.__version__}, python 3.") and ", textual 8.2.8, " in lines[0]
    )
    assert lines[1:] == [
        "- terminal xterm-256color, 120x40, colours truecolor",
        "- pools 1, rows 3: 2 ready, 1 cooling",
        "- changes noticed: live; read-only: no",
    ]


@pytest.mark.parametrize(
    "terminal", ["", "x`y", "boris smith's", "\x1b[31m", "/home/boris", "<b>", "x" * 41, "a\n"]
)
def test_a_terminal_of_no_known_shape_is_unknown(home: Path, terminal: str) -> None:
    """TERM is the environment's text: what no terminal is called is not passed on."""
    surface = Surface("8.2.8", (80, 24), None, terminal, "polling", read_only=True)
    text = diagnostics(a_reader(home).read(), NOW, surface)
    assert "- terminal unknown, 80x24, colours none\n- pools 0, rows 0\n" in text
    assert "- changes noticed: polling; read-only: yes\n- there is no auth.json\n" in text
