"""What the demo's provider answers."""

from __future__ import annotations

from fakes import NOW
from keydeck.demo.provider import REVOKED, REVOKED_AFTER, SHORTEST_WAIT_S, WINDOW_S, Answer, Provider


def answers(provider: Provider, pool: str, key: str, number: int, *, now: float = NOW) -> list[Answer]:
    return [provider.answer(pool, key, now) for _ in range(number)]


def test_a_key_that_is_used_too_often_waits_for_the_next_minute() -> None:
    """After some requests within a minute the answer is 429 with a time within a minute; then it serves again."""
    provider = Provider(3)
    told = answers(provider, "openrouter", "4411a9", 60)
    assert told[0].is_good
    refused = next(answer for answer in told if not answer.is_good)
    assert refused.status == 429
    assert refused.reset_at is not None
    assert NOW + SHORTEST_WAIT_S <= refused.reset_at <= NOW + WINDOW_S
    assert provider.answer("openrouter", "4411a9", refused.reset_at + 0.001).is_good


def test_each_key_has_a_limit_of_its_own() -> None:
    """A key that is refused does not spoil another."""
    provider = Provider(3)
    answers(provider, "openrouter", "4411a9", 60)
    assert provider.answer("openrouter", "4411aa", NOW).is_good


def test_the_revoked_key_is_refused_once() -> None:
    """burst-key is revoked at a certain request; who resets it has another key then."""
    provider = Provider(3)
    told = [
        provider.answer("anthropic", REVOKED, NOW + turn * WINDOW_S).status
        for turn in range(REVOKED_AFTER + 5)
    ]
    assert told == [200] * (REVOKED_AFTER - 1) + [401] + [200] * 5


def test_credit_runs_out_now_and_then_and_is_topped_up() -> None:
    """An endpoint of one's own answers 402 to a few requests in a hundred, with a time to come back at."""
    provider = Provider(3)
    told = [provider.answer("custom:together.ai", "81ab02", NOW + turn * WINDOW_S) for turn in range(600)]
    unpaid = [(turn, answer) for turn, answer in enumerate(told) if answer.status == 402]
    assert 2 <= len(unpaid) <= 40
    for turn, answer in unpaid:
        assert answer.reset_at is not None
        assert answer.reset_at > NOW + turn * WINDOW_S


def test_the_same_seed_answers_the_same() -> None:
    """Two providers of one seed agree; one of another seed does not."""
    first, same, other = (answers(Provider(seed), "custom:x", "k", 300) for seed in (1, 1, 2))
    assert first == same
    assert first != other
