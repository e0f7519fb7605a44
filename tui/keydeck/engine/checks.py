"""What may be stored: labels, addresses and keys are checked here before an act touches anything."""

from __future__ import annotations

import unicodedata
from typing import Final
from urllib.parse import urlsplit

from keydeck.engine.credential import Credential
from keydeck.engine.errors import Refused
from keydeck.engine.providers import registry
from keydeck.engine.secret import Secret

LONGEST_LABEL: Final = 64


def checked_label(label: str) -> str:
    """Return a label fit to be stored.

    Raises:
        Refused: it is blank, too long, or holds characters that would disturb a list (FS-68).
    """
    label = label.strip()
    if not label:
        raise Refused("the label is blank")
    if len(label) > LONGEST_LABEL:
        raise Refused(f"the label is longer than {LONGEST_LABEL} characters")
    if any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for char in label):
        raise Refused("the label has control characters")
    return label


def checked_url(url: str) -> str:
    """Return an endpoint's address without its trailing slash.

    Raises:
        Refused: it is no http(s) address, or carries a password.
    """
    try:
        parts = urlsplit(url.strip())
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.password is None
    except ValueError:
        fits = False
    if not fits or any(char.isspace() or ord(char) < 0x20 for char in url.strip()):
        raise Refused("the base URL must be http(s)://host/… without a password")
    return url.strip().rstrip("/")


def must_take_keys(provider: str) -> None:
    """Make sure that an API key is of use to this provider.

    Raises:
        Refused: it knows logins only, or neither.
    """
    known = registry().get(provider)
    if known and known.type != "api_key":
        how = f"`hermes auth add {provider}` logs in" if known.login else "it has none"
        raise Refused(f"{known.name} takes no API keys; {how}")


def must_be_new(rows: list[Credential], secret: Secret, label: str | None) -> None:
    """Make sure that neither key nor label is in the pool already.

    Raises:
        Refused: one of them is; the text names the row.
    """
    for row in rows:
        if row.access_token == secret or row.fingerprint == secret.fingerprint:
            raise Refused(f"this key is already there as {row.label} ({row.id})")
        if label is not None and row.label.strip().lower() == label.lower():
            raise Refused(f"the label {label} is taken by {row.id}")


def default_label(rows: list[Credential]) -> str:
    """Return hermes' name for the next key, ``api-key-N``, passing over those in use."""
    taken = {row.label for row in rows}
    number = len(rows) + 1
    while f"api-key-{number}" in taken:
        number += 1
    return f"api-key-{number}"
