"""What the doctor finds: each thing planted is found, and gone when it is mended; a home in order has nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from clinic import (
    DAY_S,
    ENV_KEY,
    LEFT,
    a_dead_process,
    a_file,
    a_segment,
    add_row,
    append,
    document,
    drop_last,
    gone,
    kinds,
    look,
    mode,
    now_clock,
    only,
    overwrite,
    paused,
    pools,
    put,
    put_aside,
    put_back,
    resumed,
    rewrite,
    segment,
    strategy,
    without,
)
from fakes import a_key, a_login, a_pool, keys, write_store
from keydeck.engine.credential import STATUS_FIELDS
from keydeck.engine.doctor import Kind, Severity
from keydeck.engine.parking import FOR_GOOD, parking
from keydeck.engine.secret import fingerprint


def test_a_home_in_order_has_nothing(lived_in: Path) -> None:
    """After ordinary use nothing is found."""
    assert look(lived_in) == ()


def test_a_home_that_is_not_there_is_no_fault(home: Path) -> None:
    """Without an auth.json there is a note that says how to begin, and nothing is made."""
    found = only(look(home), Kind.NO_STORE)
    assert found.severity is Severity.NOTE
    assert found.todo == "keydeck auth add PROVIDER"
    assert not home.exists()


# --- planted, found, mended, gone --------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Something to go wrong with a home."""

    kind: Kind
    plant: Callable[[Path], None]
    mend: Callable[[Path], None]
    subject: str
    says: str
    env: dict[str, str] = field(default_factory=dict)


OTHER_STORE = b'{"v":1,"store":"another","proj":1,"pos":[1,0],"rows":{},"tomb":{},"writers":{}}'
OLD_BACKUP = "keydeck/backups/auth-20200101T000000.000000Z.json"

CASES = [
    Case(Kind.MODE, mode("", 0o755), mode("", 0o700), "", "the home is open to others: mode 0755"),
    Case(Kind.MODE, mode("auth.json", 0o644), mode("auth.json", 0o600), "auth.json", "mode 0644"),
    Case(Kind.MODE, mode(".env", 0o640), mode(".env", 0o600), ".env", "mode 0640"),
    Case(Kind.MODE, mode("keydeck", 0o750), mode("keydeck", 0o700), "keydeck", "mode 0750"),
    Case(
        Kind.MODE,
        mode("keydeck/journal-000001.jsonl", 0o604),
        mode("keydeck/journal-000001.jsonl", 0o600),
        "keydeck/journal-000001.jsonl",
        "mode 0604",
    ),
    Case(
        Kind.MODE,
        a_file("keydeck/backups/auth-29990101T000000.000000Z.json", "{}", bits=0o666),
        gone("keydeck/backups/auth-29990101T000000.000000Z.json"),
        "keydeck/backups/auth-29990101T000000.000000Z.json",
        "mode 0666",
    ),
    Case(
        Kind.LEFTOVER,
        a_file(LEFT.format(1), age_s=90),
        gone(LEFT.format(1)),
        LEFT.format(1),
        "left by a writer that was killed",
    ),
    Case(
        Kind.LEFTOVER,
        a_file("keydeck/checkpoint.json.tmp.1.0123456789abcdef", age_s=61),
        gone("keydeck/checkpoint.json.tmp.1.0123456789abcdef"),
        "keydeck/checkpoint.json.tmp.1.0123456789abcdef",
        "may hold keys",
    ),
    Case(
        Kind.LEFTOVER,
        a_file(".env_0a1_2b3c.tmp", age_s=90),
        gone(".env_0a1_2b3c.tmp"),
        ".env_0a1_2b3c.tmp",
        "left by a writer that was killed",
    ),
    Case(
        Kind.LEFTOVER,
        a_file(".anthropic_oauth.tmp.1.0a1b2c3d", age_s=90),
        gone(".anthropic_oauth.tmp.1.0a1b2c3d"),
        ".anthropic_oauth.tmp.1.0a1b2c3d",
        "left by a writer that was killed",
    ),
    Case(
        Kind.CORRUPT_COPY,
        a_file("auth.json.corrupt"),
        gone("auth.json.corrupt"),
        "auth.json.corrupt",
        "set aside by hermes",
    ),
    Case(
        Kind.BACKUP_OLD,
        a_file(OLD_BACKUP, "{}", age_s=40 * DAY_S),
        gone(OLD_BACKUP),
        OLD_BACKUP,
        "is 40 days old",
    ),
    Case(
        Kind.BACKUP_SECRET,
        a_file(OLD_BACKUP, json.dumps({"credential_pool": {"x": [a_key("eee001")]}}), age_s=2 * DAY_S),
        gone(OLD_BACKUP),
        OLD_BACKUP,
        "holds a key that auth.json has no more",
    ),
    Case(
        Kind.DUPLICATE,
        add_row("openrouter", row_id="aaa009", access_token="sk-test-aaa001-secret", priority=9),
        drop_last("openrouter"),
        "openrouter/aaa009",
        "holds the same key as key-aaa001 (aaa001) of openrouter",
    ),
    Case(
        Kind.SHARED_SECRET,
        add_row("deepseek", row_id="ddd001", access_token="sk-test-aaa001-secret"),
        drop_last("deepseek"),
        "deepseek/ddd001",
        "a cooldown in one pool is not known in the other",
    ),
    Case(
        Kind.SAME_ID,
        add_row("deepseek", row_id="aaa001", access_token="sk-another-key"),
        drop_last("deepseek"),
        "aaa001",
        "2 rows have the id aaa001 (openrouter, deepseek)",
    ),
    Case(
        Kind.SAME_ID,
        add_row("openrouter", row_id="aaa001", access_token="sk-another-key"),
        drop_last("openrouter"),
        "aaa001",
        "2 rows have the id aaa001 (openrouter)",
    ),
    Case(
        Kind.BAD_ROW,
        add_row("openrouter", row_id="aaa009", priority="first"),
        drop_last("openrouter"),
        "openrouter/aaa009",
        "its priority is not a number",
    ),
    Case(
        Kind.BAD_POOL,
        rewrite(lambda told: pools(told).update(zai={"not": "a list"})),
        rewrite(lambda told: pools(told).pop("zai")),
        "zai",
        "pool zai cannot be read",
    ),
    Case(
        Kind.ENV_GONE,
        overwrite(".env", b""),
        put_back(".env"),
        "openrouter/aaa003",
        "takes its key from OPENROUTER_API_KEY, which is not set here",
    ),
    Case(
        Kind.ENV_UNUSABLE,
        overwrite(".env", b"OPENROUTER_API_KEY=sk-or-...\n"),
        put_back(".env"),
        "openrouter/aaa003",
        "it is masked, not the key itself",
    ),
    Case(
        Kind.ENV_DIFFERS,
        lambda _: None,
        lambda _: None,
        "OPENROUTER_API_KEY",
        "one value in .env and another in the environment",
        env={"OPENROUTER_API_KEY": "sk-or-another-one"},
    ),
    Case(
        Kind.ENV_CHANGED,
        rewrite(
            lambda told: pools(told)["openrouter"][2].update(secret_fingerprint=fingerprint("sk-old-key"))
        ),
        rewrite(lambda told: pools(told)["openrouter"][2].update(secret_fingerprint=fingerprint(ENV_KEY))),
        "openrouter/aaa003",
        "holds another key than the one",
    ),
    Case(
        Kind.BORROWED_SECRET,
        rewrite(lambda told: pools(told)["openrouter"][2].update(access_token=ENV_KEY)),
        rewrite(lambda told: pools(told)["openrouter"][2].pop("access_token")),
        "openrouter/aaa003",
        "auth.json holds a copy of its key",
    ),
    Case(
        Kind.CONFIG_BROKEN,
        overwrite("config.yaml", b"a: [b\n"),
        put_back("config.yaml"),
        "config.yaml",
        "config.yaml cannot be used",
    ),
    Case(
        Kind.UNKNOWN_STRATEGY,
        strategy("quota_aware"),
        strategy("random"),
        "openrouter",
        "nobody knows the strategy quota_aware",
    ),
    Case(
        Kind.COOLDOWN_ENTRY,
        overwrite("config.yaml", b"credential_pool:\n  cooldown:\n    429: soon\n    402: 1h\n"),
        put_back("config.yaml"),
        "config.yaml",
        "line 3 of config.yaml does not hold: ",
    ),
    Case(
        Kind.PAUSED_LONG,
        paused(ago_days=9),
        resumed,
        "openrouter/aaa002",
        "key-aaa002 (aaa002) of openrouter is paused for good, for 9 days by now",
    ),
    Case(
        Kind.PAUSED_LONG,
        paused(ago_days=2, for_days=47),
        resumed,
        "openrouter/aaa002",
        "key-aaa002 (aaa002) of openrouter is paused for another 45 days",
    ),
    Case(
        Kind.STORE_CORRUPT, overwrite("auth.json", b"{"), put_back("auth.json"), "auth.json", "not valid JSON"
    ),
    Case(
        Kind.STORE_TOO_NEW,
        rewrite(lambda told: told.update(version=9)),
        rewrite(lambda told: told.update(version=1)),
        "auth.json",
        "newer than this Keydeck",
    ),
    Case(
        Kind.JOURNAL_TORN,
        append(b'{"e":"use","t":17941465'),
        without(b'{"e":"use","t":17941465'),
        "keydeck",
        "1 line of the journal is torn",
    ),
    Case(
        Kind.JOURNAL_TORN, append(b"\0" * 40), without(b"\0" * 40), "keydeck", "1 line of the journal is torn"
    ),
    Case(
        Kind.JOURNAL_GAP,
        a_segment(3),
        gone("keydeck/journal-000003.jsonl"),
        "keydeck",
        "1 segment of the journal is missing (2)",
    ),
    Case(
        Kind.JOURNAL_GAP,
        put_aside("keydeck/journal-000001.jsonl"),
        put_back("keydeck/journal-000001.jsonl"),
        "keydeck",
        "missing (1)",
    ),
    Case(
        Kind.CHECKPOINT_BROKEN,
        overwrite("keydeck/checkpoint.json", b"{}"),
        put_back("keydeck/checkpoint.json"),
        "keydeck/checkpoint.json",
        "cannot be understood",
    ),
    Case(
        Kind.COPIED,
        overwrite("keydeck/checkpoint.json", OTHER_STORE),
        put_back("keydeck/checkpoint.json"),
        "keydeck",
        "of different homes",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.subject}")
def test_what_is_planted_is_found_and_mended_is_gone(case: Case, lived_in: Path) -> None:
    """One finding, with its subject, what is wrong and what to do in a line each; none once it is mended."""
    case.plant(lived_in)
    found = only(look(lived_in, env=case.env), case.kind)
    assert found.subject == (case.subject or str(lived_in))
    assert case.says in found.what
    assert found.todo
    assert "\n" not in found.what + found.todo
    assert "sk-" not in found.what + found.todo
    case.mend(lived_in)
    assert look(lived_in) == ()


def test_entries_of_a_policy_that_do_not_hold_are_told_one_by_one(lived_in: Path) -> None:
    """Each with its line, what would be right, and the file to be mended; they are warnings."""
    config = lived_in / "config.yaml"
    config.write_text(
        "credential_pool:\n  cooldown:\n    429: soon\n    402: 1h\n    providers:\n      zai: {teapot: 5m}\n"
    )
    found = look(lived_in)
    assert [(each.kind, each.severity) for each in found] == [(Kind.COOLDOWN_ENTRY, Severity.WARNING)] * 2
    assert [each.what.partition(" of config.yaml")[0] for each in found] == ["line 3", "line 6"]
    assert all(str(config) in each.todo for each in found)


@pytest.mark.parametrize(
    "pause",
    [
        paused(ago_days=6.9),
        paused(for_days=29),
        paused(ago_days=80, for_days=90),
        paused(ago_days=80, for_days=79),
    ],
)
def test_a_pause_that_nobody_has_forgotten_is_no_finding(
    lived_in: Path, pause: Callable[[Path], None]
) -> None:
    """Of some days, with an end in sight, or over by now."""
    pause(lived_in)
    assert look(lived_in) == ()


def test_a_long_pause_is_a_note_with_the_command_that_ends_it(lived_in: Path) -> None:
    """It may be as somebody wants it, so it is no fault."""
    paused(ago_days=9)(lived_in)
    found = only(look(lived_in), Kind.PAUSED_LONG)
    assert found.severity is Severity.NOTE
    assert found.todo == "keydeck auth resume openrouter aaa002"


def test_a_key_that_is_parked_for_good_without_a_time(home: Path) -> None:
    """Its journal is gone, and the row does not say since when."""
    parked: dict[str, Any] = dict(zip(STATUS_FIELDS, parking(0.0, FOR_GOOD)._replace(at=None), strict=True))
    write_store(home, {"openrouter": [*keys("aaa001"), a_key("aaa002", priority=1, **parked)]})
    home.chmod(0o700)
    assert only(look(home), Kind.PAUSED_LONG).what.endswith("is paused for good, since nobody knows when")


def test_a_journal_of_a_newer_version(lived_in: Path) -> None:
    """A journal whose header asks for a newer reader is named, with what to install."""
    path = segment(lived_in)
    lines = path.read_bytes().split(b"\n")
    head = json.loads(lines[1])
    path.write_bytes(
        b"\n".join([b"", json.dumps({**head, "min_reader": 99}, separators=(",", ":")).encode(), *lines[2:]])
    )
    found = only(look(lived_in), Kind.JOURNAL_NEWER)
    assert found.todo == "pip install --upgrade keydeck"


def test_a_segment_without_its_first_line(lived_in: Path) -> None:
    """A segment that does not say whose it is gets a note; nothing else is wrong with it."""
    path = segment(lived_in)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([b"", *lines[2:]]))
    assert only(look(lived_in), Kind.JOURNAL_HEADLESS).severity is Severity.NOTE


def test_an_auth_json_of_another_home(lived_in: Path, tmp_path: Path) -> None:
    """An auth.json that was copied here from another home is told apart from the journal beside it."""
    other = tmp_path / "other"
    write_store(other, {"openrouter": keys("eee001")})
    with a_pool(other, clock=now_clock()) as pool:
        pool.select()
    (lived_in / "auth.json").write_bytes((other / "auth.json").read_bytes())
    assert Kind.COPIED in kinds(look(lived_in))


def test_a_history_larger_than_was_asked_for(lived_in: Path) -> None:
    """A journal far beyond what config.yaml keeps is told with both sizes."""
    (lived_in / "config.yaml").write_text("credential_pool: {history: {mib: 1}}\n")
    assert look(lived_in) == ()
    path = segment(lived_in)
    path.rename(segment(lived_in, 2))
    a_segment(1)(lived_in)
    # The checkpoints stand where they stood, now in the second segment.
    told = document(lived_in)
    told["keydeck"]["pos"][0] = 2
    put(lived_in, told)
    beside = json.loads((lived_in / "keydeck" / "checkpoint.json").read_text())
    (lived_in / "keydeck" / "checkpoint.json").write_text(
        json.dumps({**beside, "pos": [2, beside["pos"][1]]})
    )
    for mib, is_large in ((5, False), (10, True)):
        a_segment(1)(lived_in)
        with path.open("ab") as log:
            log.write((b'{"e":"later"' + b" " * 4083 + b"}\n") * 256 * mib)
        assert (kinds(look(lived_in)) == [Kind.JOURNAL_LARGE]) is is_large
    found = only(look(lived_in), Kind.JOURNAL_LARGE)
    assert "the journal has 10 MiB" in found.what
    assert "keeps 1 MiB" in found.what


def test_a_checkpoint_that_is_far_behind(lived_in: Path) -> None:
    """Much journal that nobody summed up is told; a little is nothing."""
    append(b'{"e":"later","t":1,"w":"x","s":1,"more":"' + b"x" * 100_000 + b'"}')(lived_in)
    assert look(lived_in) == ()
    for number in range(12):
        append(b'{"e":"later","t":1,"w":"x","s":%d,"more":"' % (number + 2) + b"x" * 100_000 + b'"}')(
            lived_in
        )
    assert only(look(lived_in), Kind.CHECKPOINT_BEHIND).what.startswith("1 MiB")


def test_many_backups(lived_in: Path) -> None:
    """More backups of a file than are kept are told, with the command that removes the oldest of them."""
    for day in range(1, 8):
        a_file(f"keydeck/backups/config-2999010{day}T000000.000000Z.yaml", "{}")(lived_in)
    found = only(look(lived_in), Kind.BACKUPS_MANY)
    assert "there are 7 backups of config.yaml" in found.what
    assert found.todo.count("config-29990101") == found.todo.count("config-29990102") == 1
    assert "config-29990103" not in found.todo


def test_a_backup_made_today_may_hold_what_was_removed(lived_in: Path) -> None:
    """The copy from before a removal is what an undo needs: for a day it is nobody's fault."""
    backups = lived_in / "keydeck" / "backups"
    assert any("sk-test-bbb002" in path.read_text() for path in backups.iterdir())
    assert look(lived_in) == ()


def test_a_logins_old_token_in_a_backup_is_nothing(lived_in: Path) -> None:
    """Tokens of logins are renewed all day: an old one in a copy opens nothing any more."""
    login = {"credential_pool": {"nous": [a_login("eee001", access_token="an-old-token-0123")]}}
    a_file(OLD_BACKUP, json.dumps(login), age_s=2 * DAY_S)(lived_in)
    assert look(lived_in) == ()


def test_a_config_with_a_key_in_it_must_be_private_too(lived_in: Path) -> None:
    """Only a config.yaml in which a key is written out has to be closed to others."""
    (lived_in / "config.yaml").chmod(0o644)
    assert look(lived_in) == ()
    (lived_in / "config.yaml").write_text(
        "custom_providers:\n  - {name: Mine, base_url: 'https://m.example/v1', api_key: sk-literal-0123}\n"
    )
    assert only(look(lived_in), Kind.MODE).subject == "config.yaml"


def test_a_home_mode_that_hermes_was_told_is_wanted(lived_in: Path) -> None:
    """With HERMES_HOME_MODE set to it, a home that its group may enter is in order (hermes-pool 1.1)."""
    lived_in.chmod(0o750)
    assert look(lived_in, env={"HERMES_HOME_MODE": "0750"}) == ()
    assert only(look(lived_in), Kind.MODE)


def test_many_open_files_are_one_finding(lived_in: Path) -> None:
    """A journal folder that is open as a whole is one line with one command."""
    for path in (lived_in / "keydeck").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    found = only(look(lived_in), Kind.MODE)
    assert found.todo == f"chmod -R go-rwx {lived_in / 'keydeck'}"
    assert len(found.paths) > 2


# --- leftovers and their writers ---------------------------------------------------------------------------


def test_a_fresh_temporary_file_of_a_living_writer_is_left_alone(lived_in: Path) -> None:
    """What somebody may be writing right now is no leftover; that of a dead writer is one at once."""
    mine = LEFT.format(os.getpid())
    a_file(mine)(lived_in)
    assert look(lived_in) == ()
    a_file(mine, age_s=61)(lived_in)
    assert only(look(lived_in), Kind.LEFTOVER).subject == mine
    gone(mine)(lived_in)
    a_file(LEFT.format(a_dead_process()))(lived_in)
    only(look(lived_in), Kind.LEFTOVER)


@pytest.mark.parametrize(
    "name",
    [
        "auth.json",
        "auth.json.tmp",
        "notes.tmp.1",
        "x.tmp.12.nothex",
        "y.tmp.abc.0123456789",
        "z.tmp.1.0123",
        ".other_0a1_2b3c.tmp",
    ],
)
def test_other_names_are_nobodys_leftovers(name: str, lived_in: Path) -> None:
    """Only names as writers make them are taken for leftovers."""
    if name != "auth.json":
        a_file(name, age_s=DAY_S)(lived_in)
    assert look(lived_in) == ()


def test_a_temporary_file_that_names_no_writer_has_a_minute(lived_in: Path) -> None:
    """What hermes writes of .env and config.yaml is a leftover once it is older than any write takes."""
    a_file(".config_0a1_2b3c.tmp", age_s=50)(lived_in)
    assert look(lived_in) == ()
    a_file(".config_0a1_2b3c.tmp", age_s=70)(lived_in)
    assert only(look(lived_in), Kind.LEFTOVER).subject == ".config_0a1_2b3c.tmp"


def test_a_link_with_a_leftovers_name_is_left_alone(lived_in: Path, tmp_path: Path) -> None:
    """A link is not what a writer leaves: neither it nor its target is touched."""
    target = tmp_path / "precious"
    target.write_text("x")
    os.utime(target, (1, 1))
    (lived_in / LEFT.format(1)).symlink_to(target)
    assert look(lived_in) == ()
