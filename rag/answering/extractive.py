"""The answerer that needs no language model: quotes the units that answer, word for word, each with its source.

Words decide where they can, with where the passage stands in the search, which knows of meaning. Only where a question shares
too few words with every unit are the meanings of sentences compared: embedding one takes longer than everything else here
(17 ms on a busy core, all-MiniLM-L6-v2), and on Doc2Dial's training conversations it chose no better (token F1 .001 more).
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from itertools import groupby
from typing import Protocol

import numpy as np

from rag.answering.answerer import Piece, Quoted, Writer
from rag.answering.asked import Asked
from rag.answering.composing import composed
from rag.answering.quotes import quotables
from rag.answering.quoting import BY_MEANING
from rag.answering.reader import PassageReader, Unread
from rag.answering.selection import Candidate, Studied, Terms, Wanted, candidates, choose, words_decide
from rag.answering.whole import Choice, Excerpt, by_passage, by_section, excerpt
from rag.errors import ModelError
from rag.knowledge.chunking import context
from rag.prompts.plain import plain_passage
from rag.retrieval.embeddings.models import TextEmbeddings
from rag.retrieval.index.passages import Scope
from rag.retrieval.legs import REACH, RECENT, decayed_terms
from rag.retrieval.sections import Section
from rag.retrieval.sparse import SparseEncoder
from rag.settings import ModelSettings
from rag.text.utterances import unmarked, utterances
from rag.types import Exchange, Hit, Passage, Question

log = logging.getLogger(__name__)

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


class Sections(Protocol):
    """Seam: the section around a passage, as far as readers may see it; ``IndexedSections`` implements it."""

    async def around(self, passage: Passage, scope: Scope) -> Section: ...


NumberedHits = Sequence[tuple[int, Hit]]


class ExtractiveAnswerer:
    """Chooses at most ``settings.quotes`` units, and quotes them with what they need to be whole.

    ``sections`` looks up what goes on in the passages beside the retrieved ones; without it these are all there is.
    """

    name = "extractive"

    def __init__(
        self,
        embeddings: TextEmbeddings,
        sparse: SparseEncoder,
        settings: ModelSettings,
        reader: PassageReader | None = None,
        sections: Sections | None = None,
    ) -> None:
        self._embeddings = embeddings
        self._sparse = sparse
        self._quotes = settings.quotes
        self._reader = reader
        self._sections = sections
        self._cache: OrderedDict[str, Studied] = OrderedDict()

    async def astream(
        self, question: Question, history: Sequence[Exchange], hits: Sequence[Hit], language: str
    ) -> AsyncGenerator[Piece]:
        """Where the answer comes from and its quotes, in pieces. Raises ``ModelError``."""
        found = self.candidates(question.text, history, hits, language)
        if found and not await self._read(question.text, history, found) and not words_decide(found):
            await self.compare(recent(question.text, history), found)
        excerpts = await self._excerpts(question, found, language)
        longer = {each.number: each.hit for each in excerpts}
        yield Writer(model=self.name, hits=tuple(longer.get(number, hit) for number, hit in enumerate(hits, 1)))
        for piece in composed(excerpts, language):
            yield Quoted(text=piece)

    async def _excerpts(self, question: Question, found: Sequence[Candidate], language: str) -> list[Excerpt]:
        """What to quote, section by section; only of the section whose heading is the question, if there is one."""
        asked = Asked(question.text, self._terms)
        headed = [one for one in found if asked.heads(one.hit.passage)]
        chosen = asked.short(headed) or choose(headed or found, self._quotes)
        scope = Scope(audiences=question.audiences, tenants=frozenset({"", question.tenant}))
        excerpts = []
        for section in by_section(chosen):
            passage = section[0].hit.passage
            known = await self._sections.around(passage, scope) if self._sections else Section()
            # hits of a long section may lie further apart than one looks up: each then cites itself
            for units in [section] if _holds(known, section) else by_passage(section):
                choice = Choice(
                    candidates=units,
                    section=known,
                    language=language,
                    question=asked,
                    opens=bool(headed),
                )
                excerpts.append(excerpt(choice))
        return [each for each in excerpts if each]

    def candidates(
        self, question: str, history: Sequence[Exchange], hits: Sequence[Hit], language: str
    ) -> list[Candidate]:
        """What can be quoted, judged by words."""
        numbered = _weighed(hits, language)
        spoken = {hit.passage.language for _, hit in numbered}
        wanted = {each: self._wanted(question, history, each) for each in spoken}
        return candidates(
            numbered,
            [self._study(hit.passage) for _, hit in numbered],
            [wanted[hit.passage.language] for _, hit in numbered],
        )

    async def _read(self, question: str, history: Sequence[Exchange], found: Sequence[Candidate]) -> bool:
        """Puts the reader's scores in place of one's own; False where there is none, or none that works."""
        if self._reader is None:
            return False
        passages = [list(units) for _, units in groupby(found, key=lambda candidate: candidate.number)]
        unread = [
            Unread(passage=units[0].hit.passage, units=tuple(one.unit.words for one in units)) for units in passages
        ]
        try:
            scored = await self._reader.read(question, history, unread)
        except ModelError as error:
            log.warning("quoting by words, since the model that reads failed: %s", error)
            return False
        for units, scores in zip(passages, scored, strict=True):
            for candidate, score in zip(units, scores.units, strict=True):
                candidate.score = scores.answers * score
        return True

    def _wanted(self, question: str, history: Sequence[Exchange], language: str) -> Wanted:
        said = [text[-QUESTION_CHARACTERS:] for text in (*utterances(history[-REACH:]), question)]
        conversation = decayed_terms(said, language, self._sparse)
        last = unmarked(history[-1].answer) if history and history[-1].answered else ""
        return Wanted(
            turn=self._terms(said[-1], language),
            conversation=dict(zip(conversation.indices, conversation.values, strict=True)),
            said=self._terms(last, language),
        )

    def _study(self, passage: Passage) -> Studied:
        key = passage.digest
        if (known := self._cache.get(key)) is not None:
            self._cache.move_to_end(key)
            return known
        units = [unit for unit in quotables(plain_passage(passage).text) if any(map(str.isalnum, unit.text))]
        terms = [self._terms(unit.words, passage.language) for unit in units]
        studied = Studied(units=units, terms=terms, context=self._terms(context(passage), passage.language))
        self._cache[key] = studied
        if len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        return studied

    def _terms(self, text: str, language: str) -> Terms:
        return frozenset(self._sparse.encode_query(text, language).indices)

    async def compare(self, asked: str, found: Sequence[Candidate]) -> None:
        """Judges units of the first passages by how near they are, read below their headings, to the question in meaning."""
        passages = list({candidate.number: candidate.hit.passage for candidate in found}.items())[:COMPARED]
        studied = {number: self._study(passage) for number, passage in passages}
        await self._embed([(passage, studied[number]) for number, passage in passages])
        query = np.asarray(await self._embeddings.aembed_query(asked), dtype=np.float32)
        for candidate in found:
            if (parts := studied.get(candidate.number)) is not None and parts.vectors is not None:
                candidate.evidence["cosine"] = float(parts.vectors[candidate.place] @ query)
                candidate.score = BY_MEANING.probability(candidate.evidence)

    async def _embed(self, studied: Sequence[tuple[Passage, Studied]]) -> None:
        """Embeds the units that have no vectors yet, of all passages in one batch."""
        missing = [(passage, parts) for passage, parts in studied if parts.vectors is None and parts.units]
        texts = [context(passage) + unit.words for passage, parts in missing for unit in parts.units]
        if not texts:
            return
        vectors = np.asarray(await self._embeddings.aembed_documents(texts), dtype=np.float32)
        borders = np.cumsum([len(parts.units) for _, parts in missing])[:-1]
        for (_, parts), own in zip(missing, np.split(vectors, borders), strict=True):
            parts.vectors = own


def _holds(known: Section, candidates: Sequence[Candidate]) -> bool:
    """Whether a section that was looked up has the passages of all candidates."""
    return {one.hit.passage.position for one in candidates} <= {each.position for each in known.passages}


def _weighed(hits: Sequence[Hit], language: str) -> NumberedHits:
    """The first hits with the numbers that cite them; where the documents exist in several languages, the question's."""
    numbered = list(enumerate(hits, 1))
    best = max((hit.score for hit in hits), default=0.0)
    spoken = [(number, hit) for number, hit in numbered if hit.passage.language == language]
    if any(hit.score >= SAME_LANGUAGE * best for _, hit in spoken):
        numbered = spoken
    return numbered[:PASSAGES]


def recent(question: str, history: Sequence[Exchange]) -> str:
    """The turn in its conversation, the latest first, as the search embeds it: its vector is known already."""
    recent = (*utterances(history), question)[-RECENT:]
    return "\n".join(reversed(recent))[:QUESTION_CHARACTERS]
