from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from keydeck.engine.redact import Scrubber
from keydeck.engine.secret import Secret

KEY_TEXT = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=6, max_size=40)


@given(st.lists(KEY_TEXT, min_size=1, max_size=5), st.data())
def test_no_known_secret_survives_in_any_text(secrets: list[str], data: st.DataObject) -> None:
    """Wherever and however often known secrets stand in a text, none of them is left."""
    pieces = st.one_of(st.text(max_size=20), st.sampled_from(secrets))
    text = "".join(data.draw(st.lists(pieces, max_size=12)))
    scrubber = Scrubber(map(Secret, secrets))
    for scrubbed in (scrubber.scrub(text), scrubber.scrub_known(text)):
        for secret in secrets:
            assert secret not in scrubbed


@given(KEY_TEXT, st.integers(0, 50))
def test_a_secret_inside_a_longer_secret_is_removed_with_it(secret: str, tail: int) -> None:
    """Where one secret is the head of another, nothing of the longer one is left over."""
    longer = secret + "Zq9" * (tail % 5 + 1)
    assume("*" not in longer)
    scrubbed = Scrubber([Secret(secret), Secret(longer)]).scrub_known(f"<{longer}>")
    assert scrubbed == "<***>"


@given(st.text(max_size=60))
def test_without_secrets_known_scrubbing_changes_nothing(text: str) -> None:
    """A scrubber that knows nothing leaves labels alone."""
    assert Scrubber().scrub_known(text) == text


def test_short_values_do_not_cut_words_out_of_messages() -> None:
    """A key of five characters or fewer is not searched for: it would be found in ordinary words."""
    assert Scrubber([Secret("model")]).scrub("the model is busy") == "the model is busy"
    assert Scrubber([Secret("models")]).scrub("the models are busy") == "the *** are busy"


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("Authorization: Bearer abcdef123456", "abcdef123456"),
        ("bearer   abcdef123456 was refused", "abcdef123456"),
        ("Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("GET https://host/v1?key=AIzaSyExample123&x=1", "AIzaSyExample123"),
        ("https://host/v1?access_token=abcdef123", "abcdef123"),
        ("https://user:hunter22@host/", "hunter22"),
        ("api_key=abcdef123456", "abcdef123456"),
        ('{"api-key": "abcdef123456"}', "abcdef123456"),
        ("password: hunter2222", "hunter2222"),
        ("Incorrect API key provided: sk-proj-abcdefghijkl", "sk-proj-abcdefghijkl"),
        ("key gsk_abcdefghijkl0123 refused", "gsk_abcdefghijkl0123"),
        ("token ghp_abcdefghijklmnop0123", "ghp_abcdefghijklmnop0123"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF", "eyJzdWIiOiIxMjM0In0"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, gone: str) -> None:
    """Keys, bearer headers, query strings and passwords go even when nobody knows them."""
    assert gone in text
    scrubbed = Scrubber().scrub(text)
    assert gone not in scrubbed
    assert "***" in scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "Rate limit reached, retry after 30 seconds",
        "model claude-sonnet-4 is overloaded",
        "You exceeded your current quota, please check your plan",
        "insufficient_quota",
        "https://openrouter.ai/api/v1",
        "request id req_7f3a",
    ],
)
def test_ordinary_sentences_stay_as_they_are(text: str) -> None:
    """A provider's sentence without a secret is shown word for word."""
    assert Scrubber([Secret("sk-something-else")]).scrub(text) == text


def test_a_scrubber_does_not_show_what_it_knows() -> None:
    """Its repr holds none of its secrets, before and after it was used."""
    scrubber = Scrubber([Secret("sk-planted-111111")])
    before = repr(scrubber)
    assert scrubber.scrub("sk-planted-111111") == "***"
    assert "planted" not in before + repr(scrubber)


def test_secrets_with_line_ends_hide_none_of_the_others() -> None:
    """Their letters and digits are found as those of any other."""
    values = ["sk-first-\n0123456789", "\n", "line\nend\nline\nend\nline", "sk-last-98765432109"]
    scrubber = Scrubber(map(Secret, values))
    for value in (values[0], values[2], values[3]):
        assert scrubber.scrub(f"no {value}!") == "no ***!"
        assert scrubber.scrub(f"no {value.replace(chr(10), '')}!") == "no ***!"
