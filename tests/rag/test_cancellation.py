"""Tasks end even where a library swallows a cancellation."""

from __future__ import annotations

import asyncio

from rag.cancellation import end


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if swallowed:
                    raise
                swallowed += 1

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()
    assert swallowed == 1


async def test_a_task_that_failed_or_is_over_already_ends_without_a_word() -> None:
    async def failing() -> None:
        raise RuntimeError

    for task in (asyncio.create_task(asyncio.sleep(0)), asyncio.create_task(failing())):
        await asyncio.wait([task])
        await end(task)
