"""Copies a shard to its successor in small slices, while searches and replacements continue. Each step blocks briefly.

The engine can reclaim the space of deleted points itself, but it holds Python's global interpreter lock meanwhile: two
seconds for 15,000 passages, during which the whole process stands still (qdrant-edge-py 0.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import qdrant_edge as qdrant

from rag.retrieval.index.edge.search import matching
from rag.retrieval.index.edge.writing import delete, write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qdrant_edge import PointId

SLICE = 32
"""Points of one step, which takes about 8 ms."""


class ShardCopy:
    """One copy in progress. The index reports documents that change meanwhile with ``mark_changed``."""

    def __init__(self, successor: qdrant.EdgeShard) -> None:
        self.successor = successor
        self.written = 0
        self._changed: set[str] = set()
        self._offset: PointId | None = None
        self._is_copied = False

    def mark_changed(self, documents: Iterable[str]) -> None:
        """Marks documents that were written or removed; they are copied again."""
        self._changed.update(documents)

    def step(self, shard: qdrant.EdgeShard) -> bool:
        """Copies one slice, or after all slices one changed document. False if nothing is left."""
        if not self._is_copied:
            self._slice(shard)
        elif self._changed:
            self._copy_document(shard, self._changed.pop())
        return not self._is_copied or bool(self._changed)

    def catch_up(self, shard: qdrant.EdgeShard) -> None:
        """Copies all that is left. In the index's thread no write can come between, so both shards are equal after it."""
        while self.step(shard):
            pass

    def flush(self) -> None:
        """Flushes the copy to disk, which may take seconds. Later writes are in the write-ahead log."""
        self.successor.flush()

    def _slice(self, shard: qdrant.EdgeShard) -> None:
        self._offset = self._copy(shard, self._offset, None)
        self._is_copied = self._offset is None

    def _copy_document(self, shard: qdrant.EdgeShard, document: str) -> None:
        selection = matching(document=[document])
        delete(self.successor, selection)
        offset = self._copy(shard, None, selection)
        while offset is not None:
            offset = self._copy(shard, offset, selection)

    def _copy(self, shard: qdrant.EdgeShard, offset: PointId | None, selection: qdrant.Filter | None) -> PointId | None:
        request = qdrant.ScrollRequest(
            offset=offset, limit=SLICE, filter=selection, with_payload=True, with_vector=True
        )
        records, following = shard.scroll(request)
        if records:
            points = [qdrant.Point(record.id, record.vector or {}, record.payload) for record in records]
            write(self.successor, points)
            self.written += len(points)
        return following
