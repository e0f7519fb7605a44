"""What the parts of the dashboard tell each other."""

from __future__ import annotations

from textual.message import Message

from keydeck.engine.snapshot import HomeSnapshot


class SnapshotArrived(Message):
    """The files are read again. Only the newest of a burst counts."""

    def __init__(self, snapshot: HomeSnapshot, watching: str) -> None:
        super().__init__()
        self.snapshot = snapshot
        self.watching = watching

    def can_replace(self, message: Message) -> bool:
        """Stand in for an older one that nobody has looked at."""
        return isinstance(message, SnapshotArrived)
