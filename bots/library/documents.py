"""Changed documents as tasks of a queue, so that every worker embeds its share of a large source.

Who looks at the source offers each changed document, and takes in what became of it; a worker embeds and writes it. Whoever
dies is replaced by the queue: offering again what is there already, or was done already, changes nothing.
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
"""Documents of one source in flight, and below it their bytes: what a sync takes of Redis' memory at most."""
OFFERED_BYTES = 32_000_000
LOOK_SECONDS = 0.1
OFFER_AGAIN_SECONDS = 15.0
"""What has not come back by then is offered again, in case Redis lost it; where it is still in the queue nothing happens."""
KEEP_SECONDS = 3600
TRIES = 3
WAITS = (1.0, 4.0)
"""Seconds between the tries of a document whose index or model failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """A document in flight."""

    document: str
    body: bytes


def as_configured(
    sources: Sequence[SourceSettings], take: Callable[[Change], Awaitable[Tally]]
) -> Callable[[Change], Awaitable[Tally]]:
    """``take``, but for documents of a source that is gone or is for other readers now: they waited since before that."""
    readers = {source.name: (source.audience, source.tenant) for source in sources}

    async def taken(change: Change) -> Tally:
        document = change.document
        if readers.get(document.source) != (document.audience, document.tenant):
            return _skipped(change, "its source was removed, or given to other readers, while it waited")
        return await take(change)

    return taken


class SharedDocuments:
    """``take`` embeds and writes one change; ``queue`` makes the queue for what it is given as work.

    Between :meth:`open` and :meth:`close` this process takes its share of the documents, whoever offered them. At most
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
        """Begin to take documents."""
        await self._queue.open()

    async def close(self) -> None:
        """Stop taking documents; what is in work begins anew elsewhere."""
        await self._queue.close()

    def _key(self, part: str, task: str) -> str:
        return self._keys.of("sync-document", part, task)

    async def spread(self, changes: AsyncIterator[Change], tally: Tally) -> None:
        """Has every change taken, and adds up what became of them. Raises what ``changes`` raises, ``StoreUnavailable``."""
        flying: dict[str, _Offer] = {}
        async for change in changes:
            while self._full(flying):
                await self._collect(flying, tally)
            task, offer = _task(change), _Offer(document=change.document.id, body=_packed(change))
            await self._offer(task, offer)
            flying[task] = offer
        while flying:
            await self._collect(flying, tally)

    def _full(self, flying: dict[str, _Offer]) -> bool:
        return len(flying) >= self._offered or sum(len(offer.body) for offer in flying.values()) >= OFFERED_BYTES

    async def _work(self, task: str) -> None:
        """One document, in whichever process the queue chose."""
        with store_errors(_PURPOSE):
            body = await self._redis.get(self._key("body", task))
            begun = await self._redis.incr(self._key("begun", task))
            await self._redis.expire(self._key("begun", task), KEEP_SECONDS)
        if isinstance(body, bytes):  # else it was done already, or will be offered again
            change = _CHANGE.validate_json(zlib.decompress(body))
            await self._done(task, await self._unless_stopped(task, change, begun))

    async def _unless_stopped(self, task: str, change: Change, begun: int) -> Tally:
        try:
            return await self._outcome(change, begun)
        except asyncio.CancelledError:  # the process stops on purpose: no sign of a document that kills
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

    async def _done(self, task: str, tally: Tally) -> None:
        with store_errors(_PURPOSE):
            async with self._redis.pipeline() as pipeline:
                pipeline.set(self._key("outcome", task), _TALLY.dump_json(tally), ex=KEEP_SECONDS)
                pipeline.delete(self._key("body", task), self._key("begun", task))
                await pipeline.execute()

    async def _offer(self, task: str, offer: _Offer) -> None:
        with store_errors(_PURPOSE):
            async with self._redis.pipeline() as pipeline:
                pipeline.delete(
                    self._key("outcome", task)
                )  # of a former run: this document may have changed back since
                pipeline.set(self._key("body", task), offer.body, ex=KEEP_SECONDS)
                await pipeline.execute()
        await self._queue.add(task)

    async def _collect(self, flying: dict[str, _Offer], tally: Tally) -> None:
        """Takes in what has come back, and waits until something has."""
        loop = asyncio.get_running_loop()
        again = loop.time() + self._offer_again_seconds
        while not (outcomes := await self._outcomes(list(flying))):
            if loop.time() >= again:
                for task, offer in flying.items():
                    await self._offer(task, offer)
                again = loop.time() + self._offer_again_seconds
            await asyncio.sleep(LOOK_SECONDS)
        for task, outcome in outcomes.items():
            tally.add(outcome)
            del flying[task]

    async def _outcomes(self, tasks: list[str]) -> dict[str, Tally]:
        with store_errors(_PURPOSE):
            values = await self._redis.mget([self._key("outcome", task) for task in tasks])
        found = zip(tasks, values, strict=True)
        return {task: _TALLY.validate_json(value) for task, value in found if value is not None}


def _task(change: Change) -> str:
    """One name for one version of a document, whoever offers it."""
    version = f"{change.document.source}\0{change.document.id}\0{change.digest}"
    return hashlib.sha256(version.encode(errors="replace")).hexdigest()[:32]


def _packed(change: Change) -> bytes:
    return zlib.compress(_CHANGE.dump_json(change), 1)


def _skipped(change: Change, reason: str) -> Tally:
    document = change.document.id
    return Tally(skipped=[Unreadable(path=document, reason=reason, document=document)])
