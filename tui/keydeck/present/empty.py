"""What stands where no pool is: what is missing, what the surroundings offer, and what to type."""

from __future__ import annotations

from keydeck.engine.snapshot import HomeSnapshot
from keydeck.present.spans import Line, Role, Span
from keydeck.present.text import clean


def empty_lines(snapshot: HomeSnapshot, flags: str, *, only_problems: bool) -> tuple[Line, ...]:
    """Return the lines of an empty screen; `flags` make its command mean this store."""
    if only_problems and snapshot.pools:
        return (
            (Span("every key is ready", Role.READY),),
            (Span("esc", Role.ACCENT), Span(" shows all pools again", Role.MUTED)),
        )
    home = clean(str(snapshot.home.path))
    if snapshot.trouble is not None:
        return ((Span("nothing to show until auth.json can be read", Role.MUTED),),)
    missing = "there is no pool yet" if snapshot.exists else f"there is no auth.json in {home} yet"
    return (
        (Span(missing, Role.STRONG),),
        (),
        (Span("The environment, .env, logins and config.yaml offer no key either.", Role.MUTED),),
        (),
        (Span("a", Role.ACCENT), Span(" adds a key here, as does on the command line")),
        (Span(f"keydeck auth add openrouter{flags}", Role.ACCENT),),
        (Span("keydeck --home FOLDER", Role.ACCENT), Span(" opens another home,")),
        (Span("keydeck --demo", Role.ACCENT), Span(" shows what it looks like with keys")),
        (),
        (Span("This screen keeps watching and shows the first key as soon as it is there.", Role.MUTED),),
    )
