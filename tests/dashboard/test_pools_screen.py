from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest

from fakes import NOW, a_key, benched, keys, load, tree, write_store
from keydeck.demo.scene import write_scene
from keydeck.present.text import width
from ui import SIZES, running


@pytest.mark.parametrize("size", SIZES)
async def test_every_pool_is_a_pane_at_every_size(home: Path, size: tuple[int, int]) -> None:
    """Each pool has a headline with its count and strategy, and no line is wider than the terminal."""
    write_scene(home, NOW)
    async with running(home, size) as ui:
        ui.sees("anthropic  3/5 ready", "least_used", "team-b@corp.com")
        assert all(width(line) <= size[0] for line in ui.lines)
        assert len(ui.lines) == size[1]


async def test_garbage_is_looked_for_once_something_is_on_screen(home: Path) -> None:
    """The command puts it off until then."""
    gc.disable()
    try:
        async with running(home):
            assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_each_state_has_its_sign_and_word(home: Path, size: tuple[int, int]) -> None:
    """Ready, ending token, cooling, dead, secretless and unreadable rows are told apart without colour."""
    write_scene(home, NOW)
    async with running(home, size) as ui:
        assert "ready" in ui.row("● team-a@corp.com")
        assert "ready · token ends" in ui.row("△ device_code")
        assert "◐" in ui.row("portal-2") and "12m45s 429" in ui.row("portal-2")
        assert "▲ old-laptop" in ui.text and "log in again" in ui.row("old-laptop")
        assert "○ OLD_OPENROUTER_KEY" in ui.text and "no secret: OLD_OPENR" in ui.row("OLD_OPENROUTER_KEY")
        assert "? half-written" in ui.text and "its priority is not a" in ui.row("half-written")


async def test_the_next_pick_is_marked_only_where_it_is_certain(home: Path) -> None:
    """fill_first marks its first ready row, least_used the least used, random none."""
    write_store(
        home,
        {
            "openrouter": [a_key("aaa001", "one", **benched()), a_key("aaa002", "two", priority=1)],
            "deepseek": [a_key("bbb001", "three", request_count=9), a_key("bbb002", "four", request_count=2)],
            "zai": keys("ccc001", "ccc002"),
        },
    )
    (home / "config.yaml").write_text("credential_pool_strategies: {deepseek: least_used, zai: random}\n")
    async with running(home, (80, 24)) as ui:
        assert [line.split()[2] for line in ui.lines if line.startswith("▸")] == ["two", "four"]
        ui.sees("zai  2/2 ready  any of 2")


async def test_the_status_bar_counts_what_the_rows_say(home: Path) -> None:
    """The bar's counts are the counts of the rows on screen, and the home is named."""
    write_scene(home, NOW)
    async with running(home, (120, 40)) as ui:
        ui.sees("7 ready  3 cooling  1 log in  3 no secret  1 bad", "● live", "/home ")


async def test_a_pool_with_nothing_ready_says_when_and_what_instead(home: Path) -> None:
    """Its headline names the time, how many are ready then, and the fallback that serves meanwhile."""
    pools = {"openai-api": [a_key("aaa001", **benched(429, until=NOW + 3511))], "openrouter": keys("bbb001")}
    write_store(home, pools)
    (home / "config.yaml").write_text("fallback_providers:\n  - {provider: openrouter, model: m}\n")
    async with running(home, (80, 24)) as ui:
        ui.sees("openai-api  0/1 ready until 15:00:42, then 1 → openrouter")


async def test_the_clock_alone_moves_countdowns_and_ends_them(home: Path) -> None:
    """Without any file event the time left shrinks, at its end the row is tried, a minute later ready (FS-62, FS-05)."""
    write_store(home, {"openrouter": [a_key("aaa001", "one", **benched(429, until=NOW + 90))]})
    async with running(home, (80, 24)) as ui:
        assert "1m30s 429" in ui.line("◐ one")
        await ui.tick(30)
        assert "1m00s 429" in ui.line("◐ one")
        await ui.tick(60)
        ui.sees("1/1 ready", "1 ready", "◔ one", "◔ probing: the next request tries it")
        await ui.tick(60)
        assert "ready" in ui.line("● one")


async def test_a_token_about_to_end_turns_into_a_warning_by_the_clock(home: Path) -> None:
    """Ten minutes before its end a token is warned of; after it the row is out until hermes renews it."""
    row = a_key("aaa001", "login", auth_type="oauth", refresh_token="r", expires_at_ms=(NOW + 700) * 1000)
    write_store(home, {"anthropic": [row]})
    async with running(home, (120, 40)) as ui:
        assert "token ends" not in ui.line("│▸ ● login")
        await ui.tick(101)
        assert "ready · token ends" in ui.line("│▸ △ login")
        await ui.tick(600)
        ui.sees("0/1 ready")
        assert "token ended, hermes renews it" in ui.line("○ login")


async def test_cursor_moves_over_pane_borders_and_back(home: Path) -> None:
    """Keys move row by row, pane by pane, and to both ends."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002"), "deepseek": keys("bbb001")})
    async with running(home, (80, 24)) as ui:
        assert ui.cursor == ("openrouter", "aaa001")
        await ui.press("j", "down")
        assert ui.cursor == ("deepseek", "bbb001")
        await ui.press("k")
        assert ui.cursor == ("openrouter", "aaa002")
        await ui.press("tab")
        assert ui.cursor == ("deepseek", "bbb001")
        await ui.press("shift+tab")
        assert ui.cursor == ("openrouter", "aaa001")
        await ui.press("G")
        assert ui.cursor == ("deepseek", "bbb001")
        await ui.press("g")
        assert ui.cursor == ("openrouter", "aaa001")


async def test_cursor_stays_on_its_row_when_rows_move(home: Path) -> None:
    """Reordered rows take the cursor along; a removed row hands it to the one in its place."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002", "aaa003")})
    async with running(home, (80, 24)) as ui:
        await ui.press("j")
        write_store(home, {"openrouter": keys("aaa003", "aaa001", "aaa002")})
        await ui.reload()
        assert ui.cursor == ("openrouter", "aaa002")
        write_store(home, {"openrouter": keys("aaa003", "aaa001")})
        await ui.reload()
        assert ui.cursor == ("openrouter", "aaa001")


async def test_far_rows_scroll_into_view_and_change_there(home: Path) -> None:
    """The cursor's row is always visible, and rows that were off screen show their newest state."""
    rows = [a_key(f"a{place:05d}", f"row-{place:03d}", priority=place) for place in range(120)]
    write_store(home, {"openrouter": rows})
    async with running(home, (80, 24)) as ui:
        await ui.press("G")
        ui.sees("row-119")
        assert "row-000" not in ui.text
        rows[0].update(benched(429, until=NOW + 50))
        write_store(home, {"openrouter": rows})
        await ui.reload()
        await ui.press("g")
        assert "50s 429" in ui.line("row-000")
        await ui.press("pagedown", "pagedown")
        assert ui.cursor is not None and ui.cursor[1] is not None
        assert f"row-{int(ui.cursor[1][1:]):03d}" in ui.text


async def test_only_problems_and_back(home: Path) -> None:
    """``!`` leaves the pools with a row that is out; ``esc`` brings the others back."""
    write_store(home, {"openrouter": keys("aaa001"), "deepseek": [a_key("bbb001", **benched())]})
    async with running(home, (80, 24)) as ui:
        await ui.press("exclamation_mark")
        ui.sees("deepseek", "problems only")
        assert "openrouter" not in ui.text
        await ui.press("escape")
        ui.sees("deepseek", "openrouter")


async def test_only_problems_with_none_says_so(home: Path) -> None:
    """Where every key is ready the problems view says that, and how to leave it."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, (80, 24)) as ui:
        await ui.press("exclamation_mark")
        ui.sees("every key is ready", "esc shows all pools again")


async def test_masking_hides_names_mails_and_messages(home: Path) -> None:
    """With names masked neither label nor the provider's words are on screen; states are."""
    row = a_key(
        "aaa001", "boss@corp.com", **benched(429, last_error_message="limit of boss@corp.com reached")
    )
    write_store(home, {"openrouter": [row]})
    async with running(home, (120, 40)) as ui:
        ui.sees("boss@corp.com", "limit of")
        await ui.press("m")
        assert "boss" not in ui.text and "limit of" not in ui.text
        ui.sees("key 1", "429", "masked")


@pytest.mark.parametrize("size", SIZES)
async def test_hostile_labels_stay_text(home: Path, size: tuple[int, int]) -> None:
    """Markup, escape sequences, line breaks, bidi marks and endless labels neither crash nor leave their cell."""
    labels = [
        "[/x]",
        "[bold]b",
        "a\x1b]0;t\x07b\x1b[31m",
        "a\nb\r\tc",
        "\u202eabc\u2066",
        "x" * 300,
        "鍵" * 40,
        "e\u0301" * 9,
    ]
    write_store(
        home, {"openrouter": [a_key(f"aaa{n:03d}", label, priority=n) for n, label in enumerate(labels)]}
    )
    async with running(home, size) as ui:
        for _ in labels:
            await ui.press("j")
        ui.sees("[/x]", "[bold]b")
        assert not any(ord(char) < 0x20 or char in "\u202e\u2066\x7f" for char in ui.text.replace("\n", ""))
        assert all(width(line) <= size[0] for line in ui.lines)
        svg = ui.app.export_screenshot()
        assert "\x1b" not in svg


async def test_a_secret_in_a_message_is_in_no_frame_and_no_picture(home: Path) -> None:
    """Known secrets are taken out of messages, labels and addresses before anything is drawn."""
    secret = "sk-planted-0123456789abcdef"
    row = a_key(
        "aaa001",
        f"mine {secret}",
        access_token=secret,
        base_url=f"https://x.example/?key={secret}",
        **benched(429, last_error_message="y" * 300 + secret + " is limited"),
    )
    write_store(home, {"openrouter": [row]})
    async with running(home, (200, 60)) as ui:
        assert secret[3:] not in ui.text
        assert secret[3:] not in ui.app.export_screenshot()
        ui.sees("mine ***")


async def test_unreadable_store_keeps_the_last_good_view(home: Path) -> None:
    """A broken file shows a banner with reason and age; rows stay; when it is mended the banner goes."""
    good = write_store(home, {"openrouter": keys("aaa001", "aaa002")}).read_text()
    async with running(home, (120, 40)) as ui:
        (home / "auth.json").write_text(good[:200])
        await ui.tick(12)
        await ui.reload()
        ui.sees(
            "! auth.json: not valid JSON (line",
            "Showing the last good copy, 12s old",
            "Writes are off",
            "aaa001",
        )
        assert ui.app.screen.has_class("-stale")
        await ui.tick(5)
        ui.sees("17s old")
        (home / "auth.json").write_text(good)
        await ui.reload()
        assert "! auth.json" not in ui.text and not ui.app.screen.has_class("-stale")


async def test_a_broken_config_is_told_and_blocks_the_strategy(home: Path) -> None:
    """A YAML error shows with its line; the strategy dialog says why nothing can be written."""
    write_store(home, {"openrouter": keys("aaa001")})
    (home / "config.yaml").write_text("a: 1\nb: [\n")
    before = tree(home)
    async with running(home, (120, 40)) as ui:
        ui.sees("! config.yaml:", "line")
        await ui.press("s")
        ui.sees("cannot be changed")
        await ui.press("j", "enter", "escape")
    assert tree(home) == before


async def test_empty_home_says_what_is_missing_and_what_to_type(home: Path) -> None:
    """Without any credential the screen names the file, and the command that adds a key."""
    async with running(home, (80, 24)) as ui:
        ui.sees("there is no auth.json in", "keydeck auth add openrouter", "keydeck --demo")
        write_store(home, {"openrouter": keys("aaa001")})
        await ui.reload()
        ui.sees("openrouter  1/1 ready")
        assert "keydeck auth add" not in ui.text
    assert [path.name for path in home.iterdir()] == ["auth.json"]


async def test_keys_of_the_environment_show_as_offered(home: Path) -> None:
    """A key in the environment stands in its pool although nothing is stored, and stays unstored."""
    async with running(home, (120, 40), env={"OPENROUTER_API_KEY": "sk-or-offered-key"}) as ui:
        ui.sees("openrouter  1/1 ready", "OPENROUTER_API_KEY", "offered, not stored yet")
    assert not home.exists()


async def test_a_pool_that_is_no_list_is_told_and_hides_nothing(home: Path) -> None:
    """A pool of another shape is named in the banner; the others are shown."""
    write_store(home, {"openrouter": keys("aaa001"), "deepseek": {"a": 1}})
    async with running(home, (120, 40)) as ui:
        ui.sees("pool deepseek cannot be shown", "openrouter  1/1 ready")


async def test_inherited_rows_are_named_so(tmp_path: Path) -> None:
    """In a profile without rows of its own the root's rows show, as read-only."""
    root = tmp_path / "root"
    write_store(root, {"openrouter": keys("aaa001")})
    (root / "profiles" / "work").mkdir(parents=True)
    async with running(root, (120, 40), profile="work") as ui:
        ui.sees("from the root profile, read-only", "(work)", "the root profile's")
    assert not (root / "profiles" / "work" / "auth.json").exists()


async def test_too_small_a_terminal_says_so(home: Path) -> None:
    """Under 40x10 one line says what is needed; growing brings the panes back."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, (30, 8)) as ui:
        ui.sees("too small: 30x8")
        await ui.pilot.resize_terminal(80, 24)
        await ui.settle()
        ui.sees("openrouter  1/1 ready")


async def test_frames_come_and_go_with_the_height(home: Path) -> None:
    """From 32 lines on panes are framed and the selected key has a card; below, neither."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, (120, 40)) as ui:
        ui.sees("╭─ openrouter", "the next request goes here")
        await ui.pilot.resize_terminal(120, 24)
        await ui.settle()
        assert "╭─ openrouter" not in ui.text
        await ui.pilot.resize_terminal(120, 40)
        await ui.settle()
        ui.sees("╭─ openrouter")


async def test_the_mouse_selects_rows_and_opens_the_strategy(home: Path) -> None:
    """A click puts the cursor on a row; a click on the strategy opens its dialog; one on the bar acts."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, (80, 24)) as ui:
        await ui.pilot.click(offset=(10, 3))
        await ui.settle()
        assert ui.cursor == ("openrouter", "aaa002")
        await ui.pilot.click(offset=(75, 1))
        await ui.settle()
        ui.sees("openrouter: how it picks")
        await ui.press("escape")
        await ui.pilot.click(offset=(2, 23))
        await ui.settle()
        ui.sees("╭─ keys", "next line")


async def test_a_quiet_dashboard_draws_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing cooling a tick redraws no line."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    async with running(home, (120, 40)) as ui:
        drawn: list[int] = []
        pane = next(ui.app._pools._stack.panes())
        monkeypatch.setattr(pane, "refresh_line", drawn.append)
        for _ in range(5):
            await ui.tick()
        assert drawn == []


async def test_only_moving_rows_are_redrawn(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick redraws the cooling row and no other."""
    write_store(home, {"openrouter": [*keys("aaa001", "aaa002"), a_key("aaa003", priority=2, **benched())]})
    async with running(home, (120, 40)) as ui:
        drawn: list[int] = []
        pane = next(ui.app._pools._stack.panes())
        monkeypatch.setattr(pane, "refresh_line", drawn.append)
        await ui.tick()
        assert drawn == [3]


async def test_looking_writes_nothing(home: Path) -> None:
    """Opening, moving, every dialog, cancelling, reloading and quitting leave the home as it was (FS-48)."""
    write_scene(home, NOW)
    before = tree(home)
    async with running(home, (80, 24)) as ui:
        await ui.press(
            "j", "G", "g", "tab", "s", "j", "escape", "question_mark", "escape", "m", "exclamation_mark"
        )
        await ui.press("escape", "ctrl+r")
        await ui.tick()
        await ui.press("q")
    assert tree(home) == before
    assert json.loads((home / "auth.json").read_bytes()) == load(home)


async def test_a_wide_label_column_leaves_room_for_everything_else(home: Path) -> None:
    """Long labels are cut with an ellipsis; the status stays readable."""
    write_store(home, {"openrouter": [a_key("aaa001", "n" * 80, **benched(402, until=NOW + 79_800))]})
    async with running(home, (80, 24)) as ui:
        assert "…" in ui.line("◐ nnnn") and "22h10m 402" in ui.line("◐ nnnn")


async def test_pools_come_go_and_change_places(home: Path) -> None:
    """Panes follow the store's order; a pool that leaves and comes back is there once."""
    one, two, three = keys("aaa001"), keys("bbb001"), keys("ccc001")
    write_store(home, {"openrouter": one, "deepseek": two, "zai": three})
    async with running(home, (80, 24)) as ui:

        def panes() -> list[str]:
            return [line.removeprefix("▌").split()[0] for line in ui.lines if line.endswith("fill_first")]

        assert panes() == ["openrouter", "deepseek", "zai"]
        write_store(home, {"zai": three, "openrouter": one})
        await ui.reload()
        assert panes() == ["zai", "openrouter"]
        write_store(home, {"deepseek": two, "zai": three, "openrouter": one})
        await ui.reload()
        assert panes() == ["deepseek", "zai", "openrouter"]
        write_store(home, {})
        await ui.reload()
        write_store(home, {"openrouter": one, "zai": three})
        await ui.reload()
        assert panes() == ["openrouter", "zai"]
