"""Hybrid retrieval: a question to passages with calibrated scores, and LangChain's way to the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, PrivateAttr, SkipValidation

from rag.language import detect
from rag.retrieval.calibration import Evidence, calibrate, coverage
from rag.retrieval.embeddings import TextEmbeddings
from rag.retrieval.index import Found, IndexQuery, Leg, Match, PassageIndex, Scope
from rag.retrieval.sparse import SparseEncoder
from rag.settings import RetrievalSettings
from rag.types import Hit, Passage

PUBLIC = frozenset({"public"})
READ = 4096
"""Passages whose terms are kept: some 20 MB."""
POOL = 12
"""Passages scored at least, whatever the limit: the best by score need not be the first by rank fusion."""


class HybridRetriever(BaseRetriever):
    """Searches by meaning and by words at once. ``find`` is the typed way in, ``ainvoke`` LangChain's."""

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    embeddings: SkipValidation[TextEmbeddings]
    sparse: SparseEncoder
    index: SkipValidation[PassageIndex]
    settings: RetrievalSettings
    _read: dict[tuple[str, str], frozenset[int]] = PrivateAttr(default_factory=dict)

    async def find(
        self, text: str, *, audiences: frozenset[str], language: str | None = None, limit: int | None = None
    ) -> list[Hit]:
        """Passages that these audiences may read, best first; ``language`` (ISO 639-1) is detected if not given.

        IndexUnavailable or ModelError when one of the two does not work.
        """
        question = text.encode(errors="replace").decode()  # half a surrogate pair, as JSON may bring, cannot be encoded
        spoken = language or detect(question)
        wanted = limit or self.settings.limit
        terms = self.sparse.encode_query(question, spoken)
        query = IndexQuery(
            legs=(Leg(dense=await self.embeddings.aembed_query(question)), Leg(sparse=terms)),
            scope=Scope(audiences=audiences),
            candidates=max(self.settings.candidates, POOL, 2 * wanted),
        )
        fusion = _Fusion(max(POOL, 2 * wanted))
        found = await self.index.search(query, fusion)
        hits = self._scored(found, fusion, frozenset(terms.indices), spoken)
        return sorted(hits, key=lambda hit: hit.score, reverse=True)[:wanted]

    def _scored(self, found: Sequence[Found], fusion: _Fusion, asked: frozenset[int], language: str) -> list[Hit]:
        """Passages are read as if in the question's language, whose stemmer made the question's terms."""
        present = [self._terms(_shown(each.passage), language) for each in found]
        shares = coverage(asked, present)
        return [_hit(each, fusion, covered, language) for each, covered in zip(found, shares, strict=True)]

    def _terms(self, text: str, language: str) -> frozenset[int]:
        """Passages come back question after question; reading a dozen of them anew costs 2 ms."""
        terms = self._read.get((text, language))
        if terms is None:
            if len(self._read) >= READ:
                self._read.clear()
            terms = self._read[text, language] = frozenset(self.sparse.encode_passage(text, language).indices)
        return terms

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,  # noqa: ARG002 - LangChain's signature
        audiences: frozenset[str] = PUBLIC,
    ) -> list[Document]:
        return [_document(hit) for hit in await self.find(query, audiences=audiences)]

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        audiences: frozenset[str] = PUBLIC,  # langchain-core 1.7 hands extra arguments on only if this one takes them
    ) -> list[Document]:
        raise NotImplementedError("the index is asynchronous: use ainvoke")


class _Fusion:
    """Reciprocal ranks, added up; remembers them and the cosines by key."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.fused: dict[str, float] = {}
        self.cosine: dict[str, float] = {}

    def __call__(self, legs: Sequence[Sequence[Match]]) -> list[str]:
        self.fused = {}
        for leg in legs:
            for rank, match in enumerate(leg):
                self.fused[match.key] = self.fused.get(match.key, 0.0) + 1 / (2 + rank)
        self.cosine = {match.key: match.score for match in legs[0]}
        return sorted(self.fused, key=self.fused.__getitem__, reverse=True)[: self._limit]


def _hit(found: Found, fusion: _Fusion, covered: float, language: str) -> Hit:
    """What only the words brought is no nearer in meaning than the last of those that the meaning brought."""
    fused, cosine = fusion.fused[found.key], fusion.cosine.get(found.key, min(fusion.cosine.values(), default=0.0))
    same = found.passage.language == language
    evidence = Evidence(cosine=cosine, covered=covered, fused=fused, same_language=same)
    return Hit(passage=found.passage, score=calibrate(evidence, language), fused=fused)


def _shown(passage: Passage) -> str:
    return "\n".join((passage.title, *passage.headings, passage.text))


def _document(hit: Hit) -> Document:
    metadata: dict[str, Any] = {"passage": hit.passage, "score": hit.score, "source": hit.passage.source}
    return Document(page_content=hit.passage.text, metadata=metadata, id=hit.passage.id)
