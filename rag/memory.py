"""What a conversation remembers, in Redis: a hash of exchanges by turn, oldest dropped first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from rag.errors import MemoryUnavailable
from rag.settings import MemorySettings
from rag.types import Exchange

log = logging.getLogger(__name__)

STAMP = 20
"""Characters before each JSON: the question's time in microseconds, so that the script orders without parsing."""

# KEYS: the hash. ARGV: turn id, value, turns kept, seconds to live, whether a known turn is replaced.
_PUT = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 and ARGV[5] == '0' then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
"""
# KEYS: the old hash, the new hash. What the new one already knows wins.
_MOVE = """
local moved = redis.call('HGETALL', KEYS[2])
for i = 1, #moved, 2 do redis.call('HSETNX', KEYS[1], moved[i], moved[i + 1]) end
redis.call('DEL', KEYS[2])
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
"""
_TRIM = """
local all = redis.call('HGETALL', KEYS[1])
local surplus = #all / 2 - tonumber(ARGV[3])
if surplus > 0 then
  local order = {}
  for i = 1, #all, 2 do order[#order + 1] = {all[i + 1], all[i]} end
  table.sort(order, function(a, b) return a[1] < b[1] end)
  for i = 1, surplus do redis.call('HDEL', KEYS[1], order[i][2]) end
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""


class ConversationMemory:
    """The last exchanges of each conversation. Every method raises ``MemoryUnavailable`` when Redis does not answer."""

    def __init__(self, redis: Redis, settings: MemorySettings, key: Callable[[str], str]) -> None:
        self._redis = redis
        self._turns = settings.turns
        self._ttl = int(timedelta(days=settings.ttl_days).total_seconds())
        self._key = key
        self._put = redis.register_script(_PUT + _TRIM)
        self._move = redis.register_script(_MOVE + _TRIM)

    async def load(self, conversation: str) -> list[Exchange]:
        """The remembered exchanges, oldest first."""
        return sorted((await self._read(conversation)).values(), key=lambda exchange: exchange.asked_at)

    async def append(self, conversation: str, exchange: Exchange) -> None:
        """Remembers an exchange; one whose turn is known already changes nothing."""
        await self._write(conversation, exchange, replaces=False)

    async def replace(self, conversation: str, exchange: Exchange) -> None:
        """Remembers an exchange in the place of the one with the same turn, if there was one."""
        await self._write(conversation, exchange, replaces=True)

    async def remove_turn(self, conversation: str, turn_id: str) -> None:
        """Forgets one exchange; an unknown turn is no error."""
        with _mapped():
            await self._redis.hdel(self._key(conversation), turn_id)

    async def forget(self, conversation: str, speaker: str | None = None) -> int:
        """Forgets the conversation, or only what ``speaker`` asked and was answered; returns how many exchanges."""
        key = self._key(conversation)
        if speaker is None:
            with _mapped():
                async with self._redis.pipeline(transaction=True) as pipe:
                    pipe.hlen(key)
                    pipe.delete(key)
                    return int((await pipe.execute())[0])
        theirs = [turn for turn, kept in (await self._read(conversation)).items() if kept.speaker == speaker]
        with _mapped():
            return int(await self._redis.hdel(key, *theirs)) if theirs else 0

    async def move(self, old: str, new: str) -> None:
        """Gives ``new`` what ``old`` remembers, joined with its own; for a Telegram group that became a supergroup."""
        if old == new:
            return
        with _mapped():
            await self._move(keys=[self._key(new), self._key(old)], args=["", "", self._turns, self._ttl])

    async def _read(self, conversation: str) -> dict[str, Exchange]:
        with _mapped():
            stored: Mapping[bytes | str, bytes | str] = await self._redis.hgetall(self._key(conversation))
        return {exchange.turn_id: exchange for exchange in map(_decoded, stored.values()) if exchange is not None}

    async def _write(self, conversation: str, exchange: Exchange, *, replaces: bool) -> None:
        if not self._turns:
            return
        arguments: list[str | bytes | int] = [
            exchange.turn_id,
            _encoded(exchange),
            self._turns,
            self._ttl,
            int(replaces),
        ]
        with _mapped():
            await self._put(keys=[self._key(conversation)], args=arguments)


def _encoded(exchange: Exchange) -> bytes:
    stamp = int(exchange.asked_at.timestamp() * 1_000_000)
    return f"{stamp:0{STAMP}d}".encode() + _EXCHANGES.dump_json(exchange)


def _decoded(value: bytes | str) -> Exchange | None:
    """None for what another version wrote: a conversation must go on over an upgrade and a rollback."""
    try:
        return _EXCHANGES.validate_json(value[STAMP:])
    except ValidationError as error:
        log.warning("an exchange in memory cannot be read and is left out (%d errors)", error.error_count())
        return None


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise MemoryUnavailable("Redis does not answer; the conversation's memory returns when it does") from error


_EXCHANGES: TypeAdapter[Exchange] = TypeAdapter(Exchange)
