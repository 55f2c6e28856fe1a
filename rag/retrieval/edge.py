"""The passage index in this process: Qdrant Edge, with its write-ahead log, in one folder.

One thread of its own does everything: a search takes 1 to 2 ms with 5,000 passages, too long for the event loop, and
since the two steps of a replacement are one job there, no search can come between them. The vectors are compared
exactly: building an HNSW graph blocks every search meanwhile (20 s for 30,000 passages, qdrant-edge-py 0.9), and
without it they take 8 ms. Whoever outgrows that sets QDRANT_URL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import qdrant_edge as qdrant

from rag.errors import ConfigurationError, IndexLocked, IndexUnavailable
from rag.retrieval import edge_search, records
from rag.retrieval.edge_search import matching, sparse_vector
from rag.retrieval.index import Choose, Found, IndexedPassage, IndexQuery
from rag.retrieval.records import DENSE, SPARSE, Marker
from rag.types import Passage

if TYPE_CHECKING:
    from qdrant_edge import NamedVector

P = ParamSpec("P")
T = TypeVar("T")
NEVER_HNSW = 10**9  # KB of vectors in a segment


class EdgeIndex:
    """A PassageIndex in a folder that one process owns."""

    def __init__(self, folder: Path, dimension: int) -> None:
        self._folder = folder
        self._dimension = dimension
        self._shard: qdrant.EdgeShard | None = None
        self._thread = ThreadPoolExecutor(1, "edge-index")

    async def open(self) -> None:
        """Load the folder or create it, and finish what an interruption left."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        await self._run(_newest_markers, matching(kind=[records.MARKER]))

    async def replace(self, document: str, source: str, digest: str, passages: Sequence[IndexedPassage]) -> None:
        """Write the new version and delete the older ones, as one job."""
        await self._run(_replace, document, source, digest, passages)

    async def remove(self, documents: Collection[str]) -> None:
        """Delete all versions of documents."""
        if documents:
            await self._run(_delete, matching(document=documents))

    async def documents(self, source: str) -> Mapping[str, str]:
        """Digest by document id."""
        markers = await self._run(_newest_markers, matching(kind=[records.MARKER], source=[source]))
        return {document: marker.digest for document, marker in markers.items()}

    async def sources(self) -> frozenset[str]:
        """From the documents' markers."""
        markers = await self._run(_markers, matching(kind=[records.MARKER]))
        return frozenset(marker.source for marker in markers)

    async def search(self, query: IndexQuery, choose: Choose) -> list[Found]:
        """All legs, the choice and the fetching, as one job."""
        return [] if query.scope.empty else await self._run(edge_search.search, query, choose)

    async def passages(self, document: str) -> list[Passage]:
        """The newest version's passages by position."""
        return await self._run(_passages, document)

    async def count(self) -> int:
        """Passages of all documents."""
        return await self._run(_count)

    async def settle(self) -> None:
        """Nothing to do: the vectors are compared exactly."""

    async def close(self) -> None:
        """Flush and release the folder."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)

    async def _run(self, job: Callable[Concatenate[qdrant.EdgeShard, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: self._guard(job, *args, **kwargs))

    def _guard(self, job: Callable[Concatenate[qdrant.EdgeShard, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._shard is None:
            raise IndexUnavailable(f"the passage index in {self._folder} is not open")
        try:
            return job(self._shard, *args, **kwargs)
        except Exception as error:
            raise self._failure(error) from error

    def _open(self) -> None:
        if self._shard is not None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._shard = _load_or_create(self._folder, self._dimension)
        except Exception as error:
            raise self._failure(error) from error

    def _close(self) -> None:
        shard, self._shard = self._shard, None
        if shard is not None:
            shard.flush()
            shard.close()

    def _failure(self, error: Exception) -> Exception:
        """qdrant-edge-py 0.9 raises bare ``Exception`` for all that the engine reports; anything else is our defect."""
        reason = str(error).removeprefix("Service runtime error: ").partition("\n")[0]
        if type(error) is not Exception and not isinstance(error, OSError):
            return error
        if "WouldBlock" in reason:
            return IndexLocked(
                f"another Cotorra process owns the passage index in {self._folder}: talk to that one, "
                "or set QDRANT_URL to share an index between processes"
            )
        if "ncompatible config" in reason:
            return ConfigurationError(
                f"embedding.model does not fit the passage index in {self._folder} ({reason}): "
                "set the former model, or delete that folder and sync again"
            )
        return IndexUnavailable(f"the passage index in {self._folder} failed: {reason}")


def version_points(marker: Marker, passages: Sequence[IndexedPassage]) -> list[qdrant.Point]:
    """All points of one version of a document: what a replacement's first step writes."""
    points = [_point(records.marker_point(marker), {})]
    return points + [_point(records.passage_point(marker, indexed), _vectors(indexed)) for indexed in passages]


def _load_or_create(folder: Path, dimension: int) -> qdrant.EdgeShard:
    config = qdrant.EdgeConfig(
        vectors={DENSE: qdrant.EdgeVectorParams(size=dimension, distance=qdrant.Distance.Cosine)},
        sparse_vectors={SPARSE: qdrant.EdgeSparseVectorParams(modifier=qdrant.Modifier.Idf)},
        optimizers=qdrant.EdgeOptimizersConfig(indexing_threshold=NEVER_HNSW),
        wal_enabled=True,
    )
    exists = (folder / "edge_config.json").exists()
    shard = qdrant.EdgeShard.load(str(folder), config) if exists else qdrant.EdgeShard.create(str(folder), config)
    for name in records.KEYWORDS:
        if name not in shard.info().payload_schema:
            shard.update(qdrant.UpdateOperation.create_field_index(name, qdrant.PayloadSchemaType.Keyword))
    return shard


def _replace(
    shard: qdrant.EdgeShard, document: str, source: str, digest: str, passages: Sequence[IndexedPassage]
) -> None:
    version = records.next_version(_markers(shard, matching(kind=[records.MARKER], document=[document])))
    marker = Marker(document=document, source=source, digest=digest, version=version)
    shard.update(qdrant.UpdateOperation.upsert_points(version_points(marker, passages)))
    older = qdrant.FieldCondition("version", range=qdrant.RangeFloat(lt=version))
    _delete(shard, matching(older, document=[document]))


def _delete(shard: qdrant.EdgeShard, chosen: qdrant.Filter) -> None:
    shard.update(qdrant.UpdateOperation.delete_points_by_filter(chosen))
    shard.optimize()  # 0.1 ms, except when a fifth is deleted: then the space is reclaimed (0.8 s of 30,000 passages)


def _newest_markers(shard: qdrant.EdgeShard, chosen: qdrant.Filter) -> dict[str, Marker]:
    markers = _markers(shard, chosen)
    if old := records.superseded(markers):
        versions = qdrant.FieldCondition("version", match=qdrant.MatchAny(sorted({marker.version for marker in old})))
        _delete(shard, matching(versions, document={marker.document for marker in old}))
    return records.newest(markers)


def _markers(shard: qdrant.EdgeShard, chosen: qdrant.Filter) -> list[Marker]:
    return [records.marker_of(record.payload or {}) for record in _scroll(shard, chosen)]


def _passages(shard: qdrant.EdgeShard, document: str) -> list[Passage]:
    found = [record.payload or {} for record in _scroll(shard, matching(kind=[records.PASSAGE], document=[document]))]
    return records.current_passages(found)


def _scroll(shard: qdrant.EdgeShard, chosen: qdrant.Filter) -> list[qdrant.Record]:
    found, offset = shard.scroll(qdrant.ScrollRequest(limit=records.PAGE, filter=chosen, with_payload=True))
    while offset is not None:
        request = qdrant.ScrollRequest(offset=offset, limit=records.PAGE, filter=chosen, with_payload=True)
        more, offset = shard.scroll(request)
        found += more
    return found


def _count(shard: qdrant.EdgeShard) -> int:
    return shard.count(qdrant.CountRequest(exact=True, filter=matching(kind=[records.PASSAGE])))


def _point(record: tuple[str, dict[str, Any]], vectors: dict[str, NamedVector]) -> qdrant.Point:
    return qdrant.Point(record[0], vectors, record[1])


def _vectors(indexed: IndexedPassage) -> dict[str, NamedVector]:
    return {DENSE: list(indexed.dense), SPARSE: sparse_vector(indexed.sparse)}
