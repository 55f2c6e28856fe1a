"""A server that fails again and again is left alone, tried once in a while, and taken back when it answers."""

from __future__ import annotations

import pytest

from rag.models.remote.breaker import FAILURES, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Breaker
from tests.rag.remote_scene import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        with breaker.trial() as trial:
            trial.failed()


def test_it_opens_after_three_failures_in_a_row(breaker: Breaker) -> None:
    fail(breaker, FAILURES - 1)
    assert not breaker.is_open
    fail(breaker)
    assert not breaker.lets_in
    assert breaker.pause == FIRST_PAUSE_SECONDS


def test_a_success_between_failures_starts_the_count_anew(breaker: Breaker) -> None:
    fail(breaker, FAILURES - 1)
    with breaker.trial() as trial:
        trial.worked()
    fail(breaker, FAILURES - 1)
    assert breaker.lets_in


def test_after_the_pause_one_reply_at_a_time_may_try(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, FAILURES)
    clock.now += FIRST_PAUSE_SECONDS
    with breaker.trial():
        assert not breaker.lets_in
    assert breaker.lets_in, "a user who left has tried nothing"


def test_the_pause_grows_to_a_limit_and_a_success_ends_it(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, FAILURES)
    pauses = []
    for _ in range(8):
        clock.now += breaker.pause
        fail(breaker)
        pauses.append(breaker.pause)
    assert pauses[:3] == [2 * FIRST_PAUSE_SECONDS, 4 * FIRST_PAUSE_SECONDS, 8 * FIRST_PAUSE_SECONDS]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    clock.now += breaker.pause
    with breaker.trial() as trial:
        trial.worked()
    assert breaker.lets_in
    fail(breaker, FAILURES)
    assert breaker.pause == FIRST_PAUSE_SECONDS


def test_replies_that_began_before_it_opened_do_not_make_the_pause_longer(breaker: Breaker) -> None:
    with breaker.trial() as one, breaker.trial() as other:
        fail(breaker, FAILURES)
        one.failed()
        other.failed()
    assert breaker.pause == FIRST_PAUSE_SECONDS
