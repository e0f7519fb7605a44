"""Colours: our three themes, and our own names for colours lent to the themes of others.

Blue, yellow and vermilion keep their distance for colour-blind eyes too (ux 2.12).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

POOL_DARK: Final = Theme(
    name="pool-dark",
    primary="#4FD1C5",
    secondary="#56B4E9",
    accent="#4FD1C5",
    foreground="#D8DEE9",
    background="#0B0E14",
    surface="#10151E",
    panel="#161C26",
    success="#56B4E9",
    warning="#F0E442",
    error="#FF6E40",
    dark=True,
    variables={
        "ready": "#56B4E9",
        "cooling": "#F0E442",
        "dead": "#FF6E40",
        "paused": "#A78BDA",
        "absent": "#8A93A6",
        "muted": "#78839A",
        "faint": "#333C4C",
        "cursor-row": "#1E2A3E",
    },
)

# On white, yellow and vermilion must be dark to be read, and then look alike to some eyes: ochre and crimson do not.
POOL_LIGHT: Final = Theme(
    name="pool-light",
    primary="#00727A",
    secondary="#0B5FB0",
    accent="#00727A",
    foreground="#1F2733",
    background="#FBFCFD",
    surface="#F4F6F9",
    panel="#E9EDF2",
    success="#0B5FB0",
    warning="#8A6400",
    error="#A8123F",
    dark=False,
    variables={
        "ready": "#0B5FB0",
        "cooling": "#8A6400",
        "dead": "#A8123F",
        "paused": "#6B4FA3",
        "absent": "#5A6475",
        "muted": "#5F6A7D",
        "faint": "#C3CBD6",
        "cursor-row": "#D9E6F4",
    },
)

# What a hue tells elsewhere, brightness, weight and slant tell here: see styles/themes.tcss.
POOL_MONO: Final = Theme(
    name="pool-mono",
    primary="#FFFFFF",
    secondary="#C4C4C4",
    accent="#FFFFFF",
    foreground="#E2E2E2",
    background="#0E0E0E",
    surface="#151515",
    panel="#1D1D1D",
    success="#C4C4C4",
    warning="#FFFFFF",
    error="#FFFFFF",
    dark=True,
    variables={
        "ready": "#C4C4C4",
        "cooling": "#FFFFFF",
        "dead": "#FFFFFF",
        "paused": "#9C9C9C",
        "absent": "#8A8A8A",
        "muted": "#868686",
        "faint": "#3C3C3C",
        "cursor-row": "#303030",
    },
)

THEMES: Final = (POOL_DARK, POOL_LIGHT, POOL_MONO)
OWN_THEMES: Final = tuple(theme.name for theme in THEMES)

# The terminal's own palette: only what is told apart from any usual background.
_ANSI_DARK: Final = {
    "ready": "ansi_bright_cyan",
    "cooling": "ansi_bright_yellow",
    "dead": "ansi_bright_red",
    "paused": "ansi_bright_magenta",
    "absent": "ansi_white",
    "muted": "ansi_white",
    "faint": "ansi_bright_black",
    "cursor-row": "ansi_blue",
}
_ANSI_LIGHT: Final = {
    "ready": "ansi_blue",
    "cooling": "ansi_magenta",
    "dead": "ansi_red",
    "paused": "ansi_bright_black",
    "absent": "ansi_bright_black",
    "muted": "ansi_bright_black",
    "faint": "ansi_white",
    "cursor-row": "ansi_blue",
}

_BASE: Final = frozenset(
    (
        "background",
        "foreground",
        "surface",
        "panel",
        "primary",
        "secondary",
        "accent",
        "success",
        "warning",
        "error",
    )
)
_LOUD: Final = 4.5
_QUIET: Final = 3.5
"""Contrast on the background of what tells a state, and of what stands beside it."""
_ON_THE_REST: Final = 3.0
"""Contrast on bars, dialogs and the cursor's row, where less text stands."""


def known_themes() -> frozenset[str]:
    """Return the names of all themes: ours and Textual's."""
    return frozenset((*OWN_THEMES, *BUILTIN_THEMES))


def variable_defaults(theme: Theme) -> dict[str, str]:
    """Return our names for colours as a theme would have them that does not know them, all of them readable on it."""
    if theme.ansi:
        return dict(_ANSI_DARK if theme.dark else _ANSI_LIGHT)
    of = {name: Color.parse(value) for name, value in _base_colours(theme).items()}
    background, foreground = of["background"], of["foreground"]
    cursor_row = background.blend(of["primary"], 0.18)
    rest = [(ground, _ON_THE_REST) for ground in (of["surface"], of["panel"], cursor_row)]
    states = {"ready": of["success"], "cooling": of["warning"], "dead": of["error"]}
    states["paused"] = _furthest((of["secondary"], of["primary"], of["accent"]), states.values())
    beside = {"absent": foreground.blend(background, 0.3), "muted": foreground.blend(background, 0.4)}
    found = {
        **{name: _readable(colour, [(background, _LOUD), *rest]) for name, colour in states.items()},
        **{name: _readable(colour, [(background, _QUIET), *rest]) for name, colour in beside.items()},
        "faint": background.blend(foreground, 0.22),
        "cursor-row": cursor_row,
    }
    return {name: colour.hex for name, colour in found.items()}


def contrast(one: Color, other: Color) -> float:
    """Return how well one colour is read on another, from 1 to 21, as WCAG counts."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _base_colours(theme: Theme) -> dict[str, str]:
    """Return a theme's colours with what Textual fills in where it leaves them out."""
    return {name: value for name, value in theme.to_color_system().generate().items() if name in _BASE}


def _furthest(colours: Iterable[Color], others: Collection[Color]) -> Color:
    """Return the colour that is least like any of the others."""
    return max(colours, key=lambda colour: min(_unlike(colour, other) for other in others))


def _unlike(one: Color, other: Color) -> int:
    return sum((left - right) ** 2 for left, right in zip(one.rgb, other.rgb, strict=True))


def _readable(colour: Color, needs: Sequence[tuple[Color, float]]) -> Color:
    """Return a colour, no further towards white or black than it needs for its contrast on each ground."""
    far_end = needs[0][0].get_contrast_text(1.0)
    steps = (colour.blend(far_end, step / 20) for step in range(20))
    fine = (step for step in steps if all(contrast(step, ground) >= need for ground, need in needs))
    return next(fine, far_end)


def _luminance(colour: Color) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
