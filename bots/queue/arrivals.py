"""Tells at once who answers a conversation that another message came into it, through whichever process it came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from rag.cancellation import end

QUIET_SECONDS = 60.0
"""Of one read of a subscription: redis-py otherwise fails a read after the client's socket timeout (seen with 8.1)."""
AGAIN_SECONDS = 1.0
"""Until a subscription that broke is tried again."""


class Arrivals:
    """One subscription to ``channel`` a process, and that only while somebody listens: most answers are over too soon."""

    def __init__(self, redis: Redis, channel: str) -> None:
        self._redis = redis
        self._channel = channel
        self._listeners: dict[str, list[asyncio.Event]] = {}
        self._listening: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def into(self, conversation: str) -> AsyncIterator[asyncio.Event]:
        """An event that each arrival sets. It may also be set where nothing came: now, and whenever some may have been missed."""
        arrived = asyncio.Event()
        arrived.set()
        self._listeners.setdefault(conversation, []).append(arrived)
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen(), name="arrivals")
        try:
            yield arrived
        finally:
            await self._leave(conversation, arrived)

    async def _leave(self, conversation: str, arrived: asyncio.Event) -> None:
        self._listeners[conversation].remove(arrived)
        if not self._listeners[conversation]:
            del self._listeners[conversation]
        if not self._listeners and self._listening is not None:
            listening, self._listening = self._listening, None
            await end(listening)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as subscription:
                    await subscription.subscribe(self._channel)
                    while True:
                        self._tell(await subscription.get_message(timeout=QUIET_SECONDS))
            except (RedisError, OSError):
                await asyncio.sleep(AGAIN_SECONDS)
                self._tell_all()  # where subscribing is forbidden, listeners still look once in a while

    def _tell(self, message: Any) -> None:
        match message:
            case {"type": "message", "data": bytes(conversation)}:
                for arrived in self._listeners.get(conversation.decode(), ()):
                    arrived.set()
            case {"type": "subscribe"}:  # what came before this was not heard
                self._tell_all()

    def _tell_all(self) -> None:
        for listeners in self._listeners.values():
            for arrived in listeners:
                arrived.set()
