"""Summaries of older turns are written after the answer, beside the worker: nobody waits for them, a kill loses none."""

from __future__ import annotations

import asyncio

import structlog

from rag.cancellation import end
from rag.errors import RagError
from rag.memory.conversation import ConversationMemory, Summarise

log = structlog.get_logger()


class Folding:
    """Folds one conversation at a time: a model writes answers first. What was not begun at the end waits in memory."""

    def __init__(self, memory: ConversationMemory, summarise: Summarise) -> None:
        self._memory = memory
        self._summarise = summarise
        self._wanted: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None

    def after(self, conversation: str) -> None:
        """The conversation has one more turn. Returns at once."""
        self._wanted[conversation] = None
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work_off(), name="summaries")

    async def settled(self) -> None:
        """Waits until everything that is wanted was tried."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Leaves the rest to the next turns."""
        if self._task is not None:
            await end(self._task)

    async def _work_off(self) -> None:
        while self._wanted:
            conversation = next(iter(self._wanted))
            del self._wanted[conversation]
            try:
                await self._memory.fold(conversation, self._summarise)
            except RagError as error:
                log.info("summary_waits", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - one conversation's summary must not keep others from theirs
                log.warning("summary_failed", error=type(error).__name__)
