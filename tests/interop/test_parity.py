"""The rules, side by side: what each program makes of the same row, error, time or name.

Both clocks stand at the same moment. Where Keydeck means to differ, the test says so and shows both answers.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from fakes import NOW, FakeClock, a_key, a_reader, benched, keys, load, write_store
from interop.hermes import Hermes
from interop.scenes import HOUR, the_pool
from keydeck.engine.credential import STATUS_FIELDS, borrowed_form, is_owned
from keydeck.engine.errors import TargetError
from keydeck.engine.pool import CredentialPool
from keydeck.engine.reset_times import wait_in_message
from keydeck.engine.targets import resolve_target
from keydeck.engine.times import parse_time

pytestmark = pytest.mark.interop

WAITS_S = {401: 300.0} | dict.fromkeys((None, 400, 402, 403, 404, 408, 422, 429, 500, 502, 503, 529), HOUR)


def _usable(home: Path) -> list[str]:
    pool = the_pool(a_reader(home).read(), "openrouter")
    return [row.id for row in pool.at(NOW).usable]


def _available(hermes: Hermes) -> list[str]:
    hermes.ask("clock", now=NOW)
    available: list[str] = hermes.ask("load", provider="openrouter")["available"]
    return available


# --- how long a bench lasts --------------------------------------------------------------------------------


def test_benches_of_every_code_end_at_the_same_second(hermes: Hermes, home: Path) -> None:
    """A row is out until exactly 300 s after a 401 and 3600 s after anything else, in both programs."""
    rows, free = [], []
    for code, wait in WAITS_S.items():
        for left in (1, 0, -1):
            row_id = f"{code}:{left}"
            rows.append(
                a_key(row_id, last_status="exhausted", last_error_code=code, last_status_at=NOW - wait + left)
            )
            free += [row_id] if left <= 0 else []
    write_store(home, {"openrouter": rows})
    assert _usable(home) == free
    assert _available(hermes) == free


RESETS: dict[str, tuple[Any, bool]] = {
    "no time": (None, False),
    "empty": ("", False),
    "words": ("soon", False),
    "a mail date": ("Sun, 08 Nov 2026 13:00:00 GMT", False),
    "seconds over": (NOW, True),
    "seconds to come": (NOW + 1, False),
    "text seconds over": (str(NOW - 1), True),
    "milliseconds over": ((NOW - 1) * 1000, True),
    "milliseconds to come": ((NOW + 1) * 1000, False),
    "text milliseconds": (str((NOW - 1) * 1000), True),
    "iso over": ("2026-11-08T14:02:10Z", True),
    "iso to come": ("2026-11-08T14:02:12Z", False),
    "iso offset over": ("2026-11-08T15:02:11+01:00", True),
    "iso offset to come": ("2026-11-08T15:02:12+01:00", False),
    "naive over": ("2026-11-08T14:02:11", True),
    "naive to come": ("2026-11-08T14:02:12", False),
    "a date": ("2026-11-08", True),
    "basic iso": ("20261108T140212Z", False),
}
"""A reset time as a file may hold it, and whether the bench is over at 14:02:11."""


def test_a_reset_time_in_any_form_ends_the_bench_at_the_same_second(hermes: Hermes, home: Path) -> None:
    """The provider's own time wins over the table in both programs, whatever form it has (FS-09)."""
    rows = [a_key(name, **benched(until=reset)) for name, (reset, _) in RESETS.items()]
    write_store(home, {"openrouter": rows})
    free = [name for name, (_, over) in RESETS.items() if over]
    assert _usable(home) == free
    assert _available(hermes) == free


def test_statuses_without_a_time_and_unknown_statuses_are_judged_alike(hermes: Hermes, home: Path) -> None:
    """An exhausted row without any time is usable (FS-16), an unknown status is no bench, dead is out."""
    rows = [
        a_key("ok", last_status="ok"),
        a_key("resting", last_status="resting"),
        a_key("timeless", last_status="exhausted"),
        a_key("coded", last_status="exhausted", last_error_code=429),
        a_key("dead", last_status="dead", last_status_at=NOW - 60, last_error_code=401),
        a_key("dead-timeless", last_status="dead"),
        a_key("iso", last_status="exhausted", last_error_code=401, last_status_at="2026-11-08T14:00:00Z"),
        a_key("empty", access_token=""),
    ]
    write_store(home, {"openrouter": rows})
    assert _usable(home) == ["ok", "resting", "timeless", "coded"]
    assert _available(hermes) == ["ok", "resting", "timeless", "coded"]


DEVIATIONS: dict[str, tuple[dict[str, Any], bool, bool]] = {
    "milliseconds since": ({"last_status_at": (NOW - 2 * HOUR) * 1000}, False, True),
    "reset nan": ({"last_status_at": NOW - 60, "last_error_reset_at": math.nan}, True, False),
    "reset infinite": ({"last_status_at": NOW - 2 * HOUR, "last_error_reset_at": math.inf}, False, True),
    "reset zero as text": ({"last_status_at": NOW - 60, "last_error_reset_at": "0"}, True, False),
    "reset negative as text": ({"last_status_at": NOW - 60, "last_error_reset_at": "-5"}, True, False),
    "reset true": ({"last_status_at": NOW - 60, "last_error_reset_at": True}, True, False),
}
"""Times that are none: what the row says, whether hermes has it, whether Keydeck has it."""


def test_times_that_are_none_fall_back_to_the_table_here(hermes: Hermes, home: Path) -> None:
    """Meant to differ: milliseconds are read everywhere, and what is no time neither frees a row nor jails it."""
    rows = [
        a_key(name, last_status="exhausted", last_error_code=429, **fields)
        for name, (fields, _, _) in DEVIATIONS.items()
    ]
    write_store(home, {"openrouter": rows})
    assert _usable(home) == [name for name, (_, _, ours) in DEVIATIONS.items() if ours]
    assert _available(hermes) == [name for name, (_, theirs, _) in DEVIATIONS.items() if theirs]


# --- what a failure leaves in the row ----------------------------------------------------------------------

TERMINAL = (
    *("token_invalidated", "token_revoked", "invalid_token"),
    *("invalid_grant", "unauthorized_client", "refresh_token_reused"),
)
REASONS = (*TERMINAL, " Token_Revoked ", "token revoked", "invalid_api_key", "expired", "", None)


def test_the_same_failures_are_final(hermes: Hermes, home: Path) -> None:
    """Only a 401 with one of six reasons makes a row dead, in both programs."""
    cases = [(code, reason) for code in (401, 400, 403, 429, None) for reason in REASONS]
    write_store(home, {"openrouter": keys(*(f"{place:06d}" for place in range(len(cases))))})
    hermes.ask("load", provider="openrouter")
    for place, (code, reason) in enumerate(cases):
        key, context = f"sk-test-{place:06d}-secret", {"reason": reason, "reset_at": NOW * 2}
        hermes.ask("mark", name="openrouter", code=code, key=key, context=context)
    marked = [row["last_status"] for row in load(home)["credential_pool"]["openrouter"]]
    assert marked == ["dead" if _is_final(*case) else "exhausted" for case in cases]
    assert marked.count("dead") == len(TERMINAL) + 1


def _is_final(code: int | None, reason: str | None) -> bool:
    return code == 401 and (reason or "").strip().lower() in TERMINAL


CONTEXTS: tuple[Any, ...] = (
    None,
    {},
    {"reason": " rate_limit_exceeded ", "message": "  slow down \n"},
    {"reason": "", "message": "   "},
    {"reason": 7, "message": ["no text"]},
    {"reset_at": NOW + 90},
    {"resets_at": (NOW + 90) * 1000},
    {"retry_until": "2026-11-08T15:00:00Z"},
    {"reset_at": 0, "resets_at": "", "retry_until": NOW + 5},
    {"reset_at": "not a time", "message": "Retry after 30 seconds"},
    {"message": 'google says "quotaResetDelay":"12.5s" today'},
    {"message": "quotaResetDelay: 900ms"},
    {"message": "Weekly limit. Resets in 4hr 5min."},
    {"message": "resets in 2 hr"},
    {"message": "it resets in 7min"},
    {"message": "rate limit reached"},
)


def test_a_failure_leaves_the_same_six_fields_in_the_row(hermes: Hermes, home: Path, tmp_path: Path) -> None:
    """Status, time, code, reason, message and reset; where hermes would guess at an end, ours is written."""
    pool = {"openrouter": keys(*(f"{place:06d}" for place in range(len(CONTEXTS) + 1)))}
    ours = tmp_path / "ours"
    write_store(home, pool)
    write_store(ours, pool)
    keydeck = CredentialPool("openrouter", a_reader(ours))
    hermes.ask("clock", now=NOW)
    hermes.ask("load", provider="openrouter")
    for place, context in enumerate(CONTEXTS):
        key = f"sk-test-{place:06d}-secret"
        following = keydeck.mark_exhausted_and_rotate(
            status_code=429, error_context=context, api_key_hint=key
        )
        theirs = hermes.ask("mark", name="openrouter", code=429, key=key, context=context)
        assert following is not None
        assert following.id == theirs, context
    keydeck.close()
    theirs_with_end = [
        {**mark, "last_error_reset_at": mark["last_error_reset_at"] or NOW + 60}
        if mark["last_status"]
        else mark
        for mark in _marks(home)
    ]
    assert _marks(ours) == theirs_with_end
    told = {mark["last_error_reset_at"] for mark in _marks(ours)}
    assert {NOW + 12.5, NOW + 0.9, NOW + 14_700, NOW + 7_200, NOW + 420, NOW + 30, NOW + 5} < told


def test_a_wait_that_hermes_passes_over_is_kept_for_it_as_a_time(
    hermes: Hermes, home: Path, tmp_path: Path
) -> None:
    """Meant to differ: hermes benches for an hour what asked for 20 s, and obeys our 20 s when it reads them."""
    pool = {"openrouter": keys("aaa001", "bbb002")}
    ours, context = tmp_path / "ours", {"message": "try again in 20s"}
    write_store(home, pool)
    write_store(ours, pool)
    keydeck = CredentialPool("openrouter", a_reader(ours))
    keydeck.mark_exhausted_and_rotate(
        status_code=429, error_context=context, api_key_hint="sk-test-aaa001-secret"
    )
    keydeck.close()
    hermes.ask("clock", now=NOW)
    hermes.ask("load", provider="openrouter")
    hermes.ask("mark", name="openrouter", code=429, key="sk-test-aaa001-secret", context=context)
    assert [_marks(where)[0]["last_error_reset_at"] for where in (ours, home)] == [NOW + 20, None]


def _marks(home: Path) -> list[dict[str, Any]]:
    rows = load(home)["credential_pool"]["openrouter"]
    return [{name: row[name] for name in STATUS_FIELDS} for row in rows]


def test_a_bench_by_keydeck_is_obeyed_by_hermes(hermes: Hermes, home: Path) -> None:
    """A row that Keydeck benched, or called dead, is passed over by hermes until the same moment."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002", "aaa003")})
    pool = CredentialPool("openrouter", a_reader(home))
    for row_id, code, context in (
        ("aaa001", 429, {"reset_at": NOW + 60}),
        ("aaa002", 401, {"reason": "token_revoked"}),
    ):
        pool.mark_exhausted_and_rotate(
            status_code=code, error_context=context, api_key_hint=f"sk-test-{row_id}-secret"
        )
    pool.close()
    assert _available(hermes) == ["aaa003"]
    hermes.ask("clock", now=NOW + 60)
    assert hermes.ask("load", provider="openrouter")["available"] == ["aaa001", "aaa003"]


ANSWERS: tuple[tuple[int | None, dict[str, Any], float | None], ...] = (
    (429, {"message": "slow down"}, 60),
    (429, {"reason": "usage_limit_reached"}, 3600),
    (429, {"reason": "insufficient_quota"}, 3600),
    (402, {}, 3600),
    (401, {}, 300),
    (403, {}, 300),
    (None, {}, 60),
    (429, {"reset_at": NOW + 15 * 86400}, 60),
    (503, {}, 0),
    (403, {"message": "not available in your country"}, 0),
    (400, {}, 0),
    (401, {"reason": "token_revoked"}, None),
)
"""Status, what else was said, and how long it benches; None for good."""


def test_hermes_obeys_the_table_through_the_rows(hermes: Hermes, home: Path) -> None:
    """A second before our end it passes a row over, at the end it takes it; what benches nobody it never sees."""
    write_store(home, {"openrouter": keys(*(f"{place:06d}" for place in range(len(ANSWERS) + 1)))})
    pool = CredentialPool("openrouter", a_reader(home))
    for place, (code, context, _) in enumerate(ANSWERS):
        pool.mark_exhausted_and_rotate(
            status_code=code, error_context=context, api_key_hint=f"sk-test-{place:06d}-secret"
        )
    pool.close()
    ends = sorted({wait for _, _, wait in ANSWERS if wait})
    for now in (0, *(each for end in ends for each in (end - 1, end))):
        free = [
            f"{place:06d}"
            for place, (_, _, wait) in enumerate((*ANSWERS, (None, {}, 0)))
            if wait is not None and wait <= now
        ]
        hermes.ask("clock", now=NOW + now)
        assert hermes.ask("load", provider="openrouter")["available"] == free, now


# --- reading times, waits and names ------------------------------------------------------------------------


def test_points_in_time_are_read_alike(hermes: Hermes) -> None:
    """Every form of hermes-pool 5.3 gives the same epoch seconds in both programs."""
    values = [reset for reset, _ in RESETS.values()]
    values += [0, -1, 1, 1e12 + 1, 1_794_146_531, " 1794146531 "]
    values += ["2026-11-08T14:02:11.5+00:00", "2026-11-08 14:02:11Z", "2026-W45-7", "9999999999999", "1e9"]
    ours = [parse_time(value) for value in values]
    assert ours == hermes.ask("times", values=values)
    assert ours.count(None) == 6


def test_what_is_no_point_in_time_is_none_here(hermes: Hermes) -> None:
    """Meant to differ: NaN, infinity, flags, texts of zero or less and years past 9999 are no times."""
    values = [math.nan, math.inf, "nan", "inf", True, "0", "-5", 1e12, 1e300]
    assert [parse_time(value) for value in values] == [None] * len(values)
    theirs = hermes.ask("times", values=values)
    assert None not in theirs
    assert theirs[4:7] == [1.0, 0.0, -5.0]


WAITS = {
    '"quotaResetDelay":"12.5s"': 12.5,
    '"quotaResetDelay": "900ms"': 0.9,
    "QUOTARESETDELAY: 3s": 3.0,
    "retry after 30 seconds": 30.0,
    "Please retry after 30s.": 30.0,
    "retry 5 sec": 5.0,
    "retry after 2.5secs": 2.5,
    "retry after 1 second": 1.0,
    "Resets in 4hr 5min": 14_700.0,
    "reset in 2 hr": 7_200.0,
    "resets in 3hr.": 10_800.0,
    "resets in 7min": 420.0,
    "quotaResetDelay 9s, retry after 30 seconds": 9.0,
    "retry in 30 seconds": None,
    "try again in 20s": None,
    "resets in 45s": None,
    "resets in 3 hours": None,
    "retry after 2 minutes": None,
    "retry after 30": None,
    "": None,
}


def test_waits_in_messages_are_read_alike(hermes: Hermes) -> None:
    """The sentences of hermes-pool 5.3 give the same wait, or none, in both programs."""
    assert {message: wait_in_message(message) for message in WAITS} == WAITS
    assert hermes.ask("waits", messages=list(WAITS)) == list(WAITS.values())


TARGETS = {
    "aaa001": "aaa001",
    " aaa002 ": "aaa002",
    "AAA001": None,
    "work": "aaa001",
    "WORK ": "aaa001",
    "dup": None,
    "1": "aaa002",
    "2": "aaa002",
    "3": "aaa003",
    "5": "aaa006",
    "6": None,
    "0": None,
    "#1": None,
    "1.0": None,
    "+1": None,
    "-1": None,
    "": None,
    "nobody": None,
    "aaa004": "aaa003",
}
"""What an operator types, and the row it names: the second is labelled 1, the third as the fourth's id."""


def test_targets_name_the_same_rows(hermes: Hermes, home: Path) -> None:
    """Id before label before place, case by case as in hermes-pool 5.8, and two of a label are none."""
    labels = {"aaa001": "Work", "aaa002": " 1 ", "aaa003": "aaa004", "aaa005": "dup", "aaa006": "DUP"}
    rows = [a_key(row_id, label, priority=place) for place, (row_id, label) in enumerate(labels.items())]
    write_store(home, {"openrouter": rows})
    read = the_pool(a_reader(home).read(), "openrouter").rows

    def named(target: str) -> str | None:
        try:
            return resolve_target(read, target).id
        except TargetError:
            return None

    hermes.ask("load", provider="openrouter")
    answers = dict(zip(TARGETS, hermes.ask("resolve", name="openrouter", targets=list(TARGETS)), strict=True))
    assert answers == TARGETS
    assert {target: named(target) for target in TARGETS} == answers


# --- what may be stored ------------------------------------------------------------------------------------

SOURCES = (
    *("", "manual", "Manual ", "manual:tag", "env:KEY", "config:Name", "model_config", "claude_code"),
    *("qwen-cli", "gh_cli", "device_code", "oauth", "hermes_pkce", "vault:x"),
)
SECRET_NAMES = (
    *("access_token", "refresh_token", "agent_key", "api_key", "apiKey", "client.secret", "x-auth-token"),
    *("sessionToken", "password", "myPrivateKey", "tokens", "hmac_key", " token ", "credential"),
)
PLAIN_NAMES = (
    "token_type",
    "agent_key_id",
    "expires_at",
    "secret_source",
    "keyboard",
    "tokenizer",
    "key",
    "note",
)


@pytest.mark.parametrize("provider", ["openrouter", "openai-codex", "nous", "anthropic", "minimax-oauth"])
def test_rows_are_stripped_of_secrets_alike(hermes: Hermes, provider: str) -> None:
    """Which rows may keep a secret, which fields are secrets and the fingerprint left behind are hermes' own."""
    rows = [{"source": source, "access_token": "sk-or-from-dotenv"} for source in SOURCES]
    rows += [{"source": "env:KEY", name: "sk-or-from-dotenv"} for name in (*SECRET_NAMES, *PLAIN_NAMES)]
    rows += [
        {"source": "env:KEY", "refresh_token": "second", "access_token": "first"},
        {"source": "env:KEY", "agent_key": "", "access_token": "", "hmac_key": "third"},
        {"source": "env:KEY", "secret_fingerprint": "sha256:0123456789abcdef"},
        {"source": "env:KEY", "secret_fingerprint": "md5:0123456789abcdef", "access_token": ""},
        {"source": "env:KEY", "access_token": "schlüssel"},
    ]
    ours = [row if is_owned(provider, row["source"]) else borrowed_form(row) for row in rows]
    assert ours == hermes.ask("stored_forms", provider=provider, rows=rows)
    assert {"source": "env:KEY", "secret_fingerprint": "sha256:4dff6a68f232ad6b"} in ours


def test_the_order_of_rows_is_the_same(hermes: Hermes, home: Path) -> None:
    """Rows are tried by priority, in file order among equals, with fractions and gaps as they come."""
    priorities = {"aaa001": 3, "aaa002": 1, "aaa003": 1, "aaa004": 0.5, "aaa005": -2, "aaa006": 99}
    rows = [a_key(row_id, priority=priority) for row_id, priority in priorities.items()]
    write_store(home, {"openrouter": rows})
    entries = hermes.ask("load", provider="openrouter")["entries"]
    order = ["aaa005", "aaa004", "aaa002", "aaa003", "aaa001", "aaa006"]
    assert [row["id"] for row in entries] == order
    assert [row.id for row in the_pool(a_reader(home).read(), "openrouter").rows] == order


def test_what_a_row_leaves_out_is_filled_in_alike(hermes: Hermes, home: Path) -> None:
    """A row with nothing but a key gets hermes' defaults."""
    write_store(home, {"openrouter": [{"id": "aaa001", "access_token": "sk-bare-1"}]})
    (theirs,) = hermes.ask("load", provider="openrouter")["entries"]
    (ours,) = a_reader(home, clock=FakeClock()).read().pools[0].rows
    for name in ("auth_type", "priority", "source", "request_count", "runtime_api_key"):
        assert getattr(ours, name) == theirs[name], name
    assert theirs["runtime_api_key"] == "sk-bare-1"
