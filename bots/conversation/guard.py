"""Guard: limits on messages per minute, for each person and each conversation, and on the length of a message."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from redis.asyncio import Redis

from bots.keys import Keys
from bots.messages import IncomingMessage
from bots.settings import LimitSettings
from bots.texts import say
from rag.store.client import store_errors

WINDOW_MILLISECONDS = 60_000

# KEYS: two sorted sets of counted turns (person, conversation), two keys of who was told. ARGV: turn, window, two limits, time.
# 'first' if this turn is to tell of the limit, 'again' if another one told of it within the window.

_CHECK = """
local turn, window, at = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[5])
for i = 1, 2 do redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', at - window) end
if redis.call('ZSCORE', KEYS[1], turn) then return 'allowed' end
for i = 1, 2 do
    if redis.call('ZCOUNT', KEYS[i], '-inf', at) >= tonumber(ARGV[i + 2]) then
        redis.call('SET', KEYS[i + 2], turn, 'NX', 'PX', window)
        return redis.call('GET', KEYS[i + 2]) == turn and 'first' or 'again'
    end
end
for i = 1, 2 do
    redis.call('ZADD', KEYS[i], at, turn)
    redis.call('PEXPIRE', KEYS[i], window)
end
return 'allowed'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a message is handled. ``sentence`` is the reply to its sender, or None if they got it less than a minute ago."""

    kind: Literal["allowed", "limited", "too_long"]
    sentence: str | None = None

    @property
    def refused(self) -> bool:
        return self.kind != "allowed"


class Guard:
    """A sliding window of a minute for each person and each conversation, in Redis. A refused message does not count.

    Times are those at which messages were received, not handled: messages that queued up while no worker was running were not
    sent too fast.
    """

    def __init__(self, redis: Redis, keys: Keys, limits: LimitSettings) -> None:
        self._keys = keys
        self._limits = limits
        self._check = redis.register_script(_CHECK)

    async def check(self, message: IncomingMessage) -> Verdict:
        """The verdict on a message, which counts once however often it is handled. Raises ``StoreUnavailable``."""
        length, limit = len(message.text), self._limits.message_characters
        if length > limit:
            return Verdict(kind="too_long", sentence=say(message.language, "too_long", length=length, limit=limit))
        whose = [f"{message.platform}:{message.sender.id}", message.conversation]
        places = [self._place(part, each) for part in ("asked", "told") for each in whose]
        limits = [self._limits.user_per_minute, self._limits.conversation_per_minute]
        with store_errors("the message is handled when it does"):
            received = int(message.received_at.timestamp() * 1000)
            result = await self._check(keys=places, args=[message.turn_id, WINDOW_MILLISECONDS, *limits, received])
        if result == b"allowed":
            return Verdict(kind="allowed")
        return Verdict(kind="limited", sentence=say(message.language, "limited") if result == b"first" else None)

    def _place(self, part: str, whose: str) -> str:
        return self._keys.of("limit", part, hashlib.sha256(whose.encode()).hexdigest()[:32])
