"""Take secrets out of text that came from outside: first the ones we know, then what looks like one."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Final

from keydeck.engine.secret import MASK, Secret

# Shorter values would cut ordinary words out of messages.
_SHORTEST_KNOWN: Final = 6

_PATTERN: Final = r"""
    (?P<keep>(?:bearer|basic)\s+
      | [?&](?:key|api_key|apikey|token|access_token|auth|sig|signature)=
      | (?:api[-_ ]?key|token|secret|password|authorization)["']?\s*[:=]\s*["']?(?:(?:bearer|basic)\s+)?
      | ://[^/\s:@]*:)
    (?P<value>[^\s"'&,;<>@]{6,})
    | \b(?:sk|pk|rk|gsk|xai|hf|ghp|gho|ghu|ghs|github_pat|AIza|ya29|nvapi|fw|r8|AKIA)[-_.]?[A-Za-z0-9_\-]{12,}
    | \beyJ[A-Za-z0-9_\-]{8,2000}\.[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]*)?
    """


@functools.cache
def _pattern() -> re.Pattern[str]:
    return re.compile(_PATTERN, re.IGNORECASE | re.VERBOSE)


class Scrubber:
    """Removes a set of known secrets, and whatever looks like one, from any text."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._secrets = secrets

    def __repr__(self) -> str:
        return "Scrubber(***)"

    @functools.cached_property
    def _known(self) -> list[str]:
        """The values, longest first; gathered when the first text comes."""
        values = {secret.reveal() for secret in self._secrets}
        long_enough = {value for value in values if len(value) >= _SHORTEST_KNOWN}
        spellings = long_enough.union(*(_spellings(value) for value in long_enough if not value.isalnum()))
        return sorted(spellings, key=len, reverse=True)

    def scrub(self, text: str) -> str:
        """Return `text` with every secret replaced by ``***``."""
        return _pattern().sub(lambda match: f"{match['keep'] or ''}{MASK}", self.scrub_known(text))

    def scrub_known(self, text: str) -> str:
        """Return `text` without the known secrets only: for labels, where a pattern could hit a name."""
        if self._known and len(text) >= len(self._known[-1]):
            for value in self._known:
                if value in text:
                    text = text.replace(value, MASK)
        return text


def _spellings(value: str) -> set[str]:
    """Return how else a value gets into texts: in a URL, in Python's quotes, in JSON."""
    import json
    from urllib.parse import quote

    return {quote(value, safe="", errors="replace"), repr(value)[1:-1], json.dumps(value)[1:-1]}
