"""``keydeck`` and ``keydeck --demo``: open the dashboard and return its exit code."""

from __future__ import annotations

import gc
from collections.abc import Callable
from types import MappingProxyType

from keydeck.engine.snapshot import HomeReader


def open_dashboard(
    reader: HomeReader,
    *,
    read_only: bool,
    mask: bool,
    ascii_only: bool,
    mouse: bool,
    place: str | None = None,
    flags: str = "",
    is_demo: bool = False,
    when_ready: Callable[[], None] | None = None,
) -> int:
    """Run the dashboard on a home until the user leaves; what the flags say beats the settings file.

    `when_ready` is called once the first picture is on screen.
    """
    # What is made until the first picture stays: looking for garbage in it is a tenth of the wait. The app goes on.
    gc.disable()
    from keydeck.dashboard.app import PoolApp
    from keydeck.dashboard.settings import SettingsFile, default_settings_path
    from keydeck.present.glyphs import ASCII

    app = PoolApp(
        reader,
        read_only=read_only,
        masked=mask,
        glyphs=ASCII if ascii_only else None,
        place=place,
        settings_file=SettingsFile(None if is_demo else default_settings_path()),
    )
    app.command_flags = flags
    app.when_ready = when_ready
    if not mouse:
        app.flags = MappingProxyType({**app.flags, "mouse": "--no-mouse"})
    app.run(mouse=mouse and app.settings.mouse)
    return app.return_code or 0


def open_demo(*, read_only: bool, mask: bool, ascii_only: bool, mouse: bool) -> int:
    """Run the dashboard on a home made for the purpose; nothing else is read or written."""
    from keydeck.demo.home import demo_home

    with demo_home() as demo:
        return open_dashboard(
            demo.reader,
            read_only=read_only,
            mask=mask,
            ascii_only=ascii_only,
            mouse=mouse,
            place="a demo home",
            is_demo=True,
            when_ready=demo.start_agents,
        )
