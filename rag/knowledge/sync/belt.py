"""How documents travel from a blocking reader to what embeds and writes them: in slices, a bounded distance ahead."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Generator
from threading import Lock
from time import perf_counter
from typing import Generic, TypeVar

T = TypeVar("T")

SLICE = 0.1
"""Seconds of reading between two looks of the event loop: how old a progress bar may be."""


class Belt(Generic[T]):
    """A queue that holds at most ``room`` by weight; an item that is heavier travels alone."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._held = 0
        self._items: deque[tuple[T, int]] = deque()
        self._closed = False
        self._changed = asyncio.Condition()

    async def put(self, item: T, weight: int) -> None:
        """Add an item when there is room for it."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._items or self._held + weight <= self._room)
            self._items.append((item, weight))
            self._held += weight
            self._changed.notify_all()

    async def get(self) -> T | None:
        """The next item; None when there will be no more. Cancelled, it takes none."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._items) or self._closed)
            if not self._items:
                return None
            item, weight = self._items.popleft()
            self._held -= weight
            self._changed.notify_all()
            return item

    async def close(self) -> None:
        """Say that no more will come."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()


async def sliced(steps: Generator[T | None]) -> AsyncIterator[list[T]]:
    """What a blocking generator gives, read in threads for ``SLICE`` seconds at a time; None only lets time pass.

    Left early, the generator is closed as soon as the step that it is in has ended.
    """
    reader = _Reader(steps)
    try:
        while not reader.ended:
            yield await asyncio.to_thread(reader.read)
    finally:
        if not reader.ended:
            reader.ended = True
            asyncio.get_running_loop().run_in_executor(None, reader.close)


class _Reader(Generic[T]):
    def __init__(self, steps: Generator[T | None]) -> None:
        self._steps = steps
        self._turn = Lock()
        self._failure: Exception | None = None
        self.ended = False

    def read(self) -> list[T]:
        with self._turn:
            if self._failure:
                self.ended = True
                raise self._failure
            found: list[T] = []
            try:
                self._read_into(found)
            except Exception as error:  # noqa: BLE001 - raised at the next turn: what was found before it counts
                self._failure = error
            return found

    def _read_into(self, found: list[T]) -> None:
        until = perf_counter() + SLICE
        for step in self._steps:
            if step is not None:
                found.append(step)
            if self.ended or perf_counter() >= until:
                return
        self.ended = True

    def close(self) -> None:
        with self._turn:
            self._steps.close()
