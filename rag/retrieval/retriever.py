"""Hybrid retrieval: a turn in its conversation to passages with one calibrated score, and LangChain's way to the same."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field, PrivateAttr, SkipValidation

from rag.language import detect
from rag.retrieval.calibrated import Calibration, Calibrations
from rag.retrieval.calibration import DEFAULT
from rag.retrieval.embeddings.models import TextEmbeddings
from rag.retrieval.evidence import evidence
from rag.retrieval.fusion import Fusion
from rag.retrieval.index.passages import Found, IndexQuery, PassageIndex, Scope
from rag.retrieval.legs import faded, searches
from rag.retrieval.reading import Reading, distinct, joined
from rag.retrieval.reranker import Rerankers
from rag.retrieval.sparse import SparseEncoder, SparseVector
from rag.settings import RetrievalSettings
from rag.types import Hit, Passage, Query, Retrieval

T = TypeVar("T")
PUBLIC = frozenset({"public"})
READ = 4096
"""Passages whose terms are kept: some 20 MB."""
SPARE = 1.5
"""Times the limit that is fetched: some repeat others, and what is in the question's language comes first."""
LEANING_TERMS = 1
"""Terms to search for, stop words aside, up to which a turn leans on what was said before it."""
LEANS_ON = 3
"""Utterances at most that it is joined with: each of them may lean on the one before."""
SAME_LANGUAGE = 0.1
"""Added to the fused score, out of 1, of what is in the question's language: of a page and its translation, that one."""


class Serving(Protocol):
    """What embeds questions and what they are searched in; the two belong together."""

    async def ask(self, work: Callable[[TextEmbeddings, PassageIndex], Awaitable[T]]) -> T: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Embeddings and an index that stay."""

    embeddings: TextEmbeddings
    index: PassageIndex

    async def ask(self, work: Callable[[TextEmbeddings, PassageIndex], Awaitable[T]]) -> T:
        """What ``work`` gives with them."""
        return await work(self.embeddings, self.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Searched:
    """What a search gave: ``fused`` are the figures that the calibration knows, ``scores`` those that rank, by key."""

    query: Query
    language: str
    fusion: Fusion
    found: Sequence[Found]
    fused: Mapping[str, float]
    scores: Mapping[str, float]


class HybridRetriever(BaseRetriever):
    """Searches by meaning and by words at once. ``find`` is the typed way in, ``ainvoke`` LangChain's."""

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    serving: SkipValidation[Serving]
    sparse: SparseEncoder
    settings: RetrievalSettings
    calibrations: Calibrations = Field(default_factory=lambda: Calibrations(DEFAULT))
    rerankers: SkipValidation[Rerankers] = Field(default_factory=Rerankers)
    _read: dict[tuple[str, str], frozenset[int]] = PrivateAttr(default_factory=dict)

    async def find(self, query: Query, scope: Scope, *, limit: int | None = None) -> Retrieval:
        """Passages in ``scope``, best first, ``limit`` (of the settings if not given) at most.

        IndexUnavailable or ModelError when one of the two does not work.
        """
        encodable = _encodable(query)
        language = encodable.language or detect(encodable.text)
        asked = self._in_context(encodable, language)
        wanted = limit or self.settings.limit

        async def work(embeddings: TextEmbeddings, index: PassageIndex) -> Retrieval:
            name = embeddings.query_name  # before they are embedded: a promotion may come in between
            legs = await searches(asked, language, embeddings, self.sparse)
            fetched = math.ceil(SPARE * wanted)
            candidates = max(self.settings.candidates, fetched)
            fusion = Fusion(legs, fetched, candidates)
            found = await index.search(
                IndexQuery(legs=tuple(search.leg for search in legs), scope=scope, candidates=candidates, reach=1),
                fusion,
            )
            searched = await self._searched(asked, language, fusion, found)
            return self._retrieval(searched, self.calibrations.of(name), wanted)

        return await self.serving.ask(work)

    def _in_context(self, query: Query, language: str) -> Query:
        """A turn of hardly a word of its own ("and for contractors?"), together with what it leans on; any other as it is.

        The two are searched for and judged as one text: alone such a turn finds anything, and nothing speaks for what it finds.
        """
        text, history = query.text, query.history
        for _ in range(LEANS_ON):
            if not history or len(self.sparse.encode_query(text, language).indices) > LEANING_TERMS:
                break
            text, history = f"{history[-1]}\n{text}", history[:-1]
        return replace(query, text=text, history=history)

    async def _searched(self, query: Query, language: str, fusion: Fusion, found: Sequence[Found]) -> _Searched:
        fused = {
            each.key: min(1.0, fusion.fused[each.key] + SAME_LANGUAGE * (each.passage.language == language))
            for each in found
        }
        scores = await self._reranked(query, found) or fused
        return _Searched(query=query, language=language, fusion=fusion, found=found, fused=fused, scores=scores)

    async def _reranked(self, query: Query, found: Sequence[Found]) -> dict[str, float]:
        """Scores by key; none without a reranker, or when it failed. Raises ``ModelError`` for one that cannot be had."""
        reranking = await self.rerankers.named(self.settings.reranker)
        scores = await reranking.scores(query, [_shown(each.passage) for each in found]) if reranking else []
        return {each.key: score for each, score in zip(found, scores, strict=True)} if scores else {}

    def _retrieval(self, searched: _Searched, calibration: Calibration, limit: int) -> Retrieval:
        scores = searched.scores
        ranked = sorted(searched.found, key=lambda each: scores[each.key], reverse=True)
        kept = distinct(ranked, [self._terms(_shown(each.passage), searched.language) for each in ranked])
        readings = joined(kept[:limit])
        figures = self._evidence(searched, readings)
        score = calibration.probability(figures) if readings else 0.0
        hits = [
            Hit(passage=reading.passage, score=score * _share(scores, reading, readings), fused=scores[reading.key])
            for reading in readings
        ]
        return Retrieval(hits=tuple(hits), score=score, evidence=figures)

    def _evidence(self, searched: _Searched, readings: Sequence[Reading]) -> dict[str, float]:
        query, language = searched.query, searched.language
        return evidence(
            searched.fusion,
            readings,
            searched.fused,
            turn=_weights(self.sparse.encode_query(query.text, language)),
            whole=_weights(faded((*query.history, query.text), language, self.sparse)),
        )

    def _terms(self, text: str, language: str) -> frozenset[int]:
        """Passages are read as if in the question's language, whose stemmer made the question's terms.

        They come back question after question; reading a dozen of them anew costs 2 ms.
        """
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
        found = await self.find(Query(text=query), Scope(audiences=audiences))
        return [_document(hit) for hit in found.hits]

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        audiences: frozenset[str] = PUBLIC,  # langchain-core 1.7 hands extra arguments on only if this one takes them
    ) -> list[Document]:
        raise NotImplementedError("the index is asynchronous: use ainvoke")


def _encodable(query: Query) -> Query:
    """Half a surrogate pair, as JSON may bring, cannot be encoded."""
    text, *history = (each.encode(errors="replace").decode() for each in (query.text, *query.history))
    rewritten = query.rewritten.encode(errors="replace").decode()
    return Query(text=text, history=tuple(history), rewritten=rewritten, language=query.language)


def _weights(vector: SparseVector) -> dict[int, float]:
    return dict(zip(vector.indices, vector.values, strict=True))


def _share(scores: Mapping[str, float], reading: Reading, readings: Sequence[Reading]) -> float:
    return scores[reading.key] / (scores[readings[0].key] or 1.0)


def _shown(passage: Passage) -> str:
    return "\n".join((passage.title, *passage.headings, passage.text))


def _document(hit: Hit) -> Document:
    metadata: dict[str, Any] = {"passage": hit.passage, "score": hit.score, "source": hit.passage.source}
    return Document(page_content=hit.passage.text, metadata=metadata, id=hit.passage.id)
