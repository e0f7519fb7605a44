from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from fakes import (
    NOW,
    FailingDisk,
    a_key,
    a_login,
    a_reader,
    benched,
    in_another_process,
    keys,
    load,
    permissions_count,
    tree,
    without_powers,
    write_store,
)
from keydeck.engine.acting import Done
from keydeck.engine.acts import Operator
from keydeck.engine.checks import LONGEST_LABEL, checked_label
from keydeck.engine.credential import STATUS_FIELDS
from keydeck.engine.errors import (
    ConfigBroken,
    ConfigReadOnly,
    KeydeckError,
    Refused,
    StoreCorrupt,
    StoreError,
    StoreReadOnly,
    TargetError,
)
from keydeck.engine.secret import Secret

NEW = Secret("sk-new-0123456789")


def operator(home: Path, **rest: Any) -> Operator:
    return Operator(a_reader(home, **rest), timeout_s=5)


def rows(home: Path, provider: str = "openrouter") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = load(home)["credential_pool"].get(provider, [])
    return found


# --- adding ------------------------------------------------------------------------------------------------


def test_an_added_key_is_a_manual_row_last_in_its_pool(home: Path) -> None:
    """Its row is complete in hermes' form, with the next priority and the provider's address."""
    write_store(home, {"openrouter": [a_key("aaa001", priority=7), a_key("bbb002", priority=2)]})
    done = operator(home).add_key("openrouter", NEW, label="mine")
    row = rows(home)[-1]
    assert row == a_key(
        str(done.credential_id),
        "mine",
        priority=8,
        access_token=NEW.reveal(),
        base_url="https://openrouter.ai/api/v1",
    )
    assert done.text == f"added mine to openrouter as {row['id']}"
    assert len(row["id"]) == 6
    assert int(row["id"], 16) >= 0


def test_the_first_key_of_a_home(home: Path) -> None:
    """It makes the home and the pool, and is called api-key-1."""
    done = operator(home).add_key("OR", NEW)
    (row,) = rows(home)
    assert (row["label"], row["priority"], row["source"], row["id"]) == (
        "api-key-1",
        0,
        "manual",
        done.credential_id,
    )
    assert load(home)["providers"] == {}
    assert load(home)["version"] == 1


def test_default_labels_avoid_those_that_are_taken(home: Path) -> None:
    """Numbers go on past a label that somebody used."""
    write_store(home, {"openrouter": [a_key("aaa001", "api-key-2")]})
    operator(home).add_key("openrouter", NEW)
    assert [row["label"] for row in rows(home)] == ["api-key-2", "api-key-3"]


def test_a_key_goes_where_the_providers_rows_are(home: Path) -> None:
    """Rows under an alias stay one pool for hermes too."""
    write_store(home, {"fw": [a_key("aaa001")]})
    operator(home).add_key("fireworks", NEW)
    assert [row["label"] for row in rows(home, "fw")] == ["key-aaa001", "api-key-2"]
    assert "fireworks" not in load(home)["credential_pool"]


def test_adding_lifts_the_suppressions_of_that_provider(home: Path) -> None:
    """Under every name it goes by, and of no other."""
    write_store(home, suppressed_sources={"fw": ["env:A"], "fireworks": ["env:B"], "zai": ["env:C"]})
    operator(home).add_key("fireworks", NEW)
    assert load(home)["suppressed_sources"] == {"zai": ["env:C"]}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "blank"),
        ("sk-…", "masked"),
        ("changeme", "placeholder"),
        ("sk a", "white space"),
        ("sk-\x1b[2J", "control"),
        ("${KEY}", "variable"),
    ],
)
def test_what_is_no_key_is_not_added(home: Path, value: str, reason: str) -> None:
    """Nothing is written, and the reason does not quote the value."""
    with pytest.raises(Refused, match=reason) as refused:
        operator(home).add_key("openrouter", Secret(value))
    assert not value or value not in str(refused.value)
    assert not home.exists()


@pytest.mark.parametrize(
    "label",
    ["", "   ", "x" * (LONGEST_LABEL + 1), "a\nb", "a\x1b[31m", "a\u202eb", "a\u200bb", "a\x00", "\ud800"],
)
def test_a_label_that_would_disturb_a_list_is_refused(home: Path, label: str) -> None:
    """FS-68: refused on input."""
    with pytest.raises(Refused, match="label"):
        operator(home).add_key("openrouter", NEW, label=label)
    assert not home.exists()


def test_labels_may_be_what_people_call_things() -> None:
    """Markup, accents and signs are text; blanks around them go."""
    for label in ("team-a@corp.example", "[/x] [bold]", "Schlüssel ✓", "鍵", "x" * LONGEST_LABEL):
        assert checked_label(f"  {label} ") == label


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "x",
        "https://",
        "https://user:pass@host/",
        "https://ho st/",
        "https://h/\x1b",
        "http://[::1",
        "javascript:1",
    ],
)
def test_an_address_that_is_none_is_refused(home: Path, url: str) -> None:
    """Only http and https to a host, without a password."""
    with pytest.raises(Refused, match="base URL"):
        operator(home).add_key("openrouter", NEW, base_url=url)


def test_an_address_of_ones_own(home: Path) -> None:
    """It is kept without its last slash."""
    operator(home).add_key("openrouter", NEW, base_url=" https://proxy.example/v1/ ")
    assert rows(home)[0]["base_url"] == "https://proxy.example/v1"


@pytest.mark.parametrize(
    "there",
    [
        {"access_token": NEW.reveal()},
        {"access_token": ..., "source": "env:OPENROUTER_API_KEY", "secret_fingerprint": NEW.fingerprint},
    ],
)
def test_a_key_that_is_there_already_is_refused(home: Path, there: dict[str, Any]) -> None:
    """By its value, or by the fingerprint of a borrowed row; the message names the row."""
    write_store(home, {"openrouter": [a_key("aaa001", "mine", **there)]})
    with pytest.raises(Refused, match=r"already there as mine \(aaa001\)"):
        operator(home).add_key("openrouter", NEW)
    assert len(rows(home)) == 1


def test_a_label_is_given_once_in_a_pool(home: Path) -> None:
    """Otherwise it could not name a row; case does not make it another."""
    write_store(home, {"openrouter": [a_key("aaa001", "Mine")], "zai": []})
    with pytest.raises(Refused, match="the label mine is taken by aaa001"):
        operator(home).add_key("openrouter", NEW, label="mine")
    operator(home).add_key("zai", NEW, label="mine")


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("openruter", "did you mean openrouter"),
        ("anthropc", "did you mean anthropic"),
        ("zzzzzz", ""),
        ("custom:", ""),
        ("", ""),
    ],
)
def test_an_unknown_provider_is_refused_with_the_nearest_name(home: Path, name: str, suggestion: str) -> None:
    """A typo does not make a pool that nobody reads."""
    with pytest.raises(Refused, match="unknown provider") as refused:
        operator(home).add_key(name, NEW)
    assert suggestion in str(refused.value)
    assert not home.exists()


def test_a_pool_that_is_in_the_file_is_known(home: Path) -> None:
    """Also one of a provider that no registry has."""
    write_store(home, {"tomorrow": keys("aaa001")})
    operator(home).add_key("tomorrow", NEW)
    assert len(rows(home, "tomorrow")) == 2


@pytest.mark.parametrize(
    "provider", ["nous", "openai-codex", "qwen-oauth", "minimax-oauth", "bedrock", "copilot-acp"]
)
def test_a_provider_that_takes_no_keys_says_what_to_do(home: Path, provider: str) -> None:
    """A key there would never be used."""
    with pytest.raises(Refused, match="takes no API keys"):
        operator(home).add_key(provider, NEW)


def test_custom_endpoints_take_keys_by_their_name(home: Path) -> None:
    """By display name or pool key, with the endpoint's address; an unknown one needs its address."""
    home.mkdir()
    (home / "config.yaml").write_text("custom_providers: [{name: My LLM, base_url: 'https://m/v1'}]\n")
    operator(home).add_key("my llm", NEW)
    assert rows(home, "custom:my-llm")[0]["base_url"] == "https://m/v1"
    with pytest.raises(Refused, match="needs a base URL"):
        operator(home).add_key("custom:other", NEW)
    operator(home).add_key("custom:other", NEW, base_url="https://o")
    assert rows(home, "custom:other")[0]["base_url"] == "https://o"


def test_a_broken_config_does_not_keep_keys_of_known_providers_out(home: Path) -> None:
    """They do not depend on it; a name that only config.yaml could explain is refused with its line."""
    write_store(home, {"tomorrow": keys("aaa001")})
    (home / "config.yaml").write_text("a: 1\nb: [}\n")
    for provider in ("openrouter", "tomorrow"):
        operator(home).add_key(provider, NEW)
    with pytest.raises(ConfigBroken, match="line 2"):
        operator(home).add_key("mine", NEW)


def test_ids_are_new_across_all_pools(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id that any row has is not given again."""
    write_store(home, {"zai": keys("aaaaaa"), "openrouter": keys("bbbbbb")})
    offers, real = iter(["aaaaaa", "bbbbbb", "cccccc"]), os.urandom

    def loaded(size: int) -> bytes:
        return bytes.fromhex(next(offers)) if size == 3 else real(size)

    monkeypatch.setattr("keydeck.engine.acts.os.urandom", loaded)
    assert operator(home).add_key("openrouter", NEW).credential_id == "cccccc"


ADD = """
import sys
from keydeck.engine import HomeReader, Secret, locate_home
from keydeck.engine.acts import Operator
home, tag = sys.argv[1:]
for n in range(5):
    Operator(HomeReader(locate_home(home))).add_key("openrouter", Secret(f"sk-{tag}-{n}-0123456789"))
"""


def test_concurrent_adds_lose_no_row(home: Path) -> None:
    """Threads with their own processes: every key is there, every id and priority once."""
    threads = [threading.Thread(target=in_another_process, args=(ADD, home, f"p{n}")) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    found = rows(home)
    assert len({row["access_token"] for row in found}) == 15
    assert len({row["id"] for row in found}) == 15
    assert sorted(row["priority"] for row in found) == list(range(15))
    assert len({row["label"] for row in found}) == 15


# --- removing ----------------------------------------------------------------------------------------------


def test_a_manual_row_is_removed_and_nothing_else(home: Path) -> None:
    """No suppression, no note."""
    write_store(home, {"openrouter": keys("aaa001", "bbb002")}, x_tool=1)
    done = operator(home).remove("openrouter", "aaa001")
    assert done == Done("removed key-aaa001 (aaa001) from openrouter", (), "aaa001")
    assert [row["id"] for row in rows(home)] == ["bbb002"]
    assert "suppressed_sources" not in load(home)
    assert load(home)["x_tool"] == 1


def test_a_row_that_is_gone_is_not_removed_twice(home: Path) -> None:
    """The second one is told."""
    write_store(home, {"openrouter": keys("aaa001")})
    operator(home).remove("openrouter", "aaa001")
    with pytest.raises(TargetError, match="aaa001"):
        operator(home).remove("openrouter", "aaa001")


def test_an_env_row_is_taken_out_of_the_file_and_kept_out(home: Path) -> None:
    """The variable leaves `.env`, after a copy; the source is suppressed; what is left is told."""
    write_store(home, {"openrouter": [a_key("aaa001", source="env:OPENROUTER_API_KEY", access_token=...)]})
    (home / ".env").write_text("# mine\nOPENROUTER_API_KEY=sk-env-0123456\nOTHER=1\n")
    (home / ".env").chmod(0o640)
    done = operator(home, OPENROUTER_API_KEY="sk-env-0123456").remove("openrouter", "aaa001")
    assert rows(home) == []
    assert load(home)["suppressed_sources"] == {"openrouter": ["env:OPENROUTER_API_KEY"]}
    assert (home / ".env").read_text() == "# mine\nOTHER=1\n"
    assert (home / ".env").stat().st_mode & 0o777 == 0o640
    text = " ".join(done.notes)
    assert "taken out of .env" in text
    assert "still set in the environment" in text
    assert "keydeck auth add openrouter" in text
    copies = {path.name.split("-")[0]: path for path in (home / "keydeck" / "backups").iterdir()}
    assert "sk-env-0123456" in copies[".env"].read_text()
    assert copies[".env"].stat().st_mode & 0o777 == 0o600


def test_an_offered_row_is_kept_out_though_it_was_never_stored(home: Path) -> None:
    """Removing an offer writes the suppression alone."""
    write_store(home, {"openrouter": keys("aaa001")})
    acts = operator(home, OPENROUTER_API_KEY="sk-env-0123456")
    offer = acts._pool("openrouter").rows[1]
    acts.remove("openrouter", offer.id)
    assert [row["id"] for row in rows(home)] == ["aaa001"]
    assert load(home)["suppressed_sources"] == {"openrouter": ["env:OPENROUTER_API_KEY"]}


SOURCES: dict[str, tuple[str, dict[str, Any], list[str], str]] = {
    "nous": ("nous", a_login("aaa001", source="device_code"), ["device_code"], "nous"),
    "codex": ("openai-codex", a_login("aaa001", source="device_code"), ["device_code"], "openai-codex"),
    "xai": ("xai-oauth", a_login("aaa001", source="device_code"), ["device_code"], "xai-oauth"),
    "minimax": ("minimax-oauth", a_login("aaa001", source="oauth"), ["oauth"], "minimax-oauth"),
    "claude code": ("anthropic", a_login("aaa001", source="claude_code"), ["claude_code"], ""),
    "qwen": ("qwen-oauth", a_login("aaa001", source="qwen-cli"), ["qwen-cli"], ""),
    "config": ("custom:m", a_key("aaa001", source="config:M"), ["config:M"], ""),
    "model": ("custom:m", a_key("aaa001", source="model_config"), ["model_config"], ""),
    "copilot": (
        "copilot",
        a_key("aaa001", source="env:GH_TOKEN"),
        ["gh_cli", "env:COPILOT_GITHUB_TOKEN", "env:GH_TOKEN", "env:GITHUB_TOKEN"],
        "",
    ),
}


@pytest.mark.parametrize(("provider", "row", "suppressed", "forgotten"), SOURCES.values(), ids=SOURCES)
def test_a_row_is_kept_out_as_its_source_demands(
    home: Path, provider: str, row: dict[str, Any], suppressed: list[str], forgotten: str
) -> None:
    """The side effects of hermes-pool 6.4: suppression, and the login block where the tokens lie there."""
    blocks = {
        "nous": {"access_token": "x"},
        "openai-codex": {"tokens": {}},
        "xai-oauth": {},
        "minimax-oauth": {},
    }
    write_store(home, {provider: [row]}, providers=blocks)
    done = operator(home).remove(provider, "aaa001")
    document = load(home)
    assert document["credential_pool"][provider] == []
    assert document["suppressed_sources"] == {provider: suppressed}
    assert set(blocks) - set(document["providers"]) == ({forgotten} if forgotten else set())
    assert any("stays out until" in note for note in done.notes)


def test_a_pkce_login_loses_its_file(home: Path) -> None:
    """After a copy, since the file is the login."""
    write_store(home, {"anthropic": [a_login("aaa001", source="hermes_pkce")]})
    (home / ".anthropic_oauth.json").write_text('{"accessToken": "t"}')
    done = operator(home).remove("anthropic", "aaa001")
    assert not (home / ".anthropic_oauth.json").exists()
    assert any(
        path.read_text() == '{"accessToken": "t"}' for path in (home / "keydeck" / "backups").iterdir()
    )
    assert load(home)["suppressed_sources"] == {"anthropic": ["hermes_pkce"]}
    assert any(".anthropic_oauth.json was removed" in note for note in done.notes)


@pytest.mark.parametrize("act", ["remove", "reset"])
def test_inherited_rows_are_not_acted_on(home: Path, act: str) -> None:
    """They are the root profile's; the message says how to reach them, and no file is made."""
    write_store(home, {"openrouter": [a_key("aaa001", **benched())]})
    (home / "profiles" / "worker").mkdir(parents=True)
    before = tree(home)
    with pytest.raises(Refused, match="--profile default"):
        getattr(operator(home, profile="worker"), act)("openrouter", "aaa001")
    with pytest.raises(Refused, match="--profile default"):
        operator(home, profile="worker").reset("openrouter")
    assert tree(home) == before


@pytest.mark.parametrize("act", ["remove", "reset"])
def test_a_row_that_cannot_be_read_is_not_acted_on(home: Path, act: str) -> None:
    """What it means is not known: its owner mends it by hand."""
    write_store(home, {"openrouter": [a_key("aaa001", priority="1")]})
    before = (home / "auth.json").read_bytes()
    with pytest.raises(Refused, match="priority"):
        getattr(operator(home), act)("openrouter", "aaa001")
    assert (home / "auth.json").read_bytes() == before


# --- resetting ---------------------------------------------------------------------------------------------


def test_one_row_is_reset_and_its_neighbours_are_not(home: Path) -> None:
    """All six fields of the one row, by its id; its count stays."""
    bench = benched(until=NOW + 999, last_error_reason="r", last_error_message="m")
    write_store(
        home,
        {"openrouter": [a_key(name, request_count=3, **bench) for name in ("aaa001", "bbb002", "ccc003")]},
    )
    done = operator(home).reset("openrouter", "bbb002")
    first, second, third = rows(home)
    assert {name: second[name] for name in STATUS_FIELDS} == dict.fromkeys(STATUS_FIELDS)
    assert second["request_count"] == 3
    assert first == a_key("aaa001", request_count=3, **bench)
    assert third == a_key("ccc003", request_count=3, **bench)
    assert done.text == "reset key-bbb002 (bbb002)"
    assert "does not give quota back" in done.notes[0]


def test_a_pool_is_reset_whole(home: Path) -> None:
    """Dead rows and rows marked ok included; what was clean is not counted."""
    write_store(
        home,
        {
            "openrouter": [
                a_key("aaa001", **benched()),
                a_key("bbb002", last_status="dead"),
                a_key("ccc003"),
                a_key("ddd004", last_status="ok"),
            ]
        },
    )
    assert operator(home).reset("openrouter").text == "reset 3 of openrouter"
    assert all(row[name] is None for row in rows(home) for name in STATUS_FIELDS)


@pytest.mark.parametrize("target", [None, "aaa001"])
def test_nothing_to_reset_writes_nothing(home: Path, target: str | None) -> None:
    """A clean row is left alone, and that is said."""
    path = write_store(home, {"openrouter": keys("aaa001")})
    before = path.stat()
    assert operator(home).reset("openrouter", target).text == "nothing to reset in openrouter"
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_a_row_that_was_removed_meanwhile_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between looking and acting another process removed it."""
    write_store(home, {"openrouter": [a_key("aaa001", **benched()), a_key("bbb002")]})
    acts = operator(home)
    found = acts._row("openrouter", "aaa001")
    write_store(home, {"openrouter": keys("bbb002")})
    monkeypatch.setattr(acts, "_row", lambda *_: found)
    with pytest.raises(TargetError, match="gone"):
        acts.reset("openrouter", "aaa001")
    with pytest.raises(TargetError, match="gone"):
        acts.remove("openrouter", "aaa001")
    assert [row["id"] for row in rows(home)] == ["bbb002"]


# --- strategy ----------------------------------------------------------------------------------------------


def test_a_strategy_is_set_after_a_copy_of_the_config(home: Path) -> None:
    """One value changes; the copy is the file of before; the answer is what a new read says."""
    home.mkdir()
    (home / "config.yaml").write_text("# mine\ncredential_pool_strategies:\n  openrouter: random  # why\n")
    assert operator(home).set_strategy("or", " Least_Used ").text == "openrouter now picks by least_used"
    assert (home / "config.yaml").read_text() == (
        "# mine\ncredential_pool_strategies:\n  openrouter: least_used  # why\n"
    )
    (copy,) = (home / "keydeck" / "backups").iterdir()
    assert "openrouter: random  # why" in copy.read_text()
    assert copy.stat().st_mode & 0o777 == 0o600
    assert "already" in operator(home).set_strategy("openrouter", "least_used").text
    assert len(list((home / "keydeck" / "backups").iterdir())) == 1


def test_the_key_under_which_hermes_looks_is_the_one_that_is_set(home: Path) -> None:
    """Where the rows lie under an alias, hermes asks for that alias."""
    write_store(home, {"fw": keys("aaa001")})
    operator(home).set_strategy("fireworks", "random")
    assert "fw: random" in (home / "config.yaml").read_text()
    pool = a_reader(home).read().pool("fireworks")
    assert pool is not None
    assert pool.strategy == "random"


def test_strategies_that_do_not_exist_are_refused(home: Path) -> None:
    """The message lists those that do."""
    with pytest.raises(Refused, match="fill_first, round_robin, least_used, random, sticky"):
        operator(home).set_strategy("openrouter", "quota_aware")
    assert not home.exists()


def test_sticky_says_what_hermes_makes_of_it(home: Path) -> None:
    """Hermes does not know it."""
    assert operator(home).set_strategy("openrouter", "sticky").notes == ("hermes reads sticky as fill_first",)


@pytest.mark.parametrize("how", ["marker", "variable"])
def test_a_managed_home_is_read_only_for_config(home: Path, how: str) -> None:
    """The file is not touched, and the dialog knows beforehand."""
    write_store(home)
    env: dict[str, Any] = {"HERMES_MANAGED": "1"} if how == "variable" else {}
    if how == "marker":
        (home / ".managed").write_text("")
    assert "package manager" in (operator(home, **env).strategy_obstacle() or "")
    with pytest.raises(ConfigReadOnly, match="package manager"):
        operator(home, **env).set_strategy("openrouter", "random")
    assert not (home / "config.yaml").exists()
    operator(home, **env).add_key("openrouter", NEW)


def test_a_folder_that_cannot_be_written_is_an_obstacle(home: Path) -> None:
    """Known before the dialog opens."""
    write_store(home)
    assert operator(home).strategy_obstacle() is None
    home.chmod(0o500)
    assert "not writable" in (without_powers(operator(home).strategy_obstacle) or "")
    with permissions_count(), pytest.raises(ConfigReadOnly):
        operator(home).set_strategy("openrouter", "random")
    home.chmod(0o700)


# --- troubles ----------------------------------------------------------------------------------------------

ACTS: dict[str, Any] = {
    "add": lambda acts: acts.add_key("openrouter", NEW),
    "remove": lambda acts: acts.remove("openrouter", "aaa001"),
    "reset": lambda acts: acts.reset("openrouter"),
    "reset one": lambda acts: acts.reset("openrouter", "aaa001"),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_no_act_writes_over_a_broken_store(home: Path, act: Any) -> None:
    """Whatever was asked, the file stays and the error says what is wrong with it."""
    path = write_store(home, {"openrouter": keys("aaa001")})
    path.write_bytes(path.read_bytes()[:-20])
    before = tree(home)
    with pytest.raises(StoreCorrupt):
        act(operator(home))
    assert {name: found for name, found in tree(home).items() if name != "auth.lock"} == before


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_no_act_leaves_anything_in_a_folder_it_cannot_write(home: Path, act: Any) -> None:
    """A read-only home says so and stays as it is."""
    write_store(home, {"openrouter": [a_key("aaa001", **benched())]})
    home.chmod(0o500)
    before = tree(home)
    with permissions_count(), pytest.raises(StoreReadOnly):
        act(operator(home))
    assert tree(home) == before
    home.chmod(0o700)


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
@pytest.mark.parametrize("call", ["write", "fsync", "replace", "mkdir"])
def test_an_act_that_fails_is_an_error_of_ours(home: Path, act: Any, call: str) -> None:
    """A full or failing disk never shows as a traceback, and the store is as it was."""
    path = write_store(home, {"openrouter": [a_key("aaa001", **benched())]})
    before = path.read_bytes()
    with pytest.raises(StoreError):
        act(operator(home, disk=FailingDisk(on={call})))
    assert path.read_bytes() == before


@pytest.mark.parametrize("what", ["folder", "unreadable", "no place for a copy"])
def test_an_env_row_whose_file_cannot_be_cleared_is_not_removed_halfway(home: Path, what: str) -> None:
    """A `.env` that cannot be read or copied is an error of ours, and the row stays: nothing half done."""
    write_store(home, {"openrouter": [a_key("aaa001", source="env:OPENROUTER_API_KEY", access_token=...)]})
    if what == "folder":
        (home / ".env").mkdir()
    else:
        (home / ".env").write_text("OPENROUTER_API_KEY=sk-env-0123456\n")
    if what == "unreadable":
        (home / ".env").chmod(0)
    if what == "no place for a copy":
        (home / "keydeck").write_text("a file where the backups go")
    before = load(home)
    with permissions_count(), pytest.raises(KeydeckError):
        operator(home).remove("openrouter", "aaa001")
    assert load(home) == before


def test_a_pkce_file_that_cannot_be_removed_is_an_error_of_ours(home: Path) -> None:
    """Not a traceback."""
    write_store(home, {"anthropic": [a_login("aaa001", source="hermes_pkce")]})
    (home / ".anthropic_oauth.json").write_text("{}")
    before = load(home)
    with pytest.raises(StoreError):
        operator(home, disk=FailingDisk(on={"unlink"})).remove("anthropic", "aaa001")
    assert load(home) == before
    assert os.path.exists(home / ".anthropic_oauth.json")
