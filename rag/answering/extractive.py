"""The answerer that needs no language model: quotes the units that answer, word for word, each with its source.

Words decide where they can. Only where a question shares too few with every unit are meanings compared, because embedding
one sentence costs a hundred times as much as everything else here (17 ms on a busy core, all-MiniLM-L6-v2).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence

import numpy as np

from rag.answering.answerer import Piece, Quoted, Writer
from rag.answering.composing import composed
from rag.answering.quotes import quotables
from rag.answering.selection import Candidate, Studied, Terms, candidates, choose, words_decide
from rag.condense import standalone
from rag.knowledge.chunking import context
from rag.retrieval.embeddings import TextEmbeddings
from rag.retrieval.sparse import SparseEncoder
from rag.settings import ModelSettings
from rag.types import Exchange, Hit, Passage, Question

PASSAGES = 6
"""Passages whose units are weighed: what answers stands in the first ones or nowhere."""
COMPARED = 3
"""Of these, the ones whose units are embedded where words do not decide."""
CACHED = 2048
"""Passages whose units, and vectors once they were needed, are kept: some 25 MB when full."""
QUESTION_CHARACTERS = 2000
"""Of a question that are weighed: what is longer is a document."""
SAME_LANGUAGE = 0.8
"""A passage in the question's language is preferred when its score is at least this share of the best one's."""

NumberedHits = Sequence[tuple[int, Hit]]


class ExtractiveAnswerer:
    """Quotes at most ``settings.quotes`` units."""

    name = "extractive"

    def __init__(self, embeddings: TextEmbeddings, sparse: SparseEncoder, settings: ModelSettings) -> None:
        self._embeddings = embeddings
        self._sparse = sparse
        self._quotes = settings.quotes
        self._cache: OrderedDict[str, Studied] = OrderedDict()

    async def astream(
        self, question: Question, history: Sequence[Exchange], hits: Sequence[Hit], language: str
    ) -> AsyncGenerator[Piece]:
        """Where the answer comes from and its quotes, in pieces. Raises ``ModelError``."""
        yield Writer(model=self.name, hits=tuple(hits))
        asked = standalone(question.text, history)[-QUESTION_CHARACTERS:]
        numbered = _weighed(hits, language)
        studied = [self._study(hit.passage) for _, hit in numbered]
        wanted = [self._terms(asked, hit.passage.language) for _, hit in numbered]
        found = candidates(numbered, studied, wanted)
        if found and not words_decide(found):
            await self._compare(asked, found, numbered[:COMPARED], studied[:COMPARED])
        for piece in composed(choose(found, self._quotes), language):
            yield Quoted(text=piece)

    def _study(self, passage: Passage) -> Studied:
        key = passage.digest
        if (known := self._cache.get(key)) is not None:
            self._cache.move_to_end(key)
            return known
        units = quotables(passage.text)
        terms = [self._terms(unit.words, passage.language) for unit in units]
        studied = Studied(units=units, terms=terms, context=self._terms(context(passage), passage.language))
        self._cache[key] = studied
        if len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        return studied

    def _terms(self, text: str, language: str) -> Terms:
        return frozenset(self._sparse.encode_query(text, language).indices)

    async def _compare(
        self, asked: str, found: Sequence[Candidate], numbered: NumberedHits, studied: Sequence[Studied]
    ) -> None:
        """Adds to each score how near its unit, read below its headings, is to the question in meaning."""
        await self._embed(numbered, studied)
        query = np.asarray(await self._embeddings.aembed_query(asked), dtype=np.float32)
        vectors = {number: parts.vectors for (number, _), parts in zip(numbered, studied, strict=True)}
        for candidate in found:
            if (known := vectors.get(candidate.number)) is not None:
                candidate.score += 0.5 * float(known[candidate.place] @ query)

    async def _embed(self, numbered: NumberedHits, studied: Sequence[Studied]) -> None:
        """Embeds the units that have no vectors yet, of all passages in one batch."""
        missing = [pair for pair in zip(numbered, studied, strict=True) if pair[1].vectors is None and pair[1].units]
        texts = [context(hit.passage) + unit.words for (_, hit), parts in missing for unit in parts.units]
        if not texts:
            return
        vectors = np.asarray(await self._embeddings.aembed_documents(texts), dtype=np.float32)
        borders = np.cumsum([len(parts.units) for _, parts in missing])[:-1]
        for (_, parts), own in zip(missing, np.split(vectors, borders), strict=True):
            parts.vectors = own


def _weighed(hits: Sequence[Hit], language: str) -> NumberedHits:
    """The first hits with the numbers that cite them; where the documents exist in several languages, the question's."""
    numbered = list(enumerate(hits, 1))
    best = max((hit.score for hit in hits), default=0.0)
    spoken = [(number, hit) for number, hit in numbered if hit.passage.language == language]
    if any(hit.score >= SAME_LANGUAGE * best for _, hit in spoken):
        numbered = spoken
    return numbered[:PASSAGES]
