"""The closed set of things that can happen to a pool, and how each is written as one line of JSON.

No event ever holds a secret. What a newer version writes besides is kept: unknown fields in `extra`, unknown
kinds as `Unknown`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import compress
from json.encoder import encode_basestring_ascii
from operator import ne
from types import MappingProxyType
from typing import Any, Final, NamedTuple

Position = tuple[int, int]
"""Where something stands in the journal: the number of its segment, and the byte at which its line begins."""
START: Final[Position] = (0, 0)

Signature = tuple[int, int, int, int]
"""Device, inode, size and time of the last write of a file; a rename keeps them."""


class Status(NamedTuple):
    """The six status fields of a row (hermes-pool 1.4), times in epoch seconds."""

    status: str | None = None
    at: float | None = None
    code: int | None = None
    reason: str | None = None
    message: str | None = None
    until: float | None = None


NO_EXTRA: Final[Mapping[str, Any]] = MappingProxyType({})


class Seen(NamedTuple):
    """What matters here of a row as auth.json has it."""

    used: int = 0
    label: str | None = None
    priority: float | None = None
    status: Status = Status()


class Held(NamedTuple):
    """A failure that kept a row out, as it was known: what a `cooldown.Strike` says."""

    kind: str
    at: float
    code: int | None
    reason: str | None
    message: str | None
    until: float | None
    """The end the provider named."""
    scope: str
    key: str | None
    is_filed: bool
    granted: Position
    place: Position
    number: int


# --- the events --------------------------------------------------------------------------------------------
# Tuples, since an agent that imports the engine pays for each class; `extra` holds the fields of a newer version.


class Used(NamedTuple):
    """Requests were sent: how many with which row."""

    counts: Mapping[str, int]
    extra: Mapping[str, Any] = NO_EXTRA


class Failed(NamedTuple):
    """The provider said no to a row; `ids` are it and the rows with the same secret.

    Without any it was a key that is in no row: nobody is charged (FS-19).
    """

    ids: tuple[str, ...]
    provider: str
    status: str = "exhausted"
    """``exhausted`` or ``dead``, as the row will say."""
    code: int | None = None
    reason: str | None = None
    message: str | None = None
    until: float | None = None
    """The end the provider named, in epoch seconds."""
    key: str | None = None
    """Fingerprint of the secret that failed: another secret is not to blame."""
    granted: Position | None = None
    """Up to where the journal was known when the request was granted; None: until now."""
    kind: str | None = None
    """What kind of failure it was, a `FailureKind`; None: code, reason and message tell."""
    scope: str = "row"
    """What it concerns: ``row``, ``account`` (then `ids` are its rows) or ``model:`` and a name."""
    extra: Mapping[str, Any] = NO_EXTRA


class Succeeded(NamedTuple):
    """A request went through with a row that was benched or had failed before."""

    ids: tuple[str, ...]
    provider: str
    granted: Position | None = None
    past: float | None = None
    """The start of the bench that it ends; of another program's this may be told before the bench itself."""
    model: str | None = None
    """Which model answered; of other models it proves nothing."""
    extra: Mapping[str, Any] = NO_EXTRA


class Reset(NamedTuple):
    """The operator cleared benches and errors."""

    ids: tuple[str, ...]
    provider: str
    extra: Mapping[str, Any] = NO_EXTRA


class Restored(NamedTuple):
    """The operator gave rows back the state they had before a reset."""

    rows: Mapping[str, Seen]
    provider: str
    held: Mapping[str, tuple[Held, ...]] = NO_EXTRA
    """Of rows of which more was known than the file says, all of it: the file knows no streaks and no models."""
    extra: Mapping[str, Any] = NO_EXTRA


class Paused(NamedTuple):
    """The operator took rows out, for good or until a time."""

    ids: tuple[str, ...]
    provider: str
    until: float | None = None
    extra: Mapping[str, Any] = NO_EXTRA


class Resumed(NamedTuple):
    """The operator let paused rows work again."""

    ids: tuple[str, ...]
    provider: str
    extra: Mapping[str, Any] = NO_EXTRA


class Dismissed(NamedTuple):
    """The operator needs no reminder any more of a row that needed a login and was removed by another program."""

    id: str
    provider: str
    extra: Mapping[str, Any] = NO_EXTRA


class Leased(NamedTuple):
    """Somebody claims a row, or goes on claiming it, for work in flight; `ids` are it and those with its secret."""

    ids: tuple[str, ...]
    provider: str
    lease: str
    ttl_s: float
    """For so many seconds, should nobody give it back before."""
    most: int | None = None
    """The claim is void where so many others hold the row; None: it never is."""
    extra: Mapping[str, Any] = NO_EXTRA


class Released(NamedTuple):
    """Work in flight is done, or given up."""

    ids: tuple[str, ...]
    provider: str
    lease: str
    extra: Mapping[str, Any] = NO_EXTRA


class Probed(NamedTuple):
    """Somebody claims to be the one who tries a row again after its cooldown."""

    ids: tuple[str, ...]
    provider: str
    by: str
    """Names the claim."""
    extra: Mapping[str, Any] = NO_EXTRA


class Added(NamedTuple):
    """A row is new, or came back by an undo; a tombstone of its id is lifted."""

    id: str
    provider: str
    seen: Seen
    extra: Mapping[str, Any] = NO_EXTRA


class Removed(NamedTuple):
    """The operator removed a row; it leaves a tombstone."""

    id: str
    provider: str
    label: str
    key: str | None = None
    """Fingerprint of the secret it had."""
    gen: int = 0
    """The generation of auth.json from which the row is missing."""
    extra: Mapping[str, Any] = NO_EXTRA


class Edited(NamedTuple):
    """The operator gave a row another label; None for one that must not be repeated here."""

    id: str
    provider: str
    label: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


class Moved(NamedTuple):
    """The operator put a pool's rows into another order: id → priority, of those that changed."""

    order: Mapping[str, float]
    provider: str
    extra: Mapping[str, Any] = NO_EXTRA


class Configured(NamedTuple):
    """One of our writers changed config.yaml: a pool's strategy, or how long a kind of failure benches."""

    provider: str
    """Empty where it concerns all."""
    strategy: str = ""
    """What it is by now; empty where it is the same."""
    cooldown: str = ""
    """The status or kind of failure whose entry is another."""
    extra: Mapping[str, Any] = NO_EXTRA


class Adopted(NamedTuple):
    """Rows met for the first time, as auth.json has them."""

    rows: Mapping[str, Seen]
    afresh: bool = False
    """Whether what was known of rows with these ids is to be forgotten: they come from another home."""
    extra: Mapping[str, Any] = NO_EXTRA


class Outside(NamedTuple):
    """Another program changed a row in auth.json, or what it wrote back was old and is healed."""

    id: str
    provider: str
    label: str
    what: str
    """``added``, ``removed``, ``benched``, ``cleared``, ``ended`` (by the clock), ``used``, ``renamed``, ``moved``;
    ``lost …`` for what is healed; ``old secret`` for one that could not be, ``new secret`` for a renewed login;
    ``reminded`` of one that was removed before: the operator took back that he had dismissed it;
    ``came back`` for a removed row that is removed again, ``restored`` where an old copy was put in place."""
    used: int = 0
    """Requests that the other program counted."""
    seen: Seen | None = None
    """The row as it is accepted."""
    past: float | None = None
    """What the other program had seen: the start of the bench that it cleared, or when we told of the row last."""
    extra: Mapping[str, Any] = NO_EXTRA


class Announced(NamedTuple):
    """A checkpoint is about to replace auth.json by a file that says nothing new to who knows this journal."""

    prev: Signature | None = None
    """The file that it replaces."""
    sig: Signature | None = None
    extra: Mapping[str, Any] = NO_EXTRA


class Written(NamedTuple):
    """A generation of auth.json has been written, and all that it changed was told just before."""

    gen: int
    extra: Mapping[str, Any] = NO_EXTRA


class Sealed(NamedTuple):
    """This segment ends here; what follows in it is void. The journal goes on in segment `next`."""

    next: int
    extra: Mapping[str, Any] = NO_EXTRA


class Header(NamedTuple):
    """Whose journal this is, and the oldest reader that may write a checkpoint from it."""

    store: str
    min_reader: int = 1
    extra: Mapping[str, Any] = NO_EXTRA


class Unknown(NamedTuple):
    """A kind of event that only a newer version understands; `extra` is all of it."""

    kind: str
    extra: Mapping[str, Any] = NO_EXTRA


Event = (
    Used
    | Failed
    | Succeeded
    | Reset
    | Restored
    | Paused
    | Resumed
    | Dismissed
    | Leased
    | Released
    | Probed
    | Added
    | Removed
    | Edited
    | Moved
    | Configured
    | Adopted
    | Outside
    | Announced
    | Written
    | Sealed
    | Header
    | Unknown
)


# --- the line ----------------------------------------------------------------------------------------------


class Record(NamedTuple):
    """An event with its envelope: when, by which writer, and as which of its records."""

    at: float
    writer: str
    seq: int
    event: Event


def _exactly(kind: type) -> Callable[[Any], Any]:
    def form(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError
        return value

    return form


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not -1e300 < value < 1e300:
        raise ValueError
    number: float = value
    return number


def _or_none(form: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else form(value)


def _row_of(*forms: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def form(value: Any) -> tuple[Any, ...]:
        return tuple(each(part) for each, part in zip(forms, _list(value), strict=True))

    return form


def _table_of(form: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: {name: form(each) for name, each in _exactly(dict)(value).items()}


_text, _whole, _list = _exactly(str), _exactly(int), _exactly(list)
_status = _row_of(
    *(_or_none(form) for form in (_text, _number, _whole, _text, _text, _number)),
)
_place = _row_of(_whole, _whole)
_held = _row_of(
    *(_text, _number, _or_none(_whole), _or_none(_text), _or_none(_text), _or_none(_number)),
    *(_text, _or_none(_text), bool, _place, _place, _whole),
)
_seen = _row_of(_whole, _or_none(_text), _or_none(_number), lambda value: Status(*_status(value)))

# What a field of each type takes to be read back.
_FORMS: Final[Mapping[str, Callable[[Any], Any]]] = MappingProxyType(
    {
        "str": _text,
        "str | None": _or_none(_text),
        "int": _whole,
        "int | None": _or_none(_whole),
        "float": _number,
        "float | None": _or_none(_number),
        "bool": bool,
        "tuple[str, ...]": lambda value: tuple(_text(name) for name in _list(value)),
        "Position | None": _or_none(_place),
        "Signature | None": _or_none(_row_of(_whole, _whole, _whole, _whole)),
        "Mapping[str, int]": _table_of(_whole),
        "Mapping[str, float]": _table_of(_number),
        "Seen": lambda value: Seen(*_seen(value)),
        "Seen | None": _or_none(lambda value: Seen(*_seen(value))),
        "Mapping[str, Seen]": _table_of(lambda value: Seen(*_seen(value))),
        "Mapping[str, tuple[Held, ...]]": _table_of(
            lambda value: tuple(Held(*_held(each)) for each in _list(value))
        ),
    }
)

KINDS: Final[Mapping[str, type[Event]]] = MappingProxyType(
    {
        "use": Used,
        "fail": Failed,
        "ok": Succeeded,
        "reset": Reset,
        "unreset": Restored,
        "pause": Paused,
        "resume": Resumed,
        "dismiss": Dismissed,
        "lease": Leased,
        "release": Released,
        "probe": Probed,
        "add": Added,
        "rm": Removed,
        "edit": Edited,
        "move": Moved,
        "config": Configured,
        "adopt": Adopted,
        "outside": Outside,
        "ck": Announced,
        "written": Written,
        "seal": Sealed,
        "head": Header,
    }
)
_NAME_OF: Final = {kind: name for name, kind in KINDS.items()}

# A line is written with every use of every key: short names keep the journal small.
_SHORT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "counts": "n",
        "used": "n",
        "id": "i",
        "ids": "i",
        "provider": "p",
        "label": "l",
        "code": "c",
        "reason": "r",
        "message": "m",
        "until": "u",
        "key": "k",
        "granted": "g",
        "kind": "f",
        "scope": "sc",
        "model": "md",
        "order": "o",
        "rows": "o",
        "seen": "o",
        "what": "x",
        "lease": "h",
        "ttl_s": "d",
        "most": "q",
    }
)

_REQUIRED: Final = object()


def fields_of(kind: type[Event]) -> dict[str, str]:
    """Return the fields of a kind of event that are written, each with its type as it is spelled."""
    types = {name: str(each.__forward_arg__) for name, each in kind.__annotations__.items()}
    return {name: spelled for name, spelled in types.items() if name != "extra"}


# kind → (attribute, name in the line, form, default) of each field.
_FIELDS: Final = {
    kind: tuple(
        (name, _SHORT.get(name, name), _FORMS[spelled], kind._field_defaults.get(name, _REQUIRED))
        for name, spelled in fields_of(kind).items()
    )
    for kind in KINDS.values()
}
# kind → the names in the line, and the values that need not be written.
_WRITTEN: Final = {
    kind: (tuple(name for _, name, _, _ in fields), tuple(default for *_, default in fields))
    for kind, fields in _FIELDS.items()
}
_ENVELOPE: Final = ("e", "t", "w", "s")


def _line_encoder() -> Callable[[Any], str]:
    """Return what `json.JSONEncoder.encode` does, without its making the encoder anew for every line."""
    # Nothing is looked for that contains itself: what is told is flat, or was read.
    usual = json.JSONEncoder(separators=(",", ":"), check_circular=False)
    try:  # it is not documented: where it is missing or asks for something else, the usual one will do
        make = json.encoder.c_make_encoder  # type: ignore[attr-defined]
        signs = (usual.indent, usual.key_separator, usual.item_separator)
        kinds = (usual.sort_keys, usual.skipkeys, usual.allow_nan)
        parts = make(None, usual.default, encode_basestring_ascii, *signs, *kinds)
    except (AttributeError, TypeError):
        return usual.encode
    return lambda line: "".join(parts(line, 0))


_dump: Final = _line_encoder()


def name_of(event: Event) -> str:
    """Return the name an event is written under."""
    return event.kind if isinstance(event, Unknown) else _NAME_OF[type(event)]


def encode(record: Record) -> bytes:
    """Return a record as one line, without its line ends; it is ASCII."""
    event = record.event
    names, defaults = _WRITTEN.get(type(event), ((), ()))  # of `extra`, which is last, there is no name
    told = compress(zip(names, event, strict=False), map(ne, event, defaults))
    line = {"e": name_of(event), "t": record.at, "w": record.writer, "s": record.seq, **dict(told)}
    return _dump({**line, **event.extra} if event.extra else line).encode("ascii")


def decode(line: bytes) -> Record | None:
    """Read a line back; None for whatever is no record: torn, void, or of another shape."""
    try:
        told = json.loads(line)
        envelope = _number(told["t"]), _text(told["w"]), _whole(told["s"])
        return Record(*envelope, _event(_text(told["e"]), told))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _event(name: str, told: dict[str, Any]) -> Event:
    kind = KINDS.get(name)
    if kind is None:
        return Unknown(kind=name, extra={key: value for key, value in told.items() if key not in _ENVELOPE})
    values, read = {}, len(_ENVELOPE)
    for attribute, key, form, _ in _FIELDS[kind]:
        if key in told:
            values[attribute] = form(told[key])
            read += 1
    if read < len(told):
        ours = {*_ENVELOPE, *(key for _, key, _, _ in _FIELDS[kind])}
        values["extra"] = {key: value for key, value in told.items() if key not in ours}
    return kind(**values)
