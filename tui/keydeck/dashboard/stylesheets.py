"""Where the stylesheets are: inside an installed wheel, or at the top of a checkout."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent.parent
_PLACES: Final = (_PACKAGE / "styles", _PACKAGE.parent.parent / "styles")
# Later sheets win; responsive comes last (style 1.11).
_ORDER: Final = ("base", "pools", "events", "dialogs", "settings", "themes", "responsive")


def stylesheets() -> list[str | PurePath]:
    """Return the sheets in the order in which they apply."""
    folder = next(place for place in _PLACES if (place / "base.tcss").is_file())
    return [folder / f"{name}.tcss" for name in _ORDER]
