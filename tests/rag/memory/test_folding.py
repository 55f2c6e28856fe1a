"""Older turns go into a summary, over a real redis-server: none falls between, and nothing forgotten comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from bots.conversation.folding import Folding
from bots.keys import Keys
from rag.errors import StoreUnavailable
from rag.memory.conversation import ConversationMemory, readable
from rag.memory.summarising import SelectingSummariser
from rag.settings import MemorySettings
from rag.types import Background, Exchange

START = datetime(2026, 1, 6, 9, tzinfo=UTC)
HERE = "slack:T1:C1:1700000000.1"
PUBLIC = ("public",)
INTERNAL = ("employees", "public")


def exchange(
    number: int, *, speaker: str = "ana", audiences: tuple[str, ...] = PUBLIC, tenant: str = "", about: str = ""
) -> Exchange:
    return Exchange(
        turn_id=f"turn{number}",
        question=f"What is {about or f'topic{number}'}?",
        answer=f"It is number {number} [1].",
        asked_at=START + timedelta(seconds=number),
        speaker=speaker,
        speaker_name=speaker.title(),
        audiences=audiences,
        tenant=tenant,
    )


@dataclass(slots=True)
class Notebook:
    """A summariser that keeps what it was given, and may be held up."""

    given: list[tuple[str, list[str]]] = field(default_factory=list)
    going: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, summary: str, exchanges: Sequence[Exchange], language: str) -> str:
        self.given.append((summary, [each.question for each in exchanges]))
        self.begun.set()
        await self.going.wait()
        told = " ".join(each.question for each in exchanges)
        return f"{summary} {told}".strip()


def notebook(*, held: bool = False) -> Notebook:
    made = Notebook()
    if not held:
        made.going.set()
    return made


@pytest.fixture
def memory(redis: Redis, keys: Keys) -> ConversationMemory:
    return ConversationMemory(redis, MemorySettings(turns=2, ttl_days=1), keys.memory)


async def talk(memory: ConversationMemory, numbers: range, conversation: str = HERE, **changes: object) -> None:
    for number in numbers:
        await memory.append(conversation, exchange(number, **changes))  # type: ignore[arg-type]


async def summary(
    memory: ConversationMemory, audiences: tuple[str, ...] = PUBLIC, tenant: str = "", conversation: str = HERE
) -> str:
    return (await memory.background(conversation, "ana", audiences, tenant)).summary


def topics(text: str) -> list[int]:
    return [number for number in range(30) if f"topic{number}?" in text]


async def test_what_is_no_longer_kept_word_for_word_is_told_at_once(memory: ConversationMemory) -> None:
    await talk(memory, range(5))
    assert [kept.turn_id for kept in await memory.load(HERE)] == ["turn3", "turn4"]
    assert topics(await summary(memory)) == [0, 1, 2]


async def test_a_summary_is_written_once_enough_waits(memory: ConversationMemory) -> None:
    note = notebook()
    await talk(memory, range(5))
    assert not await memory.fold(HERE, note)
    await talk(memory, range(5, 6))
    assert await memory.fold(HERE, note)
    assert not await memory.fold(HERE, note)
    assert await summary(memory) == "What is topic0? What is topic1? What is topic2? What is topic3?"
    await talk(memory, range(6, 7))
    assert topics(await summary(memory)) == [0, 1, 2, 3, 4]
    assert await memory.fold(HERE, note, at_once=1)
    assert note.given[1] == (note.given[0][0] + "What is topic0? What is topic1? What is topic2? What is topic3?",
                             ["What is topic4?"])  # fmt: skip


async def test_a_death_while_the_summary_is_written_loses_nothing(memory: ConversationMemory) -> None:
    note = notebook(held=True)
    await talk(memory, range(6))
    folding = asyncio.create_task(memory.fold(HERE, note))
    await note.begun.wait()
    folding.cancel()
    await asyncio.wait([folding])
    assert topics(await summary(memory)) == [0, 1, 2, 3]
    assert await memory.fold(HERE, notebook())


async def test_of_two_that_fold_at_once_one_summary_stands(memory: ConversationMemory) -> None:
    note = notebook(held=True)
    await talk(memory, range(6))
    both = [asyncio.create_task(memory.fold(HERE, note)) for _ in range(2)]
    while len(note.given) < 2:
        await note.begun.wait()
        note.begun.clear()
    note.going.set()
    assert sorted(await asyncio.gather(*both)) == [False, True]
    assert await summary(memory) == "What is topic0? What is topic1? What is topic2? What is topic3?"


async def test_what_is_asked_while_the_summary_is_written_waits_for_the_next(memory: ConversationMemory) -> None:
    note = notebook(held=True)
    await talk(memory, range(6))
    folding = asyncio.create_task(memory.fold(HERE, note))
    await note.begun.wait()
    await talk(memory, range(6, 8))
    note.going.set()
    assert await folding
    assert topics(await summary(memory)) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("speaker", [None, "ana"])
async def test_what_is_forgotten_while_the_summary_is_written_is_in_none(
    memory: ConversationMemory, redis: Redis, speaker: str | None
) -> None:
    note = notebook(held=True)
    await talk(memory, range(6))
    folding = asyncio.create_task(memory.fold(HERE, note))
    await note.begun.wait()
    assert await memory.forget(HERE, speaker) == 6
    note.going.set()
    assert not await folding
    assert await summary(memory) == ""
    assert await redis.dbsize() == 0


@pytest.mark.parametrize("gone", ["turn0", "turn5"])
async def test_a_turn_removed_while_the_summary_is_written_is_in_none(memory: ConversationMemory, gone: str) -> None:
    note = notebook(held=True)
    await talk(memory, range(6))
    folding = asyncio.create_task(memory.fold(HERE, note))
    await note.begun.wait()
    await memory.remove_turn(HERE, gone)
    note.going.set()
    assert await folding == (gone == "turn5")
    told = await summary(memory) + " ".join(kept.question for kept in await memory.load(HERE))
    assert topics(told) == [number for number in range(6) if f"turn{number}" != gone]


async def test_forgetting_a_speaker_drops_the_summary_and_what_of_theirs_waits(memory: ConversationMemory) -> None:
    await talk(memory, range(6))
    await memory.fold(HERE, notebook())
    await talk(memory, range(6, 8), speaker="luis")
    await talk(memory, range(8, 10), speaker="ana")
    assert topics(await summary(memory)) == [0, 1, 2, 3, 4, 5, 6, 7]
    await memory.forget(HERE, "luis")
    assert topics(await summary(memory)) == [4, 5]


async def test_removing_a_turn_drops_the_summary_only_if_it_may_hold_it(memory: ConversationMemory) -> None:
    await talk(memory, range(6))
    await memory.fold(HERE, notebook())
    await memory.remove_turn(HERE, "turn5")
    await memory.remove_turn(HERE, "somebody else's")
    assert topics(await summary(memory)) == [0, 1, 2, 3]
    await memory.remove_turn(HERE, "turn2")
    assert await summary(memory) == ""


async def test_a_summary_is_shown_only_to_who_may_read_all_of_it(memory: ConversationMemory) -> None:
    await talk(memory, range(6), audiences=INTERNAL, tenant="acme")
    await memory.fold(HERE, notebook())
    await talk(memory, range(6, 9), audiences=INTERNAL, tenant="acme")
    assert topics(await summary(memory, INTERNAL, "acme")) == list(range(7))
    assert await summary(memory, PUBLIC, "acme") == ""
    assert await summary(memory, INTERNAL, "other") == ""
    assert await summary(memory, INTERNAL) == ""


async def test_where_readers_became_fewer_the_summary_starts_anew(memory: ConversationMemory) -> None:
    await talk(memory, range(6), audiences=INTERNAL)
    await memory.fold(HERE, notebook())
    await talk(memory, range(6, 12))
    note = notebook()
    assert await memory.fold(HERE, note)
    assert note.given == [("", [f"What is topic{number}?" for number in range(6, 10)])]
    assert topics(await summary(memory)) == [6, 7, 8, 9]


async def test_turns_of_a_version_that_told_no_audiences_are_in_no_summary(memory: ConversationMemory) -> None:
    await talk(memory, range(6), audiences=())
    assert await summary(memory) == ""
    assert await memory.fold(HERE, notebook())
    await talk(memory, range(6, 12))
    assert await memory.fold(HERE, notebook())
    assert topics(await summary(memory)) == [6, 7, 8, 9]


def test_an_exchange_is_readable_by_those_who_may_read_all_that_its_answer_may_have_used() -> None:
    told = [
        exchange(1),
        exchange(2, audiences=INTERNAL),
        exchange(3, tenant="acme"),
        exchange(4, audiences=()),
    ]
    assert [each.turn_id for each in readable(told, PUBLIC, "")] == ["turn1"]
    assert [each.turn_id for each in readable(told, {"employees", "public", "hr"}, "acme")] == [
        "turn1",
        "turn2",
        "turn3",
    ]
    assert readable(told, (), "") == []


async def test_where_several_speak_the_summary_keeps_them_apart_and_names_nobody(memory: ConversationMemory) -> None:
    note = notebook()
    for number in range(6):
        await memory.append(HERE, exchange(number, speaker="ana" if number % 2 else "luis"))
    assert "(1) What is topic0?" in await summary(memory)
    await memory.fold(HERE, note)
    assert note.given[0][1] == [f"({1 + number % 2}) What is topic{number}?" for number in range(4)]
    await talk(memory, range(6, 10), speaker="eva")
    await memory.fold(HERE, note)
    assert note.given[1][1] == [
        "(1) What is topic4?",
        "(2) What is topic5?",
        "(3) What is topic6?",
        "(3) What is topic7?",
    ]
    assert "Ana" not in await summary(memory)


async def test_a_conversation_that_moved_brings_its_summary_and_what_waits(memory: ConversationMemory) -> None:
    old, new = "telegram:-5:0", "telegram:-1005:0"
    await talk(memory, range(6), old)
    await memory.fold(old, notebook())
    await talk(memory, range(6, 7), old)
    await memory.move(old, new)
    assert topics(await summary(memory, conversation=new)) == [0, 1, 2, 3, 4]
    assert await summary(memory, conversation=old) == ""
    await talk(memory, range(10, 16), old)
    await memory.fold(old, notebook())
    await memory.move(old, new)
    assert topics(await summary(memory, conversation=new))[-4:] == [10, 11, 12, 13]
    assert topics(await summary(memory, conversation=new))[:4] == [0, 1, 2, 3]
    await memory.remove_turn(new, "turn11")
    assert topics(await summary(memory, conversation=new)) == [4, 5, 6]


async def test_every_key_fades_and_every_turn_renews_it(memory: ConversationMemory, redis: Redis) -> None:
    await talk(memory, range(6))
    await memory.fold(HERE, notebook())
    await talk(memory, range(6, 7))
    names = await redis.keys("*")
    assert len(names) == 3
    for name in names:
        await redis.expire(name, 5)
    await talk(memory, range(7, 8))
    assert all([await redis.ttl(name) > 86_000 for name in names])
    assert all(f"{{{HERE}}}".encode() in name for name in names)


async def test_without_a_summary_what_is_no_longer_kept_is_gone(redis: Redis, keys: Keys) -> None:
    memory = ConversationMemory(redis, MemorySettings(turns=2, summary=False), keys.memory)
    await talk(memory, range(8))
    assert not await memory.fold(HERE, notebook())
    assert await memory.background(HERE, "ana", PUBLIC) == Background()
    assert await redis.keys("*") == [keys.memory(HERE).encode()]


async def test_where_nobody_folds_what_waits_is_bounded(redis: Redis, keys: Keys) -> None:
    memory = ConversationMemory(redis, MemorySettings(turns=1), keys.memory)
    await talk(memory, range(210))
    assert await redis.hlen(keys.memory(HERE) + ":to-fold") == 200


async def test_a_redelivered_turn_that_waits_is_not_remembered_twice(memory: ConversationMemory) -> None:
    await talk(memory, range(5))
    await memory.append(HERE, exchange(0))
    assert [kept.turn_id for kept in await memory.load(HERE)] == ["turn3", "turn4"]


async def test_what_another_version_wrote_is_left_out_and_left_alone(
    memory: ConversationMemory, redis: Redis, keys: Keys
) -> None:
    await talk(memory, range(6))
    waiting = keys.memory(HERE) + ":to-fold"
    await redis.hset(waiting, "turn-1", b"0" * 20 + b'{"format": "of the future"}')
    await redis.set(keys.memory(HERE) + ":summary", b'{"format": "of the future"}')
    assert topics(await summary(memory)) == [0, 1, 2, 3]
    assert await memory.fold(HERE, notebook())
    assert await redis.hkeys(waiting) == [b"turn-1"]


async def test_folding_goes_on_after_one_that_failed_and_delays_nobody(memory: ConversationMemory) -> None:
    await talk(memory, range(6), "a")
    await talk(memory, range(6), "b")

    async def summarise(before: str, exchanges: Sequence[Exchange], language: str) -> str:
        if not failed:
            failed.append(1)
            raise ValueError("a model that nobody foresaw")
        return await SelectingSummariser()(before, exchanges, language)

    failed: list[int] = []
    folding = Folding(memory, summarise)
    for conversation in ("a", "b", "b"):
        folding.after(conversation)
    await folding.wait_until_idle()
    assert topics(await summary(memory, conversation="a")) == [0, 1, 2, 3]
    assert not await memory.fold("b", summarise)
    folding.after("a")
    await folding.wait_until_idle()
    assert not await memory.fold("a", summarise)
    await folding.close()


async def test_folding_is_ended_at_once(memory: ConversationMemory) -> None:
    note = notebook(held=True)
    await talk(memory, range(6))
    folding = Folding(memory, note)
    folding.after(HERE)
    await note.begun.wait()
    await asyncio.wait_for(folding.close(), 5)
    assert topics(await summary(memory)) == [0, 1, 2, 3]


async def test_a_redis_that_is_gone_is_said_so(keys: Keys) -> None:
    memory = ConversationMemory(Redis.from_url("unix:///nowhere/redis.sock", retry=None), MemorySettings(), keys.memory)
    with pytest.raises(StoreUnavailable):
        await memory.background(HERE, "ana", PUBLIC)
    with pytest.raises(StoreUnavailable):
        await memory.fold(HERE, notebook())
    folding = Folding(memory, notebook())
    folding.after(HERE)
    await folding.wait_until_idle()
