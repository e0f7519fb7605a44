"""What can be said of a key before it is added: for whom it can be, whether it is known, what stands for a blank."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from keydeck.engine.checks import LONGEST_LABEL, default_label, must_take_keys
from keydeck.engine.config import custom_pool_key
from keydeck.engine.credential import Credential
from keydeck.engine.errors import Refused
from keydeck.engine.providers import (
    CUSTOM_PREFIX,
    Provider,
    canonical,
    default_base_url,
    is_custom,
    names_of,
    registry,
)
from keydeck.engine.secret import Secret, why_not_a_secret
from keydeck.engine.snapshot import HomeSnapshot, PoolSnapshot
from keydeck.engine.state import READY, RowState
from keydeck.present.rows import Context, label_text, shown_name
from keydeck.present.text import clean

_LONGEST_NAME: Final = LONGEST_LABEL


@dataclass(frozen=True, slots=True)
class Choice:
    """A provider to add a key for. Texts are clean."""

    provider: str
    """What the engine knows it by."""
    name: str
    says: str
    """What it is, in a few words."""
    note: str = ""
    """What adding a key there brings with it."""
    refusal: str = ""
    """Why it takes no key."""
    answers_to: tuple[str, ...] = ()
    """Other words that find it, in lower case."""


# --- for whom ----------------------------------------------------------------------------------------------


def choices(snapshot: HomeSnapshot) -> tuple[Choice, ...]:
    """Return the pools that are there, in their order, and then every other provider."""
    scrubber = snapshot.scrubber
    here = tuple(_choice(pool.provider, pool, label_text(pool.provider, scrubber)) for pool in snapshot.pools)
    seen = {choice.provider for choice in here}
    return here + tuple(_choice(provider, None, provider) for provider in registry() if provider not in seen)


def matching(all_choices: Iterable[Choice], typed: str) -> tuple[Choice, ...]:
    """Return the choices that `typed` may mean, the likeliest first, else one of an endpoint of that name.

    Of equally likely ones those that take keys come first.
    """
    wanted = clean(typed).lower()
    if not wanted:
        return tuple(all_choices)
    ranked = [(rank, choice) for choice in all_choices if (rank := _rank(choice, wanted)) is not None]
    found = tuple(choice for _, choice in sorted(ranked, key=lambda pair: (pair[0], bool(pair[1].refusal))))
    if any(rank == 0 for rank, _ in ranked) or (found and not is_custom(wanted)):
        return found
    free = _free_choice(wanted)
    return (*found, free) if free else found


def _choice(provider: str, pool: PoolSnapshot | None, name: str) -> Choice:
    known = registry().get(provider)
    refusal = _why_no_keys(provider)
    return Choice(
        provider=provider,
        name=name,
        says=_what_instead(known) if known and refusal else _what(known, pool),
        note=_note(pool),
        refusal=refusal,
        answers_to=(*(names_of(provider)), *([known.name.lower()] if known else [])),
    )


def _what(known: Provider | None, pool: PoolSnapshot | None) -> str:
    if pool is None:
        return known.name if known else ""
    count = f"{len(pool.rows)} key{'' if len(pool.rows) == 1 else 's'}"
    return f"{count} of the root profile" if pool.is_inherited else f"{count} here"


def _what_instead(known: Provider) -> str:
    return f"login only: hermes auth add {known.id}" if known.login else "takes no keys"


def _why_no_keys(provider: str) -> str:
    try:
        must_take_keys(provider)
    except Refused as error:
        return str(error)
    return ""


def _note(pool: PoolSnapshot | None) -> str:
    if pool is None or not pool.is_inherited:
        return ""
    return "with a key of its own this profile no longer shows the root's keys"


def _rank(choice: Choice, wanted: str) -> int | None:
    words = (choice.provider.lower(), *choice.answers_to)
    if wanted in words:
        return 0
    if any(word.startswith(wanted) for word in words):
        return 1
    return 2 if any(wanted in word for word in words) else None


def _free_choice(wanted: str) -> Choice | None:
    """Return the pool of an endpoint that nobody has named yet, if that can be a name."""
    provider = custom_pool_key(wanted.removeprefix(CUSTOM_PREFIX))
    if provider == CUSTOM_PREFIX or len(provider) > _LONGEST_NAME or canonical(provider) != provider:
        return None
    return Choice(provider, clean(provider), "an endpoint of your own", "step 3 asks for its address")


# --- the key itself ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to say of a key, and whether it can be added."""

    said: str
    is_fit: bool


def about_key(secret: Secret, provider: str, snapshot: HomeSnapshot, context: Context) -> Verdict:
    """Judge a key that is meant for this provider."""
    if reason := why_not_a_secret(secret.reveal()):
        return Verdict(f"that is not a key: {reason}", is_fit=False)
    others: list[str] = []
    for pool in snapshot.pools:
        for place, row in _holders(pool, secret):
            name = shown_name(RowState(row, READY), place, context)
            if pool.provider == provider and row.stored and not row.inherited:
                return Verdict(f"that key is in this pool already as {name}", is_fit=False)
            others.append(
                name
                if pool.provider == provider
                else f"{name} in {label_text(pool.provider, context.scrubber)}"
            )
    return Verdict(f"received; it is also {others[0]}" if others else "received, new here", is_fit=True)


def _holders(pool: PoolSnapshot, secret: Secret) -> Iterable[tuple[int, Credential]]:
    """Return the rows that hold this secret or, where only its mark is kept, that held it; with their places."""
    mark = secret.fingerprint
    for place, row in enumerate(pool.rows, 1):
        if not isinstance(row, Credential):
            continue
        # Marks of secrets at hand need not be made: in a pool of thousands that would be felt.
        if row.access_token == secret if row.access_token else row.fingerprint == mark:
            yield place, row


# --- what stands for a blank -------------------------------------------------------------------------------


def usual_label(snapshot: HomeSnapshot, provider: str) -> str:
    """Return the label that a key gets when none is given."""
    return default_label([row for row in _rows(snapshot, provider) if row.stored and not row.inherited])


def usual_url(snapshot: HomeSnapshot, provider: str) -> str | None:
    """Return the address to which requests go when none is given; None where one has to be given."""
    if not is_custom(provider):
        return default_base_url(provider)
    offered = (row.base_url for row in _rows(snapshot, provider) if row.source.startswith("config:"))
    return next((url for url in offered if url), None)


def _rows(snapshot: HomeSnapshot, provider: str) -> Sequence[Credential]:
    pool = snapshot.pool(provider)
    return [row for row in pool.rows if isinstance(row, Credential)] if pool else []
