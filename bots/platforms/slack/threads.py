"""What must be remembered about threads: which ones the bot joined, and which conversation a direct message continues."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from redis.asyncio import Redis

from bots.keys import Keys
from rag.store.client import store_errors

T = TypeVar("T")

# A direct message that was placed before stays where it was (a redelivery); an answer in a known thread belongs to that
# thread's conversation; an unthreaded one continues the latest conversation, or begins one.
_PLACE = """
local own, thread, latest = KEYS[1], KEYS[2], KEYS[3]
local root = redis.call('GET', own)
if not root and ARGV[2] ~= '' then root = redis.call('GET', thread) or ARGV[2] end
if not root then root = redis.call('GET', latest) or ARGV[1] end
redis.call('SET', own, root, 'EX', ARGV[3])
redis.call('SET', latest, root, 'EX', ARGV[3])
return root
"""


class Threads:
    """Joined threads and direct messages of one deployment. ``ttl`` is the memory's own, in seconds."""

    def __init__(self, redis: Redis, keys: Keys, ttl: float) -> None:
        self._redis = redis
        self._keys = keys
        self._ttl = max(60, int(ttl))
        self._place = redis.register_script(_PLACE)

    async def join(self, team: str, channel: str, thread: str) -> None:
        """The bot was mentioned here. Raises ``StoreUnavailable``."""
        await self._safely(self._redis.set(self._joined(team, channel, thread), 1, ex=self._ttl))

    async def joined(self, team: str, channel: str, thread: str) -> bool:
        """Raises ``StoreUnavailable``."""
        return bool(await self._safely(self._redis.exists(self._joined(team, channel, thread))))

    async def accepted(self, message: str) -> bool:
        """Whether the message with this id was taken in before. Raises ``StoreUnavailable``."""
        return bool(await self._safely(self._redis.exists(self._keys.seen(message))))

    async def place(self, team: str, channel: str, ts: str, thread: str) -> str:
        """The root of the conversation to which a direct message belongs. Raises ``StoreUnavailable``."""
        names = [self._direct(team, channel, part) for part in (ts, thread, "latest")]
        args: list[str | int] = [ts, thread, self._ttl]
        return str((await self._safely(self._place(keys=names, args=args))).decode())

    async def latest(self, team: str, channel: str) -> str:
        """The root of the latest conversation in a direct channel, or nothing. Raises ``StoreUnavailable``."""
        found = await self._safely(self._redis.get(self._direct(team, channel, "latest")))
        return found.decode() if isinstance(found, bytes) else found or ""

    async def leave(self, team: str, channel: str) -> None:
        """The next unthreaded direct message begins a new conversation. Raises ``StoreUnavailable``."""
        await self._safely(self._redis.delete(self._direct(team, channel, "latest")))

    async def once(self, *what: str, seconds: int = 24 * 3600) -> bool:
        """True for the first caller within ``seconds``. Raises ``StoreUnavailable``."""
        return bool(await self._safely(self._redis.set(self._once(what), 1, nx=True, ex=seconds)))

    async def undo(self, *what: str) -> None:
        """Makes the next caller of :meth:`once` the first again. Raises ``StoreUnavailable``."""
        await self._safely(self._redis.delete(self._once(what)))

    def _once(self, what: tuple[str, ...]) -> str:
        return self._keys.of("slack", "once", *what)

    def _joined(self, team: str, channel: str, thread: str) -> str:
        return self._keys.of("slack", "joined", team, channel, thread)

    def _direct(self, team: str, channel: str, part: str) -> str:
        return self._keys.of("slack", "direct", team, channel, part)

    @staticmethod
    async def _safely(call: Awaitable[T]) -> T:
        with store_errors("the message was not accepted"):
            return await call
