"""The only wiring: concrete classes are named here and nowhere else."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog
from redis.asyncio import Redis

from bots.bootstrap_handover import build_handovers
from bots.bootstrap_library import build_library
from bots.bootstrap_model import follow_promotions, open_model, tracing, writing_chain
from bots.conversation.answers import Rules
from bots.conversation.audience import audiences, tenant
from bots.conversation.commands import Commands
from bots.conversation.folding import Folding
from bots.conversation.forgetting import Forgetting
from bots.conversation.guard import Guard
from bots.conversation.handle import Conversations
from bots.desk.local import TerminalDesk
from bots.errors import BotsError
from bots.keys import Keys
from bots.library.collections import ServingShelf
from bots.library.library import Library
from bots.messages import IncomingMessage
from bots.metrics import Metrics
from bots.operations.private_redis import PrivateRedis
from bots.platforms.base import Platform
from bots.queue.inbox import Inbox
from bots.queue.outbox import Outbox
from bots.queue.recorder import NoLog, Recorder
from bots.queue.replies import ReplyLedger
from bots.queue.worker import Worker
from bots.settings import Settings
from bots.store import connect, store, text
from rag.answering.extractive import ExtractiveAnswerer
from rag.chain import ConversationalChain
from rag.knowledge.sync.source import recipe_for
from rag.language import load as load_languages
from rag.memory.conversation import ConversationMemory
from rag.memory.notes import PersonalNotes
from rag.memory.summarising import ModelSummariser, SelectingSummariser
from rag.retrieval.calibrated import read_calibrations
from rag.retrieval.calibration import DEFAULT
from rag.retrieval.embeddings.cache import CachedEmbeddings
from rag.retrieval.embeddings.models import TextEmbeddings, load_embeddings
from rag.retrieval.evidence import FEATURES
from rag.retrieval.index.collections import Collections
from rag.retrieval.index.edge.collections import EdgeCollections
from rag.retrieval.reranker import Rerankers
from rag.retrieval.retriever import HybridRetriever
from rag.retrieval.serving import Serving, named
from rag.retrieval.sparse import SparseEncoder
from rag.types import AdapterRef
from tuning.conversations.log import ConversationLog
from tuning.errors import LogUnavailable
from tuning.registry.serving import ServingAdapters

log = structlog.get_logger()
KEEP_ALIVE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Everything that is kept in Redis and in the log."""

    url: str
    keys: Keys
    redis: Redis
    inbox: Inbox
    ledger: ReplyLedger
    memory: ConversationMemory
    outbox: Outbox
    log: ConversationLog
    forgetting: Forgetting


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """Everything that finds and answers."""

    serving: Serving
    retriever: HybridRetriever
    chain: ConversationalChain
    library: Library
    folding: Folding
    adapters: ServingAdapters | None = None

    def adapter(self) -> AdapterRef | None:
        """The adapter that answers the next message."""
        return self.adapters.current("chat") if self.adapters else None

    async def passages(self) -> int:
        """How many passages questions find something in. Raises ``IndexUnavailable``."""
        _, index = await self.serving.pair()
        return await index.count()


@asynccontextmanager
async def open_stores(settings: Settings, *, adopt: bool = False) -> AsyncIterator[Stores]:
    """Redis (a private one unless REDIS_URL is set) and the log, migrated. Raises ``BotsError`` or ``TuningError``.

    ``adopt``: another process owns the private Redis, and goes on with it afterwards.
    """
    async with _redis_url(settings, adopt=adopt) as url:
        redis = connect(url)
        try:
            yield await _stores(settings, redis, url)
        finally:
            await redis.aclose()


@asynccontextmanager
async def _redis_url(settings: Settings, *, adopt: bool) -> AsyncIterator[str]:
    if settings.redis.url:
        yield settings.redis.url
        return
    private = PrivateRedis(settings.home, settings.redis.appendfsync)
    url = await asyncio.to_thread(private.start)
    stopping = asyncio.Event()
    keeping = None if adopt else asyncio.create_task(_keep_alive(private, stopping), name="private redis")
    try:
        yield url
    finally:
        if keeping is not None:
            stopping.set()
            await keeping  # not cancelled: a start that goes on in its thread would undo the stop
            await asyncio.to_thread(private.stop)


async def _keep_alive(private: PrivateRedis, stopping: asyncio.Event) -> None:
    """Starts the private server again when it dies (the kernel's memory killer, say): nobody else would."""
    while not stopping.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), KEEP_ALIVE_SECONDS)
        if not stopping.is_set():
            try:
                await asyncio.to_thread(private.start)
            except BotsError as error:
                log.warning("private_redis_down", reason=str(error))


async def _stores(settings: Settings, redis: Redis, url: str) -> Stores:
    keys = Keys(settings.redis.prefix)
    ledger = ReplyLedger(redis, keys)
    notes = PersonalNotes(redis, settings.memory, keys.notes, keys.notes_of)
    memory = ConversationMemory(redis, settings.memory, keys.memory, notes)
    inbox = Inbox(redis, keys, settings.worker)
    conversation_log = await _log(settings, redis, keys)
    try:
        await asyncio.to_thread(conversation_log.upgrade)
    except LogUnavailable:
        log.warning("log_unavailable", until="the recorder reaches it; answers do not wait")
    return Stores(
        url=url,
        keys=keys,
        redis=redis,
        inbox=inbox,
        ledger=ledger,
        memory=memory,
        outbox=Outbox(redis, keys),
        log=conversation_log,
        forgetting=Forgetting(
            redis, keys, memory=memory, inbox=inbox, ledger=ledger, pseudonym=conversation_log.pseudonym
        ),
    )


async def open_log(settings: Settings, redis_url: str) -> ConversationLog:
    """The log alone, not migrated yet; Redis is asked for the secret that pseudonyms are made with."""
    redis = connect(redis_url)
    try:
        return await _log(settings, redis, Keys(settings.redis.prefix))
    finally:
        await redis.aclose()


async def _log(settings: Settings, redis: Redis, keys: Keys) -> ConversationLog:
    secret = await _pseudonym_secret(redis, keys)
    return ConversationLog(database_url(settings), secret, redact=settings.log.redact)


def database_url(settings: Settings) -> str:
    """DATABASE_URL, or SQLite in the home."""
    return settings.log.url or f"sqlite:///{settings.home / 'conversations.sqlite3'}"


def open_collections(settings: Settings) -> Collections:
    """The embedded collections, or a Qdrant server's where QDRANT_URL is set; not opened yet."""
    if settings.qdrant.url:
        from rag.retrieval.index.server.collections import (
            ServerCollections,  # imports qdrant-client: 1.6 s that the embedded default does not need
        )

        return ServerCollections(settings.qdrant)
    return EdgeCollections(settings.home)


@asynccontextmanager
async def open_answering(
    settings: Settings, stores: Stores, metrics: Metrics, *, writes: bool = True
) -> AsyncIterator[Answering]:
    """Models loaded, collections open, chain composed. Raises the errors of ``rag`` and ``tuning``, and ``StoreUnavailable``.

    Without ``writes`` no language model is loaded: who only searches or reads documents needs none.
    """
    embeddings = load_embeddings(settings.embedding)
    await asyncio.to_thread(embeddings.load)
    await asyncio.to_thread(load_languages)
    rerankers = Rerankers()
    await rerankers.named(settings.retrieval.reranker)  # a model that cannot be had is told at the start
    cached = await _cache(settings, stores)
    load = named(settings.embedding)
    serving = Serving(
        open_collections(settings), cached(embeddings), recipe_for(embeddings), lambda name: cached(load(name))
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(serving.close)
        await serving.open()  # before the language model: a server that is away is tried every two seconds
        callbacks = stack.enter_context(tracing(settings.tracing))
        model = await stack.enter_async_context(open_model(settings.model)) if writes else None
        adapters = await stack.enter_async_context(follow_promotions(settings, model)) if writes else None
        folding = Folding(stores.memory, ModelSummariser(model) if model else SelectingSummariser())
        stack.push_async_callback(folding.close)
        sparse = SparseEncoder()
        calibrations = read_calibrations(settings.home, FEATURES, DEFAULT)
        calibrations.of(
            embeddings.query_name
        )  # one that does not fit is told at the start, not with the first question
        retriever = HybridRetriever(
            serving=serving,
            sparse=sparse,
            settings=settings.retrieval,
            calibrations=calibrations,
            rerankers=rerankers,
        )
        quoting = ExtractiveAnswerer(embeddings, sparse, settings.model)
        chain = ConversationalChain(retriever, quoting, settings.retrieval, callbacks=callbacks)
        if model is not None:
            chain = await writing_chain(settings, model, retriever, quoting, embeddings, callbacks)
        yield Answering(
            serving=serving,
            retriever=retriever,
            chain=chain,
            library=build_library(settings, stores, ServingShelf(serving, embeddings, sparse), metrics),
            folding=folding,
            adapters=adapters,
        )


async def _cache(settings: Settings, stores: Stores) -> Callable[[TextEmbeddings], TextEmbeddings]:
    """What puts a model behind the cache of questions, if there is to be one."""
    ttl = timedelta(days=settings.embedding.cache_days)
    if not ttl:
        return lambda embeddings: embeddings
    secret = hmac.digest(await _pseudonym_secret(stores.redis, stores.keys), b"embeddings of questions", "sha256")
    return lambda embeddings: CachedEmbeddings(embeddings, stores.redis, stores.keys.of("embedding"), secret, ttl)


def terminal_desk(settings: Settings, stores: Stores, answering: Answering) -> TerminalDesk:
    """The desk of this process."""
    return TerminalDesk(
        chain=answering.chain,
        retriever=answering.retriever,
        memory=stores.memory,
        inbox=stores.inbox,
        outbox=stores.outbox,
        forgetting=stores.forgetting,
        library=answering.library,
        adapter=answering.adapter,
        remembered=answering.folding.after,
        audiences=frozenset(settings.audience.terminal) | {"public"},
        tenant=settings.audience.terminal_tenant,
    )


def build_worker(
    settings: Settings,
    stores: Stores,
    answering: Answering,
    platforms: dict[str, Platform],
    metrics: Metrics,
) -> Worker:
    """A worker over everything that is open."""
    commands = Commands(
        memory=stores.memory,
        ledger=stores.ledger,
        forgetting=stores.forgetting,
        contact=settings.telegram.contact,
    )
    handovers = build_handovers(
        settings.handover,
        platforms,
        redis=stores.redis,
        keys=stores.keys,
        inbox=stores.inbox,
        memory=stores.memory,
        metrics=metrics,
    )
    conversations = Conversations(
        platforms=platforms,
        ledger=stores.ledger,
        memory=stores.memory,
        chain=answering.chain,
        guard=Guard(stores.redis, stores.keys, settings.limits),
        commands=commands,
        forgetting=stores.forgetting,
        inbox=stores.inbox,
        handovers=handovers,
        metrics=metrics,
        rules=Rules(
            audiences=lambda message: audiences(message, settings),
            tenant=lambda message: tenant(message, settings),
            adapter=lambda _: answering.adapter(),
            remembered=answering.folding.after,
            contact=settings.telegram.contact,
        ),
    )
    return Worker(
        stores.inbox,
        conversations.handle,
        conversations.apologise,
        settings.worker,
        metrics,
        alone=settings.redis.url is None,
    )


def build_recorder(settings: Settings, stores: Stores, metrics: Metrics) -> Recorder:
    """What moves turns and feedback into the log, or away where ``log.enabled`` is off."""
    return Recorder(stores.redis, stores.keys, stores.log if settings.log.enabled else NoLog(stores.log), metrics)


class Receiver:
    """Takes what platforms deliver: durable before it returns."""

    def __init__(self, inbox: Inbox, metrics: Metrics) -> None:
        self._inbox = inbox
        self._metrics = metrics

    async def accept(self, message: IncomingMessage) -> bool:
        """False for what was seen before. Raises ``StoreUnavailable``: the platform must be told to try again."""
        if message.kind == "deletion" and await self._inbox.drop(message.conversation, message.original):
            return True
        new = await self._inbox.accept(message)
        self._metrics.accepted(message.platform, new=new)
        return new


async def _pseudonym_secret(redis: Redis, keys: Keys) -> bytes:
    """One secret an installation, shared by its processes through Redis: a person has one pseudonym in the log."""
    key = keys.of("pseudonym-secret")
    with store("check REDIS_URL, or the log in COTORRA_HOME/redis"):
        await redis.set(key, secrets.token_hex(32), nx=True)
        value = await redis.get(key)
    return text(value).encode()
