"""Every screen and dialog in each of its states: what is in the home, how the program starts, which keys are pressed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes import NOW, a_key, a_pool, benched, keys, load, write_store
from keydeck.dashboard.settings import Settings, SettingsFile
from keydeck.demo.past import write_scene_with_past
from keydeck.demo.scene import ENVIRONMENT, write_scene
from keydeck.present.glyphs import ASCII
from ui import Ui

Prepare = Callable[[Path], None]
Then = Callable[[Ui, Path], Awaitable[None]]


def scene(home: Path) -> None:
    write_scene(home, NOW)


def past(home: Path) -> None:
    write_scene_with_past(home, NOW)


def duplicates(home: Path) -> None:
    same = "sk-the-very-same-key"
    rows = [a_key("aaa001", "team", access_token=same, request_count=30), a_key("aaa002", "lone", priority=1)]
    write_store(home, {"openrouter": [*rows, a_key("aaa003", "team again", priority=2, access_token=same)]})


def turns(home: Path) -> None:
    """Three keys by turns, the first of them used last, the third one out."""
    rows = [*keys("aaa001", "aaa002"), a_key("aaa003", priority=2, **benched(429, until=NOW + 900))]
    write_store(home, {"openrouter": rows})
    (home / "config.yaml").write_text("credential_pool_strategies: {openrouter: round_robin}\n")
    with a_pool(home) as pool:
        pool.select()


def all_out(home: Path) -> None:
    rows = [
        a_key("aaa001", "tired", **benched(429, until=NOW + 900)),
        a_key("aaa002", "broke", **benched(402)),
    ]
    write_store(home, {"openrouter": rows})


def nothing(home: Path) -> None:
    write_store(home, {})


def all_well(home: Path) -> None:
    write_store(home, {"openrouter": keys("aaa001", "aaa002"), "deepseek": keys("bbb001")})


def last_ready(home: Path) -> None:
    out = a_key("aaa002", "tired", priority=1, **benched(429, until=NOW + 900))
    write_store(home, {"openrouter": [a_key("aaa001", "only-one"), out]})


def unknown_strategy(home: Path) -> None:
    all_well(home)
    (home / "config.yaml").write_text("credential_pool_strategies: {openrouter: quota_aware}\n")


def managed(home: Path) -> None:
    all_well(home)
    (home / ".managed").touch()


def broken_config(home: Path) -> None:
    all_well(home)
    (home / "config.yaml").write_text("a: [1\n")


def inherited(home: Path) -> None:
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    (home / "profiles" / "work").mkdir(parents=True)


def odd_pools(home: Path) -> None:
    write_store(home, {"openrouter": keys("aaa001"), "deepseek": "a word"})


POLICY = """\
credential_pool:
  cooldown:
    429: 90s
    usage_limit: {wait: 2h, sole_cap: 3h}
    500: soon
    providers:
      anthropic: {forbidden: 0}
    keys:
      b7740e: {429: 10s}
"""


def policy(home: Path) -> None:
    past(home)
    with (home / "config.yaml").open("a") as config:
        config.write(POLICY)


async def break_store(ui: Ui, home: Path) -> None:
    (home / "auth.json").write_text('{"version": 1,')
    ui.clock.forward(12)
    await ui.reload()


async def change_outside(ui: Ui, home: Path) -> None:
    document = load(home)
    document["credential_pool"]["anthropic"][0].update(benched(429, until=NOW + 600))
    del document["credential_pool"]["nous"][1]
    write_store(home, document["credential_pool"])
    await ui.reload()


async def remove_outside(ui: Ui, home: Path) -> None:
    document = load(home)
    del document["credential_pool"]["anthropic"][0]
    write_store(home, document["credential_pool"])
    await ui.reload()


async def an_hour_passes(ui: Ui, _home: Path) -> None:
    await ui.tick(3600)


@dataclass(frozen=True)
class State:
    """One picture of the program."""

    keys: tuple[str, ...] = ()
    prepare: Prepare = scene
    then: Then | None = None
    more: tuple[str, ...] = ()
    """Keys pressed after `then`."""
    options: dict[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENT)


def typed(text: str) -> tuple[str, ...]:
    """Return the keys that type a text."""
    names = {
        " ": "space",
        ":": "colon",
        "/": "slash",
        "-": "minus",
        "!": "exclamation_mark",
        ".": "full_stop",
        ",": "comma",
    }
    return tuple(names.get(char, char) for char in text)


class InMemory(SettingsFile):
    """Settings that are given, not read."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(None)
        self._given = settings

    def load(self) -> Settings:
        return self._given


def with_settings(**values: Any) -> dict[str, Any]:
    return {"settings_file": InMemory(Settings(**values))}


TO_KEY_FIELD = ("a", "enter")
TO_LABEL = (*TO_KEY_FIELD, *typed("sk-or-v1-a-new-key-for-tests"), "enter")

STATES: dict[str, State] = {
    # the pools
    "pools": State(("j", "j", "j", "j")),
    "pools-hour-later": State(then=an_hour_passes),
    "pools-changed-outside": State(then=change_outside),
    "pools-masked": State(("m", "j")),
    "pools-read-only": State(("j",), options={"read_only": True}),
    "pools-ascii": State(("j", "v", "j"), options={"glyphs": ASCII}),
    "pools-marked": State(("v", "v", "j", "v")),
    "pools-filtered": State(("slash", *typed("state:cool"), "enter")),
    "pools-filter-typed": State(("slash", *typed("team"))),
    "pools-filter-bad": State(("slash", *typed("code:abc"))),
    "pools-filter-nothing": State(("slash", *typed("zzz"))),
    "pools-problems": State(("exclamation_mark",)),
    "pools-no-problems": State(("exclamation_mark",), all_well, env={}),
    "pools-sorted": State(("o", "o", "o")),
    "pools-reversed": State(("O",)),
    "pools-zoomed": State(("z",)),
    "pools-folded": State(("minus",)),
    "pools-all-folded": State(("underscore",)),
    "pools-wide": State(("w",)),
    "pools-frozen": State(("p",), then=change_outside),
    "pools-times-both": State(options=with_settings(times="both")),
    "pools-times-until": State(options=with_settings(times="until")),
    "pools-density-short": State(options=with_settings(density="short")),
    "pools-density-tall": State(options=with_settings(density="tall")),
    "pools-with-past": State(("j", "j"), past),
    "pools-with-past-wide": State(("w",), past),
    "pools-with-past-ascii": State(("j",), past, options={"glyphs": ASCII}),
    "pools-with-streak": State(("tab", "j"), past),
    "pools-with-probe": State((*("tab",) * 4, "j"), past),
    "pools-duplicates": State(("j",), duplicates, env={}),
    "pools-empty": State(prepare=nothing, env={}),
    "pools-inherited": State(prepare=inherited, options={"profile": "work"}),
    "pools-broken-store": State(then=break_store),
    "pools-broken-config": State(prepare=broken_config),
    "pools-unreadable-pool": State(prepare=odd_pools),
    "pools-told": State(("n",), last_ready),
    "pools-refused": State(("n",), inherited, options={"profile": "work"}),
    "pools-undo": State(("d", "y"), all_well),
    # one key in full
    "detail-cooling": State(("j", "j", "j", "j", "enter")),
    "detail-ready": State(("enter",)),
    "detail-next": State(("j", "enter")),
    "detail-dead": State(("j", "j", "enter")),
    "detail-token-ends": State(("tab", "tab", "enter")),
    "detail-no-secret": State(("tab", "j", "j", "enter")),
    "detail-bad-row": State(("G", "enter")),
    "detail-with-past": State(("j", "j", "j", "enter"), past),
    "detail-streak": State(("tab", "j", "enter"), past),
    "detail-probing": State((*("tab",) * 4, "j", "enter"), past),
    "detail-in-flight": State(("enter",), past),
    "detail-limit": State(("j", "enter"), past),
    "detail-account": State((*("tab",) * 3, "enter"), past),
    "detail-paused": State((*("tab",) * 4, "j", "j", "j", "enter"), past),
    "detail-duplicate": State(("enter",), duplicates, env={}),
    "detail-masked": State(("m", "enter")),
    "detail-turn": State(("enter",), turns, env={}),
    "detail-all-out": State(("j", "enter"), all_out, env={}),
    "detail-gone": State(("enter",), then=remove_outside),
    # what happened
    "events": State(("2",), past),
    "events-scrolled": State(("2", *("j",) * 7), past),
    "events-filtered": State(("2", "slash", *typed("state:cool"), "enter"), past),
    "events-filter-typed": State(("2", "slash", *typed("burst")), past),
    "events-filter-nothing": State(("2", "slash", *typed("zzz"), "enter"), past),
    "events-masked": State(("2", "m", "j", "j"), past),
    "events-ascii": State(("2", "j"), past, options={"glyphs": ASCII}),
    "events-read-only": State(("2",), past, options={"read_only": True}),
    "events-empty": State(("2",), nothing, env={}),
    "help-events": State(("2", "question_mark"), past),
    # lists
    "help": State(("question_mark",)),
    "help-searched": State(("question_mark", *typed("reset"))),
    "help-nothing": State(("question_mark", *typed("zzz"))),
    "help-detail": State(("enter", "question_mark")),
    "help-ascii": State(("question_mark",), options={"glyphs": ASCII}),
    "help-read-only": State(("question_mark",), options={"read_only": True}),
    "palette": State(("ctrl+p",)),
    "palette-searched": State(("ctrl+p", *typed("open"))),
    "theme": State(("T",)),
    # questions
    "remove": State(("j", "j", "j", "d")),
    "remove-env": State(("tab", "d")),
    "remove-last-ready": State(("d",), last_ready),
    "remove-several": State(("v", "v", "d")),
    "reset-pool": State(("R",)),
    # strategy
    "strategy": State(("s",)),
    "strategy-other": State(("s", "j")),
    "strategy-unknown": State(("s",), unknown_strategy),
    "strategy-managed": State(("s",), managed),
    "strategy-masked": State(("m", "s")),
    # adding
    "add-provider": State(("a",)),
    "add-provider-searched": State(("a", *typed("deep"))),
    "add-provider-nothing": State(("a", *typed("zzz zzz"))),
    "add-key": State(TO_KEY_FIELD),
    "add-key-typed": State((*TO_KEY_FIELD, *typed("sk-or-v1-a-new-key"))),
    "add-key-bad": State((*TO_KEY_FIELD, *typed("sk-or ***"))),
    "add-label": State(TO_LABEL),
    "add-refused": State((*TO_LABEL, *typed("burst-key"), "enter")),
    "add-ascii": State(TO_KEY_FIELD, options={"glyphs": ASCII}),
    # editing
    "edit": State(("j", "j", "j", "e")),
    "edit-env": State(("tab", "e")),
    "edit-refused": State(("j", "j", "j", "e", *("backspace",) * 9, *typed("old-laptop"), "enter")),
    # cooldowns
    "cooldowns": State(("C",), policy),
    "cooldowns-everywhere": State(("4", "C"), policy),
    "cooldowns-ascii": State(("C", "j"), policy, options={"glyphs": ASCII}),
    "cooldowns-masked": State(("m", "C", "G"), policy),
    "cooldowns-read-only": State(("C", "G"), policy, options={"read_only": True}),
    "cooldown": State(("C", "j", "enter"), policy),
    "cooldown-preview": State(("C", "j", "enter", "0"), policy),
    "cooldown-nothing": State(("C", "j", "enter", *typed("20m")), policy),
    "cooldown-status": State(("C", "G", "enter", *typed("50")), policy),
    "cooldown-refused": State(("C", "j", "enter", *typed("soon"), "enter"), policy),
    "cooldown-masked": State(("m", "C", "j", "enter", "0"), policy),
    "cooldown-managed": State(("C", "enter"), managed),
    "cooldown-told": State(("C", "j", "enter", *typed("5m"), "enter"), policy),
    # settings
    "settings": State(("4",)),
    "settings-by-flag": State(("4",), options={"glyphs": ASCII, "masked": True, "read_only": True}),
    "settings-changed": State(("4", "j", "enter")),
}
