"""Reading and writing documents in Qdrant Edge, as rag.retrieval.index.records describes them. Blocking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import qdrant_edge as qdrant
from qdrant_edge import UpdateOperation

from rag.retrieval.index import records
from rag.retrieval.index.edge.search import matching, sparse_vector
from rag.retrieval.index.passages import IndexedPassage
from rag.retrieval.index.records import DENSE, SPARSE, Marker
from rag.types import Passage

if TYPE_CHECKING:
    from qdrant_edge import NamedVector


def version_points(marker: Marker, passages: Iterable[IndexedPassage]) -> list[qdrant.Point]:
    """All points of one version of a document: what a small one's replacement writes in its first step."""
    return [_marker_point(marker), *passage_points(marker, passages, waiting=False)]


def passage_points(marker: Marker, passages: Iterable[IndexedPassage], *, waiting: bool) -> list[qdrant.Point]:
    """Passages, with a reader or waiting for it."""
    return [_passage_point(marker, indexed, waiting) for indexed in passages]


def write(shard: qdrant.EdgeShard, points: list[qdrant.Point]) -> None:
    """Insert points."""
    shard.update(UpdateOperation.upsert_points(points))


def begin(
    shard: qdrant.EdgeShard, document: str, source: str, digest: str, passages: Sequence[IndexedPassage]
) -> tuple[Marker, bool]:
    """The marker of the version to come, and whether the older ones must go before it can be seen."""
    existing = markers(shard, matching(kind=[records.MARKER], document=[document]))
    marker = records.marker_for(document, source, digest, passages, existing)
    return marker, records.readers_change(marker, existing)


def finish(
    shard: qdrant.EdgeShard, marker: Marker, passages: Sequence[IndexedPassage], *, first: bool, waiting: bool
) -> None:
    """From the second step of a replacement on; ``first`` if the older versions must go first.

    ``waiting``: the passages were written already and wait for their readers.
    """
    if first:
        _delete_older(shard, marker)
    if waiting:
        for reader, keys in records.keys_by_reader(marker, passages).items():
            shard.update(UpdateOperation.set_payload(list(keys), {"reader": reader}))
        write(shard, [_marker_point(marker)])
    else:
        write(shard, version_points(marker, passages))
    newest_markers(shard, matching(kind=[records.MARKER], document=[marker.document]))
    _delete_older(shard, marker)


def delete(shard: qdrant.EdgeShard, chosen: qdrant.Filter) -> None:
    """Delete points; their space stays taken until the index settles."""
    shard.update(UpdateOperation.delete_points_by_filter(chosen))


def tidy(shard: qdrant.EdgeShard) -> None:
    """Finish what an interruption left: nobody else writes here."""
    newest_markers(shard, matching(kind=[records.MARKER]))
    nobody = qdrant.IsEmptyCondition("reader")
    shard.update(
        UpdateOperation.delete_points_by_filter(
            qdrant.Filter(must=[nobody, *(matching(kind=[records.PASSAGE]).must or ())])
        )
    )


def newest_markers(shard: qdrant.EdgeShard, chosen: qdrant.Filter) -> dict[str, Marker]:
    """The versions that count, by document, after deleting the others."""
    found = markers(shard, chosen)
    for marker in records.superseding(found):
        _delete_older(shard, marker)
    return records.newest(found)


def markers(shard: qdrant.EdgeShard, chosen: qdrant.Filter) -> list[Marker]:
    """All that match."""
    return [records.marker_of(payload) for payload in _payloads(shard, chosen)]


def passages(shard: qdrant.EdgeShard, document: str) -> list[Passage]:
    """Those of the version that counts."""
    return records.current_passages(list(_payloads(shard, matching(kind=[records.PASSAGE], document=[document]))))


def count(shard: qdrant.EdgeShard) -> int:
    """All passages."""
    return shard.count(qdrant.CountRequest(exact=True, filter=matching(kind=[records.PASSAGE])))


def _delete_older(shard: qdrant.EdgeShard, marker: Marker) -> None:
    older = qdrant.FieldCondition("version", range=qdrant.RangeFloat(lt=marker.version))
    delete(shard, matching(older, document=[marker.document]))


def _payloads(shard: qdrant.EdgeShard, chosen: qdrant.Filter) -> Iterator[Mapping[str, object]]:
    offset = None
    while True:
        request = qdrant.ScrollRequest(offset=offset, limit=records.PAGE, filter=chosen, with_payload=True)
        found, offset = shard.scroll(request)
        yield from (record.payload or {} for record in found)
        if offset is None:
            return


def _marker_point(marker: Marker) -> qdrant.Point:
    key, payload = records.marker_point(marker)
    return qdrant.Point(key, {}, payload)


def _passage_point(marker: Marker, indexed: IndexedPassage, waiting: bool) -> qdrant.Point:
    key, payload = records.passage_point(marker, indexed, waiting=waiting)
    vectors: dict[str, NamedVector] = {DENSE: list(indexed.dense), SPARSE: sparse_vector(indexed.sparse)}
    return qdrant.Point(key, vectors, payload)
