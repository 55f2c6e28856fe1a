"""Changed documents as tasks of a queue, so that every worker embeds its share of a large source.

The process that surveys the source offers each changed document and collects the outcomes; any worker embeds and writes it. If
either dies, the queue gives its task to another process. A task may be offered twice without harm, even after it was done.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog
from pydantic import TypeAdapter
from redis.asyncio import Redis

from bots.keys import Keys
from rag.errors import RagError, StoreUnavailable
from rag.knowledge.loaders.sources import Unreadable
from rag.knowledge.sync.survey import Change, Tally
from rag.settings import SourceSettings
from rag.store.client import store_errors
from rag.store.task_queue import TaskQueue

log = structlog.get_logger()
_CHANGE: TypeAdapter[Change] = TypeAdapter(Change)
_TALLY: TypeAdapter[Tally] = TypeAdapter(Tally)
_PURPOSE = "the sync goes on when it does"

OFFERED = 64
"""How many documents of one source may be in flight, so that a sync takes little of Redis's memory."""
OFFERED_BYTES = 32_000_000
"""How many compressed bytes those documents may have together."""
LOOK_SECONDS = 0.1
"""Pause between two looks for outcomes."""
OFFER_AGAIN_SECONDS = 15.0
"""Documents without an outcome are offered again then, in case Redis lost them. The queue ignores those that it has."""
KEEP_SECONDS = 3600
"""Lifetime of bodies, counters and outcomes in Redis, for the case that the process that offered them is dead."""
TRIES = 3
"""How often a document may be begun; a document that crashes the process again and again is skipped."""
WAITS = (1.0, 4.0)
"""Seconds between the tries of a document, when the index or the embedding model fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """A document in flight."""

    document: str
    body: bytes


def as_configured(
    sources: Sequence[SourceSettings], take: Callable[[Change], Awaitable[Tally]]
) -> Callable[[Change], Awaitable[Tally]]:
    """``take``, except for documents whose source was removed or got other readers while they waited: those are skipped."""
    readers = {source.name: (source.audience, source.tenant) for source in sources}

    async def take_or_skip(change: Change) -> Tally:
        document = change.document
        # The task may have been offered by a process with the earlier configuration.
        if readers.get(document.source) != (document.audience, document.tenant):
            return _skipped(change, "its source was removed, or given to other readers, while it waited")
        return await take(change)

    return take_or_skip


class SharedDocuments:
    """Spreads documents over all workers. ``take`` embeds and writes one; ``queue`` makes a task queue for a function.

    Between :meth:`open` and :meth:`close`, this process also handles documents that other processes offer. At most
    ``offered`` documents of a source are in flight; the pauses are described where their defaults are.
    """

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        take: Callable[[Change], Awaitable[Tally]],
        queue: Callable[[Callable[[str], Awaitable[None]]], TaskQueue],
        *,
        offered: int = OFFERED,
        offer_again_seconds: float = OFFER_AGAIN_SECONDS,
        waits: Sequence[float] = WAITS,
    ) -> None:
        self._offered = offered
        self._offer_again_seconds = offer_again_seconds
        self._waits = waits
        self._redis = redis
        self._keys = keys
        self._take = take
        self._queue = queue(self._work)

    async def open(self) -> None:
        """Starts to take documents from the queue."""
        await self._queue.open()

    async def close(self) -> None:
        """Stops taking documents. Those in work begin anew in another process."""
        await self._queue.close()

    def _key(self, part: str, task: str) -> str:
        return self._keys.of("sync-document", part, task)

    async def spread(self, changes: AsyncIterator[Change], tally: Tally) -> None:
        """Has every change written by some worker, and adds the outcomes to ``tally``.

        Raises ``StoreUnavailable`` and whatever ``changes`` raises.
        """
        in_flight: dict[str, _Offer] = {}
        async for change in changes:
            while self._full(in_flight):
                await self._collect(in_flight, tally)
            task, offer = _task(change), _Offer(document=change.document.id, body=_packed(change))
            await self._offer(task, offer)
            in_flight[task] = offer
        while in_flight:
            await self._collect(in_flight, tally)

    def _full(self, in_flight: dict[str, _Offer]) -> bool:
        return len(in_flight) >= self._offered or sum(len(offer.body) for offer in in_flight.values()) >= OFFERED_BYTES

    async def _work(self, task: str) -> None:
        """Handles one document, in the process that the queue chose."""
        with store_errors(_PURPOSE):
            body = await self._redis.get(self._key("body", task))
            # Counted before the work: a crash during it must leave its mark, or a deadly document would run for ever.
            begun = await self._redis.incr(self._key("begun", task))
            await self._redis.expire(self._key("begun", task), KEEP_SECONDS)
        if isinstance(body, bytes):  # without a body it was done already, or it will be offered again
            change = _CHANGE.validate_json(zlib.decompress(body))
            await self._store_outcome(task, await self._unless_stopped(task, change, begun))

    async def _unless_stopped(self, task: str, change: Change, begun: int) -> Tally:
        try:
            return await self._outcome(change, begun)
        except asyncio.CancelledError:
            # The process stops on purpose, so this start must not count as a crash.
            with suppress(StoreUnavailable), store_errors(_PURPOSE):
                await self._redis.decr(self._key("begun", task))
            raise

    async def _outcome(self, change: Change, begun: int) -> Tally:
        if begun > TRIES:
            return _skipped(change, f"the process ended {TRIES} times while this was embedded")
        for wait in (*self._waits, None):
            try:
                return await self._take(change)
            except RagError as error:
                log.warning("document_not_taken", error=type(error).__name__)
                if wait is None:
                    return _skipped(change, str(error))
                await asyncio.sleep(wait)
        raise AssertionError("the last try returns")

    async def _store_outcome(self, task: str, tally: Tally) -> None:
        with store_errors(_PURPOSE):
            async with self._redis.pipeline() as pipeline:
                pipeline.set(self._key("outcome", task), _TALLY.dump_json(tally), ex=KEEP_SECONDS)
                pipeline.delete(self._key("body", task), self._key("begun", task))
                await pipeline.execute()

    async def _offer(self, task: str, offer: _Offer) -> None:
        with store_errors(_PURPOSE):
            async with self._redis.pipeline() as pipeline:
                # An outcome of a former run may be there: the document has changed, and changed back since.
                pipeline.delete(self._key("outcome", task))
                pipeline.set(self._key("body", task), offer.body, ex=KEEP_SECONDS)
                await pipeline.execute()
        await self._queue.add(task)

    async def _collect(self, in_flight: dict[str, _Offer], tally: Tally) -> None:
        """Waits until at least one outcome is there, and adds all that are to ``tally``."""
        loop = asyncio.get_running_loop()
        offer_again_at = loop.time() + self._offer_again_seconds
        while not (outcomes := await self._outcomes(list(in_flight))):
            if loop.time() >= offer_again_at:
                for task, offer in in_flight.items():
                    await self._offer(task, offer)
                offer_again_at = loop.time() + self._offer_again_seconds
            await asyncio.sleep(LOOK_SECONDS)
        for task, outcome in outcomes.items():
            tally.add(outcome)
            del in_flight[task]

    async def _outcomes(self, tasks: list[str]) -> dict[str, Tally]:
        with store_errors(_PURPOSE):
            values = await self._redis.mget([self._key("outcome", task) for task in tasks])
        pairs = zip(tasks, values, strict=True)
        return {task: _TALLY.validate_json(value) for task, value in pairs if value is not None}


def _task(change: Change) -> str:
    """The task's name: the same for one version of a document, whichever process offers it."""
    # "replace", because names of files may hold lone surrogates, which UTF-8 cannot encode.
    version = f"{change.document.source}\0{change.document.id}\0{change.digest}"
    return hashlib.sha256(version.encode(errors="replace")).hexdigest()[:32]


def _packed(change: Change) -> bytes:
    # Level 1: text shrinks to a fraction at little cost, and the bytes live for seconds only.
    return zlib.compress(_CHANGE.dump_json(change), 1)


def _skipped(change: Change, reason: str) -> Tally:
    document = change.document.id
    return Tally(skipped=[Unreadable(path=document, reason=reason, document=document)])
