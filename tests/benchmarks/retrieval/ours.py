"""Cotorra's embedded default, put together as the service does it: the one place here that knows its classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from rag.knowledge.sync.source import Synchronizer, SyncReport
from rag.retrieval.embeddings.models import PackagedEmbeddings, TextEmbeddings
from rag.retrieval.index.edge.passages import EdgeIndex
from rag.retrieval.index.passages import PassageIndex, Scope
from rag.retrieval.retriever import HybridRetriever, Pair
from rag.retrieval.sparse import SparseEncoder
from rag.settings import RetrievalSettings, SourceSettings
from rag.types import Hit, Query, Retrieval
from tests.benchmarks.retrieval.data import Asked, Page
from tests.benchmarks.retrieval.systems import Shown

EVERYONE = Scope(audiences=frozenset({"public"}))
SITE = "https://docs.example.com/"


class Metered(PackagedEmbeddings):
    """The packaged model, with the passages that it embedded and the seconds that it took."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.seconds = 0.0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed and count."""
        started = perf_counter()
        vectors = super().embed_documents(texts)
        self.seconds += perf_counter() - started
        self.texts += texts
        return vectors


class Cotorra:
    """Pages as files of one source a language, synchronised into an index in a folder."""

    def __init__(self, folder: Path, embeddings: TextEmbeddings | None = None) -> None:
        self.embeddings: TextEmbeddings = embeddings or PackagedEmbeddings()
        self._folder = folder
        self._sparse = SparseEncoder()
        self._index = EdgeIndex(folder / "passages", self.embeddings.dimension)
        self._retriever = retriever(self._index, self.embeddings, self._sparse)
        self._sources: list[SourceSettings] = []

    async def load(self, pages: Sequence[Page]) -> int:
        """Write the files, then synchronise."""
        self._sources = write(pages, self._folder / "sources")
        await self.synchronise()
        return await self._index.count()

    async def synchronise(self, sources: Sequence[SourceSettings] = ()) -> list[SyncReport]:
        """Bring the index up to date with sources, by default those that were loaded."""
        await self._index.open()
        synchronizer = Synchronizer(self._index, self.embeddings, self._sparse)
        cache = self._folder / "cache"
        return [await synchronizer.sync(source, cache / source.name) for source in sources or self._sources]

    async def find(self, asked: Asked, limit: int) -> list[Shown]:
        """In the conversation, as anyone who may read what is public."""
        retrieval = await self.retrieve(asked, limit)
        return [shown(hit) for hit in retrieval.hits]

    async def retrieve(self, asked: Asked, limit: int | None = None) -> Retrieval:
        """With the score."""
        return await self._retriever.find(Query(text=asked.text, history=asked.history), EVERYONE, limit=limit)

    async def count(self) -> int:
        """How many passages there are."""
        return await self._index.count()

    async def close(self) -> None:
        """Let go of the folder."""
        await self._index.close()


def shown(hit: Hit) -> Shown:
    """A hit as a reader sees it, below the heading that it stands under."""
    return Shown(
        path=hit.passage.document.removeprefix(f"{hit.passage.source}/"),
        text="\n".join((*hit.passage.headings[-1:], hit.passage.text)),
        anchor=hit.passage.url.partition("#")[2],
    )


def retriever(index: PassageIndex, embeddings: TextEmbeddings, sparse: SparseEncoder) -> HybridRetriever:
    """With the settings of someone who set nothing."""
    pair = Pair(embeddings=embeddings, index=index)
    return HybridRetriever(serving=pair, sparse=sparse, settings=RetrievalSettings())


def write(pages: Sequence[Page], folder: Path) -> list[SourceSettings]:
    """The pages as files, and a source for each language; one whose language is to be detected is called ``any``."""
    for page in pages:
        file = folder / (page.language or "any") / page.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page.markdown, encoding="utf-8")
    languages = sorted({page.language for page in pages})
    return [
        SourceSettings(
            name=language or "any", path=folder / (language or "any"), language=language or None, base_url=SITE
        )
        for language in languages
    ]
