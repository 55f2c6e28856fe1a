"""Small work that nobody waits for, held until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import structlog

from bots.errors import BotsError
from rag.errors import StoreUnavailable

log = structlog.get_logger()
_WAITING = 1000
"""Beyond this many, the oldest work is still done, the newest is not: what is stored does not depend on it."""


class Background:
    """Tasks that may fail without consequence."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[object, object, None]) -> None:
        if len(self._tasks) >= _WAITING:
            work.close()
            return
        task = asyncio.create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Waits for what is under way, and ends what takes longer than ``seconds``."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=seconds)
        for task in late:
            task.cancel()

    @staticmethod
    async def _guard(work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except (BotsError, StoreUnavailable) as error:
            log.warning("telegram.background", error=type(error).__name__)
