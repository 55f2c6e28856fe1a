"""Between the platforms and the inbox: what they deliver is durable before they are told so."""

from __future__ import annotations

from bots.messages import IncomingMessage
from bots.metrics import Metrics
from bots.queue.inbox import Inbox


class Receiver:
    """Takes what platforms deliver: durable before it returns."""

    def __init__(self, inbox: Inbox, metrics: Metrics) -> None:
        self._inbox = inbox
        self._metrics = metrics

    async def accept(self, message: IncomingMessage) -> bool:
        """False for what was seen before. Raises ``StoreUnavailable``: the platform must be told to try again."""
        if message.kind == "deletion" and await self._inbox.drop(message.conversation, message.original):
            return True
        new = await self._inbox.accept(message)
        self._metrics.accepted(message.platform, new=new)
        return new
