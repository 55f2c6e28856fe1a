"""Builds the search requests for a Qdrant server and reads its responses."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from qdrant_client import models

from rag.retrieval.index import records
from rag.retrieval.index.passages import IndexQuery, Leg, Match, Scope
from rag.retrieval.index.records import DENSE, SPARSE
from rag.retrieval.sparse import SparseVector


def requests(query: IndexQuery, visible: models.Filter) -> list[models.QueryRequest]:
    """A request for each leg; a leg without words would find nothing, so it gets none."""
    return [_request(leg, query.candidates, visible) for leg in query.legs if _is_searchable(leg)]


def matches(query: IndexQuery, answers: Sequence[models.QueryResponse]) -> list[list[Match]]:
    """The matches of each leg in the responses; empty for a leg without a request."""
    following = iter(answers)
    return [_read(next(following).points) if _is_searchable(leg) else [] for leg in query.legs]


def visible(scope: Scope, hidden: Iterable[tuple[str, int]] = ()) -> models.Filter:
    """A filter for the passages in a scope, without the ``hidden`` versions of documents."""
    without = [_version(document, number) for document, number in hidden]
    return models.Filter(must=matching(**records.fields_of(scope)).must, must_not=list(without) or None)


def excerpt(document: str, positions: range, scope: Scope) -> models.Filter:
    """A filter for the passages of a document at some positions, as far as they are in the scope."""
    within = models.FieldCondition(key="position", range=models.Range(gte=positions.start, lt=positions.stop))
    return matching(within, **(records.fields_of(scope) | {"document": [document]}))


def matching(*conditions: models.FieldCondition, **fields: Collection[str]) -> models.Filter:
    """A filter for points whose fields each have one of the given values and that meet all conditions."""
    field_conditions = [
        models.FieldCondition(key=name, match=models.MatchAny(any=sorted(values))) for name, values in fields.items()
    ]
    return models.Filter(must=[*field_conditions, *conditions])


def sparse_vector(vector: SparseVector) -> models.SparseVector:
    """Converts to the client's own class."""
    return models.SparseVector(indices=list(vector.indices), values=list(vector.values))


def _version(document: str, number: int) -> models.Filter:
    condition = models.FieldCondition(key="version", match=models.MatchValue(value=number))
    return matching(condition, document=[document])


def _is_searchable(leg: Leg) -> bool:
    return leg.sparse is None or bool(leg.sparse.indices)


def _request(leg: Leg, candidates: int, within: models.Filter) -> models.QueryRequest:
    words = leg.sparse is not None
    return models.QueryRequest(
        query=sparse_vector(leg.sparse) if leg.sparse is not None else list(leg.dense or ()),
        using=SPARSE if words else DENSE,
        filter=within,
        limit=candidates,
        with_payload=records.MATCHED,
    )


def _read(points: Iterable[models.ScoredPoint]) -> list[Match]:
    return [records.match_of(str(point.id), point.payload or {}, point.score) for point in points]
