"""From settings to what finds passages: embeddings, the index that serves, and the retriever over both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from redis.asyncio import Redis

from rag.knowledge.sync.source import recipe_for
from rag.language import load as load_languages
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
from rag.settings import EmbeddingSettings, QdrantSettings, RetrievalSettings

Cache = Callable[[TextEmbeddings], TextEmbeddings]
"""Puts a cache before a model that embeds questions."""


class SearchSettings(Protocol):
    """The settings that decide what is found; ``home`` holds the embedded index and what was learned for it."""

    @property
    def home(self) -> Path: ...

    @property
    def embedding(self) -> EmbeddingSettings: ...

    @property
    def retrieval(self) -> RetrievalSettings: ...

    @property
    def qdrant(self) -> QdrantSettings: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What finds passages. ``embeddings`` is the model that documents are embedded with, without a cache."""

    embeddings: TextEmbeddings
    sparse: SparseEncoder
    serving: Serving
    retriever: HybridRetriever

    async def passages(self) -> int:
        """How many passages questions find something in. Raises ``IndexUnavailable``."""
        _, index = await self.serving.pair()
        return await index.count()


def uncached(embeddings: TextEmbeddings) -> TextEmbeddings:
    return embeddings


def question_cache(redis: Redis, prefix: str, secret: bytes, settings: EmbeddingSettings) -> Cache:
    """The cache of questions in Redis below ``prefix``, unless ``cache_days`` is 0; its keys are made with ``secret``."""
    ttl = timedelta(days=settings.cache_days)
    if not ttl:
        return uncached
    return lambda embeddings: CachedEmbeddings(embeddings, redis, prefix, secret, ttl)


def collections(settings: SearchSettings) -> Collections:
    """The embedded collections, or a Qdrant server's where there is one; not opened yet."""
    if settings.qdrant.url:
        # imports qdrant-client: 1.6 s that the embedded default does not need
        from rag.retrieval.index.server.collections import ServerCollections

        return ServerCollections(settings.qdrant)
    return EdgeCollections(settings.home)


@asynccontextmanager
async def open_search(settings: SearchSettings, cache: Cache = uncached) -> AsyncIterator[Search]:
    """Models loaded, collections open. Raises ``IndexUnavailable``, ``IndexLocked``, ``ModelError``, ``ConfigurationError``."""
    embeddings = load_embeddings(settings.embedding)
    await asyncio.to_thread(embeddings.load)
    await asyncio.to_thread(load_languages)
    rerankers = Rerankers()
    await rerankers.named(settings.retrieval.reranker)  # a model that cannot be had is told at the start
    load = named(settings.embedding)
    serving = Serving(collections(settings), cache(embeddings), recipe_for(embeddings), lambda name: cache(load(name)))
    try:
        await serving.open()
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
        yield Search(embeddings=embeddings, sparse=sparse, serving=serving, retriever=retriever)
    finally:
        await serving.close()
