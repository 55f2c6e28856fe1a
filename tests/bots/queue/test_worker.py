"""The worker: in order within a conversation, parallel across, and nothing lost whatever fails."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from bots.errors import DeliveryRefused, DeliveryRetry
from bots.keys import Keys
from bots.messages import IncomingMessage
from bots.operations.private_redis import PrivateRedis
from bots.queue.inbox import Inbox
from bots.queue.outbox import ForgetEntry, OutboxEntry, load_entry
from bots.queue.worker import AWAY_TRIES, Worker
from bots.settings import WorkerSettings
from rag.errors import StoreUnavailable
from rag.store.client import connect
from tests.bots.engine import QUICK, Desk, emptied, message, working
from tests.waiting import until


@pytest.fixture
def inbox(redis: Redis, keys: Keys) -> Inbox:
    return Inbox(redis, keys, QUICK)


async def no_trace_of_work(redis: Redis, keys: Keys) -> bool:
    """Only seen keys stay behind when everything is done."""
    names = [name async for name in redis.scan_iter(match=f"{keys.prefix}:*")]
    kept = (b":seen", keys.ready.encode(), keys.outbox.encode(), keys.aside.encode())
    return not [name for name in names if not any(part in name for part in kept)] and not await redis.xlen(keys.ready)


def handled_more_than(desk: Desk, count: int) -> bool:
    return len(desk.handled) > count


async def test_messages_of_a_conversation_are_handled_in_order(inbox: Inbox, redis: Redis, keys: Keys) -> None:
    desk = Desk()
    sent = [message(number) for number in range(20)]
    async with working(inbox, desk):
        for each in sent:
            await inbox.accept(each)
        await until(lambda: emptied(inbox))
    assert desk.handled == [each.id for each in sent]
    assert await no_trace_of_work(redis, keys)


async def test_conversations_are_handled_at_once_up_to_the_concurrency(inbox: Inbox) -> None:
    at_once, most = 0, 0
    full = asyncio.Event()

    async def act(_: IncomingMessage) -> Sequence[OutboxEntry]:
        nonlocal at_once, most
        at_once, most = at_once + 1, max(most, at_once + 1)
        if at_once == 4:
            full.set()
        await full.wait()
        at_once -= 1
        return ()

    for number in range(12):
        await inbox.accept(message(1, f"c{number}"))
    async with working(inbox, Desk(act), QUICK.model_copy(update={"concurrency": 4})) as worker:
        await until(lambda: emptied(inbox))
        assert not worker.saturated
    assert most == 4


async def test_a_message_accepted_at_the_very_end_of_another_is_not_overlooked(inbox: Inbox) -> None:
    desk = Desk()
    async with working(inbox, desk):
        for number in range(300):
            await inbox.accept(message(number))
            await until(partial(handled_more_than, desk, number))
    assert len(desk.handled) == 300


async def test_what_a_message_leaves_behind_is_posted_as_it_ends(inbox: Inbox, redis: Redis, keys: Keys) -> None:
    async def act(handled: IncomingMessage) -> Sequence[OutboxEntry]:
        return (ForgetEntry(conversation=handled.conversation, at=handled.received_at),)

    async with working(inbox, Desk(act)):
        await inbox.accept(sent := message(1))
        await until(lambda: emptied(inbox))
    found: Any = await redis.xrange(keys.outbox)
    [(_, fields)] = found
    assert load_entry(fields[b"entry"]) == ForgetEntry(conversation=sent.conversation, at=sent.received_at)


async def test_a_message_that_keeps_failing_is_set_aside_and_the_next_goes_on(inbox: Inbox) -> None:
    async def act(handled: IncomingMessage) -> Sequence[OutboxEntry]:
        if handled.id.endswith("/1"):
            raise RuntimeError("what somebody wrote")
        return ()

    desk = Desk(act)
    bad, good = message(1), message(2)
    await inbox.accept(bad)
    await inbox.accept(good)
    async with working(inbox, desk):
        await until(lambda: emptied(inbox))
    assert desk.handled == [bad.id, bad.id, bad.id, good.id]
    assert desk.given_up == [bad.turn_id]
    assert desk.aside == 1
    [aside] = await inbox.list_aside()
    assert (aside.message, aside.error, aside.tries) == (bad, "RuntimeError", 3)


async def test_a_message_put_back_is_handled_after_those_that_wait(inbox: Inbox) -> None:
    broken = True

    async def act(handled: IncomingMessage) -> Sequence[OutboxEntry]:
        if broken and handled.id.endswith("/1"):
            raise RuntimeError
        return ()

    desk = Desk(act)
    async with working(inbox, desk):
        await inbox.accept(bad := message(1))
        await until(lambda: emptied(inbox))
    broken = False
    await inbox.accept(later := message(2))
    assert await inbox.retry(bad.turn_id) == 1
    assert await inbox.retry(bad.turn_id) == 0
    async with working(inbox, desk):
        await until(lambda: emptied(inbox))
    assert desk.handled[-2:] == [later.id, bad.id]
    assert not await inbox.list_aside()


async def test_a_refused_delivery_is_not_tried_again(inbox: Inbox) -> None:
    async def act(_: IncomingMessage) -> Sequence[OutboxEntry]:
        raise DeliveryRefused("the user blocked the bot")

    desk = Desk(act)
    async with working(inbox, desk):
        await inbox.accept(message(1))
        await until(lambda: emptied(inbox))
    assert len(desk.handled) == 1
    assert not desk.given_up


async def test_a_platform_that_is_away_is_waited_for_and_no_message_pays_for_it(
    inbox: Inbox, redis: Redis, keys: Keys
) -> None:
    failures = [*[DeliveryRetry("no network", away=True)] * 20, RuntimeError(), RuntimeError()]

    async def act(_: IncomingMessage) -> Sequence[OutboxEntry]:
        if failures:
            raise failures.pop(0)
        return ()

    desk = Desk(act)
    await inbox.accept(sent := message(1))
    async with working(inbox, desk):
        await until(lambda: len(failures) < 5)
        assert int(await redis.hget(keys.tries(sent.conversation), sent.turn_id) or 0) <= 3
        await until(lambda: emptied(inbox))
    assert len(desk.handled) == 23
    assert (desk.aside, desk.given_up) == (0, [])


async def test_a_platform_that_stays_away_is_not_waited_for_for_ever(inbox: Inbox) -> None:
    async def act(_: IncomingMessage) -> Sequence[OutboxEntry]:
        raise DeliveryRetry("no network", away=True)

    desk = Desk(act)
    await inbox.accept(message(1))
    async with working(inbox, desk):
        await until(lambda: emptied(inbox))
    assert (len(desk.handled), desk.aside) == (AWAY_TRIES, 1)


async def test_a_pause_between_tries_blocks_no_other_conversation(inbox: Inbox) -> None:
    async def act(handled: IncomingMessage) -> Sequence[OutboxEntry]:
        if handled.conversation == "slow":
            raise DeliveryRetry("try again", after=60)
        return ()

    desk = Desk(act)
    await inbox.accept(message(1, "slow"))
    async with working(inbox, desk, QUICK.model_copy(update={"concurrency": 1})):
        for number in range(5):
            await inbox.accept(message(number, "quick"))
        await until(lambda: sum(each.startswith("quick") for each in desk.handled) == 5)
    assert [each for each in desk.handled if each.startswith("slow")] == ["slow/1"]


async def test_a_conversation_in_a_pause_is_given_up_at_once_when_the_worker_stops(inbox: Inbox) -> None:
    healthy = False

    async def act(_: IncomingMessage) -> Sequence[OutboxEntry]:
        if not healthy:
            raise DeliveryRetry("try again", after=60)
        return ()

    desk = Desk(act)
    settings = QUICK.model_copy(update={"lease_seconds": 60.0})
    await inbox.accept(message(1))
    async with working(inbox, desk, settings):
        await until(lambda: len(desk.handled) == 1)
    healthy = True
    async with working(inbox, desk, settings):
        await until(lambda: emptied(inbox))
    assert len(desk.handled) == 2


async def test_redis_away_while_a_message_is_handled_is_no_try_of_it(inbox: Inbox) -> None:
    failures = 5

    async def act(_: IncomingMessage) -> Sequence[OutboxEntry]:
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreUnavailable("Redis does not answer")
        return ()

    desk = Desk(act)
    async with working(inbox, desk):
        await inbox.accept(message(1))
        await until(lambda: emptied(inbox))
    assert len(desk.handled) == 6
    assert not desk.given_up


async def test_a_stopping_worker_finishes_its_message_and_leaves_the_rest_to_others(inbox: Inbox) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def act(_: IncomingMessage) -> Sequence[OutboxEntry]:
        begun.set()
        await go_on.wait()
        return ()

    desk = Desk(act)
    for number in range(3):
        await inbox.accept(message(number))
    settings = QUICK.model_copy(update={"lease_seconds": 60.0, "drain_seconds": 10.0})
    async with working(inbox, desk, settings) as worker:
        await begun.wait()
        await worker.stop()
        go_on.set()
    assert len(desk.handled) == 1
    assert await inbox.queue_length() == 2
    async with working(inbox, desk, settings):
        await until(lambda: emptied(inbox))
    assert desk.handled == [message(number).id for number in range(3)]


async def test_a_message_interrupted_by_the_end_of_draining_is_handled_by_the_next_worker(inbox: Inbox) -> None:
    begun, patient = asyncio.Event(), False

    async def act(_: IncomingMessage) -> Sequence[OutboxEntry]:
        begun.set()
        if not patient:
            await asyncio.Event().wait()
        return ()

    desk = Desk(act)
    await inbox.accept(message(1))
    settings = QUICK.model_copy(update={"lease_seconds": 60.0, "drain_seconds": 0.0, "tries": 1})
    for _ in range(3):
        begun.clear()
        async with working(inbox, desk, settings):
            await begun.wait()
    patient = True
    async with working(inbox, desk, settings):
        await until(lambda: emptied(inbox))
    assert len(desk.handled) == 4
    assert not desk.given_up  # an interruption is no failed try


async def test_nothing_is_lost_when_workers_stop_under_load(inbox: Inbox, redis: Redis, keys: Keys) -> None:
    async def act(_: IncomingMessage) -> Sequence[OutboxEntry]:
        await asyncio.sleep(0)
        return ()

    desk = Desk(act)
    for number in range(10):
        for conversation in range(20):
            await inbox.accept(message(number, f"c{conversation}"))
    while await inbox.queue_length():
        done = len(desk.handled)
        async with working(inbox, desk):
            await until(partial(handled_more_than, desk, min(199, done + 15)))
    assert sorted(set(desk.handled)) == sorted(desk.handled)
    for conversation in range(20):
        mine = [each for each in desk.handled if each.startswith(f"c{conversation}/")]
        assert mine == [f"c{conversation}/{number}" for number in range(10)]
    assert await no_trace_of_work(redis, keys)


async def test_a_worker_that_lost_its_lease_stops_and_another_goes_on(inbox: Inbox, redis: Redis, keys: Keys) -> None:
    interrupted: list[str] = []

    async def hang(handled: IncomingMessage) -> Sequence[OutboxEntry]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            interrupted.append(handled.id)
            raise
        return ()

    first, second = Desk(hang), Desk()
    await inbox.accept(sent := message(1))
    async with working(inbox, first):
        await until(lambda: bool(first.handled))
        await redis.set(keys.lease(sent.conversation), "somebody else", px=200)
        await until(lambda: bool(interrupted))
        assert interrupted == [sent.id]
        first.act = None
        async with working(inbox, second):
            await until(lambda: emptied(inbox))


async def test_a_dead_worker_is_succeeded_when_its_leases_run_out(inbox: Inbox) -> None:
    dead = inbox.consumer()
    await dead.join()
    await inbox.accept(sent := message(1))
    [ready] = await dead.read(10)
    head = await dead.take(ready)
    assert head is not None
    desk = Desk()
    async with working(inbox, desk):
        await until(lambda: emptied(inbox))
    assert desk.handled == [sent.id]


async def test_a_service_alone_on_its_redis_succeeds_a_dead_one_at_once(redis: Redis, keys: Keys) -> None:
    settings = WorkerSettings(lease_seconds=600)
    inbox, desk = Inbox(redis, keys, settings), Desk()
    dead = inbox.consumer()
    await dead.join()
    await inbox.accept(message(1))
    [ready] = await dead.read(10)
    await dead.take(ready)
    worker = Worker(inbox, desk.handle, desk.give_up, settings, desk, alone=True)
    running = asyncio.create_task(worker.run())
    await until(lambda: emptied(inbox))
    await worker.stop()
    await running
    assert len(desk.handled) == 1


@pytest.mark.parametrize("gone", ["before it was read", "after it was read", "after it was taken"])
async def test_a_worker_that_dies_at_any_step_loses_no_wake_up(inbox: Inbox, gone: str) -> None:
    dead = inbox.consumer()
    await dead.join()
    await inbox.accept(message(1))
    if gone != "before it was read":
        [ready] = await dead.read(1)
        if gone == "after it was taken":
            assert await dead.take(ready)
    await inbox.accept(message(2))
    desk = Desk()
    async with working(inbox, desk):
        await until(lambda: emptied(inbox))
    assert desk.handled == [message(1).id, message(2).id]


async def test_an_entry_claimed_from_a_live_worker_is_left_to_it(inbox: Inbox, redis: Redis, keys: Keys) -> None:
    owner, claimer = inbox.consumer(), inbox.consumer()
    await owner.join()
    await inbox.accept(message(1))
    [ready] = await owner.read(1)
    head = await owner.take(ready)
    assert head is not None
    await redis.xclaim(keys.ready, "workers", claimer.name, 0, [ready.entry])
    assert await claimer.take(replace(ready, token="the claimer's")) is None
    await inbox.accept(message(2))
    following = await owner.finish(head)
    assert following is not None
    assert await owner.finish(following) is None
    assert await no_trace_of_work(redis, keys)


async def test_the_work_of_a_dead_worker_is_found_behind_much_that_is_alive(inbox: Inbox) -> None:
    alive, dead, claimer = inbox.consumer(), inbox.consumer(), inbox.consumer()
    await alive.join()
    for number in range(30):
        await inbox.accept(message(1, f"paused/{number}"))
    for ready in await alive.read(30):
        assert await alive.take(ready)
    await inbox.accept(message(1, "orphan"))
    assert len(await dead.read(1)) == 1
    found: list[str] = []

    async def claimed() -> bool:
        await alive.renew()
        found.extend(ready.conversation for ready in await claimer.claim(1))
        return bool(found)

    await until(claimed)
    assert found == ["orphan"]


async def test_a_crash_counts_as_a_try_so_that_poison_ends_aside(inbox: Inbox) -> None:
    await inbox.accept(sent := message(1))
    for _ in range(QUICK.tries):
        dead = inbox.consumer()
        await dead.join()
        [ready] = await dead.read(1)
        assert await dead.take(ready)
        await dead.take_over()  # frees the lease at once, as time would
    desk = Desk()
    async with working(inbox, desk):
        await until(lambda: emptied(inbox))
    assert desk.handled == []
    assert desk.given_up == [sent.turn_id]
    assert [aside.turn_id for aside in await inbox.list_aside()] == [sent.turn_id]


async def test_a_message_that_died_in_company_gets_the_benefit_of_the_doubt(inbox: Inbox) -> None:
    """A process that is killed for another reason takes all that is in work with it, again and again."""
    sent = [message(1, conversation) for conversation in ("one", "other")]
    for each in sent:
        await inbox.accept(each)
    for _ in range(QUICK.tries):
        dead = inbox.consumer()
        await dead.join()
        for ready in await dead.read(2):
            assert await dead.take(ready)
        await dead.take_over()
    desk = Desk()
    async with working(inbox, desk):
        await until(lambda: emptied(inbox))
    assert sent[0].id in desk.handled
    assert desk.given_up in ([], [sent[1].turn_id])  # the last one may find itself alone


async def test_poison_that_kills_even_the_apology_is_set_aside_without_it(inbox: Inbox) -> None:
    await inbox.accept(message(1))
    for _ in range(2 * QUICK.tries):
        dead = inbox.consumer()
        await dead.join()
        [ready] = await dead.read(1)
        await dead.take(ready)
        await dead.take_over()
    desk = Desk()
    async with working(inbox, desk):
        await until(lambda: emptied(inbox))
    assert (desk.handled, desk.given_up, desk.aside) == ([], [], 1)


async def test_a_failing_apology_sets_the_message_aside_all_the_same(inbox: Inbox) -> None:
    async def act(_: IncomingMessage) -> Sequence[OutboxEntry]:
        raise RuntimeError

    async def speechless(*_: object) -> None:
        raise DeliveryRetry("the platform is away")

    desk = Desk(act)
    await inbox.accept(message(1))
    worker = Worker(inbox, desk.handle, speechless, QUICK, desk, backoff=lambda tries: 0.0)
    running = asyncio.create_task(worker.run())
    await until(lambda: emptied(inbox))
    await worker.stop()
    await running
    assert desk.aside == 1


async def test_a_message_of_another_release_is_set_aside_and_blocks_nothing(
    inbox: Inbox, redis: Redis, keys: Keys
) -> None:
    await inbox.accept(odd := message(1))
    await redis.hset(keys.messages(odd.conversation), odd.turn_id, '{"from": "the future"}')
    await inbox.accept(good := message(2))
    desk = Desk()
    async with working(inbox, desk):
        await until(lambda: emptied(inbox))
    assert desk.handled == [good.id]
    [aside] = await inbox.list_aside()
    assert (aside.turn_id, aside.raw) == (odd.turn_id, '{"from": "the future"}')


async def test_work_goes_on_after_redis_was_emptied(inbox: Inbox, redis: Redis) -> None:
    desk = Desk()
    async with working(inbox, desk):
        await inbox.accept(message(1))
        await until(lambda: emptied(inbox))
        await redis.flushdb()
        await inbox.accept(message(2))
        await until(lambda: len(desk.handled) == 2)


async def test_work_goes_on_after_redis_itself_was_killed(tmp_path: Path, keys: Keys) -> None:
    server, desk = PrivateRedis(tmp_path), Desk()
    try:
        async with connect(server.start()) as client:
            inbox = Inbox(client, keys, QUICK)
            for number in range(100):
                await inbox.accept(message(number))

            async def act(handled: IncomingMessage) -> Sequence[OutboxEntry]:
                if len(desk.handled) == 50:
                    os.kill(int((tmp_path / "redis" / "redis.pid").read_text()), signal.SIGKILL)
                    await asyncio.to_thread(server.start)
                return ()

            desk.act = act
            async with working(inbox, desk):
                await until(partial(handled_more_than, desk, 99))
                await until(lambda: emptied(inbox))
    finally:
        server.stop()
    assert list(dict.fromkeys(desk.handled)) == [message(number).id for number in range(100)]
    assert not desk.given_up
