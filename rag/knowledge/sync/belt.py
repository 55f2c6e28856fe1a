"""A queue bounded by weight, and an adapter that reads a blocking generator in threads, in slices of time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Generator
from threading import Lock
from time import perf_counter
from typing import Generic, TypeVar

T = TypeVar("T")

SLICE = 0.1
"""Seconds of reading in a thread between two returns to the event loop: the largest delay of a progress bar."""


class BoundedQueue(Generic[T]):
    """A queue for items of at most ``room`` total weight. A heavier item is accepted when the queue is empty."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._weight = 0
        self._items: deque[tuple[T, int]] = deque()
        self._closed = False
        self._changed = asyncio.Condition()

    async def put(self, item: T, weight: int) -> None:
        """Adds an item; waits until there is room for it."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._items or self._weight + weight <= self._room)
            self._items.append((item, weight))
            self._weight += weight
            self._changed.notify_all()

    async def get(self) -> T | None:
        """The next item; None after ``close``. A cancelled call takes no item."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._items) or self._closed)
            if not self._items:
                return None
            item, weight = self._items.popleft()
            self._weight -= weight
            self._changed.notify_all()
            return item

    async def close(self) -> None:
        """Marks the end: ``get`` returns None once the queue is empty."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()


async def read_in_slices(steps: Generator[T | None]) -> AsyncIterator[list[T]]:
    """Yields the items of a blocking generator in lists, each read in a thread for ``SLICE`` seconds; None is left out.

    If the iteration is abandoned, the generator is closed as soon as its current step has ended.
    """
    reader = _Reader(steps)
    try:
        while not reader.ended:
            yield await asyncio.to_thread(reader.read)
    finally:
        if not reader.ended:
            # Not awaited: a step may block for long, and a generator that runs in a thread cannot be closed before it ends.
            reader.ended = True
            asyncio.get_running_loop().run_in_executor(None, reader.close)


class _Reader(Generic[T]):
    def __init__(self, steps: Generator[T | None]) -> None:
        self._steps = steps
        # ``close`` may be called while a step still runs in another thread.
        self._turn = Lock()
        self._failure: Exception | None = None
        self.ended = False

    def read(self) -> list[T]:
        with self._turn:
            if self._failure:
                self.ended = True
                raise self._failure
            items: list[T] = []
            try:
                self._read_into(items)
            except Exception as error:  # noqa: BLE001 - raised by the next call, so that the items before it are not lost
                self._failure = error
            return items

    def _read_into(self, items: list[T]) -> None:
        until = perf_counter() + SLICE
        for step in self._steps:
            if step is not None:
                items.append(step)
            if self.ended or perf_counter() >= until:
                return
        self.ended = True

    def close(self) -> None:
        with self._turn:
            self._steps.close()
