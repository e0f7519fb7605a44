"""Colours. Blue, yellow and vermilion keep their distance for colour-blind eyes too (ux 2.12)."""

from __future__ import annotations

from typing import Final

from textual.theme import Theme

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
