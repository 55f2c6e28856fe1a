"""A turn in its conversation as several searches of one query: what is said now, of late, and in all.

A support conversation stays with its subject while each turn names only what is new, so the last turn alone finds little,
and the conversation alone finds what was answered already. Measured on Doc2Dial's training conversations, where settings
were chosen: the last turn alone .54 of the grounding within 3,000 characters, everything below together .80.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.retrieval.embeddings.models import PackagedEmbeddings, TextEmbeddings
from rag.retrieval.index.passages import Leg
from rag.retrieval.sparse import SparseEncoder, SparseVector
from rag.types import Query

RECENT = 6
"""Utterances, the question among them, that are read as one text, the latest first: a model reads the beginning."""
DECAY = 0.6
"""What a word counts that was said one utterance before, relative to one that is said now. After a change of subject, two
exchanges on, the old one no longer decides; .8 finds .01 more within a subject and .07 less after a change."""
REACH = 8
"""Utterances whose words are searched for: the ninth would count less than a fiftieth."""
CHARACTERS = 2000
"""Of a text that are embedded: more than most models read."""
CONVERSATION = frozenset({"recent meaning", "whole words"})
"""The names of the legs that search for more than the turn."""
WORDS_ABROAD = 0.5
"""What words count in a passage of another language, for a model that brings languages together by meaning. Right section first
on the choosing half of the questions across languages (30 a direction, en-es and es-en): .50 and .40 with words in full, .57
and .47 with half, .50 and .47 without; nothing changes where the library has the question's language."""
FOREIGN = 0.5
"""What meaning counts for a question in a language that the embedding model was not made for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One leg of the query, what it searches for, and what its findings count.

    ``abroad``: of that, what counts where a passage is in another language than the question.
    """

    name: str
    weight: float
    leg: Leg
    abroad: float = 1.0


async def searches(query: Query, language: str, embeddings: TextEmbeddings, sparse: SparseEncoder) -> list[Search]:
    """The legs of a query, the last turn's first. Raises ``ModelError``."""
    texts = _texts(query)
    vectors = await embeddings.aembed_queries([text for _, text in texts])
    packaged = embeddings.name == PackagedEmbeddings.name
    meaning = FOREIGN if language != "en" and packaged else 1.0
    found = [
        Search(name=f"{name} meaning", weight=meaning, leg=Leg(dense=vector))
        for (name, _), vector in zip(texts, vectors, strict=True)
    ]
    words = [("turn", 1.0, sparse.encode_query(query.text, language))]
    if query.rewritten:
        words.append(("rewritten", 1.0, sparse.encode_query(query.rewritten, language)))
    if query.history:
        words.append(("whole", 2.0, faded((*query.history, query.text), language, sparse)))
    return found + [
        Search(name=f"{name} words", weight=weight, leg=Leg(sparse=vector), abroad=1.0 if packaged else WORDS_ABROAD)
        for name, weight, vector in words
        if vector.indices
    ]


def faded(said: Sequence[str], language: str, sparse: SparseEncoder) -> SparseVector:
    """The words of a conversation, oldest utterance first, each weighing the less the longer ago it was said last."""
    weights: dict[int, float] = {}
    for age, text in enumerate(reversed(said[-REACH:])):
        for term in sparse.encode_query(text, language).indices:
            weights.setdefault(term, DECAY**age)
    ordered = sorted(weights)
    return SparseVector(indices=ordered, values=[weights[term] for term in ordered])


def _texts(query: Query) -> list[tuple[str, str]]:
    texts = [("turn", query.text[:CHARACTERS])]
    if query.rewritten:
        texts.append(("rewritten", query.rewritten[:CHARACTERS]))
    if query.history:
        recent = (*query.history, query.text)[-RECENT:]
        texts.append(("recent", "\n".join(reversed(recent))[:CHARACTERS]))
    return texts
