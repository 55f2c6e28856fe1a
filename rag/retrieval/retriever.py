"""Hybrid retrieval: finds passages for a turn in its conversation, with one calibrated score; also a LangChain retriever."""

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
from rag.retrieval.index.passages import IndexQuery, PassageIndex, RetrievedPassage, Scope
from rag.retrieval.legs import decayed_terms, searches
from rag.retrieval.reading import Reading, distinct, join_neighbours
from rag.retrieval.reranker import Rerankers
from rag.retrieval.sparse import SparseEncoder, SparseVector
from rag.settings import RetrievalSettings
from rag.types import Hit, Passage, Query, Retrieval

T = TypeVar("T")
PUBLIC = frozenset({"public"})
CACHED_TEXTS = 4096
"""Passages whose terms are cached, about 20 MB."""
FETCH_FACTOR = 1.5
"""More passages than the limit are fetched, because repetitions are removed and the question's language is preferred."""
LEANING_TERMS = 1
"""Terms to search for, stop words aside, up to which a turn leans on what was said before it."""
LEANS_ON = 3
"""Utterances at most that it is joined with: each of them may lean on the one before."""
SAME_LANGUAGE = 0.1
"""Added to the fused score (0 to 1) of passages in the question's language, to prefer them to their translations."""


class Serving(Protocol):
    """Provides the embeddings and the index that belong together; they may be replaced while the service runs."""

    async def ask(self, work: Callable[[TextEmbeddings, PassageIndex], Awaitable[T]]) -> T: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Embeddings and an index that are never replaced."""

    embeddings: TextEmbeddings
    index: PassageIndex

    async def ask(self, work: Callable[[TextEmbeddings, PassageIndex], Awaitable[T]]) -> T:
        """The result of ``work`` with them."""
        return await work(self.embeddings, self.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class _SearchResult:
    """Result of a search. By key: ``fused`` are the scores that the calibration uses, ``scores`` those that rank."""

    query: Query
    language: str
    fusion: Fusion
    passages: Sequence[RetrievedPassage]
    fused: Mapping[str, float]
    scores: Mapping[str, float]


class HybridRetriever(BaseRetriever):
    """Searches by meaning and by words. ``find`` is the typed interface, ``ainvoke`` LangChain's."""

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    serving: SkipValidation[Serving]
    sparse: SparseEncoder
    settings: RetrievalSettings
    calibrations: Calibrations = Field(default_factory=lambda: Calibrations(DEFAULT))
    rerankers: SkipValidation[Rerankers] = Field(default_factory=Rerankers)
    _terms_cache: dict[tuple[str, str], frozenset[int]] = PrivateAttr(default_factory=dict)

    async def find(self, query: Query, scope: Scope, *, limit: int | None = None) -> Retrieval:
        """At most ``limit`` passages in ``scope``, best first; the default is ``retrieval.limit``.

        Raises ``IndexUnavailable`` or ``ModelError``.
        """
        clean = _encodable(query)
        language = clean.language or detect(clean.text)
        asked = self._in_context(clean, language)
        count = limit or self.settings.limit

        async def work(embeddings: TextEmbeddings, index: PassageIndex) -> Retrieval:
            name = embeddings.query_name  # before they are embedded: a promotion may come in between
            legs = await searches(asked, language, embeddings, self.sparse)
            fetch_limit = math.ceil(FETCH_FACTOR * count)
            candidates = max(self.settings.candidates, fetch_limit)
            fusion = Fusion(legs, fetch_limit, candidates, language)
            passages = await index.search(
                IndexQuery(legs=tuple(search.leg for search in legs), scope=scope, candidates=candidates, reach=1),
                fusion,
            )
            result = await self._scored(asked, language, fusion, passages)
            return self._retrieval(result, self.calibrations.of(name), count)

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

    async def _scored(
        self, query: Query, language: str, fusion: Fusion, passages: Sequence[RetrievedPassage]
    ) -> _SearchResult:
        fused = {
            each.key: min(1.0, fusion.fused[each.key] + SAME_LANGUAGE * (each.passage.language == language))
            for each in passages
        }
        # The calibration is trained on fused scores, so they are kept beside those of a reranker.
        scores = await self._rerank(query, passages) or fused
        return _SearchResult(
            query=query, language=language, fusion=fusion, passages=passages, fused=fused, scores=scores
        )

    async def _rerank(self, query: Query, passages: Sequence[RetrievedPassage]) -> dict[str, float]:
        """Scores by key; empty without a reranker or if it failed. Raises ``ModelError`` if it cannot be loaded."""
        reranking = await self.rerankers.named(self.settings.reranker)
        scores = await reranking.scores(query, [_full_text(each.passage) for each in passages]) if reranking else []
        return {each.key: score for each, score in zip(passages, scores, strict=True)} if scores else {}

    def _retrieval(self, result: _SearchResult, calibration: Calibration, limit: int) -> Retrieval:
        scores = result.scores
        ranked = sorted(result.passages, key=lambda each: scores[each.key], reverse=True)
        unique = distinct(ranked, [self._terms(_full_text(each.passage), result.language) for each in ranked])
        readings = join_neighbours(unique[:limit])
        figures = self._evidence(result, readings)
        score = calibration.probability(figures) if readings else 0.0
        hits = [
            Hit(passage=reading.passage, score=score * _share(scores, reading, readings), fused=scores[reading.key])
            for reading in readings
        ]
        return Retrieval(hits=tuple(hits), score=score, evidence=figures)

    def _evidence(self, result: _SearchResult, readings: Sequence[Reading]) -> dict[str, float]:
        query, language = result.query, result.language
        return evidence(
            result.fusion,
            readings,
            result.fused,
            turn=_weights(self.sparse.encode_query(query.text, language)),
            whole=_weights(decayed_terms((*query.history, query.text), language, self.sparse)),
        )

    def _terms(self, text: str, language: str) -> frozenset[int]:
        """The term ids of a text, cached, because the same passages return often and a dozen of them cost 2 ms.

        The stemmer is that of the question's language, also for passages in another one: otherwise no term would match.
        """
        terms = self._terms_cache.get((text, language))
        if terms is None:
            if len(self._terms_cache) >= CACHED_TEXTS:
                self._terms_cache.clear()  # as a whole: simpler than an LRU cache, and refilling costs 2 ms a question
            terms = self._terms_cache[text, language] = frozenset(self.sparse.encode_passage(text, language).indices)
        return terms

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,  # noqa: ARG002 - LangChain's signature
        audiences: frozenset[str] = PUBLIC,
    ) -> list[Document]:
        retrieval = await self.find(Query(text=query), Scope(audiences=audiences))
        return [_document(hit) for hit in retrieval.hits]

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        audiences: frozenset[
            str
        ] = PUBLIC,  # langchain-core 1.7 passes extra arguments on only if this method takes them
    ) -> list[Document]:
        raise NotImplementedError("the index is asynchronous: use ainvoke")


def _encodable(query: Query) -> Query:
    """The query with lone surrogates (JSON may contain them) replaced, because they cannot be encoded as UTF-8."""
    text, *history = (each.encode(errors="replace").decode() for each in (query.text, *query.history))
    rewritten = query.rewritten.encode(errors="replace").decode()
    return Query(text=text, history=tuple(history), rewritten=rewritten, language=query.language)


def _weights(vector: SparseVector) -> dict[int, float]:
    return dict(zip(vector.indices, vector.values, strict=True))


def _share(scores: Mapping[str, float], reading: Reading, readings: Sequence[Reading]) -> float:
    return scores[reading.key] / (scores[readings[0].key] or 1.0)


def _full_text(passage: Passage) -> str:
    return "\n".join((passage.title, *passage.headings, passage.text))


def _document(hit: Hit) -> Document:
    metadata: dict[str, Any] = {"passage": hit.passage, "score": hit.score, "source": hit.passage.source}
    return Document(page_content=hit.passage.text, metadata=metadata, id=hit.passage.id)
