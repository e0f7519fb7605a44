from __future__ import annotations

from pathlib import Path

import pytest

from fakes import NOW, a_key, a_reader, benched, keys, write_store
from keydeck.engine.lookout import Lookout
from keydeck.present.glyphs import ASCII, UNICODE
from keydeck.present.panes import PaneView, PaneWriter, pane_views
from keydeck.present.rows import Context


@pytest.fixture
def lookout(home: Path) -> Lookout:
    store(home)
    return Lookout(a_reader(home))


def store(home: Path, *, label: str | None = None, alone: bool = True) -> None:
    out = a_key("ccc001", **benched(429, until=NOW + 100))
    spare = [a_key("bbb001", label, **({} if alone else benched(429, until=NOW + 900)))]
    write_store(home, {"openrouter": keys("aaa001"), "deepseek": spare, "zai": [out]})
    (home / "config.yaml").write_text(
        "fallback_model: {provider: deepseek, model: x}\nfallback_providers: [{provider: deepseek, model: x}]\n"
    )


def by_name(views: tuple[PaneView, ...]) -> dict[str, PaneView]:
    return {view.provider: view for view in views}


def test_what_did_not_change_is_written_once(lookout: Lookout, home: Path) -> None:
    """The pane of a pool in which nothing changed is the same object; the others say what is new."""
    writer = PaneWriter()
    context = Context(UNICODE, lookout.look().scrubber)
    before = by_name(writer.views(lookout.look(), NOW, context))
    store(home, label="renamed")
    snapshot = lookout.look()
    after = by_name(writer.views(snapshot, NOW + 1, context))
    assert after["openrouter"] is before["openrouter"]
    assert after["deepseek"].rows[0].label == "renamed"


@pytest.mark.parametrize("after_s", [0.0, 1.0, 99.0, 100.0, 5000.0, -60.0])
def test_what_is_kept_is_what_would_be_written(lookout: Lookout, after_s: float) -> None:
    """Benches that end, a clock that was set back, and pools that step in for others are told as they stand."""
    writer, snapshot = PaneWriter(), lookout.look()
    context = Context(UNICODE, snapshot.scrubber)
    writer.views(snapshot, NOW, context)
    again = writer.views(snapshot, NOW + after_s, context)
    fresh = pane_views(snapshot, NOW + after_s, context)
    for kept, written in zip(again, fresh, strict=True):
        assert (kept.rows, kept.ready, kept.back_at, kept.falls_to) == (
            written.rows,
            written.ready,
            written.back_at,
            written.falls_to,
        )


def test_who_steps_in_is_looked_up_each_time(lookout: Lookout, home: Path) -> None:
    """The pool without a ready key did not change, but the one that served for it is out too now."""
    writer = PaneWriter()
    context = Context(UNICODE, lookout.look().scrubber)
    assert by_name(writer.views(lookout.look(), NOW, context))["zai"].falls_to == "deepseek"
    store(home, alone=False)
    assert by_name(writer.views(lookout.look(), NOW, context))["zai"].falls_to == ""


def test_other_signs_are_written_anew(lookout: Lookout) -> None:
    """Masking or another set of signs makes other panes of the same pools."""
    writer, snapshot = PaneWriter(), lookout.look()
    before = writer.views(snapshot, NOW, Context(UNICODE, snapshot.scrubber))
    masked = writer.views(snapshot, NOW, Context(ASCII, snapshot.scrubber, masked=True))
    assert before[0].rows[0].label != masked[0].rows[0].label
