from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes import NOW, a_key, a_reader, benched, keys, load, undo_of, write_store
from keydeck.engine.acts import Operator
from keydeck.engine.errors import Refused, TargetError


def pool(home: Path, provider: str = "openrouter") -> list[dict[str, object]]:
    rows: list[dict[str, object]] = load(home)["credential_pool"][provider]
    return rows


def order(home: Path, provider: str = "openrouter") -> list[object]:
    return [row["id"] for row in sorted(pool(home, provider), key=lambda row: float(str(row["priority"])))]


def test_a_rename_changes_the_label_and_nothing_else(home: Path) -> None:
    """Every other byte of meaning stays, and the undo gives the old name back."""
    write_store(
        home, {"openrouter": keys("aaa001", "aaa002"), "zai": [a_key("bbb001", note="x")]}, tool={"a": 1}
    )
    before = load(home)
    operator = Operator(a_reader(home))
    done = operator.edit("openrouter", "aaa001", label=" ci ")
    assert done.text == "renamed key-aaa001 to ci (aaa001)"
    after = load(home)
    assert after["credential_pool"]["openrouter"][0].pop("label") == "ci"
    assert before["credential_pool"]["openrouter"][0].pop("label") == "key-aaa001"
    assert {**after, "updated_at": None} == {**before, "updated_at": None}
    operator.undo(undo_of(done))
    assert pool(home)[0]["label"] == "key-aaa001"


@pytest.mark.parametrize("label", ["", "  ", "a\nb", "x" * 65, "a\u202eb", "KEY-aaa002"])
def test_labels_that_disturb_or_are_taken_are_refused(home: Path, label: str) -> None:
    """Blank, endless, hostile and taken labels change nothing (FS-68)."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    before = load(home)
    with pytest.raises(Refused):
        Operator(a_reader(home)).edit("openrouter", "aaa001", label=label)
    assert load(home) == before


def test_an_address_comes_from_its_source_where_there_is_one(home: Path) -> None:
    """A row from the environment refuses another base URL; a manual one takes it."""
    write_store(home, {"openrouter": [a_key("aaa001"), a_key("aaa002", source="env:X", access_token=...)]})
    operator = Operator(a_reader(home))
    with pytest.raises(Refused, match="env:X"):
        operator.edit("openrouter", "aaa002", base_url="https://example.org")
    operator.edit("openrouter", "aaa001", base_url="https://example.org/v1/")
    assert pool(home)[0]["base_url"] == "https://example.org/v1"


def test_an_offered_row_cannot_be_edited_or_moved(home: Path) -> None:
    """What is only offered is not stored by renaming or moving it."""
    reader = a_reader(home, OPENROUTER_API_KEY="sk-or-offered-key")
    row = reader.read().pools[0].rows[0]
    with pytest.raises(Refused, match="only offered"):
        Operator(reader).edit("openrouter", row.id, label="x")
    with pytest.raises(Refused, match="only offered"):
        Operator(reader).move("openrouter", row.id, 0)
    assert not home.exists()


def test_moves_renumber_only_what_moves_and_undo(home: Path) -> None:
    """First, up, down and last keep the others' order; the undo brings the row back to its place."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002", "aaa003", "aaa004")})
    operator = Operator(a_reader(home))
    done = operator.move("openrouter", "aaa003", 0)
    assert done.text == "moved key-aaa003 first (aaa003)"
    assert order(home) == ["aaa003", "aaa001", "aaa002", "aaa004"]
    operator.undo(undo_of(done))
    assert order(home) == ["aaa001", "aaa002", "aaa003", "aaa004"]
    operator.move("openrouter", "aaa001", lambda here, _: here + 1)
    assert order(home) == ["aaa002", "aaa001", "aaa003", "aaa004"]
    operator.move("openrouter", "aaa002", lambda _, last: last)
    assert order(home) == ["aaa001", "aaa003", "aaa004", "aaa002"]
    assert operator.move("openrouter", "aaa002", 99).text.endswith("stands there already")


def test_equal_priorities_become_an_order_when_one_moves(home: Path) -> None:
    """Rows that all had one priority are numbered, so that the move holds for hermes too."""
    write_store(
        home, {"openrouter": [a_key(row_id, priority=0) for row_id in ("aaa001", "aaa002", "aaa003")]}
    )
    Operator(a_reader(home)).move("openrouter", "aaa003", 1)
    assert order(home) == ["aaa001", "aaa003", "aaa002"]
    assert sorted(str(row["priority"]) for row in pool(home)) == ["0", "1", "2"]


def test_a_move_says_where_the_order_matters_little(home: Path) -> None:
    """Under least_used and random the operator is told that the order is not what decides."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    (home / "config.yaml").write_text("credential_pool_strategies: {openrouter: random}\n")
    done = Operator(a_reader(home)).move("openrouter", "aaa002", 0)
    assert done.notes == ("openrouter picks by random: the order matters little",)


def test_anthropics_own_sources_are_not_ours_to_order(home: Path) -> None:
    """Hermes renumbers them at every load, so that a move is refused instead of undone behind one's back."""
    rows = [a_key("aaa001"), a_key("aaa002", source="env:ANTHROPIC_API_KEY", access_token=..., priority=1)]
    write_store(home, {"anthropic": rows})
    with pytest.raises(Refused, match="hermes itself orders"):
        Operator(a_reader(home)).move("anthropic", "aaa002", 0)


def test_a_removed_key_comes_back_with_its_secret(home: Path) -> None:
    """The undo of a removal restores the row, unknown fields included."""
    write_store(
        home, {"openrouter": [*keys("aaa001", "aaa002"), a_key("aaa003", priority=2, secret_source="vault")]}
    )
    rows = {str(row["id"]): row for row in pool(home)}
    operator = Operator(a_reader(home))
    done = operator.remove("openrouter", "aaa003")
    assert undo_of(done).holds_secret
    assert "sk-test" not in repr(done) + str(done) + repr(done.undo)
    assert [row["id"] for row in pool(home)] == ["aaa001", "aaa002"]
    operator.undo(undo_of(done))
    assert {str(row["id"]): row for row in pool(home)} == rows


def test_a_removed_variable_comes_back_to_env_and_pool(home: Path) -> None:
    """The undo lifts just that suppression and puts the line back into .env."""
    write_store(
        home,
        {"openrouter": [a_key("aaa001", source="env:OPENROUTER_API_KEY", access_token=...)]},
        suppressed_sources={"openrouter": ["env:OTHER"]},
    )
    (home / ".env").write_text("A=1\nOPENROUTER_API_KEY='sk-or-of-the-file'\nB=2")
    operator = Operator(a_reader(home))
    done = operator.remove("openrouter", "aaa001")
    assert (home / ".env").read_text() == "A=1\nB=2"
    assert load(home)["suppressed_sources"] == {"openrouter": ["env:OTHER", "env:OPENROUTER_API_KEY"]}
    operator.undo(undo_of(done))
    assert (home / ".env").read_text() == "A=1\nB=2\nOPENROUTER_API_KEY='sk-or-of-the-file'\n"
    assert load(home)["suppressed_sources"] == {"openrouter": ["env:OTHER"]}
    assert a_reader(home).read().pools[0].at(NOW).usable


def test_a_removed_login_comes_back_with_its_block(home: Path) -> None:
    """The undo of a removed device login restores the store's own login block."""
    tokens = {
        "tokens": {"access_token": "at-demo-token", "refresh_token": "rt-demo-token"},
        "last_refresh": "x",
    }
    row = a_key("aaa001", source="device_code", auth_type="oauth", access_token="at-demo-token")
    write_store(home, {"openai-codex": [row]}, providers={"openai-codex": tokens})
    operator = Operator(a_reader(home))
    done = operator.remove("openai-codex", "aaa001")
    assert load(home)["providers"] == {}
    operator.undo(undo_of(done))
    assert load(home)["providers"] == {"openai-codex": tokens}
    assert pool(home, "openai-codex")[0]["access_token"] == "at-demo-token"
    assert "suppressed_sources" not in load(home) or load(home)["suppressed_sources"] == {}


def test_an_added_key_can_be_taken_back(home: Path) -> None:
    """The undo of an addition removes that very row."""
    from keydeck.engine.secret import Secret

    write_store(home, {"openrouter": keys("aaa001")})
    operator = Operator(a_reader(home))
    done = operator.add_key("openrouter", Secret("sk-new-0123456789"), label="new")
    operator.undo(undo_of(done))
    assert [row["id"] for row in pool(home)] == ["aaa001"]


def test_a_reset_can_be_undone_for_every_row_it_touched(home: Path) -> None:
    """The undo of a pool's reset gives each bench back as it was."""
    rows = [
        a_key("aaa001", **benched(429, until=NOW + 500, last_error_message="slow")),
        a_key("aaa002", last_status="dead", last_status_at=NOW - 9, last_error_code=401, priority=1),
        a_key("aaa003", priority=2),
    ]
    write_store(home, {"openrouter": rows})
    operator = Operator(a_reader(home))
    done = operator.reset("openrouter")
    assert done.text == "reset 2 of openrouter"
    operator.undo(undo_of(done))
    assert pool(home) == rows


def test_an_undo_refuses_what_somebody_else_changed(home: Path) -> None:
    """If the row no longer looks as we left it, nothing is undone and the reason names the row."""
    write_store(home, {"openrouter": keys("aaa001", "aaa002")})
    operator = Operator(a_reader(home))
    done = operator.edit("openrouter", "aaa001", label="mine")
    document = load(home)
    document["credential_pool"]["openrouter"][0]["label"] = "theirs"
    (home / "auth.json").write_text(json.dumps(document))
    with pytest.raises(Refused, match="theirs was changed meanwhile"):
        operator.undo(undo_of(done))
    assert pool(home)[0]["label"] == "theirs"
    document["credential_pool"]["openrouter"].pop(0)
    (home / "auth.json").write_text(json.dumps(document))
    with pytest.raises(TargetError, match="is gone"):
        operator.undo(undo_of(done))


def test_a_strategy_can_be_undone(home: Path) -> None:
    """The undo writes the strategy of before."""
    write_store(home, {"openrouter": keys("aaa001")})
    (home / "config.yaml").write_text("credential_pool_strategies: {openrouter: random}  # mine\n")
    operator = Operator(a_reader(home))
    done = operator.set_strategy("openrouter", "least_used")
    operator.undo(undo_of(done))
    assert (home / "config.yaml").read_text() == "credential_pool_strategies: {openrouter: random}  # mine\n"
    assert operator.set_strategy("openrouter", "random").undo is None
