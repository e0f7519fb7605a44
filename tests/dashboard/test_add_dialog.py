from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual import events
from textual.widgets import Input

from fakes import a_key, a_login, keys, load, lock_held, tree, write_store
from keydeck.dashboard.dialogs.add_key import AddKeyDialog
from keydeck.dashboard.widgets.secret_input import SecretInput
from keydeck.engine.secret import Secret
from keydeck.present.glyphs import ASCII
from ui import SIZES, Ui, running

SECRET = "sk-planted-0123456789abcdef"


async def paste(ui: Ui, text: str) -> None:
    ui.app.post_message(events.Paste(text))
    await ui.settle()


def dialog(ui: Ui) -> AddKeyDialog:
    assert isinstance(ui.app.screen, AddKeyDialog)
    return ui.app.screen


def rows(home: Path, provider: str = "openrouter") -> list[dict[str, object]]:
    return list(load(home)["credential_pool"][provider])


async def to_key(ui: Ui, secret: str = SECRET) -> None:
    """Open the dialog and enter a key for the provider under the cursor."""
    await ui.press("a", "enter")
    await paste(ui, secret)


@pytest.mark.parametrize("size", SIZES)
async def test_three_steps_add_a_key_that_is_shown_nowhere(home: Path, size: tuple[int, int]) -> None:
    """Provider, key and label follow each other in one frame at every size; nothing ever shows the key."""
    write_store(home, {"openrouter": keys("aaa001")})
    seen: list[str] = []
    async with running(home, size) as ui:

        def look(*texts: str) -> None:
            ui.sees(*texts, "╭─", "╰─", "╯")
            seen.extend((ui.text, ui.app.export_screenshot(), repr(ui.app.screen.tree)))
            seen.extend(repr(vars(node)) for node in (dialog(ui), dialog(ui).query_one(SecretInput)))

        await ui.press("a")
        look("add a key   step 1 of 3", "openrouter", "1 key here", "enter next", "esc cancel")
        await ui.press("enter")
        look("step 2 of 3", "(•) API key", "( ) OAuth", "paste or type it", "esc back")
        await paste(ui, SECRET)
        look("received, new here", "•" * 24)
        await ui.press("enter")
        look("step 3 of 3", "api-key-2", "https://openrouter.ai/api/v1", "enter add")
        await ui.press(*"mine")
        look("mine")
        await ui.press("enter")
        await ui.until(lambda: len(ui.app.screen_stack) == 1)
        seen += [ui.text, ui.app.clipboard]
        assert not [text for text in seen if SECRET in text or SECRET[3:] in text]
    row = rows(home)[1]
    assert (row["label"], row["access_token"], row["source"]) == ("mine", SECRET, "manual")
    assert row["base_url"] == "https://openrouter.ai/api/v1"


async def test_a_blank_label_and_address_are_what_the_fields_suggest(home: Path) -> None:
    """Enter through all steps gives the label and the address that stood there as placeholders."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, (80, 24)) as ui:
        await to_key(ui)
        await ui.press("enter", "enter")
        assert (rows(home)[1]["label"], rows(home)[1]["base_url"]) == (
            "api-key-2",
            "https://openrouter.ai/api/v1",
        )


async def test_the_provider_under_the_cursor_is_chosen_at_first(home: Path) -> None:
    """The list begins with the pools, in their order, and stands on the one the cursor was in."""
    write_store(home, {"gemini": keys("ggg001"), "openrouter": keys("aaa001"), "deepseek": keys("ddd001")})
    async with running(home, (80, 24)) as ui:
        await ui.press("j", "a")
        places = [ui.text.index(f"{name}  ") for name in ("gemini", "openrouter", "deepseek", "nous")]
        assert places == sorted(places)
        await ui.press("enter")
        ui.sees("provider  openrouter")


async def test_typing_finds_a_provider_by_id_name_or_alias(home: Path) -> None:
    """What is typed narrows the list, the likeliest first, and enter takes it."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, (80, 24)) as ui:
        for typed, found in (("google", "gemini"), ("moon", "kimi-coding"), ("gro", "xai"), ("z.ai", "zai")):
            await ui.press("a", *("full_stop" if char == "." else char for char in typed), "enter")
            ui.sees("step 2 of 3", f"provider  {found}")
            await ui.press("escape", "escape")
            assert len(ui.app.screen_stack) == 1


async def test_arrows_and_the_mouse_choose_a_provider(home: Path) -> None:
    """Down moves in the list while the field keeps the keyboard; a click takes what it hits."""
    write_store(home, {"openrouter": keys("aaa001"), "gemini": keys("ggg001")})
    async with running(home, (80, 24)) as ui:
        await ui.press("a", "down", "enter")
        ui.sees("provider  gemini")
        await ui.press("escape", "up", "up", "enter")
        ui.sees("provider  openrouter")
        await ui.press("escape")
        y = next(y for y, line in enumerate(ui.lines) if "openai-api" in line)
        await ui.pilot.click(offset=(ui.lines[y].index("openai-api"), y))
        await ui.settle()
        ui.sees("provider  openai-api")


async def test_a_provider_without_keys_says_how_it_logs_in(home: Path) -> None:
    """It is listed with the command that logs in, and enter explains instead of going on."""
    write_store(home, {"nous": [a_login("lll001")]})
    async with running(home, (80, 24)) as ui:
        await ui.press("a")
        ui.sees("login only: hermes auth add nous", "login only: hermes auth add openai-codex")
        await ui.press("enter")
        ui.sees("step 1 of 3", "Nous Portal takes no API keys")
        await ui.press(*"bedrock", "enter")
        ui.sees("step 1 of 3", "AWS Bedrock takes no API keys; it has none")


async def test_a_free_name_is_an_endpoint_and_needs_an_address(home: Path) -> None:
    """A name nobody knows is offered as ``custom:``; its address is asked for before it is added."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, (80, 24)) as ui:
        await ui.press("a", *"mybox")
        ui.sees("custom:mybox", "an endpoint of your own")
        await ui.press("enter")
        await paste(ui, SECRET)
        await ui.press("enter", "enter")
        ui.sees("where do its requests go?")
        await ui.press("enter")
        ui.sees("config.yaml has no endpoint custom:mybox")
        await paste(ui, "https://box.example/v1/")
        await ui.press("enter")
        assert len(ui.app.screen_stack) == 1
        assert rows(home, "custom:mybox")[0]["base_url"] == "https://box.example/v1"


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("changeme", "it is a placeholder"),
        ("sk-…0123", "it is masked"),
        ("${OPENAI_API_KEY}", "it refers to a variable"),
        ("sk-one\nsk-two", "it has control characters"),
        ("sk one", "it has white space inside"),
        ("abc", "it is too short"),
    ],
)
async def test_what_is_no_key_is_refused_as_it_is_entered(home: Path, secret: str, reason: str) -> None:
    """The reason stands there at once, enter does not go on, and nothing is written."""
    write_store(home, {"openrouter": keys("aaa001")})
    before = tree(home)
    async with running(home, (80, 24)) as ui:
        await to_key(ui, secret)
        ui.sees(f"that is not a key: {reason}")
        await ui.press("enter")
        ui.sees("step 2 of 3", reason)
        await ui.press("ctrl+u", "enter")
        ui.sees("step 2 of 3", "paste or type the key")
    assert tree(home) == before


async def test_a_key_that_is_there_already_is_named(home: Path) -> None:
    """In this pool it is refused with its label; in another one that is a note, and it can be added."""
    write_store(
        home,
        {
            "openrouter": [a_key("aaa001", "mine", access_token=SECRET)],
            "gemini": keys("ggg001"),
        },
    )
    async with running(home, (80, 24)) as ui:
        await to_key(ui)
        ui.sees("that key is in this pool already as mine")
        await ui.press("enter")
        ui.sees("step 2 of 3")
        await ui.press("escape", "down", "enter")
        ui.sees("provider  gemini", "received; it is also mine in openrouter")
        await ui.press("enter", "enter")
        assert rows(home, "gemini")[1]["access_token"] == SECRET


async def test_names_stay_hidden_while_they_are_masked(home: Path) -> None:
    """With names masked the holder of the same key is told by its place."""
    write_store(home, {"openrouter": [a_key("aaa001", "ann@corp.com", access_token=SECRET)]})
    async with running(home, (80, 24), masked=True) as ui:
        await to_key(ui)
        ui.sees("that key is in this pool already as key 1")
        assert "ann@corp.com" not in ui.text


async def test_going_back_and_forth_loses_nothing(home: Path) -> None:
    """Filter, key, label and address survive every way back; the key's field is emptied as it is left."""
    write_store(home, {"openrouter": keys("aaa001"), "gemini": keys("ggg001")})
    async with running(home, (80, 24)) as ui:
        await ui.press("a", *"gem", "enter")
        await paste(ui, SECRET)
        await ui.press("enter", *"mine", "tab", *"http", "shift+tab", "shift+tab")
        field = dialog(ui).query_one(SecretInput)
        assert field.is_empty
        ui.sees("step 2 of 3", "key received, type to replace it", "received, new here")
        await ui.press("up")
        ui.sees("step 1 of 3", "gem")
        await ui.press("enter", "enter")
        ui.sees("step 3 of 3", "mine", "http", "provider  gemini")
        await ui.press("escape")
        await paste(ui, SECRET + "-other")
        await ui.press("escape")
        assert field.is_empty
        await ui.press("enter", "enter", "tab", "end", *(["backspace"] * 4), "enter")
        assert len(ui.app.screen_stack) == 1
        added = rows(home, "gemini")[1]
        assert (added["label"], added["access_token"]) == ("mine", SECRET + "-other")


async def test_a_refusal_keeps_everything_and_can_be_mended(home: Path) -> None:
    """A taken label is refused in the dialog; the key and the rest are still there for the second try."""
    write_store(home, {"openrouter": keys("aaa001")})
    before = tree(home)
    async with running(home, (80, 24)) as ui:
        await to_key(ui)
        await ui.press("enter")
        await paste(ui, "key-aaa001")
        await ui.press("enter")
        ui.sees("step 3 of 3", "the label key-aaa001 is taken by aaa001")
        assert tree(home)["auth.json"] == before["auth.json"]
        await ui.press("2", "enter")
        assert len(ui.app.screen_stack) == 1
        assert (rows(home)[1]["label"], rows(home)[1]["access_token"]) == ("key-aaa0012", SECRET)


async def test_esc_gives_up_on_a_busy_lock_and_keeps_everything(home: Path) -> None:
    """While another process holds the lock the dialog waits; esc ends that, and a second try adds the key."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, (80, 24)) as ui:
        await to_key(ui)
        await ui.press("enter", *"mine")
        with lock_held(home):
            await ui.pilot.press("enter")
            await ui.until(lambda: "adding …" in ui.text and "waiting for the lock" in ui.text)
            await ui.pilot.press("escape")
            await ui.until(lambda: "gave up waiting for the lock" in ui.text)
            ui.sees("step 3 of 3", "mine")
        assert len(rows(home)) == 1
        await ui.press("enter")
        assert len(ui.app.screen_stack) == 1
        assert (rows(home)[1]["label"], rows(home)[1]["access_token"]) == ("mine", SECRET)


async def test_cancel_and_success_drop_the_key(home: Path) -> None:
    """Once the dialog is left, by whichever door, neither it nor its field holds the key any more."""
    write_store(home, {"openrouter": keys("aaa001")})
    before = tree(home)
    async with running(home, (80, 24)) as ui:
        for leave in (("escape", "escape"), ("enter", "escape", "escape", "escape")):
            await to_key(ui)
            left = dialog(ui)
            field = left.query_one(SecretInput)
            await ui.press(*leave)
            assert len(ui.app.screen_stack) == 1
            assert not left._key and not field.peek()
        assert tree(home) == before
        await to_key(ui)
        left = dialog(ui)
        await ui.press("enter")
        assert left._key == Secret(SECRET)
        await ui.press("enter")
        assert len(rows(home)) == 2
        assert not left._key


async def test_a_key_pasted_into_another_field_is_not_shown(home: Path) -> None:
    """Whatever looks like a key is kept out of the fields that would show it, with the reason."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, (80, 24)) as ui:
        await ui.press("a")
        await paste(ui, SECRET)
        ui.sees("that looks like a key")
        assert SECRET[3:] not in ui.text
        await ui.press("enter")
        await paste(ui, "another-key-of-mine")
        await ui.press("enter")
        for field in ("add-label", "add-url"):
            dialog(ui).query_one(f"#{field}").focus()
            await paste(ui, SECRET)
            ui.sees("that looks like a key")
            assert not dialog(ui).query_one(f"#{field}", Input).value


async def test_labels_are_plain_text(home: Path) -> None:
    """Markup is stored and shown as typed; what steers a terminal does not survive the paste."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, (80, 24)) as ui:
        await to_key(ui)
        await ui.press("enter")
        await paste(ui, "[/x]\x1b[31m [@click=app.quit]\u202eteam\r\n")
        assert "\x1b" not in ui.text and "\u202e" not in ui.text
        ui.sees("[/x] [@click=app.quit]team")
        await ui.press("enter")
        assert len(ui.app.screen_stack) == 1
        assert rows(home)[1]["label"] == "[/x] [@click=app.quit]team"


async def test_hostile_pool_names_and_labels_do_not_break_the_list(home: Path) -> None:
    """Names from the store are cleaned and drawn as data in every step."""
    name = "custom:[/b]\x1b[2J" + "x" * 80
    write_store(home, {name: [a_key("aaa001", "[bold]\x1b]0;t\x07evil", access_token=SECRET)]})
    async with running(home, (60, 16)) as ui:
        await ui.press("a")
        ui.sees("custom:[/b]x", "…")
        await ui.press("enter")
        await paste(ui, SECRET)
        ui.sees("custom:[/b]xxx", "already as [bold]evil")
        assert "\x1b" not in ui.text


@pytest.mark.parametrize("size", SIZES)
async def test_every_step_is_ascii_where_that_is_wanted(home: Path, size: tuple[int, int]) -> None:
    """With --ascii no step draws another character, and the choice is marked by a sign."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, size, glyphs=ASCII) as ui:
        await ui.press("a")
        ui.sees("* openrouter")
        frames = [ui.text]
        await ui.press("enter")
        await paste(ui, SECRET)
        ui.sees("(*) API key", "*" * 24)
        frames.append(ui.text)
        await ui.press("enter", "tab", *"x", "enter")
        ui.sees("the base URL must be")
        frames.append(ui.text)
        assert all(text.isascii() for text in frames), frames


async def test_an_inherited_pool_says_what_a_key_of_its_own_means(tmp_path: Path) -> None:
    """Before a key is added beside the root's, the dialog says that the root's will not show any more."""
    root = tmp_path / "root"
    write_store(root, {"openrouter": keys("aaa001")})
    (root / "profiles" / "work").mkdir(parents=True)
    async with running(root, (80, 24), profile="work") as ui:
        await ui.press("a")
        ui.sees("1 key of the root profile", "no longer shows the root's keys")
        await ui.press("enter")
        await paste(ui, SECRET)
        await ui.press("enter", "enter")
        assert len(ui.app.screen_stack) == 1
    own = json.loads((root / "profiles" / "work" / "auth.json").read_text())
    assert own["credential_pool"]["openrouter"][0]["access_token"] == SECRET


async def test_no_cursor_blinks(home: Path) -> None:
    """Blinking would cost more than the rest of an idle screen."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, (80, 24)) as ui:
        for key in ("a", "e"):
            await ui.press(key)
            fields = list(ui.app.screen.query(Input))
            assert fields and not any(field.cursor_blink for field in fields)
            await ui.press("escape")


async def test_a_terminal_that_is_tiny_scrolls_to_the_field(home: Path) -> None:
    """At 40x10 the focused field of every step is on screen."""
    write_store(home, {"openrouter": keys("aaa001")})
    async with running(home, (40, 10)) as ui:
        await to_key(ui)
        ui.sees("•" * 24)
        await ui.press("enter", *"mine")
        ui.sees("mine")
        await ui.press("tab", *"http")
        ui.sees("http")
