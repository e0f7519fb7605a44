from __future__ import annotations

from pathlib import Path

import pytest

from fakes import NOW, a_key, keys, tree, write_store
from keydeck.dashboard.actions import ACTIONS, BY_ID, POOLS, actions_on, key_bar, key_text
from keydeck.demo.scene import write_scene
from keydeck.present.glyphs import ASCII
from ui import SIZES, running

CONFIG = """\
# how we pick
credential_pool_strategies:
  openrouter: 'fill_first'   # by hand
model: "x"
"""


@pytest.mark.parametrize("size", SIZES)
async def test_help_lists_every_action_and_fits(home: Path, size: tuple[int, int]) -> None:
    """Help names each action's key and meaning; where it is long it scrolls inside the terminal."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, size) as ui:
        await ui.press("question_mark")
        ui.sees("╭─ keys", "esc close")
        seen = ui.text
        for _ in range(len(ACTIONS)):
            await ui.pilot.press("down")
            seen += ui.text
        for action in actions_on("pools", read_only=False):
            assert action.help[:36] in seen
            assert key_text(action, {}) in seen
        assert "waiting does not help" in seen
        await ui.press("escape")
        assert "╭─ keys" not in ui.text


async def test_strategy_dialog_marks_the_present_one_and_sets_another(home: Path) -> None:
    """Enter writes that one word of config.yaml, says so, and the pane shows it."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    (home / "config.yaml").write_text(CONFIG)
    async with running(home, (80, 24)) as ui:
        await ui.press("s")
        assert "(•) fill_first" in ui.text
        ui.sees("writes config.yaml", "credential_pool_strategies.openrouter")
        await ui.press("j", "enter")
        await ui.until(lambda: "now picks by" in ui.text)
        await ui.reload()
        ui.sees("round_robin")
    assert (home / "config.yaml").read_text() == CONFIG.replace("fill_first", "round_robin")


@pytest.mark.parametrize("size", SIZES)
async def test_strategy_dialog_fits_and_cancels(home: Path, size: tuple[int, int]) -> None:
    """The whole list is visible at every size, and cancelling changes nothing."""
    write_store(home, {"openrouter": keys("aaa001")})
    before = tree(home)
    async with running(home, size) as ui:
        await ui.press("s")
        for name in ("fill_first", "round_robin", "least_used", "random", "sticky"):
            ui.sees(f") {name}")
        ui.sees("╰", "esc cancel")
        await ui.press("escape")
    assert tree(home) == before


async def test_unknown_strategy_is_shown_and_kept_until_chosen(home: Path) -> None:
    """A strategy nobody knows stands on the pane as such, and the dialog says how hermes reads it."""
    write_store(home, {"openrouter": keys("aaa001")})
    (home / "config.yaml").write_text("credential_pool_strategies: {openrouter: quota_aware}\n")
    async with running(home, (80, 24)) as ui:
        ui.sees("quota_aware (unknown)")
        await ui.press("s")
        ui.sees("quota_aware in the file is no strategy")
        await ui.press("escape")
    assert "quota_aware" in (home / "config.yaml").read_text()


async def test_managed_home_shows_the_list_and_refuses(home: Path) -> None:
    """In a home that a package manager owns the dialog says so and enter does nothing."""
    write_store(home, {"openrouter": keys("aaa001")})
    (home / ".managed").touch()
    before = tree(home)
    async with running(home, (80, 24)) as ui:
        await ui.press("s")
        ui.sees("package manager")
        await ui.press("j", "enter")
        ui.sees("package manager")
        await ui.press("escape")
    assert tree(home) == before


async def test_read_only_hides_and_refuses_what_changes(home: Path) -> None:
    """With --read-only the dangerous keys are gone from bar and help, and do nothing."""
    write_scene(home, NOW)
    before = tree(home)
    async with running(home, (120, 40), read_only=True) as ui:
        ui.sees("read-only")
        assert "strategy" not in ui.lines[-1]
        for action in ACTIONS:
            if action.dangerous and POOLS in action.scope:
                await ui.press(*action.keys)
                assert len(ui.app.screen_stack) == 1
        await ui.press("question_mark")
        assert BY_ID["pool.strategy"].help not in ui.text
        await ui.press("escape")
        await ui.pilot.click(offset=(110, 7))
        await ui.settle()
        assert len(ui.app.screen_stack) == 1
    assert tree(home) == before


def test_the_key_bar_follows_the_table() -> None:
    """The bar holds the chosen actions in their order, without the dangerous ones in read-only mode."""
    everything = [item[0] for item in key_bar("pools", {}, read_only=False, ascii_only=False)]
    assert everything[0] == "app.help" and everything[-1] == "app.quit"
    safe = [item[0] for item in key_bar("pools", {}, read_only=True, ascii_only=False)]
    assert safe == [action for action in everything if not BY_ID[action].dangerous]


async def test_an_act_that_fails_is_told_and_changes_nothing(home: Path) -> None:
    """A strategy that cannot be written shows the reason; the screen goes on."""
    write_store(home, {"openrouter": keys("aaa001")})
    (home / "config.yaml").write_text("x: 1\n")
    async with running(home, (120, 40)) as ui:
        await ui.press("s")
        (home / "config.yaml").write_text("x: [\n")
        await ui.press("j", "enter")
        await ui.until(lambda: "line" in ui.text and "config.yaml" in ui.text)
        assert (home / "config.yaml").read_text() == "x: [\n"


async def test_ascii_mode_has_no_other_character(home: Path) -> None:
    """With --ascii every character on screen is ASCII, and the states still differ."""
    write_scene(home, NOW)
    async with running(home, (120, 40), glyphs=ASCII) as ui:
        assert ui.text.isascii(), sorted({char for char in ui.text if not char.isascii()})
        ui.sees("! old-laptop", "~ portal-2", "+ spare")


async def test_a_crash_shows_no_locals_and_no_secret(home: Path) -> None:
    """An unexpected error ends the program with code 1 and a traceback without values or known secrets."""
    secret = "sk-planted-0123456789abcdef"
    write_store(home, {"openrouter": [a_key("aaa001", access_token=secret)]})
    ui_app = None
    with pytest.raises(RuntimeError):
        async with running(home, (80, 24)) as ui:
            ui_app = ui.app

            def crash() -> None:
                planted = secret
                raise RuntimeError(f"with {planted} inside \x1b[31m")

            ui.app.call_later(crash)
            await ui.pilot.pause()
            printed = "\n".join(str(item) for item in ui.app._exit_renderables)
            assert "RuntimeError: with *** inside" in printed
            assert (
                secret not in printed
                and "\x1b" not in printed
                and "planted =" in printed.replace("planted=", "")
            )
    assert ui_app is not None and ui_app.return_code == 1
