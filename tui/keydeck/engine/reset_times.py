"""Every way a file or a provider says "come back at". Pure: nothing here reads the clock or draws a number.

What hermes reads comes first and means the same (hermes-pool 5.3); then what it passes over (hermes-recovery
G14).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Final

from keydeck.engine.times import from_number, parse_time

_NUMBER: Final = r"(\d+(?:\.\d+)?)"
_MESSAGE_WAITS: Final = (
    (re.compile(rf"quotaResetDelay[\s:\"'=]*{_NUMBER}(ms|s)", re.IGNORECASE), (1.0,)),
    (re.compile(rf"retry\s+(?:after\s+)?{_NUMBER}\s*(?:seconds?|secs?|s)\b", re.IGNORECASE), (1.0,)),
    (re.compile(rf"resets?\s+in\s+{_NUMBER}\s*hr\s*{_NUMBER}\s*min", re.IGNORECASE), (3600.0, 60.0)),
    (re.compile(rf"resets?\s+in\s+{_NUMBER}\s*hr", re.IGNORECASE), (3600.0,)),
    (re.compile(rf"resets?\s+in\s+{_NUMBER}\s*min", re.IGNORECASE), (60.0,)),
)

# A time this small is no date but a wait: `x-ratelimit-reset: 30`, taken for 1970 (G14).
_WAIT_BELOW: Final = 1e8
_NO_WAIT_FROM: Final = 1e10
# Longer texts are pages, not sentences.
_LONGEST_TEXT: Final = 4000
_LONGEST_WAIT: Final = 64

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DIGIT: Final = re.compile(r"\d")
_PARTS: Final = re.compile(
    r"(\d{1,12}(?:\.\d{1,12})?)\s*"
    r"(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?=\d|[^a-z]|$)",
    re.IGNORECASE,
)
_SPAN: Final = r"((?:\d{1,12}(?:\.\d{1,12})?\s*[a-z]{1,12}\.?,?\s*(?:and\s+)?){1,4})"
_SPOKEN_WAIT: Final = re.compile(
    rf"(?:(?:re)?try(?:\s+again)?|reset(?:s|ting)?|available(?:\s+again)?|wait|back)"
    rf"\s+(?:after|in|for)?\s*(?:about\s+)?{_SPAN}",
    re.IGNORECASE,
)
_SPOKEN_TIME: Final = re.compile(
    r"(?:(?:re)?try(?:\s+again)?|resets?|available(?:\s+again)?)\s+(?:at|on|after)\s+"
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)",
    re.IGNORECASE,
)
# Fields of an answer that was passed on as text.
_SPOKEN_FIELD: Final = re.compile(
    r"(retryDelay|retry_delay|resets_in_seconds|retry[-_ ]after(?:[-_]ms)?)[\"'\s:=]+\"?"
    r"(\d{1,12}(?:\.\d{1,12})?(?:m?s)?)(?![\w.]*\d|\s*[a-z])",
    re.IGNORECASE,
)


def wait_in_message(message: str) -> float | None:
    """Return the seconds a provider's sentence asks to wait, by hermes' patterns, or None."""
    for pattern, units in _MESSAGE_WAITS:
        if found := pattern.search(message):
            if units == (1.0,) and found.lastindex == 2:
                return float(found[1]) * (0.001 if found[2].lower() == "ms" else 1.0)
            return sum(float(part) * unit for part, unit in zip(found.groups(), units, strict=True))
    return None


def duration(text: str) -> float | None:
    """Return the seconds of a wait as programs write it (``33s``, ``6m0s``, ``1h2m3.5s``, ``2 days``), or None."""
    text = text.strip().lower()
    if len(text) > _LONGEST_WAIT or _PARTS.sub("", text).replace("and", "").strip(" .,"):
        return None
    parts = [float(part[1]) * _unit_s(part[2]) for part in _PARTS.finditer(text)]
    return sum(parts) if parts else None


def _unit_s(unit: str) -> float:
    return _UNITS_S["ms" if unit.startswith(("ms", "mil")) else unit[0]]


def spoken_wait(message: str) -> float | None:
    """Return the seconds a provider's sentence asks to wait, in whatever words, or None."""
    message = " ".join(message[:_LONGEST_TEXT].split())
    if not _DIGIT.search(message):
        return None
    if wait := wait_in_message(message):
        return wait
    spoken = (duration(_trimmed(found[1])) for found in _SPOKEN_WAIT.finditer(message))
    fields = (
        _wait(found[2], is_ms=found[1].lower().endswith("ms")) for found in _SPOKEN_FIELD.finditer(message)
    )
    return next((wait for wait in chain(spoken, fields) if wait), None)


def _trimmed(span: str) -> str:
    """Cut what follows the wait in its sentence: "45s. contact us" ends after the unit."""
    end = 0
    for part in _PARTS.finditer(span.lower()):
        if span[end : part.start()].replace("and", "").strip(" .,"):
            break
        end = part.end()
    return span[:end]


def reset_time(context: Mapping[str, Any], now: float) -> float | None:
    """Return when a provider says the key is back, in epoch seconds.

    Looked at in this order, each field only if it makes sense: the named times, the waits, the headers of
    limits that are used up (the latest of them), the message. Nothing is said here of how likely the answer
    is: see `sane`.

    Args:
        context: what the caller knows of the error: ``reset_at``, ``resets_at``, ``retry_until``, ``message``;
            the fields and headers of the answer beside them or under ``body``, ``error`` and ``headers``.
        now: epoch seconds, the base of relative hints.
    """
    absolute = context.get("reset_at") or context.get("resets_at") or context.get("retry_until")
    if absolute and (told := _moment(absolute, now)) is not None:
        return told
    message = context.get("message")
    if not context.keys() <= _WORDS:  # most callers pass no more than these
        fields = dict(_fields(context))
        if (told := _in_fields(fields, now)) is not None:
            return told
        message = fields.get("message")
    return _in_message(message, now) if isinstance(message, str) else None


def _in_fields(fields: Mapping[str, Any], now: float) -> float | None:
    for name, is_ms in _WAIT_FIELDS:
        if (wait := _wait(fields.get(name), is_ms=is_ms)) is not None:
            return now + wait
        if (told := _http_date(fields.get(name))) is not None:
            return told
    return _limits_end(fields, now)


# --- the fields of an answer -------------------------------------------------------------------------------

# Normalised name → whether a bare number is milliseconds; the most exact first.
_WAIT_FIELDS: Final = (
    ("retry-after-ms", True),
    ("retry-after", False),
    ("resets-in-seconds", False),
    ("retrydelay", False),
    ("retry-delay", False),
)
_WORDS: Final = frozenset({"reason", "message"})
_NESTED: Final = ("headers", "body", "error", "metadata", "details")
_LIMIT_RESET: Final = re.compile(
    r"(?:x-)?ratelimit-reset(?:-.+)?|anthropic-ratelimit-.+-reset|x-.+-reset-at",
)


def _fields(context: Mapping[Any, Any], depth: int = 4) -> Iterator[tuple[str, Any]]:
    """Yield every field of an answer under its plain name, the outer ones last: they decide."""
    for name in _NESTED if depth else ():
        inner = context.get(name)
        for each in inner if isinstance(inner, list | tuple) else (inner,):
            if isinstance(each, Mapping):
                yield from _fields(each, depth - 1)
    for name, value in context.items():
        if isinstance(name, str):
            yield name.lower().replace("_", "-"), value


def _limits_end(fields: Mapping[str, Any], now: float) -> float | None:
    """Return when the last of the limits that are used up is renewed; one that says it has something left is not."""
    ends = (
        _moment(value, now)
        for name, value in fields.items()
        if "reset" in name and _LIMIT_RESET.fullmatch(name) and not _has_left(fields, name)
    )
    return max((end for end in ends if end is not None), default=None)


def _has_left(fields: Mapping[str, Any], name: str) -> bool:
    left = _number_in(fields.get(name.replace("reset", "remaining")))
    percent = _number_in(fields.get(name.removesuffix("reset-at") + "used-percent"))
    status = fields.get(name.replace("reset", "status"))
    is_allowed = isinstance(status, str) and status.lower().startswith("allowed")
    return is_allowed or (left is not None and left > 0) or (percent is not None and percent < 100)


def _moment(value: Any, now: float) -> float | None:
    """Return a point in time, however it is written; a number too small for a date counts from now."""
    told = parse_time(value)
    if told is not None:
        return now + told if told < _WAIT_BELOW and _number_in(value) is not None else told
    if (told := _http_date(value)) is not None:
        return told
    wait = _wait(value, is_ms=False) if isinstance(value, str) else None
    return None if wait is None else now + wait


def _wait(value: Any, *, is_ms: bool) -> float | None:
    """Return a wait in seconds, of a number or of a text such as ``33s``; None if it is none above zero."""
    number = _number_in(value)
    if number is not None:
        wait = number * (0.001 if is_ms else 1.0)
    else:
        wait = (duration(value) if isinstance(value, str) else None) or 0.0
    return wait if 0 < wait < _NO_WAIT_FROM else None


def _number_in(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _http_date(value: Any) -> float | None:
    """Read the form of date that HTTP headers have: ``Sun, 08 Nov 2026 14:02:11 GMT``."""
    if not isinstance(value, str) or "," not in value or len(value) > 40:
        return None
    from email.utils import parsedate_to_datetime

    try:
        return from_number(parsedate_to_datetime(value).timestamp())
    except (ValueError, OverflowError, OSError, TypeError):
        return None


def _in_message(message: str, now: float) -> float | None:
    wait = spoken_wait(message)
    if wait is not None:
        return now + wait if wait < _NO_WAIT_FROM else None
    named = _SPOKEN_TIME.search(message[:_LONGEST_TEXT])
    return parse_time(named[1]) if named else None
