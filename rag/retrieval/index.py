"""The seam to the passage index, and the values that cross it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rag.retrieval.sparse import SparseVector
from rag.types import Passage


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedPassage:
    """A passage with its vectors: ``dense`` is a unit vector, ``sparse`` holds BM25 weights without IDF."""

    passage: Passage
    dense: Sequence[float]
    sparse: SparseVector


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexQuery:
    """A hybrid search. Only passages of ``audiences`` (and of ``sources``, if given) take part in it.

    ``candidates`` is what each leg contributes before fusion, ``limit`` what is returned.
    """

    dense: Sequence[float]
    sparse: SparseVector
    audiences: frozenset[str]
    limit: int
    candidates: int
    sources: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A passage that was found: reciprocal rank ``fused`` in (0, 1], cosine ``dense`` in [-1, 1]."""

    passage: Passage
    fused: float
    dense: float


class PassageIndex(Protocol):
    """Passages by document, searched by meaning and by words.

    Every method raises IndexUnavailable when the index does not answer. ``replace`` and ``remove`` are safe to repeat
    after any failure; no search sees two versions of a document, nor a moment without one.
    """

    async def open(self) -> None:
        """Connect, creating what is missing. IndexLocked, or ConfigurationError if the dimension is another's."""

    async def replace(self, document: str, source: str, digest: str, passages: Sequence[IndexedPassage]) -> None:
        """Put this version of a document in the place of whatever was there; ``passages`` may be empty."""

    async def remove(self, documents: Collection[str]) -> None:
        """Drop documents; unknown ones are ignored."""

    async def documents(self, source: str) -> Mapping[str, str]:
        """Content digest by document id, for the documents of a source."""

    async def sources(self) -> frozenset[str]:
        """The names of all sources that have documents here."""

    async def search(self, query: IndexQuery) -> list[Found]:
        """Hybrid search, best first."""

    async def passages(self, document: str) -> list[Passage]:
        """All passages of a document, in reading order."""

    async def count(self) -> int:
        """How many passages there are."""

    async def close(self) -> None:
        """Let go of the index; safe to repeat."""
