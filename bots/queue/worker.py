"""The worker: several conversations at once, each of them in order, over any number of processes."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from bots.errors import DeliveryRefused, DeliveryRetry, LeaseLost
from bots.messages import IncomingMessage
from bots.queue.consumer import Consumer, Head, Ready
from bots.queue.inbox import Inbox
from bots.queue.outbox import OutboxEntry
from bots.queue.replies import Lease
from bots.queue.slots import Slots
from bots.settings import WorkerSettings
from rag.cancellation import end
from rag.errors import StoreUnavailable

log = structlog.get_logger()
T = TypeVar("T")

Handle = Callable[[IncomingMessage, Lease], Awaitable[Sequence[OutboxEntry]]]
"""Answers a message; what it returns goes into the outbox in the step that takes the message off the queue."""

GiveUp = Callable[[IncomingMessage, Lease], Awaitable[None]]
"""Tells the user that a message failed for good, with ``message.turn_id`` as the reference."""

CLAIM_SECONDS = 1.0
"""How often the work of dead workers is looked for."""

STORE_SECONDS = 0.1
"""The first wait for a Redis that failed."""

AWAY_TRIES = 60
"""How often a platform that is away is asked again, about once a minute, before its messages are set aside."""

LONGEST_PAUSE_SECONDS = 300.0
"""A platform may ask for more patience than this; a conversation does not get it."""


class Observer(Protocol):
    """Where the worker's figures go."""

    def set_aside(self) -> None:
        """A message failed for good."""


BENEFIT_OF_DOUBT = 3
"""How many times more deaths a message may see in company than alone: of all that were in work, one was guilty at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """The conversation waits ``seconds``, keeping its lease.

    ``counted`` when the next start is a try of its own. So far the first message has seen in this process: ``failures``
    of its own, and ``away`` times a platform that took nothing.
    """

    seconds: float = 0.0
    counted: bool = True
    failures: int = 0
    away: int = 0


def backoff(tries: int) -> float:
    """Seconds before the next try: about 1, 4, 16, … with jitter, one minute at most."""
    return min(60.0, 4.0 ** (tries - 1)) * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, guards nothing


class Worker:
    """One process's share of the work, from :meth:`run` until :meth:`stop`.

    A conversation between two tries keeps its lease and frees its slot: order holds without a second structure, other
    conversations go on, and after a crash the conversation is taken over as any other.
    """

    def __init__(
        self,
        inbox: Inbox,
        handle: Handle,
        give_up: GiveUp,
        settings: WorkerSettings,
        metrics: Observer,
        *,
        alone: bool = False,
        backoff: Callable[[int], float] = backoff,
    ) -> None:
        """``alone``: no other worker lives on this Redis, so that what a dead one left behind is taken over at once."""
        self._consumer: Consumer = inbox.consumer()
        self._handle = handle
        self._give_up = give_up
        self._settings = settings
        self._metrics = metrics
        self._alone = alone
        self._backoff = backoff
        self._slots = Slots(settings.concurrency)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()

    @property
    def saturated(self) -> bool:
        """Whether every slot is taken, so that a new message waits."""
        return self._slots.free == 0

    async def run(self) -> None:
        """Works until :meth:`stop`; then running conversations finish their message, and everything is given up."""
        await self._insist(self._join)
        try:
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(self._renew()), group.create_task(self._claim())]
                while not self._stopping.is_set():
                    await self._pull()
                await self._drain()
                for task in beside:
                    await end(task)
        finally:
            await self._end()

    async def stop(self) -> None:
        """Begins to drain; :meth:`run` returns when that is done, within ``drain_seconds``."""
        self._stopping.set()

    async def _join(self) -> None:
        await self._consumer.join()
        if self._alone:
            await self._consumer.take_over()

    async def _pull(self) -> None:
        free = await self._unless_stopped(self._slots.some_free())
        if free:
            for ready in await self._read(self._consumer.read, free):
                self._start(ready)
            await asyncio.sleep(0)  # The conversations just started take their slots before the next read.

    async def _read(self, read: Callable[[int], Awaitable[list[Ready]]], count: int) -> list[Ready]:
        try:
            return await read(count)
        except StoreUnavailable as error:
            log.warning("redis_unavailable", error=str(error))
            await self._unless_stopped(asyncio.sleep(STORE_SECONDS))
            await self._insist(self._consumer.join)
            return []

    async def _claim(self) -> None:
        while True:
            await asyncio.sleep(min(CLAIM_SECONDS, self._settings.lease_seconds / 3))
            free = await self._slots.some_free()
            for ready in await self._read(self._consumer.claim, free):
                self._start(ready)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._settings.lease_seconds / 3)
            with suppress(StoreUnavailable):  # Leases may run out meanwhile; the next writes learn it.
                for ready in await self._consumer.renew():
                    log.warning("lease_lost", entry=ready.entry)
                    if task := self._tasks.get(ready.entry):
                        task.cancel()

    def _start(self, ready: Ready) -> None:
        """An entry claimed back while it is worked on must not be worked on twice."""
        if ready.entry not in self._tasks and not self._stopping.is_set():
            task = asyncio.create_task(self._work_off(ready))
            self._tasks[ready.entry] = task
            task.add_done_callback(lambda task: self._ended(ready, task))

    def _ended(self, ready: Ready, task: asyncio.Task[None]) -> None:
        self._tasks.pop(ready.entry, None)
        self._consumer.abandon(ready)
        if not task.cancelled() and (error := task.exception()):
            log.error("conversation_failed", entry=ready.entry, error=type(error).__name__, **_where(error))

    async def _work_off(self, ready: Ready) -> None:
        """Until the queue is empty, the lease is lost, or the worker stops."""
        pause: Pause | None = Pause()
        while pause is not None:
            if pause.seconds:
                await self._unless_stopped(asyncio.sleep(pause.seconds))
            if self._stopping.is_set():
                await self._let_go(ready, uncount=not pause.counted)
                return
            async with self._slots:
                pause = await self._work(ready, pause)

    async def _work(self, ready: Ready, before: Pause) -> Pause | None:
        try:
            head = await self._consumer.take(ready, counted=before.counted)
            while head is not None:
                following = await self._attempt(head, before)
                if isinstance(following, Pause):
                    return following
                head, before = following, Pause()
        except LeaseLost:
            log.warning("lease_lost", entry=ready.entry)
        except StoreUnavailable as error:
            log.warning("redis_unavailable", error=str(error))
            return replace(before, seconds=self._backoff(1), counted=False)
        except asyncio.CancelledError:
            if self._stopping.is_set():
                await self._let_go(ready, uncount=True)
            raise
        return None

    async def _attempt(self, head: Head, before: Pause) -> Head | Pause | None:
        """One try. Returns the next message, a pause before the same one, or None when the conversation was let go."""
        if not before.failures and head.tries > self._patience():
            return await self._surrender(head, "the process ended while it was handled")
        try:
            entries = await self._handle(head.message, head.ready.lease)
        except (LeaseLost, StoreUnavailable):
            raise
        except DeliveryRefused as error:
            log.info("delivery_refused", reference=head.message.turn_id, **_where(error))
            entries = ()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this message's failure and nobody else's
            return await self._failed(head, error, before)
        return await self._consumer.done(head, entries, stop=self._stopping.is_set())

    def _patience(self) -> int:
        """How many tries may end with the process before the message is held responsible."""
        alone = len(self._tasks) <= 1
        return self._settings.tries * (1 if alone else BENEFIT_OF_DOUBT)

    async def _failed(self, head: Head, error: Exception, before: Pause) -> Head | Pause | None:
        """A message is given up after ``tries`` failures of its own; a platform that is away is waited for much longer."""
        away = isinstance(error, DeliveryRetry) and error.away
        failures = (before.away if away else before.failures) + 1
        name = type(error).__name__
        log.warning("try_failed", reference=head.message.turn_id, failures=failures, error=name, **_where(error))
        if failures >= (AWAY_TRIES if away else self._settings.tries):
            return await self._surrender(head, name)
        wanted = error.after if isinstance(error, DeliveryRetry) else None
        seconds = min(self._backoff(failures) if wanted is None else wanted, LONGEST_PAUSE_SECONDS)
        if away:
            return replace(before, seconds=seconds, counted=False, away=failures)
        return replace(before, seconds=seconds, counted=True, failures=failures)

    async def _surrender(self, head: Head, error: str) -> Head | None:
        """Tells the user and sets the message aside, in this order: a crash between the two tells again, never not.

        A message that ends the process even while the user is told is set aside without a word after as many tries again.
        """
        if head.tries <= self._patience() + self._settings.tries:
            try:
                await self._give_up(head.message, head.ready.lease)
            except (LeaseLost, StoreUnavailable):
                raise
            except Exception as failure:  # noqa: BLE001 - the message is set aside all the same
                name = type(failure).__name__
                log.warning("user_not_told", reference=head.message.turn_id, error=name, **_where(failure))
        self._metrics.set_aside()
        log.warning("set_aside", reference=head.message.turn_id, error=error)
        return await self._consumer.set_aside(head, error, stop=self._stopping.is_set())

    async def _drain(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=self._settings.drain_seconds)

    async def _end(self) -> None:
        """Whatever is still running is interrupted, and all that was taken is given up for others to take."""
        self._stopping.set()
        await asyncio.gather(*map(end, list(self._tasks.values())))
        with suppress(StoreUnavailable):  # Then the leases run out.
            await self._consumer.leave()

    async def _let_go(self, ready: Ready, *, uncount: bool) -> None:
        with suppress(StoreUnavailable):  # Then the lease runs out.
            await self._consumer.let_go(ready, uncount=uncount)

    async def _insist(self, act: Callable[[], Awaitable[None]]) -> None:
        """Until Redis answers, or the worker stops."""
        tries = 0
        while not self._stopping.is_set():
            try:
                await act()
            except StoreUnavailable:
                tries += 1
                await self._unless_stopped(asyncio.sleep(min(2.0, STORE_SECONDS * 2**tries)))
            else:
                return

    async def _unless_stopped(self, work: Awaitable[T]) -> T | None:
        """The result of ``work``, or None when the worker was told to stop first."""
        doing = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((doing, stopped), return_when=asyncio.FIRST_COMPLETED)
            return doing.result() if doing.done() else None
        finally:
            doing.cancel()
            stopped.cancel()


def _where(error: BaseException) -> dict[str, str]:
    """File and line: a traceback or the error's words might hold what somebody wrote."""
    frames = traceback.extract_tb(error.__traceback__)
    return {"where": f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"} if frames else {}
