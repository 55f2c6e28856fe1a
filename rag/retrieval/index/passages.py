"""The seam to the passage index, and the values that cross it."""

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
    """Which passages take part in a search: those of an audience, and of a tenant, in these sets.

    ``sources`` and ``languages`` (ISO 639-1) narrow it further where they are given. An empty set holds nothing.
    """

    audiences: frozenset[str]
    sources: frozenset[str] | None = None
    languages: frozenset[str] | None = None
    tenants: frozenset[str] = frozenset({""})

    @property
    def empty(self) -> bool:
        """No passage can be in it."""
        given = (self.audiences, self.tenants, self.sources, self.languages)
        return any(values is not None and not values for values in given)

    def may_read(self, audience: str, tenant: str) -> bool:
        """Whether whoever asks may see what this audience and tenant have."""
        return audience in self.audiences and tenant in self.tenants


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One search out of several: by meaning (``dense``, a unit vector) or by words (``sparse``, weights before IDF)."""

    dense: Sequence[float] | None = None
    sparse: SparseVector | None = None

    def __post_init__(self) -> None:
        if (self.dense is None) == (self.sparse is None):
            raise ValueError("a leg searches either by meaning or by words: give it one of dense and sparse")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexQuery:
    """Several searches at once within one scope.

    ``candidates`` is how many matches each leg gives at most, ``reach`` how many passages on either side come along with
    each one that is chosen.
    """

    legs: tuple[Leg, ...]
    scope: Scope
    candidates: int
    reach: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a leg found: the cosine of a dense one, the IDF-weighted BM25 score of a sparse one.

    ``language`` is the passage's (ISO 639-1), empty where it is unknown.
    """

    key: str
    document: str
    position: int
    version: int
    score: float
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A passage that was chosen, and its neighbours of the same version that the scope may read, in reading order."""

    key: str
    passage: Passage
    before: tuple[Passage, ...] = ()
    after: tuple[Passage, ...] = ()


Choose = Callable[[Sequence[Sequence[Match]]], Sequence[str]]
"""The matches of each leg, best first, to the keys wanted, best first. Pure and fast: searches wait for it."""


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

    async def search(self, query: IndexQuery, choose: Choose) -> list[Found]:
        """What ``choose`` takes out of the legs' matches, in its order."""

    async def passages(self, document: str) -> list[Passage]:
        """All passages of a document, in reading order."""

    async def count(self) -> int:
        """How many passages there are."""

    async def settle(self) -> None:
        """Bring the search structures up to date with what was written; searches go on meanwhile."""

    async def close(self) -> None:
        """Let go of the index; safe to repeat."""
