from __future__ import annotations

from terminal.conftest import terminal

__all__ = ["terminal"]
