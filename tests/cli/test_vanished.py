from __future__ import annotations

import json

from cli.program import Run
from fakes import NOW, a_key, benched, load_whole, write_store

GONE = "removed by hermes after 24 h, log in again"


def test_a_dead_key_that_hermes_dropped_is_listed_until_it_is_dismissed(run: Run) -> None:
    """As text and as JSON; ``auth remove`` dismisses it without a question, and events tell when it went."""
    fields = {**benched(401, ago=90_000, last_error_message="it was revoked"), "last_status": "dead"}
    write_store(run.home, {"zai": [a_key("aaa001", **fields), a_key("aaa002", priority=1)]})
    run.done("auth", "rename", "zai", "aaa001", "old-login")
    document = load_whole(run.home)
    del document["credential_pool"]["zai"][0]
    (run.home / "auth.json").write_text(json.dumps(document))
    *_, row = json.loads(run.done("auth", "list", "--json"))["pools"][0]["credentials"]
    assert (row["label"], row["health"], row["reason"], row["until"]) == (
        "old-login",
        "needs_login",
        GONE,
        None,
    )
    assert (row["status_code"], row["message"], row["vanished_at"]) == (401, "it was revoked", NOW)
    assert f"log in again, since Sat 13:02: {GONE}" in run.done("auth", "list")
    assert "removed by hermes" in run.refused("auth", "reset", "zai", "old-login")
    said = run.done("auth", "remove", "zai", "old-login")
    assert said == "dismissed old-login (aaa001): zai has it no more\n"
    assert GONE not in run.done("auth", "list")
    assert "zai / old-login" in run.done("auth", "events")
    assert "changed outside: removed" in run.done("auth", "events")
