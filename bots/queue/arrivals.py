"""Wakes the worker that answers a conversation when another message arrives in it, through any process.

Redis publishes the conversation's name on one channel; each process hands it on to its own listeners as an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from rag.cancellation import end

QUIET_SECONDS = 60.0
"""How long one read of a subscription waits. Without it, redis-py fails the read after the client's socket timeout (seen with
8.1)."""
RETRY_SECONDS = 1.0
"""How long to wait before a broken subscription is opened again."""


class Arrivals:
    """One subscription to ``channel`` for each process.

    It is open only while somebody listens, because most answers end before anybody needs it.
    """

    def __init__(self, redis: Redis, channel: str) -> None:
        self._redis = redis
        self._channel = channel
        self._listeners: dict[str, list[asyncio.Event]] = {}
        self._subscription: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def into(self, conversation: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set by each message that arrives in ``conversation``.

        It is also set at the start and whenever messages may have been missed, so the listener must look into the queue.
        """
        arrived = asyncio.Event()
        # Publishing reaches only those who subscribe already: what came before must be looked for in the queue.
        arrived.set()
        self._listeners.setdefault(conversation, []).append(arrived)
        if self._subscription is None:
            self._subscription = asyncio.create_task(self._listen(), name="arrivals")
        try:
            yield arrived
        finally:
            await self._leave(conversation, arrived)

    async def _leave(self, conversation: str, arrived: asyncio.Event) -> None:
        self._listeners[conversation].remove(arrived)
        if not self._listeners[conversation]:
            del self._listeners[conversation]
        if not self._listeners and self._subscription is not None:
            # Cleared before the await: a listener that comes meanwhile must start a task of its own.
            task, self._subscription = self._subscription, None
            await end(task)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as subscription:
                    await subscription.subscribe(self._channel)
                    while True:
                        self._handle(await subscription.get_message(timeout=QUIET_SECONDS))
            except (RedisError, OSError):
                await asyncio.sleep(RETRY_SECONDS)
                # Listeners look into the queue themselves then, also where this Redis user may not subscribe at all.
                self._wake_all()

    def _handle(self, message: Any) -> None:
        match message:
            case {"type": "message", "data": bytes(conversation)}:
                for arrived in self._listeners.get(conversation.decode(), ()):
                    arrived.set()
            case {"type": "subscribe"}:
                # The confirmation also comes after a reconnect, and messages published in between are lost.
                self._wake_all()

    def _wake_all(self) -> None:
        for listeners in self._listeners.values():
            for arrived in listeners:
                arrived.set()
