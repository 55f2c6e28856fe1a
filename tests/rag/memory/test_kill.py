"""SIGKILL between remembering and summing up: every turn is in exactly one of memory, what waits, and the summary."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any

import pytest
from redis.asyncio import Redis

from bots.keys import Keys
from rag.memory.conversation import ConversationMemory
from rag.memory.summary import loaded
from rag.settings import MemorySettings

KILLS = 3


async def remembered_until_killed(url: str, key: str, first: int, turns: int) -> int:
    """Runs the doomed process until it told of so many turns; returns the last one that it told of."""
    command = (sys.executable, "-m", "tests.rag.memory.doomed_process", url, key, str(first))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    last = first - 1
    for _ in range(turns):
        last = int(await process.stdout.readline())
    process.kill()
    rest = (await process.communicate())[0].split()
    return int(rest[-1]) if rest else last


@pytest.mark.slow
async def test_no_turn_is_lost_or_told_twice_whenever_the_process_dies(
    redis: Redis, redis_url: str, keys: Keys
) -> None:
    key = keys.memory("c")
    last = -1
    for _ in range(KILLS):
        last = await remembered_until_killed(redis_url, key, last + 1, random.randint(20, 60))
    memory = ConversationMemory(redis, MemorySettings(turns=2), lambda _: key)
    kept = [each.question for each in await memory.load("c")]
    stored: Any = await redis.hkeys(f"{key}:to-fold")
    waiting = [turn.decode().replace("t", "q") for turn in stored]
    summed = loaded(await redis.get(f"{key}:summary")).text.split()
    told = [*summed, *sorted(waiting, key=lambda each: int(each[1:])), *kept]
    assert len(summed) > 20
    # A turn may have been remembered by a process that was killed before it told of it.
    assert told in ([f"q{number}" for number in range(last + 1)], [f"q{number}" for number in range(last + 2)])
