"""An explanation as JSON: ``keydeck auth explain --json``. Built from the fields named here and from nothing else."""

from __future__ import annotations

from typing import Any

from keydeck.engine.explanation import Bench, Explanation, Remedy, RowReason
from keydeck.engine.redact import Scrubber
from keydeck.present.rows import label_text, said_text


def explanation_form(answer: Explanation, labels: dict[str, str], scrubber: Scrubber) -> dict[str, Any]:
    """Return an explanation; times are epoch seconds, rows are named by id."""
    soonest = answer.soonest
    return {
        "provider": label_text(answer.provider, scrubber),
        "strategy": answer.strategy,
        "session": None if answer.session is None else said_text(answer.session, scrubber),
        "model": None if answer.model is None else said_text(answer.model, scrubber),
        "at": answer.at,
        "outcome": answer.outcome.value,
        "pick": _name(answer.pick, scrubber),
        "among": [label_text(row_id, scrubber) for row_id in answer.among],
        "soonest": _name(soonest.id if soonest else None, scrubber),
        "ready_at": soonest.ready_at if soonest else None,
        "leases_at_most": answer.at_most,
        "rows": [row_form(why, labels.get(why.id, ""), scrubber) for why in answer.rows],
    }


def row_form(why: RowReason, label: str, scrubber: Scrubber) -> dict[str, Any]:
    """Return what is known of one row."""
    return {
        "id": label_text(why.id, scrubber),
        "label": label_text(label, scrubber),
        "place": why.place,
        "reason": why.reason.value,
        "next_pick": why.is_pick,
        "out": why.reason.is_out,
        "probing": why.is_probe,
        "since": why.since,
        "until": why.until,
        "ready_at": why.ready_at,
        "failure": _bench(why.bench, scrubber) if why.bench else None,
        "said": None if why.said is None else said_text(why.said, scrubber),
        "compared_with": _name(why.rival, scrubber),
        "turns": why.turns,
        "requests": why.uses,
        "in_flight": why.in_flight,
        "limits": [
            {"model": label_text(model, scrubber), **_bench(bench, scrubber)} for model, bench in why.limits
        ],
        "would_change": [_remedy(remedy, scrubber) for remedy in why.remedies],
        "inherited": why.inherited,
    }


def _bench(bench: Bench, scrubber: Scrubber) -> dict[str, Any]:
    return {
        "since": bench.since,
        "until": bench.until,
        "status_code": bench.code,
        "cause": _name(bench.cause, scrubber),
        "scope": _name(bench.scope, scrubber),
        "evidence": bench.evidence.value if bench.evidence else None,
        "told_until": bench.told,
        "config_line": bench.line,
        "streak": bench.streak,
    }


def _remedy(remedy: Remedy, scrubber: Scrubber) -> dict[str, Any]:
    return {"act": remedy.act.value, "at": remedy.at, "name": _name(remedy.name, scrubber)}


def _name(text: str | None, scrubber: Scrubber) -> str | None:
    return None if text is None else label_text(text, scrubber)
