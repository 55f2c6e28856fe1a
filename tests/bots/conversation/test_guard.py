"""Limits of a person, a conversation and a message."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from bots.conversation.guard import Guard
from bots.keys import Keys
from bots.messages import IncomingMessage
from bots.settings import LimitSettings
from rag.errors import StoreUnavailable
from rag.store.client import connect
from tests.bots.engine import message

LIMITS = LimitSettings(user_per_minute=2, conversation_per_minute=4, message_characters=100)


@pytest.fixture
def guard(redis: Redis, keys: Keys) -> Guard:
    return Guard(redis, keys, LIMITS)


async def kinds(guard: Guard, *numbers: int, sender: str = "ada", conversation: str = "c") -> list[str]:
    return [(await guard.check(message(number, conversation, sender=sender))).kind for number in numbers]


async def test_a_person_may_ask_so_often_over_all_conversations(guard: Guard) -> None:
    assert await kinds(guard, 1, conversation="one") == ["allowed"]
    assert await kinds(guard, 1, 2, conversation="other") == ["allowed", "limited"]
    assert await kinds(guard, 1, sender="bob", conversation="other-again") == ["allowed"]


async def test_a_conversation_may_ask_so_often_over_all_persons(guard: Guard) -> None:
    assert await kinds(guard, 1, 2, sender="ada") == ["allowed"] * 2
    assert await kinds(guard, 3, 4, sender="bob") == ["allowed"] * 2
    assert await kinds(guard, 5, sender="cy") == ["limited"]


async def test_the_sentence_is_said_once_even_when_its_message_is_redelivered(guard: Guard) -> None:
    await kinds(guard, 1, 2)
    told = [(await guard.check(message(number, "c"))).sentence for number in (3, 4, 3)]
    assert told[0]
    assert told == [told[0], None, told[0]]


async def test_a_redelivered_message_counts_once(guard: Guard) -> None:
    assert await kinds(guard, 1, 1, 1, 2, 1, 2) == ["allowed"] * 6
    assert await kinds(guard, 3) == ["limited"]


def received(number: int, second: float) -> IncomingMessage:
    return replace(message(number, "c"), received_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second))


async def test_the_minute_slides(guard: Guard) -> None:
    found = [(await guard.check(received(*each))).kind for each in ((1, 0), (2, 30), (3, 59.9), (4, 60.1), (5, 60.2))]
    assert found == ["allowed", "allowed", "limited", "allowed", "limited"]


async def test_what_piled_up_while_nobody_answered_was_not_asked_too_fast(guard: Guard) -> None:
    piled_up = [(await guard.check(received(number, 31 * number))).kind for number in range(20)]
    assert piled_up == ["allowed"] * 20


async def test_a_message_too_long_is_refused_with_both_figures_in_the_language_of_its_sender(guard: Guard) -> None:
    verdict = await guard.check(replace(message(1, text="a" * 101), language="es"))
    assert verdict.refused
    assert verdict.sentence is not None
    assert "101" in verdict.sentence
    assert "100" in verdict.sentence
    assert "demasiado" in verdict.sentence
    assert await kinds(guard, 2, 3) == ["allowed"] * 2


async def test_without_redis_there_is_no_verdict(keys: Keys) -> None:
    async with connect("unix:///nowhere/redis.sock") as away:
        with pytest.raises(StoreUnavailable, match="Redis does not answer"):
            await Guard(away, keys, LIMITS).check(message(1))
