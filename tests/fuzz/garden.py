"""Plant secrets all over a home, and find whatever of them comes up somewhere."""

from __future__ import annotations

import json
import random
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import Any, Final
from urllib.parse import quote

from fakes import NOW, a_key
from fuzz.strategies import RandomStore

TELLING: Final = 8
"""So many consecutive characters of a secret's random part are a leak."""

_ALNUM: Final = string.ascii_letters + string.digits
# What may stand between the characters of a secret without hiding them from a reader.
_BETWEEN: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|\\+u[0-9A-Fa-f]{4}|%(?:25)*[0-9A-Fa-f]{2}|\\+[nrt]")
_NOT_TELLING: Final = re.compile(r"[^a-z0-9]")
_SVG_TEXT: Final = re.compile(r"<text[^>]*>([^<]*)</text>")

FORMS: Final[tuple[tuple[str, int, str, str], ...]] = (
    # head, random characters, tail, what is strewn in
    ("sk-proj-", 40, "", ""),
    ("sk-ant-api03-", 60, "-AA", "-_"),
    ("", 32, "", ""),
    ("", 40, "==", "+/"),
    ("AIza", 35, "", ""),
    ("ghp_", 36, "", ""),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIi", 60, "", "."),
    ("K.", 36, "", "\"'\\&<"),
)


class Garden:
    """Makes secrets and knows all it made."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - invented secrets
        self._parts: dict[str, str] = {}
        self.planted: dict[str, str] = {}
        """Secret → where it was planted."""

    def secret(self, where: str) -> str:
        """Return a new secret, to be planted there."""
        head, count, tail, strewn = FORMS[len(self.planted) % len(FORMS)]
        own = "".join(self._random.choices(_ALNUM, k=count))
        for sign in strewn:
            place = self._random.randrange(TELLING, count - TELLING)
            own = own[:place] + sign + own[place:]
        return self._known(f"{head}{own}{tail}", own, where)

    def plain(self, where: str, count: int = 32) -> str:
        """Return a new secret of letters and digits alone."""
        own = "".join(self._random.choices(_ALNUM, k=count))
        return self._known(own, own, where)

    def _known(self, secret: str, own: str, where: str) -> str:
        self.planted[secret] = where
        bare = _NOT_TELLING.sub("", own.lower())
        for start in range(len(bare) - TELLING + 1):
            self._parts[bare[start : start + TELLING]] = secret
        return secret

    def leaks(self, text: str) -> set[str]:
        """Return where the secrets were planted of which anything stands in a text, however spelled."""
        lowered = text.lower()
        joined = _BETWEEN.sub("", lowered)
        found = self._in(lowered) | (self._in(joined) if joined != lowered else set())
        return {self.planted[secret] for secret in found}

    def leaks_of_picture(self, svg: str) -> set[str]:
        """Return the same of a picture, whose lines may be in pieces."""
        return self.leaks(svg) | self.leaks(unescape("".join(_SVG_TEXT.findall(svg))))

    def _in(self, text: str) -> set[str]:
        bare = _NOT_TELLING.sub("", text)
        windows = {bare[start : start + TELLING] for start in range(len(bare) - TELLING + 1)}
        return {self._parts[window] for window in windows & self._parts.keys()}

    def choose(self, among: list[Any]) -> Any:
        """Return one of these."""
        return self._random.choice(among)

    def shuffled(self, items: list[Any]) -> list[Any]:
        """Return these in another order."""
        return self._random.sample(items, len(items))


# --- how a secret is spelled where it is quoted ------------------------------------------------------------


def _strewn(secret: str, between: str, step: int) -> str:
    return between.join(secret[start : start + step] for start in range(0, len(secret), step))


def _behind(filler: str, count: int, spelled: Callable[[str], str] = str) -> Callable[[str], str]:
    return lambda secret: filler * count + spelled(secret)


SPELLINGS: Final[dict[str, Callable[[str], str]]] = {
    "plain": lambda secret: f"key {secret} refused",
    "bare": lambda secret: secret,
    "url": lambda secret: f"https://api.example/v1?a={quote(secret, safe='')}&b=1",
    "small url": lambda secret: re.sub(r"%..", lambda found: found[0].lower(), quote(secret, safe="")),
    "twice url": lambda secret: f"to=https%3A%2F%2Fh%3Fn%3D{quote(quote(secret, safe=''), safe='')}",
    "json": lambda secret: json.dumps({"n": secret}),
    "php json": lambda secret: json.dumps(secret).replace("/", "\\/"),
    "json in json": lambda secret: json.dumps(json.dumps([secret])),
    "repr": lambda secret: repr({"n": secret}),
    "invisible": lambda secret: _strewn(secret, "\u200b", 3),
    "joined": lambda secret: _strewn(secret, "\u2060\ufeff", 5),
    "colours": lambda secret: _strewn(secret, "\x1b[31m", 4),
    "turned": lambda secret: f"\u202e{_strewn(secret, chr(0x2066), 6)}",
    "nulls": lambda secret: _strewn(secret, "\x00", 2),
    "two lines": lambda secret: f"{secret[: len(secret) // 2]}\n{secret[len(secret) // 2 :]}",
    "wrapped": lambda secret: _strewn(secret, "\r\n    ", 10),
    "spaced": lambda secret: _strewn(secret, " ", 9),
    "upper": lambda secret: secret.upper(),
    "title": lambda secret: f"\x1b]0;{secret}\x07 \x1b]8;;x{secret}\x1b\\",
    "cut": lambda secret: f"invalid: {secret[:-5]}…",
    **{f"behind {n}": _behind("x", n) for n in (20, 30, 55, 60, 380, 392, 1980, 1991, 3985, 3992)},
    **{f"far behind {n}": _behind("x ", n) for n in (192, 985, 995, 1993)},
    **{
        f"strewn behind {n}": _behind("\u200b", n, lambda secret: _strewn(secret, "\u200b", 2))
        for n in (1960, 3940, 3980)
    },
    **{
        f"strewn far {n}": _behind("x", n, lambda secret: _strewn(secret, "\u200b", 1))
        for n in (376, 1985, 3970)
    },
}
"""All ways but those of `SHAPES` need a secret that is a credential of the store."""

SHAPES: Final[dict[str, Callable[[str], str]]] = {
    "sk": lambda own: f"wrong key sk-{own}",
    "sk-or": lambda own: f"sk-or-v1-{own}",
    "sk url": lambda own: f"u=https%3A%2F%2Fh%2F%3Fq%3Dsk-{own}",
    "bearer": lambda own: f"Authorization: Bearer {own}",
    "bearer json": lambda own: json.dumps({"headers": {"authorization": f"Bearer {own}"}}),
    "query": lambda own: f"GET https://api.example/v1?key={own}&x=1",
    "query url": lambda own: f"next=https%3A%2F%2Fapi.example%2Fv1%3Fkey%3D{own}%26x",
    "jwt": lambda own: f"token eyJhbGciOiJIUzI1NiJ9.eyJ{own[:20]}.{own[20:]} ended",
    "field": lambda own: json.dumps({"api_key": own}),
    "field in json": lambda own: json.dumps(json.dumps({"api_key": own})),
    "user": lambda own: f"https://user:{own}@api.example/v1",
    "strewn": lambda own: "sk-" + _strewn(own, "\u200b", 3),
    "google": lambda own: f"AIza{own} is not valid",
}
"""Ways that tell a secret by its looks alone, whoever's it is; `own` is its random part."""
CERTAIN: Final = ("sk", "sk-or", "jwt", "strewn", "google")
"""Those that no name looks like either."""


# --- homes -------------------------------------------------------------------------------------------------


@dataclass
class Bed:
    """A home in the making."""

    garden: Garden
    number: int
    pools: dict[str, Any] = field(default_factory=dict)
    logins: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    env: list[str] = field(default_factory=list)
    spellings: Iterator[tuple[str, Callable[[str], str]]] = field(init=False)
    shapes: Iterator[tuple[str, Callable[[str], str]]] = field(init=False)
    certain: Iterator[tuple[str, Callable[[str], str]]] = field(init=False)

    def __post_init__(self) -> None:
        self.spellings = self._endless(SPELLINGS)
        self.shapes = self._endless(SHAPES)
        self.certain = self._endless({name: SHAPES[name] for name in CERTAIN})

    def _endless(self, ways: dict[str, Callable[[str], str]]) -> Iterator[tuple[str, Callable[[str], str]]]:
        while True:
            yield from self.garden.shuffled(list(ways.items()))

    def quoted(self, place: str) -> tuple[str, str]:
        """Return a new credential, and a text that quotes it at this place."""
        name, spelled = next(self.spellings)
        secret = self.garden.secret(f"{place}, {name}, store {self.number}")
        return secret, spelled(secret)

    def shaped(self, place: str) -> str:
        """Return a text with a secret that nobody here knows, and that its looks tell in this place."""
        name, spelled = next(self.certain if place in ("label", "id") else self.shapes)
        return spelled(self.garden.plain(f"{place}, {name}, shape, store {self.number}"))

    def store(self, **more: Any) -> RandomStore:
        """Return the files."""
        document = {"version": 1, "providers": self.logins, "credential_pool": self.pools, **more}
        return RandomStore(
            json.dumps(document).encode(), json.dumps(self.config).encode(), "\n".join(self.env).encode()
        )


STATES: Final[tuple[dict[str, Any], ...]] = (
    {"last_status": "exhausted", "last_status_at": NOW - 60, "last_error_code": 429},
    {"last_status": "dead", "last_status_at": NOW - 600, "last_error_code": 401},
    {"last_status": "exhausted", "last_status_at": NOW - 7200, "last_error_code": 402},
    {"last_status": None},
)
PLACES: Final = (
    *("label", "id", "source", "auth_type", "base_url", "last_error_message", "last_error_reason"),
    *("inference_base_url", "last_status", "expires_at", "secret_fingerprint", "note", "variable"),
)
"""Fields of a row that quote a secret."""
PLAIN_POOLS: Final = (
    *("openrouter", "anthropic", "nous", "custom:together.ai", "keepers"),
    *(f"custom:end{number}" for number in range(4)),
)
"""Pools whose own names quote nothing; the first four hold the planted rows."""
SECRET_FIELDS: Final = ("access_token", "refresh_token", "client_secret", "agent_key")


def planted_row(bed: Bed, number: int, places: tuple[str, ...]) -> dict[str, Any]:
    """Return a row with a credential for each of these places, each quoted there."""
    row = a_key(f"{bed.number}{number:05d}", f"row {number}", priority=number, **STATES[number % 3])
    row["auth_type"] = ("api_key", "oauth")[number % 2]
    for name, place in zip(SECRET_FIELDS, places, strict=False):
        row[name], text = bed.quoted(place)
        _quote(row, place, text)
    free = [name for name in ("label", "last_error_message", "base_url", "id") if name not in places]
    if number % 2:
        row[free[number % len(free)]] = bed.shaped(free[number % len(free)])
    return row


def _quote(row: dict[str, Any], place: str, text: str) -> None:
    if place == "source":
        row[place] = ("manual:", "", "env:", "config:")[len(text) % 4] + text
    elif place == "variable":
        row["source"] = f"env:{text}"
        row["last_status"] = None
    elif place == "secret_fingerprint":
        row[place] = f"sha256:{text}"
    else:
        row[place] = text


def garden_bed(garden: Garden, number: int, rows: int) -> Bed:
    """Return a home with so many planted rows, and plants everywhere else."""
    bed = Bed(garden, number)
    places = _chosen(garden)
    for pool in PLAIN_POOLS[:4]:
        bed.pools[pool] = [planted_row(bed, spot, next(places)) for spot in range(rows // 4)]
    _plant_pools(bed)
    _plant_logins(bed)
    _plant_config(bed)
    _plant_env(bed)
    return bed


def _chosen(garden: Garden) -> Iterator[tuple[str, ...]]:
    while True:
        order = garden.shuffled(list(PLACES))
        for start in range(0, len(order) - 2, 3):
            yield tuple(order[start : start + 3])


def _plant_pools(bed: Bed) -> None:
    """Quote credentials in names of pools, good and bad, and in rows that cannot be read."""
    keepers: list[dict[str, Any]] = []
    for place in ("pool", "custom pool", "bad pool", "pool that serves nothing"):
        secret, text = bed.quoted(place)
        keepers.append(a_key(f"keep{len(keepers)}", priority=len(keepers), access_token=secret))
        name = f"custom:{text}" if place == "custom pool" else text
        bed.pools[name] = (
            {"rows": 1} if place == "bad pool" else [a_key(f"in{len(keepers)}", **STATES[len(keepers) % 4])]
        )
    for place in ("bad row's label", "bad row's id", "twin's id"):
        secret, text = bed.quoted(place)
        keepers.append(a_key(f"keep{len(keepers)}", priority=len(keepers), access_token=secret))
        row = a_key(text if place != "bad row's label" else f"bad{len(text)}", text, priority="high")
        bed.pools["openrouter"] += [row, dict(row)] if place == "twin's id" else [row]
    bed.pools["keepers"] = keepers


def _plant_logins(bed: Bed) -> None:
    secret, text = bed.quoted("a login's label")
    bed.logins["openai-codex"] = {"tokens": {"access_token": secret, "refresh_token": "r-1"}, "label": text}
    secret, text = bed.quoted("a login's address")
    bed.logins["minimax-oauth"] = {"access_token": secret, "label": "max", "inference_base_url": text}


def _plant_config(bed: Bed) -> None:
    endpoints, strategies = [], {}
    for number, place in enumerate(("name", "base_url", "key_env", "api_key")):
        secret, text = bed.quoted(f"an endpoint's {place}")
        entry = {"name": f"end{number}", "base_url": f"https://end{number}.example", "api_key": secret}
        entry[place] = f"${{{text}}}" if place == "api_key" else text
        if place == "api_key":
            bed.pools["keepers"].append(a_key("keepref", access_token=secret))
        endpoints.append(entry)
    for place, pool in (("a strategy", "openrouter"), ("a strategy for nobody", None)):
        secret, text = bed.quoted(place)
        bed.pools["keepers"].append(a_key(f"strat{len(text)}{pool}", access_token=secret))
        strategies[pool or text[:900]] = text
    hops = []
    for place in ("provider", "model", "base_url"):
        secret, text = bed.quoted(f"a hop's {place}")
        bed.pools["keepers"].append(a_key(f"hop{place}", access_token=secret))
        hops.append({"provider": "nous", "model": "m", "base_url": "", place: text})
    hops.append(
        {"provider": next(name for name in bed.pools if name not in ("openrouter", "nous")), "model": "m"}
    )
    bed.config = {
        "custom_providers": endpoints,
        "credential_pool_strategies": strategies,
        "fallback_providers": hops,
    }


def _plant_env(bed: Bed) -> None:
    for name in ("DEEPSEEK_API_KEY", "XAI_API_KEY"):
        secret, text = bed.quoted(f"the address of {name}")
        url = re.sub(r"\s", "", text)
        bed.env += [f"{name}={secret}", f"{name.removesuffix('_API_KEY')}_BASE_URL={url}"]


def changed_stores(bed: Bed) -> Iterator[RandomStore]:
    """Yield the home as it looks later on: renamed, benched and freed, without some pools, other ways to pick, broken."""
    pools, config = bed.pools, bed.config
    bed.pools = {name: _moved_on(rows) for name, rows in pools.items()}
    bed.config = {**config, "credential_pool_strategies": dict.fromkeys(pools, "random")}
    yield bed.store()
    # The keepers stay: a secret that is no credential any more could not be known.
    bed.pools = {
        name: rows for place, (name, rows) in enumerate(pools.items()) if place % 2 or name == "keepers"
    }
    bed.config = config
    yield bed.store()
    bed.pools = pools
    whole = bed.store()
    assert whole.auth is not None and whole.config is not None
    yield RandomStore(whole.auth, whole.config[:-40], whole.env)
    yield RandomStore(whole.auth[:-40], whole.config, whole.env)
    yield bed.store(version=99)
    yield whole


def _moved_on(rows: Any) -> Any:
    """Return rows with each other's labels, in another state."""
    if not isinstance(rows, list):
        return rows
    labels = [row["label"] for row in rows]
    return [{**row, "label": labels[place - 1], **STATES[(place + 1) % 4]} for place, row in enumerate(rows)]


# --- looking for them --------------------------------------------------------------------------------------


@dataclass
class Search:
    """Searches whatever it is shown, and remembers what it found where."""

    garden: Garden
    found: dict[str, set[str]] = field(default_factory=dict)
    """Where a secret was planted → where something of it came up."""
    looked: Counter[str] = field(default_factory=Counter)
    """How many texts of each kind were searched."""
    _known: set[tuple[str, str]] = field(default_factory=set, repr=False)

    def text(self, kind: str, text: str) -> None:
        """Search a text."""
        if (kind, text) not in self._known:
            self._known.add((kind, text))
            self._note(kind, self.garden.leaks(text))

    def picture(self, svg: str) -> None:
        """Search a picture."""
        self._note("picture", self.garden.leaks_of_picture(svg))

    def _note(self, kind: str, leaks: set[str]) -> None:
        self.looked[kind] += 1
        for leak in leaks:
            self.found.setdefault(leak, set()).add(kind)
