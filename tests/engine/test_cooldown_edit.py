from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fakes import a_home, around, tree
from keydeck.engine.config import parse_config
from keydeck.engine.config_edit import Editor, parse_mapping
from keydeck.engine.cooldown_config import KINDS
from keydeck.engine.cooldown_edit import Entry, entry_of, entry_text, wait_text, with_entry, write_cooldown
from keydeck.engine.cooldown_policy import Change
from keydeck.engine.errors import ConfigBroken, ConfigReadOnly, Refused

PATH = Path("config.yaml")
HEAD = "credential_pool:\n  cooldown:\n"
FIVE = Change(wait_s=300)
E429 = entry_of("429")
GEMINI = entry_of("429", provider="google")
ROW = entry_of("429", row_id="012345")


def edited(text: str, entry: Entry, change: Change | None) -> str:
    return with_entry(text.encode(), entry, change, PATH).decode()


SET = {
    "nothing": ("", E429, FIVE, f"{HEAD}    429: 5m\n"),
    "other settings": ("a: b # c\n", E429, FIVE, f"a: b # c\n{HEAD}    429: 5m\n"),
    "provider": ("", GEMINI, FIVE, f"{HEAD}    providers:\n      gemini:\n        429: 5m\n"),
    "row": ("", ROW, FIVE, f"{HEAD}    keys:\n      '012345':\n        429: 5m\n"),
    "more than a wait": (
        "",
        E429,
        Change(wait_s=90, grows=1.5, cap_s=7200, sole_cap_s=60 * 60 * 24, terminal_after=3),
        f"{HEAD}    429: {{wait: 90s, grows: 1.5, cap: 2h, sole_cap: 1d, terminal_after: 3}}\n",
    ),
    "history beside it": (
        "credential_pool:\n  # kept\n  history: {mib: 8}\nb: 1\n",
        E429,
        FIVE,
        "credential_pool:\n  # kept\n  history: {mib: 8}\n  cooldown:\n    429: 5m\nb: 1\n",
    ),
    "empty section": (f"{HEAD}b: 1\n", E429, FIVE, f"{HEAD}    429: 5m\nb: 1\n"),
    "flow": (
        "credential_pool: {history: {mib: 8}} # c\n",
        GEMINI,
        FIVE,
        "credential_pool: {history: {mib: 8}, cooldown: {providers: {gemini: {429: 5m}}}} # c\n",
    ),
    "replaced": (f"{HEAD}    429: 90s  # why\n", E429, FIVE, f"{HEAD}    429: 5m  # why\n"),
    "quoted": (f"{HEAD}    '429': \"90s\"\n", E429, FIVE, f"{HEAD}    '429': \"5m\"\n"),
    "quoted, a number": (f"{HEAD}    429: '90'\n", E429, Change(wait_s=0), f"{HEAD}    429: 0\n"),
    "says so already": (f"{HEAD}    429: 300s # c\n", E429, FIVE, f"{HEAD}    429: 300s # c\n"),
    "word to mapping": (
        f"{HEAD}    429: 90s # c\n",
        E429,
        Change(wait_s=300, grows=2),
        f"{HEAD}    429: {{wait: 5m, grows: 2}} # c\n",
    ),
    "mapping, one field": (
        f"{HEAD}    429:\n      wait: 90s # w\n      # c\n      cap: 1h\n",
        E429,
        Change(wait_s=300, cap_s=3600),
        f"{HEAD}    429:\n      wait: 5m # w\n      # c\n      cap: 1h\n",
    ),
    "mapping, other fields": (
        f"{HEAD}    429:\n      wait: 90s # w\n      cap: 1h # c\n",
        E429,
        Change(wait_s=90, grows=2),
        f"{HEAD}    429:\n      wait: 90s # w\n      # c\n      grows: 2\n",
    ),
    "an alias of the provider": (
        f"{HEAD}    providers:\n      Google: {{rate-limit: 5s}}\n",
        entry_of("rate_limit", provider="gemini"),
        FIVE,
        f"{HEAD}    providers:\n      Google: {{rate-limit: 5m}}\n",
    ),
    "what made no sense": (f"{HEAD}    429: soon # c\n", E429, FIVE, f"{HEAD}    429: 5m # c\n"),
    "another row": (
        f"{HEAD}    keys:\n      aaa001:\n        429: 1m\n",
        entry_of("429", row_id="AAA001"),
        FIVE,
        f"{HEAD}    keys:\n      aaa001:\n        429: 1m\n      AAA001:\n        429: 5m\n",
    ),
    "crlf": ("a: b\r\n", E429, FIVE, "a: b\r\n" + f"{HEAD}    429: 5m\n".replace("\n", "\r\n")),
    "a list": (f"{HEAD}    429: [90s]\n", E429, FIVE, None),
    "an alias": ("x: &x {429: 1}\ncredential_pool:\n  cooldown: *x\n", E429, FIVE, None),
    "merged": ("x: &x {cooldown: {}}\ncredential_pool:\n  <<: *x\n", E429, FIVE, None),
    "no mapping": ("credential_pool: 3\n", E429, FIVE, None),
    "said twice": (
        f"{HEAD}    providers:\n      gemini: {{429: {{cap: 1h}}}}\n      google: {{429: 1m}}\n",
        GEMINI,
        FIVE,
        f"{HEAD}    providers:\n      gemini: {{429: {{cap: 1h}}}}\n      google: {{429: 5m}}\n",
    ),
    "broken": ("a: [\n", E429, FIVE, None),
}

TAKEN = {
    "nothing there": ("a: b\n", E429, "a: b\n"),
    "all of it": (f"a: b\n{HEAD}    429: 5m\n", E429, "a: b\n"),
    "the whole file": (f"{HEAD}    429: 5m\n", E429, ""),
    "one of two": (f"{HEAD}    429: 5m\n    billing: 1h # b\n", E429, f"{HEAD}    billing: 1h # b\n"),
    "the last of two": (f"{HEAD}    billing: 1h # b\n    429: 5m", E429, f"{HEAD}    billing: 1h # b\n"),
    "its remark stays": (
        f"{HEAD}    429: 5m  # why\n    billing: 1h\n",
        E429,
        f"{HEAD}    # why\n    billing: 1h\n",
    ),
    "remarks hold the section": (
        "credential_pool:\n  # ours\n  cooldown:\n    429: 5m # why\nb: 1\n",
        E429,
        "credential_pool:\n  # ours\n  cooldown:\n    # why\nb: 1\n",
    ),
    "as much as no remark holds": (
        "credential_pool: # ours\n  cooldown:\n    429: 5m\nb: 1\n",
        E429,
        "credential_pool: # ours\nb: 1\n",
    ),
    "a mapping with remarks": (
        f"{HEAD}    429:\n      wait: 5m # w\n      # c\n      cap: 1h\n    500: 1m\n",
        E429,
        f"{HEAD}    # w\n    # c\n    500: 1m\n",
    ),
    "of a provider": (
        f"{HEAD}    providers:\n      google:\n        429: 5m\n    500: 1m\n",
        GEMINI,
        f"{HEAD}    500: 1m\n",
    ),
    "of a row": (f"{HEAD}    keys: {{012345: {{429: 0}}, '1': {{429: 0}}}}\n", ROW, f"{HEAD}    keys: {{'1': {{429: 0}}}}\n"),
    "first in flow": ("credential_pool: {cooldown: {429: 5m, 500: 1m}}\n", E429, "credential_pool: {cooldown: {500: 1m}}\n"),
    "last in flow": ("credential_pool: {cooldown: {500: 1m, 429: 5m}}\n", E429, "credential_pool: {cooldown: {500: 1m}}\n"),
    "in the middle of flow": (
        "credential_pool: {cooldown: {500: 1m , 429: 5m , 503: 0}}\n",
        E429,
        "credential_pool: {cooldown: {500: 1m , 503: 0}}\n",
    ),
    "beside others in flow": ("credential_pool: {history: {mib: 8}, cooldown: {429: 5m}}\n", E429, "credential_pool: {history: {mib: 8}}\n"),
    "crlf": (f"{HEAD}    429: 5m\n    500: 1m\n".replace("\n", "\r\n"), E429, f"{HEAD}    500: 1m\n".replace("\n", "\r\n")),
    "literal before it": (f"a: |\n  x\n{HEAD}    429: 5m\n", E429, "a: |\n  x\n"),
    "written twice": (f"{HEAD}    429: 5m\n    429: 6m\n", E429, None),
    "two spellings": (f"{HEAD}    rate-limit: 5m\n    rate_limit: 6m\n", entry_of("rate_limit"), None),
    "shared": ("credential_pool:\n  cooldown:\n    429: &a 5m\n    500: *a\n", E429, None),
}  # fmt: skip


@pytest.mark.parametrize(("before", "entry", "change", "after"), SET.values(), ids=SET.keys())
def test_setting_changes_exactly_these_bytes(
    before: str, entry: Entry, change: Change, after: str | None
) -> None:
    """An entry is written where it belongs, in the form that is there, or refused with what to do by hand."""
    if after is None:
        with pytest.raises((Refused, ConfigBroken)) as caught:
            edited(before, entry, change)
        if isinstance(caught.value, Refused):
            assert str(caught.value).endswith("there by hand")
        return
    assert edited(before, entry, change) == after


@pytest.mark.parametrize(("before", "entry", "after"), TAKEN.values(), ids=TAKEN.keys())
def test_clearing_changes_exactly_these_bytes(before: str, entry: Entry, after: str | None) -> None:
    """An entry goes with what led to it alone; every remark stays, also those on its own lines."""
    if after is None:
        with pytest.raises(Refused, match=r"by hand$"):
            edited(before, entry, None)
    else:
        assert edited(before, entry, None) == after


# --- the property ------------------------------------------------------------------------------------------

WAITS = st.sampled_from([0.0, 0.5, 1.25, 45.0, 90.0, 300.0, 5400.0, 86400.0, 2_592_000.0])
CAPS = st.none() | st.sampled_from([2_592_000.0])
CHANGES = st.builds(
    Change,
    wait_s=WAITS,
    grows=st.none() | st.sampled_from([1.0, 1.5, 2.0, 100.0]),
    cap_s=CAPS,
    sole_cap_s=CAPS,
    terminal_after=st.none() | st.integers(0, 100),
    line=st.just(0),
)
NAMES = st.sampled_from(["429", "503", *KINDS])
ENTRIES = (
    st.builds(entry_of, NAMES)
    | st.builds(entry_of, NAMES, provider=st.sampled_from(["google", "zai", "custom:Lab Box"]))
    | st.builds(entry_of, NAMES, row_id=st.sampled_from(["aaa001", "012345", "1e3", "yes"]))
)


@st.composite
def commented_files(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Draw a config.yaml with remarks at line ends and on lines of their own."""
    entries = draw(st.lists(st.tuples(ENTRIES, CHANGES), max_size=5))
    text = draw(st.sampled_from(["", "a: b\n", "model: {provider: zai}\nlist:\n- a\n- b: c\n"]))
    for entry, change in entries:
        text = edited(text, entry, change)
    if draw(st.booleans()):
        document = parse_mapping(text.encode(), PATH)
        text = yaml.safe_dump(document, default_flow_style=draw(st.sampled_from([False, None])))
    lines, said = text.splitlines(), []
    for number in range(len(lines)):
        how = draw(st.sampled_from(["", "", "end", "above"]))
        remark = f"# r{number}: 429: 5m"
        if how:
            said.append(remark)
        if how == "end":
            lines[number] += f"  {remark}"
        elif how == "above":
            lines[number] = f"{' ' * draw(st.integers(0, 8))}{remark}\n{lines[number]}"
    return "".join(f"{line}\n" for line in lines), said


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(commented_files(), ENTRIES, st.none() | CHANGES)
def test_what_is_read_back_is_what_was_asked_for_and_all_else_stays(
    file: tuple[str, list[str]], entry: Entry, change: Change | None
) -> None:
    """In any commented file: the entry says what was asked, other entries, settings and every remark are as before."""
    text, said = file
    before = parse_config(text.encode(), {}, PATH)
    assume(before.cooldown_problems == ())
    after = edited(text, entry, change)
    policy = parse_config(after.encode(), {}, PATH).cooldown
    assert entry.change(policy) == change
    assert _meaning(entry.put(policy, None)) == _meaning(entry.put(before.cooldown, None))
    assert Editor(after, PATH).comments() == said == list(Editor(text, PATH).comments())
    others = [
        {k: v for k, v in parse_mapping(each.encode(), PATH).items() if k != "credential_pool"}
        for each in (text, after)
    ]
    assert others[0] == others[1]
    assert edited(after, entry, change) == after


def _meaning(policy: Any) -> Any:
    """Return a policy without its lines and without levels that say nothing."""

    def of(changes: Any) -> Any:
        return {
            name: (each.wait_s, each.grows, each.cap_s, each.sole_cap_s, each.terminal_after)
            for name, each in changes.items()
        }

    def named(levels: Any) -> Any:
        return {name: of(each) for name, each in levels.items() if each}

    return of(policy.everywhere), named(policy.providers), named(policy.keys)


# --- the file ----------------------------------------------------------------------------------------------


def test_it_is_written_as_the_strategies_are(tmp_path: Path) -> None:
    """Whole and private, its mode kept, the old bytes handed over first, and not at all where it says so already."""
    home = a_home(tmp_path / "home")
    home.path.mkdir()
    home.config_path.write_text("a: b # c\n")
    home.config_path.chmod(0o640)
    kept: list[bytes] = []
    assert write_cooldown(home, E429, FIVE, env={}, before_write=lambda _, old: kept.append(old))
    assert home.config_path.read_text() == f"a: b # c\n{HEAD}    429: 5m\n"
    assert home.config_path.stat().st_mode & 0o777 == 0o640
    assert kept == [b"a: b # c\n"]
    assert not write_cooldown(home, E429, FIVE, env={}, before_write=lambda *_: pytest.fail("a copy"))
    assert write_cooldown(home, E429, None, env={})
    assert home.config_path.read_text() == "a: b # c\n"


def test_a_managed_or_broken_file_is_not_touched(tmp_path: Path) -> None:
    """A package manager's home and a file that is no YAML are refused, byte for byte as they were."""
    home = a_home(tmp_path / "home")
    home.path.mkdir()
    home.config_path.write_text("a: [\n")
    before = tree(home.path)
    with pytest.raises(ConfigBroken):
        write_cooldown(home, E429, FIVE, env={})
    with pytest.raises(ConfigReadOnly):
        write_cooldown(home, E429, FIVE, env=around(tmp_path, HERMES_MANAGED="1").env)
    assert tree(home.path) == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (Change(), "nothing is to change"),
        (Change(wait_s=-1), "a wait is seconds"),
        (Change(wait_s=40 * 86400.0), "up to 30d"),
        (Change(wait_s=300, cap_s=60), "cap is below wait"),
        (Change(wait_s=300, grows=0.5), "grows is a number from 1 to 100"),
        (Change(wait_s=300, terminal_after=-2), "terminal_after is a whole number"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    tmp_path: Path, change: Change, says: str
) -> None:
    """The same rules hold for what is written as for what is read."""
    home = a_home(tmp_path / "home")
    with pytest.raises(Refused, match=says):
        write_cooldown(home, E429, change, env={})
    assert not home.path.exists()


def test_names_of_entries() -> None:
    """Kinds in any spelling and statuses are known; anything else is refused with what would be right."""
    assert entry_of("Rate-Limit").name == "rate_limit"
    assert entry_of(" 503 ", provider="Google") == Entry("503", "gemini")
    for name, says in (("200", "400 to 599"), ("biling", "did you mean billing")):
        with pytest.raises(Refused, match=says):
            entry_of(name)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, 0),
        (90, "90s"),
        (300, "5m"),
        (5400, "90m"),
        (7200, "2h"),
        (172_800, "2d"),
        (1.5, "1.5s"),
        (0.0004, 0),
    ],
)
def test_how_a_wait_is_written(seconds: float, text: str | int) -> None:
    """In the largest unit that gives a whole number."""
    assert wait_text(seconds) == text


def test_an_entry_in_words() -> None:
    """It says whose, how long, and after what."""
    assert entry_text(GEMINI, FIVE) == "gemini: wait 5m after 429"
    assert entry_text(E429, Change(wait_s=0)) == "no wait after 429"
    assert entry_text(ROW, Change(grows=2, terminal_after=3)) == "012345: grows 2, terminal after 3 after 429"
    assert entry_text(GEMINI, None) == "gemini waits after 429 as without an entry"
