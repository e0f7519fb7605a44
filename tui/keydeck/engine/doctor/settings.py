"""auth.json as a whole, and config.yaml."""

from __future__ import annotations

from collections.abc import Iterator

from keydeck.engine.auth_document import parse_document
from keydeck.engine.backups import backup_dir
from keydeck.engine.config import DEFAULT_STRATEGY, KNOWN_STRATEGIES
from keydeck.engine.doctor.case import Case
from keydeck.engine.doctor.finding import Finding, Kind, Severity, edited, quoted
from keydeck.engine.errors import StoreCorrupt, StoreError, StoreTooNew

_AUTH = "auth.json"


def store_trouble(case: Case) -> Iterator[Finding]:
    """Find a store that cannot be used, in part or at all."""
    trouble = case.snapshot.trouble
    if isinstance(trouble, StoreError):
        kind, todo = _what_to_do(case, trouble)
        yield Finding(
            kind=kind,
            severity=Severity.PROBLEM,
            subject=_AUTH,
            what=f"auth.json cannot be used: {trouble.reason}",
            todo=todo,
        )
    elif not case.snapshot.exists:
        yield Finding(
            kind=Kind.NO_STORE,
            severity=Severity.NOTE,
            subject=_AUTH,
            what=f"there is no auth.json in {case.home.path}",
            todo=f"keydeck auth add PROVIDER{case.flags}",
        )
    for name, why in case.snapshot.bad_pools.items():
        yield Finding(
            kind=Kind.BAD_POOL,
            severity=Severity.PROBLEM,
            subject=case.name(name),
            what=f"pool {case.name(name)} cannot be read: {why}",
            todo=edited(case.real),
        )


def _what_to_do(case: Case, trouble: StoreError) -> tuple[Kind, str]:
    if isinstance(trouble, StoreCorrupt):
        path = quoted(case.real)
        good = _newest_good_backup(case)
        return Kind.STORE_CORRUPT, f"cp {good} {path}" if good else edited(case.real)
    if isinstance(trouble, StoreTooNew):
        return Kind.STORE_TOO_NEW, "pip install --upgrade keydeck"
    return Kind.STORE_UNREADABLE, f"ls -l {quoted(case.real)}"


def _newest_good_backup(case: Case) -> str | None:
    folder = backup_dir(case.home.auth_path)
    for name in reversed(case.names(folder)):
        if name.startswith("auth-") and (data := case.read(folder / name)):
            try:
                parse_document(folder / name, data)
            except StoreError:
                continue
            return quoted(folder / name)
    return None


def config_trouble(case: Case) -> Iterator[Finding]:
    """Find settings that nobody can read, or that nobody follows."""
    trouble = case.snapshot.config_trouble
    if trouble is not None:
        yield Finding(
            kind=Kind.CONFIG_BROKEN,
            severity=Severity.PROBLEM,
            subject="config.yaml",
            what=f"config.yaml cannot be used: {getattr(trouble, 'reason', trouble)}",
            todo=edited(case.home.config_path),
        )
        return
    strategies = {pool.provider: pool.strategy for pool in case.snapshot.pools}
    for provider, strategy in {**case.config.strategies, **strategies}.items():
        if strategy not in KNOWN_STRATEGIES:
            yield Finding(
                kind=Kind.UNKNOWN_STRATEGY,
                severity=Severity.WARNING,
                subject=case.name(provider),
                what=f"nobody knows the strategy {case.name(strategy)} of {case.name(provider)}: it is read as "
                f"{DEFAULT_STRATEGY}",
                todo=case.command("auth", "strategy", provider, DEFAULT_STRATEGY),
            )


def cooldown_entries(case: Case) -> Iterator[Finding]:
    """Find entries of ``credential_pool.cooldown`` that do not hold: the defaults do in their place."""
    for line, text in case.config.cooldown_problems:
        yield Finding(
            kind=Kind.COOLDOWN_ENTRY,
            severity=Severity.WARNING,
            subject="config.yaml",
            what=f"line {line} of config.yaml does not hold: {case.name(text)}",
            todo=edited(case.home.config_path),
        )
