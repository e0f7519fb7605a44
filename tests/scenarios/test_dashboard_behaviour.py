"""What the dashboard owes its user while the store changes under it (demand 2.7, 2.8), in the running program."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from textual.widgets import Input

from fakes import (
    NOW,
    FakeClock,
    a_home,
    a_key,
    a_login,
    around,
    benched,
    keys,
    load,
    load_whole,
    tree,
    write_store,
)
from keydeck.engine import state as engine_state
from keydeck.engine.credential import Credential
from keydeck.engine.file_store import FileStore
from keydeck.engine.snapshot import HomeReader
from keydeck.engine.state import Health, HealthKind
from keydeck.engine.store import Transaction
from keydeck.present.text import width
from ui import SIZES, Ui, running

DEAD: Final[dict[str, Any]] = {"last_status": "dead", "last_status_at": NOW - 60, "last_error_code": 401}


def order(home: Path, provider: str = "openrouter") -> list[str]:
    rows = load(home)["credential_pool"][provider]
    return [row["id"] for row in sorted(rows, key=lambda row: float(row["priority"]))]


async def told(ui: Ui, text: str) -> None:
    """Wait for a toast with these words; long ones are broken over lines."""
    await ui.until(lambda: all(word in ui.text for word in text.split()))
    await ui.reload()


class TestFS57SiblingRemoval:
    """Removing one of several rows of a source removes that one."""

    @pytest.mark.parametrize("source", ["manual:device_code", "device_code"])
    async def test_fs_57_two_of_three_remain_and_the_source_is_not_silenced(
        self, home: Path, source: str
    ) -> None:
        """The row that was shown goes, its siblings stay on screen and in the file, and nothing is suppressed."""
        rows = [a_login(f"log00{n}", f"login-{n}", priority=n, source=source) for n in range(3)]
        write_store(home, {"openai-codex": rows})
        async with running(home, (120, 40)) as ui:
            await ui.press("j", "d")
            ui.sees("openai-codex / login-1", "2 of its keys stay, 2 of them ready")
            await ui.press("y")
            await told(ui, "removed login-1 (log001)")
            ui.sees("openai-codex  2/2 ready")
            assert [row.label for row in ui.app._pools._shown[0].rows] == ["login-0", "login-2"]
        assert order(home, "openai-codex") == ["log000", "log002"]
        assert not load(home).get("suppressed_sources")


class TestFS58RowNumbersMove:
    """What is acted on is the row that was seen, wherever it has moved to."""

    @pytest.mark.parametrize(
        ("pressed", "expected"),
        [
            (("d", "y"), ["ccc003", "aaa001"]),
            (("n",), ["bbb002", "ccc003", "aaa001"]),
            (("J",), ["ccc003", "aaa001", "bbb002"]),
            (("K",), ["bbb002", "ccc003", "aaa001"]),
            (("v", "g", "d", "y"), ["ccc003", "aaa001"]),
        ],
        ids=lambda value: "".join(value)[:8],
    )
    async def test_fs_58_the_row_under_the_cursor_is_the_one(
        self, home: Path, pressed: tuple[str, ...], expected: list[str]
    ) -> None:
        """Another program reorders the rows just before the key press: the key that was drawn second is meant."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002", "ccc003")})
        async with running(home, (120, 40)) as ui:
            await ui.press("j")
            write_store(home, {"openrouter": keys("ccc003", "bbb002", "aaa001")})
            await ui.press(*pressed)
            await ui.settle()
            assert order(home) == expected

    @pytest.mark.parametrize("pressed", [("d", "y"), ("r",), ("n",)], ids="".join)
    async def test_fs_58_a_row_that_is_gone_is_told(self, home: Path, pressed: tuple[str, ...]) -> None:
        """Somebody removed it before: nothing else is touched, and the reason is told."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002", "ccc003")})
        async with running(home, (120, 40)) as ui:
            await ui.press("j")
            path = write_store(home, {"openrouter": keys("ccc003", "aaa001")})
            before = path.read_bytes()
            await ui.press(*pressed)
            await told(ui, "openrouter has no credential bbb002 any more")
            assert path.read_bytes() == before


class TestFS62ClockDrivesTheCountdown:
    """A countdown is what is left until its deadline, whenever it is drawn."""

    @pytest.mark.parametrize("size", [(60, 16), (200, 60)])
    async def test_fs_62_without_any_file_event_it_goes_down_and_ends(
        self, home: Path, size: tuple[int, int]
    ) -> None:
        """90 s, 30 s later 60 s, and after the rest the row is ready, in row, headline and bar at once; the headline names the time."""
        write_store(home, {"openrouter": [a_key("aaa001", "one", **benched(429, until=NOW + 90))]})
        before = tree(home)
        async with running(home, size) as ui:
            assert "1m30s" in ui.row("◐ one")
            await ui.tick(30)
            assert "1m00s" in ui.row("◐ one")
            ui.sees("0/1 ready until 14:03:41, then 1")
            await ui.tick(59.5)
            assert "1s 429" in ui.row("◐ one")
            await ui.tick(0.5)
            assert "probing" in ui.row("◔ one")
            ui.sees("openrouter  1/1 ready")
            assert " 1 ready" in ui.lines[0]
            await ui.tick(60)
            assert "ready" in ui.row("● one")
        assert tree(home) == before

    async def test_fs_62_late_and_skipped_beats_cannot_make_it_wrong(self, home: Path) -> None:
        """After a suspended hour the next beat shows what the deadline says; a clock set back as well."""
        write_store(home, {"openrouter": [a_key("aaa001", "one", **benched(429, until=NOW + 7200))]})
        async with running(home, (120, 40)) as ui:
            await ui.tick(3600)
            assert "1h00m" in ui.row("◐ one")
            await ui.tick(-1800)
            assert "1h30m" in ui.row("◐ one")
            await ui.press("enter")
            ui.sees("in 1h30m")
            await ui.tick(60)
            ui.sees("in 1h29m")


class TestFS63SelectionSurvivesRefresh:
    """The cursor is on a key, not on a place."""

    @pytest.mark.parametrize("size", [(60, 16), (80, 24)])
    async def test_fs_63_the_same_key_is_selected_and_in_sight(
        self, home: Path, size: tuple[int, int]
    ) -> None:
        """Scrolled down in a long list: rows above come, go and change places, and the cursor stays on its key."""
        rows = [a_key(f"a{place:05d}", f"row-{place:03d}", priority=place) for place in range(60)]
        write_store(home, {"openrouter": rows})
        async with running(home, size) as ui:
            await ui.press("pagedown", "pagedown", "j", "j")
            cursor = ui.cursor
            assert cursor is not None and cursor[1] is not None
            label = f"row-{int(cursor[1][1:]):03d}"
            sent = [
                rows[::-1],
                [*rows[20:], *rows[:20]],
                [row for row in rows if row["id"] == cursor[1] or row["priority"] % 2],
                [*keys(*(f"b{n:05d}" for n in range(30))), *rows],
            ]
            for shuffled in sent:
                for place, row in enumerate(shuffled):
                    row["priority"] = place
                write_store(home, {"zai": keys("zai001"), "openrouter": shuffled})
                await ui.reload()
                assert ui.cursor == cursor
            await ui.press("k", "j")
            assert ui.cursor == cursor
            assert any(label in line for line in ui.lines)

    async def test_fs_63_what_is_shown_of_it_stays_too(self, home: Path) -> None:
        """The facts beside or below the list are of the same key after every refresh, with its new state."""
        write_store(home, {"openrouter": keys("aaa001", "aaa002", "aaa003")})
        async with running(home, (120, 40)) as ui:
            await ui.press("j", "j")
            ui.sees("╭─ key-aaa003", "place 3 of 3")
            changed = keys("aaa003", "aaa001")
            changed[0].update(benched(402, until=NOW + 60))
            write_store(home, {"openrouter": changed})
            await ui.reload()
            ui.sees("╭─ key-aaa003", "place 1 of 2", "402 payment required")


# --- counts ------------------------------------------------------------------------------------------------

SIGNS: Final = {
    "●": "ready",
    "△": "ready",
    "◔": "ready",
    "◐": "cooling",
    "▲": "log in",
    "■": "paused",
    "○": "no secret",
    "?": "bad",
}
WORDS: Final = {
    HealthKind.READY: "ready",
    HealthKind.PROBING: "ready",
    HealthKind.COOLING: "cooling",
    HealthKind.NEEDS_LOGIN: "log in",
    HealthKind.PAUSED: "paused",
    HealthKind.NO_SECRET: "no secret",
    HealthKind.BAD_ROW: "bad",
}


class Counts:
    """What is on screen and what the engine says, counted."""

    def __init__(self, ui: Ui) -> None:
        found = re.findall(r"(\d+) (ready|cooling|log in|paused|no secret|bad)\b", ui.lines[0])
        self.bar = Counter({word: int(count) for count, word in found if count != "0"})
        self.rows: Counter[str] = Counter()
        self.heads: dict[str, tuple[int, int, int]] = {}
        """Ready, total and hidden, by pool."""
        for line in ui.lines[1:-1]:
            if head := re.match(r"[▌ ](\S+)  (\d+)/(\d+) ready", line):
                hidden = re.search(r"  (\d+) (?:hidden|folded)", line)
                self.heads[head[1]] = (int(head[2]), int(head[3]), int(hidden[1]) if hidden else 0)
            elif row := re.match(r"[ ▸][ ✓›»]([●△◔◐▲■○?]) ", line):
                self.rows[SIGNS[row[1]]] += 1
        states = [pool.at(ui.clock()) for pool in ui.app.view.pools]
        self.engine = Counter(WORDS[row.health.kind] for state in states for row in state.rows)
        self.pools = {state.provider: (len(state.usable), len(state.rows)) for state in states}


class TestFS64CountsAgree:
    """Bar, headlines, rows and engine count the same keys."""

    @pytest.fixture
    def paused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let rows that are called paused be so: the file has no word for it yet."""
        health = engine_state._health

        def with_pauses(row: Credential, now: float, token_ends: float | None) -> Health:
            is_paused = row.label.startswith("paused")
            return Health(HealthKind.PAUSED) if is_paused else health(row, now, token_ends)

        monkeypatch.setattr(engine_state, "_health", with_pauses)

    @pytest.mark.usefixtures("paused")
    async def test_fs_64_through_every_view(self, home: Path) -> None:
        """Two ready, one cooling, one paused, one dead, and more in other pools: whatever is hidden is said."""
        rows = [
            a_key("aaa001", "fine"),
            a_key("aaa002", "cool", priority=1, **benched(429, until=NOW + 90)),
            a_key("aaa003", "paused-one", priority=2),
            a_key("aaa004", "dead", priority=3, **DEAD),
            a_key("aaa005", "fine too", priority=4),
        ]
        others = [a_key("bbb001", source="env:UNSET", access_token=...), a_key("bbb002", priority="x")]
        logins = [a_login("log001", expires_at_ms=(NOW + 300) * 1000)]
        write_store(
            home, {"openrouter": rows, "zai": others, "anthropic": logins, "deepseek": keys("ccc001")}
        )
        async with running(home, (150, 30)) as ui:
            seen = Counts(ui)
            assert seen.engine == Counter(
                {"ready": 4, "cooling": 1, "paused": 1, "log in": 1, "no secret": 1, "bad": 1}
            )
            assert seen.pools["openrouter"] == (2, 5)
            assert seen.rows == seen.bar == seen.engine
            steps = (
                *(("/", "state:cool"), ("/", "!state:ready"), ("/", "pool:zai"), ("/", "nothing-like-it")),
                *(("minus",), ("j", "minus"), ("underscore",), ("underscore",), ("z",), ("z",)),
                *(
                    ("exclamation_mark",),
                    ("exclamation_mark",),
                    ("o",),
                    ("O",),
                    ("w",),
                    ("m",),
                    ("v",),
                    ("p",),
                ),
            )
            for step in steps:
                await self.take(ui, step)
                self.agree(ui)
                if step[0] == "/":
                    await ui.press("escape")
            await ui.tick(90)
            self.agree(ui)
            assert Counts(ui).engine["ready"] == 5

    @staticmethod
    async def take(ui: Ui, step: tuple[str, ...]) -> None:
        """Press keys, or type a filter and keep it."""
        if step[0] != "/":
            await ui.press(*step)
            return
        await ui.press("slash")
        ui.app.screen.query_one("#filter-field", Input).value = step[1]
        await ui.settle()
        await ui.press("enter")

    @staticmethod
    def agree(ui: Ui) -> None:
        """See that the bar is the engine's, every headline its pool's, and that what is not drawn is counted as hidden."""
        seen = Counts(ui)
        assert seen.bar == seen.engine, ui.text
        assert seen.heads and all(head[:2] == seen.pools[name] for name, head in seen.heads.items()), ui.text
        drawn, hidden = sum(seen.rows.values()), sum(head[2] for head in seen.heads.values())
        assert drawn + hidden == sum(head[1] for head in seen.heads.values()), ui.text
        assert all(seen.rows[word] <= seen.bar[word] for word in seen.rows)

    async def test_fs_64_after_every_change_of_the_file(self, home: Path) -> None:
        """Rows that come, go and change their state are counted at once, everywhere."""
        async with running(home, (80, 24)) as ui:
            for rows in (
                keys("aaa001"),
                keys("aaa001", "aaa002", **benched(429, until=NOW + 9)),
                [a_key("aaa001", **DEAD)],
            ):
                write_store(home, {"openrouter": rows, "zai": keys("bbb001")})
                await ui.reload()
                self.agree(ui)
                assert Counts(ui).rows == Counts(ui).engine


# --- success only when true --------------------------------------------------------------------------------


class PuttingBack(FileStore):
    """A store into which another program puts everything back as soon as it was written."""

    @contextmanager
    def transaction(self, **options: Any) -> Iterator[Transaction]:
        """Change the file, for a moment."""
        before = self.path.read_bytes()
        with super().transaction(**options) as change:
            yield change
        self.path.write_bytes(before)


class TestFS66SuccessOnlyWhenTrue:
    """Nobody is told of an act that did not take."""

    @pytest.mark.parametrize(
        "pressed",
        [
            ("d", "y"),
            ("v", "v", "d", "y"),
            ("n",),
            ("J",),
            ("e", "end", "x", "enter"),
            ("a", "enter", *"sk0123456789abcdef", "enter", "enter"),
        ],
        ids=lambda pressed: "".join(pressed)[:6],
    )
    async def test_fs_66_what_another_program_puts_back_is_no_success(
        self, home: Path, pressed: tuple[str, ...]
    ) -> None:
        """The act ends as an error that says so, in a toast or in its dialog, and never as done."""
        rows = keys("aaa001", "aaa002", "aaa003")
        for row in rows[:2]:
            row.update(benched(429, until=NOW + 900))
        write_store(home, {"openrouter": rows})
        clock = FakeClock()
        reader = HomeReader(
            a_home(home),
            around=around(home.parent),
            clock=clock,
            store=PuttingBack(a_home(home), clock=clock),
        )
        before = load(home)
        async with running(home, (120, 40), reader=reader) as ui:
            said: list[tuple[str, str]] = []
            tell = ui.app.tell

            def noting(text: str, severity: Any, **rest: Any) -> None:
                said.append((severity, text))
                tell(text, severity, **rest)

            ui.app.tell = noting  # type: ignore[method-assign, assignment]
            start = ["j"] if pressed[0] in ("n", "e") else []
            await ui.press(*start, *pressed)
            await ui.settle()
            assert load(home) == before
            assert [text for severity, text in said if severity == "information"] == []
            assert said or len(ui.app.screen_stack) == 2

    @pytest.mark.parametrize("pressed", [("r",), ("v", "v", "r"), ("R", "y")], ids="".join)
    async def test_fs_66_a_reset_that_is_told_holds(self, home: Path, pressed: tuple[str, ...]) -> None:
        """An old copy that another program puts in place brings no bench back: not here, and soon not in the file."""
        write_store(home, {"openrouter": [a_key("aaa001", "one", **benched(429, until=NOW + 900))]})
        clock = FakeClock()
        store = PuttingBack(a_home(home), clock=clock)
        reader = HomeReader(a_home(home), around=around(home.parent), clock=clock, store=store)
        async with running(home, (120, 40), reader=reader) as ui:
            await ui.press(*pressed)
            await told(ui, "reset ")
            await ui.reload()
            assert "● one" in ui.text
            assert load(home)["credential_pool"]["openrouter"][0]["last_status"] == "exhausted"
            assert store.checkpoint()
            assert load(home)["credential_pool"]["openrouter"][0]["last_status"] is None

    async def test_fs_66_an_undo_that_did_not_take_is_no_success(self, home: Path) -> None:
        """The removed key that is not there after its undo is not said to be back."""
        write_store(home, {"openrouter": keys("aaa001", "aaa002")})
        async with running(home, (120, 40)) as ui:
            await ui.press("d", "y")
            await told(ui, "removed key-aaa001")
            store = PuttingBack(a_home(home), clock=FakeClock())
            ui.app._reader.store = store
            await ui.press("u")
            await ui.until(lambda: "is gone again" in ui.text)
            assert "put key-aaa001 back" not in ui.text
            assert order(home) == ["aaa002"]

    async def test_fs_66_the_screen_shows_the_file_and_not_the_wish(self, home: Path) -> None:
        """A failure that another program notes right after a reset is on screen: it is newer."""
        write_store(home, {"openrouter": [a_key("aaa001", "one", **benched(429, until=NOW + 900))]})
        async with running(home, (120, 40)) as ui:
            await ui.press("r")
            await told(ui, "reset one (aaa001)")
            assert "● one" in ui.text
            document = load_whole(home)
            document["credential_pool"]["openrouter"][0].update(
                benched(429, until=NOW + 900), last_status_at=NOW + 1
            )
            (home / "auth.json").write_text(json.dumps(document))
            await ui.reload()
            assert "◐ one" in ui.text


class TestFS67LastUsableKey:
    """The last ready key goes only with its consequence said."""

    @pytest.mark.parametrize("size", [(60, 16), (120, 40)])
    async def test_fs_67_its_removal_names_the_effect(self, home: Path, size: tuple[int, int]) -> None:
        """The question says that no other is ready; enter and escape leave it; only ``y`` removes."""
        rows = [a_key("aaa001"), a_key("aaa002", priority=1, **benched(429, until=NOW + 900))]
        write_store(home, {"openrouter": rows})
        async with running(home, size) as ui:
            for harmless in ("enter", "escape"):
                await ui.press("d")
                ui.sees("It is the last ready key of this pool", "1 of its keys stay, 0 of them ready")
                await ui.press(harmless)
                assert order(home) == ["aaa001", "aaa002"]
            await ui.press("j", "d")
            assert "last ready key" not in ui.text
            await ui.press("escape", "k", "d", "y")
            await told(ui, "removed key-aaa001")
            assert order(home) == ["aaa002"]

    async def test_fs_67_all_the_ready_ones_together_are_the_last_as_well(self, home: Path) -> None:
        """Of two ready keys each alone is not the last; both marked are, and the question says so."""
        rows = [*keys("aaa001", "aaa002"), a_key("aaa003", priority=2, **DEAD)]
        write_store(home, {"openrouter": rows})
        async with running(home, (80, 24)) as ui:
            await ui.press("d")
            assert "last ready key" not in ui.text
            await ui.press("escape", "v", "v", "d")
            ui.sees(
                "It is the last ready key of this pool", "openrouter: 1 of its keys stay, 0 of them ready"
            )

    async def test_fs_67_it_becomes_the_last_while_the_question_stands(self, home: Path) -> None:
        """The other key is benched meanwhile: ``y`` asks again, now with the effect, and a second ``y`` removes."""
        write_store(home, {"openrouter": keys("aaa001", "aaa002")})
        async with running(home, (80, 24)) as ui:
            await ui.press("d")
            assert "last ready key" not in ui.text
            changed = keys("aaa001", "aaa002")
            changed[1].update(benched(429, until=NOW + 900))
            write_store(home, {"openrouter": changed})
            await ui.app.read_again()
            await ui.settle()
            await ui.press("y")
            ui.sees("It is the last ready key of this pool")
            assert order(home) == ["aaa001", "aaa002"]
            await ui.press("y")
            await told(ui, "removed key-aaa001")


HOSTILE: Final = {
    "escape": "\x1b]0;owned\x07\x1b[31mred\x1b[0m",
    "newline": "one\ntwo\r\nthree",
    "markup": "[/x][bold red]b[@click=app.quit]q[/]",
    "long": "x" * 300,
    "bidi": "\u202eevil\u2066",
}


class TestFS68HostileLabel:
    """A label is text: shown inert and cut, and refused where it is typed."""

    @pytest.mark.parametrize("size", SIZES)
    async def test_fs_68_it_corrupts_nothing(self, home: Path, size: tuple[int, int]) -> None:
        """Every row keeps its line, label cut and state in sight; dialogs and the key in full stay in the terminal."""
        rows = [a_key(f"aaa00{n}", label, priority=n) for n, label in enumerate(HOSTILE.values())]
        write_store(home, {"openrouter": [*rows, a_key("aaa009", "good", priority=9)]})
        async with running(home, size) as ui:
            frames = [ui.text]
            assert len([line for line in ui.lines if re.search(r"● .* ready ", line + " ")]) >= len(rows) + 1
            assert "[/x][bold red]" in ui.text and "xxx…" in ui.text and "one two" in ui.text
            for place in range(len(rows)):
                for key in ("enter",) if place else ("enter", "d", "e", "ctrl+p"):
                    await ui.pilot.press(key)
                    await ui.pilot.pause()
                    frames.append(ui.text)
                    await ui.pilot.press("escape")
                await ui.pilot.press("j")
            for text in frames:
                lines = text.split("\n")
                assert len(lines) == size[1] and all(width(line) <= size[0] for line in lines), text
                assert not any(
                    ord(char) < 0x20 or char in "\u202e\u2066\x7f" for line in lines for char in line
                )

    @pytest.mark.parametrize("name", ["escape", "newline", "long", "bidi"])
    async def test_fs_68_it_is_refused_on_input(self, home: Path, name: str) -> None:
        """Typed or pasted into the form it is not saved: the form says why, and the file stays."""
        write_store(home, {"openrouter": keys("aaa001")})
        before = tree(home)
        async with running(home, (120, 40)) as ui:
            await ui.press("e")
            ui.app.screen.query_one("#edit-label", Input).value = HOSTILE[name]
            await ui.press("enter")
            assert "label" in ui.text.partition("edit key-aaa001")[2]
            assert len(ui.app.screen_stack) == 2
            await ui.press("escape")
        left = {path: found for path, found in tree(home).items() if path != "auth.lock"}
        assert left == before

    async def test_fs_68_brackets_are_letters_like_others(self, home: Path) -> None:
        """Markup is no harm to anybody: a label may have it, is saved as typed, and is shown as typed."""
        write_store(home, {"openrouter": keys("aaa001")})
        async with running(home, (120, 40)) as ui:
            await ui.press("e")
            ui.app.screen.query_one("#edit-label", Input).value = HOSTILE["markup"]
            await ui.press("enter")
            await ui.until(lambda: "● [/x][bold red]b" in ui.text)
            assert load(home)["credential_pool"]["openrouter"][0]["label"] == HOSTILE["markup"]
            assert ui.app.is_running
