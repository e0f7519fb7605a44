"""The form of benches in a checkpoint: short names, nothing that says nothing, and all of a newer version kept."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from keydeck.engine.cooldown import FREE, NEVER, ROW, Benches, Failure, Strike
from keydeck.engine.events import Position

_BENCHES_FIELDS: Final = frozenset("frp")
_STRIKE_FIELDS: Final = frozenset("kstcuhf@gnw")


def benches_form(benches: Benches) -> dict[str, Any]:
    """Return benches as JSON has them; empty where there is nothing to tell."""
    form: dict[str, Any] = {
        "f": [_strike_form(strike) for strike in benches.strikes],
        "r": benches.reset if benches.reset != NEVER else None,
        "p": dict(benches.proven),
    }
    return {**{name: value for name, value in form.items() if value}, **benches.extra}


def read_benches(form: Mapping[str, Any]) -> Benches:
    """Read benches back.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is something else.
    """
    if not form:
        return FREE
    reset = form.get("r")
    return Benches(
        strikes=tuple(_strike(each) for each in form.get("f", ())),
        reset=_place(reset) if reset else NEVER,
        proven=MappingProxyType({scope: _place(place) for scope, place in form.get("p", {}).items()}),
        extra={name: form[name] for name in form.keys() - _BENCHES_FIELDS},
    )


def _strike_form(strike: Strike) -> dict[str, Any]:
    failure = strike.failure
    form = {
        "k": str(failure.kind),
        "s": failure.scope if failure.scope != ROW else None,
        "t": failure.at,
        "c": failure.code,
        "u": failure.told,
        "h": failure.key,
        "f": failure.is_filed or None,
        "@": strike.place,
        "g": strike.granted if strike.granted != strike.place else None,
        "n": strike.number if strike.number != 1 else None,
        "w": strike.words,
    }
    return {**{name: value for name, value in form.items() if value is not None}, **strike.extra}


def _strike(form: Mapping[str, Any]) -> Strike:
    reads = form.get
    place = _place(form["@"])
    granted = reads("g")
    failure = Failure(
        kind=form["k"],
        at=float(form["t"]),
        code=reads("c"),
        told=reads("u"),
        scope=reads("s", ROW),
        key=reads("h"),
        is_filed=reads("f") is True,
    )
    extra = {name: form[name] for name in form.keys() - _STRIKE_FIELDS}
    words = reads("w")
    return Strike(
        failure,
        _place(granted) if granted else place,
        place,
        reads("n", 1),
        (words[0], words[1]) if words else None,
        extra,
    )


def _place(form: Any) -> Position:
    segment, offset = form
    return int(segment), int(offset)
