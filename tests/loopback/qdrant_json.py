"""Qdrant's REST bodies to Qdrant Edge's requests and back: the part of the API that Cotorra and langchain-qdrant use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import qdrant_edge as edge

Json = Mapping[str, Any]

DISTANCES = {
    "Cosine": edge.Distance.Cosine,
    "Dot": edge.Distance.Dot,
    "Euclid": edge.Distance.Euclid,
    "Manhattan": edge.Distance.Manhattan,
}
SCHEMAS = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "integer": edge.PayloadSchemaType.Integer,
    "float": edge.PayloadSchemaType.Float,
    "bool": edge.PayloadSchemaType.Bool,
    "datetime": edge.PayloadSchemaType.Datetime,
}


class BadRequest(Exception):
    """The body asks for something that is no request, or that this loopback does not speak."""


def config(body: Json) -> edge.EdgeConfig:
    vectors = body.get("vectors") or {}
    named = {"": vectors} if "size" in vectors else vectors
    sparse = body.get("sparse_vectors") or {}
    return edge.EdgeConfig(
        vectors={
            name: edge.EdgeVectorParams(each["size"], DISTANCES[each["distance"]]) for name, each in named.items()
        },
        sparse_vectors={name: _sparse_params(each or {}) for name, each in sparse.items()},
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=10**9),
    )


def point(body: Json) -> edge.Point:
    return edge.Point(body["id"], _vectors(body["vector"]), body.get("payload") or {})


def chosen(body: Json | None) -> edge.Filter | None:
    """A filter; clauses may be one condition or a list of them, as in Qdrant."""
    if body is None:
        return None
    must, should, must_not = (_conditions(body.get(name)) for name in ("must", "should", "must_not"))
    return edge.Filter(must=must, should=should, must_not=must_not)


def query(body: Json) -> edge.QueryRequest:
    return edge.QueryRequest(
        body.get("limit") or 10,
        offset=body.get("offset"),
        query=_scoring(body),
        prefetches=[_prefetch(each) for each in _listed(body.get("prefetch"))],
        filter=chosen(body.get("filter")),
        score_threshold=body.get("score_threshold"),
        with_payload=_payload_wanted(body, default=False),
        with_vector=body.get("with_vector") or False,
    )


def scroll(body: Json) -> edge.ScrollRequest:
    return edge.ScrollRequest(
        offset=body.get("offset"),
        limit=body.get("limit") or 10,
        filter=chosen(body.get("filter")),
        with_payload=_payload_wanted(body, default=True),
        with_vector=body.get("with_vector") or False,
    )


def record(found: edge.Record | edge.ScoredPoint) -> dict[str, Any]:
    body: dict[str, Any] = {"id": _identity(found.id), "payload": found.payload, "vector": _vector_json(found.vector)}
    if isinstance(found, edge.ScoredPoint):
        body |= {"score": found.score, "version": found.version}
    return body


def _identity(value: object) -> int | str:
    return value if isinstance(value, int) else str(value)


def _vector_json(vector: object) -> object:
    if isinstance(vector, edge.SparseVector):
        return {"indices": vector.indices, "values": vector.values}
    return {name: _vector_json(each) for name, each in vector.items()} if isinstance(vector, dict) else vector


def _vectors(body: Any) -> Any:
    if isinstance(body, dict) and "indices" not in body:
        return {name: _vector(each) for name, each in body.items()}
    return _vector(body)


def _vector(body: Any) -> Any:
    return edge.SparseVector(body["indices"], body["values"]) if isinstance(body, dict) else body


def _sparse_params(body: Json) -> edge.EdgeSparseVectorParams:
    return edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf if body.get("modifier") == "idf" else None)


def _prefetch(body: Json) -> edge.Prefetch:
    return edge.Prefetch(body.get("limit") or 10, query=_scoring(body), filter=chosen(body.get("filter")))


def _scoring(body: Json) -> Any:
    asked = body.get("query")
    if isinstance(asked, dict) and "nearest" in asked:
        asked = asked["nearest"]
    if isinstance(asked, dict) and "fusion" in asked:
        return edge.Fusion.Rrf(2) if asked["fusion"] == "rrf" else edge.Fusion.Dbsf()
    if isinstance(asked, dict) and "rrf" in asked:
        return edge.Fusion.Rrf(asked["rrf"].get("k") or 2)
    return None if asked is None else edge.Query.Nearest(_vector(asked), using=body.get("using"))


def _conditions(body: Any) -> list[Any] | None:
    return None if body is None else [_condition(each) for each in _listed(body)]


def _condition(body: Json) -> Any:
    if "has_id" in body:
        return edge.HasIdCondition(set(body["has_id"]))
    if "is_empty" in body:
        return edge.IsEmptyCondition(body["is_empty"]["key"])
    if "key" in body:
        return edge.FieldCondition(body["key"], match=_match(body.get("match")), range=_range(body.get("range")))
    if {"must", "should", "must_not"} & body.keys():
        return chosen(body)
    raise BadRequest(f"no condition this loopback knows: {sorted(body)}")


def _match(body: Json | None) -> Any:
    if body is None:
        return None
    return edge.MatchAny(body["any"]) if "any" in body else edge.MatchValue(body["value"])


def _range(body: Json | None) -> edge.RangeFloat | None:
    return None if body is None else edge.RangeFloat(**{name: body.get(name) for name in ("lt", "lte", "gt", "gte")})


def _payload_wanted(body: Json, *, default: bool) -> Any:
    wanted = body.get("with_payload")
    return default if wanted is None else wanted


def _listed(body: Any) -> Sequence[Any]:
    return [] if body is None else body if isinstance(body, list) else [body]
