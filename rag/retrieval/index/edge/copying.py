"""Copying a shard into its successor, slice by slice, while searches and replacements go on. Blocking, each step short.

The engine could reclaim the space of deleted points by itself, but holds the interpreter's lock meanwhile: two seconds
for 15,000 passages, in which nothing else happens in this process (qdrant-edge-py 0.9).
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
"""Points a step: some 8 ms."""


class Copying:
    """One copy under way. ``changed`` says which documents were written or removed since it began."""

    def __init__(self, successor: qdrant.EdgeShard) -> None:
        self.successor = successor
        self.written = 0
        self._changed: set[str] = set()
        self._offset: PointId | None = None
        self._done = False

    def changed(self, documents: Iterable[str]) -> None:
        """Their copies are no longer what they were."""
        self._changed.update(documents)

    def step(self, shard: qdrant.EdgeShard) -> bool:
        """A slice, then a changed document; False when there is nothing more to do."""
        if not self._done:
            self._slice(shard)
        elif self._changed:
            self._again(shard, self._changed.pop())
        return not self._done or bool(self._changed)

    def catch_up(self, shard: qdrant.EdgeShard) -> None:
        """All that is left, in one step that nothing can come between: now the two are the same."""
        while self.step(shard):
            pass

    def flush(self) -> None:
        """To the disk: seconds on a slow one, for which no search need wait. What comes later is in the log, as ever."""
        self.successor.flush()

    def _slice(self, shard: qdrant.EdgeShard) -> None:
        self._offset = self._copy(shard, self._offset, None)
        self._done = self._offset is None

    def _again(self, shard: qdrant.EdgeShard, document: str) -> None:
        chosen = matching(document=[document])
        delete(self.successor, chosen)
        offset = self._copy(shard, None, chosen)
        while offset is not None:
            offset = self._copy(shard, offset, chosen)

    def _copy(self, shard: qdrant.EdgeShard, offset: PointId | None, chosen: qdrant.Filter | None) -> PointId | None:
        request = qdrant.ScrollRequest(offset=offset, limit=SLICE, filter=chosen, with_payload=True, with_vector=True)
        found, following = shard.scroll(request)
        if found:
            points = [qdrant.Point(record.id, record.vector or {}, record.payload) for record in found]
            write(self.successor, points)
            self.written += len(points)
        return following
