"""Builds the search from settings: embeddings, the serving index, and the retriever over both."""

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
"""Wraps a model that embeds questions in a cache."""


class SearchSettings(Protocol):
    """The settings that retrieval depends on; ``home`` holds the embedded index and its learnt calibration."""

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
    """The parts of an open search. ``embeddings`` embeds documents, without a cache; ``questions`` is the same model with it."""

    embeddings: TextEmbeddings
    questions: TextEmbeddings
    sparse: SparseEncoder
    serving: Serving
    retriever: HybridRetriever

    async def passages(self) -> int:
        """The number of passages in the serving index. Raises ``IndexUnavailable``."""
        _, index = await self.serving.pair()
        return await index.count()


def uncached(embeddings: TextEmbeddings) -> TextEmbeddings:
    """The ``Cache`` that caches nothing."""
    return embeddings


def question_cache(redis: Redis, prefix: str, secret: bytes, settings: EmbeddingSettings) -> Cache:
    """A cache of question vectors in Redis under ``prefix``, with keys hashed with ``secret``; none if ``cache_days`` is 0."""
    ttl = timedelta(days=settings.cache_days)
    if not ttl:
        return uncached
    return lambda embeddings: CachedEmbeddings(embeddings, redis, prefix, secret, ttl)


def collections(settings: SearchSettings) -> Collections:
    """The collections of the Qdrant server if one is configured, else the embedded ones; not opened yet."""
    if settings.qdrant.url:
        # imports qdrant-client: 1.6 s that the embedded default does not need
        from rag.retrieval.index.server.collections import ServerCollections

        return ServerCollections(settings.qdrant)
    return EdgeCollections(settings.home)


@asynccontextmanager
async def open_search(settings: SearchSettings, cache: Cache = uncached) -> AsyncIterator[Search]:
    """A search with loaded models and open collections.

    Raises ``IndexUnavailable``, ``IndexLocked``, ``ModelError`` and ``ConfigurationError``.
    """
    embeddings = load_embeddings(settings.embedding)
    await asyncio.to_thread(embeddings.load)
    await asyncio.to_thread(load_languages)
    rerankers = Rerankers()
    await rerankers.named(settings.retrieval.reranker)  # a missing model fails the start and not the first question
    load = named(settings.embedding)
    questions = cache(embeddings)
    serving = Serving(collections(settings), questions, recipe_for(embeddings), lambda name: cache(load(name)))
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
        yield Search(embeddings=embeddings, questions=questions, sparse=sparse, serving=serving, retriever=retriever)
    finally:
        await serving.close()
