"""The worker: handles several conversations at once and each of them in order, in any number of processes."""

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
"""Answers a message. The returned entries are posted to the outbox in the step that removes the message from the queue."""

GiveUp = Callable[[IncomingMessage, Lease], Awaitable[None]]
"""Tells the user that a message failed for good, with ``message.turn_id`` as the reference."""

CLAIM_SECONDS = 1.0
"""Seconds between two searches for conversations of dead workers."""

RECONNECT_SECONDS = 0.1
"""The first pause before a Redis that failed is tried again; it doubles from try to try."""

AWAY_TRIES = 60
"""How often a platform that does not answer is tried again, about once a minute, before its messages are set aside."""

LONGEST_PAUSE_SECONDS = 300.0
"""The longest pause between two tries, even if a platform asks for a longer one."""


class Observer(Protocol):
    """Receives the worker's metrics."""

    def set_aside(self) -> None:
        """A message failed for good."""


SHARED_CRASH_FACTOR = 3
"""A message may see so many times more crashes of the process when other messages were in work too: at most one of them caused
each crash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """The conversation waits ``seconds`` and keeps its lease meanwhile.

    ``counted``: whether the next start counts as a new try. In this process, the first message has failed ``failures`` times by
    itself, and ``away`` times because its platform did not answer.
    """

    seconds: float = 0.0
    counted: bool = True
    failures: int = 0
    away: int = 0


def backoff(tries: int) -> float:
    """Seconds before the next try: about 1, 4, 16, … with 25 % of jitter, about one minute at most."""
    return min(60.0, 4.0 ** (tries - 1)) * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, guards nothing


class Worker:
    """One process's share of the work, from :meth:`run` until :meth:`stop`.

    A conversation that waits for its next try keeps its lease and frees its slot. So no other worker can take its later
    messages first, other conversations go on, and after a crash it is taken over like any other.
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
        """``alone``: no other worker uses this Redis, so the conversations of a dead one are taken over at once."""
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
        """Whether every slot is occupied, so that a new message has to wait."""
        return self._slots.free == 0

    async def run(self) -> None:
        """Works until :meth:`stop`. Then running conversations finish their current message, and all are released."""
        await self._until_redis_answers(self._join)
        try:
            async with asyncio.TaskGroup() as group:
                background = [group.create_task(self._renew()), group.create_task(self._claim())]
                while not self._stopping.is_set():
                    await self._pull()
                # Leases are renewed until the last message is finished, so these tasks end after the drain.
                await self._drain()
                for task in background:
                    await end(task)
        finally:
            await self._end()

    async def stop(self) -> None:
        """Begins to drain. :meth:`run` returns when that is done, after ``drain_seconds`` at most."""
        self._stopping.set()

    async def _join(self) -> None:
        await self._consumer.join()
        if self._alone:
            await self._consumer.take_over()

    async def _pull(self) -> None:
        free = await self._unless_stopped(self._slots.wait_for_free())
        if free:
            for ready in await self._read(self._consumer.read, free):
                self._start(ready)
            # Lets the tasks just started take their slots, or the next read would count those slots as free.
            await asyncio.sleep(0)

    async def _read(self, read: Callable[[int], Awaitable[list[Ready]]], count: int) -> list[Ready]:
        try:
            return await read(count)
        except StoreUnavailable as error:
            log.warning("redis_unavailable", error=str(error))
            await self._unless_stopped(asyncio.sleep(RECONNECT_SECONDS))
            # A Redis that was emptied meanwhile no longer has the group.
            await self._until_redis_answers(self._consumer.join)
            return []

    async def _claim(self) -> None:
        while True:
            await asyncio.sleep(min(CLAIM_SECONDS, self._settings.lease_seconds / 3))
            free = await self._slots.wait_for_free()
            for ready in await self._read(self._consumer.claim, free):
                self._start(ready)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._settings.lease_seconds / 3)
            with suppress(StoreUnavailable):  # if leases expire meanwhile, the next fenced write raises LeaseLost
                for ready in await self._consumer.renew():
                    log.warning("lease_lost", entry=ready.entry)
                    if task := self._tasks.get(ready.entry):
                        task.cancel()

    def _start(self, ready: Ready) -> None:
        """Handles a conversation in a task of its own, unless this process handles it already."""
        # XAUTOCLAIM also returns this process's own entries when renewing them was late.
        if ready.entry not in self._tasks and not self._stopping.is_set():
            task = asyncio.create_task(self._process(ready))
            self._tasks[ready.entry] = task
            task.add_done_callback(lambda task: self._on_task_end(ready, task))

    def _on_task_end(self, ready: Ready, task: asyncio.Task[None]) -> None:
        self._tasks.pop(ready.entry, None)
        self._consumer.abandon(ready)
        if not task.cancelled() and (error := task.exception()):
            log.error("conversation_failed", entry=ready.entry, error=type(error).__name__, **_where(error))

    async def _process(self, ready: Ready) -> None:
        """Handles a conversation until its queue is empty, the lease is lost, or the worker stops."""
        pause: Pause | None = Pause()
        while pause is not None:
            if pause.seconds:
                await self._unless_stopped(asyncio.sleep(pause.seconds))
            if self._stopping.is_set():
                await self._release(ready, uncount=not pause.counted)
                return
            async with self._slots:
                pause = await self._work(ready, pause)

    async def _work(self, ready: Ready, before: Pause) -> Pause | None:
        try:
            head = await self._consumer.take(ready, counted=before.counted)
            while head is not None:
                result = await self._attempt(head, before)
                if isinstance(result, Pause):
                    return result
                head, before = result, Pause()
        except LeaseLost:
            log.warning("lease_lost", entry=ready.entry)
        except StoreUnavailable as error:
            log.warning("redis_unavailable", error=str(error))
            return replace(before, seconds=self._backoff(1), counted=False)
        except asyncio.CancelledError:
            if self._stopping.is_set():
                await self._release(ready, uncount=True)
            raise
        return None

    async def _attempt(self, head: Head, before: Pause) -> Head | Pause | None:
        """One try. Returns the next message, a pause before the same one, or None if the conversation was released."""
        # Tries are counted when they begin: many of them without a failure in this process mean crashes.
        if not before.failures and head.tries > self._crash_limit():
            return await self._give_up_and_set_aside(head, "the process ended while it was handled")
        try:
            entries = await self._handle(head.message, head.ready.lease)
        except (LeaseLost, StoreUnavailable):
            # Not the message's fault: the conversation is with another worker, or Redis is away for all of them.
            raise
        except DeliveryRefused as error:
            # The platform will never accept it (a channel that is gone), so another try or an apology is pointless.
            log.info("delivery_refused", reference=head.message.turn_id, **_where(error))
            entries = ()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this message's failure and nobody else's
            return await self._failed(head, error, before)
        return await self._consumer.finish(head, entries, stop=self._stopping.is_set())

    def _crash_limit(self) -> int:
        """How many tries of a message may end with a crash of the process before the message is given up."""
        alone = len(self._tasks) <= 1
        return self._settings.tries * (1 if alone else SHARED_CRASH_FACTOR)

    async def _failed(self, head: Head, error: Exception, before: Pause) -> Head | Pause | None:
        """Pauses before the next try, or gives up after ``tries`` failures (``AWAY_TRIES`` if the platform does not answer)."""
        away = isinstance(error, DeliveryRetry) and error.away
        failures = (before.away if away else before.failures) + 1
        name = type(error).__name__
        log.warning("try_failed", reference=head.message.turn_id, failures=failures, error=name, **_where(error))
        if failures >= (AWAY_TRIES if away else self._settings.tries):
            return await self._give_up_and_set_aside(head, name)
        requested = error.after if isinstance(error, DeliveryRetry) else None
        seconds = min(self._backoff(failures) if requested is None else requested, LONGEST_PAUSE_SECONDS)
        if away:
            return replace(before, seconds=seconds, counted=False, away=failures)
        return replace(before, seconds=seconds, counted=True, failures=failures)

    async def _give_up_and_set_aside(self, head: Head, error: str) -> Head | None:
        """Tells the user that the message failed, and sets it aside.

        If telling the user crashes the process too, the message is set aside silently after ``tries`` more crashes.
        """
        # In this order: a crash between the two may tell the user twice, but never leaves them without a word.
        if head.tries <= self._crash_limit() + self._settings.tries:
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
        """Cancels what is still running, and releases every conversation, so that other workers can take them."""
        self._stopping.set()
        await asyncio.gather(*map(end, list(self._tasks.values())))
        with suppress(StoreUnavailable):  # then the leases expire by themselves
            await self._consumer.leave()

    async def _release(self, ready: Ready, *, uncount: bool) -> None:
        with suppress(StoreUnavailable):  # then the lease expires by itself
            await self._consumer.release(ready, uncount=uncount)

    async def _until_redis_answers(self, act: Callable[[], Awaitable[None]]) -> None:
        """Repeats ``act`` until Redis answers or the worker stops, with pauses of 2 seconds at most."""
        tries = 0
        while not self._stopping.is_set():
            try:
                await act()
            except StoreUnavailable:
                tries += 1
                await self._unless_stopped(asyncio.sleep(min(2.0, RECONNECT_SECONDS * 2**tries)))
            else:
                return

    async def _unless_stopped(self, work: Awaitable[T]) -> T | None:
        """The result of ``work``, or None if the worker was asked to stop first."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            task.cancel()
            stop.cancel()


def _where(error: BaseException) -> dict[str, str]:
    """File and line of an error. Its message and traceback are not logged: they may quote what somebody wrote."""
    frames = traceback.extract_tb(error.__traceback__)
    return {"where": f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"} if frames else {}
