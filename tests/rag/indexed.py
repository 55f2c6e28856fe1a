"""Passages with small vectors, and questions to them, for the suites of the index."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rag.retrieval.index.passages import (
    Choose,
    IndexedPassage,
    IndexQuery,
    Leg,
    Match,
    PassageIndex,
    RetrievedPassage,
    Scope,
)
from rag.retrieval.sparse import SparseEncoder
from rag.types import Passage

DIMENSION = 4
NORTH, EAST = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0)
EVERYONE = frozenset({"public"})
SPARSE = SparseEncoder()


def passage(
    document: str,
    position: int,
    text: str,
    *,
    audience: str = "public",
    source: str = "handbook",
    tenant: str = "",
    language: str = "en",
) -> Passage:
    return Passage(
        id=f"{document}#{position}",
        document=document,
        source=source,
        title="Page",
        headings=("Page", "Section"),
        url=f"https://help.example.com/{document}",
        text=text,
        position=position,
        language=language,
        audience=audience,
        tenant=tenant,
        updated_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )


def indexed(each: Passage, dense: tuple[float, ...] = NORTH) -> IndexedPassage:
    return IndexedPassage(passage=each, dense=dense, sparse=SPARSE.encode_passage(each.text, "en"))


def asked(text: str, *, dense: tuple[float, ...] = NORTH, scope: Scope | None = None, reach: int = 0) -> IndexQuery:
    """By meaning and by words."""
    return IndexQuery(
        legs=(Leg(dense=dense), Leg(sparse=SPARSE.encode_query(text, "en"))),
        scope=scope or Scope(audiences=EVERYONE),
        candidates=40,
        reach=reach,
    )


def all_of(legs: Sequence[Sequence[Match]]) -> list[str]:
    """Whatever was found: the first leg's, then what the others add."""
    return list(dict.fromkeys(match.key for leg in legs for match in leg))


def first(limit: int) -> Choose:
    """The first of all that was found."""
    return lambda legs: all_of(legs)[:limit]


async def search(index: PassageIndex, query: IndexQuery, choose: Choose = all_of) -> list[RetrievedPassage]:
    return await index.search(query, choose)
