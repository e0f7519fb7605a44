"""What is wrong with a home, and what to do about it. Looking writes nothing; `mend` does only what is safe."""

from __future__ import annotations

from keydeck.engine.doctor import access, environment, remains, rows, settings, told
from keydeck.engine.doctor.case import open_case
from keydeck.engine.doctor.finding import Finding, Kind, Severity
from keydeck.engine.doctor.mend import Mended, mend
from keydeck.engine.snapshot import HomeReader

__all__ = ["Finding", "Kind", "Mended", "Severity", "examine", "mend"]

_CHECKS = (
    settings.store_trouble,
    settings.config_trouble,
    settings.cooldown_entries,
    access.read_only,
    access.wide_modes,
    access.foreign_owners,
    access.linked_store,
    access.network_file_system,
    access.held_lock,
    remains.leftovers,
    remains.corrupt_copies,
    remains.backups,
    rows.bad_rows,
    rows.same_ids,
    rows.same_secrets,
    rows.long_pauses,
    environment.differing_variables,
    environment.borrowed_rows,
    told.journal,
    told.checkpoints,
)


def examine(reader: HomeReader, *, flags: str = "") -> tuple[Finding, ...]:
    """Return all that is wrong with a home, the worst first. Writes nothing and waits for nobody.

    Args:
        reader: the home.
        flags: what a command needs to mean this home, with a leading blank.
    """
    case = open_case(reader, flags)
    found = [finding for check in _CHECKS for finding in check(case)]
    return tuple(sorted(found, key=lambda finding: finding.severity.rank))
