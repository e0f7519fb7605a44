"""``keydeck`` and ``keydeck --demo``: open the dashboard and return its exit code."""

from __future__ import annotations

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
) -> int:
    """Run the dashboard on a home until the user leaves."""
    from keydeck.dashboard.app import PoolApp
    from keydeck.present.glyphs import ASCII, UNICODE

    glyphs = ASCII if ascii_only else UNICODE
    app = PoolApp(reader, read_only=read_only, masked=mask, glyphs=glyphs, place=place)
    app.command_flags = flags
    app.run(mouse=mouse)
    return app.return_code or 0


def open_demo(*, read_only: bool, mask: bool, ascii_only: bool, mouse: bool) -> int:
    """Run the dashboard on a home made for the purpose; nothing else is read or written."""
    from keydeck.demo.home import demo_home

    with demo_home() as reader:
        return open_dashboard(
            reader, read_only=read_only, mask=mask, ascii_only=ascii_only, mouse=mouse, place="a demo home"
        )
