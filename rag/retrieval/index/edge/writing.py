"""Reads and writes documents in Qdrant Edge in the format of rag.retrieval.index.records. Blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import qdrant_edge as qdrant
from qdrant_edge import UpdateOperation

from rag.retrieval.index import records
from rag.retrieval.index.edge.search import matching, sparse_vector
from rag.retrieval.index.passages import IndexedPassage, Scope
from rag.retrieval.index.records import DENSE, SPARSE, Marker
from rag.types import Passage

if TYPE_CHECKING:
    from qdrant_edge import NamedVector


def version_points(marker: Marker, passages: Iterable[IndexedPassage]) -> list[qdrant.Point]:
    """All points of one version of a document, for a small document that is written in one step."""
    return [_marker_point(marker), *passage_points(marker, passages, waiting=False)]


def passage_points(marker: Marker, passages: Iterable[IndexedPassage], *, waiting: bool) -> list[qdrant.Point]:
    """The points of passages; if ``waiting``, without ``reader``, so that no search finds them yet."""
    return [_passage_point(marker, indexed, waiting) for indexed in passages]


def write(shard: qdrant.EdgeShard, points: list[qdrant.Point]) -> None:
    """Inserts or replaces points."""
    shard.update(UpdateOperation.upsert_points(points))


def begin(
    shard: qdrant.EdgeShard, document: str, source: str, digest: str, passages: Sequence[IndexedPassage]
) -> tuple[Marker, bool]:
    """The marker of the new version, and whether the older ones must be deleted before it becomes visible."""
    existing = markers(shard, matching(kind=[records.MARKER], document=[document]))
    marker = records.marker_for(document, source, digest, passages, existing)
    return marker, records.readers_change(marker, existing)


def finish(
    shard: qdrant.EdgeShard, marker: Marker, passages: Sequence[IndexedPassage], *, delete_first: bool, waiting: bool
) -> None:
    """Runs the second and later steps of a replacement; ``delete_first``: delete the older versions first.

    ``waiting``: the passages were written already and wait for their readers.
    """
    if delete_first:
        _delete_older(shard, marker)
    if waiting:
        for reader, keys in records.keys_by_reader(marker, passages).items():
            shard.update(UpdateOperation.set_payload(list(keys), {"reader": reader}))
        # The marker last: where it is missing, the next sync writes the document again.
        write(shard, [_marker_point(marker)])
    else:
        write(shard, version_points(marker, passages))
    newest_markers(shard, matching(kind=[records.MARKER], document=[marker.document]))
    _delete_older(shard, marker)


def delete(shard: qdrant.EdgeShard, selection: qdrant.Filter) -> None:
    """Deletes points; their space is freed only by ``EdgeIndex.settle``."""
    shard.update(UpdateOperation.delete_points_by_filter(selection))


def clean_up(shard: qdrant.EdgeShard) -> None:
    """Deletes older versions and waiting passages that an interrupted replacement left."""
    # At any age: this process owns the folder, so no other one can still be writing them.
    newest_markers(shard, matching(kind=[records.MARKER]))
    without_reader = qdrant.IsEmptyCondition("reader")
    shard.update(
        UpdateOperation.delete_points_by_filter(
            qdrant.Filter(must=[without_reader, *(matching(kind=[records.PASSAGE]).must or ())])
        )
    )


def newest_markers(shard: qdrant.EdgeShard, selection: qdrant.Filter) -> dict[str, Marker]:
    """Deletes the older versions and returns the newest ones, by document."""
    current = markers(shard, selection)
    for marker in records.superseding(current):
        _delete_older(shard, marker)
    return records.newest(current)


def markers(shard: qdrant.EdgeShard, selection: qdrant.Filter) -> list[Marker]:
    """The markers that match a filter."""
    return [records.marker_of(payload) for payload in _payloads(shard, selection)]


def passages(shard: qdrant.EdgeShard, document: str) -> list[Passage]:
    """The passages of a document's newest version, in reading order."""
    return records.current_passages(list(_payloads(shard, matching(kind=[records.PASSAGE], document=[document]))))


def excerpt(shard: qdrant.EdgeShard, document: str, positions: range, scope: Scope) -> list[Passage]:
    """The passages at some positions of a document's newest version, as far as they are in the scope."""
    within = qdrant.FieldCondition("position", range=qdrant.RangeFloat(gte=positions.start, lt=positions.stop))
    fields = records.fields_of(scope) | {"document": [document]}
    return records.current_passages(list(_payloads(shard, matching(within, **fields))))


def count(shard: qdrant.EdgeShard) -> int:
    """The number of passages of all documents."""
    return shard.count(qdrant.CountRequest(exact=True, filter=matching(kind=[records.PASSAGE])))


def _delete_older(shard: qdrant.EdgeShard, marker: Marker) -> None:
    older = qdrant.FieldCondition("version", range=qdrant.RangeFloat(lt=marker.version))
    delete(shard, matching(older, document=[marker.document]))


def _payloads(shard: qdrant.EdgeShard, selection: qdrant.Filter) -> Iterator[Mapping[str, object]]:
    offset = None
    while True:
        request = qdrant.ScrollRequest(offset=offset, limit=records.PAGE, filter=selection, with_payload=True)
        page, offset = shard.scroll(request)
        yield from (record.payload or {} for record in page)
        if offset is None:
            return


def _marker_point(marker: Marker) -> qdrant.Point:
    key, payload = records.marker_point(marker)
    return qdrant.Point(key, {}, payload)


def _passage_point(marker: Marker, indexed: IndexedPassage, waiting: bool) -> qdrant.Point:
    key, payload = records.passage_point(marker, indexed, waiting=waiting)
    vectors: dict[str, NamedVector] = {DENSE: list(indexed.dense), SPARSE: sparse_vector(indexed.sparse)}
    return qdrant.Point(key, vectors, payload)
