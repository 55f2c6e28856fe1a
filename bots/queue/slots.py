"""How many conversations one process handles at once."""

from __future__ import annotations

import asyncio


class Slots:
    """Conversations that may be handled at once. A pause occupies none."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._semaphore = asyncio.Semaphore(count)
        self._taken = 0
        self._freed = asyncio.Event()
        self._freed.set()

    @property
    def free(self) -> int:
        return self._count - self._taken

    async def some_free(self) -> int:
        """Waits until one is free; says how many are."""
        await self._freed.wait()
        return self.free

    async def __aenter__(self) -> None:
        await self._semaphore.acquire()
        self._taken += 1
        if not self.free:
            self._freed.clear()

    async def __aexit__(self, *_: object) -> None:
        self._taken -= 1
        self._freed.set()
        self._semaphore.release()
