"""Worker processes are killed and put to sleep at random: all is handled, in order, and only what was in work twice."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import sys
from dataclasses import dataclass, field
from functools import partial

import pytest
from redis.asyncio import Redis

from bots.keys import Keys
from bots.queue.inbox import Inbox
from tests.bots.engine import emptied, message
from tests.bots.queue.kill_worker import SETTINGS
from tests.waiting import until


@dataclass
class Pack:
    """Worker processes of a test."""

    url: str
    prefix: str
    chance: random.Random
    alive: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def add(self) -> None:
        arguments = ["-m", "tests.bots.queue.kill_worker", self.url, self.prefix, str(self.chance.random())[2:8]]
        self.alive.append(await asyncio.create_subprocess_exec(sys.executable, *arguments))

    async def kill_one(self) -> None:
        victim = self.alive.pop(self.chance.randrange(len(self.alive)))
        victim.kill()
        await victim.wait()

    async def put_one_to_sleep(self, seconds: float) -> None:
        sleeper = self.chance.choice(self.alive)
        sleeper.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        sleeper.send_signal(signal.SIGCONT)

    async def kill_all(self) -> None:
        while self.alive:
            await self.kill_one()


@dataclass(kw_only=True)
class Storm:
    """Messages that come in over some seconds, over some conversations, while processes are killed or put to sleep."""

    messages: int
    seconds: float
    conversations: int
    workers: int
    kills: int
    sleeps: int

    async def rage(self, redis: Redis, url: str, keys: Keys, chance: random.Random) -> None:
        inbox = Inbox(redis, keys, SETTINGS)
        pack = Pack(url, keys.prefix, chance)
        try:
            for _ in range(self.workers):
                await pack.add()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._accept(inbox, chance))
                group.create_task(self._rage(redis, keys, pack, chance))
            await until(lambda: emptied(inbox), 60)
        finally:
            await pack.kill_all()
        assert not await inbox.list_aside()
        for conversation in range(self.conversations):
            handled = [int(each) for each in await redis.lrange(keys.of("handled", f"c{conversation}"), 0, -1)]
            once = [number for number, _ in itertools.groupby(handled)]
            assert once == list(range(conversation, self.messages, self.conversations))

    async def _accept(self, inbox: Inbox, chance: random.Random) -> None:
        for number in range(self.messages):
            await inbox.accept(message(number, f"c{number % self.conversations}", text=str(number)))
            await asyncio.sleep(chance.expovariate(self.messages / self.seconds))

    async def _rage(self, redis: Redis, keys: Keys, pack: Pack, chance: random.Random) -> None:
        blows = ["kill"] * self.kills + ["sleep"] * self.sleeps
        chance.shuffle(blows)
        for number, blow in enumerate(blows):
            await until(partial(_started, redis, keys, self.workers + blows[:number].count("kill")), 30)
            await asyncio.sleep(chance.uniform(0.02, 0.4))
            if blow == "kill":
                await pack.kill_one()
                await pack.add()
            else:
                await pack.put_one_to_sleep(SETTINGS.lease_seconds * 1.6)


async def _started(redis: Redis, keys: Keys, count: int) -> bool:
    return int(await redis.get(keys.of("started")) or 0) >= count


async def test_killing_workers_loses_nothing_and_mixes_nothing_up(redis: Redis, redis_url: str, keys: Keys) -> None:
    storm = Storm(messages=600, seconds=2.5, conversations=20, workers=2, kills=3, sleeps=0)
    await storm.rage(redis, redis_url, keys, random.Random(7))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(3))
async def test_a_long_storm_of_kills_and_sleeps_loses_nothing(
    redis: Redis, redis_url: str, keys: Keys, seed: int
) -> None:
    storm = Storm(messages=6000, seconds=25, conversations=60, workers=3, kills=15, sleeps=4)
    await storm.rage(redis, redis_url, keys, random.Random(seed))
