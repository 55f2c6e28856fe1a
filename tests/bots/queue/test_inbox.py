"""The inbox: accepted once, durable, and open to whoever may look into it or take something out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from bots.errors import LeaseLost
from bots.keys import Keys
from bots.queue.consumer import Consumer, Head
from bots.queue.inbox import Inbox
from bots.queue.outbox import ForgetEntry
from rag.errors import StoreUnavailable
from rag.store.client import connect, text
from tests.bots.engine import QUICK, message


@pytest.fixture
def inbox(redis: Redis, keys: Keys) -> Inbox:
    return Inbox(redis, keys, QUICK)


async def begin(inbox: Inbox) -> tuple[Consumer, Head]:
    """A worker that has just taken the first message."""
    consumer = inbox.consumer()
    await consumer.join()
    [ready] = await consumer.read(1)
    head = await consumer.take(ready)
    assert head is not None
    return consumer, head


async def set_aside(inbox: Inbox) -> None:
    consumer, head = await begin(inbox)
    while head is not None:
        following = await consumer.set_aside(head, "RuntimeError")
        if following is None:
            break
        head = following


async def test_a_message_is_accepted_once_by_any_of_its_seen_keys(inbox: Inbox) -> None:
    assert await inbox.accept(message(1))
    assert not await inbox.accept(message(1))
    twin = replace(message(1), id="another event id", seen=(message(1).seen[0], "another event"))
    assert not await inbox.accept(twin)
    assert await inbox.queue_length() == 1


async def test_a_message_accepted_many_times_at_once_is_accepted_once(inbox: Inbox) -> None:
    results = await asyncio.gather(*(inbox.accept(message(1)) for _ in range(50)))
    assert sum(results) == 1


async def test_what_was_accepted_comes_back_as_it_was(inbox: Inbox) -> None:
    sent = replace(
        message(1, text="¿Cómo? 👍 \x00 \ud7ff"), address={"channel": "C", "thread": "1.2"}, attachments=("a b.pdf",)
    )
    await inbox.accept(sent)
    _, head = await begin(inbox)
    assert head.message == sent
    assert head.tries == 1


async def test_a_message_still_queued_is_recognised_even_without_its_seen_keys(
    inbox: Inbox, redis: Redis, keys: Keys
) -> None:
    await inbox.accept(message(1))
    await redis.delete(*(keys.seen(key) for key in message(1).seen))
    assert not await inbox.accept(message(1))


async def test_without_redis_nothing_is_accepted_and_that_is_said_at_once(keys: Keys) -> None:
    async with connect("unix:///nowhere/redis.sock") as away, asyncio.timeout(2):
        with pytest.raises(StoreUnavailable, match="was not accepted"):
            await Inbox(away, keys, QUICK).accept(message(1))


async def test_a_worker_that_lost_its_lease_can_end_nothing(inbox: Inbox, redis: Redis, keys: Keys) -> None:
    await inbox.accept(message(1))
    consumer, head = await begin(inbox)
    await redis.set(keys.lease(head.message.conversation), "somebody else")
    with pytest.raises(LeaseLost):
        await consumer.finish(head)
    assert await inbox.queue_length() == 1


async def test_renewing_keeps_what_is_held_and_tells_what_is_lost(inbox: Inbox, redis: Redis, keys: Keys) -> None:
    consumer = inbox.consumer()
    await consumer.join()
    for name in ("kept", "lost"):
        await inbox.accept(message(1, name))
    for ready in await consumer.read(2):
        assert await consumer.take(ready)
    await redis.pexpire(keys.lease("kept"), 100)
    await redis.delete(keys.lease("lost"))
    assert [ready.conversation for ready in await consumer.renew()] == ["lost"]
    assert await redis.pttl(keys.lease("kept")) > 100
    assert await consumer.renew() == []


async def test_ending_a_message_twice_is_harmless(inbox: Inbox, redis: Redis, keys: Keys) -> None:
    """A connection that broke after the script ran makes the client run it again."""
    await inbox.accept(message(1))
    await inbox.accept(message(2))
    consumer, head = await begin(inbox)
    for _ in range(2):
        following = await consumer.finish(head)
        assert following is not None
        assert following.message.id == message(2).id


async def test_figures_of_what_waits(inbox: Inbox, redis: Redis, keys: Keys) -> None:
    assert (await inbox.backlog()).oldest_seconds == 0
    await inbox.accept(message(1))
    await inbox.accept(message(2, "elsewhere"))
    await redis.zincrby(keys.waiting, -90_000, message(1).turn_id)
    backlog = await inbox.backlog()
    assert (backlog.queued, backlog.aside, backlog.outbox) == (2, 0, 0)
    assert 90 <= backlog.oldest_seconds < 100
    await set_aside(inbox)
    backlog = await inbox.backlog()
    assert (backlog.queued, backlog.aside) == (1, 1)


async def test_a_message_set_aside_is_deleted_when_it_is_too_old(inbox: Inbox) -> None:
    await inbox.accept(message(1))
    await set_aside(inbox)
    assert await inbox.prune(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert await inbox.prune(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert not await inbox.list_aside()


async def test_all_messages_set_aside_are_put_back_in_the_order_they_failed(inbox: Inbox) -> None:
    for number in range(3):
        await inbox.accept(message(number))
    await set_aside(inbox)
    assert [aside.message.id for aside in await inbox.list_aside()] == [message(number).id for number in range(3)]
    assert await inbox.retry("no such reference") == 0
    assert await inbox.retry() == 3
    consumer, head = await begin(inbox)
    assert head.tries == 1
    assert head.message.id == message(0).id
    following = await consumer.finish(head)
    assert following is not None
    assert following.message.id == message(1).id


async def test_a_waiting_message_can_be_dropped(inbox: Inbox) -> None:
    for number in (1, 2, 3):
        await inbox.accept(message(number))
    where = message(1).conversation
    assert await inbox.drop(where, message(3).id)
    assert not await inbox.drop(where, message(3).id)
    consumer, head = await begin(inbox)
    following = await consumer.finish(head)
    assert following is not None
    assert following.message.id == message(2).id
    assert await consumer.finish(following) is None
    assert await inbox.queue_length() == 0


async def test_a_message_being_handled_is_not_dropped(inbox: Inbox) -> None:
    await inbox.accept(message(1))
    await begin(inbox)
    assert not await inbox.drop(message(1).conversation, message(1).id)


async def test_what_waits_behind_a_message_is_told_without_it(inbox: Inbox, redis: Redis, keys: Keys) -> None:
    where = message(1).conversation
    await inbox.accept(message(1))
    assert await inbox.waiting(where, behind=message(1).turn_id) == []
    await inbox.accept(message(2))
    await inbox.accept(message(3, "elsewhere"))
    await redis.hset(keys.messages(where), "unreadable", "{}")
    assert [each.id for each in await inbox.waiting(where, behind=message(1).turn_id)] == [message(2).id]


async def test_forgetting_a_conversation_removes_every_trace_of_it(inbox: Inbox, redis: Redis, keys: Keys) -> None:
    await inbox.accept(message(1))
    await set_aside(inbox)
    await inbox.accept(message(2))
    await inbox.accept(message(1, "elsewhere"))
    assert await inbox.forget(message(1).conversation) == 2
    assert [name async for name in redis.scan_iter(match=keys.conversation(message(1).conversation, "*"))] == [
        keys.mark(message(1).conversation).encode()  # The next worker finds nothing to do and takes it away.
    ]
    assert not await inbox.list_aside()
    assert await inbox.queue_length() == 1
    assert await inbox.accept(message(1))
    assert not await inbox.accept(message(1, "elsewhere"))


async def test_forgetting_a_person_leaves_the_others(inbox: Inbox) -> None:
    await inbox.accept(message(1, sender="ada"))
    await inbox.accept(message(2, sender="bob"))
    assert await inbox.forget(message(1).conversation, "ada") == 1
    assert await inbox.accept(message(1, sender="ada"))
    assert not await inbox.accept(message(2, sender="bob"))


async def test_the_command_to_forget_and_what_came_after_it_stay(inbox: Inbox) -> None:
    command, earlier, later = message(1), message(2), message(3)
    earlier = replace(earlier, received_at=command.received_at - timedelta(seconds=1))
    later = replace(later, received_at=command.received_at + timedelta(seconds=1))
    for each in (command, earlier, later):
        await inbox.accept(each)
    consumer, head = await begin(inbox)
    assert await inbox.forget(command.conversation, command=head.message) == 1
    assert not await inbox.accept(command)
    assert not await inbox.accept(later)
    following = await consumer.finish(head)
    assert following is not None
    assert following.message.id == later.id


async def test_a_message_forgotten_while_it_is_handled_leaves_nothing_behind(
    inbox: Inbox, redis: Redis, keys: Keys
) -> None:
    await inbox.accept(message(1))
    consumer, head = await begin(inbox)
    await inbox.forget(head.message.conversation)
    entry = ForgetEntry(conversation=head.message.conversation, at=head.message.received_at)
    assert await consumer.finish(head, [entry]) is None
    assert await redis.xlen(keys.outbox) == 0


async def test_seen_keys_do_not_pile_up_in_a_conversation_that_goes_on(inbox: Inbox, redis: Redis, keys: Keys) -> None:
    await inbox.accept(message(1))
    place = keys.seen_of(message(1).conversation)
    for member in await redis.zrange(place, 0, -1):
        await redis.zadd(place, {text(member): 0.0})
    await inbox.accept(message(2))
    assert await redis.zcard(place) == len(message(2).seen)
    assert 0 < await redis.ttl(place) <= 3 * 24 * 3600
