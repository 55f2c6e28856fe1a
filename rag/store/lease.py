"""A lease: the right to do what one process at a time may do, which ends by itself when its owner dies.

Redis keeps the owner's token under one key and ends it by its own clock, so the clocks of machines are never compared.
Whoever must write in the same step as the check (the inbox does) puts ``LEASE_FUNCTIONS`` before its own script.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from rag.cancellation import end
from rag.errors import StoreUnavailable
from rag.store.client import store_errors

log = structlog.get_logger()

LEASE_FUNCTIONS = """
local function lease_of_another(lease, token)
    local owner = redis.call('GET', lease)
    return owner and owner ~= token
end

local function owns_lease(lease, token)
    return redis.call('GET', lease) == token
end

local function acquire_lease(lease, token, milliseconds)
    if lease_of_another(lease, token) then return false end
    redis.call('SET', lease, token, 'PX', milliseconds)
    return true
end

local function renew_lease(lease, token, milliseconds)
    return owns_lease(lease, token) and redis.call('PEXPIRE', lease, milliseconds) == 1
end

local function release_lease(lease, token)
    return owns_lease(lease, token) and redis.call('DEL', lease) == 1
end
"""
"""Lua. Each may run twice (a broken connection is tried again): who owns the lease acquires it once more."""

_ACQUIRE = f"{LEASE_FUNCTIONS}\nreturn acquire_lease(KEYS[1], ARGV[1], ARGV[2])"
_RENEW = f"{LEASE_FUNCTIONS}\nreturn renew_lease(KEYS[1], ARGV[1], ARGV[2])"
_RELEASE = f"{LEASE_FUNCTIONS}\nreturn release_lease(KEYS[1], ARGV[1])"


class Lease:
    """One owner's end of the lease at ``key``: of several, at most one is ``valid``.

    ``seconds``: how long the right outlives its last renewal; ``right`` names it in errors and in the log.
    """

    def __init__(
        self, redis: Redis, key: str, *, seconds: float, right: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._key = key
        self._seconds = seconds
        self._right = right
        self._clock = clock
        self._token = secrets.token_hex(16)
        self._until = -math.inf
        self._acquire = redis.register_script(_ACQUIRE)
        self._renew = redis.register_script(_RENEW)
        self._release = redis.register_script(_RELEASE)

    @property
    def valid(self) -> bool:
        """Whether this owner may act now. It turns false by itself when Redis could not be asked in time."""
        return self._clock() < self._until

    async def acquire(self) -> bool:
        """Takes the lease, or keeps it; False while another owns it. Raises ``StoreUnavailable``."""
        return await self._extend(self._acquire, "was not acquired")

    async def renew(self) -> bool:
        """Keeps the lease; False where it is lost: it ran out, or another owns it. Then it is not ``valid`` any more.

        Raises ``StoreUnavailable``; then it stays ``valid`` until its time is over, and renewing again may save it.
        """
        return await self._extend(self._renew, "was not renewed")

    async def ensure(self) -> bool:
        """:meth:`acquire`, asking only when a third of the time is over: each time is a write to the disk of Redis."""
        return self._clock() < self._until - self._seconds * 2 / 3 or await self.acquire()

    async def release(self) -> bool:
        """Ends the lease, so that another may have it at once; False where it was lost. Raises ``StoreUnavailable``."""
        self._until = -math.inf
        with store_errors(f"the lease of {self._right} runs out by itself"):
            return bool(await self._release(keys=[self._key], args=[self._token]))

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Waits for the lease, renews it four times in its time, and releases it at the end; Redis may be away meanwhile.

        Inside, whoever acts on the right asks ``valid`` before each step, and leaves when it is not.
        """
        while not await self._attempt(self.acquire()):  # noqa: ASYNC110 - no event tells that another's lease ended
            await asyncio.sleep(self._seconds / 8)
        renewal = asyncio.create_task(self._renew_while_valid(), name=f"lease of {self._right}")
        try:
            yield
        finally:
            await end(renewal)
            await self._attempt(self.release())

    async def _renew_while_valid(self) -> None:
        while self.valid:
            await asyncio.sleep(self._seconds / 4)
            await self._attempt(self.renew())

    async def _attempt(self, step: Awaitable[bool]) -> bool:
        try:
            return await step
        except StoreUnavailable as error:
            log.warning("lease_unavailable", right=self._right, error=str(error))
            return False

    async def _extend(self, script: AsyncScript, consequence: str) -> bool:
        # Counted from before Redis is asked: here the right ends no later than there.
        started = self._clock()
        with store_errors(f"the lease of {self._right} {consequence}"):
            owned = bool(await script(keys=[self._key], args=[self._token, int(self._seconds * 1000)]))
        self._until = started + self._seconds if owned else -math.inf
        return owned
