"""What auth.json, ``.env`` and the environment say of one variable, where they do not say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from keydeck.engine.credential import Credential, is_owned, is_secret_key
from keydeck.engine.discovery import ENV_PREFIX
from keydeck.engine.doctor.case import Case
from keydeck.engine.doctor.finding import Finding, Kind, Severity, quoted
from keydeck.engine.dotenv import effective_env, read_dotenv
from keydeck.engine.providers import registry
from keydeck.engine.raw_rows import raw_rows
from keydeck.engine.secret import fingerprint, why_not_a_secret

_FINGERPRINT: Final = "secret_fingerprint"


def differing_variables(case: Case) -> Iterator[Finding]:
    """Find keys that ``.env`` and the environment both set, to different values."""
    path = case.home.env_path
    if case.stat(path) is not None and case.read(path) is None:
        yield Finding(
            kind=Kind.ENV_UNREADABLE,
            severity=Severity.PROBLEM,
            subject=".env",
            what=".env cannot be read by you: its keys are missing here",
            todo=f"ls -l {quoted(path)}",
        )
    process, dotenv = case.reader.around.env, read_dotenv(path, case.disk)
    counts = effective_env(dotenv, process)
    for name in _key_names(case):
        here, there = process.get(name, "").strip(), dotenv.get(name, "").strip()
        if here and there and here != there and counts.get(name) == there:
            yield Finding(
                kind=Kind.ENV_DIFFERS,
                severity=Severity.WARNING,
                subject=name,
                what=f"{name} has one value in .env and another in the environment: .env counts",
                todo=f"unset {quoted(name)}",
            )


def _key_names(case: Case) -> list[str]:
    """Return the variables that hold keys: of providers, of endpoints, and of stored rows."""
    names = [name for provider in registry().values() for name in provider.key_envs]
    names += [endpoint.key_env for endpoint in case.config.endpoints if endpoint.key_env]
    names += [row.source.removeprefix(ENV_PREFIX) for row in _rows_of_variables(case)]
    return list(dict.fromkeys(names))


def _rows_of_variables(case: Case) -> Iterator[Credential]:
    for pool in case.snapshot.pools:
        for row in pool.rows:
            if isinstance(row, Credential) and row.stored and row.source.startswith(ENV_PREFIX):
                yield row


def borrowed_rows(case: Case) -> Iterator[Finding]:
    """Find rows whose variable is gone, cannot be a key or has changed, and rows that keep a key they only borrow."""
    raws = {(row.provider, row.id): row.raw for row in raw_rows(case.document or {})}
    env = case.reader.env()
    for row in _rows_of_variables(case):
        raw, name = raws.get((row.provider, row.id), {}), row.source.removeprefix(ENV_PREFIX)
        if row.source in _suppressed(case, row.provider):
            continue
        yield from _variable(case, row, name, env.get(name, ""), raw)
    for pool in case.snapshot.pools:
        for each in pool.rows:
            if isinstance(each, Credential) and _keeps_a_key(each, raws.get((each.provider, each.id), {})):
                yield _kept(case, each)


def _suppressed(case: Case, provider: str) -> set[str]:
    section = (case.document or {}).get("suppressed_sources")
    listed = section.get(provider) if isinstance(section, dict) else None
    return {source for source in listed if isinstance(source, str)} if isinstance(listed, list) else set()


def _variable(
    case: Case, row: Credential, name: str, value: str, raw: Mapping[str, Any]
) -> Iterator[Finding]:
    shown = case.name(name)
    remove = case.command("auth", "remove", row.provider, row.id)
    if not value:
        what = f"{case.row_name(row)} takes its key from {shown}, which is not set here"
        todo = f"set {shown} in {quoted(case.home.env_path)}, or: {remove}"
        yield _about(case, row, Kind.ENV_GONE, Severity.WARNING, what, todo)
    elif why := why_not_a_secret(value):
        what = f"{case.row_name(row)} takes its key from {shown}, which cannot be one: {why}"
        todo = f"set {shown} in {quoted(case.home.env_path)}, or: {remove}"
        yield _about(case, row, Kind.ENV_UNUSABLE, Severity.WARNING, what, todo)
    elif raw.get(_FINGERPRINT) not in (None, fingerprint(value)):
        what = f"{shown} holds another key than the one that {case.row_name(row)} was stored for"
        todo = f"nothing, if you changed it; else look: grep -n {quoted(name)} {quoted(case.home.env_path)}"
        yield _about(case, row, Kind.ENV_CHANGED, Severity.NOTE, what, todo)


def _keeps_a_key(row: Credential, raw: Mapping[str, Any]) -> bool:
    """Tell whether a row keeps a key in the file that hermes would only keep a fingerprint of (hermes-pool 1.5)."""
    if is_owned(row.provider, row.source):
        return False
    return any(isinstance(value, str) and value and is_secret_key(key) for key, value in raw.items())


def _kept(case: Case, row: Credential) -> Finding:
    what = f"{case.row_name(row)} comes from {case.name(row.source)}, and auth.json holds a copy of its key"
    todo = "hermes auth list"  # its every reading strips such a row
    return _about(case, row, Kind.BORROWED_SECRET, Severity.WARNING, what, todo)


def _about(case: Case, row: Credential, kind: Kind, severity: Severity, what: str, todo: str) -> Finding:
    return Finding(kind=kind, severity=severity, subject=case.row_subject(row), what=what, todo=todo)
