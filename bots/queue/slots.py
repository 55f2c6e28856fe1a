"""Slots: a limit on the conversations that one process handles at once."""

from __future__ import annotations

import asyncio


class Slots:
    """A semaphore of ``count`` slots that also tells how many are free.

    A conversation that pauses between two tries gives its slot back.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._semaphore = asyncio.Semaphore(count)
        self._taken = 0
        # asyncio.Semaphore cannot be waited for without taking it, and the reader only wants to know.
        self._freed = asyncio.Event()
        self._freed.set()

    @property
    def free(self) -> int:
        return self._count - self._taken

    async def wait_for_free(self) -> int:
        """Waits until at least one slot is free. Returns the number of free slots."""
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
