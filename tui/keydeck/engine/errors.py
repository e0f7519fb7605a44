"""What can go wrong, as types. The text of each is one line for the operator and never holds a secret.

KeydeckError
├── HomeError            which folder is meant cannot be told
├── StoreError           auth.json
│   ├── StoreUnreadable  permission or I/O
│   ├── StoreCorrupt     not JSON, or JSON of another shape
│   ├── StoreTooNew      a version this engine does not know
│   ├── StoreReadOnly    it can be read but not written
│   └── LockBusy         somebody else holds the lock
├── ConfigError          config.yaml
│   ├── ConfigBroken     not YAML, or not a mapping
│   └── ConfigReadOnly   managed by a package, or not writable
├── TargetError          no row, or more than one, answers to that name
└── Refused              understood, and not done
"""

from __future__ import annotations

from pathlib import Path


class KeydeckError(Exception):
    """Base of every error a caller may want to show to a person."""


class HomeError(KeydeckError):
    """The home or profile that was asked for does not exist."""


class StoreError(KeydeckError):
    """Something about ``auth.json``; `path` says which one."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class StoreUnreadable(StoreError):
    """The file is there and cannot be read."""


class StoreCorrupt(StoreError):
    """The file was read and is no store; `line` is 1-based where a parser could say."""

    def __init__(self, path: Path, reason: str, line: int | None = None) -> None:
        super().__init__(path, reason)
        self.line = line


class StoreTooNew(StoreError):
    """The file says a version above the one this engine writes."""


class StoreReadOnly(StoreError):
    """The file can be read but not replaced."""


class LockBusy(StoreError):
    """The lock was not free in time; `waited_s` is how long it was asked for, in seconds."""

    def __init__(self, path: Path, waited_s: float) -> None:
        super().__init__(path, f"another process has held the lock for {waited_s:.0f} s; nothing was changed")
        self.waited_s = waited_s


class ConfigError(KeydeckError):
    """Something about ``config.yaml``."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class ConfigBroken(ConfigError):
    """The file is no YAML mapping; `line` is 1-based where the parser could say."""

    def __init__(self, path: Path, reason: str, line: int | None = None) -> None:
        super().__init__(path, f"line {line}: {reason}" if line else reason)
        self.line = line


class ConfigReadOnly(ConfigError):
    """The file belongs to a package manager or cannot be written."""


class TargetError(KeydeckError):
    """A row was named and none, or more than one, answers to it."""


class Refused(KeydeckError):
    """The request was understood and is not done; the text says why."""
