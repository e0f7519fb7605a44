"""`Credential`: one row of a pool as auth.json holds it (hermes-pool 1.4, 1.5).

Reading is tolerant where a value is only shown, and strict where it decides: such a row becomes a `BadRow`.
Every field that is not ours travels in `extra`, untouched.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from keydeck.engine.secret import Secret, fingerprint, repr_without
from keydeck.engine.times import parse_time

if TYPE_CHECKING:
    from keydeck.engine.claims import Lease, Probe
    from keydeck.engine.cooldown import Standing
    from keydeck.engine.events import Status

STATUS_FIELDS: Final = (
    "last_status",
    "last_status_at",
    "last_error_code",
    "last_error_reason",
    "last_error_message",
    "last_error_reset_at",
)
CLEAN_STATUS: Final[Mapping[str, None]] = MappingProxyType(dict.fromkeys(STATUS_FIELDS))

_MOVING_FIELDS: Final = frozenset({*STATUS_FIELDS, "request_count", "priority", "agent_key_id"})

_OWN_FIELDS: Final = frozenset(
    {
        *STATUS_FIELDS,
        *("id", "label", "auth_type", "priority", "source", "request_count"),
        *("access_token", "refresh_token", "agent_key"),
        *(
            "base_url",
            "inference_base_url",
            "expires_at",
            "expires_at_ms",
            "last_refresh",
            "agent_key_expires_at",
        ),
    },
)

SECRET_FIELDS: Final = ("access_token", "refresh_token", "agent_key")

_OWNED_SOURCES: Final = frozenset(
    {
        ("anthropic", "hermes_pkce"),
        ("minimax-oauth", "oauth"),
        ("nous", "device_code"),
        ("openai-codex", "device_code"),
        ("xai-oauth", "device_code"),
    },
)

_NEVER_SECRET: Final = frozenset(
    {
        *("secret_fingerprint", "secret_source", "token_type", "scope", "client_id"),
        *(
            "agent_key_id",
            "agent_key_expires_at",
            "agent_key_expires_in",
            "agent_key_reused",
            "agent_key_obtained_at",
        ),
        *("expires_at", "expires_at_ms", "expires_in", "last_refresh"),
        *STATUS_FIELDS,
    },
)
_SECRET_KEYS: Final = frozenset(
    {
        *("access_token", "refresh_token", "agent_key", "api_key", "apikey", "api_token", "auth_token"),
        *(
            "authorization",
            "bearer_token",
            "client_secret",
            "credential",
            "credentials",
            "id_token",
            "oauth_token",
        ),
        *("private_key", "secret_key", "session_token", "password", "secret", "token", "tokens"),
    },
)
_SECRET_ENDINGS: Final = (
    *("_api_key", "_api_token", "_access_token", "_auth_token", "_refresh_token", "_bearer_token"),
    *("_client_secret", "_id_token", "_oauth_token", "_private_key", "_session_token", "_secret_key"),
    *("_password", "_secret", "_token", "_key"),
)
_FINGERPRINT_ORDER: Final = ("agent_key", "access_token", "refresh_token", "api_key", "token", "secret")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@lru_cache(maxsize=1024)
def is_secret_key(key: str) -> bool:
    """Tell whether a field of this name holds a secret (hermes-pool 1.5)."""
    name = _CAMEL.sub("_", key.strip()).lower().replace("-", "_").replace(".", "_")
    if name in _NEVER_SECRET:
        return False
    return name in _SECRET_KEYS or name.endswith(_SECRET_ENDINGS)


def is_owned(provider: str, source: str) -> bool:
    """Tell whether a row of this source may keep its secret in auth.json (hermes-pool 1.5)."""
    plain = source.strip().lower()
    return not plain or is_manual(plain) or (provider, plain) in _OWNED_SOURCES


def is_manual(source: str) -> bool:
    """Tell whether somebody typed this row in."""
    plain = source.strip().lower()
    return plain == "manual" or plain.startswith("manual:")


def row_fingerprint(row: Mapping[str, Any]) -> str | None:
    """Return the fingerprint hermes would store for a raw row, or None where it holds no secret."""
    others = (key for key in row if key not in _FINGERPRINT_ORDER and is_secret_key(key))
    for key in (*_FINGERPRINT_ORDER, *others):
        value = row.get(key)
        if isinstance(value, str) and value:
            return fingerprint(value)
    stored = row.get("secret_fingerprint")
    return stored if isinstance(stored, str) and stored.startswith("sha256:") else None


def borrowed_form(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a raw row without its secrets and with their fingerprint: what may be stored of a borrowed one."""
    kept = {key: value for key, value in row.items() if not is_secret_key(key)}
    if mark := row_fingerprint(row):
        kept["secret_fingerprint"] = mark
    return kept


def derived_id(*parts: str) -> str:
    """Return six hex digits that every process derives alike, for a row that has no id of its own."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:6]


NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Credential(NamedTuple):
    """One row: an API key or an OAuth login. Times are epoch seconds, except where a name says ``_ms``."""

    id: str
    provider: str
    """Canonical provider id or custom pool key."""
    label: str = ""
    auth_type: str = "api_key"
    """``api_key`` or ``oauth``; other strings survive."""
    priority: float = 0
    """Ascending is preferred; an int unless the file says otherwise."""
    source: str = "manual"
    access_token: Secret | None = None
    refresh_token: Secret | None = None
    agent_key: Secret | None = None
    base_url: str | None = None
    inference_base_url: str | None = None
    expires_at: str | None = None
    expires_at_ms: float | None = None
    agent_key_expires_at: str | None = None
    last_refresh: str | None = None
    extra: Mapping[str, Any] = NOTHING
    """Fields that are not ours, as found; values under secret-looking names are `Secret`."""
    stored_under: str = ""
    """The pool key in the file: an alias of `provider`, or the same."""
    stored: bool = True
    """False for a row that discovery offers and nobody has used yet."""
    inherited: bool = False
    """The root profile's row, seen from a named profile: read-only here."""
    unset: str | None = None
    """Why a row that only refers to its secret has none, for the operator."""
    # From here on what moves, see `moved`.
    last_status: str | None = None
    last_status_at: float | None = None
    last_error_code: int | None = None
    last_error_reason: str | None = None
    last_error_message: str | None = None
    last_error_reset_at: float | None = None
    request_count: int = 0
    paused: float | None = None
    """Until when the operator took it out, by the journal; infinity for good, and past when it is over."""
    paused_at: float | None = None
    """When that was."""
    standing: Standing | None = None
    """How it stands by all that is known; None: only its own status fields tell."""
    limits: Mapping[str, Standing] = NOTHING
    """Model → how it stands for requests with it, where that is worse than for others."""
    probe: Probe | None = None
    """The last request that tried it again after a cooldown, if no answer to it is known."""
    leases: Mapping[str, Lease] = NOTHING
    """Who has it for work in flight; which of them still count is for the clock to say."""

    def __repr__(self) -> str:
        return repr_without(self, "extra")

    @property
    def runtime_api_key(self) -> str:
        """The secret to send, revealed; empty when there is none."""
        secret = self.live_secret
        return secret.reveal() if secret else ""

    @property
    def runtime_base_url(self) -> str | None:
        """The endpoint to send to (hermes-pool 5.2)."""
        if self.provider == "nous":
            return self.inference_base_url or self.base_url
        return self.base_url

    @property
    def live_secret(self) -> Secret | None:
        """The secret a request would carry."""
        if self.provider == "nous":
            from keydeck.engine.tokens import nous_secret

            return nous_secret(self)
        return self.access_token or None

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of the secret at hand, else the stored one."""
        for secret in (self.agent_key, self.access_token, self.refresh_token):
            if secret:
                return secret.fingerprint
        return row_fingerprint(_plain(self.extra))

    def to_json(self) -> dict[str, Any]:
        """Return the row as auth.json holds it, in hermes' field order; a borrowed one without its secret."""
        row: dict[str, Any] = {
            "id": self.id,
            "label": self.label,
            "auth_type": self.auth_type,
            "priority": self.priority,
            "source": self.source,
            **_present(access_token=self.access_token, refresh_token=self.refresh_token),
            **{name: getattr(self, name) for name in STATUS_FIELDS},
            **_present(
                base_url=self.base_url,
                expires_at=self.expires_at,
                expires_at_ms=self.expires_at_ms,
                last_refresh=self.last_refresh,
                inference_base_url=self.inference_base_url,
                agent_key=self.agent_key,
                agent_key_expires_at=self.agent_key_expires_at,
            ),
            "request_count": self.request_count,
            **_plain(self.extra),
        }
        return row if is_owned(self.provider, self.source) else borrowed_form(row)


_MOVES_FROM: Final = Credential._fields.index("last_status")
_USES: Final = Credential._fields.index("request_count")


def moved(row: Credential, *values: Any) -> Credential:
    """Return a row with other values for all that moves, in the order of the fields: ``last_status`` to ``leases``.

    Every failure that is reported makes one, and by name it takes several times as long.
    """
    return Credential._make((*row[:_MOVES_FROM], *values))


def with_uses(row: Credential, number: int) -> Credential:
    """Return a row that so many requests were sent with."""
    return Credential._make((*row[:_USES], max(number, 0), *row[_USES + 1 :]))


class BadRow(NamedTuple):
    """A row of the file that cannot be used, and why; it hides nothing but itself."""

    id: str
    provider: str
    reason: str
    label: str = ""
    stored_under: str = ""
    inherited: bool = False


class VanishedRow(NamedTuple):
    """A row that needed a login and is in no file any more: it reminds the operator until he dismisses it."""

    id: str
    provider: str
    reason: str
    label: str
    inherited: bool
    status: Status
    """When and why the provider rejected it."""
    vanished_at: float
    """When it was missed first, in epoch seconds."""
    stored_under: str = ""


Row = Credential | BadRow | VanishedRow


def secrets_of(rows: Iterable[Row]) -> list[Secret]:
    """Return every secret that these rows carry, for scrubbing."""
    readable = [row for row in rows if isinstance(row, Credential)]
    named = [
        secret
        for row in readable
        for secret in (row.access_token, row.refresh_token, row.agent_key)
        if secret is not None
    ]
    return named + [
        value for row in readable if row.extra for value in row.extra.values() if isinstance(value, Secret)
    ]


def _present(**fields: Any) -> dict[str, Any]:
    return {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in fields.items()
        if value is not None
    }


def _plain(extra: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value.reveal() if isinstance(value, Secret) else value for key, value in extra.items()}


# --- reading -----------------------------------------------------------------------------------------------


def row_id(pool_key: str, raw: Any) -> str:
    """Return the id a raw row answers to: its own, or one derived from what does not change in it.

    Transactions find rows with the same function, so that an act on a row without an id hits that row.
    """
    own = raw.get("id") if isinstance(raw, dict) else None
    if isinstance(own, str) and own:
        return own
    lasting = {k: v for k, v in raw.items() if k not in _MOVING_FIELDS} if isinstance(raw, dict) else raw
    return derived_id("no id", pool_key, json.dumps(lasting, sort_keys=True))


def parse_rows(
    provider: str, pool_key: str, raws: Iterable[Any], *, inherited: bool = False
) -> tuple[Row, ...]:
    """Parse one pool's rows one by one; whatever is wrong with one stays with it."""
    rows: list[Row] = []
    seen: set[str] = set()
    for position, raw in enumerate(raws):
        identity = row_id(pool_key, raw)
        reason = f"the id {identity} is used twice" if identity in seen else _why_bad(raw)
        if reason:
            label = raw.get("label") if isinstance(raw, dict) else None
            rows.append(
                BadRow(
                    # A twin must not answer to its elder's id.
                    id=identity if identity not in seen else derived_id("twin", pool_key, str(position)),
                    provider=provider,
                    reason=reason,
                    label=label if isinstance(label, str) else "",
                    stored_under=pool_key,
                    inherited=inherited,
                ),
            )
        else:
            rows.append(_parse(provider, pool_key, identity, raw, inherited=inherited))
        seen.add(identity)
    return tuple(rows)


def _why_bad(raw: Any) -> str | None:
    """Name what hermes would crash on, or what leaves no decision possible (hermes-pool 1.4)."""
    if not isinstance(raw, dict):
        return "the row is not an object"
    if _number(raw.get("priority", 0)) is None:
        return "its priority is not a number"
    if not isinstance(raw.get("source", "manual"), str):
        return "its source is not text"
    if not isinstance(raw.get("auth_type", "api_key"), str):
        return "its auth_type is not text"
    if not isinstance(raw.get("access_token", ""), str | None):
        return "its access_token is not text"
    return None


def _parse(
    provider: str, pool_key: str, identity: str, raw: dict[str, Any], *, inherited: bool
) -> Credential:
    # A pool may have thousands of rows, and most of their fields are null.
    get = raw.get
    source, auth_type = get("source", "manual"), get("auth_type", "api_key")
    if provider == "anthropic" and (token := get("access_token")) and token.startswith("sk-ant-oat"):
        auth_type = "oauth"
    told = [None if (value := get(name)) is None else form(value) for name, form in _FORMS]
    extra = {
        name: Secret(value) if _is_secret(name, value) else value
        for name, value in raw.items()
        if name not in _OWN_FIELDS
    }
    return Credential._make(
        (
            identity,
            provider,
            _text(get("label")) or source or provider,
            auth_type,
            get("priority", 0),
            source,
            *told[:_LASTING],
            extra or NOTHING,
            pool_key,
            True,
            inherited,
            None,
            *told[_LASTING:],
            _whole(get("request_count")) or 0,
            *_NOT_IN_THE_FILE,
        ),
    )


def _is_secret(name: str, value: Any) -> bool:
    return isinstance(value, str) and value != "" and is_secret_key(name)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _secret(value: Any) -> Secret | None:
    return Secret(value) if isinstance(value, str) and value else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -1e300 < value < 1e300 else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else max(int(number), 0)


_FORMS: Final[tuple[tuple[str, Callable[[Any], Any]], ...]] = (
    *((name, _secret) for name in SECRET_FIELDS),
    *((name, _text) for name in ("base_url", "inference_base_url", "expires_at")),
    ("expires_at_ms", _number),
    *((name, _text) for name in ("agent_key_expires_at", "last_refresh")),
    ("last_status", _text),
    ("last_status_at", parse_time),
    ("last_error_code", _whole),
    ("last_error_reason", _text),
    ("last_error_message", _text),
    ("last_error_reset_at", parse_time),
)
"""How each field of its own name is read, in the order in which `Credential` has them; None says nothing."""
_LASTING: Final = len(_FORMS) - len(STATUS_FIELDS)
_NOT_IN_THE_FILE: Final = Credential(id="", provider="")[Credential._fields.index("paused") :]
