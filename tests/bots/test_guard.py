"""Limits of a person, a conversation and a message."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from bots.errors import StoreUnavailable
from bots.guard import Guard
from bots.keys import Keys
from bots.settings import LimitSettings
from bots.store import connect, text
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


async def test_the_minute_slides(guard: Guard, redis: Redis, keys: Keys) -> None:
    assert await kinds(guard, 1, 2, 3) == ["allowed", "allowed", "limited"]
    async for place in redis.scan_iter(match=keys.of("limit", "asked", "*")):
        [oldest, *_] = await redis.zrange(place, 0, 0)
        await redis.zincrby(place, -60_001, text(oldest))
    assert await kinds(guard, 4, 5) == ["allowed", "limited"]


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
