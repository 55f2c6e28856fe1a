"""A reply that looks, right before each step, whether a person has taken the conversation over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bots.messages import OutgoingReply
from bots.platforms.base import Reply
from rag.types import Stage


class TakenOver(Exception):
    """A person answers here now: nothing more may be shown. ``reply`` is what was begun."""

    def __init__(self, reply: Reply) -> None:
        super().__init__("a person answers here")
        self.reply = reply


class AttendedReply(Reply):
    """``taken`` says whether a person has taken over. Raises ``TakenOver`` in place of a step."""

    def __init__(self, reply: Reply, taken: Callable[[], Awaitable[bool]]) -> None:
        self._reply = reply
        self._taken = taken

    async def status(self, stage: Stage) -> None:
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
