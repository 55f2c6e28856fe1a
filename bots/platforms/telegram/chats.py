"""State of chats in Redis: which ones blocked the bot, which group became which supergroup."""

from __future__ import annotations

from redis.asyncio import Redis

from bots.keys import Keys
from rag.store.client import store_errors

_BLOCKED_SECONDS = 90 * 24 * 3600
_MOVED_SECONDS = 30 * 24 * 3600


class Chats:
    """Shared through Redis, because one process receives and another one sends. Methods raise ``StoreUnavailable``."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def block(self, chat: int) -> None:
        """Nothing is sent to ``chat`` until a message comes from it, or Telegram reports that it unblocked the bot."""
        with store_errors("a chat that blocked the bot was not noted"):
            await self._redis.set(self._blocked_key(chat), 1, ex=_BLOCKED_SECONDS)

    async def unblock(self, chat: int) -> None:
        with store_errors("a chat was not opened again"):
            await self._redis.delete(self._blocked_key(chat))

    async def move(self, old: int, new: int) -> None:
        """Notes that the group ``old`` became the supergroup ``new``."""
        with store_errors("the move of a group was not noted"):
            await self._redis.set(self._moved_key(old), new, ex=_MOVED_SECONDS)

    async def has_moved(self, old: int) -> bool:
        with store_errors("the move of a group is unknown"):
            return bool(await self._redis.exists(self._moved_key(old)))

    async def look_up(self, chat: int) -> tuple[int, bool]:
        """The present id of ``chat``, and whether it is blocked."""
        with store_errors("the state of a chat is unknown"):
            new_id, blocked = await self._redis.mget(self._moved_key(chat), self._blocked_key(chat))
            if new_id is None:
                return chat, blocked is not None
            # A second look-up for a moved group only: one trip is enough for all other chats.
            return int(new_id), bool(await self._redis.exists(self._blocked_key(int(new_id))))

    def _blocked_key(self, chat: int) -> str:
        return self._keys.of("telegram", "blocked", str(chat))

    def _moved_key(self, chat: int) -> str:
        return self._keys.of("telegram", "moved", str(chat))
