"""What is remembered of chats: who blocked the bot, which group became which supergroup."""

from __future__ import annotations

from redis.asyncio import Redis

from bots.keys import Keys
from rag.store.client import store_errors

_BLOCKED_SECONDS = 90 * 24 * 3600
_MOVED_SECONDS = 30 * 24 * 3600


class Chats:
    """In Redis, because the process that learns it is not the one that sends. Methods raise ``StoreUnavailable``."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def block(self, chat: int) -> None:
        """Nothing is sent to ``chat`` until it shows itself again."""
        with store_errors("a chat that blocked the bot was not noted"):
            await self._redis.set(self._blocked(chat), 1, ex=_BLOCKED_SECONDS)

    async def unblock(self, chat: int) -> None:
        with store_errors("a chat was not opened again"):
            await self._redis.delete(self._blocked(chat))

    async def move(self, old: int, new: int) -> None:
        """The group ``old`` became the supergroup ``new``."""
        with store_errors("the move of a group was not noted"):
            await self._redis.set(self._moved(old), new, ex=_MOVED_SECONDS)

    async def moved(self, old: int) -> bool:
        with store_errors("the move of a group is unknown"):
            return bool(await self._redis.exists(self._moved(old)))

    async def look_up(self, chat: int) -> tuple[int, bool]:
        """Where ``chat`` is now, and whether it is blocked."""
        with store_errors("the state of a chat is unknown"):
            moved, blocked = await self._redis.mget(self._moved(chat), self._blocked(chat))
            if moved is None:
                return chat, blocked is not None
            return int(moved), bool(await self._redis.exists(self._blocked(int(moved))))

    def _blocked(self, chat: int) -> str:
        return self._keys.of("telegram", "blocked", str(chat))

    def _moved(self, chat: int) -> str:
        return self._keys.of("telegram", "moved", str(chat))
