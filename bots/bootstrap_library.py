"""The part of the wiring that reads sources: who reads them, in which process, over which queues."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from bots.library.collections import ServingShelf
from bots.library.documents import SharedDocuments, as_configured
from bots.library.library import Library, sources
from bots.library.reading import SourceReader
from bots.library.runs import Runs
from bots.metrics import Metrics
from bots.settings import Settings
from rag.store.task_queue import TaskQueue

if TYPE_CHECKING:
    from bots.bootstrap import Stores

Work = Callable[[str], Awaitable[None]]
SOURCES_AT_ONCE = 3
"""A site that is read politely for an hour holds up no folder."""
DOCUMENTS_AT_ONCE = 8
DOCUMENTS_POLL_SECONDS = 0.1


def build_library(settings: Settings, stores: Stores, shelf: ServingShelf, metrics: Metrics) -> Library:
    """Where no other process can help, a source is read and written by one; else its documents go through a queue."""
    runs = Runs(stores.redis, stores.keys)
    caches = settings.home / "sources"
    alone = settings.needs_home()

    def queue(name: str, work: Work, at_once: int, poll_seconds: float) -> TaskQueue:
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

    def documents(work: Work) -> TaskQueue:
        return queue("documents", work, DOCUMENTS_AT_ONCE, DOCUMENTS_POLL_SECONDS)

    shared = (
        None
        if alone
        else SharedDocuments(
            stores.redis, stores.keys, as_configured(sources(settings.knowledge), shelf.take), documents
        )
    )
    return Library(
        settings.knowledge,
        runs=runs,
        reader=SourceReader(shelf.synchronizer, runs, caches, shared),
        queue=lambda work: queue("sources", work, SOURCES_AT_ONCE, 1.0),
        documents=shared,
        shelf=shelf,
        caches=caches,
        metrics=metrics,
    )
