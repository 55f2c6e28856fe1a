"""Conversation memory over a real redis-server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from bots.keys import Keys
from rag.errors import StoreUnavailable
from rag.memory.conversation import ConversationMemory
from rag.settings import MemorySettings
from rag.types import Exchange

START = datetime(2025, 1, 6, 9, tzinfo=UTC)
HERE = "slack:T1:C1:1700000000.1"


def exchange(number: int, *, speaker: str = "ana", answer: str = "") -> Exchange:
    return Exchange(
        turn_id=f"turn{number}",
        question=f"¿Pregunta {number}?",
        answer=answer or f"Answer {number} [1]",
        asked_at=START + timedelta(seconds=number),
        speaker=speaker,
        speaker_name=speaker.title(),
    )


@pytest.fixture
def memory(redis: Redis, keys: Keys) -> ConversationMemory:
    return ConversationMemory(redis, MemorySettings(turns=3, ttl_days=1), keys.memory)


async def turns(memory: ConversationMemory, conversation: str = HERE) -> list[str]:
    return [kept.turn_id for kept in await memory.load(conversation)]


async def test_an_exchange_comes_back_as_it_was(memory: ConversationMemory) -> None:
    await memory.append(HERE, exchange(1))
    assert await memory.load(HERE) == [exchange(1)]


async def test_exchanges_come_in_the_order_asked_whatever_order_they_were_stored_in(memory: ConversationMemory) -> None:
    await asyncio.gather(*(memory.append(HERE, exchange(number)) for number in (2, 3, 1)))
    assert await turns(memory) == ["turn1", "turn2", "turn3"]


async def test_only_the_last_turns_are_kept(memory: ConversationMemory) -> None:
    for number in range(1, 12):
        await memory.append(HERE, exchange(number))
    assert await turns(memory) == ["turn9", "turn10", "turn11"]


async def test_a_redelivered_turn_is_remembered_once_and_unchanged(memory: ConversationMemory) -> None:
    await memory.append(HERE, exchange(1))
    await memory.append(HERE, exchange(1, answer="another"))
    assert await memory.load(HERE) == [exchange(1)]


async def test_a_replaced_turn_keeps_its_place(memory: ConversationMemory) -> None:
    await memory.append(HERE, exchange(1))
    await memory.append(HERE, exchange(2))
    await memory.replace(HERE, exchange(1, answer="better"))
    assert [kept.answer for kept in await memory.load(HERE)] == ["better", "Answer 2 [1]"]


async def test_one_turn_can_be_removed(memory: ConversationMemory) -> None:
    await memory.append(HERE, exchange(1))
    await memory.append(HERE, exchange(2))
    await memory.remove_turn(HERE, "turn1")
    await memory.remove_turn(HERE, "never seen")
    assert await turns(memory) == ["turn2"]


async def test_forgetting_a_speaker_leaves_the_others_and_other_conversations(memory: ConversationMemory) -> None:
    await memory.append(HERE, exchange(1))
    await memory.append(HERE, exchange(2, speaker="luis"))
    await memory.append(HERE, exchange(3))
    await memory.append("elsewhere", exchange(4))
    assert await memory.forget(HERE, "ana") == 2
    assert await turns(memory) == ["turn2"]
    assert await turns(memory, "elsewhere") == ["turn4"]
    assert await memory.forget(HERE, "nobody") == 0


async def test_forgetting_a_conversation_says_how_much_was_forgotten(memory: ConversationMemory) -> None:
    await memory.append(HERE, exchange(1))
    await memory.append(HERE, exchange(2, speaker="luis"))
    assert await memory.forget(HERE) == 2
    assert await memory.load(HERE) == []
    assert await memory.forget(HERE) == 0


async def test_a_conversation_that_moved_brings_its_memory_and_joins_what_is_there(memory: ConversationMemory) -> None:
    for number in (1, 2):
        await memory.append("telegram:-5:0", exchange(number))
    for number in (3, 4):
        await memory.append("telegram:-1005:0", exchange(number))
    await memory.move("telegram:-5:0", "telegram:-1005:0")
    assert await turns(memory, "telegram:-1005:0") == ["turn2", "turn3", "turn4"]
    assert await memory.load("telegram:-5:0") == []


async def test_moving_nothing_or_onto_itself_loses_nothing(memory: ConversationMemory) -> None:
    await memory.append(HERE, exchange(1))
    await memory.move("never seen", HERE)
    await memory.move(HERE, HERE)
    assert await turns(memory) == ["turn1"]


async def test_memory_fades_and_every_turn_renews_it(memory: ConversationMemory, redis: Redis, keys: Keys) -> None:
    await memory.append(HERE, exchange(1))
    await redis.expire(keys.memory(HERE), 5)
    await memory.append(HERE, exchange(2))
    assert await redis.ttl(keys.memory(HERE)) > 86_000


async def test_no_turns_means_no_memory(redis: Redis, keys: Keys) -> None:
    memory = ConversationMemory(redis, MemorySettings(turns=0), keys.memory)
    await memory.append(HERE, exchange(1))
    assert await redis.dbsize() == 0


async def test_an_entry_of_another_version_is_left_out(memory: ConversationMemory, redis: Redis, keys: Keys) -> None:
    await memory.append(HERE, exchange(1))
    await redis.hset(keys.memory(HERE), "turn0", b"0" * 20 + b'{"format": "of the future"}')
    assert await turns(memory) == ["turn1"]


async def test_a_redis_that_is_gone_is_said_so(keys: Keys) -> None:
    memory = ConversationMemory(Redis.from_url("unix:///nowhere/redis.sock", retry=None), MemorySettings(), keys.memory)
    with pytest.raises(StoreUnavailable):
        await memory.load(HERE)
    with pytest.raises(StoreUnavailable):
        await memory.append(HERE, exchange(1))
