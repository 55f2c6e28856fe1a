"""A search in Qdrant Edge: one batch for the legs, one retrieval for what was chosen. Blocking."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

import qdrant_edge as qdrant

from rag.retrieval import records
from rag.retrieval.index import Choose, Found, IndexQuery, Leg, Match, Scope
from rag.retrieval.records import DENSE, SPARSE
from rag.retrieval.sparse import SparseVector

if TYPE_CHECKING:
    from qdrant_edge import ConditionType, PointId


def search(shard: qdrant.EdgeShard, query: IndexQuery, choose: Choose) -> list[Found]:
    """The whole of it, on a shard that nobody changes meanwhile."""
    legs = _matches(shard, query, _visible(query.scope))
    old = records.outdated(legs)  # where a replacement was cut short and nobody has tidied up yet
    if old:
        legs = _matches(shard, query, _without(old, _visible(query.scope)))
    wanted = records.chosen(choose, legs)
    keys: list[PointId] = list({key for match in wanted for key in records.keys_around(match, query.reach)})
    payloads = {str(record.id): record.payload or {} for record in shard.retrieve(keys, True, False)} if keys else {}
    found = (records.found_among(payloads, match, query.scope, query.reach) for match in wanted)
    return [each for each in found if each is not None]


def matching(*conditions: qdrant.FieldCondition, **fields: Collection[str]) -> qdrant.Filter:
    """A filter: each field has one of its values, and the conditions hold."""
    named = [qdrant.FieldCondition(name, match=qdrant.MatchAny(sorted(values))) for name, values in fields.items()]
    return qdrant.Filter(must=[*named, *conditions])


def sparse_vector(vector: SparseVector) -> qdrant.SparseVector:
    """The engine's own."""
    return qdrant.SparseVector(list(vector.indices), list(vector.values))


def _matches(shard: qdrant.EdgeShard, query: IndexQuery, visible: qdrant.Filter) -> list[list[Match]]:
    """A leg without words finds nothing, and is not asked."""
    asked = [leg for leg in query.legs if _says_something(leg)]
    requests = [_request(leg, query.candidates, visible) for leg in asked]
    answers = iter(shard.query_batch(qdrant.QueryBatchRequest(requests)) if requests else [])
    return [_read(next(answers)) if _says_something(leg) else [] for leg in query.legs]


def _says_something(leg: Leg) -> bool:
    return leg.sparse is None or bool(leg.sparse.indices)


def _request(leg: Leg, candidates: int, visible: qdrant.Filter) -> qdrant.QueryRequest:
    if leg.sparse is not None:
        nearest = qdrant.Query.Nearest(sparse_vector(leg.sparse), using=SPARSE)
    else:
        nearest = qdrant.Query.Nearest(list(leg.dense or ()), using=DENSE)
    return qdrant.QueryRequest(candidates, query=nearest, filter=visible, with_payload=records.MATCHED)


def _read(points: Iterable[qdrant.ScoredPoint]) -> list[Match]:
    return [records.match_of(str(point.id), point.payload or {}, point.score) for point in points]


@lru_cache(maxsize=256)
def _visible(scope: Scope) -> qdrant.Filter:
    return matching(**scope.fields)


def _without(versions: Iterable[tuple[str, int]], visible: qdrant.Filter) -> qdrant.Filter:
    hidden: list[ConditionType] = [_version(document, number) for document, number in versions]
    return qdrant.Filter(must=visible.must, must_not=hidden)


def _version(document: str, number: int) -> qdrant.Filter:
    return matching(qdrant.FieldCondition("version", match=qdrant.MatchValue(number)), document=[document])
