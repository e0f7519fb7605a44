"""Who may read and write the home's files, where they lie, and who holds the lock."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from keydeck.engine.config import Config
from keydeck.engine.doctor.case import Case
from keydeck.engine.doctor.finding import Finding, Kind, Severity, quoted
from keydeck.engine.files import PRIVATE_DIR
from keydeck.engine.locks import lock_paths

OPEN_TO_OTHERS: Final = 0o077
_HOLDING_SECRETS: Final = ("auth.json.corrupt", ".env", ".op.env", ".anthropic_oauth.json")
_FROM_AFAR: Final = (
    *("nfs", "cifs", "smb", "fuse", "9p", "afs", "ceph", "glusterfs", "lustre", "beegfs", "gfs"),
    *("vboxsf", "prl_fs", "drvfs", "virtiofs"),
)
_NOT_FROM_AFAR: Final = frozenset({"fuseblk", "fusectl"})
_MOUNTS: Final = Path("/proc/mounts")
_LOCKS: Final = Path("/proc/locks")


# --- modes -------------------------------------------------------------------------------------------------


def wide_modes(case: Case) -> Iterator[Finding]:
    """Find files with secrets, and folders of ours, that others than their owner can get into."""
    for path, allowed in (
        (case.home.path, _home_mode(case)),
        (case.real, 0),
        *((case.home.path / name, 0) for name in _HOLDING_SECRETS),
        (case.home.root / "shared" / "nous_auth.json", 0),
        *((path, 0) for path in _config_with_secrets(case)),
    ):
        status = case.stat(path)
        if status is not None and status.st_mode & OPEN_TO_OTHERS & ~allowed:
            yield _wide(case, path, status)
    yield from _wide_below(case)


def _home_mode(case: Case) -> int:
    """Return the mode that the operator told hermes to give the home (hermes-pool 1.1)."""
    try:
        return int(case.reader.env().get("HERMES_HOME_MODE", ""), 8)
    except ValueError:
        return PRIVATE_DIR


def _config_with_secrets(case: Case) -> Iterator[Path]:
    text = (case.read(case.home.config_path) or b"").decode("utf-8", "replace")
    if any(secret in text for secret in _secrets_in(case.config)):
        yield case.home.config_path


def _secrets_in(config: Config) -> Iterator[str]:
    for endpoint in config.endpoints:
        if endpoint.api_key:
            yield endpoint.api_key.reveal()
    if config.model_endpoint:
        yield config.model_endpoint.api_key.reveal()


def _wide(case: Case, path: Path, status: os.stat_result) -> Finding:
    name = "the home" if path == case.home.path else case.called(path)
    return Finding(
        kind=Kind.MODE,
        severity=Severity.PROBLEM,
        subject=case.called(path),
        what=f"{name} is open to others: mode {stat.S_IMODE(status.st_mode):04o}",
        todo=f"chmod go-rwx {quoted(path)}",
        paths=(path,),
    )


def _wide_below(case: Case) -> Iterator[Finding]:
    """Find what is open in the journal's folder: one finding, there may be many files."""
    below = [*_itself(case, case.folder), *case.own_files(case.folder)]
    wide = [(path, status) for path, status in below if status.st_mode & OPEN_TO_OTHERS]
    if len(wide) == 1:
        yield _wide(case, *wide[0])
    elif wide:
        yield Finding(
            kind=Kind.MODE,
            severity=Severity.PROBLEM,
            subject=case.called(case.folder),
            what=f"{len(wide)} files and folders in {case.called(case.folder)} are open to others",
            todo=f"chmod -R go-rwx {quoted(case.folder)}",
            paths=tuple(path for path, _ in wide),
        )


def _itself(case: Case, path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    if (status := case.stat(path)) is not None:
        yield path, status


# --- owners ------------------------------------------------------------------------------------------------


def foreign_owners(case: Case) -> Iterator[Finding]:
    """Find files that belong to another user than the home: whom it belongs to cannot open or replace them."""
    home = case.stat(case.home.path)
    if home is None:
        return
    names = ("auth.json", "auth.lock", "config.yaml", *_HOLDING_SECRETS)
    for path in dict.fromkeys((case.real, *(case.home.path / name for name in names))):
        status = case.stat(path)
        if status is not None and status.st_uid != home.st_uid:
            yield _foreign(case, path, status.st_uid, home.st_uid, case.called(path), "belongs")
    below = [*_itself(case, case.folder), *case.own_files(case.folder)]
    foreign = [(path, status.st_uid) for path, status in below if status.st_uid != home.st_uid]
    if foreign:
        path, owner = foreign[0]
        more = (
            f"{len(foreign)} files in {case.called(case.folder)}" if len(foreign) > 1 else case.called(path)
        )
        verb = "belong" if len(foreign) > 1 else "belongs"
        yield _foreign(case, case.folder, owner, home.st_uid, more, verb)


def _foreign(case: Case, path: Path, owner: int, wanted: int, what: str, verb: str) -> Finding:
    every = "-R " if path == case.folder else ""
    return Finding(
        kind=Kind.OWNER,
        severity=Severity.PROBLEM,
        subject=case.called(path),
        what=f"{what} {verb} to {_user(owner)}, the home to {_user(wanted)}",
        todo=f"sudo chown {every}{quoted(_user(wanted))} {quoted(path)}",
    )


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


# --- places ------------------------------------------------------------------------------------------------


def read_only(case: Case) -> Iterator[Finding]:
    """Find folders in which nothing can be written: acts are refused there and uses wait in memory."""
    for folder in dict.fromkeys((case.home.path, case.real.parent, case.folder)):
        if case.stat(folder) is not None and not _may_write(folder):
            yield Finding(
                kind=Kind.READ_ONLY,
                severity=Severity.PROBLEM,
                subject=case.called(folder),
                what=f"{folder} cannot be written by you: nothing can be changed or counted there",
                todo=f"ls -ld {quoted(folder)}; findmnt -T {quoted(folder)}",
            )


def _may_write(folder: Path) -> bool:
    as_we_act = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=as_we_act)


def linked_store(case: Case) -> Iterator[Finding]:
    """Find an auth.json that is a link: two homes may share it, or its target may be gone."""
    path = case.home.auth_path
    if not os.path.islink(path):
        return
    is_there = case.stat(path) is not None
    yield Finding(
        kind=Kind.SYMLINK,
        severity=Severity.NOTE if is_there else Severity.PROBLEM,
        subject="auth.json",
        what=f"auth.json is a link to {case.real}" + ("" if is_there else ", which is not there"),
        todo="nothing: locks are taken, and files written, at both ends"
        if is_there
        else f"ls -l {quoted(path)}",
    )


def network_file_system(case: Case) -> Iterator[Finding]:
    """Find a home on a file system of another machine, whose locks and appends may not hold."""
    mounts = (case.read(_MOUNTS) or b"").decode("utf-8", "surrogateescape").splitlines()
    points = [(_unescaped(parts[1]), parts[2]) for line in mounts if len(parts := line.split(" ")) > 2]
    above = [(point, kind) for point, kind in points if _is_below(case.real, point)]
    if not above:
        return
    point, kind = max(enumerate(above), key=lambda found: (len(found[1][0]), found[0]))[1]
    if kind.startswith(_FROM_AFAR) and kind not in _NOT_FROM_AFAR:
        yield Finding(
            kind=Kind.NETWORK_FS,
            severity=Severity.WARNING,
            subject=point,
            what=f"the home lies on {kind} ({point}): locks may not hold there when two machines write",
            todo="let one machine only use this home, or move it to a local disk and pass --home",
        )


def _unescaped(word: str) -> str:
    """Return a word of the mount table as it is: blanks and the like are octal there."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        word = word.replace(code, char)
    return word


def _is_below(path: Path, point: str) -> bool:
    return point == "/" or str(path) == point or str(path).startswith(point.rstrip("/") + "/")


# --- the lock ----------------------------------------------------------------------------------------------


def held_lock(case: Case) -> Iterator[Finding]:
    """Find a lock that somebody holds now, and say who; never waits for it."""
    for path in lock_paths(case.home.auth_path):
        held = _is_held(case, path)
        if held is None:
            yield Finding(
                kind=Kind.NO_LOCKS,
                severity=Severity.PROBLEM,
                subject=case.called(path),
                what=f"the file system of {case.called(path)} has no locks: nothing can be changed safely",
                todo="move the home to a local disk and pass --home",
            )
        elif held:
            yield Finding(
                kind=Kind.LOCK_HELD,
                severity=Severity.NOTE,
                subject=case.called(path),
                what=f"{case.called(path)} is held right now by {_holder(case, path)}",
                todo=f"fuser -v {quoted(path)}",
            )


def _is_held(case: Case, path: Path) -> bool | None:
    """Tell whether somebody holds the lock; None where locks do not work."""
    import fcntl

    try:
        fd = case.disk.open_read(path)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return True if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    finally:
        case.disk.close(fd)  # lets go of it
    return False


def _holder(case: Case, path: Path) -> str:
    """Return who holds a lock, as far as the system tells."""
    status = case.stat(path)
    for line in (case.read(_LOCKS) or b"").decode("ascii", "replace").splitlines():
        parts = line.split()
        if len(parts) > 5 and parts[1] == "FLOCK" and status and parts[5].endswith(f":{status.st_ino}"):
            name = (case.read(Path("/proc") / parts[4] / "comm") or b"").decode("utf-8", "replace").strip()
            return f"{name or 'a program'} (process {parts[4]})"
    return "another program"
