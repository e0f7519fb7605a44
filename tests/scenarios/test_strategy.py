"""A strategy set by the operator is the one that is followed (demand 2.4)."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import pytest

from fakes import a_pool, a_reader, keys, tree, write_store
from keydeck.engine.acts import Operator
from keydeck.engine.pool import CredentialPool

CONFIG = """\
# the house rules
model: {default: &m "claude", provider: 'openrouter'}   # odd spacing on purpose
credential_pool_strategies:
    zai: least_used      # ours
    openrouter: fill_first   # until the new keys come
note: >-
  folded
  text
custom_providers:
- name: *m
"""


def follows(pool: CredentialPool, strategy: str) -> bool:
    """Select until the pool knows the strategy: other files than the store are looked at every 50 ms at most."""
    deadline = monotonic() + 5
    while monotonic() < deadline:
        assert pool.select() is not None
        if pool.strategy == strategy:
            return True
    return False


class TestFS39StrategyChanged:
    """A running engine follows what the operator picks, and the file stays the operator's."""

    def test_fs_39_the_file_keeps_every_other_byte(self, home: Path) -> None:
        """Comments, anchors, folded text and spacing stay; one word changes."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002")})
        (home / "config.yaml").write_text(CONFIG)
        Operator(a_reader(home)).set_strategy("openrouter", "round_robin")
        assert (home / "config.yaml").read_text() == CONFIG.replace(
            "openrouter: fill_first", "openrouter: round_robin"
        )

    def test_fs_39_the_next_selection_of_a_running_pool_follows(self, home: Path) -> None:
        """A pool opened under fill_first picks at random once the operator says so, and back again."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002", "ccc003")})
        (home / "config.yaml").write_text(CONFIG)
        pool = a_pool(home)
        assert {row.id for _ in range(50) if (row := pool.select())} == {"aaa001"}
        Operator(a_reader(home)).set_strategy("openrouter", "random")
        assert follows(pool, "random")
        assert {row.id for _ in range(200) if (row := pool.select())} == {"aaa001", "bbb002", "ccc003"}
        Operator(a_reader(home)).set_strategy("openrouter", "fill_first")
        assert follows(pool, "fill_first")
        assert {row.id for _ in range(50) if (row := pool.select())} == {"aaa001"}

    @pytest.mark.parametrize("strategy", ["round_robin", "least_used", "sticky"])
    def test_fs_39_a_strategy_that_waits_for_exact_counts_still_selects(
        self, home: Path, strategy: str
    ) -> None:
        """It is shown as set, and every pick gets a usable row meanwhile."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002")})
        pool = a_pool(home)
        Operator(a_reader(home)).set_strategy("openrouter", strategy)
        assert follows(pool, strategy)

    def test_fs_39_an_unknown_strategy_is_shown_and_not_overwritten(self, home: Path) -> None:
        """Opening, selecting, marking and setting another pool's strategy leave the unknown word where it is."""
        write_store(home, {"openrouter": keys("aaa001", "bbb002"), "zai": keys("ccc003")})
        (home / "config.yaml").write_text(CONFIG.replace("fill_first", "quota_aware"))
        before = tree(home)
        pool = a_pool(home)
        assert pool.strategy == "quota_aware"
        chosen = pool.select()
        assert chosen is not None
        assert chosen.id == "aaa001"
        assert tree(home) == before
        pool.mark_exhausted_and_rotate(status_code=429)
        Operator(a_reader(home)).set_strategy("zai", "random")
        text = (home / "config.yaml").read_text()
        assert text == CONFIG.replace("fill_first", "quota_aware").replace("zai: least_used", "zai: random")
        assert pool.strategy == "quota_aware"
