"""The life cycle of a service: the order of its start, its readiness, and its drain.

Receiving starts first and stops first. A message is accepted while the models still load, and a message that was accepted
before a stop is answered by the next process that starts.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from starlette.types import ASGIApp

from bots.bootstrap import (
    Answering,
    build_recorder,
    build_worker,
    console_services,
    open_answering,
    open_platforms,
    open_service,
    platform_contacts,
)
from bots.desk.operations import OPERATIONS
from bots.desk.socket import control_app
from bots.metrics import Metrics
from bots.operations.ownership import control_socket
from bots.platforms.base import Accept, Platform
from bots.platforms.entries import PLATFORMS
from bots.platforms.entry import PlatformEntry
from bots.queue.inbox import Backlog
from bots.queue.receiver import Receiver
from bots.queue.recorder import Recorder
from bots.queue.worker import Worker
from bots.server import HttpServer, LateApp, service_app
from bots.settings import Settings
from bots.stores import Stores, open_stores
from rag.cancellation import end
from rag.errors import IndexLocked, IndexUnavailable, StoreUnavailable
from rag.store.client import store_errors
from tuning.console import ConsoleServices
from tuning.errors import TuningError

log = structlog.get_logger()
BACKLOG_SECONDS = 5.0
RETRY_SECONDS = 2.0
PRUNE_SECONDS = 6 * 3600.0


class Service:
    """One process with receivers, a worker, or both. ``listening`` is set, and ``port`` known, once HTTP answers.

    ``owns_home``: this process answers the commands of the home, through its socket. ``console`` builds the app under
    ``/console`` once models and index are open.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        host: str,
        port: int,
        receive: bool,
        work: bool,
        owns_home: bool = True,
        platforms: Sequence[PlatformEntry[Any]] = PLATFORMS,
        console: Callable[[ConsoleServices], ASGIApp] | None = None,
    ) -> None:
        self._settings = settings
        self._entries = platforms
        self._console = console
        self._console_mount = LateApp(lambda: self._not_ready.get("knowledge", "the service is stopping"))
        self._host = host
        self._receive = receive
        self._work = work
        self._owns_home = owns_home
        self._metrics = Metrics()
        self._not_ready: dict[str, str] = {"knowledge": "the model and the index are being opened"} if work else {}
        self._worker: Worker | None = None
        self._backlog = Backlog(queued=0, oldest_seconds=0.0, aside=0, outbox=0)
        self.port = port
        self.listening = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until ``stop`` is set, then drains. Raises the error that made the start impossible."""
        async with AsyncExitStack() as stack:
            stores = await stack.enter_async_context(open_stores(self._settings))
            platforms = open_platforms(self._settings, stores, self._metrics, self._busy, self._entries)
            if self._receive:
                self._not_ready.update(dict.fromkeys(platforms, "it was not reached yet"))
            # Registered before anything uses them, so they close last: the worker still sends while it drains.
            for platform in platforms.values():
                stack.push_async_callback(platform.close)
            self._observe(platforms)
            await stack.enter_async_context(_background(self._update_backlog(stores)))
            http = await stack.enter_async_context(self._http(platforms, stores))
            # With port 0 the system chose one.
            self.port = http.port
            self.listening.set()
            await self._run(stores, platforms, stop)

    async def _run(self, stores: Stores, platforms: dict[str, Platform], stop: asyncio.Event) -> None:
        drain = asyncio.Event()
        work = asyncio.create_task(self._work_until_drained(stores, platforms, drain), name="work")
        stopped = asyncio.create_task(stop.wait(), name="stop")
        receiving = asyncio.create_task(self._receive_until_cancelled(stores, platforms), name="receive")
        try:
            await asyncio.wait((work, stopped, receiving), return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                receiving.result()
        finally:
            # Receiving ends first: a message that is accepted from here on would wait for the next start.
            stopped.cancel()
            if not receiving.done():
                await end(receiving)
            if self._receive:
                await asyncio.gather(*(platform.stop() for platform in platforms.values()), return_exceptions=True)
            drain.set()
            await work

    async def _receive_until_cancelled(self, stores: Stores, platforms: dict[str, Platform]) -> None:
        """Starts the platforms and waits. A platform that cannot be reached may never start, so a stop cancels this."""
        if self._receive:
            accept = Receiver(stores.inbox, self._metrics).accept
            await asyncio.gather(*(self._open(name, platform, accept) for name, platform in platforms.items()))
        await asyncio.Event().wait()

    async def _open(self, name: str, platform: Platform, accept: Accept) -> None:
        await platform.start(accept)
        self._not_ready.pop(name)

    async def _work_until_drained(self, stores: Stores, platforms: dict[str, Platform], drain: asyncio.Event) -> None:
        if not self._work:
            await drain.wait()
            return
        async with AsyncExitStack() as stack:
            answering = await self._open_answering(stack, stores, drain)
            if answering is None:
                return
            await stack.enter_async_context(answering.library.working())
            if self._console is not None:
                self._console_mount.bind(self._console(console_services(self._settings, stores, answering)))
            empty = await answering.search.passages() == 0
            if empty and not await self._first_sync(answering, drain):
                return
            # After the first sync: until then /readyz keeps traffic away from a process that knows nothing.
            self._not_ready.pop("knowledge", None)
            _freeze_long_lived_objects()
            if self._owns_home:
                desk = control_app(open_service(self._settings, stores, answering), OPERATIONS)
                server = HttpServer(desk, socket=control_socket(self._settings.home))
                await server.start()
                stack.push_async_callback(server.stop)
            await self._serve(stores, answering, platforms, drain, read=empty)

    async def _serve(
        self, stores: Stores, answering: Answering, platforms: dict[str, Platform], drain: asyncio.Event, *, read: bool
    ) -> None:
        """Answers messages until the drain. ``read``: the documents were synced just now, so no sync follows at once."""
        contacts = platform_contacts(self._settings, self._entries)
        self._worker = build_worker(self._settings, stores, answering, platforms, self._metrics, contacts)
        recorder = build_recorder(self._settings, stores, self._metrics)
        async with asyncio.TaskGroup() as tasks:
            recording = tasks.create_task(recorder.run(), name="recorder")
            working = tasks.create_task(self._worker.run(), name="worker")
            background_tasks = (
                tasks.create_task(_keep_up(answering, at_once=not read), name="sync"),
                tasks.create_task(self._prune(stores, recorder), name="retention"),
            )
            log.info("ready", url=f"http://{self._host}:{self.port}", platforms=sorted(platforms))
            await drain.wait()
            for task in background_tasks:
                task.cancel()
            # The recorder after the worker: the last answers are in the outbox by then.
            await self._worker.stop()
            await working
            await recorder.stop()
            await recording

    async def _prune(self, stores: Stores, recorder: Recorder) -> None:
        """Deletes entries older than ``log.retention_days``; several processes may do so at the same time."""
        places: Sequence[Callable[[datetime], Awaitable[object]]] = (
            lambda before: asyncio.to_thread(stores.log.prune, before),
            stores.inbox.prune,
            recorder.prune,
        )
        while True:
            before = datetime.now(UTC) - timedelta(days=self._settings.log.retention_days)
            for prune in places:
                try:
                    await prune(before)
                except (StoreUnavailable, TuningError) as error:
                    log.warning("not_pruned", error=type(error).__name__)
            await asyncio.sleep(PRUNE_SECONDS)

    async def _open_answering(self, stack: AsyncExitStack, stores: Stores, drain: asyncio.Event) -> Answering | None:
        """Opens models and index; waits for a Qdrant server that does not answer yet. None if the drain begins first."""
        while not drain.is_set():
            try:
                return await stack.enter_async_context(open_answering(self._settings, stores, self._metrics))
            except IndexLocked:  # another process has the embedded index: waiting would not help
                raise
            except IndexUnavailable as error:
                self._not_ready["knowledge"] = str(error)
                log.warning("index_unavailable", retry_seconds=RETRY_SECONDS)
                with suppress(TimeoutError):
                    await asyncio.wait_for(drain.wait(), RETRY_SECONDS)
        return None

    async def _first_sync(self, answering: Answering, drain: asyncio.Event) -> bool:
        """Fills an empty index, which would answer every question with "I don't know". False if the drain begins first."""
        self._not_ready["knowledge"] = "the documents are being read for the first time"
        async with _background(drain.wait()) as draining, _background(_sync_with_retries(answering)) as syncing:
            await asyncio.wait((draining, syncing), return_when=asyncio.FIRST_COMPLETED)
        return not drain.is_set()

    def _busy(self) -> bool:
        return self._worker is not None and self._worker.saturated

    @asynccontextmanager
    async def _http(self, platforms: Mapping[str, Platform], stores: Stores) -> AsyncIterator[HttpServer]:
        routes = [route for platform in platforms.values() for route in platform.routes()] if self._receive else []

        async def readiness() -> dict[str, str]:
            return {**self._not_ready, **await _redis_problem(stores)}

        app = service_app(
            routes,
            self._metrics,
            readiness,
            body_bytes=self._settings.limits.body_bytes,
            mounts={"/console": self._console_mount} if self._console and self._work and self._receive else {},
            trusted_proxies=[str(network) for network in self._settings.http.trusted_proxies],
        )
        server = HttpServer(app, host=self._host, port=self.port)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()

    def _observe(self, platforms: Mapping[str, Platform]) -> None:
        self._metrics.gauge("queue_length", "Messages waiting or in work", lambda: self._backlog.queued)
        self._metrics.gauge("queue_oldest_seconds", "Age of the oldest of them", lambda: self._backlog.oldest_seconds)
        self._metrics.gauge("set_aside_length", "Messages set aside", lambda: self._backlog.aside)
        self._metrics.gauge("outbox_length", "Turns on their way into the log", lambda: self._backlog.outbox)
        for platform in platforms.values():
            platform.observe(self._metrics.gauge)

    async def _update_backlog(self, stores: Stores) -> None:
        while True:
            with suppress(StoreUnavailable):  # the last figures stand, and /readyz says why
                self._backlog = await stores.inbox.backlog()
            await asyncio.sleep(BACKLOG_SECONDS)


def _freeze_long_lived_objects() -> None:
    """Takes models and libraries out of garbage collection, and makes full collections rare.

    They are some million objects that live as long as the process. A full collection over them takes half a second, in which
    no message is acknowledged.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


async def _sync_with_retries(answering: Answering) -> None:
    """Syncs once; repeats while Redis is out of reach."""
    while True:
        try:
            await answering.library.synced()
        except StoreUnavailable as error:
            log.warning("redis_unavailable", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return


async def _keep_up(answering: Answering, *, at_once: bool) -> None:
    """Keeps the index up to date. If it fails, the service goes on with the index as it is."""
    try:
        await answering.library.keep_up(at_once=at_once)
    except Exception as error:  # noqa: BLE001 - an unreadable folder must not end the service
        log.error("not_synced", error=type(error).__name__)  # noqa: TRY400 - its words may quote a document


async def _redis_problem(stores: Stores) -> dict[str, str]:
    try:
        with store_errors("nothing is accepted"):
            await asyncio.wait_for(stores.redis.ping(), 2)
    except StoreUnavailable as error:
        return {"redis": str(error)}
    return {}


@asynccontextmanager
async def _background(work: Coroutine[object, object, object]) -> AsyncIterator[asyncio.Task[object]]:
    """Runs ``work`` while the body runs, then cancels it; raises what it raised."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        if not task.done():
            await end(task)
        if not task.cancelled():
            task.result()


def run(service: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Runs ``service`` until SIGTERM or SIGINT; a second signal ends the process at once."""
    import signal
    import sys

    import uvloop

    # Threads that embed, search and redact hold the interpreter for 5 ms at a stretch by default, which acknowledgements
    # on the event loop wait for.
    sys.setswitchinterval(0.0005)

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_signal() -> None:
            for name in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(name)
            stop.set()

        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, on_signal)
        await service(stop)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
