"""A worker process for the kill tests: ``python -m tests.bots.queue.kill_worker URL PREFIX SEED``; it writes down what it does.

The write is fenced by the lease, as every effect of the service is, so that a process that slept too long leaves no trace.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Sequence

import uvloop

from bots.errors import LeaseLost
from bots.keys import Keys
from bots.messages import IncomingMessage
from bots.queue.inbox import Inbox
from bots.queue.outbox import OutboxEntry
from bots.queue.replies import Lease
from bots.queue.worker import Worker
from bots.settings import WorkerSettings
from rag.store.client import connect

SETTINGS = WorkerSettings(lease_seconds=1, tries=20, concurrency=8)

_WRITE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('RPUSH', KEYS[2], ARGV[2])
"""


class Nobody:
    """Figures that nobody reads."""

    def set_aside(self) -> None:
        """Not counted."""


async def main(url: str, prefix: str, seed: int) -> None:
    chance = random.Random(seed)
    keys = Keys(prefix)
    async with connect(url) as redis:
        write = redis.register_script(_WRITE)

        async def handle(message: IncomingMessage, lease: Lease) -> Sequence[OutboxEntry]:
            await asyncio.sleep(chance.expovariate(200))
            places = [keys.lease(lease.conversation), keys.of("handled", lease.conversation)]
            if not await write(keys=places, args=[lease.token, message.text]):
                raise LeaseLost("the process slept too long")
            await asyncio.sleep(chance.expovariate(200))
            return ()

        async def give_up(message: IncomingMessage, lease: Lease) -> None:
            raise AssertionError(message.id)

        await redis.incr(keys.of("started"))
        await Worker(Inbox(redis, keys, SETTINGS), handle, give_up, SETTINGS, Nobody()).run()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
