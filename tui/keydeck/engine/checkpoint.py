"""The forms of a ledger on disk: C (``keydeck/checkpoint.json``) and A (the ``keydeck`` section of auth.json).

Both say the same of the rows. Whichever position is further on is the base; the journal after it is folded on
top. What a newer version wrote into either is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from keydeck.engine.claims import NO_LEASES, leases_form, probe_form, read_leases, read_probe, without_ended
from keydeck.engine.cooldown import FREE, NEVER, Benches, Failure, Strike, aged
from keydeck.engine.cooldown_form import benches_form, read_benches
from keydeck.engine.events import NO_EXTRA, START, Position, Status
from keydeck.engine.failures import FailureKind, classify
from keydeck.engine.files import Disk, read_file
from keydeck.engine.ledger import READER, Facts, Ledger, Tombstone, Vanished, without_past_pauses
from keydeck.engine.left import FIELD, NOTHING_LEFT, Left, left_form
from keydeck.engine.parking import FOR_GOOD

SECTION: Final = "keydeck"
VERSION: Final = 1
TOMBS_KEPT_S: Final = 30 * 86400.0
WRITERS_KEPT_S: Final = 3600.0
SUMS_KEPT_S: Final = 60.0
"""The same for checkpoints, each of which tells as a writer of its own: its records follow it at once, or never."""

_FACTS_FIELDS: Final = frozenset("nubsrtlozkhv")
_C_FIELDS: Final = frozenset(
    {"v", "store", "proj", "pos", "rows", "tomb", "writers", "min_reader", "vanished"}
)
_A_FIELDS: Final = frozenset(
    {"v", "store", "gen", "pos", "state", "tomb", "writers", "min_reader", "vanished", FIELD}
)
_dump = json.JSONEncoder(separators=(",", ":")).encode


class Checkpoint(NamedTuple):
    """C: a ledger, and the generation of auth.json that is known to have been written."""

    ledger: Ledger
    proj: int = 0
    extra: Mapping[str, Any] = MappingProxyType({})


def read_checkpoint(disk: Disk, folder: Path, filed: Ledger | None = None) -> Checkpoint | None:
    """Read C; None if there is none that can be understood.

    Args:
        disk: the I/O seam.
        folder: where it lies.
        filed: what A says. Where it stands as far it is taken for both: a writer that was killed wrote A alone.
    """
    try:
        data, _ = read_file(disk, checkpoint_path(folder))
        told = json.loads(data)
        if told["v"] != VERSION:
            return None
        if filed and filed.store == told["store"] and filed.position == _place(told["pos"]):
            ledger = filed
        else:
            ledger = _ledger(told, told["rows"], int(told["proj"]))
        extra = {key: told[key] for key in told.keys() - _C_FIELDS}
        return Checkpoint(ledger, int(told["proj"]), extra)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def checkpoint_path(folder: Path) -> Path:
    """Return where C lies."""
    return folder / "checkpoint.json"


def checkpoint_bytes(checkpoint: Checkpoint) -> bytes:
    """Return C as it is written."""
    told = {
        **_common(checkpoint.ledger),
        "proj": checkpoint.proj,
        "rows": _rows_form(checkpoint.ledger),
        **checkpoint.extra,
    }
    return (_dump(told) + "\n").encode("ascii")


def read_section(document: Mapping[str, Any]) -> Ledger | None:
    """Return what A says, its generation included; None if there is none that can be understood."""
    told = document.get(SECTION)
    try:
        if not isinstance(told, dict) or told["v"] != VERSION:
            return None
        return _ledger(told, json.loads(told["state"]), int(told["gen"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def section(ledger: Ledger, gen: int, left: Left = NOTHING_LEFT, *, present: object = None) -> dict[str, Any]:
    """Return A. The state is one string: as an object it would be spread over a line for every number.

    Args:
        ledger: what is known.
        gen: the generation of auth.json that is written.
        left: what the rows say otherwise.
        present: A as it is; what is not ours in it is kept.
    """
    kept = present if isinstance(present, dict) else {}
    return {
        **{name: value for name, value in kept.items() if name not in _A_FIELDS},
        **_common(ledger),
        "gen": gen,
        "state": _dump(_rows_form(ledger)),
        FIELD: left_form(left),
    }


def is_too_new(document: Mapping[str, Any], disk: Disk, folder: Path) -> bool:
    """Tell whether A or C is of a version that this one does not understand, and must leave as it is."""
    try:
        beside = json.loads(read_file(disk, checkpoint_path(folder))[0])
    except (OSError, ValueError, RecursionError):
        beside = None
    found = (told.get("v") for told in (document.get(SECTION), beside) if isinstance(told, dict))
    return any(isinstance(version, int) and version > VERSION for version in found)


def section_gen(document: Mapping[str, Any]) -> int:
    """Return A's generation; 0 if there is none."""
    told = document.get(SECTION)
    gen = told.get("gen") if isinstance(told, dict) else None
    return gen if isinstance(gen, int) else 0


def kept_s(writer: str) -> float:
    """Return for how long, in seconds, it is remembered which records of a writer have landed."""
    return SUMS_KEPT_S if is_sum(writer) else WRITERS_KEPT_S


def is_sum(writer: str) -> bool:
    """Tell whether a writer is a checkpoint: it is called like the process that made it, and by its generation."""
    return "-" in writer


def kept_writers(writers: Mapping[str, tuple[int, float]], now: float) -> dict[str, tuple[int, float]]:
    """Return the writers that may still tell something, or did of late."""
    return {name: last for name, last in writers.items() if now - last[1] < kept_s(name)}


def pruned(ledger: Ledger, now: float) -> Ledger:
    """Return the ledger without what time took: pauses that are over, benches, tombstones and writers of long ago."""
    kept = without_past_pauses(ledger, now)
    for name, facts in ledger.rows.items():
        if facts.benches.strikes and (left := aged(facts.benches, now)) is not facts.benches:
            kept.rows[name] = kept.rows[name]._replace(benches=left)
    kept.tombs = {name: tomb for name, tomb in ledger.tombs.items() if now - tomb.at < TOMBS_KEPT_S}
    kept.rows = {
        name: facts._replace(leases=without_ended(facts.leases, now)) if facts.leases else facts
        for name, facts in kept.rows.items()
    }
    kept.writers = kept_writers(ledger.writers, now)
    return kept


def _common(ledger: Ledger) -> dict[str, Any]:
    return {
        "v": VERSION,
        "store": ledger.store,
        "pos": ledger.position,
        "tomb": {
            name: [tomb.key, tomb.gen, tomb.at, tomb.label, _facts_form(tomb.facts)]
            for name, tomb in ledger.tombs.items()
        },
        "vanished": {
            name: [row.provider, row.label, row.at, row.status] for name, row in ledger.vanished.items()
        },
        "writers": ledger.writers,
        "min_reader": ledger.min_reader,
    }


def _ledger(told: Mapping[str, Any], rows: Mapping[str, Any], gen: int) -> Ledger:
    return Ledger(
        position=_place(told["pos"]),
        rows={name: _facts(form) for name, form in rows.items()},
        tombs={name: _tomb(*form) for name, form in told["tomb"].items()},
        vanished={name: _vanished(*form) for name, form in told.get("vanished", {}).items()},
        writers={name: (int(seq), float(at)) for name, (seq, at) in told["writers"].items()},
        gen=gen,
        store=told["store"],
        min_reader=max(int(told.get("min_reader", 1)), READER),
    )


def _rows_form(ledger: Ledger) -> dict[str, Any]:
    return {name: _facts_form(facts) for name, facts in ledger.rows.items()}


def _facts_form(facts: Facts) -> dict[str, Any]:
    """Return one row's facts in short; what says nothing is left out."""
    form: dict[str, Any] = {
        "n": facts.used,
        "u": facts.used_at if facts.used_at != START else None,
        "k": benches_form(facts.benches) if facts.benches is not FREE else None,
        "t": facts.told_at,
        "l": facts.label,
        "o": facts.priority,
        "h": leases_form(facts.leases),
        "v": probe_form(facts.probe),
    }
    kept = {name: value for name, value in form.items() if value}
    if facts.paused is not None:
        kept["z"] = [None if facts.paused == FOR_GOOD else facts.paused, facts.paused_at]
    if facts.priority is not None:
        kept["o"] = facts.priority  # 0 is a priority
    return {**kept, **facts.extra}


def _facts(form: dict[str, Any]) -> Facts:
    reads = form.get  # an opening pool reads thousands of these: nothing is made that is not there
    benches, used_at = reads("k"), reads("u")
    leases, probe = reads("h"), reads("v")
    paused, paused_at = _pause(*form["z"]) if "z" in form else (None, 0.0)
    return Facts(
        reads("n", 0),
        _place(used_at) if used_at else START,
        read_benches(benches) if benches else _one_bench(reads("b"), reads("s", 1), reads("r")),
        reads("t", 0.0),
        reads("l"),
        reads("o"),
        paused,
        paused_at,
        read_leases(leases) if leases else NO_LEASES,
        read_probe(probe) if probe else None,
        NO_EXTRA if form.keys() <= _FACTS_FIELDS else {k: form[k] for k in form.keys() - _FACTS_FIELDS},
    )


def _one_bench(bench: list[Any] | None, streak: int, reset: Any) -> Benches:
    """Return the benches of a row as an older version summed them up."""
    if not (bench or reset):
        return FREE
    mark = _place(reset) if reset else NEVER
    if not bench:
        return Benches(reset=mark)
    form, key, at = bench
    status, place = Status(*form), _place(at)
    kind = classify(status.code, status.reason, status.message, is_login=False)
    failure = Failure(
        FailureKind.REVOKED if status.status == "dead" else kind,
        status.at or 0.0,
        status.code,
        status.until,
        key=key,
    )
    words = (status.reason, status.message) if status.reason or status.message else None
    return Benches((Strike(failure, place, place, max(streak, 1), words),), mark)


def _pause(until: float | None, at: float) -> tuple[float, float]:
    return FOR_GOOD if until is None else float(until), float(at)


def _vanished(provider: str, label: str, at: float, status: list[Any]) -> Vanished:
    return Vanished(str(provider), str(label), float(at), Status(*status))


def _tomb(key: str | None, gen: int, at: float, label: str, facts: dict[str, Any]) -> Tombstone:
    return Tombstone(key, int(gen), float(at), _facts(facts), label)


def _place(form: list[Any]) -> Position:
    segment, offset = form
    return int(segment), int(offset)
