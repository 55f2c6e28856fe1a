"""Leases one step at a time: who holds one is left alone, and what is renewed is claimed by nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from bots.keys import Keys
from bots.queue.consumer import Consumer, Head, Ready
from bots.queue.inbox import Inbox
from bots.queue.outbox import Outbox, TurnEntry
from bots.queue.recorder import Recorder
from bots.queue.scripts import GROUP
from bots.settings import WorkerSettings
from tests.bots.engine import message
from tests.bots.queue.test_recorder import ListLog, turn

LEASE_SECONDS = 60


@pytest.fixture
def inbox(redis: Redis, keys: Keys) -> Inbox:
    return Inbox(redis, keys, WorkerSettings(lease_seconds=LEASE_SECONDS))


async def begun(inbox: Inbox) -> tuple[Consumer, Ready, Head]:
    """A worker that has just taken the only message."""
    await inbox.accept(message(1))
    consumer = inbox.consumer()
    await consumer.join()
    [ready] = await consumer.read(1)
    head = await consumer.take(ready)
    assert head is not None
    return consumer, ready, head


async def grown_old(redis: Redis, keys: Keys, ready: Ready, owner: Consumer, *, seconds: float) -> None:
    """As if the worker had not been heard of for so long."""
    idle = int(seconds * 1000)
    await redis.xclaim(keys.ready, GROUP, owner.name, 0, [ready.entry], idle=idle, justid=True)


async def test_a_conversation_that_is_worked_off_is_not_taken_by_another(
    inbox: Inbox, redis: Redis, keys: Keys
) -> None:
    _, ready, head = await begun(inbox)

    assert await inbox.consumer().take(replace(ready, token="another")) is None
    assert await redis.get(keys.lease(head.message.conversation)) == ready.token.encode()


@pytest.mark.parametrize(("share", "claimed"), [(0.9, 0), (1.2, 1)])
async def test_work_is_claimed_once_its_lease_has_run_out(
    inbox: Inbox, redis: Redis, keys: Keys, share: float, claimed: int
) -> None:
    consumer, ready, _ = await begun(inbox)
    await grown_old(redis, keys, ready, consumer, seconds=share * LEASE_SECONDS)

    assert len(await inbox.consumer().claim(9)) == claimed


async def test_work_that_was_just_renewed_is_claimed_by_nobody(inbox: Inbox, redis: Redis, keys: Keys) -> None:
    consumer, ready, _ = await begun(inbox)
    await grown_old(redis, keys, ready, consumer, seconds=2 * LEASE_SECONDS)

    assert await consumer.renew() == []
    assert await inbox.consumer().claim(9) == []


async def test_a_recorder_waits_while_anothers_lease_holds(redis: Redis, keys: Keys) -> None:
    await Outbox(redis, keys).post(TurnEntry(turn=turn(1)))
    await redis.set(keys.of("outbox", "lease"), "another")
    log = ListLog()

    await Recorder(redis, keys, log, log).drain()
    assert not log.turns
    assert await redis.get(keys.of("outbox", "lease")) == b"another"

    await redis.delete(keys.of("outbox", "lease"))
    await Recorder(redis, keys, log, log).drain()
    assert list(log.turns) == [turn(1).turn_id]
