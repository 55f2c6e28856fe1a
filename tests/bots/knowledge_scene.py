"""A library on a real Redis and a real index, whose runs a test may hold up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from redis.asyncio import Redis

from bots.keys import Keys
from bots.library.collections import ServingCollections
from bots.library.documents import SharedDocuments
from bots.library.library import CHECKOUT, Library
from bots.library.reading import SourceReader
from bots.library.runs import Runs
from bots.metrics import Metrics
from rag.knowledge.sync.source import Synchronizer, recipe_for
from rag.retrieval.index.edge.collections import EdgeCollections
from rag.retrieval.index.passages import PassageIndex
from rag.retrieval.serving import Serving
from rag.retrieval.sparse import SparseEncoder
from rag.settings import KnowledgeSettings, SourceSettings
from rag.store.task_queue import TaskQueue
from tests.rag.fakes import WordEmbeddings


def source(folder: Path, name: str, *pages: str) -> SourceSettings:
    """A folder with these pages, numbered."""
    for number, page in enumerate(pages):
        file = folder / name / f"{number}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page, encoding="utf-8")
    return SourceSettings(name=name, path=folder / name)


class _Held(WordEmbeddings):
    def __init__(self, case: Bookcase) -> None:
        super().__init__()
        self.name = case.embeddings.name
        self._case = case

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        if self._case.before_each_embedding is not None:
            await self._case.before_each_embedding()
        return await super().aembed_documents(texts)


@dataclass(slots=True)
class Bookcase:
    """One process's documents. A test may have it wait where a run would begin to read, and where passages are embedded."""

    redis: Redis
    redis_url: str
    keys: Keys
    folder: Path
    serving: Serving
    index: PassageIndex
    embeddings: WordEmbeddings
    metrics: Metrics = field(default_factory=Metrics)
    before_each_run: Callable[[], Awaitable[object]] | None = None
    before_each_embedding: Callable[[], Awaitable[object]] | None = None
    runs_begun: int = 0

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, redis: Redis, redis_url: str, keys: Keys, folder: Path, embeddings: WordEmbeddings | None = None
    ) -> AsyncIterator[Bookcase]:
        embeddings = embeddings or WordEmbeddings()
        collections = EdgeCollections(folder / "home")
        serving = Serving(collections, embeddings, recipe_for(embeddings), lambda _: WordEmbeddings())
        await serving.open()
        try:
            yield cls(redis, redis_url, keys, folder, serving, await serving.target(), embeddings)
        finally:
            await serving.close()

    @property
    def caches(self) -> Path:
        return self.folder / "home" / "sources"

    def source(self, name: str, *pages: str) -> SourceSettings:
        return source(self.folder, name, *pages)

    @asynccontextmanager
    async def library(
        self,
        *chosen: SourceSettings,
        every_minutes: float = 60,
        shared: bool = False,
        checkout: Path = CHECKOUT,
    ) -> AsyncIterator[Library]:
        """A library of these sources, at work; ``shared``: among others, with its documents in a queue."""
        collections = ServingCollections(self.serving, _Held(self), SparseEncoder())
        runs = Runs(self.redis, self.keys)

        async def synchronizer() -> Synchronizer:
            self.runs_begun += 1
            if self.before_each_run is not None:
                await self.before_each_run()
            return await collections.synchronizer()

        documents: SharedDocuments | None = None
        if shared:
            documents = SharedDocuments(
                self.redis, self.keys, collections.take, lambda work: self._queue("documents", work, alone=False)
            )
        library = Library(
            KnowledgeSettings(sources=chosen, every_minutes=every_minutes),
            runs=runs,
            reader=SourceReader(synchronizer, runs, self.caches, documents),
            queue=lambda work: self._queue("sources", work, alone=not shared),
            documents=documents,
            collections=collections,
            caches=self.caches,
            metrics=self.metrics,
            checkout=checkout,
        )
        async with library.working():
            yield library

    def _queue(self, name: str, work: Callable[[str], Awaitable[None]], *, alone: bool) -> TaskQueue:
        name = self.keys.of("queue", name)
        return TaskQueue(
            self.redis, self.redis_url, name, work, at_once=3, lease_seconds=1, poll_seconds=0.05, alone=alone
        )

    async def served_by(self) -> str:
        """The model whose vectors readers search."""
        return (await self.serving.pair(fresh=True))[0].name

    def figures(self) -> dict[str, float]:
        """What /metrics holds, by name with labels."""
        lines = [line for line in self.metrics.render().decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
