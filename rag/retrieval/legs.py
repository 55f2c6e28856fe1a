"""The legs of a query: searches for the turn, for the recent utterances and for the words of the whole conversation.

A support conversation keeps its subject while each turn names only what is new. So the last turn alone finds little, and the
conversation alone finds what was answered already. On Doc2Dial's training conversations, on which the settings were chosen,
the last turn alone finds .54 of the grounding within 3,000 characters, all legs together .80.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.retrieval.embeddings.models import PackagedEmbeddings, TextEmbeddings
from rag.retrieval.index.passages import Leg
from rag.retrieval.sparse import SparseEncoder, SparseVector
from rag.types import Query

RECENT = 6
"""Utterances, including the question, that are embedded as one text, latest first, because a model truncates the end."""
DECAY = 0.6
"""The weight of a word from the previous utterance relative to one of the current utterance. Two exchanges after a change of
subject the old one no longer dominates; with .8 retrieval is .01 better within a subject and .07 worse after a change."""
REACH = 8
"""Utterances whose words are searched for; a ninth would weigh less than a fiftieth."""
CHARACTERS = 2000
"""Characters of a text that are embedded, more than most models read."""
CONVERSATION = frozenset({"recent meaning", "whole words"})
"""The names of the legs that search for more than the current turn."""
WORDS_ABROAD = 0.5
"""Weight of a word leg's matches in another language than the question's, for a model whose vectors are multilingual. On the
choosing half of the questions across languages (30 a direction, en-es and es-en) the right section is first for .50 and .40 with
full weight, .57 and .47 with half, .50 and .47 with none; where the library has the question's language nothing changes."""
FOREIGN = 0.5
"""Weight of the dense legs for a question in a language for which the embedding model was not trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One leg of a query, with its name and the weight of its matches.

    ``abroad`` multiplies the weight of a match in another language than the question's.
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
    legs = [
        Search(name=f"{name} meaning", weight=meaning, leg=Leg(dense=vector))
        for (name, _), vector in zip(texts, vectors, strict=True)
    ]
    words = [("turn", 1.0, sparse.encode_query(query.text, language))]
    if query.rewritten:
        words.append(("rewritten", 1.0, sparse.encode_query(query.rewritten, language)))
    if query.history:
        words.append(("whole", 2.0, decayed_terms((*query.history, query.text), language, sparse)))
    return legs + [
        Search(name=f"{name} words", weight=weight, leg=Leg(sparse=vector), abroad=1.0 if packaged else WORDS_ABROAD)
        for name, weight, vector in words
        if vector.indices
    ]


def decayed_terms(utterances: Sequence[str], language: str, sparse: SparseEncoder) -> SparseVector:
    """The terms of utterances (oldest first), each with a weight that decays with the age of its last use."""
    weights: dict[int, float] = {}
    for age, text in enumerate(reversed(utterances[-REACH:])):
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
