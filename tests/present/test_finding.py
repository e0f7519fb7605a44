"""The filter language (ux 2.4): what fits, what is no filter, and that nothing typed does any harm."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from keydeck.engine.state import HealthKind
from keydeck.present.finding import STATE_NAMES, BadQuery, Query, parse_query
from keydeck.present.rows import KeyRow


def a_row(row_id: str, label: str, kind: HealthKind = HealthKind.READY, **fields: object) -> KeyRow:
    texts = {"type": "key", "source": "manual", "requests": "0", "word": kind.value, "detail": ""}
    return KeyRow(row_id, kind, label, is_next=False, **{**texts, **fields})  # type: ignore[arg-type]


ROWS = (
    ("anthropic", a_row("9c01d2", "team-a@corp.com", type="oauth", source="claude_code")),
    ("anthropic", a_row("3f9a1c", "ANTHROPIC_API_KEY", HealthKind.COOLING, source="env", code=429)),
    ("anthropic", a_row("0d51aa", "old laptop", HealthKind.NEEDS_LOGIN, type="oauth", code=401)),
    ("openrouter", a_row("4411aa", "spare")),
    ("openrouter", a_row("51d0b7", "OLD_KEY", HealthKind.NO_SECRET, source="env")),
    ("custom:together.ai", a_row("81ab04", "together", HealthKind.COOLING, source="config", code=402)),
    ("custom:together.ai", a_row("81ab05", "half-written", HealthKind.BAD_ROW, type="", source="")),
    ("nous", a_row("aa0001", "away", HealthKind.PAUSED)),
    ("nous", a_row("aa0002", "trying", HealthKind.PROBING)),
)
LABELS = {row.label for _, row in ROWS}


def found(text: str) -> set[str]:
    query = parse_query(text)
    return {row.label for provider, row in ROWS if query.fits(provider, row)}


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("", LABELS),
        ("   ", LABELS),
        ("team", {"team-a@corp.com"}),
        ("TEAM-A", {"team-a@corp.com"}),
        ("4411", {"spare"}),
        ("claude", {"team-a@corp.com"}),
        ("openrouter", {"spare", "OLD_KEY"}),
        ("oauth", {"team-a@corp.com", "old laptop"}),
        ("old", {"old laptop", "OLD_KEY"}),
        ("old laptop", {"old laptop"}),
        ('"old laptop"', {"old laptop"}),
        ('"old  laptop"', set()),
        ("pool:anthropic", {"team-a@corp.com", "ANTHROPIC_API_KEY", "old laptop"}),
        ("pool:ANTHRO,open", {"team-a@corp.com", "ANTHROPIC_API_KEY", "old laptop", "spare", "OLD_KEY"}),
        ("state:cool", {"ANTHROPIC_API_KEY", "together"}),
        ("state:cool,dead", {"ANTHROPIC_API_KEY", "together", "old laptop"}),
        ("state:ready", {"team-a@corp.com", "spare"}),
        ("state:unset", {"OLD_KEY"}),
        ("state:bad", {"half-written"}),
        ("state:paused", {"away"}),
        ("state:probing", {"trying"}),
        ("code:429", {"ANTHROPIC_API_KEY"}),
        ("code:401,402", {"old laptop", "together"}),
        ("code:42", set()),
        ("type:oa", {"team-a@corp.com", "old laptop"}),
        ("source:env", {"ANTHROPIC_API_KEY", "OLD_KEY"}),
        ("pool:anthropic state:cool", {"ANTHROPIC_API_KEY"}),
        ("!state:ready pool:openrouter", {"OLD_KEY"}),
        ("!old !oauth !state:cool !pool:nous !half", {"spare"}),
        ("Pool:nous STATE:Paused", {"away"}),
        ("custom:together.ai", {"together", "half-written"}),
        ("!", set()),
    ],
)
def test_what_fits(text: str, labels: set[str]) -> None:
    """Words look at label, id, source, type and provider; fields at theirs; all terms have to fit."""
    assert found(text) == labels


@pytest.mark.parametrize("name", STATE_NAMES)
def test_every_state_has_its_name(name: str) -> None:
    """Each of the names that an error lists finds rows of one state, and only of that."""
    query = parse_query(f"state:{name}")
    assert len({row.kind for provider, row in ROWS if query.fits(provider, row)}) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('"old', "quote is not closed"),
        ("o'brien", "quote is not closed"),
        ("x\\", "quote is not closed"),
        ("state:", "state: needs a value"),
        ("!code:,", "code: needs a value"),
        ("state:wrong", "no state wrong: ready probing cooling"),
        ("state:cool,wrong", "no state wrong"),
        ("code:4xx", "code: takes numbers"),
        ("team pool:", "pool: needs a value"),
    ],
)
def test_what_is_no_filter_says_why(text: str, why: str) -> None:
    """A half-typed term is an error with a reason and never a filter that hides everything."""
    with pytest.raises(BadQuery, match=why):
        parse_query(text)


_PIECES = st.sampled_from(
    (
        "state:",
        "pool:",
        "code:",
        "!",
        '"',
        "'",
        "\\",
        ",",
        ":",
        " ",
        "cool",
        "429",
        "old",
        "\x1b[31m",
        "\ud800",
    )
)
_TYPED = st.text() | st.lists(_PIECES, max_size=6).map("".join)


@given(_TYPED)
def test_nothing_typed_raises_anything_else(text: str) -> None:
    """Whatever is typed is a filter or a BadQuery, and a filter answers for every row."""
    try:
        query = parse_query(text)
    except BadQuery:
        pass
    else:
        assert all(query.fits(provider, row) in (True, False) for provider, row in ROWS)
        assert bool(query.terms) or found(text) == LABELS


_TERMS = st.sampled_from(
    ("old", "state:cool", "state:ready,dead", "pool:anthropic", "code:429,402", "type:oauth", "source:env")
) | st.from_regex(r"[a-z0-9_.@-]{1,6}", fullmatch=True)


@given(_TERMS)
def test_a_term_and_its_inverse_share_the_rows_out(term: str) -> None:
    """What a term finds and what the same term behind ``!`` finds are all rows, none of them twice."""
    plain, inverted = found(term), found(f"!{term}")
    assert plain | inverted == LABELS
    assert not plain & inverted


@given(st.lists(_TERMS, min_size=1, max_size=4))
def test_more_terms_never_find_more(terms: list[str]) -> None:
    """Each further term narrows: what all find together is what each of them finds."""
    together = found(" ".join(terms))
    assert together == set.intersection(*(found(term) for term in terms))


@given(_TYPED)
def test_a_filter_keeps_its_text(text: str) -> None:
    """What the bar shows is what was typed, without the blanks around it."""
    try:
        query = parse_query(text)
    except BadQuery:
        assume(False)
    else:
        assert query.text == text.strip()
        assert query == Query(text.strip(), query.terms)
