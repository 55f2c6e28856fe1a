"""Work that takes longer than a message, in a queue on Redis that any number of processes share: docket's streams.

It is kept off the way of messages: names, connections and workers of its own. docket costs 0.8 s to import, so that waits until a
queue is opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING

import structlog
from redis.asyncio import Redis

from rag.cancellation import end
from rag.errors import StoreUnavailable
from rag.store.client import store_errors

if TYPE_CHECKING:
    from docket import Docket, Worker

log = structlog.get_logger()

HEARTBEAT = timedelta(seconds=30)
"""docket's heartbeats only feed its own monitoring; at its default of 2 s they are half of an idle worker's commands."""
AGAIN_SECONDS = 5.0
"""After a failure of the queue itself."""


class TaskQueue:
    """Tasks named by a string, each at most once in the queue or in work; ``work`` does one.

    A task that is interrupted, by the end of its process too, begins anew here or in another process: after
    ``lease_seconds``, or at once where this process is ``alone`` and finds what a dead one left behind.
    """

    def __init__(
        self,
        redis: Redis,
        url: str,
        name: str,
        work: Callable[[str], Awaitable[None]],
        *,
        at_once: int,
        lease_seconds: float,
        poll_seconds: float = 1.0,
        alone: bool = False,
    ) -> None:
        """``poll_seconds``: how soon a slot that became free is noticed while all were taken (docket 0.27 sleeps that long)."""
        self._redis = redis
        self._url = url
        self._name = name
        self._work = work
        self._at_once = at_once
        self._lease = timedelta(seconds=lease_seconds)
        self._poll = timedelta(seconds=poll_seconds)
        self._alone = alone
        self._docket: Docket | None = None
        self._serving: asyncio.Task[None] | None = None
        self._closing = False
        self._running: set[asyncio.Future[None]] = set()

    async def open(self) -> None:
        """Begin to work, or to wait for a Redis that does not answer."""
        if self._alone:
            with suppress(StoreUnavailable):  # then what is left there begins anew when its lease has run out
                await self._clear()
        opened = asyncio.Event()
        self._serving = asyncio.create_task(self._serve(opened), name=self._name)
        waiting = asyncio.create_task(opened.wait())
        await asyncio.wait((waiting, self._serving), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def close(self) -> None:
        """Stop working; what is in work begins anew elsewhere. Safe to repeat."""
        if self._serving is None:
            return
        self._closing = True  # docket's worker swallows a cancellation
        self._serving.cancel()  # first: docket then takes what its tasks end with for an interruption, not for an end
        for work in self._running:
            work.cancel()
        await end(self._serving)

    async def add(self, task: str) -> None:
        """Put a task into the queue, unless it is there or in work. Raises ``StoreUnavailable``."""
        if self._docket is None:
            raise StoreUnavailable("Redis did not answer when the queue was opened; the work is begun when it does")
        with store_errors("the work is not begun"):
            await self._docket.add(self._perform, key=task)(task)

    async def _perform(self, task: str) -> None:
        work = asyncio.ensure_future(self._work(task))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        await work

    async def _serve(self, opened: asyncio.Event) -> None:
        while not self._closing:
            try:
                async with AsyncExitStack() as stack:
                    worker = await self._open(stack)
                    opened.set()
                    await worker.run_forever()
            except Exception as error:  # noqa: BLE001 - a fault of the queue must not end the service
                log.error("queue_failed", queue=self._name, error=type(error).__name__)  # noqa: TRY400 - no words of others
                opened.set()
            if not self._closing:
                await asyncio.sleep(AGAIN_SECONDS)

    async def _open(self, stack: AsyncExitStack) -> Worker:
        docket = await asyncio.to_thread(import_module, "docket")
        queue: Docket = await stack.enter_async_context(
            docket.Docket(name=self._name, url=self._url, heartbeat_interval=HEARTBEAT, execution_ttl=timedelta(0))
        )
        queue.register(self._perform)
        worker: Worker = await stack.enter_async_context(
            docket.Worker(
                queue,
                concurrency=self._at_once,
                redelivery_timeout=self._lease,
                minimum_check_interval=self._poll,
                scheduling_resolution=self._poll,
            )
        )
        self._docket = queue
        return worker

    async def _clear(self) -> None:
        """Without others, whatever is in the queue was left behind by a process that is gone, and is asked for anew."""
        with store_errors("the work is not begun"):
            async for key in self._redis.scan_iter(match=f"{self._name}:*", count=1000):
                await self._redis.delete(key)
