"""The seam of the passage index, and the values that it takes and returns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
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
class Scope:
    """The passages that a search may return: their audience and tenant must be in these sets.

    ``sources`` and ``languages`` (ISO 639-1) restrict it further if they are not None. An empty set permits no passage.
    """

    audiences: frozenset[str]
    sources: frozenset[str] | None = None
    languages: frozenset[str] | None = None
    tenants: frozenset[str] = frozenset({""})

    @property
    def empty(self) -> bool:
        """Whether no passage can be in this scope."""
        sets = (self.audiences, self.tenants, self.sources, self.languages)
        return any(values is not None and not values for values in sets)

    def may_read(self, audience: str, tenant: str) -> bool:
        """Whether passages of this audience and tenant are in the scope."""
        return audience in self.audiences and tenant in self.tenants


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One of several searches: by meaning (``dense``, a unit vector) or by words (``sparse``, weights without IDF)."""

    dense: Sequence[float] | None = None
    sparse: SparseVector | None = None

    def __post_init__(self) -> None:
        if (self.dense is None) == (self.sparse is None):
            raise ValueError("a leg searches either by meaning or by words: give it one of dense and sparse")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexQuery:
    """Several searches within one scope.

    ``candidates``: the most matches of each leg. ``reach``: how many neighbours on either side are fetched with each
    selected passage.
    """

    legs: tuple[Leg, ...]
    scope: Scope
    candidates: int
    reach: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A match of one leg. ``score`` is the cosine for a dense leg, the BM25 score (with IDF) for a sparse one.

    ``language`` is the passage's (ISO 639-1), empty where it is unknown.
    """

    key: str
    document: str
    position: int
    version: int
    score: float
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievedPassage:
    """A selected passage, with its neighbours of the same version and in the same scope, in reading order."""

    key: str
    passage: Passage
    before: tuple[Passage, ...] = ()
    after: tuple[Passage, ...] = ()


Choose = Callable[[Sequence[Sequence[Match]]], Sequence[str]]
"""Selects keys (best first) from the matches of each leg (best first). Pure and fast, because searches wait for it."""


class PassageIndex(Protocol):
    """Stores passages by document and searches them by meaning and by words.

    Every method raises ``IndexUnavailable`` when the index does not answer. ``replace`` and ``remove`` may be repeated after
    any failure. No search sees two versions of a document, nor a moment without one.
    """

    async def open(self) -> None:
        """Connects and creates what is missing. Raises ``IndexLocked``, or ``ConfigurationError`` for another dimension."""

    async def replace(self, document: str, source: str, digest: str, passages: Sequence[IndexedPassage]) -> None:
        """Replaces all versions of a document by this one; ``passages`` may be empty."""

    async def remove(self, documents: Collection[str]) -> None:
        """Removes documents; unknown ones are ignored."""

    async def documents(self, source: str) -> Mapping[str, str]:
        """The digests of a source's documents, by document id."""

    async def sources(self) -> frozenset[str]:
        """The names of all sources with documents in the index."""

    async def search(self, query: IndexQuery, choose: Choose) -> list[RetrievedPassage]:
        """The passages that ``choose`` selects from the legs' matches, in its order."""

    async def passages(self, document: str) -> list[Passage]:
        """All passages of a document, in reading order."""

    async def excerpt(self, document: str, positions: range, scope: Scope) -> list[Passage]:
        """The passages of a document at some positions (step 1) as far as they are in the scope, in reading order."""

    async def count(self) -> int:
        """The number of passages of all documents."""

    async def settle(self) -> None:
        """Updates the search structures after many writes; searches continue meanwhile."""

    async def close(self) -> None:
        """Releases the index; may be repeated."""
