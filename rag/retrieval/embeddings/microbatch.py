"""Single requests joined into batches: whatever was asked while one batch ran forms the next."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from threading import Lock

LARGEST = 64
REST_SECONDS = 0.03
"""Between two batches: questions that come faster than that share one, and a batch of four costs little more than one."""


class MicroBatcher:
    """Hands texts to ``embed`` in batches of up to 64, on one worker thread, for callers on any event loop."""

    def __init__(self, embed: Callable[[list[str]], list[list[float]]], thread: Executor) -> None:
        self._embed = embed
        self._thread = thread
        self._waiting: deque[tuple[str, Future[list[float]]]] = deque()
        self._lock = Lock()
        self._scheduled = False
        self._ended = 0.0

    async def submit(self, text: str) -> list[float]:
        """Wait for the vector of a text; an error of its batch is raised to everyone in that batch."""
        future: Future[list[float]] = Future()
        with self._lock:
            self._waiting.append((text, future))
            scheduled, self._scheduled = self._scheduled, True
        if not scheduled:
            self._thread.submit(self._run_one_batch)
        return await asyncio.wrap_future(future)

    def _run_one_batch(self) -> None:
        time.sleep(max(0.0, self._ended + REST_SECONDS - time.monotonic()))
        batch = self._take()
        try:
            vectors = self._embed([text for text, _ in batch]) if batch else []
        except BaseException as error:  # noqa: BLE001 - goes to the waiters, who would wait for ever otherwise
            for _, future in batch:
                future.set_exception(error)
        else:
            for (_, future), vector in zip(batch, vectors, strict=True):
                future.set_result(vector)
        self._ended = time.monotonic()
        self._go_on()

    def _take(self) -> list[tuple[str, Future[list[float]]]]:
        with self._lock:
            taken = [self._waiting.popleft() for _ in range(min(LARGEST, len(self._waiting)))]
        return [(text, future) for text, future in taken if future.set_running_or_notify_cancel()]

    def _go_on(self) -> None:
        """Queue the next batch behind other work of the thread, so that neither starves the other."""
        with self._lock:
            self._scheduled = bool(self._waiting)
        if self._scheduled:
            self._thread.submit(self._run_one_batch)
