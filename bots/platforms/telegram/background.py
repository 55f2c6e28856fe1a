"""Background tasks whose failure has no consequence: menus, thanks, keyboards."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import structlog

from bots.errors import BotsError
from rag.errors import StoreUnavailable

log = structlog.get_logger()
_MAX_TASKS = 1000
"""With this many tasks under way, new ones are dropped: nothing that is stored depends on them."""


class Background:
    """Holds references to its tasks until they end, since asyncio keeps weak ones only."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[object, object, None]) -> None:
        if len(self._tasks) >= _MAX_TASKS:
            # A coroutine that is never awaited would warn when it is collected.
            work.close()
            return
        task = asyncio.create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Waits for the tasks under way, and cancels those that take longer than ``seconds``."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=seconds)
        for task in late:
            task.cancel()

    @staticmethod
    async def _run(work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except (BotsError, StoreUnavailable) as error:
            log.warning("telegram.background", error=type(error).__name__)
