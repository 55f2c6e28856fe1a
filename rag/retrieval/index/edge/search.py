"""A search in Qdrant Edge: one batch for the legs, one retrieval for what was chosen. Blocking.

Qdrant's binary quantization compares one bit a dimension with 8 bits of the question's, and the best eight times as many
as asked for are compared again by their vectors. Unlike other quantizations it needs no building (qdrant-edge-py 0.9),
and in 20,000 passages of 384 dimensions it finds the ten nearest that an exact comparison finds, in a quarter of the time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import qdrant_edge as qdrant

from rag.retrieval.index import records
from rag.retrieval.index.passages import Choose, Found, IndexQuery, Leg, Match, Scope
from rag.retrieval.index.records import DENSE, SPARSE
from rag.retrieval.sparse import SparseVector

if TYPE_CHECKING:
    from qdrant_edge import ConditionType, MatchType, PointId

RESCORED = qdrant.SearchParams(quantization=qdrant.QuantizationSearchParams(rescore=True, oversampling=8.0))
KNOWN = 50_000
"""Points whose place in a document is kept in memory, some 20 MB."""


class EdgeSearch:
    """Searches a shard that nobody changes meanwhile.

    Reading a payload takes 10 µs, ten times as long as finding the point. What a key stands for never changes, so the
    places of points that were found before are remembered.
    """

    def __init__(self, known: int = KNOWN) -> None:
        self._known = known
        self._places: dict[PointId, tuple[str, str, int, int]] = {}

    def search(self, shard: qdrant.EdgeShard, query: IndexQuery, choose: Choose) -> list[Found]:
        """The whole of it."""
        visible = _visible(query.scope)
        legs = self._matches(shard, query, visible)
        old = records.outdated(legs)  # where a replacement was cut short and nobody has tidied up yet
        if old:
            legs = self._matches(shard, query, _without(old, visible))
        fetching = records.Fetching(records.chosen(choose, legs), query.reach)
        fetched = shard.retrieve(list(fetching.keys), True, False) if fetching.keys else []
        return fetching.found({str(record.id): record.payload or {} for record in fetched}, query.scope)

    def _matches(self, shard: qdrant.EdgeShard, query: IndexQuery, visible: qdrant.Filter) -> list[list[Match]]:
        """A leg without words finds nothing, and is not asked."""
        requests = [_request(leg, query.candidates, visible) for leg in query.legs if _says_something(leg)]
        answers = shard.query_batch(qdrant.QueryBatchRequest(requests)) if requests else []
        scored = [[(point.id, point.score) for point in points] for points in answers]
        self._learn(shard, {key for points in scored for key, _ in points})
        following = iter(scored)
        return [self._read(next(following)) if _says_something(leg) else [] for leg in query.legs]

    def _learn(self, shard: qdrant.EdgeShard, found: set[PointId]) -> None:
        new = [key for key in found if key not in self._places]
        if len(self._places) + len(new) > self._known:
            self._places.clear()
            new = list(found)
        for record in shard.retrieve(new, records.MATCHED, False) if new else ():
            payload = record.payload or {}
            self._places[record.id] = str(record.id), payload["document"], payload["position"], payload["version"]

    def _read(self, points: Sequence[tuple[PointId, float]]) -> list[Match]:
        found = []
        for point, score in points:
            key, document, position, version = self._places[point]
            found.append(Match(key=key, document=document, position=position, version=version, score=score))
        return found


def matching(*conditions: qdrant.FieldCondition, **fields: Collection[str]) -> qdrant.Filter:
    """A filter: each field has one of its values, and the conditions hold."""
    named = [qdrant.FieldCondition(name, match=_match(values)) for name, values in fields.items()]
    return qdrant.Filter(must=[*named, *conditions])


def sparse_vector(vector: SparseVector) -> qdrant.SparseVector:
    """The engine's own."""
    return qdrant.SparseVector(list(vector.indices), list(vector.values))


def _match(values: Collection[str]) -> MatchType:
    """Of one value, which is a little faster, or of several."""
    return qdrant.MatchValue(*values) if len(values) == 1 else qdrant.MatchAny(sorted(values))


def _says_something(leg: Leg) -> bool:
    return leg.sparse is None or bool(leg.sparse.indices)


def _request(leg: Leg, candidates: int, visible: qdrant.Filter) -> qdrant.QueryRequest:
    if leg.sparse is not None:
        words = qdrant.Query.Nearest(sparse_vector(leg.sparse), using=SPARSE)
        return qdrant.QueryRequest(candidates, query=words, filter=visible, with_payload=False)
    meaning = qdrant.Query.Nearest(list(leg.dense or ()), using=DENSE)
    return qdrant.QueryRequest(candidates, query=meaning, filter=visible, with_payload=False, params=RESCORED)


@lru_cache(maxsize=256)
def _visible(scope: Scope) -> qdrant.Filter:
    return matching(**records.fields_of(scope))


def _without(versions: Iterable[tuple[str, int]], visible: qdrant.Filter) -> qdrant.Filter:
    hidden: list[ConditionType] = [_version(document, number) for document, number in versions]
    return qdrant.Filter(must=visible.must, must_not=hidden)


def _version(document: str, number: int) -> qdrant.Filter:
    return matching(qdrant.FieldCondition("version", match=qdrant.MatchValue(number)), document=[document])
