"""The right to poll: Telegram serves one poller a bot, so of several processes one polls and the others stand by."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from time import monotonic

import structlog
from redis.asyncio import Redis

from bots.keys import Keys
from rag.cancellation import end
from rag.errors import StoreUnavailable
from rag.store.client import store_errors

log = structlog.get_logger()

_EXTEND = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class PollingLease:
    """A lease of ``seconds`` in Redis, renewed four times in that time while it is held."""

    def __init__(self, redis: Redis, keys: Keys, seconds: float) -> None:
        self._redis = redis
        self._key = keys.of("telegram", "poller")
        self._seconds = seconds
        self._token = secrets.token_hex(16)
        self._until = 0.0
        self._extend = redis.register_script(_EXTEND)
        self._release = redis.register_script(_RELEASE)

    @property
    def ours(self) -> bool:
        """Whether this process may poll. Turns false by itself when Redis cannot be asked."""
        return monotonic() < self._until

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Waits for the lease, keeps it while inside, and hands it on at the end."""
        while not await self._asked(self._acquire()):  # noqa: ASYNC110  (the lease is Redis's; no event tells of it)
            await asyncio.sleep(self._seconds / 8)
        log.info("telegram.polls")
        renewal = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            await end(renewal)
            self._until = 0.0
            await self._asked(self._give_up())

    async def _renew(self) -> None:
        while self.ours:
            await asyncio.sleep(self._seconds / 4)
            started = monotonic()
            if await self._asked(self._extended()):
                self._until = started + self._seconds

    async def _acquire(self) -> bool:
        started = monotonic()
        with store_errors("nobody polls Telegram"):
            got = await self._redis.set(self._key, self._token, nx=True, px=self._milliseconds)
        if got:
            self._until = started + self._seconds
        return bool(got)

    async def _extended(self) -> bool:
        with store_errors("the right to poll was not renewed"):
            return bool(await self._extend(keys=[self._key], args=[self._token, self._milliseconds]))

    async def _give_up(self) -> bool:
        with store_errors("the right to poll ends by itself"):
            return bool(await self._release(keys=[self._key], args=[self._token]))

    @staticmethod
    async def _asked(question: Awaitable[bool]) -> bool:
        try:
            return await question
        except StoreUnavailable as error:
            log.warning("telegram.lease", error=str(error))
            return False

    @property
    def _milliseconds(self) -> int:
        return int(self._seconds * 1000)
