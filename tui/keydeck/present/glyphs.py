"""The signs on screen, in two sets: Unicode, all one cell wide, and ASCII for CJK terminals and screen readers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keydeck.engine.state import HealthKind


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set of signs (ux 2.12)."""

    health: Mapping[HealthKind, str]
    token_ends: str
    next_pick: str
    cursor: str
    marked: str
    marked_here: str
    """A marked row that the cursor is on."""
    pending: str
    """Instead of the state, while a change of the row is on its way."""
    done: str
    """Elapsed part of a bar."""
    half: str
    """The half cell at a bar's tip; empty where there is none."""
    left: str
    """Rest of a bar."""
    bars: str
    """Heights of a small chart: nothing first, then from little to most."""
    rule: str
    corners: str
    """Top left, top right, bottom left, bottom right."""
    side: str
    focus: str
    menu: str
    arrow: str
    ellipsis: str
    dot: str
    enter: str
    live: str
    twin: str
    """A row whose secret another row holds too."""
    outside: str
    """A row that another program changed just now."""


UNICODE: Final = Glyphs(
    health={
        HealthKind.READY: "●",
        HealthKind.PROBING: "◔",
        HealthKind.COOLING: "◐",
        HealthKind.NEEDS_LOGIN: "▲",
        HealthKind.PAUSED: "■",
        HealthKind.NO_SECRET: "○",
        HealthKind.BAD_ROW: "?",
    },
    token_ends="△",  # noqa: S106 - a sign
    next_pick="▸",
    cursor="›",
    marked="✓",
    marked_here="»",
    pending="…",
    done="━",
    half="╸",
    left="─",
    bars="▁▂▃▄▅▆▇█",
    rule="─",
    corners="╭╮╰╯",
    side="│",
    focus="▌",
    menu="▾",
    arrow="→",
    ellipsis="…",
    dot="·",
    enter="⏎",
    live="●",
    twin="≡",
    outside="Δ",
)

ASCII: Final = Glyphs(
    health={
        HealthKind.READY: "+",
        HealthKind.PROBING: "o",
        HealthKind.COOLING: "~",
        HealthKind.NEEDS_LOGIN: "!",
        HealthKind.PAUSED: "=",
        HealthKind.NO_SECRET: "-",
        HealthKind.BAD_ROW: "?",
    },
    token_ends="^",  # noqa: S106 - a sign
    next_pick=">",
    cursor="*",
    marked="x",
    marked_here="X",
    pending=".",
    done="#",
    half="",
    left=".",
    bars="_.:-=+*#",
    rule="-",
    corners="++++",
    side="|",
    focus="|",
    menu="v",
    arrow="->",
    ellipsis="~",
    dot="-",
    enter="enter",
    live="*",
    twin="&",
    outside="%",
)
