"""The passage index in this process: Qdrant Edge with its write-ahead log, in one folder.

One thread runs all operations as jobs of a few milliseconds, most of which are too long for the event loop. The last steps
of a replacement are one job, so no search can run between them.
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
from rag.retrieval.index.edge.copying import ShardCopy
from rag.retrieval.index.edge.folder import Current, EdgeFolder
from rag.retrieval.index.edge.search import CACHED_PLACES, EdgeSearch, matching
from rag.retrieval.index.passages import Choose, IndexedPassage, IndexQuery, RetrievedPassage, Scope
from rag.retrieval.index.records import Marker
from rag.types import Passage

P = ParamSpec("P")
T = TypeVar("T")
SLICE = 64
"""Points written at once: 15 ms, in which no search runs."""
WASTE = 0.2
"""The share of deleted points from which on the others are copied to a new shard."""
ENOUGH = 1000
"""The fewest deleted points for which that is worthwhile."""


class EdgeIndex:
    """A PassageIndex in a folder that one process owns.

    ``at_once``: passages written at once; ``enough``: deleted points that are worth settling for; ``known``: places of points
    that a search remembers.
    """

    def __init__(
        self, folder: Path, dimension: int, *, at_once: int = SLICE, enough: int = ENOUGH, known: int = CACHED_PLACES
    ) -> None:
        self._folder = EdgeFolder(folder, dimension)
        self._shard: qdrant.EdgeShard | None = None
        self._current = Current(shard=0, written=0)
        self._written = 0
        self._copying: ShardCopy | None = None
        self._settling = asyncio.Lock()
        self._at_once = at_once
        self._enough = enough
        self._search = EdgeSearch(known)
        self._thread = ThreadPoolExecutor(1, "edge-index")

    async def open(self) -> None:
        """Loads or creates the folder, and cleans up after interrupted replacements."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        await self._run(edge_writing.clean_up)

    async def replace(self, document: str, source: str, digest: str, passages: Sequence[IndexedPassage]) -> None:
        """Writes a long version in slices, then makes it visible and deletes the older ones in one job."""
        marker, delete_first = await self._run(edge_writing.begin, document, source, digest, passages)
        waiting = len(passages) > self._at_once
        if waiting:
            for start in range(0, len(passages), self._at_once):
                await self._run(self._write_waiting, marker, passages[start : start + self._at_once])
        await self._run(self._finish, marker, passages, delete_first=delete_first, waiting=waiting)

    async def remove(self, documents: Collection[str]) -> None:
        """Deletes all versions of documents."""
        if documents:
            await self._run(self._remove, documents)

    async def documents(self, source: str) -> Mapping[str, str]:
        """Digests by document id."""
        selection = matching(kind=[records.MARKER], source=[source])
        markers = await self._run(edge_writing.newest_markers, selection)
        return {document: marker.digest for document, marker in markers.items()}

    async def sources(self) -> frozenset[str]:
        """The sources in the documents' markers."""
        markers = await self._run(edge_writing.markers, matching(kind=[records.MARKER]))
        return frozenset(marker.source for marker in markers)

    async def search(self, query: IndexQuery, choose: Choose) -> list[RetrievedPassage]:
        """Runs all legs, the selection and the fetch as one job."""
        return [] if query.scope.empty else await self._run(self._search.search, query, choose)

    async def passages(self, document: str) -> list[Passage]:
        """The passages of the newest version, in reading order."""
        return await self._run(edge_writing.passages, document)

    async def excerpt(self, document: str, positions: range, scope: Scope) -> list[Passage]:
        """Filters by document, positions and readers in the engine."""
        if scope.empty or not positions:
            return []
        return await self._run(edge_writing.excerpt, document, positions, scope)

    async def count(self) -> int:
        """The number of passages of all documents."""
        return await self._run(edge_writing.count)

    async def settle(self) -> None:
        """Copies the points to a new shard, which replaces the old one, if many points are deleted."""
        async with self._settling:
            copying, former = await self._run(self._begin_copy), self._current.shard
            if copying is None:
                return
            try:
                while await self._run(copying.step):
                    pass
                # In another thread: searches go on. What is written meanwhile is copied by the steps after it.
                await asyncio.to_thread(copying.flush)
                while await self._run(copying.step):
                    pass
                await self._run(self._switch, copying)
            finally:
                # Submitted, not awaited: it must also run when this task was cancelled.
                self._thread.submit(self._end_copy, copying)
            await asyncio.to_thread(self._folder.drop, former)

    async def close(self) -> None:
        """Flushes and releases the folder."""
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
        self._record_write([marker.document], len(passages))
        edge_writing.write(shard, edge_writing.passage_points(marker, passages, waiting=True))

    def _finish(
        self,
        shard: qdrant.EdgeShard,
        marker: Marker,
        passages: Sequence[IndexedPassage],
        *,
        delete_first: bool,
        waiting: bool,
    ) -> None:
        self._record_write([marker.document], 1 + len(passages))
        edge_writing.finish(shard, marker, passages, delete_first=delete_first, waiting=waiting)

    def _remove(self, shard: qdrant.EdgeShard, documents: Collection[str]) -> None:
        self._record_write(documents, 0)
        edge_writing.delete(shard, matching(document=documents))

    def _record_write(self, documents: Collection[str], written: int) -> None:
        """Records a write before it happens, so that documents of a write that fails half way are copied again too."""
        self._written += written
        if self._copying is not None:
            self._copying.mark_changed(documents)

    def _begin_copy(self, shard: qdrant.EdgeShard) -> ShardCopy | None:
        deleted = self._written - shard.info().points_count
        if deleted < max(self._enough, WASTE * self._written):
            return None
        self._copying = ShardCopy(self._folder.create(self._current.shard + 1))
        return self._copying

    def _switch(self, shard: qdrant.EdgeShard, copying: ShardCopy) -> None:
        """Replaces the shard by its copy, in one job: no write can come between catching up and the switch."""
        copying.catch_up(shard)
        current = Current(shard=self._current.shard + 1, written=copying.written)
        self._folder.write(current)
        self._shard, self._current, self._written = copying.successor, current, current.written
        shard.close()

    def _end_copy(self, copying: ShardCopy) -> None:
        self._copying = None
        if copying.successor is not self._shard:
            copying.successor.close()

    def _failure(self, error: Exception) -> Exception:
        """Maps an exception: qdrant-edge-py 0.9 raises plain ``Exception`` for engine errors; other classes are our bugs."""
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
