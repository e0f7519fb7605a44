"""What a failure of each kind costs: the table of design 4, and what the operator changed in it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from keydeck.engine.failures import FailureKind, usual_kind

LONGEST_WAIT_S: Final = 30 * 86400.0
"""No table and no policy benches for longer."""


class Rotates(StrEnum):
    """Whether the request may go on with another row."""

    YES = "yes"
    ONCE = "once"
    """With one sibling: what it hears, all would hear."""
    NO = "no"


class Rule(NamedTuple):
    """What a failure of one kind costs."""

    wait_s: float
    """The first wait; 0: no bench, and nothing is terminal."""
    grows: float = 1.0
    """Each failure in a row makes the wait so many times longer."""
    cap_s: float = LONGEST_WAIT_S
    sole_cap_s: float = LONGEST_WAIT_S
    """The cap for the only usable row of a pool: a self-refusal helps nobody (FS-28)."""
    terminal_after: int = 0
    """Failures in a row after which only the operator helps; 0: never."""
    rotates: Rotates = Rotates.YES
    line: int = 0
    """Which line of config.yaml says so last; 0: the table."""

    def wait(self, streak: int, *, is_sole: bool = False) -> float:
        """Return the seconds to wait after that many failures in a row, the first being 1."""
        grown = self.wait_s * self.grows ** min(streak - 1, 64)
        return min(grown, self.cap_s, self.sole_cap_s if is_sole else math.inf, LONGEST_WAIT_S)


_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_UNAUTHORIZED: Final = 401

TABLE: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        FailureKind.RATE_LIMIT: Rule(_MINUTE, grows=2, cap_s=_HOUR, sole_cap_s=_MINUTE),
        FailureKind.USAGE_LIMIT: Rule(_HOUR),
        FailureKind.BILLING: Rule(_HOUR, grows=2, cap_s=24 * _HOUR),
        FailureKind.KEY_REFUSED: Rule(5 * _MINUTE, terminal_after=2),
        FailureKind.LOGIN_REFUSED: Rule(5 * _MINUTE, terminal_after=2),
        FailureKind.REVOKED: Rule(5 * _MINUTE, terminal_after=1),
        FailureKind.FORBIDDEN: Rule(5 * _MINUTE, rotates=Rotates.ONCE),
        FailureKind.ENTITLEMENT: Rule(0, rotates=Rotates.ONCE),
        FailureKind.PROVIDER: Rule(0, rotates=Rotates.NO),
        FailureKind.REQUEST: Rule(0, rotates=Rotates.NO),
        # The caller says that the key is out and nothing says why: as little as for a throttle.
        FailureKind.UNKNOWN: Rule(_MINUTE, grows=2, cap_s=_HOUR, sole_cap_s=_MINUTE),
    }
)
"""The defaults of design 4."""


class Change(NamedTuple):
    """What the operator wants otherwise; None leaves a value as it was."""

    wait_s: float | None = None
    grows: float | None = None
    cap_s: float | None = None
    sole_cap_s: float | None = None
    terminal_after: int | None = None
    line: int = 0

    def applied(self, rule: Rule) -> Rule:
        """Return the rule with this change; a longer wait lifts caps that it does not name itself."""
        wait = rule.wait_s if self.wait_s is None else self.wait_s
        least = 0.0 if self.wait_s is None else self.wait_s
        return Rule(
            wait_s=wait,
            grows=rule.grows if self.grows is None else self.grows,
            cap_s=max(rule.cap_s, least) if self.cap_s is None else self.cap_s,
            sole_cap_s=max(rule.sole_cap_s, least) if self.sole_cap_s is None else self.sole_cap_s,
            terminal_after=rule.terminal_after if self.terminal_after is None else self.terminal_after,
            rotates=rule.rotates,
            line=self.line,
        )


Changes = Mapping[str, Change]
"""By the name of a kind, or by the digits of a status."""
_NO_CHANGES: Final[Changes] = MappingProxyType({})


class Policy(NamedTuple):
    """The table and what the operator changed in it; the most specific wins: key, provider, everywhere.

    On one level a status wins over a kind, 529 over ``provider``. Where the body says another kind than the
    status does, a spent balance in a 429, the kind wins.
    """

    everywhere: Changes = _NO_CHANGES
    providers: Mapping[str, Changes] = MappingProxyType({})
    keys: Mapping[str, Changes] = MappingProxyType({})

    def rule(self, kind: str, code: int | None, provider: str = "", row_id: str = "") -> Rule:
        """Return the rule for a failure; a kind that only a newer version knows is like an unknown one."""
        rule = TABLE.get(kind) or TABLE[FailureKind.UNKNOWN]
        if not (self.everywhere or self.providers or self.keys):
            return rule
        levels = (self.everywhere, self.providers.get(provider), self.keys.get(row_id))
        names = (kind, str(code)) if _is_usual(kind, code) else (str(code), kind)
        for changes in filter(None, levels):
            for name in names:
                if change := changes.get(name):
                    rule = change.applied(rule)
        return rule


DEFAULT_POLICY: Final = Policy()


def filed_wait(code: int | None) -> float:
    """Return how many seconds hermes benches for a status when no end was named (hermes-pool 5.1)."""
    return 5 * _MINUTE if code == _UNAUTHORIZED else _HOUR


def _is_usual(kind: str, code: int | None) -> bool:
    usual = usual_kind(code)
    return kind == usual or (kind == FailureKind.LOGIN_REFUSED and usual is FailureKind.KEY_REFUSED)
