from __future__ import annotations

import copy
import dataclasses
import io
import json
import logging
import pickle
import traceback
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keydeck.engine.credential import Credential
from keydeck.engine.secret import PLACEHOLDERS, Secret, fingerprint, why_not_a_secret

PLANTED = "sk-planted-3f9a17c2"


class CarrierError(Exception):
    """An error of somebody else's that carries a secret."""

    def __init__(self, secret: Secret) -> None:
        super().__init__("refused", secret)
        self.secret = secret


@dataclasses.dataclass
class Holder:
    """A dataclass of somebody else's with a secret in it."""

    name: str
    secret: Secret


def _refuse(secret: Secret) -> None:
    raise CarrierError(secret)


def _traceback_of(secret: Secret) -> str:
    with pytest.raises(CarrierError) as caught:
        _refuse(secret)
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    return "".join(told.format())


def _logged(secret: Secret) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("planted")
    logger.addHandler(handler)
    logger.warning("refused %s %r %s", secret, secret, [secret])
    logger.removeHandler(handler)
    return stream.getvalue()


SHOWS: dict[str, Callable[[Secret], str]] = {
    "repr": repr,
    "str": str,
    "format": lambda secret: format(secret, ""),
    "wide format": lambda secret: f"{secret:>40}",
    "conversion": lambda secret: f"{secret!r} {secret!s} {secret!a}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - people still write it
    "in a list": lambda secret: str([secret, (secret,), {secret: secret}]),
    "in a dataclass": lambda secret: repr(Holder("a", secret)),
    "in a credential": lambda secret: repr(
        Credential(
            id="a",
            provider="nous",
            access_token=secret,
            refresh_token=secret,
            agent_key=secret,
            extra={"id_token": secret},
        )
    ),
    "in an exception": lambda secret: str(CarrierError(secret)) + repr(CarrierError(secret)),
    "in a traceback with locals": _traceback_of,
    "in a log": _logged,
    "in json with a default": lambda secret: json.dumps({"key": secret}, default=str),
}


@pytest.mark.parametrize("show", SHOWS.values(), ids=SHOWS)
def test_no_way_of_printing_a_secret_shows_it(show: Callable[[Secret], str]) -> None:
    """Whatever prints a secret prints its mask."""
    shown = show(Secret(PLANTED))
    assert "***" in shown
    assert PLANTED not in shown
    assert PLANTED[:9] not in shown


def test_reveal_is_the_door() -> None:
    """The value itself comes out of `reveal` alone."""
    assert Secret(PLANTED).reveal() == PLANTED


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_never_pickled(protocol: int) -> None:
    """Pickling fails under every protocol, so no secret ends in a cache or another process."""
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(Secret(PLANTED), protocol)


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy])
def test_a_secret_is_never_copied(copier: Callable[[Secret], Secret]) -> None:
    """Copying fails too, and its error does not show the value."""
    with pytest.raises(TypeError, match="never pickled") as caught:
        copier(Secret(PLANTED))
    assert PLANTED not in "".join(traceback.format_exception(caught.value))


def test_a_secret_is_no_string() -> None:
    """Nothing that takes any string takes a secret by accident."""
    assert not isinstance(Secret(PLANTED), str)
    with pytest.raises(TypeError):
        "".join([Secret(PLANTED)])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        json.dumps({"key": Secret(PLANTED)})
    assert not hasattr(Secret(PLANTED), "__dict__")


def test_secrets_compare_by_value() -> None:
    """Equal values are equal secrets, and never equal to the bare string."""
    assert Secret(PLANTED) == Secret(PLANTED)
    assert hash(Secret(PLANTED)) == hash(Secret(PLANTED))
    assert Secret(PLANTED) != Secret("sk-other-000000")
    assert Secret(PLANTED) != PLANTED
    assert hash(Secret(PLANTED)) != hash(PLANTED)


def test_only_an_empty_secret_is_false() -> None:
    """A secret is true as soon as it holds anything."""
    assert Secret("x")
    assert not Secret("")


def test_the_fingerprint_is_hermes_own() -> None:
    """The fingerprint of hermes-pool 1.5's example is the one hermes wrote."""
    assert Secret("sk-or-from-dotenv").fingerprint == "sha256:4dff6a68f232ad6b"
    assert fingerprint("sk-or-from-dotenv") == "sha256:4dff6a68f232ad6b"


@given(st.text())
def test_any_text_has_a_fingerprint(text: str) -> None:
    """Even text with lone surrogates has one, of the same form."""
    mark = fingerprint(text)
    assert mark.startswith("sha256:")
    assert len(mark) == len("sha256:") + 16
    assert int(mark.removeprefix("sha256:"), 16) >= 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "blank"),
        ("   ", "blank"),
        ("\n", "blank"),
        ("changeme", "placeholder"),
        ("  None ", "placeholder"),
        ("YOUR_API_KEY_HERE", "placeholder"),
        ("sk-...", "masked"),
        ("sk-or-v1-abc...f00", "masked"),
        ("sk-…", "masked"),
        ("sk-abc…def", "masked"),
        ("***", "masked"),
        ("sk-ab**ef", "masked"),
        ("••••••••", "masked"),
        ("●●●●", "masked"),
        ("xxxxxxxx", "masked"),
        ("sk-XXXXXXXX", "masked"),
        ("<your key>", "masked"),
        ("${OPENROUTER_API_KEY}", "variable"),
        ("sk-${REST}-tail", "variable"),
        ("op://vault/item/field", "1Password"),
        ("sk-abc\x00def", "control"),
        ("sk-abc\x1b[2J", "control"),
        ("sk-abc\ndef", "control"),
        ("sk-abc\x85def", "control"),
        ("sk abc def", "white space"),
        ("sk-abc # comment", "white space"),
        ("sk-äbc-def", "no key has"),
        ("sk-abc\u202edef", "no key has"),
        ("abc", "too short"),
    ],
)
def test_what_cannot_be_a_key_is_refused_with_its_reason(text: str, reason: str) -> None:
    """Blanks, placeholders, masks, references, control characters and fragments are no keys."""
    said = why_not_a_secret(text)
    assert said is not None
    assert reason in said
    assert text.strip() not in said or not text.strip()


@pytest.mark.parametrize("text", sorted(PLACEHOLDERS))
def test_every_placeholder_is_refused_in_any_case(text: str) -> None:
    """Words from example files are no keys, however they are written."""
    assert why_not_a_secret(text)
    assert why_not_a_secret(f" {text.upper()} ")


@pytest.mark.parametrize(
    "text",
    ["sk-or-v1-0123456789abcdef", "sk-ant-oat01-abc_DEF", "AIzaSyA-0", "a.b.c", "1234", "sk-xxxyz", "k+/=="],
)
def test_real_keys_pass(text: str) -> None:
    """Keys of every provider's form are taken."""
    assert why_not_a_secret(text) is None
