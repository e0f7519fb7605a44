from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from fakes import a_key, benched, write_store
from keydeck.dashboard.settings import SettingsFile
from keydeck.dashboard.stylesheets import stylesheets
from keydeck.dashboard.themes import OWN_THEMES, THEMES, contrast, known_themes, variable_defaults
from keydeck.dashboard.widgets.lines import LineWidget
from keydeck.dashboard.widgets.pool_pane import PoolPane
from keydeck.present.spans import Role
from ui import running

OURS = ("ready", "cooling", "dead", "paused", "absent", "muted", "faint", "cursor-row")
TEXT = OURS[:6]
STATES = ("ready", "cooling", "dead")
ALL = {theme.name: theme for theme in (*THEMES, *BUILTIN_THEMES.values())}

# Linear RGB as somebody sees it who lacks one kind of cone: Machado 2009 at full severity, and Viénot 1999.
EYES = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deutan": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritan": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
    "protan, Viénot": ((0.11238, 0.88762, 0), (0.11238, 0.88762, 0), (0.00401, -0.00401, 1)),
    "deutan, Viénot": ((0.29275, 0.70725, 0), (0.29275, 0.70725, 0), (-0.02234, 0.02234, 1)),
}
Vector = tuple[float, float, float]


def linear(colour: str) -> Vector:
    """Return a colour's light."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in Color.parse(colour).normalized
    )
    return red, green, blue


def ratio(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG 2 counts it."""
    weights = (0.2126, 0.7152, 0.0722)
    dark, light = sorted(
        sum(w * p for w, p in zip(weights, linear(each), strict=True)) for each in (one, other)
    )
    return (light + 0.05) / (dark + 0.05)


def lab(light: Vector) -> Vector:
    """Return the CIE L*a*b* of linear RGB, white being D65."""
    red, green, blue = (min(max(part, 0.0), 1.0) for part in light)
    x = (0.4124564 * red + 0.3575761 * green + 0.1804375 * blue) / 0.95047
    y = 0.2126729 * red + 0.7151522 * green + 0.0721750 * blue
    z = (0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def seen(colour: str, eye: str) -> Vector:
    """Return how an eye sees a colour, in L*a*b*."""
    light = linear(colour)
    red, green, blue = (sum(a * b for a, b in zip(row, light, strict=True)) for row in EYES[eye])
    return lab((red, green, blue))


def distance(one: str, other: str, eye: str) -> float:
    """Return CIE76."""
    pairs = zip(seen(one, eye), seen(other, eye), strict=True)
    return float(sum((a - b) ** 2 for a, b in pairs) ** 0.5)


def resolved(theme: Theme) -> dict[str, str]:
    """Return the variables as the stylesheets get them: the theme's own before what we lend."""
    own = {**theme.to_color_system().generate(), **theme.variables}
    return {**variable_defaults(theme), **own}


def test_the_measure_is_right() -> None:
    """Black on white is 21:1; the distances of the palette that was chosen are those that were measured for it."""
    assert ratio("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast(Color.parse("#767676"), Color.parse("#FFFFFF")) == pytest.approx(4.54, abs=0.01)
    chosen = {"ready": "#56B4E9", "cooling": "#F0E442", "dead": "#D55E00"}
    least = min(distance(a, b, "deutan") for a, b in itertools.combinations(chosen.values(), 2))
    assert least == pytest.approx(34, abs=2)


# --- our three ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", THEMES, ids=OWN_THEMES)
def test_our_themes_can_be_read(theme: Theme) -> None:
    """Text of each kind has its contrast on the background, and stays readable on bars, dialogs and the cursor."""
    assert set(theme.variables) == set(OURS)
    background = str(theme.background)
    assert ratio(str(theme.foreground), background) >= 7
    assert ratio(str(theme.accent), background) >= 4.5
    for name in TEXT:
        assert ratio(theme.variables[name], background) >= 4.5, name
        for ground in (str(theme.surface), str(theme.panel), theme.variables["cursor-row"]):
            assert ratio(theme.variables[name], ground) >= 3.5, (name, ground)
    assert ratio(theme.variables["faint"], background) >= 1.3
    assert ratio(theme.variables["cursor-row"], background) >= 1.15


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("theme", THEMES[:2], ids=OWN_THEMES[:2])
def test_states_keep_their_distance_for_every_eye(theme: Theme, eye: str) -> None:
    """Ready, cooling and dead are told apart by colour alone, whichever cone is missing."""
    for one, other in itertools.combinations(STATES, 2):
        assert distance(theme.variables[one], theme.variables[other], eye) >= 25, (one, other)


def test_mono_has_no_hue() -> None:
    """Every colour of pool-mono is a grey."""
    mono = ALL["pool-mono"]
    for name, value in {**mono.to_color_system().generate(), **mono.variables}.items():
        if value.startswith("#"):
            red, green, blue = Color.parse(value).rgb
            assert red == green == blue, name


async def test_mono_tells_states_by_weight_and_brightness(home: Path, tmp_path: Path) -> None:
    """In pool-mono no two of the usual states are drawn in the same way, with the cursor or without."""
    settings = tmp_path / "settings.yaml"
    settings.write_text("theme: pool-mono\n")
    write_store(home, {"openrouter": [a_key("aaa001"), a_key("aaa002", **benched())]})
    async with running(home, settings_file=SettingsFile(settings)) as ui:
        pane = ui.app.screen.query_one(PoolPane)
        for cursor in (False, True):
            styles = [
                pane._style(role, cursor) for role in (Role.READY, Role.COOLING, Role.DEAD, Role.PAUSED)
            ]
            looks = {(style.color, style.bold, style.italic, style.reverse) for style in styles}
            assert len(looks) == 4


# --- all themes --------------------------------------------------------------------------------------------


def test_there_are_24_themes() -> None:
    """Ours and Textual's are known by name; a settings file may name any of them."""
    assert len(ALL) == 24
    assert known_themes() == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_our_colours_are_readable_on_every_theme(name: str) -> None:
    """Each of our names resolves on each theme; text differs from the background, by 3:1 where that can be told."""
    found = resolved(ALL[name])
    background = found["background"]
    for each in OURS:
        Color.parse(found[each])
    for each in TEXT:
        assert found[each] != background, each
        if not ALL[name].ansi:
            assert ratio(found[each], background) >= (4.5 if each in (*STATES, "paused") else 3.5), each
            for ground in ("surface", "panel", "cursor-row"):
                assert ratio(found[each], found[ground]) >= 3.0, (each, ground)
    if not ALL[name].ansi:
        assert ratio(found["faint"], background) >= 1.25
        assert found["cursor-row"] != background


@pytest.mark.parametrize("name", sorted(set(ALL) - {"pool-mono"}))
def test_states_have_colours_of_their_own_on_every_theme(name: str) -> None:
    """Ready, cooling, dead and paused are four colours."""
    found = resolved(ALL[name])
    assert len({found[each] for each in ("ready", "cooling", "dead", "paused")}) == 4


def test_the_terminals_own_palette_is_left_to_the_terminal() -> None:
    """On the ansi themes our colours are names of the terminal's colours, never RGB."""
    for name in ("ansi-dark", "ansi-light"):
        assert all(value.startswith("ansi_") for value in variable_defaults(ALL[name]).values())


async def test_the_screen_is_drawn_in_every_theme(home: Path) -> None:
    """Walking through all themes, each role gets a colour that is not the background's, and nothing fails."""
    write_store(home, {"openrouter": [a_key("aaa001"), a_key("aaa002", **benched())]})
    async with running(home, (80, 24)) as ui:
        pane = ui.app.screen.query_one(PoolPane)
        drawn = set()
        for name in sorted(ui.app.available_themes):
            ui.app.theme = name
            await ui.pilot.pause()
            for role in (Role.PLAIN, Role.READY, Role.COOLING, Role.DEAD, Role.MUTED):
                for cursor in (False, True):
                    style = pane._style(role, cursor)
                    told = style.color != style.bgcolor or (name.startswith("ansi") and role is Role.PLAIN)
                    assert told, (name, role)
            drawn.add((name, pane._style(Role.READY, False).color))
            ui.sees("openrouter")
        assert {name for name, _ in drawn} == set(ALL)
        assert len({colour for _, colour in drawn}) > 12


async def test_the_cursor_is_one_known_pair_of_colours_on_ansi_themes(home: Path) -> None:
    """Nobody knows which ansi colour can be read on which, so a row under the cursor has one colour of text."""
    write_store(home, {"openrouter": [a_key("aaa001")]})
    async with running(home, (80, 24)) as ui:
        pane: LineWidget = ui.app.screen.query_one(PoolPane)
        for name in ("ansi-dark", "ansi-light"):
            ui.app.theme = name
            await ui.pilot.pause()
            styles = [pane._style(role, True) for role in (Role.READY, Role.COOLING, Role.MUTED)]
            assert {(style.color and style.color.number, style.dim) for style in styles} == {(15, False)}
        ui.app.theme = "ansi-dark"
        await ui.pilot.pause()
        assert pane._style(Role.MUTED, False).dim


def test_the_stylesheets_apply_in_order() -> None:
    """What a theme needs comes after what every screen has, and what depends on the size comes last."""
    names = [Path(sheet).stem for sheet in stylesheets()]
    assert names.index("base") < names.index("settings") < names.index("responsive")
    assert names.index("base") < names.index("themes")
    assert names[-1] == "responsive"
    assert all(Path(sheet).is_file() for sheet in stylesheets())
