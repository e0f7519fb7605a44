"""1,000 secrets in every field and file, spelled in many ways: nothing that leaves the program holds one of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fuzz.garden import Garden
from fuzz.walk import Sight

ROWS = 64
BEDS = 5


@dataclass
class Watcher:
    """Greps whatever it is shown, and remembers what it found where."""

    garden: Garden
    found: dict[str, set[str]] = field(default_factory=dict)
    looks: int = 0

    def grep(self, where: str, text: str) -> None:
        self.looks += 1
        self._keep(where, self.garden.leaks(text))

    def sight(self, seen: Sight) -> None:
        self.grep(seen.where, seen.text)

    def picture(self, where: str, svg: str) -> None:
        self.looks += 1
        self._keep(where, self.garden.leaks_of_picture(svg))

    def _keep(self, where: str, leaks: Iterable[str]) -> None:
        for leak in leaks:
            self.found.setdefault(leak, set()).add(where)
