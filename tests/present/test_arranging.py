"""What is shown and in what order: nothing is lost but what was asked away, and counts stay the pool's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import NOW, a_key, a_reader, benched, keys, write_store
from keydeck.engine.state import HealthKind
from keydeck.present.arranging import OWN_ORDER, SORTS, Arrangement, arranged, matches
from keydeck.present.finding import parse_query
from keydeck.present.glyphs import UNICODE
from keydeck.present.panes import PaneView, pane_views, title
from keydeck.present.rows import Context, KeyRow
from keydeck.present.spans import plain

_KINDS = st.sampled_from(tuple(HealthKind))


@st.composite
def _panes(draw: st.DrawFn) -> tuple[PaneView, ...]:
    """Return one to four pools with rows of any state, label, count and end."""
    views = []
    for number in range(draw(st.integers(1, 4))):
        rows = tuple(
            KeyRow(
                id=f"id{number}{place}",
                kind=draw(_KINDS),
                label=draw(st.text(max_size=4)),
                type="key",
                source="manual",
                requests="",
                word="",
                detail="",
                is_next=False,
                until=draw(st.none() | st.floats(0, 1e9)),
                uses=draw(st.integers(0, 9)),
            )
            for place in range(draw(st.integers(0, 5)))
        )
        ready = sum(row.kind in (HealthKind.READY, HealthKind.PROBING) for row in rows)
        name, kinds = f"pool{number}", tuple(row.kind for row in rows)
        views.append(PaneView(name, name, "fill_first", rows, ready, None, "", "", None, kinds))
    return tuple(views)


_WISHES = st.builds(
    Arrangement,
    query=st.sampled_from(("", "pool1", "state:ready", "!state:cool", "a")).map(parse_query),
    only_problems=st.booleans(),
    sort=st.sampled_from(SORTS),
    reverse=st.booleans(),
    folded=st.frozensets(st.sampled_from(("pool0", "pool1", "pool2"))),
    zoomed=st.sampled_from((None, "pool0", "pool1")),
)


@given(_panes(), _WISHES)
def test_rows_are_only_hidden_or_moved(views: tuple[PaneView, ...], wish: Arrangement) -> None:
    """Every pane and row shown is one of the store's, once, in its own pool; the totals stay the pool's."""
    shown = arranged(views, wish)
    by_name = {view.provider: view for view in views}
    assert len({view.provider for view in shown}) == len(shown)
    for view in shown:
        whole = by_name[view.provider]
        assert set(view.rows) <= set(whole.rows)
        assert len(set(view.rows)) == len(view.rows)
        assert (view.ready, view.total, view.kinds) == (whole.ready, whole.total, whole.kinds)
        assert all(wish.query.fits(view.provider, row) for row in view.rows)
    assert matches(shown) == sum(len(view.rows) for view in shown)


@given(_panes(), _WISHES)
def test_what_is_hidden_was_asked_away(views: tuple[PaneView, ...], wish: Arrangement) -> None:
    """A row is missing only for the filter, the fold, the zoom or the problems view; a count in the title says so."""
    shown = {view.provider: view for view in arranged(views, wish)}
    for view in views:
        if view.provider not in shown:
            zoomed_out = wish.zoomed is not None and view.provider != wish.zoomed
            assert zoomed_out or (wish.only_problems and not view.has_trouble)
            continue
        there = shown[view.provider]
        if there.folded:
            assert view.provider in wish.folded
            assert not there.rows
            assert not wish.query.terms
            continue
        assert set(there.rows) == {row for row in view.rows if wish.query.fits(view.provider, row)}
        hidden = len(view.rows) - len(there.rows)
        said = plain(title(there, NOW, UNICODE))
        assert (f"  {hidden} hidden" in said) is bool(hidden)


@given(_panes())
def test_reverse_is_the_mirror(views: tuple[PaneView, ...]) -> None:
    """The other way round is exactly that, in every order."""
    for sort in SORTS:
        forth = arranged(views, Arrangement(sort=sort))
        back = arranged(views, Arrangement(sort=sort, reverse=True))
        assert [view.rows for view in back] == [view.rows[::-1] for view in forth]


@given(_panes())
def test_no_wish_changes_nothing(views: tuple[PaneView, ...]) -> None:
    """By default panes and rows stand as the engine has them: that order is information."""
    assert arranged(views, Arrangement()) == views


def test_the_sorts_go_round_and_forget_the_direction() -> None:
    """Each press takes the next column, forwards; after the last comes the pool's own order again."""
    wish = Arrangement(reverse=True)
    seen = []
    for _ in SORTS:
        wish = replace(wish, reverse=True).next_sort()
        seen.append(wish.sort)
        assert not wish.reverse
    assert seen == [*SORTS[1:], OWN_ORDER]


@pytest.fixture
def views(home: Path) -> tuple[PaneView, ...]:
    rows = [
        a_key("aaa001", "delta", request_count=5),
        a_key("aaa002", "Bravo", priority=1, request_count=9, **benched(429, until=NOW + 900)),
        a_key("aaa003", "alpha", priority=2, last_status="dead", last_status_at=NOW - 9),
        a_key("aaa004", "charlie", priority=3, request_count=7, **benched(402, until=NOW + 60)),
        a_key("aaa005", "half", priority="x"),
        a_key("aaa006", "unset", priority=5, source="env:UNSET_KEY", access_token=...),
    ]
    write_store(home, {"openrouter": rows, "zai": keys("bbb001")})
    snapshot = a_reader(home).read()
    return pane_views(snapshot, NOW, Context(UNICODE, snapshot.scrubber))


@pytest.mark.parametrize(
    ("sort", "labels"),
    [
        ("state", ["half", "alpha", "unset", "Bravo", "charlie", "delta"]),
        ("name", ["alpha", "Bravo", "charlie", "delta", "half", "unset"]),
        ("requests", ["Bravo", "charlie", "delta"]),
        ("time left", ["charlie", "Bravo"]),
    ],
)
def test_what_comes_first(views: tuple[PaneView, ...], sort: str, labels: list[str]) -> None:
    """Worst state, name without regard to case, most requests, soonest end; equals keep their order."""
    shown = [row.label for row in arranged(views, Arrangement(sort=sort))[0].rows]
    assert shown[: len(labels)] == labels
    own = [row.label for row in views[0].rows]
    assert [label for label in shown if label not in labels] == [
        label for label in own if label not in labels
    ]


def test_a_filter_opens_what_is_folded(views: tuple[PaneView, ...]) -> None:
    """Matches are shown in folded pools too; a zoomed pool is never folded."""
    folded = Arrangement(folded=frozenset({"openrouter", "zai"}))
    assert matches(arranged(views, folded)) == 0
    assert matches(arranged(views, replace(folded, query=parse_query("alpha")))) == 1
    assert matches(arranged(views, replace(folded, zoomed="openrouter"))) == 6


def test_a_pool_without_a_match_keeps_its_headline(views: tuple[PaneView, ...]) -> None:
    """Nothing that matches hides the pool itself: its headline says how much is hidden."""
    shown = arranged(views, Arrangement(query=parse_query("nothing-like-this")))
    assert [view.provider for view in shown] == ["openrouter", "zai"]
    assert "openrouter  1/6 ready until " in plain(title(shown[0], NOW, UNICODE))
    assert plain(title(shown[0], NOW, UNICODE)).endswith("  6 hidden")


def test_only_pools_with_trouble(views: tuple[PaneView, ...]) -> None:
    """A pool whose keys are all ready is left out of the problems view, whole."""
    assert [view.provider for view in arranged(views, Arrangement(only_problems=True))] == ["openrouter"]
