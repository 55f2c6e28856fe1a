"""The queue of long work on a real Redis: once at a time, taken over from the dead, handed on by those who leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
from redis.asyncio import Redis

from bots.keys import Keys
from rag.errors import StoreUnavailable
from rag.store.client import connect
from rag.store.task_queue import TaskQueue
from tests.waiting import until

PATIENCE = 30.0


@dataclass(slots=True)
class Work:
    """Remembers what began and what ended; holds its tasks until it is told to let them go."""

    begun: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def __call__(self, task: str) -> None:
        await self._note(self.begun, task)
        await self.open.wait()
        await self._note(self.ended, task)

    async def _note(self, where: list[str], task: str) -> None:
        async with self.changed:
            where.append(task)
            self.changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE), self.changed:
            await self.changed.wait_for(condition)


@pytest.fixture
async def process(redis: Redis, redis_url: str, keys: Keys) -> AsyncIterator[Callable[..., Awaitable[TaskQueue]]]:
    """What opens one process's end of the queue."""
    async with AsyncExitStack() as stack:

        async def opened(work: Callable[[str], Awaitable[None]], *, alone: bool = False) -> TaskQueue:
            name = keys.of("queue", "test")
            queue = TaskQueue(redis, redis_url, name, work, at_once=2, lease_seconds=1, poll_seconds=0.05, alone=alone)
            await queue.open()
            stack.push_async_callback(queue.close)
            return queue

        yield opened


async def test_a_task_that_is_queued_or_in_work_is_not_taken_twice(
    process: Callable[..., Awaitable[TaskQueue]],
) -> None:
    work = Work()
    queue = await process(work)
    await queue.add("a")
    await work.until(lambda: work.begun == ["a"])
    await queue.add("a")
    await queue.add("b")
    await work.until(lambda: work.begun == ["a", "b"])
    work.open.set()
    await work.until(lambda: sorted(work.ended) == ["a", "b"])


async def test_a_task_that_ended_can_be_asked_for_again(process: Callable[..., Awaitable[TaskQueue]]) -> None:
    work = Work()
    work.open.set()
    queue = await process(work)

    async def done_three_times() -> bool:
        await queue.add("a")
        return len(work.ended) >= 3

    await until(done_three_times)
    assert set(work.ended) == {"a"}


async def test_what_a_leaving_process_had_in_work_another_begins_anew(
    process: Callable[..., Awaitable[TaskQueue]],
) -> None:
    leaving, staying = Work(), Work()
    first = await process(leaving)
    await first.add("a")
    await leaving.until(lambda: leaving.begun == ["a"])
    staying.open.set()
    await process(staying)
    await first.close()
    await staying.until(lambda: staying.ended == ["a"])
    assert leaving.ended == []


async def test_who_is_alone_begins_with_an_empty_queue(process: Callable[..., Awaitable[TaskQueue]]) -> None:
    former, work = Work(), Work()
    first = await process(former)
    await first.add("a")
    await former.until(lambda: former.begun == ["a"])
    await first.close()
    work.open.set()
    queue = await process(work, alone=True)
    await queue.add("b")
    await queue.add("a")
    await work.until(lambda: sorted(work.ended) == ["a", "b"])


async def test_work_that_fails_leaves_the_queue_going(process: Callable[..., Awaitable[TaskQueue]]) -> None:
    work = Work()
    work.open.set()

    async def failing(task: str) -> None:
        if task == "bad":
            raise RuntimeError("whatever")
        await work(task)

    queue = await process(failing)
    for task in ("bad", "a"):
        await queue.add(task)
    await work.until(lambda: work.ended == ["a"])


async def test_without_redis_nothing_is_added_and_the_queue_still_closes(keys: Keys) -> None:
    url = "unix:///nowhere/redis.sock"
    async with connect(url) as nobody:
        queue = TaskQueue(nobody, url, keys.of("queue"), Work(), at_once=1, lease_seconds=1)
        opening = asyncio.create_task(queue.open())
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable):
            await queue.add("a")
        await queue.close()
        opening.cancel()
