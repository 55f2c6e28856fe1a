"""A reply that checks, right before each step, whether a person has taken the conversation over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bots.messages import OutgoingReply
from bots.platforms.base import Reply
from rag.types import Stage


class TakenOver(Exception):
    """A person answers now, so nothing more may be shown. ``reply`` is the reply that was begun."""

    def __init__(self, reply: Reply) -> None:
        super().__init__("a person answers here")
        self.reply = reply


class AttendedReply(Reply):
    """Passes every step on to ``reply``, or raises ``TakenOver`` if ``taken`` returns True."""

    def __init__(self, reply: Reply, taken: Callable[[], Awaitable[bool]]) -> None:
        self._reply = reply
        self._taken = taken

    async def status(self, stage: Stage) -> None:
        # Unchecked: a status only shows that work goes on, and a check costs a trip to Redis.
        await self._reply.status(stage)

    async def show(self, text: str) -> None:
        await self._check()
        await self._reply.show(text)

    async def finish(self, reply: OutgoingReply) -> None:
        await self._check()
        await self._reply.finish(reply)

    async def _check(self) -> None:
        if await self._taken():
            raise TakenOver(self._reply)
