from __future__ import annotations

from pathlib import Path

import pytest

from fakes import NOW, FakeClock, a_pool, keys, tree, write_store
from keydeck.dashboard.screens.detail import DetailScreen
from keydeck.dashboard.screens.events import EventsScreen
from keydeck.demo.past import write_scene_with_past
from keydeck.demo.scene import ENVIRONMENT
from keydeck.present.glyphs import ASCII
from ui import SIZES, Ui, running


@pytest.fixture
def busy(home: Path) -> Path:
    """Return a home in which forty benches were told and came back, one a minute."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002"), "zai": keys("bbb001")})
    clock = FakeClock(NOW - 7200)
    for _ in range(20):
        pool = a_pool(home, clock=clock)
        pool.select()
        pool.mark_exhausted_and_rotate(status_code=429, error_context={"reset_at": clock.now + 30})
        pool._store.flush()
        clock.forward(120)
    return home


def a_failure(home: Path, ui: Ui) -> None:
    pool = a_pool(home, "zai", clock=ui.clock)
    pool.select()
    pool.mark_exhausted_and_rotate(status_code=402)
    pool._store.flush()


def events(ui: Ui) -> list[str]:
    """Return the lines of the timeline."""
    lines = ui.lines[2:]
    return [
        line
        for line in lines[: next(y for y, line in enumerate(lines) if line[:1] in "╰+")]
        if line[2:10].strip()
    ]


def screen(ui: Ui) -> EventsScreen:
    found = ui.app.screen
    assert isinstance(found, EventsScreen)
    return found


def chosen(ui: Ui) -> float:
    change = screen(ui)._selected()
    assert change is not None
    return change.at


async def test_history_from_before_is_there(busy: Path) -> None:
    """In the strip of the pools screen, and with `2` all of it, newest first, with the newest explained."""
    async with running(busy) as ui:
        ui.sees("activity", "429 rate limit")
        await ui.press("2")
        ui.sees("events  1 of", "follows", "selected event", "meaning")
        times = [line[2:10] for line in events(ui)]
        assert times == sorted(times, reverse=True)
        assert len(times) > 15


async def test_it_follows_while_at_the_newest(busy: Path) -> None:
    """What is told meanwhile comes in on top, and the cursor goes along."""
    async with running(busy) as ui:
        await ui.press("2")
        a_failure(busy, ui)
        await ui.tick()
        assert "zai / key-bbb001" in events(ui)[0]
        assert chosen(ui) == NOW
        ui.sees("402 payment required", "1 of")


async def test_it_keeps_its_place_when_scrolled(busy: Path) -> None:
    """Cursor and lines stay where they are while events come in above; `f` and `g` go back to the newest."""
    async with running(busy, (80, 24)) as ui:
        await ui.press("2", "pagedown", "pagedown", "j")
        before, at = events(ui), chosen(ui)
        a_failure(busy, ui)
        await ui.tick()
        assert (events(ui), chosen(ui)) == (before, at)
        assert "follows" not in ui.text
        await ui.press("f")
        assert chosen(ui) == NOW
        ui.sees("follows")
        await ui.press("G")
        assert "follows" not in ui.text
        await ui.press("g")
        ui.sees("1 of", "follows")


async def test_moving_stays_inside(busy: Path) -> None:
    """At the ends nothing is left to move to; the last page is full."""
    async with running(busy, (60, 16)) as ui:
        await ui.press("2", "k", "g", "pageup")
        ui.sees("1 of")
        await ui.press("G", "j", "pagedown")
        total = len(screen(ui)._shown)
        ui.sees(f"{total} of {total}")
        assert len(events(ui)) == screen(ui)._list.line_count() - 2


async def test_a_filter_narrows_it(busy: Path) -> None:
    """As on the pools screen: at once, kept by enter, told in the bar, cleared by escape before that leaves."""
    async with running(busy) as ui:
        await ui.press("2")
        total = len(events(ui))
        await ui.press("slash", *"state", "colon", *"cool")
        assert 0 < len(events(ui)) < total
        assert all("cooldown over" not in line for line in events(ui))
        await ui.press("enter")
        ui.sees("/state:cool")
        await ui.press("slash", *" zzz", "enter")
        ui.sees("no match for")
        await ui.press("escape")
        assert len(events(ui)) == total
        await ui.press("escape")
        assert not isinstance(ui.app.screen, EventsScreen)


async def test_a_bad_filter_is_told(busy: Path) -> None:
    """The lines before stay."""
    async with running(busy) as ui:
        await ui.press("2")
        before = events(ui)
        await ui.press("slash", "quotation_mark")
        ui.sees("a quote is not closed")
        assert events(ui) == before[:-1]  # the field takes a line


async def test_enter_goes_to_the_key_and_back(busy: Path) -> None:
    """To the key in full; `2` comes back to the same event, `1` and escape to the pools."""
    async with running(busy) as ui:
        await ui.press("2", "j", "j")
        at = chosen(ui)
        await ui.press("enter")
        assert isinstance(ui.app.screen, DetailScreen)
        ui.sees("history of this key")
        await ui.press("2")
        assert chosen(ui) == at
        await ui.press("1")
        assert isinstance(ui.app.screen, DetailScreen)
        await ui.press("escape")
        assert ui.cursor is not None
        assert ui.cursor[0] == "openrouter"
        await ui.press("2", "escape")
        ui.sees("openrouter", "zai")


async def test_an_event_of_a_key_that_is_gone(busy: Path) -> None:
    """It is told, and nothing happens."""
    async with running(busy) as ui:
        write_store(busy, {"zai": keys("bbb001")})
        await ui.reload()
        await ui.press("2", "G", "k", "k", "k", "enter")
        assert isinstance(ui.app.screen, EventsScreen)
        ui.sees("this key is gone")


async def test_a_frozen_view_holds_its_events(busy: Path) -> None:
    """What is told meanwhile shows when it goes on."""
    async with running(busy) as ui:
        await ui.press("2", "p")
        before = events(ui)
        a_failure(busy, ui)
        await ui.tick()
        assert events(ui) == before
        await ui.press("p")
        assert events(ui) != before


async def test_a_click_chooses_and_the_wheel_moves(busy: Path) -> None:
    """A click puts the cursor on that event, the wheel goes on to older ones."""
    async with running(busy) as ui:
        await ui.press("2")
        times = [line[2:10] for line in events(ui)]
        await ui.pilot.click("#event-list", offset=(20, 5))
        assert ui.line("selected event")
        assert times[4] in ui.line("event      ")
        ui.sees("5 of")


@pytest.mark.parametrize("size", SIZES)
async def test_it_works_at_every_size_in_ascii_masked_and_read_only(
    home: Path, size: tuple[int, int]
) -> None:
    """Nothing but ASCII is drawn, no name shows, no line is too long, and nothing is written."""
    write_scene_with_past(home, NOW)
    before = tree(home)
    options = {"glyphs": ASCII, "masked": True, "read_only": True}
    async with running(home, size, env=dict(ENVIRONMENT), **options) as ui:
        await ui.press("2", "j", "j", "pagedown", "G", "g", "slash", *"rate", "enter")
        assert ui.text.isascii()
        assert max(map(len, ui.lines)) <= size[0]
        assert "burst-key" not in ui.text
        assert "team-a" not in ui.text
        assert events(ui)
        assert any(line[1:2] == "*" for line in ui.lines)
    assert tree(home) == before


async def test_nothing_happened_yet(home: Path) -> None:
    """A home without a past says so, and enter does nothing."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home) as ui:
        await ui.press("2", "enter", "j", "G")
        ui.sees("nothing has changed yet")
