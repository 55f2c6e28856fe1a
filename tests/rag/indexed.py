"""Passages with small vectors, for the suites of the index."""

from __future__ import annotations

from datetime import UTC, datetime

from rag.retrieval.index import IndexedPassage, IndexQuery
from rag.retrieval.sparse import SparseEncoder
from rag.types import Passage

DIMENSION = 4
NORTH, EAST = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0)
EVERYONE = frozenset({"public"})
SPARSE = SparseEncoder()


def passage(document: str, position: int, text: str, *, audience: str = "public", source: str = "handbook") -> Passage:
    return Passage(
        id=f"{document}#{position}",
        document=document,
        source=source,
        title="Page",
        headings=("Page", "Section"),
        url=f"https://help.example.com/{document}",
        text=text,
        position=position,
        language="en",
        audience=audience,
        updated_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )


def indexed(each: Passage, dense: tuple[float, ...] = NORTH) -> IndexedPassage:
    return IndexedPassage(passage=each, dense=dense, sparse=SPARSE.encode_passage(each.text, each.language))


def asked(
    text: str,
    *,
    dense: tuple[float, ...] = NORTH,
    audiences: frozenset[str] = EVERYONE,
    sources: frozenset[str] | None = None,
    limit: int = 10,
) -> IndexQuery:
    return IndexQuery(
        dense=dense,
        sparse=SPARSE.encode_query(text, "en"),
        audiences=audiences,
        limit=limit,
        candidates=40,
        sources=sources,
    )
