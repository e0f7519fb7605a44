"""How long failures bench, in words: the table in effect, where each wait comes from, what another would do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from keydeck.engine.cooldown_edit import Entry, wait_text
from keydeck.engine.cooldown_policy import LONGEST_WAIT_S, TABLE, Policy, Rule
from keydeck.engine.cooldown_preview import Preview, Shift, Tally
from keydeck.engine.credential import Credential
from keydeck.engine.failures import FailureKind, usual_kind
from keydeck.engine.snapshot import HomeSnapshot
from keydeck.engine.state import Health, HealthKind
from keydeck.present.rows import Context, label_text
from keydeck.present.text import clock_time, duration

ABOUT: Final = {
    FailureKind.RATE_LIMIT: "429: too many requests for the moment",
    FailureKind.USAGE_LIMIT: "a plan's or day's limit, where the provider names no end",
    FailureKind.BILLING: "402, or a balance that is spent under any status",
    FailureKind.KEY_REFUSED: "401 for an API key",
    FailureKind.LOGIN_REFUSED: "401 for a login",
    FailureKind.REVOKED: "the provider says that it is gone for good",
    FailureKind.FORBIDDEN: "403 without a reason that we know",
    FailureKind.ENTITLEMENT: "403 for a region, a model or a plan: not the key's fault",
    FailureKind.PROVIDER: "5xx, overload, timeouts: not the key's fault",
    FailureKind.REQUEST: "400, 404, 413, 422: the request's fault",
    FailureKind.UNKNOWN: "failed, and nothing says why",
}


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """One line of the table: a kind of failure, or a status that has an entry of its own."""

    entry: Entry
    """Where a change of this line is written."""
    rule: Rule
    is_own: bool = False
    """Whether the level that is looked at says so itself."""

    @property
    def title(self) -> str:
        """What the operator calls it."""
        return self.entry.name.replace("_", " ")

    @property
    def about(self) -> str:
        """When it applies."""
        if self.entry.name.isdecimal():
            return f"the status alone, before {_usual(self.entry.name).replace('_', ' ')}"
        return ABOUT[FailureKind(self.entry.name)]


def policy_rows(policy: Policy, provider: str = "", row_id: str = "") -> tuple[PolicyRow, ...]:
    """Return what holds for all, or for a provider: every kind, behind it the statuses that have an entry."""
    levels = (policy.everywhere, policy.providers.get(provider, {}), policy.keys.get(row_id, {}))
    statuses = sorted({name for changes in levels for name in changes if name.isdecimal()})
    rows: list[PolicyRow] = []
    for kind in FailureKind:
        rows.append(_row(policy, Entry(kind.value, provider, row_id), kind, None))
        usual = (status for status in statuses if _usual(status) == kind)
        rows += (_row(policy, Entry(each, provider, row_id), kind, int(each)) for each in usual)
    return tuple(rows)


def _usual(status: str) -> str:
    return usual_kind(int(status)).value


def _row(policy: Policy, entry: Entry, kind: str, code: int | None) -> PolicyRow:
    rule = policy.rule(kind, code, entry.provider, entry.row_id)
    return PolicyRow(entry, rule, entry.change(policy) is not None)


def entries(policy: Policy) -> int:
    """Return how many entries config.yaml has, for all, for providers and for single keys."""
    levels = (policy.everywhere, *policy.providers.values(), *policy.keys.values())
    return sum(map(len, levels))


def times_sign(context: Context) -> str:
    """Return the sign of multiplication."""
    return "x" if context.glyphs.ellipsis.isascii() else "×"


def rule_text(rule: Rule, times: str = "×") -> str:
    """Return what a failure costs: ``1m``, ``none``, ``none``, ``5m, then log in``."""
    if not rule.wait_s:
        return "none"
    if rule.terminal_after == 1:
        return "log in at once"
    said = f"{wait_text(rule.wait_s)}"
    if rule.grows > 1:
        cap = f" up to {wait_text(rule.cap_s)}" if rule.cap_s < LONGEST_WAIT_S else ""
        said += f", {times}{rule.grows:g}{cap}"
    if rule.terminal_after:
        after = "then" if rule.terminal_after == 2 else f"after {rule.terminal_after}"
        said += f", {after} log in"
    return said


def rule_fields(rule: Rule) -> dict[str, str]:
    """Return the fields of a rule as people write them."""
    cap = {"cap": str(wait_text(rule.cap_s))} if rule.cap_s < LONGEST_WAIT_S else {}
    return {"wait": str(wait_text(rule.wait_s)), "grows": f"{rule.grows:g}", **cap}


def source_text(row: PolicyRow, above: str = "from above") -> str:
    """Return where a rule comes from: the defaults, or which line of config.yaml, for whom."""
    if not row.rule.line:
        return "default"
    whose = "" if row.is_own or not (row.entry.provider or row.entry.row_id) else f", {above}"
    return f"config.yaml line {row.rule.line}{whose}"


def default_text(row: PolicyRow, times: str = "×") -> str:
    """Return what the defaults say where the line says something else."""
    name = row.entry.name
    return rule_text(TABLE[_usual(name) if name.isdecimal() else name], times)


# --- a preview ---------------------------------------------------------------------------------------------


def preview_lines(preview: Preview, now: float, context: Context) -> list[str]:
    """Return what a change would do, in lines: to keys that are out, then to the benches of today by pool."""
    lines = [_shift_line(shift, now, context) for shift in preview.shifts]
    lines += [_tally_line(tally, context) for tally in preview.tallies if tally.differs]
    if not lines:
        return ["today: nothing would have been otherwise"]
    return lines


def _shift_line(shift: Shift, now: float, context: Context) -> str:
    row = shift.before.row
    label = row.label if isinstance(row, Credential) else row.id
    name = row.id if context.masked else label_text(label, context.scrubber) or row.id
    before, after = shift.before.health, shift.after.health
    if after.is_usable:
        return f"{name}: back now instead of {_end(before, now)}"
    if before.is_usable:
        return f"{name}: out again until {_end(after, now)}"
    return f"{name}: {_end(after, now)} instead of {_end(before, now)}"


def _end(health: Health, now: float) -> str:
    if health.kind is HealthKind.NEEDS_LOGIN:
        return "a new login"
    return "never" if health.until is None else clock_time(health.until, now)


def _tally_line(tally: Tally, context: Context) -> str:
    counts = (
        (tally.shorter, "shorter"),
        (tally.longer, "longer"),
        (tally.gone, "fewer"),
        (tally.new, "more"),
    )
    said = ", ".join(f"{number} {what}" for number, what in counts if number)
    name = label_text(tally.provider, context.scrubber) or "others"
    benches = f"{tally.benches} {'bench' if tally.benches == 1 else 'benches'}"
    arrow = "->" if context.glyphs.ellipsis.isascii() else "→"
    out = f"out for {duration(tally.before_s)} {arrow} {duration(tally.after_s)}"
    return f"{name} today: {benches}, {said}; {out}"


# --- JSON --------------------------------------------------------------------------------------------------


def policy_json(snapshot: HomeSnapshot, provider: str = "", row_id: str = "") -> dict[str, Any]:
    """Return the table for scripts, in seconds, and what does not hold."""
    return {
        "provider": provider or None,
        "id": row_id or None,
        "cooldown": [_row_json(row) for row in policy_rows(snapshot.policy, provider, row_id)],
        "problems": [{"line": line, "text": text} for line, text in snapshot.policy_problems],
    }


def _row_json(row: PolicyRow) -> dict[str, Any]:
    rule, is_status = row.rule, row.entry.name.isdecimal()
    return {
        "kind": _usual(row.entry.name) if is_status else row.entry.name,
        "status": int(row.entry.name) if is_status else None,
        "wait_s": rule.wait_s,
        "grows": rule.grows,
        "cap_s": rule.cap_s,
        "sole_cap_s": rule.sole_cap_s,
        "terminal_after": rule.terminal_after,
        "rotates": rule.rotates.value,
        "line": rule.line or None,
        "own": row.is_own,
    }


def preview_json(preview: Preview) -> dict[str, Any]:
    """Return a preview for scripts: times as epoch seconds, lengths in seconds."""
    return {
        "since": preview.since,
        "pools": [
            {
                "provider": tally.provider,
                "benches": tally.benches,
                "shorter": tally.shorter,
                "longer": tally.longer,
                "none": tally.gone,
                "new": tally.new,
                "before_s": tally.before_s,
                "after_s": tally.after_s,
            }
            for tally in preview.tallies
        ],
        "rows": [
            {
                "provider": shift.provider,
                "id": shift.before.id,
                "before": _health_json(shift.before.health),
                "after": _health_json(shift.after.health),
            }
            for shift in preview.shifts
        ],
    }


def _health_json(health: Health) -> dict[str, Any]:
    return {"health": health.kind.value, "until": health.until}


def override_lines(policy: Policy, snapshot: HomeSnapshot, provider: str, context: Context) -> Iterator[str]:
    """Yield what single keys have of their own, by line of config.yaml."""
    labels = {
        row.id: row.label if isinstance(row, Credential) else row.id
        for pool in snapshot.pools
        for row in pool.rows
        if not provider or pool.provider == provider
    }
    for row_id, changes in policy.keys.items():
        if provider and row_id not in labels:
            continue
        label = label_text(labels.get(row_id, row_id), context.scrubber)
        name = row_id if context.masked else label
        for row in policy_rows(policy, provider, row_id):
            if row.entry.name in changes:
                rule = rule_text(row.rule, times_sign(context))
                yield f"{name}: {row.title} {rule}, config.yaml line {row.rule.line}"
