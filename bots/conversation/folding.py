"""Folding: older turns of a conversation are summarised in the background, after the answer was sent.

Turns that still have to be folded stay in Redis, so that a killed process loses none of them.
"""

from __future__ import annotations

import asyncio

import structlog

from rag.cancellation import end
from rag.errors import RagError
from rag.memory.conversation import ConversationMemory, Summarise

log = structlog.get_logger()


class Folding:
    """Folds one conversation at a time, so that summaries take little of the model's time from answers.

    Conversations that were not begun before :meth:`close` are folded after their next turn.
    """

    def __init__(self, memory: ConversationMemory, summarise: Summarise) -> None:
        self._memory = memory
        self._summarise = summarise
        # A dict is an ordered set: a conversation that is pending twice is folded once.
        self._pending: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None

    def after(self, conversation: str) -> None:
        """Schedules the folding of a conversation that has one more turn. Returns at once."""
        self._pending[conversation] = None
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._fold_pending(), name="summaries")

    async def wait_until_idle(self) -> None:
        """Waits until every pending conversation was tried."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Cancels the work; what is pending is folded after the next turns."""
        if self._task is not None:
            await end(self._task)

    async def _fold_pending(self) -> None:
        while self._pending:
            conversation = next(iter(self._pending))
            del self._pending[conversation]
            try:
                await self._memory.fold(conversation, self._summarise)
            except RagError as error:
                log.info("summary_waits", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - one conversation's summary must not keep others from theirs
                log.warning("summary_failed", error=type(error).__name__)
