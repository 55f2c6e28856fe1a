"""Who answers a conversation is told of what comes into it meanwhile, without asking."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from bots.conversation.stopping import nobody_waits
from bots.keys import Keys
from bots.queue.inbox import Inbox
from bots.settings import WorkerSettings
from rag.store.client import connect
from tests.bots.answering_scene import PLACE, said
from tests.waiting import until

ELSEWHERE = "slack:T1:D2:1.0"


@pytest.fixture
def inbox(redis: Redis, keys: Keys) -> Inbox:
    return Inbox(redis, keys, WorkerSettings())


@pytest.fixture
async def other(redis_url: str, keys: Keys) -> AsyncIterator[Inbox]:
    """The inbox of another process."""
    async with connect(redis_url) as client:
        yield Inbox(client, keys, WorkerSettings())


async def subscribed(redis: Redis, keys: Keys, number: int = 1) -> None:
    """Once so many processes hear of arrivals."""

    async def listening() -> bool:
        return bool((await redis.pubsub_numsub(keys.arrivals))[0][1] == number)

    await until(listening)


async def test_an_arrival_behind_another_message_is_told_at_once(
    redis: Redis, keys: Keys, inbox: Inbox, other: Inbox
) -> None:
    first, second = said("How many days?"), said("And now?", 2)
    await inbox.accept(first)
    async with asyncio.timeout(10), nobody_waits(inbox, first, grace=0) as abandoned:
        await subscribed(redis, keys)
        assert not abandoned.is_set()
        await other.accept(second)
        await abandoned.wait()


async def test_an_arrival_is_heard_of_in_its_conversation_only(inbox: Inbox, other: Inbox) -> None:
    await inbox.accept(said("How many days?"))
    async with asyncio.timeout(10), inbox.arrivals.into(PLACE) as arrived:
        for _ in range(2):  # now, and once the subscription stands
            await arrived.wait()
            arrived.clear()
        await other.accept(said("How many days?", conversation=ELSEWHERE))
        await other.accept(said("And elsewhere?", 2, conversation=ELSEWHERE))
        assert not arrived.is_set()
        await other.accept(said("And now?", 2))
        await arrived.wait()


async def test_what_came_before_anybody_listened_is_noticed_too(inbox: Inbox) -> None:
    first = said("How many days?")
    await inbox.accept(first)
    await inbox.accept(said("And now?", 2))
    async with asyncio.timeout(10), nobody_waits(inbox, first, grace=0) as abandoned:
        await abandoned.wait()


async def test_a_subscription_that_breaks_is_made_again(redis: Redis, keys: Keys, inbox: Inbox, other: Inbox) -> None:
    first = said("How many days?")
    await inbox.accept(first)
    async with asyncio.timeout(10), nobody_waits(inbox, first, grace=0) as abandoned:
        await subscribed(redis, keys)
        await redis.client_kill_filter(_type="pubsub")
        await other.accept(said("And now?", 2))
        await abandoned.wait()


async def test_nobody_is_subscribed_where_nobody_listens(redis: Redis, keys: Keys, inbox: Inbox) -> None:
    async with asyncio.timeout(10):
        async with inbox.arrivals.into(PLACE), inbox.arrivals.into(ELSEWHERE):
            await subscribed(redis, keys)
        await subscribed(redis, keys, 0)
