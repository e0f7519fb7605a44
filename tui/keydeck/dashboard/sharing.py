"""The ways out of the dashboard: the terminal's clipboard, and files in the user's state folder, never the home."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

from textual.app import App

from keydeck.engine.errors import Refused
from keydeck.engine.files import Disk, make_dir, write_new

# GNU screen drops or prints what is longer than 768 bytes; older ones take 256.
_SCREEN_CHUNK: Final = 240
_FONT_FACE: Final = re.compile(r"@font-face\s*\{[^}]*\}\s*")
_FONT: Final = re.compile(r"font-family:\s*Fira Code,\s*monospace")
_LOCAL_FONTS: Final = "font-family: 'DejaVu Sans Mono', Menlo, Consolas, monospace"


# --- the clipboard -----------------------------------------------------------------------------------------


def clipboard_sequence(text: str, env: Mapping[str, str]) -> str:
    """Return what has to be written to the terminal for `text` to reach its clipboard (OSC 52).

    In tmux two ways lead out, each behind a setting of its own (set-clipboard, allow-passthrough): both are taken.
    """
    coded = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
    bare = f"\x1b]52;c;{coded}\a"
    if env.get("TMUX"):
        doubled = bare.replace("\x1b", "\x1b\x1b")
        return f"{bare}\x1bPtmux;{doubled}\x1b\\"
    if env.get("STY") and env.get("TERM", "").startswith("screen"):
        starts = range(0, len(bare), _SCREEN_CHUNK)
        return "".join(f"\x1bP{bare[start : start + _SCREEN_CHUNK]}\x1b\\" for start in starts)
    return bare


def send_to_clipboard(app: App[Any], text: str, env: Mapping[str, str] | None = None) -> None:
    """Send `text` to the terminal's clipboard, as far as one can tell, and keep it for pasting in the program.

    May stand in for `App.copy_to_clipboard`, which knows no terminal inside a terminal.
    """
    app._clipboard = text  # noqa: SLF001 - Textual's own fields paste from it
    driver = app._driver  # noqa: SLF001 - copy_to_clipboard has no other way either
    if driver is not None:
        driver.write(clipboard_sequence(text, os.environ if env is None else env))


# --- files -------------------------------------------------------------------------------------------------


def state_folder() -> Path:
    """Return the user's folder for what Keydeck leaves behind: ``~/.local/state/keydeck`` on Linux."""
    from platformdirs import user_state_path

    return user_state_path("keydeck", appauthor=False)


def write_shared(folder: Path, name: str, text: str, *, disk: Disk | None = None) -> Path:
    """Write a new file, 0600, in a folder that is made 0700 where it is missing; return its path.

    A file of that name stays as it is: the new one gets a number.

    Raises:
        Refused: it cannot be written; the text says why.
    """
    disk = disk or Disk()
    data = text.encode("utf-8", "replace")
    try:
        make_dir(disk, folder)
        return _write_numbered(disk, folder / name, data)
    except OSError as error:
        why = (error.strerror or "it failed").lower()
        raise Refused(f"nothing was written to {folder}: {why}") from error


def _write_numbered(disk: Disk, path: Path, data: bytes) -> Path:
    for number in count(1):
        candidate = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        try:
            write_new(disk, candidate, data)
        except FileExistsError:
            continue
        break
    return candidate


def screenshot_name(now: float) -> str:
    """Return a picture's file name, by local time: ``keydeck-20261108-140211.svg``."""
    return f"keydeck-{stamp(now)}.svg"


def stamp(now: float) -> str:
    """Return a moment in local time as file names hold it: ``20261108-140211``."""
    return f"{datetime.fromtimestamp(now):%Y%m%d-%H%M%S}"


def portable_svg(svg: str) -> str:
    """Return a picture of Textual's that fetches no font from the net when somebody looks at it."""
    # Only the style sheet: what stands behind it is what was on screen, and may look like one.
    style, end, rest = svg.partition("</style>")
    style = _FONT.sub(_LOCAL_FONTS, _FONT_FACE.sub("", style))
    return style + end + rest
