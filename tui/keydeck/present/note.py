"""What may leave the machine: a note for an incident channel, and the program's account of itself.

Both are Markdown, built from what the masked screen shows: no label, mail, sentence, secret, variable or path.
"""

from __future__ import annotations

import platform
import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from keydeck import __version__
from keydeck.engine.config import KNOWN_STRATEGIES
from keydeck.engine.errors import KeydeckError, LockBusy, StoreCorrupt, StoreReadOnly, StoreTooNew
from keydeck.engine.redact import Scrubber
from keydeck.engine.secret import MASK
from keydeck.engine.snapshot import HomeSnapshot
from keydeck.engine.state import HealthKind
from keydeck.present.evidence import flight_text, scope_text, streak_text
from keydeck.present.glyphs import UNICODE
from keydeck.present.panes import PaneView, pane_views
from keydeck.present.rows import Context, KeyRow, said_text
from keydeck.present.text import cut, duration

MOST_POOLS: Final = 30
MOST_ROWS: Final = 10
"""Of one pool. Nobody reads on, and terminals refuse a clipboard of more than about 70 KB."""
_MOST_NAMES: Final = 30
_LONGEST_NAME: Final = 60

# What no chat or tracker reads as markup, link, mention or emoji; anything else goes into a code span.
_PLAIN: Final = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")
_MAIL: Final = re.compile(r"[^\s@:/]+@[^\s@:/]+")
# The shape of the ids that hermes and Keydeck give; another one may be a name.
_ID: Final = re.compile(r"[0-9a-f]{6,8}")


def note(snapshot: HomeSnapshot, now: float) -> str:
    """Return the state of all pools as Markdown without names, fit for a channel that others read."""
    panes = pane_views(snapshot, now, Context(UNICODE, snapshot.scrubber, masked=True))
    out = [pane for pane in panes if pane.has_trouble]
    lines = [f"**Credential pools**, {_date(now)}, keydeck {__version__}", ""]
    lines += [f"- {said}" for said in _troubles(snapshot, now)]
    for pane in out[:MOST_POOLS]:
        lines += [f"- {_pool(pane, now, snapshot.scrubber)}", *_rows_out(pane, now)]
    if len(out) > MOST_POOLS:
        lines.append(f"- {len(out) - MOST_POOLS} more pools have keys that are out")
    whole = [f"{_name(p.provider, snapshot.scrubber)} ({p.ready})" for p in panes if not p.has_trouble]
    lines += [f"- all ready: {_listed(whole)}"] if whole else []
    lines += [] if panes else ["- no pool"]
    # An id may be a secret, and so may words that are ours: no known one gets through.
    return snapshot.scrubber.scrub_known("\n".join(lines)) + "\n"


def _troubles(snapshot: HomeSnapshot, now: float) -> list[str]:
    """Say what is wrong with the files, in words of our own: a system's may name users and paths."""
    said = []
    if snapshot.trouble is not None:
        age = f"the last good copy, {duration(now - snapshot.read_at)} old" if snapshot.read_at else "nothing"
        said.append(f"trouble: auth.json {_trouble(snapshot.trouble)}; this shows {age}")
    elif not snapshot.exists:
        said.append("there is no auth.json")
    if snapshot.config_trouble is not None:
        said.append("trouble: config.yaml cannot be understood; strategies may be stale")
    if snapshot.bad_pools:
        said.append(f"trouble: pools of auth.json that cannot be shown: {len(snapshot.bad_pools)}")
    return said


def _trouble(trouble: KeydeckError) -> str:
    if isinstance(trouble, StoreCorrupt):
        return f"is damaged in line {trouble.line}" if trouble.line else "is damaged"
    if isinstance(trouble, StoreTooNew):
        return "was written by a newer version"
    if isinstance(trouble, StoreReadOnly):
        return "cannot be written"
    return "is locked" if isinstance(trouble, LockBusy) else "cannot be read"


def _pool(pane: PaneView, now: float, scrubber: Scrubber) -> str:
    parts = [f"{_name(pane.provider, scrubber)}: {pane.ready} of {len(pane.rows)} ready"]
    parts.append(pane.strategy if pane.strategy in KNOWN_STRATEGIES else "unknown strategy")
    if pane.ready:
        following = next((row.label for row in pane.rows if row.is_next), f"any of {pane.ready}")
        parts.append(f"next pick {following}")
    elif pane.back_at is not None:
        parts.append(f"next back {_moment(pane.back_at, now)} ({duration(pane.back_at - now)} left)")
        parts += [f"{pane.forecast[0].ready} ready then"] if pane.forecast else []
    else:
        parts.append("none comes back by itself")
    if pane.falls_to:
        parts.append(f"requests fall to {_name(pane.falls_to, scrubber)}")
    return ", ".join(parts)


def _rows_out(pane: PaneView, now: float) -> list[str]:
    ready = (HealthKind.READY, HealthKind.PROBING)
    out = [row for row in pane.rows if row.kind not in ready]
    lines = [f"  - {_row(row, now)}" for row in out[:MOST_ROWS]]
    if rest := out[MOST_ROWS:]:
        lines.append(f"  - and {len(rest)} more: {_counts(row.kind for row in rest)}")
    return lines


def _row(row: KeyRow, now: float) -> str:
    named = f" (id {row.id})" if _ID.fullmatch(row.id) else ""
    parts = [_word(row.kind)]
    if row.detail:
        parts.append(cut(row.detail, _LONGEST_NAME))
    if row.kind is HealthKind.NO_SECRET and row.since is not None:
        parts.append("token ended")
    if row.until is not None:
        parts.append(f"until {_moment(row.until, now)} ({duration(row.until - now)} left)")
    if row.since is not None:
        parts.append(f"since {_moment(row.since, now)}")
    parts += filter(None, (streak_text(row.streak), scope_text(row.scope), flight_text(row.in_flight)))
    return f"{row.label}{named}: {', '.join(parts)}"


def _word(kind: HealthKind) -> str:
    return "log in again" if kind is HealthKind.NEEDS_LOGIN else kind.value.replace("_", " ")


def _counts(kinds: Iterable[HealthKind]) -> str:
    counts = Counter(kinds)
    return ", ".join(f"{counts[kind]} {_word(kind)}" for kind in HealthKind if counts[kind])


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


# --- store text and times ----------------------------------------------------------------------------------


def _name(text: str, scrubber: Scrubber) -> str:
    """Return a pool's name without secret or mail; as code unless every reader takes it for a plain word."""
    text = _MAIL.sub(MASK, said_text(text, scrubber))
    text = cut(text, _LONGEST_NAME)
    if _PLAIN.fullmatch(text):
        return text
    return f"`{text.replace('`', chr(39))}`" if text else "(no name)"


def _moment(epoch_s: float, now: float) -> str:
    """Return a point in time for somebody elsewhere: with its UTC offset, and its date unless it is today."""
    then, today = _local(epoch_s), _local(now)
    if then is None:
        return "some day"
    return _shown(then, "%H:%M:%S" if today and then.date() == today.date() else "%Y-%m-%d %H:%M:%S")


def _date(now: float) -> str:
    today = _local(now)
    return _shown(today, "%Y-%m-%d %H:%M:%S") if today else "some day"


def _shown(then: datetime, form: str) -> str:
    offset = f"{then:%z}"
    return f"{then.strftime(form)} UTC{offset[:3]}:{offset[3:5]}"


def _local(epoch_s: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(epoch_s, UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        return None


# --- the program itself ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Surface:
    """What the dashboard is drawn with and on, as only the dashboard knows."""

    textual: str
    """Version of Textual."""
    size: tuple[int, int]
    """Columns and lines."""
    colours: str | None
    """The colour system, None without colours."""
    terminal: str
    """What TERM says."""
    watching: str
    """How changes are noticed: ``live`` or ``polling``."""
    read_only: bool


def diagnostics(snapshot: HomeSnapshot, now: float, surface: Surface) -> str:
    """Return what a report of a fault needs to say of program, terminal and store, as Markdown without names."""
    columns, lines = surface.size
    kinds = [row.health.kind for pool in snapshot.pools for row in pool.at(now).rows]
    counts = f": {_counts(kinds)}" if kinds else ""
    system = f"python {platform.python_version()}, textual {_token(surface.textual)}, {sys.platform}"
    said = [
        f"keydeck {__version__}, {system}",
        f"terminal {_token(surface.terminal)}, {columns}x{lines}, colours {_token(surface.colours or 'none')}",
        f"pools {len(snapshot.pools)}, rows {len(kinds)}{counts}",
        f"changes noticed: {_token(surface.watching)}; read-only: {'yes' if surface.read_only else 'no'}",
        *_troubles(snapshot, now),
    ]
    return "".join(f"- {line}\n" for line in said)


def _token(text: str) -> str:
    """Return a version or the name of a terminal; what is neither could be anything."""
    return text if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,39}", text) else "unknown"
