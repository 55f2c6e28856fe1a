"""State of threads in Redis: which ones the bot joined, and which conversation a direct message continues."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from redis.asyncio import Redis

from bots.keys import Keys
from rag.store.client import store_errors

T = TypeVar("T")

# In this order: a redelivered direct message keeps its root; one in a thread belongs to the conversation of that thread;
# an unthreaded one continues the latest conversation, or begins one. One script, because two messages may arrive at once.
_ASSIGN_ROOT = """
local own, thread, latest = KEYS[1], KEYS[2], KEYS[3]
local root = redis.call('GET', own)
if not root and ARGV[2] ~= '' then root = redis.call('GET', thread) or ARGV[2] end
if not root then root = redis.call('GET', latest) or ARGV[1] end
redis.call('SET', own, root, 'EX', ARGV[3])
redis.call('SET', latest, root, 'EX', ARGV[3])
return root
"""


class Threads:
    """Joined threads and direct messages of one deployment. ``ttl``: seconds, the same as the memory's."""

    def __init__(self, redis: Redis, keys: Keys, ttl: float) -> None:
        self._redis = redis
        self._keys = keys
        # Redis refuses an expiry of 0.
        self._ttl = max(60, int(ttl))
        self._assign_root = redis.register_script(_ASSIGN_ROOT)

    async def join(self, team: str, channel: str, thread: str) -> None:
        """Notes that the bot was mentioned in a thread. Raises ``StoreUnavailable``."""
        await self._run(self._redis.set(self._joined_key(team, channel, thread), 1, ex=self._ttl))

    async def is_joined(self, team: str, channel: str, thread: str) -> bool:
        """Whether the bot was mentioned in a thread. Raises ``StoreUnavailable``."""
        return bool(await self._run(self._redis.exists(self._joined_key(team, channel, thread))))

    async def is_accepted(self, message: str) -> bool:
        """Whether the message with this id is or was in the inbox. Raises ``StoreUnavailable``."""
        return bool(await self._run(self._redis.exists(self._keys.seen(message))))

    async def assign_root(self, team: str, channel: str, ts: str, thread: str) -> str:
        """The root of the conversation to which a direct message belongs. Raises ``StoreUnavailable``."""
        names = [self._direct_key(team, channel, part) for part in (ts, thread, "latest")]
        args: list[str | int] = [ts, thread, self._ttl]
        return str((await self._run(self._assign_root(keys=names, args=args))).decode())

    async def latest(self, team: str, channel: str) -> str:
        """The root of the latest conversation in a direct channel; empty for none. Raises ``StoreUnavailable``."""
        root = await self._run(self._redis.get(self._direct_key(team, channel, "latest")))
        return root.decode() if isinstance(root, bytes) else root or ""

    async def forget_latest(self, team: str, channel: str) -> None:
        """The next unthreaded direct message begins a new conversation. Raises ``StoreUnavailable``."""
        await self._run(self._redis.delete(self._direct_key(team, channel, "latest")))

    async def first_time(self, *name: str, seconds: int = 24 * 3600) -> bool:
        """True for the first caller within ``seconds``. Raises ``StoreUnavailable``."""
        return bool(await self._run(self._redis.set(self._first_time_key(name), 1, nx=True, ex=seconds)))

    async def reset_first_time(self, *name: str) -> None:
        """Makes the next caller of :meth:`first_time` the first again. Raises ``StoreUnavailable``."""
        await self._run(self._redis.delete(self._first_time_key(name)))

    def _first_time_key(self, name: tuple[str, ...]) -> str:
        return self._keys.of("slack", "once", *name)

    def _joined_key(self, team: str, channel: str, thread: str) -> str:
        return self._keys.of("slack", "joined", team, channel, thread)

    def _direct_key(self, team: str, channel: str, part: str) -> str:
        return self._keys.of("slack", "direct", team, channel, part)

    @staticmethod
    async def _run(call: Awaitable[T]) -> T:
        with store_errors("the message was not accepted"):
            return await call
