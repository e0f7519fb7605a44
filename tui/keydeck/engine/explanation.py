"""What `explain` answers: which row the next request gets, and of every row why, as facts. The words are present's.

All sets here are closed. Times are epoch seconds; rows are named by id.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from keydeck.engine.cooldown import Evidence


class Outcome(StrEnum):
    """What the next request gets."""

    PICK = "pick"
    CHANCE = "chance"
    """One of several, whichever it is."""
    ALL_OUT = "all_out"
    NOT_CONFIGURED = "not_configured"
    """The pool has no row that can be read."""


class Reason(StrEnum):
    """Why a row is taken, or why not: one for each row."""

    ONLY_READY = "only_ready"
    FIRST = "first"
    """The first ready one."""
    ITS_TURN = "its_turn"
    FEWEST_USES = "fewest_uses"
    ITS_SESSION = "its_session"
    """The row of the session that asks."""
    USED_LAST = "used_last"
    """Requests without a session stay with it."""
    CHANCE = "chance"
    """One of several that may be taken."""
    OWN_PROBE = "own_probe"
    """Who asks tries it himself after its cooldown, and goes on with it: there is no other."""

    BEHIND = "behind"
    """Ready, and another one comes first."""
    LATER_TURN = "later_turn"
    MORE_USES = "more_uses"
    SAME_USES = "same_uses"
    """Used as often as the row that is taken, which comes first."""
    OTHER_SESSIONS = "other_sessions"
    """Ready, for other sessions."""
    BUSIER = "busier"
    """Ready, and it has more leases than the row that is taken."""

    AT_CAP = "at_cap"
    """It has as many leases as it may have."""
    PROBING = "probing"
    """Another request tries it after its cooldown, and has not been answered."""
    MODEL_LIMIT = "model_limit"
    """Ready for other models."""
    COOLING = "cooling"
    PAUSED = "paused"
    NEEDS_LOGIN = "needs_login"
    TOKEN_ENDED = "token_ended"  # noqa: S105 - a reason
    """Its token ended, and whoever renews it has not done so."""
    NO_SECRET = "no_secret"  # noqa: S105 - a reason
    BAD_ROW = "bad_row"
    VANISHED = "vanished"
    """It needed a login, and is in no file any more."""

    @property
    def is_out(self) -> bool:
        """Whether no strategy would take the row now."""
        return self in _OUT


_OUT = frozenset(Reason) - {
    *(Reason.ONLY_READY, Reason.FIRST, Reason.ITS_TURN, Reason.FEWEST_USES, Reason.ITS_SESSION),
    *(Reason.USED_LAST, Reason.CHANCE, Reason.BEHIND, Reason.LATER_TURN, Reason.MORE_USES),
    *(Reason.SAME_USES, Reason.OTHER_SESSIONS, Reason.BUSIER, Reason.OWN_PROBE),
}


class Act(StrEnum):
    """What would change it."""

    WAIT = "wait"
    RESET = "reset"
    RESUME = "resume"
    TOP_UP = "top_up"
    """Pay the provider, then reset."""
    LOG_IN = "log_in"
    NEW_KEY = "new_key"
    RENEWAL = "renewal"
    """hermes renews the token when it next uses it."""
    SET_VARIABLE = "set_variable"
    MEND_ROW = "mend_row"
    """By hand, in auth.json."""
    DISMISS = "dismiss"
    """Take the reminder away."""
    OTHER_MODEL = "other_model"
    MAKE_FIRST = "make_first"
    SET_STRATEGY = "set_strategy"
    GIVE_BACK = "give_back"
    """Whoever has a lease of it ends its work."""
    RAISE_CAP = "raise_cap"
    """``credential_pool.leases.at_most`` of config.yaml."""


class Remedy(NamedTuple):
    """One thing that would change it."""

    act: Act
    at: float | None = None
    """When it happens by itself."""
    name: str | None = None
    """The variable to set."""


class Bench(NamedTuple):
    """What is known of the failure that keeps a row out."""

    since: float | None = None
    until: float | None = None
    """None: waiting does not help."""
    code: int | None = None
    cause: str | None = None
    """A `FailureKind`."""
    scope: str | None = None
    """`cooldown.ROW`, `cooldown.ACCOUNT` or what `cooldown.model_scope` returns."""
    evidence: Evidence | None = None
    """Whose word the end is."""
    told: float | None = None
    """The end that the provider named, whether we follow it or not."""
    line: int | None = None
    """The line of config.yaml that decides."""
    streak: int = 0
    """The how manieth failure in a row it was."""


class RowReason(NamedTuple):
    """Why one row is taken or not."""

    id: str
    place: int
    """In the order of trial, from 1."""
    reason: Reason
    is_pick: bool = False
    """Whether the next request surely goes there."""
    is_probe: bool = False
    """Whether its cooldown has just ended, so that one request at a time tries it."""
    since: float | None = None
    until: float | None = None
    """When the reason ends by itself; None where it does not."""
    ready_at: float | None = None
    """When the row is ready if nobody does anything: later than `until` where a pause hides a bench."""
    bench: Bench | None = None
    """The failure behind `COOLING`, `MODEL_LIMIT`, a probe, and some of `NEEDS_LOGIN`."""
    said: str | None = None
    """What the provider or the file says: as it was found, so never to be shown as it is."""
    rival: str | None = None
    """The row it is compared with: the one that is taken, or the one whose turn comes before."""
    turns: int = 0
    """How many picks come before its turn."""
    uses: int = 0
    """Requests that were sent with its secret."""
    in_flight: int = 0
    """Requests that are known to be under way: those with a lease, or the one that tries the row."""
    limits: tuple[tuple[str, Bench], ...] = ()
    """Models with which no request may go there now, and why."""
    remedies: tuple[Remedy, ...] = ()
    """What would change it, the least drastic first."""
    inherited: bool = False
    """The root profile's row: acts on it are that profile's."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the next request gets, and why."""

    provider: str
    strategy: str
    """The one that is followed."""
    at: float
    outcome: Outcome
    rows: tuple[RowReason, ...] = ()
    """In the order of trial."""
    session: str | None = None
    model: str | None = None
    at_most: int | None = None
    """How many leases a row may have."""

    @property
    def pick(self) -> str | None:
        """The row that the next request surely gets."""
        return next((row.id for row in self.rows if row.is_pick), None)

    @property
    def among(self) -> tuple[str, ...]:
        """The rows of which chance takes one."""
        return tuple(row.id for row in self.rows if row.reason is Reason.CHANCE)

    @property
    def soonest(self) -> RowReason | None:
        """The row that is ready first when all are out; None where waiting alone helps nobody."""
        back = [row for row in self.rows if row.ready_at is not None]
        if self.outcome is not Outcome.ALL_OUT or not back:
            return None
        return min(back, key=lambda row: (row.ready_at or 0.0, row.place))

    def row(self, row_id: str | None) -> RowReason | None:
        """Return the answer of one row."""
        return next((row for row in self.rows if row.id == row_id), None)
