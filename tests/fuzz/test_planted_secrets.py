"""1,000 secrets in every field and file, spelled in many ways: nothing that leaves the program holds one of them."""

from __future__ import annotations

import json
import shlex
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes import a_key, write_store
from fuzz.garden import CERTAIN, SHAPES, SPELLINGS, Garden, Search
from fuzz.rounds import COMMANDS, Crew, crew, search_bed, search_unguarded_bed
from fuzz.walk import every_screen
from keydeck.dashboard.screens.pools import PoolsScreen
from keydeck.engine.redact import Scrubber
from keydeck.engine.secret import Secret
from keydeck.present.rows import label_text, said_text
from tmux import Terminal
from ui import running

SECRETS = 1000
BEDS = range(4)
ROWS_A_BED = 76
SEED = 1
UNGUARDED = 7  # on the largest screen, where most can come up
A_FEW_ROWS = 16
SCREENS = ("PoolsScreen", "EventsScreen", "DetailScreen", "SettingsScreen")
DIALOGS = tuple(every_screen() - set(SCREENS))
TEXTS = ("clipboard", "toast", "log", "repr", "title", "picture", ".md", ".json")
PRINTED = tuple(
    f"auth {command}"
    for command in (*COMMANDS, "list --json", "status --json", "events --json", "explain --json")
    if command != "add"
)
REFUSED = (
    *(
        f"auth {command}, errors"
        for command in ("list", "status", "explain", "strategy", "remove", "edit", "add", "move")
    ),
    *("auth, errors", "crash"),
)
# They hold no such text in the first place, whatever becomes of it.
QUIET = {"log", "title", "auth remove"}


# --- one text at a time ------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", SPELLINGS)
def test_a_known_secret_goes_however_it_is_spelled(way: str) -> None:
    """In an address, in JSON, broken up, cut off, far behind: neither a name nor a sentence keeps any of it."""
    garden = Garden(SEED)
    secrets = [garden.secret(way) for _ in range(40)]
    scrubber = Scrubber(map(Secret, secrets))
    for secret in secrets:
        text = SPELLINGS[way](secret)
        assert garden.leaks(text), "the text quotes the secret"
        for shown in (label_text(text, scrubber), said_text(text, scrubber), scrubber.scrub_known(text)):
            assert not garden.leaks(shown), f"{shown!r} of {text!r}"


@pytest.mark.parametrize("way", SHAPES)
def test_what_looks_like_a_secret_goes_though_nobody_knows_it(way: str) -> None:
    """Headers, queries and keys of well-known looks leave sentences, and names where no name looks like that."""
    garden = Garden(SEED)
    for _ in range(40):
        text = SHAPES[way](garden.plain(way))
        assert garden.leaks(text), "the text quotes the secret"
        assert not garden.leaks(said_text(text, Scrubber()))
        if way in CERTAIN:
            assert not garden.leaks(label_text(text, Scrubber()))


@pytest.mark.parametrize(
    "name",
    [
        *(
            "sk-production-team-a-2024",
            "hf_team_production",
            "gsk-eu-2",
            "sk-ProjectAlphaTeam2024",
            "pk_live_customer",
        ),
        *("ANTHROPIC_API_KEY_PRODUCTION", "team-alpha-long-name@corporation.example", "fw-firewall-key-01"),
        *("api-key-1", "Bearer of bad news", "token: the old one", "sk-or-v1-of-the-night-shift-2"),
    ],
)
def test_names_stay(name: str) -> None:
    """What people call keys is shown as it is, also where it begins like a key."""
    scrubber = Scrubber([Secret("sk-or-v1-0123456789abcdef0123456789abcdef"), Secret("night-shift")])
    assert label_text(name, scrubber) == name.replace("night-shift", "***")


# --- whole homes -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """Return processes at work on all homes."""
    folder = tmp_path_factory.mktemp("beds")
    with crew(folder) as started:
        for bed in BEDS:
            started.ask(bed, search_bed, SEED, bed, ROWS_A_BED, str(folder))
        started.ask(UNGUARDED, search_unguarded_bed, SEED, UNGUARDED, A_FEW_ROWS, str(folder))
        yield started


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bed", BEDS)
def test_nothing_of_the_dashboard_holds_a_secret(searched: Crew, bed: int) -> None:
    """No frame, toast, picture, note, JSON, log, clipboard, title or repr holds a part of a secret of the home."""
    planted, search = found_in(searched, bed)
    assert planted * len(BEDS) >= SECRETS
    assert not missing(search, *SCREENS, *DIALOGS, *TEXTS)
    assert not in_dashboard(search)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bed", BEDS)
def test_no_command_prints_a_secret(searched: Crew, bed: int) -> None:
    """Lists, JSON, answers and refusals of the commands hold no part of a secret of the home."""
    _, search = found_in(searched, bed)
    assert not missing(search, *PRINTED, *REFUSED)
    assert not {
        leak: kinds
        for leak in search.found
        if (kinds := search.found[leak] - in_dashboard(search).get(leak, set()))
    }


@pytest.mark.timeout(600)
def test_the_search_finds_what_nobody_takes_out(searched: Crew) -> None:
    """With the scrubber taken out, secrets come up on every screen, in every dialog, text and command: so they are sought there."""
    _, search = found_in(searched, UNGUARDED)
    leaky = {kind_of(kind) for kinds in search.found.values() for kind in kinds}
    sought = {*SCREENS, *DIALOGS, *TEXTS, *PRINTED, *REFUSED}
    assert not sought - leaky - QUIET


def kind_of(kind: str) -> str:
    """Return where something was found, whatever the size of the screen."""
    return kind.partition(" ")[0] if kind.partition(" ")[0] in (*SCREENS, *DIALOGS) else kind


def missing(search: Search, *wanted: str) -> set[str]:
    """Return where nothing was sought."""
    return set(wanted) - {kind_of(kind) for kind in search.looked}


def found_in(searched: Crew, bed: int) -> tuple[int, Search]:
    planted, search = searched.result(bed)
    return planted, search


def in_dashboard_kinds(kinds: set[str]) -> set[str]:
    return {kind for kind in kinds if not kind.startswith(("auth ", "doctor"))}


def in_dashboard(search: Search) -> dict[str, set[str]]:
    return {leak: where for leak, kinds in search.found.items() if (where := in_dashboard_kinds(kinds))}


# --- a crash on purpose ------------------------------------------------------------------------------------


def a_home_of_secrets(home: Path, garden: Garden) -> list[str]:
    """Write a home whose keys are secrets of the garden, and return them."""
    secrets = [garden.secret("a key") for _ in range(24)]
    rows = [
        a_key(f"a{number:05d}", f"row {number}", priority=number, access_token=secret)
        for number, secret in enumerate(secrets)
    ]
    write_store(home, {"openrouter": rows})
    return secrets


def messages(secrets: list[str], garden: Garden) -> list[str]:
    """Return texts that quote the secrets, each in another way, and some that nobody knows."""
    known = [spelled(secret) for secret, spelled in zip(secrets * 2, SPELLINGS.values(), strict=False)]
    return [*known, *(shaped(garden.plain("shape")) for shaped in SHAPES.values())]


async def test_a_crash_report_holds_no_secret(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Causes, notes, messages and local variables full of secrets: the report and the last words hold none."""
    garden = Garden(SEED)
    said = messages(a_home_of_secrets(home, garden), garden)

    def crash(screen: PoolsScreen) -> None:
        held = {"secrets": said, "row": screen.selected_row()}
        cause = OSError("\n".join(said[1::2]))
        cause.add_note(" ".join(said[::3]))
        assert held
        raise RuntimeError("\n".join(said)) from cause

    monkeypatch.setattr(PoolsScreen, "do_view_wide", crash)
    with pytest.raises(RuntimeError):
        async with running(home) as ui:
            app = ui.app
            await ui.press("w")
    assert app.return_code == 1
    (report,) = (home.parent / "state" / "crashes").iterdir()
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    text = report.read_text()
    assert "RuntimeError" in text and "OSError" in text and ", in crash" in text
    printed = capsys.readouterr()
    assert report.name in printed.err.replace("\n", "")
    for told in (text, printed.out, printed.err):
        assert not garden.leaks(told)


CRASHING = """
import json, sys
from pathlib import Path
from keydeck import cli
from keydeck.dashboard.screens.pools import PoolsScreen

def crash(screen):
    held = json.loads(Path({said!r}).read_text())
    raise RuntimeError("\\n".join(held))

PoolsScreen.do_view_wide = crash
sys.argv[1:] = ["--home", {home!r}]
cli.main()
"""


@pytest.mark.terminal
def test_a_crash_in_a_terminal_holds_no_secret(terminal: Terminal, home: Path) -> None:
    """The process ends with a failure, the terminal in order and without a secret, the report 0600 in the state folder."""
    garden = Garden(SEED)
    said = home.parent / "said.json"
    said.write_text(json.dumps(messages(a_home_of_secrets(home, garden), garden)))
    program = home.parent / "crashing.py"
    program.write_text(CRASHING.format(said=str(said), home=str(home)))
    state = home.parent / "state"
    terminal.start(
        f"{shlex.quote(sys.executable)} {shlex.quote(str(program))}", (120, 40), XDG_STATE_HOME=str(state)
    )
    terminal.sees("openrouter  24/24 ready")
    terminal.keys("w")
    assert terminal.exit_code() == 1
    (report,) = (state / "keydeck" / "crashes").iterdir()
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    terminal.sees("the report is in")
    for told in (report.read_text(), terminal.stream.decode("utf-8", "replace"), terminal.screen):
        assert not garden.leaks(told)
    assert terminal.stream.count(b"\x1b[?1049l") == 1
