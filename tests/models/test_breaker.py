"""When somebody outside is left alone, on values: instants are numbers."""

import asyncio
import time

import pytest

from models.breaker import MOST_FAILURES, REMEMBERED, REST_SECONDS, Breaker, Resting


def after(*outcomes: bool) -> Breaker:
    """A breaker that has seen these calls fail (True) or not, at instant 0."""
    breaker = Breaker("somebody")
    for failed in outcomes:
        assert breaker.begin(0)
        breaker.end(0, failed)
    return breaker


def test_ten_failures_of_the_last_twenty_open_it_and_nine_do_not() -> None:
    assert after(*[True] * 9).is_closed
    assert not after(*[True] * 10).is_closed
    assert after(*[True, False] * 9, False).is_closed
    assert not after(*[False, True] * 10).is_closed
    long_ago = [True] * 9 + [False] * REMEMBERED
    assert after(*long_ago, *[True] * 9).is_closed


def test_open_it_lets_nobody_through_for_thirty_seconds_and_then_one() -> None:
    breaker = after(*[True] * MOST_FAILURES)
    assert breaker.wait(0) == REST_SECONDS and breaker.wait(29) == 1 and not breaker.begin(29.9)
    assert breaker.wait(30) == 0 and breaker.begin(30)
    assert not breaker.begin(30) and breaker.wait(31) == 29


def test_the_trial_decides() -> None:
    mended, ill, unknown = (after(*[True] * MOST_FAILURES) for _ in range(3))
    for breaker, failed in ((mended, False), (ill, True), (unknown, None)):
        assert breaker.begin(30)
        breaker.end(31, failed)
    assert mended.is_closed and mended.begin(31)
    mended.end(31, True)
    assert mended.is_closed  # what was before is forgotten
    assert not ill.is_closed and ill.wait(31) == REST_SECONDS
    assert not unknown.is_closed and unknown.begin(31)


def test_calls_that_began_before_it_opened_decide_nothing_and_a_trial_that_never_ends_is_followed_by_another() -> None:
    breaker = after(*[True] * MOST_FAILURES)
    breaker.end(10, False)
    breaker.end(20, True)
    assert breaker.wait(20) == 10
    assert breaker.begin(30) and not breaker.begin(59) and breaker.begin(60)


async def test_what_counts_as_a_failure_is_said_by_whoever_asks() -> None:
    breaker = Breaker("somebody")
    for error, times in ((ValueError, 30), (ConnectionResetError, 30), (asyncio.CancelledError, 30), (OSError, MOST_FAILURES)):
        for _ in range(times):
            assert breaker.is_closed, error
            with pytest.raises(error), breaker.asked((OSError,), answers=(ConnectionResetError,)):
                raise error
    assert not breaker.is_closed
    with pytest.raises(Resting) as resting, breaker.asked((OSError,)):
        raise AssertionError("nobody is asked")
    assert 20 < resting.value.seconds <= REST_SECONDS and breaker.wait(time.monotonic()) > 20
