"""The passage index in this process: Qdrant Edge, with its write-ahead log, in one folder.

One thread of its own does everything, in jobs of a few milliseconds: most of them are too long for the event loop, and
since the last steps of a replacement are one job, no search can come between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import qdrant_edge as qdrant

from rag.errors import ConfigurationError, IndexLocked, IndexUnavailable
from rag.retrieval.index import records
from rag.retrieval.index.edge import writing as edge_writing
from rag.retrieval.index.edge.copying import Copying
from rag.retrieval.index.edge.folder import Current, EdgeFolder
from rag.retrieval.index.edge.search import KNOWN, EdgeSearch, matching
from rag.retrieval.index.passages import Choose, Found, IndexedPassage, IndexQuery
from rag.retrieval.index.records import Marker
from rag.types import Passage

P = ParamSpec("P")
T = TypeVar("T")
SLICE = 64
"""Points written at once: 15 ms, in which no search runs."""
WASTE = 0.2
"""The share of points that are deleted, from which on they are left behind."""
ENOUGH = 1000
"""Deleted points that are worth it."""


class EdgeIndex:
    """A PassageIndex in a folder that one process owns.

    ``at_once``: passages written at once; ``enough``: deleted points that are worth settling for; ``known``: places of points
    that a search remembers.
    """

    def __init__(
        self, folder: Path, dimension: int, *, at_once: int = SLICE, enough: int = ENOUGH, known: int = KNOWN
    ) -> None:
        self._folder = EdgeFolder(folder, dimension)
        self._shard: qdrant.EdgeShard | None = None
        self._current = Current(shard=0, written=0)
        self._written = 0
        self._copying: Copying | None = None
        self._settling = asyncio.Lock()
        self._at_once = at_once
        self._enough = enough
        self._search = EdgeSearch(known)
        self._thread = ThreadPoolExecutor(1, "edge-index")

    async def open(self) -> None:
        """Load the folder or create it, and finish what an interruption left."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        await self._run(edge_writing.tidy)

    async def replace(self, document: str, source: str, digest: str, passages: Sequence[IndexedPassage]) -> None:
        """Write the new version, a long one bit by bit, then make it count and delete the older ones as one job."""
        marker, first = await self._run(edge_writing.begin, document, source, digest, passages)
        waiting = len(passages) > self._at_once
        if waiting:
            for start in range(0, len(passages), self._at_once):
                await self._run(self._write_waiting, marker, passages[start : start + self._at_once])
        await self._run(self._finish, marker, passages, first=first, waiting=waiting)

    async def remove(self, documents: Collection[str]) -> None:
        """Delete all versions of documents."""
        if documents:
            await self._run(self._remove, documents)

    async def documents(self, source: str) -> Mapping[str, str]:
        """Digest by document id."""
        chosen = matching(kind=[records.MARKER], source=[source])
        markers = await self._run(edge_writing.newest_markers, chosen)
        return {document: marker.digest for document, marker in markers.items()}

    async def sources(self) -> frozenset[str]:
        """From the documents' markers."""
        markers = await self._run(edge_writing.markers, matching(kind=[records.MARKER]))
        return frozenset(marker.source for marker in markers)

    async def search(self, query: IndexQuery, choose: Choose) -> list[Found]:
        """All legs, the choice and the fetching, as one job."""
        return [] if query.scope.empty else await self._run(self._search.search, query, choose)

    async def passages(self, document: str) -> list[Passage]:
        """The newest version's passages by position."""
        return await self._run(edge_writing.passages, document)

    async def count(self) -> int:
        """Passages of all documents."""
        return await self._run(edge_writing.count)

    async def settle(self) -> None:
        """Where many points are deleted, copy the others to a new shard, which takes the place of the old one."""
        async with self._settling:
            copying, former = await self._run(self._begin_copy), self._current.shard
            if copying is None:
                return
            try:
                while await self._run(copying.step):
                    pass
                await asyncio.to_thread(copying.flush)
                while await self._run(copying.step):
                    pass
                await self._run(self._switch, copying)
            finally:
                self._thread.submit(self._end_copy, copying)
            await asyncio.to_thread(self._folder.drop, former)

    async def close(self) -> None:
        """Flush and release the folder."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)

    async def _run(self, job: Callable[Concatenate[qdrant.EdgeShard, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: self._guard(job, *args, **kwargs))

    def _guard(self, job: Callable[Concatenate[qdrant.EdgeShard, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._shard is None:
            raise IndexUnavailable(f"the passage index in {self._folder.path} is not open")
        try:
            return job(self._shard, *args, **kwargs)
        except Exception as error:
            raise self._failure(error) from error

    def _open(self) -> None:
        if self._shard is not None:
            return
        try:
            self._shard, self._current = self._folder.open()
        except Exception as error:
            raise self._failure(error) from error
        self._written = self._current.written

    def _close(self) -> None:
        shard, self._shard = self._shard, None
        if shard is not None:
            shard.flush()
            self._folder.write(Current(shard=self._current.shard, written=self._written))
            shard.close()

    def _write_waiting(self, shard: qdrant.EdgeShard, marker: Marker, passages: Sequence[IndexedPassage]) -> None:
        self._note([marker.document], len(passages))
        edge_writing.write(shard, edge_writing.passage_points(marker, passages, waiting=True))

    def _finish(
        self,
        shard: qdrant.EdgeShard,
        marker: Marker,
        passages: Sequence[IndexedPassage],
        *,
        first: bool,
        waiting: bool,
    ) -> None:
        self._note([marker.document], 1 + len(passages))
        edge_writing.finish(shard, marker, passages, first=first, waiting=waiting)

    def _remove(self, shard: qdrant.EdgeShard, documents: Collection[str]) -> None:
        self._note(documents, 0)
        edge_writing.delete(shard, matching(document=documents))

    def _note(self, documents: Collection[str], written: int) -> None:
        """Before a write, so that one that fails half way is copied again too."""
        self._written += written
        if self._copying is not None:
            self._copying.changed(documents)

    def _begin_copy(self, shard: qdrant.EdgeShard) -> Copying | None:
        deleted = self._written - shard.info().points_count
        if deleted < max(self._enough, WASTE * self._written):
            return None
        self._copying = Copying(self._folder.create(self._current.shard + 1))
        return self._copying

    def _switch(self, shard: qdrant.EdgeShard, copying: Copying) -> None:
        """The last step of copying: nothing can come between what is caught up with and the new name."""
        copying.catch_up(shard)
        current = Current(shard=self._current.shard + 1, written=copying.written)
        self._folder.write(current)
        self._shard, self._current, self._written = copying.successor, current, current.written
        shard.close()

    def _end_copy(self, copying: Copying) -> None:
        self._copying = None
        if copying.successor is not self._shard:
            copying.successor.close()

    def _failure(self, error: Exception) -> Exception:
        """qdrant-edge-py 0.9 raises bare ``Exception`` for all that the engine reports; anything else is our defect."""
        reason = str(error).removeprefix("Service runtime error: ").partition("\n")[0]
        if type(error) is not Exception and not isinstance(error, OSError):
            return error
        if "WouldBlock" in reason:
            return IndexLocked(
                f"another Cotorra process owns the passage index in {self._folder.path}: talk to that one, "
                "or set QDRANT_URL to share an index between processes"
            )
        if "ncompatible config" in reason:
            return ConfigurationError(
                f"embedding.model does not fit the passage index in {self._folder.path} ({reason}): "
                "set the former model, or delete that folder and sync again"
            )
        return IndexUnavailable(f"the passage index in {self._folder.path} failed: {reason}")
