"""Receiver: puts what platforms deliver into the inbox, before the platform gets its acknowledgement."""

from __future__ import annotations

from bots.messages import IncomingMessage
from bots.metrics import Metrics
from bots.queue.inbox import Inbox


class Receiver:
    """Accepts messages from platforms. A message is stored durably before :meth:`accept` returns."""

    def __init__(self, inbox: Inbox, metrics: Metrics) -> None:
        self._inbox = inbox
        self._metrics = metrics

    async def accept(self, message: IncomingMessage) -> bool:
        """Stores a message; False if it was accepted before.

        Raises ``StoreUnavailable``: the caller must then answer with an error, so that the platform delivers again.
        """
        # A question that nobody began to answer is simply taken out; the deletion itself needs no place in the queue then.
        if message.kind == "deletion" and await self._inbox.drop(message.conversation, message.original):
            return True
        new = await self._inbox.accept(message)
        self._metrics.accepted(message.platform, new=new)
        return new
