"""Wires the service: only this module names concrete classes of bots and tuning; ``rag/assembly`` names those of rag."""

from __future__ import annotations

import asyncio
import hmac
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from redis.asyncio import Redis

from bots.conversation.answers import Rules
from bots.conversation.audience import readers, terminal_readers
from bots.conversation.commands import Commands
from bots.conversation.folding import Folding
from bots.conversation.guard import Guard
from bots.conversation.handle import Conversations
from bots.conversation.handover.handovers import HandoverChannel, Handovers
from bots.conversation.handover.state import HandoverStore
from bots.desk.console import ConsoleHandover, ConsoleKnowledge
from bots.desk.local import TerminalDesk
from bots.desk.operations import OpenService
from bots.keys import Keys
from bots.library.collections import ServingCollections
from bots.library.documents import SharedDocuments, as_configured
from bots.library.library import Library, sources
from bots.library.reading import SourceReader
from bots.library.runs import Runs
from bots.metrics import Metrics
from bots.platforms.base import Platform, PlatformContext
from bots.platforms.entries import PLATFORMS
from bots.platforms.entry import PlatformEntry
from bots.queue.inbox import Inbox
from bots.queue.recorder import NoLog, Recorder
from bots.queue.worker import Worker
from bots.settings import HandoverSettings, Settings
from bots.stores import Stores, pseudonym_secret
from rag.assembly.answering import build_chain, build_summariser
from rag.assembly.models import open_language_model
from rag.assembly.search import Cache, Search, open_search, question_cache
from rag.assembly.tracing import tracing
from rag.memory.conversation import ConversationMemory
from rag.models.language_model import LanguageModel
from rag.store.task_queue import TaskQueue
from rag.turn import Turns
from rag.types import AdapterRef
from tuning.console import ConsoleServices
from tuning.errors import LogUnavailable
from tuning.registry.adapters import Task
from tuning.registry.folders import FolderRegistry
from tuning.registry.serving import AdapterHost, ServingAdapters, following

log = structlog.get_logger()

SOURCES_AT_ONCE = 3
"""Sources read at the same time: a site that is crawled slowly for an hour must not delay a folder."""
DOCUMENTS_AT_ONCE = 8
DOCUMENTS_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """Everything that finds and answers. ``adapters`` is None where nothing is written."""

    search: Search
    turns: Turns
    library: Library
    adapters: ServingAdapters | None = None

    def adapter(self) -> AdapterRef | None:
        """The adapter that answers the next message."""
        return self.adapters.current("chat") if self.adapters else None


@asynccontextmanager
async def open_answering(
    settings: Settings, stores: Stores, metrics: Metrics, *, writes: bool = True
) -> AsyncIterator[Answering]:
    """Loads models, opens collections, builds the chain. Raises the errors of ``rag`` and ``tuning``, and ``StoreUnavailable``.

    Without ``writes`` no language model is loaded: a search or a sync needs none.
    """
    async with AsyncExitStack() as stack:
        # Before the language model: where Qdrant is out of reach this is repeated every two seconds, and a load takes minutes.
        search = await stack.enter_async_context(open_search(settings, await _question_cache(settings, stores)))
        callbacks = stack.enter_context(tracing(settings.tracing.endpoint, settings.tracing.sample))
        model = await stack.enter_async_context(open_language_model(settings.model, _announce)) if writes else None
        adapters = await stack.enter_async_context(follow_promotions(settings, model)) if writes else None
        folding = Folding(stores.memory, build_summariser(model))
        stack.push_async_callback(folding.close)
        chain = await build_chain(settings, search, model, callbacks, sources(settings.knowledge))
        yield Answering(
            search=search,
            turns=Turns(chain, stores.memory, to_summarise=folding.after),
            library=build_library(settings, stores, search, metrics),
            adapters=adapters,
        )


def _announce(line: str) -> None:
    print(f"cotorra: {line}", file=sys.stderr)


async def _question_cache(settings: Settings, stores: Stores) -> Cache:
    # Derived, not the secret itself: digests of questions and pseudonyms must not be comparable. All processes share it.
    secret = hmac.digest(await pseudonym_secret(stores.redis, stores.keys), b"embeddings of questions", "sha256")
    return question_cache(stores.redis, stores.keys.of("embedding"), secret, settings.embedding)


def follow_promotions(settings: Settings, model: LanguageModel | None) -> AbstractAsyncContextManager[ServingAdapters]:
    """The adapters of every model of this process that takes some. What reads or finds joins ``hosts`` here.

    Entering raises ``AdapterMissing`` or ``ModelError`` for a configured adapter that is not there or does not fit.
    """
    hosts: dict[Task, AdapterHost] = {"chat": model} if model else {}
    return following(FolderRegistry(settings.home / "adapters"), hosts, {"chat": settings.model.adapter})


def build_library(settings: Settings, stores: Stores, search: Search, metrics: Metrics) -> Library:
    """The library. Where several processes can share the work, documents go through a queue; else one process does a source."""
    collections = ServingCollections(search.serving, search.embeddings, search.sparse)
    runs = Runs(stores.redis, stores.keys)
    caches = settings.home / "sources"
    alone = settings.needs_home()

    def queue(name: str, work: Callable[[str], Awaitable[None]], at_once: int, poll_seconds: float) -> TaskQueue:
        return TaskQueue(
            stores.redis,
            stores.url,
            stores.keys.of("queue", name),
            work,
            at_once=at_once,
            lease_seconds=settings.worker.lease_seconds,
            poll_seconds=poll_seconds,
            alone=alone,
        )

    def documents(work: Callable[[str], Awaitable[None]]) -> TaskQueue:
        return queue("documents", work, DOCUMENTS_AT_ONCE, DOCUMENTS_POLL_SECONDS)

    shared = (
        None
        if alone
        else SharedDocuments(
            stores.redis, stores.keys, as_configured(sources(settings.knowledge), collections.take), documents
        )
    )
    return Library(
        settings.knowledge,
        runs=runs,
        reader=SourceReader(collections.synchronizer, runs, caches, shared),
        queue=lambda work: queue("sources", work, SOURCES_AT_ONCE, 1.0),
        documents=shared,
        collections=collections,
        caches=caches,
        metrics=metrics,
    )


def open_platforms(
    settings: Settings,
    stores: Stores,
    metrics: Metrics,
    busy: Callable[[], bool],
    entries: Sequence[PlatformEntry[Any]] = PLATFORMS,
) -> dict[str, Platform]:
    """The platforms that have credentials. Raises ``SettingsError`` for credentials that do not belong together."""

    def build(entry: PlatformEntry[Any]) -> Platform:
        context = PlatformContext(
            redis=stores.redis,
            keys=stores.keys,
            ledger=stores.ledger,
            feedback=stores.outbox.post,
            migrate=lambda old, new: _migrate(stores, old, new),
            metrics=metrics,
            busy=busy,
            remember_seconds=settings.memory.ttl_days * 86400,
            body_bytes=settings.limits.body_bytes,
            handover_place=settings.handover.channel(entry.name),
        )
        return entry.build(entry.section(settings), context)

    return {entry.name: build(entry) for entry in entries if entry.connected(settings)}


def platform_contacts(settings: Settings, entries: Sequence[PlatformEntry[Any]] = PLATFORMS) -> dict[str, str]:
    """How to reach a person, by platform; also of platforms that are not connected."""
    return {entry.name: entry.contact(entry.section(settings)) for entry in entries}


async def _migrate(stores: Stores, old: str, new: str) -> None:
    """Moves everything stored under a conversation's old id to its new one. Raises ``StoreUnavailable``."""
    # The log comes last and may fail: an old id there does no harm to the conversation.
    await stores.memory.move(old, new)
    await HandoverStore(stores.redis, stores.keys).move(old, new)
    try:
        await asyncio.to_thread(stores.log.rename, old, new)
    except LogUnavailable:
        log.warning("log_keeps_the_old_name", why="the log does not answer")


def build_handovers(
    settings: HandoverSettings,
    platforms: Mapping[str, Platform],
    *,
    redis: Redis,
    keys: Keys,
    inbox: Inbox,
    memory: ConversationMemory,
    metrics: Metrics,
) -> Handovers:
    """Handovers through the configured channel; without one on any platform nobody can be asked to come."""
    return Handovers(
        HandoverStore(redis, keys),
        inbox,
        memory,
        metrics,
        channel=handover_channel(platforms),
        silent=timedelta(hours=settings.silent_hours),
    )


def handover_channel(platforms: Mapping[str, Platform]) -> HandoverChannel | None:
    """The configured channel, if its platform is connected; the settings allow one at most."""
    return next((platform.handover for platform in platforms.values() if platform.handover is not None), None)


def open_service(settings: Settings, stores: Stores, answering: Answering) -> OpenService:
    """The service on which the operations of ``bots/desk/operations.py`` run."""
    terminal_audience = terminal_readers(settings.audience)
    terminal = TerminalDesk(
        turns=answering.turns,
        memory=stores.memory,
        outbox=stores.outbox,
        adapter=answering.adapter,
        audiences=terminal_audience.audiences,
        tenant=terminal_audience.tenant,
    )
    return OpenService(
        terminal=terminal,
        retriever=answering.search.retriever,
        memory=stores.memory,
        inbox=stores.inbox,
        outbox=stores.outbox,
        forgetting=stores.forgetting,
        library=answering.library,
        readers=terminal_audience,
    )


def console_services(settings: Settings, stores: Stores, answering: Answering) -> ConsoleServices:
    """The parts of this service that a web console uses."""
    handover = ConsoleHandover(HandoverStore(stores.redis, stores.keys), stores.inbox)
    return ConsoleServices(
        knowledge=ConsoleKnowledge(answering.library, sources(settings.knowledge)), handover=handover, posting=handover
    )


def build_worker(
    settings: Settings,
    stores: Stores,
    answering: Answering,
    platforms: dict[str, Platform],
    metrics: Metrics,
    contacts: Mapping[str, str],
) -> Worker:
    """A worker on the open stores and models; ``contacts``: by platform, how to reach a person."""
    rules = Rules(
        audiences=lambda message: readers(message, platforms).audiences,
        tenant=lambda message: readers(message, platforms).tenant,
        adapter=lambda _: answering.adapter(),
        contacts=contacts,
    )
    commands = Commands(
        memory=stores.memory,
        ledger=stores.ledger,
        forgetting=stores.forgetting,
        contact=rules.contact,
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
        turns=answering.turns,
        guard=Guard(stores.redis, stores.keys, settings.limits),
        commands=commands,
        forgetting=stores.forgetting,
        inbox=stores.inbox,
        handovers=handovers,
        metrics=metrics,
        rules=rules,
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
    """Moves turns and feedback from the outbox to the log; where ``log.enabled`` is off, it drops them."""
    return Recorder(stores.redis, stores.keys, stores.log if settings.log.enabled else NoLog(stores.log), metrics)
