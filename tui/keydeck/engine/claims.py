"""Claims on a row: leases for work in flight, and the probe after a cooldown. Pure; the first in the journal wins.

No end is stored: a claim says when it began and how long it may last, so that who dies gives back by the clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from keydeck.engine.events import Leased, Position, Probed, Released

if TYPE_CHECKING:
    from keydeck.engine.cooldown import Strike

PROBE_S: Final = 60.0
"""So long after a cooldown, or after the request that tries the row again, silence counts as a success."""
# Somebody whose clock was read just before another's must come to the same answer from a checkpoint.
_KEPT_S: Final = 60.0


class Lease(NamedTuple):
    """Work in flight with a row. Times are epoch seconds."""

    at: float
    """When it was taken or renewed."""
    ttl_s: float

    @property
    def until(self) -> float:
        """When it ends, should nobody give it back or renew it before."""
        return self.at + self.ttl_s

    def is_live(self, now: float) -> bool:
        """Tell whether it still counts; one that a clock set back puts far into the future does not."""
        return -self.ttl_s < now - self.at < self.ttl_s


class Probe(NamedTuple):
    """The one request that tries a row again after its cooldown."""

    by: str
    at: float
    place: Position
    """Where in the journal it was claimed: a failure that stands later has answered it."""

    def is_live(self, now: float) -> bool:
        """Tell whether its answer may still come."""
        return -PROBE_S < now - self.at < PROBE_S


Leases = Mapping[str, Lease]
"""Leases by name."""
NO_LEASES: Final[Leases] = MappingProxyType({})


def leased(leases: Leases, event: Leased, at: float) -> Leases:
    """Take a claim, unless as many as it allows hold the row already; one that is still held is renewed."""
    live = {name: lease for name, lease in leases.items() if lease.is_live(at)}
    if event.lease not in live and event.most is not None and len(live) >= event.most:
        return leases
    return {**live, event.lease: Lease(at, event.ttl_s)}


def released(leases: Leases, event: Released) -> Leases:
    """Give a lease back."""
    left = {name: lease for name, lease in leases.items() if name != event.lease}
    return left or NO_LEASES


def probed(
    probe: Probe | None, strikes: Sequence[Strike], event: Probed, at: float, place: Position
) -> Probe:
    """Take the claim on a probe, unless another one waits for its answer."""
    if probe and probe.is_live(at) and not is_answered(probe, strikes):
        return probe
    return Probe(event.by, at, place)


def is_answered(probe: Probe, strikes: Sequence[Strike]) -> bool:
    """Tell whether the row failed since; what another program wrote down is known by its time alone."""
    return any(
        strike.failure.at > probe.at if strike.failure.is_filed else strike.place > probe.place
        for strike in strikes
    )


def in_flight(leases: Leases, now: float) -> int:
    """Return how many leases of a row count at `now`."""
    return sum(lease.is_live(now) for lease in leases.values()) if leases else 0


def without_ended(leases: Leases, now: float) -> Leases:
    """Forget leases that ended so long ago that nobody's clock calls them live."""
    left = {name: lease for name, lease in leases.items() if now < lease.until + _KEPT_S}
    return leases if len(left) == len(leases) else left or NO_LEASES


# --- the form in a checkpoint ------------------------------------------------------------------------------


def leases_form(leases: Leases) -> dict[str, Any] | None:
    """Return leases as a checkpoint has them."""
    return {name: list(lease) for name, lease in leases.items()} or None


def read_leases(form: Mapping[str, Any] | None) -> Leases:
    """Read `leases_form` back."""
    if not form:
        return NO_LEASES
    return {name: Lease(float(at), float(ttl_s)) for name, (at, ttl_s) in form.items()}


def probe_form(probe: Probe | None) -> list[Any] | None:
    """Return a probe as a checkpoint has it."""
    return [probe.by, probe.at, list(probe.place)] if probe else None


def read_probe(form: list[Any] | None) -> Probe | None:
    """Read `probe_form` back."""
    if not form:
        return None
    by, at, (segment, offset) = form
    return Probe(str(by), float(at), (int(segment), int(offset)))
