"""The real hermes drops a dead key after a day, while it only lists: ours says so until somebody dismisses it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes import a_key, load, write_store
from interop.conftest import Another
from interop.hermes import Keydeck
from interop.scenes import a_reader_of
from keydeck.engine.pool import CredentialPool

pytestmark = pytest.mark.interop

POOL = "openrouter"
DAY = 86400.0


def test_what_hermes_drops_is_remembered(another: Another, home: Path, user: Path) -> None:
    """Revoked keys that were typed in are gone from auth.json a day later; the list has one line for each."""
    write_store(home, {POOL: [a_key("aaa001", "old-login"), a_key("aaa002", priority=1)]})
    with CredentialPool(POOL, a_reader_of(home)) as pool:
        pool.select()
        pool.mark_exhausted_and_rotate(status_code=401, error_context={"reason": "token_revoked"})
    hermes = another()
    hermes.ask("clock", now=a_reader_of(home).clock() + DAY + 60)
    hermes.ask("load", provider=POOL)
    assert hermes.ask("select", name=POOL) == ["aaa002"]
    assert [row["id"] for row in load(home)["credential_pool"][POOL]] == ["aaa002"]
    keydeck = Keydeck(home, user)
    rows = keydeck.listing()[POOL]["credentials"]
    gone = next(row for row in rows if row["id"] == "aaa001")
    assert (gone["label"], gone["health"], gone["until"]) == ("old-login", "needs_login", None)
    with CredentialPool(POOL, a_reader_of(home)) as pool:
        chosen = pool.select()
        assert chosen is not None
        assert chosen.id == "aaa002"
    assert "log in again" in keydeck.run("auth", "list", POOL)
    keydeck.run("auth", "remove", POOL, "old-login")
    assert [row["id"] for row in keydeck.listing()[POOL]["credentials"]] == ["aaa002"]
