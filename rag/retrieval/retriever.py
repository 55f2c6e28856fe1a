"""Hybrid retrieval: a question to passages with calibrated scores, and LangChain's way to the same."""

from __future__ import annotations

import math
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, SkipValidation

from rag.language import detect
from rag.retrieval.embeddings import TextEmbeddings
from rag.retrieval.index import Found, IndexQuery, PassageIndex
from rag.retrieval.sparse import SparseEncoder
from rag.settings import RetrievalSettings
from rag.types import Hit, Passage

PUBLIC = frozenset({"public"})
POOL = 12
"""Passages scored at least, whatever the limit: the best by score need not be the first by rank fusion."""


class HybridRetriever(BaseRetriever):
    """Searches by meaning and by words at once. ``find`` is the typed way in, ``ainvoke`` LangChain's."""

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    embeddings: SkipValidation[TextEmbeddings]
    sparse: SparseEncoder
    index: SkipValidation[PassageIndex]
    settings: RetrievalSettings

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
            dense=await self.embeddings.aembed_query(question),
            sparse=terms,
            audiences=audiences,
            limit=max(POOL, 2 * wanted),
            candidates=max(self.settings.candidates, POOL, 2 * wanted),
        )
        asked = frozenset(terms.indices)
        hits = [self._hit(found, asked, spoken) for found in await self.index.search(query)]
        return sorted(hits, key=lambda hit: hit.score, reverse=True)[:wanted]

    def _hit(self, found: Found, asked: frozenset[int], language: str) -> Hit:
        present = self.sparse.encode_passage(_shown(found.passage), language).indices
        covered = len(asked.intersection(present)) / len(asked) if asked else 0.0
        same = found.passage.language == language
        score = calibrate(cosine=found.dense, covered=covered, fused=found.fused, same_language=same)
        return Hit(passage=found.passage, score=score, fused=found.fused)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, audiences: frozenset[str] = PUBLIC
    ) -> list[Document]:
        return [_document(hit) for hit in await self.find(query, audiences=audiences)]

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        raise NotImplementedError("the index is asynchronous: use ainvoke")


def calibrate(*, cosine: float, covered: float, fused: float, same_language: bool) -> float:
    """How likely a passage is to answer, in [0, 1]: a logistic of what is known of each hit.

    ``cosine`` of question and passage; ``covered``, the share of the question's content terms that the passage, its
    title or its headings hold; ``fused``, the reciprocal ranks of both legs (1.0: first in both); and whether the passage
    is in the question's language. Weights set by hand on questions about the handbook: half the terms at a cosine of 0.4
    is the border.
    """
    evidence = 5.0 * cosine + 4.0 * covered + 0.5 * fused + (0.4 if same_language else 0.0) - 4.4
    return 1 / (1 + math.exp(-evidence))


def _shown(passage: Passage) -> str:
    return "\n".join((passage.title, *passage.headings, passage.text))


def _document(hit: Hit) -> Document:
    metadata: dict[str, Any] = {"passage": hit.passage, "score": hit.score, "source": hit.passage.source}
    return Document(page_content=hit.passage.text, metadata=metadata, id=hit.passage.id)
