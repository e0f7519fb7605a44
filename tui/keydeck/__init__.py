"""Keydeck: pools of LLM credentials, seen and steered from a terminal.

An agent needs one line: ``pool = keydeck.load_pool("openrouter")``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keydeck.engine import CredentialPool, load_pool

__version__ = "0.1.0"
__all__ = ["CredentialPool", "__version__", "load_pool"]


def __getattr__(name: str) -> object:
    """Load the engine at its first use, so that ``import keydeck`` costs nothing."""
    if name in {"CredentialPool", "load_pool"}:
        from keydeck import engine

        return getattr(engine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
